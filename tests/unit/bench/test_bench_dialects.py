import base64
import json
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from bench import dialects, wire
from openai.types.chat import ChatCompletion
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from portico.dialects.translate import Asked
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.gateway.translate import Translation
from portico.limits import Limits
from portico.model.passes.fit import fit
from portico.model.response import Folder
from portico.model.sequence import Sequencer
from portico.policy.sealing import Sealer
from portico.wire.json import shallow

CLIENT = CLIENTS["responses"]
SEALER = Sealer("s").tenant(b"")


def asked(dialect: str, body: bytes, base: str = "0" * 31 + "1", created: int = 7) -> Asked:
    fields = shallow(body)
    return Asked(
        request=CLIENT.read(fields, body, Limits(), SEALER.unseal),
        fields=fields,
        base=base,
        created=created,
        clock=lambda: created + 1.0,
        model=dialects.MODELS[dialect],
        seal=SEALER.seal,
        losses=[],
    )


def streamed(dialect: str, base: str = "a1" * 16, created: int = 1) -> bytes:
    """What the gateway makes of the provider's stream."""
    uplink = UPSTREAMS[dialect]
    upstream = uplink.upstream("custom", "o", frozenset(), dialects.MODELS[dialect])
    question = asked(dialect, dialects.question("m", stream=True), base, created)
    lane = Translation(
        uplink.side.stream(upstream), CLIENT.stream(question), None, question.request
    )
    events = dialects.events(dialect, 20)
    if dialect == "chat":
        events.insert(-1, wire.USAGE_EVENT)
    return b"".join(map(lane.feed, events)) + lane.end()


def whole(dialect: str) -> bytes:
    uplink = UPSTREAMS[dialect]
    upstream = uplink.upstream("custom", "o", frozenset(), dialects.MODELS[dialect])
    folder = Folder()
    folder.feed(Sequencer().feed(uplink.side.read(dialects.answer(dialect), upstream)))
    question = asked(dialect, dialects.question("m", stream=False))
    return CLIENT.respond(folder.result(), question)


def test_the_answers_are_what_the_official_types_describe() -> None:
    chat = ChatCompletion.model_validate_json(dialects.answer("chat"), strict=True)
    message = Message.model_validate_json(dialects.answer("messages"), strict=True)
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, message.usage.input_tokens) == (wire.INPUT_TOKENS,) * 2
    assert b"'" not in dialects.answer("chat") + dialects.answer("messages")  # nginx quotes it


@pytest.mark.parametrize("dialect", dialects.UPSTREAMS)
def test_a_stream_has_as_many_events_as_asked_for(dialect: str) -> None:
    events = dialects.events(dialect, 100)
    assert len(events) == 100
    assert all(event.endswith(b"\n\n") and event.count(b"\n\n") == 1 for event in events)


def test_messages_events_are_what_the_official_types_describe() -> None:
    read = TypeAdapter[Any](RawMessageStreamEvent).validate_json
    for event in dialects.events("messages", 30):
        name, data = event.decode().split("\n", 1)
        if name != "event: ping":
            assert f"event: {read(data.removeprefix('data: ')).type}" == name


def test_batches_hold_the_same_bytes() -> None:
    events = dialects.events("messages", 100)
    batches = dialects.batched(events, 8)
    assert b"".join(batches) == b"".join(events)
    assert len(batches) == 13


@pytest.mark.parametrize("dialect", dialects.UPSTREAMS)
def test_requests_translate_without_loss(dialect: str) -> None:
    for body in (dialects.question("m", stream=False), dialects.pictures("m")):
        uplink = UPSTREAMS[dialect]
        upstream = uplink.upstream("custom", "o", frozenset(), dialects.MODELS[dialect])
        losses: list[Any] = []
        request = asked(dialect, body).request
        fitted = fit(request, upstream.capabilities, frozenset(), losses)
        assert uplink.side.write(fitted.request, upstream, losses)
        assert losses == []


def test_the_large_request_is_one_mebibyte_with_two_images() -> None:
    body = dialects.pictures("m")
    assert dialects.MIB <= len(body) < dialects.MIB + 1024
    parts = json.loads(body)["input"][0]["content"]
    images = [part["image_url"] for part in parts if part["type"] == "input_image"]
    raw = [base64.b64decode(url.partition(",")[2], validate=True) for url in images]
    assert len(raw) == 2
    assert raw[0] != raw[1]


@pytest.mark.parametrize("dialect", dialects.UPSTREAMS)
def test_a_right_answer_is_accepted(dialect: str) -> None:
    assert dialects.wrong_answer(200, whole(dialect)) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"fox", b"dog"), (b'"completed"', b'"failed"'), (b":42", b":43"), (b'"output"', b'"out"')],
)
def test_a_wrong_answer_is_not(old: bytes, new: bytes) -> None:
    assert dialects.wrong_answer(200, whole("chat").replace(old, new))
    assert dialects.wrong_answer(500, whole("chat"))
    assert dialects.wrong_answer(200, b"[]")


@pytest.mark.parametrize("dialect", dialects.UPSTREAMS)
def test_a_right_stream_is_accepted(dialect: str) -> None:
    stream = streamed(dialect)
    read = TypeAdapter[Any](ResponseStreamEvent).validate_json
    for frame in stream.split(b"\n\n")[:-2]:
        read(frame.partition(b"\ndata: ")[2])
    assert dialects.wrong_stream(stream, dialects.streamed_text(dialect, 20)) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"data: [DONE]\n\n", b""),
        (b'"sequence_number":5,', b'"sequence_number":6,'),
        (b'"delta":" fox"', b'"delta":" dog"'),
        (b"event: response.completed", b"event: response.done"),
        (b'"output_tokens":25', b'"output_tokens":24'),
        (b"data: {", b"data: "),
    ],
)
def test_a_wrong_stream_is_not(old: bytes, new: bytes) -> None:
    stream = streamed("chat")
    assert old in stream
    assert dialects.wrong_stream(stream.replace(old, new), dialects.streamed_text("chat", 20))


def test_streams_differ_in_ids_and_times_only() -> None:
    one, other = streamed("messages", "ab" * 16, 11), streamed("messages", "cd" * 16, 22)
    assert one != other
    assert dialects.same_for_all(one) == dialects.same_for_all(other)
    changed = other.replace(b'" fox"', b'" cat"', 1)
    assert dialects.same_for_all(one) != dialects.same_for_all(changed)
