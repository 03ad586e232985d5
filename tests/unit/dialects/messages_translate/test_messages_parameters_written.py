"""Bodies for Anthropic: valid for the SDK's own type, and nothing changed without being said."""

import json
from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.messages_translate.common import request, upstream, user, write
from tests.unit.dialects.messages_translate.written_kit import (
    ALWAYS,
    NEW,
    OLD,
    TOOL,
    assistant,
    paths,
)

from portico.dialects.messages.maps import family
from portico.dialects.messages.tools_out import MCP_BETA
from portico.dialects.messages.upstream import UPSTREAM, betas
from portico.errors import BadRequest
from portico.model.items import Message, ToolCall, ToolResult
from portico.model.parts import CacheMark, Citation, File, Image, Source, Text
from portico.model.request import OutputFormat, ReasoningAsk
from portico.model.tools import FunctionTool, HostedTool, ToolChoice, ToolRef


@pytest.mark.parametrize(
    ("model", "ask", "most", "thinking", "config"),
    [
        (OLD, ReasoningAsk(effort="low"), None, {"type": "enabled", "budget_tokens": 2048}, None),
        (OLD, ReasoningAsk(effort="max"), None, {"type": "enabled", "budget_tokens": 32000}, None),
        (OLD, ReasoningAsk(effort="high"), 4000, {"type": "enabled", "budget_tokens": 2000}, None),
        (OLD, ReasoningAsk(effort="high"), 1500, {"type": "enabled", "budget_tokens": 1024}, None),
        (OLD, ReasoningAsk(budget=5000), 4000, {"type": "enabled", "budget_tokens": 3999}, None),
        (OLD, ReasoningAsk(effort="high"), 1024, {"type": "disabled"}, None),
        (OLD, ReasoningAsk(effort="none"), None, {"type": "disabled"}, None),
        (OLD, ReasoningAsk(summary="auto"), None, None, None),
        (
            "claude-opus-4-5",
            ReasoningAsk(effort="max"),
            None,
            {"type": "enabled", "budget_tokens": 32000},
            {"effort": "high"},
        ),
        (
            "claude-opus-4-6",
            ReasoningAsk(budget=3000),
            None,
            {"type": "enabled", "budget_tokens": 3000},
            None,
        ),
        (
            "claude-opus-4-6",
            ReasoningAsk(effort="xhigh"),
            None,
            {"type": "adaptive"},
            {"effort": "max"},
        ),
        (NEW, ReasoningAsk(effort="minimal"), None, {"type": "adaptive"}, {"effort": "low"}),
        (NEW, ReasoningAsk(effort="xhigh"), None, {"type": "adaptive"}, {"effort": "xhigh"}),
        (NEW, ReasoningAsk(budget=9000), None, {"type": "adaptive"}, {"effort": "high"}),
        (
            NEW,
            ReasoningAsk(effort="high", summary="detailed"),
            None,
            {"type": "adaptive", "display": "summarized"},
            {"effort": "high"},
        ),
        (
            NEW,
            ReasoningAsk(summary="none"),
            None,
            {"type": "adaptive", "display": "omitted"},
            None,
        ),
        (NEW, ReasoningAsk(effort="none"), None, {"type": "disabled"}, None),
        ("claude-sonnet-5-5", ReasoningAsk(effort="none"), None, {"type": "between_tools"}, None),
        (ALWAYS, ReasoningAsk(effort="none"), None, None, {"effort": "low"}),
        (ALWAYS, None, None, None, None),
        ("claude-3-5-haiku-latest", ReasoningAsk(effort="high"), None, None, None),
    ],
)
def test_effort_and_budget_by_family(
    model: str, ask: ReasoningAsk | None, most: int | None, thinking: Any, config: Any
) -> None:
    body, losses = write(request(reasoning=ask, max_output_tokens=most), model)
    assert body.get("thinking") == thinking
    assert body.get("output_config") == config
    if thinking and "budget_tokens" in thinking:
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
    asked = ask.effort if ask is not None else None
    if asked not in (None, "none") and config is not None and config.get("effort") != asked:
        assert any("effort" in loss.path for loss in losses)


def test_every_effort_a_family_is_sent_is_one_it_lists() -> None:
    for model in (OLD, NEW, ALWAYS, "claude-opus-4-5", "claude-opus-4-6", "claude-sonnet-5-5",
                  "claude-haiku-5-5", "claude-mythos-preview", "claude-nova-9"):  # fmt: skip
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
            body, losses = write(request(reasoning=ReasoningAsk(effort=effort)), model)
            sent = body.get("output_config", {}).get("effort")
            assert sent is None or sent in family(model).efforts
            if sent is not None and sent != effort:
                assert losses


def test_sampling_is_dropped_with_thinking_and_where_the_model_has_none() -> None:
    hot = {"temperature": 0.3, "top_p": 0.9, "top_k": 5}
    body, losses = write(request(**hot, reasoning=ReasoningAsk(effort="low")))
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert paths(losses) == {(name, "dropped") for name in hot}
    body, losses = write(request(**hot), NEW)
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert paths(losses) == {(name, "dropped") for name in hot}
    body, losses = write(request(temperature=1, reasoning=ReasoningAsk(effort="low")))
    assert losses == []


def test_temperature_and_top_p_exclude_each_other_since_4_1() -> None:
    both = {"temperature": 0.3, "top_p": 0.9}
    body, losses = write(request(**both))
    assert body["temperature"] == 0.3
    assert paths(losses) == {("top_p", "dropped")}
    body, losses = write(request(**both), "claude-3-5-sonnet-latest")
    assert (body["top_p"], losses) == (0.9, [])


def test_temperature_is_clamped_to_one() -> None:
    body, losses = write(request(temperature=1.7))
    assert body["temperature"] == 1.0
    assert paths(losses) == {("temperature", "adapted")}


def test_no_thinking_where_a_tool_is_forced() -> None:
    asked = request(
        tools=(TOOL,), tool_choice=ToolChoice("required"), reasoning=ReasoningAsk(effort="high")
    )
    for model in (OLD, NEW):
        body, losses = write(asked, model)
        assert body["thinking"] == {"type": "disabled"}
        assert body["tool_choice"] == {"type": "any"}
        assert paths(losses) == {("reasoning.effort", "dropped")}
    body, losses = write(asked, "claude-haiku-5-5")
    assert (body["thinking"], losses) == ({"type": "adaptive"}, [])


def test_manual_thinking_does_not_start_in_a_turn_that_began_without_it() -> None:
    items = (user(), ToolCall("t", "f", "{}"), ToolResult("t", (Text("r"),)))
    asked = request(items=items, tools=(TOOL,), reasoning=ReasoningAsk(effort="high"))
    body, losses = write(asked)
    assert body["thinking"] == {"type": "disabled"}
    assert paths(losses) == {("reasoning.effort", "dropped")}
    assert write(asked, NEW)[0]["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize(
    ("choice", "parallel", "wanted"),
    [
        (ToolChoice(), None, None),
        (ToolChoice(), True, None),
        (ToolChoice(), False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("tool", ToolRef("function", "f")), None, {"type": "tool", "name": "f"}),
    ],
)
def test_tool_choice(choice: ToolChoice, parallel: bool | None, wanted: Any) -> None:
    asked = request(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=parallel)
    assert write(asked)[0].get("tool_choice") == wanted


def test_a_model_that_cannot_be_forced_is_not() -> None:
    asked = request(tools=(TOOL,), tool_choice=ToolChoice("required"))
    body, losses = write(asked, ALWAYS)
    assert "tool_choice" not in body
    assert paths(losses) == {("tool_choice", "adapted")}


def test_tools_have_a_schema_of_type_object() -> None:
    tools = (
        FunctionTool(name="none"),
        FunctionTool(name="null", parameters=Raw(b"null")),
        FunctionTool(name="untyped", parameters=Raw(b'{"properties":{"a":{}}}')),
        FunctionTool(name="kept", parameters=Raw(b'{"type": "object", "x": 1.50}')),
    )
    body, losses = write(request(tools=tools))
    assert [tool["input_schema"] for tool in body["tools"]] == [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "x": 1.5},
    ]
    assert losses == []
    for bad in (b'{"type":"string"}', b"[]", b'"x"'):
        with pytest.raises(BadRequest) as caught:
            write(request(tools=(TOOL, FunctionTool(name="g", parameters=Raw(bad)))))
        assert caught.value.param == "tools[1].parameters"


def test_strict_tools_are_closed_and_at_most_twenty() -> None:
    schema = b'{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}'
    tool = FunctionTool(name="f", parameters=Raw(schema), strict=True)
    body, losses = write(request(tools=(tool,)))
    assert body["tools"][0]["strict"] is True
    assert body["tools"][0]["input_schema"] == {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}},
        "additionalProperties": False,
    }
    assert paths(losses) == {("tools[0].parameters", "adapted")}
    many = tuple([FunctionTool(name=f"f{i}", parameters=TOOL.parameters, strict=True)
                  for i in range(22)])  # fmt: skip
    body, losses = write(request(tools=many))
    assert sum(tool.get("strict", False) for tool in body["tools"]) == 20
    assert paths(losses) == {("tools[20].strict", "dropped"), ("tools[21].strict", "dropped")}
    body, losses = write(request(tools=(tool,)), "claude-sonnet-4-0")
    assert "strict" not in body["tools"][0]
    assert paths(losses) == {("tools[0].strict", "dropped")}


def test_structured_output_is_closed_and_bounds_are_told() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 3, "description": "A."},
            "b": {"type": "array", "items": {"oneOf": [{"type": "null"}, {"type": "object"}]},
                  "minItems": 2},
            "c": {"type": "string", "format": "date"},
            "d": {"type": "string", "format": "odd"},
            "minimum": {"type": "number"},
        },
        "required": ["a"],
        "additionalProperties": True,
    }  # fmt: skip
    wanted = OutputFormat(
        kind="json_schema", name="n", schema=Raw(json.dumps(schema).encode()), strict=True
    )
    body, losses = write(request(format=wanted), NEW)
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "a": {"type": "string", "description": "A.\n\n{maxLength: 3}"},
                "b": {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"type": "null"},
                            {"type": "object", "properties": {}, "additionalProperties": False},
                        ]
                    },
                    "description": "{minItems: 2}",
                },
                "c": {"type": "string", "format": "date"},
                "d": {"type": "string", "description": '{format: "odd"}'},
                "minimum": {"type": "number"},
            },
            "required": ["a"],
            "additionalProperties": False,
        },
    }
    (loss,) = losses
    assert (loss.path, loss.how) == ("text.format", "adapted")
    for name in ("maxLength", "minItems", "format", "additionalProperties"):
        assert name in loss.reason


def test_a_schema_that_is_right_keeps_its_bytes() -> None:
    schema = b'{ "type":"object", "properties":{"a":{"const":1.50}}, "additionalProperties":false }'
    wanted = OutputFormat(kind="json_schema", schema=Raw(schema))
    losses: list[Any] = []
    assert schema in UPSTREAM.write(request(format=wanted), upstream(NEW), losses)
    assert losses == []


def test_older_models_emulate_a_schema_with_a_forced_tool() -> None:
    wanted = OutputFormat(kind="json_schema", name="n", schema=Raw(b'{"type":"object"}'))
    body, _ = write(request(format=wanted), "claude-3-5-sonnet-latest")
    assert "output_config" not in body
    assert body["tool_choice"]["type"] == "tool"


def test_json_without_a_schema_is_asked_for_where_no_tool_can_be_forced() -> None:
    body, losses = write(request(format=OutputFormat(kind="json_object")), ALWAYS)
    assert "JSON object" in body["system"][-1]["text"]
    assert paths(losses) == {("text.format", "adapted")}
    assert "tools" not in body


def test_media_and_documents() -> None:
    parts = (
        Text("see"),
        Image(Source("base64", "aGk=", "image/webp")),
        Image(Source("url", "https://x/i.png")),
        File(Source("base64", "JVBERi0xLjQ=", ""), "a.pdf", context="c", citations=True),
        File(Source("url", "https://x/a.pdf")),
        File(Source("text", "plain", "text/markdown"), "a.md"),
        File(Source("base64", "aGk=", "text/csv")),
    )
    body, losses = write(request(items=(Message("user", parts),)))
    assert body["messages"][0]["content"][1:] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "aGk="}},
        {"type": "image", "source": {"type": "url", "url": "https://x/i.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
            "title": "a.pdf",
            "context": "c",
            "citations": {"enabled": True},
        },
        {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "plain"},
            "title": "a.md",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
    ]
    assert losses == []


@pytest.mark.parametrize(
    "part",
    [
        Image(Source("base64", "aGk=", "image/tiff")),
        Image(Source("base64", "aGk=")),
        Image(Source("file_id", "file-1")),
        File(Source("base64", "aGk=", "application/msword")),
        File(Source("base64", "/////w==", "")),
    ],
)
def test_content_no_claude_takes_is_refused(part: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        write(request(items=(Message("user", (part,)),)))
    assert caught.value.code == "unsupported_content"
    assert (caught.value.param or "").startswith("input")


def test_results_of_tools_hold_pictures_and_move_marks_to_themselves() -> None:
    output = (Text("a", cache=CacheMark("1h")), Image(Source("url", "https://x/i.png")))
    items = (user(), ToolCall("t", "f", "{}"), ToolResult("t", output), user("ok"))
    body, losses = write(request(items=items, tools=(TOOL,)))
    assert body["messages"][2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [
            {"type": "text", "text": "a"},
            {"type": "image", "source": {"type": "url", "url": "https://x/i.png"}},
        ],
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    assert losses == []


def test_citations_go_back_to_their_maker_only() -> None:
    raw = Raw(b'{"type":"char_location","cited_text":"c"}')
    mine = Citation(kind="document", native=("messages", raw))
    other = Citation(kind="url", url="https://x")
    parts = (Text("a", (mine,)), Text("b", (other,)), Text("c", (other,)))
    losses: list[Any] = []
    asked = request(items=(user(), Message("assistant", parts), user()))
    body = json.loads(UPSTREAM.write(asked, upstream(), losses))
    first, second, third = body["messages"][1]["content"]
    assert first["citations"] == [json.loads(bytes(raw))]
    assert "citations" not in second
    assert "citations" not in third
    assert paths(losses) == {("input", "dropped")}
    assert len(losses) == 1


def test_marks_are_at_most_four_and_the_best_ones_stay() -> None:
    mark = CacheMark()
    tools = tuple([FunctionTool(name=f"f{i}", cache=mark) for i in range(2)])
    many = tuple([Text(f"t{i}", cache=mark) for i in range(4)])
    body, losses = write(
        request(tools=tools, instructions=(Text("s", cache=mark),), items=(Message("user", many),))
    )
    assert ["cache_control" in tool for tool in body["tools"]] == [False, True]
    assert "cache_control" in body["system"][0]
    assert ["cache_control" in part for part in body["messages"][0]["content"]] == [
        False, False, True, True,
    ]  # fmt: skip
    assert paths(losses) == {("cache_control", "adapted")}


def test_caching_marks_the_end_of_tools_system_and_conversation() -> None:
    body, losses = write(
        request(
            caching=True,
            tools=(TOOL, FunctionTool(name="g")),
            instructions=(Text("s"),),
            items=(user(), assistant(), user("last")),
        )
    )
    assert "cache_control" not in body["tools"][0]
    for block in (body["tools"][1], body["system"][0], body["messages"][2]["content"][0]):
        assert block["cache_control"] == {"type": "ephemeral"}
    assert losses == []


def test_no_mark_of_an_hour_comes_after_one_of_five_minutes() -> None:
    items = (Message("user", (Text("a", cache=CacheMark("1h")), Text("b"))), assistant(), user())
    body, losses = write(
        request(caching=True, tools=(TOOL,), instructions=(Text("s"),), items=items)
    )
    marks = [block["cache_control"].get("ttl") for block in (body["tools"][0], body["system"][0])]
    marks += [
        block["cache_control"].get("ttl")
        for message in body["messages"]
        for block in message["content"]
        if "cache_control" in block
    ]
    assert marks == ["1h", "1h", "1h", None]
    assert losses == []


def test_the_users_id_is_hashed_when_it_is_too_long() -> None:
    assert write(request(user="u"))[0]["metadata"] == {"user_id": "u"}
    both = request(user="u", safety_identifier="s")
    assert write(both)[0]["metadata"] == {"user_id": "s"}
    body, losses = write(request(user="x" * 257))
    assert len(body["metadata"]["user_id"]) == 64
    assert len(losses) == 1
    assert write(request(user="x" * 257))[0]["metadata"] == body["metadata"]


@pytest.mark.parametrize(
    ("tier", "wanted", "said"),
    [("auto", "auto", 0), ("default", "standard_only", 0), ("priority", "auto", 0),
     ("flex", None, 1)],
)  # fmt: skip
def test_service_tiers(tier: str, wanted: str | None, said: int) -> None:
    body, losses = write(request(service_tier=tier))
    assert body.get("service_tier") == wanted
    assert len(losses) == said


def test_stop_sequences_of_white_space_are_dropped_and_said() -> None:
    body, losses = write(request(stop=("\n\n", "END")))
    assert body["stop_sequences"] == ["END"]
    assert paths(losses) == {("stop", "dropped")}


def web_search(**more: Any) -> HostedTool:
    return HostedTool(kind="web_search", native=("responses", Raw(b"{}")), **more)


def test_hosted_tools_of_other_dialects_become_anthropics() -> None:
    tools = (
        web_search(
            allowed_domains=("a.b",),
            user_location=Raw(b'{"type":"approximate","country":"FR","city":null}'),
        ),
        HostedTool(
            kind="code_interpreter",
            native=("responses", Raw(b'{"type":"code_interpreter","container":{"type":"auto"}}')),
        ),
    )
    body, losses = write(request(tools=tools, max_tool_calls=3))
    assert body["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "max_uses": 3,
            "allowed_domains": ["a.b"],
            "user_location": {"type": "approximate", "country": "FR"},
        },
        {"type": "code_execution_20250825", "name": "code_execution"},
    ]
    assert paths(losses) == {("max_tool_calls", "dropped")}
    forced = request(tools=tools, tool_choice=ToolChoice("tool", ToolRef("code_interpreter")))
    assert write(forced)[0]["tool_choice"] == {"type": "tool", "name": "code_execution"}


def mcp(**members: Any) -> HostedTool:
    tool = {"type": "mcp", "server_label": "s", "server_url": "https://mcp", **members}
    return HostedTool(kind="mcp", native=("responses", Raw(json.dumps(tool).encode())))


def test_mcp_servers_need_no_approval_to_be_asked_for() -> None:
    tool = mcp(require_approval="never", authorization="tok", allowed_tools=["x"])
    body, losses = write(request(tools=(tool,)))
    assert body["mcp_servers"] == [
        {"type": "url", "name": "s", "url": "https://mcp", "authorization_token": "tok"}
    ]
    assert body["tools"] == [
        {
            "type": "mcp_toolset",
            "mcp_server_name": "s",
            "default_config": {"enabled": False},
            "configs": {"x": {"enabled": True}},
        }
    ]
    assert losses == []
    assert betas(request(tools=(tool,))) == (MCP_BETA,)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (mcp(), "tools[0].require_approval"),
        (mcp(require_approval="always"), "tools[0].require_approval"),
        (mcp(require_approval={"never": {"tool_names": ["x"]}}), "tools[0].require_approval"),
        (mcp(server_url=None, connector_id="c"), "tools[0].server_url"),
    ],
)
def test_an_mcp_tool_that_wants_approval_is_refused(tool: HostedTool, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        write(request(tools=(tool,)))
    assert caught.value.param == param


def test_native_tools_go_out_as_they_came() -> None:
    raw = Raw(b'{"type":"computer_20251124","name":"computer","display_width_px":1.0}')
    tool = HostedTool(kind="computer", native=("messages", raw))
    losses: list[Any] = []
    asked = request(tools=(tool,), dialect="messages")
    assert bytes(raw) in UPSTREAM.write(asked, upstream(), losses)
    assert losses == []
    assert betas(asked) == ("computer-use-2025-11-24",)
    foreign = HostedTool(kind="computer", native=("responses", Raw(b'{"type":"computer"}')))
    body, losses = write(request(tools=(foreign,)))
    assert "tools" not in body
    assert paths(losses) == {("tools[0]", "dropped")}


def test_the_same_request_is_always_the_same_bytes() -> None:
    asked = request(tools=(TOOL,), caching=True, reasoning=ReasoningAsk(effort="high"))
    first = UPSTREAM.write(asked, upstream(NEW), [])
    assert UPSTREAM.write(asked, upstream(NEW), []) == first
