"""`portico` as its users run it: a process, its output, its signals, its exit code."""

import asyncio
import atexit
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.support.gateway import sample
from tests.support.raw import RawClient, RawResponse

Run = Callable[..., Awaitable["Portico"]]

_KEYS = re.compile(r"PORTICO_|OPENAI_|ANTHROPIC_|GEMINI_|GOOGLE_|.*_PROXY$", re.IGNORECASE)


_DATA = tempfile.mkdtemp(prefix="portico-tests-")
atexit.register(shutil.rmtree, _DATA, ignore_errors=True)


def clean_env(**more: str) -> dict[str, str]:
    """The environment without what would change how the gateway starts. What it stores by default
    is not stored in anybody's home."""
    env = {name: value for name, value in os.environ.items() if not _KEYS.match(name)}
    return {**env, "XDG_DATA_HOME": _DATA, **more}


class Portico:
    """One running `portico` process. Lines of stdout and stderr pile up in `out` and `err`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._news = asyncio.Event()
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.ensure_future(self._read(process.stdout, self.out)),
            asyncio.ensure_future(self._read(process.stderr, self.err)),
        ]

    @property
    def text(self) -> str:
        """All of stdout so far."""
        return "\n".join(self.out)

    async def line(self, pattern: str, within: float = 15.0) -> re.Match[str]:
        """The first line of either stream that matches. AssertionError when late."""
        try:
            async with asyncio.timeout(within):
                while True:
                    for line in (*self.out, *self.err):
                        if found := re.search(pattern, line):
                            return found
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no line like {pattern!r} in\n{self.text}\n{self.err}") from None

    async def port(self) -> int:
        """Where the gateway listens, as it says."""
        return int((await self.line(r"listening on\s+https?://\S+:(\d+)$"))[1])

    async def admin_port(self) -> int:
        """Where the admin listener is, as it says."""
        return int((await self.line(r"admin\s+http://\S+:(\d+)\s"))[1])

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> RawResponse:
        """One request on a connection of its own."""
        async with await RawClient.connect(await self.port()) as client:
            await client.request(method, path, body, headers)
            return await client.response()

    async def page(self, path: str) -> RawResponse:
        """One page of the admin listener."""
        async with await RawClient.connect(await self.admin_port()) as client:
            await client.request("GET", path, None, {"host": "127.0.0.1"})
            return await client.response()

    async def sample(self, name: str, **labels: str) -> float:
        """One scrape, added up."""
        return sample((await self.page("/metrics")).body.decode(), name, **labels)

    async def until(self, wanted: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
        """Return once `wanted()` is true. AssertionError when late."""
        try:
            async with asyncio.timeout(within):
                while not await wanted():  # noqa: ASYNC110 - another process, there is no event
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never happened; {self.text}\n{self.err}") from None

    def signal(self, number: int) -> None:
        """Send a signal to this process only."""
        self.process.send_signal(number)

    async def exit(self, within: float = 10.0) -> int:
        """The exit code, once all output is read."""
        async with asyncio.timeout(within):
            await asyncio.gather(*self._readers)
            return await self.process.wait()

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        while line := await stream.readline():
            lines.append(line.decode().rstrip("\n"))
            self._news.set()


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """`await run("serve", "--demo")` starts `python -m portico`; all are killed at the end."""
    started: list[Portico] = []

    async def start(*args: str, env: dict[str, str] | None = None) -> Portico:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "portico", *args,
            env=clean_env(**(env or {})), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 20,
        )  # fmt: skip
        started.append(Portico(process))
        return started[-1]

    yield start
    for portico in started:
        with contextlib.suppress(ProcessLookupError):
            portico.process.kill()
        await portico.exit()
