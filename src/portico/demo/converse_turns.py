"""The conversation of a Converse request: shapes of its blocks, and what must stand where."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from portico.demo.faults import RefusedError, encode
from portico.demo.media import BadMediaError, decoded, described, sniff
from portico.demo.seals import Places, unseal
from portico.demo.shapes import (
    Check,
    Path,
    WrongError,
    array,
    flag,
    obj,
    text,
)

__all__ = [
    "CACHE",
    "MESSAGES",
    "SYSTEM",
    "check_turns",
    "has_tool_blocks",
    "last_turn",
    "marks",
    "union",
]

_MAX_MARKS = 4
_MAX_DOCUMENTS = 5
_STRING = text()


def union(options: Mapping[str, Check]) -> Check:
    """An object with exactly one of the members, as Smithy's unions are."""
    inner = obj(None, options, nulls=True)

    def check(value: Any, path: Path) -> Any:
        made = inner(value, path)
        if len(made) != 1:
            raise RefusedError(
                400,
                f"The value at {'.'.join(map(str, path))} must have exactly one of the members "
                f"{', '.join(options)}, not {len(made)}.",
            )
        return made

    return check


def _struct(required: dict[str, Check] | None, optional: dict[str, Check] | None = None) -> Check:
    return obj(required, optional, nulls=True)


CACHE: dict[str, Check] = {
    "cachePoint": _struct({"type": text("default")}, {"ttl": text("5m", "1h")})
}
_S3 = {"s3Location": _struct({"uri": text(pattern=r"s3://.+")}, {"bucketOwner": _STRING})}
_BYTES = union({"bytes": _STRING, **_S3})
_IMAGE = _struct({"format": text("png", "jpeg", "gif", "webp"), "source": _BYTES})
_VIDEO_FORMATS = ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp")
_VIDEO = _struct({"format": text(*_VIDEO_FORMATS), "source": _BYTES})
_AUDIO_FORMATS = [
    "mp3",
    "opus",
    "wav",
    "aac",
    "flac",
    "mp4",
    "ogg",
    "mkv",
    "mka",
    "x-aac",
    "m4a",
    "mpeg",
    "mpga",
    "pcm",
    "webm",
]
_AUDIO = _struct({"format": text(*_AUDIO_FORMATS), "source": _BYTES})
_ENABLED = _struct({"enabled": flag})
_DOCUMENT = _struct(
    {
        "name": text(low=1, high=200),
        "source": union(
            {
                "bytes": _STRING,
                **_S3,
                "text": _STRING,
                "content": array(union({"text": _STRING})),
            }
        ),
    },
    {
        "format": text("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"),
        "context": _STRING,
        "citations": _ENABLED,
    },
)
_SEARCH_RESULT = _struct(
    {"source": _STRING, "title": _STRING, "content": array(_struct({"text": _STRING}))},
    {"citations": _ENABLED},
)
_ID = text(pattern=r"[a-zA-Z0-9_.:-]{1,64}")
_RESULT = _struct(
    {
        "toolUseId": _ID,
        "content": array(
            union(
                {
                    "json": obj(open_=True),
                    "text": _STRING,
                    "image": _IMAGE,
                    "document": _DOCUMENT,
                    "video": _VIDEO,
                    "searchResult": _SEARCH_RESULT,
                }
            )
        ),
    },
    {"status": text("success", "error"), "type": _STRING},
)
_USE = _struct(
    {"toolUseId": _ID, "name": text(pattern=r"[a-zA-Z0-9_-]{1,64}"), "input": obj(open_=True)},
    {"type": text("server_tool_use")},
)
_REASONING = union(
    {
        "reasoningText": _struct({"text": _STRING, "signature": _STRING}),
        "redactedContent": _STRING,
    }
)
_GUARD = {"guardContent": obj(open_=True)}
_BLOCK = union(
    {
        "text": _STRING,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "video": _VIDEO,
        "audio": _AUDIO,
        "toolUse": _USE,
        "toolResult": _RESULT,
        "reasoningContent": _REASONING,
        "citationsContent": _struct(
            None, {"content": array(union({"text": _STRING})), "citations": array(obj(open_=True))}
        ),
        "searchResult": _SEARCH_RESULT,
        **CACHE,
        **_GUARD,
    }
)
MESSAGES = array(
    _struct({"role": text("user", "assistant"), "content": array(_BLOCK, 1)}),
    1,
)
SYSTEM = array(union({"text": text(low=1), **_GUARD, **CACHE}))

_USER_ONLY = ("image", "document", "video", "audio", "toolResult", "searchResult", "guardContent")
_ASSISTANT_ONLY = ("toolUse", "reasoningContent", "citationsContent")
_DOCUMENT_NAME = re.compile(r"[a-zA-Z0-9\-()\[\]]+(?:\s[a-zA-Z0-9\-()\[\]]+)*")
_DOCUMENT_TYPES = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}


def check_turns(body: dict[str, Any]) -> dict[int, list[str]]:
    """Refuse a conversation that Bedrock refuses; say what the media of each message show."""
    if (found := marks(body)) > _MAX_MARKS:
        message = f"You can have at most {_MAX_MARKS} cachePoint blocks in a request, not {found}."
        raise RefusedError(400, message)
    for index, block in enumerate(body.get("system", ())):
        if not block.get("text", "x").strip():
            raise _blank(f"SystemContentBlock object at system.{index}")
    messages = body["messages"]
    if messages[0]["role"] != "user":
        message = "A conversation must start with a user message."
        raise RefusedError(400, f"{message} Try again with one that starts with a user message.")
    shown: dict[int, list[str]] = {}
    waiting: list[str] = []
    names: set[str] = set()
    places = Places()
    for number, message in enumerate(messages):
        if number and message["role"] == messages[number - 1]["role"]:
            raise RefusedError(
                400,
                "A conversation must alternate between user and assistant roles. Make sure the "
                "conversation alternates between user and assistant roles and try again.",
            )
        blocks = message["content"]
        _check_blocks(blocks, message["role"], number)
        if message["role"] == "user":
            _check_results(blocks, waiting, number)
            waiting = []
            shown[number] = list(_seen(blocks, f"messages.{number}.content", names))
        else:
            waiting = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
            if len(set(waiting)) < len(waiting):
                where = f"messages.{number}.content"
                raise RefusedError(400, f"The toolUse blocks at {where} contain duplicate Ids.")
            _check_reasoning(blocks, number, places)
    if waiting:
        raise _unanswered(waiting, len(messages))
    return shown


def marks(body: dict[str, Any]) -> int:
    """How many cache points there are."""
    parts = [*body.get("system", ()), *body.get("toolConfig", {}).get("tools", ())]
    for message in body["messages"]:
        parts.extend(message["content"])
    return sum("cachePoint" in part for part in parts)


def has_tool_blocks(messages: list[dict[str, Any]]) -> bool:
    """Whether tools were used before."""
    return any(
        "toolUse" in block or "toolResult" in block
        for message in messages
        for block in message["content"]
    )


def _check_blocks(blocks: list[dict[str, Any]], role: str, number: int) -> None:
    foreign = _ASSISTANT_ONLY if role == "user" else _USER_ONLY
    for index, block in enumerate(blocks):
        (name,) = block
        where = f"messages.{number}.content.{index}"
        if name in foreign:
            message = f"The {name} block at {where} is not allowed in a message of role {role}."
            raise RefusedError(400, message)
        if name == "text" and not block["text"].strip():
            raise _blank(f"ContentBlock object at {where}")
        for inner, each in enumerate(block.get("toolResult", {}).get("content", ())):
            if not each.get("text", "x").strip():
                raise _blank(f"ToolResultContentBlock object at {where}.toolResult.content.{inner}")
    documents = sum("document" in block for block in blocks)
    if documents and not any("text" in block for block in blocks):
        message = f"The message at messages.{number} has documents and needs a text block as well."
        raise RefusedError(400, message)
    if documents > _MAX_DOCUMENTS:
        message = f"The message at messages.{number} has more than {_MAX_DOCUMENTS} documents."
        raise RefusedError(400, message)


def _blank(what: str) -> RefusedError:
    return RefusedError(
        400, f"The text field in the {what} is blank. Add text to the text field, and try again."
    )


# -- calls and results --------------------------------------------------------------------------


def _check_results(blocks: list[dict[str, Any]], waiting: list[str], number: int) -> None:
    given = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
    where = f"messages.{number}.content"
    if len(set(given)) < len(given):
        raise RefusedError(400, f"The toolResult blocks at {where} contain duplicate Ids.")
    if len(given) > len(waiting):
        raise RefusedError(
            400,
            f"The number of toolResult blocks at {where} exceeds the number of toolUse blocks of "
            "previous turn.",
        )
    if set(given) != set(waiting):
        raise _unanswered([each for each in waiting if each not in given], number)


def _unanswered(waiting: list[str], number: int) -> RefusedError:
    names = ", ".join(waiting)
    message = f"Expected toolResult blocks at messages.{number}.content for the following Ids"
    return RefusedError(400, f"{message}: {names}")


# -- reasoning ----------------------------------------------------------------------------------


def _check_reasoning(blocks: list[dict[str, Any]], number: int, places: Places) -> None:
    for index, block in enumerate(blocks):
        reasoning = block.get("reasoningContent")
        if reasoning is None:
            continue
        where = f"messages.{number}.content.{index}.reasoningContent"
        if "redactedContent" in reasoning:
            kind, covers = "redacted", ""
            found = unseal(_unblobbed(reasoning["redactedContent"]))
        else:
            kind, covers = "thinking", reasoning["reasoningText"]["text"]
            found = unseal(reasoning["reasoningText"]["signature"])
        if found is None or not found.of(kind, covers):
            message = f"The model returned the following errors: {where}: Invalid `signature`"
            raise RefusedError(400, f"{message} in `thinking` block")
        following = blocks[index + 1] if index + 1 < len(blocks) else {}
        if not places.take(found, number) or not _follows(found.after, following):
            message = f"The model returned the following errors: {where}: `thinking` blocks in an"
            raise RefusedError(400, f"{message} assistant message cannot be modified.")


def _unblobbed(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("ascii", "replace")
    except (binascii.Error, ValueError):
        return ""


def _follows(after: str, block: dict[str, Any]) -> bool:
    """Whether `block` is what a seal says came next."""
    if after.startswith("call:"):
        return bool(block.get("toolUse", {}).get("name") == after[5:])
    if after == "thought":
        return "reasoningContent" in block
    if after in ("say", "search"):  # the search itself is not seen
        return "text" in block or "citationsContent" in block
    return True


# -- what was said ------------------------------------------------------------------------------


def last_turn(
    messages: list[dict[str, Any]], shown: dict[int, list[str]]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The last user text, the tool results after it, and what is to be seen there; in order.

    Results in the message of the text were there before it.
    """
    results: list[str] = []
    seen: list[str] = []
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message["role"] != "user":
            continue
        seen[:0] = shown.get(number, ())
        found = [block["toolResult"] for block in message["content"] if "toolResult" in block]
        if said := " ".join(block["text"] for block in message["content"] if "text" in block):
            return said, tuple(results), tuple(seen)
        results[:0] = [_told(each["content"]) for each in found]
    return "", tuple(results), tuple(seen)


def _told(content: list[dict[str, Any]]) -> str:
    texts = [
        each["text"] if "text" in each else encode(each["json"]).decode("utf-8", "replace")
        for each in content
        if "text" in each or "json" in each
    ]
    return " ".join(texts)


def _seen(blocks: list[dict[str, Any]], where: str, names: set[str]) -> Iterator[str]:
    for index, block in enumerate(blocks):
        at = f"{where}.{index}"
        (kind,) = block
        if kind == "toolResult":
            yield from _seen(block["toolResult"]["content"], f"{at}.toolResult.content", names)
        elif kind in ("image", "video", "audio"):
            yield _media(kind, block[kind], at)
        elif kind == "document":
            yield _document(block["document"], at, names)


def _media(kind: str, block: dict[str, Any], where: str) -> str:
    media_type = f"{kind}/{block['format']}"
    source = block["source"]
    if "s3Location" in source:
        return f"{media_type} at {source['s3Location']['uri']}"
    raw = _raw(source["bytes"], f"{where}.{kind}.source.bytes")
    looks = sniff(raw)
    if kind == "image" and looks is not None and looks != media_type:
        message = f"The image format at {where} is {block['format']}, but the image is {looks}."
        raise RefusedError(400, message)
    return described(media_type, raw)


def _document(block: dict[str, Any], where: str, names: set[str]) -> str:
    name = block["name"]
    if not _DOCUMENT_NAME.fullmatch(name):
        raise RefusedError(
            400,
            "The provided document file name can only contain alphanumeric characters, whitespace "
            "characters, hyphens, parentheses, and square brackets. The name can't contain more "
            "than one consecutive whitespace character.",
        )
    if name in names:
        raise RefusedError(400, f"The document name {name} is not unique in the request.")
    names.add(name)
    source = block["source"]
    media_type = _DOCUMENT_TYPES.get(block.get("format", "txt"), "text/plain")
    if "bytes" in source:
        if "format" not in block:
            raise WrongError((where, "document", "format"), "missing")
        return described(media_type, _raw(source["bytes"], f"{where}.document")) + f", {name}"
    if "text" in source:
        return described(media_type, source["text"].encode("utf-8", "replace")) + f", {name}"
    return f"document {name}"


def _raw(data: str, where: str) -> bytes:
    try:
        return decoded(data)
    except BadMediaError as error:
        message = f"{error} ({where})"
        raise RefusedError(400, message, kind="SerializationException") from None
