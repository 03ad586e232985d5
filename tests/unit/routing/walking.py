"""A walk over everything that can happen to one request, and what has to hold at every step.

`Walk` is one machine with its surroundings and a clock. `explore` tries every event after every
other, a layer at a time; two ways to the same state are followed once.
"""

from collections.abc import Callable, Iterable
from typing import Any

from tests.unit.routing.making import START, Loaded, tiers

from portico.config.settings import RetrySettings
from portico.routing.attempts import Attempts, Command, GiveUp, Try, Wait
from portico.routing.budget import RetryBudget
from portico.routing.failures import Failure
from portico.routing.plan import NO_WISHES, Backend, Tiers, Wishes

DEADLINE = START + 30.0
TRYING = ("connecting", "sent", "answering")

FAILURES: dict[str, Failure] = {
    "connect": Failure("connect"),
    "stale": Failure("stale"),
    "timeout": Failure("timeout"),
    "late": Failure("late"),
    "truncated": Failure("truncated"),
    "protocol": Failure("protocol"),
    "full": Failure("full"),
    "503": Failure("status", 503),
    "503 for 1 s": Failure("status", 503, 1.0),
    "503 for 60 s": Failure("status", 503, 60.0),
    "409": Failure("status", 409),
    "400": Failure("status", 400),
    "429": Failure("limited", 429),
    "429 for 2 s": Failure("limited", 429, 2.0),
    "429 for 100 s": Failure("limited", 429, 100.0),
    "401": Failure("auth", 401),
    "too long": Failure("context", 400),
    "no such model": Failure("missing", 404),
    "unfit": Failure("unfit"),
    "final": Failure("final", 400),
}
HAPPENINGS = (
    "connected", "first byte", "gone", "expired", "time", "reload", "resumed", "ok", "broken",
)  # fmt: skip
"""`time`: the deadline passes without anybody saying so."""
EVERYTHING = (*HAPPENINGS, *FAILURES)
SOME = (*HAPPENINGS, "connect", "stale", "timeout", "503", "429", "401", "too long", "final")
CORE = ("connected", "first byte", "gone", "expired", "reload", "resumed", "ok", "stale", "timeout",
        "503", "429", "too long")  # fmt: skip


class Plan:
    """What a request may be sent to. `begin` may have been made to happen to it before."""

    def __init__(
        self,
        *groups: list[Backend],
        rules: RetrySettings | None = None,
        models: tuple[list[Backend], ...] = (),
        on_context: list[Backend] | None = None,
        tokens: int = 100,
        wishes: Wishes = NO_WISHES,
    ) -> None:
        self.tiers: Tiers = tiers(*groups)
        self.rules = rules or RetrySettings()
        self.models = tuple(tiers(each) for each in models)
        self.on_context: Tiers = tiers(on_context) if on_context else ()
        self.tokens = tokens
        self.wishes = wishes
        everything = [*groups, *models, on_context or []]
        self.backends = list(dict.fromkeys(each for group in everything for each in group))


class Purse(RetryBudget):
    """A budget that counts what was spent."""

    def __init__(self, tokens: int) -> None:
        super().__init__(0.0, tokens / 10.0, START)
        self.spent = 0

    def spend(self, now: float) -> bool:
        paid = super().spend(now)
        self.spent += paid
        return paid


class Walk:
    """One request on its way. Every step checks what the machine promises."""

    def __init__(self, plan: Plan, shows: float) -> None:
        self.plan = plan
        self.now = START
        self.purse = Purse(plan.tokens)
        self.machine = Attempts(
            plan.tiers, plan.rules, self.purse, DEADLINE, Loaded(shows), plan.wishes, plan.models,
            plan.on_context,
        )  # fmt: skip
        self.tries: list[Try] = []
        self.commands: list[Command] = []
        self.paid = 0
        self.free = self.fresh = 0
        self.asked_before: set[Any] = set()
        self.repeated = self.moved = False
        self.barred = False  # there must be no further try
        self.paused = True
        self._took(self.machine.begin(self.now), None)
        self.check()

    def step(self, event: str) -> None:
        """Let it happen, and check what came of it."""
        machine = self.machine
        phase, count, spent = machine.phase, machine.count, self.purse.spent
        if event in FAILURES:
            self.now += 0.001
            self._fail(FAILURES[event], phase)
        elif event == "connected":
            machine.connected()
        elif event == "first byte":
            machine.first_byte()
            self.barred |= phase in TRYING
        elif event == "gone":
            self._over(machine.gone())
        elif event == "expired":
            self._over(machine.expired())
        elif event == "time":
            self.now = max(self.now, DEADLINE + 0.5)
            self.barred |= phase != "idle"
        elif event == "reload":
            machine.reloaded()
        elif event == "resumed":
            self._resume(phase)
        else:
            machine.finished(self.now, 0.1, "upstream_truncated" if event == "broken" else "")
            assert machine.phase != phase or phase not in TRYING
        if phase == "over":
            assert machine.phase == "over", "it ends once"
            assert (machine.count, self.purse.spent) == (count, spent)
        self.check()

    def _over(self, command: GiveUp) -> None:
        self.barred = True
        assert isinstance(command, GiveUp)
        assert self.machine.phase == "over"

    def _resume(self, phase: str) -> None:
        if phase == "waiting":
            waited = self.commands[-1]
            assert isinstance(waited, Wait)
            self.now = max(self.now, self.now + waited.seconds)
            self.paused = True
        command = self.machine.resumed(self.now)
        if phase == "waiting":
            assert not isinstance(command, Wait)
            self._took(command, None)
        else:
            assert isinstance(command, GiveUp)

    def _fail(self, failure: Failure, phase: str) -> None:
        machine = self.machine
        usable = {each: each.health.available(self.now) for each in self.plan.backends}
        expected = machine.would_go_on(self.now, failure)
        command = machine.failed(self.now, failure)
        if phase not in TRYING:
            assert isinstance(command, GiveUp)
            return
        if isinstance(command, GiveUp):
            self.commands.append(command)
            return
        assert expected, "what was said before held"
        assert self.may_follow(failure), f"never retried: {failure}"
        if isinstance(command, Try) and failure.kind != "stale":
            tried = command.choice.backend
            assert usable[tried] or tried is self.tries[-1].choice.backend
        self._took(command, failure)

    def may_follow(self, failure: Failure) -> bool:
        """Whether anything may follow this failure, by what is promised."""
        plan, rules, last = self.plan, self.plan.rules, self.tries[-1]
        further = bool(plan.models)
        if failure.kind == "context":
            return (bool(plan.on_context) and not self.moved) or further
        if failure.kind == "missing":
            return further
        if failure.kind == "auth":
            other = len(last.choice.backend.credentials) > 1 or failure.status in rules.codes
            return other and bool(rules.attempts or further)
        if failure.kind in ("status", "limited"):
            return failure.status in rules.codes and bool(rules.attempts or further)
        return failure.kind != "final" and bool(rules.attempts or further)

    def _took(self, command: Command, failure: Failure | None) -> None:
        """Note a command that came of the beginning, of a failure or of the end of a pause."""
        self.commands.append(command)
        if isinstance(command, GiveUp):
            return
        assert not self.barred, "nothing more is tried"
        if isinstance(command, Wait):
            assert self.now + command.seconds < DEADLINE
            assert 0.0 <= command.seconds <= self.plan.rules.max_backoff
            self.paid += 1  # whoever is asked then has failed this request
            self.asked_before.update(_place(each) for each in self.tries)
            return
        if failure is not None:
            self._why(command, failure)
        self._which_key(command)
        self.tries.append(command)
        self.paused = False

    def _why(self, command: Try, failure: Failure) -> None:
        """A try at once after a failure: a repetition, a move, or a retry that was paid for."""
        last = self.tries[-1]
        if failure.kind == "stale" and not self.repeated and self.plan.rules.attempts:
            self.repeated = True
            self.free += 1
            assert (command.choice, command.credential) == (last.choice, last.credential)
            return
        if failure.kind == "context":
            self.moved = True
            self.free += 1
        elif _place(command) in self.asked_before:
            self.paid += 1
        else:
            self.fresh += 1
        if command.choice.backend is last.choice.backend:
            assert command.credential is not last.credential, "not twice without a pause"

    def _which_key(self, command: Try) -> None:
        """A credential that rests is taken only where all of its backend do."""
        backend = command.choice.backend
        if command.credential.cooldown.until > self.now:
            assert all(each.cooldown.until > self.now for each in backend.credentials)

    def check(self) -> None:
        """What holds at any time."""
        machine, plan = self.machine, self.plan
        loads = [each.health.in_flight for each in plan.backends]
        assert min(loads, default=0) >= 0
        assert sum(loads) == (1 if machine.phase in TRYING else 0), "settled once, and only once"
        if machine.phase in TRYING:
            assert self.tries[-1].choice.backend.health.in_flight == 1
            assert machine.current is self.tries[-1]
        else:
            for each in plan.backends:
                if each.health.state(self.now) == "half_open":
                    assert each.health.available(self.now), "nobody keeps the place of the probe"
        assert machine.count == len(self.tries)
        most = 1 + plan.rules.attempts + self.repeated + self.moved + len(plan.models)
        assert machine.count <= most
        assert self.purse.spent == self.paid <= plan.tokens
        assert machine.measured in (True, False)

    def state(self) -> Any:
        """All that the future depends on."""
        return _frozen([
            self.now, self.purse, self.machine, self.plan.backends, self.repeated, self.moved,
            self.barred, self.free, self.commands[-1],
        ])  # fmt: skip


def _place(asked: Try) -> tuple[Backend, str]:
    return asked.choice.backend, asked.choice.asked


def _frozen(thing: Any) -> Any:
    if isinstance(thing, float | int | str | None):
        return thing
    if isinstance(thing, list | tuple):
        return tuple([_frozen(each) for each in thing])
    if isinstance(thing, Backend):
        health = thing.health
        return (
            thing.name,
            thing.turn,
            *[getattr(health, name) for name in _HEALTH],
            *[
                (each.cooldown.until, each.cooldown._since, each.cooldown._strikes)
                for each in thing.credentials
            ],
        )
    if isinstance(thing, Try):
        return (thing.choice.backend.name, thing.choice.asked, thing.credential.target)
    if isinstance(thing, Attempts):
        return (
            thing.phase, thing.count, thing._free, thing._stale, getattr(thing, "_pauses", 0),
            getattr(thing, "_began", 0.0),
            len(thing._models), len(thing._on_context), thing.quiet,
            tuple(each.backend.name for tier in thing._tiers for each in tier),
            _frozen(thing.current), _frozen(getattr(thing, "_next", None)),
            frozenset((place.name, asked) for place, asked in getattr(thing, "_failed", ())),
            frozenset((key.target, at) for key, at in getattr(thing, "_limits", {}).items()),
            frozenset((place.name, asked) for place, asked in thing._tried),
            frozenset(
                (at[0].name, at[1], until) for at, until in getattr(thing, "_rests", {}).items()
            ),
            frozenset(each.target for each in thing._used),
        )  # fmt: skip
    if isinstance(thing, Purse):
        return thing.spent
    return repr(thing)


_HEALTH = ("in_flight", "_row", "_open_until", "_opened_at", "_probe_at", "_seen_at", "well",
           "latency", "opened", "failures", "successes")  # fmt: skip


def explore(
    make: Callable[[], Plan], alphabet: Iterable[str], depth: int, shows: float = 0.25
) -> int:
    """Every order of events, `depth` of them. Returns how many steps were made."""
    alphabet = tuple(alphabet)
    layer: list[tuple[str, ...]] = [()]
    seen: set[Any] = set()
    steps = 0
    for _ in range(depth):
        following: list[tuple[str, ...]] = []
        for path in layer:
            for event in alphabet:
                way = (*path, event)
                walk = walked(make(), way, shows)
                steps += 1
                state = walk.state()
                if state in seen:
                    continue
                seen.add(state)
                if walk.machine.phase != "over":
                    following.append(way)
                    continue
                for after in alphabet:  # nothing happens any more, whatever happens
                    walk.step(after)
        layer = following
    return steps


def walked(plan: Plan, way: Iterable[str], shows: float = 0.25) -> Walk:
    """A request to which all this happened."""
    walk = Walk(plan, shows)
    for event in way:
        try:
            walk.step(event)
        except Exception as error:
            raise AssertionError(f"{event!r} in {' > '.join(way)}: {error!r}") from error
    return walk
