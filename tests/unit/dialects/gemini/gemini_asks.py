"""Shorthand for requests to Gemini. Every body is held to the types of the official SDK."""

from typing import Any

from google.genai import types
from tests.unit.dialects.gemini.gemini_examples import ORIGIN, SIG, Json, ask, raw, upstream, write

from portico.dialects.translate import Upstream
from portico.model.items import Item, Message, Reasoning
from portico.model.losses import Loss
from portico.model.parts import Part, Text
from portico.model.sealed import Sealed
from portico.model.tools import FunctionTool, HostedTool

TWO, OLD = upstream("gemini-2.5-pro"), upstream("gemini-2.0-flash")
THREE = upstream("gemini-3-flash-preview")


def check(body: Json) -> None:
    """Every member is one the SDK knows, with the type it has there."""
    known = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "labels",
             "serviceTier"}  # fmt: skip
    assert body.keys() <= known
    for content in body["contents"]:
        types.Content.model_validate(content)
        assert content["parts"]
    if "systemInstruction" in body:
        types.Content.model_validate(body["systemInstruction"])
    for tool in body.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(body.get("toolConfig", {}))
    types.GenerationConfig.model_validate(body.get("generationConfig", {}))


def sent(
    *items: Item, to: Upstream = THREE, losses: list[Loss] | None = None, **fields: Any
) -> Json:
    body = write(ask(*items, **fields), to, losses)
    check(body)
    return body


def user(*parts: Part | str) -> Message:
    return Message("user", tuple([Text(p) if isinstance(p, str) else p for p in parts]))


def said(text: str) -> Message:
    return Message("assistant", (Text(text),))


def sealed(kind: Any, data: str = SIG, *summary: str) -> Reasoning:
    return Reasoning(summary, (), Sealed(ORIGIN, kind, data))


def function(name: str = "f", parameters: Any = None, **more: Any) -> FunctionTool:
    schema = raw(parameters) if parameters is not None else None
    return FunctionTool(name=name, parameters=schema, **more)


def hosted(kind: str = "web_search", native: Any = None, **more: Any) -> HostedTool:
    return HostedTool(kind=kind, native=("responses", raw(native or {"type": kind})), **more)
