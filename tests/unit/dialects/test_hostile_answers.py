"""Answers that once crashed the gateway, made it send broken JSON, or kept it busy for minutes."""

import json
import time
from typing import Any

import pytest
from msgspec import Raw
from tests.support import goldens
from tests.support.goldens import Pair, case

from portico.dialects.converse.response_in import read as read_converse
from portico.dialects.messages.schemas import closed
from portico.dialects.token_counts import COUNTERS
from portico.dialects.translators import UPSTREAMS
from portico.errors import UpstreamFault
from portico.model.sequence import Sequencer

SECONDS = 4.0
"""Of processor time."""


def pair(client: str, upstream: str) -> Pair:
    return Pair(case("text"), client, upstream, goldens.body(case("text"), client, upstream))


def frames(*values: Any) -> bytes:
    return b"".join([b"data: " + json.dumps(value).encode() + b"\n\n" for value in values])


def delta(delta_: Any, **more: Any) -> Any:
    return {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta_, **more}]}


def test_odds_that_are_not_utf8_are_not_passed_on() -> None:
    """They stay raw on their way, and a client's parser would stop at them."""
    odds = b'{"content":[{"token":"\xff","logprob":-1,"bytes":[255],"top_logprobs":[]}]}'
    chunk = b'{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"a"},"logprobs":%b}]}'
    stream = b"data: " + chunk % odds + b"\n\n" + frames(delta({}, finish_reason="stop"))
    told = pair("responses", "chat").stream(stream, [])
    assert b'"delta":"a"' in told
    told.decode()


@pytest.mark.parametrize("data", ["data:", "data:x", "data:" + "a" * 600])
def test_a_picture_that_is_none_is_a_loss_and_no_crash(data: str) -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": data}
    response = {"id": "r", "status": "completed", "model": "m", "output": [item]}
    found = pair("chat", "responses")
    found.whole(json.dumps(response).encode(), [])
    found.stream(frames({"type": "response.completed", "response": response}), [])


def test_a_block_whose_names_are_not_utf8_is_skipped() -> None:
    body = (b'{"output":{"message":{"content":[{"\xf4odd":{"a":1}},{"text":"hi"}]}},'
            b'"stopReason":"end_turn"}')  # fmt: skip
    upstream = pair("chat", "converse").upstream
    assert any(getattr(event, "text", "") == "hi" for event in read_converse(body, upstream))


@pytest.mark.parametrize("value", [{}, [], 3, None, {"a": []}])
def test_a_format_that_is_no_word_is_told_and_not_sent(value: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": value}}}
    made, lost = closed(Raw(json.dumps(schema).encode()))
    assert "format" in lost
    assert "format" not in json.loads(bytes(made))["properties"]["a"]


@pytest.mark.parametrize("count", [-1, 2**60, 10**40])
@pytest.mark.parametrize("upstream", COUNTERS)
def test_a_count_that_cannot_be_is_no_count(upstream: str, count: int) -> None:
    body = json.dumps({"input_tokens": count, "totalTokens": count, "inputTokens": count}).encode()
    try:
        found = COUNTERS[upstream].read(body)
    except (ValueError, UpstreamFault):
        return
    assert 0 <= found <= 2**53


@pytest.mark.parametrize(
    "url", ["http://[", "https://[::1]:x/a.png", "http://a]b/", "https://\u2100/"]
)
@pytest.mark.parametrize("upstream", ["gemini", "messages", "responses"])
def test_an_address_nobody_can_read_is_for_the_provider_to_refuse(upstream: str, url: str) -> None:
    image = {"type": "image_url", "image_url": {"url": url}}
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": [image]}]}).encode()
    assert "image_url" not in json.loads(Pair(case("text"), "chat", upstream, body).payload)


def _time(upstream: str, stream: list[bytes]) -> float:
    reader, sequencer = UPSTREAMS[upstream].side.stream(pair("messages", upstream).upstream), None
    sequencer = Sequencer()
    start = time.thread_time()
    for at in range(0, len(stream), 100):
        sequencer.feed(reader.feed(b"".join(stream[at : at + 100])))
    reader.end()
    return time.thread_time() - start


def test_a_call_that_is_interrupted_again_and_again_is_not_read_again_and_again() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    more = {"index": 0, "function": {"arguments": '"' + "x" * 2000 + '":1,'}}
    stream = [frames(delta({"tool_calls": [call]}))]
    stream += [frames(delta({"tool_calls": [more]}), delta({"content": "a"}),
                      delta({"reasoning_content": "b"}))] * 4_000  # fmt: skip
    assert _time("chat", stream) < SECONDS


def test_items_without_an_index_are_numbered_in_one_go() -> None:
    def added(at: int) -> Any:
        item = {"type": "function_call", "call_id": f"c{at}", "name": "f", "id": f"i{at}"}
        return {"type": "response.output_item.added", "item": item}

    assert _time("responses", [frames(added(at)) for at in range(30_000)]) < SECONDS
