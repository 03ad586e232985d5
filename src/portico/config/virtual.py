"""The `llm:` form: virtual models, aliases, mirrors: whatever names another entry of the list."""

from typing import Literal

from msgspec import Struct

from portico.config import resilience, values
from portico.config.callers import checked
from portico.config.conditions import condition
from portico.config.errors import Path, Report
from portico.config.schema import Llm
from portico.config.schema_routing import (
    Conditional,
    Failover,
    RequestMirror,
    Routing,
    VirtualModel,
    Weighted,
)
from portico.config.settings import Mirror, VirtualSettings, VirtualTarget
from portico.model.names import covers

MAX_MODELS = 256
"""Models that one virtual model may come to, counted once for every way to them."""

MAX_DEPTH = 8
"""Virtual models that name each other, one after the other."""

_TOP: Path = ("llm",)
_LISTS: tuple[Path, ...] = ((*_TOP, "models"), (*_TOP, "virtualModels"))


class Names:
    """What may be named: models, patterns of models, virtual models."""

    __slots__ = ("_exact", "_patterns", "_report")

    def __init__(self, llm: Llm, report: Report) -> None:
        models = [entry.name for entry in llm.models]
        self._exact = {name for name in models if "*" not in name}
        self._exact |= {entry.name for entry in llm.virtual_models}
        self._patterns = [name for name in models if "*" in name]
        self._report = report

    def check(self, name: str, path: Path, own: str | None = None) -> None:
        """Report what is wrong with `name` at `path`; `own` is the entry that says it."""
        if "*" in name:
            self._report.add(path, "has to name one model, without *")
        elif name == own:
            self._report.add(path, "is this very model")
        elif not self._has(name) and all(self._report.sound(group) for group in _LISTS):
            self._report.add(path, "no entry of llm.models or llm.virtualModels has this name")

    def _has(self, name: str) -> bool:
        return name in self._exact or any(covers(p, name) for p in self._patterns)


def mirror(block: RequestMirror | None, own: str, path: Path, names: Names) -> Mirror | None:
    """A mirror of the entry `own`."""
    if block is None:
        return None
    names.check(block.model, (*path, "requestMirror", "model"), own)
    return Mirror(model=block.model, share=block.percentage)


def aliases(llm: Llm, names: Names, report: Report) -> dict[str, str]:
    """Asked name or pattern -> the name of an entry."""
    path = (*_TOP, "policies", "ai", "modelAliases")
    written = llm.policies.ai.model_aliases
    taken = {entry.name for entry in llm.models} | {entry.name for entry in llm.virtual_models}
    for alias, model in written.items():
        where = (*path, alias)
        checked(values.model_pattern, alias, where, report)
        if alias in taken:
            report.add(where, "a model has this name")
        if model in written:
            report.add(where, "names another alias; name the model itself")
        else:
            names.check(model, where)
    return dict(written)


def virtual_models(llm: Llm, names: Names, report: Report) -> tuple[VirtualSettings, ...]:
    """The virtual models. Problems go to `report`."""
    out: list[VirtualSettings] = []
    models = {entry.name for entry in llm.models}
    seen: set[str] = set()
    for i, entry in enumerate(llm.virtual_models):
        path = (*_TOP, "virtualModels", i)
        if "*" in entry.name:
            report.add((*path, "name"), "the name of a virtual model has no *")
        if entry.name in models:
            report.add((*path, "name"), "a model has this name")
        if entry.name in seen:
            report.add((*path, "name"), "another virtual model has this name")
        seen.add(entry.name)
        found = _one(entry, llm, path, names, report)
        if found is not None:
            out.append(found)
    _Circles(llm, out, report).check()
    return tuple(out)


def _one(
    entry: VirtualModel, llm: Llm, path: Path, names: Names, report: Report
) -> VirtualSettings | None:
    said = _said(entry.routing)
    if len(said) != 1:
        report.add(
            (*path, "routing"), "exactly one of weighted, failover and conditional is needed"
        )
        return None
    block = said[0]
    resilience.check_retry(entry.retry, (*path, "retry"), report)
    policies = llm.policies
    choice = _choice(block, (*path, "routing"), names, report)
    return VirtualSettings(
        name=entry.name,
        routing=choice.routing,
        targets=choice.targets,
        sort=block.sort if isinstance(block, Failover) else None,
        visibility=entry.visibility,
        retry=None if entry.retry is None else resilience.retry(entry.retry, policies.retry),
        # Its own block alone: with the rules for every model it would win over those of a model.
        timeout=None if entry.timeout is None else resilience.timeout(entry.timeout),
        mirror=mirror(entry.request_mirror, entry.name, path, names),
    )


def _said(routing: Routing) -> list[Weighted | Failover | Conditional]:
    ways = (routing.weighted, routing.failover, routing.conditional)
    return [way for way in ways if way is not None]


class _Choice(Struct, frozen=True):
    routing: Literal["weighted", "failover", "conditional"]
    targets: tuple[VirtualTarget, ...]


def _choice(
    block: Weighted | Failover | Conditional, path: Path, names: Names, report: Report
) -> _Choice:
    if isinstance(block, Weighted):
        choice = _Choice(
            "weighted", tuple(VirtualTarget(model=t.model, weight=t.weight) for t in block.targets)
        )
    elif isinstance(block, Failover):
        choice = _Choice(
            "failover",
            tuple(VirtualTarget(model=t.model, priority=t.priority) for t in block.targets),
        )
    else:
        where = (*path, "conditional", "targets")
        choice = _Choice("conditional", _conditional(block, where, report))
    where = (*path, choice.routing, "targets")
    for i, target in enumerate(choice.targets):
        names.check(target.model, (*where, i, "model"))
    if not choice.targets:
        report.add(where, "list at least one target")
    elif not any(target.weight for target in choice.targets):
        report.add(where, "all weights are 0: nothing could be chosen")
    return choice


def _conditional(block: Conditional, path: Path, report: Report) -> tuple[VirtualTarget, ...]:
    out: list[VirtualTarget] = []
    for i, target in enumerate(block.targets):
        where = (*path, i)
        if target.when is None:
            if i + 1 < len(block.targets):
                report.add(where, "only the last target may be without when")
            out.append(VirtualTarget(model=target.model))
        else:
            when = condition(target.when, (*where, "when"), report)
            out.append(VirtualTarget(model=target.model, when=when))
    return tuple(out)


class _Circles:
    """Virtual models that come to themselves, to too many, or go too deep."""

    def __init__(self, llm: Llm, found: list[VirtualSettings], report: Report) -> None:
        self._at = {entry.name: i for i, entry in enumerate(llm.virtual_models)}
        self._by_name = {virtual.name: virtual for virtual in found}
        self._report = report
        self._known: dict[str, tuple[int, int]] = {}

    def check(self) -> None:
        """Report them."""
        for name in self._by_name:
            self._size(name, ())

    def _size(self, name: str, above: tuple[str, ...]) -> tuple[int, int]:
        """How many models `name` comes to, and by how many steps at most."""
        virtual = self._by_name.get(name)
        if virtual is None:
            return 1, 0
        if name in above:
            circle = [f"virtualModels[{self._at[n]}]" for n in (*above[above.index(name) :], name)]
            self._add(name, f"goes round in circles: {' -> '.join(circle)}")
            return 0, 0
        if name not in self._known and len(above) > MAX_DEPTH:
            return 1, len(above)
        if name not in self._known:
            below = [self._size(target.model, (*above, name)) for target in virtual.targets]
            count, depth = sum(c for c, _ in below), 1 + max((d for _, d in below), default=0)
            if count > MAX_MODELS:
                self._add(name, f"comes to more than {MAX_MODELS} models")
            if depth > MAX_DEPTH:
                self._add(name, f"names others more than {MAX_DEPTH} deep")
            self._known[name] = count, depth
        return self._known[name]

    def _add(self, name: str, message: str) -> None:
        self._report.add((*_TOP, "virtualModels", self._at[name], "routing"), message)
