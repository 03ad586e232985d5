"""A reload replaces everything for new requests and nothing for those in flight."""

import asyncio

import pytest
from tests.conftest import Launch, Play
from tests.support.asks import PATHS, ask
from tests.support.gateway import (
    Gateway,
    caller,
    model,
    provider,
    route,
    settings,
)
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import LAST_CHUNK, chunk, expect, http_json, send, sleep, sse

from portico.config.settings import Settings
from portico.limits import Limits


def one(url: str, key: str = "key-1", **limits: int) -> Settings:
    """One model at `url` for one key."""
    served = [model("m", provider(url))]
    return settings(route(served, [caller(key)]), limits=Limits(**limits))


async def call(gate: Gateway, key: str, text: str = "Hello") -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        headers = {"authorization": f"Bearer {key}"}
        await client.request("POST", PATHS["chat"], ask("chat", text, model="m"), headers)
        return await client.response()


def saying(word: str) -> list[object]:
    return [expect(), send(http_json(200, {"id": word}))]


async def test_new_requests_see_the_new_and_streams_finish_on_the_old(
    launch: Launch, play: Play
) -> None:
    old = await play(
        [expect(), sse(['{"choices":[]}'], end=False), sleep(0.3),
         send(chunk(b"data: [DONE]\n\n") + LAST_CHUNK)],
        default=saying("old"),
    )  # fmt: skip
    new = await play(default=saying("new"))
    gate = await launch(one(old.url))
    client = await RawClient.connect(gate.port)
    headers = {"authorization": "Bearer key-1"}
    await client.request("POST", PATHS["chat"], ask("chat", model="m", stream=True), headers)
    await old.wait_requests(1)
    gate.worker.reload(one(new.url, "key-2"))
    assert (await call(gate, "key-1")).status == 401
    assert (await call(gate, "key-2")).json() == {"id": "new"}
    answer = await client.response()
    assert answer.ended
    assert answer.data_lines() == [b'{"choices":[]}', b"[DONE]"]
    # The same connection, next request: the new configuration.
    await client.request("POST", PATHS["chat"], ask("chat", model="m"), headers)
    assert (await client.response()).status == 401
    client.close()
    assert gate.sample("portico_config_last_reload_successful") == 1


async def test_new_limits_hold_for_connections_that_were_open(launch: Launch, play: Play) -> None:
    upstream = await play(default=saying("x"))
    gate = await launch(one(upstream.url))
    async with await RawClient.connect(gate.port) as client:
        headers = {"authorization": "Bearer key-1"}
        await client.request("POST", PATHS["chat"], ask("chat", model="m"), headers)
        assert (await client.response()).status == 200
        gate.worker.reload(one(upstream.url, body_bytes=10))
        await client.request("POST", PATHS["chat"], ask("chat", model="m"), headers)
        assert (await client.response()).status == 413


async def test_settings_that_cannot_run_keep_the_old_and_say_so(launch: Launch, play: Play) -> None:
    upstream = await play(default=saying("x"))
    gate = await launch(one(upstream.url))
    before = gate.worker.snapshot
    bad = settings(route([model("m", provider("not-a-url"))]))
    with pytest.raises(ValueError, match="names no host"):
        gate.worker.reload(bad)
    assert gate.sample("portico_config_last_reload_successful") == 0
    assert gate.worker.snapshot is before
    listener = before.settings.listeners[0]
    with pytest.raises(ValueError, match="only with a restart"):
        gate.worker.reload(Settings(listeners=(listener, listener)))
    assert (await call(gate, "key-1")).status == 200
    gate.worker.reload(one(upstream.url))
    assert gate.sample("portico_config_last_reload_successful") == 1


async def test_a_hundred_reloads_under_load_fail_no_request(launch: Launch, play: Play) -> None:
    upstreams = [await play(default=saying(str(n))) for n in range(2)]
    gate = await launch(one(upstreams[0].url))
    stop = False

    async def load() -> int:
        done = 0
        while not stop:
            assert (await call(gate, "key-1")).status == 200
            done += 1
        return done

    loads = [asyncio.ensure_future(load()) for _ in range(4)]
    for n in range(100):
        if n % 10 == 9:
            with pytest.raises(ValueError, match="names no host"):
                gate.worker.reload(one("nowhere"))
        else:
            gate.worker.reload(one(upstreams[n % 2].url))
        await asyncio.sleep(0.005)
    stop = True
    assert sum(await asyncio.gather(*loads)) > 20
    assert all(outcome.verdict == "ok" for outcome in gate.outcomes)
