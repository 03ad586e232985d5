"""What the fake provider says in three dialects, with exact usage, as official SDKs read it."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support.steps import LAST_CHUNK, Send, Step, chunk, frame, http_head, http_json

DIALECTS = ("chat", "responses", "messages")
PATHS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
}
SSE = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
CREATED = 1_790_000_000
BUSY = "the engine is overloaded"


@dataclass(frozen=True)
class Speech:
    """One answer: its words, in `pieces`, and `tokens` (input, output). `tells_usage` is for chat
    streams, where the usage comes only if it is asked for."""

    dialect: str
    pieces: tuple[str, ...]
    tokens: tuple[int, int]
    model: str = "m"
    tells_usage: bool = True
    number: int = 0
    """Part of its ids, which no other answer may have."""

    @property
    def words(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def opening(self) -> list[bytes]:
        """Frames that leave the answer unfinished: all of its text."""
        return _OPENING[self.dialect](self)

    @property
    def closing(self) -> list[bytes]:
        """Frames that make it whole."""
        return _CLOSING[self.dialect](self)

    @property
    def whole(self) -> dict[str, Any]:
        """The answer in one piece."""
        return _WHOLE[self.dialect](self)

    def stream(self) -> list[Step]:
        """The steps of a good stream."""
        return told([*self.opening, *self.closing])

    def answer(self) -> list[Step]:
        """The step of a good answer in one piece."""
        return [Send(http_json(200, self.whole))]


def told(frames: list[bytes], *, end: bool = True) -> list[Step]:
    """The steps of a stream with these frames, one write each; `end` False leaves it open."""
    steps: list[Step] = [Send(http_head(200, SSE)), *[Send(chunk(each)) for each in frames]]
    return [*steps, Send(LAST_CHUNK)] if end else steps


def refusal(dialect: str, message: str = BUSY) -> dict[str, Any]:
    """The body of an error."""
    if dialect == "messages":
        return {"type": "error", "error": {"type": "overloaded_error", "message": message}}
    return {"error": {"message": message, "type": "server_error", "param": None, "code": "busy"}}


def _typed(values: list[dict[str, Any]], start: int | None = None) -> list[bytes]:
    if start is not None:
        values = [{**each, "sequence_number": start + at} for at, each in enumerate(values)]
    return [frame(each) for each in values]


def _chunk(one: Speech, choices: list[Any], **more: Any) -> bytes:
    head = {"id": f"chatcmpl-{one.number}", "object": "chat.completion.chunk", "created": CREATED}
    return frame(json.dumps({**head, "model": one.model, "choices": choices, **more}))


def _delta(one: Speech, delta: dict[str, Any], finish: str | None = None) -> bytes:
    return _chunk(one, [{"index": 0, "delta": delta, "finish_reason": finish}])


def _chat_usage(one: Speech) -> dict[str, int]:
    taken, given = one.tokens
    return {"prompt_tokens": taken, "completion_tokens": given, "total_tokens": taken + given}


def _chat_opening(one: Speech) -> list[bytes]:
    return [
        _delta(one, {"role": "assistant", "content": ""}),
        *[_delta(one, {"content": piece}) for piece in one.pieces],
    ]


def _chat_closing(one: Speech) -> list[bytes]:
    usage = [_chunk(one, [], usage=_chat_usage(one))] if one.tells_usage else []
    return [_delta(one, {}, "stop"), *usage, frame("[DONE]")]


def _chat_whole(one: Speech) -> dict[str, Any]:
    message = {"role": "assistant", "content": one.words, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        "id": f"chatcmpl-{one.number}", "object": "chat.completion", "created": CREATED,
        "model": one.model, "choices": [choice], "usage": _chat_usage(one),
    }  # fmt: skip


def _place(one: Speech) -> dict[str, Any]:
    return {"item_id": f"msg_{one.number}", "output_index": 0, "content_index": 0}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(one: Speech, status: str = "completed") -> dict[str, Any]:
    content = [_part(one.words)] if status == "completed" else []
    return {"type": "message", "id": f"msg_{one.number}", "role": "assistant", "status": status,
            "content": content}  # fmt: skip


def _response(one: Speech, status: str) -> dict[str, Any]:
    taken, given = one.tokens
    usage = {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": given, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": taken + given,
    }  # fmt: skip
    done = status == "completed"
    return {
        "id": f"resp_{one.number}", "object": "response", "created_at": CREATED, "model": one.model,
        "status": status, "output": [_item(one)] if done else [], "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
        "tool_choice": "auto", "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0,
        "usage": usage if done else None,
    }  # fmt: skip


def _responses_opening(one: Speech) -> list[bytes]:
    shell = _item(one, "in_progress")
    return _typed([
        {"type": "response.created", "response": _response(one, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": shell},
        {"type": "response.content_part.added", "part": _part(""), **_place(one)},
        *[
            {"type": "response.output_text.delta", "delta": piece, "logprobs": [], **_place(one)}
            for piece in one.pieces
        ],
    ], 0)  # fmt: skip


def _responses_closing(one: Speech) -> list[bytes]:
    return _typed([
        {"type": "response.output_text.done", "text": one.words, "logprobs": [], **_place(one)},
        {"type": "response.content_part.done", "part": _part(one.words), **_place(one)},
        {"type": "response.output_item.done", "output_index": 0, "item": _item(one)},
        {"type": "response.completed", "response": _response(one, "completed")},
    ], 3 + len(one.pieces))  # fmt: skip


def _message(one: Speech, content: list[Any], stop: str | None, given: int) -> dict[str, Any]:
    return {
        "id": f"msg_{one.number}", "type": "message", "role": "assistant", "model": one.model,
        "content": content, "stop_reason": stop, "stop_sequence": None,
        "usage": {"input_tokens": one.tokens[0], "output_tokens": given},
    }  # fmt: skip


def _messages_opening(one: Speech) -> list[bytes]:
    text = {"type": "text", "text": ""}
    return _typed([
        {"type": "message_start", "message": _message(one, [], None, 1)},
        {"type": "content_block_start", "index": 0, "content_block": text},
        *[
            {"type": "content_block_delta", "index": 0,
             "delta": {"type": "text_delta", "text": piece}}
            for piece in one.pieces
        ],
    ])  # fmt: skip


def _messages_closing(one: Speech) -> list[bytes]:
    return _typed([
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": one.tokens[1]}},
        {"type": "message_stop"},
    ])  # fmt: skip


_OPENING = {
    "chat": _chat_opening, "responses": _responses_opening, "messages": _messages_opening
}  # fmt: skip
_CLOSING = {
    "chat": _chat_closing, "responses": _responses_closing, "messages": _messages_closing
}  # fmt: skip
_WHOLE = {
    "chat": _chat_whole,
    "responses": lambda one: _response(one, "completed"),
    "messages": lambda one: _message(
        one, [{"type": "text", "text": one.words}], "end_turn", one.tokens[1]
    ),
}
