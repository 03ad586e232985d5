"""Example values made from a JSON schema: the arguments of the demo model's tool calls.

Deterministic: the same schema, text and index give the same value. Understands `type`, `enum`,
`const`, `default`, `examples`, `properties`, `items`, `anyOf`, `oneOf`, `allOf`, local `$ref`,
lengths, bounds, `multipleOf` and the common formats. `pattern` is not understood.
"""

import math
import re
from typing import Any

__all__ = ["example"]

_DEPTH = 8
_PLACES = re.compile(
    r"\b(?:in|at|for|to|from|of|and|both|near)\s+([A-Z][\w'-]{0,40}(?:\s[A-Z][\w'-]{0,40})?)"
)
_PLACE_NAMES = frozenset({"city", "destination", "location", "place", "town", "where"})
_TEXT_NAMES = frozenset({"input", "message", "prompt", "q", "query", "question", "search", "text"})
_CITIES = ("Paris", "Lisbon", "Oslo", "Kyoto")
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:30:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "09:30:00Z",
    "uri": "https://example.com/demo",
    "uuid": "00000000-0000-4000-8000-000000000001",
}


def example(schema: Any, text: str = "", index: int = 0) -> Any:
    """One value that fits `schema`; `text` flavours strings, `index` varies parallel calls."""
    return _Maker(schema, text, index).make(schema, "", 0)


class _Maker:
    __slots__ = ("_index", "_places", "_root", "_text")

    def __init__(self, root: Any, text: str, index: int) -> None:
        self._root = root
        self._text = text
        self._index = index
        self._places: list[str] = _PLACES.findall(text[:2000])

    def make(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, dict):
            return self._string({}, name)
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if enum := schema.get("enum"):
            return enum[0]
        if "default" in schema:
            return schema["default"]
        if examples := schema.get("examples"):
            return examples[0]
        for union in ("anyOf", "oneOf"):
            if options := schema.get(union):
                return self.make(self._choose(options, depth), name, depth + 1)
        return self._typed(schema, name, depth)

    def _typed(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind is None:
            kind = (
                "array" if "items" in schema else "object" if "properties" in schema else "string"
            )
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            count = min(max(int(schema.get("minItems", 1)), 0 if depth > _DEPTH else 1), 16)
            return [self.make(schema.get("items", {}), name, depth + 1) for _ in range(count)]
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        if kind in ("integer", "number"):
            return self._number(schema, kind == "integer")
        return self._string(schema, name)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        if depth > _DEPTH:  # a recursive schema: only what it insists on, then nothing at all
            required = schema.get("required") or () if depth < 2 * _DEPTH else ()
            properties = {key: properties[key] for key in required if key in properties}
        return {key: self.make(each, key, depth + 1) for key, each in properties.items()}

    def _resolved(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        for _ in range(_DEPTH):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            target = self._root
            for step in reference.removeprefix("#").strip("/").split("/"):
                target = target.get(step, {}) if isinstance(target, dict) and step else target
            schema = target if isinstance(target, dict) else {}
        if parts := schema.get("allOf"):
            merged: dict[str, Any] = {key: schema[key] for key in schema if key != "allOf"}
            for part in parts if depth <= _DEPTH else ():
                resolved = self._resolved(part, depth + 1) if isinstance(part, dict) else {}
                properties = {**merged.get("properties", {}), **resolved.get("properties", {})}
                merged = {**resolved, **merged}
                if properties:
                    merged["properties"] = properties
            return merged
        return schema

    def _choose(self, options: list[Any], depth: int) -> Any:
        nullable = [each for each in options if isinstance(each, dict) and _is_null(each)]
        if nullable and depth > _DEPTH:
            return nullable[0]
        return next((each for each in options if each not in nullable), options[0])

    def _number(self, schema: dict[str, Any], whole: bool) -> float:
        value: float = 1 + self._index
        if (low := schema.get("minimum")) is not None:
            value = max(value, low)
        if (low := schema.get("exclusiveMinimum")) is not None and value <= low:
            value = low + 1
        if (high := schema.get("maximum")) is not None:
            value = min(value, high)
        if (high := schema.get("exclusiveMaximum")) is not None and value >= high:
            value = high - 1 if whole else high - abs(high) / 100 - 0.01
        if step := schema.get("multipleOf"):
            value = math.ceil(value / step) * step
            value = value - step if (high := schema.get("maximum")) and value > high else value
        return int(value) if whole else float(value)

    def _string(self, schema: dict[str, Any], name: str) -> str:
        value = _FORMATS.get(str(schema.get("format", "")))
        if value is None:
            word = name.lower()
            if word in _PLACE_NAMES:
                places = self._places or _CITIES
                value = places[self._index % len(places)]
            elif word in _TEXT_NAMES:
                value = self._text[:80] or "demo"
            else:
                value = f"demo {name}".strip()
        longest = schema.get("maxLength")
        if isinstance(longest, int):
            value = value[: max(longest, 0)]
        shortest = schema.get("minLength")
        return value.ljust(min(shortest, 4096), "x") if isinstance(shortest, int) else value


def _is_null(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "null"
