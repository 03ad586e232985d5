"""Answers of the gateway, as the official SDKs of OpenAI and Anthropic see them.

One client of each, over a transport that hands out what was recorded: the SDK's own decoding and
its own exceptions, without a connection for each answer.
"""

from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from tests.support.raw import RawResponse

_RECORDED: list[RawResponse] = []
_OURS = ("connection", "transfer-encoding", "content-length")


def _replay(request: httpx2.Request) -> httpx2.Response:
    answer = _RECORDED[-1]
    headers = [(name, value) for name, value in answer.headers if name not in _OURS]
    return httpx2.Response(answer.status, headers=headers, content=answer.body, request=request)


def _transport() -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(_replay))


_openai = openai.OpenAI(
    api_key="k", base_url="http://gateway/v1", max_retries=0, http_client=_transport()
)
_anthropic = anthropic.Anthropic(
    api_key="k", base_url="http://gateway", max_retries=0, http_client=_transport()
)
_TURN: Any = [{"role": "user", "content": "hi"}]
_CALLS: dict[str, Callable[[bool], Any]] = {
    "chat": lambda stream: _openai.chat.completions.create(
        model="m", messages=_TURN, stream=stream
    ),
    "responses": lambda stream: _openai.responses.create(model="m", input=_TURN, stream=stream),
    "messages": lambda stream: _anthropic.messages.create(
        model="m", messages=_TURN, max_tokens=9, stream=stream
    ),
}
_OPENAI: dict[int, type[Exception]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}
_ANTHROPIC: dict[int, type[Exception]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    422: anthropic.UnprocessableEntityError,
    429: anthropic.RateLimitError,
}


def call(client: str, stream: bool, answer: RawResponse) -> Any:
    """What the SDK returns for a request that got this answer. Raises the SDK's exceptions."""
    _RECORDED.append(answer)
    try:
        return _CALLS[client](stream)
    finally:
        _RECORDED.clear()


def check_error(client: str, answer: RawResponse) -> Exception:
    """An error status becomes the exception of that status, and its message is in it."""
    wanted: Any = (_ANTHROPIC if client == "messages" else _OPENAI).get(answer.status)
    errors: Any = anthropic if client == "messages" else openai
    if wanted is None:
        wanted = errors.InternalServerError if answer.status >= 500 else errors.APIStatusError
    with pytest.raises(errors.APIError) as raised:
        call(client, False, answer)
    error: Any = raised.value
    assert isinstance(error, wanted), f"O7: {error!r}, not {wanted}"
    assert isinstance(error.body, dict), f"O7: no body in {error!r}"
    return raised.value


def check_whole(client: str, body: Any) -> None:
    """A good answer has the SDK's type."""
    models: Any = {"chat": ChatCompletion, "responses": Response, "messages": Message}
    models[client].model_validate(body)


def check_stream(client: str, answer: RawResponse) -> bool:
    """Whether the SDK takes the stream for a whole one. One that broke off must not be."""
    whole = False
    try:
        whole = _whole(client, call(client, True, answer))
    except (openai.APIError, anthropic.APIError):
        assert b"error" in answer.body
    assert answer.ended or not whole, "O7: the SDK takes a cut stream for a whole one"
    return whole


def _whole(client: str, events: Iterable[Any]) -> bool:
    seen = list(events)
    if client == "chat":
        choices = [choice for event in seen for choice in event.choices or ()]
        return any(choice.finish_reason is not None for choice in choices)
    last = seen[-1].type if seen else None
    if client == "messages":
        return last == "message_stop"
    return last in ("response.completed", "response.incomplete")
