"""A request that was saved by another provider: what its record, the metrics and the pages say."""

from tests.conftest import Launch, Play
from tests.support.asks import PATHS, ask
from tests.support.gateway import CALLER_KEY, caller, model, provider, route, settings
from tests.support.raw import RawClient
from tests.support.upstream import Script, expect, http_json, send

from portico.config.settings import RetrySettings, VirtualSettings, VirtualTarget
from portico.observe.recent import RequestQuery

DOWN: Script = [expect(), send(http_json(503, {"error": {"message": "busy", "code": "slow_down"}}))]
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "well-1",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}  # fmt: skip


async def test_a_failover_shows_both_attempts_everywhere(play: Play, launch: Launch) -> None:
    down = await play(default=DOWN)
    well = await play(default=[expect(), send(http_json(200, ANSWER))])
    virtual = VirtualSettings(
        name="chat",
        routing="failover",
        targets=(VirtualTarget(model="first"), VirtualTarget(model="second", priority=1)),
        retry=RetrySettings(),
    )
    gateway = await launch(
        settings(
            route(
                [
                    model("first", provider(down.url, name="down"), "down-1"),
                    model("second", provider(well.url, name="well"), "well-1"),
                ],
                [caller(team="tests")],
                virtual=(virtual,),
            )
        )
    )
    async with await RawClient.connect(gateway.port) as client:
        key = {"authorization": f"Bearer {CALLER_KEY}"}
        await client.request("POST", PATHS["chat"], ask("chat", model="chat"), key)
        answer = await client.response()
    assert answer.status == 200
    await gateway.last()

    told = gateway.recorder.request(answer.header("x-request-id") or "")
    assert told is not None
    first, last = told.attempts
    assert (first.provider, first.model, first.result, first.status) == (
        "down", "down-1", "5xx", 503,
    )  # fmt: skip
    assert (last.provider, last.model, last.result, last.status) == (
        "well", "well-1", "success", 200,
    )  # fmt: skip
    ends = [first.started_ms + first.duration_ms, last.started_ms + last.duration_ms]
    assert 0 < first.started_ms < ends[0] <= last.started_ms < ends[1] <= told.timings.total_ms
    assert told.model == "chat"
    (row,) = gateway.recorder.requests(RequestQuery(provider="down"))
    assert (row.id, row.attempt_count) == (told.id, 2)

    name = "portico_upstream_attempts_total"
    assert gateway.sample(name, provider="down", model="chat", result="5xx") == 1
    assert gateway.sample(name, provider="well", model="chat", result="success") == 1
    assert gateway.sample(name) == gateway.sample("portico_attempts_total") == 2
    targets = {each.name: each for each in gateway.worker.gateway.targets()}
    assert (targets["first"].failures_total, targets["second"].successes_total) == (1, 1)
    assert targets["first"].in_flight == targets["second"].in_flight == 0
