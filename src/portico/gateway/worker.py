"""One worker: a gateway with its sockets, from start to drain.

The composition root (`cli.serve`) and the ASGI adapter build one from `Settings`; neither knows
what is inside.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping

from portico.config.errors import ConfigError, Problem
from portico.config.settings import ListenerSettings, Settings
from portico.gateway.checks import Checks
from portico.gateway.engine import Gateway
from portico.gateway.snapshot import Snapshot, assemble
from portico.gateway.state import State
from portico.http.client import HttpClient
from portico.http.deadlines import Sweeper
from portico.http.proxies import Proxies, from_environment
from portico.http.server import HttpServer, Listener, server_tls
from portico.observe.recorder import Recorder
from portico.routing.health import Board
from portico.store.opening import MEMORY, open_store, open_tail

log = logging.getLogger("portico")

LAST_WORDS = 2.0
"""Seconds that the followers of a background run get after it was ended."""
SOCKETS_STAY = "listener addresses and TLS files change only with a restart"


class Worker:
    """Everything one event loop needs to serve. Not reusable after `stop`."""

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        *,
        proxies: Proxies | None = None,
        sealing_secret: str | None = None,
    ) -> None:
        self.settings = settings
        self.recorder = recorder
        recorder.follow(settings)
        self.sweeper = Sweeper()
        self.sweeper.on_tick(recorder.tick)
        self.client = HttpClient(
            limits=settings.limits,
            deadlines=settings.deadlines,
            sweeper=self.sweeper,
            events=recorder.metrics,
            proxies=proxies,
        )
        board = Board()
        self.gateway = Gateway(
            assemble(settings, self.client, board=board),
            self.client,
            recorder,
            sealing_secret,
            open_state(settings),
            board,
        )
        recorder.metrics.watch_targets(self.gateway.targets)
        recorder.metrics.watch_connections(self.client.connections)
        self._checks = Checks(self.client)
        self.listeners: list[Listener] = []
        self._servers: list[HttpServer] = []
        self._revision = 1
        recorder.metrics.config_reload(success=True, revision=1)

    @property
    def snapshot(self) -> Snapshot:
        """What is being served."""
        return self.gateway.snapshot

    def run_periodic_work(self) -> None:
        """Begin the sweep (deadlines, log flush) and the checks of providers. Needs a running
        loop."""
        self.sweeper.start()
        self._checks.follow(self.gateway.snapshot)

    async def listen(self, *, reuse_port: bool = False) -> None:
        """Bind every listener. Raises OSError when an address cannot be bound, `ConfigError` when
        TLS files cannot be used, `StoreUnavailable` when the database cannot."""
        self.run_periodic_work()
        await self.gateway.start()
        for index, listener in enumerate(self.settings.listeners):
            server = HttpServer(
                self.gateway.door(index),
                limits=self.settings.limits,
                deadlines=self.settings.deadlines,
                sweeper=self.sweeper,
                events=self.recorder.metrics,
            )
            self._servers.append(server)
            tls = _listener_tls(listener)
            address = listener.address
            self.listeners.append(
                await server.listen(
                    address.host, address.port, path=address.path, tls=tls, reuse_port=reuse_port
                )
            )

    def reload(self, settings: Settings) -> None:
        """Swap to other settings. Raises ValueError and keeps the old ones if they cannot run."""
        try:
            snapshot = assemble(settings, self.client, board=self.gateway.board)
            if not same_sockets(self.settings, settings):
                raise ValueError(SOCKETS_STAY)
        except ValueError:
            self.reload_failed()
            raise
        self.recorder.follow(settings)
        self.gateway.swap(snapshot)
        self._checks.follow(snapshot)
        self.settings = settings
        for server in self._servers:
            server.apply(settings.limits, settings.deadlines)
        self._revision += 1
        self.recorder.metrics.config_reload(success=True, revision=self._revision)

    def reload_failed(self) -> None:
        """Note that a new configuration was refused and the old one still serves."""
        self.recorder.metrics.config_reload(success=False, revision=self._revision)

    async def drain(self) -> bool:
        """Let what runs finish, then cut the rest. True when nothing had to be cut."""
        deadlines = self.settings.deadlines
        runs = asyncio.ensure_future(self.gateway.state.runs.drain(deadlines.drain))
        # Whoever follows a run that is failed at the end of the patience is still to be told.
        patience = deadlines.drain + (LAST_WORDS if self.gateway.state.runs.any else 0.0)
        clean = await asyncio.gather(
            *(server.drain(patience, deadlines.drain_forced) for server in self._servers)
        )
        await runs
        await self.stop()
        return all(clean)

    def hurry(self) -> None:
        """A second signal: cut what still runs after `deadlines.drain_forced`."""
        for server in self._servers:
            server.hurry()

    async def stop(self) -> None:
        """Close everything at once."""
        await asyncio.gather(*(server.close() for server in self._servers))
        await self._checks.stop()
        await self.gateway.mirrors.close()
        await self.gateway.state.close()
        await self.client.close()
        self.sweeper.stop()
        self.recorder.close()


def open_state(settings: Settings) -> State:
    """The state these settings ask for; not started. Raises `ConfigError`."""
    database = settings.database
    url = database.url.reveal() if database is not None else MEMORY
    redis = database.redis_url if database is not None else None
    try:
        store = open_store(url)
        tail = open_tail(redis.reveal()) if redis is not None else None
    except ValueError as error:
        raise ConfigError([Problem(path="config.database", message=str(error))]) from error
    return State(store, settings.state_retention, tail)


def outbound_proxies(env: Mapping[str, str]) -> Proxies:
    """The proxies that the environment names. Raises `ConfigError`."""
    try:
        return from_environment(env)
    except ValueError as error:
        raise ConfigError([Problem(path="environment", message=str(error))]) from error


def _listener_tls(listener: ListenerSettings) -> ssl.SSLContext | None:
    if listener.tls is None:
        return None
    try:
        return server_tls(listener.tls.cert, listener.tls.key)
    except ValueError as error:
        raise ConfigError([Problem(path="tls", message=str(error))]) from error


def same_sockets(old: Settings, new: Settings) -> bool:
    """Whether listeners and their TLS files are the same: a reload cannot change them."""
    return [(x.address, x.tls) for x in old.listeners] == [
        (x.address, x.tls) for x in new.listeners
    ]
