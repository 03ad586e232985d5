"""A whole answer, and the fold that makes one of events."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Raw, Struct

from portico.errors import UpstreamTruncated
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    CompactionDone,
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
from portico.model.items import Message, OutputItem, Reasoning, Status, ToolCall
from portico.model.parts import Citation, Part, Refusal, Text
from portico.model.sealed import Sealed
from portico.model.usage import Usage


class GenerateResponse(Struct, frozen=True, kw_only=True):
    """What an upstream answered. `usage` is None when it did not say."""

    id: str
    model: str
    items: tuple[OutputItem, ...]
    finish: Finish
    usage: Usage | None = None
    service_tier: str | None = None


class Folder:
    """Folds a sequential stream of events. Not reusable."""

    __slots__ = ("_call", "_items", "_parts", "_pieces", "_sealed", "_started", "_texts", "finish",
                 "usage")  # fmt: skip

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self._started = Started()
        self._items: list[OutputItem] = []
        self._pieces: list[str] = []
        self._parts: list[_Open] = []
        self._texts: list[tuple[bool, list[str]]] = []
        self._sealed: Sealed | None = None
        self._call: MessageStart | ReasoningStart | CallStart | None = None

    def feed(self, events: Iterable[Event]) -> None:
        """Take more events. Raises the fault of a `Failed`."""
        for event in events:
            kind = type(event)
            if kind is TextDelta or kind is RefusalDelta:
                self._text(event)  # type: ignore[arg-type]
            elif kind is ArgumentsDelta:
                self._pieces.append(event.text)  # type: ignore[union-attr]
            elif kind is SummaryDelta or kind is ThoughtDelta:
                self._thought(kind is SummaryDelta, event.text)  # type: ignore[union-attr]
            else:
                _OTHERS[kind](self, event)

    def result(self) -> GenerateResponse:
        """The answer. Raises `UpstreamTruncated` if it never finished."""
        if self.finish is None:
            raise UpstreamTruncated("The provider's answer ended before it was whole.")
        return GenerateResponse(
            id=self._started.id,
            model=self._started.model,
            items=tuple(self._items),
            finish=self.finish,
            usage=self.usage,
            service_tier=self.finish.service_tier or self._started.service_tier,
        )

    def _text(self, event: TextDelta | RefusalDelta) -> None:
        refusal = type(event) is RefusalDelta
        part = self._parts[-1] if self._parts else None
        if part is None or part.ended or part.refusal is not refusal:
            part = _Open(refusal)
            self._parts.append(part)
        part.pieces.append(event.text)
        if type(event) is TextDelta and event.logprobs is not None:
            part.logprobs.append(event.logprobs)

    def _thought(self, summary: bool, text: str) -> None:
        if not self._texts or self._texts[-1][0] is not summary:
            self._texts.append((summary, []))
        self._texts[-1][1].append(text)

    def _begin(self, event: Started) -> None:
        self._started = event

    def _start(self, event: MessageStart | ReasoningStart | CallStart) -> None:
        self._call = event
        self._pieces, self._parts, self._texts = [], [], []
        self._sealed = None

    def _part_end(self, event: PartEnd) -> None:
        if type(self._call) is ReasoningStart:
            self._texts.append((False, []))
            self._texts.append((True, []))
        elif self._parts:
            self._parts[-1].ended = True

    def _cite(self, event: CitationAdded) -> None:
        if not self._parts:
            self._parts.append(_Open(False))
        self._parts[-1].citations.append(event.citation)

    def _seal(self, event: SealedSeen) -> None:
        self._sealed = event.sealed

    def _whole(self, event: HostedDone | CompactionDone) -> None:
        self._items.append(event.item)

    def _end(self, event: ItemEnd) -> None:
        self._close(event.status)

    def _used(self, event: UsageSeen) -> None:
        self.usage = event.usage

    def _finish(self, event: Finish) -> None:
        self.finish = event

    def _fail(self, event: Failed) -> None:
        raise event.fault

    def _close(self, status: Status) -> None:
        call, self._call = self._call, None
        if type(call) is MessageStart:
            parts: tuple[Part, ...] = tuple([part.close() for part in self._parts])
            self._items.append(Message("assistant", parts, status=status, phase=call.phase))
        elif type(call) is CallStart:
            text = "".join(self._pieces)
            self._items.append(
                ToolCall(call.call_id, call.name, text, call.kind, call.namespace, status=status)
            )
        elif call is not None:
            texts = [(summary, "".join(pieces)) for summary, pieces in self._texts if pieces]
            self._items.append(
                Reasoning(
                    tuple([text for summary, text in texts if summary]),
                    tuple([text for summary, text in texts if not summary]),
                    self._sealed,
                    status=status,
                )
            )


_OTHERS: dict[type[Any], Callable[[Folder, Any], None]] = {
    Started: Folder._begin,
    MessageStart: Folder._start,
    ReasoningStart: Folder._start,
    CallStart: Folder._start,
    PartEnd: Folder._part_end,
    CitationAdded: Folder._cite,
    SealedSeen: Folder._seal,
    HostedDone: Folder._whole,
    CompactionDone: Folder._whole,
    ItemEnd: Folder._end,
    UsageSeen: Folder._used,
    Finish: Folder._finish,
    Failed: Folder._fail,
}


class _Open:
    """A content part that grows."""

    __slots__ = ("citations", "ended", "logprobs", "pieces", "refusal")

    def __init__(self, refusal: bool) -> None:
        self.refusal = refusal
        self.ended = False
        self.pieces: list[str] = []
        self.logprobs: list[Raw] = []
        self.citations: list[Citation] = []

    def close(self) -> Text | Refusal:
        text = "".join(self.pieces)
        if self.refusal:
            return Refusal(text)
        return Text(text, tuple(self.citations), join_arrays(self.logprobs))


def join_arrays(arrays: list[Raw]) -> Raw | None:
    """JSON arrays one after the other as one array; None for none."""
    if not arrays:
        return None
    if len(arrays) == 1:
        return arrays[0]
    inner = [bytes(array).strip()[1:-1].strip() for array in arrays]
    return Raw(b"[" + b",".join([piece for piece in inner if piece]) + b"]")


def fold(events: Iterable[Event]) -> GenerateResponse:
    """The answer that a whole stream of events amounts to."""
    folder = Folder()
    folder.feed(events)
    return folder.result()
