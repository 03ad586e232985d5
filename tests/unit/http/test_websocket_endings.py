"""How a WebSocket ends: a side closes, the peer vanishes, is slow or silent, the server goes."""

import asyncio
import logging

import pytest
from tests.support.websocket_client import CLOSE, PING, PONG, close_frame, frame
from tests.unit.http.conftest import Talk
from tests.unit.http.talking import settled
from websockets.asyncio.client import connect

both_loops = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

SMALL = 4096


# -- goodbyes -----------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999, None])
async def test_a_goodbye_is_returned(code: int | None, talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.send(close_frame(code, b"thanks") if code else frame(CLOSE))
        got = await client.hear()
        assert (got.opcode, got.code) == (CLOSE, code or 1005)
        assert await client.read(1) == b""
    await settled(lambda: server.talker.ended == [code or 1005])


@both_loops
async def test_the_application_can_say_goodbye(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.say("bye 1008")
        got = await client.hear()
        assert (got.opcode, got.code, got.payload[2:]) == (CLOSE, 1008, b"as told")
        await client.say("too late")
        await client.send(close_frame(1008))
        assert await client.read(1) == b""
    assert server.talker.taken == ["bye 1008"]


@both_loops
async def test_a_client_that_does_not_return_the_goodbye_is_cut(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.say("bye 1000")
        assert (await client.hear()).opcode == CLOSE
        assert 1.5 < await client.closed(6) < 5
    await settled(server.quiet)


async def test_a_defect_of_the_application_is_a_1011_and_a_log_line(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.say("crash")
        got = await client.hear()
        assert (got.opcode, got.code, got.payload[2:]) == (CLOSE, 1011, b"")
    assert [r for r in caplog.records if r.exc_info and r.levelno == logging.ERROR]
    await settled(server.quiet)


# -- vanishing ------------------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("how", ["close frame", "fin", "rst"])
async def test_a_client_that_leaves_stops_the_work_at_once(how: str, talk: Talk) -> None:
    server = await talk()
    client = await server.open()
    await client.say("hang")
    await settled(lambda: server.talker.taken == ["hang"])
    if how == "close frame":
        await client.send(close_frame(1000))
        assert await client.ended() == 1000
    elif how == "rst":
        client.rst()
    else:
        client.close()
    await settled(lambda: server.talker.ended == ["cancelled"], 1.0)
    client.close()
    await settled(server.quiet)


@both_loops
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_client_that_leaves_while_nothing_runs_ends_the_conversation(
    how: str, talk: Talk
) -> None:
    server = await talk()
    client = await server.open()
    await settled(lambda: server.talker.sockets != [])
    client.rst() if how == "rst" else client.close()
    await settled(lambda: server.talker.ended == [1006], 1.0)
    await settled(server.quiet)
    assert server.talker.sockets[0].closed


async def test_a_crowd_comes_and_goes_without_a_trace(talk: Talk) -> None:
    server = await talk()
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        clients = await asyncio.gather(*(server.open() for _ in range(40)))
        for number, client in enumerate(clients):
            if number % 2:
                await client.say("hang")
            client.rst() if number % 3 else client.close()
        await settled(server.quiet)
    await settled(lambda: len(asyncio.all_tasks()) <= tasks)


# -- slow readers -------------------------------------------------------------------------------


@both_loops
async def test_a_slow_reader_slows_the_application(talk: Talk) -> None:
    server = await talk(write=20.0)
    client = await server.open(rcvbuf=SMALL)
    await client.say("send 400 100000")
    (connection,) = server.server.connections
    await settled(lambda: connection.write_paused)
    assert server.talker.tap.paused
    await asyncio.sleep(0.2)
    assert connection._transport.get_write_buffer_size() < 300_000  # type: ignore[union-attr]
    total = 0
    while (payload := await client.heard(20)) != b"done":
        total += len(payload)
    assert total == 40_000_000
    assert not server.talker.tap.paused
    client.close()


@both_loops
async def test_a_reader_that_takes_nothing_is_cut(talk: Talk) -> None:
    server = await talk(write=0.3)
    client = await server.open(rcvbuf=SMALL)
    await client.say("send 400 100000")
    await settled(lambda: server.talker.ended == ["cancelled"])
    assert server.events.limits == ["write"]
    client.close()
    await settled(server.quiet)


async def test_a_slow_reader_that_leaves_stops_the_work(talk: Talk) -> None:
    server = await talk(write=60.0)
    client = await server.open(rcvbuf=SMALL)
    await client.say("send 400 100000")
    (connection,) = server.server.connections
    await settled(lambda: connection.write_paused)
    client.close()
    await settled(server.quiet)
    assert server.talker.ended == ["cancelled"]


@both_loops
async def test_a_peer_that_pings_and_takes_nothing_is_not_read_any_more(talk: Talk) -> None:
    server = await talk(write=1.0)
    client = await server.open(rcvbuf=SMALL)
    sending = asyncio.ensure_future(client.send(frame(PING, b"p" * 125) * 400_000))
    (connection,) = server.server.connections
    await settled(lambda: connection._paused and connection.write_paused)  # type: ignore[union-attr]
    assert connection._transport.get_write_buffer_size() < 300_000  # type: ignore[union-attr]
    with pytest.raises(ConnectionError):
        await sending
    assert server.events.limits == ["write"]
    client.close()
    await settled(server.quiet)


async def test_one_who_floods_does_not_hold_the_others(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as loud, await server.open() as calm:
        flooding = asyncio.ensure_future(loud.send(frame(PONG, b"") * 300_000))
        for _ in range(20):
            await calm.say("hi")
            assert await calm.heard(2.0) == b"hi"
        await flooding


# -- silence -------------------------------------------------------------------------------------


@both_loops
async def test_a_silent_client_is_pinged_and_cut_when_it_does_not_answer(talk: Talk) -> None:
    server = await talk(websocket_ping=0.3)
    client = await server.open()
    await client.say("hang")
    assert (await client.hear()).opcode == PING
    assert await client.ended() == 1011
    await settled(lambda: server.talker.ended == ["cancelled"])
    assert server.events.limits == ["websocketPing"]
    client.close()


async def test_a_client_that_answers_pings_stays(talk: Talk) -> None:
    server = await talk(websocket_ping=0.2)
    async with await server.open() as client:
        for _ in range(4):
            got = await client.hear()
            assert got.opcode == PING
            await client.send(frame(PONG, got.payload))
        await client.say("here")
        assert await client.heard() == b"here"


async def test_a_client_whose_messages_wait_is_not_taken_for_dead(talk: Talk) -> None:
    server = await talk(websocket_ping=0.2, websocket_queued_messages=1)
    async with connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        for message in ("wait", "one", "two"):
            await client.send(message)
        await asyncio.sleep(0.9)
        server.talker.go.set()
        assert [await client.recv(), await client.recv()] == ["one", "two"]
        await asyncio.sleep(0.9)
        await client.send("three")
        assert await client.recv() == "three"


# -- the server goes down, or the socket grows old ------------------------------------------------


@both_loops
async def test_idle_sockets_are_closed_by_a_drain(talk: Talk) -> None:
    server = await talk()
    async with connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        assert await server.server.drain(5.0, 1.0) is True
        await client.wait_closed()
        assert client.close_code == 1001
    assert server.talker.ended == [1001]


@both_loops
async def test_what_runs_is_finished_in_a_drain_and_nothing_new_begun(talk: Talk) -> None:
    server = await talk()
    async with connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        for message in ("wait", "send 2 10", "hi"):
            await client.send(message)
        await settled(lambda: server.talker.taken == ["wait"])
        draining = asyncio.ensure_future(server.server.drain(5.0, 1.0))
        await asyncio.sleep(0.05)
        assert not draining.done()
        assert server.talker.sockets[0].draining
        server.talker.go.set()
        await client.wait_closed()
        assert client.close_code == 1001
        assert await draining is True
    assert server.talker.taken == ["wait"]


@both_loops
async def test_what_outlives_the_drain_may_say_a_last_word(talk: Talk) -> None:
    server = await talk()
    async with connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        await client.send("hang")
        await settled(lambda: server.talker.taken == ["hang"])
        draining = asyncio.ensure_future(server.server.drain(0.2, 2.0))
        assert await client.recv() == "last word"
        await client.wait_closed()
        assert client.close_code == 1001
        assert await draining is False
    assert server.talker.ended == ["cancelled"]


async def test_a_socket_that_is_too_old_is_closed_whatever_it_does(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portico.http.websocket.GRACE_SECONDS", 0.1)
    server = await talk(websocket=0.2)
    idle, busy = await server.open(), await server.open()
    await busy.say("hang")
    assert await idle.ended() == 1001
    assert await busy.heard() == b"last word"
    assert await busy.ended() == 1001
    assert server.events.limits == ["websocket", "websocket"]
    idle.close()
    busy.close()
    await settled(server.quiet)
