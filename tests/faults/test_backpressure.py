"""A slow reader slows its provider down; it never fills the gateway (reliability.md B2, B3)."""

import asyncio
import json

import pytest
from tests.faults.conftest import BOTH_LOOPS, KEY, Play, Serve, quiet, server_of, settled
from tests.faults.streams import CLOSING, OPENING
from tests.support.asks import PATHS, ask
from tests.support.gateway import Gateway
from tests.support.raw import RawClient
from tests.support.steps import LAST_CHUNK, chunk, frame
from tests.support.upstream import ScriptedUpstream, expect, hang, http_head, send, sse

KIB = 1024
HELD = (256 + 64) * KIB
"""What one stream may hold in the gateway: one read of the loop's size, and the relay buffer."""
SMALL = 8 * KIB
"""The client's receive buffer."""

_FRAME = frame(json.dumps({"choices": [{"index": 0, "delta": {"content": "x" * 4000}}]}))
_FRAMES = 2000
_BODY = b'{"object":"chat.completion","pad":"' + b"y" * (8 * 1024 * KIB) + b'"}'
_LENGTH = {"content-type": "application/json", "content-length": str(len(_BODY))}
_CHUNKED = {"content-type": "application/json", "transfer-encoding": "chunked"}


def _stream() -> list[object]:
    """Eight megabytes of frames, in one go."""
    frames = _FRAME * _FRAMES + b"".join(CLOSING["chat"])
    opening = OPENING["chat"][0]
    return [expect(), sse([opening], end=False), send(chunk(frames)), send(LAST_CHUNK)]


def _at_once() -> list[object]:
    """The same, with the head and a megabyte of frames in the first write."""
    (head,) = sse([], end=False)
    first = head.data + chunk(_FRAME * 250)  # type: ignore[union-attr]
    rest = _FRAME * (_FRAMES - 250) + b"".join(CLOSING["chat"])
    return [expect(), send(first), send(chunk(rest)), send(LAST_CHUNK)]


_SCRIPTS = {
    "stream": (True, _stream()),
    "stream, first write large": (True, _at_once()),
    "body with a length": (False, [expect(), send(http_head(200, _LENGTH) + _BODY)]),
    "body in chunks": (
        False,
        [expect(), send(http_head(200, _CHUNKED) + chunk(_BODY) + LAST_CHUNK)],
    ),
}


def _in_gateway(gateway: Gateway) -> int:
    """Bytes the gateway holds for its only stream: for the client, and from the provider."""
    (connection,) = server_of(gateway).connections
    (pool,) = gateway.worker.client._pools.values()
    waiting = sum(each.buffered for each in pool._open)
    return connection._transport.get_write_buffer_size() + waiting


async def _slow_client(gateway: Gateway, upstream: ScriptedUpstream, streamed: bool) -> RawClient:
    client = await RawClient.connect(gateway.port, rcvbuf=SMALL)
    await client.request("POST", PATHS["chat"], ask("chat", stream=streamed), KEY)
    await upstream.wait_requests(1)
    return client


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("name", _SCRIPTS)
async def test_a_slow_reader_holds_little_and_still_gets_everything(
    name: str, play: Play, serve: Serve
) -> None:
    streamed, script = _SCRIPTS[name]
    upstream = await play(script)
    gateway = await serve(upstream, write=5.0, idle=5.0, total=60.0, response_hold_bytes=64 * KIB)
    client = await _slow_client(gateway, upstream, streamed)
    connection = next(iter(server_of(gateway).connections))
    await settled(lambda: connection.write_paused)
    (pool,) = gateway.worker.client._pools.values()
    await settled(lambda: all(each._paused for each in pool._open))
    most = 0
    for _ in range(3):
        await client.read_slowly(0.01, 200 * KIB)
        most = max(most, _in_gateway(gateway))
    assert most <= (HELD if streamed else HELD + 64 * KIB), most
    assert upstream.open_now == 1
    # Now it reads: nothing was lost on the way.
    client.buffer.clear()
    reading = asyncio.ensure_future(client.closed(30.0))
    await gateway.last(1, 30.0)
    await asyncio.sleep(0)
    expected = len(_FRAME) * _FRAMES if streamed else len(_BODY)
    await settled(lambda: client.bytes_read >= expected, 10.0)
    reading.cancel()
    assert (await gateway.last()).verdict == "ok"
    client.close()


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_a_client_that_is_slow_from_the_first_byte_pauses_its_provider(
    play: Play, serve: Serve
) -> None:
    """What was held back is already more than the client takes: no more may be asked for."""
    size, hold = 40 * 1024 * KIB, 8 * 1024 * KIB
    head = http_head(200, {"content-type": "application/json", "content-length": str(size)})
    upstream = await play([expect(), send(head), *[send(b" " * (size // 40))] * 40])
    gateway = await serve(upstream, write=5.0, idle=5.0, response_hold_bytes=hold)
    client = await _slow_client(gateway, upstream, False)
    await settled(lambda: any(each.write_paused for each in server_of(gateway).connections))
    await asyncio.sleep(0.2)  # time enough for all of it
    assert _in_gateway(gateway) <= hold + HELD
    client.rst()
    await upstream.wait_closed(1.0)


async def test_bytes_arrive_in_order_through_every_pause(play: Play, serve: Serve) -> None:
    numbered = b"".join(
        frame(json.dumps({"choices": [], "n": n, "pad": "z" * 900})) for n in range(3000)
    )
    whole = numbered + b"".join(CLOSING["chat"])
    upstream = await play([expect(), sse([whole])])
    gateway = await serve(upstream, write=10.0)
    async with await RawClient.connect(gateway.port, rcvbuf=SMALL) as client:
        await client.request("POST", PATHS["chat"], ask("chat", stream=True), KEY)
        answer = await client.response(30.0)
    assert (answer.body, answer.ended) == (whole, True)


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("name", _SCRIPTS)
async def test_a_reader_that_stopped_is_cut_and_its_provider_hung_up_on(
    name: str, play: Play, serve: Serve
) -> None:
    streamed, script = _SCRIPTS[name]
    upstream = await play(script)
    gateway = await serve(upstream, write=0.3, idle=5.0, response_hold_bytes=64 * KIB)
    client = await _slow_client(gateway, upstream, streamed)
    outcome = await gateway.last(1, 4.0)
    assert outcome.verdict == "client_cancelled"
    assert gateway.sample("portico_limit_hits_total", limit="write") == 1
    await upstream.wait_closed(1.0)
    await settled(lambda: quiet(gateway))
    client.close()


async def test_a_reader_that_stopped_after_its_answer_was_written_is_cut_too(
    play: Play, serve: Serve
) -> None:
    """The whole answer is in the write buffer and nothing more will be written."""
    body = http_head(200, {"content-type": "application/json", "content-length": "16000000"})
    script = [expect(), send(body + b'{"pad":"' + b"y" * 15_999_990 + b'"}')]
    upstream = await play(default=script)
    gateway = await serve(upstream, write=0.5, response_hold_bytes=16 * 1024 * KIB, keep_alive=30.0)
    client = await _slow_client(gateway, upstream, False)
    assert (await gateway.last(1, 4.0)).verdict == "ok"
    # A next request must not take the deadline away.
    connection = next(iter(server_of(gateway).connections))
    assert connection.write_paused
    await client.request("POST", PATHS["chat"], ask("chat"), KEY)
    await settled(lambda: not server_of(gateway).connections)
    assert len(upstream.requests) == 1
    client.close()


async def test_a_paused_stream_is_not_mistaken_for_a_silent_provider(
    play: Play, serve: Serve
) -> None:
    upstream = await play(_stream())
    gateway = await serve(upstream, write=5.0, idle=0.3)
    client = await _slow_client(gateway, upstream, True)
    await asyncio.sleep(0.8)
    assert gateway.outcomes == []
    client.buffer.clear()
    reading = asyncio.ensure_future(client.closed(30.0))
    assert (await gateway.last(1, 30.0)).verdict == "ok"
    reading.cancel()
    client.close()


async def test_one_slow_reader_does_not_slow_the_others(play: Play, serve: Serve) -> None:
    quick = [expect(), sse([*OPENING["chat"], *CLOSING["chat"]])]
    upstream = await play(_stream(), default=quick)
    gateway = await serve(upstream, write=5.0)
    slow = await _slow_client(gateway, upstream, True)
    async with await RawClient.connect(gateway.port) as client:
        for _ in range(6):
            await client.request("POST", PATHS["chat"], ask("chat", stream=True), KEY)
            assert (await client.response(1.0)).ended
    slow.close()


@pytest.mark.abuse
async def test_two_hundred_slow_readers_hold_what_they_may(play: Play, serve: Serve) -> None:
    frames = chunk(_FRAME * 250 + b"".join(CLOSING["chat"]))  # more than the kernels will take
    script = [expect(), sse([OPENING["chat"][0]], end=False), *[send(frames)] * 6, hang()]
    upstream = await play(default=script)
    gateway = await serve(upstream, write=60.0, total=300.0, idle=60.0, in_flight_per_key=500,
                          first_byte=60.0, connect=60.0)  # fmt: skip
    clients = [await RawClient.connect(gateway.port, rcvbuf=SMALL) for _ in range(200)]
    for client in clients:
        await client.request("POST", PATHS["chat"], ask("chat", stream=True), KEY)
    await upstream.wait_requests(200, 60.0)
    await asyncio.gather(*(client.read_slowly(5.0, KIB) for client in clients))
    (pool,) = gateway.worker.client._pools.values()
    held = [each._transport.get_write_buffer_size() for each in server_of(gateway).connections]
    assert max(held) + max(each.buffered for each in pool._open) <= HELD
    for client in clients:
        client.rst()
    await upstream.wait_closed(10.0)
    await settled(lambda: quiet(gateway))
