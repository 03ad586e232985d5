"""JSON Schema made to fit the OpenAPI 3.0 subset of older models and endpoints.

The subset: https://ai.google.dev/api/caching#Schema (2026-11-21). `$ref` is resolved in place,
`const` becomes an `enum`, `null` becomes `nullable`, `allOf` is merged. What has no counterpart is
left out and reported.
"""

from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.counts import UNREADABLE
from portico.errors import BadRequest
from portico.model.losses import Loss, Losses

_TYPES = {
    "string": "STRING", "number": "NUMBER", "integer": "INTEGER", "boolean": "BOOLEAN",
    "array": "ARRAY", "object": "OBJECT",
}  # fmt: skip
_KEPT = (
    "title", "description", "default", "minimum", "maximum", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_COPIED = (*_KEPT, "enum", "const", "required", "format")
_FORMATS = {
    "STRING": ("enum", "date-time"), "NUMBER": ("float", "double"), "INTEGER": ("int32", "int64"),
}  # fmt: skip
_HANDLED = frozenset((
    *_KEPT, "type", "nullable", "format", "enum", "const", "properties", "required", "items",
    "prefixItems", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "$schema", "$id",
    "$comment", "$anchor", "exclusiveMinimum", "exclusiveMaximum", "propertyOrdering",
))  # fmt: skip
_DEEPEST = 48
_MOST = 5000
"""Schemas that one may turn into."""
_MEMBER = 32
"""What a member counts for besides the characters in it."""

Schema = dict[str, Any]


class Budget:
    """What the schemas of one request may turn into: a reference is written out wherever it stands,
    and a few lines can name each other a million times. `size` is in characters."""

    __slots__ = ("schemas", "size")

    def __init__(self) -> None:
        self.schemas = 100_000
        self.size = 16 * 1024 * 1024


def is_empty(raw: Raw | None) -> bool:
    """Whether a schema for arguments has no properties: the subset has no word for such objects."""
    if raw is None:
        return True
    try:
        schema = msgspec.json.decode(raw)
    except UNREADABLE:
        return False
    if not isinstance(schema, dict) or schema.keys() & {"$ref", "anyOf", "oneOf", "allOf"}:
        return schema is None
    return not schema.get("properties")


def openapi(
    raw: Raw, where: str, losses: Losses, *, ordered: bool = False, budget: Budget | None = None
) -> Schema:
    """The nearest schema of the subset. `where` is the client's name of the schema, for `losses`
    and for the `BadRequest` raised when it is too large or not a schema. `ordered` keeps the order
    of properties in the answer; `budget` is that of the request."""
    try:
        root = msgspec.json.decode(raw)
    except UNREADABLE:
        root = None
    if not isinstance(root, dict):
        raise BadRequest(
            f"Invalid '{where}': expected a JSON Schema object.", code="invalid_value", param=where
        )
    walk = _Walk(root, where, ordered, budget or Budget())
    schema = walk.schema(root, (), 0)
    if walk.lost:
        names = ", ".join(sorted(walk.lost))
        losses.append(Loss(where, "adapted", f"the schema was sent without: {names[:500]}"))
    return schema


class _Walk:
    """One conversion. `lost` are the keywords that could not be kept."""

    __slots__ = ("_budget", "_left", "_ordered", "_root", "_where", "lost")

    def __init__(self, root: Schema, where: str, ordered: bool, budget: Budget) -> None:
        self._root = root
        self._where = where
        self._ordered = ordered
        self._left = _MOST
        self._budget = budget
        self.lost: set[str] = set()

    def schema(self, given: Any, seen: tuple[str, ...], level: int) -> Schema:
        self._pay(0)
        if not isinstance(given, dict) or level > _DEEPEST:
            self.lost.add("schemas for any value" if level <= _DEEPEST else "deep nesting")
            return {"type": "STRING"}
        source, seen = self._resolved(given, seen)
        if source is None:
            return {"type": "OBJECT"}
        source = self._merged(source, seen)
        self._spend(_size(source))
        self.lost |= {str(name)[:64] for name in source.keys() - _HANDLED}
        branches = source.get("anyOf") or source.get("oneOf")
        if isinstance(branches, list) and branches:
            if "anyOf" not in source:
                self.lost.add("oneOf")
            return self._union(source, branches, seen, level)
        return self._plain(source, seen, level)

    def _pay(self, size: int) -> None:
        """One more schema, and so much more to look at. Raises `BadRequest`."""
        self._left -= 1
        self._budget.schemas -= 1
        self._spend(size)

    def _spend(self, size: int) -> None:
        budget = self._budget
        budget.size -= size
        if self._left < 0 or budget.schemas < 0 or budget.size < 0:
            raise BadRequest(
                f"Invalid '{self._where}': the schema is too large once its references are "
                "resolved, which this model needs.",
                code="invalid_value",
                param=self._where,
            )

    def _resolved(
        self, given: Schema, seen: tuple[str, ...]
    ) -> tuple[Schema | None, tuple[str, ...]]:
        """`$ref` replaced by what it names; None where that would never end."""
        source = given
        for _ in range(16):
            name = source.get("$ref")
            if not isinstance(name, str):
                return source, seen
            self._spend(len(name))
            target = self._target(name)
            if name in seen or target is None:
                self.lost.add("recursive $ref" if name in seen else "unknown $ref")
                return None, seen
            self._spend(len(target) * _MEMBER)
            seen = (*seen, name)
            beside = {key: value for key, value in source.items() if key != "$ref"}
            source = {**target, **beside}
        return None, seen

    def _target(self, name: str) -> Schema | None:
        if not name.startswith("#"):
            return None
        place: Any = self._root
        for step in name[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            place = place.get(key) if isinstance(place, dict) else None
        return place if isinstance(place, dict) else None

    def _merged(self, source: Schema, seen: tuple[str, ...]) -> Schema:
        """`allOf` as one schema."""
        parts = source.get("allOf")
        if not isinstance(parts, list):
            return source
        out = {key: value for key, value in source.items() if key != "allOf"}
        for part in parts:
            self._pay(0)
            found, _ = self._resolved(part, seen) if isinstance(part, dict) else (None, seen)
            if found is None:
                self.lost.add("allOf")
                continue
            if len(seen) < _DEEPEST:
                found = self._merged(found, (*seen, "allOf"))
            for key, value in found.items():
                old = out.get(key)
                if key == "properties" and isinstance(old, dict) and isinstance(value, dict):
                    self._spend((len(old) + len(value)) * _MEMBER)
                    out[key] = {**old, **value}
                elif key == "required" and isinstance(old, list) and isinstance(value, list):
                    self._spend((len(old) + len(value)) * _MEMBER)
                    names = [name for name in (*old, *value) if isinstance(name, str)]
                    out[key] = list(dict.fromkeys(names))
                elif key not in out:
                    out[key] = value
                elif old != value and key not in ("title", "description"):
                    self.lost.add("allOf")
        return out

    def _union(
        self, source: Schema, branches: list[Any], seen: tuple[str, ...], level: int
    ) -> Schema:
        real = [branch for branch in branches if not _is_null(branch)]
        beside = {key: value for key, value in source.items() if key not in ("anyOf", "oneOf")}
        nullable = len(real) < len(branches) or source.get("nullable") is True
        if len(real) == 1 and isinstance(real[0], dict):
            inner = self.schema({**beside, **real[0]}, seen, level + 1)
        else:
            inner = {key: beside[key] for key in ("title", "description") if key in beside}
            inner["anyOf"] = [
                self.schema({"type": beside["type"], **branch}
                            if "type" in beside and isinstance(branch, dict) else branch,
                            seen, level + 1)
                for branch in real
            ]  # fmt: skip
            self.lost |= {key for key in beside if key in ("properties", "required", "items")}
        if not real:
            return {"type": "NULL"}
        if nullable:
            inner["nullable"] = True
        return inner

    def _plain(self, source: Schema, seen: tuple[str, ...], level: int) -> Schema:
        named = source.get("type")
        kinds = named if isinstance(named, list) else [named]
        known = [kind for kind in kinds if isinstance(kind, str) and kind.lower() in _TYPES]
        known = list(dict.fromkeys(known))
        nullable = "null" in kinds or source.get("nullable") is True
        if len(known) > 1:
            return self._union(
                {key: value for key, value in source.items() if key in ("title", "description")}
                | {"nullable": nullable},
                [{**source, "type": kind} for kind in known], seen, level,
            )  # fmt: skip
        if not known and kinds == ["null"]:
            return {"type": "NULL"}
        kind = _TYPES[known[0].lower()] if known else self._guess(source)
        out: Schema = {"type": kind}
        for key in _KEPT:
            if source.get(key) is not None:
                out[key] = source[key]
        self._choices(source, out)
        self._bounds(source, out)
        form = source.get("format")
        if form is not None:
            if form in _FORMATS.get(kind, ()):
                out["format"] = form
            else:
                self.lost.add("format")
        if kind == "OBJECT":
            self._object(source, out, seen, level)
        elif kind == "ARRAY":
            out["items"] = self._items(source, seen, level)
        if nullable or out.pop("nullable", False):
            out["nullable"] = True
        return out

    def _guess(self, source: Schema) -> str:
        if "properties" in source or "required" in source:
            return "OBJECT"
        if "items" in source or "prefixItems" in source:
            return "ARRAY"
        values = source.get("enum")
        values = values if isinstance(values, list) and values else [source.get("const")]
        first = next((value for value in values if value is not None), None)
        if isinstance(first, bool):
            return "BOOLEAN"
        if isinstance(first, int | float):
            return "INTEGER" if isinstance(first, int) else "NUMBER"
        if first is None:
            self.lost.add("schemas for any value")
        return "STRING"

    def _choices(self, source: Schema, out: Schema) -> None:
        """`enum` is for strings only; other values are told in words."""
        values = source.get("enum")
        if "const" in source:
            values = [source["const"]]
        if not isinstance(values, list):
            return
        real = [value for value in values if value is not None]
        if len(real) < len(values):
            out["nullable"] = True
        if out["type"] == "STRING" and all(isinstance(value, str) for value in real):
            real = [value for value in real if value]
            if real:
                out["enum"] = real
            return
        self.lost.add("enum of other values than strings")
        listed = ", ".join(msgspec.json.encode(value).decode() for value in real[:50])
        told = f"One of: {listed}."
        out["description"] = f"{out['description']} {told}" if out.get("description") else told

    def _bounds(self, source: Schema, out: Schema) -> None:
        for name, bound, step in (
            ("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1),
        ):  # fmt: skip
            value = source.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            exact = out["type"] == "INTEGER" and isinstance(value, int)
            out.setdefault(bound, value + step if exact else value)
            if not exact:
                self.lost.add(name)

    def _object(self, source: Schema, out: Schema, seen: tuple[str, ...], level: int) -> None:
        properties = source.get("properties")
        if not isinstance(properties, dict) or not properties:
            return
        out["properties"] = {
            str(name): self.schema(inner, seen, level + 1) for name, inner in properties.items()
        }
        required = source.get("required")
        if isinstance(required, list):
            names = [name for name in required if isinstance(name, str) and name in properties]
            if names:
                out["required"] = names
        if self._ordered:
            out["propertyOrdering"] = list(out["properties"])

    def _items(self, source: Schema, seen: tuple[str, ...], level: int) -> Schema:
        items = source.get("items")
        places = source.get("prefixItems") or (items if isinstance(items, list) else None)
        if isinstance(places, list) and places:
            self.lost.add("prefixItems")
            kinds = [self.schema(place, seen, level + 1) for place in places]
            return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        if isinstance(items, dict):
            return self.schema(items, seen, level + 1)
        self.lost.add("schemas for any value")
        return {"type": "STRING"}


def _size(schema: Schema) -> int:
    """How much of a schema is written out again wherever it stands; roughly, in characters."""
    total = len(schema) * _MEMBER
    for name in _COPIED:
        value = schema.get(name)
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, list | dict):
            total += len(msgspec.json.encode(value))
    return total


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (
        schema.get("type") == "null" or ("const" in schema and schema["const"] is None)
    )
