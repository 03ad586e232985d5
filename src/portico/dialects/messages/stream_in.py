"""Reads a Messages stream.

Blocks are told apart by their index. Besides what the documentation says, servers were seen to
repeat `message_start`, to send tool input whole in `content_block_start` and no delta at all, and
to begin with an `error` event; unknown events, blocks and deltas are skipped.
https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11-21)
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL, UNREADABLE, text
from portico.dialects.messages.assemble import (
    Assembler,
    Block,
    compaction,
    count,
    decode_block,
)
from portico.dialects.messages.lens import Counts
from portico.dialects.messages.upstream_errors import read_error_event
from portico.dialects.translate import Upstream
from portico.model.events import Event, Failed
from portico.model.usage import Usage
from portico.wire.json import encode
from portico.wire.sse import SHORTEST_DATA, frame_data, iter_frames


class _Delta(Struct, gc=False):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    content: str | None = None
    citation: Raw = NULL
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Raw = NULL


class _Start(Struct, gc=False):
    id: Raw = NULL
    model: Raw = NULL
    usage: Raw = NULL


class _Event(Struct, gc=False):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: Raw = NULL
    message: _Start | None = None
    usage: Raw = NULL


_decode_event = msgspec.json.Decoder(_Event).decode


class _Type(Struct, gc=False):
    type: Raw = NULL


_decode_type = msgspec.json.Decoder(_Type).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


class _Open:
    """A block that has begun. `pieces` are deltas that are needed whole at its end."""

    __slots__ = ("block", "citations", "given", "key", "kind", "pieces", "raw", "signature")

    def __init__(self, block: Block, raw: bytes) -> None:
        self.block = block
        self.raw = raw
        self.kind = block.type
        self.key = -1
        self.given = False
        self.signature = block.signature or ""
        self.pieces: list[str] = []
        self.citations: list[Raw] = block.citations or []


class MessagesStream:
    """Reads one stream. See `dialects.translate.StreamIn`."""

    __slots__ = ("_blocks", "_counts", "_details", "_done", "_made", "_reason", "_sequence",
                 "_tier")  # fmt: skip

    def __init__(self, upstream: Upstream) -> None:
        self._made = Assembler(upstream.origin)
        self._blocks: dict[int, _Open] = {}
        self._counts = Counts()
        self._tier: str | None = None
        self._reason = ""
        self._sequence: str | None = None
        self._details: Raw = NULL
        self._done = False

    @property
    def held_usage(self) -> Usage | None:
        """None: counts are told as they come."""
        return None

    def feed(self, frames: bytes) -> list[Event]:
        """The events of these whole frames."""
        for frame in iter_frames(frames):
            if len(frame) >= SHORTEST_DATA and not self._done:
                data = frame_data(frame)
                if data:
                    self._frame(data)
        return self._take()

    def end(self) -> list[Event]:
        """The connection ended well. A stop reason that came is an end even if `message_stop` did
        not come: nothing of the answer follows it."""
        if self._reason and not self._done:
            self._finish()
        return self._take()

    def _take(self) -> list[Event]:
        out, self._made.out = self._made.out, []
        return out

    def _frame(self, data: bytes) -> None:
        try:
            event = _decode_event(data)
        except UNREADABLE:
            self._odd(data)
            return
        kind = event.type
        if kind == "content_block_delta":
            if event.delta is not None:
                self._delta(event.index, event.delta)
        elif kind == "content_block_start":
            if event.content_block != NULL:
                self._block(event.index, event.content_block)
        elif kind == "content_block_stop":
            self._stop(event.index)
        elif kind == "message_delta":
            self._message_delta(event)
        elif kind == "message_start":
            self._start(event.message)
        elif kind == "message_stop":
            self._finish()
        elif kind == "error":
            self._fail(data)

    def _odd(self, data: bytes) -> None:
        """What does not decode: an error is one all the same."""
        try:
            kind = text(_decode_type(data).type)
        except UNREADABLE:
            return
        if kind == "error":
            self._fail(data)

    def _fail(self, data: bytes) -> None:
        self._done = True
        self._made.out.append(Failed(read_error_event(data)))

    def _start(self, message: _Start | None) -> None:
        if message is None:
            return
        tier = count(self._counts, message.usage)
        self._tier = tier or self._tier
        self._made.start(text(message.id), text(message.model), tier)
        self._made.usage(self._counts.usage())

    def _message_delta(self, event: _Event) -> None:
        self._tier = count(self._counts, event.usage) or self._tier
        delta = event.delta
        if delta is not None and delta.stop_reason:
            self._reason = delta.stop_reason
            self._sequence = delta.stop_sequence
            self._details = delta.stop_details
        if event.usage != NULL:
            self._made.usage(self._counts.usage())

    def _finish(self) -> None:
        if not self._reason:
            return  # an end without a reason is a cut
        for index in list(self._blocks):
            self._stop(index)
        self._done = True
        self._made.finish(self._reason, self._sequence, self._details, self._tier)

    def _block(self, index: int, raw: Raw) -> None:
        if index in self._blocks:
            return
        try:
            block = decode_block(raw)
        except UNREADABLE:
            return
        self._made.start("", "", None)
        opened = _Open(block, bytes(raw))
        self._blocks[index] = opened
        kind = block.type
        if kind == "text":
            self._made.text(block.text or "")
        elif kind == "thinking":
            opened.key = self._made.think()
            self._made.thought(opened.key, block.thinking or "")
        elif kind == "tool_use":
            opened.key = self._made.call(block.id or "", block.name or "")

    def _delta(self, index: int, delta: _Delta) -> None:
        opened = self._blocks.get(index)
        if opened is None:
            return
        kind = opened.kind
        if kind == "text":
            if delta.text is not None:
                self._made.text(delta.text)
            elif delta.citation != NULL:
                opened.citations.append(Raw(bytes(delta.citation)))
        elif kind == "tool_use":
            if delta.partial_json:
                opened.given = True
                self._made.arguments(opened.key, delta.partial_json)
        elif kind == "thinking":
            if delta.thinking is not None:
                self._made.thought(opened.key, delta.thinking)
            elif delta.signature is not None:
                opened.signature = delta.signature
        elif delta.partial_json:
            opened.pieces.append(delta.partial_json)
        elif delta.content:
            opened.pieces.append(delta.content)

    def _stop(self, index: int) -> None:
        opened = self._blocks.pop(index, None)
        if opened is None:
            return
        kind = opened.kind
        made = self._made
        if kind == "text":
            made.end_text(opened.citations)
        elif kind == "tool_use":
            if not opened.given:
                whole = bytes(opened.block.input).decode(errors="replace")
                made.arguments(opened.key, whole if whole.startswith("{") else "{}")
            made.end_call(opened.key)
        elif kind == "thinking":
            made.end_thinking(opened.key, opened.signature)
        elif kind == "redacted_thinking":
            made.redacted(opened.block.data or "")
        elif kind in ("server_tool_use", "mcp_tool_use"):
            _with_input(opened)
            made.server_call(opened.block, opened.raw)
        elif kind.endswith("_tool_result"):
            made.server_result(opened.block, opened.raw)
        elif kind == "compaction":
            _with_content(opened)
            made.hosted(compaction(opened.block, opened.raw))
        elif kind:
            made.other(kind, opened.raw)


def _with_input(opened: _Open) -> None:
    """Put what the deltas spelled where the block has its input."""
    given = "".join(opened.pieces).encode()
    if not given:
        return
    try:
        _decode_members(given)
    except UNREADABLE:
        return
    _replace(opened, "input", given)
    opened.block.input = Raw(given)


def _with_content(opened: _Open) -> None:
    if opened.pieces:
        given = encode("".join(opened.pieces))
        _replace(opened, "content", given)
        opened.block.content = Raw(given)


def _replace(opened: _Open, name: str, value: bytes) -> None:
    try:
        members = _decode_members(opened.raw)
    except UNREADABLE:  # a name in it is not UTF-8, which nobody has looked at so far
        return
    members[name] = Raw(value)
    opened.raw = encode(members)
