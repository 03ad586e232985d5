"""Following a background run from another replica, at once. The database stays the truth: without a
tail, and whenever it fails, the database is asked again a little later."""

from collections.abc import Sequence
from typing import Protocol

from portico.state.records import Logged


class Tail(Protocol):
    """Carries events that are durable already. Neither method raises."""

    async def publish(self, tenant: bytes, id: str, events: Sequence[Logged]) -> None:
        """Tell whoever follows."""

    async def follow(self, tenant: bytes, id: str, after: int, wait: float) -> list[Logged]:
        """Events with a number above `after`; empty when none came within `wait` seconds."""

    async def close(self) -> None:
        """Disconnect."""
