"""Streams in the Responses dialect: order, honesty, and the same answer as without a stream."""

import json
from typing import Any

import pytest
from tests.unit.dialects.responses_client import scenes
from tests.unit.dialects.responses_client.grammar import check

from portico.dialects.responses.response_out import respond
from portico.dialects.responses.stream_out import stream
from portico.dialects.responses.wire import REQUIRED
from portico.errors import (
    InternalError,
    PorticoError,
    UpstreamProtocol,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
)
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    ReasoningStart,
    RefusalDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
    UsageSeen,
)
from portico.model.items import Hosted
from portico.model.losses import Loss
from portico.model.parts import Citation
from portico.model.response import fold
from portico.model.usage import Usage

CUT = UpstreamTruncated("The provider's answer was cut.")


def kinds(data: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in scenes.payloads(data)]


def test_a_text_answer_is_told_in_the_order_of_the_protocol() -> None:
    data = scenes.written(scenes.text_answer())
    assert kinds(data) == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.delta", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done", "completed",
    ]  # fmt: skip
    assert scenes.is_done(data)
    last = check(scenes.payloads(data))
    assert last["status"] == "completed"
    assert last["completed_at"] == 1_700_000_003
    assert last["output"][0]["content"][0]["text"] == "Hello there"
    assert last["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 11,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 21,
    }


def test_every_kind_of_item_keeps_the_grammar_and_folds_to_the_whole_answer() -> None:
    ask = scenes.asked({"stream": True, "metadata": {"a": "b"}})
    data = scenes.written(scenes.rich_answer(), ask)
    last = check(scenes.payloads(data))
    assert json.loads(respond(fold(scenes.rich_answer()), ask)) == last
    assert len(last["output"]) == 13


def test_how_events_come_together_does_not_matter() -> None:
    events = scenes.rich_answer()
    assert stream(scenes.asked()).encode(events) == scenes.written(events)


def test_names_that_look_like_templates_are_told_as_they_are() -> None:
    events: list[Event] = [
        Started(),
        CallStart(0, "call%d%b", "n%b\"'\\"),
        ArgumentsDelta(0, '{"%d":"%b"}'),
        ItemEnd(0),
        Finish("tool_calls"),
    ]
    item = check(scenes.payloads(scenes.written(events)))["output"][0]
    assert (item["call_id"], item["name"]) == ("call%d%b", "n%b\"'\\")
    assert item["arguments"] == '{"%d":"%b"}'


def test_the_call_keeps_its_call_id_and_is_told_by_name_when_done() -> None:
    events: list[Event] = [
        Started(), CallStart(0, "call_x", "look", namespace="ns"), ArgumentsDelta(0, "{}"),
        ItemEnd(0), Finish("tool_calls"),
    ]  # fmt: skip
    found = scenes.payloads(scenes.written(events))
    done = next(e for e in found if e["type"] == "response.function_call_arguments.done")
    assert (done["name"], done["arguments"]) == ("look", "{}")
    item = check(found)["output"][0]
    assert (item["call_id"], item["namespace"]) == ("call_x", "ns")
    assert found[-1]["response"]["status"] == "completed"


def test_a_function_called_without_arguments_got_an_empty_object() -> None:
    events: list[Event] = [Started(), CallStart(0, "c", "f"), ItemEnd(0), Finish("tool_calls")]
    data = scenes.written(events)
    assert check(scenes.payloads(data))["output"][0]["arguments"] == "{}"
    assert "function_call_arguments.delta" in kinds(data)


def test_a_custom_tool_called_without_input_got_none() -> None:
    events: list[Event] = [
        Started(), CallStart(0, "c", "f", "custom"), ItemEnd(0), Finish("tool_calls")
    ]  # fmt: skip
    assert check(scenes.payloads(scenes.written(events)))["output"][0]["input"] == ""


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (Finish("stop"), "completed", None),
        (Finish("stop_sequence", "END"), "completed", None),
        (Finish("tool_calls"), "completed", None),
        (Finish("length"), "incomplete", "max_output_tokens"),
        (Finish("content_filter"), "incomplete", "content_filter"),
        (Finish("pause"), "incomplete", "pause_turn"),
        (Finish("refusal"), "incomplete", "content_filter"),
        (Finish("refusal", "I will not."), "completed", None),
    ],
)
def test_how_an_answer_ended_is_told(finish: Finish, status: str, reason: str | None) -> None:
    cut = finish.reason in ("length", "content_filter")
    events: list[Event] = [
        Started(), MessageStart(0), TextDelta(0, "x"),
        ItemEnd(0, "incomplete" if cut else "completed"), finish,
    ]  # fmt: skip
    data = scenes.written(events)
    last = check(scenes.payloads(data))
    assert last["status"] == status
    assert last["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert (last["completed_at"] is None) == (status != "completed")
    assert last["output"][0]["status"] == ("incomplete" if cut else "completed")
    assert scenes.is_done(data)
    assert json.loads(respond(fold(events), scenes.asked())) == last


def test_a_refusal_that_came_as_text_is_not_told_twice() -> None:
    events: list[Event] = [
        Started(), MessageStart(0), RefusalDelta(0, "No."), ItemEnd(0), Finish("refusal", "No.")
    ]  # fmt: skip
    last = check(scenes.payloads(scenes.written(events)))
    assert [part["refusal"] for item in last["output"] for part in item["content"]] == ["No."]
    assert last["status"] == "completed"


def test_a_refusal_without_an_item_becomes_one() -> None:
    events: list[Event] = [Started(), Finish("refusal", "I will not.")]
    data = scenes.written(events)
    last = check(scenes.payloads(data))
    assert last["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]
    assert "refusal.delta" in kinds(data)
    assert "refusal.done" in kinds(data)


def test_usage_is_zeros_when_the_provider_gave_none() -> None:
    last = check(scenes.payloads(scenes.written([Started(), Finish("stop")])))
    assert last["usage"]["total_tokens"] == 0
    assert last["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert last["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}


def test_every_snapshot_has_all_31_members() -> None:
    for event in scenes.payloads(scenes.written(scenes.text_answer())):
        if "response" in event:
            assert event["response"].keys() >= REQUIRED.keys()
    failed = stream(scenes.asked())
    for event in scenes.payloads(failed.cut(CUT)):
        if "response" in event:
            assert event["response"].keys() >= REQUIRED.keys()


def test_the_model_of_the_target_is_told_when_the_provider_names_none() -> None:
    last = check(scenes.payloads(scenes.written([Started(), Finish("stop")])))
    assert last["model"] == "up-1"


def test_a_citation_after_the_end_of_its_part_still_belongs_to_it() -> None:
    last = check(scenes.payloads(scenes.written(scenes.rich_answer())))
    notes = last["output"][1]["content"][0]["annotations"]
    assert [note["type"] for note in notes] == ["url_citation", "file_citation"]


def test_logprobs_are_told_with_the_delta_and_again_when_done() -> None:
    wanted = json.loads(bytes(scenes.LOGPROBS))
    found = scenes.payloads(scenes.written(scenes.rich_answer()))
    deltas = [e["logprobs"] for e in found if e["type"] == "response.output_text.delta"]
    dones = [e["logprobs"] for e in found if e["type"] == "response.output_text.done"]
    assert deltas == [wanted, [], []]
    assert dones == [wanted, []]
    parts = found[-1]["response"]["output"][1]["content"]
    assert [part["logprobs"] for part in parts[:2]] == dones


def test_a_citation_may_come_before_any_text() -> None:
    events: list[Event] = [
        Started(), MessageStart(0), CitationAdded(0, Citation(kind="url", url="https://a.example")),
        TextDelta(0, "x"), ItemEnd(0), Finish("stop"),
    ]  # fmt: skip
    last = check(scenes.payloads(scenes.written(events)))
    part = last["output"][0]["content"][0]
    assert (part["text"], len(part["annotations"])) == ("x", 1)
    assert json.loads(respond(fold(events), scenes.asked())) == last


def test_what_was_cited_of_a_document_is_a_declared_loss() -> None:
    ask = scenes.asked()
    note = Citation(kind="document", title="a.pdf", cited_text="words")
    events: list[Event] = [
        Started(), MessageStart(0), TextDelta(0, "x"), CitationAdded(0, note),
        CitationAdded(0, note), ItemEnd(0), Finish("stop"),
    ]  # fmt: skip
    last = check(scenes.payloads(scenes.written(events, ask)))
    assert last["output"][0]["content"][0]["annotations"][0] == {
        "type": "file_citation", "file_id": "", "filename": "a.pdf", "index": 0,
    }  # fmt: skip
    assert [loss.path for loss in ask.losses] == ["output.annotations"]


def test_padding_that_was_asked_for_is_a_declared_loss() -> None:
    ask = scenes.asked({"stream_options": {"include_obfuscation": True}})
    stream(ask)
    where = "stream_options.include_obfuscation"
    assert ask.losses == [Loss(where, "dropped", "events are not padded")]
    quiet = scenes.asked({"stream_options": {"include_obfuscation": False}})
    stream(quiet)
    assert quiet.losses == []


# hosted items


def hosted(item: Hosted) -> list[dict[str, Any]]:
    return scenes.payloads(scenes.written([Started(), HostedDone(0, item), Finish("stop")]))


@pytest.mark.parametrize(
    ("item", "steps"),
    [
        (Hosted(type="web_search_call", input="q"),
         ["web_search_call.in_progress", "web_search_call.searching",
          "web_search_call.completed"]),
        (Hosted(type="web_search_call", input="q", status="failed"),
         ["web_search_call.in_progress", "web_search_call.searching"]),
        (Hosted(type="code_interpreter_call", input="1+1"),
         ["code_interpreter_call.in_progress", "code_interpreter_call_code.delta",
          "code_interpreter_call_code.done", "code_interpreter_call.interpreting",
          "code_interpreter_call.completed"]),
        (Hosted(type="code_interpreter_call"),
         ["code_interpreter_call.in_progress", "code_interpreter_call_code.done",
          "code_interpreter_call.interpreting", "code_interpreter_call.completed"]),
        (Hosted(type="image_generation_call", output="aGk="),
         ["image_generation_call.in_progress", "image_generation_call.generating",
          "image_generation_call.completed"]),
        (Hosted(type="mcp_call", status="failed"),
         ["mcp_call.in_progress", "mcp_call_arguments.delta", "mcp_call_arguments.done",
          "mcp_call.failed"]),
        (Hosted(type="mcp_list_tools"),
         ["mcp_list_tools.in_progress", "mcp_list_tools.completed"]),
        (Hosted(type="web_fetch_call", input="https://a.example"), []),
    ],
)  # fmt: skip
def test_hosted_items_have_the_steps_of_their_type(item: Hosted, steps: list[str]) -> None:
    found = hosted(item)
    check(found)
    assert [e["type"].removeprefix("response.") for e in found[3:-2]] == steps


def test_a_type_this_api_has_not_is_an_extension() -> None:
    item = hosted(Hosted(type="web_fetch_call", input="https://a.example", output="text"))[-1]
    assert item["response"]["output"] == [
        {
            "type": "portico:web_fetch_call",
            "id": f"item_{scenes.BASE}0000",
            "status": "completed",
            "name": "",
            "input": "https://a.example",
            "output": "text",
        }
    ]


def test_an_item_of_this_api_keeps_its_own_members_but_not_its_id() -> None:
    raw = scenes.Raw(
        b'{"type":"web_search_call",\n "id":"ws_theirs", "status":"completed",'
        b'"action":{"type":"open_page","url":"https://a.example"}}'
    )
    found = hosted(Hosted(type="web_search_call", native=("responses", raw)))
    item = check(found)["output"][0]
    assert item["id"] == f"ws_{scenes.BASE}0000"
    assert item["action"] == {"type": "open_page", "url": "https://a.example"}
    assert found[2]["item"]["action"] == {"type": "search", "query": ""}


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"type":1}', b"null"])
def test_an_item_that_cannot_be_read_is_written_from_what_is_known(raw: bytes) -> None:
    item = Hosted(type="mcp_call", name="n", native=("responses", scenes.Raw(raw)))
    assert check(hosted(item))["output"][0]["name"] == "n"


# failures


def open_streams() -> list[list[Event]]:
    return [
        [],
        [Started()],
        [Started(), MessageStart(0)],
        [Started(), MessageStart(0), TextDelta(0, "x")],
        [Started(), ReasoningStart(0), SummaryDelta(0, "x"), ThoughtDelta(0, "y")],
        [Started(), CallStart(0, "c", "f"), ArgumentsDelta(0, '{"a')],
        [Started(), CallStart(0, "c", "f", "custom")],
        [Started(), MessageStart(0), TextDelta(0, "x"), ItemEnd(0), UsageSeen(Usage(reasoning=3))],
    ]


@pytest.mark.parametrize("before", open_streams())
def test_a_cut_stream_never_looks_finished(before: list[Event]) -> None:
    writer = stream(scenes.asked())
    data = writer.encode(before) + writer.cut(CUT)
    assert b"[DONE]" not in data
    assert b"response.completed" not in data
    last = check(scenes.payloads(data))
    assert last["status"] == "failed"
    assert last["error"] == {"code": "server_error", "message": CUT.message}
    assert kinds(data)[-2:] == ["error", "failed"]
    ended = ItemEnd in [type(event) for event in before]
    for item in last["output"]:
        assert item["status"] == ("completed" if ended else "incomplete")
    assert writer.cut(CUT) == b""
    assert writer.encode([TextDelta(0, "late"), Finish("stop")]) == b""


@pytest.mark.parametrize("before", open_streams())
def test_a_failure_that_the_provider_declared_is_whole(before: list[Event]) -> None:
    fault = UpstreamRejected("Overloaded.", status=529, code="overloaded_error")
    data = scenes.written([*before, Failed(fault)])
    last = check(scenes.payloads(data))
    assert last["status"] == "failed"
    assert scenes.is_done(data)
    error = scenes.payloads(data)[-2]["error"]
    assert error == {
        "type": "server_error", "code": "overloaded_error", "message": "Overloaded.", "param": None,
    }  # fmt: skip


@pytest.mark.parametrize("fault", [CUT, UpstreamTimeout("Silent for too long.")])
def test_a_stream_that_ended_without_an_end_is_a_cut_too(fault: UpstreamTruncated) -> None:
    data = scenes.written([Started(), MessageStart(0), TextDelta(0, "x"), Failed(fault)])
    assert b"[DONE]" not in data
    assert check(scenes.payloads(data))["status"] == "failed"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UpstreamRejected("Slow down.", status=429, code="slow"), "rate_limit_exceeded"),
        (UpstreamRejected("Pay.", status=429, code="insufficient_quota"), "insufficient_quota"),
        (UpstreamRejected("Long.", status=400, code="context_length_exceeded"),
         "context_length_exceeded"),
        (UpstreamProtocol("Not JSON."), "server_error"),
        (InternalError("A defect."), "server_error"),
    ],
)  # fmt: skip
def test_errors_keep_their_class(fault: PorticoError, code: str) -> None:
    writer = stream(scenes.asked())
    data = writer.encode([Started()]) + writer.cut(fault)
    assert scenes.payloads(data)[-1]["response"]["error"]["code"] == code


def test_a_failed_answer_tells_what_was_used_until_then() -> None:
    used = UsageSeen(Usage(input_uncached=5, output_text=2))
    writer = stream(scenes.asked())
    data = writer.encode([Started(), used]) + writer.cut(CUT)
    assert check(scenes.payloads(data))["usage"]["total_tokens"] == 7


def test_nothing_follows_the_end() -> None:
    writer = stream(scenes.asked())
    writer.encode(scenes.text_answer())
    assert writer.encode(scenes.text_answer()) == b""
    assert writer.cut(CUT) == b""


def test_deltas_of_no_open_item_are_not_told() -> None:
    events: list[Event] = [
        Started(), TextDelta(0, "stray"), MessageStart(0), ArgumentsDelta(0, "stray"),
        TextDelta(0, "x"), ItemEnd(0), ThoughtDelta(0, "stray"), Finish("stop"),
    ]  # fmt: skip
    data = scenes.written(events)
    assert b"stray" not in data
    check(scenes.payloads(data))
