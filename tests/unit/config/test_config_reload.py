"""A change of the file is noticed, whichever way it was made."""

import asyncio
import os
from pathlib import Path

from portico.config.reload import ConfigFile, Fingerprint, differs, watch

ONE = Fingerprint(1, 2, 3, 4)


def test_only_a_present_and_different_version_is_news() -> None:
    assert not differs(ONE, ONE)
    assert not differs(ONE, None)
    assert not differs(None, None)
    assert differs(None, ONE)
    for other in (
        Fingerprint(9, 2, 3, 4),
        Fingerprint(1, 9, 3, 4),
        Fingerprint(1, 2, 9, 4),
        Fingerprint(1, 2, 3, 9),
    ):
        assert differs(ONE, other)


def test_rewriting_replacing_and_removing_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("one")
    file = ConfigFile(path)
    assert file.changed()
    assert file.read() == "one"
    assert not file.changed()
    path.write_text("longer")
    assert file.changed()
    assert file.read() == "longer"
    (tmp_path / "new").write_text("longer")
    (tmp_path / "new").replace(path)
    assert file.changed()
    assert file.read() == "longer"
    path.unlink()
    assert not file.changed()
    path.write_text("back again")
    assert file.changed()


def test_a_kubernetes_symlink_swap_is_a_change(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "c.yaml").write_text(version)
        os.utime(tmp_path / version / "c.yaml", (1, 1))
    data = tmp_path / "..data"
    data.symlink_to("v1")
    (tmp_path / "c.yaml").symlink_to("..data/c.yaml")
    file = ConfigFile(tmp_path / "c.yaml")
    assert file.read() == "v1"
    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").replace(data)
    assert file.changed()
    assert file.read() == "v2"


async def test_watch_hands_over_the_new_text_and_survives_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("one")
    file = ConfigFile(path)
    file.read()
    seen: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(watch(file, seen.put, interval=0.01))
    try:
        path.write_text("two, longer")
        assert await asyncio.wait_for(seen.get(), 5) == "two, longer"
        path.unlink()
        await asyncio.sleep(0.05)
        assert seen.empty()
        path.write_text("three")
        assert await asyncio.wait_for(seen.get(), 5) == "three"
    finally:
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
