"""From `database.url` to a store."""

from portico.state.port import StateStore
from portico.state.tail import Tail
from portico.store.sqlite import SqliteStore
from portico.store.sqlite_connection import MEMORY as IN_MEMORY

__all__ = ["MEMORY", "open_store", "open_tail"]

MEMORY = "sqlite::memory:"
"""A store that lives as long as the process."""
TAKEN = f"sqlite:///path/to/file.db, {MEMORY} or postgresql://user@host/database"


def open_store(url: str) -> StateStore:
    """The store a URL names; nothing is opened before its `start`.

    `sqlite:///var/lib/x.db` is an absolute path, `sqlite://x.db` or `sqlite:x.db` a relative one.
    Raises `ValueError` with a message for the operator; the message has no part of the URL after
    the scheme, which may hold a password.
    """
    scheme, colon, rest = url.partition(":")
    if scheme == "sqlite" and colon:
        return SqliteStore(_path(rest))
    if scheme in ("postgresql", "postgres") and rest.startswith("//"):
        try:
            from portico.store.postgres import PostgresStore
        except ModuleNotFoundError as error:
            raise ValueError(
                f"PostgreSQL needs the Python package {error.name}: pip install 'portico[postgres]'"
            ) from None
        return PostgresStore(url)
    raise ValueError(f"not a database this gateway can use; it takes {TAKEN}")


def open_tail(url: str) -> Tail:
    """The tail a Redis or Valkey URL names. Raises `ValueError` like `open_store`."""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("a Redis URL starts with redis://, rediss:// or unix://")
    try:
        from portico.store.redis import RedisTail
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Redis needs the Python package {error.name}: pip install 'portico[redis]'"
        ) from None
    try:
        return RedisTail(url)
    except ValueError:  # its text may have pieces of the URL, and so of the password
        raise ValueError("not a URL of Redis; it is like redis://host:6379/0") from None


def _path(rest: str) -> str:
    if rest in (IN_MEMORY, f"//{IN_MEMORY}"):
        return IN_MEMORY
    path, _, query = rest.removeprefix("//").partition("?")
    if query not in ("", "mode=rwc"):
        raise ValueError("a sqlite URL has no parameters here")
    if not path or path.endswith("/") or "\0" in path:
        raise ValueError("a sqlite URL names a file, as in sqlite:///var/lib/portico/state.db")
    return "/" + path.lstrip("/") if path.startswith("/") else path
