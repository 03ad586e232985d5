"""Making one typed error of whatever a provider answers with an error status.

Seen in the wild: `{"error": {...}}`, `{"error": "text"}`, the same inside an array (Google's
OpenAI shim), `{"detail": ...}` (FastAPI), `{"message": ...}` (AWS, Cohere), `{"errors": [...]}`,
plain text, and the HTML of a load balancer. What reaches the caller is one line without
credentials, internal hosts or markup.
"""

import math
import re
from typing import Any

from msgspec import json

from portico.dialects.counts import UNREADABLE
from portico.errors import UpstreamAuth, UpstreamFault, UpstreamRejected
from portico.wire.text import plain, scrub, strip_tags

TEXT_CHARACTERS = 300
MESSAGE_CHARACTERS = 2000

# Google answers 400 to a bad key: https://ai.google.dev/gemini-api/docs/troubleshooting (2026-11)
_BAD_KEY = (b"API_KEY_INVALID", b'"invalid_api_key"')

TOO_LONG = "context_length_exceeded"
_TOO_LONG = re.compile("|".join((
    # OpenAI, Azure, vLLM, SGLang, Mistral, OpenRouter:
    # https://platform.openai.com/docs/guides/error-codes,
    # https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/serving_engine.py
    "maximum context length", "exceeds the context window", "longer than the maximum model length",
    # https://platform.claude.com/docs/en/build-with-claude/context-windows
    "prompt is too long", r"exceed(?:s|ed)? (?:the )?context (?:limit|window)",
    # https://ai.google.dev/gemini-api/docs/tokens
    r"input token count.{0,40}exceeds the maximum",
    # https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
    "input is too long", "too many input tokens",
    # https://docs.x.ai/docs/guides/errors
    "maximum prompt length is",
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    "exceeds the available context size",
    # https://console.groq.com/docs/errors
    "reduce the length of the messages",
    # https://huggingface.co/docs/text-generation-inference, Together
    r"inputs. tokens \+ .max_new_tokens. must be",
)), re.IGNORECASE)  # fmt: skip
"""What providers say when a conversation is longer than their model can read. 2026-11-21"""
_REFUSALS = frozenset((400, 413, 422))


def read_error(status: int, body: bytes) -> UpstreamFault:
    """A typed error from an upstream error answer; never raises.

    401 and 403, and a 400 about the key, concern the operator's credential, not the caller's:
    they become `UpstreamAuth` (502), with the provider's text for the log only. Everything else is
    `UpstreamRejected` with the provider's status, message, code and param; a context that is too
    long has one code, whoever says so. `retry_after` is set from a Google `RetryInfo`; the header
    is the caller's to add.
    """
    try:
        value = json.decode(body)
    except UNREADABLE:
        message = _text_message(body)
        error: dict[str, Any] = {}
    else:
        error = _error_object(value)
        message = _message(error)
    message = plain(scrub(message), MESSAGE_CHARACTERS)
    if status in (401, 403) or (status == 400 and any(mark in body for mark in _BAD_KEY)):
        return UpstreamAuth(
            "The provider refused the gateway's credential.", debug=f"{status}: {message}"
        )
    return UpstreamRejected(
        message or f"The provider answered with status {status}.",
        status=status,
        code=TOO_LONG if status in _REFUSALS and _TOO_LONG.search(message) else _code(error),
        param=_short(error.get("param")),
        debug=f"upstream status {status}",
        retry_after=_retry_after(error),
    )


def _error_object(value: Any) -> dict[str, Any]:
    """The dict that says most: the one under `error`, or the value itself."""
    for _ in range(4):
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict) and isinstance(value.get("error"), dict | list):
            value = value["error"]
        elif isinstance(value, dict) and isinstance(value.get("errors"), list):
            value = value["errors"]
        else:
            break
    if isinstance(value, dict):
        return value
    return {"message": value} if isinstance(value, str) else {}


def _message(error: dict[str, Any]) -> str:
    for key in ("message", "Message", "detail", "error", "msg", "title"):
        value = error.get(key)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, list):
            details = [item.get("msg") for item in value[:8] if isinstance(item, dict)]
            joined = "; ".join(text for text in details if isinstance(text, str))
            if joined:
                return joined
    return ""


def _code(error: dict[str, Any]) -> str | None:
    """A name where there is one: Google's `status` rather than its integer `code`."""
    code = error.get("code")
    if isinstance(code, int) and not isinstance(code, bool):
        return _short(error.get("status")) or str(code)[:32]
    return _short(code)


def _short(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return plain(scrub(value), 128)


def _retry_after(error: dict[str, Any]) -> str | None:
    """Google: `{"@type": ".../google.rpc.RetryInfo", "retryDelay": "34.4s"}` in `details`."""
    details = error.get("details")
    for detail in details[:16] if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                seconds = float(delay[:-1])
            except ValueError:
                continue
            if 0 <= seconds < 1e6:
                return str(math.ceil(seconds))
    return None


def _text_message(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    if text.startswith("<"):
        text = strip_tags(text)
    return plain(scrub(text), TEXT_CHARACTERS)
