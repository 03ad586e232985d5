"""Active health checks: asking a provider how it is while nobody else does.

Only where `health.active` is configured. A check costs nothing at the provider: it reads the list
of models, or only connects. It counts like a call: enough of them that fail open the breaker. One
that goes well does not close it: that a provider lists its models does not say that they answer,
which the next request finds out. While requests come, no check is needed.
"""

import asyncio
import logging
from time import monotonic

from portico.config.settings import ActiveCheck
from portico.errors import PorticoError, forget_frames
from portico.gateway.planned import RANDOM
from portico.gateway.snapshot import Snapshot
from portico.gateway.target import Target
from portico.http.client import HttpClient
from portico.limits import MIB
from portico.routing.plan import Backend

log = logging.getLogger("portico.gateway")

LOOK_SECONDS = 0.5
"""How often it is looked whether a check is due."""
MOST_AT_ONCE = 16
_MOST_BYTES = 8 * MIB


class Checks:
    """The checks of one worker."""

    __slots__ = ("_client", "_due", "_running", "_seen", "_snapshot", "_task")

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._due: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._snapshot: Snapshot | None = None

    def follow(self, snapshot: Snapshot) -> None:
        """Check the targets of this snapshot from now on. Needs a running loop."""
        if snapshot is self._snapshot:
            return
        self._snapshot = snapshot
        wanted = any(backend.health.rules.active is not None for backend in snapshot.backends)
        if wanted and self._task is None:
            self._task = asyncio.ensure_future(self._look())

    async def stop(self) -> None:
        """Check nothing any more."""
        tasks = list(self._running.values())
        if self._task is not None:
            tasks.append(self._task)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _look(self) -> None:
        while True:
            if self._snapshot is not None:
                self._begin(self._snapshot, monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    def _begin(self, snapshot: Snapshot, now: float) -> None:
        """Start what is due."""
        due: dict[str, float] = {}
        for backend in snapshot.backends:
            rules = backend.health.rules.active
            if rules is None:
                continue
            key = backend.key
            at = self._due.get(key)
            # Chance keeps the checks of all targets, and of all replicas, from coming at once.
            if at is None:
                at = now + RANDOM.random() * min(rules.interval, 1.0)
            elif at <= now and key not in self._running and len(self._running) < MOST_AT_ONCE:
                at = now + rules.interval * (0.9 + 0.2 * RANDOM.random())
                calls = backend.health.successes + backend.health.failures
                if self._seen.get(key, 0) == calls:
                    self._running[key] = asyncio.ensure_future(self._check(backend, rules))
                self._seen[key] = calls  # if it was another, somebody asked since the last time
            due[key] = at
        self._due = due
        self._seen = {key: calls for key, calls in self._seen.items() if key in due}

    async def _check(self, backend: Backend, rules: ActiveCheck) -> None:
        """One check, and what it says about the target."""
        health = backend.health
        try:
            await self._find_out(backend, rules)
        finally:
            self._running.pop(backend.key, None)
            self._seen[backend.key] = health.successes + health.failures

    async def _find_out(self, backend: Backend, rules: ActiveCheck) -> None:
        target: Target = backend.credentials[0].target
        health = backend.health
        try:
            async with asyncio.timeout(rules.timeout):
                status = await self._ask(target, rules)
        except (PorticoError, TimeoutError) as error:
            forget_frames(error)
            health.note_failure(monotonic(), "check_failed")
            log.warning("the check of %s at %s failed", backend.name, backend.provider)
            return
        if status in health.rules.statuses:
            health.note_failure(monotonic(), f"check_{status}")
            log.warning("the check of %s at %s: %d", backend.name, backend.provider, status)
        elif health.state(monotonic()) == "closed":
            health.note_success(monotonic())

    async def _ask(self, target: Target, rules: ActiveCheck) -> int:
        """The status of the list of models; 200 for a connection, where that is the check."""
        if rules.kind == "connect" or not target.models_head or target.authorize is not None:
            connection = await self._client.connect(target.pool, rules.timeout)
            target.pool.keep(connection)
            return 200
        connection = target.pool.take() or await self._client.connect(target.pool, rules.timeout)
        try:
            connection.send(
                target.models_head,
                b"",
                _MOST_BYTES,
                first_byte=rules.timeout,
                idle=rules.timeout,
                total=rules.timeout,
            )
            await connection.answer()
            if connection.complete:
                connection.take()
            return connection.status
        finally:
            connection.release()
