"""Requests are what Bedrock's own service model accepts, and keep what the client meant."""

from base64 import b64encode
from typing import Any

import pytest
from tests.unit.dialects.converse.recordings import CLAUDE, ORIGIN
from tests.unit.dialects.converse.requests_kit import (
    CALL,
    LLAMA,
    MISTRAL_7B,
    NOVA,
    PNG,
    RESULT,
    TOOL,
    USER,
    ask,
    body,
    raw,
    reasons,
)

from portico.errors import BadRequest
from portico.model.items import (
    Compaction,
    Hosted,
    Message,
    Reasoning,
    ToolCall,
    ToolResult,
)
from portico.model.parts import Audio, File, Image, Refusal, Source, Text, Video
from portico.model.sealed import Sealed, native


def test_a_plain_request_holds_its_messages_and_nothing_else() -> None:
    assert body() == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


def test_instructions_come_before_system_and_developer_messages() -> None:
    made = body(
        Message("system", (Text("b"),)), Message("developer", (Text("c"),)), USER,
        instructions=(Text("a"),),
    )  # fmt: skip
    assert made["system"] == [{"text": "a"}, {"text": "b"}, {"text": "c"}]


def test_system_text_in_the_middle_is_said_by_the_user() -> None:
    made, losses = raw(ask(USER, Message("developer", (Text("be brief"),)), USER))
    assert made["messages"] == [
        {"role": "user", "content": [
            {"text": "Hi"}, {"text": "<system>\nbe brief\n</system>"}, {"text": "Hi"}]}
    ]  # fmt: skip
    assert reasons(losses) == [("input", "adapted")]


def test_a_model_without_system_text_gets_it_from_the_user() -> None:
    made, losses = raw(ask(USER, instructions=(Text("a"),)), MISTRAL_7B)
    assert made == {"messages": [{"role": "user", "content": [{"text": "a"}, {"text": "Hi"}]}]}
    assert reasons(losses) == [("input", "adapted")]


def test_instructions_alone_are_a_user_message() -> None:
    made, losses = raw(ask(Message("system", (Text("a"),)), dialect="chat"))
    assert made == {"messages": [{"role": "user", "content": [{"text": "a"}]}]}
    assert reasons(losses) == [("messages", "adapted")]


def test_a_request_that_says_nothing_is_refused() -> None:
    with pytest.raises(BadRequest) as raised:
        raw(ask(Message("user", (Text("  "),))))
    assert raised.value.param == "input"


def test_a_picture_in_system_text_is_refused() -> None:
    with pytest.raises(BadRequest):
        raw(ask(Message("developer", (Image(Source("base64", PNG, "image/png")),)), USER))


def test_turns_alternate_and_results_come_first() -> None:
    made = body(
        USER, Message("assistant", (Text("Looking."),)), CALL, ToolCall("c2", "look", "{}"),
        Message("user", (Text("and?"),)), RESULT, ToolResult("c2", (Text("b"),)), tools=(TOOL,),
    )  # fmt: skip
    assert [message["role"] for message in made["messages"]] == ["user", "assistant", "user"]
    assert made["messages"][1]["content"] == [
        {"text": "Looking."},
        {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"q": 1}}},
        {"toolUse": {"toolUseId": "c2", "name": "look", "input": {}}},
    ]
    assert made["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "found"}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "b"}]}},
        {"text": "and?"},
    ]


def test_system_text_between_call_and_result_does_not_part_them() -> None:
    made = body(USER, CALL, Message("system", (Text("s"),)), RESULT, tools=(TOOL,))
    assert list(made["messages"][2]["content"][0]) == ["toolResult"]


def test_a_history_that_begins_with_the_assistant_gets_a_user_before_it() -> None:
    made, losses = raw(ask(Message("assistant", (Text("Hello"),)), USER))
    assert [message["role"] for message in made["messages"]] == ["user", "assistant", "user"]
    assert reasons(losses) == [("input", "adapted")]


def test_blank_text_is_left_out_and_a_beginning_has_no_space_at_its_end() -> None:
    made = body(Message("user", (Text("Hi"), Text(" \n"))), Message("assistant", (Text("So: "),)))
    assert made["messages"] == [
        {"role": "user", "content": [{"text": "Hi"}]},
        {"role": "assistant", "content": [{"text": "So:"}]},
    ]


def test_a_refusal_in_history_is_text() -> None:
    made = body(USER, Message("assistant", (Refusal("No."),)), USER)
    assert made["messages"][1]["content"] == [{"text": "No."}]


def test_pictures_documents_and_video_are_blocks_of_their_own() -> None:
    made = body(
        Message("user", (
            Text("See"),
            Image(Source("base64", PNG, "image/jpg")),
            File(Source("base64", "JVBERg==", "application/pdf"), "report.v2  final!.pdf"),
            File(Source("base64", "YSxi", "text/csv"), "report v2 final.csv"),
            File(Source("text", "a"), "notes.md"),
            Video(Source("base64", "AAAA", "video/quicktime")),
        )),
        on=NOVA,
    )  # fmt: skip
    assert made["messages"][0]["content"] == [
        {"text": "See"},
        {"image": {"format": "jpeg", "source": {"bytes": PNG}}},
        {"document": {"format": "pdf", "name": "report v2 final", "source": {"bytes": "JVBERg=="}}},
        {"document": {"format": "csv", "name": "report v2 final [2]", "source": {"bytes": "YSxi"}}},
        {"document": {"format": "md", "name": "notes", "source": {"bytes": "YQ=="}}},
        {"video": {"format": "mov", "source": {"bytes": "AAAA"}}},
    ]


@pytest.mark.parametrize("name", ["", "...", "../../etc/passwd", "x" * 500, "Größe\t(1) [2].pdf"])
def test_document_names_are_what_bedrock_takes(name: str) -> None:
    part = File(Source("base64", "JVBERg==", "application/pdf"), name)
    made = body(Message("user", (Text("a"), part, part)))
    names = [block["document"]["name"] for block in made["messages"][0]["content"][1:]]
    assert len(set(names)) == 2
    for found in names:
        assert 0 < len(found) <= 200
        assert all(char.isascii() and (char.isalnum() or char in " -()[]") for char in found)
        assert "  " not in found


def test_a_document_without_text_gets_some() -> None:
    made = body(Message("user", (File(Source("base64", "JVBERg==", "application/pdf"), "a.pdf"),)))
    assert made["messages"][0]["content"][1] == {"text": "Attached: a"}


def test_citations_are_asked_for_on_claude_only() -> None:
    part = File(
        Source("base64", "JVBERg==", "application/pdf"), "a.pdf", context="c", citations=True
    )
    item = Message("user", (Text("a"), part))
    document = body(item)["messages"][0]["content"][1]["document"]
    assert (document["citations"], document["context"]) == ({"enabled": True}, "c")
    made, losses = raw(ask(item), NOVA)
    assert "citations" not in made["messages"][0]["content"][1]["document"]
    assert reasons(losses) == [("input", "dropped")]


def test_an_object_in_s3_is_named_and_other_addresses_are_refused() -> None:
    made = body(Message("user", (Text("a"), Image(Source("url", "s3://b/x.png")))))
    assert made["messages"][0]["content"][1] == {
        "image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/x.png"}}}
    }
    with pytest.raises(BadRequest) as raised:
        body(Message("user", (Image(Source("url", "https://x.example/a.png")),)))
    assert raised.value.param == "input"


@pytest.mark.parametrize(
    "part",
    [
        Image(Source("base64", "AAAA", "image/tiff")),
        Image(Source("base64", "AAAA")),
        Image(Source("file_id", "file-1")),
        File(Source("base64", "AAAA", "application/zip"), "a.zip"),
        File(Source("base64", "AAAA")),
        Video(Source("base64", "AAAA", "video/ogg")),
        Audio("AAAA", "midi"),
    ],
)
def test_types_that_bedrock_does_not_know_are_refused(part: Any) -> None:
    with pytest.raises(BadRequest) as raised:
        body(Message("user", (part,)), dialect="chat")
    assert raised.value.param == "messages"


def test_pictures_of_the_assistant_are_declared() -> None:
    picture = Message("assistant", (Text("a"), Image(Source("base64", PNG, "image/png"))))
    made, losses = raw(ask(USER, picture, USER))
    assert made["messages"][1]["content"] == [{"text": "a"}]
    assert reasons(losses) == [("input", "dropped")]


def test_tool_results_hold_content_and_status() -> None:
    result = ToolResult("c1", (Text("a"), Image(Source("base64", PNG, "image/png"))), is_error=True)
    made = body(USER, CALL, result, tools=(TOOL,))
    assert made["messages"][2]["content"] == [
        {"toolResult": {
            "toolUseId": "c1",
            "content": [{"text": "a"}, {"image": {"format": "png", "source": {"bytes": PNG}}}],
            "status": "error",
        }}
    ]  # fmt: skip
    made, losses = raw(ask(USER, CALL, ToolResult("c1", (), is_error=True), tools=(TOOL,)), LLAMA)
    assert made["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "Error:"}]
    assert reasons(losses) == [("input", "adapted")]


def test_an_empty_result_says_so() -> None:
    made = body(USER, CALL, ToolResult("c1", ()), tools=(TOOL,))
    assert made["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "(no output)"}]


def test_reasoning_goes_back_first_and_byte_equal() -> None:
    signed = Reasoning((), ("  Exact\ntext ",), Sealed(ORIGIN, "signature", "Ep+/="))
    redacted = Reasoning(sealed=Sealed(ORIGIN, "redacted", "cnNu"))
    made = body(USER, signed, redacted, CALL, RESULT, tools=(TOOL,))
    assert made["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "  Exact\ntext ", "signature": "Ep+/="}}},
        {"reasoningContent": {"redactedContent": "cnNu"}},
    ]


def test_anthropics_own_signatures_go_to_claude() -> None:
    signed = Reasoning(("Thought",), (), native("messages", "signature", "Ep="))
    redacted = Reasoning(sealed=native("messages", "redacted", "EmwKAhgB"))
    made = body(USER, signed, redacted, CALL, RESULT, tools=(TOOL,))
    assert made["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "Thought", "signature": "Ep="}}},
        {"reasoningContent": {"redactedContent": b64encode(b"EmwKAhgB").decode()}},
    ]


def test_reasoning_that_cannot_go_back_is_declared() -> None:
    for item, model in (
        (Reasoning(("a",)), CLAUDE),
        (Reasoning(sealed=Sealed("x", "thought", "d")), CLAUDE),
        (Reasoning(sealed=Sealed(ORIGIN, "signature", "d")), LLAMA),
    ):
        made, losses = raw(ask(USER, item, Message("assistant", (Text("b"),)), USER), model)
        assert made["messages"][1]["content"] == [{"text": "b"}]
        assert reasons(losses) == [("input", "dropped")]


def test_what_the_provider_did_is_told_as_text() -> None:
    hosted = Hosted(type="web_search_call", input="weather", output="sunny")
    made, losses = raw(ask(USER, hosted, Compaction("So far."), USER))
    assert made["messages"][1]["content"] == [
        {"text": "[web_search_call]\nweather\nsunny"}, {"text": "So far."},
    ]  # fmt: skip
    assert reasons(losses) == [("input", "adapted")]
    _, losses = raw(
        ask(USER, Hosted(type="image_generation_call", output="AA"), Compaction(), USER)
    )
    assert reasons(losses) == [("input", "dropped"), ("input", "dropped")]
