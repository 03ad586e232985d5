"""The gateway's application behind any ASGI server.

The adapter gives an `Application` the same `Request` and `Reply` the socket server gives it. Limits
on the head and framing are the host server's business here; the body's limit and deadline,
admission before the body, back-pressure and the disconnect watch are ours.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import monotonic
from typing import Any, cast

from portico.errors import BadRequest, InternalError, PorticoError, RequestTimeout, TooLarge
from portico.http.asgi_websocket import converse
from portico.http.events import HttpEvents
from portico.http.messages import Application, Conversing, Request, Source
from portico.http.strict import head_fault, repeated
from portico.limits import Deadlines, Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("portico.http")


class AsgiReply:
    """`messages.Reply` over ASGI's `send`: writes are queued, a pump sends them in order."""

    def __init__(self, high_water: int) -> None:
        self.started = False
        self.bytes_sent = 0
        self.gone = False
        self.probe = b""
        self.ended = False
        self._high_water = high_water
        self._waiting = 0
        self._paused = False
        self._source: Source | None = None
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """Queue a whole answer."""
        self.start(status, headers, len(body))
        self.write(body)
        self.end()

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        """Queue the head."""
        if self.ended:
            return
        self.started = True
        pairs = [(k, v) for k, _, v in (h.partition(b": ") for h in headers.split(b"\r\n")) if k]
        if length is not None:
            pairs.append((b"content-length", b"%d" % length))
        self._queue.put_nowait({"type": "http.response.start", "status": status, "headers": pairs})

    def write(self, data: bytes) -> None:
        """Queue one piece of the body."""
        if self.ended or not data:
            return
        self.bytes_sent += len(data)
        self._waiting += len(data)
        self._queue.put_nowait({"type": "http.response.body", "body": data, "more_body": True})
        if self._waiting > self._high_water and not self._paused and self._source is not None:
            self._paused = True
            self._source.pause()

    def end(self) -> None:
        """Queue the end of the body."""
        if not self.ended:
            self._let_go()
            self._queue.put_nowait({"type": "http.response.body", "body": b"", "more_body": False})
            self._queue.put_nowait(None)

    def abort(self) -> None:
        """Leave the body unfinished: the pump raises after what was queued, and a host server cuts
        the connection of an application that failed in the middle of an answer."""
        if not self.ended:
            self._let_go()
            self._queue.put_nowait({"type": "portico.abort"})

    def attach(self, source: Source | None) -> None:
        """Pause `source` whenever the client is slower than it."""
        self._source = source

    def _let_go(self) -> None:
        """Nothing follows. The source may serve someone else from now on."""
        self.ended = True
        self._source = None

    async def pump(self, send: Send) -> None:
        """Send what is queued until the answer ends. Raises `AbortedError` for an abort."""
        while (message := await self._queue.get()) is not None:
            if message["type"] == "portico.abort":
                raise AbortedError
            await send(message)
            self._waiting -= len(message.get("body", b""))
            if self._paused and self._waiting <= self._high_water // 4:
                self._paused = False
                if self._source is not None:
                    self._source.resume()


class AbortedError(Exception):
    """An answer was cut on purpose; the host server must not make it look finished."""


class AsgiApp:
    """An ASGI callable for the scope types `http` and `websocket`."""

    def __init__(
        self,
        app: Application,
        limits: Callable[[], Limits],
        deadlines: Callable[[], Deadlines],
        events: HttpEvents,
    ) -> None:
        self._app = app
        self._limits = limits
        self._deadlines = deadlines
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP exchange, or one WebSocket."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"unsupported ASGI scope type {scope['type']!r}")
        reply = AsgiReply(self._limits().relay_buffer)
        request, fault = _request(scope)
        if fault is None:
            fault = self._admit(request)
        if fault is None:
            fault = await self._read_in_time(request, receive)
            if fault is None and request.context is _GONE:
                return
        if fault is not None:
            self._app.refuse(request, reply, fault)
            await reply.pump(send)
            return
        await self._serve(request, reply, receive, send)

    def _admit(self, request: Request) -> PorticoError | None:
        try:
            return self._app.admit(request)
        except Exception:
            log.exception("defect while admitting a request")
            return InternalError("Internal error.")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it, or answer as to a GET that wants to upgrade, where the host can do that."""
        await receive()
        request, fault = _request(scope)
        request.headers.setdefault(b"upgrade", b"websocket")  # HTTP/2 says it in another way
        fault = fault or self._admit(request)
        if fault is None and request.upgrade:
            app = cast(Conversing, self._app)  # it asked for the upgrade
            await converse(app, request, receive, send, self._limits(), self._deadlines())
            return
        if fault is None or "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_http(message: Message) -> None:
            await send({**message, "type": f"websocket.{message['type']}"})

        reply = AsgiReply(self._limits().relay_buffer)
        self._app.refuse(request, reply, fault)
        await reply.pump(send_http)

    async def _read_in_time(self, request: Request, receive: Receive) -> PorticoError | None:
        try:
            async with asyncio.timeout(self._deadlines().body):
                return await self._read(request, receive)
        except TimeoutError:
            self._events.limit_hit("body")
            return RequestTimeout("The request body did not arrive in time.")

    async def _read(self, request: Request, receive: Receive) -> PorticoError | None:
        limit = self._limits().body_bytes
        length = request.headers.get(b"content-length", b"")
        pieces: list[bytes] = []
        size = 0
        fault = TooLarge(f"The request body is larger than the limit of {limit} bytes.")
        if length.isdigit() and int(length) > limit:
            self._events.limit_hit("bodyBytes")
            return fault
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                request.context = _GONE
                return None
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                self._events.limit_hit("bodyBytes")
                return fault
            pieces.append(piece)
            if not message.get("more_body", False):
                request.body = b"".join(pieces)
                return None

    async def _serve(
        self, request: Request, reply: AsgiReply, receive: Receive, send: Send
    ) -> None:
        handling = asyncio.ensure_future(self._app.handle(request, reply))
        handling.add_done_callback(lambda _: reply.abort())  # unless it has answered
        watching = asyncio.ensure_future(_disconnected(receive))
        pumping = asyncio.ensure_future(reply.pump(send))
        try:
            done, _ = await asyncio.wait((watching, pumping), return_when=asyncio.FIRST_COMPLETED)
            if pumping not in done:
                reply.gone = True
                reply.ended = True
                handling.cancel()
            else:
                pumping.result()
        finally:
            if not pumping.done() or pumping.cancelled() or pumping.exception() is not None:
                reply.gone = reply.gone or not reply.ended
                reply.ended = True
                handling.cancel()
            watching.cancel()
            pumping.cancel()
            await asyncio.gather(handling, watching, pumping, return_exceptions=True)


_GONE = object()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _request(scope: Scope) -> tuple[Request, PorticoError | None]:
    """The request of a scope. The path is the raw one, without the mount point of the host."""
    headers, fault = _headers(scope["headers"])
    client = scope.get("client")
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    root = scope.get("root_path", "").encode("utf-8")
    target = raw.partition(b"?")[0]
    if root and target.startswith(root):
        target = target[len(root) :] or b"/"
    request = Request(
        scope.get("method", "GET").encode("latin-1"),
        target,
        scope.get("query_string", b""),
        headers,
        str(client[0]) if client else "",
        monotonic(),
    )
    return request, fault


def _headers(
    pairs: Iterable[tuple[bytes, bytes]],
) -> tuple[dict[bytes, bytes], PorticoError | None]:
    headers: dict[bytes, bytes] = {}
    for raw_name, value in pairs:
        name = raw_name.lower()
        if name not in headers:
            headers[name] = value
        else:
            reason = repeated(headers, name, value)
            if reason is not None:
                return headers, BadRequest(reason, code="bad_http")
    # The host has read the framing already; what it let pass that two readers could understand
    # differently is refused all the same. (In HTTP/2 and 3 a Host need not be there.)
    reason = head_fault("1.1", {b"host": b"", **headers})
    if reason is None and b"content-length" in headers and b"transfer-encoding" in headers:
        reason = "A request has a Content-Length or a Transfer-Encoding, not both."
    return headers, None if reason is None else BadRequest(reason, code="bad_http")
