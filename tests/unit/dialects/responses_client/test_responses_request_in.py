"""A Responses request is read whole, and what is wrong with it is named in the client's terms."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialects.responses_client import scenes
from tests.unit.dialects.responses_client.scenes import ask, refusal

from portico.dialects import checks
from portico.dialects.responses.request_in import read
from portico.errors import BadRequest
from portico.model.items import Message
from portico.model.parts import Text
from portico.model.request import OutputFormat, ReasoningAsk


def hi(**members: Any) -> dict[str, Any]:
    return {"model": "m", "input": "hi", **members}


def test_the_smallest_request_says_nothing_the_client_did_not_say() -> None:
    request = ask(hi())
    assert request.items == (Message("user", (Text("hi"),)),)
    assert (request.model, request.dialect, request.stream) == ("m", "responses", False)
    for name in request.__struct_fields__:
        if name not in ("model", "dialect", "items", "tool_choice", "choices"):
            assert not getattr(request, name)


def test_every_parameter_arrives() -> None:
    request = ask(
        hi(
            instructions="Be kind.", stream=True, max_output_tokens=16, max_tool_calls=1,
            temperature=2, top_p=0, presence_penalty=-2, frequency_penalty=2.0,
            parallel_tool_calls=False, metadata={"a": "b"}, user="u", safety_identifier="s" * 64,
            prompt_cache_key="k" * 64, caching="auto", service_tier="flex", truncation="auto",
            store=True, top_logprobs=20, background=False,
            include=["message.output_text.logprobs", "made.up"],
            reasoning={"effort": "xhigh", "summary": "detailed"},
            text={"verbosity": "low", "format": {"type": "json_schema", "name": "n",
                  "schema": {"type": "object"}, "strict": True, "description": "d"}},
            stream_options={"include_obfuscation": False},
        )
    )  # fmt: skip
    assert request.instructions == (Text("Be kind."),)
    assert request.stream
    assert (request.max_output_tokens, request.max_tool_calls) == (16, 1)
    assert (request.temperature, request.top_p) == (2, 0)
    assert (request.presence_penalty, request.frequency_penalty) == (-2, 2)
    assert request.parallel_tool_calls is False
    assert request.metadata == {"a": "b"}
    assert (request.user, request.safety_identifier) == ("u", "s" * 64)
    assert (request.prompt_cache_key, request.caching) == ("k" * 64, True)
    assert (request.service_tier, request.truncation, request.store) == ("flex", "auto", True)
    assert (request.logprobs, request.top_logprobs) == (True, 20)
    assert request.include == {"message.output_text.logprobs", "made.up"}
    assert request.reasoning == ReasoningAsk(effort="xhigh", summary="detailed")
    assert request.verbosity == "low"
    assert isinstance(request.format, OutputFormat)
    assert (request.format.kind, request.format.name) == ("json_schema", "n")
    assert (request.format.strict, request.format.description) == (True, "d")
    assert json.loads(bytes(request.format.schema or b"")) == {"type": "object"}
    assert request.extras == {}


NULLABLE = (
    "background", "conversation", "frequency_penalty", "include", "instructions",
    "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "presence_penalty",
    "previous_response_id", "prompt", "prompt_cache_key", "reasoning", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "temperature", "text", "tool_choice",
    "tools", "top_logprobs", "top_p", "truncation", "user", "allowed_tools", "caching",
)  # fmt: skip


def test_null_is_the_same_as_nothing() -> None:
    assert ask(hi(**dict.fromkeys(NULLABLE))) == ask(hi())


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_effort_is_known(effort: str) -> None:
    assert ask(hi(reasoning={"effort": effort})).reasoning == ReasoningAsk(effort=effort)  # type: ignore[arg-type]


def test_the_old_name_of_the_summary_is_read() -> None:
    found = ask(hi(reasoning={"generate_summary": "concise"})).reasoning
    assert found == ReasoningAsk(summary="concise")


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_formats_without_a_schema(kind: str) -> None:
    found = ask(hi(text={"format": {"type": kind}})).format
    assert (found.kind if found else "text") == kind


def test_what_nobody_knows_is_kept_for_the_same_family() -> None:
    request = ask(hi(client_metadata={"a": 1}, moderation={"model": "x"}, zebra=[1]))
    assert {name: json.loads(bytes(raw)) for name, raw in request.extras.items()} == {
        "client_metadata": {"a": 1}, "moderation": {"model": "x"}, "zebra": [1],
    }  # fmt: skip
    assert list(request.extras) == ["client_metadata", "moderation", "zebra"]


RANGES = [
    ("max_output_tokens", 15, "integer_below_min_value"),
    ("max_output_tokens", 1.5, "invalid_type"),
    ("max_tool_calls", 0, "integer_below_min_value"),
    ("temperature", -0.1, "decimal_below_min_value"),
    ("temperature", 2.1, "decimal_above_max_value"),
    ("top_p", 1.01, "decimal_above_max_value"),
    ("top_p", -1.0, "decimal_below_min_value"),
    ("presence_penalty", 2.5, "decimal_above_max_value"),
    ("frequency_penalty", -2.5, "decimal_below_min_value"),
    ("top_logprobs", 21, "integer_above_max_value"),
    ("top_logprobs", -1, "integer_below_min_value"),
    ("prompt_cache_key", "k" * 65, "string_above_max_length"),
    ("safety_identifier", "k" * 129, "string_above_max_length"),
    ("truncation", "none", "invalid_value"),
    ("service_tier", "gold", "invalid_value"),
    ("caching", "off", "invalid_value"),
    ("metadata", {str(n): "" for n in range(17)}, "object_above_max_properties"),
    ("stream", "yes", "invalid_type"),
    ("store", 1, "invalid_type"),
    ("instructions", ["x"], "invalid_type"),
    ("input", 5, "invalid_type"),
    ("input", [], "empty_array"),
    ("input", "x" * 10_485_761, "string_above_max_length"),
    ("input", None, "missing_required_parameter"),
    ("model", None, "invalid_type"),
    ("model", "", "invalid_value"),
    ("tools", {}, "invalid_type"),
    ("tool_choice", "maybe", "invalid_value"),
    ("previous_response_id", "resp_1", "unsupported_parameter"),
    ("conversation", "conv_1", "unsupported_parameter"),
    ("conversation", {"id": "conv_1"}, "unsupported_parameter"),
    ("prompt", {"id": "p"}, "unsupported_parameter"),
    ("background", True, "unsupported_parameter"),
]


@pytest.mark.parametrize(("name", "value", "code"), RANGES)
def test_what_is_out_of_range_is_named(name: str, value: Any, code: str) -> None:
    assert refusal(hi(**{name: value})) == (code, name)


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"reasoning": {"effort": "huge"}}, "invalid_value", "reasoning.effort"),
        ({"reasoning": {"effort": 1}}, "invalid_type", "reasoning.effort"),
        ({"reasoning": {"summary": "none"}}, "invalid_value", "reasoning.summary"),
        ({"reasoning": {"generate_summary": "x"}}, "invalid_value", "reasoning.generate_summary"),
        ({"text": {"verbosity": "loud"}}, "invalid_value", "text.verbosity"),
        ({"text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type"),
        ({"text": {"format": {}}}, "missing_required_parameter", "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "missing_required_parameter",
         "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "missing_required_parameter",
         "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": "s"}}}, "invalid_type",
         "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "name": "n" * 65, "schema": {}}}},
         "string_above_max_length", "text.format.name"),
        ({"metadata": {"a": "b", "c`": 5}}, "invalid_type", "metadata.c'"),
        ({"include": ["a", 1]}, "invalid_type", "include[1]"),
        ({"stream_options": {"include_obfuscation": 1}}, "invalid_type",
         "stream_options.include_obfuscation"),
        ({"Model": "x"}, "unknown_parameter", "Model"),
        ({"Caching": "auto"}, "unknown_parameter", "Caching"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_is_named(members: dict[str, Any], code: str, param: str) -> None:
    assert refusal(hi(**members)) == (code, param)


def test_logprobs_are_only_asked_for_by_the_include() -> None:
    request = ask(hi(top_logprobs=3))
    assert (request.logprobs, request.top_logprobs) == (False, None)


def test_a_missing_input_is_named() -> None:
    assert refusal({"model": "m"}) == ("missing_required_parameter", "input")
    assert refusal({"input": "hi"}) == ("missing_required_parameter", "model")


WORDS = (
    "message", "function_call", "function_call_output", "reasoning", "user", "input_image",
    "input_file", "input_text", "function", "custom", "mcp", "namespace", "required",
    "data:image/png;base64,AA", "data:,", "ptco1_x", "web_search_call", "output_text",
)  # fmt: skip
NAMES = (
    "type", "role", "content", "id", "name", "call_id", "arguments", "input", "output", "summary",
    "encrypted_content", "text", "image_url", "file_data", "filename", "tools", "parameters",
    "server_label", "mode", "annotations", "action", "status", "queries",
)  # fmt: skip
NUMBERS = st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.sampled_from(WORDS)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=20,
)
TYPED = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5).flatmap(
    lambda rest: st.sampled_from(WORDS).map(lambda kind: {**rest, "type": kind})
)
OTHERS = ("tools", "tool_choice", "allowed_tools", "text", "reasoning", "include", "metadata",
          "stream_options", "instructions")  # fmt: skip
BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "input": st.lists(TYPED | JSON, min_size=1, max_size=4) | JSON},
    optional=dict.fromkeys(OTHERS, JSON),
)


@settings(max_examples=150, deadline=None)
@given(body=BODIES)
def test_whatever_a_client_sends_only_a_named_refusal_comes_of_it(body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    fields = checks.members(raw, scenes.LIMITS)
    refused: BadRequest | None = None
    try:
        request = read(fields, raw, scenes.LIMITS, scenes.unseal)
    except BadRequest as error:
        refused = error
    if refused is not None:
        assert refused.code
        assert refused.param
        assert refused.param.partition(".")[0].partition("[")[0] in body
    else:
        assert isinstance(body["input"], str) or len(request.items) == len(body["input"])
