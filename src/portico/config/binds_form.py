"""The `binds:` form -> one listener per port.

A port's listeners are told apart by host name, so they become one list of routes, the most
specific first: exact host before wildcard before any, exact path before the longer prefix. (The
order of the Kubernetes Gateway API, which agentgateway follows:
https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule)
"""

from msgspec import structs

from portico.config import values
from portico.config.callers import api_key, checked
from portico.config.clouds import CloudKey
from portico.config.errors import Path, Report
from portico.config.kinds import ALIASES
from portico.config.known import NOT_YET
from portico.config.llm_form import DEFAULT_APIS
from portico.config.references import Env
from portico.config.schema import (
    AiBackend,
    AiPolicy,
    AiTarget,
    BackendAuth,
    BackendPolicies,
    Bind,
    Listener,
    Match,
    ProviderBody,
    Route,
)
from portico.config.settings import (
    Address,
    ListenerSettings,
    ModelSettings,
    RouteSettings,
    RouteType,
    ServerTls,
    StateMode,
)
from portico.config.upstream import Upstream, provider


def listener(
    bind: Bind, address: Address, mode: StateMode, path: Path, env: Env, report: Report
) -> ListenerSettings:
    """The one socket of `bind`. `mode` is for backends that say nothing of it. Problems go to
    `report`."""
    if not bind.listeners:
        report.add((*path, "listeners"), "list at least one listener")
    routes: list[RouteSettings] = []
    for i, entry in enumerate(bind.listeners):
        where = (*path, "listeners", i)
        if not entry.routes:
            report.add((*where, "routes"), "list at least one route")
        for j, route in enumerate(entry.routes):
            routes.extend(_route(entry, route, mode, (*where, "routes", j), env, report))
    return ListenerSettings(
        address=address,
        routes=tuple(sorted(routes, key=_specificity)),
        tls=_tls(bind, path, report),
    )


def _specificity(route: RouteSettings) -> tuple[int, int, int]:
    host = max(map(_host_rank, route.hostnames), default=0)  # there is at most one
    return -host, 0 if route.path_exact else 1, -len(route.path_prefix)


def _host_rank(name: str) -> int:
    """Above 0; an exact name (at most 253 characters) ranks above every wildcard."""
    return len(name) if name.startswith("*.") else 1000 + len(name)


def _tls(bind: Bind, path: Path, report: Report) -> ServerTls | None:
    for i, entry in enumerate(bind.listeners):
        where = (*path, "listeners", i)
        if entry.protocol == "HTTPS" and entry.tls is None:
            report.add((*where, "tls"), "protocol HTTPS needs tls with cert and key")
        if entry.protocol == "HTTP" and entry.tls is not None:
            report.add((*where, "protocol"), "protocol HTTP excludes tls; use HTTPS")
        if entry.tls != bind.listeners[0].tls:
            report.add((*where, "tls"), f"several certificates on one port: {NOT_YET}")
    tls = bind.listeners[0].tls if bind.listeners else None
    return None if tls is None else ServerTls(cert=tls.cert, key=tls.key)


def _route(
    entry: Listener, route: Route, mode: StateMode, path: Path, env: Env, report: Report
) -> list[RouteSettings]:
    """One setting per match and host name of the route."""
    base = RouteSettings(
        apis=_apis(route.policies.ai, (*path, "policies", "ai", "routes"), report),
        models=_models(route, mode, path, env, report),
        api_key=api_key(route.policies.api_key, (*path, "policies", "apiKey"), report),
        name=route.name or entry.name or "",
    )
    names = _hostnames(entry, route, path, report)
    out: list[RouteSettings] = []
    for i, match in enumerate(route.matches or (Match(),)):
        prefix, exact = _path_match(match, (*path, "matches", i, "path"), report)
        one = structs.replace(base, path_prefix=prefix, path_exact=exact)
        out.extend(structs.replace(one, hostnames=(name,)) for name in names)
        if not names:
            out.append(one)
    return out


def _apis(policy: AiPolicy, path: Path, report: Report) -> dict[str, RouteType]:
    if policy.routes is None:
        return dict(DEFAULT_APIS)
    if not policy.routes:
        report.add(path, "names no API; remove the key to serve all of them")
    for suffix in policy.routes:
        where = (*path, suffix)
        if suffix == "*":
            report.add(where, NOT_YET)
        else:
            checked(_absolute, suffix, where, report)
    return dict(policy.routes)


def _path_match(match: Match, path: Path, report: Report) -> tuple[str, bool]:
    if match.path is None:
        return "/", False
    prefix, exact = match.path.path_prefix, match.path.exact
    if (prefix is None) == (exact is None):
        report.add(path, "exactly one of pathPrefix and exact is needed")
    if exact is not None:
        return checked(_absolute, exact, (*path, "exact"), report), True
    written = checked(_absolute, prefix or "/", (*path, "pathPrefix"), report)
    return written.rstrip("/") or "/", False


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("a path starts with /")
    return values.url_path(text)


def _hostnames(entry: Listener, route: Route, path: Path, report: Report) -> tuple[str, ...]:
    """The host names both the listener and the route allow; empty is any."""
    names = tuple(
        checked(values.hostname, name, (*path, "hostnames", i), report)
        for i, name in enumerate(route.hostnames)
    )
    if entry.hostname is None:
        return names
    outer = checked(values.hostname, entry.hostname, (*path[:-2], "hostname"), report)
    if not names:
        return (outer,)
    both = tuple(name for name in (_narrower(outer, name) for name in names) if name)
    if not both:
        report.add((*path, "hostnames"), "none of these lies within the listener's hostname")
    return both


def _narrower(a: str, b: str) -> str | None:
    """The more specific of two host patterns if one contains the other."""
    if a == b or _contains(a, b):
        return b
    return a if _contains(b, a) else None


def _contains(pattern: str, name: str) -> bool:
    return pattern.startswith("*.") and name.removeprefix("*").endswith(pattern[1:])


# --- backends -----------------------------------------------------------------------------------


def _models(
    route: Route, mode: StateMode, path: Path, env: Env, report: Report
) -> tuple[ModelSettings, ...]:
    """`*` at the route's one provider, and its aliases."""
    where = (*path, "backends")
    if not route.backends:
        report.add(where, "list one backend")
        return ()
    if len(route.backends) > 1:
        report.add(where, f"several backends in one route: {NOT_YET}")
    backend = route.backends[0]
    found = _target(backend.ai, (*where, 0, "ai"), report)
    if found is None:
        return ()
    target, at = found
    kind, body = _kind(target, at, report)
    if body is None:
        return ()
    inner = (target.policies, backend.ai.policies, backend.policies, route.policies)
    _check_auth(inner, kind, (*path, "policies", "backendAuth"), report)
    upstream = _upstream(target, kind, body, inner, at, path)
    every = ModelSettings(
        name="*",
        provider=provider(upstream, env, report),
        model=body.model,
        strip_prefix=target.strip_prefix or "",
        on_loss=target.on_loss or "warn",
        fetch_remote_content=target.fetch_remote_content or False,
        state=(target.state and target.state.mode) or mode,
        context_window=target.context_window,
    )
    if body.model is not None:
        checked(values.upstream_model, body.model, (*at, "provider", kind, "model"), report)
        if target.strip_prefix is not None:
            report.add((*at, "stripPrefix"), "has no effect where the model id is set")
    return (*_aliases(route.policies.ai, every, (*path, "policies", "ai"), report), every)


def _aliases(
    policy: AiPolicy, every: ModelSettings, path: Path, report: Report
) -> list[ModelSettings]:
    out: list[ModelSettings] = []
    for alias, model in policy.model_aliases.items():
        where = (*path, "modelAliases", alias)
        checked(values.model_pattern, alias, where, report)
        checked(values.upstream_model, model, where, report)
        if alias == "*":
            report.add(where, "an alias for every name; set the provider's model instead")
        out.append(structs.replace(every, name=alias, model=model, strip_prefix=""))
    return out


def _target(ai: AiBackend, path: Path, report: Report) -> tuple[AiTarget, Path] | None:
    """The one provider of a backend, written in place or as the only one of `groups`."""
    if ai.groups is None:
        return ai, path
    if structs.replace(ai, groups=None, policies=BackendPolicies()) != AiBackend():
        report.add(path, "groups takes the place of provider and its keys")
        return None
    where = (*path, "groups")
    if len(ai.groups) != 1:
        report.add(where, f"several groups: {NOT_YET}" if ai.groups else "list one group")
        return None
    where = (*where, 0, "providers")
    providers = ai.groups[0].providers
    if len(providers) != 1:
        report.add(where, f"several providers: {NOT_YET}" if providers else "list one provider")
        return None
    return providers[0], (*where, 0)


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
    target: AiTarget,
    kind: str,
    body: ProviderBody,
    policies: tuple[BackendPolicies, ...],
    path: Path,
    route: Path,
) -> Upstream:
    """`policies` from the innermost block outwards; the first that says something wins."""
    auth = next((p.backend_auth for p in policies if p.backend_auth is not None), BackendAuth())
    tls = next((p.backend_tls for p in policies if p.backend_tls is not None), None)
    return Upstream(
        kind=ALIASES.get(kind, kind),
        name=body.provider_override or target.name or kind,
        path=path,
        key_path=(*route, "policies", "backendAuth"),
        api_key=auth.key,
        base_url=target.base_url,
        host_override=target.host_override,
        path_override=target.path_override,
        path_prefix=target.path_prefix,
        formats=body.formats,
        formats_path=(*path, "provider", kind, "formats"),
        tls=tls,
        tls_path=(*route, "policies", "backendTLS"),
        cloud=_cloud(body, (*path, "provider", kind)),
        ambient=auth.aws is not None or auth.gcp is not None,
        aws=auth.aws,
    )


def _check_auth(
    policies: tuple[BackendPolicies, ...], kind: str, path: Path, report: Report
) -> None:
    """One way to be authorised, and one that the provider has."""
    for auth in (p.backend_auth for p in policies if p.backend_auth is not None):
        ways = [name for name in ("key", "aws", "gcp") if getattr(auth, name) is not None]
        if len(ways) != 1:
            report.add(path, "exactly one of key, aws and gcp is needed")
        for way, fitting in (("aws", "bedrock"), ("gcp", "vertex")):
            if way in ways and kind != fitting:
                report.add((*path, way), f"belongs to {fitting}")


def _cloud(body: ProviderBody, path: Path) -> tuple[CloudKey, ...]:
    return (
        CloudKey("region", ("bedrock", "vertex"), (*path, "region"), body.region),
        CloudKey("project", ("vertex",), (*path, "projectId"), body.project_id),
        CloudKey("resource", ("azure",), (*path, "resourceName"), body.resource_name),
        CloudKey("resource type", ("azure",), (*path, "resourceType"), body.resource_type),
        CloudKey("api version", ("azure",), (*path, "apiVersion"), body.api_version),
        CloudKey("project name", ("azure",), (*path, "projectName"), body.project_name),
    )
