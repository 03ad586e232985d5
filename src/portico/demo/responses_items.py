"""The items and tools of a Responses request: their shapes, and the company they must keep."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from portico.demo.faults import RefusedError, bracketed
from portico.demo.openai_rules import NAME, file_seen, image_seen, invalid
from portico.demo.seals import Places, unseal
from portico.demo.shapes import (
    Path,
    WrongError,
    anything,
    array,
    either,
    flag,
    obj,
    tagged,
    text,
)

__all__ = ["INPUT", "TOOLS", "TOOL_CHOICE", "check_items"]

_STRING = text()
_STATUS = {"id": _STRING, "status": text("in_progress", "completed", "incomplete")}
_BREAKPOINT = {"prompt_cache_breakpoint": obj(open_=True)}
_DETAIL = text("auto", "low", "high", "original")
_IN_PARTS = {
    "input_text": obj({"type": _STRING, "text": _STRING}, _BREAKPOINT),
    "input_image": obj(
        {"type": _STRING},
        {"image_url": _STRING, "file_id": _STRING, "detail": _DETAIL, **_BREAKPOINT},
        nulls=True,
    ),
    "input_file": obj(
        {"type": _STRING},
        {
            "file_id": _STRING,
            "file_url": _STRING,
            "file_data": _STRING,
            "filename": _STRING,
            "detail": _STRING,
            **_BREAKPOINT,
        },
        nulls=True,
    ),
}
_OUT_PARTS = {
    "output_text": obj(
        {"type": _STRING, "text": _STRING},
        {"annotations": array(obj({"type": _STRING}, open_=True)), "logprobs": anything},
        nulls=True,
    ),
    "refusal": obj({"type": _STRING, "refusal": _STRING}),
}
_CONTENT = either(string=_STRING, array=array(tagged(_IN_PARTS)))
_SAID = either(string=_STRING, array=array(tagged(_OUT_PARTS)))
_HEAD = {"type": text("message"), "phase": text("commentary", "final_answer"), **_STATUS}
_MESSAGE = tagged(
    {
        **{
            role: obj({"role": _STRING, "content": _CONTENT}, _HEAD, nulls=True)
            for role in ("user", "system", "developer")
        },
        "assistant": obj({"role": _STRING, "content": _SAID}, _HEAD, nulls=True),
    },
    tag="role",
)
_OUTPUT = either(string=_STRING, array=array(tagged(_IN_PARTS)))
_CALL_ID = text(low=1, high=64)
_NAME = text(pattern=NAME, low=1, high=128)
_MORE = {"namespace": _STRING, "caller": anything, "created_by": _STRING}
_OURS = {
    "message": _MESSAGE,
    "function_call": obj(
        {"type": _STRING, "call_id": _CALL_ID, "name": _NAME, "arguments": _STRING},
        {**_STATUS, **_MORE},
        nulls=True,
    ),
    "function_call_output": obj(
        {"type": _STRING, "call_id": _CALL_ID, "output": _OUTPUT},
        {**_STATUS, **_MORE, "name": _STRING},
        nulls=True,
    ),
    "custom_tool_call": obj(
        {"type": _STRING, "call_id": _CALL_ID, "name": _NAME, "input": _STRING},
        {**_STATUS, **_MORE},
        nulls=True,
    ),
    "custom_tool_call_output": obj(
        {"type": _STRING, "call_id": _CALL_ID, "output": _OUTPUT},
        {**_STATUS, **_MORE},
        nulls=True,
    ),
    "reasoning": obj(
        {"type": _STRING, "summary": array(obj({"type": text("summary_text"), "text": _STRING}))},
        {
            **_STATUS,
            "content": array(obj({"type": text("reasoning_text"), "text": _STRING})),
            "encrypted_content": _STRING,
        },
        nulls=True,
    ),
    "item_reference": obj({"id": _STRING}, {"type": _STRING}, nulls=True),
    "web_search_call": obj(
        {"type": _STRING, "id": _STRING, "status": _STRING}, {"action": obj(open_=True)}, nulls=True
    ),
}
_THEIRS = obj({"type": _STRING}, open_=True)
_OTHERS = """additional_tools apply_patch_call apply_patch_call_output code_interpreter_call
    compaction compaction_trigger computer_call computer_call_output configuration_update
    file_search_call image_generation_call local_shell_call local_shell_call_output
    mcp_approval_request mcp_approval_response mcp_call mcp_list_tools program program_output
    shell_call shell_call_output tool_search_call tool_search_output"""
_ITEM = tagged({**_OURS, **dict.fromkeys(_OTHERS.split(), _THEIRS)})


def _item(value: Any, path: Path) -> Any:
    """A message needs no type, and an object with nothing but an id is a reference."""
    if not isinstance(value, dict):
        raise WrongError(path, "type", "object", value)
    if value.get("type") is None:
        if "role" in value:
            return _MESSAGE(value, path)
        if "id" in value:
            return {**_OURS["item_reference"](value, path), "type": "item_reference"}
    return _ITEM(value, path)


INPUT = array(_item)

_HOSTED = """apply_patch code_interpreter computer computer_use_preview file_search
    image_generation local_shell mcp programmatic_tool_calling shell tool_search web_search
    web_search_2025_08_26 web_search_preview web_search_preview_2025_03_11"""
_LATER = {"defer_loading": flag, "output_schema": anything, "allowed_callers": anything}
_TOOLS = {
    "function": obj(
        {"type": _STRING, "name": _NAME},
        {"description": _STRING, "parameters": obj(open_=True), "strict": flag, **_LATER},
        nulls=True,
    ),
    "custom": obj(
        {"type": _STRING, "name": _NAME},
        {
            "description": _STRING,
            "format": obj({"type": text("text", "grammar")}, open_=True),
            **_LATER,
        },
        nulls=True,
    ),
}
TOOLS = array(
    tagged(
        {
            **_TOOLS,
            "namespace": obj(
                {"type": _STRING, "name": _NAME, "tools": array(tagged(_TOOLS))},
                {"description": _STRING},
            ),
            **dict.fromkeys(_HOSTED.split(), _THEIRS),
        }
    ),
    0,
    128,
)
_NAMED = obj({"type": _STRING, "name": _STRING})
TOOL_CHOICE = either(
    string=text("none", "auto", "required"),
    object_=tagged(
        {
            "function": _NAMED,
            "custom": _NAMED,
            "allowed_tools": obj(
                {
                    "type": _STRING,
                    "mode": text("auto", "required"),
                    "tools": array(_THEIRS),
                }
            ),
            **dict.fromkeys(_HOSTED.split(), _THEIRS),
        }
    ),
)

_LED_TO = re.compile(r"(?:fc|ctc|msg|ws)_([0-9a-zA-Z]+?)r\d+")
_CALLS = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
}


def check_items(
    items: list[dict[str, Any]],
    chain: frozenset[str],
    look_up: Callable[[str], dict[str, Any] | None],
) -> dict[int, list[str]]:
    """Refuse what lost its company; say what the media of each item show.

    `chain` are the ids of calls that the previous response left open, `look_up` finds the item a
    reference names.
    """
    calls: dict[str, str] = dict.fromkeys(chain, "")
    answered: set[str] = set()
    shown: dict[int, list[str]] = {}
    places = Places()
    thought = False
    turn = 0
    for number, item in enumerate(items):
        if item.get("type") == "item_reference":
            item = _resolved(item["id"], look_up)  # noqa: PLW2901
        kind = item.get("type", "message")
        if kind in _CALLS.values():
            calls[item["call_id"]] = kind
        elif kind in _CALLS:
            answered.add(item["call_id"])
            _insist_on_call(item, kind, calls)
        if kind in _CALLS or item.get("role") == "user":
            shown[number] = list(_seen(item, number))
        if item.get("role") == "user":
            thought = False
            turn += 1
        if kind == "reasoning":
            thought = True
            following = items[number + 1] if number + 1 < len(items) else {}
            _check_reasoning(item, following, places, turn, look_up)
        elif not thought and (found := _LED_TO.fullmatch(item.get("id", ""))):
            message = (
                f"Item '{item['id']}' of type '{kind}' was provided without its required "
                f"'reasoning' item: 'rs_{found[1]}'."
            )
            raise invalid("input", message, None)
    for call_id, kind in calls.items():
        if call_id not in answered:
            what = "custom tool call" if kind == "custom_tool_call" else "function call"
            raise invalid("input", f"No tool output found for {what} {call_id}.", None)
    return shown


def _resolved(name: str, look_up: Callable[[str], dict[str, Any] | None]) -> dict[str, Any]:
    found = look_up(name)
    if found is None:
        raise _not_found(name)
    return found


def _not_found(name: str) -> RefusedError:
    message = (
        f"Item with id '{name}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )
    return RefusedError(404, message, param="input", kind="invalid_request_error")


def _insist_on_call(item: dict[str, Any], kind: str, calls: dict[str, str]) -> None:
    made = calls.get(item["call_id"])
    if made is None or made not in ("", _CALLS[kind]):
        what = kind.replace("_output", " output").replace("_", " ")
        message = f"No tool call found for {what} with call_id {item['call_id']}."
        raise invalid("input", message, None)


def _check_reasoning(
    item: dict[str, Any],
    following: dict[str, Any],
    places: Places,
    turn: int,
    look_up: Callable[[str], dict[str, Any] | None],
) -> None:
    state = item.get("encrypted_content")
    name = item.get("id", "")
    if state is None:
        if name and look_up(name) is None:
            raise _not_found(name)
        return
    found = unseal(state)
    if found is None or not found.of("reasoning", ""):
        message = "The encrypted content could not be verified."
        raise invalid("input", message, "invalid_encrypted_content")
    if not places.take(found, turn):
        message = f"Item '{name}' of type 'reasoning' is not where it was issued."
        raise invalid("input", message, "invalid_encrypted_content")
    if not _follows(found.after, following):
        message = (
            f"Item '{name}' of type 'reasoning' was provided without its required following item."
        )
        raise invalid("input", message, None)


def _follows(after: str, item: dict[str, Any]) -> bool:
    """Whether `item` is what a seal says came next."""
    kind = item.get("type", "message" if item else "")
    if kind == "item_reference" or not after:
        return True
    if after.startswith("call:"):
        return kind in _CALLS.values() and item["name"] == after[5:]
    if after == "say":
        return kind == "message" and item.get("role") == "assistant"
    return bool(kind == {"search": "web_search_call", "thought": "reasoning"}[after])


def _seen(item: dict[str, Any], number: int) -> Iterator[str]:
    key = "output" if "output" in item else "content"
    content = item.get(key)
    for index, part in enumerate(content if isinstance(content, list) else ()):
        path = ("input", number, key, index)
        if part["type"] == "input_file":
            yield file_seen(part, path)
        elif part["type"] == "input_image":
            if ("image_url" in part) == ("file_id" in part):
                message = f"'{bracketed(path)}' needs exactly one of image_url and file_id."
                raise invalid(path, message, "missing_required_parameter")
            if "file_id" in part:
                yield f"image {part['file_id']}"
            else:
                yield image_seen(part["image_url"], (*path, "image_url"))
