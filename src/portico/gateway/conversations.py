"""The Conversations API: items that stay together, whoever answers.

Source: https://platform.openai.com/docs/api-reference/conversations (2026-11-21).
"""

from typing import TYPE_CHECKING

from portico.dialects.responses.conversation_in import (
    conversation_object,
    deleted_object,
    read_create,
    read_items,
    read_update,
)
from portico.dialects.responses.stored_items import Item, input_items
from portico.dialects.responses.stored_page import Page, list_object, read_page
from portico.errors import BadRequest, InternalError, NotFound
from portico.gateway.call import Call, tenant_of
from portico.gateway.items import resolve
from portico.gateway.stored import answer
from portico.http.messages import Reply, Request
from portico.ids import new_base
from portico.state.records import Conversation, Entry

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway


async def serve_conversations(
    gateway: "Gateway", call: Call, request: Request, reply: Reply
) -> None:
    """Answer for one conversation, its items, or one of them. Raises `PorticoError`."""
    endpoint = call.endpoint
    if endpoint is None:
        raise InternalError("Internal error.", debug="handled without being admitted")
    call.outcome.operation = "conversations"
    ids = endpoint.ids(request.target)
    desk = _Desk(gateway, call, request)
    if not ids:
        body = await desk.create()
    elif len(ids) == 2:
        body = await desk.item(*ids)
    elif endpoint.below.endswith("/items"):
        body = await desk.items(*ids)
    else:
        body = await desk.conversation(*ids)
    await answer(gateway, call, reply, body)


class _Desk:
    """One request about conversations."""

    __slots__ = ("_call", "_gateway", "_request", "_store", "_tenant")

    def __init__(self, gateway: "Gateway", call: Call, request: Request) -> None:
        self._gateway = gateway
        self._call = call
        self._request = request
        self._store = gateway.state.store
        self._tenant = tenant_of(call)

    async def create(self) -> bytes:
        metadata, items = read_create(self._request.body, self._call.snapshot.limits)
        items = await resolve(self._gateway, self._call, items)
        base = new_base()
        made = Conversation(
            tenant=self._tenant,
            id=f"conv_{base}",
            created_at=int(self._gateway.now()),
            metadata=metadata,
        )
        await self._store.create_conversation(made, _entries(items, base))
        return conversation_object(made.id, made.created_at, made.metadata)

    async def conversation(self, id: str) -> bytes:
        method = self._request.method
        if method == b"DELETE":
            if not await self._store.delete_conversation(self._tenant, id):
                raise _unknown(id)
            return deleted_object(id)
        if method == b"POST":
            metadata = read_update(self._request.body, self._call.snapshot.limits)
            found = await self._store.update_conversation(self._tenant, id, metadata)
        else:
            found = await self._store.conversation(self._tenant, id)
        if found is None:
            raise _unknown(id)
        return conversation_object(found.id, found.created_at, found.metadata)

    async def items(self, id: str) -> bytes:
        if self._request.method == b"POST":
            read_page(self._request.query)
            given = read_items(self._request.body, self._call.snapshot.limits)
            given = await resolve(self._gateway, self._call, given)
            entries = _entries(given, new_base())
            if not await self._store.append(self._tenant, id, entries):
                raise _unknown(id)
            return list_object([Item(entry.id, entry.body) for entry in entries], False)
        if await self._store.conversation(self._tenant, id) is None:
            raise _unknown(id)
        page: Page = read_page(self._request.query)
        found = await self._store.entries(
            self._tenant, id, after=page.after, limit=page.limit + 1, order=page.order
        )
        if found is None:
            raise BadRequest(
                f"No item with id '{page.after}' in this conversation.",
                code="invalid_value",
                param="after",
            )
        shown = [Item(entry.id, entry.body) for entry in found[: page.limit]]
        return list_object(shown, len(found) > page.limit)

    async def item(self, id: str, item: str) -> bytes:
        entry = await self._store.entry(self._tenant, id, item)
        if entry is None:
            if await self._store.conversation(self._tenant, id) is None:
                raise _unknown(id)
            raise NotFound(
                f"Item with id '{item}' not found in conversation '{id}'.",
                code="item_not_found",
                param="item_id",
            )
        if self._request.method == b"GET":
            return entry.body
        await self._store.delete_entry(self._tenant, id, item)
        found = await self._store.conversation(self._tenant, id)
        if found is None:
            raise _unknown(id)
        return conversation_object(found.id, found.created_at, found.metadata)


def _entries(items: bytes, base: str) -> list[Entry]:
    return [Entry(item.id, item.body) for item in input_items(items, base)]


def _unknown(id: str) -> NotFound:
    return NotFound(
        f"Conversation with id '{id}' not found.",
        code="conversation_not_found",
        param="conversation_id",
    )
