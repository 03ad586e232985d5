"""Counting tokens: the request without `max_tokens`, the body for Anthropic, the answers."""

import json

import pytest
from anthropic.types import MessageCountTokensParams, MessageTokensCount
from msgspec import Raw
from pydantic import TypeAdapter
from tests.unit.dialects.messages_translate.common import request, unseal, upstream, user

from portico.dialects.messages.count_tokens import (
    read_count_answer,
    read_count_request,
    write_count_answer,
    write_count_request,
)
from portico.errors import BadRequest, UpstreamProtocol
from portico.limits import Limits
from portico.model.request import ReasoningAsk
from portico.model.tools import FunctionTool


def read(body: bytes) -> object:
    fields = {name: Raw(json.dumps(value).encode()) for name, value in json.loads(body).items()}
    return read_count_request(fields, body, Limits(), unseal)


def test_max_tokens_is_not_needed_to_count() -> None:
    found = read(
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],'
        b'"thinking":{"type":"enabled","budget_tokens":2048}}'
    )
    assert found == request(
        dialect="messages", items=(user(),), reasoning=ReasoningAsk(budget=2048, summary="auto")
    )
    with pytest.raises(BadRequest) as caught:
        read(b'{"model":"m","messages":[{"role":"user"}]}')
    assert caught.value.param == "messages[0].content"


def test_the_body_holds_only_what_is_counted() -> None:
    asked = request(
        stream=True,
        max_output_tokens=5000,
        temperature=0.5,
        user="u",
        stop=("x",),
        tools=(FunctionTool(name="f"),),
        reasoning=ReasoningAsk(effort="low"),
    )
    body = json.loads(write_count_request(asked, upstream(), []))
    assert set(body) == {"model", "messages", "tools", "thinking"}
    TypeAdapter(MessageCountTokensParams).validate_python(body)


def test_answers() -> None:
    assert read_count_answer(b'{"input_tokens": 17, "x": []}') == 17
    MessageTokensCount.model_validate_json(write_count_answer(17))
    assert read_count_answer(write_count_answer(17)) == 17
    for body in (b"", b"[]", b"{}", b'{"input_tokens":"x"}', b"[" * 2000):
        with pytest.raises(UpstreamProtocol):
            read_count_answer(body)
