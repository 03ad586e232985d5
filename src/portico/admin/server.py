"""Runs the admin app on uvicorn inside the gateway's own event loop.

uvicorn and starlette are imported when the listener starts, not when this module is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from portico.config.settings import Address

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp


class RunningAdmin:
    """A running listener. `address` has the port that was really bound."""

    def __init__(self, address: Address, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        self.address = address
        self._server = server
        self._task = task

    @property
    def port(self) -> int:
        """The port that was bound; 0 for a unix socket."""
        return self.address.port

    async def stop(self, timeout: float = 2.0) -> None:  # noqa: ASYNC109 - a grace, not a deadline
        """Closes the listener; requests in progress get `timeout` seconds."""
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=timeout)
        if not done:
            self._server.force_exit = True
            self._task.cancel()
            await asyncio.wait({self._task})
        if self.address.path:
            _unlink(self.address.path)


async def serve_admin(
    app: ASGIApp, address: Address, *, max_connections: int = 256
) -> RunningAdmin:
    """Binds, starts and returns once the listener accepts. Raises `OSError` if it cannot bind.

    uvicorn installs no signal handlers, writes no access log and sends no `server` header.
    """
    import uvicorn

    class Server(uvicorn.Server):
        ready = asyncio.Event()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.ready.set()

    listener = _bind(address)
    server = Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=max_connections,
            h11_max_incomplete_event_size=16 * 1024,
            timeout_graceful_shutdown=1,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="portico-admin")
    waiter = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
    if task.done():
        listener.close()
        await task
        raise RuntimeError("the admin listener ended at once")
    bound = address.port
    if address.path is None:
        bound = listener.getsockname()[1]
    return RunningAdmin(Address(address.host, bound, address.path), server, task)


def _bind(address: Address) -> socket.socket:
    if address.path is not None:
        return _bind_unix(address.path)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host.strip("[]"), address.port))
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _bind_unix(path: str) -> socket.socket:
    """A socket only this user can reach; a stale one of an earlier run is replaced."""
    _unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        Path(path).chmod(0o600)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _unlink(path: str) -> None:
    """Removes a socket; any other kind of file stays and makes the bind fail."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(Path(path).stat().st_mode):
            Path(path).unlink()
