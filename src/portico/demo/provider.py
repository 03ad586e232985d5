"""The demo provider as an HTTP application: routes, faults on request, pacing, what is kept.

Paths, each also without `/v1`: POST `responses`, `responses/input_tokens`, `chat/completions`,
`messages`, `messages/count_tokens`; GET `models`, `models/{id}`, `responses/{id}`; DELETE
`responses/{id}`. Any model name is served and echoed; credentials are not looked at.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from portico.demo.chat import read_chat
from portico.demo.directives import Directives
from portico.demo.faults import RefusedError, anthropic_error, encode, openai_error, readable
from portico.demo.memory import Lru, PromptCache
from portico.demo.messages import count_messages, read_messages
from portico.demo.models import model, models
from portico.demo.responses_in import count_responses, read_responses
from portico.demo.script import Ask, Stamp, Turn, play
from portico.errors import PorticoError
from portico.http.messages import Reply, Request
from portico.ids import IdSource

__all__ = ["DemoProvider"]

_BREATH = 64
"""After this many unpaced events the loop gets a turn, so that cancelling works."""
_SILENCE = 3600.0
_JSON_HEADERS = b"content-type: application/json\r\n"
_STREAM_HEADERS = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"


class _Exchange(Protocol):
    """What the dialects' decoded requests have in common."""

    @property
    def path(self) -> bytes: ...
    @property
    def ask(self) -> Ask: ...
    @property
    def prompt(self) -> list[bytes]: ...
    @property
    def cache_key(self) -> str | None: ...
    @property
    def marks_cache(self) -> bool: ...
    @property
    def stream(self) -> bool: ...
    @property
    def stored(self) -> bool: ...
    @property
    def previous(self) -> str | None: ...
    def answer(self, turn: Turn, stamp: Stamp) -> bytes: ...
    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]: ...
    def failure(
        self, turn: Turn, stamp: Stamp, error: RefusedError, after: int
    ) -> Iterator[bytes]: ...


_CREATE: dict[bytes, Callable[[bytes], _Exchange]] = {
    b"/responses": read_responses,
    b"/chat/completions": read_chat,
    b"/messages": read_messages,
}
_COUNT: dict[bytes, Callable[[bytes], list[bytes]]] = {
    b"/responses/input_tokens": count_responses,
    b"/messages/count_tokens": count_messages,
}


class _Gate:
    """A `Source` that lets the event loop of a stream wait for a slow client."""

    __slots__ = ("_waiter", "paused")

    def __init__(self) -> None:
        self.paused = False
        self._waiter: asyncio.Future[None] | None = None

    def pause(self) -> None:
        """Stop writing."""
        self.paused = True

    def resume(self) -> None:
        """Write on."""
        self.paused = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Return once not paused."""
        while self.paused:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


class DemoProvider:
    """Serves the demo models.

    `pace` is the default delay between stream events in seconds, so that a person can watch. Give
    `clock` (Unix seconds) and `ids` to get equal bytes twice.
    """

    def __init__(
        self,
        *,
        pace: float = 0.0,
        clock: Callable[[], float] = time.time,
        ids: Callable[[], str] | None = None,
    ) -> None:
        self._pace = pace
        self._clock = clock
        self._ids = ids or IdSource("d")
        self._prompts = PromptCache()
        self._responses: Lru[str, bytes] = Lru(512)
        self._faults: Lru[tuple[str, str], int] = Lru(1024)

    def admit(self, request: Request) -> PorticoError | None:
        """Everyone is welcome."""
        return None

    def refuse(self, request: Request | None, reply: Reply, error: PorticoError) -> None:
        """Answer what the server itself refused."""
        refused = RefusedError(error.http_status, error.message, code=error.code)
        path = _path(request) if request is not None else b""
        self._fail(reply, path, self._uid(), refused)

    async def handle(self, request: Request, reply: Reply) -> None:
        """Serve one request."""
        path = _path(request)
        uid = self._uid()
        try:
            read = _CREATE.get(path)
            if read is not None and request.method == b"POST":
                await self._create(read(request.body), reply, uid)
                return
            body = encode(self._look_up(request, path))
        except RefusedError as error:
            self._fail(reply, path, uid, error)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            self._fail(reply, path, uid, readable(error))
        else:
            reply.send(200, _JSON_HEADERS + _request_id(path, uid), body)

    # -- creating ------------------------------------------------------------------------------

    async def _create(self, exchange: _Exchange, reply: Reply, uid: str) -> None:
        ask = exchange.ask
        order = self._order(ask)
        if exchange.previous is not None and self._responses.get(exchange.previous) is None:
            message = f"Previous response with id '{exchange.previous}' not found."
            raise RefusedError(
                400, message, code="previous_response_not_found", param="previous_response_id"
            )
        if order.first_delay:
            await asyncio.sleep(order.first_delay)
        if order.status is not None:
            message = f"The demo model was asked to answer with status {order.status}."
            raise RefusedError(
                order.status, message, code=order.code, retry_after=order.retry_after
            )
        metered = self._prompts.meter(
            ask.model, exchange.prompt, exchange.cache_key, exchange.marks_cache
        )
        turn = play(ask, metered, order)
        stamp = Stamp(uid, int(self._clock()))
        if exchange.stream:
            await self._stream(exchange, order, turn, stamp, reply)
        else:
            await self._whole(exchange, order, turn, stamp, reply)

    async def _whole(
        self, exchange: _Exchange, order: Directives, turn: Turn, stamp: Stamp, reply: Reply
    ) -> None:
        headers = _JSON_HEADERS + _request_id(exchange.path, stamp.uid)
        if order.error is not None:
            raise RefusedError(500, "The demo model was asked to fail.", code=order.code)
        if order.hang is not None:
            await asyncio.sleep(_SILENCE)
        body = exchange.answer(turn, stamp)
        if order.cut is not None or order.fin is not None:
            reply.start(200, headers, len(body) if order.fin is None else None)
            reply.write(body[: len(body) // 2])
            if order.fin is None:
                reply.abort()
            else:
                reply.end()
            return
        if exchange.stored:
            self._responses.put(f"resp_{stamp.uid}", body)
        reply.send(200, headers, body)

    async def _stream(
        self, exchange: _Exchange, order: Directives, turn: Turn, stamp: Stamp, reply: Reply
    ) -> None:
        gate = _Gate()
        events = exchange.events(turn, stamp)
        faults = (order.cut, order.fin, order.hang, order.error)
        last = min((each for each in faults if each is not None), default=None)
        reply.start(200, _STREAM_HEADERS + _request_id(exchange.path, stamp.uid), None)
        reply.attach(gate)
        delay = order.delay or self._pace
        sent = 0
        while sent != last and (frame := next(events, None)) is not None:
            if delay and sent:
                await asyncio.sleep(delay)
            elif sent % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            if gate.paused:
                await gate.wait()
            reply.write(frame)
            sent += 1
        if last is None:
            if exchange.stored:
                self._responses.put(f"resp_{stamp.uid}", exchange.answer(turn, stamp))
        elif last == order.cut:
            reply.abort()
            return
        elif last == order.hang:
            await asyncio.sleep(_SILENCE)
        elif last == order.error:
            error = RefusedError(500, "The demo model was asked to fail.", code=order.code)
            for frame in exchange.failure(turn, stamp, error, sent):
                reply.write(frame)
        reply.end()

    def _order(self, ask: Ask) -> Directives:
        """The directives of this request, without faults once `times` is used up."""
        order = ask.order
        if order.times is None:
            return order
        key = (ask.model, ask.text)
        seen = self._faults.get(key) or 0
        self._faults.put(key, seen + 1)
        return order if seen < order.times else order.without_faults()

    # -- everything else -----------------------------------------------------------------------

    def _look_up(self, request: Request, path: bytes) -> Any:
        method = request.method
        count = _COUNT.get(path)
        if count is not None and method == b"POST":
            tokens = PromptCache(1).meter("", count(request.body), None, False).total
            kind = {} if path.startswith(b"/messages") else {"object": "response.input_tokens"}
            return {**kind, "input_tokens": tokens}
        if path == b"/models" and method == b"GET":
            return models(b"anthropic-version" in request.headers)
        room, _, name = path[1:].partition(b"/")
        key = name.decode("utf-8", "replace")
        if room == b"models" and key and method == b"GET":
            return model(key, b"anthropic-version" in request.headers)
        if room == b"responses" and key and method in (b"GET", b"DELETE"):
            stored = self._responses.get(key)
            if stored is None:
                raise RefusedError(404, f"Response with id '{key}' not found.", param="id")
            if method == b"GET":
                return msgspec.Raw(stored)
            self._responses.pop(key)
            return {"id": key, "object": "response", "deleted": True}
        if path in _CREATE or path in _COUNT or path == b"/models":
            raise RefusedError(
                405, "This path does not take this method.", code="method_not_allowed"
            )
        raise RefusedError(404, "The demo provider has no such path.", code="not_found")

    def _uid(self) -> str:
        return self._ids().removeprefix("d_")

    def _fail(self, reply: Reply, path: bytes, uid: str, error: RefusedError) -> None:
        headers = _JSON_HEADERS + _request_id(path, uid)
        if error.retry_after is not None:
            headers += f"retry-after: {error.retry_after:g}\r\n".encode()
        if path.startswith(b"/messages"):
            body = encode(anthropic_error(error, f"req_{uid}"))
        else:
            body = encode({"error": openai_error(error)})
        reply.send(error.status, headers, body)


def _path(request: Request) -> bytes:
    return request.target.removeprefix(b"/v1")


def _request_id(path: bytes, uid: str) -> bytes:
    """Anthropic calls the header `request-id`."""
    name = b"request-id" if path.startswith(b"/messages") else b"x-request-id"
    return b"%b: req_%b\r\n" % (name, uid.encode())
