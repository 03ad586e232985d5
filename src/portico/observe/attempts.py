"""What became of each try at a provider: one reading of the record, for metrics, log and pages.

The record keeps the tries that were not the last in `Outcome.failed`; what it says of itself is
about the last one. There is none if the request ended between two tries.
"""

from typing import Final

from msgspec import Struct

from portico.model.outcome import Attempt, Outcome

_BY_CODE: Final = {
    "upstream_unreachable": "connect",
    "upstream_timeout": "timeout",
    "upstream_truncated": "truncated",
    "upstream_protocol_error": "protocol",
    "upstream_auth": "auth",
    "overloaded": "full",
    "internal_error": "internal",
}
"""Codes of our own faults (`portico.errors`); a provider's error is told by its status."""

_OURS: Final = frozenset(_BY_CODE.values())


class Tried(Struct, frozen=True, omit_defaults=True, gc=False):
    """One try. `status` is the provider's; times are milliseconds, `started_ms` and `first_byte_ms`
    counted from the beginning of the request. `result` as in `portico_upstream_attempts_total`."""

    provider: str
    model: str
    result: str = ""
    status: int = 0
    error: str = ""
    started_ms: float = 0.0
    duration_ms: float = 0.0
    first_byte_ms: float | None = None
    upstream_request_id: str = ""


def failed_as(error: str, status: int) -> str:
    """The class of a failure, one of a dozen: from the fault's code, else from the provider's
    status. `event`: a 200 whose stream began with an error."""
    ours = _BY_CODE.get(error)
    if ours is not None and (ours != "full" or status in (0, 503)):
        return ours
    if status == 429:
        return "429"
    if 400 <= status < 600:
        return "4xx" if status < 500 else "5xx"
    return "event" if 200 <= status < 300 else "other"


def ended_as(outcome: Outcome) -> str:
    """The class of a request's last try: `success`, `cancelled`, or how it failed."""
    verdict = outcome.verdict
    if verdict == "ok" and outcome.status < 400:
        return "success"
    if verdict == "client_cancelled":
        return "cancelled"
    if verdict == "truncated":
        return "truncated"
    return failed_as(outcome.error_code or "", outcome.status)


def tried(outcome: Outcome, attempt: Attempt) -> Tried:
    """A try that failed and was not the last, for the log and the pages."""
    started = outcome.started
    begun = attempt.started or attempt.finished  # a try may fail before it reaches the provider
    first_byte = attempt.first_byte
    return Tried(
        attempt.provider,
        attempt.model,
        failed_as(attempt.error, attempt.status),
        attempt.status,
        attempt.error,
        millis(begun - started),
        millis(attempt.finished - begun),
        millis(first_byte - started) if first_byte else None,
        attempt.upstream_request_id,
    )


def all_tried(outcome: Outcome) -> tuple[Tried, ...]:
    """Every try in order, the last included; empty for a request that reached no provider."""
    failed = [tried(outcome, attempt) for attempt in outcome.failed or ()]
    begun = outcome.upstream_started
    if not begun:
        return tuple(failed)
    started, first_byte = outcome.started, outcome.upstream_first_byte
    result = ended_as(outcome)
    last = Tried(
        outcome.provider,
        outcome.upstream_model,
        result,
        _status(outcome, result),
        "" if result == "success" else outcome.error_code or "",
        millis(begun - started),
        millis((outcome.upstream_finished or outcome.finished) - begun),
        millis(first_byte - started) if first_byte else None,
        outcome.upstream_request_id,
    )
    return (*failed, last)


def _status(outcome: Outcome, result: str) -> int:
    """What the provider answered: not the status that a fault or a client that left was given."""
    if outcome.status == 499 or (result in _OURS and outcome.verdict != "truncated"):
        return 0
    return outcome.status


def millis(seconds: float) -> float:
    """Milliseconds with three decimals."""
    return round(seconds * 1e3, 3)
