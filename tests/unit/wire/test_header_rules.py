"""Only allow-listed headers cross, and none that could break the head of a message."""

import pytest

from portico.errors import BadRequest
from portico.wire.headers import (
    ANTHROPIC_REQUEST,
    OPENAI_REQUEST,
    RESPONSE,
    forward_request,
    forward_response,
    is_token,
)

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
"""RFC 9110 section 7.6.1, and what clients send besides."""

CLIENT = {
    b"host": b"gw",
    b"authorization": b"Bearer pk",
    b"x-api-key": b"pk",
    b"cookie": b"c",
    b"x-forwarded-for": b"1.2.3.4",
    b"x-portico-caller": b"root",
    b"user-agent": b"sdk",
    b"openai-beta": b"assistants=v2",
    b"openai-organization": b"org",
    b"anthropic-beta": b"a,b",
    b"anthropic-version": b"2023-06-01",
    b"traceparent": b"00-1-2-01",
    b"content-length": b"10",
}


def test_each_family_forwards_its_own_headers_sorted() -> None:
    assert forward_request(CLIENT, OPENAI_REQUEST) == (
        b"openai-beta: assistants=v2\r\ntraceparent: 00-1-2-01\r\n"
    )
    assert forward_request(CLIENT, ANTHROPIC_REQUEST) == (
        b"anthropic-beta: a,b\r\nanthropic-version: 2023-06-01\r\ntraceparent: 00-1-2-01\r\n"
    )


def test_few_or_no_headers_are_fine() -> None:
    assert forward_request({}, OPENAI_REQUEST) == b""
    assert forward_request({b"traceparent": b"x"}, OPENAI_REQUEST) == b"traceparent: x\r\n"


def test_headers_named_in_connection_are_not_forwarded() -> None:
    headers = {**CLIENT, b"connection": b"keep-alive, Traceparent"}
    assert forward_request(headers, OPENAI_REQUEST) == b"openai-beta: assistants=v2\r\n"


def test_nothing_allowed_is_hop_by_hop_or_a_credential() -> None:
    for allowed in (OPENAI_REQUEST, ANTHROPIC_REQUEST, RESPONSE):
        assert not allowed & (HOP_BY_HOP | {b"authorization", b"x-api-key", b"cookie", b"host"})
        assert all(is_token(name) and name == name.lower() for name in allowed)


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\0b", b"\x7f", b"\x1b[2J"])
def test_control_characters_from_a_client_are_a_400_that_names_the_header(value: bytes) -> None:
    with pytest.raises(BadRequest, match="'anthropic-beta'"):
        forward_request({**CLIENT, b"anthropic-beta": value}, ANTHROPIC_REQUEST)
    forward_request({**CLIENT, b"anthropic-beta": value}, OPENAI_REQUEST)


def test_only_allowed_response_headers_reach_the_client() -> None:
    upstream = [
        (b"content-type", b"application/json"),
        (b"set-cookie", b"c=1"),
        (b"transfer-encoding", b"chunked"),
        (b"alt-svc", b"h3"),
        (b"openai-organization", b"org-1"),
        (b"anthropic-organization-id", b"org-2"),
        (b"openai-processing-ms", b"12"),
        (b"retry-after", b"2"),
        (b"x-ratelimit-remaining-tokens", b"5"),
        (b"anthropic-ratelimit-requests-limit", b"6"),
        (b"x-request-id", b"req_1"),
        (b"request-id", b"req_2"),
        (b"x-should-retry", b"true"),
        (b"connection", b"close, x-ratelimit-secret"),
        (b"x-ratelimit-secret", b"1"),
    ]
    assert forward_response(dict(upstream)) == (
        b"openai-processing-ms: 12\r\nretry-after: 2\r\nx-ratelimit-remaining-tokens: 5\r\n"
        b"anthropic-ratelimit-requests-limit: 6\r\nx-should-retry: true\r\n"
        b"x-portico-upstream-request-id: req_1\r\n"
    )


def test_malformed_response_headers_are_dropped_and_the_rest_kept() -> None:
    upstream = [
        (b"x-ratelimit-a\r\nset-cookie: x", b"1"),
        (b"x-ratelimit-b", b"1\r\nset-cookie: x"),
        (b"x-ratelimit-c d", b"1"),
        (b"x-request-id", b"a\0b"),
        (b"retry-after", b"1"),
    ]
    assert forward_response(dict(upstream)) == b"retry-after: 1\r\n"
