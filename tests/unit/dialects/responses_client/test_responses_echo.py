"""A response repeats what was asked, whole, and without what is secret."""

import json
from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.responses_client import scenes

from portico.dialects.responses.client import CLIENT, strip
from portico.dialects.responses.echo import echo
from portico.dialects.responses.wire import REQUIRED
from portico.model.sealed import Sealed


def told(body: dict[str, Any]) -> dict[str, Any]:
    written = echo(scenes.asked(body).fields)
    assert b"\n" not in written
    found: dict[str, Any] = json.loads(b"{" + written + b"}")
    return found


def test_what_was_not_asked_is_told_as_its_default() -> None:
    said = told({})
    missing = REQUIRED.keys() - said.keys()
    assert missing == {"id", "object", "created_at", "completed_at", "status", "output", "usage",
                       "incomplete_details", "model", "error", "service_tier"}  # fmt: skip
    assert said == {name: REQUIRED[name] for name in said} | {"store": False}


def test_what_was_asked_is_told() -> None:
    asked = {
        "instructions": "Be\nkind.", "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 99,
        "max_tool_calls": 3, "metadata": {"a": "b"}, "parallel_tool_calls": False,
        "truncation": "auto", "prompt_cache_key": "k", "safety_identifier": "s", "user": "u",
        "presence_penalty": 1, "frequency_penalty": -1, "top_logprobs": 2,
    }  # fmt: skip
    said = told(asked)
    assert {name: said[name] for name in asked} == asked


def test_nulls_are_told_as_defaults() -> None:
    names = ("temperature", "metadata", "tools", "text", "tool_choice", "truncation", "reasoning")
    assert told(dict.fromkeys(names)) == told({})


@pytest.mark.parametrize("name", ["store", "background"])
def test_flags_are_true_only_where_the_body_says_so(name: str) -> None:
    for written, expected in ((b"true", True), (b"false", False), (b"null", False)):
        found = json.loads(b"{" + echo({name: Raw(written)}) + b"}")
        assert found[name] is expected
    assert json.loads(b"{" + echo({}) + b"}")[name] is False


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b'"conv_1"', {"id": "conv_1"}),
        (b'{ "id" :\n"conv_1", "more": 1 }', {"id": "conv_1"}),
        (b"null", None),
        (b"{}", None),
        (b'{"id":null}', None),
    ],
)
def test_a_conversation_is_told_as_an_object_with_its_id(written: bytes, expected: Any) -> None:
    found = json.loads(b"{" + echo({"conversation": Raw(written)}) + b"}")
    assert found.get("conversation") == expected
    assert ("conversation" in found) is (expected is not None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [1]),
        ("tools", [{"no": "type"}]),
        ("tools", [{"type": 5, "name": "f"}]),
        ("tools", [{"type": "namespace", "tools": "none"}]),
        ("text", {"format": "plain"}),
        ("text", {"format": {"type": None}}),
        ("text", {"format": {}}),
    ],
)
def test_shapes_that_nobody_checked_are_told_as_they_came(name: str, value: Any) -> None:
    found = json.loads(b"{" + echo({name: Raw(json.dumps(value, indent=1).encode())}) + b"}")
    assert found[name] == value


def test_the_secrets_of_tools_of_unknown_shape_are_not_told() -> None:
    tools = [{"headers": {"x": "SECRET"}, "inner": [{"authorization": "SECRET"}], "a": 1}]
    found = echo({"tools": Raw(json.dumps(tools).encode())})
    assert b"SECRET" not in found
    assert b'{"inner":[{}],"a":1}' in found
    unreadable = Raw(b'[{"type":"mcp","headers":"SECRET","number":1e999}]')
    assert b'"tools":[],' in echo({"tools": unreadable})


def test_functions_are_told_with_all_members() -> None:
    (tool,) = told({"tools": [{"type": "function", "name": "f", "defer_loading": True}]})["tools"]
    assert tool == {"type": "function", "name": "f", "description": None, "parameters": None,
                    "strict": None, "defer_loading": True}  # fmt: skip
    (space,) = told({"tools": [{"type": "namespace", "name": "n", "tools": [
        {"type": "function", "name": "f", "strict": True}]}]})["tools"]  # fmt: skip
    assert space["tools"][0]["strict"] is True
    assert space["tools"][0]["parameters"] is None


def test_the_secrets_of_tools_are_not_told() -> None:
    tools = [
        {"type": "mcp", "server_label": "s", "authorization": "SECRET",
         "headers": {"x-key": "SECRET"}, "server_url": "https://u:SECRET@a.example:8/SECRET?SECRET",
         "require_approval": "never"},
        {"type": "code_interpreter", "container": {"type": "auto", "network_policy": {
            "type": "allowlist", "domain_secrets": [{"value": "SECRET"}]}}},
        {"type": "mcp", "server_label": "t", "server_url": "https://a.example/"},
        {"type": "later", "list": [{"headers": "SECRET"}]},
    ]  # fmt: skip
    said = told({"tools": tools})["tools"]
    assert "SECRET" not in json.dumps(said)
    assert said[0] == {"type": "mcp", "server_label": "s", "require_approval": "never",
                       "server_url": "https://a.example:8/<redacted>"}  # fmt: skip
    assert said[2]["server_url"] == "https://a.example"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, {"format": {"type": "text"}}),
        ({"verbosity": "low", "format": None}, {"format": {"type": "text"}, "verbosity": "low"}),
        ({"format": {"type": "json_object"}}, {"format": {"type": "json_object"}}),
        ({"format": {"type": "json_schema", "name": "n", "schema": {"a": [1, 2]}}},
         {"format": {"type": "json_schema", "name": "n", "schema": {"a": [1, 2]},
                     "description": None, "strict": False}}),
        ({"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
         {"format": {"type": "json_schema", "name": "n", "schema": {}, "description": None,
                     "strict": True}}),
    ],
)  # fmt: skip
def test_text_is_told_with_its_format(text: dict[str, Any], expected: dict[str, Any]) -> None:
    assert told({"text": text})["text"] == expected


def test_reasoning_is_told_with_both_members() -> None:
    assert told({"reasoning": {}})["reasoning"] == {"effort": None, "summary": None}
    said = told({"reasoning": {"effort": "low", "generate_summary": "auto", "context": "auto"}})
    assert said["reasoning"] == {"effort": "low", "summary": "auto", "context": "auto"}


# taking sealed values out of a body that is spliced


def fields(*items: bytes) -> dict[str, Raw]:
    return {"model": Raw(b'"m"'), "input": Raw(b"[ " + b" , ".join(items) + b" ]")}


OURS = json.dumps({"type": "reasoning", "summary": [], "encrypted_content": scenes.seal(
    Sealed("a", "signature", "b"))}).encode()  # fmt: skip
THEIRS = b'{"type":"reasoning","summary":[],"encrypted_content":"gAAAA"}'
SPACED = b'{ "role" : "user", "content": "ptco1_ \\u00e9", "n": 1.50 }'


def test_reasoning_that_this_gateway_sealed_is_taken_out() -> None:
    compaction = OURS.replace(b'"reasoning"', b'"compaction"')
    found = strip(fields(OURS, SPACED, compaction, THEIRS))
    assert found == {"input": b"[" + SPACED + b"," + THEIRS + b"]"}
    assert strip(fields(OURS)) == {"input": b"[]"}
    # Without a proof its id tells: OpenAI would look for the item and not find it.
    told = b'{"type":"reasoning","id":"rs_ptco1_%b0000","summary":[]}' % (b"0" * 32)
    stored = b'{"type":"reasoning","id":"rs_68af4030","summary":[]}'
    assert strip(fields(told, stored)) == {"input": b"[" + stored + b"]"}


@pytest.mark.parametrize(
    "given",
    [
        fields(SPACED, THEIRS),
        fields(OURS.replace(b'"reasoning"', b'"message"')),
        {"input": Raw(b'"ptco1_x"')},
        {"input": Raw(b'["ptco1_x"]')},
        {"model": Raw(b'"ptco1_x"')},
        {},
    ],
)
def test_everything_else_is_left_alone(given: dict[str, Raw]) -> None:
    assert CLIENT.strip(given) == {}
