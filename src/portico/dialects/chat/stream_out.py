"""A streamed answer as `chat.completion.chunk` frames."""

from collections.abc import Callable
from typing import Any

from portico.dialects.chat.details import AT_END, SEPARATOR, Block, Blocks, before_call, before_text
from portico.dialects.chat.request_in import is_legacy
from portico.dialects.chat.told import Said, annotation, finish_reason, picture, usage_object
from portico.dialects.openai_error import error_object
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
from portico.model.usage import Usage
from portico.wire.json import encode, one_line
from portico.wire.sse import encode_event

_DONE = b"data: [DONE]\n\n"


class ChatStreamOut:
    """Writes one stream (see `dialects.translate.StreamOut`).

    Text and arguments go out as they come; the sealed state of a block of reasoning when it is
    known what follows the block; annotations, which an SDK takes only once, before the end.
    """

    __slots__ = (
        "_annotations", "_arguments", "_asked", "_block", "_blocks", "_calls", "_done", "_gap",
        "_gap_thought", "_head", "_images", "_last_thought", "_legacy", "_length", "_open",
        "_part_start", "_pieces", "_plain", "_refused", "_said", "_tail", "_usage",
    )  # fmt: skip

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._said = Said(asked.losses)
        self._legacy = is_legacy(asked.fields)
        self._blocks = Blocks(asked.seal)
        self._block: Block | None = None
        self._head = b""
        self._open = b""
        self._plain = b""
        self._tail = b""
        self._calls = 0
        self._arguments: bytes | None = None
        self._annotations: list[dict[str, Any]] = []
        self._images = 0
        self._length = 0
        self._part_start = 0
        self._gap = False
        self._refused = False
        self._pieces: tuple[list[str], list[str]] = ([], [])
        self._last_thought: int | None = None  # 0 a summary, 1 raw thoughts
        self._gap_thought = False
        self._usage: Usage | None = None
        self._done = False

    def encode(self, events: list[Event]) -> bytes:
        """The frames for these events."""
        out: list[bytes] = []
        for event in events:
            if self._done:
                break
            if type(event) is not Started and not self._head:
                self._started(Started(), out)
            _WRITERS[type(event)](self, event, out)
        return b"".join(out)

    def cut(self, fault: PorticoError) -> bytes:
        """An error frame and no `[DONE]`; `b""` after the end."""
        if self._done:
            return b""
        self._done = True
        return encode_event(None, encode({"error": error_object(fault)}))

    def _started(self, event: Started, out: list[bytes]) -> None:
        if self._head:
            return
        tier = b"" if event.service_tier is None else encode(event.service_tier)
        self._head = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,%b'
            b'"system_fingerprint":null,"choices":'
            % (
                encode(f"chatcmpl-{self._asked.base}"),
                self._asked.created,
                encode(event.model or self._asked.model),
                b'"service_tier":%b,' % tier if tier else b"",
            )
        )
        usage = b',"usage":null' if self._asked.request.include_usage else b""
        self._tail = usage + b"}\n\n"
        self._open = self._head + b'[{"index":0,"delta":'
        self._plain = b',"logprobs":null,"finish_reason":null}]' + self._tail
        self._delta(b'{"role":"assistant","content":null}', out)

    def _delta(self, delta: bytes, out: list[bytes]) -> None:
        out.append(self._open + delta + self._plain)

    # text

    def _message(self, event: MessageStart, out: list[bytes]) -> None:
        self._gap = self._length > 0
        self._part_start = self._length + len(SEPARATOR) if self._gap else 0
        self._elements(before_text(self._part_start), out)

    def _text(self, event: TextDelta, out: list[bytes]) -> None:
        text = event.text
        if self._gap:
            self._gap = False
            text = SEPARATOR + text
        if self._calls:
            self._said.text_after_call()
        self._length += len(text)
        if event.logprobs is None:
            self._delta(b'{"content":%b}' % encode(text), out)
            return
        out.append(
            b'%b[{"index":0,"delta":{"content":%b},"logprobs":{"content":%b,"refusal":null},'
            b'"finish_reason":null}]%b'
            % (self._head, encode(text), one_line(event.logprobs), self._tail)
        )

    def _refusal(self, event: RefusalDelta, out: list[bytes]) -> None:
        self._refused = True
        self._delta(b'{"refusal":%b}' % encode(event.text), out)

    def _cited(self, event: CitationAdded, out: list[bytes]) -> None:
        told = annotation(event.citation, self._part_start, self._length)
        if told is not None:
            self._annotations.append(told)
        else:
            self._said.citation()

    def _part_end(self, event: PartEnd, out: list[bytes]) -> None:
        if self._block is not None:
            self._gap_thought = self._last_thought is not None
        else:
            self._part_start = self._length

    # reasoning

    def _reasoning(self, event: ReasoningStart, out: list[bytes]) -> None:
        self._block = Block()
        self._pieces = ([], [])
        self._gap_thought = self._last_thought is not None

    def _summary(self, event: SummaryDelta, out: list[bytes]) -> None:
        self._reason(event.text, 0, out)

    def _thinking(self, event: ThoughtDelta, out: list[bytes]) -> None:
        self._reason(event.text, 1, out)

    def _reason(self, text: str, kind: int, out: list[bytes]) -> None:
        pieces = self._pieces[kind]
        if self._gap_thought or self._last_thought == 1 - kind:
            self._gap_thought = False
            if pieces:
                pieces.append(SEPARATOR)
            pieces.append(text)
            text = SEPARATOR + text
        else:
            pieces.append(text)
        self._last_thought = kind
        self._delta(b'{"reasoning_content":%b}' % encode(text), out)

    def _sealed(self, event: SealedSeen, out: list[bytes]) -> None:
        if self._block is not None:
            self._block.sealed = event.sealed

    def _elements(self, place: str, out: list[bytes]) -> None:
        for element in self._blocks.place(place):
            self._delta(b'{"reasoning_details":[%b]}' % element, out)

    # calls

    def _call(self, event: CallStart, out: list[bytes]) -> None:
        self._elements(before_call(event.call_id), out)
        index = self._calls
        self._calls += 1
        if self._legacy:
            if index:
                self._said.more_calls()
                self._arguments = None
                return
            self._arguments = b'{"function_call":{"arguments":%b}}'
            self._delta(b'{"function_call":{"name":%b,"arguments":""}}' % encode(event.name), out)
            return
        kind, text = (
            (b"custom", b"input") if event.kind == "custom" else (b"function", b"arguments")
        )
        self._arguments = b'{"tool_calls":[{"index":%d,"%b":{"%b":%%b}}]}' % (index, kind, text)
        self._delta(
            b'{"tool_calls":[{"index":%d,"id":%b,"type":"%b","%b":{"name":%b,"%b":""}}]}'
            % (index, encode(event.call_id), kind, kind, encode(event.name), text),
            out,
        )

    def _argued(self, event: ArgumentsDelta, out: list[bytes]) -> None:
        if self._arguments is not None:
            self._delta(self._arguments % encode(event.text), out)

    # the rest

    def _hosted(self, event: HostedDone, out: list[bytes]) -> None:
        shown = picture(event.item, self._images)
        if shown is None:
            self._said.item(event.item)
            return
        self._images += 1
        self._delta(b'{"images":[%b]}' % encode(shown), out)

    def _item_end(self, event: ItemEnd, out: list[bytes]) -> None:
        if self._block is not None:
            summary, content = self._pieces
            self._block.summary, self._block.content = "".join(summary), "".join(content)
            self._blocks.hold(self._block)
            self._block = None

    def _used(self, event: UsageSeen, out: list[bytes]) -> None:
        self._usage = event.usage

    def _finish(self, event: Finish, out: list[bytes]) -> None:
        self._elements(AT_END, out)
        if self._annotations:
            self._delta(b'{"annotations":%b}' % encode(self._annotations), out)
        reason, words = finish_reason(
            event,
            calls=self._calls > 0,
            refused=self._refused,
            legacy=self._legacy,
            losses=self._asked.losses,
        )
        if words:
            self._delta(b'{"refusal":%b}' % encode(words), out)
        out.append(
            b'%b[{"index":0,"delta":{},"logprobs":null,"finish_reason":"%b"}]%b'
            % (self._head, reason.encode("ascii"), self._tail)
        )
        if self._asked.request.include_usage and self._usage is not None:
            usage = encode(usage_object(self._usage))
            out.append(b'%b[],"usage":%b}\n\n' % (self._head, usage))
        out.append(_DONE)
        self._done = True

    def _failed(self, event: Failed, out: list[bytes]) -> None:
        out.append(self.cut(event.fault))


_WRITERS: dict[type, Callable[[ChatStreamOut, Any, list[bytes]], None]] = {
    Started: ChatStreamOut._started,
    MessageStart: ChatStreamOut._message,
    TextDelta: ChatStreamOut._text,
    RefusalDelta: ChatStreamOut._refusal,
    CitationAdded: ChatStreamOut._cited,
    PartEnd: ChatStreamOut._part_end,
    ReasoningStart: ChatStreamOut._reasoning,
    SummaryDelta: ChatStreamOut._summary,
    ThoughtDelta: ChatStreamOut._thinking,
    SealedSeen: ChatStreamOut._sealed,
    CallStart: ChatStreamOut._call,
    ArgumentsDelta: ChatStreamOut._argued,
    HostedDone: ChatStreamOut._hosted,
    ItemEnd: ChatStreamOut._item_end,
    UsageSeen: ChatStreamOut._used,
    Finish: ChatStreamOut._finish,
    Failed: ChatStreamOut._failed,
}
