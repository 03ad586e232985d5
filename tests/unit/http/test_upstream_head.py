"""The head of a provider's answer is bounded, and the error says so."""

import asyncio
from typing import Any

import pytest

from portico.errors import UpstreamProtocol
from portico.http.client import HttpClient, Origin, Pool
from portico.http.upstream import UpstreamConnection
from portico.limits import Deadlines, Limits


class _Transport(asyncio.Transport):
    def write(self, data: Any) -> None: ...

    def abort(self) -> None: ...

    def is_closing(self) -> bool:
        return False


async def _answered(limit: int, *reads: bytes) -> UpstreamConnection:
    """A connection whose provider answered with `reads`; raises what its owner would see."""
    client = HttpClient(limits=Limits(response_head_bytes=limit), deadlines=Deadlines())
    pool = Pool(client, Origin("http", "provider.test", 80), None)
    connection = UpstreamConnection(pool, asyncio.get_running_loop())
    connection.connection_made(_Transport())
    connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", 100, first_byte=9, idle=9, total=9)
    for data in reads:
        connection.data_received(data)
    await asyncio.wait_for(connection.answer(), 1)
    return connection


def _head(*fields: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"content-length: 0", *fields, b"", b""))


@pytest.mark.parametrize(
    "reads",
    [
        [_head(b"x: " + b"a" * 600)],
        [_head(*[b"x: " + b"a" * 100] * 6)],
        [_head(*[b"x-%d: %b" % (n, b"a" * 100) for n in range(6)])],
        [b"HTTP/1.1 200 OK\r\n", b"x: " + b"a" * 300, b"a" * 300],
        [b"HTTP/1.1 200 OK\r\n", _head(b"x: " + b"a" * 600)[17:]],
    ],
    ids=["one field", "repeated field", "many fields", "unfinished", "in two reads"],
)
async def test_an_oversized_head_is_named_as_such(reads: list[bytes]) -> None:
    with pytest.raises(UpstreamProtocol) as caught:
        await _answered(500, *reads)
    assert caught.value.message == "The provider's response head is too large."
    assert caught.value.limit == "responseHeadBytes"


async def test_a_large_head_within_the_limit_is_read() -> None:
    connection = await _answered(1000, _head(b"x: " + b"a" * 600))
    assert connection.complete


async def test_what_is_not_http_is_said_to_be_that() -> None:
    with pytest.raises(UpstreamProtocol) as caught:
        await _answered(500, b"SSH-2.0-OpenSSH\r\n")
    assert (caught.value.message, caught.value.limit) == (
        "The provider's answer is not valid HTTP.", ""
    )  # fmt: skip
