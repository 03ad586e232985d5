"""What a provider counted before its stream broke is in the record, whatever the dialects."""

from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.gateway import model, provider, route, settings
from tests.support.raw import RawClient
from tests.support.upstream import expect, rst, sse

CHUNK = {
    "id": "c", "object": "chat.completion.chunk", "model": "m",
    "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}  # fmt: skip
PIECE = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "index": 0}],
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "gathered"])
@pytest.mark.parametrize(("kind", "event"), [("custom", CHUNK), ("gemini", PIECE)])
async def test_counts_that_waited_for_the_end_are_settled(
    kind: str, event: dict[str, Any], stream: bool, launch: Launch, play: Play
) -> None:
    upstream = await play([expect(), sse([event], end=False), rst()])
    served: Any = provider(upstream.url, kind, formats=["completions"])
    gate = await launch(settings(route([model("alias", served, "m-x")])))
    async with await RawClient.connect(gate.port) as client:
        await client.request(
            "POST", "/v1/responses", {"model": "alias", "input": "Hi", "stream": stream}
        )
        answer = await client.response()
    assert b"response.completed" not in answer.body
    outcome = await gate.last()
    assert outcome.verdict == ("truncated" if stream else "upstream_error")
    assert outcome.usage is not None
    assert (outcome.usage.input_total, outcome.usage.output_total) == (5, 2)
