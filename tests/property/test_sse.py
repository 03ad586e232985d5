"""However the bytes arrive, the same frames and events come out, and nothing is lost or added."""

import importlib
import importlib.util
import sys
from itertools import pairwise
from types import ModuleType

from hypothesis import example, given
from hypothesis import strategies as st

from portico.wire.sse import Decoder, Event, Frames, encode_event, frame_data, iter_frames


def _oracle() -> ModuleType:
    """The decoders of httpx-sse, without its package, which imports an httpx that is not here."""
    found = importlib.util.find_spec("httpx_sse")
    assert found is not None
    package = ModuleType("httpx_sse_oracle")
    package.__path__ = list(found.submodule_search_locations or [])
    sys.modules[package.__name__] = package
    return importlib.import_module("httpx_sse_oracle._decoders")


ORACLE = _oracle()
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff"), max_size=12
)
VALUES = TEXT | st.sampled_from(["{}", "😀\u2028\u0085", " x", ":", "", '{"usage":{}}'])
LINES = st.one_of(
    VALUES.map(lambda text: "data: " + text),
    VALUES.map(lambda text: "data:" + text),
    VALUES.map(lambda text: "event: " + text),
    VALUES.map(lambda text: "id: " + text),
    VALUES.map(lambda text: ": " + text),
    st.integers(0, 10**6).map(lambda number: f"retry: {number}"),
    st.sampled_from(["data", "event", "id", "unknown: x", ""]),
    st.just(""),
)
STREAMS = st.lists(st.tuples(LINES, LINE_ENDS), max_size=24).map(
    lambda lines: b"".join(line.encode() + end for line, end in lines)
)
RAW = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"data: x", b"\xf0\x9f", b"\x98\x80"])
).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def frames_of(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = Frames()
    frames: list[bytes] = []
    for piece in pieces:
        frames += iter_frames(splitter.feed(piece))
    frames += iter_frames(splitter.finish())
    return frames, splitter.pending


def events_of(pieces: list[bytes]) -> list[Event]:
    decoder = Decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.finish()


@given(STREAMS | RAW, CUTS)
@example(b"data: a\r\n\r\n\r\ndata: b\r\r", [1])
@example(b"\r\n\r\n\n\r\r\n\n", [1, 2, 3])
@example(b"a\n\r\nb\r\n\rc\n\n", [2, 3])
def test_any_chunking_gives_the_same_frames(data: bytes, cuts: list[int]) -> None:
    frames, tail = frames_of([data])
    assert b"".join(frames) + tail == data
    assert frames_of(single(data)) == (frames, tail)
    assert frames_of(split(data, cuts)) == (frames, tail)


@given(STREAMS | RAW, CUTS)
def test_what_is_relayed_always_ends_with_a_blank_line(data: bytes, cuts: list[int]) -> None:
    splitter = Frames()
    for piece in split(data, cuts):
        block = splitter.feed(piece)
        lines = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert not block or lines == b"\n" or lines.endswith(b"\n\n") or not lines.strip(b"\n")


@given(st.booleans(), STREAMS, CUTS)
def test_any_chunking_gives_the_same_events(bom: bool, data: bytes, cuts: list[int]) -> None:
    expected = events_of([data])
    if bom:
        data = b"\xef\xbb\xbf" + data
    assert events_of([data]) == expected
    assert events_of(single(data)) == expected
    assert events_of(split(data, cuts)) == expected


@given(STREAMS, CUTS)
def test_the_decoder_agrees_with_httpx_sse(data: bytes, cuts: list[int]) -> None:
    """Compared where both follow the standard: events with text, complete with a blank line."""
    lines, oracle = ORACLE.SSELineDecoder(), ORACLE.SSEDecoder()
    theirs = []
    for line in lines.decode(data.decode() + "\n") if data else []:
        event = oracle.decode(line)
        if event is not None and event.data:
            theirs.append((event.event or "message", event.data.encode(), event.id, event.retry))
    ours = [
        (event.event, event.data, event.id, event.retry)
        for event in events_of(split(data + b"\n", cuts))
        if event.data
    ]
    assert ours == theirs


@given(st.binary(max_size=60).filter(lambda data: not set(data) & set(b"\r\n")), CUTS)
def test_an_encoded_event_is_decoded_to_its_data(data: bytes, cuts: list[int]) -> None:
    frame = encode_event("e", data)
    assert frame_data(frame) == data
    assert [event.data for event in events_of(split(frame, cuts))] == [data]
