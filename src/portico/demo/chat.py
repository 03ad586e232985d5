"""OpenAI Chat Completions, as the demo provider reads and writes it.

Shapes follow the API reference (platform.openai.com/docs/api-reference/chat): role in the first
chunk, one delta per token, a chunk with the finish reason, then, with
`stream_options.include_usage`, a chunk with usage and no choices (`"usage": null` before), and
`[DONE]`. Reasoning goes out as `reasoning_content`, the de-facto field of compatible servers.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from portico.demo.directives import directives_of
from portico.demo.faults import RefusedError, encode, missing_parameter, openai_error
from portico.demo.script import Ask, Stamp, Tool, Turn, choose

__all__ = ["Chat", "read_chat"]

DONE = b"data: [DONE]\n\n"
_MAX_CHOICES = 8
_FINISH = {"stop_sequence": "stop"}
_JSON_OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}}


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Body(Struct):
    model: str
    messages: list[Raw]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: dict[str, Any] | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    prompt_cache_key: str | None = None


_body = msgspec.json.Decoder(_Body).decode
_message = msgspec.json.Decoder(_Message).decode


class Chat(Struct, frozen=True, kw_only=True):
    """One Chat Completions request, decoded as far as the script needs it."""

    ask: Ask
    prompt: list[bytes]
    cache_key: str | None
    stream: bool
    include_usage: bool
    choices: int

    path = b"/chat/completions"
    marks_cache = False
    stored = False
    previous = None

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(turn.text) if turn.text or not turn.calls else None,
            "refusal": None,
            "annotations": [],
        }
        if turn.reasoning:
            message["reasoning_content"] = "".join(turn.reasoning)
        if turn.calls:
            message["tool_calls"] = [
                {
                    "id": _call_id(stamp, index),
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for index, call in enumerate(turn.calls)
            ]
        finish = _FINISH.get(turn.finish, turn.finish)
        body = {
            "id": f"chatcmpl-{stamp.uid}",
            "object": "chat.completion",
            "created": stamp.created,
            "model": self.ask.model,
            "choices": [
                {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
                for index in range(self.choices)
            ],
            "usage": self._usage(turn),
            "service_tier": "default",
            "system_fingerprint": "fp_demo",
        }
        return encode(body)

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer, `[DONE]` last."""
        head = encode(
            {
                "id": f"chatcmpl-{stamp.uid}",
                "object": "chat.completion.chunk",
                "created": stamp.created,
                "model": self.ask.model,
                "service_tier": "default",
                "system_fingerprint": "fp_demo",
            }
        )[:-1]
        tail = b',"usage":null}\n\n' if self.include_usage else b"}\n\n"
        for index in range(self.choices):
            start = b'data: %b,"choices":[{"index":%d,"delta":' % (head, index)
            ending = b',"logprobs":null,"finish_reason":null}]' + tail
            for delta in _deltas(turn, stamp):
                yield start + delta + ending
            finish = encode(_FINISH.get(turn.finish, turn.finish))
            yield b'%b{},"logprobs":null,"finish_reason":%b}]%b' % (start, finish, tail)
        if self.include_usage:
            yield b'data: %b,"choices":[],"usage":%b}\n\n' % (head, encode(self._usage(turn)))
        yield DONE

    def failure(self, turn: Turn, stamp: Stamp, error: RefusedError, after: int) -> Iterator[bytes]:
        """What ends a stream that fails after `after` events."""
        yield b"data: %b\n\n" % encode({"error": openai_error(error)})

    def _usage(self, turn: Turn) -> dict[str, Any]:
        output = turn.output * self.choices
        return {
            "prompt_tokens": turn.input.total,
            "completion_tokens": output,
            "total_tokens": turn.input.total + output,
            "prompt_tokens_details": {"cached_tokens": turn.input.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": turn.thinking * self.choices,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def _deltas(turn: Turn, stamp: Stamp) -> Iterator[bytes]:
    first = {"role": "assistant", "content": None if turn.calls else "", "refusal": None}
    yield encode(first)
    for piece in turn.reasoning:
        yield b'{"reasoning_content":%b}' % encode(piece)
    for piece in turn.text:
        yield b'{"content":%b}' % encode(piece)
    for index, call in enumerate(turn.calls):
        function = {"name": call.name, "arguments": ""}
        opened = {
            "index": index,
            "id": _call_id(stamp, index),
            "type": "function",
            "function": function,
        }
        yield encode({"tool_calls": [opened]})
        for piece in call.arguments:
            more = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}'
            yield more % (index, encode(piece))


def _call_id(stamp: Stamp, index: int) -> str:
    return f"call_{stamp.uid}{index}"


def read_chat(raw: bytes) -> Chat:
    """Decode a request body. Raises `RefusedError` or msgspec's errors."""
    body = _body(raw)
    if not body.model:
        raise missing_parameter("model")
    if not body.messages:
        raise RefusedError(
            400, "Invalid 'messages': empty array.", code="empty_array", param="messages"
        )
    choices = 1 if body.n is None else body.n
    if not 1 <= choices <= _MAX_CHOICES:
        raise RefusedError(400, f"'n' must be from 1 to {_MAX_CHOICES}.", param="n")
    limit = body.max_completion_tokens
    limit = body.max_tokens if limit is None else limit
    if limit is not None and limit < 1:
        raise RefusedError(400, "'max_tokens' must be at least 1.", param="max_tokens")
    text, results = _last_turn(body.messages)
    order, text = directives_of(body.model, text)
    tools, must_call = _tools(body)
    effort = body.reasoning_effort
    ask = Ask(
        model=body.model,
        text=text,
        order=order,
        results=results,
        tools=tools,
        must_call=must_call,
        parallel=body.parallel_tool_calls is not False,
        thinks=None if effort is None else effort != "none",
        max_tokens=limit,
        schema=_schema(body.response_format),
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
    )
    prompt: list[bytes] = [bytes(each) for each in body.messages]
    if body.tools:
        prompt.append(encode(body.tools))
    options = body.stream_options
    return Chat(
        ask=ask,
        prompt=prompt,
        cache_key=body.prompt_cache_key,
        stream=bool(body.stream),
        include_usage=bool(options and options.include_usage),
        choices=choices,
    )


def _last_turn(messages: list[Raw]) -> tuple[str, tuple[str, ...]]:
    """The last user text, and the tool results that follow it in order."""
    results: list[str] = []
    for raw in reversed(messages):
        message = _message(raw)
        if message.role == "user":
            if text := text_of(message.content):
                return text, tuple(reversed(results))
        elif message.role in ("tool", "function"):
            results.append(text_of(message.content))
    return "", tuple(reversed(results))


def text_of(content: str | Iterable[Any] | None) -> str:
    """The text of string content or of its text parts, blocks and strings."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


def _tools(body: _Body) -> tuple[tuple[Tool, ...], bool]:
    offered: list[Tool] = []
    for each in body.tools or ():
        function = each.get("function")
        if each.get("type") == "function" and isinstance(function, dict) and "name" in function:
            offered.append(Tool(str(function["name"]), function.get("parameters")))
        elif each.get("type") != "custom":
            message = "Each tool needs a type, and a function with a name."
            raise RefusedError(400, message, code="invalid_value", param="tools")
    tools = tuple(offered)
    choice = body.tool_choice
    if choice == "none" or not tools:
        return (), False
    if isinstance(choice, str) or choice is None:
        return tools, choice == "required"
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or {}
        names = {str(each.get("function", {}).get("name")) for each in allowed.get("tools") or ()}
        return choose(tools, names), allowed.get("mode") == "required"
    if choice.get("type") != "function":
        raise RefusedError(400, "Unknown tool_choice.", code="invalid_value", param="tool_choice")
    return choose(tools, {str((choice.get("function") or {}).get("name"))}), True


def _schema(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    kind = response_format.get("type") if response_format else None
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return _JSON_OBJECT
    inner = response_format.get("json_schema")
    if kind != "json_schema" or not isinstance(inner, dict) or "name" not in inner:
        message = "response_format must be text, json_object or a named json_schema."
        raise RefusedError(400, message, code="invalid_value", param="response_format")
    return inner.get("schema") or _JSON_OBJECT
