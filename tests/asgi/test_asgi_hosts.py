"""The same gateway under uvicorn, and mounted inside a FastAPI app."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import fastapi
import openai
import pytest
from tests.asgi.conftest import Host, Hosted
from tests.conftest import Play
from tests.support.asks import PATHS, ask
from tests.support.gateway import (
    CALLER_KEY,
    OPERATOR_KEY,
    caller,
    model,
    provider,
    route,
    sample,
    settings,
)
from tests.support.raw import RawClient
from tests.support.upstream import (
    LAST_CHUNK,
    chunk,
    expect,
    hang,
    http_head,
    http_json,
    rst,
    send,
    sse,
)

from portico.asgi import PorticoApp, create_app
from portico.config.errors import ConfigError
from portico.config.settings import LogSettings, Settings
from portico.demo.server import RunningDemo
from portico.http.asgi import AsgiReply
from portico.limits import Deadlines, Limits

DIALECTS = sorted(PATHS)
AUTH = {"authorization": f"Bearer {CALLER_KEY}"}


def config(url: str, limits: Limits | None = None, **deadlines: float) -> Settings:
    """Every model is served at `url`, for one key, without an access log."""
    built = settings(
        route([model("fast", provider(url), "up-1"), model("*", provider(url))], [caller()]),
        limits=limits,
        deadlines=Deadlines(**deadlines),
    )
    return Settings(
        listeners=built.listeners,
        limits=built.limits,
        deadlines=built.deadlines,
        log=LogSettings(access=False),
    )


@pytest.fixture(params=["alone", "mounted"])
async def serve(request: pytest.FixtureRequest, host: Host) -> AsyncIterator[Any]:
    """`await serve(app)` gives the host and the prefix under which the app answers."""
    apps: list[PorticoApp] = []

    async def start(app: PorticoApp) -> tuple[Hosted, str]:
        apps.append(app)
        if request.param == "alone":
            return await host(app), ""
        outer = fastapi.FastAPI()

        @outer.get("/hello")
        async def hello() -> str:
            return "world"

        outer.mount("/ai", app)
        return await host(outer), "/ai"

    yield start
    for app in apps:
        await app.aclose()


async def test_both_sdks_work_streamed_and_not(serve: Any, demo: RunningDemo) -> None:
    app = create_app(config(demo.url), env={})
    hosted, prefix = await serve(app)
    async with openai.AsyncOpenAI(
        base_url=f"{hosted.url}{prefix}/v1", api_key=CALLER_KEY, max_retries=0, timeout=15
    ) as gpt:
        whole = await gpt.responses.create(model="demo-small", input="Tell me a story")
        async with gpt.responses.stream(model="demo-small", input="Tell me a story") as stream:
            assert (await stream.get_final_response()).output_text == whole.output_text
        chunks = await gpt.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        assert "demo model" in "".join([c.choices[0].delta.content or "" async for c in chunks])
        assert [each.id async for each in gpt.models.list()] == ["fast"]
        with pytest.raises(openai.NotFoundError):
            await gpt.embeddings.create(model="m", input="x")
        with pytest.raises(openai.AuthenticationError):
            await gpt.with_options(api_key="no").models.list()
        with pytest.raises(openai.RateLimitError):
            await gpt.responses.create(model="demo:status=429", input="x")
    async with (
        anthropic.AsyncAnthropic(
            base_url=f"{hosted.url}{prefix}", api_key=CALLER_KEY, max_retries=0, timeout=15
        ) as claude,
        claude.messages.stream(
            model="m", max_tokens=99, messages=[{"role": "user", "content": "Hello"}]
        ) as messages,
    ):
        assert "demo model" in await messages.get_final_text()
    page, kind = app.metrics()
    assert kind.startswith("text/plain")
    assert sample(page.decode(), "portico_gen_ai_client_token_usage_count",
                  gen_ai_token_type="input") == 4  # fmt: skip


async def test_the_host_keeps_its_own_paths(host: Host, demo: RunningDemo) -> None:
    outer = fastapi.FastAPI()
    app = create_app(config(demo.url), env={})

    @outer.get("/hello")
    async def hello() -> str:
        return "world"

    outer.mount("/ai", app)
    hosted = await host(outer)
    for path, status in (("/hello", 200), ("/ai/v1/models", 200), ("/v1/models", 404),
                         ("/ai/../v1/models", 404), ("/ai/ai/v1/models", 200)):  # fmt: skip
        async with await RawClient.connect(hosted.port) as client:
            await client.request("GET", path, None, AUTH)
            assert (await client.response()).status == status, path
    await app.aclose()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_bytes_pass_exactly(dialect: str, serve: Any, play: Play) -> None:
    stream = b': hi\r\n\r\ndata: {"n":2.50,"u":"\xf0\x9f\x98\x80"}\n\n'
    end = {
        "chat": b"data: [DONE]\n\n",
        "responses": b'data: {"type":"response.completed","response":{}}\n\n',
        "messages": b'data: {"type":"message_stop"}\n\n',
    }[dialect]
    head = http_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    pieces = b"".join(chunk(bytes([byte])) for byte in stream + end)
    body = b' { "id":"x" ,"n": 2.50}\n'
    plain = {"content-type": "application/json", "content-length": str(len(body))}
    upstream = await play(
        [expect(), send(head + pieces + LAST_CHUNK)],
        [expect(), send(http_head(200, plain) + body)],
    )
    hosted, prefix = await serve(create_app(config(upstream.url), env={}))
    for wish, wanted in ((True, stream + end), (False, body)):
        async with await RawClient.connect(hosted.port) as client:
            asked = ask(dialect, model="fast", stream=wish)
            await client.request("POST", prefix + PATHS[dialect], asked, AUTH)
            answer = await client.response()
        assert (answer.status, answer.ended, answer.body) == (200, True, wanted)
        assert (answer.header("x-request-id") or "").startswith("req_")
    for sent in upstream.requests:
        assert sent.head["authorization"] == f"Bearer {OPERATOR_KEY}"
        assert sent.json()["model"] == "up-1"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_meter(stream: bool, serve: Any, play: Play) -> None:
    first: Any = sse(["{}"], end=False) if stream else []
    upstream = await play([expect(), first, hang()])
    hosted, prefix = await serve(create_app(config(upstream.url), env={}))
    client = await RawClient.connect(hosted.port)
    await client.request("POST", prefix + PATHS["chat"], ask("chat", stream=stream), AUTH)
    await upstream.wait_requests(1)
    if stream:
        await client.head()
    client.rst()
    await upstream.wait_closed(1.0)


async def test_a_slow_reader_pauses_the_provider(serve: Any, play: Play) -> None:
    frames = b"".join(chunk(b'data: {"pad":"%b"}\n\n' % (b"x" * 8000)) for _ in range(4000))
    head = http_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    upstream = await play([expect(), send(head), send(frames, size=65536), hang()])
    app = create_app(config(upstream.url), env={})
    hosted, prefix = await serve(app)
    client = await RawClient.connect(hosted.port, rcvbuf=8192)
    await client.request("POST", prefix + PATHS["chat"], ask("chat", stream=True), AUTH)
    await client.head()
    await asyncio.sleep(0.5)
    (reply,) = [each for each in gc.get_objects() if isinstance(each, AsgiReply) and not each.ended]
    relayed = reply.bytes_sent
    assert reply._waiting < 1_000_000
    assert 0 < relayed < 16_000_000, "the provider has 32 MB to say"
    client.close()
    await upstream.wait_closed(2.0)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_cut_stream_does_not_look_finished(
    dialect: str, serve: Any, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "uvicorn")
    upstream = await play([expect(), sse(["{}"], end=False), rst()])
    hosted, prefix = await serve(create_app(config(upstream.url), env={}))
    async with await RawClient.connect(hosted.port) as client:
        asked = ask(dialect, stream=True)
        await client.request("POST", prefix + PATHS[dialect], asked, AUTH)
        answer = await client.response()
    assert answer.status == 200
    assert not answer.ended
    assert b"upstream_truncated" in answer.body or b"error" in answer.body
    assert b"[DONE]" not in answer.body


async def test_limits_and_errors_hold_here_too(serve: Any, play: Play) -> None:
    upstream = await play()
    app = create_app(config(upstream.url, Limits(body_bytes=1000), body=0.3), env={})
    hosted, prefix = await serve(app)
    path = prefix + PATHS["messages"]

    async def post(raw: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        async with await RawClient.connect(hosted.port) as client:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            await client.send(f"POST {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode() + raw)
            answer = await client.response()
            return answer.status, answer.json()

    assert (await post(b"", {"content-length": "5000"}))[0] == 401
    status, body = await post(b"", {**AUTH, "content-length": "5000"})
    assert (status, body["error"]["type"]) == (413, "request_too_large")
    chunked = {**AUTH, "transfer-encoding": "chunked"}
    assert (await post(chunk(b"x" * 2000), chunked))[0] == 413
    assert (await post(b"{}", {**AUTH, "content-length": "2"}))[0] == 400
    assert (await post(b"{", {**AUTH, "content-length": "20"}))[0] == 408, "the body never comes"
    assert upstream.opened == 0
    page = app.metrics()[0].decode()
    assert sample(page, "portico_limit_hits_total", limit="bodyBytes") == 2
    assert sample(page, "portico_limit_hits_total", limit="body") == 1


async def test_a_defect_is_a_json_500(
    serve: Any, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("SECRET")

    upstream = await play()
    hosted, prefix = await serve(create_app(config(upstream.url), env={}))
    for where in ("gateway.engine.entry_of", "policy.auth.KeyTable.identify",
                  "gateway.engine.Door._generate"):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(f"portico.{where}", broken)
            async with await RawClient.connect(hosted.port) as client:
                await client.request("POST", prefix + PATHS["chat"], ask("chat"), AUTH)
                answer = await client.response()
        assert answer.status == 500
        assert answer.json()["error"]["code"] == "internal_error"
        assert "SECRET" not in answer.body.decode()


async def test_lifespan_closes_the_providers_connections(host: Host, play: Play) -> None:
    upstream = await play(default=[expect(), send(http_json(200, {"id": "x"}))])
    hosted = await host(create_app(config(upstream.url), env={}))
    async with await RawClient.connect(hosted.port) as client:
        await client.request("POST", PATHS["chat"], ask("chat"), AUTH)
        assert (await client.response()).status == 200
    assert upstream.open_now == 1
    await hosted.stop()
    await upstream.wait_closed(1.0)


async def test_a_host_can_close_it_in_its_own_lifespan(host: Host, play: Play) -> None:
    upstream = await play(default=[expect(), send(http_json(200, {"id": "x"}))])
    app = create_app(config(upstream.url), env={})

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        yield
        await app.aclose()

    outer = fastapi.FastAPI(lifespan=lifespan)
    outer.mount("/ai", app)
    hosted = await host(outer)
    async with await RawClient.connect(hosted.port) as client:
        await client.request("POST", f"/ai{PATHS['chat']}", ask("chat"), AUTH)
        assert (await client.response()).status == 200
    await hosted.stop()
    await upstream.wait_closed(1.0)


async def test_reload_swaps_for_the_next_request(serve: Any, play: Play) -> None:
    old = await play(default=[expect(), send(http_json(200, {"id": "old"}))])
    new = await play(default=[expect(), send(http_json(200, {"id": "new"}))])
    app = create_app(config(old.url), env={})
    hosted, prefix = await serve(app)
    for wanted in ("old", "new"):
        async with await RawClient.connect(hosted.port) as client:
            await client.request("POST", prefix + PATHS["chat"], ask("chat"), AUTH)
            assert (await client.response()).json() == {"id": wanted}
        app.reload(config(new.url))


async def test_a_file_or_its_path_will_do(host: Host, play: Play, tmp_path: Path) -> None:
    upstream = await play(default=[expect(), send(http_json(200, {"id": "x"}))])
    file = tmp_path / "portico.yaml"
    file.write_text(
        "llm:\n  models:\n  - name: '*'\n    provider: openAI\n"
        f"    params: {{apiKey: $THE_KEY, baseUrl: '{upstream.url}/v1'}}\n"
        "config: {logging: {access: false}}\n"
    )
    with pytest.raises(ConfigError):
        create_app(file, env={})
    hosted = await host(create_app(str(file), env={"THE_KEY": "sk-from-env"}))
    async with await RawClient.connect(hosted.port) as client:
        await client.request("POST", PATHS["chat"], ask("chat"))
        assert (await client.response()).status == 200
    assert upstream.requests[0].head["authorization"] == "Bearer sk-from-env"
