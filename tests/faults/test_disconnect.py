"""Promise 2: a client that leaves stops the meter (reliability.md B1, B6, B7)."""

import asyncio
import time

import pytest
from tests.faults.conftest import (
    BOTH_LOOPS,
    DIALECTS,
    KEY,
    Play,
    Serve,
    open_fds,
    quiet,
    server_of,
    settled,
)
from tests.faults.streams import CLOSING, OPENING, WHOLE
from tests.support.asks import PATHS, ask
from tests.support.gateway import Gateway
from tests.support.raw import RawClient
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    expect,
    hang,
    http_head,
    http_json,
    send,
    sleep,
    sse,
)

PROMISED = 0.3
SLACK = 1.0
"""What a busy machine may take where only the promise itself is tested."""
REPEAT = 5

_HALF = http_head(200, {"content-type": "application/json", "content-length": "5000"})


def _script(when: str, dialect: str) -> Script:
    if when == "before the first byte":
        return [expect(), hang()]
    if when == "mid-stream":
        return [expect(), sse(OPENING[dialect], end=False), hang()]
    if when == "streaming on":
        steady = [[*sse([], end=False)], *[[sleep(0.02), _text(dialect)] for _ in range(2000)]]
        return [expect(), *steady]
    return [expect(), send(_HALF + b'{"id":' + b" " * 2000), hang()]


def _text(dialect: str) -> object:
    (_, step) = sse([OPENING[dialect][1]], end=False)
    return step


async def _start(client: RawClient, when: str, dialect: str, upstream: ScriptedUpstream) -> None:
    stream = when in ("mid-stream", "streaming on")
    await client.request("POST", PATHS[dialect], ask(dialect, stream=stream), KEY)
    if stream:
        assert (await asyncio.wait_for(client.head(), 5)).status == 200
        await client.read(1 << 16)


def _leave(client: RawClient, how: str) -> None:
    client.rst() if how == "rst" else client.close()


async def _once(gateway: Gateway, upstream: ScriptedUpstream, when: str, how: str, dialect: str,
                within: float) -> float:  # fmt: skip
    """Ask, leave, and return how long the provider kept working."""
    asked = len(upstream.requests)
    client = await RawClient.connect(gateway.port)
    await _start(client, when, dialect, upstream)
    await upstream.wait_requests(asked + 1)
    _leave(client, how)
    return await upstream.wait_closed(within)


_WHEN = ["before the first byte", "mid-stream", "streaming on", "mid-body"]


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("when", _WHEN)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_provider_is_hung_up_on_when_the_client_leaves(
    dialect: str, when: str, how: str, play: Play, serve: Serve
) -> None:
    upstream = await play(default=_script(when, dialect))
    gateway = await serve(upstream, first_byte=20.0, idle=20.0)
    assert await _once(gateway, upstream, when, how, dialect, SLACK) < SLACK
    outcome = await gateway.last()
    assert (outcome.verdict, outcome.error_code) == ("client_cancelled", "client_cancelled")
    assert outcome.status == (200 if "stream" in when else 499)
    await settled(lambda: quiet(gateway))


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("when", _WHEN)
async def test_nothing_is_left_behind(when: str, how: str, play: Play, serve: Serve) -> None:
    upstream = await play(default=_script(when, "chat"))
    gateway = await serve(upstream, first_byte=20.0, idle=20.0)
    await _once(gateway, upstream, when, how, "chat", SLACK)  # what lives as long as the process
    await settled(lambda: quiet(gateway))
    tasks, files = len(asyncio.all_tasks()), open_fds()
    for _ in range(REPEAT):
        assert await _once(gateway, upstream, when, how, "chat", SLACK) < SLACK
    await settled(lambda: quiet(gateway))
    await settled(lambda: len(asyncio.all_tasks()) <= tasks and open_fds() <= files)
    assert {outcome.verdict for outcome in gateway.outcomes} == {"client_cancelled"}
    assert len(gateway.outcomes) == REPEAT + 1, "one record each"


async def test_a_crowd_that_leaves_at_once_is_let_go_at_once(play: Play, serve: Serve) -> None:
    upstream = await play(default=_script("mid-stream", "messages"))
    gateway = await serve(upstream, first_byte=20.0, idle=20.0)
    clients = [await RawClient.connect(gateway.port) for _ in range(40)]
    await asyncio.gather(*(_start(c, "mid-stream", "messages", upstream) for c in clients))
    for number, client in enumerate(clients):
        _leave(client, "rst" if number % 2 else "fin")
    await upstream.wait_closed(2.0)
    await settled(lambda: quiet(gateway))


async def test_http_1_0_is_hung_up_on_too(play: Play, serve: Serve) -> None:
    """A reverse proxy with nginx's defaults speaks it, and closes when its own client does."""
    upstream = await play(default=_script("before the first byte", "chat"))
    gateway = await serve(upstream, first_byte=20.0)
    client = await RawClient.connect(gateway.port)
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    key = KEY["authorization"].encode()
    await client.send(
        b"POST /v1/chat/completions HTTP/1.0\r\nauthorization: %b\r\ncontent-length: %d\r\n\r\n%b"
        % (key, len(body), body)
    )
    await upstream.wait_requests(1)
    client.close()
    assert await upstream.wait_closed(SLACK) < SLACK


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_a_client_that_leaves_while_we_connect_leaves_nothing(
    play: Play, serve: Serve
) -> None:
    upstream = await play(default=[expect(), hang()])
    gateway = await serve(upstream, first_byte=20.0)
    files, members = open_fds(), len(gateway.worker.sweeper.members)
    for _ in range(20):
        clients = await asyncio.gather(*(RawClient.connect(gateway.port) for _ in range(20)))
        for client in clients:
            await client.request("POST", PATHS["chat"], ask("chat"), KEY)
            client.rst()
    await settled(lambda: quiet(gateway) and upstream.open_now == 0)
    await settled(lambda: open_fds() <= files)
    (pool,) = gateway.worker.client._pools.values()
    await settled(lambda: pool.open_connections == 0)
    assert len(gateway.worker.sweeper.members) == members


async def test_a_client_that_leaves_in_the_middle_of_its_request_costs_nothing(
    play: Play, serve: Serve
) -> None:
    upstream = await play()
    gateway = await serve(upstream)
    for how in ("fin", "rst"):
        client = await RawClient.connect(gateway.port)
        await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100")
        await settled(lambda: len(server_of(gateway).connections) == 1)
        _leave(client, how)
        await settled(lambda: quiet(gateway))
    assert upstream.opened == 0


async def test_a_client_that_leaves_with_requests_in_the_queue(play: Play, serve: Serve) -> None:
    upstream = await play(default=[expect(), hang()])
    gateway = await serve(upstream, first_byte=20.0)
    client = await RawClient.connect(gateway.port)
    for _ in range(5):
        await client.request("POST", PATHS["chat"], ask("chat"), KEY)
    await upstream.wait_requests(1)
    client.close()
    await upstream.wait_closed(SLACK)
    await settled(lambda: quiet(gateway))
    assert len(upstream.requests) == 1, "what waited is not asked for any more"


# -- a client that has only finished sending ------------------------------------------------------


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_half_closed_client_still_gets_its_answer(
    dialect: str, stream: bool, play: Play, serve: Serve
) -> None:
    if stream:
        frames = [*OPENING[dialect], *CLOSING[dialect]]
        script = [expect(), sleep(0.2), sse(frames, gap=0.04)]
    else:
        script = [expect(), sleep(0.3), send(http_json(200, WHOLE[dialect]))]
    gateway = await serve(await play(script))
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", PATHS[dialect], ask(dialect, stream=stream), KEY)
        client.half_close()
        answer = await client.response()
        assert (answer.status, answer.ended) == (200, True)
        assert set(answer.interim) <= {100}
        if not stream:
            assert answer.json() == WHOLE[dialect]
        else:
            kept = [line for line in answer.body.split(b"\n\n") if line and line[:1] != b":"]
            assert b"".join(each + b"\n\n" for each in kept) == b"".join(frames)
        assert await client.read(1) == b""
    assert (await gateway.last()).verdict == "ok"


async def test_a_half_closed_client_that_then_leaves_is_noticed(play: Play, serve: Serve) -> None:
    upstream = await play(default=_script("mid-stream", "responses"))
    gateway = await serve(upstream, first_byte=20.0, idle=20.0)
    client = await RawClient.connect(gateway.port)
    await _start(client, "mid-stream", "responses", upstream)
    client.half_close()
    await settled(lambda: [c for c in server_of(gateway).connections if c._eof] != [])
    assert upstream.open_now == 1
    client.close()
    assert await upstream.wait_closed(3.0) < 3.0


# -- the numbers ----------------------------------------------------------------------------------


@pytest.mark.abuse
@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("when", _WHEN)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_provider_is_hung_up_on_within_300_ms(
    dialect: str, when: str, how: str, play: Play, serve: Serve
) -> None:
    upstream = await play(default=_script(when, dialect))
    gateway = await serve(upstream, first_byte=20.0, idle=20.0)
    times = sorted([await _once(gateway, upstream, when, how, dialect, 2.0) for _ in range(50)])
    assert times[45] <= PROMISED, times
    assert times[-1] <= 0.5, times
    await settled(lambda: quiet(gateway))


@pytest.mark.abuse
@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_a_storm_of_connections_leaves_no_descriptor_behind(play: Play, serve: Serve) -> None:
    upstream = await play(default=[expect(), send(http_json(200, WHOLE["chat"]))])
    gateway = await serve(upstream, upstream_keep_alive=0.5)
    files = open_fds()
    until = time.perf_counter() + 10.0
    while time.perf_counter() < until:
        clients = await asyncio.gather(*(RawClient.connect(gateway.port) for _ in range(50)))
        for number, client in enumerate(clients):
            if number % 3:
                await client.request("POST", PATHS["chat"], ask("chat"), KEY)
            _leave(client, "rst" if number % 2 else "fin")
    await settled(lambda: quiet(gateway))
    (pool,) = gateway.worker.client._pools.values()
    await settled(lambda: pool.open_connections == 0)
    await settled(lambda: open_fds() <= files)
