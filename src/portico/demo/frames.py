"""The binary frames of `application/vnd.amazon.eventstream`, written from the specification.

total length, header length, CRC-32 of those eight bytes, headers, payload, CRC-32 of all before it;
integers big-endian, every header a length-prefixed name, type 7 (string) and a length-prefixed
value. https://smithy.io/2.0/aws/amazon-eventstream.html, 2026-11-21.
"""

import struct
import zlib

__all__ = ["event", "exception", "frame"]

_STRING = 7


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + block + payload
    return body + struct.pack("!I", zlib.crc32(body))


def event(kind: str, payload: bytes) -> bytes:
    """An event of the stream."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, payload)


def exception(kind: str, payload: bytes) -> bytes:
    """What a stream fails with."""
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, payload)


def _header(name: str, value: str) -> bytes:
    key, data = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(data)) + data
