"""Which database a running gateway uses, what it says of it, and what it leaves behind."""

import os
import re
import signal
from pathlib import Path

from tests.cli.conftest import Run
from tests.cli.test_serve import QUICK, document, write
from tests.cli.test_workers import children

URL = "postgresql://portico:CANARY-of-the-database@127.0.0.1:1/state"


async def test_the_demo_of_one_worker_stores_in_memory(run: Run, tmp_path: Path) -> None:
    gate = await run("serve", "--demo", *QUICK, env={"XDG_DATA_HOME": str(tmp_path)})
    await gate.line(r"database\s+in memory")
    gate.signal(signal.SIGINT)
    assert await gate.exit() == 0
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_the_workers_of_a_demo_share_a_file_that_goes_with_it(
    run: Run, tmp_path: Path
) -> None:
    env = {"XDG_DATA_HOME": str(tmp_path / "data"), "TMPDIR": str(tmp_path)}
    gate = await run("serve", "--demo", "--workers", "2", *QUICK, env=env)
    file = Path((await gate.line(r"database\s+sqlite:///(\S+)"))[1])
    assert file.parent.parent == tmp_path
    assert file.parent.is_dir()
    assert len(children(gate)) == 2
    gate.signal(signal.SIGINT)
    assert await gate.exit() == 0
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_without_a_word_it_is_a_file_of_the_user(run: Run, tmp_path: Path) -> None:
    env = {"XDG_DATA_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-none"}
    gate = await run("serve", *QUICK, env=env)
    wanted = re.escape(f"sqlite:///{tmp_path}/portico/portico.db")
    await gate.line(rf"database\s+{wanted}$")


async def test_a_reload_does_not_move_the_database_and_says_so(run: Run, tmp_path: Path) -> None:
    text = document("m", "http://127.0.0.1:1")
    path = write(tmp_path / "c.yaml", text + f"  database: {{url: 'sqlite:///{tmp_path}/a.db'}}\n")
    gate = await run("serve", "--config", path, *QUICK)
    await gate.line(rf"database\s+sqlite:///{re.escape(str(tmp_path))}/a.db")
    await gate.port()
    write(tmp_path / "c.yaml", text + f"  database: {{url: '{URL}'}}\n")
    gate.signal(signal.SIGHUP)
    await gate.line(r"reloaded .*\(database: from the next start on\)")
    dump = (await gate.page("/config_dump")).body.decode()
    assert f"sqlite:///{tmp_path}/a.db" in dump
    assert "CANARY-of-the-database" not in dump + gate.text + "".join(gate.err)
    write(tmp_path / "c.yaml", text + "  database: {url: 'nonsense'}\n")
    gate.signal(signal.SIGHUP)
    await gate.line("reload refused")


async def test_a_database_that_cannot_be_used_is_a_line_and_not_a_traceback(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")
    url = f"sqlite:///{tmp_path}/file/a.db"
    env = {"OPENAI_API_KEY": "sk-none", "PORTICO_DATABASE_URL": url}
    for more in ((), ("--workers", "2")):
        gate = await run("serve", *QUICK, *more, env=env)
        assert await gate.exit() == 3
        assert len(gate.err) == 1
        assert gate.err[0].startswith("portico: the database cannot be used: ")
