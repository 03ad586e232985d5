"""Fitting a request to its target: the passes, in order. See the package's docstring."""

from typing import Any

from msgspec import Raw, Struct, structs

from portico.model.capabilities import Capabilities
from portico.model.items import ToolCall
from portico.model.losses import Loss, Losses
from portico.model.passes import compaction, content
from portico.model.passes.names import ToolNames
from portico.model.passes.params import parameters
from portico.model.passes.paths import path
from portico.model.passes.restore import Emulation, Restore
from portico.model.passes.tools import tools
from portico.model.request import GenerateRequest, OutputFormat
from portico.model.tools import AUTO, CustomTool, FunctionTool, HostedTool, ToolChoice, ToolRef

_ANY_OBJECT = Raw(b'{"type":"object","properties":{},"additionalProperties":true}')
ANSWER_TOOL = "answer_as_json"
"""The tool that stands for structured output where there is none."""


class Fitted(Struct, frozen=True):
    """`restore` is None when an answer needs no way back."""

    request: GenerateRequest
    restore: Restore | None


def fit(
    request: GenerateRequest,
    can: Capabilities,
    origins: frozenset[str],
    losses: Losses,
    fetched: content.Fetched | None = None,
) -> Fitted:
    """Make `request` fit a target with these capabilities. Raises `BadRequest`.

    `origins` are the sealed values the target may have back; `fetched` is what was found at remote
    addresses.
    """
    losses.extend(request.losses)
    names = ToolNames(can)
    changes: dict[str, Any] = parameters(request, can, losses)
    allowed: frozenset[str] | None = None
    if request.tools:
        fitted = tools(request, can, names, losses)
        allowed = fitted.allowed
        changes["tools"] = fitted.tools
        changes["tool_choice"] = fitted.choice
    elif request.tool_choice.mode != "none" and request.tool_choice != AUTO:
        changes["tool_choice"] = AUTO
    emulation = None
    if request.format is not None:
        emulation = _structured(request, request.format, can, names, changes, losses)
    context = content.Context(
        request.dialect, can, names, fetched if fetched is not None else {}, origins, losses
    )
    items = content.items(compaction.tell(request.items), context)
    if items is not request.items:
        changes["items"] = items
    instructions = [part for part in request.instructions if part.text]
    if len(instructions) < len(request.instructions):
        changes["instructions"] = tuple(instructions)
    if request.max_tool_calls is not None:
        _hosted_calls(request, can, changes, losses)
    restore = None
    stops = request.stop[len(changes["stop"]) :] if "stop" in changes else ()
    if (
        stops
        or emulation is not None
        or allowed is not None
        or names.changed()
        or _wraps(request, can)
    ):
        restore = Restore(names, can.custom_tools, allowed, emulation, losses, stops)
    return Fitted(structs.replace(request, **changes) if changes else request, restore)


def _wraps(request: GenerateRequest, can: Capabilities) -> bool:
    if can.custom_tools:
        return False
    for tool in request.tools:
        if type(tool) is CustomTool:
            return True
    return any(type(item) is ToolCall and item.kind == "custom" for item in request.items)


def _structured(
    request: GenerateRequest,
    wanted: OutputFormat,
    can: Capabilities,
    names: ToolNames,
    changes: dict[str, Any],
    losses: Losses,
) -> Emulation | None:
    """Structured output through a tool the model has to call, where there is no native way."""
    if can.json_schema if wanted.kind == "json_schema" else can.json_object:
        return None
    offered = changes.get("tools", request.tools)
    taken = names.back(ANSWER_TOOL) is not None  # by a tool of the client
    name = names.wire("function", ANSWER_TOOL, "portico" if taken else None)
    tool = FunctionTool(
        name=name,
        description=wanted.description or "Give the final answer by calling this tool.",
        parameters=wanted.schema if wanted.schema is not None else _ANY_OBJECT,
        strict=None,
    )
    choice: ToolChoice = changes.get("tool_choice", request.tool_choice)
    if can.forced_tools and choice.mode != "tool":
        choice = ToolChoice("required") if offered and choice.mode != "none" else (
            ToolChoice("tool", ToolRef("function", name))
        )  # fmt: skip
    changes["tools"] = (*offered, tool)
    changes["tool_choice"] = choice
    changes["format"] = None
    if "parallel_tool_calls" in can.parameters:
        changes["parallel_tool_calls"] = False
    losses.append(
        Loss(path(request.dialect, "format"), "adapted", "emulated with a tool that is forced")
    )
    return Emulation(name, wanted.schema)


def _hosted_calls(
    request: GenerateRequest, can: Capabilities, changes: dict[str, Any], losses: Losses
) -> None:
    """The budget of hosted calls has nobody to keep it."""
    offered = changes.get("tools", request.tools)
    if "max_tool_calls" in can.parameters or not any(
        isinstance(tool, HostedTool) for tool in offered
    ):
        return
    losses.append(Loss("max_tool_calls", "dropped", "this provider does not count its own calls"))
    changes["max_tool_calls"] = None
