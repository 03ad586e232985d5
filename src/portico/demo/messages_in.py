"""Anthropic Messages, as the demo provider reads it: parameters and tools.

Like the real service it insists on `max_tokens`, on thinking budgets below it, on sampling
parameters that fit, and on signatures of its own. The conversation is in `messages_turns.py`. The
same body without `model`, and with `anthropic_version`, is Claude on Vertex.
"""

from typing import Any

from portico.demo.arrival import Arrival
from portico.demo.chat_in import text_of
from portico.demo.directives import directives_of
from portico.demo.faults import RefusedError, encode
from portico.demo.messages import Messages
from portico.demo.messages_turns import CACHE, MESSAGES, SYSTEM, check_turns, marks
from portico.demo.script import Ask, Tool, choose
from portico.demo.shapes import (
    Check,
    anything,
    array,
    flag,
    numeric,
    obj,
    tagged,
    text,
    whole,
)

__all__ = ["count_messages", "read_messages"]

_STRING = text()
# Vertex's own version, or a plain date: Anthropic's SDK 2.12 sends 2026-10-21 (2026-11-21).
_VERSION = text(pattern=r"vertex-2023-10-16|\d{4}-\d\d-\d\d")
_HOSTED = (
    "web_search_20250305 web_search_20260209 web_search_20260318 web_fetch_20250910 "
    "web_fetch_20260209 web_fetch_20260309 web_fetch_20260318 code_execution_20250522 "
    "code_execution_20250825 code_execution_20260120 code_execution_20260521 bash_20241022 "
    "bash_20250124 text_editor_20241022 text_editor_20250124 text_editor_20250429 "
    "text_editor_20250728 computer_20241022 computer_20250124 computer_20251124 memory_20250818 "
    "tool_search_tool_bm25_20251119 tool_search_tool_regex_20251119 mcp_toolset"
)
_CUSTOM = obj(
    {"name": text(pattern=r"[a-zA-Z0-9_-]{1,128}"), "input_schema": obj(open_=True)},
    {
        "type": _STRING,
        "description": _STRING,
        "strict": flag,
        "cache_control": CACHE,
        "eager_input_streaming": flag,
        "defer_loading": flag,
        "allowed_callers": anything,
        "input_examples": array(obj(open_=True)),
    },
    nulls=True,
)
_TOOLS = array(
    tagged(
        {"custom": _CUSTOM, **dict.fromkeys(_HOSTED.split(), obj({"type": _STRING}, open_=True))},
        default="custom",
    )
)
_PARALLEL: dict[str, Check] = {"disable_parallel_tool_use": flag}
_CHOICE = tagged(
    {
        "auto": obj({"type": _STRING}, _PARALLEL),
        "any": obj({"type": _STRING}, _PARALLEL),
        "tool": obj({"type": _STRING, "name": _STRING}, _PARALLEL),
        "none": obj({"type": _STRING}),
    }
)
_DISPLAY = {"display": text("summarized", "omitted")}
_THINKING = tagged(
    {
        "enabled": obj({"type": _STRING, "budget_tokens": whole(1024)}, _DISPLAY, nulls=True),
        "adaptive": obj({"type": _STRING}, _DISPLAY, nulls=True),
        "disabled": obj({"type": _STRING}),
    }
)
_FORMAT = tagged({"json_schema": obj({"type": _STRING, "schema": obj(open_=True)})})
_OUTPUT = obj(
    None,
    {
        "effort": text("low", "medium", "high", "xhigh", "max"),
        "format": _FORMAT,
        "task_budget": anything,
    },
    nulls=True,
)
_COUNTED = {
    "cache_control": CACHE,
    "context_management": anything,
    "mcp_servers": array(obj(open_=True)),
    "output_config": _OUTPUT,
    "output_format": _FORMAT,
    "speed": _STRING,
    "system": SYSTEM,
    "thinking": _THINKING,
    "tool_choice": _CHOICE,
    "tools": _TOOLS,
}
_OPTIONAL = {
    **_COUNTED,
    "compaction": anything,
    "container": anything,
    "diagnostics": anything,
    "fallbacks": anything,
    "inference_geo": _STRING,
    "metadata": obj(None, {"user_id": text(high=512)}, nulls=True),
    "service_tier": text("auto", "standard_only"),
    "stop_sequences": array(_STRING),
    "stream": flag,
    "temperature": numeric(0, 1),
    "top_k": whole(0),
    "top_p": numeric(0, 1),
}
# `null` is taken for a few members only; `cache_control` is one of them.
_MODEL = text(low=1)
_BODY = obj({"model": _MODEL, "messages": MESSAGES, "max_tokens": whole(1)}, _OPTIONAL)
_RAW = obj(
    {"anthropic_version": _VERSION, "messages": MESSAGES, "max_tokens": whole(1)},
    {**_OPTIONAL, "anthropic_beta": array(_STRING)},
)
_COUNT = obj({"model": _MODEL, "messages": MESSAGES}, _COUNTED)
_RAW_COUNT = obj(
    {"anthropic_version": _VERSION, "model": _MODEL, "messages": MESSAGES},
    {**_COUNTED, "anthropic_beta": array(_STRING)},
)
_SCHEMA_BOUNDS = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
    }
)


def count_messages(arrival: Arrival) -> list[bytes]:
    """The prompt of a `count_tokens` request, for the meter."""
    vertex = arrival.model is not None
    body = (_RAW_COUNT if vertex else _COUNT)(arrival.json(), ())
    check_turns(body)
    _tools(body)
    return _prompt(body)


def read_messages(arrival: Arrival) -> Messages:
    """Decode a request. Raises `RefusedError`, `WrongError` or msgspec's errors."""
    vertex = arrival.model is not None
    body: dict[str, Any] = (_RAW if vertex else _BODY)(arrival.json(), ())
    model: str = arrival.model or body["model"]
    _insist(body)
    shown = check_turns(body)
    said, results, seen = _last_turn(body["messages"], shown)
    order, said = directives_of(model, said)
    tools, must_call = _tools(body)
    thinking = body.get("thinking", {})
    kind = thinking.get("type")
    hosted = any(each.get("type", "").startswith("web_search") for each in body.get("tools", ()))
    ask = Ask(
        model=model,
        text=said,
        order=order,
        results=results,
        seen=seen,
        tools=tools,
        must_call=must_call,
        parallel=not body.get("tool_choice", {}).get("disable_parallel_tool_use"),
        searches=hosted,
        thinks=None if kind is None else kind != "disabled",
        max_tokens=body["max_tokens"],
        schema=_schema(body),
        stop=tuple(body.get("stop_sequences", ())),
        echo=arrival.echo,
    )
    return Messages(
        ask=ask,
        prompt=_prompt(body),
        stream=bool(body.get("stream", arrival.stream)),
        marks_cache=marks(body) > 0,
        omits=thinking.get("display") == "omitted",
    )


def _insist(body: dict[str, Any]) -> None:
    """Parameters that do not go together."""
    thinking = body.get("thinking", {})
    budget = thinking.get("budget_tokens")
    if budget is not None and budget >= body["max_tokens"]:
        raise RefusedError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    if thinking.get("type") in ("enabled", "adaptive"):
        if body.get("tool_choice", {}).get("type") in ("any", "tool"):
            message = "Thinking may not be enabled when tool_choice forces tool use."
            raise RefusedError(400, message)
        if body.get("temperature", 1) != 1:
            message = "`temperature` may only be set to 1 when thinking is enabled."
            raise RefusedError(400, message)
        if "top_k" in body:
            raise RefusedError(400, "`top_k` must be unset when thinking is enabled.")
        if body.get("top_p", 1) < 0.95:
            message = "`top_p` must be greater than or equal to 0.95 when thinking is enabled."
            raise RefusedError(400, message)
    if "tool_choice" in body and not body.get("tools"):
        message = "tool_choice: may only be specified while providing tools"
        raise RefusedError(400, message)
    if any(not stop.strip() for stop in body.get("stop_sequences", ())):
        message = "stop_sequences: each stop sequence must contain non-whitespace"
        raise RefusedError(400, message)


def _prompt(body: dict[str, Any]) -> list[bytes]:
    prompt = [encode(message["content"]) for message in body["messages"]]
    if "system" in body:
        prompt.insert(0, encode(body["system"]))
    if body.get("tools"):
        prompt.insert(0, encode(body["tools"]))
    return prompt


def _last_turn(
    messages: list[dict[str, Any]], shown: dict[int, list[str]]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The last user text, the tool results after it, and what is to be seen there; in order.

    Results in the message of the text were there before it.
    """
    results: list[str] = []
    seen: list[str] = []
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message["role"] != "user":
            continue
        content = message["content"]
        seen[:0] = shown.get(number, ())
        if isinstance(content, list):
            found = [block for block in content if block["type"] == "tool_result"]
            content = [block for block in content if block["type"] == "text"]
            if not content:
                results[:0] = [text_of(block.get("content")) for block in found]
        if said := text_of(content):
            return said, tuple(results), tuple(seen)
    return "", tuple(results), tuple(seen)


# -- tools and formats --------------------------------------------------------------------------


def _tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    offered = []
    names: set[str] = set()
    for index, each in enumerate(body.get("tools", ())):
        name = each.get("name")
        if name is not None and name in names:
            raise RefusedError(400, "tools: Tool names must be unique.")
        names.add(name)
        if each.get("type", "custom") != "custom":
            continue
        schema = each["input_schema"]
        where = f"tools.{index}.custom.input_schema"
        if schema.get("type") != "object":
            why = "Input should be 'object'" if "type" in schema else "Field required"
            raise RefusedError(400, f"{where}.type: {why}")
        if each.get("strict"):
            _check_closed(schema, where)
        offered.append(Tool(each["name"], schema))
    tools = tuple(offered)
    choice = body.get("tool_choice", {"type": "auto"})
    kind = choice["type"]
    if kind == "none":
        return (), False
    if kind == "tool":
        if choice["name"] in names and choice["name"] not in {tool.name for tool in tools}:
            return (), True  # a hosted tool is forced
        return choose(tools, {choice["name"]}), True
    return tools, kind == "any"


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    asked = body.get("output_config", {}).get("format") or body.get("output_format")
    if asked is None:
        return None
    schema: dict[str, Any] = asked["schema"]
    _check_closed(schema, "output_config.format.schema")
    return schema


def _check_closed(schema: Any, where: str, depth: int = 0) -> None:
    """Structured output takes closed objects, and no bounds on numbers and strings."""
    if not isinstance(schema, dict) or depth > 64:
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        why = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        raise RefusedError(400, f"{where}: {why}")
    if bounds := sorted(_SCHEMA_BOUNDS & schema.keys()):
        kind = schema.get("type")
        why = f"For '{kind}' type, properties {', '.join(bounds)} are not supported"
        raise RefusedError(400, f"{where}: {why}")
    if "oneOf" in schema:
        raise RefusedError(400, f"{where}: Schema type 'oneOf' is not supported")
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    for each in (*inner, schema.get("items"), *schema.get("anyOf", ()), *schema.get("allOf", ())):
        _check_closed(each, where, depth + 1)
