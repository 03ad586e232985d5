"""`retry`, `timeout` and `health`: from blocks at several levels to settings.

A block is checked once, where it stands; what is made of several of them reports nothing.
"""

from collections.abc import Sequence

from portico.config import expressions
from portico.config.errors import Path, Report
from portico.config.merge import default, merged
from portico.config.schema_routing import (
    ActiveHealth,
    Cooldown,
    Eviction,
    Health,
    Resilience,
    Retry,
    RetryBudget,
    Timeout,
)
from portico.config.settings import (
    ActiveCheck,
    HealthSettings,
    RetrySettings,
    TimeoutSettings,
)

CLASSES = {"4xx": range(400, 500), "5xx": range(500, 600)}


def check(block: Resilience, path: Path, report: Report) -> None:
    """What is wrong with the three keys of one block."""
    check_retry(block.retry, (*path, "retry"), report)
    if block.health is not None:
        _check_health(block.health, (*path, "health"), report)


def check_retry(block: Retry | None, path: Path, report: Report) -> None:
    """What is wrong with one `retry`."""
    if block is None:
        return
    if block.codes == ():
        report.add((*path, "codes"), "lists no status; write attempts: 0 to retry nothing")
    if _below(block.max_backoff, block.backoff):
        report.add((*path, "maxBackoff"), "is less than backoff")


def _check_health(block: Health, path: Path, report: Report) -> None:
    if block.unhealthy_expression is not None:
        try:
            expressions.statuses(block.unhealthy_expression)
        except ValueError as error:
            report.add((*path, "unhealthyExpression"), str(error))
    if block.cooldown is not None and _below(block.cooldown.max, block.cooldown.duration):
        report.add((*path, "cooldown", "max"), "is less than duration")


def _below(highest: float | None, lowest: float | None) -> bool:
    return highest is not None and lowest is not None and highest < lowest


def retry(*blocks: Retry | None) -> RetrySettings:
    """What the blocks come to, the innermost first."""
    block = merged(Retry, blocks)
    budget = block.budget or RetryBudget()
    usual = RetrySettings()
    backoff = default(block.backoff, usual.backoff)
    return RetrySettings(
        attempts=default(block.attempts, usual.attempts),
        codes=usual.codes if block.codes is None else _codes(block.codes),
        backoff=backoff,
        max_backoff=max(backoff, default(block.max_backoff, usual.max_backoff)),
        budget=default(budget.share, usual.budget),
        budget_per_second=default(budget.per_second, usual.budget_per_second),
    )


def _codes(written: Sequence[str]) -> frozenset[int]:
    codes: set[int] = set()
    for word in written:
        codes |= set(CLASSES[word]) if word in CLASSES else {int(word)}
    return frozenset(codes)


def timeout(*blocks: Timeout | None) -> TimeoutSettings:
    """What the blocks come to, the innermost first."""
    block = merged(Timeout, blocks)
    return TimeoutSettings(
        request=block.request_timeout,
        attempt=block.backend_request_timeout,
        connect=block.connect_timeout,
        first_byte=block.first_byte_timeout,
        first_token=block.first_token_timeout,
        idle=block.idle_timeout,
    )


def health(*blocks: Health | None) -> HealthSettings:
    """What the blocks come to, the innermost first."""
    block = merged(Health, blocks)
    eviction, cooldown = block.eviction or Eviction(), block.cooldown or Cooldown()
    usual = HealthSettings()
    first = default(cooldown.duration, usual.cooldown)
    return HealthSettings(
        failures=default(eviction.failures, usual.failures),
        window=default(eviction.window, usual.window),
        share=default(eviction.share, usual.share),
        consecutive=eviction.consecutive_failures,
        open_for=default(eviction.duration, usual.open_for),
        statuses=_statuses(block.unhealthy_expression, usual.statuses),
        cooldown=first,
        max_cooldown=max(first, default(cooldown.max, usual.max_cooldown)),
        when_all=default(block.when_all_unhealthy, usual.when_all),
        active=_active(block.active),
    )


def _statuses(expression: str | None, usual: frozenset[int]) -> frozenset[int]:
    if expression is None:
        return usual
    try:
        return expressions.statuses(expression)
    except ValueError:  # reported where it stands
        return usual


def _active(block: ActiveHealth | None) -> ActiveCheck | None:
    if block is None:
        return None
    usual = ActiveCheck()
    return ActiveCheck(
        interval=default(block.interval, usual.interval),
        timeout=default(block.timeout, usual.timeout),
        kind=default(block.kind, usual.kind),
    )
