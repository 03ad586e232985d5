"""What every dialect offers to the splice lane, and the values that pass between them.

Splice: the client's dialect is the upstream's, so bytes are relayed and only read in passing. A
dialect is a row of functions (`Dialect`); the row of each is in `dialects.registry`.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from msgspec import Raw, Struct

from portico.errors import PorticoError, UpstreamFault
from portico.limits import Limits
from portico.model.usage import Usage
from portico.wire.json import quote, splice, untouched


class Answer(Struct, frozen=True):
    """What a non-streamed answer says about itself; empty or None where it does not."""

    model: str = ""
    usage: Usage | None = None


class StateAsk(Struct, frozen=True, gc=False):
    """What a request says about stored state; None where it says nothing. `refers`: its input
    names items instead of holding them. `ids` are those of items that a provider might complete
    from what it keeps."""

    store: bool | None = None
    previous: str | None = None
    conversation: str | None = None
    background: bool = False
    refers: bool = False
    ids: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Neither needs what was stored nor wants to be worked on later."""
        return (
            self.previous is None
            and self.conversation is None
            and not self.background
            and not self.refers
        )


class SpliceRequest(Struct, eq=False, gc=False):
    """A checked request of one dialect, ready to be forwarded.

    `model` is the name the client wrote and `fields` the raw members. `changes` holds the JSON
    text of the members that differ upstream, apart from `model`. `hides_usage`: the usage chunk
    of the stream is ours, not the client's. `choices` is how many choices may answer. `state` is
    None where the dialect has none. `told` are the members to repeat in the answer, where they
    are not `fields`: those of the client, before the gateway put in what it remembers.
    """

    body: bytes
    fields: dict[str, Raw]
    model: str
    stream: bool
    changes: dict[str, bytes] | None = None
    hides_usage: bool = False
    choices: int = 1
    state: StateAsk | None = None
    told: dict[str, Raw] | None = None

    def render(self, upstream_model: str) -> bytes:
        """The upstream body. The client's own bytes when neither the model nor a field changes.

        The model forwarded is always `upstream_model`, also if the client named it twice.
        """
        if self.changes is None:
            if upstream_model == self.model:
                return untouched(self.body, self.fields)
            return splice(self.fields, {"model": quote(upstream_model)})
        return splice(self.fields, {"model": quote(upstream_model), **self.changes})


Sight: TypeAlias = Literal["nothing", "error", "content"]
"""What a frame at the beginning of a stream tells the client: nothing it waits for, that the answer
failed, or anything else."""


class Tap(Protocol):
    """Reads a stream in passing. One per attempt; not reusable; memory is bounded by two reads."""

    @property
    def usage(self) -> Usage | None:
        """The last word on usage so far."""

    @property
    def model(self) -> str:
        """The model the provider says it is; `""` until known."""

    @property
    def finished(self) -> bool:
        """A terminal marker or an error passed: the stream may end here without being cut."""

    @property
    def failed(self) -> bool:
        """An error passed."""

    def feed(self, frames: bytes) -> bytes:
        """Read whole frames, return what the client gets: the same object, save for a hidden chunk.

        Never raises on what a provider sends; frames it cannot read are relayed.
        """

    def end(self) -> bytes:
        """The provider ended its answer well: what the client is still owed."""

    def truncation_frames(self, fault: PorticoError) -> bytes:
        """What to append when the stream was cut: an error in the dialect, no finish marker.

        Empty when a terminal marker has passed already.
        """


class Dialect(Struct, frozen=True):
    """One wire format, as functions.

    `read(body, limits)` raises `BadRequest`. `read_usage(body)` and `usage_from_tail(tail)` never
    raise; the latter gets the end of a body too big to hold. `tap(request)` makes the reader of a
    stream. `encode_error(fault, request_id)` is the JSON body of an error. `is_envelope(body)`
    says that an upstream error body may be relayed as it is; `read_error(status, body)` makes a
    typed error of any other. `operation` is `gen_ai.operation.name`; `request_headers` are the
    client headers that go upstream. `opening(frame)` is asked of frames until one says something.
    `request_id_header` is where its SDKs look for the request id.
    """

    name: str
    operation: str
    request_headers: frozenset[bytes]
    read: Callable[[bytes, Limits], SpliceRequest]
    read_usage: Callable[[bytes], Answer]
    usage_from_tail: Callable[[bytes], Usage | None]
    tap: Callable[[SpliceRequest], Tap]
    encode_error: Callable[[PorticoError, str], bytes]
    is_envelope: Callable[[bytes], bool]
    read_error: Callable[[int, bytes], UpstreamFault]
    opening: Callable[[bytes], Sight]
    request_id_header: bytes = b"x-request-id"
