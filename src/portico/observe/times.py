"""The times of a request, computed in one place so that log, metrics and pages agree."""

from datetime import UTC, datetime

from portico.model.outcome import Outcome


def overhead(outcome: Outcome) -> float:
    """Seconds the gateway itself added: before the upstream call plus after the upstream's answer.

    Before: from the request's head to the first attempt. After: if the client's first byte left
    when the upstream had already finished (the answer was held or translated whole), the time since
    the upstream's last byte; otherwise (relayed as it came) the time from the upstream's first byte
    to the client's, for a stream from when it first said something: what comes before is held back
    on purpose. Later chunks of a stream are not measured: their cost overlaps the provider's.
    A request that never reached a provider is overhead from end to end. Waiting for a retry is not
    overhead, and neither is a client that reads slowly.
    """
    called = outcome.upstream_started
    if outcome.failed:
        called = first_called(outcome)
    if not called:
        return outcome.finished - outcome.started
    first_byte = outcome.first_byte
    answered = outcome.upstream_spoke or outcome.upstream_first_byte
    if not first_byte or not answered:
        return called - outcome.started
    ended = outcome.upstream_finished
    if 0.0 < ended <= first_byte:
        return called - outcome.started + first_byte - ended
    return called - outcome.started + first_byte - answered


def first_called(outcome: Outcome) -> float:
    """When the first attempt began; 0.0 if there was none. `upstream_started` is the last's."""
    if not outcome.failed:
        return outcome.upstream_started
    first = outcome.failed[0]
    return first.started or first.finished  # an attempt may fail before anything is sent


def stamp(wall: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds; these sort as they are."""
    written = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    return written.replace("+00:00", "Z")
