"""Background responses: polled, followed, dropped and followed again, cancelled, deleted."""

import asyncio
from typing import Any

import pytest
from tests.support.matrix import seals
from tests.support.stateful import (
    CELLS,
    SPLICED,
    Servers,
    answering,
    ask,
    both_ways,
    each_cell,
    finished,
    refusal,
    servers,
    told,
    tool,
    until,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

SLOW = "[[demo tokens=400 delay=0.05]] slowly"
CELLS_SLOW = pytest.mark.parametrize("cell", ["responses", "openai", "chat", "bedrock", "gemini"])


async def _begin(state: Servers, cell: str, said: Any, **more: Any) -> Any:
    return await state.sdk.responses.create(model=cell, input=said, background=True, **more)


async def _events(stream: Any, most: int | None = None) -> list[Any]:
    """Decoded events, all or the first `most`; the connection is dropped behind those."""
    events: list[Any] = []
    async for event in stream:
        events.append(event.to_dict())
        if len(events) == most:
            break
    await stream.close()
    return events


async def _resumed(state: Servers, id: str, after: int | None, most: int | None = None) -> Any:
    more: Any = {} if after is None else {"starting_after": after}
    return await _events(await state.sdk.responses.retrieve(id, stream=True, **more), most)


@each_cell
async def test_a_background_response_is_queued_at_once_and_polled_to_its_end(
    state: Servers, cell: str
) -> None:
    made = await _begin(
        state, cell, answering("[[demo first_delay=0.3]] go", "the end"), metadata={"a": "b"}
    )
    assert made.status == "queued"
    assert made.background is True
    assert made.store is True
    assert made.output == []
    assert made.usage is None
    done = await finished(state.client, made.id)
    assert (done.status, done.output_text) == ("completed", "the end")
    assert (done.id, done.created_at, done.background) == (made.id, made.created_at, True)
    assert done.metadata == {"a": "b"}
    assert done.usage.output_tokens > 0
    assert done.completed_at is not None
    items = await state.sdk.responses.input_items.list(made.id)
    assert len(items.data) == 1


@each_cell
async def test_a_dropped_stream_is_resumed_without_gap_or_double(state: Servers, cell: str) -> None:
    stream = await _begin(state, cell, "[[demo tokens=40 delay=0.01]] go", stream=True)
    seen = await _events(stream, 6)
    id = seen[0]["response"]["id"]
    assert seen[0]["response"]["status"] == "queued"
    assert [event["type"] for event in seen[:3]] == [
        "response.created", "response.queued", "response.in_progress"
    ]  # fmt: skip
    seen += await _resumed(state, id, seen[-1]["sequence_number"], 7)
    assert len(seen) == 13
    seen += await _resumed(state, id, seen[-1]["sequence_number"])
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[-1]["type"] == "response.completed"
    assert all(e["response"]["id"] == id for e in seen if "response" in e)
    assert all(e["response"]["background"] is True for e in seen if "response" in e)
    deltas = "".join(e["delta"] for e in seen if e["type"] == "response.output_text.delta")
    stored = await state.sdk.responses.retrieve(id)
    assert stored.output_text == deltas
    assert seen[-1]["response"] == stored.to_dict()
    # and all of it again, from anywhere, when it is over
    for after in (None, 0, 5, len(seen) - 3, len(seen) - 2):
        begin = 0 if after is None else after + 1
        assert await _resumed(state, id, after) == seen[begin:]


async def test_many_follow_one_run_and_see_the_same(state: Servers) -> None:
    stream = await _begin(state, "chat", "[[demo tokens=60 delay=0.01]] go", stream=True)
    seen = await _events(stream, 3)
    id = seen[0]["response"]["id"]
    views = await asyncio.gather(*[_resumed(state, id, after) for after in (None, 0, 1, 2, 2)])
    whole = views[0]
    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    for after, view in zip((0, 1, 2, 2), views[1:], strict=True):
        assert view == whole[after + 1 :]


async def test_following_from_behind_the_end_ends_at_once(state: Servers) -> None:
    stream = await _begin(state, "chat", "[[demo tokens=5]] go", stream=True)
    seen = await _events(stream)
    id = seen[0]["response"]["id"]
    assert len(await _resumed(state, id, len(seen) - 2)) == 1
    for after in (len(seen) - 1, len(seen) + 100):
        async with asyncio.timeout(5):
            assert await _resumed(state, id, after) == []


async def test_only_a_streamed_run_can_be_followed(state: Servers) -> None:
    whole = await _begin(state, "chat", "go")
    await finished(state.client, whole.id)
    plain = await ask(state.client, "chat", "go")
    streamed = await ask(state.client, "chat", "go", stream=True)
    for id in (whole.id, plain.id, streamed.id):
        await refusal(state.sdk.responses.retrieve(id, stream=True), 400, "stream")
    for query, param in (
        ("stream=perhaps", "stream"),
        ("stream=true&starting_after=x", "starting_after"),
        ("stream=true&starting_after=-1", "starting_after"),
    ):
        status, body = await state.client.raw("GET", f"/responses/{whole.id}?{query}")
        assert (status, body["error"]["param"]) == (400, param)


# cancelling


@CELLS_SLOW
@both_ways
async def test_a_slow_run_is_cancelled_here_and_at_the_provider(
    state: Servers, cell: str, stream: bool
) -> None:
    mark = len(state.heard)
    if stream:
        dropped = await _events(await _begin(state, cell, SLOW, stream=True), 8)
        id = dropped[0]["response"]["id"]
    else:
        id = (await _begin(state, cell, SLOW)).id
    await until(lambda: len(state.heard) > mark)
    cancelled = await state.sdk.responses.cancel(id)
    assert cancelled.status == "cancelled"
    assert cancelled.id == id
    async with asyncio.timeout(5):
        await state.heard[mark].over.wait()
    assert state.heard[mark].cancelled
    again = await state.sdk.responses.cancel(id)
    assert again == cancelled
    assert await state.sdk.responses.retrieve(id) == cancelled
    await asyncio.sleep(0.1)
    assert (await state.sdk.responses.retrieve(id)).status == "cancelled"
    if stream:
        after = await _resumed(state, id, None)
        assert after[:8] == dropped
        assert [e["sequence_number"] for e in after] == list(range(len(after)))
        assert after[-1]["response"]["status"] == "cancelled"


async def test_cancelling_ends_the_streams_of_those_who_follow(state: Servers) -> None:
    stream = await _begin(state, "chat", SLOW, stream=True)
    seen = await _events(stream, 5)
    id = seen[0]["response"]["id"]
    following = asyncio.ensure_future(_resumed(state, id, 0))
    await asyncio.sleep(0.1)
    await state.sdk.responses.cancel(id)
    async with asyncio.timeout(5):
        events = await following
    assert [e["sequence_number"] for e in events] == list(range(1, len(events) + 1))
    assert events[-1]["response"]["status"] == "cancelled"


async def test_a_finished_run_is_not_cancelled_any_more(state: Servers) -> None:
    made = await _begin(state, "chat", answering("go", "done"))
    done = await finished(state.client, made.id)
    assert await state.sdk.responses.cancel(made.id) == done


@each_cell
@both_ways
async def test_a_synchronous_response_cannot_be_cancelled(
    state: Servers, cell: str, stream: bool
) -> None:
    made = await ask(state.client, cell, "hello", stream=stream)
    error = await refusal(state.sdk.responses.cancel(made.id), 400, "response_id")
    assert "synchronous" in error.message


async def test_a_cancelled_run_can_be_continued_with_what_it_said(state: Servers) -> None:
    stream = await _begin(state, "messages", SLOW, stream=True)
    seen = await _events(stream, 12)
    id = seen[0]["response"]["id"]
    await state.sdk.responses.cancel(id)
    after = await ask(state.client, "chat", "go on", previous_response_id=id)
    assert after.previous_response_id == id
    assert words(state.last)[0] == ("user", SLOW)
    assert words(state.last)[-1] == ("user", "go on")


# what goes wrong


@each_cell
@pytest.mark.parametrize("how", ["status=500", "status=429", "cut=5", "error=5", "status=400"])
async def test_a_run_that_fails_says_so(state: Servers, cell: str, how: str) -> None:
    made = await _begin(state, cell, f"[[demo {how} tokens=20 delay=0.01]] go")
    assert made.status == "queued"
    done = await finished(state.client, made.id)
    assert done.status == "failed"
    assert done.error.code
    assert done.error.message
    assert done.background is True
    stream = await _begin(state, cell, f"[[demo {how} tokens=20 delay=0.01]] go", stream=True)
    events = await told(stream)
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["message"] == done.error.message
    assert not any(e["type"] == "response.completed" for e in events)


@each_cell
async def test_an_answer_that_was_cut_short_is_incomplete(state: Servers, cell: str) -> None:
    made = await _begin(state, cell, "[[demo finish=length]] go")
    done = await finished(state.client, made.id)
    assert done.status == "incomplete"
    assert done.incomplete_details.reason == "max_output_tokens"


@both_ways
async def test_a_bad_request_is_refused_before_it_is_queued(state: Servers, stream: bool) -> None:
    mark = len(state.heard)
    more: Any = {"background": True, "stream": stream}
    await refusal(
        state.sdk.responses.create(
            model="chat", input="x", previous_response_id="resp_nobody", **more
        ),
        400, "previous_response_id", "previous_response_not_found",
    )  # fmt: skip
    await refusal(state.sdk.responses.create(model="nothing", input="x", **more), 404, "model")
    assert len(state.heard) == mark


# together with the rest


@each_cell
@both_ways
async def test_a_run_that_is_not_to_be_stored_can_be_polled(
    state: Servers, cell: str, stream: bool
) -> None:
    said = answering("go", "done")
    if stream:
        events = await _events(await _begin(state, cell, said, store=False, stream=True))
        id = events[0]["response"]["id"]
        assert events[0]["response"]["store"] is False
    else:
        made = await _begin(state, cell, said, store=False)
        id = made.id
        assert made.store is False
    done = await finished(state.client, id)
    assert (done.status, done.output_text, done.store) == ("completed", "done", False)


@each_cell
async def test_a_live_run_cannot_be_continued_and_a_finished_one_can(
    state: Servers, cell: str
) -> None:
    root = await ask(state.client, cell, answering("root", "rooted"))
    made = await _begin(
        state, cell, answering("[[demo first_delay=0.4]] go", "done"),
        previous_response_id=root.id,
    )  # fmt: skip
    assert made.previous_response_id == root.id
    await refusal(
        ask(state.client, cell, "x", previous_response_id=made.id), 400, "previous_response_id"
    )
    done = await finished(state.client, made.id)
    assert done.previous_response_id == root.id
    after = await ask(state.client, cell, "and?", previous_response_id=made.id)
    assert after.previous_response_id == made.id
    assert words(state.last)[:4] == [
        ("user", answering("root", "rooted")),
        ("assistant", "rooted"),
        ("user", answering("[[demo first_delay=0.4]] go", "done")),
        ("assistant", "done"),
    ]


@pytest.mark.parametrize("cell", list(CELLS))
async def test_items_of_a_run_can_be_referred_to(state: Servers, cell: str) -> None:
    made = await _begin(state, cell, "The weather in Oslo", tools=[tool()])
    done = await finished(state.client, made.id)
    (call,) = [item for item in done.output if item.type == "function_call"]
    asked = (await state.sdk.responses.input_items.list(made.id)).data
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "4 degrees"}
    for chosen in (cell, "chat" if cell != "chat" else "messages"):
        after = await ask(
            state.client,
            chosen,
            [{"id": asked[0].id}, *({"id": item.id} for item in done.output), output],
            tools=[tool()],
        )
        assert "4 degrees" in after.output_text
        assert b"The weather in Oslo" in state.last.body


@each_cell
async def test_a_tool_loop_goes_on_from_a_run(state: Servers, cell: str) -> None:
    made = await _begin(state, cell, "The weather in Oslo", tools=[tool()])
    done = await finished(state.client, made.id)
    (call,) = [item for item in done.output if item.type == "function_call"]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "4 degrees"}
    again = await _begin(state, cell, [output], tools=[tool()], previous_response_id=made.id)
    assert "4 degrees" in (await finished(state.client, again.id)).output_text


@pytest.mark.parametrize("cell", ["responses", "openai", "messages", "gemini", "bedrock"])
async def test_a_run_keeps_its_sealed_reasoning(state: Servers, cell: str) -> None:
    more: Any = {
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    made = await _begin(state, cell, "[[demo plan=think+text]] why?", **more)
    await finished(state.client, made.id)
    found = list(seals(bytes(state.last.answer)))
    assert found
    await ask(state.client, cell, "and?", previous_response_id=made.id, **more)
    assert all(each.encode() in state.last.body for each in found)


@both_ways
async def test_a_conversation_that_was_deleted_meanwhile_takes_nothing_from_a_run(
    state: Servers, stream: bool
) -> None:
    made = await state.sdk.conversations.create()
    said = "[[demo first_delay=0.3 text=done]]"
    run = await _begin(state, "chat", said, conversation=made.id, stream=stream)
    id = (await _events(run, 1))[0]["response"]["id"] if stream else run.id
    await state.sdk.conversations.delete(made.id)
    assert (await finished(state.client, id)).output_text == "done"
    await refusal(state.sdk.conversations.retrieve(made.id), 404, "conversation_id")


async def test_a_run_is_part_of_its_conversation_when_it_is_over(state: Servers) -> None:
    made = await state.sdk.conversations.create()
    run = await _begin(state, "chat", answering("q", "a"), conversation=made.id)
    assert run.conversation.id == made.id
    done = await finished(state.client, run.id)
    assert done.conversation.id == made.id
    items = (await state.sdk.conversations.items.list(made.id, order="asc")).data
    assert [item.content[0].text for item in items] == [answering("q", "a"), "a"]  # type: ignore[union-attr]


@both_ways
async def test_deleting_a_live_run_ends_it(state: Servers, stream: bool) -> None:
    mark = len(state.heard)
    if stream:
        seen = await _events(await _begin(state, "chat", SLOW, stream=True), 5)
        id = seen[0]["response"]["id"]
    else:
        id = (await _begin(state, "chat", SLOW)).id
    await until(lambda: len(state.heard) > mark)
    await state.sdk.responses.delete(id)
    async with asyncio.timeout(5):
        await state.heard[mark].over.wait()
    assert state.heard[mark].cancelled
    for call in (
        state.sdk.responses.retrieve(id),
        state.sdk.responses.cancel(id),
        state.sdk.responses.retrieve(id, stream=True),
    ):
        await refusal(call, 404, "response_id", "response_not_found")


async def test_every_run_has_one_record_and_leaves_nothing_in_flight(state: Servers) -> None:
    mark = len(state.gateway.outcomes)
    for said in ("done", "[[demo status=500]] x"):
        await finished(state.client, (await _begin(state, "chat", said)).id)
    slow = await _begin(state, "chat", SLOW)
    await state.sdk.responses.cancel(slow.id)
    gone = await _begin(state, "openai", SLOW)
    await state.sdk.responses.delete(gone.id)
    await until(lambda: state.gateway.sample("portico_in_flight") == 0)
    runs = [
        each for each in state.gateway.outcomes[mark:] if each.endpoint.endswith("(background)")
    ]
    assert [run.verdict for run in runs] == [
        "ok",
        "upstream_error",
        "client_cancelled",
        "client_cancelled",
    ]
    assert runs[0].usage is not None
    assert len({run.request_id for run in runs}) == 4


@pytest.mark.parametrize("cell", SPLICED)
async def test_a_provider_is_not_asked_to_run_in_the_background(state: Servers, cell: str) -> None:
    mark = len(state.heard)
    made = await _begin(state, cell, answering("go", "done"))
    await finished(state.client, made.id)
    assert "background" not in state.heard[mark].json
    assert state.heard[mark].json["stream"] is True
    assert len(state.heard) == mark + 1
