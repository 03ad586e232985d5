"""Bodies for Anthropic: valid for the SDK's own type, and nothing changed without being said."""

import json
from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.messages_translate.common import ORIGIN, request, upstream, user, write
from tests.unit.dialects.messages_translate.written_kit import (
    NEW,
    OLD,
    TOOL,
    assistant,
    paths,
)

from portico.dialects.messages.items_out import CONTINUE, FIRST
from portico.dialects.messages.maps import family
from portico.dialects.messages.tools_out import COMPACT_BETA
from portico.dialects.messages.upstream import UPSTREAM, betas
from portico.errors import BadRequest
from portico.model.items import Compaction, Hit, Hosted, Message, Reasoning, ToolCall, ToolResult
from portico.model.parts import Text
from portico.model.request import ReasoningAsk
from portico.model.sealed import Sealed, native


def test_a_plain_question_is_as_small_as_it_can_be() -> None:
    body, losses = write(request(instructions=(Text("Be kind."),), max_output_tokens=50))
    assert body == {
        "model": OLD,
        "max_tokens": 50,
        "system": [{"type": "text", "text": "Be kind."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    assert losses == []
    assert write(request(stream=True))[0]["stream"] is True


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("claude-opus-5-5", 128_000),
        ("claude-haiku-4-5-20251001", 64_000),
        ("anthropic.claude-opus-4-1-20250805-v1:0", 32_000),
        ("claude-3-5-haiku-latest", 8_192),
        ("claude-3-opus-20240229", 4_096),
        ("kimi-k2", 8_192),
    ],
)
def test_max_tokens_is_the_models_maximum_when_nothing_was_said(model: str, most: int) -> None:
    assert write(request(), model)[0]["max_tokens"] == most


def test_more_tokens_than_the_model_has_are_capped_and_said() -> None:
    body, losses = write(request(max_output_tokens=1_000_000))
    assert body["max_tokens"] == 64_000
    assert paths(losses) == {("max_output_tokens", "adapted")}
    assert write(request(max_output_tokens=1_000_000), "kimi-k2")[0]["max_tokens"] == 1_000_000


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("claude-opus-4-5-20251101", "opus-4-5"),
        ("claude-opus-4-20250514", "opus-4"),
        ("us.anthropic.claude-sonnet-4-6-v1:0", "opus-4-6"),
        ("anthropic/claude-opus-4.7", "opus-4-7"),
        ("claude-opus-4-5@20251101", "opus-4-5"),
        ("claude-3-7-sonnet-20250219", "sonnet-4"),
        ("claude-fable-5", "fable-5"),
        ("claude-fable-5-2", "fable-5-2"),
        ("claude-nova-7", "claude"),
    ],
)
def test_models_are_known_however_the_platform_spells_them(model: str, like: str) -> None:
    assert family(model).names[0] == like


def test_leading_system_messages_come_after_the_instructions() -> None:
    body, losses = write(
        request(
            instructions=(Text("one"),),
            items=(Message("system", (Text("two"),)), Message("developer", (Text("3"),)), user()),
        )
    )
    assert [block["text"] for block in body["system"]] == ["one", "two", "3"]
    assert losses == []


def test_a_system_message_in_the_conversation_stays_one_where_the_model_takes_it() -> None:
    items = (user(), Message("developer", (Text("new rule"),)))
    body, losses = write(request(items=items), NEW)
    assert [message["role"] for message in body["messages"]] == ["user", "system"]
    assert losses == []


@pytest.mark.parametrize(
    ("model", "items"),
    [
        (OLD, (user(), Message("system", (Text("rule"),)))),
        (NEW, (user(), assistant(), Message("system", (Text("rule"),)), user("go"))),
        (NEW, (user(), Message("system", (Text("rule"),)), user("go"))),
    ],
)
def test_elsewhere_it_is_text_of_the_user_and_said(model: str, items: tuple[Any, ...]) -> None:
    body, losses = write(request(items=items), model)
    assert all(message["role"] != "system" for message in body["messages"])
    assert "<system>\nrule\n</system>" in json.dumps(body["messages"]).replace("\\n", "\n")
    assert paths(losses) == {("input", "adapted")}


def test_a_system_message_never_comes_between_a_call_and_its_result() -> None:
    items = (
        user(),
        ToolCall("t1", "f", "{}"),
        Message("system", (Text("rule"),)),
        ToolResult("t1", (Text("r"),)),
    )
    for model in (OLD, NEW):
        body, _ = write(request(items=items, tools=(TOOL,)), model)
        last = body["messages"][-1]
        assert [block["type"] for block in last["content"]] == ["tool_result", "text"]


def test_parallel_results_stand_together_and_first() -> None:
    items = (
        user(),
        ToolCall("a", "f", "{}"),
        ToolCall("b", "f", '{"x":1}'),
        ToolResult("a", (Text("1"),)),
        user("by the way"),
        ToolResult("b", (Text("2"),), is_error=True),
    )
    body, losses = write(request(items=items, tools=(TOOL,)))
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {"x": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b", "content": "2", "is_error": True},
                {"type": "text", "text": "by the way"},
            ],
        },
    ]
    assert losses == []


def test_thinking_is_replayed_byte_for_byte_before_its_call() -> None:
    items = (
        user(),
        Reasoning((" exact\u2028text \n",), (), Sealed(ORIGIN, "signature", "sig+/=")),
        Reasoning((), (), native("messages", "redacted", "data==")),
        ToolCall("t", "f", "{}"),
        ToolResult("t", (Text("r"),)),
    )
    body, losses = write(request(items=items, tools=(TOOL,)))
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": " exact\u2028text \n", "signature": "sig+/="},
        {"type": "redacted_thinking", "data": "data=="},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    assert losses == []


def test_thinking_that_cannot_be_replayed_is_left_out_and_said() -> None:
    items = (
        user(),
        Reasoning(("of gemini",), (), Sealed("gemini/google", "next", "x")),
        Reasoning(("bare",), (), None),
        assistant(),
        Reasoning(("the end",), (), Sealed(ORIGIN, "signature", "s")),
        user("more"),
    )
    body, losses = write(request(items=items))
    assert "thinking" not in json.dumps(body)
    assert {loss.how for loss in losses} == {"dropped"}
    assert len(losses) == 3


def test_the_first_message_is_of_the_user_even_if_one_has_to_be_put_there() -> None:
    body, losses = write(request(items=(assistant(), user())))
    assert body["messages"][0] == {"role": "user", "content": [{"type": "text", "text": FIRST}]}
    assert paths(losses) == {("input", "adapted")}


def test_a_request_without_any_message_is_refused() -> None:
    for items in ((), (Message("system", (Text("x"),)),), (user("  \n"),)):
        with pytest.raises(BadRequest) as caught:
            write(request(items=items))
        assert caught.value.param == "input"


def test_prefill_goes_on_where_it_can() -> None:
    body, losses = write(request(items=(user(), assistant("The answer is "))))
    assert body["messages"][-1]["content"] == [{"type": "text", "text": "The answer is"}]
    assert paths(losses) == {("input", "adapted")}


@pytest.mark.parametrize(("model", "ask"), [(NEW, None), (OLD, ReasoningAsk(effort="low"))])
def test_elsewhere_the_model_is_asked_to_go_on(model: str, ask: ReasoningAsk | None) -> None:
    body, losses = write(request(items=(user(), assistant()), reasoning=ask), model)
    assert body["messages"][-1] == {
        "role": "user",
        "content": [{"type": "text", "text": CONTINUE}],
    }
    assert paths(losses) == {("input", "adapted")}


def test_a_paused_turn_goes_back_as_it_is() -> None:
    blocks = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
    ]
    item = Hosted(type="web_search_call", native=("messages", Raw(json.dumps(blocks).encode())))
    body, losses = write(request(items=(user(), item)), NEW)
    assert body["messages"][-1] == {"role": "assistant", "content": blocks}
    assert losses == []


def test_server_side_items_of_others_are_told_as_text() -> None:
    item = Hosted(type="web_search_call", input="cats", hits=(Hit("https://c", "Cats"),))
    body, losses = write(request(items=(user(), item, assistant("found"), user("ok"))))
    assert body["messages"][1]["content"][0] == {
        "type": "text",
        "text": "[web_search_call]\ncats\nCats https://c",
    }
    assert paths(losses) == {("input", "adapted")}


def test_a_folded_conversation_goes_back_to_its_maker_and_to_others_as_a_summary() -> None:
    block = {"type": "compaction", "content": "so far", "signature": "s"}
    kept = Compaction("so far", native("messages", "encrypted", json.dumps(block)))
    losses: list[Any] = []
    asked = request(items=(user(), kept, user("on")))
    body = json.loads(UPSTREAM.write(asked, upstream(NEW), losses))
    assert body["messages"][1] == {"role": "assistant", "content": [block]}
    assert losses == []
    assert betas(asked) == (COMPACT_BETA,)
    assert betas(request(items=(Compaction("so far"), user("on")))) == ()
    body, losses = write(request(items=(Compaction("so far"), user("on"))))
    assert body["messages"][0]["content"][0]["text"].endswith("so far")
    assert losses == []  # it says all that there is
