"""Asking a provider through the hub: what every use of it has in common, and the simplest use.

`generate` is one question of the gateway's own, answered whole. The translate lane has the client's
questions, and shares with it how a request is fitted, sent and refused.
"""

from msgspec import Struct

from portico.dialects.base import Dialect
from portico.dialects.translate import Upstream
from portico.dialects.translators import UPSTREAMS, Uplink
from portico.errors import UpstreamFault, UpstreamProtocol
from portico.gateway.call import Call
from portico.gateway.exchange import check_coding, release, send
from portico.gateway.relay import BodyGather, too_large, unfinished
from portico.gateway.remote import fetch_all
from portico.gateway.target import Target
from portico.gateway.translation import Folding
from portico.http.client import HttpClient
from portico.http.messages import Request
from portico.http.remote import RemoteDoor
from portico.http.upstream import UpstreamConnection
from portico.model.losses import Losses, LossList
from portico.model.passes.fit import Fitted, fit
from portico.model.request import GenerateRequest
from portico.model.response import GenerateResponse
from portico.wire.eventstream import EventFrames
from portico.wire.headers import TRACE, forward_request
from portico.wire.sse import Frames


class Tools(Struct, frozen=True):
    """What the lane works with, made once per worker."""

    client: HttpClient
    door: RemoteDoor


class Generated(Struct, frozen=True):
    """A whole answer, and the header fields it came with."""

    response: GenerateResponse
    headers: dict[bytes, bytes]


async def generate(
    tools: Tools,
    call: Call,
    request: Request,
    dialect: Dialect,
    target: Target,
    wanted: GenerateRequest,
) -> Generated:
    """Ask once, and wait for the whole answer. Raises `PorticoError`.

    What the target could not express is not told to anybody: nobody but the gateway asked. The
    record gets the usage, also when the answer fails.
    """
    losses: Losses = LossList()
    uplink, upstream, fitted = await prepare(tools, call, dialect, target, wanted, losses)
    side = uplink.side
    payload = side.write(fitted.request, upstream, losses)
    payload = target.add_members(payload, side.name, upstream.model)
    start = target.head(side.name, upstream.model, wanted.stream)
    start += uplink_headers(target, uplink, wanted)
    head = await finish_head(target, start, request, payload)
    hold = call.snapshot.limits.response_hold_bytes
    connection = await send(tools.client, call, target, head, payload, hold)
    folding = Folding(fitted.restore)
    try:
        if connection.status != 200:
            raise upstream_error(call, uplink, connection, target.secret)
        check_coding(connection)
        if connection.event_stream:
            await gather(call, connection, uplink, upstream, folding)
        else:
            body = connection.take() if connection.complete else await rest(call, connection)
            folding.feed(side.read(body, upstream))
        return Generated(folding.result(), connection.headers)
    finally:
        folding.note(call.outcome)
        release(connection, call.outcome)


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


def uplink_headers(target: Target, uplink: Uplink, wanted: GenerateRequest) -> bytes:
    """The header lines that the request needs in the upstream's dialect."""
    lines = uplink.headers(wanted)
    return lines if target.request_rules is None else target.request_rules.strip(lines)


async def finish_head(target: Target, start: bytes, request: Request, payload: bytes) -> bytes:
    """A whole head: `start`, trace, the provider's own defaults, its credential, the length.

    The client's trace goes along, its credentials do not.
    """
    rules = target.request_rules
    if rules is None:
        trace = forward_request(request.headers, TRACE)
        defaults = b"".join([line for _, line in target.defaults])
    else:
        trace = forward_request(request.headers, TRACE - rules.names)
        defaults = b"".join([line for name, line in target.defaults if name not in rules.names])
    credential = await target.sign(start, payload) if target.authorize is not None else b""
    return b"%b%b%b%bcontent-length: %d\r\n\r\n" % (
        start, trace, defaults, credential, len(payload)
    )  # fmt: skip


def upstream_error(
    call: Call, uplink: Uplink, connection: UpstreamConnection, secret: bytes
) -> UpstreamFault:
    """The provider's error, typed; the client's dialect words it."""
    status = connection.status
    if status < 400:
        moved = UpstreamProtocol(
            "The provider answered with a redirect or an empty success.",
            debug=f"provider answered {status}",
        )
        moved.upstream_status = status
        return moved
    body = connection.take() if connection.complete else b""
    if len(body) > call.snapshot.limits.error_body_bytes:
        body = b""
    if secret:
        body = body.replace(secret, b"[redacted]")
    fault = uplink.side.read_error(status, connection.headers, body)
    after = connection.headers.get(b"retry-after")
    if after is not None and len(after) < 64 and fault.retry_after is None:
        fault.retry_after = after.decode("latin-1")
    fault.upstream_status = status
    return fault


async def rest(call: Call, connection: UpstreamConnection) -> bytes:
    """An answer too long to be there already. Raises like `BodyGather.feed`."""
    most = call.snapshot.limits.response_bytes
    length = connection.headers.get(b"content-length")
    if length is not None and int(length) > most:
        raise too_large()
    gathered = BodyGather(most)
    await connection.relay(gathered.feed)
    return gathered.body()


async def gather(
    call: Call, connection: UpstreamConnection, uplink: Uplink, upstream: Upstream, folding: Folding
) -> None:
    """Fold a stream that nobody asked for. Raises the fault of a stream that failed.

    The record gets the usage that was known when it was cut.
    """
    limits = call.snapshot.limits
    frames = framer(uplink, limits.sse_frame_bytes)
    decoder = uplink.side.stream(upstream)
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
    finally:
        folding.held = decoder.held_usage


def framer(uplink: Uplink, most: int) -> Frames | EventFrames:
    """What cuts the provider's streams into frames of at most `most` bytes."""
    return EventFrames(most) if uplink.side.framing == "aws" else Frames(most)
