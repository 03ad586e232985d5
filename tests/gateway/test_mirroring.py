"""A share of the requests also goes to a shadow model, and no caller can tell."""

import gzip
import json
import time
from typing import Any

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.conftest import quiet, settled
from tests.faults.tongues import TONGUES, WORDS, provider, told
from tests.support.asks import PATHS, ask
from tests.support.failover import DEADLINES, FREELY, KEY, LANES, meta, well, words_of
from tests.support.gateway import Gateway, caller, model, route, settings, virtual
from tests.support.raw import RawClient, RawResponse
from tests.support.sessions import Talk
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    expect,
    fin,
    hang,
    http_json,
    rst,
    send,
)

from portico.config.settings import Condition, Mirror, ValueTest, VirtualTarget
from portico.limits import Limits
from portico.model.outcome import Outcome
from portico.state.records import tenant_key


class World:
    """`m` at `real`, mirrored to `shadow`."""

    def __init__(self, gateway: Gateway, real: ScriptedUpstream, shadow: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.real = real
        self.shadow = shadow

    @classmethod
    async def start(
        cls, launch: Launch, play: Play, dialect: str = "chat", other: str | None = None,
        *, share: float = 1.0, limits: Limits | None = None, **more: Any,
    ) -> "World":  # fmt: skip
        """`other` is the shadow's dialect."""
        real, shadow = await play(), await play()
        mine = structs.replace(provider(real.url, dialect), name="real")
        its = structs.replace(provider(shadow.url, other or dialect), name="shadow")
        models = [
            model("m", mine, "real-id", mirror=Mirror(model="s", share=share), **more),
            model("s", its, "shadow-id", retry=FREELY, visibility="internal"),
        ]
        names = (virtual("v", "m", mirror=Mirror(model="s")),)
        served = route(models, [caller(team="tests")], virtual=names)
        return cls(await launch(settings(served, deadlines=DEADLINES, limits=limits)), real, shadow)

    async def ask(self, client: str, name: str = "m", **more: Any) -> RawResponse:
        async with await RawClient.connect(self.gateway.port) as raw:
            await raw.request("POST", PATHS[client], ask(client, model=name, **more), KEY)
            return await raw.response(10.0)

    @property
    def mirrored(self) -> list[Outcome]:
        return [o for o in self.gateway.outcomes if o.endpoint.endswith(" (mirror)")]

    @property
    def real_ones(self) -> list[Outcome]:
        return [o for o in self.gateway.outcomes if not o.endpoint.endswith(" (mirror)")]

    async def quiet(self) -> None:
        gateway = self.gateway
        await settled(lambda: quiet(gateway))
        inner = gateway.worker.gateway
        await settled(lambda: not inner.mirrors._tasks)
        assert inner.inflated == 0
        assert sum(each.in_flight for each in inner.targets()) == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("client", "dialect", "other"),
    [(c, u, u) for c, u in LANES] + [("chat", "chat", "messages"), ("messages", "chat", "chat")],
)
async def test_the_shadow_gets_the_same_request(
    client: str, dialect: str, other: str, stream: bool, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, dialect, other)
    world.real.add(well(dialect, stream))
    world.shadow.add(well(other, stream))
    answer = await world.ask(client, stream=stream)
    assert words_of(client, answer, stream=stream) == WORDS
    assert meta(answer) == ("real", "real-id", "1")
    await world.shadow.wait_requests(1)
    await world.quiet()
    (sent,), (seen,) = world.real.requests, world.shadow.requests
    assert seen.json()["model"] == "shadow-id"
    if dialect == other:
        said = {**seen.json(), "model": "real-id"}
        if client == dialect == "responses":
            assert said.pop("store") is False
        assert said == sent.json()
    (mirrored,), (record,) = world.mirrored, world.real_ones
    assert mirrored.endpoint == f"{record.endpoint} (mirror)"
    assert mirrored.request_id != record.request_id
    assert (mirrored.alias, mirrored.provider, mirrored.upstream_model) == (
        "s", "shadow", "shadow-id",
    )  # fmt: skip
    assert (mirrored.verdict, mirrored.status, mirrored.attempts) == ("ok", 200, 1)
    assert (record.alias, record.provider) == ("m", "real")
    for each in (mirrored, record):
        assert each.usage is not None
        assert (each.usage.input_total, each.usage.output_total) == (7, 5)


TROUBLE: dict[str, Script] = {
    "an error": [expect(), send(http_json(500, TONGUES["chat"].refusal))],
    "429": [expect(), send(http_json(429, TONGUES["chat"].refusal, {"retry-after": "1"}))],
    "FIN": [expect(), fin()],
    "RST": [expect(), rst()],
    "a cut": [expect(), *told("chat", TONGUES["chat"].opening, end=False), fin()],
    "no HTTP": [expect(), send(b"?\r\n\r\n"), fin()],
    "silence": [expect(), hang()],
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_shadow_in_trouble_is_nobodys_trouble(
    trouble: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    world.real.default, world.shadow.default = well("chat", True), TROUBLE[trouble]
    for _ in range(3):
        start = time.perf_counter()
        answer = await world.ask("chat", stream=True)
        assert words_of("chat", answer, stream=True) == WORDS
        assert time.perf_counter() - start < 2.0
        assert meta(answer) == ("real", "real-id", "1")
    await settled(lambda: len(world.real_ones) == 3)
    assert {outcome.verdict for outcome in world.real_ones} == {"ok"}
    await world.shadow.wait_requests(3)
    if trouble == "silence":
        assert not world.mirrored
        await world.gateway.worker.stop()
        await world.shadow.wait_closed(1.0)
        assert [o.verdict for o in world.mirrored] == ["truncated"] * 3
        assert world.gateway.recorder.metrics.in_flight == 0
        return
    await world.quiet()
    assert [o.attempts for o in world.mirrored] == [1] * 3, "it is tried once"
    assert {o.verdict for o in world.mirrored} <= {"upstream_error", "truncated"}
    state = {each.name: each for each in world.gateway.worker.gateway.targets()}
    assert state["m"].failures_total == 0


async def test_a_shadow_that_cannot_be_reached_or_asked(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play)
    world.real.default = well("chat", False)
    await world.shadow.stop()
    assert (await world.ask("chat")).status == 200
    await world.quiet()
    (mirrored,) = world.mirrored
    assert (mirrored.verdict, mirrored.error_code) == ("upstream_error", "upstream_unreachable")


async def test_a_share_of_the_requests_is_mirrored(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play, share=0.3)
    world.real.default = world.shadow.default = well("chat", False)
    for _ in range(80):
        assert (await world.ask("chat")).status == 200
    await world.quiet()
    assert 5 <= len(world.shadow.requests) <= 45
    world = await World.start(launch, play, share=0.0)
    world.real.default = well("chat", False)
    for _ in range(10):
        await world.ask("chat")
    assert world.shadow.opened == 0


async def test_only_so_many_are_mirrored_at_once(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play, limits=Limits(mirrored_requests=2))
    world.real.default, world.shadow.default = well("chat", False), [expect(), hang()]
    for _ in range(5):
        assert (await world.ask("chat")).status == 200
    await world.shadow.wait_requests(2)
    assert len(world.shadow.requests) == 2
    assert world.gateway.sample("portico_limit_hits_total", limit="mirroredRequests") == 3


async def test_a_client_that_leaves_does_not_take_the_shadow_with_it(
    play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    world.real.default = [expect(), hang()]
    world.shadow.default = well("chat", False)
    raw = await RawClient.connect(world.gateway.port)
    await raw.request("POST", PATHS["chat"], ask("chat", model="m"), KEY)
    await world.real.wait_requests(1)
    raw.rst()
    await world.real.wait_closed(0.3)
    await settled(lambda: len(world.gateway.outcomes) == 2)
    assert world.real_ones[0].verdict == "client_cancelled"
    assert world.mirrored[0].verdict == "ok"
    await world.quiet()


async def test_a_virtual_model_mirrors_once_and_a_failover_not_again(
    play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, retry=FREELY)
    world.real.add([expect(), send(http_json(500, TONGUES["chat"].refusal))])
    world.real.default = world.shadow.default = well("chat", False)
    answer = await world.ask("chat")
    assert meta(answer) == ("real", "real-id", "2")
    await world.quiet()
    assert len(world.shadow.requests) == 1
    answer = await world.ask("chat", "v")
    await world.quiet()
    assert len(world.shadow.requests) == 2
    counts = await _count_tokens(world)
    assert counts != 500
    await world.quiet()
    assert len(world.shadow.requests) == 2, "only answers are mirrored"


async def _count_tokens(world: World) -> int:
    async with await RawClient.connect(world.gateway.port) as raw:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        await raw.request("POST", "/v1/messages/count_tokens", body, KEY)
        return (await raw.response(5.0)).status


@pytest.mark.parametrize("dialect", ["responses", "chat"])
async def test_a_shadow_stores_nothing_and_knows_what_came_before(
    dialect: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, dialect)

    def answer_as(name: str) -> Script:
        return [expect(), send(http_json(200, {**TONGUES[dialect].whole, "id": name}))]

    world.real.add(answer_as("resp_real_1"), answer_as("resp_real_2"))
    world.shadow.add(answer_as("resp_shadow_1"), answer_as("resp_shadow_2"))
    first = (await world.ask("responses")).json()["id"]
    await world.quiet()
    second = (await world.ask("responses", "m", previous_response_id=first)).json()["id"]
    await world.quiet()
    store = world.gateway.worker.gateway.state.store

    def names(db: Any) -> list[str]:
        return [row[0] for row in db.execute("SELECT id FROM responses ORDER BY rowid")]

    assert sorted(await store._read(names)) == sorted([first, second])
    key = "input" if dialect == "responses" else "messages"
    real, seen = (each.requests[-1].json()[key] for each in (world.real, world.shadow))
    assert [item["role"] for item in seen] == ["user", "assistant", "user"]
    assert seen == real
    keys = world.gateway.worker.snapshot.fronts[0].routes[0].keys
    assert keys is not None
    (tenant,) = [tenant_key(each.tenant) for each in keys._callers.values()]
    assert await store.get(tenant, "resp_shadow_1", 0.0) is None


async def test_a_background_run_is_mirrored_as_a_plain_request(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play, "responses")
    world.real.default = well("responses", True)
    world.shadow.default = well("responses", False)
    answer = await world.ask("responses", background=True)
    assert answer.json()["status"] == "queued"
    await world.shadow.wait_requests(1)
    seen = world.shadow.requests[0].json()
    assert (seen["store"], "background" in seen) == (False, False)
    await world.quiet()
    assert [o.verdict for o in world.mirrored] == ["ok"]


async def test_a_websocket_is_mirrored_where_it_says_everything(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play, "responses")
    for number in (1, 2):
        name = f"resp_{number:032d}".encode()
        frames = [each.replace(b"resp_1", name) for each in TONGUES["responses"].stream]
        world.real.add([expect(), *told("responses", frames)])
    world.shadow.default = well("responses", True)
    async with Talk.to(world.gateway) as talk:
        said = await talk.ask("m")
        assert said.text == WORDS
        await world.shadow.wait_requests(1)
        said = await talk.ask("m", "more", previous_response_id=said.id)
        assert said.text == WORDS
    await world.quiet()
    assert len(world.shadow.requests) == 1
    assert json.loads(world.shadow.requests[0].body)["store"] is False


async def test_a_shadow_that_hangs_leaves_room_for_what_callers_send(
    play: Play, launch: Launch
) -> None:
    limits = Limits(buffered_body_bytes=5 << 20, gzip_ratio=2000)
    world = await World.start(launch, play, limits=limits)
    world.real.default, world.shadow.default = well("chat", False), [expect(), hang()]
    body = json.dumps(ask("chat", "x" * (1 << 20), model="m")).encode()
    headers = {**KEY, "content-encoding": "gzip"}
    inner = world.gateway.worker.gateway
    for number in range(1, 5):
        async with await RawClient.connect(world.gateway.port) as raw:
            await raw.request("POST", PATHS["chat"], gzip.compress(body), headers)
            assert (await raw.response()).status == 200
        await settled(lambda: len(world.real_ones) == number)  # noqa: B023
    await world.shadow.wait_requests(1)
    assert not world.mirrored
    assert 0 < inner.inflated <= limits.buffered_body_bytes // 2
    assert world.gateway.sample("portico_limit_hits_total", limit="mirroredRequests") > 0
    await world.gateway.worker.stop()
    assert inner.inflated == 0


async def test_a_worker_does_not_wait_for_shadows(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play)
    world.real.default, world.shadow.default = well("chat", False), [expect(), hang()]
    assert (await world.ask("chat")).status == 200
    await world.shadow.wait_requests(1)
    start = time.perf_counter()
    assert await world.gateway.worker.drain(), "nothing had to be cut for a caller"
    assert time.perf_counter() - start < 2.0
    await world.shadow.wait_closed(1.0)
    assert [o.verdict for o in world.mirrored] == ["truncated"]


async def test_a_shadow_may_be_virtual_and_its_conditions_may_not_hold(
    play: Play, launch: Launch
) -> None:
    real, shadow = await play(default=well("chat", False)), await play(default=well("chat", False))
    when = Condition(headers={"x-team": ValueTest(equals="a")})
    cond = virtual("cond", VirtualTarget(model="s", when=when), routing="conditional")
    models = [
        model("m", provider(real.url, "chat"), "real-id", mirror=Mirror(model="cond")),
        model("s", provider(shadow.url, "chat"), "shadow-id"),
    ]
    gateway = await launch(settings(route(models, [caller()], virtual=(cond,))))
    for headers, expected in (({}, 0), ({"x-team": "a"}, 1)):
        async with await RawClient.connect(gateway.port) as raw:
            await raw.request("POST", PATHS["chat"], ask("chat", model="m"), {**KEY, **headers})
            assert (await raw.response()).status == 200
        await settled(lambda: not gateway.worker.gateway.mirrors._tasks)
        assert len(shadow.requests) == expected
