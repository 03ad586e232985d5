"""The Responses API over a WebSocket: one response after another on one connection.

The client sends `response.create` frames, which are bodies of `POST /v1/responses`, and gets the
events of the stream, one text message each. Every create is a request of its own: it is admitted
anew, so a key that was taken away works no longer, and it has its own record. They are served in
order; errors are messages, too, and leave the connection open.
Source: https://www.openresponses.org/specification, WebSocket mode (2026-11-21).
"""

import asyncio
import re
from time import monotonic

import msgspec
from msgspec import Raw, Struct

from portico.errors import BadRequest, PolicyDenied
from portico.gateway.call import Call, tenant_of
from portico.http.messages import Application, Request, Socket, Source
from portico.limits import Limits
from portico.state.session import Memory, Session
from portico.wire.json import encode, shallow
from portico.wire.sse import Frames, frame_data, iter_frames

CREATE = "response.create"
PARENT = "previous_response_id"
GOING_AWAY = 1001
"""What closes a connection that is too old: clients take it as a sign to open another."""

_NOT_OURS = frozenset(
    (b"content-encoding", b"content-length", b"content-type", b"transfer-encoding", b"connection",
     b"upgrade", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions",
     b"sec-websocket-protocol")
)  # fmt: skip
"""Headers of the handshake that say nothing about the requests that follow."""
_EVENT_STREAM = b"content-type: text/event-stream"
_DONE = b"[DONE]"
_ANY_SIZE = 1 << 62
_OVER = frozenset(("completed", "failed", "incomplete"))
_END = re.compile(rb'"type"\s*:\s*"response\.(?:%b)"' % "|".join(sorted(_OVER)).encode())
_ERROR = re.compile(rb'"type"\s*:\s*"error"')

NULL = Raw(b"null")
_decode_text = msgspec.json.Decoder(str).decode


async def serve(app: Application, request: Request, socket: Socket, memory: Memory) -> None:
    """Answer what comes over `socket` until it is closed. Raises `SocketClosed`.

    `request` is the handshake, admitted by `app`.
    """
    call: Call = request.context
    until = socket.opened + call.snapshot.deadlines.websocket
    tenant = tenant_of(call) if call.caller is not None else b""
    session = Session(memory, call.snapshot.limits.buffered_body_bytes, tenant)
    try:
        while (message := await _next(socket, until)) is not None:
            await _answer(app, request, message, FrameReply(socket), session)
            del message
            await socket.drained()
    finally:
        session.close()
    socket.send(_too_old(call.snapshot.deadlines.websocket))
    socket.close(GOING_AWAY, "open a new connection")


async def _next(socket: Socket, until: float) -> str | None:
    """The next message; None when the connection is too old for another."""
    left = until - monotonic()
    if left > 0:
        try:
            async with asyncio.timeout(left):
                return await socket.receive()
        except TimeoutError:
            pass
    return None


async def _answer(
    app: Application, handshake: Request, message: str, reply: "FrameReply", session: Session
) -> None:
    """Serve one message as a request. If it fails, what it went on from is continued from memory no
    more, whatever the failure was."""
    headers = {name: value for name, value in handshake.headers.items() if name not in _NOT_OURS}
    request = Request(
        b"POST",
        handshake.target,
        handshake.query,
        headers,
        handshake.peer,
        monotonic(),
        handshake.memory,
        message.encode(),
    )
    fault = app.admit(request)
    call: Call = request.context
    call.session = session
    parent = ""
    if fault is None:
        try:
            fields = fields_of(request.body, call.snapshot.limits)
            parent = _text(fields.get(PARENT, NULL))
            request.body, call.warm_up = body_of(fields)
        except BadRequest as error:
            fault = error
    if fault is None:
        await app.handle(request, reply)
    else:
        app.refuse(request, reply, fault)
    if isinstance(fault, PolicyDenied):
        session.forget()  # if the key is let in again, it begins anew
    if parent and (reply.refused or call.outcome.verdict != "ok"):
        session.evict(parent)


def fields_of(frame: bytes, limits: Limits) -> dict[str, Raw]:
    """The members of a message. Raises `BadRequest` if it is no JSON object."""
    return shallow(
        frame,
        max_depth=limits.json_depth,
        max_key=limits.json_key_bytes,
        max_members=limits.json_items,
        max_values=limits.json_values,
    )


def body_of(fields: dict[str, Raw]) -> tuple[bytes, bool]:
    """The body of the request that a `response.create` makes, and whether it is a warm-up
    (`generate: false`), for which nothing is generated. Changes `fields`. Raises `BadRequest`."""
    if _text(fields.pop("type", NULL)) != CREATE:
        raise BadRequest(
            f"A message must be an object whose 'type' is '{CREATE}'.",
            code="unknown_frame_type",
            param="type",
        )
    for name in ("background", "stream_id"):
        value = bytes(fields.pop(name, NULL))
        if value not in (b"null", b"false"):
            raise BadRequest(
                f"Unsupported parameter: '{name}' is not supported over a WebSocket.",
                code="unsupported_parameter",
                param=name,
            )
    fields.pop("stream_options", None)
    generate = bytes(fields.pop("generate", NULL))
    if generate not in (b"true", b"false", b"null"):
        raise BadRequest(
            "Invalid type for 'generate': expected a boolean.",
            code="invalid_type",
            param="generate",
        )
    fields["stream"] = Raw(b"true")
    return encode(fields), generate == b"false"


class FrameReply:
    """`messages.Reply` over a `Socket`: each event is one message, and so is an error.

    No end of a body tells the client here that a response is over. What does is the last event of a
    response, or an error with a `status`. So an error event waits for what follows it.
    """

    __slots__ = ("_body", "_error", "_frames", "_last", "_over", "_socket", "_streams",
                 "bytes_sent", "probe", "refused", "started")  # fmt: skip

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._frames = Frames(_ANY_SIZE)
        self._streams = True
        self._body = bytearray()
        self._error = b""
        self._last = b""
        self._over = False
        self.started = False
        self.refused = False
        """The client was told of an error, or that a response failed that came in one piece."""
        self.bytes_sent = 0
        self.probe = b""

    @property
    def gone(self) -> bool:
        """The client has left, or the connection is closed."""
        return self._socket.closed

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """Write a whole answer as one message."""
        if self._over:
            return
        self.started = True
        whole = _terminal(body) if status < 400 else None
        if whole is not None:
            self._say(whole)
            self.refused = _kind(whole) == "response.failed"
        elif status < 400:
            self._refuse(502, _NOT_A_STREAM)
        else:
            self._refuse(status, _error_in(body))
        self._let_go()

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        """The events follow; or a body, which is then one message."""
        self.started = True
        self._streams = _EVENT_STREAM in headers.lower()

    def write(self, data: bytes) -> None:
        """Write the events that are whole."""
        if self._over:
            return
        if not self._streams:
            self._body += data
            return
        block = self._frames.feed(data)
        if block:
            for frame in iter_frames(block):
                self._pass_on(frame)

    def end(self) -> None:
        """Everything was written."""
        if not self._streams:
            self.send(200, b"", bytes(self._body))
        elif not self._over and self._frames.pending:
            self._pass_on(self._frames.pending + b"\n\n")
        self.abort()

    def abort(self) -> None:
        """Nothing follows. If the client was not told how the response ended, it is told now."""
        if not self._over:
            if self._error:
                self.refused = True
                self._say(_with_status(self._error))
            elif not self._streams or _END.search(self._last) is None:
                self._refuse(502, _CUT)
        self._let_go()

    def attach(self, source: Source | None) -> None:
        """Tell whom to pause while the client is slow."""
        if not self._over:
            self._socket.attach(source)

    def _let_go(self) -> None:
        """Nothing follows: a late write can never land among the events of the next response."""
        if not self._over:
            self._over = True
            self._socket.attach(None)

    def _refuse(self, status: int, error: bytes) -> None:
        self.refused = True
        self._say(_error(status, error))

    def _pass_on(self, frame: bytes) -> None:
        data = frame_data(frame)
        if not data or data == _DONE:
            return
        if self._error:
            self._say(self._error)
            self._error = b""
        if _ERROR.search(data) is not None and _kind(data) == "error":
            self._error = data
        else:
            self._say(data)

    def _say(self, message: bytes) -> None:
        if not message.isascii():  # a broken character would cost the client its connection
            message = message.decode(errors="replace").encode()
        self._last = message
        self.bytes_sent += len(message)
        self._socket.send(message)


class _Problem(Struct):
    message: str
    type: str
    param: str | None
    code: str


class _Envelope(Struct):
    error: Raw = NULL
    message: Raw = NULL
    code: Raw = NULL
    param: Raw = NULL


class _Whole(Struct):
    object: str
    status: str


class _Typed(Struct):
    type: str = ""


_NOT_A_STREAM = encode(
    _Problem("The provider did not stream its answer.", "server_error", None,
             "upstream_protocol_error")
)  # fmt: skip
_CUT = encode(
    _Problem("The response stopped before its end.", "server_error", None, "upstream_truncated")
)
_REFUSED = encode(
    _Problem("The provider refused the request.", "server_error", None, "upstream_error")
)
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode
_decode_typed = msgspec.json.Decoder(_Typed).decode


def _error(status: int, error: bytes) -> bytes:
    """An error message; `error` is the object inside."""
    return b'{"type":"error","status":%d,"error":%b}' % (status, error)


def _error_in(body: bytes) -> bytes:
    """The error object of an HTTP answer in the dialect's envelope."""
    try:
        found = bytes(_decode_envelope(body).error)
    except ValueError:
        found = b"null"
    return found if found != b"null" else _REFUSED


def _with_status(event: bytes) -> bytes:
    """The error message for an error event, in which OpenAI documents the members of the error
    beside `type`, and sends them as an object."""
    try:
        found = _decode_envelope(event)
    except ValueError:
        return _error(502, _CUT)
    error = bytes(found.error)
    if error[:1] != b"{":
        if bytes(found.message)[:1] != b'"':
            return _error(502, _CUT)
        flat = {"message": found.message, "type": "server_error", "param": found.param}
        error = encode({**flat, "code": found.code})
    return _error(502, error)


def _terminal(body: bytes) -> bytes | None:
    """The event that a whole response is the end of; None if it is none."""
    try:
        response = _decode_whole(body)
    except ValueError:
        return None
    if response.object != "response" or response.status not in _OVER:
        return None
    return b'{"type":"response.%b","sequence_number":0,"response":%b}' % (
        response.status.encode(),
        body,
    )


def _text(raw: Raw) -> str:
    """A JSON string; empty for anything else."""
    try:
        return _decode_text(raw)
    except ValueError:
        return ""


def _kind(event: bytes) -> str:
    """The type of an event; empty if it has none."""
    try:
        return _decode_typed(event).type
    except ValueError:
        return ""


def _too_old(seconds: float) -> bytes:
    minutes = max(round(seconds / 60), 1)
    problem = _Problem(
        f"A WebSocket connection lasts {minutes} minutes here. Open a new one to continue.",
        "invalid_request_error",
        None,
        "websocket_connection_limit_reached",
    )
    return _error(400, encode(problem))
