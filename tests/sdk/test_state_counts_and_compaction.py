"""Counting what a request would have as input, and folding a conversation into less of it."""

from typing import Any

import pytest
from tests.support.stateful import (
    CELLS,
    SPLICED,
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


def _elsewhere(cell: str) -> str:
    return "messages" if cell != "messages" else "chat"


# counting


@each_cell
async def test_a_count_is_of_all_that_would_be_sent(state: Servers, cell: str) -> None:
    count = state.sdk.responses.input_tokens.count
    short = await count(model=cell, input="hello")
    assert short.object == "response.input_tokens"
    longer = await count(
        model=cell, input="hello " * 100, instructions="be brief " * 50, tools=[tool()]
    )
    assert longer.input_tokens > short.input_tokens > 0
    root = await ask(state.client, cell, answering("word " * 400, "rooted"))
    chained = await count(model=cell, input="hello", previous_response_id=root.id)
    if cell == "openai":  # that provider counts what it keeps
        assert state.last.path == "/v1/responses/input_tokens"
        assert state.last.json["previous_response_id"] == root.id
    else:
        assert chained.input_tokens > 400


@each_cell
async def test_a_count_of_a_conversation_has_its_items(state: Servers, cell: str) -> None:
    made = await state.sdk.conversations.create(items=[{"role": "user", "content": "word " * 400}])
    count = state.sdk.responses.input_tokens.count
    for conversation in (made.id, {"id": made.id}):
        found = await count(model=cell, input="hello", conversation=conversation)  # type: ignore[arg-type]
        assert found.input_tokens > 400
    assert len((await state.sdk.conversations.items.list(made.id)).data) == 1


@each_cell
async def test_counting_stores_nothing_and_generates_nothing(state: Servers, cell: str) -> None:
    root = await ask(state.client, cell, "hello")
    mark = len(state.heard)
    await state.sdk.responses.input_tokens.count(
        model=cell, input="x", previous_response_id=root.id
    )
    paths = [heard.path for heard in state.heard[mark:]]
    assert not any(path.endswith(("/responses", "/completions", "/messages")) for path in paths)
    assert not any("enerateContent" in path or "converse" in path for path in paths)


async def test_counting_from_an_unknown_parent_is_refused(state: Servers) -> None:
    for cell in CELLS:
        await refusal(
            state.sdk.responses.input_tokens.count(
                model=cell, input="x", previous_response_id=UNKNOWN_RESPONSE
            ),
            400, "previous_response_id", "previous_response_not_found",
        )  # fmt: skip


# compacting


def _talk() -> list[Any]:
    return [
        {"role": "user", "content": "my name is Bo"},
        {"role": "assistant", "content": "hello Bo"},
        {"role": "user", "content": "I live in Oslo"},
    ]


@each_cell
async def test_a_compacted_conversation_is_the_users_words_and_a_summary(
    state: Servers, cell: str
) -> None:
    made = await state.sdk.responses.compact(model=cell, input=_talk())
    assert made.object == "response.compaction"
    assert made.id.startswith("resp_")
    kinds = [item.type for item in made.output]
    assert kinds[-1] == "compaction"
    assert set(kinds[:-1]) == {"message"}
    assert all(item.id for item in made.output)
    assert made.usage.total_tokens > 0
    said = "".join(str(item.to_dict(warnings=False)) for item in made.output[:-1])
    assert "my name is Bo" in said
    assert "I live in Oslo" in said
    assert "hello Bo" not in said


@each_cell
@both_ways
async def test_what_was_compacted_is_replayed_as_it_is_to_any_provider(
    state: Servers, cell: str, stream: bool
) -> None:
    made = await state.sdk.responses.compact(model=cell, input=_talk())
    replayed: list[Any] = [item.to_dict(warnings=False) for item in made.output]
    for asked in (cell, _elsewhere(cell), "responses", "openai", "gemini"):
        answer = await ask(
            state.client, asked, [*replayed, {"role": "user", "content": "who am I?"}],
            stream=stream,
        )  # fmt: skip
        assert answer.status == "completed"
        told = "\n".join(text for _, text in words(state.last))
        assert "my name is Bo" in told
        assert told.endswith("who am I?")
        if not (cell == asked and cell in SPLICED):
            assert b"ptco1_" not in state.last.body
        after = await ask(
            state.client, _elsewhere(asked), "and then?", previous_response_id=answer.id
        )
        assert after.status == "completed"
        told = "\n".join(text for _, text in words(state.last))
        assert "my name is Bo" in told
        assert told.endswith("and then?")


@each_cell
async def test_a_chain_can_be_compacted_by_its_end(state: Servers, cell: str) -> None:
    root = await ask(state.client, cell, answering("FIRST-WORDS", "one"))
    child = await ask(
        state.client, _elsewhere(cell), answering("SECOND-WORDS", "two"),
        previous_response_id=root.id,
    )  # fmt: skip
    made = await state.sdk.responses.compact(model=cell, previous_response_id=child.id)
    assert made.output[-1].type == "compaction"
    said = "".join(str(item.to_dict(warnings=False)) for item in made.output[:-1])
    assert "FIRST-WORDS" in said
    assert "SECOND-WORDS" in said
    # the chain itself is as it was
    await ask(state.client, "chat", "go on", previous_response_id=child.id)
    assert words(state.last)[1] == ("assistant", "one")


async def test_compacting_is_refused_without_anything_to_compact(state: Servers) -> None:
    for cell in CELLS:
        status, answer = await state.client.raw("POST", "/responses/compact", {"model": cell})
        assert (status, answer["error"]["param"]) == (400, "input")
        status, answer = await state.client.raw("POST", "/responses/compact", {"input": "x"})
        assert (status, answer["error"]["param"]) == (400, "model")
        await refusal(
            state.sdk.responses.compact(model=cell, previous_response_id=UNKNOWN_RESPONSE),
            400, "previous_response_id", "previous_response_not_found",
        )  # fmt: skip


async def test_what_was_compacted_is_not_a_stored_response(state: Servers) -> None:
    made = await state.sdk.responses.compact(model="chat", input=_talk())
    await refusal(state.sdk.responses.retrieve(made.id), 404, "response_id")
