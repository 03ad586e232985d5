"""What peers write to our sockets: requests, WebSocket frames, and the answers of providers.

Each conversation is held twice, with the bytes as they are and cut into pieces: where a read ends
may decide nothing. That is also the oracle for smuggling: no cut shows a request or an answer that
another hides.
"""

import asyncio
import re
from typing import Any

from tests.fuzz import wires
from tests.fuzz.kit import Target, pieces
from tests.fuzz.wires import Wire
from tests.support import websocket_client as frames
from tests.support.mutate import Seed

from portico.errors import Forbidden, PorticoError, UpstreamFault
from portico.http.client import HttpClient, Origin, Pool
from portico.http.connection import Connection
from portico.http.messages import Reply, Request, Socket
from portico.http.server import HttpServer
from portico.http.upstream import UpstreamConnection
from portico.limits import Limits

NARROW = Limits(
    header_bytes=300, header_count=8, request_line=64, body_bytes=200, buffered_body_bytes=300,
    chunk_overhead_bytes=100, response_head_bytes=300, websocket_queued_messages=2,
    pipelined_requests=2,
)  # fmt: skip
_ANY = 1 << 30
WIDE = Limits(
    header_bytes=_ANY, header_count=_ANY, request_line=_ANY, chunk_overhead_bytes=_ANY,
    response_head_bytes=_ANY, websocket_queued_messages=_ANY, pipelined_requests=_ANY,
)  # fmt: skip
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*\r\n")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BYTE_BY_BYTE = 300

# -- clients --------------------------------------------------------------------------------------


class _App:
    """Remembers what it was asked. `/secret` is refused by its head, `/ws` takes a WebSocket."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.told: list[str] = []

    def admit(self, request: Request) -> PorticoError | None:
        assert request.target.startswith(b"/")
        assert not _CONTROL.search(request.method + request.target + request.query)
        for name, value in request.headers.items():
            assert name == name.lower()
            assert not _CONTROL.search(name + value)
        if request.target == b"/secret":
            return Forbidden("Not for you.")
        request.upgrade = request.target == b"/ws" and b"upgrade" in request.headers
        return None

    def refuse(self, request: Request | None, reply: Reply, error: PorticoError) -> None:
        assert 400 <= error.http_status <= 503
        reply.send(error.http_status, b"", b"refused")

    async def handle(self, request: Request, reply: Reply) -> None:
        headers = tuple(request.headers.items())
        self.seen.append((request.method, request.target, request.query, headers, request.body))
        reply.send(200, b"", b"served")

    async def converse(self, request: Request, socket: Socket) -> None:
        while True:
            self.told.append(await socket.receive())
            socket.send(b"heard")

    def progress(self) -> tuple[int, int]:
        return len(self.seen), len(self.told)


async def _serve(cut: list[bytes], limits: Limits) -> tuple[_App, bytes]:
    app, wire = _App(), Wire()
    server = HttpServer(app, limits=limits)
    wire.attach(Connection(server, asyncio.get_running_loop(), b"http"))
    await wire.deliver(cut, app.progress)
    await wire.hang_up()
    assert server.buffered_bytes == 0, "what is gone is still counted"
    assert not server.connections
    assert not server.sweeper.members
    return app, bytes(wire.written)


def _alike(one: list[Any], other: list[Any]) -> None:
    """The same, as far as both go: an error behind the last that is served may come in the same
    read as it, and then nobody waits for it."""
    shared = min(len(one), len(other))
    assert one[:shared] == other[:shared]


def _statuses(written: bytes) -> list[int]:
    return [int(found) for found in _STATUS.findall(written)]


def request(data: bytes) -> None:
    """Requests: served in order, each answered once, and after a refusal nothing more."""
    cut = pieces(data, _BYTE_BY_BYTE)
    whole, _ = wires.run(_serve([data], WIDE))
    for limits in (WIDE, NARROW):
        app, written = wires.run(_serve(cut, limits))
        final = [status for status in _statuses(written) if status >= 200]
        assert final.count(200) == len(app.seen)
        assert all(status == 200 for status in final[:-1]), "an answer after a refusal"
        if limits is WIDE:
            _alike(app.seen, whole.seen)
            _alike(app.told, whole.told)


_SHAKE = (
    "GET /ws HTTP/1.1\r\nhost: a\r\n"
    + "".join([f"{name}: {value}\r\n" for name, value in frames.HANDSHAKE.items()])
    + "\r\n"
).encode()


def websocket(data: bytes) -> None:
    """Frames: the same messages however they are cut."""
    whole, written = wires.run(_serve([_SHAKE, data], WIDE))
    assert _statuses(written) == [101]
    cut = pieces(data, _BYTE_BY_BYTE)
    apart, _ = wires.run(_serve([_SHAKE, *cut], WIDE))
    _alike(apart.told, whole.told)
    narrow, _ = wires.run(_serve([_SHAKE, *cut], NARROW))
    assert all(len(text.encode()) <= NARROW.body_bytes for text in narrow.told)


# -- providers ------------------------------------------------------------------------------------

_ANOTHER = b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nyes"
_ORIGIN = Origin("http", "provider.test", 80)


def _ask(connection: UpstreamConnection) -> None:
    head = b"GET / HTTP/1.1\r\nhost: provider.test\r\n\r\n"
    connection.send(head, b"", 1000, first_byte=1e6, idle=1e6, total=1e6)


async def _answer(cut: list[bytes], limits: Limits) -> tuple[Any, ...]:
    """What an owner learns of an answer: the status, the body, and which fault ended it."""
    pool = Pool(HttpClient(limits=limits), _ORIGIN, None)
    connection, wire = UpstreamConnection(pool, asyncio.get_running_loop()), Wire()
    wire.attach(connection)
    _ask(connection)
    body: list[bytes] = []
    owner = asyncio.ensure_future(_own(connection, body))
    await asyncio.sleep(0)
    for piece in cut:
        if wire.closing:
            break
        connection.data_received(piece)
        await asyncio.sleep(0)
    fault = None
    if owner.done() or wire.closing:
        fault = await owner
        connection.release()
        if pool.take() is connection:
            assert fault is None
            await _again(connection)
    await wire.hang_up()
    if not owner.done():
        fault = await owner
    return connection.status, b"".join(body), fault


async def _own(connection: UpstreamConnection, body: list[bytes]) -> type[UpstreamFault] | None:
    try:
        await connection.answer()
        await connection.relay(body.append)
    except UpstreamFault as fault:
        return type(fault)
    return None


async def _again(connection: UpstreamConnection) -> None:
    """A connection that was kept has nothing left of the answer before."""
    _ask(connection)
    connection.data_received(_ANOTHER)
    body: list[bytes] = []
    assert await _own(connection, body) is None
    assert (connection.status, b"".join(body)) == (201, b"yes")


def answer(data: bytes) -> None:
    """Answers over HTTP: read the same however they are cut, or a typed fault; a connection that is
    kept answers the next request, and only that."""
    whole = wires.run(_answer([data], WIDE))
    cut = pieces(data, _BYTE_BY_BYTE)
    apart = wires.run(_answer(cut, WIDE))
    assert apart[2] == whole[2]
    if whole[2] is None:
        assert apart == whole
    wires.run(_answer(cut, NARROW))


# -- the table ------------------------------------------------------------------------------------


def _bytes(*values: bytes) -> list[Seed]:
    return [Seed(value, "bytes") for value in values]


def _requests() -> list[Seed]:
    plain = b"POST /v1/x?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    chunked = (
        b"POST /v1/x HTTP/1.1\r\nhost: a:80\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2;x=y\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n"
    )
    return _bytes(
        plain, chunked, plain + chunked + plain, _SHAKE + frames.frame(frames.TEXT, b"hello"),
        b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" * 2,
        b"HEAD http://a/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx",
        b"POST /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
        b"content-length: 3\r\n\r\nabc" + plain,
        b"POST /secret HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n123456789",
    )  # fmt: skip


def _frames() -> list[Seed]:
    text, ping = frames.frame(frames.TEXT, "h€llo".encode()), frames.frame(frames.PING, b"?")
    begun = frames.frame(frames.TEXT, b"one ", fin=False)
    return _bytes(
        text, text + ping + text, text * 20, frames.frame(frames.TEXT, b"x" * 3000) + text,
        begun + ping + frames.frame(frames.CONT, b"two") + frames.close_frame(1000, b"bye"),
        begun + frames.frame(frames.CONT, b"", fin=False) * 5 + frames.frame(frames.CONT),
        frames.frame(frames.BINARY, b"\0\1"), frames.frame(frames.TEXT, b"\xff"),
        frames.frame(frames.PONG), frames.close_frame(4000), frames.frame(frames.CLOSE),
        frames.frame(frames.TEXT, b"m", mask=False), frames.frame(3), frames.frame(1, bits=0x40),
    )  # fmt: skip


def _answers() -> list[Seed]:
    fixed = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    stream = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        b"b\r\ndata: {}\r\n\n\r\n0\r\n\r\n"
    )
    return _bytes(
        fixed, stream, fixed + fixed, b"HTTP/1.1 100 Continue\r\n\r\n" + fixed,
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + stream,
        b"HTTP/1.0 200 OK\r\n\r\nuntil it ends", b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\nset-cookie: a\r\nset-cookie: b\r\n"
        b"content-length: 3\r\n\r\nno!",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000 + b"\r\n",
    )  # fmt: skip


_WORDS = (
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"\n\n", b"\r", b": ", b"\r\n ",
    b"content-length: ", b"content-length: 1\r\n", b"transfer-encoding: chunked\r\n", b"chunked",
    b"connection: close\r\n", b"connection: keep-alive\r\n", b"upgrade", b"identity", b"x: y\r\n",
)  # fmt: skip
_ASKED = (
    b"host: a\r\n", b"expect: 100-continue\r\n", b"GET / ", b"POST /secret ", b"CONNECT a:1 ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"http://a/", b"/ws", b"sec-websocket-version: 13\r\n",
)  # fmt: skip
_TOLD = (b"100 Continue", b"101 Switching Protocols", b"204 No Content", b"text/event-stream")
_FRAME_WORDS = (
    b"\x81\x80\0\0\0\0", b"\x01\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x88\x82\0\0\0\0",
    b"\x89\x80\0\0\0\0", b"\x81\xfe\xff\xff", b"\x81\xff\0\0\0\0\0\x01\0\0",
)  # fmt: skip

TARGETS = {
    "http request": Target(request, _requests, _WORDS + _ASKED),
    "http answer": Target(answer, _answers, _WORDS + _TOLD),
    "websocket": Target(websocket, _frames, _FRAME_WORDS),
}
