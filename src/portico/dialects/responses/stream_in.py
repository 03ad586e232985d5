"""A stream of Responses events as hub events.

State is kept by `output_index`: some servers give an item a new id with every event, or let items
overlap. The reader takes what it is given in any of the forms of `item_in`, and knows both names of
the events of raw reasoning text. Source: openai-python 3.54, `ResponseStreamEvent`; Open Responses
2026-04-24.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL, UNREADABLE, text
from portico.dialects.responses.item_in import ItemIn, logprobs_of
from portico.dialects.responses.response_in import (
    FINAL,
    ResponseIn,
    decode_response,
    ending,
    started,
)
from portico.dialects.responses.upstream_errors import fault_of
from portico.dialects.translate import Upstream
from portico.model.events import Event, Failed, Started
from portico.model.usage import Usage
from portico.wire.sse import SHORTEST_DATA, frame_data, frame_event, iter_frames


class _Event(Struct, gc=False):
    """Members of all events that are read. Those whose type differs between events are raw."""

    type: str = ""
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: Raw = NULL
    input: Raw = NULL
    logprobs: Raw = NULL
    annotation: Raw = NULL
    part: Raw = NULL
    item: Raw = NULL
    response: Raw = NULL


class _Loose(Struct, gc=False):
    """What still matters of an event with a member of a wrong type."""

    type: Raw = NULL
    output_index: Raw = NULL
    item: Raw = NULL
    response: Raw = NULL


class _ItemType(Struct, gc=False):
    type: Raw = NULL


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_loose = msgspec.json.Decoder(_Loose).decode
_decode_type = msgspec.json.Decoder(_ItemType).decode
_decode_index = msgspec.json.Decoder(int).decode
_NO_RESPONSE = ResponseIn()
_TEXT_DELTA = "response.output_text.delta"


class Reader:
    """See `dialects.translate.StreamIn`."""

    __slots__ = ("_called", "_ids", "_items", "_last", "_origin", "_over", "_started",
                 "_top")  # fmt: skip

    def __init__(self, upstream: Upstream) -> None:
        self._origin = upstream.origin
        self._items: dict[int, ItemIn] = {}
        self._ids: dict[str, int] = {}
        self._last = -1
        self._top = -1
        self._called = False
        self._started = False
        self._over = False

    @property
    def held_usage(self) -> Usage | None:
        """None: counts come with the end."""
        return None

    def feed(self, frames: bytes) -> list[Event]:
        """The events of these whole frames."""
        out: list[Event] = []
        for frame in iter_frames(frames):
            if len(frame) < SHORTEST_DATA or self._over:
                continue
            data = frame_data(frame)
            if not data:
                continue
            try:
                event = _decode_event(data)
            except UNREADABLE:
                found = _loosely(data)
                if found is None:
                    continue
                event = found
            kind = event.type or frame_event(frame).decode(errors="replace")
            if kind == _TEXT_DELTA:  # nearly all of them
                item = self._item(event, out)
                item.say(event.content_index or 0, event.delta or "",
                         logprobs_of(event.logprobs), out)  # fmt: skip
                continue
            handle = _HANDLERS.get(kind)
            if handle is not None:
                handle(self, event, out)
            elif kind in _TERMINAL:
                self._end(event, _TERMINAL[kind], out)
            elif kind == "error" or (not kind and b'"error"' in data):
                self._fail(data, out)
        return out

    def end(self) -> list[Event]:
        """Nothing is ever held back."""
        return []

    def _item(self, event: _Event, out: list[Event], kind: str = "") -> ItemIn:
        """The item an event is about, a new one if there is none yet."""
        index = event.output_index
        if index is None:
            index = self._ids.get(event.item_id or "", self._last)
            if index < 0 or kind:
                index = self._top + 1
        item = self._items.get(index)
        if item is None:
            if not self._started:
                self._begin(Started(), out)
            item = self._items[index] = ItemIn(len(self._items), kind, self._origin)
            self._top = max(self._top, index)
        if index != self._last:
            self._last = index
            if event.item_id and event.item_id not in self._ids:
                self._ids[event.item_id] = index
        return item

    def _begin(self, first: Started, out: list[Event]) -> None:
        if not self._started:
            self._started = True
            out.append(first)

    def _created(self, event: _Event, out: list[Event]) -> None:
        if not self._started:
            self._begin(started(_response(event.response)), out)

    def _added(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out, _type(event.item)).added(event.item, out)

    def _done(self, event: _Event, out: list[Event]) -> None:
        item = self._item(event, out)
        item.done(event.item, out)
        self._called |= item.called

    def _part_done(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).part_done(event.content_index or 0, event.part, out)

    def _summary_part_done(self, event: _Event, out: list[Event]) -> None:
        item = self._item(event, out)
        item.part_done(event.summary_index or 0, event.part, out, summary=True)

    def _text_done(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).text_done(
            event.content_index or 0, event.text or "", logprobs_of(event.logprobs), out
        )

    def _annotation(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).cite(event.content_index or 0, event.annotation, out)

    def _refusal(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).refuse(event.content_index or 0, event.delta or "", out)

    def _refusal_done(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).refusal_done(event.content_index or 0, event.refusal or "", out)

    def _summary(self, event: _Event, out: list[Event]) -> None:
        item = self._item(event, out)
        item.think(event.summary_index or 0, event.delta or "", out, summary=True)

    def _summary_done(self, event: _Event, out: list[Event]) -> None:
        item = self._item(event, out)
        item.texts_done(event.summary_index or 0, event.text or "", out, summary=True)

    def _thought(self, event: _Event, out: list[Event]) -> None:
        item = self._item(event, out)
        item.think(event.content_index or 0, event.delta or "", out, summary=False)

    def _thought_done(self, event: _Event, out: list[Event]) -> None:
        item = self._item(event, out)
        item.texts_done(event.content_index or 0, event.text or "", out, summary=False)

    def _arguments(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).argue(event.delta or "", out)

    def _arguments_done(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).arguments_done(event.arguments, out)

    def _input_done(self, event: _Event, out: list[Event]) -> None:
        self._item(event, out).arguments_done(event.input, out)

    def _end(self, event: _Event, meant: str, out: list[Event]) -> None:
        """The terminal event: what was never told of the items, usage, the end."""
        response = _response(event.response)
        self._begin(started(response), out)
        self._rest(response, out)
        said = text(response.status)
        # a response in an event called completed may say that it is not
        status = said if meant == "completed" and said in FINAL else meant
        out.extend(ending(response, status, called=self._called))
        self._over = True

    def _rest(self, response: ResponseIn, out: list[Event]) -> None:
        """Items of the final response that were not told, or not to their end.

        Only when its output is what was streamed and perhaps more behind it: otherwise it numbers
        its items in another way, and something would be told twice.
        """
        raws = response.items()
        indexes = sorted(self._items)
        kinds = [self._items[index].kind for index in indexes]
        same = indexes == list(range(len(indexes))) and len(indexes) <= len(raws)
        if not same or any(
            kind not in ("", _type(raw)) for kind, raw in zip(kinds, raws, strict=False)
        ):
            raws = []
        for index, raw in enumerate(raws):
            item = self._items.get(index)
            if item is None:
                item = self._items[index] = ItemIn(len(self._items), "", self._origin)
            item.done(raw, out)
        self._called |= any(item.called for item in self._items.values())

    def _fail(self, data: bytes, out: list[Event]) -> None:
        self._begin(Started(), out)
        out.append(Failed(fault_of(data)))
        self._over = True


def _response(raw: Raw) -> ResponseIn:
    try:
        return decode_response(raw)
    except UNREADABLE:
        return _NO_RESPONSE


def _type(raw: Raw) -> str:
    try:
        return text(_decode_type(raw).type)
    except UNREADABLE:
        return ""


def _loosely(data: bytes) -> _Event | None:
    try:
        loose = _decode_loose(data)
    except UNREADABLE:
        return None
    try:
        index: int | None = _decode_index(loose.output_index)
    except UNREADABLE:
        index = None
    return _Event(text(loose.type), index, item=loose.item, response=loose.response)


_Handle = Callable[[Reader, _Event, list[Event]], None]
_HANDLERS: dict[str, _Handle] = {
    "response.created": Reader._created,
    "response.queued": Reader._created,
    "response.in_progress": Reader._created,
    "response.output_item.added": Reader._added,
    "response.output_item.done": Reader._done,
    "response.content_part.done": Reader._part_done,
    "response.output_text.done": Reader._text_done,
    "response.output_text.annotation.added": Reader._annotation,
    "response.refusal.delta": Reader._refusal,
    "response.refusal.done": Reader._refusal_done,
    "response.function_call_arguments.delta": Reader._arguments,
    "response.function_call_arguments.done": Reader._arguments_done,
    "response.custom_tool_call_input.delta": Reader._arguments,
    "response.custom_tool_call_input.done": Reader._input_done,
    "response.reasoning_summary_text.delta": Reader._summary,
    "response.reasoning_summary_text.done": Reader._summary_done,
    "response.reasoning_summary_part.done": Reader._summary_part_done,
    # Open Responses has the shorter names
    "response.reasoning_text.delta": Reader._thought,
    "response.reasoning_text.done": Reader._thought_done,
    "response.reasoning.delta": Reader._thought,
    "response.reasoning.done": Reader._thought_done,
}
_TERMINAL = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
