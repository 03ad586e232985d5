"""Fetching what a request links to, for targets that take no addresses."""

import asyncio
from base64 import b64encode

from portico.dialects.media import canonical, of_name
from portico.errors import BadRequest
from portico.gateway.snapshot import Snapshot
from portico.http.remote import RemoteDoor
from portico.model.capabilities import Capabilities
from portico.model.parts import Source
from portico.model.passes.content import Fetched, remote
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest

MOST_ADDRESSES = 16
_TYPELESS = frozenset(("", "application/octet-stream", "binary/octet-stream"))


async def fetch_all(
    door: RemoteDoor, wanted: GenerateRequest, can: Capabilities, snapshot: Snapshot
) -> Fetched:
    """What is at the addresses that this target cannot fetch itself. Raises `BadRequest`."""
    addresses = remote(wanted.items, can)
    if not addresses:
        return {}
    param = path(wanted.dialect, "items")
    if len(addresses) > MOST_ADDRESSES:
        raise BadRequest(
            f"At most {MOST_ADDRESSES} addresses are fetched for one request.",
            code="too_many_addresses",
            param=param,
        )
    most = snapshot.limits.remote_content_bytes // len(addresses)
    seconds = snapshot.deadlines.remote_content
    try:
        async with asyncio.TaskGroup() as group:  # the first that fails ends the others
            tasks = [
                group.create_task(door.fetch(address, most, seconds, param))
                for address in addresses
            ]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    found = [task.result() for task in tasks]
    return {
        address: Source(
            "base64", b64encode(content.body).decode("ascii"), _type(content.media_type, address)
        )
        for address, content in zip(addresses, found, strict=True)
    }


def _type(said: str, address: str) -> str:
    media_type = canonical(said)
    if media_type in _TYPELESS:
        return of_name(address.partition("?")[0]) or media_type
    return media_type
