"""What the SQLite store reads: functions of a connection."""

import sqlite3

from portico.state.records import Conversation, Entry, Logged, Record, Run, Status
from portico.store.rows import CHILDLESS, LIVE, READ, Row, record


def get(db: sqlite3.Connection, tenant: bytes, id: str, now: float) -> Record | None:
    """See the port."""
    row = db.execute(
        f"SELECT {READ} FROM responses WHERE tenant = ? AND id = ? "
        "AND (expires_at IS NULL OR expires_at > ?)",
        (tenant, id, now),
    ).fetchone()
    return None if row is None else record(row)


def by_name(db: sqlite3.Connection, tenant: bytes, name: str, now: float) -> Record | None:
    """See the port."""
    row = db.execute(
        f"SELECT {READ} FROM responses WHERE seq = ("
        "SELECT n.response FROM names n CROSS JOIN responses r ON r.seq = n.response "
        "WHERE n.tenant = ? AND n.name = ? AND (r.expires_at IS NULL OR r.expires_at > ?) "
        "ORDER BY n.response DESC LIMIT 1)",
        (tenant, name, now),
    ).fetchone()
    return None if row is None else record(row)


def chain(db: sqlite3.Connection, tenant: bytes, id: str) -> list[Row]:
    """The rows of `rows.chain`. UNION drops what was met before, so a circle ends."""
    return db.execute(
        "WITH RECURSIVE up (seq, parent, barrier) AS ("
        "SELECT seq, parent, barrier FROM responses WHERE tenant = ?1 AND id = ?2 "
        "UNION SELECT r.seq, r.parent, r.barrier FROM up CROSS JOIN responses r "
        "ON r.tenant = ?1 AND r.id = up.parent WHERE NOT up.barrier) "
        "SELECT r.id, r.parent, r.barrier, r.input, "
        "substr(r.response, r.output_at + 1, r.output_size), r.origin "
        "FROM up CROSS JOIN responses r ON r.seq = up.seq",
        (tenant, id),
    ).fetchall()


def conversation(db: sqlite3.Connection, tenant: bytes, id: str) -> Conversation | None:
    """See the port."""
    row = db.execute(
        "SELECT created_at, metadata FROM conversations WHERE tenant = ? AND id = ?", (tenant, id)
    ).fetchone()
    if row is None:
        return None
    return Conversation(tenant=tenant, id=id, created_at=row[0], metadata=row[1])


def entries(
    db: sqlite3.Connection, tenant: bytes, id: str, after: str | None, limit: int, newest: bool
) -> list[Entry] | None:
    """See the port. `limit` -1: all. None also when there is no such conversation.

    Of several items with the id `after` it is the last on the way, so that a walk by pages ends.
    """
    place = place_of(db, tenant, id)
    if place is None:
        return None
    edge = 0
    if after is not None:
        edge = db.execute(
            f"SELECT {'min' if newest else 'max'}(seq) FROM entries "
            "WHERE tenant = ? AND id = ? AND conversation = ?",
            (tenant, after, place),
        ).fetchone()[0]
        if edge is None:
            return None
    if newest:
        bound, direction = "seq < ?" if after is not None else "seq > ?", "DESC"
    else:
        bound, direction = "seq > ?", "ASC"
    rows = db.execute(
        f"SELECT id, body FROM entries WHERE conversation = ? AND {bound} "
        f"ORDER BY seq {direction} LIMIT ?",
        (place, edge, limit),
    )
    return [Entry(item, body) for item, body in rows]


def entry(db: sqlite3.Connection, tenant: bytes, id: str, item: str) -> Entry | None:
    """See the port."""
    row = db.execute(
        "SELECT id, body FROM entries WHERE tenant = ? AND id = ? AND conversation = ? "
        "ORDER BY seq DESC LIMIT 1",
        (tenant, item, place_of(db, tenant, id)),
    ).fetchone()
    return None if row is None else Entry(*row)


def weigh(db: sqlite3.Connection, tenant: bytes, id: str) -> int:
    """See the port."""
    row = db.execute(
        "SELECT sum(length(body)) FROM entries WHERE conversation = "
        "(SELECT seq FROM conversations WHERE tenant = ? AND id = ?)",
        (tenant, id),
    ).fetchone()
    return int(row[0] or 0)


def entry_anywhere(db: sqlite3.Connection, tenant: bytes, item: str) -> Entry | None:
    """See the port."""
    row = db.execute(
        "SELECT id, body FROM entries WHERE tenant = ? AND id = ? ORDER BY seq DESC LIMIT 1",
        (tenant, item),
    ).fetchone()
    return None if row is None else Entry(*row)


def events(db: sqlite3.Connection, tenant: bytes, id: str, after: int, limit: int) -> list[Logged]:
    """See the port."""
    rows = db.execute(
        "SELECT number, data FROM events WHERE response = "
        "(SELECT seq FROM responses WHERE tenant = ? AND id = ?) AND number > ? "
        "ORDER BY number LIMIT ?",
        (tenant, id, after, limit),
    )
    return [Logged(number, data) for number, data in rows]


def standing(
    db: sqlite3.Connection, tenant: bytes, id: str, now: float
) -> tuple[Status, int] | None:
    """See the port."""
    row = db.execute(
        "SELECT status, (SELECT max(number) FROM events WHERE response = seq) FROM responses "
        "WHERE tenant = ? AND id = ? AND (expires_at IS NULL OR expires_at > ?)",
        (tenant, id, now),
    ).fetchone()
    return None if row is None else (row[0], -1 if row[1] is None else row[1])


def held(db: sqlite3.Connection, owner: str) -> list[Run]:
    """See the port."""
    rows = db.execute(f"SELECT tenant, id FROM responses WHERE owner = ? AND {LIVE}", (owner,))
    return [Run(*row) for row in rows]


def abandoned(db: sqlite3.Connection, now: float, limit: int) -> list[Record]:
    """See the port."""
    rows = db.execute(
        f"SELECT {READ} FROM responses WHERE owner IS NOT NULL AND lease_until <= ? AND {LIVE} "
        "ORDER BY lease_until LIMIT ?",
        (now, limit),
    )
    return [record(row) for row in rows]


def leaves(db: sqlite3.Connection, now: float, limit: int) -> list[int]:
    """Rows of expired responses without children, those that expired first in front."""
    rows = db.execute(
        f"SELECT seq FROM responses r WHERE expires_at <= ? AND {CHILDLESS} "
        "ORDER BY expires_at LIMIT ?",
        (now, limit),
    )
    return [row[0] for row in rows]


def place_of(db: sqlite3.Connection, tenant: bytes, id: str) -> int | None:
    """The row of a conversation."""
    row = db.execute(
        "SELECT seq FROM conversations WHERE tenant = ? AND id = ?", (tenant, id)
    ).fetchone()
    return None if row is None else int(row[0])
