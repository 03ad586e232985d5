"""The attempt loop as a machine: events in, commands out. No I/O, no clock, no task.

Whoever drives it (`gateway.attempts`) carries out one command at a time and reports what became of
it. What holds whatever the order of events (`tests/unit/routing/test_attempt_playbooks.py`):

- there is at most one try at a time, and every try is settled with its target's health once;
- after the client's first byte, after it left, and after the deadline there is no further try;
- there are at most `attempts` retries. What comes on top, once each: the repetition of a try on a
  connection that had gone stale, that of a try which had to be put in other words (`repeated`), the
  move to a model that can read more, and the move to each of the caller's further models;
- nothing that failed this request is asked again but for a token of the budget. A move to whom it
  has not asked yet costs nothing: it is no more load than the request would have been there;
- the machine ends once, and stays over.

Times are `time.monotonic()` seconds.
"""

from operator import itemgetter
from random import Random
from typing import Literal, TypeAlias

from msgspec import Struct

from portico.config.settings import RetrySettings
from portico.routing.budget import RetryBudget
from portico.routing.failures import REPEATABLE, TARGETS_FAULT, Failure
from portico.routing.plan import (
    NO_WISHES,
    Backend,
    Choice,
    Credential,
    Tiers,
    Wishes,
    best,
    is_ready,
    ready,
)

Phase: TypeAlias = Literal["idle", "connecting", "sent", "answering", "waiting", "over"]
Reason: TypeAlias = Literal["final", "attempts", "budget", "deadline", "open", "none", "gone"]


class Try(Struct, frozen=True, gc=False):
    """Command: ask this target."""

    choice: Choice
    credential: Credential


class Wait(Struct, frozen=True, gc=False):
    """Command: do nothing for so many seconds, then `resumed`."""

    seconds: float


class GiveUp(Struct, frozen=True, gc=False):
    """Command: it is over; the last error is the answer. `open`: every target is left alone, the
    first for `seconds` more; `none`: there is no target."""

    reason: Reason
    seconds: float = 0.0


Command: TypeAlias = Try | Wait | GiveUp
_GONE = GiveUp("gone")
_TRYING = ("connecting", "sent", "answering")
_NEVER = float("inf")
_Place: TypeAlias = tuple[Backend, str]
"""A backend, and the model name it is asked for."""


class Attempts:
    """One request's tries. `count` is how many were begun, `current` the last of them.

    `tiers` are the targets of the model asked for, `models` those of the caller's own list of
    further models, `on_context` those to move on to when the conversation is too long. `deadline`
    is when the request has to be over. `quiet`: what comes of it says nothing about targets and
    credentials, as with requests that generate nothing.
    """

    __slots__ = (
        "_began", "_budget", "_deadline", "_failed", "_free", "_limits", "_models", "_next",
        "_on_context", "_pauses", "_rests", "_rng", "_rules", "_stale", "_tiers", "_tried", "_used",
        "_wishes", "count", "current", "phase", "quiet",
    )  # fmt: skip

    def __init__(
        self,
        tiers: Tiers,
        rules: RetrySettings,
        budget: RetryBudget,
        deadline: float,
        rng: Random,
        wishes: Wishes = NO_WISHES,
        models: tuple[Tiers, ...] = (),
        on_context: Tiers = (),
    ) -> None:
        self._tiers = tiers
        self._rules = rules
        self._budget = budget
        self._deadline = deadline
        self._rng = rng
        self._wishes = wishes
        self._models = models
        self._on_context = on_context
        # Of this request: whom and which credentials not to ask before the next pause, which not
        # before a time, and who failed it before the last pause.
        self._tried: set[_Place] | tuple[()] = ()
        self._used: set[Credential] | tuple[()] = ()
        # There from the first `_set_aside` on: most requests never come to that.
        self._rests: dict[_Place, float]
        self._limits: dict[Credential, float]
        self._failed: set[_Place]
        self._next: Try | None
        self._pauses: int
        self._free = 0
        self._stale = False
        self._began: float
        self.phase: Phase = "idle"
        self.quiet = False
        self.count = 0
        self.current: Try | None = None

    # -- events -------------------------------------------------------------------------------

    def begin(self, now: float, at: Try | None = None) -> Command:
        """The request is there; `at` is where it begins, if that is settled."""
        if self.phase != "idle":
            return _GONE
        self._budget.count(now)
        if at is not None:
            return self._start(now, at)
        tiers = self._tiers
        if len(tiers) == 1 and len(tier := tiers[0]) == 1 and not self._wishes.origin:
            backend = tier[0].backend  # nearly always
            if backend.health.available(now):
                keys = backend.credentials
                key = keys[0] if len(keys) == 1 else ready(backend, now)
                return self._start(now, Try(tier[0], key))
        return self._go(now, self._choose(now, tiers) or self._next_model(now))

    def again(self, rng: Random) -> "Attempts":
        """A machine for the same request that has not begun."""
        made = Attempts(
            self._tiers, self._rules, self._budget, self._deadline, rng, self._wishes,
            self._models, self._on_context,
        )  # fmt: skip
        made.quiet = self.quiet
        return made

    @property
    def measured(self) -> bool:
        """Whether there was a choice: only then is it worth knowing how fast the target is."""
        tiers = self._tiers
        return len(tiers) > 1 or (len(tiers) == 1 and len(tiers[0]) > 1)

    def measure(self, tokens_per_second: float) -> None:
        """How fast the answer was generated."""
        if self.current is not None and not self.quiet:
            self.current.choice.backend.health.measure(tokens_per_second)

    def repeated(self) -> None:
        """The same target is asked in other words, as a part of the same try."""
        self.count += 1
        self._free += 1

    def connected(self) -> None:
        """There is a connection; from now on the provider may be at work."""
        if self.phase == "connecting":
            self.phase = "sent"

    def first_byte(self) -> None:
        """The client has been sent something: this try is the last."""
        if self.phase in ("connecting", "sent"):
            self.phase = "answering"

    def finished(self, now: float, seconds: float, error: str = "", stream: bool = False) -> None:
        """The try came to its end; `seconds` until the answer said something (a stream its first
        token, else all of it; 0.0: not known). `error`: it broke in the middle, by the target's
        fault."""
        if self.phase not in _TRYING or self.current is None:
            return
        self.phase = "over"
        health = self.current.choice.backend.health
        if self.quiet:
            health.drop(self._began)
            return
        if error:
            health.fail(now, error, self._began)
            return
        health.succeed(now, seconds, self._began, stream)
        cooldown = self.current.credential.cooldown
        if cooldown.until != 0.0:
            cooldown.used(self._began)

    def failed(self, now: float, failure: Failure) -> Command:
        """The try failed."""
        if self.phase not in _TRYING or self.current is None:
            return _GONE
        self._settle(now, failure)
        if self.phase == "answering":
            return self._end("final")
        if not self._worth(now, failure):
            return self._end("final")
        if now >= self._deadline:
            return self._end("deadline")
        if failure.kind == "stale" and not self._stale and self._rules.attempts:
            # Nothing was wrong but the moment: at once, and not at the cost of the budget.
            self._stale = True
            self._free += 1
            return self._start(now, self.current)
        self._set_aside(now, failure, self.current)
        if failure.kind == "context" and (self._on_context or self._models):
            return self._larger(now)
        return self._move_on(now, failure)

    def resumed(self, now: float) -> Command:
        """The pause is over."""
        if self.phase != "waiting":
            return _GONE
        if now >= self._deadline:
            return self._end("deadline")
        found, self._next = self._next, None
        if found is None or not self._still(now, found):
            found = self._choose(now, self._tiers) or self._next_model(now)
        return self._go(now, found)

    def expired(self) -> Command:
        """The deadline of the whole request has passed."""
        return self._stop("deadline")

    def gone(self) -> Command:
        """The client has left, or this worker stops."""
        return self._stop("gone")

    def reloaded(self) -> None:
        """There is another configuration. The request keeps the one that it began with."""

    # -- questions ----------------------------------------------------------------------------

    def would_go_on(self, now: float, failure: Failure) -> bool:
        """Whether `failed` would be followed by another try, as far as can be said before."""
        if self.phase not in ("connecting", "sent") or self.current is None:
            return False
        if not self._worth(now, failure) or now >= self._deadline:
            return False
        kind = failure.kind
        if self._models or (kind == "context" and self._on_context):
            return True
        if kind == "stale" and not self._stale:
            return True
        if self.count - self._free > self._rules.attempts:
            return False
        if kind in REPEATABLE or (kind == "auth" and self._other_key(now, self.current)):
            return True
        return self._has_other(now)

    # -- inside -------------------------------------------------------------------------------

    def _start(self, now: float, found: Try) -> Try:
        found.choice.backend.health.take(now)
        self.current = found
        self._began = now
        self.count += 1
        self.phase = "connecting"
        return found

    def _go(self, now: float, found: Try | None) -> Command:
        """Ask there; where there is nobody left, one that is left alone if its rules say so."""
        found = found or self._left_alone(now)
        return self._start(now, found) if found is not None else self._all_open(now)

    def _end(self, reason: Reason, seconds: float = 0.0) -> GiveUp:
        self.phase = "over"
        return GiveUp(reason, seconds)

    def _stop(self, reason: Reason) -> GiveUp:
        if self.phase in _TRYING and self.current is not None:
            self.current.choice.backend.health.drop(self._began)
        return self._end(reason)

    def _settle(self, now: float, failure: Failure) -> None:
        """Tell the target's health and the credential."""
        current = self.current
        if current is None:
            return
        backend, kind = current.choice.backend, failure.kind
        health, cooldown = backend.health, current.credential.cooldown
        rules = health.rules
        if self.quiet:
            health.drop(self._began)
            return
        if kind == "limited":
            cooldown.limited(now, failure.retry_after, rules)
        elif kind == "auth" and len(backend.credentials) > 1:
            cooldown.refused(now, rules)
        if kind in TARGETS_FAULT or (failure.status in rules.statuses and kind != "final"):
            said = f"status_{failure.status}" if failure.status else failure.code or kind
            health.fail(now, said, self._began)
        else:
            # Nor was it well: what callers do wrong must not hide what the target does.
            health.drop(self._began)

    def _worth(self, now: float, failure: Failure) -> bool:
        """Whether another try may go better."""
        kind, current = failure.kind, self.current
        if kind == "final" or current is None or not (self._rules.attempts or self._models):
            return kind == "context" and bool(self._on_context)
        if kind in ("context", "missing"):
            wider = self._on_context if kind == "context" else ()
            return bool(wider or self._models) or failure.status in self._rules.codes
        if kind == "auth" and failure.status not in self._rules.codes:
            return self._other_key(now, current)
        if kind in ("status", "limited", "auth"):
            return failure.status in self._rules.codes
        return True

    def _set_aside(self, now: float, failure: Failure, current: Try) -> None:
        """Note what not to ask at once, or not again, for this request."""
        kind, place = failure.kind, self._place(current.choice)
        if not isinstance(self._tried, set) or not isinstance(self._used, set):
            self._tried, self._used, self._failed = set(), set(), set()
            self._rests, self._limits = {}, {}
            self._next, self._pauses = None, 0
        if kind in ("limited", "auth"):
            self._used.add(current.credential)
            if kind == "auth":
                self._limits[current.credential] = _NEVER
            elif failure.retry_after is not None:
                self._limits[current.credential] = now + failure.retry_after
            if is_ready(current.choice.backend, now, self._used):
                return
        self._tried.add(place)
        if kind not in REPEATABLE:
            self._rests[place] = _NEVER
        elif kind != "limited" and failure.retry_after is not None:
            self._rests[place] = now + failure.retry_after

    def _larger(self, now: float) -> Command:
        """On to a model that can read more."""
        found: Try | None = None
        if self._on_context:
            wider, self._on_context = self._on_context, ()
            found = self._choose(now, wider)
            if found is not None:
                self._tiers = wider
                self._free += 1
        if found is None:
            found = self._next_model(now)
        return self._start(now, found) if found is not None else self._end("final")

    def _move_on(self, now: float, failure: Failure) -> Command:
        """On to another target, to another model, or to a pause."""
        retries = self.count - self._free <= self._rules.attempts
        if not retries and not self._models:
            return self._end("attempts")
        if failure.kind == "missing" and failure.status not in self._rules.codes:
            retries = False  # another model may be there; this one is not
        found = self._choose(now, self._tiers) if retries else None
        if found is None:
            found = self._next_model(now)
        if found is None:
            return self._again(now) if retries else self._end("none")
        if self._place(found.choice) in self._failed and not self._budget.spend(now):
            return self._end("budget")
        return self._start(now, found)

    def _again(self, now: float) -> Command:
        """Everything was asked once: ask again what may be asked soonest, after a pause."""
        rules = self._rules
        at = now + self._rng.random() * min(rules.max_backoff, rules.backoff * 2.0**self._pauses)
        if at >= self._deadline:
            return self._end("deadline")
        self._failed.update(self._tried)
        self._forget(at)
        found = self._choose(at, self._tiers, rested=True)
        if found is None:
            soonest = self._soonest(now, at)
            if soonest is None:
                return self._end("none")
            at, found = soonest
            self._forget(at)
        if not self._budget.spend(now):
            return self._end("budget")
        self._pauses += 1
        self._next = found
        self.phase = "waiting"
        return Wait(at - now)

    def _forget(self, at: float) -> None:
        """From `at` on all may be asked again, but for those that said later than that."""
        rests, limits = self._rests, self._limits
        self._tried = tried = {place for place, until in rests.items() if until > at}
        self._used = used = {each for each, until in limits.items() if until > at}
        if not used:
            return
        for tiers in (self._tiers, *self._models):
            for tier in tiers:
                for choice in tier:
                    if used.issuperset(choice.backend.credentials):
                        tried.add(self._place(choice))

    def _soonest(self, now: float, at: float) -> tuple[float, Try] | None:
        """Where nobody is ready at `at`: who is first after it, and when.

        What this request was told is kept to. A cool-down is waited for where that is not too long,
        and is else no obstacle: others were told, of other requests.
        """
        rests, limits = self._rests, self._limits
        for number, tiers in enumerate((self._tiers, *self._models)):
            found: list[tuple[tuple[bool, bool, float, float], Try]] = []
            for choice in [choice for tier in tiers for choice in tier]:
                health = choice.backend.health
                open_ = not health.available(at)
                if open_ and health.rules.when_all != "try":
                    continue
                rest = max(at, rests.get(self._place(choice), 0.0))
                for credential in choice.backend.credentials:
                    until = credential.cooldown.until
                    cooling = self._too_late(now, until)
                    when = max(rest, limits.get(credential, 0.0), 0.0 if cooling else until)
                    if not self._too_late(now, when):
                        found.append(((open_, cooling, when, until), Try(choice, credential)))
            if found:
                order, first = min(found, key=itemgetter(0))
                self._tiers, self._models = tiers, self._models[number:]
                return order[2], first
        return None

    def _too_late(self, now: float, at: float) -> bool:
        """Whether a pause until then is too long."""
        return at - now > self._rules.max_backoff or at >= self._deadline

    @staticmethod
    def _still(now: float, found: Try) -> bool:
        """Whether what was right before the pause is right after it."""
        well = found.choice.backend.health.available(now)
        return well and found.credential.cooldown.until <= now

    def _next_model(self, now: float) -> Try | None:
        """The first target of the next model on the caller's list that can be asked."""
        for at, tiers in enumerate(self._models):
            found = self._choose(now, tiers)
            if found is not None:
                self._tiers, self._models = tiers, self._models[at + 1 :]
                if self.count:
                    self._free += 1
                return found
        return None

    def _place(self, choice: Choice) -> _Place:
        return choice.backend, choice.asked or self._wishes.asked

    def _other_key(self, now: float, current: Try) -> bool:
        """Whether the same backend has another credential to try."""
        return is_ready(current.choice.backend, now, {current.credential, *self._used})

    def _has_other(self, now: float) -> bool:
        """Whether there is another target that may be asked, at once or after a pause."""
        rests = self._rests if isinstance(self._tried, set) else {}
        most = now + self._rules.max_backoff
        here = self._place(self.current.choice) if self.current is not None else None
        for tier in self._tiers:
            for choice in tier:
                place = self._place(choice)
                health = choice.backend.health
                usable = health.available(now) or health.rules.when_all == "try"
                if usable and place != here and rests.get(place, 0.0) <= most:
                    return True
        return False

    def _choose(self, now: float, tiers: Tiers, *, rested: bool = False) -> Try | None:
        """The best target that was not tried and is not left alone; None if there is none.
        `rested`: nor one whose credentials all cool down."""
        tried, wishes, used = self._tried, self._wishes, self._used
        resting: list[Choice] = []
        if wishes.origin:
            home = self._home(now, tiers)
            if home is not None and not (rested and home.credential.cooldown.until > now):
                return home
        for tier in tiers:
            able: list[Choice] = []
            for choice in tier:
                backend = choice.backend
                if not backend.health.available(now) or (tried and self._place(choice) in tried):
                    continue
                (able if is_ready(backend, now, used) else resting).append(choice)
            if able:
                choice = able[0] if len(able) == 1 else best(able, wishes, now, self._rng)
                return Try(choice, ready(choice.backend, now, used))
        if rested or not resting:
            return None
        soonest = min(resting, key=lambda c: ready(c.backend, now, used).cooldown.until)
        return Try(soonest, ready(soonest.backend, now, used))

    def _home(self, now: float, tiers: Tiers) -> Try | None:
        """The account that holds what the request continues, if it can be asked."""
        origin, used = self._wishes.origin, self._used
        for tier in tiers:
            for choice in tier:
                backend = choice.backend
                if not backend.health.available(now) or self._place(choice) in self._tried:
                    continue
                others = [c for c in backend.credentials if c in used or origin not in c.homes]
                if len(others) < len(backend.credentials):
                    return Try(choice, ready(backend, now, others))
        return None

    def _left_alone(self, now: float) -> Try | None:
        """One that the breaker leaves alone and that is to be tried all the same, if all are."""
        for at, tiers in enumerate((self._tiers, *self._models)):
            for tier in tiers:
                for choice in tier:
                    backend = choice.backend
                    anyway = backend.health.rules.when_all == "try"
                    if anyway and self._place(choice) not in self._tried:
                        self._tiers, self._models = tiers, self._models[at:]
                        return Try(choice, ready(backend, now, self._used))
        return None

    def _all_open(self, now: float) -> GiveUp:
        """Every target is left alone."""
        choices = [c for tiers in (self._tiers, *self._models) for tier in tiers for c in tier]
        if not choices:
            return self._end("none")
        return self._end("open", min([c.backend.health.opens_in(now) for c in choices]))
