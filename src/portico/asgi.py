"""Mount the gateway in any ASGI application.

    from portico.asgi import create_app

    app = create_app("portico.yaml")            # uvicorn module:app
    fastapi_app.mount("/ai", create_app("portico.yaml"))

The first listener of the configuration says what is served; its address is not used, and metrics
are read from `app.metrics()`.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from portico.config.load import load
from portico.config.settings import Settings
from portico.gateway.worker import Worker, outbound_proxies
from portico.http.asgi import AsgiApp, Receive, Scope, Send
from portico.observe.exposition import render
from portico.observe.logs import AccessLog
from portico.observe.metrics import Metrics
from portico.observe.recorder import Recorder
from portico.observe.redact import Redactor
from portico.state.port import StoreUnavailable

__all__ = ["PorticoApp", "create_app"]

STDOUT = 1


class PorticoApp:
    """The ASGI application. `reload` and `aclose` are for the host to call."""

    def __init__(self, settings: Settings, env: Mapping[str, str]) -> None:
        redactor = Redactor()
        access_log = AccessLog(STDOUT, redactor=redactor) if settings.log.access else None
        self._recorder = Recorder(Metrics(), access_log, redactor)
        self._worker = Worker(settings, self._recorder, proxies=outbound_proxies(env))
        self._app = AsgiApp(
            self._worker.gateway.door(0),
            lambda: self._worker.snapshot.limits,
            lambda: self._worker.snapshot.deadlines,
            self._recorder.metrics,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        self._worker.run_periodic_work()
        with contextlib.suppress(StoreUnavailable):  # what does not need the database is served
            await self._worker.gateway.start()
        await self._app(scope, receive, send)

    def reload(self, settings: Settings) -> None:
        """Swap to other settings; what is in flight keeps the old ones."""
        self._worker.reload(settings)

    def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """Prometheus exposition of this process and its content type."""
        return render([self._recorder.metrics.snapshot()], accept)

    async def aclose(self) -> None:
        """Close provider connections and flush the log."""
        await self._worker.stop()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return


def create_app(
    config: Settings | str | Path, *, env: Mapping[str, str] | None = None
) -> PorticoApp:
    """The gateway as an ASGI application.

    `config` is a configuration file's path, or `Settings`. `env` resolves the file's references and
    the proxy variables (default: the process environment). Raises `ConfigError`.
    """
    env = os.environ if env is None else env
    settings = config if isinstance(config, Settings) else load(config, env)
    return PorticoApp(settings, env)
