from operator import sub

import pytest
from bench.stats import Bound, Spread, paired, percentile


def test_a_miss_by_a_hair_is_a_miss_and_prints_as_one() -> None:
    bound = Bound("cpu", "x", 3.0, Spread(2.9, 3.0004, 3.2, 5))
    assert bound.verdict == "MISS"
    assert bound.shown(3.0004) == "3.01"


def test_a_value_on_the_bound_passes_and_prints_unchanged() -> None:
    bound = Bound("cpu", "x", 2.5, Spread(2.5, 2.5, 2.5, 1))
    assert bound.verdict == "pass"
    assert bound.shown(2.5) == "2.50"


def test_a_lower_bound_rounds_down() -> None:
    bound = Bound("rate", "x", 0.278, Spread(0.2, 0.27799, 0.3, 3), at_most=False, digits=3)
    assert bound.verdict == "MISS"
    assert bound.shown(0.27799) == "0.277"


def test_what_was_not_measured_does_not_pass() -> None:
    assert Bound("cpu", "x", 3.0, None).verdict == "not measured"


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.99, 10), (0.1, 1), (1.0, 10)])
def test_percentile(share: float, expected: float) -> None:
    assert percentile(range(10, 0, -1), share) == expected


def test_pairs_are_taken_within_a_round() -> None:
    assert paired([5, 9, 7], [1, 8, 4], sub) == Spread(1, 3, 4, 3)


def test_pairs_need_every_round() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired([1], [1, 2], sub)
