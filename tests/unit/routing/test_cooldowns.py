"""Credentials that a provider wants less of: how long they rest, and who goes in their place."""

from collections import Counter

import pytest
from tests.unit.routing.making import START, backend, machine, tiers

from portico.config.settings import HealthSettings
from portico.routing.attempts import Try
from portico.routing.failures import Failure
from portico.routing.health import Cooldown
from portico.routing.plan import Backend, is_ready, ready

RULES = HealthSettings(cooldown=1.0, max_cooldown=60.0)


def test_a_rest_is_as_long_as_the_provider_says() -> None:
    cooldown = Cooldown()
    cooldown.limited(START, 7.0, RULES)
    assert cooldown.until == START + 7.0
    assert cooldown.cooled == 1


def test_but_never_longer_than_the_most() -> None:
    cooldown = Cooldown()
    cooldown.limited(START, 86_400.0, RULES)
    assert cooldown.until == START + 60.0


def test_without_a_word_it_doubles_each_time_up_to_the_most() -> None:
    cooldown, now, rests = Cooldown(), START, []
    for _ in range(8):
        cooldown.limited(now, None, RULES)
        rests.append(cooldown.until - now)
        now = cooldown.until
    assert rests == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    for _ in range(10_000):
        cooldown.limited(now, None, RULES)
        now = cooldown.until
    assert cooldown.until - now <= 60.0


def test_many_that_are_told_at_the_same_moment_count_once() -> None:
    cooldown = Cooldown()
    for place in range(20):
        cooldown.limited(START + place / 1000, None, RULES)
    assert cooldown.until <= START + 1.02


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    cooldown = Cooldown()
    cooldown.limited(START, 30.0, RULES)
    cooldown.limited(START + 1.0, 2.0, RULES)
    assert cooldown.until == START + 30.0


def test_a_request_that_is_answered_ends_it() -> None:
    cooldown = Cooldown()
    cooldown.limited(START, None, RULES)
    cooldown.limited(START + 1.0, None, RULES)
    cooldown.used(START + 2.0)
    assert cooldown.until == 0.0
    cooldown.limited(START + 3.0, None, RULES)
    assert cooldown.until == START + 4.0


def test_one_that_was_under_way_before_does_not() -> None:
    """It says that the key was good for that one, not that it is for more."""
    cooldown = Cooldown()
    cooldown.limited(START, 30.0, RULES)
    cooldown.used(START - 1.0)
    assert cooldown.until == START + 30.0


def test_a_refused_credential_rests_for_the_most() -> None:
    cooldown = Cooldown()
    cooldown.refused(START, RULES)
    assert cooldown.until == START + 60.0
    cooldown.limited(START + 1.0, None, RULES)
    assert cooldown.until == START + 60.0


def test_a_single_credential_that_is_refused_does_not_rest() -> None:
    target = backend("a")
    loop = machine(tiers(target))
    loop.begin(START)
    loop.failed(START, Failure("auth", 401))
    assert target.credentials[0].cooldown.until == 0.0


# -- which credential ------------------------------------------------------------------------------


def test_credentials_take_turns() -> None:
    target = backend("a", 3)
    assert counted(target, 300) == {"a-1": 100, "a-2": 100, "a-3": 100}


def test_those_that_rest_are_passed_over_and_come_back() -> None:
    target = backend("a", 3)
    target.credentials[1].cooldown.limited(START, 10.0, RULES)
    found = counted(target, 300)
    assert "a-2" not in found
    assert min(found.values()) >= 100
    assert counted(target, 300, START + 10.0) == {"a-1": 100, "a-2": 100, "a-3": 100}


def test_with_all_at_rest_the_one_that_is_free_first_is_used() -> None:
    target = backend("a", 3)
    for place, seconds in enumerate((30.0, 10.0, 20.0)):
        target.credentials[place].cooldown.limited(START, seconds, RULES)
    assert not is_ready(target, START)
    assert ready(target, START).target == "a-2"
    assert ready(target, START, {target.credentials[1]}).target == "a-3"
    assert ready(target, START, set(target.credentials)).target == "a-2"


def test_a_request_begins_with_a_credential_that_does_not_rest() -> None:
    target = backend("a", 4)
    for each in (0, 1, 3):
        target.credentials[each].cooldown.limited(START, 30.0, RULES)
    for _ in range(5):
        loop = machine(tiers(target))
        found = loop.begin(START)
        assert isinstance(found, Try)
        assert found.credential.target == "a-3"
        loop.gone()


def test_a_target_whose_credentials_rest_comes_after_one_whose_do_not() -> None:
    tired, fresh = backend("tired"), backend("fresh")
    tired.credentials[0].cooldown.limited(START, 30.0, RULES)
    for plan in (tiers([tired, fresh]), tiers(tired, fresh)):
        loop = machine(plan)
        found = loop.begin(START)
        assert isinstance(found, Try)
        assert found.choice.backend is fresh
        loop.gone()


@pytest.mark.parametrize("kind", ["limited", "auth"])
def test_every_credential_is_asked_once_before_any_twice(kind: str) -> None:
    target, other = backend("a", 3), backend("b")
    loop = machine(tiers(target, other))
    asked = []
    command = loop.begin(START)
    while isinstance(command, Try):
        asked.append(command.credential.target)
        command = loop.failed(START, Failure(kind, 429 if kind == "limited" else 401))  # type: ignore[arg-type]
    assert asked == ["a-1", "a-2", "a-3"]


def counted(target: Backend, times: int, now: float = START) -> dict[str, int]:
    return dict(Counter(ready(target, now).target for _ in range(times)))
