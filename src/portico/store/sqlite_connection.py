"""Connections to a SQLite file, and the two kinds of thread work on them: writing and reading.

A commit is acknowledged once it is on the disk: WAL with `synchronous=FULL`. Several worker
processes may share the file; a writer that finds it locked asks again every few milliseconds,
because SQLite's own waiting grows to a tenth of a second.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portico.state.port import StoreUnavailable
from portico.store import sqlite_writes
from portico.store.faults import unavailable
from portico.store.lane import Job
from portico.store.migrations import LEDGER, migrations, missing

PATIENCE = 10.0
"""Seconds a writer waits for other processes that write."""
START_PATIENCE = 30.0
ASK_AGAIN = 0.002
BUSY_MS = 5000
CACHE_KIB = 32 * 1024
CHECKPOINT_PAGES = 8000
"""Pages of the log that are copied into the file at once: rarely enough that pages of the indexes,
which many commits touch, are written once for many of them."""
LOG_BYTES = 64 * 1024 * 1024

MEMORY = ":memory:"

# Faults of one operation, not of the database: the others of its batch can still be done.
_OWN_FAULTS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class SqliteWriter:
    """The one connection of this process that writes. A lane's `Execute`; migrates first."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._migrated = False

    def __call__(self, jobs: list[Job]) -> list[Any]:
        """All jobs in one transaction; each in one of its own if one of them is at fault."""
        if not jobs:
            self._close()
            return []
        try:
            return self._commit(jobs)
        except Exception as error:
            self._undo()
            if len(jobs) == 1 or not _own_fault(error):
                return [_fault(error) for _ in jobs]
        results: list[Any] = []
        for job in jobs:
            results += self([job])
        return results

    def _commit(self, jobs: list[Job]) -> list[Any]:
        db = self._db or self._open()
        _begin(db, PATIENCE)
        results: list[Any] = []
        at = 0
        while at < len(jobs):
            work = jobs[at].work
            if work is not None:
                results.append(work(db))
                at += 1
                continue
            end = at + 1
            while end < len(jobs) and jobs[end].work is None:
                end += 1
            results += sqlite_writes.save_all(db, jobs[at:end])
            at = end
        db.execute("COMMIT")
        return results

    def _open(self) -> sqlite3.Connection:
        if self._path != MEMORY and not self._migrated:
            # Prompts are for the eyes of this user; SQLite gives its log files the same mode.
            Path(self._path).absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        elif self._path != MEMORY and not Path(self._path).exists():
            raise unavailable("the database file is gone")
        db = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_MS / 1000)
        try:
            _patiently(lambda: db.execute("PRAGMA journal_mode = WAL"), START_PATIENCE)
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA fullfsync = 1")  # on macOS fsync alone does not reach the disk
            db.execute("PRAGMA temp_store = MEMORY")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            if not self._migrated:
                _migrate(db)
                self._migrated = True
            db.execute("PRAGMA busy_timeout = 0")
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _undo(self) -> None:
        if self._db is None or not self._db.in_transaction:
            return
        try:
            self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self._close()  # the next batch gets a new connection

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


class SqliteReader:
    """A connection for reading. A lane's `Execute`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def __call__(self, jobs: list[Job]) -> list[Any]:
        if not jobs:
            self._close()
        return [self._read(job) for job in jobs]

    def _read(self, job: Job) -> Any:
        work = job.work
        try:
            db = self._db or self._open()
            return None if work is None else work(db)
        except Exception as error:
            if not _own_fault(error):
                self._close()
            return _fault(error)

    def _open(self) -> sqlite3.Connection:
        uri = Path(self._path).absolute().as_uri() + "?mode=rw"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
        db.execute("PRAGMA query_only = 1")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._db = db
        return db

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def _migrate(db: sqlite3.Connection) -> None:
    steps = migrations("sqlite")
    _begin(db, START_PATIENCE)
    try:
        db.execute(LEDGER.format("INTEGER NOT NULL"))
        applied = db.execute("SELECT max(number) FROM portico_schema").fetchone()[0] or 0
        for step in missing(steps, applied):
            for statement in _statements(step.sql):
                db.execute(statement)
            db.execute(
                "INSERT INTO portico_schema (number, applied_at) VALUES (?, ?)",
                (step.number, int(time.time())),
            )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(sql: str) -> list[str]:
    """The statements of a script. `executescript` would commit before it starts."""
    found: list[str] = []
    held = ""
    for line in sql.splitlines(keepends=True):
        held += line
        if sqlite3.complete_statement(held):
            found.append(held)
            held = ""
    return found


def _begin(db: sqlite3.Connection, patience: float) -> None:
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if not _locked(error):
            raise
        time.sleep(ASK_AGAIN)
        _patiently(lambda: db.execute("BEGIN IMMEDIATE"), patience)


def _patiently(action: Callable[[], object], patience: float) -> None:
    """Repeat the action until the file is not locked by others."""
    end = time.monotonic() + patience
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if not _locked(error) or time.monotonic() > end:
                raise
        time.sleep(ASK_AGAIN)


def _locked(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _own_fault(error: Exception) -> bool:
    if isinstance(error, _OWN_FAULTS):
        return True
    return not isinstance(error, sqlite3.Error | OSError | StoreUnavailable)


def _fault(error: Exception) -> StoreUnavailable:
    """An exception of its own for each job: several tasks must not add to one traceback."""
    reason = error.debug if isinstance(error, StoreUnavailable) else f"sqlite: {error!r}"
    return unavailable(reason)
