"""Bounds and tables of what is stored. Pure."""

from operator import sub, truediv

from bench.state import EVENTS, LANES, NAMES, NOT_STORED, STORED, TURNS, State, Times, target_of
from bench.stats import Bound
from bench.tables import Rounds, pair, spread, table, targets, triple

ROWS = 1_000_000
"""Responses in the database that the bound is about."""
SLOWER, FEWER = 1.1, 0.9
"""What still counts as not slowing down: these are of this benchmark, the issue names none."""


def state_bounds(state: State | None) -> list[Bound]:
    """The numbers of the issue, in its order."""
    given = state or State()
    bounds = [
        Bound(f"{NAMES[lane]}: CPU per request, stored / not", "x", 2.0,
              pair(given.whole, "cpu_us", target_of(lane, store=False), truediv,
                   target_of(lane, store=True)))
        for lane in LANES
    ]  # fmt: skip
    bounds += [
        Bound(f"{NAMES[lane]}: stored responses", "/s", 2000,
              spread([one.rate for one in given.whole.get(target_of(lane, store=True), [])]),
              at_most=False, digits=0)
        for lane in LANES
    ]  # fmt: skip
    bounds += [
        Bound(f"a chain of {TURNS} turns put together, {database}", "ms", 5.0, spread(times.p50))
        for database, times in (given.chains or {"SQLite": Times()}).items()
    ]
    whole = given.rows == ROWS
    found = given.found.get("over HTTP", Times())
    return [
        *bounds,
        Bound(f"{ROWS:,} responses: one found, over HTTP", "ms", 2.0,
              spread(found.p50) if whole else None),
        Bound(f"{ROWS:,} responses: CPU per stored request, large / empty", "x", SLOWER,
              pair(given.filled, "cpu_us", "empty", truediv, "large") if whole else None),
        Bound(f"{ROWS:,} responses: stored responses/s, large / empty", "x", FEWER,
              pair(given.filled, "rate", "empty", truediv, "large") if whole else None,
              at_most=False),
        Bound("`store: false`: of the database, files that changed and commits", "changes", 0,
              spread([given.touched.files + given.touched.commits] if given.touched.requests
                     else None), digits=0),
    ]  # fmt: skip


def state_cautions(state: State) -> list[str]:
    """What makes the figures less than they seem."""
    if state.where.startswith(("tmpfs", "ramfs")):
        return ["The database is in memory: nothing here says what it costs on a disk."]
    return []


def state_sections(state: State) -> list[str]:
    """The part of the report."""
    parts = [
        "## State",
        f"The database is on {state.where}. Whole answers:",
        whole_table(state),
        f"Streams of {EVENTS} events of the provider:",
        streams_table(state),
        (
            f"A chain of {TURNS} turns, each of which answers a call and makes one "
            f"({state.chain_bytes:,} bytes of new input), put together:"
        ),
        _times(state.chains),
    ]
    if state.rows:
        parts += [
            (
                f"A database with {state.rows:,} responses ({state.file_bytes / 1e6:,.0f} MB, "
                f"filled in {state.fill_seconds:.0f} s), beside one that began empty. Storing:"
            ),
            _filled_table(state),
            "Responses anywhere in it, one after the other:",
            _times(state.found),
        ]
    touched = state.touched
    untouched = (
        f"{touched.requests:,} requests with `store: false`: {touched.files} files of the database "
        f"changed, {touched.commits} commits. Threads of the gateway, besides those of its event "
        f"loop and its access log, were woken {touched.wakes} times meanwhile; every use of the "
        "database wakes one."
    )
    return [*parts, untouched, f"{state.requests:,} answers, {state.streamed:,} streams."]


def whole_table(state: State) -> str:
    """Whole answers."""
    columns: list[tuple[str, str, int]] = [
        ("requests/s", "rate", 0), ("CPU us per request", "cpu_us", 2), ("CPU busy", "busy", 2),
        ("p50 ms", "p50", 2), ("p99 ms", "p99", 2),
    ]  # fmt: skip
    return targets(state.whole, columns) + "\n\n" + _compared(state.whole, "request")


def streams_table(state: State) -> str:
    """Streams."""
    columns: list[tuple[str, str, int]] = [
        ("streams/s", "rate", 0), ("CPU us per stream", "cpu_us", 1), ("CPU busy", "busy", 2),
        ("load's CPU busy", "load_busy", 2), ("first event p50 ms", "p50", 3),
        ("first event p99 ms", "p99", 3),
    ]  # fmt: skip
    return targets(state.streams, columns) + "\n\n" + _compared(state.streams, "stream")


def _compared(rounds: Rounds, what: str) -> str:
    rows = []
    for lane in LANES:
        below, above = target_of(lane, store=False), target_of(lane, store=True)
        rows.append([
            NAMES[lane],
            triple(pair(rounds, "cpu_us", below, truediv, above), 3),
            triple(pair(rounds, "cpu_us", below, sub, above), 1),
            triple(pair(rounds, "rate", below, truediv, above), 3),
        ])  # fmt: skip
    heads = [f"{STORED}, {NOT_STORED}", "CPU, x", f"CPU us more per {what}", f"{what}s/s, x"]
    return table(heads, rows)


def _filled_table(state: State) -> str:
    columns: list[tuple[str, str, int]] = [
        ("requests/s", "rate", 0), ("CPU us per request", "cpu_us", 2), ("p50 ms", "p50", 2),
        ("p99 ms", "p99", 2),
    ]  # fmt: skip
    ratios = [
        [name, triple(pair(state.filled, key, "empty", truediv, "large"), 3)]
        for name, key in (("CPU per request", "cpu_us"), ("requests/s", "rate"))
    ]
    return targets(state.filled, columns) + "\n\n" + table(["large / empty", "x"], ratios)


def _times(found: dict[str, Times]) -> str:
    rows = [
        [name, triple(spread(times.p50), 3), triple(spread(times.p99), 3)]
        for name, times in found.items()
    ]
    return table(["min / median / max", "p50 ms", "p99 ms"], rows)
