"""Every answer is metered, streamed too, and the client sees no more than it asked for."""

import json
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.asks import PATHS, ask
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, http_json, rst, send, sse

from portico.limits import Limits

DIALECTS = sorted(PATHS)
CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "m-1"}
CHAT_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def chat_frames(usage: bool) -> list[str]:
    frames: list[dict[str, Any]] = [
        {**CHUNK, "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]},
        {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    if usage:
        frames.append({**CHUNK, "choices": [], "usage": CHAT_USAGE})
    return [*map(json.dumps, frames), "[DONE]"]


STREAMS: dict[str, list[Any]] = {
    "chat": chat_frames(usage=True),
    "responses": [
        {"type": "response.created", "response": {"id": "r", "model": "m-1", "usage": None}},
        {
            "type": "response.completed",
            "response": {
                "id": "r",
                "model": "m-1",
                "status": "completed",
                "usage": {
                    "input_tokens": 20,
                    "output_tokens": 9,
                    "total_tokens": 29,
                    "input_tokens_details": {"cached_tokens": 5},
                    "output_tokens_details": {"reasoning_tokens": 4},
                },
            },
        },
    ],
    "messages": [
        {
            "type": "message_start",
            "message": {
                "id": "m",
                "model": "m-1",
                "usage": {
                    "input_tokens": 15,
                    "cache_read_input_tokens": 5,
                    "cache_creation_input_tokens": 0,
                    "output_tokens": 1,
                },
            },
        },
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ],
}


@pytest.fixture
async def upstream(play: Play) -> ScriptedUpstream:
    return await play()


@pytest.fixture
async def gate(launch: Launch, upstream: ScriptedUpstream) -> Gateway:
    served = provider(upstream.url)
    keys = [caller(user="alice")]
    return await launch(settings(route([model("alias", served, "up-1")], keys)))


async def post(gate: Gateway, dialect: str, **more: Any) -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        body = ask(dialect, model="alias", **more)
        await client.request(
            "POST", PATHS[dialect], body, {"authorization": f"Bearer {CALLER_KEY}"}
        )
        return await client.response()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_leaves_a_whole_record(
    dialect: str, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.add([expect(), sse(STREAMS[dialect])])
    answer = await post(gate, dialect, stream=True)
    assert (answer.status, answer.ended) == (200, True)
    outcome = await gate.last()
    usage = outcome.usage
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read, usage.cache_write) == (15, 5, 0)
    assert usage.output_total == 9
    assert usage.reasoning == (0 if dialect == "messages" else 4)
    assert not usage.estimated
    assert outcome.request_id == answer.header("x-request-id")
    assert (outcome.method, outcome.peer, outcome.endpoint) == (
        "POST",
        "127.0.0.1",
        PATHS[dialect],
    )
    assert (outcome.dialect, outcome.lane, outcome.operation) == (dialect, "splice", "chat")
    assert (outcome.provider, outcome.alias) == ("upstream", "alias")
    assert (outcome.upstream_model, outcome.response_model) == ("up-1", "m-1")
    assert (outcome.stream, outcome.status, outcome.verdict) == (True, 200, "ok")
    assert (outcome.attempts, outcome.error_code) == (1, None)
    assert outcome.caller == {"user": "alice"}
    assert outcome.bytes_out == len(answer.body)
    assert outcome.bytes_in == len(json.dumps(ask(dialect, model="alias", stream=True)))
    assert (
        outcome.started
        <= outcome.upstream_started
        <= outcome.upstream_first_byte
        <= outcome.first_byte
        <= outcome.finished
    )
    assert outcome.upstream_first_byte <= outcome.upstream_finished <= outcome.finished


async def test_a_chat_stream_is_asked_for_usage_and_hides_it(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.add([expect(), sse(STREAMS["chat"])])
    answer = await post(gate, "chat", stream=True)
    assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}
    assert answer.data_lines() == [line.encode() for line in chat_frames(usage=False)]
    assert b"usage" not in answer.body
    assert (await gate.last()).usage is not None


@pytest.mark.parametrize("wish", [None, {}, {"include_usage": None}, {"include_usage": False}])
async def test_only_a_true_wish_counts(
    wish: Any, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.add([expect(), sse(STREAMS["chat"])])
    answer = await post(gate, "chat", stream=True, stream_options=wish)
    assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}
    assert b"usage" not in answer.body


async def test_who_asks_for_usage_sees_the_chunk(gate: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.add([expect(), sse(STREAMS["chat"])])
    answer = await post(gate, "chat", stream=True, stream_options={"include_usage": True})
    assert answer.data_lines() == [line.encode() for line in STREAMS["chat"]]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_tells_no_usage_is_served_all_the_same(
    dialect: str, stream: bool, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    silent: dict[str, list[Any]] = {
        "chat": chat_frames(usage=False),
        "responses": [{"type": "response.completed", "response": {"status": "completed"}}],
        "messages": [{"type": "message_stop"}],
    }
    if stream:
        upstream.add([expect(), sse(silent[dialect])])
    else:
        upstream.add([expect(), send(http_json(200, {"id": "x"}))])
    answer = await post(gate, dialect, stream=stream)
    assert (answer.status, answer.ended) == (200, True)
    outcome = await gate.last()
    assert (outcome.verdict, outcome.usage) == ("ok", None)


@pytest.mark.parametrize("told", [1, 2])
async def test_a_cut_stream_is_billed_for_what_was_told(
    told: int, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    """Also when only its beginning came, and the client was told that nothing did."""
    upstream.add([expect(), sse(STREAMS["messages"][:told], end=False), rst()])
    answer = await post(gate, "messages", stream=True)
    assert (answer.status, answer.ended) == ((502, True) if told == 1 else (200, False))
    outcome = await gate.last()
    verdict = "upstream_error" if told == 1 else "truncated"
    assert (outcome.verdict, outcome.error_code) == (verdict, "upstream_truncated")
    assert outcome.usage is not None
    assert outcome.usage.input_total == 20


async def test_an_answer_is_a_stream_when_the_provider_says_so(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    whole = http_json(200, {"id": "x", "model": "m-1", "usage": CHAT_USAGE})
    upstream.add([expect(), send(whole)], [expect(), sse(STREAMS["chat"])])
    answer = await post(gate, "chat", stream=True)
    assert answer.header("content-type") == "application/json"
    assert (await gate.last()).usage is not None
    answer = await post(gate, "chat", stream=False)
    assert answer.header("content-type") == "text/event-stream"
    assert (await gate.last(2)).usage is not None


@pytest.mark.parametrize("stream", [False, True])
async def test_the_seeds_metric_shows_input_and_output(
    stream: bool, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    body = {"id": "x", "model": "m-1", "usage": CHAT_USAGE}
    for _ in range(3):
        upstream.add([expect(), sse(STREAMS["chat"]) if stream else [send(http_json(200, body))]])
        await post(gate, "chat", stream=stream)
    for name in ("portico_gen_ai_client_token_usage", "gen_ai_client_token_usage"):
        for kind, total in (("input", 60), ("output", 27)):
            labels = {"gen_ai_token_type": kind, "gen_ai_request_model": "alias"}
            assert gate.sample(f"{name}_sum", **labels) == total
            assert gate.sample(f"{name}_count", **labels) == 3
        assert gate.sample(f"{name}_sum", gen_ai_response_model="m-1", gen_ai_token_type="input")
    assert gate.sample("portico_requests_in_flight") == 0


async def test_limits_that_are_hit_are_counted(launch: Launch, upstream: ScriptedUpstream) -> None:
    limits = Limits(
        json_depth=8, json_items=5, sse_frame_bytes=100, response_bytes=2000, response_hold_bytes=10
    )
    gate = await launch(
        settings(route([model("alias", provider(upstream.url))], [caller()]), limits=limits)
    )
    upstream.add(
        [expect(), sse(["{}", b"data: " + b"x" * 5000], end=False, gap=0.05)],
        [expect(), send(http_json(200, {"pad": "x" * 900_000}))],
    )
    turn = {"role": "user", "content": "x"}
    deep: Any = 1
    for _ in range(8):
        deep = [deep]
    assert (await post(gate, "chat", messages=[turn] * 6)).status == 400
    assert (await post(gate, "chat", metadata={"a": deep})).status == 400
    assert not (await post(gate, "chat", stream=True)).ended
    assert (await post(gate, "chat")).status == 502
    for limit in ("jsonItems", "jsonDepth", "sseFrameBytes", "responseBytes"):
        assert gate.sample("portico_limit_hits_total", limit=limit) == 1, limit
