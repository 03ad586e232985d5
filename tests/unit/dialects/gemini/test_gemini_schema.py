"""JSON Schema becomes the nearest schema of the OpenAPI subset, and says what it lost."""

from typing import Any

import pytest
from google.genai import types
from tests.unit.dialects.gemini.gemini_examples import raw

from portico.dialects.gemini.schema import is_empty, openapi
from portico.errors import BadRequest
from portico.model.losses import Loss

TEXT = {"type": "STRING"}


def convert(schema: Any) -> tuple[Any, str]:
    losses: list[Loss] = []
    found = openapi(raw(schema), "tools[0].parameters", losses)
    types.Schema.model_validate(found)
    assert len(losses) <= 1
    assert all(loss.path == "tools[0].parameters" for loss in losses)
    return found, losses[0].reason.partition("without: ")[2] if losses else ""


@pytest.mark.parametrize(
    ("schema", "expected", "lost"),
    [
        ({"type": "string", "description": "d"}, {"type": "STRING", "description": "d"}, ""),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}, ""),
        (
            {"type": ["string", "integer"]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            "",
        ),
        (
            {"type": ["string", "integer", "null"]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}], "nullable": True},
            "",
        ),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}, ""),
        ({"enum": ["a", None]}, {"type": "STRING", "enum": ["a"], "nullable": True}, ""),
        (
            {"enum": [1, 2], "description": "d."},
            {"type": "INTEGER", "description": "d. One of: 1, 2."},
            "enum of other values than strings",
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"},
            {"type": "STRING", "description": "d", "nullable": True},
            "",
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "number"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]},
            "oneOf",
        ),
        ({"type": "null"}, {"type": "NULL"}, ""),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}, ""),
        ({"type": "string", "format": "uri"}, TEXT, "format"),
        ({"type": "integer", "format": "int64"}, {"type": "INTEGER", "format": "int64"}, ""),
        ({"type": "integer", "exclusiveMinimum": 3}, {"type": "INTEGER", "minimum": 4}, ""),
        (
            {"type": "number", "exclusiveMaximum": 3},
            {"type": "NUMBER", "maximum": 3},
            "exclusiveMaximum",
        ),
        ({"type": "array", "items": {"type": "string"}}, {"type": "ARRAY", "items": TEXT}, ""),
        ({"type": "array"}, {"type": "ARRAY", "items": TEXT}, "schemas for any value"),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
            {"type": "ARRAY", "items": {"anyOf": [TEXT, {"type": "INTEGER"}]}},
            "prefixItems",
        ),
        ({}, TEXT, "schemas for any value"),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a", "ghost"],
                "additionalProperties": False,
                "$schema": "https://json-schema.org/draft/2020-12/schema",
            },
            {"type": "OBJECT", "properties": {"a": TEXT}, "required": ["a"]},
            "additionalProperties",
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"$ref": "#/$defs/b"},
                ],
                "$defs": {"b": {"properties": {"b": {"type": "string"}}, "required": ["b"]}},
            },
            {"type": "OBJECT", "properties": {"a": TEXT, "b": TEXT}, "required": ["a", "b"]},
            "",
        ),
        (
            {
                "type": "object",
                "properties": {"x": {"$ref": "#/definitions/d~1e", "description": "own"}},
                "definitions": {"d/e": {"type": "string", "description": "theirs"}},
            },
            {"type": "OBJECT", "properties": {"x": {"type": "STRING", "description": "own"}}},
            "",
        ),
        (
            {"type": "object", "properties": {"x": {"$ref": "https://else.example"}}},
            {"type": "OBJECT", "properties": {"x": {"type": "OBJECT"}}},
            "unknown $ref",
        ),
        ({"type": "string", "not": {"const": "a"}}, TEXT, "not"),
    ],
)
def test_each_rule(schema: Any, expected: Any, lost: str) -> None:
    assert convert(schema) == (expected, lost)


def test_recursion_ends_and_is_declared() -> None:
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
            }
        },
    }
    found, lost = convert(tree)
    assert found["properties"]["children"] == {"type": "ARRAY", "items": {"type": "OBJECT"}}
    assert lost == "recursive $ref"


def test_references_that_multiply_are_a_400() -> None:
    names = [f"d{n}" for n in range(20)]
    defs = {
        name: {"type": "object", "properties": {k: {"$ref": f"#/$defs/{then}"} for k in "ab"}}
        for name, then in zip(names, [*names[1:], "end"], strict=True)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, "end": {"type": "string"}}}
    with pytest.raises(BadRequest) as caught:
        convert(schema)
    assert caught.value.param == "tools[0].parameters"


@pytest.mark.parametrize("schema", ["text", 3, None, []])
def test_what_is_no_schema_is_a_400(schema: Any) -> None:
    with pytest.raises(BadRequest):
        convert(schema)


def test_empty_objects_are_told() -> None:
    assert is_empty(None)
    assert is_empty(raw({"type": "object"}))
    assert is_empty(raw({"type": "object", "properties": {}}))
    assert not is_empty(raw({"properties": {"a": {}}}))
    assert not is_empty(raw({"$ref": "#/$defs/a"}))
