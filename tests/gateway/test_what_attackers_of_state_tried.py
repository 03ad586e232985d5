"""Attacks on what is stored that worked once, each with the promise that stops it now."""

import asyncio
import json
import socket
from collections import Counter as Calls
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs
from tests.support.gateway import CALLER_KEY, Gateway, model, provider, route, settings
from tests.support.provider_state import KEYS, answer, raw
from tests.support.raw import RawResponse
from tests.support.sessions import Talk, brief
from tests.support.stateful import Client, Servers, until
from tests.support.upstream import ScriptedUpstream, expect, hang, http_json, send, sse

from portico.config.secret import Secret
from portico.config.settings import DatabaseSettings
from portico.dialects.responses import stored_items
from portico.limits import Limits
from portico.state.records import LIVE

pytestmark = pytest.mark.asyncio(loop_scope="module")

KIB = 1024
CREATED = {"type": "response.created", "sequence_number": 0,
           "response": answer("resp_up", status="in_progress")}  # fmt: skip


class Attacked:
    """A gateway in front of a scripted provider, and everything its database was asked."""

    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.upstream = upstream

    @classmethod
    async def start(cls, limits: Limits | None = None, database: str = "") -> "Attacked":
        """`r` speaks Responses and keeps nothing, `keeping` keeps what it is asked to."""
        upstream = await ScriptedUpstream.start()
        models = [
            model("r", provider(upstream.url, formats=["responses"]), "m"),
            model("keeping", provider(upstream.url, "openAI", name="keeping"), "m"),
        ]
        config = settings(route(models, KEYS), limits=limits)
        if database:
            config = structs.replace(config, database=DatabaseSettings(url=Secret(database)))
        return cls(await Gateway.start(config), upstream)

    async def ask(self, method: str, path: str, body: Any = None) -> RawResponse:
        """Any request below `/v1`."""
        return await raw(self.gateway.port, method, f"/v1{path}", body)

    async def create(self, given: Any = "x", **more: Any) -> RawResponse:
        """A create at `r`."""
        return await self.ask("POST", "/responses", {"model": "r", "input": given, **more})

    async def in_background(self, *frames: Any) -> str:
        """The id of a run whose provider says this and then nothing more."""
        script = [expect(), sse([CREATED, *frames], end=False), hang()]
        self.upstream.scripts.clear()
        self.upstream.add(script)
        found = await self.create(background=True)
        assert found.status == 200
        return str(found.json()["id"])

    @property
    def state(self) -> Any:
        """The gateway's."""
        return self.gateway.worker.gateway.state

    async def stop(self) -> None:
        """Close both."""
        await self.gateway.stop()
        await self.upstream.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked() -> AsyncIterator[Attacked]:
    """With the limits as they are."""
    started = await Attacked.start()
    yield started
    await started.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small() -> AsyncIterator[Servers]:
    """The demo provider behind a gateway with small limits."""
    limits = Limits(body_bytes=64 * KIB, chain_bytes=512 * KIB, json_values=5_000)
    started = await Servers.start(limits)
    yield started
    await started.stop()


class Counted:
    """A store that says how often each of its methods was called, and with what at last."""

    def __init__(self, store: Any) -> None:
        self.inner = store
        self.calls: Calls[str] = Calls()
        self.last: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)

        def called(*args: Any, **more: Any) -> Any:
            self.calls[name] += 1
            self.last[name] = args
            return found(*args, **more)

        return called


def counting(monkeypatch: pytest.MonkeyPatch, where: str, name: str) -> Calls[str]:
    """How often a reader of whole arrays is called from a module."""
    seen: Calls[str] = Calls()
    found = getattr(stored_items, name)

    def called(*args: Any, **more: Any) -> Any:
        seen[name] += 1
        return found(*args, **more)

    monkeypatch.setattr(f"{where}.{name}", called)
    return seen


async def item_of(client: Client, id: str) -> str:
    """The first item of a response's input."""
    items = await client.sdk.responses.input_items.list(id, order="asc")
    return str(items.data[0].id)


def user(text: str, **more: Any) -> Any:
    return {"type": "message", "role": "user", "content": text, **more}


def refers(id: str) -> Any:
    return {"type": "item_reference", "id": id}


# A, L, M: references


async def test_many_references_to_one_item_read_its_response_once(
    small: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await small.sdk.responses.create(model="chat", input=[user("x")] * 600)
    item = await item_of(small.client, made.id)
    seen = counting(monkeypatch, "portico.gateway.items", "input_items")
    status, _ = await small.client.raw(
        "POST", "/responses/input_tokens", {"model": "chat", "input": [refers(item)] * 600}
    )
    assert status in (200, 400)
    assert 0 < seen["input_items"] < 5


async def test_references_are_not_a_way_around_the_limit_of_a_body(small: Servers) -> None:
    made = await small.sdk.responses.create(model="chat", input="y" * 20_000)
    item = await item_of(small.client, made.id)
    mark = len(small.heard)
    for cell in ("chat", "openai", "responses"):
        status, body = await small.client.raw(
            "POST", "/responses", {"model": cell, "input": [refers(item)] * 500, "store": False}
        )
        assert (status, body["error"]["code"]) == (400, "context_length_exceeded"), body
        assert body["error"]["param"] == "input"
        given = {"items": [refers(item)] * 20}
        status, body = await small.client.raw("POST", "/conversations", given)
        assert (status, body["error"]["code"]) == (400, "context_length_exceeded"), body
    assert len(small.heard) == mark


async def test_references_into_many_large_responses_are_refused_before_all_are_read(
    small: Servers,
) -> None:
    items = []
    for number in range(14):
        made = await small.sdk.responses.create(
            model="chat", input=[user(f"{number}"), user("y" * 50_000)]
        )
        items.append(await item_of(small.client, made.id))
    store = small.store = Counted(small.store)
    try:
        status, body = await small.client.raw(
            "POST", "/responses", {"model": "chat", "input": [refers(item) for item in items]}
        )
    finally:
        small.store = store.inner
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded"), body
    assert store.calls["get"] < len(items)


async def test_references_into_a_session_are_resolved_and_read_its_context_once(
    small: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Talk.to(small.gateway) as talk:
        given = [user(f"line {number}", id=f"msg_{number}") for number in range(300)]
        first = await talk.ask("chat", given)
        seen = counting(monkeypatch, "portico.state.session", "output_items")
        again = await talk.ask(
            "chat",
            [refers("msg_7"), refers(first.output[0]["id"]), user("go")] + [refers("msg_8")] * 50,
        )
        assert brief(again) == "response.completed"
        assert 0 < seen["output_items"] < 6  # the arrays of the context, once each
        said = [turn["content"] for turn in small.last.json["messages"]]
        assert (said[0], said[1], said[2]) == ("line 7", first.text, "go")
        assert said[3:] == ["line 8"] * 50
        # Only what the latest response goes on from is there.
        assert brief(await talk.ask("chat", [refers("msg_9")])) == "item_not_found"
    async with Talk.to(small.gateway) as other:
        assert brief(await other.ask("chat", [refers("msg_7")])) == "item_not_found"


async def test_a_reference_into_what_still_runs_is_no_defect(attacked: Attacked) -> None:
    progress = {"type": "response.in_progress", "sequence_number": 1,
                "response": {**CREATED["response"], "metadata": {"a": "b" * 50}}}  # type: ignore[dict-item]  # fmt: skip
    shell = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    item = {"type": "response.output_item.added", "output_index": 0, "item": shell}
    id = await attacked.in_background(progress, item)
    async with asyncio.timeout(10):
        while b'"queued"' in (await attacked.ask("GET", f"/responses/{id}")).body:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for place, status in (("8000", 200), ("0000", 404)):  # its input is there, its output is not
        name = f"msg_{id.removeprefix('resp_')}{place}"
        found = await attacked.ask("POST", "/conversations", {"items": [refers(name)]})
        assert found.status == status, found.json()
    await attacked.ask("POST", f"/responses/{id}/cancel")


# B, C, J: runs


async def test_a_dozen_cancels_at_once_leave_no_run_and_no_slot() -> None:
    attacked = await Attacked.start(Limits(in_flight_per_key=14))
    try:
        for turn in range(6):
            id = await attacked.in_background()

            async def cancel(after: float, id: str = id) -> RawResponse:
                await asyncio.sleep(after)
                return await attacked.ask("POST", f"/responses/{id}/cancel")

            step = 0.0004 * turn
            answers = await asyncio.gather(*[cancel(step * number) for number in range(12)])
            assert {each.status for each in answers} == {200}
            assert {each.json()["status"] for each in answers} == {"cancelled"}
        runs = attacked.state.runs
        assert not runs.any
        assert not runs._unsettled
        await until(lambda: attacked.gateway.sample("portico_in_flight") == 0)
        id = await attacked.in_background()  # no slot of the key is gone: 13 more at once
        more = [attacked.ask("POST", f"/responses/{id}/cancel") for _ in range(13)]
        assert {each.status for each in await asyncio.gather(*more)} == {200}
    finally:
        await attacked.stop()


@pytest.mark.parametrize("response", [{}, {"response": None}, {"response": []}], ids=str)
async def test_an_event_without_its_response_object_leaves_the_run_as_it_was(
    attacked: Attacked, response: dict[str, Any]
) -> None:
    id = await attacked.in_background(
        {"type": "response.in_progress", "sequence_number": 1, **response}
    )
    await asyncio.sleep(0.1)
    found = (await attacked.ask("GET", f"/responses/{id}")).json()
    assert (found["id"], found["object"]) == (id, "response")
    assert found["status"] in LIVE
    ended = await attacked.ask("POST", f"/responses/{id}/cancel")
    assert (ended.status, ended.json()["status"]) == (200, "cancelled")
    assert (await attacked.ask("DELETE", f"/responses/{id}")).status == 200
    assert not attacked.state._tasks[1].done()  # who looks after runs


@pytest.mark.parametrize("status", ["in_progress", "queued"])
@pytest.mark.parametrize("way", ["whole", "stream", "background"])
async def test_an_answer_that_says_it_is_still_running_is_stored_as_ended(
    attacked: Attacked, status: str, way: str
) -> None:
    name = f"resp_{status}_{way}"
    said = answer(name, status=status)
    frames = [CREATED, {"type": "response.completed", "sequence_number": 1, "response": said}]
    attacked.upstream.scripts.clear()
    attacked.upstream.add(
        [expect(), send(http_json(200, said))] if way == "whole" else [expect(), sse(frames)]
    )
    made = await attacked.create(**({} if way == "whole" else {way: True}))
    assert made.status == 200
    if way == "background":
        name = made.json()["id"]
        await until(lambda: not attacked.state.runs.any)
    assert (await attacked.ask("GET", f"/responses/{name}")).json()["id"] == name
    attacked.upstream.add([expect(), send(http_json(200, answer(f"resp_after_{name}")))])
    after = await attacked.create(previous_response_id=name)
    assert after.status == 200, after.json()
    assert await attacked.state.store.abandoned(1e12, 9) == []


# E, 1: followers


@pytest_asyncio.fixture(loop_scope="module")
async def two(tmp_path: Path) -> AsyncIterator[tuple[Attacked, Attacked]]:
    """Two gateways on one database."""
    url = f"sqlite:///{tmp_path}/state.db"
    both = (await Attacked.start(database=url), await Attacked.start(database=url))
    yield both
    for each in both:
        await each.stop()


async def _follow(attacked: Attacked, id: str) -> list[str]:
    found = await attacked.ask("GET", f"/responses/{id}?stream=true")
    return [json.loads(line)["type"] for line in found.data_lines() if line != b"[DONE]"]


async def _streamed(attacked: Attacked) -> tuple[str, "asyncio.Task[RawResponse]"]:
    """A streamed run, and the request that began it."""
    attacked.upstream.scripts.clear()
    attacked.upstream.add([expect(), sse([CREATED], end=False), hang()])
    runs = attacked.state.runs
    asking = asyncio.ensure_future(attacked.create(background=True, stream=True))
    await until(lambda: any(run.task is not None for run in runs._live.values()))
    (run,) = runs._live.values()
    return run.record.id, asking


async def test_followers_elsewhere_do_not_read_the_record_while_they_wait(
    two: tuple[Attacked, Attacked],
) -> None:
    here, there = two
    id, asking = await _streamed(here)
    store = there.state.store = Counted(there.state.store)
    following = [asyncio.ensure_future(_follow(there, id)) for _ in range(5)]
    await until(lambda: store.calls["standing"] >= 15)
    assert store.calls["get"] == 5  # when they came
    await here.ask("POST", f"/responses/{id}/cancel")
    for kinds in await asyncio.gather(*following):
        assert kinds[:2] == ["response.created", "response.queued"]
        assert kinds[-1] == "response.incomplete"
    assert store.calls["get"] == 10  # and when it was over
    await asking


async def test_a_worker_whose_run_was_cancelled_elsewhere_goes_on_serving(
    two: tuple[Attacked, Attacked],
) -> None:
    here, there = two
    id, asking = await _streamed(here)
    following = [asyncio.ensure_future(_follow(here, id)) for _ in range(5)]
    store = here.state.store = Counted(here.state.store)
    assert (await there.ask("POST", f"/responses/{id}/cancel")).json()["status"] == "cancelled"
    await here.state.runs._look()
    async with asyncio.timeout(10):
        found = await asyncio.gather(*following)
        await asking
    assert {kinds[-1] for kinds in found} == {"response.incomplete"}
    assert sum(store.calls.values()) < 100, store.calls
    assert not here.state.runs.any


# D: references in conversations


async def test_what_a_conversation_refers_to_is_put_into_it_when_it_is_told(
    small: Servers,
) -> None:
    own = await small.sdk.responses.create(model="chat", input="MINE")
    item = await item_of(small.client, own.id)
    made = await small.sdk.conversations.create(items=[refers(item)])
    await small.sdk.conversations.items.create(made.id, items=[refers(own.output[0].id)])
    items = (await small.sdk.conversations.items.list(made.id, order="asc")).data
    assert [each.type for each in items] == ["message", "message"]
    for cell in ("openai", "responses", "chat"):
        await small.sdk.responses.create(model=cell, input="hi", conversation=made.id)
        assert b"item_reference" not in small.last.body
        assert b"MINE" in small.last.body


@pytest.mark.parametrize("form", [{"type": "item_reference"}, {}, {"type": None}], ids=str)
async def test_a_conversation_refers_to_nothing_of_others(
    small: Servers, form: dict[str, Any]
) -> None:
    kept = await small.sdk.responses.create(model="openai", input="SECRET")
    mine = await small.other.sdk.conversations.create()
    mark = len(small.heard)
    for id in (kept.output[0].id, await item_of(small.client, kept.id), "msg_of_nobody"):
        for path in ("/conversations", f"/conversations/{mine.id}/items"):
            status, body = await small.other.raw("POST", path, {"items": [{**form, "id": id}]})
            assert (status, body["error"]["code"]) == (404, "item_not_found"), body
    assert (await small.other.sdk.conversations.items.list(mine.id)).data == []
    await small.other.sdk.responses.create(model="openai", input="x", conversation=mine.id)
    assert not any(kept.output[0].id.encode() in heard.body for heard in small.heard[mark:])


# F, G: sizes


async def test_a_conversation_that_is_too_large_is_refused_before_it_is_read(
    small: Servers,
) -> None:
    made = await small.sdk.conversations.create()
    for _ in range(11):
        await small.sdk.conversations.items.create(made.id, items=[user("y" * 50_000)])
    store = small.store = Counted(small.store)
    try:
        for path in ("/responses", "/responses/input_tokens"):
            status, body = await small.client.raw(
                "POST", path, {"model": "chat", "input": "x", "conversation": made.id}
            )
            assert (status, body["error"]["code"]) == (400, "context_length_exceeded"), body
    finally:
        small.store = store.inner
    assert store.calls["entries"] == 0
    assert store.calls["weigh"] == 2


class Unread:
    """Clients that ask and do not read."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[socket.socket] = []

    async def ask(self, path: str) -> None:
        """Send a GET."""
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, ("127.0.0.1", self._port))
        head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CALLER_KEY}\r\n\r\n"
        await loop.sock_sendall(one, head.encode())
        self._open.append(one)

    def close(self) -> None:
        """Hang up."""
        for each in self._open:
            each.close()


async def test_stored_bodies_that_nobody_reads_are_counted() -> None:
    attacked = await Attacked.start(Limits(buffered_body_bytes=24 * KIB * KIB))
    unread = Unread(attacked.gateway.port)
    inside = attacked.gateway.worker.gateway
    try:
        attacked.upstream.add([expect(), send(http_json(200, answer("resp_big")))])
        assert (await attacked.create("y" * (9 * KIB * KIB))).status == 200
        path = "/v1/responses/resp_big/input_items"
        for count in (1, 2):
            await unread.ask(path)
            await until(lambda count=count: inside.inflated > count * 9 * KIB * KIB)  # type: ignore[misc]
        refused = await attacked.ask("GET", "/responses/resp_big/input_items")
        assert refused.status == 503
        assert refused.json()["error"]["type"] == "server_error"
        hits = attacked.gateway.sample("portico_limit_hits_total", limit="bufferedBodyBytes")
        assert hits == 1
        assert (await attacked.ask("GET", "/responses/resp_big")).status == 200  # a small one
        unread.close()
        await until(lambda: inside.inflated == 0)
        assert (await attacked.ask("GET", "/responses/resp_big/input_items")).status == 200
    finally:
        unread.close()
        await attacked.stop()


# H, I, K: what providers send


ODD: dict[str, dict[str, Any]] = {
    "no number": {"sequence_number": None}, "number as text": {"sequence_number": "1"},
    "number with a point": {"sequence_number": 1.0}, "number below zero": {"sequence_number": -1},
    "time zero": {"created_at": 0}, "time as text": {"created_at": "2026"},
    "time beyond all": {"created_at": 1e300}, "time in milliseconds": {"created_at": 10**12},
    "time missing": {"created_at": ...}, "status null": {"status": None},
    "status unknown": {"status": "done"}, "status a number": {"status": 7},
    "output null": {"output": None}, "output missing": {"output": ...},
    "output an object": {"output": {}},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_a_client_was_told_as_complete_is_stored_however_odd_it_is(
    attacked: Attacked, odd: str, stream: bool
) -> None:
    name = f"resp_{odd.replace(' ', '_')}_{stream}"
    said = {key: value for key, value in {**answer(name), **ODD[odd]}.items() if value is not ...}
    number = said.pop("sequence_number", 1)
    event = {"type": "response.completed", "sequence_number": number, "response": said}
    attacked.upstream.scripts.clear()
    attacked.upstream.add(
        [expect(), sse([CREATED, event])] if stream else [expect(), send(http_json(200, said))]
    )
    made = await attacked.create(stream=stream)
    assert made.status == 200
    assert not stream or b"response.completed" in made.body
    found = await attacked.ask("GET", f"/responses/{name}")
    assert (found.status, found.json()) == (200, said)
    gateway = attacked.gateway.worker.gateway
    record = await _record(attacked, name)
    assert record.status not in LIVE
    assert record.expires_at is not None
    assert abs(record.expires_at - gateway.state.retention - gateway.now()) < 100


async def _record(attacked: Attacked, name: str) -> Any:
    """What is stored of the first tenant's response."""
    store = attacked.state.store = Counted(attacked.state.store)
    await attacked.ask("GET", f"/responses/{name}")
    attacked.state.store = store.inner
    return await store.inner.get(*store.last["get"])


@pytest.mark.parametrize("made_at", [1_700_000_000, 10**11])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_id_that_a_provider_uses_again_for_another_answer_is_not_told_as_stored(
    attacked: Attacked, stream: bool, made_at: int
) -> None:
    name = f"resp_again_{stream}_{made_at}"

    def script(**more: Any) -> Any:
        said = answer(name, created_at=made_at, **more)
        frames = [CREATED, {"type": "response.completed", "sequence_number": 1, "response": said}]
        return [expect(), sse(frames) if stream else send(http_json(200, said))]

    output = [{"type": "message", "id": "msg_o", "role": "assistant", "content": []}]
    attacked.upstream.scripts.clear()
    attacked.upstream.add(script(), script(), script(output=output), script())
    for given, stored in (("x", True), ("x", True), ("x", False), ("other", False)):
        made = await attacked.create(given, stream=stream)
        if stored:
            assert made.status == 200
            assert not stream or b"response.completed" in made.body
        elif stream:
            assert b"response.completed" not in made.body
            assert b"response.failed" in made.body
        else:
            assert (made.status, made.json()["error"]["type"]) == (502, "server_error")
    found = (await attacked.ask("GET", f"/responses/{name}")).json()
    assert found["output"] == []


async def test_an_id_that_is_used_again_in_another_conversation_is_not_told_as_stored(
    attacked: Attacked,
) -> None:
    script = [expect(), send(http_json(200, answer("resp_in_two")))]
    attacked.upstream.scripts.clear()
    attacked.upstream.add(script, script)
    for status in (200, 502):
        conversation = (await attacked.ask("POST", "/conversations", {})).json()["id"]
        assert (await attacked.create(conversation=conversation)).status == status
        items = (await attacked.ask("GET", f"/conversations/{conversation}/items")).json()["data"]
        assert bool(items) == (status == 200)


@pytest.mark.parametrize("name", ["resp:a.b==", "resp~1+2", "RESP.x-_=", "r" * 512])
async def test_an_id_of_other_characters_can_be_asked_for(attacked: Attacked, name: str) -> None:
    attacked.upstream.scripts.clear()
    attacked.upstream.add([expect(), send(http_json(200, answer(name)))])
    assert (await attacked.create()).status == 200
    assert (await attacked.ask("GET", f"/responses/{name}")).json()["id"] == name
    assert (await attacked.ask("GET", f"/responses/{name}/input_items")).status == 200
    assert (await attacked.ask("DELETE", f"/responses/{name}")).status == 200
    assert (await attacked.ask("GET", f"/responses/{name}")).status == 404


# ids that this gateway reads one way and a provider may read another


@pytest.mark.parametrize(
    "item",
    [
        b'{"type":"reasoning","id":"rs_F","id":null,"summary":[]}',
        b'{"type":"item_reference","ID":"rs_F"}',
        b'{"type":"item_reference","id":"rs_F","id":null}',
        b'{"type":"Item_Reference","id":"rs_F"}',
    ],
)
async def test_no_spelling_of_an_id_reaches_a_provider_unseen(
    attacked: Attacked, item: bytes
) -> None:
    attacked.upstream.scripts.clear()
    mark = len(attacked.upstream.requests)
    go = b'{"role":"user","content":"go"}'
    await attacked.ask("POST", "/responses", b'{"model":"keeping","input":[%b,%b]}' % (item, go))
    assert not any(b"rs_F" in each.body for each in attacked.upstream.requests[mark:])
