"""Whose fault a failure is: what callers and the gateway itself bring about is no target's."""

import asyncio
from typing import Any

import pytest
from msgspec import structs
from tests.conftest import Launch, Play
from tests.faults.conftest import settled
from tests.support.asks import ask
from tests.support.failover import FREELY, KEY
from tests.support.gateway import Gateway, caller, model, provider, route, settings, virtual
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import expect, hang, http_json, send, sse

from portico.config.settings import HealthSettings, Mirror, RetrySettings, TimeoutSettings
from portico.limits import Deadlines, Limits
from portico.model.targets import TargetView

JUDGED = HealthSettings(failures=3)
ERROR = {"error": {"message": "busy", "type": "server_error", "code": "overloaded", "param": None}}
IN_200 = [expect(), send(http_json(200, ERROR))]
ILL = [expect(), send(http_json(503, ERROR))]
SILENT = [expect(), hang()]
ONCE = RetrySettings(attempts=1, backoff=0.01)


async def _gate(launch: Launch, *models: Any, **more: Any) -> Gateway:
    virtuals = more.pop("virtuals", ())
    return await launch(settings(route(list(models), [caller()], virtual=tuple(virtuals)), **more))


async def _post(gateway: Gateway, name: str, body: dict[str, Any] | None = None) -> RawResponse:
    async with await RawClient.connect(gateway.port) as client:
        asked = body or ask("chat", model=name)
        await client.request("POST", "/v1/chat/completions", asked, KEY)
        return await client.response(10.0)


def _view(gateway: Gateway, name: str) -> TargetView:
    return next(view for view in gateway.worker.gateway.targets() if view.name == name)


async def test_a_second_target_that_hangs_is_counted_by_its_own_deadline(
    play: Play, launch: Launch
) -> None:
    ill, silent = await play(default=ILL), await play(default=SILENT)
    slow = TimeoutSettings(attempt=0.15)
    gateway = await _gate(
        launch,
        model("ill", structs.replace(provider(ill.url), name="a"), retry=ONCE),
        model("silent", structs.replace(provider(silent.url), name="b"), timeout=slow,
              health=JUDGED),
        virtuals=[virtual("both", "ill", "silent")],
    )  # fmt: skip
    for _ in range(3):
        assert (await _post(gateway, "both")).status == 504
    assert _view(gateway, "silent").state == "open"


async def test_a_deadline_that_others_used_up_is_not_the_second_targets_fault(
    play: Play, launch: Launch
) -> None:
    first, second = await play(default=SILENT), await play(default=SILENT)
    gateway = await _gate(
        launch,
        model("first", structs.replace(provider(first.url), name="a"), retry=FREELY,
              timeout=TimeoutSettings(first_byte=0.15, request=0.3)),
        model("second", structs.replace(provider(second.url), name="b"), health=JUDGED),
        virtuals=[virtual("both", "first", "second")],
    )  # fmt: skip
    for _ in range(3):
        assert (await _post(gateway, "both")).status == 504
    view = _view(gateway, "second")
    assert (view.state, view.failures_total, view.in_flight) == ("closed", 0, 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_error_inside_a_200_counts_also_where_nobody_retries(
    stream: bool, play: Play, launch: Launch
) -> None:
    script = [expect(), *sse([ERROR], end=True)] if stream else IN_200
    upstream = await play(default=script)
    gateway = await _gate(launch, model("m", provider(upstream.url), health=JUDGED))
    for number in range(3):
        answer = await _post(gateway, "m", ask("chat", model="m", stream=stream))
        assert b"busy" in answer.body
        await gateway.last(number + 1)
    assert gateway.outcomes[-1].verdict == "upstream_error"
    assert _view(gateway, "m").state == "open"


async def test_an_answer_over_our_own_limit_is_nobodys_fault(play: Play, launch: Launch) -> None:
    large = {"choices": [], "text": "x" * 2_000_000}
    upstream = await play(default=[expect(), send(http_json(200, large))])
    gateway = await _gate(
        launch,
        model("m", provider(upstream.url), health=JUDGED, retry=RetrySettings(attempts=1)),
        limits=Limits(response_hold_bytes=1024, response_bytes=1_000_000),
    )
    for _ in range(3):
        assert (await _post(gateway, "m")).status == 502
    view = _view(gateway, "m")
    assert (view.state, view.failures_total, len(upstream.requests)) == ("closed", 0, 3)


async def test_what_becomes_of_a_copy_decides_nothing_for_callers(
    play: Play, launch: Launch
) -> None:
    well = [expect(), send(http_json(200, {"id": "c", "object": "chat.completion", "choices": []}))]
    upstream, shadow = await play(default=well), await play(default=ILL)
    gateway = await _gate(
        launch,
        model("m", provider(upstream.url), mirror=Mirror(model="trial")),
        model("trial", structs.replace(provider(shadow.url), name="trial"), health=JUDGED),
    )
    for _ in range(4):
        await _post(gateway, "m")
    await settled(lambda: len(shadow.requests) == 4 and len(gateway.outcomes) == 8)
    view = _view(gateway, "trial")
    assert (view.state, view.failures_total) == ("closed", 0)


async def test_a_copy_adds_nothing_to_the_callers_conversation(
    play: Play, launch: Launch, demo: Any
) -> None:
    served_by = provider(demo.url, name="demo")
    gateway = await _gate(
        launch,
        model("demo-small", served_by, mirror=Mirror(model="trial")),
        model("trial", served_by, "demo-small"),
        deadlines=Deadlines(),
    )
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", "/v1/conversations", {}, KEY)
        id = (await client.response(5.0)).json()["id"]
        body = {"model": "demo-small", "input": "hi", "conversation": id}
        await client.request("POST", "/v1/responses", body, KEY)
        assert (await client.response(5.0)).status == 200
        await settled(lambda: sum("mirror" in each.endpoint for each in gateway.outcomes) == 1)
        await asyncio.sleep(0.05)
        await client.request("GET", f"/v1/conversations/{id}/items", None, KEY)
        items = (await client.response(5.0)).json()["data"]
    assert [item["role"] for item in items] == ["assistant", "user"]
