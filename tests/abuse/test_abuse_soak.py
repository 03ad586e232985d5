"""Everything at once, for a long time: nobody gets what is another's, and nothing grows (B9)."""

import asyncio
import os
import random
import re
import time
from dataclasses import dataclass, field

import pytest
from tests.abuse.attackers import leave
from tests.abuse.harness import KEY, LANES, MIB, Case, Lane, Stage, body, profiles
from tests.abuse.oracles import changes, check_readable
from tests.abuse.provider import Heard, tokens
from tests.abuse.speech import refusal, told
from tests.support.asks import PATHS
from tests.support.raw import RawClient, RawResponse
from tests.support.steps import Script, http_json, send
from tests.support.steps import sleep as pause

pytestmark = pytest.mark.asyncio(loop_scope="session")

_MARK = re.compile(rb"mark-\d+-end")
STREAMED, ABORTED, FAILED = 0.3, 0.1, 0.05


def _slowly(asked: Heard) -> Script:
    """Long enough to be left in the middle."""
    head, *rest = told([*asked.speech.opening, *asked.speech.closing])
    return [pause(0.01), head, *[[pause(0.03), each] for each in rest]]


@dataclass
class Soak:
    """What was done, at most `pace` requests a second. `taken` and `given` are the tokens of the
    answers that were read whole."""

    case: Case
    count: int
    start: float
    until: float
    pace: float
    begun: int = 0
    well: int = 0
    left: int = 0
    failed: int = 0
    taken: int = 0
    given: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Enough requests, and enough time."""
        return self.begun >= self.count and time.perf_counter() >= self.until

    async def worker(self, seed: int) -> None:
        """Ask, on one connection for as long as that lives."""
        chance = random.Random(seed)
        client: RawClient | None = None
        while not self.over:
            number, self.begun = self.begun, self.begun + 1
            early = self.start + number / self.pace - time.perf_counter()
            if early > 0:
                await asyncio.sleep(early)
            client = client or await RawClient.connect(self.case.gateway.port)
            client = await self._one(client, chance, number)
        if client is not None:
            client.close()

    async def _one(self, client: RawClient, chance: random.Random, number: int) -> RawClient | None:
        lane, words, dice = chance.choice(LANES), f"mark-{number}-end", chance.random()
        stream = chance.random() < STREAMED
        aborts, fails = dice < ABORTED, ABORTED <= dice < ABORTED + FAILED
        play = "slowly" if aborts else "busy" if fails else "well"
        self.case.expect(1)
        # what is stored fills the page cache of the database (32 MiB), which is no leak: few of it
        more = {"store": number % 20 == 0} if lane.client == "responses" else {}
        asked = body(lane, play, words, stream or aborts, more)
        await client.request("POST", PATHS[lane.client], asked, KEY)
        if aborts:
            await asyncio.sleep(chance.random() * 0.08)
            leave(client, chance.choice(("fin", "rst")))
            self.left += 1
            return None
        answer = await client.response(30.0)
        _check_own(lane, stream, answer, words, 503 if fails else 200)
        if fails:
            self.failed += 1
        else:
            self.well += 1
            self.taken += tokens(words)[0]
            self.given += tokens(words)[1]
        if number % 50 == 0:
            check_readable(lane.client, stream, answer)
        return client

    async def watch(self) -> None:
        """Note how much memory the gateway has, every second."""
        start = time.perf_counter()
        while not self.over:
            self.memory.append((time.perf_counter() - start, self.case.gateway.rss()))
            await asyncio.sleep(1.0)

    def slope(self, after: float) -> float:
        """MiB per minute, as a straight line through what was noted from that second on."""
        points = [(at / 60, rss / MIB) for at, rss in self.memory if at >= after]
        middle = sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
        over = sum((x - middle[0]) ** 2 for x, _ in points)
        return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / over


def _check_own(lane: Lane, stream: bool, answer: RawResponse, words: str, status: int) -> None:
    assert (answer.status, answer.ended) == (status, True), (lane, stream, answer)
    marks = set(_MARK.findall(answer.body))
    assert marks == ({words.encode()} if status == 200 else set()), f"{marks} for {words}"
    assert b"CANARY" not in answer.head + answer.body


def _lag(case: Case) -> float:
    """The 99th percentile of the loop's lag, as the upper edge of its bucket."""
    name = "portico_event_loop_lag_seconds_bucket"
    edges = re.findall(rf'{name}{{le="([^"]+)"}}', case.page)
    counts = {edge: changes(case.before.page, case.page, name, le=edge) for edge in edges}
    return min(float(edge) for edge in edges if counts[edge] >= 0.99 * counts["+Inf"])


@profiles
async def test_b9_a_mixed_load_crosses_no_answers_and_leaves_nothing_behind(
    stage: Stage, full: bool
) -> None:
    count, seconds, workers, pace = (20_000, 130.0, 24, 170.0) if full else (1_000, 0.0, 12, 1e9)
    provider = stage.provider
    provider.plays["slowly"] = _slowly
    provider.plays["busy"] = lambda asked: [send(http_json(503, refusal(asked.dialect)))]
    provider.keeps = False
    start = time.perf_counter()
    try:
        async with stage.case("B9 soak", full=full) as case:
            soak = Soak(case, count, start, start + seconds, pace)
            watching = asyncio.ensure_future(soak.watch())
            await asyncio.gather(*(soak.worker(seed) for seed in range(workers)))
            took = time.perf_counter() - start
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        provider.keeps = True
    _tell(soak, case, took, full)
    _check_ledger(soak, case)
    if full:
        assert soak.slope(60.0) < 1.0
        assert _lag(case) <= 0.05 or os.getloadavg()[0] > 2 * (os.cpu_count() or 1)


def _tell(soak: Soak, case: Case, took: float, full: bool) -> None:
    """The figures, for people."""
    lag = _lag(case)
    print(f"B9: {soak.begun} requests in {took:.1f} s: {soak.well} well, {soak.left} left, "
          f"{soak.failed} failed; loop lag p99 <= {lag * 1000:.0f} ms; {case.probes}")  # fmt: skip
    if full:
        print(f"B9: RSS {soak.memory[0][1] / MIB:.1f} to {soak.memory[-1][1] / MIB:.1f} MiB, "
              f"{soak.slope(60.0):+.2f} MiB/min after the first minute")  # fmt: skip


def _check_ledger(soak: Soak, case: Case) -> None:
    verdicts = [line["verdict"] for line in case.lines]
    ok = [line for line in case.lines if line["verdict"] == "ok"]
    late = len(ok) - soak.well
    assert 0 <= late <= soak.left, "who left too late had the answer already"
    assert verdicts.count("upstream_error") == soak.failed
    assert verdicts.count("client_cancelled") == soak.left - late
    whole = [
        line["tokens"] for line in ok if line["tokens"] and not line["tokens"].get("estimated")
    ]
    assert sum(each["input"] for each in whole) >= soak.taken
    if not late:
        assert sum(each["input"] for each in whole) == soak.taken
        assert sum(each["output"] for each in whole) == soak.given
