"""A server whose application takes WebSockets, and the loops it is tried on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
import uvloop
from tests.unit.http.talking import Talking

Talk = Callable[..., Awaitable[Talking]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop; uvloop too, if the test asks for both by name."""
    asked = any("loop_factories" in mark.kwargs for mark in item.iter_markers("asyncio"))
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop
    }
    if asked:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    """`await talk(websocket_ping=0.2, ...)` starts a server; all are stopped at the end."""
    running: list[Talking] = []

    async def start(**changes: object) -> Talking:
        running.append(await Talking.start(**changes))
        return running[-1]

    yield start
    for server in running:
        await server.stop()
