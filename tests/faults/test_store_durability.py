"""kill -9: every response whose save had returned is in the database, whole."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.databases import REQUIRE, Cluster, binaries
from tests.support.stored import ALICE, NOW

from portico.state.port import StateStore
from portico.store.opening import open_store

ROOT = Path(__file__).parents[2]
ENOUGH = 300
"""Saved responses to see before the kill."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of our own, to be killed too."""
    if binaries() is None and not os.environ.get(REQUIRE):
        pytest.skip(f"PostgreSQL is not installed: NOT TESTED ON IT ({REQUIRE}=1 makes this fail)")
    made = Cluster.create()
    yield made
    made.destroy()


async def _saver(url: str, prefix: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.saver", url, prefix,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip


async def _lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(count)]
    assert all(lines), "the saver ended by itself"
    return [line.decode().strip() for line in lines]


async def _rest(process: asyncio.subprocess.Process) -> list[str]:
    """What it said between our last look and its death; a last line may be cut."""
    assert process.stdout is not None
    rest = await process.stdout.read()
    await process.wait()
    return rest.decode().split("\n")[:-1]


async def _all_there(store: StateStore, names: list[str]) -> None:
    for name in names:
        record = await store.get(ALICE, name, NOW)
        assert record is not None, name
        assert record.output == f'["out {name}"]'.encode()
        named = await store.by_name(ALICE, f"msg_{name}", NOW)
        assert named is not None, name
        assert named.id == name
        if record.conversation is not None:
            assert await store.entry(ALICE, record.conversation, f"item_{name}") is not None
    last = max(names, key=lambda name: int(name.rpartition("_")[2]))
    chain = await store.chain(ALICE, last)
    assert chain is not None
    assert len(chain) == int(last.rpartition("_")[2]) + 1


async def test_a_killed_process_loses_no_saved_response_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/state.db"
    names: list[str] = []
    for prefix in ("first", "second"):  # the second starts on what the first left behind
        process = await _saver(url, prefix)
        names += await _lines(process, ENOUGH)
        process.kill()
        names += await _rest(process)
    store = open_store(url)
    await store.start()
    await _all_there(store, names)
    await store.close()


async def test_one_of_two_processes_killed_does_not_hold_up_the_other_on_sqlite(
    tmp_path: Path,
) -> None:
    url = f"sqlite://{tmp_path}/state.db"
    one, other = await asyncio.gather(_saver(url, "one"), _saver(url, "other"))
    names = [
        line for lines in await asyncio.gather(_lines(one, 50), _lines(other, 50)) for line in lines
    ]
    one.kill()
    names += await _rest(one)
    names += await _lines(other, ENOUGH)
    other.kill()
    names += await _rest(other)
    store = open_store(url)
    await store.start()
    await _all_there(store, names)
    await store.close()


async def test_a_killed_process_loses_no_saved_response_on_postgres(cluster: Cluster) -> None:
    process = await _saver(cluster.url, "only")
    names = await _lines(process, ENOUGH)
    process.kill()
    names += await _rest(process)
    store = open_store(cluster.url)
    await store.start()
    await _all_there(store, names)
    await store.close()


async def test_a_killed_server_loses_no_saved_response(cluster: Cluster) -> None:
    process = await _saver(cluster.url, "only")
    names = await _lines(process, ENOUGH)
    await asyncio.to_thread(cluster.kill)
    names += await _rest(process)  # it ends with an error
    await asyncio.to_thread(cluster.start)
    store = open_store(cluster.url)
    await store.start()
    await _all_there(store, names)
    await store.close()
