"""Google access tokens for Vertex AI, through the optional `google-auth` package.

`google-auth` knows every kind of Google credential (service account keys, workload identity,
impersonation, the metadata server, what `gcloud` left behind) and blocks while it asks for a token.
So it runs in a thread of its own, and its HTTP comes back to the event loop through `fetch`: this
module opens no sockets. (A credential configured with an executable, and gcloud's own files, may
start a program; that is the operator's choice.)

Sources (2026-11-21): https://cloud.google.com/docs/authentication/application-default-credentials,
https://googleapis.dev/python/google-auth/latest/reference/google.auth.transport.html.
"""

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from msgspec import Struct

from portico.config.errors import ConfigError, Problem
from portico.errors import PorticoError, UpstreamAuth
from portico.providers.signing.aws import Fetch
from portico.wire.text import plain, scrub

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EARLY = 300.0
"""Seconds before its end in which a token is renewed, while it is still used."""
LAST = 15.0
"""Seconds before its end from which a token is not used any more."""
HOLD = 5.0
"""Seconds for which a renewal is not tried again, after one that failed or brought little."""
FETCH_SECONDS = 30.0
"""The most that one HTTP exchange of google-auth may take."""

_LOADERS = {
    "service_account": ("google.oauth2.service_account", "from_service_account_info"),
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_info"),
    "external_account": ("google.auth.identity_pool", "from_info"),
    "external_account:aws": ("google.auth.aws", "from_info"),
    "impersonated_service_account": (
        "google.auth.impersonated_credentials", "from_impersonated_service_account_info",
    ),
}  # fmt: skip
"""`type` of a credential to its loader. Those that run a program are left to the default
credentials: https://cloud.google.com/docs/authentication/external/externally-sourced-credentials
(2026-11-21)."""

_VALUE = re.compile(r"[\x21-\x7e]{1,16384}")


class _Token(Struct, frozen=True):
    """Header lines, and when they end (Unix seconds)."""

    lines: bytes
    expires: float


class _Response(Struct, frozen=True):
    """What google-auth expects of an answer: `google.auth.transport.Response`."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Request:
    """`google.auth.transport.Request` over `fetch`. Called in google-auth's thread."""

    __slots__ = ("_fetch", "_loop")

    def __init__(self, fetch: Fetch, loop: asyncio.AbstractEventLoop) -> None:
        self._fetch = fetch
        self._loop = loop

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Response:
        data = body.encode() if isinstance(body, str) else body
        names = {name.lower(): str(value) for name, value in (headers or {}).items()}
        exchange = self._exchange(method, url, names, data)
        try:
            waiting = asyncio.run_coroutine_threadsafe(exchange, self._loop)
        except RuntimeError:  # the loop is gone, and nobody waits any more
            exchange.close()
            raise _transport_error("the gateway is shutting down") from None
        try:
            return waiting.result(min(timeout or FETCH_SECONDS, FETCH_SECONDS))
        except FutureTimeout:
            waiting.cancel()
            raise _transport_error("no answer in time") from None
        except (PorticoError, OSError) as error:
            raise _transport_error(str(error) or type(error).__name__) from None

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> _Response:
        status, answered, data = await self._fetch(method, url, headers, body)
        return _Response(status, answered, data)


class GoogleCredential:
    """A token that is renewed before it ends.

    `current()` never waits; `header()` waits only when there is no token to use. However many ask
    at once, one renewal is under way at a time. `info` is a credential as Google's JSON files hold
    it; without one, the application default credentials of the environment are looked for, on first
    use. Raises `ConfigError` when `google-auth` is not installed; `where` is told in it.
    """

    __slots__ = ("_clock", "_credentials", "_error", "_fetch", "_flight", "_hold", "_info",
                 "_token", "project")  # fmt: skip

    def __init__(
        self,
        fetch: Fetch,
        info: Mapping[str, Any] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        where: str = "$.llm",
    ) -> None:
        _google("google.auth", where)
        self._fetch = fetch
        self._info = dict(info) if info is not None else None
        self._clock = clock
        self._credentials: Any = None
        self._token: _Token | None = None
        self._flight: asyncio.Task[_Token] | None = None
        self._hold = 0.0
        self._error: UpstreamAuth | None = None
        self.project = ""
        """The project that the credential names, once there was a token; "" if it names none."""

    def __repr__(self) -> str:
        kind = "default" if self._info is None else str(self._info.get("type", ""))[:40]
        return f"GoogleCredential({kind})"

    def current(self) -> bytes | None:
        """The header lines to use now, or None: then await `header()`. Needs a running loop."""
        token = self._token
        if token is None:
            return None
        now = self._clock()
        left = token.expires - now
        if left <= LAST:
            return None
        if left <= EARLY and now >= self._hold:
            self._fly()
        return token.lines

    async def header(self) -> bytes:
        """`authorization: Bearer ...`, with the quota project if there is one, as header lines.
        Raises `UpstreamAuth` when no token is to be had."""
        lines = self.current()
        if lines is not None:
            return lines
        if self._error is not None and self._clock() < self._hold:
            raise UpstreamAuth(self._error.message, debug=self._error.debug)
        # Whoever gives up does not take the renewal away from the others.
        try:
            return (await asyncio.shield(self._fly())).lines
        except UpstreamAuth as error:
            raise UpstreamAuth(error.message, debug=error.debug) from None

    def headers(self, method: str, path: bytes, host: bytes, body: bytes) -> bytes | None:
        """`current()`: the token is the same for every request."""
        return self.current()

    async def ready(self) -> None:
        """Wait for a token. Raises `UpstreamAuth`."""
        await self.header()

    def _fly(self) -> "asyncio.Task[_Token]":
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._renew())
            self._flight.add_done_callback(self._landed)
        return self._flight

    async def _renew(self) -> _Token:
        try:
            token = await _in_thread(self._ask)
            if token.expires - self._clock() <= LAST:
                raise _failed("the token had ended when it arrived")
        except UpstreamAuth as error:
            self._hold = self._clock() + HOLD
            self._error = error
            raise
        self._token, self._error = token, None
        self._hold = self._clock() + HOLD
        return token

    def _landed(self, flight: "asyncio.Task[_Token]") -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # seen, even when everybody who waited has gone

    def _ask(self, loop: asyncio.AbstractEventLoop) -> _Token:
        """In a thread: find the credential, once, and a token."""
        request = _Request(self._fetch, loop)
        try:
            if self._credentials is None:
                self._credentials, project = self._find(request)
                self.project = project or ""
            self._credentials.refresh(request)
            return _token(self._credentials)
        except UpstreamAuth:
            raise
        except Exception as error:  # google-auth raises whatever a bad key file leads to
            raise _failed(f"{type(error).__name__}: {error}") from None

    def _find(self, request: _Request) -> tuple[Any, str | None]:
        if self._info is not None:
            return _load(self._info), str(self._info.get("project_id") or "")
        found: tuple[Any, str | None]
        found = _google("google.auth", "").default(scopes=[SCOPE], request=request)
        return found


def _load(info: Mapping[str, Any]) -> Any:
    """The credential of a JSON file, by the loader of its own type."""
    kind = str(info.get("type"))
    if kind == "external_account" and "environment_id" in (info.get("credential_source") or {}):
        kind = "external_account:aws"
    if kind not in _LOADERS:
        raise _failed(f"a credential of type {kind!r} is not supported")
    module, loader = _LOADERS[kind]
    return getattr(_google(module, "").Credentials, loader)(info, scopes=[SCOPE])


def _google(module: str, where: str) -> Any:
    """A module of google-auth. Raises `ConfigError` when it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        message = (
            "Google credentials need the package 'google-auth'. Install it with "
            "\"pip install 'portico[vertex]'\"."
        )
        raise ConfigError([Problem(where, message)]) from None


def _transport_error(reason: str) -> Exception:
    error: Exception = _google("google.auth.exceptions", "").TransportError(reason)
    return error


def _failed(reason: str) -> UpstreamAuth:
    return UpstreamAuth(
        "The gateway could not get a Google access token.", debug=plain(scrub(reason), 500)
    )


def _token(credentials: Any) -> _Token:
    """The header lines of refreshed credentials."""
    headers: dict[str, str] = {}
    credentials.apply(headers)
    lines = []
    for name in ("authorization", "x-goog-user-project"):
        value = headers.get(name)
        if value is None:
            continue
        if not _VALUE.fullmatch(value.removeprefix("Bearer ")):
            raise _failed("the token holds characters that no token has")
        lines.append(f"{name}: {value}\r\n")
    if not lines or not lines[0].startswith("authorization: Bearer "):
        raise _failed("the credential gave no token")
    expiry: datetime | None = credentials.expiry
    if expiry is None:
        return _Token("".join(lines).encode("ascii"), float("inf"))
    utc = expiry if expiry.tzinfo is not None else expiry.replace(tzinfo=UTC)
    return _Token("".join(lines).encode("ascii"), utc.timestamp())


async def _in_thread(work: Callable[[asyncio.AbstractEventLoop], _Token]) -> _Token:
    """`work(loop)` in a daemon thread: one that hangs does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Token] = loop.create_future()

    def settle(token: _Token | None, error: BaseException | None) -> None:
        if done.done():
            return
        if token is not None:
            done.set_result(token)
        elif error is not None:
            done.set_exception(error)

    def run() -> None:
        try:
            token, error = work(loop), None
        except BaseException as raised:
            token, error = None, raised
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, token, error)

    threading.Thread(target=run, name="google-auth", daemon=True).start()
    return await done
