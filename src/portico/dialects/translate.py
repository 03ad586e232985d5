"""What a dialect offers to the translate lane.

A client's dialect reads requests and writes answers (`ClientSide`); a provider's dialect writes
requests and reads answers (`UpstreamSide`). Between them is the hub (`portico.model`); no dialect
knows another. Everything here is sans-I/O: clock and randomness come in through `Asked`.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Raw, Struct

from portico.errors import PorticoError, UpstreamFault
from portico.limits import Limits
from portico.model.capabilities import Capabilities
from portico.model.events import Event
from portico.model.losses import Losses
from portico.model.request import GenerateRequest
from portico.model.response import GenerateResponse
from portico.model.sealed import PREFIX, Seal, Unseal
from portico.model.usage import Usage


class Asked(Struct, kw_only=True, eq=False):
    """One request, from the side of whoever writes its answer.

    `request` is what the client asked, before any pass changed it; `fields` the raw members of its
    body. `base` is 32 hex digits from which ids are made (`resp_<base>`, `msg_<base><index>`);
    `created` Unix seconds; `clock` gives later ones. `model` is the upstream model id, told when
    the provider does not name its own. `losses` grows with what the answer could not carry.
    """

    request: GenerateRequest
    fields: dict[str, Raw]
    base: str
    created: int
    clock: Callable[[], float]
    model: str
    seal: Seal
    losses: Losses


class StreamOut(Protocol):
    """Writes one stream in the client's dialect. Takes a sequential stream of events."""

    def encode(self, events: list[Event]) -> bytes:
        """Whole frames for these events; `b""` if they have none. After `Finish` or `Failed` the
        stream is complete: the terminal event, and the sentinel where the dialect has one."""

    def cut(self, fault: PorticoError) -> bytes:
        """What to append when the stream cannot be completed: the dialect's error, no terminal
        marker that looks like success. `b""` after the terminal event."""


class StreamIn(Protocol):
    """Reads one stream of a provider. Never raises on what the provider sends: what cannot be read
    is skipped, a frame that says it failed becomes `Failed`."""

    @property
    def held_usage(self) -> Usage | None:
        """Counts that came and wait for the end to be told: all there is if the stream is cut."""

    def feed(self, frames: bytes) -> list[Event]:
        """The events of these whole frames (SSE, or binary messages where the dialect has them)."""

    def end(self) -> list[Event]:
        """The connection ended well: what was held back (a finish that waited for usage). Without
        a finish: nothing, and the lane treats the stream as cut."""


class ClientSide(Struct, frozen=True):
    """A dialect clients speak. `read(fields, body, limits, unseal)` checks the whole body and
    raises `BadRequest` naming the parameter. `respond` and `stream` write answers.
    `strip(fields)` takes what only this gateway understands out of a body that is about to be
    spliced, and returns the changed members as JSON text (empty: nothing to change). One of `marks`
    is in every body that it changes."""

    name: str
    read: Callable[[dict[str, Raw], bytes, Limits, Unseal], GenerateRequest]
    respond: Callable[[GenerateResponse, Asked], bytes]
    stream: Callable[[Asked], StreamOut]
    strip: Callable[[dict[str, Raw]], dict[str, bytes]]
    marks: tuple[bytes, ...] = (PREFIX.encode(),)


class Upstream(Struct, frozen=True, kw_only=True):
    """What an encoder and a decoder need to know of the target. `quirks` are names of rows in the
    dialect's own tables, set by the provider; `origin` goes into `Sealed`."""

    model: str
    provider: str
    origin: str
    capabilities: Capabilities
    quirks: frozenset[str] = frozenset()


class UpstreamSide(Struct, frozen=True):
    """A dialect providers speak.

    `write(request, upstream, losses)` makes the body; it gets a request that the passes have fitted
    to `upstream.capabilities` and may raise `BadRequest` for what only it can know. `read` makes
    the events of a whole answer and raises `UpstreamProtocol` if it cannot be read at all; `stream`
    makes the reader of a stream. `read_error(status, headers, body)` never raises.
    `capabilities(model)` is the dialect's row for a model id. `framing` says how streams are cut.
    """

    name: str
    capabilities: Callable[[str], Capabilities]
    write: Callable[[GenerateRequest, Upstream, Losses], bytes]
    read: Callable[[bytes, Upstream], list[Event]]
    stream: Callable[[Upstream], StreamIn]
    read_error: Callable[[int, dict[bytes, bytes], bytes], UpstreamFault]
    framing: str = "sse"
