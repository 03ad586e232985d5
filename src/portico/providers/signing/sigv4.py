"""AWS Signature Version 4, for the one form a gateway sends: a header signature over the whole
body. Pure: the time comes in.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
(2026-11-21).
"""

from collections.abc import Iterable
from hashlib import sha256
from hmac import digest
from time import gmtime, strftime
from urllib.parse import quote

from msgspec import Struct

ALGORITHM = "AWS4-HMAC-SHA256"
_KEYS_MOST = 64
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NEVER_SIGNED = frozenset(("authorization", "user-agent", "x-amzn-trace-id", "expect",
                           "transfer-encoding", "connection", "content-length"))  # fmt: skip

_derived: dict[tuple[str, str, str, str, str], bytes] = {}


class Keys(Struct, frozen=True, gc=False):
    """What signs. `expires` is in Unix seconds, None for keys that do not expire. `bearer` is a
    Bedrock API key, sent instead of a signature. Printing shows no secret."""

    access_key: str
    secret_key: str
    token: str = ""
    expires: float | None = None
    bearer: str = ""

    def __repr__(self) -> str:
        return f"Keys({self.access_key[:4]}…, expires={self.expires})"

    __str__ = __repr__


def sign(
    *,
    method: str,
    path: str,
    query: str = "",
    headers: Iterable[tuple[str, str]],
    body: bytes,
    credential: Keys,
    region: str,
    service: str,
    now: float,
) -> bytes:
    """The header lines to add: `authorization`, `x-amz-date`, `x-amz-content-sha256`, and
    `x-amz-security-token` for temporary keys. A credential with `bearer` gives only that.

    `path` and `query` are as they stand in the request line, percent-encoded already; the
    canonical path encodes once more, as every service except S3 does. `headers` are those to be
    signed and must hold `host`; those that proxies change are left out. `now` is Unix seconds.
    Lines end with CR LF.
    """
    if credential.bearer:
        return f"authorization: Bearer {credential.bearer}\r\n".encode("latin-1")
    stamp = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
    hashed = sha256(body).hexdigest()
    signed = {"x-amz-content-sha256": hashed, "x-amz-date": stamp}
    if credential.token:
        signed["x-amz-security-token"] = credential.token
    lines = _to_sign(headers, signed)
    names = sorted(lines)
    listed = ";".join(names)
    block = "".join([f"{name}:{lines[name]}\n" for name in names])
    canonical = "\n".join(
        (method, canonical_path(path), canonical_query(query), block, listed, hashed)
    )
    date = stamp[:8]
    scope = f"{date}/{region}/{service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = signing_key(credential.secret_key, date, region, service)
    signature = digest(key, to_sign.encode(), "sha256").hex()
    token = f"x-amz-security-token: {credential.token}\r\n" if credential.token else ""
    return (
        f"authorization: {ALGORITHM} Credential={credential.access_key}/{scope}, "
        f"SignedHeaders={listed}, Signature={signature}\r\n"
        f"x-amz-date: {stamp}\r\nx-amz-content-sha256: {hashed}\r\n{token}"
    ).encode("latin-1")


def _to_sign(headers: Iterable[tuple[str, str]], signed: dict[str, str]) -> dict[str, str]:
    """Header names in lower case and their values with single spaces, our own added."""
    lines = dict(signed)
    for name, value in headers:
        lower = name.lower()
        if lower not in _NEVER_SIGNED and lower not in signed:
            text = " ".join(value.split())
            lines[lower] = f"{lines[lower]},{text}" if lower in lines else text
    return lines


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day (`date` is YYYYMMDD), region and service."""
    # The secret itself is not kept as a key of the cache, only its hash.
    place = (sha256(secret.encode()).hexdigest(), date, region, service, "aws4_request")
    known = _derived.get(place)
    if known is not None:
        return known
    key = digest(b"AWS4" + secret.encode(), date.encode(), "sha256")
    for part in (region, service, "aws4_request"):
        key = digest(key, part.encode(), "sha256")
    if len(_derived) >= _KEYS_MOST:
        _derived.clear()
    _derived[place] = key
    return key


def canonical_path(path: str) -> str:
    """The path of the request line, encoded once more, `.` and `..` segments taken out."""
    if not path or path == "/":
        return "/"
    if "/." in path or "//" in path:
        path = _normalised(path)
    return quote(path, safe="/~")


def canonical_query(query: str) -> str:
    """Parameters in order of name and value; one without a value gets an empty one."""
    if not query:
        return ""
    parts = [part.partition("=") for part in query.split("&") if part]
    pairs = sorted([(_as_sent(name), _as_sent(value)) for name, _, value in parts])
    return "&".join([f"{name}={value}" for name, value in pairs])


def _as_sent(text: str) -> str:
    """Percent-encoding in its one canonical form: kept where it is, upper case, added where
    it is missing."""
    out = []
    at, raw = 0, text.encode()
    while at < len(raw):
        byte = raw[at]
        pair = raw[at + 1 : at + 3]
        if byte == 0x25 and len(pair) == 2 and all(c in b"0123456789abcdefABCDEF" for c in pair):
            out.append("%" + pair.decode().upper())
            at += 3
            continue
        out.append(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}")
        at += 1
    return "".join(out)


def _normalised(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    end = "/" if parts and path.endswith("/") else ""
    return "/" + "/".join(parts) + end
