"""OpenAI Responses, as the demo provider reads it.

Like the real service it answers 400 for a `previous_response_id` it does not know and for
reasoning state it did not issue. It keeps responses but no conversations, and runs nothing in the
background.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.demo.chat import text_of
from portico.demo.directives import directives_of
from portico.demo.faults import RefusedError, encode, missing_parameter
from portico.demo.responses import Responses
from portico.demo.script import Ask, Tool, choose, sealed

__all__ = ["count_responses", "read_responses"]

_NULL = Raw(b"null")
_JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}
_SECRET = ("authorization", "headers")


class _Item(Struct):
    type: str | None = None
    role: str | None = None
    content: str | list[Any] | None = None
    output: str | list[Any] | None = None
    encrypted_content: str | None = None


class _Text(Struct):
    format: dict[str, Any] | None = None
    verbosity: str | None = None


class _Body(Struct):
    model: str = ""
    input: str | list[Raw] | None = None
    instructions: Raw = _NULL
    previous_response_id: str | None = None
    conversation: Raw = _NULL
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_logprobs: int | None = None
    text: _Text | None = None
    reasoning: dict[str, Any] | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    truncation: str | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    user: str | None = None


_body = msgspec.json.Decoder(_Body).decode
_item = msgspec.json.Decoder(_Item).decode


def count_responses(raw: bytes) -> list[bytes]:
    """The prompt of an `input_tokens` request, for the meter."""
    return _prompt(_body(raw))


def read_responses(raw: bytes) -> Responses:
    """Decode a request body. Raises `RefusedError` or msgspec's errors."""
    body = _body(raw)
    _insist(body)
    items = body.input if isinstance(body.input, list) else []
    if b'"encrypted_content"' in raw:
        _verify(items)
    text, results = (body.input, ()) if isinstance(body.input, str) else _last_turn(items)
    order, text = directives_of(body.model, text)
    tools, must_call = _tools(body)
    reasoning = body.reasoning or {}
    summary = bool(reasoning.get("summary") or reasoning.get("generate_summary"))
    effort = reasoning.get("effort")
    ask = Ask(
        model=body.model,
        text=text,
        order=order,
        results=results,
        tools=tools,
        must_call=must_call,
        parallel=body.parallel_tool_calls is not False,
        thinks=effort != "none" if effort is not None else (True if summary else None),
        max_tokens=body.max_output_tokens,
        schema=_schema(body),
    )
    return Responses(
        ask=ask,
        prompt=_prompt(body),
        cache_key=body.prompt_cache_key,
        stream=bool(body.stream),
        stored=body.store is not False,
        previous=body.previous_response_id,
        summary=summary,
        echo={key: Raw(encode(value)) for key, value in _echo(body).items()},
    )


def _insist(body: _Body) -> None:
    if not body.model:
        raise missing_parameter("model")
    if body.input is None:
        raise missing_parameter("input")
    if body.input == []:
        raise RefusedError(400, "Invalid 'input': empty array.", code="empty_array", param="input")
    if body.background:
        message = "The demo model does not run in the background."
        raise RefusedError(400, message, code="unsupported_value", param="background")
    if body.conversation != _NULL:
        message = "The demo model keeps no conversations."
        raise RefusedError(400, message, code="unsupported_value", param="conversation")
    if body.max_output_tokens is not None and body.max_output_tokens < 1:
        message = "'max_output_tokens' must be at least 1."
        raise RefusedError(400, message, code="integer_below_min_value", param="max_output_tokens")


def _prompt(body: _Body) -> list[bytes]:
    prompt = [] if body.instructions == _NULL else [bytes(body.instructions)]
    if body.tools:
        prompt.append(encode(body.tools))
    if isinstance(body.input, str):
        prompt.append(body.input.encode("utf-8", "replace"))
    else:
        prompt.extend(bytes(item) for item in body.input or ())
    return prompt


def _verify(items: list[Raw]) -> None:
    """Replayed reasoning state must be byte-equal, as the real service demands."""
    for raw in items:
        item = _item(raw)
        state = item.encrypted_content if item.type == "reasoning" else None
        if state is not None and not sealed(state):
            message = "The encrypted content could not be verified."
            raise RefusedError(400, message, code="invalid_encrypted_content", param="input")


def _last_turn(items: list[Raw]) -> tuple[str, tuple[str, ...]]:
    """The last user text, and the tool results that follow it in order."""
    results: list[str] = []
    for raw in reversed(items):
        item = _item(raw)
        if item.role == "user":
            if text := text_of(item.content):
                return text, tuple(reversed(results))
        elif item.type in ("function_call_output", "custom_tool_call_output"):
            results.append(text_of(item.output))
    return "", tuple(reversed(results))


def _tools(body: _Body) -> tuple[tuple[Tool, ...], bool]:
    offered: list[Tool] = []
    for each in body.tools or ():
        kind, name = each.get("type"), each.get("name")
        if kind in ("function", "custom"):
            if not isinstance(name, str):
                raise missing_parameter("tools[0].name")
            offered.append(Tool(name, each.get("parameters"), kind == "custom"))
    tools = tuple(offered)
    choice = body.tool_choice
    if choice == "none" or not tools:
        return (), False
    if isinstance(choice, str) or choice is None:
        return tools, choice == "required"
    kind = choice.get("type")
    if kind == "allowed_tools":
        names = {str(each.get("name")) for each in choice.get("tools") or ()}
        return choose(tools, names), choice.get("mode") == "required"
    if kind in ("function", "custom"):
        return choose(tools, {str(choice.get("name"))}), True
    return tools, False


def _schema(body: _Body) -> dict[str, Any] | None:
    asked = (body.text.format if body.text else None) or {"type": "text"}
    kind = asked.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return _JSON_OBJECT
    schema = asked.get("schema")
    if kind != "json_schema" or not isinstance(asked.get("name"), str) or schema is None:
        message = "text.format must be text, json_object, or a json_schema with name and schema."
        raise RefusedError(400, message, code="invalid_value", param="text.format")
    return schema if isinstance(schema, dict) else _JSON_OBJECT


def _echo(body: _Body) -> dict[str, Any]:
    """The effective parameters, defaults filled in (responses-protocol.md section 3)."""
    reasoning = body.reasoning or {}
    return {
        "instructions": body.instructions,
        "previous_response_id": body.previous_response_id,
        "tools": [_echoed_tool(tool) for tool in body.tools or ()],
        "tool_choice": body.tool_choice or "auto",
        "truncation": body.truncation or "disabled",
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "text": {
            "format": _echoed_format(body.text.format if body.text else None),
            "verbosity": (body.text.verbosity if body.text else None) or "medium",
        },
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "presence_penalty": body.presence_penalty or 0.0,
        "frequency_penalty": body.frequency_penalty or 0.0,
        "top_logprobs": body.top_logprobs or 0,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "store": body.store is not False,
        "background": False,
        "service_tier": "default",
        "metadata": body.metadata or {},
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
        "user": body.user,
    }


def _echoed_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") == "function":
        return {"description": None, "parameters": None, "strict": True, **tool}
    return {key: value for key, value in tool.items() if key not in _SECRET}


def _echoed_format(asked: dict[str, Any] | None) -> dict[str, Any]:
    if not asked:
        return {"type": "text"}
    if asked.get("type") == "json_schema":
        return {"description": None, "strict": False, **asked}
    return asked
