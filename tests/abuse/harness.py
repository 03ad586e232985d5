"""The harness of the abuse suite: a gateway process, a fake provider, and the oracles around it.

    async def test_something(stage: Stage, full: bool) -> None:
        stage.provider.plays["cut"] = lambda heard: [*told(heard.speech.opening, end=False), fin()]
        async with stage.case("A6 FIN without an end", full=full) as case:
            heard = await case.ask(lane, "cut", stream=True)
            assert not heard.answer.ended
        assert case.lines[0]["verdict"] == "truncated"

`stage` (a fixture, one per pytest worker and session) is a gateway before a `Provider`. Models, all
of which take every client dialect; `Lane(client, upstream).model` names them:

    at-chat, at-responses, at-messages      the provider, speaking that dialect
    via-chat, ...                           the same through `stage.proxy` (toxics)
    gone-chat, ...                          an address that refuses connections
    canary                                  a provider of the oracles' own

`stage.case(name)` watches O1, and on leaving checks O1 to O8 (see `tests.abuse.oracles`). Inside:

    case.ask(lane, play, words="", stream=False) -> Heard      a whole exchange
    case.begin(lane, play, ...) -> RawClient                   only send the request
    case.raw(data, within=..) -> bytes, seconds                bytes out, everything that comes back
    case.expect(n)      n more requests that the gateway will have in its ledger, besides `ask`s
    case.expect(None)   nobody can say how many (O5 then compares lines with counters only)
After it: `case.lines` (its lines of the access log, without canaries), `case.grew(metric, **of)`.

`stage.configured(models=[served(..)], limits=.., deadlines=.., policies=.., llm=..)` is a context
manager that reloads the gateway with these changes; ask such models with `Named(.., name=..)`.

`full` is the profile: `make abuse` runs the tests marked `abuse` with True, `make test` the others
with False; use `@profiles`.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tests.abuse import oracles
from tests.abuse.oracles import PROMPT_CANARY, Baseline, Vigil
from tests.abuse.process import Process
from tests.abuse.provider import Provider
from tests.abuse.speech import DIALECTS
from tests.support.asks import PATHS, ask
from tests.support.gateway import CALLER_KEY, OPERATOR_KEY
from tests.support.raw import RawClient, RawResponse
from tests.support.toxics import TcpProxy

KEY = {"authorization": f"Bearer {CALLER_KEY}"}
"""What a caller presents."""
MIB = 1 << 20
SECONDS: Mapping[str, str] = {
    "header": "1s", "body": "1500ms", "bodyRateGrace": "500ms", "keepAlive": "60s", "write": "1s",
    "connect": "1s", "firstByte": "1s", "idle": "2s", "total": "60s", "drainDelay": "0s",
    "drain": "2s", "drainForced": "1s", "sseKeepAlive": "500ms",
}  # fmt: skip
"""Deadlines of the stage, unless a test changes them."""
LIMITS: Mapping[str, Any] = {"inFlightPerKey": 100_000}
CALM: Mapping[str, Any] = {
    "retry": {"attempts": 0}, "health": {"eviction": {"failures": 10_000}}
}  # fmt: skip
"""Nothing is asked twice and no breaker opens, unless a test wants it: it sees what it did."""
_FORMATS = {
    "chat": ("completions", "/v1/chat/completions"),
    "responses": ("responses", "/v1/responses"),
    "messages": ("messages", "/v1/messages"),
}
_SEAL = "a-key-of-tests-that-is-long-enough-to-seal"

profiles = pytest.mark.parametrize(
    "full", [False, pytest.param(True, marks=pytest.mark.abuse)], ids=["short", "full"]
)
"""Gives a test `full`: False in `make test`, True in `make abuse`."""


class Lane(Struct, frozen=True):
    """A client's dialect and the provider's; spliced when they are the same. `at` is the prefix of
    the model: `at`, `via` or `gone`."""

    client: str
    upstream: str
    at: str = "at"

    @property
    def model(self) -> str:
        """The model to ask for."""
        return f"{self.at}-{self.upstream}"

    @property
    def kind(self) -> str:
        """What the access log calls it."""
        return "splice" if self.client == self.upstream else "translate"

    def to(self, at: str) -> "Lane":
        """The same, to another place."""
        return Lane(self.client, self.upstream, at)

    def __str__(self) -> str:
        return f"{self.client}>{self.upstream}"


class Named(Lane, frozen=True):
    """A lane to a model of the test's own; `upstream` is what its provider speaks."""

    name: str = ""

    @property
    def model(self) -> str:
        """The model to ask for."""
        return self.name


SPLICE = tuple(Lane(each, each) for each in DIALECTS)
TRANSLATE = (Lane("chat", "messages"), Lane("responses", "chat"), Lane("messages", "responses"))
LANES = (*SPLICE, *TRANSLATE)
"""x3 B/T: each client dialect, spliced and translated."""


@dataclass
class Heard:
    """One exchange: what was asked, what came, and how long it took in seconds."""

    lane: Lane
    play: str
    stream: bool
    answer: RawResponse
    seconds: float


def served(
    name: str, url: str, upstream: str, upstream_model: str = "m", **more: Any
) -> dict[str, Any]:
    """An entry of `llm.models` for a provider at `url` that speaks one dialect."""
    word, path = _FORMATS[upstream]
    custom = {"formats": [{"type": word, "path": path}], "providerOverride": name}
    params = {"baseUrl": url, "apiKey": OPERATOR_KEY, "model": upstream_model}
    return {"name": name, "provider": {"custom": custom}, "params": params, **more}


def document(models: list[dict[str, Any]], database: Path | str, **config: Any) -> dict[str, Any]:
    """A configuration. `config` may hold `limits` and `deadlines` (changes to those of the stage),
    `llm` (more members of it), `policies` (more of `llm.policies`: `retry`, `health`) and any other
    member of `config:`."""
    limits = {**LIMITS, **config.pop("limits", {})}
    deadlines = {**SECONDS, **config.pop("deadlines", {})}
    keys = {"apiKey": {"keys": [{"key": CALLER_KEY, "metadata": {"team": "abuse"}}]}}
    policies = {**keys, **CALM, **config.pop("policies", {})}
    llm = {"models": models, "policies": policies, **config.pop("llm", {})}
    return {
        "llm": llm,
        "config": {
            "adminAddr": "127.0.0.1:0",
            "database": {"url": f"sqlite:///{database}"},
            "sealingKey": _SEAL,
            "limits": limits,
            "deadlines": deadlines,
            **config,
        },
    }


class Stage:
    """A gateway, its providers and the way between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.provider = Provider()
        self.canary = Provider()
        self.proxy: TcpProxy
        self.gateway: Process
        self._refusing = socket.socket()

    @classmethod
    async def start(cls, folder: Path) -> "Stage":
        """Start everything, and let every lane work once."""
        self = cls(folder)
        self.provider = await Provider.start()
        self.canary = await Provider.start()
        self.proxy = await TcpProxy.start(self.provider.port)
        self._refusing.bind(("127.0.0.1", 0))  # without listening: connecting is refused
        self.gateway = await Process.start(folder, self.document())
        try:
            await self._warm_up()
        except BaseException:
            await self.stop()
            raise
        return self

    async def _warm_up(self) -> None:
        case = Case(self, "warming up", False)
        for lane in LANES:
            for stream in (False, True):
                heard = await case.ask(lane, stream=stream)
                assert heard.answer.status == 200, (lane, heard.answer)

    async def stop(self) -> None:
        """End everything."""
        await self.gateway.kill()
        await self.proxy.stop()
        await self.provider.stop()
        await self.canary.stop()
        self._refusing.close()

    @property
    def refusing(self) -> str:
        """A base URL where nobody listens."""
        return f"http://127.0.0.1:{self._refusing.getsockname()[1]}"

    def models(self) -> list[dict[str, Any]]:
        """The entries of the stage's own models."""
        urls = {"at": self.provider.url, "via": self.proxy.url, "gone": self.refusing}
        made = [served(f"{at}-{d}", url, d) for at, url in urls.items() for d in DIALECTS]
        return [*made, served("canary", self.canary.url, "chat")]

    def document(self, models: list[dict[str, Any]] | None = None, **config: Any) -> dict[str, Any]:
        """The configuration of the stage, with more models or other settings."""
        every = [*self.models(), *(models or [])]
        return document(every, self.folder / "state.db", **config)

    @contextlib.asynccontextmanager
    async def configured(
        self, models: list[dict[str, Any]] | None = None, **config: Any
    ) -> AsyncIterator[None]:
        """Reload with these changes, and back at the end."""
        await self.gateway.reload(self.document(models, **config))
        try:
            yield
        finally:
            await self.gateway.reload(self.document())

    def sockets(self) -> int:
        """Connections that the providers see open: idle ones may be kept."""
        direct = self.provider.open_now - self.proxy.open_now
        return direct + self.proxy.open_now + self.canary.open_now

    @contextlib.asynccontextmanager
    async def case(self, name: str, *, full: bool = False, spare: int = 0) -> AsyncIterator["Case"]:
        """Run one case between the oracles. `spare` is memory in bytes that it may keep beyond
        O2's 20 MiB."""
        case = Case(self, name, full)
        await case.open()
        try:
            yield case
        except BaseException:
            await case.abandon()
            raise
        await case.close(spare)


@dataclass
class Case:
    """One case; see the module docstring."""

    stage: Stage
    name: str
    full: bool
    heard: list[Heard] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    asked: int | None = 0
    _clients: list[RawClient] = field(default_factory=list)
    page: str = ""
    """The metrics page after the case."""

    @property
    def gateway(self) -> Process:
        """The process."""
        return self.stage.gateway

    async def open(self) -> None:
        """Measure, and begin to watch."""
        self.before = await self._quiet()
        self._start = len(self.gateway.out.encode()), 0
        self._vigil = Vigil(self.gateway, "canary")
        self._vigil.start()

    async def ask(
        self, lane: Lane, play: str = "", words: str = "", *, stream: bool = False,
        within: float = 10.0, parse: bool = True, **more: Any,
    ) -> Heard:  # fmt: skip
        """Ask on a connection of its own and read the answer to its end, or to where it stops."""
        start = time.perf_counter()
        async with await self.begin(lane, play, words, stream=stream, **more) as client:
            answer = await client.response(within)
        heard = Heard(lane, play, stream, answer, time.perf_counter() - start)
        self.heard.append(heard)
        if parse:
            oracles.check_readable(lane.client, stream, answer)
        return heard

    async def begin(
        self, lane: Lane, play: str = "", words: str = "", *, stream: bool = False,
        rcvbuf: int | None = None, **more: Any,
    ) -> RawClient:  # fmt: skip
        """Send a request on a connection of its own; who called reads, or leaves."""
        client = await RawClient.connect(self.gateway.port, rcvbuf=rcvbuf)
        self.expect(1)
        self._clients.append(client)
        await client.request("POST", PATHS[lane.client], body(lane, play, words, stream, more), KEY)
        return client

    async def raw(self, data: bytes, within: float = 5.0) -> tuple[bytes, float]:
        """Send bytes, read until the gateway closes; what came and the seconds it took."""
        start = time.perf_counter()
        received = b""
        async with await RawClient.connect(self.gateway.port) as client:
            with contextlib.suppress(ConnectionError):
                await client.send(data)
            while piece := await client.read(1 << 16, within):
                received += piece
        return received, time.perf_counter() - start

    def keep(self, clients: Sequence[RawClient]) -> None:
        """Close these when the case is over, whichever way."""
        self._clients += clients

    def expect(self, count: int | None) -> None:
        """So many requests more will be in the ledger; None: nobody knows any more."""
        self.asked = None if count is None or self.asked is None else self.asked + count

    def grew(self, name: str, **labels: str) -> float:
        """How much a metric grew. Call it after the case."""
        return oracles.changes(self.before.page, self.page, name, **labels)

    @property
    def probes(self) -> str:
        """How the canaries fared, for people."""
        vigil = self._vigil
        return f"{len(vigil.probes)} probes, p99 {vigil.p99() * 1000:.0f} ms"

    async def abandon(self) -> None:
        """End without checking: something failed already."""
        self._hang_up()
        await self._vigil.stop()
        await self._idle(5.0)

    async def close(self, spare: int) -> None:
        """Check the oracles."""
        self._hang_up()
        await self._vigil.stop()
        self._vigil.check(self.full)
        busy = await self._idle(1.0 if self.full else 3.0)
        assert busy == 0, f"O4: {busy} connections to the provider are still busy"
        before = self.before
        before.rss += spare
        wrong = await oracles.back_to(self.gateway, before, self.stage.sockets, 5.0)
        assert not wrong, wrong
        await self._check_ledger()
        await oracles.check_secrets(
            self.gateway, [heard.answer for heard in self.heard], self._start[0]
        )

    def _hang_up(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()

    async def _check_ledger(self) -> None:
        chats = len(self._vigil.chats)
        until = time.perf_counter() + 3.0
        while True:  # lines are written ten times a second
            self.page = await self.gateway.metrics()
            lines = self.gateway.lines()[self.before.line :]
            done = oracles.changes(self.before.page, self.page, "portico_requests_total")
            if len(lines) >= done or time.perf_counter() > until:
                break
            await asyncio.sleep(0.02)
        oracles.check_ledger(self.before.page, self.page, lines)
        self.lines = [line for line in lines if line.get("model") != "canary"]
        assert len(lines) - len(self.lines) == chats, "O5: the canary's lines"
        if self.asked is not None:
            assert len(self.lines) == self.asked, f"O5: {len(self.lines)} lines, not {self.asked}"
        found = {line["request_id"]: line for line in self.lines}
        for heard in self.heard:
            id = heard.answer.header("x-request-id")
            assert id in found, f"O5: no line for {id}"
            assert found[id]["status"] == heard.answer.status, (heard, found[id])

    async def _quiet(self) -> Baseline:
        """The state before, once nothing runs and all was written."""
        await self._idle(5.0)
        until = time.perf_counter() + 5.0
        while True:
            before = await Baseline.of(self.gateway, self.stage.sockets())
            done = oracles.sample(before.page, "portico_requests_total")
            quiet = not oracles.sample(before.page, "portico_in_flight")
            if (quiet and before.line >= done) or time.perf_counter() > until:
                return before
            await asyncio.sleep(0.02)

    async def _idle(self, within: float) -> int:
        until = time.perf_counter() + within
        while self.stage.provider.busy and time.perf_counter() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return self.stage.provider.busy


def body(lane: Lane, play: str, words: str, stream: bool, more: dict[str, Any]) -> dict[str, Any]:
    """A request that names a play and holds the prompt's canary."""
    text = f"[[{play or 'well'}]] {words} {PROMPT_CANARY}"
    return ask(lane.client, text, model=lane.model, stream=stream, **more)


async def next_twenty(case: Case, lanes: Sequence[Lane] = LANES) -> None:
    """Whatever happened before, later answers are whole and their own."""
    for number in range(20):
        lane = lanes[number % len(lanes)]
        heard = await case.ask(lane, words=f"next {number}", stream=number % 2 == 1)
        assert heard.answer.ended
        assert f"next {number}".encode() in heard.answer.body
