"""An id that is taken costs nothing but looking it up, however many responses there are."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.stored import ALICE, BOB, NOW, conversation, items, stored

from portico.state.port import StateStore
from portico.state.records import Record
from portico.store import sqlite_writes
from portico.store.lane import Job
from portico.store.opening import open_store


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A migrated, empty database."""
    file = tmp_path / "state.db"
    store = open_store(f"sqlite://{file}")
    await store.start()
    await store.close()
    return file


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to it."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def jobs_of(*records: Record) -> list[Job]:
    """What a thread of the store gets."""
    loop = asyncio.get_running_loop()
    return [Job(loop.create_future(), 0, record=record) for record in records]


def fill(db: sqlite3.Connection, count: int, prefix: str) -> None:
    """Store that many responses."""
    for at in range(0, count, 500):
        records = [stored(f"{prefix}{number}") for number in range(at, min(at + 500, count))]
        sqlite_writes.save_all(db, jobs_of(*records))


def steps_of(db: sqlite3.Connection, *records: Record) -> tuple[list[bool], int]:
    """What saving answers, and the steps that SQLite's machine takes for it."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    jobs = jobs_of(*records)
    db.set_progress_handler(count, 1)
    saved = sqlite_writes.save_all(db, jobs)
    db.set_progress_handler(None, 0)
    return saved, steps


async def test_an_id_that_is_taken_costs_the_same_in_a_large_table(db: sqlite3.Connection) -> None:
    fill(db, 10, "few")
    taken = [stored(f"few{number}") for number in range(3)]
    steps_of(db, *taken)  # prepare the statements
    saved, before = steps_of(db, *taken)
    assert saved == [False, False, False]
    fill(db, 5_000, "many")
    saved, after = steps_of(db, *taken)
    assert saved == [False, False, False]
    assert after < 2 * before + 100, (before, after)


async def test_taken_ids_among_new_ones_cost_no_look_at_old_responses(
    db: sqlite3.Connection,
) -> None:
    fill(db, 10, "few")
    saved, before = steps_of(db, stored("few1"), stored("new1"), stored("few2"), stored("new2"))
    assert saved == [False, True, False, True]
    fill(db, 5_000, "many")
    saved, after = steps_of(db, stored("few1"), stored("new3"), stored("few2"), stored("new4"))
    assert saved == [False, True, False, True]
    assert after < 2 * before + 100, (before, after)


async def test_no_table_is_read_from_its_beginning_to_its_end(db: sqlite3.Connection) -> None:
    fill(db, 10, "few")
    said: list[str] = []
    db.set_trace_callback(said.append)
    sqlite_writes.save_all(db, jobs_of(stored("few1")))
    assert not [each for each in said if each.startswith("SELECT")]
    both = jobs_of(stored("few1"), stored("new"))
    assert sqlite_writes.save_all(db, both) == [False, True]
    db.set_trace_callback(None)
    (selected,) = [each for each in said if each.startswith("SELECT")]
    bound = re.search(r"seq >= (\d+)", selected)
    assert bound is not None
    (last,) = db.execute("SELECT max(seq) FROM responses").fetchone()
    assert int(bound[1]) == last  # one was inserted, one is looked at
    plan = db.execute(f"EXPLAIN QUERY PLAN {selected}").fetchall()
    assert not [row for row in plan if str(row[-1]).startswith("SCAN")], plan


async def test_of_a_batch_with_taken_ids_the_new_ones_are_stored_with_their_names(
    store: StateStore,
) -> None:
    await store.create_conversation(conversation(), [])
    assert await store.save(stored("a", model="first"))
    in_conversation = stored("d", conversation="conv_1")
    saved = await asyncio.gather(
        store.save(stored("a", model="again", names=("msg_a",))),
        store.save(stored("b", names=("msg_b",))),
        store.save(stored("a", tenant=BOB, names=("msg_a",))),
        store.save(stored("b", names=("msg_c",))),
        store.save(in_conversation, items("i1")),
        store.save(in_conversation, items("i2")),
    )
    assert list(saved) == [False, True, True, False, True, False]
    first = await store.get(ALICE, "a", NOW)
    assert first is not None
    assert first.model == "first"
    assert await store.by_name(ALICE, "msg_a", NOW) is None
    assert await store.by_name(ALICE, "msg_c", NOW) is None
    for tenant, name, id in ((ALICE, "msg_b", "b"), (BOB, "msg_a", "a")):
        found = await store.by_name(tenant, name, NOW)
        assert found is not None
        assert found.id == id
    kept = await store.entries(ALICE, "conv_1", after=None, limit=None, order="asc")
    assert kept == items("i1")
