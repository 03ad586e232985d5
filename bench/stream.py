"""Measure 2: streamed chat answers, 200 at once."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from bench import wire
from bench.metrics import Counted
from bench.proc import Child
from bench.servers import ROOT, Gateway, Rig
from bench.sse_client import Job, Result
from bench.stats import percentile

STREAMS = 200
EVENTS = 100
INTERVAL = 0.02
TARGETS = ("direct", "nginx", "gateway")


@dataclass(frozen=True)
class Round:
    """One window of one target. `cpu_us` is per relayed event, 0 for direct; times in ms."""

    rate: float
    cpu_us: float
    busy: float
    load_busy: float
    reads_per_event: float
    p50: float
    p99: float


@dataclass
class Stream:
    """All rounds, and what was wrong with them."""

    rounds: dict[str, list[Round]]
    problems: list[str]
    streams: int = 0


def measure(rig: Rig, ports: dict[str, int], upstream: Child, proxy: Child, gateway: Gateway,
            rounds: int, seconds: float) -> Stream:  # fmt: skip
    """Interleaved rounds. `ports` has one per target."""
    result = Stream({target: [] for target in TARGETS}, [])
    pids = {"direct": 0, "nginx": proxy.pid, "gateway": gateway.child.pid}
    per_second = round(STREAMS / INTERVAL)
    print(
        f"\nstreams, {STREAMS} at once, {EVENTS} events each, {INTERVAL * 1000:g} ms apart "
        f"(about {per_second:,} events/s), {rounds} rounds of {seconds:g} s each"
    )
    for number in range(1, rounds + 1):
        for target in TARGETS:
            before = gateway.counted() if target == "gateway" else None
            job = Job(
                port=ports[target], streams=STREAMS, events=EVENTS, length=EVENTS * INTERVAL,
                window=seconds, pid=pids[target], upstream_pid=upstream.pid,
            )  # fmt: skip
            upstream.check()
            got = run(rig, job)
            result.streams += got.complete
            result.problems += wrong(target, got)
            if before is not None:
                result.problems += miscounted(gateway, before, got.complete)
            if not got.events or not got.first:
                result.problems.append(f"{target}: nothing was streamed in round {number}")
                return result
            one = rated(got)
            result.rounds[target].append(one)
            print(
                f"  round {number}  {target:8} {one.rate:9,.0f} events/s   {one.cpu_us:6.2f} us "
                f"CPU per event   first event p50 {one.p50:6.3f} ms   p99 {one.p99:6.3f} ms",
                flush=True,
            )
    return result


def start(rig: Rig, job: Job) -> subprocess.Popen[str]:
    """Start the load client; what it says comes on its `stdout`."""
    cpus = ",".join(map(str, sorted(rig.cpus.load)))
    process = subprocess.Popen(
        ["taskset", "-c", cpus, sys.executable, "-m", "bench.sse_client"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT.parent,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(job)))
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[str]) -> Result:
    """What the client has measured."""
    try:
        out, _ = process.communicate(timeout=180)
    except BaseException:
        process.kill()
        process.wait()
        raise
    lines = out.strip().splitlines()
    if process.returncode or not lines:
        raise RuntimeError(f"the load client ended with {process.returncode}")
    fields: dict[str, Any] = json.loads(lines[-1])
    fields["wrong"] = Counter(fields["wrong"])
    return Result(**fields)


def run(rig: Rig, job: Job) -> Result:
    """Start the load client and wait for what it measures."""
    return finish(start(rig, job))


def miscounted(gateway: Gateway, before: Counted, complete: int) -> list[str]:
    """What `/metrics` has that the client has not seen, or the other way round."""
    now = gateway.counted().since(before)
    problems = []
    if (now.ok, now.left, now.failed, now.cut) != (complete, 0, 0, 0):
        problems.append(
            f"gateway: {complete} streams were complete, /metrics has {now.ok} ok, "
            f"{now.left} left, {now.failed} failed, {now.cut} cut off"
        )
    if now.unlogged:
        problems.append(f"gateway: {now.unlogged} lines of the access log were dropped")
    expected = (complete * wire.INPUT_TOKENS, complete * wire.OUTPUT_TOKENS)
    if (now.input_tokens, now.output_tokens) != expected:
        got = f"{now.input_tokens} + {now.output_tokens}"
        problems.append(f"gateway: /metrics has {got} tokens, not {expected[0]} + {expected[1]}")
    return problems


def rated(got: Result, share: float = 1.0) -> Round:
    """The figures of one window, `share` events for each that the client received."""
    events = got.events * share
    return Round(
        rate=events / got.seconds,
        cpu_us=got.cpu / events * 1e6,
        busy=got.cpu / got.seconds,
        load_busy=(got.upstream_cpu + got.own_cpu) / got.seconds,
        reads_per_event=got.reads / events,
        p50=percentile(got.first, 0.5) * 1000,
        p99=percentile(got.first, 0.99) * 1000,
    )


def wrong(target: str, got: Result) -> list[str]:
    """What the client did not like."""
    problems = [f"{target}: {count} streams: {why}" for why, count in got.wrong.items()]
    if got.complete != got.started and not problems:
        problems.append(f"{target}: {got.started} streams begun, {got.complete} complete")
    return problems
