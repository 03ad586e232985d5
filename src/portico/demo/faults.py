"""What the demo provider refuses, and the two error envelopes it answers with.

OpenAI: `{"error": {"message", "type", "param", "code"}}`, all four keys present.
Anthropic: `{"type": "error", "error": {"type", "message"}, "request_id"}`.
"""

import re
from typing import Any

import msgspec

__all__ = ["RefusedError", "anthropic_error", "encode", "openai_error", "readable"]

encode = msgspec.json.Encoder().encode

_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MISSING = re.compile(r"missing required field `([^`]+)`")
_PATH = re.compile(r"at `\$\.([^`]+)`")


class RefusedError(Exception):
    """A request the demo provider answers with an HTTP error of its own."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after


def readable(error: Exception) -> RefusedError:
    """The 400 for a body msgspec could not decode."""
    text = str(error)
    if missing := _MISSING.search(text):
        return missing_parameter(missing[1])
    where = _PATH.search(text)
    param = where[1] if where else None
    if isinstance(error, RecursionError):
        text = "the body is nested too deeply"
    return RefusedError(400, f"Invalid body: {text}.", code="invalid_type", param=param)


def missing_parameter(name: str) -> RefusedError:
    """400: a required key is absent or empty."""
    message = f"Missing required parameter: '{name}'."
    return RefusedError(400, message, code="missing_required_parameter", param=name)


def openai_error(error: RefusedError) -> dict[str, Any]:
    """The inner OpenAI error object."""
    kind = _OPENAI_TYPES.get(error.status)
    if kind is None:
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code}


def anthropic_error(error: RefusedError, request_id: str) -> dict[str, Any]:
    """The whole Anthropic error body, also the data of a stream's `error` event."""
    kind = _ANTHROPIC_TYPES.get(error.status)
    if kind is None:
        kind = "api_error" if error.status >= 500 else "invalid_request_error"
    inner = {"type": kind, "message": error.message}
    return {"type": "error", "error": inner, "request_id": request_id}
