"""Bytes for the translated measures: Responses requests, what Chat and Messages providers answer,
and a check of what a Responses client gets for it. Pure."""

import base64
import json
import random
import re
from typing import Any

from bench import wire

PATH = "/v1/responses"
UPSTREAMS = ("chat", "messages")
"""The dialects of the providers."""
NAMES = {"chat": "Chat", "messages": "Messages"}
MODELS = {"chat": "gpt-4.1", "messages": "claude-sonnet-4-5"}
FORMATS = {"chat": "completions", "messages": "messages"}
"""What a custom provider of the gateway's configuration calls them."""
PATHS = {"chat": wire.PATH, "messages": "/v1/messages"}
BATCH = 8
"""Events per write where a provider sends several at once."""
MIB = 1024 * 1024

TEXT = (
    "Once upon a time a fox found a warm den and everyone was happy ever after in the quiet "
    "green forest."
)
WORDS = (" the", " fox", " ran", " home", " and", " slept", " well", ".")
INSTRUCTIONS = "You are a helpful assistant that answers concisely."
ASK = "Tell me a story about a fox. Make it last two or three sentences and end happily."
_TIMES = re.compile(rb'"(created|completed)_at":\d+')
_ID = re.compile(rb'"id":"resp_([0-9a-f]{16,64})"')


def question(model: str, stream: bool, store: bool = False) -> bytes:
    """The body of a Responses request. What it makes is stored where `store` says so: that is
    measured by itself (`bench.state`)."""
    content = [{"type": "input_text", "text": ASK}]
    return _ask(model, content, stream, store)


def pictures(model: str) -> bytes:
    """A Responses request of a little over 1 MiB: a question about two images in data URLs."""
    some = random.Random(1)
    content: list[dict[str, str]] = [{"type": "input_text", "text": ASK}]
    for _ in range(2):
        image = b"\x89PNG\r\n\x1a\n" + some.randbytes(MIB * 3 // 8)
        url = "data:image/png;base64," + base64.b64encode(image).decode()
        content.append({"type": "input_image", "image_url": url, "detail": "auto"})
    return _ask(model, content, stream=False, store=False)


def _ask(model: str, content: list[dict[str, str]], stream: bool, store: bool) -> bytes:
    body: dict[str, Any] = {
        "model": model,
        "instructions": INSTRUCTIONS,
        "input": [{"role": "user", "content": content}],
        "temperature": 0.7,
        "max_output_tokens": 256,
        "store": store,
    }
    return wire.compact({**body, "stream": True} if stream else body)


def answer(dialect: str) -> bytes:
    """The whole answer of a provider, with the members that the real ones send."""
    return wire.compact(_chat() if dialect == "chat" else _messages(TEXT))


def _chat() -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant", "content": TEXT, "refusal": None, "annotations": [],
    }  # fmt: skip
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": wire.INPUT_TOKENS,
        "completion_tokens": wire.OUTPUT_TOKENS,
        "total_tokens": wire.INPUT_TOKENS + wire.OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return {
        "id": "chatcmpl-Bench0123456789abcdefghij",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "gpt-4.1-2025-04-14",
        "choices": [choice],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }


def _messages(text: str | None) -> dict[str, Any]:
    """A message; without a text the one that begins a stream."""
    return {
        "id": "msg_01Bench0123456789abcdefg",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": None if text is None else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": wire.INPUT_TOKENS,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 1 if text is None else wire.OUTPUT_TOKENS,
            "service_tier": "standard",
        },
    }


def events(dialect: str, count: int) -> list[bytes]:
    """`count` events of a provider's stream, beginning and end included."""
    return wire.events(count) if dialect == "chat" else _messages_events(count)


def _messages_events(count: int) -> list[bytes]:
    words = [{"type": "text_delta", "text": WORDS[i % len(WORDS)]} for i in range(_deltas(count))]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        _event("message_start", message=_messages(None)),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _event("ping"),
        *(_event("content_block_delta", index=0, delta=word) for word in words),
        _event("content_block_stop", index=0),
        _event("message_delta", delta=stop, usage={"output_tokens": wire.OUTPUT_TOKENS}),
        _event("message_stop"),
    ]


def _deltas(count: int) -> int:
    return count - 6


def _event(name: str, **members: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), wire.compact({"type": name, **members}))


def streamed_text(dialect: str, count: int) -> str:
    """What the deltas of `events` say."""
    deltas = count - 3 if dialect == "chat" else _deltas(count)
    begun = wire.FIRST_WORD if dialect == "chat" else ""
    return begun + "".join(WORDS[i % len(WORDS)] for i in range(deltas))


def batched(pieces: list[bytes], size: int) -> list[bytes]:
    """The same bytes in fewer pieces, `size` of the old ones in each."""
    return [b"".join(pieces[at : at + size]) for at in range(0, len(pieces), size)]


def wrong_answer(status: int, body: bytes) -> str:
    """What is wrong with a whole Responses answer; empty if nothing is."""
    if status != 200:
        return f"answered {status} {body[:300]!r}"
    try:
        return _wrong_response(json.loads(body), TEXT)
    except (ValueError, LookupError, TypeError) as error:
        return f"no Responses answer ({error!r}): {body[:300]!r}"


def wrong_stream(body: bytes, text: str, done: bool = True) -> str:
    """What is wrong with a Responses stream that should say `text`; empty if nothing is. OpenAI's
    own streams have no `[DONE]` at the end: `done` says whether this one has."""
    end = b"\n\ndata: [DONE]\n\n" if done else b"\n\n"
    frames, found, rest = body.rpartition(end)
    if not found or rest:
        return "no [DONE] at the end" if done else "not whole at the end"
    try:
        return _wrong_events([_parsed(frame) for frame in frames.split(b"\n\n")], text)
    except (ValueError, LookupError, TypeError) as error:
        return f"no Responses stream ({error!r})"


def same_for_all(body: bytes) -> bytes:
    """A Responses stream without what differs from one to the next: its ids and times."""
    found = _ID.search(body)
    if found is not None:
        body = body.replace(found[1], b"0" * len(found[1]))
    return _TIMES.sub(rb'"\1_at":0', body)


def _parsed(frame: bytes) -> dict[str, Any]:
    name, data = frame.split(b"\n")
    event: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    if name != b"event: " + event["type"].encode():
        raise ValueError(f"{name!r} names another event")
    return event


def _wrong_events(parsed: list[dict[str, Any]], text: str) -> str:
    numbers = [event["sequence_number"] for event in parsed]
    if numbers != list(range(len(parsed))):
        return "numbers with gaps"
    if (parsed[0]["type"], parsed[-1]["type"]) != ("response.created", "response.completed"):
        return f"from {parsed[0]['type']} to {parsed[-1]['type']}"
    deltas = [event["delta"] for event in parsed if event["type"] == "response.output_text.delta"]
    if "".join(deltas) != text:
        return "another text"
    return _wrong_response(parsed[-1]["response"], text)


def _wrong_response(response: dict[str, Any], text: str) -> str:
    if response["status"] != "completed":
        return f"status {response['status']}"
    (item,) = response["output"]
    (part,) = item["content"]
    if (item["role"], part["type"], part["text"]) != ("assistant", "output_text", text):
        return "another text"
    usage = response["usage"]
    if (usage["input_tokens"], usage["output_tokens"]) != (wire.INPUT_TOKENS, wire.OUTPUT_TOKENS):
        return f"usage {usage}"
    return ""
