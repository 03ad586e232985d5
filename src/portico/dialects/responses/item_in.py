"""One item of a Responses answer, read as it grows or all at once.

A stream tells an item up to three times: in deltas, in `*.done` events, and whole at its end. What
was told first counts, and the later ones fill in what was not told before: some servers stream no
deltas, or send nothing but the finished response. A whole answer is the case in which only the last
was told.
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL, UNREADABLE, is_text, text
from portico.dialects.responses.hosted_in import hosted_of
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
)
from portico.model.items import Status
from portico.model.parts import Citation
from portico.model.sealed import Sealed

MESSAGE, REASONING, CALL, CUSTOM = "message", "reasoning", "function_call", "custom_tool_call"
_GROWING = frozenset((MESSAGE, REASONING, CALL, CUSTOM))


class _Item(Struct, gc=False):
    """Every member that is looked at, of whatever type it is."""

    type: Raw = NULL
    id: Raw = NULL
    status: Raw = NULL
    phase: Raw = NULL
    content: Raw = NULL
    summary: Raw = NULL
    encrypted_content: Raw = NULL
    call_id: Raw = NULL
    name: Raw = NULL
    namespace: Raw = NULL
    arguments: Raw = NULL
    input: Raw = NULL


class _Part(Struct, gc=False):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: Raw = NULL
    logprobs: Raw = NULL


class _Annotation(Struct, gc=False):
    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    file_id: str | None = None
    container_id: str | None = None
    filename: str | None = None
    index: int | None = None


_decode_item = msgspec.json.Decoder(_Item).decode
_decode_part = msgspec.json.Decoder(_Part).decode
_decode_annotation = msgspec.json.Decoder(_Annotation).decode
_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_CITED = {
    "url_citation": "url", "file_citation": "file", "container_file_citation": "container_file",
    "file_path": "file_path",
}  # fmt: skip
_NO_ITEM = _Item()
_NO_PART = _Part()
_BRACE = ord("{")
_EMPTY_ARRAY = 2


class ItemIn:
    """The state of one item. Every method appends events to `out`.

    `kind` is the item's type, "" until known. Parts are known by a number: twice the content
    index, or twice the summary index and one.
    """

    __slots__ = ("_call", "_chars", "_held", "_notes", "_open", "_origin", "_phase", "_seen",
                 "_started", "ended", "key", "kind")  # fmt: skip

    def __init__(self, key: int, kind: str, origin: str) -> None:
        self.key = key
        self.kind = kind
        self.ended = False
        self._origin = origin
        self._started = False
        self._phase: str | None = None
        self._call: tuple[str, str, str | None] = ("", "", None)
        self._open = -1
        self._seen: set[int] = set()
        self._notes: dict[int, int] = {}
        self._chars = 0
        self._held: list[str] = []

    @property
    def called(self) -> bool:
        """It is a call of a client's tool, and the client has heard of it."""
        return self._started and self.kind in (CALL, CUSTOM)

    def added(self, raw: Raw, out: list[Event]) -> None:
        """The item was announced. What its shell holds already is not read: it comes again."""
        item = _item(raw)
        self.kind = self.kind or text(item.type)
        self._phase = text(item.phase) or None
        if self.kind in (CALL, CUSTOM):
            self._identify(item)
            if self._call[0] and self._call[1]:
                self._start_call(out)

    def say(self, index: int, words: str, logprobs: Raw | None, out: list[Event]) -> None:
        """More text of a message."""
        if not words or not self._is(MESSAGE):
            return
        if not self._started:
            self._begin(out)
        if self._open != 2 * index:
            self._turn_to(2 * index, out)
        self._chars += len(words)
        out.append(TextDelta(self.key, words, logprobs))

    def refuse(self, index: int, words: str, out: list[Event]) -> None:
        """More of a refusal."""
        if not words or not self._is(MESSAGE):
            return
        self._begin(out)
        self._turn_to(2 * index, out)
        self._chars += len(words)
        out.append(RefusalDelta(self.key, words))

    def think(self, index: int, words: str, out: list[Event], *, summary: bool) -> None:
        """More reasoning text."""
        if not words or not self._is(REASONING):
            return
        self._begin(out)
        self._turn_to(2 * index + summary, out)
        self._chars += len(words)
        out.append((SummaryDelta if summary else ThoughtDelta)(self.key, words))

    def argue(self, words: str, out: list[Event]) -> None:
        """More arguments of a call; kept until the call has a name."""
        if not words or self.kind not in (CALL, CUSTOM):
            return
        if not self._started:
            self._held.append(words)
            return
        self._chars += len(words)
        out.append(ArgumentsDelta(self.key, words))

    def cite(self, index: int, raw: Raw, out: list[Event]) -> None:
        """An annotation of a text part."""
        if self._started and self._is(MESSAGE):  # else it is told again with the part
            self._cite(index, raw, out)

    def _cite(self, index: int, raw: Raw, out: list[Event]) -> None:
        self._notes[index] = self._notes.get(index, 0) + 1
        citation = _citation(raw)
        if citation is not None:
            out.append(CitationAdded(self.key, citation))

    def part_done(self, index: int, raw: Raw, out: list[Event], *, summary: bool = False) -> None:
        """A part is whole: what was not told of it yet, and its end."""
        part = _part(raw)
        number = 2 * index + summary
        if number not in self._seen:
            self._tell(index, part, out, summary=summary)
        self._finish_part(index, number, part, out)

    def texts_done(self, index: int, words: str, out: list[Event], *, summary: bool) -> None:
        """Reasoning text is whole."""
        if 2 * index + summary not in self._seen:
            self.think(index, words, out, summary=summary)

    def text_done(self, index: int, words: str, logprobs: Raw | None, out: list[Event]) -> None:
        """Text is whole."""
        if 2 * index not in self._seen:
            self.say(index, words, logprobs, out)

    def refusal_done(self, index: int, words: str, out: list[Event]) -> None:
        """A refusal is whole."""
        if 2 * index not in self._seen:
            self.refuse(index, words, out)

    def arguments_done(self, raw: Raw, out: list[Event]) -> None:
        """Arguments are whole."""
        if not self._chars and self._started:
            self.argue(_arguments(raw), out)

    def done(self, raw: Raw, out: list[Event]) -> None:
        """The item is whole: what was not told of it yet, and its end."""
        if self.ended:
            return
        item = _item(raw)
        self.kind = self.kind or text(item.type) or "unknown"
        if self.kind not in _GROWING:
            self.ended = True
            out.append(HostedDone(self.key, hosted_of(self.kind, raw)))
            return
        self._phase = self._phase or text(item.phase) or None
        if self.kind == MESSAGE:
            self._rest_of([(part, False) for part in _array(item.content)], out)
        elif self.kind == REASONING:
            summary = [(part, True) for part in _array(item.summary)]
            self._rest_of(summary + [(part, False) for part in _array(item.content)], out)
            self._prove(item, out)
        else:
            self._rest_of_call(item, out)
        self.ended = True
        if self._started:
            status: Status = "incomplete" if text(item.status) == "incomplete" else "completed"
            out.append(ItemEnd(self.key, status))

    def _rest_of(self, parts: list[tuple[Raw, bool]], out: list[Event]) -> None:
        counts = {False: -1, True: -1}
        read: list[tuple[int, _Part, bool]] = []
        for raw, summary in parts:
            counts[summary] += 1
            read.append((counts[summary], _part(raw), summary))
        # a server that numbers its parts in another way has told them nevertheless
        whole = sum(len(part.text or part.refusal or "") for _, part, _ in read)
        if self._chars and self._chars >= whole:
            self._seen.update(2 * index + summary for index, _, summary in read)
        for index, part, summary in read:
            number = 2 * index + summary
            if number not in self._seen:
                self._tell(index, part, out, summary=summary)
            self._finish_part(index, number, part, out)

    def _tell(self, index: int, part: _Part, out: list[Event], *, summary: bool) -> None:
        if self.kind == REASONING:
            self.think(index, part.text or "", out, summary=summary)
        elif part.type == "refusal":
            self.refuse(index, part.refusal or "", out)
        else:
            self.say(index, part.text or "", logprobs_of(part.logprobs), out)

    def _finish_part(self, index: int, number: int, part: _Part, out: list[Event]) -> None:
        if self._started and self.kind == MESSAGE:
            for raw in _array(part.annotations)[self._notes.get(index, 0) :]:
                self._cite(index, raw, out)
        if self._open == number:
            self._open = -1
            out.append(PartEnd(self.key))

    def _prove(self, item: _Item, out: list[Event]) -> None:
        proof = _string(item.encrypted_content)
        if proof:
            self._begin(out)
            out.append(SealedSeen(self.key, Sealed(self._origin, "encrypted", proof)))

    def _rest_of_call(self, item: _Item, out: list[Event]) -> None:
        told = _arguments(item.input if self.kind == CUSTOM else item.arguments)
        told = told or "".join(self._held)
        if not self._started:
            self._identify(item)
            call_id, name, namespace = self._call
            self._call = (call_id or text(item.id) or f"call_{self.key}", name, namespace)
            self._held = []
            self._start_call(out)
        if not self._chars:
            self.argue(told, out)

    def _identify(self, item: _Item) -> None:
        self._call = (text(item.call_id), text(item.name), text(item.namespace) or None)

    def _start_call(self, out: list[Event]) -> None:
        call_id, name, namespace = self._call
        kind = "custom" if self.kind == CUSTOM else "function"
        self._started = True
        out.append(CallStart(self.key, call_id, name, kind, namespace))  # type: ignore[arg-type]
        if self._held:
            held, self._held = "".join(self._held), []
            self.argue(held, out)

    def _is(self, kind: str) -> bool:
        """Whether the item is of this kind; one that was never announced becomes it."""
        if not self.kind:
            self.kind = kind
        return self.kind == kind and not self.ended

    def _begin(self, out: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        if self.kind == REASONING:
            out.append(ReasoningStart(self.key))
        else:
            out.append(MessageStart(self.key, self._phase))

    def _turn_to(self, number: int, out: list[Event]) -> None:
        """Deltas are of part `number` from here on."""
        if number != self._open:
            if self._open >= 0:
                out.append(PartEnd(self.key))
            self._open = number
            self._seen.add(number)


def logprobs_of(raw: Raw) -> Raw | None:
    """A `logprobs` member that says something."""
    view = memoryview(raw)
    told = len(view) > _EMPTY_ARRAY and view[0] == ord("[")
    return raw if told and is_text(raw) else None


def _item(raw: Raw) -> _Item:
    try:
        return _decode_item(raw)
    except UNREADABLE:
        return _NO_ITEM


def _part(raw: Raw) -> _Part:
    try:
        return _decode_part(raw)
    except UNREADABLE:
        return _NO_PART


def _array(raw: Raw) -> list[Raw]:
    try:
        return _decode_array(raw)
    except UNREADABLE:
        return []


def _string(raw: Raw) -> str:
    try:
        return _decode_text(raw)
    except UNREADABLE:
        return ""


def _arguments(raw: Raw) -> str:
    """Arguments are text. Some servers send the object itself."""
    if memoryview(raw)[0] == _BRACE:
        return bytes(raw).decode(errors="replace")
    return _string(raw)


def _citation(raw: Raw) -> Citation | None:
    """None for what this table does not know: nobody could show it."""
    try:
        note = _decode_annotation(raw)
    except UNREADABLE:
        return None
    kind = _CITED.get(note.type, "url" if note.url else "")
    if not kind:
        return None
    return Citation(
        kind=kind,  # type: ignore[arg-type]
        url=note.url or "",
        title=note.title or "",
        start=note.start_index,
        end=note.end_index,
        file_id=note.file_id or "",
        container_id=note.container_id or "",
        filename=note.filename or "",
        index=note.index or 0,
        native=("responses", raw),
    )
