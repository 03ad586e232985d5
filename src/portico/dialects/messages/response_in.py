"""A whole Messages answer becomes the events of the hub.

https://platform.claude.com/docs/en/api/messages/create (2026-11-21)
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import UNREADABLE, text
from portico.dialects.messages.assemble import (
    Assembler,
    Block,
    compaction,
    count,
    decode_block,
)
from portico.dialects.messages.lens import Counts
from portico.dialects.messages.raws import NULL
from portico.dialects.messages.upstream_errors import read_error_event
from portico.dialects.translate import Upstream
from portico.errors import UpstreamProtocol
from portico.model.events import Event, Failed


class _Message(Struct, gc=False):
    type: Raw = NULL
    id: Raw = NULL
    model: Raw = NULL
    content: list[Raw] | None = None
    stop_reason: Raw = NULL
    stop_sequence: Raw = NULL
    stop_details: Raw = NULL
    usage: Raw = NULL


_decode = msgspec.json.Decoder(_Message).decode


def read(body: bytes, upstream: Upstream) -> list[Event]:
    """The events of a whole answer. Raises `UpstreamProtocol` if it is not one."""
    try:
        message = _decode(body)
    except UNREADABLE as error:
        raise UpstreamProtocol(
            "The provider's answer could not be read.", debug=f"not a message: {error}"
        ) from None
    if text(message.type) == "error":
        return [Failed(read_error_event(body))]
    if message.content is None:
        raise UpstreamProtocol(
            "The provider's answer could not be read.", debug="a message without content"
        )
    made = Assembler(upstream.origin)
    counts = Counts()
    tier = count(counts, message.usage)
    made.start(text(message.id), text(message.model), tier)
    for raw in message.content:
        _block(made, raw)
    made.usage(counts.usage())
    reason = text(message.stop_reason)
    if reason:
        made.finish(reason, text(message.stop_sequence), message.stop_details, tier)
    return made.out


def _block(made: Assembler, raw: Raw) -> None:
    """One block; one that cannot be read is skipped."""
    try:
        block = decode_block(raw)
    except UNREADABLE:
        return
    kind = block.type
    if kind == "text":
        made.text(block.text or "")
        made.end_text(block.citations or [])
    elif kind == "thinking":
        key = made.think()
        made.thought(key, block.thinking or "")
        made.end_thinking(key, block.signature or "")
    elif kind == "redacted_thinking":
        made.redacted(block.data or "")
    elif kind == "tool_use":
        _call(made, block)
    elif kind in ("server_tool_use", "mcp_tool_use"):
        made.server_call(block, bytes(raw))
    elif kind.endswith("_tool_result"):
        made.server_result(block, bytes(raw))
    elif kind == "compaction":
        made.hosted(compaction(block, bytes(raw)))
    elif kind:
        made.other(kind, bytes(raw))


def _call(made: Assembler, block: Block) -> None:
    key = made.call(block.id or "", block.name or "")
    given = bytes(block.input).decode(errors="replace")
    made.arguments(key, given if given.startswith("{") else "{}")
    made.end_call(key)
