"""Every answer and every stream event of the demo provider is what the official SDKs expect."""

import json
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.support.asks import PATHS, WEATHER, FakeReply, ask

from portico.demo.provider import DemoProvider
from portico.http.messages import Request

SCENARIOS: dict[str, dict[str, Any]] = {
    "hello": {},
    "story": {"text": "Tell me a story"},
    "reasoning": {"model": "demo-reasoner", "text": "Why?"},
    "summary": {"text": "Why?", "think": True},
    "tool": {"text": "What is the weather in Paris?", "tool": WEATHER},
    "two tools": {"text": "The weather in both Oslo and Rome?", "tool": WEATHER, "think": True},
    "tool result": {"text": "The weather?", "tool": WEATHER, "result": "12 degrees"},
    "schema": {"text": "In Rome", "schema": WEATHER},
    "cut for length": {"text": "Tell me a story", "max_tokens": 16},
    "call cut for length": {"text": "[[demo args=cut]] The weather?", "tool": WEATHER},
    "reasoning cut for length": {"text": "Why?", "think": True, "max_tokens": 16},
    "filtered": {"text": "[[demo finish=content_filter]] Hi"},
    "unicode": {"text": '[[demo text=🏮 na\u2028ïve “quotes” \\ " \u0085]]'},
    "empty": {"text": "[[demo text=]]"},
}
ADAPTERS: dict[str, tuple[Any, Any]] = {
    "chat": (TypeAdapter(ChatCompletion), TypeAdapter(ChatCompletionChunk)),
    "responses": (TypeAdapter(Response), TypeAdapter(ResponseStreamEvent)),
    "messages": (TypeAdapter(Message), TypeAdapter(RawMessageStreamEvent)),
}
_KEYS = """id object created_at completed_at status incomplete_details model previous_response_id
    instructions output error tools tool_choice truncation parallel_tool_calls text top_p
    presence_penalty frequency_penalty top_logprobs temperature reasoning usage max_output_tokens
    max_tool_calls store background service_tier metadata safety_identifier prompt_cache_key"""
RESPONSE_KEYS = frozenset(_KEYS.split())


async def call(
    path: str, body: Any, provider: DemoProvider | None = None, method: bytes = b"POST"
) -> FakeReply:
    provider = provider or DemoProvider(clock=lambda: 1_800_000_000.0, ids=lambda: "d_1")
    request = Request(method, path.encode(), b"", {}, "test", 0.0)
    request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = FakeReply()
    await provider.handle(request, reply)
    return reply


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("dialect", PATHS)
async def test_shapes(dialect: str, scenario: str) -> None:
    whole_type, event_type = ADAPTERS[dialect]
    reply = await call(PATHS[dialect], ask(dialect, **SCENARIOS[scenario]))
    assert reply.status == 200, reply.body
    whole_type.validate_json(reply.body)
    streamed = await call(PATHS[dialect], ask(dialect, **SCENARIOS[scenario], stream=True))
    assert streamed.how == "ended"
    for piece, event in zip(streamed.pieces, streamed.data(), strict=False):
        assert piece.endswith(b"\n\n")
        assert piece.count(b"\n") == (2 if dialect == "chat" else 3)
        if event.get("type") == "ping":
            continue
        parsed = event_type.validate_python(event)
        if dialect != "chat":
            assert piece.startswith(f"event: {event['type']}\ndata: ".encode())
            assert type(parsed).model_fields["type"].annotation.__args__ == (event["type"],)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_responses_stream_grammar(scenario: str) -> None:
    body = ask("responses", **SCENARIOS[scenario])
    whole = (await call(PATHS["responses"], body)).json()
    events = (await call(PATHS["responses"], {**body, "stream": True})).data()
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["response"] == whole
    assert events[-1]["type"] == f"response.{whole['status']}"
    for event in (events[0], events[1], events[-1]):
        assert set(event["response"]) >= RESPONSE_KEYS
    assert events[0]["response"]["output"] == []
    assert events[0]["response"]["usage"] is None
    texts: dict[str, str] = {}
    items, parts = {}, {}
    for event in events[2:-1]:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(items)
            items[event["item"]["id"]] = event["item"]
        elif kind == "response.output_item.done":
            assert whole["output"][event["output_index"]] == event["item"]
            del items[event["item"]["id"]]
            items[event["item"]["id"] + " closed"] = event["item"]
        elif kind.endswith("part.added"):
            assert event["item_id"] in items
            parts[event["item_id"]] = event["part"]
        elif kind.endswith("part.done"):
            del parts[event["item_id"]]
        elif kind.endswith(".delta"):
            assert event["item_id"] in items
            assert event["delta"]
            texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
        else:
            done = event.get("text", event.get("arguments"))
            assert done == texts.get(event["item_id"], "")
    assert len(items) == len(whole["output"])
    assert all(name.endswith(" closed") for name in items)
    assert not parts


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_chat_stream_folds_to_the_answer(scenario: str) -> None:
    body = ask("chat", **SCENARIOS[scenario])
    whole = (await call(PATHS["chat"], body)).json()
    more = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = await call(PATHS["chat"], {**body, **more})
    assert streamed.pieces[-1] == b"data: [DONE]\n\n"
    *chunks, last = streamed.data()
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert all(chunk["usage"] is None for chunk in chunks)
    choice = whole["choices"][0]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for key in ("content", "reasoning_content"):
        text = "".join(delta.get(key) or "" for delta in deltas)
        assert text == (choice["message"].get(key) or "")
    calls: dict[int, str] = {}
    for delta in deltas:
        for each in delta.get("tool_calls", ()):
            calls[each["index"]] = calls.get(each["index"], "") + each["function"]["arguments"]
    wanted = choice["message"].get("tool_calls", [])
    assert list(calls.values()) == [each["function"]["arguments"] for each in wanted]
    assert whole["usage"]["completion_tokens"] == sum(
        bool(delta.get("content") or delta.get("reasoning_content")) for delta in deltas
    ) + sum(1 for d in deltas for each in d.get("tool_calls", ()) if each["function"]["arguments"])


async def test_usage_is_only_streamed_when_asked() -> None:
    streamed = await call(PATHS["chat"], ask("chat", stream=True))
    assert all("usage" not in chunk for chunk in streamed.data())


async def test_messages_usage_is_cumulative_and_thinking_is_signed() -> None:
    body = ask("messages", "Why?", think=True)
    whole = (await call(PATHS["messages"], body)).json()
    events = (await call(PATHS["messages"], {**body, "stream": True})).data()
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    start = events[0]["message"]["usage"]
    final = events[-2]["usage"]
    assert start["input_tokens"] == final["input_tokens"] == whole["usage"]["input_tokens"]
    assert final["output_tokens"] == whole["usage"]["output_tokens"] > 1
    signature = next(e["delta"] for e in events if e.get("delta", {}).get("signature"))
    assert signature["signature"] == whole["content"][0]["signature"]
    replay = {"role": "assistant", "content": whole["content"]}
    again = ask("messages", "And now?")
    again["messages"] = [*body["messages"], replay, *again["messages"]]
    assert (await call(PATHS["messages"], again)).status == 200
    replay["content"][0]["thinking"] += "."
    refused = await call(PATHS["messages"], again)
    assert (refused.status, refused.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_replayed_reasoning_must_be_ours() -> None:
    output = (await call(PATHS["responses"], ask("responses", think=True))).json()["output"]
    item = output[0]
    body = {"model": "m", "input": [*output, {"role": "user", "content": "go on"}]}
    assert (await call(PATHS["responses"], body)).status == 200
    item["encrypted_content"] = item["encrypted_content"][:-4]
    error = (await call(PATHS["responses"], body)).json()["error"]
    assert error["code"] == "invalid_encrypted_content"
