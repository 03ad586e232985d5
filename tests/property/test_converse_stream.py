"""However the bytes of a Bedrock stream arrive, the answer is the same, and nothing raises."""

import contextlib
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.converse.recordings import PAIRS, exception, message, stream, upstream

from portico.dialects.converse.errors import read_error
from portico.dialects.converse.response_in import read
from portico.dialects.converse.stream_in import StreamIn
from portico.errors import UpstreamFault
from portico.model.events import Event, Failed, Finish
from portico.model.response import fold
from portico.model.sequence import Sequencer
from portico.wire.eventstream import EventFrames, EventStreamBroken, decode, encode

CUTS = st.lists(st.integers(0, 4000), max_size=12)
NAMES = st.sampled_from(sorted(PAIRS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["text", "delta", "start", "toolUse", "toolUseId", "name", "input", "reasoningContent",
             "signature", "redactedContent", "citation", "image", "source", "bytes", "stopReason",
             "usage", "inputTokens", "contentBlockIndex", "toolResult", "content", "type",
             "location", "sourceContent", "message", "output", "citationsContent", "citations",
             "reasoningText", "serviceTier", "additionalModelResponseFields", "stop_sequence"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip
EVENTS = st.tuples(
    st.sampled_from(
        ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop",
         "messageStop", "metadata", "other"]
    ),
    st.dictionaries(
        st.sampled_from(["delta", "start", "contentBlockIndex", "stopReason", "usage",
                         "additionalModelResponseFields", "serviceTier"]), JSON, max_size=4),
).map(lambda pair: message({pair[0]: pair[1]}))  # fmt: skip


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def events_of(pieces: list[bytes]) -> list[Event]:
    frames, reader, sequencer = EventFrames(), StreamIn(upstream()), Sequencer()
    out: list[Event] = []
    for piece in pieces:
        block = frames.feed(piece)
        if block:
            out += sequencer.feed(reader.feed(block))
    assert frames.pending == b""
    return out + sequencer.feed(reader.end())


@given(NAMES, CUTS)
def test_any_chunking_gives_the_whole_answer(name: str, cuts: list[int]) -> None:
    body, events = PAIRS[name]
    data = stream(events)
    expected = fold(Sequencer().feed(read(body, upstream())))
    assert fold(events_of([data])) == expected
    assert fold(events_of([data[at : at + 1] for at in range(len(data))])) == expected
    assert fold(events_of(pieces_of(data, cuts))) == expected


@given(st.lists(EVENTS, max_size=8))
def test_no_event_of_a_provider_raises(messages: list[bytes]) -> None:
    reader, sequencer = StreamIn(upstream()), Sequencer()
    events: list[Event] = []
    for one in messages:
        events += sequencer.feed(reader.feed(one))
    events += sequencer.feed(reader.end())
    assert sum(type(event) in (Finish, Failed) for event in events) <= 1


@given(JSON)
def test_no_answer_of_a_provider_raises_anything_untyped(value: Any) -> None:
    import msgspec

    block = {"output": {"message": {"content": [value]}}, "stopReason": "end_turn", "usage": value}
    fold(read(msgspec.json.encode(block), upstream()))
    with contextlib.suppress(UpstreamFault):
        read(msgspec.json.encode(value), upstream())


@given(st.binary(max_size=200), st.integers(100, 599), st.binary(max_size=40))
def test_no_error_answer_raises(body: bytes, status: int, name: bytes) -> None:
    assert read_error(status, {b"x-amzn-errortype": name}, body).http_status >= 100
    failed = StreamIn(upstream()).feed(exception(name.decode("latin-1") or "x", message=1))
    assert isinstance(failed[0], Failed)


@given(st.binary(max_size=300), CUTS)
def test_garbage_is_a_typed_error_wherever_it_is_cut(data: bytes, cuts: list[int]) -> None:
    frames = EventFrames()
    try:
        for piece in pieces_of(data, cuts):
            for found in decode(frames.feed(piece)):
                assert found.payload is not None
    except UpstreamFault:
        pass
    with contextlib.suppress(EventStreamBroken):
        decode(data)


@given(NAMES, st.integers(0, 10_000), st.integers(1, 255), CUTS)
def test_one_wrong_byte_never_finishes_an_answer_that_it_changed(
    name: str, at: int, mask: int, cuts: list[int]
) -> None:
    data = bytearray(stream(PAIRS[name][1]))
    data[at % len(data)] ^= mask
    frames, reader = EventFrames(), StreamIn(upstream())
    events: list[Event] = []
    broken = False
    try:
        for piece in pieces_of(bytes(data), cuts):
            events += reader.feed(frames.feed(piece))
        broken = bool(frames.pending)
    except UpstreamFault:
        broken = True
    assert broken or any(isinstance(event, Failed) for event in events)


HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.binary(max_size=20)
    | st.text(max_size=20)
    | st.uuids(),
    max_size=4,
)


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=60)), max_size=5), CUTS)
def test_what_is_encoded_comes_back_however_it_is_cut(
    messages: list[tuple[dict[str, Any], bytes]], cuts: list[int]
) -> None:
    data = b"".join([encode(headers, payload) for headers, payload in messages])
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))], pieces_of(data, cuts)):
        frames = EventFrames()
        found = [one for piece in pieces for one in decode(frames.feed(piece))]
        assert [(dict(one.headers), one.payload) for one in found] == messages
