"""One answer on its way from a provider's dialect to the client's: as a stream, or folded."""

from portico.dialects.translate import StreamIn, StreamOut
from portico.errors import PorticoError
from portico.model.estimate import WRITTEN, partial
from portico.model.events import Event, Started, UsageSeen
from portico.model.outcome import Outcome
from portico.model.passes.preface import WayBack
from portico.model.request import GenerateRequest
from portico.model.response import Folder, GenerateResponse
from portico.model.sequence import Sequencer
from portico.model.usage import Usage

_SAY_NOTHING = frozenset((Started, UsageSeen))
MOST_HELD = 64
"""Events. A provider that goes on and on about usage is not held for it."""


class Translation:
    """A `Tap` whose output is another dialect: frames of the provider in, frames of the client out.

    Nothing comes out until the provider says something. Raises its own fault when it fails before
    anything was told to the client.
    """

    __slots__ = (
        "_characters", "_decoder", "_encoder", "_held", "_open", "_request", "_restore",
        "_sequencer", "_told",
    )  # fmt: skip

    def __init__(
        self,
        decoder: StreamIn,
        encoder: StreamOut,
        restore: WayBack | None,
        request: GenerateRequest,
    ) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._restore = restore
        self._request = request
        self._sequencer = Sequencer()
        self._held: list[Event] = []
        self._open = False
        self._told = False
        self._characters = 0

    @property
    def usage(self) -> Usage | None:
        """The last word on usage so far; an estimate where the provider has not had it.

        Providers count at the end. Of a stream that does not get there, what was generated is known
        by its text only; Anthropic's first count, of one token, is no count of it.
        """
        told = self._sequencer.usage or self._decoder.held_usage
        if self._sequencer.done and told is not None and not self.failed:
            return told
        return partial(told, self._request, self._characters) if self._told else told

    @property
    def model(self) -> str:
        """The model the provider says it is."""
        return self._sequencer.model

    @property
    def finished(self) -> bool:
        """The terminal event was written."""
        return self._sequencer.done

    @property
    def failed(self) -> bool:
        """The provider said that it failed."""
        return self._sequencer.fault is not None

    def feed(self, frames: bytes) -> bytes:
        """Whole frames of the provider's stream."""
        if self._sequencer.done:  # whatever follows the end is not read
            return b""
        events = self._decoder.feed(frames)
        return self.tell(events) if events or self._held else b""

    def end(self) -> bytes:
        """The provider ended its answer well."""
        return self.tell(self._decoder.end())

    def tell(self, events: list[Event]) -> bytes:
        """The client's frames for these events."""
        came = events
        if self._restore is not None:
            events = self._restore.feed(events)
        sequencer = self._sequencer
        events = sequencer.feed(events)
        for event in events:
            if type(event) in WRITTEN:
                self._characters += len(event.text)  # type: ignore[union-attr]
        if self._told:
            return self._encoder.encode(events)
        return self._begin(events, _SAY_NOTHING.issuperset(map(type, came)))

    def open(self) -> None:
        """The answer begins whatever comes, and a fault is told inside it. What was held comes out
        next."""
        self._open = True

    def _begin(self, events: list[Event], nothing: bool) -> bytes:
        if self._sequencer.fault is not None and not self._open:
            raise self._sequencer.fault
        self._held += events
        if nothing and not self._open and len(self._held) < MOST_HELD:
            return b""
        events, self._held = self._held, []
        out = self._encoder.encode(events)
        self._told = out != b""
        return out

    def truncation_frames(self, fault: PorticoError) -> bytes:
        """The client's dialect's way to say that the stream broke."""
        return b"" if self._sequencer.done else self._encoder.cut(fault)


class Folding:
    """An answer in one piece, folded as its events come."""

    __slots__ = ("_folder", "_restore", "_sequencer", "held")

    def __init__(self, restore: WayBack | None) -> None:
        self.held: Usage | None = None
        """Counts that came and were not told: all there is if the answer is cut."""
        self._restore = restore
        self._sequencer = Sequencer()
        self._folder = Folder()

    def feed(self, events: list[Event]) -> None:
        """Take more events. Raises the fault of a `Failed`."""
        if self._restore is not None:
            events = self._restore.feed(events)
        self._folder.feed(self._sequencer.feed(events))

    def result(self) -> GenerateResponse:
        """The answer. Raises `UpstreamTruncated` if it never finished."""
        return self._folder.result()

    def note(self, outcome: Outcome) -> None:
        """Put what is known of the answer by now into the record."""
        outcome.usage = self._sequencer.usage or self.held
        outcome.response_model = self._sequencer.model
