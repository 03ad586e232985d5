"""What the gateway reads in Responses answers that it relays: usage, sequence, the end."""

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
    count,
    decode_loose,
    inclusive,
    larger,
    last_usage,
    mapping,
    pick,
    read_whole,
    text,
)
from portico.dialects.openai_error import error_object
from portico.dialects.responses.wire import REQUIRED
from portico.errors import PorticoError
from portico.model.usage import Usage
from portico.wire.json import encode
from portico.wire.sse import SHORTEST_DATA, encode_event, frame_data, frame_event, iter_frames

_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})


class _Details(Struct, gc=False):
    """`input_tokens_details` and `output_tokens_details`."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    reasoning_tokens: Count = None


class _Usage(Struct, gc=False):
    input_tokens: Count = None
    output_tokens: Count = None
    total_tokens: Count = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Event(Struct, gc=False):
    type: Raw = NULL
    sequence_number: Raw = NULL
    response: Raw = NULL


_NO_DETAILS = _Details()
_decode_answer = msgspec.json.Decoder(Whole[_Usage]).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_has_type = re.compile(
    rb'"type"\s*:\s*"(?:response\.(?:created|completed|failed|incomplete)|error)"'
).search


def usage_of(usage: dict[str, Any] | None) -> Usage | None:
    """Disjoint counts from a `usage` object, whatever is in it; None if it has no counts."""
    return _disjoint(
        _Usage(
            pick(usage, "input_tokens"),
            pick(usage, "output_tokens"),
            pick(usage, "total_tokens"),
            _Details(
                pick(usage, "input_tokens_details", "cached_tokens"),
                pick(usage, "input_tokens_details", "cache_write_tokens"),
            ),
            _Details(None, None, pick(usage, "output_tokens_details", "reasoning_tokens")),
        )
    )


def read_usage(body: bytes) -> Answer:
    """Model and usage of a whole response; what cannot be read is empty."""
    return read_whole(body, _decode_answer, _disjoint, _read_loosely)


def _read_loosely(body: bytes) -> Answer:
    response = decode_loose(body)
    return Answer(text(response.model), usage_of(mapping(response.usage)))


def _disjoint(usage: _Usage) -> Usage | None:
    into = usage.input_tokens_details or _NO_DETAILS
    return inclusive(
        input_total=usage.input_tokens,
        cache_read=into.cached_tokens,
        cache_write=into.cache_write_tokens,
        output_total=usage.output_tokens,
        reasoning=(usage.output_tokens_details or _NO_DETAILS).reasoning_tokens,
        total=usage.total_tokens,
    )


def usage_from_tail(tail: bytes) -> Usage | None:
    """Usage from the last bytes of a response too long to hold. Best effort."""
    return usage_of(last_usage(tail))


class Tap:
    """Reads a Responses stream in passing (see `dialects.base.Tap`).

    Keeps two things: the frame of `response.created`, from which a failed response is rebuilt, and
    the last frames relayed, in which the sequence number is looked up if it is needed.
    """

    __slots__ = ("_created", "_last", "failed", "finished", "model", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.finished = False
        self.failed = False
        self._created = b""
        self._last = b""

    @property
    def sequence(self) -> int:
        """The last `sequence_number` relayed; -1 if there was none."""
        for frame in reversed(iter_frames(self._last)):
            try:
                number = count(
                    msgspec.json.decode(_decode_event(frame_data(frame)).sequence_number)
                )
            except UNREADABLE:
                continue
            if number is not None:
                return number
        return -1

    def feed(self, frames: bytes) -> bytes:
        """Read whole frames, return them."""
        if frames.rfind(b'"sequence_number"') >= 0:
            self._last = frames
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
        """`error`, then `response.failed` when `response.created` was seen; numbered on."""
        if self.finished:
            return b""
        number = self.sequence + 1
        error = {"type": "error", "sequence_number": number, "error": error_object(fault)}
        frames = encode_event("error", encode(error))
        response = self._failed_response(fault)
        if response is None:
            return frames
        failed = {"type": "response.failed", "sequence_number": number + 1, "response": response}
        return frames + encode_event("response.failed", encode(failed))

    def _failed_response(self, fault: PorticoError) -> dict[str, Any] | None:
        """The response as it was created, failed, with every required member."""
        if not self._created:
            return None
        try:
            created: dict[str, Any] = {**_decode_members(_decode_event(self._created).response)}
        except UNREADABLE:
            return None
        code = "rate_limit_exceeded" if fault.http_status == 429 else "server_error"
        return {
            **REQUIRED,
            **created,
            "status": "failed",
            "error": {"code": code, "message": fault.message},
        }

    def _read(self, frame: bytes) -> None:
        data = frame_data(frame)
        if data.strip() == b"[DONE]":
            self.finished = True
            return
        try:
            event = _decode_event(data)
        except UNREADABLE:
            return
        kind = text(event.type) or frame_event(frame).decode(errors="replace")
        if kind == "error":
            self.finished = self.failed = True
        elif kind in _TERMINAL:
            self.finished = True
            self.failed |= kind == "response.failed"
            self._note(event.response)
        elif kind == "response.created" and self._note(event.response) and not self._created:
            self._created = data

    def _note(self, raw: Raw) -> bool:
        """Take model and usage from a response object; False if it is none."""
        try:
            response = decode_loose(raw)
        except UNREADABLE:
            return False
        self.model = text(response.model) or self.model
        self.usage = larger(self.usage, usage_of(mapping(response.usage)))
        return True


def _is_marked(frames: bytes) -> bool:
    """Whether one of these frames may begin or end the response. The hot path."""
    return (
        _has_type(frames) is not None
        or frames.rfind(b"event: error") >= 0
        or frames.rfind(b"[DONE]") >= 0
    )
