"""A provider's own errors keep their class, and its connections are used well (A3, A4, A7, A17)."""

import asyncio

import pytest
from tests.faults.conftest import (
    BOTH_LOOPS,
    DIALECTS,
    KEY,
    WELL,
    Play,
    Serve,
    answer_of,
    quiet,
    server_of,
    settled,
)
from tests.faults.streams import CLOSING, OPENING
from tests.support.asks import PATHS, ask
from tests.support.gateway import OPERATOR_KEY
from tests.support.raw import RawClient
from tests.support.steps import chunk
from tests.support.upstream import (
    expect,
    fin,
    hang,
    http_head,
    http_json,
    send,
    sleep,
    sse,
)

MIB = 1 << 20


# -- the provider's own errors --------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [400, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529])
async def test_the_class_of_an_error_and_its_retry_after_are_kept(
    status: int, dialect: str, play: Play, serve: Serve
) -> None:
    bodies = [b"", b"<html><b>Busy</b></html>", b'[{"error":{"message":"no"}}]', b"plain", b"\xff"]
    scripts = [
        [expect(), send(http_head(status, {"retry-after": "7", "content-length": str(len(body))})
                        + body)]
        for body in bodies
    ]  # fmt: skip
    upstream = await play(*scripts)
    gateway = await serve(upstream)
    for _ in bodies:
        answer = await answer_of(gateway, dialect)
        assert (answer.status, answer.header("retry-after"), answer.ended) == (status, "7", True)
        assert answer.json()["error"]["message"]
        assert b"<" not in answer.body
    assert {each.verdict for each in gateway.outcomes} == {"upstream_error"}
    assert upstream.opened == 1, "an error is a whole answer: the connection is kept"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_operator_credential_is_not_the_callers_fault(
    status: int, play: Play, serve: Serve
) -> None:
    body = {
        "error": {"message": f"bad key {OPERATOR_KEY}", "type": "x", "param": None, "code": "y"}
    }
    gateway = await serve(await play([expect(), send(http_json(status, body))]))
    answer = await answer_of(gateway)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_auth")
    assert OPERATOR_KEY.encode() not in answer.body
    assert b"CANARY" not in answer.body


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_endless_error_is_not_read_to_its_end(
    framing: str, play: Play, serve: Serve
) -> None:
    piece = b"e" * MIB
    if framing == "length":
        head, data = http_head(500, {"content-length": str(1 << 30)}), piece
    else:
        head, data = http_head(500, {"transfer-encoding": "chunked"}), chunk(piece)
    upstream = await play([expect(), send(head), *[send(data) for _ in range(64)], hang()])
    gateway = await serve(upstream, response_hold_bytes=100_000)
    answer = await answer_of(gateway)
    assert (answer.status, len(answer.body) < 2000) == (500, True)
    await upstream.wait_closed(1.0)


async def test_an_answer_before_the_whole_request_was_sent_is_relayed_and_the_upload_stops(
    play: Play, serve: Serve
) -> None:
    upstream = await play(
        [expect(body=False), send(http_json(413, {"error": "too large"})), hang()]
    )
    gateway = await serve(upstream)
    async with await RawClient.connect(gateway.port) as client:
        body = ask("chat", "x" * (8 * MIB))
        await client.request("POST", PATHS["chat"], body, KEY)
        assert (await client.response()).status == 413
    await upstream.wait_closed(2.0)
    await settled(lambda: quiet(gateway))


# -- the pool -------------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_an_idle_connection_the_provider_closed_is_replaced_without_an_error(
    play: Play, serve: Serve
) -> None:
    upstream = await play(*[[*WELL, fin()] for _ in range(5)], default=WELL)
    gateway = await serve(upstream)
    pools = gateway.worker.client._pools
    for number in range(10):
        assert (await answer_of(gateway)).status == 200
        if number < 5:
            await settled(lambda: upstream.open_now == 0)
            await settled(lambda: not any(pool.open_connections for pool in pools.values()))
    assert upstream.opened == 6


async def test_a_connection_is_used_again_after_a_whole_stream(play: Play, serve: Serve) -> None:
    upstream = await play(default=[expect(), sse([*OPENING["chat"], *CLOSING["chat"]])])
    gateway = await serve(upstream)
    for _ in range(5):
        assert (await answer_of(gateway, stream=True)).ended
    assert upstream.opened == 1


async def test_a_connection_is_not_used_again_after_its_provider_said_close(
    play: Play, serve: Serve
) -> None:
    upstream = await play(default=[expect(), send(http_json(200, {}, {"connection": "close"}))])
    gateway = await serve(upstream)
    for _ in range(3):
        assert (await answer_of(gateway)).status == 200
    assert upstream.opened == 3


async def test_idle_connections_are_given_up_in_time(play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream, upstream_keep_alive=0.3)
    assert (await answer_of(gateway)).status == 200
    await upstream.wait_closed(2.0)


async def test_connections_to_a_provider_are_bounded_even_while_they_are_made(
    play: Play, serve: Serve
) -> None:
    upstream = await play(default=[expect(), sleep(0.3), *WELL[1:]])
    gateway = await serve(upstream, upstream_connections=4, in_flight_per_key=100)
    answers = await asyncio.gather(*(answer_of(gateway) for _ in range(20)))
    statuses = sorted(answer.status for answer in answers)
    assert upstream.opened <= 4
    assert set(statuses) == {200, 503}
    await settled(lambda: quiet(gateway))
    assert server_of(gateway).connections == set()
