"""Measure 1: whole chat answers over 64 connections."""

import json
import re
import subprocess
import time
from dataclasses import dataclass

from bench import wire
from bench.metrics import Counted
from bench.proc import Child, cpu_seconds
from bench.servers import ROOT, WORK, Gateway, Rig, find, post

CONNECTIONS = 64
TARGETS = ("direct", "nginx", "gateway")


@dataclass(frozen=True)
class Ask:
    """What wrk sends over and over. An answer has at least `least` bytes."""

    body: bytes
    least: int
    path: str = wire.PATH
    connections: int = CONNECTIONS


@dataclass(frozen=True)
class Round:
    """One run of wrk against one target. `cpu_us` is per request, 0 for direct; times in ms."""

    rate: float
    cpu_us: float
    busy: float
    p50: float
    p99: float


@dataclass
class Splice:
    """All rounds, and what was wrong with them."""

    rounds: dict[str, list[Round]]
    problems: list[str]
    requests: int = 0


def measure(rig: Rig, ports: dict[str, int], proxy: Child, gateway: Gateway, rounds: int,
            seconds: float) -> Splice:  # fmt: skip
    """Interleaved rounds. `ports` has one per target."""
    result = Splice({target: [] for target in TARGETS}, [])
    for target in TARGETS:
        status, body = post(ports[target], wire.question(wire.MODEL, stream=False))
        if (status, body) != (200, wire.answer()):
            result.problems.append(f"{target}: answered {status} {body[:200]!r}")
    if result.problems:
        return result
    pids = {"direct": 0, "nginx": proxy.pid, "gateway": gateway.child.pid}
    ask = Ask(wire.question(wire.MODEL, stream=False), len(wire.answer()))
    for target in TARGETS:
        wrk(rig, ports[target], ask, 1)
    print(f"\nwhole answers, {CONNECTIONS} connections, {rounds} rounds of {seconds:g} s each")
    for number in range(1, rounds + 1):
        for target in TARGETS:
            tested = gateway if target == "gateway" else None
            one, requests, problems = timed(rig, ports[target], pids[target], ask, seconds, tested)
            result.rounds[target].append(one)
            result.requests += requests
            result.problems += [f"{target}: {problem}" for problem in problems]
            show(number, target, one)
    return result


def show(number: int, target: str, one: Round) -> None:
    """Print a round."""
    print(
        f"  round {number}  {target:8} {one.rate:9,.0f} requests/s   "
        f"{one.cpu_us:6.2f} us CPU   p50 {one.p50:6.2f} ms   p99 {one.p99:6.2f} ms",
        flush=True,
    )


def timed(rig: Rig, port: int, pid: int, ask: Ask, seconds: float,
          gateway: Gateway | None) -> tuple[Round, int, list[str]]:  # fmt: skip
    """One run of wrk: its figures, its requests, and what was wrong with them.

    `pid` 0: nobody's CPU is read. With a `gateway`, its own count is compared.
    """
    before = gateway.counted() if gateway is not None else None
    cpu = cpu_seconds(pid) if pid else 0.0
    run = wrk(rig, port, ask, seconds)
    time.sleep(0.25)  # the access log's last lines are part of the cost
    cpu = cpu_seconds(pid) - cpu if pid else 0.0
    requests = run["requests"]
    one = Round(
        rate=requests / run["seconds"],
        cpu_us=cpu / requests * 1e6,
        busy=cpu / run["seconds"],
        p50=run["p50"] / 1000,
        p99=run["p99"] / 1000,
    )
    problems = _wrong(run, ask.least)
    if gateway is not None and before is not None:
        problems += _miscounted(gateway, before, int(requests), ask.connections)
    return one, int(requests), problems


def wrk(rig: Rig, port: int, ask: Ask, seconds: float) -> dict[str, float]:
    """Run it. Raises RuntimeError when it says nothing or finishes no request."""
    cpus = ",".join(map(str, sorted(rig.cpus.load)))
    command = ["taskset", "-c", cpus, find("wrk") or "wrk", "-t1", f"-c{ask.connections}"]
    command += [f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
    command += ["-s", str(ROOT / "post.lua"), f"http://127.0.0.1:{port}{ask.path}"]
    body = WORK / "wrk.body"  # an environment variable could not hold a large one
    body.write_bytes(ask.body)
    done = subprocess.run(
        command, env={"BENCH_BODY": str(body), "BENCH_KEY": wire.KEY, "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=seconds + 60,
    )  # fmt: skip
    found = re.search(r"^BENCH (\{.*\})$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk said nothing useful:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    run: dict[str, float] = json.loads(found[1])
    if not run["requests"]:
        raise RuntimeError(f"wrk finished no request on port {port}")
    return run


def _wrong(run: dict[str, float], least: int) -> list[str]:
    problems = []
    if run["status"]:
        problems.append(f"{run['status']:.0f} answers were not 2xx")
    if run["socket"]:
        problems.append(f"{run['socket']:.0f} socket errors")
    if run["bytes"] < run["requests"] * least:
        problems.append("answers are too short")
    return problems


def _miscounted(gateway: Gateway, before: Counted, requests: int, connections: int) -> list[str]:
    now = gateway.counted().since(before)
    problems = []
    # When wrk stops, up to one request per connection is under way that it does not report.
    if now.ok < requests or now.ok + now.left > requests + connections:
        problems.append(f"wrk saw {requests} answers, /metrics {now.ok}")
    if now.failed or now.cut:
        problems.append(f"/metrics has {now.failed} failed, {now.cut} cut off")
    if now.unlogged:
        problems.append(f"{now.unlogged} lines of the access log were dropped")
    expected = (now.ok * wire.INPUT_TOKENS, now.ok * wire.OUTPUT_TOKENS)
    if (now.input_tokens, now.output_tokens) != expected:
        got = f"{now.input_tokens} + {now.output_tokens}"
        problems.append(f"/metrics has {got} tokens, not {expected[0]} + {expected[1]}")
    return problems
