"""Content the target takes. What changes the meaning when left out is refused, not dropped."""

from base64 import b64decode
from operator import is_

import msgspec
from msgspec import structs

from portico.errors import BadRequest
from portico.model.arguments import is_object
from portico.model.capabilities import Capabilities, Content
from portico.model.items import Item, Message, Reasoning, Reference, ToolCall, ToolResult
from portico.model.losses import Loss, Losses
from portico.model.parts import Audio, File, Image, Part, Refusal, Source, Text, Video
from portico.model.passes.names import ToolNames, call_id
from portico.model.passes.paths import at

Fetched = dict[str, Source]
"""Remote address -> what was there, for targets that take no addresses."""

_WORDS: dict[str, str] = {
    "image": "images", "image_url": "images by URL", "file": "files", "file_url": "files by URL",
    "file_text": "text files", "audio": "audio", "video": "video", "video_url": "video by URL",
    "file_id": "uploaded files by id", "storage_url": "objects of a cloud's storage",
}  # fmt: skip


class Context(msgspec.Struct):
    """What every function here needs. `origins` are the `Sealed.origin` values that this target
    may have back."""

    dialect: str
    can: Capabilities
    names: ToolNames
    fetched: Fetched
    origins: frozenset[str]
    losses: Losses


def needs(part: Part) -> Content | None:
    """What a target has to take for this part; None for text."""
    if isinstance(part, (Text, Refusal)):
        return None
    if isinstance(part, Audio):
        return "audio"
    kind = part.source.kind
    if kind == "file_id":
        return "file_id"
    if kind == "url" and part.source.value.startswith(("s3://", "gs://")):
        return "storage_url"
    if isinstance(part, Image):
        return "image_url" if kind == "url" else "image"
    if isinstance(part, Video):
        return "video_url" if kind == "url" else "video"
    if kind == "url":
        return "file_url"
    is_text = kind == "text" or part.source.media_type.startswith("text/")
    return "file_text" if is_text else "file"


def remote(items: tuple[Item, ...], can: Capabilities) -> list[str]:
    """The addresses that would have to be fetched for this target, each once, in order."""
    found: dict[str, None] = {}
    for item in items:
        parts = item.parts if isinstance(item, Message) else (
            item.output if isinstance(item, ToolResult) else ()
        )  # fmt: skip
        for part in parts:
            need = needs(part)
            if need in ("image_url", "file_url", "video_url") and need not in can.content:
                found[part.source.value] = None  # type: ignore[union-attr]
    return list(found)


def items(given: tuple[Item, ...], context: Context) -> tuple[Item, ...]:
    """The history as the target takes it, `given` itself if it is just that.

    Raises `BadRequest` for content it cannot be given.
    """
    out: list[Item] = []
    moved: list[Part] = []
    for index, item in enumerate(given):
        if moved and not isinstance(item, ToolResult):
            out.append(Message("user", tuple(moved)))
            moved = []
        kind = type(item)
        if kind is Message:
            _message(item, index, context, out)  # type: ignore[arg-type]
        elif kind is ToolCall:
            out.append(_call(item, context))  # type: ignore[arg-type]
        elif kind is ToolResult:
            out.append(_result(item, index, context, moved))  # type: ignore[arg-type]
        elif kind is Reasoning:
            _reasoning(item, index, context, out)  # type: ignore[arg-type]
        elif kind is Reference:
            raise BadRequest(
                f"Item '{item.id[:64]}' not found: this gateway has stored no such item.",
                code="item_not_found",
                param=at(context.dialect, index),
            )
        else:
            out.append(item)
    if moved:
        out.append(Message("user", tuple(moved)))
    if len(out) == len(given) and all(map(is_, out, given)):
        return given
    return tuple(out)


def _message(item: Message, index: int, context: Context, out: list[Item]) -> None:
    parts = item.parts
    if item.phase is not None and not context.can.phases:
        where = f"{at(context.dialect, index)}.phase"
        context.losses.append(Loss(where, "dropped", "this provider knows no phases of answers"))
    if len(parts) == 1 and type(parts[0]) is Text:
        if parts[0].text:
            out.append(item)
        return
    fitted: list[Part] = []
    for position, part in enumerate(parts):
        if type(part) is Text:
            if part.text:
                fitted.append(part)
            continue
        fitted.append(_part(part, f"{at(context.dialect, index)}.content[{position}]", context))
    if not fitted:
        return
    if len(fitted) == len(parts) and all(map(is_, fitted, parts)):
        out.append(item)
    else:
        out.append(structs.replace(item, parts=tuple(fitted)))


def _part(part: Part, where: str, context: Context) -> Part:
    need = needs(part)
    content = context.can.content
    if need is None or need in content:
        return part
    source: Source | None = getattr(part, "source", None)
    if source is not None and source.kind == "url" and source.value in context.fetched:
        got = structs.replace(part, source=context.fetched[source.value])
        return _part(got, where, context)
    if isinstance(part, File) and need == "file_text" and "file" in content:
        return part
    if isinstance(part, File) and need == "file_text":
        text = _readable(part.source)
        if text is not None:
            context.losses.append(Loss(where, "adapted", "the text file was sent as text"))
            title = f"{part.filename}:\n" if part.filename else ""
            if part.citations:
                context.losses.append(
                    Loss(f"{where}.citations", "dropped", "this provider does not cite from files")
                )
            context_given = f"{part.context}\n\n" if part.context else ""
            return Text(f"{context_given}{title}{text}", cache=part.cache)
    hint = ""
    if source is not None and source.kind == "url":
        hint = " Send the data itself, or have the operator turn on fetchRemoteContent."
    raise BadRequest(
        f"This model cannot be given {_WORDS[need]}.{hint}",
        code="unsupported_content",
        param=where,
    )


def _readable(source: Source) -> str | None:
    if source.kind == "text":
        return source.value
    try:
        return b64decode(source.value).decode()
    except ValueError:
        return None


def _call(item: ToolCall, context: Context) -> ToolCall:
    can = context.can
    kind, name, arguments = item.kind, item.name, item.arguments
    namespace = item.namespace
    if namespace is None or not can.namespaces:
        name = context.names.wire(kind, name, namespace)
        namespace = None
    if kind == "custom" and not can.custom_tools:
        kind = "function"
        arguments = msgspec.json.encode({"input": arguments}).decode()
    elif kind == "function" and not is_object(arguments):
        arguments = _as_object(arguments)
    identifier = call_id(can.call_id, item.call_id)
    if (
        name == item.name
        and kind == item.kind
        and arguments is item.arguments
        and identifier is item.call_id
        and namespace == item.namespace
    ):
        return item
    return structs.replace(
        item, name=name, kind=kind, arguments=arguments, call_id=identifier, namespace=namespace
    )


def _as_object(arguments: str) -> str:
    """History may hold a call that was cut short: its result must not lose its call."""
    if not arguments.strip():
        return "{}"
    return msgspec.json.encode({"input": arguments}).decode()


def _result(item: ToolResult, index: int, context: Context, moved: list[Part]) -> ToolResult:
    can = context.can
    kind = item.kind if can.custom_tools else "function"
    identifier = call_id(can.call_id, item.call_id)
    output = item.output
    if any(type(part) is not Text for part in output):
        output = _outputs(item, index, context, moved)
    if output is item.output and identifier is item.call_id and kind == item.kind:
        return item
    return structs.replace(item, output=output, call_id=identifier, kind=kind)


def _outputs(item: ToolResult, index: int, context: Context, moved: list[Part]) -> tuple[Part, ...]:
    kept: list[Part] = []
    away: list[Part] = []
    member = "output" if context.dialect == "responses" else "content"
    for position, part in enumerate(item.output):
        where = f"{at(context.dialect, index)}.{member}[{position}]"
        fitted = _part(part, where, context)
        need = needs(fitted)
        if need is None or need in context.can.results:
            kept.append(fitted)
        else:
            away.append(fitted)
            context.losses.append(
                Loss(where, "adapted", "moved to a user message behind the results")
            )
    if away:
        moved.append(Text(f"What the tool gave for call {item.call_id}:"))
        moved.extend(away)
        if not kept:
            kept.append(Text("(see the message that follows)"))
    return tuple(kept)


def _reasoning(item: Reasoning, index: int, context: Context, out: list[Item]) -> None:
    sealed = item.sealed
    if sealed is not None and sealed.origin in context.origins:
        out.append(item)
        return
    where = at(context.dialect, index)
    if context.can.reasoning_text and (item.content or item.summary):
        if sealed is not None:
            context.losses.append(
                Loss(where, "adapted", "reasoning of another provider was sent as text only")
            )
        out.append(structs.replace(item, sealed=None))
        return
    why = "of another provider" if sealed is not None else "without its provider's proof"
    context.losses.append(Loss(where, "dropped", f"reasoning {why} cannot be replayed"))
