"""Hub requests as Responses bodies: valid for the SDK, stateless, honest about what is lost."""

import json

import pytest
from msgspec import Raw
from pydantic import ValidationError
from tests.unit.dialects.responses_upstream.requests_kit import (
    SCHEMA,
    ask,
    at,
    body,
    check,
    inputs,
    said,
    user,
)

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
from portico.model.losses import Loss
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
from portico.model.request import OutputFormat, ReasoningAsk
from portico.model.sealed import Sealed, native
from portico.model.tools import CustomTool, FunctionTool, ToolChoice


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
    assert [loss.path for loss in losses] == ["messages.content[0].annotations"]


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
