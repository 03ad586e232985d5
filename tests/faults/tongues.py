"""The same short answer in each dialect that providers speak, frame by frame, and how clients of
each dialect are told that it is whole, or that it is not."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.gateway import OPERATOR_KEY
from tests.support.raw import RawResponse
from tests.support.steps import (
    LAST_CHUNK,
    Script,
    Send,
    chunk,
    frame,
    http_head,
    http_json,
    send,
)

from portico.config.secret import Secret
from portico.config.settings import ProviderSettings
from portico.wire.eventstream import encode

WORDS = "Gr\u00fc\u00dfe \U0001f600"
"""The text of the answer. Its pieces are cut inside of nothing; tests cut their bytes."""
PIECES = ("Gr\u00fc\u00df", "e \U0001f600")
COUNTS = (7, 5)
"""Input and output tokens."""

FORMATS = {
    "chat": ("completions", "/v1/chat/completions"),
    "responses": ("responses", "/v1/responses"),
    "messages": ("messages", "/v1/messages"),
    "gemini": ("generateContent", "/v1beta/models/{model}:generateContent"),
    "converse": ("converse", "/model/{model}/converse"),
}
CLIENTS = ("responses", "chat", "messages")
PAIRS = [(client, upstream) for client in CLIENTS for upstream in FORMATS if client != upstream]


def provider(url: str, upstream: str) -> ProviderSettings:
    """A custom provider that speaks one dialect."""
    word, path = FORMATS[upstream]
    return ProviderSettings(
        kind="custom", name="upstream", base_url=url, api_key=Secret(OPERATOR_KEY),
        formats={word: path},
    )  # fmt: skip


@dataclass(frozen=True)
class Tongue:
    """One dialect. `opening` leaves the answer unfinished, `closing` makes it whole; `error` is its
    way to say in mid-stream that it is overloaded; `refusal` the same as an answer."""

    opening: list[bytes]
    closing: list[bytes]
    error: bytes
    whole: Any
    refusal: Any
    usage: dict[str, int] = field(default_factory=dict)
    kind: str = "text/event-stream"

    @property
    def stream(self) -> list[bytes]:
        return [*self.opening, *self.closing]


def _data(value: Any) -> bytes:
    return frame(json.dumps(value, ensure_ascii=False))


def _typed(value: Any) -> bytes:
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def aws(event: str, payload: Any, kind: str = "event") -> bytes:
    """One binary message of Bedrock."""
    name = ":event-type" if kind == "event" else ":exception-type"
    headers = {name: event, ":content-type": "application/json", ":message-type": kind}
    return encode(headers, json.dumps(payload, ensure_ascii=False).encode())


_BUSY = "the engine is overloaded"


def _chat() -> Tongue:
    def piece(delta: Any, finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _data({"id": "chatcmpl-1", "model": "m", "choices": [choice], **more})

    counts = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    message = {"role": "assistant", "content": WORDS}
    error = {"message": _BUSY, "type": "server_error", "code": "overloaded"}
    return Tongue(
        opening=[
            piece({"role": "assistant", "content": ""}), *[piece({"content": p}) for p in PIECES]
        ],
        closing=[
            piece({}, "stop"), _data({"id": "chatcmpl-1", "model": "m", "choices": [],
                                      "usage": counts}), frame("[DONE]"),
        ],
        error=_data({"error": error}),
        whole={"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "usage": counts,
               "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]},
        refusal={"error": error},
    )  # fmt: skip


def _responses() -> Tongue:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": WORDS, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [part]}  # fmt: skip
    counts = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    base = {"id": "resp_1", "object": "response", "model": "m", "output": []}
    whole = {**base, "status": "completed", "output": [item], "usage": counts}
    shell = {**item, "status": "in_progress", "content": []}
    events: list[Any] = [
        {"type": "response.created", "response": {**base, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": shell},
        {"type": "response.content_part.added", "part": {**part, "text": ""}, **place},
        *[{"type": "response.output_text.delta", "delta": p, **place} for p in PIECES],
    ]
    ends: list[Any] = [
        {"type": "response.output_text.done", "text": WORDS, **place},
        {"type": "response.content_part.done", "part": part, **place},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    numbered = [{**event, "sequence_number": at} for at, event in enumerate([*events, *ends])]
    error = {"type": "server_error", "code": "server_overloaded", "message": _BUSY, "param": None}
    failed = {"type": "error", "sequence_number": len(events), **error, "error": error}
    frames = [_typed(event) for event in numbered]
    return Tongue(
        opening=frames[: len(events)],
        closing=frames[len(events) :],
        error=_typed({**failed, "type": "error"}),
        whole=whole,
        refusal={"error": error},
    )


def _messages() -> Tongue:
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
             "stop_reason": None, "stop_sequence": None,
             "usage": {"input_tokens": 7, "output_tokens": 1}}  # fmt: skip
    error = {"type": "error", "error": {"type": "overloaded_error", "message": _BUSY}}
    opening: list[Any] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}}
            for p in PIECES
        ],
    ]
    closing: list[Any] = [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]  # fmt: skip
    content = [{"type": "text", "text": WORDS}]
    return Tongue(
        opening=[_typed(event) for event in opening],
        closing=[_typed(event) for event in closing],
        error=_typed(error),
        whole={**start, "content": content, "stop_reason": "end_turn",
               "usage": {"input_tokens": 7, "output_tokens": 5}},
        refusal=error,
    )  # fmt: skip


def _gemini() -> Tongue:
    def piece(text: str, **more: Any) -> Any:
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": content, "index": 0, **more}], "modelVersion": "m",
                "responseId": "r"}  # fmt: skip

    counts = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}
    error = {"error": {"code": 503, "message": _BUSY, "status": "UNAVAILABLE"}}
    return Tongue(
        opening=[_data(piece(p)) for p in PIECES],
        closing=[_data({**piece("", finishReason="STOP"), "usageMetadata": counts})],
        error=_data(error),
        whole={**piece(WORDS, finishReason="STOP"), "usageMetadata": counts},
        refusal=error,
    )


def _converse() -> Tongue:
    counts = {"inputTokens": 7, "outputTokens": 5, "totalTokens": 12}
    message = {"role": "assistant", "content": [{"text": WORDS}]}
    return Tongue(
        opening=[
            aws("messageStart", {"role": "assistant"}),
            *[aws("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": p}})
              for p in PIECES],
        ],
        closing=[
            aws("contentBlockStop", {"contentBlockIndex": 0}),
            aws("messageStop", {"stopReason": "end_turn"}),
            aws("metadata", {"usage": counts, "metrics": {"latencyMs": 3}}),
        ],
        error=aws("serviceUnavailableException", {"message": _BUSY}, "exception"),
        whole={"output": {"message": message}, "stopReason": "end_turn", "usage": counts,
               "metrics": {"latencyMs": 3}},
        refusal={"message": _BUSY, "__type": "ServiceUnavailableException"},
        kind="application/vnd.amazon.eventstream",
    )  # fmt: skip


TONGUES: dict[str, Tongue] = {
    "chat": _chat(),
    "responses": _responses(),
    "messages": _messages(),
    "gemini": _gemini(),
    "converse": _converse(),
}


def told(upstream: str, frames: list[bytes], *, end: bool = True) -> Script:
    """The steps of a stream in that dialect, one write per frame."""
    head = {"content-type": TONGUES[upstream].kind, "transfer-encoding": "chunked"}
    steps: list[Any] = [Send(http_head(200, head)), *[send(chunk(each)) for each in frames]]
    return [*steps, send(LAST_CHUNK)] if end else steps


def answered(upstream: str) -> Send:
    """The answer in one piece."""
    return send(http_json(200, TONGUES[upstream].whole))


# -- what the client sees -------------------------------------------------------------------------

SUCCESS: dict[str, tuple[bytes, ...]] = {
    "chat": (b"[DONE]", b'"finish_reason":"'),
    "responses": (b"response.completed", b"response.incomplete", b'"status":"completed","error"'),
    "messages": (b"message_stop", b'"stop_reason":"'),
}
"""What a stream that broke must not hold."""


def events(answer: RawResponse) -> list[Any]:
    """The decoded frames, the sentinel left out. Raises for a frame that is cut."""
    lines = [line for line in answer.data_lines() if line != b"[DONE]"]
    return [json.loads(line) for line in lines]


def text_of(client: str, answer: RawResponse) -> str:
    """The words that a stream told."""
    found = events(answer)
    if client == "chat":
        deltas = [each["choices"][0]["delta"] for each in found if each.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)
    if client == "messages":
        deltas = [each["delta"] for each in found if each["type"] == "content_block_delta"]
        return "".join(delta.get("text", "") for delta in deltas)
    kind = "response.output_text.delta"
    return "".join(each["delta"] for each in found if each["type"] == kind)


def text_in(client: str, body: Any) -> str:
    """The words of an answer in one piece."""
    if client == "chat":
        return str(body["choices"][0]["message"]["content"])
    if client == "messages":
        return "".join(block["text"] for block in body["content"])
    return "".join(part["text"] for item in body["output"] for part in item["content"])


def is_whole(client: str, answer: RawResponse) -> None:
    """The stream is finished, in the way of its dialect, exactly once."""
    assert (answer.status, answer.ended) == (200, True), answer.body
    if client == "chat":
        assert answer.body.count(b"[DONE]") == 1
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert answer.body.count(b'"finish_reason":"stop"') == 1
    elif client == "messages":
        assert answer.body.count(b"event: message_stop") == 1
        assert events(answer)[-1] == {"type": "message_stop"}
    else:
        found = events(answer)
        assert [each["type"] for each in found].count("response.completed") == 1
        assert found[-1]["type"] == "response.completed"
        assert [each["sequence_number"] for each in found] == list(range(len(found)))


def is_broken(client: str, answer: RawResponse) -> Any:
    """The stream says that it failed and cannot be taken for a whole one. Its error."""
    assert answer.status == 200
    assert not [mark for mark in SUCCESS[client] if mark in answer.body], answer.body
    found = events(answer)
    last = found[-1]
    if client == "responses":
        assert [each["type"] for each in found[-2:]] == ["error", "response.failed"]
        assert last["response"]["status"] == "failed"
        assert [each["sequence_number"] for each in found] == list(range(len(found)))
        return found[-2]["error"]
    if client == "messages":
        assert last["type"] == "error"
    return last["error"]
