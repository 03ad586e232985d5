"""What the demo models see of images, files and audio: their type and size, once they decode.

`image/png, 70 bytes` is what a test finds in the answer when the bytes arrived as they were sent.
"""

import base64
import binascii
import re

__all__ = ["BadMediaError", "data_url", "decoded", "described", "sniff"]

_DATA_URL = re.compile(r"data:([a-zA-Z0-9!#$&^_.+-]+/[a-zA-Z0-9!#$&^_.+-]+)((?:;[^;,]*)*),")
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


class BadMediaError(ValueError):
    """Data that is not what it says; the message says why."""


def decoded(data: str, *, url_safe: bool = False) -> bytes:
    """The bytes of base64 `data`; with `url_safe` in either alphabet, padding optional."""
    if url_safe:
        data = data.replace("-", "+").replace("_", "/").rstrip("=")
        data += "=" * (-len(data) % 4)
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise BadMediaError("invalid base64 data") from None
    if not raw:
        raise BadMediaError("empty base64 data")
    return raw


def data_url(url: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a `data:` URL, None for an http(s) one. Raises `BadMediaError`."""
    if url.startswith(("https://", "http://")):
        return None
    found = _DATA_URL.match(url[:512])
    if found is None or not found[2].endswith(";base64"):
        raise BadMediaError("expected an http(s) URL or a base64 data URL")
    return found[1].lower(), decoded(url[found.end() :])


def described(media_type: str, raw: bytes) -> str:
    """`image/png, 70 bytes`."""
    return f"{media_type}, {len(raw)} bytes"


def sniff(raw: bytes) -> str | None:
    """The media type the first bytes give away, or None."""
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if raw.startswith(magic)), None)
