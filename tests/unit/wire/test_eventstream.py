"""Binary event streams: whole messages only, every header type, nothing believed unchecked."""

from datetime import UTC, datetime
from uuid import UUID
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer

from portico.errors import UpstreamProtocol
from portico.wire.eventstream import (
    EventFrames,
    EventStreamBroken,
    EventStreamTooLong,
    Message,
    decode,
    encode,
)

HEADERS = {
    ":message-type": "event",
    "yes": True,
    "no": False,
    "byte": -128,
    "short": 32767,
    "integer": -(1 << 31),
    "long": 1 << 40,
    "bytes": b"\x00\xff",
    "text": "Grüße",
    "moment": datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC),
    "id": UUID("00112233-4455-6677-8899-aabbccddeeff"),
}
DELTA = encode(
    {":event-type": "contentBlockDelta", ":content-type": "application/json"}, b'{"delta":{}}'
)
STOP = encode({":event-type": "messageStop"}, b"{}")


def test_every_type_of_header_survives_a_round_trip() -> None:
    assert decode(encode(HEADERS, b"payload")) == [Message(HEADERS, b"payload")]


def test_an_encoded_message_is_what_botocore_reads() -> None:
    buffer = EventStreamBuffer()
    plain = {name: value for name, value in HEADERS.items() if name not in ("moment", "id")}
    buffer.add_data(encode(plain, b"payload") + STOP)
    first, second = list(buffer)
    assert (first.headers, first.payload) == (plain, b"payload")
    assert second.headers == {":event-type": "messageStop"}


def test_the_shortest_message_has_sixteen_bytes() -> None:
    assert len(encode({}, b"")) == 16
    assert decode(encode({}, b"")) == [Message({}, b"")]


def test_whole_messages_come_back_as_the_same_object() -> None:
    data = DELTA + STOP
    assert EventFrames().feed(data) is data


def test_the_tail_waits_for_its_last_byte() -> None:
    frames = EventFrames()
    assert frames.feed(DELTA + STOP[:5]) == DELTA
    assert frames.pending == STOP[:5]
    assert frames.feed(STOP[5:-1]) == b""
    assert frames.feed(STOP[-1:] + DELTA[:1]) == STOP
    assert frames.pending == DELTA[:1]
    assert frames.finish() == b""


def test_byte_by_byte_gives_each_message_when_it_is_whole() -> None:
    frames = EventFrames()
    data = DELTA + STOP + DELTA
    out = [frames.feed(data[at : at + 1]) for at in range(len(data))]
    assert [piece for piece in out if piece] == [DELTA, STOP, DELTA]
    assert frames.pending == b""


def test_a_message_over_the_limit_is_refused_at_its_prelude() -> None:
    frames = EventFrames(100)
    with pytest.raises(EventStreamTooLong) as raised:
        frames.feed(encode({}, b"x" * 200)[:12])
    assert raised.value.limit == "sseFrameBytes"


def test_what_is_whole_goes_before_the_error() -> None:
    frames = EventFrames(200)
    assert frames.feed(STOP + encode({}, b"x" * 300)) == STOP
    with pytest.raises(EventStreamTooLong):
        frames.feed(b"")


@pytest.mark.parametrize("at", [0, 3, 5, 9])
def test_a_prelude_with_a_wrong_bit_is_refused(at: int) -> None:
    broken = bytearray(DELTA)
    broken[at] ^= 1
    with pytest.raises(EventStreamBroken):
        EventFrames().feed(bytes(broken))
    with pytest.raises(EventStreamBroken):
        decode(bytes(broken))


@pytest.mark.parametrize("at", [12, 20, len(DELTA) - 5, len(DELTA) - 1])
def test_a_message_with_a_wrong_bit_is_refused(at: int) -> None:
    broken = bytearray(DELTA)
    broken[at] ^= 1
    assert EventFrames().feed(bytes(broken)) == bytes(broken)  # cut by its prelude alone
    with pytest.raises(EventStreamBroken):
        decode(bytes(broken))


def _message(total: int, headers: int, rest: bytes) -> bytes:
    lengths = total.to_bytes(4, "big") + headers.to_bytes(4, "big")
    head = lengths + crc32(lengths).to_bytes(4, "big") + rest
    return head + crc32(head).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("total", "headers"), [(15, 0), (0, 0), (16, 1), (20, 8), (1 << 31, 200_000)]
)
def test_lengths_that_cannot_be_are_refused(total: int, headers: int) -> None:
    with pytest.raises(EventStreamBroken):
        EventFrames(1 << 32).feed(_message(total, headers, b""))
    with pytest.raises(EventStreamBroken):
        decode(_message(total, headers, b""))


@pytest.mark.parametrize(
    "block",
    [
        b"\x00",  # no name
        b"\x05ab",  # name is cut
        b"\x01a",  # no type
        b"\x01a\x0a",  # unknown type
        b"\x01a\x07\x00\x05ab",  # value is cut
        b"\x01a\x07\x00",  # length is cut
        b"\x01a\x04\x00",  # integer is cut
        b"\x01a\x09abc",  # uuid is cut
        b"\x01a\x07\x00\x01\xff",  # not UTF-8
        b"\x01\xff\x00",  # name is not UTF-8
        b"\x01a\x08\x7f\xff\xff\xff\xff\xff\xff\xff",  # a time no calendar has
    ],
)
def test_headers_that_cannot_be_read_are_a_typed_error(block: bytes) -> None:
    with pytest.raises(EventStreamBroken):
        decode(_message(16 + len(block), len(block), block))


def test_a_cut_block_is_a_typed_error() -> None:
    for end in range(1, len(DELTA)):
        with pytest.raises(UpstreamProtocol):
            decode(DELTA[:end])


def test_a_large_message_in_small_pieces_takes_linear_time() -> None:
    data = encode({}, b"x" * 2_000_000)
    frames = EventFrames()
    out = b"".join(frames.feed(data[at : at + 1000]) for at in range(0, len(data), 1000))
    assert out == data


@pytest.mark.parametrize(
    ("headers", "what"),
    [({"": 1}, "name"), ({"a" * 256: 1}, "name"), ({"a": 1 << 63}, "64"),
     ({"a": b"x" * 65536}, "65")],
)  # fmt: skip
def test_what_no_message_can_hold_is_not_encoded(headers: dict[str, int], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        encode(headers, b"")
