"""Errors of Google keep their class, and counts of tokens are read or refused."""

import json
from typing import Any

import pytest
from google.genai import types
from tests.unit.dialects.gemini.gemini_examples import ask, raw, upstream, vertex

from portico.dialects.gemini import count_tokens
from portico.dialects.gemini.upstream import UPSTREAM
from portico.errors import UpstreamAuth, UpstreamProtocol, UpstreamRejected
from portico.model.parts import Text
from portico.model.tools import FunctionTool

LIMITED = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"},
        ],
    }
}


@pytest.mark.parametrize("body", [LIMITED, [LIMITED]])
def test_a_limit_stays_one_and_says_when_to_come_back(body: Any) -> None:
    fault = UPSTREAM.read_error(429, {}, json.dumps(body).encode())
    assert isinstance(fault, UpstreamRejected)
    assert (fault.http_status, fault.code, fault.retry_after) == (429, "RESOURCE_EXHAUSTED", "35")


def test_the_header_wins_over_the_body() -> None:
    fault = UPSTREAM.read_error(429, {b"retry-after": b"7"}, json.dumps(LIMITED).encode())
    assert fault.retry_after == "7"


def test_a_bad_key_is_the_operators_affair() -> None:
    body = {
        "error": {
            "code": 400,
            "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT",
            "details": [{"reason": "API_KEY_INVALID"}],
        }
    }
    assert isinstance(UPSTREAM.read_error(400, {}, json.dumps(body).encode()), UpstreamAuth)


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff", b"[[[[", b'{"error":null}'])
def test_anything_is_a_typed_error(body: bytes) -> None:
    assert UPSTREAM.read_error(502, {}, body).http_status == 502


TOOL = FunctionTool(name="f", parameters=raw({"type": "object"}))


def test_counting_at_the_gemini_api_wraps_the_whole_request() -> None:
    request = ask(instructions=(Text("be"),), tools=(TOOL,), max_output_tokens=5)
    body = json.loads(count_tokens.write(request, upstream("gemini-3-flash-preview"), []))
    inner = body.pop("generateContentRequest")
    assert body == {}
    assert inner["model"] == "models/gemini-3-flash-preview"
    assert inner.keys() == {"model", "contents", "systemInstruction", "tools", "generationConfig"}


def test_counting_at_vertex_sends_the_members_it_counts() -> None:
    request = ask(instructions=(Text("be"),), tools=(TOOL,), metadata={"a": "b"})
    body = json.loads(count_tokens.write(request, vertex(), []))
    assert body.keys() == {"contents", "systemInstruction", "tools"}


def test_the_count_is_read() -> None:
    answer = {"totalTokens": 31, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 31}]}
    types.CountTokensResponse.model_validate({"totalTokens": 31})
    assert count_tokens.read(json.dumps(answer).encode()) == 31


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"totalTokens":"x"}', b'{"totalTokens":-1}'])
def test_an_answer_without_a_count_is_a_protocol_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        count_tokens.read(body)
