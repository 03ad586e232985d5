"""From measured rounds to bounds and tables. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import sub, truediv

from bench.dialects import NAMES, UPSTREAMS
from bench.memory import Memory
from bench.report_state import state_bounds, state_cautions
from bench.splice import Splice
from bench.start import Start
from bench.state import State
from bench.stats import Bound, Spread, paired
from bench.stream import Round as StreamRound
from bench.stream import Stream
from bench.tables import Rounds, pair, spread, table, targets, triple
from bench.translate import Translate

QUIET = 0.5
"""Load average up to which a machine counts as idle."""
SEPARATE = 0.95
"""Reads per event of the client from which events count as having arrived one by one."""
SATURATED = 0.95
"""CPU busy from which a server, and not its load, limits the requests/s."""
BUSY = 0.8


@dataclass
class Results:
    """What was measured; None for what was left out."""

    splice: Splice | None = None
    stream: Stream | None = None
    memory: Memory | None = None
    start: Start | None = None
    translate: Translate | None = None
    state: State | None = None


def bounds(results: Results) -> list[Bound]:
    """The numbers of the issue, in its order."""
    splice, stream, memory, start = results.splice, results.stream, results.memory, results.start
    return [
        Bound("whole answers: CPU per request, gateway / nginx", "x", 3.0,
              pair(splice.rounds if splice else None, "cpu_us", "nginx", truediv)),
        Bound("whole answers: requests/s, gateway / nginx (25,000 / 90,000)", "x", 25 / 90,
              pair(splice.rounds if splice else None, "rate", "nginx", truediv),
              at_most=False, digits=3),
        Bound("streams: CPU per relayed event, gateway / nginx", "x", 2.5,
              pair(stream.rounds if stream else None, "cpu_us", "nginx", truediv)),
        Bound("streams: added time to first event, median, 200 at once", "ms", 1.0,
              pair(stream.rounds if stream else None, "p50", "direct", sub), digits=3),
        Bound("5,000 open streams: resident memory", "MiB", 400,
              spread(memory.full if memory and memory.complete else None), digits=1),
        Bound("idle: resident memory", "MiB", 70,
              spread(memory.idle if memory else None), digits=1),
        Bound("`import portico`", "ms", 250, spread(start.package if start else None), digits=1),
        Bound("process start to the first answer", "ms", 1000,
              spread(start.serving if start else None), digits=0),
        *_translate_bounds(results.translate),
        *state_bounds(results.state),
    ]  # fmt: skip


def _translate_bounds(translate: Translate | None) -> list[Bound]:
    given = translate or Translate()
    rows = [
        Bound(f"Responses to {NAMES[each]}: CPU per request, gateway / nginx", "x", 8.0,
              pair(given.whole, "cpu_us", f"nginx {each}", truediv, f"gateway {each}"))
        for each in UPSTREAMS
    ]  # fmt: skip
    rows += [
        Bound(f"Responses to {NAMES[each]}: CPU per streamed event, gateway / nginx's request "
              "(20 us / 10 us)", "x", 2.0, _per_request(given, each))
        for each in UPSTREAMS
    ]  # fmt: skip
    for each in UPSTREAMS:
        rounds = given.pictures.get(f"gateway {each}", [])
        rows.append(
            Bound(f"Responses to {NAMES[each]}: CPU per request of 1 MiB with images", "ms", 15.0,
                  spread([one.cpu_us / 1000 for one in rounds]))
        )  # fmt: skip
    return rows


def _per_request(translate: Translate, stream: str) -> Spread | None:
    """CPU per event of `stream` over nginx's per whole request, round by round."""
    events = [one.cpu_us for one in translate.streams.get(stream, [])]
    requests = [one.cpu_us for one in translate.whole.get(f"nginx {stream.split()[0]}", [])]
    if not events or len(events) != len(requests):
        return None
    return paired(events, requests, truediv)


def problems(results: Results) -> list[str]:
    """Everything that was wrong with answers or counts."""
    parts = (results.splice, results.stream, results.memory, results.translate, results.state)
    return [problem for part in parts if part is not None for problem in part.problems]


def cautions(results: Results, load_average: float) -> list[str]:
    """What makes the figures less than they seem, though nothing was wrong."""
    notes = []
    if load_average > QUIET:
        notes.append(f"The machine was not idle: load average {load_average:.2f} before the run.")
    if results.memory is not None and results.memory.note:
        notes.append(results.memory.note)
    splice, stream = results.splice, results.stream
    if splice is not None and splice.rounds["nginx"]:
        busy_share = Spread.of([one.busy for one in splice.rounds["nginx"]]).middle
        if busy_share < SATURATED:
            notes.append(
                f"Whole answers: nginx was busy {busy_share:.0%} of the time; wrk, the upstream or "
                "other processes limited its requests/s, which flatters the gateway's share. "
                "CPU per request is what to compare."
            )
    if stream is not None:
        proxies = {target: stream.rounds[target] for target in ("nginx", "gateway")}
        notes += _disturbed("Streams", proxies, stream.rounds)
    translate = results.translate
    if translate is not None:
        single = {name: translate.streams.get(name, []) for name in UPSTREAMS}
        notes += _disturbed("Translated streams", single, translate.streams)
    if results.state is not None:
        notes += state_cautions(results.state)
    return notes


def _disturbed(
    what: str,
    separate: Mapping[str, Sequence[StreamRound]],
    every: Mapping[str, Sequence[StreamRound]],
) -> list[str]:
    """`separate` are those whose events should arrive one by one."""
    notes = []
    for target, rounds in separate.items():
        glued = sum(one.reads_per_event < SEPARATE for one in rounds)
        if glued:
            notes.append(
                f"{what}, {target}: in {glued} of {len(rounds)} rounds events arrived glued "
                "together; the CPU per event of those rounds is too small."
            )
    busy = sum(one.load_busy > BUSY for rounds in every.values() for one in rounds)
    if busy:
        notes.append(f"{what}: in {busy} rounds the load itself took over {BUSY:.0%} of a CPU.")
    return notes


def bounds_table(rows: Iterable[Bound]) -> str:
    """Measured against bound, one line each."""
    lines = []
    for row in rows:
        side = "<=" if row.at_most else ">="
        limit = f"{side} {f'{row.limit:.3f}'.rstrip('0').rstrip('.')} {row.unit}"
        spread = row.measured
        if spread is None:
            lines.append([row.name, "", "", limit, row.verdict])
            continue
        middle = f"**{row.shown(spread.middle)} {row.unit}**"
        around = f"{row.shown(spread.low)} to {row.shown(spread.high)}"
        lines.append([row.name, middle, around, limit, row.verdict])
    return table(["number", "median", "min to max", "bound", ""], lines)


def splice_table(splice: Splice) -> str:
    """Measure 1."""
    columns: list[tuple[str, str, int]] = [
        ("requests/s", "rate", 0), ("CPU us per request", "cpu_us", 2), ("CPU busy", "busy", 2),
        ("p50 ms", "p50", 2), ("p99 ms", "p99", 2),
    ]  # fmt: skip
    return targets(splice.rounds, columns)


def translate_table(translate: Translate) -> str:
    """Measure 5: whole answers."""
    columns: list[tuple[str, str, int]] = [
        ("requests/s", "rate", 0), ("CPU us per request", "cpu_us", 2), ("CPU busy", "busy", 2),
        ("p50 ms", "p50", 2), ("p99 ms", "p99", 2),
    ]  # fmt: skip
    ratios = [
        [NAMES[each], *(
            triple(pair(translate.whole, key, f"nginx {each}", truediv, f"gateway {each}"), 3)
            for key in ("cpu_us", "rate", "p50", "p99")
        )]
        for each in UPSTREAMS
    ]  # fmt: skip
    heads = ["gateway / nginx, x", "CPU per request", "requests/s", "p50", "p99"]
    return targets(translate.whole, columns) + "\n\n" + table(heads, ratios)


def translate_streams_table(translate: Translate) -> str:
    """Measure 5: streams."""
    columns: list[tuple[str, str, int]] = [
        ("events/s", "rate", 0), ("CPU us per event", "cpu_us", 2), ("CPU busy", "busy", 2),
        ("load's CPU busy", "load_busy", 2), ("reads per event", "reads_per_event", 3),
        ("first event p50 ms", "p50", 3), ("first event p99 ms", "p99", 3),
    ]  # fmt: skip
    ratios = [[name, triple(_per_request(translate, name), 3)] for name in translate.streams]
    return (
        targets(translate.streams, columns)
        + "\n\n"
        + table(["event / nginx's request", "CPU, x"], ratios)
    )


def pictures_table(translate: Translate) -> str:
    """Measure 5: large input."""
    columns: list[tuple[str, str, int]] = [
        ("requests/s", "rate", 0), ("CPU us per request", "cpu_us", 0), ("CPU busy", "busy", 2),
        ("p50 ms", "p50", 2), ("p99 ms", "p99", 2),
    ]  # fmt: skip
    return targets(translate.pictures, columns)


def stream_table(stream: Stream) -> str:
    """Measure 2."""
    columns: list[tuple[str, str, int]] = [
        ("events/s", "rate", 0), ("CPU us per event", "cpu_us", 2), ("CPU busy", "busy", 2),
        ("load's CPU busy", "load_busy", 2), ("reads per event", "reads_per_event", 3),
        ("first event p50 ms", "p50", 3), ("first event p99 ms", "p99", 3),
    ]  # fmt: skip
    added = [
        [
            target,
            triple(pair(stream.rounds, "p50", "direct", sub, target), 3),
            triple(pair(stream.rounds, "p99", "direct", sub, target), 3),
        ]
        for target in ("nginx", "gateway")
    ]
    heads = ["added to direct", "first event p50 ms", "first event p99 ms"]
    return targets(stream.rounds, columns) + "\n\n" + table(heads, added)


def memory_table(memory: Memory) -> str:
    """Measure 3."""
    return table(
        ["MiB", "idle", f"{memory.streams:,} open streams", "after they ended"],
        [
            ["gateway", *(triple(spread(v), 1) for v in (memory.idle, memory.full, memory.after))],
            ["nginx", *(triple(spread(v), 1) for v in (memory.nginx_idle, memory.nginx_full)), ""],
        ],
    )


def start_table(start: Start) -> str:
    """Measure 4."""
    rows = [
        ("`import portico`, above a bare interpreter", start.package),
        ("`import portico.cli.serve` (all of the gateway)", start.command),
        ("process start to the first 200 of `/v1/models`", start.serving),
        ("process start to the first 200 of `/healthz/live`", start.admin),
    ]
    return table(["", "ms"], [[name, triple(spread(values), 1)] for name, values in rows])


def ratios_table(rounds: Rounds, columns: Sequence[tuple[str, str]]) -> str:
    """Gateway over nginx, round by round."""
    rows = [[name, triple(pair(rounds, key, "nginx", truediv), 3)] for name, key in columns]
    return table(["gateway / nginx", "x"], rows)
