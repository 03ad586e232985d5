"""Threads in front of a blocking database: jobs go in from the event loop, results come back to it.

A thread takes everything that waits, so what comes in during one commit shares the next, and gives
the results of it all back with one call into the loop: at a high rate the cost of waking threads
would otherwise be more than the cost of the work.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from portico.state.port import StoreUnavailable
from portico.state.records import Entry, Record
from portico.store.faults import overloaded, unavailable

MOST_WAITING = 10_000
"""Jobs that wait or are being done, per lane."""
MOST_BYTES = 256 * 1024 * 1024
MOST_TAKEN = 1024
"""Jobs of one batch; a bound on how long one transaction holds up the next."""


class Job(Struct, frozen=True, gc=False):
    """One operation: `work` on the connection, or a response (with entries) to be saved."""

    future: asyncio.Future[Any]
    size: int
    work: Callable[[Any], Any] | None = None
    record: Record | None = None
    entries: Sequence[Entry] = ()


Execute: TypeAlias = Callable[[list[Job]], list[Any]]
"""Does jobs and returns one result for each; a `StoreUnavailable` among them is raised for its job.
Raises nothing. An empty list says that no more jobs will come: disconnect."""


class Lane:
    """A queue of jobs and the threads that do them, one per `Execute`."""

    def __init__(self, executes: Sequence[Execute], *, name: str, most: int = MOST_TAKEN) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._most = most
        self._jobs = 0
        self._bytes = 0
        self._closed = False
        # Daemons: a disk that hangs must not keep the process alive.
        self._threads = [
            threading.Thread(target=self._run, args=(execute,), name=name, daemon=True)
            for execute in executes
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        work: Callable[[Any], Any] | None,
        size: int = 0,
        record: Record | None = None,
        entries: Sequence[Entry] = (),
    ) -> asyncio.Future[Any]:
        """Queue a job. Cancelling the future does not take it back."""
        if self._jobs >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            raise overloaded()
        if self._closed:
            raise unavailable("the store is closed")
        self._jobs += 1
        self._bytes += size
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(Job(future, size, work, record, entries))
        return future

    async def close(self) -> None:
        """Do what is queued, then end the threads."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _run(self, execute: Execute) -> None:
        more = True
        while more:
            batch, more = self._take()
            if batch:
                self._give_back(batch, execute(batch))
            # Neither bodies nor futures are held while there is nothing to do.
            del batch
        execute([])

    def _take(self) -> tuple[list[Job], bool]:
        """All that waits, at least one; and whether more may come."""
        batch: list[Job] = []
        job = self._queue.get()
        while job is not None:
            batch.append(job)
            if len(batch) >= self._most:
                return batch, True
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _give_back(self, batch: list[Job], results: list[Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, batch, results)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settle(self, batch: list[Job], results: list[Any]) -> None:
        self._jobs -= len(batch)
        for job, result in zip(batch, results, strict=True):
            self._bytes -= job.size
            future = job.future
            if future.done():
                continue  # its task was cancelled; the write was not
            if isinstance(result, StoreUnavailable):
                future.set_exception(result)
            else:
                future.set_result(result)
