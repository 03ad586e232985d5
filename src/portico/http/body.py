"""Request bodies that came compressed."""

import zlib

from portico.errors import BadRequest, TooLarge, UnsupportedEncoding

MAX_RATIO = 20
"""How much larger than its compressed form a body may become; beyond it is a bomb, not JSON."""
SMALL = 64 * 1024
"""Bodies up to this size are not judged by their ratio: short JSON repeats itself."""


def decoded(coding: bytes | None, body: bytes, limit: int) -> bytes:
    """The body without its content coding; `identity` and `gzip` are known.

    Never inflates past `limit` bytes or `MAX_RATIO`. Raises `UnsupportedEncoding`, `TooLarge` or
    `BadRequest`.
    """
    coding = b"identity" if coding is None else coding.lower()
    if coding == b"identity":
        return body
    if coding not in (b"gzip", b"x-gzip"):
        raise UnsupportedEncoding(
            "Content-Encoding must be gzip or identity.", code="unsupported_content_encoding"
        )
    allowed = min(limit, max(SMALL, MAX_RATIO * len(body)))
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, allowed + 1)
    except zlib.error:
        raise BadRequest("The request body is not valid gzip.", code="bad_gzip") from None
    if len(plain) > allowed:
        raise TooLarge(
            f"The request body inflates to more than {allowed} bytes.", limit="bodyBytes"
        )
    if not inflater.eof or inflater.unused_data:
        raise BadRequest("The request body is not one whole gzip member.", code="bad_gzip")
    return plain
