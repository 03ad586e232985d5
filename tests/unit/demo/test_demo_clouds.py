"""The clouds: their paths, credentials and streams, on Google's, Amazon's and Azure's terms."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
from tests.unit.demo.wires import (
    AWS,
    HEADERS,
    error_of,
    frames,
    hello,
    post,
    send,
    text_of,
)

from portico.demo.server import RunningDemo, start_demo
from portico.demo.settings import cloud_models, demo_settings

CASES: dict[str, dict[str, Any]] = {
    "hello": {},
    "story": {"text": "Tell me a story"},
    "thought": {"text": "Why?", "think": True},
    "two calls": {"text": "The weather in both Oslo and Rome?", "tool": True, "think": True},
    "interleaved": {
        "text": "[[demo plan=think+call+hidden+call+text]] x",
        "tool": True,
        "think": True,
    },
    "cut": {"text": "[[demo args=cut]] weather", "tool": True},
    "refused": {"text": "[[demo finish=refusal]]"},
    "blocked": {"text": "[[demo finish=blocked]]"},
    "unicode": {"text": '[[demo text=🏮 na\u2028ïve \\ " é]]'},
    "empty": {"text": "[[demo text=]]"},
}


def folded(dialect: str, raw: bytes) -> Any:
    return fold_converse(frames(raw)) if dialect == "converse" else fold_gemini(raw)


def fold_gemini(raw: bytes) -> Any:
    """What a client makes of a stream: texts joined, the last word on the rest."""
    if raw[:1] == b"[":
        chunks = json.loads(raw)
    else:
        assert raw.endswith(b"\r\n\r\n")
        chunks = [json.loads(each[6:]) for each in raw.split(b"\r\n\r\n")[:-1]]
    out: Any = {**chunks[-1]}
    parts: list[Any] = []
    for chunk in chunks:
        assert chunk["usageMetadata"]["promptTokenCount"] > 0
        for part in chunk.get("candidates", [{}])[0].get("content", {}).get("parts", ()):
            if part == {"text": ""}:
                continue
            same = parts and set(parts[-1]) == set(part) and "text" in part
            if same and "thoughtSignature" not in part:
                parts[-1]["text"] += part["text"]
            else:
                parts.append(dict(part))
    if "candidates" in out:
        out["candidates"] = [dict(out["candidates"][0])]
        if parts or "content" in out["candidates"][0]:
            out["candidates"][0]["content"] = {"parts": parts, "role": "model"}
    return out


def fold_converse(found: list[tuple[str, str, Any]]) -> Any:
    blocks: dict[int, Any] = {}
    usage = stop = None
    assert found[0][1:] == ("messageStart", {"role": "assistant", "p": found[0][2]["p"]})
    for kind, name, data in found[1:]:
        assert kind == "event"
        index = data.get("contentBlockIndex")
        if name == "contentBlockStart":
            blocks[index] = {"toolUse": {**data["start"]["toolUse"], "input": ""}}
        elif name == "contentBlockDelta":
            (sort, delta), block = next(iter(data["delta"].items())), blocks.setdefault(index, {})
            if sort == "text":
                block["text"] = block.get("text", "") + delta
            elif sort == "toolUse":
                block["toolUse"]["input"] += delta["input"]
            elif sort == "reasoningContent":
                if "redactedContent" in delta:
                    block["reasoningContent"] = delta
                    continue
                inner = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})
                key, value = next(iter(delta.items()))
                inner["reasoningText"][key] = inner["reasoningText"].get(key, "") + value
        elif name == "messageStop":
            stop = data["stopReason"]
        elif name == "metadata":
            usage = data["usage"]
    for block in blocks.values():
        if "toolUse" in block:
            try:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
            except json.JSONDecodeError:
                block["toolUse"]["input"] = {}
    content = [blocks[index] for index in sorted(blocks)]
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dialect", ["gemini", "vertex", "converse"])
async def test_streams_fold_to_the_answer(dialect: str, case: str) -> None:
    body = hello(dialect, **CASES[case])
    whole = (await post(dialect, body)).json()
    streamed = await post(dialect, body, stream=True)
    assert streamed.how == "ended"
    whole.pop("metrics", None)
    assert folded(dialect, streamed.body) == whole


async def test_google_streams_are_an_array_without_sse() -> None:
    path = "/v1beta/models/m:streamGenerateContent"
    reply = await send(path, hello("gemini", "Why?", think=True), headers=HEADERS["gemini"])
    assert b"content-type: application/json\r\n" in reply.headers
    whole = (await post("gemini", hello("gemini", "Why?", think=True), model="m")).json()
    assert fold_gemini(reply.body) == whole
    failed = await send(path, hello("gemini", "[[demo error=2]]"), headers=HEADERS["gemini"])
    assert json.loads(failed.body)[-1]["error"]["code"] == 500


async def test_signatures_of_google_sit_on_calls_or_on_the_last_text() -> None:
    body = hello("gemini", "The weather in both Oslo and Rome?", tool=True, think=True)
    parts = (await post("gemini", body)).json()["candidates"][0]["content"]["parts"]
    assert ["thoughtSignature" in part for part in parts] == [False, True, False]
    parts = (await post("gemini", hello("gemini", "Why?", think=True))).json()
    last = parts["candidates"][0]["content"]["parts"][-1]
    assert last["text"] == ""
    assert last["thoughtSignature"]
    plain = (await post("gemini", hello("gemini"))).json()["candidates"][0]["content"]["parts"]
    assert len(plain) == 1


async def test_metadata_comes_last_or_first() -> None:
    for where, names in (
        ("last", ["messageStop", "metadata"]),
        ("first", ["metadata", "messageStop"]),
    ):
        body = hello("converse", f"[[demo metadata={where}]]")
        reply = await post("converse", body, stream=True)
        assert [each[1] for each in frames(reply.body)][-2:] == names


async def test_model_ids_are_decoded_from_the_path() -> None:
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x"
    reply = await send(f"/model/{arn}/converse", hello("converse"), headers=AWS)
    assert "arn:aws:bedrock:us-east-1:1:inference-profile/us.x" in text_of("converse", reply.json())
    reply = await send("/model/demo%3Astatus=503/converse", hello("converse"), headers=AWS)
    assert reply.status == 503
    path = "/v1beta/models/demo%3Astatus=429%3AgenerateContent"
    assert (await send(path, hello("gemini"), headers=HEADERS["gemini"])).status == 429


async def test_counts() -> None:
    contents = hello("gemini", "x" * 360)
    reply = await send("/v1beta/models/m:countTokens", contents, headers=HEADERS["gemini"])
    assert reply.json()["totalTokens"] == 100
    inner = {"generateContentRequest": {"model": "models/m", **contents}}
    reply = await send("/v1beta/models/m:countTokens", inner, headers=HEADERS["gemini"])
    assert reply.json()["totalTokens"] == 100
    body = {"input": {"converse": hello("converse", "x" * 385)}}
    reply = await send("/model/m/count-tokens", body, headers=AWS)
    assert reply.json() == {"inputTokens": 100}
    body = {"input": {"invokeModel": {"body": "AAAAAAAA"}}}
    assert (await send("/model/m/count-tokens", body, headers=AWS)).json() == {"inputTokens": 2}


SIGNED = AWS[b"authorization"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b"Basic x"},
        {b"authorization": SIGNED},
        {**AWS, b"authorization": SIGNED[:-1]},
        {**AWS, b"authorization": SIGNED.replace(b"host;", b"")},
        {**AWS, b"authorization": SIGNED.replace(b"/bedrock/", b"/s3/")},
        {**AWS, b"x-amz-date": b"today"},
    ],
)
async def test_bedrock_wants_a_signature_or_a_key(headers: dict[bytes, bytes]) -> None:
    reply = await send("/model/m/converse", hello("converse"), headers=headers)
    assert reply.status == 403
    error_of("converse", reply)
    bearer = {b"authorization": b"Bearer key"}
    assert (await send("/model/m/converse", hello("converse"), headers=bearer)).status == 200


async def test_google_wants_a_key_or_a_token() -> None:
    path = "/v1beta/models/m:generateContent"
    assert (await send(path, hello("gemini"))).json()["error"]["status"] == "PERMISSION_DENIED"
    assert (await send(path, hello("gemini"), query=b"key=k")).status == 200
    vertex = "/v1/projects/p/locations/l/publishers/google/models/m:generateContent"
    refused = await send(vertex, hello("vertex"))
    assert refused.json()["error"]["status"] == "UNAUTHENTICATED"
    express = "/v1beta1/publishers/google/models/m:generateContent"
    assert (await send(express, hello("vertex"))).status == 401
    assert (await send(express, hello("vertex"), headers=HEADERS["gemini"])).status == 200


async def test_azure_wants_its_key_and_a_version() -> None:
    path, key = "/openai/deployments/d/chat/completions", {b"api-key": b"k"}
    assert (await send(path, hello("chat"), query=b"api-version=2024-10-21")).status == 401
    assert (await send(path, hello("chat"), headers=key)).status == 404
    reply = await send(path, hello("chat"), headers=key, query=b"api-version=2024-10-21")
    assert reply.json()["model"] == "d"
    assert reply.json()["prompt_filter_results"]
    for path, dialect in (("chat/completions", "chat"), ("responses", "responses")):
        body = {"model": "m", **hello(dialect)}
        assert (await send(f"/openai/v1/{path}", body, headers=key)).status == 200
        assert (await send(f"/openai/v1/{path}", body)).status == 401
    project = "/api/projects/p/openai/v1/responses"
    assert (await send(project, {"model": "m", "input": "x"}, headers=key)).status == 200


async def test_claude_on_vertex_has_its_model_in_the_path() -> None:
    stem = "/v1/projects/p/locations/l/publishers/anthropic/models/"
    bearer = HEADERS["vertex"]
    body = {"anthropic_version": "vertex-2023-10-16", **hello("messages")}
    answer = await send(f"{stem}claude-x:rawPredict", body, headers=bearer)
    assert answer.json()["model"] == "claude-x"
    streamed = await send(
        f"{stem}claude-x:streamRawPredict", {**body, "stream": True}, headers=bearer
    )
    assert streamed.data()[-1] == {"type": "message_stop"}
    for bad in (
        hello("messages"),
        {**body, "anthropic_version": "1"},
        {**body, "model": "claude-x"},
    ):
        refused = await send(f"{stem}claude-x:rawPredict", bad, headers=bearer)
        assert refused.status == 400
        error_of("messages", refused)
    counted = {"model": "claude-x", **body}
    del counted["max_tokens"]
    reply = await send(f"{stem}count-tokens:rawPredict", counted, headers=bearer)
    assert reply.json() == {"input_tokens": 2}
    assert (await send(f"{stem}claude-x:rawPredict", body)).status == 401


async def test_unknown_places_speak_the_language_of_the_place() -> None:
    for path, dialect in (
        ("/model/m/invoke", "converse"),
        ("/v1beta/models/m:embed", "gemini"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:predict", "vertex"),
        ("/openai/deployments/d/embeddings", "chat"),
        ("/anthropic/v1/messages/batches", "messages"),
    ):
        reply = await send(path, {})
        assert reply.status == 404
        error_of(dialect, reply)
    listed = await send("/v1beta/models", b"", method=b"GET")
    assert listed.json()["models"][0]["name"] == "models/demo-small"


@pytest.fixture
async def demo() -> AsyncIterator[RunningDemo]:
    running = await start_demo()
    yield running
    await running.stop()


async def test_the_azure_sdk(demo: RunningDemo) -> None:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=demo.url, api_key="k", api_version="2024-10-21", max_retries=0
    ) as azure:
        messages: Any = [{"role": "user", "content": "Hello"}]
        whole = await azure.chat.completions.create(model="dep", messages=messages)
        stream = await azure.chat.completions.create(model="dep", messages=messages, stream=True)
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices == []
    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert text == whole.choices[0].message.content


async def test_the_vertex_sdk_of_anthropic(demo: RunningDemo) -> None:
    async with anthropic.AsyncAnthropicVertex(
        base_url=f"{demo.url}/v1",
        project_id="p",
        region="us-east5",
        access_token="t",
        max_retries=0,
    ) as claude:
        messages: Any = [{"role": "user", "content": "Hello"}]
        whole = await claude.messages.create(model="claude-x", max_tokens=99, messages=messages)
        async with claude.messages.stream(
            model="claude-x", max_tokens=99, messages=messages
        ) as stream:
            final = await stream.get_final_message()
        counted = await claude.messages.count_tokens(model="claude-x", messages=messages)
    assert final.content[0].text == whole.content[0].text  # type: ignore[union-attr]
    assert counted.input_tokens == 2


def test_the_demo_can_be_configured_as_every_cloud() -> None:
    url = "http://127.0.0.1:1"
    kinds = {each.provider.kind for each in cloud_models(url)}
    assert kinds == {"openAI", "custom", "anthropic", "gemini", "vertex", "bedrock", "azure"}
    plain, clouds = (
        [each.name for each in demo_settings(url, clouds=on).listeners[0].routes[0].models]
        for on in (False, True)
    )
    assert plain == ["demo-small", "demo-large", "demo-reasoner", "*"]
    assert {"demo-gemini", "demo-bedrock"} <= set(clouds)
    assert clouds[-1] == "*"
