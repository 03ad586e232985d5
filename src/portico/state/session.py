"""What one WebSocket connection remembers of its latest response.

A response that is not stored (`store: false`) can be continued on the connection that made it, and
only there: the connection keeps the context of the latest one, and nothing of earlier ones.
Source: https://www.openresponses.org/specification, WebSocket mode (2026-11-21).
"""

from collections.abc import Callable

from msgspec import Struct

from portico.dialects.responses.stored_items import output_items


class Remembered(Struct, frozen=True, gc=False):
    """The context of one response: JSON arrays of items, oldest first, or None for one that only
    the database and its provider have; `origins` says where each was made (inputs: nowhere).
    `stored`: the database has it too. `origin` is where the response was made, `kept` whether the
    provider there keeps it."""

    id: str
    arrays: tuple[bytes, ...] | None
    size: int
    stored: bool
    origin: str = ""
    kept: bool = False
    origins: tuple[str, ...] = ()


class Memory:
    """What all connections of a worker remember together, in bytes. `full` is told when there was
    no room for more. No tenant gets more than half of it, where there are tenants."""

    __slots__ = ("_by_tenant", "full", "used")

    def __init__(self, full: Callable[[], None] = lambda: None) -> None:
        self._by_tenant: dict[bytes, int] = {}
        self.used = 0
        self.full = full

    def take(self, tenant: bytes, size: int, most: int) -> bool:
        """Make room for so many bytes, if there is any."""
        mine = self._by_tenant.get(tenant, 0) + size
        if self.used + size > most or (tenant and mine > most // 2):
            self.full()
            return False
        self.used += size
        self._by_tenant[tenant] = mine
        return True

    def give_back(self, tenant: bytes, size: int) -> None:
        """They are not needed any more."""
        self.used -= size
        left = self._by_tenant.get(tenant, 0) - size
        if left > 0:
            self._by_tenant[tenant] = left
        else:
            self._by_tenant.pop(tenant, None)


class Session:
    """The memory of one connection. Holds at most one response, and none that would make all of
    them take more than `most` bytes."""

    __slots__ = ("_closed", "_held", "_items", "_latest", "_memory", "_most", "_tenant")

    def __init__(self, memory: Memory, most: int, tenant: bytes = b"") -> None:
        self._closed = False
        self._held = 0
        self._latest: Remembered | None = None
        self._items: dict[str, bytes] | None = None
        self._memory = memory
        self._most = most
        self._tenant = tenant

    def recall(self, id: str) -> Remembered | None:
        """The latest response, if it is this one."""
        latest = self._latest
        return latest if latest is not None and latest.id == id else None

    def item(self, id: str) -> bytes | None:
        """An item of the latest response's context, by the id it came with."""
        if self._items is None:
            latest = self._latest
            arrays = (latest.arrays or ()) if latest is not None else ()
            self._items = {item.id: item.body for array in arrays for item in output_items(array)}
        return self._items.get(id)

    def remember(self, latest: Remembered) -> None:
        """A response is complete. Nobody is there to continue it once the connection is closed,
        which may happen while it is being stored."""
        self.forget()
        self._items = None
        held = sum([len(array) for array in latest.arrays or ()])
        if self._closed:
            return
        if self._memory.take(self._tenant, held, self._most):
            self._held = held
            self._latest = latest

    def close(self) -> None:
        """The connection is over: remember nothing, now and from now on."""
        self._closed = True
        self.forget()

    def forget(self) -> None:
        """Remember nothing of what was."""
        if self._latest is not None:
            self._memory.give_back(self._tenant, self._held)
            self._latest = self._items = None

    def evict(self, id: str) -> None:
        """A continuation of this response failed: it is not continued from memory any more."""
        if self._latest is not None and self._latest.id == id:
            self.forget()
