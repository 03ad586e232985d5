"""A translated stream that stops early is billed by what passed, and said to be an estimate."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.asks import PATHS, ask
from tests.support.gateway import model, provider, route, settings
from tests.support.raw import RawClient
from tests.support.steps import expect, fin, sse

WORDS = 60


def chat_frames() -> list[Any]:
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "word "}}]}
    return [chunk] * WORDS


def messages_frames() -> list[Any]:
    usage = {"input_tokens": 11, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    text = {"type": "text", "text": ""}
    delta = {"type": "text_delta", "text": "word "}
    return [
        {"type": "message_start", "message": {**message, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": text},
        *[{"type": "content_block_delta", "index": 0, "delta": delta}] * WORDS,
    ]


@pytest.mark.parametrize(
    ("spoken", "frames", "least_input"),
    [("completions", chat_frames, 1), ("messages", messages_frames, 11)],
)
async def test_a_cut_stream_counts_what_passed(
    spoken: str, frames: Callable[[], list[Any]], least_input: int, launch: Launch, play: Play
) -> None:
    upstream = await play([expect(), *sse(frames(), end=False), fin()])
    served = model("m", provider(upstream.url, formats=(spoken,)))
    gate = await launch(settings(route([served])))
    async with await RawClient.connect(gate.port) as client:
        await client.request("POST", PATHS["responses"], ask("responses", model="m", stream=True))
        answer = await client.response()
    assert b"response.completed" not in answer.body
    assert json.loads(answer.data_lines()[-1])["type"] == "response.failed"
    outcome = await gate.last()
    assert outcome.verdict == "truncated"
    assert outcome.usage is not None
    assert outcome.usage.estimated
    assert outcome.usage.output_text == WORDS * 5 // 4
    assert outcome.usage.input_total >= least_input
