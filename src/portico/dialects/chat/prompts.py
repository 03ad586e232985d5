"""An operator's prompts in a Chat Completions request: all of them are messages."""

from collections.abc import Mapping, Sequence

from msgspec import Raw

from portico.dialects.prompts import Line, array_around, elements, is_array


class ChatPrompts:
    """See `dialects.prompts.Prompts`. A system prompt is a message where it was put: in front, or
    at the end."""

    __slots__ = ("_after", "_before")

    def __init__(self, prepend: Sequence[Line], append: Sequence[Line]) -> None:
        self._before = _messages(prepend)
        self._after = _messages(append)

    def put(self, fields: Mapping[str, Raw], *, begun: bool) -> dict[str, bytes]:
        """`messages` with the prompts."""
        raw = fields.get("messages")
        if raw is None or not is_array(raw):
            return {}
        return {"messages": array_around(raw, self._before, self._after)}


def _messages(lines: Sequence[Line]) -> bytes:
    return elements([{"role": role, "content": text} for role, text in lines])
