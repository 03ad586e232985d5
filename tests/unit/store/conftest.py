"""Every test of the port runs on a SQLite file, on SQLite in memory, and on PostgreSQL."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.databases import REQUIRE, binaries, drop_database, new_database, shared_cluster

from portico.state.port import StateStore
from portico.store.opening import MEMORY, open_store

Open = Callable[[], Awaitable[StateStore]]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of this session."""
    if binaries() is None and not os.environ.get(REQUIRE):
        pytest.skip(f"PostgreSQL is not installed: NOT TESTED ON IT ({REQUIRE}=1 makes this fail)")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # all workers share one
    with shared_cluster(folder) as url:
        yield url


@pytest.fixture
async def postgres_url(postgres: str) -> AsyncIterator[str]:
    """The URL of an empty database."""
    url = await new_database(postgres)
    yield url
    await drop_database(postgres, url)


@pytest.fixture(params=["file", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that several stores can open."""
    if request.param == "file":
        return f"sqlite://{tmp_path}/state.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=["file", "memory", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "memory":
        return MEMORY
    if request.param == "file":
        return f"sqlite://{tmp_path}/state.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[StateStore]:
    """A started store in an empty database."""
    opened = open_store(url)
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def opened(shared_url: str) -> AsyncIterator[Open]:
    """`await opened()` starts one more store on the same database; all are closed at the end."""
    stores: list[StateStore] = []

    async def start() -> StateStore:
        stores.append(open_store(shared_url))
        await stores[-1].start()
        return stores[-1]

    yield start
    for one in stores:
        await one.close()
