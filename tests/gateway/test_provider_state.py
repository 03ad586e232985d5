"""Responses that a provider keeps: its copies are deleted with ours, its own are nobody else's."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from tests.conftest import Launch, Play
from tests.support.gateway import (
    CALLER_KEY,
    OPERATOR_KEY,
    model,
    provider,
    route,
    settings,
)
from tests.support.provider_state import (
    KEYS,
    OTHER_KEY,
    World,
    answer,
    config,
    error_of,
    made_by,
    raw,
    swap,
)
from tests.support.raw import RawClient
from tests.support.upstream import ScriptedUpstream, expect, fin, http_json, send

from portico.config.secret import Secret
from portico.config.settings import ProviderSettings
from portico.gateway.snapshot import assemble
from portico.http.client import HttpClient
from portico.state.port import StoreUnavailable
from portico.state.records import tenant_key


@pytest.fixture
async def world(launch: Launch) -> AsyncIterator[World]:
    built = await World.start(launch)
    yield built
    await built.stop()


# the provider's copies


async def test_deleting_a_response_deletes_the_providers_copy_first(world: World) -> None:
    made = await world.gpt.responses.create(model="native", input="Hello")
    await world.gpt.responses.delete(made.id)
    assert world.kept.asked[-1] == f"DELETE /v1/responses/{made.id}"
    assert (await raw(world.demo.port, "GET", f"/v1/responses/{made.id}")).status == 404
    with pytest.raises(openai.NotFoundError):
        await world.gpt.responses.retrieve(made.id)


async def test_a_copy_that_is_gone_already_does_not_stop_the_deletion(world: World) -> None:
    made = await world.gpt.responses.create(model="native", input="Hello")
    await world.forget(made.id)
    await world.gpt.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await world.gpt.responses.retrieve(made.id)


async def test_what_was_not_kept_there_is_not_deleted_there(world: World) -> None:
    made = await world.gpt.responses.create(model="chat-here", input="Hello")
    asked = len(world.kept.asked)
    await world.gpt.responses.delete(made.id)
    assert len(world.kept.asked) == asked


async def test_another_tenant_deletes_nothing_here_or_there(world: World) -> None:
    made = await world.gpt.responses.create(model="native", input="Hello")
    asked = len(world.kept.asked)
    with pytest.raises(openai.NotFoundError) as caught:
        await world.other.responses.delete(made.id)
    assert error_of(caught) == (404, "response_not_found")
    assert len(world.kept.asked) == asked
    assert (await world.gpt.responses.retrieve(made.id)).id == made.id


@pytest.fixture
async def scripted(play: Play) -> ScriptedUpstream:
    return await play()


@pytest.mark.parametrize("name", ["native", "there"])
@pytest.mark.parametrize(
    ("said", "status"), [(500, 500), (401, 502), (429, 429), (302, 502), (None, 502)]
)
async def test_a_deletion_that_the_provider_refuses_can_be_tried_again(
    launch: Launch, scripted: ScriptedUpstream, name: str, said: int | None, status: int
) -> None:
    gateway = await launch(config(scripted.url))
    scripted.add([expect(), send(http_json(200, answer()))])
    body = {"model": name, "input": "Hello"}
    assert (await raw(gateway.port, "POST", "/v1/responses", body)).status == 200
    refusal = {"error": {"message": f"key {OPERATOR_KEY} at http://10.1.2.3/x", "code": "c"}}
    scripted.add([expect(), fin() if said is None else send(http_json(said, refusal))])
    refused = await raw(gateway.port, "DELETE", "/v1/responses/resp_1")
    assert refused.status == status
    assert refused.json()["error"]["message"]
    assert OPERATOR_KEY.encode() not in refused.body
    assert b"10.1.2.3" not in refused.body
    gone = {"id": "resp_1", "object": "response.deleted", "deleted": True}
    scripted.add([expect(), send(http_json(200, gone))])
    again = await raw(gateway.port, "DELETE", "/v1/responses/resp_1")
    assert (again.status, again.json()["deleted"]) == (200, True)
    assert (await raw(gateway.port, "DELETE", "/v1/responses/resp_1")).status == 404
    deletion = scripted.requests[-1]
    assert (deletion.method, deletion.target) == ("DELETE", "/v1/responses/resp_1")
    assert deletion.head["authorization"] == f"Bearer {OPERATOR_KEY}"


async def test_a_copy_nobody_can_reach_any_more_is_told_to_the_operator(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    made = await world.gpt.responses.create(model="native", input="Hello")
    pointed = await world.gpt.responses.create(model="there", input="Hello")
    moved = provider(world.demo.url, "openAI", key="sk-another-account")
    swap(
        world.gateway,
        settings(
            route(
                [model("native", moved)],
                KEYS,
            )
        ),
    )
    asked = len(world.kept.asked)
    with caplog.at_level(logging.WARNING, "portico.state"):
        await world.gpt.responses.delete(made.id)
    assert made.id in caplog.text
    with pytest.raises(openai.NotFoundError):
        await world.gpt.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        await world.gpt.responses.retrieve(pointed.id)
    assert len(world.kept.asked) == asked


async def test_a_model_that_was_renamed_still_leads_to_the_copy(world: World) -> None:
    made = await world.gpt.responses.create(model="native", input="Hello")
    served_by = provider(world.demo.url, "openAI")
    models = [model("chat", provider(world.demo.url)), model("renamed", served_by)]
    swap(
        world.gateway,
        settings(route(models, KEYS)),
    )
    await world.gpt.responses.delete(made.id)
    assert world.kept.asked[-1] == f"DELETE /v1/responses/{made.id}"


# responses that only the provider keeps


@pytest.mark.parametrize("stream", [False, True])
async def test_what_only_the_provider_keeps_can_be_read_listed_continued_and_deleted(
    world: World, stream: bool
) -> None:
    first = await made_by(world.gpt, stream, model="there", input="Hello")
    assert (await world.gpt.responses.retrieve(first["id"])).id == first["id"]
    items = await world.gpt.responses.input_items.list(first["id"], limit=5, order="asc")
    assert [item.type for item in items.data] == ["message"]
    assert world.kept.asked[-1].endswith("/input_items?limit=5&order=asc")
    second = await made_by(
        world.gpt, stream, model="there", input="And?", previous_response_id=first["id"]
    )
    assert world.kept.bodies[-1]["previous_response_id"] == first["id"]
    assert world.kept.bodies[-1]["input"] == "And?"
    item = first["output"][0]["id"]
    reference: Any = [{"type": "item_reference", "id": item}, {"role": "user", "content": "x"}]
    await made_by(world.gpt, stream, model="there", input=reference)
    assert world.kept.bodies[-1]["input"] == reference
    await world.gpt.responses.delete(first["id"])
    assert (await raw(world.demo.port, "GET", f"/v1/responses/{first['id']}")).status == 404
    with pytest.raises(openai.NotFoundError):
        await world.gpt.responses.retrieve(first["id"])
    assert (await world.gpt.responses.retrieve(second["id"])).id == second["id"]


async def test_the_gateway_keeps_no_content_of_them(world: World) -> None:
    made = await world.gpt.responses.create(model="there", input="a secret that stays there")
    record = await world.store.get(tenant_key(b"tenant:first"), made.id, 0)
    assert record is not None
    assert (record.input, record.response, record.kept) == (b"[]", b"", True)
    assert record.expires_at == int(made.created_at) + int(world.running.state.retention or 0)


async def test_the_clients_bytes_reach_the_provider(launch: Launch, play: Play) -> None:
    scripted = await play([expect(), send(http_json(200, answer()))])
    gateway = await launch(config(scripted.url))
    body = b'{ "model":"m",  "input" : "x\\u00e9", "metadata":{"a":"1"} }'
    served_by = provider(scripted.url, "openAI")
    swap(gateway, settings(route([model("m", served_by, state="provider")], KEYS)))
    async with await RawClient.connect(gateway.port) as client:
        headers = {"authorization": f"Bearer {CALLER_KEY}", "content-type": "application/json"}
        await client.request("POST", "/v1/responses", body, headers)
        assert (await client.response()).json() == answer()
    assert scripted.requests[0].body == body


async def test_other_tenants_find_nothing_and_the_provider_is_not_asked(world: World) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello")
    asked = len(world.kept.asked)
    other, name = world.other.responses, made.id
    for attempt in (
        other.retrieve(name),
        other.retrieve(name, stream=True),
        other.input_items.list(name),
        other.cancel(name),
        other.delete(name),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await attempt
        assert error_of(caught) == (404, "response_not_found")
    for before in (name, "resp_unknown"):
        with pytest.raises(openai.BadRequestError) as refused:
            await other.create(model="there", input="And?", previous_response_id=before)
        assert error_of(refused) == (400, "previous_response_not_found")
    assert len(world.kept.asked) == asked


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize(
    "shape",
    [
        '{"type":"item_reference","id":"%s"}',
        '{"id":"%s"}',
        '{"type":null,"id":"%s"}',
        '{"type":"item\\u005freference","id":"%s"}',
        '{"id":"%s"' + " " * 300 + "}",
    ],
    ids=["named", "bare", "null", "escaped", "padded"],
)
async def test_items_of_other_tenants_cannot_be_named(
    world: World, shape: str, store: bool
) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello")
    asked = len(world.kept.asked)
    item = shape % made.output[0].id
    body = f'{{"model":"there","store":{str(store).lower()},"input":[{item}]}}'
    async with await RawClient.connect(world.gateway.port) as client:
        headers = {"authorization": f"Bearer {OTHER_KEY}", "content-type": "application/json"}
        await client.request("POST", "/v1/responses", body.encode(), headers)
        refused = await client.response()
    assert (refused.status, refused.json()["error"]["code"]) == (404, "item_not_found")
    assert len(world.kept.asked) == asked


async def test_a_response_of_another_account_cannot_be_continued(world: World) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello")
    for name in ("elsewhere", "chat-here"):
        with pytest.raises(openai.BadRequestError) as caught:
            await world.gpt.responses.create(model=name, input="And?", previous_response_id=made.id)
        assert error_of(caught) == (400, "previous_response_not_found")


async def test_where_the_gateway_remembers_a_pointer_is_continued_at_its_provider_only(
    world: World,
) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello")
    then = await world.gpt.responses.create(
        model="native", input="And?", previous_response_id=made.id
    )
    assert world.kept.bodies[-1]["previous_response_id"] == made.id
    with pytest.raises(openai.BadRequestError) as caught:
        await world.gpt.responses.create(
            model="chat-here", input="And?", previous_response_id=then.id
        )
    assert error_of(caught) == (400, "previous_response_not_found")


async def test_what_is_not_to_be_stored_leaves_no_pointer(world: World) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello", store=False)
    assert world.kept.bodies[-1]["store"] is False
    asked = len(world.kept.asked)
    with pytest.raises(openai.NotFoundError):
        await world.gpt.responses.retrieve(made.id)
    assert len(world.kept.asked) == asked


async def test_conversations_of_the_provider_are_not_served(world: World) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await world.gpt.responses.create(model="there", input="Hello", conversation="conv_1")
    assert error_of(caught) == (400, "unsupported_parameter")
    assert world.kept.asked == []


async def test_queries_are_checked_first_and_only_known_fields_go_on(world: World) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello")
    asked = len(world.kept.asked)
    path = f"/v1/responses/{made.id}"
    for query in ("limit=0", "order=up", "stream=maybe", "stream=true&starting_after=x"):
        for below in ("", "/input_items"):
            assert (await world.raw("GET", f"{path}{below}?{query}")).status == 400
    assert len(world.kept.asked) == asked
    query = "include[]=reasoning.encrypted_content&api-version=1&key=k&limit=3"
    assert (await world.raw("GET", f"{path}?{query}")).status == 200
    assert world.kept.asked[-1] == (f"GET {path}?include%5B%5D=reasoning.encrypted_content&limit=3")


async def test_an_answer_that_expired_at_the_provider_is_not_found(world: World) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello")
    await world.forget(made.id)
    for attempt in (
        world.gpt.responses.retrieve(made.id),
        world.gpt.responses.input_items.list(made.id),
        world.gpt.responses.cancel(made.id),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            await attempt
        assert error_of(caught) == (404, "response_not_found")
    with pytest.raises(openai.BadRequestError) as refused:
        await world.gpt.responses.create(model="there", input="And?", previous_response_id=made.id)
    assert error_of(refused) == (400, "previous_response_not_found")
    await world.gpt.responses.delete(made.id)


# background responses of the provider


async def test_a_background_response_is_polled_and_its_usage_counted_once(world: World) -> None:
    made = await world.gpt.responses.create(model="there", input="Hello", background=True)
    assert made.status == "queued"
    for _ in range(2):
        done = await world.gpt.responses.retrieve(made.id)
        assert done.status == "completed"
    await world.gateway.last(3)
    counted = [outcome.usage is not None for outcome in world.gateway.outcomes]
    assert counted == [False, True, False]
    item: Any = [{"type": "item_reference", "id": done.output[0].id}]
    await world.gpt.responses.create(model="there", input=item)


async def test_a_background_response_is_cancelled_at_the_provider(world: World) -> None:
    made = await world.gpt.responses.create(
        model="there", input="Hello [[demo first_delay=600]]", background=True
    )
    assert (await world.gpt.responses.retrieve(made.id)).status == "in_progress"
    assert (await world.gpt.responses.cancel(made.id)).status == "cancelled"
    assert world.kept.asked[-1] == f"POST /v1/responses/{made.id}/cancel"
    assert (await world.gpt.responses.retrieve(made.id)).status == "cancelled"
    whole = await world.gpt.responses.create(model="there", input="Hello")
    with pytest.raises(openai.BadRequestError) as caught:
        await world.gpt.responses.cancel(whole.id)
    assert error_of(caught) == (400, "invalid_value")


async def test_a_background_stream_that_was_cut_is_taken_up_again(world: World) -> None:
    body = {"model": "there", "background": True, "stream": True}
    cut = await world.raw("POST", "/v1/responses", {**body, "input": "Hello [[demo cut=4]]"})
    assert not cut.ended
    events = [json.loads(line) for line in cut.data_lines()]
    assert events[-1]["type"] == "error"
    assert "response.failed" not in [event["type"] for event in events]
    name = events[0]["response"]["id"]
    last = events[3]["sequence_number"]
    path = f"/v1/responses/{name}?stream=true&starting_after={last}"
    assert (await world.raw("GET", path, key=OTHER_KEY)).status == 404
    for _ in range(2):
        rest = await world.raw("GET", path)
        assert rest.ended
        numbers = [json.loads(line)["sequence_number"] for line in rest.data_lines()]
        assert numbers == list(range(last + 1, last + 1 + len(numbers)))
    final = json.loads(rest.data_lines()[-1])
    assert final["type"] == "response.completed"
    await world.gateway.last(4)
    assert [each.usage is not None for each in world.gateway.outcomes] == [
        False, False, True, False,
    ]  # fmt: skip
    item: Any = [{"type": "item_reference", "id": final["response"]["output"][0]["id"]}]
    await world.gpt.responses.create(model="there", input=item)


async def test_whoever_was_told_of_a_background_stream_can_ask_for_it(world: World) -> None:
    events = await world.gpt.responses.create(
        model="there", input="Hello", background=True, stream=True
    )
    kinds = []
    async for event in events:
        kinds.append(event.type)
        if event.type == "response.created":
            assert (await world.gpt.responses.retrieve(event.response.id)).id == event.response.id
    assert kinds[-1] == "response.completed"


async def test_a_background_stream_whose_pointer_cannot_be_made_is_not_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> bool:
        raise StoreUnavailable("The database is not there.")

    monkeypatch.setattr(world.store, "begin_run", broken, raising=False)
    body = {"model": "there", "input": "Hello", "background": True, "stream": True}
    answered = await world.raw("POST", "/v1/responses", body)
    assert not answered.ended
    kinds = [json.loads(line)["type"] for line in answered.data_lines()]
    assert kinds == ["error", "response.failed"]


# nobody keeps anything


@pytest.mark.parametrize("name", ["off", "chat-off", "chat"])
@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_where_nothing_is_kept_nothing_can_be_asked_for(
    world: World, name: str, more: dict[str, Any]
) -> None:
    refused = await world.raw("POST", "/v1/responses", {"model": name, "input": "x", **more})
    assert (refused.status, refused.json()["error"]["code"]) == (400, "unsupported_parameter")
    assert refused.json()["error"]["param"] == next(iter(more))
    assert world.kept.asked == []


async def test_where_nothing_is_kept_the_provider_is_asked_not_to_either(world: World) -> None:
    for more in ({}, {"store": True}, {"store": False}):
        made = await world.raw("POST", "/v1/responses", {"model": "off", "input": "x", **more})
        assert world.kept.bodies[-1]["store"] is False
        assert made.json()["store"] is False
        path = f"/v1/responses/{made.json()['id']}"
        assert (await world.raw("GET", path)).status == 404
    counted = await world.raw("POST", "/v1/responses/input_tokens", {"model": "off", "input": "x"})
    assert counted.status == 200
    assert "store" not in world.kept.bodies[-1]


# where a response is, for providers of other shapes


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ({}, "/openai/v1/responses/resp_1/cancel?limit=3"),
        (
            {"api_version": "2025-04-01-preview"},
            "/openai/responses/resp_1/cancel?api-version=2025-04-01-preview&limit=3",
        ),
    ],
)
def test_the_path_of_a_response_keeps_the_version_that_the_operator_chose(
    place: dict[str, str], path: str
) -> None:
    served_by = ProviderSettings(
        kind="azure", name="azure", api_key=Secret("k"), base_url="https://r.openai.azure.com",
        **place,
    )  # fmt: skip
    snapshot = assemble(settings(route([model("m", served_by)])), HttpClient(), {})
    target = snapshot.fronts[0].routes[0].entries[0].target
    head = target.kept_head(b"POST", "gpt-5.5", b"/resp_1/cancel", b"limit=3")
    assert head is not None
    assert head.split(b"\r\n")[0] == b"POST %b HTTP/1.1" % path.encode()
    assert target.kept_head(b"GET", "claude-sonnet-4-5", b"/resp_1", b"") is None
