"""Request bodies that came compressed."""

import zlib

from portico.errors import BadRequest, TooLarge, UnsupportedEncoding
from portico.limits import Limits

SMALL = 64 * 1024
"""Bodies up to this size are not judged by their ratio: short JSON repeats itself."""


def decoded(coding: bytes, body: bytes, limits: Limits) -> bytes:
    """The body without its content coding; `identity` and `gzip` are known.

    Never inflates past `limits.body_bytes` or `limits.gzip_ratio`. Raises `UnsupportedEncoding`,
    `TooLarge` or `BadRequest`.
    """
    coding = coding.lower()
    if coding == b"identity":
        return body
    if coding not in (b"gzip", b"x-gzip"):
        raise UnsupportedEncoding(
            "Content-Encoding must be gzip or identity.", code="unsupported_content_encoding"
        )
    allowed = min(limits.body_bytes, max(SMALL, limits.gzip_ratio * len(body)))
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, allowed + 1)
    except zlib.error:
        raise BadRequest("The request body is not valid gzip.", code="bad_gzip") from None
    if len(plain) > allowed:
        raise TooLarge(
            f"The request body inflates to more than {allowed} bytes.",
            limit="bodyBytes" if allowed == limits.body_bytes else "gzipRatio",
        )
    if not inflater.eof or inflater.unused_data:
        raise BadRequest("The request body is not one whole gzip member.", code="bad_gzip")
    return plain
