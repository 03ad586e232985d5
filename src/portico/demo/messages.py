"""Anthropic Messages, as the demo provider writes it.

Shapes follow docs.anthropic.com/en/api/messages and /messages-streaming: `message_start` with
provisional usage, blocks strictly one after the other, `ping` after the first block start, thinking
closed by a `signature_delta`, no input delta but an empty one for a call without arguments,
`message_delta` with cumulative usage, `message_stop`. The request side is in `messages_in.py`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from portico.demo.arrival import SSE
from portico.demo.faults import RefusedError, anthropic_error, encode
from portico.demo.script import Ask, Call, Say, Search, Stamp, Thought, Turn
from portico.demo.seals import seal

__all__ = ["Messages"]

_STOP_REASONS = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
    "refusal": "refusal",
    "blocked": "refusal",
    "pause": "pause_turn",
    "context": "model_context_window_exceeded",
    "malformed": "end_turn",
}
_EXPLAINED = "A demo directive asked for it."
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class Messages(Struct, frozen=True, kw_only=True):
    """One Messages request, decoded as far as the script needs it."""

    ask: Ask
    prompt: list[bytes]
    stream: bool
    marks_cache: bool
    omits: bool = False

    cache_key = None
    stored = False
    previous = None
    stream_headers = SSE

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer."""
        content = [each.whole for each in self._blocks(turn, stamp)]
        body = self._head(stamp, content, _usage(turn, turn.output))
        body.update(_ending(turn))
        return encode(body)

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer."""
        message = self._head(stamp, [], _usage(turn, 1))
        yield _frame("message_start", {"message": message})
        ping = PING
        for index, block in enumerate(self._blocks(turn, stamp)):
            opened = {"index": index, "content_block": block.opened}
            yield _frame("content_block_start", opened)
            if ping:
                yield ping
                ping = b""
            start = (
                b'event: content_block_delta\ndata: {"type":"content_block_delta",'
                b'"index":%d,"delta":' % index
            )
            for delta in block.deltas:
                yield start + delta + b"}\n\n"
            yield _frame("content_block_stop", {"index": index})
        usage = _usage(turn, turn.output)
        del usage["service_tier"]
        yield _frame("message_delta", {"delta": _ending(turn), "usage": usage})
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

    def _blocks(self, turn: Turn, stamp: Stamp) -> Iterator["_Block"]:
        for index, segment in enumerate(turn.segments):
            if type(segment) is Thought:
                yield self._thought(turn, stamp, index, segment)
            elif type(segment) is Call:
                yield _call(segment, f"toolu_{stamp.uid}_{index}")
            elif type(segment) is Search:
                yield from _search(segment, f"srvtoolu_{stamp.uid}_{index}")
            elif type(segment) is Say and not segment.refusal:  # a refusal has no words
                yield _text(segment)

    def _thought(self, turn: Turn, stamp: Stamp, index: int, thought: Thought) -> "_Block":
        after = turn.after(index)
        if thought.hidden:
            data = seal("redacted", "", turn=stamp.turn, index=index, after=after)
            whole = {"type": "redacted_thinking", "data": data}
            return _Block(whole, whole, iter(()))
        shown = () if self.omits else thought.pieces
        text = "".join(shown)
        signature = seal("thinking", text, turn=stamp.turn, index=index, after=after)
        deltas = [b'{"type":"thinking_delta","thinking":%b}' % encode(each) for each in shown]
        deltas.append(b'{"type":"signature_delta","signature":%b}' % encode(signature))
        return _Block(
            {"type": "thinking", "thinking": text, "signature": signature},
            {"type": "thinking", "thinking": "", "signature": ""},
            iter(deltas),
        )


class _Block(Struct, frozen=True):
    """One content block: `whole`, and as a stream tells it."""

    whole: dict[str, Any]
    opened: dict[str, Any]
    deltas: Iterator[bytes]


def _text(said: Say) -> _Block:
    text = "".join(said.pieces)
    whole: dict[str, Any] = {"type": "text", "text": text}
    opened: dict[str, Any] = {"type": "text", "text": ""}
    deltas = [b'{"type":"text_delta","text":%b}' % encode(piece) for piece in said.pieces]
    citations = [
        {
            "type": "web_search_result_location",
            "cited_text": text[start:end],
            "url": source.url,
            "title": source.title,
            "encrypted_index": seal("index", source.url),
        }
        for start, end, source in said.cited()
    ]
    if citations:
        whole["citations"] = citations
        opened["citations"] = []
        form = b'{"type":"citations_delta","citation":%b}'
        deltas.extend(form % encode(citation) for citation in citations)
    return _Block(whole, opened, iter(deltas))


def _call(call: Call, name: str) -> _Block:
    head = {"type": "tool_use", "id": name, "name": call.name}
    # The real service opens with an empty delta, and sends no other when there are no arguments.
    parts = ("", *(() if call.whole == "{}" else call.arguments))
    form = b'{"type":"input_json_delta","partial_json":%b}'
    deltas = (form % encode(part) for part in parts)
    return _Block({**head, "input": _input(call.whole)}, {**head, "input": {}}, deltas)


def _search(search: Search, name: str) -> Iterator[_Block]:
    head = {"type": "server_tool_use", "id": name, "name": "web_search"}
    arguments = {"query": search.query}
    parts = ("", encode(arguments).decode())
    form = b'{"type":"input_json_delta","partial_json":%b}'
    deltas = (form % encode(part) for part in parts)
    yield _Block({**head, "input": arguments}, {**head, "input": {}}, deltas)
    results = [
        {
            "type": "web_search_result",
            "url": source.url,
            "title": source.title,
            "encrypted_content": seal("result", source.url),
            "page_age": None,
        }
        for source in search.sources
    ]
    result = {"type": "web_search_tool_result", "tool_use_id": name, "content": results}
    yield _Block(result, result, iter(()))


def _ending(turn: Turn) -> dict[str, Any]:
    reason = _STOP_REASONS[turn.finish]
    ending = {"stop_reason": reason, "stop_sequence": turn.stop_sequence}
    if reason == "refusal":
        details = {"type": "refusal", "category": None, "explanation": turn.refusal or _EXPLAINED}
        return {**ending, "stop_details": details}
    return ending


def _frame(kind: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **data}))


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
    if searches := sum(type(segment) is Search for segment in turn.segments):
        usage["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
    return usage


def _input(arguments: str) -> dict[str, Any]:
    """The tool input; arguments cut off by `max_tokens` become an empty object."""
    try:
        value = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}
