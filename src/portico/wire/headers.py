"""Which headers cross the gateway, in which direction. Names are lower-case bytes throughout.

Nothing crosses by default. Hop-by-hop fields and those named in `Connection` never do (RFC 9110,
section 7.6.1). Values with control characters are refused from a client and dropped from a
provider.
"""

import re
from collections.abc import Iterable, Mapping

from portico.errors import BadRequest

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_TRACE = frozenset({b"traceparent", b"tracestate"})
OPENAI_REQUEST = _TRACE | {b"idempotency-key", b"openai-beta", b"x-client-request-id"}
ANTHROPIC_REQUEST = _TRACE | {
    b"anthropic-beta",
    b"anthropic-version",
    b"idempotency-key",
    b"x-client-request-id",
}

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
RESPONSE_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
UPSTREAM_REQUEST_ID = b"x-portico-upstream-request-id"
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


def block(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """`name: value CRLF` for each pair. ValueError for what would break it."""
    lines = []
    for name, value in pairs:
        if not is_token(name) or has_control(value):
            raise ValueError("invalid header field")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


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
