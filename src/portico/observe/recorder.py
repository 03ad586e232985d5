"""Where a worker's requests are told: metrics, logs and the admin pages, from one record.

Finished records are gathered and settled together, at the next sweep or when a batch is full: the
same code run a hundred times in a row costs half of what it costs between two requests. A scrape
settles first, so nobody sees the delay.
"""

from portico.config import database
from portico.config.settings import Settings, secrets_of
from portico.limits import Limits
from portico.model.outcome import Outcome
from portico.model.targets import TargetView
from portico.observe.console import log_failure
from portico.observe.logs import AccessLog
from portico.observe.metrics import Metrics
from portico.observe.recent import Recent, RequestDetail, RequestQuery, RequestRow
from portico.observe.redact import Redactor, mapped

BATCH = 128
"""Records that wait at most; settling them takes well under a millisecond."""


class Recorder:
    """Implements the gateway's `Recorder`. `access_log` may be off (None)."""

    __slots__ = ("_finished", "_recent", "_redactor", "access_log", "metrics")

    def __init__(
        self, metrics: Metrics, access_log: AccessLog | None, redactor: Redactor | None = None
    ) -> None:
        self.metrics = metrics
        self.access_log = access_log
        self._redactor = redactor or Redactor()
        self._recent = Recent(Limits().recent_requests, self._redactor)
        self._finished: list[Outcome] = []
        metrics.before_snapshot = self.settle
        if access_log is not None:
            metrics.watch_log("access", lambda: access_log.dropped)

    def begin(self) -> None:
        """A request is in flight."""
        self.metrics.started += 1

    def finish(self, outcome: Outcome) -> None:
        """It is over."""
        self.metrics.ended += 1
        finished = self._finished
        finished.append(outcome)
        if len(finished) >= BATCH or outcome.error_debug:
            self.settle()

    def settle(self) -> None:
        """Count and log what has finished since the last time."""
        finished, self._finished = self._finished, []
        record = self.metrics.record
        write = self.access_log.write if self.access_log is not None else None
        for outcome in finished:
            spent = record(outcome)
            if write is not None:
                write(outcome, spent)
            if outcome.error_debug:
                log_failure(outcome)
        self._recent.add(finished)

    def limit_hit(self, limit: str) -> None:
        """A named limit was hit."""
        self.metrics.limit_hit(limit)

    def retry_refused(self, model: str) -> None:
        """No further attempt was made, because the retry budget was used up."""
        self.metrics.retry_refused(model)

    def requests(self, query: RequestQuery) -> list[RequestRow]:
        """The last requests that match, newest first."""
        self.settle()
        return self._recent.rows(query)

    def request(self, id: str) -> RequestDetail | None:
        """One of the last requests."""
        self.settle()
        return self._recent.find(id)

    def targets(self) -> list[TargetView]:
        """Every target of this worker, fit to be shown."""
        return [mapped(view, self._redactor.text) for view in self.metrics.targets()]

    def follow(self, settings: Settings) -> None:
        """Do as these settings say from now on: what to mask, how much to remember."""
        self._recent.keep(settings.limits.recent_requests)
        self.learn_secrets(settings)

    def learn_secrets(self, settings: Settings) -> None:
        """Mask these settings' credentials in everything written from now on."""
        if settings.sealing_key is not None:
            self._redactor.add(settings.sealing_key)
        for secret in database.secrets_of(settings.database):
            self._redactor.add(secret)
        for listener in settings.listeners:
            for route in listener.routes:
                for model in route.models:
                    for secret in secrets_of(model.provider):
                        self._redactor.add(secret)

    def tick(self, now: float, lag: float) -> None:
        """`Sweeper`: settle, hand over log lines, note the loop's lateness."""
        self.metrics.loop_lag(lag)
        self.settle()
        if self.access_log is not None:
            self.access_log.flush()

    def close(self) -> None:
        """Settle and write out everything."""
        self.settle()
        if self.access_log is not None:
            self.access_log.close()
