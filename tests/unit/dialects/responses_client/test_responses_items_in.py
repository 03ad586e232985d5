"""Every item of a conversation can come back as input."""

import json
from typing import Any

import pytest
from tests.unit.dialects.responses_client import scenes
from tests.unit.dialects.responses_client.scenes import ask

from portico.dialects.responses.items_in import UNREADABLE
from portico.dialects.responses.response_out import respond
from portico.model.items import (
    Compaction,
    Hit,
    Hosted,
    Item,
    Message,
    Reasoning,
    Reference,
    ToolCall,
    ToolResult,
)
from portico.model.parts import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Part,
    Refusal,
    Source,
    Text,
    Video,
)
from portico.model.response import fold
from portico.model.sealed import PREFIX, Sealed, native
from portico.model.tools import FunctionTool

PNG = "data:image/png;base64,iVBORw0KGgo="


def items(*entries: Any) -> tuple[Item, ...]:
    return ask({"model": "m", "input": list(entries)}).items


def one(**entry: Any) -> Item:
    return items(entry)[0]


def part(**wire: Any) -> Part:
    found = one(role="user", content=[wire])
    assert isinstance(found, Message)
    return found.parts[0]


def refusal(*entries: Any) -> tuple[str | None, str | None]:
    return scenes.refusal({"model": "m", "input": list(entries)})


# messages


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_messages_need_no_type(role: str) -> None:
    assert one(role=role, content="hi") == one(type="message", role=role, content="hi")
    assert one(role=role, content="hi") == Message(role, (Text("hi"),))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["output_text", "input_text", "text"])
def test_what_the_assistant_said_comes_in_any_form(kind: str) -> None:
    found = one(role="assistant", content=[{"type": kind, "text": "hi"}])
    assert found == Message("assistant", (Text("hi"),))


def test_an_output_message_comes_back_with_all_its_members() -> None:
    note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
    found = one(
        type="message", id="msg_1", status="incomplete", role="assistant", phase="commentary",
        content=[
            {"type": "output_text", "text": "hi", "annotations": [note], "logprobs": [{"a": 1}]},
            {"type": "refusal", "refusal": "no"},
        ],
    )  # fmt: skip
    assert isinstance(found, Message)
    assert (found.id, found.status, found.phase) == ("msg_1", "incomplete", "commentary")
    text, no = found.parts
    assert no == Refusal("no")
    assert isinstance(text, Text)
    citation = text.citations[0]
    assert isinstance(citation, Citation)
    assert (citation.kind, citation.url, citation.start, citation.end) == ("url", "u", 0, 2)
    assert citation.native is not None
    assert json.loads(bytes(citation.native[1])) == note


@pytest.mark.parametrize("note", [{"type": "new", "url": 5}, 7, {"type": "file_path", "index": 1}])
def test_annotations_of_any_kind_are_accepted(note: Any) -> None:
    found = one(role="assistant", content=[{"type": "output_text", "text": "x",
                                            "annotations": [note]}])  # fmt: skip
    assert isinstance(found, Message)
    assert isinstance(found.parts[0], Text)
    assert len(found.parts[0].citations) == 1


# parts


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"type": "input_text", "text": ""}, Text("")),
        ({"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
         Text("x", cache=CacheMark())),
        ({"type": "input_image", "image_url": "https://a.example/i.png", "detail": "original"},
         Image(Source("url", "https://a.example/i.png"), "original")),
        ({"type": "input_image", "image_url": PNG, "detail": "low"},
         Image(Source("base64", "iVBORw0KGgo=", "image/png"), "low")),
        ({"type": "input_image", "file_id": "file_1"}, Image(Source("file_id", "file_1"))),
        ({"type": "input_image", "file_id": "file_1", "image_url": None, "detail": None},
         Image(Source("file_id", "file_1"))),
        ({"type": "input_file", "file_id": "file_1"}, File(Source("file_id", "file_1"))),
        ({"type": "input_file", "file_url": "https://a.example/a.pdf"},
         File(Source("url", "https://a.example/a.pdf"))),
        ({"type": "input_file", "file_data": "JVBERi0=", "filename": "a.pdf"},
         File(Source("base64", "JVBERi0=", "application/pdf"), "a.pdf")),
        ({"type": "input_file", "file_data": "data:text/csv;base64,YQ==", "filename": "a.csv"},
         File(Source("base64", "YQ==", "text/csv"), "a.csv")),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
         Audio("AA==", "mp3")),
        ({"type": "input_video", "video_url": "https://a.example/v.mp4"},
         Video(Source("url", "https://a.example/v.mp4"))),
        ({"type": "input_video", "video_url": "data:video/mp4;base64,AAAA"},
         Video(Source("base64", "AAAA", "video/mp4"))),
    ],
)  # fmt: skip
def test_every_part_has_its_place_in_the_hub(wire: dict[str, Any], expected: Part) -> None:
    assert part(**wire) == expected


@pytest.mark.parametrize(
    ("wire", "code", "member"),
    [
        ({"type": "input_text"}, "missing_required_parameter", "text"),
        ({"type": "input_text", "text": 5}, "invalid_type", "text"),
        ({"text": "x"}, "missing_required_parameter", "type"),
        ({"type": "image_url"}, "invalid_value", "type"),
        ({"type": "refusal"}, "missing_required_parameter", "refusal"),
        ({"type": "input_image"}, "missing_required_parameter", "image_url"),
        ({"type": "input_image", "image_url": {"url": "x"}}, "invalid_type", "image_url"),
        ({"type": "input_image", "image_url": "hello"}, "invalid_value", "image_url"),
        ({"type": "input_image", "image_url": "data:nothing"}, "invalid_value", "image_url"),
        ({"type": "input_image", "image_url": "data:image/png;base64,"}, "invalid_value",
         "image_url"),
        ({"type": "input_image", "image_url": "data:application/pdf;base64,JVBERi0="},
         "invalid_value", "image_url"),
        ({"type": "input_image", "image_url": "file:///etc/passwd"}, "invalid_value", "image_url"),
        ({"type": "input_image", "image_url": PNG, "detail": "huge"}, "invalid_value", "detail"),
        ({"type": "input_file"}, "missing_required_parameter", "file_data"),
        ({"type": "input_file", "file_url": "a.pdf"}, "invalid_value", "file_url"),
        ({"type": "input_file", "file_data": "https://a.example"}, "invalid_value", "file_data"),
        ({"type": "input_audio"}, "missing_required_parameter", "input_audio"),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, "missing_required_parameter",
         "input_audio.format"),
        ({"type": "input_video"}, "missing_required_parameter", "video_url"),
        ({"type": "input_video", "video_url": "x"}, "invalid_value", "video_url"),
    ],
)  # fmt: skip
def test_a_bad_part_is_named_with_its_place(wire: dict[str, Any], code: str, member: str) -> None:
    content = [{"type": "input_text", "text": "first"}, wire]
    found = refusal({"role": "user", "content": "hi"}, {"role": "user", "content": content})
    assert found == (code, f"input[1].content[1].{member}")


# calls and results


def test_calls_and_results_come_back_with_ids_and_statuses() -> None:
    assert items(
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}",
         "status": "incomplete", "namespace": "ns", "caller": {"type": "direct"}},
        {"type": "function_call_output", "call_id": "c", "output": "ok", "id": "fco",
         "status": "x"},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "free"},
        {"type": "custom_tool_call_output", "call_id": "d",
         "output": [{"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": PNG}]},
    ) == (
        ToolCall("c", "f", "{}", "function", "ns", "fc_1", "incomplete"),
        ToolResult("c", (Text("ok"),), id="fco"),
        ToolCall("d", "g", "free", "custom"),
        ToolResult("d", (Text("a"), Image(Source("base64", "iVBORw0KGgo=", "image/png"))),
                   "custom"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "code", "member"),
    [
        ({"role": "tool", "content": "x"}, "invalid_value", "role"),
        ({"content": "x"}, "missing_required_parameter", "role"),
        ({"role": "user"}, "missing_required_parameter", "content"),
        ({}, "missing_required_parameter", "role"),
        ({"type": "item_reference"}, "missing_required_parameter", "id"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "missing_required_parameter",
         "call_id"),
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, "missing_required_parameter",
         "name"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "missing_required_parameter",
         "arguments"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}, "invalid_type",
         "arguments"),
        ({"type": "function_call", "call_id": 5, "name": "f", "arguments": ""}, "invalid_type",
         "call_id"),
        ({"type": "function_call_output", "output": "x"}, "missing_required_parameter", "call_id"),
        ({"type": "function_call_output", "call_id": "c"}, "missing_required_parameter", "output"),
        ({"type": "function_call_output", "call_id": "c", "output": {}}, "invalid_type", "output"),
        ({"type": "function_call_output", "call_id": "c", "output": [{"type": "x"}]},
         "invalid_value", "output[0].type"),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f"}, "missing_required_parameter",
         "input"),
        ({"type": "reasoning", "summary": [{"type": "summary_text"}]},
         "missing_required_parameter", "summary[0].text"),
        ({"type": "reasoning", "summary": "x"}, "invalid_type", "summary"),
        ({"type": "reasoning", "summary": [], "content": "x"}, "invalid_type", "content"),
        ({"type": "compaction"}, "missing_required_parameter", "encrypted_content"),
        ({"type": "additional_tools", "tools": 5}, "invalid_value", "tools"),
        ({"type": "additional_tools", "tools": [{"type": "function"}]},
         "missing_required_parameter", "tools[0].name"),
    ],
)  # fmt: skip
def test_a_bad_item_is_named_with_its_place(wire: dict[str, Any], code: str, member: str) -> None:
    assert refusal({"role": "user", "content": "hi"}, wire) == (code, f"input[1].{member}")


def test_entries_that_are_no_objects_are_named() -> None:
    assert refusal({"role": "user", "content": "hi"}, "text") == ("invalid_type", "input[1]")
    assert refusal({"type": "later", "output": 5}, {"type": "reasoning", "id": 5}) == (
        "invalid_type", "input[1].id",
    )  # fmt: skip


# reasoning, compaction, references


def test_a_value_of_this_gateway_is_unsealed_and_any_other_is_native() -> None:
    ours = scenes.seal(Sealed("who", "signature", "sig"))
    summary = [{"type": "summary_text", "text": "s"}]
    content = [{"type": "reasoning_text", "text": "t"}]
    assert items(
        {"type": "reasoning", "id": "rs_1", "summary": summary, "content": content,
         "encrypted_content": ours},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAAA"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": None},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAB"},
    ) == (
        Reasoning(("s",), ("t",), Sealed("who", "signature", "sig"), "rs_1"),
        Reasoning((), (), native("responses", "encrypted", "gAAAA")),
        Reasoning(id="rs_2"),
        Compaction("", native("responses", "encrypted", "gAAAB"), "cmp_1"),
    )  # fmt: skip


def test_a_sealed_value_that_cannot_be_opened_goes_to_no_provider() -> None:
    found = one(type="reasoning", summary=[], encrypted_content=f"{PREFIX}broken")
    assert isinstance(found, Reasoning)
    assert found.sealed is UNREADABLE


def test_a_summary_in_plain_words_comes_back_as_such() -> None:
    response = fold(scenes.text_answer())
    answer = type(response)(
        id="", model="m", items=(Compaction("we talked"),), finish=response.finish
    )
    wire = json.loads(respond(answer, scenes.asked()))["output"][0]
    found = items(wire)[0]
    assert isinstance(found, Compaction)
    assert (found.text, found.sealed) == ("we talked", None)


@pytest.mark.parametrize("kind", [{}, {"type": "item_reference"}, {"type": None}])
def test_an_entry_with_an_id_only_is_a_reference(kind: dict[str, Any]) -> None:
    assert one(id="rs_1", **kind) == Reference("rs_1")


def test_additional_tools_join_the_tools_and_keep_the_places_of_the_others() -> None:
    request = ask(
        {
            "model": "m",
            "input": [
                {"type": "additional_tools", "role": "developer",
                 "tools": [{"type": "function", "name": "late"}]},
                {"role": "user", "content": "hi"},
            ],
            "tools": [{"type": "function", "name": "early"}],
        }
    )  # fmt: skip
    assert request.tools == (FunctionTool(name="early"), FunctionTool(name="late"))
    assert request.items == (Message("developer", ()), Message("user", (Text("hi"),)))


# hosted


@pytest.mark.parametrize(
    ("wire", "given", "output", "hits"),
    [
        ({"type": "web_search_call", "status": "completed",
          "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]}},
         "q", "", (Hit("u"),)),
        ({"type": "web_search_call", "action": {"type": "search", "queries": ["a", "b"]}},
         "a\nb", "", ()),
        ({"type": "web_search_call", "action": {"type": "find_in_page", "url": "u",
                                                "pattern": "p"}}, "p u", "", ()),
        ({"type": "web_search_call"}, "", "", ()),
        ({"type": "file_search_call", "queries": ["q"],
          "results": [{"filename": "a", "text": "t"}]}, "q", "", (Hit("", "a", "t"),)),
        ({"type": "code_interpreter_call", "code": "1+1",
          "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "u"}]},
         "1+1", "2", ()),
        ({"type": "image_generation_call", "result": "aGk="}, "", "aGk=", ()),
        ({"type": "mcp_call", "name": "n", "arguments": "{}", "output": "ok"}, "{}", "ok", ()),
        ({"type": "computer_call_output", "output": {"type": "computer_screenshot"}},
         "", "", ()),
        ({"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "x"}]}, "", "", ()),
        ({"type": "tool_search_call", "arguments": {"a": 1}}, "", "", ()),
        ({"type": "never_heard_of", "content": 5, "output": True, "tools": "x"}, "", "", ()),
        ({"type": "compaction_trigger"}, "", "", ()),
    ],
)  # fmt: skip
def test_what_the_provider_did_keeps_its_own_json(
    wire: dict[str, Any], given: str, output: str, hits: tuple[Hit, ...]
) -> None:
    found = one(id="x_1", **wire)
    assert isinstance(found, Hosted)
    assert (found.type, found.id) == (wire["type"], "x_1")
    assert (found.input, found.output, found.hits) == (given, output, hits)
    assert found.native is not None
    assert found.native[0] == "responses"
    assert json.loads(bytes(found.native[1])) == {"id": "x_1", **wire}


def test_an_extension_of_this_gateway_has_no_native_form() -> None:
    found = one(type="portico:web_fetch_call", id="item_1", status="completed", name="",
                input="https://a.example", output="text")  # fmt: skip
    assert found == Hosted(
        type="web_fetch_call", id="item_1", input="https://a.example", output="text"
    )


def test_what_was_written_for_another_provider_is_not_taken_for_an_item_of_this_api() -> None:
    output = json.loads(respond(fold(scenes.rich_answer()), scenes.asked()))["output"]
    hosted = [item for item in items(*output) if isinstance(item, Hosted)]
    without = {item.type for item in hosted if item.native is None}
    assert without == {
        "code_interpreter_call", "mcp_call", "mcp_list_tools", "mcp_approval_request",
    }  # fmt: skip
    code = next(item for item in hosted if item.type == "code_interpreter_call")
    assert (code.input, code.output) == ("print(1)", "1")


def test_a_whole_answer_can_be_sent_back() -> None:
    output = json.loads(respond(fold(scenes.rich_answer()), scenes.asked()))["output"]
    found = items(*output, {"role": "user", "content": "go on"})
    assert [type(item) for item in found] == [
        Reasoning, Message, *[Hosted] * 8, ToolCall, ToolCall, ToolCall, Message,
    ]  # fmt: skip
    assert isinstance(found[0], Reasoning)
    assert found[0].sealed == Sealed("who", "signature", "sig")
