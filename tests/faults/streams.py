"""A short stream of each dialect, frame by frame, with its terminal event last."""

import json
from typing import Any

from tests.support.steps import frame


def _chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "model": "m", "choices": [choice]})


_RESPONSE: dict[str, Any] = {"id": "resp_1", "object": "response", "model": "m", "output": []}
_ITEM = {"item_id": "msg_1", "output_index": 0, "content_index": 0}

OPENING: dict[str, list[bytes]] = {
    "chat": [frame(_chunk({"role": "assistant"})), frame(_chunk({"content": "one"}))],
    "responses": [
        frame(
            {
                "type": "response.created",
                "sequence_number": 0,
                "response": {**_RESPONSE, "status": "in_progress"},
            }
        ),
        frame(
            {"type": "response.output_text.delta", "sequence_number": 1, "delta": "one", **_ITEM}
        ),
    ],
    "messages": [
        frame(
            {
                "type": "message_start",
                "message": {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "model": "m",
                    "content": [],
                    "usage": {"input_tokens": 3, "output_tokens": 1},
                },
            }
        ),
        frame(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "one"},
            }
        ),
    ],
}
"""Frames that leave the answer unfinished."""

CLOSING: dict[str, list[bytes]] = {
    "chat": [frame(_chunk({}, "stop")), frame("[DONE]")],
    "responses": [
        frame(
            {
                "type": "response.completed",
                "sequence_number": 2,
                "response": {
                    **_RESPONSE,
                    "status": "completed",
                    "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
                },
            }
        )
    ],
    "messages": [
        frame(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 1},
            }
        ),
        frame({"type": "message_stop"}),
    ],
}
"""What makes it whole."""

TERMINAL = {
    "chat": [b"[DONE]", b'"finish_reason": "stop"', b'"finish_reason":"stop"'],
    "responses": [b"response.completed"],
    "messages": [b"message_stop", b"end_turn"],
}
"""What a cut stream must not hold."""

WHOLE = {
    "chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    },
    "responses": {
        **_RESPONSE,
        "status": "completed",
        "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
    },
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
}
"""The answer without streaming."""
