"""What passes between a server and the application behind it.

`Request` is complete before `handle` is called: the body has been read within its limits. `Reply`
is the one way out, implemented by the socket server (`server.py`) and the ASGI adapter
(`asgi.py`). Header blocks are raw bytes, `name: value CRLF` repeated, lower-case names, because
they are mostly constants joined once per route.
"""

from collections.abc import Coroutine
from typing import Any, Protocol

from msgspec import Struct, field

from portico.errors import PorticoError


class Request(Struct, eq=False):
    """One inbound request.

    `headers` maps lower-case names to values; a repeated field is joined with `, ` except where
    repetition is refused (host, content-length, credentials). `target` is the path as it came,
    without the query and not decoded. `context` belongs to the application, and so
    does `memory`, which all requests of a connection share. `received` is `time.monotonic()` when
    the head was complete. `upgrade` is set by `admit` when the path takes a WebSocket and the
    client offers one: the server then checks the handshake and calls `converse`, not `handle`.
    """

    method: bytes
    target: bytes
    query: bytes
    headers: dict[bytes, bytes]
    peer: str
    received: float
    memory: dict[Any, Any] = field(default_factory=dict)
    body: bytes = b""
    context: Any = None
    upgrade: bool = False


class Source(Protocol):
    """Where relayed bytes come from; paused while the client cannot take more."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""


class Reply(Protocol):
    """The answer to one request. Exactly one of `send`, `start ... end`, or `abort` happens."""

    started: bool
    """True once a status line was written."""
    bytes_sent: int
    """Body bytes written so far."""
    probe: bytes
    """What may be written between two writes to learn whether the client is still there (an SSE
    comment), or nothing."""

    @property
    def gone(self) -> bool:
        """True once the client has left; writes are then ignored."""

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """Write a whole answer at once (adds `content-length`)."""

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        """Write the head. `length` None means chunked (or close-delimited for HTTP/1.0)."""

    def write(self, data: bytes) -> None:
        """Write one piece of the body; empty pieces are ignored."""

    def end(self) -> None:
        """Finish the body."""

    def abort(self) -> None:
        """Cut the connection so that an unfinished body cannot look finished."""

    def attach(self, source: Source | None) -> None:
        """Tell whom to pause while the client is slow; None detaches."""


class SocketClosed(Exception):
    """Nothing comes from a `Socket` any more. `code` as in RFC 6455 section 7.4; 1006: the peer is
    gone without a word."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Socket(Protocol):
    """A WebSocket, seen by the application: whole text messages in order, both ways.

    When the peer leaves while nobody waits in `receive`, the task of `converse` is cancelled: a
    client that leaves stops the meter.
    """

    closed: bool
    """True once the peer has left or either side has closed; what is sent is then ignored."""
    draining: bool
    """True once the server goes down: `receive` gives nothing new."""
    opened: float
    """`time.monotonic()` when the handshake was answered."""

    async def receive(self) -> str:
        """The next message. Raises `SocketClosed`. May be cancelled without losing a message."""

    def send(self, message: bytes) -> None:
        """Write one text message, in UTF-8."""

    async def drained(self) -> None:
        """Return once the peer has taken enough for more to be written, or is gone."""

    def attach(self, source: Source | None) -> None:
        """Tell whom to pause while the peer is slow; None detaches."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye (RFC 6455 section 7.4); what was sent before still arrives."""


class Application(Protocol):
    """What a server serves. Both methods must be cheap to call; `admit` never blocks."""

    def admit(self, request: Request) -> PorticoError | None:
        """Look at the head before the body is read. An error answers at once, without the body."""

    def refuse(self, request: Request | None, reply: Reply, error: PorticoError) -> None:
        """Write the answer for an error the server itself met (bad HTTP, limits, deadlines)."""

    def handle(self, request: Request, reply: Reply) -> Coroutine[Any, Any, None]:
        """Serve one request. Cancelled when the client leaves."""


class Conversing(Application, Protocol):
    """An application that also takes WebSockets; only such a one sets `Request.upgrade`."""

    def converse(self, request: Request, socket: Socket) -> Coroutine[Any, Any, None]:
        """Serve one WebSocket until it is closed; returning closes it. Cancelled when the peer
        leaves."""
