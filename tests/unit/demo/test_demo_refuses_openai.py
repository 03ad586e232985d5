"""What OpenAI refuses, the demo refuses: with its envelope, naming the parameter."""

from typing import Any

import pytest
from tests.unit.demo.wires import CITY, PNG, error_of, follow, hello, post, raw_calls, send

from portico.demo.provider import DemoProvider


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def call(name: str = "c1") -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def calls(*names: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call(name) for name in names]}


def result(name: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": name, "content": "r"}


def tool(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


HI = {"role": "user", "content": "Hi"}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
OPTIONAL = {**CITY, "required": []}
NESTED = {
    "type": "object",
    "properties": {"a": OPEN},
    "required": ["a"],
    "additionalProperties": False,
}

CHAT: list[tuple[dict[str, Any], str]] = [
    ({"nope": 1}, "Unknown parameter: 'nope'."),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "assistant", "content": None}, HI]}, "messages[0].content"),
    ({"messages": [HI, {**HI, "extra": 1}]}, "messages[1].extra"),
    ({"messages": [user({"type": "odd"})]}, "messages[0].content[0].type"),
    ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
    ({"messages": [user(image("ftp://x"))]}, "messages[0].content[0].image_url.url"),
    ({"messages": [user(image("data:image/png;base64,???"))]}, "messages[0].content[0].image_url"),
    ({"messages": [user(image(f"data:image/tiff;base64,{PNG}"))]}, "messages[0].content[0]"),
    ({"messages": [user({"type": "file", "file": {}})]}, "messages[0].content[0].file"),
    (
        {
            "messages": [
                user({"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}})
            ]
        },
        "messages[0].content[0].input_audio.data",
    ),
    ({"messages": [HI, calls("c1")]}, "messages[1].role"),
    ({"messages": [HI, calls("c1"), HI]}, "messages[1].role"),
    ({"messages": [HI, calls("c1", "c2"), result("c1")]}, "messages[2].role"),
    ({"messages": [HI, calls("c1"), HI, result("c1")]}, "messages[1].role"),
    ({"messages": [HI, result("c1")]}, "messages[1].role"),
    ({"messages": [HI, calls("c1"), result("c1"), result("c1")]}, "messages[3].role"),
    ({"messages": [HI, calls("c1", "c1"), result("c1")]}, "messages[1].tool_calls"),
    ({"tools": [tool("bad name")]}, "tools[0].function.name"),
    ({"tools": [tool("f" * 65)]}, "tools[0].function.name"),
    ({"tools": [tool(parameters={"type": "string"})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters=OPEN, strict=True)]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters=OPTIONAL, strict=True)]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters=NESTED, strict=True)]}, "tools[0].function.parameters"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"parallel_tool_calls": False}, "parallel_tool_calls"),
    ({"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "g"),
    ({"temperature": 2.5}, "temperature"),
    ({"top_p": "1"}, "top_p"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
    ({"reasoning_effort": "huge"}, "huge"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
    ({"response_format": {"type": "json_object"}}, "json"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}, "name"),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": OPEN, "strict": True},
            }
        },
        "response_format 'a'",
    ),
]


@pytest.mark.parametrize(("change", "named"), CHAT)
async def test_chat(change: dict[str, Any], named: str) -> None:
    assert (await post("chat", hello("chat"))).status == 200
    reply = await post("chat", {**hello("chat"), **change})
    assert reply.status == 400, reply.body
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert named in f"{error_of('chat', reply)} {error['param']}"


async def test_chat_takes_what_it_should() -> None:
    for change in (
        {"messages": [HI, calls("c1", "c2"), result("c2"), result("c1"), HI]},
        {"messages": [HI, {"role": "assistant", "content": "x", "reasoning_content": "y"}, HI]},
        {"tools": [tool(parameters=CITY, strict=True)], "tool_choice": "auto"},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "x"}]}, HI]},
        {"temperature": None, "stop": None, "tools": None, "seed": 3, "logit_bias": {"1": 2}},
    ):
        reply = await post("chat", {**hello("chat"), **change})
        assert reply.status == 200, reply.body


def fcall(name: str = "c1", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "f", "arguments": "{}", **more}


def output(name: str = "c1", kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": name, "output": "r"}


RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"nope": 1}, "Unknown parameter: 'nope'."),
    ({"stop": ["x"]}, "stop"),
    ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
    ({"input": [{"type": "odd"}]}, "input[0].type"),
    ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
    ({"input": [user({"type": "output_text", "text": "x"})]}, "input[0].content[0].type"),
    (
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}, HI]},
        "input[0].content[0].type",
    ),
    ({"input": [user({"type": "input_image"})]}, "input[0].content[0]"),
    ({"input": [user({"type": "input_image", "image_url": "x"})]}, "input[0].content[0].image_url"),
    ({"input": [user({"type": "input_file", "file_data": PNG})]}, "input[0].content[0].filename"),
    ({"input": [HI, fcall()]}, "No tool output found for function call c1"),
    ({"input": [HI, output()]}, "No tool call found for function call output with call_id c1"),
    ({"input": [HI, output(), fcall()]}, "c1"),
    ({"input": [HI, fcall(), output(kind="custom_tool_call_output")]}, "custom tool call output"),
    ({"input": [HI, fcall("c1"), fcall("c2"), output("c1")]}, "c2"),
    (
        {"input": [HI, {"type": "function_call", "call_id": "c", "arguments": "{}"}]},
        "input[1].name",
    ),
    ({"input": [HI, fcall("c" * 65)]}, "input[1].call_id"),
    ({"input": [HI, {"type": "reasoning", "encrypted_content": "x"}]}, "input[1].summary"),
    (
        {"input": [HI, {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}]},
        "could not be verified",
    ),
    ({"max_output_tokens": 15}, "max_output_tokens"),
    ({"temperature": -1}, "temperature"),
    ({"reasoning": {"effort": "huge"}}, "huge"),
    ({"reasoning": {"odd": 1}}, "reasoning.odd"),
    ({"include": ["odd"]}, "odd"),
    ({"truncation": "some"}, "some"),
    ({"safety_identifier": "x" * 65}, "safety_identifier"),
    ({"text": {"format": {"type": "json_object"}}}, "json"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    (
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": OPEN, "strict": True}}},
        "response_format 'a'",
    ),
    ({"tools": [{"type": "function", "name": "bad name"}]}, "tools[0].name"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
    ({"tools": [{"type": "odd"}]}, "tools[0].type"),
    (
        {"tools": [{"type": "function", "name": "f", "parameters": OPEN, "strict": True}]},
        "function 'f'",
    ),
    ({"tool_choice": {"type": "function", "name": "f"}}, "'f'"),
    ({"previous_response_id": "resp_none"}, "resp_none"),
]


@pytest.mark.parametrize(("change", "named"), RESPONSES)
async def test_responses(change: dict[str, Any], named: str) -> None:
    reply = await post("responses", {**hello("responses"), **change})
    assert reply.status == 400, reply.body
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert named in f"{error_of('responses', reply)} {error['param']}"


async def thoughtful() -> tuple[Any, Any]:
    """A question, and the answer: two thoughts, each with a call."""
    body = hello("responses", "[[demo plan=think+call+think+call]]", tool=True, think=True)
    return body, (await post("responses", body)).json()


async def test_reasoning_keeps_its_company() -> None:
    body, answer = await thoughtful()
    whole = follow("responses", body, answer)
    assert (await post("responses", whole)).status == 200
    question, *rest = whole["input"]
    first, called, second, other, *outputs = rest
    for bad, why in (
        ([called, second, other, *outputs], "without its required 'reasoning' item"),
        ([first, second, called, other, *outputs], "without its required following item"),
        ([second, called, first, other, *outputs], "not where it was issued"),
        ([first, called, first, other, *outputs], "not where it was issued"),
        ([first], "without its required following item"),
    ):
        reply = await post("responses", {**whole, "input": [question, *bad]})
        assert reply.status == 400
        assert why in error_of("responses", reply)


async def test_reasoning_stays_in_its_turn() -> None:
    body, answer = await thoughtful()
    whole = follow("responses", body, answer)
    first, called, _, _, result, _ = whole["input"][1:]
    for turns, status in (
        ([body["input"][0], first, called, result, HI], 200),
        ([body["input"][0], first, called, result, HI, first, called, result], 400),
    ):
        assert (await post("responses", {**whole, "input": turns})).status == status


async def test_what_was_not_stored_cannot_be_referred_to() -> None:
    provider = DemoProvider()
    body = hello("responses", "Why?", think=True)
    for store in (False, True):
        made = (await post("responses", {**body, "store": store}, provider=provider)).json()
        reference = {"type": "item_reference", "id": made["output"][0]["id"]}
        message = {"type": "item_reference", "id": made["output"][1]["id"]}
        bare = {"id": made["output"][0]["id"], "type": "reasoning", "summary": []}
        for first in (reference, bare):
            again = {"input": [first, message, HI]}
            reply = await post("responses", again, provider=provider)
            assert reply.status == (200 if store else 404)
            if not store:
                assert "not persisted" in error_of("responses", reply)
        follow_up = {"input": [HI], "previous_response_id": made["id"]}
        reply = await post("responses", follow_up, provider=provider)
        assert reply.status == (200 if store else 400)


async def test_calls_of_the_previous_response_must_be_answered() -> None:
    provider = DemoProvider()
    body = hello("responses", "The weather in Oslo?", tool=True)
    made = (await post("responses", body, provider=provider)).json()
    (called,) = raw_calls("responses", made)
    follow_up = {"input": [HI], "previous_response_id": made["id"]}
    refused = await post("responses", follow_up, provider=provider)
    assert "No tool output found" in error_of("responses", refused)
    follow_up["input"] = [output(called["call_id"])]
    assert (await post("responses", follow_up, provider=provider)).status == 200


async def test_only_what_counts_is_taken_for_counting() -> None:
    body = {"model": "m", "input": "x", "stream": True}
    reply = await send("/v1/responses/input_tokens", body)
    assert "stream" in error_of("responses", reply)
