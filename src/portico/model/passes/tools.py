"""Tools a target takes: names, free-form tools wrapped as functions, hosted tools, subsets."""

from msgspec import Raw, Struct, structs

from portico.errors import BadRequest
from portico.model.capabilities import Capabilities
from portico.model.losses import Loss, Losses
from portico.model.passes.names import ToolNames
from portico.model.passes.paths import path, tool_at
from portico.model.request import GenerateRequest
from portico.model.tools import (
    AUTO,
    CustomTool,
    FunctionTool,
    HostedTool,
    Tool,
    ToolChoice,
    ToolRef,
)

WRAPPED = Raw(
    b'{"type":"object","properties":{"input":{"type":"string",'
    b'"description":"The whole input of the tool, as free text."}},'
    b'"required":["input"],"additionalProperties":false}'
)
"""The parameters of a function that stands for a free-form tool."""
_LONGEST_GRAMMAR = 8192


class FittedTools(Struct, frozen=True):
    """`allowed` are the upstream names an answer may call, None for all."""

    tools: tuple[Tool, ...]
    choice: ToolChoice
    allowed: frozenset[str] | None = None


def tools(
    request: GenerateRequest, can: Capabilities, names: ToolNames, losses: Losses
) -> FittedTools:
    """Fit definitions and choice. Raises `BadRequest` when the tool that must be used is none."""
    out: list[Tool] = []
    refs: list[ToolRef] = []
    known: set[ToolRef] = set()
    for index, tool in enumerate(request.tools):
        fitted = _one(tool, tool_at(request.dialect, tool, index), can, names, losses)
        if fitted is not None:
            ref = _ref(tool)
            if ref in known and not isinstance(tool, HostedTool):
                raise BadRequest(
                    f"Invalid 'tools[{index}]': another tool has the name '{ref.name[:64]}' too.",
                    code="invalid_value",
                    param=f"tools[{index}]",
                )
            out.append(fitted)
            refs.append(ref)
            known.add(ref)
    if not can.namespaces and any(request.namespaces.values()):
        reason = "namespaces became prefixes of names; what describes them was left out"
        losses.append(Loss("tools", "adapted", reason))
    choice = _choice(request, can, names, refs, losses)
    allowed: frozenset[str] | None = None
    if choice.allowed is not None:
        wanted = choice.allowed
        among = frozenset(wanted)
        kept = [tool for tool, ref in zip(out, refs, strict=True) if _within(ref, among)]
        allowed = frozenset(tool.name for tool in kept if not isinstance(tool, HostedTool))
        if not can.allowed_tools:
            if len(kept) < len(out):
                losses.append(
                    Loss("allowed_tools", "adapted", "only the allowed tools were offered")
                )
            out = kept
            choice = structs.replace(choice, allowed=None)
        else:
            wired = tuple([_wired(ref, can, names) for ref in wanted])
            choice = structs.replace(choice, allowed=wired)
    if not out and choice.mode != "none":
        choice = AUTO
    return FittedTools(tuple(out), choice, allowed)


def _one(
    tool: Tool, where: str, can: Capabilities, names: ToolNames, losses: Losses
) -> Tool | None:
    if isinstance(tool, HostedTool):
        if tool.kind in can.hosted:
            return tool
        losses.append(Loss(where, "dropped", f"this provider has no {tool.kind[:40]} of its own"))
        return None
    kind = "function" if isinstance(tool, FunctionTool) else "custom"
    wire = _wire_name(kind, tool.name, tool.namespace, can, names)
    namespace = tool.namespace if can.namespaces else None
    if isinstance(tool, CustomTool):
        if can.custom_tools:
            return structs.replace(tool, name=wire, namespace=namespace)
        if tool.format is not None and b'"grammar"' in bytes(tool.format):
            losses.append(Loss(f"{where}.format", "adapted", "the grammar is advice, not enforced"))
        return FunctionTool(
            name=wire, description=_described(tool), parameters=WRAPPED, namespace=namespace,
            cache=tool.cache,
        )  # fmt: skip
    if wire == tool.name and namespace == tool.namespace:
        return tool
    return structs.replace(tool, name=wire, namespace=namespace)


def _wire_name(
    kind: str, name: str, namespace: str | None, can: Capabilities, names: ToolNames
) -> str:
    """With native namespaces the name itself goes out, and comes back with its namespace."""
    if namespace is not None and can.namespaces:
        return name
    return names.wire("custom" if kind == "custom" else "function", name, namespace)


def _described(tool: CustomTool) -> str:
    if tool.format is None or b'"definition"' not in bytes(tool.format):
        return tool.description
    grammar = bytes(tool.format).decode(errors="replace")[:_LONGEST_GRAMMAR]
    return f"{tool.description}\n\nThe input has to follow this grammar: {grammar}".strip()


def _ref(tool: Tool) -> ToolRef:
    if isinstance(tool, HostedTool):
        return ToolRef(tool.kind, tool.name)
    kind = "function" if isinstance(tool, FunctionTool) else "custom"
    return ToolRef(kind, tool.name, tool.namespace)


def _within(ref: ToolRef, wanted: frozenset[ToolRef]) -> bool:
    """Whether a tool is one of those meant. A choice may leave the namespace out."""
    return ref in wanted or ToolRef(ref.kind, ref.name) in wanted or ToolRef(ref.kind) in wanted


def _choice(
    request: GenerateRequest,
    can: Capabilities,
    names: ToolNames,
    refs: list[ToolRef],
    losses: Losses,
) -> ToolChoice:
    choice = request.tool_choice
    if choice.mode == "tool" and choice.tool is not None:
        only = frozenset((choice.tool,))
        found = next((ref for ref in refs if _within(ref, only)), None)
        if found is None:
            forced = (choice.tool.name or choice.tool.kind)[:64]
            raise BadRequest(
                f"The tool that 'tool_choice' forces, '{forced}', is not among the tools that "
                "this provider can use.",
                code="unsupported_value",
                param="tool_choice",
            )
        if can.forced_tools:
            return ToolChoice("tool", _wired(found, can, names))
    elif choice.mode == "required" and not refs and request.tools:
        raise BadRequest(
            "'tool_choice' asks for a tool, and none of the tools can be used with this provider.",
            code="unsupported_value",
            param="tool_choice",
        )
    if choice.mode in ("tool", "required") and not can.forced_tools and refs:
        losses.append(
            Loss(path(request.dialect, "tool_choice"), "adapted", "this model cannot be forced")
        )
        return ToolChoice("auto", None, choice.allowed)
    return choice


def _wired(ref: ToolRef, can: Capabilities, names: ToolNames) -> ToolRef:
    if ref.kind not in ("function", "custom"):
        return ref
    kind = "custom" if ref.kind == "custom" and can.custom_tools else "function"
    namespace = ref.namespace if can.namespaces else None
    return ToolRef(kind, _wire_name(ref.kind, ref.name, ref.namespace, can, names), namespace)
