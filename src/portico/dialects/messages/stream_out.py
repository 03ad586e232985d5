"""Writes a Messages stream.

`message_start`, a ping, then blocks one after the other with rising indexes, `message_delta` with
the reason and the counts, `message_stop`. A thinking block always gets a `signature_delta`: clients
drop one that has none. https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11-21)
"""

from typing import Any

from msgspec import Raw

from portico.dialects.messages import blocks_out
from portico.dialects.messages.blocks_out import BREAK, Block, CallIds
from portico.dialects.messages.errors import error_object
from portico.dialects.messages.maps import TIERS_TOLD
from portico.dialects.translate import Asked
from portico.errors import PorticoError
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
    UsageSeen,
)
from portico.model.sealed import Sealed
from portico.model.usage import Usage
from portico.wire.json import encode, one_line

_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
)
_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_EVENT = b"event: %b\ndata: %b\n\n"


class MessagesOut:
    """Writes one stream. See `dialects.translate.StreamOut`."""

    __slots__ = (
        "_asked", "_begun", "_called", "_custom", "_done", "_hosted", "_identify", "_index",
        "_kind", "_omits", "_out", "_refused", "_said", "_sealed", "_separate", "_spoken",
        "_started", "_thinks", "_usage",
    )  # fmt: skip

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._out: list[bytes] = []
        self._started: Started | None = None
        self._begun = False  # message_start is out
        self._done = False
        self._index = -1  # of the open block, or the last one
        self._kind = ""  # of the open block: text, thinking, tool
        self._thinks = False  # a reasoning item is open, with or without a block
        self._said: type | None = None  # which of the two kinds of thoughts it tells
        self._spoken = False
        self._separate = False
        self._sealed: Sealed | None = None
        self._omits = blocks_out.omits_thinking(asked)
        self._custom = False
        self._called = False
        self._hosted = 0
        self._refused: list[str] = []
        self._usage: Usage | None = None
        self._identify = CallIds(asked)

    def encode(self, events: list[Event]) -> bytes:
        """Whole frames for these events."""
        for event in events:
            if self._done:
                break
            kind = type(event)
            if kind is TextDelta:
                if self._kind != "text":
                    self._open_text()
                self._out.append(
                    _DELTA % (self._index, b"text_delta", b"text", encode(event.text))  # type: ignore[union-attr]
                )
            elif kind is ArgumentsDelta:
                self._arguments(event.text)  # type: ignore[union-attr]
            elif kind is SummaryDelta or kind is ThoughtDelta:
                self._thought(kind, event.text)  # type: ignore[union-attr]
            else:
                _WRITERS[kind](self, event)
        if self._started is not None and not self._begun:
            self._begin()
        out = b"".join(self._out)
        self._out.clear()
        return out

    def cut(self, fault: PorticoError) -> bytes:
        """One `error` event and no `message_stop`."""
        if self._done:
            return b""
        self._done = True
        return _EVENT % (b"error", encode({"type": "error", "error": error_object(fault)}))

    def _begin(self) -> None:
        self._begun = True
        started = self._started or Started()
        tier = TIERS_TOLD.get(started.service_tier) if started.service_tier else None
        message: Block = {
            "id": f"msg_{self._asked.base}",
            "type": "message",
            "role": "assistant",
            "model": started.model or self._asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": blocks_out.usage(self._usage, tier),
        }
        self._event("message_start", {"message": message})
        self._out.append(_PING)

    def _event(self, name: str, members: dict[str, Any]) -> None:
        self._out.append(_EVENT % (name.encode(), one_line(encode({"type": name, **members}))))

    def _open(self, kind: str, block: Block | Raw) -> None:
        self._close()
        if not self._begun:
            self._begin()
        self._index += 1
        self._kind = kind
        self._event("content_block_start", {"index": self._index, "content_block": block})

    def _open_text(self) -> None:
        self._open("text", {"type": "text", "text": ""})

    def _close(self) -> None:
        if self._kind:
            self._out.append(_STOP % self._index)
            self._kind = ""

    def _whole(self, block: Block | Raw) -> None:
        self._open("whole", block)
        self._close()

    def _arguments(self, text: str) -> None:
        if self._custom:
            # free text travels as the one member of an object
            text = encode(text)[1:-1].decode()
        self._out.append(_DELTA % (self._index, b"input_json_delta", b"partial_json", encode(text)))

    def _thought(self, kind: type, text: str) -> None:
        if self._said is None:
            self._said = kind
        if self._said is not kind:
            blocks_out.lose(self._asked, "dropped", "raw thoughts beside their summary")
            return
        if self._omits:
            return
        if self._kind != "thinking":
            self._open_thinking()
        if self._separate and self._spoken:
            text = BREAK + text
        self._separate = False
        self._spoken = True
        self._out.append(_DELTA % (self._index, b"thinking_delta", b"thinking", encode(text)))

    def _open_thinking(self) -> None:
        self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})

    def _start(self, event: Started) -> None:
        self._started = event

    def _message(self, event: MessageStart) -> None:
        """A block opens with the first text."""

    def _refusal(self, event: RefusalDelta) -> None:
        if self._kind != "text":
            self._open_text()
        self._refused.append(event.text)
        self._out.append(_DELTA % (self._index, b"text_delta", b"text", encode(event.text)))

    def _citation(self, event: CitationAdded) -> None:
        found = blocks_out.citation(self._asked, event.citation)
        if found is None:
            return
        if self._kind != "text":
            blocks_out.lose(self._asked, "dropped", "a citation that came after its text")
            return
        told = one_line(encode(found))
        self._out.append(_DELTA % (self._index, b"citations_delta", b"citation", told))

    def _part(self, event: PartEnd) -> None:
        if self._thinks:
            self._separate = True
        else:
            self._close()

    def _reasoning(self, event: ReasoningStart) -> None:
        self._close()
        self._thinks = True
        self._said = None
        self._spoken = self._separate = False
        self._sealed = None

    def _seal(self, event: SealedSeen) -> None:
        self._sealed = event.sealed

    def _call(self, event: CallStart) -> None:
        self._called = True
        block = {
            "type": "tool_use",
            "id": self._identify(event.call_id),
            "name": event.name,
            "input": {},
        }
        self._open("tool", block)
        self._custom = event.kind == "custom"
        if self._custom:
            self._out.append(
                _DELTA % (self._index, b"input_json_delta", b"partial_json", b'"{\\"input\\":\\""')
            )

    def _end(self, event: ItemEnd) -> None:
        if self._thinks:
            self._end_reasoning()
        elif self._custom:
            self._custom = False
            self._out.append(
                _DELTA % (self._index, b"input_json_delta", b"partial_json", b'"\\"}"')
            )
        self._close()

    def _end_reasoning(self) -> None:
        self._thinks = False
        sealed, self._sealed = self._sealed, None
        if sealed is None and self._kind != "thinking":
            return
        proof = self._asked.seal(sealed) if sealed is not None else ""
        if self._kind != "thinking":
            if sealed is not None and sealed.kind == "redacted":
                self._whole({"type": "redacted_thinking", "data": proof})
                return
            self._open_thinking()
        self._out.append(_DELTA % (self._index, b"signature_delta", b"signature", encode(proof)))

    def _hosted_item(self, event: HostedDone) -> None:
        for block in blocks_out.hosted(self._asked, event.item, self._hosted):
            if isinstance(block, dict) and "input" in block:
                given = encode(block["input"]).decode()
                self._open("server", {**block, "input": {}})
                self._out.append(
                    _DELTA % (self._index, b"input_json_delta", b"partial_json", encode(given))
                )
                self._close()
            else:
                self._whole(block)
        self._hosted += 1

    def _count(self, event: UsageSeen) -> None:
        self._usage = event.usage

    def _finish(self, event: Finish) -> None:
        self._close()
        if not self._begun:
            self._begin()
        refused = "".join(self._refused)
        delta = blocks_out.stop(self._asked, event, self._called, refused)
        counts = blocks_out.usage(self._usage, None)
        self._event("message_delta", {"delta": delta, "usage": counts})
        self._out.append(_END)
        self._done = True

    def _failed(self, event: Failed) -> None:
        self._out.append(self.cut(event.fault))


_WRITERS: dict[type, Any] = {
    Started: MessagesOut._start,
    MessageStart: MessagesOut._message,
    RefusalDelta: MessagesOut._refusal,
    CitationAdded: MessagesOut._citation,
    PartEnd: MessagesOut._part,
    ReasoningStart: MessagesOut._reasoning,
    SealedSeen: MessagesOut._seal,
    CallStart: MessagesOut._call,
    ItemEnd: MessagesOut._end,
    HostedDone: MessagesOut._hosted_item,
    UsageSeen: MessagesOut._count,
    Finish: MessagesOut._finish,
    Failed: MessagesOut._failed,
}
