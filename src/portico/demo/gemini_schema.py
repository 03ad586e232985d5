"""Google's own `Schema`, the subset of OpenAPI 3.0 that `parameters` and `responseSchema` take.

`parametersJsonSchema` and `responseJsonSchema` take JSON Schema and are not looked into, except
that parameters are an object. https://ai.google.dev/api/caching#Schema, 2026-11-21.
"""

from typing import Any

from portico.demo.faults import RefusedError
from portico.demo.shapes import Path, WrongError, anything, array, flag, numeric, obj, text, whole

__all__ = ["SCHEMA", "check_parameters"]

_STRING = text()
_TYPES = text("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
_MAX_DEPTH = 32


def _type(value: Any, path: Path) -> Any:
    return _TYPES(value.upper() if isinstance(value, str) else value, path)


def _count(value: Any, path: Path) -> Any:
    """An int64, which protobuf's JSON also writes as a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return whole(0)(value, path)


def _schema(value: Any, path: Path) -> Any:
    if len(path) > 4 * _MAX_DEPTH:
        raise WrongError(path, "long", _MAX_DEPTH, value)
    made = _SHAPE(value, path)
    kind = made.get("type")
    if kind is None and not made.get("anyOf"):
        raise WrongError((*path, "type"), "missing")
    if kind == "ARRAY" and "items" not in made:
        raise WrongError((*path, "items"), "missing")
    if "enum" in made and kind != "STRING":
        raise _invalid(path, "enum: only allowed for STRING type")
    if "properties" in made and kind != "OBJECT":
        raise _invalid(path, "properties: only allowed for OBJECT type")
    for index, name in enumerate(made.get("required", ())):
        if name not in made.get("properties", {}):
            raise _invalid(path, f"required[{index}]: property is not defined")
    if made.get("format") and kind == "STRING" and made["format"] not in ("enum", "date-time"):
        why = 'only "enum" and "date-time" are supported for STRING type'
        raise _invalid(path, f"format: {why}")
    return {**made, "type": kind.lower()} if kind else made


def _properties(value: Any, path: Path) -> Any:
    if not isinstance(value, dict):
        raise WrongError(path, "type", "object", value)
    return {name: _schema(each, (*path, name)) for name, each in value.items()}


_SHAPE = obj(
    None,
    {
        "type": _type,
        "format": _STRING,
        "title": _STRING,
        "description": _STRING,
        "nullable": flag,
        "enum": array(_STRING),
        "items": _schema,
        "maxItems": _count,
        "minItems": _count,
        "properties": _properties,
        "required": array(_STRING),
        "minProperties": _count,
        "maxProperties": _count,
        "minLength": _count,
        "maxLength": _count,
        "pattern": _STRING,
        "example": anything,
        "default": anything,
        "anyOf": array(_schema, 1),
        "propertyOrdering": array(_STRING),
        "minimum": numeric(),
        "maximum": numeric(),
    },
    nulls=True,
    camels=True,
)
SCHEMA = _schema


def check_parameters(declaration: dict[str, Any], where: str) -> dict[str, Any] | None:
    """The schema of a declaration's parameters, which are an object. Raises `RefusedError`."""
    if "parameters" in declaration and "parametersJsonSchema" in declaration:
        message = "parameters and parameters_json_schema are mutually exclusive"
        raise RefusedError(400, f"* GenerateContentRequest.{where}: {message}")
    schema = declaration.get("parameters", declaration.get("parametersJsonSchema"))
    if schema is None:
        return None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        message = "parameters schema should be of type OBJECT"
        raise RefusedError(400, f"* GenerateContentRequest.{where}.parameters: {message}")
    return schema


def _invalid(path: Path, why: str) -> RefusedError:
    where = ".".join(str(step) for step in path)
    return RefusedError(400, f"* GenerateContentRequest.{where}.{why}")
