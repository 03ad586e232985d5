"""A Responses stream means what the whole answer means, whoever streams it, however it is cut."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.dialects.responses_upstream import recordings as rec

from portico.dialects.responses.maps import capabilities
from portico.dialects.responses.upstream import UPSTREAM
from portico.dialects.translate import Upstream
from portico.errors import UpstreamFault, UpstreamProtocol
from portico.model.events import Event, Failed, Finish, Started
from portico.model.response import GenerateResponse, fold
from portico.model.sequence import Sequencer
from portico.wire.sse import Frames

AT = Upstream(
    model="gpt-5.4", provider="openai", origin="openai-1", capabilities=capabilities("gpt-5.4")
)


def play(chunks: list[bytes]) -> list[Event]:
    cutter, reader, order = Frames(), UPSTREAM.stream(AT), Sequencer()
    out: list[Event] = []
    for chunk in chunks:
        block = cutter.feed(chunk)
        if block:
            out.extend(order.feed(reader.feed(block)))
    out.extend(order.feed(reader.end()))
    return out


def meaning(response: dict[str, Any]) -> GenerateResponse:
    return fold(Sequencer().feed(UPSTREAM.read(rec.dump(response), AT)))


def answer(name: str) -> dict[str, Any]:
    output, more = rec.OUTPUTS[name]
    return rec.whole(output, **more)


LATE = {
    ("never_done", "custom call"), ("overlapping", "custom call"),
    ("never_done", "citations and logprobs"), ("overlapping", "citations and logprobs"),
    ("never_done", "hosted"), ("overlapping", "hosted"), ("never_done", "compaction"),
    ("overlapping", "compaction"), ("never_done", "not known"), ("overlapping", "not known"),
}  # fmt: skip
"""Where the first that is told of an item is its end, and that comes behind other items."""


@pytest.mark.parametrize("style", sorted(rec.STYLES))
@pytest.mark.parametrize("name", sorted(rec.OUTPUTS))
def test_a_stream_folds_to_the_whole_answer(name: str, style: str) -> None:
    response = answer(name)
    told = fold(play([rec.frames(rec.STYLES[style](response), done=style == "short_names")]))
    expected = meaning(response)
    if (style, name) in LATE:
        same_items(told, expected)
    else:
        assert told == expected


@pytest.mark.parametrize("name", ["reasoning and two calls", "phases", "hosted", "raw thoughts"])
def test_interleaved_items_come_out_whole_one_after_the_other(name: str) -> None:
    response = answer(name)
    same_items(fold(play([rec.frames(rec.interleaved(response))])), meaning(response))


def same_items(told: GenerateResponse, expected: GenerateResponse) -> None:
    """The same answer, but for the order of its items."""
    left = list(expected.items)
    for item in told.items:
        left.remove(item)
    assert left == []
    assert structs.replace(told, items=()) == structs.replace(expected, items=())


@pytest.mark.parametrize("name", sorted(rec.OUTPUTS))
def test_a_stream_read_byte_by_byte_is_the_same_stream(name: str) -> None:
    for names in (True, False):
        data = rec.frames(rec.openai(answer(name)), names=names)
        assert play([data[at : at + 1] for at in range(len(data))]) == play([data])


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(rec.OUTPUTS)), style=st.sampled_from(sorted(rec.STYLES)),
       cuts=st.lists(st.integers(0, 6000), max_size=12))  # fmt: skip
def test_where_a_stream_is_cut_does_not_matter(name: str, style: str, cuts: list[int]) -> None:
    data = rec.frames(rec.STYLES[style](answer(name)))
    places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    chunks = [data[start:end] for start, end in pairwise(places)]
    assert play(chunks) == play([data])


@pytest.mark.parametrize("name", sorted(rec.OUTPUTS))
def test_a_stream_without_its_last_event_never_looks_finished(name: str) -> None:
    events = rec.openai(answer(name))
    for count in range(len(events)):
        told = play([rec.frames(events[:count])])
        assert not any(isinstance(event, Finish | Failed) for event in told)


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = sorted({event["type"] for name in rec.OUTPUTS for event in rec.openai(answer(name))} | {
    "error", "response.failed", "response.cancelled", "response.done", "",
})  # fmt: skip
MEMBERS = ["output_index", "content_index", "summary_index", "item_id", "delta", "text", "refusal",
           "arguments", "input", "logprobs", "annotation", "part", "item", "response", "error",
           "code", "message", "type"]  # fmt: skip
ITEMS = [item for output, _ in rec.OUTPUTS.values() for item in output]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={
        **dict.fromkeys(MEMBERS[:-1], values),
        "output_index": st.integers(-2, 3),
        "item": st.sampled_from(ITEMS) | values,
        "part": st.dictionaries(st.sampled_from(["type", "text", "annotations"]), values),
    },
), max_size=12))  # fmt: skip
def test_events_of_any_shape_raise_nothing(events: list[dict[str, Any]]) -> None:
    told = play([rec.frames([{**event} for event in events], names=False)])
    if told:
        assert isinstance(told[0], Started)
    ends = [event for event in told if isinstance(event, Finish | Failed)]
    assert len(ends) <= 1
    for event in ends:
        assert event is told[-1]
        if isinstance(event, Failed):
            assert isinstance(event.fault, UpstreamFault)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_raise_nothing_in_a_stream(data: bytes) -> None:
    play([data + b"\n\n", b"data: " + data.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n"])


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=100) | values.map(lambda value: json.dumps(value).encode())
       | st.dictionaries(st.sampled_from(["id", "model", "status", "output", "usage", "error",
                                          "incomplete_details", "service_tier"]), values)
       .map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_a_whole_answer_of_any_shape_is_read_or_refused(body: bytes) -> None:
    try:
        told = UPSTREAM.read(body, AT)
    except UpstreamProtocol:
        return
    assert isinstance(told[0], Started)
    assert isinstance(told[-1], Finish | Failed)
