"""Clients that leave, come in crowds, close one side, or talk ahead (B1, B6, B7, B8)."""

import asyncio
import time

import pytest
from tests.abuse.attackers import connections, crowd, leave, storm
from tests.abuse.harness import (
    KEY,
    LANES,
    SPLICE,
    Case,
    Lane,
    Stage,
    body,
    profiles,
)
from tests.abuse.oracles import changes
from tests.abuse.provider import Heard as Asked
from tests.abuse.speech import told
from tests.support.asks import PATHS
from tests.support.raw import RawClient
from tests.support.steps import Script, chunk, hang, http_head, send
from tests.support.steps import sleep as pause

pytestmark = pytest.mark.asyncio(loop_scope="session")

_HALF = http_head(200, {"content-type": "application/json", "content-length": "5000"})


def _steady(asked: Asked) -> Script:
    text = send(chunk(asked.speech.opening[-1]))
    return [*told(asked.speech.opening, end=False), *[[pause(0.02), text] for _ in range(2000)]]


_WHEN = {
    "before the first byte": lambda asked: [hang()],
    "mid-stream": lambda asked: [*told(asked.speech.opening, end=False), hang()],
    "streaming on": _steady,
    "mid-body": lambda asked: [send(_HALF + b'{"id":' + b" " * 2000), hang()],
}


async def _leaving(case: Case, lane: Lane, when: str, number: int) -> float:
    """Ask, leave, and return how long the provider kept working for nobody."""
    provider, words = case.stage.provider, f"leaves {lane} {when} {number}"
    stream = when in ("mid-stream", "streaming on") or number % 2 == 1
    client = await case.begin(lane, when, words, stream=stream)
    if "stream" in when:
        assert (await asyncio.wait_for(client.head(), 10)).status == 200
        await client.read(1 << 16)
    else:
        async with asyncio.timeout(10):
            while not any(words.encode() in each.body for each in provider.requests[-300:]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    left = time.perf_counter()
    leave(client, "rst" if number % 3 else "fin")
    async with asyncio.timeout(5):
        while words not in provider.left:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    return provider.left[words] - left


@profiles
async def test_b1_a_client_that_leaves_stops_the_meter(stage: Stage, full: bool) -> None:
    stage.provider.plays.update(_WHEN)
    stage.provider.requests.clear()
    times: list[float] = []
    seconds = {"firstByte": "20s", "idle": "20s"}
    async with (
        stage.configured(deadlines=seconds),
        stage.case("B1 disconnects", full=full) as case,
    ):
        for number in range(50 if full else 2):
            for when in _WHEN:
                times += await asyncio.gather(*(_leaving(case, lane, when, number)
                                                for lane in LANES))  # fmt: skip
    times.sort()
    p90, p99 = times[int(len(times) * 0.9)], times[int(len(times) * 0.99)]
    print(f"B1: {len(times)} left, p90 {p90 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms; {case.probes}")
    if full:
        assert (p90 <= 0.3, p99 <= 0.5) == (True, True), times[-20:]
    else:
        assert times[-1] <= 1.5, times
    assert len(case.lines) == len(times)
    for line in case.lines:
        assert line["verdict"] == "client_cancelled", line
        assert line["status"] in (200, 499), line
    assert case.grew("portico_client_cancelled_total") == len(times)
    assert [line for line in case.lines if "tokens" in line], "partial usage is recorded"


@profiles
async def test_b6_crowds_and_storms_of_connections_leave_nothing_behind(
    stage: Stage, full: bool
) -> None:
    idle, times = (2000, 5000) if full else (200, 300)
    port = stage.gateway.port
    async with stage.case("B6 idle crowd and storm", full=full, spare=20 << 20) as case:
        case.keep(await connections(port, idle))
        async with asyncio.timeout(20):  # connecting ends before accepting begins
            while await stage.gateway.sample("portico_connections_open") < idle:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        done = await storm(port, times, 10.0)
        half = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n"
        done += await storm(port, times // 4, 5.0, half)
        answers = await asyncio.gather(*(case.ask(lane) for lane in LANES))
        assert [heard.answer.status for heard in answers] == [200] * len(LANES)
    print(f"B6: {idle} idle, {done} in storms; {case.probes}")
    assert changes(case.before.page, case.page, "portico_connections_total") >= idle + done


@profiles
async def test_b7_a_client_that_has_only_finished_sending_gets_its_answer(
    stage: Stage, full: bool
) -> None:
    def late(asked: Asked) -> Script:
        if not asked.stream:
            return [pause(0.2), *asked.speech.answer()]
        frames = [*asked.speech.opening, *asked.speech.closing]
        head, *rest = told(frames)
        return [pause(0.05), head, *[[pause(0.02), each] for each in rest]]

    stage.provider.plays["late"] = late

    async def half_closed(lane: Lane, stream: bool, number: int) -> None:
        words = f"half closed {number}"
        async with await case.begin(lane, "late", words, stream=stream) as client:
            client.half_close()
            answer = await client.response(10.0)
            assert (answer.status, answer.ended) == (200, True), answer
            assert words.encode() in answer.body
            assert await client.read(1) == b""

    async with stage.case("B7 half close", full=full) as case:
        await asyncio.gather(*(half_closed(lane, stream, number)
                               for lane in LANES for stream in (False, True)
                               for number in range(10 if full else 1)))  # fmt: skip
    assert {line["verdict"] for line in case.lines} == {"ok"}


@profiles
async def test_b8_pipelined_requests_are_answered_in_order_and_never_crossed(
    stage: Stage, full: bool
) -> None:
    """Twenty on each connection, odd ones slow; other connections do the same meanwhile."""

    def uneven(asked: Asked) -> Script:
        return [pause(0.02 * (len(asked.words) % 3)), asked.well()]

    stage.provider.plays["uneven"] = uneven

    async def pipeline(number: int) -> int:
        lane = (*SPLICE, *LANES[3:])[number % len(LANES)]
        async with await RawClient.connect(stage.gateway.port) as client:
            words = [f"pipe {number} {'x' * at} {at}." for at in range(20)]
            case.expect(20)
            for at, each in enumerate(words):
                asked = body(lane, "uneven", each, at % 4 == 3, {})
                await client.request("POST", PATHS[lane.client], asked, KEY)
            for each in words:
                answer = await client.response(20.0)
                assert (answer.status, answer.ended) == (200, True), answer
                assert each.encode() in answer.body
                assert answer.body.count(b"pipe ") == answer.body.count(each.encode())
            return len(words)

    async with stage.case("B8 pipelining", full=full) as case:
        answered = await crowd(60 if full else 12, pipeline)
    assert set(answered) == {20}
