"""kill -9 and SIGTERM under load: whoever has seen the end of a response finds it again."""

import asyncio
import random
import re
from typing import Any

import pytest
from tests.support import replicas as support
from tests.support.replicas import LANES, OVER, SPLICE, TRANSLATE, Client, Replica, Replicas, each

replicas = support.replicas
postgres = support.postgres
postgres_url = support.postgres_url
database = support.database

CLIENTS = 32
ROUNDS = 3
RESPONSES = "/v1/responses"


class Told:
    """A response that a client has seen the end of, and the words it began with."""

    def __init__(self, words: str, response: dict[str, Any], parent: "Told | None") -> None:
        self.words = words
        self.response = response
        self.parent = parent

    @property
    def id(self) -> str:
        """The response's."""
        return str(self.response["id"])

    @property
    def spoken(self) -> list[str]:
        """Everything its chain has: questions and answers."""
        before = self.parent.spoken if self.parent is not None else []
        return [*before, self.words, f"re-{self.words}"]


async def _ask(client: Client, body: dict[str, Any]) -> dict[str, Any] | None:
    """The response as its client knows it to be over; None if that was cut."""
    if not body["stream"]:
        status, response = await client.json("POST", RESPONSES, body)
        assert status == 200, response
        return response
    await client.listen("POST", RESPONSES, body)
    events = await client.events()
    return events[-1]["response"] if events and events[-1]["type"] in OVER else None


async def _talk(replica: Replica, index: int, prefix: str, told: list[Told]) -> None:
    """Chains of up to four responses, until the gateway is gone."""
    parent: Told | None = None
    turn = 0
    try:
        client = await replica.client()
        while True:
            words = f"{prefix}-{index}-{turn}-end"
            body: dict[str, Any] = {
                "model": LANES[index % 2],
                "input": f"{words} [[demo text=re-{words}]]",
                "stream": index % 4 < 2,
            }
            if parent is not None:
                body["previous_response_id"] = parent.id
            response = await _ask(client, body)
            if response is None:
                return
            assert response["status"] == "completed", response
            told.append(Told(words, response, parent))
            turn += 1
            parent = told[-1] if turn % 4 else None
    except (OSError, EOFError):
        return


async def _load(replica: Replica, prefix: str, told: list[Told]) -> list[asyncio.Task[None]]:
    """Clients at work, at a random moment of it."""
    before = len(told)
    talks = [asyncio.ensure_future(_talk(replica, index, prefix, told)) for index in range(CLIENTS)]
    async with asyncio.timeout(30):
        while len(told) < before + CLIENTS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(random.uniform(0.0, 0.8))
    return talks


async def _all_there(replica: Replica, told: list[Told]) -> None:
    pool: list[Client] = []

    async def same(one: Told) -> None:
        client = pool.pop() if pool else await replica.client()
        status, found = await client.json("GET", f"{RESPONSES}/{one.id}")
        assert (status, found) == (200, one.response)
        status, items = await client.json("GET", f"{RESPONSES}/{one.id}/input_items")
        assert status == 200
        assert [one.words in item["content"][0]["text"] for item in items["data"]] == [True]
        pool.append(client)

    await each(told, same)
    for client in pool:
        client.close()


async def _continued(replicas: Replicas, replica: Replica, told: list[Told]) -> None:
    """All of them go on, on their lane and on the other."""

    async def goes_on(one: Told) -> None:
        for lane in LANES:
            words = f"on-{lane}-{one.words}"
            body = {"previous_response_id": one.id}
            made = await replica.create(lane, f"{words} [[demo text=ok]]", **body)
            assert made["previous_response_id"] == one.id
            heard = (await replicas.call(words)).body.decode()
            if f'"previous_response_id":"{one.id}"' in heard:
                continue  # the provider has it, too
            where = [heard.find(each) for each in one.spoken]
            assert -1 not in where, (where, heard)
            assert where == sorted(where)

    await each(told, goes_on)


async def test_what_a_client_saw_the_end_of_survives_kill_9(
    replicas: Replicas, database: str
) -> None:
    told: list[Told] = []
    fresh: list[Told] = []
    for number in range(ROUNDS):
        replica = await replicas.serve(database)
        await _all_there(replica, fresh)
        fresh = []
        talks = await _load(replica, f"r{number}", fresh)
        await replica.kill()
        await asyncio.gather(*talks)
        told += fresh
    replica = await replicas.serve(database)
    await _all_there(replica, told)
    latest = {one.words.rpartition("-")[0].rpartition("-")[0]: one for one in told}
    await _continued(replicas, replica, list(latest.values()))


async def test_sigterm_under_load_loses_nothing_and_cuts_nothing(
    replicas: Replicas, database: str
) -> None:
    told: list[Told] = []
    replica = await replicas.serve(database, drain="20s")
    talks = await _load(replica, "t", told)
    assert await replica.terminate() == 0
    await asyncio.gather(*talks)
    asked = {re.findall(r"t-\d+-\d+-end", each.body.decode())[-1] for each in replicas.heard}
    assert asked == {one.words for one in told}, "whoever was let in got an answer"
    replica = await replicas.serve(database)
    await _all_there(replica, told)
    latest = {one.words.split("-")[1]: one for one in told}
    await _continued(replicas, replica, list(latest.values()))


@pytest.mark.parametrize("lane", [SPLICE, TRANSLATE])
async def test_sigterm_lets_background_runs_finish_and_fails_the_rest_at_once(
    replicas: Replicas, database: str, lane: str
) -> None:
    replica = await replicas.serve(database, drain="2s")
    short = await replica.create(lane, "[[demo first_delay=1 text=done]]", background=True)
    watched = await replica.stream(lane, "[[demo tokens=20 delay=0.05]]", background=True)
    long = await replica.create(lane, "[[demo tokens=900 delay=0.1]]", background=True)
    silent = await replica.stream(lane, "[[demo tokens=9 hang=5]]", background=True)
    (first,) = await silent.some(1)
    hung = first["response"]["id"]
    assert await replica.terminate() == 0
    seen = await watched.events()
    assert (seen[-1]["type"], watched.done) == ("response.completed", True)
    seen = [first, *await silent.events()]
    assert support.numbers(seen) == list(range(len(seen)))

    replica = await replicas.serve(database)
    assert (await replica.get(short["id"]))["status"] == "completed"
    for id in (long["id"], hung):
        found = await replica.get(id)
        assert found["status"] == "failed"
        assert found["error"]["code"] == "server_error"
        assert "restarted before this response was complete" in found["error"]["message"]
    assert seen[-1]["type"] == "response.failed", "who watches is told"
    assert seen[-1]["response"] == await replica.get(hung)
    rest = await (await replica.follow(hung, 2)).events()
    assert rest == seen[3:]
