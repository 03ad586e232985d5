"""A conversation that goes on with another model: answered, and what was left out is said."""

from typing import Any

import anthropic
import openai
import pytest
from tests.support.matrix import CELLS, Matrix, seals
from tests.support.talks import CLIENTS, Said, talk

pytestmark = pytest.mark.asyncio(loop_scope="session")

BAD_REQUEST = (openai.BadRequestError, anthropic.BadRequestError)
PLACES = ("responses", "messages", "gemini", "vertex", "bedrock")
MOVES = [
    (client, source, target)
    for client in CLIENTS
    for source in PLACES
    for target in (*PLACES, "chat")
    if source != target
    and CELLS[source].spoken[client] != "chat"  # which has no reasoning to be moved
]
moves = pytest.mark.parametrize(
    ("client", "source", "target"), MOVES, ids=["-".join(move) for move in MOVES]
)


async def begun(matrix: Matrix, client: str, source: str) -> Any:
    """In the middle of a tool loop: thoughts, two calls, two results."""
    talking = talk(client, matrix.sdks, source, ["get_weather", "get_time"])
    talking.think()
    talking.say("Both the weather in Oslo and the time in Rome, please")
    said: Said = await talking.answer(stream=True)
    assert list(seals(bytes(matrix.seen[-1].answer)))
    talking.give(said, "12 degrees", "noon")
    return talking


@moves
async def test_a_conversation_moves_and_tells_what_it_left_behind(
    matrix: Matrix, client: str, source: str, target: str
) -> None:
    talking = await begun(matrix, client, source)
    history = list(talking.history)
    proofs = list(seals(bytes(matrix.seen[-1].answer)))
    for stream in (False, True):
        talking.model, talking.history = target, list(history)
        said: Said = await talking.answer(stream=stream)
        assert "“12 degrees” and “noon”" in said.text
        if (client, source, target) == ("messages", "messages", "bedrock"):
            # Claude's signatures are good on every platform.
            assert said.losses is None
            assert list(seals(matrix.seen[-1].body)) == proofs
            continue
        assert said.losses is not None
        where = "input" if client == "responses" else "messages"
        dropped = [each for each in said.losses.split(", ") if each.endswith("=dropped")]
        assert any(each.startswith(where) for each in dropped)
        assert not list(seals(matrix.seen[-1].body))
        assert b"ptco1_" not in matrix.seen[-1].body
    if said.losses is None:
        return
    talking.model, talking.history = f"{target}-reject", list(history)
    with pytest.raises(BAD_REQUEST) as refused:
        await talking.answer(stream=True)
    assert "has to be adapted" in refused.value.message
    assert "x-portico-losses" not in matrix.sdks.headers
    talking.model, talking.history = f"{target}-ignore", list(history)
    said = await talking.answer(stream=True)
    assert "“12 degrees” and “noon”" in said.text
    assert said.losses is None


@pytest.mark.parametrize("client", ["responses", "messages"])
async def test_thoughts_without_a_proof_stay_behind_too(matrix: Matrix, client: str) -> None:
    """Also on the diagonal, where a provider would look for a proof and find none."""
    for target in ("responses", "messages", "gemini", "bedrock"):
        talking = talk(client, matrix.sdks, "chat")
        talking.think()
        talking.say("Hello")
        first: Said = await talking.answer(stream=False)
        assert first.thought
        talking.model = target
        talking.say("And again")
        said: Said = await talking.answer(stream=True)
        assert "“And again”" in said.text
        assert said.losses is not None
        assert first.thought.encode() not in matrix.seen[-1].body


@pytest.mark.parametrize("client", CLIENTS)
async def test_it_comes_home_with_its_proofs(matrix: Matrix, client: str) -> None:
    """What another provider said in between does not hurt, and what is home's own is kept."""
    home = "messages" if client != "messages" else "responses"
    talking = await begun(matrix, client, home)
    proofs = list(seals(matrix.seen[-1].answer))
    talking.model = "bedrock"
    await talking.answer(stream=False)
    talking.say("Tell me more")
    talking.model = home
    said: Said = await talking.answer(stream=False)
    assert said.text
    assert list(seals(matrix.seen[-1].body)) == proofs


@pytest.mark.parametrize("client", CLIENTS)
async def test_another_caller_cannot_use_what_was_sealed_for_one(
    matrix: Matrix, client: str
) -> None:
    talking = await begun(matrix, client, "bedrock")
    stranger = matrix.stranger
    moved = talk(client, stranger, "bedrock", talking.tools, **talking.options)
    moved.history = talking.history
    said: Said = await moved.answer(stream=False)
    assert said.losses is not None
    assert not list(seals(matrix.seen[-1].body))
