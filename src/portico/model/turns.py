"""Flat items grouped into turns, for the dialects that think in turns."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from portico.model.items import Item, Message, ToolResult

TurnRole: TypeAlias = Literal["system", "user", "assistant"]


class Turn(Struct, gc=False):
    """Neighbouring items of one side. In a user turn, results of tools stand first."""

    role: TurnRole
    items: list[Item]


def side(item: Item) -> TurnRole:
    """Whose turn an item belongs to. Developer messages count as system."""
    if isinstance(item, Message):
        return item.role if item.role in ("user", "assistant") else "system"
    return "user" if isinstance(item, ToolResult) else "assistant"


def turns(items: Iterable[Item]) -> list[Turn]:
    """Group items; order is kept, except that tool results go before messages of the same turn."""
    out: list[Turn] = []
    for item in items:
        role = side(item)
        if out and out[-1].role == role:
            out[-1].items.append(item)
        else:
            out.append(Turn(role, [item]))
    for turn in out:
        if turn.role == "user" and len(turn.items) > 1:
            turn.items.sort(key=_results_first)
    return out


def leading_system(items: tuple[Item, ...]) -> tuple[tuple[Message, ...], tuple[Item, ...]]:
    """System and developer messages at the very beginning, and the rest."""
    at = 0
    lead: list[Message] = []
    for item in items:
        if not isinstance(item, Message) or item.role not in ("system", "developer"):
            break
        lead.append(item)
        at += 1
    return tuple(lead), items[at:]


def _results_first(item: Item) -> bool:
    return not isinstance(item, ToolResult)
