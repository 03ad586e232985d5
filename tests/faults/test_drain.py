"""On the way down what runs may finish, nothing new begins, and what is cut says so (B10)."""

import asyncio
import socket
import time

import pytest
from msgspec import structs
from tests.faults.conftest import (
    BOTH_LOOPS,
    DIALECTS,
    KEY,
    SHORT,
    WELL,
    Launch,
    Play,
    Serve,
    quiet,
    server_of,
    settled,
)
from tests.faults.streams import CLOSING, OPENING, TERMINAL
from tests.faults.vectors import BODY, LENGTH, post
from tests.support.asks import PATHS, ask
from tests.support.gateway import Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient
from tests.support.upstream import expect, hang, sleep, sse

from portico.config.settings import Address, ListenerSettings


async def _asked(gateway: Gateway, dialect: str = "chat", stream: bool = False) -> RawClient:
    client = await RawClient.connect(gateway.port)
    await client.request("POST", PATHS[dialect], ask(dialect, stream=stream), KEY)
    return client


async def _rest(client: RawClient) -> bytes:
    rest = b""
    while data := await client.read(1 << 16):
        rest += data
    return rest


async def _refused(gateway: Gateway) -> None:
    with pytest.raises(ConnectionError):
        (await RawClient.connect(gateway.port)).close()


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_idle_connections_are_closed_and_new_ones_refused(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    used, fresh = await _asked(gateway), await RawClient.connect(gateway.port)
    assert (await used.response()).status == 200
    await settled(lambda: len(server_of(gateway).connections) == 2)
    draining = asyncio.ensure_future(gateway.worker.drain())
    assert await used.read(1) == b""
    assert await fresh.read(1) == b""
    await _refused(gateway)
    assert await draining is True
    used.close()
    fresh.close()


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_what_runs_is_finished(play: Play, serve: Serve) -> None:
    frames = [*OPENING["responses"], *CLOSING["responses"]]
    upstream = await play(
        [expect(), sleep(0.3), *WELL[1:]], [expect(), sse(frames[:1], end=False), sleep(0.3),
                                            *sse(frames[1:])[1:]]
    )  # fmt: skip
    gateway = await serve(upstream, drain=5.0)
    whole = await _asked(gateway)
    await upstream.wait_requests(1)
    stream = await _asked(gateway, "responses", stream=True)
    await upstream.wait_requests(2)
    draining = asyncio.ensure_future(gateway.worker.drain())
    await asyncio.sleep(0)
    await _refused(gateway)
    assert not draining.done()
    answer = await whole.response()
    assert (answer.status, answer.ended, answer.header("connection")) == (200, True, "close")
    answer = await stream.response()
    assert (answer.body, answer.ended) == (b"".join(frames), True)
    assert await draining is True
    assert [outcome.verdict for outcome in gateway.outcomes] == ["ok", "ok"]
    whole.close()
    stream.close()


async def test_a_request_that_is_still_arriving_is_served(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), drain=5.0)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(LENGTH))
        await settled(lambda: [c for c in server_of(gateway).connections if c._phase] != [])
        draining = asyncio.ensure_future(gateway.worker.drain())
        await asyncio.sleep(0)
        await client.send(BODY)
        answer = await client.response()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await draining is True


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_that_outlives_the_drain_is_cut_with_an_error(
    dialect: str, play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), sse(OPENING[dialect], end=False), hang()])
    gateway = await serve(upstream, idle=20.0)
    client = await _asked(gateway, dialect, stream=True)
    await asyncio.wait_for(client.head(), 5)
    start = time.perf_counter()
    clean = await gateway.worker.drain()
    assert clean is False
    assert SHORT.drain - 0.05 < time.perf_counter() - start < SHORT.drain + 1.5
    rest = await _rest(client)
    assert b'"error"' in rest
    assert not rest.endswith(b"0\r\n\r\n")
    assert not [mark for mark in TERMINAL[dialect] if mark in rest]
    outcome = gateway.outcomes[0]
    assert (outcome.verdict, outcome.error_code) == ("truncated", "overloaded")
    await upstream.wait_closed(1.0)
    client.close()


async def test_a_whole_answer_that_outlives_the_drain_is_a_503(play: Play, serve: Serve) -> None:
    upstream = await play([expect(), hang()])
    gateway = await serve(upstream, first_byte=20.0)
    client = await _asked(gateway)
    await upstream.wait_requests(1)
    assert await gateway.worker.drain() is False
    answer = await client.response()
    assert (answer.status, answer.header("connection")) == (503, "close")
    assert answer.json()["error"]["code"] == "overloaded"
    await upstream.wait_closed(1.0)
    client.close()


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_a_second_signal_ends_the_patience_at_once(play: Play, serve: Serve) -> None:
    upstream = await play([expect(), sse(OPENING["chat"], end=False), hang()])
    gateway = await serve(upstream, idle=60.0, drain=60.0, drain_forced=30.0)
    client = await _asked(gateway, stream=True)
    await asyncio.wait_for(client.head(), 5)
    draining = asyncio.ensure_future(gateway.worker.drain())
    await asyncio.sleep(0)
    await _refused(gateway)
    gateway.worker.hurry()
    assert await asyncio.wait_for(draining, 5.0) is False
    assert b'"error"' in await _rest(client)
    client.close()


async def test_a_client_that_takes_nothing_cannot_hold_the_worker(play: Play, serve: Serve) -> None:
    big = b"".join(OPENING["chat"]) + b": " + b"x" * 8_000_000 + b"\n\n"
    upstream = await play([expect(), sse([big], end=False), hang()])
    gateway = await serve(
        upstream, idle=20.0, write=20.0, drain=0.2, drain_forced=0.5, sse_frame_bytes=1 << 24
    )
    client = await RawClient.connect(gateway.port, rcvbuf=4096)
    await client.request("POST", PATHS["chat"], ask("chat", stream=True), KEY)
    await settled(lambda: any(c.write_paused for c in server_of(gateway).connections))
    assert await asyncio.wait_for(gateway.worker.drain(), 5.0) is False
    await settled(lambda: quiet(gateway))
    client.close()


async def test_pipelined_requests_behind_the_running_one_are_not_begun(
    play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), sleep(0.3), *WELL[1:]], default=WELL)
    gateway = await serve(upstream, drain=5.0)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(LENGTH, body=BODY) * 3)
        await upstream.wait_requests(1)
        draining = asyncio.ensure_future(gateway.worker.drain())
        answer = await client.response()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await client.read(1) == b""
        assert await draining is True
    assert len(upstream.requests) == 1


async def test_an_idle_worker_drains_at_once(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(), drain=30.0, drain_forced=30.0)
    assert await asyncio.wait_for(gateway.worker.drain(), 2.0) is True


async def test_every_listener_stops_accepting_at_once(play: Play, launch: Launch) -> None:
    upstream = await play([expect(), hang()])
    one = settings(route([model("*", provider(upstream.url))], [caller()]), deadlines=SHORT)
    second = structs.replace(one.listeners[0], address=Address(port=0))
    gateway = await launch(structs.replace(one, listeners=(*one.listeners, second)))
    client = await _asked(gateway)
    await upstream.wait_requests(1)
    draining = asyncio.ensure_future(gateway.worker.drain())
    await asyncio.sleep(0)
    try:
        with pytest.raises(ConnectionError):
            (await RawClient.connect(gateway.worker.listeners[1].port)).close()
    finally:
        client.close()
        await draining


async def test_a_unix_socket_is_served_and_removed(
    play: Play, launch: Launch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "gw.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    upstream = await play(default=WELL)
    one = settings(route([model("*", provider(upstream.url))], [caller()]), deadlines=SHORT)
    listener = ListenerSettings(address=Address(path=str(path)), routes=one.listeners[0].routes)
    gateway = await launch(structs.replace(one, listeners=(listener,)))
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, str(path))
    async with RawClient(sock) as client:
        await client.request("POST", PATHS["chat"], BODY, KEY)
        assert (await client.response()).status == 200
        assert await gateway.worker.drain() is True
        assert await client.read(1) == b""
    assert not path.exists()
    assert gateway.outcomes[0].peer == "unix"


@pytest.mark.abuse
async def test_a_hundred_streams_are_finished_or_told(play: Play, serve: Serve) -> None:
    frames = [*OPENING["chat"], *CLOSING["chat"]]
    ending = [expect(), sse(frames[:2], end=False), sleep(2.0), *sse(frames[2:])[1:]]
    stuck = [expect(), sse(frames[:2], end=False), hang()]
    upstream = await play(*[ending] * 30, default=stuck)
    gateway = await serve(upstream, idle=60.0, drain=4.0, in_flight_per_key=200)
    clients = []
    for number in range(100):
        clients.append(await _asked(gateway, stream=True))
        await upstream.wait_requests(number + 1)
    draining = asyncio.ensure_future(gateway.worker.drain())
    answers = await asyncio.gather(*(client.response(10.0) for client in clients))
    assert await draining is False
    assert [answer.ended for answer in answers] == [True] * 30 + [False] * 70
    assert all(b'"error"' in answer.body for answer in answers[30:])
    verdicts = [outcome.verdict for outcome in gateway.outcomes]
    assert (verdicts.count("ok"), verdicts.count("truncated")) == (30, 70)
    for client in clients:
        client.close()
