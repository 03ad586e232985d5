"""One connection to a provider: a request out, an answer in, every limit and deadline between.

A connection serves one exchange at a time. It wakes its owner once when the answer can be acted on
(whole, or long enough, or a stream) and after that hands bytes to a consumer callback straight from
the socket, so that relaying a stream event costs no task switch.

Every way an answer can fail to be whole ends in a typed error; a connection that met one, or that
is let go before its answer ended, is closed and never reused.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpResponseParser,
)

from portico.errors import UpstreamFault, UpstreamProtocol, UpstreamTimeout, UpstreamTruncated
from portico.http.deadlines import NEVER

if TYPE_CHECKING:
    from portico.http.client import Pool

BIG_READ = 8 * 1024

# Why reading is paused. Both may hold at once.
HELD, SLOW = 1, 2
_NO_BODY = frozenset((204, 304))
_STREAMS = (b"text/event-stream", b"application/vnd.amazon.eventstream")
"""Content types of bodies that are passed on as they come; the second is Bedrock's.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html, 2026-11-21
"""


class _StopParsingError(Exception):
    """Stops the parser from inside a callback; the reason is in `UpstreamConnection._fault`."""


class UpstreamConnection(asyncio.Protocol):
    """See the module docstring. Obtained from `HttpClient.lease`, given back with `release`."""

    __slots__ = (
        "_busy",
        "_chunks",
        "_closed",
        "_consumer",
        "_fault",
        "_feed_size",
        "_head_bytes",
        "_head_done",
        "_hold",
        "_idle_seconds",
        "_loop",
        "_parser",
        "_paused",
        "_pool",
        "_reusable",
        "_stray",
        "_total_deadline",
        "_transport",
        "_waiter",
        "buffered",
        "close_delimited",
        "complete",
        "deadline",
        "event_stream",
        "first_byte_at",
        "headers",
        "last_read",
        "proxy_header",
        "proxy_prefix",
        "status",
    )

    def __init__(self, pool: "Pool", loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._parser: Any = HttpResponseParser(self)
        self._transport: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._consumer: Callable[[bytes], None] | None = None
        self._chunks: list[bytes] = []
        self._fault: UpstreamFault | None = None
        self._busy = False
        self._closed = False
        self._paused = 0
        self._head_done = False
        self.close_delimited = False
        self._reusable = False
        self._stray = False
        self._hold = 0
        self._head_bytes = 0
        self._feed_size = 0
        self._idle_seconds = 0.0
        self._total_deadline = NEVER
        self.deadline = NEVER
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.buffered = 0
        self.complete = False
        self.event_stream = False
        self.first_byte_at = 0.0
        self.last_read = 0.0
        self.proxy_prefix = b""
        self.proxy_header = b""

    # -- the owner's side ---------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Open, with nothing in flight."""
        return not self._closed and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes, hold: int, *, first_byte: float, idle: float,
             total: float) -> None:  # fmt: skip
        """Send one request. `head` is a whole HTTP/1.1 head, its `content-length` included.

        `hold` is how many body bytes are gathered before the owner is woken; an event stream wakes
        it at once. The deadlines are seconds from now, for the first byte of the answer, between
        two reads, and for everything.
        """
        now = monotonic()
        self._busy = True
        self.complete = False
        self._head_done = False
        self._head_bytes = 0
        self._hold = hold
        self.headers = {}
        self.first_byte_at = 0.0
        self._idle_seconds = idle
        self._total_deadline = now + total
        self.deadline = now + min(first_byte, total)
        if self.proxy_prefix:
            head = self._for_proxy(head)
        if len(body) <= BIG_READ * 8:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def answer(self) -> asyncio.Future[None]:
        """Resolves when the answer can be acted on; then `status`, `headers` are set.

        Fails with an `UpstreamFault`. Afterwards either `complete`, or `event_stream`, or more
        than `hold` bytes are `buffered`.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiter = waiter
        if self._fault is not None or self._closed or self._ready():
            self._wake()
        return waiter

    def take(self) -> bytes:
        """The body bytes buffered so far; they leave the buffer."""
        chunks = self._chunks
        self.buffered = 0
        if len(chunks) == 1:
            data = chunks[0]
        else:
            data = b"".join(chunks)
        chunks.clear()
        return data

    async def relay(self, consumer: Callable[[bytes], None]) -> None:
        """Hand what is buffered and all that follows to `consumer`, until the answer ends.

        Returns when the answer is whole; raises an `UpstreamFault` when it is not, or whatever
        `consumer` raised.
        """
        self._unpause(HELD)  # first: what is fed now may find the client slow
        if self._chunks:
            consumer(self.take())
        if self.complete:
            return
        self._consumer = consumer
        self._waiter = waiter = self._loop.create_future()
        if self._fault is not None or self._closed:
            self._wake()
        await waiter

    def pause(self) -> None:
        """Stop reading from the provider: the client is slower than it."""
        self._pause(SLOW)

    def resume(self) -> None:
        """Read on."""
        self._unpause(SLOW)

    def fail(self, fault: UpstreamFault) -> None:
        """End the exchange with `fault`, unless its answer is whole; the connection is closed."""
        if self._busy and not self.complete:
            self._fail(fault)

    def release(self) -> None:
        """Give the connection back: kept if its answer ended well, closed otherwise."""
        self._consumer = None
        self._waiter = None
        self._fault = None  # its traceback holds the frames of the exchange, request body and all
        self._busy = False
        if self._closed:
            return
        if (
            self.complete
            and self._reusable
            and not self._stray
            and not self._chunks  # an answer nobody read must not begin the next one
            and not self._transport.get_write_buffer_size()
        ):
            if self._paused:
                self._unpause(HELD | SLOW)
            self._pool.keep(self)
        else:
            self._transport.abort()

    def close(self) -> None:
        """Close, whatever the state."""
        if not self._closed:
            self._transport.abort()

    # -- transport callbacks ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._pool.closed(self)
        self._parser = None  # it holds us
        if self._busy and not self.complete:
            if self.close_delimited and exc is None:
                self.complete = True
            elif self._fault is None:
                self._fault = UpstreamTruncated(
                    "The provider closed the connection before its answer was whole.",
                    debug=f"closed {'after' if self._head_done else 'before'} the head"
                    + (f": {exc!r}" if exc else ""),
                )
            self._wake()

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            # Bytes that answer nothing: the framing of the last answer was a lie.
            self._transport.abort()
            return
        self._feed_size = len(data)
        self.last_read = now = monotonic()
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade, HttpParserCallbackError) as error:
            if not self.complete:
                self._break(error)
                return
            self._reusable = False
        if self.first_byte_at == 0.0:
            if not self._head_done:  # interim answers (1xx) do not stop the clock
                self._head_incomplete()
                return
            self.first_byte_at = now
        deadline = now + self._idle_seconds
        self.deadline = deadline if deadline < self._total_deadline else self._total_deadline
        consumer = self._consumer
        if consumer is None:
            if self._ready():
                self._wake()
                if self.buffered > self._hold and not self.complete:
                    self._pause(HELD)
            return
        if self._chunks:
            try:
                consumer(self.take())
            except Exception as error:
                self._fail(error)
                return
        if self.complete:
            self._wake()

    # -- parser callbacks ---------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            self._stray = True  # the head of an answer that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # trailers carry nothing we pass on
        name = name.lower()
        headers = self.headers
        if headers.setdefault(name, value) is not value:
            value = headers[name] = headers[name] + b", " + value
            if len(value) > self._pool.limits.response_head_bytes:
                self._fault = _head_too_large()
                raise _StopParsingError

    def on_headers_complete(self) -> None:
        if self.complete:
            raise _StopParsingError  # a second answer to one request
        status = self._parser.get_status_code()
        headers = self.headers
        if status < 200:
            if status == 101:
                raise _StopParsingError
            self.headers = {}
            return
        self.status = status
        size, most = self._feed_size, self._pool.limits.response_head_bytes
        if size > BIG_READ or size > most or self._head_bytes:
            size = sum(len(k) + len(v) + 4 for k, v in headers.items())
            if size > most:
                self._fault = _head_too_large()
                raise _StopParsingError
        self._head_done = True
        self.close_delimited = (
            b"content-length" not in headers
            and b"transfer-encoding" not in headers
            and status not in _NO_BODY
        )
        kind = headers.get(b"content-type")
        self.event_stream = (
            kind is not None and status == 200 and kind[:34].lower().startswith(_STREAMS)
        )

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        if self._head_done:
            self.complete = True
            self._reusable = self._parser.should_keep_alive()

    # -- deadlines ----------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """`Sweeper` found the deadline passed."""
        self.deadline = NEVER
        if not self._busy:
            self._transport.abort()
            return
        events = self._pool.events
        if now >= self._total_deadline:
            events.limit_hit("total")
            message = "The provider did not finish in time."
        elif not self.first_byte_at:
            events.limit_hit("firstByte")
            message = "The provider did not begin to answer in time."
        else:
            events.limit_hit("idle")
            message = "The provider fell silent in the middle of its answer."
        fault = UpstreamTimeout(message)
        # It answered, and the client or the request's own deadline was too slow for all of it.
        fault.hurried = now >= self._total_deadline and self.first_byte_at > 0.0
        self._fail(fault)

    # -- inside -------------------------------------------------------------------------------

    def _pause(self, why: int) -> None:
        if not self._paused and not self._closed:
            self._transport.pause_reading()
            self.deadline = self._total_deadline
        self._paused |= why

    def _unpause(self, why: int) -> None:
        if self._paused:
            self._paused &= ~why
            if not self._paused and not self._closed:
                self._transport.resume_reading()
                self.deadline = min(monotonic() + self._idle_seconds, self._total_deadline)

    def _ready(self) -> bool:
        return self._head_done and (
            self.complete or self.event_stream or self.buffered > self._hold
        )

    def _wake(self) -> None:
        """Tell the owner: that the answer is there, or why it will not be."""
        waiter = self._waiter
        if waiter is None:
            return
        self._waiter = None
        if waiter.done():
            return
        if self._fault is not None:
            waiter.set_exception(self._fault)
        elif self._closed and not self.complete:
            waiter.set_exception(UpstreamTruncated("The provider closed the connection."))
        else:
            waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        """End the exchange with `error`; the connection is closed."""
        self._consumer = None
        if isinstance(error, UpstreamFault):
            self._fault = error
            self._wake()
        else:
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
        self._transport.abort()

    def _break(self, error: Exception) -> None:
        """What came is not HTTP. Whole body pieces before the break still reach the consumer."""
        if self._chunks and self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            try:
                consumer(self.take())
            except Exception as failure:
                self._fail(failure)
                return
        fault = self._fault or UpstreamProtocol(
            "The provider's answer is not valid HTTP.", debug=f"llhttp: {error!r}"
        )
        self._fail(fault)

    def _head_incomplete(self) -> None:
        self._head_bytes += self._feed_size
        if self._head_bytes > self._pool.limits.response_head_bytes:
            self._fail(_head_too_large())

    def _for_proxy(self, head: bytes) -> bytes:
        """Absolute form for a plain-HTTP proxy (RFC 9112 section 3.2.2)."""
        method, _, rest = head.partition(b" ")
        line, _, fields = rest.partition(b"\r\n")
        return b"%b %b%b\r\n%b%b" % (method, self.proxy_prefix, line, self.proxy_header, fields)


def _head_too_large() -> UpstreamProtocol:
    return UpstreamProtocol("The provider's response head is too large.", limit="responseHeadBytes")
