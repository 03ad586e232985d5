"""Items that the provider's side made, in hub terms: readable fields, and the object itself."""

from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.counts import UNREADABLE
from portico.model.items import Hit, Hosted, Status

_STATUS: dict[str, Status] = {
    "completed": "completed", "incomplete": "incomplete", "failed": "failed",
    "in_progress": "in_progress", "searching": "in_progress", "generating": "in_progress",
    "interpreting": "in_progress", "calling": "in_progress",
}  # fmt: skip
_MOST_HITS = 100


def hosted_of(kind: str, raw: Raw) -> Hosted:
    """`raw` is the whole item of type `kind`. What is not as documented stays empty."""
    try:
        item = msgspec.json.decode(raw)
    except UNREADABLE:
        item = None
    if not isinstance(item, dict):
        return Hosted(type=kind, native=("responses", raw))
    name, asked, gave, hits = _READERS.get(kind, _any)(item)
    status = _STATUS.get(_text(item, "status"), "completed")
    if kind == "mcp_call" and item.get("error"):
        status = "failed"
    return Hosted(
        type=kind,
        id=_text(item, "id"),
        status=status,
        name=name,
        input=asked,
        output=gave,
        hits=hits,
        native=("responses", raw),
    )


_Read = tuple[str, str, str, tuple[Hit, ...]]


def _text(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _texts(values: list[Any]) -> str:
    return "\n".join([value for value in values if isinstance(value, str)])


def _hits(values: list[Any]) -> tuple[Hit, ...]:
    return tuple(
        [
            Hit(_text(value, "url"), _text(value, "title") or _text(value, "filename"),
                _text(value, "text") or _text(value, "snippet"))
            for value in values[:_MOST_HITS]
            if isinstance(value, dict)
        ]
    )  # fmt: skip


def _web_search(item: dict[str, Any]) -> _Read:
    action = item.get("action")
    asked = (
        _texts(_list(action, "queries"))
        or _text(action, "query")
        or " ".join(filter(None, (_text(action, "pattern"), _text(action, "url"))))
    )
    found = _list(action, "sources") or _list(item, "results")
    return "web_search", asked, "", _hits(found)


def _file_search(item: dict[str, Any]) -> _Read:
    return "file_search", _texts(_list(item, "queries")), "", _hits(_list(item, "results"))


def _code(item: dict[str, Any]) -> _Read:
    outputs = _list(item, "outputs")
    logs = [_text(output, "logs") or _text(output, "url") for output in outputs]
    return "code_interpreter", _text(item, "code"), _texts([log for log in logs if log]), ()


def _image(item: dict[str, Any]) -> _Read:
    return "image_generation", _text(item, "revised_prompt"), _text(item, "result"), ()


def _mcp(item: dict[str, Any]) -> _Read:
    error = item.get("error")
    said = error if isinstance(error, str) else _text(error, "message")
    return _text(item, "name"), _text(item, "arguments"), _text(item, "output") or said, ()


def _mcp_tools(item: dict[str, Any]) -> _Read:
    names = [_text(tool, "name") for tool in _list(item, "tools")]
    return _text(item, "server_label"), "", _texts(names), ()


def _any(item: dict[str, Any]) -> _Read:
    asked = _text(item, "arguments") or _text(item, "input")
    return _text(item, "name"), asked, _text(item, "output"), ()


_READERS = {
    "web_search_call": _web_search,
    "file_search_call": _file_search,
    "code_interpreter_call": _code,
    "image_generation_call": _image,
    "mcp_call": _mcp,
    "mcp_list_tools": _mcp_tools,
}
