"""Plain-number cells behind the metrics: what one worker counts, and how workers add up.

A histogram cell is a list: its sum at 0, then one count per bucket (not cumulative), the last one
being `+Inf`. `edges(bounds)` is the list to bisect, so that the index found is the index to add to.
"""

from collections.abc import Iterable, Sequence
from operator import add

import msgspec
from msgspec import Struct

from portico.observe import semconv

Cell = list[int | float]
Values = tuple[str, ...]
"""Values of a family's labels, in its order."""

MAX_LABEL = 128
"""Characters of a label value that a peer chose."""


def edges(bounds: Sequence[float]) -> list[float]:
    """`bounds` behind a sentinel: `bisect_left(edges, value)` is the cell's index for `value`."""
    return [float("-inf"), *bounds]


def histogram(bounds: Sequence[float]) -> Cell:
    """An empty cell for `bounds`."""
    return [0] * (len(bounds) + 2)


class Labels(Struct, frozen=True, array_like=True):
    """Who a series is about. Every field has a bounded set of values."""

    endpoint: str
    dialect: str
    provider: str
    model: str
    lane: str
    status: str
    verdict: str
    operation: str
    semconv_provider: str
    request_model: str
    response_model: str
    error_type: str
    result: str


class Series(Struct, array_like=True):
    """All cells of one label combination. Families are projections of it, made when scraped."""

    labels: Labels
    attempts: list[int]
    estimated: list[int]
    duration: Cell
    overhead: Cell
    ttft: Cell
    operation: Cell
    first_chunk: Cell
    input: Cell
    output: Cell
    cache_read: Cell
    cache_write: Cell
    reasoning: Cell


def new_series(labels: Labels) -> Series:
    """A series at zero. `estimated`: input_uncached, cache_read, cache_write, output, reasoning."""
    tokens = semconv.TOKEN_BUCKETS
    return Series(
        labels,
        [0],
        [0] * 5,
        histogram(semconv.REQUEST_BUCKETS),
        histogram(semconv.OVERHEAD_BUCKETS),
        histogram(semconv.TTFT_BUCKETS),
        histogram(semconv.DURATION_BUCKETS),
        histogram(semconv.DURATION_BUCKETS),
        histogram(tokens),
        histogram(tokens),
        histogram(tokens),
        histogram(tokens),
        histogram(tokens),
    )


_CELLS = tuple(name for name in Series.__struct_fields__ if name != "labels")


class Snapshot(Struct):
    """Everything one worker knows. `counters` and `gauges` add up, `lowest` takes the minimum.

    `counters` is family -> value of its one label (`` without labels) -> number. Families of more
    labels: `counts` (counters) and `levels` (gauges) add up; `means` are a sum and its divisor.
    """

    series: list[Series] = []
    counters: dict[str, dict[str, float]] = {}
    gauges: dict[str, float] = {}
    lowest: dict[str, float] = {}
    counts: dict[str, dict[Values, float]] = {}
    levels: dict[str, dict[Values, float]] = {}
    means: dict[str, dict[Values, tuple[float, float]]] = {}
    loop_lag: Cell = []
    workers: int = 1


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """For the way between processes."""
    return _encoder.encode(snapshot)


def decode(data: bytes) -> Snapshot:
    """Back again. Raises `msgspec.DecodeError`."""
    return _decoder.decode(data)


class Bound:
    """Lets at most `size` distinct values through; the rest become `semconv.MODEL_OTHER`."""

    __slots__ = ("_seen", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: set[str] = set()

    def __call__(self, value: str, *, admit: bool = True) -> str:
        """`value` or `other`. With `admit` false a value not seen before does not take a place."""
        if not value or value in self._seen:
            return value
        if not admit or len(self._seen) >= self._size:
            return semconv.MODEL_OTHER
        if len(value) > MAX_LABEL or not value.isprintable():
            return semconv.MODEL_OTHER
        self._seen.add(value)
        return value


class Merger:
    """Adds snapshots up. Past `max_series` the model names of new series become `other`."""

    def __init__(self, max_series: int) -> None:
        self._max = max_series
        self._series: dict[Labels, Series] = {}
        self.total = Snapshot(workers=0, loop_lag=histogram(semconv.LAG_BUCKETS))

    def add(self, snapshot: Snapshot) -> None:
        """Takes the snapshot's lists over: do not use it afterwards."""
        total = self.total
        for series in snapshot.series:
            self._add_series(series)
        for family, values in snapshot.counters.items():
            into = total.counters.setdefault(family, {})
            for label, value in values.items():
                into[label] = into.get(label, 0) + value
        for name, value in snapshot.gauges.items():
            total.gauges[name] = total.gauges.get(name, 0) + value
        for name, value in snapshot.lowest.items():
            total.lowest[name] = min(total.lowest.get(name, value), value)
        for sums, more in ((total.counts, snapshot.counts), (total.levels, snapshot.levels)):
            for family, rows in more.items():
                self._add_rows(sums.setdefault(family, {}), rows)
        for family, pairs in snapshot.means.items():
            known = total.means.setdefault(family, {})
            for key, (value, count) in pairs.items():
                before = known.get(key, (0.0, 0.0))
                known[key] = (before[0] + value, before[1] + count)
        if snapshot.loop_lag:
            total.loop_lag[:] = map(add, total.loop_lag, snapshot.loop_lag)
        total.workers += snapshot.workers

    def _add_rows(self, into: dict[Values, float], rows: dict[Values, float]) -> None:
        """Names that come and go with reloads are kept up to the same bound."""
        for key, value in rows.items():
            if key in into or len(into) < self._max:
                into[key] = into.get(key, 0) + value

    def _add_series(self, series: Series) -> None:
        known = self._series.get(series.labels)
        if known is None and len(self._series) >= self._max:
            series.labels = anonymous(series.labels)
            known = self._series.get(series.labels)
        if known is None:
            self._series[series.labels] = series
            self.total.series.append(series)
            return
        for name in _CELLS:
            into = getattr(known, name)
            into[:] = map(add, into, getattr(series, name))


def anonymous(labels: Labels) -> Labels:
    """The same labels without the values that peers choose."""
    other = semconv.MODEL_OTHER
    return msgspec.structs.replace(
        labels,
        request_model=labels.request_model and other,
        response_model=labels.response_model and other,
        error_type=labels.error_type and semconv.ERROR_OTHER,
    )


def merge(snapshots: Iterable[bytes], *, max_series: int = 100_000) -> Snapshot:
    """The sum of encoded snapshots."""
    merger = Merger(max_series)
    for data in snapshots:
        merger.add(decode(data))
    return merger.total


class Retired:
    """Keeps what workers counted, past their death and past a scrape they were too busy for.

    The owner calls `remember` with every snapshot it receives and `died` when a worker is gone;
    `snapshots()` is what to render. What a worker counted after its last snapshot is lost, but no
    counter ever goes down. Worker ids must not be used twice.
    """

    def __init__(self, max_series: int = 10_000) -> None:
        self._live: dict[int, bytes] = {}
        self._dead = Merger(max_series)

    def remember(self, worker: int, snapshot: bytes) -> None:
        """The newest snapshot of a live worker."""
        self._live[worker] = snapshot

    def died(self, worker: int) -> None:
        """The worker is gone: its counters stay, its gauges go."""
        data = self._live.pop(worker, None)
        if data is None:
            return
        last = decode(data)
        last.gauges.clear()
        last.lowest.clear()
        last.levels.clear()
        last.means.clear()
        last.workers = 0
        self._dead.add(last)

    def snapshots(self) -> list[bytes]:
        """The last snapshot of every live worker and the remains of the dead."""
        return [encode(self._dead.total), *self._live.values()]
