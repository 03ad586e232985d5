"""`--workers N`: several processes that look like one."""

import asyncio
import os
import signal
from pathlib import Path

from tests.cli.conftest import Portico, Run
from tests.cli.test_serve import document, write
from tests.support.asks import PATHS, ask

REQUESTS = "portico_requests_total"


def children(gate: Portico) -> list[int]:
    """The process ids of the workers."""
    pid = gate.process.pid
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def runs(pid: int) -> bool:
    """Whether a process exists."""
    return Path(f"/proc/{pid}").exists()


async def call(gate: Portico, count: int) -> None:
    for _ in range(count):
        answer = await gate.ask("POST", PATHS["chat"], ask("chat"))
        assert answer.status == 200


async def test_one_scrape_is_the_sum_and_a_killed_worker_is_replaced(run: Run) -> None:
    gate = await run("serve", "--demo", "--port", "0", "--admin", "127.0.0.1:0", "--workers", "2")
    await gate.line(r"workers\s+2")
    workers = children(gate)
    assert len(workers) == 2
    await call(gate, 24)
    assert await gate.sample(REQUESTS) == 24
    assert await gate.sample("portico_gen_ai_client_token_usage_count",
                             gen_ai_token_type="output") == 24  # fmt: skip
    await asyncio.sleep(1.2)  # a worker tells what it counted every second
    os.kill(workers[0], signal.SIGKILL)

    async def replaced() -> bool:
        now = children(gate)
        return len(now) == 2 and workers[0] not in now

    lows = []
    for _ in range(5):
        lows.append(await gate.sample(REQUESTS))
        await asyncio.sleep(0.05)
    await gate.until(replaced)
    await gate.line("died")
    await asyncio.sleep(0.5)
    assert lows == [24.0] * 5, "counters never go down"
    await call(gate, 10)
    assert await gate.sample(REQUESTS) == 34
    assert await gate.sample("portico_requests_in_flight") == 0
    gate.signal(signal.SIGINT)
    assert await gate.exit() == 0


async def test_a_reload_reaches_every_worker(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "portico.yaml"
    url = "http://127.0.0.1:9"
    file = write(path, document("first", url))
    gate = await run("serve", "-c", file, "--port", "0", "--admin", "127.0.0.1:0", "--workers", "2")
    await gate.port()

    async def names() -> set[str]:
        answers = [
            await gate.ask("GET", "/v1/models", None, {"x-api-key": "gw-key"}) for _ in range(8)
        ]
        return {each["id"] for answer in answers for each in answer.json()["data"]}

    async def all_second() -> bool:
        return await names() == {"second"}

    assert await names() == {"first"}
    write(path, document("second", url))
    gate.signal(signal.SIGHUP)
    await gate.until(all_second)
    write(path, "llm: {")
    gate.signal(signal.SIGHUP)
    await gate.line("reload refused")

    async def told() -> bool:
        return await gate.sample("portico_config_last_reload_successful") == 0

    await gate.until(told)
    assert await names() == {"second"}
    gate.signal(signal.SIGTERM)
    assert await gate.exit() == 0


async def test_a_worker_that_cannot_start_ends_the_command(run: Run) -> None:
    other = await run("serve", "--demo", "--port", "0", "--admin", "off")
    port = str(await other.port())
    gate = await run("serve", "--demo", "--port", port, "--admin", "off", "--workers", "2")
    assert await gate.exit(20) == 3
    assert port in "\n".join(gate.err)


async def test_workers_leave_with_their_supervisor(run: Run) -> None:
    gate = await run("serve", "--demo", "--port", "0", "--admin", "off", "--workers", "2")
    await gate.port()
    workers = children(gate)
    gate.process.kill()
    await gate.exit()

    async def gone() -> bool:
        return not any(map(runs, workers))

    await gate.until(gone)
