"""The example streams and our own frames are what the official SDKs expect."""

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response, ResponseFailedEvent, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.unit.dialects import example_streams as streams

from portico.dialects.chat.lens import Tap as ChatTap
from portico.dialects.messages.lens import Tap as MessagesTap
from portico.dialects.registry import DIALECTS
from portico.dialects.responses.lens import Tap as ResponsesTap
from portico.errors import RateLimited, UpstreamTruncated
from portico.wire.sse import frame_data

CUT = UpstreamTruncated("The provider's answer was cut.")


def payloads(frames: list[bytes]) -> list[Any]:
    found = [frame_data(part) for part in frames]
    return [json.loads(data) for data in found if data and data != b"[DONE]"]


def test_the_examples_are_valid_for_the_sdks() -> None:
    for chunk in payloads(streams.CHAT_FRAMES):
        ChatCompletionChunk.model_validate(chunk)
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in payloads(streams.RESPONSES_FRAMES):
        assert type(adapter.validate_python(event)).__name__.startswith("Response")
    other: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    for event in payloads(streams.MESSAGES_FRAMES):
        if event["type"] != "ping":
            other.validate_python(event)


def openai_client(body: bytes, status: int = 200) -> openai.OpenAI:
    kind = "text/event-stream" if status == 200 else "application/json"
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(status, content=body, headers={"content-type": kind})
    )
    return openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0)


def test_openai_raises_on_a_cut_chat_stream() -> None:
    tap = ChatTap()
    body = tap.feed(b"".join(streams.CHAT_FRAMES[:2])) + tap.truncation_frames(CUT)
    with openai_client(body) as client:
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        with pytest.raises(openai.APIError, match="was cut"):
            list(stream)


def test_openai_raises_on_a_cut_responses_stream_and_knows_the_failed_event() -> None:
    tap = ResponsesTap()
    body = tap.feed(b"".join(streams.RESPONSES_FRAMES[:5]))
    marks = tap.truncation_frames(CUT)
    failed = ResponseFailedEvent.model_validate(
        json.loads(frame_data(marks[marks.index(b"event: response.failed") :]))
    )
    assert isinstance(failed.response, Response)
    assert failed.response.status == "failed"
    with openai_client(body + marks) as client:
        stream = client.responses.create(model="m", input="x", stream=True)
        with pytest.raises(openai.APIError, match="was cut"):
            list(stream)


def test_anthropic_raises_on_a_cut_message() -> None:
    tap = MessagesTap()
    body = tap.feed(b"".join(streams.MESSAGES_FRAMES[:3])) + tap.truncation_frames(CUT)
    with pytest.raises(anthropic.APIStatusError, match="was cut"):
        read_message_stream(body)


def read_message_stream(body: bytes) -> list[Any]:
    answer = httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})
    transport = httpx2.MockTransport(lambda request: answer)
    with anthropic.Anthropic(
        api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0
    ) as client:
        return list(client.messages.create(model="m", max_tokens=9, messages=[], stream=True))


def test_our_errors_become_the_sdks_own_exceptions() -> None:
    body = DIALECTS["completions"].encode_error(RateLimited("Slow down."), "req_1")
    with (
        openai_client(body, 429) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(model="m", messages=[])
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.type == "rate_limit_error"
