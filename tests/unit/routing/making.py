"""Targets, plans and clocks for the tests of routing: no sockets, no time of their own."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from portico.config.settings import HealthSettings, RetrySettings
from portico.routing.attempts import Attempts
from portico.routing.budget import RetryBudget
from portico.routing.health import Cooldown, Health
from portico.routing.matching import Facts
from portico.routing.plan import NO_WISHES, Backend, Choice, Credential, Tiers, Wishes

START = 1000.0
"""When tests begin, in monotonic seconds."""
HOUR = 3600.0
NOBODY = Facts(
    headers={},
    caller={},
    fields={},
    model="m",
    stream=False,
    dialect="completions",
    body_bytes=2,
    seen={},
    counts={},
)


class Loaded(Random):
    """A die that always shows the same."""

    def __init__(self, shows: float) -> None:
        super().__init__(0)
        self.shows = shows

    def random(self) -> float:
        return self.shows


def backend(
    name: str,
    keys: int = 1,
    rules: HealthSettings | None = None,
    *,
    provider: str = "",
    price: float | Callable[[str], float] = 1.0,
    homes: Sequence[tuple[str, ...]] = (),
) -> Backend:
    """A backend whose credentials are called `name-1`, `name-2`, ..."""
    credentials = [
        Credential(f"{name}-{n + 1}", homes[n] if homes else (f"{name}-{n + 1}",), Cooldown())
        for n in range(keys)
    ]
    health = Health(rules or HealthSettings())
    cost = price if callable(price) else lambda _model, price=price: price
    return Backend(name, f"key of {name}", provider or name, credentials, health, cost)


def tiers(*groups: Backend | Sequence[Backend]) -> Tiers:
    """Groups of backends, the preferred one first."""
    return tuple(
        (Choice(group),) if isinstance(group, Backend) else tuple(Choice(each) for each in group)
        for group in groups
    )


def machine(
    plan: Tiers,
    rules: RetrySettings | None = None,
    *,
    budget: RetryBudget | None = None,
    deadline: float = START + 60.0,
    rng: Random | None = None,
    wishes: Wishes = NO_WISHES,
    **more: Any,
) -> Attempts:
    """The attempt loop of one request."""
    return Attempts(
        plan,
        rules or RetrySettings(),
        budget or RetryBudget(0.2, 3.0, START),
        deadline,
        rng or Loaded(0.5),
        wishes,
        **more,
    )


def failing(health: Health, now: float, times: int = 1, error: str = "http_500") -> None:
    """So many requests that fail at once."""
    for _ in range(times):
        health.take(now)
        health.fail(now, error, now)


def succeeding(health: Health, now: float, times: int = 1, seconds: float = 0.0) -> None:
    """So many that are answered at once."""
    for _ in range(times):
        health.take(now)
        health.succeed(now, seconds, now)
