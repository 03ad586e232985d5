"""A gateway that is stopped, killed, or reconfigured under load (B10, B11, B12)."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from tests.abuse.attackers import crowd
from tests.abuse.harness import KEY, LANES, SPLICE, Case, Lane, Stage, body, profiles
from tests.abuse.official import check_stream
from tests.abuse.process import Process
from tests.abuse.provider import Heard as Asked
from tests.abuse.speech import told
from tests.faults.streams import TERMINAL
from tests.support.asks import PATHS
from tests.support.raw import RawClient, RawResponse
from tests.support.steps import Script, hang
from tests.support.steps import sleep as pause

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def alone(stage: Stage, tmp_path: Path) -> AsyncIterator[Process]:
    """A gateway of the test's own, before the stage's providers."""
    drain = {"drainDelay": "300ms", "drain": "1s", "idle": "60s", "firstByte": "60s"}
    document = stage.document(deadlines=drain)
    document["config"]["database"]["url"] = f"sqlite:///{tmp_path}/own.db"
    process = await Process.start(tmp_path, document)
    yield process
    await process.kill()


# -- stopping -------------------------------------------------------------------------------------


async def _asked(process: Process, lane: Lane, play: str, words: str) -> RawClient:
    client = await RawClient.connect(process.port)
    await client.request("POST", PATHS[lane.client], body(lane, play, words, True, {}), KEY)
    return client


async def _stopped_accepting(process: Process) -> float:
    """When (`perf_counter`) a new connection is refused."""
    while True:
        try:
            (await RawClient.connect(process.port)).close()
        except ConnectionError:
            return time.perf_counter()
        await asyncio.sleep(0.01)


async def _unready(process: Process) -> float:
    """When the gateway says that it wants no more traffic."""
    while (await process.page("/healthz/ready")).status == 200:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return time.perf_counter()


@profiles
async def test_b10_on_the_way_down_what_ends_in_time_is_whole_and_the_rest_is_told(
    stage: Stage, full: bool, alone: Process
) -> None:
    count, ending, patience, slack = (100, 30, 6.0, 1.2) if full else (12, 4, 1.0, 2.0)
    if full:
        document = stage.document(
            deadlines={"drainDelay": "1s", "drain": "6s", "idle": "60s", "firstByte": "60s"}
        )
        document["config"]["database"]["url"] = f"sqlite:///{alone.folder}/own.db"
        await alone.reload(document)

    def ends(asked: Asked) -> Script:
        head, *rest = told([*asked.speech.opening, *asked.speech.closing])
        return [head, rest[0], pause(5.0 if full else 0.6), rest[1:]]

    stage.provider.plays["ends"] = ends
    stage.provider.plays["stalls"] = lambda asked: [*told(asked.speech.opening, end=False), hang()]
    plays = ["ends"] * ending + ["stalls"] * (count - ending)
    lanes = [LANES[number % len(LANES)] for number in range(count)]
    clients = [
        await _asked(alone, lane, play, f"drains {number}")
        for number, (lane, play) in enumerate(zip(lanes, plays, strict=True))
    ]
    async with asyncio.timeout(10):
        while stage.provider.busy < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    start = time.perf_counter()
    alone.signal(signal.SIGTERM)
    answers = asyncio.gather(*(client.response(patience + 5.0) for client in clients))
    unready, refused = await asyncio.gather(_unready(alone), _stopped_accepting(alone))
    found: list[RawResponse] = await answers
    took = time.perf_counter() - start
    code = await alone.exit(10.0)
    for client in clients:
        client.close()
    print(f"B10: unready {(unready - start) * 1000:.0f} ms, refused {refused - start:.2f} s, "
          f"cut {took:.2f} s, exit {code}")  # fmt: skip
    assert code == 0
    assert unready - start <= (0.1 if full else 1.0)
    assert refused - start >= (1.0 if full else 0.3) - 0.05, "the load balancer has time to look"
    assert patience - 0.05 <= took <= patience + (1.0 if full else 0.3) + slack
    _check_drained(alone, lanes, plays, found)
    assert stage.provider.busy == 0


def _check_drained(
    process: Process, lanes: list[Lane], plays: list[str], answers: list[RawResponse]
) -> None:
    for lane, play, answer in zip(lanes, plays, answers, strict=True):
        assert answer.ended == (play == "ends"), (lane, play, answer)
        assert check_stream(lane.client, answer) == (play == "ends")
        if play != "ends":
            assert b'"error"' in answer.body
            assert not [mark for mark in TERMINAL[lane.client] if mark in answer.body]
    lines = process.lines()
    ids = [answer.header("x-request-id") for answer in answers]
    assert sorted(line["request_id"] for line in lines) == sorted(map(str, ids))
    verdicts = [line["verdict"] for line in lines]
    assert verdicts.count("ok") == plays.count("ends")
    assert verdicts.count("truncated") == plays.count("stalls")


# -- killing --------------------------------------------------------------------------------------


async def _kept(process: Process, id: str) -> RawResponse:
    async with await RawClient.connect(process.port) as client:
        await client.request("GET", f"/v1/responses/{id}", None, KEY)
        return await client.response(10.0)


@profiles
async def test_b11_what_was_acknowledged_survives_a_kill(
    stage: Stage, full: bool, alone: Process
) -> None:
    """SIGKILL in the middle of a load of stored responses, spliced and translated."""
    rounds, workers, seconds = (10, 16, 1.0) if full else (1, 6, 0.4)
    acknowledged: dict[str, str] = {}
    lanes = [lane for lane in LANES if lane.client == "responses"]
    process = alone

    async def keep_asking(number: int) -> None:
        at = 0
        while True:
            at += 1
            words = f"kept {round_} {number} {at}."
            lane, stream = lanes[at % len(lanes)], at % 3 == 0
            try:
                async with await RawClient.connect(process.port) as client:
                    asked = body(lane, "well", words, stream, {})
                    await client.request("POST", PATHS[lane.client], asked, KEY)
                    answer = await client.response(10.0)
            except (OSError, AssertionError):
                return
            if not answer.ended:
                return
            assert answer.status == 200, answer
            last = answer.json() if not stream else _completed(answer)
            acknowledged[last["id"]] = words

    for round_ in range(rounds):  # noqa: B007 - the load says it
        load = [asyncio.ensure_future(keep_asking(number)) for number in range(workers)]
        await asyncio.sleep(seconds)
        await process.kill()
        await asyncio.gather(*load)
        process = await Process.start(alone.folder, _as_before(alone))
    try:
        assert len(acknowledged) > workers
        ids = list(acknowledged)
        found = await crowd(len(ids), lambda at: _kept(process, ids[at]), 16)
        for id, answer in zip(ids, found, strict=True):
            assert answer.status == 200, (id, answer)
            assert acknowledged[id].encode() in answer.body
            assert answer.json()["status"] == "completed"
        print(f"B11: {len(ids)} acknowledged over {rounds} kills, all there")
    finally:
        await process.kill()


def _completed(answer: RawResponse) -> dict[str, str]:
    lines = [line for line in answer.data_lines() if line != b"[DONE]"]
    response: dict[str, str] = json.loads(lines[-1])["response"]
    return response


def _as_before(process: Process) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load((process.folder / "gateway.yaml").read_text())
    return document


# -- reloading ------------------------------------------------------------------------------------

_INVALID = (
    "llm: {models: [}",
    "llm: {models: []}\nnonsense: 1\n",
    "config: {limits: {bodyBytes: -1}}\n",
    "llm: {models: [{name: x, provider: nobody}]}\n",
)


@profiles
async def test_b12_reloads_under_load_fail_no_request(stage: Stage, full: bool) -> None:
    reloads, bad = (100, 10) if full else (6, 1)
    over = asyncio.Event()

    async def load(case: Case, number: int) -> int:
        done = 0
        while not over.is_set():
            lane = LANES[(number + done) % len(LANES)]
            words = f"reloaded {number} {done}."
            heard = await case.ask(lane, words=words, stream=done % 2 == 1, parse=False)
            assert (heard.answer.status, heard.answer.ended) == (200, True), heard
            assert words.encode() in heard.answer.body
            done += 1
        return done

    gateway = stage.gateway
    async with stage.case("B12 reloads", full=full) as case:
        loads = [asyncio.ensure_future(load(case, number)) for number in range(8 if full else 3)]
        for number in range(reloads):
            if number % (reloads // bad) == 1:
                await gateway.reload(_INVALID[number % len(_INVALID)], good=False)
                assert await gateway.sample("portico_config_last_reload_successful") == 0
            else:
                limits = {"pipelinedRequests": 10 + number}
                await gateway.reload(stage.document(limits=limits))
                assert await gateway.sample("portico_config_last_reload_successful") == 1
        over.set()
        done = sum(await asyncio.gather(*loads))
        await gateway.reload(stage.document())
    print(f"B12: {reloads} reloads, {done} requests; {case.probes}")
    # at least: the file is watched as well, and may be read once more without a signal
    assert case.grew("portico_config_reload_total", result="failure") >= bad
    assert case.grew("portico_config_reload_total", result="success") >= reloads - bad + 1
    assert {line["verdict"] for line in case.lines} == {"ok"}
    assert len(SPLICE) < done
