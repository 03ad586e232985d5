"""One request to a provider and the beginning of its answer, the same in every lane."""

from time import monotonic

from portico.errors import (
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from portico.gateway.call import Call
from portico.gateway.controls import EVERY
from portico.gateway.target import Target
from portico.http.client import HttpClient
from portico.http.upstream import UpstreamConnection
from portico.model.outcome import Outcome

_REQUEST_IDS = (b"x-request-id", b"request-id", b"x-amzn-requestid")
"""OpenAI's, Anthropic's (https://platform.claude.com/docs/en/api/errors) and AWS's
(https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html), 2026-11-21."""


async def send(
    client: HttpClient, call: Call, target: Target, head: bytes, payload: bytes, hold: int
) -> UpstreamConnection:
    """Send, and wait until the answer can be acted on; `hold` as in `UpstreamConnection.send`.

    Whoever gets the connection has to `release` it. Raises `PorticoError`.
    """
    outcome = call.outcome
    now = monotonic()
    left = call.deadline - now
    if left <= 0.0:
        raise _hurried(UpstreamTimeout("The request took longer than this gateway allows."))
    outcome.upstream_started = now
    outcome.attempts = outcome.attempts or 1
    patience = call.patience or target
    rest, again = left, outcome.attempts > 1
    if patience.attempt < left:
        left = patience.attempt
    pool = target.pool
    kept = connection = pool.take()
    if connection is None:
        within = patience.connect
        try:
            connection = await client.connect(pool, within if within < left else left)
        except UpstreamUnreachable:
            if again and rest < within and monotonic() >= call.deadline:
                raise _hurried(UpstreamTimeout("The request took too long.")) from None
            raise
    machine = call.machine
    if machine is not None:
        machine.connected()
    allowed = first_byte = patience.first_byte
    if outcome.stream and patience.first_token < first_byte:
        allowed = first_byte = patience.first_token - (monotonic() - now)  # of the whole attempt
    said = call.first_bytes
    if said is not None:
        first_byte = min(said.get(target.label.casefold(), said.get(EVERY, allowed)), allowed)
    try:
        connection.send(head, payload, hold, first_byte=first_byte, idle=patience.idle, total=left)
        await connection.answer()
    except UpstreamTruncated as error:
        # The other side closed what it had kept open, just then: no answer had begun.
        error.stale = kept is not None and connection.last_read < now
        release(connection, outcome)
        if error.stale:  # it had rested for the shortest time: the others are no better
            while (other := pool.take()) is not None:
                other.close()
        raise
    except UpstreamTimeout as error:
        release(connection, outcome)
        if first_byte < allowed or (again and rest < min(allowed, patience.attempt)):
            _hurried(error)
        raise
    except BaseException:  # cancelled, too
        release(connection, outcome)
        raise
    outcome.upstream_first_byte = connection.first_byte_at
    outcome.upstream_request_id = upstream_request_id(connection.headers)
    return connection


def _hurried(error: UpstreamTimeout) -> UpstreamTimeout:
    error.hurried = True
    return error


def release(connection: UpstreamConnection, outcome: Outcome) -> None:
    """Give the connection back; note when the answer was whole, if it was."""
    if connection.complete:
        outcome.upstream_finished = connection.last_read
    connection.release()


def check_coding(connection: UpstreamConnection) -> None:
    """Raise `UpstreamProtocol` for an answer in a coding that was not asked for."""
    coding = connection.headers.get(b"content-encoding")
    if coding is not None and coding != b"identity":
        raise UpstreamProtocol(
            "The provider sent a compressed answer although identity was asked for.",
            debug=f"content-encoding: {coding[:40]!r}",
        )


def upstream_request_id(headers: dict[bytes, bytes]) -> str:
    """The provider's own id of the request, by whichever name it has for the header."""
    for name in _REQUEST_IDS:
        value = headers.get(name)
        if value:
            return value[:128].decode("latin-1")
    return ""
