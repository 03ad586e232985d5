"""Following a run through Redis: at once while it is there, in silence while it is not."""

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.stored import ALICE, BOB, logged

from portico.store.opening import open_tail
from portico.store.redis import MOST_EVENTS, RedisTail

REQUIRE = "PORTICO_REQUIRE_REDIS"
PROGRAMS = ("redis-server", "valkey-server")


class Server:
    """A Redis of our own on a loopback port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)))
        self.process = await asyncio.create_subprocess_exec(
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(self.folder), "--appendonly", "no",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(500):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
        raise RuntimeError("redis does not start")

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
            self.process = None


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A running server."""
    if not any(map(shutil.which, PROGRAMS)) and not os.environ.get(REQUIRE):
        pytest.skip(f"no redis-server: TAILING NOT TESTED ({REQUIRE}=1 makes this fail)")
    made = Server(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def tails(server: Server) -> AsyncIterator[tuple[RedisTail, RedisTail]]:
    """Two gateways' tails on one server."""
    pair = RedisTail(server.url), RedisTail(server.url)
    yield pair
    for tail in pair:
        await tail.close()


async def test_what_one_publishes_the_other_follows(tails: tuple[RedisTail, RedisTail]) -> None:
    first, second = tails
    await first.publish(ALICE, "r", logged(0, 1, 2))
    assert await second.follow(ALICE, "r", -1, 5) == logged(0, 1, 2)
    assert await second.follow(ALICE, "r", 0, 5) == logged(1, 2)
    waiting = asyncio.create_task(second.follow(ALICE, "r", 2, 30))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await first.publish(ALICE, "r", logged(3, 4))
    assert (await waiting)[0] == logged(3)[0]
    assert await second.follow(ALICE, "r", 3, 5) == logged(4)


async def test_nothing_new_is_an_empty_answer(tails: tuple[RedisTail, RedisTail]) -> None:
    first, second = tails
    await first.publish(ALICE, "r", logged(0))
    await first.publish(ALICE, "r", [])
    assert await second.follow(ALICE, "r", 0, 0.02) == []
    assert await second.follow(ALICE, "other", -1, 0.02) == []
    assert await second.follow(BOB, "r", -1, 0.02) == []


async def test_an_event_that_is_there_already_is_not_there_twice(
    tails: tuple[RedisTail, RedisTail], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = tails
    await first.publish(ALICE, "r", logged(0, 1))
    await second.publish(ALICE, "r", logged(1, 2))
    assert await first.follow(ALICE, "r", -1, 5) == logged(0, 1, 2)
    assert caplog.records == []


async def test_a_stream_with_a_gap_tells_nothing_behind_it(
    tails: tuple[RedisTail, RedisTail],
) -> None:
    first, second = tails
    await first.publish(ALICE, "r", logged(0, 1, 5))
    assert await second.follow(ALICE, "r", -1, 5) == logged(0, 1)
    assert await second.follow(ALICE, "r", 1, 0.02) == []
    assert await second.follow(ALICE, "r", 4, 5) == logged(5)


async def test_a_stream_is_bounded_and_expires(
    tails: tuple[RedisTail, RedisTail], server: Server
) -> None:
    first, _ = tails
    for start in range(0, 5 * MOST_EVENTS, 500):
        await first.publish(ALICE, "r", logged(*range(start, start + 500)))
    (key,) = await first._redis.keys("*")
    assert await first._redis.xlen(key) < 2 * MOST_EVENTS
    assert 0 < await first._redis.ttl(key) <= 300


async def test_a_server_that_is_away_is_said_once_and_found_again(
    tails: tuple[RedisTail, RedisTail],
    server: Server,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("portico.store.redis.SILENT_SECONDS", 0.0)
    first, second = tails
    await first.publish(ALICE, "r", logged(0))
    assert await second.follow(ALICE, "r", -1, 5) == logged(0)
    await server.stop()
    with caplog.at_level(logging.WARNING, "portico.store"):
        for _ in range(3):
            await first.publish(ALICE, "r", logged(1))
            assert await first.follow(ALICE, "r", 0, 0.02) == []
    assert len(caplog.records) == 1
    await server.start()
    await first.publish(ALICE, "r", logged(0, 1))
    assert await second.follow(ALICE, "r", -1, 5) == logged(0, 1)


async def test_a_follower_that_leaves_harms_nobody(tails: tuple[RedisTail, RedisTail]) -> None:
    first, second = tails
    waiting = [asyncio.create_task(second.follow(ALICE, "r", -1, 30)) for _ in range(20)]
    await asyncio.sleep(0.05)
    for task in waiting[:10]:
        task.cancel()
    await first.publish(ALICE, "r", logged(0))
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done[:10])
    assert all(one == logged(0) for one in done[10:])


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1", "localhost:6379", "redis://u:se/cret@h:port/0"]
)
def test_a_url_that_names_no_redis_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Redis") as caught:
        open_tail(url)
    assert "se" not in str(caught.value).split()
