"""`POST /v1/messages/count_tokens`: how many input tokens a request would have.

Asked of the provider where it counts, in its own dialect; where it does not, estimated here and
said to be an estimate. Nothing is generated, so nothing is billed.
"""

from time import monotonic

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.token_counts import COUNTERS, read_request, write_answer
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import UpstreamProtocol
from portico.gateway.answers import request_id_header
from portico.gateway.call import Call
from portico.gateway.losses import losses_header, refuse_losses
from portico.gateway.target import Target
from portico.gateway.translate import (
    JSON,
    Tools,
    check_coding,
    finish_head,
    prepare,
    upstream_error,
)
from portico.http.messages import Reply, Request
from portico.model.estimate import estimate
from portico.model.losses import Loss, Losses, LossList
from portico.policy.sealing import TenantSealer
from portico.wire.json import quote, splice

MOST_BYTES = 64 * 1024


async def count(
    tools: Tools,
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
    sealer: TenantSealer,
) -> None:
    """Answer with a count. Raises `PorticoError`."""
    outcome = call.outcome
    model = outcome.upstream_model
    spoken = target.dialect_for(dialect.name, model)
    losses: Losses = LossList()
    outcome.losses = losses
    head = target.count_head(spoken, model)
    if head is not None and spoken == dialect.name:
        outcome.lane = "splice"
        side = CLIENTS[dialect.name]
        changes: dict[str, bytes] = {}
        if any([mark in ask.body for mark in side.marks]):
            changes = side.strip(ask.fields)  # the provider refuses what others sealed
        payload = splice(ask.fields, {"model": quote(model), **changes})
    else:
        outcome.lane = "translate"
        wanted = read_request(ask.fields, ask.body, call.snapshot.limits, sealer.unseal)
        counter = COUNTERS.get(spoken)
        if head is None or counter is None:
            tokens = estimate(wanted)
            losses.append(
                Loss("input_tokens", "adapted", "estimated: this provider does not count")
            )
            if target.on_loss == "reject":
                raise refuse_losses(losses)
            _answer(call, reply, dialect, tokens, target)
            return
        _, upstream, fitted = await prepare(tools, call, dialect, target, wanted, losses)
        payload = counter.write(fitted.request, upstream, losses)
    payload = target.add_members(payload, spoken, model, counting=True)
    body = await _ask(tools, call, request, target, spoken, head, payload)
    try:
        tokens = COUNTERS[spoken].read(body)
    except (ValueError, RecursionError):
        raise UpstreamProtocol(
            "The provider's count could not be read.", debug=repr(body[:200])
        ) from None
    _answer(call, reply, dialect, tokens, target)


async def _ask(
    tools: Tools,
    call: Call,
    request: Request,
    target: Target,
    spoken: str,
    start: bytes,
    payload: bytes,
) -> bytes:
    """The provider's answer, whole. Raises its error, typed."""
    outcome = call.outcome
    deadlines = call.snapshot.deadlines
    head = await finish_head(target, start, request, payload)
    outcome.attempts = 1
    outcome.upstream_started = monotonic()
    connection = target.pool.take() or await tools.client.connect(target.pool)
    try:
        connection.send(
            head,
            payload,
            MOST_BYTES,
            first_byte=deadlines.first_byte,
            idle=deadlines.idle,
            total=deadlines.total,
        )
        await connection.answer()
        outcome.upstream_first_byte = connection.first_byte_at
        if connection.status != 200:
            raise upstream_error(call, UPSTREAMS[spoken], connection, target.secret)
        check_coding(connection)
        if not connection.complete:
            raise UpstreamProtocol("The provider's count is not a count.")
        return connection.take()
    finally:
        if connection.complete:
            outcome.upstream_finished = connection.last_read
        connection.release()


def _answer(call: Call, reply: Reply, dialect: Dialect, tokens: int, target: Target) -> None:
    outcome = call.outcome
    headers = JSON + request_id_header(dialect, outcome.request_id)
    if outcome.losses and target.on_loss != "ignore":
        headers += losses_header(outcome.losses)
    outcome.first_byte = monotonic()
    outcome.status = 200
    reply.send(200, headers, write_answer(tokens))
