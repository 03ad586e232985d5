"""One demo provider, seen through every upstream dialect, and one gateway in front of all of them.

A cell is an upstream as an operator would configure it. Its model answers to four names: the cell's
own, and with `-reject`, `-ignore` and `-fetch` behind it for those settings.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct
from tests.support.gateway import Gateway, caller, model, provider, route, settings
from tests.support.talks import CLIENTS, Sdks

from portico.config.secret import Secret
from portico.config.settings import AwsKeys, ModelSettings, ProviderSettings
from portico.demo.provider import DemoProvider
from portico.demo.server import RunningDemo, start_demo
from portico.http.messages import Reply, Request

__all__ = ["CELLS", "Cell", "Matrix", "Seen", "both_ways", "every_cell", "over", "seals"]

_KEY = Secret("sk-CANARY-operator-0123456789")
_STRANGER = "gw-CANARY-stranger-0123456789"
_GEMINI = "gemini-3-pro"


class Cell(Struct, frozen=True, kw_only=True):
    """`spoken` maps a client dialect to the upstream dialect it ends in."""

    name: str
    model: str
    spoken: dict[str, str]

    def spliced(self, client: str) -> bool:
        """The client's own dialect is spoken here."""
        return self.spoken[client] == client


def _only(dialect: str) -> dict[str, str]:
    return dict.fromkeys(("responses", "chat", "messages"), dialect)


_BOTH = {"responses": "responses", "chat": "chat", "messages": "responses"}
_BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CELLS = {
    each.name: each
    for each in (
        Cell(name="responses", model="gpt-5.5", spoken=_only("responses")),
        Cell(name="chat", model="qwen3-max", spoken=_only("chat")),
        Cell(name="messages", model="claude-sonnet-4-5", spoken=_only("messages")),
        Cell(name="gemini", model=_GEMINI, spoken={**_only("gemini"), "chat": "chat"}),
        Cell(name="vertex", model=_GEMINI, spoken=_only("gemini")),
        Cell(name="vertex-claude", model="claude-sonnet-4-5@20250929", spoken=_only("messages")),
        Cell(name="bedrock", model=_BEDROCK, spoken=_only("converse")),
        Cell(name="azure", model="gpt-5.5", spoken=_BOTH),
        Cell(name="azure-dated", model="o4-mini", spoken=_BOTH),
    )
}


EVERY = [(client, cell) for client in CLIENTS for cell in CELLS.values()]
every_cell = pytest.mark.parametrize(
    ("client", "cell"), EVERY, ids=[f"{client}-{cell.name}" for client, cell in EVERY]
)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def over(*clients: str) -> Any:
    """Every cell of these client dialects."""
    pairs = [(client, cell) for client, cell in EVERY if client in clients]
    names = [f"{client}-{cell.name}" for client, cell in pairs]
    return pytest.mark.parametrize(("client", "cell"), pairs, ids=names)


def providers(url: str) -> dict[str, ProviderSettings]:
    """How each cell reaches a server at `url`, which has every vendor's paths."""

    def cloud(kind: str, **more: Any) -> ProviderSettings:
        fields: dict[str, Any] = {"name": kind, "base_url": url, "api_key": _KEY, **more}
        return ProviderSettings(kind=kind, **fields)

    vertex = cloud("vertex", project="demo-project", region="europe-west4")
    keys = AwsKeys(access_key_id="AKIDEXAMPLE", secret_access_key=_KEY)
    return {
        "responses": provider(url, formats=["responses"], name="responses"),
        "chat": provider(url, formats=["completions"], name="chat"),
        "messages": provider(url, formats=["messages"], name="messages"),
        "gemini": cloud("gemini"),
        "vertex": vertex,
        "vertex-claude": vertex,
        "bedrock": cloud("bedrock", api_key=None, region="us-east-1", aws=keys),
        "azure": cloud("azure"),
        "azure-dated": cloud("azure", name="azure-dated", api_version="2025-04-01-preview"),
    }


def models(url: str) -> list[ModelSettings]:
    """The model list: every cell under its four names."""
    out = []
    for name, served_by in providers(url).items():
        upstream = CELLS[name].model
        out += [
            model(name, served_by, upstream),
            model(f"{name}-reject", served_by, upstream, on_loss="reject"),
            model(f"{name}-ignore", served_by, upstream, on_loss="ignore"),
            model(f"{name}-fetch", served_by, upstream, fetch_remote_content=True),
        ]
    return out


class Seen:
    """One request as the provider got it, and what it answered."""

    def __init__(self, request: Request) -> None:
        self.path = request.target.decode()
        self.headers = dict(request.headers)
        self.body = bytes(request.body)
        self.status = 0
        self.answer = bytearray()


class _Listener:
    """A reply that is overheard."""

    def __init__(self, reply: Reply, seen: Seen) -> None:
        self._reply = reply
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reply, name)

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        self._seen.status = status
        self._reply.start(status, headers, length)

    def write(self, data: bytes) -> None:
        self._seen.answer += data
        self._reply.write(data)

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        self._seen.status = status
        self._seen.answer += body
        self._reply.send(status, headers, body)


class _Overheard(DemoProvider):
    def __init__(self) -> None:
        super().__init__()
        self.seen: deque[Seen] = deque(maxlen=64)

    async def handle(self, request: Request, reply: Reply) -> None:
        seen = Seen(request)
        self.seen.append(seen)
        await super().handle(request, _Listener(reply, seen))  # type: ignore[arg-type]


class Matrix:
    """The two servers. `seen` are the requests of late that reached the provider, oldest first;
    `stranger` has another key than `sdks`."""

    def __init__(self, demo: RunningDemo, heard: deque[Seen], gateway: Gateway) -> None:
        self.demo = demo
        self.seen = heard
        self.gateway = gateway
        self.sdks = Sdks(gateway.url)
        self.stranger = Sdks(gateway.url, _STRANGER)

    @classmethod
    async def start(cls) -> "Matrix":
        """Listen on two free ports."""
        overheard = _Overheard()
        demo = await start_demo(provider=overheard)
        keys = [caller(team="matrix"), caller(_STRANGER, team="others")]
        served = route(models(demo.url), keys)
        return cls(demo, overheard.seen, await Gateway.start(settings(served)))

    @property
    def lane(self) -> str:
        """The lane of the last request."""
        return self.gateway.outcomes[-1].lane

    async def stop(self) -> None:
        """Close all."""
        await self.sdks.close()
        await self.stranger.close()
        await self.gateway.stop()
        await self.demo.stop()


_SEAL = re.compile(rb"(?:ZGVtb|WkdWdGI)[A-Za-z0-9+/_-]{20,}=*")
"""A seal of the demo provider in base64, or (a blob of Bedrock) in base64 twice."""


def seals(raw: bytes) -> Iterator[str]:
    """Every opaque value of the demo provider in a body or stream, each once, in order."""
    return iter(dict.fromkeys(found.decode() for found in _SEAL.findall(raw)))
