"""Measure 3: resident memory, idle and with 5,000 streams open."""

import signal
import time
from dataclasses import dataclass, field

from bench import stream
from bench.proc import Child, allow_open_files, open_files, resident_bytes
from bench.servers import Rig
from bench.sse_client import Job, Result

STREAMS = 5000
EVENTS = 10
MIB = 1024 * 1024


@dataclass
class Memory:
    """MiB, one value per round. `streams` may be fewer than asked for: `note` says why."""

    streams: int = STREAMS
    idle: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    nginx_idle: list[float] = field(default_factory=list)
    nginx_full: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def complete(self) -> bool:
        """Whether as many streams were open as the bound is about."""
        return self.streams == STREAMS and bool(self.full) and not self.problems


def measure(rig: Rig, rounds: int) -> Memory:
    """Each round with processes that have served nothing before."""
    result = Memory()
    allowed = allow_open_files(STREAMS * 2 + 1000)
    if allowed < STREAMS * 2 + 1000:
        result.streams = (allowed - 1000) // 2
        result.note = (
            f"Memory: only {result.streams:,} streams, because this machine allows a process "
            f"{allowed:,} open files."
        )
    print(f"\nmemory, {result.streams:,} open streams, {rounds} rounds")
    for number in range(1, rounds + 1):
        _nginx(rig, result)
        _gateway(rig, result)
        if not result.full:
            break
        print(
            f"  round {number}  gateway {result.idle[-1]:.1f} MiB idle, {result.full[-1]:.1f} MiB "
            f"with streams, {result.after[-1]:.1f} MiB after; "
            f"nginx {result.nginx_idle[-1]:.1f} and {result.nginx_full[-1]:.1f} MiB",
            flush=True,
        )
    return result


def _nginx(rig: Rig, result: Memory) -> None:
    port, upstream = rig.streamed_upstream(EVENTS, 0.001, hold=True)
    proxy, _, streamed = rig.proxy(port, port)
    result.nginx_idle.append(resident_bytes(proxy.pid) / MIB)
    full, got = _fill(rig, proxy, upstream, streamed, result.streams)
    result.nginx_full.append(full)
    if got.complete != result.streams:
        result.problems.append(f"nginx: {got.complete} streams were complete, {dict(got.wrong)}")
    rig.stop(proxy)
    rig.stop(upstream)


def _gateway(rig: Rig, result: Memory) -> None:
    port, upstream = rig.streamed_upstream(EVENTS, 0.001, hold=True)
    gateway = rig.gateway(port, port, "gateway-memory")
    gateway.ready()
    gateway.live()
    time.sleep(1)
    result.idle.append(resident_bytes(gateway.child.pid) / MIB)
    before = gateway.counted()
    full, got = _fill(rig, gateway.child, upstream, gateway.port, result.streams)
    if got.complete != result.streams:
        why = dict(got.wrong)
        result.problems.append(f"gateway: {got.complete} streams were complete, {why}")
    else:
        result.full.append(full)
    result.problems += stream.miscounted(gateway, before, got.complete)
    result.after.append(resident_bytes(gateway.child.pid) / MIB)
    rig.stop(gateway.child)
    rig.stop(upstream)


def _fill(
    rig: Rig, tested: Child, upstream: Child, port: int, streams: int
) -> tuple[float, Result]:
    """MiB with every stream open and idle; then they are let go, and have to be whole."""
    job = Job(port=port, streams=streams, events=EVENTS, length=0.0, hold=True)
    client = stream.start(rig, job)
    try:
        assert client.stdout is not None
        client.stdout.readline()
        time.sleep(1)
        full = resident_bytes(tested.pid) / MIB
        if open_files(tested.pid) < 2 * streams:
            print(f"  {tested.name} has only {open_files(tested.pid)} files open", flush=True)
    finally:
        upstream.signal(signal.SIGUSR1)
    return full, stream.finish(client)
