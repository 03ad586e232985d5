"""Reading one request: the parser's callbacks, and the limits and deadlines of head and body.

`RequestReader` is the receiving half of a connection; `connection.Connection` is the rest of it:
when a request is whole, who serves it, and how the connection ends.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from httptools import HttpRequestParser

from portico.errors import (
    BadRequest,
    ClientFault,
    Overloaded,
    PorticoError,
    RequestTimeout,
    TooLarge,
)
from portico.http.deadlines import NEVER
from portico.http.messages import Request
from portico.http.reply import SocketReply
from portico.http.strict import (
    handshake_fault,
    has_body,
    head_fault,
    repeated,
    split_target,
    without_upgrade,
)

if TYPE_CHECKING:
    from portico.http.server import HttpServer
    from portico.limits import Limits

# Where the connection is in reading. Plain ints: compared several times per request. TUNNEL: a
# handshake came, what follows is for the protocol that takes over.
IDLE, HEAD, BODY, LINGER, TUNNEL = range(5)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MANY_PIECES = 1024
"""Body pieces beyond this many are joined: two-byte chunks would cost thirty times their size."""


class StopParsingError(Exception):
    """Stops the parser from inside a callback; the reason is in `RequestReader._fault`."""


class RequestReader(asyncio.Protocol):
    """What is known of the request that is arriving."""

    __slots__ = (
        "_active",
        "_again",
        "_app",
        "_body",
        "_body_raw",
        "_body_size",
        "_body_started",
        "_fault",
        "_feed_size",
        "_head_bytes",
        "_headers",
        "_held",
        "_joined",
        "_memory",
        "_parser",
        "_peer",
        "_phase",
        "_raw_seen",
        "_repeats",
        "_request",
        "_size_seen",
        "_trailers",
        "_transport",
        "_url",
        "_version_10",
        "deadline",
        "server",
    )

    def __init__(self, server: "HttpServer") -> None:
        self.server = server
        self._app = server.app
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
        self._active: SocketReply | None = None
        self.deadline = NEVER

    def _refuse(self, request: Request | None, error: PorticoError) -> None:
        """Answer an error now or in turn, read nothing more as HTTP, and close after it."""
        raise NotImplementedError

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
        if request.upgrade and self._fault is None:
            self._fault = handshake_fault(headers, version == "1.1" and parser.should_upgrade())
        if self._fault is not None:
            raise StopParsingError
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
                raise StopParsingError

    # -- what has not come whole -------------------------------------------------------------

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
        raise StopParsingError

    def _limit(self, name: str, message: str, status: int) -> None:
        self.server.events.limit_hit(name)
        fault: ClientFault = TooLarge(message)
        fault.http_status = status
        self._fault = fault
        raise StopParsingError

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
