"""`Frames`: a WebSocket client on a bare socket that sends exactly the frames it is told to."""

import asyncio
import struct
from typing import NamedTuple

from tests.support.raw import RawClient, RawResponse

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONT = 0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Key and answer of RFC 6455 section 1.3."""
HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": KEY,
}


class Got(NamedTuple):
    """One frame from the server."""

    opcode: int
    payload: bytes
    fin: bool

    @property
    def code(self) -> int:
        """The code of a close frame; 1005 if it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, bits: int = 0
) -> bytes:
    """One frame as bytes; `bits` are or-ed into its first byte."""
    first = opcode | (0x80 if fin else 0) | bits
    size, flag = len(payload), 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    if not mask:
        return head + payload
    # A mask of zeros is a mask like any other.
    return head + b"\0\0\0\0" + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """A masked close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


class Frames(RawClient):
    """A `RawClient` that can also speak in frames."""

    async def shake(self, target: str = "/", **headers: str) -> RawResponse:
        """Send the handshake and return the answer's head (or whole answer, if it is none)."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.request("GET", target, headers={**HANDSHAKE, **named})
        answer = await asyncio.wait_for(self.head(), 5)
        if answer.status != 101:
            await self._body(answer)
        return answer

    async def say(self, text: str | bytes) -> None:
        """Send one text message in one frame."""
        await self.send(frame(TEXT, text.encode() if isinstance(text, str) else text))

    async def hear(self, within: float = 5.0) -> Got:
        """The next frame. Raises EOFError at the end of the connection."""
        async with asyncio.timeout(within):
            first, second = await self._exactly(2)
            assert not second & 0x80, "a server masks nothing"
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await self._exactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self._exactly(8), "big")
            return Got(first & 0x0F, await self._exactly(size), bool(first & 0x80))

    async def heard(self, within: float = 5.0) -> bytes:
        """The payload of the next frame, which is a whole text message."""
        got = await self.hear(within)
        assert (got.opcode, got.fin) == (TEXT, True), got
        return got.payload

    async def ended(self, within: float = 5.0) -> int:
        """Wait for a close frame and the end of the connection; return the code."""
        while (got := await self.hear(within)).opcode != CLOSE:
            pass
        assert await self.read(1, within) == b""
        return got.code

    async def _exactly(self, size: int) -> bytes:
        if not await self._fill(size):
            raise EOFError
        return self._take(size)
