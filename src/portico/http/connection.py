"""One client connection: bytes to requests, replies to bytes, every limit and deadline between.

The connection reads all the time, also while a request is being served, because a closed socket is
only noticed by reading it: that is how a client that leaves stops the meter at once. Requests that
were pipelined meanwhile wait in a short queue and are answered in order.

A FIN does not say whether the client is gone or has only finished sending. While a reply is owed,
the connection is probed with what HTTP allows at that point (an interim `100 Continue`, or an SSE
comment); a peer that is really gone answers with RST and the next probe fails.
"""

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from portico.errors import (
    BadRequest,
    ClientFault,
    InternalError,
    Overloaded,
    PorticoError,
    RequestTimeout,
    TooLarge,
)
from portico.http.deadlines import NEVER
from portico.http.messages import Request
from portico.http.reply import SocketReply, linger_none
from portico.http.strict import (
    has_body,
    head_fault,
    parser_reason,
    repeated,
    split_target,
    trailer_fault,
    without_upgrade,
)

if TYPE_CHECKING:
    from portico.http.server import HttpServer
    from portico.limits import Limits

log = logging.getLogger("portico.http")

# Where the connection is in reading. Plain ints: compared several times per request.
IDLE, HEAD, BODY, LINGER = range(4)

LINGER_SECONDS = 2.0
"""How long unread request bytes are discarded after an early answer, so that a RST does not
destroy the answer before the client has read it."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_PROBE_GAP = 1.0
MANY_PIECES = 1024
"""Body pieces beyond this many are joined: two-byte chunks would cost thirty times their size."""


class _StopParsingError(Exception):
    """Stops the parser from inside a callback; the reason is in `Connection._fault`."""


class Connection(asyncio.Protocol):
    """See the module docstring. Created by `HttpServer.listen` for each accepted socket."""

    __slots__ = (
        "_active",
        "_again",
        "_app",
        "_body",
        "_body_raw",
        "_body_size",
        "_body_started",
        "_buffered_seen",
        "_eof",
        "_fault",
        "_feed_size",
        "_head_bytes",
        "_headers",
        "_held",
        "_joined",
        "_loop",
        "_memory",
        "_parser",
        "_peer",
        "_phase",
        "_probe_gap",
        "_queue",
        "_raw_seen",
        "_repeats",
        "_request",
        "_scheme",
        "_size_seen",
        "_task",
        "_trailers",
        "_transport",
        "_url",
        "_version_10",
        "deadline",
        "last_reply",
        "server",
        "write_paused",
    )

    def __init__(
        self, server: "HttpServer", loop: asyncio.AbstractEventLoop, scheme: bytes
    ) -> None:
        self.server = server
        self._app = server.app
        self._loop = loop
        self._scheme = scheme
        self._parser: Any = HttpRequestParser(self)
        self._transport: Any = None
        self._peer = ""
        self._memory: dict[Any, Any] = {}
        self._phase = IDLE
        self._url = b""
        self._again = b""
        self._headers: dict[bytes, bytes] = {}
        self._trailers: dict[bytes, bytes] = self._headers
        self._request: Request | None = None
        self._body: list[bytes] = []
        self._body_size = 0
        self._body_raw = 0
        self._body_started = 0.0
        self._held = 0
        self._joined = 0
        self._raw_seen = 0
        self._size_seen = 0
        self._repeats = 0
        self._head_bytes = 0
        self._feed_size = 0
        self._fault: PorticoError | None = None
        self._queue: deque[tuple[Request | None, SocketReply, PorticoError | None]] = deque()
        self._active: SocketReply | None = None
        self._task: asyncio.Task[None] | None = None
        self._eof = False
        self._probe_gap = 0.0
        self._buffered_seen = 0
        self.deadline = NEVER
        self.last_reply = server.draining
        self.write_paused = False

    # -- transport callbacks ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self.server
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else "unix"
        self._transport.set_write_buffer_limits(server.limits.relay_buffer)
        server.connections.add(self)
        server.sweeper.members.add(self)
        server.events.connections_opened()
        self.deadline = monotonic() + server.deadlines.header
        open_now, most = len(server.connections), server.limits.connections
        if open_now > most:
            server.events.limit_hit("connections")
            if open_now > most + most // 10:
                self._transport.abort()  # a flood is not worth an answer each
            else:
                self._refuse(None, Overloaded("Too many open connections."))

    def connection_lost(self, exc: Exception | None) -> None:
        server = self.server
        server.sweeper.members.discard(self)
        server.events.connections_closed()
        self._parser = None  # it holds us
        self._phase = LINGER
        self._drop_body()
        while self._queue:
            server.buffered_bytes -= self._queue.popleft()[1].held_bytes
        active = self._active
        if active is not None:
            self._active = None
            server.buffered_bytes -= active.held_bytes
            active.detach()
            if self._task is not None:
                self._task.cancel()
        self._task = None
        server.discard(self)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase == LINGER:
            return
        size = self._feed_size = len(data)
        if phase == BODY:
            self._body_raw += size
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as offer:
            again = self._again
            if again:
                self._again = b""
                self._parser = HttpRequestParser(self)
                self.data_received(again + data[offer.args[0] :])
                return
            # What follows is another protocol's bytes. The request itself is served as HTTP.
            self.last_reply = True
            self._phase = LINGER
            return
        except HttpParserCallbackError as error:
            if self._phase == LINGER:
                return
            fault, self._fault = self._fault, None
            if fault is None:
                log.error("defect in the request parser's callbacks", exc_info=error)
                fault = InternalError("Internal error.")
            self._refuse(self._request, fault)
            return
        except HttpParserError as error:
            self.server.events.http_rejected("malformed")
            fault = BadRequest(f"Malformed HTTP: {parser_reason(error)}.", code="bad_http")
            self._refuse(self._request, fault)
            return
        phase = self._phase
        if phase == IDLE:
            return
        if phase == HEAD:
            self._head_incomplete(size)
        elif phase == BODY:
            self._body_incomplete()

    def eof_received(self) -> bool:
        if self._scheme == b"https" or (self._active is None and not self._queue):
            return False
        self._eof = True
        self._probe(monotonic())
        return True

    def pause_writing(self) -> None:
        self.write_paused = True
        self._buffered_seen = self._transport.get_write_buffer_size()
        self.deadline = monotonic() + self.server.deadlines.write
        if self._active is not None and self._active.source is not None:
            self._active.source.pause()

    def resume_writing(self) -> None:
        self.write_paused = False
        active = self._active
        if active is not None:
            self.deadline = monotonic() if self._eof else NEVER
            if active.source is not None:
                active.source.resume()
        elif self._queue:
            self._loop.call_soon(self._next)
        elif self._phase != LINGER:
            self.deadline = self._reading_deadline()

    # -- parser callbacks ---------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._phase = HEAD
        self._url = self._url + url if self._url else url
        if len(self._url) > self.server.limits.request_line:
            self._limit("requestLine", "The request line is too long.", 414)

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        if name in headers:
            self._repeats += 1
            if self._repeats > self.server.limits.header_count:
                self._limit("headerCount", "Too many header fields.", 431)
            fault = repeated(headers, name, value)
            if fault is not None:
                self._bad(fault)
        else:
            headers[name] = value

    def on_headers_complete(self) -> None:
        server = self.server
        limits = server.limits
        headers = self._headers
        if (
            self._feed_size > server.small_head
            or len(headers) > limits.header_count
            or self._repeats
            or self._head_bytes
        ):
            self._check_head_size(limits, headers)
        parser = self._parser
        version = parser.get_http_version()
        fault = head_fault(version, headers)
        if fault is not None:
            self._bad(fault)
        parts = split_target(self._url, headers.get(b"host"))
        if parts is None:
            self._bad("The request target is not a path.")
            return
        if b"upgrade" in headers and parser.should_upgrade() and has_body(headers):
            # The parser would skip the body. An offer may be ignored (RFC 9110 section 7.8).
            self._again = without_upgrade(parser.get_method(), self._url, version, headers)
            self._url = b""
            self._headers = {}
            return
        self._version_10 = version == "1.0"
        self._request = request = Request(
            parser.get_method(), parts[0], parts[1], headers, self._peer, monotonic(), self._memory
        )
        self._phase = BODY
        self._head_bytes = 0
        self._trailers = self._headers = {}
        self._fault = self._app.admit(request)
        if self._fault is not None:
            raise _StopParsingError
        length = headers.get(b"content-length")
        if length is not None and int(length) > limits.body_bytes:
            self._limit("bodyBytes", _body_too_large(limits.body_bytes), 413)
        expected = headers.get(b"expect")
        waits = expected is not None and expected.lower() == b"100-continue"  # others: MAY 417
        if waits and self._active is None and version == "1.1":
            self._transport.write(CONTINUE)

    def on_body(self, data: bytes) -> None:
        server = self.server
        size = self._body_size = self._body_size + len(data)
        self._body.append(data)
        if size > server.small_body:
            limits = server.limits
            if size > limits.body_bytes:
                self._limit("bodyBytes", _body_too_large(limits.body_bytes), 413)
            server.buffered_bytes += size - self._held
            self._held = size
            if server.buffered_bytes > limits.buffered_body_bytes:
                server.events.limit_hit("bufferedBodyBytes")
                self._fault = Overloaded("Too many large requests at once.")
                raise _StopParsingError

    def on_message_complete(self) -> None:
        request = self._request
        if request is None:  # to be read again without its upgrade
            return
        if self._trailers:
            if len(self._trailers) > self.server.limits.header_count:
                self._limit("headerCount", "Too many trailer fields.", 431)
            fault = trailer_fault(self._trailers)
            if fault is not None:
                self._bad(fault)
            self._headers = {}
        body = self._body
        reply = SocketReply(self, self._transport.write)
        if body:
            request.body = body[0] if len(body) == 1 else b"".join(body)
            self._body = []
            self._body_size = 0
            reply.held_bytes = self._held
            self._held = 0
        if self._body_raw:
            self._restart_body()
        self._url = b""
        self._request = None
        self._phase = IDLE
        if not self._parser.should_keep_alive():
            reply.keep_alive = False
        if self._version_10:
            reply.version_10 = True
        if request.method == b"HEAD":
            reply.head_only = True
        if self._active is None and not self._queue and not self.write_paused:
            self._serve(request, reply)
        elif len(self._queue) < self.server.limits.pipelined_requests:
            self._queue.append((request, reply, None))
        else:
            # Answer what is queued, then close: reading on unanswered would need more memory, and
            # not reading would blind the disconnect watch.
            self.server.events.limit_hit("pipelinedRequests")
            self.server.buffered_bytes -= reply.held_bytes
            self._queue[-1][1].keep_alive = False
            self._phase = LINGER
            raise _StopParsingError

    # -- serving ------------------------------------------------------------------------------

    def _serve(self, request: Request, reply: SocketReply) -> None:
        self._active = reply
        self.deadline = monotonic() if self._eof else NEVER
        self._task = self._loop.create_task(self._run(request, reply))

    async def _run(self, request: Request, reply: SocketReply) -> None:
        try:
            await self._app.handle(request, reply)
        except Exception:
            log.exception("the application let an exception escape")
        finally:
            if self._active is reply:  # it did not end
                reply.abort()

    def reply_done(self, reply: SocketReply) -> None:
        """The reply wrote its last byte."""
        self._active = None
        self._task = None
        server = self.server
        server.buffered_bytes -= reply.held_bytes
        if not reply.keep_alive or self.last_reply:
            while self._queue:
                server.buffered_bytes -= self._queue.popleft()[1].held_bytes
            self._shut()
        elif self._queue:
            if not self.write_paused:
                self._loop.call_soon(self._next)
        elif self._eof:
            self._shut()
        elif not self.write_paused:
            if self._phase == IDLE:
                self.deadline = monotonic() + server.deadlines.keep_alive
            else:
                self.deadline = self._reading_deadline()

    def _next(self) -> None:
        if self._queue and self._active is None and not self.write_paused:
            request, reply, error = self._queue.popleft()
            if error is not None:
                self._active = reply
                self._app.refuse(request, reply, error)
            elif request is not None:
                self._serve(request, reply)

    def _refuse(self, request: Request | None, error: PorticoError) -> None:
        """Answer an error now or in turn, read nothing more as HTTP, and close after it."""
        self._drop_body()
        self._phase = LINGER
        reply = SocketReply(self, self._transport.write)
        reply.keep_alive = False
        if request is not None and request.method == b"HEAD":
            reply.head_only = True
        if self._active is not None or self._queue:
            self._queue.append((request, reply, error))
            return
        self._active = reply
        self._app.refuse(request, reply, error)

    def _shut(self) -> None:
        """Close after what was written is flushed, discarding what the client still sends."""
        if self._phase == LINGER and not self._eof:
            self.deadline = monotonic() + LINGER_SECONDS
            if self._transport.can_write_eof():
                self._transport.write_eof()
        else:
            self._phase = LINGER
            self.deadline = monotonic() + self.server.deadlines.write
            self._transport.close()

    # -- deadlines and drain ------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """`Sweeper` found the deadline passed."""
        server = self.server
        if self._active is not None and not self.write_paused:
            if self._eof:
                self._probe(now)
            else:
                self.deadline = NEVER
        elif self.write_paused:
            waiting = self._transport.get_write_buffer_size()
            if waiting < self._buffered_seen:
                self._buffered_seen = waiting
                self.deadline = now + server.deadlines.write
            else:
                server.events.limit_hit("write")
                self._transport.abort()
        elif self._phase == HEAD:
            server.events.limit_hit("header")
            self._refuse(None, RequestTimeout("The request head did not arrive in time."))
        elif self._phase == BODY:
            self._body_late(now)
        elif self._phase == IDLE and not self._eof:
            self._phase = LINGER
            self.deadline = now + LINGER_SECONDS
            self._transport.close()
        else:
            self._transport.abort()

    def drain(self) -> None:
        """Close if idle, otherwise after the current reply."""
        self.last_reply = True
        if self._active is None and self._phase == IDLE and not self._queue:
            self._transport.close()

    def interrupt(self) -> None:
        """Cancel what is being served; the application still may write a last word."""
        if self._task is not None:
            self._task.cancel()
        elif self._active is None:
            self._transport.close()

    def kill(self, *, reset: bool = False) -> None:
        """Close at once; with `reset`, so that the peer sees RST and not an orderly end."""
        if reset:
            linger_none(self._transport)
        self._transport.abort()

    def _reading_deadline(self) -> float:
        deadlines = self.server.deadlines
        if self._phase == IDLE:
            return monotonic() + deadlines.keep_alive
        if self._phase == HEAD:
            return monotonic() + deadlines.header
        self._body_started = monotonic()
        return self._body_started + min(deadlines.body, deadlines.body_rate_grace)

    def _head_incomplete(self, size: int) -> None:
        limits = self.server.limits
        if self._head_bytes == 0:
            # The first read may hold earlier requests too; it is bounded by the transport.
            if self._active is None:
                self.deadline = monotonic() + self.server.deadlines.header
            size = 1
        self._head_bytes += size
        if self._head_bytes > limits.header_bytes + limits.request_line:
            self.server.events.limit_hit("headerBytes")
            error = TooLarge("The header fields are too large.")
            error.http_status = 431
            self._refuse(None, error)

    def _body_incomplete(self) -> None:
        if self._body_started == 0.0 and self._active is None:
            self.deadline = self._reading_deadline()
        raw, size = self._body_raw, self._body_size
        if size != self._size_seen:
            self._size_seen = size
            self._raw_seen = raw
        most = self.server.limits.chunk_overhead_bytes
        if raw > most + 8 * size or raw - self._raw_seen > most:
            self.server.events.limit_hit("chunkOverheadBytes")
            fault = BadRequest("Chunk framing outweighs the body.", code="bad_http")
            self._refuse(self._request, fault)
            return
        pieces, joined = self._body, self._joined
        if len(pieces) - joined > MANY_PIECES:
            pieces[joined:] = [b"".join(pieces[joined:])]
            self._joined = joined + 1

    def _body_late(self, now: float) -> None:
        server = self.server
        elapsed = now - self._body_started
        in_time = elapsed < server.deadlines.body
        if in_time and self._body_size >= elapsed * server.limits.body_min_rate:
            self.deadline = min(self._body_started + server.deadlines.body, now + 1.0)
            return
        server.events.limit_hit("bodyMinRate" if in_time else "body")
        self._refuse(self._request, RequestTimeout("The request body did not arrive in time."))

    def _probe(self, now: float) -> None:
        reply = self._active
        if reply is None:
            return
        self._probe_gap = min(max(self._probe_gap * 2, 0.05), MAX_PROBE_GAP)
        self.deadline = now + self._probe_gap
        if not reply.started:
            if reply.version_10:
                # Nothing may be said before an HTTP/1.0 answer, and proxies never half-close.
                self._transport.abort()
            else:
                self._transport.write(CONTINUE)
        elif reply.probe:
            reply.write(reply.probe)

    # -- refusing from inside a parser callback -----------------------------------------------

    def _check_head_size(self, limits: "Limits", headers: dict[bytes, bytes]) -> None:
        """Raise over the limits. Not called for a short head without repetitions."""
        if len(headers) + self._repeats > limits.header_count:
            self._limit("headerCount", "Too many header fields.", 431)
        self._repeats = 0
        size = sum(len(k) + len(v) + 4 for k, v in headers.items())
        if size > limits.header_bytes:
            self._limit("headerBytes", "The header fields are too large.", 431)

    def _bad(self, reason: str) -> None:
        self.server.events.http_rejected("malformed")
        self._fault = BadRequest(reason, code="bad_http")
        raise _StopParsingError

    def _limit(self, name: str, message: str, status: int) -> None:
        self.server.events.limit_hit(name)
        fault: ClientFault = TooLarge(message)
        fault.http_status = status
        self._fault = fault
        raise _StopParsingError

    def _drop_body(self) -> None:
        self._body = []
        self._body_size = 0
        self.server.buffered_bytes -= self._held
        self._held = 0
        self._request = None

    def _restart_body(self) -> None:
        """Forget how a body that took several reads came in."""
        self._body_raw = self._raw_seen = self._size_seen = self._joined = 0
        self._body_started = 0.0


def _body_too_large(limit: int) -> str:
    return f"The request body is larger than the limit of {limit} bytes."
