"""The pool of connections to PostgreSQL, and the queue of saves in front of it.

Saves are the hot path: those that come while others are being committed share one statement. All
other operations run by themselves, beside each other; PostgreSQL makes their commits share a flush.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import asyncpg

from portico.state.port import StoreUnavailable
from portico.state.records import Entry, Record
from portico.store import postgres_writes
from portico.store.faults import overloaded, unavailable
from portico.store.lane import MOST_BYTES, MOST_TAKEN, MOST_WAITING, Job
from portico.store.migrations import LEDGER, migrations, missing

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0
MIGRATE_SECONDS = 600.0
CLOSE_SECONDS = 10.0
SAVERS = 2
"""Transactions of saves at a time: one is being filled while another is committed."""
STATEMENT_BYTES = 32 * 1024 * 1024
"""Bodies in one statement; PostgreSQL takes 1 GiB."""
_LOCK = 0x706F727469636F
"""Of migrations: "portico" as a number."""

# A commit that was acknowledged is on the disk, whatever the database's default is; and a gateway
# that vanished inside a transaction does not keep its locks.
_SESSION = """
SELECT set_config('idle_in_transaction_session_timeout', '60s', false),
    CASE WHEN current_setting('synchronous_commit') = 'off'
    THEN set_config('synchronous_commit', 'on', false) END
"""

T = TypeVar("T")
Work = Callable[[Any], Awaitable[T]]


class PostgresLink:
    """A pool, and what waits for it. Belongs to the event loop that calls `open`."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: Any = None
        self._closed = False
        self._saves: deque[Job] = deque()
        self._savers = 0
        self._jobs = 0
        self._bytes = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Connect and migrate. Raises `StoreUnavailable`."""
        if self._pool is not None:
            return
        try:
            pool = await asyncpg.create_pool(
                self._url,
                min_size=0,  # no connecting in the background: it would log on its own
                max_size=self._connections,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                init=_prepare,
                reset=_keep,
                server_settings={"application_name": "portico"},
            )
            try:
                async with pool.acquire(timeout=CONNECT_SECONDS) as db:
                    await _migrate(db)
            except BaseException:
                pool.terminate()
                raise
        except ValueError as error:
            # The text may have pieces of the URL, and so of the password.
            raise unavailable(
                f"postgresql: the URL is not one the driver takes ({type(error).__name__})"
            ) from None
        except Exception as error:
            raise _fault(error) from None
        self._pool = pool

    async def close(self) -> None:
        """Finish what was begun, then disconnect."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), CLOSE_SECONDS)
            except Exception:  # a server that does not answer; nothing is lost any more
                self._pool.terminate()

    async def read(self, work: Work[T]) -> T:
        """Run work on a connection. Raises `StoreUnavailable`."""
        self._check(0)
        self._jobs += 1
        try:
            return await self._run(work)
        finally:
            self._jobs -= 1

    async def write(self, work: Work[T], size: int) -> T:
        """Like `read`, but the work goes on when the task that waits for it is cancelled."""
        self._check(size)
        self._jobs += 1
        self._bytes += size
        return await asyncio.shield(self._spawn(self._counted(work, size)))

    def save(self, record: Record, entries: Sequence[Entry], size: int) -> asyncio.Future[bool]:
        """Queue a save. Cancelling the future does not take it back."""
        self._check(size)
        self._jobs += 1
        self._bytes += size
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._saves.append(Job(future, size, None, record, entries))
        if self._savers < SAVERS and (self._savers == 0 or len(self._saves) > MOST_TAKEN // 16):
            self._savers += 1
            self._spawn(self._save_waiting())
        return future

    def _check(self, size: int) -> None:
        if self._pool is None:
            raise unavailable("the store is not started")
        if self._closed:
            raise unavailable("the store is closed")
        if self._jobs >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            raise overloaded()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    async def _counted(self, work: Work[T], size: int) -> T:
        try:
            return await self._run(work)
        finally:
            self._jobs -= 1
            self._bytes -= size

    async def _run(self, work: Work[T]) -> T:
        try:
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as db:
                return await work(db)
        except Exception as error:
            raise _fault(error) from None

    async def _save_waiting(self) -> None:
        try:
            while self._saves:
                jobs = self._take()
                for job, result in zip(jobs, await self._save(jobs), strict=True):
                    self._jobs -= 1
                    self._bytes -= job.size
                    if job.future.done():
                        continue  # its task was cancelled; the write was not
                    if isinstance(result, StoreUnavailable):
                        job.future.set_exception(result)
                    else:
                        job.future.set_result(result)
        finally:
            self._savers -= 1

    def _take(self) -> list[Job]:
        jobs = [self._saves.popleft()]
        size = jobs[0].size
        while self._saves and len(jobs) < MOST_TAKEN:
            size += self._saves[0].size
            if size > STATEMENT_BYTES:
                break
            jobs.append(self._saves.popleft())
        return jobs

    async def _save(self, jobs: list[Job]) -> list[bool | StoreUnavailable]:
        """All in one transaction; each in one of its own if one of them is at fault."""
        try:
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as db:
                return [*await postgres_writes.save_all(db, jobs)]
        except Exception as error:
            if len(jobs) == 1 or not _own_fault(error):
                return [_fault(error) for _ in jobs]
        results: list[bool | StoreUnavailable] = []
        for job in jobs:
            results += await self._save([job])
        return results


async def _prepare(db: Any) -> None:
    await db.execute(_SESSION)


async def _keep(db: Any) -> None:
    """Nothing to undo when a connection goes back to the pool: that saves a round trip."""


async def _migrate(db: Any) -> None:
    steps = migrations("postgres")
    async with db.transaction():
        await db.execute(f"SELECT pg_advisory_xact_lock({_LOCK})", timeout=MIGRATE_SECONDS)
        await db.execute(LEDGER.format("BIGINT NOT NULL"))
        applied = await db.fetchval("SELECT max(number) FROM portico_schema") or 0
        for step in missing(steps, applied):
            await db.execute(step.sql, timeout=MIGRATE_SECONDS)
            await db.execute(
                "INSERT INTO portico_schema (number, applied_at) VALUES ($1, $2)",
                step.number,
                int(time.time()),
            )


def _own_fault(error: Exception) -> bool:
    """Whether the fault is of one operation, or of several meeting, not of the database."""
    return isinstance(
        error,
        asyncpg.DataError
        | asyncpg.IntegrityConstraintViolationError
        | asyncpg.ProgramLimitExceededError
        | asyncpg.DeadlockDetectedError
        | asyncpg.SerializationError
        | ValueError
        | TypeError,
    )


def _fault(error: Exception) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    return unavailable(f"postgresql: {error!r}")
