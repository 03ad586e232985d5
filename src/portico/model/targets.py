"""What operators see of a target: one model at one provider, as one worker knows it.

Routing fills these in, metrics and the admin listener read them, and they travel between processes.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["closed", "open", "half_open"]
"""A breaker: in use, left alone, or waiting for one request to find out."""


class CredentialView(Struct, frozen=True, kw_only=True):
    """One credential, for operators: never the key itself. `number` counts from 1."""

    number: int
    cooling_for: float
    cooled: int


class TargetView(Struct, frozen=True, kw_only=True):
    """One target, for operators. Times in seconds; `calls` and `failures` are those of the window,
    the `_total`s of the process."""

    name: str
    provider: str
    model: str
    state: State
    open_for: float
    in_flight: int
    latency: float
    tokens_per_second: float
    calls: int
    failures: int
    successes_total: int
    failures_total: int
    opened_total: int
    last_error: str
    credentials: tuple[CredentialView, ...]
