"""What was answered can be read again, as it was; what was deleted or not stored cannot."""

import json
from typing import Any

import openai
import pytest
from tests.support.stateful import (
    UNKNOWN_RESPONSE,
    Servers,
    answering,
    ask,
    both_ways,
    each_cell,
    refusal,
    servers,
    tool,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

ITEM_PREFIXES = ("msg_", "fc_", "fco_", "rs_", "ctc_", "ctco_", "cmp_")


async def _both(state: Servers, cell: str, said: Any, stream: bool, **more: Any) -> tuple[Any, Any]:
    """The response object as it was made, and as it is retrieved: decoded JSON."""
    if not stream:
        raw = await state.sdk.responses.with_raw_response.create(model=cell, input=said, **more)
        made = json.loads(raw.text)
    else:
        made = (await ask(state.client, cell, said, stream=True, **more)).to_dict()
    again = await state.sdk.responses.with_raw_response.retrieve(made["id"])
    if not stream:
        assert again.text == raw.text
        return made, json.loads(again.text)
    return made, again.parse().to_dict()


@each_cell
@both_ways
async def test_what_is_retrieved_is_what_was_answered(
    state: Servers, cell: str, stream: bool
) -> None:
    first = await ask(state.client, cell, "first")
    made, again = await _both(
        state, cell, "second", stream,
        previous_response_id=first.id, metadata={"k": "v"}, instructions="be brief",
        temperature=0.5, max_output_tokens=512, tools=[tool()],
    )  # fmt: skip
    assert made == again
    assert again["previous_response_id"] == first.id
    assert again["store"] is True
    assert again["background"] is False
    assert again["status"] == "completed"
    assert again["metadata"] == {"k": "v"}
    assert again["instructions"] == "be brief"
    assert again["usage"]["output_tokens"] > 0
    assert again["output"][0]["content"][0]["text"]
    assert again["model"]


@each_cell
@both_ways
async def test_calls_and_thoughts_are_retrieved_as_they_were(
    state: Servers, cell: str, stream: bool
) -> None:
    made, again = await _both(
        state, cell, "[[demo think=on calls=2]] weather in Oslo and Rome", stream,
        tools=[tool()], reasoning={"effort": "medium", "summary": "auto"},
        include=["reasoning.encrypted_content"],
    )  # fmt: skip
    assert made == again
    assert [item["type"] for item in again["output"]].count("function_call") == 2
    assert all(item["id"].startswith(ITEM_PREFIXES) for item in again["output"])
    for item in again["output"]:
        if item["type"] == "function_call":
            assert json.loads(item["arguments"])


@each_cell
async def test_include_and_stream_false_change_nothing(state: Servers, cell: str) -> None:
    made = await ask(state.client, cell, "hello")
    plain = await state.sdk.responses.with_raw_response.retrieve(made.id)
    more = await state.sdk.responses.with_raw_response.retrieve(
        made.id, include=["reasoning.encrypted_content"], stream=False
    )
    assert plain.text == more.text


async def test_reading_asks_no_provider(state: Servers) -> None:
    made = await ask(state.client, "openai", "hello")
    before = len(state.heard)
    await state.sdk.responses.retrieve(made.id)
    await state.sdk.responses.input_items.list(made.id)
    assert len(state.heard) == before


# store: false


@each_cell
@both_ways
async def test_what_is_not_stored_is_neither_retrieved_nor_continued(
    state: Servers, cell: str, stream: bool
) -> None:
    made = await ask(state.client, cell, "forget this", stream=stream, store=False)
    assert made.store is False
    await refusal(state.sdk.responses.retrieve(made.id), 404, "response_id", "response_not_found")
    await refusal(state.sdk.responses.delete(made.id), 404, "response_id", "response_not_found")
    await refusal(
        state.sdk.responses.input_items.list(made.id), 404, "response_id", "response_not_found"
    )
    for streamed in (False, True):
        await refusal(
            ask(state.client, cell, "go on", previous_response_id=made.id, stream=streamed),
            400, "previous_response_id", "previous_response_not_found",
        )  # fmt: skip


@each_cell
@both_ways
async def test_an_answer_that_is_not_stored_may_continue_one_that_is(
    state: Servers, cell: str, stream: bool
) -> None:
    root = await ask(state.client, cell, answering("root", "rooted"))
    child = await ask(
        state.client, cell, "child", stream=stream, store=False, previous_response_id=root.id
    )
    assert child.store is False
    assert child.previous_response_id == root.id
    if "previous_response_id" not in state.last.json:
        assert words(state.last)[:2] == [
            ("user", answering("root", "rooted")),
            ("assistant", "rooted"),
        ]
    await refusal(state.sdk.responses.retrieve(child.id), 404, "response_id")


@pytest.mark.parametrize("cell", ["chat-off", "responses-off"])
@both_ways
async def test_a_model_that_is_not_remembered_says_that_it_is_not(
    state: Servers, cell: str, stream: bool
) -> None:
    made = await ask(state.client, cell, "hello", stream=stream)
    assert made.store is False
    await refusal(state.sdk.responses.retrieve(made.id), 404, "response_id")
    for name, value in (
        ("previous_response_id", made.id),
        ("conversation", "conv_1"),
        ("background", True),
    ):
        await refusal(
            state.sdk.responses.create(model=cell, input="x", **{name: value}),
            400, name, "unsupported_parameter",
        )  # fmt: skip


# delete


@each_cell
@both_ways
async def test_what_was_deleted_is_gone(state: Servers, cell: str, stream: bool) -> None:
    made = await ask(state.client, cell, "delete me", stream=stream)
    raw = await state.sdk.responses.with_raw_response.delete(made.id)
    assert json.loads(raw.text) == {"id": made.id, "object": "response", "deleted": True}
    for gone in (
        state.sdk.responses.retrieve(made.id),
        state.sdk.responses.input_items.list(made.id),
        state.sdk.responses.delete(made.id),
        state.sdk.responses.cancel(made.id),
    ):
        await refusal(gone, 404, "response_id", "response_not_found")
    await refusal(
        ask(state.client, cell, "go on", previous_response_id=made.id),
        400, "previous_response_id", "previous_response_not_found",
    )  # fmt: skip


@each_cell
async def test_deleting_a_response_leaves_its_descendants_whole(state: Servers, cell: str) -> None:
    parent: str | None = None
    ids = []
    for turn in range(4):
        made = await ask(
            state.client, cell, answering(f"turn {turn}", f"answer {turn}"),
            previous_response_id=parent,
        )  # fmt: skip
        parent = made.id
        ids.append(parent)
    await state.sdk.responses.delete(ids[0])
    await state.sdk.responses.delete(ids[2])
    other = "chat" if cell != "chat" else "messages"
    last = await ask(state.client, other, "and now?", previous_response_id=parent)
    told = [
        each
        for turn in range(4)
        for each in (
            ("user", answering(f"turn {turn}", f"answer {turn}")),
            ("assistant", f"answer {turn}"),
        )
    ]
    assert words(state.last) == [*told, ("user", "and now?")]
    for gone in (ids[0], ids[2]):
        await refusal(state.sdk.responses.retrieve(gone), 404, "response_id")
        await refusal(
            ask(state.client, cell, "x", previous_response_id=gone),
            400, "previous_response_id", "previous_response_not_found",
        )  # fmt: skip
    assert (await state.sdk.responses.retrieve(ids[1])).id == ids[1]
    # to go on from the provider's own copy is as good
    again = await ask(state.client, cell, "here?", previous_response_id=ids[3])
    assert again.previous_response_id == ids[3]
    await state.sdk.responses.delete(last.id)


async def test_items_of_a_deleted_response_cannot_be_referred_to(state: Servers) -> None:
    made = await ask(state.client, "chat", [{"role": "user", "content": "x", "id": "msg_mine-1"}])
    child = await ask(state.client, "chat", "y", previous_response_id=made.id)
    await state.sdk.responses.delete(made.id)
    for item in (made.output[0].id, "msg_mine-1"):
        await refusal(
            ask(state.client, "chat", [{"type": "item_reference", "id": item}]),
            404, "input", "item_not_found",
        )  # fmt: skip
    assert (await state.sdk.responses.retrieve(child.id)).previous_response_id == made.id


# input items


def _many(count: int) -> list[dict[str, Any]]:
    return [
        {"role": "user" if index % 2 == 0 else "assistant", "content": f"item {index}"}
        for index in range(count)
    ]


@each_cell
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_input_items_come_in_pages_of_any_size_in_both_orders(
    state: Servers, cell: str, order: Any
) -> None:
    made = await ask(state.client, cell, _many(57))
    everything = [
        item async for item in state.sdk.responses.input_items.list(made.id, order=order, limit=10)
    ]
    said = [item.content[0].text for item in everything]  # type: ignore[union-attr]
    expected = [f"item {index}" for index in range(57)]
    assert said == (expected if order == "asc" else expected[::-1])
    ids = [item.id for item in everything]
    assert len(set(ids)) == 57
    for size in (1, 7, 20, 56, 57, 100):
        seen: list[str | None] = []
        after: Any = openai.omit
        while True:
            page = await state.sdk.responses.input_items.list(
                made.id, order=order, limit=size, after=after
            )
            got = [item.id for item in page.data]
            assert len(got) <= size
            assert (page.model_extra or {})["first_id"] == got[0]
            assert page.last_id == got[-1]
            seen += got
            if not page.has_more:
                break
            after = page.last_id
        assert seen == ids
    by_default = await state.sdk.responses.input_items.list(made.id)
    assert len(by_default.data) == 20
    assert by_default.has_more
    newest_first = ids if order == "desc" else ids[::-1]
    assert [item.id for item in by_default.data] == newest_first[:20]


@each_cell
async def test_input_items_are_resources_with_id_type_and_status(state: Servers, cell: str) -> None:
    given = [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"role": "assistant", "content": "hello"},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "4 degrees"},
        {"role": "user", "content": "thanks", "id": "msg_my-own"},
    ]
    made = await ask(state.client, cell, given, tools=[tool()])
    page = await state.sdk.responses.input_items.list(made.id, order="asc")
    items = [item.to_dict() for item in page.data]
    assert [item["type"] for item in items] == [
        *["message", "message", "message", "function_call", "function_call_output", "message"]
    ]
    assert all(isinstance(item["id"], str) and item["id"] for item in items)
    assert items[-1]["id"] == "msg_my-own"
    assert all(item["status"] == "completed" for item in items if item["type"] == "message")
    assert items[0]["content"] == [{"type": "input_text", "text": "be brief"}]
    assert items[1]["content"] == [{"type": "input_text", "text": "hi"}]
    shown: Any = items[2]["content"]
    assert (shown[0]["type"], shown[0]["text"]) == ("output_text", "hello")
    assert (items[3]["call_id"], items[4]["output"]) == ("call_1", "4 degrees")


async def test_input_items_are_those_of_the_turn_and_not_of_the_chain(state: Servers) -> None:
    for cell in ("chat", "openai"):
        root = await ask(state.client, cell, "root")
        child = await ask(state.client, cell, "child", previous_response_id=root.id)
        page = await state.sdk.responses.input_items.list(child.id)
        assert [item.content[0].text for item in page.data] == ["child"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("order=up", "order"),
        ("after=msg_nobody", "after"),
    ],
)
async def test_a_bad_page_is_refused(state: Servers, query: str, param: str) -> None:
    made = await ask(state.client, "chat", "hello")
    status, body = await state.client.raw("GET", f"/responses/{made.id}/input_items?{query}")
    assert (status, body["error"]["param"]) == (400, param)
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["code"]


async def test_ids_that_never_were_are_not_found(state: Servers) -> None:
    for id in (UNKNOWN_RESPONSE, "resp_1", "nothing", "x" * 128):
        for call in (
            state.sdk.responses.retrieve(id),
            state.sdk.responses.delete(id),
            state.sdk.responses.cancel(id),
            state.sdk.responses.input_items.list(id),
        ):
            error = await refusal(call, 404, "response_id", "response_not_found")
            assert id in error.message
