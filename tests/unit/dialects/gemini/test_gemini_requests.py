"""What goes to Gemini, held to the types of the official SDK and to what is documented."""

import base64
import json
import time
from typing import Any

import pytest
from tests.unit.dialects.gemini.gemini_asks import (
    OLD,
    THREE,
    TWO,
    function,
    said,
    sealed,
    sent,
    user,
)
from tests.unit.dialects.gemini.gemini_examples import (
    SIG,
    SIG2,
    Json,
    ask,
    raw,
    upstream,
    vertex,
)

from portico.dialects.gemini.maps import SKIP_VALIDATION, family
from portico.dialects.gemini.upstream import UPSTREAM
from portico.errors import BadRequest
from portico.model.items import Compaction, Hosted, Item, Message, ToolCall, ToolResult
from portico.model.losses import Loss
from portico.model.parts import Audio, File, Image, Part, Source, Text, Video
from portico.model.request import OutputFormat, ReasoningAsk


class TestConversation:
    def test_instructions_and_leading_system_messages_are_one_system_instruction(self) -> None:
        body = sent(Message("developer", (Text("two"),)), user("hi"), instructions=(Text("one"),))
        assert body["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}]}
        assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]

    def test_a_later_system_message_is_text_of_the_user_and_declared(self) -> None:
        losses: list[Loss] = []
        body = sent(user("a"), Message("system", (Text("now"),)), losses=losses)
        assert body["contents"] == [
            {"role": "user", "parts": [{"text": "a"}, {"text": "<system>\nnow\n</system>"}]}
        ]
        assert [(loss.path, loss.how) for loss in losses] == [("input", "adapted")]

    def test_a_model_without_system_instructions_gets_them_as_text(self) -> None:
        losses: list[Loss] = []
        body = sent(
            user("a"), instructions=(Text("be"),), to=upstream("gemma-3-27b-it"), losses=losses
        )
        assert body["contents"] == [{"role": "user", "parts": [{"text": "be"}, {"text": "a"}]}]
        assert losses

    def test_instructions_alone_are_what_the_user_says(self) -> None:
        body = sent(Message("system", (Text("tell a joke"),)))
        assert body["contents"] == [{"role": "user", "parts": [{"text": "tell a joke"}]}]

    def test_nothing_to_answer_is_a_400_in_the_words_of_the_client(self) -> None:
        with pytest.raises(BadRequest) as caught:
            sent(Message("user", ()), dialect="chat")
        assert caught.value.param == "messages"

    def test_roles_and_turns(self) -> None:
        body = sent(user("a"), said("b"), said("c"), user("d"), user("e"))
        assert [(c["role"], len(c["parts"])) for c in body["contents"]] == [
            ("user", 1),
            ("model", 2),
            ("user", 2),
        ]

    def test_a_readable_compaction_is_a_summary(self) -> None:
        body = sent(Compaction("we met"), user("go on"))
        assert body["contents"][0]["parts"][0] == {"text": "<summary>\nwe met\n</summary>"}

    def test_an_unreadable_compaction_is_declared(self) -> None:
        losses: list[Loss] = []
        sent(Compaction(), user("go on"), losses=losses)
        assert [loss.how for loss in losses] == ["dropped"]


class TestCalls:
    def test_results_stand_alone_in_the_order_of_their_calls(self) -> None:
        body = sent(
            user("q"),
            ToolCall("c1", "f", '{"a":1}'),
            ToolCall("c2", "g", ""),
            user("and?"),
            ToolResult("c2", (Text("two"),)),
            ToolResult("c1", (Text('{"x":1}'),)),
        )
        calls, results, text = body["contents"][1:]
        assert [part["functionCall"]["args"] for part in calls["parts"]] == [{"a": 1}, {}]
        assert results["parts"] == [
            {"functionResponse": {"name": "f", "id": "c1", "response": {"x": 1}}},
            {"functionResponse": {"name": "g", "id": "c2", "response": {"output": "two"}}},
        ]
        assert text["parts"] == [{"text": "and?"}]

    def test_vertex_gets_no_ids(self) -> None:
        body = sent(
            user("q"), ToolCall("c1", "f", "{}"), ToolResult("c1", (Text("r"),)), to=vertex()
        )
        assert "id" not in body["contents"][1]["parts"][0]["functionCall"]
        assert "id" not in body["contents"][2]["parts"][0]["functionResponse"]

    def test_errors_of_tools_say_so(self) -> None:
        body = sent(
            user("q"), ToolCall("c", "f", "{}"), ToolResult("c", (Text("no"),), is_error=True)
        )
        assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == {"error": "no"}

    def test_a_result_without_its_call_is_a_400(self) -> None:
        with pytest.raises(BadRequest, match="nowhere"):
            sent(user("q"), ToolResult("nowhere", (Text("r"),)))

    def test_media_of_results_go_inside_them(self) -> None:
        body = sent(
            user("q"),
            ToolCall("c", "f", "{}"),
            ToolResult("c", (Text("see"), Image(Source("base64", "AAAA", "image/png")))),
        )
        assert body["contents"][2]["parts"][0]["functionResponse"]["parts"] == [
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
        ]


class TestSignatures:
    def test_each_goes_back_to_the_part_it_came_with(self) -> None:
        body = sent(
            user("q"),
            sealed("thought", "AAAA", "why"),
            said("text"),
            sealed("previous", "BBBB"),
            sealed("next", "CCCC"),
            ToolCall("c1", "f", "{}"),
            ToolCall("c2", "f", "{}"),
            to=TWO,
        )
        parts = body["contents"][1]["parts"]
        assert [part.get("thoughtSignature") for part in parts] == ["AAAA", "BBBB", "CCCC", None]
        assert parts[0] == {"text": "why", "thought": True, "thoughtSignature": "AAAA"}

    @pytest.mark.parametrize(
        "before", [[], [sealed("thought", "AAAA", "x")], [said("t"), sealed("previous", SIG2)]]
    )
    def test_one_without_text_before_it_stands_on_an_empty_text(self, before: list[Item]) -> None:
        parts = sent(user("q"), *before, sealed("previous", SIG))["contents"][1]["parts"]
        assert parts[-1] == {"text": "", "thoughtSignature": SIG}

    def test_one_whose_call_is_gone_is_declared(self) -> None:
        losses: list[Loss] = []
        body = sent(user("q"), said("a"), sealed("next"), losses=losses)
        assert body["contents"][1]["parts"] == [{"text": "a"}]
        assert [loss.how for loss in losses] == ["dropped"]

    def test_calls_of_the_current_turn_get_the_documented_stand_in(self) -> None:
        old = [ToolCall("c0", "f", "{}"), ToolResult("c0", (Text("r"),))]
        body = sent(
            user("q"), *old, user("r"),
            ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}"),
            ToolResult("c1", (Text("r"),)), ToolResult("c2", (Text("r"),)),
            sealed("next", SIG), ToolCall("c3", "f", "{}"), ToolResult("c3", (Text("r"),)),
            ToolCall("c4", "f", "{}"), ToolResult("c4", (Text("r"),)),
        )  # fmt: skip
        found = [
            part.get("thoughtSignature")
            for content in body["contents"]
            for part in content["parts"]
            if "functionCall" in part
        ]
        # Not in the turn before; only on the first of a step; never instead of a real one.
        assert found[1:] == [SKIP_VALIDATION, None, SIG, SKIP_VALIDATION]

    def test_models_before_3_need_none(self) -> None:
        body = sent(user("q"), ToolCall("c", "f", "{}"), ToolResult("c", (Text("r"),)), to=TWO)
        assert "thoughtSignature" not in json.dumps(body)

    def test_what_another_dialect_sealed_is_declared(self) -> None:
        losses: list[Loss] = []
        sent(user("q"), sealed("signature"), said("a"), losses=losses)
        assert losses


class TestContent:
    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            (
                Image(Source("base64", "AA==", "image/webp")),
                {"inlineData": {"mimeType": "image/webp", "data": "AA=="}},
            ),
            (
                File(Source("base64", "AA==", "application/pdf"), "a.pdf"),
                {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
            ),
            (Audio("AA==", "wav"), {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}),
            (Audio("AA==", "mp3"), {"inlineData": {"mimeType": "audio/mpeg", "data": "AA=="}}),
            (
                Video(Source("base64", "AA==", "video/mp4")),
                {"inlineData": {"mimeType": "video/mp4", "data": "AA=="}},
            ),
            (
                File(Source("base64", "AA==", "text/x-python"), "a.py"),
                {"inlineData": {"mimeType": "text/plain", "data": "AA=="}},
            ),
            (
                File(Source("text", "hé", "text/csv")),
                {
                    "inlineData": {
                        "mimeType": "text/csv",
                        "data": base64.b64encode("hé".encode()).decode(),
                    }
                },
            ),
            (
                Image(Source("url", "https://x.example/a.png?b=c.pdf")),
                {
                    "fileData": {
                        "fileUri": "https://x.example/a.png?b=c.pdf",
                        "mimeType": "image/png",
                    }
                },
            ),
            (
                Video(Source("url", "https://www.youtube.com/watch?v=1")),
                {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
            ),
        ],
    )
    def test_parts(self, part: Part, expected: Json) -> None:
        assert sent(user(part))["contents"][0]["parts"] == [expected]

    def test_vertex_is_told_a_type_for_every_address(self) -> None:
        parts = sent(user(Image(Source("url", "gs://b/o"))), to=vertex())["contents"][0]["parts"]
        assert parts == [{"fileData": {"fileUri": "gs://b/o", "mimeType": "image/jpeg"}}]

    def test_a_file_of_no_known_type_is_a_400(self) -> None:
        with pytest.raises(BadRequest, match="no known type"):
            sent(user(File(Source("base64", "AA=="))))

    def test_the_context_of_a_document_is_text_before_it(self) -> None:
        losses: list[Loss] = []
        part = File(Source("text", "x"), context="about", citations=True)
        parts = sent(user(part), losses=losses)["contents"][0]["parts"]
        assert parts[0] == {"text": "about"}
        assert len(losses) == 1

    @pytest.mark.parametrize(
        ("details", "level", "declared"),
        [
            (["high"], "MEDIA_RESOLUTION_HIGH", 0),
            (["low", "low"], "MEDIA_RESOLUTION_LOW", 0),
            (["original"], "MEDIA_RESOLUTION_HIGH", 1),
            (["low", "high"], None, 1),
            (["low", None], None, 1),
            (["auto", None], None, 0),
        ],
    )
    def test_one_detail_for_all_images(
        self, details: list[str | None], level: str | None, declared: int
    ) -> None:
        losses: list[Loss] = []
        images = [Image(Source("base64", "AA==", "image/png"), detail) for detail in details]
        body = sent(user(*images), losses=losses)
        assert body.get("generationConfig", {}).get("mediaResolution") == level
        assert len(losses) == declared

    def test_vertex_takes_a_detail_per_image(self) -> None:
        images = [
            Image(Source("base64", "AA==", "image/png"), d) for d in ("low", "original", None)
        ]
        body = sent(user(*images), to=vertex())
        levels = [p.get("mediaResolution", {}).get("level") for p in body["contents"][0]["parts"]]
        assert levels == ["MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_ULTRA_HIGH", None]
        assert "generationConfig" not in body

    def test_a_code_run_of_another_provider_is_told_as_code(self) -> None:
        item = Hosted(type="code_interpreter_call", input="1+1", output="2",
                      native=("responses", raw({})))  # fmt: skip
        parts = sent(user("q"), item)["contents"][1]["parts"]
        assert parts == [
            {"executableCode": {"language": "PYTHON", "code": "1+1"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        ]

    def test_a_picture_the_model_made_is_shown_to_it_again(self) -> None:
        data = base64.b64encode(b"\x89PNG\r\n\x1a\n0000").decode()
        item = Hosted(type="image_generation_call", output=data)
        parts = sent(user("q"), sealed("next"), item)["contents"][1]["parts"]
        assert parts == [
            {"inlineData": {"mimeType": "image/png", "data": data}, "thoughtSignature": SIG}
        ]

    def test_other_hosted_items_are_declared_with_their_signature(self) -> None:
        losses: list[Loss] = []
        item = Hosted(type="web_search_call", input="q", native=("responses", raw({})))
        body = sent(user("q"), sealed("next"), item, said("found"), losses=losses)
        assert body["contents"][1]["parts"] == [{"text": "found"}]
        assert len(losses) == 2

    def test_a_megabyte_of_images_is_written_in_milliseconds(self) -> None:
        data = base64.b64encode(bytes(range(256)) * 3072).decode()
        request = ask(user("see", Image(Source("base64", data, "image/png"))))
        started = time.perf_counter()
        for _ in range(5):
            write_bytes(request)
        assert (time.perf_counter() - started) / 5 < 0.015


def write_bytes(request: Any) -> bytes:
    return UPSTREAM.write(request, THREE, [])


class TestThinking:
    @pytest.mark.parametrize(
        ("model", "ask_for", "config", "declared"),
        [
            ("gemini-2.5-flash", {"effort": "none"}, {"thinkingBudget": 0}, 0),
            ("gemini-2.5-flash", {"effort": "low"}, {"thinkingBudget": 1024}, 0),
            ("gemini-2.5-flash", {"effort": "high"}, {"thinkingBudget": 24_576}, 0),
            ("gemini-2.5-pro", {"effort": "max"}, {"thinkingBudget": 32_768}, 0),
            ("gemini-2.5-pro", {"effort": "none"}, {"thinkingBudget": 128}, 1),
            ("gemini-2.5-pro", {"budget": 100_000}, {"thinkingBudget": 32_768}, 1),
            ("gemini-2.5-flash-lite", {"budget": 100}, {"thinkingBudget": 512}, 1),
            ("gemini-2.5-pro", {"budget": 2000, "effort": "low"}, {"thinkingBudget": 2000}, 1),
            ("gemini-3-pro-preview", {"effort": "medium"}, {"thinkingLevel": "HIGH"}, 1),
            ("gemini-3-pro-preview", {"effort": "none"}, {"thinkingLevel": "LOW"}, 1),
            ("gemini-3.1-pro-preview", {"effort": "medium"}, {"thinkingLevel": "MEDIUM"}, 0),
            ("gemini-3-flash-preview", {"effort": "minimal"}, {"thinkingLevel": "MINIMAL"}, 0),
            ("gemini-3.8-flash", {"effort": "minimal"}, {"thinkingLevel": "LOW"}, 1),
            ("gemini-3.8-flash", {"effort": "xhigh"}, {"thinkingLevel": "HIGH"}, 1),
            ("gemini-3.5-flash", {"budget": 8000}, {"thinkingLevel": "MEDIUM"}, 1),
            ("gemini-3.5-flash", {"budget": 31_999, "effort": "low"}, {"thinkingLevel": "LOW"}, 1),
            ("gemini-flash-latest", {"summary": "auto"}, {"includeThoughts": True}, 0),
            ("gemini-3.5-flash", {"summary": "none"}, None, 0),
            (
                "gemini-2.5-flash",
                {"effort": "none", "summary": "auto"},
                {"thinkingBudget": 0},
                0,
            ),
            ("gemini-2.0-flash", {"effort": "high"}, None, 0),
        ],
    )
    def test_effort_and_budget(
        self, model: str, ask_for: Any, config: Json | None, declared: int
    ) -> None:
        losses: list[Loss] = []
        body = sent(reasoning=ReasoningAsk(**ask_for), to=upstream(model), losses=losses)
        assert body.get("generationConfig", {}).get("thinkingConfig") == config
        assert len(losses) == declared
        assert {loss.path for loss in losses} <= {"reasoning.effort", "budget"}

    @pytest.mark.parametrize(
        ("model", "signatures"),
        [
            ("models/gemini-3-pro-preview", True),
            ("publishers/google/models/gemini-3.6-flash", True),
            ("gemini-4-pro", True),
            ("gemini-10-flash", True),
            ("gemini-2.5-pro", False),
            ("gemini-3-pro-image-preview", False),
            ("gemma-3-27b-it", False),
            ("claude", False),
        ],
    )
    def test_families_are_told_by_the_bare_name(self, model: str, signatures: bool) -> None:
        assert family(model).signatures is signatures


class TestParameters:
    def test_names(self) -> None:
        body = sent(
            max_output_tokens=5, temperature=0.5, top_p=0.25, top_k=3, presence_penalty=0.1,
            frequency_penalty=0.2, stop=("a", "b"), seed=7, logprobs=True, top_logprobs=2,
            service_tier="priority", stream=True,
        )  # fmt: skip
        assert body["generationConfig"] == {
            "maxOutputTokens": 5, "temperature": 0.5, "topP": 0.25, "topK": 3,
            "presencePenalty": 0.1, "frequencyPenalty": 0.2, "seed": 7, "stopSequences": ["a", "b"],
            "responseLogprobs": True, "logprobs": 2,
        }  # fmt: skip
        assert body["serviceTier"] == "priority"
        assert "stream" not in body

    def test_a_plain_request_is_only_its_contents(self) -> None:
        assert sent(service_tier="auto").keys() == {"contents"}

    def test_an_unknown_tier_and_a_long_seed_are_declared(self) -> None:
        losses: list[Loss] = []
        body = sent(service_tier="scale", seed=1 << 40, losses=losses)
        assert "serviceTier" not in body
        assert -(1 << 31) <= body["generationConfig"]["seed"] < 1 << 31
        assert {loss.path for loss in losses} == {"service_tier", "seed"}

    def test_metadata_are_labels_at_vertex(self) -> None:
        losses: list[Loss] = []
        given = {"team": "blue", "Env": "Prod", "not ok": "x", "long": "y" * 64}
        body = sent(metadata=given, to=vertex(), losses=losses)
        assert body["labels"] == {"team": "blue", "env": "prod"}
        assert {loss.path: loss.how for loss in losses} == {
            "metadata.Env": "adapted",
            "metadata.not ok": "dropped",
            "metadata.long": "dropped",
        }

    def test_json_schema_goes_through_as_it_is(self) -> None:
        schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {}}}
        body = sent(format=OutputFormat(kind="json_schema", name="n", schema=raw(schema)))
        assert body["generationConfig"] == {
            "responseMimeType": "application/json",
            "responseJsonSchema": schema,
        }

    def test_older_models_get_the_subset(self) -> None:
        schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"const": "x"}}}
        losses: list[Loss] = []
        body = sent(
            format=OutputFormat(kind="json_schema", schema=raw(schema)), to=OLD, losses=losses
        )
        assert body["generationConfig"]["responseSchema"] == {
            "type": "OBJECT",
            "properties": {"b": {"type": "STRING"}, "a": {"type": "STRING", "enum": ["x"]}},
            "propertyOrdering": ["b", "a"],
        }
        assert losses == []

    def test_json_without_a_schema(self) -> None:
        body = sent(format=OutputFormat(kind="json_object"))
        assert body["generationConfig"] == {"responseMimeType": "application/json"}

    def test_tools_and_format_together_are_a_400_before_gemini_3(self) -> None:
        wanted = OutputFormat(kind="json_object")
        with pytest.raises(BadRequest) as caught:
            sent(format=wanted, tools=(function(),), to=TWO, dialect="chat")
        assert caught.value.param == "response_format"
        sent(format=wanted, tools=(function(),))
