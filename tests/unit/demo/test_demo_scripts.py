"""Every script is told in every dialect, streamed and not."""

import json
from typing import Any

import pytest
from tests.unit.demo.wires import (
    CITY,
    DIALECTS,
    PNG,
    error_of,
    follow,
    frames,
    hello,
    order_of,
    parts,
    post,
    raw_calls,
    text_of,
)

from portico.demo.provider import DemoProvider

NATIVE = tuple(each for each in DIALECTS if each != "chat")


async def said(dialect: str, body: Any, **more: Any) -> Any:
    reply = await post(dialect, body, **more)
    assert reply.status == 200, reply.body
    return reply.json()


@pytest.mark.parametrize("dialect", NATIVE)
@pytest.mark.parametrize("plan", ["think+call+think+call", "think+text+call", "call", "text+text"])
async def test_a_plan_is_followed_in_order_and_may_be_replayed(dialect: str, plan: str) -> None:
    body = hello(dialect, f"[[demo plan={plan}]] Go", tool=True, think=True)
    answer = await said(dialect, body)
    assert order_of(dialect, answer) == plan.split("+")
    if "call" not in plan:
        return
    again = await said(dialect, follow(dialect, {**body, **strip(dialect, body)}, answer))
    assert "“12 degrees”" in text_of(dialect, again)


def strip(dialect: str, body: Any) -> Any:
    """The question without its directive, so that the next answer is the script's own."""
    return json.loads(
        json.dumps(body).replace("[[demo plan=", "[[demo]] (").replace("]] Go", ") Go")
    )


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_reasoning_is_forced_on_and_off(dialect: str) -> None:
    on = await said(dialect, hello(dialect, "[[demo think=on]]", think=True))
    off = await said(dialect, hello(dialect, "[[demo think=off]]", think=True))
    if dialect == "chat":
        assert on["choices"][0]["message"]["reasoning_content"]
        assert "reasoning_content" not in off["choices"][0]["message"]
    else:
        assert order_of(dialect, on) == ["think", "text"]
        assert order_of(dialect, off) == ["text"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_hidden_reasoning_costs_tokens_and_shows_no_words(dialect: str) -> None:
    answer = await said(dialect, hello(dialect, "[[demo plan=hidden+text]] Why?", think=True))
    assert "I am a script: I pick" not in json.dumps(answer)
    if dialect == "responses":
        item = answer["output"][0]
        assert (item["summary"], "content" in item) == ([], False)
        assert item["encrypted_content"]
        assert answer["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    elif dialect == "messages":
        assert answer["content"][0]["type"] == "redacted_thinking"
    elif dialect == "converse":
        block = parts(dialect, answer)[0]["reasoningContent"]
        assert set(block) == {"redactedContent"}
    elif dialect != "chat":
        assert answer["usageMetadata"]["thoughtsTokenCount"] > 0


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_parallel_calls(dialect: str) -> None:
    body = hello(dialect, "The weather in both Oslo and Rome?", tool=True)
    calls = raw_calls(dialect, await said(dialect, body))
    assert len(calls) == 2
    assert ["Oslo" in json.dumps(calls[0]), "Rome" in json.dumps(calls[1])] == [True, True]
    ids = {each.get("id", each.get("toolUseId", each.get("call_id"))) for each in calls}
    assert len(ids) == (1 if dialect == "vertex" else 2)  # none on Vertex


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_call_without_arguments(dialect: str) -> None:
    body = hello(dialect, "[[demo args=none]] weather", tool=True)
    (call,) = raw_calls(dialect, await said(dialect, body))
    given = call.get("arguments", call.get("input", call.get("args")))
    assert (call["function"]["arguments"] if dialect == "chat" else given) in ("{}", {})
    raw = (await post(dialect, body, stream=True)).body
    if dialect == "messages":
        assert raw.count(b"input_json_delta") == 1
    elif dialect == "converse":
        assert not [each for each in frames(raw) if each[1] == "contentBlockDelta"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_call_that_is_cut_off_ends_for_length(dialect: str) -> None:
    body = hello(dialect, "[[demo args=cut]] weather", tool=True)
    answer = await said(dialect, body)
    if dialect == "chat":
        assert answer["choices"][0]["finish_reason"] == "length"
        arguments = raw_calls(dialect, answer)[0]["function"]["arguments"]
    elif dialect == "responses":
        assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
        assert answer["output"][-1]["status"] == "incomplete"
        arguments = answer["output"][-1]["arguments"]
    elif dialect == "messages":
        assert (answer["stop_reason"], answer["content"][0]["input"]) == ("max_tokens", {})
        return
    elif dialect == "converse":
        assert answer["stopReason"] == "max_tokens"
        return
    else:
        assert answer["candidates"][0]["finishReason"] == "MAX_TOKENS"
        assert not raw_calls(dialect, answer)  # Google never shows half a call
        return
    with pytest.raises(json.JSONDecodeError):
        json.loads(arguments)


FINISHES: dict[str, dict[str, Any]] = {
    "length": {"chat": "length", "messages": "max_tokens", "gemini": "MAX_TOKENS"},
    "content_filter": {"chat": "content_filter", "messages": "refusal", "gemini": "SAFETY"},
    "context": {"chat": "length", "messages": "model_context_window_exceeded"},
    "refusal": {"chat": "stop", "messages": "refusal", "converse": "content_filtered"},
    "pause": {"messages": "pause_turn", "chat": "stop"},
    "malformed": {"gemini": "MALFORMED_FUNCTION_CALL", "converse": "malformed_tool_use"},
    "blocked": {"converse": "guardrail_intervened", "messages": "refusal"},
}


@pytest.mark.parametrize("finish", FINISHES)
async def test_finish_reasons(finish: str) -> None:
    for dialect, wanted in FINISHES[finish].items():
        answer = await said(dialect, hello(dialect, f"[[demo finish={finish}]] Hi"))
        found = {
            "chat": lambda a: a["choices"][0]["finish_reason"],
            "messages": lambda a: a["stop_reason"],
            "converse": lambda a: a["stopReason"],
            "gemini": lambda a: a["candidates"][0]["finishReason"],
        }[dialect](answer)
        assert found == wanted


async def test_a_refusal_has_each_dialects_form() -> None:
    text = "[[demo finish=refusal]]"
    chat = await said("chat", hello("chat", text))
    message = chat["choices"][0]["message"]
    assert message["content"] is None
    assert message["refusal"].startswith("I cannot")
    part = (await said("responses", hello("responses", text)))["output"][0]["content"][0]
    assert part == {"type": "refusal", "refusal": message["refusal"]}
    claude = await said("messages", hello("messages", text))
    assert (claude["content"], claude["stop_details"]["explanation"]) == ([], message["refusal"])
    candidate = (await said("gemini", hello("gemini", text)))["candidates"][0]
    assert "content" not in candidate
    assert candidate["safetyRatings"][0]["blocked"] is True


async def test_a_blocked_prompt_has_each_vendors_form() -> None:
    text = "[[demo finish=blocked]]"
    for dialect in ("chat", "responses"):
        reply = await post(dialect, hello(dialect, text))
        assert reply.status == 400
        assert reply.json()["error"]["code"] == "content_filter"
    gemini = await said("gemini", hello("gemini", text))
    assert "candidates" not in gemini
    assert gemini["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_body_is_echoed(dialect: str) -> None:
    body = hello(dialect, "[[demo echo=body]]", tool=True)
    echoed = json.loads(text_of(dialect, await said(dialect, body)))
    assert {key: echoed[key] for key in body} == body
    whole = await said(dialect, hello(dialect, "[[demo echo=head]]"))
    head = json.loads(text_of(dialect, whole))
    assert set(head) == {"method", "path", "query", "headers", "body"}
    secrets = {"authorization", "x-goog-api-key"} & head["headers"].keys()
    assert all(head["headers"][name] == "***" for name in secrets)


def with_media(dialect: str) -> Any:
    url = f"data:image/png;base64,{PNG}"
    if dialect == "chat":
        media: list[Any] = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": PNG, "filename": "a.pdf"}},
        ]
        return {"messages": [{"role": "user", "content": media}]}
    if dialect == "responses":
        media = [
            {"type": "input_image", "image_url": url},
            {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        ]
        return {"input": [{"role": "user", "content": media}]}
    if dialect == "messages":
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        plain = {"type": "text", "media_type": "text/plain", "data": "abc"}
        media = [{"type": "image", "source": source}, {"type": "document", "source": plain}]
        return {"max_tokens": 99, "messages": [{"role": "user", "content": media}]}
    if dialect == "converse":
        media = [
            {"text": "See"},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
            {"document": {"format": "csv", "name": "a b", "source": {"bytes": "AAAA"}}},
        ]
        return {"messages": [{"role": "user", "content": media}]}
    media = [
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        {"inline_data": {"mime_type": "audio/wav", "data": "AAAA"}},
    ]
    return {"contents": [{"role": "user", "parts": media}]}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_media_are_described(dialect: str) -> None:
    text = text_of(dialect, await said(dialect, with_media(dialect)))
    assert "image/png, 70 bytes" in text
    other = {
        "chat": "audio/wav, 3 bytes; file, 70 bytes, a.pdf",
        "responses": "file at https://example.com/a.pdf",
        "messages": "text/plain, 3 bytes",
        "converse": "text/csv, 3 bytes, a b",
    }
    assert other.get(dialect, "audio/wav, 3 bytes") in text


SEARCHES: dict[str, Any] = {
    "chat": {"web_search_options": {}},
    "responses": {"tools": [{"type": "web_search"}]},
    "messages": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "gemini": {"tools": [{"googleSearch": {}}]},
    "vertex": {"tools": [{"google_search": {}}]},
    "converse": {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
}


def citations(dialect: str, answer: Any) -> list[tuple[str, str]]:
    """Url and cited words, worked out from what the dialect gives."""
    text = text_of(dialect, answer)
    if dialect == "chat":
        found = [each["url_citation"] for each in parts(dialect, answer)[0]["annotations"]]
        return [(each["url"], text[each["start_index"] : each["end_index"]]) for each in found]
    if dialect == "responses":
        found = answer["output"][-1]["content"][0]["annotations"]
        return [(each["url"], text[each["start_index"] : each["end_index"]]) for each in found]
    if dialect == "messages":
        found = answer["content"][-1]["citations"]
        return [(each["url"], each["cited_text"]) for each in found]
    if dialect == "converse":
        found = parts(dialect, answer)[0]["citationsContent"]["citations"]
        return [(e["location"]["web"]["url"], e["sourceContent"][0]["text"]) for e in found]
    grounding = answer["candidates"][0]["groundingMetadata"]
    out = []
    for support in grounding["groundingSupports"]:
        chunk = grounding["groundingChunks"][support["groundingChunkIndices"][0]]["web"]
        where = support["segment"]
        words = text.encode()[where["startIndex"] : where["endIndex"]].decode()
        assert words == where["text"]
        out.append((chunk["uri"], words))
    return out


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_hosted_search_is_cited(dialect: str) -> None:
    body = {**hello(dialect, "Search for the gate"), **SEARCHES[dialect]}
    answer = await said(dialect, body)
    assert citations(dialect, answer) == [
        ("https://example.com/demo/gate", "The gate has many doors — all counted."),
        ("https://example.org/demo/keeper", "The keeper answers every captain."),
    ]
    if dialect == "messages":
        kinds = [block["type"] for block in answer["content"]]
        assert kinds == ["server_tool_use", "web_search_tool_result", "text"]
        assert answer["usage"]["server_tool_use"]["web_search_requests"] == 1
        body["messages"] += [
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": "Thanks"},
        ]
        assert (await post(dialect, body)).status == 200
        answer["content"][1]["content"][0]["url"] += "x"
        assert "encrypted_content" in error_of(dialect, await post(dialect, body))
    if dialect == "responses":
        assert [item["type"] for item in answer["output"]] == ["web_search_call", "message"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_schema_is_answered_with_an_instance(dialect: str) -> None:
    body = hello(dialect, "A city in Rome")
    inner = {"name": "out", "schema": CITY, "strict": True}
    body |= {
        "chat": {"response_format": {"type": "json_schema", "json_schema": inner}},
        "responses": {"text": {"format": {"type": "json_schema", **inner}}},
        "messages": {"output_config": {"format": {"type": "json_schema", "schema": CITY}}},
        "converse": {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": json.dumps(CITY)}},
                }
            }
        },
    }.get(
        dialect,
        {
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseJsonSchema": CITY,
            }
        },
    )
    assert json.loads(text_of(dialect, await said(dialect, body))) == {"city": "Rome"}


async def test_custom_tools_take_free_text() -> None:
    tool = {"type": "custom", "name": "script"}
    answer = await said("responses", {"input": "Run the script", "tools": [tool]})
    assert answer["output"][0]["input"] == "Run the script"
    chat = {"type": "custom", "custom": {"name": "script"}}
    body = {"messages": [{"role": "user", "content": "Run the script"}], "tools": [chat]}
    (call,) = raw_calls("chat", await said("chat", body))
    assert call["custom"] == {"name": "script", "input": "Run the script"}
    data = (await post("chat", body, stream=True)).data()
    deltas = [each["choices"][0]["delta"].get("tool_calls") for each in data]
    text = "".join(each[0]["custom"]["input"] for each in deltas if each)
    assert text == "Run the script"


async def test_calls_of_a_namespace_carry_it() -> None:
    inner = {"type": "function", "name": "weather", "parameters": CITY}
    tool = {"type": "namespace", "name": "crm", "description": "d", "tools": [inner]}
    answer = await said("responses", {"input": "The weather?", "tools": [tool]})
    assert (answer["output"][0]["namespace"], answer["output"][0]["name"]) == ("crm", "weather")


async def test_usage_speaks_each_vendors_convention() -> None:
    text = "[[demo cached=100 written=10 think=on]] Why?"
    usages = {}
    for dialect in DIALECTS:
        answer = await said(dialect, hello(dialect, text, think=dialect != "chat"))
        usages[dialect] = answer.get("usage") or answer["usageMetadata"]
    chat, responses = usages["chat"], usages["responses"]
    assert chat["prompt_tokens_details"]["cached_tokens"] == 100
    assert chat["total_tokens"] == chat["prompt_tokens"] + chat["completion_tokens"]
    assert chat["completion_tokens"] > chat["completion_tokens_details"]["reasoning_tokens"] > 0
    details = responses["input_tokens_details"]
    assert details == {"cached_tokens": 100, "cache_write_tokens": 10}
    assert responses["input_tokens"] > 110
    claude = usages["messages"]
    assert (claude["cache_read_input_tokens"], claude["input_tokens"] < 100) == (100, True)
    assert claude["output_tokens_details"]["thinking_tokens"] > 0
    gemini = usages["gemini"]
    assert gemini["cachedContentTokenCount"] == 100
    assert gemini["totalTokenCount"] == sum(
        gemini[key] for key in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )
    bedrock = usages["converse"]
    assert bedrock["totalTokens"] == sum(
        bedrock[key]
        for key in (
            "inputTokens",
            "outputTokens",
            "cacheReadInputTokens",
            "cacheWriteInputTokens",
        )
    )


STATUS = {"messages": "rate_limit_error", "gemini": "RESOURCE_EXHAUSTED"}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_errors_of_choice(dialect: str) -> None:
    for stream in (False, True):
        reply = await post(
            dialect, hello(dialect, "[[demo status=429 retry_after=3]]"), stream=stream
        )
        assert reply.status == 429
        error_of(dialect, reply)
        if dialect in ("gemini", "vertex"):
            info = reply.json()["error"]["details"][-1]
            assert info["retryDelay"] == "3s"
            assert info["@type"] == "type.googleapis.com/google.rpc.RetryInfo"
            assert b"retry-after" not in reply.headers
        else:
            assert b"retry-after: 3\r\n" in reply.headers
        if dialect == "converse":
            assert b"x-amzn-errortype: ThrottlingException:" in reply.headers


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_errors_inside_a_stream(dialect: str) -> None:
    kinds = {"messages": "overloaded_error", "converse": "ThrottlingException"}
    kind = kinds.get(dialect, "UNAVAILABLE")
    reply = await post(dialect, hello(dialect, f"[[demo error=3 kind={kind}]]"), stream=True)
    assert reply.status == 200
    if dialect == "converse":
        last = frames(reply.body)[-1]
        assert last[:2] == ("exception", "throttlingException")
        assert len(frames(reply.body)) == 4
    elif dialect == "responses":
        assert reply.data()[3]["error"]["type"] == kind
    else:
        error = reply.data()[-1]["error"]
        assert error.get("status", error.get("type")) == kind
        if dialect in ("gemini", "vertex"):
            assert error["code"] == 503


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_may_come_in_pieces_of_any_size(dialect: str) -> None:
    body = hello(dialect, "Tell me a story")
    whole = await post(dialect, hello(dialect, "[[demo split=7]] Tell me a story"), stream=True)
    plain = await post(dialect, body, stream=True)
    assert max(map(len, whole.pieces)) == 7
    assert len(whole.body) >= len(plain.body)


async def test_faults_can_be_used_up_in_every_dialect() -> None:
    for dialect in DIALECTS:
        provider = DemoProvider()
        body = hello(dialect, "[[demo status=503 times=1]] Hi")
        found = [(await post(dialect, body, provider=provider)).status for _ in range(2)]
        assert found == [503, 200]
