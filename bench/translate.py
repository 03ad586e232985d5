"""Measure 5: Responses clients of providers that speak Chat or Messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bench import dialects, splice, stream
from bench.proc import Child
from bench.servers import Gateway, Rig, post
from bench.sse_client import Job

CONNECTIONS = 4
"""At once with 1 MiB in each request: enough to keep a process busy."""
STREAMED, BATCHED = "-streamed", "-batched"
"""What follows the model's name where its answers are streamed."""


@dataclass
class Translate:
    """All rounds, and what was wrong with them.

    `whole` and `pictures` have rounds for `nginx <dialect>` and `gateway <dialect>`, where nginx
    passes the same request on to the same provider as it is. `streams` have one entry for each
    dialect and `<dialect> batched`; their figures are per event that the provider sends.
    """

    whole: dict[str, list[splice.Round]] = field(default_factory=dict)
    streams: dict[str, list[stream.Round]] = field(default_factory=dict)
    pictures: dict[str, list[splice.Round]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    requests: int = 0
    streamed: int = 0
    received: dict[str, int] = field(default_factory=dict)
    """Per dialect, how many events a client gets for those of the provider."""


@dataclass(frozen=True)
class Bench:
    """What is running. `nginx` has one port for each dialect; `upstreams` are those of streams."""

    rig: Rig
    proxy: Child
    nginx: dict[str, int]
    gateway: Gateway
    upstreams: dict[str, Child]
    seconds: float


def measure(rig: Rig, rounds: int, seconds: float) -> Translate:
    """Interleaved rounds, with processes of its own."""
    bench = _start(rig, seconds)
    result = Translate()
    asks, pictures = _asks(bench, result)
    if result.problems:
        return result
    print(
        f"\ntranslated from Responses: whole answers over {splice.CONNECTIONS} connections, "
        f"{stream.STREAMS} streams, 1 MiB with two images; {rounds} rounds of {seconds:g} s each"
    )
    for target in asks:
        splice.wrk(rig, _port(bench, target), asks[target], 1)
    for number in range(1, rounds + 1):
        for target, ask in asks.items():
            _whole(bench, result, result.whole, number, target, ask)
        for dialect in dialects.UPSTREAMS:
            for batch in (1, dialects.BATCH):
                if not _stream(bench, result, number, dialect, batch):
                    return result
        for target, ask in pictures.items():
            _whole(bench, result, result.pictures, number, target, ask)
    errors = bench.gateway.child.err.read_text(errors="replace").strip()
    if errors:
        result.problems.append(f"the gateway's stderr: {errors[-500:]}")
    for child in (bench.gateway.child, bench.proxy, *bench.upstreams.values()):
        rig.stop(child)
    return result


def _start(rig: Rig, seconds: float) -> Bench:
    whole = {
        dialect: rig.whole_upstream(dialects.answer(dialect), f"upstream-{dialect}")
        for dialect in dialects.UPSTREAMS
    }
    streamed_up, one = rig.streamed_upstream(stream.EVENTS, stream.INTERVAL)
    batched_up, many = rig.streamed_upstream(stream.EVENTS, stream.INTERVAL, batch=dialects.BATCH)
    proxy, ports = rig.proxies([(port, "") for port in whole.values()])
    targets = []
    for dialect, model in dialects.MODELS.items():
        targets.append((model, dialect, whole[dialect]))
        targets.append((model + STREAMED, dialect, streamed_up))
        targets.append((model + BATCHED, dialect, batched_up))
    gateway = rig.translator(targets)
    gateway.ready()
    gateway.live()
    nginx = dict(zip(whole, ports, strict=True))
    return Bench(rig, proxy, nginx, gateway, {STREAMED: one, BATCHED: many}, seconds)


def _asks(bench: Bench, result: Translate) -> tuple[dict[str, splice.Ask], dict[str, splice.Ask]]:
    """What wrk sends, each tried once and its answer looked at closely."""
    asks: dict[str, splice.Ask] = {}
    pictures: dict[str, splice.Ask] = {}
    for target, dialect in _targets():
        model = dialects.MODELS[dialect]
        for into, body, connections in (
            (asks, dialects.question(model, stream=False), splice.CONNECTIONS),
            (pictures, dialects.pictures(model), CONNECTIONS),
        ):
            status, got = post(_port(bench, target), body, dialects.PATH)
            if target.startswith("gateway"):
                why = dialects.wrong_answer(status, got)
            else:
                why = "" if (status, got) == (200, dialects.answer(dialect)) else f"got {got!r}"
            if why:
                result.problems.append(f"{target}: {why}")
            into[target] = splice.Ask(body, len(got), dialects.PATH, connections)
    return asks, pictures


def _targets() -> Iterator[tuple[str, str]]:
    for dialect in dialects.UPSTREAMS:
        yield f"nginx {dialect}", dialect
        yield f"gateway {dialect}", dialect


def _port(bench: Bench, target: str) -> int:
    proxy, dialect = target.split()
    return bench.nginx[dialect] if proxy == "nginx" else bench.gateway.port


def _whole(bench: Bench, result: Translate, rounds: dict[str, list[splice.Round]], number: int,
           target: str, ask: splice.Ask) -> None:  # fmt: skip
    gateway = bench.gateway if target.startswith("gateway") else None
    pid = gateway.child.pid if gateway is not None else bench.proxy.pid
    one, requests, problems = splice.timed(
        bench.rig, _port(bench, target), pid, ask, bench.seconds, gateway
    )
    rounds.setdefault(target, []).append(one)
    result.requests += requests
    result.problems += [f"{target}: {problem}" for problem in problems]
    splice.show(number, f"{target:16}", one)


def _stream(bench: Bench, result: Translate, number: int, dialect: str, batch: int) -> bool:
    """One window; False if nothing was streamed."""
    kind = BATCHED if batch > 1 else STREAMED
    name = f"{dialect} batched" if batch > 1 else dialect
    bench.upstreams[kind].check()
    before = bench.gateway.counted()
    job = Job(
        port=bench.gateway.port, streams=stream.STREAMS, events=stream.EVENTS,
        length=stream.EVENTS * stream.INTERVAL, model=dialects.MODELS[dialect] + kind,
        window=bench.seconds, pid=bench.gateway.child.pid,
        upstream_pid=bench.upstreams[kind].pid,
        says=dialects.streamed_text(dialect, stream.EVENTS),
    )  # fmt: skip
    got = stream.run(bench.rig, job)
    result.streamed += got.complete
    result.problems += stream.wrong(f"gateway {name}", got)
    result.problems += stream.miscounted(bench.gateway, before, got.complete)
    if not got.events or not got.first or not got.per_stream:
        result.problems.append(f"gateway {name}: nothing was streamed in round {number}")
        return False
    result.received[dialect] = got.per_stream
    one = stream.rated(got, stream.EVENTS / got.per_stream)
    result.streams.setdefault(name, []).append(one)
    print(
        f"  round {number}  {name:16} {one.rate:9,.0f} events/s   {one.cpu_us:6.2f} us CPU per "
        f"event   first event p50 {one.p50:6.3f} ms   p99 {one.p99:6.3f} ms",
        flush=True,
    )
    return True
