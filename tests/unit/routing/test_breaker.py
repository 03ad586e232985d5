"""The breaker of a target: what opens it, what closes it, and what it forgets."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.routing.making import START, backend, failing, machine, succeeding, tiers

from portico.config.settings import HealthSettings
from portico.routing.failures import Failure
from portico.routing.health import Board, Health
from portico.routing.plan import Backend

RULES = HealthSettings()


def opened(now: float = START, rules: HealthSettings = RULES) -> Health:
    health = Health(rules)
    failing(health, now, rules.failures)
    assert health.state(now) == "open"
    return health


def test_five_failures_in_ten_seconds_open_it_for_fifteen() -> None:
    health = Health(RULES)
    for second in range(4):
        failing(health, START + 2 * second)
    assert health.state(START + 8.0) == "closed"
    failing(health, START + 8.0)
    assert health.opened == 1
    for later, state, available in (
        (0.0, "open", False), (14.99, "open", False), (15.0, "half_open", True),
    ):  # fmt: skip
        assert (health.state(START + 8.0 + later), health.available(START + 8.0 + later)) == (
            state, available,
        )  # fmt: skip
    assert health.opens_in(START + 8.0) == 15.0
    assert health.opens_in(START + 30.0) == 0.0
    assert health.last_error == "http_500"


def test_failures_that_left_the_window_do_not_count() -> None:
    health = Health(RULES)
    for second in range(0, 60, 3):
        failing(health, START + second)
        assert health.state(START + second) == "closed"
    assert health.recent(START + 60.0) == (3, 3)
    assert health.recent(START + 80.0) == (0, 0)


def test_a_few_failures_among_many_calls_do_not_open_it() -> None:
    health = Health(RULES)
    succeeding(health, START, 995)
    failing(health, START, 5)
    assert health.state(START) == "closed"
    failing(health, START, 400)
    assert health.state(START) == "open"


def test_a_quarter_of_the_calls_is_enough() -> None:
    health = Health(RULES)
    succeeding(health, START, 15)
    failing(health, START, 4)
    assert health.state(START) == "closed"
    failing(health, START)
    assert health.state(START) == "open"


def test_exactly_one_request_finds_out() -> None:
    health = opened()
    later = START + 15.0
    health.take(later)
    assert not health.available(later)
    assert not health.available(later + 14.9)
    assert health.state(later) == "half_open"


def test_a_probe_that_takes_as_long_as_a_rest_does_not_keep_the_others_waiting() -> None:
    health = opened()
    health.take(START + 15.0)
    assert health.available(START + 30.0)
    health.take(START + 30.0)
    assert not health.available(START + 30.0)
    health.drop(START + 15.0)
    assert not health.available(START + 30.0), "it is not the one any more"
    health.succeed(START + 31.0, 0.5, START + 30.0)
    assert health.state(START + 31.0) == "closed"


def test_a_probe_that_succeeds_closes_it_and_what_was_is_forgotten() -> None:
    health = opened()
    health.take(START + 15.0)
    health.succeed(START + 15.5, 0.5, START + 15.0)
    assert health.state(START + 15.5) == "closed"
    assert health.available(START + 15.5)
    assert health.recent(START + 15.5) == (0, 0)
    assert health.well == 1.0
    failing(health, START + 16.0, 4)
    assert health.state(START + 16.0) == "closed"


def test_a_probe_that_fails_opens_it_again() -> None:
    health = opened()
    health.take(START + 15.0)
    health.fail(START + 17.0, "upstream_timeout", START + 15.0)
    assert not health.available(START + 31.9)
    assert health.available(START + 32.0)
    assert health.opened == 2


def test_a_probe_that_was_dropped_makes_room_for_the_next() -> None:
    health = opened()
    health.take(START + 15.0)
    health.drop(START + 15.0)
    assert health.available(START + 15.0)
    assert health.in_flight == 0


def test_only_the_probe_itself_makes_room() -> None:
    """A request of before that ends meanwhile is none of its business."""
    health = Health(RULES)
    for _ in range(3):
        health.take(START - 1.0)
    failing(health, START, 5)
    health.take(START + 15.0)
    health.drop(START - 1.0)
    assert not health.available(START + 16.0)
    health.fail(START + 16.0, "http_500", START - 1.0)
    assert not health.available(START + 16.0)
    health.succeed(START + 16.0, 0.1, START - 1.0)
    assert not health.available(START + 16.0)
    health.succeed(START + 17.0, 0.1, START + 15.0)
    assert health.state(START + 17.0) == "closed"


def test_an_answer_to_a_request_of_before_does_not_close_it() -> None:
    """Under load there are always some; they would close it as soon as it opened."""
    health = Health(RULES)
    health.take(START - 5.0)
    failing(health, START, 5)
    health.succeed(START + 0.1, 0.1, START - 5.0)
    assert health.state(START + 0.1) == "open"
    assert health.successes == 1


def test_failures_of_before_do_not_open_it_once_it_is_closed_again() -> None:
    health = Health(RULES)
    for _ in range(20):
        health.take(START - 1.0)
    failing(health, START, 5)
    succeeding(health, START + 15.0)
    for _ in range(20):
        health.fail(START + 16.0, "upstream_timeout", START - 1.0)
    assert health.state(START + 16.0) == "closed"
    assert health.failures == 25


def test_a_check_from_outside_may_close_it_and_may_open_it() -> None:
    health = opened()
    health.note_success(START + 1.0)
    assert health.state(START + 1.0) == "closed"
    for second in range(5):
        health.note_failure(START + 2.0 + second, "check_failed")
    assert health.state(START + 6.0) == "open"
    health.note_failure(START + 21.0, "check_failed")
    assert health.opens_in(START + 21.0) == 15.0


def test_a_check_does_not_decide_while_a_request_finds_out() -> None:
    health = opened()
    health.take(START + 15.0)
    health.note_failure(START + 16.0, "check_failed")
    assert health.state(START + 16.0) == "half_open"
    health.succeed(START + 17.0, 0.1, START + 15.0)
    assert health.state(START + 17.0) == "closed"


def test_failures_in_a_row_open_it_whenever_they_were() -> None:
    health = Health(HealthSettings(consecutive=3, failures=1000))
    failing(health, START, 2)
    succeeding(health, START)
    for minute in range(3):
        assert health.state(START + 60.0 * minute) == "closed"
        failing(health, START + 60.0 * minute)
    assert health.state(START + 120.0) == "open"


def test_ends_that_are_told_late_do_not_wipe_the_window() -> None:
    """A slow client delays the end of its request, not the time of the answer's last byte."""
    health = Health(RULES)
    for place in range(4):
        failing(health, START + 5.0 + 0.1 * place)
        health.take(START)
        health.succeed(START + place, 0.1, START)
    failing(health, START + 5.5)
    assert health.state(START + 5.5) == "open"


@pytest.mark.parametrize(
    "failure",
    [Failure("limited", 429), Failure("limited", 429, 3.0), Failure("context", 400),
     Failure("missing", 404), Failure("status", 403), Failure("status", 408),
     Failure("final", 400), Failure("final", 502), Failure("stale"), Failure("full"),
     Failure("late"), Failure("unfit"), Failure("auth", 401)],
    ids=lambda failure: f"{failure.kind}-{failure.status}",
)  # fmt: skip
def test_what_is_not_the_targets_fault_never_opens_it(failure: Failure) -> None:
    target = backend("a")
    for call in range(50):
        ask_once(target, failure, START + call / 100)
    assert target.health.state(START + 1.0) == "closed"
    assert (target.health.failures, target.health.successes) == (0, 0)


@pytest.mark.parametrize(
    "failure",
    [Failure("status", 500), Failure("status", 529), Failure("connect"), Failure("timeout"),
     Failure("truncated"), Failure("protocol")],
    ids=lambda failure: f"{failure.kind}-{failure.status}",
)  # fmt: skip
def test_what_is_its_fault_does(failure: Failure) -> None:
    target = backend("a")
    for call in range(5):
        ask_once(target, failure, START + call / 100)
    assert target.health.state(START + 1.0) == "open"


def ask_once(target: Backend, failure: Failure, now: float) -> None:
    loop = machine(tiers(target), deadline=now + 9.0)
    loop.begin(now)
    loop.connected()
    loop.failed(now + 0.001, failure)
    loop.gone()


@pytest.mark.parametrize(
    "failure",
    [Failure("limited", 429), Failure("status", 400), Failure("status", 413),
     Failure("context", 400), Failure("missing", 404)],
    ids=lambda failure: f"{failure.kind}-{failure.status}",
)  # fmt: skip
def test_a_refusal_does_not_close_it_and_lets_the_next_find_out(failure: Failure) -> None:
    """That it can refuse does not say that it can answer."""
    target = backend("a")
    failing(target.health, START, 5)
    ask_once(target, failure, START + 15.0)
    assert target.health.state(START + 16.0) == "half_open"
    assert target.health.available(START + 16.0)


def test_bad_requests_do_not_hide_that_nothing_else_is_answered() -> None:
    target = backend("a")
    for call in range(5):
        for bad in range(4):
            ask_once(target, Failure("status", 400), START + call + bad / 10)
        ask_once(target, Failure("status", 500), START + call + 0.5)
    assert target.health.state(START + 5.0) == "open"


# -- reloads ---------------------------------------------------------------------------------------


def test_a_reload_keeps_what_is_known() -> None:
    board = Board()
    health, cooldown = board.health("a", RULES), board.cooldown("a-1")
    board.health("gone", RULES)
    failing(health, START, 5)
    cooldown.limited(START, 30.0, RULES)
    stricter = HealthSettings(failures=1)
    board.keep({"a": stricter}, {"a-1"})
    assert board.health("a", stricter) is health
    assert board.cooldown("a-1") is cooldown
    assert health.state(START + 1.0) == "open"
    assert health.rules is stricter
    assert board.health("gone", RULES).failures == 0


@pytest.mark.parametrize("window", [1.0, 60.0])
def test_another_window_starts_afresh_and_works(window: float) -> None:
    health = Health(RULES)
    failing(health, START, 4)
    health.follow(HealthSettings(window=window))
    assert health.recent(START) == (0, 0)
    failing(health, START, 4)
    assert health.recent(START + window * 1.2) == (0, 0)
    failing(health, START + window * 2, 5)
    assert health.state(START + window * 2) == "open"


# -- speed -----------------------------------------------------------------------------------------


def test_the_average_follows_what_is_measured() -> None:
    health = Health(RULES)
    succeeding(health, START, seconds=1.0)
    assert health.latency == 1.0
    succeeding(health, START, seconds=0.0)
    assert health.latency == 1.0
    for call in range(20):
        succeeding(health, START + call / 100, seconds=0.2)
    assert health.latency == pytest.approx(0.2, abs=0.01)


def test_streams_have_an_average_of_their_own() -> None:
    """Whole answers take as long as they are; what compares targets by it looks at streams."""
    health = Health(RULES)
    succeeding(health, START, seconds=8.0)
    assert (health.latency, health.ttft) == (8.0, 0.0)
    health.take(START)
    health.succeed(START, 0.4, START, stream=True)
    assert health.ttft == 0.4
    assert 0.4 < health.latency < 8.0
    succeeding(health, START, 9, seconds=8.0)
    assert health.ttft == 0.4


def test_an_old_average_counts_for_less_and_less() -> None:
    health = Health(RULES)
    succeeding(health, START, seconds=2.0)
    scores = [health.score(START + age) for age in (0.0, 30.0, 60.0, 300.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] == pytest.approx(scores[0] / math.e, rel=0.01)
    succeeding(health, START + 300.0, seconds=0.1)
    assert health.latency == pytest.approx(0.1, abs=0.01)


def test_slow_busy_and_failing_targets_cost_more() -> None:
    base, slow, busy, ill = (Health(HealthSettings(failures=99)) for _ in range(4))
    for health in (base, busy, ill):
        succeeding(health, START, seconds=0.2)
    succeeding(slow, START, seconds=0.4)
    busy.take(START)
    failing(ill, START)
    score = base.score(START)
    assert min(each.score(START) for each in (slow, busy, ill)) > score


def test_one_that_only_fails_does_not_look_fast() -> None:
    good, bad = Health(RULES), Health(HealthSettings(failures=99))
    succeeding(good, START, seconds=0.5)
    failing(bad, START)
    assert bad.score(START, good.latency) > good.score(START, bad.latency)
    assert not bad.unknown(START + 1.0)
    assert bad.unknown(START + 31.0)


def test_one_that_was_ill_is_well_again_in_time() -> None:
    health = Health(HealthSettings(failures=99))
    failing(health, START, 4)
    succeeding(health, START + 120.0, seconds=0.1)
    assert health.well > 0.95


def test_throughput_is_an_average_too() -> None:
    health = Health(RULES)
    for speed in (100.0, 50.0):
        health.measure(speed)
    assert health.throughput == pytest.approx(85.0)


# -- against a slow model of it --------------------------------------------------------------------


class Slow:
    """The same, by lists and definitions."""

    def __init__(self, rules: HealthSettings) -> None:
        self.rules = rules
        self.calls: list[tuple[int, bool]] = []
        self.row = 0
        self.until: float | None = None
        self.opened_at = -1.0
        self.probe: float | None = None

    def available(self, now: float) -> bool:
        if self.until is None:
            return True
        free = self.probe is None or now - self.probe >= self.rules.open_for
        return now >= self.until and free

    def take(self, now: float) -> None:
        if self.until is not None and self.available(now):
            self.probe = now

    def end(self, now: float, began: float, good: bool | None) -> None:
        if good is None or began <= self.opened_at:
            self.probe = None if began == self.probe else self.probe
            return
        probe = began == self.probe
        self.probe = None if probe else self.probe
        self.seen(now, good)

    def seen(self, now: float, good: bool) -> None:
        self.calls.append((int(now / (self.rules.window / 10)), good))
        self.row = 0 if good else self.row + 1
        if good and self.until is not None:
            self.until = self.probe = None
            self.calls = []
        elif not good and self.until is not None:
            if now >= self.until and self.probe is None:
                self._open(now)
        elif not good and self._enough(now):
            self._open(now)

    def _open(self, now: float) -> None:
        self.until, self.opened_at = now + self.rules.open_for, now

    def recent(self, now: float) -> tuple[int, int]:
        last = int(now / (self.rules.window / 10))
        mine = [good for at, good in self.calls if at > last - 10]
        return len(mine), mine.count(False)

    def _enough(self, now: float) -> bool:
        calls, failures = self.recent(now)
        if self.rules.consecutive is not None and self.row >= self.rules.consecutive:
            return True
        return failures >= self.rules.failures and failures >= self.rules.share * calls


class BreakerWalk(RuleBasedStateMachine):
    """Any order of requests, their ends, checks and time: the breaker does as the slow one."""

    def __init__(self) -> None:
        super().__init__()
        rules = HealthSettings(failures=3, open_for=5.0, consecutive=4)
        self.now = START
        self.health, self.slow = Health(rules), Slow(rules)
        self.running: list[float] = []

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 2.5, 5.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(anyway=st.booleans())
    def begin(self, anyway: bool) -> None:
        self.now += 0.01
        if anyway or self.health.available(self.now):
            self.health.take(self.now)
            self.slow.take(self.now)
            self.running.append(self.now)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), end=st.sampled_from([True, False, False, False, None]))
    def end(self, which: int, end: bool | None) -> None:
        began = self.running.pop(which % len(self.running))
        self.now += 0.01
        if end is None:
            self.health.drop(began)
        elif end:
            self.health.succeed(self.now, 0.1, began)
        else:
            self.health.fail(self.now, "http_500", began)
        self.slow.end(self.now, began, end)

    @rule(good=st.booleans())
    def check_from_outside(self, good: bool) -> None:
        self.now += 0.01
        if good:
            self.health.note_success(self.now)
        else:
            self.health.note_failure(self.now, "check_failed")
        self.slow.seen(self.now, good)

    @invariant()
    def the_same(self) -> None:
        assert self.health.available(self.now) == self.slow.available(self.now)
        assert self.health.in_flight == len(self.running)
        assert self.health.recent(self.now) == self.slow.recent(self.now)
        assert 0.0 <= self.health.well <= 1.0
        assert self.health.score(self.now) >= 0.0


BreakerWalk.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerWalk = BreakerWalk.TestCase
