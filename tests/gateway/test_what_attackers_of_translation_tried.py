"""Attacks on the translate lane, each with the promise that stops it."""

import json
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.faults.tongues import FORMATS, TONGUES, answered, provider, told
from tests.support.asks import PATHS, ask
from tests.support.gateway import CALLER_KEY, Gateway, caller, model, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, http_json, send

OTHER_KEY = "gw-CANARY-other-0123456789"
SECRET = "c2VjcmV0LXByb29m"


async def post(gate: Gateway, dialect: str, body: Any, key: str = CALLER_KEY) -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        await client.request("POST", PATHS[dialect], json.dumps(body).encode(), headers)
        return await client.response()


# -- models nobody allowed ------------------------------------------------------------------------

_PICTURE = {"type": "image_generation", "model": "big"}
_HIDDEN: dict[str, dict[str, Any]] = {
    "a hosted tool": {"tools": [_PICTURE]},
    "a setting of a hosted tool": {
        "tools": [{"type": "image_generation", "svg": {"model": "big"}}]
    },
    "a tool of a namespace": {
        "tools": [{"type": "namespace", "name": "n", "description": "d", "tools": [_PICTURE]}]
    },
    "a list in a list": {"tools": [[_PICTURE]]},
    "another spelling": {"tools": [{"type": "image_generation", "Model": "big"}]},
    "a name that is none": {"tools": [{"type": "image_generation", "model": ["big"]}]},
    "tools that come later": {
        "input": [{"type": "additional_tools", "role": "developer", "tools": [_PICTURE]}]
    },
    "tools that were found": {
        "input": [{"type": "tool_search_output", "call_id": "c", "tools": [_PICTURE]}]
    },
    "fallbacks": {"models": ["big"]},
    "fallbacks in capitals": {"Models": ["big"]},
    "fallbacks with a long s": {"model\u017f": ["big"]},
    "a model in capitals": {"Model": "big"},
}  # fmt: skip


@pytest.mark.parametrize("spoken", ["responses", "messages"], ids=["spliced", "translated"])
@pytest.mark.parametrize("place", _HIDDEN)
async def test_no_corner_of_a_request_names_another_model(
    place: str, spoken: str, launch: Launch, play: Play
) -> None:
    upstream = await play()
    models = [model(name, provider(upstream.url, spoken)) for name in ("small", "big")]
    gate = await launch(settings(route(models, [caller(models=["small"])])))
    body = {**ask("responses", model="small"), **_HIDDEN[place]}
    answer = await post(gate, "responses", body)
    assert answer.status in (400, 403, 404), answer.body
    assert upstream.opened == 0


async def test_what_a_tool_calls_its_own_parameter_is_no_model(launch: Launch, play: Play) -> None:
    upstream = await play([expect(), answered("messages")])
    models = [model("small", provider(upstream.url, "messages"))]
    gate = await launch(settings(route(models, [caller(models=["small"])])))
    schema = {"type": "object", "properties": {"model": {"type": "string", "default": "big"}},
              "required": ["model"], "examples": [{"model": "big"}]}  # fmt: skip
    tool = {"type": "function", "name": "pick", "parameters": schema, "strict": False}
    answer = await post(gate, "responses", ask("responses", model="small", tools=[tool]))
    assert answer.status == 200, answer.body


# -- paths and headers ----------------------------------------------------------------------------


@pytest.mark.parametrize("upstream", ["gemini", "converse"])
@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("../../v1/secrets", "..%2F..%2Fv1%2Fsecrets"),
        ("m:generateContent?key=x#", "m%3AgenerateContent%3Fkey%3Dx%23"),
        ("m/../../admin", "m%2F..%2F..%2Fadmin"),
        ("%2e%2e%2fadmin", "%252e%252e%252fadmin"),
        ("a b", "a%20b"),
        ("\u00e9\u2028", "%C3%A9%E2%80%A8"),
        ("..;/x", "..%3B%2Fx"),
        ("..", None),
        (".", None),
        ("m\r\nx-injected: 1", None),
        ("m\x00", None),
        ("m" * 257, None),
    ],
)
async def test_a_model_name_is_one_segment_of_the_path_or_nothing(
    name: str, there: str | None, upstream: str, launch: Launch, play: Play
) -> None:
    provider_ = await play(default=[expect(), answered(upstream)])
    gate = await launch(
        settings(route([model("*", provider(provider_.url, upstream))], [caller()]))
    )
    answer = await post(gate, "chat", ask("chat", model=name))
    if there is None:
        assert answer.status in (400, 404)
        assert provider_.opened == 0
        return
    assert answer.status == 200, answer.body
    (received,) = provider_.requests
    assert received.target == FORMATS[upstream][1].replace("{model}", there)
    assert set(received.head) <= {
        "host", "content-type", "content-length", "authorization", "accept", "accept-encoding",
        "user-agent", "connection",
    }  # fmt: skip


async def test_losses_are_one_header_line_whatever_they_are_called(
    launch: Launch, play: Play
) -> None:
    provider_ = await play(default=[expect(), answered("messages")])
    gate = await launch(
        settings(route([model("*", provider(provider_.url, "messages"), "m")], [caller()]))
    )
    names = ["a\r\nset-cookie: x=1", "b\x00", "c, d=dropped", "\u2028", "e" * 900]
    many = {f"p{at}": 1 for at in range(5000)}
    answer = await post(gate, "responses", ask("responses", **dict.fromkeys(names, 1), **many))
    assert answer.status == 200, answer.body
    assert answer.header("set-cookie") is None
    losses = answer.header("x-portico-losses") or ""
    assert losses.isascii()
    assert len(losses) < 3000
    assert "more=" in losses
    outcome = await gate.last()
    assert outcome.losses is not None
    assert len(outcome.losses) <= 1000


@pytest.mark.parametrize("later", ["5\tx", "\u00e9" * 30, "9" * 5000])
async def test_a_delay_the_provider_asks_for_is_short_and_plain(
    later: str, launch: Launch, play: Play
) -> None:
    busy = http_json(503, TONGUES["gemini"].refusal, {"retry-after": later})
    provider_ = await play([expect(), send(busy)])
    gate = await launch(
        settings(route([model("*", provider(provider_.url, "gemini"), "m")], [caller()]))
    )
    answer = await post(gate, "chat", ask("chat"))
    assert answer.status == 503
    assert len(answer.header("retry-after") or "") <= 64


# -- other people's reasoning ---------------------------------------------------------------------


def _thinking() -> list[bytes]:
    def event(kind: str, **more: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()

    block = {"type": "thinking", "thinking": "", "signature": ""}
    sign = {"type": "signature_delta", "signature": SECRET}
    opening, closing = TONGUES["messages"].opening, TONGUES["messages"].closing
    thought = [
        event("content_block_start", index=9, content_block=block),
        event("content_block_delta", index=9, delta={"type": "thinking_delta", "thinking": "hm"}),
        event("content_block_delta", index=9, delta=sign),
        event("content_block_stop", index=9),
    ]
    return [opening[0], *thought, *opening[1:], *closing]


async def _two_tenants(launch: Launch, play: Play) -> tuple[Gateway, ScriptedUpstream, Any]:
    """Two tenants, two providers; and what the first tenant was told by the first provider."""
    first = await play(
        [expect(), *told("messages", _thinking())], default=[expect(), answered("messages")]
    )
    second = await play(default=[expect(), answered("messages")])
    models = [
        model("one", provider(first.url, "messages"), "claude-sonnet-4-5"),
        model("two", provider(second.url, "messages"), "claude-sonnet-4-5"),
    ]
    keys = [caller(tenant="a"), caller(OTHER_KEY, tenant="b")]
    gate = await launch(settings(route(models, keys)))
    more = {"include": ["reasoning.encrypted_content"], "store": False}
    answer = await post(gate, "responses", ask("responses", model="one", stream=True, **more))
    final = json.loads([line for line in answer.data_lines() if line != b"[DONE]"][-1])
    (reasoning,) = [each for each in final["response"]["output"] if each["type"] == "reasoning"]
    assert SECRET not in json.dumps(final), "what the provider sealed is sealed again"
    gate.second = second  # type: ignore[attr-defined]
    return gate, first, reasoning


def _again(model_: str, reasoning: Any) -> Any:
    body = ask("responses", model=model_, include=["reasoning.encrypted_content"], store=False)
    words = {"type": "message", "role": "assistant",
             "content": [{"type": "output_text", "text": "x", "annotations": []}]}  # fmt: skip
    question = body["input"][0]
    return {**body, "input": [question, reasoning, words, question]}


async def test_a_tenant_gets_its_own_reasoning_back_to_where_it_came_from(
    launch: Launch, play: Play
) -> None:
    gate, first, reasoning = await _two_tenants(launch, play)
    answer = await post(gate, "responses", _again("one", reasoning))
    assert answer.status == 200, answer.body
    assert SECRET in first.requests[-1].body.decode()


async def test_another_tenant_cannot_use_or_see_it(launch: Launch, play: Play) -> None:
    gate, first, reasoning = await _two_tenants(launch, play)
    answer = await post(gate, "responses", _again("one", reasoning), OTHER_KEY)
    assert answer.status == 200, answer.body
    sent = first.requests[-1].body.decode()
    assert SECRET not in sent
    assert reasoning["encrypted_content"] not in sent
    assert "input[1]=dropped" in (answer.header("x-portico-losses") or "")


async def test_another_provider_never_gets_it(launch: Launch, play: Play) -> None:
    gate, _, reasoning = await _two_tenants(launch, play)
    answer = await post(gate, "responses", _again("two", reasoning))
    assert answer.status == 200, answer.body
    (received,) = gate.second.requests  # type: ignore[attr-defined]
    assert SECRET not in received.body.decode()
    assert reasoning["encrypted_content"] not in received.body.decode()
    assert "input[1]=dropped" in (answer.header("x-portico-losses") or "")


@pytest.mark.parametrize("dialect", ["messages", "chat"])
async def test_an_envelope_in_the_place_of_another_thing_is_just_text_or_nothing(
    dialect: str, launch: Launch, play: Play
) -> None:
    """Moved into another kind of item, in another dialect: the proof goes to its own provider as
    the proof of some reasoning, or nowhere; it is never told in the clear."""
    gate, first, reasoning = await _two_tenants(launch, play)
    envelope = reasoning["encrypted_content"]
    if dialect == "messages":  # spliced: what only the gateway can read is taken out
        body = ask("messages", model="one")
        blocks = [
            {"type": "redacted_thinking", "data": envelope},
            {"type": "thinking", "thinking": "mine", "signature": envelope},
            {"type": "text", "text": "x"},
        ]
        body["messages"] += [{"role": "assistant", "content": blocks}, body["messages"][0]]
    else:
        body = ask("chat", model="one")
        detail = {"type": "reasoning.encrypted", "data": envelope, "format": "portico-v1",
                  "id": "call:nothing", "index": 0}  # fmt: skip
        told_ = {"role": "assistant", "content": envelope, "reasoning_details": [detail, detail]}
        body["messages"] += [told_, body["messages"][0]]
    answer = await post(gate, dialect, body)
    assert SECRET not in answer.body.decode()
    sent = first.requests[-1].json()
    if dialect == "messages":
        assert SECRET not in json.dumps(sent)
        assert envelope not in json.dumps(sent)
    else:
        thoughts = [block for each in sent["messages"] if isinstance(each["content"], list)
                    for block in each["content"] if block["type"] != "text"]  # fmt: skip
        assert all(block["signature"] == SECRET for block in thoughts)


async def test_counting_leaves_out_what_another_provider_sealed(launch: Launch, play: Play) -> None:
    upstream = await play([expect(), send(http_json(200, {"input_tokens": 3}))])
    served = provider(upstream.url, "messages")
    counted = type(served)(
        **{
            **{name: getattr(served, name) for name in served.__struct_fields__},
            "formats": {**(served.formats or {}),
                        "anthropicTokenCount": "/v1/messages/count_tokens"},
        }
    )  # fmt: skip
    gate = await launch(settings(route([model("*", counted, "m")], [caller()])))
    thought = {"type": "thinking", "thinking": "x", "signature": "ptco1_AAAA"}
    body = {"model": "m", "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "y"}]},
    ]}  # fmt: skip
    async with await RawClient.connect(gate.port) as client:
        headers = {"authorization": f"Bearer {CALLER_KEY}"}
        await client.request("POST", "/v1/messages/count_tokens", body, headers)
        answer = await client.response()
    assert (answer.status, answer.json()) == (200, {"input_tokens": 3}), answer.body
    assert b"ptco1_" not in upstream.requests[0].body
