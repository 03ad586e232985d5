"""Requests that two readers could understand differently, as raw bytes (reliability.md, section C).

Every vector is a whole attack, smuggled second request included where there is room for one. All
carry a valid key, so that a refusal is about the framing. `statuses` is what the answer may be; a
vector never reaches a provider.
"""

from dataclasses import dataclass

from tests.support.gateway import CALLER_KEY

PATH = b"/v1/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
AUTH = b"Authorization: Bearer " + CALLER_KEY.encode()
HOST = b"Host: test"
JSON = b"Content-Type: application/json"
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: 57\r\n\r\n" + BODY
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"Content-Length: %d" % len(BODY)
TE = b"Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Vector:
    """One attack. `group` is the case of reliability.md it belongs to."""

    group: str
    name: str
    raw: bytes
    statuses: tuple[int, ...] = (400,)

    def __str__(self) -> str:
        return f"{self.group}-{self.name}"


def post(
    *lines: bytes,
    body: bytes = b"",
    target: bytes = PATH,
    version: bytes = b"HTTP/1.1",
    host: bytes | None = HOST,
) -> bytes:
    """A POST with those extra header lines."""
    head = [b"POST %b %b" % (target, version), *([host] if host is not None else []), AUTH, JSON]
    return b"\r\n".join([*head, *lines, b"", b""]) + body


def _set(group: str, **raws: bytes) -> list[Vector]:
    return [Vector(group, name.replace("_", "-"), raw) for name, raw in raws.items()]


def _coded(group: str, values: dict[str, bytes]) -> list[Vector]:
    """A transfer coding, with a body that is chunked and followed by a second request."""
    return [
        Vector(group, name, post(b"Transfer-Encoding:" + value, body=CHUNKED + SMUGGLED))
        for name, value in values.items()
    ]


def _sized(values: dict[str, bytes]) -> list[Vector]:
    return [
        Vector("C3", name, post(b"Content-Length:" + value, body=BODY + SMUGGLED))
        for name, value in values.items()
    ]


def _chunks(values: dict[str, bytes]) -> list[Vector]:
    return [Vector("C5", name, post(TE, body=body)) for name, body in values.items()]


def _headers(values: dict[str, bytes]) -> list[Vector]:
    return [
        Vector("C6", name, post(line, LENGTH, body=BODY + SMUGGLED))
        for name, line in values.items()
    ]


def _hosts(values: dict[str, bytes]) -> list[Vector]:
    return [
        Vector("C7", name, post(LENGTH, host=b"Host: " + host, body=BODY))
        for name, host in values.items()
    ]


def _targets(values: dict[str, tuple[bytes, bytes]]) -> list[Vector]:
    return [
        Vector("C7", name, post(LENGTH, target=target, host=b"Host: " + host, body=BODY))
        for name, (target, host) in values.items()
    ]


def _versions(values: dict[str, bytes]) -> list[Vector]:
    return [
        Vector("C8", name, post(LENGTH, version=version, body=BODY))
        for name, version in values.items()
    ]


def _paths(*paths: str) -> list[Vector]:
    return [
        Vector("C9", path, post(LENGTH, target=path.encode("latin-1"), body=BODY), (400, 404))
        for path in paths
    ]


def _trailers(*lines: bytes) -> list[Vector]:
    last = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    return [
        Vector("C10", line.decode("latin-1"), post(TE, body=last + line + b"\r\n\r\n"))
        for line in lines
    ]


_SIZE = b"%x" % len(BODY)

VECTORS: list[Vector] = [
    *_set(
        "C1",
        length_then_coding=post(LENGTH, TE, body=CHUNKED + SMUGGLED),
        coding_then_length=post(TE, LENGTH, body=CHUNKED + SMUGGLED),
        zero_length_and_coding=post(b"Content-Length: 0", TE, body=CHUNKED + SMUGGLED),
        short_length_and_coding=post(b"Content-Length: 4", TE, body=CHUNKED + SMUGGLED),
        upper_case=post(b"CONTENT-LENGTH: 57", b"TRANSFER-ENCODING: chunked", body=CHUNKED),
        lower_case=post(b"content-length: 57", b"transfer-encoding: chunked", body=CHUNKED),
        coding_cased=post(LENGTH, b"Transfer-Encoding: Chunked", body=CHUNKED + SMUGGLED),
        coding_tabbed=post(LENGTH, b"Transfer-Encoding:\tchunked", body=CHUNKED + SMUGGLED),
        coding_unknown=post(LENGTH, b"Transfer-Encoding: gzip", body=BODY + SMUGGLED),
        coding_identity=post(LENGTH, b"Transfer-Encoding: identity", body=BODY + SMUGGLED),
        coding_empty=post(LENGTH, b"Transfer-Encoding:", body=BODY + SMUGGLED),
        far_apart=post(LENGTH, b"X-A: 1", b"X-B: 2", TE, body=CHUNKED + SMUGGLED),
        old_version=post(LENGTH, TE, body=CHUNKED, version=b"HTTP/1.0"),
    ),
    *_set(
        "C2",
        equal=post(LENGTH, LENGTH, body=BODY + SMUGGLED),
        different=post(LENGTH, b"Content-Length: 4", body=BODY + SMUGGLED),
        different_reversed=post(b"Content-Length: 4", LENGTH, body=BODY + SMUGGLED),
        other_case=post(LENGTH, b"content-LENGTH: 57", body=BODY + SMUGGLED),
        far_apart=post(LENGTH, b"X-A: 1", b"X-B: 2", LENGTH, body=BODY + SMUGGLED),
        three=post(LENGTH, LENGTH, LENGTH, body=BODY + SMUGGLED),
        one_empty=post(LENGTH, b"Content-Length:", body=BODY + SMUGGLED),
        zero_first=post(b"Content-Length: 0", LENGTH, body=BODY + SMUGGLED),
    ),
    *_sized(
        {
            "plus": b" +57",
            "minus": b" -57",
            "minus-zero": b" -0",
            "list": b" 57,57",
            "list-spaced": b" 57, 57",
            "list-different": b" 57, 4",
            "list-trailing": b" 57,",
            "two-numbers": b" 5 7",
            "hexadecimal": b" 0x39",
            "hexadecimal-bare": b" 3a",
            "octal": b" 0o71",
            "decimal-point": b" 57.0",
            "exponent": b" 57e0",
            "underscore": b" 5_7",
            "20-digits": b" 99999999999999999999",
            "65-bits": b" 18446744073709551616",
            "65-bits-wrapped": b" 18446744073709551673",
            "empty": b"",
            "blank": b"   ",
            "word": b" fifty",
            "quoted": b' "57"',
            "parameter": b" 57;a=b",
            "full-width-digits": b" \xef\xbc\x95\xef\xbc\x97",
            "superscript": b"\xe2\x81\xb5\xe2\x81\xb7",
            "vertical-tab": b"\x0b57",
            "form-feed": b" 57\x0c",
            "nul": b" 57\x00",
            "nul-inside": b" 5\x007",
            "newline": b" 57\n",
            "folded": b"\r\n 57",
            "folded-tail": b" 5\r\n 7",
            "comment": b" 57 (bytes)",
            "space-behind": b" 57 ",  # legal, but not the same to everybody
        }
    ),
    Vector("C3", "19-digits", post(b"Content-Length: 9223372036854775808", body=BODY), (400, 413)),
    *_coded(
        "C4",
        {
            "xchunked": b" xchunked",
            "chunkedx": b" chunkedx",
            "upper-case": b" CHUNKED",
            "mixed-case": b" Chunked",
            "chunked-identity": b" chunked, identity",
            "identity-chunked": b" identity, chunked",
            "identity": b" identity",
            "chunked-twice": b" chunked, chunked",
            "chunked-twice-bare": b" chunked,chunked",
            "gzip": b" gzip",
            "gzip-chunked": b" gzip, chunked",
            "chunked-gzip": b" chunked, gzip",
            "deflate": b" deflate",
            "vertical-tab": b"\x0bchunked",
            "form-feed": b" \x0cchunked",
            "vertical-tab-behind": b" chunked\x0b",
            "nul": b" chunked\x00",
            "quoted": b' "chunked"',
            "single-quoted": b" 'chunked'",
            "parameter": b" chunked;q=1",
            "split-word": b" chun ked",
            "comma-before": b" ,chunked",
            "comma-behind": b" chunked,",
            "empty": b"",
            "blank": b"   ",
            "trailers": b" trailers",
            "no-break-space": b" \xa0chunked",
            "long-s": b" chunKed",
            "two-lines": b" chunked\r\nTransfer-Encoding: chunked",
            "two-lines-identity": b" chunked\r\nTransfer-Encoding: identity",
            "two-lines-identity-first": b" identity\r\nTransfer-Encoding: chunked",
            "two-lines-cased": b" chunked\r\ntransfer-ENCODING: x",
            "folded": b"\r\n chunked",
            "folded-tab": b"\r\n\tchunked",
            "bare-lf": b" chunked\nX: y",
        },
    ),
    *_set(
        "C4",
        name_with_space=post(b"Transfer-Encoding : chunked", body=CHUNKED),
        name_with_tab=post(b"Transfer-Encoding\t: chunked", body=CHUNKED),
        name_with_underscore_and_length=post(
            b"Content-Length: +4", b"Transfer_Encoding: chunked", body=CHUNKED
        ),
        name_with_nul=post(b"Transfer-Encoding\x00: chunked", body=CHUNKED),
        name_with_space_before=post(b" Transfer-Encoding: chunked", body=CHUNKED),
        old_version=post(TE, body=CHUNKED, version=b"HTTP/1.0"),
    ),
    *_chunks(
        {
            "overflow-17": b"F" * 17 + b"\r\n" + BODY,
            "overflow-32": b"1" + b"0" * 32 + b"\r\n" + BODY,
            "negative": b"-1\r\n" + BODY,
            "plus": b"+" + CHUNKED,
            "prefix-0x": b"0x" + CHUNKED,
            "space-before": b" " + CHUNKED,
            "tab-before": b"\t" + CHUNKED,
            "space-behind": _SIZE + b" \r\n" + BODY + b"\r\n0\r\n\r\n",
            "tab-behind": _SIZE + b"\t\r\n" + BODY + b"\r\n0\r\n\r\n",
            "empty-size": b"\r\n" + BODY + b"\r\n0\r\n\r\n",
            "not-hex": b"g\r\n" + BODY + b"\r\n0\r\n\r\n",
            "underscore": b"3_9\r\n" + BODY + b"\r\n0\r\n\r\n",
            "comma": b"39,\r\n" + BODY + b"\r\n0\r\n\r\n",
            "bare-lf-behind-size": _SIZE + b"\n" + BODY + b"\r\n0\r\n\r\n",
            "bare-cr-behind-size": _SIZE + b"\r" + BODY + b"\r\n0\r\n\r\n",
            "bare-lf-behind-data": _SIZE + b"\r\n" + BODY + b"\n0\r\n\r\n",
            "bare-cr-behind-data": _SIZE + b"\r\n" + BODY + b"\r0\r\n\r\n",
            "nothing-behind-data": _SIZE + b"\r\n" + BODY + b"0\r\n\r\n",
            "data-longer": b"38\r\n" + BODY + b"\r\n0\r\n\r\n",
            "data-shorter": b"3a\r\n" + BODY + b"\r\n0\r\n\r\n",
            "extension-with-lf": _SIZE + b";a\nb\r\n" + BODY + b"\r\n0\r\n\r\n",
            "extension-with-cr": _SIZE + b";a\rb\r\n" + BODY + b"\r\n0\r\n\r\n",
            "extension-with-nul": _SIZE + b";a\x00\r\n" + BODY + b"\r\n0\r\n\r\n",
            "extension-ends-in-lf": _SIZE + b";a\n" + BODY + b"\r\n0\r\n\r\n",
            "extension-without-name": _SIZE + b" ;\n" + BODY + b"\r\n0\r\n\r\n",
            "last-bare-lf": _SIZE + b"\r\n" + BODY + b"\r\n0\n\n",
            "last-crlf-lf": _SIZE + b"\r\n" + BODY + b"\r\n0\r\n\n" + SMUGGLED,
            "last-lf-crlf": _SIZE + b"\r\n" + BODY + b"\r\n0\n\r\n" + SMUGGLED,
            "last-crcrlf": _SIZE + b"\r\n" + BODY + b"\r\n0\r\r\n" + SMUGGLED,
            "extension-1-MiB": _SIZE + b";a=" + b"b" * 2**20 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
        }
    ),
    *_headers(
        {
            "bare-cr": b"X-A: a\rX-B: b",
            "bare-cr-in-value": b"X-A: a\rb",
            "bare-lf": b"X-A: a\nX-B: b",
            "cr-cr-lf": b"X-A: a\r",
            "nul-in-value": b"X-A: a\x00b",
            "nul-in-name": b"X-\x00A: a",
            "control-in-value": b"X-A: a\x01b",
            "escape-in-value": b"X-A: a\x1bb",
            "delete-in-value": b"X-A: a\x7fb",
            "backspace-in-name": b"X\x08A: a",
            "fold-space": b"X-A: a\r\n b",
            "fold-tab": b"X-A: a\r\n\tb",
            "fold-empty": b"X-A:\r\n b",
            "space-before-colon": b"X-A : a",
            "tab-before-colon": b"X-A\t: a",
            "empty-name": b": a",
            "only-colon": b":",
            "no-colon": b"X-A",
            "space-in-name": b"X A: a",
            "leading-space": b" X-A: a",
            "leading-tab": b"\tX-A: a",
            "paren-in-name": b"X(A): a",
            "at-in-name": b"X@A: a",
            "bracket-in-name": b"X[A]: a",
            "slash-in-name": b"X/A: a",
            "quote-in-name": b'X"A: a',
            "comma-in-name": b"X,A: a",
            "utf8-in-name": "X-Ä: a".encode(),
            "latin-in-name": b"X-\xe4: a",
            "content-length-with-nul": b"Content-Length\x00: 4",
            "authorization-twice": AUTH,
            "authorization-other-case": b"AUTHORIZATION: Bearer other",
            "content-type-twice": b"Content-type: text/plain",
            "key-header-twice": b"x-api-key: a\r\nX-Api-Key: b",
            "expect-twice": b"Expect: 100-continue\r\nExpect: 100-continue",
            "content-encoding-twice": b"Content-Encoding: gzip\r\nContent-Encoding: gzip",
        }
    ),
    Vector("C6", "head-of-bare-lf", post(LENGTH, body=BODY).replace(b"\r\n", b"\n")),
    Vector("C6", "request-line-of-bare-lf", post(LENGTH, body=BODY).replace(b"\r\n", b"\n", 1)),
    Vector("C6", "request-line-of-bare-cr", post(LENGTH, body=BODY).replace(b"\r\n", b"\r", 1)),
    Vector("C6", "blank-line-of-bare-lf", post(LENGTH).removesuffix(b"\r\n") + b"\n" + BODY),
    Vector("C6", "blank-line-of-bare-cr", post(LENGTH).removesuffix(b"\r\n") + b"\r" + BODY),
    Vector("C7", "no-host", post(LENGTH, host=None, body=BODY)),
    Vector("C7", "two-hosts", post(b"Host: other", LENGTH, body=BODY)),
    Vector("C7", "two-hosts-equal", post(HOST, LENGTH, body=BODY)),
    Vector("C7", "two-hosts-cased", post(b"hOST: test", LENGTH, body=BODY)),
    *_hosts(
        {
            "bad-host": b"a/health?x=",
            "path": b"a/b",
            "query": b"a?b",
            "fragment": b"a#b",
            "userinfo": b"user@a",
            "backslash": b"a\\b",
            "space": b"a b",
            "tab": b"a\tb",
            "url": b"http://a",
            "quoted": b'"a"',
            "angle": b"<a>",
            "port-word": b"a:b",
            "port-6-digits": b"a:123456",
            "port-negative": b"a:-1",
            "two-ports": b"a:1:2",
            "bracket-open": b"[::1",
            "bracket-close": b"::1]",
            "bare-ipv6": b"::1",
            "zone": b"[fe80::1%25eth0]",
            "utf8": "tëst".encode(),
        }
    ),
    *_targets(
        {
            "absolute-other-host": (b"http://other" + PATH, b"test"),
            "absolute-other-port": (b"http://test:81" + PATH, b"test"),
            "absolute-userinfo": (b"http://a@test" + PATH, b"test"),
            "absolute-prefix": (b"http://test.evil" + PATH, b"test"),
            "absolute-no-slash": (b"http://test", b"test"),
            "absolute-no-host": (b"http://" + PATH, b"test"),
            "absolute-query": (b"http://test?" + PATH, b"test"),
            "absolute-ftp": (b"ftp://test" + PATH, b"test"),
            "absolute-file": (b"file://" + PATH, b"test"),
            "no-slash": (PATH[1:], b"test"),
            "asterisk": (b"*", b"test"),
            "authority": (b"test:80", b"test"),
            "target-fragment": (PATH + b"#x", b"test"),
            "fragment-in-query": (PATH + b"?a#x", b"test"),
            "raw-utf8": (PATH + "ä".encode(), b"test"),
            "nul": (PATH + b"\x00", b"test"),
            "target-tab": (PATH + b"\tx", b"test"),
            "delete": (PATH + b"\x7f", b"test"),
            "target-space": (PATH + b" x", b"test"),
            "carriage-return": (PATH + b"\rx", b"test"),
            "empty": (b"", b"test"),
        }
    ),
    *_versions(
        {
            "http-2.0": b"HTTP/2.0",
            "http-2": b"HTTP/2",
            "http-3.0": b"HTTP/3.0",
            "http-1.2": b"HTTP/1.2",
            "http-1": b"HTTP/1",
            "http-1.10": b"HTTP/1.10",
            "http-11": b"HTTP/11",
            "http-0.9": b"HTTP/0.9",
            "http-0.0": b"HTTP/0.0",
            "http-9.9": b"HTTP/9.9",
            "lower-case": b"http/1.1",
            "https": b"HTTPS/1.1",
            "space-inside": b"HTTP/ 1.1",
            "space-behind": b"HTTP/1.1 ",
            "tab-behind": b"HTTP/1.1\t",
            "comma": b"HTTP/1,1",
            "word": b"JUNK/1.1",
            "icy": b"ICY/1.1",
            "ice": b"ICE/1.0",
        }
    ),
    # A size that fits 64 bits is no overflow, only a body that never comes.
    Vector("C5", "64-bits", post(TE, body=b"F" * 16 + b"\r\n" + BODY), (408,)),
    *_set(
        "C8",
        http_0_9=b"GET /v1/models\r\n\r\n",
        http_0_9_post=b"POST " + PATH + b"\r\n\r\n" + BODY,
        h2_preface=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        lower_case_method=post(LENGTH, body=BODY).replace(b"POST", b"post", 1),
        mixed_case_method=post(LENGTH, body=BODY).replace(b"POST", b"Post", 1),
        unknown_method=post(LENGTH, body=BODY).replace(b"POST", b"SMUGGLE", 1),
        method_prefix=post(LENGTH, body=BODY).replace(b"POST", b"POSTX", 1),
        long_method=post(LENGTH, body=BODY).replace(b"POST", b"A" * 102_400, 1),
        method_with_nul=post(LENGTH, body=BODY).replace(b"POST", b"PO\x00ST", 1),
        method_with_colon=post(LENGTH, body=BODY).replace(b"POST", b"POST:", 1),
        tab_behind_method=post(LENGTH, body=BODY).replace(b"POST ", b"POST\t", 1),
        leading_space=b" " + post(LENGTH, body=BODY),
        leading_nul=b"\x00" + post(LENGTH, body=BODY),
        leading_bom=b"\xef\xbb\xbf" + post(LENGTH, body=BODY),
        connect=b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n" + AUTH + b"\r\n\r\n" + SMUGGLED,
        options_asterisk=b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
        tls_hello=bytes.fromhex("16030100f8010000f40303") + b"\x5a" * 64,
        ssh=b"SSH-2.0-OpenSSH_9.9\r\n",
        smtp=b"EHLO test\r\nMAIL FROM:<a@b>\r\n",
        response=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        proxy_protocol=b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + post(LENGTH, body=BODY),
    ),
    Vector("C8", "connect-path", post(LENGTH).replace(b"POST", b"CONNECT", 1), (400, 405)),
    Vector("C8", "long-path", post(LENGTH, target=b"/" + b"a" * 102_400, body=BODY), (414,)),
    Vector("C8", "long-query", post(LENGTH, target=PATH + b"?" + b"a" * 102_400), (414,)),
    *_paths(
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat//completions",
        "/v1/..;/admin",
        "/v1/..;/v1/chat/completions",
        "/v1/;a/chat/completions",
        "/v1/chat/completions;a=b",
        "/v1/chat/completions/",
        "/v1/chat/completions/.",
        "/v1/chat/completions/..",
        "/v1/chat/completions%00",
        "/v1/chat/completions%20",
        "/v1/chat/completions%0d%0aX:%20y",
        "/v1/chat/../chat/completions",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1/%2E%2E/v1/chat/completions",
        "/v1/%252e%252e/v1/chat/completions",
        "/%2fv1/chat/completions",
        "/v1%2fchat%2fcompletions",
        "/v1%252fchat%252fcompletions",
        "/v1/chat%5c..%5c/chat/completions",
        "/v1/chat\\completions",
        "/\\v1/chat/completions",
        "/..\\v1/chat/completions",
        "/V1/CHAT/COMPLETIONS",
        "/v1/chat/c%6fmpletions",
        "/v1/chat/%c0%ae%c0%ae/completions",
        "/%76%31/chat/completions",
        "/admin",
        "/v1/admin",
        "/metrics",
        "/healthz",
        "/config",
        "/debug/pprof",
        "/.env",
        "/",
    ),
    *_trailers(
        b"Content-Length: 4",
        b"content-length: 4",
        b"Transfer-Encoding: chunked",
        b"Host: other",
        b"HOST: other",
        b"Authorization: Bearer other",
        b"X-Api-Key: other",
        b"Content-Type: text/plain",
        b"Content-Encoding: gzip",
        b"Connection: keep-alive",
        b"Upgrade: h2c",
        b"TE: trailers",
        b"Cookie: a=b",
        b"Expect: 100-continue",
        b"X-A: 1\r\nHost: other",
        b"X-A : 1",
        b" X-A: 1",
        b"X-A: 1\n",
        b"X-A: a\r\n b",
        b"X-A: a\x00",
        b"X-A: a\rb",
        b": a",
        b"X-A",
    ),
]
