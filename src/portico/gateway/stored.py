"""Responses that are stored: retrieve, delete, cancel, list their input.

What belongs to another tenant, has expired, or never was, is one 404. What only the provider keeps
is asked of the provider.
"""

from time import monotonic
from typing import TYPE_CHECKING

from portico.dialects.registry import DIALECTS
from portico.dialects.responses.conversation_in import deleted_response
from portico.dialects.responses.stored_items import base_of, input_items
from portico.dialects.responses.stored_page import (
    list_object,
    paginate,
    read_page,
    read_stream,
)
from portico.errors import BadRequest, InternalError
from portico.gateway.answers import JSON, request_id_header
from portico.gateway.background import cancel, follow
from portico.gateway.call import Call, tenant_of
from portico.gateway.forward import delete_there, serve_pointer, unknown_response
from portico.gateway.pace import send_body
from portico.gateway.runs import is_live
from portico.http.messages import Reply, Request
from portico.state.pointers import is_pointer
from portico.state.records import Record

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway


async def serve_stored(gateway: "Gateway", call: Call, request: Request, reply: Reply) -> None:
    """Answer for one stored response. Raises `PorticoError`."""
    body = await _serve(gateway, call, request, reply)
    if body is not None:  # what it was made of is not held while the client reads
        await answer(gateway, call, reply, body)


async def _serve(gateway: "Gateway", call: Call, request: Request, reply: Reply) -> bytes | None:
    """The body to send; None when the answer was written already."""
    endpoint = call.endpoint
    if endpoint is None:
        raise InternalError("Internal error.", debug="handled without being admitted")
    (id,) = endpoint.ids(request.target)
    call.outcome.operation = "stored"
    record = await _find(gateway, call, id)
    if is_pointer(record):
        await serve_pointer(gateway, call, request, reply, record)
        return None
    if endpoint.below.endswith("/cancel"):
        return (await cancel(gateway, record)).response
    if endpoint.below.endswith("/input_items"):
        page = read_page(request.query)
        items, more = paginate(input_items(record.input, base_of(id)), page)
        return list_object(items, more)
    if request.method == b"DELETE":
        await _delete(gateway, call, request, record)
        return deleted_response(id)
    return await _retrieve(gateway, call, request, reply, record)


async def _find(gateway: "Gateway", call: Call, id: str) -> Record:
    record = await gateway.state.store.get(tenant_of(call), id, gateway.now())
    if record is None:
        raise unknown_response(id)
    return record


async def _retrieve(
    gateway: "Gateway", call: Call, request: Request, reply: Reply, record: Record
) -> bytes | None:
    stream, after = read_stream(request.query)
    if not stream:
        return record.response
    if not record.streamed:
        raise BadRequest(
            "This response cannot be streamed: it was not created with both `background` and "
            "`stream`.",
            code="invalid_value",
            param="stream",
        )
    await follow(gateway, call, reply, record, after if after is not None else -1)
    return None


async def _delete(gateway: "Gateway", call: Call, request: Request, record: Record) -> None:
    if is_live(record):
        await cancel(gateway, record)
    if record.kept:  # first, so that it can be tried again
        await delete_there(gateway, call, request, record)
    await gateway.state.store.delete(record.tenant, record.id)


async def answer(gateway: "Gateway", call: Call, reply: Reply, body: bytes) -> None:
    """Send a whole JSON body."""
    outcome = call.outcome
    headers = JSON + request_id_header(DIALECTS["responses"], outcome.request_id)
    await send_body(gateway, call, reply, headers, body)
    outcome.status = 200
    outcome.first_byte = outcome.first_byte or monotonic()
