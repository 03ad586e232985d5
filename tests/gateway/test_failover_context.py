"""A conversation that is too long for one model goes on to one that can read more."""

from typing import Any

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.tongues import TONGUES, WORDS, provider
from tests.support.asks import PATHS, ask
from tests.support.failover import DEADLINES, FREELY, KEY, LANES, meta, well, words_of
from tests.support.gateway import Gateway, caller, model, route, settings, virtual
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import Script, ScriptedUpstream, expect, http_json, send

from portico.config.settings import (
    Condition,
    ValueTest,
    VirtualSettings,
    VirtualTarget,
)

TOO_LONG: dict[str, Any] = {
    "chat": {
        "error": {
            "message": "This model's maximum context length is 8 tokens.", "param": "messages",
            "type": "invalid_request_error", "code": "context_length_exceeded",
        }
    },
    "messages": {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "prompt is too long: 200001 tokens > 200000 maximum",
        },
    },
}  # fmt: skip
TOO_LONG["responses"] = TOO_LONG["chat"]


class World:
    """`small` goes on to `large` where that is needed; `plain` and `other` do not."""

    def __init__(self, gateway: Gateway, small: ScriptedUpstream, large: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.small = small
        self.large = large

    @classmethod
    async def start(
        cls, launch: Launch, play: Play, dialect: str, *names: VirtualSettings, **more: Any
    ) -> "World":
        short = [expect(), send(http_json(400, TOO_LONG[dialect]))]
        small, large = await play(default=short), await play(default=well(dialect, False))

        def at(name: str, upstream: ScriptedUpstream) -> Any:
            return structs.replace(provider(upstream.url, dialect), name=name)

        models = [
            model("small", at("small", small), "s", **{"fallback_on_context": "large", **more}),
            model("large", at("large", large), "l"),
            model("plain", at("small", small), "s", retry=FREELY),
        ]
        served = route(models, [caller()], virtual=names)
        return cls(await launch(settings(served, deadlines=DEADLINES)), small, large)

    async def ask(self, client: str, name: str, **more: Any) -> RawResponse:
        async with await RawClient.connect(self.gateway.port) as raw:
            if client == "responses":
                more.setdefault("store", False)
            await raw.request("POST", PATHS[client], ask(client, model=name, **more), KEY)
            return await raw.response(10.0)


@pytest.mark.parametrize(("client", "upstream"), LANES)
async def test_the_providers_word_is_enough(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, upstream)
    answer = await world.ask(client, "small")
    assert words_of(client, answer, stream=False) == WORDS
    assert meta(answer) == ("large", "l", "2")
    outcome = await world.gateway.last()
    (attempt,) = outcome.failed or ()
    assert (attempt.provider, attempt.status) == ("small", 400)
    assert attempt.error == "context_length_exceeded"
    state = world.gateway.worker.gateway.targets()[0]
    assert (state.failures, state.in_flight) == (0, 0)
    # a stream, too: the refusal comes before it
    world.large.default = well(upstream, True)
    answer = await world.ask(client, "small", stream=True)
    assert words_of(client, answer, stream=True) == WORDS


@pytest.mark.parametrize(("client", "upstream"), LANES)
async def test_without_a_larger_model_it_is_the_callers_error(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, upstream)
    answer = await world.ask(client, "plain")
    assert (answer.status, meta(answer)[2]) == (400, "1")
    if client == upstream:
        assert answer.json() == TOO_LONG[upstream]
    assert not world.large.requests


@pytest.mark.parametrize("client", ["chat", "messages"])
async def test_a_callers_own_list_moves_on_as_well(client: str, play: Play, launch: Launch) -> None:
    world = await World.start(launch, play, client)
    answer = await world.ask(client, "plain", models=["large"])
    assert (answer.status, meta(answer)) == (200, ("large", "l", "2"))


async def test_what_is_seen_here_is_not_asked_there(play: Play, launch: Launch) -> None:
    """With `truncation: auto` the gateway counts itself; nothing can be left out of one message."""
    world = await World.start(launch, play, "chat", context_window=64)
    answer = await world.ask("responses", "small", text="word " * 2000, truncation="auto")
    assert answer.status == 200, answer.body
    assert meta(answer) == ("large", "l", "2")
    assert not world.small.requests


@pytest.mark.parametrize("seen", [True, False])
async def test_where_to_go_on_may_depend_on_the_request(
    seen: bool, play: Play, launch: Launch
) -> None:
    """Where no condition holds there is nowhere to go on to; the model itself is asked."""
    when = Condition(request={"user": ValueTest(equals="vip")})
    names = virtual("wider", VirtualTarget(model="large", when=when), routing="conditional")
    world = await World.start(launch, play, "chat", names, fallback_on_context="wider")
    answer = await world.ask("chat", "small", user="vip" if seen else "else")
    assert answer.status == (200 if seen else 400), answer.body
    assert meta(answer) == (("large", "l", "2") if seen else ("small", "s", "1"))
    world.small.default = well("chat", False)
    answer = await world.ask("chat", "small", user="else")
    assert meta(answer) == ("small", "s", "1")


async def test_a_model_behind_a_virtual_one_goes_on_to_its_larger_one(
    play: Play, launch: Launch
) -> None:
    names = virtual("both", "small", "plain", retry=FREELY)
    world = await World.start(launch, play, "chat", names)
    answer = await world.ask("chat", "both")
    assert (answer.status, meta(answer)) == (200, ("large", "l", "2"))


async def test_only_the_providers_that_a_caller_allows_are_asked(
    play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, "chat")
    answer = await world.ask("chat", "small", provider={"only": ["small"]})
    assert (answer.status, meta(answer)) == (400, ("small", "s", "1"))
    assert not world.large.requests


async def test_a_larger_model_that_is_down_leaves_the_first_error(
    play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, "chat", retry=FREELY)
    busy: Script = [expect(), send(http_json(503, TONGUES["chat"].refusal))]
    world.large.default = busy
    answer = await world.ask("chat", "small")
    assert answer.status == 503
    outcome = await world.gateway.last()
    assert outcome.failed is not None
    assert outcome.failed[0].status == 400
    assert sum(t.in_flight for t in world.gateway.worker.gateway.targets()) == 0
