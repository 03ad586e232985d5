"""`POST /v1/messages/count_tokens` and `POST /v1/responses/input_tokens`: how many input tokens a
request would have.

Asked of the provider where it counts, in its own dialect; where it does not, estimated here and
said to be an estimate. Nothing is generated, so nothing is billed.
"""

from time import monotonic

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.token_counts import COUNTERS, CountSide, count_side
from portico.dialects.translators import UPSTREAMS
from portico.errors import UpstreamProtocol
from portico.gateway.answers import JSON, request_id_header
from portico.gateway.call import Call
from portico.gateway.compact import restate_summaries
from portico.gateway.exchange import check_coding, release, send
from portico.gateway.generate import Tools, finish_head, prepare, upstream_error
from portico.gateway.losses import losses_header, refuse_losses
from portico.gateway.splice import spliced_head, strip_ours
from portico.gateway.target import Target
from portico.http.messages import Reply, Request
from portico.model.estimate import estimate
from portico.model.losses import Loss, Losses, LossList
from portico.policy.sealing import TenantSealer

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
    call.tell_losses = target.on_loss != "ignore"
    side = count_side(dialect.name)
    start = target.count_head(spoken, model)
    if start is not None and spoken == dialect.name:
        outcome.lane = "splice"
        restate_summaries(ask, dialect, sealer)
        strip_ours(call, dialect, target, ask)
        payload = target.add_members(ask.render(model), spoken, model, counting=True)
        head = await spliced_head(target, start, request, dialect, payload)
    else:
        outcome.lane = "translate"
        losses: Losses = LossList()
        outcome.losses = losses
        wanted = side.read(ask.fields, ask.body, call.snapshot.limits, sealer.unseal)
        counter = COUNTERS.get(spoken)
        if start is None or counter is None or not wanted.items:
            reason = "estimated: this provider does not count"
            if not wanted.items:
                reason = "estimated: this provider does not count without input"
            losses.append(Loss("input_tokens", "adapted", reason))
            _refuse(target, losses)
            _answer(call, reply, dialect, side, estimate(wanted))
            return
        _, upstream, fitted = await prepare(tools, call, dialect, target, wanted, losses)
        payload = counter.write(fitted.request, upstream, losses)
        _refuse(target, losses)
        payload = target.add_members(payload, spoken, model, counting=True)
        head = await finish_head(target, start, request, payload)
    tokens = await _ask(tools, call, target, spoken, head, payload)
    _answer(call, reply, dialect, side, tokens)


def _refuse(target: Target, losses: Losses) -> None:
    if losses and target.on_loss == "reject":
        raise refuse_losses(losses)


async def _ask(
    tools: Tools, call: Call, target: Target, spoken: str, head: bytes, payload: bytes
) -> int:
    """The provider's count. Raises its error, typed."""
    connection = await send(tools.client, call, target, head, payload, MOST_BYTES)
    try:
        if connection.status != 200:
            raise upstream_error(call, UPSTREAMS[spoken], connection, target.secret)
        check_coding(connection)
        if not connection.complete:
            raise UpstreamProtocol("The provider's count is not a count.")
        body = connection.take()
    finally:
        release(connection, call.outcome)
    try:
        return COUNTERS[spoken].read(body)
    except (ValueError, RecursionError):
        raise UpstreamProtocol(
            "The provider's count could not be read.", debug=repr(body[:200])
        ) from None


def _answer(call: Call, reply: Reply, dialect: Dialect, side: CountSide, tokens: int) -> None:
    outcome = call.outcome
    headers = JSON + request_id_header(dialect, outcome.request_id) + call.meta
    if outcome.losses and call.tell_losses:
        headers += losses_header(outcome.losses)
    if call.rules is not None:
        headers = call.rules.apply(headers)
    outcome.first_byte = monotonic()
    outcome.status = 200
    reply.send(200, headers, side.write(tokens))
