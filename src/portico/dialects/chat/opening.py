"""How a chat stream begins, before it says anything.

A first chunk has the role and no words; OpenRouter sends comments while it waits, Azure what its
filter thought of the prompt. There is no list of what a delta may hold, so whatever is not known to
say nothing counts as content.
https://openrouter.ai/docs/api_reference/streaming,
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter (2026-11-21)
"""

import msgspec
from msgspec import Raw

from portico.dialects.base import Sight
from portico.dialects.chat.reasons import FAILURES
from portico.dialects.counts import UNREADABLE
from portico.wire.sse import frame_data

_ABOUT = frozenset((
    "id", "object", "created", "model", "provider", "system_fingerprint", "service_tier", "usage",
    "obfuscation", "prompt_filter_results",
))  # fmt: skip
"""Members that tell of the answer, not what it says."""
_EMPTY = frozenset((b"null", b'""', b"[]", b"{}", b"false"))
_NO_ERROR = _EMPTY | {b"0"}
_BROKE_OFF = frozenset(b'"%b"' % reason.encode() for reason in FAILURES)

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_choices = msgspec.json.Decoder(list[dict[str, Raw]]).decode


def opening(frame: bytes) -> Sight:
    """What one frame at the beginning of a stream says."""
    data = frame_data(frame)
    if not data:
        return "nothing"
    try:
        return _chunk(_decode(data), frame)
    except UNREADABLE:  # [DONE], too
        failed = frame.startswith(b"event: error") or data.startswith(b'{"error"')
        return "error" if failed else "content"


def _chunk(chunk: dict[str, Raw], frame: bytes) -> Sight:
    sight: Sight = "nothing"
    if "choices" not in chunk:
        sight = "error" if frame.startswith(b"event: error") else "content"
    for name, value in chunk.items():
        if name in _ABOUT:
            continue
        raw = bytes(value)
        if name == "error":
            if raw not in _NO_ERROR:
                return "error"
        elif name == "x_groq":  # https://console.groq.com/docs/api-reference (2026-11-21)
            if b'"error"' in raw:
                return "error"
        elif name == "choices" and raw[:1] == b"[":
            for choice in _decode_choices(raw):
                said = _choice(choice)
                if said == "error":
                    return said
                if said == "content":
                    sight = said
        elif raw not in _EMPTY and sight == "nothing":
            sight = "content"
    return "error" if bytes(chunk.get("object", b"")) == b'"error"' else sight


def _choice(choice: dict[str, Raw]) -> Sight:
    sight: Sight = "nothing"
    for name, value in choice.items():
        raw = bytes(value)
        if name == "index" or raw in _EMPTY:
            continue
        if name == "error" or (name == "finish_reason" and raw in _BROKE_OFF):
            return "error"
        if name == "delta" and raw[:1] == b"{":
            delta = _decode(raw)
            if all(key == "role" or bytes(each) in _EMPTY for key, each in delta.items()):
                continue
        sight = "content"
    return sight
