"""Snapshots of the workers -> one Prometheus or OpenMetrics page.

Everything shown is a sum over workers, so one scrape of a gateway with any number of workers reads
like a scrape of a single process. `prometheus_client` is imported on the first scrape, not before.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import add
from typing import TYPE_CHECKING, cast

import portico
from portico.observe import semconv
from portico.observe.cells import Cell, Series, Snapshot, Values, histogram, merge
from portico.observe.semconv import Family

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

_ATTEMPT_OUTCOME = {
    "ok": "ok",
    "client_error": "rejected",
    "denied": "rejected",
    "upstream_error": "error",
    "internal_error": "error",
    "client_cancelled": "cancelled",
    "truncated": "truncated",
}
"""What the verdict of a request says about its last attempt."""


def render(snapshots: Sequence[bytes], accept: str = "") -> tuple[bytes, str]:
    """`snapshots` of `Metrics.snapshot` -> page and its `content-type`.

    `accept` is the request's header: OpenMetrics when it asks for it, else the text format. Takes
    milliseconds per thousand series: run it off the event loop.
    """
    from prometheus_client.exposition import choose_encoder

    encoder, content_type = choose_encoder(accept)
    return encoder(cast("Collector", _Page(merge(snapshots)))), content_type


class _Page:
    """What `generate_latest` needs of a registry."""

    def __init__(self, total: Snapshot) -> None:
        self._total = total

    def collect(self) -> Iterator[Metric]:
        total = self._total
        yield from _requests(total)
        yield from _tokens(total.series)
        yield from _gen_ai([s for s in total.series if _count(s.operation)])
        yield from _targets(total)
        yield from _worker(total)


def _requests(total: Snapshot) -> Iterator[Metric]:
    all_series = total.series
    yield _counter(semconv.REQUESTS, ((_portico(s), _count(s.duration)) for s in all_series))
    for family, pick in _DURATIONS:
        yield _histogram(family, ((_portico(s), pick(s)) for s in all_series))
    yield _counter(semconv.ATTEMPTS, _attempts(all_series))
    yield _counter(semconv.UPSTREAM_ATTEMPTS, _upstream_attempts(total))
    mirrored = (s for s in all_series if s.labels.endpoint.endswith(semconv.MIRROR))
    yield _counter(
        semconv.MIRRORED,
        (({"result": _ATTEMPT_OUTCOME[s.labels.verdict]}, _count(s.duration)) for s in mirrored),
    )
    for family, verdict in (
        (semconv.CLIENT_CANCELLED, "client_cancelled"),
        (semconv.STREAM_TRUNCATED, "truncated"),
    ):
        ended = (s for s in all_series if s.labels.verdict == verdict)
        yield _counter(family, ((_portico(s), _count(s.duration)) for s in ended))


_DURATIONS: tuple[tuple[Family, Callable[[Series], Cell]], ...] = (
    (semconv.REQUEST_DURATION, lambda s: s.duration),
    (semconv.OVERHEAD, lambda s: s.overhead),
    (semconv.TTFT, lambda s: s.ttft),
)


def _attempts(all_series: Iterable[Series]) -> Iterator[tuple[dict[str, str], float]]:
    for outcome in ("ok", "error", "retried"):
        yield {"outcome": outcome}, 0  # rates need a start
    for series in all_series:
        last = _count(series.operation)
        if last:
            yield {"outcome": _ATTEMPT_OUTCOME[series.labels.verdict]}, last
        yield {"outcome": "retried"}, max(series.attempts[0] - last, 0)


def _upstream_attempts(total: Snapshot) -> Iterator[tuple[dict[str, str], float]]:
    """The last one of a request is in its series, those before it were counted one by one."""
    family = semconv.UPSTREAM_ATTEMPTS
    for series in total.series:
        labels = series.labels
        last = _count(series.operation)
        if last:
            yield (
                {"provider": labels.provider, "model": labels.model, "result": labels.result},
                last,
            )
    for values, count in total.counts.get(family.name, {}).items():
        yield dict(zip(family.labels, values, strict=True)), count


def _targets(total: Snapshot) -> Iterator[Metric]:
    for family in (semconv.TARGET_OPENED, semconv.CREDENTIAL_COOLDOWNS):
        yield _rows(family, total.counts.get(family.name, {}))
    for family in (semconv.TARGET_STATE, semconv.TARGET_IN_FLIGHT):
        yield _rows(family, total.levels.get(family.name, {}))
    means = total.means.get(semconv.TARGET_LATENCY.name, {})
    yield _rows(
        semconv.TARGET_LATENCY, {key: value / count for key, (value, count) in means.items()}
    )


def _tokens(all_series: Iterable[Series]) -> Iterator[Metric]:
    rows: list[tuple[dict[str, str], float]] = []
    for s in all_series:
        read, write, thought = s.cache_read[0], s.cache_write[0], s.reasoning[0]
        reported = (s.input[0] - read - write, read, write, s.output[0] - thought, thought)
        for estimated, counts in (("false", reported), ("true", s.estimated)):
            for kind, count in zip(_TOKEN_KINDS, counts, strict=True):
                if count:
                    rows.append((_portico(s) | {"type": kind, "estimated": estimated}, count))
    yield _counter(semconv.TOKENS, rows)


_TOKEN_KINDS = ("input_uncached", "cache_read", "cache_write", "output_text", "reasoning")


def _gen_ai(all_series: Sequence[Series]) -> Iterator[Metric]:
    usage = [
        (_genai(s) | {semconv.USAGE_KIND: kind}, pick(s))
        for s in all_series
        for kind, pick in _TOKEN_TYPES
    ]
    yield _histogram(semconv.GENAI_TOKEN_USAGE, usage)
    yield _histogram(semconv.PORTICO_TOKEN_USAGE, usage)
    yield _histogram(
        semconv.GENAI_DURATION,
        ((_genai(s) | {semconv.ERROR_TYPE: s.labels.error_type}, s.operation) for s in all_series),
    )
    yield _histogram(semconv.GENAI_FIRST_CHUNK, ((_genai(s), s.first_chunk) for s in all_series))
    dropped = semconv.TTFT_BUCKETS[len(semconv.FIRST_TOKEN_BUCKETS) :]
    yield _histogram(
        semconv.GENAI_FIRST_TOKEN, ((_genai(s), _coarser(s.ttft, len(dropped))) for s in all_series)
    )


_TOKEN_TYPES: tuple[tuple[str, Callable[[Series], Cell]], ...] = (
    ("input", lambda s: s.input),
    ("output", lambda s: s.output),
    ("input_cache_read", lambda s: s.cache_read),
    ("input_cache_write", lambda s: s.cache_write),
    ("output_reasoning", lambda s: s.reasoning),
)
"""`gen_ai.token.type`: the conventions' two, and parts of them named `whole_part`."""


def _worker(total: Snapshot) -> Iterator[Metric]:
    for family in semconv.FAMILIES:
        if family.name in total.counters:
            label = family.labels[0] if family.labels else ""
            rows = total.counters[family.name].items()
            yield _counter(family, (({label: value} if label else {}, n) for value, n in rows))
        elif family.name in total.gauges or family.name in total.lowest:
            metric = _family(family)
            value = total.gauges.get(family.name, total.lowest.get(family.name, 0))
            metric.add_sample(family.name, {}, value)
            yield metric
    yield _histogram(semconv.LOOP_LAG, [({}, total.loop_lag)])
    workers = _family(semconv.WORKERS)
    workers.add_sample(semconv.WORKERS.name, {}, total.workers)
    yield workers
    build = _family(semconv.BUILD_INFO)
    version = {"version": portico.__version__, "python": platform.python_version()}
    build.add_sample(semconv.BUILD_INFO.name, version, 1)
    yield build


def _portico(series: Series) -> dict[str, str]:
    labels = series.labels
    return {
        "endpoint": labels.endpoint,
        "dialect": labels.dialect,
        "provider": labels.provider,
        "model": labels.model,
        "status": labels.status,
        "lane": labels.lane,
    }


def _genai(series: Series) -> dict[str, str]:
    labels = series.labels
    return {
        semconv.OPERATION_NAME: labels.operation,
        semconv.PROVIDER_NAME: labels.semconv_provider,
        semconv.REQUEST_MODEL: labels.request_model,
        semconv.RESPONSE_MODEL: labels.response_model,
    }


def _count(cell: Cell) -> int:
    """Observations of a histogram cell."""
    return int(sum(cell[1:]))


def _coarser(cell: Cell, dropped: int) -> Cell:
    """The cell without its `dropped` highest finite buckets, which join `+Inf`."""
    keep = len(cell) - 1 - dropped
    return [*cell[:keep], sum(cell[keep:])]


def _family(family: Family) -> Metric:
    from prometheus_client.metrics_core import Metric

    name = family.name.removesuffix("_total" if family.kind == "counter" else "_info")
    return Metric(name, family.help, family.kind)


def _counter(family: Family, rows: Iterable[tuple[dict[str, str], float]]) -> Metric:
    """Sums rows over the labels the family does not have."""
    sums: dict[Values, float] = {} if family.labels else {(): 0}
    for labels, value in rows:
        key = tuple([labels[name] for name in family.labels])
        sums[key] = sums.get(key, 0) + value
    metric = _family(family)
    for key, value in sums.items():
        metric.add_sample(family.name, _present(family, key), value)
    return metric


def _rows(family: Family, rows: dict[Values, float]) -> Metric:
    """One sample per row, labels as they are."""
    metric = _family(family)
    for key, value in rows.items():
        metric.add_sample(family.name, _present(family, key), value)
    return metric


def _histogram(family: Family, rows: Iterable[tuple[dict[str, str], Cell]]) -> Metric:
    """Sums cells over the labels the family does not have; empty cells are not shown."""
    sums: dict[Values, Cell] = {} if family.labels else {(): histogram(family.buckets)}
    for labels, cell in rows:
        if any(cell[1:]):
            key = tuple([labels[name] for name in family.labels])
            into = sums.get(key)
            sums[key] = list(cell) if into is None else list(map(add, into, cell))
    metric = _family(family)
    bounds = [*map(str, family.buckets), "+Inf"]
    for key, cell in sums.items():
        present = _present(family, key)
        running = list(accumulate(cell[1:]))
        for bound, count in zip(bounds, running, strict=True):
            metric.add_sample(f"{family.name}_bucket", present | {"le": bound}, count)
        metric.add_sample(f"{family.name}_count", present, running[-1])
        metric.add_sample(f"{family.name}_sum", present, cell[0])
    return metric


def _present(family: Family, values: Values) -> dict[str, str]:
    """Labels of a sample; an empty label is an absent one in Prometheus."""
    return {name: value for name, value in zip(family.labels, values, strict=True) if value}
