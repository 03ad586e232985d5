"""Bytes of a provider that speaks Responses, for the measures of what is stored. Every answer of
theirs has an id of its own, as real ones do: an id that came before is not stored again. Pure."""

from typing import Any

from bench import wire
from bench.dialects import TEXT, WORDS

MODEL = "gpt-5-mini"
"""What clients ask for."""
UPSTREAM_MODEL = "gpt-5-mini-2025-08-07"
DIGITS = "0123456789abcdef0123456789abcdef"
"""Where an answer has the digits that are its own. Those of OpenAI begin with the time: the sample
`resp_67ccd2be...` was created at 0x67ccd2be, and two of one second are in order, too
(https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21)."""
_TAIL = "5e9dbe"
"""OpenAI's ids have more digits than this gateway's."""
_RESPONSE = f"resp_{DIGITS}{_TAIL}"
_MESSAGE = f"msg_{DIGITS}{_TAIL}"
_OTHERS = 8
"""Events of a stream that are not deltas."""


def answer(created: int) -> bytes:
    """A whole answer, with the members that OpenAI sends. Whoever sends it replaces `DIGITS`; what
    was `created` (Unix seconds) long ago is not kept any more."""
    return wire.compact(_response(TEXT, "completed", created))


def _response(text: str | None, status: str, created: int) -> dict[str, Any]:
    """A response object; without a text the one that begins a stream."""
    usage: dict[str, Any] = {
        "input_tokens": wire.INPUT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": wire.OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": wire.INPUT_TOKENS + wire.OUTPUT_TOKENS,
    }
    return {
        "id": _RESPONSE,
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "billing": {"payer": "developer"},
        "error": None,
        "incomplete_details": None,
        "instructions": "You are a helpful assistant that answers concisely.",
        "max_output_tokens": 256,
        "max_tool_calls": None,
        "model": UPSTREAM_MODEL,
        "output": [] if text is None else [_item(text, "completed")],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": "medium", "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 0.7,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if text is None else usage,
        "user": None,
        "metadata": {},
    }


def _item(text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    return {
        "id": _MESSAGE, "type": "message", "status": status, "content": content,
        "role": "assistant",
    }  # fmt: skip


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def events(count: int, created: int) -> list[bytes]:
    """`count` events of a stream, beginning and end included. There is no `[DONE]`."""
    begun = _response(None, "in_progress", created)
    words = [WORDS[i % len(WORDS)] for i in range(count - _OTHERS)]
    text = "".join(words)
    place = {"item_id": _MESSAGE, "output_index": 0, "content_index": 0}
    told: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added",
         {"output_index": 0, "item": _item(None, "in_progress")}),
        ("response.content_part.added", {**place, "part": _part("")}),
        *(("response.output_text.delta",
           {**place, "delta": word, "logprobs": [], "obfuscation": "x" * (16 - len(word))})
          for word in words),
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": _part(text)}),
        ("response.output_item.done", {"output_index": 0, "item": _item(text, "completed")}),
        ("response.completed", {"response": _response(text, "completed", created)}),
    ]  # fmt: skip
    return [
        b"event: %b\ndata: %b\n\n"
        % (name.encode(), wire.compact({"type": name, "sequence_number": number, **members}))
        for number, (name, members) in enumerate(told)
    ]


def streamed_text(count: int) -> str:
    """What the deltas of `events` say."""
    return "".join(WORDS[i % len(WORDS)] for i in range(count - _OTHERS))
