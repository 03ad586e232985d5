"""The checks on a request head that llhttp leaves to us."""

import pytest

from portico.http.strict import (
    has_body,
    head_fault,
    repeated,
    split_target,
    trailer_fault,
    without_upgrade,
)

_HOST = {b"host": b"a"}


@pytest.mark.parametrize(
    "host",
    [b"a", b"A.b-c_d~e", b"a:1", b"a:65535", b"127.0.0.1:80", b"[::1]", b"[::ffff:1.2.3.4]:8080",
     b"", b"xn--bcher-kva.example", b"a%20b", b"a,b"],
)  # fmt: skip
def test_a_host_is_a_name_with_an_optional_port(host: bytes) -> None:
    assert head_fault("1.1", {b"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [b"a/b", b"a?b", b"a#b", b"a@b", b"a b", b"a\tb", b"a\\b", b"a:", b"a:b", b"a:123456", b"a:1:2",
     b"::1", b"[::1", b"[g::1]", b"[::1%25eth0]", b"http://a", b"\xe4", b"<a>", b'"a"', b"a\n"],
)  # fmt: skip
def test_anything_else_is_no_host(host: bytes) -> None:
    fault = head_fault("1.1", {b"host": host})
    assert fault is not None
    assert "Host" in fault


@pytest.mark.parametrize(
    ("version", "headers", "word"),
    [
        ("1.1", {}, "Host"),
        ("1.2", _HOST, "HTTP/1.1"),
        ("2.0", _HOST, "HTTP/1.1"),
        ("0.9", _HOST, "HTTP/1.1"),
        ("1.0", {**_HOST, b"transfer-encoding": b"chunked"}, "HTTP/1.0"),
        ("1.1", {**_HOST, b"transfer-encoding": b"Chunked"}, "chunked"),
        ("1.1", {**_HOST, b"transfer-encoding": b"gzip, chunked"}, "chunked"),
        ("1.1", {**_HOST, b"transfer-encoding": b""}, "chunked"),
        ("1.1", {**_HOST, b"content-length": b"+1"}, "number"),
        ("1.1", {**_HOST, b"content-length": b""}, "number"),
        ("1.1", {**_HOST, b"content-length": b"1 "}, "number"),
        ("1.1", {**_HOST, b"content-length": b"\xd9\xa1"}, "number"),
        ("1.1", {**_HOST, b"content-length": b"\xb2"}, "number"),
    ],
)
def test_a_doubtful_head_is_refused_with_its_reason(
    version: str, headers: dict[bytes, bytes], word: str
) -> None:
    fault = head_fault(version, headers)
    assert fault is not None
    assert word in fault


def test_a_plain_head_is_not() -> None:
    assert head_fault("1.0", {}) is None
    assert head_fault("1.1", {**_HOST, b"content-length": b"007"}) is None
    assert head_fault("1.1", {**_HOST, b"transfer-encoding": b"chunked"}) is None


@pytest.mark.parametrize(
    ("url", "host", "parts"),
    [
        (b"/", b"a", (b"/", b"")),
        (b"/x", None, (b"/x", b"")),
        (b"/x?", b"a", (b"/x", b"")),
        (b"/x?a=b?c", b"a", (b"/x", b"a=b?c")),
        (b"/%2e%2e//;\\", b"a", (b"/%2e%2e//;\\", b"")),
        (b"//host/x", b"a", (b"//host/x", b"")),
        (b"http://a/x?y", b"a", (b"/x", b"y")),
        (b"HTTPS://a:1/", b"a:1", (b"/", b"")),
        (b"http://b/x", b"a", None),
        (b"http://a:80/x", b"a", None),
        (b"http://a/x", None, None),
        (b"http://a", b"a", None),
        (b"http:///x", b"a", None),
        (b"ws://a/x", b"a", None),
        (b"a:443", b"a:443", None),
        (b"*", b"a", None),
        (b"x", b"a", None),
        (b"", b"a", None),
        (b"/x#y", b"a", None),
        (b"/x y", b"a", None),
        (b"/\xc3\xa4", b"a", None),
        (b"/\x7f", b"a", None),
        (b"/x\n", b"a", None),
    ],
)
def test_a_target_is_a_path_of_the_host(
    url: bytes, host: bytes | None, parts: tuple[bytes, bytes] | None
) -> None:
    assert split_target(url, host) == parts


@pytest.mark.parametrize("name", [b"host", b"content-length", b"transfer-encoding",
                                  b"authorization", b"x-api-key", b"content-type",
                                  b"content-encoding", b"expect"])  # fmt: skip
def test_fields_that_decide_who_and_what_come_once_and_never_as_trailers(name: bytes) -> None:
    headers = {name: b"a"}
    assert repeated(headers, name, b"a") is not None
    assert headers == {name: b"a"}
    assert trailer_fault({b"x": b"", name: b"a"}) is not None


def test_other_fields_are_joined_in_order() -> None:
    headers = {b"accept": b"a"}
    assert repeated(headers, b"accept", b"b") is None
    assert headers == {b"accept": b"a, b"}
    assert trailer_fault({b"x-checksum": b"1"}) is None


def test_a_head_without_its_upgrade_is_the_same_head() -> None:
    headers = {b"host": b"a", b"connection": b"Upgrade", b"upgrade": b"h2c", b"x": b"1, 2"}
    head = without_upgrade(b"POST", b"/x?y", "1.1", headers)
    assert head == b"POST /x?y HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nx: 1, 2\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({b"content-length": b"0"}, False),
        ({b"content-length": b"1"}, True),
        ({b"transfer-encoding": b"chunked"}, True),
    ],
)
def test_a_body_is_announced_by_length_or_coding(
    headers: dict[bytes, bytes], expected: bool
) -> None:
    assert has_body(headers) is expected
