"""A small check of an answer against the JSON Schema it was asked for.

Covers what says whether an answer can be used at all: grammar, type, required, properties,
additionalProperties, items, enum, const. Patterns and formats are left alone: schemas come from
clients, and a regular expression of theirs must not run here.
"""

from typing import Any

import msgspec
from msgspec import Raw

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_DEEPEST = 32
_MOST_STEPS = 200_000
"""Values and names that are looked at; what is behind them is taken to be right."""


def mismatch(text: str, schema: Raw | None) -> str:
    """Where and how `text` breaks `schema`, in a few words; "" when it does not."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if schema is None:
        return "" if isinstance(value, dict) else "it is not an object"
    try:
        wanted = msgspec.json.decode(schema)
    except (ValueError, RecursionError):
        return ""
    return _check(value, wanted, "$", 0, [_MOST_STEPS])


def _check(value: Any, schema: Any, where: str, level: int, left: list[int]) -> str:
    """`left` counts down over the whole check."""
    left[0] -= 1
    if not isinstance(schema, dict) or level > _DEEPEST or left[0] < 0:
        return ""
    named = schema.get("type")
    kinds = named if isinstance(named, list) else [named] if isinstance(named, str) else []
    known = [kind for kind in kinds if isinstance(kind, str) and kind in _TYPES]
    if known and not any(_is(value, kind) for kind in known):
        return f"{where} is not of type {' or '.join(known)}"
    if "const" in schema and value != schema["const"]:
        return f"{where} is not the constant"
    choices = schema.get("enum")
    if isinstance(choices, list):
        left[0] -= len(choices)
        if value not in choices:
            return f"{where} is none of the listed values"
    if isinstance(value, dict):
        return _object(value, schema, where, level, left)
    inner = schema.get("items")
    if isinstance(value, list) and isinstance(inner, dict):
        found = (
            _check(item, inner, f"{where}[{i}]", level + 1, left) for i, item in enumerate(value)
        )
        return next((wrong for wrong in found if wrong), "")
    return ""


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _object(
    value: dict[str, Any], schema: dict[str, Any], where: str, level: int, left: list[int]
) -> str:
    required = schema.get("required")
    left[0] -= len(required) if isinstance(required, list) else 0
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in value:
            return f"{where}.{name[:64]} is missing"
    properties = schema.get("properties")
    known: dict[str, Any] = properties if isinstance(properties, dict) else {}
    for name, item in value.items():
        if name in known:
            wrong = _check(item, known[name], f"{where}.{name[:64]}", level + 1, left)
            if wrong:
                return wrong
        elif schema.get("additionalProperties") is False:
            return f"{where}.{name[:64]} is not in the schema"
    return ""
