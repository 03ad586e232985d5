"""Several workers behind one admin listener: start, restart, reload, add up, and stop them."""

import asyncio
import itertools
import logging
import secrets
import socket
import sys
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from portico.admin.port import Told
from portico.cli.channel import (
    Answer,
    AskRequest,
    AskRequests,
    AskSnapshot,
    AskTargets,
    Channel,
    Drain,
    Metrics,
    OneRequest,
    Question,
    Ready,
    Reload,
    ReloadRefused,
    Requests,
    Start,
    Targets,
    ToWorker,
)
from portico.cli.source import Source
from portico.model.targets import TargetView
from portico.observe.cells import Retired
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow

log = logging.getLogger("portico.supervisor")

START_SECONDS = 20.0
SCRAPE_SECONDS = 1.0
"""How long a page waits for a worker that is busy."""
MAX_RESTARTS = 5
RESTART_WINDOW = 60.0

A = TypeVar("A", Targets, Requests, OneRequest)


class WorkerFailedError(RuntimeError):
    """A worker could not start; the message says why."""


class _Child:
    """One worker process."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        self.process = process
        self.channel = channel
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.fresh: asyncio.Event = asyncio.Event()
        self.asked: dict[int, asyncio.Future[Answer]] = {}
        """Questions without an answer yet, by number."""

    @property
    def serves(self) -> bool:
        """Whether it has started."""
        return self.ready.done() and self.ready.exception() is None


class Supervisor:
    """Owns the worker processes."""

    def __init__(self, source: Source, insecure: bool) -> None:
        self._source = source
        self._insecure = insecure
        self._sealing_secret = secrets.token_hex(32)
        self._children: dict[int, _Child] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired = Retired()
        self._restarts: list[float] = []
        self._next_number = 0
        self._questions = itertools.count(1)
        self.stopping = False
        self.exhausted = asyncio.Event()
        """Set when workers die faster than it makes sense to restart them."""

    async def start(self, count: int) -> None:
        """Start `count` workers and wait until all serve. Raises `WorkerFailedError`."""
        children = [await self._spawn() for _ in range(count)]
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*(child.ready for child in children))
        except TimeoutError:
            raise WorkerFailedError("a worker did not start in time") from None

    @property
    def alive(self) -> int:
        """How many workers run."""
        return len(self._children)

    async def snapshots(self) -> list[bytes]:
        """The metrics of all workers, dead ones included; a worker that does not answer within a
        second is represented by what it said last."""
        children = list(self._children.values())
        for child in children:
            child.fresh.clear()
            child.channel.send(AskSnapshot())
        if children:
            waits = [asyncio.ensure_future(child.fresh.wait()) for child in children]
            await asyncio.wait(waits, timeout=SCRAPE_SECONDS)
            for wait in waits:
                wait.cancel()
        return self._retired.snapshots()

    async def targets(self) -> Told[list[TargetView]]:
        """The targets of all workers."""
        told = await self._ask(AskTargets, Targets)
        return Told({n: answer.targets for n, answer in told.by_worker.items()}, told.silent)

    async def requests(self, query: RequestQuery) -> Told[list[RequestRow]]:
        """The last requests of all workers that match."""
        told = await self._ask(lambda number: AskRequests(number, query), Requests)
        return Told({n: answer.rows for n, answer in told.by_worker.items()}, told.silent)

    async def request(self, id: str) -> Told[RequestDetail | None]:
        """One request, from whichever worker served it."""
        told = await self._ask(lambda number: AskRequest(number, id), OneRequest)
        return Told({n: answer.detail for n, answer in told.by_worker.items()}, told.silent)

    def reload(self, source: Source) -> None:
        """Tell every worker to swap to a text that has been checked."""
        self._source = source
        self._tell(Reload(source.text))

    def refuse_reload(self) -> None:
        """Tell every worker to count a bad file."""
        self._tell(ReloadRefused())

    async def stop(self, hurry: bool) -> None:
        """Drain all workers and wait for them."""
        self.stopping = True
        self._tell(Drain(hurry))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hurry(self) -> None:
        """Cut a drain short."""
        self._tell(Drain(True))

    async def _ask(self, question: Callable[[int], Question], kind: type[A]) -> Told[A]:
        """Ask every worker that has started. One that is too busy, or dies over it, is silent."""
        number = next(self._questions)
        children = [child for child in self._children.values() if child.serves]
        for child in children:
            child.asked[number] = asyncio.get_running_loop().create_future()
            child.channel.send(question(number))
        if children:
            waits = [child.asked[number] for child in children]
            await asyncio.wait(waits, timeout=SCRAPE_SECONDS)
        answers: dict[int, A] = {}
        silent: list[int] = []
        for child in children:
            future = child.asked.pop(number)
            answer = future.result() if future.done() and not future.cancelled() else None
            if isinstance(answer, kind):
                answers[child.number] = answer
            else:
                silent.append(child.number)
        return Told(answers, tuple(silent))

    def _tell(self, message: ToWorker) -> None:
        for child in self._children.values():
            child.channel.send(message)

    async def _spawn(self) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "portico.cli.worker", str(theirs.fileno()),
                pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        channel = await Channel.over(ours)
        number, self._next_number = self._next_number, self._next_number + 1
        child = self._children[number] = _Child(number, process, channel)
        channel.send(Start(self._source, self._insecure, self._sealing_secret))
        task = asyncio.ensure_future(self._follow(child))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return child

    async def _follow(self, child: _Child) -> None:
        """Listen to one worker until it is gone; replace it if it should not be."""
        while (report := await child.channel.receive_report()) is not None:
            if isinstance(report, Metrics):
                self._retired.remember(child.number, report.snapshot)
                child.fresh.set()
            elif isinstance(report, Answer):
                asked = child.asked.get(report.number)  # nobody may wait for it any more
                if asked is not None and not asked.done():
                    asked.set_result(report)
            elif isinstance(report, Ready):
                child.ready.set_result(None)
            elif not child.ready.done():
                child.ready.set_exception(WorkerFailedError(report.message))
        child.channel.close()  # a worker that still runs takes this as the order to finish
        await child.process.wait()
        self._retired.died(child.number)
        child.fresh.set()
        for waiting in child.asked.values():
            waiting.cancel()
        del self._children[child.number]
        if not child.ready.done():
            child.ready.set_exception(WorkerFailedError("a worker died while starting"))
            return
        failed = child.ready.exception() is not None
        if self.stopping or failed:
            return
        log.error("worker %d died with code %s", child.number, child.process.returncode)
        now = monotonic()
        self._restarts = [t for t in self._restarts if now - t < RESTART_WINDOW] + [now]
        if len(self._restarts) > MAX_RESTARTS:
            self.exhausted.set()
            return
        fresh = await self._spawn()
        try:
            await asyncio.wait_for(fresh.ready, START_SECONDS)
        except (WorkerFailedError, TimeoutError) as error:
            log.error("worker %d did not come back: %s", fresh.number, error)
            self.exhausted.set()
