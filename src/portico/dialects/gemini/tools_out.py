"""Tools and the choice among them: `tools` and `toolConfig`."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL
from portico.dialects.gemini.contents_out import Json
from portico.dialects.gemini.maps import HOSTED_TOOLS, Family
from portico.dialects.gemini.schema import Budget, is_empty, openapi
from portico.dialects.hosted_tools import declare_rest
from portico.errors import BadRequest
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import tool_at
from portico.model.request import GenerateRequest
from portico.model.tools import CustomTool, FunctionTool, HostedTool, ToolChoice


class Offer(Struct, frozen=True):
    """Both members of the body; empty where there is nothing to say."""

    tools: list[Json]
    config: Json


class _FileSearch(Struct):
    vector_store_ids: list[str] = []
    max_num_results: int | None = None
    filters: Raw = NULL


def offer(
    request: GenerateRequest, row: Family, losses: Losses, *, vertex: bool, native: bool
) -> Offer:
    """`native`: schemas go through as they are. Raises `BadRequest` if a tool that has to be used
    cannot be offered."""
    choice = request.tool_choice
    functions: list[tuple[int, FunctionTool | CustomTool]] = []
    hosted: list[tuple[int, HostedTool]] = []
    for index, tool in enumerate(request.tools):
        if isinstance(tool, HostedTool):
            if _may_use(tool, choice):
                hosted.append((index, tool))
        else:
            functions.append((index, tool))
    if functions and hosted and not row.mixes:
        hosted = _only_functions(hosted, choice, losses)
    tools = [
        _hosted(tool, tool_at(request.dialect, tool, index), losses, vertex=vertex)
        for index, tool in hosted
    ]
    config: Json = {}
    if functions:
        budget = Budget()
        declared = [
            _function(index, tool, losses, budget, native=native) for index, tool in functions
        ]
        tools.append({"functionDeclarations": declared})
        calling = _calling(choice, functions)
        if calling:
            config["functionCallingConfig"] = calling
        if hosted and not vertex:
            # https://ai.google.dev/gemini-api/docs/tool-combination (2026-11-21)
            config["includeServerSideToolInvocations"] = True
    if hosted and choice.mode in ("required", "tool") and _is_hosted(choice, functions):
        losses.append(Loss("tool_choice", "adapted", "tools of this provider cannot be forced"))
    return Offer(tools, config)


def _may_use(tool: HostedTool, choice: ToolChoice) -> bool:
    """A choice is kept by offering: nothing else can tell Gemini to leave its own tools alone."""
    if choice.mode == "none":
        return False
    if choice.mode == "tool" and choice.tool is not None:
        return choice.tool.kind == tool.kind
    return choice.allowed is None or any(ref.kind == tool.kind for ref in choice.allowed)


def _is_hosted(choice: ToolChoice, functions: list[Any]) -> bool:
    if choice.mode == "required":
        return not functions
    return choice.tool is not None and choice.tool.kind not in ("function", "custom")


def _only_functions(
    hosted: list[tuple[int, HostedTool]], choice: ToolChoice, losses: Losses
) -> list[tuple[int, HostedTool]]:
    """Before Gemini 3 it is one or the other; the client's own tools are what it cannot do without.
    https://ai.google.dev/gemini-api/docs/tool-combination (2026-11-21)"""
    if choice.mode == "tool" and _is_hosted(choice, []):
        raise BadRequest(
            "This model cannot use its own tools and functions in one request, and 'tool_choice' "
            "forces one of its own.",
            code="unsupported_value",
            param="tool_choice",
        )
    for index, tool in hosted:
        losses.append(
            Loss(f"tools[{index}]", "dropped", f"this model has no {tool.kind} beside functions")
        )
    return []


def _function(
    index: int, tool: FunctionTool | CustomTool, losses: Losses, budget: Budget, *, native: bool
) -> Json:
    out: Json = {"name": tool.name}
    if tool.description:
        out["description"] = tool.description
    parameters = tool.parameters if isinstance(tool, FunctionTool) else None
    if parameters is not None and bytes(parameters) != b"null":
        if native:
            out["parametersJsonSchema"] = parameters
        elif not is_empty(parameters):
            where = f"tools[{index}].parameters"
            out["parameters"] = openapi(parameters, where, losses, budget=budget)
    return out


def _calling(choice: ToolChoice, functions: list[tuple[int, FunctionTool | CustomTool]]) -> Json:
    """https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes (2026-11-21):
    names are allowed with ANY and VALIDATED; VALIDATED is AUTO that keeps to the schemas."""
    if choice.mode == "none":
        return {"mode": "NONE"}
    if choice.mode == "tool" and choice.tool is not None:
        if choice.tool.kind not in ("function", "custom"):
            return {"mode": "NONE"}
        return {"mode": "ANY", "allowedFunctionNames": [choice.tool.name]}
    strict = any(isinstance(tool, FunctionTool) and tool.strict for _, tool in functions)
    if choice.allowed is not None:
        wanted = {ref.name for ref in choice.allowed if ref.kind in ("function", "custom")}
        names = [tool.name for _, tool in functions if tool.name in wanted]
        if not names:
            return {"mode": "NONE"}
        mode = "ANY" if choice.mode == "required" else "VALIDATED"
        return {"mode": mode, "allowedFunctionNames": names}
    if choice.mode == "required":
        return {"mode": "ANY"}
    return {"mode": "VALIDATED"} if strict else {}


def _hosted(tool: HostedTool, where: str, losses: Losses, *, vertex: bool) -> Json:
    """What the tool is told beyond its name is declared where Gemini has no word for it."""
    settings: Json = {}
    carried: frozenset[str] = frozenset()
    if tool.kind == "file_search":
        settings = _stores(tool, where, losses)
        carried = frozenset(("vector_store_ids", "max_num_results", "filters"))
    elif tool.kind == "web_search" and tool.blocked_domains and vertex:
        settings["excludeDomains"] = list(tool.blocked_domains)
        # `filters` hold both kinds of domains
        names = ("blocked_domains",) if tool.allowed_domains else ("blocked_domains", "filters")
        carried = frozenset(names)
    declare_rest(tool, where, carried, losses)
    return {HOSTED_TOOLS[tool.kind]: settings}


def _stores(tool: HostedTool, where: str, losses: Losses) -> Json:
    try:
        asked = msgspec.json.decode(tool.native[1], type=_FileSearch)
    except (ValueError, RecursionError):
        asked = _FileSearch()
    if not asked.vector_store_ids:
        raise BadRequest(
            f"Missing required parameter: '{where}.vector_store_ids'.",
            code="missing_required_parameter",
            param=f"{where}.vector_store_ids",
        )
    settings: Json = {"fileSearchStoreNames": asked.vector_store_ids}
    if asked.max_num_results is not None:
        settings["topK"] = asked.max_num_results
    if asked.filters != NULL:
        losses.append(
            Loss(f"{where}.filters", "dropped", "filters are written in another language")
        )
    return settings
