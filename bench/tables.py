"""Markdown tables of spreads over rounds, and what is compared round by round. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.stats import Spread, paired

Rounds = Mapping[str, Sequence[Any]]
"""Per target, rounds in the order they were run: `splice.Round` or `stream.Round`."""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal too."""
    widths = [max(len(cells[i]) for cells in [heads, *rows]) for i in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def triple(values: Spread | None, digits: int) -> str:
    """`min / median / max`."""
    if values is None:
        return ""
    return " / ".join(f"{v:,.{digits}f}" for v in (values.low, values.middle, values.high))


def targets(rounds: Rounds, columns: Sequence[tuple[str, str, int]]) -> str:
    """Figures of each target: heads, attributes and digits of the columns."""
    rows = []
    for target, values in rounds.items():
        cells = [triple(spread([getattr(one, key) for one in values]), digits)
                 for _, key, digits in columns]  # fmt: skip
        if target == "direct":
            skipped = ("cpu_us", "busy")
            cells = ["" if column[1] in skipped else cell
                     for cell, column in zip(cells, columns, strict=True)]  # fmt: skip
        rows.append([target, *cells])
    return table(["min / median / max", *(head for head, _, _ in columns)], rows)


def spread(values: Sequence[float] | None) -> Spread | None:
    """The spread of what was measured, if anything was."""
    return Spread.of(values) if values else None


def pair(
    rounds: Rounds | None,
    key: str,
    other: str,
    combine: Callable[[float, float], float],
    target: str = "gateway",
) -> Spread | None:
    """`target` against `other`, round by round; None unless every round has both."""
    if rounds is None:
        return None
    above = [getattr(one, key) for one in rounds.get(target, ())]
    below = [getattr(one, key) for one in rounds.get(other, ())]
    if not above or len(above) != len(below):
        return None
    return paired(above, below, combine)
