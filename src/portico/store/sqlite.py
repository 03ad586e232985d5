"""The store in a SQLite file, or in memory.

One thread writes, two read, and the event loop never touches the file. What is asked to be written
during a commit is committed together by the next one. A database in memory is one connection, so
reading is done by the thread that writes.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from portico.state.port import Order, StateStore
from portico.state.records import Conversation, Entry, Link, Logged, Record, Run, Status
from portico.store import rows
from portico.store import sqlite_reads as reads
from portico.store import sqlite_writes as writes
from portico.store.faults import unavailable
from portico.store.lane import Lane
from portico.store.rows import known, payload
from portico.store.sqlite_connection import MEMORY, SqliteReader, SqliteWriter

READERS = 2
READS_AT_ONCE = 8
"""Few: the first of them waits for the last."""
PRUNE_AT_ONCE = 250
"""Responses that one transaction prunes, so that saves get their turn."""

T = TypeVar("T")


class SqliteStore(StateStore):
    """A `StateStore` on the file at `path`, or in memory for `:memory:`. Belongs to the event loop
    that calls `start`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writes: Lane | None = None
        self._reads: Lane | None = None

    async def start(self) -> None:
        """Open, create or migrate the file. Raises `StoreUnavailable`."""
        if self._writes is not None:
            return
        writing = Lane([SqliteWriter(self._path)], name="portico-sqlite-write")
        try:
            await writing.submit(_nothing)
        except BaseException:
            await writing.close()
            raise
        self._writes = writing
        if self._path == MEMORY:
            self._reads = writing
        else:
            readers = [SqliteReader(self._path) for _ in range(READERS)]
            self._reads = Lane(readers, name="portico-sqlite-read", most=READS_AT_ONCE)

    async def close(self) -> None:
        """Finish what is queued, close the file. What is called later fails."""
        if self._reads is not None and self._reads is not self._writes:
            await self._reads.close()
        if self._writes is not None:
            await self._writes.close()

    def _write(self, work: Callable[..., T], *args: Any, size: int = 0) -> Awaitable[T]:
        if self._writes is None:
            raise unavailable("the store is not started")
        return self._writes.submit(partial(_call, work, args), size)

    def _read(self, work: Callable[..., T], *args: Any) -> Awaitable[T]:
        if self._reads is None:
            raise unavailable("the store is not started")
        return self._reads.submit(partial(_call, work, args))

    # responses

    async def save(self, record: Record, entries: Sequence[Entry] = ()) -> bool:
        """See the port."""
        if self._writes is None:
            raise unavailable("the store is not started")
        size = len(record.input) + len(record.response) + payload(entries)
        saved: bool = await self._writes.submit(None, size, record, entries)
        return saved

    async def get(self, tenant: bytes, id: str, now: float) -> Record | None:
        """See the port."""
        return await self._read(reads.get, tenant, known(id), now)

    async def by_name(self, tenant: bytes, name: str, now: float) -> Record | None:
        """See the port."""
        return await self._read(reads.by_name, tenant, known(name), now)

    async def chain(self, tenant: bytes, id: str) -> list[Link] | None:
        """See the port."""
        return rows.chain(await self._read(reads.chain, tenant, known(id)), id)

    async def delete(self, tenant: bytes, id: str) -> bool:
        """See the port."""
        return await self._write(writes.delete, tenant, known(id))

    # conversations

    async def create_conversation(
        self, conversation: Conversation, entries: Sequence[Entry]
    ) -> None:
        """See the port."""
        size = payload(entries) + len(conversation.metadata)
        await self._write(writes.create_conversation, conversation, entries, size=size)

    async def conversation(self, tenant: bytes, id: str) -> Conversation | None:
        """See the port."""
        return await self._read(reads.conversation, tenant, known(id))

    async def update_conversation(
        self, tenant: bytes, id: str, metadata: bytes
    ) -> Conversation | None:
        """See the port."""
        size = len(metadata)
        return await self._write(writes.update_conversation, tenant, known(id), metadata, size=size)

    async def delete_conversation(self, tenant: bytes, id: str) -> bool:
        """See the port."""
        return await self._write(writes.delete_conversation, tenant, known(id))

    async def append(self, tenant: bytes, id: str, entries: Sequence[Entry]) -> bool:
        """See the port."""
        return await self._write(writes.append, tenant, known(id), entries, size=payload(entries))

    async def entries(
        self, tenant: bytes, id: str, *, after: str | None, limit: int | None, order: Order
    ) -> list[Entry] | None:
        """See the port. None also when there is no such conversation."""
        most = -1 if limit is None else limit
        item = None if after is None else known(after)
        return await self._read(reads.entries, tenant, known(id), item, most, order == "desc")

    async def weigh(self, tenant: bytes, id: str) -> int:
        """See the port."""
        return await self._read(reads.weigh, tenant, known(id))

    async def entry(self, tenant: bytes, id: str, item: str) -> Entry | None:
        """See the port."""
        return await self._read(reads.entry, tenant, known(id), known(item))

    async def entry_anywhere(self, tenant: bytes, item: str) -> Entry | None:
        """See the port."""
        return await self._read(reads.entry_anywhere, tenant, known(item))

    async def delete_entry(self, tenant: bytes, id: str, item: str) -> bool:
        """See the port."""
        return await self._write(writes.delete_entry, tenant, known(id), known(item))

    # background runs

    async def begin_run(self, record: Record, owner: str, lease_until: float) -> bool:
        """See the port."""
        size = len(record.input) + len(record.response)
        return await self._write(writes.begin_run, record, owner, lease_until, size=size)

    async def progress_run(
        self, tenant: bytes, id: str, status: Status, response: bytes, events: Sequence[Logged]
    ) -> bool:
        """See the port."""
        size = len(response) + payload(events)
        return await self._write(
            writes.progress_run, tenant, known(id), status, response, events, size=size
        )

    async def finish_run(
        self, record: Record, events: Sequence[Logged], entries: Sequence[Entry] = ()
    ) -> bool:
        """See the port."""
        size = len(record.response) + payload(events) + payload(entries)
        return await self._write(writes.finish_run, record, events, entries, size=size)

    async def events(self, tenant: bytes, id: str, after: int, limit: int) -> list[Logged]:
        """See the port."""
        return await self._read(reads.events, tenant, known(id), after, limit)

    async def standing(self, tenant: bytes, id: str, now: float) -> tuple[Status, int] | None:
        """See the port."""
        return await self._read(reads.standing, tenant, known(id), now)

    async def renew(self, owner: str, lease_until: float) -> list[Run]:
        """See the port."""
        return await self._write(writes.renew, owner, lease_until)

    async def held(self, owner: str) -> list[Run]:
        """See the port."""
        return await self._read(reads.held, owner)

    async def abandoned(self, now: float, limit: int) -> list[Record]:
        """See the port."""
        return await self._read(reads.abandoned, now, limit)

    # house-keeping

    async def secret(self, name: str, fresh: str) -> str:
        """See the port."""
        return await self._write(writes.secret, name, fresh)

    async def prune(self, now: float, limit: int) -> int:
        """See the port. Several transactions; what is a leaf is found by a thread that reads."""
        pruned = 0
        while pruned < limit:
            most = min(PRUNE_AT_ONCE, limit - pruned)
            places = await self._read(reads.leaves, now, most)
            done = await self._write(writes.prune, places, now, most) if places else 0
            if not done:
                break
            pruned += done
        return pruned


def _nothing(db: Any) -> None:
    """Work that only has the connection opened."""


def _call(work: Callable[..., T], args: tuple[Any, ...], db: Any) -> T:
    return work(db, *args)
