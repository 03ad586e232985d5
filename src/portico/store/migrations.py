"""The numbered steps that bring a database to the form this version reads.

`migrations/<database>/NNNN_name.sql`, applied in order at start, each once, all in one transaction
under a lock of the database: gateways that start at the same time wait for each other. The table
`portico_schema` records what was applied. A database that a newer version has changed is refused:
an older one cannot know what its columns mean.
"""

import re
from importlib import resources
from typing import Literal, TypeAlias

from msgspec import Struct

from portico.store.faults import unavailable

Kind: TypeAlias = Literal["sqlite", "postgres"]

LEDGER = "CREATE TABLE IF NOT EXISTS portico_schema (number INTEGER PRIMARY KEY, applied_at {})"
_FILE = re.compile(r"(\d{4})_\w+\.sql")


class Migration(Struct, frozen=True):
    """One step: its number and the statements."""

    number: int
    sql: str


def migrations(kind: Kind) -> list[Migration]:
    """All steps for this database, in order."""
    folder = resources.files("portico.store") / "migrations" / kind
    found = [
        Migration(int(match[1]), file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name))
    ]
    return sorted(found, key=lambda step: step.number)


def missing(steps: list[Migration], applied: int) -> list[Migration]:
    """The steps after number `applied`. Raises `StoreUnavailable` when it is above them all."""
    known = steps[-1].number if steps else 0
    if applied > known:
        raise unavailable(
            f"the database has schema {applied}, made by a newer version; "
            f"this one knows schemas up to {known}"
        )
    return [step for step in steps if step.number > applied]
