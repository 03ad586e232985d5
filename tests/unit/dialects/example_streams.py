"""Streams as the providers send them, with traps for a tap, made by hand as bytes."""

import json
from typing import Any


def frame(data: dict[str, Any], event: str | None = None) -> bytes:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def chat_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return frame(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_763_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "service_tier": "default",
            "system_fingerprint": "fp_1",
            "choices": [choice],
            "usage": None,
            **more,
        }
    )


CHAT_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
}
CHAT_USAGE_FRAME = chat_chunk({}, choices=[], usage=CHAT_USAGE)
CHAT_FRAMES = [
    chat_chunk({"role": "assistant", "content": "", "refusal": None}),
    chat_chunk({"content": "Hi 😀 "}),
    chat_chunk({"content": '"usage":{"prompt_tokens":9} [DONE] "finish_reason":"stop" error'}),
    b": keep-alive\n\n",
    chat_chunk(
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"usage":{"total_tokens":1}}'},
                }
            ]
        }
    ),
    chat_chunk({}, "tool_calls"),
    CHAT_USAGE_FRAME,
    b"data: [DONE]\n\n",
]
CHAT = b"".join(CHAT_FRAMES)

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_763_000_000,
    "status": "in_progress",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": "Be kind.",
    "max_output_tokens": None,
    "max_tool_calls": None,
    "model": "gpt-5-2025-08-07",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": "low", "summary": None},
    "service_tier": "auto",
    "store": True,
    "temperature": 0.50,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [
        {
            "type": "function",
            "name": "f",
            "description": None,
            "parameters": {"type": "object", "properties": {"type": "error", "usage": {}}},
            "strict": True,
        }
    ],
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {"type": "response.completed", "usage": "{}"},
}
RESPONSES_USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 30,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi 😀"}],
}
_PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_PART = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
_EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("response.created", {"response": RESPONSE}),
    ("response.in_progress", {"response": RESPONSE}),
    (
        "response.output_item.added",
        {"output_index": 0, "item": {**MESSAGE, "status": "in_progress", "content": []}},
    ),
    ("response.content_part.added", {**_PLACE, "part": _PART}),
    (
        "response.output_text.delta",
        {**_PLACE, "delta": 'Hi 😀 "type":"error" event: error [DONE]', "logprobs": []},
    ),
    ("response.output_text.done", {**_PLACE, "text": "Hi 😀", "logprobs": []}),
    ("response.content_part.done", {**_PLACE, "part": {**_PART, "text": "Hi 😀"}}),
    ("response.output_item.done", {"output_index": 0, "item": MESSAGE}),
    (
        "response.completed",
        {
            "response": {
                **RESPONSE,
                "status": "completed",
                "output": [MESSAGE],
                "usage": RESPONSES_USAGE,
            }
        },
    ),
]
RESPONSES_FRAMES = [
    frame({"type": kind, "sequence_number": number, **rest}, kind)
    for number, (kind, rest) in enumerate(_EVENTS)
]
RESPONSES = b"".join(RESPONSES_FRAMES)

MESSAGES_FRAMES = [
    frame(data, data["type"])
    for data in (
        {
            "type": "message_start",
            "message": {
                "id": "msg_01",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-5-20250929",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 43,
                    "cache_creation_input_tokens": 5,
                    "cache_read_input_tokens": 7,
                    "output_tokens": 1,
                },
            },
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
        },
        {"type": "ping"},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {
                "type": "input_json_delta",
                "partial_json": '{"type":"message_stop"} 😀 event: error',
            },
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {
                "input_tokens": 61,
                "output_tokens": 15,
                "output_tokens_details": {"thinking_tokens": 6},
            },
        },
        {"type": "message_stop"},
    )
]
MESSAGES = b"".join(MESSAGES_FRAMES)
