"""The door to remote content, from the side of an attacker who chooses the address."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from portico.errors import BadRequest
from portico.http.client import HttpClient
from portico.http.remote import MOST_REDIRECTS, RemoteDoor, is_public

Answer = Callable[[bytes], bytes]


class Site:
    """A web server that answers each request with what `answer` makes of its head."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.answer: Answer = lambda head: ok(b"hello")
        self.port = 0
        self.stall = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.stall:
                await asyncio.sleep(30)
            writer.write(self.answer(head))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def ok(body: bytes, kind: bytes = b"image/png", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
        kind, more, len(body), body,
    )  # fmt: skip


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()
    client.sweeper.stop()


def names(**known: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        if host not in known:
            raise OSError("no such name")
        return known[host].split()

    return resolve


def door(client: HttpClient, site: Site, **known: str) -> RemoteDoor:
    return RemoteDoor(
        client,
        resolve=names(**{"good": "127.0.0.1", **known}),
        is_allowed=lambda address: address == "127.0.0.1",
        ports={"http": site.port, "https": 443},
    )


async def fetch(door: RemoteDoor, url: str, most: int = 100, seconds: float = 2.0) -> bytes:
    return (await door.fetch(url, most, seconds, "input")).body


async def test_public_content_is_fetched_without_credentials(
    client: HttpClient, site: Site
) -> None:
    found = await door(client, site).fetch("http://good/a.png?x=1", 100, 2.0, "input")
    assert (found.body, found.media_type) == (b"hello", "image/png")
    assert site.heads[0].startswith(b"GET /a.png?x=1 HTTP/1.1\r\nhost: good\r\n")
    assert b"authorization" not in site.heads[0].lower()
    assert b"cookie" not in site.heads[0].lower()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://good/", "gopher://good/", "http://", "http://[::1", "//good/",
        "http://user:pw@good/", "http://good:22/", "http://good:x/", "http://g\u00f6\u00f6d/",
        "http://good/a b", "http://good/\r\nhost:evil", "http://good/" + "a" * 9000, "data:,x",
    ],
)  # fmt: skip
async def test_addresses_that_are_not_plain_web_addresses_are_refused(
    client: HttpClient, site: Site, url: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await fetch(door(client, site), url)
    assert caught.value.param == "input"
    assert site.heads == []


@pytest.mark.parametrize("addresses", ["10.0.0.1", "127.0.0.1 10.0.0.1", "10.0.0.1 127.0.0.1"])
async def test_a_name_with_any_private_address_is_refused(
    client: HttpClient, site: Site, addresses: str
) -> None:
    with pytest.raises(BadRequest, match="its address cannot be used"):
        await fetch(door(client, site, bad=addresses), "http://bad/")
    assert site.heads == []


async def test_a_name_that_does_not_exist_looks_like_a_private_one(
    client: HttpClient, site: Site
) -> None:
    told = set()
    for url in ("http://nowhere/", "http://bad/"):
        with pytest.raises(BadRequest) as caught:
            await fetch(door(client, site, bad="10.0.0.1"), url)
        told.add(caught.value.message)
    assert len(told) == 1


async def test_the_address_that_was_checked_is_the_one_connected_to(
    client: HttpClient, site: Site
) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    found = RemoteDoor(
        client, resolve=rebinding, is_allowed=lambda address: address == "127.0.0.1",
        ports={"http": site.port},
    )  # fmt: skip
    assert await fetch(found, "http://rebinds.example/") == b"hello"
    assert asked == ["rebinds.example"]


async def test_a_redirect_is_checked_like_the_first_address(client: HttpClient, site: Site) -> None:
    site.answer = lambda head: (
        b"HTTP/1.1 302 Found\r\nlocation: http://bad/\r\ncontent-length: 0\r\n\r\n"
    )
    with pytest.raises(BadRequest, match="its address cannot be used"):
        await fetch(door(client, site, bad="169.254.169.254"), "http://good/")
    assert len(site.heads) == 1


async def test_redirects_are_followed_a_few_times_only(client: HttpClient, site: Site) -> None:
    site.answer = lambda head: (
        b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n"
    )
    with pytest.raises(BadRequest, match="too often"):
        await fetch(door(client, site), "http://good/")
    assert len(site.heads) == MOST_REDIRECTS + 1


async def test_a_redirect_within_the_rules_is_followed(client: HttpClient, site: Site) -> None:
    def answer(head: bytes) -> bytes:
        if head.startswith(b"GET /there "):
            return ok(b"found")
        return b"HTTP/1.1 301 Moved\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"

    site.answer = answer
    assert await fetch(door(client, site), "http://good/") == b"found"


@pytest.mark.parametrize("size", [101, 10_000])
async def test_content_over_the_limit_is_refused(client: HttpClient, site: Site, size: int) -> None:
    site.answer = lambda head: ok(b"x" * size)
    with pytest.raises(BadRequest, match="larger than 100 bytes"):
        await fetch(door(client, site), "http://good/")


async def test_content_of_just_the_limit_is_taken(client: HttpClient, site: Site) -> None:
    site.answer = lambda head: ok(b"x" * 100)
    assert await fetch(door(client, site), "http://good/") == b"x" * 100


async def test_an_endless_answer_is_cut_off(client: HttpClient, site: Site) -> None:
    site.answer = lambda head: b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000
    with pytest.raises(BadRequest, match="larger than"):
        await fetch(door(client, site), "http://good/")


async def test_a_server_that_says_nothing_is_given_up(client: HttpClient, site: Site) -> None:
    site.stall = True
    with pytest.raises(BadRequest, match=r"in time|could not be fetched"):
        await fetch(door(client, site), "http://good/", seconds=0.2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
        b"",
        ok(b"x", more=b"content-encoding: gzip\r\n"),
    ],
)
async def test_whatever_else_comes_is_the_callers_400(
    client: HttpClient, site: Site, answer: bytes
) -> None:
    site.answer = lambda head: answer
    with pytest.raises(BadRequest) as caught:
        await fetch(door(client, site), "http://good/")
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("::1", False), ("::", False), ("fe80::1", False), ("fe80::1%eth0", False),
        ("fc00::1", False), ("::ffff:127.0.0.1", False), ("::ffff:10.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False), ("64:ff9b::5db8:d822", True), ("2002:7f00:1::", False),
        ("ff02::1", False), ("not an address", False), ("255.255.255.255", False),
        ("192.0.2.1", False), ("168.63.129.16", False), ("::ffff:168.63.129.16", False),
        ("192.0.0.192", False), ("100.100.100.200", False), ("192.88.99.1", False),
        ("::127.0.0.1", False), ("::a9fe:a9fe", False), ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("64:ff9b:1::7f00:1", False), ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        ("2001:db8::1", False), ("5f00::1", False), ("100::1", False),
        ("2001:4860:4860::8888", True),
    ],
)  # fmt: skip
def test_only_public_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "where",
    [
        "//[", "http://[::1", "http://127.0.0.1:22/", "http://user@good/", "https:good",
        "file:///etc/passwd", "gopher://good/", "http://good/\xff", "http://bad/", "//bad/x",
        "http://good%00.evil/", "http://2130706433/", "http://0x7f.1/",
    ],
)  # fmt: skip
async def test_a_redirect_to_nowhere_good_is_the_callers_400(
    client: HttpClient, site: Site, where: str
) -> None:
    head = b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n"
    site.answer = lambda _: head % where.encode("latin-1")
    with pytest.raises(BadRequest) as caught:
        await fetch(door(client, site, bad="10.0.0.1"), "http://good/")
    assert len(site.heads) == 1
    assert "10.0.0.1" not in caught.value.message


async def test_names_of_callers_do_not_hold_up_those_of_providers(
    monkeypatch: pytest.MonkeyPatch, client: HttpClient
) -> None:
    """A name that takes long to resolve holds a thread, which nobody else must wait for."""
    hold = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hold.wait(5) or [])
    remote = RemoteDoor(client)
    waiting = [
        asyncio.ensure_future(remote.fetch(f"http://slow{at}/", 10, 0.2, "input"))
        for at in range(40)
    ]
    try:
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.run_in_executor(None, lambda: 7), 1.0) == 7
        done = await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        hold.set()
    assert all(isinstance(each, BadRequest) for each in done)
