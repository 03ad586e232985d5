"""Compaction, truncation and counting on the translate lane, down to the provider's bytes."""

import json
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.gateway import Gateway, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, http_json, send, sse

from portico.model.passes.compaction import HEADING, PROMPT

Items = list[dict[str, Any]]
OLD: Items = [
    {"role": "developer", "content": "Speak plainly."},
    {"role": "user", "content": "Paint the gate. " + "blue " * 900},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hmm"}]},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":"gate"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "it is rusty"},
    {"role": "assistant", "content": "It is rusty."},
]
LAST: Items = [
    {"role": "user", "content": "Which paint?"},
    {"type": "function_call", "call_id": "c2", "name": "shop", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c2", "output": "enamel"},
]
COMPACT = [{"type": "compaction", "compact_threshold": 1000}]
TOOLS = [{"type": "function", "name": name, "parameters": {}, "strict": False}
         for name in ("look", "shop")]  # fmt: skip


def said(text: str, tokens: int) -> list[Any]:
    usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2}
    choice = {"index": 0, "message": {"role": "assistant", "content": text},
              "finish_reason": "stop"}  # fmt: skip
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
            "choices": [choice]}  # fmt: skip
    return [expect(), send(http_json(200, body))]


def streamed(text: str, tokens: int) -> list[Any]:
    def piece(delta: dict[str, Any], reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1,
                           "model": "m", "choices": [choice], **more})  # fmt: skip

    usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2}
    frames = [piece({"role": "assistant", "content": text}), piece({}, "stop", usage=usage)]
    return [expect(), sse([*frames, "[DONE]"])]


async def gate_to(launch: Launch, upstream: ScriptedUpstream, **more: Any) -> Gateway:
    served = model("alias", provider(upstream.url, formats=["completions"]), "m-x", **more)
    return await launch(settings(route([served])))


async def post(gate: Gateway, items: Any, path: str = "", **more: Any) -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        body = {"model": "alias", "store": False, **more}
        if items is not None:
            body["input"] = items
        if path:
            body.pop("store")
        await client.request("POST", f"/v1/responses{path}", body)
        return await client.response()


def events(answer: RawResponse) -> Items:
    return [json.loads(line) for line in answer.data_lines() if line != b"[DONE]"]


def texts(upstream: ScriptedUpstream, index: int) -> list[tuple[str, str]]:
    return [
        (each["role"], each.get("content") or "")
        for each in upstream.requests[index].json()["messages"]
    ]


# compaction while a response is made


@pytest.mark.parametrize("stream", [False, True])
async def test_over_the_threshold_the_answer_begins_with_a_compaction(
    stream: bool, launch: Launch, play: Play
) -> None:
    second = streamed("Red.", 50) if stream else said("Red.", 50)
    upstream = await play(said("SUMMARY", 700), second)
    gate = await gate_to(launch, upstream)
    answer = await post(gate, OLD + LAST, tools=TOOLS, context_management=COMPACT, stream=stream)
    assert answer.status == 200
    told = events(answer)[-1]["response"] if stream else answer.json()
    assert [item["type"] for item in told["output"]] == ["compaction", "message"]
    assert told["output"][0]["id"].startswith("cmp_")
    assert told["output"][1]["content"][0]["text"] == "Red."
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (750, 4)
    usage = (await gate.last()).usage
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (750, 4)
    assert "context_management" not in (answer.header("x-portico-losses") or "")
    if stream:
        kinds = [(each["type"], each.get("output_index")) for each in events(answer)][2:5]
        assert kinds == [
            ("response.output_item.added", 0),
            ("response.output_item.done", 0),
            ("response.output_item.added", 1),
        ]
        numbers = [each["sequence_number"] for each in events(answer)]
        assert numbers == list(range(len(numbers)))


async def test_what_is_asked_and_what_is_then_sent(launch: Launch, play: Play) -> None:
    upstream = await play(said("SUMMARY", 700), said("Red.", 50))
    gate = await gate_to(launch, upstream)
    await post(gate, OLD + LAST, tools=TOOLS, context_management=COMPACT)
    question = upstream.requests[0].json()
    assert "tools" not in question
    retold = [text for _, text in texts(upstream, 0)]
    assert retold[0] == "Speak plainly."
    assert '[Called the tool look with: {"at":"gate"}]' in retold
    assert any("Result of the tool look" in text and "it is rusty" in text for text in retold)
    assert retold[-1].endswith(PROMPT)
    sent = upstream.requests[1].json()
    assert len(sent["tools"]) == 2
    roles = [each["role"] for each in sent["messages"]]
    assert roles == ["system", "user", "user", "assistant", "tool"]
    assert sent["messages"][1]["content"] == f"{HEADING}\nSUMMARY"
    assert sent["messages"][4]["content"] == "enamel"


@pytest.mark.parametrize("drop", [False, True])
async def test_the_next_turn_goes_on_from_the_compaction_whatever_the_client_keeps(
    drop: bool, launch: Launch, play: Play
) -> None:
    upstream = await play(said("SUMMARY", 700), said("Red.", 50), said("Fine.", 60))
    gate = await gate_to(launch, upstream)
    first = await post(gate, OLD + LAST, tools=TOOLS, context_management=COMPACT)
    output = first.json()["output"]
    history = output if drop else OLD + LAST + output
    new = {"role": "user", "content": "Sure?"}
    again = await post(gate, [*history, new], tools=TOOLS, context_management=COMPACT)
    assert [item["type"] for item in again.json()["output"]] == ["message"]
    sent = texts(upstream, 2)
    summary = next(text for _, text in sent if text.startswith(HEADING))
    assert "SUMMARY" in summary
    assert "Which paint?" in summary
    assert "enamel" in summary
    assert sent[-2:] == [("assistant", "Red."), ("user", "Sure?")]
    assert not any("blue blue" in text for _, text in sent)
    assert ("system", "Speak plainly.") in sent or drop
    assert again.header("x-portico-losses") is None


async def test_under_the_threshold_nothing_is_compacted(launch: Launch, play: Play) -> None:
    upstream = await play(said("Hi.", 5))
    gate = await gate_to(launch, upstream)
    answer = await post(gate, "Hello", context_management=COMPACT)
    assert [item["type"] for item in answer.json()["output"]] == ["message"]
    assert len(upstream.requests) == 1


async def test_a_single_turn_has_nothing_to_fold(launch: Launch, play: Play) -> None:
    upstream = await play(said("Hi.", 5))
    gate = await gate_to(launch, upstream)
    answer = await post(gate, "word " * 3000, context_management=COMPACT)
    assert [item["type"] for item in answer.json()["output"]] == ["message"]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_trigger_is_answered_with_the_compaction_only(
    stream: bool, launch: Launch, play: Play
) -> None:
    upstream = await play(said("SUMMARY", 700))
    gate = await gate_to(launch, upstream)
    items = [*OLD, {"type": "compaction_trigger"}]
    answer = await post(gate, items, stream=stream)
    told = events(answer)[-1]["response"] if stream else answer.json()
    assert (answer.status, told["status"]) == (200, "completed")
    assert [item["type"] for item in told["output"]] == ["compaction"]
    assert told["usage"]["input_tokens"] == 700
    assert len(upstream.requests) == 1
    usage = (await gate.last()).usage
    assert usage is not None
    assert usage.input_total == 700


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"context_management": [{"type": "magic"}]}, "context_management[0].type",
         "invalid_value"),
        ({"context_management": [{}]}, "context_management[0].type",
         "missing_required_parameter"),
        ({"context_management": [{"type": "compaction", "compact_threshold": 999}]},
         "context_management[0].compact_threshold", "integer_below_min_value"),
        ({"context_management": [{"type": "compaction", "compact_threshold": "x"}]},
         "context_management[0].compact_threshold", "invalid_type"),
        ({"context_management": COMPACT * 2}, "context_management[1]", "invalid_value"),
        ({"input": [{"type": "compaction_trigger"}, LAST[0]]}, "input[0]", "invalid_value"),
    ],
)  # fmt: skip
async def test_a_wrong_wish_names_its_member(
    more: dict[str, Any], param: str, code: str, launch: Launch, play: Play
) -> None:
    upstream = await play()
    gate = await gate_to(launch, upstream)
    answer = await post(gate, None, **{"input": "Hello", **more})
    error = answer.json()["error"]
    assert (answer.status, error["param"], error["code"]) == (400, param, code)
    assert upstream.requests == []


async def test_a_summary_that_fails_fails_the_request_with_the_providers_error(
    launch: Launch, play: Play
) -> None:
    busy = http_json(429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
    upstream = await play([expect(), send(busy)])
    gate = await gate_to(launch, upstream)
    answer = await post(gate, OLD + LAST, context_management=COMPACT, stream=True)
    assert (answer.status, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_tokens_of_the_summary_are_not_forgotten_when_the_answer_fails(
    launch: Launch, play: Play
) -> None:
    broken = http_json(500, {"error": {"message": "oh", "code": "server_error"}})
    upstream = await play(said("SUMMARY", 700), [expect(), send(broken)])
    gate = await gate_to(launch, upstream)
    assert (await post(gate, OLD + LAST, context_management=COMPACT)).status == 500
    usage = (await gate.last()).usage
    assert usage is not None
    assert (usage.input_total, usage.output_total) == (700, 2)


async def test_an_empty_summary_is_a_bad_gateway(launch: Launch, play: Play) -> None:
    gate = await gate_to(launch, await play(said(" ", 7)))
    assert (await post(gate, OLD + LAST, context_management=COMPACT)).status == 502


# truncation


async def test_truncation_auto_sends_what_fits_and_says_so_once(launch: Launch, play: Play) -> None:
    upstream = await play(said("Red.", 50))
    gate = await gate_to(launch, upstream, context_window=1000)
    answer = await post(gate, OLD + LAST, tools=TOOLS, truncation="auto")
    assert (answer.status, answer.json()["truncation"]) == (200, "auto")
    assert answer.header("x-portico-losses") == "input=dropped"
    assert texts(upstream, 0)[0] == ("system", "Speak plainly.")
    roles = [role for role, _ in texts(upstream, 0)]
    assert roles == ["system", "user", "assistant", "tool"]


async def test_truncation_that_changes_nothing_is_no_loss(launch: Launch, play: Play) -> None:
    gate = await gate_to(launch, await play(said("Red.", 50)), context_window=100_000)
    answer = await post(gate, "Hello", truncation="auto")
    assert answer.header("x-portico-losses") is None


@pytest.mark.parametrize("truncation", ["auto", "disabled", None])
async def test_a_turn_over_the_window_is_refused_before_it_is_sent(
    truncation: str | None, launch: Launch, play: Play
) -> None:
    upstream = await play()
    gate = await gate_to(launch, upstream, context_window=8000)
    more = {} if truncation is None else {"truncation": truncation}
    answer = await post(gate, "word " * 20_000, **more)
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (400, "context_length_exceeded")
    assert error["param"] == "input"
    assert upstream.requests == []


# the endpoints of their own


async def test_compact_gives_the_users_messages_again_and_one_compaction(
    launch: Launch, play: Play
) -> None:
    upstream = await play(said("SUMMARY", 700))
    gate = await gate_to(launch, upstream)
    shown = {"role": "user", "content": [{"type": "input_text", "text": "See"}], "id": "msg_1"}
    answer = await post(gate, [*OLD, shown], "/compact", instructions="Be brief.")
    body = answer.json()
    assert (answer.status, body["object"]) == (200, "response.compaction")
    assert body["id"].startswith("resp_")
    assert isinstance(body["created_at"], int)
    kinds = [(item["type"], item.get("role"), item.get("status")) for item in body["output"]]
    assert kinds == [
        ("message", "user", "completed"),
        ("message", "user", "completed"),
        ("compaction", None, None),
    ]
    assert body["output"][0]["content"][0]["type"] == "input_text"
    assert body["output"][1]["content"] == shown["content"]
    assert len({item["id"] for item in body["output"]}) == 3
    assert body["usage"]["total_tokens"] == 702
    assert texts(upstream, 0)[0] == ("system", "Be brief.")


@pytest.mark.parametrize("given", [None, []])
async def test_compact_needs_something_to_compact(given: Any, launch: Launch, play: Play) -> None:
    gate = await gate_to(launch, await play())
    answer = await post(gate, given, "/compact")
    assert (answer.status, answer.json()["error"]["param"]) == (400, "input")


async def test_a_count_that_no_provider_makes_is_declared_an_estimate(
    launch: Launch, play: Play
) -> None:
    upstream = await play()
    gate = await gate_to(launch, upstream)
    answer = await post(gate, OLD, "/input_tokens")
    body = answer.json()
    assert (answer.status, body["object"]) == (200, "response.input_tokens")
    assert 900 < body["input_tokens"] < 2000
    assert answer.header("x-portico-losses") == "input_tokens=adapted"
    assert upstream.requests == []
