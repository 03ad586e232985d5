"""`fetchRemoteContent`: a link in a request becomes data for a provider that takes no links."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.gateway import Gateway, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse

from portico.config.settings import ModelSettings
from portico.demo.server import RunningDemo, start_demo
from portico.gateway.translate import Tools
from portico.http.remote import RemoteDoor
from portico.limits import Limits

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63000100"
    "000500010d0a2db40000000049454e44ae426082"
)


class Site:
    """Serves the pixel at every path; counts requests."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.kind = b"image/png"
        self.body = PIXEL

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (self.kind, len(self.body), self.body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def demo() -> AsyncIterator[RunningDemo]:
    running = await start_demo()
    yield running
    await running.stop()


@pytest.fixture
async def site() -> AsyncIterator[tuple[Site, int]]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    yield site, server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def gate(demo: RunningDemo, site: tuple[Site, int]) -> AsyncIterator[Gateway]:
    bedrock: Any = provider(demo.url, "bedrock")
    models: list[ModelSettings] = [
        model("on", bedrock, "anthropic.claude-sonnet-4-5-v1:0", fetch_remote_content=True),
        model("off", bedrock, "anthropic.claude-sonnet-4-5-v1:0"),
    ]
    gateway = await Gateway.start(
        settings(route(models), limits=Limits(remote_content_bytes=10_000))
    )

    async def resolve(host: str, port: int) -> list[str]:
        return {"pictures.example": ["127.0.0.1"], "inside.example": ["10.0.0.1"]}[host]

    inner = gateway.worker.gateway
    inner.tools = Tools(
        inner.client,
        RemoteDoor(
            inner.client,
            resolve=resolve,
            is_allowed=lambda address: address == "127.0.0.1",
            ports={"http": site[1]},
        ),
    )
    yield gateway
    await gateway.stop()


async def ask(gate: Gateway, name: str, url: str) -> RawResponse:
    content = [
        {"type": "input_text", "text": "[[demo echo=body]] what is this?"},
        {"type": "input_image", "image_url": url},
    ]
    body = {"model": name, "input": [{"role": "user", "content": content}]}

    async with await RawClient.connect(gate.port) as client:
        await client.request("POST", "/v1/responses", body)
        return await client.response()


async def test_what_was_behind_the_link_reaches_the_provider(
    gate: Gateway, site: tuple[Site, int]
) -> None:
    answer = await ask(gate, "on", "http://pictures.example/a.png")
    assert answer.status == 200
    assert b64encode(PIXEL).decode() in answer.body.decode()
    assert len(site[0].asked) == 1


async def test_without_the_setting_nothing_is_fetched(
    gate: Gateway, site: tuple[Site, int]
) -> None:
    answer = await ask(gate, "off", "http://pictures.example/a.png")
    assert answer.status == 400
    assert answer.json()["error"]["param"] == "input[0].content[1]"
    assert "fetchRemoteContent" in answer.json()["error"]["message"]
    assert site[0].asked == []


async def test_an_inside_address_is_the_callers_400(gate: Gateway, site: tuple[Site, int]) -> None:
    answer = await ask(gate, "on", "http://inside.example/a.png")
    assert (answer.status, answer.json()["error"]["code"]) == (400, "remote_content_failed")
    assert "10.0.0.1" not in answer.body.decode()
    assert site[0].asked == []


async def test_content_over_the_limit_is_the_callers_400(
    gate: Gateway, site: tuple[Site, int]
) -> None:
    site[0].body = PIXEL + b"\0" * 10_000
    answer = await ask(gate, "on", "http://pictures.example/a.png")
    assert (answer.status, answer.json()["error"]["code"]) == (400, "remote_content_failed")


async def test_content_of_another_kind_is_no_picture(gate: Gateway, site: tuple[Site, int]) -> None:
    site[0].kind, site[0].body = b"text/html", b"<html>login</html>"
    answer = await ask(gate, "on", "http://pictures.example/a.png")
    assert answer.status == 400


async def test_data_is_never_fetched(gate: Gateway, site: tuple[Site, int]) -> None:
    answer = await ask(gate, "on", f"data:image/png;base64,{b64encode(PIXEL).decode()}")
    assert answer.status == 200
    assert site[0].asked == []


async def test_the_first_link_that_fails_ends_the_others(
    gate: Gateway, site: tuple[Site, int]
) -> None:
    """Nothing is fetched for a request that has been answered."""
    before = len(asyncio.all_tasks())
    hold = asyncio.Event()
    inner = gate.worker.gateway

    async def resolve(host: str, port: int) -> list[str]:
        if host == "slow.example":
            await hold.wait()
        return ["10.0.0.1"]

    inner.tools = Tools(inner.client, RemoteDoor(inner.client, resolve=resolve))
    links = [f"http://{name}.example/" for name in ("slow", "bad")]
    content = [{"type": "input_image", "image_url": link} for link in links]
    body = {"model": "on", "input": [{"role": "user", "content": content}]}
    async with await RawClient.connect(gate.port) as client:
        await client.request("POST", "/v1/responses", body)
        answer = await client.response()
    assert (answer.status, answer.json()["error"]["code"]) == (400, "remote_content_failed")
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) <= before + 1
    assert site[0].asked == []
