"""AWS event streams as bytes: split into messages, decode, encode. Pure.

A message is `total length, headers length, CRC of these two` (12 bytes, the prelude), headers,
payload, and the CRC of everything before it. Numbers are big-endian, CRCs are CRC-32 of ISO 3309.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html and
https://smithy.io/2.0/aws/amazon-eventstream.html (2026-11-21).
"""

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID
from zlib import crc32

from msgspec import Struct

from portico.errors import UpstreamProtocol

SHORTEST = 16
"""Bytes of a message without headers and payload."""
HEADERS_MOST = 128 * 1024

HeaderValue: TypeAlias = bool | int | bytes | str | datetime | UUID
Headers: TypeAlias = Mapping[str, HeaderValue]

_PRELUDE = struct.Struct(">III")
_WORD = struct.Struct(">I")
_SHORT = struct.Struct(">H")
_INTEGERS = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
}
_LONG = _INTEGERS[5]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# One stream repeats a handful of header blocks; reading each once is what makes decoding cheap.
_KNOWN: dict[bytes, Headers] = {}
_KNOWN_MOST = 64
_KNOWN_BYTES = 512


class EventStreamBroken(UpstreamProtocol):
    """502: the bytes are not an event stream: a wrong checksum, or lengths that cannot be."""


class EventStreamTooLong(UpstreamProtocol):
    """502: one message is longer than `limits.sseFrameBytes`."""


class Message(Struct, frozen=True, gc=False):
    """One message. Header names start with a colon where AWS gives them a meaning:
    `:message-type`, `:event-type`, `:exception-type`, `:content-type`. Do not change `headers`."""

    headers: Headers
    payload: bytes


class EventFrames:
    """Cuts a byte stream at message ends, so that only whole messages are handed on.

    Whatever the chunks, the same bytes come out in the same order, cut at message ends.
    """

    __slots__ = ("_max_frame", "_need", "_tail")

    def __init__(self, max_frame: int = 4 * 1024 * 1024) -> None:
        self._max_frame = max_frame
        self._tail = bytearray()
        self._need = 12  # no message can end, and no prelude be read, with fewer bytes

    @property
    def pending(self) -> bytes:
        """The unfinished message at the end."""
        return bytes(self._tail)

    def feed(self, data: bytes) -> bytes:
        """The longest run of whole messages so far; `b""` if none ended.

        `data` itself comes back when it is whole. Raises `EventStreamTooLong` and
        `EventStreamBroken` (length or checksum of a prelude) once nothing whole is left before it.
        """
        tail = self._tail
        if not tail:
            end = self._scan(data)
            if end == len(data):
                return data
            tail += data[end:]
            return data[:end]
        tail += data
        if len(tail) < self._need:
            return b""
        end = self._scan(tail)
        out = bytes(tail[:end])
        del tail[:end]
        return out

    def finish(self) -> bytes:
        """At the end of the stream: nothing, a message knows its own length."""
        return b""

    def _scan(self, data: bytes | bytearray) -> int:
        """Where the last whole message ends. Sets how many bytes the one after it needs."""
        at, size = 0, len(data)
        self._need = 12
        while size - at >= 12:
            total, headers, crc = _PRELUDE.unpack_from(data, at)
            fault = self._fault(total, headers, crc, data[at : at + 8])
            if fault is not None:
                if at:
                    break  # what is whole goes first; the next call comes back here
                raise fault
            if at + total > size:
                self._need = total
                break
            at += total
        return at

    def _fault(
        self, total: int, headers: int, crc: int, lengths: bytes | bytearray
    ) -> UpstreamProtocol | None:
        if crc32(lengths) != crc:
            return _broken("prelude checksum")
        if total < SHORTEST or headers > total - SHORTEST or headers > HEADERS_MOST:
            return _broken("message lengths")
        if total > self._max_frame:
            return EventStreamTooLong(
                "The provider sent a stream event that is too long.",
                debug=f"event-stream message of {total} bytes, limit {self._max_frame}",
                limit="sseFrameBytes",
            )
        return None


def decode(block: bytes) -> list[Message]:
    """The messages of a block that holds only whole ones. Raises `EventStreamBroken`."""
    messages: list[Message] = []
    at, size = 0, len(block)
    while at < size:
        if size - at < SHORTEST:
            raise _broken("cut message")
        total, headers, crc = _PRELUDE.unpack_from(block, at)
        if crc32(block[at : at + 8]) != crc:
            raise _broken("prelude checksum")
        end = at + total
        if total < SHORTEST or end > size or headers > total - SHORTEST:
            raise _broken("message lengths")
        (crc,) = _WORD.unpack_from(block, end - 4)
        if crc32(block[at : end - 4]) != crc:
            raise _broken("message checksum")
        start = at + 12 + headers
        messages.append(Message(_headers(block[at + 12 : start]), block[start : end - 4]))
        at = end
    return messages


def encode(headers: Headers, payload: bytes) -> bytes:
    """One message. Integers get the shortest of the four types that holds them."""
    block = b"".join([_encode_header(name, value) for name, value in headers.items()])
    lengths = (SHORTEST + len(block) + len(payload)).to_bytes(4, "big") + _WORD.pack(len(block))
    head = lengths + _WORD.pack(crc32(lengths)) + block + payload
    return head + _WORD.pack(crc32(head))


def _headers(block: bytes) -> Headers:
    known = _KNOWN.get(block)
    if known is not None:
        return known
    try:
        headers = _decode_headers(block)
    except (struct.error, ValueError, IndexError, OverflowError):
        raise _broken("headers") from None
    if len(block) <= _KNOWN_BYTES and len(_KNOWN) < _KNOWN_MOST:
        _KNOWN[block] = headers
    return headers


def _decode_headers(block: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at, size = 0, len(block)
    while at < size:
        end = at + 1 + block[at]
        if end == at + 1:
            raise ValueError("a header without a name")
        name = block[at + 1 : end].decode()
        kind = block[end]
        value, at = _decode_value(block, kind, end + 1)
        if at > size:
            raise ValueError("a header that is cut")
        headers[name] = value
    return headers


def _decode_value(block: bytes, kind: int, at: int) -> tuple[HeaderValue, int]:
    """The value of a header and where it ends, which may be behind the end of the block."""
    if kind in (6, 7):
        start = at + 2
        end = start + _SHORT.unpack_from(block, at)[0]
        value = block[start:end]
        return (value.decode() if kind == 7 else value), end
    if kind <= 1:
        return kind == 0, at
    if kind in _INTEGERS:
        layout = _INTEGERS[kind]
        number: int = layout.unpack_from(block, at)[0]
        return number, at + layout.size
    if kind == 8:
        moment = timedelta(milliseconds=_LONG.unpack_from(block, at)[0])
        return _EPOCH + moment, at + 8
    if kind == 9:
        return UUID(bytes=block[at : at + 16]), at + 16
    raise ValueError("an unknown type of header")


def _encode_header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode()
    if not 0 < len(raw) < 256:
        raise ValueError("a header name is 1 to 255 bytes")
    return bytes((len(raw),)) + raw + _encode_value(value)


def _encode_value(value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return b"\0" if value else b"\1"
    if isinstance(value, int):
        for kind, layout in _INTEGERS.items():
            if -(1 << layout.size * 8 - 1) <= value < 1 << layout.size * 8 - 1:
                return bytes((kind,)) + layout.pack(value)
        raise ValueError("an integer header has 64 bits at most")
    if isinstance(value, datetime):
        return b"\x08" + _LONG.pack(round((value - _EPOCH) / timedelta(milliseconds=1)))
    if isinstance(value, UUID):
        return b"\x09" + value.bytes
    raw, kind = (value.encode(), 7) if isinstance(value, str) else (value, 6)
    if len(raw) > 0xFFFF:
        raise ValueError("a header value is 65,535 bytes at most")
    return bytes((kind,)) + _SHORT.pack(len(raw)) + raw


def _broken(what: str) -> EventStreamBroken:
    return EventStreamBroken(
        "The provider sent a stream that cannot be read.", debug=f"event stream: {what}"
    )
