"""The retry budget: retries stay a small part of the traffic, whatever fails."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.routing.making import HOUR, START

from portico.routing.budget import RetryBudget


def usual() -> RetryBudget:
    return RetryBudget(0.2, 3.0, START)


def spend(budget: RetryBudget, now: float, wanted: int) -> int:
    """How many of so many retries are made."""
    return sum(budget.spend(now) for _ in range(wanted))


def test_a_quiet_gateway_may_retry_thirty_times_at_once() -> None:
    budget = usual()
    budget.count(START)
    assert spend(budget, START, 100) == 30
    assert budget.refused == 70
    assert spend(budget, START + 9.9, 100) == 0
    assert spend(budget, START + 10.1, 100) == 30


def test_all_fail_and_a_fifth_is_retried() -> None:
    """100 requests a second for a minute: 20 retries and 3 besides."""
    budget, made = usual(), 0
    for tick in range(6_000):
        now = START + tick / 100
        budget.count(now)
        made += budget.spend(now)
        if tick == 3_000:
            halfway = made
    per_second = (made - halfway) / 30.0
    assert 18.0 <= per_second <= 23.5


def test_an_hour_of_quiet_traffic_grants_no_thousands() -> None:
    budget = usual()
    for second in range(3600):
        budget.count(START + second)
    assert 30 <= spend(budget, START + HOUR, 10_000) <= 33


def test_a_burst_of_an_hour_ago_is_forgotten() -> None:
    budget = usual()
    for request in range(10_000):
        budget.count(START + request / 10_000)
    budget.count(START + HOUR)
    assert spend(budget, START + HOUR + 1.0, 10_000) == 30


def test_a_burst_after_an_hour_of_nothing_is_seen_at_once() -> None:
    budget = usual()
    for request in range(1_000):
        budget.count(START + HOUR + request / 500)
    assert 200 <= spend(budget, START + HOUR + 2.0, 10_000) <= 230


@pytest.mark.parametrize(
    ("share", "per_second", "made"), [(0.0, 0.0, 0), (1.0, 0.0, 50), (0.0, 1.0, 10), (0.5, 0.0, 25)]
)
def test_shares_and_rates_are_the_operators(share: float, per_second: float, made: int) -> None:
    budget = RetryBudget(share, per_second, START)
    for _ in range(50):
        budget.count(START + 0.5)
    assert spend(budget, START + 0.5, 100) == made


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.3, 1.0, 4.0, 30.0]), st.booleans())))
def test_no_ten_seconds_have_more_retries_than_their_share(steps: list[tuple[float, bool]]) -> None:
    budget, now = RetryBudget(0.2, 0.3, START), START
    begun: list[float] = []
    made: list[float] = []
    for wait, retry in steps * 3:
        now += wait
        budget.count(now)
        begun.append(now)
        if retry and budget.spend(now):
            made.append(now)
            recent = sum(at > now - 10.0 for at in begun)
            assert sum(at > now - 10.0 for at in made) <= 0.2 * recent + 3.0
