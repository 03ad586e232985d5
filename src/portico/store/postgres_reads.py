"""What the PostgreSQL store reads: functions of a connection."""

from typing import Any

from portico.state.records import Conversation, Entry, Logged, Record, Run, Status
from portico.store.rows import LIVE, READ, Row, record

_CHAIN = """
WITH RECURSIVE up (seq, parent, barrier) AS (
    SELECT seq, parent, barrier FROM responses WHERE tenant = $1 AND id = $2
    UNION
    SELECT r.seq, r.parent, r.barrier FROM up CROSS JOIN LATERAL (
        SELECT seq, parent, barrier FROM responses
        WHERE tenant = $1 AND id = up.parent OFFSET 0
    ) r WHERE NOT up.barrier
)
SELECT r.id, r.parent, r.barrier, r.input, r.output, r.origin FROM up CROSS JOIN LATERAL (
    SELECT id, parent, barrier, input, substr(response, output_at + 1, output_size) AS output,
        origin
    FROM responses WHERE seq = up.seq OFFSET 0
) r
"""

Db = Any
"""An `asyncpg` connection; the library has no types."""


async def get(db: Db, tenant: bytes, id: str, now: float) -> Record | None:
    """See the port."""
    row = await db.fetchrow(
        f"SELECT {READ} FROM responses WHERE tenant = $1 AND id = $2 "
        "AND (expires_at IS NULL OR expires_at > $3::float8)",
        tenant,
        id,
        now,
    )
    return None if row is None else record(row)


async def by_name(db: Db, tenant: bytes, name: str, now: float) -> Record | None:
    """See the port."""
    row = await db.fetchrow(
        f"SELECT {READ} FROM responses WHERE seq = ("
        "SELECT n.response FROM names n JOIN responses r ON r.seq = n.response "
        "WHERE n.tenant = $1 AND n.name = $2 "
        "AND (r.expires_at IS NULL OR r.expires_at > $3::float8) "
        "ORDER BY n.response DESC LIMIT 1)",
        tenant,
        name,
        now,
    )
    return None if row is None else record(row)


async def chain(db: Db, tenant: bytes, id: str) -> list[Row]:
    """The rows of `rows.chain`. UNION drops what was met before, so a circle ends.

    LATERAL with OFFSET keeps the planner from joining with the whole table when it has no
    statistics yet.
    """
    found: list[Row] = await db.fetch(_CHAIN, tenant, id)
    return found


async def conversation(db: Db, tenant: bytes, id: str) -> Conversation | None:
    """See the port."""
    row = await db.fetchrow(
        "SELECT created_at, metadata FROM conversations WHERE tenant = $1 AND id = $2", tenant, id
    )
    if row is None:
        return None
    return Conversation(tenant=tenant, id=id, created_at=row[0], metadata=row[1])


async def entries(
    db: Db, tenant: bytes, id: str, after: str | None, limit: int | None, newest: bool
) -> list[Entry] | None:
    """See the port. None also when there is no such conversation.

    Of several items with the id `after` it is the last on the way, so that a walk by pages ends.
    """
    place = await db.fetchval(
        "SELECT seq FROM conversations WHERE tenant = $1 AND id = $2", tenant, id
    )
    if place is None:
        return None
    edge = None
    if after is not None:
        edge = await db.fetchval(
            f"SELECT {'min' if newest else 'max'}(seq) FROM entries "
            "WHERE tenant = $1 AND id = $2 AND conversation = $3",
            tenant,
            after,
            place,
        )
        if edge is None:
            return None
    sign, direction = ("<", "DESC") if newest else (">", "ASC")
    rows = await db.fetch(
        "SELECT id, body FROM entries WHERE conversation = $1 "
        f"AND ($2::bigint IS NULL OR seq {sign} $2) ORDER BY seq {direction} LIMIT $3",
        place,
        edge,
        limit,
    )
    return [Entry(*row) for row in rows]


async def entry(db: Db, tenant: bytes, id: str, item: str) -> Entry | None:
    """See the port."""
    row = await db.fetchrow(
        "SELECT id, body FROM entries WHERE tenant = $1 AND id = $3 AND conversation = "
        "(SELECT seq FROM conversations WHERE tenant = $1 AND id = $2) "
        "ORDER BY seq DESC LIMIT 1",
        tenant,
        id,
        item,
    )
    return None if row is None else Entry(*row)


async def weigh(db: Db, tenant: bytes, id: str) -> int:
    """See the port."""
    size = await db.fetchval(
        "SELECT sum(octet_length(body)) FROM entries WHERE conversation = "
        "(SELECT seq FROM conversations WHERE tenant = $1 AND id = $2)",
        tenant,
        id,
    )
    return int(size or 0)


async def entry_anywhere(db: Db, tenant: bytes, item: str) -> Entry | None:
    """See the port."""
    row = await db.fetchrow(
        "SELECT id, body FROM entries WHERE tenant = $1 AND id = $2 ORDER BY seq DESC LIMIT 1",
        tenant,
        item,
    )
    return None if row is None else Entry(*row)


async def events(db: Db, tenant: bytes, id: str, after: int, limit: int) -> list[Logged]:
    """See the port."""
    rows = await db.fetch(
        "SELECT number, data FROM events WHERE response = "
        "(SELECT seq FROM responses WHERE tenant = $1 AND id = $2) AND number > $3 "
        "ORDER BY number LIMIT $4",
        tenant,
        id,
        after,
        limit,
    )
    return [Logged(*row) for row in rows]


async def standing(db: Db, tenant: bytes, id: str, now: float) -> tuple[Status, int] | None:
    """See the port."""
    row = await db.fetchrow(
        "SELECT status, (SELECT max(number) FROM events WHERE response = seq) FROM responses "
        "WHERE tenant = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)",
        tenant,
        id,
        now,
    )
    return None if row is None else (row[0], -1 if row[1] is None else row[1])


async def held(db: Db, owner: str) -> list[Run]:
    """See the port."""
    rows = await db.fetch(f"SELECT tenant, id FROM responses WHERE owner = $1 AND {LIVE}", owner)
    return [Run(*row) for row in rows]


async def abandoned(db: Db, now: float, limit: int) -> list[Record]:
    """See the port."""
    rows = await db.fetch(
        f"SELECT {READ} FROM responses WHERE owner IS NOT NULL AND lease_until <= $1 AND {LIVE} "
        "ORDER BY lease_until LIMIT $2",
        now,
        limit,
    )
    return [record(row) for row in rows]
