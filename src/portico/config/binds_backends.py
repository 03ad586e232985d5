"""The `binds:` form: the backends of a route -> the models behind its names.

One backend with one provider is a model of the name `*`, and one for every alias. Several become
models that only the gateway can ask for, and `*` a virtual model that chooses among them: groups
by priority, backends by weight.
"""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct, structs

from portico.config import resilience, shaping, values
from portico.config.callers import checked
from portico.config.clouds import CloudKey
from portico.config.errors import Path, Report
from portico.config.kinds import ALIASES
from portico.config.references import Env
from portico.config.schema import (
    AiBackend,
    AiTarget,
    Backend,
    BackendAuth,
    BackendPolicies,
    ProviderBody,
    Route,
)
from portico.config.schema_shaping import Rules
from portico.config.settings import (
    Mirror,
    ModelSettings,
    Shaping,
    StateMode,
    VirtualSettings,
    VirtualTarget,
)
from portico.config.upstream import Upstream, provider

MAX_MODELS = 4096
"""Providers times names, in one route."""

Levels: TypeAlias = tuple[tuple[BackendPolicies, Path], ...]
"""The policies that hold for a provider, the innermost first, and where they are written."""


class Served(Struct, frozen=True):
    """What a route has."""

    models: tuple[ModelSettings, ...] = ()
    virtual: tuple[VirtualSettings, ...] = ()


class _Place(Struct, frozen=True):
    """A provider of a route: in which backend, in which of its groups."""

    backend: int
    group: int
    model: ModelSettings


def served(route: Route, mode: StateMode, path: Path, env: Env, report: Report) -> Served:
    """The models and virtual models of a route. Problems go to `report`."""
    return _Compiler(route, mode, path, env, report).served()


class _Compiler:
    def __init__(self, route: Route, mode: StateMode, path: Path, env: Env, report: Report) -> None:
        self._route = route
        self._mode = mode
        self._path = path
        self._env = env
        self._report = report
        self._aliases = route.policies.ai.model_aliases
        self._taken = {"*", *self._aliases}
        self._checked: set[Path] = set()
        self._shaping = self._rules()

    def served(self) -> Served:
        """All of it."""
        self._check_aliases()
        places = self._places()
        mirror = self._mirror()
        if not places:
            return Served()
        if len(places) == 1:
            return self._single(places[0].model, mirror)
        return self._several(places, mirror)

    # --- one provider ---------------------------------------------------------------------------

    def _single(self, every: ModelSettings, mirror: ModelSettings | None) -> Served:
        models: list[ModelSettings] = []
        mirrors: list[ModelSettings] = []
        for alias, model in (*self._aliases.items(), ("*", None)):
            one = every
            if model is not None:
                one = structs.replace(every, name=alias, model=model, strip_prefix="")
            models.append(structs.replace(one, mirror=self._to(mirror, model, mirrors)))
        return Served((*models, *mirrors))

    # --- several --------------------------------------------------------------------------------

    def _several(self, places: Sequence[_Place], mirror: ModelSettings | None) -> Served:
        if (len(self._aliases) + 1) * len(places) > MAX_MODELS:
            self._report.add(
                (*self._path, "backends"),
                f"providers and aliases come to more than {MAX_MODELS} models",
            )
            return Served()
        internal = [
            structs.replace(place, model=self._internal(place.model, "backend")) for place in places
        ]
        models = [place.model for place in internal]
        virtual: list[VirtualSettings] = []
        mirrors: list[ModelSettings] = []
        for alias, model in (*self._aliases.items(), ("*", None)):
            chosen = internal
            if model is not None:
                chosen = [self._aliased(place, model, models) for place in internal]
            virtual += self._choices(alias, chosen, self._to(mirror, model, mirrors))
        return Served((*models, *mirrors), tuple(virtual))

    def _aliased(self, place: _Place, model: str, models: list[ModelSettings]) -> _Place:
        """The place with a model for an alias; one that always asks for its own model keeps it."""
        if place.model.model is not None:
            return place
        models.append(self._variant(place.model, model))
        return structs.replace(place, model=models[-1])

    def _choices(
        self, name: str, places: Sequence[_Place], mirror: Mirror | None
    ) -> list[VirtualSettings]:
        """The virtual model `name`, and before it those of backends with groups."""
        by_backend: dict[int, list[_Place]] = {}
        for place in places:
            by_backend.setdefault(place.backend, []).append(place)
        if len(by_backend) == 1:
            return [_failover(name, places, mirror)]
        out: list[VirtualSettings] = []
        targets: list[VirtualTarget] = []
        for i, group in by_backend.items():
            chosen = group[0].model.name
            if len(group) > 1:
                chosen = self._name(f"groups:{group[0].model.provider.name}")
                inner = _failover(chosen, group, None)
                out.append(structs.replace(inner, visibility="internal"))
            weight = self._route.backends[i].weight
            targets.append(VirtualTarget(model=chosen, weight=weight))
        out.append(
            VirtualSettings(name=name, routing="weighted", targets=tuple(targets), mirror=mirror)
        )
        return out

    def _internal(self, model: ModelSettings, kind: str) -> ModelSettings:
        name = self._name(f"{kind}:{model.provider.name}")
        return structs.replace(model, name=name, visibility="internal", keeps_name=True)

    def _variant(self, model: ModelSettings, upstream: str) -> ModelSettings:
        return structs.replace(model, name=self._name(model.name), model=upstream, strip_prefix="")

    def _name(self, wanted: str) -> str:
        """`wanted`, or with a number where that is taken. Callers ask for no such names."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name)
        return name

    # --- mirrors --------------------------------------------------------------------------------

    def _mirror(self) -> ModelSettings | None:
        policy = self._route.policies.request_mirror
        if policy is None:
            return None
        path = (*self._path, "policies", "requestMirror", "backend")
        found = self._targets(policy.backend, path)
        if len(found) > 1:
            self._report.add((*path, "ai", "groups"), "a mirror has one provider")
        if not found:
            return None
        _, target, at = found[0]
        # The credentials of a route are not for whoever gets a copy.
        levels = _levels(policy.backend, path, target, at)
        self._check_levels(levels)
        model = self._model(target, at, levels, None)
        return None if model is None else self._internal(model, "mirror")

    def _to(
        self, mirror: ModelSettings | None, upstream: str | None, mirrors: list[ModelSettings]
    ) -> Mirror | None:
        """The mirror for an alias with that upstream id; None for all other names."""
        policy = self._route.policies.request_mirror
        if mirror is None or policy is None:
            return None
        if upstream is not None and mirror.model is None:
            mirror = self._variant(mirror, upstream)
        if mirror not in mirrors:
            mirrors.append(mirror)
        return Mirror(model=mirror.name, share=policy.percentage)

    # --- reading --------------------------------------------------------------------------------

    def _rules(self) -> Shaping | None:
        """What the route changes about requests and answers."""
        policies, path = self._route.policies, (*self._path, "policies")
        shaping.check_body(policies.ai, (*path, "ai"), self._report)
        for key, changes, towards in (
            ("requestHeaderModifier", policies.request_header_modifier, True),
            ("responseHeaderModifier", policies.response_header_modifier, False),
        ):
            shaping.check_headers(changes, (*path, key), self._report, towards_provider=towards)
        return shaping.shaping(
            [
                Rules(
                    defaults=policies.ai.defaults,
                    overrides=policies.ai.overrides,
                    prompts=policies.ai.prompts,
                    request_headers=policies.request_header_modifier,
                    response_headers=policies.response_header_modifier,
                )
            ]
        )

    def _check_aliases(self) -> None:
        path = (*self._path, "policies", "ai", "modelAliases")
        for alias, model in self._aliases.items():
            where = (*path, alias)
            checked(values.model_pattern, alias, where, self._report)
            checked(values.upstream_model, model, where, self._report)
            if alias == "*":
                self._report.add(where, "an alias for every name; set the provider's model instead")

    def _places(self) -> list[_Place]:
        where = (*self._path, "backends")
        outer = ((self._route.policies, (*self._path, "policies")),)
        self._check_levels(outer)
        if not self._route.backends:
            self._report.add(where, "list at least one backend")
        elif not any(backend.weight for backend in self._route.backends):
            self._report.add(where, "all weights are 0: nothing could be chosen")
        found = [
            (i, *each)
            for i, backend in enumerate(self._route.backends)
            for each in self._targets(backend, (*where, i))
        ]
        places: list[_Place] = []
        for i, group, target, at in found:
            levels = _levels(self._route.backends[i], (*where, i), target, at)
            self._check_levels(levels)
            fallback = self._path if len(found) == 1 else None
            model = self._model(target, at, (*levels, *outer), self._shaping, fallback)
            if model is not None:
                places.append(_Place(i, group, model))
        return places

    def _targets(self, backend: Backend, path: Path) -> list[tuple[int, AiTarget, Path]]:
        """The providers of a backend, each with its priority and where it is written."""
        ai, where = backend.ai, (*path, "ai")
        if ai.groups is None:
            return [(0, ai, where)]
        if structs.replace(ai, groups=None, policies=BackendPolicies()) != AiBackend():
            self._report.add(where, "groups takes the place of provider and its keys")
            return []
        where = (*where, "groups")
        if not ai.groups:
            self._report.add(where, "list at least one group")
        out: list[tuple[int, AiTarget, Path]] = []
        for i, group in enumerate(ai.groups):
            if not group.providers:
                self._report.add((*where, i, "providers"), "list at least one provider")
            out += [
                (i, target, (*where, i, "providers", j)) for j, target in enumerate(group.providers)
            ]
        return out

    def _check_levels(self, levels: Levels) -> None:
        for policies, path in levels:
            if path in self._checked:
                continue
            self._checked.add(path)
            resilience.check(policies, path, self._report)
            auth = policies.backend_auth
            if auth is not None and len(_ways(auth)) != 1:
                where = (*path, "backendAuth")
                self._report.add(where, "exactly one of key, keys, aws and gcp is needed")

    def _model(
        self,
        target: AiTarget,
        at: Path,
        levels: Levels,
        shape: Shaping | None,
        fallback: Path | None = None,
    ) -> ModelSettings | None:
        """The model `*` at one provider."""
        kind, body = _kind(target, at, self._report)
        if body is None:
            return None
        upstream = _upstream(target, kind, body, levels, at, fallback or at)
        _check_auth(levels, kind, self._report)
        if body.model is not None:
            where = (*at, "provider", kind, "model")
            checked(values.upstream_model, body.model, where, self._report)
            if target.strip_prefix is not None:
                where = (*at, "stripPrefix")
                self._report.add(where, "has no effect where the model id is set")
        policies = [level for level, _ in levels]
        return ModelSettings(
            name="*",
            provider=provider(upstream, self._env, self._report),
            model=body.model,
            strip_prefix=target.strip_prefix or "",
            on_loss=target.on_loss or "warn",
            fetch_remote_content=target.fetch_remote_content or False,
            state=(target.state and target.state.mode) or self._mode,
            context_window=target.context_window,
            retry=resilience.retry(*(level.retry for level in policies)),
            timeout=resilience.timeout(*(level.timeout for level in policies)),
            health=resilience.health(*(level.health for level in policies)),
            shaping=shape,
            cost=shaping.cost(target.cost),
        )


def _failover(name: str, places: Sequence[_Place], mirror: Mirror | None) -> VirtualSettings:
    targets = tuple(VirtualTarget(model=place.model.name, priority=place.group) for place in places)
    return VirtualSettings(name=name, routing="failover", targets=targets, mirror=mirror)


def _levels(backend: Backend, path: Path, target: AiTarget, at: Path) -> Levels:
    """The policies of a provider, of the `ai` block around it, and of its backend."""
    inner = ((target.policies, (*at, "policies")),)
    around = () if target is backend.ai else ((backend.ai.policies, (*path, "ai", "policies")),)
    return (*inner, *around, (backend.policies, (*path, "policies")))


def _kind(target: AiTarget, path: Path, report: Report) -> tuple[str, ProviderBody | None]:
    chosen = target.provider
    if chosen is None or len(chosen) != 1:
        report.add((*path, "provider"), "exactly one provider is needed, e.g. openAI: {}")
        return "", None
    kind, body = next(iter(chosen.items()))
    where = (*path, "provider", kind)
    if kind != "custom" and (body.formats is not None or body.provider_override is not None):
        report.add(where, "formats and providerOverride belong to custom")
    if kind == "custom" and body.formats is None:
        report.add(where, 'the key "formats" is missing')
        return kind, None
    return kind, body


def _upstream(
    target: AiTarget, kind: str, body: ProviderBody, levels: Levels, path: Path, fallback: Path
) -> Upstream:
    """The provider as written. A key that is missing is to be reported at `fallback`."""
    auth, auth_path = next(
        ((p.backend_auth, where) for p, where in levels if p.backend_auth is not None),
        (BackendAuth(), (*fallback, "policies")),
    )
    tls, tls_path = next(
        ((p.backend_tls, where) for p, where in levels if p.backend_tls is not None), (None, ())
    )
    return Upstream(
        kind=ALIASES.get(kind, kind),
        name=body.provider_override or target.name or kind,
        path=path,
        key_path=(*auth_path, "backendAuth"),
        api_key=auth.key if auth.keys is None else None,
        api_keys=auth.keys,
        keys_path=(*auth_path, "backendAuth", "keys"),
        base_url=target.base_url,
        host_override=target.host_override,
        path_override=target.path_override,
        path_prefix=target.path_prefix,
        formats=body.formats,
        formats_path=(*path, "provider", kind, "formats"),
        tls=tls,
        tls_path=(*tls_path, "backendTLS"),
        cloud=_cloud(body, (*path, "provider", kind)),
        ambient=auth.aws is not None or auth.gcp is not None,
        aws=auth.aws,
    )


def _ways(auth: BackendAuth) -> list[str]:
    return [name for name in auth.__struct_fields__ if getattr(auth, name) is not None]


def _check_auth(levels: Levels, kind: str, report: Report) -> None:
    """A way to be authorised that the provider has."""
    for policies, path in levels:
        if policies.backend_auth is None:
            continue
        for way, fitting in (("aws", "bedrock"), ("gcp", "vertex")):
            if way in _ways(policies.backend_auth) and kind != fitting:
                report.add((*path, "backendAuth", way), f"belongs to {fitting}")
        return


def _cloud(body: ProviderBody, path: Path) -> tuple[CloudKey, ...]:
    return (
        CloudKey("region", ("bedrock", "vertex"), (*path, "region"), body.region),
        CloudKey("project", ("vertex",), (*path, "projectId"), body.project_id),
        CloudKey("resource", ("azure",), (*path, "resourceName"), body.resource_name),
        CloudKey("resource type", ("azure",), (*path, "resourceType"), body.resource_type),
        CloudKey("api version", ("azure",), (*path, "apiVersion"), body.api_version),
        CloudKey("project name", ("azure",), (*path, "projectName"), body.project_name),
    )
