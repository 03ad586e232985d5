"""Hub requests as Responses bodies: valid for the SDK, stateless, honest about what is lost."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec import Raw, structs
from openai.types.responses import ResponseCreateParams
from pydantic import TypeAdapter, ValidationError

from portico.dialects.responses.maps import capabilities
from portico.dialects.responses.upstream import UPSTREAM
from portico.dialects.translate import Upstream
from portico.errors import BadRequest
from portico.model.items import (
    Compaction,
    Hit,
    Hosted,
    Item,
    Message,
    Reasoning,
    ToolCall,
    ToolResult,
)
from portico.model.losses import Loss, Losses
from portico.model.parts import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Refusal,
    Source,
    Text,
    Video,
)
from portico.model.passes.fit import fit
from portico.model.request import GenerateRequest, OutputFormat, ReasoningAsk
from portico.model.sealed import Sealed, native
from portico.model.tools import CustomTool, FunctionTool, HostedTool, ToolChoice, ToolRef

_PARAMS: TypeAdapter[Any] = TypeAdapter(ResponseCreateParams)
SCHEMA = Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')
STRICT = Raw(
    b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],'
    b'"additionalProperties":false}'
)


def check(written: dict[str, Any]) -> None:
    """Raise unless the SDK's types take it. They check arrays only as these are read."""
    _read(_PARAMS.validate_python(written))


def _read(value: Any) -> None:
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, str) or not isinstance(value, Iterable):
        return
    for part in value:
        _read(part)


def at(model: str = "gpt-5.4", **more: Any) -> Upstream:
    return Upstream(
        model=model, provider="openai", origin="openai-1", capabilities=capabilities(model), **more
    )


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def said(text: str) -> Message:
    return Message("assistant", (Text(text),))


def ask(*items: Item, dialect: str = "chat", **more: Any) -> GenerateRequest:
    return GenerateRequest(model="alias", dialect=dialect, items=items or (user("Hi"),), **more)


def body(
    request: GenerateRequest, upstream: Upstream | None = None, *, valid: bool = True
) -> tuple[dict[str, Any], list[Loss]]:
    losses: Losses = []
    written = json.loads(UPSTREAM.write(request, upstream or at(), losses))
    if valid:
        check(written)
    return written, losses


def inputs(*items: Item, dialect: str = "chat", upstream: Upstream | None = None,
           valid: bool = True) -> tuple[list[dict[str, Any]], list[Loss]]:  # fmt: skip
    written, losses = body(ask(*items, dialect=dialect), upstream, valid=valid)
    return written["input"], losses


def test_the_check_finds_what_is_wrong_deep_inside() -> None:
    written, _ = body(ask(tools=(FunctionTool(name="f"),)))
    for change in (
        {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": "yes!"}]},
        {"input": [{"type": "message", "role": "user", "content": [{"type": "output_text"}]}]},
        {"store": "no!"},
    ):
        with pytest.raises(ValidationError):
            check({**written, **change})


def test_the_smallest_request() -> None:
    written, losses = body(ask())
    assert written == {
        "model": "gpt-5.4",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert losses == []


def test_everything_at_once_is_valid_and_loses_nothing() -> None:
    request = ask(
        Message("developer", (Text("Be brief."),)),
        user("Look", Image(Source("url", "https://example.com/a.png"), "high"),
             Image(Source("base64", "iVBORw0KGgo=", "image/png")),
             Image(Source("file_id", "file-7")),
             File(Source("base64", "JVBERi0=", "application/pdf"), "a.pdf"),
             File(Source("url", "https://example.com/a.pdf")),
             File(Source("file_id", "file-8"))),
        Reasoning(("Why",), (), Sealed("openai-1", "encrypted", "gAAA")),
        ToolCall("call_1", "f", '{"a":"x"}'),
        ToolCall("call_2", "patch", "raw text", "custom"),
        ToolResult("call_1", (Text("one"),)),
        ToolResult("call_2", (Text("two"), Image(Source("base64", "iVBORw0KGgo=", "image/png"))),
                   "custom"),
        said("Done."),
        user("More"),
        instructions=(Text("You are kind."), Text("And exact.")),
        stream=True,
        tools=(
            FunctionTool(name="f", description="F", parameters=SCHEMA, strict=True),
            FunctionTool(name="g"),
            CustomTool(name="patch", description="P",
                       format=Raw(b'{"type":"grammar","syntax":"lark","definition":"start: /a/"}')),
        ),
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        max_output_tokens=4096,
        reasoning=ReasoningAsk(effort="high", summary="detailed"),
        format=OutputFormat(kind="json_schema", name="n", schema=SCHEMA, strict=True,
                            description="D"),
        verbosity="low",
        metadata={"k": "v"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="c",
        service_tier="flex",
        truncation="auto",
        max_tool_calls=3,
    )  # fmt: skip
    fitted = fit(request, at().capabilities, frozenset(("openai-1",)), []).request
    assert fitted.items == request.items
    assert fitted.tools == request.tools
    written, losses = body(fitted, valid=False)
    assert losses == []
    assert "id" not in written["input"][2]  # the proof is tied to an id that nobody has
    written["input"][2]["id"] = "rs_1"  # which the SDK's type wants nevertheless
    check(written)
    assert written["instructions"] == "You are kind.\n\nAnd exact."
    assert written["reasoning"] == {"effort": "high", "summary": "detailed"}
    assert written["text"] == {
        "format": {"type": "json_schema", "name": "n", "description": "D",
                   "schema": json.loads(bytes(SCHEMA)), "strict": True},
        "verbosity": "low",
    }  # fmt: skip
    assert [item.get("type") for item in written["input"]] == [
        "message", "message", "reasoning", "function_call", "custom_tool_call",
        "function_call_output", "custom_tool_call_output", "message", "message",
    ]  # fmt: skip
    assert written["input"][1]["content"] == [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "detail": "high", "image_url": "https://example.com/a.png"},
        {"type": "input_image", "detail": "auto",
         "image_url": "data:image/png;base64,iVBORw0KGgo="},
        {"type": "input_image", "detail": "auto", "file_id": "file-7"},
        {"type": "input_file", "filename": "a.pdf",
         "file_data": "data:application/pdf;base64,JVBERi0="},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_file", "file_id": "file-8"},
    ]  # fmt: skip
    for name in ("stream", "parallel_tool_calls", "max_output_tokens", "user", "safety_identifier",
                 "prompt_cache_key", "service_tier", "truncation", "max_tool_calls",
                 "metadata"):  # fmt: skip
        assert written[name] == getattr(request, name)


# Items


def test_reasoning_is_replayed_with_its_proof_and_nothing_else_of_ours() -> None:
    proof = Sealed("openai-1", "encrypted", "gAAA+/==")
    (_, thought, answer), losses = inputs(
        user("Hi"), Reasoning(("A", "B"), ("raw",), proof, id="rs_gateway"), said("Yes"),
        valid=False,
    )  # fmt: skip
    assert thought == {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "A"}, {"type": "summary_text", "text": "B"}],
        "encrypted_content": "gAAA+/==",
    }
    assert answer == {"type": "message", "role": "assistant", "content": "Yes"}
    assert losses == []


def test_a_proof_the_client_brought_keeps_the_id_it_is_tied_to() -> None:
    proof = native("responses", "encrypted", "gAAA")
    (thought, _), _ = inputs(Reasoning(sealed=proof, id="rs_own"), said("Yes"))
    assert (thought["id"], thought["summary"]) == ("rs_own", [])


def test_reasoning_without_proof_is_told_as_text() -> None:
    (thought, _), _ = inputs(Reasoning((), ("raw",)), said("Yes"), upstream=at("gpt-oss-120b"))
    assert thought == {
        "type": "reasoning",
        "id": "rs_0",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "raw"}],
    }


@pytest.mark.parametrize("after", [(), (user("And?"),)])
def test_reasoning_that_led_to_nothing_is_left_out_and_declared(after: tuple[Item, ...]) -> None:
    proof = Sealed("openai-1", "encrypted", "gAAA")
    found, losses = inputs(user("Hi"), Reasoning(sealed=proof), Reasoning(sealed=proof), *after)
    assert len(found) == 1 + len(after)
    assert [(loss.path, loss.how) for loss in losses] == [("messages", "dropped")] * 2


def test_a_proof_of_another_api_is_left_out_and_declared() -> None:
    found, losses = inputs(Reasoning(sealed=Sealed("openai-1", "details", "{}")), said("Yes"))
    assert len(found) == 1
    assert losses[0].how == "dropped"


def test_typed_assistant_parts_have_the_long_form() -> None:
    cited = Text("See", (Citation(kind="url", url="https://e.com", title="E", start=0, end=3),
                         Citation(kind="url", url="https://e.com/no-place")))  # fmt: skip
    (_, answer), losses = inputs(
        user("Hi"),
        Message("assistant", (cited, Refusal("No")), status="incomplete", phase="final_answer"),
    )
    assert answer == {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "status": "incomplete",
        "phase": "final_answer",
        "content": [
            {"type": "output_text", "text": "See", "annotations": [
                {"type": "url_citation", "url": "https://e.com", "title": "E",
                 "start_index": 0, "end_index": 3}]},
            {"type": "refusal", "refusal": "No"},
        ],
    }  # fmt: skip
    assert losses == []


def test_a_picture_the_assistant_said_cannot_be_replayed() -> None:
    picture = Image(Source("base64", "iVBORw0KGgo=", "image/png"))
    found, losses = inputs(Message("assistant", (picture,)), user("Hi"))
    assert len(found) == 1
    assert losses == [
        Loss("messages.content[0]", "dropped", "an assistant message can hold text only")
    ]


def test_a_failed_tool_is_told_in_words() -> None:
    found, losses = inputs(
        ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}"), ToolCall("c3", "f", "{}"),
        ToolResult("c1", (Text("No such file"),), is_error=True),
        ToolResult("c2", (Image(Source("file_id", "file-1")),), is_error=True),
        ToolResult("c3", (), is_error=False),
        dialect="responses",
    )  # fmt: skip
    assert [item["output"] for item in found[3:]] == [
        "Error: No such file",
        [{"type": "input_text", "text": "Error"},
         {"type": "input_image", "detail": "auto", "file_id": "file-1"}],
        "",
    ]  # fmt: skip
    assert [(loss.path, loss.how) for loss in losses] == [
        ("input[3].is_error", "adapted"),
        ("input[4].is_error", "adapted"),
    ]


def test_several_texts_of_a_tool_stay_apart_unless_the_server_takes_one_string() -> None:
    items = (ToolCall("c", "f", "{}"), ToolResult("c", (Text("a"), Text("b"))))
    found, _ = inputs(*items)
    assert [part["text"] for part in found[1]["output"]] == ["a", "b"]
    found, _ = inputs(*items, upstream=at(quirks=frozenset(("text_results",))))
    assert found[1]["output"] == "a\nb"


def test_text_files_are_readable_and_what_stands_beside_a_file_is_kept() -> None:
    file = File(Source("text", "a,b"), "t.csv", context="About t.", citations=True)
    (message,), losses = inputs(user(file), dialect="messages")
    assert message["content"] == [
        {"type": "input_text", "text": "About t."},
        {"type": "input_text", "text": "t.csv:\na,b"},
    ]
    assert [loss.how for loss in losses] == ["dropped", "adapted", "adapted"]


def test_a_nameless_file_gets_a_name_with_its_type() -> None:
    (message,), _ = inputs(user(File(Source("base64", "JVBERi0=", "application/pdf"))))
    assert message["content"][0]["filename"] == "file.pdf"


def test_sound_and_film_for_servers_that_take_them() -> None:
    (message,), _ = inputs(
        user(Audio("UklGRg==", "wav"), Video(Source("url", "https://example.com/a.mp4"))),
        valid=False,
    )
    assert message["content"] == [
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "input_video", "video_url": "https://example.com/a.mp4"},
    ]


def test_names_of_speakers_are_declared_lost() -> None:
    _, losses = inputs(Message("user", (Text("Hi"),), name="ann"))
    assert losses == [Loss("messages.name", "dropped", "messages have no names in this API")]


SEARCH = (
    b'{"type":"web_search_call","id":"ws_1","status":"completed",'
    b'"action":{"type":"search","query":"q"}}'
)


def test_native_hosted_items_are_replayed_whole() -> None:
    found, losses = inputs(
        Hosted(type="web_search_call", native=("responses", Raw(SEARCH))),
        Hosted(type="web_search_call", native=("responses", Raw(b"[%b,%b]" % (SEARCH, SEARCH)))),
        said("Yes"),
    )
    assert found[:3] == [json.loads(SEARCH)] * 3
    assert losses == []


def test_other_hosted_items_are_told_in_words() -> None:
    found, losses = inputs(
        Hosted(type="web_search_call", input="q", hits=(Hit("https://e.com", "E", "text"),),
               native=("messages", Raw(b"{}"))),
        Hosted(type="acme:x", input="i", output="o",
               native=("responses", Raw(b'{"type":"acme:x"}'))),
        Hosted(type="mystery"),
        user("Go on"),
        dialect="messages",
    )  # fmt: skip
    assert [item["content"] for item in found] == [
        "[Web search: q]\n\nE\nhttps://e.com\ntext",
        "[acme:x: i]\n\no",
        "Go on",
    ]
    assert [loss.how for loss in losses] == ["adapted", "adapted", "dropped"]


def test_compactions() -> None:
    found, losses = inputs(
        Compaction(sealed=Sealed("openai-1", "encrypted", "cmp")),
        Compaction("They met.", Sealed("other", "encrypted", "x")),
        Compaction(sealed=Sealed("other", "encrypted", "x")),
        user("Go on"),
    )
    assert found[0] == {"type": "compaction", "encrypted_content": "cmp"}
    assert found[1]["content"] == "Summary of the conversation so far:\nThey met."
    assert len(found) == 3
    assert [loss.how for loss in losses] == ["adapted", "dropped"]


def test_cache_marks_become_breakpoints_where_they_are_known_the_last_four() -> None:
    mark = CacheMark("5m")
    items = [Message("user", (Text(str(number), cache=mark),)) for number in range(4)]
    items += [ToolCall("c", "f", "{}"), ToolResult("c", (Text("out"),), cache=mark)]  # type: ignore[list-item]
    found, losses = inputs(*items, upstream=at("gpt-5.6"))
    marked = ["prompt_cache_breakpoint" in json.dumps(item) for item in found]
    assert marked == [False, True, True, True, False, True]
    found, _ = inputs(*items, upstream=at("gpt-5.4"))
    assert "prompt_cache_breakpoint" not in json.dumps(found)
    assert losses == []


# Tools


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
        ("tools[5]", "dropped"),
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
    written, losses = body(ask(store=True))
    assert written["store"] is False
    assert [loss.path for loss in losses] == ["store"]
    assert body(ask(store=True, dialect="responses"))[1] == []


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
