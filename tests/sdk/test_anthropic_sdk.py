"""The official `anthropic` SDK through the messages splice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from tests.conftest import Launch, Play
from tests.support.asks import WEATHER
from tests.support.gateway import (
    CALLER_KEY,
    OPERATOR_KEY,
    Gateway,
    caller,
    model,
    provider,
    route,
    settings,
)
from tests.support.upstream import expect, http_json, send

HELLO: Any = {"max_tokens": 512, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(params=["x-api-key", "bearer"])
async def claude(
    gateway: Gateway, request: pytest.FixtureRequest
) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """A client of the gateway, by both headers the SDK knows."""
    key: Any = (
        {"api_key": CALLER_KEY} if request.param == "x-api-key" else {"auth_token": CALLER_KEY}
    )
    async with anthropic.AsyncAnthropic(
        base_url=gateway.url, max_retries=0, timeout=15, **key
    ) as client:
        yield client


async def test_messages_streamed_and_not_with_tools_and_thinking(
    claude: anthropic.AsyncAnthropic,
) -> None:
    for text in ("Tell me a story", "The weather in both Oslo and Rome?"):
        request: Any = {
            "model": "demo-reasoner",
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": text}],
            "tools": [{"name": "get_weather", "input_schema": WEATHER}],
        }
        whole = await claude.messages.create(**request)
        async with claude.messages.stream(**request) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_message()
        ignored = {"id", "service_tier", "parsed_output"}
        one, other = (
            [block.model_dump(exclude=ignored, exclude_none=True) for block in each.content]
            for each in (final, whole)
        )
        assert one == other
        assert final.stop_reason == whole.stop_reason
        assert final.usage.output_tokens == whole.usage.output_tokens


async def test_the_blocking_client_too(gateway: Gateway) -> None:
    def visit() -> str:
        with (
            anthropic.Anthropic(
                base_url=gateway.url, api_key=CALLER_KEY, max_retries=0, timeout=15
            ) as client,
            client.messages.stream(model="fast", **HELLO) as stream,
        ):
            return stream.get_final_text()

    assert "demo model" in await asyncio.to_thread(visit)


async def test_models_are_listed_in_anthropics_shape(claude: anthropic.AsyncAnthropic) -> None:
    listed = [(each.id, each.type) async for each in claude.models.list()]
    assert listed == [("demo-small", "model"), ("fast", "model")]
    assert (await claude.models.retrieve("fast")).display_name == "fast"
    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.batches.retrieve("batch_1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
async def test_a_providers_error_keeps_its_class(
    status: int, kind: type[anthropic.APIStatusError], claude: anthropic.AsyncAnthropic
) -> None:
    with pytest.raises(kind) as caught:
        await claude.messages.create(model=f"demo:status={status}", **HELLO)
    assert caught.value.status_code == status
    assert "was asked to answer" in caught.value.message
    assert caught.value.request_id is not None


async def test_the_gateways_own_errors_have_their_class(claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as bad:
        await claude.messages.create(model="fast", **HELLO, extra_body={"max_tokens": "many"})
    assert bad.value.body == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "Invalid type for 'max_tokens': expected an integer, but got a string "
            "instead.",
        },
        "request_id": bad.value.response.headers["x-request-id"],
    }
    async with anthropic.AsyncAnthropic(
        base_url=claude.base_url, api_key="gw-nobody", max_retries=3, timeout=15
    ) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.messages.create(model="fast", **HELLO)


async def test_a_cut_stream_raises(claude: anthropic.AsyncAnthropic) -> None:
    for fault in ("cut=4", "error=4", "fin=4"):
        with pytest.raises(anthropic.APIError):
            async with claude.messages.stream(model=f"demo:{fault}", **HELLO) as stream:
                await stream.get_final_message()


async def test_an_anthropic_provider_gets_its_own_credential_and_version(
    launch: Launch, play: Play
) -> None:
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 7},
    }
    upstream = await play(
        default=[expect(), send(http_json(200, answer, {"request-id": "req_up"}))]
    )
    real = provider(upstream.url, "anthropic", name="claude")
    gate = await launch(settings(route([model("smart", real, "claude-x")], [caller()])))
    async with anthropic.AsyncAnthropic(
        base_url=gate.url,
        api_key=CALLER_KEY,
        max_retries=0,
        timeout=15,
        default_headers={"anthropic-beta": "a,b"},
    ) as claude:
        message = await claude.messages.create(model="smart", **HELLO)
    sent = upstream.requests[0]
    assert message.model == "claude-x"
    assert message._request_id == (await gate.last()).request_id
    assert sent.target == "/v1/messages"
    assert sent.head["x-api-key"] == OPERATOR_KEY
    assert sent.head_raw.lower().count(b"anthropic-version:") == 1
    assert sent.head["anthropic-beta"] == "a,b"
    assert "authorization" not in sent.head
    assert CALLER_KEY.encode() not in sent.raw
    outcome = await gate.last()
    assert outcome.upstream_request_id == "req_up"
    assert outcome.usage is not None
    assert (outcome.usage.input_uncached, outcome.usage.cache_read) == (5, 7)
