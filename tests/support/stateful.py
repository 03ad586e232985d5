"""A demo provider behind every upstream dialect, a gateway that remembers, and two tenants.

`Servers.heard` is what reached the provider, so that a test can say what a chain has to look like
where it matters: upstream. Every model name of `CELLS` ends in another dialect; `openai` alone
keeps responses itself.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest
import pytest_asyncio
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.matrix import CELLS as MATRIX_CELLS
from tests.support.matrix import Seen, providers

from portico.config.settings import Settings
from portico.demo.provider import DemoProvider
from portico.demo.server import RunningDemo, start_demo
from portico.http.messages import Reply, Request
from portico.limits import Limits

__all__ = [
    "CELLS", "NATIVE", "OTHER_KEY", "SPLICED", "UNKNOWN_CONVERSATION", "UNKNOWN_RESPONSE",
    "Client", "Heard", "Servers", "answering", "ask", "both_ways", "configuration", "each_cell",
    "finished", "listening_demo", "refusal", "servers", "told", "tool", "until", "words",
]  # fmt: skip

OTHER_KEY = "gw-CANARY-other-tenant-0123456789"
NATIVE = "gpt-5.5"
"""Served by the provider that keeps responses, under the name it has there."""
CELLS = ("responses", "openai", "chat", "messages", "gemini", "bedrock", "azure")
SPLICED = ("responses", "openai", "azure")
"""Cells that are asked in the client's own dialect."""
UNKNOWN_RESPONSE = f"resp_{'0' * 32}"
UNKNOWN_CONVERSATION = f"conv_{'0' * 32}"

each_cell = pytest.mark.parametrize("cell", CELLS)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Heard(Seen):
    """A request as the provider got it. `over` is set when the provider is done with it;
    `cancelled` says that the gateway did not wait for that."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.over = asyncio.Event()
        self.cancelled = False

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class _Listener:
    """A reply that is overheard."""

    def __init__(self, reply: Reply, heard: Heard) -> None:
        self._reply = reply
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reply, name)

    def write(self, data: bytes) -> None:
        self._heard.answer += data
        self._reply.write(data)

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        self._heard.answer += body
        self._reply.send(status, headers, body)


class _Listening(DemoProvider):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []

    async def handle(self, request: Request, reply: Reply) -> None:
        heard = Heard(request)
        self.heard.append(heard)
        try:
            await super().handle(request, _Listener(reply, heard))  # type: ignore[arg-type]
        except asyncio.CancelledError:
            heard.cancelled = True
            raise
        finally:
            heard.over.set()


class Client:
    """The official SDK as one caller. `sent` is its last body, `headers` those of the last
    answer."""

    def __init__(self, url: str, key: str) -> None:
        self.sent = b""
        self.headers: dict[str, str] = {}

        async def sending(request: Any) -> None:
            self.sent = request.content

        async def answered(response: Any) -> None:
            self.headers = dict(response.headers)

        hooks: Any = {"request": [sending], "response": [answered]}
        self.sdk = openai.AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key=key,
            max_retries=0,
            timeout=20,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks=hooks),
        )

    @property
    def losses(self) -> str | None:
        """What the last answer says did not get through."""
        return self.headers.get("x-portico-losses")

    async def raw(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of any request, without an exception. Bytes are sent as they are."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        options: Any = {} if body is None else {"content": body}
        answer = await self.sdk._client.request(
            method,
            f"{str(self.sdk.base_url).rstrip('/')}{path}",
            headers={
                "authorization": f"Bearer {self.sdk.api_key}",
                "content-type": "application/json",
            },
            **options,
        )
        return answer.status_code, answer.json()

    async def close(self) -> None:
        """Close its connections."""
        await self.sdk.close()


class Servers:
    """The two servers. `client` and `other` are callers of different tenants."""

    def __init__(self, demo: RunningDemo, heard: list[Heard], gateway: Gateway) -> None:
        self.demo = demo
        self.heard = heard
        self.gateway = gateway
        self.client = Client(gateway.url, CALLER_KEY)
        self.other = Client(gateway.url, OTHER_KEY)

    @classmethod
    async def start(cls, limits: Limits | None = None) -> "Servers":
        """Listen on two free ports."""
        demo, heard = await listening_demo()
        return cls(demo, heard, await Gateway.start(configuration(demo.url, limits)))

    @property
    def sdk(self) -> openai.AsyncOpenAI:
        """The first caller's SDK."""
        return self.client.sdk

    @property
    def store(self) -> Any:
        """The gateway's database."""
        return self.gateway.worker.gateway.state.store

    @store.setter
    def store(self, store: Any) -> None:
        self.gateway.worker.gateway.state.store = store

    @property
    def last(self) -> Heard:
        """The provider's last request."""
        return self.heard[-1]

    async def stop(self) -> None:
        """Close all."""
        await self.client.close()
        await self.other.close()
        await self.gateway.stop()
        await self.demo.stop()


async def listening_demo() -> tuple[RunningDemo, list[Heard]]:
    """A demo provider, and what it hears."""
    listening = _Listening()
    return await start_demo(provider=listening), listening.heard


def configuration(url: str, limits: Limits | None = None) -> Settings:
    """Every cell under its name, for two tenants."""
    named = providers(url)
    keeping = provider(url, "openAI", name="openai")
    models = [
        model(name, named[name], MATRIX_CELLS[name].model) for name in CELLS if name != "openai"
    ]
    models += [
        model("openai", keeping, NATIVE),
        model(NATIVE, keeping),
        model("openai-provider", keeping, NATIVE, state="provider"),
        model("chat-off", named["chat"], MATRIX_CELLS["chat"].model, state="off"),
        model("responses-off", named["responses"], NATIVE, state="off"),
    ]
    keys = [caller(tenant="first"), caller(OTHER_KEY, tenant="second")]
    return settings(route(models, keys), limits=limits)


def servers(limits: Limits | None = None) -> Any:
    """A fixture: servers of one test module."""

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def running() -> AsyncIterator[Servers]:
        started = await Servers.start(limits)
        yield started
        await started.stop()

    return running


def answering(text: str, answer: str) -> str:
    """What a user says to be answered with exactly `answer`."""
    return f"{text} [[demo text={answer}]]"


def tool(name: str = "get_weather") -> dict[str, Any]:
    """A function that takes a city."""
    return {
        "type": "function",
        "name": name,
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }


async def ask(client: Client, cell: str, said: Any, *, stream: bool = False, **more: Any) -> Any:
    """One finished response, however it comes."""
    if not stream:
        return await client.sdk.responses.create(model=cell, input=said, **more)
    events = [
        event
        async for event in await client.sdk.responses.create(
            model=cell, input=said, stream=True, **more
        )
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type in ("response.completed", "response.incomplete", "response.failed")
    return events[-1].response


async def refusal(
    answer: Awaitable[Any], status: int, param: str | None, code: str | None = None
) -> openai.APIStatusError:
    """The error that an API call ends in, which has to be this one."""
    with pytest.raises(openai.APIStatusError) as caught:
        await answer
    error = caught.value
    assert (error.status_code, error.param) == (status, param), error
    assert code is None or error.code == code, error
    assert set(error.body) == {"message", "type", "param", "code"}  # type: ignore[call-overload]
    return error


async def told(stream: Any) -> list[dict[str, Any]]:
    """All events of a stream as JSON, also those at which the SDK raises, and those that came
    before it was cut."""
    found: list[dict[str, Any]] = []
    with contextlib.suppress(openai.APIConnectionError):
        async for sse in stream._iter_events():
            if not sse.data.startswith("[DONE]"):
                found.append(sse.json())  # noqa: PERF401 - kept when it is cut
    return found


async def finished(client: Client, id: str, within: float = 15.0) -> Any:
    """A background response, polled until it is over."""
    async with asyncio.timeout(within):
        while True:
            found = await client.sdk.responses.retrieve(id)
            if found.status not in ("queued", "in_progress"):
                return found
            await asyncio.sleep(0.01)


async def until(met: Callable[[], bool], within: float = 10.0) -> None:
    """Wait for something that happens by itself."""
    async with asyncio.timeout(within):
        while not met():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


def words(heard: Heard) -> list[tuple[str, str]]:
    """Who said what, as the provider got it: (`user` or `assistant`, text). Only turns with
    text."""
    body = heard.json
    if "contents" in body:
        found = [(turn["role"], turn["parts"]) for turn in body["contents"]]
    elif "input" in body:
        given = body["input"]
        if isinstance(given, str):
            return [("user", given)]
        found = [(item["role"], item["content"]) for item in given if "role" in item]
    else:
        found = [
            (turn["role"], turn.get("content"))
            for turn in body["messages"]
            if turn["role"] in ("user", "assistant")
        ]
    spoken = [("assistant" if role == "model" else role, _text(parts)) for role, parts in found]
    return [(role, text) for role, text in spoken if text]


def _text(parts: Any) -> str:
    if isinstance(parts, str) or parts is None:
        return parts or ""
    return "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
