"""One timer for all deadlines of a worker.

A timer per request per phase would cost more than the rest of the request's bookkeeping. Instead
everything that can be late carries a plain `deadline` (`time.monotonic()` seconds, or NEVER) and
one sweep, ten times a second, calls `expire(now)` on what is due. Deadlines are therefore met
within `TICK` seconds after they pass, never before.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

log = logging.getLogger("portico.http")

TICK = 0.1
NEVER = float("inf")


class Expiring(Protocol):
    """Something with a deadline. `expire` sets a new deadline or removes the object."""

    deadline: float

    def expire(self, now: float) -> None:
        """The deadline has passed."""


class Sweeper:
    """Holds what can expire and looks at it every `TICK`.

    `on_tick` runs at each sweep with the loop's lateness in seconds: the place for small periodic
    work (log flush, date header), and a free measure of event loop lag.
    """

    __slots__ = ("_due_at", "_handle", "_ticks", "members")

    def __init__(self) -> None:
        self.members: set[Expiring] = set()
        self._ticks: list[Callable[[float, float], None]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._due_at = 0.0

    def on_tick(self, callback: Callable[[float, float], None]) -> None:
        """Call `callback(now, lag)` at every sweep."""
        self._ticks.append(callback)

    def start(self) -> None:
        """Begin sweeping on the running loop. Starting twice is harmless."""
        if self._handle is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """Stop sweeping."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_at = monotonic() + TICK
        self._handle = loop.call_later(TICK, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = monotonic()
        lag = now - self._due_at
        try:
            for member in [m for m in self.members if m.deadline <= now]:
                try:
                    member.expire(now)
                except Exception:
                    # One defect must not disarm everybody else's deadlines.
                    member.deadline = NEVER
                    log.exception("a deadline could not be kept")
            for callback in self._ticks:
                callback(now, lag)
        finally:
            if self._handle is not None:
                self._arm(loop)
