"""OpenAI Chat Completions, as the demo provider writes it.

Shapes follow the API reference (platform.openai.com/docs/api-reference/chat): role in the first
chunk, one delta per token, a chunk with the finish reason, then, with
`stream_options.include_usage`, a chunk with usage and no choices (`"usage": null` before), and
`[DONE]`. Reasoning goes out as `reasoning_content`, the de-facto field of compatible servers; the
annotations of a search come in one chunk after the text. Azure begins with a chunk without choices
that carries the filter's verdict on the prompt. The request side is in `chat_in.py`.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from portico.demo.arrival import SSE
from portico.demo.faults import RefusedError, encode, openai_error
from portico.demo.script import Ask, Call, Say, Stamp, Turn

__all__ = ["Chat"]

DONE = b"data: [DONE]\n\n"
_FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "context": "length",
    "content_filter": "content_filter",
}
_SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}


class Chat(Struct, frozen=True, kw_only=True):
    """One Chat Completions request, decoded as far as the script needs it."""

    ask: Ask
    prompt: list[bytes]
    cache_key: str | None
    stream: bool
    include_usage: bool
    choices: int
    azure: bool = False

    marks_cache = False
    stored = False
    previous = None
    stream_headers = SSE

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer."""
        silent = turn.calls or turn.refusal is not None
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(turn.text) if turn.text or not silent else None,
            "refusal": turn.refusal,
            "annotations": _annotations(turn),
        }
        if turn.reasoning:
            message["reasoning_content"] = "".join(turn.reasoning)
        if turn.calls:
            message["tool_calls"] = [
                _call(call, _call_id(stamp, index), call.whole)
                for index, call in enumerate(turn.calls)
            ]
        choice: dict[str, Any] = {
            "message": message,
            "logprobs": None,
            "finish_reason": _FINISH.get(turn.finish, "stop"),
        }
        if self.azure:
            choice["content_filter_results"] = _SAFE
        body = {
            "id": f"chatcmpl-{stamp.uid}",
            "object": "chat.completion",
            "created": stamp.created,
            "model": self.ask.model,
            "choices": [{"index": index, **choice} for index in range(self.choices)],
            "usage": self._usage(turn),
            "service_tier": "default",
            "system_fingerprint": "fp_demo",
        }
        if self.azure:
            body["prompt_filter_results"] = _prompt_filter()
        return encode(body)

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer, `[DONE]` last."""
        if self.azure:
            yield b"data: %b\n\n" % encode(
                {
                    "id": "",
                    "object": "",
                    "created": 0,
                    "model": "",
                    "choices": [],
                    "prompt_filter_results": _prompt_filter(),
                }
            )
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
            finish = encode(_FINISH.get(turn.finish, "stop"))
            yield b'%b{},"logprobs":null,"finish_reason":%b}]%b' % (start, finish, tail)
        if self.include_usage:
            yield b'data: %b,"choices":[],"usage":%b}\n\n' % (head, encode(self._usage(turn)))
        yield DONE

    def failure(self, turn: Turn, stamp: Stamp, error: RefusedError, after: int) -> Iterator[bytes]:
        """What ends a stream that fails after `after` events."""
        yield b"data: %b\n\n" % encode({"error": openai_error(error)})

    def _usage(self, turn: Turn) -> dict[str, Any]:
        """OpenAI counts cached tokens inside the prompt and reasoning inside the completion."""
        output = turn.output * self.choices
        return {
            "prompt_tokens": turn.input.total,
            "completion_tokens": output,
            "total_tokens": turn.input.total + output,
            "prompt_tokens_details": {
                "cached_tokens": turn.input.cached,
                "cache_write_tokens": turn.input.written,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": turn.thinking * self.choices,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def _deltas(turn: Turn, stamp: Stamp) -> Iterator[bytes]:
    silent = turn.calls or turn.refusal is not None
    first = {"role": "assistant", "content": None if silent else "", "refusal": None}
    yield encode(first)
    number = 0
    for segment in turn.segments:
        if type(segment) is Call:
            yield from _call_deltas(segment, _call_id(stamp, number), number)
            number += 1
        elif type(segment) is Say:
            key = b"refusal" if segment.refusal else b"content"
            for piece in segment.pieces:
                yield b'{"%b":%b}' % (key, encode(piece))
        elif not getattr(segment, "hidden", False):
            for piece in segment.pieces:
                yield b'{"reasoning_content":%b}' % encode(piece)
    if annotations := _annotations(turn):
        yield encode({"annotations": annotations})


def _call_deltas(call: Call, call_id: str, index: int) -> Iterator[bytes]:
    yield encode({"tool_calls": [{"index": index, **_call(call, call_id, "")}]})
    kind, key = (b"custom", b"input") if call.custom else (b"function", b"arguments")
    for piece in call.arguments:
        more = b'{"tool_calls":[{"index":%d,"%b":{"%b":%b}}]}'
        yield more % (index, kind, key, encode(piece))


def _call(call: Call, call_id: str, said: str) -> dict[str, Any]:
    if call.custom:
        return {"id": call_id, "type": "custom", "custom": {"name": call.name, "input": said}}
    function = {"name": call.name, "arguments": said}
    return {"id": call_id, "type": "function", "function": function}


def _annotations(turn: Turn) -> list[dict[str, Any]]:
    made = []
    offset = 0
    for segment in turn.segments:
        if type(segment) is not Say or segment.refusal:
            continue
        for start, end, source in segment.cited():
            citation = {
                "start_index": offset + start,
                "end_index": offset + end,
                "url": source.url,
                "title": source.title,
            }
            made.append({"type": "url_citation", "url_citation": citation})
        offset += sum(map(len, segment.pieces))
    return made


def _prompt_filter() -> list[dict[str, Any]]:
    return [{"prompt_index": 0, "content_filter_results": _SAFE}]


def _call_id(stamp: Stamp, index: int) -> str:
    return f"call_{stamp.uid}_{index}"
