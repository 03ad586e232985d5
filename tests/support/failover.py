"""Two targets that stand in for each other, in each lane: the first does as a script says."""

from collections.abc import Callable
from typing import Any

from msgspec import structs
from tests.conftest import Launch
from tests.faults.tongues import TONGUES, answered, is_whole, provider, text_in, text_of, told
from tests.support.asks import PATHS, ask
from tests.support.gateway import (
    CALLER_KEY,
    Gateway,
    caller,
    model,
    route,
    settings,
    virtual,
)
from tests.support.raw import RawClient, RawResponse
from tests.support.steps import Script, expect
from tests.support.upstream import ScriptedUpstream

from portico.config.settings import RetrySettings
from portico.demo.server import RunningDemo
from portico.limits import Deadlines

KEY = {"authorization": f"Bearer {CALLER_KEY}"}
LANES = [
    ("chat", "chat"), ("responses", "responses"), ("messages", "messages"),
    ("chat", "messages"), ("responses", "chat"), ("messages", "responses"),
]  # fmt: skip
"""Client and upstream dialect: three spliced, three translated."""
TONGUE = ("chat", "responses", "messages")
FREELY = RetrySettings(backoff=0.01, max_backoff=0.5, budget=1.0, budget_per_second=1000.0)
"""Retries that no budget holds back, and short pauses."""
DEADLINES = Deadlines(connect=2.0, first_byte=5.0, idle=5.0, total=20.0)

_ENDS = (b"[DONE]", b"message_stop", b"response.completed")

Failing = Callable[[str, bool], Script]
"""A script for an upstream dialect, streamed or not."""


def well(dialect: str, stream: bool) -> Script:
    """A good answer to one request."""
    if stream:
        return [expect(), *told(dialect, TONGUES[dialect].stream)]
    return [expect(), answered(dialect)]


class Pair:
    """A gateway in front of `first` and `second`; the model name is the upstream's dialect. The
    single models are `first-chat`, `second-chat` and so on, their upstream ids `first-id` and
    `second-id`."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.asked = 0

    @classmethod
    async def start(
        cls,
        launch: Launch,
        first: str,
        second: ScriptedUpstream | RunningDemo,
        *,
        retry: RetrySettings = FREELY,
        first_retry: RetrySettings | None = None,
        virtually: dict[str, Any] | None = None,
        **of_first: Any,
    ) -> "Pair":
        """`first` is a URL; `of_first` are settings of its models."""
        if first_retry is not None:
            of_first["retry"] = first_retry
        models, names = [], []
        for dialect in TONGUE:
            for name, url in (("first", first), ("second", second.url)):
                served_by = structs.replace(provider(url, dialect), name=name)
                more = of_first if name == "first" else {}
                models.append(model(f"{name}-{dialect}", served_by, f"{name}-id", **more))
            names.append(
                virtual(
                    dialect, f"first-{dialect}", f"second-{dialect}", retry=retry,
                    **(virtually or {}),
                )
            )  # fmt: skip
        served = route(models, [caller(team="tests")], virtual=tuple(names))
        return cls(await launch(settings(served, deadlines=DEADLINES)))

    async def ask(self, client: str, name: str, *, stream: bool = False, **more: Any) -> Any:
        """The answer, on a connection of its own, and its record."""
        async with await RawClient.connect(self.gateway.port) as raw:
            if client == "responses":
                more.setdefault("store", False)
            body = ask(client, model=name, stream=stream, **more)
            await raw.request("POST", PATHS[client], body, KEY)
            answer = await raw.response(10.0)
        self.asked += 1
        return answer, await self.gateway.last(self.asked)

    @property
    def in_flight(self) -> int:
        """Tries that no target's health was told the end of."""
        return sum(each.in_flight for each in self.gateway.worker.gateway.targets())


def words_of(client: str, answer: RawResponse, *, stream: bool) -> str:
    """The text of a whole answer, checked to be whole."""
    assert (answer.status, answer.ended) == (200, True), answer.body
    if stream:
        if b'": ' not in answer.body:  # written by the gateway, not by the scripts
            is_whole(client, answer)
        assert any(mark in answer.body for mark in _ENDS)
        return text_of(client, answer)
    return text_in(client, answer.json())


def meta(answer: RawResponse) -> tuple[str | None, str | None, str | None]:
    """Provider, model and attempts, as the caller is told."""
    names = ("x-portico-provider", "x-portico-model", "x-portico-attempts")
    first, second, third = (answer.header(name) for name in names)
    return first, second, third
