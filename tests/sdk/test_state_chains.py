"""Chains: what a response continues reaches whoever is asked, in order and word for word."""

import asyncio
import json
from typing import Any

import pytest
from tests.support.matrix import seals
from tests.support.stateful import (
    CELLS,
    NATIVE,
    SPLICED,
    Servers,
    answering,
    ask,
    both_ways,
    each_cell,
    refusal,
    servers,
    told,
    tool,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

TURNS = 22
AWAY = range(8, 14)
"""Turns that another provider answers."""


def _elsewhere(cell: str) -> str:
    return "messages" if cell != "messages" else "chat"


def _said(turn: int) -> str:
    return answering(f'turn {turn} "é\\n\u2028 東京 🏮"', _answer(turn))


def _answer(turn: int) -> str:
    return f"answer {turn}: “ü” <b>&amp;</b> 🏮"


def _talk(turns: int) -> list[tuple[str, str]]:
    return [
        pair
        for turn in range(turns)
        for pair in (("user", _said(turn)), ("assistant", _answer(turn)))
    ]


@each_cell
async def test_a_chain_over_twenty_turns_arrives_word_for_word_whoever_answered(
    state: Servers, cell: str
) -> None:
    parent: str | None = None
    ids = set()
    for turn in range(TURNS):
        asked = _elsewhere(cell) if turn in AWAY else cell
        answer = await ask(
            state.client, asked, _said(turn), stream=turn % 2 == 1, previous_response_id=parent
        )
        assert answer.output_text == _answer(turn)
        assert answer.previous_response_id == parent
        assert answer.store is True
        # Gemini seals even what it did not think about; nobody else can use that.
        assert (cell == "gemini" and turn in AWAY) or state.client.losses is None
        heard = state.last
        native = parent is not None and "previous_response_id" in heard.json
        assert native == (
            cell in ("openai", "azure") and turn > 0 and turn not in (*AWAY, AWAY.stop)
        )
        expected = [*_talk(turn), ("user", _said(turn))]
        assert words(heard) == (expected[-1:] if native else expected)
        parent = answer.id
        ids.add(parent)
    assert len(ids) == TURNS


@both_ways
async def test_where_the_provider_keeps_the_parent_it_gets_the_clients_own_bytes(
    state: Servers, stream: bool
) -> None:
    first = await ask(state.client, NATIVE, "remember the number 7", stream=stream)
    assert state.last.body == state.client.sent
    second = await ask(
        state.client, NATIVE, [{"role": "user", "content": "and 8 é"}], stream=stream,
        previous_response_id=first.id, metadata={"a": "b"},
    )  # fmt: skip
    assert state.last.body == state.client.sent
    assert state.last.json["previous_response_id"] == first.id
    assert second.previous_response_id == first.id


async def test_what_only_the_provider_keeps_is_continued_there_and_nowhere_else(
    state: Servers,
) -> None:
    first = await ask(state.client, "openai-provider", "kept by the provider only")
    for cell in ("chat", "messages", "responses", "azure"):
        await refusal(
            ask(state.client, cell, "x", previous_response_id=first.id),
            400, "previous_response_id", "previous_response_not_found",
        )  # fmt: skip
    for cell in ("openai-provider", "openai"):
        after = await ask(state.client, cell, "goes on", previous_response_id=first.id)
        assert after.previous_response_id == first.id
        assert state.last.json["previous_response_id"] == first.id


@each_cell
@both_ways
async def test_a_parent_may_be_continued_without_anything_new(
    state: Servers, cell: str, stream: bool
) -> None:
    root = await ask(state.client, cell, answering("root", "rooted"))
    events = await state.sdk.responses.create(
        model=_elsewhere(cell), previous_response_id=root.id, stream=stream
    )
    if stream:
        assert [event async for event in events][-1].type == "response.completed"  # type: ignore[union-attr]
    assert words(state.last) == [("user", answering("root", "rooted")), ("assistant", "rooted")]


@each_cell
async def test_who_leaves_a_stream_ends_it_and_nothing_is_stored(state: Servers, cell: str) -> None:
    mark = len(state.heard)
    stream = await state.sdk.responses.create(
        model=cell, input="[[demo tokens=300 delay=0.05]] x", stream=True
    )
    id = ""
    async for event in stream:
        id = event.response.id if event.type == "response.created" else id
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    async with asyncio.timeout(5):
        await state.heard[mark].over.wait()
    assert state.heard[mark].cancelled
    await refusal(state.sdk.responses.retrieve(id), 404, "response_id", "response_not_found")


@each_cell
async def test_instructions_and_tools_are_not_inherited(state: Servers, cell: str) -> None:
    first = await ask(
        state.client, cell, "hello", instructions="INSTRUCTED-ONCE", metadata={"of": "the first"}
    )
    assert b"INSTRUCTED-ONCE" in state.last.body
    second = await ask(state.client, cell, "again", previous_response_id=first.id)
    assert b"INSTRUCTED-ONCE" not in state.last.body
    assert (second.instructions, second.metadata) == (None, {})
    third = await ask(
        state.client, cell, "again", previous_response_id=second.id, instructions="SECOND-ONES"
    )
    assert state.last.body.count(b"SECOND-ONES") == 1
    assert third.instructions == "SECOND-ONES"


@each_cell
async def test_a_chain_of_items_keeps_roles_and_pictures(state: Servers, cell: str) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    shown = [
        {"role": "developer", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": picture, "detail": "auto"},
            ],
        },
    ]
    first = await ask(state.client, cell, shown)
    second = await ask(state.client, cell, "what was it?", previous_response_id=first.id)
    await ask(state.client, _elsewhere(cell), "and now?", previous_response_id=second.id)
    assert b"iVBORw0KGgo=" in state.last.body
    assert b"be brief" in state.last.body
    assert words(state.last) == [
        *[("user", "look"), ("assistant", first.output_text)],
        *[("user", "what was it?"), ("assistant", second.output_text), ("user", "and now?")],
    ] or words(state.last)[1:] == [
        *[("user", "look"), ("assistant", first.output_text)],
        *[("user", "what was it?"), ("assistant", second.output_text), ("user", "and now?")],
    ]


# forks


@each_cell
async def test_two_children_of_one_response_do_not_see_each_other(
    state: Servers, cell: str
) -> None:
    root = await ask(state.client, cell, answering("the root", "rooted"))
    left = await ask(
        state.client, cell, answering("LEFT", "on the left"), previous_response_id=root.id
    )
    right = await ask(
        state.client, cell, answering("RIGHT", "on the right"), previous_response_id=root.id
    )
    for name, child in (("LEFT", left), ("RIGHT", right)):
        await ask(state.client, _elsewhere(cell), "where am I?", previous_response_id=child.id)
        assert words(state.last) == [
            ("user", answering("the root", "rooted")),
            ("assistant", "rooted"),
            ("user", answering(name, f"on the {name.lower()}")),
            ("assistant", f"on the {name.lower()}"),
            ("user", "where am I?"),
        ]


@each_cell
async def test_siblings_made_at_the_same_time_are_all_whole(state: Servers, cell: str) -> None:
    root = await ask(state.client, cell, answering("the root", "rooted"))
    many = 8
    made = await asyncio.gather(*[
        ask(
            state.client, cell if number % 3 else _elsewhere(cell),
            answering(f"child {number}", f"I am {number}"),
            stream=bool(number % 2), previous_response_id=root.id,
        )
        for number in range(many)
    ])  # fmt: skip
    assert len({child.id for child in made}) == many
    for number, child in enumerate(made):
        assert child.output_text == f"I am {number}"
        await ask(state.client, "chat", "who?", previous_response_id=child.id)
        assert words(state.last) == [
            ("user", answering("the root", "rooted")),
            ("assistant", "rooted"),
            ("user", answering(f"child {number}", f"I am {number}")),
            ("assistant", f"I am {number}"),
            ("user", "who?"),
        ]


# answers that ended early


@each_cell
@both_ways
async def test_an_answer_cut_by_its_length_is_continued_with_what_there_is(
    state: Servers, cell: str, stream: bool
) -> None:
    first = await ask(
        state.client, cell, "[[demo finish=length text=so far so good]] go", stream=stream
    )
    assert first.status == "incomplete"
    assert (await state.sdk.responses.retrieve(first.id)).status == "incomplete"
    await ask(state.client, _elsewhere(cell), "go on", previous_response_id=first.id)
    assert words(state.last)[1] == ("assistant", first.output_text)
    assert words(state.last)[2] == ("user", "go on")


@pytest.mark.parametrize("how", ["cut=6", "error=6", "fin=6"])
@each_cell
async def test_a_stream_that_broke_is_stored_as_failed_and_can_be_asked_again(
    state: Servers, cell: str, how: str
) -> None:
    stream = await state.sdk.responses.create(
        model=cell, input=f"[[demo {how} tokens=30 delay=0.02]] x", stream=True
    )
    events = await told(stream)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    kept = await state.sdk.responses.retrieve(events[0]["response"]["id"])
    assert kept.status == "failed"
    assert kept.error is not None
    after = await ask(state.client, "chat", "still there?", previous_response_id=kept.id)
    assert after.status == "completed"
    assert words(state.last)[-1] == ("user", "still there?")


# reasoning


def _reasons() -> dict[str, Any]:
    return {
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }


SEALING = ("responses", "openai", "messages", "gemini", "bedrock", "azure")


def _seals(answer: bytes) -> list[str]:
    return list(seals(answer))


@pytest.mark.parametrize("cell", SEALING)
@both_ways
async def test_sealed_reasoning_goes_back_to_its_origin_byte_for_byte(
    state: Servers, cell: str, stream: bool
) -> None:
    first = await ask(
        state.client, cell, "[[demo plan=think+text]] why?", stream=stream, **_reasons()
    )
    made = state.last
    found = _seals(bytes(made.answer))
    assert found, "the demo provider sealed nothing"
    unsealed = "input[1]=dropped, reasoning.effort=adapted" if cell == "gemini" else None
    second = await ask(
        state.client, cell, "[[demo plan=think+text]] and?", previous_response_id=first.id,
        **_reasons(),
    )  # fmt: skip
    assert state.client.losses == unsealed
    if cell not in ("openai", "azure"):
        assert all(each.encode() in state.last.body for each in found)
    found += _seals(bytes(state.last.answer))
    third = await ask(state.client, cell, "so?", previous_response_id=second.id, **_reasons())
    assert (state.client.losses is None) == (unsealed is None)
    if cell not in ("openai", "azure"):
        assert all(each.encode() in state.last.body for each in found)
    assert third.status == "completed"


@pytest.mark.parametrize("cell", SEALING)
async def test_a_chain_that_moves_on_leaves_sealed_reasoning_behind_and_says_so(
    state: Servers, cell: str
) -> None:
    first = await ask(state.client, cell, "[[demo plan=think+text]] why?", **_reasons())
    found = _seals(bytes(state.last.answer))
    elsewhere = _elsewhere(cell)
    second = await ask(state.client, elsewhere, "and?", previous_response_id=first.id)
    assert second.status == "completed"
    assert not any(each.encode() in state.last.body for each in found)
    assert words(state.last)[1] == ("assistant", first.output_text)
    assert state.client.losses is not None
    assert "input[1]" in state.client.losses
    # ... and it is there again at home
    await ask(state.client, cell, "back?", previous_response_id=second.id, **_reasons())
    if cell in SPLICED:
        assert "previous_response_id" not in state.last.json
    assert all(each.encode() in state.last.body for each in found)


@pytest.mark.parametrize("cell", [name for name in CELLS if name != "chat"])
async def test_sealed_reasoning_stays_with_the_call_it_led_to(state: Servers, cell: str) -> None:
    first = await ask(
        state.client, cell, "[[demo think=on]] weather in Oslo", tools=[tool()],
        **_reasons(),
    )  # fmt: skip
    found = _seals(bytes(state.last.answer))
    assert found
    call = next(item for item in first.output if item.type == "function_call")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "4 degrees"}
    second = await ask(
        state.client, cell, [output], previous_response_id=first.id, tools=[tool()], **_reasons()
    )
    assert "4 degrees" in second.output_text
    assert (state.client.losses is None) == (cell != "gemini")  # its thoughts are not sealed
    if cell not in ("openai", "azure"):
        assert all(each.encode() in state.last.body for each in found)
    else:
        assert json.loads(state.last.body)["previous_response_id"] == first.id
