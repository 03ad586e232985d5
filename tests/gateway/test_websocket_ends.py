"""How responses and connections end on a WebSocket: frames that say so, budgets, age, drain."""

import asyncio
import json
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.sessions import Talk, brief
from tests.support.stateful import until
from tests.support.upstream import expect, http_json, send, sse
from tests.support.websocket_client import TEXT, Frames

from portico.demo.server import RunningDemo
from portico.limits import Deadlines, Limits

UNKNOWN = (400, "previous_response_not_found", "previous_response_id")
DIALECTS = ("responses", "completions", "messages")


def served(demo: RunningDemo) -> list[Any]:
    """One model for each dialect, under its name."""
    return [
        model(each, provider(demo.url, formats=[each], name=each), "demo-small")
        for each in DIALECTS
    ]


def used(gateway: Gateway) -> int:
    """Bytes that all connections remember together."""
    return gateway.worker.gateway.remembered.used


# -- every response says how it ended ---------------------------------------------------------


def event(kind: str, **more: Any) -> bytes:
    """One event of a Responses stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


BEGUN = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress",
         "model": "m", "output": []}  # fmt: skip
CREATED = event("response.created", sequence_number=0, response=BEGUN)
PROBLEM = {"type": "server_error", "code": "odd", "message": "It broke.", "param": None}
FAILED = event("response.failed", sequence_number=2, response={**BEGUN, "status": "failed"})


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize(
    ("stream", "kinds", "code"),
    [
        ([CREATED, event("error", sequence_number=1, error=PROBLEM)], ["error"], "odd"),
        ([CREATED, event("error", sequence_number=1, code="odd", message="It broke.",
                         param=None)], ["error"], "odd"),
        ([CREATED, event("error", sequence_number=1)], ["error"], "upstream_truncated"),
        ([CREATED, event("error", sequence_number=1, error=PROBLEM), FAILED],
         ["error", "response.failed"], "odd"),
        ([CREATED, FAILED.replace(b'_number": 2', b'_number": 1')], ["response.failed"], None),
    ],
)  # fmt: skip
async def test_a_response_that_breaks_ends_in_one_message_that_says_so(
    play: Play, launch: Launch, store: bool, stream: list[bytes], kinds: list[str], code: str | None
) -> None:
    upstream = await play([expect(), sse(stream)])
    only = model("*", provider(upstream.url, formats=["responses"]))
    gateway = await launch(settings(route([only], [caller()])))
    async with Talk.to(gateway) as talk:
        answer = await talk.ask("m", "x", store=store)
        assert answer.kinds == ["response.created", *kinds]
        for found in answer.events:
            if found["type"] == "error":
                assert found["error"]["code"] == code
                assert ("status" in found) == (kinds == ["error"])
        assert answer.last.get("status", 502) == 502
    assert gateway.outcomes[-1].verdict != "ok"


async def test_a_stream_without_an_end_is_told_as_cut(play: Play, launch: Launch) -> None:
    upstream = await play([expect(), sse([CREATED, b"data: [DONE]\n\n"])])
    only = model("*", provider(upstream.url, formats=["responses"]))
    gateway = await launch(settings(route([only], [caller()])))
    async with Talk.to(gateway) as talk:
        answer = await talk.ask("m", "x")
        assert brief(answer) in ("upstream_truncated", "response.failed")


@pytest.mark.parametrize("status", ["failed", "completed"])
async def test_a_failure_that_did_not_come_as_a_stream_costs_the_parent_too(
    play: Play, launch: Launch, status: str
) -> None:
    whole = {**BEGUN, "status": "completed"}
    upstream = await play(
        [expect(), send(http_json(200, whole))],
        [expect(), send(http_json(200, {**whole, "id": "resp_2", "status": status}))],
        default=[expect(), send(http_json(200, {**whole, "id": "resp_3"}))],
    )
    only = model("*", provider(upstream.url, formats=["responses"]))
    gateway = await launch(settings(route([only], [caller()])))
    async with Talk.to(gateway) as talk:
        assert (await talk.ask("m", "one")).id == "resp_1"
        found = await talk.ask("m", "two", previous_response_id="resp_1")
        assert found.kinds == [f"response.{status}"]
        assert (await talk.ask("m", "two", previous_response_id="resp_1")).refused == UNKNOWN
        after = await talk.ask("m", "two", previous_response_id="resp_2")
        assert brief(after) == ("response.completed" if status == "completed" else UNKNOWN[1])


# -- budgets ----------------------------------------------------------------------------------


async def test_what_all_connections_remember_together_is_bounded(
    demo: RunningDemo, launch: Launch
) -> None:
    limits = Limits(buffered_body_bytes=45_000)  # half of it for one tenant
    gateway = await launch(settings(route(served(demo), [caller()]), limits=limits))
    async with Talk.to(gateway) as one, Talk.to(gateway) as two:
        first = (await one.ask("messages", "x" * 20_000)).id
        second = (await two.ask("completions", "y" * 20_000)).id
        assert 20_000 < used(gateway) <= 22_500
        assert (await two.ask("completions", previous_response_id=second)).refused == UNKNOWN
        assert brief(await one.ask("messages", previous_response_id=first)) == (
            "response.completed"
        )
        await one.ask("messages", "anew")
        second = (await two.ask("completions", "y" * 20_000)).id
        assert brief(await two.ask("completions", previous_response_id=second)) == (
            "response.completed"
        )
    await until(lambda: used(gateway) == 0)


class _SlowStore:
    """A database that keeps writers waiting."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.done = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def save(self, *arguments: Any) -> bool:
        self.asked.set()
        await self.go.wait()
        saved: bool = await self._store.save(*arguments)
        self.done.set()
        return saved


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_client_that_leaves_while_its_response_is_stored_is_not_remembered(
    demo: RunningDemo, launch: Launch, name: str
) -> None:
    gateway = await launch(settings(route(served(demo), [caller()])))
    state = gateway.worker.gateway.state
    store: Any = _SlowStore(state.store)
    state.store = store
    async with Talk.to(gateway) as talk:
        await talk.say(name, "x" * 1000, store=True)
        async with asyncio.timeout(5):
            await store.asked.wait()
        talk.socket.transport.abort()
        await gateway.last()
        store.go.set()
        async with asyncio.timeout(5):
            await store.done.wait()
        for _ in range(5):
            await asyncio.sleep(0)
    assert used(gateway) == 0


# -- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_a_wrong_key_is_refused_before_the_connection_is_a_websocket(
    demo: RunningDemo, launch: Launch, key: str
) -> None:
    gateway = await launch(settings(route(served(demo), [caller()])))
    async with await Frames.connect(gateway.port) as client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = await client.shake("/v1/responses", **headers)
        assert (answer.status, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_a_key_for_some_models_finds_no_others(demo: RunningDemo, launch: Launch) -> None:
    keys = [caller(models=["messages", "completions"])]
    gateway = await launch(settings(route(served(demo), keys)))
    async with Talk.to(gateway) as talk:
        parent = await talk.ask("messages", "one")
        answer = await talk.ask("responses", "two", previous_response_id=parent.id)
        missing = await talk.ask("nothing", "two")
        assert answer.refused == missing.refused == (404, "model_not_found", "model")
        assert answer.last["error"]["message"].replace("responses", "nothing") == missing.last[
            "error"]["message"]  # fmt: skip


async def test_a_key_that_was_taken_away_continues_nothing(
    demo: RunningDemo, launch: Launch
) -> None:
    gateway = await launch(settings(route(served(demo), [caller()])))
    async with Talk.to(gateway) as talk:
        parent = await talk.ask("messages", "one")
        gateway.worker.reload(settings(route(served(demo), [caller("another key")])))
        answer = await talk.ask("messages", "two", previous_response_id=parent.id)
        assert answer.refused == (401, "invalid_api_key", None)
        gateway.worker.reload(settings(route(served(demo), [caller()])))
        answer = await talk.ask("messages", "two", previous_response_id=parent.id)
        assert answer.refused == UNKNOWN


# -- age and drain ----------------------------------------------------------------------------

LIMIT = (400, "websocket_connection_limit_reached", None)


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_connection_that_is_too_old_ends_between_two_responses(
    demo: RunningDemo, launch: Launch, name: str
) -> None:
    config = settings(route(served(demo), [caller()]), deadlines=Deadlines(websocket=0.9))
    gateway = await launch(config)
    async with Talk.to(gateway) as busy, Talk.to(gateway) as idle:
        await busy.say(name, "[[demo first_delay=1.4 text=to the end]]")
        assert (await idle.hear()).refused == LIMIT
        assert (await busy.hear()).text == "to the end"
        assert (await busy.hear()).refused == LIMIT
        for talk in (busy, idle):
            await talk.socket.wait_closed()
            assert talk.socket.close_code == 1001
    assert len(gateway.outcomes) == 1
    assert used(gateway) == 0


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_drain_closes_who_is_idle_and_waits_for_who_is_busy(
    demo: RunningDemo, launch: Launch, name: str
) -> None:
    config = settings(
        route(served(demo), [caller()]), deadlines=Deadlines(drain=20.0, drain_delay=0.0)
    )
    gateway = await launch(config)
    async with Talk.to(gateway) as busy, Talk.to(gateway) as idle:
        await idle.ask(name, "remembered")
        await busy.say(name, "[[demo delay=0.02 text=to the very end of it]]")
        await busy.socket.recv()
        draining = asyncio.ensure_future(gateway.worker.drain())
        await idle.socket.wait_closed()
        assert idle.socket.close_code == 1001
        ends = [json.loads(await busy.socket.recv())["type"]]
        while ends[-1] != "response.completed":
            ends.append(json.loads(await busy.socket.recv())["type"])
        await busy.socket.wait_closed()
        assert busy.socket.close_code == 1001
        assert await draining
    assert used(gateway) == 0


@pytest.mark.parametrize("name", DIALECTS)
async def test_who_is_busy_for_too_long_is_told_when_the_drain_ends(
    demo: RunningDemo, launch: Launch, name: str
) -> None:
    deadlines = Deadlines(drain=0.2, drain_delay=0.0, drain_forced=2.0)
    gateway = await launch(settings(route(served(demo), [caller()]), deadlines=deadlines))
    async with Talk.to(gateway) as talk:
        parent = await talk.ask(name, "one")
        await talk.say(name, "[[demo hang=3 tokens=9]]", previous_response_id=parent.id)
        await talk.socket.recv()
        assert await gateway.worker.drain() is False
        last = ""
        async for message in talk.socket:
            last = json.loads(message)["type"]
        assert last in ("error", "response.failed")
        assert talk.socket.close_code == 1001
    assert gateway.outcomes[-1].verdict == "truncated"
    assert used(gateway) == 0


# -- a slow reader ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
async def test_a_slow_reader_holds_little_and_loses_nothing(
    demo: RunningDemo, launch: Launch, name: str
) -> None:
    gateway = await launch(settings(route(served(demo), [caller()])))
    raw = await Frames.connect(gateway.port, rcvbuf=4096)
    assert isinstance(raw, Frames)
    async with raw as client:
        key = f"Bearer {CALLER_KEY}"
        assert (await client.shake("/v1/responses", authorization=key)).status == 101
        body = {"type": "response.create", "model": name, "input": "[[demo tokens=20000]]",
                "store": False, "max_output_tokens": 30_000}  # fmt: skip
        await client.say(json.dumps(body))
        (server,) = gateway.worker._servers
        (connection,) = server.connections
        await until(lambda: connection.write_paused)
        most = 0
        for _ in range(20):
            await asyncio.sleep(0.01)
            most = max(most, connection._transport.get_write_buffer_size())  # type: ignore[attr-defined]
        assert most < 1_000_000
        assert not gateway.outcomes
        number = 0
        while True:
            got = await client.hear(20.0)
            if got.opcode != TEXT:
                continue
            found = json.loads(got.payload)
            assert found["sequence_number"] == number
            number += 1
            if found["type"] == "response.completed":
                break
        assert number > 20_000
    assert (await gateway.last()).verdict == "ok"


# -- records ----------------------------------------------------------------------------------


async def test_every_create_has_its_own_record(demo: RunningDemo, launch: Launch) -> None:
    gateway = await launch(settings(route(served(demo), [caller(team="a")])))
    async with Talk.to(gateway) as talk:
        parent = await talk.ask("messages", "one")
        await talk.ask("completions", "two", previous_response_id=parent.id)
        await talk.ask("messages", "[[demo status=429]]")
        await talk.raw("{")
        await talk.ask("responses", "warm", generate=False)
    found = gateway.outcomes
    assert [(each.verdict, each.status, each.lane) for each in found] == [
        ("ok", 200, "translate"), ("ok", 200, "translate"), ("upstream_error", 429, "translate"),
        ("client_error", 400, ""), ("ok", 200, ""),
    ]  # fmt: skip
    assert len({each.request_id for each in found}) == 5
    assert [each.usage is not None for each in found] == [True, True, False, False, False]
    assert {json.dumps(each.caller) for each in found} == {'{"team": "a"}'}
    assert gateway.sample("portico_requests_total", endpoint="/v1/responses") == 5


async def test_losses_are_counted_and_logged_and_refused_on_request(
    demo: RunningDemo, launch: Launch
) -> None:
    """There are no headers to tell them in."""
    upstream = provider(demo.url, formats=["messages"], name="messages")
    models = [
        model("warn", upstream, "demo-small"),
        model("reject", upstream, "demo-small", on_loss="reject"),
    ]
    gateway = await launch(settings(route(models, [caller()])))
    lossy = {"top_logprobs": 3, "service_tier": "flex"}
    async with Talk.to(gateway) as talk:
        parent = await talk.ask("warn", "x", **lossy)
        assert "losses" not in json.dumps(parent.events)
        assert gateway.outcomes[-1].losses
        assert gateway.sample("portico_translation_losses_total") >= 1
        answer = await talk.ask("reject", "x", previous_response_id=parent.id, **lossy)
        assert answer.refused[:2] == (400, "lossy_translation")
