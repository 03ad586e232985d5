"""The error object of the OpenAI family, shared by the chat and responses dialects.

`{"error": {"message", "type", "param", "code"}}`, all four always present. Source: OpenAI
OpenAPI, schema `Error`; https://platform.openai.com/docs/guides/error-codes (2026-11).
"""

from msgspec import Raw, Struct, json

from portico.dialects.counts import UNREADABLE
from portico.errors import PorticoError
from portico.wire.text import scrub

# Status to `type`. Other 4xx are invalid_request_error, everything from 500 is server_error.
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class _Body(Struct):
    error: Raw


class _Error(Struct):
    """What a client may rely on. The keys have to be there, null or not."""

    message: str
    type: str
    param: str | None
    code: str | None


_decode_body = json.Decoder(_Body).decode
_decode_error = json.Decoder(_Error).decode
_encode = json.Encoder().encode


def error_object(fault: PorticoError) -> dict[str, str | None]:
    """The inner object: message, type, param, code."""
    status = fault.http_status
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": fault.message, "type": kind, "param": fault.param, "code": fault.code}


def encode_error(fault: PorticoError, request_id: str) -> bytes:
    """The body of an error answer. The request id travels in its header only."""
    return _encode({"error": error_object(fault)})


def is_envelope(body: bytes) -> bool:
    """Whether an upstream body is a whole OpenAI error that holds nothing to be masked."""
    try:
        error = _decode_error(_decode_body(body).error)
        written = body.decode()
    except UNREADABLE:
        return False
    return bool(error.message) and scrub(written) == written
