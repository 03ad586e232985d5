"""Errors of a Responses provider: HTTP answers, `error` events, and responses that failed.

An error inside a 200 has no status. It is found by its code, else by its type, so that a rate
limit stays a rate limit. Source: OpenAI OpenAPI, `ResponseErrorCode`; openai-python 3.54.
"""

from typing import Any

import msgspec

from portico.dialects import upstream_error
from portico.dialects.counts import UNREADABLE
from portico.errors import UpstreamAuth, UpstreamFault, UpstreamRejected
from portico.wire.json import encode

# https://platform.openai.com/docs/guides/error-codes and, for the last rows of each group, what
# OpenRouter and Azure send: https://openrouter.ai/docs/api_reference/responses/error-handling
# 2026-11-21
CODES = {
    "rate_limit_exceeded": 429, "insufficient_quota": 429, "too_many_requests": 429,
    "server_error": 500, "internal_error": 500, "model_error": 500,
    "server_overloaded": 503, "overloaded": 503, "service_unavailable": 503,
    "slow_down": 503, "vector_store_timeout": 504, "timeout": 504,
    "invalid_api_key": 401, "authentication_error": 401, "permission_denied": 403,
    "model_not_found": 404, "not_found": 404,
    "context_length_exceeded": 400, "invalid_prompt": 400, "invalid_value": 400,
    "content_filter": 400, "content_policy_violation": 400, "bio_policy": 400,
    "cyber_policy_violation": 400, "misalignment_policy_violation": 400,
    "data_residency_mismatch": 400, "invalid_encrypted_content": 400,
    "invalid_image": 400, "invalid_image_format": 400, "invalid_base64_image": 400,
    "invalid_image_url": 400, "invalid_image_mode": 400, "image_too_large": 400,
    "image_too_small": 400, "image_parse_error": 400, "image_content_policy_violation": 400,
    "image_file_too_large": 400, "unsupported_image_media_type": 400, "empty_image_file": 400,
    "failed_to_download_image": 400, "image_file_not_found": 400, "unsupported_file": 400,
}  # fmt: skip
TYPES = {
    "invalid_request_error": 400, "invalid_request": 400, "authentication_error": 401,
    "permission_error": 403, "not_found_error": 404, "not_found": 404, "rate_limit_error": 429,
    "insufficient_quota": 429, "tokens": 429, "requests": 429, "too_many_requests": 429,
    "server_error": 500, "api_error": 500, "model_error": 500, "overloaded_error": 503,
}  # fmt: skip
_UNKNOWN = 500
_LONGEST_RETRY = 64


def read_error(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamFault:
    """A typed error from an error answer: status, code, param and `retry-after` are kept."""
    fault = upstream_error.read_error(status, body)
    retry = headers.get(b"retry-after")
    if retry is not None and len(retry) < _LONGEST_RETRY and type(fault) is UpstreamRejected:
        fault.retry_after = retry.decode("latin-1").strip()
    return fault


def fault_of(data: bytes) -> UpstreamFault:
    """A typed error from JSON text: an error object, or an object that holds one at `error`."""
    try:
        value = msgspec.json.decode(data)
    except UNREADABLE:
        value = None
    outer = value if isinstance(value, dict) else {"message": value}
    inner = outer.get("error")
    if isinstance(inner, str):
        inner = {"message": inner}
    error = inner if isinstance(inner, dict) else outer
    fault = upstream_error.read_error(_status(outer, error), encode(error))
    if not error.get("message") and not isinstance(fault, UpstreamAuth):
        fault.message = "The provider failed to answer and did not say why."
    return fault


def _status(outer: dict[str, Any], error: dict[str, Any]) -> int:
    code = error.get("code")
    for number in (code, outer.get("status")):
        if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) == 3:
            number = int(number)  # noqa: PLW2901
        if isinstance(number, int) and 400 <= number < 600:
            return number
    kind = error.get("type")
    found = CODES.get(code) if isinstance(code, str) else None
    if found is None and isinstance(kind, str):
        found = TYPES.get(kind, CODES.get(kind))
    return found or _UNKNOWN
