"""Fitting a request to a target, and taking its answer back."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from portico.errors import BadRequest
from portico.model.capabilities import Capabilities
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    Event,
    Finish,
    ItemEnd,
    MessageStart,
    Started,
    TextDelta,
)
from portico.model.items import Message, Reasoning, Reference, ToolCall, ToolResult
from portico.model.losses import Losses
from portico.model.parts import Audio, File, Image, Source, Text
from portico.model.passes.content import remote
from portico.model.passes.fit import ANSWER_TOOL, Fitted, fit
from portico.model.passes.names import ToolNames, call_id
from portico.model.passes.params import nearest
from portico.model.passes.restore import Emulation, Restore
from portico.model.passes.schema import mismatch
from portico.model.passes.unwrap import InputText
from portico.model.request import GenerateRequest, OutputFormat, ReasoningAsk
from portico.model.response import GenerateResponse, fold
from portico.model.sealed import Sealed
from portico.model.sequence import Sequencer
from portico.model.tools import CustomTool, FunctionTool, HostedTool, ToolChoice, ToolRef

NARROW = Capabilities(parameters=frozenset(("max_output_tokens",)), content=frozenset())
WIDE = Capabilities(
    parameters=frozenset(
        (
            "temperature",
            "top_p",
            "stop",
            "effort",
            "summary",
            "parallel_tool_calls",
            "metadata",
        )
    ),
    content=frozenset(("image", "image_url", "file")),
    hosted=frozenset(("web_search",)),
)
HERE = frozenset(("here",))


def ask(**fields: Any) -> GenerateRequest:
    return GenerateRequest(model="m", dialect=fields.pop("dialect", "responses"), **fields)


def fitted(
    request: GenerateRequest, can: Capabilities = NARROW, **more: Any
) -> tuple[Fitted, Losses]:
    losses: Losses = []
    return fit(request, can, HERE, losses, **more), losses


def answer(found: Fitted, *events: Event) -> GenerateResponse:
    assert found.restore is not None
    return fold(Sequencer().feed(found.restore.feed([Started(), *events])))


class TestParameters:
    def test_what_the_target_lacks_is_left_out_and_said(self) -> None:
        found, losses = fitted(ask(temperature=0.5, seed=7, stop=("x",)))
        assert (found.request.temperature, found.request.seed, found.request.stop) == (
            None, None, (),
        )  # fmt: skip
        assert {(loss.path, loss.how) for loss in losses} == {
            ("temperature", "dropped"), ("seed", "dropped"), ("stop", "adapted"),
        }  # fmt: skip

    def test_a_default_written_out_is_no_loss(self) -> None:
        _, losses = fitted(ask(temperature=1, top_p=1, presence_penalty=0, service_tier="auto"))
        assert losses == []

    def test_paths_are_the_clients_own(self) -> None:
        _, losses = fitted(ask(dialect="messages", stop=("x",), user="u"))
        assert {loss.path for loss in losses} == {"stop_sequences", "metadata.user_id"}

    def test_temperature_is_brought_into_range(self) -> None:
        can = structs.replace(WIDE, temperature_max=1.0)
        found, losses = fitted(ask(temperature=1.7), can)
        assert found.request.temperature == 1.0
        assert [(loss.path, loss.how) for loss in losses] == [("temperature", "adapted")]

    def test_more_choices_than_one_are_refused(self) -> None:
        with pytest.raises(BadRequest) as caught:
            fitted(ask(dialect="chat", choices=2))
        assert caught.value.param == "n"

    @pytest.mark.parametrize(
        ("asked", "offered", "sent"),
        [
            ("max", ("low", "medium", "high"), "high"),
            ("minimal", ("none", "low", "high"), "low"),
            ("none", ("low", "high"), "low"),
            ("none", ("none", "high"), "none"),
            ("xhigh", ("low", "max"), "max"),
        ],
    )
    def test_an_effort_goes_to_the_nearest(self, asked: Any, offered: Any, sent: str) -> None:
        assert nearest(asked, offered) == sent

    def test_an_adapted_effort_is_said(self) -> None:
        can = structs.replace(WIDE, efforts=("low", "high"))
        found, losses = fitted(ask(reasoning=ReasoningAsk(effort="max")), can)
        assert found.request.reasoning == ReasoningAsk(effort="high")
        assert [(loss.path, loss.how) for loss in losses] == [("reasoning.effort", "adapted")]

    def test_extras_are_losses_but_for_what_clients_send_everywhere(self) -> None:
        extras = {"client_metadata": Raw(b"{}"), "prediction": Raw(b"{}")}
        _, losses = fitted(ask(extras=extras))
        assert [loss.path for loss in losses] == ["prediction"]


class TestContent:
    IMAGE = Image(Source("base64", "aGk=", "image/png"))
    LINKED = Image(Source("url", "https://example.com/a.png"))

    def test_content_the_model_cannot_take_is_refused_where_it_stands(self) -> None:
        items = (Message("user", (Text("a"),)), Message("user", (Text("b"), self.IMAGE)))
        with pytest.raises(BadRequest) as caught:
            fitted(ask(items=items))
        assert caught.value.param == "input[1].content[1]"
        assert caught.value.code == "unsupported_content"

    def test_a_link_is_refused_with_the_way_out(self) -> None:
        can = structs.replace(WIDE, content=frozenset(("image",)))
        with pytest.raises(BadRequest, match="fetchRemoteContent"):
            fitted(ask(items=(Message("user", (self.LINKED,)),)), can)

    def test_what_was_fetched_takes_the_place_of_the_link(self) -> None:
        can = structs.replace(WIDE, content=frozenset(("image",)))
        items = (Message("user", (self.LINKED,)),)
        assert remote(items, can) == ["https://example.com/a.png"]
        assert remote(items, WIDE) == []
        there = {"https://example.com/a.png": self.IMAGE.source}
        found, _ = fitted(ask(items=items), can, fetched=there)
        assert found.request.items == (Message("user", (self.IMAGE,)),)

    def test_audio_is_refused(self) -> None:
        with pytest.raises(BadRequest, match="audio"):
            fitted(ask(items=(Message("user", (Audio("aGk=", "wav"),)),)), WIDE)

    def test_a_text_file_is_sent_as_text(self) -> None:
        part = File(Source("base64", "aGk=", "text/plain"), "a.txt")
        found, losses = fitted(ask(items=(Message("user", (part,)),)))
        assert found.request.items == (Message("user", (Text("a.txt:\nhi"),)),)
        assert [loss.how for loss in losses] == ["adapted"]

    def test_pictures_of_a_tool_move_behind_all_results(self) -> None:
        items = (
            ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}"),
            ToolResult("a", (Text("see"), self.IMAGE)), ToolResult("b", (self.IMAGE,)),
            Message("user", (Text("go on"),)),
        )  # fmt: skip
        found, losses = fitted(ask(items=items), WIDE)
        kinds = [type(item).__name__ for item in found.request.items]
        assert kinds == ["ToolCall", "ToolCall", "ToolResult", "ToolResult", "Message", "Message"]
        moved = found.request.items[4]
        assert isinstance(moved, Message)
        assert [part for part in moved.parts if isinstance(part, Image)] == [self.IMAGE] * 2
        assert all(
            isinstance(part, Text) for item in found.request.items[2:4]
            for part in item.output  # type: ignore[union-attr]
        )  # fmt: skip
        assert [loss.path for loss in losses] == ["input[2].output[1]", "input[3].output[0]"]

    def test_empty_texts_go(self) -> None:
        items = (Message("user", (Text(""),)), Message("user", (Text(""), Text("a"))))
        found, _ = fitted(ask(items=items))
        assert found.request.items == (Message("user", (Text("a"),)),)

    def test_a_reference_to_nothing_is_refused(self) -> None:
        with pytest.raises(BadRequest) as caught:
            fitted(ask(items=(Reference("msg_1"),)))
        assert caught.value.param == "input[0]"

    def test_arguments_are_always_an_object(self) -> None:
        items = (ToolCall("a", "f", ""), ToolCall("b", "f", '{"x": '), ToolCall("c", "f", "[1]"))
        found, _ = fitted(ask(items=items))
        sent = [json.loads(item.arguments) for item in found.request.items]  # type: ignore[union-attr]
        assert sent == [{}, {"input": '{"x": '}, {"input": "[1]"}]

    def test_call_ids_change_alike_on_call_and_result(self) -> None:
        can = structs.replace(WIDE, call_id="[a-zA-Z0-9]{9}")
        items = (ToolCall("call_1", "f", "{}"), ToolResult("call_1", (Text("x"),)))
        found, _ = fitted(ask(items=items), can)
        ids = {item.call_id for item in found.request.items}  # type: ignore[union-attr]
        assert len(ids) == 1
        assert ids.pop().isalnum()
        assert call_id("[a-zA-Z0-9]{9}", "abcdefgh1") == "abcdefgh1"


class TestReasoning:
    def test_its_own_state_goes_back_untouched(self) -> None:
        item = Reasoning(("s",), (), Sealed("here", "signature", "abc"))
        found, losses = fitted(ask(items=(item,)))
        assert found.request.items == (item,)
        assert losses == []

    def test_another_providers_state_is_left_out_and_said(self) -> None:
        item = Reasoning(("s",), (), Sealed("there", "signature", "abc"))
        found, losses = fitted(ask(items=(item,)))
        assert found.request.items == ()
        assert [(loss.path, loss.how) for loss in losses] == [("input[0]", "dropped")]

    def test_text_without_proof_goes_where_it_is_taken(self) -> None:
        can = structs.replace(WIDE, reasoning_text=True)
        item = Reasoning((), ("thought",), Sealed("there", "signature", "abc"))
        found, losses = fitted(ask(items=(item,)), can)
        assert found.request.items == (Reasoning((), ("thought",)),)
        assert [loss.how for loss in losses] == ["adapted"]


class TestTools:
    def test_names_change_only_where_they_must_and_come_back(self) -> None:
        long = "x" * 100
        tools = tuple(FunctionTool(name=name) for name in ("plain", "with.dot", "sp ace", long))
        found, _ = fitted(ask(tools=tools))
        sent = [tool.name for tool in found.request.tools]  # type: ignore[union-attr]
        assert sent[0] == "plain"
        assert len(set(sent)) == 4
        assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum()
                   for name in sent)  # fmt: skip
        got = answer(
            found,
            *(event for key, name in enumerate(sent)
              for event in (CallStart(key, f"c{key}", name), ArgumentsDelta(key, "{}"),
                            ItemEnd(key))),
            Finish("tool_calls"),
        )  # fmt: skip
        assert [item.name for item in got.items] == ["plain", "with.dot", "sp ace", long]  # type: ignore[union-attr]

    def test_the_same_name_changes_the_same_way_in_every_turn(self) -> None:
        first = ToolNames(NARROW).wire("function", "a.b", None)
        other = ToolNames(NARROW)
        other.wire("function", "something", None)
        assert other.wire("function", "a.b", None) == first

    def test_namespaces_are_flattened_and_restored(self) -> None:
        tools = (FunctionTool(name="read", namespace="files"), FunctionTool(name="files__read"))
        items = (ToolCall("c", "read", "{}", namespace="files"),)
        found, _ = fitted(ask(tools=tools, items=items))
        first, second = (tool.name for tool in found.request.tools)  # type: ignore[union-attr]
        assert first != second
        assert found.request.items[0].name == first  # type: ignore[union-attr]
        got = answer(found, CallStart(0, "c", first), ItemEnd(0), Finish("tool_calls")).items[0]
        assert (got.name, got.namespace) == ("read", "files")  # type: ignore[union-attr]

    def test_a_free_form_tool_is_wrapped_and_unwrapped(self) -> None:
        tool = CustomTool(name="patch", description="Edits.")
        items = (
            ToolCall("c", "patch", 'say "hi"\n', "custom"),
            ToolResult("c", (Text("ok"),), "custom"),
        )
        found, _ = fitted(ask(tools=(tool,), items=items))
        sent = found.request.tools[0]
        assert isinstance(sent, FunctionTool)
        call = found.request.items[0]
        assert isinstance(call, ToolCall)
        assert (call.kind, json.loads(call.arguments)) == ("function", {"input": 'say "hi"\n'})
        got = answer(
            found, CallStart(0, "d", "patch"), ArgumentsDelta(0, '{"inp'),
            ArgumentsDelta(0, 'ut": "a\\nb\\u00e'), ArgumentsDelta(0, '9"}'), ItemEnd(0),
            Finish("tool_calls"),
        ).items[0]  # fmt: skip
        assert isinstance(got, ToolCall)
        assert (got.kind, got.arguments) == ("custom", "a\nb\u00e9")

    def test_a_grammar_that_nobody_enforces_is_said(self) -> None:
        grammar = Raw(b'{"type":"grammar","syntax":"lark","definition":"start: /a+/"}')
        found, losses = fitted(ask(tools=(CustomTool(name="p", format=grammar),)))
        assert "start: /a+/" in found.request.tools[0].description  # type: ignore[union-attr]
        assert [loss.path for loss in losses] == ["tools[0].format"]

    def test_a_hosted_tool_without_a_host_is_left_out_and_said(self) -> None:
        hosted = HostedTool(kind="file_search", native=("responses", Raw(b"{}")))
        found, losses = fitted(ask(tools=(FunctionTool(name="f"), hosted)))
        assert [tool.name for tool in found.request.tools] == ["f"]  # type: ignore[union-attr]
        assert [(loss.path, loss.how) for loss in losses] == [("tools[1]", "dropped")]

    def test_a_hosted_tool_that_is_forced_is_refused_without_a_host(self) -> None:
        hosted = HostedTool(kind="file_search", native=("responses", Raw(b"{}")))
        choice = ToolChoice("tool", ToolRef("file_search"))
        with pytest.raises(BadRequest) as caught:
            fitted(ask(tools=(hosted,), tool_choice=choice))
        assert caught.value.param == "tool_choice"

    def test_a_subset_is_offered_and_held_to(self) -> None:
        tools = (FunctionTool(name="a"), FunctionTool(name="b"))
        choice = ToolChoice("required", None, (ToolRef("function", "a"),))
        found, _ = fitted(ask(tools=tools, tool_choice=choice))
        assert [tool.name for tool in found.request.tools] == ["a"]  # type: ignore[union-attr]
        assert found.request.tool_choice == ToolChoice("required")
        got = answer(
            found, CallStart(0, "x", "b"), ArgumentsDelta(0, "{}"), ItemEnd(0),
            CallStart(1, "y", "a"), ArgumentsDelta(1, "{}"), ItemEnd(1), Finish("tool_calls"),
        )  # fmt: skip
        assert [item.name for item in got.items] == ["a"]  # type: ignore[union-attr]

    def test_a_call_outside_the_subset_is_no_reason_to_wait_for_its_result(self) -> None:
        tools = (FunctionTool(name="a"), FunctionTool(name="b"))
        choice = ToolChoice("auto", None, (ToolRef("function", "a"),))
        can = structs.replace(NARROW, allowed_tools=True)
        found, losses = fitted(ask(tools=tools, tool_choice=choice), can)
        assert len(found.request.tools) == 2
        got = answer(found, CallStart(0, "x", "b"), ItemEnd(0), Finish("tool_calls"))
        assert (got.items, got.finish.reason) == ((), "stop")
        assert losses


class TestStructuredOutput:
    SCHEMA = Raw(b'{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}')
    CAN = structs.replace(NARROW, json_schema=False, json_object=False)

    def asked(self, **more: Any) -> tuple[Fitted, Losses]:
        wanted = OutputFormat(kind="json_schema", name="out", schema=self.SCHEMA)
        return fitted(ask(format=wanted, **more), self.CAN)

    def test_it_is_emulated_with_a_forced_tool_and_comes_back_as_text(self) -> None:
        found, losses = self.asked()
        assert found.request.format is None
        assert found.request.tool_choice == ToolChoice("tool", ToolRef("function", ANSWER_TOOL))
        got = answer(
            found, MessageStart(0), TextDelta(0, "Let me see."), ItemEnd(0),
            CallStart(1, "c", ANSWER_TOOL), ArgumentsDelta(1, '{"n":'), ArgumentsDelta(1, "1}"),
            ItemEnd(1), Finish("tool_calls"),
        )  # fmt: skip
        assert got.items == (Message("assistant", (Text('{"n":1}'),)),)
        assert got.finish.reason == "stop"
        assert [loss.path for loss in losses] == ["text.format", "output"]

    def test_the_answer_is_checked(self) -> None:
        found, losses = self.asked()
        answer(
            found, CallStart(0, "c", ANSWER_TOOL), ArgumentsDelta(0, '{"n":"one"}'), ItemEnd(0),
            Finish("tool_calls"),
        )  # fmt: skip
        assert "$.n is not of type integer" in losses[-1].reason

    def test_other_tools_stay_usable(self) -> None:
        found, _ = self.asked(tools=(FunctionTool(name="f"),))
        assert found.request.tool_choice == ToolChoice("required")
        got = answer(
            found, MessageStart(0), TextDelta(0, "First:"), ItemEnd(0), CallStart(1, "c", "f"),
            ArgumentsDelta(1, "{}"), ItemEnd(1), Finish("tool_calls"),
        )  # fmt: skip
        assert [type(item) for item in got.items] == [Message, ToolCall]
        assert got.finish.reason == "tool_calls"

    def test_a_tool_of_the_client_with_its_very_name_stays_the_clients(self) -> None:
        found, _ = self.asked(tools=(FunctionTool(name=ANSWER_TOOL),))
        assert len({tool.name for tool in found.request.tools}) == 2  # type: ignore[union-attr]
        got = answer(
            found, CallStart(0, "c", ANSWER_TOOL), ArgumentsDelta(0, "{}"), ItemEnd(0),
            Finish("tool_calls"),
        )  # fmt: skip
        assert got.items == (ToolCall("c", ANSWER_TOOL, "{}"),)

    def test_text_that_came_in_place_of_the_call_is_not_lost(self) -> None:
        found, losses = self.asked()
        got = answer(found, MessageStart(0), TextDelta(0, "no"), ItemEnd(0), Finish("stop"))
        assert got.items == (Message("assistant", (Text("no"),)),)
        assert "it is not JSON" in losses[-1].reason

    @pytest.mark.parametrize(
        ("text", "schema", "wrong"),
        [
            ('{"a":1}', {"type": "object", "required": ["a"]}, False),
            ("{}", {"type": "object", "required": ["a"]}, True),
            ('{"a":1}', {"properties": {}, "additionalProperties": False}, True),
            ("[1,2]", {"type": "array", "items": {"type": "string"}}, True),
            ("true", {"type": "integer"}, True),
            ("1.0", {"type": "integer"}, False),
            ('"b"', {"enum": ["a"]}, True),
            ("null", {"type": ["string", "null"]}, False),
            ('"x"', {"pattern": "(a+)+$"}, False),
        ],
    )
    def test_what_the_check_knows(self, text: str, schema: object, wrong: bool) -> None:
        assert bool(mismatch(text, Raw(json.dumps(schema).encode()))) is wrong


class TestInputText:
    @given(st.text(max_size=40), st.lists(st.integers(0, 400), max_size=6), st.booleans())
    def test_any_text_cut_anywhere_comes_out_whole(
        self, text: str, cuts: list[int], ascii_only: bool
    ) -> None:
        written = json.dumps({"input": text}, ensure_ascii=ascii_only)
        places = sorted({min(cut, len(written)) for cut in cuts} | {0, len(written)})
        reader = InputText()
        pieces = [reader.feed(written[a:b]) for a, b in itertools.pairwise(places)]
        assert "".join(pieces) + reader.end() == text

    @pytest.mark.parametrize("written", ["", "{}", "[]", '{"other":"x"}', "plain", '{"input":1}'])
    def test_another_shape_comes_as_it_is(self, written: str) -> None:
        reader = InputText()
        assert reader.feed(written) + reader.end() == written

    def test_a_cut_call_keeps_what_came(self) -> None:
        reader = InputText()
        assert reader.feed('{"input":"abc') + reader.end() == "abc"


def test_a_structured_answer_that_broke_off_at_once_is_no_empty_message() -> None:
    """A message begins with its first word, whatever stands for it upstream."""
    start: list[Event] = [CallStart(0, "c", "answer"), ItemEnd(0)]
    restore = Restore(ToolNames(NARROW), False, None, Emulation("answer", None), [])
    assert [type(event) for event in restore.feed(start)] == [ItemEnd]
    restore = Restore(ToolNames(NARROW), False, None, Emulation("answer", None), [])
    whole: list[Event] = [CallStart(0, "c", "answer"), ArgumentsDelta(0, "{}"), ItemEnd(0)]
    assert [type(event) for event in restore.feed(whole)] == [MessageStart, TextDelta, ItemEnd]
