"""`/api/...` of a real gateway with several workers: what operators look at on the bad day."""

import asyncio
import json
import os
import signal
from pathlib import Path

from tests.cli.conftest import Portico, Run
from tests.cli.test_serve import document, write
from tests.cli.test_workers import children
from tests.support.asks import PATHS, ask

TWO = ("--port", "0", "--admin", "127.0.0.1:0", "--workers", "2")


async def spread(gate: Portico) -> dict[str, int]:
    """Ids of answered requests and their workers, once both have served."""
    served: dict[str, int] = {}
    for _ in range(40):
        answer = await gate.ask("POST", PATHS["chat"], ask("chat"))
        id = answer.header("x-request-id")
        served[id] = (await gate.page(f"/api/requests/{id}")).json()["worker"]
        if len(set(served.values())) == 2:
            break
    assert set(served.values()) == {0, 1}
    return served


async def test_workers_answer_as_one_and_a_hung_one_holds_nobody_up(run: Run) -> None:
    gate = await run("serve", "--demo", *TWO)
    await gate.line(r"workers\s+2")
    served = await spread(gate)
    listed = (await gate.page("/api/requests")).json()
    assert {each["id"]: each["worker"] for each in listed["requests"]} == served
    assert listed["silent_workers"] == []
    moments = [each["ended_at"] for each in listed["requests"]]
    assert moments == sorted(moments, reverse=True)
    assert (await gate.page("/api/requests/req_none")).status == 404
    targets = (await gate.page("/api/targets")).json()["targets"]
    small = next(each for each in targets if each["name"] == "demo-small")
    assert [each["worker"] for each in small["workers"]] == [0, 1]
    assert small["successes_total"] == len(served)
    assert await gate.sample("portico_target_state", target="demo-small", state="closed") == 2

    os.kill(children(gate)[0], signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            pages = await asyncio.gather(
                gate.page("/api/targets"),
                gate.page("/api/requests"),
                gate.page("/api/requests/req_none"),
            )
    finally:
        os.kill(children(gate)[0], signal.SIGCONT)
    assert [len(page.json()["silent_workers"]) for page in pages[:2]] == [1, 1]
    assert pages[2].status == 503


async def test_a_failed_request_is_found_by_its_id_and_no_page_knows_a_key(
    run: Run, tmp_path: Path
) -> None:
    file = write(tmp_path / "p.yaml", document("sk-CANARY-model", "http://127.0.0.1:9"))
    gate = await run("serve", "-c", file, "--port", "0", "--admin", "127.0.0.1:0")
    headers = {"authorization": "Bearer gw-key"}
    body = ask("chat", "prompt-CANARY", model="sk-CANARY-model")
    answer = await gate.ask("POST", PATHS["chat"], body, headers)
    assert answer.status == 502
    one = await gate.page(f"/api/requests/{answer.header('x-request-id')}")
    told = one.json()
    assert (told["status"], told["verdict"]) == (502, "upstream_error")
    assert {each["result"] for each in told["attempts"]} == {"connect"}
    assert told["caller"] == {"user": "alice"}
    found = (await gate.page("/api/requests?verdict=upstream_error&status=502")).json()
    assert [each["id"] for each in found["requests"]] == [told["id"]]
    targets = await gate.page("/api/targets")
    assert targets.json()["targets"][0]["failures_total"] == len(told["attempts"])
    pages = [await gate.page(path) for path in ("/metrics", "/config_dump", "/api/requests")]
    for page in (one, targets, *pages):
        assert b"prompt-CANARY" not in page.body
        assert b"sk-CANARY-operator" not in page.body
        assert b"gw-key" not in page.body
    assert json.loads(targets.body)["targets"][0]["workers"][0]["credentials"][0]["number"] == 1
