"""Several gateways, one database: what one of them works on is seen and stopped from the others."""

import asyncio
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.support import replicas as support
from tests.support.replicas import (
    LANES,
    LEASE,
    LIVE,
    OVER,
    RENEW,
    SPLICE,
    TRANSLATE,
    Replica,
    Replicas,
    each,
    numbers,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

replicas = support.replicas
postgres = support.postgres
postgres_url = support.postgres_url
database = support.database
redis = support.redis

Pair = tuple[Replica, Replica]
TIMES = (LEASE, RENEW)
HUNG_UP = 30.0
"""Seconds, for a machine that does many things. It takes a moment where the run says something,
else a second or so."""
ROUNDS = 24

each_lane = pytest.mark.parametrize("lane", LANES)


@pytest.fixture(params=["workers-sqlite", "postgres", "postgres-redis"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str | None]:
    """The URL of a database, and that of a Redis if there is one."""
    if request.param == "workers-sqlite":
        return f"sqlite:///{tmp_path}/state.db", None
    found = request.getfixturevalue("redis").url if request.param.endswith("redis") else None
    return request.getfixturevalue("postgres_url"), found


@pytest.fixture
async def pair(replicas: Replicas, shared: tuple[str, str | None]) -> Pair:
    """Two processes that share a database: two workers of a gateway, or two gateways."""
    url, redis = shared
    if url.startswith("sqlite"):
        one, other = (await replicas.serve(url, workers=2)).workers
        return one, other
    start = [replicas.serve(url, lease=TIMES, redis=redis) for _ in range(2)]
    one, other = await asyncio.gather(*start)
    return one, other


# following


async def test_a_run_of_one_is_polled_and_streamed_live_from_the_other(
    replicas: Replicas, pair: Pair
) -> None:
    await asyncio.gather(*[_followed(replicas, pair, lane) for lane in LANES])


async def _followed(replicas: Replicas, pair: Pair, lane: str) -> None:
    here, there = pair
    words = f"live in {lane}"
    own = await here.stream(lane, f"[[demo tokens=30 delay=0.1]] {words}", background=True)
    seen = await own.some(1)
    id = seen[0]["response"]["id"]
    abroad = await there.follow(id)
    live = await abroad.some(12)
    heard = await replicas.call(words)
    assert not heard.over.is_set(), "events come while it runs"
    assert (await there.get(id))["status"] == "in_progress"
    abroad.close()  # dropped, and taken up here and there
    rest = await (await there.follow(id, 11)).events()
    seen += await own.events()
    assert live + rest == seen
    assert numbers(seen) == list(range(len(seen)))
    assert [e["type"] for e in seen if e["type"] in OVER] == ["response.completed"]
    for one in pair:
        assert await (await one.follow(id)).events() == seen
        assert await one.get(id) == seen[-1]["response"]


async def test_the_latest_of_a_run_of_another_is_polled_while_it_runs(pair: Pair) -> None:
    await asyncio.gather(*[_polled(pair, lane) for lane in LANES])


async def _polled(pair: Pair, lane: str) -> None:
    here, there = pair
    made = await here.create(lane, "[[demo first_delay=1 text=done]] poll", background=True)
    assert (await there.get(made["id"]))["status"] in LIVE
    status, body = await there.json(
        "POST", "/v1/responses",
        {"model": lane, "input": "go on", "previous_response_id": made["id"]},
    )  # fmt: skip
    assert (status, body["error"]["code"]) == (400, "response_in_progress")
    done = await there.ended(made["id"])
    assert (done["status"], done) == ("completed", await here.get(made["id"]))
    more = await there.create(lane, "go on", previous_response_id=made["id"])
    assert more["status"] == "completed"


# cancelling


ORDERS = ("tokens=2000 delay=0.02", "first_delay=300")
"""Of a provider that says something all the time, and of one that is silent."""


async def test_cancelling_elsewhere_hangs_up_on_the_provider(
    replicas: Replicas, pair: Pair
) -> None:
    cases = itertools.product(LANES, ORDERS, (True, False))
    await asyncio.gather(*[_cancelled(replicas, pair, *case) for case in cases])


async def _cancelled(replicas: Replicas, pair: Pair, lane: str, order: str, stream: bool) -> None:
    here, there = pair
    words = f"cancel [{lane}, {order}, {stream}]"
    said = f"[[demo {order}]] {words}"
    own, first = None, []
    if stream:
        own = await here.stream(lane, said, background=True)
        first = await own.some(1)
        id = first[0]["response"]["id"]
    else:
        id = (await here.create(lane, said, background=True))["id"]
    heard = await replicas.call(words)
    await asyncio.sleep(0.2)
    status, cancelled = await there.json("POST", f"/v1/responses/{id}/cancel")
    assert (status, cancelled["status"]) == (200, "cancelled")
    assert await here.get(id) == cancelled
    assert await there.json("POST", f"/v1/responses/{id}/cancel") == (200, cancelled)
    async with asyncio.timeout(HUNG_UP):
        await heard.over.wait()
    assert heard.cancelled
    if own is not None:
        seen = [*first, *await own.events()]
        assert seen[-1]["type"] == "response.incomplete"
        assert seen[-1]["response"] == cancelled
        assert numbers(seen) == list(range(len(seen)))
        assert await (await there.follow(id)).events() == seen
    assert await here.get(id) == cancelled


@each_lane
async def test_when_cancelling_meets_the_end_one_of_them_wins_everywhere(
    pair: Pair, lane: str
) -> None:
    here, there = pair
    status, conversation = await here.json("POST", "/v1/conversations", {})
    assert status == 200

    async def race(number: int) -> str:
        words = f"race {number}"
        said = f"[[demo first_delay=0.3 text=done {number}]] {words}"
        more: dict[str, Any] = {"background": True, "conversation": conversation["id"]}
        own, first = None, []
        if number % 2:
            own = await here.stream(lane, said, **more)
            first = await own.some(1)
            id = first[0]["response"]["id"]
        else:
            id = (await here.create(lane, said, **more))["id"]
        await asyncio.sleep(random.uniform(0.2, 0.5))
        status, told = await there.json("POST", f"/v1/responses/{id}/cancel")
        assert status == 200
        assert told["status"] in ("cancelled", "completed")
        for one in pair:
            assert await one.get(id) == told
        if own is not None:
            seen = [*first, *await own.events()]
            assert seen[-1]["response"] == told
            assert numbers(seen) == list(range(len(seen)))
            assert [event["type"] in OVER for event in seen].count(True) == 1
            for one in pair:
                assert await (await one.follow(id)).events() == seen
        return f"{told['status']} {number}"

    ends = await each(range(ROUNDS), race, 8)
    completed = {end.split()[1] for end in ends if end.startswith("completed")}
    items = await _items(there, conversation["id"])
    answers = {each["content"][0]["text"] for each in items if each["role"] == "assistant"}
    assert answers == {f"done {number}" for number in completed}
    assert len(items) == 2 * len(completed)


# writing to one place


async def _items(replica: Replica, conversation: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more = ""
    while True:
        path = f"/v1/conversations/{conversation}/items?order=asc&limit=100{more}"
        status, page = await replica.json("GET", path)
        assert status == 200, page
        found += page["data"]
        if not page["has_more"]:
            return found
        more = f"&after={page['last_id']}"


async def test_two_replicas_write_to_one_conversation_and_keep_turns_whole(pair: Pair) -> None:
    status, conversation = await pair[0].json("POST", "/v1/conversations", {})
    assert status == 200
    more = {"conversation": conversation["id"], "background": False}

    async def turn(number: int) -> str:
        said = [
            {"role": "user", "content": f"note {number}"},
            {"role": "user", "content": f"[[demo text=answer {number}]] ask {number}"},
        ]
        replica, lane = pair[number % 2], LANES[number // 2 % 2]
        if number % 3:
            made = await replica.create(lane, said, **more)
        else:
            events = await (await replica.stream(lane, said, **more)).events()
            made = events[-1]["response"]
        assert made["status"] == "completed"
        return str(made["output"][-1]["id"])

    outputs = await each(range(40), turn, 20)
    for replica in pair:
        items = await _items(replica, conversation["id"])
        assert len(items) == 3 * len(outputs), "nothing is lost, nothing is there twice"
        assert len({item["id"] for item in items}) == len(items)
        found = []
        for at in range(0, len(items), 3):
            note, ask, answer = (item["content"][0]["text"] for item in items[at : at + 3])
            number = note.removeprefix("note ")
            assert (f"ask {number}" in ask, answer) == (True, f"answer {number}")
            found.append(items[at + 2]["id"])
        assert sorted(found) == sorted(outputs)


# sockets


async def _say(client: ClientConnection, said: str, **more: Any) -> dict[str, Any]:
    """One create; its last event."""
    message = {"type": "response.create", "input": said, **more}
    await client.send(json.dumps(message))
    while True:
        event = json.loads(await asyncio.wait_for(client.recv(), 30))
        if event["type"] in (*OVER, "error"):
            return dict(event)


@each_lane
async def test_a_session_whose_gateway_dies_goes_on_at_another(
    replicas: Replicas, database: str, lane: str
) -> None:
    dying, staying = [await replicas.serve(database) for _ in range(2)]
    async with connect(f"ws://127.0.0.1:{dying.port}/v1/responses") as client:
        kept = await _say(client, "[[demo text=first]] one", model=lane)
        left = await _say(
            client, "[[demo text=second]] two", model=lane, store=False,
            previous_response_id=kept["response"]["id"],
        )  # fmt: skip
        assert left["type"] == kept["type"] == "response.completed"
        await dying.kill()
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 10)
    async with connect(f"ws://127.0.0.1:{staying.port}/v1/responses") as client:
        error = await _say(client, "three", model=lane, previous_response_id=left["response"]["id"])
        assert (error["type"], error["status"]) == ("error", 400)
        assert error["error"]["code"] == "previous_response_not_found"
        for other in (SPLICE, TRANSLATE):
            words = f"goes on at {other}"
            on = await _say(client, words, model=other, previous_response_id=kept["response"]["id"])
            assert on["type"] == "response.completed"
            heard = (await replicas.call(words)).body.decode()
            native = f'"previous_response_id":"{kept["response"]["id"]}"' in heard
            assert native or ("one" in heard and "first" in heard)
