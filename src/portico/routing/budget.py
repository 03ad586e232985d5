"""The retry budget: however many requests fail, repetitions stay a small part of the traffic. (A
request that moves on to a target which it has not asked yet is no repetition.)

Of the last ten seconds: at most a share of the requests, and a few per second besides so that a
quiet gateway may retry at all. (Finagle's idea: https://finagle.github.io/blog/2016/02/08/retry-budgets/,
2026-11-21.) Pure: `now` is `time.monotonic()` seconds.
"""

from collections import deque

WINDOW = 10.0
_MARK_EVERY = 1.0
_MOST_MARKS = 16


class RetryBudget:
    """One budget."""

    __slots__ = ("_mark_at", "_marks", "_per_second", "_retries", "_share", "refused", "requests")

    def __init__(self, share: float, per_second: float, now: float) -> None:
        self._share = share
        self._per_second = per_second
        self._marks: deque[tuple[float, int]] = deque([(now, 0)], maxlen=_MOST_MARKS)
        self._mark_at = now + _MARK_EVERY
        self._retries: deque[float] = deque()
        self.requests = 0
        self.refused = 0
        """How often there was nothing left."""

    def count(self, now: float) -> None:
        """A request begins."""
        if now >= self._mark_at:
            self._marks.append((now, self.requests))
            self._mark_at = now + _MARK_EVERY
        self.requests += 1

    def spend(self, now: float) -> bool:
        """Whether one more retry may be made; if so it has been."""
        retries = self._retries
        while retries and retries[0] <= now - WINDOW:
            retries.popleft()
        allowed = self._share * self._recent(now) + self._per_second * WINDOW
        if len(retries) + 1 > allowed:
            self.refused += 1
            return False
        retries.append(now)
        return True

    def _recent(self, now: float) -> int:
        """How many requests the last ten seconds had, but for those of a part of a second: a mark
        is the number of requests before the first one of its second."""
        for at, before in self._marks:
            if at > now - WINDOW:
                return self.requests - before
        return 0
