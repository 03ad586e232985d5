"""A fitted hub request as the body of a Responses request.

Nothing is kept at the provider (`store: false`); what has to survive a turn comes back sealed
(`include: reasoning.encrypted_content`) and is replayed by the client. Source: OpenAI OpenAPI,
`CreateResponse`; openai-python 3.54.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.responses import maps
from portico.dialects.responses.input_out import InputWriter
from portico.dialects.responses.tools_out import call_budget, choice_of, tools_of
from portico.dialects.translate import Upstream
from portico.model.items import Reasoning
from portico.model.losses import Loss, Losses
from portico.model.passes.params import nearest
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest, OutputFormat
from portico.model.tools import HostedTool
from portico.wire.json import encode

_DEFAULTS = {"temperature": 1, "top_p": 1}
_SHARED_EXTRAS = ("prompt_cache_retention", "prompt_cache_options")
"""Members that both of OpenAI's dialects have, and the hub has no name for."""
_MOST_DEPTH = 64


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body. `losses` grows with what only this API does not know."""
    body: dict[str, Any] = {"model": upstream.model}
    writer = InputWriter(request.dialect, upstream, losses)
    instructions = "\n\n".join([text.text for text in request.instructions])
    if instructions and "no_instructions" in upstream.quirks:
        writer.out.append({"type": "message", "role": "system", "content": instructions})
    elif instructions:
        body["instructions"] = instructions
    writer.write(request.items)
    body["input"] = writer.out
    _tools(request, body, losses)
    effort = _reasoning(request, upstream, body, losses)
    _sampling(request, upstream, effort, body, losses)
    _text(request, body, losses)
    _rest(request, body, losses)
    if "no_store" not in upstream.quirks:
        body["store"] = False
    _include(request, upstream, body)
    if request.stream:
        body["stream"] = True
    return encode(body)


def _tools(request: GenerateRequest, body: dict[str, Any], losses: Losses) -> None:
    tools = tools_of(request, losses)
    if tools:
        body["tools"] = tools
        choice = choice_of(request.tool_choice, len(request.tools))
        if choice is not None:
            body["tool_choice"] = choice
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    budget = call_budget(request, losses)
    if budget is not None:
        body["max_tool_calls"] = budget


def _reasoning(
    request: GenerateRequest, upstream: Upstream, body: dict[str, Any], losses: Losses
) -> str | None:
    """Writes `reasoning`, returns the effort that will be made; None when that is not known."""
    row = maps.family(upstream.model)
    usual = row.default_effort if row.efforts else None
    ask = request.reasoning
    if ask is None:
        return usual
    effort = ask.effort
    if ask.budget is not None and effort is None:
        effort = maps.effort_of(ask.budget)
        offered = upstream.capabilities.efforts
        if offered and effort not in offered:
            effort = nearest(effort, offered)
        where = path(request.dialect, "budget")
        losses.append(Loss(where, "adapted", f"sent as effort '{effort}'"))
    elif ask.budget is not None:
        losses.append(Loss(path(request.dialect, "budget"), "adapted", "the effort says it"))
    wire: dict[str, Any] = {}
    if effort is not None:
        wire["effort"] = effort
    summary = ask.summary
    if summary is None and request.dialect == "messages" and effort not in (None, "none"):
        # thinking is shown unless it is asked to be left out, and here only when asked for
        summary = "auto" if "summary" in upstream.capabilities.parameters else None
    if summary not in (None, "none"):
        wire["summary"] = summary
    if wire:
        body["reasoning"] = wire
    return effort or usual


def _sampling(
    request: GenerateRequest,
    upstream: Upstream,
    effort: str | None,
    body: dict[str, Any],
    losses: Losses,
) -> None:
    """Temperature, top_p and logprobs. A model that reasons refuses them."""
    refuses = maps.family(upstream.model).sampling == "unless_reasoning" and effort != "none"
    why = "this model takes it without reasoning only"
    for name, value in (("temperature", request.temperature), ("top_p", request.top_p)):
        if value is None:
            continue
        if not refuses:
            body[name] = value
        elif value != _DEFAULTS[name]:
            losses.append(Loss(name, "dropped", why))
    if request.logprobs or request.top_logprobs:
        if refuses:
            losses.append(Loss(path(request.dialect, "logprobs"), "dropped", why))
        else:
            body["top_logprobs"] = request.top_logprobs or 0
            body["include"] = ["message.output_text.logprobs"]


def _text(request: GenerateRequest, body: dict[str, Any], losses: Losses) -> None:
    text: dict[str, Any] = {}
    if request.format is not None:
        text["format"] = _format(request.format, request.dialect, losses)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text


def _format(wanted: OutputFormat, dialect: str, losses: Losses) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    schema = wanted.schema if wanted.schema is not None else Raw(b"{}")
    strict = wanted.strict
    if strict is None:
        # Anthropic always holds the model to the schema; here a strict one has rules of its own
        strict = dialect == "messages" and _is_strict(schema)
        if dialect == "messages" and not strict:
            losses.append(
                Loss(path(dialect, "format"), "adapted",
                     "the schema is not strict (every property required, no others): not enforced")
            )  # fmt: skip
    wire: dict[str, Any] = {"type": "json_schema", "name": wanted.name or "answer"}
    if wanted.description:
        wire["description"] = wanted.description
    return {**wire, "schema": schema, "strict": strict}


def _is_strict(schema: Raw) -> bool:
    try:
        value = msgspec.json.decode(schema)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("type") == "object" and _strict(value, 0)


def _strict(value: Any, depth: int) -> bool:
    """Whether every object in a schema closes itself and requires all it has.
    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas, 2026-11-21"""
    if depth > _MOST_DEPTH:
        return False
    if isinstance(value, list):
        return all(_strict(part, depth + 1) for part in value)
    if not isinstance(value, dict):
        return True
    properties = value.get("properties")
    if value.get("type") == "object" or isinstance(properties, dict):
        known = properties if isinstance(properties, dict) else {}
        required = value.get("required", [])
        if value.get("additionalProperties") is not False or not isinstance(required, list):
            return False
        if any(name not in required for name in known):
            return False
    return all(
        _strict(part, depth + 1)
        for name, part in value.items()
        if name not in ("enum", "const", "default", "examples")
    )


def _rest(request: GenerateRequest, body: dict[str, Any], losses: Losses) -> None:
    most = request.max_output_tokens
    if most is not None:
        if most < maps.MIN_OUTPUT_TOKENS:
            where = path(request.dialect, "max_output_tokens")
            losses.append(Loss(where, "adapted", f"the least is {maps.MIN_OUTPUT_TOKENS}"))
            most = maps.MIN_OUTPUT_TOKENS
        body["max_output_tokens"] = most
    if request.metadata:
        body["metadata"] = request.metadata
    for name, value, longest in (
        ("user", request.user, maps.LONGEST_USER),
        ("safety_identifier", request.safety_identifier, maps.LONGEST_IDENTIFIER),
    ):
        if value is None:
            continue
        if len(value) > longest:
            where = path(request.dialect, name)
            losses.append(Loss(where, "adapted", "too long: its SHA-256 was sent"))
            value = hashlib.sha256(value.encode()).hexdigest()  # noqa: PLW2901
        body[name] = value
    plain = {
        "prompt_cache_key": request.prompt_cache_key,
        "service_tier": request.service_tier,
        "truncation": request.truncation,
    }
    body.update({name: value for name, value in plain.items() if value is not None})
    if request.dialect != "messages":
        extras = request.extras
        body.update({name: extras[name] for name in _SHARED_EXTRAS if name in extras})


def _include(request: GenerateRequest, upstream: Upstream, body: dict[str, Any]) -> None:
    """Ask for the proof of reasoning. A model that does not reason refuses that ("Encrypted
    content is not supported with this model"), so one that is not known is only asked when there
    is reasoning to speak of."""
    if "no_include" in upstream.quirks:
        body.pop("include", None)
        return
    row = maps.family(upstream.model)
    wanted = row.encrypted
    if row is maps.UNKNOWN:
        wanted = request.reasoning is not None or any(
            type(item) is Reasoning and item.sealed is not None for item in request.items
        )
    include: list[str] = ["reasoning.encrypted_content"] if wanted else []
    if row.includes:  # what hosted tools found is not told otherwise
        kinds = {tool.kind for tool in request.tools if isinstance(tool, HostedTool)}
        include += [value for kind, value in maps.FOUND.items() if kind in kinds]
    include += body.get("include", [])
    if include:
        body["include"] = include
