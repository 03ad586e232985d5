"""What is remembered after another target took over: once, where it was made, and nothing else."""

import asyncio
import json
from itertools import count
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.faults.conftest import quiet, settled
from tests.faults.tongues import TONGUES, WORDS, told
from tests.support.asks import ask
from tests.support.failover import KEY, Pair, meta
from tests.support.raw import RawClient, RawResponse
from tests.support.sessions import Talk
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    expect,
    fin,
    hang,
    http_json,
    send,
)

from portico.config.settings import RetrySettings
from portico.model.outcome import Outcome
from portico.state.records import Record, tenant_key

UPSTREAMS = ("responses", "chat")
"""Spliced and translated, for a client of the Responses API."""
both = pytest.mark.parametrize("upstream", UPSTREAMS)
_ids = count(1)


def good(upstream: str, stream: bool) -> Script:
    """An answer with an id of its own."""
    name = f"resp_{next(_ids):032d}"
    if not stream:
        whole = {**TONGUES[upstream].whole}
        whole["id"] = name
        return [expect(), send(http_json(200, whole))]
    frames = [frame.replace(b"resp_1", name.encode()) for frame in TONGUES[upstream].stream]
    return [expect(), *told(upstream, frames)]


def _last(answer: RawResponse) -> Any:
    return json.loads([line for line in answer.data_lines() if line != b"[DONE]"][-1])


def failures(upstream: str, stream: bool) -> list[Script]:
    """An error, and an answer that had begun and is cut."""
    tongue = TONGUES[upstream]
    busy: Script = [expect(), send(http_json(503, tongue.refusal))]
    if stream:
        return [busy, [expect(), *told(upstream, tongue.opening[:1], end=False), fin()]]
    half = json.dumps(tongue.whole).encode()[:-20]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n"
    return [busy, [expect(), send(head + half), fin()]]


class World:
    """Two targets; every record that there is."""

    def __init__(self, pair: Pair, first: ScriptedUpstream, second: ScriptedUpstream) -> None:
        self.pair = pair
        self.first = first
        self.second = second
        self.gateway = pair.gateway
        self.store = pair.gateway.worker.gateway.state.store

    @classmethod
    async def start(cls, launch: Launch, play: Play) -> "World":
        first, second = await play(), await play()
        return cls(await Pair.start(launch, first.url, second), first, second)

    @property
    def tenant(self) -> bytes:
        keys = self.gateway.worker.snapshot.fronts[0].routes[0].keys
        assert keys is not None
        (found,) = keys._callers.values()
        return tenant_key(found.tenant)

    async def record(self, name: str) -> Record:
        found = await self.store.get(self.tenant, name, 0.0)
        assert found is not None
        return found

    def origin(self, name: str) -> str:
        """Of a model's target."""
        backends = self.gateway.worker.snapshot.backends
        target = next(each for each in backends if each.name == name).credentials[0].target
        return str(target.origin)

    @property
    def runs(self) -> list[Outcome]:
        """Records of background runs."""
        return [o for o in self.gateway.outcomes if o.endpoint.endswith("(background)")]

    async def rows(self) -> int:
        """How many responses are stored."""

        def count_(db: Any) -> int:
            return int(db.execute("SELECT count(*) FROM responses").fetchone()[0])

        return int(await self.store._read(count_))

    async def raw(self, method: str, path: str, body: dict[str, Any] | None = None) -> RawResponse:
        async with await RawClient.connect(self.gateway.port) as client:
            await client.request(method, path, body, KEY)
            return await client.response(10.0)


@both
@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_stored_once_and_says_where_it_was_made(
    stream: bool, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    ids = []
    for number, failing in enumerate(failures(upstream, stream), 1):
        world.first.add(failing)
        world.second.add(good(upstream, stream))
        answer, outcome = await world.pair.ask("responses", upstream, stream=stream, store=True)
        assert (answer.status, meta(answer)[2]) == (200, "2"), answer.body
        told_ = _last(answer)["response"] if stream else answer.json()
        record = await world.record(told_["id"])
        ids.append(told_["id"])
        assert record.origin == world.origin(f"second-{upstream}")
        assert (record.status, record.parent) == ("completed", None)
        assert json.loads(record.input) == [{"role": "user", "content": "Hello"}]
        assert await world.rows() == number
        assert (await world.raw("GET", f"/v1/responses/{told_['id']}")).json()["id"] == told_["id"]
        assert outcome.usage.output_total == 5
    # The next turn, at the target that failed before and knows nothing of it.
    world.first.add(good(upstream, stream))
    answer, _ = await world.pair.ask(
        "responses", f"first-{upstream}", stream=stream, previous_response_id=ids[0], store=True
    )
    assert answer.status == 200
    assert WORDS in json.dumps(world.first.requests[-1].json(), ensure_ascii=False)


@both
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_failed_everywhere_leaves_nothing_behind(
    stream: bool, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    for place in (world.first, world.second):
        for _ in range(3):
            place.add(*failures(upstream, stream))
    answer, _ = await world.pair.ask("responses", upstream, stream=stream, store=True)
    assert answer.status in (502, 503)
    assert await world.rows() == 0
    await settled(lambda: quiet(world.gateway))
    assert world.gateway.worker.gateway.inflated == 0


@both
@pytest.mark.parametrize("stream", [False, True])
async def test_a_turn_of_a_conversation_is_told_once(
    stream: bool, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    made = await world.raw("POST", "/v1/conversations", {})
    name = made.json()["id"]
    for failing in failures(upstream, stream):
        world.first.add(failing)
        world.second.add(good(upstream, stream))
        answer, _ = await world.pair.ask(
            "responses", upstream, stream=stream, conversation=name, store=True
        )
        assert (answer.status, meta(answer)[2]) == (200, "2"), answer.body
    items = (await world.raw("GET", f"/v1/conversations/{name}/items?order=asc")).json()["data"]
    assert [item["role"] for item in items] == ["user", "assistant"] * 2
    # What the second target saw of the second turn: everything once.
    sent = world.second.requests[-1].json()
    said = sent["input"] if upstream == "responses" else sent["messages"]
    assert [item["role"] for item in said] == ["user", "assistant", "user"]
    assert world.gateway.worker.gateway.inflated == 0


# -- background -----------------------------------------------------------------------------------


async def _ended(world: World, name: str) -> Any:
    async with asyncio.timeout(8):
        while True:
            found = (await world.raw("GET", f"/v1/responses/{name}")).json()
            if found["status"] not in ("queued", "in_progress"):
                return found
            await asyncio.sleep(0.02)


@both
@pytest.mark.parametrize("stream", [False, True])
async def test_a_background_run_fails_over(
    stream: bool, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    for number, failing in enumerate(failures(upstream, True), 1):
        world.first.add(failing)
        world.second.add(good(upstream, True))
        answer, _ = await world.pair.ask(
            "responses", upstream, stream=stream, store=True, background=True
        )
        assert answer.status == 200
        if stream:
            events = [json.loads(line) for line in answer.data_lines() if line != b"[DONE]"]
            assert [each["sequence_number"] for each in events] == list(range(len(events)))
            kinds = [each["type"] for each in events]
            assert kinds.count("response.created") == kinds.count("response.completed") == 1
            assert [each["delta"] for each in events if each["type"].endswith("text.delta")]
            name = events[0]["response"]["id"]
        else:
            name = answer.json()["id"]
        found = await _ended(world, name)
        assert found["status"] == "completed", found
        assert (found["background"], found["store"]) == (True, True)
        assert found["output"][-1]["content"][0]["text"] == WORDS
        record = await world.record(name)
        assert record.origin == world.origin(f"second-{upstream}")
        assert await world.rows() == number
        await settled(lambda: len(world.runs) == number)  # noqa: B023
        run = world.runs[-1]
        assert (run.attempts, run.provider, run.verdict) == (2, "second", "ok")
        assert [attempt.provider for attempt in run.failed or ()] == ["first"]
        assert run.usage is not None
        assert run.usage.output_total == 5
    assert world.pair.in_flight == 0
    assert world.gateway.worker.gateway.inflated == 0
    assert not world.gateway.worker.gateway.state.runs.any


@both
async def test_a_background_run_that_nobody_can_do_has_failed(
    upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    busy: Script = [expect(), send(http_json(503, TONGUES[upstream].refusal))]
    world.first.default = world.second.default = busy
    answer, _ = await world.pair.ask("responses", upstream, store=True, background=True)
    found = await _ended(world, answer.json()["id"])
    assert found["status"] == "failed"
    assert found["error"]["message"]
    await settled(lambda: len(world.runs) == 1)
    run = world.runs[-1]
    assert (run.attempts, run.verdict, len(run.failed or ())) == (3, "upstream_error", 2)
    assert world.pair.in_flight == 0


async def test_a_background_run_that_is_cancelled_in_its_second_try_stops_it(
    play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    world.first.default = [expect(), send(http_json(503, TONGUES["responses"].refusal))]
    world.second.default = [expect(), hang()]
    answer, _ = await world.pair.ask("responses", "responses", store=True, background=True)
    await world.second.wait_requests(1)
    name = answer.json()["id"]
    cancelled = (await world.raw("POST", f"/v1/responses/{name}/cancel", {})).json()
    assert cancelled["status"] == "cancelled"
    await world.second.wait_closed()
    await settled(lambda: world.pair.in_flight == 0)


@pytest.mark.parametrize("end", ["cancelled", "stopped"])
async def test_a_background_run_that_waits_for_its_next_try_can_be_ended(
    end: str, play: Play, launch: Launch
) -> None:
    first, second = await play(), await play()
    patient = RetrySettings(backoff=0.0, max_backoff=30.0)
    pair = await Pair.start(launch, first.url, second, first_retry=patient)
    world = World(pair, first, second)
    refusal = http_json(503, TONGUES["chat"].refusal, {"retry-after": "9"})
    first.default = [expect(), send(refusal)]
    answer, _ = await pair.ask("responses", "first-chat", store=True, background=True)
    await first.wait_requests(1)
    await settled(lambda: pair.in_flight == 0)
    if end == "cancelled":
        name = answer.json()["id"]
        found = (await world.raw("POST", f"/v1/responses/{name}/cancel", {})).json()
        assert found["status"] == "cancelled"
    else:
        await pair.gateway.worker.stop()
    await settled(lambda: len(world.runs) == 1)
    run = world.runs[0]
    assert (run.attempts, len(run.failed or ()), run.error_code) == (1, 1, "cancelled")
    assert (len(first.requests), pair.in_flight) == (1, 0)


async def test_a_run_that_is_followed_is_one_request_at_its_target(
    play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    world.first.default = [expect(), *told("chat", TONGUES["chat"].opening, end=False), hang()]
    async with await RawClient.connect(world.gateway.port) as raw:
        body = ask("responses", model="chat", stream=True, background=True)
        await raw.request("POST", "/v1/responses", body, KEY)
        await asyncio.wait_for(raw.head(), 5)
        await world.first.wait_requests(1)
        await settled(lambda: world.pair.in_flight == 1)
        await asyncio.sleep(0.05)
        assert world.pair.in_flight == 1
    await asyncio.sleep(0.05)
    assert world.pair.in_flight == 1, "it goes on without its follower"
    await world.gateway.worker.stop()
    assert world.pair.in_flight == 0


# -- websockets -----------------------------------------------------------------------------------


@both
async def test_a_request_on_a_websocket_fails_over(
    upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    async with Talk.to(world.gateway) as talk:
        for failing in failures(upstream, True):
            world.first.add(failing)
            world.second.add(good(upstream, True))
            said = await talk.ask(upstream)
            assert said.text == WORDS, said.last
            assert said.kinds.count("response.created") == 1
        # What was made at the second is continued there, as long as it is well.
        world.second.add(good(upstream, True))
        said = await talk.ask(upstream, "more", previous_response_id=said.id)
        assert said.text == WORDS, said.last
        outcomes = world.gateway.outcomes
        assert [outcome.attempts for outcome in outcomes] == [2, 2, 1]
        assert {outcome.provider for outcome in outcomes} == {"second"}
        sent = world.second.requests[-1].json()
        messages = sent["input"] if upstream == "responses" else sent["messages"]
        assert [item["role"] for item in messages] == ["user", "assistant", "user"]
        # Where it is not, the first gets it all.
        world.second.add(failures(upstream, True)[1])
        world.first.add(good(upstream, True))
        said = await talk.ask(upstream, "still", previous_response_id=said.id)
        assert said.text == WORDS, said.last
        sent = world.first.requests[-1].json()
        messages = sent["input"] if upstream == "responses" else sent["messages"]
        assert [item["role"] for item in messages] == ["user", "assistant"] * 2 + ["user"]
        # An error comes when nobody can, and the connection goes on.
        world.first.add(*failures(upstream, True))
        world.second.add(failures(upstream, True)[0])
        refused = await talk.ask(upstream)
        assert refused.refused[0] == 502
        world.first.add(good(upstream, True))
        assert (await talk.ask(upstream)).text == WORDS
    assert await world.rows() == 0
    assert world.pair.in_flight == 0
    assert world.gateway.worker.gateway.inflated == 0


async def test_a_websocket_that_closes_in_the_second_try_stops_it(
    play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    world.first.add(*failures("chat", True))
    world.second.default = [expect(), hang()]
    async with Talk.to(world.gateway) as talk:
        await talk.say("chat")
        await world.second.wait_requests(1)
    await world.second.wait_closed(1.0)
    outcome = await world.gateway.last()
    assert (outcome.verdict, outcome.attempts) == ("client_cancelled", 2)
    await settled(lambda: world.pair.in_flight == 0)
