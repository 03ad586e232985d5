"""What a chat client may ask, and how it is told what is wrong."""

import base64
import json
from typing import Any

import pytest
from tests.unit.dialects.chat_translate.chat_kit import LIMITS, ask, fields_of, seal, unseal

from portico.dialects.chat.client import CLIENT
from portico.dialects.chat.details import UNREAD
from portico.errors import BadRequest
from portico.model.items import Message, Reasoning, ToolCall, ToolResult
from portico.model.parts import Audio, CacheMark, File, Image, Refusal, Source, Text, Video
from portico.model.request import OutputFormat, ReasoningAsk
from portico.model.sealed import PREFIX, Sealed
from portico.model.tools import (
    AUTO,
    CustomTool,
    FunctionTool,
    HostedTool,
    ToolChoice,
    ToolRef,
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 24).decode()


def test_every_parameter_arrives() -> None:
    got = ask(
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=9,
        max_tokens=8,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        presence_penalty=-1,
        frequency_penalty=2,
        stop=["a", "b"],
        seed=7,
        n=2,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=3,
        parallel_tool_calls=False,
        reasoning_effort="high",
        verbosity="low",
        metadata={"k": "v"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="p",
        service_tier="flex",
        store=True,
    )
    assert (got.model, got.dialect, got.stream, got.include_usage) == ("m", "chat", True, True)
    assert got.max_output_tokens == 9
    assert (got.temperature, got.top_p, got.top_k) == (0.5, 0.9, 40)
    assert (got.presence_penalty, got.frequency_penalty) == (-1, 2)
    assert (got.stop, got.seed, got.choices) == (("a", "b"), 7, 2)
    assert got.logit_bias is not None
    assert bytes(got.logit_bias) == b'{"50256": -100}'
    assert (got.logprobs, got.top_logprobs) == (True, 3)
    assert got.parallel_tool_calls is False
    assert got.reasoning == ReasoningAsk(effort="high")
    assert (got.verbosity, got.metadata, got.user) == ("low", {"k": "v"}, "u")
    assert (got.safety_identifier, got.prompt_cache_key) == ("s", "p")
    assert (got.service_tier, got.store) == ("flex", True)
    assert got.extras == {}


def test_what_nobody_said_stays_unsaid() -> None:
    got = ask()
    assert got.max_output_tokens is got.temperature is got.reasoning is got.format is None
    assert (got.stop, got.tools, got.tool_choice, got.choices) == ((), (), AUTO, 1)
    assert ask(stop="x").stop == ("x",)
    assert ask(max_tokens=5).max_output_tokens == 5


def test_members_without_a_name_in_the_hub_are_kept_as_they_are() -> None:
    got = ask(prediction={"type": "content", "content": "x"}, modalities=["text", "audio"],
              audio={"voice": "a", "format": "wav"}, min_p=0.1, safe=None)  # fmt: skip
    assert set(got.extras) == {"prediction", "modalities", "audio", "min_p"}
    assert bytes(got.extras["min_p"]) == b"0.1"
    assert ask(modalities=["text"]).extras == {}


def test_openrouters_reasoning_object_is_understood() -> None:
    assert ask(reasoning={"max_tokens": 2000}).reasoning == ReasoningAsk(budget=2000)
    assert ask(reasoning={"effort": "low", "exclude": True}).reasoning == ReasoningAsk(
        effort="low", summary="none"
    )
    assert ask(reasoning={"enabled": False}).reasoning == ReasoningAsk(effort="none")


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "x"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"frequency_penalty": 2.5}, "frequency_penalty"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"verbosity": "loud"}, "verbosity"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"prompt_cache_key": "x" * 65}, "prompt_cache_key"),
        ({"safety_identifier": "x" * 129}, "safety_identifier"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "content": "x", "name": "f"}]}, "messages[0].name"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/png"}}]}]},
            "messages[0].content[1].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "http://a", "detail": "x"}}]}]},
            "messages[0].content[0].image_url.detail",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file.file_data",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "x"}]}]},
            "messages[0].tool_calls[0].type",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]}]},
            "messages[0].tool_calls[0].function",
        ),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio"),
        ({"tools": [{"type": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"functions": [{"name": ""}]}, "functions[0].name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"type": "x"}}, "tool_choice.type"),
        ({"function_call": "maybe"}, "function_call"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"web_search_options": {"search_context_size": "all"}},
            "web_search_options.search_context_size",
        ),
        ({"reasoning": {"effort": "x"}}, "reasoning.effort"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        ask(**members)
    assert caught.value.param == param


def test_content_of_every_kind_arrives() -> None:
    pdf = base64.b64encode(b"%PDF-1.7 ....").decode()
    parts = [
        {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": pdf}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
    ]
    got = ask(messages=[{"role": "user", "content": parts, "name": "ann"}])
    assert got.items == (
        Message(
            "user",
            (
                Text("Look", cache=CacheMark("1h")),
                Image(Source("base64", PNG, "image/png")),
                Image(Source("url", "https://a/b.png"), "high"),
                Audio("AAAA", "mp3"),
                File(Source("base64", pdf, "application/pdf"), "a.pdf"),
                File(Source("file_id", "file-1")),
                Video(Source("url", "https://a/b.mp4")),
            ),
            name="ann",
        ),
    )


def test_a_tool_loop_arrives_flat() -> None:
    got = ask(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Really."}]},
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "Sure.",
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"x": 1}'},
                    },
                    {"id": "b", "type": "custom", "custom": {"name": "g", "input": "1+1"}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "one"},
            {
                "role": "tool",
                "tool_call_id": "b",
                "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "T"},
                                              {"type": "refusal", "refusal": "R"}]},
            {"role": "assistant", "content": None, "refusal": "No."},
        ]
    )  # fmt: skip
    assert got.items == (
        Message("system", (Text("Be brief."),)),
        Message("developer", (Text("Really."),)),
        Message("user", (Text("Hi"),)),
        Message("assistant", (Text("Sure."),)),
        ToolCall("a", "f", '{"x": 1}'),
        ToolCall("b", "g", "1+1", "custom"),
        ToolResult("a", (Text("one"),)),
        ToolResult("b", (Text("2"), Text("3")), "custom"),
        Message("assistant", (Text("T"), Refusal("R"))),
        Message("assistant", (Refusal("No."),)),
    )


def test_the_older_functions_are_tools_and_their_results_find_their_calls() -> None:
    got = ask(
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None,
             "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "assistant", "content": None,
             "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "2"},
        ],
    )  # fmt: skip
    assert isinstance(got.tools[0], FunctionTool)
    assert got.tool_choice == ToolChoice("tool", ToolRef("function", "f"))
    assert got.parallel_tool_calls is False
    _, one, first, two, second = got.items
    assert isinstance(one, ToolCall)
    assert isinstance(two, ToolCall)
    assert isinstance(first, ToolResult)
    assert isinstance(second, ToolResult)
    assert one.call_id == first.call_id != two.call_id == second.call_id


def test_tools_and_choices_are_unnested() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    got = ask(
        tools=[
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": schema, "strict": True},
            },
            {
                "type": "custom",
                "custom": {
                    "name": "g",
                    "format": {
                        "type": "grammar",
                        "grammar": {"syntax": "lark", "definition": "start: A"},
                    },
                },
            },
        ],
        web_search_options={
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": {"country": "DE"}},
        },
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
        },
    )
    function, custom, search = got.tools
    assert isinstance(function, FunctionTool)
    assert (function.name, function.description, function.strict) == ("f", "d", True)
    assert function.parameters is not None
    assert json.loads(bytes(function.parameters)) == schema
    assert isinstance(custom, CustomTool)
    assert custom.format is not None
    assert json.loads(bytes(custom.format)) == {
        "type": "grammar", "syntax": "lark", "definition": "start: A",
    }  # fmt: skip
    assert isinstance(search, HostedTool)
    assert search.kind == "web_search"
    assert search.user_location is not None
    assert json.loads(bytes(search.user_location)) == {"type": "approximate", "country": "DE"}
    assert got.tool_choice == ToolChoice("required", None, (ToolRef("function", "f"),))
    assert ask(tool_choice="none").tool_choice == ToolChoice("none")
    assert ask(tool_choice={"type": "custom", "custom": {"name": "g"}}).tool_choice == ToolChoice(
        "tool", ToolRef("custom", "g")
    )


def test_structured_output_is_unnested() -> None:
    assert ask(response_format={"type": "text"}).format is None
    assert ask(response_format={"type": "json_object"}).format == OutputFormat(kind="json_object")
    got = ask(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        }
    ).format
    assert got is not None
    assert (got.kind, got.name, got.strict) == ("json_schema", "n", True)
    assert got.schema is not None
    assert json.loads(bytes(got.schema)) == {"type": "object"}


def sealed_element(place: str, data: str, index: int = 0) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "data": seal(Sealed("o", "signature", data)),
            "id": place, "format": "portico-v1", "index": index}  # fmt: skip


def test_sealed_reasoning_stands_where_its_place_says() -> None:
    calls = [
        {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for name in ("a", "b")
    ]
    details = [
        {"type": "reasoning.text", "text": "T0", "format": "portico-v1", "index": 0},
        sealed_element("text:0", "s0"),
        sealed_element("text:5", "s1", 1),
        sealed_element("call:b", "s2", 2),
        sealed_element("end", "s3", 3),
    ]
    got = ask(
        messages=[
            {
                "role": "assistant",
                "content": "One\n\ntwo",
                "reasoning_content": "T0",
                "reasoning_details": details,
                "tool_calls": calls,
            }
        ]
    ).items

    def reasoning(data: str, *content: str) -> Reasoning:
        return Reasoning(content=content, sealed=Sealed("o", "signature", data))

    assert got == (
        reasoning("s0", "T0"),
        Message("assistant", (Text("One"),)),
        reasoning("s1"),
        Message("assistant", (Text("two"),)),
        ToolCall("a", "f", "{}"),
        reasoning("s2"),
        ToolCall("b", "f", "{}"),
        reasoning("s3"),
    )


def test_elements_that_an_sdk_merged_are_still_ours() -> None:
    merged = {**sealed_element("text:0", "s"), "text": "T", "format": "portico-v1portico-v1"}
    got = ask(messages=[{"role": "assistant", "content": "x", "reasoning_details": [merged]}])
    assert got.items[0] == Reasoning(content=("T",), sealed=Sealed("o", "signature", "s"))


def test_reasoning_of_others_is_native() -> None:
    theirs = {"type": "reasoning.text", "text": "Hm", "signature": "s", "index": 0}
    got = ask(
        messages=[
            {
                "role": "assistant",
                "content": "x",
                "reasoning_content": "Hm",
                "reasoning_details": [theirs],
            },
        ]
    )
    item = got.items[0]
    assert isinstance(item, Reasoning)
    assert item.content == ("Hm",)
    assert item.sealed is not None
    assert (item.sealed.origin, item.sealed.kind) == ("native:chat", "details")
    assert json.loads(item.sealed.data) == theirs
    assert len(got.items) == 2


def test_reasoning_content_alone_is_reasoning_before_the_text() -> None:
    got = ask(messages=[{"role": "assistant", "content": "x", "reasoning_content": "Hm"}])
    assert got.items[0] == Reasoning(content=("Hm",))


def test_a_wrapped_value_that_cannot_be_read_belongs_to_nobody() -> None:
    element = {**sealed_element("end", ""), "data": PREFIX + "%%%"}
    got = ask(messages=[{"role": "assistant", "content": "x", "reasoning_details": [element]}])
    item = got.items[1]
    assert isinstance(item, Reasoning)
    assert item.sealed is not None
    assert item.sealed.origin == UNREAD


def test_geminis_signatures_on_calls_are_kept() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "c2ln"}}}  # fmt: skip
    got = ask(messages=[{"role": "assistant", "tool_calls": [call]}])
    assert got.items == (
        Reasoning(sealed=Sealed("native:gemini", "next", "c2ln")),
        ToolCall("a", "f", "{}"),
    )


def test_strip_takes_out_ours_and_keeps_the_rest_byte_for_byte() -> None:
    theirs = b'{"type":"reasoning.text","text":"x",  "index":0}'
    ours = json.dumps(sealed_element("end", "s")).encode()
    text = b'{"type":"reasoning.text","text":"x","format":"portico-v1","index":0}'
    user = b'{"role":"user", "content":"\\u00e9 portico-v1"}'
    body = (
        b'{"messages":[%b,{"role":"assistant","content":"a","reasoning_details":[%b,%b,%b]},'
        b'{"role":"assistant","reasoning_details":[%b],"content":"b"}]}'
        % (user, text, theirs, ours, ours)
    )
    assert CLIENT.strip(fields_of(body)) == {
        "messages": b'[%b,{"role":"assistant","content":"a","reasoning_details":[%b]},'
        b'{"role":"assistant","content":"b"}]' % (user, theirs)
    }


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"ptco1_ portico-v1"}]}',
        b'{"messages":[{"role":"assistant","content":"x","reasoning_details":"ptco1_"}]}',
        b'{"messages":"ptco1_"}',
        b"{}",
    ],
)
def test_strip_changes_nothing_without_a_reason(body: bytes) -> None:
    assert CLIENT.strip(fields_of(body)) == {}


def test_an_earlier_spoken_answer_is_refused_for_what_it_is() -> None:
    with pytest.raises(BadRequest, match="spoken"):
        ask(messages=[{"role": "assistant", "audio": {"id": "a"}, "content": "x"}])


def test_a_large_picture_is_read_quickly() -> None:
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG * 30_000}}
        ]}]}
    ).encode()  # fmt: skip
    got = CLIENT.read(fields_of(body), body, LIMITS, unseal)
    (message,) = got.items
    assert isinstance(message, Message)
    assert isinstance(message.parts[0], Image)
    assert len(message.parts[0].source.value) == len(PNG) * 30_000
