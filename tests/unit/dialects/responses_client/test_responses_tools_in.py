"""Tools, and which of them a model may use."""

import json
from typing import Any

import pytest
from tests.unit.dialects.responses_client import scenes
from tests.unit.dialects.responses_client.scenes import ask

from portico.model.tools import (
    AUTO,
    CustomTool,
    FunctionTool,
    HostedTool,
    Tool,
    ToolChoice,
    ToolRef,
)

F = {"type": "function", "name": "f"}
G = {"type": "custom", "name": "g"}
N = {"type": "namespace", "name": "ns", "description": "many",
     "tools": [{"type": "function", "name": "h"}, {"type": "custom", "name": "i"}]}  # fmt: skip
W = {"type": "web_search_preview"}
M = {"type": "mcp", "server_label": "s", "server_url": "https://a.example"}
ALL = [F, G, N, W, M]


def body(tools: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    return {"model": "m", "input": "hi", "tools": tools, **members}


def tools(*wire: dict[str, Any]) -> tuple[Tool, ...]:
    return ask(body(list(wire))).tools


def chosen(**members: Any) -> ToolChoice:
    return ask(body(ALL, **members)).tool_choice


def test_functions_keep_their_schema_as_written() -> None:
    raw = (
        b'{"model":"m","input":"hi","tools":[{"type":"function","name":"f","description":"d",'
        b'"strict":false,"parameters":{"type": "object", "b":1.50,"a":1}}]}'
    )
    (tool,) = ask(raw).tools
    assert isinstance(tool, FunctionTool)
    assert (tool.name, tool.description, tool.strict) == ("f", "d", False)
    assert bytes(tool.parameters or b"") == b'{"type": "object", "b":1.50,"a":1}'


def test_what_a_function_does_not_say_is_not_made_up() -> None:
    nulls = {"description": None, "parameters": None, "strict": None}
    assert tools(F) == tools({**F, **nulls}) == (FunctionTool(name="f"),)


def test_namespaces_are_flat_in_the_hub() -> None:
    request = ask(body([N]))
    assert request.tools == (
        FunctionTool(name="h", namespace="ns"),
        CustomTool(name="i", namespace="ns"),
    )
    assert request.namespaces == {"ns": "many"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("web_search", "web_search"), ("web_search_preview", "web_search"),
        ("web_search_2025_08_26", "web_search"), ("computer_use_preview", "computer"),
        ("code_interpreter", "code_interpreter"), ("apply_patch", "apply_patch"),
        ("brand_new", "brand_new"),
    ],
)  # fmt: skip
def test_hosted_tools_go_by_a_name_without_a_version(name: str, kind: str) -> None:
    wire = {"type": name, "format": 5, "environment": {"type": "x"}}
    (tool,) = tools(wire)
    assert isinstance(tool, HostedTool)
    assert tool.kind == kind
    assert tool.native[0] == "responses"
    assert json.loads(bytes(tool.native[1])) == wire


def test_what_searches_share_is_read() -> None:
    location = {"type": "approximate", "country": "FR"}
    (tool,) = tools({"type": "web_search", "user_location": location,
                     "filters": {"allowed_domains": ["a"], "blocked_domains": ["b"]}})  # fmt: skip
    assert isinstance(tool, HostedTool)
    assert (tool.allowed_domains, tool.blocked_domains) == (("a",), ("b",))
    assert json.loads(bytes(tool.user_location or b"")) == location


@pytest.mark.parametrize(
    ("wire", "code", "param"),
    [
        ({}, "missing_required_parameter", "tools[1].type"),
        ({"type": "function"}, "missing_required_parameter", "tools[1].name"),
        ({"type": "function", "function": {"name": "f"}}, "missing_required_parameter",
         "tools[1].name"),
        ({"type": "function", "name": ""}, "empty_string", "tools[1].name"),
        ({"type": "function", "name": "n" * 129}, "string_above_max_length", "tools[1].name"),
        ({"type": "function", "name": 5}, "invalid_type", "tools[1].name"),
        ({"type": "function", "name": "f", "parameters": []}, "invalid_type",
         "tools[1].parameters"),
        ({"type": "function", "name": "f", "strict": "yes"}, "invalid_type", "tools[1].strict"),
        ({"type": "custom", "name": "f", "format": "x"}, "invalid_type", "tools[1].format"),
        ({"type": "custom"}, "missing_required_parameter", "tools[1].name"),
        ({"type": "mcp"}, "missing_required_parameter", "tools[1].server_label"),
        ({"type": "namespace", "name": "n"}, "missing_required_parameter", "tools[1].tools"),
        ({"type": "namespace", "name": "n", "tools": [F, {"type": "function"}]},
         "missing_required_parameter", "tools[1].tools[1].name"),
        ({"type": "namespace", "name": "n", "tools": [W]}, "invalid_value",
         "tools[1].tools[0].type"),
        ({"type": "namespace", "name": "n", "tools": [{}]}, "missing_required_parameter",
         "tools[1].tools[0].type"),
    ],
)  # fmt: skip
def test_a_bad_tool_is_named_with_its_place(wire: dict[str, Any], code: str, param: str) -> None:
    assert scenes.refusal(body([F, wire])) == (code, param)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, AUTO),
        ("auto", AUTO),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("tool", ToolRef("function", "f"))),
        ({"type": "function", "name": "h"}, ToolChoice("tool", ToolRef("function", "h", "ns"))),
        ({"type": "custom", "name": "g"}, ToolChoice("tool", ToolRef("custom", "g"))),
        ({"type": "web_search_preview"}, ToolChoice("tool", ToolRef("web_search"))),
        ({"type": "mcp", "server_label": "s", "name": "x"},
         ToolChoice("tool", ToolRef("mcp", "s"))),
        ({"type": "allowed_tools", "mode": "required", "tools": [F, W]},
         ToolChoice("required", None, (ToolRef("function", "f"), ToolRef("web_search")))),
        ({"type": "allowed_tools", "tools": [G]},
         ToolChoice("auto", None, (ToolRef("custom", "g"),))),
    ],
)  # fmt: skip
def test_every_form_of_choice(choice: Any, expected: ToolChoice) -> None:
    assert chosen(tool_choice=choice) == expected


@pytest.mark.parametrize(
    ("choice", "code", "param"),
    [
        ({}, "missing_required_parameter", "tool_choice.type"),
        ({"type": "function"}, "missing_required_parameter", "tool_choice.name"),
        ({"type": "function", "name": "zzz"}, "invalid_value", "tool_choice"),
        ({"type": "custom", "name": "f"}, "invalid_value", "tool_choice"),
        ({"type": "image_generation"}, "invalid_value", "tool_choice"),
        ({"type": "allowed_tools", "mode": "auto"}, "missing_required_parameter",
         "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, "empty_array",
         "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "maybe", "tools": [F]}, "invalid_value",
         "tool_choice.mode"),
        ({"type": "allowed_tools", "tools": [F, {"type": "function", "name": "z"}]},
         "invalid_value", "tool_choice.tools[1]"),
        ({"type": "allowed_tools", "tools": [F, {"type": "function", "name": 5}]}, "invalid_type",
         "tool_choice.tools[1].name"),
        (5, "invalid_type", "tool_choice"),
    ],
)  # fmt: skip
def test_a_bad_choice_is_named(choice: Any, code: str, param: str) -> None:
    assert scenes.refusal(body(ALL, tool_choice=choice)) == (code, param)


def test_a_tool_cannot_be_required_where_there_is_none() -> None:
    assert scenes.refusal(body([], tool_choice="required")) == ("invalid_value", "tool_choice")


# the top-level list of names


@pytest.mark.parametrize(
    ("allowed", "choice", "expected"),
    [
        (["f"], None, ToolChoice("auto", None, (ToolRef("function", "f"),))),
        (["f", "f", "g"], "required",
         ToolChoice("required", None, (ToolRef("function", "f"), ToolRef("custom", "g")))),
        ([F], "auto", ToolChoice("auto", None, (ToolRef("function", "f"),))),
        ([{"name": "f"}], "auto", ToolChoice("auto", None, (ToolRef("function", "f"),))),
        (["ns"], None, ToolChoice("auto", None, (ToolRef("function", "h", "ns"),
                                                  ToolRef("custom", "i", "ns")))),
        (["web_search"], None, ToolChoice("auto", None, (ToolRef("web_search"),))),
        (["f"], "none", ToolChoice("none")),
        (["f", "g"], G, ToolChoice("tool", ToolRef("custom", "g"))),
        ([], None, ToolChoice("none")),
    ],
)  # fmt: skip
def test_allowed_tools_narrow_the_choice(allowed: Any, choice: Any, expected: ToolChoice) -> None:
    assert chosen(allowed_tools=allowed, tool_choice=choice) == expected


@pytest.mark.parametrize(
    ("allowed", "choice", "code", "param"),
    [
        (["f", "zzz"], None, "invalid_value", "allowed_tools[1]"),
        ([{}], None, "missing_required_parameter", "allowed_tools[0].name"),
        ([5], None, "invalid_type", "allowed_tools[0]"),
        ("f", None, "invalid_type", "allowed_tools"),
        (["f"], G, "invalid_value", "tool_choice"),
        ([], "required", "invalid_value", "tool_choice"),
        (["f"], {"type": "allowed_tools", "tools": [F]}, "invalid_value", "allowed_tools"),
    ],
)  # fmt: skip
def test_bad_allowed_tools_are_named(allowed: Any, choice: Any, code: str, param: str) -> None:
    found = scenes.refusal(body(ALL, allowed_tools=allowed, tool_choice=choice))
    assert found == (code, param)
