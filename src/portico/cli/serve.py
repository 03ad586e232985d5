"""`portico serve`: the composition root. Every concrete part of a running gateway meets here."""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from portico import __version__
from portico.admin.app import create_admin
from portico.admin.port import Told
from portico.admin.server import RunningAdmin, serve_admin
from portico.cli.runtime import (
    check_exposure,
    is_guarded,
    new_worker,
    no_database,
    run,
    say,
    settle_memory,
)
from portico.cli.service import InProcess, Service, Supervised
from portico.cli.source import Overrides, Source, Stored
from portico.cli.supervisor import Supervisor, WorkerFailedError
from portico.config import database
from portico.config.dump import effective
from portico.config.environment import from_environment
from portico.config.errors import ConfigError, Problem
from portico.config.reload import ConfigFile, watch
from portico.config.settings import Address, ListenerSettings, Settings
from portico.demo.provider import DemoProvider
from portico.demo.server import RunningDemo, start_demo
from portico.gateway.worker import SOCKETS_STAY, same_sockets
from portico.model.targets import TargetView
from portico.observe.console import setup_logging
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow
from portico.state.port import StoreUnavailable

log = logging.getLogger("portico")

OK, INVALID, UNREADABLE, FAILED = 0, 1, 2, 3
DEMO_PACE = 0.02
"""Seconds between the demo's stream events, so that a person sees them arrive."""


class Options(Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    config: str | None = None
    demo: bool = False
    insecure: bool = False
    overrides: Overrides = Overrides()


class Operator:
    """`AdminPort`: what the admin listener may see, and the state signals change."""

    def __init__(self, service: Service, source: Source, settings: Settings) -> None:
        self._service = service
        self.source = source
        self.settings = settings
        self.draining = False
        self.stop = asyncio.Event()
        self.graceful = False
        self._reloading = asyncio.Lock()

    async def snapshots(self) -> list[bytes]:
        """Metrics of every worker."""
        return await self._service.snapshots()

    async def targets(self) -> Told[list[TargetView]]:
        """Targets of every worker."""
        return await self._service.targets()

    async def requests(self, query: RequestQuery) -> Told[list[RequestRow]]:
        """Recent requests of every worker."""
        return await self._service.requests(query)

    async def request(self, id: str) -> Told[RequestDetail | None]:
        """One recent request."""
        return await self._service.request(id)

    def ready(self) -> tuple[bool, str]:
        """Whether new traffic should be sent here."""
        return (False, "draining") if self.draining else (True, "serving")

    def live(self) -> tuple[bool, str]:
        """This process runs its loop, or it could not answer."""
        return True, "alive"

    def config_dump(self) -> dict[str, object]:
        """The effective configuration, secrets masked."""
        return dict(effective(self.settings))

    def terminate(self, graceful: bool) -> None:
        """A signal: the first drains, the second hurries."""
        if self.stop.is_set():
            self._service.hurry()
        else:
            log.info("stopping: what runs may finish; a second signal cuts it short")
        self.draining = True
        self.graceful = graceful
        self.stop.set()

    async def reload(self, text: str) -> None:
        """Check a new text; swap if it is good, else keep serving the old one and say so."""
        fresh = msgspec.structs.replace(self.source, text=text)
        async with self._reloading:
            try:
                # In a thread: a hostile document may take seconds to parse.
                asked = await asyncio.to_thread(fresh.as_written().settings, os.environ)
                check_same_exposure(self.settings, asked)
                if not same_sockets(self.settings, asked):
                    raise ConfigError([Problem(path="$", message=SOCKETS_STAY)], self.source.path)
            except ConfigError as error:
                self.refuse_reload(error)
                return
            before = self.settings
            settings = msgspec.structs.replace(asked, database=before.database)
            try:
                self._service.reload(fresh, settings)
            except ValueError as error:  # counted by the service
                _tell_refused(error)
                return
            self.source = fresh
            # What only a restart changes is shown as it runs.
            self.settings = msgspec.structs.replace(
                settings, workers=before.workers, admin=before.admin, log=before.log
            )
            log.info("reloaded %s%s", self.source.path, _left_for_restart(before, asked))

    def refuse_reload(self, reason: Exception) -> None:
        """Count a bad file and say what is wrong with it."""
        self._service.refuse_reload()
        _tell_refused(reason)


def _tell_refused(reason: Exception) -> None:
    log.error("reload refused, the old configuration still serves: %s", reason)


def _left_for_restart(old: Settings, new: Settings) -> str:
    """What a reload cannot change while running, as a remark."""
    pairs = (
        ("workers", old.workers, new.workers),
        ("admin", old.admin, new.admin),
        ("log", old.log, new.log),
        ("database", old.database, new.database),
    )
    changed = [name for name, before, after in pairs if before != after]
    return f" ({', '.join(changed)}: from the next start on)" if changed else ""


def check_same_exposure(old: Settings, new: Settings) -> None:
    """A reload never opens what was guarded before. Raises `ConfigError`."""
    for before, after in zip(old.listeners, new.listeners, strict=False):
        if is_guarded(before) and not is_guarded(after):
            message = "a reload cannot take away the keys of a listener; restart to do that"
            raise ConfigError([Problem(path="$..apiKey", message=message)])
    try:
        check_exposure(old)
    except ConfigError:
        return  # started with --insecure
    check_exposure(new)


def serve(options: Options) -> int:
    """Serve until told to stop. Returns the exit code: 0 clean, 1 bad configuration, 2 unreadable
    file, 3 could not start or workers kept dying."""
    try:
        return run(_serve(options, os.environ))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return INVALID
    except WorkerFailedError as error:
        print(f"portico: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"portico: {_why(error)}", file=sys.stderr)
        return UNREADABLE if error.filename else FAILED


def _why(error: OSError) -> str:
    if error.filename:
        return f"{error.filename}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return f"{error.strerror}; choose other ports with --port and --admin"
    return str(error)


async def _serve(options: Options, env: Mapping[str, str]) -> int:
    source, file = choose(options, env)
    demo: RunningDemo | None = None
    scratch: tempfile.TemporaryDirectory[str] | None = None
    if source.kind == "demo":
        demo = await start_demo(provider=DemoProvider(pace=DEMO_PACE))
        source = msgspec.structs.replace(source, demo_url=demo.url)
        if (options.overrides.workers or 1) > 1:
            scratch = tempfile.TemporaryDirectory(prefix="portico-", ignore_cleanup_errors=True)
            source = msgspec.structs.replace(source, stored=Stored(_demo_url(scratch.name)))
    settings = source.settings(env)
    source = source.keeping(settings)
    if not options.insecure:
        check_exposure(settings)
    if settings.workers == 1:
        worker = new_worker(settings, env)
        try:
            await worker.listen()
        except StoreUnavailable as error:
            await worker.stop()
            raise WorkerFailedError(no_database(error, settings)) from None
        settle_memory()
        ports = [listener.port for listener in worker.listeners]
        service: Service = InProcess(worker)
        exhausted = asyncio.Event()
    else:
        setup_logging(settings.log.level, settings.log.format)
        with _Reserved(settings) as reserved:
            settings, source = reserved.settings, reserved.source(source)
            supervisor = Supervisor(source, options.insecure)
            try:
                await supervisor.start(settings.workers)
            except WorkerFailedError:
                await supervisor.stop(hurry=True)
                raise
        ports = [listener.address.port for listener in settings.listeners]
        service = Supervised(supervisor)
        exhausted = supervisor.exhausted
    operator = Operator(service, source, settings)
    _obey_signals(operator, file)
    admin = await _start_admin(operator, settings.admin)
    _banner(source, settings, ports, admin)
    code = await _until_stopped(operator, file, exhausted)
    if operator.graceful:
        await _sleep_unless(operator, operator.settings.deadlines.drain_delay)
    await service.drain()
    if admin is not None:
        await admin.stop()
    if demo is not None:
        await demo.stop()
    if scratch is not None:
        scratch.cleanup()
    return code


def _demo_url(directory: str) -> str:
    """Where the workers of a demo keep what they share, until it ends."""
    return f"sqlite:///{directory}/demo.db"


def choose(options: Options, env: Mapping[str, str]) -> tuple[Source, ConfigFile | None]:
    """Where the configuration comes from: a file, the environment's keys, or the demo."""
    if options.config is not None:
        if options.demo:
            problem = Problem(path="--demo", message="a configuration file was given as well")
            raise ConfigError([problem], "command line")
        file = ConfigFile(options.config)
        source = Source(
            kind="file", path=options.config, text=file.read(), overrides=options.overrides
        )
        return source, file
    if not options.demo and from_environment(env) is not None:
        return Source(kind="environment", overrides=options.overrides), None
    return Source(kind="demo", overrides=options.overrides), None


def _obey_signals(operator: Operator, file: ConfigFile | None) -> None:
    """SIGTERM drains after a delay, SIGINT at once, a second one hurries, SIGHUP rereads."""
    loop = asyncio.get_running_loop()
    hangups: set[asyncio.Task[None]] = set()

    def reread() -> None:
        if file is not None:
            task = asyncio.ensure_future(_reread(operator, file))
            hangups.add(task)
            task.add_done_callback(hangups.discard)

    loop.add_signal_handler(signal.SIGTERM, operator.terminate, True)
    loop.add_signal_handler(signal.SIGINT, operator.terminate, False)
    loop.add_signal_handler(signal.SIGHUP, reread)


async def _until_stopped(
    operator: Operator, file: ConfigFile | None, exhausted: asyncio.Event
) -> int:
    tasks: list[asyncio.Future[object]] = [
        asyncio.ensure_future(operator.stop.wait()),
        asyncio.ensure_future(exhausted.wait()),
    ]
    if file is not None:
        tasks.append(asyncio.ensure_future(watch(file, operator.reload)))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
    return FAILED if exhausted.is_set() else OK


async def _reread(operator: Operator, file: ConfigFile) -> None:
    try:
        text = await asyncio.to_thread(file.read)
    except OSError as error:
        operator.refuse_reload(error)
        return
    await operator.reload(text)


async def _sleep_unless(operator: Operator, seconds: float) -> None:
    """Keep accepting while load balancers learn that this instance is not ready."""
    operator.stop.clear()
    try:
        await asyncio.wait_for(operator.stop.wait(), seconds)
    except TimeoutError:
        operator.stop.set()


async def _start_admin(operator: Operator, address: Address | None) -> RunningAdmin | None:
    if address is None:
        return None
    try:
        return await serve_admin(create_admin(operator), address)
    except OSError as error:
        raise OSError(f"the admin listener cannot bind {_place(address)}: {error}") from error


class _Reserved:
    """Holds the ports of port-0 listeners, so that every worker can bind the same one."""

    def __init__(self, settings: Settings) -> None:
        self._sockets: list[socket.socket] = []
        if any(not x.address.port and not x.address.path for x in settings.listeners[1:]):
            problem = Problem(path="--workers", message="only the first port may be chosen freely")
            raise ConfigError([problem], "command line")
        listeners = [self._reserve(listener) for listener in settings.listeners]
        self.settings = msgspec.structs.replace(settings, listeners=tuple(listeners))

    def source(self, source: Source) -> Source:
        """`source` with the first listener's real port, as workers read it again."""
        if not self._sockets:
            return source
        port = self.settings.listeners[0].address.port
        overrides = msgspec.structs.replace(source.overrides, port=port)
        return msgspec.structs.replace(source, overrides=overrides)

    def _reserve(self, listener: ListenerSettings) -> ListenerSettings:
        address = listener.address
        if address.port or address.path:
            return listener
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        holder = socket.socket(family, socket.SOCK_STREAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((address.host, 0))
        self._sockets.append(holder)
        fixed = msgspec.structs.replace(address, port=holder.getsockname()[1])
        return msgspec.structs.replace(listener, address=fixed)

    def __enter__(self) -> "_Reserved":
        return self

    def __exit__(self, *exc: object) -> None:
        for holder in self._sockets:
            holder.close()


def _banner(
    source: Source, settings: Settings, ports: list[int], admin: RunningAdmin | None
) -> None:
    say(f"portico {__version__}")
    for listener, port in zip(settings.listeners, ports, strict=True):
        say(f"  listening on  {_url(listener, port)}")
    if admin is not None and settings.admin is not None:
        where = msgspec.structs.replace(settings.admin, port=admin.port)
        say(f"  admin         {_place(where, 'http://')}  /metrics /healthz/ready")
    if source.kind == "demo":
        say("  DEMO MODE     a scripted provider answers every model: no key, no network, no AI")
        say("                set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY, or pass")
        say("                --config FILE, to reach real providers")
        first = _url(settings.listeners[0], ports[0])
        say(f"  try           curl {first}/v1/responses -H 'content-type: application/json' \\")
        say('                  -d \'{"model": "demo-small", "input": "Tell me a story"}\'')
    elif source.kind == "environment":
        names = [m.name for m in settings.listeners[0].routes[0].models]
        say(f"  models        {', '.join(names)}  (from the keys in the environment)")
    else:
        say(f"  config        {source.path}")
    say(f"  database      {_stored_in(settings)}")
    say("                /v1/responses stores unless told not to: docs/state.md")
    if settings.workers > 1:
        say(f"  workers       {settings.workers}")


def _stored_in(settings: Settings) -> str:
    used = settings.database
    if used is None or used.url.reveal() == database.MEMORY:
        return "in memory, lost at the end"
    return database.shown(used.url)


def _url(listener: ListenerSettings, port: int) -> str:
    address = msgspec.structs.replace(listener.address, port=port)
    return _place(address, "https://" if listener.tls else "http://")


def _place(address: Address, scheme: str = "") -> str:
    if address.path is not None:
        return f"unix:{address.path}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{scheme}{host}:{address.port}"
