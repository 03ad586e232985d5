"""Tools a request offers, and which of them the model may or must use."""

from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from portico.model.items import ToolKind
from portico.model.parts import CacheMark


class FunctionTool(Struct, frozen=True, kw_only=True, gc=False):
    """A tool of the client. `parameters` is a JSON Schema as the client wrote it, None if absent.

    `namespace` groups tools under a name of its own (Responses `namespace` tools).
    """

    name: str
    description: str = ""
    parameters: Raw | None = None
    strict: bool | None = None
    namespace: str | None = None
    cache: CacheMark | None = None


class CustomTool(Struct, frozen=True, kw_only=True, gc=False):
    """A tool that takes free text. `format` is OpenAI's flat object (`{"type":"grammar",
    "syntax", "definition"}` or `{"type":"text"}`) as JSON text, None if absent."""

    name: str
    description: str = ""
    format: Raw | None = None
    namespace: str | None = None
    cache: CacheMark | None = None


class HostedTool(Struct, frozen=True, kw_only=True, gc=False):
    """A tool the provider runs. `kind` is the Responses name without a version: `web_search`,
    `code_interpreter`, `file_search`, `image_generation`, `mcp`, `computer`, `web_fetch`,
    `shell`, ...; for one that no table knows, the name it came with. `native` is (dialect, the
    tool object as the client wrote it). The named fields are what dialects share; `name` tells
    apart tools of one kind (the `server_label` of an MCP server).
    """

    kind: str
    native: tuple[str, Raw]
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    max_uses: int | None = None
    user_location: Raw | None = None
    name: str = ""


Tool: TypeAlias = FunctionTool | CustomTool | HostedTool


class ToolRef(Struct, frozen=True, gc=False):
    """Names one tool. `kind` is function, custom, or the kind of a hosted tool."""

    kind: str
    name: str = ""
    namespace: str | None = None


class ToolChoice(Struct, frozen=True, gc=False):
    """`tool`: exactly the tool of `tool`. `allowed` narrows auto and required to a subset."""

    mode: Literal["auto", "none", "required", "tool"] = "auto"
    tool: ToolRef | None = None
    allowed: tuple[ToolRef, ...] | None = None


AUTO = ToolChoice()

__all__ = ["AUTO", "CustomTool", "FunctionTool", "HostedTool", "Tool", "ToolChoice", "ToolKind",
           "ToolRef"]  # fmt: skip
