"""One background run: what a lane writes, numbered anew, committed, and then shown."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct, structs

from portico.dialects.responses.response_out import error_code
from portico.dialects.responses.stored_snapshot import (
    Restamp,
    cancelled,
    failed,
    patched,
    terminal,
)
from portico.dialects.responses.upstream_errors import fault_of
from portico.errors import PorticoError, UpstreamProtocol
from portico.http.messages import Source
from portico.state.port import StateStore, StoreUnavailable
from portico.state.recording import Turn, entries_of, record_of
from portico.state.records import LIVE, Logged, Record
from portico.state.tail import Tail
from portico.wire.json import quote

log = logging.getLogger("portico.state")

FLUSH_SECONDS = 0.02
"""How long events are gathered before they are committed together."""
LINGER_SECONDS = 0.5
"""How long the lane may go on after the terminal event: some providers close late."""
AWAY_SECONDS = 1.0
"""How long until a database that is away is asked again."""
TOO_LARGE = "The response has more events than this gateway keeps."

Place = tuple[bytes, str]
"""Tenant key and response id."""


class Run:
    """One run of this worker. `events` are those that may be seen, by number; `most` bounds their
    bytes. `outcome` is how it ended, as soon as that is known, and `ended` that everybody may know.
    """

    __slots__ = (
        "_changes", "_commit", "_flush", "_left", "_pending", "_response", "_restamp", "_store",
        "_tail", "_turn", "_waits", "_wake", "changed", "ended", "events", "outcome", "record",
        "settling", "task", "why",
    )  # fmt: skip

    def __init__(
        self,
        store: StateStore,
        tail: Tail | None,
        record: Record,
        turn: Turn,
        changes: Mapping[str, bytes],
        events: list[Logged],
        most: int,
    ) -> None:
        self._store = store
        self._tail = tail
        self._turn = turn
        self._changes = {**changes, "id": quote(record.id)}
        self._restamp = Restamp(record.id, len(events), changes)
        self._response = record.response
        self._pending: list[Logged] = []
        self._left = most
        self._waits = False
        self._wake = asyncio.Event()
        self._flush: asyncio.Task[None] | None = None
        self._commit: asyncio.Task[None] | None = None
        self.record = record
        self.events = events
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.settling = False
        self.ended = False
        self.outcome: Record | None = None
        self.why: PorticoError | None = None
        """Why the worker stops it, where it does."""

    @property
    def place(self) -> Place:
        """Its identity."""
        return (self.record.tenant, self.record.id)

    @property
    def begun(self) -> bool:
        """Whether the database knows it."""
        return self._flush is not None

    def move(self, turn: Turn) -> None:
        """It is worked on at another place, from now on: nothing of it was seen yet."""
        self._turn = structs.replace(
            self._turn,
            origin=turn.origin,
            native=turn.native,
            context=turn.context,
            origins=turn.origins,
            context_bytes=turn.context_bytes,
        )

    def begin(self) -> None:
        """Have what is taken committed from now on."""
        self._flush = asyncio.ensure_future(self._flushing())

    def take(self, frames: bytes) -> None:
        """Take more frames of the stream."""
        for number, kind, data in self._restamp.feed(frames):
            if self.outcome is not None:
                return
            if terminal(kind):
                self._end(_response_in(data) or b"")
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self.interrupt)
                return
            if kind == "response.in_progress":
                self._response = _response_in(data) or self._response
                self._wake.set()
            if self.record.streamed:
                self._left -= len(data)
                if self._left < 0:
                    self.fail(UpstreamProtocol(TOO_LARGE, limit="responseBytes"))
                    self.interrupt()
                    return
                self._pending.append(Logged(number, data))
                self._wake.set()

    def take_whole(self, body: bytes) -> None:
        """Take an answer that came in one piece."""
        try:
            response = patched(body, self._changes)
        except ValueError:
            self.fail(UpstreamProtocol("The provider's answer is not a response object."))
            return
        self._end(response)

    def refuse(self, body: bytes) -> None:
        """The provider refused, in the envelope of the dialect."""
        error = fault_of(body)
        if self.outcome is None:
            self._end(failed(self._response, error_code(error), error.message))

    def fail(self, fault: PorticoError) -> None:
        """It ends here, unless it has."""
        if self.outcome is None:
            self._end(failed(self._response, error_code(fault), fault.message))

    def cancel(self) -> None:
        """Somebody asked for it."""
        if self.outcome is None:
            self._end(cancelled(self._response))
        self.interrupt()

    def lose(self) -> None:
        """Somebody else ended it."""
        self.ended = True
        self.interrupt()

    def interrupt(self) -> None:
        """Hang up on the provider. What is being committed is left to that."""
        if self.task is not None and not self.settling:
            self.task.cancel()

    async def settle(self) -> None:
        """Commit how it ended, after what was before. Raises `StoreUnavailable`."""
        self.settling = True
        waiting = [task for task in (self._flush, self._commit) if task is not None]
        if self._flush is not None:
            self._flush.cancel()
        if waiting:
            await asyncio.wait(waiting)
        record = self.outcome
        if record is not None and not self.ended:
            whole = record.status in ("completed", "incomplete")
            entries = entries_of(record) if whole and record.conversation is not None else ()
            if await self._store.finish_run(record, self._pending, entries):
                self.events += self._pending
            self._pending = []  # else somebody else ended it, and nobody is to see more of it
        self.ended = True
        self._announce()

    async def wait(self, seconds: float) -> None:
        """Until there is more to see, or that long."""
        changed = self.changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), seconds)

    def _end(self, response: bytes) -> None:
        try:
            record = record_of(self._turn, response)
            if record.status in LIVE or b'"status"' not in response:
                raise ValueError("not an end")
        except ValueError:  # the provider's terminal event holds no response that has ended
            fault = UpstreamProtocol("The provider's answer is not a response object.")
            response = failed(self._response, error_code(fault), fault.message)
            record = record_of(self._turn, response)
        before = self.record
        self.outcome = structs.replace(
            record, created_at=before.created_at, background=True, streamed=before.streamed
        )

    async def _flushing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(FLUSH_SECONDS)
            self._commit = asyncio.ensure_future(self._committing())
            await asyncio.shield(self._commit)

    async def _committing(self) -> None:
        events, self._pending = self._pending, []
        tenant, id = self.place
        try:
            alive = await self._store.progress_run(
                tenant, id, "in_progress", self._response, events
            )
        except StoreUnavailable as error:
            if not self._waits:
                log.warning("events of a background run wait: %s", error.debug or error.message)
            self._waits = True
            self._pending = events + self._pending
            await asyncio.sleep(AWAY_SECONDS)
            self._wake.set()
            return
        self._waits = False
        if not alive:
            self.lose()
            return
        self.events += events
        self._announce()
        if self._tail is not None and events:
            await self._tail.publish(tenant, id, events)

    def _announce(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class RunReply:
    """`messages.Reply` of a lane whose client is a run."""

    __slots__ = ("_run", "bytes_sent", "gone", "probe", "started")

    def __init__(self, run: Run) -> None:
        self._run = run
        self.started = False
        self.bytes_sent = 0
        self.gone = False
        self.probe = b""

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer."""
        self.started = True
        self.bytes_sent += len(body)
        if status == 200:
            self._run.take_whole(body)
        else:
            self._run.refuse(body)

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        """The stream begins."""
        self.started = True

    def write(self, data: bytes) -> None:
        """More of the stream."""
        self.bytes_sent += len(data)
        self._run.take(data)

    def end(self) -> None:
        """The stream is whole."""

    def abort(self) -> None:
        """The stream is cut; what was written last says so."""

    def attach(self, source: Source | None) -> None:
        """Nothing is ever slower than the provider."""


class _Event(Struct, gc=False):
    response: Raw


_decode_event = msgspec.json.Decoder(_Event).decode


def _response_in(data: bytes) -> bytes | None:
    """The response object of an event, if it has one."""
    try:
        response = bytes(_decode_event(data).response)
    except ValueError:
        return None
    return response if response[:1] == b"{" else None
