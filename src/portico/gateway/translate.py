"""The translate lane: client and provider speak different dialects, and meet in the hub.

Request: the client's dialect reads it, the passes fit it to the target, the target's dialect writes
it. Answer: events out of the target's decoder, back through the passes, into the client's encoder;
an answer that is not streamed is the fold of the same events. Nothing here knows which dialects
they are.
"""

from time import monotonic, time

from msgspec import Struct, structs

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.translate import Asked, ClientSide, Upstream
from portico.dialects.translators import CLIENTS, Uplink
from portico.errors import UpstreamTruncated
from portico.gateway.answers import JSON, request_id_header
from portico.gateway.call import Call
from portico.gateway.context import Managed, manage
from portico.gateway.exchange import check_coding, release, send
from portico.gateway.generate import (
    Generated,
    Tools,
    finish_head,
    framer,
    gather,
    prepare,
    rest,
    uplink_headers,
    upstream_error,
)
from portico.gateway.losses import losses_header, refuse_losses
from portico.gateway.peek import first_token_by
from portico.gateway.relay import TranslateRelay
from portico.gateway.streaming import recorded, run_stream, send_frames
from portico.gateway.target import Target
from portico.gateway.translation import Folding, Translation
from portico.http.client import HttpClient
from portico.http.messages import Reply, Request
from portico.http.upstream import UpstreamConnection
from portico.ids import new_base
from portico.limits import Limits
from portico.model.events import Event
from portico.model.losses import Losses, LossList
from portico.model.passes.preface import Preface, WayBack
from portico.policy.sealing import TenantSealer
from portico.wire.headers import forward_response

__all__ = ["Plan", "Tools", "answer_headers", "translate"]

_ANY_NUMBER = 1 << 31
EVENT_STREAM = b"content-type: text/event-stream\r\n"


class Plan(Struct, frozen=True):
    """One request between two dialects. `payload` is what the upstream gets. `preface` is what the
    gateway did before, to be told first; `alone` is what answered when that is all."""

    client: ClientSide
    uplink: Uplink
    upstream: Upstream
    asked: Asked
    restore: WayBack | None
    payload: bytes
    stream: bool
    preface: Preface | None = None
    alone: Generated | None = None


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
    plan = await _plan(tools, call, request, dialect, target, ask, sealer)
    try:
        if plan.alone is not None:
            await _preface(call, reply, dialect, plan, plan.alone)
        else:
            await _ask(tools, call, request, reply, dialect, target, plan)
    finally:
        if plan.preface is not None:
            plan.preface.settle(outcome)


async def _ask(
    tools: Tools,
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    plan: Plan,
) -> None:
    """Have the provider answer."""
    outcome = call.outcome
    head = await finish_head(target, _head(target, plan), request, plan.payload)
    client, hold = tools.client, call.snapshot.limits.response_hold_bytes
    connection = await send(client, call, target, head, plan.payload, hold)
    try:
        if connection.status != 200:
            raise upstream_error(call, plan.uplink, connection, target.secret)
        check_coding(connection)
        if connection.event_stream:
            if plan.stream:
                await _stream(client, call, reply, dialect, target, connection, plan)
            else:
                await _gather(call, reply, dialect, connection, plan)
        else:
            body = connection.take() if connection.complete else await rest(call, connection)
            await _whole(call, reply, dialect, connection, plan, body)
    finally:
        release(connection, outcome)


async def _plan(
    tools: Tools,
    call: Call,
    request: Request,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
    sealer: TenantSealer,
) -> Plan:
    """Read the request whole, fit it to the target, write it. Raises `BadRequest`."""
    client = CLIENTS[dialect.name]
    wanted = client.read(ask.fields, ask.body, _limits(call, ask), sealer.unseal)
    losses: Losses = LossList()
    call.outcome.losses = losses
    call.tell_losses = target.on_loss != "ignore"
    managed = await manage(tools, call, request, dialect, target, ask, wanted, losses)
    uplink, upstream, fitted = await prepare(tools, call, dialect, target, managed.request, losses)
    payload = b""
    if not managed.alone:
        payload = uplink.side.write(fitted.request, upstream, losses)
        payload = target.add_members(payload, uplink.side.name, upstream.model)
    if losses and target.on_loss == "reject":
        raise refuse_losses(losses)
    asked = Asked(
        request=managed.request,
        fields=ask.told or ask.fields,
        base=new_base(),
        created=int(time()),
        clock=time,
        model=upstream.model,
        seal=sealer.seal,
        losses=losses,
    )
    plan = Plan(client, uplink, upstream, asked, fitted.restore, payload, wanted.stream)
    return plan if managed.made is None else _prefaced(plan, managed)


def _prefaced(plan: Plan, managed: Managed) -> Plan:
    """The plan of a request that a compaction goes before."""
    preface = managed.preface(plan.restore)
    if managed.alone and managed.made is not None:
        return structs.replace(plan, restore=None, preface=preface, alone=managed.made[1])
    return structs.replace(plan, restore=preface, preface=preface)


def _limits(call: Call, ask: SpliceRequest) -> Limits:
    """What the gateway put into the request was counted when it came."""
    limits = call.snapshot.limits
    return limits if ask.told is None else structs.replace(limits, json_items=_ANY_NUMBER)


def _head(target: Target, plan: Plan) -> bytes:
    """How the request head for the upstream begins."""
    start = target.head(plan.uplink.side.name, plan.upstream.model, plan.stream)
    return start + uplink_headers(target, plan.uplink, plan.asked.request)


def answer_headers(
    call: Call,
    dialect: Dialect,
    answer: UpstreamConnection | Generated,
    kind: bytes,
    losses: Losses,
) -> bytes:
    """The header block of a translated answer."""
    headers = (
        kind
        + request_id_header(dialect, call.outcome.request_id)
        + call.meta
        + forward_response(answer.headers)
    )
    if losses and call.tell_losses:
        headers += losses_header(losses)
    return headers if call.rules is None else call.rules.apply(headers)


async def _whole(
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
        await _as_stream(call, reply, dialect, connection, plan, events)
        return
    folding = Folding(plan.restore)
    try:
        folding.feed(events)
        answer = plan.client.respond(folding.result(), plan.asked)
    finally:
        folding.note(call.outcome)
    await _respond(call, reply, dialect, connection, plan, answer)


async def _preface(call: Call, reply: Reply, dialect: Dialect, plan: Plan, made: Generated) -> None:
    """The compaction is the whole answer."""
    preface = plan.preface
    events = preface.alone(made.response.id, made.response.model) if preface is not None else []
    if plan.stream:
        await _as_stream(call, reply, dialect, made, plan, events)
        return
    folding = Folding(None)
    folding.feed(events)
    answer = plan.client.respond(folding.result(), plan.asked)
    folding.note(call.outcome)
    await _respond(call, reply, dialect, made, plan, answer)


async def _respond(
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection | Generated,
    plan: Plan,
    body: bytes,
) -> None:
    outcome = call.outcome
    if call.recording is not None:
        body = await call.recording.keep(body)
    headers = answer_headers(call, dialect, connection, JSON, plan.asked.losses)
    outcome.first_byte = monotonic()
    outcome.status = 200
    reply.send(200, headers, body)


async def _as_stream(
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection | Generated,
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
    await send_frames(call, reply, translation, frames)


async def _gather(
    call: Call, reply: Reply, dialect: Dialect, connection: UpstreamConnection, plan: Plan
) -> None:
    """The provider streams although nobody asked for it."""
    folding = Folding(plan.restore)
    try:
        await gather(call, connection, plan.uplink, plan.upstream, folding)
        answer = plan.client.respond(folding.result(), plan.asked)
    finally:
        folding.note(call.outcome)
    await _respond(call, reply, dialect, connection, plan, answer)


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
    target: Target,
    connection: UpstreamConnection,
    plan: Plan,
) -> None:
    outcome = call.outcome
    outcome.stream = True
    snapshot = call.snapshot
    translation = _translation(plan)
    headers = answer_headers(call, dialect, connection, EVENT_STREAM, plan.asked.losses)
    tap = recorded(translation, call, reply)
    relay = TranslateRelay(
        connection,
        reply,
        tap,
        outcome,
        headers + b"cache-control: no-cache\r\n",
        framer(plan.uplink, snapshot.limits.sse_frame_bytes),
        snapshot.deadlines.sse_keep_alive,
        snapshot.limits.response_bytes,
        translation,
        first_token_by(call.patience or target, outcome),
    )
    await run_stream(client, call, reply, connection, relay, tap)
