"""An operator's prompts in a Responses request: system prompts in `instructions`, others as items.

Instructions are those of one request and do not go on along a chain of responses; items do
(https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21). So system prompts are
put in every time, and items in front only where the conversation is in the request itself.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from portico.dialects.prompts import (
    Line,
    array_around,
    elements,
    is_array,
    is_string,
    joined_text,
    text_around,
)
from portico.dialects.responses.context_in import TRIGGER
from portico.dialects.responses.wire import NULL

_TRIGGER = TRIGGER.encode()
_MESSAGE = b'{"type":"message","role":"user","content":%b}'


class _Head(Struct, gc=False):
    type: Raw = NULL


_decode_heads = msgspec.json.Decoder(list[_Head]).decode


class ResponsesPrompts:
    """See `dialects.prompts.Prompts`."""

    __slots__ = ("_after", "_before", "_texts")

    def __init__(self, prepend: Sequence[Line], append: Sequence[Line]) -> None:
        self._texts = (joined_text(prepend), joined_text(append))
        self._before = _items(prepend)
        self._after = _items(append)

    def put(self, fields: Mapping[str, Raw], *, begun: bool) -> dict[str, bytes]:
        """`instructions` and `input` with the prompts."""
        out: dict[str, bytes] = {}
        if any(self._texts):
            given = fields.get("instructions", NULL)
            if given == NULL:
                out["instructions"] = text_around(None, *self._texts)
            elif is_string(given):
                out["instructions"] = text_around(given, *self._texts)
        before = b"" if begun else self._before
        if before or self._after:
            raw = fields.get("input", NULL)
            if raw == NULL:
                out["input"] = array_around(b"[]", before, self._after)
            elif is_string(raw):
                out["input"] = array_around(b"[%b]" % (_MESSAGE % raw), before, self._after)
            elif is_array(raw) and not _only_compacts(raw):
                out["input"] = array_around(raw, before, self._after)
        return out


def _items(lines: Sequence[Line]) -> bytes:
    return elements(
        [
            {"type": "message", "role": role, "content": text}
            for role, text in lines
            if role != "system"
        ]
    )


def _only_compacts(raw: Raw) -> bool:
    """Whether the conversation is only to be compacted. What asks for that has to stay the last
    item, and what comes of it is the client's, without the operator's words."""
    if _TRIGGER not in bytes(raw):
        return False
    try:
        heads = _decode_heads(raw)
    except ValueError:
        return False
    return bool(heads) and bytes(heads[-1].type) == b'"%b"' % _TRIGGER
