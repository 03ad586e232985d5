"""The attempt loop as a machine: everything that can happen, in every order.

First plays that can be read: what happens, and what the machine says to it. Then a walk over all
orders of all events for several plans; what has to hold at every step stands in `walking.Walk`.
"""

from collections.abc import Callable

import pytest
from tests.unit.routing.making import START, Loaded, backend, failing, machine, tiers
from tests.unit.routing.walking import (
    CORE,
    DEADLINE,
    EVERYTHING,
    FAILURES,
    SOME,
    Plan,
    Walk,
    explore,
    walked,
)

from portico.config.settings import RETRIED, HealthSettings, RetrySettings
from portico.routing.attempts import Attempts, GiveUp, Try, Wait
from portico.routing.budget import RetryBudget
from portico.routing.failures import Failure
from portico.routing.plan import Backend, Choice, Tiers, Wishes

NO_RETRIES = RetrySettings(attempts=0)
ONE_RETRY = RetrySettings(attempts=1)
LEFT_AT_ONCE = HealthSettings(failures=1)
TRIED_ANYWAY = HealthSettings(failures=1, when_all="try")


def named(name: str, keys: int = 1, rules: HealthSettings | None = None) -> list[Backend]:
    return [backend(name, keys, rules)]


def pair(rules: HealthSettings | None = None) -> list[Backend]:
    return [backend("a", rules=rules), backend("b", rules=rules)]


def recovering() -> Plan:
    """A pause has passed for one of two: the next request finds out."""
    plan = Plan(pair(LEFT_AT_ONCE))
    failing(plan.backends[0].health, START - 15.0)
    return plan


def down(rules: HealthSettings) -> Plan:
    """Everybody is left alone."""
    plan = Plan(pair(rules), rules=ONE_RETRY)
    for each in plan.backends:
        failing(each.health, START - 1.0)
    return plan


PLANS: dict[str, Callable[[], Plan]] = {
    "one target": lambda: Plan(named("a")),
    "no retries": lambda: Plan(pair(), rules=NO_RETRIES),
    "two credentials": lambda: Plan(named("a", 2)),
    "a group of two": lambda: Plan(pair()),
    "groups": lambda: Plan(named("a"), named("b"), rules=ONE_RETRY),
    "a budget of one": lambda: Plan(pair(), tokens=1),
    "no budget": lambda: Plan(pair(), tokens=0),
    "a list of models": lambda: Plan(named("a"), models=(named("b"), named("c")), rules=NO_RETRIES),
    "models and retries": lambda: Plan(named("a"), models=(named("b", 2),), rules=ONE_RETRY),
    "a larger model": lambda: Plan(named("a"), on_context=named("l"), rules=ONE_RETRY),
    "a larger one and models": lambda: Plan(
        named("a"), on_context=named("l"), models=(named("b"),), rules=NO_RETRIES
    ),
    "a breaker that opens at once": lambda: Plan(pair(LEFT_AT_ONCE)),
    "one that opens and is tried": lambda: Plan(named("a", rules=TRIED_ANYWAY)),
    "one that recovers": recovering,
    "all down": lambda: down(LEFT_AT_ONCE),
    "all down and tried": lambda: down(TRIED_ANYWAY),
    "statuses that operators chose": lambda: Plan(
        pair(), rules=RetrySettings(attempts=1, codes=RETRIED | {401})
    ),
    "state at one account": lambda: Plan(
        named("a", 2), named("b"), wishes=Wishes(origin="a-2"), rules=ONE_RETRY
    ),
    "nobody": lambda: Plan([]),
}


@pytest.mark.parametrize("plan", PLANS)
def test_whatever_happens_in_whatever_order_the_promises_hold(plan: str) -> None:
    steps = explore(PLANS[plan], EVERYTHING, 3) + explore(PLANS[plan], SOME, 4, shows=0.75)
    assert steps >= len(EVERYTHING)


@pytest.mark.parametrize("plan", ["one target", "two credentials", "a group of two", "groups"])
def test_all_failures_four_deep(plan: str) -> None:
    assert explore(PLANS[plan], EVERYTHING, 4) > 2_000


@pytest.mark.parametrize("plan", PLANS)
def test_all_orders_six_deep(plan: str) -> None:
    assert explore(PLANS[plan], CORE, 6) >= len(CORE)


# -- plays -----------------------------------------------------------------------------------------

PLAYS: dict[str, tuple[Callable[[], Plan], str, list[str]]] = {
    "a good answer is the end": (lambda: Plan(named("a")), "connected, ok", ["a-1"]),
    "a failure moves on to the next target at once": (
        lambda: Plan(named("a"), named("b")), "connect, ok", ["a-1", "b-1"],
    ),
    "a single target is asked again after a pause": (
        lambda: Plan(named("a")), "503, resumed, ok", ["a-1", "wait", "a-1"],
    ),
    "two retries and no more": (
        lambda: Plan(named("a")), "503, resumed, 503, resumed, 503",
        ["a-1", "wait", "a-1", "wait", "a-1", "attempts"],
    ),
    "without retries the first word is the last": (
        lambda: Plan(pair(), rules=NO_RETRIES), "503", ["a-1", "final"],
    ),
    "what the caller did wrong is wrong everywhere": (
        lambda: Plan(pair()), "400", ["a-1", "final"],
    ),
    "nothing is retried after the first byte": (
        lambda: Plan(pair()), "connected, first byte, truncated", ["a-1", "final"],
    ),
    "nothing is retried for a client that left": (lambda: Plan(pair()), "gone, 503", ["a-1"]),
    "nothing is retried after the deadline": (
        lambda: Plan(pair()), "time, 503", ["a-1", "deadline"],
    ),
    "not to a larger model, either": (
        lambda: Plan(named("a"), on_context=named("l")), "time, too long", ["a-1", "deadline"],
    ),
    "a pause that the deadline ends is no pause": (
        lambda: Plan(named("a"), rules=RetrySettings(backoff=200.0, max_backoff=200.0)), "503",
        ["a-1", "deadline"],
    ),
    "a stale connection is repeated at once and for nothing": (
        lambda: Plan(named("a"), rules=ONE_RETRY, tokens=0), "stale, ok", ["a-1", "a-1"],
    ),
    "but once only": (
        lambda: Plan(named("a"), rules=ONE_RETRY), "stale, stale", ["a-1", "a-1", "wait"],
    ),
    "a stale connection costs no retry": (
        lambda: Plan(named("a"), named("b"), rules=ONE_RETRY), "stale, 503, ok",
        ["a-1", "a-1", "b-1"],
    ),
    "a repetition that the budget does not pay for is none": (
        lambda: Plan(named("a"), tokens=0), "503", ["a-1", "budget"],
    ),
    "a move to whom was not asked yet costs nothing": (
        lambda: Plan(pair(), tokens=0), "503, 503", ["a-1", "b-1", "budget"],
    ),
    "nor does one to another credential": (
        lambda: Plan(named("a", 2), named("b"), tokens=0), "429, 503, ok", ["a-1", "a-2", "b-1"],
    ),
    "nor one to the models of the list, there or not": (
        lambda: Plan(
            named("a"), models=(named("b"), named("c"), named("d")), tokens=0
        ), "no such model, no such model, late, ok", ["a-1", "b-1", "c-1", "d-1"],
    ),
    "after a pause a move is a repetition, too": (
        lambda: Plan(pair(), tokens=1, rules=RetrySettings(attempts=5)),
        "503, 503, resumed, 503", ["a-1", "b-1", "wait", "a-1", "budget"],
    ),
    "what cannot be said to one is said to another": (
        lambda: Plan(pair()), "unfit, ok", ["a-1", "b-1"],
    ),
    "silence until a deadline that was not the target's own moves on, too": (
        lambda: Plan(pair()), "late, ok", ["a-1", "b-1"],
    ),
    "silence is not asked again": (lambda: Plan(named("a")), "timeout", ["a-1", "none"]),
    "silence does not keep others from being asked again": (
        lambda: Plan(named("a"), named("b")), "503, timeout, resumed",
        ["a-1", "b-1", "wait", "a-1"],
    ),
    "a 429 moves on to another credential": (
        lambda: Plan(named("a", 2)), "429, ok", ["a-1", "a-2"],
    ),
    "with all credentials at their limit, that which may first": (
        lambda: Plan(named("a", 2)), "429 for 2 s, 429 for 100 s, resumed",
        ["a-1", "a-2", "wait", "a-1"],
    ),
    "a refused credential moves on to another one": (
        lambda: Plan(named("a", 2)), "401, ok", ["a-1", "a-2"],
    ),
    "and to no other target": (lambda: Plan(pair()), "401", ["a-1", "final"]),
    "a refused credential does not condemn its target": (
        lambda: Plan(named("a", 2)), "401, 503, resumed", ["a-1", "a-2", "wait", "a-2"],
    ),
    "a long conversation moves on to a larger model": (
        lambda: Plan(named("a"), on_context=named("l"), rules=NO_RETRIES), "too long, ok",
        ["a-1", "l-1"],
    ),
    "and is over where that is too small": (
        lambda: Plan(named("a"), on_context=named("l")), "too long, too long",
        ["a-1", "l-1", "final"],
    ),
    "a model that is not there is left for the next of the list": (
        lambda: Plan(pair(), models=(named("c"),)), "no such model, ok", ["a-1", "c-1"],
    ),
    "every model of the list is asked, retries or not": (
        lambda: Plan(
            named("a"), models=(named("b"), named("c"), named("d")), rules=NO_RETRIES
        ), "503, 503, 503, 503", ["a-1", "b-1", "c-1", "d-1", "final"],
    ),
    "many targets of one model do not keep the list from its turn": (
        lambda: Plan(
            named("a"), named("b"), named("c"), models=(named("d"),), rules=ONE_RETRY
        ), "503, 503, 503", ["a-1", "b-1", "d-1", "attempts"],
    ),
    "a provider that says when is not asked before": (
        lambda: Plan(named("a")), "503 for 1 s, resumed", ["a-1", "wait", "a-1"],
    ),
    "one that says later than is worth waiting is not asked again": (
        lambda: Plan(named("a")), "503 for 60 s", ["a-1", "none"],
    ),
    "nor one of whose credential it says so": (
        lambda: Plan(named("a")), "429 for 100 s", ["a-1", "none"],
    ),
    "a reload changes nothing": (
        lambda: Plan(named("a"), named("b")), "reload, 503, reload, ok", ["a-1", "b-1"],
    ),
    "state stays at its account": (
        lambda: Plan(named("a", 3), wishes=Wishes(origin="a-2")), "ok", ["a-2"],
    ),
    "but moves on where that fails": (
        lambda: Plan(named("a"), named("b"), wishes=Wishes(origin="b-1")), "503", ["b-1", "a-1"],
    ),
    "with everybody left alone it is over before it began": (
        lambda: down(LEFT_AT_ONCE), "", ["open"],
    ),
    "unless they are to be tried all the same": (
        lambda: down(TRIED_ANYWAY), "503, resumed", ["a-1", "wait", "a-1"],
    ),
    "one that is to be found out about is asked first": (recovering, "connect", ["a-1", "b-1"]),
}  # fmt: skip


def told(walk: Walk) -> list[str]:
    """The commands so far: credentials, `wait`, and why it was given up."""
    return [
        command.credential.target
        if isinstance(command, Try)
        else "wait"
        if isinstance(command, Wait)
        else command.reason
        for command in walk.commands
    ]


@pytest.mark.parametrize("play", PLAYS)
def test_the_plays_are_played(play: str) -> None:
    make, events, expected = PLAYS[play]
    walk = walked(make(), [event for event in events.split(", ") if event])
    assert told(walk) == expected


def test_a_pause_is_as_long_as_was_asked_for() -> None:
    for play, seconds in (("503 for 1 s", 1.0), ("429 for 2 s", 2.0)):
        pause = walked(Plan(named("a")), [play]).commands[-1]
        assert isinstance(pause, Wait)
        assert pause.seconds == pytest.approx(seconds, abs=0.01)


def test_of_two_limited_credentials_the_first_to_be_free_sets_the_pause() -> None:
    pause = walked(Plan(named("a", 2)), ["429 for 2 s", "429 for 100 s"]).commands[-1]
    assert isinstance(pause, Wait)
    assert pause.seconds == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("shows", [0.0, 0.5, 0.999])
def test_pauses_are_random_and_their_bound_doubles_up_to_the_most(shows: float) -> None:
    rules = RetrySettings(attempts=5, backoff=0.5, max_backoff=2.0)
    walk = Walk(Plan(named("a", rules=HealthSettings(failures=99)), rules=rules), shows)
    pauses = []
    for _ in range(5):
        walk.step("connect")
        pause = walk.commands[-1]
        assert isinstance(pause, Wait)
        pauses.append(pause.seconds)
        walk.step("resumed")
    assert pauses == pytest.approx([shows * bound for bound in (0.5, 1.0, 2.0, 2.0, 2.0)])


@pytest.mark.parametrize("shows", [0.0, 0.25, 0.999])
@pytest.mark.parametrize("plan", [lambda: Plan(pair()), lambda: Plan(named("a"), named("b"))])
@pytest.mark.parametrize("said", ["503 for 1 s", "503 for 60 s"])
def test_of_two_that_failed_the_one_is_asked_again_that_may_be_asked_first(
    plan: Callable[[], Plan], shows: float, said: str
) -> None:
    """One says when it may be asked again; the other, a fall-back or an equal, fails with no word:
    the request does not wait for the former."""
    walk = walked(plan(), [said, "503"], shows=shows)
    second = walk.tries[-1]
    pause = walk.commands[-1]
    assert isinstance(pause, Wait)
    assert pause.seconds <= 0.25
    walk.step("resumed")
    assert walk.tries[-1].choice is second.choice


def test_where_all_said_when_the_shortest_rest_is_waited_for() -> None:
    for first, second, seconds, then in (
        ("503 for 1 s", "429 for 2 s", 1.0, "a-1"), ("429 for 2 s", "503 for 1 s", 1.0, "b-1"),
        ("429 for 2 s", "503 for 60 s", 2.0, "a-1"), ("503 for 60 s", "503 for 1 s", 1.0, "b-1"),
    ):  # fmt: skip
        walk = walked(Plan(named("a"), named("b")), [first, second], shows=0.25)
        pause = walk.commands[-1]
        assert isinstance(pause, Wait)
        assert pause.seconds == pytest.approx(seconds, abs=0.01)
        walk.step("resumed")
        assert told(walk)[-1] == then


def test_a_rest_that_was_asked_for_holds_until_its_end() -> None:
    walk = walked(Plan(named("a")), ["503 for 1 s"], shows=0.0)
    began = walk.now
    walk.step("resumed")
    assert walk.now - began >= 0.998


@pytest.mark.parametrize("cooling", [3.0, 20.0])
def test_a_credential_that_rests_for_others_is_asked_again_all_the_same(cooling: float) -> None:
    """Another request was told 429 of it: this one waits for its end if that is near."""
    plan = Plan(named("a"))
    rests = plan.backends[0].credentials[0].cooldown
    rests.limited(START, cooling, HealthSettings())
    walk = walked(plan, ["503 for 1 s"])
    pause = walk.commands[-1]
    assert isinstance(pause, Wait)
    assert pause.seconds == pytest.approx(3.0 if cooling == 3.0 else 1.0, abs=0.01)
    walk.step("resumed")
    assert told(walk) == ["a-1", "wait", "a-1"]


def test_of_two_that_fail_the_one_is_asked_again_whose_credential_does_not_rest() -> None:
    plan = Plan(named("a"), named("b"))
    plan.backends[0].credentials[0].cooldown.limited(START, 20.0, HealthSettings())
    walk = walked(plan, ["503", "503", "resumed"])
    assert told(walk) == ["b-1", "a-1", "wait", "b-1"]


def test_a_try_in_other_words_counts_and_costs_no_retry() -> None:
    walk = walked(Plan(pair(), rules=ONE_RETRY), ["connected"])
    walk.machine.repeated()
    assert walk.machine.count == 2
    following = walk.machine.failed(walk.now, FAILURES["503"])
    assert isinstance(following, Try)
    assert walk.machine.count == 3
    assert isinstance(walk.machine.failed(walk.now, FAILURES["503"]), GiveUp)


@pytest.mark.parametrize("event", ["503", "429", "401", "timeout", "ok", "broken", "first byte"])
def test_a_quiet_request_says_nothing_of_anybody(event: str) -> None:
    plan = Plan(named("a", 2), named("b"))
    walk = Walk(plan, 0.5)
    walk.machine.quiet = True
    assert walk.machine.again(Loaded(0.5)).quiet
    walk.step(event)
    walk.machine.measure(50.0)
    walk.machine.gone()
    for each in plan.backends:
        health = each.health
        assert (health.in_flight, health.successes, health.failures) == (0, 0, 0)
        assert (health.latency, health.throughput) == (0.0, 0.0)
        assert not any(credential.cooldown.cooled for credential in each.credentials)


def test_a_quiet_request_does_not_close_a_breaker() -> None:
    plan = recovering()
    walk = Walk(plan, 0.5)
    walk.machine.quiet = True
    walk.step("ok")
    assert plan.backends[0].health.state(walk.now) == "half_open"
    assert plan.backends[0].health.available(walk.now)


def test_what_is_asked_for_under_two_names_at_one_provider_is_two_targets() -> None:
    """Two models behind one entry of the configuration, `*`."""
    shared = backend("all")
    plan: Tiers = ((Choice(shared, "large"),), (Choice(shared, "small"),))
    loop = machine(plan)
    first = loop.begin(START)
    second = loop.failed(START, FAILURES["503"])
    assert isinstance(first, Try)
    assert isinstance(second, Try)
    assert (first.choice.asked, second.choice.asked) == ("large", "small")


def test_a_list_that_begins_with_the_model_asked_for_does_not_ask_it_twice() -> None:
    same = backend("a")
    other = backend("b")
    models = (((Choice(same, "m"),),), ((Choice(other, "n"),),))
    loop = machine(tiers(same), wishes=Wishes(asked="m"), models=models)
    loop.begin(START)
    following = loop.failed(START, FAILURES["503"])
    assert isinstance(following, Try)
    assert following.choice.backend is other


def test_models_that_are_left_alone_do_not_cost_the_first_one_its_retries() -> None:
    plan = Plan(named("a"), models=(named("b", rules=LEFT_AT_ONCE),))
    failing(plan.backends[1].health, START)
    assert told(walked(plan, ["503", "resumed"])) == ["a-1", "wait", "a-1"]


def test_whoever_finds_nobody_learns_when_to_come_back() -> None:
    plan = Plan(pair(HealthSettings(failures=1, open_for=15.0)))
    failing(plan.backends[0].health, START - 4.0)
    failing(plan.backends[1].health, START - 1.0)
    over = Walk(plan, 0.5).commands[-1]
    assert isinstance(over, GiveUp)
    assert over.reason == "open"
    assert over.seconds == pytest.approx(11.0)


def test_a_credential_that_rests_is_passed_over_for_one_that_does_not_even_at_home() -> None:
    """State that any account of a place can read goes to whichever is free."""
    home = backend("a", 2, homes=[("place", "one"), ("place", "two")])
    home.credentials[0].cooldown.limited(START, 10.0, HealthSettings())
    for _ in range(3):
        loop = machine(tiers([home]), wishes=Wishes(origin="place"))
        found = loop.begin(START)
        assert isinstance(found, Try)
        assert found.credential is home.credentials[1]
        loop.gone()


def test_what_rests_because_of_others_during_a_pause_is_passed_over() -> None:
    plan = Plan(named("a", 2))
    walk = walked(plan, ["503"])
    chosen = plan.backends[0].credentials[1]  # the next in turn
    chosen.cooldown.limited(walk.now, 50.0, HealthSettings())
    walk.step("resumed")
    assert walk.tries[-1].credential is not chosen


def test_a_machine_can_be_made_again_for_the_same_request() -> None:
    plan = Plan(named("a"), named("b"))
    before = walked(plan, ["503"])
    prepared = before.machine.current
    before.machine.gone()
    again = before.machine.again(Loaded(0.5))
    assert again.begin(START, prepared) is prepared
    again.finished(START + 1, 0.5)
    assert [each.health.in_flight for each in plan.backends] == [0, 0]


def test_speed_is_told_to_the_target_that_answered() -> None:
    plan = Plan(named("a"), named("b"))
    walk = walked(plan, ["503", "ok"])
    walk.machine.measure(80.0)
    assert [each.health.throughput for each in plan.backends] == [0.0, 80.0]
    assert walk.machine.measured


def test_a_machine_with_nobody_to_ask_says_so() -> None:
    loop = Attempts((), RetrySettings(), RetryBudget(1, 1, START), DEADLINE, Loaded(0.5))
    assert loop.begin(START) == GiveUp("none")
    loop.measure(1.0)
    assert not loop.measured
    assert not loop.would_go_on(START, Failure("connect"))
