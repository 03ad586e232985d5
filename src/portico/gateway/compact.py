"""`POST /v1/responses/compact`: a conversation folded into what the next request begins with.

For every model: the target itself writes the summary. What comes out are the user's own messages
and one `compaction` item, to be sent as `input` as they are, to any provider.
"""

from time import monotonic, time

from msgspec import Raw

from portico.dialects import checks
from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.responses import compact_out
from portico.dialects.responses.count_tokens import read_request
from portico.gateway.answers import JSON, request_id_header
from portico.gateway.call import Call
from portico.gateway.context import summarise, summary_of
from portico.gateway.generate import Tools
from portico.gateway.target import Target
from portico.gateway.windows import window_of
from portico.http.messages import Reply, Request
from portico.ids import new_base
from portico.model.sealed import PREFIX
from portico.policy.sealing import TenantSealer
from portico.wire.headers import forward_response

_MARK = PREFIX.encode()


async def compact(
    tools: Tools,
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
    sealer: TenantSealer,
) -> None:
    """Answer with the shorter conversation. Raises `PorticoError`."""
    outcome = call.outcome
    outcome.lane = "translate"
    wanted = read_request(ask.fields, ask.body, call.snapshot.limits, sealer.unseal)
    if not wanted.items:
        raise checks.missing_parameter("input")
    window = await window_of(target, outcome.upstream_model)
    generated = await summarise(tools, call, request, dialect, target, wanted, wanted.items, window)
    body = compact_out.write(
        ask.fields.get("input", Raw(b"[]")),
        summary_of(generated),
        generated.response.usage,
        base=new_base(),
        created=int(time()),
        seal=sealer.seal,
    )
    headers = JSON + request_id_header(dialect, outcome.request_id) + call.meta
    headers += forward_response(generated.headers)
    if call.rules is not None:
        headers = call.rules.apply(headers)
    outcome.first_byte = monotonic()
    outcome.status = 200
    reply.send(200, headers, body)


def restate_summaries(ask: SpliceRequest, dialect: Dialect, sealer: TenantSealer) -> None:
    """Put the summaries that this gateway made into words, for a provider that is asked in the
    client's own dialect and could not open them. Before `strip_ours`, which takes them out."""
    if dialect.name != "responses" or _MARK not in ask.body:
        return
    changed = compact_out.restated(ask.fields, sealer.unseal)
    if changed is not None:
        ask.fields = {**ask.fields, "input": changed}
        ask.changes = ask.changes or {}
