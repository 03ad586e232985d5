"""Hub requests as Responses bodies: valid for the SDK, stateless, honest about what is lost."""

import json
from typing import Any

import pytest
from msgspec import Raw, structs
from tests.unit.dialects.responses_upstream.requests_kit import (
    SCHEMA,
    STRICT,
    ask,
    at,
    body,
    inputs,
    user,
)

from portico.dialects.responses.maps import capabilities
from portico.dialects.responses.upstream import UPSTREAM
from portico.errors import BadRequest
from portico.model.items import (
    Message,
    ToolCall,
    ToolResult,
)
from portico.model.losses import Loss
from portico.model.parts import (
    File,
    Image,
    Source,
    Text,
)
from portico.model.request import OutputFormat, ReasoningAsk
from portico.model.tools import CustomTool, FunctionTool, HostedTool, ToolChoice, ToolRef


def tools(*given: Any, dialect: str = "chat", model: str = "gpt-5.4", **more: Any
          ) -> tuple[dict[str, Any], list[Loss]]:  # fmt: skip
    return body(ask(dialect=dialect, tools=given, **more), at(model))


def test_strict_is_always_said() -> None:
    for dialect, expected in (("chat", False), ("messages", False), ("responses", None)):
        written, _ = tools(FunctionTool(name="f", parameters=SCHEMA), dialect=dialect)
        assert written["tools"][0]["strict"] is expected
    written, _ = tools(FunctionTool(name="f", parameters=SCHEMA, strict=True))
    assert written["tools"][0]["strict"] is True


def test_tools_of_a_namespace_stand_together() -> None:
    written, losses = tools(
        FunctionTool(name="a", namespace="fs"), FunctionTool(name="x"),
        CustomTool(name="b", namespace="fs"), namespaces={"fs": "Files"},
    )  # fmt: skip
    assert [tool["type"] for tool in written["tools"]] == ["namespace", "function"]
    group = written["tools"][0]
    assert (group["name"], group["description"]) == ("fs", "Files")
    assert [(tool["type"], tool["name"]) for tool in group["tools"]] == [
        ("function", "a"),
        ("custom", "b"),
    ]
    assert losses == []


def test_calls_name_their_namespace() -> None:
    found, _ = inputs(ToolCall("c", "a", "{}", namespace="fs"), ToolResult("c", (Text("x"),)))
    assert found[0]["namespace"] == "fs"


def hosted(kind: str, dialect: str, raw: bytes, **more: Any) -> HostedTool:
    return HostedTool(kind=kind, native=(dialect, Raw(raw)), **more)


def test_hosted_tools_of_other_dialects() -> None:
    written, losses = tools(
        hosted("web_search", "messages", b'{"type":"web_search_20250305","name":"web_search"}',
               allowed_domains=("e.com",), blocked_domains=("x.com",),
               user_location=Raw(b'{"type":"approximate","city":"Berlin"}')),
        hosted("code_interpreter", "messages", b"{}"),
        hosted("image_generation", "chat", b"{}"),
        hosted("computer", "messages", b"{}"),
        hosted("mcp", "messages",
               b'{"type":"url","url":"https://mcp.e.com","name":"e","authorization_token":"T",'
               b'"tool_configuration":{"enabled":true,"allowed_tools":["a"]}}'),
        hosted("mcp", "messages", b'{"type":"mcp_toolset","mcp_server_name":"e"}'),
        dialect="messages",
    )  # fmt: skip
    assert written["tools"] == [
        {"type": "web_search", "filters": {"allowed_domains": ["e.com"]},
         "user_location": {"type": "approximate", "city": "Berlin"}},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
        {"type": "mcp", "server_label": "e", "server_url": "https://mcp.e.com",
         "require_approval": "never", "authorization": "T", "allowed_tools": ["a"]},
    ]  # fmt: skip
    assert [(loss.path, loss.how) for loss in losses] == [
        ("tools[0].blocked_domains", "dropped"),
        ("tools[3]", "dropped"),
        ("mcp_servers", "dropped"),
    ]
    assert written["include"] == [
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
    ]


@pytest.mark.parametrize(
    ("toolset", "allowed", "lost"),
    [
        ("{}", None, 0),
        ('{"default_config":{"enabled":false},"configs":{"a":{"enabled":true},"b":{}}}', ["a"], 0),
        ('{"configs":{"a":{"enabled":false}}}', None, 1),
    ],
)
def test_toolsets_of_remote_servers(toolset: str, allowed: list[str] | None, lost: int) -> None:
    raw = f'{{"type":"url","url":"https://m.e.com","name":"e","toolset":{toolset}}}'
    written, losses = tools(hosted("mcp", "messages", raw.encode()), dialect="messages")
    assert written["tools"][0].get("allowed_tools") == allowed
    assert len(losses) == lost


@pytest.mark.parametrize("more", ['"tool_configuration":{"enabled":false}',
                                  '"toolset":{"default_config":{"enabled":false}}'])  # fmt: skip
def test_a_remote_server_that_is_turned_off_is_not_offered(more: str) -> None:
    raw = f'{{"type":"url","url":"https://m.e.com","name":"e",{more}}}'
    written, losses = tools(hosted("mcp", "messages", raw.encode()), dialect="messages")
    assert "tools" not in written
    assert losses == []


def test_files_at_another_provider_are_refused() -> None:
    for part in (Image(Source("file_id", "file_1")), File(Source("file_id", "file_1"))):
        with pytest.raises(BadRequest) as caught:
            inputs(user("Look", part), dialect="messages")
        assert caught.value.param == "messages.content[1]"
        assert inputs(user(part), dialect="chat")[1] == []


def test_chat_search_options() -> None:
    written, _ = tools(
        hosted("web_search", "chat", b'{"search_context_size":"low"}',
               user_location=Raw(b'{"type":"approximate","approximate":{"city":"Rome"}}')),
    )  # fmt: skip
    assert written["tools"] == [
        {"type": "web_search", "search_context_size": "low",
         "user_location": {"type": "approximate", "city": "Rome"}}
    ]  # fmt: skip


def test_native_hosted_tools_are_sent_as_they_are() -> None:
    raw = b'{"type":"file_search","vector_store_ids":["vs_1"]}'
    written, _ = tools(hosted("file_search", "responses", raw), dialect="responses")
    assert written["tools"] == [json.loads(raw)]


def test_the_uses_of_the_only_hosted_tool_are_the_budget_of_all() -> None:
    search = hosted("web_search", "messages", b"{}", max_uses=3)
    written, losses = tools(search, FunctionTool(name="f"), dialect="messages")
    assert (written["max_tool_calls"], losses) == (3, [])
    written, losses = tools(search, hosted("code_interpreter", "messages", b"{}"))
    assert "max_tool_calls" not in written
    assert [loss.path for loss in losses] == ["tools[0].max_uses"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), None),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("tool", ToolRef("function", "f")), {"type": "function", "name": "f"}),
        (ToolChoice("tool", ToolRef("custom", "p")), {"type": "custom", "name": "p"}),
        (ToolChoice("tool", ToolRef("mcp", "e")), {"type": "mcp", "server_label": "e"}),
        (ToolChoice("tool", ToolRef("image_generation")), {"type": "image_generation"}),
        (ToolChoice("tool", ToolRef("web_search")),
         {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}),
        (ToolChoice("auto", None, (ToolRef("function", "f"), ToolRef("web_search"))),
         {"type": "allowed_tools", "mode": "auto",
          "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}),
        (ToolChoice("required", None, (ToolRef("function", "f"),)),
         {"type": "allowed_tools", "mode": "required",
          "tools": [{"type": "function", "name": "f"}]}),
    ],
)  # fmt: skip
def test_tool_choice_is_flat(choice: ToolChoice, expected: Any) -> None:
    written, _ = tools(FunctionTool(name="f"), CustomTool(name="p"), tool_choice=choice)
    assert written.get("tool_choice") == expected


def test_the_only_tool_is_forced_without_its_name() -> None:
    written, _ = tools(hosted("web_search", "messages", b"{}"),
                       tool_choice=ToolChoice("tool", ToolRef("web_search")))  # fmt: skip
    assert written["tool_choice"] == "required"


# Parameters


@pytest.mark.parametrize(
    ("budget", "model", "effort"),
    [
        (0, "gpt-5.4", "none"),
        (0, "gpt-5", "minimal"),
        (512, "gpt-5", "minimal"),
        (512, "gpt-5.4", "low"),
        (1024, "gpt-5.4", "low"),
        (4096, "o3", "medium"),
        (16_384, "o3", "high"),
        (31_999, "gpt-5.4", "high"),
        (60_000, "gpt-5.4", "xhigh"),
        (100_000, "gpt-5.4", "xhigh"),
        (100_000, "gpt-5.6", "max"),
        (100_000, "some-deployment", "max"),
    ],
)
def test_a_budget_becomes_the_nearest_effort(budget: int, model: str, effort: str) -> None:
    request = ask(dialect="messages", reasoning=ReasoningAsk(budget=budget))
    written, losses = body(request, at(model))
    assert written["reasoning"]["effort"] == effort
    assert losses == [Loss("thinking.budget_tokens", "adapted", f"sent as effort '{effort}'")]


def test_thinking_is_shown_to_clients_that_expect_it() -> None:
    def summary(dialect: str, **asked: Any) -> Any:
        return body(ask(dialect=dialect, reasoning=ReasoningAsk(**asked)))[0]["reasoning"].get(
            "summary"
        )

    assert summary("messages", effort="high") == "auto"
    assert summary("messages", effort="high", summary="none") is None
    assert summary("messages", effort="none") is None
    assert summary("messages", effort="low", summary="detailed") == "detailed"
    assert summary("chat", effort="high") is None


def test_sampling_is_sent_only_where_it_is_taken() -> None:
    request = ask(temperature=0.2, top_p=0.9, logprobs=True, top_logprobs=2)
    written, losses = body(request, at("gpt-4.1"))
    assert (written["temperature"], written["top_p"], written["top_logprobs"]) == (0.2, 0.9, 2)
    assert written["include"] == ["message.output_text.logprobs"]
    assert losses == []
    # gpt-5.4 does not reason unless asked to, gpt-5.6 does
    assert body(request, at("gpt-5.4"))[0]["temperature"] == 0.2
    for model, effort in (("gpt-5.4", "low"), ("gpt-5.6", None)):
        asked = structs.replace(request, reasoning=ReasoningAsk(effort=effort) if effort else None)  # type: ignore[arg-type]
        written, losses = body(asked, at(model))
        assert written.keys() & {"temperature", "top_p", "top_logprobs"} == set()
        assert [loss.path for loss in losses] == ["temperature", "top_p", "logprobs"]
    written, losses = body(ask(temperature=1.0), at("gpt-5.6"))
    assert "temperature" not in written
    assert losses == []
    assert capabilities("o3").parameters & {"temperature", "top_p", "logprobs"} == set()


def test_few_output_tokens_are_raised_and_declared() -> None:
    written, losses = body(ask(max_output_tokens=5))
    assert written["max_output_tokens"] == 16
    assert losses == [Loss("max_completion_tokens", "adapted", "the least is 16")]
    assert body(ask(max_output_tokens=16))[1] == []


def test_long_identities_are_hashed_and_declared() -> None:
    written, losses = body(ask(dialect="messages", user="u" * 65, safety_identifier="s" * 64))
    assert len(written["user"]) == 64
    assert written["user"] != "u" * 64
    assert written["safety_identifier"] == "s" * 64
    assert [(loss.path, loss.how) for loss in losses] == [("metadata.user_id", "adapted")]


def test_structured_output() -> None:
    def form(dialect: str, **given: Any) -> tuple[Any, list[Loss]]:
        written, losses = body(ask(dialect=dialect, format=OutputFormat(**given)))
        return written["text"]["format"], losses

    assert form("chat", kind="json_object") == ({"type": "json_object"}, [])
    found, losses = form("chat", kind="json_schema", name="n", schema=SCHEMA)
    assert (found["strict"], losses) == (False, [])
    found, losses = form("messages", kind="json_schema", schema=STRICT)
    assert (found["strict"], found["name"], losses) == (True, "answer", [])
    found, losses = form("messages", kind="json_schema", schema=SCHEMA)
    assert found["strict"] is False
    assert [(loss.path, loss.how) for loss in losses] == [("output_config.format", "adapted")]


def test_storing_at_the_provider_is_declined() -> None:
    assert body(ask(store=True))[0]["store"] is False


def test_proofs_are_asked_of_models_that_have_them() -> None:
    def asked(model: str, **more: Any) -> bool:
        written, _ = body(ask(**more), at(model))
        return "reasoning.encrypted_content" in written.get("include", [])

    assert asked("gpt-5")
    assert asked("o4-mini")
    assert asked("openai/gpt-5.1-codex")
    assert asked("grok-4")
    assert not asked("gpt-4.1")  # "Encrypted content is not supported with this model."
    assert not asked("my-deployment")
    assert asked("my-deployment", reasoning=ReasoningAsk(effort="low"))


def test_quirks() -> None:
    def quirk(name: str) -> dict[str, Any]:
        request = ask(Message("developer", (Text("D"),)), user("Hi"), instructions=(Text("I"),))
        return body(request, at(quirks=frozenset((name,))))[0]

    assert quirk("no_instructions")["input"][0] == {
        "type": "message", "role": "system", "content": "I",
    }  # fmt: skip
    assert "instructions" not in quirk("no_instructions")
    assert "include" not in quirk("no_include")
    assert "store" not in quirk("no_store")
    assert [item["role"] for item in quirk("system_role")["input"]] == ["system", "user"]
    assert [item["role"] for item in quirk("other")["input"]] == ["developer", "user"]


def test_what_chat_shares_with_this_api_is_passed_on() -> None:
    extras = {"prompt_cache_retention": Raw(b'"24h"'), "prediction": Raw(b"{}")}
    written, _ = body(ask(extras=extras))
    assert written["prompt_cache_retention"] == "24h"
    assert "prediction" not in written
    assert "prompt_cache_retention" not in body(ask(dialect="messages", extras=extras))[0]


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        ("gpt-5", "minimal low medium high"),
        ("gpt-5-mini-2025-08-07", "minimal low medium high"),
        ("gpt-5-pro", "high"),
        ("gpt-5-codex", "low medium high"),
        ("gpt-5.1", "none low medium high"),
        ("gpt-5.1-codex-mini", "low medium high"),
        ("gpt-5.1-codex-max", "low medium high xhigh"),
        ("gpt-5.2", "none low medium high xhigh"),
        ("gpt-5.2-pro", "medium high xhigh"),
        ("gpt-5.3-codex", "low medium high xhigh"),
        ("gpt-5.2-chat-latest", "medium"),
        ("gpt-5.6-terra", "none low medium high xhigh max"),
        ("o3-mini", "low medium high"),
        ("o3-deep-research", "medium"),
        ("openai/gpt-oss-20b", "low medium high"),
        ("gpt-4.1", ""),
        ("qwen3-32b", ""),
    ],
)
def test_efforts_by_family(model: str, efforts: str) -> None:
    assert " ".join(capabilities(model).efforts) == efforts


def test_families_differ_in_what_they_take() -> None:
    assert "effort" not in capabilities("ft:gpt-4.1-mini:org::1").parameters
    assert "effort" in capabilities("anything").parameters
    assert not capabilities("gpt-4-turbo").json_schema
    for name in ("stop", "seed", "choices", "logit_bias", "top_k", "presence_penalty"):
        assert name not in capabilities("gpt-5.4").parameters
    new, old = capabilities("gpt-5.4"), capabilities("llama-4")
    assert (new.custom_tools, new.namespaces, new.allowed_tools) == (True, True, True)
    assert (old.custom_tools, old.namespaces, old.allowed_tools) == (False, False, False)


def test_a_large_picture_is_written_once() -> None:
    data = "A" * (1 << 20)
    written = UPSTREAM.write(ask(user(Image(Source("base64", data, "image/png")))), at(), [])
    assert written.count(data.encode()) == 1
