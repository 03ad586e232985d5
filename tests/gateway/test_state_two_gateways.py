"""Two gateways on one database: what one made, the other one has, runs too; and a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs
from tests.support.gateway import CALLER_KEY, Gateway
from tests.support.stateful import (
    Client,
    Heard,
    answering,
    ask,
    configuration,
    finished,
    listening_demo,
    until,
    words,
)

from portico.config.secret import Secret
from portico.config.settings import DatabaseSettings, Settings
from portico.demo.server import RunningDemo

SLOW = "[[demo tokens=400 delay=0.05]] slowly"


class Pair:
    """Two gateways, and a client of each."""

    def __init__(self, demo: RunningDemo, heard: list[Heard], config: Settings) -> None:
        self.demo = demo
        self.heard = heard
        self.config = config
        self.gateways: list[Gateway] = []
        self.clients: list[Client] = []

    async def more(self) -> Client:
        """Start another gateway; its client."""
        self.gateways.append(await Gateway.start(self.config))
        self.clients.append(Client(self.gateways[-1].url, CALLER_KEY))
        return self.clients[-1]


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Two gateways with one file."""
    demo, heard = await listening_demo()
    database = DatabaseSettings(url=Secret(f"sqlite:///{tmp_path / 'state.db'}"))
    pair = Pair(demo, heard, structs.replace(configuration(demo.url), database=database))
    await pair.more()
    await pair.more()
    yield pair
    for client in pair.clients:
        await client.close()
    for gateway in pair.gateways:
        await gateway.stop()
    await demo.stop()


async def _follow(client: Client, id: str, after: int | None = None) -> list[dict[str, Any]]:
    more: Any = {} if after is None else {"starting_after": after}
    stream = await client.sdk.responses.retrieve(id, stream=True, **more)
    return [event.to_dict() async for event in stream]


async def test_a_chain_goes_on_at_any_of_them(pair: Pair) -> None:
    parent: str | None = None
    for turn in range(6):
        client = pair.clients[turn % 2]
        made = await ask(
            client, "chat", answering(f"q{turn}", f"a{turn}"), stream=turn % 3 == 0,
            previous_response_id=parent,
        )  # fmt: skip
        parent = made.id
        again = await pair.clients[1 - turn % 2].sdk.responses.retrieve(made.id)
        assert again.output_text == f"a{turn}"
    assert len(words(pair.heard[-1])) == 11
    assert [text for role, text in words(pair.heard[-1]) if role == "assistant"] == [
        f"a{turn}" for turn in range(5)
    ]


async def test_a_run_of_one_is_followed_at_the_other_event_by_event(pair: Pair) -> None:
    one, other = pair.clients
    made: Any = await one.sdk.responses.create(
        model="chat", input="[[demo tokens=40 delay=0.02]] go", background=True, stream=True
    )
    async for event in made:
        id = event.response.id
        break
    await made.close()
    here, there, later = await asyncio.gather(
        _follow(one, id), _follow(other, id), _follow(other, id, 4)
    )
    assert here == there
    assert later == here[5:]
    assert [event["sequence_number"] for event in here] == list(range(len(here)))
    assert here[-1]["type"] == "response.completed"
    assert (await other.sdk.responses.retrieve(id)).to_dict() == here[-1]["response"]


async def test_a_run_of_one_is_cancelled_at_the_other(pair: Pair) -> None:
    one, other = pair.clients
    made = await one.sdk.responses.create(model="chat", input=SLOW, background=True)
    await until(lambda: bool(pair.heard))
    assert (await other.sdk.responses.cancel(made.id)).status == "cancelled"
    assert (await one.sdk.responses.retrieve(made.id)).status == "cancelled"
    async with asyncio.timeout(15):
        await pair.heard[0].over.wait()
    assert pair.heard[0].cancelled
    assert (await one.sdk.responses.cancel(made.id)).status == "cancelled"


async def test_a_run_of_one_is_deleted_at_the_other(pair: Pair) -> None:
    one, other = pair.clients
    made = await one.sdk.responses.create(model="chat", input=SLOW, background=True)
    await until(lambda: bool(pair.heard))
    await other.sdk.responses.delete(made.id)
    for client in pair.clients:
        assert (await client.raw("GET", f"/responses/{made.id}"))[0] == 404
    async with asyncio.timeout(15):
        await pair.heard[0].over.wait()
    assert pair.heard[0].cancelled
    assert (await one.raw("GET", f"/responses/{made.id}"))[0] == 404


async def test_a_conversation_is_the_same_at_both(pair: Pair) -> None:
    one, other = pair.clients
    made = await one.sdk.conversations.create()
    await asyncio.gather(*[
        ask(client, "chat", answering(f"q{n}", f"a{n}"), conversation=made.id)
        for n, client in enumerate(pair.clients * 3)
    ])  # fmt: skip
    items: list[Any] = (await other.sdk.conversations.items.list(made.id, order="asc")).data
    told = [item.content[0].text for item in items]
    pairs = list(zip(told[::2], told[1::2], strict=True))
    assert sorted(pairs) == [(answering(f"q{n}", f"a{n}"), f"a{n}") for n in range(6)]


async def test_what_was_stored_is_there_after_a_restart_and_no_run_is_stuck(pair: Pair) -> None:
    one, other = pair.clients
    kept = await ask(one, "chat", answering("q", "a"))
    run = await one.sdk.responses.create(model="chat", input=SLOW, background=True)
    stream: Any = await one.sdk.responses.create(
        model="chat", input=SLOW, background=True, stream=True
    )
    async for event in stream:
        streamed = event.response.id
        break
    await stream.close()
    await until(lambda: len(pair.heard) == 3)
    await pair.gateways[0].stop()
    for id in (run.id, streamed):
        found = await finished(other, id, 5)
        assert found.status == "failed"
        assert "restarted" in found.error.message
    events = await _follow(other, streamed)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.failed"
    again = await pair.more()
    assert (await again.sdk.responses.retrieve(kept.id)).to_dict() == kept.to_dict()
    after = await ask(again, "messages", "and?", previous_response_id=kept.id)
    assert after.status == "completed"
    assert words(pair.heard[-1])[1] == ("assistant", "a")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_whose_gateway_died_is_failed_by_another(pair: Pair, stream: bool) -> None:
    one, other = pair.clients
    made: Any = await one.sdk.responses.create(
        model="chat", input=SLOW, background=True, stream=stream
    )
    if stream:
        async for event in made:
            id = event.response.id
            break
        await made.close()
    else:
        id = made.id
    await until(lambda: bool(pair.heard))
    dead, alive = (gateway.worker.gateway.state for gateway in pair.gateways)
    await dead.store.renew(dead.runs._owner, 1.0)  # its lease was over in 1970
    assert await alive.runs.end_abandoned() == 1
    found = await finished(other, id, 5)
    assert found.status == "failed"
    assert "stopped before" in found.error.message
    if stream:
        events = await _follow(other, id)
        assert events[-1]["type"] == "response.failed"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
