"""Answers of Responses providers, whole and as the streams that different servers make of them."""

import copy
import json
from collections.abc import Iterator
from typing import Any

Item = dict[str, Any]
Events = list[dict[str, Any]]

ASKED: dict[str, Any] = {
    "id": "resp_68af4030592c81938ec0a5fbab4a3e9f",
    "object": "response",
    "created_at": 1_763_700_000,
    "status": "in_progress",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "model": "gpt-5.4-2026-03-05",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": "medium", "summary": "detailed"},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {},
}
USAGE = {
    "input_tokens": 320,
    "input_tokens_details": {"cached_tokens": 256, "cache_write_tokens": 0},
    "output_tokens": 90,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 410,
}


def text_part(text: str, **more: Any) -> Item:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text, **more}


def message(*parts: Item, status: str = "completed", **more: Any) -> Item:
    return {"id": "msg_1", "type": "message", "status": status, "content": list(parts),
            "role": "assistant", **more}  # fmt: skip


def call(name: str, arguments: str, call_id: str, **more: Any) -> Item:
    return {"id": f"fc_{call_id}", "type": "function_call", "status": "completed",
            "arguments": arguments, "call_id": call_id, "name": name, **more}  # fmt: skip


def reasoning(
    *summary: str, proof: str | None = "gAAAAABo+proof/==", thoughts: tuple[str, ...] = ()
) -> Item:
    item: Item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
    }
    if thoughts:
        item["content"] = [{"type": "reasoning_text", "text": text} for text in thoughts]
    if proof is not None:
        item["encrypted_content"] = proof
    return item


def token(text: str, logprob: float) -> Item:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}


CITED = {"type": "url_citation", "start_index": 0, "end_index": 5, "title": "Weather",
         "url": "https://example.com/w"}  # fmt: skip
FILED = {"type": "file_citation", "file_id": "file-1", "filename": "a.pdf", "index": 5}
SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {
        "type": "search",
        "query": "weather berlin",
        "sources": [{"type": "url", "url": "https://example.com/w"}],
    },
}
CODE = {
    "id": "ci_1",
    "type": "code_interpreter_call",
    "status": "completed",
    "code": "print(6*7)",
    "container_id": "cntr_1",
    "outputs": [{"type": "logs", "logs": "42\n"}],
}
PICTURE = {
    "id": "ig_1",
    "type": "image_generation_call",
    "status": "completed",
    "result": "iVBORw0KGgo=",
    "revised_prompt": "A cat",
}
MCP = {
    "id": "mcp_1",
    "type": "mcp_call",
    "status": "completed",
    "server_label": "deepwiki",
    "name": "ask",
    "arguments": '{"q":"x"}',
    "output": "An answer.",
    "error": None,
    "approval_request_id": None,
}
CUSTOM = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "status": "completed",
    "call_id": "call_c",
    "name": "apply_patch",
    "input": "*** Begin Patch\n+héllo 😀\n*** End Patch",
}
COMPACTION = {"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAAA+cmp"}


def incomplete(reason: str) -> Item:
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


OUTPUTS: dict[str, tuple[list[Item], Item]] = {
    "text": ([message(text_part("Grüße aus Berlin 😀, \"sunny\"\nand 22°."))], {}),
    "phases": (
        [
            message(text_part("Looking."), phase="commentary"),
            message(text_part("Done."), phase="final_answer"),
        ],
        {},
    ),
    "reasoning and two calls": (
        [
            reasoning("**Planning**\n\nI need two cities.", "**Calling** both at once."),
            call("get_weather", '{"city":"Berlin"}', "call_a"),
            call("get_weather", '{"city":"Tōkyō"}', "call_b"),
        ],
        {},
    ),
    "call without arguments": ([call("now", "{}", "call_n")], {}),
    "call in a namespace": ([call("read", '{"p":1}', "call_s", namespace="mcp__fs")], {}),
    "custom call": ([reasoning(), CUSTOM], {}),
    "raw thoughts": (
        [
            reasoning(proof=None, thoughts=("The user says hi.", "I answer.")),
            message(text_part("Hi!")),
        ],
        {},
    ),
    "citations and logprobs": (
        [
            SEARCH,
            message(
                text_part("Sunny ", annotations=[CITED, FILED],
                          logprobs=[token("Sun", -0.1), token("ny ", -0.25)]),
                text_part("today"),
            ),
        ],
        {},
    ),
    "refusal": ([message({"type": "refusal", "refusal": "I can't help with that."})], {}),
    "text, then refusal": (
        [message(text_part("Well, "), {"type": "refusal", "refusal": "no."})],
        {},
    ),
    "hosted": (
        [CODE, PICTURE, MCP, message(text_part("42"))],
        {},
    ),
    "compaction": ([COMPACTION, message(text_part("Go on."))], {}),
    "not known": (
        [{"id": "x_1", "type": "acme:trace", "status": "completed", "data": {"a": [1, 2]}},
         message(text_part("ok"))],
        {},
    ),
    "cut": (
        [message(text_part("Once upon"), status="incomplete")],
        incomplete("max_output_tokens"),
    ),
    "cut in a call": (
        [reasoning("Thinking"), call("write", '{"text":"Once', "call_w", status="incomplete")],
        incomplete("max_output_tokens"),
    ),
    "filtered": ([message(text_part("It"), status="incomplete")], incomplete("content_filter")),
    "nothing": ([], {}),
    "empty message": ([message(text_part(""))], {}),
}  # fmt: skip


def whole(output: list[Item], **more: Any) -> dict[str, Any]:
    return {
        **ASKED,
        "status": "completed",
        "completed_at": 1_763_700_002,
        "output": output,
        "usage": USAGE,
        "service_tier": "default",
        **more,
    }


def pieces(text: str, size: int = 5) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _shell(item: Item) -> Item:
    shell = copy.deepcopy(item)
    empty = {"content": [], "summary": [], "arguments": "", "input": "", "outputs": None,
             "result": None, "output": None, "encrypted_content": "provisional"}  # fmt: skip
    shell.update({name: value for name, value in empty.items() if name in shell})
    shell.pop("action", None)
    if item["type"] not in ("reasoning", "compaction"):
        shell["status"] = "in_progress"
    return shell


def _message_events(item: Item) -> Iterator[Item]:
    for index, part in enumerate(item["content"]):
        at = {"item_id": item["id"], "content_index": index}
        if part["type"] == "refusal":
            yield {"type": "response.content_part.added", **at,
                   "part": {"type": "refusal", "refusal": ""}}  # fmt: skip
            for piece in pieces(part["refusal"]):
                yield {"type": "response.refusal.delta", **at, "delta": piece}
            yield {"type": "response.refusal.done", **at, "refusal": part["refusal"]}
        else:
            yield {"type": "response.content_part.added", **at, "part": text_part("")}
            if part["logprobs"]:
                for one in part["logprobs"]:
                    yield {"type": "response.output_text.delta", **at, "delta": one["token"],
                           "logprobs": [one]}  # fmt: skip
            else:
                for piece in pieces(part["text"]):
                    yield {"type": "response.output_text.delta", **at, "delta": piece,
                           "logprobs": [], "obfuscation": "x7Q"}  # fmt: skip
            for number, note in enumerate(part["annotations"]):
                yield {"type": "response.output_text.annotation.added", **at,
                       "annotation_index": number, "annotation": note}  # fmt: skip
            yield {"type": "response.output_text.done", **at, "text": part["text"],
                   "logprobs": part["logprobs"]}  # fmt: skip
        yield {"type": "response.content_part.done", **at, "part": part}


def _reasoning_events(item: Item) -> Iterator[Item]:
    for index, part in enumerate(item["summary"]):
        at = {"item_id": item["id"], "summary_index": index}
        yield {"type": "response.reasoning_summary_part.added", **at,
               "part": {"type": "summary_text", "text": ""}}  # fmt: skip
        for piece in pieces(part["text"]):
            yield {"type": "response.reasoning_summary_text.delta", **at, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
    for index, part in enumerate(item.get("content", [])):
        at = {"item_id": item["id"], "content_index": index}
        yield {"type": "response.content_part.added", **at,
               "part": {"type": "reasoning_text", "text": ""}}  # fmt: skip
        for piece in pieces(part["text"]):
            yield {"type": "response.reasoning_text.delta", **at, "delta": piece}
        yield {"type": "response.reasoning_text.done", **at, "text": part["text"]}
        yield {"type": "response.content_part.done", **at, "part": part}


def _body(item: Item) -> Iterator[Item]:
    kind, at = item["type"], {"item_id": item["id"]}
    if kind == "message":
        yield from _message_events(item)
    elif kind == "reasoning":
        yield from _reasoning_events(item)
    elif kind == "function_call":
        base = "response.function_call_arguments"
        for piece in pieces(item["arguments"]):
            yield {"type": f"{base}.delta", **at, "delta": piece}
        yield {"type": f"{base}.done", **at, "arguments": item["arguments"], "name": item["name"]}
    elif kind == "custom_tool_call":
        for piece in pieces(item["input"]):
            yield {"type": "response.custom_tool_call_input.delta", **at, "delta": piece}
        yield {"type": "response.custom_tool_call_input.done", **at, "input": item["input"]}
    elif kind == "web_search_call":
        yield {"type": "response.web_search_call.in_progress", **at}
        yield {"type": "response.web_search_call.completed", **at}
    elif kind == "code_interpreter_call":
        yield {"type": "response.code_interpreter_call.in_progress", **at}
        yield {"type": "response.code_interpreter_call_code.delta", **at, "delta": item["code"]}


def openai(response: dict[str, Any]) -> Events:
    """As OpenAI streams it."""
    events: Events = [
        {"type": "response.created", "response": ASKED},
        {"type": "response.in_progress", "response": ASKED},
    ]
    for index, item in enumerate(response["output"]):
        events.append(
            {"type": "response.output_item.added", "output_index": index, "item": _shell(item)}
        )
        events.extend({**event, "output_index": index} for event in _body(item))
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": f"response.{response['status']}", "response": response})
    return numbered(events)


def numbered(events: Events) -> Events:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def without_deltas(response: dict[str, Any]) -> Events:
    """LM Studio streams no arguments; short answers of others have no deltas at all."""
    return [event for event in openai(response) if not event["type"].endswith(".delta")]


def items_only(response: dict[str, Any]) -> Events:
    """Items come whole when they are done, nothing in between."""
    keep = ("response.created", "response.output_item.done", "response.completed",
            "response.incomplete")  # fmt: skip
    return [event for event in openai(response) if event["type"] in keep]


def only_the_end(response: dict[str, Any]) -> Events:
    """One event with the whole response."""
    return [openai(response)[-1]]


def never_done(response: dict[str, Any]) -> Events:
    """Deltas, and items that end with the response."""
    return [event for event in openai(response) if not event["type"].endswith(".done")]


def rotated(response: dict[str, Any]) -> Events:
    """Every event names another item id (Copilot)."""
    events = copy.deepcopy(openai(response))
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] = f"rotated_{number}"
        if "item" in event:
            event["item"] = {**event["item"]}
    return events


def short_names(response: dict[str, Any]) -> Events:
    """Open Responses names raw reasoning events otherwise, and its streams end with [DONE]."""
    events = openai(response)
    return [
        {**event, "type": event["type"].replace("response.reasoning_text.", "response.reasoning.")}
        for event in events
    ]


def overlapping(response: dict[str, Any]) -> Events:
    """Items are closed at the very end, after others have begun (OpenRouter)."""
    events = openai(response)
    late = [event for event in events if event["type"] == "response.output_item.done"]
    return [event for event in events[:-1] if event not in late] + late + events[-1:]


def interleaved(response: dict[str, Any]) -> Events:
    """An event of every item in turn."""
    events = openai(response)
    groups: list[Events] = []
    for event in events[2:-1]:
        if event["type"] == "response.output_item.added":
            groups.append([])
        groups[-1].append(event)
    turns: Events = []
    while any(groups):
        turns.extend(group.pop(0) for group in groups if group)
    return events[:2] + turns + events[-1:]


def bare(response: dict[str, Any]) -> Events:
    """No indexes, no ids."""
    events = copy.deepcopy(openai(response))
    for event in events:
        for name in ("output_index", "sequence_number"):
            event.pop(name, None)
    return events


STYLES = {
    style.__name__: style
    for style in (openai, without_deltas, items_only, only_the_end, never_done, rotated,
                  short_names, overlapping, bare)
}  # fmt: skip


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def frames(events: Events, *, names: bool = True, done: bool = False) -> bytes:
    out = []
    for event in events:
        head = f"event: {event['type']}\n".encode() if names else b""
        out.append(head + b"data: " + dump(event) + b"\n\n")
    if done:
        out.append(b"data: [DONE]\n\n")
    return b"".join(out)
