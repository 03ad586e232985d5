"""Tools, the choice among them, and structured output, as a chat client asks for them."""

import re

import msgspec
from msgspec import Raw

from portico.dialects import checks
from portico.dialects.chat import body as wire
from portico.errors import BadRequest
from portico.model.parts import CacheMark
from portico.model.request import OutputFormat
from portico.model.tools import (
    AUTO,
    CustomTool,
    FunctionTool,
    HostedTool,
    Tool,
    ToolChoice,
    ToolRef,
)
from portico.wire.json import encode

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z").match
_CONTEXT_SIZES = ("low", "medium", "high")
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def tools(body: wire.ChatBody, options: Raw | None) -> tuple[Tool, ...]:
    """All tools: `tools`, the older `functions`, and `web_search_options` as a hosted tool."""
    out: list[Tool] = []
    for index, tool in enumerate(body.tools or ()):
        out.append(_tool(tool, f"tools[{index}]"))
    for index, function in enumerate(body.functions or ()):
        where = f"functions[{index}]"
        check_name(function.name, f"{where}.name")
        out.append(_function(function, None))
    if body.web_search_options is not None and options is not None:
        out.append(_search(body.web_search_options, options))
    return tuple(out)


def check_name(name: str, where: str) -> None:
    """Raise `BadRequest` unless a tool may be called so."""
    if _NAME(name) is None:
        raise BadRequest(
            f"Invalid '{where}': string does not match pattern. Expected a string that matches "
            "the pattern '^[a-zA-Z0-9_-]{1,64}$'.",
            code="invalid_value",
            param=where,
        )


def tool_choice(body: wire.ChatBody) -> ToolChoice:
    """`tool_choice`, or the older `function_call`."""
    asked = body.tool_choice
    if asked is None:
        return _legacy_choice(body)
    if isinstance(asked, str):
        checks.check_choice("tool_choice", asked, ("none", "auto", "required"))
        return ToolChoice(asked)  # type: ignore[arg-type]
    match asked.type:
        case "function" | "custom":
            named = asked.function if asked.type == "function" else asked.custom
            if named is None:
                raise checks.missing_parameter(f"tool_choice.{asked.type}")
            return ToolChoice("tool", ToolRef(asked.type, named.name))
        case "allowed_tools":
            if asked.allowed_tools is None:
                raise checks.missing_parameter("tool_choice.allowed_tools")
            return _allowed(asked.allowed_tools)
    checks.check_choice("tool_choice.type", asked.type, ("function", "custom", "allowed_tools"))
    return AUTO


def response_format(asked: wire.Format | None) -> OutputFormat | None:
    """`response_format`; plain text is what happens without one."""
    if asked is None or asked.type == "text":
        return None
    checks.check_choice("response_format.type", asked.type, ("text", "json_object", "json_schema"))
    if asked.type == "json_object":
        return OutputFormat(kind="json_object")
    inner = asked.json_schema
    if inner is None:
        raise checks.missing_parameter("response_format.json_schema")
    check_name(inner.name, "response_format.json_schema.name")
    return OutputFormat(
        kind="json_schema",
        name=inner.name,
        schema=Raw(encode(inner.schema)) if inner.schema is not None else Raw(b"{}"),
        strict=inner.strict,
        description=inner.description or "",
    )


def _tool(tool: wire.Tool, where: str) -> Tool:
    checks.check_choice(f"{where}.type", tool.type, ("function", "custom"))
    inner = tool.function if tool.type == "function" else tool.custom
    if inner is None:
        raise checks.missing_parameter(f"{where}.{tool.type}")
    check_name(inner.name, f"{where}.{tool.type}.name")
    mark = CacheMark(tool.cache_control.ttl) if tool.cache_control is not None else None
    if tool.type == "function":
        return _function(inner, mark)
    return CustomTool(
        name=inner.name,
        description=inner.description or "",
        format=_flat_format(inner.format, f"{where}.custom.format"),
        cache=mark,
    )


def _function(inner: wire.Function, mark: CacheMark | None) -> FunctionTool:
    return FunctionTool(
        name=inner.name,
        description=inner.description or "",
        parameters=Raw(encode(inner.parameters)) if inner.parameters is not None else None,
        strict=inner.strict,
        cache=mark,
    )


def _flat_format(nested: wire.Object | None, where: str) -> Raw | None:
    """`{"type":"grammar","grammar":{"syntax","definition"}}` with the inner object taken out."""
    if nested is None:
        return None
    if "grammar" not in nested:
        return Raw(encode(nested))
    try:
        inner = _decode_object(nested["grammar"])
    except ValueError:
        raise BadRequest(
            f"Invalid type for '{where}.grammar': expected an object.",
            code="invalid_type",
            param=f"{where}.grammar",
        ) from None
    return Raw(encode({"type": "grammar", **inner}))


def _search(asked: wire.WebSearch, options: Raw) -> HostedTool:
    checks.check_choice(
        "web_search_options.search_context_size", asked.search_context_size, _CONTEXT_SIZES
    )
    location = asked.user_location
    flat: Raw | None = None
    if location is not None:
        try:
            place = _decode_object(location["approximate"]) if "approximate" in location else {}
        except ValueError:
            place = {}
        flat = Raw(encode({"type": "approximate", **place}) if place else encode(location))
    return HostedTool(kind="web_search", native=("chat", Raw(bytes(options))), user_location=flat)


def _allowed(asked: wire.Allowed) -> ToolChoice:
    checks.check_choice("tool_choice.allowed_tools.mode", asked.mode, ("auto", "required"))
    refs: list[ToolRef] = []
    for index, ref in enumerate(asked.tools):
        where = f"tool_choice.allowed_tools.tools[{index}]"
        checks.check_choice(f"{where}.type", ref.type, ("function", "custom"))
        named = ref.function if ref.type == "function" else ref.custom
        if named is None:
            raise checks.missing_parameter(f"{where}.{ref.type}")
        refs.append(ToolRef(ref.type, named.name))
    return ToolChoice(asked.mode, None, tuple(refs))  # type: ignore[arg-type]


def _legacy_choice(body: wire.ChatBody) -> ToolChoice:
    asked = body.function_call
    if asked is None:
        return AUTO
    if isinstance(asked, wire.Named):
        return ToolChoice("tool", ToolRef("function", asked.name))
    checks.check_choice("function_call", asked, ("none", "auto"))
    return ToolChoice("none") if asked == "none" else AUTO
