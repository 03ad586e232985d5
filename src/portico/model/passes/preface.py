"""What the gateway itself did before the answer, told at the answer's beginning."""

from collections.abc import Iterable
from typing import Protocol

from msgspec import structs

from portico.model.events import CompactionDone, Event, Failed, Finish, Started, UsageSeen
from portico.model.items import Compaction
from portico.model.outcome import Outcome
from portico.model.usage import Usage


class WayBack(Protocol):
    """Takes an answer's events back to what was asked. One per answer."""

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events as the client is to have them."""


class Preface:
    """The way back of an answer that a compaction goes before. Not reusable.

    `usage` is what making the compaction cost, None if the provider did not say; it is added to
    the answer's own.
    """

    __slots__ = ("_inner", "_told", "_used", "item", "usage")

    KEY = -1
    """No decoder uses it."""

    def __init__(self, item: Compaction, usage: Usage | None, inner: WayBack | None) -> None:
        self.item = item
        self.usage = usage
        self._inner = inner
        self._told = False
        self._used = usage is None

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events as the client is to have them."""
        out: list[Event] = []
        for event in self._inner.feed(events) if self._inner is not None else events:
            kind = type(event)
            if kind is UsageSeen and self.usage is not None:
                event.usage = together(self.usage, event.usage)  # type: ignore[union-attr]
                self._used = True
            elif kind is Finish and not self._used and self.usage is not None:
                out.append(UsageSeen(structs.replace(self.usage, estimated=True)))
                self._used = True
            if kind is Started:
                out.append(event)
                self._tell(out)
                continue
            if kind is not Failed:
                self._tell(out)
            out.append(event)
        return out

    def settle(self, outcome: Outcome) -> None:
        """Add what it cost to a record that has only the answer's own usage by now."""
        if not self._used and self.usage is not None and outcome.usage is not self.usage:
            answer = outcome.usage
            outcome.usage = self.usage if answer is None else together(self.usage, answer)
            self._used = True

    def alone(self, answer: str, model: str) -> list[Event]:
        """The events of an answer that is nothing else."""
        events: list[Event] = [Started(answer, model), CompactionDone(self.KEY, self.item)]
        if self.usage is not None:
            events.append(UsageSeen(self.usage))
            self._used = True
        events.append(Finish("stop"))
        return events

    def _tell(self, out: list[Event]) -> None:
        if not self._told:
            self._told = True
            out.append(CompactionDone(self.KEY, self.item))


def together(one: Usage, other: Usage) -> Usage:
    """The tokens of two answers."""
    return Usage(
        input_uncached=one.input_uncached + other.input_uncached,
        cache_read=one.cache_read + other.cache_read,
        cache_write=one.cache_write + other.cache_write,
        output_text=one.output_text + other.output_text,
        reasoning=one.reasoning + other.reasoning,
        estimated=one.estimated or other.estimated,
    )
