"""Compaction, truncation and counting through the official SDK, on every upstream."""

from typing import Any

import pytest
from tests.support.matrix import CELLS, Cell, Matrix
from tests.support.talks import CITY

pytestmark = pytest.mark.asyncio(loop_scope="session")

every = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())


def _over(*, spliced: bool) -> Any:
    cells = [cell for cell in CELLS.values() if cell.spliced("responses") == spliced]
    return pytest.mark.parametrize("cell", cells, ids=[cell.name for cell in cells])


translated, spliced = _over(spliced=False), _over(spliced=True)
TOOLS: Any = [{"type": "function", "name": "look", "parameters": CITY, "strict": False}]
HISTORY: Any = [
    {"role": "user", "content": "Where is the caravan? " + "sand " * 900},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"city":"Tunis"}'},
    {"type": "function_call", "call_id": "c2", "name": "look", "arguments": '{"city":"Sfax"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "not here"},
    {"type": "function_call_output", "call_id": "c2", "output": "here"},
    {"role": "assistant", "content": "It is in Sfax."},
]
NEXT: Any = {"role": "user", "content": "[[demo echo=body]] And tomorrow?"}


async def compacted(matrix: Matrix, cell: Cell) -> list[Any]:
    """What `compact` gives for the history, as it is to be sent again."""
    folded = await matrix.sdks.openai.responses.compact(
        model=cell.name, input=HISTORY, instructions="Be brief."
    )
    assert folded.object == "response.compaction"
    assert [item.type for item in folded.output] == ["message", "compaction"]
    assert folded.usage.total_tokens > 0
    return [item.to_dict(warnings=False) for item in folded.output]


async def goes_on(matrix: Matrix, name: str, output: list[Any]) -> None:
    answer = await matrix.sdks.openai.responses.create(
        model=name, input=[*output, NEXT], store=False
    )
    assert answer.status == "completed"
    assert "Summary of the conversation so far" in answer.output_text, name
    assert "ptco1_" not in matrix.seen[-1].body.decode()
    assert "x-portico-losses" not in matrix.sdks.headers


@every
async def test_a_compacted_conversation_goes_on_at_every_translated_provider(
    matrix: Matrix, cell: Cell
) -> None:
    output = await compacted(matrix, cell)
    for other in CELLS.values():
        if not other.spliced("responses"):
            await goes_on(matrix, other.name, output)


@spliced
async def test_a_compacted_conversation_goes_on_where_the_request_is_spliced(
    matrix: Matrix, cell: Cell
) -> None:
    await goes_on(matrix, cell.name, await compacted(matrix, CELLS["gemini"]))
    assert matrix.lane == "splice"


@translated
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_compaction_while_a_response_is_made(
    matrix: Matrix, cell: Cell, stream: bool
) -> None:
    responses = matrix.sdks.openai.responses
    asked: Any = {
        "model": cell.name,
        "input": [*HISTORY, {"role": "user", "content": "And tomorrow?"}],
        "tools": TOOLS,
        "tool_choice": "none",
        "store": False,
        "context_management": [{"type": "compaction", "compact_threshold": 1000}],
    }
    if stream:
        events = [event async for event in await responses.create(**asked, stream=True)]
        last: Any = events[-1]
        answer = last.response
    else:
        answer = await responses.create(**asked)
    assert [item.type for item in answer.output][:2] == ["compaction", "message"]
    assert matrix.gateway.outcomes[-1].usage.input_total == answer.usage.input_tokens  # type: ignore[union-attr]
    new: Any = [*answer.to_dict()["output"], NEXT]
    again = await responses.create(model=cell.name, input=new, store=False)
    assert "And tomorrow?" in again.output_text


@translated
async def test_the_chain_goes_on_from_the_compaction(matrix: Matrix, cell: Cell) -> None:
    responses = matrix.sdks.openai.responses
    managed: Any = [{"type": "compaction", "compact_threshold": 1000}]
    first = await responses.create(model=cell.name, input=HISTORY)
    second = await responses.create(
        model=cell.name,
        input="And tomorrow?",
        previous_response_id=first.id,
        extra_body={"context_management": managed},
    )
    assert second.output[0].type == "compaction"
    third = await responses.create(model=cell.name, input=[NEXT], previous_response_id=second.id)
    assert "Summary of the conversation so far" in third.output_text
    assert "sand sand" not in third.output_text


@every
async def test_input_tokens_are_counted_or_estimated(matrix: Matrix, cell: Cell) -> None:
    count = matrix.sdks.openai.responses.input_tokens.count
    full = await count(model=cell.name, input=HISTORY, tools=TOOLS, instructions="Be brief.")
    less = await count(model=cell.name, input="Hi")
    assert full.object == "response.input_tokens"
    assert full.input_tokens > 500
    assert 0 < less.input_tokens < 50
