"""The official SDKs and raw clients against the demo provider on a real socket."""

import asyncio
import io
from collections.abc import AsyncIterator

import anthropic
import openai
import pytest
from pydantic import BaseModel
from tests.support.asks import PATHS, WEATHER, ask
from tests.support.raw import RawClient

from portico.demo.provider import DemoProvider
from portico.demo.server import RunningDemo, start_demo
from portico.demo.tour import tour


@pytest.fixture
async def demo() -> AsyncIterator[RunningDemo]:
    running = await start_demo()
    yield running
    await running.stop()


@pytest.fixture
async def gpt(demo: RunningDemo) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(demo: RunningDemo) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=demo.url, api_key="x", max_retries=0) as client:
        yield client


async def test_openai_responses(gpt: openai.AsyncOpenAI) -> None:
    whole = await gpt.responses.create(model="demo-small", input="Tell me a story")
    async with gpt.responses.stream(model="demo-small", input="Tell me a story") as stream:
        text = ""
        async for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
        final = await stream.get_final_response()
    assert text == final.output_text == whole.output_text
    assert final.usage == whole.usage
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}
    async with gpt.responses.stream(
        model="demo-reasoner",
        input="The weather in both Oslo and Rome?",
        tools=[tool],  # type: ignore[list-item]
    ) as stream:
        final = await stream.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "function_call", "function_call"]
    assert final.output[1].parsed_arguments == {"city": "Oslo", "unit": "celsius"}  # type: ignore[union-attr]
    fetched = await gpt.responses.retrieve(whole.id)
    assert fetched.output_text == whole.output_text


class Place(BaseModel):
    city: str
    population: int


async def test_openai_structured_output(gpt: openai.AsyncOpenAI) -> None:
    parsed = await gpt.responses.parse(model="m", input="A city, in Lyon", text_format=Place)
    assert parsed.output_parsed == Place(city="Lyon", population=1)
    messages = [{"role": "user", "content": "A city"}]
    chat = await gpt.chat.completions.parse(model="m", messages=messages, response_format=Place)  # type: ignore[arg-type]
    assert chat.choices[0].message.parsed == Place(city="Paris", population=1)


async def test_openai_chat(gpt: openai.AsyncOpenAI) -> None:
    function = {"name": "get_weather", "parameters": WEATHER, "strict": True}
    for text in ("Tell me a story", "The weather in both Oslo and Rome?"):
        request = {
            "model": "demo-small",
            "messages": [{"role": "user", "content": text}],
            "tools": [{"type": "function", "function": function}],
        }
        whole = await gpt.chat.completions.create(**request)
        options = {"include_usage": True}
        async with gpt.chat.completions.stream(**request, stream_options=options) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_completion()
        assert final.usage == whole.usage
        one, other = final.choices[0], whole.choices[0]
        assert one.finish_reason == other.finish_reason
        assert (one.message.content or None) == other.message.content
        names = [
            [
                (call.function.name, call.function.arguments)
                for call in each.message.tool_calls or []
            ]
            for each in (one, other)
        ]
        assert names[0] == names[1]


async def test_anthropic_messages(claude: anthropic.AsyncAnthropic) -> None:
    tool = {"name": "get_weather", "input_schema": WEATHER}
    for text in ("Tell me a story", "The weather in both Oslo and Rome?"):
        request = {
            "model": "demo-reasoner",
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": text}],
            "tools": [tool],
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
        assert final.usage.output_tokens_details == whole.usage.output_tokens_details
    counted = await claude.messages.count_tokens(
        model="m", messages=[{"role": "user", "content": "hi"}]
    )
    assert counted.input_tokens == 1


async def test_errors_are_the_sdks_own_classes(
    gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    with pytest.raises(openai.RateLimitError) as limited:
        await gpt.responses.create(model="demo:status=429,code=slow", input="hi")
    assert limited.value.code == "slow"
    with pytest.raises(openai.BadRequestError):
        await gpt.responses.create(model="m", input="[[demo nope=1]]")
    with pytest.raises(openai.APIError):
        async for _ in await gpt.responses.create(model="demo:error=3", input="x", stream=True):
            pass
    with pytest.raises(openai.APIError):
        async for _ in await gpt.chat.completions.create(
            model="demo:error=3", messages=[{"role": "user", "content": "x"}], stream=True
        ):
            pass
    request = {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(anthropic.InternalServerError):
        await claude.messages.create(model="demo:status=529", **request)
    with pytest.raises(anthropic.APIStatusError):
        async for _ in await claude.messages.create(model="demo:error=3", stream=True, **request):
            pass


async def test_models(gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
    ids = [each.id async for each in gpt.models.list()]
    names = [each.display_name async for each in claude.models.list()]
    assert (ids[0], names[0]) == ("demo-small", "Demo Small")


@pytest.mark.parametrize("dialect", PATHS)
async def test_a_cut_on_the_wire_looks_cut(dialect: str, demo: RunningDemo) -> None:
    for stream in (True, False):
        async with await RawClient.connect(demo.port) as client:
            body = ask(dialect, model="demo:cut=3", stream=stream)
            await client.request("POST", PATHS[dialect], body)
            answer = await client.response()
        assert answer.status == 200
        assert answer.ended is False
        if stream:
            assert answer.body.count(b"\n\n") == 3
    async with await RawClient.connect(demo.port) as client:
        await client.request("POST", PATHS[dialect], ask(dialect, model="demo:fin=3", stream=True))
        answer = await client.response()
        assert answer.ended is True
        assert answer.body.count(b"\n\n") == 3


async def test_a_client_that_leaves_ends_the_stream(demo: RunningDemo) -> None:
    client = await RawClient.connect(demo.port)
    await client.request("POST", PATHS["chat"], ask("chat", model="demo:hang=1", stream=True))
    await client.head()
    assert demo.open_connections == 1
    client.rst()
    await asyncio.sleep(0.1)
    assert demo.open_connections == 0


async def test_the_tour() -> None:
    demo = await start_demo(provider=DemoProvider(pace=0.0001))
    out = io.StringIO()
    assert await tour(f"{demo.url}/v1/", None, out)
    assert "the demo model of Portico" in out.getvalue().replace("\n   ", " ")
    assert out.getvalue().count("status: completed") == 2
    assert max(map(len, out.getvalue().splitlines())) < 120
    assert not await tour(demo.url, f"{demo.url}/metrics", out)
    assert "HTTP 404" in out.getvalue()
    await demo.stop()
    assert not await tour(demo.url, None, out)
    assert "ConnectionRefusedError" in out.getvalue()
