"""WebSocket sessions in front of every provider: chains, tools, reasoning, warm-ups, clients."""

import asyncio
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides
from tests.support.gateway import CALLER_KEY
from tests.support.matrix import seals
from tests.support.sessions import Answer, Talk, brief, calls_of, outputs_for
from tests.support.stateful import (
    Servers,
    answering,
    each_cell,
    refusal,
    servers,
    tool,
    until,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

UNKNOWN = (400, "previous_response_not_found", "previous_response_id")
NATIVE = ("openai", "azure")
"""Cells whose provider keeps what it is asked to."""
TURNS = 8


# -- what is not stored -----------------------------------------------------------------------


@each_cell
async def test_what_is_not_stored_is_continued_on_its_connection_word_for_word(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        parent, told = None, []
        for turn in range(TURNS):
            said, answer = answering(f"turn {turn} “é”", f"answer {turn} 🏮"), f"answer {turn} 🏮"
            found = await talk.ask(cell, said, previous_response_id=parent)
            assert found.text == answer
            assert found.response["previous_response_id"] == parent
            assert found.response["store"] is False
            told.append(("user", said))
            assert words(state.last) == told
            assert state.last.json.get("previous_response_id") is None
            told.append(("assistant", answer))
            parent = found.id


@each_cell
async def test_what_is_not_stored_is_known_nowhere_else(state: Servers, cell: str) -> None:
    async with Talk.to(state.gateway) as talk, Talk.to(state.gateway) as other:
        latest = (await talk.ask(cell, "mine")).id
        assert (await other.ask(cell, "x", previous_response_id=latest)).refused == UNKNOWN
        await refusal(
            state.sdk.responses.create(model=cell, input="x", previous_response_id=latest),
            400, "previous_response_id", "previous_response_not_found",
        )  # fmt: skip
        await refusal(state.sdk.responses.retrieve(latest), 404, "response_id")
        assert (await talk.ask(cell, "go on", previous_response_id=latest)).text


@each_cell
async def test_only_the_latest_of_what_is_not_stored_can_be_continued(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "one")
        second = await talk.ask(cell, "two", previous_response_id=first.id)
        assert (await talk.ask(cell, "fork", previous_response_id=first.id)).refused == UNKNOWN
        third = await talk.ask(cell, "three", previous_response_id=second.id)
        assert [said for _, said in words(state.last)] == [
            "one", first.text, "two", second.text, "three",
        ]  # fmt: skip
        await talk.ask(cell, "another chain")
        assert (await talk.ask(cell, "x", previous_response_id=third.id)).refused == UNKNOWN


@each_cell
async def test_a_fork_of_an_older_response_comes_from_storage_when_it_is_stored(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "one", store=True)
        await talk.ask(cell, "two", store=None, previous_response_id=first.id)
        fork = await talk.ask(cell, "fork", previous_response_id=first.id)
        assert fork.response["previous_response_id"] == first.id
        said = words(state.last)
        whole = [("user", "one"), ("assistant", first.text), ("user", "fork")]
        assert said == (whole[-1:] if "previous_response_id" in state.last.json else whole)


@each_cell
async def test_a_session_that_moves_to_another_provider_brings_what_was_said(
    state: Servers, cell: str
) -> None:
    other = "messages" if cell != "messages" else "chat"
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "one")
        second = await talk.ask(other, "two", previous_response_id=first.id)
        await talk.ask(cell, "three", previous_response_id=second.id)
        assert [said for _, said in words(state.last)] == [
            "one", first.text, "two", second.text, "three",
        ]  # fmt: skip


# -- what is stored ---------------------------------------------------------------------------


@each_cell
async def test_what_is_stored_is_there_for_everybody_of_the_tenant(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk, Talk.to(state.gateway) as other:
        made = await talk.ask(cell, "keep this", store=None)
        assert made.response["store"] is True
        kept = await state.sdk.responses.retrieve(made.id)
        assert (kept.status, kept.output_text) == ("completed", made.text)
        items = await state.sdk.responses.input_items.list(made.id)
        assert [item.content[0].text for item in items.data] == ["keep this"]  # type: ignore[union-attr]
        after = await other.ask(cell, "there", store=None, previous_response_id=made.id)
        last = await state.sdk.responses.create(
            model="chat", input="here", previous_response_id=after.id
        )
        assert last.previous_response_id == after.id
        assert [said for _, said in words(state.last)] == [
            "keep this", made.text, "there", after.text, "here",
        ]  # fmt: skip


@each_cell
async def test_a_session_that_begins_with_what_is_stored_remembers_all_of_it(
    state: Servers, cell: str
) -> None:
    first = await state.sdk.responses.create(model=cell, input="one")
    async with Talk.to(state.gateway) as talk:
        second = await talk.ask(cell, "two", previous_response_id=first.id)
        third = await talk.ask(cell, "three", previous_response_id=second.id)
        await talk.ask("chat", "four", previous_response_id=third.id)
        assert [said for _, said in words(state.last)] == [
            "one", first.output_text, "two", second.text, "three", third.text, "four",
        ]  # fmt: skip


@each_cell
async def test_what_is_stored_after_something_that_is_not_can_be_continued_anywhere(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "one")
        second = await talk.ask(cell, "two", store=True, previous_response_id=first.id)
        assert second.response["previous_response_id"] == first.id
    kept = await state.sdk.responses.retrieve(second.id)
    assert kept.output_text == second.text
    third = await state.sdk.responses.create(
        model=cell, input="three", previous_response_id=second.id
    )
    assert third.previous_response_id == second.id
    await state.sdk.responses.create(model="chat", input="four", previous_response_id=third.id)
    assert [said for _, said in words(state.last)] == [
        "one", first.text, "two", second.text, "three", third.output_text, "four",
    ]  # fmt: skip


@each_cell
async def test_a_stored_chain_moves_elsewhere_on_its_connection(state: Servers, cell: str) -> None:
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "one", store=True)
        second = await talk.ask(cell, "two", store=True, previous_response_id=first.id)
        assert ("previous_response_id" in state.last.json) == (cell in NATIVE)
        await talk.ask("chat", "three", previous_response_id=second.id)
        assert [said for _, said in words(state.last)] == [
            "one", first.text, "two", second.text, "three",
        ]  # fmt: skip


@each_cell
async def test_a_conversation_is_continued_and_grows(state: Servers, cell: str) -> None:
    conversation = await state.sdk.conversations.create(
        items=[{"type": "message", "role": "user", "content": "before"}]
    )
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "one", store=True, conversation=conversation.id)
        second = await talk.ask(cell, "two", conversation={"id": conversation.id})
        said = "".join(text for _, text in words(state.last))
        assert said == f"beforeone{first.text}two"
        assert second.response["conversation"] == {"id": conversation.id}
        await talk.ask(cell, "three", previous_response_id=second.id)
        assert "".join(text for _, text in words(state.last)) == f"{said}{second.text}three"
    items = await state.sdk.conversations.items.list(conversation.id, order="asc", limit=100)
    spoken = [item.role for item in items.data if item.type == "message"]
    assert spoken == ["user", "user", "assistant", "user", "assistant"]


@each_cell
async def test_an_item_of_the_session_can_be_named_on_it_and_nowhere_else(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk, Talk.to(state.gateway) as other:
        made = await talk.ask(cell, "one")
        (item,) = [each for each in made.output if each["type"] == "message"]
        named = [{"type": "item_reference", "id": item["id"]}, {"role": "user", "content": "two"}]
        assert (await other.ask(cell, named)).refused == (404, "item_not_found", "input")
        assert brief(await talk.ask(cell, named)) == "response.completed"
        assert words(state.last)[-2:] == [("assistant", made.text), ("user", "two")]
        named[0] = {"id": "msg_of_nobody"}
        assert (await talk.ask(cell, named)).refused == (404, "item_not_found", "input")


@pytest.mark.parametrize("cell", ["chat", "messages", "gemini", "bedrock"])
async def test_a_compaction_takes_the_place_of_what_came_before(state: Servers, cell: str) -> None:
    rule = [{"type": "compaction", "compact_threshold": 1000}]
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, "LONG " * 2000)
        second = await talk.ask(
            cell, "short", previous_response_id=first.id, context_management=rule
        )
        assert second.output[0]["type"] == "compaction"
        assert state.gateway.worker.gateway.remembered.used < 5000
        await talk.ask(cell, "then?", previous_response_id=second.id)
        assert words(state.last)[-2:] == [("assistant", second.text), ("user", "then?")]
        assert "LONG LONG" not in state.last.body.decode()


# -- tools and reasoning ----------------------------------------------------------------------

PATCH = {"type": "custom", "name": "apply_patch", "description": "Edit files."}
REASONS = {
    "reasoning": {"effort": "medium", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
}


@each_cell
@pytest.mark.parametrize("store", [False, True])
async def test_calls_and_their_results_go_round_on_a_connection(
    state: Servers, cell: str, store: bool
) -> None:
    """Several at once, free-form ones too."""
    tools = [tool(), PATCH]
    more: dict[str, Any] = {"tools": tools, "parallel_tool_calls": True, "store": store}
    async with Talk.to(state.gateway) as talk:
        answer = await talk.ask(cell, "[[demo calls=2]] get_weather and apply_patch", **more)
        for turn in range(3):
            calls = calls_of(answer)
            assert sorted(call["type"] for call in calls) == ["custom_tool_call", "function_call"]
            said = [
                *outputs_for(answer, f"turn {turn}: fine"),
                {"role": "user", "content": "[[demo calls=2]] get_weather and apply_patch"},
            ]
            answer = await talk.ask(cell, said, previous_response_id=answer.id, **more)
            assert f"turn {turn}: fine" in state.last.body.decode()
        said = [*outputs_for(answer, "the end"), {"role": "user", "content": "[[demo text=done]]"}]
        answer = await talk.ask(cell, said, previous_response_id=answer.id, **more)
        assert (calls_of(answer), answer.text) == ([], "done")
        assert "the end 1" in state.last.body.decode()


@each_cell
@pytest.mark.parametrize("kind", ["function_call_output", "custom_tool_call_output"])
async def test_a_result_for_a_call_that_nobody_made_fails_the_turn(
    state: Servers, cell: str, kind: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        answer = await talk.ask(cell, "get_weather in Oslo", tools=[tool()])
        wrong = [{"type": kind, "call_id": "call_nobody", "output": "x"}]
        mark = len(state.heard)
        refused = await talk.ask(cell, wrong, tools=[tool()], previous_response_id=answer.id)
        assert refused.refused == (400, None, "input")
        assert len(state.heard) == mark
        right = outputs_for(answer)
        refused = await talk.ask(cell, right, tools=[tool()], previous_response_id=answer.id)
        assert refused.refused == UNKNOWN
        assert (await talk.ask(cell, wrong, tools=[tool()])).refused == (400, None, "input")


@pytest.mark.parametrize("cell", ["responses", "openai", "messages", "gemini", "bedrock", "azure"])
async def test_sealed_reasoning_goes_back_to_its_origin_byte_for_byte(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        answer = await talk.ask(
            cell, "[[demo think=on]] get_weather in Oslo", tools=[tool()], **REASONS
        )
        found = list(seals(bytes(state.last.answer)))
        assert found
        answer = await talk.ask(
            cell, outputs_for(answer), tools=[tool()], previous_response_id=answer.id, **REASONS
        )
        assert all(each.encode() in state.last.body for each in found)
        found += seals(bytes(state.last.answer))
        answer = await talk.ask(cell, "so?", previous_response_id=answer.id, **REASONS)
        assert all(each.encode() in state.last.body for each in found)
        away = await talk.ask("chat", "and you?", previous_response_id=answer.id)
        assert not any(each.encode() in state.last.body for each in found)
        assert away.response["status"] == "completed"


@pytest.mark.parametrize("store", [False, True])
async def test_reasoning_of_one_account_is_not_sent_to_another(state: Servers, store: bool) -> None:
    async with Talk.to(state.gateway) as talk:
        said = "[[demo plan=think+text]] why?"
        first = await talk.ask("responses", said, store=store, **REASONS)
        found = list(seals(bytes(state.last.answer)))
        assert found
        second = await talk.ask("azure", "and?", store=store, previous_response_id=first.id)
        assert not any(each.encode() in state.last.body for each in found)
        assert state.gateway.outcomes[-1].losses
        await talk.ask("responses", "so?", store=store, previous_response_id=second.id)
        assert all(each.encode() in state.last.body for each in found)


# -- warm-ups ---------------------------------------------------------------------------------


@each_cell
@pytest.mark.parametrize("store", [False, True])
async def test_a_warm_up_asks_nobody_and_is_continued(
    state: Servers, cell: str, store: bool
) -> None:
    async with Talk.to(state.gateway) as talk:
        mark = len(state.heard)
        warm = await talk.ask(
            cell, "the context", generate=False, store=store,
            instructions="Be brief.", tools=[tool()], metadata={"a": "b"},
        )  # fmt: skip
        assert len(state.heard) == mark
        assert warm.kinds == ["response.created", "response.in_progress", "response.completed"]
        assert (warm.output, warm.response["store"]) == ([], store)
        assert warm.response["instructions"] == "Be brief."
        assert warm.response["metadata"] == {"a": "b"}
        answer = await talk.ask(cell, "the question", store=store, previous_response_id=warm.id)
        heard = state.last
        assert len(state.heard) == mark + 1
        assert "".join(text for _, text in words(heard)) == "the contextthe question"
        assert "Be brief." not in heard.body.decode()
        assert "get_weather" not in heard.body.decode()
        assert answer.response["previous_response_id"] == warm.id
    kept = (await state.client.raw("GET", f"/responses/{warm.id}"))[0]
    assert kept == (200 if store else 404)


@each_cell
async def test_a_warm_up_in_the_middle_keeps_what_came_before(state: Servers, cell: str) -> None:
    for store in (True, False):
        async with Talk.to(state.gateway) as talk:
            first = await talk.ask(cell, "one", store=store)
            warm = await talk.ask(
                cell, "two", store=store, generate=False, previous_response_id=first.id
            )
            mark = len(state.heard)
            await talk.ask(cell, "three", store=store, previous_response_id=warm.id)
            assert len(state.heard) == mark + 1
            said = "".join(text for _, text in words(state.last))
            assert said == f"one{first.text}twothree"


async def test_a_warm_up_is_refused_where_nothing_can_be_remembered(state: Servers) -> None:
    async with Talk.to(state.gateway) as talk:
        mark = len(state.heard)
        for name in ("openai-provider", "chat-off", "responses-off"):
            answer = await talk.ask(name, "warm", store=None, generate=False)
            assert answer.refused == (400, "unsupported_parameter", "generate")
        assert len(state.heard) == mark


# -- a client like Codex ----------------------------------------------------------------------

CODEX_HEADERS = {
    "openai-beta": "responses_websockets=2026-02-06",
    "originator": "codex_cli_rs",
    "session_id": "0198c3f0-0000-7000-8000-000000000001",
    "conversation_id": "0198c3f0-0000-7000-8000-000000000001",
    "user-agent": "codex_cli_rs/0.98.0 (Debian 13; x86_64) xterm",
}


def codex_body() -> dict[str, Any]:
    """What every create of it says besides its input."""
    shell = {
        "type": "function", "name": "shell", "description": "Runs a command.", "strict": False,
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}},
                       "required": ["command"], "additionalProperties": False},
    }  # fmt: skip
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'}
    return {
        "instructions": "You are a coding agent.",
        "tools": [
            shell,
            {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": grammar},
            {"type": "namespace", "name": "agents", "description": "Others.", "tools": [
                {**tool("spawn_agent"), "strict": False}]},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": CODEX_HEADERS["session_id"],
        "client_metadata": {"x-codex-installation-id": "1", "turn": "2"},
    }  # fmt: skip


def _says(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _replayed(answer: Answer) -> list[dict[str, Any]]:
    """The output as Codex keeps it to send it again: without ids and statuses."""
    return [
        {name: value for name, value in item.items() if name not in ("id", "status")}
        for item in answer.output
    ]


@each_cell
async def test_a_client_like_codex_works_over_turns_and_reconnects(
    state: Servers, cell: str
) -> None:
    turns = ["shell: list", "apply_patch now", "spawn_agent please", "shell again", "thanks"]
    history: list[dict[str, Any]] = []
    for connection in (turns[:2], turns[2:]):
        async with Talk.to(state.gateway, headers=CODEX_HEADERS) as talk:
            parent: str | None = None  # a new connection knows nothing: everything is sent
            for text in connection:
                fresh = [_says(text)]
                for step in range(2 if text != "thanks" else 1):
                    history += fresh
                    said = fresh if parent else history
                    more = {"previous_response_id": parent} if parent else {}
                    answer = await talk.ask(cell, said, **more, **codex_body())
                    assert bool(calls_of(answer)) == (step == 0 and text != "thanks")
                    history += _replayed(answer)
                    fresh, parent = outputs_for(answer, f"done with {text}"), answer.id
                assert "done with" in answer.text or text == "thanks"
    calls = [item for item in history if item["type"].endswith("_call")]
    assert [call["name"] for call in calls] == ["shell", "apply_patch", "spawn_agent", "shell"]
    assert calls[1]["type"] == "custom_tool_call"
    assert calls[2]["namespace"] == "agents"
    told = state.last.body.decode()
    for text in turns:
        assert text in told
    for text in turns[:-1]:
        assert f"done with {text} 0" in told


@each_cell
async def test_a_client_that_lost_its_connection_starts_over_with_everything(
    state: Servers, cell: str
) -> None:
    async with Talk.to(state.gateway) as talk:
        first = await talk.ask(cell, [_says("one")], **codex_body())
        talk.socket.transport.abort()
    async with Talk.to(state.gateway) as talk:
        gone = await talk.ask(cell, [_says("two")], previous_response_id=first.id, **codex_body())
        assert gone.refused == UNKNOWN
        whole = [_says("one"), *_replayed(first), _says("two")]
        assert (await talk.ask(cell, whole, **codex_body())).text


# -- the official client ----------------------------------------------------------------------

THREE = pytest.mark.parametrize("cell", ["openai", "chat", "messages"])


@THREE
async def test_the_official_client_continues_and_sees_errors(state: Servers, cell: str) -> None:
    async with state.sdk.responses.connect() as connection:
        parent: Any = openai.omit
        for turn in range(3):
            await connection.response.create(
                model=cell, input=answering("x", f"turn {turn}"), store=False,
                previous_response_id=parent,
            )  # fmt: skip
            async for event in connection:
                if event.type == "response.completed":
                    assert event.response.output_text == f"turn {turn}"
                    parent = event.response.id
                    break
        await connection.response.create(
            model=cell, input="x", store=False, previous_response_id="resp_nobody"
        )
        error: Any = await connection.recv()
        assert (error.type, error.status) == ("error", 400)
        assert error.error.code == "previous_response_not_found"
        assert error.error.param == "previous_response_id"


@THREE
async def test_the_official_client_reconnects_and_goes_on_from_what_is_stored(
    state: Servers, cell: str
) -> None:
    reconnected: list[int] = []

    def again(event: ReconnectingEvent) -> ReconnectingOverrides | None:
        reconnected.append(event.attempt)
        return None

    async with state.sdk.responses.connect(on_reconnecting=again, initial_delay=0.01) as connection:
        await connection.response.create(model=cell, input="one")
        async for event in connection:
            if event.type == "response.completed":
                first = event.response
                break
        connection._connection.transport.abort()
        waiting = aiter(connection)
        pending = anext(waiting)
        task = asyncio.ensure_future(pending)
        await until(lambda: bool(reconnected))
        await connection.response.create(model=cell, input="two", previous_response_id=first.id)
        event = await task
        assert event.type == "response.created"
        async for event in waiting:
            if event.type == "response.completed":
                assert event.response.previous_response_id == first.id
                break
    assert reconnected == [1]


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used:DeprecationWarning")  # the SDK's
@THREE
async def test_the_official_client_works_without_asyncio(state: Servers, cell: str) -> None:
    def session() -> list[str]:
        client = OpenAI(base_url=f"{state.gateway.url}/v1", api_key=CALLER_KEY, max_retries=0)
        kinds: list[str] = []
        with client, client.responses.connect() as connection:
            connection.response.create(model=cell, input="one", store=False)
            for event in connection:
                kinds.append(event.type)
                if event.type == "response.completed":
                    break
            connection.response.create(
                model=cell, input="two", store=False, previous_response_id=event.response.id
            )
            for event in connection:
                kinds.append(event.type)
                if event.type == "response.completed":
                    break
            connection.response.create(model="nobody", input="x")
            kinds.append(connection.recv().type)
        return kinds

    kinds = await asyncio.to_thread(session)
    assert kinds.count("response.completed") == 2
    assert kinds[-1] == "error"
