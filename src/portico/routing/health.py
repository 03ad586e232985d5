"""Whether a target is well, and how fast it is. Pure: `now` is `time.monotonic()` seconds.

`Health` belongs to one model at one provider. Its breaker is closed (used), open (left alone) or
half open: after the pause one request, and one only, finds out. What is measured besides feeds the
choice between targets: the time until an answer says something and tokens per second, moving
averages that forget, so that a target which was slow once is tried again.

`Cooldown` belongs to one credential of one backend: a provider that says "too many requests" is
well, it wants less of that key.
"""

from collections.abc import Container
from math import exp

from portico.config.settings import HealthSettings
from portico.model.targets import State
from portico.routing.budget import RetryBudget

BUCKETS = 10
_NEW = 0.3
"""Weight of a new measurement in a moving average."""
_FORGET = 30.0
"""Seconds after which an average that nothing was added to counts for a third."""
_MOST_STRIKES = 16


class Health:
    """Breaker, load and speed of one target."""

    __slots__ = (
        "_bucket", "_calls", "_failed", "_open_until", "_opened_at", "_probe_at", "_row",
        "_seen_at", "_width", "failures", "in_flight", "last_error", "latency", "opened", "rules",
        "successes", "throughput", "ttft", "well",
    )  # fmt: skip

    def __init__(self, rules: HealthSettings) -> None:
        self.rules = rules
        self._width = rules.window / BUCKETS
        self._bucket = 0
        self._calls = [0] * BUCKETS
        self._failed = [0] * BUCKETS
        self._row = 0
        self._open_until = 0.0
        self._opened_at = -1.0
        self._probe_at = 0.0  # when the request began that finds out; 0.0: there is none
        self._seen_at = 0.0
        self.in_flight = 0
        self.latency = 0.0
        """Seconds until an answer says something: a stream its first token, a whole answer all of
        it. What callers wait for, whatever they ask for. 0.0 while nothing is known."""
        self.ttft = 0.0
        """The same of streams alone."""
        self.throughput = 0.0
        """Tokens per second; 0.0 while nothing is known."""
        self.well = 1.0
        """The share of calls that succeeded, lately."""
        self.opened = 0
        self.failures = 0
        self.successes = 0
        self.last_error = ""

    def follow(self, rules: HealthSettings) -> None:
        """Judge by other rules from now on; what was measured stays."""
        if rules != self.rules:
            if rules.window != self.rules.window:
                self._clear()
                self._width = rules.window / BUCKETS
                self._bucket = 0  # they are counted in widths
            self.rules = rules

    def available(self, now: float) -> bool:
        """Whether a request may go there now."""
        return self._open_until == 0.0 or self._may_probe(now)

    def state(self, now: float) -> State:
        """What the breaker is."""
        if self._open_until == 0.0:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def opens_in(self, now: float) -> float:
        """Seconds until a request may find out; 0.0 when one may."""
        return max(0.0, self._open_until - now)

    def take(self, now: float) -> None:
        """A request goes there. Its end has to be told once, with this `now` as `began`: what began
        before the breaker opened says nothing about the target since."""
        self.in_flight += 1
        if self._open_until != 0.0 and self._may_probe(now):
            self._probe_at = now

    def drop(self, began: float) -> None:
        """It was given up and says nothing: the caller left, or the fault was not the target's."""
        self.in_flight -= 1
        if began == self._probe_at:
            self._probe_at = 0.0

    def succeed(self, now: float, seconds: float, began: float, stream: bool = False) -> None:
        """It was answered, and said something after `seconds` (0.0: not known)."""
        self.in_flight -= 1
        if began > self._opened_at:
            self.note_success(now)
        else:
            self.successes += 1
        if seconds > 0.0:
            self._time(now, seconds, stream)

    def fail(self, now: float, error: str, began: float) -> None:
        """It failed, by the target's fault."""
        self.in_flight -= 1
        if began > self._opened_at:
            if began == self._probe_at:
                self._probe_at = 0.0
            self.note_failure(now, error)
        else:
            self.failures += 1
            self.last_error = error

    def note_success(self, now: float) -> None:
        """The target was seen to work, also outside of a request."""
        bucket = int(now / self._width)
        if bucket > self._bucket:
            self._turn(bucket)
        self._calls[self._bucket % BUCKETS] += 1
        self.successes += 1
        self._row = 0
        if self.well != 1.0:
            self.well = well if (well := self.well + 0.1 * (1.0 - self.well)) < 0.999 else 1.0
        if self._open_until != 0.0:
            self._open_until = self._probe_at = 0.0
            self.well = 1.0
            self._clear()

    def note_failure(self, now: float, error: str) -> None:
        """The target was seen to fail. Opens the breaker when it was enough."""
        bucket = int(now / self._width)
        if bucket > self._bucket:
            self._turn(bucket)
        self._calls[self._bucket % BUCKETS] += 1
        self._failed[self._bucket % BUCKETS] += 1
        self.failures += 1
        self._row += 1
        self.well = (1.0 - _NEW) * (1.0 - (1.0 - self.well) * self._fade(now))
        self._seen_at = now
        self.last_error = error
        if self._open_until != 0.0:
            # What was found out. While a request is still at it, that decides.
            if now >= self._open_until and self._probe_at == 0.0:
                self._open(now)
        elif self._enough():
            self._open(now)

    def measure(self, tokens_per_second: float) -> None:
        """An answer was generated this fast."""
        known = self.throughput
        self.throughput = known + _NEW * (tokens_per_second - known) if known else tokens_per_second

    def score(self, now: float, guess: float = 0.0) -> float:
        """What a request there would cost, to compare targets: less is better. `guess` stands for
        a `latency` that is not known. 0.0 while somebody has to find out."""
        if self._open_until != 0.0:
            return 0.0
        fade = self._fade(now)
        seconds = (self.latency or guess or 1.0) * fade + 1e-6
        return seconds * (self.in_flight + 1) / (1.0 - (1.0 - self.well) * fade + 1e-3)

    def unknown(self, now: float) -> bool:
        """Whether nothing is known of its speed and, lately, nothing bad of it either."""
        return self.latency == 0.0 and (self.well == 1.0 or now - self._seen_at > _FORGET)

    def recent(self, now: float) -> tuple[int, int]:
        """Calls in the window, and how many of them failed."""
        bucket = int(now / self._width)
        if bucket > self._bucket:
            self._turn(bucket)
        return sum(self._calls), sum(self._failed)

    def _time(self, now: float, seconds: float, stream: bool) -> None:
        """Note how long it took. Of an old average little is left."""
        latency, weight = self.latency, _NEW
        if now - self._seen_at > 1.0:
            fade = self._fade(now)
            weight = 1.0 - (1.0 - _NEW) * fade
            self.well = 1.0 - (1.0 - self.well) * fade
        self.latency = latency + weight * (seconds - latency) if latency else seconds
        if stream:
            ttft = self.ttft
            self.ttft = ttft + weight * (seconds - ttft) if ttft else seconds
        self._seen_at = now

    def _fade(self, now: float) -> float:
        """What is left of the averages: 1.0, and less with time."""
        age = now - self._seen_at
        return exp(-age / _FORGET) if age > 1.0 and self._seen_at else 1.0

    def _may_probe(self, now: float) -> bool:
        """Whether a request may find out. One that takes as long as a rest (a long stream) does not
        keep everybody waiting for its end."""
        if now < self._open_until:
            return False
        return self._probe_at == 0.0 or now - self._probe_at >= self.rules.open_for

    def _enough(self) -> bool:
        rules = self.rules
        if rules.consecutive is not None and self._row >= rules.consecutive:
            return True
        failed = sum(self._failed)
        return failed >= rules.failures and failed >= rules.share * sum(self._calls)

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._open_until = now + self.rules.open_for
        self.opened += 1

    def _turn(self, bucket: int) -> None:
        """Forget what has left the window. What ended a little before what was told already is
        counted with it: `bucket` is a later one."""
        if bucket - self._bucket >= BUCKETS:
            self._clear()
        else:
            for old in range(self._bucket + 1, bucket + 1):
                self._calls[old % BUCKETS] = self._failed[old % BUCKETS] = 0
        self._bucket = bucket

    def _clear(self) -> None:
        self._calls = [0] * BUCKETS
        self._failed = [0] * BUCKETS


class Cooldown:
    """When a credential may be used again. Preferred, not enforced: where every credential is
    cooling down, the one that is ready first is used all the same."""

    __slots__ = ("_since", "_strikes", "cooled", "until")

    def __init__(self) -> None:
        self._since = 0.0
        self._strikes = 0
        self.until = 0.0
        self.cooled = 0
        """How often."""

    def limited(self, now: float, retry_after: float | None, rules: HealthSettings) -> None:
        """The provider answered 429; `retry_after` seconds if it said so."""
        if now >= self.until or not self._strikes:  # else others of the same moment were told, too
            self._strikes = min(self._strikes + 1, _MOST_STRIKES)
        if retry_after is None:
            retry_after = rules.cooldown * 2.0 ** (self._strikes - 1)
        self._rest(now, min(retry_after, rules.max_cooldown))

    def refused(self, now: float, rules: HealthSettings) -> None:
        """The provider does not know the credential."""
        self._rest(now, rules.max_cooldown)

    def used(self, began: float) -> None:
        """It worked, for a request that was sent at `began`."""
        if began > self._since:
            self._strikes = 0
            self.until = 0.0

    def _rest(self, now: float, seconds: float) -> None:
        self._since = now
        self.until = max(self.until, now + seconds)
        self.cooled += 1


class Board:
    """The health of every target of a worker, by key. Outlives reloads: a provider that is down
    does not get better because a file was written."""

    __slots__ = ("_cooldowns", "_healths", "budgets")

    def __init__(self) -> None:
        self.budgets: dict[str, RetryBudget] = {}
        """Of the entries, by key."""
        self._healths: dict[str, Health] = {}
        self._cooldowns: dict[str, Cooldown] = {}

    def health(self, key: str, rules: HealthSettings) -> Health:
        """The health of a target, made when it is first asked for."""
        found = self._healths.get(key)
        if found is None:
            found = self._healths[key] = Health(rules)
        return found

    def cooldown(self, key: str) -> Cooldown:
        """The cool-down of a credential, likewise."""
        return self._cooldowns.setdefault(key, Cooldown())

    def keep(
        self,
        healths: dict[str, HealthSettings],
        cooldowns: set[str],
        budgets: Container[str] = (),
    ) -> None:
        """Forget everything else, and judge by these rules from now on."""
        self.budgets = {k: v for k, v in self.budgets.items() if k in budgets}
        self._healths = {k: v for k, v in self._healths.items() if k in healths}
        self._cooldowns = {k: v for k, v in self._cooldowns.items() if k in cooldowns}
        for key, health in self._healths.items():
            health.follow(healths[key])
