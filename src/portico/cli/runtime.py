"""What every serving process does the same way: loop, worker, log, and the safety check."""

import asyncio
import gc
import ipaddress
import os
import stat
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from portico.config import database
from portico.config.errors import ConfigError, Problem
from portico.config.settings import ListenerSettings, Settings
from portico.gateway.worker import Worker, outbound_proxies
from portico.observe.console import setup_logging
from portico.observe.logs import AccessLog
from portico.observe.metrics import Metrics
from portico.observe.recorder import Recorder
from portico.observe.redact import Redactor
from portico.state.port import StoreUnavailable

STDOUT = 1
PIPE_BUF = 4096
"""Writes up to this size to a pipe are atomic (POSIX), so lines of several workers stay whole."""


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine on uvloop, or on plain asyncio where uvloop does not exist."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def new_worker(
    settings: Settings, env: Mapping[str, str], sealing_secret: str | None = None
) -> Worker:
    """A worker with its metrics, the operator's log on stderr and, unless turned off, the access
    log on stdout."""
    redactor = Redactor()
    metrics = Metrics()
    operator_log = setup_logging(settings.log.level, settings.log.format, redactor=redactor)
    metrics.watch_log("operator", lambda: operator_log.dropped)
    access_log = AccessLog(_stdout_sink(), redactor=redactor) if settings.log.access else None
    recorder = Recorder(metrics, access_log, redactor)
    return Worker(settings, recorder, proxies=outbound_proxies(env), sealing_secret=sealing_secret)


def no_database(error: StoreUnavailable, settings: Settings) -> str:
    """Why this process cannot start, for the operator: without the passwords of the URL."""
    known = Redactor(database.secrets_of(settings.database))
    return known.text(f"the database cannot be used: {error.debug or error.message}")


def settle_memory() -> None:
    """Call once everything that lives as long as the process exists: later garbage collections
    need not look at it, and come less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def check_exposure(settings: Settings) -> None:
    """Refuse to serve anyone on a network without knowing who they are. Raises `ConfigError`."""
    problems = [
        Problem(
            path=_where(listener),
            message="serves a network without requiring API keys; set apiKey with mode strict, "
            "listen on 127.0.0.1, or pass --insecure",
        )
        for listener in settings.listeners
        if not _is_local(listener) and not is_guarded(listener)
    ]
    if problems:
        raise ConfigError(problems, "refusing to start")


def is_guarded(listener: ListenerSettings) -> bool:
    """Whether every route of a listener requires a key."""
    return all(
        route.api_key is not None and route.api_key.mode == "strict" and route.api_key.keys
        for route in listener.routes
    )


def _is_local(listener: ListenerSettings) -> bool:
    address = listener.address
    if address.path is not None or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host.strip("[]")).is_loopback
    except ValueError:
        return False


def _where(listener: ListenerSettings) -> str:
    return f"{listener.address.host}:{listener.address.port}"


def _stdout_sink() -> int | Callable[[bytes], None]:
    """File descriptor 1, or for a pipe a writer that never splits a line between two writes."""
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(STDOUT).st_mode)
    except OSError:
        return STDOUT
    return _write_lines if is_pipe else STDOUT


def _write_lines(data: bytes) -> None:
    start = 0
    while start < len(data):
        end = len(data)
        if end - start > PIPE_BUF:
            cut = data.rfind(b"\n", start, start + PIPE_BUF) + 1
            end = cut or (data.find(b"\n", start) + 1 or len(data))
        piece = data[start:end]
        while piece:
            piece = piece[os.write(STDOUT, piece) :]
        start = end


def say(line: str = "") -> None:
    """Tell the operator something, now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
