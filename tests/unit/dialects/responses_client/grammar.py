"""The order of a Responses stream, as a checker that knows nothing of the writer.

    stream := created [queued] in_progress item* (completed | incomplete | [error] failed)
    item   := output_item.added body output_item.done

Every delta belongs to a part that was announced and is not closed; what is done equals what was
streamed; a finished item equals its entry in the last response.
"""

import re
from typing import Any

_TEXTS = {
    "response.output_text": ("content_index", "text", "output_text"),
    "response.refusal": ("content_index", "refusal", "refusal"),
    "response.reasoning_text": ("content_index", "text", "reasoning_text"),
    "response.reasoning_summary_text": ("summary_index", "text", "summary_text"),
}
_WHOLES = {
    "response.function_call_arguments": ("arguments", "function_call"),
    "response.custom_tool_call_input": ("input", "custom_tool_call"),
    "response.mcp_call_arguments": ("arguments", "mcp_call"),
    "response.code_interpreter_call_code": ("code", "code_interpreter_call"),
}
_SHELLS = {"message": {"content": []}, "function_call": {"arguments": ""},
           "custom_tool_call": {"input": ""}, "reasoning": {"summary": []}}  # fmt: skip
_ID = re.compile(r"(?:[a-z]+_|rs_ptco1_)[0-9a-f]{32}([0-9a-f]{4})")


def check(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Raise AssertionError where the stream breaks the grammar; return the last response."""
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    ends = [kind for kind in kinds if kind in _ENDS]
    assert len(ends) == 1
    assert kinds[-1] in _ENDS
    last: dict[str, Any] = events[-1]["response"]
    for event in events[:2]:
        started = event["response"]
        assert (started["status"], started["output"], started["usage"]) == ("in_progress", [], None)
        assert started["id"] == last["id"]
    body = events[2:-1]
    if body and body[-1]["type"] == "error":
        assert kinds[-1] == "response.failed"
        assert last["error"]["message"] == body.pop()["error"]["message"]
    done: list[dict[str, Any]] = []
    while body:
        body, item = _item(body, len(done))
        done.append(item)
    assert last["output"] == done
    assert last["usage"] is not None
    assert all(_state(item) != "incomplete" for item in done[:-1])
    assert (last["status"] == "completed") == (last["completed_at"] is not None)
    return last


_ENDS = ("response.completed", "response.incomplete", "response.failed")


def _state(item: dict[str, Any]) -> str:
    return str(item.get("status", "completed"))


def _item(body: list[dict[str, Any]], index: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    added = body[0]
    assert added["type"] == "response.output_item.added"
    assert added["output_index"] == index
    shell = added["item"]
    found = _ID.fullmatch(shell["id"])
    assert found is not None
    assert int(found[1], 16) == index
    assert shell.get("status", "in_progress") == "in_progress"
    for name, empty in _SHELLS.get(shell["type"], {}).items():
        assert shell[name] == empty
    streamed = _Streamed(shell)
    at = 1
    while body[at]["type"] != "response.output_item.done":
        event = body[at]
        assert event["output_index"] == index
        assert event["item_id"] == shell["id"]
        streamed.take(event)
        at += 1
    done = body[at]
    assert done["output_index"] == index
    item: dict[str, Any] = done["item"]
    assert (item["id"], item["type"]) == (shell["id"], shell["type"])
    streamed.compare(item)
    return body[at + 1 :], item


class _Streamed:
    """What was streamed of one item."""

    def __init__(self, shell: dict[str, Any]) -> None:
        self.kind = shell["type"]
        self.parts: dict[str, list[dict[str, Any]]] = {"content_index": [], "summary_index": []}
        self.open: tuple[str, int] | None = None
        self.text: str | None = None
        self.whole = ""
        self.ended: str | None = None
        self.notes: list[Any] = []

    def take(self, event: dict[str, Any]) -> None:
        name, _, last = event["type"].rpartition(".")
        if event["type"] == "response.output_text.annotation.added":
            assert self.open == ("content_index", event["content_index"])
            assert self.text is not None
            assert event["annotation_index"] == len(self.notes)
            self.notes.append(event["annotation"])
        elif name in ("response.content_part", "response.reasoning_summary_part"):
            self._part(event, last, "summary_index" if "summary" in name else "content_index")
        elif name in _TEXTS:
            self._delta(event, last, *_TEXTS[name])
        elif name in _WHOLES:
            self._whole(event, last, *_WHOLES[name])
        else:
            assert name == f"response.{self.kind}"

    def _part(self, event: dict[str, Any], last: str, index: str) -> None:
        if last == "added":
            assert self.open is None
            assert event[index] == len(self.parts[index])
            assert not event["part"].get("text")
            assert not event["part"].get("refusal")
            self.open = (index, event[index])
            self.text, self.notes, self.ended = "", [], None
        else:
            assert self.open == (index, event[index])
            part = event["part"]
            assert part.get("text", part.get("refusal")) == self.ended
            assert part.get("annotations", []) == self.notes
            self.parts[index].append(part)
            self.open = self.text = None

    def _delta(self, event: dict[str, Any], last: str, index: str, key: str, kind: str) -> None:
        assert self.open == (index, event[index])
        assert self.text is not None
        if kind == "output_text":
            assert isinstance(event["logprobs"], list)
        if last == "delta":
            assert event["delta"] != ""
            self.text += event["delta"]
        else:
            assert event[key] == self.text
            self.ended, self.text = self.text, None

    def _whole(self, event: dict[str, Any], last: str, key: str, kind: str) -> None:
        assert self.kind == kind
        assert self.ended is None
        if last == "delta":
            assert event["delta"] != ""
            self.whole += event["delta"]
        else:
            assert event[key] == self.whole
            self.ended = self.whole

    def compare(self, item: dict[str, Any]) -> None:
        assert self.open is None
        if self.kind in ("message", "reasoning"):
            assert item.get("content", []) == self.parts["content_index"]
            assert item.get("summary", []) == self.parts["summary_index"]
        for key, kind in _WHOLES.values():
            if self.kind == kind:
                assert item[key] == self.ended
