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
                out.append(event)
            else:
                self._flush(event.key, out)  # type: ignore[union-attr]
                out.append(event)
        return out

    def _text(self, event: TextDelta, out: list[Event]) -> None:
        key = event.key
        tail = self._tails.pop(key, "")
        text = tail + event.text
        at, found = self._find(text)
        if found is not None:
            self._hit, self._key = found, key
            if at:
                out.append(TextDelta(key, text[:at]))
            return
        keep = self._begun(text)
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

    def _flush(self, key: int, out: list[Event]) -> None:
        tail = self._tails.pop(key, "")
        if tail:
            out.append(TextDelta(key, tail))

    def _after(self, event: Event, out: list[Event]) -> None:
        """Behind the cut: only how the item and the answer end."""
        kind = type(event)
        if kind is Finish:
            event.reason = "stop_sequence"  # type: ignore[union-attr]
            event.detail = self._hit or ""  # type: ignore[union-attr]
        if kind in _OF_THE_ANSWER or (kind is ItemEnd and event.key == self._key):  # type: ignore[union-attr]
            out.append(event)
