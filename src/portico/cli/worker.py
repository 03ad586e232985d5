"""One of several worker processes: `python -m portico.cli.worker FD`, started by the supervisor."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from typing import Any

import msgspec

from portico.cli.channel import (
    Answer,
    AskRequests,
    AskSnapshot,
    AskTargets,
    Channel,
    Drain,
    Failed,
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
from portico.cli.runtime import check_exposure, new_worker, no_database, run, settle_memory
from portico.cli.source import Source
from portico.config.errors import ConfigError
from portico.gateway.worker import Worker
from portico.observe.recorder import Recorder
from portico.state.port import StoreUnavailable

PUSH_SECONDS = 1.0


async def work(end: socket.socket) -> int:
    """Serve until the supervisor says otherwise, or is gone."""
    channel = await Channel.over(end)
    start = await channel.receive_command()
    if not isinstance(start, Start):
        return 1
    # A terminal sends Ctrl-C to the whole group; the supervisor decides what it means.
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(name, lambda: None)
    try:
        settings = start.source.settings(os.environ)
        if not start.insecure:
            check_exposure(settings)
        worker = new_worker(settings, os.environ, start.sealing_secret)
        try:
            await worker.listen(reuse_port=True)
        except StoreUnavailable as error:
            raise ValueError(no_database(error, settings)) from None
    except (ConfigError, OSError, ssl.SSLError, ValueError) as error:
        channel.send(Failed(str(error)))
        await channel.flush()
        return 1
    settle_memory()
    channel.send(Ready())
    pushing = asyncio.ensure_future(_push(channel, worker))
    draining: asyncio.Task[bool] | None = None
    receiving = asyncio.ensure_future(channel.receive_command())
    while True:
        waiting: set[asyncio.Future[Any]] = {receiving}
        if draining is not None:
            waiting.add(draining)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if draining is not None and draining.done():
            break
        command = receiving.result()
        if command is None or isinstance(command, Drain):
            if draining is None:
                draining = asyncio.ensure_future(worker.drain())
            if command is None or command.hurry:
                worker.hurry()
        else:
            _obey(command, channel, worker, start.source)
        if command is None:
            await draining if draining is not None else None
            break
        receiving = asyncio.ensure_future(channel.receive_command())
    pushing.cancel()
    receiving.cancel()
    channel.send(Metrics(worker.recorder.metrics.snapshot()))
    await channel.flush()
    channel.close()
    return 0


def _obey(command: ToWorker, channel: Channel, worker: Worker, source: Source) -> None:
    if isinstance(command, AskSnapshot):
        channel.send(Metrics(worker.recorder.metrics.snapshot()))
    elif isinstance(command, Question):
        channel.send(_answer(command, worker.recorder))
    elif isinstance(command, ReloadRefused):
        worker.reload_failed()
    elif isinstance(command, Reload):
        fresh = msgspec.structs.replace(source, text=command.text)
        with contextlib.suppress(ValueError):  # counted; the supervisor has said why
            try:
                worker.reload(fresh.settings(os.environ))
            except ConfigError:
                worker.reload_failed()


def _answer(question: Question, recorder: Recorder) -> Answer:
    if isinstance(question, AskTargets):
        return Targets(question.number, recorder.targets())
    if isinstance(question, AskRequests):
        return Requests(question.number, recorder.requests(question.query))
    return OneRequest(question.number, recorder.request(question.id))


async def _push(channel: Channel, worker: Worker) -> None:
    """A worker that is killed has told its counters at most a second ago."""
    while True:
        await asyncio.sleep(PUSH_SECONDS)
        channel.send(Metrics(worker.recorder.metrics.snapshot()))


def main() -> None:
    """Entry point of the process."""
    end = socket.socket(fileno=int(sys.argv[1]))
    raise SystemExit(run(work(end)))


if __name__ == "__main__":
    main()
