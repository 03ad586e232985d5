"""The invariants of a Responses stream, checked by a reader that shares no code with the writer.

I1 the events fold to the terminal response; I2 `sequence_number` counts 0, 1, 2, ...; I3 what is
added is done once, deltas belong to what is open, and items follow each other; I4 one response id;
I5 one terminal event, `event:` equals `type`; I6 usage at the end, with its details; I9 all 31 keys
of a response object are always there.
"""

import json
import re
from typing import Any

Json = Any

NULLABLE = frozenset((
    "completed_at", "incomplete_details", "previous_response_id", "instructions", "error",
    "reasoning", "usage", "max_output_tokens", "max_tool_calls", "safety_identifier",
    "prompt_cache_key",
))  # fmt: skip
KEYS = NULLABLE | frozenset((
    "id", "object", "created_at", "status", "model", "output", "tools", "tool_choice", "truncation",
    "parallel_tool_calls", "text", "top_p", "presence_penalty", "frequency_penalty",
    "top_logprobs", "temperature", "store", "background", "service_tier", "metadata",
))  # fmt: skip
assert len(KEYS) == 31
TERMINAL = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
DELTAS: dict[str, tuple[str, str]] = {
    "response.output_text.delta": ("content", "text"),
    "response.refusal.delta": ("content", "refusal"),
    "response.reasoning_text.delta": ("content", "text"),
    "response.reasoning_summary_text.delta": ("summary", "text"),
}
WHOLES: dict[str, tuple[str, str]] = {
    "response.output_text.done": ("content", "text"),
    "response.refusal.done": ("content", "refusal"),
    "response.reasoning_text.done": ("content", "text"),
    "response.reasoning_summary_text.done": ("summary", "text"),
}
STRINGS: dict[str, tuple[str, str]] = {
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
    "response.mcp_call_arguments": ("mcp_call", "arguments"),
    "response.code_interpreter_call_code": ("code_interpreter_call", "code"),
}
PARTS = {
    "response.content_part": "content",
    "response.reasoning_summary_part": "summary",
}
_FRAME = re.compile(r"event: (\S+)\ndata: ([^\n]*)\n\n")


def frames(stream: bytes) -> list[Json]:
    """The events. Nothing but frames of `event`, one `data` and a blank line; `[DONE]` at last."""
    text = stream.decode()
    assert text.endswith("data: [DONE]\n\n")
    text = text.removesuffix("data: [DONE]\n\n")
    found, at = [], 0
    while at < len(text):
        frame = _FRAME.match(text, at)
        assert frame is not None, f"not a frame: {text[at : at + 80]!r}"
        event = json.loads(frame[2])
        assert event["type"] == frame[1]
        found.append(event)
        at = frame.end()
    return found


def check(stream: bytes) -> Json:
    """Raise AssertionError where an invariant is broken; give the terminal response."""
    events = frames(stream)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    assert last["type"] in TERMINAL
    final = last["response"]
    assert final["status"] == TERMINAL[last["type"]]
    for event in events[:2]:
        _response(event["response"])
        assert event["response"]["output"] == []
        assert event["response"]["status"] == "in_progress"
        assert event["response"]["usage"] is None
        assert event["response"]["id"] == final["id"]
    _response(final)
    _end(final)
    body = events[2:-1]
    if body and body[-1]["type"] == "error":
        error = body.pop()["error"]
        assert set(error) >= {"type", "code", "message", "param"}
        assert last["type"] == "response.failed"
    reader = _Reader()
    for event in body:
        assert event["type"] not in TERMINAL
        reader.take(event)
    assert reader.open is None, "an item was never done"
    assert reader.done == final["output"]
    return final


def _response(response: Json) -> None:
    missing = KEYS - set(response)
    assert not missing, f"the response lacks {missing}"
    empty = {key for key in KEYS - NULLABLE if response[key] is None}
    assert not empty, f"{empty} must not be null"
    for tool in response["tools"]:
        if tool["type"] == "function":
            assert {"name", "description", "parameters", "strict"} <= set(tool)


def _end(final: Json) -> None:
    usage = final["usage"]
    assert usage is not None
    assert "cached_tokens" in usage["input_tokens_details"]
    assert "reasoning_tokens" in usage["output_tokens_details"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    status = final["status"]
    assert (final["completed_at"] is not None) == (status == "completed")
    assert (final["error"] is not None) == (status == "failed")
    assert (final["incomplete_details"] is not None) == (status == "incomplete")
    if status == "incomplete":
        assert final["incomplete_details"]["reason"] in ("max_output_tokens", "content_filter")
    states = [item.get("status", "completed") for item in final["output"]]
    assert "in_progress" not in states
    assert "incomplete" not in states[:-1], "only the last item can be cut"
    if status == "completed":
        assert "incomplete" not in states
    ids = [item["id"] for item in final["output"]]
    assert len(set(ids)) == len(ids)


class _Reader:
    """Builds items out of events alone."""

    def __init__(self) -> None:
        self.done: list[Json] = []
        self.open: Json | None = None
        self._part: tuple[str, int] | None = None
        self._told: set[str] = set()

    def take(self, event: Json) -> None:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert self.open is None, "items overlap"
            assert event["output_index"] == len(self.done)
            self._begin(event["item"])
            return
        assert self.open is not None, f"{kind} outside of an item"
        assert event["output_index"] == len(self.done)
        if kind == "response.output_item.done":
            self._end(event["item"])
            return
        assert event["item_id"] == self.open["id"]
        base, _, step = kind.rpartition(".")
        if base in PARTS:
            self._of_part(PARTS[base], step, event)
        elif kind == "response.output_text.annotation.added":
            notes = self._current(event, "content")["annotations"]
            assert event["annotation_index"] == len(notes)
            notes.append(event["annotation"])
        elif kind in DELTAS:
            member, key = DELTAS[kind]
            assert event["delta"], "an empty delta"
            self._current(event, member)[key] += event["delta"]
            assert kind.replace(".delta", "") not in self._told
        elif kind in WHOLES:
            member, key = WHOLES[kind]
            assert event[key] == self._current(event, member)[key]
            self._once(base)
        elif base in STRINGS:
            self._of_string(base, step, event)
        else:
            assert base == f"response.{self.open['type']}", f"{kind} in a {self.open['type']}"
            self._once(kind)

    def _once(self, what: str) -> None:
        assert what not in self._told, f"{what} is told twice"
        self._told.add(what)

    def _begin(self, item: Json) -> None:
        self.open = json.loads(json.dumps(item))
        self._told.clear()
        if item["type"] == "message":
            assert item["content"] == []
            assert item["role"] == "assistant"
        elif item["type"] == "reasoning":
            assert item["summary"] == []
            assert not item.get("content")
        elif item["type"] == "function_call":
            assert item["arguments"] == ""
            assert item["call_id"]
            assert item["name"]
        elif item["type"] == "custom_tool_call":
            assert item["input"] == ""

    def _current(self, event: Json, member: str) -> Json:
        index = event["summary_index" if member == "summary" else "content_index"]
        assert self._part == (member, index), "a delta of a part that is not open"
        return self.open[member][index]  # type: ignore[index]

    def _of_part(self, member: str, step: str, event: Json) -> None:
        item = self.open
        assert item is not None
        index = event["summary_index" if member == "summary" else "content_index"]
        if step == "added":
            assert self._part is None, "parts overlap"
            parts = item.setdefault(member, [])
            assert index == len(parts)
            parts.append(json.loads(json.dumps(event["part"])))
            self._part = (member, index)
            self._told.clear()
            return
        built = self._current(event, member)
        part = dict(event["part"])
        part.pop("logprobs", None)
        built.pop("logprobs", None)
        assert part == built, "what is done is not what was streamed"
        assert len(self._told) == 1, "a part needs its own done event before"
        item[member][index] = event["part"]
        self._part = None

    def _of_string(self, base: str, step: str, event: Json) -> None:
        kind, key = STRINGS[base]
        item = self.open
        assert item is not None
        assert item["type"] == kind
        assert base not in self._told, "deltas after done"
        if step == "delta":
            assert event["delta"], "an empty delta"
            item[key] = (item[key] or "") + event["delta"]
        else:
            assert event[key] == (item[key] or "")
            self._once(base)

    def _end(self, item: Json) -> None:
        built = self.open
        assert built is not None
        assert self._part is None, "a part was never done"
        assert (item["id"], item["type"]) == (built["id"], built["type"])
        for base, (kind, key) in STRINGS.items():
            if kind == item["type"]:
                assert base in self._told, f"{base}.done is missing"
                assert (item[key] or "") == (built[key] or "")
        if item["type"] == "message":
            assert item["content"] == built["content"]
            assert item["content"], "a message without parts"
        if item["type"] == "reasoning":
            assert item["summary"] == built["summary"]
            assert item.get("content", []) == built.get("content", [])
        self.done.append(item)
        self.open = None
