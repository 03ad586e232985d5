"""Tools that not every upstream has: free-form, in namespaces, narrowed to a subset."""

from typing import Any

import pytest
from tests.support.matrix import Cell, Matrix, both_ways, every_cell, over
from tests.support.talks import CITY, Said, talk

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUERY = "Run the query: select \"a\\b\", 'é' — 東京 🏮"


@over("responses")
@both_ways
async def test_a_free_form_tool_gets_its_text_as_it_was_written(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    grammar = {"type": "grammar", "syntax": "regex", "definition": ".*"}
    tool = {"type": "custom", "name": "run_query", "description": "SQL", "format": grammar}
    talking = talk(client, matrix.sdks, cell.name)
    talking.options["tools"] = [tool]
    talking.say(QUERY)
    first: Said = await talking.answer(stream=stream)
    assert [(call.name, call.arguments) for call in first.calls] == [("run_query", QUERY)]
    talking.give(first, "3 rows")
    second: Said = await talking.answer(stream=stream)
    assert "“3 rows”" in second.text
    if cell.spliced(client):
        assert first.losses is None
    else:
        assert first.losses == "tools[0].format=adapted"


@over("responses")
@both_ways
async def test_tools_in_namespaces_come_back_with_them(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    inner = {"type": "function", "name": "find_customer", "parameters": CITY, "strict": True}
    talking = talk(client, matrix.sdks, cell.name)
    talking.options["tools"] = [
        {"type": "namespace", "name": name, "description": name, "tools": [inner]}
        for name in ("crm", "erp")
    ]
    talking.say("The customer of Oslo, in both systems")
    first: Said = await talking.answer(stream=stream)
    assert [(call.namespace, call.name) for call in first.calls] == [
        ("crm", "find_customer"),
        ("erp", "find_customer"),
    ]
    talking.give(first, "Ada", "Grace")
    second: Said = await talking.answer(stream=stream)
    assert "“Ada” and “Grace”" in second.text


@every_cell
async def test_a_call_without_arguments_is_an_empty_object(
    matrix: Matrix, client: str, cell: Cell
) -> None:
    for stream in (False, True):
        talking = talk(client, matrix.sdks, cell.name, ["get_weather"])
        talking.say("[[demo args=none]] weather")
        first: Said = await talking.answer(stream=stream)
        assert [call.arguments for call in first.calls] == [{}]


def _choice(client: str, mode: str) -> Any:
    if client == "responses":
        named: Any = {"type": "function", "name": "get_time"}
        return {"type": "allowed_tools", "mode": mode, "tools": [named]}
    named = {"type": "function", "function": {"name": "get_time"}}
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named]}}


@over("responses", "chat")
@both_ways
async def test_only_allowed_tools_are_called(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    tools = ["get_weather", "get_time"]
    talking = talk(client, matrix.sdks, cell.name, tools, tool_choice=_choice(client, "required"))
    talking.say("The weather in Oslo")
    said: Said = await talking.answer(stream=stream)
    assert [call.name for call in said.calls] == ["get_time"]
    talking = talk(client, matrix.sdks, cell.name, tools, tool_choice=_choice(client, "auto"))
    talking.say("The weather in Oslo")
    assert (await talking.answer(stream=stream)).calls == []


@over("responses")
@both_ways
async def test_the_list_of_allowed_tools_does_the_same(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    extra = {"allowed_tools": ["get_time"]}
    for choice, called in (("required", ["get_time"]), ("auto", []), (None, [])):
        talking = talk(
            client, matrix.sdks, cell.name, ["get_weather", "get_time"], extra_body=extra
        )
        if choice is not None:
            talking.options["tool_choice"] = choice
        talking.say("The weather in Oslo")
        said: Said = await talking.answer(stream=stream)
        assert [call.name for call in said.calls] == called


@every_cell
async def test_a_tool_can_be_forced_and_forbidden(matrix: Matrix, client: str, cell: Cell) -> None:
    forced: dict[str, Any] = {
        "responses": {"type": "function", "name": "get_time"},
        "chat": {"type": "function", "function": {"name": "get_time"}},
        "messages": {"type": "tool", "name": "get_time"},
    }
    none: Any = {"type": "none"} if client == "messages" else "none"
    tools = ["get_weather", "get_time"]
    for choice, called in ((forced[client], ["get_time"]), (none, [])):
        talking = talk(client, matrix.sdks, cell.name, tools, tool_choice=choice)
        talking.say("The weather in Oslo")
        said: Said = await talking.answer(stream=False)
        assert [call.name for call in said.calls] == called


def _searching(client: str) -> dict[str, Any]:
    if client == "chat":
        return {"web_search_options": {}}
    kind = "web_search" if client == "responses" else "web_search_20250305"
    named = {} if client == "responses" else {"name": "web_search"}
    return {"tools": [{"type": kind, **named}]}


def _citations(client: str, raw: Any) -> list[str]:
    if client == "chat":
        return [each.url_citation.url for each in raw.choices[0].message.annotations or ()]
    blocks: list[Any] = raw.content if client == "messages" else [
        part for item in raw.output if item.type == "message" for part in item.content
    ]  # fmt: skip
    name = "citations" if client == "messages" else "annotations"
    return [each.url for block in blocks for each in getattr(block, name, None) or ()]


@every_cell
@both_ways
async def test_a_search_of_the_providers_own_is_cited_and_can_be_talked_about(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    talking = talk(client, matrix.sdks, cell.name)
    talking.options = _searching(client)
    talking.say("Search for the gate")
    first: Said = await talking.answer(stream=stream)
    if cell.spoken[client] == "converse" or (cell.name == "chat" and not cell.spliced(client)):
        where = "web_search_options" if client == "chat" else "tools[0]"
        assert first.losses == f"{where}=dropped"
        return
    assert _citations(client, first.raw) == [
        "https://example.com/demo/gate",
        "https://example.org/demo/keeper",
    ]
    talking.say("Thank you")
    assert "“Thank you”" in (await talking.answer(stream=stream)).text
    talking.model = "messages" if cell.name != "messages" else "responses"
    talking.options = {}
    talking.say("And you?")
    assert "“And you?”" in (await talking.answer(stream=stream)).text
