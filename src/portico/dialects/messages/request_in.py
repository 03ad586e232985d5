"""A Messages request of a client becomes a request of the hub.

The whole body is checked: what Anthropic would refuse is refused here, in its words and with the
path of the field. `anthropic-version: 2026-10-21` took sampling parameters out; they are read
whatever version the client speaks.
https://platform.claude.com/docs/en/api/messages/create (2026-11-21)
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks, unread
from portico.dialects.messages import faults, unread_in
from portico.dialects.messages.content_in import CacheControl, Reader, cache_mark, system_text
from portico.dialects.messages.maps import LEAST_BUDGET, TIERS_IN
from portico.dialects.messages.raws import NULL
from portico.dialects.messages.tools_in import read_choice, read_tools, unknown_members
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.losses import Losses
from portico.model.request import EFFORTS, Effort, GenerateRequest, OutputFormat, ReasoningAsk
from portico.model.sealed import Unseal

_DISPLAYS = ("summarized", "omitted", "updates")
_THINKING = ("enabled", "adaptive", "disabled", "between_tools")


class _Thinking(Struct, gc=False):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(Struct, gc=False):
    type: str
    schema: Raw = NULL


class _OutputConfig(Struct, gc=False):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct, gc=False):
    user_id: str | None = None


class _Body(Struct, gc=False):
    """Everything but the content, which is decoded block by block."""

    model: str
    max_tokens: int | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None
    cache_control: CacheControl | None = None
    messages: Raw = NULL
    system: Raw = NULL
    tools: Raw = NULL
    tool_choice: Raw = NULL
    mcp_servers: Raw = NULL


_decode = msgspec.json.Decoder(_Body).decode
_decode_strictly = msgspec.json.Decoder(unread.strict(_Body, top=False)).decode
PARAMETERS = frozenset(_Body.__struct_fields__)


def read(fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal) -> GenerateRequest:
    """Read a request for an answer. Raises `BadRequest`."""
    return _read(fields, body, limits, unseal, counting=False)


def read_counting(
    fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal
) -> GenerateRequest:
    """Read a request to count tokens: the same without `max_tokens`. Raises `BadRequest`."""
    return _read(fields, body, limits, unseal, counting=True)


def _read(
    fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal, *, counting: bool
) -> GenerateRequest:
    if not fields.keys() <= PARAMETERS:
        checks.check_spelling(fields, PARAMETERS)
    losses: Losses = []
    found = _decode_body(body, losses)
    checks.check_model(found.model)
    if not counting and found.max_tokens is None:
        raise faults.missing("max_tokens")
    faults.between("max_tokens", found.max_tokens, 1, None)
    _ranges(found, limits)
    if found.messages == NULL:
        raise faults.missing("messages")
    content = Reader(limits, unseal)
    content.messages(found.messages)
    if not content.items:
        raise faults.invalid("messages", "at least one message is required")
    tools = read_tools(found.tools, found.mcp_servers, limits.json_items)
    choice, parallel = read_choice(found.tool_choice, tools)
    unread_in.content(body, losses)
    mark = cache_mark(found.cache_control, "cache_control")
    tier = found.service_tier
    if tier is not None and tier not in TIERS_IN:
        raise faults.one_of("service_tier", tier, TIERS_IN)
    return GenerateRequest(
        model=found.model,
        dialect="messages",
        stream=found.stream or False,
        instructions=system_text(found.system, limits),
        items=tuple(content.items),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_output_tokens=found.max_tokens,
        temperature=found.temperature,
        top_p=found.top_p,
        top_k=found.top_k,
        stop=tuple(found.stop_sequences or ()),
        reasoning=_reasoning(found),
        format=_format(found),
        user=found.metadata.user_id if found.metadata is not None else None,
        caching=mark is not None,
        caching_ttl=mark.ttl if mark is not None else None,
        service_tier=TIERS_IN[tier] if tier is not None else None,
        extras={
            **{name: raw for name, raw in fields.items() if name not in PARAMETERS},
            **unknown_members(found.tools, limits.json_items),
        },
        losses=tuple(losses),
    )


def _decode_body(body: bytes, losses: Losses) -> _Body:
    try:
        return _decode_strictly(body)
    except ValueError:
        pass
    try:
        found = _decode(body)
    except ValueError as error:
        fault = checks.bad_field(error)
    else:
        walk = unread.Walk({})
        walk.object(body, _Body, "", top=False)
        losses.extend(walk.losses)
        return found
    if fault.param and fault.code == "missing_required_parameter":
        raise faults.missing(fault.param)
    text = fault.message.partition("': ")[2] or fault.message
    where = fault.param or ""
    raise BadRequest(f"{where}: {text}" if where else text, code=fault.code, param=fault.param)


def _ranges(found: _Body, limits: Limits) -> None:
    faults.between("temperature", found.temperature, 0, 1)
    faults.between("top_p", found.top_p, 0, 1)
    faults.between("top_k", found.top_k, 0, None)
    checks.check_items("stop_sequences", found.stop_sequences, limits.json_items)


def _reasoning(found: _Body) -> ReasoningAsk | None:
    """Thinking and effort.

    Thinking that is on without an effort means `high`, Anthropic's default; it has to be said,
    because other models do not think when nothing is said. `enabled` shows summaries by default;
    with `adaptive` the default depends on the model, so nothing is said.
    """
    thinking = found.thinking
    effort = _effort(found)
    if thinking is None:
        return ReasoningAsk(effort=effort) if effort is not None else None
    if thinking.type not in _THINKING:
        raise faults.one_of("thinking.type", thinking.type, _THINKING)
    if thinking.display is not None and thinking.display not in _DISPLAYS:
        raise faults.one_of("thinking.display", thinking.display, _DISPLAYS)
    if thinking.type in ("disabled", "between_tools"):
        return ReasoningAsk(effort="none")
    summary = None
    if thinking.display is not None:
        summary = "none" if thinking.display == "omitted" else "auto"
    if thinking.type == "adaptive":
        return ReasoningAsk(effort=effort or "high", summary=summary)  # type: ignore[arg-type]
    budget = thinking.budget_tokens
    if budget is None:
        raise faults.missing("thinking.budget_tokens")
    faults.between("thinking.budget_tokens", budget, LEAST_BUDGET, None)
    if found.max_tokens is not None and budget >= found.max_tokens:
        raise faults.invalid(
            "max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`"
        )
    return ReasoningAsk(effort=effort, budget=budget, summary=summary or "auto")  # type: ignore[arg-type]


def _effort(found: _Body) -> Effort | None:
    given = found.output_config.effort if found.output_config is not None else None
    if given is None:
        return None
    for effort in EFFORTS[2:]:
        if effort == given:
            return effort
    raise faults.one_of("output_config.effort", given, EFFORTS[2:])


def _format(found: _Body) -> OutputFormat | None:
    wanted, path = found.output_format, "output_format"
    if found.output_config is not None and found.output_config.format is not None:
        wanted, path = found.output_config.format, "output_config.format"
    if wanted is None:
        return None
    if wanted.type != "json_schema":
        raise faults.one_of(f"{path}.type", wanted.type, ("json_schema",))
    if wanted.schema == NULL:
        raise faults.missing(f"{path}.schema")
    schema = bytes(wanted.schema)
    if not schema.startswith(b"{"):
        raise faults.invalid(f"{path}.schema", "Input should be an object")
    return OutputFormat(kind="json_schema", name="response", schema=Raw(schema), strict=True)
