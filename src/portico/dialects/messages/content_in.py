"""Messages of a client become items of the hub.

Blocks keep their order. A user message is split where results of tools end; neighbouring text and
media blocks of one message stay parts of one item. A server tool's call and its result are one
`Hosted` item at the place of the call.
https://platform.claude.com/docs/en/api/messages/create (2026-11-21)
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import media
from portico.dialects.messages import assemble, faults
from portico.dialects.messages.maps import IMAGE_TYPES
from portico.dialects.messages.ours import SERVER_CALL, is_ours
from portico.dialects.messages.raws import NULL, present
from portico.limits import Limits
from portico.model.items import (
    Compaction,
    Hosted,
    Item,
    Message,
    Reasoning,
    Role,
    ToolCall,
    ToolResult,
)
from portico.model.parts import CacheMark, Citation, File, Image, Part, Source, Text
from portico.model.sealed import Sealed, SealedKind, Unseal, native

_ROLES: tuple[Role, ...] = ("user", "assistant", "system")


class _Message(Struct, gc=False):
    role: str
    content: str | list[Raw]


class CacheControl(Struct, gc=False):
    """`cache_control` as the client writes it."""

    type: str
    ttl: str | None = None


class _Block(Struct, gc=False):
    """Any block whose type is known. Members that differ in type by block are raw."""

    type: str
    text: str | None = None
    citations: Raw = NULL
    cache_control: CacheControl | None = None
    source: Raw = NULL
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NULL
    tool_use_id: str | None = None
    content: Raw = NULL
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    file_id: str | None = None


class _Source(Struct, gc=False):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Raw] | None = None


class _Switch(Struct, gc=False):
    enabled: bool | None = None


class _Type(Struct, gc=False):
    type: str


decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_block = msgspec.json.Decoder(_Block).decode
_decode_source = msgspec.json.Decoder(_Source).decode
_decode_type = msgspec.json.Decoder(_Type).decode
_decode_switch = msgspec.json.Decoder(_Switch | None).decode
_decode_citations = msgspec.json.Decoder(list[Raw] | None).decode
_decode_content = msgspec.json.Decoder(str | list[Raw] | None).decode

_KNOWN = frozenset((
    "text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use",
    "tool_result", "container_upload",
))  # fmt: skip


class Reader:
    """Reads the content of one request. `items` grows in order."""

    __slots__ = ("_calls", "_limits", "_parts", "_role", "_unseal", "items")

    def __init__(self, limits: Limits, unseal: Unseal) -> None:
        self.items: list[Item] = []
        self._limits = limits
        self._unseal = unseal
        self._role: Role = "user"
        self._parts: list[Part] = []
        self._calls: dict[str, tuple[int, assemble.Block, bytes]] = {}

    def messages(self, raw: Raw) -> None:
        """Read the whole list. Raises `BadRequest`."""
        found = faults.decode(decode_messages, raw, "messages")
        for index, message in enumerate(found):
            path = f"messages[{index}]"
            self._role = next((role for role in _ROLES if role == message.role), "user")
            if self._role != message.role:
                raise faults.one_of(f"{path}.role", message.role, ("user", "assistant"))
            self._content(message.content, f"{path}.content")

    def _content(self, content: str | list[Raw], path: str) -> None:
        if isinstance(content, str):
            if content:
                self.items.append(Message(self._role, (Text(content),)))
            return
        if len(content) > self._limits.json_items:
            raise faults.invalid(path, f"List should have at most {self._limits.json_items} items")
        for index, raw in enumerate(content):
            self._block(raw, f"{path}[{index}]")
        self._flush()

    def _flush(self) -> None:
        if self._parts:
            self.items.append(Message(self._role, tuple(self._parts)))
            self._parts = []

    def _item(self, item: Item) -> None:
        self._flush()
        self.items.append(item)

    def _block(self, raw: Raw, path: str) -> None:
        try:
            block = _decode_block(raw)
        except (ValueError, RecursionError):
            kind = faults.decode(_decode_type, raw, path).type
            if kind in _KNOWN:
                faults.decode(_decode_block, raw, path)
            self._foreign(kind, raw)
            return
        kind = block.type
        if kind == "text":
            self._parts.append(text_block(block, path))
        elif kind in ("image", "document", "search_result", "container_upload"):
            self._parts.extend(_media(block, path))
        elif kind == "tool_use":
            self._tool_use(block, path)
        elif kind == "tool_result":
            self._tool_result(block, path)
        elif kind == "thinking":
            if block.thinking is None:
                raise faults.missing(f"{path}.thinking")
            self._thinking(block.thinking, block.signature, "signature", path)
        elif kind == "redacted_thinking":
            if block.data is None:
                raise faults.missing(f"{path}.data")
            self._thinking("", block.data, "redacted", path)
        else:
            self._foreign(kind, raw)

    def _tool_use(self, block: _Block, path: str) -> None:
        for name, value in (
            ("id", block.id),
            ("name", block.name),
            ("input", present(block.input)),
        ):
            if value is None:
                raise faults.missing(f"{path}.{name}")
        given = bytes(block.input).strip()
        if not given.startswith(b"{"):
            raise faults.invalid(f"{path}.input", "Input should be an object")
        if self._role != "assistant":
            raise faults.invalid(path, "`tool_use` blocks can only be in `assistant` messages")
        self._item(
            ToolCall(block.id or "", block.name or "", given.decode(), cache=_cache(block, path))
        )

    def _tool_result(self, block: _Block, path: str) -> None:
        if block.tool_use_id is None:
            raise faults.missing(f"{path}.tool_use_id")
        if self._role != "user":
            raise faults.invalid(path, "`tool_result` blocks can only be in `user` messages")
        output = _result_content(block.content, f"{path}.content")
        self._item(
            ToolResult(
                block.tool_use_id, output, is_error=block.is_error, cache=_cache(block, path)
            )
        )

    def _thinking(self, text: str, proof: str | None, kind: SealedKind, path: str) -> None:
        if self._role != "assistant":
            raise faults.invalid(path, "thinking blocks can only be in `assistant` messages")
        sealed: Sealed | None = None
        if proof:
            sealed = self._unseal(proof)
            if sealed is None and not is_ours(proof):
                sealed = native("messages", kind, proof)
        if text or sealed is not None:
            self._item(Reasoning((text,) if text else (), (), sealed))

    def _foreign(self, kind: str, raw: Raw) -> None:
        """Server tools, and blocks of which nothing is known but their type."""
        whole = bytes(raw)
        try:
            block = assemble.decode_block(whole)
        except (ValueError, RecursionError):
            block = assemble.Block(kind)
        if kind == "compaction":
            self._item(_compaction(block, whole))
        elif kind in ("server_tool_use", "mcp_tool_use"):
            self._flush()
            if block.id:
                self._calls[block.id] = (len(self.items), block, whole)
            self.items.append(_without_ours(assemble.hosted(block, whole, None, b"", "incomplete")))
        elif kind.endswith("_tool_result"):
            place, call, call_raw = self._calls.pop(block.tool_use_id or "", (-1, None, b""))
            item = _without_ours(assemble.hosted(call, call_raw, block, whole))
            self._flush()
            if place < 0:
                self.items.append(item)
            else:
                self.items[place] = item
        else:
            self._item(
                Hosted(
                    type=kind[:64],
                    name="" if self._role == "assistant" else "user",
                    native=("messages", Raw(b"[" + whole + b"]")),
                )
            )


def system_text(raw: Raw, limits: Limits) -> tuple[Text, ...]:
    """`system`: a string, or text blocks."""
    found = faults.decode(_decode_content, raw, "system")
    if found is None or isinstance(found, str):
        return (Text(found),) if found else ()
    if len(found) > limits.json_items:
        raise faults.invalid("system", f"List should have at most {limits.json_items} items")
    out: list[Text] = []
    for index, part in enumerate(found):
        path = f"system[{index}]"
        block = faults.decode(_decode_block, part, path)
        if block.type != "text":
            raise faults.one_of(f"{path}.type", block.type, ("text",))
        text = text_block(block, path)
        if text.text:
            out.append(text)
    return tuple(out)


def text_block(block: _Block, path: str) -> Text:
    """A text block with its citations and its cache mark."""
    if block.text is None:
        raise faults.missing(f"{path}.text")
    citations: tuple[Citation, ...] = ()
    if block.citations != NULL:
        raws = faults.decode(_decode_citations, block.citations, f"{path}.citations")
        found = [assemble.citation(raw) for raw in raws or ()]
        citations = tuple([citation for citation in found if citation is not None])
    return Text(block.text, citations, cache=_cache(block, path))


def cache_mark(found: CacheControl | None, path: str) -> CacheMark | None:
    """A `cache_control` object. Raises `BadRequest`."""
    if found is None:
        return None
    if found.type != "ephemeral":
        raise faults.one_of(f"{path}.type", found.type, ("ephemeral",))
    if found.ttl not in (None, "5m", "1h"):
        raise faults.one_of(f"{path}.ttl", found.ttl or "", ("5m", "1h"))
    return CacheMark(found.ttl)


def _cache(block: _Block, path: str) -> CacheMark | None:
    if block.cache_control is None:
        return None
    return cache_mark(block.cache_control, f"{path}.cache_control")


def _media(block: _Block, path: str) -> list[Part]:
    cache = _cache(block, path)
    if block.type == "search_result":
        return [_search_result(block, cache, path)]
    if block.type == "container_upload":
        if block.file_id is None:
            raise faults.missing(f"{path}.file_id")
        return [File(Source("file_id", block.file_id), cache=cache)]
    if block.source == NULL:
        raise faults.missing(f"{path}.source")
    source = faults.decode(_decode_source, block.source, f"{path}.source")
    if block.type == "image":
        return [Image(_image_source(source, f"{path}.source"), cache=cache)]
    return _document(block, source, cache, path)


def _image_source(source: _Source, path: str) -> Source:
    if source.type == "base64":
        if source.media_type is None:
            raise faults.missing(f"{path}.media_type")
        kind = media.canonical(source.media_type)
        if kind not in IMAGE_TYPES:
            raise faults.one_of(f"{path}.media_type", source.media_type, IMAGE_TYPES)
        return Source("base64", _given(source.data, f"{path}.data"), kind)
    return _elsewhere(source, path, ("base64", "url", "file"))


def _elsewhere(source: _Source, path: str, allowed: tuple[str, ...]) -> Source:
    if source.type == "url":
        return Source("url", _given(source.url, f"{path}.url"))
    if source.type == "file":
        return Source("file_id", _given(source.file_id, f"{path}.file_id"))
    raise faults.one_of(f"{path}.type", source.type, allowed)


def _document(block: _Block, source: _Source, cache: CacheMark | None, path: str) -> list[Part]:
    where = f"{path}.source"
    more: list[Part] = []
    if source.type == "base64":
        kind = media.canonical(source.media_type or "application/pdf")
        if kind != "application/pdf":
            raise faults.one_of(f"{where}.media_type", kind, ("application/pdf",))
        found = Source("base64", _given(source.data, f"{where}.data"), kind)
    elif source.type == "text":
        found = Source("text", _given(source.data, f"{where}.data"), "text/plain")
    elif source.type == "content":
        texts, more = _inner(source.content, f"{where}.content")
        found = Source("text", "\n\n".join(texts), "text/plain")
    else:
        found = _elsewhere(source, where, ("base64", "text", "content", "url", "file"))
    cites = _cites(block, path)
    document = File(found, block.title or "", cache, block.context or "", cites)
    return [document, *more]


def _cites(block: _Block, path: str) -> bool:
    """Whether the model is to cite from this document."""
    if block.citations == NULL:
        return False
    switch = faults.decode(_decode_switch, block.citations, f"{path}.citations")
    return switch is not None and switch.enabled is True


def _inner(content: str | list[Raw] | None, path: str) -> tuple[list[str], list[Part]]:
    """The content of a document that is made of blocks: its texts, and its pictures behind it."""
    if content is None:
        raise faults.missing(path)
    if isinstance(content, str):
        return [content], []
    texts: list[str] = []
    images: list[Part] = []
    for index, raw in enumerate(content):
        where = f"{path}[{index}]"
        block = faults.decode(_decode_block, raw, where)
        if block.type == "text":
            texts.append(text_block(block, where).text)
        elif block.type == "image":
            images.extend(_media(block, where))
        else:
            raise faults.one_of(f"{where}.type", block.type, ("text", "image"))
    return texts, images


def _search_result(block: _Block, cache: CacheMark | None, path: str) -> File:
    """A search the client made. It is a document like any other to a model that cites nothing."""
    if block.content == NULL:
        raise faults.missing(f"{path}.content")
    cites = _cites(block, path)
    texts, _ = _inner(faults.decode(_decode_content, block.content, f"{path}.content"),
                      f"{path}.content")  # fmt: skip
    address = faults.decode(_decode_content, block.source, f"{path}.source")
    return File(
        Source("text", "\n\n".join(texts), "text/plain"),
        block.title or "",
        cache,
        f"Source: {address}" if isinstance(address, str) and address else "",
        cites,
    )


def _result_content(raw: Raw, path: str) -> tuple[Part, ...]:
    """What a tool gave. A block of a kind that is new is handed on as the JSON it is."""
    found = faults.decode(_decode_content, raw, path)
    if found is None or isinstance(found, str):
        return (Text(found),) if found else ()
    out: list[Part] = []
    for index, inner in enumerate(found):
        where = f"{path}[{index}]"
        kind = faults.decode(_decode_type, inner, where).type
        if kind == "text":
            out.append(text_block(faults.decode(_decode_block, inner, where), where))
        elif kind in ("image", "document", "search_result"):
            out.extend(_media(faults.decode(_decode_block, inner, where), where))
        else:
            out.append(Text(bytes(inner).decode()))
    return tuple(out)


def _compaction(block: assemble.Block, whole: bytes) -> Item:
    """Kept for Anthropic as it is; others get the summary, which is readable."""
    item = assemble.compaction(block, whole)
    return item if not item.output else Compaction(
        item.output, Sealed("native:messages", "encrypted", whole.decode())
    )  # fmt: skip


def _without_ours(item: Hosted) -> Hosted:
    """A search that this gateway told of has no proof that Anthropic would take back."""
    if not item.id.startswith(SERVER_CALL):
        return item
    return msgspec.structs.replace(item, native=None)


def _given(value: str | None, path: str) -> str:
    if value is None:
        raise faults.missing(path)
    if not value:
        raise faults.invalid(path, "Input should have at least 1 character")
    return value
