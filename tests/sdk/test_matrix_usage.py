"""Tokens: each vendor counts in its own way, every client is told in the way of its dialect."""

import pytest
from tests.support.matrix import CELLS, Cell, Matrix, both_ways, every_cell
from tests.support.talks import CITY, Said, talk

from portico.model.usage import Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLAIN = "[[demo tokens=040 cached=000 written=00]] Count"
CACHED = "[[demo tokens=040 cached=100 written=30]] Count"
"""As long as the other: the prompts cost the same."""


async def counted(matrix: Matrix, client: str, cell: Cell, text: str, stream: bool) -> Usage:
    talking = talk(client, matrix.sdks, cell.name)
    talking.say(text)
    said: Said = await talking.answer(stream=stream)
    assert said.usage is not None
    assert matrix.gateway.outcomes[-1].usage == said.usage  # the record and the client agree
    return said.usage


@every_cell
@both_ways
async def test_no_token_is_counted_twice(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    plain = await counted(matrix, client, cell, PLAIN, stream)
    cached = await counted(matrix, client, cell, CACHED, stream)
    assert (plain.cache_read, plain.cache_write) == (0, 0)
    # Google has no word for what was written: it is input like any other.
    told = cell.spoken[client] != "gemini"
    assert cached == Usage(
        input_uncached=plain.input_uncached + (0 if told else 30),
        cache_read=100,
        cache_write=30 if told else 0,
        output_text=40,
        reasoning=0,
    )
    assert plain.output_total == 40


@every_cell
@both_ways
async def test_thinking_is_part_of_the_output_once(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    thought = await counted(matrix, client, cell, "[[demo think=on tokens=40]] Count", stream)
    # Bedrock does not say how much of the output was thought.
    if cell.spoken[client] == "converse":
        assert thought.reasoning == 0
        assert thought.output_text > 40
    else:
        assert thought.reasoning > 5
        assert thought.output_text == 40


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
async def test_tokens_are_counted_where_the_provider_can_and_estimated_elsewhere(
    matrix: Matrix, cell: Cell
) -> None:
    asked = {
        "model": cell.name,
        "messages": [{"role": "user", "content": "Count me"}],
        "system": "Be brief.",
        "tools": [{"name": "get_weather", "input_schema": CITY}],
    }
    counted = await matrix.sdks.anthropic.messages.count_tokens(**asked)
    losses = matrix.sdks.headers.get("x-portico-losses")
    if cell.name in ("responses", "chat", "messages", "azure", "azure-dated"):
        assert losses == "input_tokens=adapted"  # custom providers and Azure have no counter
        assert 10 < counted.input_tokens < 200
        return
    answer = await matrix.sdks.anthropic.messages.create(max_tokens=64, **asked)
    assert losses is None
    assert counted.input_tokens == answer.usage.input_tokens
