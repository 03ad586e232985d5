"""Tools and the choice among them, as `toolConfig`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
(2026-11-21).
"""

from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.converse.maps import Family
from portico.dialects.converse.points import Points
from portico.dialects.counts import UNREADABLE
from portico.dialects.hosted_tools import declare_rest
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import tool_at
from portico.model.request import GenerateRequest
from portico.model.tools import FunctionTool, HostedTool, Tool

_ANY = Raw(b'{"type":"object","properties":{}}')
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode

Config = dict[str, Any]


def config(
    request: GenerateRequest,
    row: Family,
    history: tuple[str, ...],
    points: Points,
    losses: Losses,
) -> Config | None:
    """`toolConfig`, None when there is nothing to offer.

    A history with calls needs it even so: Bedrock refuses tool blocks without it. `history` are
    the names called there.
    """
    choice = request.tool_choice
    tools = list(enumerate(request.tools))
    if choice.mode == "none" and tools:
        if not history:
            return None
        losses.append(
            Loss("tool_choice", "adapted", "tools stay offered: the history holds calls of them")
        )
    if not tools and not history:
        return None
    only = ""
    if choice.mode == "tool" and choice.tool is not None:
        only = choice.tool.name or dict(row.hosted).get(choice.tool.kind, "")
    if only and row.forced == "any":
        # No way to name one: offering only that one and asking for any means the same.
        tools = [(index, tool) for index, tool in tools if tool_name(tool, row) == only]
    specs: list[Config] = []
    for index, tool in tools:
        _offer(specs, tool, tool_at(request.dialect, tool, index), row, points, losses)
    if not specs:
        specs = [{"toolSpec": {"name": name, "inputSchema": {"json": _ANY}}} for name in history]
        losses.append(
            Loss("tools", "adapted", "tools that the history calls were named: it needs them")
        )
    points.end(specs, tool=True)
    made: Config = {"tools": specs}
    if choice.mode == "required" or (only and row.forced == "any"):
        made["toolChoice"] = {"any": {}}
    elif only:
        made["toolChoice"] = {"tool": {"name": only}}
    return made


def is_forced(made: Config | None) -> bool:
    """Whether the model has to call something."""
    return made is not None and "toolChoice" in made


def disable_parallel(made: Config | None, fields: Config) -> None:
    """One call at most. Claude's own `tool_choice`, which takes the place of `toolConfig`'s: both
    at once are refused (answered 2026-09)."""
    if made is None:
        return
    choice = made.pop("toolChoice", {"auto": {}})
    kind = next(iter(choice))
    native: Config = {"type": kind, **choice[kind]}
    native["disable_parallel_tool_use"] = True
    fields["tool_choice"] = native


def tool_name(tool: Tool, row: Family) -> str:
    """The name a tool goes by upstream."""
    return dict(row.hosted).get(tool.kind, "") if isinstance(tool, HostedTool) else tool.name


def _offer(
    specs: list[Config], tool: Tool, where: str, row: Family, points: Points, losses: Losses
) -> None:
    if isinstance(tool, HostedTool):
        declare_rest(tool, where, (), losses)
        specs.append({"systemTool": {"name": tool_name(tool, row)}})
        return
    spec: Config = {"name": tool.name}
    if tool.description.strip():
        spec["description"] = tool.description
    parameters = tool.parameters if isinstance(tool, FunctionTool) else None
    schema, closed = _schema(parameters)
    spec["inputSchema"] = {"json": schema}
    if isinstance(tool, FunctionTool) and tool.strict:
        if row.strict and closed:
            spec["strict"] = True
        else:
            why = "its schema is open" if row.strict else "this model has no strict tools"
            losses.append(Loss(f"{where}.strict", "dropped", why))
    specs.append({"toolSpec": spec})
    point = points.after(tool.cache, tool=True)
    if point is not None:
        specs.append(point)


def _schema(parameters: Raw | None) -> tuple[Raw, bool]:
    """The schema with the `type` that Bedrock insists on, and whether it is closed: strict tools
    with an open one are refused (answered 2026-10)."""
    if parameters is None:
        return _ANY, False
    try:
        members = _decode_members(parameters)
    except UNREADABLE:
        return _ANY, False
    closed = bytes(members.get("additionalProperties", b"")).strip() == b"false"
    if bytes(members.get("type", b"")).strip() == b'"object"':
        return parameters, closed
    fixed = {"type": Raw(b'"object"'), **{k: v for k, v in members.items() if k != "type"}}
    return Raw(msgspec.json.encode(fixed)), closed
