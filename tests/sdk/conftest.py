"""One pair of servers for every test of the matrix."""

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.support.matrix import Matrix


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def matrix() -> AsyncIterator[Matrix]:
    """Shared by all: tests tell their requests apart by what they say."""
    running = await Matrix.start()
    yield running
    await running.stop()
