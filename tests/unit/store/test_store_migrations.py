"""A database is brought to the form this version reads, once, and never one from the future."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest
from tests.support.stored import ALICE, NOW, stored
from tests.unit.store.conftest import Open

from portico.state.port import StoreUnavailable
from portico.store import migrations as steps
from portico.store import postgres_link, sqlite_connection
from portico.store.opening import open_store

NUMBERS = [step.number for step in steps.migrations("sqlite")]
MORE = steps.Migration(
    NUMBERS[-1] + 1, "CREATE TABLE added (x INTEGER);\nINSERT INTO added VALUES (1);\n"
)
BAD = steps.Migration(
    NUMBERS[-1] + 1, "CREATE TABLE added (x INTEGER);\nINSERT INTO nowhere VALUES (1);\n"
)


@pytest.fixture
def set_steps(monkeypatch: pytest.MonkeyPatch) -> list[steps.Migration]:
    """Migrations besides the first, for both databases."""
    more: list[steps.Migration] = []

    def listed(kind: steps.Kind) -> list[steps.Migration]:
        return steps.migrations(kind) + more

    monkeypatch.setattr(sqlite_connection, "migrations", listed)
    monkeypatch.setattr(postgres_link, "migrations", listed)
    return more


async def _query(url: str, query: str) -> list[tuple[int, ...]]:
    if url.startswith("sqlite"):
        db = sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def test_both_databases_have_the_same_steps_and_their_numbers_have_no_gap() -> None:
    numbers = [[step.number for step in steps.migrations(kind)] for kind in ("sqlite", "postgres")]
    assert numbers[0] == numbers[1] == list(range(1, len(numbers[0]) + 1))


async def test_stores_that_start_at_once_migrate_once(opened: Open, shared_url: str) -> None:
    stores = await asyncio.gather(*[opened() for _ in range(6)])
    rows = await _query(shared_url, "SELECT number FROM portico_schema ORDER BY number")
    assert rows == [(number,) for number in NUMBERS]
    for at, store in enumerate(stores):
        assert await store.save(stored(f"r{at}"))
    for at in range(6):
        assert await stores[0].get(ALICE, f"r{at}", NOW) is not None


async def test_a_new_step_is_applied_to_what_is_there(
    opened: Open, shared_url: str, set_steps: list[steps.Migration]
) -> None:
    first = await opened()
    await first.save(stored("a"))
    set_steps.append(MORE)
    stores = await asyncio.gather(opened(), opened())
    assert await stores[1].get(ALICE, "a", NOW) is not None
    assert await _query(shared_url, "SELECT x FROM added") == [(1,)]
    applied = await _query(shared_url, "SELECT number, applied_at FROM portico_schema")
    assert [row[0] for row in applied] == [*NUMBERS, MORE.number]
    assert all(row[1] > 1_000_000_000 for row in applied)


async def test_a_step_that_fails_leaves_nothing_behind(
    opened: Open, shared_url: str, set_steps: list[steps.Migration]
) -> None:
    set_steps.append(BAD)
    with pytest.raises(StoreUnavailable, match="not available") as caught:
        await opened()
    assert "nowhere" in caught.value.debug
    set_steps.clear()
    set_steps.append(MORE)
    store = await opened()
    assert await store.save(stored("a"))
    assert await _query(shared_url, "SELECT x FROM added") == [(1,)]


async def test_a_database_of_a_newer_version_is_refused_and_not_touched(
    opened: Open, shared_url: str
) -> None:
    await opened()
    await _query(shared_url, "INSERT INTO portico_schema VALUES (99, 0)")
    with pytest.raises(StoreUnavailable) as caught:
        await opened()
    assert "schema 99" in caught.value.debug
    assert "newer version" in caught.value.debug
    rows = await _query(shared_url, "SELECT number FROM portico_schema ORDER BY number")
    assert rows == [*[(number,) for number in NUMBERS], (99,)]


@pytest.mark.parametrize(
    "url",
    [
        "", "sqlite", "sqlite:", "sqlite://", "sqlite:///", "sqlite:///x.db?cache=shared",
        "mysql://root:secret@host/db", "postgresql:host", "/var/lib/x.db", ":memory:",
    ],
)  # fmt: skip
def test_a_url_that_names_no_database_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["sqlite://", "sqlite:///", "sqlite:"])
async def test_an_absolute_path_may_have_three_or_four_slashes(tmp_path: Path, prefix: str) -> None:
    store = open_store(f"{prefix}{tmp_path}/state.db?mode=rwc")
    await store.start()
    await store.close()
    assert (tmp_path / "state.db").exists()


async def test_a_relative_path_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite://here.db")
    await store.start()
    assert await store.save(stored("a"))
    assert await store.get(ALICE, "a", NOW) is not None
    await store.close()
    assert (tmp_path / "here.db").exists()


def test_without_its_library_a_database_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("portico.store.postgres", "portico.store.postgres_link"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "asyncpg", None)
    with pytest.raises(ValueError, match=r"pip install 'portico\[postgres\]'"):
        open_store("postgresql://localhost/db")
