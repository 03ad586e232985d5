"""Answers of Responses providers: what of them becomes which event, and how failures are typed."""

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.unit.dialects.responses_upstream import recordings as rec

from portico.dialects.responses.maps import capabilities
from portico.dialects.responses.upstream import UPSTREAM
from portico.dialects.translate import Upstream
from portico.errors import (
    UpstreamAuth,
    UpstreamFault,
    UpstreamProtocol,
    UpstreamRejected,
    UpstreamTruncated,
)
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    UsageSeen,
)
from portico.model.items import Hit, Hosted, Message, Reasoning, ToolCall
from portico.model.parts import Text
from portico.model.response import fold
from portico.model.sealed import Sealed

AT = Upstream(
    model="gpt-5.4", provider="openai", origin="openai-1", capabilities=capabilities("gpt-5.4")
)
SECRET = "sk-proj-CANARY1234567890"


def read(response: Any) -> list[Event]:
    return UPSTREAM.read(rec.dump(response), AT)


def stream(*events: dict[str, Any], names: bool = True) -> list[Event]:
    return UPSTREAM.stream(AT).feed(rec.frames(list(events), names=names))


@pytest.mark.parametrize("name", sorted(set(rec.OUTPUTS) - {"not known"}))
def test_the_recordings_are_valid_for_the_sdk(name: str) -> None:
    output, more = rec.OUTPUTS[name]
    response = rec.whole(output, **more)
    Response.model_validate(response, strict=True)
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in rec.openai(response):
        if event.get("item", {}).get("type") == "web_search_call":
            continue  # it is announced without its action, which the SDK's type requires
        assert adapter.validate_python(event).type == event["type"]


def test_a_reasoned_call_as_events() -> None:
    output = [rec.reasoning("Think."), rec.call("f", '{"a":1}', "call_1")]
    assert stream(*rec.openai(rec.whole(output))) == [
        Started("resp_68af4030592c81938ec0a5fbab4a3e9f", "gpt-5.4-2026-03-05"),
        ReasoningStart(0),
        SummaryDelta(0, "Think"),
        SummaryDelta(0, "."),
        PartEnd(0),
        SealedSeen(0, Sealed("openai-1", "encrypted", "gAAAAABo+proof/==")),
        ItemEnd(0),
        CallStart(1, "call_1", "f"),
        ArgumentsDelta(1, '{"a":'),
        ArgumentsDelta(1, "1}"),
        ItemEnd(1),
        UsageSeen(fold(read(rec.whole(output))).usage),  # type: ignore[arg-type]
        Finish("tool_calls", "", "completed", "default"),
    ]


def test_usage_is_disjoint() -> None:
    usage = fold(read(rec.whole([]))).usage
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read) == (64, 256)
    assert (usage.output_text, usage.reasoning) == (26, 64)


@pytest.mark.parametrize(
    ("name", "reason", "native"),
    [
        ("text", "stop", "completed"),
        ("reasoning and two calls", "tool_calls", "completed"),
        ("custom call", "tool_calls", "completed"),
        ("hosted", "stop", "completed"),
        ("refusal", "stop", "completed"),
        ("cut", "length", "max_output_tokens"),
        ("cut in a call", "length", "max_output_tokens"),
        ("filtered", "content_filter", "content_filter"),
    ],
)
def test_finish_reasons(name: str, reason: str, native: str) -> None:
    output, more = rec.OUTPUTS[name]
    response = rec.whole(output, **more)
    for told in (read(response), stream(*rec.openai(response))):
        last = told[-1]
        assert isinstance(last, Finish)
        assert (last.reason, last.native) == (reason, native)


def test_an_unknown_reason_to_be_incomplete_is_a_cut() -> None:
    last = read(rec.whole([], **rec.incomplete("steered")))[-1]
    assert last == Finish("length", "", "steered", "default")
    assert read(rec.whole([], status="incomplete"))[-1] == (
        Finish("length", "", "incomplete", "default")
    )


def test_the_proof_of_reasoning_is_the_final_one_and_belongs_to_the_target() -> None:
    told = stream(*rec.openai(rec.whole([rec.reasoning(proof="final")])))
    assert [event for event in told if isinstance(event, SealedSeen)] == [
        SealedSeen(0, Sealed("openai-1", "encrypted", "final"))
    ]


def test_reasoning_that_says_nothing_is_no_item() -> None:
    response = rec.whole([rec.reasoning(proof=None), rec.message(rec.text_part("Hi"))])
    for told in (read(response), stream(*rec.openai(response))):
        assert [type(item) for item in fold(told).items] == [Message]


def test_parts_keep_their_boundaries() -> None:
    output, _ = rec.OUTPUTS["citations and logprobs"]
    (_, message) = fold(stream(*rec.openai(rec.whole(output)))).items
    assert isinstance(message, Message)
    first, second = message.parts
    assert isinstance(first, Text)
    assert (first.text, second) == ("Sunny ", Text("today"))
    assert [(note.kind, note.url, note.file_id) for note in first.citations] == [
        ("url", "https://example.com/w", ""),
        ("file", "", "file-1"),
    ]
    assert first.logprobs is not None
    assert [one["token"] for one in json.loads(bytes(first.logprobs))] == ["Sun", "ny "]
    output, _ = rec.OUTPUTS["reasoning and two calls"]
    thought = fold(stream(*rec.openai(rec.whole(output)))).items[0]
    assert isinstance(thought, Reasoning)
    assert len(thought.summary) == 2


def test_annotations_that_were_not_streamed_come_with_the_part() -> None:
    output, _ = rec.OUTPUTS["citations and logprobs"]
    events = [
        event
        for event in rec.openai(rec.whole(output))
        if event["type"] != "response.output_text.annotation.added"
    ]
    found = [event for event in stream(*events) if isinstance(event, CitationAdded)]
    assert [event.citation.kind for event in found] == ["url", "file"]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (rec.SEARCH, Hosted(type="web_search_call", id="ws_1", name="web_search",
                            input="weather berlin", hits=(Hit("https://example.com/w"),))),
        (rec.CODE, Hosted(type="code_interpreter_call", id="ci_1", name="code_interpreter",
                          input="print(6*7)", output="42\n")),
        (rec.PICTURE, Hosted(type="image_generation_call", id="ig_1", name="image_generation",
                             input="A cat", output="iVBORw0KGgo=")),
        (rec.MCP, Hosted(type="mcp_call", id="mcp_1", name="ask", input='{"q":"x"}',
                         output="An answer.")),
        ({**rec.MCP, "output": None, "error": {"type": "http_error", "code": 500,
                                               "message": "Down."}},
         Hosted(type="mcp_call", id="mcp_1", status="failed", name="ask", input='{"q":"x"}',
                output="Down.")),
        ({"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["a", "b"],
          "results": [{"file_id": "file-1", "filename": "x.md", "text": "T", "score": 0.5}]},
         Hosted(type="file_search_call", id="fs_1", name="file_search", input="a\nb",
                hits=(Hit("", "x.md", "T"),))),
        (rec.COMPACTION, Hosted(type="compaction", id="cmp_1")),
        ({"type": "acme:trace", "id": "t_1", "status": "running"},
         Hosted(type="acme:trace", id="t_1")),
    ],
)  # fmt: skip
def test_hosted_items_are_readable_and_whole(item: dict[str, Any], expected: Hosted) -> None:
    event = read(rec.whole([item]))[1]
    assert isinstance(event, HostedDone)
    native = event.item.native
    assert native is not None
    assert native[0] == "responses"
    assert json.loads(bytes(native[1])) == item
    for field in ("type", "id", "status", "name", "input", "output", "hits"):
        assert getattr(event.item, field) == getattr(expected, field)


def test_arguments_that_are_an_object_become_text() -> None:
    item = {**rec.call("f", "", "call_1"), "arguments": {"a": [1, 2]}}
    (call,) = fold(read(rec.whole([item]))).items
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"a":[1,2]}'


def test_a_call_that_is_named_late_waits_for_its_name() -> None:
    shell = {"type": "function_call", "id": "fc_1", "arguments": ""}
    told = stream(
        {"type": "response.output_item.added", "output_index": 0, "item": shell},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a":'},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "1}"},
        {"type": "response.output_item.done", "output_index": 0,
         "item": {**shell, "name": "f", "call_id": "call_1"}},
    )  # fmt: skip
    assert told[1:] == [CallStart(0, "call_1", "f"), ArgumentsDelta(0, '{"a":1}'), ItemEnd(0)]


def test_a_call_without_an_id_gets_one() -> None:
    item = {"type": "function_call", "name": "f", "arguments": "{}"}
    assert read({"status": "completed", "output": [item]})[1] == CallStart(0, "call_0", "f")


def test_text_without_any_announcement_is_a_message() -> None:
    told = stream(
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.output_text.delta", "delta": "!"},
        {"type": "response.completed", "response": {"id": "r", "status": "completed"}},
        names=False,
    )
    assert told[:4] == [Started(), MessageStart(0), TextDelta(0, "Hi"), TextDelta(0, "!")]
    assert isinstance(told[-1], Finish)


def test_a_final_output_that_is_numbered_otherwise_is_not_told_twice() -> None:
    text = rec.message(rec.text_part("Hi"))
    events = rec.openai(rec.whole([text]))
    for event in events:
        if "output_index" in event:
            event["output_index"] = 1
    assert len(fold(stream(*events)).items) == 1
    events = rec.openai(rec.whole([text]))
    events[-1]["response"] = rec.whole([rec.reasoning("x"), text])
    assert [type(item) for item in fold(stream(*events)).items] == [Message]


def test_nothing_follows_the_end() -> None:
    events = rec.openai(rec.whole([rec.message(rec.text_part("Hi"))]))
    reader = UPSTREAM.stream(AT)
    assert isinstance(reader.feed(rec.frames(events))[-1], Finish)
    assert reader.feed(rec.frames(events, done=True)) == []
    assert reader.end() == []


def test_comments_and_events_that_nobody_knows_are_skipped() -> None:
    reader = UPSTREAM.stream(AT)
    assert reader.feed(b": OPENROUTER PROCESSING\n\n\n\ndata: [DONE]\n\n") == []
    assert reader.feed(b'data: {"type":"codex.rate_limits","delta":{"a":1}}\n\n') == []
    assert reader.feed(b"data: {broken\n\n") == []


def fault_of(told: list[Event]) -> UpstreamFault:
    last = told[-1]
    assert isinstance(last, Failed)
    assert isinstance(told[0], Started)
    return last.fault


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("rate_limit_exceeded", 429),
        ("insufficient_quota", 429),
        ("server_error", 500),
        ("invalid_prompt", 400),
        ("context_length_exceeded", 400),
        ("image_content_policy_violation", 400),
        ("vector_store_timeout", 504),
        ("model_not_found", 404),
        (503, 503),
        ("429", 429),
        ("a_new_one", 500),
        (None, 500),
    ],
)
def test_errors_inside_a_stream_keep_their_class(code: Any, status: int) -> None:
    error = {"type": "whatever", "code": code, "message": f"Boom {SECRET}", "param": "input"}
    for told in (
        stream({"type": "error", "sequence_number": 3, "error": error}),
        stream({**error, "type": "error", "sequence_number": 3}),
        stream({"type": "response.failed", "response": {"status": "failed", "error": error}}),
        read({"error": error}),
        read({"id": "r", "status": "failed", "output": [], "error": error}),
    ):
        fault = fault_of(told)
        assert isinstance(fault, UpstreamRejected)
        assert fault.http_status == status
        assert fault.message == "Boom [redacted]"
        assert fault.param == "input"
        if isinstance(code, str):
            assert fault.code == code


def test_the_type_of_an_error_tells_when_its_code_does_not() -> None:
    error = {"type": "rate_limit_error", "code": None, "message": "Slow"}
    assert fault_of(stream({"type": "error", "error": error})).http_status == 429
    error = {"type": "tokens", "code": "new", "message": "Slow"}
    assert fault_of(stream({"type": "error", "error": error})).http_status == 429


def test_the_operators_credential_is_never_the_callers_error() -> None:
    error = {"code": "invalid_api_key", "message": f"Incorrect API key provided: {SECRET}"}
    fault = fault_of(stream({"type": "error", "error": error}))
    assert isinstance(fault, UpstreamAuth)
    assert SECRET not in fault.message + fault.debug


def test_an_error_without_a_type_is_an_error() -> None:
    told = UPSTREAM.stream(AT).feed(b'data: {"error":{"code":502,"message":"Bad gateway"}}\n\n')
    assert fault_of(told).http_status == 502


def test_an_error_by_event_name_only_is_an_error() -> None:
    told = UPSTREAM.stream(AT).feed(b'event: error\ndata: {"message":"Overloaded"}\n\n')
    assert fault_of(told).message == "Overloaded"


def test_only_the_first_of_error_and_failed_is_told() -> None:
    error = {"code": "rate_limit_exceeded", "message": "Slow down."}
    told = stream(
        {"type": "response.created", "response": rec.ASKED},
        {"type": "error", "error": error},
        {"type": "response.failed", "response": {**rec.ASKED, "status": "failed", "error": error}},
    )
    assert [type(event) for event in told] == [Started, Failed]


def test_a_failure_tells_its_usage_first() -> None:
    failed = rec.whole([], status="failed", error={"code": "server_error", "message": "x"})
    assert [type(event) for event in read(failed)] == [Started, UsageSeen, Failed]


def test_a_cancelled_answer_is_a_failure() -> None:
    assert isinstance(fault_of(read(rec.whole([], status="cancelled"))), UpstreamTruncated)
    response = {"status": "cancelled"}
    assert isinstance(
        fault_of(stream({"type": "response.cancelled", "response": response})), UpstreamTruncated
    )


def test_a_failure_without_words_is_still_one() -> None:
    fault = fault_of(stream({"type": "response.failed", "response": {"error": None}}))
    assert fault.message == "The provider failed to answer and did not say why."


@pytest.mark.parametrize("body", [
    b"", b"[]", b"null", b"{}", b'{"object":"list"}', b'{"choices":[]}', b"<html>",
    b'{"status":"queued","output":[]}', b'{"status":"in_progress","output":[]}', b"[" * 5000,
])  # fmt: skip
def test_what_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        UPSTREAM.read(body, AT)


def test_http_errors_keep_status_code_param_and_retry_after() -> None:
    body = rec.dump({"error": {"message": f"No {SECRET}", "type": "t", "param": "p", "code": "c"}})
    fault = UPSTREAM.read_error(429, {b"retry-after": b"7"}, body)
    assert isinstance(fault, UpstreamRejected)
    assert (fault.http_status, fault.code, fault.param) == (429, "c", "p")
    assert (fault.retry_after, fault.message) == ("7", "No [redacted]")
    assert isinstance(UPSTREAM.read_error(401, {}, body), UpstreamAuth)
    assert UPSTREAM.read_error(503, {}, b"<html>no</html>").http_status == 503
