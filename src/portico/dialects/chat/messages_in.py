"""The messages of a chat client as items of the hub."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct, structs

from portico.dialects import checks
from portico.dialects.chat import body as wire
from portico.dialects.chat import chunks
from portico.dialects.chat.details import AT_END, SEPARATOR, Placed, before_call, read_details
from portico.dialects.media import source
from portico.errors import BadRequest
from portico.model.items import Item, Message, Reasoning, ToolCall, ToolKind, ToolResult
from portico.model.parts import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Part,
    Refusal,
    Source,
    Text,
    Video,
)
from portico.model.sealed import Unseal, native

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_DETAILS = ("auto", "low", "high", "original")
_TEXT_PARTS = ("text",)
_SPOKEN_PARTS = ("text", "refusal")
_USER_PARTS = ("text", "image_url", "input_audio", "file", "video_url")
_RESULT_PARTS = ("text", "image_url", "file")


class _Cited(Struct, gc=False):
    url: str = ""
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None


class _Note(Struct, gc=False):
    url_citation: _Cited | None = None


_decode_annotations = msgspec.json.Decoder(list[_Note]).decode
_read_extra = chunks.reader(chunks.Extra)


def read_messages(messages: Sequence[wire.Message], unseal: Unseal) -> tuple[Item, ...]:
    """The history, flat. Raises `BadRequest` naming the part."""
    reader = _Reader(unseal)
    for index, message in enumerate(messages):
        reader.add(message, f"messages[{index}]")
    return tuple(reader.items)


class _Reader:
    """Takes the messages one after the other; `kinds` says what the calls so far are."""

    def __init__(self, unseal: Unseal) -> None:
        self.items: list[Item] = []
        self._unseal = unseal
        self._kinds: dict[str, ToolKind] = {}
        self._legacy: dict[str, str] = {}

    def add(self, message: wire.Message, where: str) -> None:
        role = message.role
        if role == "user":
            parts = _parts(message, _USER_PARTS, where)
            self.items.append(Message("user", parts, name=message.name))
        elif role == "assistant":
            self._assistant(message, where)
        elif role == "tool":
            self._tool(message, where)
        elif role in ("system", "developer"):
            parts = _parts(message, _TEXT_PARTS, where)
            self.items.append(Message(role, parts, name=message.name))  # type: ignore[arg-type]
        elif role == "function":
            self._function(message, where)
        else:
            checks.check_choice(f"{where}.role", role, _ROLES)

    def _assistant(self, message: wire.Message, where: str) -> None:
        if bytes(message.audio) != b"null":
            raise checks.unsupported(
                f"{where}.audio", "Earlier spoken answers can only be sent to who made them."
            )
        parts: tuple[Part, ...] = ()
        if message.content is not None:
            parts = _cited(_parts(message, _SPOKEN_PARTS, where), message.annotations)
        if message.refusal:
            parts = (*parts, Refusal(message.refusal))
        calls = [
            self._call(call, f"{where}.tool_calls[{index}]")
            for index, call in enumerate(message.tool_calls or ())
        ]
        if message.function_call is not None:
            calls.append(self._legacy_call(message.function_call))
        placed = read_details(message.reasoning_details or (), self._unseal)
        placed.extend(_signatures(message.tool_calls or ()))
        text = message.reasoning_content or message.reasoning
        if text and not any(each.item.content or each.item.summary for each in placed):
            placed.insert(0, Placed(Reasoning(content=(text,)), ""))
        if not parts and not calls and not placed and message.content is None:
            raise BadRequest(
                f"Invalid value for '{where}.content': expected a string, but got null instead.",
                code="invalid_value",
                param=f"{where}.content",
            )
        self.items.extend(_in_place(parts, calls, placed, message.name))

    def _call(self, call: wire.Call, where: str) -> ToolCall:
        checks.check_choice(f"{where}.type", call.type, ("function", "custom"))
        inner = call.function if call.type == "function" else call.custom
        if inner is None:
            raise checks.missing_parameter(f"{where}.{call.type}")
        if call.type == "custom":
            self._kinds[call.id] = "custom"
            return ToolCall(call.id, inner.name, inner.input or "", "custom")
        return ToolCall(call.id, inner.name, inner.arguments or "")

    def _legacy_call(self, called: wire.Called) -> ToolCall:
        """Calls of the older kind have no ids: the result names the function."""
        identifier = f"call_function_{len(self.items)}"
        self._legacy[called.name] = identifier
        return ToolCall(identifier, called.name, called.arguments or "")

    def _function(self, message: wire.Message, where: str) -> None:
        if not message.name:
            raise checks.missing_parameter(f"{where}.name")
        identifier = self._legacy.pop(message.name, None)
        if identifier is None:
            raise BadRequest(
                f"Invalid parameter: messages with role 'function' must follow a 'function_call' "
                f"of that name ('{where}').",
                code="invalid_value",
                param=f"{where}.name",
            )
        self.items.append(ToolResult(identifier, _parts(message, _RESULT_PARTS, where)))

    def _tool(self, message: wire.Message, where: str) -> None:
        identifier = message.tool_call_id
        if not identifier:
            raise checks.missing_parameter(f"{where}.tool_call_id")
        output = _parts(message, _RESULT_PARTS, where)
        mark = message.cache_control
        self.items.append(
            ToolResult(
                identifier,
                output,
                self._kinds.get(identifier, "function"),
                cache=CacheMark(mark.ttl) if mark is not None else None,
            )
        )


def _cited(parts: tuple[Part, ...], annotations: Raw) -> tuple[Part, ...]:
    """The text with its annotations, which this gateway has told before. Others are left alone."""
    if len(parts) != 1 or type(parts[0]) is not Text or bytes(annotations) in (b"null", b"[]"):
        return parts
    try:
        found = _decode_annotations(annotations)
    except ValueError:
        return parts
    citations = tuple(
        [
            Citation(
                kind="url",
                url=note.url_citation.url,
                title=note.url_citation.title,
                start=note.url_citation.start_index,
                end=note.url_citation.end_index,
            )
            for note in found
            if note.url_citation is not None
        ]
    )
    return (structs.replace(parts[0], citations=citations),)


def _signatures(calls: Sequence[wire.Call]) -> list[Placed]:
    """What Gemini's shim hangs on calls: the state of the thoughts before them."""
    out: list[Placed] = []
    for call in calls:
        extra = _read_extra(call.extra_content)
        if extra is not None and extra.google is not None and extra.google.thought_signature:
            sealed = native("gemini", "next", extra.google.thought_signature)
            out.append(Placed(Reasoning(sealed=sealed), before_call(call.id)))
    return out


def _in_place(
    parts: tuple[Part, ...], calls: list[ToolCall], placed: list[Placed], name: str | None
) -> list[Item]:
    """Text, then calls, with every block of reasoning where its place says."""
    before_calls: dict[str, list[Item]] = {}
    offsets: list[tuple[int, Item]] = []
    last: list[Item] = []
    known = {before_call(call.call_id) for call in calls}
    for each in placed:
        if each.place in known:
            before_calls.setdefault(each.place, []).append(each.item)
        elif each.place == AT_END:
            last.append(each.item)
        else:
            offsets.append((_offset(each.place), each.item))
    out = _split(parts, offsets, name)
    for call in calls:
        out.extend(before_calls.pop(before_call(call.call_id), ()))
        out.append(call)
    out.extend(last)
    return out


def _offset(place: str) -> int:
    digits = place.removeprefix("text:")
    return int(digits) if digits.isdecimal() and len(digits) < 12 else 0


def _split(
    parts: tuple[Part, ...], offsets: list[tuple[int, Item]], name: str | None
) -> list[Item]:
    """The text as messages, cut where reasoning stood inside it."""
    out: list[Item] = []
    if not any(at for at, _ in offsets) or len(parts) != 1 or type(parts[0]) is not Text:
        out.extend([item for _, item in offsets])
        if parts:
            out.append(Message("assistant", parts, name=name))
        return out
    text = parts[0].text
    start = 0
    for at, item in offsets:
        if start < at <= len(text):
            out.append(Message("assistant", (Text(_trimmed(text[start:at])),), name=name))
            start = at
        out.append(item)
    if start < len(text):
        out.append(Message("assistant", (Text(text[start:], cache=parts[0].cache),), name=name))
    return out


def _trimmed(text: str) -> str:
    """Without the separator that was put behind it."""
    shorter = text.removesuffix(SEPARATOR)
    return shorter or text


def _parts(message: wire.Message, allowed: tuple[str, ...], where: str) -> tuple[Part, ...]:
    content = message.content
    if isinstance(content, str):
        mark = message.cache_control
        if mark is None:
            return (Text(content),)
        return (Text(content, cache=CacheMark(mark.ttl)),)
    if content is None:
        raise checks.missing_parameter(f"{where}.content")
    return tuple(
        [_part(part, allowed, f"{where}.content[{at}]") for at, part in enumerate(content)]
    )


def _part(part: wire.Part, allowed: tuple[str, ...], where: str) -> Part:
    kind = part.type
    if kind not in allowed:
        checks.check_choice(f"{where}.type", kind, allowed)
    mark: CacheMark | None = None
    if part.cache_control is not None:
        mark = CacheMark(part.cache_control.ttl)
    elif part.prompt_cache_breakpoint is not None:
        mark = CacheMark()
    match kind:
        case "text":
            if part.text is None:
                raise checks.missing_parameter(f"{where}.text")
            return Text(part.text, cache=mark)
        case "refusal":
            if part.refusal is None:
                raise checks.missing_parameter(f"{where}.refusal")
            return Refusal(part.refusal)
        case "image_url":
            return _image(part, mark, where)
        case "input_audio":
            if part.input_audio is None:
                raise checks.missing_parameter(f"{where}.input_audio")
            return Audio(part.input_audio.data, part.input_audio.format)
        case "file":
            return _file(part, mark, where)
        case _:
            if part.video_url is None:
                raise checks.missing_parameter(f"{where}.video_url")
            return Video(_source(part.video_url.url, f"{where}.video_url.url"))


def _image(part: wire.Part, mark: CacheMark | None, where: str) -> Image:
    inner = part.image_url
    if inner is None:
        raise checks.missing_parameter(f"{where}.image_url")
    if isinstance(inner, str):
        return Image(_source(inner, f"{where}.image_url"), cache=mark)
    checks.check_choice(f"{where}.image_url.detail", inner.detail, _DETAILS)
    return Image(_source(inner.url, f"{where}.image_url.url"), inner.detail, mark)


def _file(part: wire.Part, mark: CacheMark | None, where: str) -> File:
    inner = part.file
    if inner is None:
        raise checks.missing_parameter(f"{where}.file")
    name = inner.filename or ""
    if inner.file_id is not None:
        return File(Source("file_id", inner.file_id), name, mark)
    if inner.file_data is None:
        raise checks.missing_parameter(f"{where}.file.file_data")
    return File(_source(inner.file_data, f"{where}.file.file_data", name), name, mark)


def _source(text: str, where: str, filename: str = "") -> Source:
    try:
        found = source(text, filename=filename)
    except ValueError:
        found = Source("base64", "")
    if not found.value:
        raise BadRequest(
            f"Invalid '{where}'. Expected a URL or a base64-encoded data URL.",
            code="invalid_value",
            param=where,
        )
    return found
