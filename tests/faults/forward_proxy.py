"""A small forward proxy: absolute-form requests and CONNECT tunnels. Shares no code with Portico.

Every name leads to this machine, so that tests can name providers elsewhere.
"""

import asyncio
import contextlib
from urllib.parse import urlsplit


class ForwardProxy:
    """`heads` are the request heads it was sent. `refuse` answers CONNECT with 407."""

    def __init__(self, refuse: bool = False) -> None:
        self.heads: list[bytes] = []
        self.port = 0
        self._refuse = refuse
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "ForwardProxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            method, target, _ = head.split(b" ", 2)
            if method == b"CONNECT":
                if self._refuse:
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                    return
                port = target.decode().rpartition(":")[2]
                first = b""
            else:
                parts = urlsplit(target.decode())
                port = str(parts.port or 80)
                first = head.replace(target, parts.path.encode(), 1)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(port))
            writers.append(far_writer)
            if first:
                far_writer.write(first)
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(_pipe(reader, far_writer))
                group.create_task(_pipe(far_reader, writer))
        except* (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for each in writers:
                each.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
