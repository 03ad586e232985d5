"""What a client of the Messages API asks for, in the hub's terms; what it may not ask for."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from tests.unit.dialects.messages_translate.common import (
    ORIGIN,
    read,
    read_bytes,
    refused,
    seal,
    unseal,
)

from portico.dialects.messages.client import CLIENT
from portico.dialects.messages.ours import SERVER_CALL
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.items import Compaction, Hosted, Message, Reasoning, ToolCall, ToolResult
from portico.model.parts import CacheMark, File, Image, Source, Text
from portico.model.request import ReasoningAsk
from portico.model.sealed import PREFIX, Sealed, native
from portico.model.tools import FunctionTool, HostedTool, ToolChoice, ToolRef


def messages(*content: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(content)}]}


def items(*content: Any, role: str = "user") -> tuple[Any, ...]:
    return read(messages(*content, role=role)).items


def test_strings_and_text_blocks_mean_the_same() -> None:
    assert read({}).items == (Message("user", (Text("Hi"),)),)
    assert items({"type": "text", "text": "Hi"}) == read({}).items
    assert read({"system": "Be kind."}).instructions == (Text("Be kind."),)
    blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert read({"system": blocks}).instructions == (Text("a", cache=CacheMark("1h")),)


def test_every_parameter_has_its_place() -> None:
    found = read(
        {
            "model": "claude-x",
            "max_tokens": 77,
            "temperature": 0.25,
            "top_p": 0.5,
            "top_k": 9,
            "stop_sequences": ["END"],
            "stream": True,
            "metadata": {"user_id": "u1"},
            "service_tier": "standard_only",
            "cache_control": {"type": "ephemeral"},
            "container": "c1",
        }
    )
    assert (found.model, found.dialect, found.max_output_tokens) == ("claude-x", "messages", 77)
    assert (found.temperature, found.top_p, found.top_k) == (0.25, 0.5, 9)
    assert (found.stop, found.stream, found.user) == (("END",), True, "u1")
    assert (found.service_tier, found.caching) == ("default", True)
    assert list(found.extras) == ["container"]


def test_media_keep_their_bytes_and_say_where_they_are() -> None:
    data = "iVBORw0KGgo="
    assert items(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {
            "type": "document",
            "title": "T",
            "context": "C",
            "citations": {"enabled": True},
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "t"}},
        {"type": "document", "source": {"type": "content", "content": "plain"}},
        {"type": "container_upload", "file_id": "file_2"},
    ) == (
        Message(
            "user",
            (
                Image(Source("base64", data, "image/png")),
                Image(Source("url", "https://x/y.png")),
                Image(Source("file_id", "file_1")),
                File(Source("base64", "JVBERi0=", "application/pdf"), "T", None, "C", True),
                File(Source("text", "t", "text/plain")),
                File(Source("text", "plain", "text/plain")),
                File(Source("file_id", "file_2")),
            ),
        ),
    )


def test_a_document_of_blocks_keeps_its_pictures_behind_its_text() -> None:
    (message,) = items(
        {
            "type": "document",
            "source": {
                "type": "content",
                "content": [
                    {"type": "text", "text": "one"},
                    {"type": "image", "source": {"type": "url", "url": "https://x/p.png"}},
                    {"type": "text", "text": "two"},
                ],
            },
        }
    )
    assert message.parts == (
        File(Source("text", "one\n\ntwo", "text/plain")),
        Image(Source("url", "https://x/p.png")),
    )


def test_a_search_result_is_a_document_that_says_its_source() -> None:
    (message,) = items(
        {
            "type": "search_result",
            "source": "https://x",
            "title": "X",
            "content": [{"type": "text", "text": "found"}],
        }
    )
    assert message.parts == (
        File(Source("text", "found", "text/plain"), "X", context="Source: https://x"),
    )


def test_calls_and_results_become_items_in_order() -> None:
    found = read(
        {
            "messages": [
                {"role": "user", "content": "q"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1.50}},
                        {"type": "text", "text": "b"},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "is_error": True,
                            "content": [
                                {"type": "text", "text": "r"},
                                {"type": "image", "source": {"type": "url", "url": "https://i"}},
                                {"type": "tool_reference", "tool_name": "g"},
                            ],
                        },
                        {"type": "text", "text": "c"},
                    ],
                },
            ]
        }
    ).items
    assert found == (
        Message("user", (Text("q"),)),
        Message("assistant", (Text("a"),)),
        ToolCall("t1", "f", '{"x": 1.5}'),
        Message("assistant", (Text("b"),)),
        ToolResult(
            "t1",
            (
                Text("r"),
                Image(Source("url", "https://i")),
                Text('{"type": "tool_reference", "tool_name": "g"}'),
            ),
            is_error=True,
        ),
        Message("user", (Text("c"),)),
    )


def test_arguments_keep_the_bytes_the_client_wrote() -> None:
    text = (
        b'{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use"'
        b',"id":"t","name":"f","input":{"n":1.50,"e":"\\u00e9"}}]}]}'
    )
    fields = {
        "messages": Raw(text[text.index(b'"messages":') + 11 : -1]),
        "model": Raw(b'"m"'),
        "max_tokens": Raw(b"9"),
    }
    (call,) = CLIENT.read(fields, text, Limits(), unseal).items
    assert call == ToolCall("t", "f", '{"n":1.50,"e":"\\u00e9"}')


def test_thinking_is_unsealed_or_kept_as_the_clients_own() -> None:
    ours = Sealed(ORIGIN, "next", "gemini-proof")
    foreign = f"{PREFIX}of-another-tenant"
    assert items(
        {"type": "thinking", "thinking": "t", "signature": "anthropic-signature"},
        {"type": "redacted_thinking", "data": "anthropic-data"},
        {"type": "thinking", "thinking": "", "signature": seal(ours)},
        {"type": "thinking", "thinking": "kept", "signature": foreign},
        {"type": "thinking", "thinking": "no proof", "signature": ""},
        {"type": "thinking", "thinking": "", "signature": ""},
        role="assistant",
    ) == (
        Reasoning(("t",), (), native("messages", "signature", "anthropic-signature")),
        Reasoning((), (), native("messages", "redacted", "anthropic-data")),
        Reasoning((), (), ours),
        Reasoning(("kept",), (), None),
        Reasoning(("no proof",), (), None),
    )


def test_a_server_tool_and_its_result_are_one_item_at_the_place_of_the_call() -> None:
    call = {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "cats"},
    }
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://c",
                "title": "C",
                "encrypted_content": "e",
            }
        ],
    }
    between = {"type": "text", "text": "searching"}
    found = items(call, between, result, role="assistant")
    assert [type(item) for item in found] == [Hosted, Message]
    hosted = found[0]
    assert (hosted.type, hosted.input, hosted.status) == ("web_search_call", "cats", "completed")
    assert [(hit.url, hit.title) for hit in hosted.hits] == [("https://c", "C")]
    assert json.loads(bytes(hosted.native[1])) == [call, result]


def test_a_search_this_gateway_told_of_has_nothing_to_replay() -> None:
    name = f"{SERVER_CALL}_00"
    found = items(
        {"type": "server_tool_use", "id": name, "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": name, "content": []},
        role="assistant",
    )
    assert [(item.input, item.native) for item in found] == [("q", None)]


def test_mcp_blocks_and_unknown_blocks_are_tolerated() -> None:
    call = {"type": "mcp_tool_use", "id": "m1", "name": "t", "server_name": "s", "input": {"a": 1}}
    result = {
        "type": "mcp_tool_result",
        "tool_use_id": "m1",
        "is_error": False,
        "content": [{"type": "text", "text": "said"}],
    }
    hosted, other = items(call, result, {"type": "brand_new", "id": 7}, role="assistant")
    assert (hosted.type, hosted.name, hosted.output) == ("mcp_call", "t", "said")
    assert other == Hosted(
        type="brand_new", native=("messages", Raw(b'[{"type": "brand_new", "id": 7}]'))
    )


def test_a_compaction_is_readable_and_kept_as_it_is() -> None:
    block = {"type": "compaction", "content": "so far", "signature": "s"}
    (item,) = items(block, role="assistant")
    assert isinstance(item, Compaction)
    assert item.text == "so far"
    assert item.sealed is not None
    assert json.loads(item.sealed.data) == block


def test_citations_are_kept_with_their_own_object() -> None:
    place = {
        "type": "char_location",
        "cited_text": "c",
        "document_index": 2,
        "document_title": "D",
        "start_char_index": 0,
        "end_char_index": 1,
    }
    (message,) = items({"type": "text", "text": "x", "citations": [place]}, role="assistant")
    (citation,) = message.parts[0].citations
    assert (citation.kind, citation.title, citation.index) == ("document", "D", 2)
    assert json.loads(bytes(citation.native[1])) == place


def test_system_messages_may_stand_in_the_conversation() -> None:
    found = read(
        {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "system", "content": "be brief"},
            ]
        }
    ).items
    assert found[1] == Message("system", (Text("be brief"),))


def test_tools_are_functions_or_hosted_by_their_version() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    found = read(
        {
            "tools": [
                {
                    "name": "f",
                    "description": "d",
                    "input_schema": schema,
                    "strict": True,
                    "cache_control": {"type": "ephemeral"},
                },
                {"type": "custom", "name": "g", "input_schema": schema},
                {
                    "type": "web_search_20260318",
                    "name": "web_search",
                    "max_uses": 2,
                    "allowed_domains": ["a.b"],
                    "user_location": {"type": "approximate", "city": "Paris"},
                },
                {"type": "code_execution_20250825", "name": "code_execution"},
                {"type": "bash_20250124", "name": "bash"},
                {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
                {"type": "computer_20250124", "name": "computer"},
                {"type": "web_fetch_20250910", "name": "web_fetch"},
                {"type": "memory_20250818", "name": "memory"},
                {"type": "brand_new_2027", "name": "x"},
            ],
            "mcp_servers": [{"type": "url", "name": "s", "url": "https://mcp"}],
        }
    ).tools
    assert isinstance(found[0], FunctionTool)
    assert json.loads(bytes(found[0].parameters or b"")) == schema
    assert (found[0].strict, found[0].cache) == (True, CacheMark())
    hosted = [tool for tool in found if isinstance(tool, HostedTool)]
    assert [tool.kind for tool in hosted] == [
        "web_search", "code_interpreter", "bash", "text_editor", "computer", "web_fetch",
        "memory", "brand_new_2027", "mcp",
    ]  # fmt: skip
    assert (hosted[0].max_uses, hosted[0].allowed_domains) == (2, ("a.b",))
    assert json.loads(bytes(hosted[0].user_location or b"")) == {
        "type": "approximate",
        "city": "Paris",
    }


@pytest.mark.parametrize(
    ("choice", "wanted", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(), False),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("required"), True),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "f"}, ToolChoice("tool", ToolRef("function", "f")), None),
        (
            {"type": "tool", "name": "web_search"},
            ToolChoice("tool", ToolRef("web_search", "web_search")),
            None,
        ),
    ],
)
def test_tool_choice(choice: Any, wanted: ToolChoice, parallel: bool | None) -> None:
    tools = [
        {"name": "f", "input_schema": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    found = read({"tools": tools, "tool_choice": choice})
    assert (found.tool_choice, found.parallel_tool_calls) == (wanted, parallel)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, None),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            ReasoningAsk(budget=1024, summary="auto"),
        ),
        ({"thinking": {"type": "adaptive"}}, ReasoningAsk(effort="high")),
        (
            {
                "thinking": {"type": "adaptive", "display": "omitted"},
                "output_config": {"effort": "xhigh"},
            },
            ReasoningAsk(effort="xhigh", summary="none"),
        ),
        ({"thinking": {"type": "disabled"}}, ReasoningAsk(effort="none")),
        ({"thinking": {"type": "between_tools"}}, ReasoningAsk(effort="none")),
        ({"output_config": {"effort": "low"}}, ReasoningAsk(effort="low")),
    ],
)
def test_thinking_and_effort(body: Any, wanted: ReasoningAsk | None) -> None:
    assert read(body).reasoning == wanted


def test_structured_output_in_its_new_and_its_old_place() -> None:
    schema = {"type": "object", "properties": {}}
    wanted = {"type": "json_schema", "schema": schema}
    for body in ({"output_config": {"format": wanted}}, {"output_format": wanted}):
        found = read(body).format
        assert found is not None
        assert (found.kind, found.strict) == ("json_schema", True)
        assert json.loads(bytes(found.schema or b"")) == schema


IMAGE = {"type": "image"}
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "9"}, "max_tokens"),
    ({"model": ""}, "model"),
    ({"temperature": 1.5}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"top_k": -1}, "top_k"),
    ({"stream": "yes"}, "stream"),
    ({"stop_sequences": [1]}, "stop_sequences[0]"),
    ({"service_tier": "fast"}, "service_tier"),
    ({"messages": []}, "messages"),
    ({"messages": "x"}, "messages"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    (messages({"text": "x"}), "messages[0].content[0].type"),
    (messages({"type": "text"}), "messages[0].content[0].text"),
    (messages({"type": "text", "text": 1}), "messages[0].content[0].text"),
    (messages({"type": "text", "text": "x"}, IMAGE), "messages[0].content[1].source"),
    (
        messages({**IMAGE, "source": {"type": "base64", "data": "x"}}),
        "messages[0].content[0].source.media_type",
    ),
    (
        messages({**IMAGE, "source": {"type": "base64", "media_type": "image/tiff", "data": "x"}}),
        "messages[0].content[0].source.media_type",
    ),
    (
        messages({**IMAGE, "source": {"type": "ftp", "url": "x"}}),
        "messages[0].content[0].source.type",
    ),
    (messages({**IMAGE, "source": {"type": "url"}}), "messages[0].content[0].source.url"),
    (
        messages({"type": "document", "source": {"type": "text", "data": ""}}),
        "messages[0].content[0].source.data",
    ),
    (
        messages({"type": "text", "text": "x", "cache_control": {"type": "forever"}}),
        "messages[0].content[0].cache_control.type",
    ),
    (
        messages(
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1d"}}
        ),
        "messages[0].content[0].cache_control.ttl",
    ),
    (
        messages({"type": "tool_use", "id": "t", "name": "f"}, role="assistant"),
        "messages[0].content[0].input",
    ),
    (
        messages({"type": "tool_use", "id": "t", "name": "f", "input": []}, role="assistant"),
        "messages[0].content[0].input",
    ),
    (
        messages({"type": "tool_use", "id": "t", "name": "f", "input": {}}),
        "messages[0].content[0]",
    ),
    (messages({"type": "tool_result"}), "messages[0].content[0].tool_use_id"),
    (
        messages({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}),
        "messages[0].content[0].content[0].text",
    ),
    (messages({"type": "thinking", "thinking": "x"}), "messages[0].content[0]"),
    (messages({"type": "redacted_thinking"}, role="assistant"), "messages[0].content[0].data"),
    ({"system": 1}, "system"),
    ({"system": [{"type": "image"}]}, "system[0].type"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "f", "input_schema": {}}] * 2}, "tools"),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "tool", "name": "f"}}, "tool_choice.name"),
    ({"mcp_servers": [{"name": "s"}]}, "mcp_servers[0].url"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1000}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "max_tokens"),
    ({"thinking": {"type": "hard"}}, "thinking.type"),
    ({"thinking": {"type": "adaptive", "display": "loud"}}, "thinking.display"),
    ({"output_config": {"effort": "none"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"Model": "x"}, "Model"),
]


@pytest.mark.parametrize(("body", "param"), REFUSALS, ids=[param for _, param in REFUSALS])
def test_what_is_wrong_is_refused_by_its_path(body: dict[str, Any], param: str) -> None:
    error = refused(body)
    assert error.param == param
    assert error.http_status == 400
    assert error.message.startswith(param) or param in error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(0, 2) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "text",
                    "role",
                    "content",
                    "source",
                    "data",
                    "media_type",
                    "name",
                    "id",
                    "input",
                    "tool_use_id",
                    "thinking",
                    "signature",
                    "cache_control",
                    "ttl",
                    "citations",
                ]
            ),
            inner
            | st.sampled_from(
                [
                    "text",
                    "image",
                    "document",
                    "tool_use",
                    "tool_result",
                    "thinking",
                    "base64",
                    "assistant",
                    "user",
                    "ephemeral",
                    "server_tool_use",
                    "web_search_tool_result",
                ]
            ),
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "messages",
                "system",
                "tools",
                "tool_choice",
                "thinking",
                "output_config",
                "metadata",
                "mcp_servers",
                "temperature",
                "stop_sequences",
                "cache_control",
            ]
        ),
        JSON,
        max_size=4,
    )
)
def test_nothing_but_a_bad_request_comes_of_any_json(body: dict[str, Any]) -> None:
    full = {"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "x"}]}
    with suppress(BadRequest):
        read_bytes(json.dumps({**full, **body}).encode())


@given(st.lists(JSON, min_size=1, max_size=4), st.sampled_from(["user", "assistant"]))
def test_nothing_but_a_bad_request_comes_of_any_content(content: list[Any], role: str) -> None:
    try:
        read(messages(*content, role=role))
        param = "messages"
    except BadRequest as error:
        param = error.param or ""
    assert param.startswith("messages")
