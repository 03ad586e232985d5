"""Clients that leave or are slow, and providers that send too much, between every two dialects."""

import asyncio
import json
from typing import Any

import pytest
from tests.faults.conftest import KEY, Launch, Play, answer_of, settled
from tests.faults.lane import MIB, Oracle, every_pair, stand
from tests.faults.tongues import COUNTS, TONGUES, aws, is_broken, is_whole, text_of, told
from tests.support.asks import PATHS, ask
from tests.support.raw import RawClient
from tests.support.steps import LAST_CHUNK, Script, chunk
from tests.support.upstream import expect, hang, http_head, send

# -- clients that leave, and slow ones ------------------------------------------------------------

_WHEN = ("waiting for the head", "after the head", "mid-stream", "inside a frame", "whole answer")


def _left(upstream: str, when: str) -> Script:
    tongue = TONGUES[upstream]
    opening = tongue.opening
    if when == "waiting for the head":
        return [expect(), hang()]
    if when == "after the head":
        return [expect(), *told(upstream, [], end=False), hang()]
    if when == "mid-stream":
        return [expect(), *told(upstream, opening, end=False), hang()]
    if when == "inside a frame":
        part = chunk(opening[-1][:20])
        return [expect(), *told(upstream, opening[:-1], end=False), send(part), hang()]
    head = {"content-type": "application/json", "content-length": "100000"}
    return [expect(), send(http_head(200, head) + b"{"), hang()]


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("when", _WHEN)
@every_pair
async def test_a_client_that_leaves_stops_the_meter(
    client: str, upstream: str, when: str, how: str, play: Play, launch: Launch
) -> None:
    provider_ = await play(_left(upstream, when))
    gateway = await stand(launch, provider_, upstream, first_byte=20.0, idle=20.0)
    oracle = Oracle(gateway)
    streamed = when != "whole answer"
    raw = await RawClient.connect(gateway.port)
    await raw.request("POST", PATHS[client], ask(client, stream=streamed), KEY)
    await provider_.wait_requests(1)
    if when in ("mid-stream", "inside a frame"):
        await raw.read(1)
    await asyncio.sleep(0.05)
    raw.rst() if how == "rst" else raw.close()
    assert await provider_.wait_closed(1.0) < 0.5  # 300 ms, and a machine under test
    outcome = await oracle.check("client_cancelled", code="client_cancelled")
    assert outcome.status == (200 if when in ("mid-stream", "inside a frame") else 499)
    if when in ("mid-stream", "inside a frame"):
        assert outcome.usage.output_total > 0, "what passed is settled"
        if upstream == "messages":
            assert outcome.usage.input_total == COUNTS[0]


def _long(upstream: str, size: int) -> list[bytes]:
    """The opening with one long piece of text, many times."""
    tongue = TONGUES[upstream]
    piece = tongue.opening[-1]
    if upstream == "converse":
        text = {"contentBlockIndex": 0, "delta": {"text": "x" * 4000}}
        piece = aws("contentBlockDelta", text)
    else:
        piece = piece.replace("e \U0001f600".encode(), b"x" * 4000)
    return [piece] * (size // len(piece))


@every_pair
async def test_a_slow_client_slows_the_provider_and_fills_nothing(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    tongue = TONGUES[upstream]
    rest = b"".join(_long(upstream, 8 * MIB))
    script = [expect(), *told(upstream, tongue.opening, end=False), send(chunk(rest)),
              *[send(chunk(each)) for each in tongue.closing], send(LAST_CHUNK)]  # fmt: skip
    provider_ = await play(script)
    gateway = await stand(launch, provider_, upstream, write=5.0, idle=5.0, total=60.0)
    async with await RawClient.connect(gateway.port, rcvbuf=8192) as raw:
        await raw.request("POST", PATHS[client], ask(client, stream=True), KEY)
        await provider_.wait_requests(1)
        server = gateway.worker._servers[0]
        await settled(lambda: any(each.write_paused for each in server.connections))
        (pool,) = gateway.worker.client._pools.values()
        await settled(lambda: all(each._paused for each in pool._open))
        (connection,) = server.connections
        held = connection._transport.get_write_buffer_size()
        assert held <= 2 * MIB, f"{held} bytes wait for the client"
        answer = await raw.response(30.0)
    is_whole(client, answer)
    assert len(text_of(client, answer)) > 7 * MIB
    assert (await gateway.last()).verdict == "ok"


# -- more than anybody should hold ----------------------------------------------------------------


def _items(upstream: str, many: int) -> list[bytes]:
    """A stream that opens an item with every event and ends none of them."""
    opening = TONGUES[upstream].opening[0]

    def call(at: int) -> Any:
        if upstream == "chat":
            function = {"name": "f", "arguments": "{"}
            one = {"index": at, "id": f"c{at}", "type": "function", "function": function}
            return {"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [one]}}]}
        if upstream == "responses":
            item = {"type": "function_call", "call_id": f"c{at}", "name": "f", "arguments": ""}
            return {"type": "response.output_item.added", "output_index": at, "item": item}
        if upstream == "messages":
            block = {"type": "tool_use", "id": f"c{at}", "name": "f", "input": {}}
            return {"type": "content_block_start", "index": at, "content_block": block}
        return {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]}

    if upstream == "converse":
        return [
            opening,
            *[
                aws("contentBlockStart", {"contentBlockIndex": at,
                                          "start": {"toolUse": {"toolUseId": f"c{at}",
                                                                "name": "f"}}})
                for at in range(many)
            ],
        ]  # fmt: skip
    data = [b"data: " + json.dumps(call(at)).encode() + b"\n\n" for at in range(many)]
    return data if upstream == "gemini" else [opening, *data]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@every_pair
async def test_an_answer_of_too_many_items_is_refused(
    client: str, upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    frames = b"".join(_items(upstream, 12_000))
    gateway = await stand(
        launch, await play([expect(), *told(upstream, [frames])]), upstream, idle=5.0
    )
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=stream, within=30.0)
    if answer.status == 200:
        assert "more items" in is_broken(client, answer)["message"]
    else:
        assert (answer.status, "more items" in answer.json()["error"]["message"]) == (502, True)
    await oracle.check("upstream_error", kept=1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@every_pair
async def test_an_answer_is_only_told_up_to_a_size(
    client: str, upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    frames = [*TONGUES[upstream].opening, b"".join(_long(upstream, 3 * MIB))]
    gateway = await stand(
        launch, await play([expect(), *told(upstream, frames)]), upstream, response_bytes=2 * MIB
    )
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=stream)
    if stream:
        assert "larger" in is_broken(client, answer)["message"]
    else:
        assert answer.status == 502
    await oracle.check("truncated" if stream else "upstream_error")
    assert gateway.sample("portico_limit_hits_total", limit="responseBytes") == 1
