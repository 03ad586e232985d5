"""The HTTP/1.1 server: listeners, the set of open connections, graceful drain.

One `HttpServer` per worker. What happens on one connection is in `connection.py`; this file owns
what connections share: the application, the limits, the sweeper, the date header, and the way down.

Drain, on SIGTERM (reliability.md section 3): new connections are refused, idle ones closed, answers
carry `connection: close`; what still runs after `deadlines.drain` is cancelled, which the
application turns into its dialect's error frame.
"""

import asyncio
import contextlib
import socket
import ssl
from email.utils import formatdate
from pathlib import Path
from time import time

from portico.http.connection import Connection
from portico.http.deadlines import Sweeper
from portico.http.events import HttpEvents, NullEvents
from portico.http.messages import Application
from portico.http.websocket import WebSocketConnection
from portico.limits import Deadlines, Limits

Open = Connection | WebSocketConnection

BACKLOG = 2048
SMALL_BODY = 64 * 1024
"""Only bodies larger than this count against `limits.buffered_body_bytes`."""
SMALL_HEAD = 8 * 1024
"""A head that came whole in one smaller read needs no size check of its own."""


class Listener:
    """One bound socket. `port` is the real one when 0 was asked for."""

    __slots__ = ("_server", "path", "port")

    def __init__(self, server: asyncio.Server, port: int, path: str | None) -> None:
        self._server = server
        self.port = port
        self.path = path

    def close(self) -> None:
        """Stop accepting."""
        self._server.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                Path(self.path).unlink()


class HttpServer:
    """Serves one `Application` on any number of listeners."""

    def __init__(
        self,
        app: Application,
        *,
        limits: Limits | None = None,
        deadlines: Deadlines | None = None,
        sweeper: Sweeper | None = None,
        events: HttpEvents | None = None,
    ) -> None:
        self.app = app
        self.sweeper = sweeper or Sweeper()
        self._owns_sweeper = sweeper is None
        self.events: HttpEvents = events or NullEvents()
        self.connections: set[Open] = set()
        self.buffered_bytes = 0
        self.draining = False
        self.date = b""
        self._date_second = 0
        self._listeners: list[Listener] = []
        self._empty: asyncio.Event | None = None
        self._hurried = asyncio.Event()
        self.apply(limits or Limits(), deadlines or Deadlines())
        self._tick(0.0, 0.0)
        self.sweeper.on_tick(self._tick)

    async def listen(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> Listener:
        """Bind and accept. `path` means a unix socket and wins over `host` and `port`."""
        loop = asyncio.get_running_loop()
        self.sweeper.start()
        scheme = b"https" if tls is not None else b"http"
        handshake = self.deadlines.header if tls is not None else None

        def connect() -> Connection:
            return Connection(self, loop, scheme)

        if path is not None:
            _remove_stale_socket(path)
            server = await loop.create_unix_server(
                connect, path, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=handshake
            )
            bound = 0
        else:
            server = await loop.create_server(
                connect,
                host,
                port,
                ssl=tls,
                backlog=BACKLOG,
                reuse_port=reuse_port or None,
                ssl_handshake_timeout=handshake,
            )
            bound = server.sockets[0].getsockname()[1]
        listener = Listener(server, bound, path)
        self._listeners.append(listener)
        return listener

    def apply(self, limits: Limits, deadlines: Deadlines) -> None:
        """Use other limits and deadlines from the next phase of each request on."""
        self.limits = limits
        self.small_body = min(SMALL_BODY, limits.body_bytes)
        self.small_head = min(SMALL_HEAD, limits.header_bytes)
        self.deadlines = deadlines

    async def drain(self, patience: float, forced: float) -> bool:
        """Stop accepting and wait for what runs. True when nothing had to be cut.

        After `patience` seconds the rest is cancelled and given `forced` seconds to say goodbye.
        """
        self.draining = True
        self._stop_listening()
        for connection in list(self.connections):
            connection.drain()
        waiting = asyncio.ensure_future(self._wait_empty(patience))
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait((waiting, hurried), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        waiting.cancel()
        await asyncio.gather(hurried, waiting, return_exceptions=True)
        if not self.connections:
            return True
        for connection in list(self.connections):
            connection.interrupt()
        await self._wait_empty(forced)
        await self.close()
        return False

    def hurry(self) -> None:
        """Wait no longer: a drain in progress goes to its last phase."""
        self._hurried.set()

    async def close(self) -> None:
        """Stop at once, cutting what still runs."""
        self._stop_listening()
        for connection in list(self.connections):
            connection.kill()
        await self._wait_empty(1.0)
        if self._owns_sweeper:
            self.sweeper.stop()

    def replace(self, connection: Connection, successor: WebSocketConnection) -> None:
        """The same socket speaks another protocol from now on."""
        self.connections.discard(connection)
        self.connections.add(successor)

    def discard(self, connection: Open) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if self._empty is not None and not self.connections:
            self._empty.set()

    async def _wait_empty(self, patience: float) -> bool:
        if not self.connections:
            return True
        self._empty = asyncio.Event()
        try:
            await asyncio.wait_for(self._empty.wait(), patience)
        except TimeoutError:
            return False
        finally:
            self._empty = None
        return True

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _tick(self, now: float, lag: float) -> None:
        second = int(time())
        if second != self._date_second:
            self._date_second = second
            self.date = b"date: " + formatdate(second, usegmt=True).encode("ascii") + b"\r\n"


def server_tls(cert: str, key: str) -> ssl.SSLContext:
    """A server context: TLS 1.2 or later, HTTP/1.1 by ALPN. Raises ValueError naming the files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # SSLError is one
        reason = error.strerror or "not a matching pair of PEM files"
        raise ValueError(f"cannot use certificate {cert} with key {key}: {reason}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _remove_stale_socket(path: str) -> None:
    """A socket file that a dead process left behind would make bind fail; a live one is kept."""
    file = Path(path)
    if not file.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            file.unlink()
