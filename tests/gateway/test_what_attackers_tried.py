"""Attacks that worked once, each with the promise that stops it now."""

import asyncio
import gc
import json
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import (
    ScriptedUpstream,
    expect,
    fin,
    hang,
    http_head,
    http_json,
    send,
    sleep,
    sse,
)

from portico.http.messages import Request

PATH = "/v1/chat/completions"
BASE = {"model": "small", "messages": [{"role": "user", "content": "x"}]}
ANSWER = {"id": "a", "model": "m", "choices": [], "usage": {"prompt_tokens": 1}}


@pytest.fixture
async def upstream(play: Play) -> ScriptedUpstream:
    return await play()


@pytest.fixture
async def gate(launch: Launch, upstream: ScriptedUpstream) -> Gateway:
    models = [model(name, provider(upstream.url)) for name in ("small", "big")]
    return await launch(settings(route(models, [caller(models=["small"])])))


async def post(gate: Gateway, body: Any, path: str = PATH) -> RawResponse:
    client = await RawClient.connect(gate.port)
    data = json.dumps(body).encode()
    headers = {"authorization": f"Bearer {CALLER_KEY}", "content-type": "application/json"}
    await client.request("POST", path, data, headers)
    answer = await client.response()
    client.close()
    return answer


async def test_a_failed_request_gives_its_body_back_at_once(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    html = b"<html>no</html>"
    head = http_head(413, {"content-type": "text/html", "content-length": str(len(html))})
    big = {**BASE, "metadata": {"pad": "x" * 1_000_000}}
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            upstream.add([expect(), send(head + html)])
            assert (await post(gate, big)).status == 413
        await asyncio.sleep(0.05)
        held = [r for r in gc.get_objects() if isinstance(r, Request) and len(r.body) > 500_000]
        assert len(held) <= 1  # the connection may still know its last one
    finally:
        gc.enable()


async def test_an_empty_finish_reason_is_no_finish(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": ""}]}
    upstream.add([expect(), sse([json.dumps(chunk)], end=False), fin()])
    answer = await post(gate, {**BASE, "stream": True})
    assert not answer.ended
    assert b'"error"' in answer.body
    assert (await gate.last()).verdict == "truncated"


async def test_half_a_json_answer_without_framing_is_a_502(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    head = http_head(200, {"content-type": "application/json", "connection": "close"})
    upstream.add([expect(), send(head + b'{"choices":[{"message":{"content":"half"}'), fin()])
    assert (await post(gate, BASE)).status == 502


@pytest.mark.parametrize(
    "more",
    [
        {"Model": "big"},
        {"MODEL": "big"},
        {"Stream": True},
        {"models": ["big"]},
        {"preset": "x"},
        {"tools": [{"type": "image_generation", "model": "big"}]},
    ],
)
async def test_no_other_field_names_another_model(
    gate: Gateway, upstream: ScriptedUpstream, more: dict[str, Any]
) -> None:
    upstream.add([expect(), send(http_json(200, ANSWER))])
    answer = await post(gate, {**BASE, **more})
    assert answer.status in (400, 403, 404)
    assert upstream.requests == []


async def test_a_stray_answer_is_not_given_to_the_next_caller(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    stray = http_json(200, {**ANSWER, "id": "stray"})
    upstream.add(
        [
            expect(),
            send(http_json(200, {**ANSWER, "id": "first"}) + stray[:20]),
            sleep(0.05),
            send(stray[20:]),
            hang(),
        ]
    )
    upstream.add([expect(), send(http_json(200, {**ANSWER, "id": "second"}))])
    assert (await post(gate, BASE)).json()["id"] == "first"
    await asyncio.sleep(0.1)
    assert (await post(gate, BASE)).json()["id"] == "second"


async def test_leaving_after_the_finish_reason_does_not_dodge_the_meter(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
    upstream.add([expect(), sse([json.dumps(last), json.dumps(usage), "[DONE]"], gap=0.15)])
    client = await RawClient.connect(gate.port)
    headers = {"authorization": f"Bearer {CALLER_KEY}", "content-type": "application/json"}
    await client.request("POST", PATH, json.dumps({**BASE, "stream": True}).encode(), headers)
    await client.head()
    client.rst()
    outcome = await gate.last()
    assert outcome.usage is not None
    assert (outcome.usage.input_total, outcome.usage.output_total) == (7, 5)


async def test_an_http_1_0_client_sees_that_a_large_answer_was_cut(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    big = b'{"x":"' + b"x" * 3_000_000
    chunked = http_head(200, {"content-type": "application/json", "transfer-encoding": "chunked"})
    upstream.add([expect(), send(chunked + b"%x\r\n%b\r\n" % (len(big), big)), sleep(0.2), fin()])
    client = await RawClient.connect(gate.port)
    body = json.dumps(BASE).encode()
    await client.send(
        b"POST %b HTTP/1.0\r\ncontent-length: %d\r\nauthorization: Bearer %b\r\n\r\n%b"
        % (PATH.encode(), len(body), CALLER_KEY.encode(), body)
    )
    await client.closed(5.0)
    assert client.was_reset
    client.close()


async def test_a_page_of_another_site_cannot_spend_a_keyless_gateways_money(
    launch: Launch, upstream: ScriptedUpstream
) -> None:
    gate = await launch(settings(route([model("small", provider(upstream.url))])))
    body = json.dumps(BASE).encode()
    for origin, status in (("https://evil.example", 403), ("http://localhost:3000", 200)):
        client = await RawClient.connect(gate.port)
        upstream.add([expect(), send(http_json(200, ANSWER))])
        await client.request("POST", PATH, body, {"origin": origin, "content-type": "text/plain"})
        assert (await client.response()).status == status
        client.close()
