"""What one tenant stored does not exist for another: every endpoint, every parameter.

An id of another tenant is answered in the words for an id that never was. The endpoints are taken
from the route table, so a new one without a case here fails.
"""

import json
import re
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from tests.support.stateful import (
    UNKNOWN_CONVERSATION,
    UNKNOWN_RESPONSE,
    Client,
    Servers,
    servers,
)

from portico.gateway.routes import CONVERSATIONS, RESPONSES, Endpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()

UNKNOWN_ITEM = f"msg_{'0' * 32}8000"


class Ids:
    """What a tenant has: ids for the holes of a path."""

    def __init__(self, **found: str) -> None:
        self.found = found

    NOWHERE: ClassVar["Ids"]


Ids.NOWHERE = Ids(
    response_id=UNKNOWN_RESPONSE,
    live_id=UNKNOWN_RESPONSE,
    conversation_id=UNKNOWN_CONVERSATION,
    item_id=UNKNOWN_ITEM,
    output_id=UNKNOWN_ITEM,
)


@pytest_asyncio.fixture(loop_scope="module")
async def owned(state: Servers) -> Ids:
    """What the first tenant has."""
    sdk = state.sdk
    message: Any = {"role": "user", "content": "SECRET-OF-THE-FIRST"}
    conversation = await sdk.conversations.create(items=[message], metadata={"s": "SECRET"})
    (item,) = (await sdk.conversations.items.list(conversation.id)).data
    made = await sdk.responses.create(
        model="chat", input="SECRET-OF-THE-FIRST", conversation=conversation.id
    )
    live = await sdk.responses.create(
        model="chat", input="[[demo tokens=500 delay=0.1]] SECRET-OF-THE-FIRST", background=True
    )
    return Ids(
        response_id=made.id,
        live_id=live.id,
        conversation_id=conversation.id,
        item_id=str(item.id),
        output_id=made.output[0].id,
    )


def _body(endpoint: Endpoint, method: str, ids: Ids) -> list[Any]:
    """Bodies that reach for what is stored, as far as the endpoint takes any."""
    found = ids.found
    named: list[Any] = [
        {"model": "chat", "input": "x", "previous_response_id": found["response_id"]},
        {"model": "chat", "input": "x", "previous_response_id": found["live_id"]},
        {"model": "chat", "input": "x", "conversation": found["conversation_id"]},
        {"model": "chat", "input": [{"type": "item_reference", "id": found["item_id"]}]},
        {"model": "chat", "input": [{"id": found["output_id"]}, {"role": "user", "content": "x"}]},
    ]
    bodies: dict[tuple[str, str], list[Any]] = {
        ("/v1/responses/input_tokens", "POST"): named,
        ("/v1/responses/compact", "POST"): named,
        ("/v1/conversations", "POST"): [],  # nothing in it can name what is stored
        ("/v1/conversations/{conversation_id}", "POST"): [{"metadata": {"mine": "now"}}],
        ("/v1/conversations/{conversation_id}/items", "POST"): [
            {"items": [{"role": "user", "content": "x"}]}
        ],
        ("/v1/responses/{response_id}/cancel", "POST"): [None],
    }
    return bodies[endpoint.label, method] if method == "POST" else [None]


QUERIES = {
    "/v1/responses/{response_id}": ("", "?stream=true", "?stream=true&starting_after=0"),
    "/v1/responses/{response_id}/input_items": ("", "?limit=5&order=asc", "?after={item_id}"),
    "/v1/conversations/{conversation_id}/items": ("", "?limit=5", "?after={item_id}"),
}


def _paths(endpoint: Endpoint, method: str) -> list[str]:
    """Paths with their holes: what runs is as secret as what is over."""
    path = endpoint.label.removeprefix("/v1")
    queries = QUERIES.get(endpoint.label, ("",)) if method == "GET" else ("",)
    paths = [f"{path}{query}" for query in queries]
    return [*paths, *(p.replace("{response_id}", "{live_id}") for p in paths if "response_id" in p)]


def _normal(answer: tuple[int, dict[str, Any]], ids: Ids) -> str:
    """Status and body without what was asked for and without the number of the request."""
    text = json.dumps(answer)
    for name, value in ids.found.items():
        text = text.replace(
            value, "<item>" if name in ("item_id", "output_id") else f"<{name[:4]}>"
        )
    return re.sub(r"req_[0-9a-f]+", "<req>", text.replace("<live>", "<resp>"))


ROWS = [
    (row, method.decode())
    for row in (*RESPONSES, *CONVERSATIONS)
    for method in (row.methods or (row.method,))
]


async def _all(client: Client, endpoint: Endpoint, method: str, ids: Ids) -> list[str]:
    return [
        _normal(await client.raw(method, path.format_map(ids.found), body), ids)
        for path in _paths(endpoint, method)
        for body in _body(endpoint, method, ids)
    ]


@pytest.mark.parametrize(
    ("endpoint", "method"), ROWS, ids=[f"{method}-{row.label}" for row, method in ROWS]
)
async def test_ids_of_another_tenant_are_answered_like_ids_that_never_were(
    state: Servers, owned: Ids, endpoint: Endpoint, method: str
) -> None:
    foreign = await _all(state.other, endpoint, method, owned)
    nowhere = await _all(state.other, endpoint, method, Ids.NOWHERE)
    assert foreign == nowhere
    assert all(answer.startswith(("[404", "[400")) for answer in foreign), foreign
    assert not any("SECRET" in answer for answer in foreign)
    assert bool(foreign) == (endpoint.below != "" or endpoint.label != "/v1/conversations")
    await _unharmed(state, owned)


async def _unharmed(state: Servers, owned: Ids) -> None:
    """All is there for its owner."""
    found = owned.found
    sdk = state.sdk
    assert (await sdk.responses.retrieve(found["response_id"])).status == "completed"
    assert (await sdk.responses.retrieve(found["live_id"])).status in ("queued", "in_progress")
    conversation = await sdk.conversations.retrieve(found["conversation_id"])
    assert conversation.metadata == {"s": "SECRET"}
    items = (await sdk.conversations.items.list(conversation.id, order="asc")).data
    assert (len(items), items[0].id) == (3, found["item_id"])
    await sdk.responses.cancel(found["live_id"])


@pytest.mark.parametrize("model", ["chat", "openai", "responses", "messages"])
@pytest.mark.parametrize(
    "more", [{}, {"stream": True}, {"background": True}, {"store": False}], ids=str
)
async def test_a_request_cannot_name_what_another_tenant_has(
    state: Servers, owned: Ids, model: str, more: dict[str, Any]
) -> None:
    answers = []
    mark = len(state.heard)
    for ids in (owned, Ids.NOWHERE):
        found = ids.found
        named: list[dict[str, Any]] = [
            {"input": "x", "previous_response_id": found["response_id"]},
            {"input": "x", "previous_response_id": found["live_id"]},
            {"input": "x", "conversation": found["conversation_id"]},
            {"input": "x", "conversation": {"id": found["conversation_id"]}},
            {"input": [{"type": "item_reference", "id": found["item_id"]}]},
            {"input": [{"id": found["output_id"]}, {"role": "user", "content": "x"}]},
        ]
        answers.append([
            _normal(
                await state.other.raw("POST", "/responses", {"model": model, **body, **more}), ids
            )
            for body in named
        ])  # fmt: skip
    assert answers[0] == answers[1]
    assert all(answer.startswith(("[404", "[400")) for answer in answers[0])
    assert len(state.heard) == mark
    await _unharmed(state, owned)


async def test_the_provider_that_keeps_a_response_is_not_asked_for_another_tenants(
    state: Servers,
) -> None:
    made = await state.sdk.responses.create(model="openai", input="SECRET")
    mark = len(state.heard)
    status, body = await state.other.raw(
        "POST", "/responses", {"model": "openai", "input": "x", "previous_response_id": made.id}
    )
    assert (status, body["error"]["code"]) == (400, "previous_response_not_found")
    assert len(state.heard) == mark


async def test_two_tenants_may_use_the_same_item_ids(state: Servers) -> None:
    item: Any = {"type": "message", "role": "user", "content": "of the first", "id": "msg_same-1"}
    mine = await state.sdk.conversations.create(items=[item])
    theirs = await state.other.sdk.conversations.create(items=[{**item, "content": "of the other"}])
    for sdk, conversation, text in (
        (state.sdk, mine, "of the first"), (state.other.sdk, theirs, "of the other"),
    ):  # fmt: skip
        found = await sdk.conversations.items.retrieve(
            "msg_same-1", conversation_id=conversation.id
        )
        assert found.content[0].text == text  # type: ignore[union-attr]
        await sdk.responses.create(
            model="chat", input=[{"type": "item_reference", "id": "msg_same-1"}]
        )
        assert text.encode() in state.last.body
    for client, conversation in ((state.client, theirs), (state.other, mine)):
        status, _ = await client.raw("GET", f"/conversations/{conversation.id}/items/msg_same-1")
        assert status == 404


DISGUISED = {
    "plain": b'{"type":"item_reference","id":"%b"}',
    "escaped value": b'{"type":"item\\u005freference","id":"%b"}',
    "escaped name": b'{"t\\u0079pe":"item_reference","id":"%b"}',
    "escaped id": b'{"type":"item_reference","\\u0069d":"%b"}',
    "named twice": b'{"type":"message","type":"item_reference","id":"%b"}',
    "id only": b'{"id":"%b"}',
    "id only, escaped": b'{"\\u0069d":"%b"}',
    "null": b'{"type":null,"id":"%b"}',
    "all null": b'{"type":null,"role":null,"content":null,"id":"%b"}',
    "blanks": b'{"id":"%b"' + b" " * 400 + b"}",
    "blanks and null": b'{"type" : null ,' + b"\n" * 400 + b' "id":"%b"}',
}


@pytest.mark.parametrize("model", ["openai", "openai-provider", "azure", "responses"])
@pytest.mark.parametrize("disguise", DISGUISED)
@pytest.mark.parametrize("store", [b"true", b"false"])
async def test_a_reference_cannot_be_disguised(
    state: Servers, model: str, disguise: str, store: bytes
) -> None:
    kept = await state.sdk.responses.create(model=model, input="SECRET")
    item = next(each for each in kept.output if each.type == "message").id.encode()
    mark = len(state.heard)
    body = b'{"model":"%b","store":%b,"input":[%b,{"role":"user","content":"x"}]}' % (
        model.encode(), store, DISGUISED[disguise] % item,
    )  # fmt: skip
    status, answer = await state.other.raw("POST", "/responses", body)
    assert (status, answer["error"]["code"]) == (404, "item_not_found"), answer
    assert not any(item in heard.body for heard in state.heard[mark:])


NAMED = [
    (model, first)
    for model in ("openai", "openai-provider", "azure", "responses")
    for first in ("openai", "chat", "openai-provider")
]


@pytest.mark.parametrize(
    ("model", "first"),
    [
        pytest.param(
            *each,
        )
        for each in NAMED
    ],
)
async def test_naming_an_own_item_like_a_foreign_one_gives_nothing(
    state: Servers, model: str, first: str
) -> None:
    kept = await state.sdk.responses.create(model=model, input="SECRET")
    item = next(each for each in kept.output if each.type == "message").id
    mine: Any = {"type": "message", "role": "user", "content": "MINE", "id": item}
    await state.other.sdk.responses.create(model=first, input=[mine])
    body = {"model": model, "input": [{"type": "item_reference", "id": item}]}
    status, answer = await state.other.raw("POST", "/responses", body)
    if status == 200:  # it is the caller's own, in words
        assert b"MINE" in state.last.body
        assert b"item_reference" not in state.last.body
    else:
        assert (status, answer["error"]["code"]) == (404, "item_not_found"), answer
