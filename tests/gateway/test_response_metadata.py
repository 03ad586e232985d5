"""Every answer says who was asked, for what, and how often; on every route, errors included."""

from typing import Any

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.tongues import TONGUES, provider
from tests.support.asks import PATHS, ask
from tests.support.failover import DEADLINES, FREELY, KEY, LANES, Pair, meta, well
from tests.support.gateway import Gateway, caller, model, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import Script, expect, hang, http_head, http_json, send

OURS = ("x-portico-provider", "x-portico-model", "x-portico-attempts")


async def raw(
    gateway: Gateway, method: str, path: str, body: dict[str, Any] | bytes | None = None,
    headers: dict[str, str] | None = None,
) -> RawResponse:  # fmt: skip
    async with await RawClient.connect(gateway.port) as client:
        await client.request(method, path, body, KEY if headers is None else headers)
        return await client.response(10.0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "upstream"), LANES)
async def test_an_answer_says_who_gave_it(
    client: str, upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    claims = {"x-portico-provider": "liar", "x-portico-attempts": "9", "x-request-id": "theirs"}
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    if stream:
        second.add(well(upstream, True))
    else:
        second.add([expect(), send(http_json(200, TONGUES[upstream].whole, claims))])
    answer, outcome = await pair.ask(client, f"second-{upstream}", stream=stream)
    assert meta(answer) == ("second", "second-id", "1")
    assert answer.header("x-request-id") == outcome.request_id
    assert [name for name, _ in answer.headers if name in OURS] == list(OURS)
    if client == "messages":
        assert answer.header("request-id") == outcome.request_id
    if not stream:
        assert outcome.upstream_request_id == "theirs"


async def test_a_body_too_large_to_hold_says_it_too(play: Play, launch: Launch) -> None:
    whole = {"padding": "x" * (2 << 20), **TONGUES["chat"].whole}
    busy: Script = [expect(), send(http_json(503, TONGUES["chat"].refusal))]
    first, second = await play(busy), await play([expect(), send(http_json(200, whole))])
    pair = await Pair.start(launch, first.url, second)
    answer, outcome = await pair.ask("chat", "chat")
    assert meta(answer) == ("second", "second-id", "2")
    assert (len(answer.body) > 2 << 20, answer.ended) == (True, True)
    assert (outcome.attempts, outcome.usage.output_total) == (2, 5)


async def test_what_no_provider_was_asked_for_names_none(play: Play, launch: Launch) -> None:
    pair = await Pair.start(launch, (await play()).url, await play())
    gateway = pair.gateway
    cases = [
        await raw(gateway, "POST", PATHS["chat"], ask("chat", model="nope")),
        await raw(gateway, "POST", PATHS["chat"], b"{"),
        await raw(gateway, "POST", PATHS["chat"], ask("chat", model="chat"), {}),
        await raw(gateway, "GET", "/nowhere"),
        await raw(gateway, "GET", "/v1/models"),
        await raw(gateway, "POST", PATHS["chat"], ask("chat", model="chat", models=["nope"])),
        await raw(gateway, "GET", "/v1/responses/resp_none"),
    ]
    assert [case.status for case in cases] == [404, 400, 401, 404, 200, 404, 404]
    for case in cases:
        assert meta(case) == (None, None, None)
        assert case.header("x-request-id")


async def test_a_name_that_is_no_header_is_made_one(play: Play, launch: Launch) -> None:
    upstream = await play(default=well("chat", False))
    odd = structs.replace(provider(upstream.url, "chat"), name="Größe, 100%\u2028")
    gateway = await launch(settings(route([model("*", odd)], [caller()]), deadlines=DEADLINES))
    answer = await raw(gateway, "POST", PATHS["chat"], ask("chat", model="a b\u00fc;x: y"))
    assert answer.status == 200
    name, model_, attempts = meta(answer)
    assert (name, attempts) == ("Gr%C3%B6%C3%9Fe, 100%25%E2%80%A8", "1")
    assert model_ == "a b%C3%BC%3Bx: y"
    answer = await raw(gateway, "POST", PATHS["chat"], ask("chat", model="m" * 5000))
    assert len(answer.header("x-portico-model") or "") <= 256


async def test_a_retried_error_has_one_of_each_header(play: Play, launch: Launch) -> None:
    headers = {"retry-after": "0", "x-request-id": "theirs", "x-portico-attempts": "7"}
    down: Script = [expect(), send(http_json(503, TONGUES["chat"].refusal, headers))]
    upstream = await play(default=down)
    pair = await Pair.start(launch, upstream.url, await play(), first_retry=FREELY)
    answer, outcome = await pair.ask("chat", "first-chat")
    assert meta(answer) == ("first", "first-id", "3")
    assert (answer.status, outcome.attempts, len(outcome.failed)) == (503, 3, 2)
    names = [name for name, _ in answer.headers]
    for name in (*OURS, "retry-after", "x-request-id", "content-type"):
        assert names.count(name) == 1, names


async def test_an_answer_after_a_timeout_and_an_endless_head(play: Play, launch: Launch) -> None:
    """What the first try left behind is not in the answer of the second."""
    long_head = http_head(200, {f"x-filler-{n}": "y" * 900 for n in range(90)})
    first = await play([expect(), send(long_head), hang()])
    second = await play(default=well("messages", False))
    pair = await Pair.start(launch, first.url, second)
    answer, outcome = await pair.ask("messages", "messages")
    assert meta(answer) == ("second", "second-id", "2")
    assert not [name for name, _ in answer.headers if name.startswith("x-filler")]
    assert [attempt.error for attempt in outcome.failed] == ["upstream_protocol_error"]
    assert outcome.failed[0].finished >= outcome.failed[0].started > 0
