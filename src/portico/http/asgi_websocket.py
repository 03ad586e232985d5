"""A WebSocket of an ASGI host as a `messages.Socket`.

Framing, message size on the wire, pings and the closing handshake are the host server's business;
order, limits, back-pressure, age and the disconnect watch are ours.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any

from portico.http.messages import Conversing, Request, SocketClosed, Source
from portico.http.websocket import GRACE_SECONDS
from portico.limits import Deadlines, Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("portico.http")

NORMAL, GOING_AWAY, BINARY, GONE, TOO_BIG, DEFECT = 1000, 1001, 1003, 1006, 1009, 1011


class AsgiSocket:
    """Messages are queued both ways; `read` and `pump` move them."""

    def __init__(self, limits: Limits) -> None:
        self.closed = False
        self.draining = False
        self.opened = monotonic()
        self.working: asyncio.Future[None] | None = None
        self._limits = limits
        self._code = 0
        self._ready: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._receiving = False
        self._out: asyncio.Queue[Message | None] = asyncio.Queue()
        self._waiting = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._source: Source | None = None

    async def receive(self) -> str:
        """The next message. Raises `SocketClosed`."""
        self._receiving = True
        try:
            while not self.closed and not self.draining:
                if self._ready:
                    self._room.set()
                    return self._ready.popleft()
                self._arrived.clear()
                await self._arrived.wait()
        finally:
            self._receiving = False
        raise SocketClosed(self._code or GOING_AWAY)

    def send(self, message: bytes) -> None:
        """Queue one text message."""
        if self.closed:
            return
        self._waiting += len(message)
        self._out.put_nowait({"type": "websocket.send", "text": message.decode(errors="replace")})
        if self._waiting > self._limits.relay_buffer and self._writable.is_set():
            self._writable.clear()
            if self._source is not None:
                self._source.pause()

    async def drained(self) -> None:
        """Return once more may be written."""
        await self._writable.wait()

    def attach(self, source: Source | None) -> None:
        """Tell whom to pause while the peer is slow."""
        self._source = source
        if source is not None and not self._writable.is_set():
            source.pause()

    def close(self, code: int, reason: str) -> None:
        """Queue the goodbye."""
        if not self.closed:
            self._out.put_nowait({"type": "websocket.close", "code": code, "reason": reason})
            self._shut(code)

    def leave(self, code: int) -> None:
        """The peer has left. Whoever works for it stops."""
        if not self.closed:
            self._shut(code)
            self.stop()

    def stop(self) -> None:
        """Cancel what is being served, or end the wait for more."""
        self.draining = True
        self._arrived.set()
        if not self._receiving and self.working is not None:
            self.working.cancel()

    async def read(self, receive: Receive) -> None:
        """Take in messages until the peer leaves; only so many wait."""
        while (message := await receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if self.closed:
                continue
            if text is None:
                self._cut(BINARY, "only text messages are read here")
            elif len(text) > self._limits.body_bytes:
                self._cut(TOO_BIG, "the message is too big")
            else:
                self._ready.append(text)
                self._arrived.set()
                while len(self._ready) >= self._limits.websocket_queued_messages:
                    self._room.clear()
                    await self._room.wait()
        self.leave(message.get("code") or GONE)

    async def pump(self, send: Send) -> None:
        """Send what is queued until the goodbye."""
        while (message := await self._out.get()) is not None:
            try:
                await send(message)
            except Exception:  # the host says in its own way that the peer is gone
                self.leave(GONE)
                return
            self._waiting -= len(message.get("text", ""))
            if not self._writable.is_set() and self._waiting <= self._limits.relay_buffer // 4:
                self._writable.set()
                if self._source is not None:
                    self._source.resume()

    def _cut(self, code: int, reason: str) -> None:
        self.close(code, reason)
        self.stop()

    def _shut(self, code: int) -> None:
        self.closed = True
        self._code = code
        self._ready.clear()
        self._source = None
        self._arrived.set()
        self._room.set()
        self._writable.set()
        self._out.put_nowait(None)


async def converse(
    app: Conversing,
    request: Request,
    receive: Receive,
    send: Send,
    limits: Limits,
    deadlines: Deadlines,
) -> None:
    """Accept the WebSocket and serve it to its end."""
    await send({"type": "websocket.accept"})
    socket = AsgiSocket(limits)
    working = socket.working = asyncio.ensure_future(app.converse(request, socket))
    reading = asyncio.ensure_future(socket.read(receive))
    pumping = asyncio.ensure_future(socket.pump(send))
    try:
        await asyncio.wait((working,), timeout=deadlines.websocket + GRACE_SECONDS)
        if not working.done():
            socket.stop()
            await asyncio.wait((working,), timeout=deadlines.drain_forced)
        socket.close(*_ending(working, socket))
        await asyncio.wait((pumping,), timeout=deadlines.write)
    finally:
        for task in (working, reading, pumping):
            task.cancel()
        await asyncio.gather(working, reading, pumping, return_exceptions=True)


def _ending(working: "asyncio.Future[None]", socket: AsgiSocket) -> tuple[int, str]:
    """The close code for how the application ended."""
    if not working.done() or working.cancelled():
        return GOING_AWAY, ""
    fault = working.exception()
    if fault is None or isinstance(fault, SocketClosed):
        return (GOING_AWAY if socket.draining else NORMAL), ""
    log.error("the application let an exception escape", exc_info=fault)
    return DEFECT, ""
