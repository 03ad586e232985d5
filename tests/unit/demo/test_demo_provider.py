"""The demo provider's endpoints, errors and faults, without a socket."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests.support.asks import PATHS, WEATHER, FakeReply, ask
from tests.unit.demo.test_demo_shapes import call

from portico.demo.provider import DemoProvider
from portico.errors import BadRequest
from portico.http.messages import Request


def error_of(dialect: str, reply: FakeReply) -> dict[str, Any]:
    body = reply.json()
    if dialect == "messages":
        assert set(body) == {"type", "error", "request_id"}
        assert body["type"] == "error"
        assert set(body["error"]) == {"type", "message"}
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


@pytest.mark.parametrize("dialect", PATHS)
async def test_missing_and_malformed(dialect: str) -> None:
    content = "input" if dialect == "responses" else "messages"
    body = ask(dialect)
    broken: list[Any] = [
        {k: v for k, v in body.items() if k != gone} for gone in (content, "model")
    ]
    broken += [{**body, content: []}, {**body, content: 1}, {**body, "model": ""}]
    broken += [b"", b"{", b"[]", b"null", b"\xff", b'{"model":"\xff"}', {**body, "stream": "yes"}]
    broken += [b'{"model":' + b"[" * 5000, {**body, "model": 3}, {**body, "tools": [{}]}]
    if dialect == "messages":
        broken.append({k: v for k, v in body.items() if k != "max_tokens"})
        broken.append({**body, "temperature": 1.5})
        broken.append({**body, "thinking": {"type": "enabled", "budget_tokens": 5000}})
        broken.append({**body, "thinking": {"type": "enabled", "budget_tokens": 1}})
    elif dialect == "responses":
        broken += [{**body, "background": True, "store": False}]
        broken += [{**body, "conversation": "conv_1"}]
        broken = [each for each in broken if each != {**body, "tools": [{}]}]
    else:
        broken += [{**body, "n": 0}, {**body, "response_format": {"type": "odd"}}]
    for each in broken:
        reply = await call(PATHS[dialect], each)
        assert reply.status == 400, each
        assert error_of(dialect, reply)["type"] == "invalid_request_error"


async def test_missing_parameter_is_named() -> None:
    error = (await call("/chat/completions", {"messages": []})).json()["error"]
    assert (error["param"], error["code"]) == ("model", "missing_required_parameter")


@pytest.mark.parametrize("dialect", PATHS)
async def test_unknown_forced_tool(dialect: str) -> None:
    choice: dict[str, Any] = {
        "chat": {"type": "function", "function": {"name": "nope"}},
        "responses": {"type": "function", "name": "nope"},
        "messages": {"type": "tool", "name": "nope"},
    }[dialect]
    reply = await call(PATHS[dialect], ask(dialect, tool=WEATHER, tool_choice=choice))
    assert reply.status == 400
    assert "nope" in error_of(dialect, reply)["message"]


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("choice", ["none", "auto", "forced", "named", "allowed"])
async def test_tool_choice(dialect: str, choice: str) -> None:
    if dialect == "messages":
        kind = {"forced": "any", "named": "tool", "allowed": "auto"}.get(choice, choice)
        value: Any = {"type": kind, **({"name": "get_weather"} if kind == "tool" else {})}
    elif choice in ("named", "allowed"):
        inner = {"name": "get_weather"}
        tool = {"type": "function", **({"function": inner} if dialect == "chat" else inner)}
        allowed = {"mode": "required", "tools": [tool]}
        nested = {"allowed_tools": allowed} if dialect == "chat" else allowed
        value = tool if choice == "named" else {"type": "allowed_tools", **nested}
    else:
        value = "required" if choice == "forced" else choice
    reply = await call(PATHS[dialect], ask(dialect, tool=WEATHER, tool_choice=value))
    expected = choice in ("forced", "named") or (choice == "allowed" and dialect != "messages")
    assert (b"get_weather" in reply.body.split(b'"tools":')[0]) is expected


@pytest.mark.parametrize("dialect", PATHS)
async def test_status_directive(dialect: str) -> None:
    for stream in (False, True):
        body = ask(dialect, model="demo:status=429,retry_after=2,code=slow_down", stream=stream)
        reply = await call(PATHS[dialect], body)
        assert reply.status == 429
        assert b"retry-after: 2\r\n" in reply.headers
        error = error_of(dialect, reply)
        assert error["type"] == "rate_limit_error"
        assert error.get("code") in (None, "slow_down")


async def test_faults_can_be_used_up() -> None:
    provider = DemoProvider()
    body = ask("chat", "[[demo status=503 times=2]] hi")
    assert [(await call(PATHS["chat"], body, provider)).status for _ in range(4)] == [
        503,
        503,
        200,
        200,
    ]
    assert (await call(PATHS["chat"], ask("chat", "x", model="demo:status=500"))).status == 500


@pytest.mark.parametrize("dialect", PATHS)
async def test_streams_can_be_cut_ended_and_failed(dialect: str) -> None:
    for fault, how in (("cut", "aborted"), ("fin", "ended"), ("error", "ended")):
        reply = await call(PATHS[dialect], ask(dialect, f"[[demo {fault}=4]] Hello", stream=True))
        assert reply.how == how
        assert len(reply.pieces) == (4 if fault != "error" else 6 if dialect == "responses" else 5)
        extra = reply.data()[4:]
        if fault != "error":
            assert extra == []
        elif dialect == "responses":
            assert [event["type"] for event in extra] == ["error", "response.failed"]
            assert [event["sequence_number"] for event in extra] == [4, 5]
            assert set(extra[0]["error"]) == {"message", "type", "param", "code"}
            assert extra[1]["response"]["error"]["code"] == "server_error"
        else:
            assert "error" in extra[0]


@pytest.mark.parametrize("dialect", PATHS)
async def test_whole_answers_can_be_cut_and_failed(dialect: str) -> None:
    assert (await call(PATHS[dialect], ask(dialect, "[[demo cut=1]]"))).how == "aborted"
    assert (await call(PATHS[dialect], ask(dialect, "[[demo fin=1]]"))).how == "ended"
    assert (await call(PATHS[dialect], ask(dialect, "[[demo error=1]]"))).status == 500
    for stream in (False, True):
        body = ask(dialect, "[[demo hang=2]]", stream=stream)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call(PATHS[dialect], body), 0.05)


async def test_delays() -> None:
    start = time.perf_counter()
    await call(
        PATHS["chat"], ask("chat", "[[demo first_delay=0.05 delay=0.01 tokens=8]]", stream=True)
    )
    assert 0.13 < time.perf_counter() - start < 1.0


async def test_a_slow_client_pauses_the_stream() -> None:
    provider = DemoProvider()
    request = Request(b"POST", b"/v1/messages", b"", {}, "test", 0.0)
    body = ask("messages", "x", model="demo:tokens=50", stream=True)
    request.body = json.dumps(body).encode()
    reply = FakeReply()
    reply.on_write = lambda: reply.source.pause() if len(reply.pieces) == 10 else None
    task = asyncio.create_task(provider.handle(request, reply))
    await asyncio.sleep(0.02)
    assert len(reply.pieces) == 10
    reply.source.resume()
    await task
    assert (reply.how, len(reply.data())) == ("ended", 56)


async def test_long_streams_let_others_run_and_can_be_cancelled() -> None:
    body = ask("chat", model="demo:tokens=200000", stream=True)
    task = asyncio.create_task(call(PATHS["chat"], body))
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_stored_responses() -> None:
    provider = DemoProvider()
    first = (await call("/v1/responses", ask("responses"), provider)).json()
    stream = await call("/v1/responses", ask("responses", stream=True), provider)
    second = stream.data()[-1]["response"]
    for one in (first, second):
        path = f"/v1/responses/{one['id']}"
        assert (await call(path, b"", provider, b"GET")).json() == one
        follow = ask("responses", previous_response_id=one["id"])
        reply = (await call("/v1/responses", follow, provider)).json()
        assert reply["previous_response_id"] == one["id"]
        assert (await call(path, b"", provider, b"DELETE")).json()["deleted"] is True
        assert (await call(path, b"", provider, b"GET")).status == 404
        error = (await call("/v1/responses", follow, provider)).json()["error"]
        assert error["code"] == "previous_response_not_found"
    unstored = (await call("/v1/responses", ask("responses", store=False), provider)).json()
    path = f"/v1/responses/{unstored['id']}"
    assert (await call(path, b"", provider, b"GET")).status == 404


async def test_models_counts_and_unknown_paths() -> None:
    names = [each["id"] for each in (await call("/v1/models", b"", method=b"GET")).json()["data"]]
    assert names == ["demo-small", "demo-large", "demo-reasoner"]
    assert (await call("/models/gpt-x", b"", method=b"GET")).json()["id"] == "gpt-x"
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 398}]}
    assert (await call("/v1/messages/count_tokens", body)).json() == {"input_tokens": 100}
    body = {"model": "m", "input": "x" * 400}
    counted = (await call("/v1/responses/input_tokens", body)).json()
    assert counted == {"object": "response.input_tokens", "input_tokens": 100}
    assert (await call("/v1/chat/completions", b"", method=b"GET")).status == 405
    assert (await call("/v1/nope", b"")).status == 404


async def test_caching_shows_in_usage() -> None:
    provider = DemoProvider()
    keyed = ask("chat", "x" * 400, prompt_cache_key="k")
    for cached in (0, 96):
        usage = (await call(PATHS["chat"], keyed, provider)).json()["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == cached
    block = {"type": "text", "text": "x" * 9000, "cache_control": {"type": "ephemeral"}}
    marked = ask("messages", system=[block])
    written = (await call(PATHS["messages"], marked, provider)).json()["usage"]
    read = (await call(PATHS["messages"], marked, provider)).json()["usage"]
    assert (written["cache_creation_input_tokens"], written["cache_read_input_tokens"]) == (2048, 0)
    assert (read["cache_creation_input_tokens"], read["cache_read_input_tokens"]) == (0, 2048)
    assert written["input_tokens"] == read["input_tokens"] > 0


async def test_what_the_server_refuses_has_the_dialects_envelope() -> None:
    for dialect, path in PATHS.items():
        request = Request(b"POST", path.encode(), b"", {}, "test", 0.0)
        reply = FakeReply()
        provider = DemoProvider()
        assert provider.admit(request) is None
        provider.refuse(request, reply, BadRequest("No."))
        assert (reply.status, error_of(dialect, reply)["message"]) == (400, "No.")
