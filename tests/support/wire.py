"""One accepted connection of a `ScriptedUpstream`, and the requests read from it."""

import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from tests.support.steps import Send


@dataclass
class Received:
    """One request as it arrived. `head` has lower-case names; repeated fields joined by ", "."""

    method: str
    target: str
    head: dict[str, str]
    head_raw: bytes
    body: bytes = b""
    body_raw: bytes = b""
    connection: int = 0
    complete: bool = False

    @property
    def raw(self) -> bytes:
        """Every byte of the request."""
        return self.head_raw + self.body_raw

    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class GoneError(Exception):
    """The peer closed before the script was done."""


@dataclass
class Wire:
    """One accepted connection: bytes are read all the time, so that a close is seen at once."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    buffer: bytearray = field(default_factory=bytearray)
    total: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def pump(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self.reader.read(65536):
                self.buffer += data
                self.total += len(data)
                self.more.set()
        self.gone.set()
        self.more.set()

    async def until(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            await self.wait()
        return self._take(at + len(mark))

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.wait()
        return self._take(size)

    async def rest(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), seconds)
            raise GoneError

    async def wait(self) -> None:
        if self.gone.is_set():
            raise GoneError
        self.more.clear()
        await self.more.wait()

    def _take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data


async def read_body(wire: Wire, received: Received) -> None:
    """Read the body that the recorded head announces."""
    if "chunked" in received.head.get("transfer-encoding", ""):
        while True:
            line = await wire.until(b"\r\n")
            received.body_raw += line
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while (trailer := await wire.until(b"\r\n")) != b"\r\n":
                    received.body_raw += trailer
                received.body_raw += trailer
                return
            data = await wire.exactly(size + 2)
            received.body_raw += data
            received.body += data[:-2]
    else:
        received.body = await wire.exactly(int(received.head.get("content-length", "0")))
        received.body_raw = received.body


async def write(wire: Wire, step: Send) -> None:
    """Take a `Send` step."""
    size = step.size or max(len(step.data), 1)
    for start in range(0, len(step.data), size):
        if wire.gone.is_set():
            raise GoneError
        wire.writer.write(step.data[start : start + size])
        await wire.writer.drain()
        if step.gap:
            await wire.rest(step.gap)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
