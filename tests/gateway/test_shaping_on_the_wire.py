"""What an operator changes reaches the provider, or the caller, in both lanes; each target has its
own of it."""

import json
from typing import Any

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.tongues import TONGUES, WORDS, provider
from tests.support.asks import PATHS, ask
from tests.support.failover import DEADLINES, FREELY, KEY, LANES, meta, well, words_of
from tests.support.gateway import Gateway, caller, model, route, settings, virtual
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, http_json, send

from portico.config.settings import HeaderRules, Prompt, Shaping

TOKENS = {"chat": "max_completion_tokens", "responses": "max_output_tokens",
          "messages": "max_tokens"}  # fmt: skip
each_lane = pytest.mark.parametrize(("client", "upstream"), LANES)
both_ways = pytest.mark.parametrize("stream", [False, True])


def shaping(mark: str, **members: Any) -> Shaping:
    """Shaping of which every part holds `mark`."""
    return Shaping(
        overrides={"temperature": b"0.25"},
        defaults={name: json.dumps(value).encode() for name, value in members.items()},
        prepend=(Prompt(role="system", content=f"before-{mark}"),),
        append=(Prompt(role="user", content=f"after-{mark}"),),
        request_headers=HeaderRules(
            set=((f"x-set-{mark}", mark),),
            add=(("x-added", mark),),
            remove=("x-gone", "tracestate"),
        ),
        response_headers=HeaderRules(
            set=(("x-answer", mark),), add=((f"x-more-{mark}", "1"),), remove=("x-theirs",)
        ),
    )


class World:
    """`both` is `a` at the first place, then `b` at the second, each with its own shaping; `bare`
    has none."""

    def __init__(self, gateway: Gateway, *places: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.first, self.second = places

    @classmethod
    async def start(cls, launch: Launch, play: Play, dialect: str, **members: Any) -> "World":
        places = [await play(), await play()]
        models = [
            model(
                name, structs.replace(provider(place.url, dialect), name=name), f"{name}-id",
                shaping=shaping(name, **members),
            )
            for name, place in zip("ab", places, strict=True)
        ]  # fmt: skip
        models.append(model("bare", models[0].provider, "bare-id"))
        names = (virtual("both", "a", "b", retry=FREELY), virtual("mixed", "a", "bare",
                                                                  retry=FREELY))  # fmt: skip
        served = route(models, [caller(team="tests")], virtual=names)
        return cls(await launch(settings(served, deadlines=DEADLINES)), *places)

    async def ask(
        self, client: str, name: str, *, drop: tuple[str, ...] = (), **more: Any
    ) -> RawResponse:
        body = ask(client, model=name, **more)
        for member in drop:
            body.pop(member, None)
        headers = {**KEY, "x-gone": "1", "tracestate": "a=1", "traceparent": "00-" + "1" * 32 +
                   "-" + "2" * 16 + "-01"}  # fmt: skip
        async with await RawClient.connect(self.gateway.port) as raw:
            await raw.request("POST", PATHS[client], body, headers)
            return await raw.response(10.0)


def most(body: Any) -> int:
    """How many tokens may be written."""
    (found,) = [body[name] for name in (*TOKENS.values(),) if name in body]
    return int(found)


def said(body: Any) -> str:
    """All that a request says, as text."""
    return json.dumps([body.get(k) for k in ("system", "instructions", "messages", "input")])


@each_lane
@both_ways
async def test_each_target_gets_its_own_shaping_and_nothing_of_the_others(
    stream: bool, client: str, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, upstream, **{TOKENS[client]: 1234})
    world.first.add([expect(), send(http_json(503, TONGUES[upstream].refusal, {"x-theirs": "1"}))])
    world.second.add(well(upstream, stream))
    more = {"store": False} if client == "responses" else {}
    answer = await world.ask(
        client, "both", stream=stream, drop=("max_tokens",), temperature=0.9, **more
    )
    assert words_of(client, answer, stream=stream) == WORDS
    assert meta(answer) == ("b", "b-id", "2")
    for mark, other, place in (("a", "b", world.first), ("b", "a", world.second)):
        (request,) = place.requests
        body = request.json()
        text = said(body)
        assert (body["temperature"], most(body)) == (0.25, 1234)
        for piece in (f"before-{mark}", f"after-{mark}"):
            assert text.count(piece) == 1, text
        for piece in (f"before-{other}", f"after-{other}"):
            assert piece not in text
        assert text.index(f"before-{mark}") < text.index("Hello") < text.index(f"after-{mark}")
        assert (request.head[f"x-set-{mark}"], request.head["x-added"]) == (mark, mark)
        assert not {f"x-set-{other}", "x-gone", "tracestate"} & request.head.keys()
        assert "traceparent" in request.head
    assert answer.header("x-answer") == "b"
    assert (answer.header("x-more-b"), answer.header("x-more-a")) == ("1", None)
    assert answer.header("x-request-id") is not None


@each_lane
async def test_a_target_without_shaping_gets_what_the_client_wrote(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, upstream)
    world.first.add(well(upstream, False))
    more = {"store": False} if client == "responses" else {}
    await world.ask(client, "bare", temperature=0.9, **more)
    world.first.add([expect(), send(http_json(503, TONGUES[upstream].refusal))])
    world.first.add(well(upstream, False))
    answer = await world.ask(client, "mixed", temperature=0.9, **more)
    assert meta(answer) == ("a", "bare-id", "2")
    plain, shaped, saved = world.first.requests
    assert saved.body == plain.body
    assert shaped.body != plain.body
    assert "x-added" not in saved.head
    assert answer.header("x-answer") is None


@each_lane
async def test_errors_have_the_rules_of_the_last_target(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, upstream)
    refusal = [expect(), send(http_json(500, TONGUES[upstream].refusal, {"x-theirs": "1"}))]
    world.first.default = world.second.default = refusal
    more = {"store": False} if client == "responses" else {}
    answer = await world.ask(client, "both", **more)
    assert answer.status == 500
    last = meta(answer)[0]
    assert last in ("a", "b")
    assert answer.header("x-answer") == last
    assert answer.header("x-theirs") is None


@both_ways
@pytest.mark.parametrize("upstream", ["messages", "chat"])
async def test_a_message_without_max_tokens_is_served_where_a_default_has_them(
    upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, upstream, max_tokens=77)
    world.first.add(well(upstream, stream))
    answer = await world.ask("messages", "a", stream=stream, drop=("max_tokens",))
    assert words_of("messages", answer, stream=stream) == WORDS
    body = world.first.requests[0].json()
    assert most(body) == 77
    world.first.add(well(upstream, stream))
    await world.ask("messages", "a", stream=stream, max_tokens=5)
    body = world.first.requests[1].json()
    assert most(body) == 5
    answer = await world.ask("messages", "bare", stream=stream, drop=("max_tokens",))
    assert answer.status == 400
    assert "max_tokens" in answer.json()["error"]["message"]
    assert len(world.first.requests) == 2


@both_ways
@pytest.mark.parametrize("upstream", ["responses", "chat"])
async def test_what_is_remembered_and_repeated_is_the_clients_own(
    upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    world = await World.start(launch, play, upstream)
    world.first.add([expect(), send(http_json(503, TONGUES[upstream].refusal))])
    world.second.add(well(upstream, stream), well(upstream, stream))
    answer = await world.ask(
        "responses", "both", stream=stream, instructions="be brief", temperature=0.9
    )
    assert answer.status == 200, answer.body
    lines = [line for line in answer.data_lines() if line != b"[DONE]"]
    told = json.loads(lines[-1])["response"] if stream else answer.json()
    assert b"before-" not in answer.body
    if upstream == "chat":  # written here: what was asked for in effect
        assert (told["instructions"], told["temperature"]) == ("be brief", 0.25)
    async with await RawClient.connect(world.gateway.port) as raw:
        await raw.request("GET", f"/v1/responses/{told['id']}/input_items", None, KEY)
        items = (await raw.response()).body
    assert b"Hello" in items
    assert b"before-" not in items
    assert b"after-" not in items
    # The next turn has the prompts once, around all of it.
    if upstream == "chat":
        again = await world.ask("responses", "b", text="more", stream=stream,
                                previous_response_id=told["id"])  # fmt: skip
        assert again.status == 200, again.body
        text = said(world.second.requests[-1].json())
        assert text.count("before-b") == text.count("after-b") == 1
        assert text.index("Hello") < text.index("more") < text.index("after-b")


async def test_counting_and_compacting_have_the_headers_too(play: Play, launch: Launch) -> None:
    world = await World.start(launch, play, "chat")
    async with await RawClient.connect(world.gateway.port) as raw:
        body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
        await raw.request("POST", "/v1/messages/count_tokens", body, KEY)
        counted = await raw.response()
    assert counted.status == 200
    assert counted.header("x-answer") == "a"
    world.first.add(well("chat", False))
    async with await RawClient.connect(world.gateway.port) as raw:
        compact = {"model": "a", "input": [{"role": "user", "content": "hi"}]}
        await raw.request("POST", "/v1/responses/compact", compact, KEY)
        shorter = await raw.response()
    assert shorter.status == 200, shorter.body
    assert shorter.header("x-answer") == "a"
    assert meta(shorter) == ("a", "a-id", "1")
    assert "before-a" not in said(world.first.requests[-1].json())
