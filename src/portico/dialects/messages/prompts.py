"""An operator's prompts in a Messages request: system prompts in `system`, others as messages.

https://platform.claude.com/docs/en/api/messages/create (2026-11-21)
"""

from collections.abc import Mapping, Sequence

from msgspec import Raw

from portico.dialects.messages.raws import NULL
from portico.dialects.prompts import (
    Line,
    array_around,
    elements,
    is_array,
    is_string,
    joined_text,
    text_around,
)


class MessagesPrompts:
    """See `dialects.prompts.Prompts`. `system` keeps the form the client gave it: a string, or
    blocks, whose cache marks stay where they are."""

    __slots__ = ("_after", "_before", "_blocks", "_speaks", "_texts")

    def __init__(self, prepend: Sequence[Line], append: Sequence[Line]) -> None:
        self._texts = (joined_text(prepend), joined_text(append))
        self._blocks = (_blocks(prepend), _blocks(append))
        self._before = _turns(prepend)
        self._after = _turns(append)
        self._speaks = bool(self._before or self._after)

    def put(self, fields: Mapping[str, Raw], *, begun: bool) -> dict[str, bytes]:
        """`system` and `messages` with the prompts."""
        out: dict[str, bytes] = {}
        if any(self._texts):
            system = fields.get("system", NULL)
            if system == NULL:
                out["system"] = text_around(None, *self._texts)
            elif is_string(system):
                out["system"] = text_around(system, *self._texts)
            elif is_array(system):
                out["system"] = array_around(system, *self._blocks)
        if self._speaks:
            raw = fields.get("messages", NULL)
            if is_array(raw):
                out["messages"] = array_around(raw, self._before, self._after)
        return out


def _blocks(lines: Sequence[Line]) -> bytes:
    """The system prompts as blocks. The API refuses empty ones."""
    return elements(
        [{"type": "text", "text": text} for role, text in lines if role == "system" and text]
    )


def _turns(lines: Sequence[Line]) -> bytes:
    return elements([{"role": role, "content": text} for role, text in lines if role != "system"])
