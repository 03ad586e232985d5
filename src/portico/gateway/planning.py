"""The models of a route -> the plan behind each name that callers may ask for."""

from collections.abc import Callable, Iterable

from msgspec import structs

from portico.config.errors import ConfigError, Problem
from portico.config.settings import (
    ModelSettings,
    RetrySettings,
    RouteSettings,
    TimeoutSettings,
    VirtualSettings,
    VirtualTarget,
    When,
)
from portico.gateway.assembly import Targets
from portico.gateway.target import Patience, Target
from portico.model.targets import CredentialView, TargetView
from portico.routing.attempts import Try
from portico.routing.budget import RetryBudget
from portico.routing.expressions import CelMatcher
from portico.routing.matching import Facts, compile_condition
from portico.routing.plan import (
    Backend,
    Conditional,
    Failover,
    Node,
    One,
    Sort,
    Tiers,
    Weighted,
    Wishes,
)
from portico.routing.router import Router


class Entry:
    """One name that callers may ask for, or a pattern of names.

    `node` is what it stands for and `backends` all that it may come to; `retry`, `timeout` and
    `mirror` are its rules; `budget` its retries; `patience` its own deadlines, by target, where it
    has any. `on_context` is what to ask when a conversation is too long. `decided` are the targets
    where they do not depend on the request, and `larger` those for a conversation that is too long
    for them; `single`: there is but one, and `only` is to ask it.
    """

    __slots__ = (
        "backends", "budget", "decided", "larger", "mirror", "mirrored_as", "name", "node",
        "on_context", "only", "patience", "public", "retry", "share", "single", "sort", "target",
        "timeout", "wishes",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        public: bool,
        node: Node,
        backends: tuple[Backend, ...],
        retry: RetrySettings,
        timeout: TimeoutSettings,
        budget: RetryBudget,
        sort: Sort | None = None,
    ) -> None:
        self.name = name
        self.public = public
        self.node = node
        self.backends = backends
        self.retry = retry
        self.timeout = timeout
        self.sort: Sort | None = sort
        self.budget = budget
        self.single = len(backends) == 1 and len(backends[0].credentials) == 1
        self.decided: Tiers | None = node.fixed if sort != "cost" else None
        self.only: Try | None = None
        if self.single and self.decided:
            self.only = Try(self.decided[0][0], backends[0].credentials[0])
        self.wishes = Wishes(sort=sort)
        self.on_context: Node | None = None
        self.larger: Tiers = ()
        self.mirror: Entry | None = None
        self.mirrored_as = ""
        self.patience: dict[Target, Patience] = {}
        self.share = 0.0
        self.target: Target = backends[0].credentials[0].target

    @property
    def targets(self) -> list[Target]:
        """All that a request may be sent to."""
        return [credential.target for each in self.backends for credential in each.credentials]


def entries_of(settings: RouteSettings, targets: Targets, route: str) -> tuple[Entry, ...]:
    """The entries of a route, in the order of the document: models, then virtual ones. `route`
    tells it from others. Raises `ConfigError`."""
    return _Planner(settings, targets, route).entries()


class _Planner:
    """Builds what names stand for; each model once."""

    def __init__(self, settings: RouteSettings, targets: Targets, route: str) -> None:
        self._settings = settings
        self._targets = targets
        self._route = route
        self._backends = {model.name: targets.backend(model, route) for model in settings.models}
        self._models: Router[ModelSettings] = Router((m.name, m) for m in settings.models)
        self._virtual = {each.name: each for each in settings.virtual}

    def entries(self) -> tuple[Entry, ...]:
        """All of them, with what they refer to."""
        out = [self._model(model) for model in self._settings.models]
        out += [self._virtual_entry(each) for each in self._settings.virtual]
        by_name = {entry.name: entry for entry in out}
        mirrors = [(model.name, model.mirror) for model in self._settings.models]
        mirrors += [(virtual.name, virtual.mirror) for virtual in self._settings.virtual]
        for name, mirror in mirrors:
            if mirror is not None:
                by_name[name].mirror = self._named(mirror.model, by_name)
                by_name[name].mirrored_as = mirror.model
                by_name[name].share = mirror.share
        return tuple(out)

    def _model(self, model: ModelSettings) -> Entry:
        backend = self._backends[model.name]
        entry = Entry(
            model.name,
            model.visibility == "public",
            One(backend),
            (backend,),
            model.retry,
            model.timeout,
            self._targets.budget(f"{self._route}/{model.name}", model.retry),
        )
        self._enlarge(entry, (model,))
        return entry

    def _enlarge(self, entry: Entry, models: Iterable[ModelSettings]) -> None:
        """What the first of `models` that has somewhere to go on to says is what the entry does."""
        name = next((m.fallback_on_context for m in models if m.fallback_on_context), None)
        if name is None:
            return
        entry.on_context = larger = self._node(name, ())
        if larger.fixed is not None:
            entry.larger = larger.fixed
        else:
            entry.decided = None

    def _virtual_entry(self, virtual: VirtualSettings) -> Entry:
        node = self._choice(virtual, ())
        backends = tuple(dict.fromkeys(self._reached(virtual, ())))
        named = {model.name: model for model in self._settings.models}
        models = [named[backend.name] for backend in backends]
        retry = virtual.retry or models[0].retry
        timeout = virtual.timeout or models[0].timeout
        if timeout.request is None:
            timeout = structs.replace(timeout, request=models[0].timeout.request)
        entry = Entry(
            virtual.name,
            virtual.visibility == "public",
            node,
            backends,
            retry,
            timeout,
            self._targets.budget(f"{self._route}/{virtual.name}", retry),
            virtual.sort,
        )
        if virtual.timeout is not None:
            entry.patience = {target: Patience(target, virtual.timeout) for target in entry.targets}
        self._enlarge(entry, models)
        return entry

    def _named(self, name: str, by_name: dict[str, Entry]) -> Entry:
        if name in by_name:
            return by_name[name]
        return by_name[self._find(name).name]

    def _find(self, name: str) -> ModelSettings:
        model = self._models.find(name)
        if model is None:
            raise ConfigError([Problem(path="models", message=f"no model is called {name!r}")])
        return model

    def _node(self, name: str, above: tuple[str, ...]) -> Node:
        """What `name` stands for as a part of another."""
        virtual = self._virtual.get(name)
        if virtual is not None:
            return self._choice(virtual, above)
        model = self._find(name)
        return One(self._backends[model.name], "" if model.keeps_name else name)

    def _choice(self, virtual: VirtualSettings, above: tuple[str, ...]) -> Node:
        if virtual.name in above:
            raise ConfigError([Problem(path="virtualModels", message="they go round in circles")])
        above = (*above, virtual.name)
        targets = virtual.targets
        nodes = tuple(self._node(target.model, above) for target in targets)
        if virtual.routing == "weighted":
            return Weighted(nodes, tuple(target.weight for target in targets))
        if virtual.routing == "conditional":
            return Conditional(
                tuple(
                    (_holds(target.when), node) for target, node in zip(targets, nodes, strict=True)
                )
            )
        return Failover(_groups(targets, nodes))

    def _reached(self, virtual: VirtualSettings, above: tuple[str, ...]) -> list[Backend]:
        out: list[Backend] = []
        for target in virtual.targets:
            inner = self._virtual.get(target.model)
            if inner is not None and inner.name not in above:
                out += self._reached(inner, (*above, virtual.name))
            elif inner is None:
                out.append(self._backends[self._find(target.model).name])
        return out


def _groups(
    targets: tuple[VirtualTarget, ...], nodes: tuple[Node, ...]
) -> tuple[tuple[Node, ...], ...]:
    by_priority: dict[int, list[Node]] = {}
    for target, node in zip(targets, nodes, strict=True):
        by_priority.setdefault(target.priority, []).append(node)
    return tuple(tuple(by_priority[priority]) for priority in sorted(by_priority))


def _holds(when: When | None) -> Callable[[Facts], bool] | None:
    if when is None:
        return None
    return CelMatcher(when).matches if isinstance(when, str) else compile_condition(when).matches


def view(backend: Backend, now: float) -> TargetView:
    """How a backend is, for operators."""
    health = backend.health
    calls, failures = health.recent(now)
    return TargetView(
        name=backend.name,
        provider=backend.provider,
        model=backend.credentials[0].target.model or "",
        state=health.state(now),
        open_for=round(health.opens_in(now), 3),
        in_flight=health.in_flight,
        latency=round(health.latency, 6),
        tokens_per_second=round(health.throughput, 3),
        calls=calls,
        failures=failures,
        successes_total=health.successes,
        failures_total=health.failures,
        opened_total=health.opened,
        last_error=health.last_error,
        credentials=tuple(
            CredentialView(
                number=number,
                cooling_for=round(max(0.0, credential.cooldown.until - now), 3),
                cooled=credential.cooldown.cooled,
            )
            for number, credential in enumerate(backend.credentials, 1)
        ),
    )
