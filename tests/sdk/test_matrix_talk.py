"""Every client dialect against every upstream dialect: plain answers, tool loops, reasoning."""

import json
from typing import Any

import anthropic
import openai
import pytest
from tests.support.matrix import Cell, Matrix, both_ways, every_cell, seals
from tests.support.talks import Said, Talk, talk

pytestmark = pytest.mark.asyncio(loop_scope="session")

DONE = {"responses": "completed", "chat": "stop", "messages": "end_turn"}
CALLS = {"responses": "completed", "chat": "tool_calls", "messages": "tool_use"}
SHORT = {"responses": "incomplete", "chat": "length", "messages": "max_tokens"}


@every_cell
@both_ways
async def test_an_answer_arrives_with_usage(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    talking = talk(client, matrix.sdks, cell.name)
    talking.say("Hello there")
    said: Said = await talking.answer(stream=stream)
    assert "You said: “Hello there”" in said.text
    assert said.finish == DONE[client]
    assert said.usage is not None
    assert said.usage.input_total > 0
    assert said.usage.output_text > 20
    assert said.losses is None
    assert matrix.lane == ("splice" if cell.spliced(client) else "translate")
    assert said.raw.model == cell.model


@every_cell
@both_ways
async def test_a_tool_loop_with_reasoning_gives_every_proof_back(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    talking = talk(client, matrix.sdks, cell.name, ["get_weather", "get_time"])
    talking.think()
    talking.say("Both the weather in Oslo and the time in Rome, please")
    first: Said = await talking.answer(stream=stream)
    assert [(call.name, call.arguments) for call in first.calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_time", {"city": "Rome"}),
    ]
    assert first.finish == CALLS[client]
    assert len({call.id for call in first.calls}) == 2
    if not _hides(client, cell):
        assert first.thought.startswith("Tools are on offer.")
    proofs = list(seals(bytes(matrix.seen[-1].answer)))
    assert bool(proofs) == _proves(client, cell)
    talking.give(first, "12 degrees", "noon")
    second: Said = await talking.answer(stream=stream)
    assert "“12 degrees” and “noon”" in second.text
    assert second.finish == DONE[client]
    assert list(seals(matrix.seen[-1].body)) == proofs


@every_cell
@both_ways
async def test_interleaved_thinking_keeps_its_order_over_three_turns(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    proofs: list[str] = []
    talking = talk(client, matrix.sdks, cell.name, ["get_weather"])
    talking.think()
    talking.say("[[demo plan=think+call+think+call]] The weather in Oslo and Rome")
    for _ in range(2):
        said: Said = await talking.answer(stream=stream)
        assert len(said.calls) == 2
        proofs += seals(bytes(matrix.seen[-1].answer))
        talking.give(said, "12 degrees", "18 degrees")
    talking.say("[[demo plan=hidden+text]] So which is warmer?")
    await talking.answer(stream=stream)
    sent = list(seals(matrix.seen[-1].body))
    assert sent == proofs
    proofs += seals(bytes(matrix.seen[-1].answer))
    talking.say("Thank you")
    await talking.answer(stream=stream)
    assert list(seals(matrix.seen[-1].body)) == proofs


def _proves(client: str, cell: Cell) -> bool:
    return cell.spoken[client] != "chat"


def _hides(client: str, cell: Cell) -> bool:
    """Chat has no way to ask for thoughts to be shown, and Google shows them only when asked."""
    return client == "chat" and cell.spoken[client] == "gemini"


@every_cell
@both_ways
async def test_an_answer_that_ran_out_of_tokens_says_so(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    limit: dict[str, Any] = {
        "responses": {"max_output_tokens": 20},
        "chat": {"max_completion_tokens": 20},
        "messages": {"max_tokens": 20},
    }[client]
    talking = talk(client, matrix.sdks, cell.name, **limit)
    talking.say("[[demo tokens=50]] Go on")
    if stream and client == "chat":
        with pytest.raises(Exception, match="length limit"):
            await talking.answer(stream=True)
        return
    said: Said = await talking.answer(stream=stream)
    assert said.finish == SHORT[client]
    assert said.usage is not None
    assert said.usage.output_total == 20


ENDS: dict[str, dict[str, set[str]]] = {
    "length": {
        "responses": {"incomplete max_output_tokens"},
        "chat": {"length"},
        "messages": {"max_tokens"},
    },
    "context": {
        "responses": {"incomplete max_output_tokens"},
        "chat": {"length"},
        "messages": {"max_tokens", "model_context_window_exceeded"},
    },
    "content_filter": {  # Anthropic's filter is a refusal: the words before it, then one part of it
        "responses": {"incomplete content_filter", "completed"},
        "chat": {"content_filter", "stop"},
        "messages": {"refusal"},
    },
    "refusal": {
        "responses": {"incomplete content_filter", "completed"},
        "chat": {"content_filter", "stop"},
        "messages": {"refusal"},
    },
    "blocked": {
        "responses": {"incomplete content_filter", "completed", "400"},
        "chat": {"content_filter", "stop", "400"},
        "messages": {"refusal", "400"},
    },
}


async def ended(talking: Talk, stream: bool) -> str:
    """How an answer ended, in one word or two."""
    try:
        said = await talking.answer(stream=stream)
    except openai.LengthFinishReasonError:  # the helper's way to say it
        return "length"
    except openai.ContentFilterFinishReasonError:
        return "content_filter"
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return str(error.status_code)
    details = getattr(said.raw, "incomplete_details", None)
    return f"{said.finish} {details.reason}" if details else said.finish


@every_cell
@pytest.mark.parametrize("finish", ENDS)
async def test_how_an_answer_ended_is_the_same_streamed_or_not(
    matrix: Matrix, client: str, cell: Cell, finish: str
) -> None:
    found = []
    for stream in (False, True):
        talking = talk(client, matrix.sdks, cell.name)
        talking.say(f"[[demo finish={finish} tokens=5]] Hello")
        found.append(await ended(talking, stream))
    assert found[0] == found[1]
    assert found[0] in ENDS[finish][client]


@every_cell
async def test_results_may_come_in_any_order(matrix: Matrix, client: str, cell: Cell) -> None:
    """Vertex pairs results with calls by their order; everyone else by id."""
    talking = talk(client, matrix.sdks, cell.name, ["get_weather", "get_time"])
    talking.say("Both the weather in Oslo and the time in Rome, please")
    first: Said = await talking.answer(stream=True)
    talking.give(first, "12 degrees", "noon")
    if client == "messages":
        talking.history[-1]["content"].reverse()
    else:
        talking.history[-2:] = talking.history[:-3:-1]
    second: Said = await talking.answer(stream=True)
    assert "“12 degrees”" in second.text
    assert "“noon”" in second.text
    body = json.loads(matrix.seen[-1].body)
    if "contents" in body:
        names = [part["functionResponse"]["name"] for part in body["contents"][-1]["parts"]]
        assert names == ["get_weather", "get_time"]
