"""The running form of a configuration: immutable, swapped whole, shared by all requests.

`assemble` is the only place where settings, providers, routing and keys meet. Everything a request
needs that does not depend on the request is computed here: header blocks, paths, pools.
"""

import os
from collections.abc import Mapping

from portico.config.settings import ListenerSettings, RouteSettings, Settings
from portico.gateway.assembly import Targets
from portico.gateway.planning import Entry, entries_of
from portico.gateway.routes import PathTable
from portico.gateway.target import Target
from portico.http.client import HttpClient
from portico.http.messages import Request
from portico.limits import Deadlines, Limits
from portico.policy.auth import KeyTable
from portico.routing.health import Board
from portico.routing.plan import Backend
from portico.routing.router import Router

__all__ = ["Entry", "Front", "Route", "Snapshot", "Target", "assemble"]


class Route:
    """What one listener serves under a prefix, for some host names, to some callers."""

    __slots__ = (
        "_exact", "_hostnames", "_prefix", "aliases", "entries", "keys", "models", "name",
        "paths", "providers",
    )  # fmt: skip

    def __init__(self, settings: RouteSettings, entries: tuple[Entry, ...]) -> None:
        self.name = settings.name
        self._hostnames = tuple(h.lower().encode("ascii") for h in settings.hostnames)
        self._prefix = settings.path_prefix.rstrip("/").encode("ascii")
        self._exact = settings.path_exact
        self.paths = PathTable(dict(settings.apis))
        self.entries = entries
        self.models: Router[Entry] = Router((entry.name, entry) for entry in entries)
        self.providers = _by_provider(entries)
        self.aliases: Router[str] | None = (
            Router(settings.aliases.items()) if settings.aliases else None
        )
        self.keys = KeyTable(settings.api_key) if settings.api_key is not None else None

    @property
    def serves_all(self) -> bool:
        """Whether neither host nor prefix narrows this route."""
        return not self._hostnames and not self._prefix

    def serves(self, request: Request) -> bool:
        """Whether this route answers for the request's host and path."""
        if self._prefix:
            rest = request.target[len(self._prefix) :]
            if not request.target.startswith(self._prefix):
                return False
            if rest and (self._exact or rest[:1] != b"/"):
                return False
        if not self._hostnames:
            return True
        host = request.headers.get(b"host", b"").rsplit(b":", 1)[0].lower()
        return any(
            host == name or (name.startswith(b"*.") and host.endswith(name[1:]))
            for name in self._hostnames
        )


def _by_provider(entries: tuple[Entry, ...]) -> dict[str, Router[Entry]]:
    """Who serves `provider/model`: public entries by the casefolded label of each provider."""
    served: dict[str, list[tuple[str, Entry]]] = {}
    for entry in entries:
        if entry.public:
            for provider in {backend.provider.casefold() for backend in entry.backends}:
                served.setdefault(provider, []).append((entry.name, entry))
    return {provider: Router(found) for provider, found in served.items()}


class Front:
    """One listener's routes, in order."""

    __slots__ = ("_only", "routes")

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self._only = routes[0] if len(routes) == 1 and routes[0].serves_all else None

    def route(self, request: Request) -> Route | None:
        """The first route that serves the request."""
        if self._only is not None:
            return self._only
        for route in self.routes:
            if route.serves(request):
                return route
        return None


class Snapshot:
    """Everything that a reload replaces at once."""

    __slots__ = ("_targets", "deadlines", "fronts", "limits", "settings")

    def __init__(self, settings: Settings, fronts: tuple[Front, ...], targets: Targets) -> None:
        self.settings = settings
        self.fronts = fronts
        self.limits: Limits = settings.limits
        self.deadlines: Deadlines = settings.deadlines
        self._targets = targets

    @property
    def backends(self) -> list[Backend]:
        """Every model at every provider, each once."""
        found = [
            backend
            for front in self.fronts
            for route in front.routes
            for entry in route.entries
            for backend in entry.backends
        ]
        return list({backend.key: backend for backend in found}.values())

    def settle(self, board: Board) -> None:
        """This is what is served from now on: forget the health of everything else."""
        targets = self._targets
        board.keep(targets.healths, targets.cooldowns, targets.budgets)


def _name_of(listener: ListenerSettings, route: RouteSettings) -> str:
    """What a route is called on the board: the same after others came or went."""
    address = listener.address
    place = address.path or f"{address.host}:{address.port}"
    return " ".join((place, *route.hostnames, route.path_prefix, route.name))


def assemble(
    settings: Settings,
    client: HttpClient,
    env: Mapping[str, str] = os.environ,
    board: Board | None = None,
) -> Snapshot:
    """Build the snapshot. Raises `ConfigError` for what only now shows to be impossible.

    `env` is where the credentials of clouds are found, by the rules of their own SDKs. What is
    known of the health of targets is taken from `board`, and noted there.
    """
    targets = Targets(client, env, settings.deadlines, board or Board())
    return Snapshot(
        settings,
        tuple(
            Front(
                tuple(
                    Route(route, entries_of(route, targets, _name_of(listener, route)))
                    for route in listener.routes
                )
            )
            for listener in settings.listeners
        ),
        targets,
    )
