"""One request to a provider and the beginning of its answer, the same in every lane."""

from time import monotonic

from portico.errors import UpstreamProtocol
from portico.gateway.call import Call
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
    outcome, deadlines = call.outcome, call.snapshot.deadlines
    outcome.attempts = 1
    outcome.upstream_started = monotonic()
    connection = target.pool.take() or await client.connect(target.pool)
    try:
        connection.send(
            head,
            payload,
            hold,
            first_byte=deadlines.first_byte,
            idle=deadlines.idle,
            total=deadlines.total,
        )
        await connection.answer()
    except BaseException:  # cancelled, too
        release(connection, outcome)
        raise
    outcome.upstream_first_byte = connection.first_byte_at
    outcome.upstream_request_id = upstream_request_id(connection.headers)
    return connection


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
