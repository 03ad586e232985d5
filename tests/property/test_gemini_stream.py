"""A Gemini stream reads the same however it is cut, and garbage never raises."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.gemini import gemini_examples as examples

from portico.dialects.gemini import count_tokens, schema
from portico.dialects.gemini.partial_args import Assembly
from portico.dialects.gemini.upstream import UPSTREAM
from portico.dialects.gemini.wire import PartialArg
from portico.errors import BadRequest, UpstreamFault, UpstreamProtocol
from portico.model.events import Event, Failed, Finish
from portico.model.response import GenerateResponse, fold
from portico.model.sequence import Sequencer
from portico.wire.sse import Frames


def read(stream: bytes, cuts: list[int]) -> list[Event]:
    reader, frames = UPSTREAM.stream(examples.upstream()), Frames()
    events: list[Event] = []
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(places):
        whole = frames.feed(stream[start:end])
        if whole:
            events += reader.feed(whole)
    whole = frames.finish()
    return events + (reader.feed(whole) if whole else []) + reader.end()


def folded(events: list[Event]) -> GenerateResponse:
    return fold(Sequencer().feed(events))


STREAMS = {name: examples.sse(chunks) for name, (chunks, _) in examples.PAIRS.items()}
EXPECTED = {name: folded(read(stream, [])) for name, stream in STREAMS.items()}


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte(name: str) -> None:
    stream = STREAMS[name]
    assert folded(read(stream, list(range(len(stream))))) == EXPECTED[name]


@pytest.mark.parametrize("name", STREAMS)
def test_in_one_piece_with_other_line_ends(name: str) -> None:
    stream = b"\xef\xbb\xbf: hello\n\n" + STREAMS[name].replace(b"\r\n", b"\n")
    assert folded(read(stream, [])) == EXPECTED[name]


@given(name=st.sampled_from(sorted(STREAMS)), cuts=st.lists(st.integers(0, 100_000), max_size=12))
def test_at_any_cut(name: str, cuts: list[int]) -> None:
    assert folded(read(STREAMS[name], cuts)) == EXPECTED[name]


@given(
    name=st.sampled_from(sorted(STREAMS)),
    end=st.integers(0, 100_000),
)
def test_a_stream_cut_before_its_last_frame_never_finishes(name: str, end: int) -> None:
    stream = STREAMS[name]
    last = stream.rindex(b"data:")
    events = read(stream[: end % last] if last else b"", [])
    assert not any(isinstance(event, Finish) for event in events)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall",
        "name", "args", "partialArgs", "jsonPath", "stringValue", "willContinue", "executableCode",
        "codeExecutionResult", "inlineData", "mimeType", "data", "toolCall", "toolResponse", "id",
        "toolType", "finishReason", "finishMessage", "groundingMetadata", "groundingChunks",
        "groundingSupports", "groundingChunkIndices", "segment", "endIndex", "web", "uri",
        "citationMetadata", "citations", "logprobsResult", "chosenCandidates", "usageMetadata",
        "promptTokenCount", "promptFeedback", "blockReason", "error", "code", "status", "index",
    ]
)  # fmt: skip
VALUES = st.sampled_from(
    [None, True, 0, -1, 3.5, 1 << 70, "", "x", "STOP", "OTHER", "$.a[0].b", "image/png", "é🌍", []]
)
SHAPED = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


def mutated(draw: Any, value: Any) -> Any:
    """A real answer in which one place is something else."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: mutated(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], mutated(draw, value[at]), *value[at + 1 :]]
    return draw(SHAPED)


@st.composite
def odd_answers(draw: Any) -> Any:
    _, body = examples.PAIRS[draw(st.sampled_from(sorted(examples.PAIRS)))]
    return mutated(draw, body)


@given(body=st.one_of(SHAPED, JSON, odd_answers(), odd_answers()))
def test_any_json_is_read_or_a_typed_fault(body: Any) -> None:
    data = json.dumps(body).encode()
    reader = UPSTREAM.stream(examples.upstream())
    events = reader.feed(b"data: " + data + b"\n\n") + reader.end()
    ends = [event for event in events if isinstance(event, Finish | Failed)]
    assert len(ends) <= 1
    assert not ends or events[-1] is ends[0]
    try:
        whole = UPSTREAM.read(data, examples.upstream())
    except UpstreamProtocol:
        assert events == []
        return
    assert isinstance(whole[-1], Finish | Failed)
    try:
        assert folded(whole).finish is not None
    except UpstreamFault:
        assert isinstance(whole[-1], Failed)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_a_typed_fault(data: bytes) -> None:
    reader = UPSTREAM.stream(examples.upstream())
    reader.feed(b"data: " + data + b"\n\n")
    reader.feed(data + b"\n\n")
    reader.end()
    UPSTREAM.read_error(400, {}, data)
    for function in (lambda: UPSTREAM.read(data, examples.upstream()),
                     lambda: count_tokens.read(data)):  # fmt: skip
        with contextlib.suppress(UpstreamFault):
            function()


KEYWORDS = st.sampled_from(
    [
        "type", "properties", "items", "prefixItems", "anyOf", "oneOf", "allOf", "$ref", "$defs",
        "enum", "const", "required", "format", "nullable", "additionalProperties", "not", "a",
        "exclusiveMinimum", "description", "minimum",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    ["object", "array", "string", "integer", "null", "#/$defs/a", "#", "a", None, 1, 2.5, True, {}]
)
SCHEMAS = st.dictionaries(
    KEYWORDS,
    st.recursive(
        WORDS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4),
        max_leaves=25,
    ),
    max_size=6,
)


@given(given_schema=SCHEMAS)
def test_any_schema_is_converted_to_the_subset_or_refused(given_schema: Any) -> None:
    try:
        converted = schema.openapi(examples.raw(given_schema), "p", [])
    except BadRequest:
        return
    allowed = {
        "type", "format", "title", "description", "nullable", "enum", "maxItems", "minItems",
        "properties", "required", "minProperties", "maxProperties", "minLength", "maxLength",
        "pattern", "anyOf", "propertyOrdering", "default", "items", "minimum", "maximum",
    }  # fmt: skip

    def check(found: Any) -> None:
        assert isinstance(found, dict)
        assert found.keys() <= allowed
        assert "type" in found or "anyOf" in found
        if found.get("type") == "ARRAY":
            check(found["items"])
        for inner in [*found.get("properties", {}).values(), *found.get("anyOf", [])]:
            check(inner)

    check(converted)


@given(
    paths=st.lists(
        st.text(alphabet="$.[]'\"ab01\\", max_size=12).map("$".__add__), min_size=1, max_size=6
    )
)
def test_any_paths_give_an_object(paths: list[str]) -> None:
    assembly = Assembly()
    for path in paths:
        assembly.add([PartialArg(path, "x")])
    assert isinstance(json.loads(assembly.text()), dict)
