"""What has to hold after every case: the oracles O1 to O8 of the fault plan.

O1  while it runs, a health probe every 100 ms and a plain chat every 500 ms are answered
O2  memory is back within 20 MiB of what it was
O3  descriptors, threads, and tasks and leases where there is a gauge, are back within 3
O4  no connection to a provider is busy any more
O5  one line of the access log per logical request; the lines, the counters and the provider agree
O6  no canary secret in any output, page or error
O7  official SDKs read every answer, and raise the right exception for every error
O8  requests begun are requests ended
"""

import asyncio
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from tests.abuse.process import Process
from tests.support.gateway import CALLER_KEY, OPERATOR_KEY, sample
from tests.support.raw import RawClient, RawResponse

PROMPT_CANARY = "prompt-CANARY-0123456789"
"""Part of every prompt of the suite. Must be in no log, metric, page or error."""
SECRETS = (CALLER_KEY.encode(), OPERATOR_KEY.encode())
MIB = 1 << 20
SPARE_MEMORY = 20 * MIB
SPARE = 3
PAGES = ("/metrics", "/config_dump", "/healthz/ready", "/api/targets", "/api/requests?limit=1000")
GAUGES = ("portico_asyncio_tasks", "portico_upstream_connections_busy")
"""Looked at where the gateway has them."""


@dataclass
class Baseline:
    """What a quiet gateway had before a case. `fds` are those that are not for providers."""

    rss: int
    fds: int
    threads: int
    page: str
    line: int

    @classmethod
    async def of(cls, process: Process, provider_sockets: int) -> "Baseline":
        """Measure it now. `provider_sockets` are connections that providers see open."""
        page = await process.metrics()
        fds = process.fds() - provider_sockets
        process.forget_peak()
        return cls(process.rss(), fds, process.threads(), page, len(process.lines()))


@dataclass
class Vigil:
    """O1: watches the gateway while a case runs. Times in seconds, None where it failed."""

    process: Process
    model: str
    probes: list[float | None] = field(default_factory=list)
    chats: list[float | None] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin."""
        self._quiet = os.getloadavg()[0] < 2 * (os.cpu_count() or 1)
        self._prober = threading.Thread(target=self._probe, daemon=True)
        self._prober.start()
        self._chatter = asyncio.create_task(self._chat_on())

    async def stop(self) -> None:
        """Let what was asked be answered, then end."""
        self._over.set()
        await self._chatter
        await asyncio.to_thread(self._prober.join)

    def check(self, full: bool) -> None:
        """Raise AssertionError unless it held: at most one in a hundred failed, and in the full
        profile, where the machine has time for us, the probes' 99th percentile is under 250 ms."""
        for name, times in (("probe", self.probes), ("chat", self.chats)):
            failed = times.count(None)
            assert failed <= len(times) // 100, (name, failed, len(times), self.why[:5])
        if full and len(self.probes) >= 100 and self._quiet:  # of fewer it is the worst
            assert self.p99() < 0.25, sorted(each for each in self.probes if each)[-5:]

    def p99(self) -> float:
        """The 99th percentile of the probes, in seconds."""
        times = sorted(each for each in self.probes if each is not None)
        return times[int(len(times) * 0.99)] if times else 0.0

    def _probe(self) -> None:
        """In a thread: what is measured is the gateway, not this process's busy loop."""
        client = HTTPConnection("127.0.0.1", self.process.admin, timeout=5.0)
        while not self._over.is_set():
            start = time.perf_counter()
            try:
                client.request("GET", "/healthz/live")
                answer = client.getresponse()
                answer.read()
                assert answer.status == 200, answer.status
                self.probes.append(time.perf_counter() - start)
            except (OSError, HTTPException, AssertionError) as error:
                self.probes.append(None)
                self.why.append(f"probe: {error!r}")
                client.close()
            self._over.wait(max(0.1 - (time.perf_counter() - start), 0.001))
        client.close()

    async def _chat_on(self) -> None:
        client: RawClient | None = None
        while True:
            start = time.perf_counter()
            try:
                client = await self._chat(client)
                self.chats.append(time.perf_counter() - start)
            except (OSError, AssertionError, TimeoutError) as error:
                self.chats.append(None)
                self.why.append(f"chat: {error!r}")
                client = None
            left = 0.5 - (time.perf_counter() - start)
            while left > 0 and not self._over.is_set():
                await asyncio.sleep(min(left, 0.02))
                left -= 0.02
            if self._over.is_set():
                break
        if client is not None:
            client.close()

    async def _chat(self, client: RawClient | None) -> RawClient:
        client = client or await RawClient.connect(self.process.port)
        body = {"model": self.model, "messages": [{"role": "user", "content": PROMPT_CANARY}]}
        key = {"authorization": f"Bearer {CALLER_KEY}"}
        await client.request("POST", "/v1/chat/completions", body, key)
        answer = await client.response(5.0)
        assert answer.status == 200, answer.body
        return client


async def back_to(
    process: Process, before: Baseline, provider_sockets: Any, within: float
) -> list[str]:
    """O2, O3 and O8: what is not as it was, after waiting up to `within` seconds for it."""
    until = time.perf_counter() + within
    while True:
        page = await process.metrics()
        wrong = []
        if (rss := process.rss()) > before.rss + SPARE_MEMORY:
            wrong.append(f"O2: {(rss - before.rss) / MIB:.1f} MiB more than before")
        if (fds := process.fds() - provider_sockets()) > before.fds + SPARE:
            wrong.append(f"O3: {fds} descriptors, {before.fds} before")
        if (threads := process.threads()) > before.threads + SPARE:
            wrong.append(f"O3: {threads} threads, {before.threads} before")
        wrong += [
            f"O3: {name} is {sample(page, name)}"
            for name in GAUGES
            if sample(page, name) > sample(before.page, name) + SPARE
        ]
        if busy := sample(page, "portico_target_in_flight"):
            wrong.append(f"O3: {busy:.0f} attempts in progress")
        started = changes(before.page, page, "portico_requests_started_total")
        ended = _ended(before.page, page)
        if started != ended or sample(page, "portico_in_flight") != 0:
            wrong.append(f"O8: {started} begun, {ended} ended")
        if not wrong or time.perf_counter() > until:
            return wrong
        await asyncio.sleep(0.05)


def changes(before: str, after: str, name: str, **labels: str) -> float:
    """How much a counter grew between two metrics pages; series by series, because a sum of all
    would be rounded where one of them is huge."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    old, new = _series(before, name), _series(after, name)
    grown = [new[key] - old.get(key, 0.0) for key in new if all(w in key for w in wanted)]
    return sum(grown)


def _series(page: str, name: str) -> dict[str, float]:
    lines = [line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)}


def _ended(before: str, after: str) -> float:
    return changes(before, after, "portico_requests_total")


def check_ledger(before: str, after: str, lines: list[dict[str, Any]]) -> None:
    """O5: as many lines as requests, no id twice, the same tokens in lines and counters."""
    ids = Counter(line["request_id"] for line in lines)
    twice = [id for id, count in ids.items() if count > 1]
    assert not twice, f"O5: more than one line for {twice}"
    counted = _ended(before, after)
    assert len(lines) == counted, f"O5: {len(lines)} lines, {counted} in portico_requests_total"
    said = [line["tokens"] for line in lines if "tokens" in line]
    for names, wanted in (
        (("input_uncached", "cache_read", "cache_write"), sum(each["input"] for each in said)),
        (("output_text", "reasoning"), sum(each["output"] for each in said)),
    ):
        found = sum(changes(before, after, "portico_tokens_total", type=name) for name in names)
        assert found == wanted, f"O5: {names} {found} in metrics, {wanted} in lines"
    lost = changes(before, after, "portico_log_dropped_total", log="access")
    assert lost == 0, f"O5: {lost} lines dropped"


async def check_secrets(process: Process, answers: Iterable[RawResponse], start: int = 0) -> None:
    """O6: looks at both outputs (from byte `start` of each on), the admin pages and `answers`.
    A prompt may be in a good answer that echoes it, and nowhere else."""
    pages = [await process.page(path) for path in PAGES]
    texts = [each.head + each.body for each in pages]
    assert [each.status for each in pages] == [200] * len(pages)
    for name in ("out", "err"):
        with (process.folder / name).open("rb") as file:
            file.seek(min(start, file.seek(0, 2)))
            texts.append(file.read())
    for text in texts:
        _clean(text, PROMPT_CANARY.encode(), *SECRETS)
    for answer in answers:
        _clean(answer.head + answer.body, *SECRETS)
        if answer.status >= 400:
            _clean(answer.body, PROMPT_CANARY.encode())


def _clean(text: bytes, *secrets: bytes) -> None:
    for secret in secrets:
        at = text.find(secret)
        assert at < 0, f"O6: {text[max(at - 200, 0) : at + 60]!r}"


def check_readable(client: str, stream: bool, answer: RawResponse) -> None:
    """O7: the official SDK of the dialect reads the answer, or raises what it should."""
    from tests.abuse import official

    if answer.status >= 400:
        official.check_error(client, answer)
    elif stream:
        official.check_stream(client, answer)
    elif answer.ended:
        official.check_whole(client, json.loads(answer.body))
