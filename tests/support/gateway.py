"""A real gateway on a real socket, inside the test's own event loop, with its records at hand."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from portico.config.llm_form import DEFAULT_APIS
from portico.config.secret import Secret
from portico.config.settings import (
    Address,
    ApiKeySettings,
    CallerKey,
    HealthSettings,
    ListenerSettings,
    ModelSettings,
    ProviderSettings,
    RetrySettings,
    RouteSettings,
    Settings,
    VirtualSettings,
    VirtualTarget,
)
from portico.gateway.worker import Worker
from portico.limits import Deadlines, Limits
from portico.model.outcome import Outcome
from portico.observe.exposition import render
from portico.observe.metrics import Metrics
from portico.observe.recorder import Recorder

__all__ = [
    "CALLER_KEY",
    "OPERATOR_KEY",
    "Gateway",
    "caller",
    "model",
    "provider",
    "route",
    "settings",
    "virtual",
]

CALLER_KEY = "gw-CANARY-caller-0123456789"
"""What a client of the gateway presents. Must never reach a provider."""
OPERATOR_KEY = "sk-CANARY-operator-0123456789"
"""What the gateway presents to a provider. Must never reach a client."""

FORMATS = {
    "completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}


def caller(
    key: str = CALLER_KEY, models: Sequence[str] | None = None, **metadata: str
) -> CallerKey:
    """A key of the gateway, for `models` or for all."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    allowed = None if models is None else tuple(models)
    return CallerKey(digest=digest, metadata=metadata, allowed_models=allowed)


def provider(
    url: str,
    kind: str = "custom",
    *,
    key: str | None = OPERATOR_KEY,
    formats: Sequence[str] = tuple(FORMATS),
    name: str = "upstream",
) -> ProviderSettings:
    """A provider at `url` (no path). `formats` counts for the custom kind."""
    return ProviderSettings(
        kind=kind,
        name=name,
        base_url=f"{url}/v1" if kind == "openAI" else url,
        api_key=None if key is None else Secret(key),
        formats={each: FORMATS[each] for each in formats} if kind == "custom" else None,
    )


def model(name: str, served_by: ProviderSettings, upstream: str | None = None, **more: Any) -> Any:
    """One entry of the model list. Unless told otherwise nothing is asked twice and no breaker
    opens: a test that is about something else sees what its upstream does."""
    more.setdefault("retry", RetrySettings(attempts=0))
    more.setdefault("health", HealthSettings(failures=1_000_000))
    return ModelSettings(name=name, provider=served_by, model=upstream, **more)


def route(
    models: Sequence[ModelSettings],
    keys: Sequence[CallerKey] | None = None,
    *,
    mode: str = "strict",
    **more: Any,
) -> RouteSettings:
    """A route for those keys; `None` means that nobody has to show one."""
    policy = None if keys is None else ApiKeySettings(mode=mode, keys=tuple(keys))  # type: ignore[arg-type]
    return RouteSettings(apis=dict(DEFAULT_APIS), models=tuple(models), api_key=policy, **more)


def virtual(name: str, *targets: str | VirtualTarget, **more: Any) -> VirtualSettings:
    """A virtual model; unless told otherwise it fails over from one to the next in this order."""
    more.setdefault("routing", "failover")
    made = tuple(
        VirtualTarget(model=each, priority=place) if isinstance(each, str) else each
        for place, each in enumerate(targets)
    )
    return VirtualSettings(name=name, targets=made, **more)


def settings(
    *routes: RouteSettings, limits: Limits | None = None, deadlines: Deadlines | None = None
) -> Settings:
    """One listener on a free loopback port, no admin, no access log."""
    return Settings(
        listeners=(ListenerSettings(address=Address(port=0), routes=routes),),
        admin=None,
        limits=limits or Limits(),
        deadlines=deadlines or Deadlines(),
    )


class _Notebook(Recorder):
    """Keeps every record."""

    __slots__ = ("changed", "outcomes")

    def __init__(self) -> None:
        super().__init__(Metrics(), None)
        self.outcomes: list[Outcome] = []
        self.changed = asyncio.Event()

    def finish(self, outcome: Outcome) -> None:
        super().finish(outcome)
        self.outcomes.append(outcome)
        self.changed.set()


class Gateway:
    """A running worker. `url` has no path; `outcomes` are the records so far, in order."""

    def __init__(self, config: Settings) -> None:
        self.recorder = _Notebook()
        self.worker = Worker(config, self.recorder)
        self.port = 0

    @classmethod
    async def start(cls, config: Settings) -> "Gateway":
        """Listen on the free port the settings ask for."""
        self = cls(config)
        await self.worker.listen()
        self.port = self.worker.listeners[0].port
        return self

    @property
    def url(self) -> str:
        """The base URL, without `/v1`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def outcomes(self) -> list[Outcome]:
        """Every record so far."""
        return self.recorder.outcomes

    async def last(self, count: int = 1, within: float = 5.0) -> Outcome:
        """The latest record, once there are `count`."""
        until = time.perf_counter() + within
        while len(self.outcomes) < count:
            self.recorder.changed.clear()
            await asyncio.wait_for(self.recorder.changed.wait(), until - time.perf_counter())
        return self.outcomes[-1]

    def metrics(self) -> str:
        """The Prometheus page."""
        return render([self.recorder.metrics.snapshot()])[0].decode()

    def sample(self, name: str, **labels: str) -> float:
        """The sum of the samples with that name and those labels."""
        return sample(self.metrics(), name, **labels)

    async def stop(self) -> None:
        """Close everything at once."""
        await self.worker.stop()


def sample(page: str, name: str, **labels: str) -> float:
    """The sum of a page's samples with that name and at least those labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    total = 0.0
    for line in page.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")) and all(each in line for each in wanted):
            total += float(line.rsplit(" ", 1)[1])
    return total


Start = Callable[..., Any]
