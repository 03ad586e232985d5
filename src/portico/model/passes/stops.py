"""Stop sequences for targets that have none: the text ends where the first of them would begin.

What might be the beginning of a sequence is held back until it is known. The model does not notice
and writes on; that part is not told, though its tokens are counted and paid for.
"""

from collections.abc import Iterable

from portico.model.events import (
    Event,
    Failed,
    Finish,
    ItemEnd,
    Started,
    TextDelta,
    UsageSeen,
)

_OF_THE_ANSWER = frozenset((Started, UsageSeen, Finish, Failed))


class Stops:
    """Cuts one answer. Not reusable."""

    __slots__ = ("_hit", "_key", "_longest", "_sequences", "_tails")

    def __init__(self, sequences: tuple[str, ...]) -> None:
        self._sequences = sequences
        self._longest = max(len(sequence) for sequence in sequences)
        self._tails: dict[int, str] = {}
        self._hit: str | None = None
        self._key = -1

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events up to the first stop sequence, and the end of the answer."""
        out: list[Event] = []
        for event in events:
            kind = type(event)
            if self._hit is not None:
                self._after(event, out)
            elif kind is TextDelta:
                self._text(event, out)  # type: ignore[arg-type]
            elif kind in _OF_THE_ANSWER:
                if kind is Finish or kind is Failed:
                    for key in list(self._tails):
                        self._flush(key, out)
                self._pass(event, out)
            else:
                self._flush(event.key, out)  # type: ignore[union-attr]
                self._pass(event, out)
        return out

    def _pass(self, event: Event, out: list[Event]) -> None:
        """An event behind text that was held back, which may turn out to hold the cut."""
        if self._hit is not None:
            self._after(event, out)
        else:
            out.append(event)

    def _text(self, event: TextDelta, out: list[Event]) -> None:
        key = event.key
        tail = self._tails.pop(key, "")
        text = tail + event.text
        at, found = self._find(text)
        keep = self._begun(text)
        # a longer sequence may have begun before the one that is whole
        if found is not None and at <= len(text) - keep:
            self._cut(key, text[:at], found, out)
            return
        if keep:
            self._tails[key] = text[-keep:]
        if not tail and not keep:
            out.append(event)
        elif keep < len(text):  # what was cut anew has no log probabilities of its own
            out.append(TextDelta(key, text[: len(text) - keep]))

    def _find(self, text: str) -> tuple[int, str | None]:
        """Where the first sequence begins, and which it is."""
        first, found = len(text), None
        for sequence in self._sequences:
            at = text.find(sequence)
            if 0 <= at < first:
                first, found = at, sequence
        return first, found

    def _begun(self, text: str) -> int:
        """How many characters at the end may be the beginning of a sequence."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-size:]
            if any(sequence.startswith(end) for sequence in self._sequences):
                return size
        return 0

    def _cut(self, key: int, text: str, found: str, out: list[Event]) -> None:
        self._hit, self._key = found, key
        if text:
            out.append(TextDelta(key, text))

    def _flush(self, key: int, out: list[Event]) -> None:
        """Nothing more comes of this text: what was held back is what it is."""
        tail = self._tails.pop(key, "")
        if not tail or self._hit is not None:
            return
        at, found = self._find(tail)
        if found is not None:
            self._cut(key, tail[:at], found, out)
        else:
            out.append(TextDelta(key, tail))

    def _after(self, event: Event, out: list[Event]) -> None:
        """Behind the cut: only how the item and the answer end."""
        kind = type(event)
        if kind is Finish:
            event.reason = "stop_sequence"  # type: ignore[union-attr]
            event.detail = self._hit or ""  # type: ignore[union-attr]
        if kind in _OF_THE_ANSWER or (kind is ItemEnd and event.key == self._key):  # type: ignore[union-attr]
            out.append(event)
