"""A tap reads a stream in passing: usage, names and the end, and nothing can fake them."""

import json
from typing import Any

import pytest
from tests.unit.dialects import example_streams as streams
from tests.unit.dialects.example_streams import chat_chunk, frame

from portico.dialects.base import SpliceRequest, Tap
from portico.dialects.chat.lens import Tap as ChatTap
from portico.dialects.messages.lens import Tap as MessagesTap
from portico.dialects.registry import CHAT, MESSAGES, RESPONSES
from portico.dialects.responses.lens import Tap as ResponsesTap
from portico.dialects.responses.wire import REQUIRED
from portico.errors import RateLimited, UpstreamTruncated
from portico.model.usage import Usage
from portico.wire.sse import Decoder

CUT = UpstreamTruncated("The provider's answer was cut.")
CHAT_SEEN = Usage(input_uncached=16, cache_read=4, output_text=7, reasoning=3)
RESPONSES_SEEN = Usage(input_uncached=14, cache_read=4, cache_write=2, output_text=7, reasoning=3)
MESSAGES_SEEN = Usage(input_uncached=61, cache_read=7, cache_write=5, output_text=9, reasoning=6)
WHOLE = [
    (ChatTap, streams.CHAT_FRAMES, CHAT_SEEN, "gpt-4o-mini-2024-07-18"),
    (ResponsesTap, streams.RESPONSES_FRAMES, RESPONSES_SEEN, "gpt-5-2025-08-07"),
    (MessagesTap, streams.MESSAGES_FRAMES, MESSAGES_SEEN, "claude-sonnet-4-5-20250929"),
]
TERMINAL = {ChatTap: 5, ResponsesTap: 8, MessagesTap: 6}
"""Which frame of the example is the first that ends it."""


def events(block: bytes) -> list[tuple[str, Any]]:
    return [(event.event, json.loads(event.data)) for event in Decoder().feed(block)]


@pytest.mark.parametrize(("make", "frames", "usage", "model"), WHOLE)
def test_a_whole_stream_is_relayed_untouched_and_understood(
    make: type[Tap], frames: list[bytes], usage: Usage, model: str
) -> None:
    tap = make()
    for part in frames:
        assert tap.feed(part) is part
    assert (tap.usage, tap.model) == (usage, model)
    assert tap.finished
    assert not tap.failed
    assert tap.truncation_frames(CUT) == b""
    at_once = make()
    block = b"".join(frames)
    assert at_once.feed(block) is block
    assert (at_once.usage, at_once.finished, at_once.model) == (usage, True, model)


@pytest.mark.parametrize(("make", "frames", "usage", "model"), WHOLE)
def test_a_stream_cut_before_its_terminal_frame_is_not_finished(
    make: type[Tap], frames: list[bytes], usage: Usage, model: str
) -> None:
    for count in range(len(frames) + 1):
        tap = make()
        for part in frames[:count]:
            tap.feed(part)
        assert tap.finished == (count > TERMINAL[make]), count
        marks = tap.truncation_frames(CUT)
        assert bool(marks) != tap.finished
        assert b"[DONE]" not in marks
        assert b"message_stop" not in marks
        assert b"response.completed" not in marks.replace(b'"type":"response.completed"', b"")


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_are_read_as_well(end: bytes) -> None:
    for make, frames, usage, _ in WHOLE:
        tap = make()
        block = b"".join(frames).replace(b"\n", end)
        assert tap.feed(block) is block
        assert (tap.usage, tap.finished) == (usage, True)


def test_the_usage_chunk_is_hidden_only_when_the_client_did_not_ask() -> None:
    wanted = b"".join(part for part in streams.CHAT_FRAMES if part != streams.CHAT_USAGE_FRAME)
    for pieces in (streams.CHAT_FRAMES, [streams.CHAT]):
        tap = ChatTap(hides_usage=True)
        assert b"".join(tap.feed(piece) for piece in pieces) == wanted
        assert tap.usage == CHAT_SEEN


def test_usage_on_a_chunk_with_choices_is_read_and_not_hidden() -> None:
    tap = ChatTap(hides_usage=True)
    last = chat_chunk({}, "stop", usage=streams.CHAT_USAGE)
    empty = chat_chunk({}, choices=[], model="", prompt_filter_results=[])
    assert tap.feed(empty) is empty
    assert tap.feed(last) is last
    assert tap.usage == CHAT_SEEN
    assert tap.model == "gpt-4o-mini-2024-07-18"


def test_names_inside_tool_arguments_or_metadata_fake_nothing() -> None:
    inner = {"usage": {"prompt_tokens": 99, "input_tokens": 99}, "finish_reason": "stop"}
    inner |= {"error": {"message": "x"}, "type": "response.completed"}
    tap: Tap = ChatTap(hides_usage=True)
    for fake in (
        chat_chunk({"tool_calls": [{"function": {"arguments": inner}}]}),
        chat_chunk({"content": "x"}, metadata=inner),
        chat_chunk({"content": "data: [DONE]"}),
    ):
        assert tap.feed(fake) is fake
    assert (tap.usage, tap.finished, tap.failed) == (None, False, False)
    tap = ResponsesTap()
    tap.feed(
        frame({"type": "response.output_item.done", "item": {**inner, "x": {"type": "error"}}})
    )
    assert (tap.usage, tap.finished, tap.failed) == (None, False, False)
    tap = MessagesTap()
    block = {"type": "tool_use", "input": {"type": "message_stop", "y": {"type": "error"}}}
    tap.feed(frame({"type": "content_block_start", "content_block": block}, "content_block_start"))
    assert (tap.usage, tap.finished, tap.failed) == (None, False, False)


def test_each_choice_needs_its_own_finish() -> None:
    request = SpliceRequest(b"", {}, "m", True, None, False, 2)
    tap = CHAT.tap(request)
    tap.feed(chat_chunk({}, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    tap.feed(chat_chunk({}, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    assert not tap.finished
    tap.feed(chat_chunk({}, choices=[{"index": 1, "delta": {}, "finish_reason": "length"}]))
    assert tap.finished


def test_done_alone_ends_a_chat_stream() -> None:
    tap = ChatTap()
    tap.feed(b"data: [DONE]\n\n")
    assert tap.finished


def test_groq_usage_and_cumulative_usage_are_read() -> None:
    tap = ChatTap()
    tap.feed(chat_chunk({}, x_groq={"usage": {"prompt_tokens": 3, "completion_tokens": 2}}))
    assert tap.usage == Usage(input_uncached=3, output_text=2)
    for count in (5, 9, 1):
        tap.feed(chat_chunk({}, usage={"prompt_tokens": 3, "completion_tokens": count}))
    assert tap.usage == Usage(input_uncached=3, output_text=9)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (ChatTap, b'data: {"error":{"message":"x","type":"server_error"}}\n\n'),
        (ChatTap, b'event: error\ndata: {"error": "x"}\n\n'),
        (ResponsesTap, b'event: error\ndata: {"type":"error","error":{"message":"x"}}\n\n'),
        (ResponsesTap, b'data: {"type":"error","code":null,"message":"x"}\n\n'),
        (ResponsesTap, b'event: error\ndata: {"message":"x"}\n\n'),
        (ResponsesTap, b'data: {"type": "response.failed","response":{}}\n\n'),
        (MessagesTap, b'event: error\ndata: {"type":"error","error":{"type":"api_error"}}\n\n'),
        (MessagesTap, b'event: error\ndata: {"error":{"type":"api_error"}}\n\n'),
    ],
)
def test_an_error_in_the_stream_is_seen(make: type[Tap], error: bytes) -> None:
    tap = make()
    assert tap.feed(error) is error
    assert (tap.failed, tap.finished) == (True, True)
    assert tap.truncation_frames(CUT) == b""


def test_a_null_error_is_none() -> None:
    tap = ChatTap()
    tap.feed(chat_chunk({"content": "x"}, error=None))
    assert not tap.failed


def test_an_incomplete_response_is_finished_and_has_its_usage() -> None:
    tap = ResponsesTap()
    body = {**streams.RESPONSE, "status": "incomplete", "usage": streams.RESPONSES_USAGE}
    tap.feed(frame({"type": "response.incomplete", "sequence_number": 3, "response": body}))
    assert (tap.finished, tap.failed, tap.usage) == (True, False, RESPONSES_SEEN)


@pytest.mark.parametrize("make", [ChatTap, ResponsesTap, MessagesTap])
@pytest.mark.parametrize(
    "part",
    [
        b"data: not json\n\n",
        b'data: {"type":"error"\n\n',
        b'data: [1,2]\n\ndata: "usage"\n\ndata: {"usage":{\n\n',
        b'data: {"choices":7,"usage":{"prompt_tokens":"x"},"id":1,"model":[]}\n\n',
        b'data: {"choices":[null],"usage":{"prompt_tokens":-1}}\n\n',
        b'data: {"type":"message_start","message":7}\n\n',
        b'data: {"type":"message_delta","usage":[]}\n\n',
        b'data: {"type":"response.created","response":null}\n\n',
        b'data: {"type":"response.incomplete","response":[]}\n\n',
        b'data: {"type":7,"usage":{"a":' + b"[" * 5000 + b"\n\n",
        b'data: {"usage":{"\xff":1}}\n\n',
        b"event: error\n\n",
        b"\n",
    ],
)
def test_what_cannot_be_read_is_relayed(make: type[Tap], part: bytes) -> None:
    tap = make()
    assert tap.feed(part) == part
    tap.truncation_frames(CUT)


def test_later_counts_of_a_message_replace_earlier_ones() -> None:
    def delta(**usage: int | None) -> bytes:
        return frame({"type": "message_delta", "delta": {}, "usage": usage}, "message_delta")

    tap = MessagesTap()
    tap.feed(streams.MESSAGES_FRAMES[0])
    assert tap.usage == Usage(input_uncached=43, cache_read=7, cache_write=5, output_text=1)
    tap.feed(delta(input_tokens=61, output_tokens=10, cache_read_input_tokens=None))
    tap.feed(delta(input_tokens=0, output_tokens=15))
    assert tap.usage == Usage(input_uncached=61, cache_read=7, cache_write=5, output_text=15)


def test_a_cut_chat_stream_ends_with_an_error_and_no_done() -> None:
    tap = CHAT.tap(SpliceRequest(b"", {}, "m", True))
    tap.feed(streams.CHAT_FRAMES[0])
    error = {
        "message": "The provider's answer was cut.",
        "type": "server_error",
        "param": None,
        "code": "upstream_truncated",
    }
    assert events(tap.truncation_frames(CUT)) == [("message", {"error": error})]


def test_a_cut_message_ends_with_an_error_event() -> None:
    tap = MESSAGES.tap(SpliceRequest(b"", {}, "m", True))
    tap.feed(streams.MESSAGES_FRAMES[0])
    error = {"type": "api_error", "message": "The provider's answer was cut."}
    assert events(tap.truncation_frames(CUT)) == [("error", {"type": "error", "error": error})]


@pytest.mark.parametrize("seen", [1, 3, 5])
def test_a_cut_response_fails_with_the_same_id_and_numbers_that_go_on(seen: int) -> None:
    tap = ResponsesTap()
    tap.feed(b"".join(streams.RESPONSES_FRAMES[:seen]))
    tap.feed(b": keep-alive\n\n")
    assert tap.sequence == seen - 1
    (first, error), (second, failed) = events(tap.truncation_frames(CUT))
    assert (first, error["type"], error["sequence_number"]) == ("error", "error", seen)
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert (second, failed["type"], failed["sequence_number"]) == (
        "response.failed", "response.failed", seen + 1,
    )  # fmt: skip
    response = failed["response"]
    assert set(REQUIRED) <= set(response)
    assert len(REQUIRED) == 31
    changed = {"status": "failed", "error": {"code": "server_error", "message": CUT.message}}
    assert response == {**REQUIRED, **streams.RESPONSE, **changed}


def test_the_failed_response_keeps_the_created_one_byte_for_byte() -> None:
    tap = ResponsesTap()
    tap.feed(b'data: {"type":"response.created","response":{"id":"r","temperature":0.50}}\n\n')
    assert b'"temperature":0.50' in tap.truncation_frames(CUT)


def test_a_cut_before_the_response_was_created_is_only_an_error() -> None:
    tap = RESPONSES.tap(SpliceRequest(b"", {}, "m", True))
    ((kind, error),) = events(tap.truncation_frames(RateLimited("Slow down.")))
    assert (kind, error["sequence_number"]) == ("error", 0)
    assert error["error"]["type"] == "rate_limit_error"
