"""Any order of creates, continuations, failures, warm-ups and reconnects does what a model says.

The model of a session is one name: the latest response of the connection. What is not stored can be
continued while it has that name, what is stored always. What the provider was told is compared with
what the model says was said.
"""

import asyncio
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from tests.support.sessions import Answer, Talk
from tests.support.stateful import CELLS, Servers, words

UNKNOWN = (400, "previous_response_not_found", "previous_response_id")
PICK = st.integers(0, 100)
CELL = st.sampled_from(CELLS)
FAULT = st.sampled_from(["status=400", "status=429", "status=500", "cut=2", "error=2", "type"])
STEP = st.one_of(
    st.tuples(st.just("create"), st.none(), CELL, st.booleans(), st.booleans()),
    st.tuples(st.just("create"), PICK, CELL, st.booleans(), st.booleans()),
    st.tuples(st.just("create"), st.just(-1), CELL, st.booleans(), st.booleans()),
    st.tuples(st.just("create"), st.just(-1), CELL, st.booleans(), st.booleans()),
    st.tuples(st.just("warm"), st.none() | st.just(-1) | PICK, CELL, st.booleans()),
    st.tuples(st.just("fail"), st.none() | st.just(-1) | PICK, CELL, FAULT, st.booleans()),
    st.tuples(st.just("reconnect")),
)


class Node(Struct):
    """A response as the model has it."""

    id: str
    said: str
    answer: str
    parent: "Node | None"
    stored: bool

    def told(self) -> list[tuple[str, str]]:
        """Who said what up to here."""
        before = self.parent.told() if self.parent is not None else []
        answered = [("assistant", self.answer)] if self.answer else []
        return [*before, ("user", self.said), *answered]


class World:
    """One sequence of steps, beside its model."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.nodes: list[Node] = []
        self.latest: Node | None = None
        self.turn = 0
        self.talk: Talk

    async def __aenter__(self) -> "World":
        self.talk = await Talk.to(self.servers.gateway).__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.talk.__aexit__(*raised)

    # steps

    async def create(self, pick: int | None, cell: str, store: bool, together: bool) -> None:
        """A response. `together`: another create, that continues nothing, is sent right behind."""
        self.turn += 1
        answer = f"answer {self.turn} “é”"
        said = f"turn {self.turn} [[demo text={answer}]]"
        parent = self._pick(pick)
        mark = len(self.servers.heard)
        await self._say(cell, said, parent, store=store)
        if together:
            await self.talk.say(cell, "behind [[demo text=next]]")
        found = await self.talk.hear()
        if self._known(parent):
            assert (found.text, found.response["store"]) == (answer, store)
            self._compare(mark, parent, said)
            self._made(Node(found.id, said, answer, parent, store))
        else:
            assert found.refused == UNKNOWN
        if together:
            behind = await self.talk.hear()
            assert behind.text == "next"
            self._made(Node(behind.id, "behind [[demo text=next]]", "next", None, False))

    async def warm(self, pick: int | None, cell: str, store: bool) -> None:
        """A context without an answer."""
        self.turn += 1
        said = f"warm {self.turn}"
        parent = self._pick(pick)
        mark = len(self.servers.heard)
        await self._say(cell, said, parent, store=store, generate=False)
        found = await self.talk.hear()
        assert len(self.servers.heard) == mark
        if self._known(parent):
            assert found.output == []
            self._made(Node(found.id, said, "", parent, store))
        else:
            assert found.refused == UNKNOWN

    async def fail(self, pick: int | None, cell: str, fault: str, store: bool) -> None:
        """A create that goes wrong."""
        parent = self._pick(pick)
        more: dict[str, Any] = {"temperature": "warm"} if fault == "type" else {}
        said = "x" if fault == "type" else f"[[demo {fault}]] x"
        await self._say(cell, said, parent, store=store, **more)
        found: Answer = await self.talk.hear()
        assert found.last["type"] in ("error", "response.failed")
        if parent is not None and parent is self.latest:
            self.latest = None

    async def reconnect(self) -> None:
        """Another connection."""
        await self.talk.__aexit__()
        self.talk = await Talk.to(self.servers.gateway).__aenter__()
        self.latest = None

    # what they share

    def _pick(self, number: int | None) -> Node | None:
        if number is None or not self.nodes:
            return None
        return self.nodes[number % len(self.nodes)] if number >= 0 else self.nodes[-1]

    def _known(self, parent: Node | None) -> bool:
        return parent is None or parent.stored or parent is self.latest

    def _made(self, node: Node) -> None:
        self.nodes.append(node)
        self.latest = node

    async def _say(self, cell: str, said: str, parent: Node | None, **more: Any) -> None:
        if parent is not None:
            more["previous_response_id"] = parent.id
        await self.talk.say(cell, said, **more)

    def _compare(self, mark: int, parent: Node | None, said: str) -> None:
        (heard,) = [
            each
            for each in self.servers.heard[mark:]
            if each.status < 400 and words(each)[-1][1].endswith(said)
        ]
        told = [*(parent.told() if parent else []), ("user", said)]
        native = heard.json.get("previous_response_id")
        if native is not None:
            assert parent is not None
            assert native == parent.id
            told = told[-1:]
        assert _joined(words(heard)) == _joined(told)


def _joined(told: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Turns of one speaker in a row as one: some dialects want them to alternate."""
    out: list[tuple[str, str]] = []
    for role, text in told:
        if out and out[-1][0] == role:
            out[-1] = (role, out[-1][1] + text)
        else:
            out.append((role, text))
    return out


@settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(st.lists(STEP, min_size=4, max_size=16))
@example([
    ("create", None, "openai", True, False), ("create", -1, "openai", False, False),
    ("create", -1, "chat", False, False), ("create", 0, "openai", True, True),
    ("warm", 0, "openai", True), ("create", -1, "openai", True, False),
    ("warm", -1, "azure", False), ("create", -1, "azure", True, False),
    ("fail", -1, "messages", "status=429", False), ("create", -1, "gemini", False, False),
    ("fail", -1, "bedrock", "cut=2", True), ("create", -1, "bedrock", False, False),
    ("reconnect",), ("create", 1, "chat", True, True), ("create", 0, "responses", False, False),
])  # fmt: skip
def test_any_order_of_steps_does_what_the_model_says(steps: list[tuple[Any, ...]]) -> None:
    async def play() -> None:
        servers = await Servers.start()
        try:
            async with World(servers) as world:
                for name, *arguments in steps:
                    await getattr(world, name)(*arguments)
            async with asyncio.timeout(5):
                while servers.gateway.worker.gateway.remembered.used:  # noqa: ASYNC110 - see until
                    await asyncio.sleep(0.01)
        finally:
            await servers.stop()

    asyncio.run(play())
