"""Frames are cut at blank lines and nowhere else; every line end of the standard counts."""

import time

import pytest

from portico.errors import UpstreamProtocol
from portico.wire.sse import (
    KEEP_ALIVE,
    Decoder,
    Event,
    Frames,
    SseFrameTooLong,
    encode_event,
    frame_data,
    frame_event,
    iter_frames,
)


def test_whole_frames_come_back_as_the_same_object() -> None:
    data = b"data: a\n\ndata: b\n\n"
    assert Frames().feed(data) is data


def test_the_tail_waits_for_its_blank_line() -> None:
    frames = Frames()
    assert frames.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert frames.pending == b"data: b"
    assert frames.feed(b"\n") == b""
    assert frames.feed(b"\ndata: c") == b"data: b\n\n"
    assert frames.pending == b"data: c"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_each_line_end_is_understood(end: bytes) -> None:
    frame = b"event: x" + end + b"data: y" + end + end
    frames = Frames()
    out = b"".join(frames.feed(frame[at : at + 1]) for at in range(len(frame)))
    assert out + frames.finish() == frame
    assert frames.pending == b""


def test_a_crlf_cut_in_two_is_not_a_blank_line() -> None:
    frames = Frames()
    assert frames.feed(b"data: a\r") == b""
    assert frames.feed(b"\ndata: b\r") == b""
    assert frames.feed(b"\n\r") == b""
    assert frames.feed(b"\n") == b"data: a\r\ndata: b\r\n\r\n"


def test_a_frame_that_waited_for_a_line_feed_is_whole_at_the_end() -> None:
    frames = Frames()
    assert frames.feed(b"data: a\r\r") == b""
    assert frames.finish() == b"data: a\r\r"
    assert frames.feed(b"data: b\r") == b""
    assert frames.finish() == b""


def test_a_tail_over_the_limit_is_a_typed_error() -> None:
    frames = Frames(max_frame=10)
    assert frames.feed(b"data: 0123456789\n\n")
    assert frames.feed(b"data: 0123") == b""
    with pytest.raises(SseFrameTooLong) as caught:
        frames.feed(b"4")
    assert isinstance(caught.value, UpstreamProtocol)
    assert caught.value.http_status == 502


def test_one_byte_at_a_time_costs_linear_time() -> None:
    def seconds(size: int) -> float:
        best = 9.0
        for _ in range(3):
            frames = Frames()
            feed = frames.feed
            started = time.perf_counter()
            for _ in range(size):
                feed(b"x")
            best = min(best, time.perf_counter() - started)
        return best

    assert seconds(400_000) < 10 * seconds(100_000)


def test_iter_frames_cuts_a_block() -> None:
    block = b"data: a\n\n: ping\n\nevent: e\r\ndata: b\r\n\r\ndata: c\r\r"
    assert iter_frames(block) == [
        b"data: a\n\n",
        b": ping\n\n",
        b"event: e\r\ndata: b\r\n\r\n",
        b"data: c\r\r",
    ]
    whole = b"data: a\n\n"
    assert iter_frames(whole)[0] is whole
    assert iter_frames(b"\n\ndata: a\n\n\n") == [b"\n", b"\n", b"data: a\n\n", b"\n"]


@pytest.mark.parametrize(
    ("frame", "event", "data"),
    [
        (b"data: {}\n\n", b"", b"{}"),
        (b"data:{}\n\n", b"", b"{}"),
        (b"data:  {}\n\n", b"", b" {}"),
        (b"event: e\ndata: {}\n\n", b"e", b"{}"),
        (b"event:e\r\ndata: {}\r\n\r\n", b"e", b"{}"),
        (b"data: {}\nevent: e\n\n", b"e", b"{}"),
        (b"data: a\ndata: b\n\n", b"", b"a\nb"),
        (b"data: a\rdata: b\n\n", b"", b"a\nb"),
        (b": comment\nid: 1\ndata: a\n\n", b"", b"a"),
        (b"\xef\xbb\xbfdata: a\n\n", b"", b"a"),
        (b"data\n\n", b"", b""),
        (b": only\n\n", b"", b""),
        (b"\n", b"", b""),
        ("data: \u2028\u0085\n\n".encode(), b"", "\u2028\u0085".encode()),
    ],
)
def test_one_frame_is_read(frame: bytes, event: bytes, data: bytes) -> None:
    assert frame_event(frame) == event
    assert frame_data(frame) == data


def test_the_decoder_follows_the_standard() -> None:
    stream = (
        b"\xef\xbb\xbf: hello\nid: 7\nretry: 250\nevent: add\ndata: 1\ndata:2\n\n"
        b"data\n\nid: a\0b\nretry: x\ndata: 3\n\nevent: lost\n\nid\ndata: 4\n\ndata: cut"
    )
    assert Decoder().feed(stream) == [
        Event("add", b"1\n2", "7", 250),
        Event("message", b"", "7"),
        Event("message", b"3", "7"),
        Event("message", b"4", ""),
    ]


def test_encoding_is_decoding_backwards() -> None:
    block = encode_event("e", b'{"a":1}') + encode_event(None, b"x") + b": a b\n\n"
    assert block == b'event: e\ndata: {"a":1}\n\ndata: x\n\n: a b\n\n'
    assert Decoder().feed(KEEP_ALIVE + block) == [
        Event("e", b'{"a":1}'),
        Event("message", b"x"),
    ]


@pytest.mark.parametrize(("event", "data"), [(None, b"a\nb"), (None, b"a\rb"), ("a\nb", b"a")])
def test_a_line_end_cannot_be_smuggled_into_an_event(event: str | None, data: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        encode_event(event, data)
