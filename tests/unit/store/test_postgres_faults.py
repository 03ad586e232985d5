"""A PostgreSQL that goes away: what was in flight fails, what comes later works."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from tests.support.databases import Cluster
from tests.support.stored import ALICE, NOW, conversation, items, logged, running, stored

from portico.state.port import StateStore, StoreUnavailable
from portico.store import lane, postgres_link
from portico.store.opening import open_store
from portico.store.postgres import PostgresStore


@pytest.fixture
def cluster(postgres: str) -> Iterator[Cluster]:
    """A server for this test alone, to be stopped and killed. `postgres` decides about skipping."""
    made = Cluster.create()
    yield made
    made.destroy()


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store in an empty database of the shared server."""
    opened = PostgresStore(postgres_url)
    await opened.start()
    yield opened
    await opened.close()


async def _settled(store: StateStore) -> list[object]:
    return await asyncio.gather(
        store.save(stored("x")),
        store.get(ALICE, "a", NOW),
        store.append(ALICE, "conv_1", items("i1")),
        store.chain(ALICE, "a"),
        return_exceptions=True,
    )


async def test_a_server_that_restarts_is_found_again(cluster: Cluster) -> None:
    store = open_store(cluster.url)
    await store.start()
    await store.save(stored("a"))
    await asyncio.to_thread(cluster.stop)
    assert all(isinstance(one, StoreUnavailable) for one in await _settled(store))
    await asyncio.to_thread(cluster.start)
    assert await store.save(stored("b", "a"))
    assert await store.chain(ALICE, "b") is not None
    await asyncio.to_thread(cluster.kill)
    assert all(isinstance(one, StoreUnavailable) for one in await _settled(store))
    await asyncio.to_thread(cluster.start)
    assert await store.get(ALICE, "b", NOW) is not None
    assert await store.save(stored("c", "b"))
    await store.close()


async def test_operations_in_flight_fail_when_their_connections_are_cut(
    store: PostgresStore, postgres_url: str
) -> None:
    await store.create_conversation(conversation(), [])
    other = await asyncpg.connect(postgres_url)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE responses, conversations")
            held = asyncio.gather(
                store.save(stored("a")),
                store.append(ALICE, "conv_1", items("i1")),
                return_exceptions=True,
            )
            for _ in range(1000):
                await asyncio.sleep(0.01)
                cut = await other.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'portico' "
                    "AND datname = current_database() AND wait_event_type = 'Lock'"
                )
                if cut == 2:
                    break
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'portico' AND datname = current_database()"
            )
            assert all(isinstance(one, StoreUnavailable) for one in await held)
    finally:
        await other.close()
    assert await store.save(stored("a"))
    assert await store.append(ALICE, "conv_1", items("i1"))


async def test_a_server_that_cannot_be_reached_is_an_error_at_the_start(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.stop)
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(cluster.url).start()
    assert caught.value.debug.startswith("postgresql: ")
    assert str(cluster.port) not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@127.0.0.1:1/db?sslmode=whatever",
        "postgresql://u:sec/ret@127.0.0.1/db",
        "postgresql://u:s@ecret:x@127.0.0.1:1/db",
        "postgresql://u:secret@127.0.0.1:99999/db",
    ],
)
async def test_a_url_that_the_driver_refuses_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(url).start()
    assert caught.value.__cause__ is None
    for piece in ("secret", "ecret", "sec/", "ret@", "'sec'"):
        assert piece not in caught.value.debug


async def test_a_commit_is_flushed_even_where_the_database_would_not(postgres_url: str) -> None:
    admin = await asyncpg.connect(postgres_url)
    name = postgres_url.rpartition("/")[2]
    await admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await admin.close()
    store = PostgresStore(postgres_url)
    await store.start()

    async def setting(db: asyncpg.Connection) -> str:
        found: str = await db.fetchval("SHOW synchronous_commit")
        return found

    for _ in range(3):  # also when the connection was used before
        assert await store._link.read(setting) == "on"
    await store.close()


async def test_what_waits_for_the_server_is_bounded(
    store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_link, "MOST_WAITING", 3)
    other = await asyncpg.connect(postgres_url)
    async with other.transaction():
        await other.execute("LOCK TABLE responses")
        waiting = [asyncio.ensure_future(store.save(stored(f"r{at}"))) for at in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable) as caught:
            await store.save(stored("one too many"))
        assert caught.value.code == "overloaded"
    await other.close()
    assert await asyncio.gather(*waiting) == [True] * 3
    monkeypatch.setattr(postgres_link, "MOST_BYTES", 50)
    with pytest.raises(StoreUnavailable):
        await store.save(stored("large", response=b"x" * 50))
    assert lane.MOST_BYTES > 50


async def test_saves_of_two_gateways_that_cross_do_not_fail(postgres_url: str) -> None:
    """The same ids and conversations in opposite orders: what would deadlock is done again."""
    stores = [PostgresStore(postgres_url), PostgresStore(postgres_url)]
    await asyncio.gather(*[store.start() for store in stores])
    for at in range(10):
        await stores[0].create_conversation(conversation(f"c{at}"), [])
    names = [f"r{at}" for at in range(60)]
    results = await asyncio.gather(
        *[
            store.save(stored(name, conversation=f"c{int(name[1:]) % 10}"), items(f"i_{name}"))
            for store, order in zip(stores, (names, names[::-1]), strict=True)
            for name in order
        ]
    )
    assert results.count(True) == 60
    for at in range(10):
        found = await stores[0].entries(ALICE, f"c{at}", after=None, limit=None, order="asc")
        assert found is not None
        assert len(found) == 6
    for store in stores:
        await store.close()


async def test_deleting_a_run_that_is_logging_leaves_no_event(
    store: PostgresStore, postgres_url: str
) -> None:
    for at in range(20):
        await store.begin_run(running(f"r{at}"), "me", NOW)
    await asyncio.gather(
        *[store.progress_run(ALICE, f"r{at}", "in_progress", b"{}", logged(0)) for at in range(20)],
        *[store.delete(ALICE, f"r{at}") for at in range(20)],
    )
    other = await asyncpg.connect(postgres_url)
    assert await other.fetchval("SELECT count(*) FROM events") == 0
    await other.close()
