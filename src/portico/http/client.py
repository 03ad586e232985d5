"""The HTTP client: pooled connections to origins that come from configuration only.

No redirects are followed, nothing is decompressed, and nothing is sent twice here: an idle
connection that turns out to be closed is replaced before the first byte of a request is written,
never after. Whether a request is sent again is decided by `routing.attempts`.
"""

import asyncio
import ssl
from time import monotonic
from typing import Any

from msgspec import Struct

from portico.errors import Overloaded, UpstreamUnreachable
from portico.http.deadlines import Sweeper
from portico.http.events import HttpEvents, NullEvents
from portico.http.proxies import Proxies, Proxy
from portico.http.upstream import UpstreamConnection
from portico.limits import UPSTREAM_CONNECTIONS, Deadlines, Limits

TUNNEL_HEAD = 8 * 1024


class TlsOptions(Struct, frozen=True):
    """How to verify, and present ourselves to, an origin. `root` is a PEM bundle path."""

    root: str | None = None
    cert: str | None = None
    key: str | None = None
    hostname: str | None = None
    insecure: bool = False


class Origin(Struct, frozen=True):
    """Where connections go; the key of a pool. `host` is a name or an address without brackets.
    `server_name` is who answers there, for TLS, where `host` is an address that was looked up."""

    scheme: str
    host: str
    port: int
    tls: TlsOptions = TlsOptions()
    server_name: str = ""

    @property
    def tls_name(self) -> str:
        """The name the certificate has to be for."""
        return self.tls.hostname or self.server_name or self.host

    @property
    def authority(self) -> bytes:
        """The `host` header's value: the port only where it is not the scheme's own."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return (name if self.port == default else f"{name}:{self.port}").encode("ascii")


class Pool:
    """The connections to one origin: a stack of idle ones, and all that are open."""

    __slots__ = ("_client", "_idle", "_open", "connecting", "events", "origin", "proxy")

    def __init__(self, client: "HttpClient", origin: Origin, proxy: Proxy | None) -> None:
        self._client = client
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self.connecting = 0
        self.origin = origin
        self.proxy = proxy
        self.events = client.events

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._client.limits

    @property
    def open_connections(self) -> int:
        """How many connections exist or are being made, idle ones included."""
        return len(self._open) + self.connecting

    @property
    def idle_connections(self) -> int:
        """How many are kept for the next request."""
        return len(self._idle)

    def take(self) -> UpstreamConnection | None:
        """An idle connection that is still open, the most recently used first."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    def keep(self, connection: UpstreamConnection) -> None:
        """Park a connection whose answer ended well."""
        client = self._client
        if client.closing or len(self._idle) >= client.limits.upstream_idle_connections:
            connection.close()
            return
        connection.deadline = monotonic() + client.deadlines.upstream_keep_alive
        self._idle.append(connection)

    def opened(self, connection: UpstreamConnection) -> None:
        """A connection was made."""
        self._open.add(connection)
        self._client.sweeper.members.add(connection)

    def closed(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        self._client.sweeper.members.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close everything."""
        for connection in list(self._open):
            connection.close()


class HttpClient:
    """Leases connections. One per worker; every method runs on the worker's loop."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        deadlines: Deadlines | None = None,
        sweeper: Sweeper | None = None,
        events: HttpEvents | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.deadlines = deadlines or Deadlines()
        self.sweeper = sweeper or Sweeper()
        self.events: HttpEvents = events or NullEvents()
        self.closing = False
        self._proxies = proxies or Proxies()
        self._pools: dict[Origin, Pool] = {}
        self._contexts: dict[TlsOptions, ssl.SSLContext] = {}

    def pool(self, origin: Origin) -> Pool:
        """The pool of an origin. Callers keep it: the look-up hashes the origin each time.

        Raises ValueError when the origin's TLS files cannot be used.
        """
        pool = self._pools.get(origin)
        if pool is None:
            if origin.tls != TlsOptions():
                self._context(origin.tls)  # bad files are found now, not at the first request
            proxy = self._proxies.route(origin.scheme, origin.host, origin.port)
            pool = self._pools[origin] = Pool(self, origin, proxy)
        return pool

    async def connect(self, pool: Pool, within: float | None = None) -> UpstreamConnection:
        """A new connection to the pool's origin, in `within` seconds (None: those of the
        deadlines). Raises `UpstreamUnreachable` or `Overloaded`."""
        if pool.open_connections >= self.limits.upstream_connections:
            raise Overloaded("Too many connections to the provider.", limit=UPSTREAM_CONNECTIONS)
        self.sweeper.start()
        pool.connecting += 1
        try:
            async with asyncio.timeout(self.deadlines.connect if within is None else within):
                connection = await self._open(pool)
        except TimeoutError:
            self.events.limit_hit("connect")
            raise _unreachable("did not accept a connection in time", "connect timeout") from None
        except ssl.SSLError as error:
            raise _unreachable("did not pass TLS verification", repr(error)) from error
        except (OSError, UnicodeError) as error:
            raise _unreachable("could not be reached", repr(error)) from error
        finally:
            pool.connecting -= 1
        if not connection.usable:
            raise _unreachable("closed the connection at once", "lost while connecting")
        # Not before: uvloop never reports the loss of a connection whose making was cancelled.
        pool.opened(connection)
        return connection

    def connections(self) -> tuple[int, int]:
        """How many connections are open or being made, and how many of them are idle."""
        pools = self._pools.values()
        return sum([p.open_connections for p in pools]), sum([p.idle_connections for p in pools])

    async def close(self) -> None:
        """Close all connections."""
        self.closing = True
        for pool in self._pools.values():
            pool.close()
        await asyncio.sleep(0)

    async def _open(self, pool: Pool) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        origin = pool.origin
        connection = UpstreamConnection(pool, loop)
        if pool.proxy is not None:
            await self._through(pool.proxy, connection, origin, loop)
            return connection
        if origin.scheme == "https":
            await loop.create_connection(
                lambda: connection,
                origin.host,
                origin.port,
                ssl=self._context(origin.tls),
                server_hostname=origin.tls_name,
            )
        else:
            await loop.create_connection(lambda: connection, origin.host, origin.port)
        return connection

    async def _through(
        self,
        proxy: Proxy,
        connection: UpstreamConnection,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Reach `origin` by a proxy: absolute-form requests for http, a tunnel for https."""
        proxy_tls = self._context(TlsOptions()) if proxy.tls else None
        if origin.scheme == "http":
            connection.proxy_prefix = b"http://" + origin.authority
            connection.proxy_header = proxy.header
            await loop.create_connection(lambda: connection, proxy.host, proxy.port, ssl=proxy_tls)
            return
        tunnel = _Tunnel(loop)
        transport, _ = await loop.create_connection(
            lambda: tunnel, proxy.host, proxy.port, ssl=proxy_tls
        )
        try:
            authority = f"{origin.host}:{origin.port}".encode("ascii")
            transport.write(
                b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (authority, authority, proxy.header)
            )
            await tunnel.opened
            secured: Any = await loop.start_tls(
                transport,
                connection,
                self._context(origin.tls),
                server_hostname=origin.tls_name,
            )
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise OSError("TLS through the tunnel failed")
        connection.connection_made(secured)

    def _context(self, options: TlsOptions) -> ssl.SSLContext:
        context = self._contexts.get(options)
        if context is None:
            context = self._contexts[options] = client_tls(options)
        return context


def client_tls(options: TlsOptions) -> ssl.SSLContext:
    """A verifying client context. Raises ValueError naming the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=options.root)
    except OSError as error:  # SSLError is one
        raise ValueError(f"cannot use CA file {options.root}: {_reason(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if options.cert is not None:
        try:
            context.load_cert_chain(options.cert, options.key)
        except OSError as error:
            files = f"certificate {options.cert} with key {options.key or options.cert}"
            raise ValueError(f"cannot use {files}: {_reason(error)}") from error
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: OSError) -> str:
    return error.strerror or "not valid PEM"


class _Tunnel(asyncio.Protocol):
    """The CONNECT handshake. `opened` resolves on 200 and fails with OSError on anything else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" not in self._head:
            if len(self._head) > TUNNEL_HEAD:
                self._fail("the proxy's answer is too long")
            return
        line = self._head.split(b"\r\n", 1)[0].split(b" ")
        if len(line) < 2 or line[1] != b"200":
            self._fail("the proxy refused the tunnel")
        elif not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the proxy closed the connection")

    def _fail(self, reason: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(OSError(reason))


def _unreachable(what: str, debug: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(f"The provider {what}.", debug=debug)
