"""Structured output, pictures and papers on every cell."""

import json
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel, Field
from tests.support.matrix import CELLS, Cell, Matrix, both_ways, every_cell, over
from tests.support.talks import PNG, Said, talk

pytestmark = pytest.mark.asyncio(loop_scope="session")

BAD_REQUEST = (openai.BadRequestError, anthropic.BadRequestError)
ASKED = "A city, in Lyon"


class Place(BaseModel):
    city: str
    population: int = Field(ge=1)
    twin: str | None


@every_cell
@both_ways
async def test_an_answer_is_parsed_into_the_model(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    said: list[Any] = [{"role": "user", "content": ASKED}]
    gpt, claude = matrix.sdks.openai, matrix.sdks.anthropic
    parsed: Any
    if client == "responses":
        asked: Any = {"model": cell.name, "input": said, "text_format": Place, "store": False}
        if stream:
            async with gpt.responses.stream(**asked) as events:
                parsed = (await events.get_final_response()).output_parsed
        else:
            parsed = (await gpt.responses.parse(**asked)).output_parsed
    elif client == "chat":
        asked = {"model": cell.name, "messages": said, "response_format": Place}
        if stream:
            async with gpt.chat.completions.stream(**asked) as chunks:
                parsed = (await chunks.get_final_completion()).choices[0].message.parsed
        else:
            parsed = (await gpt.chat.completions.parse(**asked)).choices[0].message.parsed
    else:
        asked = {"model": cell.name, "messages": said, "output_format": Place, "max_tokens": 999}
        if stream:
            async with claude.messages.stream(**asked) as frames:
                parsed = (await frames.get_final_message()).parsed_output
        else:
            parsed = (await claude.messages.parse(**asked)).parsed_output
    assert isinstance(parsed, Place)
    assert parsed.city == "Lyon"
    assert parsed.population == 1


@over("responses", "chat")
async def test_any_object_will_do(matrix: Matrix, client: str, cell: Cell) -> None:
    any_object: dict[str, Any] = {"type": "json_object"}
    options: dict[str, Any] = (
        {"text": {"format": any_object}} if client == "responses" else
        {"response_format": any_object}
    )  # fmt: skip
    for stream in (False, True):
        talking = talk(client, matrix.sdks, cell.name, **options)
        talking.say("Answer in JSON")
        said: Said = await talking.answer(stream=stream)
        assert isinstance(json.loads(said.text), dict)
        assert said.calls == []


@every_cell
async def test_structured_output_beside_tools(matrix: Matrix, client: str, cell: Cell) -> None:
    talking = talk(client, matrix.sdks, cell.name, ["get_weather"])
    talking.schema(
        {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        }
    )
    talking.say("The weather in Oslo")
    first: Said = await talking.answer(stream=True)
    assert [call.name for call in first.calls] == ["get_weather"]
    talking.give(first, "12 degrees")
    second: Said = await talking.answer(stream=True)
    assert json.loads(second.text) == {"city": "Oslo"}


@every_cell
async def test_pictures_and_papers_arrive_whole(matrix: Matrix, client: str, cell: Cell) -> None:
    for part, seen in (("png", "image/png, 70 bytes"), ("pdf", "application/pdf, 19 bytes")):
        talking = talk(client, matrix.sdks, cell.name)
        talking.show("What is this?", part, part)
        if part == "pdf" and cell.name == "chat" and not cell.spliced(client):
            with pytest.raises(BAD_REQUEST, match="cannot be given files") as refused:
                await talking.answer(stream=False)
            assert param(refused.value).startswith(("input[0].content[1]", "messages"))
            continue
        said: Said = await talking.answer(stream=False)
        assert said.text.count(seen) == 2


def param(error: Any) -> str:
    """The parameter an error names: in `param`, or (Anthropic) in its words."""
    if isinstance(error, openai.APIError):
        return error.param or ""
    return str(error.body["error"]["message"])


@every_cell
async def test_addresses_go_to_who_fetches_them(matrix: Matrix, client: str, cell: Cell) -> None:
    talking = talk(client, matrix.sdks, cell.name)
    talking.show("What is this?", "url")
    if cell.name == "bedrock":
        with pytest.raises(BAD_REQUEST, match="fetchRemoteContent") as refused:
            await talking.answer(stream=False)
        assert "messages" in param(refused.value) or "input[0].content[1]" in param(refused.value)
        return
    said: Said = await talking.answer(stream=False)
    assert "at https://example.com/a.png" in said.text


@over("responses", "messages")
@both_ways
async def test_a_picture_that_a_tool_gave_is_seen(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    talking = talk(client, matrix.sdks, cell.name, ["get_weather"])
    talking.say("The weather in Oslo")
    first: Said = await talking.answer(stream=stream)
    talking.give(first, "")
    if client == "responses":
        picture: Any = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
        talking.history[-1]["output"] = [{"type": "input_text", "text": "a radar"}, picture]
    else:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        picture = {"type": "image", "source": source}
        talking.history[-1]["content"][0]["content"] = [
            {"type": "text", "text": "a radar"},
            picture,
        ]
    second: Said = await talking.answer(stream=stream)
    assert PNG.encode() in matrix.seen[-1].body
    if cell.name == "chat":
        assert second.losses is not None
        assert second.losses.endswith("=adapted")
    else:
        assert "“a radar”" in second.text
        assert "image/png, 70 bytes" in second.text
        assert second.losses is None


async def test_every_cell_is_one_that_can_be_configured(matrix: Matrix) -> None:
    listed = [each.id async for each in matrix.sdks.openai.models.list()]
    assert set(listed) >= CELLS.keys()
