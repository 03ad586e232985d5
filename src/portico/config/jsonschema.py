"""The document's JSON Schema, for editors: `# yaml-language-server: $schema=portico.schema.json`.

Exported from the Structs of `schema`, so it cannot say anything else than the loader. Keys this
version does not support are absent. Draft 2020-12.
"""

import inspect as python_inspect
from typing import TypeAlias

from msgspec import inspect

from portico.config.parse import Tree
from portico.config.schema import Document
from portico.config.secret import Secret
from portico.config.walk import Form, leaf_form, strip

Node: TypeAlias = "dict[str, Tree]"

_REFERENCE: Node = {
    "description": "A value from outside: $VAR, ${VAR:-default}, env:VAR, file:/path.",
    "type": "string",
    "pattern": r"\$|^env:|^os\.environ/|^file:",
}
_SECRET: Node = {
    "description": "A key, best as a reference: $VAR, file:/run/secrets/x, {file: path}.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {"file": {"type": "string", "minLength": 1}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ],
}
_SIZE: Node = {"type": "string", "pattern": r"^\d{1,15} ?([kKmMgG]([iI]?[bB]?)?|[bB])?$"}
_DURATION: Node = {"type": "string", "pattern": r"^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$"}


def json_schema() -> dict[str, Tree]:
    """The schema of the whole document, self-contained."""
    definitions: dict[str, Tree] = {"Reference": dict(_REFERENCE), "Secret": dict(_SECRET)}
    info = inspect.type_info(Document)
    top = _type(info, definitions, object, "")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Portico configuration",
        **top,
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _type(kind: inspect.Type, definitions: dict[str, Tree], owner: type, name: str) -> Node:
    info, extra = strip(kind)
    form = leaf_form(info, extra, owner, name)
    if form is not None:
        return _leaf(form)
    if isinstance(info, inspect.UnionType):
        members = [m for m in info.types if not isinstance(m, inspect.NoneType)]
        return {"anyOf": [_type(member, definitions, owner, name) for member in members]}
    if isinstance(info, inspect.CustomType) and info.cls is Secret:
        return {"$ref": "#/$defs/Secret"}
    if isinstance(info, inspect.StructType):
        return _reference(info, definitions)
    if isinstance(info, inspect.VarTupleType):
        return {"type": "array", "items": _type(info.item_type, definitions, owner, name)}
    if isinstance(info, inspect.DictType):
        out: Node = {
            "type": "object",
            "additionalProperties": _type(info.value_type, definitions, object, ""),
        }
        key_type, _ = strip(info.key_type)
        if isinstance(key_type, inspect.LiteralType):
            out["propertyNames"] = {"enum": [str(v) for v in key_type.values]}
        return out
    raise TypeError(f"the schema holds a type this exporter does not know: {info}")


def _reference(info: inspect.StructType, definitions: dict[str, Tree]) -> Node:
    """The Struct as an entry of `$defs`, made once."""
    name = info.cls.__name__
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _struct(info, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _struct(info: inspect.StructType, definitions: dict[str, Tree]) -> Node:
    properties: dict[str, Tree] = {}
    for field in info.fields:
        node = _type(field.type, definitions, info.cls, field.name)
        about = _description(field.type)
        if about:
            node = {"description": about, **node}
        if isinstance(field.default, bool | int | float | str):
            node = {**node, "default": field.default}
        properties[field.encode_name] = node
    out: Node = {
        "description": (python_inspect.getdoc(info.cls) or "").partition("\n\n")[0],
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    required: list[Tree] = [f.encode_name for f in info.fields if f.required]
    return {**out, "required": required} if required else out


def _description(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        about = (kind.extra_json_schema or {}).get("description")
        return about if isinstance(about, str) else _description(kind.type)
    return ""


def _leaf(form: Form) -> Node:
    reference: Node = {"$ref": "#/$defs/Reference"}
    if form.kind == "json":
        return {}
    if form.kind == "scalar":
        return {"type": ["string", "number", "boolean"]}
    if form.kind == "status":
        status: Node = {"type": "integer", "minimum": 400, "maximum": 599}
        return {"anyOf": [status, {"enum": ["4xx", "5xx"]}, reference]}
    if form.kind in ("text", "prose", "code"):
        return {"type": "string"} if form.empty else {"type": "string", "minLength": 1}
    if form.kind == "choice":
        return {"anyOf": [{"enum": list(form.choices)}, reference]}
    if form.kind == "bool":
        return {"anyOf": [{"type": "boolean"}, reference]}
    number: Node = {
        "type": "number" if form.kind in ("seconds", "number") else "integer",
        "minimum": form.low,
        "maximum": form.high,
    }
    written = {"size": _SIZE, "seconds": _DURATION}.get(form.kind)
    return {"anyOf": [number, *([written] if written else []), reference]}
