"""One item at a time: makes the events of an upstream that interleaves its items sequential.

Anthropic-shaped streams cannot interleave at all and clients of the Responses API are safest with
items that follow each other; OpenRouter, xAI and servers with parallel calls do interleave. The
item that opened first is live; what belongs to others waits until it has ended. Also the place
where a stream is made whole: items left open are closed before the end, nothing follows the end,
and an item is only said to be complete when it is known that the answer goes on behind it or ended
well (Anthropic closes a block that ran out of tokens before it says so).
"""

from collections import OrderedDict
from collections.abc import Iterable
from zlib import crc32

from portico.errors import UpstreamFault, UpstreamProtocol
from portico.model.events import (
    CallStart,
    CompactionDone,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    ReasoningStart,
    Started,
    TextDelta,
    UsageSeen,
)
from portico.model.usage import Usage

_WHOLE = frozenset((HostedDone, CompactionDone))
_STARTS = _WHOLE | {MessageStart, ReasoningStart, CallStart}
_OF_THE_ANSWER = frozenset((Started, UsageSeen, Finish, Failed))
_CUT = frozenset(("length", "content_filter"))
MOST_ITEMS = 10_000
"""Items of one answer. What is told of an item is held in several places until the answer ends."""


class Sequencer:
    """See the module docstring. Keys are renumbered 0, 1, 2, ... in the order items come out."""

    __slots__ = (
        "_end",
        "_live",
        "_mark",
        "_next",
        "_started",
        "_waiting",
        "done",
        "fault",
        "model",
        "usage",
    )

    def __init__(self) -> None:
        self.done = False
        """`Finish` or `Failed` has passed."""
        self.fault: UpstreamFault | None = None
        """What `Failed` said."""
        self.model = ""
        self.usage: Usage | None = None
        self._started = False
        self._live: int | None = None
        self._mark = 0
        self._next = 0
        self._waiting: OrderedDict[int, list[Event]] = OrderedDict()
        self._end: ItemEnd | None = None

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events that may be told now."""
        if self.done:
            return []
        out: list[Event] = []
        live = self._live
        for event in events:
            kind = type(event)
            if kind is TextDelta and event.key == live:  # type: ignore[union-attr]
                event.key = self._next  # type: ignore[union-attr]
                out.append(event)
            elif kind in _OF_THE_ANSWER:
                if self._answer(event, out):  # type: ignore[arg-type]
                    break
            elif kind in _STARTS:
                self._begin(event, out)
                if self.fault is not None:  # one item too many
                    break
                live = self._live
            elif event.key == live and live is not None:  # type: ignore[union-attr]
                event.key = self._next  # type: ignore[union-attr]
                if kind is ItemEnd:
                    self._ended(event, out)  # type: ignore[arg-type]
                    live = self._live
                else:
                    out.append(event)
            else:
                held = self._waiting.get(event.key)  # type: ignore[union-attr]
                if held is not None:
                    held.append(event)
                # else: of an item that has ended; nothing can be added to it
        return out

    def _answer(self, event: Started | UsageSeen | Finish | Failed, out: list[Event]) -> bool:
        """Whether this was the end."""
        kind = type(event)
        if kind is UsageSeen:
            self.usage = event.usage  # type: ignore[union-attr]
        elif kind is Started:
            if self._started:  # seen in recordings: a second start in the middle of a stream
                return False
            self._started = True
            self._mark = crc32(event.id.encode(errors="replace"))  # type: ignore[union-attr]
            self.model = event.model  # type: ignore[union-attr]
        else:
            if kind is Failed:
                self.fault = event.fault  # type: ignore[union-attr]
            self._close(out, event)  # type: ignore[arg-type]
        out.append(event)
        return self.done

    def _begin(self, event: Event, out: list[Event]) -> None:
        key: int = event.key  # type: ignore[union-attr]
        if key == self._live or key in self._waiting:
            return
        if type(event) is CallStart:
            if not event.name:
                self._refuse("The provider called a tool without naming it.", out)
                return
            if not event.call_id:  # its result could not be told apart
                event.call_id = f"call_{self._mark:08x}_{key}"
        if self._next + len(self._waiting) >= MOST_ITEMS:
            self._refuse("The provider's answer has more items than this gateway passes on.", out)
            return
        if self._live is not None:
            self._waiting[key] = [event]
            return
        if self._end is not None:
            out.append(self._end)
            self._end = None
        event.key = self._next  # type: ignore[union-attr]
        out.append(event)
        if type(event) in _WHOLE:
            self._next += 1
        else:
            self._live = key

    def _refuse(self, why: str, out: list[Event]) -> None:
        self._answer(Failed(UpstreamProtocol(why)), out)

    def _ended(self, event: ItemEnd, out: list[Event]) -> None:
        """The live item is over: its end is held back, the next item is let in."""
        self._end = event
        self._live = None
        self._next += 1
        while self._waiting and self._live is None:
            _, held = self._waiting.popitem(last=False)
            self._begin(held[0], out)
            for later in held[1:]:
                later.key = self._next  # type: ignore[union-attr]
                if type(later) is ItemEnd:
                    self._end = later
                    self._live = None
                    self._next += 1
                    break
                out.append(later)

    def _close(self, out: list[Event], last: Finish | Failed) -> None:
        """End what is still open. The item in which the answer was cut short is the last one."""
        cut = isinstance(last, Failed) or last.reason in _CUT
        while self._live is not None:
            final = bool(self._waiting) or not cut
            self._ended(ItemEnd(self._next, "completed" if final else "incomplete"), out)
        if self._end is not None:
            if isinstance(last, Finish) and cut:
                self._end.status = "incomplete"
            out.append(self._end)
            self._end = None
        self.done = True
