"""The conversation of a Messages request: shapes of its blocks, and what must stand where.

The wording follows what the real service answers, so that a log of one reads like the other.
"""

from collections.abc import Iterator
from typing import Any

from portico.demo.faults import RefusedError
from portico.demo.media import BadMediaError, decoded, described, sniff
from portico.demo.seals import Places, unseal
from portico.demo.shapes import (
    anything,
    array,
    either,
    flag,
    obj,
    tagged,
    text,
)

__all__ = ["CACHE", "MESSAGES", "SYSTEM", "check_turns", "marks"]

_MAX_MARKS = 4
_STRING = text()
CACHE = obj({"type": text("ephemeral")}, {"ttl": text("5m", "1h")})
_CACHED = {"cache_control": CACHE}
_ID = text(pattern=r"[a-zA-Z0-9_-]+", low=1)
_CITATIONS = {"citations": array(obj({"type": _STRING}, open_=True))}
_TEXT = obj({"type": _STRING, "text": _STRING}, {**_CACHED, **_CITATIONS}, nulls=True)
_URL = obj({"type": _STRING, "url": _STRING})
_FILE = obj({"type": _STRING, "file_id": _STRING})
_BASE64 = {"type": _STRING, "data": _STRING}
_IMAGE_TYPE = text("image/jpeg", "image/png", "image/gif", "image/webp")
_IMAGE = obj(
    {
        "type": _STRING,
        "source": tagged(
            {"base64": obj({**_BASE64, "media_type": _IMAGE_TYPE}), "url": _URL, "file": _FILE}
        ),
    },
    _CACHED,
    nulls=True,
)
_DOCUMENT = obj(
    {
        "type": _STRING,
        "source": tagged(
            {
                "base64": obj({**_BASE64, "media_type": text("application/pdf")}),
                "text": obj({**_BASE64, "media_type": text("text/plain")}),
                "content": obj(
                    {
                        "type": _STRING,
                        "content": either(
                            string=_STRING, array=array(tagged({"text": _TEXT, "image": _IMAGE}))
                        ),
                    }
                ),
                "url": _URL,
                "file": _FILE,
            }
        ),
    },
    {**_CACHED, "title": _STRING, "context": _STRING, "citations": obj(None, {"enabled": flag})},
    nulls=True,
)
_SEARCH_RESULT = obj(
    {"type": _STRING, "source": _STRING, "title": _STRING, "content": array(_TEXT)},
    {**_CACHED, "citations": obj(None, {"enabled": flag})},
    nulls=True,
)
_OTHER = obj({"type": _STRING}, open_=True)
_RESULT = obj(
    {"type": _STRING, "tool_use_id": _ID},
    {
        **_CACHED,
        "is_error": flag,
        "content": either(
            string=_STRING,
            array=array(
                tagged(
                    {
                        "text": _TEXT,
                        "image": _IMAGE,
                        "document": _DOCUMENT,
                        "search_result": _SEARCH_RESULT,
                        "tool_reference": _OTHER,
                    }
                )
            ),
        ),
    },
    nulls=True,
)
_FOUND = obj(
    {
        "type": text("web_search_result"),
        "url": _STRING,
        "title": _STRING,
        "encrypted_content": _STRING,
    },
    {"page_age": _STRING},
    nulls=True,
)
_USER = {
    "text": _TEXT,
    "image": _IMAGE,
    "document": _DOCUMENT,
    "search_result": _SEARCH_RESULT,
    "tool_result": _RESULT,
    "container_upload": _OTHER,
}
_USE = obj(
    {"type": _STRING, "id": _ID, "name": text(low=1, high=200), "input": obj(open_=True)},
    {**_CACHED, "caller": anything},
    nulls=True,
)
_HOSTED_RESULTS = """web_fetch_tool_result code_execution_tool_result tool_search_tool_result
    bash_code_execution_tool_result text_editor_code_execution_tool_result mcp_tool_use
    mcp_tool_result compaction"""
_ASSISTANT = {
    "text": _TEXT,
    "thinking": obj({"type": _STRING, "thinking": _STRING, "signature": _STRING}),
    "redacted_thinking": obj({"type": _STRING, "data": _STRING}),
    "tool_use": _USE,
    "server_tool_use": _USE,
    "web_search_tool_result": obj(
        {
            "type": _STRING,
            "tool_use_id": _ID,
            "content": either(array=array(_FOUND), object_=obj(open_=True)),
        },
        {**_CACHED, "caller": anything},
        nulls=True,
    ),
    **dict.fromkeys(_HOSTED_RESULTS.split(), _OTHER),
}


def _content(blocks: Any) -> Any:
    return either(string=_STRING, array=array(tagged(blocks)))


SYSTEM = _content({"text": _TEXT})
MESSAGES = array(
    tagged(
        {
            "user": obj({"role": _STRING, "content": _content(_USER)}),
            "assistant": obj({"role": _STRING, "content": _content(_ASSISTANT)}),
            "system": obj({"role": _STRING, "content": SYSTEM}),
        },
        tag="role",
    ),
    1,
)


def check_turns(body: dict[str, Any]) -> dict[int, list[str]]:
    """Refuse a conversation the real service refuses; say what the media of each message show."""
    if (found := marks(body)) > _MAX_MARKS:
        message = f"A maximum of 4 blocks with cache_control may be provided. Found {found}."
        raise RefusedError(400, message)
    if isinstance(body.get("system"), list):
        _check_texts(body["system"], "system")
    messages = body["messages"]
    if messages[0]["role"] != "user":
        raise RefusedError(400, 'messages: first message must use the "user" role')
    shown: dict[int, list[str]] = {}
    waiting: list[str] = []
    used: set[str] = set()
    places = Places()
    for number, message in enumerate(messages):
        where = f"messages.{number}"
        blocks = _blocks(message, where, number == len(messages) - 1)
        if message["role"] == "user":
            _check_results(blocks, waiting, number)
            waiting = []
            shown[number] = list(_seen(blocks, f"{where}.content"))
        elif waiting:
            raise _unanswered(waiting, number - 1)
        elif message["role"] == "assistant":
            waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if len(set(waiting)) < len(waiting) or used & set(waiting):
                raise RefusedError(400, "messages: `tool_use` ids must be unique")
            used.update(waiting)
            _check_thoughts(blocks, number, places)
    if waiting:
        raise _unanswered(waiting, len(messages) - 1)
    _check_opening(body, messages)
    return shown


def marks(body: dict[str, Any]) -> int:
    """How many `cache_control` there are."""
    count = int(body.get("cache_control") is not None)
    parts = [*body.get("tools", ()), *_listed(body.get("system"))]
    for message in body["messages"]:
        for block in _listed(message["content"]):
            parts.append(block)
            if block["type"] == "tool_result":
                parts.extend(_listed(block.get("content")))
    return count + sum("cache_control" in part for part in parts)


def _listed(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else []


def _blocks(message: dict[str, Any], where: str, last: bool) -> list[dict[str, Any]]:
    content = message["content"]
    prefill = last and message["role"] == "assistant"
    if not content and not prefill:
        why = "all messages must have non-empty content except for the optional final assistant"
        raise RefusedError(400, f"{where}: {why} message")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    _check_texts(content, "messages")
    if prefill and content and content[-1].get("text", "x")[-1].isspace():
        why = "messages: final assistant content cannot end with trailing whitespace"
        raise RefusedError(400, why)
    return list(content)


def _check_texts(blocks: list[dict[str, Any]], where: str) -> None:
    for block in blocks:
        if block["type"] == "text":
            if not block["text"]:
                raise RefusedError(400, f"{where}: text content blocks must be non-empty")
            if not block["text"].strip():
                why = "text content blocks must contain non-whitespace text"
                raise RefusedError(400, f"{where}: {why}")
        elif block["type"] == "tool_result":
            _check_texts(_listed(block.get("content")), where)


# -- calls and results --------------------------------------------------------------------------


def _check_results(blocks: list[dict[str, Any]], waiting: list[str], number: int) -> None:
    left = list(waiting)
    leading = True
    for index, block in enumerate(blocks):
        if block["type"] != "tool_result":
            leading = False
            continue
        name = block["tool_use_id"]
        where = f"messages.{number}.content.{index}"
        if name in waiting and name not in left:
            why = f"each tool_use must have a single result. Found multiple for id: {name}"
            raise RefusedError(400, f"{where}: {why}")
        if name not in left:
            why = f"unexpected `tool_use_id` found in `tool_result` blocks: {name}"
            raise RefusedError(
                400,
                f"{where}: {why}. Each `tool_result` block must have a corresponding `tool_use` "
                "block in the previous message.",
            )
        if not leading:
            raise RefusedError(400, f"{where}: `tool_result` blocks must come first")
        left.remove(name)
    if left:
        raise _unanswered(left, number - 1)


def _unanswered(waiting: list[str], number: int) -> RefusedError:
    return RefusedError(
        400,
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately "
        f"after: {', '.join(waiting)}. Each `tool_use` block must have a corresponding "
        "`tool_result` block in the next message.",
    )


# -- thoughts and other signed state ------------------------------------------------------------


def _check_thoughts(blocks: list[dict[str, Any]], number: int, places: Places) -> None:
    for index, block in enumerate(blocks):
        where = f"messages.{number}.content.{index}"
        kind = block["type"]
        if kind in ("thinking", "redacted_thinking"):
            redacted = kind == "redacted_thinking"
            field = "data" if redacted else "signature"
            found = unseal(block[field])
            covers = "" if redacted else block["thinking"]
            if found is None or not found.of(kind.removesuffix("_thinking"), covers):
                raise RefusedError(400, f"{where}: Invalid `{field}` in `{kind}` block")
            following = blocks[index + 1] if index + 1 < len(blocks) else {}
            if not places.take(found, number) or not _follows(found.after, following):
                raise RefusedError(
                    400,
                    f"{where}: `thinking` or `redacted_thinking` blocks in an assistant message "
                    "cannot be modified. These blocks must remain as they were in the original "
                    "response.",
                )
        elif kind == "web_search_tool_result":
            for result in _listed(block["content"]):
                found = unseal(result["encrypted_content"])
                if found is None or not found.of("result", result["url"]):
                    why = "Invalid `encrypted_content` in `web_search_result` block"
                    raise RefusedError(400, f"{where}: {why}")
        elif kind == "text":
            for citation in block.get("citations", ()):
                found = unseal(citation.get("encrypted_index"))
                own = citation["type"] == "web_search_result_location"
                if own and (found is None or not found.of("index", citation["url"])):
                    raise RefusedError(400, f"{where}: Invalid `encrypted_index` in citation")


def _follows(after: str, block: dict[str, Any]) -> bool:
    """Whether `block` is what a seal says came next; a refusal's words were never sent."""
    if after in ("", "say") and not block:
        return True
    kind = block.get("type")
    if after.startswith("call:"):
        return kind == "tool_use" and block["name"] == after[5:]
    if after == "search":
        return kind == "server_tool_use"
    if after == "thought":
        return kind in ("thinking", "redacted_thinking")
    return after == "" or kind == "text"


def _check_opening(body: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    """With a thinking budget, the turn that awaits results must begin with a thought."""
    if body.get("thinking", {}).get("type") != "enabled" or len(messages) < 2:
        return
    last, before = messages[-1], messages[-2]
    if before["role"] != "assistant":
        return
    if not any(block["type"] == "tool_result" for block in _listed(last["content"])):
        return
    first = before["content"][0]["type"]
    if first not in ("thinking", "redacted_thinking"):
        raise RefusedError(
            400,
            f"messages.{len(messages) - 2}.content.0.type: Expected `thinking` or "
            f"`redacted_thinking`, but found `{first}`. When `thinking` is enabled, a final "
            "`assistant` message must start with a thinking block (preceding the last set of "
            "`tool_use` and `tool_result` blocks).",
        )


# -- media --------------------------------------------------------------------------------------


def _seen(blocks: list[dict[str, Any]], where: str) -> Iterator[str]:
    for index, block in enumerate(blocks):
        at = f"{where}.{index}"
        if block["type"] == "tool_result":
            yield from _seen(_listed(block.get("content")), f"{at}.tool_result.content")
        elif block["type"] in ("image", "document"):
            yield _shown(block, f"{at}.{block['type']}.source")


def _shown(block: dict[str, Any], where: str) -> str:
    kind, source = block["type"], block["source"]
    title = f", {block['title']}" if block.get("title") else ""
    if source["type"] == "url":
        if not source["url"].startswith(("https://", "http://")):
            raise RefusedError(400, f"{where}.url: Only HTTPS URLs are supported.")
        return f"{kind} at {source['url']}{title}"
    if source["type"] == "file":
        return f"{kind} {source['file_id']}{title}"
    if source["type"] == "text":
        return described("text/plain", source["data"].encode("utf-8", "replace")) + title
    if source["type"] == "content":
        return f"{kind} of blocks{title}"
    try:
        raw = decoded(source["data"])
    except BadMediaError as error:
        raise RefusedError(400, f"{where}.base64.data: {error}") from None
    looks = sniff(raw)
    if looks is not None and looks != source["media_type"]:
        raise RefusedError(
            400,
            f"{where}.base64: The {kind} was specified using the {source['media_type']} media "
            f"type, but it appears to be {looks}",
        )
    return described(source["media_type"], raw) + title
