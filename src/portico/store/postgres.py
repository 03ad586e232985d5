"""The store in PostgreSQL: one database for several gateways.

The same operations as in SQLite; what threads and a lock on the file do there, rows locked by
PostgreSQL do here. Needs `asyncpg` (the extra `postgres`); importing this module without it fails.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from portico.state.port import Order, StateStore
from portico.state.records import Conversation, Entry, Link, Logged, Record, Run, Status
from portico.store import postgres_reads as reads
from portico.store import postgres_writes as writes
from portico.store import rows
from portico.store.postgres_link import PostgresLink
from portico.store.rows import known, payload

CONNECTIONS = 8
"""Per process. PostgreSQL allows 100 in all unless it is told otherwise."""
PRUNE_AT_ONCE = 250
"""Responses that one transaction prunes."""

T = TypeVar("T")


class PostgresStore(StateStore):
    """A `StateStore` in the database at `url` (as `asyncpg` takes it, with its TLS parameters).
    Belongs to the event loop that calls `start`."""

    def __init__(self, url: str, connections: int = CONNECTIONS) -> None:
        self._link = PostgresLink(url, connections)

    async def start(self) -> None:
        """Connect, create or migrate the tables. Raises `StoreUnavailable`."""
        await self._link.open()

    async def close(self) -> None:
        """Finish what was begun, disconnect. What is called later fails."""
        await self._link.close()

    async def _write(self, work: Callable[..., Awaitable[T]], *args: Any, size: int = 0) -> T:
        return await self._link.write(lambda db: work(db, *args), size)

    async def _read(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        return await self._link.read(lambda db: work(db, *args))

    # responses

    async def save(self, record: Record, entries: Sequence[Entry] = ()) -> bool:
        """See the port."""
        size = len(record.input) + len(record.response) + payload(entries)
        return await self._link.save(record, entries, size)

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
        item = None if after is None else known(after)
        return await self._read(reads.entries, tenant, known(id), item, limit, order == "desc")

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
        """See the port. Several transactions."""
        pruned = 0
        while pruned < limit:
            done = await self._write(writes.prune, now, min(PRUNE_AT_ONCE, limit - pruned))
            if not done:
                break
            pruned += done
        return pruned
