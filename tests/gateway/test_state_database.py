"""What the gateway does without a database, with one that is gone, and with one that is slow."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from tests.support.stateful import (
    SPLICED,
    Servers,
    answering,
    ask,
    both_ways,
    each_cell,
    refusal,
    servers,
    told,
    until,
    words,
)

from portico.state.port import StateStore, StoreUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

METHODS = [name for name in dir(StateStore) if not name.startswith("_")]


class Touched(Exception):
    """Somebody used the database who had no reason to."""


class Gone:
    """A store all of whose methods raise. `calls` are the names of those that were called."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(name)

        async def broken(*_: Any, **__: Any) -> Any:
            self.calls.append(name)
            raise self.fault

        return broken


class Slow:
    """A store that writes responses only when it is let: `waiting` do."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def save(self, *args: Any) -> Any:
        """Wait, then save."""
        self.waiting += 1
        await self.gate.wait()
        return await self._store.save(*args)


@pytest_asyncio.fixture(loop_scope="module")
async def untouchable(state: Servers) -> AsyncIterator[Gone]:
    """No database may be used."""
    before, store = state.store, Gone(Touched())
    state.store = store
    yield store
    state.store = before


@pytest_asyncio.fixture(loop_scope="module")
async def gone(state: Servers) -> AsyncIterator[Gone]:
    """The database cannot be reached."""
    before, store = state.store, Gone(StoreUnavailable("The database is gone.", debug="SECRET"))
    state.store = store
    yield store
    state.store = before


@pytest_asyncio.fixture(loop_scope="module")
async def slow(state: Servers) -> AsyncIterator[Slow]:
    """The database takes its time."""
    before, store = state.store, Slow(state.store)
    state.store = store
    yield store
    store.gate.set()
    state.store = before


# store: false


@each_cell
@both_ways
async def test_what_is_not_stored_touches_no_database(
    state: Servers, untouchable: Gone, cell: str, stream: bool
) -> None:
    more: Any = {"model": cell, "input": answering("go", "done"), "store": False}
    if stream:
        events = [e async for e in await state.sdk.responses.create(stream=True, **more)]
        assert events[-1].type == "response.completed"
        made = events[-1].response
    else:
        made = await state.sdk.responses.create(**more)
    assert made.output_text == "done"
    assert made.store is False
    assert untouchable.calls == []


@both_ways
async def test_other_dialects_and_models_that_are_not_remembered_touch_no_database(
    state: Servers, untouchable: Gone, stream: bool
) -> None:
    made = await state.sdk.chat.completions.create(
        model="messages", messages=[{"role": "user", "content": "hi"}], stream=stream
    )
    if stream:
        assert [chunk async for chunk in made]  # type: ignore[union-attr]
    for cell in ("chat-off", "responses-off"):
        answer = await state.sdk.responses.create(model=cell, input="hi", stream=stream)
        if stream:
            assert [event async for event in answer][-1].type == "response.completed"  # type: ignore[union-attr]
    assert untouchable.calls == []


# a database that is gone


def _is_unavailable(answer: Any) -> bool:
    error = answer["error"]
    return bool(error["code"] == "state_unavailable" and error["type"] == "server_error")


@each_cell
async def test_without_the_database_a_stored_answer_is_a_clear_503(
    state: Servers, gone: Gone, cell: str
) -> None:
    status, answer = await state.client.raw("POST", "/responses", {"model": cell, "input": "x"})
    assert status == 503
    assert _is_unavailable(answer), answer
    assert "SECRET" not in json.dumps(answer)
    assert "output" not in answer


@each_cell
async def test_nothing_is_generated_for_a_database_that_is_known_to_be_away(
    state: Servers, gone: Gone, cell: str
) -> None:
    state.gateway.worker.gateway.state._failed_at = None
    mark = len(state.heard)
    advice = []
    for _ in range(3):
        with pytest.raises(openai.InternalServerError) as caught:
            await state.sdk.responses.create(model=cell, input="go")
        assert caught.value.code == "state_unavailable"
        advice.append(caught.value.response.headers.get("x-should-retry"))
    assert len(state.heard) - mark == 1  # the one that found out, and is not to be tried again
    assert advice[0] == "false"


@each_cell
async def test_without_the_database_a_stored_stream_never_says_that_it_is_complete(
    state: Servers, gone: Gone, cell: str
) -> None:
    state.gateway.worker.gateway.state._failed_at = None  # it is not known yet
    stream = await state.sdk.responses.create(
        model=cell, input="[[demo tokens=8 delay=0.01]] go", stream=True
    )
    events = await told(stream)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[-2:] == ["error", "response.failed"]
    assert "response.completed" not in kinds
    assert "response.output_text.delta" in kinds
    assert events[-2]["error"]["code"] == "state_unavailable"
    failed = events[-1]["response"]
    assert failed["status"] == "failed"
    assert failed["error"]["message"]
    assert "SECRET" not in json.dumps(events)
    assert "save" in gone.calls


async def test_without_the_database_every_endpoint_of_the_state_is_a_clear_503(
    state: Servers, gone: Gone
) -> None:
    id, conversation = "resp_1", "conv_1"
    asked: list[tuple[str, str, Any]] = [
        ("GET", f"/responses/{id}", None),
        ("GET", f"/responses/{id}?stream=true", None),
        ("DELETE", f"/responses/{id}", None),
        ("POST", f"/responses/{id}/cancel", None),
        ("GET", f"/responses/{id}/input_items", None),
        ("POST", "/conversations", {}),
        ("GET", f"/conversations/{conversation}", None),
        ("POST", f"/conversations/{conversation}", {"metadata": {}}),
        ("DELETE", f"/conversations/{conversation}", None),
        ("GET", f"/conversations/{conversation}/items", None),
        ("POST", f"/conversations/{conversation}/items",
         {"items": [{"role": "user", "content": "x"}]}),
        ("GET", f"/conversations/{conversation}/items/msg_1", None),
        ("DELETE", f"/conversations/{conversation}/items/msg_1", None),
        ("POST", "/responses", {"model": "chat", "input": "x", "previous_response_id": id}),
        ("POST", "/responses", {"model": "chat", "input": "x", "conversation": conversation}),
        ("POST", "/responses", {"model": "chat", "input": [{"id": "msg_1"}]}),
        ("POST", "/responses/input_tokens",
         {"model": "chat", "input": "x", "previous_response_id": id}),
        ("POST", "/responses/compact",
         {"model": "chat", "input": "x", "previous_response_id": id}),
    ]  # fmt: skip
    mark = len(state.heard)
    for method, path, body in asked:
        status, answer = await state.client.raw(method, path, body)
        assert status == 503, (method, path, answer)
        assert _is_unavailable(answer), (method, path, answer)
        assert "SECRET" not in json.dumps(answer)
    assert len(state.heard) == mark


@both_ways
async def test_without_the_database_nothing_runs_in_the_background(
    state: Servers, stream: bool
) -> None:
    runs = state.gateway.worker.gateway.state.runs
    before = runs._store
    runs._store = Gone(StoreUnavailable("The database is gone."))  # type: ignore[assignment]
    mark = len(state.heard)
    try:
        await refusal(
            state.sdk.responses.create(model="chat", input="x", background=True, stream=stream),
            503, None, "state_unavailable",
        )  # fmt: skip
    finally:
        runs._store = before
    assert len(state.heard) == mark
    assert await state.sdk.responses.create(model="chat", input="x", background=True)


async def test_a_defect_of_the_store_is_a_500_and_no_answer(state: Servers) -> None:
    before = state.store
    state.store = Gone(RuntimeError("SECRET"))
    try:
        for cell in ("chat", "responses"):
            status, answer = await state.client.raw(
                "POST", "/responses", {"model": cell, "input": "x"}
            )
            assert status == 500
            assert "SECRET" not in json.dumps(answer)
    finally:
        state.store = before


# commit before the end


@each_cell
async def test_a_stream_ends_only_when_its_response_is_committed(
    state: Servers, slow: Slow, cell: str
) -> None:
    stream = await state.sdk.responses.create(
        model=cell, input="[[demo text=all of it]] go", stream=True
    )
    events: list[Any] = []
    kinds: list[str] = []

    async def note() -> None:
        async for event in stream:
            kinds.append(event.type)
            events.append(event)

    reading = asyncio.ensure_future(note())
    await until(lambda: "response.output_text.done" in kinds and slow.waiting == 1)
    await asyncio.sleep(0.1)
    assert kinds[-1] == "response.output_item.done"
    assert not reading.done()
    id = events[0].response.id
    await refusal(state.sdk.responses.retrieve(id), 404, "response_id")
    slow.gate.set()
    async with asyncio.timeout(5):
        await reading
    assert kinds[-1] == "response.completed"
    assert (await state.sdk.responses.retrieve(id)).output_text == "all of it"


@each_cell
async def test_a_whole_answer_is_sent_only_when_it_is_committed(
    state: Servers, slow: Slow, cell: str
) -> None:
    sent = state.gateway.outcomes
    mark = len(sent)
    asking = asyncio.ensure_future(
        state.sdk.responses.create(model=cell, input=answering("go", "all of it"))
    )
    await until(lambda: slow.waiting == 1)
    done, _ = await asyncio.wait({asking}, timeout=0.15)
    assert not done
    assert len(sent) == mark
    slow.gate.set()
    made = await asking
    assert (await state.sdk.responses.retrieve(made.id)).output_text == "all of it"


@pytest.mark.parametrize("cell", ["chat", *SPLICED])
async def test_a_client_that_leaves_while_its_response_is_committed_loses_nothing(
    state: Servers, slow: Slow, cell: str
) -> None:
    stream = await state.sdk.responses.create(
        model=cell, input="[[demo text=all of it]] go", stream=True
    )
    id = ""
    async for event in stream:
        if event.type == "response.created":
            id = event.response.id
        if event.type == "response.output_item.done":
            break
    await until(lambda: slow.waiting == 1)
    await stream.close()
    await asyncio.sleep(0.1)
    slow.gate.set()
    async with asyncio.timeout(5):
        while (found := await state.client.raw("GET", f"/responses/{id}"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert found[1]["status"] == "completed"


# time


@each_cell
async def test_what_expired_is_gone_and_its_descendants_are_whole(
    state: Servers, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = state.gateway.worker.gateway
    monkeypatch.setattr(gateway.state, "retention", 60.0)
    root = await ask(state.client, cell, answering("the root", "rooted"))
    monkeypatch.setattr(gateway.state, "retention", 3600.0)
    child = await ask(
        state.client, cell, answering("a child", "born"), previous_response_id=root.id
    )
    later = gateway.now() + 600
    monkeypatch.setattr(gateway, "now", lambda: later)
    await gateway.state.store.prune(later, 1000)
    await refusal(state.sdk.responses.retrieve(root.id), 404, "response_id")
    await refusal(
        ask(state.client, cell, "x", previous_response_id=root.id), 400, "previous_response_id"
    )
    assert (await state.sdk.responses.retrieve(child.id)).output_text == "born"
    await ask(
        state.client,
        "chat" if cell != "chat" else "messages",
        "and?",
        previous_response_id=child.id,
    )
    assert words(state.last) == [
        ("user", answering("the root", "rooted")),
        ("assistant", "rooted"),
        ("user", answering("a child", "born")),
        ("assistant", "born"),
        ("user", "and?"),
    ]
