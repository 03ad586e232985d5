"""OpenAI Responses, as the demo provider reads it.

Like the real service it answers 400 for a `previous_response_id` it does not know, for reasoning
state it did not issue, and for items that lost their company: a call without its output, an output
without its call, reasoning without what it led to. It keeps responses, those of background runs too
(`kept.py`), but no conversations. The shapes of items are in `responses_items.py`.
"""

from typing import Any

from msgspec import Raw

from portico.demo.arrival import Arrival
from portico.demo.chat_in import text_of
from portico.demo.directives import directives_of
from portico.demo.faults import encode
from portico.demo.openai_rules import (
    COMMON,
    EFFORT,
    JSON_OBJECT,
    NAME,
    check_strict,
    insist_json,
    invalid,
)
from portico.demo.responses import Responses
from portico.demo.responses_items import INPUT, TOOL_CHOICE, TOOLS, check_items
from portico.demo.script import Ask, Tool, choose
from portico.demo.shapes import (
    anything,
    array,
    either,
    flag,
    obj,
    tagged,
    text,
    whole,
)

__all__ = ["count_responses", "read_responses"]

_SECRET = ("authorization", "headers")
_SEARCHES = ("web_search", "web_search_preview")
_STRING = text()
_SUMMARY = text("auto", "concise", "detailed")
_INCLUDE = text(
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
_FORMAT = tagged(
    {
        "text": obj({"type": _STRING}),
        "json_object": obj({"type": _STRING}),
        "json_schema": obj(
            {
                "type": _STRING,
                "name": text(pattern=NAME, low=1, high=64),
                "schema": obj(open_=True),
            },
            {"strict": flag, "description": _STRING},
            nulls=True,
        ),
    }
)
_TEXT = obj(None, {"format": _FORMAT, "verbosity": text("low", "medium", "high")}, nulls=True)
_REASONING = obj(
    None,
    {
        "effort": EFFORT,
        "summary": _SUMMARY,
        "generate_summary": _SUMMARY,
        "context": text("auto", "current_turn", "all_turns"),
        "mode": _STRING,
    },
    nulls=True,
)
_INSTRUCTIONS = either(string=_STRING, array=INPUT)
_CONVERSATION = either(string=_STRING, object_=obj({"id": _STRING}))
_COUNTED = {
    "conversation": _CONVERSATION,
    "input": either(string=_STRING, array=INPUT),
    "instructions": _INSTRUCTIONS,
    "model": text(low=1),
    "parallel_tool_calls": flag,
    "personality": _STRING,
    "previous_response_id": _STRING,
    "reasoning": _REASONING,
    "text": _TEXT,
    "tool_choice": TOOL_CHOICE,
    "tools": TOOLS,
    "truncation": text("auto", "disabled"),
}
_COUNT = obj(None, _COUNTED, nulls=True)
_BODY = obj(
    {"model": _COUNTED["model"], "input": _COUNTED["input"]},
    {
        **_COUNTED,
        **COMMON,
        "background": flag,
        "client_metadata": anything,  # Codex sends it
        "context_management": array(obj(open_=True)),
        "include": array(_INCLUDE),
        "max_output_tokens": whole(16),
        "max_tool_calls": whole(1),
        "prompt": obj({"id": _STRING}, open_=True),
        "stream_options": obj(None, {"include_obfuscation": flag}, nulls=True),
    },
    nulls=True,
)


def count_responses(arrival: Arrival) -> list[bytes]:
    """The prompt of an `input_tokens` request, for the meter."""
    return _prompt(_COUNT(arrival.json(), ()))


def read_responses(arrival: Arrival) -> Responses:
    """Decode a request. Raises `RefusedError`, `WrongError` or msgspec's errors."""
    body: dict[str, Any] = _BODY(arrival.json(), ())
    _insist(body)
    model: str = body["model"]
    items = body["input"] if isinstance(body["input"], list) else []
    chain = frozenset[str]()
    previous = body.get("previous_response_id")
    if previous is not None:
        known = arrival.chain(previous)
        if known is None:
            message = f"Previous response with id '{previous}' not found."
            raise invalid("previous_response_id", message, "previous_response_not_found")
        chain = known
    shown = check_items(items, chain, arrival.item)
    if isinstance(body["input"], str):
        said, results, seen = body["input"], tuple[str, ...](), tuple[str, ...]()
    else:
        said, results, seen = _last_turn(items, shown)
    order, said = directives_of(model, said)
    tools, must_call = _tools(body)
    reasoning = body.get("reasoning", {})
    summary = bool(reasoning.get("summary") or reasoning.get("generate_summary"))
    effort = reasoning.get("effort")
    prompt = _prompt(body)
    ask = Ask(
        model=model,
        text=said,
        order=order,
        results=results,
        seen=seen,
        tools=tools,
        must_call=must_call,
        parallel=body.get("parallel_tool_calls") is not False,
        searches=any(each["type"].startswith(_SEARCHES) for each in body.get("tools", ())),
        thinks=effort != "none" if effort is not None else (True if summary else None),
        max_tokens=body.get("max_output_tokens"),
        schema=_schema(body, prompt),
        echo=arrival.echo,
    )
    return Responses(
        ask=ask,
        prompt=prompt,
        cache_key=body.get("prompt_cache_key"),
        stream=bool(body.get("stream")),
        stored=body.get("store") is not False,
        previous=previous,
        summary=summary,
        echo={key: Raw(encode(value)) for key, value in _echo(body).items()},
        sources="web_search_call.action.sources" in body.get("include", ()),
        background=bool(body.get("background")),
        given=_given(body["input"]),
    )


def _given(given: Any) -> list[dict[str, Any]]:
    """The input as items."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return list(given)


def _insist(body: dict[str, Any]) -> None:
    if body["input"] == []:
        raise invalid("input", "Invalid 'input': empty array.", "empty_array")
    if body.get("background") and body.get("store") is False:
        message = "Background responses have to be stored: 'store' must not be false."
        raise invalid("background", message, "unsupported_value")
    if "conversation" in body:
        message = "The demo model keeps no conversations."
        raise invalid("conversation", message, "unsupported_value")
    if "prompt" in body:
        raise invalid("prompt", "The demo model keeps no prompts.", "unsupported_value")


def _prompt(body: dict[str, Any]) -> list[bytes]:
    prompt = [encode(body["instructions"])] if "instructions" in body else []
    if body.get("tools"):
        prompt.append(encode(body["tools"]))
    given = body.get("input", ())
    if isinstance(given, str):
        prompt.append(given.encode("utf-8", "replace"))
    else:
        prompt.extend(encode(item) for item in given)
    return prompt


def _last_turn(
    items: list[dict[str, Any]], shown: dict[int, list[str]]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The last user text, the tool results after it, and what is to be seen there; in order."""
    results: list[str] = []
    seen: list[str] = []
    for number in range(len(items) - 1, -1, -1):
        item = items[number]
        if item.get("role") == "user":
            seen[:0] = shown.get(number, ())
            if said := text_of(item.get("content")):
                return said, tuple(results), tuple(seen)
        elif item.get("type") in ("function_call_output", "custom_tool_call_output"):
            seen[:0] = shown.get(number, ())
            results.insert(0, text_of(item.get("output")))
    return "", tuple(results), tuple(seen)


# -- tools and formats --------------------------------------------------------------------------


def _tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    offered: list[Tool] = []
    for index, each in enumerate(body.get("tools", ())):
        path = ("tools", index)
        if each["type"] == "namespace":
            for inner, tool in enumerate(each["tools"]):
                offered.append(_tool(tool, (*path, "tools", inner), each["name"]))
        elif each["type"] in ("function", "custom"):
            offered.append(_tool(each, path, None))
    tools = tuple(offered)
    choice = body.get("tool_choice")
    if choice == "none" or not tools:
        if isinstance(choice, dict) and choice["type"] in ("function", "custom"):
            choose(tools, {str(choice.get("name"))})
        return (), choice not in (None, "auto", "none")
    if isinstance(choice, str) or choice is None:
        return tools, choice == "required"
    kind = choice["type"]
    if kind == "allowed_tools":
        named = [each["name"] for each in choice["tools"] if "name" in each]
        return choose(tools, set(named)), choice["mode"] == "required"
    if kind in ("function", "custom"):
        return choose(tools, {choice["name"]}), True
    return (), True  # a hosted tool is forced


def _tool(tool: dict[str, Any], path: tuple[str | int, ...], namespace: str | None) -> Tool:
    schema = tool.get("parameters")
    where = (*path, "parameters")
    if schema and schema.get("type") != "object":
        why = "schema must be a JSON Schema of 'type: \"object\"'"
        message = f"Invalid schema for function '{tool['name']}': {why}."
        raise invalid(where, message, "invalid_function_parameters")
    if tool.get("strict") and schema:
        check_strict(schema, where, f"function '{tool['name']}'")
    return Tool(tool["name"], schema, tool["type"] == "custom", namespace)


def _schema(body: dict[str, Any], prompt: list[bytes]) -> dict[str, Any] | None:
    asked = body.get("text", {}).get("format") or {"type": "text"}
    if asked["type"] == "text":
        return None
    if asked["type"] == "json_object":
        insist_json(prompt, "input")
        return JSON_OBJECT
    if asked.get("strict"):
        path = ("text", "format", "schema")
        check_strict(asked["schema"], path, f"response_format '{asked['name']}'")
    schema: dict[str, Any] = asked["schema"]
    return schema


def _echo(body: dict[str, Any]) -> dict[str, Any]:
    """The effective parameters, defaults filled in."""
    reasoning = body.get("reasoning", {})
    asked = body.get("text", {})
    return {
        "instructions": body.get("instructions"),
        "previous_response_id": body.get("previous_response_id"),
        "tools": [_echoed_tool(tool) for tool in body.get("tools", ())],
        "tool_choice": body.get("tool_choice", "auto"),
        "truncation": body.get("truncation", "disabled"),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "text": {
            "format": _echoed_format(asked.get("format")),
            "verbosity": asked.get("verbosity", "medium"),
        },
        "top_p": body.get("top_p", 1.0),
        "presence_penalty": body.get("presence_penalty", 0.0),
        "frequency_penalty": body.get("frequency_penalty", 0.0),
        "top_logprobs": body.get("top_logprobs", 0),
        "temperature": body.get("temperature", 1.0),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "store": body.get("store") is not False,
        "background": bool(body.get("background")),
        "service_tier": "default",
        "metadata": body.get("metadata", {}),
        "safety_identifier": body.get("safety_identifier"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "user": body.get("user"),
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
