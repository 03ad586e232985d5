"""The same vectors at both server back ends: our own, and the ASGI adapter behind uvicorn.

Behind ASGI the framing is the host server's. What holds there too: nothing is served without a key,
a provider gets whole requests of one known body, and no path reaches what our own server would
not have reached. Where the two differ is printed.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvicorn
from tests.abuse.attackers import Exchange, crowd, exchange
from tests.abuse.framing_vectors import ARMED, KEYED, MODEL, WAITING
from tests.abuse.harness import profiles
from tests.faults.vectors import BODY, Vector
from tests.support.gateway import CALLER_KEY, OPERATOR_KEY, caller, model, provider, route, settings
from tests.support.steps import expect, http_json, send
from tests.support.upstream import ScriptedUpstream

from portico.asgi import create_app
from portico.config.settings import LogSettings, Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

_ANSWER = {"id": "a", "object": "chat.completion", "model": MODEL, "choices": []}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _hosted(http: Any, url: str) -> AsyncIterator[int]:
    """The port of a uvicorn that reads with `http` and hosts a gateway before that provider."""
    built = settings(route([model(MODEL, provider(url))], [caller()]))
    app = create_app(Settings(listeners=built.listeners, log=LogSettings(access=False)), env={})
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=http, log_config=None, access_log=False, timeout_graceful_shutdown=1, ws="none"
    )
    server = _Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        assert not task.done()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 10)
        await app.aclose()


def _stranger(vector: Vector) -> bytes:
    return vector.raw.replace(CALLER_KEY.encode(), b"x" * len(CALLER_KEY))


@profiles
@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_c_behind_an_asgi_host_nothing_is_served_that_should_not_be(
    http: str, full: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    vectors = [each for each in ARMED if str(each) not in WAITING]
    vectors = vectors if full else vectors[::5]
    default = [expect(), send(http_json(200, _ANSWER))]
    async with (
        await ScriptedUpstream.start(default=default) as upstream,
        _hosted(http, upstream.url) as port,
    ):

        async def one(number: int) -> Exchange:
            return await exchange(port, vectors[number].raw, quiet=0.3, most=4)

        async def keyless(number: int) -> Exchange:
            return await exchange(port, _stranger(vectors[number]), quiet=0.3, most=4)

        strangers = await crowd(len(vectors), keyless, 32)
        assert upstream.requests == [], "nobody without a key is served, hidden or not"
        assert not [each for each in strangers if 200 in each.statuses]

        found = await crowd(len(vectors), one, 32)
        differ = [
            f"{vector}: {each.statuses}"
            for vector, each in zip(vectors, found, strict=True)
            if each.statuses[:1] != [] and each.statuses[0] not in vector.statuses
        ]
        print(f"{http}: {len(differ)} of {len(vectors)} differ from our own server:", *differ)
        for vector, each in zip(vectors, found, strict=True):
            assert all(status < 500 for status in each.statuses), (vector, each)
            assert len(each.answers) <= 3, (vector, each)
            if vector.group == "C9":
                assert 200 not in each.statuses[:1], (vector, each)
        for request in upstream.requests:
            assert request.json()["model"] == MODEL, request
            assert request.body == BODY, request
            assert request.head["authorization"] == f"Bearer {OPERATOR_KEY}"
            assert CALLER_KEY.encode() not in request.raw
        assert (await exchange(port, KEYED, most=1)).statuses == [200]
