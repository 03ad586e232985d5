"""What the gateway reads in Anthropic Messages answers that it relays: usage, the end.

Anthropic counts cache reads and writes beside `input_tokens`, and thinking inside `output_tokens`.
`message_start` has provisional counts; those of `message_delta` are cumulative and replace them,
input included. https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11)
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.base import Answer
from portico.dialects.counts import (
    NULL,
    UNREADABLE,
    Count,
    Whole,
    decode_loose,
    last_usage,
    mapping,
    pick,
    read_whole,
    text,
)
from portico.dialects.messages.errors import error_object
from portico.errors import PorticoError
from portico.model.usage import Usage
from portico.wire.json import encode
from portico.wire.sse import SHORTEST_DATA, encode_event, frame_data, frame_event, iter_frames

_COUNTS = {
    "input": ("input_tokens",),
    "read": ("cache_read_input_tokens",),
    "write": ("cache_creation_input_tokens",),
    "output": ("output_tokens",),
    "thinking": ("output_tokens_details", "thinking_tokens"),
}


class _Details(Struct, gc=False):
    thinking_tokens: Count = None


class _Usage(Struct, gc=False):
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    output_tokens_details: _Details | None = None


class _Event(Struct, gc=False):
    type: Raw = NULL
    message: Raw = NULL
    usage: Raw = NULL


_decode_answer = msgspec.json.Decoder(Whole[_Usage]).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_has_type = re.compile(rb'"type"\s*:\s*"(?:message_(?:start|delta|stop)|error)"').search
_has_event = re.compile(rb"event: ?(?:message_|error)").search


class Counts:
    """The numbers of one message, replaced by what comes later.

    A zero does not erase a count: some servers fill only `output_tokens` in the last event.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, int] = {}

    def update(self, usage: dict[str, Any] | None) -> None:
        """Take the counts of one `usage` object that are there."""
        for name, path in _COUNTS.items():
            value = pick(usage, *path)
            if value is not None and (value or name not in self._values):
                self._values[name] = value

    def usage(self) -> Usage | None:
        """Disjoint counts; None if there were none."""
        values = self._values
        if "input" not in values and "output" not in values:
            return None
        return _disjoint(
            values.get("input", 0),
            values.get("read", 0),
            values.get("write", 0),
            values.get("output", 0),
            values.get("thinking", 0),
        )


def usage_of(usage: dict[str, Any] | None) -> Usage | None:
    """Disjoint counts from one `usage` object; None if it has no counts."""
    counts = Counts()
    counts.update(usage)
    return counts.usage()


def read_usage(body: bytes) -> Answer:
    """Model and usage of a whole message; what cannot be read is empty."""
    return read_whole(body, _decode_answer, _of_typed, _read_loosely)


def _read_loosely(body: bytes) -> Answer:
    message = decode_loose(body)
    return Answer(text(message.model), usage_of(mapping(message.usage)))


def _of_typed(usage: _Usage) -> Usage | None:
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    details = usage.output_tokens_details
    return _disjoint(
        usage.input_tokens or 0,
        usage.cache_read_input_tokens or 0,
        usage.cache_creation_input_tokens or 0,
        usage.output_tokens or 0,
        (details.thinking_tokens or 0) if details is not None else 0,
    )


def _disjoint(into: int, read: int, write: int, out: int, thinking: int) -> Usage:
    thinking = min(thinking, out)
    return Usage(
        input_uncached=into,
        cache_read=read,
        cache_write=write,
        output_text=out - thinking,
        reasoning=thinking,
    )


def usage_from_tail(tail: bytes) -> Usage | None:
    """Usage from the last bytes of a message too long to hold. Best effort."""
    return usage_of(last_usage(tail))


class Tap:
    """Reads a Messages stream in passing (see `dialects.base.Tap`)."""

    __slots__ = ("_counts", "failed", "finished", "model", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.failed = False
        self._counts = Counts()

    def feed(self, frames: bytes) -> bytes:
        """Read whole frames, return them."""
        if _is_marked(frames):
            parts = iter_frames(frames)
            for frame in parts:
                if len(frame) >= SHORTEST_DATA and (len(parts) == 1 or _is_marked(frame)):
                    self._read(frame)
        return frames

    def end(self) -> bytes:
        """Nothing is held back."""
        return b""

    def truncation_frames(self, fault: PorticoError) -> bytes:
        """One `error` event and no `message_stop`: the anthropic SDK raises on it."""
        if self.finished:
            return b""
        return encode_event("error", encode({"type": "error", "error": error_object(fault)}))

    def _read(self, frame: bytes) -> None:
        try:
            event = _decode_event(frame_data(frame))
        except UNREADABLE:
            return
        kind = text(event.type) or frame_event(frame).decode(errors="replace")
        if kind == "message_stop":
            self.finished = True
        elif kind == "error":
            self.finished = self.failed = True
        elif kind == "message_start":
            self._start(event.message)
        elif kind == "message_delta":
            self._count(event.usage)

    def _start(self, raw: Raw) -> None:
        try:
            message = decode_loose(raw)
        except UNREADABLE:
            return
        self.model = self.model or text(message.model)
        self._count(message.usage)

    def _count(self, usage: Raw) -> None:
        self._counts.update(mapping(usage))
        self.usage = self._counts.usage()


def _is_marked(frames: bytes) -> bool:
    """Whether one of these frames may carry usage or end the message. The hot path."""
    return _has_event(frames) is not None or _has_type(frames) is not None
