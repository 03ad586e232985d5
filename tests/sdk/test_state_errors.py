"""Every way to ask for stored state wrongly has one documented answer, with `param` and `code`."""

from typing import Any

import pytest
from tests.support.stateful import (
    CELLS,
    SPLICED,
    UNKNOWN_CONVERSATION,
    UNKNOWN_RESPONSE,
    Servers,
    ask,
    servers,
    tool,
)

from portico.limits import Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")
state = servers()
small = servers(Limits(chain_bytes=4096, background_runs=2))

CREATE: dict[str, tuple[dict[str, Any], int, str, str | None]] = {
    "unknown parent": (
        {"input": "x", "previous_response_id": UNKNOWN_RESPONSE},
        400, "previous_response_id", "previous_response_not_found",
    ),
    "parent of another form": (
        {"input": "x", "previous_response_id": "no such thing/é"},
        400, "previous_response_id", "previous_response_not_found",
    ),
    "empty parent": (
        {"input": "x", "previous_response_id": ""}, 400, "previous_response_id", None,
    ),
    "parent is a number": (
        {"input": "x", "previous_response_id": 1}, 400, "previous_response_id", "invalid_type",
    ),
    "unknown conversation": (
        {"input": "x", "conversation": UNKNOWN_CONVERSATION},
        404, "conversation", "conversation_not_found",
    ),
    "unknown conversation as an object": (
        {"input": "x", "conversation": {"id": UNKNOWN_CONVERSATION}},
        404, "conversation", "conversation_not_found",
    ),
    "both": (
        {"input": "x", "conversation": UNKNOWN_CONVERSATION,
         "previous_response_id": UNKNOWN_RESPONSE},
        400, "previous_response_id", "mutually_exclusive_parameters",
    ),
    "unknown reference": (
        {"input": [{"type": "item_reference", "id": "msg_nobody"}]},
        404, "input", "item_not_found",
    ),
    "reference by id only": ({"input": [{"id": "rs_nobody"}]}, 404, "input", "item_not_found"),
    "reference without id": ({"input": [{"type": "item_reference"}]}, 400, "input[0].id", None),
    "reference with a number": (
        {"input": [{"type": "item_reference", "id": 1}]}, 400, "input[0].id", None,
    ),
    "store is a text": ({"input": "x", "store": "yes"}, 400, "store", "invalid_type"),
    "background is a text": (
        {"input": "x", "background": "yes"}, 400, "background", "invalid_type",
    ),
    "no input at all": ({}, 400, "input", "missing_required_parameter"),
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", CREATE)
@pytest.mark.parametrize("more", [{}, {"stream": True}, {"store": False}], ids=str)
async def test_a_wrong_request_is_told_what_is_wrong(
    state: Servers, cell: str, name: str, more: dict[str, Any]
) -> None:
    body, status, param, code = CREATE[name]
    mark = len(state.heard)
    got, answer = await state.client.raw("POST", "/responses", {"model": cell, **more, **body})
    error = answer["error"]
    assert (got, error["param"]) == (status, param), answer
    assert code is None or error["code"] == code, answer
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    relayed = cell in SPLICED and "input[" in param  # in depth, the provider checks its own dialect
    assert relayed or len(state.heard) == mark


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_output_of_an_unknown_call_is_refused_behind_any_parent(
    state: Servers, cell: str, stream: bool
) -> None:
    root = await ask(state.client, cell, "hello", tools=[tool()])
    for kind in ("function_call_output", "custom_tool_call_output"):
        status, answer = await state.client.raw(
            "POST", "/responses",
            {"model": cell, "stream": stream, "previous_response_id": root.id,
             "input": [{"type": kind, "call_id": "call_x", "output": "y"}]},
        )  # fmt: skip
        assert (status, answer["error"]["param"]) == (400, "input")
        assert "call_x" in answer["error"]["message"]


@pytest.mark.parametrize("path", ["", "/input_tokens", "/compact"])
async def test_every_endpoint_that_continues_refuses_alike(state: Servers, path: str) -> None:
    for name, (body, status, param, code) in CREATE.items():
        if "previous_response_id" not in body and "conversation" not in body:
            continue
        if path == "/compact" and "conversation" in body:
            continue
        got, answer = await state.client.raw("POST", f"/responses{path}", {"model": "chat", **body})
        assert (got, answer["error"]["param"]) == (status, param), (name, answer)
        assert code is None or answer["error"]["code"] == code, (name, answer)


async def test_wrong_methods_and_paths_are_told_apart(state: Servers) -> None:
    for method, path, status in (
        ("PUT", "/responses/resp_1", 405),
        ("POST", "/responses/resp_1", 405),
        ("GET", "/responses/resp_1/cancel", 405),
        ("POST", "/responses/resp_1/input_items", 405),
        ("GET", "/responses/compact", 405),
        ("GET", "/conversations", 405),
        ("PUT", "/conversations/conv_1", 405),
        ("POST", "/conversations/conv_1/items/msg_1", 405),
        ("GET", "/responses/resp_1/nothing", 404),
        ("GET", "/conversations/conv_1/nothing", 404),
        ("GET", f"/responses/{'x' * 129}", 404),
        ("GET", "/responses/a%2Fb", 404),
    ):
        got, answer = await state.client.raw(method, path)
        assert got == status, (method, path, answer)
        assert answer["error"]["message"]


async def test_no_key_sees_no_state(state: Servers) -> None:
    made = await ask(state.client, "chat", "hello")
    key = state.client.sdk.api_key
    state.client.sdk.api_key = "gw-nobody"
    try:
        for method, path in (
            ("GET", f"/responses/{made.id}"),
            ("DELETE", f"/responses/{made.id}"),
            ("POST", f"/responses/{made.id}/cancel"),
            ("GET", f"/responses/{made.id}/input_items"),
            ("POST", "/conversations"),
        ):
            assert (await state.client.raw(method, path))[0] == 401
    finally:
        state.client.sdk.api_key = key


# limits


async def test_a_chain_has_a_greatest_size(small: Servers) -> None:
    parent = (await ask(small.client, "chat", "x" * 3000)).id
    more: dict[str, Any] = {"model": "chat", "input": "y" * 3000, "previous_response_id": parent}
    made = await small.sdk.responses.create(**more)
    for cell in CELLS:
        status, answer = await small.client.raw(
            "POST", "/responses", {"model": cell, "input": "z", "previous_response_id": made.id}
        )
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
        assert answer["error"]["param"] == "input"
    again = await ask(small.client, "chat", "from the first", previous_response_id=parent)
    assert again.status == "completed"


async def test_a_conversation_has_the_same_greatest_size(small: Servers) -> None:
    made = await small.sdk.conversations.create(items=[{"role": "user", "content": "x" * 5000}])
    status, answer = await small.client.raw(
        "POST", "/responses", {"model": "chat", "input": "z", "conversation": made.id}
    )
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


async def test_a_worker_runs_only_so_many_in_the_background(small: Servers) -> None:
    slow: dict[str, Any] = {
        "model": "chat", "input": "[[demo first_delay=30]] x", "background": True
    }  # fmt: skip
    runs = [await small.sdk.responses.create(**slow) for _ in range(2)]
    status, answer = await small.client.raw("POST", "/responses", slow)
    assert status in (429, 503)
    assert answer["error"]["message"]
    for run in runs:
        await small.sdk.responses.cancel(run.id)
    third = await small.sdk.responses.create(**slow)
    await small.sdk.responses.cancel(third.id)
