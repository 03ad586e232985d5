"""From a plan to the target that is asked: shares, groups, conditions, wishes, speed."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.routing.making import NOBODY, START, backend, failing, machine, succeeding, tiers

from portico.config.settings import HealthSettings
from portico.routing.attempts import Try
from portico.routing.plan import (
    NO_WISHES,
    Backend,
    Choice,
    Conditional,
    Failover,
    NoChoiceError,
    One,
    Tiers,
    Weighted,
    Wishes,
    best,
    narrowed,
)

STURDY = HealthSettings(failures=1000)


def names(plan: Tiers) -> list[list[str]]:
    return [[choice.backend.name for choice in tier] for tier in plan]


def chosen(
    backends: Sequence[Backend], wishes: Wishes, times: int = 1, now: float = START
) -> Counter[str]:
    """Who is chosen how often among equals."""
    rng, choices = Random(5), [Choice(each) for each in backends]
    return Counter(best(choices, wishes, now, rng).backend.name for _ in range(times))


# -- plans -----------------------------------------------------------------------------------------


def test_shares_come_out_as_they_were_written() -> None:
    plan = Weighted(tuple(One(backend(name)) for name in "abcd"), (70, 20, 10, 0))
    rng = Random(3)
    drawn = [names(plan.tiers(NOBODY, rng)) for _ in range(10_000)]
    first = Counter(each[0][0] for each in drawn)
    for name, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
        assert first[name] / 10_000 == pytest.approx(share, abs=0.02)
    assert "d" not in first
    assert all(sorted(tier[0] for tier in each) == ["a", "b", "c"] for each in drawn)


def test_who_is_second_is_drawn_by_shares_too() -> None:
    plan = Weighted(tuple(One(backend(name)) for name in "abc"), (98, 1, 1))
    rng = Random(4)
    second = Counter(names(plan.tiers(NOBODY, rng))[1][0] for _ in range(4_000))
    assert second["b"] / second["c"] == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("shows", [0.0, 0.5, 0.9999999999999999])
def test_every_number_that_can_be_drawn_is_somebodys(shows: float) -> None:
    plan = Weighted(tuple(One(backend(name)) for name in "abc"), (1, 0, 1))
    rng = Random()
    rng.random = lambda: shows  # type: ignore[method-assign]
    assert sorted(tier[0] for tier in names(plan.tiers(NOBODY, rng))) == ["a", "c"]


def test_groups_come_in_their_order() -> None:
    a, b, c = (One(backend(name)) for name in "abc")
    plan = Failover(((a, b), (c,)))
    assert names(plan.tiers(NOBODY, Random(0))) == [["a", "b"], ["c"]]
    assert plan.fixed == plan.tiers(NOBODY, Random(0))


def test_the_preferred_group_is_asked_while_one_of_it_is_well() -> None:
    a, b, c = (backend(name, rules=HealthSettings(failures=1)) for name in "abc")
    plan = tiers([a, b], c)
    failing(a.health, START)
    assert first_of(plan) == "b"
    failing(b.health, START)
    assert first_of(plan) == "c"
    assert first_of(plan, START + 15.0) in ("a", "b")


def first_of(plan: Tiers, now: float = START) -> str:
    loop = machine(plan, deadline=now + 60.0)
    command = loop.begin(now)
    assert isinstance(command, Try)
    loop.gone()
    return command.choice.backend.name


def test_the_first_condition_that_holds_decides() -> None:
    a, b, c = (One(backend(name)) for name in "abc")
    plan = Conditional(
        ((lambda facts: facts.stream, a), (lambda facts: facts.body_bytes > 1000, b), (None, c))
    )
    for facts, name in (
        (structs.replace(NOBODY, stream=True, body_bytes=5000), "a"),
        (structs.replace(NOBODY, body_bytes=5000), "b"),
        (NOBODY, "c"),
    ):
        assert names(plan.tiers(facts, Random(0))) == [[name]]
    with pytest.raises(NoChoiceError):
        Conditional(((lambda facts: facts.stream, a),)).tiers(NOBODY, Random(0))


def test_plans_in_plans() -> None:
    """What a member has for second comes behind its group, and before the next group."""
    a, b, c, d = (One(backend(name)) for name in "abcd")
    inner = Failover(((a,), (b,)))
    plan = Failover(((inner, c), (d,)))
    assert names(plan.tiers(NOBODY, Random(0))) == [["a", "c"], ["b"], ["d"]]
    shares = Weighted((inner, Conditional(((None, d),))), (1, 0))
    assert names(shares.tiers(NOBODY, Random(0))) == [["a"], ["b"]]
    assert Failover(((shares,),)).fixed is None


# -- wishes ----------------------------------------------------------------------------------------

A, B, C, D = (backend(name, provider=name.upper()) for name in "abcd")


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (NO_WISHES, [["a", "b"], ["c"], ["d"]]),
        (Wishes(only=("c", "b")), [["b"], ["c"]]),
        (Wishes(ignore=("a", "c")), [["b"], ["d"]]),
        (Wishes(only=("a",), ignore=("a",)), []),
        (Wishes(only=("nobody",)), []),
        (Wishes(order=("d", "b")), [["d"], ["b"], ["a"], ["c"]]),
        (Wishes(order=("d", "d", "nobody")), [["d"], ["a", "b"], ["c"]]),
        (Wishes(order=("c", "a"), only=("a", "c")), [["c"], ["a"]]),
    ],
)
def test_providers_are_kept_left_out_and_put_first(
    wishes: Wishes, expected: list[list[str]]
) -> None:
    assert names(narrowed(tiers([A, B], C, D), wishes)) == expected


def test_an_order_of_providers_keeps_that_of_the_plan_within_each() -> None:
    large, small = backend("large", provider="one"), backend("small", provider="one")
    other = backend("other", provider="two")
    plan = narrowed(tiers(large, other, small), Wishes(order=("one",)))
    assert names(plan) == [["large"], ["small"], ["other"]]


def test_the_cheapest_by_the_name_that_it_is_asked_for() -> None:
    prices = {"large": 9.0, "small": 1.0}
    shared = backend("all", price=lambda model: prices.get(model, 5.0))
    choices = [Choice(shared, "large"), Choice(shared, "small"), Choice(shared)]
    for asked, expected in (("tiny", "small"), ("small", "small")):
        found = best(choices, Wishes(sort="cost", asked=asked), START, Random(0))
        assert found.asked in (expected, "" if asked == "small" else expected)
    assert best(choices[::2], Wishes(sort="cost", asked="small"), START, Random(0)).asked == ""


def test_of_equally_cheap_ones_all_are_used() -> None:
    dear, one, two = backend("dear", price=2.0), backend("one"), backend("two")
    found = chosen([dear, one, two], Wishes(sort="cost"), 200)
    assert found.keys() == {"one", "two"}
    assert min(found.values()) > 60


def test_those_without_a_price_are_used_where_nobody_has_one() -> None:
    far = float("inf")
    found = chosen([backend("a", price=far), backend("b", price=far)], Wishes(sort="cost"), 200)
    assert found.keys() == {"a", "b"}


@pytest.mark.parametrize("sort", ["ttft", "throughput"])
def test_the_fastest_and_before_it_the_unknown(sort: str) -> None:
    slow, fast, new = (backend(name, rules=STURDY) for name in ("slow", "fast", "new"))
    for each, seconds, speed in ((slow, 2.0, 20.0), (fast, 0.2, 90.0)):
        succeeding(each.health, START, seconds=seconds)
        each.health.measure(speed)
    wishes = Wishes(sort=sort)  # type: ignore[arg-type]
    assert chosen([slow, fast], wishes, 20) == {"fast": 20}
    assert chosen([slow, fast, new], wishes, 20) == {"new": 20}
    failing(new.health, START)
    assert chosen([slow, fast, new], wishes, 20) == {"fast": 20}, "it is known to fail"
    assert chosen([slow, fast, new], wishes, 20, START + 60.0) == {"new": 20}


def test_whole_answers_do_not_make_a_target_slow_to_begin() -> None:
    """It was asked for long answers in one piece; its streams begin sooner than the other's."""
    one, other = backend("one", rules=STURDY), backend("other", rules=STURDY)
    for each, seconds in ((one, 0.2), (other, 0.5)):
        each.health.take(START)
        each.health.succeed(START, seconds, START, stream=True)
    succeeding(one.health, START, 20, seconds=30.0)
    assert chosen([one, other], Wishes(sort="ttft"), 20) == {"one": 20}


def test_one_that_tells_no_usage_is_not_new_for_ever() -> None:
    mute, told = backend("mute"), backend("told")
    for each in (mute, told):
        succeeding(each.health, START, seconds=0.5)
    told.health.measure(50.0)
    assert chosen([mute, told], Wishes(sort="throughput"), 20) == {"told": 20}


# -- one place for one key -------------------------------------------------------------------------


def placed(backends: Sequence[Backend], keys: int) -> dict[str, str]:
    rng, choices = Random(1), [Choice(each) for each in backends]
    return {
        f"session-{key}": best(choices, Wishes(key=f"session-{key}"), START, rng).backend.name
        for key in range(keys)
    }


def test_the_same_key_goes_to_the_same_place_whatever_the_load() -> None:
    backends = [backend(name) for name in "abc"]
    before = placed(backends, 100)
    for _ in range(50):
        backends[0].health.take(START)
    assert placed(list(reversed(backends)), 100) == before


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_keys_are_spread_evenly(count: int) -> None:
    found = Counter(placed([backend(f"target-{n}") for n in range(count)], 3_000).values())
    for name in found:
        assert found[name] == pytest.approx(3_000 / count, rel=0.15)
    assert len(found) == count


def test_a_target_that_goes_moves_its_own_keys_only() -> None:
    backends = [backend(f"target-{n}") for n in range(5)]
    before, after = placed(backends, 1_000), placed(backends[1:], 1_000)
    moved = {key for key in before if before[key] != after[key]}
    assert moved == {key for key in before if before[key] == "target-0"}
    assert len({after[key] for key in moved}) == 4, "and spreads them over the others"


def test_a_key_of_any_size_and_letters_is_one() -> None:
    backends = [backend("a"), backend("b")]
    for key in ("x" * 10_000_000, "\ud800", "\0", "ключ"):
        assert len(chosen(backends, Wishes(key=key), 3)) == 1


# -- power of two choices --------------------------------------------------------------------------


def test_the_faster_and_healthier_of_two_is_preferred() -> None:
    fast, slow, ill = (backend(name, rules=STURDY) for name in ("fast", "slow", "ill"))
    for each, seconds in ((fast, 0.2), (slow, 0.6), (ill, 0.2)):
        succeeding(each.health, START, seconds=seconds)
    failing(ill.health, START, 3)
    assert chosen([fast, slow], NO_WISHES, 50) == {"fast": 50}
    assert chosen([ill, fast], NO_WISHES, 50) == {"fast": 50}
    found = chosen([fast, slow, ill], NO_WISHES, 3_000)
    assert found["fast"] / 3_000 == pytest.approx(2 / 3, abs=0.03)


def test_the_better_one_is_not_run_over() -> None:
    fast, slow = backend("fast"), backend("slow")
    succeeding(fast.health, START, seconds=0.2)
    succeeding(slow.health, START, seconds=0.4)
    load: Counter[str] = Counter()
    rng = Random(2)
    for _ in range(90):
        found = best([Choice(fast), Choice(slow)], NO_WISHES, START, rng).backend
        found.health.take(START)
        load[found.name] += 1
    assert load["fast"] / load["slow"] == pytest.approx(2.0, abs=0.3)


def test_equals_share_evenly() -> None:
    found = chosen([backend(name) for name in "abcd"], NO_WISHES, 4_000)
    for name in "abcd":
        assert found[name] == pytest.approx(1_000, rel=0.15)


def test_a_new_one_that_never_answers_is_not_given_everything() -> None:
    """Nothing is known of it because it hangs."""
    good, hangs = backend("good"), backend("hangs")
    succeeding(good.health, START, seconds=0.3)
    rng, taken = Random(2), Counter[str]()
    for request in range(200):
        now = START + request / 10
        found = best([Choice(good), Choice(hangs)], NO_WISHES, now, rng).backend
        taken[found.name] += 1
        found.health.take(now)
        if found is good:
            good.health.succeed(now + 0.05, 0.3, now)
    assert taken["hangs"] <= 10


def test_one_that_only_refuses_is_asked_now_and_then() -> None:
    """Too seldom for its breaker to open, yet not every time."""
    good, dead = backend("good"), backend("dead")
    succeeding(good.health, START, seconds=0.3)
    rng, taken = Random(2), Counter[str]()
    for request in range(200):
        now = START + request * 3.0
        found = best([Choice(good), Choice(dead)], NO_WISHES, now, rng).backend
        taken[found.name] += 1
        if found is good:
            succeeding(good.health, now, seconds=0.3)
        else:
            failing(dead.health, now)
    assert 2 <= taken["dead"] <= 50


def test_somebody_finds_out_as_soon_as_the_pause_is_over() -> None:
    good, down = backend("good"), backend("down")
    succeeding(good.health, START, seconds=0.01)
    failing(down.health, START, 5)
    assert chosen([good, down], NO_WISHES, 5, START + 15.0) == {"down": 5}
    down.health.take(START + 15.0)
    loop = machine(tiers([good, down]))
    command = loop.begin(START + 15.1)
    assert isinstance(command, Try)
    assert command.choice.backend is good


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(), st.sampled_from([None, "cost", "ttft", "throughput"]))
def test_somebody_is_always_chosen(count: int, seed: int, sort: str | None) -> None:
    choices = [Choice(backend(str(n))) for n in range(count)]
    for wishes in (Wishes(sort=sort), Wishes(sort=sort, key=str(seed))):  # type: ignore[arg-type]
        assert best(choices, wishes, START, Random(seed)) in choices
