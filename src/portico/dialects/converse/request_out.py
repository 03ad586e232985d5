"""A request of the hub as the body of Converse and ConverseStream. The model is in the address.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
(2026-11-21).
"""

import re
from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.checks import unsupported
from portico.dialects.converse import reasoning_out, tools_out
from portico.dialects.converse.maps import TIER_OUT, Family, family
from portico.dialects.converse.points import Points
from portico.dialects.converse.reasoning_out import Plan
from portico.dialects.converse.turns_out import Writer
from portico.dialects.counts import UNREADABLE
from portico.dialects.translate import Upstream
from portico.model.items import ToolCall, ToolResult
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest

Body = dict[str, Any]

_OWN = ("guardrailConfig", "performanceConfig", "promptVariables")
"""Members of the API that no other dialect has; taken from the client's extras as they are."""
_KEY = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{1,256}")
_VALUE = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}")
_METADATA_MOST = 16
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[str]).decode


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body. Raises `BadRequest` for content of a type that Bedrock does not take."""
    return msgspec.json.encode(body(request, upstream, losses))


def body(request: GenerateRequest, upstream: Upstream, losses: Losses) -> Body:
    """The body as a dict; see `write`."""
    row = family(upstream.model)
    points = Points(request, row, losses)
    # Cache points are given out in the order of the prefix, but whether the history needs tools
    # shows only in the history: what it calls is looked up first.
    history = _called(request)
    tools = tools_out.config(request, row, history, points, losses)
    written = Writer(request, row, points, losses).write(request)
    if not written.messages:
        where = path(request.dialect, "items")
        raise unsupported(where, f"'{where}' holds nothing that this provider can be sent.")
    made: Body = {"messages": written.messages}
    if written.system:
        made["system"] = written.system
    forced = tools_out.is_forced(tools) and row.claude
    plan = reasoning_out.plan(request, row, written.messages, forced, losses)
    config = _inference(request, row, plan, losses)
    if config:
        made["inferenceConfig"] = config
    fields = dict(plan.fields)
    if row.claude and request.parallel_tool_calls is False:
        tools_out.disable_parallel(tools, fields)
    if tools is not None:
        made["toolConfig"] = tools
    _additional(request, row, plan, fields, losses)
    if fields:
        made["additionalModelRequestFields"] = fields
    output = _output(request, plan)
    if output:
        made["outputConfig"] = output
    if row.claude and request.stop:
        # Converse says that a stop sequence was hit, not which one.
        place = "/delta/stop_sequence" if request.stream else "/stop_sequence"
        made["additionalModelResponseFieldPaths"] = [place]
    _rest(request, made, losses)
    return made


def _called(request: GenerateRequest) -> tuple[str, ...]:
    names = {item.name: None for item in request.items if isinstance(item, ToolCall)}
    if not names and any(isinstance(item, ToolResult) for item in request.items):
        names = {"unknown_tool": None}
    return tuple(names)


def _inference(request: GenerateRequest, row: Family, plan: Plan, losses: Losses) -> Body:
    made: Body = {}
    most = request.max_output_tokens if request.max_output_tokens is not None else plan.max_tokens
    if most is not None:
        made["maxTokens"] = most
    if request.stop:
        made["stopSequences"] = list(request.stop)
    heat, top_p = request.temperature, request.top_p
    if plan.no_sampling:
        for name, value in (("temperature", heat), ("top_p", top_p)):
            if value is not None and value != 1:
                losses.append(Loss(name, "dropped", "not taken while the model thinks"))
        return made
    if heat is not None and top_p is not None and not row.pair:
        # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
        # (2026-11-21): one of the two since Claude 4.1
        if top_p != 1:
            losses.append(Loss("top_p", "dropped", "this model takes it or temperature, not both"))
        top_p = None
    if heat is not None:
        made["temperature"] = heat
    if top_p is not None:
        made["topP"] = top_p
    return made


def _additional(
    request: GenerateRequest, row: Family, plan: Plan, fields: Body, losses: Losses
) -> None:
    """`additionalModelRequestFields`: what is particular to a family of models."""
    if request.top_k is not None and row.top_k:
        if plan.no_sampling:
            losses.append(Loss("top_k", "dropped", "not taken while the model thinks"))
        elif len(row.top_k) == 1:
            fields[row.top_k[0]] = request.top_k
        else:
            fields[row.top_k[0]] = {row.top_k[1]: request.top_k}
    raw = request.extras.get("anthropic_beta")
    if raw is not None and row.claude:
        try:
            fields["anthropic_beta"] = _decode_list(raw)
        except UNREADABLE:
            raise unsupported("anthropic_beta", "Expected an array of strings.") from None
        _taken("anthropic_beta", losses)
    raw = request.extras.get("additionalModelRequestFields")
    if raw is not None:
        try:
            given = _decode_object(raw)
        except UNREADABLE:
            raise unsupported("additionalModelRequestFields", "Expected an object.") from None
        fields.update(given)
        _taken("additionalModelRequestFields", losses)


def _output(request: GenerateRequest, plan: Plan) -> Body:
    made: Body = {}
    wanted = request.format
    if wanted is not None and wanted.kind == "json_schema" and wanted.schema is not None:
        schema: Body = {"schema": bytes(wanted.schema).decode()}
        if wanted.name:
            schema["name"] = wanted.name
        if wanted.description:
            schema["description"] = wanted.description
        made["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    if plan.effort:
        made["effort"] = plan.effort
    return made


def _rest(request: GenerateRequest, made: Body, losses: Losses) -> None:
    tier = request.service_tier
    if tier in TIER_OUT:
        if tier != "default":  # what happens anyway, and not all models know the member
            made["serviceTier"] = {"type": TIER_OUT[tier]}
    elif tier not in (None, "auto"):
        losses.append(Loss("service_tier", "dropped", "this provider has no such tier"))
    metadata: dict[str, str] = {}
    for key, value in request.metadata.items():
        fits = _KEY.fullmatch(key) and _VALUE.fullmatch(value)
        if fits and len(metadata) < _METADATA_MOST:
            metadata[key] = value
        else:
            why = "requestMetadata holds 16 pairs of 256 plain characters"
            losses.append(Loss(f"metadata.{key[:64]}", "dropped", why))
    if metadata:
        made["requestMetadata"] = metadata
    for name in _OWN:
        raw = request.extras.get(name)
        if raw is not None:
            made[name] = raw
            _taken(name, losses)


def _taken(name: str, losses: Losses) -> None:
    """An extra that was counted as lost before it came here, and is not."""
    losses[:] = [loss for loss in losses if loss.path != name]
