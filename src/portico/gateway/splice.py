"""The splice lane: client and provider speak the same dialect, so the bytes are theirs.

Request: checked and decoded one level deep; `model` and allow-listed keys change. Response: relayed
byte for byte while a tap counts usage. Nothing here knows which dialect it is.
"""

from portico.dialects.base import Dialect, SpliceRequest
from portico.errors import (
    PorticoError,
    UpstreamAuth,
    UpstreamFault,
    UpstreamProtocol,
    UpstreamTruncated,
)
from portico.gateway.answers import error_headers, request_id_header
from portico.gateway.call import Call
from portico.gateway.relay import BodyRelay, StreamRelay
from portico.gateway.snapshot import Target
from portico.http.client import HttpClient
from portico.http.messages import Reply, Request
from portico.http.upstream import UpstreamConnection
from portico.wire.headers import forward_request, forward_response


async def splice(
    client: HttpClient,
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
) -> None:
    """Send the request to `target` and relay its answer. Raises `PorticoError`."""
    outcome = call.outcome
    outcome.lane = "splice"
    snapshot = call.snapshot
    deadlines = snapshot.deadlines
    payload = ask.render(outcome.upstream_model)
    head = b"%b%bcontent-length: %d\r\n\r\n" % (
        target.heads[dialect.name],
        forward_request(request.headers, dialect.request_headers),
        len(payload),
    )
    outcome.attempts = 1
    connection = target.pool.take() or await client.connect(target.pool)
    try:
        connection.send(
            head,
            payload,
            snapshot.limits.response_hold_bytes,
            first_byte=deadlines.first_byte,
            idle=deadlines.idle,
            total=deadlines.total,
        )
        outcome.upstream_started = connection.sent_at
        await connection.answer()
        outcome.upstream_first_byte = connection.first_byte_at
        if connection.status != 200:
            await _relay_error(call, reply, dialect, connection)
        elif connection.event_stream:
            await _relay_stream(client, call, reply, dialect, connection, ask)
        else:
            await _relay_body(call, reply, dialect, connection)
    finally:
        connection.release()


def _answer_headers(call: Call, connection: UpstreamConnection) -> bytes:
    headers = connection.headers
    coding = headers.get(b"content-encoding")
    if coding is not None and coding != b"identity":
        raise UpstreamProtocol(
            "The provider sent a compressed answer although identity was asked for.",
            debug=f"content-encoding: {coding[:40]!r}",
        )
    kind = headers.get(b"content-type", b"application/json")
    return b"content-type: %b\r\n%b%b" % (
        kind,
        request_id_header(call.outcome.request_id),
        forward_response(headers.items()),
    )


async def _relay_body(
    call: Call, reply: Reply, dialect: Dialect, connection: UpstreamConnection
) -> None:
    outcome = call.outcome
    headers = _answer_headers(call, connection)
    if connection.headers.get(b"content-type", b"").startswith(b"text/html"):
        raise UpstreamProtocol("The provider answered with a web page.")
    if connection.complete:
        body = connection.take()
        if connection.close_delimited and not body.rstrip().endswith(b"}"):
            raise UpstreamTruncated("The provider's answer ended before it was whole.")
        outcome.first_byte = outcome.upstream_first_byte
        outcome.status = 200
        reply.send(200, headers, body)
        _note(call, dialect, body)
        return
    length = connection.headers.get(b"content-length")
    relay = BodyRelay(reply, call.snapshot.limits.response_bytes)
    outcome.first_byte = outcome.upstream_first_byte
    outcome.status = 200
    reply.start(200, headers, int(length) if length is not None else None)
    reply.attach(connection)
    try:
        await connection.relay(relay.feed)
    except UpstreamFault:
        outcome.verdict = "truncated"
        reply.abort()
        raise
    finally:
        outcome.usage = dialect.usage_from_tail(relay.tail)
    reply.end()


def _note(call: Call, dialect: Dialect, body: bytes) -> None:
    """Take from a whole answer what the record needs, after the client has it."""
    answer = dialect.read_usage(body)
    call.outcome.usage = answer.usage
    call.outcome.response_model = answer.model


async def _relay_stream(
    client: HttpClient,
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection,
    ask: SpliceRequest,
) -> None:
    outcome = call.outcome
    outcome.stream = True
    snapshot = call.snapshot
    tap = dialect.tap(ask)
    relay = StreamRelay(
        connection,
        reply,
        tap,
        outcome,
        _answer_headers(call, connection) + b"cache-control: no-cache\r\n",
        snapshot.limits.sse_frame_bytes,
        snapshot.deadlines.sse_keep_alive,
    )
    members = client.sweeper.members
    members.add(relay)
    reply.attach(connection)
    try:
        await connection.relay(relay.feed)
        relay.finish()
    except PorticoError as fault:
        if not reply.started:
            raise
        if not tap.finished:
            outcome.verdict = "truncated"
            outcome.error_code = fault.code
            outcome.error_debug = fault.debug
        relay.cut(fault)
    except BaseException:
        # Cancelled: the client left, or this worker is going down and the client is to be told.
        call.relay = relay
        call.finished = tap.finished
        raise
    finally:
        members.discard(relay)
        outcome.usage = tap.usage
        outcome.response_model = tap.model


async def _relay_error(
    call: Call, reply: Reply, dialect: Dialect, connection: UpstreamConnection
) -> None:
    """Pass on the provider's own error: its status class, code and `retry-after` are kept."""
    outcome = call.outcome
    status = connection.status
    body = connection.take() if connection.complete else b""
    limit = call.snapshot.limits.error_body_bytes
    if len(body) > limit:
        body = b""
    retry_after = connection.headers.get(b"retry-after")
    error: PorticoError
    if status in (401, 403):
        error = UpstreamAuth(
            "The provider refused this gateway's credential.",
            debug=f"provider answered {status}: {body[:500]!r}",
        )
    elif status < 400:
        error = UpstreamProtocol(
            "The provider answered with a redirect or an empty success.",
            debug=f"provider answered {status}",
        )
    else:
        error = dialect.read_error(status, body)
        if dialect.is_envelope(body):
            outcome.status = status
            outcome.error_code = error.code
            outcome.verdict = "upstream_error"
            headers = error_headers(error, outcome.request_id)
            reply.send(status, headers + forward_response(connection.headers.items()), body)
            return
        if retry_after is not None and len(retry_after) < 64:
            error.retry_after = retry_after.decode("latin-1")
    raise error
