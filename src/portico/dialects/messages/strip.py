"""Takes what only this gateway understands out of a body that is about to be spliced.

A conversation may have been with another provider before: the thinking, searches and citations that
were told then carry no proof that Anthropic would take back, and it refuses the request. Everything
else keeps its bytes.
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.messages.ours import SERVER_CALL, is_ours
from portico.dialects.messages.raws import NULL
from portico.model.sealed import PREFIX
from portico.wire.json import encode


class _Message(Struct, gc=False):
    role: str = ""
    content: Raw = NULL


class _Block(Struct, gc=False):
    type: str = ""
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    tool_use_id: str | None = None
    citations: Raw = NULL


_decode_raws = msgspec.json.Decoder(list[Raw]).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_block = msgspec.json.Decoder(_Block).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_UNREADABLE = (ValueError, RecursionError)
_PREFIX, _SERVER = PREFIX.encode(), SERVER_CALL.encode()
MARKS = (_PREFIX, _SERVER, b'""')
"""One of these is in every body that `strip` changes."""
_DISABLED = b'{"type":"disabled"}'
_UNPROVEN = (b'"signature":""', b'"signature": ""')
_NO_INDEX = (b'"encrypted_index":""', b'"encrypted_index": ""')


def strip(fields: dict[str, Raw]) -> dict[str, bytes]:
    """The members that change, as JSON text; empty when there is nothing of ours. Never raises."""
    raw = fields.get("messages")
    if raw is None:
        return {}
    text = bytes(raw)
    if not _may_be_ours(text):
        return {}
    try:
        messages = _decode_raws(text)
    except _UNREADABLE:
        return {}
    kept: list[Raw] = []
    changed: set[int] = set()
    for index, message in enumerate(messages):
        cleaned = _clean_message(message)
        if cleaned is not message:
            changed.add(index)
        if cleaned is not None:
            kept.append(cleaned)
    if not changed:
        return {}
    out = {"messages": encode(kept)}
    if len(messages) - 2 in changed and _needs_thinking(fields, kept):
        out["thinking"] = _DISABLED
    return out


def _needs_thinking(fields: dict[str, Raw], messages: list[Raw]) -> bool:
    """Whether the turn that awaits results would have to begin with a thought, and does not: then
    Anthropic refuses a thinking budget.
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-21)"""
    try:
        asked = _decode_block(fields.get("thinking", NULL))
        said, last = [_decode_message(raw) for raw in messages[-2:]]
        results = [_decode_block(raw).type for raw in _decode_raws(last.content)]
        blocks = [_decode_block(raw).type for raw in _decode_raws(said.content)]
    except _UNREADABLE:
        return False
    return (
        asked.type == "enabled"
        and said.role == "assistant"
        and "tool_result" in results
        and blocks[:1] not in (["thinking"], ["redacted_thinking"])
    )


def _may_be_ours(text: bytes) -> bool:
    """Whether there is anything to look for. Few passes over the text: this is the hot path."""
    if _PREFIX in text or _SERVER in text:
        return True
    return b'""' in text and any(mark in text for mark in (*_UNPROVEN, *_NO_INDEX))


def _clean_message(raw: Raw) -> Raw | None:
    """The message itself when nothing changes; None when nothing is left of it."""
    try:
        message = _decode_message(raw)
        blocks = _decode_raws(message.content)
    except _UNREADABLE:
        return raw
    if message.role != "assistant":
        return raw
    kept: list[Raw] = []
    changed = False
    for block in blocks:
        cleaned = _clean_block(block)
        changed = changed or cleaned is not block
        if cleaned is not None:
            kept.append(cleaned)
    if not changed:
        return raw
    if not kept:
        return None
    members = _decode_members(raw)
    members["content"] = Raw(encode(kept))
    return Raw(encode(members))


def _clean_block(raw: Raw) -> Raw | None:
    try:
        block = _decode_block(raw)
    except _UNREADABLE:
        return raw
    if block.type == "thinking":
        return None if block.signature is not None and is_ours(block.signature) else raw
    if block.type == "redacted_thinking":
        return None if block.data is not None and is_ours(block.data) else raw
    if (block.id or block.tool_use_id or "").startswith(SERVER_CALL):
        return None
    if any(mark in bytes(block.citations) for mark in _NO_INDEX):
        return _without_citations(raw, block.citations)
    return raw


def _without_citations(raw: Raw, citations: Raw) -> Raw:
    try:
        kept = [
            citation
            for citation in _decode_raws(citations)
            if not any(mark in bytes(citation) for mark in _NO_INDEX)
        ]
    except _UNREADABLE:
        return raw
    members = _decode_members(raw)
    if kept:
        members["citations"] = Raw(encode(kept))
    else:
        del members["citations"]
    return Raw(encode(members))
