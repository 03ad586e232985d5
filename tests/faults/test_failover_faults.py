"""Clients that leave and workers that stop between two tries, or in the middle of the second."""

import asyncio
import time

import pytest
from tests.faults.conftest import KEY, Launch, Play, quiet, server_of, settled
from tests.faults.tongues import TONGUES, WORDS, text_in, text_of, told
from tests.support.asks import PATHS, ask
from tests.support.failover import LANES, Pair, meta, well
from tests.support.raw import RawClient
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    chunk,
    expect,
    fin,
    hang,
    http_head,
    http_json,
    rst,
    send,
)

from portico.config.settings import HealthSettings, RetrySettings
from portico.demo.server import RunningDemo

STREAM = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
SLOWLY = RetrySettings(attempts=3, backoff=0.0, max_backoff=30.0, budget_per_second=100.0)
NEVER = HealthSettings(failures=1_000_000)


def busy(dialect: str, retry_after: str | None = None) -> Script:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return [expect(), send(http_json(500, TONGUES[dialect].refusal, headers))]


async def begin(pair: Pair, client: str, name: str, *, stream: bool = False) -> RawClient:
    raw = await RawClient.connect(pair.gateway.port)
    body = ask(client, model=name, stream=stream)
    await raw.request("POST", PATHS[client], body, KEY)
    return raw


async def nothing_left(pair: Pair, within: float = 3.0) -> None:
    """Whatever was counted up for the request is counted down again."""
    gateway = pair.gateway
    await settled(lambda: pair.in_flight == 0, within)
    await settled(lambda: quiet(gateway), within)
    assert gateway.worker.gateway.inflated == 0
    pools = gateway.worker.client._pools.values()
    idle = sum(len(pool._idle) for pool in pools)
    await settled(lambda: sum(pool.open_connections for pool in pools) == idle, within)


async def waiting(pair: Pair, first: ScriptedUpstream) -> None:
    """Until the first try has failed and nothing is being tried."""
    await first.wait_requests(1)
    await settled(lambda: pair.in_flight == 0)


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize(("client", "upstream"), [LANES[1], LANES[3]])
async def test_a_client_that_leaves_during_a_pause_ends_it(
    how: str, client: str, upstream: str, play: Play, launch: Launch
) -> None:
    first = await play(default=busy(upstream, "9"))
    pair = await Pair.start(launch, first.url, await play(), first_retry=SLOWLY)
    raw = await begin(pair, client, f"first-{upstream}", stream=True)
    await waiting(pair, first)
    start = time.perf_counter()
    raw.rst() if how == "RST" else raw.close()
    outcome = await pair.gateway.last()
    assert time.perf_counter() - start < 1.0
    assert (outcome.verdict, outcome.status) == ("client_cancelled", 499)
    assert outcome.attempts == 1
    assert [attempt.status for attempt in outcome.failed or ()] == [500]
    assert outcome.usage is None
    await nothing_left(pair)
    assert len(first.requests) == 1
    # The tries are told as they were: one.
    told_ = pair.gateway.recorder.request(outcome.request_id)
    assert told_ is not None
    assert [each.result for each in told_.attempts] == ["5xx"]
    assert pair.gateway.sample("portico_upstream_attempts_total") == 1


@pytest.mark.parametrize("when", ["before the head", "before the first word", "in the answer"])
@pytest.mark.parametrize(("client", "upstream"), LANES)
async def test_a_client_that_leaves_during_the_second_try_stops_the_meter(
    when: str, client: str, upstream: str, play: Play, launch: Launch
) -> None:
    opening = TONGUES[upstream].opening
    steps: dict[str, Script] = {
        "before the head": [],
        "before the first word": told(upstream, opening[:1], end=False),
        "in the answer": told(upstream, opening, end=False),
    }
    first = await play(default=busy(upstream))
    second = await play(default=[expect(), *steps[when], hang()])
    pair = await Pair.start(launch, first.url, second)
    raw = await begin(pair, client, upstream, stream=True)
    await second.wait_requests(1)
    if when == "in the answer":
        head = await asyncio.wait_for(raw.head(), 3)
        assert head.header("x-portico-attempts") == "2"
    await asyncio.sleep(0.02)
    raw.rst()
    await second.wait_closed(0.3)
    outcome = await pair.gateway.last()
    assert (outcome.verdict, outcome.attempts) == ("client_cancelled", 2)
    assert [attempt.provider for attempt in outcome.failed or ()] == ["first"]
    await nothing_left(pair)
    health = {each.name: each for each in pair.gateway.worker.gateway.targets()}
    assert health[f"second-{upstream}"].failures == 0, "it is no fault of the target's"


async def test_a_probe_that_its_client_gave_up_lets_the_next_one_find_out(
    play: Play, launch: Launch
) -> None:
    first = await play()
    rules = HealthSettings(failures=1, open_for=0.1)
    pair = await Pair.start(launch, first.url, await play(), health=rules)
    first.add(busy("chat"))
    assert (await pair.ask("chat", "first-chat"))[0].status == 500
    await asyncio.sleep(0.12)
    first.add([expect(), hang()])
    raw = await begin(pair, "chat", "first-chat")
    await first.wait_requests(2)
    raw.rst()
    await nothing_left(pair)
    pair.asked += 1
    first.add(well("chat", False))
    answer, _ = await pair.ask("chat", "first-chat")
    assert answer.status == 200
    assert pair.gateway.worker.gateway.targets()[0].state == "closed"


# -- the worker stops -----------------------------------------------------------------------------


@pytest.mark.parametrize("patient", [True, False])
async def test_a_worker_that_stops_during_a_pause(
    patient: bool, play: Play, launch: Launch
) -> None:
    """The pause ends well if there is time; else the caller is told to come again."""
    first = await play(busy("chat", "0.4" if patient else "9"), default=well("chat", False))
    retry = RetrySettings(attempts=1, backoff=0.0, max_backoff=30.0)
    pair = await Pair.start(launch, first.url, await play(), first_retry=retry)
    worker = pair.gateway.worker
    raw = await begin(pair, "chat", "first-chat")
    await waiting(pair, first)
    for server in worker._servers:
        assert server is server_of(pair.gateway)
    stopping = asyncio.ensure_future(server_of(pair.gateway).drain(3.0 if patient else 0.1, 1.0))
    async with raw:
        answer = await raw.response(5.0)
    await stopping
    outcome = await pair.gateway.last()
    if patient:
        assert (answer.status, meta(answer)[2]) == (200, "2")
        assert text_in("chat", answer.json()) == WORDS
    else:
        assert (answer.status, outcome.error_code) == (503, "overloaded")
        assert outcome.attempts == 1
        assert [attempt.status for attempt in outcome.failed or ()] == [500]
    await settled(lambda: pair.in_flight == 0)


async def test_a_reload_during_a_pause_changes_nothing_for_the_request(
    play: Play, launch: Launch
) -> None:
    first = await play(busy("chat", "0.3"), default=well("chat", False))
    retry = RetrySettings(attempts=1, backoff=0.0)
    pair = await Pair.start(launch, first.url, await play(), first_retry=retry)
    raw = await begin(pair, "chat", "first-chat")
    await waiting(pair, first)
    worker = pair.gateway.worker
    worker.reload(worker.settings)
    async with raw:
        answer = await raw.response(5.0)
    assert (answer.status, meta(answer)[2]) == (200, "2")
    await nothing_left(pair)


# -- many at once ---------------------------------------------------------------------------------


async def test_no_answer_is_crossed_and_nothing_is_left_behind(
    demo: RunningDemo, play: Play, launch: Launch
) -> None:
    """A crowd on every lane, streamed and not, while the first target fails in one way or other."""
    endings: list[Script] = [
        [expect(), send(http_json(503, TONGUES["chat"].refusal))],
        [expect(), fin()],
        [expect(), send(http_head(200, STREAM) + chunk(b": hi\n\n")), rst()],
        [expect(), send(http_json(200, {"error": {"message": "busy", "code": 503}}))],
    ]
    first = await play(*(endings * 24), default=endings[0])
    pair = await Pair.start(launch, first.url, demo, health=NEVER)
    sent = 0

    async def one(number: int, client: str, upstream: str) -> None:
        stream = number % 2 == 0
        mark = f"answer-{number}-of-{client}"
        more = {"store": False} if client == "responses" else {}
        body = ask(client, f"[[demo text={mark}]]", model=upstream, stream=stream, **more)
        async with await RawClient.connect(pair.gateway.port) as raw:
            for _ in range(2):  # on one connection
                await raw.request("POST", PATHS[client], body, KEY)
                answer = await raw.response(20.0)
                assert (answer.status, answer.ended) == (200, True), answer.body
                assert meta(answer)[0] == "second"
                found = text_of(client, answer) if stream else text_in(client, answer.json())
                assert found == mark

    jobs = [one(number, *LANES[number % len(LANES)]) for number in range(48)]
    sent = 2 * len(jobs)
    await asyncio.gather(*jobs)
    outcomes = pair.gateway.outcomes
    await settled(lambda: len(outcomes) == sent)
    for each in outcomes:
        assert (each.verdict, each.attempts) == ("ok", len(each.failed or ()) + 1)
        assert each.attempts >= 2
        assert each.usage is not None
    assert len({each.request_id for each in outcomes}) == sent
    tried = pair.gateway.sample("portico_upstream_attempts_total")
    assert tried == sum(each.attempts for each in outcomes)
    await nothing_left(pair)
