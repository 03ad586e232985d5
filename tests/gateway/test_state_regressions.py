"""What a review of the stateful Responses found, each with the promise that was broken."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs
from tests.support.gateway import Gateway, model, provider, route, settings
from tests.support.provider_state import KEYS, OTHER_KEY, answer, raw
from tests.support.sessions import Talk, brief
from tests.support.stateful import (
    UNKNOWN_RESPONSE,
    Servers,
    ask,
    both_ways,
    finished,
    refusal,
    servers,
    told,
    tool,
    until,
    words,
)
from tests.support.upstream import ScriptedUpstream, expect, hang, http_json, send, sse

from portico.asgi import PorticoApp, create_app
from portico.config.secret import Secret
from portico.config.settings import DatabaseSettings, LogSettings, Settings
from portico.gateway.state import State
from portico.limits import Limits
from portico.state.port import StoreUnavailable
from portico.store.opening import MEMORY, open_store

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

TRANSLATED = ("chat", "messages", "gemini", "bedrock")
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
SEALED = {**REASONING, "id": "rs_2", "encrypted_content": "opaque"}


def message(text: str, id: str = "msg_1") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": id, "role": "assistant", "status": "completed",
            "content": [part]}  # fmt: skip


def gives(name: str, *output: dict[str, Any], **more: Any) -> list[Any]:
    """A script: one whole response object."""
    return [expect(), send(http_json(200, answer(name, output=list(output), **more)))]


def says(text: str, tokens: int = 5) -> list[Any]:
    """A script: one whole chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text},
              "finish_reason": "stop"}  # fmt: skip
    usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
            "choices": [choice]}  # fmt: skip
    return [expect(), send(http_json(200, body))]


def lost(name: str) -> list[Any]:
    """A script: the provider does not have that response any more."""
    text = f"Response with id={name} not found"
    return [expect(), send(http_json(404, {"error": {"message": text}}))]


class Pair:
    """A gateway in front of a scripted provider that keeps responses and one that keeps nothing."""

    def __init__(self, gateway: Gateway, keeping: ScriptedUpstream, chat: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.keeping = keeping
        self.chat = chat

    async def ask(self, model: str, given: Any, key: str | None = None, **more: Any) -> Any:
        """Status, JSON and losses of one create."""
        body = {"model": model, "input": given, **more}
        options = {} if key is None else {"key": key}
        found = await raw(self.gateway.port, "POST", "/v1/responses", body, **options)
        return found.status, found.json(), found.header("x-portico-losses")

    @property
    def said(self) -> list[tuple[str, str]]:
        """What the chat provider heard last."""
        return [
            (each["role"], each["content"]) for each in self.chat.requests[-1].json()["messages"]
        ]


@pytest_asyncio.fixture(loop_scope="module")
async def pair() -> AsyncIterator[Pair]:
    """See the class."""
    keeping, chat = await ScriptedUpstream.start(), await ScriptedUpstream.start()
    models = [
        model("native", provider(keeping.url, "openAI"), "m"),
        model("plain", provider(keeping.url, formats=["responses"], name="plain"), "m"),
        model("chat", provider(chat.url, formats=["completions"], name="chat"), "m"),
    ]
    gateway = await Gateway.start(settings(route(models, KEYS)))
    yield Pair(gateway, keeping, chat)
    await gateway.stop()
    await keeping.stop()
    await chat.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """A scripted provider without a script."""
    async with await ScriptedUpstream.start() as started:
        yield started


# 3: a response that fails in a conversation


@pytest.mark.parametrize("cell", [*TRANSLATED, "openai"])
@pytest.mark.parametrize("background", [False, True])
async def test_a_response_that_failed_leaves_nothing_in_its_conversation_and_can_be_tried_again(
    state: Servers, cell: str, background: bool
) -> None:
    conversation = await state.sdk.conversations.create()
    asked: Any = {"model": cell, "tools": [tool()], "conversation": conversation.id}
    first = await state.sdk.responses.create(input="weather in Paris? [[demo calls=1]]", **asked)
    call = next(each for each in first.output if each.type == "function_call")
    before = (await state.sdk.conversations.items.list(conversation.id)).to_dict()
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    cut: Any = [result, {"role": "user", "content": "go [[demo tokens=9 cut=6]]"}]
    if background:
        made = await state.sdk.responses.create(input=cut, background=True, **asked)
        assert (await finished(state.client, made.id)).status == "failed"
    else:
        events = await told(await state.sdk.responses.create(input=cut, stream=True, **asked))
        assert events[-1]["type"] == "response.failed"
    assert (await state.sdk.conversations.items.list(conversation.id)).to_dict() == before
    retry: Any = [result, {"role": "user", "content": "go"}]
    again = await state.sdk.responses.create(input=retry, **asked)
    assert again.status == "completed"
    items = (await state.sdk.conversations.items.list(conversation.id, order="asc")).data
    assert [item.type for item in items].count("function_call_output") == 1


# 4: stateless clients of a provider that keeps items


WHOLE = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed",
     "action": {"type": "search", "query": "x"}},
    {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "container_id": "c",
     "code": "1", "outputs": []},
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "a", "tools": []},
    {"type": "local_shell_call", "id": "lsh_1", "call_id": "c1", "status": "completed",
     "action": {"type": "exec", "command": ["ls"], "env": {}}},
    {"type": "apply_patch_call", "id": "apc_1", "call_id": "c2", "status": "completed",
     "operation": {"type": "delete_file", "path": "x"}},
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="},
    SEALED,
]  # fmt: skip


@pytest.mark.parametrize("item", WHOLE, ids=[str(each["type"]) for each in WHOLE])
async def test_items_that_say_everything_themselves_are_anybodys_to_send(
    pair: Pair, item: dict[str, Any]
) -> None:
    pair.keeping.add(gives("resp_stateless"))
    given = [{"role": "user", "content": "x"}, item, {"role": "user", "content": "y"}]
    status, body, _ = await pair.ask("native", given, store=False)
    assert status == 200, body
    assert pair.keeping.requests[-1].json()["input"] == given


BARE: dict[str, dict[str, Any]] = {
    "reasoning": {"type": "reasoning", "summary": []},
    "image_generation_call": {"type": "image_generation_call"},
    "mcp_approval_response": {"type": "mcp_approval_response", "approve": True},
}


def _bare(kind: str, id: str) -> dict[str, Any]:
    name = "approval_request_id" if kind == "mcp_approval_response" else "id"
    return {**BARE[kind], name: id}


@pytest.mark.parametrize("kind", BARE)
@pytest.mark.parametrize("store", [True, False])
async def test_items_that_the_provider_looks_up_have_to_be_the_tenants_own(
    pair: Pair, kind: str, store: bool
) -> None:
    own = f"its_{kind}_{store}"
    made = "mcp_approval_request" if kind == "mcp_approval_response" else kind
    pair.keeping.add(gives(f"resp_of_{own}", {"type": made, "id": own}, message("hi", f"m_{own}")))
    assert (await pair.ask("native", "x"))[0] == 200
    heard = len(pair.keeping.requests)
    go = {"role": "user", "content": "go"}
    for id, key in (("of_nobody", None), (own, OTHER_KEY), ("of_nobody", OTHER_KEY)):
        status, body, _ = await pair.ask("native", [_bare(kind, id), go], key, store=store)
        assert (status, body["error"]["code"]) == (404, "item_not_found"), body
    assert len(pair.keeping.requests) == heard
    pair.keeping.add(gives(f"resp_after_{own}"))
    status, body, _ = await pair.ask("native", [_bare(kind, own), go], store=store)
    assert status == 200, body
    assert pair.keeping.requests[-1].json()["input"][0] == _bare(kind, own)


# 5: conversations and previous_response_id


@pytest.mark.parametrize("cell", ["openai", "responses", "chat", "messages"])
@both_ways
async def test_a_response_of_a_conversation_is_not_continued_without_the_conversation(
    state: Servers, cell: str, stream: bool
) -> None:
    said: Any = {"role": "user", "content": "My name is Ada."}
    conversation = await state.sdk.conversations.create(items=[said])
    made = await ask(state.client, cell, "hi", conversation=conversation.id)
    mark = len(state.heard)
    for model_name in (cell, "chat"):
        error = await refusal(
            ask(state.client, model_name, "who?", stream=stream, previous_response_id=made.id),
            400, "previous_response_id",
        )  # fmt: skip
        assert conversation.id in error.message
    assert len(state.heard) == mark
    await ask(state.client, "chat", "who?", stream=stream, conversation=conversation.id)
    assert words(state.last)[0] == ("user", "My name is Ada.")


# 6: results of calls that nobody made


@pytest.mark.parametrize("cell", TRANSLATED)
@pytest.mark.parametrize("more", [{}, {"store": False}, {"stream": True}, {"background": True}],
                         ids=str)  # fmt: skip
async def test_a_result_without_its_call_is_refused_in_our_words(
    state: Servers, cell: str, more: dict[str, Any]
) -> None:
    result: Any = {"type": "function_call_output", "call_id": "call_of_nobody", "output": "sunny"}
    mark = len(state.heard)
    status, body = await state.client.raw(
        "POST", "/responses", {"model": cell, "input": [result], **more}
    )
    assert (status, body["error"]["param"]) == (400, "input"), body
    assert body["error"]["type"] == "invalid_request_error"
    assert "call_of_nobody" in body["error"]["message"]
    assert len(state.heard) == mark


# 8: beginning


def _app(upstream: ScriptedUpstream, url: str = MEMORY) -> PorticoApp:
    served = provider(upstream.url, formats=["responses"])
    config: Settings = structs.replace(
        settings(route([model("m", served)])),
        database=DatabaseSettings(url=Secret(url)),
        log=LogSettings(access=False),
    )
    return create_app(config, env={})


async def _post(app: PorticoApp, **body: Any) -> tuple[int, Any]:
    data = json.dumps({"model": "m", "input": "x", **body}).encode()
    inbox: list[Any] = [{"type": "http.request", "body": data, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop() if inbox else await asyncio.get_running_loop().create_future()

    async def take(said: Any) -> None:
        sent.append(said)

    scope: Any = {
        "type": "http", "method": "POST", "path": "/v1/responses", "query_string": b"",
        "headers": [(b"host", b"x"), (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(data))],
    }  # fmt: skip
    async with asyncio.timeout(10):
        await app(scope, receive, take)
    whole = b"".join(each.get("body", b"") for each in sent[1:])
    return sent[0]["status"], json.loads(whole)


async def test_the_first_requests_may_come_at_once(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.add(*[gives(f"resp_{number}") for number in range(4)])
    app = _app(upstream, f"sqlite:///{tmp_path}/state.db")
    answers = await asyncio.gather(*[_post(app) for _ in range(4)])
    assert [status for status, _ in answers] == [200] * 4, answers
    assert len({body["id"] for _, body in answers}) == 4
    await app.aclose()


async def test_without_a_database_only_what_needs_it_is_refused(
    upstream: ScriptedUpstream,
) -> None:
    upstream.add(*[gives("resp_1")] * 4)
    app = _app(upstream, "sqlite:////proc/nope/state.db")
    for _ in range(2):
        status, body = await _post(app)
        assert (status, body["error"]["code"]) == (503, "state_unavailable")
        assert (await _post(app, store=False))[0] == 200
    await app.aclose()


async def test_a_database_that_comes_later_is_used_then(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.add(*[gives("resp_1")] * 2)
    folder = tmp_path / "later"
    folder.write_text("no folder")
    app = _app(upstream, f"sqlite:///{folder}/state.db")
    assert (await _post(app))[0] == 503
    folder.unlink()
    assert (await _post(app))[0] == 200
    await app.aclose()


class _Reluctant:
    """A store whose first starts fail."""

    def __init__(self, failures: int) -> None:
        self._store = open_store(MEMORY)
        self.failures = failures
        self.starts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def start(self) -> None:
        self.starts += 1
        await asyncio.sleep(0.01)
        if self.starts <= self.failures:
            raise StoreUnavailable("not yet")
        await self._store.start()


async def test_a_start_that_failed_is_told_to_all_who_wait_and_then_tried_again() -> None:
    store = _Reluctant(1)
    state = State(store, 10.0)
    both = await asyncio.gather(state.start(), state.start(), return_exceptions=True)
    assert [type(each) for each in both] == [StoreUnavailable, StoreUnavailable]
    assert await asyncio.gather(state.start(), state.start(), state.start()) == [None] * 3
    assert store.starts == 2
    assert len(state._tasks) == 2  # who prunes and who looks after runs, once each
    assert await store.get(b"x" * 16, UNKNOWN_RESPONSE, 0) is None
    await state.close()


async def test_a_start_that_somebody_waited_for_in_vain_goes_on() -> None:
    store = _Reluctant(0)
    state = State(store, 10.0)
    first = asyncio.ensure_future(state.start())
    await asyncio.sleep(0)
    first.cancel()
    await state.start()
    assert (store.starts, len(state._tasks)) == (1, 2)
    await state.close()


# 9: background responses that are not to be stored


async def test_a_brief_response_is_there_while_it_runs_and_ten_minutes_after(
    state: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = state.gateway.worker.gateway
    slow, quick = [
        await state.sdk.responses.create(
            model="chat", input=f"[[demo tokens={count} delay=0.01]] go",
            background=True, store=False,
        )
        for count in (5000, 5)
    ]  # fmt: skip
    await finished(state.client, quick.id)
    real = gateway.now

    def at(seconds: float) -> None:
        monkeypatch.setattr(gateway, "now", lambda: real() + seconds)

    async def found(id: str) -> int:
        return (await state.client.raw("GET", f"/responses/{id}"))[0]

    longest = 3600  # `deadlines.total`
    at(longest + 580)
    status, body = await state.client.raw("GET", f"/responses/{slow.id}")
    assert (status, body["status"]) == (200, "in_progress")
    assert body["store"] is False
    assert await found(quick.id) == 404
    at(longest + 620)  # should nobody see it end
    assert await found(slow.id) == 404
    at(0)
    await state.sdk.responses.cancel(slow.id)
    for id in (slow.id, quick.id):
        at(580)
        assert await found(id) == 200
        at(620)
        assert await found(id) == 404


# 10: providers that close late


async def test_a_background_stream_ends_although_its_provider_does_not_close(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portico.gateway.run.LINGER_SECONDS", 0.02)
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}  # nothing more is awaited
    frames = [
        {"type": "response.completed", "sequence_number": 1,
         "response": answer("resp_late", usage=usage)},
    ]  # fmt: skip
    pair.keeping.add([expect(), sse(frames, end=False), hang()])
    _, made, _ = await pair.ask("native", "x", background=True)
    runs = pair.gateway.worker.gateway.state.runs
    await until(lambda: not runs.any)
    found = await raw(pair.gateway.port, "GET", f"/v1/responses/{made['id']}")
    assert found.json()["status"] == "completed"


# 12: compactions


async def test_a_compaction_only_one_provider_can_read_hides_nothing_from_the_others(
    pair: Pair,
) -> None:
    compaction = {"type": "compaction", "id": "cmp_1", "encrypted_content": "opaque"}
    pair.keeping.add(
        gives("resp_c1", message("Hello Ada.", "msg_c1")),
        gives("resp_c2", compaction, message("Go on.", "msg_c2")),
    )
    await pair.ask("native", "My name is Ada.")
    await pair.ask("native", "And?", previous_response_id="resp_c1")
    pair.chat.add(says("Ada."))
    assert (await pair.ask("chat", "Who?", previous_response_id="resp_c2"))[0] == 200
    assert pair.said == [
        ("user", "My name is Ada."), ("assistant", "Hello Ada."), ("user", "And?"),
        ("assistant", "Go on."), ("user", "Who?"),
    ]  # fmt: skip
    pair.keeping.add(lost("resp_c2"), gives("resp_c3"))
    assert (await pair.ask("native", "Who?", previous_response_id="resp_c2"))[0] == 200
    items = pair.keeping.requests[-1].json()["input"]
    assert [item.get("type") for item in items] == ["compaction", "message", "message"]


async def test_a_compaction_of_this_gateway_stands_for_what_was_before_it(pair: Pair) -> None:
    pair.chat.add(says("Hello."), says("SUMMARY", 2000), says("Go on."), says("Fine."))
    _, first, _ = await pair.ask("chat", "blue " * 3000)
    threshold = [{"type": "compaction", "compact_threshold": 1000}]
    status, second, _ = await pair.ask(
        "chat", "And?", previous_response_id=first["id"], context_management=threshold
    )
    assert status == 200, second
    assert [item["type"] for item in second["output"]] == ["compaction", "message"]
    assert (await pair.ask("chat", "Sure?", previous_response_id=second["id"]))[0] == 200
    assert not any("blue blue" in text for _, text in pair.said)
    assert any("SUMMARY" in text for _, text in pair.said)
    assert pair.said[-2:] == [("assistant", "Go on."), ("user", "Sure?")]


# 13: reasoning that is only at the provider


async def test_what_the_provider_lost_is_not_looked_up_there(pair: Pair) -> None:
    pair.keeping.add(gives("resp_r1", REASONING, message("One.", "msg_r1")))
    await pair.ask("native", "1")
    pair.keeping.add(lost("resp_r1"), gives("resp_r2"))
    status, body, losses = await pair.ask("native", "2", previous_response_id="resp_r1")
    assert status == 200, body
    assert "reasoning" in (losses or "") or "input" in (losses or ""), losses
    items = pair.keeping.requests[-1].json()["input"]
    assert not [item for item in items if item.get("id") == "rs_1"]
    assert [item.get("role") for item in items] == ["user", "assistant", "user"]


@pytest.mark.parametrize("where", ["native", "plain"])
async def test_what_was_not_stored_is_not_looked_up_where_it_was_made(
    pair: Pair, where: str
) -> None:
    def stream(name: str, *output: dict[str, Any]) -> list[Any]:
        whole = answer(name, output=list(output), store=False)
        return [expect(), sse([{"type": "response.completed", "sequence_number": 0,
                                "response": whole}])]  # fmt: skip

    pair.keeping.add(
        stream("resp_w1", REASONING, SEALED, message("One.", "msg_w1")), stream("resp_w2")
    )
    async with Talk.to(pair.gateway) as talk:
        first = await talk.ask(where, "1")
        await talk.ask(where, "2", previous_response_id=first.id)
    items = pair.keeping.requests[-1].json()["input"]
    assert "previous_response_id" not in pair.keeping.requests[-1].json()
    assert [item.get("type", item.get("role")) for item in items] == [
        "message", "reasoning", "message", "message",
    ]  # fmt: skip
    assert items[1]["encrypted_content"] == "opaque"


@pytest.mark.parametrize("way", ["chain", "conversation"])
async def test_reasoning_that_one_account_sealed_is_not_sent_to_another(
    pair: Pair, way: str
) -> None:
    name = f"resp_sealed_{way}"
    pair.keeping.add(gives(name, SEALED, message("One.", f"msg_{way}")), gives(f"{name}_2"))
    made = (await raw(pair.gateway.port, "POST", "/v1/conversations", {})).json()["id"]
    first = {"conversation": made} if way == "conversation" else {}
    assert (await pair.ask("native", "1", **first))[0] == 200
    then = first or {"previous_response_id": name}
    assert (await pair.ask("plain", "2", **then))[0] == 200
    assert b"opaque" not in pair.keeping.requests[-1].body


# 17: background at a provider that keeps


@pytest.mark.parametrize("cell", ["openai", "responses", "azure"])
@pytest.mark.parametrize("include", [None, ["file_search_call.results"]])
async def test_a_provider_keeps_no_copy_of_a_background_response(
    state: Servers, cell: str, include: list[str] | None
) -> None:
    more: Any = {} if include is None else {"include": include}
    made = await state.sdk.responses.create(model=cell, input="one", background=True, **more)
    first = await finished(state.client, made.id)
    asked = state.last.json
    assert asked["store"] is False
    assert "background" not in asked
    assert asked["include"] == [*(include or []), "reasoning.encrypted_content"]
    assert (first.status, first.to_dict()["store"]) == ("completed", True)
    await ask(state.client, cell, "two", previous_response_id=made.id)
    assert "previous_response_id" not in state.last.json
    assert [text for role, text in words(state.last) if role == "user"] == ["one", "two"]
    mark = len(state.heard)
    await state.sdk.responses.delete(made.id)
    assert len(state.heard) == mark


# what the attacker found next to it


async def test_a_chain_of_very_many_items_is_refused_before_they_are_looked_at(
    state: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = None
    item: Any = {"type": "message", "role": "user", "content": "x"}
    for _ in range(3):
        made = await state.sdk.responses.create(
            model="messages", input=[item] * 300, previous_response_id=parent
        )
        parent = made.id
    inside = state.gateway.worker.gateway
    monkeypatch.setattr("portico.gateway.stateful.for_replay", None)
    monkeypatch.setattr(inside.snapshot, "limits", Limits(json_values=700))
    status, body = await state.client.raw(
        "POST", "/responses", {"model": "chat", "input": "x", "previous_response_id": parent}
    )
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded"), body


async def test_no_tenant_takes_all_that_sessions_may_remember() -> None:
    running = await Servers.start(Limits(buffered_body_bytes=100_000))
    try:
        greedy = [Talk.to(running.gateway) for _ in range(6)]
        for each in greedy:
            await each.__aenter__()
            await each.ask("chat", "x" * 20_000, generate=False)
        async with Talk.to(running.gateway, OTHER_KEY) as other:
            first = await other.ask("chat", "y" * 20_000)
            then = await other.ask("chat", "and?", previous_response_id=first.id)
            assert brief(then) == "response.completed"
        for each in greedy:
            await each.__aexit__()
        await until(lambda: running.gateway.worker.gateway.remembered.used == 0)
    finally:
        await running.stop()


WHOLE_ANSWER = json.dumps(answer("resp_spelled")).encode()
SPELLED = {
    "in two lines": b'data: {"type":\ndata: "response.completed","response":%b}\n\n',
    "with escapes": b'data: {"type":"response\\u002ecompleted","response":%b}\n\n',
    "by event name": b'event: response.completed\ndata: {"response":%b}\n\n',
}


@pytest.mark.parametrize("way", SPELLED)
async def test_an_end_is_stored_however_it_is_spelled(pair: Pair, way: str) -> None:
    pair.keeping.add([expect(), sse([SPELLED[way] % WHOLE_ANSWER, "[DONE]"])])
    body = {"model": "native", "input": "x", "stream": True}
    told_whole = await raw(pair.gateway.port, "POST", "/v1/responses", body)
    found = await raw(pair.gateway.port, "GET", "/v1/responses/resp_spelled")
    assert (found.status == 200) or b"[DONE]" not in told_whole.body
