"""Tools and the choice among them, as a Responses request has them: flat."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.hosted_tools import declare_rest
from portico.dialects.responses import maps
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import tool_at
from portico.model.request import GenerateRequest
from portico.model.tools import CustomTool, FunctionTool, HostedTool, ToolChoice, ToolRef

Wire = dict[str, Any] | Raw

_NO_PARAMETERS = Raw(
    b'{"type":"object","properties":{},"required":[],"additionalProperties":false}'
)


class _Search(Struct):
    """What else a search tool says: Chat's `web_search_options`."""

    search_context_size: str | None = None


class _Place(Struct):
    """Chat nests the place one level deeper than the others."""

    approximate: dict[str, str | None] | None = None


class _McpTools(Struct):
    enabled: bool | None = None
    allowed_tools: list[str] | None = None


class _McpSetting(Struct):
    enabled: bool | None = None


class _McpToolset(Struct):
    """Anthropic's `mcp_toolset`: what holds for every tool of a server, and for some."""

    default_config: _McpSetting | None = None
    configs: dict[str, _McpSetting] | None = None


class _McpServer(Struct):
    """One of Anthropic's `mcp_servers`, in its older form with `tool_configuration`; `toolset` is
    the `mcp_toolset` among the tools that names it."""

    url: str
    name: str
    authorization_token: str | None = None
    tool_configuration: _McpTools | None = None
    toolset: _McpToolset | None = None


_SEARCH = frozenset((
    "allowed_domains", "blocked_domains", "user_location", "search_context_size", "max_uses",
))  # fmt: skip
"""Settings of searching that have a place here, or are declared one by one."""
_decode_search = msgspec.json.Decoder(_Search).decode
_decode_place = msgspec.json.Decoder(_Place).decode
_decode_server = msgspec.json.Decoder(_McpServer).decode


def tools_of(request: GenerateRequest, losses: Losses) -> list[Wire]:
    """The `tools` array. Tools of a namespace stand together where its first one stood."""
    out: list[Wire] = []
    grouped: dict[str, list[dict[str, Any]]] = {}
    # Chat and Messages are not strict unless asked; this API is
    default_strict = None if request.dialect == "responses" else False
    for index, tool in enumerate(request.tools):
        if isinstance(tool, HostedTool):
            hosted = _hosted(tool, index, request.dialect, losses)
            if hosted is not None:
                out.append(hosted)
            continue
        wire = _function(tool, default_strict) if isinstance(tool, FunctionTool) else _custom(tool)
        if tool.namespace is None:
            out.append(wire)
        elif tool.namespace in grouped:
            grouped[tool.namespace].append(wire)
        else:
            group = grouped[tool.namespace] = [wire]
            name = tool.namespace
            description = request.namespaces.get(name) or name
            out.append(
                {"type": "namespace", "name": name, "description": description, "tools": group}
            )
    return out


def _function(tool: FunctionTool, default_strict: bool | None) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    wire["parameters"] = tool.parameters if tool.parameters is not None else _NO_PARAMETERS
    wire["strict"] = default_strict if tool.strict is None else tool.strict
    return wire


def _custom(tool: CustomTool) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "custom", "name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    if tool.format is not None:
        wire["format"] = tool.format
    return wire


# Hosted tools


def _hosted(tool: HostedTool, index: int, dialect: str, losses: Losses) -> Wire | None:
    if maps.is_native(tool):
        return tool.native[1]
    where = tool_at(dialect, tool, index)
    if tool.kind == "web_search":
        return _web_search(tool, where, losses)
    if tool.kind == "code_interpreter":
        declare_rest(tool, where, (), losses)
        return {"type": "code_interpreter", "container": {"type": "auto"}}
    if tool.kind == "image_generation":
        declare_rest(tool, where, (), losses)
        return {"type": "image_generation"}
    if tool.kind == "mcp":
        return _mcp(tool, where, losses)
    losses.append(Loss(where, "dropped", f"{tool.kind[:40]} works in another way here"))
    return None


def _web_search(tool: HostedTool, where: str, losses: Losses) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "web_search"}
    declare_rest(tool, where, _SEARCH, losses)
    if tool.allowed_domains:
        wire["filters"] = {"allowed_domains": tool.allowed_domains}
    if tool.blocked_domains:
        losses.append(
            Loss(f"{where}.blocked_domains", "dropped", "only allowed domains can be named")
        )
    if tool.user_location is not None:
        wire["user_location"] = _place(tool.user_location)
    try:
        size = _decode_search(tool.native[1]).search_context_size
    except (ValueError, RecursionError):
        size = None
    if size is not None:
        wire["search_context_size"] = size
    return wire


def _place(raw: Raw) -> Raw | dict[str, Any]:
    try:
        nested = _decode_place(raw).approximate
    except (ValueError, RecursionError):
        nested = None
    return raw if nested is None else {"type": "approximate", **nested}


def _mcp(tool: HostedTool, where: str, losses: Losses) -> dict[str, Any] | None:
    """Anthropic runs the tools of a server without asking, so nothing is to be approved here."""
    try:
        server = _decode_server(tool.native[1])
    except (ValueError, RecursionError):
        losses.append(Loss(where, "dropped", "the server has no address of its own"))
        return None
    configuration = server.tool_configuration or _McpTools()
    allowed = configuration.allowed_tools
    if server.toolset is not None:
        allowed = _allowed(server.toolset, losses)
    if configuration.enabled is False or allowed == []:
        return None
    wire: dict[str, Any] = {
        "type": "mcp",
        "server_label": server.name,
        "server_url": server.url,
        "require_approval": "never",
    }
    if server.authorization_token is not None:
        wire["authorization"] = server.authorization_token
    if allowed is not None:
        wire["allowed_tools"] = allowed
    return wire


def _allowed(toolset: _McpToolset, losses: Losses) -> list[str] | None:
    """The tools that are turned on, None for all. Turning single ones off cannot be said here."""
    configs = toolset.configs or {}
    if toolset.default_config is not None and toolset.default_config.enabled is False:
        return [name for name, config in configs.items() if config.enabled]
    if any(config.enabled is False for config in configs.values()):
        losses.append(Loss("tools.configs", "dropped", "no tool of a server can be turned off"))
    return None


def call_budget(request: GenerateRequest, losses: Losses) -> int | None:
    """`max_tool_calls`: the client's, else the `max_uses` of the one hosted tool there is."""
    hosted = [
        (index, tool) for index, tool in enumerate(request.tools) if isinstance(tool, HostedTool)
    ]
    limited = [(index, tool) for index, tool in hosted if tool.max_uses is not None]
    if request.max_tool_calls is None and len(hosted) == 1 and limited:
        return limited[0][1].max_uses
    losses.extend(
        Loss(f"tools[{index}].max_uses", "dropped", "calls are counted for all tools together")
        for index, _ in limited
    )
    return request.max_tool_calls


# Choice


def choice_of(choice: ToolChoice, offered: int) -> str | dict[str, Any] | None:
    """The `tool_choice` member, None for auto. `offered` is how many tools there are."""
    if choice.allowed is not None and choice.mode in ("auto", "required"):
        return {
            "type": "allowed_tools",
            "mode": choice.mode,
            "tools": [_named(ref) for ref in choice.allowed],
        }
    if choice.mode == "tool" and choice.tool is not None:
        return _forced(choice.tool, offered)
    return None if choice.mode == "auto" else choice.mode


def _forced(ref: ToolRef, offered: int) -> str | dict[str, Any]:
    if ref.kind in ("function", "custom", "mcp") or ref.kind in maps.FORCED_BY_TYPE:
        return _named(ref)
    if offered == 1:
        return "required"
    return {"type": "allowed_tools", "mode": "required", "tools": [_named(ref)]}


def _named(ref: ToolRef) -> dict[str, Any]:
    if ref.kind == "mcp":
        return {"type": "mcp", "server_label": ref.name}
    if ref.kind in ("function", "custom"):
        return {"type": ref.kind, "name": ref.name}
    return {"type": ref.kind}
