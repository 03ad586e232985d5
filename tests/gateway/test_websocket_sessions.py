"""Sessions on one connection: what is remembered, what is forgotten, what a failure costs."""

import asyncio
import json
from typing import Any

import pytest
from tests.support.sessions import Answer, Talk, brief
from tests.support.stateful import OTHER_KEY, Servers, each_cell, servers, until, words
from tests.support.websocket_client import BINARY, CLOSE, PING, PONG, TEXT, Frames, frame

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

UNKNOWN = (400, "previous_response_not_found", "previous_response_id")


def used(state: Servers) -> int:
    """Bytes that all connections remember together."""
    return state.gateway.worker.gateway.remembered.used


# -- a failure costs the parent, and nothing else -------------------------------------------------

FAULTS = {
    "refused": "[[demo status=400 code=odd]]",
    "rate": "[[demo status=429]]",
    "broken": "[[demo status=500]]",
    "busy": "[[demo status=503]]",
    "cut": "[[demo cut=3 tokens=20]]",
    "ended": "[[demo fin=3 tokens=20]]",
    "error": "[[demo error=3 tokens=20]]",
}
"""What a provider may do instead of answering, as the user has to say it."""

PARAMETERS: dict[str, dict[str, Any]] = {
    "call": {"input": [{"type": "function_call_output", "call_id": "nobody", "output": "x"}]},
    "model": {"model": "nobody"},
    "range": {"temperature": 17},
    "type": {"temperature": "warm"},
    "background": {"background": True},
    "stream_id": {"stream_id": "lane"},
    "generate": {"generate": "no"},
    "both": {"conversation": "conv_1"},
    "item": {"input": [{"type": "item_reference", "id": "msg_nobody"}]},
}
"""Creates that are refused for what they say."""


async def fails(talk: Talk, cell: str, fault: str, parent: str | None, **more: Any) -> Answer:
    """A create that fails in that way."""
    body: dict[str, Any] = {"said": FAULTS.get(fault, "x"), **more}
    if parent is not None:
        body["previous_response_id"] = parent
    wrong = dict(PARAMETERS.get(fault, {}))
    if "input" in wrong:
        body["said"] = wrong.pop("input")
    name = wrong.pop("model", cell)
    answer = await talk.ask(name, **body, **wrong)
    assert answer.last["type"] in ("error", "response.failed"), answer.last
    return answer


@each_cell
@pytest.mark.parametrize("fault", [*FAULTS, *PARAMETERS])
async def test_a_continuation_that_fails_makes_the_connection_forget_its_parent(
    state: Servers, cell: str, fault: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        parent = (await talk.ask(cell, "remember me")).id
        failed = await fails(talk, cell, fault, parent)
        if fault in PARAMETERS or "status" in FAULTS[fault]:
            status = failed.refused[0]
            expected = {"model": 404, "item": 404, "rate": 429, "broken": 500, "busy": 503}
            assert status == expected.get(fault, 400) or (status == 502 and fault == "broken")
        assert (await talk.ask(cell, "again", previous_response_id=parent)).refused == UNKNOWN
        assert brief(await talk.ask(cell, "anew")) == "response.completed"


@each_cell
@pytest.mark.parametrize("fault", ["rate", "cut", "error", "call", "model"])
async def test_a_stored_parent_is_continued_from_storage_after_a_failure(
    state: Servers, cell: str, fault: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "first", store=True)
        await fails(talk, cell, fault, first.id, store=True)
        again = await talk.ask(cell, "again", store=True, previous_response_id=first.id)
        assert again.response["previous_response_id"] == first.id
        told = words(state.last)
        native = "previous_response_id" in state.last.json
        assert told == [*([] if native else [("user", "first"), ("assistant", first.text)]),
                        ("user", "again")]  # fmt: skip


@each_cell
@pytest.mark.parametrize("fault", ["rate", "cut", "type", "model", "call"])
async def test_a_create_that_fails_for_itself_costs_no_other_response(
    state: Servers, cell: str, fault: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        await fails(talk, cell, fault, None)
        parent = await talk.ask(cell, "kept")
        await fails(talk, cell, fault, None)
        assert (await talk.ask(cell, "x", previous_response_id="resp_of_nobody")).refused == UNKNOWN
        after = await talk.ask(cell, "goes on", previous_response_id=parent.id)
        assert words(state.last) == [
            ("user", "kept"), ("assistant", parent.text), ("user", "goes on"),
        ]  # fmt: skip
        assert after.response["store"] is False


# -- one after another ------------------------------------------------------------------------


@each_cell
async def test_creates_sent_at_once_are_answered_in_order_without_mixing(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        for turn in range(3):
            await talk.say(cell, f"[[demo delay=0.001 text=answer {turn}]]")
        for turn in range(3):
            answer = await talk.hear()
            assert answer.text == f"answer {turn}"
            ids = {e["response"]["id"] for e in answer.events if "response" in e}
            assert ids == {answer.id}
            items = {e["item_id"] for e in answer.events if "item_id" in e}
            assert items <= {item["id"] for item in answer.output}


@each_cell
async def test_a_create_may_continue_the_one_that_still_runs(state: Servers, cell: str) -> None:
    async with Talk.to(state.gateway) as talk:
        await talk.say(cell, "[[demo first_delay=0 delay=0.01 text=slowly does it]] one")
        event = json.loads(await talk.socket.recv())
        assert event["type"] == "response.created"
        await talk.say(cell, "two", previous_response_id=event["response"]["id"])
        while (event := json.loads(await talk.socket.recv()))["type"] != "response.completed":
            pass
        second = await talk.hear()
        assert second.response["previous_response_id"] == event["response"]["id"]
        assert [said for _, said in words(state.last)][1:] == ["slowly does it", "two"]


async def test_more_creates_than_may_wait_are_left_on_the_line(state: Servers) -> None:
    limit = state.gateway.worker.gateway.snapshot.limits.websocket_queued_messages
    count = limit * 3
    async with Talk.to(state.gateway) as talk:
        for turn in range(count):
            await talk.say("chat", f"[[demo text=answer {turn}]]")
        for turn in range(count):
            assert (await talk.hear()).text == f"answer {turn}"


# -- errors -----------------------------------------------------------------------------------

CREATE = '{"type":"response.create","model":"chat","input":"x","store":false'


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("{", (400, "invalid_json", None)),
        ("nonsense", (400, "invalid_json", None)),
        ("[]", (400, "invalid_json", None)),
        ('"text"', (400, "invalid_json", None)),
        ("null", (400, "invalid_json", None)),
        ("{}", (400, "unknown_frame_type", "type")),
        ('{"type":"response.steer","model":"chat"}', (400, "unknown_frame_type", "type")),
        ('{"type":{},"model":"chat"}', (400, "unknown_frame_type", "type")),
        ('{"type":"response.create","input":"x"}', (400, "missing_required_parameter", "model")),
        ('{"type":"response.create","model":"no","input":"x"}', (404, "model_not_found", "model")),
        ('{"type":"response.create","model":7,"input":"x"}', (400, "invalid_type", "model")),
        ('{"type":"response.create","model":"chat","input":7}', (400, "invalid_type", "input")),
        (
            '{"type":"response.create","model":"chat","input":"x","store":"x"}',
            (400, "invalid_type", "store"),
        ),
        (CREATE + ',"background":true}', (400, "unsupported_parameter", "background")),
        (CREATE + ',"background":"yes"}', (400, "unsupported_parameter", "background")),
        (CREATE + ',"generate":0}', (400, "invalid_type", "generate")),
        (CREATE + ',"previous_response_id":7}', (400, "invalid_type", "previous_response_id")),
        (CREATE + ',"temperature":"warm"}', (400, "invalid_type", "temperature")),
        (CREATE + ',"tools":{}}', (400, "invalid_type", "tools")),
    ],
)
async def test_what_cannot_be_read_is_an_error_with_its_place_and_the_session_goes_on(
    state: Servers, message: str, expected: tuple[int, str, str | None]
) -> None:
    async with Talk.to(state.gateway) as talk:
        parent = (await talk.ask("chat", "before")).id
        assert (await talk.raw(message)).refused == expected
        after = await talk.ask("chat", "after", previous_response_id=parent)
        assert brief(after) == "response.completed"


@each_cell
async def test_members_that_nobody_knows_are_tolerated(state: Servers, cell: str) -> None:
    async with Talk.to(state.gateway) as talk:
        extra = {"client_metadata": {"x-codex": "1"}, "stream": True, "background": False,
                 "stream_options": None, "generate": True, "prompt_cache_key": "k"}  # fmt: skip
        answer = await talk.ask(cell, "hi", **extra)
        assert brief(answer) == "response.completed"
        if cell in ("chat", "messages", "gemini", "bedrock"):
            assert "client_metadata" not in state.last.json


async def test_a_binary_message_ends_the_connection(state: Servers) -> None:
    async with await Frames.connect(state.gateway.port) as client:
        assert (await client.shake("/v1/responses", authorization=_key())).status == 101
        await client.send(frame(BINARY, (CREATE + "}").encode()))
        assert await client.ended() == 1003
    assert used(state) == 0


def _key(key: str | None = None) -> str:
    return f"Bearer {key or 'gw-CANARY-caller-0123456789'}"


# -- whose it is ------------------------------------------------------------------------------


async def test_another_tenant_knows_nothing_of_a_session(state: Servers) -> None:
    async with Talk.to(state.gateway) as mine, Talk.to(state.gateway, OTHER_KEY) as other:
        stored = await mine.ask("chat", "SECRET", store=True)
        latest = await mine.ask("chat", "SECRET", previous_response_id=stored.id)
        for id in (stored.id, latest.id):
            foreign = await other.ask("chat", "x", previous_response_id=id)
            never = await other.ask("chat", "x", previous_response_id=f"resp_{'0' * 32}")
            assert foreign.refused == never.refused == UNKNOWN
            assert foreign.last["error"]["message"].replace(id, "") == never.last["error"][
                "message"
            ].replace(f"resp_{'0' * 32}", "")
        for item in (stored.output[0]["id"], latest.output[0]["id"]):
            answer = await other.ask("chat", [{"type": "item_reference", "id": item}])
            assert answer.refused == (404, "item_not_found", "input")
        assert brief(await mine.ask("chat", previous_response_id=latest.id)) == (
            "response.completed"
        )


# -- leaving ----------------------------------------------------------------------------------


@each_cell
@pytest.mark.parametrize("store", [True, False])
async def test_a_client_that_leaves_stops_the_provider_and_nothing_is_complete(
    state: Servers, cell: str, store: bool
) -> None:
    mark, records = len(state.heard), len(state.gateway.outcomes)
    client = await Frames.connect(state.gateway.port)
    assert (await client.shake("/v1/responses", authorization=_key())).status == 101
    said = "[[demo tokens=2000 delay=0.05]] x"
    await client.say(json.dumps(
        {"type": "response.create", "model": cell, "input": said, "store": store}
    ))  # fmt: skip
    created = json.loads(await client.heard())
    while b"output_text.delta" not in await client.heard():
        pass
    client.rst()
    async with asyncio.timeout(10):
        await state.heard[mark].over.wait()
    assert state.heard[mark].cancelled
    outcome = await state.gateway.last(records + 1)
    assert (outcome.verdict, outcome.status) == ("client_cancelled", 200)
    status, found = await state.client.raw("GET", f"/responses/{created['response']['id']}")
    assert status == 404 or found["status"] != "completed"
    await until(lambda: used(state) == 0)


# -- memory -----------------------------------------------------------------------------------


async def test_what_is_remembered_is_counted_while_the_connection_lasts(state: Servers) -> None:
    assert used(state) == 0
    async with Talk.to(state.gateway) as one, Talk.to(state.gateway) as two:
        parent = await one.ask("chat", "x" * 10_000)
        first = used(state)
        assert 10_000 < first < 12_000
        await two.ask("messages", "y" * 20_000)
        assert 30_000 < used(state) < 34_000
        await one.ask("chat", "z" * 10_000, previous_response_id=parent.id)
        assert 40_000 < used(state) < 45_000
        await one.ask("chat", "anew")
        assert 20_000 < used(state) < 24_000
    await until(lambda: used(state) == 0)


async def test_fifty_sessions_leave_nothing_behind(state: Servers) -> None:
    async def session(number: int) -> None:
        async with Talk.to(state.gateway) as talk:
            cell = ("chat", "messages", "gemini", "responses", "openai")[number % 5]
            parent = (await talk.ask(cell, "x" * 1000, store=number % 2 == 0)).id
            ends = number % 4
            if ends == 1:
                await fails(talk, cell, "rate", parent)
            elif ends == 2:
                await talk.say(cell, "[[demo tokens=500 delay=0.05]]", previous_response_id=parent)
                await talk.socket.recv()
            elif ends == 3:
                await talk.ask(cell, "y", previous_response_id=parent)

    for start in range(0, 50, 10):
        await asyncio.gather(*[session(number) for number in range(start, start + 10)])
    await until(lambda: used(state) == 0)


# -- the line ---------------------------------------------------------------------------------


async def test_pings_are_answered_while_a_response_runs(state: Servers) -> None:
    async with await Frames.connect(state.gateway.port) as client:
        assert (await client.shake("/v1/responses", authorization=_key())).status == 101
        said = "[[demo tokens=60 delay=0.01]]"
        await client.say(CREATE.replace('"x"', json.dumps(said)) + "}")
        texts, pongs, sent = 0, [], 0
        while True:
            got = await client.hear()
            if got.opcode == PONG:
                pongs.append(got.payload)
            elif got.opcode == PING:
                await client.send(frame(PONG, got.payload))
            else:
                assert got.opcode == TEXT, got
                texts += 1
                if b'"response.completed"' in got.payload:
                    break
                if sent < 5:
                    await client.send(frame(PING, b"%d" % sent))
                    sent += 1
        assert pongs == [b"0", b"1", b"2", b"3", b"4"]
        assert texts > 60
        await client.send(frame(CLOSE, b"\x03\xe8"))
        assert await client.ended() == 1000
