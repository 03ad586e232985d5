"""Answers of the Converse API mean the same whole and streamed."""

from base64 import b64encode

import msgspec
import pytest
from tests.unit.dialects.converse.recordings import (
    CITATION,
    CLAUDE,
    ORIGIN,
    PAIRS,
    START,
    call,
    delta,
    exception,
    finish,
    message,
    metadata,
    stop,
    stream,
    upstream,
    whole,
)

from portico.dialects.converse.response_in import read
from portico.dialects.converse.stream_in import StreamIn
from portico.errors import UpstreamAuth, UpstreamProtocol, UpstreamRejected, UpstreamTruncated
from portico.model.events import (
    CitationAdded,
    Event,
    Failed,
    Finish,
    ItemEnd,
    MessageStart,
    PartEnd,
    Started,
    TextDelta,
    UsageSeen,
)
from portico.model.items import Hosted, Message, Reasoning, ToolCall
from portico.model.parts import Text
from portico.model.response import GenerateResponse, fold
from portico.model.sealed import Sealed
from portico.model.sequence import Sequencer
from portico.wire.eventstream import encode


def streamed(data: bytes, model: str = CLAUDE) -> list[Event]:
    reader = StreamIn(upstream(model))
    return reader.feed(data) + reader.end()


def folded(events: list[Event]) -> GenerateResponse:
    return fold(Sequencer().feed(events))


def last(events: list[Event]) -> Event:
    assert sum(type(event) in (Finish, Failed) for event in events) == 1
    return events[-1]


@pytest.mark.parametrize("name", PAIRS)
def test_a_streamed_answer_is_the_whole_answer(name: str) -> None:
    body, events = PAIRS[name]
    one, other = folded(read(body, upstream())), folded(streamed(stream(events)))
    assert one == other
    # The events say all themselves: nothing is left for a sequencer to close.
    assert fold(read(body, upstream())).items == fold(streamed(stream(events))).items


def test_thinking_text_and_calls_become_items_in_order() -> None:
    answer = folded(read(PAIRS["thinking and calls"][0], upstream()))
    assert answer.items == (
        Reasoning(("Two calls.",), (), Sealed(ORIGIN, "signature", "EpQ=")),
        Message("assistant", (Text("Looking."),)),
        ToolCall("tooluse_1", "look", '{"q":"a b"}'),
        ToolCall("tooluse_2", "now", "{}"),
    )
    assert answer.finish == Finish("tool_calls", native="tool_use")


def test_usage_buckets_do_not_overlap() -> None:
    usage = folded(read(PAIRS["text"][0], upstream())).usage
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read, usage.cache_write) == (12, 1000, 100)
    assert usage.total == 1142


def test_redacted_thinking_and_bare_signatures_are_kept() -> None:
    items = folded(read(PAIRS["redacted"][0], upstream())).items
    assert items[:2] == (
        Reasoning(sealed=Sealed(ORIGIN, "redacted", "cnNuX2E=")),
        Reasoning(sealed=Sealed(ORIGIN, "signature", "onlyProof")),
    )


def test_reasoning_of_open_models_is_raw_text() -> None:
    events = [START, delta(0, reasoningContent={"text": "hm"}), stop(0), finish("end_turn")]
    answer = folded(streamed(stream(events), "deepseek.r1-v1:0"))
    assert answer.items == (Reasoning((), ("hm",)),)


def test_text_blocks_that_citations_cut_are_parts_of_one_message() -> None:
    answer = folded(streamed(stream(PAIRS["citations"][1])))
    (item,) = answer.items
    assert isinstance(item, Message)
    assert [part.text for part in item.parts] == ["The page says ", "models predict", "."]
    (citation,) = item.parts[1].citations  # type: ignore[union-attr]
    assert (citation.start, citation.end, citation.index) == (0, 14, 1)
    assert (citation.title, citation.cited_text) == ("document-1", "Generative models predict.")
    assert citation.native is not None
    assert msgspec.json.decode(citation.native[1]) == CITATION


def test_a_citation_comes_after_its_text_and_before_the_part_ends() -> None:
    events = streamed(stream([START, delta(0, citation=CITATION), delta(0, text="x"), stop(0)]))
    kinds = [type(event) for event in events]
    assert kinds == [Started, MessageStart, TextDelta, CitationAdded, PartEnd]


def test_a_page_that_is_cited_is_a_url() -> None:
    web = {"title": "t", "location": {"web": {"url": "https://x.example/", "domain": "x.example"}}}
    events = [START, delta(0, citation=web), delta(0, text="x"), stop(0), finish("end_turn")]
    (item,) = folded(streamed(stream(events))).items
    (citation,) = item.parts[0].citations  # type: ignore[union-attr]
    assert (citation.kind, citation.url) == ("url", "https://x.example/")


def test_a_search_of_the_providers_own_is_one_hosted_item() -> None:
    items = folded(streamed(stream(PAIRS["a search of the provider's own"][1]))).items
    assert items[0] == Hosted(
        type="web_search_call", id="t1", name="nova_grounding", input="weather", output="3 pages"
    )
    assert isinstance(items[1], Message)


def test_pieces_of_a_picture_are_joined_as_bytes() -> None:
    items = folded(streamed(stream(PAIRS["a picture"][1]))).items
    assert items[1] == Hosted(
        type="image_generation_call", output=b64encode(b"\x89PNG\r\n\x1a").decode()
    )


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events = [START, call(0, "t", "now"), stop(0), finish("tool_use")]
    assert folded(streamed(stream(events))).items == (ToolCall("t", "now", "{}"),)


def test_arguments_written_as_a_string_are_read() -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "f", "input": '{"a": 1}'}}
    answer = folded(read(whole([use], "tool_use"), upstream()))
    assert answer.items == (ToolCall("t", "f", '{"a": 1}'),)


def test_a_call_that_ran_out_of_tokens_is_incomplete() -> None:
    events = [START, call(0, "t", "f"), delta(0, toolUse={"input": '{"a'}), finish("max_tokens")]
    answer = folded(streamed(stream(events)))
    assert answer.items == (ToolCall("t", "f", '{"a', status="incomplete"),)
    assert answer.finish.reason == "length"


def test_an_end_turn_with_calls_is_trusted_for_its_calls() -> None:
    events = [START, call(0, "t", "f"), stop(0), finish("end_turn")]
    assert folded(streamed(stream(events))).finish.reason == "tool_calls"


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop_sequence"), ("tool_use", "tool_calls"),
        ("max_tokens", "length"), ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"), ("content_filtered", "content_filter"),
        ("refusal", "refusal"), ("something_new", "stop"), ("", "stop"),
    ],
)  # fmt: skip
def test_every_stop_reason_has_a_meaning(native: str, reason: str) -> None:
    assert folded(read(whole([{"text": "x"}], native), upstream())).finish.reason == reason
    events = [START, delta(0, text="x"), stop(0), finish(native), metadata()]
    assert folded(streamed(stream(events))).finish.reason == reason


@pytest.mark.parametrize("native", ["malformed_model_output", "malformed_tool_use"])
def test_a_malformed_answer_has_failed(native: str) -> None:
    for events in (
        read(whole([{"text": "x"}], native), upstream()),
        streamed(stream([START, delta(0, text="x"), finish(native), metadata()])),
    ):
        failed = next(event for event in events if isinstance(event, Failed))
        assert failed.fault.code == native
        assert not any(isinstance(event, Finish) for event in events)


def test_the_sequence_that_was_hit_is_told() -> None:
    for events in (
        read(PAIRS["a stop sequence"][0], upstream()),
        streamed(stream(PAIRS["a stop sequence"][1])),
    ):
        assert last(events) == Finish("stop_sequence", detail="END", native="stop_sequence")


def test_the_finish_waits_for_its_usage() -> None:
    reader = StreamIn(upstream())
    reader.feed(stream([START, delta(0, text="x"), stop(0)]))
    events = reader.feed(message(finish("end_turn")))
    assert not any(isinstance(event, Finish) for event in events)
    assert [type(event) for event in reader.feed(message(metadata()))] == [UsageSeen, Finish]
    assert reader.end() == []


def test_a_finish_without_usage_comes_at_the_end() -> None:
    reader = StreamIn(upstream())
    events = reader.feed(stream([START, delta(0, text="x"), stop(0), finish("end_turn")]))
    assert isinstance(events[-1], ItemEnd)
    assert reader.end() == [Finish("stop", native="end_turn")]
    assert reader.end() == []


def test_a_stream_without_a_stop_is_not_finished() -> None:
    with pytest.raises(UpstreamTruncated):
        folded(streamed(stream([START, delta(0, text="x"), stop(0), metadata()])))


def test_the_tier_that_served_is_told_in_openais_words() -> None:
    for events in (
        read(PAIRS["metadata before the stop"][0], upstream()),
        streamed(stream(PAIRS["metadata before the stop"][1])),
    ):
        assert last(events).service_tier == "scale"  # type: ignore[union-attr]


def test_nothing_follows_the_end() -> None:
    data = stream([START, finish("end_turn"), metadata(), delta(0, text="late"), finish("x")])
    assert isinstance(last(streamed(data)), Finish)


def test_blocks_that_interleave_lose_nothing() -> None:
    events = [
        START, delta(0, text="a"), call(1, "t", "f"), delta(0, text="b"),
        delta(1, toolUse={"input": "{}"}), stop(0), stop(1), finish("tool_use"), metadata(),
    ]  # fmt: skip
    items = folded(streamed(stream(events))).items
    texts = "".join(
        part.text  # type: ignore[union-attr]
        for item in items
        if isinstance(item, Message)
        for part in item.parts
    )
    assert texts == "ab"
    assert [item for item in items if isinstance(item, ToolCall)] == [ToolCall("t", "f", "{}")]


def test_blocks_without_a_stop_are_closed() -> None:
    events = [START, delta(0, reasoningContent={"text": "hm"}), delta(1, text="x"),
              call(2, "t", "f"), finish("tool_use")]  # fmt: skip
    kinds = [type(item) for item in folded(streamed(stream(events))).items]
    assert kinds == [Reasoning, Message, ToolCall]


def test_unknown_events_blocks_and_deltas_are_skipped() -> None:
    events = [
        START, {"ping": {}}, {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"new": 1}}},
        {"contentBlockStart": {"contentBlockIndex": 3, "start": {"new": {}}}}, {"messageStop2": {}},
        delta(0, text="x"), delta(0, text=None), delta(0, text=5), stop(9), stop(0),
        finish("end_turn"), metadata(),
    ]  # fmt: skip
    answer = folded(streamed(stream(events)))
    assert answer.items == (Message("assistant", (Text("x"),)),)
    body = whole([{"new": {}}, {"text": 5}, {"text": "x"}, "?"], "end_turn")  # type: ignore[list-item]
    assert folded(read(body, upstream())).items == answer.items


def test_an_initial_response_message_is_skipped() -> None:
    hello = encode({":message-type": "event", ":event-type": "initial-response"}, b"{}")
    assert isinstance(last(streamed(hello + stream(PAIRS["text"][1]))), Finish)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("throttlingException", 429), ("serviceUnavailableException", 503),
        ("modelStreamErrorException", 424), ("validationException", 400),
        ("internalServerException", 500), ("modelTimeoutException", 408),
        ("modelErrorException", 424), ("serviceQuotaExceededException", 429),
        ("somethingNewException", 500),
    ],
)  # fmt: skip
def test_an_exception_in_a_stream_keeps_its_class(name: str, status: int) -> None:
    data = stream([START, delta(0, text="x")]) + exception(name, message="Too much.")
    failed = last(streamed(data))
    assert isinstance(failed, Failed)
    assert isinstance(failed.fault, UpstreamRejected)
    assert failed.fault.http_status == status
    assert failed.fault.message == "Too much."
    assert failed.fault.code == name[0].upper() + name[1:]


def test_a_model_that_failed_tells_its_own_words() -> None:
    data = exception(
        "modelStreamErrorException", message="Model Stream Error", originalStatusCode=500,
        originalMessage="The model stream failed.",
    )  # fmt: skip
    failed = last(streamed(data))
    assert isinstance(failed, Failed)
    assert failed.fault.message == "The model stream failed."
    assert failed.fault.retryable is True


def test_a_credential_that_ended_in_a_stream_is_the_operators_matter() -> None:
    failed = last(streamed(exception("expiredTokenException", message="secret")))
    assert isinstance(failed, Failed)
    assert isinstance(failed.fault, UpstreamAuth)
    assert "secret" not in failed.fault.message


def test_an_error_message_without_payload_is_read_from_its_headers() -> None:
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "Oh."}
    failed = last(streamed(stream([START]) + encode(headers, b"")))
    assert isinstance(failed, Failed)
    assert (failed.fault.http_status, failed.fault.message) == (500, "Oh.")


def test_a_failure_after_the_stop_is_a_failure() -> None:
    data = stream([START, finish("end_turn")]) + exception("internalServerException", message="x")
    assert isinstance(last(streamed(data)), Failed)


def test_bytes_that_are_no_event_stream_are_a_failure() -> None:
    reader = StreamIn(upstream())
    (failed,) = reader.feed(b"data: {}\n\n" * 4)
    assert isinstance(failed, Failed)
    assert isinstance(failed.fault, UpstreamProtocol)
    assert reader.feed(stream([START])) == []
    assert reader.end() == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"<html>", b'{"output":{}}', b'{"output":{"message":{}}}',
        b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"}}',
        b'{"output":{"message":{"content":{}}}}', b"[" * 5000, b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_typed_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        read(body, upstream())


@pytest.mark.parametrize("counts", [None, 5, {}, {"inputTokens": "x"}, []])
def test_odd_usage_is_no_usage(counts: object) -> None:
    body = whole([{"text": "x"}], "end_turn", usage=counts)
    assert folded(read(body, upstream())).usage is None
