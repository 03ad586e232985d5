"""Fixtures of the fault tests: gateways with short deadlines before scripted upstreams.

Tests run on uvloop, as the gateway does; those marked
`@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)` run on asyncio's own loop as well.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop
from tests.support.asks import PATHS, ask
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, http_json, send

from portico.config.settings import Settings
from portico.http.server import HttpServer
from portico.limits import Deadlines, Limits

SHORT = Deadlines(
    header=0.6,
    body=1.5,
    body_rate_grace=0.5,
    keep_alive=5.0,
    write=1.0,
    connect=1.0,
    first_byte=0.5,
    idle=0.4,
    total=20.0,
    drain=0.4,
    drain_forced=2.0,
)
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
WELL = [expect(), send(http_json(200, ANSWER))]

KEY = {"authorization": f"Bearer {CALLER_KEY}"}
"""What a caller presents."""
DIALECTS = ["chat", "responses", "messages"]
BOTH_LOOPS = ["uvloop", "asyncio"]

Serve = Callable[..., Awaitable[Gateway]]
Launch = Callable[[Settings], Awaitable[Gateway]]
Play = Callable[..., Awaitable[ScriptedUpstream]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, unless the test asks for both by name."""
    asked = any("loop_factories" in mark.kwargs for mark in item.iter_markers("asyncio"))
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "uvloop": uvloop.new_event_loop
    }
    if asked:
        factories["asyncio"] = asyncio.SelectorEventLoop
    return factories


@pytest.fixture
def serve(launch: Launch) -> Serve:
    """`await serve(upstream)` starts a gateway that sends every model there.

    Keyword arguments override single limits and deadlines by their field names.
    """

    async def start(upstream: ScriptedUpstream | str, **changes: Any) -> Gateway:
        url = upstream if isinstance(upstream, str) else upstream.url
        return await launch(
            settings(
                route([model("*", provider(url))], [caller()]),
                limits=Limits(
                    **{k: v for k, v in changes.items() if k in Limits.__struct_fields__}
                ),
                deadlines=deadlines(
                    **{k: v for k, v in changes.items() if k in Deadlines.__struct_fields__}
                ),
            )
        )

    return start


def deadlines(**changes: float) -> Deadlines:
    """The short deadlines, some of them changed."""
    values = {name: getattr(SHORT, name) for name in Deadlines.__struct_fields__}
    return Deadlines(**{**values, **changes})


def open_fds() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208, one descriptor instead of two


async def settled(check: Callable[[], bool], within: float = 5.0) -> None:
    """Return once `check` holds. Raises AssertionError when late."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while not check():
        assert loop.time() < until, "it never came true"
        await asyncio.sleep(0.01)


def server_of(gateway: Gateway) -> HttpServer:
    """The HTTP server behind the gateway's first listener."""
    return gateway.worker._servers[0]


def quiet(gateway: Gateway) -> bool:
    """Nothing is in flight, nothing is held, no client is connected."""
    server = server_of(gateway)
    keys = gateway.worker.snapshot.fronts[0].routes[0].keys
    held = [caller_.in_flight for caller_ in keys._callers.values()] if keys else []
    return (
        gateway.recorder.metrics.in_flight == 0
        and not server.connections
        and server.buffered_bytes == 0
        and not any(held)
    )


async def answer_of(
    gateway: Gateway, dialect: str = "chat", *, stream: bool = False, within: float = 8.0
) -> RawResponse:
    """Ask on a connection of its own. After an answer that was cut it must be closed."""
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", PATHS[dialect], ask(dialect, stream=stream), KEY)
        answer = await client.response(within)
        if not answer.ended:
            assert await client.read(1) == b"", "the connection of a cut answer is closed"
        return answer
