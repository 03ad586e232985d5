"""What the gateway reads in Chat Completions answers that it relays: usage, the end.

Provider traps, each seen in the vendor's own documents or recordings (2026-11):
- DeepSeek reports cache hits as `prompt_cache_hit_tokens`,
  https://api-docs.deepseek.com/guides/kv_cache
- Moonshot puts `cached_tokens` at the top of `usage`, https://platform.moonshot.ai/docs/api/chat
- xAI counts reasoning beside `completion_tokens`, https://docs.x.ai/docs/guides/reasoning
- Groq streams it as `x_groq.usage`, https://console.groq.com/docs/api-reference
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.base import Answer
from portico.dialects.counts import (
    LONGEST,
    NULL,
    UNREADABLE,
    Count,
    Whole,
    inclusive,
    larger,
    last_usage,
    mapping,
    pick,
    read_whole,
    text,
)
from portico.dialects.openai_error import error_object
from portico.errors import PorticoError
from portico.model.usage import Usage
from portico.wire.json import encode
from portico.wire.sse import SHORTEST_DATA, encode_event, frame_data, iter_frames

_LOOKS = 16
"""Frames that are decoded in search of the model; then we do without."""


class _Details(Struct, gc=False):
    """`prompt_tokens_details` and `completion_tokens_details`."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    reasoning_tokens: Count = None


class _Usage(Struct, gc=False):
    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None


class _Groq(Struct, gc=False):
    usage: Raw = NULL


class _Chunk(Struct, gc=False):
    """A chunk or a whole answer. Raw members: nothing a provider sends fails to decode."""

    model: Raw = NULL
    choices: Raw = NULL
    usage: Raw = NULL
    x_groq: Raw = NULL
    error: Raw = NULL


class _Choice(Struct, gc=False):
    index: Raw = NULL
    finish_reason: Raw = NULL


_NO_DETAILS = _Details()
_decode_answer = msgspec.json.Decoder(Whole[_Usage]).decode
_decode_usage = msgspec.json.Decoder(_Usage).decode
_decode = msgspec.json.Decoder(_Chunk).decode
_decode_groq = msgspec.json.Decoder(_Groq).decode
_decode_choices = msgspec.json.Decoder(list[_Choice]).decode
_has_usage = re.compile(rb'"usage"\s*:\s*\{').search
_has_finish = re.compile(rb'"finish_reason"\s*:\s*"').search


def usage_of(usage: dict[str, Any] | None) -> Usage | None:
    """Disjoint counts from a `usage` object, whatever is in it; None if it has no counts."""
    return _disjoint(
        _Usage(
            pick(usage, "prompt_tokens"),
            pick(usage, "completion_tokens"),
            pick(usage, "total_tokens"),
            _Details(
                pick(usage, "prompt_tokens_details", "cached_tokens"),
                pick(usage, "prompt_tokens_details", "cache_write_tokens"),
            ),
            _Details(None, None, pick(usage, "completion_tokens_details", "reasoning_tokens")),
            pick(usage, "prompt_cache_hit_tokens"),
            pick(usage, "cached_tokens"),
        )
    )


def usage_from(raw: Raw) -> Usage | None:
    """The same from the object's JSON; None for what is no object, or absurdly long."""
    view = memoryview(raw)
    if view[0] != 0x7B or len(view) > LONGEST:
        return None
    try:
        return _disjoint(_decode_usage(raw))
    except UNREADABLE:
        return usage_of(mapping(raw))


def read_usage(body: bytes) -> Answer:
    """Model and usage of a whole answer; what cannot be read is empty."""
    return read_whole(body, _decode_answer, _disjoint, _read_loosely)


def _read_loosely(body: bytes) -> Answer:
    answer = _decode(body)
    return Answer(text(answer.model), _usage(answer))


def _disjoint(usage: _Usage) -> Usage | None:
    into = usage.prompt_tokens_details or _NO_DETAILS
    out = usage.completion_tokens_details or _NO_DETAILS
    read = into.cached_tokens
    if read is None:
        read = usage.prompt_cache_hit_tokens
    if read is None:
        read = usage.cached_tokens
    return inclusive(
        input_total=usage.prompt_tokens,
        cache_read=read,
        cache_write=into.cache_write_tokens,
        output_total=usage.completion_tokens,
        reasoning=out.reasoning_tokens,
        total=usage.total_tokens,
    )


def usage_from_tail(tail: bytes) -> Usage | None:
    """Usage from the last bytes of an answer too long to hold. Best effort."""
    return usage_of(last_usage(tail))


class Tap:
    """Reads a chat stream in passing (see `dialects.base.Tap`).

    With `hides_usage` the chunk that carries only usage is taken out. `finished` needs a finish
    reason for each of `choices`, or `[DONE]`, or an error. JSON text cannot fake a marker, for its
    quotes are escaped; names inside tool arguments or metadata can, so a hit is always decoded.
    """

    __slots__ = (
        "_choices",
        "_ended",
        "_hides_usage",
        "_looks",
        "failed",
        "finished",
        "model",
        "usage",
    )

    def __init__(self, hides_usage: bool = False, choices: int = 1) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.failed = False
        self._hides_usage = hides_usage
        self._choices = choices
        self._ended: set[bytes] = set()
        self._looks = _LOOKS

    def feed(self, frames: bytes) -> bytes:
        """Read whole frames, return what the client gets."""
        if not self._looks and not _is_marked(frames):
            return frames
        parts = iter_frames(frames)
        kept = [part for part in parts if len(part) < SHORTEST_DATA or self._passes(part)]
        return frames if len(kept) == len(parts) else b"".join(kept)

    def end(self) -> bytes:
        """Nothing is held back."""
        return b""

    def truncation_frames(self, fault: PorticoError) -> bytes:
        """One error frame and no `[DONE]`: the openai SDK raises on a truthy `error`."""
        if self.finished:
            return b""
        return encode_event(None, encode({"error": error_object(fault)}))

    def _passes(self, frame: bytes) -> bool:
        return (not self._looks and not _is_marked(frame)) or self._read(frame)

    def _read(self, frame: bytes) -> bool:
        """Look at one frame; False if it is not the client's to see."""
        data = frame_data(frame)
        if not data:
            return True
        if data.strip() == b"[DONE]":
            self.finished = True
            return True
        try:
            chunk = _decode(data)
        except UNREADABLE:
            return True
        if self._looks:
            self._introduce(chunk)
        if bytes(chunk.error) not in (b"null", b"false", b'""', b"{}", b"0", b"[]"):
            self.finished = self.failed = True
        choices = _choices(chunk)
        for choice in choices or ():
            reason = bytes(choice.finish_reason)
            if reason[:1] == b'"' and reason != b'""' and len(self._ended) < self._choices:
                self._ended.add(bytes(choice.index)[:20])
                self.finished |= len(self._ended) >= self._choices
        usage = _usage(chunk)
        self.usage = larger(self.usage, usage)
        is_only_usage = choices == [] and memoryview(chunk.usage)[0] == 0x7B
        return not (self._hides_usage and is_only_usage)

    def _introduce(self, chunk: _Chunk) -> None:
        self.model = self.model or text(chunk.model)
        self._looks = 0 if self.model else self._looks - 1


def _is_marked(frames: bytes) -> bool:
    """Whether one of these frames may say something about usage or the end. The hot path."""
    return (
        _has_finish(frames) is not None
        or _has_usage(frames) is not None
        or frames.rfind(b'"error"') >= 0
        or frames.rfind(b"[DONE]") >= 0
    )


def _choices(chunk: _Chunk) -> list[_Choice] | None:
    try:
        return _decode_choices(chunk.choices)
    except UNREADABLE:
        return None


def _usage(chunk: _Chunk) -> Usage | None:
    usage = usage_of(mapping(chunk.usage))
    if usage is None and memoryview(chunk.x_groq)[0] == 0x7B:
        try:
            usage = usage_of(mapping(_decode_groq(chunk.x_groq).usage))
        except UNREADABLE:
            return None
    return usage
