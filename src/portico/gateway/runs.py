"""Background runs: responses that are made while nobody waits for them.

A run takes what a lane writes, numbers it anew, and logs it; an event is visible once it is
durable, so whoever follows, here or on another replica, sees the same events with the same numbers.
The terminal event is not logged: it is made of the stored response, whoever ended the run.

Each run has a lease in the database, extended while its worker lives. A run whose lease is over was
left behind by a worker that died, and is ended as failed by whichever worker finds it.
"""

import asyncio
import logging
from collections.abc import Mapping
from time import time

from msgspec import structs

from portico.dialects.responses.stored_snapshot import failed
from portico.errors import Overloaded, PorticoError
from portico.gateway.run import Place, Run
from portico.limits import Limits
from portico.state.port import StateStore, StoreUnavailable
from portico.state.recording import Turn, record_of
from portico.state.records import LIVE, Logged, Record
from portico.state.records import Run as Held
from portico.state.tail import Tail

log = logging.getLogger("portico.state")

LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0
LOOK_SECONDS = 1.0
"""How long a run may go on that was cancelled on another replica."""
ABANDONED_MOST = 100
ABANDONED = "The gateway that worked on this response stopped before it was complete."
RESTARTING = "The gateway was restarted before this response was complete."


class Runs:
    """All runs of one worker."""

    def __init__(self, store: StateStore, owner: str, tail: Tail | None = None) -> None:
        self._store = store
        self._owner = owner
        self.tail = tail
        self._live: dict[Place, Run] = {}
        self._unsettled: set[Run] = set()
        """Those that are over, and that the database does not know to be."""

    @property
    def any(self) -> bool:
        """Whether there are runs here."""
        return bool(self._live)

    def find(self, tenant: bytes, id: str) -> Run | None:
        """A run of this worker."""
        return self._live.get((tenant, id))

    async def begin(
        self,
        record: Record,
        turn: Turn,
        changes: Mapping[str, bytes],
        events: list[Logged],
        limits: Limits,
    ) -> Run:
        """Make a run known, durably. Raises `Overloaded` over `limits.background_runs`,
        `StoreUnavailable`."""
        if len(self._live) >= limits.background_runs:
            raise Overloaded("Too many background responses at once.", limit="backgroundRuns")
        store = self._store
        run = Run(store, self.tail, record, turn, changes, events, limits.response_bytes)
        self._live[run.place] = run
        try:
            await store.begin_run(record, self._owner, time() + LEASE_SECONDS)
            if record.streamed:
                await store.progress_run(*run.place, "queued", record.response, events)
        except BaseException as error:
            # It may have begun: then nobody knows of it, and it must not look alive for ever.
            run.fail(error if isinstance(error, PorticoError) else Overloaded(RESTARTING))
            self._unsettled.add(run)
            raise
        run.begin()
        return run

    async def end(self, run: Run) -> None:
        """Commit its end and forget it. Where that cannot be done now it is done later."""
        try:
            await run.settle()
        except StoreUnavailable as error:
            log.warning("the end of a background run waits: %s", error.debug or error.message)
            self._unsettled.add(run)
        else:
            self._unsettled.discard(run)
            self._live.pop(run.place, None)

    async def look_after(self) -> None:
        """Extend leases, end what others left behind; for ever."""
        renewed = 0.0
        while True:
            try:
                for run in list(self._unsettled):
                    await self.end(run)
                if time() - renewed >= RENEW_SECONDS:
                    renewed = time()
                    await self._renew()
                    await self.end_abandoned()
                else:
                    await self._look()
            except StoreUnavailable as error:
                log.warning("leases cannot be extended: %s", error.debug or error.message)
            except Exception:  # whatever it is, the runs of this worker are to stay alive
                log.exception("defect while looking after background runs")
            await asyncio.sleep(LOOK_SECONDS)

    async def end_abandoned(self) -> int:
        """End the runs that nobody works on any more; how many."""
        found = await self._store.abandoned(time(), ABANDONED_MOST)
        for record in found:
            if (record.tenant, record.id) not in self._live:
                await self._store.finish_run(_given_up(record), ())
        return len(found)

    async def drain(self, patience: float) -> None:
        """Wait for the runs; fail the rest."""
        tasks = [run.task for run in self._live.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        await self.stop()

    async def stop(self) -> None:
        """Fail what still runs."""
        tasks = []
        for run in list(self._live.values()):
            run.why = Overloaded(RESTARTING)
            run.interrupt()
            if run.task is not None:
                tasks.append(run.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        for run in list(self._unsettled):
            await self.end(run)

    async def _renew(self) -> None:
        mine = [run for run in self._live.values() if run.begun]
        if mine:
            await self._compare(mine, await self._store.renew(self._owner, time() + LEASE_SECONDS))

    async def _look(self) -> None:
        """Hang up for runs that were cancelled elsewhere."""
        mine = [run for run in self._live.values() if run.begun]
        if mine:
            await self._compare(mine, await self._store.held(self._owner))

    async def _compare(self, mine: list[Run], held: list[Held]) -> None:
        """Runs that the database holds no more were ended elsewhere; those that only it holds were
        begun here in vain."""
        places = {(run.tenant, run.id) for run in held}
        for run in mine:
            if run.place not in places and run.outcome is None and run.place in self._live:
                run.lose()
        for place in places - self._live.keys():
            record = await self._store.get(*place, time())
            if record is not None and is_live(record):
                await self._store.finish_run(_given_up(record), ())


def ended_as(record: Record, response: bytes) -> Record:
    """`record`, ended with this response object."""
    turn = Turn(
        tenant=record.tenant,
        store=True,
        model=record.model,
        retention=None,
        input=record.input,
        context_bytes=max(record.context - len(record.input) - record.output_size, 0),
        parent=record.parent,
        conversation=record.conversation,
        origin=record.origin,
    )
    return structs.replace(
        record_of(turn, response),
        created_at=record.created_at,
        expires_at=record.expires_at,
        background=record.background,
        streamed=record.streamed,
    )


def _given_up(record: Record) -> Record:
    """`record`, failed because whoever worked on it is gone."""
    try:
        return ended_as(record, failed(record.response, "server_error", ABANDONED))
    except ValueError:  # no response object was stored; it has to end all the same
        return structs.replace(record, status="failed")


def is_live(record: Record) -> bool:
    """Whether something is still to come of it."""
    return record.status in LIVE
