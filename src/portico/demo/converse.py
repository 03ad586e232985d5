"""Amazon Bedrock's Converse, as the demo provider writes it.

Shapes follow the API reference of Converse and ConverseStream: text has no start event, a call
without arguments no delta, reasoning its signature as the last delta; `metadata` with the usage
after `messageStop`, or before it on demand. Events carry the random padding `p` that the service
adds. The request side is in `converse_in.py`.
"""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from portico.demo.faults import RefusedError, aws_kind, encode
from portico.demo.frames import event, exception
from portico.demo.script import Ask, Call, Say, Search, Segment, Stamp, Thought, Turn
from portico.demo.seals import seal

__all__ = ["Converse"]

_STOP_REASONS = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "content_filtered",
    "refusal": "content_filtered",
    "blocked": "guardrail_intervened",
    "pause": "end_turn",
    "context": "model_context_window_exceeded",
    "malformed": "malformed_tool_use",
}
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGH"
_METRICS = {"metrics": {"latencyMs": 42}}
_STREAM = b"content-type: application/vnd.amazon.eventstream\r\n"


class Converse(Struct, frozen=True, kw_only=True):
    """One Converse request, decoded as far as the script needs it."""

    ask: Ask
    prompt: list[bytes]
    stream: bool
    marks_cache: bool

    cache_key = None
    stored = False
    previous = None
    stream_headers = _STREAM

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer."""
        content = [
            block
            for index, segment in enumerate(turn.segments)
            if (block := self._block(turn, segment, index, stamp)) is not None
        ]
        return encode(
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": _STOP_REASONS[turn.finish],
                "usage": _usage(turn),
                **_METRICS,
            }
        )

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer."""
        yield _event("messageStart", {"role": "assistant"})
        number = 0
        for index, segment in enumerate(turn.segments):
            if type(segment) is Search:
                continue
            if type(segment) is Call:
                start = {"toolUse": {"toolUseId": _name(stamp, index), "name": segment.name}}
                opened = {"contentBlockIndex": number, "start": start}
                yield _event("contentBlockStart", opened)
            for delta in self._deltas(turn, segment, index, stamp):
                yield _event("contentBlockDelta", {"contentBlockIndex": number, "delta": delta})
            yield _event("contentBlockStop", {"contentBlockIndex": number})
            number += 1
        stop = _event("messageStop", {"stopReason": _STOP_REASONS[turn.finish]})
        metadata = _event("metadata", {"usage": _usage(turn), **_METRICS})
        yield from (metadata, stop) if self.ask.order.metadata == "first" else (stop, metadata)

    def failure(self, turn: Turn, stamp: Stamp, error: RefusedError, after: int) -> Iterator[bytes]:
        """What ends a stream that fails after `after` events: an exception frame."""
        kind = aws_kind(error)
        kind = kind[:1].lower() + kind[1:]
        body: dict[str, Any] = {"message": error.message}
        if kind == "modelStreamErrorException":
            body |= {"originalStatusCode": 500, "originalMessage": error.message}
        yield exception(kind, encode(body))

    def _block(
        self, turn: Turn, segment: Segment, index: int, stamp: Stamp
    ) -> dict[str, Any] | None:
        text = "".join(segment.pieces)
        if type(segment) is Thought:
            if segment.hidden:
                return {"reasoningContent": {"redactedContent": _redacted(turn, index, stamp)}}
            signature = _signature(turn, text, index, stamp)
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        if type(segment) is Call:
            use = {"toolUseId": _name(stamp, index), "name": segment.name, "input": _input(text)}
            return {"toolUse": use}
        if type(segment) is Say:
            if citations := _citations(segment):
                return {"citationsContent": {"content": [{"text": text}], "citations": citations}}
            return {"text": text}
        return None

    def _deltas(
        self, turn: Turn, segment: Segment, index: int, stamp: Stamp
    ) -> Iterator[dict[str, Any]]:
        if type(segment) is Thought:
            if segment.hidden:
                redacted = _redacted(turn, index, stamp)
                yield {"reasoningContent": {"redactedContent": redacted}}
                return
            for piece in segment.pieces:
                yield {"reasoningContent": {"text": piece}}
            signature = _signature(turn, "".join(segment.pieces), index, stamp)
            yield {"reasoningContent": {"signature": signature}}
        elif type(segment) is Call:
            for piece in () if segment.whole == "{}" else segment.arguments:
                yield {"toolUse": {"input": piece}}
        elif type(segment) is Say:
            for piece in segment.pieces:
                yield {"text": piece}
            for citation in _citations(segment):
                yield {"citation": citation}


def _event(kind: str, data: dict[str, Any]) -> bytes:
    body = encode(data)
    padding = _PADDING[: len(body) % len(_PADDING)]
    return event(kind, encode({**data, "p": padding}))


def _name(stamp: Stamp, index: int) -> str:
    return f"tooluse_{stamp.uid}_{index}"


def _signature(turn: Turn, text: str, index: int, stamp: Stamp) -> str:
    return seal("thinking", text, turn=stamp.turn, index=index, after=turn.after(index))


def _redacted(turn: Turn, index: int, stamp: Stamp) -> str:
    """A blob: its JSON form is base64."""
    made = seal("redacted", "", turn=stamp.turn, index=index, after=turn.after(index))
    return base64.b64encode(made.encode()).decode()


def _citations(said: Say) -> list[dict[str, Any]]:
    return [
        {
            "title": source.title,
            "sourceContent": [{"text": source.quote}],
            "location": {"web": {"url": source.url, "domain": source.url.split("/")[2]}},
        }
        for _, _, source in said.cited()
    ]


def _usage(turn: Turn) -> dict[str, Any]:
    """Bedrock counts cached and written tokens outside `inputTokens`, and all in the total."""
    metered = turn.input
    usage = {
        "inputTokens": metered.total - metered.cached - metered.written,
        "outputTokens": turn.output,
        "totalTokens": metered.total + turn.output,
        "cacheReadInputTokens": metered.cached,
        "cacheWriteInputTokens": metered.written,
    }
    if metered.written:
        return {**usage, "cacheDetails": [{"ttl": "5m", "inputTokens": metered.written}]}
    return usage


def _input(arguments: str) -> dict[str, Any]:
    """The tool input; arguments cut off by `maxTokens` become an empty object."""
    try:
        value = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}
