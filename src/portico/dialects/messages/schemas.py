"""JSON Schema as Anthropic's structured output takes it.

Objects are closed, bounds and patterns are not enforced, `oneOf` is `anyOf`, string formats are
few: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (2026-11-21). What
cannot be enforced is told to the model in the description instead.
"""

from typing import Any

import msgspec
from msgspec import Raw

_FORMATS = frozenset((
    "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
))  # fmt: skip
_KEPT = frozenset((
    "type", "title", "description", "enum", "const", "default", "properties", "required", "items",
    "additionalProperties", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "format",
    "minItems", "nullable",
))  # fmt: skip
_LISTS = ("anyOf", "allOf")
_SILENT = frozenset(("$schema", "$id", "$comment", "examples", "strict"))
_DEEPEST = 100


def closed(schema: Raw) -> tuple[Raw, tuple[str, ...]]:
    """The schema as it can be sent, and the names of the keywords that are not enforced.

    A schema that is as it has to be keeps its bytes. Raises ValueError for what is no object.
    """
    value = msgspec.json.decode(schema)
    if not isinstance(value, dict):
        raise ValueError("a schema is an object")
    lost: dict[str, None] = {}
    made = _schema(value, lost, 0)
    if made == value:
        return schema, ()
    return Raw(msgspec.json.encode(made)), tuple(lost)


def _schema(given: Any, lost: dict[str, None], level: int) -> Any:
    if not isinstance(given, dict):
        return given
    if level > _DEEPEST:
        raise ValueError("a schema nests too deeply")
    out: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in given.items():
        if _too_much(name, value):
            _note(name, value, lost, notes)
        elif name == "oneOf":
            out["anyOf"] = _each(value, lost, level)
        elif name in _LISTS:
            out[name] = _each(value, lost, level)
        elif name in ("properties", "$defs", "definitions"):
            out[name] = _members(value, lost, level)
        elif name == "items":
            out[name] = _schema(value, lost, level + 1)
        elif name == "additionalProperties":
            if value is not False:
                lost[name] = None
        elif name in _KEPT:
            out[name] = value
        elif name not in _SILENT:
            _note(name, value, lost, notes)
    if _is_object(out):
        out.setdefault("properties", {})
        out["additionalProperties"] = False
    if notes:
        told = out.get("description")
        listed = "{" + ", ".join(notes) + "}"
        out["description"] = f"{told}\n\n{listed}" if isinstance(told, str) and told else listed
    return out


def _too_much(name: str, value: Any) -> bool:
    """A keyword of which only some values are enforced."""
    if name == "minItems":
        return value not in (0, 1)
    return name == "format" and not (isinstance(value, str) and value in _FORMATS)


def _note(name: str, value: Any, lost: dict[str, None], notes: list[str]) -> None:
    lost[name] = None
    notes.append(f"{name}: {msgspec.json.encode(value).decode()}")


def _each(value: Any, lost: dict[str, None], level: int) -> Any:
    if not isinstance(value, list):
        return value
    return [_schema(inner, lost, level + 1) for inner in value]


def _members(value: Any, lost: dict[str, None], level: int) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _schema(inner, lost, level + 1) for name, inner in value.items()}


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or (
        kind is None and "properties" in schema
    )  # fmt: skip
