"""HTTP and SSE bytes for the load side: what is sent, and a check of what came back. Pure."""

import json
from dataclasses import dataclass

KEY = "sk-bench-0123456789abcdef"
MODEL = "gpt-4o-mini"
STREAM_MODEL = "gpt-4o-mini-streamed"
UPSTREAM_MODEL = "gpt-4o-mini-2024-07-18"
INPUT_TOKENS = 42
OUTPUT_TOKENS = 25
PATH = "/v1/chat/completions"
KEEP_ALIVE = b": keep-alive\n\n"

_MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant that answers concisely."},
    {
        "role": "user",
        "content": "Tell me a story about a fox. Make it last two or three sentences and end "
        "happily.",
    },
]
_USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def compact(value: object) -> bytes:
    """JSON as SDKs send it."""
    return json.dumps(value, separators=(",", ":")).encode()


def question(model: str, stream: bool) -> bytes:
    """The body of a chat request."""
    body = {"model": model, "messages": _MESSAGES, "temperature": 0.7, "max_tokens": 256}
    return compact({**body, "stream": True} if stream else body)


def answer() -> bytes:
    """The body of a whole chat answer."""
    text = (
        "Once upon a time a fox found a warm den and everyone was happy ever after in the quiet "
        "green forest."
    )
    message = {"role": "assistant", "content": text}
    return compact(
        {
            "id": "chatcmpl-Bench0123456789abcdefghij",
            "object": "chat.completion",
            "created": 1760000000,
            "model": UPSTREAM_MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _USAGE,
        }
    )


def post(body: bytes, port: int, path: str = PATH) -> bytes:
    """A whole request for one streamed answer."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\naccept: text/event-stream\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _chunk([choice], None)


def _chunk(choices: list[dict[str, object]], usage: object) -> bytes:
    body = {
        "id": "chatcmpl-Bench0123456789abcdefghij",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": UPSTREAM_MODEL,
        "choices": choices,
        "usage": usage,
    }
    return b"data: %b\n\n" % compact(body)


USAGE_EVENT = _chunk([], _USAGE)
"""Sent only where `stream_options.include_usage` is set, as OpenAI does; the load client never
sets it, so a gateway that does has to take it out again."""


FIRST_WORD = " so"


def events(count: int) -> list[bytes]:
    """`count` events of a chat stream; the last two are the finish reason and `[DONE]`."""
    words = [" the", " fox", " ran", " home", " and", " slept", " well", "."]
    # It says something at once: what says nothing yet is held back by the gateway on purpose.
    first = _event({"role": "assistant", "content": FIRST_WORD}, None)
    middle = [_event({"content": words[i % len(words)]}, None) for i in range(count - 3)]
    return [first, *middle, _event({}, "stop"), b"data: [DONE]\n\n"]


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Message:
    """A whole HTTP response. `body` has its chunks joined."""

    status: int
    head: bytes
    body: bytes


def read_chunked(raw: bytes) -> Message | None:
    """One whole chunked response, or None if it is not exactly that."""
    head, found, rest = raw.partition(b"\r\n\r\n")
    line = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not found or len(line) < 2 or not line[1].isdigit():
        return None
    pieces: list[bytes] = []
    at = 0
    try:
        while True:
            end = rest.index(b"\r\n", at)
            size = int(rest[at:end], 16)
            at = end + 2
            if size == 0:
                whole = rest[at:] == b"\r\n"
                return Message(int(line[1]), head, b"".join(pieces)) if whole else None
            pieces.append(rest[at : at + size])
            at += size + 2
            if rest[at - 2 : at] != b"\r\n":
                return None
    except ValueError:
        return None


def content_length(head: bytes) -> int:
    """The `content-length` of a head, 0 without one."""
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0
