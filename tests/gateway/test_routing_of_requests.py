"""Which target a request comes to: by its name, its content, and what its caller asks for."""

import asyncio
import time
from typing import Any

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.tongues import TONGUES, answered, provider
from tests.support.asks import PATHS, ask
from tests.support.failover import DEADLINES, FREELY, KEY, LANES, TONGUE, meta, well
from tests.support.gateway import (
    CALLER_KEY,
    OPERATOR_KEY,
    Gateway,
    caller,
    model,
    route,
    settings,
    virtual,
)
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import Script, ScriptedUpstream, expect, hang, http_json, send, sleep

from portico.config.secret import Secret
from portico.config.settings import (
    Condition,
    Cost,
    ProviderSettings,
    ValueTest,
    VirtualTarget,
)

OTHER_KEY = "gw-CANARY-limited-0123456789"
DOWN: Script = [expect(), send(http_json(503, TONGUES["chat"].refusal))]
WELL = well("chat", False)
CONTROLS: dict[str, dict[str, Any]] = {
    "vercel": {"providerOptions": {"gateway": {"order": ["Beta"]}}},
    "vercel, snake": {"provider_options": {"gateway": {"order": ["beta"]}}},
    "openrouter": {"provider": {"order": ["BETA"], "allow_fallbacks": True}},
}


class World:
    """Two providers, `alpha` and `beta`, that both serve everything."""

    def __init__(self, gateway: Gateway, alpha: ScriptedUpstream, beta: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.alpha = alpha
        self.beta = beta
        self.asked = 0

    @classmethod
    async def start(
        cls, launch: Launch, play: Play, *more: Any, dialect: str = "chat", **changes: Any
    ) -> "World":
        """`more` are models besides `a`, `b`, and `both` (a before b); `changes` are of the
        route."""
        alpha = await play(default=well(dialect, False))
        beta = await play(default=well(dialect, False))
        models = [
            model("a", named("alpha", alpha, dialect), "a-id", cost=Cost(input=9.0, output=9.0)),
            model("b", named("beta", beta, dialect), "b-id", cost=Cost(input=1.0, output=1.0)),
            *more,
        ]
        for each in [*models]:  # those that are given get alpha's place
            if isinstance(each.provider.base_url, str) and each.provider.base_url == "alpha":
                place = structs.replace(each.provider, base_url=alpha.url)
                models[models.index(each)] = structs.replace(each, provider=place)
        names = (virtual("both", "a", "b", retry=FREELY), *changes.pop("virtual", ()))
        keys = changes.pop("keys", [caller(team="tests", tier="gold")])
        served = route(models, keys, virtual=names, **changes)
        return cls(await launch(settings(served, deadlines=DEADLINES)), alpha, beta)

    async def ask(
        self, name: str, client: str = "chat", *, key: str = CALLER_KEY,
        headers: dict[str, str] | None = None, **more: Any,
    ) -> RawResponse:  # fmt: skip
        async with await RawClient.connect(self.gateway.port) as raw:
            sent = {**KEY, "authorization": f"Bearer {key}", **(headers or {})}
            if client == "responses":
                more.setdefault("store", False)
            body = ask(client, model=name, **more)
            await raw.request("POST", PATHS[client], body, sent)
            answer = await raw.response(10.0)
        self.asked += 1
        return answer

    async def who(self, name: str, **more: Any) -> str | None:
        """The provider that answered."""
        answer = await self.ask(name, **more)
        assert answer.status == 200, answer.body
        return meta(answer)[0]


def named(name: str, upstream: ScriptedUpstream | str, dialect: str = "chat") -> ProviderSettings:
    url = upstream if isinstance(upstream, str) else upstream.url
    return structs.replace(provider(url, dialect), name=name)


def error_of(answer: RawResponse) -> tuple[int, str | None, str | None]:
    error = answer.json()["error"]
    return answer.status, error.get("code"), error.get("param")


# -- names ----------------------------------------------------------------------------------------


async def test_a_name_may_be_an_alias_a_pattern_or_have_its_provider_in_front(
    play: Play, launch: Launch
) -> None:
    world = await World.start(
        launch, play,
        model("openai/*", named("open", "alpha"), strip_prefix="openai/"),
        model("*-mini", named("mini", "alpha")),
        model("gpt-*", named("gpt", "alpha")),
        model("gpt-special-*", named("special", "alpha")),
        aliases={"old": "both", "legacy-*": "b", "a": "b"},
        virtual=(virtual("wide", "gpt-9"), virtual("inner", "openai/o9", "both")),
    )  # fmt: skip
    cases = {
        "openai/gpt-5": ("open", "gpt-5"), "x-mini": ("mini", "x-mini"),
        "gpt-5": ("gpt", "gpt-5"), "gpt-special-1": ("special", "gpt-special-1"),
        "gpt-1-mini": ("mini", "gpt-1-mini"), "old": ("alpha", "a-id"),
        "legacy-7": ("beta", "b-id"), "a": ("beta", "b-id"), "wide": ("gpt", "gpt-9"),
        "inner": ("open", "o9"),
    }  # fmt: skip
    for name, (provider_, upstream) in cases.items():
        answer = await world.ask(name)
        assert (name, meta(answer)) == (name, (provider_, upstream, "1"))
        outcome = await world.gateway.last(world.asked)
        assert (outcome.request_model, outcome.upstream_model) == (name, upstream)
        sent = [*world.alpha.requests, *world.beta.requests]
        assert upstream in [request.json()["model"] for request in sent]
    assert error_of(await world.ask("openai")) == (404, "model_not_found", "model")
    # nothing is behind the prefix: no model is called that
    assert (await world.ask("openai/")).status in (200, 404)


async def test_shares_are_kept_about(play: Play, launch: Launch) -> None:
    shares = (VirtualTarget(model="a", weight=1), VirtualTarget(model="b", weight=3))
    none = (VirtualTarget(model="a", weight=0), VirtualTarget(model="b", weight=1))
    world = await World.start(
        launch, play, virtual=(
            virtual("split", *shares, routing="weighted"),
            virtual("one", *none, routing="weighted"),
        ),
    )  # fmt: skip
    found = [await world.who("split") for _ in range(120)]
    assert 60 <= found.count("beta") <= 112  # 90 expected, five and a half deviations off
    assert {await world.who("one") for _ in range(10)} == {"beta"}


async def test_who_is_not_drawn_is_there_when_the_other_is_down(play: Play, launch: Launch) -> None:
    shares = (VirtualTarget(model="a", weight=1), VirtualTarget(model="b", weight=1_000_000))
    split = virtual("split", *shares, routing="weighted", retry=FREELY)
    world = await World.start(launch, play, virtual=(split,))
    world.beta.default = DOWN
    answer = await world.ask("split")
    assert meta(answer) == ("alpha", "a-id", "2")


def _when(**request: ValueTest) -> Condition:
    return Condition(request=request)


@pytest.mark.parametrize(("client", "upstream"), LANES)
async def test_a_condition_sees_headers_body_and_caller(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    branches = (
        VirtualTarget(model="b", when=Condition(headers={"x-team": ValueTest(equals="b")})),
        VirtualTarget(model="b", when=_when(**{"metadata.route": ValueTest(equals="b")})),
        VirtualTarget(model="b", when=_when(max_output_tokens=ValueTest(gt=9000))),
        VirtualTarget(
            model="a",
            when=Condition(
                caller={"tier": ValueTest(equals="gold")}, request={"stream": ValueTest(
                    equals=False)}, headers={"x-none": ValueTest(present=False)},
            ),
        ),
    )  # fmt: skip
    cond = virtual("cond", *branches, routing="conditional")
    world = await World.start(launch, play, dialect=upstream, virtual=(cond,))
    assert await world.who("cond", client=client) == "alpha"
    assert await world.who("cond", client=client, headers={"x-team": "b"}) == "beta"
    assert await world.who("cond", client=client, metadata={"route": "b"}) == "beta"
    assert await world.who("cond", client=client, max_tokens=9999) == "beta"
    refused = await world.ask("cond", client=client, headers={"x-none": "1"})
    assert refused.status == 400
    assert "No target of the model 'cond'" in refused.json()["error"]["message"]


# -- what a caller asks for -----------------------------------------------------------------------


@pytest.mark.parametrize("way", CONTROLS)
@pytest.mark.parametrize(("client", "upstream"), LANES)
async def test_controls_are_obeyed_and_go_no_further(
    way: str, client: str, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, dialect=upstream)
    await world.ask("b", client=client)
    assert await world.who("both", client=client, **CONTROLS[way]) == "beta"
    plain, controlled = world.beta.requests
    assert controlled.json() == plain.json()
    if client == upstream:  # the members that stay are written as they were
        assert b'[{"role": "user", "content": "Hello"}]' in controlled.body


async def test_options_for_others_go_on(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play)
    options = {"gateway": {"only": ["beta"]}, "anthropic": {"x": 1.50}}
    assert await world.who("both", providerOptions=options, models=["a"]) == "beta"
    sent = world.beta.requests[-1]
    assert sent.json()["providerOptions"] == {"anthropic": {"x": 1.50}}
    assert "models" not in sent.json()


async def test_headers_say_the_same_and_stay_here(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play)
    said = [
        {"x-portico-order": "beta, alpha"}, {"x-portico-only": "beta"},
        {"x-portico-ignore": "alpha"}, {"x-portico-order": "beta", "x-portico-tags": "x,y",
                                        "x-portico-user": "u-1"},
    ]  # fmt: skip
    for headers in said:
        assert await world.who("both", headers=headers) == "beta"
    outcome = await world.gateway.last(world.asked)
    assert (outcome.tags, outcome.user) == (("x", "y"), "u-1")
    for request in world.beta.requests:
        assert not [name for name in request.head if name.startswith("x-portico")]
    pair = {"x-portico-sort": "cost"}
    group = (VirtualTarget(model="a"), VirtualTarget(model="b"))
    world = await World.start(launch, play, virtual=(virtual("equal", *group),))
    assert {await world.who("equal", headers=pair) for _ in range(8)} == {"beta"}
    world.alpha.default = world.beta.default = [expect(), sleep(0.05), answered("chat")]
    answers = await asyncio.gather(*[world.who("equal") for _ in range(12)])
    assert set(answers) == {"alpha", "beta"}


@pytest.mark.parametrize("client", TONGUE)
async def test_further_models_are_tried_in_their_order(
    client: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play)
    world.alpha.default = DOWN
    for more in (
        {"models": ["b"]}, {"providerOptions": {"gateway": {"models": ["a", "b"]}}},
    ):  # fmt: skip
        answer = await world.ask("a", client=client, **more)
        assert (answer.status, meta(answer)[:2]) == (200, ("beta", "b-id"))
        outcome = await world.gateway.last(world.asked)
        assert outcome.alias == "a"
        assert {attempt.model for attempt in outcome.failed or ()} == {"a-id"}
    answer = await world.ask("a", client=client, headers={"x-portico-models": "b"})
    assert meta(answer) == ("beta", "b-id", "2")


async def test_a_list_of_further_models_is_tried_to_its_end(play: Play, launch: Launch) -> None:
    names = [f"m{number}" for number in range(6)]
    down = [model(name, named(name, "alpha"), f"{name}-id") for name in names]
    world = await World.start(launch, play, *down)
    world.alpha.default = DOWN
    answer = await world.ask("a", models=[*names, "b"])
    assert meta(answer) == ("beta", "b-id", "8")


async def test_a_further_model_that_is_not_for_the_request_is_passed_over(
    play: Play, launch: Launch
) -> None:
    when = Condition(headers={"x-team": ValueTest(equals="a")})
    cond = virtual("cond", VirtualTarget(model="a", when=when), routing="conditional")
    world = await World.start(launch, play, virtual=(cond,))
    world.alpha.default = DOWN
    assert meta(await world.ask("a", models=["cond", "b"])) == ("beta", "b-id", "2")
    assert (await world.ask("cond", models=["b"])).status == 400, "what it asks for has to be there"


async def test_further_models_have_to_be_there_and_allowed(play: Play, launch: Launch) -> None:
    keys = [caller(), caller(OTHER_KEY, ["a", "both"])]
    hidden = model("hidden", named("hidden", "alpha"), visibility="internal")
    world = await World.start(launch, play, hidden, keys=keys)
    for name, key in (("nope", CALLER_KEY), ("hidden", CALLER_KEY), ("b", OTHER_KEY)):
        before = len(world.alpha.requests)
        for more in ({"models": [name]}, {"headers": {"x-portico-models": name}}):
            answer = await world.ask("a", key=key, **more)
            assert error_of(answer) == (404, "model_not_found", "models")
            assert name in answer.json()["error"]["message"]
        assert len(world.alpha.requests) == before
    # A virtual model that is allowed may come to one that is not, by the operator's will.
    world.alpha.default = DOWN
    assert await world.who("both", key=OTHER_KEY) == "beta"
    assert error_of(await world.ask("b", key=OTHER_KEY))[0] == 404


async def test_controls_that_cannot_be_obeyed_are_refused(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play)
    refused: dict[str, dict[str, Any]] = {
        "no such provider": {"provider": {"only": ["gamma"]}},
        "not a list": {"models": "b"},
        "a promise": {"provider": {"data_collection": "deny"}},
        "a number": {"providerOptions": {"gateway": {"order": [1]}}},
    }
    for more in refused.values():
        answer = await world.ask("both", **more)
        assert answer.status == 400, answer.body
    for name in ("both", "a"):
        answer = await world.ask(name, **refused["no such provider"])
        assert error_of(answer) == (400, "no_matching_provider", "model")
    assert not world.alpha.requests + world.beta.requests


async def test_without_fallbacks_the_first_is_the_last(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play)
    world.alpha.default = DOWN
    more = {"provider": {"allow_fallbacks": False, "order": ["alpha"]}}
    answer = await world.ask("both", **more)
    assert (answer.status, meta(answer)[0]) == (503, "alpha")
    assert not world.beta.requests


async def test_a_callers_own_deadline_counts(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play)
    world.alpha.default = [expect(), hang()]
    ways: list[dict[str, Any]] = [
        {"providerOptions": {"gateway": {"providerTimeouts": {"byok": {"ALPHA": 150}}}}},
        {"headers": {"x-portico-timeout": "150"}},
        {"headers": {"x-portico-timeout": "beta=9000, alpha=150"}},
    ]
    for more in ways:
        start = time.perf_counter()
        answer = await world.ask("both", **more)
        assert meta(answer) == ("beta", "b-id", "2")
        assert time.perf_counter() - start < 2.0
    # and not for another provider
    world.alpha.default = [expect(), sleep(0.3), answered("chat")]
    answer = await world.ask("both", headers={"x-portico-timeout": "beta=100"})
    assert meta(answer) == ("alpha", "a-id", "1")


async def test_openrouter_reads_its_own_controls(play: Play, launch: Launch) -> None:
    upstream = await play(default=WELL)
    served_by = ProviderSettings(
        kind="openrouter", name="router", base_url=f"{upstream.url}/api/v1",
        api_key=Secret(OPERATOR_KEY),
    )  # fmt: skip
    world = await World.start(launch, play, model("free", served_by, "x/y"))
    body = {"models": ["p/q"], "provider": {"order": ["DeepInfra"], "data_collection": "deny"}}
    assert await world.who("free", **body) == "router"
    sent = upstream.requests[-1].json()
    assert {name: sent[name] for name in body} == body
    # headers are for this gateway all the same
    upstream.default = DOWN
    answer = await world.ask("free", headers={"x-portico-models": "b"}, **body)
    assert meta(answer) == ("beta", "b-id", "2")
