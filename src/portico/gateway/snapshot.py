"""The running form of a configuration: immutable, swapped whole, shared by all requests.

`assemble` is the only place where settings, providers, routing and keys meet. Everything a request
needs that does not depend on the request is computed here: header blocks, paths, pools.
"""

from urllib.parse import urlsplit

from portico import __version__
from portico.config.errors import ConfigError, Problem
from portico.config.settings import ModelSettings, RouteSettings, Settings
from portico.dialects.registry import DIALECTS
from portico.gateway.routes import PathTable
from portico.http.client import HttpClient, Origin, Pool, TlsOptions
from portico.http.messages import Request
from portico.limits import Deadlines, Limits
from portico.policy.auth import KeyTable
from portico.providers.base import Provider, credential_header
from portico.providers.table import provider
from portico.routing.router import Router


class Target:
    """Where one model entry sends its requests. `heads` has, per dialect that the provider speaks,
    the request head up to (not including) the forwarded headers and `content-length`; `defaults`
    are header lines that a client may send itself, by name. `secret` is the operator's key, to be
    kept out of what a provider's error quotes."""

    __slots__ = (
        "defaults", "heads", "label", "model", "models_head", "pool", "secret", "semconv",
        "strip_prefix",
    )  # fmt: skip

    def __init__(
        self,
        label: str,
        semconv: str,
        pool: Pool,
        heads: dict[str, bytes],
        defaults: tuple[tuple[bytes, bytes], ...],
        models_head: bytes,
        model: str | None,
        strip_prefix: str,
        secret: bytes,
    ) -> None:
        self.label = label
        self.semconv = semconv
        self.pool = pool
        self.heads = heads
        self.defaults = defaults
        self.models_head = models_head
        self.model = model
        self.strip_prefix = strip_prefix
        self.secret = secret

    def upstream_model(self, asked: str) -> str:
        """The id to send for the name a caller asked for."""
        if self.model is not None:
            return self.model
        return asked.removeprefix(self.strip_prefix) if self.strip_prefix else asked


class Entry:
    """One line of the model list."""

    __slots__ = ("name", "public", "target")

    def __init__(self, name: str, public: bool, target: Target) -> None:
        self.name = name
        self.public = public
        self.target = target


class Route:
    """What one listener serves under a prefix, for some host names, to some callers."""

    __slots__ = ("_exact", "_hostnames", "_prefix", "entries", "keys", "models", "name", "paths")

    def __init__(self, settings: RouteSettings, entries: tuple[Entry, ...]) -> None:
        self.name = settings.name
        self._hostnames = tuple(h.lower().encode("ascii") for h in settings.hostnames)
        self._prefix = settings.path_prefix.rstrip("/").encode("ascii")
        self._exact = settings.path_exact
        self.paths = PathTable(dict(settings.apis))
        self.entries = entries
        self.models: Router[Entry] = Router((entry.name, entry) for entry in entries)
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

    __slots__ = ("deadlines", "fronts", "limits", "settings")

    def __init__(self, settings: Settings, fronts: tuple[Front, ...]) -> None:
        self.settings = settings
        self.fronts = fronts
        self.limits: Limits = settings.limits
        self.deadlines: Deadlines = settings.deadlines


def assemble(settings: Settings, client: HttpClient) -> Snapshot:
    """Build the snapshot. Raises `ConfigError` for what only now shows to be impossible."""
    return Snapshot(
        settings,
        tuple(
            Front(tuple(_route(route, client) for route in listener.routes))
            for listener in settings.listeners
        ),
    )


def _route(settings: RouteSettings, client: HttpClient) -> Route:
    entries = tuple(
        Entry(model.name, model.visibility == "public", _target(model, client))
        for model in settings.models
    )
    return Route(settings, entries)


def _target(model: ModelSettings, client: HttpClient) -> Target:
    chosen = model.provider
    row = provider(chosen.kind)
    parts = urlsplit(chosen.base_url or row.base_url)
    if parts.hostname is None:
        raise _error(chosen.name, "its base URL names no host")
    tls = chosen.tls
    origin = Origin(
        parts.scheme,
        parts.hostname,
        parts.port or (443 if parts.scheme == "https" else 80),
        TlsOptions(tls.root, tls.cert, tls.key, tls.hostname, tls.insecure)
        if tls is not None
        else TlsOptions(),
    )
    try:
        pool = client.pool(origin)
    except ValueError as error:
        raise _error(chosen.name, str(error)) from error
    key = chosen.api_key.reveal() if chosen.api_key is not None else None
    prefix = parts.path.rstrip("/")
    formats = chosen.formats if chosen.formats is not None else row.formats
    common = _common_headers(row, origin, key)
    defaults = tuple(
        (name.encode("ascii"), f"{name}: {value}\r\n".encode("ascii"))
        for name, value in row.headers
    )
    heads = {
        DIALECTS[route_type].name: b"POST %b HTTP/1.1\r\n%b" % ((prefix + path).encode(), common)
        for route_type, path in formats.items()
        if route_type in DIALECTS
    }
    models_head = b"GET %b HTTP/1.1\r\n%b%b\r\n" % (
        (prefix + row.models).encode(),
        common,
        b"".join(line for _, line in defaults),
    )
    return Target(
        chosen.name,
        row.semconv or chosen.name,
        pool,
        heads,
        defaults,
        models_head if row.models and chosen.formats is None else b"",
        model.model,
        model.strip_prefix,
        key.encode("latin-1") if key else b"",
    )


def _error(provider_name: str, message: str) -> ConfigError:
    return ConfigError([Problem(path=f"provider {provider_name!r}", message=message)])


def _common_headers(row: Provider, origin: Origin, key: str | None) -> bytes:
    return b"".join(
        (
            b"host: ",
            origin.authority,
            b"\r\naccept-encoding: identity\r\ncontent-type: application/json\r\n",
            f"user-agent: portico/{__version__}\r\n".encode("ascii"),
            credential_header(row.auth, key),
        )
    )
