"""Whoever says that a conversation is too long, the client hears one code."""

import json
from typing import Any

import pytest

from portico.dialects.translators import UPSTREAMS


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


VLLM = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
SAID: list[tuple[str, int, Any]] = [
    ("responses", 400, openai("Your input exceeds the context window of this model.",
                              code="context_length_exceeded")),
    ("chat", 400, openai(VLLM, code="context_length_exceeded")),
    ("chat", 400, {"object": "error", "message": VLLM, "code": 400}),
    ("chat", 400, openai("The decoder prompt (length 9) is longer than the maximum model length")),
    ("chat", 400, openai("This model's maximum prompt length is 131072 but the request contains")),
    ("chat", 413, openai("Please reduce the length of the messages or completion.")),
    ("chat", 400, openai("the request exceeds the available context size, try increasing it")),
    ("chat", 422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"}),
    ("messages", 400, {"type": "error", "error": {"type": "invalid_request_error",
                       "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
    ("messages", 400, {"type": "error", "error": {"type": "invalid_request_error",
                       "message": "input length and `max_tokens` exceed context limit: 3"}}),
    ("gemini", 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
                     "The input token count (1200000) exceeds the maximum number of tokens "
                     "allowed (1048576)."}}),
    ("converse", 400, {"__type": "ValidationException",
                       "message": "Input is too long for requested model."}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "status", "body"), SAID)
def test_every_dialects_overflow_has_the_code(dialect: str, status: int, body: Any) -> None:
    fault = UPSTREAMS[dialect].side.read_error(status, {}, json.dumps(body).encode())
    assert (fault.http_status, fault.code) == (status, "context_length_exceeded")


@pytest.mark.parametrize("status", [429, 500])
def test_other_errors_keep_their_own(status: int) -> None:
    body = json.dumps(openai(VLLM, code="busy")).encode()
    assert UPSTREAMS["chat"].side.read_error(status, {}, body).code == "busy"
