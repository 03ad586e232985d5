"""Errors of Messages providers, as answers and inside streams.

https://platform.claude.com/docs/en/api/errors (2026-11-21)
"""

import re

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import UNREADABLE, text
from portico.dialects.upstream_error import read_error as read_any
from portico.errors import UpstreamAuth, UpstreamFault, UpstreamRejected

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""`error.type` -> HTTP status, for errors that arrive inside a stream."""
CODES = {
    "billing_error": "insufficient_quota",
    "not_found_error": "model_not_found",
    "request_too_large": "request_too_large",
    "rate_limit_error": "rate_limit_exceeded",
    "timeout_error": "upstream_timeout",
    "overloaded_error": "overloaded",
    "api_error": "server_error",
}
"""`error.type` -> `code`, in the words the other dialects' clients know."""

# https://platform.claude.com/docs/en/build-with-claude/context-windows (2026-11-21)
_TOO_LONG = re.compile(r"prompt is too long|exceed(?:s|ed)? (?:the )?context (?:limit|window)")
_LONGEST_AFTER = 64


class _Error(Struct, gc=False):
    type: Raw = Raw(b"null")


class _Body(Struct, gc=False):
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Body).decode


def read_error(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamFault:
    """A typed error from an answer with an error status. Never raises."""
    fault = _coded(read_any(status, body), error_type(body))
    after = headers.get(b"retry-after")
    if after is not None and fault.retry_after is None and len(after) < _LONGEST_AFTER:
        fault.retry_after = after.decode("latin-1")
    return fault


def read_error_event(data: bytes) -> UpstreamFault:
    """A typed error from an `error` event, or from one that came as a 200 answer."""
    kind = error_type(data)
    return _coded(read_any(STATUSES.get(kind, 500), data), kind)


def error_type(body: bytes) -> str:
    """Anthropic's `error.type`; "" if there is none."""
    try:
        error = _decode(body).error
    except UNREADABLE:
        return ""
    return text(error.type) if error is not None else ""


def _coded(fault: UpstreamFault, kind: str) -> UpstreamFault:
    if isinstance(fault, UpstreamAuth):
        return fault
    if isinstance(fault, UpstreamRejected) and _TOO_LONG.search(fault.message):
        fault.code = "context_length_exceeded"
    elif fault.code is None or fault.code == fault.default_code:
        fault.code = CODES.get(kind, kind or None) or fault.code
    return fault
