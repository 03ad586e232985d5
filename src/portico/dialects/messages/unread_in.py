"""Members of messages and blocks that the readers of this dialect pass over."""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import unread
from portico.dialects.messages.raws import NULL
from portico.model.losses import Losses

_KNOWN = frozenset((
    b'"text"', b'"image"', b'"document"', b'"search_result"', b'"thinking"', b'"redacted_thinking"',
    b'"tool_use"', b'"tool_result"', b'"container_upload"',
))  # fmt: skip
"""Blocks that are read member by member; others keep their own JSON."""


class _Mark(Struct, gc=False):
    type: Raw = NULL
    ttl: Raw = NULL


class _Members(Struct, gc=False):
    """What all blocks may have."""

    type: Raw = NULL
    text: Raw = NULL
    citations: Raw = NULL
    cache_control: _Mark | None = None
    title: Raw = NULL
    context: Raw = NULL
    id: Raw = NULL
    name: Raw = NULL
    input: Raw = NULL
    tool_use_id: Raw = NULL
    is_error: Raw = NULL
    thinking: Raw = NULL
    signature: Raw = NULL
    data: Raw = NULL
    file_id: Raw = NULL


class _Leaf(_Members, gc=False):
    """A block at the bottom: text or an image."""

    source: Raw = NULL
    content: Raw = NULL


class _Source(Struct, gc=False):
    type: Raw = NULL
    media_type: Raw = NULL
    data: Raw = NULL
    url: Raw = NULL
    file_id: Raw = NULL
    content: str | list[_Leaf] | None = None


class _Inner(_Members, gc=False):
    """A block inside the result of a tool."""

    source: str | _Source | None = None
    content: str | list[_Leaf] | None = None


class _Block(_Members, gc=False):
    source: str | _Source | None = None
    content: str | list[_Inner] | None = None


class _Message(Struct, gc=False):
    role: Raw = NULL
    content: str | list[_Block] | None = None


class _Content(Struct, gc=False):
    """What is walked: where the readers look."""

    messages: list[_Message] | None = None
    system: str | list[_Block] | None = None


_decode_strictly = msgspec.json.Decoder(unread.strict(_Content, top=False)).decode


def _is_foreign(members: dict[str, Raw]) -> bool:
    return bytes(members.get("type", NULL)) not in _KNOWN


_FOREIGN: dict[type, unread.Skip] = {_Block: _is_foreign, _Inner: _is_foreign, _Leaf: _is_foreign}


def content(body: bytes, losses: Losses) -> None:
    """Declare what is passed over in the messages and in `system` of a body."""
    try:
        _decode_strictly(body)
    except ValueError:
        walk = unread.Walk(_FOREIGN)
        walk.object(body, _Content, "", top=False)
        losses.extend(walk.losses)
