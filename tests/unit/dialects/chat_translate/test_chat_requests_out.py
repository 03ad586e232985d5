"""What chat servers are asked, and where each of them differs."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter
from tests.unit.dialects.chat_translate.chat_kit import ORIGIN, upstream, write

from portico.dialects.chat import maps
from portico.errors import BadRequest
from portico.model.items import (
    Compaction,
    Hosted,
    Item,
    Message,
    Reasoning,
    Role,
    ToolCall,
    ToolResult,
)
from portico.model.losses import Losses
from portico.model.parts import Audio, CacheMark, File, Image, Refusal, Source, Text, Video
from portico.model.passes.fit import fit
from portico.model.request import GenerateRequest, OutputFormat, ReasoningAsk
from portico.model.sealed import Sealed
from portico.model.tools import CustomTool, FunctionTool, HostedTool, ToolChoice, ToolRef
from portico.providers.table import PROVIDERS

BODY: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
STREAMED: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsStreaming)


def say(role: Role, *texts: str) -> Message:
    return Message(role, tuple([Text(text) for text in texts]))


def request(*items: Item, **members: Any) -> GenerateRequest:
    members.setdefault("dialect", "responses")
    return GenerateRequest(model="alias", items=items or (say("user", "Hi"),), **members)


def messages(
    *items: Item, kind: str = "openAI", model: str = "m", losses: Losses | None = None
) -> list[Any]:
    found: list[Any] = write(request(*items), upstream(kind, model), losses)["messages"]
    return found


def test_a_whole_body_is_what_the_sdk_would_send() -> None:
    body = write(
        request(
            say("system", "S"),
            say("developer", "D"),
            say("user", "One", "two"),
            say("assistant", "Sure."),
            ToolCall("a", "f", '{"x":1}'),
            ToolCall("b", "g", "1+1", "custom"),
            ToolResult("a", (Text("1"),)),
            ToolResult("b", (Text("2"), Text("3")), "custom"),
            Message("assistant", (Refusal("No."),)),
            dialect="chat",
            stream=True,
            instructions=(Text("Be brief."),),
            tools=(
                FunctionTool(
                    name="f", description="d", parameters=Raw(b'{"type":"object"}'), strict=True
                ),
                CustomTool(
                    name="g",
                    format=Raw(b'{"type":"grammar","syntax":"lark","definition":"start: A"}'),
                ),
            ),
            tool_choice=ToolChoice("auto", None, (ToolRef("function", "f"),)),
            parallel_tool_calls=True,
            max_output_tokens=9,
            temperature=0.5,
            top_p=0.9,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            stop=("a", "b"),
            seed=7,
            logit_bias=Raw(b'{"1":2}'),
            logprobs=True,
            top_logprobs=2,
            reasoning=ReasoningAsk(effort="high"),
            format=OutputFormat(
                kind="json_schema", name="n", schema=Raw(b'{"type":"object"}'), strict=True
            ),
            verbosity="low",
            metadata={"k": "v"},
            store=True,
            user="u",
            safety_identifier="s",
            prompt_cache_key="p",
            service_tier="flex",
        )
    )
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "S"},
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [{"type": "text", "text": "One"},
                                         {"type": "text", "text": "two"}]},
            {
                "role": "assistant",
                "content": "Sure.",
                "tool_calls": [
                    {"id": "a", "type": "function",
                     "function": {"name": "f", "arguments": '{"x":1}'}},
                    {"id": "b", "type": "custom", "custom": {"name": "g", "input": "1+1"}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b",
             "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}]},
            {"role": "assistant", "content": None, "refusal": "No."},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"1": 2},
        "verbosity": "low",
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "p",
        "service_tier": "flex",
        "stop": ["a", "b"],
        "seed": 7,
        "logprobs": True,
        "top_logprobs": 2,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d",
                                              "parameters": {"type": "object"}, "strict": True}},
            {"type": "custom", "custom": {"name": "g", "format": {
                "type": "grammar", "grammar": {"definition": "start: A", "syntax": "lark"}}}},
        ],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
        "parallel_tool_calls": True,
        "reasoning_effort": "high",
        "store": True,
        "metadata": {"k": "v"},
    }  # fmt: skip
    STREAMED.validate_python(body)


def test_content_of_every_kind_has_a_form() -> None:
    parts = (
        Text("Look"),
        Image(Source("base64", "AAAA", "image/png")),
        Image(Source("url", "http://a"), "low"),
        Audio("AAAA", "wav"),
        File(Source("base64", "JVBE", "application/pdf"), "a.pdf"),
        File(Source("base64", "JVBE", "application/pdf")),
        File(Source("file_id", "file-1")),
        File(Source("text", "a,b", "text/csv"), "a.csv"),
    )
    body = write(request(Message("user", parts)))
    content = body["messages"][0]["content"]
    csv = base64.b64encode(b"a,b").decode()
    assert content == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "http://a", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file",
         "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "file",
         "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"filename": "a.csv", "file_data": f"data:text/csv;base64,{csv}"}},
    ]  # fmt: skip
    BODY.validate_python(body)
    video = Message("user", (Video(Source("url", "http://v")),))
    assert messages(video, kind="vllm")[0]["content"] == [
        {"type": "video_url", "video_url": {"url": "http://v"}}
    ]


def test_a_picture_in_a_file_store_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        messages(say("user", "x"), Message("user", (Image(Source("file_id", "f")),)))
    assert caught.value.param == "input[1].content[0]"


def test_each_step_of_a_tool_loop_is_a_message_with_its_results_behind_it() -> None:
    got = messages(
        say("user", "Hi"),
        ToolCall("a", "f", "{}"),
        ToolResult("a", (Text("1"),)),
        Reasoning(content=("Hm",)),
        ToolCall("b", "f", "{}"),
        ToolCall("c", "f", "{}"),
        ToolResult("c", (Text("3"),)),
        ToolResult("b", (Text("2"),)),
        say("assistant", "Done."),
    )
    told = [
        (each["role"], each.get("tool_call_id") or [c["id"] for c in each.get("tool_calls", [])])
        for each in got
    ]
    assert told == [
        ("user", []),
        ("assistant", ["a"]), ("tool", "a"),
        ("assistant", ["b", "c"]), ("tool", "b"), ("tool", "c"),
        ("assistant", []),
    ]  # fmt: skip


def test_text_after_a_call_keeps_its_place_in_a_message_of_its_own() -> None:
    got = messages(
        say("assistant", "One."),
        ToolCall("a", "f", "{}"),
        say("assistant", "Two."),
        ToolCall("b", "f", "{}"),
        ToolResult("a", (Text("1"),)),
        ToolResult("b", (Text("2"),)),
    )
    assert [(each["role"], each["content"]) for each in got] == [
        ("assistant", "One."), ("tool", "1"), ("assistant", "Two."), ("tool", "2"),
    ]  # fmt: skip


def test_results_move_up_to_their_calls_and_ids_may_come_again() -> None:
    got = messages(
        ToolCall("a", "f", "{}"),
        say("user", "wait"),
        ToolResult("a", (Text("1"),)),
        ToolCall("a", "f", "{}"),
        ToolResult("a", (Text("2"),)),
        ToolResult("stray", (Text("3"),)),
    )
    assert [(each["role"], each["content"]) for each in got] == [
        ("assistant", None), ("tool", "1"), ("user", "wait"), ("assistant", None), ("tool", "2"),
        ("tool", "3"),
    ]  # fmt: skip


def test_hosted_items_are_restated_or_declared() -> None:
    losses: Losses = []
    got = messages(
        say("user", "Hi"),
        Hosted(type="web_search_call", input="weather"),
        Hosted(type="computer_call"),
        Compaction(text="Earlier: x"),
        Compaction(),
        losses=losses,
    )
    assert got[1] == {"role": "assistant", "content": "[web_search_call]\nweather"}
    assert got[2] == {"role": "user", "content": "Earlier: x"}
    assert [(each.path, each.how) for each in losses] == [
        ("input[1]", "adapted"), ("input[2]", "dropped"), ("input[3]", "adapted"),
        ("input[4]", "dropped"),
    ]  # fmt: skip


def loop(*reasoning: Reasoning) -> list[Item]:
    return [
        say("user", "Hi"),
        *reasoning,
        ToolCall("a", "f", "{}"),
        ToolResult("a", (Text("1"),)),
        Reasoning(content=("Then",)),
        say("assistant", "Done."),
        say("user", "More"),
        Reasoning(content=("Easy",)),
        say("assistant", "Yes."),
        say("user", "Go on"),
    ]


def reasoned(kind: str, *reasoning: Reasoning, model: str = "m") -> list[Any]:
    got = messages(*loop(*reasoning), kind=kind, model=model)
    return [each.get("reasoning_content") for each in got if each["role"] == "assistant"]


def test_deepseek_gets_its_reasoning_back_in_tool_loops_only() -> None:
    assert reasoned("deepseek", Reasoning(content=("First",))) == ["First", "Then", None]
    assert reasoned("deepseek") == [" ", "Then", None]


def test_moonshot_gets_all_of_it_back() -> None:
    first = Reasoning(content=("First",))
    assert reasoned("moonshot", first, model="kimi-k2.6") == ["First", "Then", "Easy"]
    assert reasoned("moonshot", first, model="moonshot-v1-8k") == [None, None, None]


def test_others_get_none_and_it_is_declared() -> None:
    losses: Losses = []
    got = messages(
        Reasoning(sealed=Sealed("native:chat", "details", "{}")), say("assistant", "x"),
        losses=losses,
    )  # fmt: skip
    assert got == [{"role": "assistant", "content": "x"}]
    assert [(each.path, each.how) for each in losses] == [("input[0]", "dropped")]


def test_openrouter_gets_its_details_back_as_they_were() -> None:
    element = '{"type":"reasoning.text", "text":"Hm","signature":"s"}'
    items = (
        Reasoning(content=("Hm",), sealed=Sealed(ORIGIN, "details", element)),
        Reasoning(content=("Plain",)),
        ToolCall("a", "f", "{}"),
        Reasoning(sealed=Sealed(ORIGIN, "details", '{"type":"reasoning.encrypted"}')),
        ToolCall("b", "f", "{}"),
    )
    from portico.dialects.chat.upstream import UPSTREAM

    body = UPSTREAM.write(request(*items), upstream("openrouter"), [])
    assert element.encode() in body
    (message,) = json.loads(body)["messages"]
    assert message["reasoning_details"] == [
        json.loads(element),
        {"type": "reasoning.text", "text": "Plain"},
        {"type": "reasoning.encrypted"},
    ]
    assert len(message["tool_calls"]) == 2


def test_mistral_gets_thinking_parts_and_a_prefix() -> None:
    got = messages(Reasoning(content=("Hm",)), say("assistant", "Yes, "), kind="mistral")
    assert got == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                {"type": "text", "text": "Yes, "},
            ],
            "prefix": True,
        }
    ]


def test_geminis_signatures_go_back_on_their_calls() -> None:
    def signatures(model: str, *items: Item) -> list[Any]:
        (message,) = messages(*items, kind="gemini", model=model)
        return [each.get("extra_content") for each in message["tool_calls"]]

    signed = Reasoning(sealed=Sealed(ORIGIN, "next", "c2ln"))
    calls = (ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}"))
    told = {"google": {"thought_signature": "c2ln"}}
    assert signatures("gemini-3-pro", signed, *calls) == [told, None]
    assert signatures("gemini-2.5-pro", *calls) == [None, None]
    dummy = {"google": {"thought_signature": "skip_thought_signature_validator"}}
    assert signatures("gemini-3-pro", *calls) == [dummy, None]


@pytest.mark.parametrize(
    ("kind", "model", "ask", "members"),
    [
        ("openAI", "gpt-5", ReasoningAsk(effort="minimal"), {"reasoning_effort": "minimal"}),
        ("openrouter", "x", ReasoningAsk(effort="low"), {"reasoning": {"effort": "low"}}),
        ("openrouter", "x", ReasoningAsk(budget=2000), {"reasoning": {"max_tokens": 2000}}),
        ("openrouter", "x", ReasoningAsk(effort="low", summary="none"),
         {"reasoning": {"effort": "low", "exclude": True}}),
        ("deepseek", "x", ReasoningAsk(effort="none"), {"thinking": {"type": "disabled"}}),
        ("deepseek", "x", ReasoningAsk(effort="max"), {"reasoning_effort": "max"}),
        ("groq", "qwen3-32b", ReasoningAsk(effort="high"), {"reasoning_effort": "default"}),
        ("vllm", "x", ReasoningAsk(budget=3000), {"reasoning_effort": "low"}),
        ("mistral", "small-latest", ReasoningAsk(budget=3000), {"reasoning_effort": "high"}),
    ],
)  # fmt: skip
def test_effort_is_said_in_the_servers_words(
    kind: str, model: str, ask: ReasoningAsk, members: dict[str, Any]
) -> None:
    body = write(request(reasoning=ask), upstream(kind, model))
    assert {name: body[name] for name in body if name not in ("model", "messages")} == members


@pytest.mark.parametrize(
    ("kind", "members", "expected"),
    [
        ("mistral", {"seed": 7, "stream": True, "max_output_tokens": 5},
         {"random_seed": 7, "stream": True, "max_tokens": 5}),
        ("groq", {"max_output_tokens": 5}, {"max_completion_tokens": 5}),
        ("vllm", {"top_k": 5}, {"top_k": 5}),
    ],
)  # fmt: skip
def test_parameters_have_the_servers_names(
    kind: str, members: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = write(request(**members), upstream(kind))
    assert {name: body[name] for name in body if name not in ("model", "messages")} == expected


def test_servers_without_a_developer_role_get_system() -> None:
    assert messages(say("developer", "D"), kind="groq")[0]["role"] == "system"
    assert messages(say("developer", "D"), kind="vllm")[0]["role"] == "developer"


def test_functions_without_parameters_and_strict_depend_on_the_server() -> None:
    tools = (FunctionTool(name="f", strict=True),)
    assert write(request(tools=tools))["tools"] == [
        {"type": "function", "function": {"name": "f", "strict": True}}
    ]
    assert write(request(tools=tools), upstream("together"))["tools"][0]["function"] == {
        "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True,
    }  # fmt: skip
    assert "strict" not in str(write(request(tools=tools), upstream("togetherai"))["tools"])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), None),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("tool", ToolRef("function", "f")),
         {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("tool", ToolRef("custom", "g")), {"type": "custom", "custom": {"name": "g"}}),
        (ToolChoice("required", None, (ToolRef("custom", "g"),)),
         {"type": "allowed_tools", "allowed_tools": {
             "mode": "required", "tools": [{"type": "custom", "custom": {"name": "g"}}]}}),
    ],
)  # fmt: skip
def test_tool_choice_is_nested(choice: ToolChoice, expected: Any) -> None:
    body = write(request(tools=(FunctionTool(name="f"),), tool_choice=choice))
    assert body.get("tool_choice") == expected


def test_searching_has_a_form_where_there_is_one() -> None:
    native = (
        "responses",
        Raw(
            b'{"type":"web_search","search_context_size":"low",'
            b'"filters":{"allowed_domains":["a.com"]}}'
        ),
    )
    tool = HostedTool(
        kind="web_search",
        native=native,
        allowed_domains=("a.com",),
        user_location=Raw(b'{"type":"approximate","city":"Ulm"}'),
    )
    losses: Losses = []
    body = write(request(tools=(tool,)), upstream("openAI", "gpt-5-search-api"), losses)
    assert body["web_search_options"] == {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"city": "Ulm"}},
    }
    assert "tools" not in body
    BODY.validate_python(body)
    assert [loss.path for loss in losses] == ["tools[0].filters"]
    routed = write(request(tools=(tool,)), upstream("openrouter"))
    assert routed["plugins"] == [{"id": "web", "include_domains": ["a.com"]}]


def test_metadata_goes_out_with_store_only() -> None:
    losses: Losses = []
    body = write(request(metadata={"k": "v"}, store=True), losses=losses)
    assert "metadata" not in body
    assert "store" not in body
    assert [each.path for each in losses] == ["metadata"]


def test_sampling_depends_on_thinking_for_models_that_say_so() -> None:
    def sampled(model: str, effort: Any) -> tuple[bool, int]:
        losses: Losses = []
        ask = ReasoningAsk(effort=effort) if effort else None
        body = write(request(temperature=0.2, reasoning=ask), upstream("openAI", model), losses)
        return "temperature" in body, len(losses)

    assert sampled("gpt-5.1", None) == (True, 0)
    assert sampled("gpt-5.1", "none") == (True, 0)
    assert sampled("gpt-5.1", "low") == (False, 1)
    assert sampled("gpt-5.6", None) == (False, 1)


def test_cache_marks_go_to_servers_that_take_them() -> None:
    items = (
        Message("system", (Text("S", cache=CacheMark("1h")),)),
        Message("user", (Text("a", cache=CacheMark()), Text("b"))),
    )
    got = messages(*items, kind="openrouter")
    assert got[0]["content"] == [
        {"type": "text", "text": "S", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    assert got[1]["content"][0]["cache_control"] == {"type": "ephemeral"}
    losses: Losses = []
    assert "cache_control" not in str(messages(*items, losses=losses))
    assert losses == []
    body = write(
        request(say("system", "S"), say("user", "x"), caching=True), upstream("openrouter")
    )
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert body["messages"][1]["content"] == "x"


def test_perplexity_sees_alternating_roles() -> None:
    picture = Message("user", (Image(Source("url", "http://a")),))
    got = messages(say("user", "One"), say("user", "two"), picture, kind="perplexity")
    assert got == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "One\n\ntwo"},
                {"type": "image_url", "image_url": {"url": "http://a"}},
            ],
        }
    ]


def test_cache_settings_of_responses_clients_mean_the_same_at_openai() -> None:
    extras = {"prompt_cache_retention": Raw(b'"24h"'), "other": Raw(b"1")}
    assert write(request(extras=extras))["prompt_cache_retention"] == "24h"
    assert "prompt_cache_retention" not in write(request(extras=extras), upstream("groq"))
    assert "other" not in write(request(extras=extras))


@pytest.mark.parametrize("name", sorted(maps.NAMED))
def test_a_named_quirk_changes_something_somewhere(name: str) -> None:
    changed = [
        kind
        for kind in maps.providers()
        if maps.quirks_for(kind, "m", frozenset((name,))) != maps.quirks_for(kind, "m")
    ]
    assert changed


def test_every_chat_provider_has_a_row_with_its_page() -> None:
    spoken = {kind for kind, row in PROVIDERS.items() if "completions" in row.formats}
    assert spoken - set(maps.providers()) == set()
    for kind in maps.providers():
        assert maps.source(kind).startswith("https://")


def test_more_than_one_choice_is_refused_for_the_hub_has_one_answer() -> None:
    for kind in maps.providers():
        with pytest.raises(BadRequest):
            fit(request(choices=2), upstream(kind).capabilities, frozenset(), [])


@pytest.mark.parametrize("kind", maps.providers())
def test_a_request_fitted_to_any_provider_can_be_written(kind: str) -> None:
    asked = request(
        say("system", "S"),
        say("user", "Hi"),
        Reasoning(content=("Hm",), sealed=Sealed("elsewhere", "signature", "s")),
        say("assistant", "Sure."),
        ToolCall("call_1234567890", "f", "{}"),
        ToolResult("call_1234567890", (Text("1"),)),
        stream=True,
        tools=(FunctionTool(name="f"), CustomTool(name="g"),
               HostedTool(kind="web_search", native=("responses", Raw(b"{}")))),
        temperature=0.3, top_p=0.5, stop=("x",), seed=3, max_output_tokens=10,
        reasoning=ReasoningAsk(effort="medium"), format=OutputFormat(kind="json_object"),
        metadata={"a": "b"},
    )  # fmt: skip
    target = upstream(kind, "some-model")
    losses: Losses = []
    fitted = fit(asked, target.capabilities, frozenset((ORIGIN, "native:chat")), losses)
    body = write(fitted.request, target, losses)
    assert [each["role"] for each in body["messages"]][:2] == ["system", "user"]
    (calls,) = [each["tool_calls"] for each in body["messages"] if "tool_calls" in each]
    results = [each for each in body["messages"] if each["role"] == "tool"]
    assert calls[0]["id"] == results[0]["tool_call_id"]
    assert body["model"] == "some-model"


def test_a_mebibyte_of_pictures_is_written_within_its_budget(
    quickest: Callable[[Callable[[], object]], float],
) -> None:
    picture = Image(Source("base64", "QUFB" * 262_144, "image/png"))
    asked = request(Message("user", (Text("Look"), picture)))
    from portico.dialects.chat.upstream import UPSTREAM

    target = upstream()
    assert quickest(lambda: UPSTREAM.write(asked, target, [])) < 0.010


@pytest.fixture
def quickest() -> Callable[[Callable[[], object]], float]:
    from timeit import repeat

    return lambda work: min(repeat(work, number=1, repeat=5))
