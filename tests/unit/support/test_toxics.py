"""Each toxic does to a connection what its name says."""

import asyncio
import time

import pytest
from tests.support.raw import RawClient, RawResponse, TruncatedError
from tests.support.toxics import TcpProxy, Toxics
from tests.support.upstream import ScriptedUpstream, expect, fin, http_json, send

BODY = "x" * 20_000
SCRIPT = [expect(), send(http_json(200, BODY)), fin()]


async def through(up: Toxics, down: Toxics) -> tuple[RawResponse, float, RawClient]:
    async with (
        await ScriptedUpstream.start(SCRIPT) as upstream,
        await TcpProxy.start(upstream.port, up=up, down=down) as proxy,
        await RawClient.connect(proxy.port) as client,
    ):
        start = time.perf_counter()
        await client.request("POST", "/", {"a": "b" * 100})
        response = await client.response()
        await client.closed(2.0)
        return response, time.perf_counter() - start, client


async def test_clean() -> None:
    response, seconds, client = await through(Toxics(), Toxics())
    assert (response.ended, response.json(), client.was_reset) == (True, BODY, False)
    assert seconds < 0.5


@pytest.mark.parametrize(
    ("up", "down", "at_least"),
    [
        (Toxics(latency=0.1), Toxics(latency=0.1), 0.2),
        (Toxics(), Toxics(bandwidth=100_000), 0.2),
        (Toxics(slicer=10, slicer_gap=0.002), Toxics(slicer=1000), 0.02),
        (Toxics(), Toxics(slow_close=0.2), 0.2),
    ],
)
async def test_slow_but_whole(up: Toxics, down: Toxics, at_least: float) -> None:
    response, seconds, _ = await through(up, down)
    assert (response.ended, response.json()) == (True, BODY)
    assert seconds >= at_least


async def test_limit_data_cuts_in_good_order() -> None:
    response, _, client = await through(Toxics(), Toxics(limit_data=500))
    assert response.ended is False
    assert client.bytes_read == 500
    assert client.was_reset is False


async def test_reset_and_timeout() -> None:
    with pytest.raises(TruncatedError):
        await through(Toxics(timeout=0.1), Toxics())
    async with (
        await ScriptedUpstream.start([expect()]) as upstream,
        await TcpProxy.start(upstream.port, down=Toxics(reset_peer=0.1)) as proxy,
        await RawClient.connect(proxy.port) as client,
    ):
        await client.request("GET", "/")
        assert 0.05 < await client.closed(2.0) < 1.0
        assert client.was_reset
        await upstream.wait_closed(1.0)


async def test_toxics_can_change_while_running() -> None:
    scripts = [[expect(), send(http_json(200, n))] for n in range(2)]
    async with (
        await ScriptedUpstream.start(*scripts) as upstream,
        await TcpProxy.start(upstream.port) as proxy,
        await RawClient.connect(proxy.port) as client,
    ):
        await client.request("GET", "/")
        assert (await client.response()).json() == 0
        proxy.down = Toxics(latency=0.2)
        start = time.perf_counter()
        await client.request("GET", "/")
        assert (await client.response()).json() == 1
        assert time.perf_counter() - start > 0.19
        assert proxy.open_now == 1
        client.close()
        await asyncio.sleep(0.1)
        assert proxy.open_now == 0
