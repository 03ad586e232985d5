"""What SQLite's own troubles become: errors for the operations they hit, and nothing else."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.stored import ALICE, NOW, conversation, items, stored

from portico.state.port import StoreUnavailable
from portico.store import lane, rows, sqlite_connection, sqlite_writes
from portico.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store in `state.db`."""
    opened = SqliteStore(str(tmp_path / "state.db"))
    await opened.start()
    yield opened
    await opened.close()


@contextmanager
def _failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Iterator[None]:
    """Every batch of saves meets this error, after some of it was written."""
    insert = sqlite_writes._insert

    def fail(*arguments: Any) -> Any:
        insert(*arguments)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_writes, "_insert", fail)
        yield


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.DatabaseError("database disk image is malformed"),
        RuntimeError("a defect"),
        MemoryError(),
    ],
)
async def test_a_failed_batch_leaves_nothing_and_the_next_one_is_written(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with _failing(monkeypatch, error):
        saves = [store.save(stored(f"r{at}")) for at in range(5)]
        results = await asyncio.gather(*saves, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in results)
    assert len({id(one) for one in results}) == 5
    assert isinstance(results[0], StoreUnavailable)
    assert repr(error) in results[0].debug
    assert str(error) not in results[0].message or not str(error)
    for at in range(5):
        assert await store.get(ALICE, f"r{at}", NOW) is None
        assert await store.save(stored(f"r{at}"))


async def test_a_full_disk_is_an_error_and_room_is_noticed(
    store: SqliteStore, tmp_path: Path
) -> None:
    def limit(pages: int) -> Callable[[sqlite3.Connection], object]:
        return lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    assert store._writes is not None
    await store.save(stored("small"))
    used = sqlite3.connect(tmp_path / "state.db")
    pages = used.execute("PRAGMA page_count").fetchone()[0]
    used.close()
    await store._writes.submit(limit(pages + 8))
    with pytest.raises(StoreUnavailable) as caught:
        await store.save(stored("big", response=b"x" * 1_000_000))
    assert "full" in caught.value.debug
    await store._writes.submit(limit(1_000_000))
    assert await store.save(stored("big", response=b"x" * 1_000_000))
    assert await store.get(ALICE, "small", NOW) is not None


async def test_a_file_locked_by_another_process_is_waited_for_and_given_up(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.save(stored("a")))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert await store.get(ALICE, "nothing", NOW) is None  # reading goes on
    other.execute("COMMIT")
    assert await waiting
    monkeypatch.setattr(sqlite_connection, "PATIENCE", 0.01)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        await store.save(stored("b"))
    assert "locked" in caught.value.debug
    other.execute("ROLLBACK")
    other.close()
    assert await store.save(stored("b"))


async def test_a_file_that_is_no_database_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database" * 100)
    store = SqliteStore(str(tmp_path / "state.db"))
    with pytest.raises(StoreUnavailable) as caught:
        await store.start()
    assert "not a database" in caught.value.debug


@pytest.mark.parametrize("path", ["a file/state.db", "."])
async def test_a_path_that_cannot_be_opened_is_refused_at_the_start(
    tmp_path: Path, path: str
) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(StoreUnavailable):
        await SqliteStore(str(tmp_path / path)).start()


async def test_directories_that_are_missing_are_made_for_the_owner_only(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "share" / "portico" / "portico.db"))
    await store.start()
    await store.close()
    assert (tmp_path / "share" / "portico").stat().st_mode & 0o777 == 0o700


async def test_the_file_is_for_its_owner_only(store: SqliteStore, tmp_path: Path) -> None:
    await store.save(stored("a"))
    files = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
    modes = {file.name: os.stat(file).st_mode & 0o777 for file in files}  # noqa: PTH116
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


async def test_a_commit_is_flushed_to_the_disk(store: SqliteStore) -> None:
    def settings(db: sqlite3.Connection) -> list[Any]:
        return [
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]

    assert store._writes is not None
    assert await store._writes.submit(settings) == ["wal", 2]


async def test_what_waits_for_the_disk_is_bounded(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "MOST_WAITING", 4)
    free = threading.Event()
    assert store._writes is not None
    held = store._writes.submit(lambda db: free.wait())
    waiting = [asyncio.ensure_future(store.save(stored(f"r{at}"))) for at in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable) as caught:
        await store.save(stored("one too many"))
    assert caught.value.code == "overloaded"
    free.set()
    await held
    assert await asyncio.gather(*waiting) == [True] * 3
    monkeypatch.setattr(lane, "MOST_BYTES", 100)
    with pytest.raises(StoreUnavailable):
        await store.save(stored("large", response=b"x" * 100))
    with pytest.raises(StoreUnavailable):
        await store.create_conversation(conversation(metadata=b"x" * 200), items("i1"))
    assert await store.save(stored("one more"))


async def test_what_comes_during_a_commit_shares_the_next(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    commit = sqlite_connection.SqliteWriter._commit

    def counted(writer: Any, jobs: list[Any]) -> list[Any]:
        sizes.append(len(jobs))
        return commit(writer, jobs)

    monkeypatch.setattr(sqlite_connection.SqliteWriter, "_commit", counted)
    begun, free = threading.Event(), threading.Event()
    assert store._writes is not None
    held = store._writes.submit(lambda db: (begun.set(), free.wait()))
    await asyncio.to_thread(begun.wait)
    saves = [asyncio.ensure_future(store.save(stored(f"r{at}"))) for at in range(100)]
    await asyncio.sleep(0)
    free.set()
    await held
    assert await asyncio.gather(*saves) == [True] * 100
    assert sizes == [1, 100]


async def test_lookups_use_an_index(store: SqliteStore) -> None:
    plans = {
        "SELECT seq FROM responses r WHERE expires_at <= 5 AND "
        + rows.CHILDLESS
        + " ORDER BY expires_at LIMIT 5": {"responses_expiry", "responses_parent"},
        "SELECT 1 FROM responses WHERE owner IS NOT NULL AND lease_until <= 5 "
        "ORDER BY lease_until": {"responses_lease"},
        "SELECT 1 FROM responses WHERE owner = 'me'": {"responses_owner"},
        "SELECT body FROM entries WHERE conversation = 1 AND seq > 2 ORDER BY seq LIMIT 5": {
            "entries_conversation"
        },
        "DELETE FROM names WHERE response IN (1, 2)": {"names_response"},
    }

    def plan(query: str) -> Callable[[sqlite3.Connection], str]:
        return lambda db: " | ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))

    assert store._reads is not None
    for query, indexes in plans.items():
        found: str = await store._reads.submit(plan(query))
        assert "SCAN" not in found, found
        assert "TEMP B-TREE" not in found, found
        for index in indexes:
            assert index in found
