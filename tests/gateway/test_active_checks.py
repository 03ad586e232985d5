"""Active checks: a provider that nobody asks is asked by the gateway, before a caller finds out."""

import asyncio

import pytest
from tests.conftest import Launch, Play
from tests.faults.conftest import settled
from tests.support.gateway import (
    OPERATOR_KEY,
    Gateway,
    caller,
    model,
    provider,
    route,
    settings,
)
from tests.support.upstream import ScriptedUpstream, expect, hang, http_json, send

from portico.config.settings import ActiveCheck, HealthSettings
from portico.gateway import checks
from portico.routing.health import Health

OFTEN = ActiveCheck(interval=0.05, timeout=0.3)
LISTED = [expect(), send(http_json(200, {"object": "list", "data": []}))]
ILL = [expect(), send(http_json(503, {"error": {"message": "no"}}))]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(checks, "RANDOM", type("Zero", (), {"random": lambda self: 0.0})())


async def _start(launch: Launch, url: str, rules: HealthSettings) -> tuple[Gateway, Health]:
    served_by = provider(url, "openAI")
    gateway = await launch(settings(route([model("m", served_by, health=rules)], [caller()])))
    return gateway, gateway.worker.snapshot.backends[0].health


async def test_a_provider_that_fails_its_checks_is_left_alone(play: Play, launch: Launch) -> None:
    upstream: ScriptedUpstream = await play(default=ILL)
    _, health = await _start(launch, upstream.url, HealthSettings(failures=3, active=OFTEN))
    await settled(lambda: health.opened == 1)
    assert {request.target for request in upstream.requests} == {"/v1/models"}
    assert upstream.requests[0].head["authorization"] == f"Bearer {OPERATOR_KEY}"
    assert (health.last_error, health.in_flight) == ("check_503", 0)


@pytest.mark.parametrize("how", ["silent", "refuses"])
async def test_a_provider_that_does_not_answer_a_check_fails_it(
    how: str, play: Play, launch: Launch
) -> None:
    upstream = await play(default=[expect(), hang()])
    url = upstream.url if how == "silent" else NOWHERE
    _, health = await _start(launch, url, HealthSettings(failures=2, active=OFTEN))
    await settled(lambda: health.opened == 1)
    assert health.last_error == "check_failed"
    if how == "silent":
        await settled(lambda: upstream.open_now == 0)


async def test_a_good_check_counts_but_does_not_close_a_breaker(play: Play, launch: Launch) -> None:
    upstream = await play(default=LISTED)
    _, health = await _start(launch, upstream.url, HealthSettings(failures=2, active=OFTEN))
    await settled(lambda: health.successes >= 2)
    assert upstream.opened == 1, "the connection is kept"
    for _ in range(2):
        health.note_failure(asyncio.get_running_loop().time(), "status_500")
    asked = len(upstream.requests)
    await settled(lambda: len(upstream.requests) >= asked + 2)
    assert health.state(asyncio.get_running_loop().time()) == "open"


async def test_only_connecting_is_a_check_too(play: Play, launch: Launch) -> None:
    upstream = await play(default=LISTED)
    check = ActiveCheck(interval=0.05, timeout=0.3, kind="connect")
    _, health = await _start(launch, upstream.url, HealthSettings(active=check))
    await settled(lambda: health.successes >= 2)
    assert upstream.requests == []


async def test_while_requests_come_no_check_is_made(play: Play, launch: Launch) -> None:
    upstream = await play(default=LISTED)
    _, health = await _start(launch, upstream.url, HealthSettings(active=OFTEN))
    await settled(lambda: health.successes == 1)
    for _ in range(20):
        health.note_success(asyncio.get_running_loop().time())
        await asyncio.sleep(0.02)
    assert len(upstream.requests) <= 2


async def test_without_the_rule_nobody_is_asked_and_a_reload_begins_and_ends_it(
    play: Play, launch: Launch
) -> None:
    upstream = await play(default=LISTED)
    gateway, health = await _start(launch, upstream.url, HealthSettings())
    await asyncio.sleep(0.1)
    assert upstream.requests == []
    quiet = gateway.worker.settings
    served_by = provider(upstream.url, "openAI")
    entry = model("m", served_by, health=HealthSettings(active=OFTEN))
    gateway.worker.reload(settings(route([entry], [caller()])))
    await settled(lambda: health.successes >= 2)
    gateway.worker.reload(quiet)
    await asyncio.sleep(0.05)
    asked = len(upstream.requests)
    await asyncio.sleep(0.2)
    assert len(upstream.requests) == asked
