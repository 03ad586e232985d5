"""The `binds:` form -> one listener per port.

A port's listeners are told apart by host name, so they become one list of routes, the most
specific first: exact host before wildcard before any, exact path before the longer prefix. (The
order of the Kubernetes Gateway API, which agentgateway follows:
https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule)
"""

from msgspec import structs

from portico.config import binds_backends, values
from portico.config.callers import api_key, checked
from portico.config.errors import Path, Report
from portico.config.known import NOT_YET
from portico.config.llm_form import DEFAULT_APIS
from portico.config.references import Env
from portico.config.schema import (
    AiPolicy,
    Bind,
    Listener,
    Match,
    Route,
)
from portico.config.settings import (
    Address,
    ListenerSettings,
    RouteSettings,
    RouteType,
    ServerTls,
    StateMode,
)


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
    served = binds_backends.served(route, mode, path, env, report)
    base = RouteSettings(
        apis=_apis(route.policies.ai, (*path, "policies", "ai", "routes"), report),
        models=served.models,
        virtual=served.virtual,
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
