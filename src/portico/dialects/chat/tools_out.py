"""Tools, the choice among them, and structured output, for a chat server."""

from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.chat.maps import Quirks
from portico.dialects.counts import UNREADABLE
from portico.dialects.hosted_tools import declare_rest
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import tool_at
from portico.model.request import GenerateRequest, OutputFormat
from portico.model.tools import CustomTool, FunctionTool, HostedTool, ToolChoice, ToolRef

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')


def tool_members(
    request: GenerateRequest, quirks: Quirks, body: dict[str, Any], losses: Losses
) -> None:
    """Add `tools`, `tool_choice`, `parallel_tool_calls` and searching to a body."""
    functions: list[dict[str, Any]] = []
    for index, tool in enumerate(request.tools):
        if isinstance(tool, HostedTool):
            _hosted(tool, tool_at(request.dialect, tool, index), quirks, body, losses)
        else:
            functions.append(_tool(tool, quirks))
    if not functions:
        return
    body["tools"] = functions
    choice = _choice(request.tool_choice)
    if choice is not None:
        body["tool_choice"] = choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def response_format(wanted: OutputFormat) -> dict[str, Any]:
    """`response_format`, nested as chat has it."""
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    inner: dict[str, Any] = {"name": wanted.name or "answer"}
    if wanted.description:
        inner["description"] = wanted.description
    if wanted.schema is not None:
        inner["schema"] = wanted.schema
    if wanted.strict is not None:
        inner["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": inner}


def _tool(tool: FunctionTool | CustomTool, quirks: Quirks) -> dict[str, Any]:
    inner: dict[str, Any] = {"name": tool.name}
    if tool.description:
        inner["description"] = tool.description
    if isinstance(tool, CustomTool):
        if tool.format is not None:
            inner["format"] = _nested_format(tool.format)
        return {"type": "custom", "custom": inner}
    if tool.parameters is not None:
        inner["parameters"] = tool.parameters
    elif quirks.schema_required:
        inner["parameters"] = _NO_PARAMETERS
    if tool.strict is not None and quirks.strict:
        inner["strict"] = tool.strict
    out: dict[str, Any] = {"type": "function", "function": inner}
    if tool.cache is not None and quirks.cache_control:
        mark = tool.cache.ttl
        out["cache_control"] = {"type": "ephemeral", **({"ttl": mark} if mark else {})}
    return out


def _nested_format(flat: Raw) -> Any:
    """`{"type":"grammar","syntax","definition"}` one level deeper."""
    try:
        members = _decode_object(flat)
    except UNREADABLE:
        return flat
    if bytes(members.get("type", b"")) != b'"grammar"' or "definition" not in members:
        return flat
    inner = {name: members[name] for name in ("definition", "syntax") if name in members}
    return {"type": "grammar", "grammar": inner}


def _ref(ref: ToolRef) -> dict[str, Any]:
    kind = "custom" if ref.kind == "custom" else "function"
    return {"type": kind, kind: {"name": ref.name}}


def _choice(choice: ToolChoice) -> Any:
    if choice.allowed is not None:
        named = [_ref(ref) for ref in choice.allowed if ref.kind in ("function", "custom")]
        mode = "required" if choice.mode == "required" else "auto"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}
    if choice.mode == "tool" and choice.tool is not None:
        # A hosted tool has no name here; that one is used is all that can be said.
        if choice.tool.kind not in ("function", "custom"):
            return "required"
        return _ref(choice.tool)
    return choice.mode if choice.mode in ("none", "required") else None


def _hosted(
    tool: HostedTool, where: str, quirks: Quirks, body: dict[str, Any], losses: Losses
) -> None:
    if tool.kind != "web_search" or not quirks.search:
        losses.append(Loss(where, "dropped", f"this provider has no {tool.kind[:40]} of its own"))
        return
    if quirks.search == "plugins":
        plugin: dict[str, Any] = {"id": "web"}
        if tool.allowed_domains:
            plugin["include_domains"] = tool.allowed_domains
        if tool.blocked_domains:
            plugin["exclude_domains"] = tool.blocked_domains
        body["plugins"] = [plugin]
        carried = ("filters", "allowed_domains", "blocked_domains")
        declare_rest(tool, where, carried, losses)
        return
    options: dict[str, Any] = {}
    dialect, native = tool.native
    members: dict[str, Raw] = {}
    if dialect in ("chat", "responses"):
        try:
            members = _decode_object(native)
        except UNREADABLE:
            members = {}
    if "search_context_size" in members:
        options["search_context_size"] = members["search_context_size"]
    if tool.user_location is not None:
        options["user_location"] = _location(tool.user_location)
    body["web_search_options"] = options
    declare_rest(tool, where, ("search_context_size", "user_location"), losses)


def _location(flat: Raw) -> Any:
    """`{"type":"approximate","city",...}` with the place one level deeper."""
    try:
        members = _decode_object(flat)
    except UNREADABLE:
        return flat
    if "approximate" in members:
        return flat
    place = {name: value for name, value in members.items() if name != "type"}
    return {"type": "approximate", "approximate": place}
