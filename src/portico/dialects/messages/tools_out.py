"""Tools of a Messages request, its MCP servers, and the choice between them."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.hosted_tools import declare_rest
from portico.dialects.messages.maps import HOSTED, MOST_STRICT_TOOLS, Family
from portico.dialects.messages.parts_out import Block, cache_control
from portico.dialects.messages.raws import NULL, present
from portico.dialects.messages.schemas import closed
from portico.errors import BadRequest
from portico.model.items import Compaction
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import tool_at
from portico.model.request import GenerateRequest
from portico.model.tools import FunctionTool, HostedTool

MCP_BETA = "mcp-client-2025-11-20"
"""https://platform.claude.com/docs/en/agents-and-tools/mcp-connector (2026-11-21)"""
COMPACT_BETA = "compact-2026-01-12"
"""https://platform.claude.com/docs/en/build-with-claude/compaction (2026-11-21)"""
_BETAS = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "advisor_20260301": "advisor-tool-2026-03-01",
}
"""Versioned tools that need a token: https://platform.claude.com/docs/en/api/beta-headers
(2026-11-21)"""
_NAMES = {"code_interpreter": "code_execution"}
_ANY_OBJECT = Raw(b'{"type":"object","properties":{}}')
_MCP = frozenset((
    "server_label", "server_url", "authorization", "headers", "allowed_tools", "require_approval",
))  # fmt: skip
_CARRIED = frozenset((
    "filters", "allowed_domains", "blocked_domains", "max_uses", "user_location", "container",
))  # fmt: skip
"""Settings of hosted tools that have a place here, or are declared one by one."""
_LOCATION = ("city", "country", "region", "timezone")


class _McpTool(Struct, gc=False):
    """The Responses `mcp` tool."""

    server_label: str = ""
    server_url: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None = None
    allowed_tools: Raw = NULL
    require_approval: Raw = NULL


class _Named(Struct, gc=False):
    type: str = ""
    name: str = ""


class _Container(Struct, gc=False):
    container: Raw = NULL


class _Allowed(Struct, gc=False):
    tool_names: list[str] | None = None
    read_only: bool | None = None


_decode_mcp = msgspec.json.Decoder(_McpTool).decode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_names = msgspec.json.Decoder(list[str] | _Allowed).decode
_decode_container = msgspec.json.Decoder(_Container).decode


class Tools(Struct):
    """What goes into the body."""

    tools: list[Block | Raw] = []
    servers: list[Block | Raw] = []
    choice: Block | None = None


def write_tools(request: GenerateRequest, row: Family, losses: Losses) -> Tools:
    """The tools, the servers and the choice. Raises `BadRequest`."""
    made = Tools()
    strict = 0
    for index, tool in enumerate(request.tools):
        where = tool_at(request.dialect, tool, index)
        if isinstance(tool, HostedTool):
            _hosted(tool, request, where, made, losses)
        elif isinstance(tool, FunctionTool):
            binding = tool.strict is True and row.schema
            if binding and strict == MOST_STRICT_TOOLS:
                binding = False
                losses.append(
                    Loss(f"{where}.strict", "dropped", f"at most {MOST_STRICT_TOOLS} are strict")
                )
            strict += binding
            made.tools.append(_function(tool, where, binding, losses))
        else:
            raise TypeError("free-form tools were to become functions")
    made.choice = _choice(request, bool(made.tools))
    return made


def betas(request: GenerateRequest) -> tuple[str, ...]:
    """The `anthropic-beta` tokens that features of this request need."""
    found: dict[str, None] = {}
    for tool in request.tools:
        if not isinstance(tool, HostedTool):
            continue
        if tool.kind == "mcp":
            found[MCP_BETA] = None
        elif tool.native[0] == "messages":
            token = _BETAS.get(_decode_named(tool.native[1]).type)
            if token is not None:
                found[token] = None
    for item in request.items:
        if (
            isinstance(item, Compaction)
            and item.sealed is not None
            and (item.sealed.origin == "native:messages")
        ):
            found[COMPACT_BETA] = None
    return tuple(found)


def _function(tool: FunctionTool, where: str, strict: bool, losses: Losses) -> Block:
    schema = _input_schema(tool.parameters, where)
    block: Block = {"name": tool.name, "description": tool.description, "input_schema": schema}
    if not tool.description:
        del block["description"]
    if strict:
        try:
            block["input_schema"], lost = closed(schema)
        except (ValueError, RecursionError):
            raise _bad_schema(where) from None
        block["strict"] = True
        if lost:
            names = ", ".join(lost)
            losses.append(
                Loss(f"{where}.parameters", "adapted", f"not enforced by this provider: {names}")
            )
    elif tool.strict is True:
        losses.append(Loss(f"{where}.strict", "dropped", "this model has no strict tools"))
    if tool.cache is not None:
        block["cache_control"] = cache_control(tool.cache)
    return block


def _input_schema(given: Raw | None, where: str) -> Raw:
    """A schema whose type is said to be object, as Anthropic wants it."""
    if given is None or bytes(given).strip() == b"null":
        return _ANY_OBJECT
    try:
        members = _decode_members(given)
    except (ValueError, RecursionError):
        raise _bad_schema(where) from None
    kind = members.get("type")
    if kind is None:
        return Raw(msgspec.json.encode({"type": "object", **members}))
    if bytes(kind) != b'"object"':
        raise _bad_schema(where)
    return given


def _bad_schema(where: str) -> BadRequest:
    return BadRequest(
        "The parameters of a tool have to be a JSON Schema of type 'object'.",
        code="invalid_value",
        param=f"{where}.parameters",
    )


def _hosted(
    tool: HostedTool, request: GenerateRequest, where: str, made: Tools, losses: Losses
) -> None:
    foreign = tool.native[0] != "messages"
    if tool.kind == "mcp":
        if foreign:
            _mcp(tool, where, made, losses)
        else:
            _mcp_native(tool.native[1], made)
    elif not foreign:
        made.tools.append(tool.native[1])
    elif tool.kind in HOSTED:
        made.tools.append(_server_tool(tool, request, where, losses))
    else:
        losses.append(Loss(where, "dropped", f"this provider has no {tool.kind[:40]} in this form"))


def _server_tool(tool: HostedTool, request: GenerateRequest, where: str, losses: Losses) -> Block:
    block: Block = {"type": HOSTED[tool.kind], "name": _NAMES.get(tool.kind, tool.kind)}
    declare_rest(tool, where, _CARRIED, losses)
    if tool.kind == "code_interpreter":
        container = _decode_container(tool.native[1]).container
        if bytes(container).replace(b" ", b"") not in (b"null", b'{"type":"auto"}'):
            losses.append(
                Loss(f"{where}.container", "dropped", "containers are made by themselves")
            )
        if request.max_tool_calls is not None:
            losses.append(
                Loss("max_tool_calls", "dropped", "runs of code are not counted by this provider")
            )
        return block
    uses = tool.max_uses if tool.max_uses is not None else request.max_tool_calls
    if uses is not None:
        block["max_uses"] = uses
    if tool.allowed_domains:
        block["allowed_domains"] = list(tool.allowed_domains)
        if tool.blocked_domains:
            losses.append(Loss(f"{where}.filters", "adapted", "only the allowed domains were sent"))
    elif tool.blocked_domains:
        block["blocked_domains"] = list(tool.blocked_domains)
    location = _location(tool.user_location)
    if location is not None and tool.kind == "web_search":
        block["user_location"] = location
    return block


def _location(raw: Raw | None) -> Block | None:
    if raw is None:
        return None
    try:
        given = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    known = {name: given[name] for name in _LOCATION if isinstance(given.get(name), str)}
    return {"type": "approximate", **known} if known else None


def _mcp_native(raw: Raw, made: Tools) -> None:
    """A server as a client of this dialect wrote it; the reader put its toolset inside."""
    members = _decode_members(raw)
    toolset = members.pop("toolset", None)
    made.servers.append(Raw(msgspec.json.encode(members)) if toolset is not None else raw)
    if toolset is not None:
        made.tools.append(toolset)
    elif "tool_configuration" not in members:
        name = _decode_named(raw).name
        made.tools.append({"type": "mcp_toolset", "mcp_server_name": name})


def _mcp(tool: HostedTool, where: str, made: Tools, losses: Losses) -> None:
    """The Responses `mcp` tool. Anthropic never asks for approval, so a tool that wants it is
    refused: it would run without anyone having said yes."""
    try:
        asked = _decode_mcp(tool.native[1])
    except (ValueError, RecursionError):
        raise BadRequest(
            "This MCP tool cannot be read.", code="invalid_value", param=where
        ) from None
    if asked.server_url is None:
        raise BadRequest(
            "This provider reaches MCP servers by 'server_url' only.",
            code="unsupported_value",
            param=f"{where}.server_url",
        )
    if bytes(asked.require_approval).strip() != b'"never"':
        raise BadRequest(
            "This provider calls MCP tools without asking. Set 'require_approval' to 'never'.",
            code="unsupported_value",
            param=f"{where}.require_approval",
        )
    declare_rest(tool, where, _MCP, losses)
    server: Block = {"type": "url", "name": asked.server_label, "url": asked.server_url}
    token = asked.authorization
    for name, value in (asked.headers or {}).items():
        if name.lower() == "authorization" and value[:7].lower() == "bearer " and token is None:
            token = value[7:]
        else:
            losses.append(
                Loss(f"{where}.headers", "dropped", "this provider sends a bearer token only")
            )
    if token is not None:
        server["authorization_token"] = token
    made.servers.append(server)
    toolset: Block = {"type": "mcp_toolset", "mcp_server_name": asked.server_label}
    names = _allowed(present(asked.allowed_tools), f"{where}.allowed_tools")
    if names is not None:
        toolset["default_config"] = {"enabled": False}
        toolset["configs"] = {name: {"enabled": True} for name in names}
    made.tools.append(toolset)


def _allowed(raw: Raw | None, where: str) -> list[str] | None:
    """The names, None for all. Raises `BadRequest` for what would let the model do more."""
    if raw is None:
        return None
    try:
        found = _decode_names(raw)
    except (ValueError, RecursionError):
        raise BadRequest(
            "Expected names of tools, or an object with them.", code="invalid_type", param=where
        ) from None
    if isinstance(found, list):
        return found
    if found.read_only is not None:
        raise BadRequest(
            "This provider cannot tell which tools of a server only read.",
            code="unsupported_value",
            param=f"{where}.read_only",
        )
    names: list[str] | None = found.tool_names
    return names


def _choice(request: GenerateRequest, any_tools: bool) -> Block | None:
    """The choice; one is needed to say that calls may not be parallel."""
    if not any_tools:
        return None
    choice = request.tool_choice
    single = request.parallel_tool_calls is False
    if choice.mode == "none":
        return {"type": "none"}
    out: dict[str, Any]
    if choice.mode == "required":
        out = {"type": "any"}
    elif choice.mode == "tool" and choice.tool is not None:
        kind = choice.tool.kind
        name = choice.tool.name or _NAMES.get(kind, kind)
        out = {"type": "tool", "name": name}
    elif single:
        out = {"type": "auto"}
    else:
        return None
    if single:
        out["disable_parallel_tool_use"] = True
    return out
