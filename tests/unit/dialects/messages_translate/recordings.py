"""Answers as Anthropic gives them, each whole and as a stream, written by hand from the
documentation (https://platform.claude.com/docs/en/build-with-claude/streaming, 2026-11-21)."""

import json
from typing import Any

USAGE = {
    "input_tokens": 43,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 7,
    "output_tokens": 21,
    "output_tokens_details": {"thinking_tokens": 6},
    "service_tier": "priority",
}


def whole(content: list[dict[str, Any]], **more: Any) -> bytes:
    """A whole answer. Compact, as the API writes it."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
        **more,
    }
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def start(**usage: Any) -> dict[str, Any]:
    counts = {**USAGE, "input_tokens": 40, "output_tokens": 1, **usage}
    counts.pop("output_tokens_details")
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": counts,
    }
    return {"type": "message_start", "message": message}


def block(index: int, first: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """A content block: start, deltas, stop."""
    return [
        {"type": "content_block_start", "index": index, "content_block": first},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def end(reason: str = "end_turn", sequence: str | None = None, **more: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": sequence, **more}
    counts = {name: count for name, count in USAGE.items() if name != "service_tier"}
    return [{"type": "message_delta", "delta": delta, "usage": counts}, {"type": "message_stop"}]


def text_delta(text: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": text}


def json_delta(text: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": text}


PING: dict[str, Any] = {"type": "ping"}
PLACE = {
    "type": "web_search_result_location",
    "url": "https://c",
    "title": "Cats",
    "cited_text": "cats",
    "encrypted_index": "EqB",
}
HIT = {
    "type": "web_search_result",
    "url": "https://c",
    "title": "Cats",
    "encrypted_content": "Eq==",
    "page_age": None,
}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [HIT]}

PAIRS: dict[str, tuple[bytes, list[dict[str, Any]]]] = {
    "text": (
        whole([{"type": "text", "text": "Hi 😀 there"}]),
        [
            start(),
            PING,
            *block(0, {"type": "text", "text": ""}, text_delta("Hi 😀"), text_delta(" there")),
            *end(),
        ],
    ),
    "thinking and calls": (
        whole(
            [
                {"type": "thinking", "thinking": "let me\nsee", "signature": "EqQ+/="},
                {"type": "redacted_thinking", "data": "Emw=="},
                {"type": "text", "text": "calling"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": "é", "b": [1]}},
                {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
            ],
            stop_reason="tool_use",
        ),
        [
            start(),
            *block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": "let me\n"},
                {"type": "thinking_delta", "thinking": "see"},
                {"type": "signature_delta", "signature": "EqQ+/="},
            ),
            *block(1, {"type": "redacted_thinking", "data": "Emw=="}),
            PING,
            *block(2, {"type": "text", "text": ""}, text_delta("calling")),
            *block(
                3,
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
                json_delta(""),
                json_delta('{"a":"'),
                json_delta('é","b":[1]}'),
            ),
            *block(4, {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}),
            *end("tool_use"),
        ],
    ),
    "thinking that is not shown": (
        whole(
            [
                {"type": "thinking", "thinking": "", "signature": "sig"},
                {"type": "text", "text": "x"},
            ]
        ),
        [
            start(),
            *block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "signature_delta", "signature": "sig"},
            ),
            *block(1, {"type": "text", "text": ""}, text_delta("x")),
            *end(),
        ],
    ),
    "search with citations": (
        whole(
            [
                {"type": "text", "text": "looking"},
                {**SEARCH, "input": {"query": "cats"}},
                FOUND,
                {"type": "text", "text": "They say "},
                {"type": "text", "text": "meow", "citations": [PLACE]},
                {"type": "text", "text": "."},
            ]
        ),
        [
            start(),
            *block(0, {"type": "text", "text": ""}, text_delta("looking")),
            *block(1, SEARCH, json_delta(""), json_delta('{"query":'), json_delta('"cats"}')),
            *block(2, FOUND),
            *block(3, {"type": "text", "text": ""}, text_delta("They say ")),
            *block(
                4,
                {"type": "text", "text": "", "citations": []},
                {"type": "citations_delta", "citation": PLACE},
                text_delta("meow"),
            ),
            *block(5, {"type": "text", "text": ""}, text_delta(".")),
            *end(),
        ],
    ),
    "stop sequence": (
        whole([{"type": "text", "text": "a"}], stop_reason="stop_sequence", stop_sequence="END"),
        [
            start(),
            *block(0, {"type": "text", "text": ""}, text_delta("a")),
            *end("stop_sequence", "END"),
        ],
    ),
    "refusal without content": (
        whole(
            [],
            stop_reason="refusal",
            stop_details={"type": "refusal", "category": "cyber", "explanation": "No."},
        ),
        [
            start(),
            *end(
                "refusal",
                stop_details={"type": "refusal", "category": "cyber", "explanation": "No."},
            ),
        ],
    ),
    "paused turn": (
        whole([{**SEARCH, "input": {"query": "q"}}], stop_reason="pause_turn"),
        [start(), *block(0, SEARCH, json_delta('{"query":"q"}')), *end("pause_turn")],
    ),
    "compaction": (
        whole(
            [
                {"type": "compaction", "content": "so far"},
                {"type": "text", "text": "on"},
            ]
        ),
        [
            start(),
            *block(
                0,
                {"type": "compaction", "content": None},
                {"type": "compaction_delta", "content": "so far"},
            ),
            *block(1, {"type": "text", "text": ""}, text_delta("on")),
            *end(),
        ],
    ),
    "mcp and code": (
        whole(
            [
                {
                    "type": "mcp_tool_use",
                    "id": "m1",
                    "name": "t",
                    "server_name": "s",
                    "input": {"a": 1},
                },
                {
                    "type": "mcp_tool_result",
                    "tool_use_id": "m1",
                    "is_error": False,
                    "content": [{"type": "text", "text": "said"}],
                },
                {
                    "type": "server_tool_use",
                    "id": "c1",
                    "name": "code_execution",
                    "input": {"code": "1/0"},
                },
                {
                    "type": "code_execution_tool_result",
                    "tool_use_id": "c1",
                    "content": {
                        "type": "code_execution_result",
                        "stdout": "out",
                        "stderr": "err",
                        "return_code": 1,
                        "content": [],
                    },
                },
            ]
        ),
        [
            start(),
            *block(
                0,
                {
                    "type": "mcp_tool_use",
                    "id": "m1",
                    "name": "t",
                    "server_name": "s",
                    "input": {},
                },
                json_delta('{"a":1}'),
            ),
            *block(
                1,
                {
                    "type": "mcp_tool_result",
                    "tool_use_id": "m1",
                    "is_error": False,
                    "content": [{"type": "text", "text": "said"}],
                },
            ),
            *block(
                2,
                {"type": "server_tool_use", "id": "c1", "name": "code_execution", "input": {}},
                json_delta('{"code":"1/0"}'),
            ),
            *block(
                3,
                {
                    "type": "code_execution_tool_result",
                    "tool_use_id": "c1",
                    "content": {
                        "type": "code_execution_result",
                        "stdout": "out",
                        "stderr": "err",
                        "return_code": 1,
                        "content": [],
                    },
                },
            ),
            *end(),
        ],
    ),
    "out of tokens in a call": (
        whole(
            [
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "f",
                    "input": {"a": "b"},
                }
            ],
            stop_reason="model_context_window_exceeded",
        ),
        [
            start(),
            *block(
                0,
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
                json_delta('{"a":"b"}'),
            ),
            *end("model_context_window_exceeded"),
        ],
    ),
}
"""name -> (whole, stream) of the same answer."""


def frames(events: list[dict[str, Any]]) -> bytes:
    """The stream as bytes. Compact, as the API writes it."""
    return b"".join(
        [
            f"event: {event['type']}\ndata: "
            f"{json.dumps(event, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()
            for event in events
        ]
    )
