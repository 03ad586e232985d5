"""Clients that misbehave on purpose, on bare sockets.

results = await crowd(200, lambda number: loris(port, raw, first=20, every=0.2))
await slow_readers(clients, rate=1024, seconds=5.0)
found = await exchange(port, raw)  # bytes out; the answers, and what stands behind them
leave(client, "rst")
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.support.gateway import CALLER_KEY
from tests.support.raw import RawClient, RawResponse

T = TypeVar("T")


@dataclass
class Exchange:
    """What came back for some bytes. `closed` says that the gateway closed, `was_reset` how;
    `seconds` is the time until it did, or until nothing came any more."""

    answers: list[RawResponse] = field(default_factory=list)
    rest: bytes = b""
    closed: bool = False
    was_reset: bool = False
    seconds: float = 0.0

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers."""
        return [answer.status for answer in self.answers]


async def exchange(
    port: int, data: bytes, *, size: int | None = None, gap: float = 0.0, quiet: float = 2.0,
    most: int = 100, half_close: bool = False,
) -> Exchange:  # fmt: skip
    """Send bytes (in slices of `size`, `gap` seconds apart) and read answers until the gateway
    closes, or says nothing for `quiet` seconds, or gave `most` answers."""
    found = Exchange()
    start = time.perf_counter()
    async with await RawClient.connect(port) as client:
        sending = asyncio.ensure_future(_send(client, data, size, gap))
        if half_close:
            await sending
            client.half_close()
        try:
            while len(found.answers) < most:
                found.answers.append(await client.response(quiet))
        except TimeoutError:
            pass
        except (AssertionError, ValueError):  # no head, or none that is one
            found.closed = client.eof
        found.rest, found.was_reset = bytes(client.buffer), client.was_reset
        found.closed = found.closed or client.eof
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    found.seconds = time.perf_counter() - start
    return found


def post(
    path: str, body: bytes | dict[str, Any], *lines: str, key: str | None = CALLER_KEY,
    version: str = "HTTP/1.1",
) -> bytes:  # fmt: skip
    """The bytes of a well-formed request, with further header lines."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    head = [f"POST {path} {version}", "host: gateway", "content-type: application/json"]
    if key is not None:
        head.append(f"authorization: Bearer {key}")
    head += [f"content-length: {len(data)}", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + data


async def loris(
    port: int, data: bytes, *, first: int, every: float, give_up: float = 30.0
) -> tuple[bytes, float]:
    """Send `first` bytes at once and then one every so often. What was answered, and the seconds
    until the gateway closed."""
    async with await RawClient.connect(port) as client:
        start = time.perf_counter()
        with contextlib.suppress(ConnectionError):
            await client.send(data[:first])
        reading = asyncio.ensure_future(_everything(client, give_up))
        for byte in data[first:]:
            await asyncio.wait((reading,), timeout=every)
            if reading.done():
                break
            with contextlib.suppress(ConnectionError):
                await client.send(bytes([byte]))
        return await reading, time.perf_counter() - start


async def slow_readers(clients: Iterable[RawClient], rate: int, seconds: float) -> None:
    """Let them all read `rate` bytes per second for a while."""
    await asyncio.gather(*(client.read_slowly(seconds, rate) for client in clients))


async def connections(port: int, count: int, at_once: int = 100) -> list[RawClient]:
    """So many open connections that say nothing."""
    found: list[RawClient] = []
    while len(found) < count:
        some = min(at_once, count - len(found))
        found += await asyncio.gather(*(RawClient.connect(port) for _ in range(some)))
    return found


async def storm(port: int, count: int, seconds: float, data: bytes = b"") -> int:
    """Connect, perhaps say something, and leave, so often in that time. How many it were."""
    start = time.perf_counter()
    done = 0
    while done < count and time.perf_counter() < start + seconds:
        for number, client in enumerate(await connections(port, 25)):
            with contextlib.suppress(ConnectionError):
                if data and number % 3 == 0:
                    await client.send(data)
            leave(client, "rst" if number % 2 else "fin")
            done += 1
    return done


async def crowd(
    count: int, work: Callable[[int], Awaitable[T]], at_once: int | None = None
) -> list[T]:
    """`work(number)` for all of them, `at_once` or all together."""
    gate = asyncio.Semaphore(at_once or count)

    async def one(number: int) -> T:
        async with gate:
            return await work(number)

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def leave(client: RawClient, how: str) -> None:
    """Close: `fin` in good order, `rst` with a reset."""
    client.rst() if how == "rst" else client.close()


async def _send(client: RawClient, data: bytes, size: int | None, gap: float) -> None:
    with contextlib.suppress(ConnectionError):  # answered and closed before everything was said
        await client.send(data, size=size, gap=gap)


async def _everything(client: RawClient, within: float) -> bytes:
    received = b""
    while piece := await client.read(1 << 16, within):
        received += piece
    return received
