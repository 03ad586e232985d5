"""Tools and tool choice of a Responses request, in hub terms.

Source: openai-python 3.54, `ToolParam`, `ToolChoice`; Open Responses 2026-04-24. Top-level
`allowed_tools`: https://vercel.com/docs/ai-gateway/sdks-and-apis/responses, 2026-11-21.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks
from portico.dialects.responses.wire import NULL
from portico.errors import BadRequest
from portico.model.tools import (
    AUTO,
    CustomTool,
    FunctionTool,
    HostedTool,
    Tool,
    ToolChoice,
    ToolRef,
)

NAME_CHARACTERS = 128
"""https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21"""
MODES = ("none", "auto", "required")

_KINDS = {
    "web_search_preview": "web_search", "web_search_preview_2025_03_11": "web_search",
    "web_search_2025_08_26": "web_search", "computer_use_preview": "computer",
    "computer_use": "computer",
}  # fmt: skip
"""Names with a version. openai-python 3.54, `web_search_tool.py` and others, 2026-11-21"""


class WireFilters(Struct, gc=False):
    """`filters` of a web search."""

    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None


class WireTool(Struct, gc=False):
    """Any tool."""

    type: str = ""
    name: str | None = None
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None
    format: Raw = NULL
    tools: list[WireTool] | None = None
    server_label: str | None = None
    filters: WireFilters | None = None
    user_location: Raw = NULL


class WireRef(Struct, gc=False):
    """A tool that a choice names."""

    type: str = ""
    name: str | None = None
    namespace: str | None = None
    server_label: str | None = None


class WireChoice(Struct, gc=False):
    """`tool_choice` as an object."""

    type: str = ""
    name: str | None = None
    namespace: str | None = None
    server_label: str | None = None
    mode: str | None = None
    tools: list[WireRef] | None = None


decode_tools = msgspec.json.Decoder(list[WireTool]).decode
_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_MEMBERS = frozenset(("type", "name", "description", "parameters", "strict", "format"))
_SAYS_NOTHING = (b"null", b"false", b"[]", b"{}")
_OWN = frozenset(("function", "custom", "namespace"))


class ToolReader:
    """Collects the tools of one request. Raises `BadRequest` that names the member."""

    __slots__ = ("namespaces", "tools", "unknown")

    def __init__(self) -> None:
        self.unknown: dict[str, Raw] = {}
        """Path -> value of what own tools are told that the hub has no name for."""
        self.tools: list[Tool] = []
        self.namespaces: dict[str, str] = {}

    def add(self, tools: list[WireTool], raw: Raw, path: str = "tools") -> None:
        """Add an array of tools, of which `raw` is the JSON."""
        elements: list[Raw] | None = None
        for index, tool in enumerate(tools):
            where = f"{path}[{index}]"
            kind = tool.type
            if kind in _OWN:
                if elements is None:
                    elements = _decode_array(raw)
                self._note_unknown(elements[index], where)
            if kind == "function":
                self.tools.append(_function(tool, where, None))
            elif kind == "custom":
                self.tools.append(_custom(tool, where, None))
            elif kind == "namespace":
                self._namespace(tool, where)
            elif not kind:
                raise checks.missing_parameter(f"{where}.type")
            else:
                if elements is None:
                    elements = _decode_array(raw)
                self.tools.append(_hosted(tool, Raw(bytes(elements[index])), where))

    def _note_unknown(self, raw: Raw, where: str) -> None:
        for name, value in _decode_members(raw).items():
            if name == "tools":
                if bytes(value) == b"null":
                    continue
                for index, inner in enumerate(_decode_array(value)):
                    self._note_unknown(inner, f"{where}.tools[{index}]")
            elif name not in _MEMBERS and bytes(value) not in _SAYS_NOTHING:
                self.unknown[f"{where}.{name[:64]}"] = Raw(bytes(value))

    def _namespace(self, tool: WireTool, path: str) -> None:
        name = _name(tool, path)
        self.namespaces[name] = tool.description or ""
        if tool.tools is None:
            raise checks.missing_parameter(f"{path}.tools")
        for index, inner in enumerate(tool.tools):
            where = f"{path}.tools[{index}]"
            if inner.type == "function":
                self.tools.append(_function(inner, where, name))
            elif inner.type == "custom":
                self.tools.append(_custom(inner, where, name))
            elif not inner.type:
                raise checks.missing_parameter(f"{where}.type")
            else:
                checks.check_choice(f"{where}.type", inner.type, ("function", "custom"))


def _function(tool: WireTool, path: str, namespace: str | None) -> FunctionTool:
    return FunctionTool(
        name=_name(tool, path),
        description=tool.description or "",
        parameters=_object(tool.parameters, f"{path}.parameters"),
        strict=tool.strict,
        namespace=namespace,
    )


def _custom(tool: WireTool, path: str, namespace: str | None) -> CustomTool:
    return CustomTool(
        name=_name(tool, path),
        description=tool.description or "",
        format=_object(tool.format, f"{path}.format"),
        namespace=namespace,
    )


def _hosted(tool: WireTool, raw: Raw, path: str) -> HostedTool:
    if tool.type == "mcp" and not tool.server_label:
        raise checks.missing_parameter(f"{path}.server_label")
    filters = tool.filters
    location = tool.user_location
    return HostedTool(
        kind=_KINDS.get(tool.type, tool.type),
        native=("responses", raw),
        allowed_domains=tuple((filters.allowed_domains if filters else None) or ()),
        blocked_domains=tuple((filters.blocked_domains if filters else None) or ()),
        user_location=None if bytes(location) == b"null" else Raw(bytes(location)),
        name=tool.server_label or "",
    )


def _name(tool: WireTool, path: str) -> str:
    where = f"{path}.name"
    if tool.name is None:
        raise checks.missing_parameter(where)
    if not tool.name:
        raise BadRequest(
            f"Invalid '{where}': empty string. Expected a string with minimum length 1, but got "
            "an empty string instead.",
            code="empty_string",
            param=where,
        )
    checks.check_length(where, tool.name, NAME_CHARACTERS)
    return tool.name


def _object(raw: Raw, path: str) -> Raw | None:
    """An object as it was written, None for null."""
    text = bytes(raw)
    if text == b"null":
        return None
    if text[:1] != b"{":
        raise BadRequest(
            f"Invalid type for '{path}': expected an object.", code="invalid_type", param=path
        )
    return Raw(text)


# which of them the model may or must use


def choice(
    wanted: str | WireChoice | None,
    allowed: list[str | WireRef] | None,
    tools: list[Tool],
) -> ToolChoice:
    """`tool_choice`, narrowed by the top-level `allowed_tools`. Raises `BadRequest`."""
    if allowed is None and wanted in (None, "auto"):
        return AUTO
    offered = _Offered(tools)
    made = _choice(wanted, offered)
    if allowed is None:
        return made
    refs = _allowed(allowed, offered)
    if made.mode == "none":
        return made
    if made.allowed is not None:
        raise BadRequest(
            "'allowed_tools' cannot be given together with a 'tool_choice' of type "
            "'allowed_tools'.",
            code="invalid_value",
            param="allowed_tools",
        )
    if made.tool is not None:
        if made.tool not in refs:
            raise _not_found(made.tool.name or made.tool.kind, "allowed_tools")
        return made
    if not refs:
        if made.mode == "required":
            raise _not_found("required", "allowed_tools")
        return ToolChoice("none")
    return ToolChoice(made.mode, None, refs)


def _choice(wanted: str | WireChoice | None, offered: _Offered) -> ToolChoice:
    if wanted is None:
        return AUTO
    if isinstance(wanted, str):
        checks.check_choice("tool_choice", wanted, MODES)
        if wanted == "required" and not offered:
            raise _not_found(wanted, "tools")
        return AUTO if wanted == "auto" else ToolChoice(wanted)  # type: ignore[arg-type]
    if wanted.type == "allowed_tools":
        mode: Literal["auto", "required", "none"] = wanted.mode or "auto"  # type: ignore[assignment]
        checks.check_choice("tool_choice.mode", mode, MODES)
        if wanted.tools is None:
            raise checks.missing_parameter("tool_choice.tools")
        checks.check_items("tool_choice.tools", wanted.tools, len(wanted.tools), required=True)
        refs = [
            offered.one(ref.type, _label(ref), ref.namespace, f"tool_choice.tools[{index}]")
            for index, ref in enumerate(wanted.tools)
        ]
        return ToolChoice(mode, None, None if mode == "none" else tuple(refs))
    ref = offered.one(wanted.type, _label(wanted), wanted.namespace, "tool_choice")
    return ToolChoice("tool", ref)


def _label(ref: WireRef | WireChoice) -> str | None:
    return ref.server_label if ref.type == "mcp" else ref.name


class _Offered:
    """The tools of a request by what a choice may call them: it may name many among many."""

    __slots__ = ("_hosted", "_kinds", "_names", "_own")

    def __init__(self, tools: list[Tool]) -> None:
        self._own: dict[tuple[str, str, str | None], ToolRef] = {}
        self._names: dict[str, list[ToolRef]] = {}
        self._hosted: dict[tuple[str, str], ToolRef] = {}
        self._kinds: dict[str, list[ToolRef]] = {}
        for tool in tools:
            ref = reference(tool)
            if isinstance(tool, HostedTool):
                self._hosted.setdefault((ref.kind, ref.name), ref)
                self._hosted.setdefault((ref.kind, ""), ref)
                self._kinds.setdefault(ref.kind, []).append(ref)
                continue
            self._own.setdefault((ref.kind, ref.name, ref.namespace), ref)
            self._own.setdefault((ref.kind, ref.name, None), ref)
            for name in {ref.name, ref.namespace or ref.name}:
                self._names.setdefault(name, []).append(ref)

    def one(self, kind: str, name: str | None, namespace: str | None, path: str) -> ToolRef:
        """One tool, which has to be among them. Hosted tools go by their kind, and MCP servers by
        their label besides."""
        if not kind:
            raise checks.missing_parameter(f"{path}.type")
        if kind not in ("function", "custom"):
            found = self._hosted.get((_KINDS.get(kind, kind), name or ""))
        elif not name:
            raise checks.missing_parameter(f"{path}.name")
        else:
            found = self._own.get((kind, name, namespace))
        if found is None:
            raise _not_found(name or kind, "tools", path)
        return found

    def __bool__(self) -> bool:
        return bool(self._own or self._hosted)

    def all(self, name: str) -> list[ToolRef]:
        """All that go by that name: tools, those of a namespace, those of a hosted kind."""
        return self._names.get(name, []) + self._kinds.get(_KINDS.get(name, name), [])


def reference(tool: Tool) -> ToolRef:
    """How a choice names a tool."""
    if isinstance(tool, HostedTool):
        return ToolRef(tool.kind, tool.name)
    kind = "function" if isinstance(tool, FunctionTool) else "custom"
    return ToolRef(kind, tool.name, tool.namespace)


def _allowed(allowed: list[str | WireRef], offered: _Offered) -> tuple[ToolRef, ...]:
    """Tools by name. The name of a namespace, a hosted kind or an MCP server means all of it."""
    refs: dict[ToolRef, None] = {}
    known: set[str] = set()
    for index, wanted in enumerate(allowed):
        path = f"allowed_tools[{index}]"
        if not isinstance(wanted, str) and wanted.type:
            refs[offered.one(wanted.type, wanted.name, wanted.namespace, path)] = None
            continue
        name = wanted if isinstance(wanted, str) else wanted.name
        if not name:
            raise checks.missing_parameter(f"{path}.name")
        if name in known:
            continue
        known.add(name)
        found = offered.all(name)
        if not found:
            raise _not_found(name, "tools", path)
        refs.update(dict.fromkeys(found))
    return tuple(refs)


def _not_found(name: str, where: str, param: str = "tool_choice") -> BadRequest:
    if name == "required":
        message = f"Tool choice 'required' must be specified with '{where}' parameter."
    else:
        message = f"Tool choice '{name[:64]}' not found in '{where}' parameter."
    return BadRequest(message, code="invalid_value", param=param)
