"""An exchange can be ended from outside, but not one that is whole already."""

import asyncio
from typing import Any

import pytest

from portico.errors import UpstreamTimeout
from portico.http.client import HttpClient, Origin, Pool
from portico.http.upstream import UpstreamConnection
from portico.limits import Deadlines, Limits

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 4\r\n\r\n"
LATE = UpstreamTimeout("The provider did not begin to answer in time.")


class _Transport(asyncio.Transport):
    """Notes whether it was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0


def _connection() -> tuple[UpstreamConnection, _Transport]:
    client = HttpClient(limits=Limits(), deadlines=Deadlines())
    connection = UpstreamConnection(
        Pool(client, Origin("http", "provider.test", 80), None), asyncio.get_running_loop()
    )
    transport = _Transport()
    connection.connection_made(transport)
    connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", 100, first_byte=9, idle=9, total=9)
    return connection, transport


async def test_who_relays_a_stream_that_is_given_up_hears_why() -> None:
    connection, transport = _connection()
    connection.data_received(HEAD + b": \n")
    await connection.answer()
    got: list[bytes] = []
    relaying = asyncio.ensure_future(connection.relay(got.append))
    await asyncio.sleep(0)
    connection.fail(LATE)
    with pytest.raises(UpstreamTimeout) as raised:
        await relaying
    assert raised.value is LATE
    assert transport.aborted
    connection.data_received(b"\n")
    assert got == [b": \n"], "what comes later is nobody's"


async def test_an_answer_that_is_whole_is_not_given_up() -> None:
    connection, transport = _connection()
    connection.data_received(HEAD + b": \n\n")
    connection.fail(LATE)
    await connection.answer()
    assert (connection.complete, connection.take(), transport.aborted) == (True, b": \n\n", False)
    connection.release()
    connection.fail(LATE)
    assert not transport.aborted, "it may serve another one by now"
