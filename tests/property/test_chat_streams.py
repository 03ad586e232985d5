"""Whatever the chunks and whatever a provider sends: the same events, and only typed errors."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from tests.unit.dialects.chat_translate import chat_kit as kit

from portico.dialects.chat import maps
from portico.dialects.chat.client import CLIENT
from portico.dialects.chat.upstream import UPSTREAM
from portico.errors import BadRequest, UpstreamFault
from portico.limits import Limits
from portico.model.events import Event, Failed, Finish
from portico.model.response import GenerateResponse, fold
from portico.model.sequence import Sequencer
from portico.wire.json import shallow
from portico.wire.sse import Frames

TEXT = st.text(max_size=12)
MAYBE = st.sampled_from
KINDS = st.sampled_from(maps.providers())
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A whole message as a provider may send it."""
    message: dict[str, Any] = {"role": "assistant", "content": draw(TEXT | st.none())}
    if draw(st.booleans()):
        message[draw(MAYBE(["reasoning_content", "reasoning"]))] = draw(TEXT)
    if draw(st.booleans()):
        message["refusal"] = draw(TEXT)
    names = draw(st.lists(MAYBE(["f", "g"]), max_size=3))
    if names:
        message["tool_calls"] = [
            {
                "id": f"call_{at}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps({"x": draw(TEXT)})},
            }
            for at, name in enumerate(names)
        ]
    return message


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    edges = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=4))})
    return [text[a:b] for a, b in pairwise(edges)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A whole answer, and the same one as a stream with fragments of any size."""
    message = draw(messages())
    finish = draw(MAYBE(["stop", "length", "tool_calls", "content_filter", "weird"]))
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "reasoning", "content", "refusal"):
        deltas += [{name: piece} for piece in pieces(draw, message.get(name) or "")]
    for index, call in enumerate(message.get("tool_calls", [])):
        inner = call["function"]
        deltas.append(
            {"tool_calls": [{**call, "index": index, "function": {**inner, "arguments": ""}}]}
        )
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in pieces(draw, inner["arguments"])
        ]
    chunks = [kit.chunk(delta) for delta in deltas] + [kit.chunk({}, finish)]
    if draw(st.booleans()):
        chunks.append(kit.chunk(choices=[], usage=USAGE))
    else:
        chunks[-1]["usage"] = USAGE
    return kit.answer(message, finish, usage=USAGE), kit.frames(*chunks, done=draw(st.booleans()))


def play(data: bytes, cuts: list[int], kind: str) -> list[Event]:
    """The events of a stream that arrives in these pieces."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    frames = Frames()
    reader = UPSTREAM.stream(kit.upstream(kind))
    sequencer = Sequencer()
    out: list[Event] = []
    for start, end in pairwise(edges):
        block = frames.feed(data[start:end])
        if block:
            out += sequencer.feed(reader.feed(block))
    block = frames.finish()
    if block:
        out += sequencer.feed(reader.feed(block))
    return out + sequencer.feed(reader.end())


@given(answer=answers(), kind=KINDS)
def test_a_stream_folds_to_what_the_whole_answer_says(
    answer: tuple[dict[str, Any], bytes], kind: str
) -> None:
    whole, streamed = answer
    assert fold(play(streamed, [], kind)) == kit.read(whole, kit.upstream(kind))


@given(
    answer=answers(),
    kind=KINDS,
    cuts=st.lists(st.integers(0, 4000), max_size=12),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_chunking_gives_the_same_events(
    answer: tuple[dict[str, Any], bytes], kind: str, cuts: list[int], end: str
) -> None:
    data = answer[1].replace(b"\n", end.encode())
    expected = play(data, [], kind)
    assert play(data, cuts, kind) == expected
    assert play(data, list(range(len(data))), kind) == expected


@given(answer=answers())
def test_what_a_client_is_told_does_not_depend_on_streaming(
    answer: tuple[dict[str, Any], bytes],
) -> None:
    events = play(answer[1], [], "openAI")
    folded: GenerateResponse = fold(play(answer[1], [], "openAI"))
    whole = kit.respond(folded)["choices"][0]
    out = CLIENT.stream(kit.asked())
    told = kit.payloads(b"".join([out.encode([event]) for event in events]))
    content = {"content": "", "refusal": "", "reasoning_content": ""}
    for each in told:
        for name in content:
            content[name] += each["choices"][0]["delta"].get(name) or ""
    assert {name: text or None for name, text in content.items()} == {
        name: whole["message"].get(name) for name in content
    }
    assert told[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]


NAMES = st.sampled_from(
    [
        "id", "model", "choices", "delta", "message", "content", "index", "finish_reason", "usage",
        "tool_calls", "function", "name", "arguments", "reasoning_details", "reasoning", "type",
        "text", "data", "signature", "annotations", "url_citation", "error", "code", "logprobs",
        "images", "image_url", "url", "x_groq", "extra_content", "google", "thought_signature",
        "citations", "search_results", "thinking", "role", "messages", "tools", "custom",
        "response_format", "tool_choice", "stop", "audio", "format", "created", "object",
    ]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | TEXT
    | st.sampled_from(["stop", "f", "text", "reasoning.text", "ptco1_", "<think>", "portico-v1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
SHAPED = st.builds(
    lambda choice, more: {"choices": [choice], **more},
    st.dictionaries(st.sampled_from(["delta", "message", "index", "finish_reason", "logprobs"]),
                    JSON, max_size=4),
    st.dictionaries(NAMES, JSON, max_size=3),
)  # fmt: skip


@given(
    lines=st.lists(st.binary(max_size=60) | (SHAPED | JSON).map(lambda v: json.dumps(v).encode()),
                   max_size=8),
    kind=KINDS,
)  # fmt: skip
@settings(max_examples=100)
def test_a_stream_of_anything_raises_nothing(lines: list[bytes], kind: str) -> None:
    data = b"".join([b"data: " + line + b"\n\n" for line in lines])
    events = play(data, [], kind)
    ends = [event for event in events if isinstance(event, Finish | Failed)]
    assert len(ends) <= 1
    out = CLIENT.stream(kit.asked())
    told = out.encode(events)
    assert told.count(b"data: [DONE]\n\n") == sum(isinstance(end, Finish) for end in ends)


@given(body=st.binary(max_size=80) | (SHAPED | JSON).map(lambda v: json.dumps(v).encode()))
@settings(max_examples=100)
def test_an_answer_of_anything_is_events_or_a_typed_fault(body: bytes) -> None:
    try:
        events = UPSTREAM.read(body, kit.upstream("openrouter"))
    except UpstreamFault:
        return
    assert isinstance(events[-1], Finish | Failed)
    UPSTREAM.read_error(500, {b"retry-after": body[:20]}, body)


@given(
    value=st.fixed_dictionaries(
        {"model": st.just("m"), "messages": st.lists(
            st.dictionaries(NAMES, JSON, max_size=4).map(lambda more: {"role": "assistant", **more})
            | JSON, max_size=3)},
        optional={"tools": JSON, "tool_choice": JSON, "response_format": JSON, "stop": JSON},
    )
)  # fmt: skip
@settings(max_examples=100)
def test_a_request_of_anything_is_read_or_refused(value: dict[str, Any]) -> None:
    raw = json.dumps(value).encode() if _finite(value) else b"{}"
    try:
        fields: dict[str, Raw] = shallow(raw)
        CLIENT.strip(dict(fields))
        request = CLIENT.read(fields, raw, Limits(), kit.unseal)
        UPSTREAM.write(request, kit.upstream("openrouter"), [])
    except BadRequest:
        return


def _finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
