"""Numbers: spreads over rounds, percentiles, and verdicts that rounding cannot change. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Verdict = Literal["pass", "MISS", "not measured"]


@dataclass(frozen=True)
class Spread:
    """What one number was over the rounds."""

    low: float
    middle: float
    high: float
    rounds: int

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return Spread(min(values), median(values), max(values), len(values))


@dataclass(frozen=True)
class Bound:
    """A number of the issue, and what was measured for it.

    `at_most` says which side is good. `measured` is None when nothing could be measured.
    """

    name: str
    unit: str
    limit: float
    measured: Spread | None
    at_most: bool = True
    digits: int = 2

    @property
    def verdict(self) -> Verdict:
        """Decided by the median as it was measured, before any rounding."""
        if self.measured is None:
            return "not measured"
        middle = self.measured.middle
        good = middle <= self.limit if self.at_most else middle >= self.limit
        return "pass" if good else "MISS"

    def shown(self, value: float) -> str:
        """`value` rounded away from the good side, so that a miss never prints as a pass."""
        scale = 10.0**self.digits
        away: Callable[[float], int] = math.ceil if self.at_most else math.floor
        exact = round(value * scale, 6)  # 2.5 * 100 must not become 250.00000000000003
        return f"{away(exact) / scale:,.{self.digits}f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def paired(
    above: Sequence[float], below: Sequence[float], combine: Callable[[float, float], float]
) -> Spread:
    """`combine` round by round: both values saw the same noise."""
    return Spread.of([combine(a, b) for a, b in zip(above, below, strict=True)])
