"""The scripted upstream does what its script says and records what it got."""

import asyncio

import pytest
from tests.support.raw import RawClient, TruncatedError
from tests.support.upstream import (
    ScriptedUpstream,
    chunk,
    expect,
    fin,
    hang,
    http_head,
    http_json,
    rst,
    send,
    sleep,
    sse,
)


async def test_records_head_and_body_and_keeps_the_connection() -> None:
    scripts = [[expect(), send(http_json(200, {"n": n}, {"x-n": str(n)}))] for n in range(2)]
    async with await ScriptedUpstream.start(*scripts) as upstream:
        async with await RawClient.connect(upstream.port) as client:
            await client.request("POST", "/v1/x?y=1", {"a": 1}, {"X-One": "1"})
            first = await client.response()
            await client.send(
                b"POST /two HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"
                b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n",
                size=1,
            )
            second = await client.response()
        await upstream.wait_closed(1.0)
    assert (first.json(), first.header("X-N"), first.ended) == ({"n": 0}, "0", True)
    assert second.json() == {"n": 1}
    one, two = upstream.requests
    assert (one.method, one.target, one.json()) == ("POST", "/v1/x?y=1", {"a": 1})
    assert one.head["x-one"] == "1"
    assert two.body == b"abcde"
    assert two.raw.endswith(b"0\r\nx-t: 1\r\n\r\n")
    assert (one.connection, two.connection, upstream.opened) == (1, 1, 1)
    assert upstream.bytes_read == len(one.raw) + len(two.raw)


async def test_streams_frame_by_frame_and_says_when_the_body_is_cut() -> None:
    whole = [expect(), sse(["a", {"type": "b"}, b": raw\n\n"], gap=0.01)]
    cut = [expect(), sse(["a"], end=False), rst()]
    unframed = [expect(), sse(["a"], chunked=False), fin()]
    half = [expect(), send(http_head(200, {"content-length": "9"}) + b"half"), fin()]
    async with await ScriptedUpstream.start(whole, cut, unframed, half) as upstream:
        answers = []
        for _ in range(4):
            async with await RawClient.connect(upstream.port) as client:
                await client.request("GET", "/")
                answers.append(await client.response())
    assert [answer.ended for answer in answers] == [True, False, True, False]
    assert [answer.framing for answer in answers] == ["chunked", "chunked", "close", "length"]
    assert answers[0].data_lines() == [b"a", b'{"type": "b"}']
    assert len(answers[0].chunks) == 3
    assert answers[1].body == b"data: a\n\n"
    assert answers[3].body == b"half"


async def test_a_fault_before_any_request() -> None:
    async with await ScriptedUpstream.start([rst()], [fin()]) as upstream:
        for _ in range(2):
            async with await RawClient.connect(upstream.port) as client:
                with pytest.raises(TruncatedError):
                    await client.response()
    assert upstream.requests == []


async def test_notices_at_once_that_the_peer_left() -> None:
    for last in (hang(), sleep(30)):
        for leave in (RawClient.close, RawClient.rst):
            async with await ScriptedUpstream.start([expect(), last]) as upstream:
                client = await RawClient.connect(upstream.port)
                await client.request("GET", "/")
                await upstream.wait_requests(1)
                assert upstream.open_now == 1
                with pytest.raises(AssertionError, match="not within"):
                    await upstream.wait_closed(0.05)
                leave(client)
                assert await upstream.wait_closed(0.3) < 0.3


async def test_default_and_exhausted_scripts() -> None:
    async with (
        await ScriptedUpstream.start(default=[expect(), send(http_json(200, 1))]) as upstream,
        await RawClient.connect(upstream.port) as client,
    ):
        for _ in range(3):
            await client.request("GET", "/")
            assert (await client.response()).json() == 1
    async with await ScriptedUpstream.start() as upstream:
        async with await RawClient.connect(upstream.port) as client:
            await client.request("GET", "/")
            assert (await client.response()).status == 500
        assert upstream.exhausted == 1


async def test_slices_and_interim_answers() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + http_head(200, {"transfer-encoding": "chunked"})
    data += chunk(b"abc") + b"0\r\n\r\n"
    script = [expect(body=False), send(data, size=1, gap=0.0001)]
    async with (
        await ScriptedUpstream.start(script) as upstream,
        await RawClient.connect(upstream.port) as client,
    ):
        await client.send(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n")
        answer = await client.response()
    assert (answer.interim, answer.body, answer.ended) == ([100], b"abc", True)
    assert upstream.requests[0].complete is False


async def test_half_close_and_slow_reading() -> None:
    big = http_json(200, "x" * 4_000_000)
    async with (
        await ScriptedUpstream.start([expect(), send(big)]) as upstream,
        await RawClient.connect(upstream.port, rcvbuf=4096) as client,
    ):
        await client.request("GET", "/")
        assert await client.read_slowly(0.5, 10_000) <= 6_000
    async with (
        await ScriptedUpstream.start([expect(), sleep(0.05), send(b"x"), fin()]) as upstream,
        await RawClient.connect(upstream.port) as client,
    ):
        await client.request("GET", "/")
        client.half_close()
        await asyncio.sleep(0.02)
        assert await client.closed(1.0) < 1.0
        assert upstream.open_now == 0
