"""A response without output: its context is there before anything is asked (`generate: false`).

Source: https://platform.openai.com/docs/guides/websocket-mode (2026-11-21).
"""

from time import monotonic

from msgspec import Raw

from portico.dialects.base import SpliceRequest
from portico.dialects.registry import DIALECTS
from portico.dialects.responses.response_out import usage_object
from portico.dialects.responses.stored_snapshot import patched, queued
from portico.errors import BadRequest
from portico.gateway.answers import request_id_header
from portico.gateway.background import EVENT_STREAM
from portico.gateway.call import Call
from portico.http.messages import Reply
from portico.ids import new_base
from portico.wire.sse import encode_event


async def warm_up(call: Call, reply: Reply, ask: SpliceRequest, created: int) -> None:
    """Answer with the events of an empty response, and have it remembered. Nobody is asked. Raises
    `BadRequest` where nothing can be remembered, and what the recording raises."""
    recording = call.recording
    if recording is None or recording.turn.pointer:
        raise BadRequest(
            "Unsupported parameter: 'generate' is not supported with this model: it needs stored "
            "state that this gateway does not keep for it.",
            code="unsupported_parameter",
            param="generate",
        )
    if call.fallback is not None:  # the provider has the parent, but will not have this
        await call.fallback.expand()
    recording.turn.keeps = False
    told = {**(ask.told or ask.fields), "background": Raw(b"false")}
    begun = patched(
        queued(told, new_base(), created, ask.model),
        {"status": b'"in_progress"', "background": b"false"},
    )
    whole = patched(
        begun,
        {"status": b'"completed"', "completed_at": b"%d" % created, "usage": usage_object(None)},
    )
    whole = await recording.keep(whole)
    events = (("created", begun), ("in_progress", begun), ("completed", whole))
    outcome = call.outcome
    outcome.stream = True
    outcome.status = 200
    outcome.first_byte = monotonic()
    headers = EVENT_STREAM + request_id_header(DIALECTS["responses"], outcome.request_id)
    reply.start(200, headers, None)
    reply.write(b"".join([_event(n, name, body) for n, (name, body) in enumerate(events)]))
    reply.end()


def _event(number: int, name: str, response: bytes) -> bytes:
    kind = f"response.{name}"
    data = b'{"type":"%b","sequence_number":%d,"response":%b}' % (kind.encode(), number, response)
    return encode_event(kind, data)
