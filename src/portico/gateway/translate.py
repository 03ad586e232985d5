"""The translate lane: client and provider speak different dialects, and meet in the hub.

Request: the client's dialect reads it, the passes fit it to the target, the target's dialect writes
it. Answer: events out of the target's decoder, back through the passes, into the client's encoder;
an answer that is not streamed is the fold of the same events. Nothing here knows which dialects
they are.
"""

import os
from time import monotonic, time

from msgspec import Struct

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.translate import Asked, ClientSide, StreamIn, StreamOut, Upstream
from portico.dialects.translators import CLIENTS, UPSTREAMS, Uplink
from portico.errors import (
    PorticoError,
    UpstreamFault,
    UpstreamProtocol,
    UpstreamTruncated,
)
from portico.gateway.answers import request_id_header
from portico.gateway.call import Call
from portico.gateway.exchange import check_coding, release, send
from portico.gateway.losses import losses_header, refuse_losses
from portico.gateway.relay import BodyGather, TranslateRelay, unfinished
from portico.gateway.remote import fetch_all
from portico.gateway.streaming import run_stream
from portico.gateway.target import Target
from portico.http.client import HttpClient
from portico.http.messages import Reply, Request
from portico.http.remote import RemoteDoor
from portico.http.upstream import UpstreamConnection
from portico.model.estimate import WRITTEN, partial
from portico.model.events import Event
from portico.model.losses import Losses, LossList
from portico.model.outcome import Outcome
from portico.model.passes.fit import Fitted, fit
from portico.model.passes.restore import Restore
from portico.model.request import GenerateRequest
from portico.model.response import Folder, GenerateResponse
from portico.model.sequence import Sequencer
from portico.model.usage import Usage
from portico.policy.sealing import TenantSealer
from portico.wire.eventstream import EventFrames
from portico.wire.headers import TRACE, forward_request, forward_response
from portico.wire.sse import Frames

EVENT_STREAM = b"content-type: text/event-stream\r\n"
JSON = b"content-type: application/json\r\n"


class Tools(Struct, frozen=True):
    """What the lane works with, made once per worker."""

    client: HttpClient
    door: RemoteDoor


class Plan(Struct, frozen=True):
    """One request between two dialects. `payload` is what the upstream gets."""

    client: ClientSide
    uplink: Uplink
    upstream: Upstream
    asked: Asked
    restore: Restore | None
    payload: bytes
    stream: bool


class Translation:
    """A `Tap` whose output is another dialect: frames of the provider in, frames of the client out.

    Raises the provider's own fault when it says so before anything was told to the client.
    """

    __slots__ = (
        "_characters", "_decoder", "_encoder", "_request", "_restore", "_sequencer", "_told",
    )  # fmt: skip

    def __init__(
        self,
        decoder: StreamIn,
        encoder: StreamOut,
        restore: Restore | None,
        request: GenerateRequest,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._restore = restore
        self._request = request
        self._sequencer = Sequencer()
        self._told = False
        self._characters = 0

    @property
    def usage(self) -> Usage | None:
        """The last word on usage so far; an estimate where the provider has not had it.

        Providers count at the end. Of a stream that does not get there, what was generated is known
        by its text only; Anthropic's first count, of one token, is no count of it.
        """
        told = self._sequencer.usage or self._decoder.held_usage
        if self._sequencer.done and told is not None and not self.failed:
            return told
        return partial(told, self._request, self._characters) if self._told else told

    @property
    def model(self) -> str:
        """The model the provider says it is."""
        return self._sequencer.model

    @property
    def finished(self) -> bool:
        """The terminal event was written."""
        return self._sequencer.done

    @property
    def failed(self) -> bool:
        """The provider said that it failed."""
        return self._sequencer.fault is not None

    def feed(self, frames: bytes) -> bytes:
        """Whole frames of the provider's stream."""
        if self._sequencer.done:  # whatever follows the end is not read
            return b""
        events = self._decoder.feed(frames)
        return self.tell(events) if events else b""

    def end(self) -> bytes:
        """The provider ended its answer well."""
        return self.tell(self._decoder.end())

    def tell(self, events: list[Event]) -> bytes:
        """The client's frames for these events."""
        if self._restore is not None:
            events = self._restore.feed(events)
        sequencer = self._sequencer
        events = sequencer.feed(events)
        for event in events:
            if type(event) in WRITTEN:
                self._characters += len(event.text)  # type: ignore[union-attr]
        if self._told:
            return self._encoder.encode(events)
        if sequencer.fault is not None:
            raise sequencer.fault
        out = self._encoder.encode(events)
        self._told = out != b""
        return out

    def truncation_frames(self, fault: PorticoError) -> bytes:
        """The client's dialect's way to say that the stream broke."""
        return b"" if self._sequencer.done else self._encoder.cut(fault)


class Folding:
    """An answer in one piece, folded as its events come."""

    __slots__ = ("_folder", "_restore", "_sequencer")

    def __init__(self, restore: Restore | None) -> None:
        self._restore = restore
        self._sequencer = Sequencer()
        self._folder = Folder()

    def feed(self, events: list[Event]) -> None:
        """Take more events. Raises the fault of a `Failed`."""
        if self._restore is not None:
            events = self._restore.feed(events)
        self._folder.feed(self._sequencer.feed(events))

    def result(self) -> GenerateResponse:
        """The answer. Raises `UpstreamTruncated` if it never finished."""
        return self._folder.result()

    def note(self, outcome: Outcome) -> None:
        """Put what is known of the answer by now into the record."""
        outcome.usage = self._sequencer.usage
        outcome.response_model = self._sequencer.model


async def translate(
    tools: Tools,
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
    sealer: TenantSealer,
) -> None:
    """Serve the request through the hub. Raises `PorticoError`."""
    outcome = call.outcome
    outcome.lane = "translate"
    plan = await _plan(tools, call, dialect, target, ask, sealer)
    head = await finish_head(target, _head(target, plan), request, plan.payload)
    client, hold = tools.client, call.snapshot.limits.response_hold_bytes
    connection = await send(client, call, target, head, plan.payload, hold)
    try:
        if connection.status != 200:
            raise upstream_error(call, plan.uplink, connection, target.secret)
        check_coding(connection)
        if connection.event_stream:
            if plan.stream:
                await _stream(client, call, reply, dialect, connection, plan)
            else:
                await _gather(call, reply, dialect, connection, plan)
        else:
            body = connection.take() if connection.complete else await _rest(call, connection)
            _whole(call, reply, dialect, connection, plan, body)
    finally:
        release(connection, outcome)


async def _plan(
    tools: Tools,
    call: Call,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
    sealer: TenantSealer,
) -> Plan:
    """Read the request whole, fit it to the target, write it. Raises `BadRequest`."""
    client = CLIENTS[dialect.name]
    wanted = client.read(ask.fields, ask.body, call.snapshot.limits, sealer.unseal)
    losses: Losses = LossList()
    call.outcome.losses = losses
    call.tell_losses = target.on_loss != "ignore"
    uplink, upstream, fitted = await prepare(tools, call, dialect, target, wanted, losses)
    payload = uplink.side.write(fitted.request, upstream, losses)
    payload = target.add_members(payload, uplink.side.name, upstream.model)
    if losses and target.on_loss == "reject":
        raise refuse_losses(losses)
    asked = Asked(
        request=wanted,
        fields=ask.fields,
        base=os.urandom(16).hex(),
        created=int(time()),
        clock=time,
        model=upstream.model,
        seal=sealer.seal,
        losses=losses,
    )
    return Plan(client, uplink, upstream, asked, fitted.restore, payload, wanted.stream)


async def prepare(
    tools: Tools,
    call: Call,
    dialect: Dialect,
    target: Target,
    wanted: GenerateRequest,
    losses: Losses,
) -> tuple[Uplink, Upstream, Fitted]:
    """Choose the upstream dialect and fit the request to it. Raises `BadRequest`."""
    model = call.outcome.upstream_model
    uplink = UPSTREAMS[target.dialect_for(dialect.name, model)]
    origin = target.place if uplink.portable else target.origin
    upstream = uplink.upstream(target.kind, origin, target.quirks, model)
    can = upstream.capabilities
    fetched = (
        await fetch_all(tools.door, wanted, can, call.snapshot)
        if target.fetch_remote_content
        else None
    )
    return uplink, upstream, fit(wanted, can, uplink.origins(upstream), losses, fetched)


def _head(target: Target, plan: Plan) -> bytes:
    """How the request head for the upstream begins."""
    start = target.head(plan.uplink.side.name, plan.upstream.model, plan.stream)
    return start + plan.uplink.headers(plan.asked.request)


async def finish_head(target: Target, start: bytes, request: Request, payload: bytes) -> bytes:
    """A whole head: `start`, trace, the provider's own defaults, its credential, the length.

    The client's trace goes along, its credentials do not.
    """
    trace = forward_request(request.headers, TRACE)
    defaults = b"".join([line for _, line in target.defaults])
    credential = await target.sign(start, payload) if target.authorize is not None else b""
    return b"%b%b%b%bcontent-length: %d\r\n\r\n" % (
        start, trace, defaults, credential, len(payload)
    )  # fmt: skip


def answer_headers(
    call: Call, dialect: Dialect, connection: UpstreamConnection, kind: bytes, losses: Losses
) -> bytes:
    """The header block of a translated answer."""
    headers = (
        kind
        + request_id_header(dialect, call.outcome.request_id)
        + forward_response(connection.headers)
    )
    if losses and call.tell_losses:
        headers += losses_header(losses)
    return headers


def upstream_error(
    call: Call, uplink: Uplink, connection: UpstreamConnection, secret: bytes
) -> UpstreamFault:
    """The provider's error, typed; the client's dialect words it."""
    status = connection.status
    if status < 400:
        return UpstreamProtocol(
            "The provider answered with a redirect or an empty success.",
            debug=f"provider answered {status}",
        )
    body = connection.take() if connection.complete else b""
    if len(body) > call.snapshot.limits.error_body_bytes:
        body = b""
    if secret:
        body = body.replace(secret, b"[redacted]")
    fault = uplink.side.read_error(status, connection.headers, body)
    after = connection.headers.get(b"retry-after")
    if after is not None and len(after) < 64 and fault.retry_after is None:
        fault.retry_after = after.decode("latin-1")
    return fault


async def _rest(call: Call, connection: UpstreamConnection) -> bytes:
    """An answer too long to be there already. Raises like `BodyGather.feed`."""
    gathered = BodyGather(call.snapshot.limits.response_bytes)
    await connection.relay(gathered.feed)
    return gathered.body()


def _whole(
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection,
    plan: Plan,
    body: bytes,
) -> None:
    """An answer in one piece."""
    call.outcome.upstream_finished = connection.last_read
    events = plan.uplink.side.read(body, plan.upstream)
    if plan.stream:
        _as_stream(call, reply, dialect, connection, plan, events)
        return
    folding = Folding(plan.restore)
    try:
        folding.feed(events)
        answer = plan.client.respond(folding.result(), plan.asked)
    finally:
        folding.note(call.outcome)
    _respond(call, reply, dialect, connection, plan, answer)


def _respond(
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection,
    plan: Plan,
    body: bytes,
) -> None:
    outcome = call.outcome
    headers = answer_headers(call, dialect, connection, JSON, plan.asked.losses)
    outcome.first_byte = monotonic()
    outcome.status = 200
    reply.send(200, headers, body)


def _as_stream(
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection,
    plan: Plan,
    events: list[Event],
) -> None:
    """The provider ignored `stream`: its whole answer is told as one."""
    outcome = call.outcome
    outcome.stream = True
    translation = _translation(plan)
    try:
        frames = translation.tell(events)
        if not translation.finished:
            raise UpstreamTruncated("The provider's answer ended before it was whole.")
    finally:
        outcome.usage = translation.usage
        outcome.response_model = translation.model
    headers = answer_headers(call, dialect, connection, EVENT_STREAM, plan.asked.losses)
    outcome.first_byte = monotonic()
    outcome.status = 200
    reply.start(200, headers + b"cache-control: no-cache\r\n", None)
    reply.write(frames)
    reply.end()


async def _gather(
    call: Call, reply: Reply, dialect: Dialect, connection: UpstreamConnection, plan: Plan
) -> None:
    """The provider streams although nobody asked for it."""
    limits = call.snapshot.limits
    frames = _frames(plan, limits.sse_frame_bytes)
    decoder = plan.uplink.side.stream(plan.upstream)
    folding = Folding(plan.restore)
    gathered = BodyGather(limits.response_bytes)

    def feed(data: bytes) -> None:
        gathered.count(data)
        block = frames.feed(data)
        if block:
            folding.feed(decoder.feed(block))

    try:
        await connection.relay(feed)
        call.outcome.upstream_finished = connection.last_read
        tail = unfinished(frames)
        if tail:
            folding.feed(decoder.feed(tail))
        folding.feed(decoder.end())
        answer = plan.client.respond(folding.result(), plan.asked)
    finally:
        folding.note(call.outcome)
        call.outcome.usage = call.outcome.usage or decoder.held_usage
    _respond(call, reply, dialect, connection, plan, answer)


def _frames(plan: Plan, most: int) -> Frames | EventFrames:
    return EventFrames(most) if plan.uplink.side.framing == "aws" else Frames(most)


def _translation(plan: Plan) -> Translation:
    return Translation(
        plan.uplink.side.stream(plan.upstream),
        plan.client.stream(plan.asked),
        plan.restore,
        plan.asked.request,
    )


async def _stream(
    client: HttpClient,
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection,
    plan: Plan,
) -> None:
    outcome = call.outcome
    outcome.stream = True
    snapshot = call.snapshot
    translation = _translation(plan)
    headers = answer_headers(call, dialect, connection, EVENT_STREAM, plan.asked.losses)
    relay = TranslateRelay(
        connection,
        reply,
        translation,
        outcome,
        headers + b"cache-control: no-cache\r\n",
        _frames(plan, snapshot.limits.sse_frame_bytes),
        snapshot.deadlines.sse_keep_alive,
        snapshot.limits.response_bytes,
    )
    await run_stream(client, call, reply, connection, relay, translation)
