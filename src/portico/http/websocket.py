"""A connection that has become a WebSocket (RFC 6455): frames to messages, and who waits for what.

The framing is `websockets.server.ServerProtocol`, which does no I/O; extensions are not offered, so
nothing is ever inflated. What is here is everything around it: the application's `Socket`, limits,
deadlines, back-pressure in both directions, and the way down.

Reading stops while enough messages wait to be taken, and while a peer that takes nothing makes us
answer pings. Otherwise the connection reads all the time, because that is how a closed socket is
noticed. A read is worked off in turns, so that a megabyte of tiny frames does not hold the loop.
"""

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from portico.http.deadlines import NEVER
from portico.http.messages import Conversing, Request, SocketClosed, Source
from portico.http.reply import LINGER_SECONDS

if TYPE_CHECKING:
    from portico.http.server import HttpServer

log = logging.getLogger("portico.http")

HANDSHAKE_REFUSED = (
    b"connection: close, upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
)
"""Head lines of the answer to a handshake that is none (RFC 6455 section 4.4; RFC 9110 section
15.5.22 wants `upgrade` in a 426)."""

GRACE_SECONDS = 30.0
"""How long after `deadlines.websocket` the application may take to close by itself."""
SLICE = 4096
"""Bytes parsed between two looks at the limits: as many small messages as fit into one slice can
wait beyond `limits.websocket_queued_messages`."""
TURN = 64 * 1024
TURN_FRAMES = 500
"""Bytes and frames parsed before others get a turn."""
MAX_REASON = 123
"""A control frame carries 125 bytes, two of them are the code."""

# The library would log whole frames, with what callers say in them.
_SILENT = logging.getLogger("portico.http.websocket.frames")
_SILENT.setLevel(logging.ERROR)


class WebSocketConnection(asyncio.Protocol):
    """`messages.Socket` on a server's own connection; see there for what its members promise."""

    __slots__ = (
        "_answered", "_app", "_buffered_seen", "_cancelled", "_cap", "_closing_by", "_code",
        "_counted", "_finished", "_heard", "_late_at", "_loop", "_message_by", "_overdue",
        "_partial", "_paused", "_pending", "_ping_at", "_pinged", "_ready", "_ready_bytes",
        "_request", "_scheduled", "_source", "_taken", "_task", "_transport", "_unread",
        "_waiter", "_wire", "_writable", "closed", "deadline", "draining", "opened", "server",
        "write_paused",
    )  # fmt: skip

    def __init__(
        self,
        server: "HttpServer",
        app: Conversing,
        loop: asyncio.AbstractEventLoop,
        request: Request,
    ) -> None:
        self.server = server
        self._app = app
        self._loop = loop
        self._request = request
        self._wire = ServerProtocol(state=OPEN, max_size=server.limits.body_bytes, logger=_SILENT)
        self._transport: Any = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        # what has been read
        self._unread = b""
        self._scheduled = False
        self._paused = False
        self._answered = False
        self._pending = 0
        self._partial = bytearray()
        self._ready: deque[tuple[str, int]] = deque()
        self._ready_bytes = 0
        self._taken = 0
        self._counted = 0
        self._waiter: asyncio.Future[None] | None = None
        # what is being written
        self.write_paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._source: Source | None = None
        self._buffered_seen = 0
        # how it ends
        self.closed = False
        self.draining = server.draining
        self._code = 0
        self._finished = False
        self._overdue = False
        # when, in seconds of the monotonic clock
        self.opened = now = monotonic()
        self._heard = now
        self._pinged = 0.0
        self._ping_at = now + server.deadlines.websocket_ping
        self._cap = now + server.deadlines.websocket + GRACE_SECONDS
        self._message_by = self._late_at = self._closing_by = NEVER
        self.deadline = NEVER

    def begin(self, transport: asyncio.BaseTransport, early: bytes) -> None:
        """Answer the handshake and start the application; `early` was read behind the head."""
        self._transport = transport
        key = self._request.headers[b"sec-websocket-key"].decode("ascii")
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\n%bupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: %b\r\n\r\n" % (self.server.date, accept_key(key).encode())
        )
        self.server.sweeper.members.add(self)
        self._arm()
        self._task = self._loop.create_task(self._run())
        if early:
            self.data_received(early)

    async def _run(self) -> None:
        code = CloseCode.GOING_AWAY  # if cancelled
        try:
            await self._app.converse(self._request, self)
            code = CloseCode.NORMAL_CLOSURE
        except SocketClosed:
            code = CloseCode.NORMAL_CLOSURE
        except Exception:
            code = CloseCode.INTERNAL_ERROR
            log.exception("the application let an exception escape")
        finally:
            self._task = None
            self._taken = 0
            self._count()
            if self.draining and code == CloseCode.NORMAL_CLOSURE:
                code = CloseCode.GOING_AWAY
            self.close(code, "")

    # -- what the application sees --------------------------------------------------------------

    async def receive(self) -> str:
        """The next message. Raises `SocketClosed`."""
        if self._waiter is not None:
            raise RuntimeError("another task waits for the same socket")
        self._taken = 0
        while True:
            if self.closed or self.draining:
                self._count()
                raise SocketClosed(self._code or CloseCode.GOING_AWAY)
            if self._ready:
                text, size = self._ready.popleft()
                self._ready_bytes -= size
                self._taken = size
                self._count()
                self._read_on()
                return text
            self._count()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def send(self, message: bytes) -> None:
        """Write one text message, in UTF-8."""
        if not self.closed:
            self._wire.send_text(message)
            self._flush()

    async def drained(self) -> None:
        """Return once more may be written."""
        await self._writable.wait()

    def attach(self, source: Source | None) -> None:
        """Tell whom to pause while the peer is slow."""
        self._source = source
        if source is not None and self.write_paused:
            source.pause()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; what still comes in is ignored."""
        if self.closed:
            return
        self._wire.send_close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))
        self._closing_by = monotonic() + LINGER_SECONDS
        self._shut(code)
        self._flush()
        self._arm()

    # -- transport callbacks ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._finished:
            return
        self._heard = monotonic()
        self._unread = self._unread + data if self._unread else data
        if not self._scheduled:
            self._read_on()

    def eof_received(self) -> bool:
        self._leave(CloseCode.ABNORMAL_CLOSURE)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        server = self.server
        server.sweeper.members.discard(self)
        server.events.connections_closed()
        self._finished = True
        self._unread = b""
        self._leave(CloseCode.ABNORMAL_CLOSURE)
        self._taken = 0
        self._count()
        server.discard(self)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._writable.clear()
        self._buffered_seen = self._transport.get_write_buffer_size()
        self._late_at = monotonic() + self.server.deadlines.write
        self._arm()
        if self._source is not None:
            self._source.pause()

    def resume_writing(self) -> None:
        self.write_paused = self._answered = False
        self._writable.set()
        self._late_at = NEVER
        if self.closed:
            self._closing_by = monotonic() + LINGER_SECONDS
        self._arm()
        if self._source is not None:
            self._source.resume()
        self._read_on()

    # -- reading --------------------------------------------------------------------------------

    def _read_on(self) -> None:
        """Parse what was read, as far as the limits allow, and read more or not accordingly."""
        self._scheduled = False
        data, at, frames = self._unread, 0, 0
        while at < len(data) and at < TURN and frames < TURN_FRAMES and not self._enough():
            piece = data[at : at + SLICE]
            at += SLICE
            self._pending += len(piece)
            self._wire.receive_data(piece)
            frames += self._take_events()
        self._unread = b"" if self._finished else data[at:]
        self._count()
        if self._finished:
            return
        stop = self._enough()
        if self._unread and not stop:
            self._scheduled = True
            self._loop.call_soon(self._read_on)
        self._await_message(stop)
        self._regulate(stop or bool(self._unread))

    def _enough(self) -> bool:
        """Whether nothing more is to be read for now."""
        if self.closed:
            return self._finished
        many = len(self._ready) >= self.server.limits.websocket_queued_messages
        return many or (self.write_paused and self._answered)

    def _regulate(self, pause: bool) -> None:
        if pause != self._paused and not self._transport.is_closing():
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._heard = monotonic()  # it could not be heard
                self._transport.resume_reading()

    def _await_message(self, stopped: bool) -> None:
        """A message that has begun must come whole within `deadlines.body`, while we read."""
        if stopped or self.closed or not (self._partial or self._pending):
            self._message_by = NEVER
        elif self._message_by == NEVER:
            self._message_by = monotonic() + self.server.deadlines.body
            self._arm()

    def _take_events(self) -> int:
        """Deal with the frames that are whole; how many there were."""
        wire = self._wire
        events = wire.events_received()
        for frame in events:
            self._pending = 0
            if isinstance(frame, Frame) and not self.closed:
                self._take(frame)
        if wire.state is not OPEN and not self.closed:
            if isinstance(wire.parser_exc, PayloadTooBig):
                self.server.events.limit_hit("bodyBytes")
            said = wire.close_sent if wire.parser_exc else wire.close_rcvd
            self._leave(said.code if said is not None else CloseCode.ABNORMAL_CLOSURE)
        self._flush()
        return len(events)

    def _take(self, frame: Frame) -> None:
        kind, data = frame.opcode, frame.data
        if kind is Opcode.PING:
            self._answered = self.write_paused
        elif kind is Opcode.BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "only text messages are read here")
        elif kind is Opcode.TEXT and frame.fin:
            self._queue(data)
        elif kind is Opcode.TEXT or kind is Opcode.CONT:
            self._partial += data  # joined at once: a list of one-byte pieces has no bound
            if frame.fin:
                whole, self._partial = self._partial, bytearray()
                self._queue(whole)

    def _queue(self, data: Any) -> None:
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "the message is not valid UTF-8")
            return
        self._ready.append((text, len(data)))
        self._ready_bytes += len(data)
        self._wake()

    def _count(self) -> None:
        """Bring the server's account of buffered bytes up to date. Like bodies, little is free."""
        server = self.server
        held = self._ready_bytes + self._taken + self._pending + len(self._partial)
        held += len(self._unread)
        counted = held if held > server.small_body else 0
        if counted != self._counted:
            grown = counted > self._counted
            server.buffered_bytes += counted - self._counted
            self._counted = counted
            if grown and server.buffered_bytes > server.limits.buffered_body_bytes:
                server.events.limit_hit("bufferedBodyBytes")
                self._fail(CloseCode.TRY_AGAIN_LATER, "too many large messages at once")

    # -- ending ---------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write what the framing wants written."""
        for data in self._wire.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._finish()

    def _finish(self) -> None:
        """The last frame is written. After a handshake the peer sends no more; otherwise what it
        sends is discarded for a while, so that a RST does not overtake our last word."""
        self._finished = True
        self._unread = b""
        self._closing_by = monotonic() + LINGER_SECONDS
        self._regulate(False)
        if self._wire.close_rcvd is not None:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self._arm()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """The peer does what it may not: say why, and hear no more of it."""
        self._wire.fail(code, reason)
        self._leave(code)
        self._flush()

    def _leave(self, code: int) -> None:
        """Nothing will come from the peer any more. Whoever works for it stops."""
        if not self.closed:
            self._shut(code)
        if self._task is not None and self._waiter is None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def _shut(self, code: int) -> None:
        """Neither side speaks from here on; let go of what was said and of who waits."""
        self.closed = True
        self._code = code
        self._ready.clear()
        self._ready_bytes = self._pending = 0
        self._partial = bytearray()
        self._message_by = NEVER
        self._source = None
        self._writable.set()
        self._wake()
        if not self._finished:
            self._regulate(False)  # to see the peer's goodbye
        self._count()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- deadlines and drain --------------------------------------------------------------------

    def _arm(self) -> None:
        self.deadline = min(
            self._late_at if self.write_paused else self._closing_by,
            NEVER if self.closed else min(self._ping_at, self._message_by, self._cap),
        )

    def expire(self, now: float) -> None:
        """`Sweeper` found one of the deadlines passed."""
        server = self.server
        if self.write_paused and now >= self._late_at:
            waiting = self._transport.get_write_buffer_size()
            if waiting >= self._buffered_seen:
                server.events.limit_hit("write")
                self._transport.abort()
                return
            self._buffered_seen = waiting
            self._late_at = now + server.deadlines.write
        elif self.closed:
            self._transport.abort()
            return
        elif now >= self._cap:
            server.events.limit_hit("websocket")
            if self._overdue:
                self._transport.abort()
                return
            self._overdue = True
            self._cap = now + server.deadlines.drain_forced
            self.interrupt()
        elif now >= self._message_by:
            server.events.limit_hit("body")
            self._fail(CloseCode.POLICY_VIOLATION, "the message did not arrive in time")
        elif now >= self._ping_at:
            self._ping(now)
        self._arm()

    def _ping(self, now: float) -> None:
        """Ask a silent peer whether it is there. Whatever comes from it is an answer."""
        every = self.server.deadlines.websocket_ping
        if self.write_paused:  # `deadlines.write` is counting
            self._ping_at = now + every
            return
        if self._pinged > self._heard and not self._paused:
            self.server.events.limit_hit("websocketPing")
            self._fail(CloseCode.INTERNAL_ERROR, "no answer to a ping")
            return
        if not self._paused and self._heard + every > now:
            self._ping_at = self._heard + every
            return
        self._wire.send_ping(b"")
        self._pinged = now
        self._ping_at = now + every
        self._flush()

    def drain(self) -> None:
        """Close if idle, otherwise when the application asks for more."""
        self.draining = True
        if self._waiter is not None or self._task is None:
            self.close(CloseCode.GOING_AWAY, "this gateway is restarting")

    def interrupt(self) -> None:
        """Stop what is being served; the application still may write a last word."""
        self.draining = True
        if self._waiter is not None:
            self._wake()
        elif self._task is not None:
            if not self._cancelled:
                self._cancelled = True
                self._task.cancel()
        else:
            self.close(CloseCode.GOING_AWAY, "")

    def kill(self) -> None:
        """Close at once."""
        self._transport.abort()
