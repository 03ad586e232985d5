"""What both databases share: the columns of a response, and how rows become records."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from portico.state.records import Entry, Link, Logged, Record

Row: TypeAlias = Sequence[Any]

COLUMNS = (
    "tenant", "id", "created_at", "expires_at", "status", "model", "output_at", "output_size",
    "parent", "conversation", "origin", "kept", "context", "barrier", "background", "streamed",
    "owner", "lease_until", "input", "response",
)  # fmt: skip
"""In the order of `values`."""
READ = (
    "tenant, id, created_at, expires_at, status, model, input, response, output_at, output_size, "
    "parent, conversation, origin, kept, context, barrier, background, streamed"
)
"""The columns `record` takes."""
LIVE = "status IN ('queued', 'in_progress')"
"""A condition on rows that may still change."""
CHILDLESS = "NOT EXISTS (SELECT 1 FROM responses c WHERE c.tenant = r.tenant AND c.parent = r.id)"
"""A condition on rows of `responses r`."""
HIDDEN = 0
"""`expires_at` of a response that was deleted and has children: it is only their context now."""
LONGEST_NAME = 512
"""Characters. Item ids above it are not ids that anybody made to be found again, and PostgreSQL
has no index entries of more than 2,700 bytes."""


def values(record: Record, owner: str | None = None, lease_until: float | None = None) -> Row:
    """A row for `COLUMNS`."""
    return (
        record.tenant, record.id, record.created_at, record.expires_at, record.status, record.model,
        record.output_at, record.output_size, record.parent, record.conversation, record.origin,
        record.kept, record.context, record.barrier, record.background, record.streamed,
        owner, lease_until, record.input, record.response,
    )  # fmt: skip


def record(row: Row) -> Record:
    """A record from a row of `READ`."""
    return Record(
        tenant=row[0],
        id=row[1],
        created_at=row[2],
        expires_at=row[3],
        status=row[4],
        model=row[5],
        input=row[6],
        response=row[7],
        output_at=row[8],
        output_size=row[9],
        parent=row[10],
        conversation=row[11],
        origin=row[12],
        kept=bool(row[13]),
        context=row[14],
        barrier=bool(row[15]),
        background=bool(row[16]),
        streamed=bool(row[17]),
    )


def chain(rows: Iterable[Row], id: str) -> list[Link] | None:
    """The links from the root to `id` out of rows (id, parent, barrier, input, output, origin).

    None when the way up meets a response that is not among them, or one that it has passed.
    """
    by_id = {row[0]: row for row in rows}
    links: list[Link] = []
    at: str | None = id
    while at is not None:
        row = by_id.pop(at, None)
        if row is None:
            return None
        links.append(Link(row[3], row[4] or b"", row[5]))
        at = None if row[2] else row[1]
    links.reverse()
    return links


def findable(names: Iterable[str]) -> list[str]:
    """The names that go into the index, each once."""
    return [name for name in dict.fromkeys(names) if len(name) <= LONGEST_NAME and known(name)]


def known(id: str) -> str:
    """`id`, or "" (nobody's id) when it is a text that no database can hold."""
    if id.isascii():
        return "" if "\0" in id else id
    try:
        id.encode()
    except UnicodeEncodeError:
        return ""
    return "" if "\0" in id else id


def payload(parts: Sequence[Entry] | Sequence[Logged]) -> int:
    """Bytes of the bodies, for what bounds the memory of waiting writes."""
    if not parts:
        return 0
    return sum([len(part.body if isinstance(part, Entry) else part.data) for part in parts])
