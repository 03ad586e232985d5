"""`ScriptedUpstream`: a fake provider that does exactly what a script says, on raw sockets.

Each request takes the next script: a list of steps, nested lists opened up. A script that starts
with `expect()` waits for a request; any other starts as soon as a connection opens (for faults at
connect). After a script without `fin`, `rst` or `hang` the connection waits for its next request:

    upstream = await ScriptedUpstream.start(
        [expect(), send(http_json(200, {"ok": True}))],
        [expect(), sse(["one", "two"], end=False), rst()],
    )

Shares no code with Portico.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Self

from tests.support.steps import (
    LAST_CHUNK,
    Expect,
    Hang,
    Rst,
    Script,
    Send,
    Sleep,
    Step,
    chunk,
    expect,
    fin,
    flat,
    frame,
    hang,
    http_head,
    http_json,
    rst,
    send,
    sleep,
    sse,
)
from tests.support.wire import GoneError, Received, Wire, read_body, reset, write

__all__ = [
    "LAST_CHUNK",
    "Received",
    "Script",
    "ScriptedUpstream",
    "Step",
    "chunk",
    "expect",
    "fin",
    "frame",
    "hang",
    "http_head",
    "http_json",
    "rst",
    "send",
    "sleep",
    "sse",
]


class ScriptedUpstream:
    """See the module docstring. Use `start`, or `async with await ScriptedUpstream.start(...)`."""

    def __init__(self, *scripts: Script, default: Script | None = None) -> None:
        self.scripts: list[list[Step]] = [flat(script) for script in scripts]
        self.default = flat(default) if default is not None else None
        self.requests: list[Received] = []
        self.opened = 0
        self.exhausted = 0
        self.port = 0
        self._wires: list[Wire] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(
        cls,
        *scripts: Script,
        default: Script | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """Listen on a free port."""
        self = cls(*scripts, default=default)
        self._server = await asyncio.start_server(self._accept, host, 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        """The base URL, without `/v1`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_now(self) -> int:
        """Connections that neither side has closed."""
        return sum(not wire.gone.is_set() for wire in self._wires)

    @property
    def bytes_read(self) -> int:
        """Bytes received over all connections."""
        return sum(wire.total for wire in self._wires)

    def add(self, *scripts: Script) -> None:
        """Append scripts for later requests."""
        self.scripts.extend(flat(script) for script in scripts)

    async def wait_requests(self, count: int, within: float = 5.0) -> None:
        """Return once `count` requests were read. Raises AssertionError when late."""
        await self._until(lambda: len(self.requests) >= count, within, f"{count} requests")

    async def wait_open(self, count: int, within: float = 5.0) -> None:
        """Return once `count` connections have been accepted. Raises AssertionError when late."""
        await self._until(lambda: self.opened >= count, within, f"{count} connections")

    async def wait_closed(self, within: float = 0.3) -> float:
        """Return the seconds until no connection is open. Raises AssertionError when late."""
        start = time.perf_counter()
        await self._until(lambda: self.open_now == 0, within, "every connection closed")
        return time.perf_counter() - start

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> "ScriptedUpstream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _until(self, done: Callable[[], bool], within: float, what: str) -> None:
        deadline = time.perf_counter() + within
        while not done():
            left = deadline - time.perf_counter()
            if left <= 0:
                raise AssertionError(
                    f"not within {within} s: {what} (opened {self.opened}, open {self.open_now}, "
                    f"requests {len(self.requests)})"
                )
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.opened += 1
        wire = Wire(reader, writer, self.opened)
        self._wires.append(wire)
        pump = asyncio.create_task(self._pump(wire))
        self._changed.set()
        try:
            while await self._serve(wire):
                pass
        except (GoneError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            pump.cancel()
            wire.gone.set()
            self._changed.set()
            writer.close()

    async def _pump(self, wire: Wire) -> None:
        await wire.pump()
        self._changed.set()

    async def _serve(self, wire: Wire) -> bool:
        """Run one script. False when the connection is finished."""
        if not self.scripts or isinstance(self.scripts[0][0], Expect):
            while not wire.buffer:  # an idle connection takes no script from the others
                await wire.wait()
        if self.scripts:
            script = self.scripts.pop(0)
        elif self.default is not None:
            script = self.default
        else:
            self.exhausted += 1
            script = [Expect(), Send(http_json(500, {"error": {"message": "script exhausted"}}))]
        for step in script:
            if isinstance(step, Expect):
                await self._read(wire, step.body)
            elif isinstance(step, Send):
                await write(wire, step)
            elif isinstance(step, Sleep):
                await wire.rest(step.seconds)
            elif isinstance(step, Hang):
                await wire.rest(None)
            else:
                await wire.writer.drain()
                if isinstance(step, Rst):
                    reset(wire.writer)
                return False
        return True

    async def _read(self, wire: Wire, with_body: bool) -> None:
        raw = await wire.until(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        head: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            head[key] = f"{head[key]}, {value.strip()}" if key in head else value.strip()
        received = Received(method, target, head, raw, connection=wire.number)
        self.requests.append(received)
        if with_body:
            await read_body(wire, received)
            received.complete = True
        self._changed.set()
