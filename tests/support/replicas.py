"""Gateways as processes that may be killed, on one database, before one demo provider of the test.

    replicas = await Replicas.start(tmp_path)
    one = await replicas.serve(url)
    one.kill()

`SPLICE` and `TRANSLATE` name a model of each lane.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.cli.conftest import Portico, clean_env
from tests.support.databases import REQUIRE, binaries, drop_database, new_database, shared_cluster
from tests.support.raw import RawClient, RawResponse
from tests.support.stateful import Heard
from tests.unit.store.test_redis_tail import PROGRAMS
from tests.unit.store.test_redis_tail import REQUIRE as REQUIRE_REDIS
from tests.unit.store.test_redis_tail import Server as Redis

from portico.demo.provider import DemoProvider
from portico.demo.server import RunningDemo, start_demo
from portico.http.messages import Reply, Request

SPLICE, TRANSLATE = "splice", "translate"
LANES = (SPLICE, TRANSLATE)
LIVE = ("queued", "in_progress")
OVER = ("response.completed", "response.failed", "response.incomplete")
LEASE, RENEW = 3.0, 0.5
"""Times of a lease that a test can wait for."""

_ROOT = Path(__file__).parents[2]
_SEAL = "a-key-of-tests-that-all-replicas-share"

T = TypeVar("T")
R = TypeVar("R")


class _Overheard(DemoProvider):
    """Notes what it is asked, and whether it was let finish."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []

    async def handle(self, request: Request, reply: Reply) -> None:
        heard = Heard(request)
        self.heard.append(heard)
        try:
            await super().handle(request, reply)
        except asyncio.CancelledError:
            heard.cancelled = True
            raise
        finally:
            heard.over.set()


class Client(RawClient):
    """One connection, for one request after another, whole or as events while they come."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._events: deque[dict[str, Any]] = deque()
        self._held = b""
        self._over = False
        self.done = False
        """`[DONE]` came."""

    async def json(
        self, method: str, path: str, body: Any = None, within: float = 30.0
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a request. Raises when the answer is cut."""
        answer = await self.whole(method, path, body, within)
        return answer.status, answer.json()

    async def whole(
        self, method: str, path: str, body: Any = None, within: float = 30.0
    ) -> RawResponse:
        """The answer to a request. Raises `EOFError` when it is cut, `OSError`."""
        try:
            await self.request(method, path, body)
            answer = await self.response(within)
        except AssertionError as error:  # no head
            raise EOFError from error
        if not answer.ended:
            raise EOFError
        return answer

    async def listen(self, method: str, path: str, body: Any = None) -> None:
        """Begin a stream. Raises `EOFError`, `OSError`; AssertionError if it is none."""
        await self.request(method, path, body)
        self._over = self.done = False
        self._held = b""
        async with asyncio.timeout(30):
            try:
                head = await self.head()
            except AssertionError as error:
                raise EOFError from error
            kind = head.header("content-type") or ""
            if not kind.startswith("text/event-stream") or head.framing != "chunked":
                await self._body(head)
                raise AssertionError(f"no stream: {head.status} {head.body!r}")

    async def event(self, within: float = 30.0) -> dict[str, Any] | None:
        """The next event; None when the stream is over, in order (`done`) or not."""
        async with asyncio.timeout(within):
            while not self._events:
                if self._over or not await self._read_chunk():
                    return None
            return self._events.popleft()

    async def some(self, count: int) -> list[dict[str, Any]]:
        """The next events, which have to come."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            event = await self.event()
            assert event is not None, found[-1:]
            found.append(event)
        return found

    async def events(self, within: float = 60.0) -> list[dict[str, Any]]:
        """The events that still come."""
        found = []
        async with asyncio.timeout(within):
            while (event := await self.event(within)) is not None:
                found.append(event)
        return found

    async def _read_chunk(self) -> bool:
        line = await self._line()
        size = int(line, 16) if line else -1
        if size <= 0:
            self._over = True
            if line:
                await self._line()
            return False
        whole = await self._fill(size + 2)
        *frames, self._held = (self._held + self._take(size)).split(b"\n\n")
        self._take(2)
        for frame in frames:
            data = b"".join(x[5:].strip() for x in frame.split(b"\n") if x.startswith(b"data:"))
            if data == b"[DONE]":
                self.done = True
            elif data:
                self._events.append(json.loads(data))
        self._over = not whole
        return True


class Replica:
    """One running `portico serve`; or one of its worker processes, `pid`, as a server."""

    def __init__(self, portico: Portico, port: int, pid: int | None = None) -> None:
        self.portico = portico
        self.port = port
        self.pid = pid
        self._clients: list[Client] = []

    @property
    def pids(self) -> list[int]:
        """Its processes, the first one first."""
        pid = self.portico.process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, workers)]

    @property
    def workers(self) -> list["Replica"]:
        """Its worker processes, each as a server of its own."""
        made = [Replica(self.portico, self.port, pid) for pid in self.pids[1:]]
        for each in made:
            each._clients = self._clients
        return made

    async def client(self) -> Client:
        """A new connection."""
        for _ in range(200):
            client = await Client.connect(self.port)
            assert isinstance(client, Client)
            self._clients.append(client)
            if self.pid is None:
                return client
            with contextlib.suppress(OSError, EOFError):  # it may be a worker's that just died
                await client.json("GET", "/v1/responses/resp_none")  # now it is somebody's
                if _serves(self.pid, client):
                    return client
        raise AssertionError(f"no connection is served by {self.pid}")

    def hang_up(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    async def json(
        self, method: str, path: str, body: Any = None, within: float = 30.0
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one request on a connection of its own."""
        client = await self.client()
        try:
            return await client.json(method, path, body, within)
        finally:
            client.close()

    async def create(self, model: str, said: Any, **more: Any) -> dict[str, Any]:
        """A response, which has to be one."""
        status, body = await self.json(
            "POST", "/v1/responses", {"model": model, "input": said, **more}
        )
        assert status == 200, body
        return body

    async def get(self, id: str) -> dict[str, Any]:
        """A stored response, which has to be there."""
        status, body = await self.json("GET", f"/v1/responses/{id}")
        assert status == 200, body
        return body

    async def stream(self, model: str, said: Any, **more: Any) -> Client:
        """The stream of a new response."""
        client = await self.client()
        body = {"model": model, "input": said, "stream": True, **more}
        await client.listen("POST", "/v1/responses", body)
        return client

    async def follow(self, id: str, after: int | None = None) -> Client:
        """The stream of a background response, from behind event `after` on."""
        client = await self.client()
        more = "" if after is None else f"&starting_after={after}"
        await client.listen("GET", f"/v1/responses/{id}?stream=true{more}")
        return client

    async def ended(self, id: str, within: float = 60.0) -> dict[str, Any]:
        """A background response when it is over."""
        client = await self.client()
        async with asyncio.timeout(within):
            while True:
                status, found = await client.json("GET", f"/v1/responses/{id}")
                assert status == 200, found
                if found["status"] not in LIVE:
                    return found
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL to all its processes; it is gone on return."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.portico.exit(30)

    async def terminate(self, within: float = 60.0) -> int:
        """SIGTERM; the exit code."""
        self.portico.signal(signal.SIGTERM)
        return await self.portico.exit(within)


class Replicas:
    """Starts gateways. `heard` is what reached the provider."""

    def __init__(self, folder: Path, demo: RunningDemo, heard: list[Heard]) -> None:
        self.folder = folder
        self.demo = demo
        self.heard = heard
        self._started: list[Replica] = []

    @classmethod
    async def start(cls, folder: Path) -> "Replicas":
        """Start the provider; configurations go into `folder`."""
        provider = _Overheard()
        return cls(folder, await start_demo(provider=provider), provider.heard)

    async def serve(
        self,
        database: str,
        *,
        lease: tuple[float, float] | None = None,
        redis: str | None = None,
        workers: int = 1,
        **deadlines: str,
    ) -> Replica:
        """Start a gateway; it listens on return. `lease`: how long, and how often renewed."""
        portico = await self.launch(
            database, lease=lease, redis=redis, workers=workers, **deadlines
        )
        said = asyncio.ensure_future(portico.line(_LISTENING, 60))
        over = asyncio.ensure_future(portico.process.wait())
        await asyncio.wait((said, over), return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            said.cancel()
            await portico.exit()
            raise AssertionError(f"it ended at once: {portico.err}")
        over.cancel()
        self._started.append(Replica(portico, int((await said)[1])))
        return self._started[-1]

    async def launch(
        self,
        database: str,
        *,
        lease: tuple[float, float] | None = None,
        redis: str | None = None,
        workers: int = 1,
        **deadlines: str,
    ) -> Portico:
        """Start the process of a gateway, which may not get far."""
        file = self.folder / f"{os.urandom(6).hex()}.yaml"
        file.write_text(json.dumps(self._document(database, redis, deadlines)))
        module = ["portico"] if lease is None else ["tests.support.short_leases", *map(str, lease)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, "serve", "--config", str(file), "--port", "0",
            "--admin", "off", "--workers", str(workers),
            cwd=_ROOT, env=clean_env(), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 20,
        )  # fmt: skip
        return Portico(process)

    def calls(self, words: str) -> list[Heard]:
        """What reached the provider with these words in it."""
        return [each for each in self.heard if words.encode() in each.body]

    async def call(self, words: str, within: float = 20.0) -> Heard:
        """The latest request with these words in it, once there is one."""
        async with asyncio.timeout(within):
            while not self.calls(words):  # noqa: ASYNC110 - the provider tells nobody
                await asyncio.sleep(0.01)
        return self.calls(words)[-1]

    async def stop(self) -> None:
        """Kill what still runs."""
        for replica in self._started:
            replica.hang_up()
            if replica.portico.process.returncode is None:
                await replica.kill()
        await self.demo.stop()

    def _document(
        self, database: str, redis: str | None, deadlines: dict[str, str]
    ) -> dict[str, Any]:
        url = self.demo.url
        key = {"apiKey": "sk-of-the-operator"}
        names = {
            SPLICE: ("openAI", {"baseUrl": f"{url}/v1", "model": "gpt-5.5"}),
            TRANSLATE: ("anthropic", {"baseUrl": url, "model": "claude-sonnet-4-5"}),
        }
        return {
            "llm": {
                "models": [
                    {"name": name, "provider": kind, "params": {**key, **params}}
                    for name, (kind, params) in names.items()
                ]
            },
            "config": {
                "database": {"url": database, **({"redisUrl": redis} if redis else {})},
                "deadlines": {"drainDelay": "0s", "drain": "3s", **deadlines},
                "limits": {"backgroundRuns": 1000},
                "logging": {"access": False},
                "sealingKey": _SEAL,
            },
        }


_LISTENING = r"listening on\s+https?://\S+:(\d+)$"


async def each(items: Iterable[T], work: Callable[[T], Awaitable[R]], at_once: int = 16) -> list[R]:
    """`work` for all items, some at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with gate:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))


def numbers(events: Iterable[dict[str, Any]]) -> list[int]:
    """Sequence numbers."""
    return [event["sequence_number"] for event in events]


def _serves(pid: int, client: RawClient) -> bool:
    """Whether the other end of a connection on loopback is this process's."""
    here, there = client.sock.getsockname()[1], client.sock.getpeername()[1]
    line = re.compile(
        rf"^\s*\d+: \S+:{there:04X} \S+:{here:04X} (?:\S+\s+){{6}}(\d+)",
        re.MULTILINE,
    )
    found = line.search(Path("/proc/net/tcp").read_text())
    name = f"socket:[{found[1]}]" if found is not None else ""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()) == name:
                return True
    return False


# fixtures, for test modules to take by assignment


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    """Starts gateways; all are killed at the end."""
    started = await Replicas.start(tmp_path)
    yield started
    await started.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of this session."""
    require_postgres()
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # all workers share one
    with shared_cluster(folder) as url:
        yield url


@pytest.fixture
async def postgres_url(postgres: str, replicas: Replicas) -> AsyncIterator[str]:
    """The URL of an empty database, dropped when the gateways are gone."""
    url = await new_database(postgres)
    yield url
    await replicas.stop()
    await drop_database(postgres, url)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that several gateways can use."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A running server."""
    if not any(map(shutil.which, PROGRAMS)) and not os.environ.get(REQUIRE_REDIS):
        pytest.skip(f"no redis-server: TAILING NOT TESTED ({REQUIRE_REDIS}=1 makes this fail)")
    server = Redis(tmp_path)
    await server.start()
    yield server
    await server.stop()


def require_postgres() -> None:
    """Skip without PostgreSQL, where that is allowed."""
    if binaries() is None and not os.environ.get(REQUIRE):
        pytest.skip(f"PostgreSQL is not installed: NOT TESTED ON IT ({REQUIRE}=1 makes this fail)")
