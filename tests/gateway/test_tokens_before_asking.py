"""`/v1/messages/count_tokens`: a provider that counts is asked, in its own way and on its terms."""

from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.gateway import model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import expect, http_json, send

from portico.model.sealed import PREFIX

HEADERS = {"anthropic-beta": "some-beta-2026-01-01", "anthropic-version": "2099-01-01"}
SEALED = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": f"{PREFIX}abc"},
            {"type": "text", "text": "Hello"},
        ],
    },
    {"role": "user", "content": "Count me"},
]


async def count(port: int, messages: Any = "Count me", **more: Any) -> RawResponse:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    async with await RawClient.connect(port) as client:
        body = {"model": "alias", "messages": messages, **more}
        await client.request("POST", "/v1/messages/count_tokens", body, HEADERS)
        return await client.response()


async def test_the_clients_betas_and_version_go_along(launch: Launch, play: Play) -> None:
    upstream = await play([expect(), send(http_json(200, {"input_tokens": 7}))])
    served = model("alias", provider(upstream.url, "anthropic"), "claude-x")
    gate = await launch(settings(route([served])))
    answer = await count(gate.port)
    assert (answer.status, answer.json()) == (200, {"input_tokens": 7})
    assert answer.header("x-portico-losses") is None
    head = upstream.requests[0].head
    assert {name: head[name] for name in HEADERS} == HEADERS
    assert upstream.requests[0].json()["model"] == "claude-x"


async def test_reasoning_that_is_taken_out_is_declared(launch: Launch, play: Play) -> None:
    upstream = await play([expect(), send(http_json(200, {"input_tokens": 7}))])
    served = model("alias", provider(upstream.url, "anthropic"), "claude-x")
    gate = await launch(settings(route([served])))
    answer = await count(gate.port, SEALED)
    assert answer.header("x-portico-losses") == "messages=dropped"
    assert PREFIX.encode() not in upstream.requests[0].body
    assert upstream.requests[0].json()["messages"][1]["content"][0]["type"] == "text"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("anthropic", {"messages": SEALED}),  # spliced
        ("gemini", {"messages": SEALED}),  # translated
        ("custom", {}),  # estimated
    ],
)
async def test_a_model_that_takes_no_losses_refuses_to_count_with_one(
    kind: str, body: dict[str, Any], launch: Launch, play: Play
) -> None:
    upstream = await play()
    served: Any = provider(upstream.url, kind, formats=["completions"])
    gate = await launch(settings(route([model("alias", served, "m-x", on_loss="reject")])))
    answer = await count(gate.port, **body)
    assert (answer.status, upstream.requests) == (400, [])
    assert "has to be adapted" in answer.json()["error"]["message"]


@pytest.mark.parametrize("answer", [{}, {"input_tokens": "many"}, []])
async def test_a_count_that_is_none_is_a_bad_gateway(
    answer: Any, launch: Launch, play: Play
) -> None:
    upstream = await play([expect(), send(http_json(200, answer))])
    served = model("alias", provider(upstream.url, "anthropic"), "claude-x")
    gate = await launch(settings(route([served])))
    assert (await count(gate.port)).status == 502
