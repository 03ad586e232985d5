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

_BAD_KEY = frozenset((
    # Google, as the reason of a detail: https://ai.google.dev/gemini-api/docs/troubleshooting
    "API_KEY_INVALID",
    # OpenAI's word: https://platform.openai.com/docs/guides/error-codes
    "invalid_api_key",
))  # fmt: skip
"""Names by which a 400 is about the key. Only where a name stands: a message may quote what the
caller wrote, and a caller must not be able to put a key to rest. 2026-11-21"""

MISSING = "model_not_found"
_MISSING_TYPES = frozenset((
    # Ollama: https://github.com/ollama/ollama/blob/main/openai/openai.go
    "not_found_error",
    # vLLM, SGLang: https://github.com/vllm-project/vllm/issues/3485
    "NotFoundError",
    MISSING,
))  # fmt: skip
"""`type` of a 404 that says no more, or only its status, as `code`. 2026-11-21"""
# Ollama's own API: https://github.com/ollama/ollama/blob/main/docs/api.md (2026-11-21)
_MISSING_TEXT = re.compile(r"model ['\"][^'\"]{1,256}['\"] not found")

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

    401 and 403, and a 400 that names the key, concern the operator's credential, not the caller's:
    they become `UpstreamAuth` (502), with the provider's text for the log only. Everything else is
    `UpstreamRejected` with the provider's status, message, code and param; a context that is too
    long, and a model that is not there, have one code, whoever says so. `retry_after` is set from a
    Google `RetryInfo`; the header is the caller's to add.
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
    if status in (401, 403) or (status == 400 and _bad_key(error)):
        return UpstreamAuth(
            "The provider refused the gateway's credential.", debug=f"{status}: {message}"
        )
    code = _code(error)
    if status in _REFUSALS and _TOO_LONG.search(message):
        code = TOO_LONG
    elif status == 404 and code in (None, "404") and _missing(error, message):
        code = MISSING
    return UpstreamRejected(
        message or f"The provider answered with status {status}.",
        status=status,
        code=code,
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


def _bad_key(error: dict[str, Any]) -> bool:
    names = [error.get(key) for key in ("code", "status", "type")]
    details = error.get("details")
    if isinstance(details, list):
        names += [each.get("reason") for each in details[:16] if isinstance(each, dict)]
    return any(isinstance(name, str) and name in _BAD_KEY for name in names)


def _missing(error: dict[str, Any], message: str) -> bool:
    """Whether a 404 without a code of its own means the model, and nothing else the request names.

    The text is read only from its beginning, and only where there is no type.
    """
    if error.get("param") not in (None, "", "model"):
        return False
    kind = error.get("type")
    if isinstance(kind, str):
        return kind in _MISSING_TYPES
    return _MISSING_TEXT.match(message) is not None


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
