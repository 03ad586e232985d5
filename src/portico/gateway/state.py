"""The stored state of one worker: its database, and the background runs it works on."""

import asyncio
import logging
import os
from time import time

from portico.gateway.runs import Runs
from portico.state.port import StateStore, StoreUnavailable
from portico.state.tail import Tail

log = logging.getLogger("portico.state")

PRUNE_SECONDS = 60.0
PRUNE_MOST = 1000
"""Responses pruned in one transaction: others write, too."""
PRUNE_ROUNDS = 1000
PRUNE_GRACE = 3600.0
"""A response that expires while it is being continued is still needed when the child is stored."""


class State:
    """See the module docstring. `retention` is seconds; None keeps everything."""

    __slots__ = ("_failed_at", "_starting", "_tasks", "retention", "runs", "secret", "store")

    def __init__(
        self, store: StateStore, retention: float | None, tail: Tail | None = None
    ) -> None:
        self.store = store
        self.retention = retention
        self.secret: str | None = None
        """What seals where no key is configured: as old as what is stored, so that it opens it."""
        self._failed_at: float | None = None
        self.runs = Runs(store, os.urandom(8).hex(), tail)
        self._starting: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the database and begin to look after it. Raises `StoreUnavailable`."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        try:
            await asyncio.shield(self._starting)
        except StoreUnavailable:
            self._starting = None  # the next one tries again
            raise

    async def _start(self) -> None:
        await self.store.start()
        self.secret = await self.store.secret("sealing", os.urandom(32).hex())
        self._tasks = [
            asyncio.ensure_future(self._prune()),
            asyncio.ensure_future(self.runs.look_after()),
        ]

    def failed(self) -> None:
        """A response could not be stored."""
        self._failed_at = time()

    async def check(self) -> None:
        """Before something is generated that has to be stored: raise `StoreUnavailable` if the
        database is known to be away, so that nothing is billed for nothing."""
        if self._failed_at is None:
            return
        await self.store.secret("sealing", self.secret or "")
        self._failed_at = None

    async def close(self) -> None:
        """End the runs of this worker, then close the database."""
        if self._starting is None:
            return
        await self.runs.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.runs.tail is not None:
            await self.runs.tail.close()
        await self.store.close()

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                for _ in range(PRUNE_ROUNDS):
                    if await self.store.prune(time() - PRUNE_GRACE, PRUNE_MOST) < PRUNE_MOST:
                        break
            except StoreUnavailable as error:
                log.warning("expired responses could not be pruned: %s", error.debug)
