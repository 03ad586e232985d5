"""What the SQLite store changes: functions of a connection, each part of one transaction.

Python gives up its global lock around every step of a statement and may wait milliseconds to get
it back while the event loop is busy. So rows are inserted many per statement, not one by one.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from portico.state.records import Conversation, Entry, Logged, Record, Run, Status
from portico.store.lane import Job
from portico.store.rows import CHILDLESS, COLUMNS, HIDDEN, LIVE, Row, findable, values
from portico.store.sqlite_reads import conversation, place_of

ROWS_AT_ONCE = 32
"""20 parameters each stay below the 999 of old libraries."""

_RESPONSES = f"INSERT INTO responses ({', '.join(COLUMNS)}) VALUES "
_LEASED = ("owner", "lease_until")
_FINISHED_COLUMNS = tuple(name for name in COLUMNS if name not in _LEASED)
_FINISHED = f"INSERT INTO responses ({', '.join(_FINISHED_COLUMNS)}) VALUES "
_UNIQUE = " ON CONFLICT (tenant, id) DO NOTHING"
_NAMES = "INSERT OR IGNORE INTO names (tenant, name, response) VALUES "
_ENTRIES = "INSERT INTO entries (conversation, tenant, id, body) VALUES "
_EVENTS = "INSERT OR IGNORE INTO events (response, number, data) VALUES "


@lru_cache(maxsize=64)
def _statement(head: str, width: int, count: int, tail: str) -> str:
    row = "(" + ", ".join("?" * width) + ")"
    return head + ", ".join([row] * count) + tail


def _insert(
    db: sqlite3.Connection, head: str, rows: Sequence[Row], tail: str = ""
) -> tuple[int, int]:
    """Insert rows in as few statements as there are bits in their number, so that each is prepared
    once and for all. How many went in, and the rowid of the last that did."""
    inserted = last = at = 0
    left = len(rows)
    while left:
        count = min(ROWS_AT_ONCE, 1 << (left.bit_length() - 1))
        flat: list[Any] = []
        for row in rows[at : at + count]:
            flat += row
        cursor = db.execute(_statement(head, len(rows[0]), count, tail), flat)
        if cursor.rowcount > 0:
            inserted += cursor.rowcount
            last = cursor.lastrowid or 0
        at += count
        left -= count
    return inserted, last


def _finished(one: Record) -> Row:
    """A row for `_FINISHED_COLUMNS`. sqlite3 looks for an adapter of every bool and None, which
    takes longer than storing it."""
    return (
        one.tenant, one.id, one.created_at, one.expires_at, one.status, one.model,
        one.output_at, one.output_size, one.parent, one.conversation, one.origin,
        +one.kept, one.context, +one.barrier, +one.background, +one.streamed,
        one.input, one.response,
    )  # fmt: skip


def save_all(db: sqlite3.Connection, jobs: Sequence[Job]) -> list[bool]:
    """Insert the responses of jobs, with names and entries. For each whether its id was new."""
    saved = [job.record for job in jobs if job.record is not None]
    inserted, last = _insert(db, _FINISHED, [_finished(one) for one in saved], _UNIQUE)
    first = last - inserted + 1
    if inserted == len(jobs):  # rowids count up by one
        places: list[int | None] = list(range(first, last + 1))
    else:
        found: Iterable[Row] = ()
        if inserted:
            found = db.execute("SELECT seq, tenant, id FROM responses WHERE seq >= ?", (first,))
        new = {(tenant, name): seq for seq, tenant, name in found}
        places = [new.pop((one.tenant, one.id), None) for one in saved]
    names: list[Row] = []
    entries: list[Row] = []
    for job, one, seq in zip(jobs, saved, places, strict=True):
        if seq is None:
            continue
        if one.names:
            names += [(one.tenant, name, seq) for name in findable(one.names)]
        if job.entries and one.conversation is not None:
            entries += _entry_rows(db, one.tenant, one.conversation, job.entries) or ()
    _insert(db, _NAMES, names)
    _insert(db, _ENTRIES, entries)
    return [seq is not None for seq in places]


def begin_run(db: sqlite3.Connection, record: Record, owner: str, lease_until: float) -> bool:
    """See the port."""
    inserted, seq = _insert(db, _RESPONSES, [values(record, owner, lease_until)], _UNIQUE)
    if inserted:
        _insert(db, _NAMES, [(record.tenant, name, seq) for name in findable(record.names)])
    return bool(inserted)


def progress_run(
    db: sqlite3.Connection,
    tenant: bytes,
    id: str,
    status: Status,
    response: bytes,
    events: Sequence[Logged],
) -> bool:
    """See the port."""
    row = _live(db, tenant, id)
    if row is None:
        return False
    db.execute(
        "UPDATE responses SET status = ?, response = ? WHERE seq = ?", (status, response, row[0])
    )
    _insert(db, _EVENTS, [(row[0], event.number, event.data) for event in events])
    return True


def finish_run(
    db: sqlite3.Connection, record: Record, events: Sequence[Logged], entries: Sequence[Entry]
) -> bool:
    """See the port."""
    row = _live(db, record.tenant, record.id)
    if row is None:
        return False
    seq, conversation = row
    db.execute(
        "UPDATE responses SET expires_at = ?, status = ?, output_at = ?, output_size = ?, "
        "origin = ?, kept = ?, context = ?, barrier = ?, background = ?, streamed = ?, "
        "response = ?, owner = NULL, lease_until = NULL WHERE seq = ?",
        (
            record.expires_at, record.status, record.output_at, record.output_size,
            record.origin, record.kept, record.context, record.barrier, record.background,
            record.streamed, record.response, seq,
        ),
    )  # fmt: skip
    db.execute("DELETE FROM names WHERE response = ?", (seq,))
    _insert(db, _NAMES, [(record.tenant, name, seq) for name in findable(record.names)])
    _insert(db, _EVENTS, [(seq, event.number, event.data) for event in events])
    if entries and conversation is not None:
        _insert(db, _ENTRIES, _entry_rows(db, record.tenant, conversation, entries) or ())
    return True


def _live(db: sqlite3.Connection, tenant: bytes, id: str) -> Row | None:
    found: Row | None = db.execute(
        f"SELECT seq, conversation FROM responses WHERE tenant = ? AND id = ? AND {LIVE}",
        (tenant, id),
    ).fetchone()
    return found


def secret(db: sqlite3.Connection, name: str, fresh: str) -> str:
    """See the port."""
    db.execute(
        "INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, fresh)
    )
    found: str = db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()[0]
    return found


def renew(db: sqlite3.Connection, owner: str, lease_until: float) -> list[Run]:
    """See the port."""
    held = db.execute(
        f"SELECT tenant, id FROM responses WHERE owner = ? AND {LIVE}", (owner,)
    ).fetchall()
    if held:
        db.execute(
            f"UPDATE responses SET lease_until = ? WHERE owner = ? AND {LIVE}",
            (lease_until, owner),
        )
    return [Run(*row) for row in held]


def delete(db: sqlite3.Connection, tenant: bytes, id: str) -> bool:
    """See the port."""
    row = db.execute(
        "SELECT seq, EXISTS (SELECT 1 FROM responses c WHERE c.tenant = r.tenant AND "
        "c.parent = r.id) FROM responses r WHERE tenant = ? AND id = ? "
        f"AND (expires_at IS NULL OR expires_at > {HIDDEN})",
        (tenant, id),
    ).fetchone()
    if row is None:
        return False
    place, has_children = row
    if not has_children:
        _delete(db, [place])
        return True
    db.execute("DELETE FROM names WHERE response = ?", (place,))
    db.execute("DELETE FROM events WHERE response = ?", (place,))
    db.execute(
        f"UPDATE responses SET expires_at = {HIDDEN}, owner = NULL, lease_until = NULL, "
        f"status = CASE WHEN {LIVE} THEN 'cancelled' ELSE status END "
        "WHERE seq = ?",
        (place,),
    )
    return True


def _delete(db: sqlite3.Connection, places: Sequence[int]) -> None:
    for at in range(0, len(places), 500):
        some = places[at : at + 500]
        marks = ", ".join("?" * len(some))
        db.execute(f"DELETE FROM names WHERE response IN ({marks})", some)
        db.execute(f"DELETE FROM events WHERE response IN ({marks})", some)
        db.execute(f"DELETE FROM responses WHERE seq IN ({marks})", some)


def prune(db: sqlite3.Connection, candidates: Sequence[int], now: float, limit: int) -> int:
    """Delete those of the candidates that are still expired leaves, then parents that thereby
    became such, up to `limit`."""
    pruned = 0
    places: list[int] = list(candidates)
    while places and pruned < limit:
        leaves: list[Row] = []
        for place in places[: limit - pruned]:
            leaves += db.execute(
                "SELECT seq, tenant, parent FROM responses r "
                f"WHERE seq = ? AND expires_at <= ? AND {CHILDLESS}",
                (place, now),
            )
        _delete(db, [leaf[0] for leaf in leaves])
        pruned += len(leaves)
        places = []
        for _, tenant, parent in leaves:
            if parent is not None:
                places += [
                    row[0]
                    for row in db.execute(
                        "SELECT seq FROM responses WHERE tenant = ? AND id = ?", (tenant, parent)
                    )
                ]
        places = list(dict.fromkeys(places))
    return pruned


def create_conversation(
    db: sqlite3.Connection, conversation: Conversation, entries: Sequence[Entry]
) -> None:
    """See the port."""
    db.execute(
        "INSERT INTO conversations (tenant, id, created_at, metadata) VALUES (?, ?, ?, ?)",
        (conversation.tenant, conversation.id, conversation.created_at, conversation.metadata),
    )
    append(db, conversation.tenant, conversation.id, entries)


def update_conversation(
    db: sqlite3.Connection, tenant: bytes, id: str, metadata: bytes
) -> Conversation | None:
    """See the port."""
    db.execute(
        "UPDATE conversations SET metadata = ? WHERE tenant = ? AND id = ?", (metadata, tenant, id)
    )
    return conversation(db, tenant, id)


def delete_conversation(db: sqlite3.Connection, tenant: bytes, id: str) -> bool:
    """See the port."""
    place = place_of(db, tenant, id)
    if place is None:
        return False
    db.execute("DELETE FROM entries WHERE conversation = ?", (place,))
    db.execute("DELETE FROM conversations WHERE seq = ?", (place,))
    return True


def append(db: sqlite3.Connection, tenant: bytes, id: str, entries: Sequence[Entry]) -> bool:
    """See the port."""
    rows = _entry_rows(db, tenant, id, entries)
    if rows is None:
        return False
    _insert(db, _ENTRIES, rows)
    return True


def delete_entry(db: sqlite3.Connection, tenant: bytes, id: str, item: str) -> bool:
    """See the port."""
    place = place_of(db, tenant, id)
    cursor = db.execute(
        "DELETE FROM entries WHERE tenant = ? AND id = ? AND conversation = ?",
        (tenant, item, place),
    )
    return cursor.rowcount > 0


def _entry_rows(
    db: sqlite3.Connection, tenant: bytes, id: str, entries: Sequence[Entry]
) -> list[Row] | None:
    place = place_of(db, tenant, id)
    if place is None:
        return None
    return [(place, tenant, entry.id, entry.body) for entry in entries]
