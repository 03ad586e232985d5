"""What a worker counts. `Metrics.record` is on the hot path: one look-up, then list additions.

`prometheus_client` is only used to write the exposition (`portico.observe.exposition`): its own
`inc` and `observe` take a lock each and cost more than the whole of `record`.
"""

import time
from bisect import bisect_left
from collections.abc import Callable

from portico.model.outcome import Outcome, Verdict
from portico.model.targets import TargetView
from portico.model.usage import Usage
from portico.observe import process, semconv
from portico.observe.attempts import ended_as, failed_as
from portico.observe.cells import (
    Bound,
    Labels,
    Series,
    Snapshot,
    Values,
    anonymous,
    edges,
    encode,
    histogram,
    new_series,
)
from portico.observe.targets import target_cells
from portico.observe.times import overhead
from portico.wire.text import mask

_REQUEST = edges(semconv.REQUEST_BUCKETS)
_OVERHEAD = edges(semconv.OVERHEAD_BUCKETS)
_TTFT = edges(semconv.TTFT_BUCKETS)
_DURATION = edges(semconv.DURATION_BUCKETS)
_TOKENS = [-1, *map(int, semconv.TOKEN_BUCKETS)]  # comparing int with int is faster
_LAG = edges(semconv.LAG_BUCKETS)

_CLASSES = {status: f"{status // 100}xx" for status in range(100, 600)} | {499: "499"}

_ENDED: dict[Verdict, str] = {"client_cancelled": "client_cancelled", "truncated": "truncated"}
"""`error.type` of endings that may come without an error code."""

_Key = tuple[str, str, str, str, str, str, str, int, Verdict, str | None, str, str]
"""Everything the labels depend on, before the bounds."""


class Metrics:
    """The counters of one worker. Not thread-safe: call it from the event loop only.

    `models` bounds distinct request models, response models and error types each; a model name not
    in the configuration takes a place with its first answer below 400, so that a caller who tries
    names out cannot use the places up. `series` bounds label combinations; past it new ones lose
    their model names. `reasons` bounds the values of `limit`, `reason` and `log`.
    """

    def __init__(
        self,
        *,
        models: int = 200,
        series: int = 2_000,
        reasons: int = 64,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._wall = wall
        self._max_series = series
        self._cache: dict[_Key, Series] = {}
        self._series: dict[Labels, Series] = {}
        self._request_models = Bound(models)
        self._response_models = Bound(models)
        self._error_types = Bound(models)
        self._limit = Bound(reasons)
        self._reason = Bound(reasons)
        self._limits: dict[str, float] = {}
        self._rejected: dict[str, float] = {}
        self._losses: dict[str, float] = {}
        self._tried: dict[Values, float] = {}
        self._retries_refused: dict[str, float] = {}
        self._targets: Callable[[], list[TargetView]] = list
        self._logs: dict[str, Callable[[], int]] = {}
        self._connections: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._reloads: dict[str, float] = {"success": 0, "failure": 0}
        self._reload_ok = True
        self._reload_time = 0.0
        self._revision = 0
        self.started = 0
        """Requests begun; whoever counts them in adds one, `ended` likewise."""
        self.ended = 0
        self._opened = 0
        self._closed = 0
        self._lag = histogram(semconv.LAG_BUCKETS)
        self.before_snapshot: Callable[[], None] | None = None
        """Called by `snapshot`, so that what waits to be recorded is in it."""

    def record(self, outcome: Outcome) -> float:
        """Counts a finished request, and says what it cost us (`times.overhead`, seconds). Takes
        about 2 us; never raises on any outcome."""
        key = (
            outcome.endpoint,
            outcome.dialect,
            outcome.provider,
            outcome.alias,
            outcome.request_model,
            outcome.response_model,
            outcome.lane,
            outcome.status,
            outcome.verdict,
            outcome.error_code,
            outcome.operation,
            outcome.semconv_provider,
        )
        series = self._cache.get(key)
        if series is None:
            series = self._find(key, outcome)
        finished = outcome.finished
        started = outcome.started

        value = finished - started
        cell = series.duration
        cell[bisect_left(_REQUEST, value)] += 1
        cell[0] += value
        spent = overhead(outcome)
        cell = series.overhead
        cell[bisect_left(_OVERHEAD, spent)] += 1
        cell[0] += spent

        called = outcome.upstream_started
        if called:
            series.attempts[0] += outcome.attempts
            value = finished - called
            cell = series.operation
            cell[bisect_left(_DURATION, value)] += 1
            cell[0] += value
            if outcome.stream and outcome.status < 400:
                _first(series, outcome, called)
        usage = outcome.usage
        if usage is not None:
            _tokens(series, usage)
        if outcome.losses:
            for loss in outcome.losses:
                self._losses[loss.how] = self._losses.get(loss.how, 0) + 1
        if outcome.failed is not None:
            self._count_failed(outcome, series)
        return spent

    @property
    def in_flight(self) -> int:
        """Requests started and not finished in this worker."""
        return self.started - self.ended

    def connections_opened(self) -> None:
        """A client connection was accepted."""
        self._opened += 1

    def connections_closed(self) -> None:
        """A client connection is gone."""
        self._closed += 1

    def limit_hit(self, limit: str) -> None:
        """A limit of `portico.limits`, by its field name, was hit."""
        limit = self._limit(limit)
        self._limits[limit] = self._limits.get(limit, 0) + 1

    def http_rejected(self, reason: str) -> None:
        """The HTTP layer refused a request before it had an outcome."""
        reason = self._reason(reason)
        self._rejected[reason] = self._rejected.get(reason, 0) + 1

    def retry_refused(self, model: str) -> None:
        """The retry budget had nothing left for a request of this configured model."""
        self._retries_refused[model] = self._retries_refused.get(model, 0) + 1

    def loop_lag(self, seconds: float) -> None:
        """How late a timer fired."""
        self._lag[bisect_left(_LAG, seconds)] += 1
        self._lag[0] += seconds

    def config_reload(self, success: bool, revision: int) -> None:
        """A configuration was taken, or refused. `revision` counts only when it was taken."""
        self._reload_ok = success
        self._reloads["success" if success else "failure"] += 1
        if success:
            self._revision = revision
            self._reload_time = self._wall()

    def watch_log(self, name: str, dropped: Callable[[], int]) -> None:
        """Exposes `dropped()`, the lines the log `name` has lost so far."""
        self._logs[name] = dropped

    def watch_connections(self, count: Callable[[], tuple[int, int]]) -> None:
        """Exposes `count()`: how many connections to providers are open, and how many are idle."""
        self._connections = count

    def watch_targets(self, views: Callable[[], list[TargetView]]) -> None:
        """Exposes the targets that `views()` tells of; it is called for every snapshot."""
        self._targets = views

    def targets(self) -> list[TargetView]:
        """Every target of this worker, now."""
        return self._targets()

    def snapshot(self) -> bytes:
        """Everything counted so far, for `portico.observe.exposition.render` or `Retired`."""
        if self.before_snapshot is not None:
            self.before_snapshot()
        targets = target_cells(self._targets())
        opened, idle = self._connections()
        return encode(
            Snapshot(
                series=list(self._series.values()),
                counters={
                    semconv.STARTED.name: {"": self.started},
                    semconv.CONNECTIONS_TOTAL.name: {"": self._opened},
                    semconv.LIMIT_HITS.name: self._limits,
                    semconv.LOSSES.name: self._losses,
                    semconv.HTTP_REJECTED.name: self._rejected,
                    semconv.LOG_DROPPED.name: {log: lost() for log, lost in self._logs.items()},
                    semconv.RETRY_REFUSED.name: self._retries_refused,
                    semconv.RELOADS.name: self._reloads,
                    semconv.CPU.name: {"": process.cpu_seconds()},
                },
                gauges={
                    semconv.IN_FLIGHT.name: self.in_flight,
                    semconv.CONNECTIONS.name: self._opened - self._closed,
                    semconv.RSS.name: process.resident_bytes(),
                    semconv.FDS.name: process.open_fds(),
                    semconv.TASKS.name: process.tasks(),
                    semconv.UPSTREAM_OPEN.name: opened,
                    semconv.UPSTREAM_BUSY.name: opened - idle,
                },
                lowest={
                    semconv.RELOAD_OK.name: int(self._reload_ok),
                    semconv.REVISION.name: self._revision,
                    semconv.RELOAD_TIME.name: self._reload_time,
                },
                counts={semconv.UPSTREAM_ATTEMPTS.name: self._tried, **targets.counts},
                levels=targets.levels,
                means=targets.means,
                loop_lag=self._lag,
            )
        )

    def _count_failed(self, outcome: Outcome, series: Series) -> None:
        """The tries before the last, which is counted with its request."""
        failed = outcome.failed or ()
        if not outcome.upstream_started:  # it ended between two tries
            series.attempts[0] += len(failed)
        for attempt in failed:
            result = failed_as(attempt.error, attempt.status)
            key = (attempt.provider, outcome.alias, result)
            self._tried[key] = self._tried.get(key, 0) + 1

    def _find(self, key: _Key, outcome: Outcome) -> Series:
        """The slow path: bound the labels, find or make the series, remember the short way."""
        labels = self._labels(outcome)
        series = self._series.get(labels)
        if series is None and len(self._series) >= self._max_series:
            labels = anonymous(labels)
            series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = new_series(labels)
        if labels.request_model == semconv.MODEL_OTHER:
            return series  # names nobody configured are not worth remembering
        if len(self._cache) >= 2 * self._max_series:
            self._cache.clear()
        self._cache[key] = series
        return series

    def _labels(self, outcome: Outcome) -> Labels:
        served = outcome.status < 400
        configured = outcome.request_model == outcome.alias
        return Labels(
            endpoint=outcome.endpoint,
            dialect=outcome.dialect,
            provider=outcome.provider,
            model=outcome.alias,
            lane=outcome.lane,
            status=_CLASSES.get(outcome.status, "unknown"),
            verdict=outcome.verdict,
            operation=outcome.operation,
            semconv_provider=outcome.semconv_provider or outcome.provider,
            request_model=self._request_models(
                mask(outcome.request_model) if outcome.provider else "",  # a name may hold a key
                admit=served or configured,
            ),
            response_model=self._response_models(mask(outcome.response_model)),
            error_type=self._error_type(outcome),
            result=ended_as(outcome),
        )

    def _error_type(self, outcome: Outcome) -> str:
        if outcome.verdict == "ok" and outcome.status < 400:
            return ""
        named = outcome.error_code or _ENDED.get(outcome.verdict) or str(outcome.status)
        bounded = self._error_types(named)
        return semconv.ERROR_OTHER if bounded == semconv.MODEL_OTHER else bounded


def _first(series: Series, outcome: Outcome, called: float) -> None:
    """Time to the first byte of a stream, on both sides of the gateway."""
    answered = outcome.upstream_first_byte
    if answered:
        value = answered - called
        cell = series.first_chunk
        cell[bisect_left(_DURATION, value)] += 1
        cell[0] += value
    sent = outcome.first_byte
    if sent:
        value = sent - outcome.started
        cell = series.ttft
        cell[bisect_left(_TTFT, value)] += 1
        cell[0] += value


def _tokens(series: Series, usage: Usage) -> None:
    """Estimates are counted, but kept out of the GenAI histograms (GENAI_METRICS: a count that is
    not at hand must not be reported)."""
    if usage.estimated:
        counts = series.estimated
        counts[0] += usage.input_uncached
        counts[1] += usage.cache_read
        counts[2] += usage.cache_write
        counts[3] += usage.output_text
        counts[4] += usage.reasoning
        return
    part = usage.cache_read
    value: float = usage.input_uncached + part
    if part:
        cell = series.cache_read
        cell[bisect_left(_TOKENS, part)] += 1
        cell[0] += part
    part = usage.cache_write
    if part:
        value += part
        cell = series.cache_write
        cell[bisect_left(_TOKENS, part)] += 1
        cell[0] += part
    cell = series.input
    cell[bisect_left(_TOKENS, value)] += 1
    cell[0] += value
    part = usage.reasoning
    value = usage.output_text + part
    if part:
        cell = series.reasoning
        cell[bisect_left(_TOKENS, part)] += 1
        cell[0] += part
    cell = series.output
    cell[bisect_left(_TOKENS, value)] += 1
    cell[0] += value
