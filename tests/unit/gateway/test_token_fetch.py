"""The small HTTP client that the credentials of clouds are fetched with."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from portico.errors import PorticoError
from portico.gateway.token_fetch import LARGEST, TokenFetch, _is_near
from portico.http.client import HttpClient
from portico.http.proxies import Proxies, Proxy

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nX-Token-TTL: 60\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def server(answer: bytes, seen: list[bytes]) -> AsyncIterator[str]:
    """Answers every request with `answer`; `seen` gets the requests."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        seen.append(head + await reader.readexactly(sum(length)))
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


async def test_an_exchange_is_one_whole_request_and_one_whole_answer() -> None:
    seen: list[bytes] = []
    async with server(OK, seen) as url:
        client = HttpClient()
        answer = await TokenFetch(client)(
            "POST", f"{url}/token?a=b", {"Content-Type": "text/plain"}, b"grant"
        )
        await client.close()
    assert answer == (200, {"x-token-ttl": "60", "content-length": "2"}, b"{}")
    head, _, body = seen[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /token?a=b HTTP/1.1"
    assert body == b"grant"
    names = [line.split(":")[0] for line in lines]
    assert len(names) == len(set(names))
    assert {"content-type: text/plain", "content-length: 5"} <= set(lines)


async def test_a_put_without_a_body_says_so_and_a_get_says_nothing() -> None:
    seen: list[bytes] = []
    async with server(OK, seen) as url:
        client = HttpClient()
        await TokenFetch(client)("PUT", url, {}, None)
        await TokenFetch(client)("GET", url, {}, None)
        await client.close()
    assert seen[0].startswith(b"PUT / HTTP/1.1\r\n")
    assert b"content-length: 0\r\n" in seen[0]
    assert b"content-length" not in seen[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n" + b"x" * (LARGEST + 1),
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_an_answer_that_is_not_whole_or_too_large_is_a_typed_error(answer: bytes) -> None:
    async with server(answer, []) as url:
        client = HttpClient()
        with pytest.raises(PorticoError):
            await TokenFetch(client)("GET", url, {}, None)
        await client.close()


@pytest.mark.parametrize("url", ["ftp://h/x", "http://", "/token", "file:///etc/passwd"])
async def test_only_http_is_fetched(url: str) -> None:
    with pytest.raises(ValueError, match="not an http address"):
        await TokenFetch(HttpClient())("GET", url, {}, None)


async def test_nothing_can_be_smuggled_into_the_head() -> None:
    fetch = TokenFetch(HttpClient())
    for headers in ({"a": "b\r\nc: d"}, {"a": "b\0"}, {"a\r\nb": "c"}):
        with pytest.raises(ValueError, match="line end"):
            await fetch("GET", "http://127.0.0.1:1/", headers, None)


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("169.254.169.254", True),
        ("169.254.170.2", True),
        ("fd00:ec2::254", True),
        ("metadata.google.internal", True),
        ("oauth2.googleapis.com", False),
        ("sts.us-east-1.amazonaws.com", False),
        ("10.0.0.1", False),
    ],
)
def test_metadata_services_are_told_from_the_rest(host: str, near: bool) -> None:
    assert _is_near(host) is near


async def test_a_token_endpoint_is_reached_through_the_operators_proxy() -> None:
    seen: list[bytes] = []
    async with server(OK, seen) as url:
        port = int(url.rpartition(":")[2])
        proxies = Proxies(http=Proxy("127.0.0.1", port, False, b""))
        client = HttpClient(proxies=proxies)
        status, _, _ = await TokenFetch(client)("GET", "http://sts.example/x", {}, None)
        await client.close()
    assert status == 200
    assert seen[0].startswith(b"GET http://sts.example/x HTTP/1.1\r\n")
