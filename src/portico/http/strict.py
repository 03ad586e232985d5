"""What a request head must satisfy before anything believes it.

llhttp (through httptools, no leniency flags) already refuses bare CR and LF, obs-fold, NUL, bad
tokens, `Content-Length` with `Transfer-Encoding`, repeated or malformed `Content-Length`, and bad
chunk sizes. The rest of RFC 9112 sections 3.2, 6.1 and 6.3 that a gateway must not miss is here.
Anything doubtful is refused: a proxy that guesses is how requests are smuggled.
"""

import re
from base64 import b64decode
from functools import lru_cache
from typing import Final

from httptools import HttpParserError

from portico.errors import BadRequest, PorticoError

_HOST = re.compile(
    rb"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
REMEMBERED = 256
"""Targets up to this length are split once and remembered."""
_TARGET = re.compile(rb"/[!-\"$-~]*")

# A second one of these would let two readers of the same head disagree about who asks, for what.
_ONCE: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"authorization", b"x-api-key",
     b"content-encoding", b"content-type", b"expect")
)  # fmt: skip

# RFC 9110 section 6.5.1: fields that steer framing, routing or identity never come as trailers.
_NO_TRAILER: Final = _ONCE | {b"connection", b"te", b"upgrade", b"cookie"}


def repeated(headers: dict[bytes, bytes], name: bytes, value: bytes) -> str | None:
    """Join a repeated field into `headers`, or say why it may not repeat."""
    if name in _ONCE:
        return f"The header {name.decode('latin-1')!r} was sent more than once."
    headers[name] = headers[name] + b", " + value
    return None


@lru_cache(maxsize=256)
def is_authority(host: bytes) -> bool:
    """Whether a Host value is a host name or address with an optional port. Clients repeat theirs
    on every request, so the last few hundred are remembered."""
    return _HOST.fullmatch(host) is not None


def head_fault(version: str, headers: dict[bytes, bytes]) -> str | None:
    """Why the head of a request is refused with 400, or None."""
    host = headers.get(b"host")
    if host is None:
        if version != "1.0":
            return "The request has no Host header."
    elif not is_authority(host):
        return "The Host header is not a host name with an optional port."
    if version != "1.1" and version != "1.0":
        return "Only HTTP/1.1 and HTTP/1.0 are spoken here."
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0":
            return "Transfer-Encoding is not part of HTTP/1.0."
        if coding != b"chunked":
            return "The only transfer coding accepted is 'chunked'."
    length = headers.get(b"content-length")
    if length is not None and not length.isdigit():
        return "Content-Length is not a plain number."
    return None


def split_target(url: bytes, host: bytes | None) -> tuple[bytes, bytes] | None:
    """The path and query of a request target, or None when it is not one we serve.

    Origin form is the rule. Absolute form must name the same authority as Host (RFC 9112 section
    3.2.2 asks servers to take it); authority and asterisk forms are for proxies.
    """
    if not url.startswith(b"/"):
        scheme, sep, rest = url.partition(b"://")
        authority, slash, path = rest.partition(b"/")
        if scheme.lower() not in (b"http", b"https") or not sep or not slash or authority != host:
            return None
        url = slash + path
    return _split_path(url) if len(url) <= REMEMBERED else _split_path.__wrapped__(url)


@lru_cache(maxsize=512)
def _split_path(url: bytes) -> tuple[bytes, bytes] | None:
    if _TARGET.fullmatch(url) is None:
        return None
    path, _, query = url.partition(b"?")
    return path, query


def trailer_fault(trailers: dict[bytes, bytes]) -> str | None:
    """Why the trailers of a chunked body are refused, or None."""
    for name in trailers:
        if name in _NO_TRAILER:
            return f"The field {name.decode('latin-1')!r} may not be a trailer."
    return None


def has_body(headers: dict[bytes, bytes]) -> bool:
    """Whether a body follows the head."""
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def without_upgrade(method: bytes, url: bytes, version: str, headers: dict[bytes, bytes]) -> bytes:
    """A checked head once more, without the offer to speak another protocol."""
    lines = [b"%b: %b" % field for field in headers.items() if field[0] != b"upgrade"]
    first = b"%b %b HTTP/%b" % (method, url, version.encode("ascii"))
    return b"\r\n".join((first, *lines, b"", b""))


def handshake_fault(headers: dict[bytes, bytes], upgrades: bool) -> PorticoError | None:
    """Why the head of a GET is no WebSocket handshake (RFC 6455 section 4.2.1), or None.

    `upgrades`: the parser found `Connection: upgrade` beside the `Upgrade` field, on HTTP/1.1.
    """
    if headers.get(b"sec-websocket-version") != b"13":
        fault = BadRequest("Only version 13 of WebSocket is spoken here.", code="bad_handshake")
        fault.http_status = 426
        return fault
    if not upgrades:
        reason = "It has no 'Connection: Upgrade'."
    else:
        key = headers.get(b"sec-websocket-key")
        try:
            if key is not None and len(b64decode(key, validate=True)) == 16:
                return None
        except ValueError:
            pass
        reason = "Its Sec-WebSocket-Key is not 16 bytes of base64."
    return BadRequest(f"This is not a WebSocket handshake. {reason}", code="bad_handshake")


def parser_reason(error: HttpParserError) -> str:
    """llhttp's own words: constant strings that never quote the request."""
    return str(error.args[0]) if error.args else "unreadable"
