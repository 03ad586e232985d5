"""The durations of a request, computed in one place so that log and metrics agree."""

from portico.model.outcome import Outcome


def overhead(outcome: Outcome) -> float:
    """Seconds the gateway itself added: before the upstream call plus after the upstream's answer.

    Before: from the request's head to the first attempt. After: if the client's first byte left
    when the upstream had already finished (the answer was held or translated whole), the time since
    the upstream's last byte; otherwise (relayed as it came) the time from the upstream's first byte
    to the client's. Later chunks of a stream are not measured: their cost overlaps the provider's.
    A request that never reached a provider is overhead from end to end. Waiting for a retry is not
    overhead, and neither is a client that reads slowly.
    """
    called = outcome.upstream_started
    if not called:
        return outcome.finished - outcome.started
    first_byte = outcome.first_byte
    answered = outcome.upstream_first_byte
    if not first_byte or not answered:
        return called - outcome.started
    ended = outcome.upstream_finished
    if 0.0 < ended <= first_byte:
        return called - outcome.started + first_byte - ended
    return called - outcome.started + first_byte - answered
