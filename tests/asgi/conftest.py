"""Hosts for the ASGI app: a real uvicorn on a loopback port, in the test's own loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn

Host = Callable[[Any], Awaitable["Hosted"]]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Hosted:
    """A running uvicorn. `url` has no path."""

    def __init__(self, server: uvicorn.Server, task: "asyncio.Task[None]", port: int) -> None:
        self._server = server
        self._task = task
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Shut down as a deployment does: lifespan included."""
        self._server.should_exit = True
        await asyncio.wait_for(self._task, 5)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """`await host(app)` serves an ASGI app with uvicorn; all are stopped at the end."""
    running: list[Hosted] = []

    async def start(app: Any) -> Hosted:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=1, ws="none"
        )
        server = _Server(config)
        task = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
            assert not task.done()
        running.append(Hosted(server, task, listener.getsockname()[1]))
        return running[-1]

    yield start
    for hosted in running:
        await hosted.stop()
