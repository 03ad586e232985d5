"""`GET /v1/models`: what this caller may use, in the shape this caller expects."""

import asyncio
import time
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.gateway import (
    CALLER_KEY,
    OPERATOR_KEY,
    Gateway,
    caller,
    model,
    provider,
    route,
    settings,
)
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import expect, hang, http_json, rst, send, sleep

from portico.gateway import models as models_module


def listing(*ids: str) -> list[Any]:
    data = [{"id": name, "object": "model", "owned_by": "them", "extra": 1} for name in ids]
    return [expect(), send(http_json(200, {"object": "list", "data": data}))]


async def get(
    gate: Gateway, path: str = "/v1/models", key: str = CALLER_KEY, **headers: str
) -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        await client.request("GET", path, None, {"authorization": f"Bearer {key}", **more})
        return await client.response()


def ids(answer: RawResponse) -> list[str]:
    assert answer.status == 200, answer.body
    return [each["id"] for each in answer.json()["data"]]


async def test_the_list_is_openais_shape_in_the_order_of_the_file(launch: Launch) -> None:
    served = provider("http://127.0.0.1:9", name="us")
    models = [model("b", served), model("a", served), model("h", served, visibility="internal")]
    gate = await launch(settings(route(models, [caller()])))
    for path in ("/v1/models", "/models", "/v1/models?limit=5"):
        answer = await get(gate, path)
        body = answer.json()
        assert body["object"] == "list"
        assert [each["id"] for each in body["data"]] == ["b", "a"]
        assert all(
            each.keys() == {"id", "object", "created", "owned_by"} and each["owned_by"] == "us"
            for each in body["data"]
        )
        assert answer.header("x-request-id") is not None
    outcome = await gate.last()
    assert (outcome.endpoint, outcome.operation, outcome.status) == ("/v1/models", "models", 200)


async def test_anthropic_clients_get_anthropics_shape(launch: Launch) -> None:
    gate = await launch(
        settings(route([model(name, provider("http://127.0.0.1:9")) for name in "ab"], [caller()]))
    )
    answer = await get(gate, anthropic_version="2023-06-01")
    body = answer.json()
    assert (body["first_id"], body["last_id"], body["has_more"]) == ("a", "b", False)
    assert body["data"][0].keys() == {"id", "type", "display_name", "created_at"}
    assert answer.header("request-id") is not None
    missing = await get(gate, "/v1/models/c", anthropic_version="2023-06-01")
    assert missing.status == 404
    assert missing.json()["type"] == "error"
    empty = await launch(settings(route([], [caller()])))
    assert (await get(empty, anthropic_version="1")).json()["first_id"] is None


async def test_a_key_sees_only_what_it_may_use(launch: Launch, play: Play) -> None:
    upstream = await play(default=listing("gpt-1", "gpt-2", "o-9"))
    served = provider(upstream.url, "openAI")
    models = [model("mine", served, "x"), model("theirs", served, "x"), model("*", served)]
    keys = [
        caller("all"),
        caller("one", ["mine"]),
        caller("pattern", ["gpt-*"]),
        caller("named", ["special-tune"]),
        caller("none", ["absent-*"]),
    ]
    gate = await launch(settings(route(models, keys)))
    assert ids(await get(gate, key="all")) == ["mine", "theirs", "gpt-1", "gpt-2", "o-9"]
    assert ids(await get(gate, key="one")) == ["mine"]
    assert ids(await get(gate, key="pattern")) == ["gpt-1", "gpt-2"]
    assert ids(await get(gate, key="named")) == ["special-tune"], "the wildcard serves it"
    assert ids(await get(gate, key="none")) == []
    assert (await get(gate, "/v1/models/theirs", key="one")).status == 404
    assert (await get(gate, "/v1/models/gpt-77", key="pattern")).status == 200


async def test_a_wildcard_asks_its_provider_once_with_the_operators_key(
    launch: Launch, play: Play
) -> None:
    slow = listing("a", "models/b")
    upstream = await play([expect(), sleep(0.1), *slow[1:]])
    served = provider(upstream.url, "openAI")
    models = [model("up/*", served, strip_prefix="up/"), model("a*", served)]
    gate = await launch(settings(route(models, [caller()])))
    answers = await asyncio.gather(*(get(gate) for _ in range(5)))
    assert all(ids(answer) == ["up/a", "up/b", "a"] for answer in answers)
    assert ids(await get(gate)) == ["up/a", "up/b", "a"]
    assert len(upstream.requests) == 1, "asked once for all callers and both entries"
    sent = upstream.requests[0]
    assert (sent.method, sent.target) == ("GET", "/v1/models")
    assert sent.head["authorization"] == f"Bearer {OPERATOR_KEY}"
    assert CALLER_KEY.encode() not in sent.raw
    gate.worker.reload(gate.worker.settings)
    upstream.add(listing("c"))
    assert ids(await get(gate)) == ["up/c"], "a reload asks again"


async def test_anthropics_list_is_asked_for_as_one_page(launch: Launch, play: Play) -> None:
    upstream = await play(listing("claude-1"))
    gate = await launch(
        settings(route([model("*", provider(upstream.url, "anthropic"))], [caller()]))
    )
    assert ids(await get(gate)) == ["claude-1"]
    sent = upstream.requests[0]
    assert sent.target == "/v1/models?limit=1000"
    assert sent.head["x-api-key"] == OPERATOR_KEY
    assert sent.head["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize(
    "script",
    [
        [expect(), rst()],
        [expect(), send(http_json(500, {"error": "no"}))],
        [expect(), send(http_json(200, {"data": "odd"}))],
        [expect(), send(http_json(200, [1]))],
        [expect(), send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\xff{[")],
    ],
    ids=["reset", "500", "wrong type", "array", "not json"],
)
async def test_a_provider_that_cannot_list_fails_nobody(
    script: Any, launch: Launch, play: Play
) -> None:
    dead = await play(default=script)
    alive = await play(default=listing("ok"))
    models = [
        model("dead/*", provider(dead.url, "openAI"), strip_prefix="dead/"),
        model("fixed", provider(dead.url, "openAI")),
        model("ok*", provider(alive.url, "openAI")),
    ]
    gate = await launch(settings(route(models, [caller()])))
    for _ in range(2):
        assert ids(await get(gate)) == ["fixed", "ok"]
    assert len(dead.requests) == 1, "and is left in peace for a while"


async def test_silent_providers_are_waited_for_once_not_in_turn(
    launch: Launch, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "PATIENCE", 0.3)
    silent = [await play(default=[expect(), hang()]) for _ in range(4)]
    models = [
        model(f"{n}/*", provider(each.url, "openAI"), strip_prefix=f"{n}/")
        for n, each in enumerate(silent)
    ]
    gate = await launch(settings(route([*models, model("m", provider("http://127.0.0.1:9"))])))
    start = time.perf_counter()
    assert ids(await get(gate)) == ["m"]
    assert time.perf_counter() - start < 0.9
    for each in silent:
        await each.wait_closed(1.0)


async def test_a_long_list_of_a_provider_is_read_whole(launch: Launch, play: Play) -> None:
    data = [{"id": f"m{n}", "description": "x" * 3000} for n in range(700)]
    upstream = await play([expect(), send(http_json(200, {"data": data}))])
    gate = await launch(settings(route([model("*", provider(upstream.url, "openAI"))])))
    assert len(ids(await get(gate))) == 700


async def test_a_name_with_slashes_and_escapes_can_be_retrieved(launch: Launch) -> None:
    models = [model("meta/llama 3", provider("http://127.0.0.1:9"))]
    gate = await launch(settings(route(models, [caller()])))
    for path in (
        "/v1/models/meta/llama%203",
        "/v1/models/meta%2Fllama%203",
        "/models/meta/llama%203",
    ):
        assert (await get(gate, path)).json()["id"] == "meta/llama 3"
    for path in ("/v1/models/meta", "/v1/models/..%2f", "/v1/models/%00", "/v1/models/%ff"):
        answer = await get(gate, path)
        assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")
