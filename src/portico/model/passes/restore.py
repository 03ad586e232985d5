"""The way back: an answer in the target's terms becomes one in the terms the client asked in.

Names get their original spelling and namespace, wrapped free-form tools become free-form again, the
tool that stood for structured output becomes text, calls the client did not allow are left out, and
text ends at a stop sequence that the target does not know.
"""

from collections.abc import Iterable

from msgspec import Raw, Struct

from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    Event,
    Failed,
    Finish,
    ItemEnd,
    MessageStart,
    TextDelta,
)
from portico.model.losses import Loss, Losses
from portico.model.passes.names import ToolNames
from portico.model.passes.schema import mismatch
from portico.model.passes.stops import Stops
from portico.model.passes.unwrap import InputText


class Emulation(Struct, frozen=True):
    """The upstream name of the tool that stands for structured output, and its schema."""

    tool: str
    schema: Raw | None


class Restore:
    """One answer's way back. Keys may have gaps afterwards; the `Sequencer` renumbers."""

    __slots__ = (
        "_allowed", "_answer", "_calls", "_custom", "_emulated", "_emulation", "_held", "_hidden",
        "_losses", "_messages", "_names", "_stops", "_unwrap",
    )  # fmt: skip

    def __init__(
        self,
        names: ToolNames,
        custom: bool,
        allowed: frozenset[str] | None,
        emulation: Emulation | None,
        losses: Losses,
        stops: tuple[str, ...] = (),
    ) -> None:
        self._names = names
        self._stops = Stops(stops) if stops else None
        self._custom = custom
        self._allowed = allowed
        self._emulation = emulation
        self._losses = losses
        self._hidden: set[int] = set()
        self._unwrap: dict[int, InputText] = {}
        self._emulated: int | None = None
        self._answer: list[str] = []
        self._held: list[Event] = []
        self._messages: set[int] = set()
        self._calls = 0

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """The events as the client is to have them."""
        out = self._undone(events)
        return self._stops.feed(out) if self._stops is not None else out

    def _undone(self, events: Iterable[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            kind = type(event)
            key = getattr(event, "key", None)
            if key is not None and key in self._hidden:
                continue
            if kind is CallStart:
                self._start(event, out)  # type: ignore[arg-type]
            elif kind is ArgumentsDelta:
                self._arguments(event, out)  # type: ignore[arg-type]
            elif kind is ItemEnd:
                self._end(event, out)  # type: ignore[arg-type]
            elif kind is Finish or kind is Failed:
                self._finish(event, out)  # type: ignore[arg-type]
            elif self._emulation is not None and (kind is MessageStart or key in self._messages):
                self._hold(event, out)
            else:
                out.append(event)
        return out

    def _start(self, event: CallStart, out: list[Event]) -> None:
        wire = event.name
        if self._emulation is not None and wire == self._emulation.tool:
            if self._emulated is not None:  # a second answer; the first one counts
                self._hidden.add(event.key)
                return
            self._emulated = event.key
            if self._held:
                self._held = []
                self._losses.append(
                    Loss("output", "dropped", "text beside the structured answer was left out")
                )
            return
        if self._allowed is not None and wire not in self._allowed:
            self._hidden.add(event.key)
            self._losses.append(
                Loss("output", "dropped", "a call of a tool that is not allowed was left out")
            )
            return
        self._release(out)
        self._calls += 1
        ref = self._names.back(wire)
        if ref is not None:
            event.name = ref.name
            if ref.namespace is not None:
                event.namespace = ref.namespace
            if ref.kind == "custom" and event.kind == "function" and not self._custom:
                event.kind = "custom"
                self._unwrap[event.key] = InputText()
        out.append(event)

    def _arguments(self, event: ArgumentsDelta, out: list[Event]) -> None:
        if event.key == self._emulated:
            if not self._answer:  # a message begins with its first word
                out.append(MessageStart(event.key))
            self._answer.append(event.text)
            out.append(TextDelta(event.key, event.text))
            return
        unwrap = self._unwrap.get(event.key)
        if unwrap is not None:
            event.text = unwrap.feed(event.text)
            if not event.text:
                return
        out.append(event)

    def _end(self, event: ItemEnd, out: list[Event]) -> None:
        if event.key in self._messages and self._held:
            self._held.append(event)
            return
        unwrap = self._unwrap.pop(event.key, None)
        if unwrap is not None:
            rest = unwrap.end()
            if rest:
                out.append(ArgumentsDelta(event.key, rest))
        out.append(event)

    def _hold(self, event: Event, out: list[Event]) -> None:
        """Text beside a structured answer: whether it is one shows only later."""
        if self._emulated is not None:
            self._hidden.add(event.key)  # type: ignore[union-attr]
            return
        self._messages.add(event.key)  # type: ignore[union-attr]
        self._held.append(event)

    def _release(self, out: list[Event]) -> None:
        if self._held:
            out.extend(self._held)
            self._held = []

    def _finish(self, event: Finish | Failed, out: list[Event]) -> None:
        for key, unwrap in self._unwrap.items():
            rest = unwrap.end()
            if rest:
                out.append(ArgumentsDelta(key, rest))
        self._unwrap.clear()
        self._release(out)
        if isinstance(event, Finish):
            if event.reason == "tool_calls" and not self._calls:
                event.reason = "stop"
            if self._emulation is not None and event.reason == "stop":
                self._check(self._emulation)
        out.append(event)

    def _check(self, emulation: Emulation) -> None:
        wrong = mismatch("".join(self._answer), emulation.schema)
        if wrong:
            self._losses.append(
                Loss("output", "adapted", f"the answer does not match the schema: {wrong}")
            )
