"""Which headers cross the gateway, in which direction. Names are lower-case bytes throughout.

Nothing crosses by default. Hop-by-hop fields and those named in `Connection` never do (RFC 9110,
section 7.6.1). Values with control characters are refused from a client and dropped from a
provider.
"""

import re
from collections.abc import Mapping

from portico.errors import BadRequest

# Which headers the APIs and their SDKs give a meaning to. All links: 2026-11-21.

# https://www.w3.org/TR/trace-context/
TRACE = frozenset({b"traceparent", b"tracestate"})
# https://platform.openai.com/docs/api-reference/debugging-requests (x-client-request-id)
# https://github.com/openai/openai-python/blob/main/src/openai/_base_client.py (idempotency-key)
# https://github.com/openai/openai-python/tree/main/src/openai/resources/beta (openai-beta)
OPENAI_REQUEST = TRACE | {b"idempotency-key", b"openai-beta", b"x-client-request-id"}
# https://platform.claude.com/docs/en/api/versioning (anthropic-version)
# https://platform.claude.com/docs/en/api/beta-headers (anthropic-beta)
# https://github.com/anthropics/anthropic-sdk-python (_base_client.py, the others)
ANTHROPIC_REQUEST = TRACE | {
    b"anthropic-beta",
    b"anthropic-version",
    b"idempotency-key",
    b"x-client-request-id",
}

# https://platform.openai.com/docs/api-reference/debugging-requests (openai-*, x-ratelimit-*)
# https://github.com/openai/openai-python/blob/main/src/openai/_base_client.py (retry-after-ms,
# x-should-retry: both SDKs obey them); RFC 9110 section 10.2.3 (retry-after)
RESPONSE = frozenset(
    {
        b"openai-model",
        b"openai-processing-ms",
        b"openai-version",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
    }
)
# https://platform.claude.com/docs/en/api/rate-limits#response-headers
RESPONSE_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
UPSTREAM_REQUEST_ID = b"x-portico-upstream-request-id"
# `x-request-id` at OpenAI, `request-id` at https://platform.claude.com/docs/en/api/errors#request-id
_REQUEST_IDS = (b"x-request-id", b"request-id")

_HARMLESS = (b"keep-alive", b"close")  # what `Connection` nearly always says

has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
"""Truthy for bytes a field value may not hold; a tab may be there (RFC 9110, section 5.5)."""
is_token = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
"""Truthy for a valid field name (RFC 9110, section 5.6.2)."""
_NEVER = frozenset(
    {
        b"connection",
        b"content-length",
        b"content-type",
        b"date",
        b"keep-alive",
        b"server",
        b"transfer-encoding",
        b"vary",
    }
)
"""What nearly every answer has and never crosses."""


def named_in_connection(value: bytes) -> frozenset[bytes]:
    """The lower-case field names a `Connection` value lists."""
    return frozenset(name.strip().lower() for name in value.split(b","))


def forward_request(headers: Mapping[bytes, bytes], allowed: frozenset[bytes]) -> bytes:
    """The block of client headers that go upstream, sorted by name.

    Raises `BadRequest` (400, naming the header) for a control character in one of them.
    """
    if allowed.isdisjoint(headers):
        return b""
    names = [name for name in allowed if name in headers]
    connection = headers.get(b"connection")
    if connection is not None and connection not in _HARMLESS:
        hidden = named_in_connection(connection)
        names = [name for name in names if name not in hidden]
    names.sort()
    if has_control(b"".join([headers[name] for name in names])):
        wrong = next(name for name in names if has_control(headers[name]))
        raise BadRequest(
            f"Header '{wrong.decode('ascii')}' holds a control character.", code="invalid_header"
        )
    return b"".join([b"%b: %b\r\n" % (name, headers[name]) for name in names])


def forward_response(headers: Mapping[bytes, bytes]) -> bytes:
    """The block of provider headers that go to the client, in their order.

    `content-type` and the framing are the caller's. The provider's own request id becomes
    `x-portico-upstream-request-id`. What is not allowed, or is malformed, is left out.
    """
    if headers.keys() <= _NEVER:
        return b""
    lines = []
    hidden: frozenset[bytes] = frozenset()
    request_id = b""
    for name, value in headers.items():
        if name in RESPONSE or (name.startswith(RESPONSE_PREFIXES) and is_token(name)):
            lines.append((name, value))
        elif name in _REQUEST_IDS:
            request_id = request_id or value
        elif name == b"connection" and value not in _HARMLESS:
            hidden |= named_in_connection(value)
    if request_id:
        lines.append((UPSTREAM_REQUEST_ID, request_id))
    if hidden:
        lines = [line for line in lines if line[0] not in hidden]
    if has_control(b"".join([line[1] for line in lines])):
        lines = [line for line in lines if not has_control(line[1])]
    return b"".join([b"%b: %b\r\n" % line for line in lines])
