"""What is remembered of responses that only their provider keeps: whose they are.

The operator's credential is shared by all tenants, so the provider does not know who may read what.
A pointer does: a record under the provider's id without anything that was said, made before the
caller can know the id. One of a background response is live until somebody sees it end; from then
on its items can be named, too.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw, Struct

from portico.dialects.base import Tap
from portico.dialects.responses.stored_snapshot import events_of
from portico.errors import PorticoError, UpstreamProtocol
from portico.model.usage import Usage
from portico.state.port import StateStore
from portico.state.recording import Recording, RecordingTap, Turn
from portico.state.records import LIVE, Record, Status
from portico.wire.sse import iter_frames

log = logging.getLogger("portico.state")

NOTHING = b"[]"
OWNER = "provider"
"""Who works on a live pointer: nobody here, so nobody here gives it up."""
FOREVER = float(2**40)
_STATUSES: Sequence[Status] = (
    "queued", "in_progress", "completed", "failed", "incomplete", "cancelled",
)  # fmt: skip


class _Outline(Struct, gc=False):
    """What of a response object the pointer needs."""

    id: str
    created_at: float
    status: str = ""
    store: bool | None = None
    output: Raw = Raw(b"null")


class _Item(Struct, gc=False):
    id: str = ""


_decode = msgspec.json.Decoder(_Outline).decode
_decode_items = msgspec.json.Decoder(list[_Item]).decode


def is_pointer(record: Record) -> bool:
    """Whether only the provider has the response."""
    return record.kept and not record.response


def pointer_of(turn: Turn, response: bytes) -> Record | None:
    """The pointer to a response object; None when it is none, or not kept by its provider."""
    try:
        seen = _decode(response)
    except (ValueError, RecursionError):
        return None
    if seen.store is False:
        return None
    created = int(seen.created_at)
    return Record(
        tenant=turn.tenant,
        id=seen.id,
        created_at=created,
        expires_at=created + int(turn.retention) if turn.retention is not None else None,
        status=next((each for each in _STATUSES if each == seen.status), "completed"),
        model=turn.model,
        input=NOTHING,
        response=b"",
        output_at=0,
        output_size=0,
        origin=turn.origin,
        kept=True,
        names=_names(seen.output),
    )


def _names(output: Raw) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys([item.id for item in _decode_items(output) if item.id]))
    except (ValueError, RecursionError):
        return ()


class Pointing(Recording):
    """Commits the pointer to one response.

    `early`: the provider goes on with the response when its stream is cut, so the pointer is made
    when the stream begins. `known`: it has been made before. `ended`: this was who saw the end of
    the response, and nobody else did or will; whoever sees it has the usage to count.
    """

    __slots__ = ("early", "ended", "known")

    def __init__(
        self, store: StateStore, turn: Turn, *, early: bool = False, known: bool = False
    ) -> None:
        super().__init__(store, turn)
        self.early = early
        self.known = known
        self.ended = False

    async def keep(self, body: bytes) -> bytes:
        """Commit; `body`, which is sent as it is. Raises `PorticoError`."""
        await self.commit(body)
        return body

    async def commit(self, response: bytes) -> None:
        """Commit the pointer, or how the response ended. Raises `PorticoError`."""
        pointer = pointer_of(self.turn, response)
        if pointer is None:
            return
        live = pointer.status in LIVE
        if self.known:
            if not live:
                self.ended = await self._store.finish_run(pointer, ())
            return
        if live:
            new = await self._store.begin_run(pointer, OWNER, FOREVER)
        else:
            new = await self._store.save(pointer)
        if not new and not await self._has(pointer):
            raise UpstreamProtocol("The provider used the id of another response again.")
        self.known = True
        self.ended = not live

    async def _has(self, pointer: Record) -> bool:
        """Whether the same pointer is there: a provider may answer twice out of a cache."""
        found = await self._store.get(pointer.tenant, pointer.id, pointer.created_at)
        return found is not None and is_pointer(found) and found.origin == pointer.origin


class PointingTap(RecordingTap):
    """Around the tap of a stream whose pointer is made early, or has been: what names the response
    waits for the pointer, the terminal event for the note that it has ended."""

    __slots__ = ("_announcing", "_pointing")

    def __init__(self, tap: Tap, pointing: Pointing, release: Callable[[bytes], None]) -> None:
        super().__init__(tap, pointing, release)
        self._pointing = pointing
        self._announcing: asyncio.Task[None] | None = None

    @property
    def usage(self) -> Usage | None:
        """What this stream has to account for: nothing, where another one saw the end."""
        pointing = self._pointing
        return None if pointing.known and not pointing.ended else self._tap.usage

    def pass_on(self, out: bytes) -> bytes:
        """What of the client's frames may go now. Raises when the pointer could not be made."""
        announcing = self._announcing
        if announcing is not None and announcing.done() and self._held:
            announcing.result()
        if announcing is None and not self._pointing.known:
            return self._announce(out)
        return super().pass_on(out)

    async def announced(self) -> None:
        """Wait until the pointer is made, or is known not to be."""
        announcing = self._announcing
        if announcing is not None:
            await asyncio.wait({announcing})
            self._announced(announcing)

    async def settled(self) -> None:
        """Wait for both commits. Raises `PorticoError`."""
        announcing = self._announcing
        if announcing is not None:
            await asyncio.shield(announcing)
            self._announced(announcing)
        await super().settled()

    def truncation_frames(self, fault: PorticoError) -> bytes:
        """The error alone: the stream broke, and the response goes on at its provider."""
        if self._held:
            return self._not_stored(fault)
        frames = iter_frames(self._tap.truncation_frames(fault))
        return b"".join([each for each in frames if not _has_response(each)])

    def _announce(self, out: bytes) -> bytes:
        frames = iter_frames(out)
        for index, frame in enumerate(frames):
            response = _response(frame)
            if response:
                self._held = b"".join(frames[index:])
                self._announcing = asyncio.ensure_future(self._pointing.commit(response))
                self._announcing.add_done_callback(self._announced)
                return b"".join(frames[:index])
        return out

    def _announced(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self._task is not None or not self._held:
            return
        error = task.exception()
        if error is not None:
            log.warning("a response that its provider keeps could not be noted", exc_info=error)
            return
        held, self._held = self._held, b""
        out = super().pass_on(held)
        if out:
            self._release(out)


def _response(frame: bytes) -> bytes:
    """The response object of an event; empty when it has none."""
    for _, members in events_of(frame):
        response = bytes(members.get("response", b""))
        if response[:1] == b"{":
            return response
    return b""


def _has_response(frame: bytes) -> bool:
    return bool(_response(frame))
