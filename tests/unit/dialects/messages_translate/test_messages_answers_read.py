"""Answers of Anthropic, whole and streamed, in the hub's terms."""

import json
from typing import Any

import pytest
from anthropic.types import Message as SdkMessage
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.unit.dialects.messages_translate import recordings as rec
from tests.unit.dialects.messages_translate.common import ORIGIN, sequenced, sse, upstream

from portico.dialects.messages.stream_in import MessagesStream
from portico.dialects.messages.upstream import UPSTREAM
from portico.errors import UpstreamAuth, UpstreamFault, UpstreamProtocol, UpstreamRejected
from portico.model.events import Event, Failed, Finish, Started, UsageSeen
from portico.model.items import Hosted, Message, Reasoning, ToolCall
from portico.model.parts import Text
from portico.model.response import GenerateResponse, fold
from portico.model.sealed import Sealed
from portico.model.usage import Usage

COUNTED = Usage(input_uncached=43, cache_read=7, cache_write=5, output_text=15, reasoning=6)


def told(*events: dict[str, Any]) -> list[Event]:
    stream = MessagesStream(upstream())
    return [*stream.feed(sse(*events)), *stream.end()]


def read(body: bytes) -> GenerateResponse:
    return fold(sequenced(UPSTREAM.read(body, upstream())))


@pytest.mark.parametrize("name", rec.PAIRS)
def test_the_recordings_are_what_the_sdk_expects(name: str) -> None:
    body, events = rec.PAIRS[name]
    if name not in ("mcp and code", "compaction"):  # only in the beta types
        SdkMessage.model_validate_json(body)
        adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
        for event in events:
            if event["type"] != "ping":
                adapter.validate_python(event)


@pytest.mark.parametrize("name", rec.PAIRS)
def test_a_stream_folds_to_the_same_answer_as_the_whole(name: str) -> None:
    body, events = rec.PAIRS[name]
    stream = MessagesStream(upstream())
    streamed = fold(sequenced([*stream.feed(rec.frames(events)), *stream.end()]))
    assert streamed == read(body)
    assert streamed.usage == COUNTED
    assert (streamed.id, streamed.service_tier) == ("msg_1", "priority")
    assert streamed.model == "claude-sonnet-4-5-20250929"


def test_thinking_calls_and_text_become_items() -> None:
    found = read(rec.PAIRS["thinking and calls"][0])
    assert found.items == (
        Reasoning(("let me\nsee",), (), Sealed(ORIGIN, "signature", "EqQ+/=")),
        Reasoning((), (), Sealed(ORIGIN, "redacted", "Emw==")),
        Message("assistant", (Text("calling"),)),
        ToolCall("toolu_1", "f", '{"a":"é","b":[1]}'),
        ToolCall("toolu_2", "g", "{}"),
    )
    assert found.finish == Finish("tool_calls", "", "tool_use", "priority")


def test_neighbouring_text_blocks_are_parts_of_one_message_with_their_citations() -> None:
    found = read(rec.PAIRS["search with citations"][0])
    first, search, last = found.items
    assert first == Message("assistant", (Text("looking"),))
    assert isinstance(search, Hosted)
    assert (search.type, search.input, search.hits[0].url) == (
        "web_search_call",
        "cats",
        "https://c",
    )
    assert json.loads(bytes(search.native[1])) == [  # type: ignore[index]
        {**rec.SEARCH, "input": {"query": "cats"}},
        rec.FOUND,
    ]
    assert isinstance(last, Message)
    assert [part.text for part in last.parts] == ["They say ", "meow", "."]  # type: ignore[union-attr]
    assert [len(part.citations) for part in last.parts] == [0, 1, 0]  # type: ignore[union-attr]
    (citation,) = last.parts[1].citations  # type: ignore[union-attr]
    assert (citation.kind, citation.url, citation.title) == ("url", "https://c", "Cats")
    assert json.loads(bytes(citation.native[1])) == rec.PLACE


def test_server_side_items_say_what_was_asked_and_what_came() -> None:
    mcp, code = read(rec.PAIRS["mcp and code"][0]).items
    assert isinstance(mcp, Hosted)
    assert isinstance(code, Hosted)
    assert (mcp.type, mcp.name, mcp.input, mcp.output) == ("mcp_call", "t", '{"a":1}', "said")
    assert (code.type, code.input, code.output) == ("code_interpreter_call", "1/0", "out\nerr")


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop_sequence"), ("tool_use", "tool_calls"),
        ("max_tokens", "length"), ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"), ("pause_turn", "pause"), ("compaction", "pause"),
        ("brand_new", "stop"),
    ],
)  # fmt: skip
def test_stop_reasons(reason: str, wanted: str) -> None:
    finish = read(rec.whole([], stop_reason=reason)).finish
    assert (finish.reason, finish.native) == (wanted, reason)
    streamed = told(rec.start(), *rec.end(reason))[-1]
    assert isinstance(streamed, Finish)
    assert (streamed.reason, streamed.native) == (wanted, reason)


def test_the_words_of_a_refusal_and_the_sequence_that_was_hit_are_kept() -> None:
    assert read(rec.PAIRS["refusal without content"][0]).finish.detail == "No."
    assert read(rec.PAIRS["stop sequence"][0]).finish.detail == "END"


def test_a_block_cut_by_the_token_limit_is_incomplete() -> None:
    (call,) = read(rec.PAIRS["out of tokens in a call"][0]).items
    assert isinstance(call, ToolCall)
    assert call.status == "incomplete"


def test_input_that_is_whole_at_the_start_is_told_once() -> None:
    first = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    found = fold(sequenced(told(rec.start(), *rec.block(0, first), *rec.end("tool_use"))))
    assert found.items == (ToolCall("t", "f", '{"a": 1}'),)


def test_a_second_message_start_changes_nothing_but_counts() -> None:
    events = told(
        rec.start(),
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": rec.text_delta("a")},
        rec.start(input_tokens=61),
        {"type": "content_block_delta", "index": 0, "delta": rec.text_delta("b")},
        {"type": "content_block_stop", "index": 0},
        *rec.end(),
    )
    assert sum(isinstance(event, Started) for event in events) == 1
    assert fold(sequenced(events)).items == (Message("assistant", (Text("ab"),)),)


def test_usage_is_told_as_soon_as_it_is_known() -> None:
    first = told(rec.start())
    seen = [event.usage for event in first if isinstance(event, UsageSeen)]
    assert [usage.input_total for usage in seen] == [52]
    revised = told(rec.start(), *rec.end())
    assert [e.usage for e in revised if isinstance(e, UsageSeen)][-1] == COUNTED


def test_unknown_events_blocks_and_deltas_are_skipped() -> None:
    events = told(
        rec.start(),
        {"type": "brand_new", "x": 1},
        *rec.block(0, {"type": "brand_new_block", "id": 5}, {"type": "brand_new_delta"}),
        *rec.block(
            1, {"type": "text", "text": ""}, {"type": "odd", "text": None}, rec.text_delta("a")
        ),
        {"type": "content_block_delta", "index": 9, "delta": rec.text_delta("lost")},
        {"type": "content_block_stop", "index": 9},
        *rec.end(),
    )
    assert fold(sequenced(events)).items == (Message("assistant", (Text("a"),)),)


def test_a_stop_reason_without_message_stop_is_an_end_only_if_the_connection_ends_well() -> None:
    stream = MessagesStream(upstream())
    events = [rec.start(), *rec.end()[:1]]
    assert not any(isinstance(event, Finish) for event in stream.feed(sse(*events)))
    assert [type(event) for event in stream.end()] == [Finish]
    assert stream.end() == []


def test_a_stream_without_a_stop_reason_never_finishes() -> None:
    for last in ([], [{"type": "message_stop"}], [{"type": "message_delta", "delta": {}}]):
        events = told(rec.start(), *rec.PAIRS["text"][1][2:-2], *last)
        assert not any(isinstance(event, Finish | Failed) for event in events)


ERRORS = [
    ("overloaded_error", 529, "overloaded"),
    ("rate_limit_error", 429, "rate_limit_exceeded"),
    ("api_error", 500, "server_error"),
    ("timeout_error", 504, "upstream_timeout"),
    ("invalid_request_error", 400, "invalid_request_error"),
    ("billing_error", 402, "insufficient_quota"),
    ("not_found_error", 404, "model_not_found"),
    ("request_too_large", 413, "request_too_large"),
    ("brand_new_error", 500, "brand_new_error"),
]


def error(kind: str, message: str = "Sorry.") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(("kind", "status", "code"), ERRORS)
def test_an_error_event_keeps_its_class(kind: str, status: int, code: str) -> None:
    for before in ([], [rec.start()]):
        events = told(*before, error(kind), *rec.end())
        failed = events[-1]
        assert isinstance(failed, Failed)
        assert isinstance(failed.fault, UpstreamRejected)
        assert (failed.fault.http_status, failed.fault.code) == (status, code)
        assert failed.fault.message == "Sorry."
        assert not any(isinstance(event, Finish) for event in events)


@pytest.mark.parametrize(("kind", "status", "code"), ERRORS[:-1])
def test_an_error_answer_keeps_its_status_and_its_delay(kind: str, status: int, code: str) -> None:
    body = json.dumps(error(kind)).encode()
    fault = UPSTREAM.read_error(status, {b"retry-after": b"17"}, body)
    assert (fault.http_status, fault.code, fault.retry_after) == (status, code, "17")


def test_the_operators_credential_is_never_the_callers_fault() -> None:
    for kind, status in (("authentication_error", 401), ("permission_error", 403)):
        body = json.dumps(error(kind)).encode()
        assert isinstance(UPSTREAM.read_error(status, {}, body), UpstreamAuth)
        failed = told(error(kind))[-1]
        assert isinstance(failed, Failed)
        assert isinstance(failed.fault, UpstreamAuth)


def test_a_prompt_that_is_too_long_says_so_in_its_code() -> None:
    body = json.dumps(
        error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
    ).encode()
    assert UPSTREAM.read_error(400, {}, body).code == "context_length_exceeded"


def test_an_error_in_a_successful_answer_is_an_error() -> None:
    body = json.dumps(error("overloaded_error")).encode()
    (failed,) = UPSTREAM.read(body, upstream())
    assert isinstance(failed, Failed)
    assert failed.fault.http_status == 529


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"content":{}}', b"[" * 5000])
def test_what_is_no_message_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        UPSTREAM.read(body, upstream())


@given(st.binary(max_size=200), st.integers(200, 599))
def test_any_error_body_gives_a_typed_error(body: bytes, status: int) -> None:
    assert isinstance(UPSTREAM.read_error(status, {}, body), UpstreamFault)


def test_a_block_with_a_name_that_is_not_utf8_is_still_told() -> None:
    frames = (
        (
            b'{"type":"content_block_start","index":0,"content_block":'
            b'{"type":"server_tool_use","id":"a","name":"web_search","\xff":1}}'
        ),
        (
            b'{"type":"content_block_delta","index":0,"delta":'
            b'{"type":"input_json_delta","partial_json":"{\\"query\\":\\"x\\"}"}}'
        ),
        b'{"type":"content_block_stop","index":0}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"}}',
        b'{"type":"message_stop"}',
    )
    stream = MessagesStream(upstream())
    events = stream.feed(b"".join([b"data: %b\n\n" % frame for frame in frames]))
    (item,) = fold(sequenced(events)).items
    assert isinstance(item, Hosted)
    assert item.input == "x"
