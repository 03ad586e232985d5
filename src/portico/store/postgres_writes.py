"""What the PostgreSQL store changes: functions of a connection.

What changes rows is one statement, so one round trip, wherever PostgreSQL can tell the whole in
one. Rows that several gateways may change at once are locked first, in one order for all of them.
"""

from collections.abc import Sequence
from typing import Any

from portico.state.records import Conversation, Entry, Logged, Record, Run, Status
from portico.store.lane import Job
from portico.store.rows import CHILDLESS, COLUMNS, HIDDEN, LIVE, Row, findable, values

_TYPES = (
    "bytea", "text", "bigint", "bigint", "text", "text", "int", "int", "text", "text", "text",
    "bool", "bigint", "bool", "bool", "bool", "text", "float8", "bytea", "bytea",
)  # fmt: skip
_LIST = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(_TYPES, 1))
_NEXT = len(COLUMNS) + 1

_SAVE = f"""
WITH fresh AS (
    INSERT INTO responses ({_LIST})
    SELECT {_LIST} FROM unnest({_ARRAYS}) WITH ORDINALITY AS given ({_LIST}, place)
    ORDER BY place ON CONFLICT (tenant, id) DO NOTHING RETURNING seq, tenant, id
), named AS (
    INSERT INTO names (tenant, name, response)
    SELECT fresh.tenant, n.name, fresh.seq
    FROM unnest(${_NEXT}::bytea[], ${_NEXT + 1}::text[], ${_NEXT + 2}::text[])
        AS n (tenant, id, name) JOIN fresh ON fresh.tenant = n.tenant AND fresh.id = n.id
)
SELECT tenant, id FROM fresh
"""
_PROGRESS = f"""
WITH live AS (
    UPDATE responses SET status = $3, response = $4
    WHERE tenant = $1 AND id = $2 AND {LIVE} RETURNING seq
), logged AS (
    INSERT INTO events (response, number, data)
    SELECT live.seq, e.number, e.data FROM live, unnest($5::bigint[], $6::bytea[]) e (number, data)
    ON CONFLICT DO NOTHING
)
SELECT seq FROM live
"""
_FINISH = f"""
WITH live AS (
    UPDATE responses SET expires_at = $3, status = $4, output_at = $5, output_size = $6,
        origin = $7, kept = $8, context = $9, barrier = $10, background = $11, streamed = $12,
        response = $13, owner = NULL, lease_until = NULL
    WHERE tenant = $1 AND id = $2 AND {LIVE} RETURNING seq, tenant, conversation
), unnamed AS (
    DELETE FROM names USING live
    WHERE names.response = live.seq AND NOT names.name = ANY ($14::text[])
), named AS (
    INSERT INTO names (tenant, name, response)
    SELECT live.tenant, n, live.seq FROM live, unnest($14::text[]) n ON CONFLICT DO NOTHING
), logged AS (
    INSERT INTO events (response, number, data)
    SELECT live.seq, e.number, e.data
    FROM live, unnest($15::bigint[], $16::bytea[]) e (number, data)
    ON CONFLICT DO NOTHING
)
SELECT conversation FROM live
"""
Db = Any
"""An `asyncpg` connection; the library has no types."""


async def save_all(db: Db, jobs: Sequence[Job]) -> list[bool]:
    """Insert the responses of jobs, with names and entries. For each whether its id was new."""
    saved: dict[tuple[bytes, str], Job] = {}
    for job in jobs:
        if job.record is not None:
            saved.setdefault((job.record.tenant, job.record.id), job)
    first = list(saved.values())
    rows = [values(job.record) for job in first if job.record is not None]
    names = [
        (row[0], row[1], name)
        for row, job in zip(rows, first, strict=True)
        if job.record is not None
        for name in findable(job.record.names)
    ]
    if any(job.entries for job in first):
        async with db.transaction():
            new = await _insert(db, rows, names)
            await _append_all(db, [saved[key] for key in new])
    else:
        new = await _insert(db, rows, names)
    return [
        job.record is not None
        and (key := (job.record.tenant, job.record.id)) in new
        and saved[key] is job
        for job in jobs
    ]


async def _insert(db: Db, rows: Sequence[Row], names: Sequence[Row]) -> set[tuple[bytes, str]]:
    arrays = [list(column) for column in zip(*rows, strict=True)]
    arrays += [[row[at] for row in names] for at in range(3)]
    return {(row[0], row[1]) for row in await db.fetch(_SAVE, *arrays)}


async def _append_all(db: Db, jobs: Sequence[Job]) -> None:
    """Append the entries of saved responses, having locked all their conversations in order."""
    wanted = [
        (job.record.tenant, job.record.conversation, job.entries)
        for job in jobs
        if job.record is not None and job.record.conversation is not None and job.entries
    ]
    places = {
        (row[1], row[2]): row[0]
        for row in await db.fetch(
            "SELECT seq, tenant, id FROM conversations "
            "WHERE (tenant, id) IN (SELECT * FROM unnest($1::bytea[], $2::text[])) "
            "ORDER BY seq FOR UPDATE",
            [tenant for tenant, _, _ in wanted],
            [id for _, id, _ in wanted],
        )
    }
    rows: list[Row] = []
    for tenant, id, entries in wanted:
        place = places.get((tenant, id))
        if place is not None:
            rows += [(place, tenant, entry.id, entry.body) for entry in entries]
    await _insert_entries(db, rows)


async def _insert_entries(db: Db, rows: Sequence[Row]) -> None:
    if rows:
        await db.execute(
            "INSERT INTO entries (conversation, tenant, id, body) "
            "SELECT conversation, tenant, id, body "
            "FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::bytea[]) "
            "WITH ORDINALITY AS given (conversation, tenant, id, body, place) ORDER BY place",
            *[[row[at] for row in rows] for at in range(4)],
        )


async def begin_run(db: Db, record: Record, owner: str, lease_until: float) -> bool:
    """See the port."""
    names = [(record.tenant, record.id, name) for name in findable(record.names)]
    return bool(await _insert(db, [values(record, owner, lease_until)], names))


async def progress_run(
    db: Db, tenant: bytes, id: str, status: Status, response: bytes, events: Sequence[Logged]
) -> bool:
    """See the port."""
    numbers = [event.number for event in events]
    data = [event.data for event in events]
    row = await db.fetchrow(_PROGRESS, tenant, id, status, response, numbers, data)
    return row is not None


async def finish_run(
    db: Db, record: Record, events: Sequence[Logged], entries: Sequence[Entry]
) -> bool:
    """See the port."""
    given = (
        record.tenant, record.id, record.expires_at, record.status, record.output_at,
        record.output_size, record.origin, record.kept, record.context, record.barrier,
        record.background, record.streamed, record.response, findable(record.names),
        [event.number for event in events], [event.data for event in events],
    )  # fmt: skip
    if not entries:
        return await db.fetchrow(_FINISH, *given) is not None
    async with db.transaction():
        row = await db.fetchrow(_FINISH, *given)
        if row is not None and row[0] is not None:
            await _append(db, record.tenant, row[0], entries)
    return row is not None


async def secret(db: Db, name: str, fresh: str) -> str:
    """See the port."""
    await db.execute(
        "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, fresh
    )
    found: str = await db.fetchval("SELECT value FROM secrets WHERE name = $1", name)
    return found


async def renew(db: Db, owner: str, lease_until: float) -> list[Run]:
    """See the port."""
    rows = await db.fetch(
        f"UPDATE responses SET lease_until = $2 WHERE owner = $1 AND {LIVE} RETURNING tenant, id",
        owner,
        lease_until,
    )
    return [Run(*row) for row in rows]


async def delete(db: Db, tenant: bytes, id: str) -> bool:
    """See the port. The lock comes first: what a run logs meanwhile is deleted too."""
    async with db.transaction():
        place = await db.fetchval(
            "SELECT seq FROM responses WHERE tenant = $1 AND id = $2 "
            f"AND (expires_at IS NULL OR expires_at > {HIDDEN}) FOR UPDATE",
            tenant,
            id,
        )
        if place is None:
            return False
        if not await db.fetchval(
            "SELECT EXISTS (SELECT 1 FROM responses WHERE tenant = $1 AND parent = $2)", tenant, id
        ):
            await _delete(db, [place])
            return True
        await db.execute("DELETE FROM names WHERE response = $1", place)
        await db.execute("DELETE FROM events WHERE response = $1", place)
        await db.execute(
            f"UPDATE responses SET expires_at = {HIDDEN}, owner = NULL, lease_until = NULL, "
            f"status = CASE WHEN {LIVE} THEN 'cancelled' ELSE status END "
            "WHERE seq = $1",
            place,
        )
    return True


async def _delete(db: Db, places: Sequence[int]) -> None:
    await db.execute("DELETE FROM names WHERE response = ANY ($1::bigint[])", places)
    await db.execute("DELETE FROM events WHERE response = ANY ($1::bigint[])", places)
    await db.execute("DELETE FROM responses WHERE seq = ANY ($1::bigint[])", places)


async def prune(db: Db, now: float, limit: int) -> int:
    """See the port. Leaves that another gateway is pruning are left to it."""
    pruned = 0
    async with db.transaction():
        leaves = await db.fetch(
            "SELECT seq, tenant, parent FROM responses r "
            f"WHERE expires_at <= $1::float8 AND {CHILDLESS} "
            "ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED",
            now,
            limit,
        )
        while leaves:
            await _delete(db, [leaf[0] for leaf in leaves])
            pruned += len(leaves)
            parents = [leaf for leaf in leaves if leaf[2] is not None]
            if not parents or pruned >= limit:
                break
            leaves = await db.fetch(
                "SELECT seq, tenant, parent FROM responses r "
                "WHERE (tenant, id) IN (SELECT * FROM unnest($1::bytea[], $2::text[])) "
                f"AND expires_at <= $3::float8 AND {CHILDLESS} "
                "LIMIT $4 FOR UPDATE SKIP LOCKED",
                [leaf[1] for leaf in parents],
                [leaf[2] for leaf in parents],
                now,
                limit - pruned,
            )
    return pruned


async def create_conversation(db: Db, conversation: Conversation, entries: Sequence[Entry]) -> None:
    """See the port."""
    tenant = conversation.tenant
    async with db.transaction():
        place = await db.fetchval(
            "INSERT INTO conversations (tenant, id, created_at, metadata) "
            "VALUES ($1, $2, $3, $4) RETURNING seq",
            tenant,
            conversation.id,
            conversation.created_at,
            conversation.metadata,
        )
        await _insert_entries(db, [(place, tenant, entry.id, entry.body) for entry in entries])


async def update_conversation(
    db: Db, tenant: bytes, id: str, metadata: bytes
) -> Conversation | None:
    """See the port."""
    created_at = await db.fetchval(
        "UPDATE conversations SET metadata = $3 WHERE tenant = $1 AND id = $2 RETURNING created_at",
        tenant,
        id,
        metadata,
    )
    if created_at is None:
        return None
    return Conversation(tenant=tenant, id=id, created_at=created_at, metadata=metadata)


async def delete_conversation(db: Db, tenant: bytes, id: str) -> bool:
    """See the port."""
    async with db.transaction():
        place = await _lock(db, tenant, id)
        if place is not None:
            await db.execute("DELETE FROM entries WHERE conversation = $1", place)
            await db.execute("DELETE FROM conversations WHERE seq = $1", place)
    return place is not None


async def append(db: Db, tenant: bytes, id: str, entries: Sequence[Entry]) -> bool:
    """See the port."""
    async with db.transaction():
        return await _append(db, tenant, id, entries)


async def delete_entry(db: Db, tenant: bytes, id: str, item: str) -> bool:
    """See the port."""
    rows = await db.fetch(
        "DELETE FROM entries WHERE tenant = $1 AND id = $3 AND conversation = "
        "(SELECT seq FROM conversations WHERE tenant = $1 AND id = $2) RETURNING seq",
        tenant,
        id,
        item,
    )
    return bool(rows)


async def _append(db: Db, tenant: bytes, id: str, entries: Sequence[Entry]) -> bool:
    place = await _lock(db, tenant, id)
    if place is not None:
        await _insert_entries(db, [(place, tenant, entry.id, entry.body) for entry in entries])
    return place is not None


async def _lock(db: Db, tenant: bytes, id: str) -> int | None:
    """Positions are drawn by whoever holds this lock, so they grow in the order of commits."""
    place: int | None = await db.fetchval(
        "SELECT seq FROM conversations WHERE tenant = $1 AND id = $2 FOR UPDATE", tenant, id
    )
    return place
