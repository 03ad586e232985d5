"""Fixtures that several folders share: a demo provider, and gateways in front of something."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.support.gateway import Gateway, caller, model, provider, route, settings
from tests.support.upstream import Script, ScriptedUpstream

from portico.config.settings import Settings
from portico.demo.server import RunningDemo, start_demo

# Hundreds of processes are started here. Where images forbid Python to keep what it compiles, each
# would compile the gateway again, which takes longer than what it is started for.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

Launch = Callable[[Settings], Awaitable[Gateway]]
Play = Callable[..., Awaitable[ScriptedUpstream]]


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    """`await launch(settings)` starts a gateway; all are stopped at the end."""
    running: list[Gateway] = []

    async def start(config: Settings) -> Gateway:
        running.append(await Gateway.start(config))
        return running[-1]

    yield start
    for gateway in running:
        await gateway.stop()


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    """`await play(script, ...)` starts a scripted upstream; all are stopped at the end."""
    running: list[ScriptedUpstream] = []

    async def start(*scripts: Script, default: Script | None = None) -> ScriptedUpstream:
        running.append(await ScriptedUpstream.start(*scripts, default=default))
        return running[-1]

    yield start
    for upstream in running:
        await upstream.stop()


@pytest.fixture
async def demo() -> AsyncIterator[RunningDemo]:
    """The demo provider on a socket of its own."""
    running = await start_demo()
    yield running
    await running.stop()


@pytest.fixture
async def gateway(demo: RunningDemo, launch: Launch) -> Gateway:
    """A gateway with one key in front of the demo provider; every model name is served."""
    upstream = provider(demo.url, name="demo")
    models = [
        model("demo-small", upstream),
        model("fast", upstream, "demo-small"),
        model("*", upstream),
    ]
    return await launch(settings(route(models, [caller(team="tests")])))
