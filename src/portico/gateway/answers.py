"""Heads and bodies of the answers the gateway makes itself."""

import re

from portico.dialects.base import Dialect
from portico.errors import (
    ClientFault,
    MethodNotAllowed,
    PolicyDenied,
    PorticoError,
    UpstreamFault,
)
from portico.http.messages import Reply
from portico.model.outcome import Verdict
from portico.wire.header_rules import ResponseRules

JSON = b"content-type: application/json\r\n"


X_REQUEST_ID = b"x-request-id"
_NOT_A_DELAY = re.compile(r"[^ -~]+")
_LONGEST_DELAY = 64


def request_id_header(dialect: Dialect, request_id: str) -> bytes:
    """`x-request-id`, and the same under the dialect's own name if that is another."""
    value = request_id.encode("ascii")
    line = b"x-request-id: %b\r\n" % value
    name = dialect.request_id_header
    return line if name == X_REQUEST_ID else b"%b%b: %b\r\n" % (line, name, value)


def send_error(
    reply: Reply,
    dialect: Dialect,
    error: PorticoError,
    request_id: str,
    more: bytes = b"",
    rules: ResponseRules | None = None,
) -> int:
    """Write `error` as an HTTP answer in the client's dialect: the provider's own bytes where those
    are that. `more` are further header lines, `rules` what the operator changes. Returns the body's
    size."""
    headers = error_headers(dialect, error, request_id) + more
    if error.verbatim is not None:
        block, body = error.verbatim
        headers += block
    else:
        body = dialect.encode_error(error, request_id)
    if rules is not None:
        headers = rules.apply(headers)
    reply.send(error.http_status, headers, body)
    return len(body)


def error_headers(dialect: Dialect, error: PorticoError, request_id: str) -> bytes:
    """The header block of an error answer."""
    headers = JSON + request_id_header(dialect, request_id)
    if error.retryable is not None:
        headers += b"x-should-retry: true\r\n" if error.retryable else b"x-should-retry: false\r\n"
    written = error.verbatim is not None and b"retry-after: " in error.verbatim[0]
    if error.retry_after is not None and not written:  # some come out of a provider's body
        delay = _NOT_A_DELAY.sub("", error.retry_after)[:_LONGEST_DELAY]
        headers += b"retry-after: %b\r\n" % delay.encode("ascii")
    if error.http_status == 401:
        headers += b'www-authenticate: Bearer realm="portico"\r\n'
    elif isinstance(error, MethodNotAllowed) and error.allowed:
        headers += b"allow: %b\r\n" % error.allowed.encode("ascii")
    return headers


def verdict(error: PorticoError) -> Verdict:
    """Whose doing an error is, for the record."""
    if isinstance(error, ClientFault):
        return "client_error"
    if isinstance(error, PolicyDenied):
        return "denied"
    return "upstream_error" if isinstance(error, UpstreamFault) else "internal_error"
