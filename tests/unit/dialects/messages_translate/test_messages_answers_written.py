"""Answers for clients of the Messages API: valid for the SDK, and nothing lost in silence."""

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message as SdkMessage
from msgspec import Raw
from tests.unit.dialects.messages_translate.common import (
    BASE,
    accumulate,
    asked,
    payloads,
    read,
    request,
    seal,
    unseal,
)

from portico.dialects.messages.client import CLIENT
from portico.dialects.messages.ours import SERVER_CALL
from portico.errors import RateLimited, UpstreamRejected, UpstreamTruncated
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
    UsageSeen,
)
from portico.model.items import Compaction, Hit, Hosted, Message, Reasoning, ToolCall
from portico.model.parts import Citation, Refusal, Text
from portico.model.request import ReasoningAsk
from portico.model.response import GenerateResponse
from portico.model.sealed import Sealed
from portico.model.usage import Usage

STOP = Finish("stop")
PROOF = Sealed("gemini/google", "next", "proof")


def respond(*items: Any, finish: Finish = STOP, for_: Any = None, **more: Any) -> dict[str, Any]:
    told = for_ if for_ is not None else asked()
    answer = GenerateResponse(
        id="up", model=more.pop("model", "gpt-x"), items=items, finish=finish, **more
    )
    body = CLIENT.respond(answer, told)
    SdkMessage.model_validate_json(body)
    found: dict[str, Any] = json.loads(body)
    return found


def test_an_answer_has_our_id_the_providers_model_and_disjoint_counts() -> None:
    usage = Usage(input_uncached=10, cache_read=4, cache_write=3, output_text=5, reasoning=2)
    body = respond(Message("assistant", (Text("Hi"),)), usage=usage, service_tier="priority")
    assert body == {
        "id": f"msg_{BASE}",
        "type": "message",
        "role": "assistant",
        "model": "gpt-x",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 4,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
            "service_tier": "priority",
        },
    }
    assert respond(model="")["model"] == "the-model"


def test_reasoning_is_thinking_with_a_sealed_proof_or_none() -> None:
    redacted = Sealed("messages/anthropic", "redacted", "d")
    body = respond(
        Reasoning(("a", "b"), (), PROOF),
        Reasoning((), ("raw",), None),
        Reasoning((), (), PROOF),
        Reasoning((), (), redacted),
        Reasoning((), (), None),
    )
    assert body["content"] == [
        {"type": "thinking", "thinking": "a\n\nb", "signature": seal(PROOF)},
        {"type": "thinking", "thinking": "raw", "signature": ""},
        {"type": "thinking", "thinking": "", "signature": seal(PROOF)},
        {"type": "redacted_thinking", "data": seal(redacted)},
    ]


def test_a_client_that_wants_no_thoughts_gets_their_proof_only() -> None:
    told = asked(request(dialect="messages", reasoning=ReasoningAsk(summary="none")))
    items = (Reasoning(("secret",), (), PROOF), Reasoning(("secret",), (), None))
    assert respond(*items, for_=told)["content"] == [
        {"type": "thinking", "thinking": "", "signature": seal(PROOF)}
    ]
    stream = CLIENT.stream(told)
    frames = stream.encode(
        [Started(), ReasoningStart(0), SummaryDelta(0, "secret"), SealedSeen(0, PROOF), ItemEnd(0),
         ReasoningStart(1), SummaryDelta(1, "secret"), ItemEnd(1), STOP]
    )  # fmt: skip
    assert b"secret" not in frames
    assert [block.type for block in accumulate(frames).content] == ["thinking"]


def test_what_a_client_gets_it_can_send_back_for_the_same_history() -> None:
    items = (
        Reasoning(("why",), (), PROOF),
        Reasoning((), (), Sealed("messages/anthropic", "redacted", "d")),
        Message("assistant", (Text("calling"),)),
        ToolCall("call_1", "f", '{"a":1}'),
    )
    body = respond(*items, finish=Finish("tool_calls"))
    again = read({"messages": [{"role": "assistant", "content": body["content"]}]}).items
    assert again[:3] == items[:3]
    assert again[3] == ToolCall("call_1", "f", '{"a": 1}')


def test_calls_keep_their_ids_unless_no_client_would_take_them() -> None:
    told = asked()
    body = respond(
        ToolCall("functions.get:0", "f", "{}"),
        ToolCall("functions_get_0", "f", ""),
        ToolCall("call_ok-1", "f", "not json"),
        ToolCall("", "g", "free text", "custom"),
        finish=Finish("tool_calls"),
        for_=told,
    )
    assert [block["id"] for block in body["content"]] == [
        "functions_get_0",
        "functions_get_0_2",
        "call_ok-1",
        f"toolu_{BASE}3",
    ]
    assert [block["input"] for block in body["content"]] == [
        {},
        {},
        {"input": "not json"},
        {"input": "free text"},
    ]
    assert body["stop_reason"] == "tool_use"
    assert [loss.how for loss in told.losses] == ["adapted", "adapted"]


@pytest.mark.parametrize(
    ("finish", "items", "wanted"),
    [
        (Finish("stop"), (), "end_turn"),
        (Finish("stop"), (ToolCall("c", "f", "{}"),), "tool_use"),
        (Finish("stop"), (Message("assistant", (Refusal("No"),)),), "refusal"),
        (Finish("tool_calls"), (), "tool_use"),
        (Finish("length"), (), "max_tokens"),
        (
            Finish("length", "", "model_context_window_exceeded"),
            (),
            "model_context_window_exceeded",
        ),
        (Finish("content_filter"), (), "refusal"),
        (Finish("refusal", "Because."), (), "refusal"),
        (Finish("pause"), (), "pause_turn"),
        (Finish("stop_sequence", "END"), (), "stop_sequence"),
    ],
)
def test_stop_reasons(finish: Finish, items: tuple[Any, ...], wanted: str) -> None:
    body = respond(*items, finish=finish)
    assert body["stop_reason"] == wanted
    assert body["stop_sequence"] == ("END" if wanted == "stop_sequence" else None)
    if wanted == "refusal":
        said = finish.detail or ("No" if items else None)
        assert body["stop_details"]["explanation"] == said


def test_the_only_stop_sequence_is_the_one_that_was_hit() -> None:
    told = asked(request(dialect="messages", stop=("X",)))
    assert respond(finish=Finish("stop_sequence"), for_=told)["stop_sequence"] == "X"
    told = asked(request(dialect="messages", stop=("X", "Y")))
    assert respond(finish=Finish("stop_sequence"), for_=told)["stop_sequence"] is None


def test_searches_and_code_are_told_as_anthropics() -> None:
    told = asked()
    body = respond(
        Hosted(type="web_search_call", input="cats", hits=(Hit("https://c", "Cats"),)),
        Hosted(type="code_interpreter_call", input="1", output="2"),
        Hosted(type="image_generation_call", output="aGk="),
        Compaction("x"),
        for_=told,
    )
    search, found, code, ran = body["content"]
    assert search["id"].startswith(SERVER_CALL)
    assert (search["name"], search["input"]) == ("web_search", {"query": "cats"})
    assert found["tool_use_id"] == search["id"]
    assert [(hit["url"], hit["title"]) for hit in found["content"]] == [("https://c", "Cats")]
    assert (code["name"], code["input"]) == ("code_execution", {"code": "1"})
    assert ran["tool_use_id"] == code["id"] != search["id"]
    assert ran["content"]["stdout"] == "2"
    assert [loss.how for loss in told.losses] == ["dropped", "dropped"]


def test_anthropics_own_blocks_come_back_as_they_were() -> None:
    blocks = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}]
    item = Hosted(type="web_search_call", native=("messages", Raw(json.dumps(blocks).encode())))
    assert respond(item)["content"] == blocks


CITED = (
    Citation(kind="url", url="https://x", title="X", cited_text="c", start=0, end=1),
    Citation(kind="file", file_id="file_1", filename="a.txt", index=2),
    Citation(kind="container_file", file_id="file_2"),
)


def test_citations() -> None:
    told = asked()
    body = respond(Message("assistant", (Text("x", CITED),)), for_=told)
    web, file = body["content"][0]["citations"]
    assert (web["type"], web["url"], web["cited_text"]) == (
        "web_search_result_location",
        "https://x",
        "c",
    )
    assert (file["type"], file["file_id"], file["document_index"]) == ("char_location", "file_1", 2)
    assert [loss.how for loss in told.losses] == ["dropped"]


def stream(*events: Any, for_: Any = None) -> bytes:
    return CLIENT.stream(for_ if for_ is not None else asked()).encode(list(events))


def test_a_stream_says_what_is_known_first_and_everything_at_the_end() -> None:
    early, late = Usage(input_uncached=9), Usage(input_uncached=11, output_text=2)
    found = payloads(
        stream(
            Started("up", "gpt-x"),
            UsageSeen(early),
            MessageStart(0),
            TextDelta(0, "é\u2028"),
            ItemEnd(0),
            UsageSeen(late),
            STOP,
        )
    )
    assert [event["type"] for event in found] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert found[0]["message"]["usage"]["input_tokens"] == 9
    assert found[0]["message"]["model"] == "gpt-x"
    assert found[3]["delta"]["text"] == "é\u2028"
    assert found[5]["usage"] == {
        "input_tokens": 11,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 2,
    }


def test_message_start_does_not_wait_for_the_first_text() -> None:
    out = CLIENT.stream(asked())
    assert payloads(out.encode([Started()]))[0]["type"] == "message_start"
    assert out.encode([UsageSeen(Usage())]) == b""
    assert out.encode([]) == b""


def test_free_form_calls_travel_as_an_object() -> None:
    text = 'say "hi"\n😀'
    message = accumulate(
        stream(
            Started(),
            CallStart(0, "c", "f", "custom"),
            *[ArgumentsDelta(0, letter) for letter in text],
            ItemEnd(0),
            CallStart(1, "d", "g"),
            ArgumentsDelta(1, '{"a":'),
            ArgumentsDelta(1, "1}"),
            ItemEnd(1),
            Finish("tool_calls"),
        )
    )
    assert [block.input for block in message.content] == [{"input": text}, {"a": 1}]  # type: ignore[union-attr]


def test_parts_of_reasoning_are_set_apart_and_one_kind_of_thought_is_told() -> None:
    told = asked()
    message = accumulate(
        stream(
            Started(),
            ReasoningStart(0),
            SummaryDelta(0, "a"),
            PartEnd(0),
            ThoughtDelta(0, "raw"),
            SummaryDelta(0, "b"),
            SealedSeen(0, PROOF),
            ItemEnd(0),
            STOP,
            for_=told,
        )
    )
    (block,) = message.content
    assert block.type == "thinking"
    assert block.thinking == "a\n\nb"
    assert unseal(block.signature) == PROOF
    assert [loss.how for loss in told.losses] == ["dropped"]


def test_hosted_items_and_citations_in_a_stream() -> None:
    told = asked()
    message = accumulate(
        stream(
            Started(),
            HostedDone(0, Hosted(type="web_search_call", input="q", hits=(Hit("https://x"),))),
            MessageStart(1),
            TextDelta(1, "x"),
            CitationAdded(1, CITED[0]),
            PartEnd(1),
            CitationAdded(1, CITED[0]),
            ItemEnd(1),
            STOP,
            for_=told,
        )
    )
    call, found, text = message.content
    assert call.type == "server_tool_use"
    assert call.input == {"query": "q"}
    assert found.type == "web_search_tool_result"
    assert text.type == "text"
    assert len(text.citations or []) == 1
    assert [loss.how for loss in told.losses] == ["dropped"]


def test_a_failure_is_an_error_event_and_the_last_one() -> None:
    out = CLIENT.stream(asked())
    fault = UpstreamRejected("Slow down.", status=429)
    frames = out.encode([Started(), MessageStart(0), TextDelta(0, "a"), Failed(fault)])
    with pytest.raises(anthropic.APIStatusError, match="Slow down"):
        accumulate(frames)
    assert payloads(frames)[-1]["error"]["type"] == "rate_limit_error"
    assert out.encode([STOP]) == b""


def test_a_cut_looks_like_an_error_and_never_like_an_end() -> None:
    out = CLIENT.stream(asked())
    frames = out.encode([Started()]) + out.cut(UpstreamTruncated("It was cut."))
    with pytest.raises(anthropic.APIStatusError, match="was cut"):
        accumulate(frames)
    assert out.cut(RateLimited("x")) == b""
    done = CLIENT.stream(asked())
    done.encode([Started(), STOP])
    assert done.cut(UpstreamTruncated("x")) == b""
