"""Two targets on a bad day, in a model of the world: no sockets, no real time."""

import heapq
from collections.abc import Callable
from random import Random

import pytest
from tests.unit.routing.making import START, backend, machine, tiers

from portico.config.settings import RetrySettings
from portico.routing.attempts import GiveUp, Try, Wait
from portico.routing.budget import RetryBudget
from portico.routing.failures import Failure
from portico.routing.plan import Backend

Works = Callable[[Backend, float, Random], bool]


class Day:
    """Requests that come one after the other, or many at once, and what becomes of them."""

    def __init__(
        self,
        works: Works,
        seed: int,
        seconds: float = 0.3,
        idle: float = 0.0,
        fails_after: float = 0.02,
    ) -> None:
        self.now = START + idle
        self.backends = [backend("good"), backend("bad")]
        self.tries: list[tuple[float, str]] = []
        self.requests = self.answered = self.most = 0
        self._works = works
        self._seconds = seconds
        self._fails_after = fails_after
        self._rng = Random(seed)
        self._budget = RetryBudget(0.2, 3.0, START)

    def run(self, count: int, every: float) -> None:
        """So many requests, one begun `every` so many seconds."""
        events: list[tuple[float, int, Callable[[float], None]]] = []
        number = 0

        def at(when: float, what: Callable[[float], None]) -> None:
            nonlocal number
            number += 1
            heapq.heappush(events, (when, number, what))

        def request(now: float) -> None:
            loop = machine(
                tiers(self.backends), RetrySettings(), budget=self._budget, deadline=now + 60.0,
                rng=self._rng,
            )  # fmt: skip
            self.requests += 1

            def carry_out(command: Try | Wait | GiveUp, now: float) -> None:
                if isinstance(command, Wait):
                    at(now + command.seconds, lambda now: carry_out(loop.resumed(now), now))
                elif isinstance(command, Try):
                    target = command.choice.backend
                    self.tries.append((now, target.name))
                    loop.connected()
                    good = self._works(target, now, self._rng)
                    spent = self._seconds if good else self._fails_after
                    at(now + spent, lambda now: end(good, now))

            def end(good: bool, now: float) -> None:
                self.most = max(self.most, loop.count)
                if good:
                    loop.finished(now, self._seconds)
                    self.answered += 1
                else:
                    carry_out(loop.failed(now, Failure("status", 503)), now)

            carry_out(loop.begin(now), now)

        for place in range(count):
            at(self.now + place * every, request)
        while events:
            self.now, _, what = heapq.heappop(events)
            what(self.now)
        assert [each.health.in_flight for each in self.backends] == [0, 0]


def half_bad(target: Backend, now: float, rng: Random) -> bool:
    return target.name == "good" or rng.random() < 0.5


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("every", "idle"), [(0.5, 0.0), (0.05, 0.0), (0.002, 0.0), (0.01, 3600.0)])
def test_half_of_the_calls_of_one_of_two_fail_and_nobody_notices(
    every: float, idle: float, seed: int
) -> None:
    day = Day(half_bad, seed, idle=idle)
    day.run(300, every)
    assert day.answered >= 0.995 * 300
    assert len(day.tries) / 300 <= 1.6


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("every", [0.05, 0.005])
def test_once_the_breaker_knows_hardly_anything_is_asked_twice(every: float, seed: int) -> None:
    day = Day(half_bad, seed)
    while not day.backends[1].health.opened:
        day.run(20, every)
    begun, tried = day.requests, len(day.tries)
    day.run(300, every)
    assert (len(day.tries) - tried) / (day.requests - begun) <= 1.25


@pytest.mark.parametrize("seed", range(4))
def test_one_that_is_dead_costs_no_more_than_a_few_tries(seed: int) -> None:
    day = Day(lambda target, now, rng: target.name == "good", seed)
    day.run(300, 0.05)
    assert day.answered == 300
    assert len(day.tries) <= 310


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("every", [0.5, 0.02])
def test_one_that_is_healed_is_back_in_use_within_sixteen_seconds(every: float, seed: int) -> None:
    """It is dead for twenty seconds, then well: it is found out, and has its part of the work."""
    healed = START + 20.0
    day = Day(lambda target, now, rng: target.name == "good" or now >= healed, seed)
    if every > 0.1:  # too few requests to open the breaker by themselves
        for _ in range(5):
            day.backends[1].health.note_failure(START + 19.9, "check_failed")
    day.run(int(60 / every), every)
    after = [at - healed for at, name in day.tries if name == "bad" and at >= healed]
    assert after[0] <= 15.0 + 1.0
    back = [at for at in after if 16.0 <= at <= 40.0]
    asked = sum(16.0 <= at - healed <= 40.0 for at, _ in day.tries)
    assert len(back) / asked >= 0.25
    assert day.answered == day.requests


@pytest.mark.parametrize("seed", range(4))
def test_with_both_down_retries_stay_within_their_budget(seed: int) -> None:
    """Each of the two is asked once by a request, and what is asked again is paid for."""
    day = Day(lambda target, now, rng: rng.random() < 0.05, seed)
    day.run(3_000, 0.01)
    assert len(day.tries) <= 2 * day.requests + 0.2 * 3_000 + 3.0 * 30.0 + 30.0
    assert day.most <= 1 + RetrySettings().attempts
    assert len(day.tries) <= 0.5 * day.requests, "for the breakers know by then"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("seconds", [0.1, 20.0])
def test_all_that_wait_at_one_that_dies_are_answered_by_the_other(
    seed: int, seconds: float
) -> None:
    """Long after they began, in a quiet hour, and all at once."""
    day = Day(lambda target, now, rng: target.name == "good", seed, fails_after=seconds)
    day.run(200, 0.0001)
    assert day.answered == 200
    assert day.most == 2
    assert 50 <= len(day.tries) - 200 <= 150, "that were at the one"


def test_a_list_of_models_that_are_not_there_uses_up_nobodys_budget() -> None:
    budget = RetryBudget(0.2, 3.0, START)
    for number in range(100):
        models = tuple(tiers(backend(f"no-{each}")) for each in range(16))
        loop = machine(tiers(backend("a")), RetrySettings(), budget=budget, models=models)
        command = loop.begin(START + number / 100)
        while isinstance(command, Try):
            command = loop.failed(START + number / 100, Failure("missing", 404))
        assert loop.count == 17
    assert all(budget.spend(START + 1.0) for _ in range(30))
    assert budget.refused == 0
