"""WebSockets through an ASGI host: the same answers as on our own connections."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from tests.support.gateway import CALLER_KEY, caller, model, provider, route, settings
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from portico.asgi import PorticoApp, create_app
from portico.config.settings import LogSettings, Settings
from portico.demo.server import RunningDemo
from portico.limits import Deadlines, Limits

AUTH = (b"authorization", f"Bearer {CALLER_KEY}".encode())
CREATE = json.dumps({"type": "response.create", "model": "m", "input": "hi", "store": False})


def _app(demo: RunningDemo, **changes: Any) -> PorticoApp:
    built = settings(route([model("m", provider(demo.url), "demo-small")], [caller()]))
    limits = Limits(**{k: v for k, v in changes.items() if k in Limits.__struct_fields__})
    deadlines = Deadlines(**{k: v for k, v in changes.items() if k in Deadlines.__struct_fields__})
    return create_app(
        Settings(
            listeners=built.listeners,
            log=LogSettings(access=False),
            limits=limits,
            deadlines=deadlines,
        ),
        env={},
    )


class Client:
    """A host server in the hands of a test."""

    def __init__(self, app: PorticoApp, *headers: tuple[bytes, bytes]) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.go = asyncio.Event()
        self.go.set()
        scope = {
            "type": "websocket", "path": "/v1/responses", "query_string": b"",
            "headers": [(b"host", b"x"), *(headers or (AUTH,))],
        }  # fmt: skip
        self.task = asyncio.ensure_future(app(scope, self.inbox.get, self._take))

    async def _take(self, message: Any) -> None:
        await self.go.wait()
        self.sent.put_nowait(dict(message))

    def say(self, text: str) -> None:
        self.inbox.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), 5)

    async def until(self, kind: str) -> dict[str, Any]:
        while (event := json.loads((await self.hear())["text"]))["type"] != kind:
            pass
        return event  # type: ignore[no-any-return]

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, 5)


@pytest.fixture
async def app(demo: RunningDemo) -> AsyncIterator[PorticoApp]:
    portico = _app(demo)
    yield portico
    await portico.aclose()


async def test_a_host_can_have_the_responses_of_a_websocket(app: PorticoApp) -> None:
    client = Client(app)
    assert (await client.hear())["type"] == "websocket.accept"
    for _ in range(2):
        client.say(CREATE)
    client.say("{")
    for _ in range(2):
        await client.until("response.completed")
    assert (await client.until("error"))["error"]["code"] == "invalid_json"
    client.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await client.ended()


async def test_without_a_key_it_is_not_accepted(app: PorticoApp) -> None:
    client = Client(app, (b"x-nothing", b""))
    assert await client.hear() == {"type": "websocket.close", "code": 1008}
    await client.ended()


async def test_bytes_and_giants_are_refused(demo: RunningDemo) -> None:
    app = _app(demo, body_bytes=100_000)
    for message, code in (({"bytes": b"hi"}, 1003), ({"text": "x" * 100_001}, 1009)):
        client = Client(app)
        await client.hear()
        client.inbox.put_nowait({"type": "websocket.receive", **message})
        assert (await client.hear())["code"] == code
        await client.ended()
    await app.aclose()


async def test_a_client_that_leaves_stops_the_work(app: PorticoApp) -> None:
    client = Client(app)
    await client.hear()
    client.say(CREATE.replace("hi", "[[demo hang=4]]"))
    await client.until("response.created")
    client.inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
    await client.ended()
    assert 'error_type="client_cancelled"' in app.metrics()[0].decode()


async def test_only_so_many_messages_are_taken_in(demo: RunningDemo) -> None:
    app = _app(demo, websocket_queued_messages=3)
    client = Client(app)
    await client.hear()
    for _ in range(20):
        client.say(CREATE.replace("hi", "[[demo first_delay=0.05]]"))
    await client.until("response.created")
    assert client.inbox.qsize() > 10
    client.inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
    for _ in range(20):
        await client.until("response.completed")
        if client.inbox.empty():
            break
    client.task.cancel()
    await asyncio.gather(client.task, return_exceptions=True)
    await app.aclose()


async def test_a_slow_client_slows_the_provider(demo: RunningDemo) -> None:
    app = _app(demo, relay_buffer=10_000)
    client = Client(app)
    await client.hear()
    client.go.clear()
    client.say(CREATE.replace("hi", "[[demo tokens=20000]]"))
    await asyncio.sleep(0.5)
    client.go.set()
    await client.until("response.completed")
    client.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await client.ended()
    await app.aclose()


async def test_an_old_one_is_closed(demo: RunningDemo) -> None:
    app = _app(demo, websocket=0.2)
    client = Client(app)
    await client.hear()
    event = json.loads((await client.hear())["text"])
    assert event["error"]["code"] == "websocket_connection_limit_reached"
    assert (await client.hear())["code"] == 1001
    await client.ended()
    await app.aclose()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def test_a_real_host_serves_it(app: PorticoApp) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, ws="websockets-sansio", lifespan="off",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    url = f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/responses"
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done()
    try:
        async with connect(
            url, additional_headers={"authorization": f"Bearer {CALLER_KEY}"}
        ) as client:
            await client.send(CREATE)
            while json.loads(await client.recv())["type"] != "response.completed":
                pass
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        assert refused.value.response.status_code == 401
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 5)
