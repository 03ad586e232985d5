"""A tenant's items by their ids, wherever they are kept: in responses or in conversations."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from portico.dialects.responses.stored_items import (
    base_of,
    input_items,
    output_items,
    owner_of,
    references,
    replace,
    response_of,
)
from portico.errors import BadRequest, NotFound
from portico.gateway.call import Call, tenant_of
from portico.gateway.target import Target
from portico.state.pointers import is_pointer
from portico.state.recording import GIVEN
from portico.state.records import Record

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway


class Finder:
    """Finds items for one request. Every response is read once, and only so many bytes of them:
    raises `BadRequest` beyond."""

    __slots__ = ("_gateway", "_left", "_session", "_tenant")

    def __init__(self, gateway: "Gateway", call: Call) -> None:
        self._gateway = gateway
        self._tenant = tenant_of(call)
        self._session = call.session
        self._left = call.snapshot.limits.chain_bytes

    async def find(self, wanted: Iterable[str]) -> dict[str, bytes]:
        """The items as JSON, by id; those that the tenant has."""
        found: dict[str, bytes] = {}
        groups: dict[str, list[str]] = {}
        for item in wanted:
            body = self._session.item(item) if self._session is not None else None
            if body is not None:
                found[item] = body
            else:
                groups.setdefault(owner_of(item) or item, []).append(item)
        for name, items in groups.items():
            await self._take(await self._record(name), items, found)
            for item in [item for item in items if item not in found]:
                await self._take(await self._record(GIVEN + item), [item], found)
                if item not in found:
                    await self._take_entry(item, found)
        return found

    async def owned(self, items: Iterable[str], target: Target, *, kept: bool = True) -> set[str]:
        """Those that the target made for this tenant, and (`kept`) keeps."""
        known: set[str] = set()
        for item in items:
            if item in known:
                continue
            record = await self._record(item)
            if record is None or record.origin != target.origin or (kept and not record.kept):
                continue
            if is_pointer(record):  # its names are what it put out, and nothing else
                known.add(item)
                continue
            made = output_items(record.output, base_of(record.id))
            known.update(one.id for one in made)
        return known

    async def _take(self, record: Record | None, items: list[str], found: dict[str, bytes]) -> None:
        if record is None:
            return
        base = base_of(record.id)
        for one in input_items(record.input, base) + output_items(record.output, base):
            if one.id in items:
                found.setdefault(one.id, one.body)

    async def _take_entry(self, item: str, found: dict[str, bytes]) -> None:
        entry = await self._gateway.state.store.entry_anywhere(self._tenant, item)
        if entry is not None:
            self._count(len(entry.body))
            found[item] = entry.body

    async def _record(self, name: str) -> Record | None:
        store, now = self._gateway.state.store, self._gateway.now()
        record = None
        response_id = response_of(name)
        if response_id is not None:
            record = await store.get(self._tenant, response_id, now)
        record = record or await store.by_name(self._tenant, name, now)
        if record is not None:
            self._count(len(record.input) + record.output_size)
        return record

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise BadRequest(
                "The items that are referred to are part of more than this gateway looks through.",
                code="context_length_exceeded",
                param="input",
                limit="chainBytes",
            )


async def resolve(gateway: "Gateway", call: Call, items: bytes) -> bytes:
    """An array of items with those that it only names. Raises `NotFound` for one that the tenant
    does not have, `BadRequest` when all of them are more than a request may hold."""
    named = references(items)
    if not named:
        return items
    known = await Finder(gateway, call).find(dict.fromkeys(item for _, item in named))
    most = call.snapshot.limits.body_bytes
    found: dict[int, bytes] = {}
    size = len(items)
    for position, item in named:
        body = known.get(item)
        if body is None:
            raise unknown_item(item)
        size += len(body)
        if size > most:
            raise BadRequest(
                f"The items that are referred to are more than the limit of {most} bytes.",
                code="context_length_exceeded",
                param="input",
                limit="bodyBytes",
            )
        found[position] = body
    return replace(items, found)


async def foreign(
    gateway: "Gateway", call: Call, target: Target, ids: Iterable[str], *, kept: bool = True
) -> frozenset[str]:
    """Those of the ids that the target does not know as this tenant's. All tenants are one to it:
    what it looks up for one of them must be that one's own. Without `kept`: those that it did not
    make, whether it keeps them or not."""
    named = dict.fromkeys(ids)
    owned = await Finder(gateway, call).owned(named, target, kept=kept)
    return frozenset([item for item in named if item not in owned])


def unknown_item(item: str) -> NotFound:
    """404, whether it is somebody else's or nobody's."""
    return NotFound(
        f"Item with id '{item}' not found. Items are not kept when `store` is false.",
        code="item_not_found",
        param="input",
    )
