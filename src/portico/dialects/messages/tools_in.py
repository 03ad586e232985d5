"""Tools of a Messages request, and which of them the model may use."""

import re

import msgspec
from msgspec import Raw, Struct

from portico.dialects.messages import faults
from portico.dialects.messages.content_in import CacheControl, cache_mark
from portico.dialects.messages.maps import NATIVE_KINDS
from portico.dialects.messages.raws import NULL, present
from portico.model.tools import AUTO, FunctionTool, HostedTool, Tool, ToolChoice, ToolRef
from portico.wire.json import encode

# https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use (2026-11-21)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}").fullmatch
_CHOICES = ("auto", "any", "tool", "none")


class _Tool(Struct, gc=False):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: Raw = NULL
    strict: bool | None = None
    cache_control: CacheControl | None = None
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: Raw = NULL
    mcp_server_name: str | None = None


class _Server(Struct, gc=False):
    name: str
    url: str


class _Choice(Struct, gc=False):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


_TOOL_MEMBERS = frozenset(_Tool.__struct_fields__)
_SAYS_NOTHING = (b"null", b"false", b"[]", b"{}")
_decode_raws = msgspec.json.Decoder(list[Raw] | None).decode
_decode_tool = msgspec.json.Decoder(_Tool).decode
_decode_server = msgspec.json.Decoder(_Server).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_choice = msgspec.json.Decoder(_Choice | None).decode


def read_tools(tools: Raw, servers: Raw, most: int) -> tuple[Tool, ...]:
    """`tools` and `mcp_servers`. Raises `BadRequest`."""
    out: list[Tool] = []
    names: set[str] = set()
    toolsets: dict[str, bytes] = {}
    for index, raw in enumerate(_list(tools, "tools", most)):
        path = f"tools[{index}]"
        tool = faults.decode(_decode_tool, raw, path)
        if tool.type == "mcp_toolset" and tool.mcp_server_name:
            toolsets[tool.mcp_server_name] = bytes(raw)
            continue
        if tool.name is not None and tool.name in names:
            raise faults.invalid("tools", "Tool names must be unique")
        if tool.name is not None:
            names.add(tool.name)
        out.append(_tool(tool, raw, path))
    for index, raw in enumerate(_list(servers, "mcp_servers", most)):
        server = faults.decode(_decode_server, raw, f"mcp_servers[{index}]")
        native = bytes(raw)
        if server.name in toolsets:
            members = _decode_members(native)
            members["toolset"] = Raw(toolsets.pop(server.name))
            native = encode(members)
        out.append(HostedTool(kind="mcp", native=("messages", Raw(native)), name=server.name))
    for name in toolsets:
        raise faults.invalid("tools", f"MCP server '{name[:64]}' is not in `mcp_servers`")
    return tuple(out)


def unknown_members(tools: Raw, most: int) -> dict[str, Raw]:
    """Path -> value of what own tools are told that the hub has no name for."""
    out: dict[str, Raw] = {}
    for index, raw in enumerate(_list(tools, "tools", most)):
        members = faults.decode(_decode_members, raw, f"tools[{index}]")
        if bytes(members.get("type", NULL)) not in (b"null", b'"custom"'):
            continue  # hosted tools keep what they were told
        for name, value in members.items():
            if name not in _TOOL_MEMBERS and bytes(value) not in _SAYS_NOTHING:
                out[f"tools[{index}].{name[:64]}"] = value
    return out


def read_choice(raw: Raw, tools: tuple[Tool, ...]) -> tuple[ToolChoice, bool | None]:
    """The choice, and whether calls may be parallel (None: not said)."""
    choice = faults.decode(_decode_choice, raw, "tool_choice")
    if choice is None:
        return AUTO, None
    parallel = None
    if choice.disable_parallel_tool_use is not None:
        parallel = not choice.disable_parallel_tool_use
    if choice.type == "auto":
        return AUTO, parallel
    if choice.type == "any":
        return ToolChoice("required"), parallel
    if choice.type == "none":
        return ToolChoice("none"), parallel
    if choice.type != "tool":
        raise faults.one_of("tool_choice.type", choice.type, _CHOICES)
    if choice.name is None:
        raise faults.missing("tool_choice.name")
    return ToolChoice("tool", _named(choice.name, tools)), parallel


def _tool(tool: _Tool, raw: Raw, path: str) -> Tool:
    cache = None
    if tool.cache_control is not None:
        cache = cache_mark(tool.cache_control, f"{path}.cache_control")
    if tool.type not in (None, "custom"):
        return _hosted(tool, raw)
    if tool.name is None:
        raise faults.missing(f"{path}.name")
    if not _NAME(tool.name):
        raise faults.invalid(f"{path}.name", "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'")
    if tool.input_schema == NULL:
        raise faults.missing(f"{path}.input_schema")
    if not bytes(tool.input_schema).startswith(b"{"):
        raise faults.invalid(f"{path}.input_schema", "Input should be an object")
    return FunctionTool(
        name=tool.name,
        description=tool.description or "",
        parameters=Raw(bytes(tool.input_schema)),
        strict=tool.strict,
        cache=cache,
    )


def _hosted(tool: _Tool, raw: Raw) -> HostedTool:
    version = tool.type or ""
    kind = next(
        (kind for prefix, kind in NATIVE_KINDS.items() if version.startswith(prefix)), version[:64]
    )
    location = present(tool.user_location)
    return HostedTool(
        kind=kind,
        native=("messages", Raw(bytes(raw))),
        allowed_domains=tuple(tool.allowed_domains or ()),
        blocked_domains=tuple(tool.blocked_domains or ()),
        max_uses=tool.max_uses,
        user_location=None if location is None else Raw(bytes(location)),
    )


class _Named(Struct, gc=False):
    name: str = ""


_decode_named = msgspec.json.Decoder(_Named).decode


def _named(name: str, tools: tuple[Tool, ...]) -> ToolRef:
    for tool in tools:
        if isinstance(tool, HostedTool):
            if _decode_named(tool.native[1]).name == name:
                return ToolRef(tool.kind, name)
        elif tool.name == name:
            return ToolRef("function", name)
    raise faults.invalid("tool_choice.name", f"Tool '{name[:64]}' not found in provided tools")


def _list(raw: Raw, path: str, most: int) -> list[Raw]:
    found = faults.decode(_decode_raws, raw, path) or []
    if len(found) > most:
        raise faults.invalid(path, f"List should have at most {most} items")
    return found
