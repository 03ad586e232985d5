"""The admin listener's pages: metrics, health, configuration, and those of `admin.api`. Reads only,
JSON errors.

On loopback it answers only to names of this machine: a web page that rebinds its own name to
127.0.0.1 gets a 403 instead of the configuration.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import portico
from portico.admin.answers import answer, refusal
from portico.admin.api import PAGES, api_routes
from portico.admin.mask import masked
from portico.admin.port import AdminPort
from portico.observe.exposition import render

log = logging.getLogger("portico.admin")

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_LIVE = ("/healthz/live", "/health/live", "/healthz")
_READY = ("/healthz/ready", "/health/ready", "/readyz")


def create_admin(port: AdminPort, *, allowed_hosts: Iterable[str] = ()) -> Starlette:
    """The admin app.

    Over a loopback address it answers only requests for localhost, 127.0.0.1, [::1] and
    `allowed_hosts` (names without port). On another address the operator has opened the listener on
    purpose and scrapers come by whatever name, so any `Host` does.
    """

    async def metrics(request: Request) -> Response:
        snapshots = await port.snapshots()
        page, kind = await asyncio.to_thread(render, snapshots, request.headers.get("accept", ""))
        return Response(page, headers={"content-type": kind})

    async def live(_: Request) -> Response:
        return _health(port.live())

    async def ready(_: Request) -> Response:
        return _health(port.ready())

    async def config_dump(_: Request) -> Response:
        return answer(masked(port.config_dump()))

    async def index(_: Request) -> Response:
        pages = ["/metrics", "/healthz/live", "/healthz/ready", "/config_dump", *PAGES]
        return answer({"name": "portico", "version": portico.__version__, "pages": pages})

    routes = [Route("/", index), Route("/metrics", metrics), Route("/config_dump", config_dump)]
    routes += api_routes(port)
    routes += [Route(path, live) for path in _LIVE] + [Route(path, ready) for path in _READY]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_Guard, hosts=frozenset({*_LOCAL_NAMES, *allowed_hosts}))],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


class _Guard:
    """Checks `Host`, adds the headers, turns a defect into a 500 that says nothing."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan; a WebSocket finds no route
            await self._app(scope, receive, send)
            return
        sent = False

        async def guarded(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start":
                sent = True
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        if _is_loopback(scope) and not _welcome(scope, self._hosts):
            await refusal(403, "this host name is not served here")(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except Exception:
            log.exception("admin page failed", extra={"fields": {"path": scope["path"]}})
            if not sent:
                await refusal(500, "internal error")(scope, receive, guarded)


def _is_loopback(scope: Scope) -> bool:
    """Whether the connection ended on a loopback address; False for a unix socket, which no web
    page can reach."""
    try:
        address = ipaddress.ip_address(scope["server"][0])
    except (KeyError, TypeError, ValueError):
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _welcome(scope: Scope, hosts: frozenset[str]) -> bool:
    """No `Host` is fine (HTTP/1.0 probes): browsers always send one. Two are not."""
    given = [value for name, value in scope["headers"] if name == b"host"]
    if not given:
        return True
    name = given[0].decode("latin-1").lower()
    if name.rpartition(":")[2].isdigit():
        name = name.rpartition(":")[0]
    return len(given) == 1 and name in hosts


def _health(state: tuple[bool, str]) -> Response:
    healthy, reason = state
    body = {"status": "ok" if healthy else "unavailable"}
    return answer(body | ({"reason": reason} if reason else {}), 200 if healthy else 503)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
    response = refusal(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response
