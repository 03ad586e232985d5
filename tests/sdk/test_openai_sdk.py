"""The official `openai` SDK, asynchronous and not, through the gateway on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from tests.conftest import Launch, Play
from tests.support.asks import WEATHER
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, provider, route, settings
from tests.support.upstream import expect, hang, http_json, send

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER_TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": WEATHER, "strict": True},
}


class Place(BaseModel):
    city: str
    population: int


@pytest.fixture(params=["/v1", ""], ids=["with v1", "without v1"])
async def gpt(
    gateway: Gateway, request: pytest.FixtureRequest
) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of the gateway, by both base URLs that people write."""
    url = gateway.url + request.param
    async with openai.AsyncOpenAI(
        base_url=url, api_key=CALLER_KEY, max_retries=0, timeout=15
    ) as client:
        yield client


@pytest.fixture
def blocking(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{gateway.url}/v1", api_key=CALLER_KEY, max_retries=0, timeout=15
    ) as client:
        yield client


async def test_responses_create_and_both_ways_to_stream_agree(gpt: openai.AsyncOpenAI) -> None:
    whole = await gpt.responses.create(model="fast", input="Tell me a story")
    async with gpt.responses.stream(model="fast", input="Tell me a story") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    text = ""
    events = await gpt.responses.create(model="fast", input="Tell me a story", stream=True)
    numbers = []
    async for event in events:
        numbers.append(event.sequence_number)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert text == final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert whole._request_id is not None
    assert whole._request_id.startswith("req_")


async def test_responses_with_tools_reasoning_and_a_schema(gpt: openai.AsyncOpenAI) -> None:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}
    async with gpt.responses.stream(
        model="demo-reasoner", input="The weather in both Oslo and Rome?", tools=[tool]
    ) as stream:
        final = await stream.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "function_call", "function_call"]
    first: Any = final.output[1]
    assert first.parsed_arguments == {"city": "Oslo", "unit": "celsius"}
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens > 0
    parsed = await gpt.responses.parse(model="m", input="A city, in Lyon", text_format=Place)
    assert parsed.output_parsed == Place(city="Lyon", population=1)


async def test_chat_streamed_and_not_with_tools(gpt: openai.AsyncOpenAI) -> None:
    for text in ("Tell me a story", "The weather in both Oslo and Rome?"):
        request: Any = {
            "model": "fast",
            "messages": [{"role": "user", "content": text}],
            "tools": [WEATHER_TOOL],
        }
        whole = await gpt.chat.completions.create(**request)
        async with gpt.chat.completions.stream(
            **request, stream_options={"include_usage": True}
        ) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_completion()
        one, other = final.choices[0], whole.choices[0]
        assert final.usage == whole.usage
        assert one.finish_reason == other.finish_reason
        assert (one.message.content or None) == other.message.content
        calls = [
            [(c.function.name, c.function.arguments) for c in each.message.tool_calls or []]
            for each in (one, other)
        ]
        assert calls[0] == calls[1]


async def test_chat_with_reasoning_and_a_schema(gpt: openai.AsyncOpenAI) -> None:
    thought = await gpt.chat.completions.create(model="demo-reasoner", messages=HELLO)
    assert thought.usage is not None
    assert thought.usage.completion_tokens_details is not None
    assert (thought.usage.completion_tokens_details.reasoning_tokens or 0) > 0
    parsed = await gpt.chat.completions.parse(model="m", messages=HELLO, response_format=Place)
    assert parsed.choices[0].message.parsed == Place(city="Paris", population=1)


async def test_a_usage_chunk_comes_only_to_who_asked(gpt: openai.AsyncOpenAI) -> None:
    stream = await gpt.chat.completions.create(model="fast", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    stream = await gpt.chat.completions.create(
        model="fast", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


async def test_models_list_and_retrieve(gpt: openai.AsyncOpenAI) -> None:
    listed = [each.id async for each in gpt.models.list()]
    assert listed == ["demo-small", "fast"]
    one = await gpt.models.retrieve("fast")
    assert (one.id, one.object) == ("fast", "model")
    # A wildcard entry serves this one, listed or not.
    assert (await gpt.models.retrieve("meta/llama 3")).id == "meta/llama 3"


async def test_the_blocking_client_does_all_of_it(blocking: openai.OpenAI) -> None:
    def visit() -> tuple[str, str, str, list[str]]:
        whole = blocking.responses.create(model="fast", input="Tell me a story")
        with blocking.responses.stream(model="fast", input="Tell me a story") as stream:
            final = stream.get_final_response()
        chat = blocking.chat.completions.create(model="fast", messages=HELLO, stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chat)
        return whole.output_text, final.output_text, said, [m.id for m in blocking.models.list()]

    whole, final, said, names = await asyncio.to_thread(visit)
    assert whole == final
    assert "demo model" in said
    assert names == ["demo-small", "fast"]


async def test_many_calls_at_once_do_not_cross(gpt: openai.AsyncOpenAI) -> None:
    async def say(word: str) -> str:
        stream = await gpt.chat.completions.create(
            model="fast", messages=[{"role": "user", "content": word}], stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    words = [f"marker-{n:03d}" for n in range(40)]
    for word, answer in zip(words, await asyncio.gather(*map(say, words)), strict=True):
        assert word in answer


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
async def test_a_providers_error_keeps_its_class_and_message(
    status: int, kind: type[openai.APIStatusError], blocking: openai.OpenAI
) -> None:
    name = f"demo:status={status},code=because"
    with pytest.raises(kind) as chat:
        await asyncio.to_thread(
            blocking.chat.completions.create, model=name, messages=HELLO, stream=True
        )
    with pytest.raises(kind) as responses:
        await asyncio.to_thread(blocking.responses.create, model=name, input="x")
    for caught in (chat.value, responses.value):
        assert caught.status_code == status
        assert caught.code == "because"
        assert "was asked to answer" in caught.message
        assert caught.request_id is not None


async def test_the_gateways_own_errors_have_their_class(
    gateway: Gateway, gpt: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        await gpt.chat.completions.create(model="fast", messages="Hello")  # type: ignore[call-overload]
    assert (bad.value.param, bad.value.code) == ("messages", "invalid_type")
    assert "messages" in bad.value.message
    with pytest.raises(openai.AuthenticationError) as stranger:
        await gpt.with_options(api_key="gw-nobody").responses.create(model="fast", input="x")
    assert stranger.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError):
        await gpt.embeddings.create(model="fast", input="x")


async def test_a_model_the_key_may_not_use_does_not_exist(launch: Launch, demo: Any) -> None:
    models = [model("mine", provider(demo.url)), model("other", provider(demo.url))]
    gate = await launch(settings(route(models, [caller(models=["mine"])])))
    async with openai.AsyncOpenAI(
        base_url=gate.url, api_key=CALLER_KEY, max_retries=0, timeout=15
    ) as gpt:
        assert [each.id async for each in gpt.models.list()] == ["mine"]
        with pytest.raises(openai.NotFoundError) as other:
            await gpt.responses.create(model="other", input="x")
        with pytest.raises(openai.NotFoundError) as unknown:
            await gpt.responses.create(model="neither", input="x")
        with pytest.raises(openai.NotFoundError):
            await gpt.models.retrieve("other")
    assert other.value.code == unknown.value.code == "model_not_found"
    assert other.value.message == unknown.value.message.replace("neither", "other")


async def test_permission_of_the_operator_is_not_the_callers_fault(
    blocking: openai.OpenAI,
) -> None:
    for status in (401, 403):
        with pytest.raises(openai.InternalServerError) as caught:
            await asyncio.to_thread(
                blocking.responses.create, model=f"demo:status={status}", input="x"
            )
        assert caught.value.status_code == 502
        assert caught.value.code == "upstream_auth"


@pytest.mark.parametrize(
    ("status", "calls"), [(400, 1), (401, 1), (404, 1), (429, 3), (500, 3), (503, 3)]
)
async def test_the_sdk_retries_only_what_a_retry_can_help(
    status: int, calls: int, launch: Launch, play: Play
) -> None:
    error = {"error": {"message": "no", "type": "t", "param": None, "code": "c"}}
    refusal = http_json(status, error, {"retry-after-ms": "10"})
    upstream = await play(default=[expect(), send(refusal)])
    gate = await launch(settings(route([model("*", provider(upstream.url))], [caller()])))
    async with openai.AsyncOpenAI(
        base_url=gate.url, api_key=CALLER_KEY, max_retries=2, timeout=15
    ) as gpt:
        with pytest.raises(openai.APIStatusError):
            await gpt.chat.completions.create(model="m", messages=HELLO)
    assert len(upstream.requests) == calls


async def test_the_sdk_does_not_retry_what_the_gateway_refused(gateway: Gateway) -> None:
    async with openai.AsyncOpenAI(
        base_url=gateway.url, api_key="x", max_retries=3, timeout=15
    ) as gpt:
        with pytest.raises(openai.AuthenticationError):
            await gpt.responses.create(model="fast", input="x")
    assert len(gateway.outcomes) == 1


async def test_a_provider_nobody_answers_at_is_not_retried(launch: Launch) -> None:
    gate = await launch(settings(route([model("*", provider("http://127.0.0.1:9"))])))
    async with openai.AsyncOpenAI(base_url=gate.url, api_key="x", max_retries=2, timeout=15) as gpt:
        with pytest.raises(openai.InternalServerError) as caught:
            await gpt.responses.create(model="m", input="x")
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_unreachable")
    assert len(gate.outcomes) == 1


async def test_a_timeout_of_the_client_stops_the_meter(launch: Launch, play: Play) -> None:
    upstream = await play([expect(), hang()])
    gate = await launch(settings(route([model("*", provider(upstream.url))])))
    async with openai.AsyncOpenAI(
        base_url=gate.url, api_key="x", max_retries=0, timeout=0.3
    ) as gpt:
        with pytest.raises(openai.APITimeoutError):
            await gpt.responses.create(model="m", input="x")
    await upstream.wait_closed(1.0)
    assert (await gate.last()).verdict == "client_cancelled"


@pytest.mark.parametrize("fault", ["cut=3", "error=3"])
async def test_a_stream_that_fails_raises_in_the_middle(
    fault: str, gpt: openai.AsyncOpenAI
) -> None:
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    name = f"demo:{fault}"
    with pytest.raises(openai.APIError):
        await read(await gpt.chat.completions.create(model=name, messages=HELLO, stream=True))
    last = ""
    with contextlib.suppress(openai.APIError):
        async for event in await gpt.responses.create(model=name, input="x", stream=True):
            last = event.type
    assert last not in ("", "response.completed")
