"""Usage is read from whole answers, vendor by vendor, and never trusted."""

import json
from typing import Any

import pytest
from tests.unit.dialects import example_streams as streams

from portico.dialects.base import Answer
from portico.dialects.registry import CHAT, DIALECTS, MESSAGES, RESPONSES
from portico.model.usage import Usage

BIG = 1_000_000_000


def usage(into: int = 0, read: int = 0, write: int = 0, out: int = 0, thought: int = 0) -> Usage:
    return Usage(
        input_uncached=into, cache_read=read, cache_write=write, output_text=out, reasoning=thought
    )


def chat(counts: Any, **more: Any) -> Answer:
    body = {"id": "c1", "model": "m1", "choices": [{"message": {"content": "x"}}], "usage": counts}
    return CHAT.read_usage(json.dumps({**body, **more}).encode())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (streams.CHAT_USAGE, usage(16, 4, 0, 7, 3)),
        (
            {
                "prompt_tokens": 20,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
            },
            usage(10, 4, 6, 1),
        ),
        # DeepSeek
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "prompt_cache_hit_tokens": 8,
                "prompt_cache_miss_tokens": 2,
            },
            usage(2, 8, 0, 5),
        ),
        # Moonshot
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cached_tokens": 4},
            usage(6, 4, 0, 5),
        ),
        # xAI counts reasoning beside the output
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 2,
                "total_tokens": 354,
                "completion_tokens_details": {"reasoning_tokens": 340},
            },
            usage(12, 0, 0, 2, 340),
        ),
        # Groq and OpenAI count it inside
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 342,
                "total_tokens": 354,
                "completion_tokens_details": {"reasoning_tokens": 340},
            },
            usage(12, 0, 0, 2, 340),
        ),
    ],
)
def test_chat_usage_of_each_vendor(counts: dict[str, Any], expected: Usage) -> None:
    assert chat(counts) == Answer("m1", expected)


def test_groq_reports_usage_under_its_own_name() -> None:
    counts = {"prompt_tokens": 3, "completion_tokens": 2}
    body = json.dumps({"model": "m", "x_groq": {"id": "r", "usage": counts}}).encode()
    assert CHAT.read_usage(body).usage == usage(3, 0, 0, 2)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ("12", None),
        ({"prompt_tokens": "12"}, None),
        ({"prompt_tokens": -5, "completion_tokens": 2}, usage(0, 0, 0, 2)),
        ({"prompt_tokens": 3.0, "completion_tokens": None}, usage(3)),
        ({"prompt_tokens": True, "completion_tokens": 1}, usage(0, 0, 0, 1)),
        ({"prompt_tokens": 10**30, "completion_tokens": 0}, usage(BIG)),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": "x", "completion_tokens": 1},
            usage(3, out=1),
        ),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}},
            usage(0, 3),
        ),
    ],
)
def test_strange_counts_never_raise_and_are_clamped(counts: Any, expected: Usage | None) -> None:
    assert chat(counts) == Answer("m1", expected)


@pytest.mark.parametrize("route", sorted(DIALECTS))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b"\xff",
        b'{"usage":',
        b"[" * 5000,
        b'{"model":1,"id":[],"usage":7}',
        b'{"\xff":1}',
        b'{"usage":{"input_tokens":' + b"9" * 5000 + b"}}",
    ],
)
def test_a_body_that_cannot_be_read_is_an_empty_answer(route: str, body: bytes) -> None:
    assert DIALECTS[route].read_usage(body) == Answer()


def test_long_names_are_cut() -> None:
    assert len(chat({}, model="m" * 9999).model) == 512
    assert len(chat(streams.CHAT_USAGE, model="m" * 9999).model) == 512


def test_responses_usage_has_cache_inside_input() -> None:
    body = {**streams.RESPONSE, "usage": streams.RESPONSES_USAGE}
    found = RESPONSES.read_usage(json.dumps(body).encode())
    assert found == Answer("gpt-5-2025-08-07", usage(14, 4, 2, 7, 3))
    body["usage"] = {"input_tokens": "x", "output_tokens": 4}
    assert RESPONSES.read_usage(json.dumps(body).encode()).usage == usage(out=4)


def test_messages_usage_has_cache_outside_input() -> None:
    counts = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "output_tokens": 8,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    body = {"id": "msg_1", "type": "message", "model": "claude", "usage": counts}
    found = MESSAGES.read_usage(json.dumps(body).encode())
    assert found == Answer("claude", usage(10, 1000, 100, 5, 3))
    assert found.usage is not None
    assert found.usage.input_total == 1110
    body["usage"] = {**counts, "input_tokens": None, "output_tokens": -1}
    assert MESSAGES.read_usage(json.dumps(body).encode()).usage == usage(0, 1000, 100)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_usage_is_found_at_the_end_of_a_body_that_was_not_held(separators: tuple[str, str]) -> None:
    fake = {"usage": {"prompt_tokens": 1, "input_tokens": 1}}
    text = 'x"usage":{"prompt_tokens":1}}]' * 3000
    cases = [
        (CHAT, {"choices": [text, fake], "usage": streams.CHAT_USAGE, "system_fingerprint": "f}"}),
        (RESPONSES, {"output": [text], "usage": streams.RESPONSES_USAGE, "metadata": fake}),
        (MESSAGES, {"content": [text], "usage": {"input_tokens": 10, "output_tokens": 8}}),
    ]
    for dialect, body in cases:
        raw = json.dumps(body, separators=separators).encode()
        expected = dialect.read_usage(raw).usage
        assert expected is not None
        assert dialect.usage_from_tail(raw[-65_536:]) == expected


@pytest.mark.parametrize("route", sorted(DIALECTS))
def test_a_tail_without_usage_of_the_answer_itself_gives_none(route: str) -> None:
    counts = b'{"prompt_tokens":1,"input_tokens":1}'
    for tail in (
        b"",
        b"\xff" * 100,
        b'"usage":',
        b'"usage":{' * 1000,
        b'"usage":{"a":[' * 500,
        b'{"a":{"usage":' + counts + b"}}",
        b'"usage":{"a":' + b"[" * 9000,
    ):
        assert DIALECTS[route].usage_from_tail(tail) is None
