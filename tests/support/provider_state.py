"""A demo provider that keeps responses, a gateway with two tenants in front of it."""

import json
from typing import Any

import openai
import pytest
from tests.conftest import Launch
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse

from portico.config.settings import Settings
from portico.demo.provider import DemoProvider
from portico.demo.server import RunningDemo, start_demo
from portico.gateway.snapshot import assemble
from portico.http.messages import Reply, Request

__all__ = ["KEYS", "OTHER_KEY", "World", "answer", "config", "error_of", "made_by", "raw", "swap"]

OTHER_KEY = "gw-CANARY-other-tenant-0123456789"
KEYS = [caller(tenant="first"), caller(OTHER_KEY, tenant="second")]


class Watched(DemoProvider):
    """The demo provider, and what it was asked: `POST /v1/responses`, with query and body."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.bodies: list[Any] = []

    async def handle(self, request: Request, reply: Reply) -> None:
        query = f"?{request.query.decode()}" if request.query else ""
        self.asked.append(f"{request.method.decode()} {request.target.decode()}{query}")
        self.bodies.append(json.loads(request.body) if request.body else None)
        await super().handle(request, reply)


class World:
    """A gateway with two tenants in front of the demo provider."""

    def __init__(self, demo: RunningDemo, kept: Watched, gateway: Gateway) -> None:
        self.demo = demo
        self.kept = kept
        self.gateway = gateway
        self.gpt = sdk(gateway, CALLER_KEY)
        self.other = sdk(gateway, OTHER_KEY)

    @classmethod
    async def start(cls, launch: Launch) -> "World":
        """Listen on two free ports."""
        kept = Watched()
        demo = await start_demo(provider=kept)
        return cls(demo, kept, await launch(config(demo.url)))

    async def stop(self) -> None:
        """Close all but the gateway."""
        await self.gpt.close()
        await self.other.close()
        await self.demo.stop()

    async def raw(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str = CALLER_KEY
    ) -> RawResponse:
        """Any request of the gateway."""
        return await raw(self.gateway.port, method, path, body, key)

    @property
    def running(self) -> Any:
        """The gateway inside the worker."""
        return self.gateway.worker.gateway

    @property
    def store(self) -> Any:
        """Its database."""
        return self.running.state.store

    async def forget(self, name: str) -> None:
        """The provider's copy expires."""
        answer = await raw(self.demo.port, "DELETE", f"/v1/responses/{name}")
        assert answer.status == 200


def sdk(gateway: Gateway, key: str) -> openai.AsyncOpenAI:
    url = f"{gateway.url}/v1"
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=15)


async def raw(
    port: int, method: str, path: str, body: dict[str, Any] | None = None, key: str = CALLER_KEY
) -> RawResponse:
    async with await RawClient.connect(port) as client:
        await client.request(method, path, body, {"authorization": f"Bearer {key}"})
        return await client.response()


def config(url: str) -> Settings:
    """`native` remembers here and there, `there` at the provider only, `off` nowhere."""
    served_by = provider(url, "openAI")
    chat = provider(url, formats=["completions"], name="chat")
    models = [
        model("native", served_by, "m"),
        model("there", served_by, "m", state="provider"),
        model("off", served_by, "m", state="off"),
        model("elsewhere", provider(url, "openAI", key="sk-other"), "m", state="provider"),
        model("chat", chat, "m", state="provider"),
        model("chat-here", chat, "m"),
        model("chat-off", chat, "m", state="off"),
    ]
    return settings(route(models, KEYS))


def swap(gateway: Gateway, config: Settings) -> None:
    """Reload."""
    running = gateway.worker.gateway
    running.swap(assemble(config, running.client, {}))


def error_of(caught: pytest.ExceptionInfo[Any]) -> tuple[int, str | None]:
    return caught.value.status_code, caught.value.code


def answer(name: str = "resp_1", **more: Any) -> dict[str, Any]:
    return {
        "id": name, "object": "response", "created_at": 4_000_000_000, "status": "completed",
        "model": "m", "output": [], "store": True, **more,
    }  # fmt: skip


async def made_by(gpt: openai.AsyncOpenAI, stream: bool, **asked: Any) -> Any:
    """The finished response as JSON."""
    if not stream:
        return (await gpt.responses.create(**asked)).to_dict()
    final: Any = None
    async for event in await gpt.responses.create(stream=True, **asked):
        if event.type == "response.completed":
            final = event.response.to_dict()
    return final
