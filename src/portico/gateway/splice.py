"""The splice lane: client and provider speak the same dialect, so the bytes are theirs.

Request: checked and decoded one level deep; `model` and allow-listed keys change. Response: relayed
byte for byte while a tap counts usage. Nothing here knows which dialect it is.
"""

import re
from time import monotonic

from msgspec import structs

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import (
    PorticoError,
    UpstreamAuth,
    UpstreamFault,
    UpstreamProtocol,
    UpstreamTruncated,
    forget_frames,
)
from portico.gateway.answers import request_id_header
from portico.gateway.attempts import once_more
from portico.gateway.call import Call
from portico.gateway.exchange import check_coding, release, send
from portico.gateway.losses import losses_header, refuse_losses
from portico.gateway.peek import REDACTED, Peek, first_token_by
from portico.gateway.relay import BodyGather, BodyRelay, StreamRelay, too_large
from portico.gateway.shaping import instructions_told, undo
from portico.gateway.snapshot import Target
from portico.gateway.streaming import recorded, run_stream
from portico.http.client import HttpClient
from portico.http.messages import Reply, Request
from portico.http.upstream import UpstreamConnection
from portico.model.events import Failed
from portico.model.losses import Loss
from portico.state.pointers import PointingTap
from portico.wire.headers import forward_request, forward_response
from portico.wire.json import is_json
from portico.wire.sse import Frames


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
    model = outcome.upstream_model
    payload = target.add_members(ask.render(model), dialect.name, model)
    start = target.heads.get(dialect.name) or target.head(dialect.name, model, ask.stream)
    head = await spliced_head(target, start, request, dialect, payload)
    hold = call.snapshot.limits.response_hold_bytes
    connection = await send(client, call, target, head, payload, hold)
    try:
        if connection.status != 200:
            raise _provider_error(call, dialect, connection, target.secret)
        if connection.event_stream:
            await _relay_stream(client, call, reply, dialect, target, connection, ask)
        elif connection.complete:
            outcome.upstream_finished = connection.last_read
            body = connection.take()
            if not body:
                raise UpstreamProtocol("The provider's answer is empty.")
            if _looks_like_error(body) or (
                dialect.name == "responses" and _says_failed(body, 0, _BEGINNING)
            ):
                body = _check_error(call, dialect, target, body)
            headers = _answer_headers(call, dialect, connection)
            if call.recording is not None:  # what cannot be sent is not kept
                try:
                    body = await call.recording.keep(body)
                except PorticoError:
                    outcome.usage = dialect.read_usage(body).usage  # it is billed all the same
                    raise
            _send_whole(call, reply, dialect, connection, headers, body)
        else:
            await _relay_large(call, reply, dialect, connection)
    finally:
        release(connection, outcome)


async def splice_native(
    client: HttpClient,
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
) -> None:
    """Like `splice`, for a request that counts on what the provider keeps. Where that is gone, it
    is asked once more with everything in the request: nothing was generated, so nothing is billed
    twice. Raises `PorticoError`."""
    outcome = call.outcome
    plain, losses = structs.replace(ask), outcome.losses
    shape(call, target, dialect, ask, native=True)
    strip_ours(call, dialect, target, ask)
    try:
        await splice(client, call, request, reply, dialect, target, ask)
    except PorticoError as error:
        fallback, call.fallback = call.fallback, None
        if fallback is None or not fallback.helps(error):
            raise
        lost = error
    else:
        return
    forget_frames(lost)
    outcome.losses = losses
    undo(ask, plain)
    await fallback.expand()
    once_more(call, target, lost)
    shape(call, target, dialect, ask)
    strip_ours(call, dialect, target, ask)
    await splice(client, call, request, reply, dialect, target, ask)


def shape(
    call: Call,
    target: Target,
    dialect: Dialect,
    ask: SpliceRequest,
    kind: str = "generate",
    *,
    native: bool = False,
) -> None:
    """Change the request as the operator says for this target; tell the record what could not be
    said in the client's dialect. The answer that is kept repeats the client's own words."""
    if target.shaper is None:
        return
    outcome, plain = call.outcome, structs.replace(ask)
    losses = target.shaper.shape(ask, dialect.name, kind=kind, native=native)
    if losses:
        outcome.losses = [*(outcome.losses or ()), *losses]
    if call.recording is not None:
        turn = call.recording.turn
        turn.changes = {**turn.changes, **instructions_told(plain, ask)}


async def spliced_head(
    target: Target, start: bytes, request: Request, dialect: Dialect, payload: bytes
) -> bytes:
    """A whole head: `start`, the client's headers that mean something to the provider, the
    provider's defaults for those the client did not send, the credential, the length."""
    rules = target.request_rules
    if rules is None:
        forwarded = forward_request(request.headers, dialect.request_headers)
        for name, line in target.defaults:
            if name not in request.headers:
                forwarded += line
    else:
        forwarded = forward_request(request.headers, dialect.request_headers - rules.names)
        for name, line in target.defaults:
            if name not in request.headers and name not in rules.names:
                forwarded += line
    if target.authorize is not None:
        forwarded += await target.sign(start, payload)
    return b"%b%bcontent-length: %d\r\n\r\n" % (start, forwarded, len(payload))


def strip_ours(call: Call, dialect: Dialect, target: Target, ask: SpliceRequest) -> None:
    """Take out what another provider sealed through this gateway: this one would refuse it."""
    side = CLIENTS[dialect.name]
    for mark in side.marks:
        if mark in ask.body:
            break
    else:
        return
    changes = side.strip(ask.fields)
    if not changes:
        return
    losses = call.outcome.losses = [
        *(call.outcome.losses or ()),
        *[Loss(path, "dropped", "reasoning of another provider") for path in changes],
    ]
    call.tell_losses = target.on_loss != "ignore"
    if target.on_loss == "reject":
        raise refuse_losses(losses)
    ask.changes = {**changes, **(ask.changes or {})}


def _answer_headers(call: Call, dialect: Dialect, connection: UpstreamConnection) -> bytes:
    check_coding(connection)
    headers = connection.headers
    kind = headers.get(b"content-type", b"application/json")
    if kind.startswith(b"text/html"):
        raise UpstreamProtocol("The provider answered with a web page.")
    block = b"content-type: %b\r\n%b%b%b%b" % (
        kind,
        request_id_header(dialect, call.outcome.request_id),
        call.meta,
        forward_response(headers),
        losses_header(call.outcome.losses) if call.outcome.losses and call.tell_losses else b"",
    )
    return block if call.rules is None else call.rules.apply(block)


def _send_whole(
    call: Call,
    reply: Reply,
    dialect: Dialect,
    connection: UpstreamConnection,
    headers: bytes,
    body: bytes,
) -> None:
    """Answer with a body that is here already; read what the record needs after sending it."""
    outcome = call.outcome
    if connection.close_delimited and not is_json(body):  # only its grammar tells an end from a cut
        raise UpstreamTruncated("The provider's answer ended before it was whole.")
    outcome.first_byte = monotonic()
    outcome.status = 200
    reply.send(200, headers, body)
    answer = dialect.read_usage(body)
    outcome.usage = answer.usage
    outcome.response_model = answer.model


async def _relay_large(
    call: Call, reply: Reply, dialect: Dialect, connection: UpstreamConnection
) -> None:
    """Pass on a body too large to hold, piece by piece."""
    outcome = call.outcome
    headers = _answer_headers(call, dialect, connection)
    length = connection.headers.get(b"content-length")
    most = call.snapshot.limits.response_bytes
    if length is not None and int(length) > most:
        raise too_large()
    if connection.close_delimited or call.recording is not None:
        whole = BodyGather(most)
        await connection.relay(whole.feed)
        body = whole.body()
        if call.recording is not None:
            body = await call.recording.keep(body)
        _send_whole(call, reply, dialect, connection, headers, body)
        return
    relay = BodyRelay(reply, most)
    outcome.first_byte = monotonic()
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


async def _relay_stream(
    client: HttpClient,
    call: Call,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    connection: UpstreamConnection,
    ask: SpliceRequest,
) -> None:
    outcome = call.outcome
    outcome.stream = True
    snapshot = call.snapshot
    tap = recorded(dialect.tap(ask), call, reply)
    peek = None
    if not isinstance(tap, PointingTap):  # what names the response must not wait
        retry = call.may_retry if call.machine is not None else None
        peek = Peek(dialect, target, outcome.upstream_model, retry)
    relay = StreamRelay(
        connection,
        reply,
        tap,
        outcome,
        _answer_headers(call, dialect, connection) + b"cache-control: no-cache\r\n",
        Frames(snapshot.limits.sse_frame_bytes),
        snapshot.deadlines.sse_keep_alive,
        peek,
        first_token_by(call.patience or target, outcome),
    )
    await run_stream(client, call, reply, connection, relay, tap)


_looks_like_error = re.compile(rb'\s*\{\s*"(?:error"\s*:\s*[{"\[]|type"\s*:\s*"error")').match
"""Truthy for a body that begins as every envelope of an error does."""
_says_failed = re.compile(rb'"status"\s*:\s*"failed"').search
_BEGINNING = 512
"""Bytes of a response object in which its own status stands."""


def _check_error(call: Call, dialect: Dialect, target: Target, body: bytes) -> bytes:
    """Raise what a provider says went wrong inside a 200, if that will be retried. The body to pass
    on otherwise: without the operator's key, which some errors quote."""
    uplink = UPSTREAMS[dialect.name]
    upstream = uplink.upstream(
        target.kind, target.origin, target.quirks, call.outcome.upstream_model
    )
    if target.secret:
        body = body.replace(target.secret, REDACTED)
    try:
        events = uplink.side.read(body, upstream)
    except UpstreamFault as error:
        fault = error
    else:
        faults = [event.fault for event in events if isinstance(event, Failed)]
        if not faults:
            return body
        fault = faults[0]
    if call.may_retry(fault):
        raise fault
    return body


def _provider_error(
    call: Call, dialect: Dialect, connection: UpstreamConnection, secret: bytes
) -> PorticoError:
    """The provider's own error: its status class, code and `retry-after` are kept, and where it is
    in the client's dialect its bytes."""
    status = connection.status
    body = connection.take() if connection.complete else b""
    if len(body) > call.snapshot.limits.error_body_bytes:
        body = b""
    if secret:
        body = body.replace(secret, REDACTED)
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
        if retry_after is not None and len(retry_after) < 64:
            error.retry_after = retry_after.decode("latin-1")
        # A 400 about the key is about ours: its text is for the operator only.
        if not isinstance(error, UpstreamAuth) and dialect.is_envelope(body):
            if b"x-should-retry" in connection.headers:
                error.retryable = None  # the provider's own advice goes along
            error.verbatim = (forward_response(connection.headers), body)
            error.debug = ""
    error.upstream_status = status
    return error
