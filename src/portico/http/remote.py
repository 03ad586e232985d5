"""The one door through which content that a caller linked to is fetched.

Only used where the operator turned `fetchRemoteContent` on. A caller chooses the address, so every
step assumes ill will (SSRF): http and https on their own ports, no user names, every address of the
name must be a public one, the connection goes to the very address that was checked, redirects are
checked anew, and size, time and number are bounded. Proxies are not used: they resolve names again.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from portico.errors import BadRequest, PorticoError
from portico.http.client import HttpClient, Origin, Pool, TlsOptions
from portico.http.upstream import UpstreamConnection

MOST_REDIRECTS = 3
LONGEST_URL = 8192
_PORTS = {"http": 80, "https": 443}
_MOVED = frozenset((301, 302, 303, 307, 308))
# NAT64 (RFC 6052) and 6to4 (RFC 3056) addresses carry an IPv4 address.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that has been given out: site-local, IPv4-compatible, local NAT64 and the like are outside.
# https://www.iana.org/assignments/ipv6-address-space (2026-11-21)
_UNICAST = ipaddress.IPv6Network("2000::/3")
# Public by their looks only: Azure's own services, in every virtual network, and what is reserved
# for protocols, among it the metadata of Oracle's older clouds.
# https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16 and
# https://www.iana.org/assignments/iana-ipv4-special-registry (2026-11-21)
_INSIDE = tuple(map(ipaddress.IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")))
_RESOLVERS = ThreadPoolExecutor(4, "portico-remote-names")
"""Threads of its own: a caller can name names that take long to resolve, and providers must not
wait behind them."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to addresses. Raises OSError."""


class Content(Struct, frozen=True):
    """What was at an address. `media_type` as the server said, "" if it did not."""

    body: bytes
    media_type: str


class RemoteDoor:
    """Fetches public content. `is_allowed` decides about one address; tests loosen it."""

    def __init__(
        self,
        client: HttpClient,
        *,
        resolve: Resolve | None = None,
        is_allowed: Callable[[str], bool] | None = None,
        ports: dict[str, int] | None = None,
    ) -> None:
        self._client = client
        self._resolve = resolve or _system_resolve
        self._is_allowed = is_allowed or is_public
        self._ports = ports or _PORTS

    async def fetch(self, url: str, most: int, seconds: float, param: str) -> Content:
        """The content at `url`, at most `most` bytes, within `seconds`.

        Raises `BadRequest` naming `param`; what it says does not tell the inside of a network from
        a name that does not exist.
        """
        try:
            async with asyncio.timeout(seconds):
                for _ in range(MOST_REDIRECTS + 1):
                    found = await self._once(url, most, seconds, param)
                    if isinstance(found, Content):
                        return found
                    url = _joined(url, found, param)
        except TimeoutError:
            raise _refused(param, "it did not arrive in time") from None
        raise _refused(param, "it is redirected too often")

    async def _once(self, url: str, most: int, seconds: float, param: str) -> Content | str:
        host, path, scheme = self._parts(url, param)
        try:
            addresses = await self._resolve(host, self._ports[scheme])
        except (OSError, UnicodeError):
            addresses = []
        # One private address among public ones is how names are rebound: refuse them all.
        if not addresses or not all(self._is_allowed(address) for address in addresses):
            found = ", ".join(addresses[:4]) or "nothing"
            raise _refused(param, "its address cannot be used", f"{host} resolves to {found}")
        origin = Origin(scheme, addresses[0], self._ports[scheme], TlsOptions(), host)
        pool = Pool(self._client, origin, None)
        try:
            connection = await self._client.connect(pool)
            try:
                return await _read(connection, host, path, most, seconds, param)
            finally:
                connection.release()
        except BadRequest:
            raise
        except PorticoError as error:
            raise _refused(param, "it could not be fetched", error.debug) from None
        finally:
            pool.close()

    def _parts(self, url: str, param: str) -> tuple[str, str, str]:
        """Host, request path and scheme of an address that may be asked for."""
        # Checked first: urlsplit takes out line ends and tabs without a word.
        if not url.isascii() or not url.isprintable() or " " in url:
            raise _refused(param, "it is not a valid address")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _refused(param, "it is not a valid address") from None
        scheme = parts.scheme.lower()
        if scheme not in self._ports or len(url) > LONGEST_URL:
            raise _refused(param, "only http and https addresses can be fetched")
        if port is not None and port != self._ports[scheme]:
            raise _refused(param, "its port cannot be used")
        if not parts.hostname or parts.username is not None:
            raise _refused(param, "it is not a valid address")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return parts.hostname, path, scheme


async def _read(
    connection: UpstreamConnection, host: str, path: str, most: int, seconds: float, param: str
) -> Content | str:
    named = f"[{host}]" if ":" in host else host
    head = (
        f"GET {path} HTTP/1.1\r\nhost: {named}\r\nuser-agent: portico\r\n"
        "accept: */*\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n"
    )
    connection.send(
        head.encode("ascii"), b"", most, first_byte=seconds, idle=seconds, total=seconds
    )
    await connection.answer()
    headers = connection.headers
    if connection.status in _MOVED:
        where = headers.get(b"location", b"").decode("latin-1")
        if not where:
            raise _refused(param, "it is redirected nowhere")
        return where
    if connection.status != 200:
        raise _refused(param, f"its server answered {connection.status}")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise _refused(param, "its server compressed it although identity was asked for")
    if not connection.complete or connection.buffered > most:
        raise _refused(param, f"it is larger than {most} bytes")
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return Content(connection.take(), media_type.decode("latin-1")[:128])


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, whatever it is written inside of."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None:
            return ip in _UNICAST and ip.is_global
        ip = inner
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _INSIDE)


def _joined(url: str, where: str, param: str) -> str:
    try:
        return urljoin(url, where)
    except ValueError:
        raise _refused(param, "it is redirected nowhere") from None


async def _system_resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().run_in_executor(
        _RESOLVERS, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    )
    return [str(row[4][0]) for row in found]


def _refused(param: str, why: str, debug: str = "") -> BadRequest:
    return BadRequest(
        f"The content at '{param}' cannot be used: {why}.",
        code="remote_content_failed",
        param=param,
        debug=debug,
    )
