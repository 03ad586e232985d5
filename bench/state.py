"""Measure 6: what it costs that responses are stored, and what is stored is found again.

The database is a SQLite file in `bench/.work`, written as the gateway writes it: a commit is on the
disk before its answer is sent. Every round of `store: true` stands beside one of `store: false`.
"""

import http.client
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import dialects, responses, splice, stream, wire
from bench.proc import Child, sleeps
from bench.servers import ROOT, WORK, Gateway, Rig, database_of, post
from bench.sse_client import Job
from bench.state_store import id_of
from bench.stats import percentile

LANES = {"splice": responses.MODEL, "chat": dialects.MODELS["chat"]}
"""Per lane the model that is asked for. A provider speaks Responses, or Chat."""
NAMES = {"splice": "Responses to Responses", "chat": "Responses to Chat"}
STORED, NOT_STORED = "stored", "store: false"
STREAMED = "-streamed"
CONNECTIONS, EVENTS, INTERVAL = 50, 20, 0.005
"""Streams: short ones, because one response of each is stored."""
TURNS = 200
CHAINS = 300
GETS = 5000
POSTGRES = "BENCH_POSTGRES_URL"
"""The environment variable with the URL of a PostgreSQL database that may be written to."""
SYNCS = 100


@dataclass(frozen=True)
class Times:
    """Milliseconds, per round."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def add(self, got: dict[str, float]) -> None:
        """One more round."""
        self.p50.append(got["p50"])
        self.p99.append(got["p99"])


@dataclass(frozen=True)
class Touched:
    """What `store: false` did to the database: requests, files that changed, commits that another
    connection sees, and how often threads were woken besides the one that writes the access log."""

    requests: int = 0
    files: int = 0
    commits: int = 0
    wakes: int = 0

    def __add__(self, other: "Touched") -> "Touched":
        return Touched(
            self.requests + other.requests,
            self.files + other.files,
            self.commits + other.commits,
            self.wakes + other.wakes,
        )


@dataclass
class State:
    """All rounds, and what was wrong with them.

    `whole` has rounds for `<lane> stored` and `<lane> store: false`, `streams` too: their figures
    are per response. `filled` has rounds of storing on an empty and on a large database.
    """

    where: str = ""
    whole: dict[str, list[splice.Round]] = field(default_factory=dict)
    streams: dict[str, list[stream.Round]] = field(default_factory=dict)
    touched: Touched = field(default_factory=Touched)
    chains: dict[str, Times] = field(default_factory=dict)
    chain_bytes: int = 0
    rows: int = 0
    file_bytes: int = 0
    fill_seconds: float = 0.0
    filled: dict[str, list[splice.Round]] = field(default_factory=dict)
    found: dict[str, Times] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    requests: int = 0
    streamed: int = 0


@dataclass(frozen=True)
class Bench:
    """What is running."""

    rig: Rig
    whole: dict[str, int]
    streaming: Child
    gateway: Gateway
    database: Path
    seconds: float


def measure(rig: Rig, rounds: int, seconds: float, rows: int) -> State:
    """Interleaved rounds, with processes of its own. `rows` 0: without a large database."""
    result = State(where=_where())
    bench = _start(rig, seconds)
    asks = _asks(bench, result)
    if result.problems:
        return result
    print(
        f"\nstored responses on {result.where}: whole answers over {splice.CONNECTIONS} "
        f"connections, {CONNECTIONS} streams; {rounds} rounds of {seconds:g} s each"
    )
    for target in asks:
        splice.wrk(rig, bench.gateway.port, asks[target], 1)
    for number in range(1, rounds + 1):
        for target, ask in asks.items():
            _whole(bench, result, number, target, ask)
        for target in asks:
            if not _stream(bench, result, number, target):
                return result
        _chains(rig, result, number)
    if rows:
        _large(bench, result, rounds, rows)
    _settled(bench.gateway, result)
    for child in (bench.gateway.child, bench.streaming):
        rig.stop(child)
    return result


def target_of(lane: str, store: bool) -> str:
    """How a lane with or without storing is called."""
    return f"{lane} {STORED if store else NOT_STORED}"


def _start(rig: Rig, seconds: float) -> Bench:
    made = responses.answer(int(time.time())).replace(
        responses.DIGITS.encode(), b"${moment}${request_id}"
    )
    whole = {
        "splice": rig.whole_upstream(made, "upstream-responses"),
        "chat": rig.whole_upstream(dialects.answer("chat"), "upstream-stored-chat"),
    }
    streamed, child = rig.streamed_upstream(EVENTS, INTERVAL)
    gateway = _gateway(rig, "gateway-state", whole, streamed)
    return Bench(rig, whole, child, gateway, database_of("gateway-state"), seconds)


def _gateway(rig: Rig, name: str, whole: dict[str, int], streamed: int) -> Gateway:
    models = [
        {LANES[lane]: whole[lane], LANES[lane] + STREAMED: streamed} for lane in ("splice", "chat")
    ]
    gateway = rig.stateful(name, *models)
    gateway.ready()
    gateway.live()
    return gateway


def _asks(bench: Bench, result: State) -> dict[str, splice.Ask]:
    """What wrk sends, each tried once and its answer looked at closely."""
    asks: dict[str, splice.Ask] = {}
    for lane, model in LANES.items():
        for store in (False, True):
            body = dialects.question(model, stream=False, store=store)
            status, got = post(bench.gateway.port, body, dialects.PATH)
            why = dialects.wrong_answer(status, got)
            if not why:
                why = _kept(bench.gateway, got, store)
            if why:
                result.problems.append(f"{target_of(lane, store)}: {why}")
            asks[target_of(lane, store)] = splice.Ask(body, len(got) - 8, dialects.PATH)
    return asks


def _kept(gateway: Gateway, answer: bytes, store: bool) -> str:
    """Whether an answer can be had again, as it should."""
    status, body = Client(gateway.port).get(json.loads(answer)["id"])
    if status != (200 if store else 404) or (store and body != answer):
        return f"asked for again it was {status} {body[:200]!r}"
    return ""


def _whole(bench: Bench, result: State, number: int, target: str, ask: splice.Ask) -> None:
    gateway = bench.gateway
    stored = target.endswith(STORED)
    before = None if stored else Seen(gateway, bench.database)
    one, requests, problems = splice.timed(
        bench.rig, gateway.port, gateway.child.pid, ask, bench.seconds, gateway
    )
    if before is not None:
        result.touched += before.since(requests)
        before.close()
    result.whole.setdefault(target, []).append(one)
    result.requests += requests
    result.problems += [f"{target}: {problem}" for problem in problems]
    splice.show(number, f"{target:20}", one)


class Seen:
    """How the database looks, to be looked at again later."""

    def __init__(self, gateway: Gateway, path: Path) -> None:
        gateway.counted()  # waits for what is still in flight
        self._pid = gateway.child.pid
        self._path = path
        self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        self._version = self._data_version()
        self._files = self._stat()
        self._wakes = sleeps(self._pid)

    def since(self, requests: int) -> Touched:
        """What has changed."""
        now, wakes = self._stat(), sleeps(self._pid)
        woken = [count - self._wakes.get(thread, 0) for thread, count in wakes.items()]
        return Touched(
            requests,
            sum(now[name] != stat for name, stat in self._files.items()),
            self._data_version() - self._version,
            sum(woken) - max(woken),
        )

    def close(self) -> None:
        """Disconnect."""
        self._db.close()

    def _data_version(self) -> int:
        """SQLite's own sign of commits by others."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def _stat(self) -> dict[str, tuple[int, int]]:
        found = {}
        for end in ("", "-wal"):
            stat = Path(f"{self._path}{end}").stat()
            found[end] = (stat.st_size, stat.st_mtime_ns)
        return found


def _stream(bench: Bench, result: State, number: int, target: str) -> bool:
    """One window; False if nothing was streamed."""
    lane = target.split(" ", maxsplit=1)[0]
    spliced = lane == "splice"
    bench.streaming.check()
    before = bench.gateway.counted()
    says = responses.streamed_text(EVENTS) if spliced else dialects.streamed_text("chat", EVENTS)
    job = Job(
        port=bench.gateway.port, streams=CONNECTIONS, events=EVENTS, length=EVENTS * INTERVAL,
        model=LANES[lane] + STREAMED, window=bench.seconds, pid=bench.gateway.child.pid,
        upstream_pid=bench.streaming.pid, says=says, store=target.endswith(STORED),
        done=not spliced,
    )  # fmt: skip
    got = stream.run(bench.rig, job)
    result.streamed += got.complete
    result.problems += stream.wrong(f"{target}, streamed", got)
    result.problems += stream.miscounted(bench.gateway, before, got.complete)
    if not got.events or not got.first or not got.per_stream:
        result.problems.append(f"{target}: nothing was streamed in round {number}")
        return False
    one = stream.rated(got, 1 / got.per_stream)
    result.streams.setdefault(target, []).append(one)
    print(
        f"  round {number}  {target:20} {one.rate:9,.0f} streams/s    {one.cpu_us:6.1f} us CPU per "
        f"stream   first event p50 {one.p50:6.3f} ms   p99 {one.p99:6.3f} ms",
        flush=True,
    )
    return True


# what is stored


def _chains(rig: Rig, result: State, number: int) -> None:
    database = WORK / "chain.db"
    urls = {"SQLite": f"sqlite:///{database}"}
    if os.environ.get(POSTGRES):
        urls["PostgreSQL"] = os.environ[POSTGRES]
    for name, url in urls.items():
        got = _alone(rig, "chain", url, str(TURNS), str(CHAINS))
        result.chains.setdefault(name, Times()).add(got)
        result.chain_bytes = int(got["bytes"])
        print(
            f"  round {number}  chain of {TURNS} on {name:10}  p50 {got['p50']:6.3f} ms   "
            f"p99 {got['p99']:6.3f} ms",
            flush=True,
        )
    delete(database)


def _large(bench: Bench, result: State, rounds: int, rows: int) -> None:
    """Storing in a large database and in the one of the rounds before; finding in the large one."""
    path = database_of("gateway-large")
    tenant = _tenant(bench.database)
    print(f"\na database with {rows:,} responses")
    try:
        made = _alone(bench.rig, "fill", str(path), tenant.hex(), str(rows))
        result.rows, result.file_bytes = rows, int(made["bytes"])
        result.fill_seconds = made["seconds"]
        print(f"  filled in {made['seconds']:.0f} s, {made['bytes'] / 1e6:,.0f} MB", flush=True)
        empty = _gateway(bench.rig, "gateway-empty", bench.whole, 1)
        large = _gateway(bench.rig, "gateway-large", bench.whole, 1)
        gateways = {"empty": empty, "large": large}
        body = dialects.question(LANES["chat"], stream=False, store=True)
        ask = splice.Ask(body, len(dialects.answer("chat")), dialects.PATH)
        for number in range(rounds + 1):
            for name, gateway in gateways.items():
                _fill_round(bench, result, number, name, gateway, ask)
            if number:
                _find(bench.rig, result, number, large.port, path, tenant)
        for gateway in gateways.values():
            _settled(gateway, result)
            bench.rig.stop(gateway.child)
    finally:
        delete(path)


def _fill_round(bench: Bench, result: State, number: int, name: str, gateway: Gateway,
                ask: splice.Ask) -> None:  # fmt: skip
    """Storing on one of the databases; round 0 fills caches."""
    one, requests, problems = splice.timed(
        bench.rig, gateway.port, gateway.child.pid, ask, bench.seconds, gateway
    )
    result.requests += requests
    result.problems += [f"{name} database: {problem}" for problem in problems]
    if number:
        result.filled.setdefault(name, []).append(one)
        splice.show(number, f"{name + ' database':20}", one)


def _find(rig: Rig, result: State, number: int, port: int, path: Path, tenant: bytes) -> None:
    """Responses anywhere in the large database, over HTTP and from the store itself."""
    client, taken = Client(port), []
    os.sched_setaffinity(0, rig.cpus.load)
    try:
        for _ in range(GETS):
            id = id_of(random.randrange(result.rows))
            begin = time.perf_counter()
            status, body = client.get(id)
            taken.append((time.perf_counter() - begin) * 1000)
            if status != 200 or id.encode() not in body:
                result.problems.append(f"asked for {id}: {status} {body[:200]!r}")
                break
    finally:
        os.sched_setaffinity(0, rig.cpus.available)
    over_http = {"p50": percentile(taken, 0.5), "p99": percentile(taken, 0.99)}
    alone = _alone(rig, "get", str(path), tenant.hex(), str(result.rows), str(GETS))
    for name, got in (("over HTTP", over_http), ("in the store", alone)):
        result.found.setdefault(name, Times()).add(got)
        print(f"  round {number}  found {name:12}  p50 {got['p50']:6.3f} ms   "
              f"p99 {got['p99']:6.3f} ms", flush=True)  # fmt: skip


class Client:
    """One connection that asks for stored responses."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._headers = {"authorization": f"Bearer {wire.KEY}"}

    def get(self, id: str) -> tuple[int, bytes]:
        """One response: status and body."""
        self._connection.request("GET", f"{dialects.PATH}/{id}", headers=self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def _tenant(database: Path) -> bytes:
    """The key under which the gateway stores what the load's API key makes."""
    db = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    try:
        found: bytes = db.execute("SELECT tenant FROM responses LIMIT 1").fetchone()[0]
    finally:
        db.close()
    return found


def delete(database: Path) -> None:
    """Take a SQLite file and its log away."""
    for end in ("", "-wal", "-shm"):
        Path(f"{database}{end}").unlink(missing_ok=True)


def _alone(rig: Rig, *words: str) -> dict[str, float]:
    """Have `bench.state_store` measure, where the process under test runs."""
    cpus = ",".join(map(str, sorted(rig.cpus.tested)))
    done = subprocess.run(
        ["taskset", "-c", cpus, sys.executable, "-m", "bench.state_store", *words],
        capture_output=True, text=True, timeout=1800, cwd=ROOT.parent, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}:\n{done.stderr[-1000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _settled(gateway: Gateway, result: State) -> None:
    errors = gateway.child.err.read_text(errors="replace").strip()
    if errors:
        result.problems.append(f"the gateway's stderr: {errors[-500:]}")


def _where() -> str:
    """The file system of the database, and how long it takes to have a commit on the disk."""
    kind, best = "unknown", ""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, name, *_ = line.split()
        if (place == "/" or f"{WORK}/".startswith(place + "/")) and len(place) >= len(best):
            kind, best = name, place
    probe = WORK / "sync.probe"
    taken = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(16_384))
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begin) * 1000)
    probe.unlink()
    return (
        f"{kind}, fdatasync of 16 KiB p50 {percentile(taken, 0.5):.2f} ms, "
        f"p99 {percentile(taken, 0.99):.2f} ms"
    )
