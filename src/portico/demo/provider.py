"""The demo provider as an HTTP application: routes, faults on request, pacing, what is kept.

Paths, each also without `/v1`: POST `responses`, `responses/input_tokens`, `chat/completions`,
`messages`, `messages/count_tokens`, `responses/{id}/cancel`; GET `models`, `models/{id}`,
`responses/{id}` (also as a stream), `responses/{id}/input_items`; DELETE `responses/{id}`. As
clouds serve them (`routes.py`):

* Gemini, `/v1beta/models/{model}:` with `generateContent`, `streamGenerateContent`, `countTokens`
* Vertex AI, the same below `/v1/projects/{p}/locations/{l}/publishers/google/models/{model}:`, and
  Claude at `publishers/anthropic/models/{model}:` with `rawPredict`, `streamRawPredict`
* Bedrock, `/model/{id}/` with `converse`, `converse-stream`, `count-tokens`
* Azure, `/openai/v1/...` and `/openai/deployments/{name}/chat/completions?api-version=...`

Any model name is served and echoed. The clouds want to see a credential of the right form.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import structs

from portico.demo.arrival import JSON, Arrival, Exchange
from portico.demo.directives import Directives
from portico.demo.faults import RefusedError, encode, envelope, readable, worded
from portico.demo.kept import Kept, Run
from portico.demo.memory import Lru, Metered, PromptCache
from portico.demo.models import google_models, model, models
from portico.demo.responses import Responses
from portico.demo.routes import COUNT, CREATE, Route, check_credential, route, vendor_of
from portico.demo.script import Ask, Stamp, Turn, play
from portico.demo.seals import digest
from portico.demo.shapes import WrongError
from portico.errors import PorticoError
from portico.http.messages import Reply, Request
from portico.ids import IdSource

__all__ = ["DemoProvider"]

_BREATH = 64
"""After this many unpaced events the loop gets a turn, so that cancelling works."""
_SILENCE = 3600.0


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
        self._kept = Kept(clock)
        self._faults: Lru[tuple[str, str], int] = Lru(1024)

    def admit(self, request: Request) -> PorticoError | None:
        """Everyone is welcome."""
        return None

    def refuse(self, request: Request | None, reply: Reply, error: PorticoError) -> None:
        """Answer what the server itself refused."""
        refused = RefusedError(error.http_status, error.message, code=error.code)
        vendor = vendor_of(_path(request)) if request is not None else "openai"
        self._fail(reply, vendor, self._uid(), refused)

    async def handle(self, request: Request, reply: Reply) -> None:
        """Serve one request."""
        path = _path(request)
        uid = self._uid()
        found = route(path)
        vendor = vendor_of(path) if found is None else found.vendor
        try:
            if found is not None and request.method == b"POST":
                arrival = self._arrival(request, path, found)
                check_credential(path, found, arrival)
                if not found.counts:
                    exchange = CREATE[found.dialect](arrival)
                    await self._create(exchange, vendor, reply, uid)
                    return
                kind, body = JSON, encode(_counted(found, COUNT[found.dialect](arrival)))
            else:
                kind, body = self._kept_answer(request, path) or (
                    JSON,
                    encode(self._look_up(request, path, found)),
                )
        except RefusedError as error:
            self._fail(reply, vendor, uid, error)
        except WrongError as error:
            self._fail(reply, vendor, uid, worded(vendor, error))
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            self._fail(reply, vendor, uid, readable(error))
        else:
            reply.send(200, kind + _request_id(vendor, uid), body)

    def _arrival(self, request: Request, path: str, found: Route) -> Arrival:
        return Arrival(
            body=request.body,
            model=found.model,
            stream=found.stream,
            vendor=found.vendor,
            method=request.method.decode("latin-1"),
            path=path,
            query=request.query.decode("latin-1"),
            headers=request.headers,
            item=self._kept.item,
            chain=self._kept.chain,
        )

    # -- creating ------------------------------------------------------------------------------

    async def _create(self, exchange: Exchange, vendor: str, reply: Reply, uid: str) -> None:
        ask = exchange.ask
        order = self._order(ask)
        if order.first_delay and not _in_background(exchange):
            await asyncio.sleep(order.first_delay)
        if order.status is not None:
            message = f"The demo model was asked to answer with status {order.status}."
            raise RefusedError(
                order.status,
                message,
                code=order.code,
                kind=order.kind,
                retry_after=order.retry_after,
            )
        if order.finish == "blocked" and vendor in ("openai", "azure"):
            message = "The response was filtered due to the prompt triggering a content policy."
            raise RefusedError(400, message, code="content_filter", param="prompt")
        metered = _costs(
            self._prompts.meter(
                ask.model, exchange.prompt, exchange.cache_key, exchange.marks_cache
            ),
            order,
        )
        turn = play(ask, metered, order)
        stamp = Stamp(uid, int(self._clock()), _about(exchange, turn))
        if exchange.stream:
            await self._stream(exchange, vendor, order, turn, stamp, reply)
        else:
            await self._whole(exchange, vendor, order, turn, stamp, reply)

    async def _whole(
        self,
        exchange: Exchange,
        vendor: str,
        order: Directives,
        turn: Turn,
        stamp: Stamp,
        reply: Reply,
    ) -> None:
        headers = JSON + _request_id(vendor, stamp.uid)
        if order.error is not None:
            raise _asked(order)
        if order.hang is not None:
            await asyncio.sleep(_SILENCE)
        body = exchange.answer(turn, stamp)
        if isinstance(exchange, Responses) and exchange.background:
            started = exchange.started(stamp, "in_progress")
            self._kept.put(exchange, body, Run(self._clock() + order.first_delay, started))
            reply.send(200, headers, exchange.started(stamp, "queued"))
            return
        if order.cut is not None or order.fin is not None:
            reply.start(200, headers, len(body) if order.fin is None else None)
            reply.write(body[: len(body) // 2])
            if order.fin is None:
                reply.abort()
            else:
                reply.end()
            return
        if exchange.stored and isinstance(exchange, Responses):
            self._kept.put(exchange, body)
        reply.send(200, headers, body)

    async def _stream(
        self,
        exchange: Exchange,
        vendor: str,
        order: Directives,
        turn: Turn,
        stamp: Stamp,
        reply: Reply,
    ) -> None:
        gate = _Gate()
        if isinstance(exchange, Responses) and exchange.background:
            frames = tuple(exchange.events(turn, stamp))
            run = Run(self._clock(), exchange.started(stamp, "in_progress"), frames)
            self._kept.put(exchange, exchange.answer(turn, stamp), run)
        events = exchange.events(turn, stamp)
        faults = (order.cut, order.fin, order.hang, order.error)
        last = min((each for each in faults if each is not None), default=None)
        reply.start(200, exchange.stream_headers + _request_id(vendor, stamp.uid), None)
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
            if order.split is None:
                reply.write(frame)
            else:
                await _in_pieces(frame, order.split, reply, gate)
            sent += 1
        if last is None:
            if exchange.stored and isinstance(exchange, Responses) and not exchange.background:
                self._kept.put(exchange, exchange.answer(turn, stamp))
        elif last == order.cut:
            reply.abort()
            return
        elif last == order.hang:
            await asyncio.sleep(_SILENCE)
        elif last == order.error:
            for frame in exchange.failure(turn, stamp, _asked(order), sent):
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

    def _kept_answer(self, request: Request, path: str) -> tuple[bytes, bytes] | None:
        """Content type and body where a response that is kept is asked for."""
        room, _, below = path.removeprefix("/openai").removeprefix("/v1")[1:].partition("/")
        if room != "responses":
            return None
        return self._kept.answer(request.method, below, request.query.decode("latin-1"))

    def _look_up(self, request: Request, path: str, found: Route | None) -> Any:
        """What is read or deleted; whatever else is refused."""
        method = request.method
        anthropic = b"anthropic-version" in request.headers
        if path.startswith("/v1beta/models") and method == b"GET":
            return google_models(path.removeprefix("/v1beta/models").strip("/"))
        short = path.removeprefix("/openai").removeprefix("/v1")
        if short == "/models" and method == b"GET":
            return models(anthropic)
        room, _, key = short[1:].partition("/")
        if room == "models" and key and method == b"GET":
            return model(key, anthropic)
        if found is not None or short == "/models":
            raise RefusedError(
                405, "This path does not take this method.", code="method_not_allowed"
            )
        raise RefusedError(404, "The demo provider has no such path.", code="not_found")

    def _uid(self) -> str:
        return self._ids().removeprefix("d_")

    def _fail(self, reply: Reply, vendor: str, uid: str, error: RefusedError) -> None:
        headers, body = envelope(vendor, error, uid)
        reply.send(error.status, JSON + _request_id(vendor, uid) + headers, body)


async def _in_pieces(frame: bytes, size: int, reply: Reply, gate: _Gate) -> None:
    """Write `frame` so that every piece has a chance to be a read of its own."""
    for start in range(0, len(frame), size):
        if gate.paused:
            await gate.wait()
        reply.write(frame[start : start + size])
        await asyncio.sleep(0)


def _in_background(exchange: Exchange) -> bool:
    return isinstance(exchange, Responses) and exchange.background


def _asked(order: Directives) -> RefusedError:
    return RefusedError(500, "The demo model was asked to fail.", code=order.code, kind=order.kind)


def _about(exchange: Exchange, turn: Turn) -> str:
    """A digest of prompt and answer: equal for equal requests, streamed or not."""
    said = encode([exchange.ask.model, *(segment.pieces for segment in turn.segments)])
    return digest(b"".join((*exchange.prompt, said)).decode("utf-8", "replace"))


def _costs(metered: Metered, order: Directives) -> Metered:
    if order.cached is None and order.written is None:
        return metered
    cached = metered.cached if order.cached is None else order.cached
    written = metered.written if order.written is None else order.written
    return structs.replace(
        metered, total=metered.total + cached + written, cached=cached, written=written
    )


def _counted(found: Route, prompt: list[bytes]) -> dict[str, Any]:
    tokens = PromptCache(1).meter("", prompt, None, False).total
    if found.dialect == "gemini":
        details = [{"modality": "TEXT", "tokenCount": tokens}]
        return {"totalTokens": tokens, "promptTokensDetails": details}
    if found.dialect == "converse":
        return {"inputTokens": tokens}
    if found.dialect == "messages":
        return {"input_tokens": tokens}
    return {"object": "response.input_tokens", "input_tokens": tokens}


def _path(request: Request) -> str:
    return request.target.decode("utf-8", "replace")


_ID_HEADERS = {"anthropic": b"request-id", "bedrock": b"x-amzn-requestid"}


def _request_id(vendor: str, uid: str) -> bytes:
    """Everyone but Google names the request, Anthropic and Amazon under names of their own."""
    if vendor in ("gemini", "vertex"):
        return b""
    return b"%b: req_%b\r\n" % (_ID_HEADERS.get(vendor, b"x-request-id"), uid.encode())
