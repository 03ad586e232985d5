"""An in-process TCP proxy that makes a good connection bad, after Shopify's toxiproxy.

    proxy = await TcpProxy.start(upstream.port, down=Toxics(latency=0.1, slicer=1))

`up` is client to upstream, `down` upstream to client. Both can be replaced while connections run;
the next piece of data sees the new toxics.
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

_PIECE = 16 * 1024


@dataclass(frozen=True)
class Toxics:
    """What happens to one direction. Times in seconds, sizes in bytes; all at once if you like.

    latency      delay of every piece of data
    bandwidth    bytes per second
    slicer       largest piece written at once, `slicer_gap` seconds apart
    limit_data   after this many bytes, close in good order
    reset_peer   this long after the connection opened, reset both sides
    timeout      pass nothing on, close after this long (0: never)
    slow_close   delay of passing on the end of the data
    """

    latency: float = 0.0
    bandwidth: int | None = None
    slicer: int | None = None
    slicer_gap: float = 0.0
    limit_data: int | None = None
    reset_peer: float | None = None
    timeout: float | None = None
    slow_close: float = 0.0


CLEAN = Toxics()


class _CutError(Exception):
    """A toxic ends the connection; `hard` with a reset."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.hard = hard


class TcpProxy:
    """See the module docstring. `opened` and `open_now` count client connections."""

    def __init__(self, target: int, host: str, up: Toxics, down: Toxics) -> None:
        self.up = up
        self.down = down
        self.port = 0
        self.opened = 0
        self._target = (host, target)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls, target: int, host: str = "127.0.0.1", *, up: Toxics = CLEAN, down: Toxics = CLEAN
    ) -> "TcpProxy":
        """Listen on a free loopback port and forward to `host:target`."""
        self = cls(target, host, up, down)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        """The base URL of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_now(self) -> int:
        """Connections being proxied."""
        return len(self._tasks)

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> "TcpProxy":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.opened += 1
        writers = [writer]
        hard = False
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            writers.append(far_writer)
            async with asyncio.TaskGroup() as group:
                ways = [
                    group.create_task(self._flow(reader, far_writer, "up")),
                    group.create_task(self._flow(far_reader, writer, "down")),
                ]
                group.create_task(self._reset_later(ways))
        except* (_CutError, OSError) as errors:
            hard = any(not isinstance(e, _CutError) or e.hard for e in errors.exceptions)
        except* asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            for each in writers:
                _reset(each) if hard else each.close()

    async def _reset_later(self, ways: list[asyncio.Task[None]]) -> None:
        times = [t.reset_peer for t in (self.up, self.down) if t.reset_peer is not None]
        done, _ = await asyncio.wait(ways, timeout=min(times, default=None))
        if len(done) < len(ways) and times:
            raise _CutError(hard=True)

    async def _flow(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        passed = 0
        toxics: Toxics = getattr(self, way)
        while toxics.timeout is None and (data := await reader.read(_PIECE)):
            toxics = getattr(self, way)
            if toxics.latency:
                await asyncio.sleep(toxics.latency)
            left = len(data) if toxics.limit_data is None else toxics.limit_data - passed
            for piece in _sliced(data[: max(left, 0)], toxics.slicer):
                writer.write(piece)
                await writer.drain()
                passed += len(piece)
                await asyncio.sleep(toxics.slicer_gap)
                if toxics.bandwidth:
                    await asyncio.sleep(len(piece) / toxics.bandwidth)
            if toxics.limit_data is not None and passed >= toxics.limit_data:
                raise _CutError(hard=False)
        if toxics.timeout is not None:
            await asyncio.sleep(toxics.timeout or 3600.0)
            raise _CutError(hard=False)
        if toxics.slow_close:
            await asyncio.sleep(toxics.slow_close)
        with contextlib.suppress(OSError):
            writer.write_eof()


def _sliced(data: bytes, size: int | None) -> list[bytes]:
    if size is None:
        return [data] if data else []
    return [data[start : start + size] for start in range(0, len(data), size)]


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
