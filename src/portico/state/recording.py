"""Storing a response before its caller learns that it is complete.

A whole body is committed before it is sent. Of a stream everything is passed on as it comes but its
terminal event, which waits for the commit. So whoever has seen the end of a response can continue
it, whatever happens to this process after that.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from time import time

import msgspec
from msgspec import Raw, Struct, structs

from portico.dialects.base import Tap
from portico.dialects.openai_error import error_object
from portico.dialects.responses.stored_items import (
    after_compaction,
    base_of,
    for_replay,
    has_compaction,
    hidden_base,
    input_items,
    output_items,
    owner_of,
)
from portico.dialects.responses.stored_snapshot import failed, patched
from portico.errors import PorticoError, UpstreamProtocol
from portico.model.usage import Usage
from portico.state.port import StateStore, StoreUnavailable
from portico.state.records import LIVE, Entry, Record, Status
from portico.state.session import Remembered, Session
from portico.wire.json import encode, one_line
from portico.wire.sse import encode_event, frame_data, frame_event, iter_frames

log = logging.getLogger("portico.state")

_NULL = Raw(b"null")
_STATUSES: dict[bytes, Status] = {
    b'"completed"': "completed", b'"failed"': "failed", b'"incomplete"': "incomplete",
    b'"cancelled"': "cancelled", b'"queued"': "queued", b'"in_progress"': "in_progress",
}  # fmt: skip
_TERMINAL = re.compile(
    rb'"type"\s*:\s*"response\.(?:completed|failed|incomplete)"'
    rb"|^event:\s*response\.(?:completed|failed|incomplete)\s*$",
    re.MULTILINE,
)
BROKEN_SECONDS = 2.0
"""How long the end of a stream that broke waits for a database that is slow."""
_DIGITS = re.compile(rb"[0-9]{1,12}\Z")
_WITH_RESPONSE = re.compile(
    rb'"type"\s*:\s*"response\.(?:created|queued|in_progress|completed|failed|incomplete)"'
)


class _Outline(Struct, gc=False):
    """What of a response object the record needs. But for the id, anything may be there."""

    id: str
    created_at: Raw = _NULL
    status: Raw = _NULL
    store: Raw = _NULL
    output: Raw = _NULL


class _Event(Struct, gc=False):
    type: str = ""
    sequence_number: Raw = _NULL
    response: Raw = _NULL


class _Item(Struct, gc=False):
    id: str | None = None


_decode_outline = msgspec.json.Decoder(_Outline).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_ids = msgspec.json.Decoder(list[_Item]).decode


class Turn(Struct, kw_only=True, eq=False):
    """One request whose response is to be remembered.

    `tenant` is a `tenant_key`. `store`: a record is written; else only `conversation` and `session`
    learn of it. `input` is this turn's own input, a JSON array; `context` the arrays before it,
    empty where the provider has them itself, `origins` where each of them was made, and
    `context_bytes` their size either way. `changes`
    are members of the response object to write differently from how the provider did. `origin` is
    where the response is made, `keeps` whether that place keeps what it is asked to store.
    `native`: ids are the provider's, not ours. `pointer`: nobody but the provider keeps the
    response.
    """

    tenant: bytes
    store: bool
    model: str
    retention: float | None
    input: bytes
    context: tuple[bytes, ...] = ()
    origins: tuple[str, ...] = ()
    context_bytes: int = 0
    parent: str | None = None
    conversation: str | None = None
    changes: Mapping[str, bytes] = {}
    origin: str = ""
    keeps: bool = False
    native: bool = False
    session: Session | None = None
    pointer: bool = False


def record_of(turn: Turn, response: bytes) -> Record:
    """The record of a response. Raises `ValueError` if it is none: it has no id, or no JSON."""
    try:
        seen = _decode_outline(response)
    except RecursionError:
        raise ValueError("nests too deep") from None
    output = bytes(seen.output)
    if output[:1] != b"[":
        output = b""
    now = int(time())
    created = bytes(seen.created_at)
    barrier = has_compaction(output, own=True)
    before = 0 if barrier else turn.context_bytes + len(turn.input)
    return Record(
        tenant=turn.tenant,
        id=seen.id,
        created_at=int(created) if _DIGITS.match(created) else now,
        expires_at=now + int(turn.retention) if turn.retention is not None else None,
        status=_STATUSES.get(bytes(seen.status), "completed"),
        model=turn.model,
        input=turn.input,
        response=response,
        output_at=response.find(output),  # equal bytes elsewhere would do as well
        output_size=len(output),
        parent=turn.parent,
        conversation=turn.conversation,
        origin=turn.origin,
        kept=turn.keeps and bytes(seen.store) != b"false",
        context=before + len(output),
        barrier=barrier,
        names=_names(turn, seen.id, output),
    )


def _names(turn: Turn, id: str, output: bytes) -> tuple[str, ...]:
    """By what else a response is found: by items whose id does not tell it. Those of a provider;
    those of a background run, which are named after the lane's own response, by the base inside;
    and those that the client chose, which are told apart from what was made."""
    names: list[str] = []
    base = base_of(id)
    for item in _ids(output):
        owner = owner_of(item)
        if owner != base:
            names.append(owner or item)
    names += [GIVEN + item for item in _ids(turn.input) if owner_of(item) is None]
    hidden = hidden_base(id) if turn.native else None
    if hidden is not None:
        names.append(hidden)
    return tuple(dict.fromkeys(names)) if names else ()


GIVEN = "given:"
"""Before the ids that a client gave to its own items: they prove nothing."""


def _ids(items: bytes) -> list[str]:
    if b'"id"' not in items:
        return []
    try:
        found = [item.id for item in _decode_ids(items)]
    except (ValueError, RecursionError):  # not all of them are objects with an id of text
        return []
    return [name for name in found if name]


def entries_of(record: Record) -> list[Entry]:
    """The items of the turn, as its conversation keeps them: nothing that was cut short."""
    base = base_of(record.id)
    items = input_items(record.input, base) + output_items(for_replay(record.output), base)
    return [Entry(item.id, item.body) for item in items]


class Recording:
    """Commits one turn."""

    __slots__ = ("_failed", "_store", "turn")

    def __init__(
        self, store: StateStore, turn: Turn, failed: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._failed = failed
        self.turn = turn

    async def keep(self, body: bytes) -> bytes:
        """Commit a whole response; the body to send. Raises `PorticoError`."""
        turn = self.turn
        if turn.changes:
            try:
                body = patched(body, turn.changes)
            except ValueError:  # no response object: nothing of ours belongs into it
                return body
        await self.commit(body)
        return body

    async def commit(self, response: bytes) -> None:
        """Commit a response object, whatever became of it. Raises `PorticoError`.

        What has no id is not stored: nobody could ask for it.
        """
        turn = self.turn
        try:
            record = record_of(turn, response)
        except ValueError:
            log.warning("a provider's answer is no response object and cannot be stored")
            return
        if record.status in LIVE:  # nothing more will come of it
            record = structs.replace(record, status="incomplete")
        whole = record.status in ("completed", "incomplete")
        # A turn that failed leaves no call without its result behind: it can be tried again.
        entries = entries_of(record) if whole and turn.conversation is not None else ()
        if turn.store:
            try:
                saved = await self._store.save(record, entries)
            except StoreUnavailable as error:
                error.retryable = False  # it was generated, and would be billed again
                self._failed()
                raise
            if not saved:
                await self._check_same(record)
        elif entries and turn.conversation is not None:
            await self._store.append(turn.tenant, turn.conversation, entries)
        if turn.session is not None and record.status in ("completed", "incomplete"):
            _remember(turn, turn.session, record)

    async def _check_same(self, record: Record) -> None:
        """A provider used an id again. One that answers out of a cache may: what was stored before
        is the same turn. Another one cannot be stored, and its caller must not think that it was.
        """
        before = await self._store.get(record.tenant, record.id, time())
        if before is None or _turn_of(before) != _turn_of(record):
            raise UpstreamProtocol(
                "The provider used the id of another response again, so this one could not be "
                "stored. Send `store: false` to do without."
            )


def _turn_of(record: Record) -> tuple[object, ...]:
    """What makes two records the same turn. In a conversation every turn is another one."""
    once = object() if record.conversation is not None else None
    return record.input, record.output, record.parent, once


def _remember(turn: Turn, session: Session, record: Record) -> None:
    output = for_replay(record.output)
    arrays: tuple[bytes, ...] | None = (*turn.context, turn.input, output)
    known = turn.origins or ("",) * len(turn.context)
    origins = (*known, "", record.origin)
    if record.barrier:
        arrays = (after_compaction(output),)
        origins = (record.origin,)
    elif turn.context_bytes and not turn.context:
        arrays = None  # the provider has what came before, and so has the database
    session.remember(
        Remembered(
            record.id,
            arrays,
            record.context,
            turn.store,
            record.origin,
            record.kept,
            origins,
        )
    )


class RecordingTap:
    """A `Tap` around another one: its terminal event waits until the response is committed.

    `release` writes to the client what waited. `settled` has to be awaited before the stream is
    ended; it raises what went wrong with the commit, and the stream is then cut like any other.
    """

    __slots__ = ("_held", "_last_words", "_recording", "_release", "_tap", "_task")

    def __init__(self, tap: Tap, recording: Recording, release: Callable[[bytes], None]) -> None:
        self._tap = tap
        self._recording = recording
        self._release = release
        self._held = b""
        self._last_words: bytes | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def usage(self) -> Usage | None:
        """Of the tap inside."""
        return self._tap.usage

    @property
    def model(self) -> str:
        """Of the tap inside."""
        return self._tap.model

    @property
    def finished(self) -> bool:
        """The client has the end of the stream, or is about to be written it."""
        return self._tap.finished and not self._held

    @property
    def failed(self) -> bool:
        """Of the tap inside."""
        return self._tap.failed

    def feed(self, frames: bytes) -> bytes:
        """Read whole frames; what may be passed on by now."""
        return self.pass_on(self._tap.feed(frames))

    def end(self) -> bytes:
        """The provider ended its answer well."""
        return self.pass_on(self._tap.end())

    async def settled(self) -> None:
        """Wait for the commit, if one was begun. Raises `PorticoError`."""
        if self._task is not None:
            await asyncio.shield(self._task)
            self._committed(self._task)  # it may be done before its callbacks have run

    @property
    def committing(self) -> bool:
        """The terminal event waits for a commit that is not decided."""
        return self._held != b"" and self._task is not None and not self._task.done()

    async def decided(self) -> None:
        """Wait for the commit, whatever comes of it."""
        if self._task is not None:
            await asyncio.wait({self._task})
            self._committed(self._task)

    async def broken(self, fault: PorticoError) -> None:
        """The stream broke: have that stored before the client is told with
        `truncation_frames`, if it can be."""
        self._last_words = self._truncation(fault)
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=BROKEN_SECONDS)

    def truncation_frames(self, fault: PorticoError) -> bytes:
        """The dialect's way to say that the stream broke; what did not come is stored as failed."""
        words = self._last_words
        return words if words is not None else self._truncation(fault)

    def _truncation(self, fault: PorticoError) -> bytes:
        if self._held:
            return self._not_stored(fault)
        frames = self._tap.truncation_frames(fault)
        if frames:
            if self._recording.turn.changes:
                frames = self._rewritten(frames)
            for frame in iter_frames(frames):
                event = _read(frame)
                if event is not None and event.type == "response.failed":
                    self._commit(bytes(event.response))
        return frames

    def pass_on(self, out: bytes) -> bytes:
        """What of the client's frames may go now."""
        if self._held:
            self._held += out
            return b""
        if not out:
            return out
        if self._recording.turn.changes and _WITH_RESPONSE.search(out) is not None:
            out = self._rewritten(out)
        if self._tap.finished and self._task is None:
            return self._hold(out)
        return out

    def _hold(self, out: bytes) -> bytes:
        """Begin the commit; the frames before the terminal event."""
        frames = iter_frames(out)
        for index, frame in enumerate(frames):
            event = _read(frame)
            if event is not None and _is_terminal(event.type):
                self._held = b"".join(frames[index:])
                self._commit(bytes(event.response)).add_done_callback(self._committed)
                return b"".join(frames[:index])
        return out

    def _commit(self, response: bytes) -> "asyncio.Task[None]":
        task = self._task = asyncio.ensure_future(self._recording.commit(response))
        task.add_done_callback(_noted)
        return task

    def _committed(self, task: "asyncio.Task[None]") -> None:
        if self._held and not task.cancelled() and task.exception() is None:
            held, self._held = self._held, b""
            self._release(held)

    def _rewritten(self, frames: bytes) -> bytes:
        changes = self._recording.turn.changes
        return b"".join([_rewrite(frame, changes) for frame in iter_frames(frames)])

    def _not_stored(self, fault: PorticoError) -> bytes:
        """The response is whole, but it could not be stored: it is told as failed. While that is
        not decided yet, only the stream has failed."""
        event = _read(iter_frames(self._held)[0])
        if event is None:
            return b""
        given = bytes(event.sequence_number)
        number = int(given) if _DIGITS.match(given) else 0
        error = {"type": "error", "sequence_number": number, "error": error_object(fault)}
        if self.committing:
            return encode_event("error", encode(error))
        told = {
            "type": "response.failed",
            "sequence_number": number + 1,
            "response": Raw(failed(bytes(event.response), "server_error", fault.message)),
        }
        return encode_event("error", encode(error)) + encode_event("response.failed", encode(told))


def _noted(task: "asyncio.Task[None]") -> None:
    """Nobody may be waiting for the commit of a stream that was cut."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("a response could not be stored", exc_info=task.exception())


def _is_terminal(kind: str) -> bool:
    return kind in ("response.completed", "response.failed", "response.incomplete")


def _read(frame: bytes) -> _Event | None:
    try:
        event = _decode_event(frame_data(frame))
    except (ValueError, RecursionError):
        return None
    if not event.type:
        event.type = frame_event(frame).decode(errors="replace")
    return event


def _rewrite(frame: bytes, changes: Mapping[str, bytes]) -> bytes:
    """One frame, with these members of the response object in it."""
    if _WITH_RESPONSE.search(frame) is None:
        return frame
    try:
        members = _decode_members(frame_data(frame))
        kind = msgspec.json.decode(members["type"], type=str)
        members["response"] = Raw(patched(bytes(members["response"]), changes))
    except (ValueError, KeyError, RecursionError):
        return frame
    return encode_event(kind, one_line(encode(members)))
