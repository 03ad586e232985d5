"""Values for fields whose type does not say what is valid, and the requests they stand in."""

import json
from collections.abc import Iterator
from typing import Any

from anthropic.types.beta.message_create_params import MessageCreateParamsBase as Beta
from anthropic.types.message_create_params import MessageCreateParamsBase as Messages
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as Chat
from openai.types.responses.response_create_params import ResponseCreateParamsBase as Responses
from tests.unit.dialects.silence_kit import Pair, Target, Values, Walk

PNG = "iVBORw0KGgo="
PNG2 = "iVBORw0KGgoA"
PDF = "JVBERi0xLjQK"
PDF2 = "JVBERi0xLjUK"
OBJECT = {"type": "object", "properties": {"zqone": {"type": "string"}}, "required": ["zqone"],
          "additionalProperties": False}  # fmt: skip
OBJECT2 = json.loads(json.dumps(OBJECT).replace("zqone", "zqtwo"))
ADDRESSES = ["https://example.com/zqone.png", "https://example.com/zqtwo.png"]
PDFS = ["https://example.com/zqone.pdf", "https://example.com/zqtwo.pdf"]
ARGUMENTS = ['{"zqone":1}', '{"zqtwo":2}']
SCHEMAS = [OBJECT, OBJECT2]

TARGETS = (
    Target("responses", "openAI", "gpt-5.5"),
    Target("responses", "openAI", "gpt-4.1"),
    Target("chat", "openAI", "gpt-5.5"),
    Target("chat", "openAI", "gpt-4.1"),
    Target("chat", "openrouter", "x/y"),
    Target("chat", "mistral", "mistral-large-4"),
    Target("chat", "custom", "m"),
    Target("messages", "anthropic", "claude-sonnet-4-5"),
    Target("messages", "anthropic", "claude-opus-5"),
    Target("gemini", "gemini", "gemini-3-pro"),
    Target("gemini", "vertex", "gemini-2.5-flash", frozenset(("vertex",))),
    Target("converse", "bedrock", "anthropic.claude-sonnet-4-5-v1:0"),
    Target("converse", "bedrock", "amazon.nova-pro-v1:0"),
)
"""Of each dialect one that can do much and one that cannot."""

_DATA = [f"data:application/pdf;base64,{PDF}", f"data:application/pdf;base64,{PDF2}"]
_ASKED: dict[str, list[Any]] = {
    "model": ["m"],
    "temperature": [0.5, 0.7],
    "top_p": [0.5, 0.7],
    "metadata": [{"zqkey": "zqone"}, {"zqkey": "zqtwo"}],
    "arguments": ARGUMENTS,
    "parameters": SCHEMAS,
    "schema": SCHEMAS,
    "file_id": ["file-zqone", "file-zqtwo"],
    "file_data": _DATA,
}
_RESPONSES: dict[str, list[Any]] = {
    **_ASKED,
    "include[]": ["message.output_text.logprobs"],
    "image_url": ADDRESSES,
    "file_url": PDFS,
    "background": [True],
    "EasyInputMessageParam.role": ["user", "system", "developer", "assistant"],
    "Mcp.require_approval": ["never", "always"],
    "server_url": ["https://example.com/zqone", "https://example.com/zqtwo"],
    "FunctionCallOutput.call_id": ["call_1"],
    "ComputerCallOutput.call_id": ["call_1"],
    "ResponseCustomToolCallOutputParam.call_id": ["call_2"],
    "ToolChoiceFunctionParam.name": ["f1", "f2"],
    "ToolChoiceCustomParam.name": ["c1", "c2"],
    "ToolChoiceMcpParam.server_label": ["s1", "s2"],
    "ToolChoiceMcpParam.name": [],
    "ToolChoiceAllowedParam.tools[]": [
        {"type": "function", "name": "f1"}, {"type": "function", "name": "f2"},
    ],
    "previous_response_id": ["resp_zqone"],
    "conversation": ["conv_zqone"],
    "Function.description": ["zqone", "zqtwo"],
}  # fmt: skip
_RESPONSES_BEFORE: dict[str, list[Any]] = {
    "input": [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "call_1", "name": "f1", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "c1", "input": "x"},
    ],
}
_RESPONSES_NEEDS = {
    "FunctionCallOutput": ("call_id",),
    "ResponseInputImageParam": ("image_url",),
    "ResponseInputImageContentParam": ("image_url",),
    "ResponseInputFileParam": ("file_data",),
    "ResponseInputFileContentParam": ("file_data",),
    "Mcp": ("server_url", "require_approval"),
}
_RESPONSES_GROUPS = {
    "ResponseInputImageParam": ("image_url", "file_id"),
    "ResponseInputImageContentParam": ("image_url", "file_id"),
    "ResponseInputFileParam": ("file_data", "file_url", "file_id"),
    "ResponseInputFileContentParam": ("file_data", "file_url", "file_id"),
}
_CHAT: dict[str, list[Any]] = {
    **_ASKED,
    "url": ADDRESSES,
    "tool_call_id": ["call_1"],
    "ChatCompletionNamedToolChoiceParam.function": [{"name": "f1"}, {"name": "f2"}],
    "ChatCompletionNamedToolChoiceCustomParam.custom": [{"name": "c1"}, {"name": "c2"}],
    "ChatCompletionFunctionCallOptionParam.name": ["f1", "f2"],
    "ChatCompletionAllowedToolsParam.tools": [
        [{"type": "function", "function": {"name": "f1"}}],
        [{"type": "function", "function": {"name": "f2"}}],
    ],
    "ChatCompletionFunctionMessageParam.name": ["f3"],
    "InputAudio.data": ["UklGRg==", "UklGRgA="],
}  # fmt: skip
_CHAT_BEFORE: dict[str, list[Any]] = {
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f1", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        {"role": "assistant", "content": None, "function_call": {"name": "f3", "arguments": "{}"}},
    ],
}  # fmt: skip
_MESSAGES: dict[str, list[Any]] = {
    **_ASKED,
    "max_tokens": [2000, 3000],
    "budget_tokens": [1024, 1500],
    "input_schema": SCHEMAS,
    "Base64ImageSourceParam.data": [PNG, PNG2],
    "BetaBase64ImageSourceParam.data": [PNG, PNG2],
    "Base64PDFSourceParam.data": [PDF, PDF2],
    "BetaBase64PDFSourceParam.data": [PDF, PDF2],
    "url": ADDRESSES,
    "tool_use_id": ["call_1"],
    "ToolChoiceToolParam.name": ["f1", "f2"],
    "BetaToolChoiceToolParam.name": ["f1", "f2"],
    "betas": [],
}
_MESSAGES_BEFORE: dict[str, list[Any]] = {
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "call_1", "name": "f1", "input": {}}]},
    ],
}  # fmt: skip
_MESSAGES_VALUES = Values(_MESSAGES, _MESSAGES_BEFORE, {}, {})
ROOTS: dict[str, Any] = {
    "responses": (
        Responses, Values(_RESPONSES, _RESPONSES_BEFORE, _RESPONSES_NEEDS, _RESPONSES_GROUPS)
    ),
    "chat": (Chat, Values(_CHAT, _CHAT_BEFORE, {"FileFile": ("file_data",)},
                          {"FileFile": ("file_data", "file_id")})),
    "messages": (Messages, _MESSAGES_VALUES),
    "beta": (Beta, _MESSAGES_VALUES),
}  # fmt: skip

_TOOLS: dict[str, list[Any]] = {
    "responses": [
        *({"type": "function", "name": name, "parameters": OBJECT} for name in ("f1", "f2")),
        *({"type": "custom", "name": name} for name in ("c1", "c2")),
    ],
    "chat": [
        *({"type": "function", "function": {"name": name}} for name in ("f1", "f2")),
        *({"type": "custom", "custom": {"name": name}} for name in ("c1", "c2")),
    ],
    "messages": [{"name": name, "input_schema": {"type": "object"}} for name in ("f1", "f2")],
}
_NEED_TOOLS = ("tool_choice", "function_call", "parallel_tool_calls")
BASES: dict[str, dict[str, Any]] = {
    "responses": {"model": "m", "input": "hi"},
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "messages": {
        "model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}]
    },
}  # fmt: skip


def _tools_for(dialect: str, choice: Any) -> list[Any]:
    kind = choice.get("type") if isinstance(choice, dict) and dialect == "responses" else None
    if kind in (None, "function", "custom", "allowed_tools"):
        return _TOOLS[dialect]
    if kind == "mcp":
        return [{"type": "mcp", "server_label": label, "server_url": "https://example.com",
                 "require_approval": "never"} for label in ("s1", "s2")]  # fmt: skip
    return [{"type": kind}]


def pairs_of(client: str) -> Iterator[Pair]:
    """All pairs of requests of a client's dialect."""
    kind, values = ROOTS[client]
    dialect = "messages" if client == "beta" else client
    for pair in Walk(values).pairs(kind, "", "", ()):
        path = pair.path[1:]
        base = BASES[dialect]
        if path.startswith(_NEED_TOOLS):
            base = {**base, "tools": _tools_for(dialect, pair.given.get("tool_choice"))}
        if path.startswith("input[3].phase"):
            pair = Pair(pair.path, *(
                {"input": [*side["input"][:3], {**side["input"][3], "role": "assistant"}]}
                for side in (pair.given, pair.other)
            ), pair.kind)  # fmt: skip
        if path == "top_logprobs":
            base = {**base, "logprobs": True, "include": ["message.output_text.logprobs"]}
        if path.startswith("stream_options"):
            base = {**base, "stream": True}
        given, other = ({**base, **side} for side in (pair.given, pair.other))
        yield Pair(path, given, other, pair.kind)
