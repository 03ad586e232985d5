"""Further attacks on framing: what `tests.faults.vectors` has not, and how both are run end to end.

`ARMED` are all vectors with what makes them dangerous here: the request that hides behind an
ambiguous one carries a valid key, so that whoever reads it as a request of its own serves it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tests.abuse.attackers import crowd, exchange
from tests.abuse.harness import Case, Heard, Lane
from tests.faults.vectors import (
    AUTH,
    BODY,
    CHUNKED,
    LENGTH,
    PATH,
    SMUGGLED,
    TE,
    VECTORS,
    Vector,
    post,
)

MODEL = "m"
"""The model that every vector asks for. It has to be served, or nothing could ever slip through."""
KEYED = post(LENGTH, body=BODY)
"""A good request."""
_CHAT = Lane("chat", "chat")
_ODD = (400, 404, 405)

_CONTROLS = (*range(0x20), 0x7F)
_DELIMITERS = '(),/:;<=>?@[\\]{}"'


def _spoiled() -> Iterator[Vector]:
    """Every control character, where controls, credentials and betas are said in headers."""
    names = (b"X-Portico-Tags", b"X-Portico-Models", b"anthropic-beta", b"X-Portico-User")
    for number, code in enumerate(_CONTROLS):
        if code in (0x09, 0x0A, 0x0D):
            continue
        line = b"%b: a%cb" % (names[number % len(names)], code)
        yield Vector("C6", f"value-{code:02x}", post(line, LENGTH, body=BODY + KEYED))
    for name in names:
        for end in (b"\n", b"\r", b"\n ", b"\r "):
            line = b"%b: a%bX-Api-Key: y" % (name, end)
            yield Vector("C13", f"{name.decode()}-{end!r}", post(line, LENGTH, body=BODY + KEYED))
    for mark in _DELIMITERS.replace(":", ""):
        line = b"X-Portico%bOnly: a" % mark.encode()
        yield Vector("C6", f"name-{mark}", post(line, LENGTH, body=BODY + KEYED))


def _named(group: str, statuses: tuple[int, ...], **raws: bytes) -> Iterator[Vector]:
    for name, raw in raws.items():
        yield Vector(group, f"further-{name.replace('_', '-')}", raw, statuses)


def _bodies() -> Iterator[Vector]:
    lead = b"%x\r\n%b\r\n" % (len(BODY), BODY)
    for name, tail in {
        "last-chunk-signed": b"-0\r\n\r\n",
        "last-chunk-with-lf-extension": b"0;a\n\r\n\r\n",
        "size-of-zeros-and-letters": b"00x\r\n\r\n",
        "spilled": b"2\r\nabXX0\r\n\r\n",
        "size-with-dot": b"1.\r\na\r\n0\r\n\r\n",
        "size-of-arabic-digits": "\u0661\r\na\r\n0\r\n\r\n".encode(),
        "size-quoted": b'"1"\r\na\r\n0\r\n\r\n',
        "extension-with-lf-and-request": b"0;\nGET / HTTP/1.1\r\n\r\n",
    }.items():
        yield Vector("C5", f"further-{name}", post(TE, body=lead + tail + KEYED))


def _targets() -> Iterator[Vector]:
    for target in (
        "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:15000/config_dump",
        "https://evil" + PATH.decode(), "http://test@169.254.169.254/", "http://test:80:80/",
        "http://te%73t/", "http:///v1/models", "//169.254.169.254/", "///v1/models",
        "http:/v1/models", "gopher://test/", "file:///etc/passwd", "unix:/tmp/x",
        "http://test\\@evil/", "javascript:alert(1)",
    ):  # fmt: skip
        raw = post(LENGTH, target=target.encode(), body=BODY + KEYED)
        yield Vector("C7", f"target-{target}", raw, (400, 404))
    for host in (
        b"test, evil", b"test evil", b"te%7", b"test:80, test", b"test\x00", b"te%zzt",
        b"[::1]evil", b"test:+80", b"test:8_0", b"[::ffff:127.0.0.1", b"a" * 300 + b"/",
    ):  # fmt: skip
        raw = post(LENGTH, host=b"Host: " + host, body=BODY + KEYED)
        yield Vector("C7", f"host-{host[:20]!r}", raw, (400, 404))


def _paths() -> Iterator[Vector]:
    for path in (
        "/config_dump", "/api/requests", "/api/targets", "/api/requests/req_1", "/healthz/live",
        "/healthz/ready", "/readyz", "/v1/config_dump", "/v1/api/targets", "/portico/admin",
        "/v1/models/../../config_dump", "/v1/models/..%2f..%2fconfig_dump",
        "/v1/models/%2e%2e/%2e%2e/metrics", "/v1/models/%252e%252e%252fmetrics",
        "/v1/responses/../../api/targets", "/v1/responses/..%2f..%2fmetrics",
        "/v1/responses/%2e%2e/chat/completions", "/v1/responses//input_items", "/v1/responses/.",
        "/v1/responses/..", "/v1/responses/.%2e", "/v1/responses/resp_1%00/input_items",
        "/v1/responses/resp_1%2finput_items", "/v1/responses/resp_1;a/cancel",
        "/v1/responses/resp_1\\cancel", "/v1/responses/resp_1%5ccancel",
        "/v1/responses/resp_1%20/cancel", "/v1/responses/resp_1/cancel/",
        "/v1/responses/resp_1/cancel/../input_items", "/v1/responses/resp'1/cancel",
        "/v1/responses/resp_1%0d%0ax:y/cancel", "/v1/conversations/..", "/v1/conversations//items",
        "/v1/conversations/conv_1%2fitems", "/v1/conversations/conv_1/items/..%2f..",
        "/v1/conversations/../chat/completions", "/v1/chat/completions%ff",
        "/v1/chat/completions%c0%af", "/v1/chat/completions%23", "/v1/chat/completions%3fa=b",
        "/v1/messages/../chat/completions", "/v1/messages/count_tokens/..;/",
        "/v1/messages%2f..%2fchat%2fcompletions", "/v1/v1/../chat/completions",
    ):  # fmt: skip
        raw = post(LENGTH, target=path.encode("latin-1"), body=BODY)
        yield Vector("C9", f"further-{path}", raw, _ODD)


FURTHER: list[Vector] = [
    *_named(
        "C1",
        (400,),
        get=b"GET /v1/models HTTP/1.1\r\nHost: test\r\n%b\r\n%b\r\n%b\r\n\r\n%b%b"
        % (AUTH, LENGTH, TE, CHUNKED, KEYED),
        delete=b"DELETE /v1/responses/resp_1 HTTP/1.1\r\nHost: test\r\n%b\r\n%b\r\n%b\r\n\r\n%b%b"
        % (AUTH, TE, LENGTH, CHUNKED, KEYED),
        coding_behind_a_bare_lf=post(b"X-A: a\nTransfer-Encoding: chunked", LENGTH, body=CHUNKED),
        length_behind_a_bare_cr=post(b"X-A: a\rContent-Length: 0", TE, body=CHUNKED + KEYED),
        named_in_connection=post(b"Connection: transfer-encoding", LENGTH, TE, body=CHUNKED),
        websocket=post(b"Connection: Upgrade", b"Upgrade: websocket", LENGTH, TE, body=CHUNKED),
    ),
    *_named(
        "C4",
        (400,),
        next_line=post(b"Transfer-Encoding: \xc2\x85chunked", body=CHUNKED + KEYED),
        line_separator=post("Transfer-Encoding: \u2028chunked".encode(), body=CHUNKED + KEYED),
        byte_85=post(b"Transfer-Encoding: \x85chunked", body=CHUNKED + KEYED),
        semicolon=post(b"Transfer-Encoding: chunked;", body=CHUNKED + KEYED),
        cow=post(b"Transfer-Encoding: cow, chunked", body=CHUNKED + KEYED),
        escape=post(b"Transfer-Encoding: chunk\\ed", body=CHUNKED + KEYED),
        zero_length_and_identity=post(b"Content-Length: 0", b"Transfer-Encoding: identity"),
    ),
    *_bodies(),
    *_spoiled(),
    *_targets(),
    *_named(
        "C8",
        (400,),
        nothing_but_a_version=b"HTTP/1.1\r\n\r\n",
        method_alone=b"POST\r\n\r\n",
        # Not here: several spaces between the words of the request line. RFC 9112 section 3 lets a
        # recipient split at word boundaries, and the line is never passed on.
        form_feed_behind_method=post(LENGTH, body=BODY).replace(b"POST ", b"POST\x0c", 1),
        version_with_nul=post(LENGTH, version=b"HTTP/1.1\x00", body=BODY),
        version_in_full_width="POST / \uff28TTP/1.1\r\n\r\n".encode(),
        socks_5=b"\x05\x01\x00" + KEYED,
        binary_proxy_protocol=b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x7f" * 12 + KEYED,
    ),
    *_named(
        "C8",
        _ODD,
        connect_inside=b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n"
        + AUTH + b"\r\n\r\n" + KEYED,
        trace=b"TRACE / HTTP/1.1\r\nHost: test\r\n" + AUTH + b"\r\nContent-Length: 4\r\n\r\nabcd",
    ),
    *_paths(),
]  # fmt: skip


def _armed(vector: Vector) -> Vector:
    return replace(vector, raw=vector.raw.replace(SMUGGLED, KEYED))


ARMED: list[Vector] = [_armed(vector) for vector in [*VECTORS, *FURTHER]]

WAITING = tuple(str(vector) for vector in VECTORS if vector.statuses == (408,))
"""Vectors that are refused at a deadline only."""


async def refuse_all(
    case: Case, vectors: Iterable[Vector], *, first: bytes = b"", pieces: int | None = None
) -> list[str]:
    """Send each on a connection of its own, `first` in front of it, in `pieces` or at once; tell
    what was not refused as it should be: one answer of its own, JSON, closed, and nothing behind.

    What is of case C9 is well-formed: the connection may stay open.
    """
    given = list(vectors)
    answers = 1 + bool(first)
    case.expect(answers * len(given))

    async def one(number: int) -> str:
        vector = given[number]
        raw = first + vector.raw
        size = max(1, len(raw) // pieces) if pieces else None
        kept = vector.group == "C9"
        found = await exchange(
            case.gateway.port, raw, size=size, most=answers if kept else 100, quiet=5.0
        )
        if len(found.answers) != answers:
            return f"{vector}: {found.statuses}, {found.rest!r}"
        last = found.answers[-1]
        case.heard += [Heard(_CHAT, str(vector), False, each, 0.0) for each in found.answers]
        if last.status not in vector.statuses:
            return f"{vector}: {last.status} {last.body!r}"
        if first and found.answers[0].status != 200:
            return f"{vector}: {found.answers[0].status} before it"
        if last.header("content-type") != "application/json" or not last.json()["error"]["message"]:
            return f"{vector}: not an error as it should be {last!r}"
        if kept and last.header("connection") != "close":
            return ""
        if last.header("connection") != "close" or found.rest or not (found.closed or kept):
            return f"{vector}: not closed, {found.rest!r}"
        return ""

    return [wrong for wrong in await crowd(len(given), one, 16) if wrong]
