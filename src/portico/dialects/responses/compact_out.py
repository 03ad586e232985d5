"""The answer of `POST /responses/compact`, and its summaries in words.

Source: openai-python 3.54, `CompactedResponse`; recordings of 2026-11: `output` holds the user's
messages again, as items, and one `compaction` item behind them.
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.responses.items_in import OWN_CONTEXT, OWN_SUMMARY
from portico.dialects.responses.response_out import compaction_item, usage_object
from portico.model.items import Compaction
from portico.model.passes.compaction import HEADING
from portico.model.sealed import PREFIX, Seal, Unseal
from portico.model.usage import Usage
from portico.wire.json import encode, one_line

_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_PREFIX = PREFIX.encode()
_COMPLETED = Raw(b'"completed"')
_MESSAGE = Raw(b'"message"')
_QUOTE = ord('"')


class _Head(Struct, gc=False):
    type: str | None = None
    role: str | None = None
    encrypted_content: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode


def write(
    given: Raw, summary: Compaction, usage: Usage | None, *, base: str, created: int, seal: Seal
) -> bytes:
    """The body. `given` is the `input` of the request, which was read."""
    items = [
        _again(message, f"msg_{base}{index:04x}") for index, message in enumerate(_said(given))
    ]
    items.append(compaction_item(summary, f"cmp_{base}{len(items):04x}", seal))
    return (
        b'{"id":"resp_%b","object":"response.compaction","created_at":%d,"output":[%b],"usage":%b}'
    ) % (base.encode(), created, b",".join(items), usage_object(usage))


def _said(given: Raw) -> list[dict[str, Raw]]:
    """The user's messages."""
    if memoryview(given)[0] == _QUOTE:
        return [{"content": given}]
    out: list[dict[str, Raw]] = []
    for raw in _decode_array(given):
        head = _head(raw)
        if head is not None and head.role == "user" and head.type in (None, "message"):
            out.append(_decode_object(raw))
    return out


def _again(message: dict[str, Raw], identifier: str) -> bytes:
    """A message of the user as an item, its parts as they were."""
    content = message["content"]
    if memoryview(content)[0] == _QUOTE:
        content = Raw(encode([{"type": "input_text", "text": content}]))
    own = {name: raw for name, raw in message.items() if name not in ("type", "id", "status")}
    item = {"type": _MESSAGE, "id": identifier, "status": _COMPLETED, "role": "user", **own}
    return one_line(Raw(encode({**item, "content": content})))


def _head(raw: Raw) -> _Head | None:
    try:
        return _decode_head(raw)
    except ValueError:
        return None


def restated(fields: dict[str, Raw], unseal: Unseal) -> Raw | None:
    """`input` with the summaries of this gateway as messages; None if there are none.

    What a complete one stands for is left out.
    """
    raw = fields.get("input")
    if raw is None or _PREFIX not in bytes(raw) or memoryview(raw)[0] == _QUOTE:
        return None
    out: list[Raw] = []
    changed = False
    try:
        items = _decode_array(raw)
    except ValueError:
        return None
    for one in items:
        head = _head(one) if _PREFIX in bytes(one) else None
        sealed = None
        if head is not None and head.type == "compaction" and head.encrypted_content:
            sealed = unseal(head.encrypted_content)
        if sealed is None or sealed.origin not in (OWN_SUMMARY, OWN_CONTEXT):
            out.append(one)
            continue
        if sealed.origin == OWN_CONTEXT:
            out = [each for each in out if _is_system(each)]
        text = f"{HEADING}\n{sealed.data}"
        out.append(Raw(encode({"type": "message", "role": "user", "content": text})))
        changed = True
    return Raw(encode(out)) if changed else None


def _is_system(raw: Raw) -> bool:
    head = _head(raw)
    return head is not None and head.role in ("system", "developer")
