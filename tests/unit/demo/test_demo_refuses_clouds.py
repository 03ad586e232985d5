"""What Google and Amazon refuse, the demo refuses, each with its own error."""

import copy
from typing import Any

import pytest
from tests.unit.demo.wires import (
    CITY,
    PNG,
    error_of,
    follow,
    hello,
    parts,
    post,
    raw_calls,
    replayed,
)


def content(*made: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": list(made)}


def fcall(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}, **more}}


def fresponse(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {}, **more}}


def declared(**more: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": [{"name": "f", **more}]}]}


def schema(**more: Any) -> dict[str, Any]:
    return declared(parameters={"type": "OBJECT", "properties": {"a": more}})


def config(**more: Any) -> dict[str, Any]:
    return {"generationConfig": more}


def calling(**more: Any) -> dict[str, Any]:
    return {**declared(), "toolConfig": {"functionCallingConfig": more}}


def blob(**data: Any) -> dict[str, Any]:
    return {"contents": [content({"inlineData": data})]}


def file(uri: str) -> dict[str, Any]:
    return {"contents": [content({"fileData": {"fileUri": uri}})]}


HI = content({"text": "Hi"})
CALLED = content(fcall(), role="model")

GEMINI: list[tuple[dict[str, Any], str]] = [
    ({"nope": 1}, 'Unknown name "nope": Cannot find field.'),
    ({"labels": {"a": "b"}}, "labels"),
    ({"contents": []}, "contents"),
    ({"contents": [content()]}, "contents[0].parts"),
    ({"contents": [content({"text": "x"}, role="king")]}, "contents[0].role"),
    ({"contents": [content({"text": 5})]}, "contents[0].parts[0].text"),
    ({"contents": [content({})]}, "contents[0].parts[0]"),
    ({"contents": [content({"text": "x", **fcall()})]}, "oneof"),
    ({"contents": [content({"odd": "x"})]}, "\"odd\" at 'contents[0].parts[0]'"),
    ({"contents": [HI, CALLED]}, "number of function response parts"),
    ({"contents": [HI, CALLED, HI]}, "number of function response parts"),
    ({"contents": [HI, CALLED, CALLED]}, "comes immediately after"),
    ({"contents": [HI, content(fresponse())]}, "comes immediately after"),
    ({"contents": [HI, CALLED, content(fresponse("g"))]}, "names of function responses"),
    ({"contents": [HI, CALLED, content(fresponse(), {"text": "x"})]}, "mixed"),
    ({"contents": [HI, CALLED, content(fresponse(), fresponse())]}, "number of function"),
    (
        {"contents": [HI, content(fcall(id="a"), role="model"), content(fresponse(id="b"))]},
        "ids of function responses",
    ),
    (
        {
            "contents": [
                HI,
                content(fcall("f"), fcall("g"), role="model"),
                content(fresponse("g"), fresponse("f")),
            ]
        },
        "in the order",
    ),
    (
        {"contents": [HI, CALLED, content({"functionResponse": {"name": "f", "response": "x"}})]},
        "function_response.response",
    ),
    (
        {"contents": [HI, content({**fcall(), "thoughtSignature": "AAAA"}, role="model"), HI]},
        "Thought signature is not valid",
    ),
    ({"systemInstruction": "x"}, "system_instruction"),
    (declared(name="1f"), "name"),
    (declared(name="f" * 65), "name"),
    (declared(name="a b"), "name"),
    (declared(parameters={"type": "STRING"}), "OBJECT"),
    (declared(parametersJsonSchema={"type": "string"}), "OBJECT"),
    (declared(parameters={"type": "OBJECT"}, parametersJsonSchema=CITY), "mutually exclusive"),
    (declared(parameters=CITY), 'Unknown name "additional_properties"'),
    (schema(**{"$ref": "#/x"}), "$ref"),
    (schema(type=["string", "null"]), "type"),
    (schema(type="STRING", const="x"), "const"),
    (schema(type="ARRAY"), "items"),
    (schema(type="INTEGER", enum=["1"]), "only allowed for STRING"),
    (schema(type="STRING", format="email"), "format"),
    (declared(parameters={"type": "OBJECT", "required": ["b"]}), "property is not defined"),
    (
        {"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]},
        "Duplicate function declaration",
    ),
    (calling(mode="SOME"), "mode"),
    (calling(mode="ANY", allowedFunctionNames=["g"]), "allowed_function_names"),
    (calling(mode="AUTO", allowedFunctionNames=["f"]), "ANY or VALIDATED"),
    ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "ANY"),
    (config(temperature=2.1), "temperature"),
    (config(maxOutputTokens=0), "max_output_tokens"),
    (config(stopSequences=["x"] * 6), "stop_sequences"),
    (config(odd=1), "\"odd\" at 'generation_config'"),
    (config(responseSchema={"type": "STRING"}), "response mime type"),
    (config(logprobs=2), "response_logprobs"),
    (config(thinkingConfig={"thinkingBudget": 1, "thinkingLevel": "LOW"}), "only set one of"),
    (config(thinkingConfig={"thinkingLevel": "HUGE"}), "thinking_level"),
    (blob(mimeType="image/tiff", data=PNG), "Unsupported MIME type"),
    (blob(mimeType="image/png", data="?"), "Base64 decoding failed"),
    (blob(data=PNG), "mime_type"),
    (file("gs://bucket/a.png"), "Unsupported file URI"),
    ({"cachedContent": "cachedContents/x", "tools": [{"googleSearch": {}}]}, "CachedContent"),
]


@pytest.mark.parametrize(("change", "named"), GEMINI)
async def test_gemini(change: dict[str, Any], named: str) -> None:
    reply = await post("gemini", {**hello("gemini"), **change})
    assert reply.status == 400, reply.body
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert named in error_of("gemini", reply)


async def test_what_gemini_2_cannot_do() -> None:
    both = {"tools": [declared()["tools"][0], {"googleSearch": {}}]}
    for change in (
        both,
        {**declared(), **config(responseMimeType="application/json")},
        config(thinkingConfig={"thinkingLevel": "LOW"}),
        config(thinkingConfig={"thinkingBudget": 0}),
    ):
        body = {**hello("gemini"), **change}
        assert (await post("gemini", body, model="gemini-2.5-pro")).status == 400
        assert (await post("gemini", body, model="demo-gemini-3")).status == 200


async def test_vertex_has_no_ids_and_other_files() -> None:
    ids = {"contents": [HI, content(fcall(id="a"), role="model"), content(fresponse(id="a"))]}
    assert (await post("gemini", ids)).status == 200
    refused = await post("vertex", ids)
    assert "\"id\" at 'contents[1].parts[0].function_call'" in error_of("vertex", refused)
    for uri in ("gs://bucket/a.png", "https://example.com/a.png"):
        assert (await post("vertex", file(uri))).status == 200
    assert (await post("gemini", file("https://youtu.be/x"))).status == 200
    assert (await post("vertex", {**hello("vertex"), "labels": {"a": "b"}})).status == 200


async def test_snake_case_is_read_as_well() -> None:
    body = {
        "contents": [content({"text": "weather"})],
        "system_instruction": content({"text": "x"}),
        "generation_config": {
            "max_output_tokens": 99,
            "thinking_config": {"include_thoughts": True},
        },
        "tools": [{"function_declarations": [{"name": "get_weather"}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
    }
    answer = (await post("gemini", body)).json()
    assert raw_calls("gemini", answer)[0]["name"] == "get_weather"


async def called(dialect: str, model: str) -> tuple[Any, Any]:
    body = hello(dialect, "The weather in both Oslo and Rome?", tool=True, think=True)
    answer = (await post(dialect, body, model=model)).json()
    return body, follow(dialect, body, answer)


@pytest.mark.parametrize("dialect", ["gemini", "vertex"])
async def test_signatures_of_calls_stay_where_they_were(dialect: str) -> None:
    _, whole = await called(dialect, "demo-gemini-3")
    assert (await post(dialect, whole, model="demo-gemini-3")).status == 200
    made = whole["contents"][1]["parts"]
    first = next(part for part in made if "thoughtSignature" in part)
    second = made[-1]

    async def status(model: str, *changed: Any) -> int:
        bad = copy.deepcopy(whole)
        bad["contents"][1]["parts"] = [made[0], *changed]
        return (await post(dialect, bad, model=model)).status

    bare = {"functionCall": first["functionCall"]}
    signature = first["thoughtSignature"]
    moved = {**second, "thoughtSignature": signature}
    args = {**first["functionCall"], "args": {"city": "Bergen"}}
    dummy = {**bare, "thoughtSignature": "skip_thought_signature_validator"}
    assert await status("demo-gemini-3", bare, second) == 400
    assert await status("demo-gemini-3", dummy, second) == 200
    assert await status("demo-gemini-3", bare, moved) == 400
    assert await status("demo-gemini-3", first, moved) == 400
    assert await status("demo-gemini-3", {**first, "functionCall": args}, second) == 400
    assert await status("demo-gemini-3", {**bare, "thoughtSignature": "AAAA"}, second) == 400
    assert await status("demo-gemini", bare, second) == 200  # older models do not insist
    later = copy.deepcopy(whole)
    later["contents"][1]["parts"] = [made[0], bare, second]
    later["contents"].append(HI)
    assert (await post(dialect, later, model="demo-gemini-3")).status == 200  # a past turn


async def test_the_signature_of_a_text_stays_on_an_empty_text() -> None:
    body = hello("gemini", "Why?", think=True)
    answer = (await post("gemini", body)).json()
    (said,) = replayed("gemini", answer)
    thought, text, last = said["parts"]
    for made, status in (
        ([thought, text, last], 200),
        ([thought, text], 200),
        ([thought, {**text, "thoughtSignature": last["thoughtSignature"]}], 400),
    ):
        contents = [*body["contents"], {**said, "parts": made}, HI]
        assert (await post("gemini", {**body, "contents": contents})).status == status


# -- Bedrock --------------------------------------------------------------------------------------


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def use(name: str = "t1") -> dict[str, Any]:
    return {"toolUse": {"toolUseId": name, "name": "f", "input": {}}}


def result(name: str = "t1", **more: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": name, "content": [{"text": "r"}], **more}}


def spec(name: str = "f", **more: Any) -> dict[str, Any]:
    made = {"name": name, "inputSchema": {"json": {"type": "object"}}, **more}
    return {"toolConfig": {"tools": [{"toolSpec": made}]}}


def document(name: str = "a", **source: Any) -> dict[str, Any]:
    return {"document": {"name": name, "format": "pdf", "source": source or {"bytes": "AAAA"}}}


def thinking(budget: int = 1024, **more: Any) -> dict[str, Any]:
    asked = {"type": "enabled", "budget_tokens": budget}
    return {
        "additionalModelRequestFields": {"thinking": asked},
        "inferenceConfig": {"maxTokens": 2048},
        **more,
    }


X = {"text": "x"}
ASK = user(X)
POINT = {"cachePoint": {"type": "default"}}

CONVERSE: list[tuple[dict[str, Any], str]] = [
    ({"nope": 1}, "extraneous key [nope]"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "system", "content": [X]}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": "x"}]}, "messages.0.content"),
    ({"messages": [user()]}, "messages.0.content"),
    ({"messages": [user({"text": " "})]}, "is blank"),
    ({"messages": [user({"type": "text", **X})]}, "extraneous key [type]"),
    ({"messages": [user({**X, **POINT})]}, "exactly one"),
    ({"messages": [user({})]}, "exactly one"),
    ({"messages": [assistant(X), ASK]}, "start with a user message"),
    ({"messages": [ASK, ASK]}, "alternate"),
    ({"messages": [ASK, assistant(use()), user(result())]}, "toolConfig"),
    ({**spec(), "messages": [ASK, assistant(use())]}, "Expected toolResult blocks"),
    ({**spec(), "messages": [ASK, assistant(use()), ASK]}, "following Ids: t1"),
    ({**spec(), "messages": [ASK, assistant(use("a"), use("b")), user(result("a"))]}, "Ids: b"),
    ({**spec(), "messages": [ASK, assistant(X), user(result())]}, "exceeds the number"),
    ({**spec(), "messages": [ASK, assistant(use()), user(result(), result())]}, "duplicate"),
    ({**spec(), "messages": [user(use())]}, "not allowed"),
    ({**spec(), "messages": [ASK, assistant(use("a/b")), user(result("a/b"))]}, "toolUseId"),
    (
        {**spec(), "messages": [ASK, assistant(use()), user(result(content=[{"text": ""}]))]},
        "is blank",
    ),
    (
        {"messages": [ASK, assistant({"reasoningContent": {"reasoningText": X}}), ASK]},
        "signature",
    ),
    (
        {
            "messages": [
                ASK,
                assistant({"reasoningContent": {"reasoningText": {**X, "signature": "AAAA"}}}),
                ASK,
            ]
        },
        "Invalid `signature`",
    ),
    (
        {"messages": [ASK, assistant({"reasoningContent": {"redactedContent": "AAAA"}}), ASK]},
        "Invalid `signature`",
    ),
    ({"messages": [user({"image": {"format": "png", "source": {"url": "x"}}})]}, "[url]"),
    ({"messages": [user({"image": {"format": "tiff", "source": {"bytes": PNG}}})]}, "format"),
    ({"messages": [user({"image": {"format": "jpeg", "source": {"bytes": PNG}}})]}, "image/png"),
    ({"messages": [user({"image": {"format": "png", "source": {"bytes": "?"}}})]}, "base64"),
    ({"messages": [user(X, document("a.pdf"))]}, "document file name"),
    ({"messages": [user(X, document("a  b"))]}, "document file name"),
    ({"messages": [user(X, document(), document())]}, "not unique"),
    ({"messages": [user(document())]}, "text block"),
    ({"system": [{"text": ""}]}, "system.0.text"),
    ({"system": "x"}, "system"),
    ({"system": [X, POINT, POINT], "messages": [user(X, POINT, POINT, POINT)]}, "cachePoint"),
    ({"inferenceConfig": {"temperature": 1.5}}, "temperature"),
    ({"inferenceConfig": {"maxTokens": 0}}, "maxTokens"),
    ({"inferenceConfig": {"topK": 5}}, "[topK]"),
    ({"inferenceConfig": {"maxTokens": "5"}}, "maxTokens"),
    ({"additionalModelRequestFields": {"odd": 1}}, "[odd]"),
    (thinking(2048), "max_tokens"),
    (thinking(1000), "budget_tokens"),
    (thinking(inferenceConfig={"maxTokens": 2048, "temperature": 0.5}), "temperature"),
    (
        thinking(toolConfig={**spec()["toolConfig"], "toolChoice": {"any": {}}}),
        "forces tool use",
    ),
    (spec("bad name"), "name"),
    (spec("f" * 65), "name"),
    (spec(description=""), "description"),
    (spec(inputSchema={"json": {}}), "must be one of the following: object"),
    ({"toolConfig": {"tools": []}}, "toolConfig.tools"),
    (
        {"toolConfig": {**spec()["toolConfig"], "toolChoice": {"tool": {"name": "g"}}}},
        "'g'",
    ),
    ({"toolConfig": {**spec()["toolConfig"], "toolChoice": {"none": {}}}}, "[none]"),
    (
        {
            "outputConfig": {
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"schema": "{"}},
                }
            }
        },
        "not a valid JSON schema",
    ),
    ({"requestMetadata": {"a": 1}}, "requestMetadata.a"),
]


@pytest.mark.parametrize(("change", "named"), CONVERSE)
async def test_converse(change: dict[str, Any], named: str) -> None:
    reply = await post("converse", {**hello("converse"), **change})
    assert reply.status == 400, reply.body
    assert any(
        f"x-amzn-errortype: {kind}:".encode() in reply.headers
        for kind in ("ValidationException", "SerializationException")
    )
    assert named in error_of("converse", reply)


async def test_reasoning_of_bedrock_is_replayed_as_it_was() -> None:
    text = "[[demo plan=think+call+hidden+call]]"
    body = hello("converse", text, tool=True, think=True)
    whole = follow("converse", body, (await post("converse", body)).json())
    assert (await post("converse", whole)).status == 200
    first, call, hidden, other = whole["messages"][1]["content"]
    longer = copy.deepcopy(first)
    longer["reasoningContent"]["reasoningText"]["text"] += "."
    for blocks in (
        [longer, call, hidden, other],
        [hidden, call, first, other],
        [call, first, hidden, other],
        [first, call, first, other],
    ):
        bad = copy.deepcopy(whole)
        bad["messages"][1]["content"] = blocks
        assert (await post("converse", bad)).status == 400


async def test_clouds_take_what_they_should() -> None:
    for change in (
        thinking(),
        spec(strict=True),
        {"system": [X, POINT], "requestMetadata": {"a": "b"}},
        {"messages": [user(X, document("a (1) [b]-c"))]},
        {"inferenceConfig": None, "additionalModelRequestFields": {"top_k": 5}},
        {"messages": [user({"image": {"format": "png", "source": {"bytes": PNG}}})]},
    ):
        reply = await post("converse", {**hello("converse"), **change})
        assert reply.status == 200, reply.body
    assert parts("gemini", (await post("gemini", hello("gemini"))).json())
