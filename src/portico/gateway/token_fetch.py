"""HTTP for the token endpoints of the clouds: a few small exchanges an hour.

What is asked comes from the operator's surroundings, never from a caller. The metadata services of
a machine are asked directly, as every SDK does: a proxy would be another machine.
"""

import asyncio
import ipaddress
from urllib.parse import urlsplit

from portico import __version__
from portico.errors import UpstreamProtocol
from portico.http.client import HttpClient, Origin, Pool

PATIENCE = 10.0
"""Seconds for one exchange, connecting included."""
LARGEST = 64 * 1024
_METADATA = frozenset(("metadata.google.internal", "metadata"))
_AGENT = f"portico/{__version__}"


class TokenFetch:
    """`fetch(method, url, headers, body) -> (status, headers, body)`; header names in lower case.

    Raises `PorticoError`, `TimeoutError`, and `ValueError` for what is no http address.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def __call__(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http address")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        origin = Origin(parts.scheme, parts.hostname, port)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = {
            "host": origin.authority.decode("ascii"),
            "user-agent": _AGENT,
            "accept-encoding": "identity",
            "content-length": str(len(body or b"")),
            **{name.lower(): value for name, value in headers.items()},
        }
        if body is None and method == "GET":
            del lines["content-length"]
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
            raise ValueError("a line end in a header")
        if not f"{method}{path}".isascii() or not path.isprintable() or " " in path:
            raise ValueError("not an http address")
        head = f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1")
        near = _is_near(origin.host)
        pool = Pool(self._client, origin, None) if near else self._client.pool(origin)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._exchange(pool, head, body or b"")
        finally:
            if near:
                pool.close()

    async def _exchange(
        self, pool: Pool, head: bytes, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        connection = await self._client.connect(pool)
        try:
            connection.send(head, body, LARGEST, first_byte=PATIENCE, idle=PATIENCE, total=PATIENCE)
            await connection.answer()
            if not connection.complete:
                raise UpstreamProtocol(f"an answer of more than {LARGEST} bytes")
            headers = {
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in connection.headers.items()
            }
            return connection.status, headers, connection.take()
        finally:
            connection.release()


def _is_near(host: str) -> bool:
    """Whether this is a service of the machine itself."""
    if host in _METADATA:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_link_local or address in _EC2_V6


_EC2_V6 = ipaddress.ip_network("fd00:ec2::/32")
