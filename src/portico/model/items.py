"""Items: the flat, ordered history of a conversation, and what a model answers with."""

from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from portico.model.parts import CacheMark, Part
from portico.model.sealed import Sealed

Role: TypeAlias = Literal["system", "developer", "user", "assistant"]
Status: TypeAlias = Literal["completed", "incomplete", "in_progress", "failed"]
ToolKind: TypeAlias = Literal["function", "custom"]


class Message(Struct, frozen=True, gc=False):
    """`phase` is OpenAI's commentary or final_answer."""

    role: Role
    parts: tuple[Part, ...]
    id: str = ""
    status: Status = "completed"
    phase: str | None = None
    name: str | None = None


class Reasoning(Struct, frozen=True, gc=False):
    """One block of reasoning. `summary` may be shown, `content` is the raw text; both may be empty
    while `sealed` is not. It stands right before what it led to."""

    summary: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    sealed: Sealed | None = None
    id: str = ""
    status: Status = "completed"


class ToolCall(Struct, frozen=True, gc=False):
    """The model calls a tool of the client. `arguments` is JSON text of an object for functions,
    free text for custom tools. `call_id` pairs it with its `ToolResult`."""

    call_id: str
    name: str
    arguments: str
    kind: ToolKind = "function"
    namespace: str | None = None
    id: str = ""
    status: Status = "completed"
    cache: CacheMark | None = None


class ToolResult(Struct, frozen=True, gc=False):
    """What the client's tool gave. `is_error` is None where the dialect does not say."""

    call_id: str
    output: tuple[Part, ...]
    kind: ToolKind = "function"
    is_error: bool | None = None
    id: str = ""
    cache: CacheMark | None = None


class Hit(Struct, frozen=True, gc=False):
    """One result of a search."""

    url: str
    title: str = ""
    text: str = ""


class Hosted(Struct, frozen=True, kw_only=True, gc=False):
    """Something the provider's side did: a search, code it ran, a picture it made, an MCP call.

    `type` is the Responses item type (`web_search_call`, `code_interpreter_call`,
    `image_generation_call`, `mcp_call`, ...). `input` is the query or code, `output` what came of
    it (base64 for pictures). `native` is (dialect, its own object, or array of objects), replayed
    to that dialect as it is.
    """

    type: str
    id: str = ""
    status: Status = "completed"
    name: str = ""
    input: str = ""
    output: str = ""
    hits: tuple[Hit, ...] = ()
    native: tuple[str, Raw] | None = None


class Compaction(Struct, frozen=True, gc=False):
    """An earlier part of the conversation, folded. `text` is a readable summary, "" if there is
    none; `sealed` the provider's own form. `complete`: nothing before it is needed any more."""

    text: str = ""
    sealed: Sealed | None = None
    id: str = ""
    complete: bool = False


class Reference(Struct, frozen=True, gc=False):
    """Stands for a stored item; has to be resolved before an upstream sees it."""

    id: str


Item: TypeAlias = Message | Reasoning | ToolCall | ToolResult | Hosted | Compaction | Reference
OutputItem: TypeAlias = Message | Reasoning | ToolCall | Hosted | Compaction
