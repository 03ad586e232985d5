"""`RawClient`: an HTTP/1.1 client on a bare socket that can misbehave, and says what it really got.

Reads go straight to the socket, without read-ahead, so that a slow reader is slow for the kernel
too: give `rcvbuf` to keep its buffer small.
"""

import asyncio
import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

_END = b"\r\n\r\n"


class TruncatedError(AssertionError):
    """The connection ended before a response head was complete."""


@dataclass
class RawResponse:
    """One response as it arrived. `ended` is False when the body stopped before its end.

    `framing` is "length", "chunked", "close" or "none"; `chunks` the sizes of the chunks;
    `interim` the status codes of 1xx heads before it.
    """

    status: int
    reason: str
    headers: list[tuple[str, str]]
    head: bytes
    framing: str
    body: bytes = b""
    ended: bool = False
    chunks: list[int] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The value of a header (repetitions joined by ", "), or None."""
        found = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(found) if found else None

    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    def data_lines(self) -> list[bytes]:
        """The payloads of the `data:` lines of an event stream."""
        lines = self.body.split(b"\n")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]


class RawClient:
    """One client connection. Every read has a deadline in seconds."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self.bytes_read = 0
        self.eof = False
        self.was_reset = False

    @classmethod
    async def connect(
        cls, port: int, host: str = "127.0.0.1", *, rcvbuf: int | None = None
    ) -> "RawClient":
        """Open a TCP connection; `rcvbuf` is SO_RCVBUF in bytes."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if rcvbuf is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes, *, size: int | None = None, gap: float = 0.0) -> None:
        """Send all of `data`; with `size`, in slices of that size, `gap` seconds apart."""
        loop = asyncio.get_running_loop()
        step = size or max(len(data), 1)
        for start in range(0, len(data), step):
            await loop.sock_sendall(self.sock, data[start : start + step])
            if size is not None:
                await asyncio.sleep(gap)

    async def request(
        self,
        method: str,
        target: str,
        body: bytes | dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        *,
        size: int | None = None,
    ) -> None:
        """Send a well-formed request; a dict body becomes JSON."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        lines = {"host": "test"}
        if data is not None:
            lines.update({"content-type": "application/json", "content-length": str(len(data))})
        lines.update(headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.send(
            f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + (data or b""), size=size
        )

    async def response(self, within: float = 5.0, *, head_only: bool = False) -> RawResponse:
        """Read one response to its end, or to wherever it stops.

        `head_only` for answers to HEAD. Raises TruncatedError or TimeoutError without a whole head.
        """
        async with asyncio.timeout(within):
            response = await self.head()
            if head_only:
                response.framing, response.ended = "none", True
            else:
                await self._body(response)
            return response

    async def head(self) -> RawResponse:
        """Read one response head (interim ones are collected); the body stays on the wire."""
        interim: list[int] = []
        while True:
            while _END not in self.buffer:
                if not await self._more():
                    raise TruncatedError(f"no response head, got {bytes(self.buffer[:200])!r}")
            raw = self._take(self.buffer.index(_END) + 4)
            first, *lines = raw[:-4].decode("latin-1").split("\r\n")
            _, code, *reason = first.split(" ", 2)
            status = int(code)
            if status >= 200 or status == 101:
                break
            interim.append(status)
        pairs = [line.partition(":") for line in lines]
        headers = [(name.lower(), value.strip()) for name, _, value in pairs]
        response = RawResponse(status, "".join(reason), headers, raw, "close", interim=interim)
        if status in (101, 204, 304):
            response.framing = "none"
        elif "chunked" in (response.header("transfer-encoding") or ""):
            response.framing = "chunked"
        elif response.header("content-length") is not None:
            response.framing = "length"
        return response

    async def read(self, size: int, within: float = 5.0) -> bytes:
        """Up to `size` bytes; b"" at the end of the connection."""
        async with asyncio.timeout(within):
            if not self.buffer:
                await self._more(size)
            return self._take(min(size, len(self.buffer)))

    async def read_slowly(self, seconds: float, rate: int) -> int:
        """Read `rate` bytes per second for `seconds`, ten times a second. Returns bytes read."""
        before = self.bytes_read
        until = time.perf_counter() + seconds
        while time.perf_counter() < until and not self.eof:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._more(max(rate // 10, 1))
            self.buffer.clear()
            await asyncio.sleep(0.1)
        return self.bytes_read - before

    async def closed(self, within: float) -> float:
        """Return the seconds until the peer closed, discarding what it sends. TimeoutError late."""
        start = time.perf_counter()
        async with asyncio.timeout(within):
            while await self._more():
                self.buffer.clear()
        return time.perf_counter() - start

    def half_close(self) -> None:
        """Send FIN, keep reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def rst(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close in good order."""
        self.sock.close()

    async def __aenter__(self) -> "RawClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _body(self, response: RawResponse) -> None:
        if response.framing == "none":
            response.ended = True
        elif response.framing == "length":
            size = int(response.header("content-length") or "0")
            response.ended = await self._fill(size)
            response.body = self._take(min(size, len(self.buffer)))
        elif response.framing == "chunked":
            await self._chunks(response)
        else:
            while await self._more():
                pass
            response.body = self._take(len(self.buffer))
            response.ended = not self.was_reset

    async def _chunks(self, response: RawResponse) -> None:
        body = bytearray()
        while True:
            if (line := await self._line()) is None:
                break
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while trailer := await self._line():
                    pass
                response.ended = trailer is not None
                break
            whole = await self._fill(size + 2)
            body += self._take(size)
            if not whole:
                break
            assert self._take(2) == b"\r\n", "a chunk does not end with CRLF"
            response.chunks.append(size)
        response.body = bytes(body)

    async def _line(self) -> bytes | None:
        while b"\r\n" not in self.buffer:
            if not await self._more():
                return None
        return self._take(self.buffer.index(b"\r\n") + 2)[:-2]

    async def _fill(self, size: int) -> bool:
        while len(self.buffer) < size:
            if not await self._more():
                return False
        return True

    async def _more(self, size: int = 65536) -> bool:
        if self.eof:
            return False
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, size)
        except ConnectionError:
            self.was_reset = True
            data = b""
        self.eof = not data
        self.buffer += data
        self.bytes_read += len(data)
        return bool(data)

    def _take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data
