"""The same request in the three dialects, and a way to run an `Application` without a socket."""

import json
from collections.abc import Callable
from typing import Any

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}


def ask(
    dialect: str,
    text: str = "Hello",
    *,
    model: str = "demo-small",
    stream: bool = False,
    tool: dict[str, Any] | None = None,
    result: str | None = None,
    schema: dict[str, Any] | None = None,
    max_tokens: int | None = None,
    think: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """A request body. `tool` offers `get_weather` with that schema, `result` adds a done call."""
    body = {"model": model, "stream": stream}
    build = {"chat": _chat, "responses": _responses, "messages": _messages}[dialect]
    body.update(build(text, tool, result, schema, max_tokens, think))
    return {**body, **more}


def _chat(
    text: str,
    tool: dict[str, Any] | None,
    result: str | None,
    schema: dict[str, Any] | None,
    max_tokens: int | None,
    think: bool,
) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    if tool is not None:
        function = {"name": "get_weather", "description": "Weather now", "parameters": tool}
        body["tools"] = [{"type": "function", "function": function}]
    if result is not None:
        function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
        call = {"id": "call_1", "type": "function", "function": function}
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": result},
        ]
    if schema is not None:
        inner = {"name": "out", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": inner}
    if max_tokens is not None:
        body["max_completion_tokens"] = max_tokens
    if think:
        body["reasoning_effort"] = "low"
    return body


def _responses(
    text: str,
    tool: dict[str, Any] | None,
    result: str | None,
    schema: dict[str, Any] | None,
    max_tokens: int | None,
    think: bool,
) -> dict[str, Any]:
    body: dict[str, Any] = {"input": [{"role": "user", "content": text}]}
    if tool is not None:
        head = {"type": "function", "name": "get_weather", "description": "Weather now"}
        body["tools"] = [{**head, "parameters": tool, "strict": True}]
    if result is not None:
        call = {"type": "function_call", "call_id": "call_1", "name": "get_weather"}
        body["input"] += [
            {**call, "arguments": '{"city":"Paris"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": result},
        ]
    if schema is not None:
        inner = {"type": "json_schema", "name": "out", "schema": schema, "strict": True}
        body["text"] = {"format": inner}
    if max_tokens is not None:
        body["max_output_tokens"] = max_tokens
    if think:
        body["reasoning"] = {"effort": "low", "summary": "auto"}
    return body


def _messages(
    text: str,
    tool: dict[str, Any] | None,
    result: str | None,
    schema: dict[str, Any] | None,
    max_tokens: int | None,
    think: bool,
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 4096 if max_tokens is None else max_tokens,
    }
    if tool is not None:
        body["tools"] = [{"name": "get_weather", "description": "Now", "input_schema": tool}]
    if result is not None:
        use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
        done = {"type": "tool_result", "tool_use_id": "toolu_1", "content": result}
        body["messages"] += [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [done]},
        ]
    if schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if think:
        body["thinking"] = {"type": "adaptive"}
    return body


class FakeReply:
    """A `portico.http.messages.Reply` that keeps what it is given."""

    def __init__(self) -> None:
        self.status = 0
        self.headers = b""
        self.pieces: list[bytes] = []
        self.how = ""
        self.started = False
        self.source: Any = None
        self.on_write: Callable[[], None] = lambda: None

    @property
    def bytes_sent(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def json(self) -> Any:
        return json.loads(self.body)

    def data(self) -> list[Any]:
        """The decoded `data:` payloads, one per write, `[DONE]` left out."""
        lines = [piece.split(b"data: ", 1)[1].strip() for piece in self.pieces]
        return [json.loads(line) for line in lines if line != b"[DONE]"]

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        self.start(status, headers, len(body))
        self.pieces.append(body)
        self.how = "sent"

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        assert not self.started
        self.started = True
        self.status, self.headers = status, headers

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self.on_write()

    def end(self) -> None:
        self.how = "ended"

    def abort(self) -> None:
        self.how = "aborted"

    def attach(self, source: Any) -> None:
        self.source = source
