"""Nothing is tried again once the client has a byte; keys, breakers and kept connections."""

import asyncio
import time

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.conftest import settled
from tests.faults.tongues import TONGUES, WORDS, answered, is_broken, provider, told
from tests.support.failover import DEADLINES, FREELY, LANES, TONGUE, Pair, meta, well, words_of
from tests.support.gateway import OPERATOR_KEY, caller, model, route, settings
from tests.support.raw import RawResponse
from tests.support.upstream import (
    LAST_CHUNK,
    Script,
    ScriptedUpstream,
    chunk,
    expect,
    fin,
    http_json,
    rst,
    send,
    sleep,
)

from portico.config.secret import Secret
from portico.config.settings import HealthSettings, RetrySettings
from portico.model.targets import TargetView

SECOND_KEY = "sk-CANARY-operator-second-9876543210"


def _broken(client: str, upstream: str, answer: RawResponse) -> None:
    if client == upstream:  # the frames are the provider's, with one of ours behind
        assert (answer.status, answer.ended) == (200, False)
        for mark in (b"[DONE]", b"message_stop", b"response.completed"):
            assert mark not in answer.body
        assert b'"error"' in answer.body
    else:
        is_broken(client, answer)


@pytest.mark.parametrize("end", ["FIN", "RST", "an error"])
async def test_after_the_first_byte_nothing_is_tried_again(
    end: str, play: Play, launch: Launch
) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    for client, upstream in LANES:
        tongue = TONGUES[upstream]
        last: dict[str, Script] = {
            "FIN": [fin()],
            "RST": [sleep(0.05), rst()],
            "an error": [sleep(0.05), send(chunk(tongue.error) + LAST_CHUNK)],
        }
        first.add([expect(), *told(upstream, tongue.opening, end=False), *last[end]])
        answer, outcome = await pair.ask(client, upstream, stream=True)
        if end != "an error":
            _broken(client, upstream, answer)
        assert meta(answer) == ("first", "first-id", "1")
        assert (outcome.attempts, outcome.failed) == (1, None)
        assert outcome.verdict == ("upstream_error" if end == "an error" else "truncated")
        if end != "an error":
            assert outcome.error_code == "upstream_truncated"
    assert second.opened == 0
    assert pair.in_flight == 0
    failures = sum(each.failures_total for each in pair.gateway.worker.gateway.targets())
    assert failures == (0 if end == "an error" else len(LANES))


# -- keys -----------------------------------------------------------------------------------------


class Keys:
    """One provider with two keys, in three dialects."""

    def __init__(self, gateway: Pair, upstream: ScriptedUpstream) -> None:
        self.pair = gateway
        self.upstream = upstream

    @classmethod
    async def start(cls, launch: Launch, upstream: ScriptedUpstream) -> "Keys":
        models = []
        for dialect in TONGUE:
            served_by = structs.replace(
                provider(upstream.url, dialect), further_keys=(Secret(SECOND_KEY),)
            )
            models.append(model(dialect, served_by, "id", retry=FREELY, health=HealthSettings()))
        gateway = await launch(settings(route(models, [caller()]), deadlines=DEADLINES))
        return cls(Pair(gateway), upstream)

    @property
    def used(self) -> list[str]:
        found = []
        for request in self.upstream.requests:
            header = request.head.get("authorization") or request.head["x-api-key"]
            found.append(header.removeprefix("Bearer "))
        return found

    def state(self, name: str) -> TargetView:
        return next(t for t in self.pair.gateway.worker.gateway.targets() if t.name == name)


@pytest.mark.parametrize("status", [429, 401])
async def test_a_key_that_is_refused_makes_room_for_the_next(
    status: int, play: Play, launch: Launch
) -> None:
    upstream = await play()
    keys = await Keys.start(launch, upstream)
    for client, dialect in (LANES[0], LANES[2], LANES[5]):
        upstream.requests.clear()
        refusal = http_json(status, TONGUES[dialect].refusal)
        upstream.add([expect(), send(refusal)], well(dialect, False), well(dialect, False))
        answer, outcome = await keys.pair.ask(client, dialect)
        assert words_of(client, answer, stream=False) == WORDS
        assert meta(answer)[2] == "2"
        assert [attempt.status for attempt in outcome.failed] == [status]
        again, _ = await keys.pair.ask(client, dialect)
        assert meta(again)[2] == "1"
        assert keys.used == [OPERATOR_KEY, SECOND_KEY, SECOND_KEY]
        state = keys.state(dialect)
        assert (state.state, state.failures, state.in_flight) == ("closed", 0, 0)
        assert [each.cooled for each in state.credentials] == [1, 0]
        assert state.credentials[0].cooling_for > 0


async def test_when_both_keys_are_refused_that_is_the_operators_trouble(
    play: Play, launch: Launch
) -> None:
    upstream = await play()
    keys = await Keys.start(launch, upstream)
    for client, dialect in (LANES[1], LANES[3]):
        upstream.requests.clear()
        refusal = send(http_json(401, TONGUES[dialect].refusal))
        upstream.add([expect(), refusal], [expect(), refusal])
        answer, outcome = await keys.pair.ask(client, dialect)
        assert (answer.status, outcome.error_code) == (502, "upstream_auth")
        assert (outcome.attempts, len(outcome.failed)) == (2, 1)
        assert keys.used == [OPERATOR_KEY, SECOND_KEY]
        assert OPERATOR_KEY.encode() not in answer.body
        assert keys.pair.in_flight == 0


async def test_a_single_key_that_is_refused_is_not_tried_again(play: Play, launch: Launch) -> None:
    first = await play(default=[expect(), send(http_json(401, TONGUES["chat"].refusal))])
    pair = await Pair.start(launch, first.url, await play(), first_retry=FREELY)
    answer, outcome = await pair.ask("chat", "first-chat")
    assert (answer.status, outcome.error_code, outcome.attempts) == (502, "upstream_auth", 1)
    assert len(first.requests) == 1


# -- the breaker ----------------------------------------------------------------------------------

BREAKER = HealthSettings(failures=5, window=10.0, open_for=60.0)
DOWN: Script = [expect(), send(http_json(503, TONGUES["chat"].refusal))]


async def test_a_target_that_fails_is_left_alone_and_taken_back(play: Play, launch: Launch) -> None:
    first, second = await play(default=DOWN), await play(default=well("chat", False))
    pair = await Pair.start(launch, first.url, second, health=BREAKER)

    def state() -> str:
        targets = pair.gateway.worker.gateway.targets()
        return next(each.state for each in targets if each.name == "first-chat")

    for _ in range(5):
        answer, outcome = await pair.ask("chat", "chat")
        assert (answer.status, outcome.attempts) == (200, 2)
    assert state() == "open"
    asked = len(first.requests)
    for _ in range(3):
        answer, outcome = await pair.ask("chat", "chat")
        assert meta(answer) == ("second", "second-id", "1")
        assert outcome.failed is None
    assert (len(first.requests), asked) == (5, 5)

    backends = pair.gateway.worker.snapshot.backends
    health = next(each.health for each in backends if each.name == "first-chat")
    health._open_until = time.monotonic()  # the pause is over
    assert state() == "half_open"
    # One request only finds out; the others are served by the one that is well.
    first.default = None
    first.add([expect(), sleep(0.3), answered("chat")])
    finding = [asyncio.ensure_future(_provider_of(pair)) for _ in range(4)]
    found = sorted([await each for each in finding])
    assert found == ["first", "second", "second", "second"]
    assert (state(), len(first.requests)) == ("closed", 6)
    assert pair.in_flight == 0


async def _provider_of(pair: Pair) -> str:
    answer, _ = await pair.ask("chat", "chat")
    assert answer.status == 200
    return str(meta(answer)[0])


async def test_where_there_is_no_other_the_caller_is_told_when_to_come_back(
    play: Play, launch: Launch
) -> None:
    first = await play(default=DOWN)
    never = RetrySettings(attempts=0)
    lasting = HealthSettings(failures=5, open_for=15.0)
    pair = await Pair.start(launch, first.url, await play(), health=lasting, first_retry=never)
    for _ in range(5):
        answer, _ = await pair.ask("chat", "first-chat")
        assert answer.status == 503
    opened = first.opened
    for client in ("chat", "responses", "messages"):
        answer, outcome = await pair.ask(client, "first-chat", stream=True)
        assert answer.status == 503
        assert 1 <= int(answer.header("retry-after") or 0) <= 15
        assert answer.json()["error"]["message"].startswith("Every provider of this model")
        assert (outcome.attempts, outcome.failed, outcome.verdict) == (0, None, "upstream_error")
        assert answer.header("x-request-id") == outcome.request_id
    assert (first.opened, len(first.requests)) == (opened, 5)


async def test_what_a_caller_did_wrong_opens_no_breaker(play: Play, launch: Launch) -> None:
    bad = http_json(400, TONGUES["chat"].refusal)
    first = await play(default=[expect(), send(bad)])
    strict = HealthSettings(failures=1, consecutive=1)
    pair = await Pair.start(launch, first.url, await play(), health=strict, first_retry=FREELY)
    for _ in range(3):
        assert (await pair.ask("chat", "first-chat"))[0].status == 400
    state = pair.gateway.worker.gateway.targets()[0]
    assert (state.state, state.failures) == ("closed", 0)


# -- kept connections -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_kept_connection_that_was_just_closed_costs_one_more_try(
    how: str, play: Play, launch: Launch
) -> None:
    """At once, at the same target, and not for longer than once."""
    first, second = await play(), await play()
    once = RetrySettings(attempts=1, backoff=5.0, max_backoff=5.0, budget=0.0,
                         budget_per_second=0.0)  # fmt: skip
    pair = await Pair.start(launch, first.url, second, first_retry=once)
    closing: Script = [expect(), fin() if how == "FIN" else rst()]
    for client, upstream in LANES:
        first.add(well(upstream, False), closing, well(upstream, False))
        await pair.ask(client, f"first-{upstream}")
        answer, outcome = await pair.ask(client, f"first-{upstream}")
        assert words_of(client, answer, stream=False) == WORDS
        assert meta(answer) == ("first", "first-id", "2")
        assert [attempt.error for attempt in outcome.failed] == ["upstream_truncated"]
        state = pair.gateway.worker.gateway.targets()[0]
        assert (state.failures, state.in_flight) == (0, 0)


async def test_all_connections_kept_to_a_place_that_dropped_them_are_given_up_at_once(
    play: Play, launch: Launch
) -> None:
    """A load balancer that forgets its connections says so for each only when it is used."""
    first = await play(default=[expect(), sleep(0.05), answered("chat")])
    once = RetrySettings(attempts=1, budget=0.0, budget_per_second=0.0)
    pair = await Pair.start(launch, first.url, await play(), first_retry=once)
    await asyncio.gather(*[pair.ask("chat", "first-chat") for _ in range(4)])
    assert first.open_now == 4
    first.add([expect(), rst()])
    answer, outcome = await pair.ask("chat", "first-chat")
    assert (answer.status, outcome.attempts) == (200, 2)
    assert first.requests[-1].connection == 5, "a new one, not the next that was kept"
    await settled(lambda: first.open_now == 1)


async def test_without_retries_nothing_is_sent_twice(play: Play, launch: Launch) -> None:
    first = await play(well("chat", False), [expect(), fin()])
    pair = await Pair.start(launch, first.url, await play())
    await pair.ask("chat", "first-chat")
    answer, outcome = await pair.ask("chat", "first-chat")
    assert (answer.status, outcome.attempts) == (502, 1)
    assert len(first.requests) == 2


async def test_an_answer_that_had_begun_is_no_matter_of_the_connection(
    play: Play, launch: Launch
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    first = await play(well("chat", False), [expect(), send(head), fin()])
    once = RetrySettings(attempts=1, budget=0.0, budget_per_second=0.0)
    pair = await Pair.start(launch, first.url, await play(), first_retry=once)
    await pair.ask("chat", "first-chat")
    answer, outcome = await pair.ask("chat", "first-chat")
    assert (answer.status, outcome.attempts) == (502, 1), "there was no budget for it"
    await settled(lambda: pair.in_flight == 0)


# -- the budget -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_without_a_budget_the_first_error_is_the_answer(
    stream: bool, play: Play, launch: Launch
) -> None:
    """Two repeats in ten seconds, and no more: a stream that fails inside is refused then, too."""
    first = await play()
    little = RetrySettings(backoff=0.01, budget=0.0, budget_per_second=0.2)
    pair = await Pair.start(launch, first.url, await play(), first_retry=little)
    for number in range(4):
        tongue = TONGUES["chat"]
        begun = [expect(), *told("chat", [tongue.opening[0], tongue.error])]
        first.add(begun if stream else [expect(), send(http_json(500, tongue.refusal))])
        if number < 2:
            first.add(well("chat", stream))
        answer, outcome = await pair.ask("chat", "first-chat", stream=stream)
        if number < 2:
            assert words_of("chat", answer, stream=stream) == WORDS
            continue
        assert answer.status >= 500, answer.body
        assert (meta(answer)[2], outcome.attempts, outcome.failed) == ("1", 1, None)
    assert len(first.requests) == 6
    assert pair.in_flight == 0
    assert pair.gateway.sample("portico_retry_budget_refused_total") == 2
