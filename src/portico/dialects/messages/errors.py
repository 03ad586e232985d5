"""Errors in the Anthropic Messages dialect.

`{"type": "error", "error": {"type", "message"}, "request_id"}`. Source:
https://platform.claude.com/docs/en/api/errors (2026-11).
"""

from msgspec import Raw, Struct, json

from portico.dialects.counts import UNREADABLE
from portico.dialects.upstream_error import read_error
from portico.errors import BadRequest, PorticoError
from portico.wire.text import scrub

__all__ = ["encode_error", "error_object", "is_envelope", "read_error"]

# Status to `error.type`. Other 4xx are invalid_request_error, everything else is api_error.
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Error(Struct):
    type: str
    message: str


class _Body(Struct):
    type: str
    error: Raw


_decode_body = json.Decoder(_Body).decode
_decode_error = json.Decoder(_Error).decode
_encode = json.Encoder().encode


def error_object(fault: PorticoError) -> dict[str, str]:
    """The inner object: type and message. There is no place for `param` and `code`: as Anthropic
    does, the message of a request that is wrong begins with where it is."""
    status = fault.http_status
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    message = fault.message
    if isinstance(fault, BadRequest) and fault.param and fault.param not in message:
        message = f"{fault.param}: {message}"
    return {"type": kind, "message": message}


def encode_error(fault: PorticoError, request_id: str) -> bytes:
    """The body of an error answer."""
    return _encode({"type": "error", "error": error_object(fault), "request_id": request_id})


def is_envelope(body: bytes) -> bool:
    """Whether an upstream body is a whole Anthropic error that holds nothing to be masked."""
    try:
        outer = _decode_body(body)
        error = _decode_error(outer.error)
        written = body.decode()
    except UNREADABLE:
        return False
    whole = outer.type == "error" and bool(error.message) and bool(error.type)
    return whole and scrub(written) == written
