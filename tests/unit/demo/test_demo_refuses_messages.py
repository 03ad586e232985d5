"""What Anthropic refuses, the demo refuses, in Anthropic's words."""

import copy
from typing import Any

import pytest
from tests.unit.demo.wires import CITY, PNG, error_of, follow, hello, post, send

HI = {"role": "user", "content": "Hi"}
MARK = {"cache_control": {"type": "ephemeral"}}
SIGNED = {"type": "thinking", "thinking": "x", "signature": "bm9wZQ=="}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def use(name: str = "t1") -> dict[str, Any]:
    return {"type": "tool_use", "id": name, "name": "f", "input": {}}


def result(name: str = "t1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": name, "content": "r", **more}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", **source}}


def tool(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object"}, **more}


def formatted(schema: Any) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


ENABLED = {"thinking": {"type": "enabled", "budget_tokens": 1024}}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"nope": 1}, "nope: Extra inputs are not permitted"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "assistant", "content": "x"}, HI]}, "first message must use"),
    ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
    ({"messages": [user()]}, "non-empty content"),
    ({"messages": [user(text(""))]}, "must be non-empty"),
    ({"messages": [user(text(" \n"))]}, "non-whitespace"),
    ({"messages": [HI, assistant(text("x ")), HI, assistant(text("x "))]}, "trailing whitespace"),
    ({"system": [text("")]}, "system: text content blocks must be non-empty"),
    ({"messages": [user({"type": "odd"})]}, "messages.0.content.0.type"),
    ({"messages": [user(use())]}, "messages.0.content.0.type"),
    ({"messages": [HI, assistant(result())]}, "messages.1.content.0.type"),
    ({"messages": [HI, assistant(use())]}, "`tool_use` ids were found without `tool_result`"),
    ({"messages": [HI, assistant(use()), HI]}, "`tool_use` ids were found without"),
    ({"messages": [HI, assistant(use()), HI, user(result())]}, "messages.1: `tool_use` ids"),
    ({"messages": [HI, assistant(use("a"), use("b")), user(result("a"))]}, "after: b"),
    ({"messages": [HI, user(result())]}, "unexpected `tool_use_id`"),
    ({"messages": [HI, assistant(use()), user(result(), result())]}, "single result"),
    ({"messages": [HI, assistant(use()), user(text("x"), result())]}, "must come first"),
    ({"messages": [HI, assistant(use(), use()), user(result())]}, "must be unique"),
    ({"messages": [HI, assistant(use("a.b")), user(result("a.b"))]}, "messages.1.content.0.id"),
    (
        {"messages": [HI, assistant({**use(), "input": "{}"}), user(result())]},
        "messages.1.content.0.input",
    ),
    ({"messages": [HI, assistant(use()), user(result(content=[text("")]))]}, "non-empty"),
    ({"messages": [HI, assistant(SIGNED), HI]}, "Invalid `signature` in `thinking` block"),
    (
        {"messages": [HI, assistant({"type": "redacted_thinking", "data": "x"}), HI]},
        "Invalid `data` in `redacted_thinking` block",
    ),
    ({"messages": [HI, assistant({"type": "thinking", "thinking": "x"}), HI]}, "signature"),
    ({"messages": [user(image(media_type="image/tiff", data=PNG))]}, "media_type"),
    ({"messages": [user(image(media_type="image/png", data="?"))]}, "base64.data"),
    ({"messages": [user(image(media_type="image/jpeg", data=PNG))]}, "appears to be image/png"),
    ({"messages": [user({"type": "image", "source": {"type": "url", "url": "x"}})]}, "url"),
    ({"messages": [user(*(text("x", **MARK) for _ in range(5)))]}, "Found 5"),
    ({"system": [text("x", cache_control={"type": "odd"})]}, "cache_control.type"),
    ({"temperature": 1.1}, "temperature"),
    ({**ENABLED, "temperature": 0.5}, "temperature"),
    ({**ENABLED, "top_k": 5}, "top_k"),
    ({**ENABLED, "top_p": 0.5}, "top_p"),
    ({**ENABLED, "max_tokens": 1024}, "`max_tokens` must be greater"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "on"}}, "thinking.type"),
    ({**ENABLED, "tools": [tool()], "tool_choice": {"type": "any"}}, "forces tool use"),
    (
        {**ENABLED, "messages": [HI, assistant(use()), user(result())]},
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    ({"tool_choice": {"type": "auto"}}, "tool_choice"),
    ({"tools": [tool()], "tool_choice": {"type": "tool", "name": "g"}}, "'g'"),
    ({"tools": [tool("bad name")]}, "tools.0.name"),
    ({"tools": [tool("f" * 129)]}, "tools.0.name"),
    ({"tools": [tool(), tool()]}, "unique"),
    ({"tools": [tool(input_schema={})]}, "tools.0.custom.input_schema.type: Field required"),
    ({"tools": [tool(input_schema={"type": "string"})]}, "Input should be 'object'"),
    ({"tools": [tool(strict=True)]}, "additionalProperties"),
    ({"tools": [{"type": "odd_20990101", "name": "x"}]}, "tools.0.type"),
    (formatted({"type": "object", "properties": {}}), "additionalProperties"),
    (
        formatted({**CITY, "properties": {"city": {"type": "string", "minLength": 1}}}),
        "minLength",
    ),
    ({"stop_sequences": [" "]}, "stop_sequences"),
    ({"metadata": {"team": "x"}}, "metadata.team"),
    ({"service_tier": "gold"}, "service_tier"),
]


@pytest.mark.parametrize(("change", "named"), REFUSED)
async def test_messages(change: dict[str, Any], named: str) -> None:
    reply = await post("messages", {**hello("messages"), **change})
    assert reply.status == 400, reply.body
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert named in error_of("messages", reply)


async def test_max_tokens_is_required_and_counting_does_not_take_it() -> None:
    body = hello("messages")
    del body["max_tokens"]
    assert "max_tokens: Field required" in error_of("messages", await post("messages", body))
    path = "/v1/messages/count_tokens"
    assert (await send(path, {"model": "m", **body})).status == 200
    refused = await send(path, {"model": "m", **hello("messages")})
    assert "max_tokens: Extra inputs" in error_of("messages", refused)
    refused = await send(path, {"model": "m", "messages": [HI, assistant(use())]})
    assert "`tool_use` ids" in error_of("messages", refused)


async def test_messages_take_what_they_should() -> None:
    for change in (
        {"messages": [HI, HI]},
        {"messages": [HI, assistant(text("prefill"))]},
        {"messages": [HI, {"role": "assistant", "content": ""}]},
        {
            "messages": [
                HI,
                assistant(use("a"), use("b")),
                user(result("b"), result("a"), text("x")),
            ]
        },
        {"messages": [HI, {"role": "system", "content": "x"}, HI]},
        {"system": [text("x", **MARK)], "tools": [tool(**MARK)]},
        {"context_management": {}, "metadata": {"user_id": "u"}, **ENABLED},
        {"tools": [tool("f" * 128)], "tool_choice": {"type": "tool", "name": "f" * 128}},
    ):
        reply = await post("messages", {**hello("messages"), **change})
        assert reply.status == 200, reply.body


async def interleaved() -> tuple[Any, Any]:
    plan = "[[demo plan=think+call+hidden+call]]"
    body = {**hello("messages", plan, tool=True), "thinking": {"type": "adaptive"}}
    answer = (await post("messages", body)).json()
    return follow("messages", body, answer), answer


async def test_thoughts_are_replayed_as_they_were() -> None:
    whole, _ = await interleaved()
    assert (await post("messages", whole)).status == 200

    def altered(blocks: list[Any]) -> list[list[Any]]:
        first, call, hidden, other = blocks
        return [
            [{**first, "thinking": first["thinking"] + "."}, call, hidden, other],
            [{**first, "signature": first["signature"][:-4]}, call, hidden, other],
            [hidden, call, first, other],
            [first, hidden, call, other],
            [first, call, first, other],
            [call, first, hidden, other],
        ]

    for blocks in altered(whole["messages"][1]["content"]):
        bad = copy.deepcopy(whole)
        bad["messages"][1]["content"] = blocks
        assert (await post("messages", bad)).status == 400


async def test_thoughts_stay_in_their_turn() -> None:
    whole, answer = await interleaved()
    question, said, done = whole["messages"]
    turns = [question, said, done, assistant(*answer["content"]), done]
    reply = await post("messages", {**whole, "messages": turns})
    assert reply.status == 400


async def test_omitted_thoughts_keep_only_their_signature() -> None:
    body = {**hello("messages", "Why?"), "thinking": {"type": "adaptive", "display": "omitted"}}
    answer = (await post("messages", body)).json()
    block = answer["content"][0]
    assert block["thinking"] == ""
    assert (await post("messages", follow_text(body, answer))).status == 200
    block["thinking"] = "made up"
    assert (await post("messages", follow_text(body, answer))).status == 400


def follow_text(body: Any, answer: Any) -> Any:
    return {**body, "messages": [*body["messages"], assistant(*answer["content"]), HI]}
