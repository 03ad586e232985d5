"""Conversations: items that stay together, whoever answers."""

from typing import Any

import openai
import pytest
from tests.support.stateful import (
    UNKNOWN_CONVERSATION,
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


def _user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


async def _texts(state: Servers, conversation: str, order: Any = "asc") -> list[str]:
    return [
        item.content[0].text  # type: ignore[union-attr]
        async for item in state.sdk.conversations.items.list(conversation, order=order, limit=7)
    ]


async def test_a_conversation_is_created_read_changed_and_deleted(state: Servers) -> None:
    api = state.sdk.conversations
    made = await api.create(metadata={"topic": "demo", "é": "ü"})
    assert made.id.startswith("conv_")
    assert made.object == "conversation"
    assert made.metadata == {"topic": "demo", "é": "ü"}
    assert await api.retrieve(made.id) == made
    changed = await api.update(made.id, metadata={"topic": "other"})
    assert changed.metadata == {"topic": "other"}
    assert (changed.id, changed.created_at) == (made.id, made.created_at)
    assert await api.retrieve(made.id) == changed
    emptied = await api.update(made.id, metadata={})
    assert emptied.metadata == {}
    gone = await api.delete(made.id)
    assert gone.to_dict() == {
        "id": made.id, "object": "conversation.deleted", "deleted": True
    }  # fmt: skip
    for call in (
        api.retrieve(made.id),
        api.update(made.id, metadata={}),
        api.delete(made.id),
        api.items.list(made.id),
        api.items.create(made.id, items=[_user("x")]),
        api.items.retrieve("msg_1", conversation_id=made.id),
        api.items.delete("msg_1", conversation_id=made.id),
    ):
        await refusal(call, 404, "conversation_id", "conversation_not_found")  # type: ignore[arg-type]


async def test_a_conversation_may_be_created_with_nothing(state: Servers) -> None:
    made = await state.sdk.conversations.create()
    assert made.metadata == {}
    page = await state.sdk.conversations.items.list(made.id)
    assert page.data == []
    assert page.has_more is False
    status, body = await state.client.raw("POST", "/conversations")
    assert (status, body["metadata"]) == (200, {})


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({f"k{n}": "v" for n in range(17)}, "metadata"),
        ({"k" * 65: "v"}, "metadata"),
        ({"k": "v" * 513}, "metadata.k"),
        ({"k": 1}, "metadata.k"),
        ({"k": None}, "metadata.k"),
        ([], "metadata"),
        ("x", "metadata"),
    ],
    ids=["pairs", "key", "value", "number", "null", "array", "text"],
)
async def test_metadata_is_sixteen_short_texts(state: Servers, metadata: Any, param: str) -> None:
    made = await state.sdk.conversations.create(metadata={"kept": "yes"})
    for path in ("/conversations", f"/conversations/{made.id}"):
        status, body = await state.client.raw("POST", path, {"metadata": metadata})
        assert status == 400
        assert body["error"]["param"].startswith(param), body
        assert body["error"]["code"]
    assert (await state.sdk.conversations.retrieve(made.id)).metadata == {"kept": "yes"}
    largest = {"k" * 64: "v" * 512, **{f"k{n}": "" for n in range(15)}}
    assert (await state.sdk.conversations.update(made.id, metadata=largest)).metadata == largest


async def test_changing_needs_metadata(state: Servers) -> None:
    made = await state.sdk.conversations.create()
    status, body = await state.client.raw("POST", f"/conversations/{made.id}", {})
    assert (status, body["error"]["param"]) == (400, "metadata")
    assert body["error"]["code"] == "missing_required_parameter"


# items


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_items_are_appended_in_order_and_listed_in_pages(state: Servers, order: Any) -> None:
    api = state.sdk.conversations
    made = await api.create(items=[_user(f"item {n}") for n in range(20)])
    expected = [f"item {n}" for n in range(20)]
    for start in (20, 40):
        more = [_user(f"item {n}") for n in range(start, start + 20)]
        added = await api.items.create(made.id, items=more)
        assert [item.content[0].text for item in added.data] == [  # type: ignore[union-attr]
            f"item {n}" for n in range(start, start + 20)
        ]
        assert (added.first_id, added.last_id) == (added.data[0].id, added.data[-1].id)
        assert added.has_more is False
    expected = [f"item {n}" for n in range(60)]
    assert await _texts(state, made.id, order) == (expected if order == "asc" else expected[::-1])
    everything = [i.id async for i in api.items.list(made.id, order=order, limit=100)]
    assert len(set(everything)) == 60
    page = await api.items.list(made.id, order=order, limit=5, after=str(everything[9]))
    assert [item.id for item in page.data] == everything[10:15]
    assert page.has_more is True
    page = await api.items.list(made.id, order=order, limit=50, after=str(everything[9]))
    assert page.has_more is False
    assert len((await api.items.list(made.id)).data) == 20


async def test_an_item_is_read_and_deleted_by_its_id(state: Servers) -> None:
    api = state.sdk.conversations
    made = await api.create(items=[_user("one"), _user("two"), _user("three")], metadata={"a": "b"})
    items = (await api.items.list(made.id, order="asc")).data
    one = await api.items.retrieve(str(items[1].id), conversation_id=made.id)
    assert one == items[1]
    left = await api.items.delete(str(items[1].id), conversation_id=made.id)
    assert left == made
    assert await _texts(state, made.id) == ["one", "three"]
    for call in (
        api.items.retrieve(str(items[1].id), conversation_id=made.id),
        api.items.delete(str(items[1].id), conversation_id=made.id),
    ):
        await refusal(call, 404, "item_id", "item_not_found")  # type: ignore[arg-type]
    status, body = await state.client.raw(
        "GET", f"/conversations/{made.id}/items?after={items[1].id}"
    )
    assert (status, body["error"]["param"]) == (400, "after")
    await ask(state.client, "chat", "next", conversation=made.id)
    assert [text for _, text in words(state.last)] == ["one", "three", "next"]


async def test_items_are_resources(state: Servers) -> None:
    given: list[Any] = [
        {"role": "user", "content": "plain"},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "done"},
        {"type": "message", "role": "assistant", "content": "said"},
    ]
    made = await state.sdk.conversations.create(items=given)
    items = [
        i.to_dict() for i in (await state.sdk.conversations.items.list(made.id, order="asc")).data
    ]
    assert [item["type"] for item in items] == [
        "message", "function_call", "function_call_output", "message"
    ]  # fmt: skip
    assert all(item["id"] for item in items)
    assert items[0]["status"] == items[3]["status"] == "completed"
    assert items[0]["content"] == [{"type": "input_text", "text": "plain"}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "items"),
        ({"items": None}, "items"),
        ({"items": []}, "items"),
        ({"items": "hello"}, "items"),
        ({"items": [_user("x")] * 21}, "items"),
        ({"items": [_user("x"), {"role": "user"}]}, "items[1]"),
        ({"items": [{"role": "king", "content": "x"}]}, "items[0]"),
    ],
    ids=["none", "null", "empty", "text", "many", "content", "role"],
)
async def test_bad_items_are_refused_and_none_is_added(
    state: Servers, body: Any, param: str
) -> None:
    made = await state.sdk.conversations.create(items=[_user("first")])
    status, answer = await state.client.raw("POST", f"/conversations/{made.id}/items", body)
    assert status == 400, answer
    assert answer["error"]["param"].startswith(param), answer
    assert answer["error"]["code"] or answer["error"]["type"] == "invalid_request_error"
    assert await _texts(state, made.id) == ["first"]
    if body.get("items"):
        status, answer = await state.client.raw("POST", "/conversations", body)
        assert (status, answer["error"]["param"].startswith(param)) == (400, True), answer


# as part of a request


@each_cell
@both_ways
async def test_turns_of_a_conversation_follow_each_other(
    state: Servers, cell: str, stream: bool
) -> None:
    made = await state.sdk.conversations.create(items=[_user("my name is Bo")])
    first = await ask(
        state.client, cell, answering("one", "answer one"), stream=stream, conversation=made.id
    )
    assert first.conversation.id == made.id
    assert first.previous_response_id is None
    other = "chat" if cell != "chat" else "messages"
    second = await ask(
        state.client, other, answering("two", "answer two"), stream=not stream,
        conversation={"id": made.id},
    )  # fmt: skip
    assert second.conversation.id == made.id
    await state.sdk.conversations.items.create(made.id, items=[_user("by hand")])
    await ask(state.client, cell, "three", stream=stream, conversation=made.id)
    told = "\n".join(text for _, text in words(state.last))
    expected = [
        "my name is Bo", answering("one", "answer one"), "answer one",
        answering("two", "answer two"), "answer two", "by hand", "three",
    ]  # fmt: skip
    assert (
        told.replace("by handthree", "by hand\nthree")
        .replace("my name is Boone", "my name is Bo\none")
        .split("\n")
        == expected
    )
    listed = [
        text
        for item in (await state.sdk.conversations.items.list(made.id, order="asc", limit=100)).data
        if item.type == "message"
        for text in [item.content[0].text]  # type: ignore[union-attr]
    ]
    assert listed[:7] == expected
    again = await state.sdk.responses.retrieve(second.id)
    assert again.conversation is not None
    assert again.conversation.id == made.id


@both_ways
async def test_a_turn_that_is_not_stored_is_part_of_its_conversation(
    state: Servers, stream: bool
) -> None:
    made = await state.sdk.conversations.create()
    turn = await ask(
        state.client, "chat", answering("q", "a"), stream=stream, store=False, conversation=made.id
    )
    await refusal(state.sdk.responses.retrieve(turn.id), 404, "response_id")
    assert await _texts(state, made.id) == [answering("q", "a"), "a"]


@each_cell
async def test_tool_calls_of_a_conversation_get_their_outputs(state: Servers, cell: str) -> None:
    made = await state.sdk.conversations.create()
    first = await ask(
        state.client, cell, "The weather in Oslo", conversation=made.id, tools=[tool()]
    )
    (call,) = [item for item in first.output if item.type == "function_call"]
    await refusal(
        ask(state.client, cell, "never mind", conversation=made.id, tools=[tool()]), 400, "input"
    )
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "4 degrees"}
    second = await ask(state.client, cell, [output], conversation=made.id, tools=[tool()])
    assert "4 degrees" in second.output_text


async def test_items_of_a_conversation_can_be_referred_to(state: Servers) -> None:
    made = await state.sdk.conversations.create(items=[_user("in a conversation")])
    (item,) = (await state.sdk.conversations.items.list(made.id)).data
    await ask(
        state.client,
        "chat",
        [{"type": "item_reference", "id": item.id}],
    )
    assert words(state.last) == [("user", "in a conversation")]


async def test_an_answer_that_failed_adds_nothing_half(state: Servers) -> None:
    made = await state.sdk.conversations.create(items=[_user("first")])
    await refusal(
        ask(state.client, "chat", "[[demo status=400]] x", conversation=made.id), 400, None
    )
    assert await _texts(state, made.id) == ["first"]


@each_cell
async def test_a_call_that_was_cut_does_not_block_its_conversation(
    state: Servers, cell: str
) -> None:
    made = await state.sdk.conversations.create()
    first = await ask(
        state.client, cell, "weather in Oslo [[demo args=cut]]", conversation=made.id,
        tools=[tool()],
    )  # fmt: skip
    assert first.status == "incomplete"
    other = "chat" if cell != "chat" else "messages"
    after = await ask(
        state.client, other, "never mind [[demo calls=0 text=fine]]", conversation=made.id
    )
    assert after.output_text == "fine"


@each_cell
async def test_a_conversation_goes_on_after_a_stream_that_broke(state: Servers, cell: str) -> None:
    made = await state.sdk.conversations.create()
    with pytest.raises(openai.APIError):
        await ask(
            state.client, cell, "first [[demo cut=6 tokens=20 delay=0.02]]", stream=True,
            conversation=made.id,
        )  # fmt: skip
    after = await ask(state.client, "chat", "go on", conversation=made.id)
    assert after.status == "completed"
    assert words(state.last)[-1] == ("user", "go on")


@each_cell
async def test_deleting_a_conversation_leaves_its_responses(state: Servers, cell: str) -> None:
    made = await state.sdk.conversations.create(items=[_user("before")])
    turn = await ask(state.client, cell, answering("q", "a"), conversation=made.id)
    await state.sdk.conversations.delete(made.id)
    again = await state.sdk.responses.retrieve(turn.id)
    assert again.output_text == "a"
    assert [i.id for i in (await state.sdk.responses.input_items.list(turn.id)).data]
    await refusal(
        ask(state.client, cell, "x", conversation=made.id),
        404, "conversation", "conversation_not_found",
    )  # fmt: skip


@both_ways
async def test_a_conversation_and_a_parent_exclude_each_other(state: Servers, stream: bool) -> None:
    made = await state.sdk.conversations.create()
    root = await ask(state.client, "chat", "hello")
    for conversation in (made.id, {"id": made.id}, UNKNOWN_CONVERSATION):
        await refusal(
            ask(
                state.client, "chat", "x", stream=stream, conversation=conversation,
                previous_response_id=root.id,
            ),
            400, "previous_response_id", "mutually_exclusive_parameters",
        )  # fmt: skip


@both_ways
@each_cell
async def test_an_unknown_conversation_is_not_found(
    state: Servers, cell: str, stream: bool
) -> None:
    for conversation in (UNKNOWN_CONVERSATION, "conv_1", {"id": UNKNOWN_CONVERSATION}):
        await refusal(
            ask(state.client, cell, "x", stream=stream, conversation=conversation),
            404, "conversation", "conversation_not_found",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("conversation", "param"),
    [("", "conversation"), ({}, "conversation.id"), ({"id": ""}, "conversation.id"),
     ({"id": 1}, "conversation.id"), (1, "conversation"), ([], "conversation")],
)  # fmt: skip
async def test_what_is_no_conversation_is_refused(
    state: Servers, conversation: Any, param: str
) -> None:
    body = {"model": "chat", "input": "x", "conversation": conversation}
    status, answer = await state.client.raw("POST", "/responses", body)
    assert (status, answer["error"]["param"]) == (400, param)
    assert answer["error"]["code"]
