"""The stage of the abuse suite: one per pytest worker, started when the first test wants it."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.abuse.harness import Stage


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Shared by all: tests tell their requests apart by the plays they name."""
    running = await Stage.start(tmp_path_factory.mktemp("stage"))
    cpus = sorted(os.sched_getaffinity(0))
    if os.environ.get("PORTICO_ABUSE") == "full" and len(cpus) > 1:
        os.sched_setaffinity(running.gateway.pid, {cpus[0]})  # one for the gateway, one for us
        os.sched_setaffinity(0, {cpus[1]})
    yield running
    await running.stop()
