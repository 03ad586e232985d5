"""What chat clients are told, whole and streamed, and that the official SDK reads it."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.unit.dialects.chat_translate.chat_kit import (
    ask,
    asked,
    payloads,
    respond,
    seal,
    stream,
)

from portico.dialects.chat.client import CLIENT
from portico.errors import UpstreamRejected, UpstreamTruncated
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    FinishReason,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
    UsageSeen,
)
from portico.model.items import Hosted, Reasoning
from portico.model.losses import Losses
from portico.model.parts import Citation
from portico.model.response import fold
from portico.model.sealed import Sealed
from portico.model.sequence import Sequencer
from portico.model.usage import Usage

USAGE = Usage(input_uncached=5, cache_read=2, cache_write=1, output_text=3, reasoning=4)
ASK_USAGE = {"stream_options": {"include_usage": True}}


def text_events() -> list[Event]:
    return [
        Started("r1", "claude", "default"),
        MessageStart(0),
        TextDelta(0, 'Hé "llo'),
        TextDelta(0, " there"),
        ItemEnd(0),
        UsageSeen(USAGE),
        Finish("stop"),
    ]


def busy_events() -> list[Event]:
    """Two blocks of sealed reasoning, text, and two calls."""
    return [
        Started("r1", "claude"),
        ReasoningStart(0),
        ThoughtDelta(0, "First "),
        ThoughtDelta(0, "this."),
        SealedSeen(0, Sealed("o", "signature", "sig0")),
        ItemEnd(0),
        MessageStart(1),
        TextDelta(1, "Let me see."),
        ItemEnd(1),
        ReasoningStart(2),
        SummaryDelta(2, "Then that."),
        SealedSeen(2, Sealed("o", "signature", "sig1")),
        ItemEnd(2),
        CallStart(3, "call_a", "f"),
        ArgumentsDelta(3, '{"x":'),
        ArgumentsDelta(3, "1}"),
        ItemEnd(3),
        ReasoningStart(4),
        SealedSeen(4, Sealed("o", "next", "sig2")),
        ItemEnd(4),
        CallStart(5, "call_b", "g"),
        ArgumentsDelta(5, "{}"),
        ItemEnd(5),
        UsageSeen(USAGE),
        Finish("tool_calls"),
    ]


def cited_events() -> list[Event]:
    return [
        Started("r1", "claude"),
        MessageStart(0),
        TextDelta(0, "Abc. "),
        PartEnd(0),
        TextDelta(0, "Def."),
        CitationAdded(0, Citation(kind="url", url="http://a", title="A", start=0, end=3)),
        CitationAdded(0, Citation(kind="url", url="http://b")),
        ItemEnd(0),
        Finish("stop"),
    ]


def sdk(body: bytes, kind: str = "text/event-stream") -> openai.OpenAI:
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, content=body, headers={"content-type": kind})
    )
    return openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0)


def accumulated(body: bytes) -> Any:
    """What the SDK's stream helper makes of a stream."""
    with sdk(body) as client, client.chat.completions.stream(model="m", messages=[]) as events:
        for _ in events:
            pass
        return json.loads(events.get_final_completion().to_json())


def test_a_whole_answer_has_every_member() -> None:
    got = respond(fold(text_events()))
    assert got == {
        "id": "chatcmpl-" + "0" * 32,
        "object": "chat.completion",
        "created": 1_763_000_000,
        "model": "claude",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": 'Hé "llo there', "refusal": None,
                            "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 8,
            "completion_tokens": 7,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1,
                                      "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0,
                                          "accepted_prediction_tokens": 0,
                                          "rejected_prediction_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }  # fmt: skip
    ChatCompletion.model_validate(got, strict=True)


def test_a_stream_has_the_role_once_the_finish_and_the_sentinel() -> None:
    body = stream(text_events())
    assert body.endswith(b"data: [DONE]\n\n")
    found = payloads(body)
    for each in found:
        ChatCompletionChunk.model_validate(each, strict=True)
    deltas = [each["choices"][0]["delta"] for each in found]
    assert deltas == [
        {"role": "assistant", "content": None},
        {"content": 'Hé "llo'},
        {"content": " there"},
        {},
    ]
    assert [each["choices"][0]["finish_reason"] for each in found] == [None, None, None, "stop"]
    assert len({(each["id"], each["model"], each["created"]) for each in found}) == 1
    assert all("usage" not in each for each in found)


def test_usage_is_told_only_when_it_was_asked_for() -> None:
    found = payloads(stream(text_events(), **ASK_USAGE))
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 15
    assert all(each["usage"] is None for each in found[:-1])
    for each in found:
        ChatCompletionChunk.model_validate(each, strict=True)


@pytest.mark.parametrize("events", [text_events, busy_events, cited_events])
def test_the_sdk_makes_of_the_stream_what_the_whole_answer_says(
    events: Callable[[], list[Event]],
) -> None:
    whole = respond(fold(Sequencer().feed(events())))
    told = accumulated(stream(events(), **ASK_USAGE))
    ours, theirs = whole["choices"][0], told["choices"][0]
    assert theirs["finish_reason"] == ours["finish_reason"]
    for name in ("content", "refusal", "reasoning_content"):
        assert theirs["message"].get(name) == ours["message"].get(name)
    assert (theirs["message"].get("annotations") or []) == ours["message"]["annotations"]
    calls = [
        (each["id"], each["function"]["name"], each["function"]["arguments"])
        for each in theirs["message"].get("tool_calls") or []
    ]
    assert calls == [
        (each["id"], each["function"]["name"], each["function"]["arguments"])
        for each in ours["message"].get("tool_calls", [])
    ]
    if whole["usage"] is not None:
        assert told["usage"] == whole["usage"]


@pytest.mark.parametrize("streamed", [True, False])
def test_what_the_client_sends_back_replays_every_seal_in_its_place(streamed: bool) -> None:
    if streamed:
        message = accumulated(stream(busy_events()))["choices"][0]["message"]
    else:
        message = respond(fold(Sequencer().feed(busy_events())))["choices"][0]["message"]
    sent = ("role", "content", "reasoning_content", "reasoning_details", "tool_calls")
    kept = {name: message[name] for name in sent}
    for each in kept["tool_calls"]:
        each.pop("index", None)
        each["function"].pop("parsed_arguments", None)
    items = ask(messages=[kept]).items
    expected = fold(Sequencer().feed(busy_events())).items
    assert items == expected


def test_unsealed_reasoning_before_a_sealed_block_keeps_its_own_place() -> None:
    events: list[Event] = [
        Started(),
        ReasoningStart(0),
        ThoughtDelta(0, "Plain."),
        ItemEnd(0),
        MessageStart(1),
        TextDelta(1, "Hi."),
        ItemEnd(1),
        ReasoningStart(2),
        ThoughtDelta(2, "Signed."),
        SealedSeen(2, Sealed("o", "signature", "s")),
        ItemEnd(2),
        MessageStart(3),
        TextDelta(3, "Bye."),
        ItemEnd(3),
        Finish("stop"),
    ]
    for message in (
        respond(fold(events))["choices"][0]["message"],
        accumulated(stream(events))["choices"][0]["message"],
    ):
        assert ask(messages=[message]).items == fold(events).items
        assert message["reasoning_content"] == "Plain.\n\nSigned."


def test_reasoning_without_state_is_only_readable_text() -> None:
    events: list[Event] = [
        Started(),
        ReasoningStart(0),
        SummaryDelta(0, "One"),
        PartEnd(0),
        SummaryDelta(0, "Two"),
        ItemEnd(0),
        MessageStart(1),
        TextDelta(1, "Hi"),
        ItemEnd(1),
        Finish("stop"),
    ]
    message = respond(fold(events))["choices"][0]["message"]
    assert message["reasoning_content"] == "One\n\nTwo"
    assert "reasoning_details" not in message
    assert accumulated(stream(events))["choices"][0]["message"]["reasoning_content"] == "One\n\nTwo"
    assert ask(messages=[message]).items[0] == Reasoning(content=("One\n\nTwo",))


def test_sealed_state_is_a_wrapped_value_of_our_format() -> None:
    message = respond(fold(Sequencer().feed(busy_events())))["choices"][0]["message"]
    elements = message["reasoning_details"]
    assert [(each["type"], each.get("id"), each["index"]) for each in elements] == [
        ("reasoning.text", None, 0),
        ("reasoning.encrypted", "text:0", 0),
        ("reasoning.summary", None, 1),
        ("reasoning.encrypted", "call:call_a", 1),
        ("reasoning.encrypted", "call:call_b", 2),
    ]
    assert {each["format"] for each in elements} == {"portico-v1"}
    assert elements[1]["data"] == seal(Sealed("o", "signature", "sig0"))
    raw = json.dumps({"messages": [message]}).encode()
    stripped = CLIENT.strip(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]))
    assert "reasoning_details" not in json.loads(stripped["messages"])[0]


def test_citations_count_from_the_beginning_of_the_content() -> None:
    notes = respond(fold(cited_events()))["choices"][0]["message"]["annotations"]
    assert [
        (each["url_citation"]["start_index"], each["url_citation"]["end_index"]) for each in notes
    ] == [(5, 8), (9, 9)]


def test_citations_of_a_second_message_are_behind_the_first() -> None:
    events: list[Event] = [
        Started(),
        MessageStart(0), TextDelta(0, "One"), ItemEnd(0),
        MessageStart(1), TextDelta(1, "two"),
        CitationAdded(1, Citation(kind="url", url="http://a", start=0, end=3)), ItemEnd(1),
        Finish("stop"),
    ]  # fmt: skip
    for message in (
        respond(fold(events))["choices"][0]["message"],
        accumulated(stream(events))["choices"][0]["message"],
    ):
        (note,) = message["annotations"]
        place = note["url_citation"]
        assert message["content"][place["start_index"] : place["end_index"]] == "two"


def test_text_after_a_call_is_joined_and_declared() -> None:
    events: list[Event] = [
        Started(),
        MessageStart(0), TextDelta(0, "One"), ItemEnd(0),
        CallStart(1, "a", "f"), ArgumentsDelta(1, "{}"), ItemEnd(1),
        MessageStart(2), TextDelta(2, "two"), ItemEnd(2),
        Finish("tool_calls"),
    ]  # fmt: skip
    losses: Losses = []
    message = respond(fold(events), losses)["choices"][0]["message"]
    assert message["content"] == "One\n\ntwo"
    assert [(each.path, each.how) for each in losses] == [("choices[0].message.content", "adapted")]
    streamed: Losses = []
    assert accumulated(stream(events, streamed))["choices"][0]["message"]["content"] == "One\n\ntwo"
    assert streamed == losses


def test_hosted_items_are_declared_and_pictures_shown() -> None:
    def events() -> list[Event]:
        return [
            Started(),
            HostedDone(0, Hosted(type="web_search_call", input="q")),
            HostedDone(1, Hosted(type="web_search_call", input="r")),
            HostedDone(2, Hosted(type="image_generation_call", output="iVBORw0KGgo=")),
            Finish("stop"),
        ]

    for told in (
        lambda losses: respond(fold(events()), losses)["choices"][0]["message"]["images"],
        lambda losses: payloads(stream(events(), losses))[1]["choices"][0]["delta"]["images"],
    ):
        losses: Losses = []
        (shown,) = told(losses)
        assert shown["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
        assert [each.how for each in losses] == ["dropped"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("stop", "stop"), ("stop_sequence", "stop"), ("tool_calls", "stop"), ("length", "length"),
     ("content_filter", "content_filter"), ("refusal", "content_filter"), ("pause", "length")],
)  # fmt: skip
def test_every_finish_reason_has_a_word(reason: FinishReason, told: str) -> None:
    events: list[Event] = [
        Started(), MessageStart(0), TextDelta(0, "x"), ItemEnd(0), Finish(reason),
    ]  # fmt: skip
    assert respond(fold(events))["choices"][0]["finish_reason"] == told
    assert payloads(stream(events))[-1]["choices"][0]["finish_reason"] == told


def test_a_refusal_with_words_is_told_as_openai_tells_it() -> None:
    said: list[Event] = [
        Started(), MessageStart(0), RefusalDelta(0, "No."), ItemEnd(0), Finish("stop"),
    ]  # fmt: skip
    stopped: list[Event] = [Started(), Finish("refusal", detail="No.")]
    for events in (said, stopped):
        choice = respond(fold(events))["choices"][0]
        assert (choice["message"]["refusal"], choice["message"]["content"]) == ("No.", None)
        assert choice["finish_reason"] == "stop"
        streamed = accumulated(stream(events))["choices"][0]
        assert streamed["message"]["refusal"] == "No."


def test_clients_of_functions_get_a_function_call() -> None:
    def events() -> list[Event]:
        return [
            Started(),
            CallStart(0, "a", "f"), ArgumentsDelta(0, '{"x":1}'), ItemEnd(0),
            CallStart(1, "b", "g"), ArgumentsDelta(1, "{}"), ItemEnd(1),
            Finish("tool_calls"),
        ]  # fmt: skip

    losses: Losses = []
    choice = respond(fold(events()), losses, functions=[])["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert choice["finish_reason"] == "function_call"
    assert len(losses) == 1
    found = payloads(stream(events(), functions=[]))
    pieces = [each["choices"][0]["delta"].get("function_call") for each in found]
    assert [each for each in pieces if each] == [
        {"name": "f", "arguments": ""}, {"arguments": '{"x":1}'},
    ]  # fmt: skip


def test_custom_calls_keep_their_kind() -> None:
    events: list[Event] = [
        Started(), CallStart(0, "a", "f", "custom"), ArgumentsDelta(0, "1+1"), ItemEnd(0),
        Finish("tool_calls"),
    ]  # fmt: skip
    whole = respond(fold(events))
    assert whole["choices"][0]["message"]["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "f", "input": "1+1"}}
    ]
    ChatCompletion.model_validate(whole)
    calls = [each["choices"][0]["delta"].get("tool_calls") for each in payloads(stream(events))]
    assert [each[0] for each in calls if each] == [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": ""}},
        {"index": 0, "custom": {"input": "1+1"}},
    ]


def test_a_percent_sign_in_arguments_is_no_placeholder() -> None:
    events: list[Event] = [
        Started("", "100%b"), CallStart(0, "%d", "f"), ArgumentsDelta(0, '{"x":"%b %s"}'),
        ItemEnd(0), Finish("tool_calls"),
    ]  # fmt: skip
    (call,) = accumulated(stream(events))["choices"][0]["message"]["tool_calls"]
    assert (call["id"], call["function"]["arguments"]) == ("%d", '{"x":"%b %s"}')


def test_a_cut_or_failed_stream_has_no_sentinel_and_raises_in_the_sdk() -> None:
    half = text_events()[:3]
    fault = UpstreamTruncated("The provider's answer was cut.")
    out = CLIENT.stream(asked())
    body = out.encode(half) + out.cut(fault)
    assert out.encode(text_events()) == out.cut(fault) == b""
    failed = stream([*half, Failed(UpstreamRejected("Was cut.", status=529))])
    for each in (body, failed):
        assert b"[DONE]" not in each
        assert b'"finish_reason":"' not in each
        with sdk(each) as client, pytest.raises(openai.APIError, match=r"(w|W)as cut"):
            list(client.chat.completions.create(model="m", messages=[], stream=True))


def test_nothing_follows_the_end() -> None:
    out = CLIENT.stream(asked())
    out.encode(text_events())
    assert out.encode(text_events()) == b""
    assert out.cut(UpstreamTruncated("x")) == b""


def test_logprobs_that_came_over_several_lines_go_out_in_one() -> None:
    raw = msgspec.Raw(b'[\r\n {"token": "x",\n "logprob": -0.5}\n]')
    events: list[Event] = [
        Started(), MessageStart(0), TextDelta(0, "x", raw), ItemEnd(0), Finish("stop"),
    ]  # fmt: skip
    found = payloads(stream(events))
    assert found[1]["choices"][0]["logprobs"]["content"] == [{"token": "x", "logprob": -0.5}]


def test_logprobs_are_relayed() -> None:
    token = {"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}
    raw = msgspec.Raw(json.dumps([token]).encode())
    events: list[Event] = [
        Started(), MessageStart(0), TextDelta(0, "x", raw), TextDelta(0, "x", raw), ItemEnd(0),
        Finish("stop"),
    ]  # fmt: skip
    whole = respond(fold(events))
    assert whole["choices"][0]["logprobs"]["content"] == [token, token]
    ChatCompletion.model_validate(whole, strict=True)
    found = payloads(stream(events))
    assert found[1]["choices"][0]["logprobs"] == {"content": [token], "refusal": None}
    ChatCompletionChunk.model_validate(found[1], strict=True)
