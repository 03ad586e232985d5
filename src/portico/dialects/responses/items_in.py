"""Entries of `input` as hub items.

Every item the API can give comes back as input, with members that only output has (status, ids,
annotations, logprobs): they are accepted. Items that the provider's side made keep their own JSON
(`Hosted.native`), and so does every type this table does not know. Source: openai-python 3.54,
`ResponseInputItemParam`; Open Responses 2026-04-24, `ItemParam`.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks
from portico.dialects.responses.parts_in import WirePart, decode_array, read_parts, read_texts
from portico.dialects.responses.wire import ALIEN, NULL, Object
from portico.errors import BadRequest
from portico.model.items import (
    Compaction,
    Hit,
    Hosted,
    Item,
    Message,
    Reasoning,
    Reference,
    Status,
    ToolCall,
    ToolResult,
)
from portico.model.losses import Losses
from portico.model.parts import Part, Text
from portico.model.sealed import PREFIX, Sealed, Unseal, native

ROLES = ("user", "assistant", "system", "developer")
_STATUS: dict[str | None, Status] = {
    "incomplete": "incomplete", "failed": "failed", "in_progress": "in_progress",
    "searching": "in_progress", "interpreting": "in_progress", "generating": "in_progress",
    "calling": "in_progress",
}  # fmt: skip
UNREADABLE = Sealed("unreadable", "encrypted", "")
"""Stands for a sealed value of this gateway that cannot be opened (made for another tenant, or with
a key that is gone). It belongs to no target, so the passes leave it out and say so."""


class WireItem(Struct, gc=False):
    """Any entry of `input`. What only hosted items have is read from their raw JSON."""

    type: str | None = None
    role: str | None = None
    content: str | list[WirePart] | None = None
    id: str | None = None
    status: str | None = None
    phase: str | None = None
    name: str | None = None
    namespace: str | None = None
    call_id: str | None = None
    arguments: str | Object | list[Raw] | None = None
    input: str | None = None
    output: str | list[WirePart] | Object | None = None
    summary: list[WirePart] | None = None
    encrypted_content: str | None = None
    tools: Raw = NULL


class _Head(Struct, gc=False):
    type: str | None = None
    id: str | None = None
    status: str | None = None


decode_item = msgspec.json.Decoder(WireItem).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


def tolerant(raw: Raw) -> WireItem | None:
    """An item whose members have other types than the table's, if its type is not in the table."""
    try:
        head = _decode_head(raw)
    except ValueError:
        return None
    if head.type is None or head.type == "message" or head.type in _READERS:
        return None
    return WireItem(head.type, id=head.id, status=head.status)


def is_own(kind: Raw | None) -> bool:
    """Whether items of this type, as JSON, are read member by member, and not kept whole."""
    if kind is None or bytes(kind) in (b"null", b'"message"'):
        return True
    return bytes(kind)[1:-1].decode(errors="replace") in _READERS


class ItemReader:
    """Reads one `input`. `raw` is the array as it came; `tools` collects what `additional_tools`
    items add, as (path, array). All methods raise `BadRequest` that names the member."""

    __slots__ = ("_elements", "_raw", "losses", "tools", "unseal")

    def __init__(self, raw: Raw, unseal: Unseal) -> None:
        self.unseal = unseal
        self.losses: Losses = []
        self.tools: list[tuple[str, Raw]] = []
        self._raw = raw
        self._elements: list[Raw] | None = None

    def element(self, index: int) -> Raw:
        """An entry as the client wrote it."""
        if self._elements is None:
            self._elements = decode_array(self._raw)
        return Raw(bytes(self._elements[index]))

    def read(self, items: list[WireItem]) -> tuple[Item, ...]:
        """Item `n` of the hub stands for entry `n` of the input."""
        out: list[Item] = []
        for index, item in enumerate(items):
            kind = item.type
            path = f"input[{index}]"
            if kind == "message" or kind is None:
                if kind is None and item.role is None and item.content is None and item.id:
                    out.append(Reference(item.id))
                else:
                    out.append(_message(self, item, path))
                continue
            reader = _READERS.get(kind)
            if reader is not None:
                out.append(reader(self, item, path))
            else:
                out.append(_hosted(item, self.element(index), path))
        return tuple(out)

    def sealed(self, value: str | None) -> Sealed | None:
        """The opaque state in `encrypted_content`."""
        if not value:
            return None
        found = self.unseal(value)
        if found is not None:
            return found
        if value.startswith(PREFIX):
            return UNREADABLE
        return native("responses", "encrypted", value)


def _message(reader: ItemReader, item: WireItem, path: str) -> Message:
    role = item.role
    if role is None:
        raise checks.missing_parameter(f"{path}.role")
    if role not in ROLES:
        checks.check_choice(f"{path}.role", role, ROLES)
    content = item.content
    if content is None:
        raise checks.missing_parameter(f"{path}.content")
    parts: tuple[Part, ...]
    if type(content) is str:
        parts = (Text(content),)
    else:
        parts = read_parts(content, f"{path}.content", reader.losses)  # type: ignore[arg-type]
    status = _STATUS.get(item.status, "completed")
    return Message(role, parts, item.id or "", status, item.phase, item.name)  # type: ignore[arg-type]


def _call(reader: ItemReader, item: WireItem, path: str) -> ToolCall:
    if item.call_id is None or item.name is None or item.arguments is None:
        raise _missing(path, call_id=item.call_id, name=item.name, arguments=item.arguments)
    if type(item.arguments) is not str:
        raise _not_a_string(f"{path}.arguments", item.arguments)
    return ToolCall(
        item.call_id, item.name, item.arguments, "function", item.namespace, item.id or "",
        _STATUS.get(item.status, "completed"),
    )  # fmt: skip


def _custom_call(reader: ItemReader, item: WireItem, path: str) -> ToolCall:
    if item.call_id is None or item.name is None or item.input is None:
        raise _missing(path, call_id=item.call_id, name=item.name, input=item.input)
    return ToolCall(
        item.call_id, item.name, item.input, "custom", item.namespace, item.id or "",
        _STATUS.get(item.status, "completed"),
    )  # fmt: skip


def _result(reader: ItemReader, item: WireItem, path: str) -> ToolResult:
    output = item.output
    if item.call_id is None or output is None:
        raise _missing(path, call_id=item.call_id, output=output)
    parts: tuple[Part, ...]
    if type(output) is str:
        parts = (Text(output),)
    elif type(output) is list:
        parts = read_parts(output, f"{path}.output", reader.losses)
    else:
        raise _not_a_string(f"{path}.output", output, "a string or an array")
    kind = item.type
    return ToolResult(
        item.call_id, parts, "custom" if kind == "custom_tool_call_output" else "function",
        None, item.id or "",
    )  # fmt: skip


def _reasoning(reader: ItemReader, item: WireItem, path: str) -> Reasoning:
    content = item.content
    if type(content) is str:
        raise _not_a_string(f"{path}.content", content, "an array")
    return Reasoning(
        read_texts(item.summary, f"{path}.summary"),
        read_texts(content, f"{path}.content"),  # type: ignore[arg-type]
        reader.sealed(item.encrypted_content),
        item.id or "",
        _STATUS.get(item.status, "completed"),
    )


def _compaction(reader: ItemReader, item: WireItem, path: str) -> Compaction:
    if item.encrypted_content is None:
        raise checks.missing_parameter(f"{path}.encrypted_content")
    sealed = reader.sealed(item.encrypted_content)
    if sealed is not None and sealed.origin in (OWN_SUMMARY, OWN_CONTEXT):
        return Compaction(sealed.data, None, item.id or "", sealed.origin == OWN_CONTEXT)
    return Compaction("", sealed, item.id or "")


OWN_SUMMARY = "portico:summary"
"""`Sealed.origin` of a summary in plain words, which every provider can be given."""
OWN_CONTEXT = "portico:context"
"""The same for one that stands for everything before it."""


def _reference(reader: ItemReader, item: WireItem, path: str) -> Reference:
    if not item.id:
        raise checks.missing_parameter(f"{path}.id")
    return Reference(item.id)


def _additional_tools(reader: ItemReader, item: WireItem, path: str) -> Message:
    """Its tools join the others; an empty message, which goes nowhere, keeps its place."""
    reader.tools.append((f"{path}.tools", item.tools))
    return Message("developer", (), item.id or "")


_READERS: dict[str, Callable[[ItemReader, WireItem, str], Item]] = {
    "function_call": _call,
    "function_call_output": _result,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _result,
    "reasoning": _reasoning,
    "compaction": _compaction,
    "item_reference": _reference,
    "additional_tools": _additional_tools,
}


# what the provider's side did


def _hosted(item: WireItem, raw: Raw, path: str) -> Hosted:
    """`input`, `output` and `hits` are for providers that cannot be given the item itself."""
    kind = item.type or ""
    wire = _decode_any(raw)
    own = kind.startswith(ALIEN) or any(wire.get(name) == "" for name in _NEVER_EMPTY)
    given, output, hits = _HOSTED.get(kind, _plain)(wire)
    return Hosted(
        type=kind.removeprefix(ALIEN),
        id=item.id or "",
        status=_STATUS.get(item.status, "completed"),
        name=_text(wire, "name"),
        input=given,
        output=output,
        hits=hits,
        native=None if own else ("responses", raw),
    )


_NEVER_EMPTY = ("container_id", "server_label")
"""Empty in items that this gateway wrote for what another provider did (`hosted_out`): they are no
item that a provider of this API would take back."""
_Told = tuple[str, str, tuple[Hit, ...]]


def _web_search(wire: dict[str, Any]) -> _Told:
    action = wire.get("action")
    if not isinstance(action, dict):
        return "", "", ()
    queries = action.get("queries")
    given = _text(action, "query") or (
        "\n".join(map(str, queries)) if isinstance(queries, list) else ""
    )
    given = given or " ".join([text for key in ("pattern", "url") if (text := _text(action, key))])
    found = [Hit(_text(source, "url")) for source in _dicts(action, "sources")]
    return given, "", tuple([hit for hit in found if hit.url])


def _file_search(wire: dict[str, Any]) -> _Told:
    queries = wire.get("queries")
    given = "\n".join(map(str, queries)) if isinstance(queries, list) else ""
    hits = [Hit("", _text(found, "filename"), _text(found, "text"))
            for found in _dicts(wire, "results")]  # fmt: skip
    return given, "", tuple(hits)


def _code(wire: dict[str, Any]) -> _Told:
    logs = [_text(output, "logs") for output in _dicts(wire, "outputs")]
    return _text(wire, "code"), "\n".join([text for text in logs if text]), ()


def _plain(wire: dict[str, Any]) -> _Told:
    return _text(wire, "arguments") or _text(wire, "input"), _text(wire, "output"), ()


_HOSTED: dict[str, Callable[[dict[str, Any]], _Told]] = {
    "web_search_call": _web_search,
    "file_search_call": _file_search,
    "code_interpreter_call": _code,
    "image_generation_call": lambda wire: ("", _text(wire, "result"), ()),
}


def _text(wire: dict[str, Any], key: str) -> str:
    value = wire.get(key)
    return value if isinstance(value, str) else ""


def _dicts(wire: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = wire.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


# errors


def _missing(path: str, **members: object) -> BadRequest:
    name = next(name for name, value in members.items() if value is None)
    return checks.missing_parameter(f"{path}.{name}")


def _not_a_string(path: str, value: object, expected: str = "a string") -> BadRequest:
    got = "a string" if isinstance(value, str) else (
        "an array" if isinstance(value, list) else "an object"
    )  # fmt: skip
    return BadRequest(
        f"Invalid type for '{path}': expected {expected}, but got {got} instead.",
        code="invalid_type",
        param=path,
    )
