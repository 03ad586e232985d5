"""What the benchmark's provider of Responses sends is what OpenAI's would be."""

from typing import Any

import pytest
from bench import dialects, responses, wire
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from portico.dialects.responses.stored_items import hidden_base, owner_of

NOW = 1_790_000_000


def test_the_answer_is_what_the_official_type_describes() -> None:
    body = responses.answer(NOW)
    read = Response.model_validate_json(body)
    assert (read.created_at, read.model) == (NOW, responses.UPSTREAM_MODEL)
    assert dialects.wrong_answer(200, body) == ""


def test_the_answer_can_stand_in_a_configuration_of_nginx() -> None:
    assert not set(b"'$\\") & set(responses.answer(NOW))


def test_ids_differ_where_their_digits_do_and_look_like_a_providers() -> None:
    own = responses.answer(NOW).replace(responses.DIGITS.encode(), b"0" * 32)
    read = Response.model_validate_json(own)
    assert responses.DIGITS not in own.decode()
    assert hidden_base(read.id) is None
    assert owner_of(read.output[0].id or "") is None


def test_the_events_are_what_the_official_types_describe() -> None:
    read = TypeAdapter[Any](ResponseStreamEvent).validate_json
    events = responses.events(20, NOW)
    assert len(events) == 20
    for event in events:
        name, data = event.decode().split("\n", 1)
        assert f"event: {read(data.removeprefix('data: ')).type}" == name


def test_a_stream_of_the_provider_is_right_without_done() -> None:
    stream = b"".join(responses.events(20, NOW))
    says = responses.streamed_text(20)
    assert dialects.wrong_stream(stream, says, done=False) == ""
    assert dialects.wrong_stream(stream, says) == "no [DONE] at the end"
    assert dialects.wrong_stream(stream[:-1], says, done=False) == "not whole at the end"
    assert dialects.wrong_stream(stream + b"data: [DONE]\n\n", says, done=False)


def test_streams_differ_in_their_digits_only() -> None:
    stream = b"".join(responses.events(20, NOW))
    other = stream.replace(responses.DIGITS.encode(), b"ab" * 16)
    assert stream != other
    assert dialects.same_for_all(stream) == dialects.same_for_all(other)


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_about_storing_does_not_store(stream: bool) -> None:
    assert b'"store":false' in dialects.question("m", stream)
    assert b'"store":true' in dialects.question("m", stream, store=True)
    assert b'"store":false' in dialects.pictures("m")
    assert b'"store"' not in wire.question("m", stream)  # chat has another meaning for it
