"""A native continuation whose parent expired at its provider: told once more from our copy."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.provider_state import (
    World,
    answer,
    config,
    made_by,
    raw,
)
from tests.support.upstream import expect, http_json, send


@pytest.fixture
async def world(launch: Launch) -> AsyncIterator[World]:
    built = await World.start(launch)
    yield built
    await built.stop()


# a parent that expired where it was made


@pytest.mark.parametrize("way", ["whole", "stream", "background"])
async def test_a_parent_that_the_provider_lost_is_told_from_our_copy(
    world: World, way: str
) -> None:
    first = await world.gpt.responses.create(model="native", input="One")
    second = await world.gpt.responses.create(
        model="native", input="Two", previous_response_id=first.id
    )
    await world.forget(second.id)
    asked = len(world.kept.asked)
    more: dict[str, Any] = {"model": "native", "input": "Three", "previous_response_id": second.id}
    if way == "background":
        third = await world.gpt.responses.create(**more, background=True)
        while third.status in ("queued", "in_progress"):
            await asyncio.sleep(0.02)
            third = await world.gpt.responses.retrieve(third.id)
    else:
        third = await made_by(world.gpt, way == "stream", **more)
        third = await world.gpt.responses.retrieve(third["id"])
    assert third.status == "completed"
    assert third.previous_response_id == second.id
    assert world.kept.asked[asked:] == ["POST /v1/responses"] * 2
    native, whole = world.kept.bodies[-2:]
    assert (native["previous_response_id"], len(native["input"])) == (second.id, 5)
    assert "previous_response_id" not in whole
    said = [item.get("content") for item in whole["input"] if item.get("role") == "user"]
    assert said == ["One", "Two", "Three"]
    assert len(whole["input"]) == 5
    outcome = next(each for each in world.gateway.outcomes if each.attempts == 2)
    assert outcome.verdict == "ok"
    fourth = await world.gpt.responses.create(
        model="native", input="Four", previous_response_id=third.id
    )
    assert fourth.previous_response_id == third.id


async def test_other_refusals_are_passed_on_and_not_asked_twice(launch: Launch, play: Play) -> None:
    refusal = {"error": {"message": "too hot", "type": "invalid_request_error",
                         "code": "bad", "param": "temperature"}}  # fmt: skip
    scripted = await play(
        [expect(), send(http_json(200, answer()))], [expect(), send(http_json(400, refusal))]
    )
    gateway = await launch(config(scripted.url))
    body = {"model": "native", "input": "One"}
    assert (await raw(gateway.port, "POST", "/v1/responses", body)).status == 200
    then = {**body, "previous_response_id": "resp_1"}
    refused = await raw(gateway.port, "POST", "/v1/responses", then)
    assert (refused.status, refused.json()) == (400, refusal)
    assert len(scripted.requests) == 2


async def test_it_is_asked_once_more_and_no_more(launch: Launch, play: Play) -> None:
    gone = {"error": {"message": "Response with id=resp_1 not found"}}
    scripted = await play(
        [expect(), send(http_json(200, answer()))],
        [expect(), send(http_json(404, gone))],
        [expect(), send(http_json(404, gone))],
    )
    gateway = await launch(config(scripted.url))
    body = {"model": "native", "input": "One"}
    assert (await raw(gateway.port, "POST", "/v1/responses", body)).status == 200
    then = {**body, "previous_response_id": "resp_1"}
    refused = await raw(gateway.port, "POST", "/v1/responses", then)
    assert refused.status == 404
    assert len(scripted.requests) == 3
    outcome = await gateway.last(2)
    assert (outcome.attempts, outcome.verdict) == (2, "upstream_error")
