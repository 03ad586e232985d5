"""From HTTP to WebSocket: who gets a 101, and what everybody else gets."""

import asyncio
import ssl

import pytest
from tests.faults import certificates
from tests.support.raw import RawClient
from tests.support.websocket_client import ACCEPT, HANDSHAKE, TEXT, Frames, frame
from tests.unit.http.conftest import Talk
from tests.unit.http.talking import settled
from websockets.asyncio.client import connect

from portico.http.server import server_tls

both_loops = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

HEAD = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
OPEN = f"GET /ws HTTP/1.1\r\nhost: a\r\n{HEAD}\r\n".encode()


@both_loops
async def test_a_handshake_is_answered_as_the_rfc_says(talk: Talk) -> None:
    server = await talk()
    async with await Frames.connect(server.port) as client:
        answer = await client.shake("/ws")
        assert answer.status == 101
        assert answer.header("sec-websocket-accept") == ACCEPT
        assert answer.header("upgrade") == "websocket"
        assert answer.header("connection") == "Upgrade"
        assert answer.header("sec-websocket-extensions") is None
        await client.say("hi")
        assert await client.heard() == b"hi"


@both_loops
async def test_the_usual_client_gets_along_with_us(talk: Talk) -> None:
    server = await talk()
    async with connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        for text in ("one", "ünïcode \u2028", "x" * 300_000):
            await client.send(text)
            assert await client.recv() == text
        assert client.protocol.extensions == []
    await settled(server.quiet)
    assert server.talker.ended == [1000]


@both_loops
async def test_inside_tls_it_is_the_same(
    talk: Talk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = certificates.make(tmp_path_factory.mktemp("tls"))
    server = await talk(tls=server_tls(made.good.cert, made.good.key))
    trust = ssl.create_default_context(cafile=made.root)
    async with connect(f"wss://localhost:{server.port}/ws", ssl=trust) as client:
        await client.send("y" * 300_000)
        assert len(await client.recv()) == 300_000
        await client.send("send 3 100000")
        for _ in range(3):
            assert len(await client.recv()) == 100_000
        assert await client.recv() == "done"
    await settled(server.quiet)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sec-websocket-version": "8"}, 426),
        ({"sec-websocket-version": None}, 426),
        ({"sec-websocket-key": None}, 400),
        ({"sec-websocket-key": "c2hvcnQ="}, 400),
        ({"sec-websocket-key": "*" * 24}, 400),
        ({"sec-websocket-key": "\xff" * 24}, 400),
        ({"sec-websocket-key": HANDSHAKE["sec-websocket-key"] + ", x"}, 400),
        ({"connection": "keep-alive"}, 400),
        ({"connection": None}, 400),
    ],
)
async def test_what_is_no_handshake_is_refused_in_http(
    changes: dict[str, str | None], status: int, talk: Talk
) -> None:
    server = await talk()
    headers = {k: v for k, v in {**HANDSHAKE, **changes}.items() if v is not None}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    async with await RawClient.connect(server.port) as client:
        await client.send(f"GET /ws HTTP/1.1\r\nhost: a\r\n{head}\r\n".encode("latin-1"))
        answer = await client.response()
        assert (answer.status, answer.body) == (status, b"bad_handshake")
        assert answer.header("sec-websocket-version") == "13"
        assert "close" in (answer.header("connection") or "")
        assert await client.read(1) == b""
    assert server.talker.sockets == []


async def test_http_1_0_does_not_upgrade(talk: Talk) -> None:
    server = await talk()
    async with await RawClient.connect(server.port) as client:
        await client.send(OPEN.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await client.response()).status == 400


async def test_who_is_refused_is_refused_before_the_handshake_is_looked_at(talk: Talk) -> None:
    server = await talk()
    async with await Frames.connect(server.port) as client:
        answer = await client.shake("/secret", sec_websocket_version="8")
        assert (answer.status, answer.body) == (403, b"permission_denied")
        assert answer.header("sec-websocket-version") is None


async def test_a_path_that_takes_no_websocket_answers_as_to_any_get(talk: Talk) -> None:
    server = await talk()
    async with await Frames.connect(server.port) as client:
        answer = await client.shake("/plain")
        assert (answer.status, answer.body) == (200, b"/plain")


@both_loops
async def test_requests_before_the_handshake_are_answered_first(talk: Talk) -> None:
    server = await talk()
    get = b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n"
    async with await Frames.connect(server.port) as client:
        await client.send(get % b"/slow" + get % b"/two" + OPEN + frame(TEXT, b"early"))
        await client.send(frame(TEXT, b"later"))
        await asyncio.sleep(0.05)
        server.talker.go.set()
        assert (await client.response()).body == b"/slow"
        assert (await client.response()).body == b"/two"
        assert (await client.head()).status == 101
        assert [await client.heard(), await client.heard()] == [b"early", b"later"]


async def test_only_a_little_is_kept_for_a_handshake_that_has_to_wait(talk: Talk) -> None:
    server = await talk(relay_buffer=10_000)
    async with await Frames.connect(server.port) as client:
        await client.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n" + OPEN)
        await asyncio.sleep(0.05)
        await client.send(frame(TEXT, b"x" * 30_000))
        assert await client.closed(5) < 5
    await settled(server.quiet)


async def test_a_handshake_and_frames_may_arrive_byte_by_byte(talk: Talk) -> None:
    server = await talk()
    async with await Frames.connect(server.port) as client:
        await client.send(OPEN + frame(TEXT, b"slowly") + frame(TEXT, b"z" * 300), size=1)
        assert (await client.head()).status == 101
        assert await client.heard() == b"slowly"
        assert await client.heard() == b"z" * 300


async def test_a_body_with_the_offer_makes_it_a_request_like_any_other(talk: Talk) -> None:
    server = await talk()
    async with await RawClient.connect(server.port) as client:
        await client.send(OPEN.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\nhi"))
        assert (await client.response()).body == b"/ws"


async def test_a_websocket_counts_as_a_connection(talk: Talk) -> None:
    server = await talk(connections=10)
    sockets = [await server.open() for _ in range(10)]
    async with await Frames.connect(server.port) as another:
        assert (await another.response()).status == 503
    await sockets[0].say("still here")
    assert await sockets[0].heard() == b"still here"
    for each in sockets:
        each.close()


async def test_a_handshake_during_the_drain_is_told_to_come_again(talk: Talk) -> None:
    server = await talk()
    async with await Frames.connect(server.port) as client:
        await client.send(OPEN[:20])
        await settled(lambda: len(server.server.connections) == 1)
        await asyncio.sleep(0.05)
        draining = asyncio.ensure_future(server.server.drain(5.0, 1.0))
        await asyncio.sleep(0)
        await client.send(OPEN[20:])
        assert (await client.response()).status == 503
        assert await draining is True
