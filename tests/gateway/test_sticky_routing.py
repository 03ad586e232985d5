"""What goes on from something goes where that is: caches, stored responses, sealed reasoning."""

import asyncio
from itertools import count
from typing import Any

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.tongues import TONGUES, answered, provider
from tests.support.asks import PATHS, ask
from tests.support.failover import DEADLINES, FREELY, KEY, meta, well
from tests.support.gateway import OPERATOR_KEY, Gateway, caller, model, route, settings, virtual
from tests.support.gateway import provider as any_provider
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, http_json, send, sleep

from portico.config.secret import Secret
from portico.config.settings import HealthSettings, VirtualTarget
from portico.state.records import tenant_key

SECOND_KEY = "sk-CANARY-operator-second-9876543210"
_ids = count(1)


async def raw(gateway: Gateway, path: str, body: dict[str, Any]) -> RawResponse:
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", path, body, KEY)
        return await client.response(10.0)


async def equals(
    launch: Launch, *places: ScriptedUpstream, dialect: str = "chat", routing: str = "failover"
) -> Gateway:
    """`any` is one group of models at these providers, named `p0`, `p1` and so on."""
    models = [
        model(
            f"m{number}", structs.replace(provider(place.url, dialect), name=f"p{number}"), "id",
            health=HealthSettings(),
        )
        for number, place in enumerate(places)
    ]  # fmt: skip
    group = [VirtualTarget(model=each.name) for each in models]
    names = virtual("any", *group, routing=routing, retry=FREELY)
    served = route(models, [caller(team="tests")], virtual=(names,))
    return await launch(settings(served, deadlines=DEADLINES))


# -- prompt caches --------------------------------------------------------------------------------


@pytest.mark.parametrize("routing", ["failover", "weighted"])
async def test_requests_with_the_same_cache_key_stay_together(
    routing: str, play: Play, launch: Launch
) -> None:
    places = [await play(default=well("chat", False)) for _ in range(3)]
    gateway = await equals(launch, *places, routing=routing)
    homes: dict[str, set[str | None]] = {}
    keys = ["one", *[f"key-{number}" for number in range(19)]]
    for _ in range(2):
        for key in keys:
            body = ask("chat", model="any", prompt_cache_key=key)
            homes.setdefault(key, set()).add(meta(await raw(gateway, PATHS["chat"], body))[0])
    assert all(len(found) == 1 for found in homes.values()), homes
    assert len(set.union(*homes.values())) > 1, "not all of them at one place"
    # Its home is down: the others take over, and it comes back.
    home = int((homes["one"].copy().pop() or "p0")[1:])
    good = places[home].default
    places[home].default = [expect(), send(http_json(503, TONGUES["chat"].refusal))]
    body = ask("chat", model="any", prompt_cache_key="one")
    answer = await raw(gateway, PATHS["chat"], body)
    assert (answer.status, meta(answer)[2]) == (200, "2")
    places[home].default = good
    assert meta(await raw(gateway, PATHS["chat"], body)) == (f"p{home}", "id", "1")


async def test_without_a_key_all_of_them_share_the_load(play: Play, launch: Launch) -> None:
    slow = [expect(), sleep(0.05), answered("chat")]
    places = [await play(default=slow) for _ in range(3)]
    gateway = await equals(launch, *places)
    body = ask("chat", model="any")
    answers = await asyncio.gather(*[raw(gateway, PATHS["chat"], body) for _ in range(30)])
    found = {meta(answer)[0] for answer in answers}
    assert found == {"p0", "p1", "p2"}
    # what is no text is the provider's to refuse
    assert (await raw(gateway, PATHS["chat"], {**body, "prompt_cache_key": 7})).status in (200, 400)


# -- stored responses -----------------------------------------------------------------------------


def response(text: str = "hi") -> dict[str, Any]:
    """A new response of a provider that keeps it."""
    number = next(_ids)
    item = {
        "type": "message", "id": f"msg_{number:032d}", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }  # fmt: skip
    return {
        "id": f"resp_{number:032d}", "object": "response", "created_at": 1_800_000_000,
        "status": "completed", "model": "m", "output": [item], "store": True, "error": None,
        "usage": {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12},
    }  # fmt: skip


def say(upstream: ScriptedUpstream, *texts: str) -> None:
    for text in texts:
        upstream.add([expect(), send(http_json(200, response(text)))])


def keys_of(upstream: ScriptedUpstream) -> list[str]:
    sent = [each.head["authorization"].removeprefix("Bearer ") for each in upstream.requests]
    return ["first" if key == OPERATOR_KEY else "second" for key in sent]


async def accounts(launch: Launch, upstream: ScriptedUpstream, *, several: bool) -> Gateway:
    """`m`: one OpenAI with two keys, alone or, `several`, beside another model."""
    served_by = structs.replace(
        any_provider(upstream.url, "openAI"), further_keys=(Secret(SECOND_KEY),)
    )
    models = [model("one", served_by, "m", retry=FREELY, health=HealthSettings())]
    names = []
    if several:
        models.append(model("two", served_by, "m2", retry=FREELY, health=HealthSettings()))
        group = [VirtualTarget(model=each.name) for each in models]
        names = [virtual("m", *group, retry=FREELY)]
    else:
        models = [structs.replace(models[0], name="m")]
    served = route(models, [caller(team="tests")], virtual=tuple(names))
    return await launch(settings(served, deadlines=DEADLINES))


@pytest.mark.parametrize("several", [False, True], ids=["one model", "a group"])
async def test_a_response_is_continued_at_the_account_that_has_it(
    several: bool, play: Play, launch: Launch
) -> None:
    upstream = await play()
    gateway = await accounts(launch, upstream, several=several)
    say(upstream, *["hi"] * 12)
    path = PATHS["responses"]
    made = [(await raw(gateway, path, ask("responses", model="m"))).json()["id"] for _ in range(3)]
    begun = keys_of(upstream)
    assert set(begun) == {"first", "second"}
    for parent, key in zip([*made, *reversed(made)], [*begun, *reversed(begun)], strict=True):
        body = ask("responses", "more", model="m", previous_response_id=parent)
        answer = await raw(gateway, path, body)
        assert answer.status == 200
        assert keys_of(upstream)[-1] == key
        sent = upstream.requests[-1].json()
        assert sent["previous_response_id"] == parent
        assert len(sent["input"]) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_when_that_account_is_out_another_gets_the_whole_conversation(
    stream: bool, play: Play, launch: Launch
) -> None:
    upstream = await play()
    gateway = await accounts(launch, upstream, several=False)
    path = PATHS["responses"]
    say(upstream, "the first answer")
    made = (await raw(gateway, path, ask("responses", "begin", model="m"))).json()["id"]
    busy = {"error": {"message": "slow", "type": "tokens", "param": None, "code": "rate_limit"}}
    upstream.add([expect(), send(http_json(429, busy))])
    say(upstream, "the second answer")
    body = ask("responses", "more", model="m", previous_response_id=made)
    answer = await raw(gateway, path, body)
    assert answer.status == 200, answer.body
    assert keys_of(upstream) == ["first", "first", "second"]
    refused, saved = (each.json() for each in upstream.requests[1:])
    assert (refused["previous_response_id"], len(refused["input"])) == (made, 1)
    assert "previous_response_id" not in saved
    said = [item.get("content") for item in saved["input"]]
    assert [each if isinstance(each, str) else each[0]["text"] for each in said] == [
        "begin", "the first answer", "more",
    ]  # fmt: skip
    told = answer.json()
    assert told["previous_response_id"] == made
    outcome = await gateway.last(2)
    assert (outcome.attempts, [each.status for each in outcome.failed]) == (2, [429])

    store = gateway.worker.gateway.state.store
    records = [await store.get(_tenant(gateway), name, 0.0) for name in (made, told["id"])]
    origins = [record.origin for record in records]
    assert len(set(origins)) == 2, "each where it was made"
    assert records[1].parent == made
    # and on from there, at the second account, by its own word
    say(upstream, "the third answer")
    upstream.requests.clear()
    body = ask("responses", "still", model="m", previous_response_id=told["id"])
    assert (await raw(gateway, path, body)).status == 200
    assert keys_of(upstream) == ["second"]
    assert upstream.requests[0].json()["previous_response_id"] == told["id"]


async def test_a_callers_own_order_is_stronger_and_no_fallbacks_means_home(
    play: Play, launch: Launch
) -> None:
    places = [await play(), await play()]
    for place in places:
        say(place, *["hi"] * 8)
    gateway = await equals(launch, *places, dialect="responses")
    path = PATHS["responses"]
    first = await raw(gateway, path, ask("responses", model="any"))
    home = meta(first)[0]
    other = "p1" if home == "p0" else "p0"
    more = {"previous_response_id": first.json()["id"]}
    wishes: list[tuple[dict[str, Any], str | None]] = [
        ({}, home), ({"provider": {"order": [other]}}, other),
        ({"provider": {"allow_fallbacks": False}}, home), ({"provider": {"only": [other]}}, other),
        ({"provider": {"sort": "latency"}}, home), ({"provider": {"ignore": [home]}}, other),
    ]  # fmt: skip
    for wish, expected in wishes:
        answer = await raw(gateway, path, ask("responses", "on", model="any", **more, **wish))
        assert (answer.status, meta(answer)) == (200, (expected, "id", "1")), wish


async def test_a_parent_that_is_lost_there_is_a_try_like_any_other(
    play: Play, launch: Launch
) -> None:
    """The provider says that it does not know it, then is busy, then the other account answers."""
    upstream = await play()
    gateway = await accounts(launch, upstream, several=False)
    path = PATHS["responses"]
    say(upstream, "the first answer")
    made = (await raw(gateway, path, ask("responses", "begin", model="m"))).json()["id"]
    for status, code in ((400, "previous_response_not_found"), (429, "rate_limit_exceeded")):
        error = {"message": "no", "type": "x", "param": None, "code": code}
        upstream.add([expect(), send(http_json(status, {"error": error}))])
    say(upstream, "the second answer")
    body = ask("responses", "more", model="m", previous_response_id=made)
    answer = await raw(gateway, path, body)
    assert (answer.status, meta(answer)[2]) == (200, "3")
    assert keys_of(upstream) == ["first", "first", "first", "second"]
    outcome = await gateway.last(2)
    assert (outcome.attempts, [each.status for each in outcome.failed]) == (3, [400, 429])
    assert sum(each.in_flight for each in gateway.worker.gateway.targets()) == 0
    assert gateway.worker.gateway.inflated == 0
    sent = [request.json() for request in upstream.requests[1:]]
    assert [len(each["input"]) for each in sent] == [1, 3, 3]
    assert ["previous_response_id" in each for each in sent] == [True, False, False]


def _tenant(gateway: Gateway) -> bytes:
    keys = gateway.worker.snapshot.fronts[0].routes[0].keys
    assert keys is not None
    (found,) = keys._callers.values()
    return tenant_key(found.tenant)


# -- sealed reasoning -----------------------------------------------------------------------------


async def test_sealed_reasoning_goes_back_to_whoever_sealed_it(play: Play, launch: Launch) -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl" * 4},
        {"type": "text", "text": "hello"},
    ]
    thoughtful = {**TONGUES["messages"].whole, "content": content}
    script = [expect(), send(http_json(200, thoughtful))]
    places = [await play(default=script) for _ in range(3)]
    gateway = await equals(launch, *places, dialect="messages")
    path = PATHS["responses"]
    more = {"store": False, "include": ["reasoning.encrypted_content"]}
    for _ in range(4):
        first = await raw(gateway, path, ask("responses", model="any", think=True, **more))
        home, output = meta(first)[0], first.json()["output"]
        assert output[0]["type"] == "reasoning"
        for _ in range(3):
            body = ask("responses", model="any", think=True, **more)
            body["input"] = [*body["input"], *output, {"role": "user", "content": "go on"}]
            again = await raw(gateway, path, body)
            assert (again.status, meta(again)[0]) == (200, home)
            place = places[int((home or "p0")[1:])]
            assert b"c2lnbmF0dXJl" in place.requests[-1].body
    # Its home is down: the others get the conversation without what they cannot read.
    place = places[int((home or "p0")[1:])]
    place.default = [expect(), send(http_json(529, TONGUES["messages"].refusal))]
    saved = await raw(gateway, path, body)
    assert (saved.status, meta(saved)[2]) == (200, "2")
    assert meta(saved)[0] != home
    other = places[int((meta(saved)[0] or "p0")[1:])]
    assert b"c2lnbmF0dXJl" not in other.requests[-1].body
