"""Values that are wrong are 400, and the error names the parameter in the client's words.

Where the dialect is translated the gateway is who has to know: no provider sees these requests.
"""

from typing import Any

import anthropic
import openai
import pytest
from tests.support.matrix import Matrix
from tests.support.talks import CITY

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = "x" * 513
FUNCTION: dict[str, Any] = {"type": "function", "name": "f", "parameters": CITY}
MANY = {str(number): "x" for number in range(17)}
USER = {"role": "user", "content": "Hi"}


def said(**part: Any) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


RESPONSES: list[tuple[str, Any, str]] = [
    ("temperature", 2.1, "temperature"),
    ("temperature", -0.1, "temperature"),
    ("temperature", "hot", "temperature"),
    ("top_p", 1.1, "top_p"),
    ("top_p", -1, "top_p"),
    ("max_output_tokens", 0, "max_output_tokens"),
    ("max_output_tokens", "many", "max_output_tokens"),
    ("max_tool_calls", 0, "max_tool_calls"),
    ("top_logprobs", 21, "top_logprobs"),
    ("presence_penalty", 3, "presence_penalty"),
    ("frequency_penalty", -3, "frequency_penalty"),
    ("reasoning", {"effort": "huge"}, "reasoning.effort"),
    ("reasoning", {"summary": "long"}, "reasoning.summary"),
    ("reasoning", "high", "reasoning"),
    ("text", {"verbosity": "loud"}, "text.verbosity"),
    ("text", {"format": {"type": "xml"}}, "text.format.type"),
    ("text", {"format": {"type": "json_schema", "name": "out"}}, "text.format.schema"),
    ("truncation", "some", "truncation"),
    ("service_tier", "gold", "service_tier"),
    ("metadata", MANY, "metadata"),
    ("metadata", {"a": LONG}, "metadata.a"),
    ("parallel_tool_calls", "no", "parallel_tool_calls"),
    ("prompt_cache_key", 5, "prompt_cache_key"),
    ("stream", "yes", "stream"),
    ("store", "yes", "store"),
    ("previous_response_id", "resp_1", "previous_response_id"),
    ("prompt", {"id": "pmpt_1"}, "prompt"),
    ("instructions", 5, "instructions"),
    ("tool_choice", "always", "tool_choice"),
    ("tool_choice", {"type": "function", "name": "g"}, "tool_choice"),
    ("tools", [{"type": "function"}], "tools[0].name"),
    ("tools", [{"name": "f"}], "tools[0].type"),
    ("tools", [{**FUNCTION, "parameters": 5}], "tools[0].parameters"),
    ("tools", [FUNCTION, FUNCTION], "tools[1]"),
    ("input", [], "input"),
    ("input", 5, "input"),
    ("input", [{"role": "robot", "content": "Hi"}], "input[0].role"),
    ("input", [said(type="input_smell")], "input[0].content[0].type"),
    ("input", [said(type="input_text")], "input[0].content[0].text"),
    ("input", [said(type="input_image", image_url="data:x")], "input[0].content[0].image_url"),
    ("input", [said(type="input_image")], "input[0].content[0].image_url"),
    (
        "input",
        [said(type="input_image", image_url="ftp://x/y.png")],
        "input[0].content[0].image_url",
    ),
    ("input", [{"type": "function_call_output", "call_id": "c"}], "input[0].output"),
]
CHAT_TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": CITY}}
CHAT: list[tuple[str, Any, str]] = [
    ("temperature", 2.1, "temperature"),
    ("temperature", -0.1, "temperature"),
    ("top_p", 1.1, "top_p"),
    ("n", 0, "n"),
    ("n", 2, "n"),
    ("n", 129, "n"),
    ("max_tokens", 0, "max_tokens"),
    ("max_completion_tokens", 0, "max_completion_tokens"),
    ("presence_penalty", 2.1, "presence_penalty"),
    ("frequency_penalty", -2.1, "frequency_penalty"),
    ("top_logprobs", 21, "top_logprobs"),
    ("logit_bias", {"1": 101}, "logit_bias.1"),
    ("stop", ["a", "b", "c", "d", "e"], "stop"),
    ("stop", 5, "stop"),
    ("seed", "x", "seed"),
    ("reasoning_effort", "huge", "reasoning_effort"),
    ("verbosity", "loud", "verbosity"),
    ("service_tier", "gold", "service_tier"),
    ("metadata", MANY, "metadata"),
    ("stream", "yes", "stream"),
    ("stream_options", {"include_usage": "x"}, "stream_options.include_usage"),
    ("response_format", {"type": "xml"}, "response_format.type"),
    (
        "response_format",
        {"type": "json_schema", "json_schema": {"name": "a b", "schema": CITY}},
        "response_format.json_schema.name",
    ),
    ("parallel_tool_calls", "no", "parallel_tool_calls"),
    ("tool_choice", "always", "tool_choice"),
    ("tool_choice", {"type": "function", "function": {"name": "g"}}, "tool_choice"),
    ("tools", [{"type": "function"}], "tools[0].function"),
    ("tools", [{"type": "function", "function": {}}], "tools[0].function.name"),
    ("tools", [{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name"),
    ("tools", [CHAT_TOOL, CHAT_TOOL], "tools[1]"),
    ("messages", [], "messages"),
    ("messages", [{"role": "robot", "content": "Hi"}], "messages[0].role"),
    ("messages", [{"content": "Hi"}], "messages[0].role"),
    ("messages", [{"role": "user"}], "messages[0].content"),
    ("messages", [said(type="smell")], "messages[0].content[0].type"),
    ("messages", [said(type="image_url")], "messages[0].content[0].image_url"),
    (
        "messages",
        [said(type="image_url", image_url={"url": "data:x"})],
        "messages[0].content[0].image_url.url",
    ),
    ("messages", [{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
    (
        "messages",
        [USER, {"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}],
        "messages[1].tool_calls[0].function",
    ),
]
CLAUDE_TOOL: dict[str, Any] = {"name": "f", "input_schema": CITY}
MESSAGES: list[tuple[str, Any, str]] = [
    ("max_tokens", 0, "max_tokens"),
    ("max_tokens", None, "max_tokens"),
    ("max_tokens", "many", "max_tokens"),
    ("temperature", 1.1, "temperature"),
    ("temperature", -0.1, "temperature"),
    ("top_p", 1.1, "top_p"),
    ("top_k", -1, "top_k"),
    ("stop_sequences", "END", "stop_sequences"),
    ("service_tier", "gold", "service_tier"),
    ("stream", "yes", "stream"),
    ("system", 5, "system"),
    ("thinking", {"type": "sometimes"}, "thinking.type"),
    ("thinking", {"type": "enabled"}, "thinking.budget_tokens"),
    ("thinking", {"type": "enabled", "budget_tokens": 1023}, "thinking.budget_tokens"),
    ("thinking", {"type": "enabled", "budget_tokens": 9000}, "thinking.budget_tokens"),
    ("thinking", {"type": "adaptive", "display": "loud"}, "thinking.display"),
    ("output_config", {"effort": "huge"}, "output_config.effort"),
    ("output_config", {"format": {"type": "xml"}}, "output_config.format.type"),
    ("tool_choice", {"type": "always"}, "tool_choice.type"),
    ("tool_choice", {"type": "tool", "name": "g"}, "tool_choice.name"),
    ("tool_choice", {"type": "tool"}, "tool_choice.name"),
    ("tools", [{"name": "f"}], "tools[0].input_schema"),
    ("tools", [{"input_schema": CITY}], "tools[0].name"),
    ("tools", [{"name": "a b", "input_schema": CITY}], "tools[0].name"),
    ("tools", [CLAUDE_TOOL, CLAUDE_TOOL], "tools"),
    ("cache_control", {"type": "forever"}, "cache_control.type"),
    ("messages", [], "messages"),
    ("messages", [{"role": "robot", "content": "Hi"}], "messages[0].role"),
    ("messages", [{"role": "user"}], "messages[0].content"),
    ("messages", [said(type="text")], "messages[0].content[0].text"),
    ("messages", [said(type="image")], "messages[0].content[0].source"),
    (
        "messages",
        [said(type="image", source={"type": "base64", "media_type": "image/tiff", "data": "AAAA"})],
        "messages[0].content[0].source.media_type",
    ),
]


def rows(table: list[tuple[str, Any, str]]) -> Any:
    names = [f"{name}={str(value)[:40]}" for name, value, _ in table]
    return pytest.mark.parametrize(("name", "value", "param"), table, ids=names)


@rows(RESPONSES)
async def test_responses(matrix: Matrix, name: str, value: Any, param: str) -> None:
    body: dict[str, Any] = {"input": "Hi", "tools": [FUNCTION], name: value}
    with pytest.raises(openai.BadRequestError) as caught:
        await matrix.sdks.openai.responses.create(model="bedrock", extra_body=body)
    assert caught.value.param == param


@rows(CHAT)
async def test_chat(matrix: Matrix, name: str, value: Any, param: str) -> None:
    body = {"tools": [CHAT_TOOL], "messages": [USER], name: value}
    with pytest.raises(openai.BadRequestError) as caught:
        await matrix.sdks.openai.chat.completions.create(
            model="bedrock", messages=[], extra_body=body
        )
    assert caught.value.param == param


@rows(MESSAGES)
async def test_messages(matrix: Matrix, name: str, value: Any, param: str) -> None:
    body = {"tools": [CLAUDE_TOOL], "messages": [USER], "max_tokens": 8192, name: value}
    with pytest.raises(anthropic.BadRequestError) as caught:
        await matrix.sdks.anthropic.messages.create(
            model="bedrock", messages=[], max_tokens=1, extra_body=body
        )
    message = caught.value.body["error"]["message"]  # type: ignore[index, call-overload]
    assert message.startswith(f"{param}: ") or f"'{param}'" in message or f"`{param}`" in message
