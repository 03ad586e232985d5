"""OpenAI Chat Completions, as the demo provider reads it.

It refuses what the real service refuses: unknown parameters and roles, calls that were never
answered or answered elsewhere, names and schemas out of form, media that does not decode. Like
compatible servers, and unlike OpenAI, it takes `reasoning_content` back.
"""

from collections.abc import Iterator
from typing import Any

from portico.demo.arrival import Arrival
from portico.demo.chat import Chat
from portico.demo.directives import directives_of
from portico.demo.faults import RefusedError, encode, missing_parameter
from portico.demo.openai_rules import (
    COMMON,
    EFFORT,
    JSON_OBJECT,
    NAME,
    audio_seen,
    check_strict,
    file_seen,
    image_seen,
    insist_json,
    invalid,
)
from portico.demo.script import Ask, Tool, choose
from portico.demo.shapes import (
    anything,
    array,
    either,
    flag,
    mapping,
    numeric,
    obj,
    tagged,
    text,
    whole,
)

__all__ = ["read_chat", "text_of"]

_STRING = text()
_BREAKPOINT = {"prompt_cache_breakpoint": obj(open_=True)}
_TEXT = obj({"type": _STRING, "text": _STRING}, _BREAKPOINT)
_DETAIL = text("auto", "low", "high", "original")
_USER_PARTS = tagged(
    {
        "text": _TEXT,
        "image_url": obj(
            {"type": _STRING, "image_url": obj({"url": _STRING}, {"detail": _DETAIL}, nulls=True)}
        ),
        "input_audio": obj(
            {"type": _STRING, "input_audio": obj({"data": _STRING, "format": text("wav", "mp3")})}
        ),
        "file": obj(
            {
                "type": _STRING,
                "file": obj(
                    None,
                    {"file_id": _STRING, "file_data": _STRING, "filename": _STRING},
                    nulls=True,
                ),
            },
            _BREAKPOINT,
        ),
    }
)
_REFUSAL = obj({"type": _STRING, "refusal": _STRING})
_TEXTS = either(string=_STRING, array=array(tagged({"text": _TEXT}), 1))
# The SDK's own stream helper leaves `index` on the calls it gathers, and they are sent back so.
_CALL_MORE = {"type": _STRING, "index": whole(0)}
_CALL = tagged(
    {
        "function": obj(
            {"id": _STRING, "function": obj({"name": text(pattern=NAME), "arguments": _STRING})},
            _CALL_MORE,
        ),
        "custom": obj(
            {"id": _STRING, "custom": obj({"name": text(pattern=NAME), "input": _STRING})},
            _CALL_MORE,
        ),
    },
    default="function",
)
_ROLE = {"role": _STRING, "content": _TEXTS}
_NAMED = {"name": _STRING}
_MESSAGE = tagged(
    {
        "system": obj(_ROLE, _NAMED, nulls=True),
        "developer": obj(_ROLE, _NAMED, nulls=True),
        "user": obj(
            {"role": _STRING, "content": either(string=_STRING, array=array(_USER_PARTS, 1))},
            _NAMED,
            nulls=True,
        ),
        "assistant": obj(
            {"role": _STRING},
            {
                "content": either(
                    string=_STRING, array=array(tagged({"text": _TEXT, "refusal": _REFUSAL}), 1)
                ),
                "refusal": _STRING,
                "tool_calls": array(_CALL, 1),
                "function_call": obj({"name": _STRING, "arguments": _STRING}),
                "reasoning_content": _STRING,
                "annotations": anything,
                "audio": anything,
                "name": _STRING,
            },
            nulls=True,
        ),
        "tool": obj({**_ROLE, "tool_call_id": _STRING}, nulls=True),
        "function": obj({"role": _STRING, "name": _STRING, "content": _STRING}, nulls=True),
    },
    tag="role",
)
_FUNCTION = obj(
    {"name": text(pattern=NAME, low=1, high=64)},
    {"description": _STRING, "parameters": obj(open_=True), "strict": flag},
    nulls=True,
)
_CUSTOM = obj(
    {"name": text(pattern=NAME, low=1, high=64)},
    {"description": _STRING, "format": obj({"type": text("text", "grammar")}, open_=True)},
    nulls=True,
)
_CHOICES = {
    "function": obj({"type": _STRING, "function": obj({"name": _STRING})}),
    "custom": obj({"type": _STRING, "custom": obj({"name": _STRING})}),
}
_TOOL_CHOICE = either(
    string=text("none", "auto", "required"),
    object_=tagged(
        {
            **_CHOICES,
            "allowed_tools": obj(
                {
                    "type": _STRING,
                    "allowed_tools": obj(
                        {"mode": text("auto", "required"), "tools": array(tagged(_CHOICES))}
                    ),
                }
            ),
        }
    ),
)
_FORMAT = tagged(
    {
        "text": obj({"type": _STRING}),
        "json_object": obj({"type": _STRING}),
        "json_schema": obj(
            {
                "type": _STRING,
                "json_schema": obj(
                    {"name": text(pattern=NAME, low=1, high=64)},
                    {"schema": obj(open_=True), "strict": flag, "description": _STRING},
                    nulls=True,
                ),
            }
        ),
    }
)
_OPTIONAL = {
    **COMMON,
    "audio": obj(open_=True),
    "logit_bias": mapping(numeric(-100, 100)),
    "logprobs": flag,
    "max_completion_tokens": whole(1),
    "max_tokens": whole(1),
    "modalities": array(text("text", "audio")),
    "n": whole(1, 8),
    "prediction": obj(open_=True),
    "reasoning_effort": EFFORT,
    "response_format": _FORMAT,
    "seed": whole(),
    "stop": either(string=_STRING, array=array(_STRING, 1, 4)),
    "stream_options": obj(None, {"include_usage": flag, "include_obfuscation": flag}, nulls=True),
    "tool_choice": _TOOL_CHOICE,
    "tools": array(
        tagged(
            {
                "function": obj({"type": _STRING, "function": _FUNCTION}),
                "custom": obj({"type": _STRING, "custom": _CUSTOM}),
            }
        ),
        1,
        128,
    ),
    "verbosity": text("low", "medium", "high"),
    "web_search_options": obj(
        None, {"search_context_size": _STRING, "user_location": anything}, nulls=True
    ),
}
_MESSAGES = array(_MESSAGE, 1)
_BODY = obj({"model": text(low=1), "messages": _MESSAGES}, _OPTIONAL, nulls=True)
# On Azure the deployment is in the path. A `model` may be there, and does not matter.
_DEPLOYED = obj(
    {"messages": _MESSAGES},
    {**_OPTIONAL, "model": anything, "data_sources": anything},
    nulls=True,
)


def read_chat(arrival: Arrival) -> Chat:
    """Decode a request. Raises `RefusedError`, `WrongError` or msgspec's errors."""
    deployed = arrival.model is not None
    raw = arrival.json()
    body: dict[str, Any] = (_DEPLOYED if deployed else _BODY)(raw, ())
    model: str = arrival.model or body["model"]
    messages = body["messages"]
    _insist(body)
    said, results, seen = _last_turn(messages, _check_messages(messages))
    order, said = directives_of(model, said)
    tools, must_call = _tools(body)
    effort = body.get("reasoning_effort")
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    prompt = [encode(each) for each in messages]
    schema = _schema(body, prompt)
    stop = body.get("stop")
    ask = Ask(
        model=model,
        text=said,
        order=order,
        results=results,
        seen=seen,
        tools=tools,
        must_call=must_call,
        parallel=body.get("parallel_tool_calls") is not False,
        searches="web_search_options" in body,
        thinks=None if effort is None else effort != "none",
        max_tokens=limit,
        schema=schema,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        echo=arrival.echo,
    )
    if body.get("tools"):
        prompt.append(encode(body["tools"]))
    return Chat(
        ask=ask,
        prompt=prompt,
        cache_key=body.get("prompt_cache_key"),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        choices=body.get("n", 1),
        azure=arrival.vendor == "azure",
    )


def _insist(body: dict[str, Any]) -> None:
    if not body.get("tools"):
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body and body[name] != "none":
                raise invalid(name, f"'{name}' is only allowed when 'tools' are specified.", None)
    if "stream_options" in body and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise invalid("stream_options", message, None)
    if "max_tokens" in body and "max_completion_tokens" in body:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not allowed"
        raise invalid("max_tokens", f"{message}.", "invalid_parameter_combination")
    if "top_logprobs" in body and not body.get("logprobs"):
        message = "'top_logprobs' is only allowed when 'logprobs' is enabled."
        raise invalid("top_logprobs", message, None)


# -- the conversation ---------------------------------------------------------------------------


def _check_messages(messages: list[dict[str, Any]]) -> dict[int, list[str]]:
    """Pairing of calls and results, and the media; what each message shows."""
    waiting: list[str] = []
    seen: dict[int, list[str]] = {}
    for number, message in enumerate(messages):
        role = message["role"]
        where = f"messages[{number}]"
        if role == "tool":
            if message["tool_call_id"] not in waiting:
                why = "must be a response to a preceding message with 'tool_calls'"
                raise invalid(f"{where}.role", f"Messages with role 'tool' {why}.", None)
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            raise _unanswered(waiting, number - 1)
        if role == "assistant":
            waiting = [call["id"] for call in message.get("tool_calls", ())]
            if len(set(waiting)) < len(waiting):
                raise invalid(f"{where}.tool_calls", "Duplicate value for 'tool_call_id'.")
            if not any(name in message for name in _SAID):
                why = "expected a string, got null"
                raise invalid(f"{where}.content", f"Invalid value for 'content': {why}.", None)
        elif role == "user" and isinstance(message["content"], list):
            seen[number] = list(_seen(message["content"], number))
    if waiting:
        raise _unanswered(waiting, len(messages) - 1)
    return seen


_SAID = ("content", "tool_calls", "function_call", "refusal", "audio")


def _unanswered(waiting: list[str], number: int) -> RefusedError:
    message = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
    )
    return invalid(f"messages[{number}].role", message + ", ".join(waiting), None)


def _seen(content: list[dict[str, Any]], number: int) -> Iterator[str]:
    for index, part in enumerate(content):
        path = ("messages", number, "content", index)
        if part["type"] == "image_url":
            yield image_seen(part["image_url"]["url"], (*path, "image_url", "url"))
        elif part["type"] == "input_audio":
            yield audio_seen(part["input_audio"], (*path, "input_audio"))
        elif part["type"] == "file":
            yield file_seen(part["file"], (*path, "file"))


def _last_turn(
    messages: list[dict[str, Any]], seen: dict[int, list[str]]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The last user text, the tool results after it, and what is to be seen there; in order."""
    results: list[str] = []
    shown: list[str] = []
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message["role"] == "user":
            shown[:0] = seen.get(number, ())
            if said := text_of(message["content"]):
                return said, tuple(results), tuple(shown)
        elif message["role"] in ("tool", "function"):
            results.insert(0, text_of(message["content"]))
    return "", tuple(results), tuple(shown)


def text_of(content: Any) -> str:
    """The text of string content or of its text parts."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return " ".join(each for each in texts if isinstance(each, str))


# -- tools and formats --------------------------------------------------------------------------


def _tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], bool]:
    offered: list[Tool] = []
    for index, each in enumerate(body.get("tools", ())):
        inner = each[each["type"]]
        schema = inner.get("parameters")
        path = ("tools", index, "function", "parameters")
        if schema and schema.get("type") != "object":
            why = "schema must be a JSON Schema of 'type: \"object\"'"
            message = f"Invalid schema for function '{inner['name']}': {why}."
            raise invalid(path, message, "invalid_function_parameters")
        if inner.get("strict") and schema:
            check_strict(schema, path, f"function '{inner['name']}'")
        offered.append(Tool(inner["name"], schema, each["type"] == "custom"))
    tools = tuple(offered)
    choice = body.get("tool_choice")
    if choice == "none" or not tools:
        return (), False
    if isinstance(choice, str) or choice is None:
        return tools, choice == "required"
    if choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = {each[each["type"]]["name"] for each in allowed["tools"]}
        return choose(tools, names), allowed["mode"] == "required"
    return choose(tools, {choice[choice["type"]]["name"]}), True


def _schema(body: dict[str, Any], prompt: list[bytes]) -> dict[str, Any] | None:
    asked = body.get("response_format") or {"type": "text"}
    if asked["type"] == "text":
        return None
    if asked["type"] == "json_object":
        insist_json(prompt, "messages")
        return JSON_OBJECT
    inner = asked["json_schema"]
    path = ("response_format", "json_schema", "schema")
    if "schema" not in inner:
        raise missing_parameter("response_format.json_schema.schema")
    if inner.get("strict"):
        check_strict(inner["schema"], path, f"response_format '{inner['name']}'")
    schema: dict[str, Any] = inner["schema"]
    return schema
