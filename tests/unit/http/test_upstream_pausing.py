"""Reading from a provider stops for two reasons, and goes on when neither holds."""

import asyncio
from typing import Any

from portico.http.client import HttpClient, Origin, Pool
from portico.http.upstream import UpstreamConnection
from portico.limits import Deadlines, Limits

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
HOLD = 100


class _Transport(asyncio.Transport):
    """Notes whether it is being read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def write(self, data: Any) -> None: ...

    def abort(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


def _connection() -> tuple[UpstreamConnection, _Transport]:
    client = HttpClient(limits=Limits(), deadlines=Deadlines())
    pool = Pool(client, Origin("http", "provider.test", 80), None)
    connection = UpstreamConnection(pool, asyncio.get_running_loop())
    transport = _Transport()
    connection.connection_made(transport)
    connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", HOLD, first_byte=9, idle=9, total=9)
    return connection, transport


async def test_a_body_over_the_hold_waits_for_its_owner() -> None:
    connection, transport = _connection()
    connection.data_received(HEAD + b"x" * (HOLD + 1))
    assert not transport.reading
    await connection.answer()
    got: list[bytes] = []
    relaying = asyncio.ensure_future(connection.relay(got.append))
    await asyncio.sleep(0)
    assert transport.reading
    connection.data_received(b"y" * (999 - HOLD))
    await asyncio.wait_for(relaying, 1)
    assert (len(b"".join(got)), connection.complete) == (1000, True)


async def test_a_client_slow_before_the_relay_begins_keeps_it_paused() -> None:
    connection, transport = _connection()
    connection.data_received(HEAD + b"x" * (HOLD + 1))
    await connection.answer()
    connection.pause()
    relaying = asyncio.ensure_future(connection.relay(lambda data: None))
    await asyncio.sleep(0)
    assert not transport.reading, "the hold is over, the client is still slow"
    connection.resume()
    assert transport.reading
    relaying.cancel()


async def test_a_client_slow_at_the_first_piece_keeps_it_paused() -> None:
    connection, transport = _connection()
    connection.data_received(HEAD + b"x" * (HOLD + 1))
    await connection.answer()
    relaying = asyncio.ensure_future(connection.relay(lambda data: connection.pause()))
    await asyncio.sleep(0)
    assert not transport.reading
    connection.pause()
    connection.resume()
    assert transport.reading
    relaying.cancel()


async def test_a_paused_connection_is_read_again_when_it_is_kept() -> None:
    connection, transport = _connection()
    connection.data_received(HEAD + b"x" * 1000)
    await connection.answer()
    connection.pause()
    assert len(connection.take()) == 1000
    connection.release()
    assert transport.reading


async def test_the_idle_deadline_does_not_run_while_the_client_is_slow() -> None:
    connection, _ = _connection()
    connection.data_received(HEAD)
    idle = connection.deadline
    connection.pause()
    paused = connection.deadline
    connection.resume()
    assert idle <= connection.deadline <= paused
    connection.data_received(b"x")
    assert connection.deadline <= paused
