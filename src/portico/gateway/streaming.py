"""Running one stream to its end, whatever that is: done, cut, cancelled, refused."""

import asyncio

from portico.dialects.base import Tap
from portico.errors import PorticoError, forget_frames
from portico.gateway.call import Call
from portico.gateway.relay import StreamRelay
from portico.http.client import HttpClient
from portico.http.messages import Reply
from portico.http.upstream import UpstreamConnection
from portico.state.pointers import Pointing, PointingTap
from portico.state.recording import RecordingTap


def recorded(tap: Tap, call: Call, reply: Reply) -> Tap:
    """`tap`, with what it reads recorded where the call asks for that."""
    recording = call.recording
    if recording is None:
        return tap
    if isinstance(recording, Pointing) and recording.early:
        return PointingTap(tap, recording, reply.write)
    return RecordingTap(tap, recording, reply.write)


async def run_stream(
    client: HttpClient,
    call: Call,
    reply: Reply,
    connection: UpstreamConnection,
    relay: StreamRelay,
    tap: Tap,
) -> None:
    """Relay the stream; note in the record how it went. Raises what came before the first byte."""
    outcome = call.outcome
    members = client.sweeper.members
    members.add(relay)
    reply.attach(connection)
    try:
        await connection.relay(relay.feed)
        relay.flush()
        if isinstance(tap, RecordingTap):
            await tap.settled()
        relay.finish()
    except PorticoError as fault:
        if not reply.started:
            raise
        if isinstance(tap, PointingTap):
            await tap.announced()  # the client is to have the id of what goes on without it
        elif isinstance(tap, RecordingTap) and tap.committing:
            await tap.decided()  # the answer was whole before the line broke
        elif isinstance(tap, RecordingTap) and not tap.finished:
            await tap.broken(fault)
        if fault.limit:
            client.events.limit_hit(fault.limit)
        if not tap.finished:
            outcome.verdict = "truncated"
            outcome.error_code = fault.code
            outcome.error_debug = fault.debug
            call.fault = fault
        relay.cut(fault)
        forget_frames(fault)
    except BaseException:
        # Cancelled: the client left, or this worker is going down and the client is to be told.
        call.relay = relay
        call.finished = tap.finished
        if tap.finished and tap.usage is None and not tap.failed:
            await _last_words(connection, tap)
        raise
    finally:
        members.discard(relay)
        if not reply.started:
            relay.drop()
        outcome.usage = tap.usage
        outcome.response_model = tap.model
        if tap.failed:  # the provider said so itself, inside a 200
            outcome.verdict = "upstream_error"
            outcome.error_code = "upstream_error"


async def _last_words(connection: UpstreamConnection, tap: Tap) -> None:
    """Generation is over but its usage has not come yet: a client that leaves right after the
    finish reason does not get its tokens for nothing. Waits a second at most."""
    for _ in range(20):
        if tap.usage is not None or connection.complete or not connection.usable:
            return
        await asyncio.sleep(0.05)


async def send_frames(call: Call, reply: Reply, tap: Tap, frames: bytes) -> None:
    """Write a stream that is there already, up to its end; `frames` are what `tap` made."""
    if call.recording is None:
        reply.write(frames)
        reply.end()
        return
    recording = RecordingTap(tap, call.recording, reply.write)
    reply.write(recording.pass_on(frames))
    try:
        await recording.settled()
    except PorticoError as fault:
        call.outcome.verdict = "truncated"
        call.outcome.error_code = fault.code
        call.outcome.error_debug = fault.debug
        reply.write(recording.truncation_frames(fault))
        reply.abort()
        return
    reply.end()
