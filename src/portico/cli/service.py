"""The running gateway, as the composition root and the admin listener deal with it: one worker in
this process, or several in their own."""

from typing import Protocol

from portico.admin.port import Told
from portico.cli.source import Source
from portico.cli.supervisor import Supervisor
from portico.config.settings import Settings
from portico.gateway.worker import Worker
from portico.model.targets import TargetView
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow


class Service(Protocol):
    """One worker in this process, or several in their own."""

    async def snapshots(self) -> list[bytes]:
        """Metrics of every worker."""

    async def targets(self) -> Told[list[TargetView]]:
        """Targets of every worker."""

    async def requests(self, query: RequestQuery) -> Told[list[RequestRow]]:
        """Recent requests of every worker."""

    async def request(self, id: str) -> Told[RequestDetail | None]:
        """One recent request."""

    def reload(self, source: Source, settings: Settings) -> None:
        """Swap to a source that was found good; `settings` is what it comes to."""

    def refuse_reload(self) -> None:
        """Count a bad file."""

    async def drain(self) -> None:
        """Finish what runs, then stop."""

    def hurry(self) -> None:
        """Cut a drain short."""


class InProcess:
    """`Service` over a worker on this loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def snapshots(self) -> list[bytes]:
        """One snapshot."""
        return [self._worker.recorder.metrics.snapshot()]

    async def targets(self) -> Told[list[TargetView]]:
        """Of one worker, number 0."""
        return Told({0: self._worker.recorder.targets()})

    async def requests(self, query: RequestQuery) -> Told[list[RequestRow]]:
        """Of one worker."""
        return Told({0: self._worker.recorder.requests(query)})

    async def request(self, id: str) -> Told[RequestDetail | None]:
        """Of one worker."""
        return Told({0: self._worker.recorder.request(id)})

    def reload(self, source: Source, settings: Settings) -> None:
        """Swap. Raises ValueError and keeps the old settings if they cannot run."""
        self._worker.reload(settings)

    def refuse_reload(self) -> None:
        """Count it."""
        self._worker.reload_failed()

    async def drain(self) -> None:
        """Finish what runs."""
        await self._worker.drain()

    def hurry(self) -> None:
        """Cut it short."""
        self._worker.hurry()


class Supervised:
    """`Service` over worker processes."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def snapshots(self) -> list[bytes]:
        """One snapshot per worker, the dead ones' last words included."""
        return await self._supervisor.snapshots()

    async def targets(self) -> Told[list[TargetView]]:
        """What those that live say."""
        return await self._supervisor.targets()

    async def requests(self, query: RequestQuery) -> Told[list[RequestRow]]:
        """What those that live remember."""
        return await self._supervisor.requests(query)

    async def request(self, id: str) -> Told[RequestDetail | None]:
        """What the one that served it remembers."""
        return await self._supervisor.request(id)

    def reload(self, source: Source, settings: Settings) -> None:
        """Pass it on; every worker reads the same text."""
        self._supervisor.reload(source)

    def refuse_reload(self) -> None:
        """Pass it on."""
        self._supervisor.refuse_reload()

    async def drain(self) -> None:
        """Finish what runs, everywhere."""
        await self._supervisor.stop(hurry=False)

    def hurry(self) -> None:
        """Cut it short."""
        self._supervisor.hurry()
