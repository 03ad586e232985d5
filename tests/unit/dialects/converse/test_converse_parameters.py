"""Requests are what Bedrock's own service model accepts, and keep what the client meant."""

import time
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from tests.unit.dialects.converse.recordings import CLAUDE, ORIGIN, upstream
from tests.unit.dialects.converse.requests_kit import (
    CALL,
    CLAUDE_5,
    CLAUDE_37,
    CLAUDE_46,
    CLAUDE_47,
    GPT_OSS,
    LLAMA,
    MISTRAL,
    MISTRAL_7B,
    NOVA,
    NOVA_2,
    RESULT,
    TOOL,
    USER,
    ask,
    body,
    raw,
    reasons,
    validate,
)

from portico.dialects.converse import count_tokens
from portico.dialects.converse.maps import BUDGETS, FAMILIES, UNKNOWN, capabilities, family
from portico.dialects.converse.request_out import write
from portico.errors import BadRequest, UpstreamProtocol
from portico.model.items import (
    Message,
    Reasoning,
    ToolCall,
    ToolResult,
)
from portico.model.losses import Loss
from portico.model.parts import CacheMark, Image, Source, Text
from portico.model.passes.fit import fit
from portico.model.request import EFFORTS, Effort, GenerateRequest, OutputFormat, ReasoningAsk
from portico.model.sealed import Sealed
from portico.model.tools import FunctionTool, HostedTool, ToolChoice, ToolRef


def test_parameters_have_their_places() -> None:
    made = body(max_output_tokens=100, temperature=0.5, stop=("END",), top_k=5)
    assert made["inferenceConfig"] == {
        "maxTokens": 100, "stopSequences": ["END"], "temperature": 0.5,
    }  # fmt: skip
    assert made["additionalModelRequestFields"] == {"top_k": 5}
    assert made["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    streamed = body(stop=("END",), stream=True)
    assert streamed["additionalModelResponseFieldPaths"] == ["/delta/stop_sequence"]
    assert body(top_k=5, top_p=0.5, on=NOVA) == {
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"topP": 0.5},
        "additionalModelRequestFields": {"inferenceConfig": {"topK": 5}},
    }


def test_newer_claude_takes_one_of_temperature_and_top_p() -> None:
    made, losses = raw(ask(temperature=0.5, top_p=0.9))
    assert made["inferenceConfig"] == {"temperature": 0.5}
    assert reasons(losses) == [("top_p", "dropped")]
    assert raw(ask(temperature=0.5, top_p=1))[1] == []
    assert body(temperature=0.5, top_p=0.9, on=CLAUDE_37)["inferenceConfig"] == {
        "temperature": 0.5, "topP": 0.9,
    }  # fmt: skip


def test_tools_are_specs_with_an_object_schema() -> None:
    tools = (
        TOOL,
        FunctionTool(name="bare"),
        FunctionTool(name="untyped", description=" ", parameters=Raw(b'{"properties":{"a":{}}}')),
        FunctionTool(name="odd", parameters=Raw(b'{"type":"string"}')),
    )
    schema = {"type": "object", "properties": {}}
    assert body(tools=tools)["toolConfig"]["tools"] == [
        {"toolSpec": {"name": "look", "description": "Look.", "inputSchema": {"json": schema}}},
        {"toolSpec": {"name": "bare", "inputSchema": {"json": schema}}},
        {"toolSpec": {"name": "untyped", "inputSchema": {
            "json": {"type": "object", "properties": {"a": {}}}}}},
        {"toolSpec": {"name": "odd", "inputSchema": {"json": {"type": "object"}}}},
    ]  # fmt: skip


def test_strict_tools_need_a_model_and_a_closed_schema() -> None:
    closed = Raw(b'{"type":"object","properties":{},"additionalProperties":false}')
    strict = FunctionTool(name="a", parameters=closed, strict=True)
    made, losses = raw(ask(tools=(strict,)))
    assert made["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert losses == []
    for tool, model in (
        (strict, CLAUDE_47),
        (FunctionTool(name="a", parameters=TOOL.parameters, strict=True), CLAUDE),
    ):
        made, losses = raw(ask(tools=(TOOL, tool)), model)
        assert "strict" not in made["toolConfig"]["tools"][1]["toolSpec"]
        assert reasons(losses) == [("tools[1].strict", "dropped")]


@pytest.mark.parametrize(
    ("choice", "model", "expected"),
    [
        (ToolChoice("auto"), CLAUDE, None),
        (ToolChoice("required"), CLAUDE, {"any": {}}),
        (ToolChoice("tool", ToolRef("function", "look")), CLAUDE, {"tool": {"name": "look"}}),
        (ToolChoice("tool", ToolRef("function", "look")), NOVA, {"tool": {"name": "look"}}),
        (ToolChoice("tool", ToolRef("function", "look")), MISTRAL, {"any": {}}),
    ],
)
def test_tool_choice(choice: ToolChoice, model: str, expected: Any) -> None:
    made = body(tools=(TOOL, FunctionTool(name="b")), tool_choice=choice, on=model)["toolConfig"]
    assert made.get("toolChoice") == expected
    assert len(made["tools"]) == (1 if model == MISTRAL else 2)


def test_no_choice_drops_the_tools_unless_the_history_holds_calls() -> None:
    none = ToolChoice("none")
    assert "toolConfig" not in body(tools=(TOOL,), tool_choice=none)
    made, losses = raw(ask(USER, CALL, RESULT, tools=(TOOL,), tool_choice=none))
    assert "toolChoice" not in made["toolConfig"]
    assert reasons(losses) == [("tool_choice", "adapted")]


def test_a_history_with_calls_brings_its_tools() -> None:
    made, losses = raw(ask(USER, CALL, RESULT, ToolCall("c2", "other", "{}"),
                           ToolResult("c2", (Text("x"),))))  # fmt: skip
    names = [tool["toolSpec"]["name"] for tool in made["toolConfig"]["tools"]]
    assert names == ["look", "other"]
    assert reasons(losses) == [("tools", "adapted")]
    orphan = body(USER, ToolResult("c9", (Text("x"),)))
    assert len(orphan["toolConfig"]["tools"]) == 1


def test_one_call_at_a_time_is_claudes_own_choice() -> None:
    for mode, expected in (("auto", "auto"), ("required", "any")):
        made = body(
            tools=(TOOL,), parallel_tool_calls=False,
            tool_choice=ToolChoice(mode),  # type: ignore[arg-type]
        )  # fmt: skip
        assert made["additionalModelRequestFields"]["tool_choice"] == {
            "type": expected, "disable_parallel_tool_use": True,
        }  # fmt: skip
        assert "toolChoice" not in made["toolConfig"]  # both at once are refused
    named = ToolChoice("tool", ToolRef("function", "look"))
    made = body(tools=(TOOL,), parallel_tool_calls=False, tool_choice=named)
    assert made["additionalModelRequestFields"]["tool_choice"]["name"] == "look"
    assert "additionalModelRequestFields" not in body(parallel_tool_calls=False)


def test_novas_own_search_is_a_system_tool() -> None:
    search = HostedTool(kind="web_search", native=("responses", Raw(b"{}")))
    made = body(tools=(search,), on=NOVA_2)
    assert made["toolConfig"]["tools"] == [{"systemTool": {"name": "nova_grounding"}}]
    assert "web_search" in capabilities(NOVA_2).hosted
    assert not capabilities(CLAUDE).hosted


def test_structured_output_is_a_schema_written_as_text() -> None:
    wanted = OutputFormat(
        kind="json_schema", name="n", schema=Raw(b'{"type": "object"}'), description="d"
    )
    assert body(format=wanted)["outputConfig"] == {
        "textFormat": {"type": "json_schema", "structure": {
            "jsonSchema": {"schema": '{"type": "object"}', "name": "n", "description": "d"}}}
    }  # fmt: skip


@pytest.mark.parametrize("effort", [effort for effort in EFFORTS if effort != "none"])
def test_budget_models_get_a_budget(effort: Effort) -> None:
    made = body(reasoning=ReasoningAsk(effort=effort), on=CLAUDE_37)
    assert made["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": BUDGETS[effort]}
    }


@pytest.mark.parametrize("most", [1025, 1500, 4096, 20_000, 100_000])
def test_a_budget_is_always_below_the_output_tokens(most: int) -> None:
    for ask_for in (ReasoningAsk(effort="high"), ReasoningAsk(budget=31_999)):
        made, losses = raw(ask(reasoning=ask_for, max_output_tokens=most), CLAUDE_37)
        budget = made["additionalModelRequestFields"]["thinking"]["budget_tokens"]
        wanted = 16384 if ask_for.effort else 31_999
        assert 1024 <= budget < most
        assert bool(losses) == (budget != wanted)


def test_too_few_output_tokens_leave_no_room_to_think() -> None:
    made, losses = raw(ask(reasoning=ReasoningAsk(effort="low"), max_output_tokens=1024), CLAUDE_37)
    assert "additionalModelRequestFields" not in made
    assert reasons(losses) == [("reasoning.effort", "dropped")]


def test_thinking_leaves_no_room_for_sampling() -> None:
    made, losses = raw(
        ask(reasoning=ReasoningAsk(effort="low"), temperature=0.5, top_p=0.5, top_k=3), CLAUDE_37
    )
    assert made["inferenceConfig"] == {"maxTokens": 64_000}  # the budget has to be below it
    assert "top_k" not in made["additionalModelRequestFields"]
    assert sorted(reasons(losses)) == [
        ("temperature", "dropped"), ("top_k", "dropped"), ("top_p", "dropped"),
    ]  # fmt: skip


def test_a_forced_call_excludes_thinking() -> None:
    for model in (CLAUDE_37, CLAUDE_46, CLAUDE_47):
        made, losses = raw(
            ask(tools=(TOOL,), tool_choice=ToolChoice("required"),
                reasoning=ReasoningAsk(effort="max")), model,
        )  # fmt: skip
        fields = made.get("additionalModelRequestFields", {})
        assert fields.get("thinking") in (None, {"type": "disabled"})
        assert made.get("outputConfig", {}).get("effort") in (None, "high")
        assert reasons(losses) == [("reasoning.effort", "dropped")]


def test_calls_made_without_reasoning_cannot_be_gone_on_with_by_thinking() -> None:
    ask_for = ReasoningAsk(effort="low")
    made, losses = raw(ask(USER, CALL, RESULT, tools=(TOOL,), reasoning=ask_for), CLAUDE_37)
    assert "additionalModelRequestFields" not in made
    assert reasons(losses) == [("reasoning.effort", "dropped")]
    signed = Reasoning(("x",), (), Sealed(ORIGIN, "signature", "s"))
    made = body(USER, signed, CALL, RESULT, tools=(TOOL,), reasoning=ask_for, on=CLAUDE_37)
    assert "thinking" in made["additionalModelRequestFields"]


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "sent"),
    [
        (CLAUDE_46, "none", {"type": "disabled"}, None),
        (CLAUDE_46, "minimal", {"type": "adaptive"}, "low"),
        (CLAUDE_46, "xhigh", {"type": "adaptive"}, "max"),
        (CLAUDE_47, "xhigh", {"type": "adaptive"}, "xhigh"),
        (CLAUDE_47, "none", None, None),
        (CLAUDE_5, "none", None, "low"),
        (CLAUDE_5, "max", {"type": "adaptive"}, "max"),
    ],
)
def test_adaptive_models_get_an_effort(
    model: str, effort: Effort, thinking: Any, sent: str | None
) -> None:
    made = body(reasoning=ReasoningAsk(effort=effort), on=model)
    assert made.get("additionalModelRequestFields", {}).get("thinking") == thinking
    assert made.get("outputConfig", {}).get("effort") == sent


def test_a_budget_on_an_adaptive_model_is_an_effort() -> None:
    made, losses = raw(ask(reasoning=ReasoningAsk(budget=10_000), dialect="messages"), CLAUDE_47)
    assert made["outputConfig"] == {"effort": "high"}
    assert reasons(losses) == [("thinking.budget_tokens", "adapted")]


@pytest.mark.parametrize(("summary", "display"), [("auto", "summarized"), ("none", "omitted")])
def test_what_is_shown_of_thoughts(summary: Any, display: str) -> None:
    made = body(reasoning=ReasoningAsk(effort="low", summary=summary), on=CLAUDE_47)
    thinking = made["additionalModelRequestFields"]["thinking"]
    assert thinking == {"type": "adaptive", "display": display}


def test_nova_thinks_at_high_effort_only_without_a_limit() -> None:
    high = ReasoningAsk(effort="max")
    made, losses = raw(ask(reasoning=high, temperature=0.3), NOVA_2)
    assert made["additionalModelRequestFields"] == {
        "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}
    }
    assert "inferenceConfig" not in made
    assert reasons(losses) == [("temperature", "dropped")]
    made, losses = raw(ask(reasoning=high, max_output_tokens=500), NOVA_2)
    config = made["additionalModelRequestFields"]["reasoningConfig"]
    assert config["maxReasoningEffort"] == "medium"
    assert made["inferenceConfig"] == {"maxTokens": 500}
    assert reasons(losses) == [("reasoning.effort", "adapted")]
    off = body(reasoning=ReasoningAsk(effort="none"), on=NOVA_2)
    assert off["additionalModelRequestFields"] == {"reasoningConfig": {"type": "disabled"}}


def test_gpt_oss_takes_its_effort_flat() -> None:
    made, losses = raw(ask(reasoning=ReasoningAsk(effort="xhigh")), GPT_OSS)
    assert made["additionalModelRequestFields"] == {"reasoning_effort": "high"}
    assert reasons(losses) == [("reasoning.effort", "adapted")]


MARK = CacheMark()


def test_marks_become_cache_points_behind_what_they_mark() -> None:
    made = body(
        Message("user", (Text("long", cache=CacheMark("1h")), Text("short"))),
        instructions=(Text("s", cache=MARK),),
        tools=(FunctionTool(name="a", cache=CacheMark("5m")),),
    )
    point = {"cachePoint": {"type": "default"}}
    assert made["system"] == [{"text": "s"}, point]
    assert made["toolConfig"]["tools"][1] == point
    assert made["messages"][0]["content"] == [
        {"text": "long"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "short"},
    ]  # fmt: skip


def points_of(value: Any) -> int:
    return msgspec.json.encode(value).count(b'"cachePoint"')


def test_no_more_than_four_cache_points_are_sent() -> None:
    parts = tuple([Text(str(at), cache=MARK) for at in range(6)])
    made, losses = raw(ask(Message("user", parts), caching=True, tools=(TOOL,)))
    assert points_of(made) == 4
    assert reasons(losses) == [("caching", "dropped")]


def test_caching_by_itself_marks_tools_system_and_the_last_user_message() -> None:
    made = body(
        USER, Message("assistant", (Text("a"),)), USER, Message("assistant", (Text("b"),)),
        instructions=(Text("s"),), tools=(TOOL,), caching=True,
    )  # fmt: skip
    assert points_of(made) == 3
    assert points_of(made["system"]) == points_of(made["toolConfig"]) == 1
    assert points_of(made["messages"][2]) == 1
    nova = body(instructions=(Text("s"),), tools=(TOOL,), caching=True, on=NOVA)
    assert points_of(nova) == 2
    assert points_of(nova["toolConfig"]) == 0


def test_models_without_a_cache_get_no_points_and_it_is_declared() -> None:
    made, losses = raw(ask(Message("user", (Text("a", cache=MARK),)), caching=True), LLAMA)
    assert points_of(made) == 0
    assert {path for path, _ in reasons(losses)} == {"caching"}


def test_a_mark_inside_a_result_stands_behind_it() -> None:
    made = body(USER, CALL, ToolResult("c1", (Text("a", cache=MARK),)), tools=(TOOL,))
    assert [next(iter(block)) for block in made["messages"][2]["content"]] == [
        "toolResult", "cachePoint",
    ]  # fmt: skip


def test_metadata_that_bedrock_does_not_take_is_declared() -> None:
    made, losses = raw(ask(metadata={"team": "a b", "bad": "ü", "long": "x" * 257}))
    assert made["requestMetadata"] == {"team": "a b"}
    assert reasons(losses) == [("metadata.bad", "dropped"), ("metadata.long", "dropped")]


@pytest.mark.parametrize(
    ("tier", "sent"),
    [("auto", None), ("default", None), ("flex", "flex"), ("priority", "priority"),
     ("scale", "reserved")],
)  # fmt: skip
def test_service_tiers(tier: str, sent: str | None) -> None:
    made = body(service_tier=tier)
    assert made.get("serviceTier", {}).get("type") == sent


def test_extras_of_bedrocks_own_are_sent_and_not_counted_as_lost() -> None:
    extras = {
        "guardrailConfig": Raw(b'{"guardrailIdentifier":"abc","guardrailVersion":"1"}'),
        "performanceConfig": Raw(b'{"latency":"optimized"}'),
        "anthropic_beta": Raw(b'["context-1m-2025-08-07"]'),
        "additionalModelRequestFields": Raw(b'{"x":1}'),
        "other": Raw(b"1"),
    }
    losses: list[Loss] = []
    can = capabilities(CLAUDE)
    fitted = fit(ask(extras=extras), can, frozenset(), losses).request
    made = msgspec.json.decode(write(fitted, upstream(), losses))
    validate(made)
    assert made["guardrailConfig"]["guardrailIdentifier"] == "abc"
    assert made["performanceConfig"] == {"latency": "optimized"}
    assert made["additionalModelRequestFields"] == {
        "anthropic_beta": ["context-1m-2025-08-07"], "x": 1,
    }  # fmt: skip
    assert reasons(losses) == [("other", "dropped")]


@pytest.mark.parametrize("name", ["anthropic_beta", "additionalModelRequestFields"])
def test_extras_of_a_wrong_type_are_refused_by_name(name: str) -> None:
    with pytest.raises(BadRequest) as raised:
        body(extras={name: Raw(b"5")})
    assert raised.value.param == name


def test_tokens_are_counted_for_what_counts() -> None:
    losses: list[Loss] = []
    request = ask(instructions=(Text("s"),), tools=(TOOL,), max_output_tokens=5, temperature=0.1)
    made = msgspec.json.decode(count_tokens.write(request, upstream(), losses))
    assert set(made["input"]["converse"]) == {"messages", "system", "toolConfig"}
    validate(made, "CountTokens")
    assert count_tokens.read(b'{"inputTokens": 15}') == 15


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"inputTokens":-1}', b'{"inputTokens":"x"}'])
def test_a_count_that_cannot_be_read_is_a_typed_error(answer: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        count_tokens.read(answer)


MODELS = [
    CLAUDE, CLAUDE_37, CLAUDE_46, CLAUDE_47, CLAUDE_5, NOVA, NOVA_2, LLAMA, MISTRAL, MISTRAL_7B,
    GPT_OSS, "us.anthropic.claude-opus-5-5", "anthropic.claude-3-haiku-20240307-v1:0",
    "deepseek.v3-v1:0", "us.deepseek.r1-v1:0", "qwen.qwen3-32b-v1:0", "openai.gpt-5.6",
    "amazon.titan-text-express-v1", "cohere.command-r-v1:0", "some.new-model",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abcdefghijkl",
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_every_family_gets_requests_that_the_service_model_accepts(model: str) -> None:
    """Everything at once, through the passes."""
    request = GenerateRequest(
        model="m", dialect="messages", stream=True, instructions=(Text("s"),),
        items=(
            Message("user", (Text("a", cache=MARK),)),
            Reasoning(("t",), (), Sealed(ORIGIN, "signature", "s")),
            ToolCall("toolu_01AbCdEfGhIjKlMnOpQrSt", "look.it up", '{"a":1}'),
            ToolResult("toolu_01AbCdEfGhIjKlMnOpQrSt", (Text("r"),), is_error=True),
            Message("user", (Text("b"),)),
        ),
        tools=(FunctionTool(name="look.it up", parameters=TOOL.parameters),),
        tool_choice=ToolChoice("auto"), parallel_tool_calls=False, max_output_tokens=4000,
        temperature=1.7, top_p=0.5, top_k=4, stop=("x",), seed=5, user="u", caching=True,
        reasoning=ReasoningAsk(effort="high", summary="auto"), service_tier="flex",
        format=OutputFormat(kind="json_schema", name="n", schema=Raw(b'{"type":"object"}')),
        metadata={"k": "v"},
    )  # fmt: skip
    losses: list[Loss] = []
    target = upstream(model)
    fitted = fit(request, target.capabilities, frozenset((ORIGIN,)), losses).request
    made = msgspec.json.decode(write(fitted, target, losses))
    validate(made)
    assert losses


def test_every_row_has_a_source_and_is_reached() -> None:
    for row in (*FAMILIES, UNKNOWN):
        assert row.source.startswith("https://docs.aws.amazon.com/")
    for row in FAMILIES:
        for part in row.models:
            assert family(f"us.{part}-v1:0") is row, part


@pytest.mark.parametrize(
    ("model", "same_as"),
    [
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1", CLAUDE_46),
        ("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0", NOVA),
        ("anthropic.claude-sonnet-4-20250514-v1:0", CLAUDE_37),
        ("Global.Anthropic.Claude-Opus-4-7", CLAUDE_47),
    ],
)
def test_ids_in_arns_and_regions_are_understood(model: str, same_as: str) -> None:
    assert family(model) is family(same_as)


def test_a_mebibyte_of_pictures_is_written_in_a_few_milliseconds() -> None:
    data = b64encode(bytes(786_432)).decode()
    request = ask(Message("user", (Text("a"), Image(Source("base64", data, "image/png")))))
    target, best = upstream(), 1.0
    for _ in range(5):
        begin = time.perf_counter()
        write(request, target, [])
        best = min(best, time.perf_counter() - begin)
    assert best < 0.01
