"""What Gemini answers, whole and streamed, becomes the same hub events."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from google.genai import types
from tests.unit.dialects.gemini import gemini_examples as examples
from tests.unit.dialects.gemini.gemini_examples import (
    ORIGIN,
    SIG,
    SIG2,
    Json,
    answer,
    ask,
    call,
    sse,
    upstream,
    vertex,
    write,
)

from portico.dialects.gemini.upstream import UPSTREAM
from portico.errors import (
    UpstreamAuth,
    UpstreamFault,
    UpstreamProtocol,
    UpstreamRejected,
    UpstreamTruncated,
)
from portico.model.events import Event, Failed, Finish, Started, TextDelta, UsageSeen
from portico.model.items import Hit, Hosted, Item, Message, Reasoning, ToolCall
from portico.model.parts import Text
from portico.model.response import GenerateResponse, fold
from portico.model.sealed import Sealed
from portico.model.sequence import Sequencer
from portico.model.usage import Usage


def streamed(chunks: list[Json]) -> list[Event]:
    reader = UPSTREAM.stream(upstream())
    return reader.feed(sse(chunks)) + reader.end()


def folded(events: Iterable[Event]) -> GenerateResponse:
    return fold(Sequencer().feed(events))


def whole(body: Any) -> GenerateResponse:
    return folded(UPSTREAM.read(json.dumps(body, indent=2).encode(), upstream()))


def seal(kind: Any, data: str = SIG) -> Reasoning:
    return Reasoning(sealed=Sealed(ORIGIN, kind, data))


@pytest.mark.parametrize("name", examples.PAIRS)
def test_examples_have_the_shapes_of_the_official_sdk(name: str) -> None:
    chunks, body = examples.PAIRS[name]
    for value in [*chunks, body]:
        types.GenerateContentResponse.model_validate(value)


@pytest.mark.parametrize("name", examples.PAIRS)
def test_a_streamed_answer_folds_to_the_whole_one(name: str) -> None:
    chunks, body = examples.PAIRS[name]
    assert folded(streamed(chunks)) == whole(body)


@pytest.mark.parametrize("name", examples.PAIRS)
def test_the_array_of_a_stream_without_sse_reads_the_same(name: str) -> None:
    chunks, body = examples.PAIRS[name]
    assert whole(chunks) == whole(body)


@pytest.mark.parametrize("name", examples.PAIRS)
def test_decoders_never_interleave_and_number_items_in_order(name: str) -> None:
    keys = [event.key for event in streamed(examples.PAIRS[name][0]) if hasattr(event, "key")]
    assert keys == sorted(keys)
    assert sorted(set(keys)) == list(range(len(set(keys))))


def test_text_and_usage() -> None:
    got = whole(examples.TEXT[1])
    assert got.items == (Message("assistant", (Text("Grüß dich, Welt 🌍."),)),)
    assert got.finish == Finish("stop", native="STOP")
    assert (got.id, got.model) == ("pQ4_aZ-xH", "gemini-3-flash-preview")
    assert got.usage == Usage(input_uncached=6, cache_read=4, output_text=9)


def test_thoughts_and_a_signature_behind_the_text() -> None:
    got = whole(examples.THINKING[1])
    assert got.items == (
        Reasoning(("**Plan**\nthink.",)),
        Message("assistant", (Text("The answer is 4."),)),
        seal("empty"),
    )
    assert got.usage == Usage(input_uncached=10, output_text=6, reasoning=5)
    assert whole(examples.SIGNED_TEXT[1]).items[1] == seal("previous")


def test_a_signature_on_a_thought_stays_with_it() -> None:
    got = whole(answer({"text": "t", "thought": True, "thoughtSignature": SIG}, finish="STOP"))
    assert got.items == (Reasoning(("t",), (), Sealed(ORIGIN, "thought", SIG)),)


def test_calls_get_ids_and_the_signature_stands_before_its_call() -> None:
    got = whole(examples.CALLS[1])
    assert got.items == (
        Reasoning(("Look",)),
        Message("assistant", (Text("I'll check."),)),
        seal("next"),
        ToolCall("call_pQ4_aZ-xH_0", "weather", '{"city":"Bern","days":2}'),
        ToolCall("call_pQ4_aZ-xH_1", "now", "{}"),
    )
    assert got.finish.reason == "tool_calls"


def test_an_id_the_provider_gave_is_kept() -> None:
    assert ToolCall("abc123", "f", "{}") in whole(examples.CALL_WITH_ID[1]).items


def test_invented_ids_differ_between_answers_and_do_not_need_a_response_id() -> None:
    one, other = answer(call("f", {}), finish="STOP"), answer(call("f", {"a": 1}), finish="STOP")
    del one["responseId"], other["responseId"]
    ids = [item.call_id for body in (one, other) for item in calls(whole(body).items)]
    assert len(set(ids)) == 2
    assert calls(whole(one).items)[0].call_id == ids[0]


def calls(items: tuple[Item, ...]) -> list[ToolCall]:
    return [item for item in items if isinstance(item, ToolCall)]


def test_partial_arguments_are_put_together_by_their_paths() -> None:
    got = folded(streamed(examples.PARTIAL_CALL[0])).items
    assert got[0] == seal("next")
    assert isinstance(got[1], ToolCall)
    assert json.loads(got[1].arguments) == {
        "place": {"city": "New York", "at": [1.5, True, None]},
        "note": 'a "b"',
    }


def test_a_partial_call_that_misses_its_last_piece_still_comes_whole() -> None:
    chunks = examples.PARTIAL_CALL[0][:3]
    got = folded(streamed([*chunks, answer(finish="STOP")])).items
    assert [item.name for item in calls(got)] == ["weather"]
    assert json.loads(calls(got)[0].arguments)["place"]["city"] == "New York"


def test_a_signature_that_comes_with_a_later_piece_is_kept() -> None:
    chunks = [
        answer(call("f", willContinue=True)),
        answer({"functionCall": {}, "thoughtSignature": SIG}, finish="STOP"),
    ]
    assert folded(streamed(chunks)).items[0] == seal("next")


@pytest.mark.parametrize(
    "path", ["$", "x", "$.a[9]", "$..a", "$.a[", "$['a", "$.b.c", "$" + ".a" * 100, ""]
)
def test_paths_that_do_not_fit_are_left_out(path: str) -> None:
    pieces = [{"jsonPath": "$.b", "stringValue": "x"}, {"jsonPath": path, "numberValue": 1}]
    chunks = [answer(call("f", partialArgs=pieces), finish="STOP")]
    found = json.loads(calls(folded(streamed(chunks)).items)[0].arguments)
    assert found["b"] == "x"


def test_code_and_its_result_are_one_item_that_can_be_replayed() -> None:
    got = whole(examples.CODE[1])
    assert got.items[1] == seal("next")
    item = got.items[2]
    assert isinstance(item, Hosted)
    assert (item.type, item.input, item.output, item.status) == (
        "code_interpreter_call",
        "print(2+2)",
        "4\n",
        "completed",
    )
    body = write(ask(Message("user", (Text("q"),)), *got.items), upstream())
    assert body["contents"][1]["parts"] == [
        {"text": "Let me compute."},
        {**examples.CODE_PART, "thoughtSignature": SIG},
        examples.RESULT_PART,
        {"text": "It is 4."},
    ]
    assert got.usage is not None
    assert got.usage.input_total == 15


def test_code_without_a_result_is_incomplete() -> None:
    got = whole(answer(examples.CODE_PART, {"text": "x"}, finish="STOP"))
    assert [getattr(item, "status", "") for item in got.items] == ["incomplete", "completed"]


def test_citations_count_characters_and_the_search_is_an_item() -> None:
    message, search = whole(examples.GROUNDED[1]).items
    assert isinstance(message, Message)
    assert isinstance(search, Hosted)
    text = message.parts[0]
    assert isinstance(text, Text)
    found = [(one.url, text.text[one.start : one.end]) for one in text.citations]
    assert found == [
        ("https://a.example/z", "Zürich hat 🚋."),
        ("https://a.example/z", "Bern auch."),
        ("https://b.example/b", "Bern auch."),
    ]
    assert search.type == "web_search_call"
    assert search.input == "tram zürich\ntram bern"
    assert search.hits == (
        Hit("https://a.example/z", "a.example"),
        Hit("https://b.example/b", "b.example"),
    )


def test_offsets_that_are_of_another_part_are_found_by_their_words() -> None:
    body = answer(
        {"text": "First. "},
        examples.CODE_PART,
        examples.RESULT_PART,
        {"text": "Second, cited."},
        finish="STOP",
        groundingMetadata={
            "groundingChunks": [{"web": {"uri": "https://x.example", "title": "x"}}],
            "groundingSupports": [
                {
                    "segment": {"startIndex": 15, "endIndex": 21, "text": "cited."},
                    "groundingChunkIndices": [0],
                },
                {
                    "segment": {"startIndex": 90, "endIndex": 99, "text": "nowhere"},
                    "groundingChunkIndices": [0, 7],
                },
            ],
        },
    )
    types.GenerateContentResponse.model_validate(body)
    message = whole(body).items[2]
    assert isinstance(message, Message)
    cited, lost = message.parts[0].citations  # type: ignore[union-attr]
    assert (cited.start, cited.end) == (8, 14)
    assert (lost.start, lost.end, lost.cited_text) == (None, None, "nowhere")


def test_recited_text_is_cited() -> None:
    body = answer(
        {"text": "abcdef"},
        finish="STOP",
        citationMetadata={
            "citationSources": [{"startIndex": 1, "endIndex": 3, "uri": "https://s.example"}]
        },
    )
    citation = whole(body).items[0].parts[0].citations[0]  # type: ignore[union-attr]
    assert (citation.url, citation.start, citation.end) == ("https://s.example", 1, 3)


def test_pictures_become_items_and_drafts_among_the_thoughts_do_not() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    got = whole(answer({**blob, "thought": True}, {**blob, "thoughtSignature": SIG}, finish="STOP"))
    assert got.items == (seal("next"), Hosted(type="image_generation_call", output="AAAA"))


def test_calls_of_the_providers_own_tools_come_back_as_they_were() -> None:
    got = whole(examples.SERVED[1])
    assert [type(item).__name__ for item in got.items] == [
        "Reasoning",
        "Hosted",
        "Reasoning",
        "Reasoning",
        "ToolCall",
    ]
    search = got.items[1]
    assert isinstance(search, Hosted)
    assert search.input == "q1\nq2"
    body = write(ask(Message("user", (Text("q"),)), *got.items), upstream())
    assert body["contents"][1]["parts"] == examples.SERVED[1]["candidates"][0]["content"]["parts"]
    assert got.items[2] == seal("previous", SIG2)


def test_logprobs_are_told_as_openai_does() -> None:
    delta = next(e for e in streamed(examples.LOGPROBS[0]) if isinstance(e, TextDelta))
    assert delta.logprobs is not None
    assert json.loads(bytes(delta.logprobs)) == [
        {
            "token": "Hé",
            "logprob": -0.1,
            "bytes": [72, 195, 169],
            "top_logprobs": [
                {"token": "Hé", "logprob": -0.1, "bytes": [72, 195, 169]},
                {"token": "Ho", "logprob": -2.5, "bytes": [72, 111]},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("SOMETHING_NEW", "content_filter"),
    ],
)
def test_finish_reasons(native: str, reason: str) -> None:
    assert whole(answer({"text": "x"}, finish=native)).finish == Finish(
        reason,  # type: ignore[arg-type]
        native=native,
    )


def test_every_finish_reason_of_the_sdk_has_a_row() -> None:
    from portico.dialects.gemini.maps import FAILURES, FINISH

    known = {reason.value for reason in types.FinishReason} - {"FINISH_REASON_UNSPECIFIED"}
    assert known == FINISH.keys() | FAILURES.keys()


def test_out_of_tokens_stays_so_with_calls() -> None:
    assert whole(answer(call("f", {}), finish="MAX_TOKENS")).finish.reason == "length"


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    got = whole(examples.BLOCKED_ANSWER)
    assert got.items == ()
    assert got.finish == Finish("content_filter", native="PROMPT_PROHIBITED_CONTENT")
    assert got.usage == Usage(input_uncached=12)


def test_a_call_that_cannot_be_read_is_a_failure_with_its_usage() -> None:
    body = answer(finish="MALFORMED_FUNCTION_CALL", finishMessage="Malformed: print(f(")
    events = UPSTREAM.read(json.dumps(body).encode(), upstream())
    assert [type(event) for event in events] == [Started, UsageSeen, Failed]
    fault = events[-1].fault  # type: ignore[union-attr]
    assert isinstance(fault, UpstreamRejected)
    assert (fault.http_status, fault.code) == (502, "malformed_function_call")
    assert "print(f(" in fault.message


ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize("body", [ERROR, [ERROR], [answer({"text": "x"}), ERROR]])
def test_an_error_inside_a_200_is_a_failure_with_its_status(body: Any) -> None:
    for events in (
        UPSTREAM.read(json.dumps(body).encode(), upstream()),
        UPSTREAM.stream(upstream()).feed(b"data: " + json.dumps(body).encode() + b"\n\n"),
    ):
        fault = events[-1].fault  # type: ignore[union-attr]
        assert isinstance(fault, UpstreamRejected)
        assert (fault.http_status, fault.code) == (503, "UNAVAILABLE")


def test_an_error_first_comes_before_anything_else() -> None:
    events = streamed([ERROR])  # so that the caller can still be given its status
    assert [type(event) for event in events] == [Failed]


def test_nothing_follows_an_error() -> None:
    reader = UPSTREAM.stream(upstream())
    reader.feed(sse([ERROR]))
    assert reader.feed(sse([answer({"text": "x"}, finish="STOP")])) == []
    assert reader.end() == []


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"status": "RESOURCE_EXHAUSTED", "message": "m"}, UpstreamRejected, 429),
        ({"code": 7, "message": "m"}, UpstreamRejected, 500),
        ({"code": 401, "message": "m"}, UpstreamAuth, 502),
        ("boom", UpstreamRejected, 500),
        ([], UpstreamRejected, 500),
    ],
)
def test_odd_errors_in_a_stream_are_typed(
    error: Any, kind: type[UpstreamFault], status: int
) -> None:
    fault = streamed([{"error": error}])[-1].fault  # type: ignore[union-attr]
    assert isinstance(fault, kind)
    assert fault.http_status == status


def test_a_stream_without_a_finish_reason_never_looks_finished() -> None:
    chunks = [answer({"text": "half"}), answer({"text": " of"})]
    reader = UPSTREAM.stream(upstream())
    events = reader.feed(sse(chunks))
    assert reader.end() == []
    assert not any(isinstance(event, Finish) for event in events)


def test_a_whole_answer_without_a_finish_reason_has_failed() -> None:
    events = UPSTREAM.read(json.dumps(answer({"text": "half"})).encode(), upstream())
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].fault, UpstreamTruncated)


@pytest.mark.parametrize("body", [b"", b"<html>", b"3", b"[]", b"[1]", b'"x"', b"{", b"\xff"])
def test_what_is_no_answer_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        UPSTREAM.read(body, upstream())


def test_a_finish_reason_that_comes_early_does_not_end_the_stream() -> None:
    chunks = [answer({"text": "a"}, finish="STOP"), answer({"text": "b"}, finish="STOP")]
    assert folded(streamed(chunks)).items == (Message("assistant", (Text("ab"),)),)


def test_only_the_first_candidate_is_read() -> None:
    body = answer({"text": "a"}, finish="STOP")
    body["candidates"].append({"index": 1, "content": {"parts": [{"text": "b"}]}})
    assert whole(body).items == (Message("assistant", (Text("a"),)),)


def test_counts_that_are_missing_later_stay() -> None:
    chunks = [
        answer({"text": "a"}, counts=usage(10, 5, 7)),
        answer(finish="STOP", counts={"promptTokenCount": 10, "candidatesTokenCount": 8}),
    ]
    assert folded(streamed(chunks)).usage == Usage(input_uncached=10, output_text=8, reasoning=7)


usage = examples.usage


def test_one_odd_member_costs_no_more_than_itself() -> None:
    body = answer(
        {"text": 5},
        {"unknownPart": {"x": 1}},
        {"text": "kept", "thoughtSignature": 7},
        {"functionCall": {"name": ["f"]}},
        finish="STOP",
        counts={"promptTokenCount": "many", "candidatesTokenCount": 3, "thoughtsTokenCount": -1},
    )
    body["responseId"] = 12
    got = whole(body)
    assert got.items == (Message("assistant", (Text("kept"),)),)
    assert got.usage == Usage(output_text=3)


def test_vertex_reads_like_the_gemini_api() -> None:
    body = json.dumps(examples.CALLS[1]).encode()
    assert folded(UPSTREAM.read(body, vertex())) == folded(UPSTREAM.read(body, upstream()))


def test_a_second_signature_begins_a_second_message() -> None:
    got = whole(
        answer(
            {"text": "a", "thoughtSignature": SIG},
            {"text": "b", "thoughtSignature": SIG2},
            finish="STOP",
        )
    )
    assert got.items == (
        Message("assistant", (Text("a"),)),
        seal("previous"),
        Message("assistant", (Text("b"),)),
        seal("previous", SIG2),
    )


@pytest.mark.parametrize(
    "name", ["thinking", "signed text", "calls", "call with id", "code", "served"]
)
def test_what_was_answered_is_replayed_as_it_came(name: str) -> None:
    body = examples.PAIRS[name][1]
    items = [
        item for item in whole(body).items
        # thoughts without a signature need not be sent back
        if not (isinstance(item, Reasoning) and item.sealed is None)
    ]  # fmt: skip
    sent = write(ask(Message("user", (Text("q"),)), *items), upstream())["contents"][1]["parts"]
    came = body["candidates"][0]["content"]["parts"]
    came = [part for part in came if not (part.get("thought") and "thoughtSignature" not in part)]
    assert [_without_ids(part) for part in sent] == [_without_ids(part) for part in came]


def _without_ids(part: Json) -> Json:
    if "functionCall" not in part:
        return part
    call = {"args": {}, **part["functionCall"]}
    call.pop("id", None)
    return {**part, "functionCall": call}
