"""Messages streams: the same answer whatever the chunks, and never anything but typed errors."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialects.messages_translate import recordings as rec
from tests.unit.dialects.messages_translate.common import (
    accumulate,
    asked,
    payloads,
    sequenced,
    unseal,
    upstream,
)

from portico.dialects.messages.response_out import respond
from portico.dialects.messages.stream_in import MessagesStream
from portico.dialects.messages.stream_out import MessagesOut
from portico.dialects.messages.upstream import UPSTREAM
from portico.errors import UpstreamFault, UpstreamTruncated
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    UsageSeen,
)
from portico.model.parts import Citation
from portico.model.response import GenerateResponse, fold
from portico.model.sealed import Sealed
from portico.model.sequence import Sequencer
from portico.model.usage import Usage
from portico.wire.sse import Frames

CUTS = st.lists(st.integers(0, 4000), max_size=12)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def play(pieces: list[bytes]) -> list[Event]:
    frames, stream, out = Frames(), MessagesStream(upstream()), []
    for piece in pieces:
        out += stream.feed(frames.feed(piece))
    return [*out, *stream.feed(frames.finish()), *stream.end()]


def answer(pieces: list[bytes]) -> GenerateResponse:
    return fold(sequenced(play(pieces)))


@pytest.mark.parametrize("name", rec.PAIRS)
@given(cuts=CUTS, end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
@settings(max_examples=20)
def test_any_chunking_gives_the_same_answer(name: str, cuts: list[int], end: bytes) -> None:
    whole, events = rec.PAIRS[name]
    data = rec.frames(events).replace(b"\n", end)
    wanted = fold(sequenced(UPSTREAM.read(whole, upstream())))
    assert answer([data]) == wanted
    assert answer(split(data, cuts)) == wanted
    assert answer([data[at : at + 1] for at in range(len(data))]) == wanted


@pytest.mark.parametrize("name", rec.PAIRS)
def test_a_cut_anywhere_is_never_an_answer(name: str) -> None:
    data = rec.frames(rec.PAIRS[name][1])
    last = data.index(b"event: message_delta")
    for at in range(0, last, 7):
        assert not any(isinstance(event, Finish) for event in play([data[:at]]))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
BLOCKS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "text",
                "thinking",
                "tool_use",
                "redacted_thinking",
                "server_tool_use",
                "odd",
                "web_search_tool_result",
                "mcp_tool_use",
                "mcp_tool_result",
                "compaction",
            ]
        )
        | VALUES
    },
    optional=dict.fromkeys(
        (
            "text",
            "thinking",
            "signature",
            "id",
            "name",
            "input",
            "content",
            "citations",
            "tool_use_id",
            "data",
            "is_error",
        ),
        VALUES,
    ),
)
DELTAS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (
            "type",
            "text",
            "thinking",
            "partial_json",
            "signature",
            "citation",
            "stop_reason",
            "stop_sequence",
            "stop_details",
            "content",
        ),
        VALUES,
    ),
)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
                "error",
                "ping",
            ]
        )
        | VALUES
    },
    optional={
        "index": st.integers(0, 2) | VALUES,
        "content_block": BLOCKS | VALUES,
        "delta": DELTAS | VALUES,
        "message": VALUES,
        "usage": VALUES,
        "error": VALUES,
    },
)


@given(st.lists(EVENTS, max_size=12))
def test_no_provider_can_make_the_reader_or_the_writer_raise(events: list[Any]) -> None:
    data = b"".join([b"data: " + json.dumps(event).encode() + b"\n\n" for event in events])
    stream = MessagesStream(upstream())
    found = [*stream.feed(data), *stream.end()]
    told = Sequencer().feed(found)
    MessagesOut(asked()).encode(told)
    with suppress(UpstreamFault):
        respond(fold(Sequencer().feed(play([data]))), asked())


@given(st.binary(max_size=300))
def test_any_bytes_are_read(data: bytes) -> None:
    for event in play([data + b"\n\n"]):
        assert event is not None
    with suppress(UpstreamFault):
        UPSTREAM.read(data, upstream())


@given(st.dictionaries(st.sampled_from(["content", "usage", "stop_reason", "id", "model", "type"]),
                       VALUES | st.lists(BLOCKS, max_size=3)))  # fmt: skip
def test_any_json_answer_is_read_or_refused_with_a_typed_error(body: dict[str, Any]) -> None:
    with suppress(UpstreamFault):
        fold(sequenced(UPSTREAM.read(json.dumps(body).encode(), upstream())))


TEXT = st.text(min_size=1, max_size=8)
KINDS = st.sampled_from(["text", "refusal", "thinking", "sealed", "call", "custom"])


@st.composite
def answers(draw: Any) -> list[Event]:
    """A sequential answer of any shape, as after the `Sequencer`."""
    out: list[Event] = [Started("up_1", "model-x")]
    for key in range(draw(st.integers(0, 5))):
        kind = draw(KINDS)
        pieces = draw(st.lists(TEXT, min_size=1, max_size=3))
        if kind in ("text", "refusal"):
            out.append(MessageStart(key))
            make: Any = TextDelta if kind == "text" else RefusalDelta
            for piece in pieces:
                out.append(make(key, piece))
                if kind == "text" and draw(st.booleans()):
                    url = Citation(kind="url", url="https://x", cited_text=piece)
                    out.append(CitationAdded(key, url))
                if draw(st.booleans()):
                    out.append(PartEnd(key))
        elif kind in ("thinking", "sealed"):
            out.append(ReasoningStart(key))
            if kind == "thinking":
                out += [SummaryDelta(key, piece) for piece in pieces]
            if kind == "sealed" or draw(st.booleans()):
                what: Any = draw(st.sampled_from(["signature", "redacted", "next", "encrypted"]))
                out.append(SealedSeen(key, Sealed("o", what, pieces[0])))
        else:
            out.append(
                CallStart(key, f"call_{key}", "f", "custom" if kind == "custom" else "function")
            )
            if kind == "call":
                whole = json.dumps({"a": "".join(pieces)})
                out += [ArgumentsDelta(key, piece) for piece in split_text(whole, draw)]
            else:
                out += [ArgumentsDelta(key, piece) for piece in pieces]
        out.append(ItemEnd(key))
    usage = Usage(input_uncached=3, cache_read=2, output_text=5, reasoning=1)
    reason: Any = draw(st.sampled_from(["stop", "length", "tool_calls", "refusal", "pause"]))
    return [*out, UsageSeen(usage), Finish(reason)]


def split_text(text: str, draw: Any) -> list[str]:
    at = draw(st.integers(1, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]


def check_grammar(events: list[dict[str, Any]]) -> None:
    """Blocks are sequential, indexes rise by one, everything opened is closed."""
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    index, kind, signed = -1, "", True
    for event in events[2:-2]:
        if event["type"] == "content_block_start":
            assert not kind
            assert event["index"] == index + 1
            index, kind = event["index"], event["content_block"]["type"]
            signed = kind != "thinking"
        else:
            assert kind
            assert event["index"] == index
            if event["type"] == "content_block_stop":
                assert signed
                kind = ""
            else:
                assert not (kind == "thinking" and signed), "nothing follows the signature"
                signed = signed or event["delta"]["type"] == "signature_delta"
    assert not kind


@given(answers(), st.lists(st.integers(0, 40), max_size=4))
def test_every_stream_is_valid_and_means_what_the_whole_answer_means(
    events: list[Event], cuts: list[int]
) -> None:
    told = asked()
    stream = MessagesOut(told)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(events)}), len(events)]
    frames = b"".join([stream.encode(events[a:b]) for a, b in pairwise(edges)])
    check_grammar(payloads(frames))
    streamed = accumulate(frames).model_dump()
    whole = json.loads(respond(fold(events), asked()))
    for block in streamed["content"]:
        block.pop("parsed_output", None)
    assert [_shape(block) for block in streamed["content"]] == [
        _shape(block) for block in whole["content"]
    ]
    for name in ("id", "role", "model", "stop_reason", "stop_sequence"):
        assert streamed[name] == whole[name]
    for name, count in whole["usage"].items():
        if name != "service_tier":
            assert streamed["usage"][name] == count
    assert stream.cut(UpstreamTruncated("x")) == b""


def _shape(block: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same; a sealed proof is, once it is open."""
    out = {name: value for name, value in block.items() if value is not None and name != "caller"}
    for name in ("signature", "data"):
        if out.get(name):
            out[name] = unseal(out[name])
    if "citations" in out:
        out["citations"] = [
            {name: value for name, value in citation.items() if value is not None}
            for citation in out["citations"]
        ]
    return out


@given(answers(), st.integers(0, 60))
def test_a_stream_that_is_cut_ends_with_one_error(events: list[Event], at: int) -> None:
    stream = MessagesOut(asked())
    fault = UpstreamTruncated("It was cut.")
    frames = stream.encode(events[: min(at, len(events) - 1)])
    frames += stream.encode([Failed(fault)])
    found = payloads(frames)
    assert [event["type"] for event in found].count("error") == 1
    assert found[-1] == {
        "type": "error",
        "error": {"type": "api_error", "message": "It was cut."},
    }
    assert "message_stop" not in {event["type"] for event in found}
    assert stream.encode(events) == b""
    assert stream.cut(fault) == b""
