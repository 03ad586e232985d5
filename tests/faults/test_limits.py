"""Nobody makes the gateway hold more, or wait longer, than it was told to (B4, B5, B8, C5, C11)."""

import asyncio
import contextlib
import json
import time

import pytest
from tests.faults.conftest import ANSWER, BOTH_LOOPS, KEY, WELL, Play, Serve, server_of, settled
from tests.faults.vectors import BODY, CHUNKED, LENGTH, PATH, TE, post
from tests.support.gateway import Gateway
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, hang, http_head, http_json, send


async def _refusal(client: RawClient, within: float = 5.0) -> RawResponse:
    """The answer to something over a limit, and nothing behind it."""
    answer = await client.response(within)
    assert answer.header("connection") == "close"
    assert answer.json()["error"]["message"]
    assert await client.read(1 << 16, within) == b""
    return answer


async def _send(client: RawClient, data: bytes, size: int | None = None) -> None:
    with contextlib.suppress(ConnectionError):  # answered and closed before everything was said
        await client.send(data, size=size)


async def _attempt(gateway: Gateway, raw: bytes, size: int | None = None) -> RawResponse:
    async with await RawClient.connect(gateway.port) as client:
        await _send(client, raw, size)
        return await _refusal(client)


# -- the head -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 512])
async def test_a_long_request_line_is_414(size: int | None, play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream, request_line=4096)
    raw = post(LENGTH, target=PATH + b"?" + b"a" * 8192, body=BODY)
    assert (await _attempt(gateway, raw, size)).status == 414
    assert gateway.sample("portico_limit_hits_total", limit="requestLine") == 1
    assert upstream.requests == []


@pytest.mark.parametrize("size", [None, 512])
@pytest.mark.parametrize("limit", [2048, 32 * 1024])
async def test_a_large_head_is_431(size: int | None, limit: int, play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream, header_bytes=limit)
    lines = [b"X-%d: %b" % (n, b"a" * (limit // 16)) for n in range(20)]
    assert (await _attempt(gateway, post(*lines, LENGTH, body=BODY), size)).status == 431
    assert gateway.sample("portico_limit_hits_total", limit="headerBytes") == 1
    assert upstream.requests == []


async def test_an_endless_head_is_cut_off_while_it_comes(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), header_bytes=4096, request_line=1024)
    async with await RawClient.connect(gateway.port) as client:
        await _send(client, b"GET / HTTP/1.1\r\nX: " + b"a" * (1 << 20), size=4096)
        assert (await _refusal(client)).status == 431


@pytest.mark.parametrize("distinct", [True, False], ids=["distinct", "repeated"])
@pytest.mark.parametrize("size", [None, 64])
async def test_too_many_fields_are_431(
    distinct: bool, size: int | None, play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL), header_count=20)
    lines = [b"X-%d: a" % n if distinct else b"X: a" for n in range(21)]
    assert (await _attempt(gateway, post(*lines, LENGTH, body=BODY), size)).status == 431
    assert gateway.sample("portico_limit_hits_total", limit="headerCount") == 1


async def test_a_field_repeated_thousands_of_times_costs_no_time(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    before = time.process_time()
    answer = await _attempt(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 60_000)
    assert answer.status == 431
    assert time.process_time() - before < 0.5


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_a_head_that_trickles_in_is_refused_at_its_deadline(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    raw = post(LENGTH)

    async def loris(first: int) -> tuple[int, float]:
        async with await RawClient.connect(gateway.port) as client:
            start = time.perf_counter()
            await client.send(raw[:first])
            answering = asyncio.ensure_future(client.read(1 << 16))
            for byte in raw[first:-2]:
                if answering.done():
                    break
                await asyncio.sleep(0.05)
                await _send(client, bytes([byte]))
            return len(await answering), time.perf_counter() - start

    results = await asyncio.gather(*(loris(first) for first in (1, 30, 45, 80)))
    assert all(0.5 < seconds < 3.0 for _, seconds in results), results
    assert [size > 0 for size, _ in results[1:]] == [True, True, True]
    await settled(lambda: not server_of(gateway).connections)


async def test_a_connection_that_says_nothing_is_closed(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as silent:
        assert 0.5 < await silent.closed(within=3.0) < 2.0


async def test_an_idle_connection_is_closed_after_its_keep_alive_time(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL), keep_alive=0.3)
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", PATH.decode(), BODY, KEY)
        assert (await client.response()).json() == ANSWER
        assert 0.2 < await client.closed(within=3.0) < 2.0


async def test_empty_lines_do_not_keep_a_connection_open(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), keep_alive=0.3)
    async with await RawClient.connect(gateway.port) as client:
        start = time.perf_counter()
        reading = asyncio.ensure_future(client.read(1))
        while not reading.done():
            await _send(client, b"\r\n")
            await asyncio.sleep(0.02)
            assert time.perf_counter() - start < 3.0


# -- the body -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [1000, 200_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_over_the_cap_is_413(cap: int, framing: str, play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream, body_bytes=cap)
    body = b" " * (cap + 1 - len(BODY)) + BODY
    if framing == "length":
        raw = post(b"Content-Length: %d" % len(body), body=body)
    else:
        raw = post(TE, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    answer = await _attempt(gateway, raw)
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert gateway.sample("portico_limit_hits_total", limit="bodyBytes") == 1
    assert upstream.requests == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_of_exactly_the_cap_is_served(framing: str, play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), body_bytes=200_000)
    body = b" " * (200_000 - len(BODY)) + BODY
    async with await RawClient.connect(gateway.port) as client:
        if framing == "length":
            await client.send(post(b"Content-Length: 200000", body=body))
        else:
            pieces = [body[at : at + 999] for at in range(0, len(body), 999)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces)
            await client.send(post(TE, body=chunks + b"0\r\n\r\n"))
        assert (await client.response()).status == 200
    assert server_of(gateway).buffered_bytes == 0


async def test_an_oversized_body_is_refused_before_it_is_sent(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), body_bytes=1000)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(b"Content-Length: 1001", b"Expect: 100-continue"))
        answer = await _refusal(client)
    assert (answer.status, answer.interim) == (413, [])


async def test_a_wrong_key_is_refused_before_the_body_is_sent(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        lines = {"expect": "100-continue", "content-length": "5000000"}
        await client.request("POST", PATH.decode(), None, lines)
        answer = await _refusal(client)
    assert (answer.status, answer.interim) == (401, [])


async def test_an_early_refusal_reaches_a_client_that_is_still_sending(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL), body_bytes=1 << 20)
    async with await RawClient.connect(gateway.port) as client:
        body = b"x" * (2 << 20)
        sending = asyncio.ensure_future(
            _send(client, post(b"Content-Length: %d" % len(body), body=body), size=32_768)
        )
        answer = await client.response()
        assert (answer.status, answer.ended) == (413, True)
        await sending


async def test_a_body_that_stops_or_trickles_is_408(play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)

    async def stopped(framing: bytes, piece: bytes) -> float:
        async with await RawClient.connect(gateway.port) as client:
            start = time.perf_counter()
            await client.send(post(framing, body=piece))
            assert (await _refusal(client)).status == 408
            return time.perf_counter() - start

    async def trickling() -> float:
        async with await RawClient.connect(gateway.port) as client:
            start = time.perf_counter()
            await client.send(post(b"Content-Length: 90000"))
            answering = asyncio.ensure_future(_refusal(client))
            while not answering.done():
                await _send(client, b"{")
                await asyncio.sleep(0.05)
            assert (await answering).status == 408
            return time.perf_counter() - start

    async def fast_but_endless() -> float:
        async with await RawClient.connect(gateway.port) as client:
            start = time.perf_counter()
            await client.send(post(b"Content-Length: 900000"))
            answering = asyncio.ensure_future(_refusal(client))
            while not answering.done():
                await _send(client, b"{" * 500)
                await asyncio.sleep(0.05)
            assert (await answering).status == 408
            return time.perf_counter() - start

    slow = await asyncio.gather(
        stopped(LENGTH, BODY[:28]),
        stopped(LENGTH, b""),
        stopped(TE, b""),
        stopped(TE, b"39\r\n" + BODY),
        stopped(TE, b"39\r\n" + BODY + b"\r\n0\r\nX-Trailer: "),
        trickling(),
    )
    assert all(0.4 < seconds < 3.0 for seconds in slow), slow
    assert 1.4 < await fast_but_endless() < 4.0, "the whole body has a deadline of its own"
    assert upstream.requests == []
    assert upstream.opened == 0, "no provider is called for half a request"


async def test_a_slow_but_steady_body_is_served(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), body=5.0)
    body = b" " * 6000 + BODY
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(b"Content-Length: %d" % len(body)))
        await client.send(body, size=300, gap=0.05)
        assert (await client.response()).status == 200


async def test_empty_chunked_bodies_leave_nothing_behind(play: Play, serve: Serve) -> None:
    """The bookkeeping of one body must not count against the next."""
    gateway = await serve(await play(default=WELL), keep_alive=30.0)
    async with await RawClient.connect(gateway.port) as client:
        for _ in range(2):
            await client.send(post(TE))
            await asyncio.sleep(0.2)
            await client.send(b"0\r\n\r\n")
            assert (await client.response()).status == 400  # an empty body is no JSON
        await client.send(post(LENGTH, body=BODY))
        assert (await client.response()).json() == ANSWER
        await client.send(post(LENGTH))
        assert (await _refusal(client, within=3.0)).status == 408, "its own deadline, too"


@pytest.mark.parametrize("extra", ["extension", "one-byte chunks", "trailers", "late trailers"])
async def test_framing_that_outweighs_the_body_is_refused(
    extra: str, play: Play, serve: Serve
) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    if extra == "extension":
        flood = b"1;" + b"a" * (2 << 20)
    elif extra == "one-byte chunks":
        flood = b"1;aaaaaaaaaaaaaaaa\r\n{\r\n" * 60_000
    else:
        lead = b"" if extra == "trailers" else b"7a120\r\n" + b" " * 500_000 + b"\r\n"
        flood = lead + b"0\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(200_000))
    answer = await _attempt(gateway, post(TE, body=flood))
    assert answer.status in (400, 431)
    assert upstream.requests == []


async def test_tiny_chunks_do_not_cost_more_memory_than_their_bytes(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(TE, body=b"2\r\n  \r\n" * 100_000))
        (connection,) = server_of(gateway).connections
        await settled(lambda: connection._body_size == 200_000)
        assert len(connection._body) < 100_000
        await settled(lambda: len(connection._body) < 40_000)
        await client.send(CHUNKED)
        assert (await client.response()).status == 200


# -- together -------------------------------------------------------------------------------------


async def test_bodies_that_are_still_coming_count_against_the_shared_cap(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL), buffered_body_bytes=1_000_000, body=5.0,
                          body_rate_grace=5.0)  # fmt: skip
    server = server_of(gateway)
    clients = [await RawClient.connect(gateway.port) for _ in range(3)]
    for client in clients[:2]:
        await client.send(post(b"Content-Length: 600000", body=b"{" * 400_000))
    await settled(lambda: server.buffered_bytes == 800_000)
    await _send(clients[2], post(b"Content-Length: 600000", body=b"{" * 400_000))
    assert (await _refusal(clients[2])).status == 503
    assert gateway.sample("portico_limit_hits_total", limit="bufferedBodyBytes") == 1
    for client in clients:
        client.close()
    await settled(lambda: server.buffered_bytes == 0 and not server.connections)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(LENGTH, body=BODY))
        assert (await client.response()).status == 200


async def test_connections_over_the_cap_get_503(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), connections=20, header=5.0)
    server = server_of(gateway)
    async with contextlib.AsyncExitStack() as stack:
        open_ones = [
            await stack.enter_async_context(await RawClient.connect(gateway.port))
            for _ in range(20)
        ]
        await settled(lambda: len(server.connections) == 20)
        async with await RawClient.connect(gateway.port) as one_more:
            answer = await _refusal(one_more)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
        await open_ones[0].send(post(LENGTH, body=BODY))
        assert (await open_ones[0].response()).status == 200
    await settled(lambda: not server.connections)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(LENGTH, body=BODY))
        assert (await client.response()).status == 200


async def test_a_flood_of_connections_is_dropped_without_answers(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL), connections=20, header=5.0)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await RawClient.connect(gateway.port))
            for _ in range(60)
        ]
        await asyncio.gather(*(client.closed(5.0) for client in clients[22:]))
        assert [client.bytes_read for client in clients[22:]] == [0] * 38
        assert gateway.sample("portico_limit_hits_total", limit="connections") == 40
        await clients[0].send(post(LENGTH, body=BODY))
        assert (await clients[0].response()).status == 200


async def test_a_deep_or_keyed_document_is_400(play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream, json_depth=20, json_key_bytes=64)
    deep = BODY[:-1] + b',"x":' + b"[" * 2000 + b"]" * 2000 + b"}"
    for body in (deep, BODY[:-1] + b',"' + b"k" * 65 + b'":1}', BODY[:-1], b"\xff" + BODY):
        async with await RawClient.connect(gateway.port) as client:
            await client.request("POST", PATH.decode(), body, KEY)
            assert (await client.response()).status == 400
    assert upstream.requests == []


# -- pipelining -----------------------------------------------------------------------------------


def _marked(number: int) -> bytes:
    """A request that names itself."""
    body = json.dumps(
        {"model": f"m{number}", "messages": [{"role": "user", "content": f"marker-{number}"}]}
    ).encode()
    return post(b"Content-Length: %d" % len(body), body=body)


def _echoing(count: int) -> list[list[object]]:
    return [[expect(), send(http_json(200, {**ANSWER, "id": f"answer-{n}"}))] for n in range(count)]


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("size", [None, 100, 7])
async def test_pipelined_requests_are_answered_in_order(
    size: int | None, play: Play, serve: Serve
) -> None:
    upstream = await play(*_echoing(20))
    gateway = await serve(upstream)
    async with await RawClient.connect(gateway.port) as client:
        sending = asyncio.ensure_future(
            client.send(b"".join(_marked(n) for n in range(20)), size=size)
        )
        ids = [(await client.response()).json()["id"] for _ in range(20)]
        await sending
    assert ids == [f"answer-{n}" for n in range(20)]
    assert [request.json()["model"] for request in upstream.requests] == [
        f"m{n}" for n in range(20)
    ]


@pytest.mark.parametrize("round_", range(5))
async def test_requests_that_arrive_while_others_are_answered_never_cross(
    round_: int, play: Play, serve: Serve
) -> None:
    """A second request may be read at the very moment the first is done: order still holds."""
    upstream = await play(*_echoing(60))
    gateway = await serve(upstream)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(_marked(0) + _marked(1))
        for n in range(60):
            assert (await client.response()).json()["id"] == f"answer-{n}"
            if n + 2 < 60:
                await client.send(_marked(n + 2))
    assert [request.json()["model"] for request in upstream.requests] == [
        f"m{n}" for n in range(60)
    ]


async def test_too_many_pipelined_requests_are_answered_up_to_the_limit(
    play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), hang()], default=WELL)
    gateway = await serve(upstream, pipelined_requests=3)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(b"".join(_marked(n) for n in range(10)))
        statuses = [(await client.response()).status for _ in range(4)]
        assert statuses == [504, 200, 200, 200]
        assert await client.read(1) == b""
    assert len(upstream.requests) == 4
    assert gateway.sample("portico_limit_hits_total", limit="pipelinedRequests") == 1


async def test_a_bad_request_behind_good_ones_is_refused_in_its_turn(
    play: Play, serve: Serve
) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(_marked(0) + _marked(1) + post(LENGTH, TE, body=CHUNKED) + _marked(2))
        statuses = [(await client.response()).status for _ in range(3)]
        assert statuses == [200, 200, 400]
        assert await client.read(1) == b""
    assert len(upstream.requests) == 2


async def test_a_pipelined_request_after_a_half_close_is_still_answered(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        await client.send(b"".join(_marked(n) for n in range(5)))
        client.half_close()
        assert [(await client.response()).status for _ in range(5)] == [200] * 5
        assert await client.read(1) == b""


async def test_a_half_close_while_answers_wait_loses_none_of_them(play: Play, serve: Serve) -> None:
    body = b"{%b}" % (b" " * 16_000_000)
    big = http_head(200, {"content-type": "application/json", "content-length": str(len(body))})
    upstream = await play(default=[expect(), send(big + body)])
    gateway = await serve(upstream, response_hold_bytes=20_000_000, write=10.0)
    async with await RawClient.connect(gateway.port, rcvbuf=4096) as client:
        await client.send(_marked(0) + _marked(1))
        (connection,) = server_of(gateway).connections
        await settled(lambda: connection.write_paused and connection._active is None)
        assert len(upstream.requests) == 1
        client.half_close()
        for _ in range(2):
            answer = await client.response(20.0)
            assert (len(answer.body), answer.ended) == (len(body), True)


async def test_a_client_that_reads_nothing_is_not_served_ahead(play: Play, serve: Serve) -> None:
    """Answers wait in the gateway only up to the relay buffer, however much is pipelined."""
    big = http_json(200, {**ANSWER, "pad": "x" * 400_000})
    upstream: ScriptedUpstream = await play(default=[expect(), send(big)])
    gateway = await serve(upstream, write=0.5)
    client = await RawClient.connect(gateway.port, rcvbuf=4096)
    sending = asyncio.ensure_future(
        _send(client, b"".join(_marked(n) for n in range(200)), size=500)
    )
    await settled(lambda: gateway.sample("portico_limit_hits_total", limit="write") == 1)
    await sending
    assert len(upstream.requests) < 25
    await settled(lambda: not server_of(gateway).connections)
    client.close()
