"""The Responses API over a WebSocket: creates in order, errors in place, one record each."""

import asyncio
import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.conftest import Launch, Play
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.upstream import expect, hang, http_json, send, sse
from tests.support.websocket_client import Frames
from websockets.asyncio.client import ClientConnection, connect

from portico.demo.server import RunningDemo
from portico.limits import Deadlines

AUTH = {"authorization": f"Bearer {CALLER_KEY}"}


@pytest.fixture
async def gate(demo: RunningDemo, launch: Launch) -> Gateway:
    """Spliced (`own`) and translated (`other`) to the demo provider."""
    own = provider(demo.url, name="own", formats=["responses"])
    other = provider(demo.url, name="other", formats=["messages"])
    models = [model("own", own, "demo-small"), model("other", other, "demo-small")]
    return await launch(settings(route(models, [caller(team="tests")])))


def dial(gateway: Gateway, **headers: str) -> connect:
    return connect(
        f"ws://127.0.0.1:{gateway.port}/v1/responses", additional_headers={**AUTH, **headers}
    )


async def create(client: ClientConnection, text: str = "hi", **more: Any) -> None:
    frame = {"type": "response.create", "model": "own", "input": text, "store": False, **more}
    await client.send(json.dumps(frame))


async def events(client: ClientConnection) -> list[dict[str, Any]]:
    """The events of one response, up to its last one or an error."""
    found = []
    while True:
        event = json.loads(await asyncio.wait_for(client.recv(), 10))
        found.append(event)
        if event["type"] in ("error", "response.completed", "response.failed",
                             "response.incomplete"):  # fmt: skip
            return found


async def error(client: ClientConnection) -> tuple[int, str, str | None]:
    (event,) = await events(client)
    assert event["type"] == "error"
    assert set(event["error"]) == {"message", "type", "param", "code"}
    return event["status"], event["error"]["code"], event["error"]["param"]


@pytest.mark.parametrize("name", ["own", "other"])
async def test_the_official_client_gets_its_stream(gate: Gateway, name: str) -> None:
    client = AsyncOpenAI(api_key=CALLER_KEY, base_url=f"{gate.url}/v1", max_retries=0)
    async with client.responses.connect() as connection:
        for turn in ("one", "two"):
            await connection.response.create(model=name, input=f"[[demo text={turn}]]", store=False)
            text, kinds = "", []
            async for event in connection:
                kinds.append(event.type)
                if event.type == "response.output_text.delta":
                    text += event.delta
                if event.type == "response.completed":
                    assert event.response.output_text == turn
                    break
            assert text == turn
            assert kinds[0] == "response.created"
    await client.close()


@pytest.mark.parametrize("name", ["own", "other"])
async def test_creates_are_answered_in_order_and_numbered_anew(gate: Gateway, name: str) -> None:
    async with dial(gate) as client:
        for number in range(5):
            await create(client, f"[[demo text=answer {number}]]", model=name)
        for number in range(5):
            found = await events(client)
            assert [each["sequence_number"] for each in found] == list(range(len(found)))
            assert f"answer {number}" in json.dumps(found[-1])
    await gate.last(5)
    ids = {outcome.request_id for outcome in gate.outcomes}
    assert len(ids) == 5
    for outcome in gate.outcomes:
        assert (outcome.endpoint, outcome.verdict, outcome.status) == ("/v1/responses", "ok", 200)
        assert outcome.stream
        assert outcome.usage is not None
        assert outcome.caller == {"team": "tests"}
        assert outcome.bytes_in > 0
        assert outcome.bytes_out > 0


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("{", (400, "invalid_json", None)),
        ("[]", (400, "invalid_json", None)),
        ("", (400, "invalid_json", None)),
        ("{}", (400, "unknown_frame_type", "type")),
        ('{"type":"response.cancel"}', (400, "unknown_frame_type", "type")),
        ('{"type":7,"model":"own"}', (400, "unknown_frame_type", "type")),
        (
            '{"type":"response.create","model":"nobody","input":"x"}',
            (404, "model_not_found", "model"),
        ),
        (
            '{"type":"response.create","model":"own","input":"x","background":true}',
            (400, "unsupported_parameter", "background"),
        ),
        (
            '{"type":"response.create","model":"own","input":"x","stream_id":"a"}',
            (400, "unsupported_parameter", "stream_id"),
        ),
    ],
)
async def test_an_error_is_a_message_and_leaves_the_connection_open(
    gate: Gateway, frame: str, expected: tuple[int, str, str | None]
) -> None:
    async with dial(gate) as client:
        await client.send(frame)
        assert await error(client) == expected
        await create(client)
        assert (await events(client))[-1]["type"] == "response.completed"
    outcomes = [(each.status, each.error_code) for each in gate.outcomes]
    assert outcomes == [(expected[0], expected[1]), (200, None)]


async def test_what_a_websocket_settles_by_itself_is_ignored(gate: Gateway) -> None:
    async with dial(gate) as client:
        extra = {"stream": False, "stream_options": {"include_obfuscation": True}}
        await create(client, "[[demo echo=body]]", background=False, **extra)
        said = json.dumps((await events(client))[-1])
        assert "include_obfuscation" not in said
        assert "background" not in json.loads(said)["response"]["output"][0]["content"][0]["text"]


@pytest.mark.parametrize("name", ["own", "other"])
@pytest.mark.parametrize("fault", ["status=429,code=slow", "cut=3", "fin=3", "error=3"])
async def test_a_provider_that_fails_is_told_and_the_next_create_works(
    gate: Gateway, name: str, fault: str
) -> None:
    async with dial(gate) as client:
        await create(client, f"[[demo {fault.replace(',', ' ')}]] hello there you", model=name)
        found = await events(client)
        assert found[-1]["type"] in ("error", "response.failed")
        if "status" in fault:
            assert found[-1]["status"] == 429
        if found[-1]["type"] == "error" and len(found) > 1:  # `response.failed` follows
            assert (await events(client))[-1]["type"] == "response.failed"
        await create(client, model=name)
        assert (await events(client))[-1]["type"] == "response.completed"


async def test_an_answer_that_did_not_come_as_a_stream_is_its_last_event(
    play: Play, launch: Launch
) -> None:
    whole = {"id": "resp_1", "object": "response", "status": "completed", "model": "m",
             "output": [], "usage": {"input_tokens": 1, "output_tokens": 1,
                                     "total_tokens": 2}}  # fmt: skip
    upstream = await play(
        [expect(), send(http_json(200, whole))], [expect(), send(http_json(200, {"odd": 1}))]
    )
    served = model("*", provider(upstream.url, formats=["responses"]))
    gateway = await launch(settings(route([served], [caller()])))
    async with dial(gateway) as client:
        await create(client)
        (event,) = await events(client)
        assert (event["type"], event["response"]["id"]) == ("response.completed", "resp_1")
        await create(client)
        assert await error(client) == (502, "upstream_protocol_error", None)


async def test_a_client_that_leaves_stops_the_meter(play: Play, launch: Launch) -> None:
    created = b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n'
    began = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}
    upstream = await play([expect(), sse([created, began], end=False), hang()])
    served = model("*", provider(upstream.url, formats=["responses"]))
    gateway = await launch(settings(route([served], [caller()])))
    client = await Frames.connect(gateway.port)
    assert (await client.shake("/v1/responses", **AUTH)).status == 101
    await client.say('{"type":"response.create","model":"m","input":"x","store":false}')
    assert b"response.created" in await client.heard()
    client.rst()
    await upstream.wait_closed(2.0)
    outcome = await gateway.last()
    assert (outcome.verdict, outcome.status) == ("client_cancelled", 200)


# -- who may open one -----------------------------------------------------------------------------


async def test_who_has_no_key_gets_no_websocket(gate: Gateway) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}):
        async with await Frames.connect(gate.port) as client:
            answer = await client.shake("/v1/responses", **headers)
            assert (answer.status, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    async with await Frames.connect(gate.port) as client:
        assert (await client.shake("/v1/nothing", **AUTH)).status == 404


async def test_a_bad_handshake_is_told_in_the_dialects_envelope(gate: Gateway) -> None:
    for header, status in (("sec_websocket_version", 426), ("sec_websocket_key", 400)):
        async with await Frames.connect(gate.port) as client:
            answer = await client.shake("/v1/responses", **AUTH, **{header: "8"})
            assert answer.status == status
            assert answer.header("sec-websocket-version") == "13"
            assert answer.json()["error"]["code"] == "bad_handshake"


@pytest.mark.parametrize("mode", [None, "optional", "permissive"])
async def test_a_page_of_another_site_cannot_open_a_websocket_without_a_key(
    demo: RunningDemo, launch: Launch, mode: str | None
) -> None:
    served = model("own", provider(demo.url), "demo-small")
    keys = None if mode is None else [caller()]
    gateway = await launch(settings(route([served], keys, mode=mode or "strict")))
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:3000", 101),
    ):
        async with await Frames.connect(gateway.port) as client:
            answer = await client.shake("/v1/responses", origin=origin)
            assert answer.status == status
            if status == 403:
                assert answer.json()["error"]["code"] == "cross_site"
    if mode is not None:
        async with await Frames.connect(gateway.port) as client:
            answer = await client.shake("/v1/responses", origin="https://app.example", **AUTH)
            assert answer.status == 101


async def test_a_key_that_was_taken_away_works_no_longer_on_an_open_connection(
    demo: RunningDemo, launch: Launch
) -> None:
    served = [model("own", provider(demo.url), "demo-small")]
    gateway = await launch(settings(route(served, [caller()])))
    async with dial(gateway) as client:
        await create(client)
        assert (await events(client))[-1]["type"] == "response.completed"
        gateway.worker.reload(settings(route(served, [caller("another key")])))
        await create(client)
        assert (await error(client))[:2] == (401, "invalid_api_key")


async def test_paths_without_a_websocket_still_say_so(gate: Gateway) -> None:
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses/compact"):
        async with await Frames.connect(gate.port) as client:
            answer = await client.shake(path, **AUTH)
            assert answer.status == 426
            assert "WebSocket is not served here" in answer.body.decode()


# -- age and drain --------------------------------------------------------------------------------


async def test_an_old_connection_is_closed_between_two_responses(
    demo: RunningDemo, launch: Launch
) -> None:
    served = [model("own", provider(demo.url), "demo-small")]
    config = settings(route(served, [caller()]), deadlines=Deadlines(websocket=0.5))
    gateway = await launch(config)
    async with dial(gateway) as client:
        await create(client, "[[demo first_delay=1]]")
        await create(client, "too late")
        assert (await events(client))[-1]["type"] == "response.completed"
        assert await error(client) == (400, "websocket_connection_limit_reached", None)
        await client.wait_closed()
        assert client.close_code == 1001
    assert len(gateway.outcomes) == 1


async def test_a_response_that_outlives_the_drain_ends_with_an_error(
    demo: RunningDemo, launch: Launch
) -> None:
    served = [model("own", provider(demo.url), "demo-small")]
    config = settings(route(served, [caller()]), deadlines=Deadlines(drain=0.3, drain_forced=2.0))
    gateway = await launch(config)
    async with dial(gateway) as client, dial(gateway) as idle:
        await create(client, "[[demo hang=2]]")
        assert json.loads(await client.recv())["type"] == "response.created"
        draining = asyncio.ensure_future(gateway.worker.drain())
        await idle.wait_closed()
        assert idle.close_code == 1001
        found = await events(client)
        assert found[-1]["type"] == "error"
        assert found[-1]["error"]["code"] == "overloaded"
        await client.wait_closed()
        assert client.close_code == 1001
        assert await draining is False
    assert gateway.outcomes[0].verdict == "truncated"
