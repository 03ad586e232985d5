"""Outbound proxies from the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.

The variables' lower-case forms win, as in curl. `NO_PROXY` lists host suffixes, `host:port` pairs,
IP networks, or `*`.
"""

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct


class Proxy(Struct, frozen=True):
    """One proxy. `tls` means the hop to the proxy itself is TLS; `header` is a whole line."""

    host: str
    port: int
    tls: bool
    header: bytes

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"  # the header holds a password


class Proxies(Struct, frozen=True):
    """Which proxy, if any, leads to an origin."""

    http: Proxy | None = None
    https: Proxy | None = None
    bypass: tuple[str, ...] = ()

    def route(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for this origin, or None for a direct connection. This machine is never
        reached through a proxy."""
        proxy = self.https if scheme == "https" else self.http
        if (
            proxy is None
            or _is_here(host)
            or any(_matches(rule, host, port) for rule in self.bypass)
        ):
            return None
        return proxy


def from_environment(env: Mapping[str, str]) -> Proxies:
    """Read the variables. Raises ValueError naming the variable, never its value."""

    def get(name: str) -> str:
        return env.get(name) or env.get(name.upper()) or ""

    def proxy(name: str) -> Proxy | None:
        value = get(name) or get("all_proxy")
        return _parse(name.upper(), value) if value else None

    rules = tuple(r.strip().lower() for r in get("no_proxy").split(",") if r.strip())
    return Proxies(http=proxy("http_proxy"), https=proxy("https_proxy"), bypass=rules)


def _parse(name: str, value: str) -> Proxy:
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{name} has no valid port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} is not an http:// or https:// proxy address")
    header = b""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(pair.encode("utf-8"))
        header = b"proxy-authorization: Basic %b\r\n" % token
    tls = parts.scheme == "https"
    return Proxy(parts.hostname, port or (443 if tls else 8080), tls, header)


def _is_here(host: str) -> bool:
    name = host.lower().strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _matches(rule: str, host: str, port: int) -> bool:
    host = host.lower().strip("[]")
    if rule == "*":
        return True
    if "/" in rule:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, _, wanted = rule.rpartition(":") if rule.count(":") == 1 else (rule, "", "")
    if wanted and wanted != str(port):
        return False
    name = name.strip("[]").removeprefix("*").removeprefix(".")
    return host == name or host.endswith("." + name)
