"""Items that a request only names, and tool calls whose outputs come in a later request."""

import json
from typing import Any

import pytest
from tests.support.matrix import seals
from tests.support.stateful import (
    SPLICED,
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

TYPES: dict[str, Any] = {"typed": {"type": "item_reference"}, "id-only": {}, "null": {"type": None}}
typed = pytest.mark.parametrize("typed", TYPES)


def _reference(id: str, *, typed: str = "typed") -> dict[str, Any]:
    return {**TYPES[typed], "id": id}


@each_cell
@both_ways
@typed
async def test_a_reference_stands_for_an_item_of_an_output(
    state: Servers, cell: str, stream: bool, typed: str
) -> None:
    made = await ask(state.client, cell, answering("say it", "what was said"), stream=stream)
    (item,) = [each for each in made.output if each.type == "message"]
    for asked in {cell, "messages", "chat"}:
        await ask(
            state.client, asked,
            [{"role": "user", "content": "before"}, _reference(item.id, typed=typed),
             {"role": "user", "content": "after"}],
            stream=stream,
        )  # fmt: skip
        assert words(state.last) == [
            ("user", "before"), ("assistant", "what was said"), ("user", "after"),
        ]  # fmt: skip
        assert b"item_reference" not in state.last.body


@each_cell
@typed
async def test_a_reference_stands_for_an_item_of_an_input(
    state: Servers, cell: str, typed: str
) -> None:
    made = await ask(state.client, cell, "the original words")
    (listed,) = (await state.sdk.responses.input_items.list(made.id)).data
    given = [_reference(str(listed.id), typed=typed), {"role": "assistant", "content": "a"}]
    await ask(state.client, cell, [*given, {"role": "user", "content": "end"}])
    assert words(state.last) == [
        ("user", "the original words"), ("assistant", "a"), ("user", "end"),
    ]  # fmt: skip


@each_cell
@typed
async def test_a_reference_stands_for_an_item_with_an_id_of_the_clients_own(
    state: Servers, cell: str, typed: str
) -> None:
    own = f"msg_own-{cell}-{typed}"
    await ask(state.client, cell, [{"role": "user", "content": "with an id", "id": own}])
    given = [_reference(own, typed=typed), {"role": "assistant", "content": "a"}]
    await ask(state.client, cell, [*given, {"role": "user", "content": "end"}])
    assert words(state.last)[0] == ("user", "with an id")


@each_cell
@typed
async def test_a_reference_stands_for_reasoning_with_its_seal(
    state: Servers, cell: str, typed: str
) -> None:
    if cell == "chat":
        pytest.skip("nothing is sealed here")
    made = await ask(
        state.client, cell, "[[demo plan=think+text]] why?",
        reasoning={"effort": "medium", "summary": "auto"},
        include=["reasoning.encrypted_content"],
    )  # fmt: skip
    found = list(seals(bytes(state.last.answer)))
    references = [_reference(item.id, typed=typed) for item in made.output]
    await ask(
        state.client, cell,
        [{"role": "user", "content": "why?"}, *references, {"role": "user", "content": "and?"}],
        reasoning={"effort": "medium", "summary": "auto"},
    )  # fmt: skip
    assert found
    assert all(each.encode() in state.last.body for each in found)
    assert words(state.last)[1] == ("assistant", made.output_text)


@each_cell
async def test_a_reference_works_beside_a_parent(state: Servers, cell: str) -> None:
    apart = await ask(state.client, cell, answering("apart", "from elsewhere"))
    root = await ask(state.client, cell, answering("root", "rooted"))
    await ask(
        state.client, "chat",
        [{"role": "user", "content": "elsewhere?"}, _reference(apart.output[0].id),
         {"role": "user", "content": "both?"}],
        previous_response_id=root.id,
    )  # fmt: skip
    assert words(state.last) == [
        ("user", answering("root", "rooted")), ("assistant", "rooted"),
        ("user", "elsewhere?"), ("assistant", "from elsewhere"), ("user", "both?"),
    ]  # fmt: skip


@each_cell
async def test_what_was_referred_to_stays_when_its_owner_is_deleted(
    state: Servers, cell: str
) -> None:
    made = await ask(state.client, cell, answering("say", "kept words"))
    child = await ask(
        state.client, cell,
        [_reference(made.output[0].id), {"role": "user", "content": "x"}],
    )  # fmt: skip
    await state.sdk.responses.delete(made.id)
    await ask(state.client, "chat", "again", previous_response_id=child.id)
    assert words(state.last)[0] == ("assistant", "kept words")


@both_ways
@typed
async def test_an_unknown_reference_is_not_found(state: Servers, stream: bool, typed: str) -> None:
    unstored = await ask(state.client, "chat", "hello", store=False)
    foreign = await ask(state.other, "chat", "hello")
    ids = [
        "msg_nobody", f"msg_{'0' * 32}0000", f"rs_ptco1_{'0' * 32}0000",
        unstored.output[0].id, foreign.output[0].id,
    ]  # fmt: skip
    for cell in ("chat", "openai"):
        for id in ids:
            before = len(state.heard)
            error = await refusal(
                ask(
                    state.client, cell,
                    [_reference(id, typed=typed), {"role": "user", "content": "x"}],
                    stream=stream,
                ),
                404, "input", "item_not_found",
            )  # fmt: skip
            assert id in error.message
            assert len(state.heard) == before


# tools


def _output(call: Any, text: str) -> dict[str, str]:
    return {"type": "function_call_output", "call_id": call.call_id, "output": text}


@each_cell
@both_ways
async def test_a_tool_loop_needs_no_more_than_the_output(
    state: Servers, cell: str, stream: bool
) -> None:
    first = await ask(
        state.client, cell, "weather in Oslo and Rome [[demo calls=2]]", stream=stream,
        tools=[tool()],
    )  # fmt: skip
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 2
    given = [_output(calls[0], "4 degrees"), _output(calls[1], "20 degrees")]
    second = await ask(
        state.client, cell, given, stream=stream, tools=[tool()], previous_response_id=first.id
    )
    assert "4 degrees" in json.dumps(state.last.json)
    assert [item.type for item in second.output].count("function_call") in (0, 2)
    third = await ask(
        state.client, "chat", [_output(call, "9") for call in second.output
                               if call.type == "function_call"]
        + [{"role": "user", "content": "[[demo calls=0]] thanks"}],
        tools=[tool()], previous_response_id=second.id,
    )  # fmt: skip
    assert third.status == "completed"
    turns = state.last.json["messages"]
    ids = [call["id"] for turn in turns for call in turn.get("tool_calls") or ()]
    answered = [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"]
    assert sorted(ids) == sorted(answered)
    assert len(ids) >= 2


@each_cell
async def test_a_call_moves_to_another_provider_with_its_output(state: Servers, cell: str) -> None:
    first = await ask(state.client, cell, "The weather in Oslo", tools=[tool()])
    (call,) = [item for item in first.output if item.type == "function_call"]
    other = "messages" if cell != "messages" else "gemini"
    second = await ask(
        state.client, other, [_output(call, "4 degrees")], tools=[tool()],
        previous_response_id=first.id,
    )  # fmt: skip
    assert "4 degrees" in second.output_text
    third = await ask(state.client, cell, "and tomorrow?", previous_response_id=second.id)
    assert third.status == "completed"
    assert b"4 degrees" in state.last.body


@each_cell
@both_ways
async def test_an_output_for_an_unknown_call_is_refused(
    state: Servers, cell: str, stream: bool
) -> None:
    root = await ask(state.client, cell, "hello")
    output = {"type": "function_call_output", "call_id": "call_nobody", "output": "4"}
    answer = ask(
        state.client, cell, [output], stream=stream, tools=[tool()], previous_response_id=root.id
    )
    error = await refusal(answer, 400, "input")
    assert "call_nobody" in error.message


@each_cell
@both_ways
async def test_a_call_without_its_output_is_refused(
    state: Servers, cell: str, stream: bool
) -> None:
    root = await ask(state.client, cell, "The weather in Oslo", tools=[tool()])
    (call,) = [item for item in root.output if item.type == "function_call"]
    answer = ask(
        state.client, cell, "never mind", stream=stream, tools=[tool()],
        previous_response_id=root.id,
    )  # fmt: skip
    error = await refusal(answer, 400, "input")
    assert call.call_id in error.message


@each_cell
async def test_a_refused_output_leaves_the_chain_as_it_was(state: Servers, cell: str) -> None:
    root = await ask(state.client, cell, "The weather in Oslo", tools=[tool()])
    (call,) = [item for item in root.output if item.type == "function_call"]
    wrong = {"type": "function_call_output", "call_id": "call_nobody", "output": "4"}
    await refusal(
        ask(state.client, cell, [wrong], tools=[tool()], previous_response_id=root.id),
        400, "input",
    )  # fmt: skip
    good = await ask(
        state.client, cell, [_output(call, "5 degrees")], tools=[tool()],
        previous_response_id=root.id,
    )  # fmt: skip
    assert "5 degrees" in good.output_text


@pytest.mark.parametrize("cell", SPLICED)
async def test_an_expanded_chain_holds_no_reasoning_that_the_provider_did_not_make(
    state: Servers, cell: str
) -> None:
    first = await ask(
        state.client, "messages", "[[demo plan=think+text]] hello", reasoning={"effort": "medium"}
    )
    assert first.output[0].type == "reasoning"
    await ask(state.client, cell, "and now", previous_response_id=first.id)
    assert first.output[0].id.encode() not in state.last.body
    assert first.id.encode() not in state.last.body
    assert words(state.last)[1] == ("assistant", first.output_text)
