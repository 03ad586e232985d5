"""What a stream may say before it says anything, in every dialect."""

import json
from typing import Any

import pytest
from tests.support.steps import frame
from tests.unit.dialects import example_streams as streams

from portico.dialects.base import Sight
from portico.dialects.registry import CHAT, MESSAGES, RESPONSES

DIALECTS = {dialect.name: dialect for dialect in (CHAT, RESPONSES, MESSAGES)}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)

_RESPONSE = {"id": "resp_1", "status": "in_progress", "output": [], "metadata": {}}
_START = {"id": "msg_1", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}


def _data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _chunk(delta: Any, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more})


def _typed(kind: str, **members: Any) -> bytes:
    return frame({"type": kind, **members})


NOTHING: dict[str, list[bytes]] = {
    "chat": [
        b": OPENROUTER PROCESSING\n\n",
        _chunk({"role": "assistant"}),
        _chunk({"role": "assistant", "content": "", "refusal": None}),
        _chunk({"role": "assistant", "content": None, "reasoning_content": "", "tool_calls": []}),
        _chunk({}, usage=None, system_fingerprint="fp", service_tier="default", error=None),
        _data({"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "object": ""}),
        _data({"choices": [], "x_groq": {"id": "req_1"}, "model": "m"}),
        _data({"choices": [], "usage": {"prompt_tokens": 3}, "obfuscation": "ab"}),
        _chunk({"role": "assistant"}).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + _chunk({"role": "assistant"}),
        b"id: 7\nretry: 10\n" + _chunk({"role": "assistant"}),
    ],
    "responses": [
        _typed("response.created", sequence_number=0, response=_RESPONSE),
        _typed("response.queued", response=_RESPONSE),
        _typed("response.in_progress", response=_RESPONSE),
        _typed("keepalive", sequence_number=3),
        _data({"type": "response.created", "response": _RESPONSE}),
        _data({"response": _RESPONSE, "type": "response.created"}),
        b'event: response.created\r\ndata:{"type" : "response.created"}\r\n\r\n',
        b"event: response.created\ndata: {}\n\n",
        b'\xef\xbb\xbfdata: {"type":\ndata: "response.in_progress"}\n\n',
    ],
    "messages": [
        _typed("message_start", message=_START),
        _typed("ping"),
        _data({"message": _START, "type": "message_start"}),
        b"event: message_start\rdata: {}\r\r",
        b"event: ping\n\n",
    ],
}

ERROR: dict[str, list[bytes]] = {
    "chat": [
        _data({"error": {"message": "overloaded"}}),
        _data({"error": "overloaded"}),
        _data({"object": "error", "message": "no", "code": 503}),
        b"event: error\n" + _data({"message": "no"}),
        _chunk({"content": ""}, "error", error={"code": 502, "message": "no"}),
        _data({"choices": [{"index": 0, "delta": {}, "error": {"message": "no"}}]}),
        _data({"choices": [], "x_groq": {"error": "over_capacity"}}),
        _chunk({"content": ""}, "insufficient_system_resource"),
    ],
    "responses": [
        _typed("error", message="no"),
        _typed("response.failed", response={**_RESPONSE, "status": "failed"}),
        _data({"error": {"message": "no"}}),
    ],
    "messages": [
        _typed("error", error={"type": "overloaded_error"}),
        _data({"error": {"type": "overloaded_error"}, "type": "error"}),
        b"event: error\ndata: {}\n\n",
    ],
}

CONTENT: dict[str, list[bytes]] = {
    "chat": [
        _chunk({"content": "a"}),
        _chunk({"role": "assistant", "content": " "}),
        _chunk({"reasoning": "hm"}),
        _chunk({"refusal": "no"}),
        _chunk({"tool_calls": [{"index": 0, "id": "call_1"}]}),
        _chunk({"anything": {"new": 1}}),
        _chunk({}, "stop"),
        _chunk({}, citations=["https://example.org"]),
        _data({"choices": [{"index": 0, "message": {"content": "whole"}}]}),
        _data({"choices": [{"text": "legacy"}]}),
        _data({"choices": "odd"}),
        _data({"choices": [7]}),
        _data([]),
        _data({}),
        _data({"id": "c", "usage": {"prompt_tokens": 3}}),
        b"data: [DONE]\n\n",
        b"data: \xff\xfe{\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
    "responses": [
        _typed("response.output_item.added", output_index=0, item={"type": "reasoning"}),
        _typed("response.output_text.delta", delta="a"),
        _typed("response.completed", response=_RESPONSE),
        _typed("response.incomplete", response=_RESPONSE),
        _typed("something.new"),
        _data({"response": {"type": "response.created"}, "type": "response.completed"}),
        _data({"delta": '"type":"response.created"'}),
        b"event: response.created\n" + _data({"type": "response.output_text.delta"}),
        b"data: [DONE]\n\n",
        b"data: {nonsense\n\n",
    ],
    "messages": [
        _typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _typed("message_delta", delta={"stop_reason": "end_turn"}),
        _typed("message_stop"),
        _typed("something_new"),
        _data({"message": {"type": "ping"}}),
        _data(7),
    ],
}


@pytest.mark.parametrize(
    ("name", "sight", "one"),
    [
        (name, sight, one)
        for sight, table in (("nothing", NOTHING), ("error", ERROR), ("content", CONTENT))
        for name, frames in table.items()
        for one in frames
    ],
)
def test_a_frame_is_taken_for_what_it_says(name: str, sight: Sight, one: bytes) -> None:
    assert DIALECTS[name].opening(one) == sight


@each_dialect
@pytest.mark.parametrize("one", [b": keep-alive\n\n", b"\n", b"\r\n", b":\n\n", b"retry: 3\n\n"])
def test_comments_say_nothing_in_any_dialect(dialect: str, one: bytes) -> None:
    assert DIALECTS[dialect].opening(one) == "nothing"


@pytest.mark.parametrize(
    ("name", "frames", "beginning"),
    [
        ("chat", streams.CHAT_FRAMES, 1),
        ("responses", streams.RESPONSES_FRAMES, 2),
        ("messages", streams.MESSAGES_FRAMES, 1),
    ],
)
def test_a_real_stream_says_something_from_its_first_item_on(
    name: str, frames: list[bytes], beginning: int
) -> None:
    sights = [DIALECTS[name].opening(one) for one in frames]
    assert sights[: beginning + 1] == ["nothing"] * beginning + ["content"]
