"""Responses at the provider that keeps them: deleting its copy, and asking it for its own.

A record with `kept` exists at its provider too, under the same id. Where the gateway keeps no
content (`state.mode: provider`) the record is a pointer and the provider is asked; what it answers
is passed on, its errors in the gateway's own words. Only what a tenant has a record of is asked
for: to the provider all tenants are one.
"""

import logging
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from portico.dialects.registry import DIALECTS
from portico.dialects.responses.conversation_in import deleted_response
from portico.dialects.responses.lens import Tap
from portico.dialects.responses.stored_page import read_page, read_stream
from portico.dialects.translators import UPSTREAMS
from portico.errors import NotFound, UpstreamProtocol
from portico.gateway.answers import JSON, request_id_header
from portico.gateway.call import Call
from portico.gateway.exchange import check_coding, release, send
from portico.gateway.generate import rest, upstream_error
from portico.gateway.relay import StreamRelay
from portico.gateway.snapshot import Entry
from portico.gateway.splice import spliced_head
from portico.gateway.streaming import recorded, run_stream
from portico.gateway.target import Target
from portico.http.messages import Reply, Request
from portico.http.upstream import UpstreamConnection
from portico.state.pointers import Pointing
from portico.state.recording import Turn
from portico.state.records import LIVE, Record
from portico.wire.headers import forward_response
from portico.wire.json import is_json
from portico.wire.sse import Frames

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway

log = logging.getLogger("portico.state")

_RESPONSES = DIALECTS["responses"]
_ASKED = frozenset((
    "after", "include", "include[]", "include_obfuscation", "limit", "order", "starting_after",
    "stream",
))  # fmt: skip
"""Query fields that are passed on. Others may mean something to one provider only, such as
`api-version`, which is the operator's. openai-python 3.54, `ResponseRetrieveParams`,
`InputItemListParams`."""


def unknown_response(name: str) -> NotFound:
    """The 404 for what is another tenant's, has expired, or never was."""
    return NotFound(
        f"Response with id '{name}' not found.", code="response_not_found", param="response_id"
    )


async def delete_there(gateway: "Gateway", call: Call, request: Request, record: Record) -> None:
    """Delete the provider's copy of a kept response, unless it is gone already. Raises
    `PorticoError` when it may still be there."""
    target = _keeper(call, record)
    if target is None:
        log.warning(
            "response %s stays at its provider: no model of the configuration leads there any more",
            record.id,
        )
        return
    connection = await _ask(gateway, call, request, record, target, b"DELETE", b"", b"")
    try:
        if connection.status != 404 and not 200 <= connection.status < 300:
            raise upstream_error(call, UPSTREAMS["responses"], connection, target.secret)
        connection.take()
    finally:
        release(connection, call.outcome)


async def serve_pointer(
    gateway: "Gateway", call: Call, request: Request, reply: Reply, record: Record
) -> None:
    """Answer for a response that only its provider keeps. Raises `PorticoError`."""
    read_page(request.query)
    stream, _ = read_stream(request.query)
    target = _keeper(call, record)
    if target is None:
        raise unknown_response(record.id)
    if request.method == b"DELETE":
        await delete_there(gateway, call, request, record)
        await gateway.state.store.delete(record.tenant, record.id)
        _send(call, reply, b"", deleted_response(record.id))
        return
    room = call.endpoint.below.partition("}")[2].encode() if call.endpoint is not None else b""
    connection = await _ask(
        gateway, call, request, record, target, request.method, room, _query(request.query)
    )
    try:
        if connection.status == 404:
            raise unknown_response(record.id)
        if connection.status != 200:
            raise upstream_error(call, UPSTREAMS["responses"], connection, target.secret)
        check_coding(connection)
        if stream and connection.event_stream:
            await _relay(gateway, call, reply, record, connection)
            return
        body = connection.take() if connection.complete else await rest(call, connection)
        if not is_json(body):
            raise UpstreamProtocol("The provider's answer is not JSON.")
        if room != b"/input_items":
            await _note_end(gateway, call, record, body)
        _send(call, reply, forward_response(connection.headers), body)
    finally:
        release(connection, call.outcome)


def _keeper(call: Call, record: Record) -> Target | None:
    """A target at the place and account that has the response: that of the model which was asked
    for, or any other."""
    for entry in _entries(call, record.model):
        for target in entry.targets:
            if target.origin == record.origin and _speaks(target, record.model):
                return target
    return None


def _entries(call: Call, model: str) -> Iterator[Entry]:
    route = call.route
    if route is None:
        return
    first = route.models.find(model)
    if first is not None:
        yield first
    yield from route.entries


def _speaks(target: Target, model: str) -> bool:
    return "responses" in target.spoken(target.upstream_model(model))


async def _ask(
    gateway: "Gateway",
    call: Call,
    request: Request,
    record: Record,
    target: Target,
    method: bytes,
    room: bytes,
    query: bytes,
) -> UpstreamConnection:
    """Ask the provider about the response. Whoever gets the connection has to release it."""
    outcome = call.outcome
    outcome.lane = "splice"
    outcome.provider = target.label
    outcome.semconv_provider = target.semconv
    outcome.upstream_model = model = target.upstream_model(record.model)
    call.deadline = monotonic() + call.snapshot.deadlines.total
    start = target.kept_head(method, model, b"/%b%b" % (record.id.encode("ascii"), room), query)
    if start is None:
        raise unknown_response(record.id)
    head = await spliced_head(target, start, request, _RESPONSES, b"")
    hold = call.snapshot.limits.response_hold_bytes
    return await send(gateway.client, call, target, head, b"", hold)


def _query(query: bytes) -> bytes:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] in _ASKED]).encode("ascii")


def _pointing(gateway: "Gateway", record: Record) -> Pointing:
    """Notes how a response ends that was not over when it was last seen."""
    turn = Turn(
        tenant=record.tenant,
        store=True,
        model=record.model,
        retention=gateway.state.retention,
        input=record.input,
        origin=record.origin,
        keeps=True,
        native=True,
        pointer=True,
    )
    return Pointing(gateway.state.store, turn, early=True, known=True)


async def _note_end(gateway: "Gateway", call: Call, record: Record, body: bytes) -> None:
    """The first to see the end of a background response counts its usage."""
    if record.status not in LIVE:
        return
    pointing = _pointing(gateway, record)
    await pointing.commit(body)
    if pointing.ended:
        answer = _RESPONSES.read_usage(body)
        call.outcome.usage = answer.usage
        call.outcome.response_model = answer.model


async def _relay(
    gateway: "Gateway",
    call: Call,
    reply: Reply,
    record: Record,
    connection: UpstreamConnection,
) -> None:
    """Pass on the events of a background response."""
    outcome, snapshot = call.outcome, call.snapshot
    outcome.stream = True
    call.recording = _pointing(gateway, record)
    tap = recorded(Tap(), call, reply)
    relay = StreamRelay(
        connection,
        reply,
        tap,
        outcome,
        b"content-type: text/event-stream\r\ncache-control: no-cache\r\n%b%b"
        % (request_id_header(_RESPONSES, outcome.request_id), forward_response(connection.headers)),
        Frames(snapshot.limits.sse_frame_bytes),
        snapshot.deadlines.sse_keep_alive,
    )
    await run_stream(gateway.client, call, reply, connection, relay, tap)


def _send(call: Call, reply: Reply, more: bytes, body: bytes) -> None:
    outcome = call.outcome
    outcome.status = 200
    outcome.first_byte = monotonic()
    reply.send(200, JSON + request_id_header(_RESPONSES, outcome.request_id) + more, body)
