"""Anthropic Messages, as the demo provider reads and writes it.

Shapes follow docs.anthropic.com/en/api/messages and /messages-streaming: `message_start` with
provisional usage, blocks strictly one after the other, `ping` after the first block start, thinking
closed by a `signature_delta`, `message_delta` with cumulative usage, `message_stop`. Like the real
service it insists on `max_tokens`, on thinking budgets below it, and on signatures of its own.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from portico.demo.chat import text_of
from portico.demo.directives import directives_of
from portico.demo.faults import RefusedError, anthropic_error, encode
from portico.demo.script import Ask, Stamp, Tool, Turn, choose, seal, sealed

__all__ = ["Messages", "count_messages", "read_messages"]

_STOP_REASONS = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_REFUSAL = {"type": "refusal", "category": None, "explanation": "A demo directive asked for it."}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: Raw


class _Body(Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    system: Raw = Raw(b"")
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    temperature: float | None = None
    stop_sequences: list[str] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None


_body = msgspec.json.Decoder(_Body).decode
_content = msgspec.json.Decoder(str | list[dict[str, Any]]).decode


class Messages(Struct, frozen=True, kw_only=True):
    """One Messages request, decoded as far as the script needs it."""

    ask: Ask
    prompt: list[bytes]
    stream: bool
    marks_cache: bool

    path = b"/messages"
    cache_key = None
    stored = False
    previous = None

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer."""
        content: list[dict[str, Any]] = []
        if turn.reasoning:
            thinking = "".join(turn.reasoning)
            content.append({"type": "thinking", "thinking": thinking, "signature": seal(thinking)})
        if turn.text:
            content.append({"type": "text", "text": "".join(turn.text)})
        for index, call in enumerate(turn.calls):
            block = {"type": "tool_use", "id": _call_id(stamp, index), "name": call.name}
            content.append({**block, "input": _input("".join(call.arguments))})
        body = self._head(stamp, content, _usage(turn, turn.output))
        body["stop_reason"] = _STOP_REASONS[turn.finish]
        body["stop_sequence"] = turn.stop_sequence
        if turn.finish == "content_filter":
            body["stop_details"] = _REFUSAL
        return encode(body)

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer."""
        message = self._head(stamp, [], _usage(turn, 1))
        yield _frame("message_start", {"message": message})
        ping = PING
        for index, (block, deltas) in enumerate(_blocks(turn, stamp)):
            yield _frame("content_block_start", {"index": index, "content_block": block})
            if ping:
                yield ping
                ping = b""
            start = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta",'
                b'"index":%d,"delta":' % index
            )
            for delta in deltas:
                yield start + delta + b"}\n\n"
            yield _frame("content_block_stop", {"index": index})
        ending: dict[str, Any] = {
            "stop_reason": _STOP_REASONS[turn.finish],
            "stop_sequence": turn.stop_sequence,
        }
        if turn.finish == "content_filter":
            ending["stop_details"] = _REFUSAL
        usage = _usage(turn, turn.output)
        del usage["service_tier"]
        yield _frame("message_delta", {"delta": ending, "usage": usage})
        yield _frame("message_stop", {})

    def failure(self, turn: Turn, stamp: Stamp, error: RefusedError, after: int) -> Iterator[bytes]:
        """What ends a stream that fails after `after` events."""
        yield b"event: error\ndata: %b\n\n" % encode(anthropic_error(error, f"req_{stamp.uid}"))

    def _head(self, stamp: Stamp, content: list[Any], usage: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_{stamp.uid}",
            "type": "message",
            "role": "assistant",
            "model": self.ask.model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }


def _frame(kind: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **data}))


def _blocks(turn: Turn, stamp: Stamp) -> Iterator[tuple[dict[str, Any], Iterator[bytes]]]:
    if turn.reasoning:
        yield {"type": "thinking", "thinking": "", "signature": ""}, _thinking(turn)
    if turn.text:
        texts = (b'{"type":"text_delta","text":%b}' % encode(piece) for piece in turn.text)
        yield {"type": "text", "text": ""}, texts
    for index, call in enumerate(turn.calls):
        block = {"type": "tool_use", "id": _call_id(stamp, index), "name": call.name, "input": {}}
        parts = ("", *call.arguments)  # the real service opens with an empty delta
        form = b'{"type":"input_json_delta","partial_json":%b}'
        yield block, (form % encode(part) for part in parts)


def _thinking(turn: Turn) -> Iterator[bytes]:
    for piece in turn.reasoning:
        yield b'{"type":"thinking_delta","thinking":%b}' % encode(piece)
    signature = encode(seal("".join(turn.reasoning)))
    yield b'{"type":"signature_delta","signature":%b}' % signature


def _usage(turn: Turn, output: int) -> dict[str, Any]:
    """Anthropic counts cached and written tokens outside `input_tokens`."""
    metered = turn.input
    usage: dict[str, Any] = {
        "input_tokens": metered.total - metered.cached - metered.written,
        "cache_creation_input_tokens": metered.written,
        "cache_read_input_tokens": metered.cached,
        "output_tokens": output,
        "service_tier": "standard",
    }
    if turn.thinking and output == turn.output:
        usage["output_tokens_details"] = {"thinking_tokens": turn.thinking}
    return usage


def _call_id(stamp: Stamp, index: int) -> str:
    return f"toolu_{stamp.uid}{index}"


def _input(arguments: str) -> dict[str, Any]:
    """The tool input; arguments cut off by `max_tokens` become an empty object."""
    try:
        value = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def count_messages(raw: bytes) -> list[bytes]:
    """The prompt of a `count_tokens` request, for the meter."""
    return _prompt(_body(raw))


def read_messages(raw: bytes) -> Messages:
    """Decode a request body. Raises `RefusedError` or msgspec's errors."""
    body = _body(raw)
    _insist(body)
    if b'"signature"' in raw:
        _verify(body.messages)
    text, results = _last_turn(body.messages)
    order, text = directives_of(body.model, text)
    tools, must_call = _tools(body)
    thinking = (body.thinking or {}).get("type")
    ask = Ask(
        model=body.model,
        text=text,
        order=order,
        results=results,
        tools=tools,
        must_call=must_call,
        parallel=not (body.tool_choice or {}).get("disable_parallel_tool_use"),
        thinks=None if thinking is None else thinking != "disabled",
        max_tokens=body.max_tokens,
        schema=_schema(body),
        stop=tuple(body.stop_sequences or ()),
    )
    return Messages(
        ask=ask,
        prompt=_prompt(body),
        stream=bool(body.stream),
        marks_cache=b'"cache_control"' in raw,
    )


def _insist(body: _Body) -> None:
    """The checks of the real service that a translator must not run into."""
    budget = (body.thinking or {}).get("budget_tokens")
    forced = (body.tool_choice or {}).get("type") in ("any", "tool")
    if not body.model:
        raise RefusedError(400, "model: String should have at least 1 character")
    if not body.messages:
        raise RefusedError(400, "messages: at least one message is required")
    if body.max_tokens is None:
        raise RefusedError(400, "max_tokens: Field required")
    if body.max_tokens < 1:
        raise RefusedError(400, "max_tokens: must be greater than or equal to 1")
    if body.temperature is not None and not 0 <= body.temperature <= 1:
        raise RefusedError(400, "temperature: range: 0..1")
    if budget is not None and (not isinstance(budget, int) or budget < 1024):
        raise RefusedError(400, "thinking.budget_tokens: must be greater than or equal to 1024")
    if budget is not None and budget >= body.max_tokens:
        raise RefusedError(400, "max_tokens must be greater than thinking.budget_tokens")
    if budget is not None and forced:
        raise RefusedError(400, "Thinking may not be enabled when tool_choice forces tool use.")


def _prompt(body: _Body) -> list[bytes]:
    prompt = [bytes(body.system), *(bytes(message.content) for message in body.messages)]
    if body.tools:
        prompt.insert(0, encode(body.tools))
    return prompt


def _verify(messages: list[_Message]) -> None:
    """A replayed thinking block must be byte-equal, as the real service demands."""
    for number, message in enumerate(messages):
        content = _content(message.content)
        for block in content if isinstance(content, list) else ():
            if block.get("type") == "thinking":
                thinking, signature = str(block.get("thinking")), str(block.get("signature"))
                if not sealed(signature, thinking):
                    why = f"messages.{number}: Invalid `signature` in `thinking` block"
                    raise RefusedError(400, why)


def _last_turn(messages: list[_Message]) -> tuple[str, tuple[str, ...]]:
    """The last user text, and the tool results in or after that message, in order."""
    results: list[str] = []
    for message in reversed(messages):
        if message.role != "user":
            continue
        content = _content(message.content)
        if isinstance(content, list):
            found = [block for block in content if block.get("type") == "tool_result"]
            results[:0] = [text_of(block.get("content")) for block in found]
            content = [block for block in content if block.get("type") == "text"]
        if text := text_of(content):
            return text, tuple(results)
    return "", tuple(results)


def _tools(body: _Body) -> tuple[tuple[Tool, ...], bool]:
    choice = body.tool_choice or {"type": "auto"}
    offered = [each for each in body.tools or () if each.get("type") in (None, "custom")]
    if any(not isinstance(each.get("name"), str) for each in offered):
        raise RefusedError(400, "tools.0.name: Field required")
    tools = tuple(Tool(each["name"], each.get("input_schema")) for each in offered)
    kind = choice.get("type")
    if kind == "none" or not tools:
        return (), False
    if kind == "tool":
        return choose(tools, {str(choice.get("name"))}), True
    if kind not in ("auto", "any"):
        raise RefusedError(400, "tool_choice.type: must be auto, any, tool or none")
    return tools, kind == "any"


def _schema(body: _Body) -> dict[str, Any] | None:
    asked = (body.output_config or {}).get("format") or body.output_format
    schema = asked.get("schema") if isinstance(asked, dict) else None
    return schema if isinstance(schema, dict) else None
