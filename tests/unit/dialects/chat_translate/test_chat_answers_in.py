"""What chat servers answer, however they do it, becomes the same items."""

import json
from typing import Any

import pytest
from tests.unit.dialects.chat_translate.chat_kit import (
    ORIGIN,
    answer,
    call,
    chunk,
    events_of,
    frames,
    read,
    read_stream,
    upstream,
)

from portico.dialects.chat.upstream import UPSTREAM
from portico.errors import UpstreamFault, UpstreamProtocol, UpstreamRejected, UpstreamTruncated
from portico.model.events import ArgumentsDelta, CallStart, Failed, Finish, ItemEnd
from portico.model.items import Hosted, Message, Reasoning, ToolCall
from portico.model.parts import Refusal, Text
from portico.model.response import GenerateResponse
from portico.model.sealed import Sealed
from portico.model.usage import Usage

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def both(message: Any, deltas: list[Any], finish: str = "stop", kind: str = "openAI") -> (
    GenerateResponse
):  # fmt: skip
    """The fold of a whole answer, after holding it against the same answer streamed."""
    target = upstream(kind)
    whole = read(answer(message, finish, usage=USAGE), target)
    streamed = read_stream(
        frames(
            chunk({"role": "assistant", "content": ""}),
            *[chunk(delta) for delta in deltas],
            chunk({}, finish),
            chunk(choices=[], usage=USAGE),
        ),
        target,
    )
    assert streamed == whole
    return whole


def test_text_is_the_same_streamed_and_whole() -> None:
    got = both({"content": "Hello there"}, [{"content": "Hello"}, {"content": " there"}])
    assert got.items == (Message("assistant", (Text("Hello there"),)),)
    assert got.usage == Usage(input_uncached=7, output_text=3)
    assert got.finish.reason == "stop"


def test_parallel_calls_are_told_apart_by_their_index() -> None:
    calls = [
        call(id="a", name="f", arguments='{"x":1}'),
        call(id="b", name="g", arguments='{"y":2}'),
    ]
    got = both(
        {"content": None, "tool_calls": calls},
        [
            {"tool_calls": [call(0, id="a", name="f", arguments="")]},
            {"tool_calls": [call(0, arguments='{"x"')]},
            {"tool_calls": [call(1, id="b", name="g", arguments="")]},
            {"tool_calls": [call(1, arguments='{"y":2}'), call(0, arguments=":1}")]},
        ],
        "tool_calls",
    )
    assert got.items == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


def test_reasoning_then_text_then_calls_keep_their_order() -> None:
    got = both(
        {
            "reasoning_content": "Hm. Yes.",
            "content": "Sure.",
            "tool_calls": [call(id="a", name="f", arguments="{}")],
        },
        [
            {"reasoning_content": "Hm. "},
            {"reasoning_content": "Yes.", "content": None},
            {"content": "Sure.", "reasoning_content": None},
            {"tool_calls": [call(0, id="a", name="f", arguments="{}")]},
        ],
        "tool_calls",
        "deepseek",
    )
    assert got.items == (
        Reasoning(content=("Hm. Yes.",)),
        Message("assistant", (Text("Sure."),)),
        ToolCall("a", "f", "{}"),
    )


def test_think_tags_at_the_beginning_are_reasoning() -> None:
    got = both(
        {"content": "<think>\nHm.</think>\n\nYes <think>."},
        [
            {"content": piece}
            for piece in ("<th", "ink>", "\nHm.</", "think", ">\n", "\nYes <think>.")
        ],
        kind="vllm",
    )
    assert got.items == (
        Reasoning(content=("Hm.",)),
        Message("assistant", (Text("Yes <think>."),)),
    )


def test_think_tags_are_text_for_servers_without_that_habit() -> None:
    got = both({"content": "<think>a</think>b"}, [{"content": "<think>a</think>b"}])
    assert got.items == (Message("assistant", (Text("<think>a</think>b"),)),)


@pytest.mark.parametrize("text", ["<thi", " <", "", "<b>x"])
def test_what_only_looks_like_a_tag_is_not_lost(text: str) -> None:
    got = both({"content": text + "y"}, [{"content": each} for each in text + "y"], kind="vllm")
    assert got.items == (Message("assistant", (Text(text + "y"),)),)
    alone = read_stream(frames(chunk({"content": " <thi"}), chunk({}, "stop")), upstream("vllm"))
    assert alone.items == (Message("assistant", (Text(" <thi"),)),)


def test_mistral_parts_are_reasoning_and_text() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True},
        {"type": "text", "text": "Yes."},
    ]
    got = both({"content": parts}, [{"content": [part]} for part in parts], kind="mistral")
    assert got.items == (Reasoning(content=("Hm.",)), Message("assistant", (Text("Yes."),)))


def test_openrouter_details_come_back_element_by_element() -> None:
    whole = [
        {"type": "reasoning.summary", "summary": "Plan: a", "format": "x-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "AAA", "id": "rs_1", "format": "x-v1", "index": 0},
        {"type": "reasoning.text", "text": "So.", "index": 1, "signature": "sig=="},
    ]
    got = both(
        {"reasoning": "Plan: aSo.", "reasoning_details": whole, "content": "Yes."},
        [
            {"reasoning": "Plan: ", "reasoning_details": [{**whole[0], "summary": "Plan: "}]},
            {"reasoning": "a", "reasoning_details": [{**whole[0], "summary": "a"}]},
            {"reasoning_details": [whole[1]]},
            {"reasoning_details": [{"type": "reasoning.text", "text": "So.", "index": 1}]},
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "", "signature": "sig==", "index": 1}
                ]
            },
            {"content": "Yes."},
        ],
        kind="openrouter",
    )
    first, second, third, message = got.items
    assert isinstance(first, Reasoning)
    assert isinstance(second, Reasoning)
    assert isinstance(third, Reasoning)
    assert first.summary == ("Plan: a",)
    assert third.content == ("So.",)
    sealed = [each.sealed for each in (first, second, third)]
    assert [json.loads(each.data) for each in sealed if each is not None] == whole
    assert {(each.origin, each.kind) for each in sealed if each} == {(ORIGIN, "details")}
    assert message == Message("assistant", (Text("Yes."),))


def test_whole_details_without_an_index_stay_apart() -> None:
    element = {"type": "reasoning.text", "text": "Hm."}
    got = read(answer({"reasoning_details": [element, element]}), upstream("openrouter"))
    assert [json.loads(each.sealed.data) for each in got.items if isinstance(each, Reasoning)
            and each.sealed] == [element, element]  # fmt: skip


def test_a_signature_of_geminis_shim_stands_before_its_call() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    first = call(0, id="a", name="f", arguments="{}") | extra
    second = call(0, id="b", name="g", arguments="{}")
    got = both({"tool_calls": [first, second]}, [{"tool_calls": [first, second]}], kind="gemini")
    assert got.items == (
        Reasoning(sealed=Sealed(ORIGIN, "next", "c2ln")),
        ToolCall("a", "f", "{}"),
        ToolCall("b", "g", "{}"),
    )
    assert got.finish.reason == "tool_calls"


def test_a_refusal_keeps_its_words() -> None:
    got = both({"content": None, "refusal": "No, sorry."},
               [{"refusal": "No, "}, {"refusal": "sorry."}])  # fmt: skip
    assert got.items == (Message("assistant", (Refusal("No, sorry."),)),)


def test_annotations_belong_to_the_text() -> None:
    note = {
        "type": "url_citation",
        "url_citation": {"url": "http://a", "title": "A", "start_index": 0, "end_index": 2},
    }
    got = both({"content": "Hi", "annotations": [note]},
               [{"content": "Hi"}, {"annotations": [note]}])  # fmt: skip
    (message,) = got.items
    assert isinstance(message, Message)
    (part,) = message.parts
    assert isinstance(part, Text)
    (citation,) = part.citations
    assert (citation.url, citation.title, citation.start, citation.end) == ("http://a", "A", 0, 2)
    assert citation.native is not None
    assert json.loads(bytes(citation.native[1])) == note


def test_sources_beside_the_choices_are_cited_once() -> None:
    results = [{"url": "http://a", "title": "A"}, {"url": "http://b"}]
    target = upstream("perplexity")
    whole = read(answer({"content": "x"}, search_results=results, usage=USAGE), target)
    streamed = read_stream(
        frames(
            chunk({"content": "x"}, search_results=results, usage=USAGE),
            chunk({}, "stop", search_results=results, usage=USAGE),
        ),
        target,
    )
    assert whole == streamed
    (message,) = whole.items
    assert isinstance(message, Message)
    assert isinstance(message.parts[0], Text)
    assert [each.url for each in message.parts[0].citations] == ["http://a", "http://b"]


def test_pictures_are_items() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    got = both({"content": "Here", "images": [picture]},
               [{"content": "Here"}, {"images": [picture]}])  # fmt: skip
    item = got.items[1]
    assert isinstance(item, Hosted)
    assert (item.type, item.output) == ("image_generation_call", "iVBORw0KGgo=")


def test_logprobs_follow_their_text() -> None:
    token = {"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    data = frames(
        {**chunk(), "choices": [{"index": 0, "delta": {"content": "a"},
                                 "logprobs": {"content": [token]}}]},
        chunk({"content": "b"}, "stop"),
    )  # fmt: skip
    (message,) = read_stream(data).items
    assert isinstance(message, Message)
    assert isinstance(message.parts[0], Text)
    assert message.parts[0].logprobs is not None
    assert json.loads(bytes(message.parts[0].logprobs)) == [token]


def streamed_calls(*fragments: Any, finish: str = "tool_calls") -> list[tuple[str, str, str]]:
    got = read_stream(
        frames(*[chunk({"tool_calls": [each]}) for each in fragments], chunk({}, finish))
    )
    assert got.finish.reason == "tool_calls"
    found = [item for item in got.items if isinstance(item, ToolCall)]
    return [(item.call_id, item.name, item.arguments) for item in found]


def test_a_repeated_empty_name_changes_nothing() -> None:
    assert streamed_calls(
        call(0, id="a", name="f", arguments=""),
        call(0, id="", name="", arguments='{"x":'),
        call(0, id="a", name="", arguments="1}"),
    ) == [("a", "f", '{"x":1}')]


def test_a_late_name_is_waited_for() -> None:
    assert streamed_calls(
        call(0, id="a", arguments=""), call(0, arguments='{"x":1'), call(0, name="f"),
        call(0, arguments="}"),
    ) == [("a", "f", '{"x":1}')]  # fmt: skip


def test_without_an_index_the_id_tells_calls_apart() -> None:
    assert streamed_calls(
        call(id="a", name="f", arguments='{"x":'),
        call(arguments="1}"),
        call(id="b", name="g", arguments="{"),
        call(id="b", arguments="}"),
    ) == [("a", "f", '{"x":1}'), ("b", "g", "{}")]


def test_one_index_for_all_calls_is_seen_through() -> None:
    assert streamed_calls(
        call(0, id="a", name="f", arguments="{}"), call(0, id="b", name="g", arguments="{}")
    ) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_arguments_may_be_an_object() -> None:
    assert streamed_calls(call(0, id="a", name="f", arguments={"x": 1.50})) == [
        ("a", "f", '{"x":1.5}')
    ]


def test_no_arguments_are_an_empty_object_even_when_the_server_says_stop() -> None:
    assert streamed_calls(call(0, id="a", name="f"), finish="stop") == [("a", "f", "{}")]


def test_invented_ids_are_stable_within_an_answer_and_differ_between_answers() -> None:
    calls = [call(name="f", arguments="{}"), call(name="f", arguments="{}")]
    one = read(answer({"tool_calls": calls}))
    same = read_stream(
        frames(
            chunk({"tool_calls": [call(0, name="f", arguments="{}")]}),
            chunk({"tool_calls": [call(1, name="f", arguments="{}")]}),
            chunk({}, "tool_calls"),
        )
    )
    other = read({**answer({"tool_calls": calls}), "id": "c2"})
    assert one.items == same.items
    ids = [item.call_id for got in (one, other) for item in got.items if isinstance(item, ToolCall)]
    assert len(set(ids)) == 4
    assert all(each.replace("_", "").isalnum() and len(each) < 40 for each in ids)


def test_a_legacy_function_call_is_a_call() -> None:
    got = both(
        {"content": None, "function_call": {"name": "f", "arguments": '{"x":1}'}},
        [
            {"function_call": {"name": "f", "arguments": ""}},
            {"function_call": {"arguments": '{"x":1}'}},
        ],
        "function_call",
    )
    (item,) = got.items
    assert isinstance(item, ToolCall)
    assert (item.name, item.arguments) == ("f", '{"x":1}')
    assert got.finish.reason == "tool_calls"


def test_a_custom_call_takes_free_text() -> None:
    body = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "SELECT 1"}}
    got = both(
        {"tool_calls": [body]},
        [
            {"tool_calls": [{"index": 0, **body, "custom": {"name": "f", "input": ""}}]},
            {"tool_calls": [{"index": 0, "custom": {"input": "SELECT 1"}}]},
        ],
        "tool_calls",
    )
    assert got.items == (ToolCall("a", "f", "SELECT 1", "custom"),)


def test_a_call_is_over_when_the_next_begins() -> None:
    events = events_of(
        frames(
            chunk({"tool_calls": [call(0, id="a", name="f", arguments="{}")]}),
            chunk({"tool_calls": [call(1, id="b", name="g", arguments='{"x"')]}),
            done=False,
        )
    )
    kinds = [type(event) for event in events]
    assert kinds[1:] == [CallStart, ArgumentsDelta, ItemEnd, CallStart, ArgumentsDelta]


def test_an_unnamed_call_is_a_failure_of_the_provider() -> None:
    events = events_of(frames(chunk({"tool_calls": [call(0, id="a", arguments="{}")]}, "stop")))
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].fault, UpstreamProtocol)


def test_out_of_tokens_leaves_the_last_call_incomplete() -> None:
    got = read_stream(
        frames(chunk({"tool_calls": [call(0, id="a", name="f", arguments='{"x')]}),
               chunk({}, "length"))
    )  # fmt: skip
    assert got.items == (ToolCall("a", "f", '{"x', status="incomplete"),)
    assert got.finish.reason == "length"


@pytest.mark.parametrize("marker", [True, False])
def test_the_finish_waits_for_usage(marker: bool) -> None:
    reader = UPSTREAM.stream(upstream())
    assert Finish not in map(type, reader.feed(frames(chunk({"content": "a"}, "stop"), done=False)))
    last = reader.feed(frames(chunk(choices=[], usage=USAGE), done=marker))
    assert [type(event).__name__ for event in last[-2:]] == ["UsageSeen", "Finish"]
    assert reader.end() == []


def test_usage_may_come_with_groq_or_not_at_all() -> None:
    groq = {"x_groq": {"id": "1", "usage": USAGE}}
    assert read_stream(frames(chunk({"content": "a"}, "stop", **groq), done=False)).usage == Usage(
        input_uncached=7, output_text=3
    )
    assert read_stream(frames(chunk({"content": "a"}, "stop"), done=False)).usage is None


def test_reasoning_beside_the_output_is_counted_once() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 354,
             "completion_tokens_details": {"reasoning_tokens": 340}}  # fmt: skip
    assert read(answer({"content": "a"}, usage=usage)).usage == Usage(
        input_uncached=12, output_text=2, reasoning=340
    )


def test_a_stream_without_an_end_never_looks_finished() -> None:
    with pytest.raises(UpstreamTruncated):
        read_stream(frames(chunk({"content": "a"}), done=False))
    assert read_stream(frames(chunk({"content": "a"}))).finish.reason == "stop"


@pytest.mark.parametrize(
    ("word", "reason"),
    [("length", "length"), ("model_length", "length"), ("content_filter", "content_filter"),
     ("eos_token", "stop"), ("function_call", "stop")],
)  # fmt: skip
def test_finish_reasons_have_a_meaning_and_unknown_ones_end_well(word: str, reason: str) -> None:
    got = read(answer({"content": "a"}, word))
    assert (got.finish.reason, got.finish.native) == (reason, word)


@pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource"])
def test_an_answer_that_broke_off_is_a_failure(word: str) -> None:
    with pytest.raises(UpstreamRejected):
        read(answer({"content": "a"}, word))
    with pytest.raises(UpstreamRejected):
        read_stream(frames(chunk({"content": "a"}, word)))


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (frames({"error": {"message": "slow down", "type": "rate_limit_error"}}), 429),
        (frames({"error": {"message": "no", "code": 503}}), 503),
        (frames({"error": "boom"}), 502),
        (frames({"object": "error", "message": "too long", "code": 400}), 400),
        (b'event: error\ndata: {"message": "x"}\n\n', 502),
        (frames(chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "error",
                                "error": {"code": 502, "message": "gone"}}])), 502),
        (frames(chunk({}, x_groq={"error": "over_capacity"})), 503),
    ],
)  # fmt: skip
def test_an_error_inside_a_stream_fails_it_with_its_status(frame: bytes, status: int) -> None:
    events = events_of(frames(chunk({"content": "a"}), done=False) + frame + frames())
    assert isinstance(events[-1], Failed)
    assert events[-1].fault.http_status == status
    assert sum(type(event) in (Failed, Finish) for event in events) == 1


def test_an_error_inside_a_whole_answer_fails_it() -> None:
    with pytest.raises(UpstreamRejected, match="busy"):
        read({"error": {"message": "busy", "code": 429}})


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"choices":[]}', b'{"choices":3}'])
def test_what_is_no_answer_is_a_typed_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        UPSTREAM.read(body, upstream())


def test_members_of_a_wrong_type_cost_only_themselves() -> None:
    broken = answer({"content": "Hi", "refusal": 3, "tool_calls": [7, None]}, usage=USAGE)
    broken["created"] = "yesterday"
    broken["model"] = {"x": 1}
    got = read(broken)
    assert got.items == (Message("assistant", (Text("Hi"),)),)
    assert got.usage is not None


def test_other_choices_are_not_mixed_in() -> None:
    data = frames(
        chunk({"content": "a"}),
        chunk(choices=[{"index": 1, "delta": {"content": "z"}, "finish_reason": "stop"}]),
        chunk({"content": "b"}, "stop"),
    )
    assert read_stream(data).items == (Message("assistant", (Text("ab"),)),)


def test_azures_first_chunk_does_not_name_the_model() -> None:
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
    got = read_stream(frames(first, chunk({"content": "a"}, "stop")))
    assert (got.id, got.model) == ("c1", "gpt-x")


def test_an_error_status_keeps_when_to_come_back() -> None:
    fault = UPSTREAM.read_error(429, {b"retry-after": b"7"}, b'{"error":{"message":"slow"}}')
    assert (fault.http_status, fault.retry_after, fault.message) == (429, "7", "slow")
    assert UPSTREAM.read_error(500, {b"retry-after": b"x\r\n"}, b"\xff").retry_after is None
