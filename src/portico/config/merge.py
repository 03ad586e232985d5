"""Several blocks that may say the same things -> one: what is said further in wins, key by key."""

from collections.abc import Iterable
from typing import TypeVar

from portico.config.blocks import Block

B = TypeVar("B", bound=Block)
T = TypeVar("T")


def merged(kind: type[B], blocks: Iterable[B | None]) -> B:
    """The blocks as one, the innermost first. A key counts as not written where it is None.
    Blocks and mappings below are merged in turn, a list is taken whole."""
    there = [block for block in blocks if block is not None]
    values: dict[str, object] = {}
    for name in kind.__struct_fields__:
        said = [value for value in (getattr(block, name) for block in there) if value is not None]
        if said:
            values[name] = _one(said)
    return kind(**values)


def _one(said: list[object]) -> object:
    first = said[0]
    if isinstance(first, Block):
        return merged(type(first), [value for value in said if isinstance(value, Block)])
    if isinstance(first, dict):
        out: dict[object, object] = {}
        for value in reversed(said):
            if isinstance(value, dict):
                out |= value
        return out
    return first


def default(said: T | None, otherwise: T) -> T:
    """What was said, if anything was."""
    return otherwise if said is None else said
