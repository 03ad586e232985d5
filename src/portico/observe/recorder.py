"""Where a worker's requests are told: metrics and the access log, from one record."""

from portico.model.outcome import Outcome
from portico.observe.logs import AccessLog
from portico.observe.metrics import Metrics


class Recorder:
    """Implements the gateway's `Recorder`. `access_log` may be off (None)."""

    __slots__ = ("access_log", "metrics")

    def __init__(self, metrics: Metrics, access_log: AccessLog | None) -> None:
        self.metrics = metrics
        self.access_log = access_log
        if access_log is not None:
            metrics.watch_log("access", lambda: access_log.dropped)

    def begin(self) -> None:
        """A request is in flight."""
        self.metrics.in_flight_inc()

    def finish(self, outcome: Outcome) -> None:
        """It is over."""
        self.metrics.in_flight_dec()
        self.metrics.record(outcome)
        if self.access_log is not None:
            self.access_log.write(outcome)

    def limit_hit(self, limit: str) -> None:
        """A named limit was hit."""
        self.metrics.limit_hit(limit)

    def tick(self, now: float, lag: float) -> None:
        """`Sweeper`: hand over log lines, note the loop's lateness."""
        self.metrics.loop_lag(lag)
        if self.access_log is not None:
            self.access_log.flush()
