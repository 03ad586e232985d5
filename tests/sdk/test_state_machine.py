"""Any order of create, fork, delete, cancel, resume and retrieve does what a plain model says.

The model is a dictionary of who said what before whom. After every step that reaches a provider,
what the provider saw is compared with what the model predicts.
"""

import asyncio
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from tests.support.stateful import CELLS, Servers, ask, finished, words


class Node(Struct):
    """A response as the model has it."""

    id: str
    said: str
    answer: str
    parent: "Node | None"
    cell: str
    status: str = "completed"
    streamed: bool = False
    stored: bool = True
    deleted: bool = False

    def told(self) -> list[tuple[str, str]]:
        """Who said what up to here."""
        before = self.parent.told() if self.parent is not None else []
        answered = [("assistant", self.answer)] if self.answer else []
        return [*before, ("user", self.said), *answered]


PICK = st.integers(0, 10_000)
CELL = st.sampled_from(CELLS)
STEP = st.one_of(
    st.tuples(st.just("create"), CELL, st.booleans()),
    st.tuples(st.just("fork"), PICK, CELL, st.booleans()),
    st.tuples(st.just("fork"), PICK, CELL, st.booleans()),
    st.tuples(st.just("unstored"), PICK, CELL, st.booleans()),
    st.tuples(st.just("siblings"), PICK, CELL, CELL),
    st.tuples(st.just("run"), PICK, CELL, st.booleans()),
    st.tuples(st.just("abandon"), PICK, CELL, st.booleans()),
    st.tuples(st.just("delete"), PICK),
    st.tuples(st.just("cancel"), PICK),
    st.tuples(st.just("resume"), PICK, st.integers(0, 12)),
    st.tuples(st.just("retrieve"), PICK),
)


class World:
    """One sequence of steps, beside its model."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.nodes: list[Node] = []
        self.turn = 0

    def pick(self, number: int) -> Node | None:
        """Any response that was made; none before the first."""
        return self.nodes[number % len(self.nodes)] if self.nodes else None

    def says(self) -> tuple[str, str]:
        """What the user says next, and the answer that it asks for."""
        self.turn += 1
        answer = f"answer {self.turn} “é”"
        # Some dialects make one turn of two in a row: what was said last has the last word.
        return f"turn {self.turn} 🏮 [[demo first_delay=0 text={answer}]]", answer

    # steps

    async def create(self, cell: str, stream: bool) -> None:
        """A root."""
        await self._turn(None, cell, stream)

    async def fork(self, number: int, cell: str, stream: bool) -> None:
        """Another child of anything."""
        await self._turn(self.pick(number), cell, stream)

    async def unstored(self, number: int, cell: str, stream: bool) -> None:
        """A child that nobody can continue."""
        await self._turn(self.pick(number), cell, stream, store=False)

    async def siblings(self, number: int, one: str, other: str) -> None:
        """Two children at the same time."""
        parent = self.pick(number)
        if parent is None or not self._continuable(parent):
            return
        said = [self.says(), self.says()]
        made = await asyncio.gather(*[
            ask(self.servers.client, cell, words_, previous_response_id=parent.id)
            for cell, (words_, _) in zip((one, other), said, strict=True)
        ])  # fmt: skip
        for cell, (words_, answer), response in zip((one, other), said, made, strict=True):
            assert response.output_text == answer
            self.nodes.append(Node(response.id, words_, answer, parent, cell))

    async def run(self, number: int, cell: str, stream: bool) -> None:
        """A child in the background, waited for."""
        parent = self.pick(number) if number % 3 else None
        if parent is not None and not self._continuable(parent):
            return
        said, answer = self.says()
        heard = len(self.servers.heard)
        id = await self._begin(parent, cell, said, stream)
        found = await finished(self.servers.client, id)
        assert (found.status, found.output_text) == ("completed", answer)
        self._compare(heard, parent, said)
        self.nodes.append(Node(id, said, answer, parent, cell, streamed=stream))

    async def abandon(self, number: int, cell: str, stream: bool) -> None:
        """A slow child in the background, cancelled before it says anything."""
        parent = self.pick(number) if number % 3 else None
        if parent is not None and not self._continuable(parent):
            return
        self.turn += 1
        said = f"turn {self.turn} [[demo first_delay=30]]"
        id = await self._begin(parent, cell, said, stream)
        await self._refused_continuation(id, cell)
        assert (await self.servers.sdk.responses.cancel(id)).status == "cancelled"
        self.nodes.append(Node(id, said, "", parent, cell, status="cancelled", streamed=stream))

    async def delete(self, number: int) -> None:
        """It is gone, or was."""
        node = self.pick(number)
        if node is None:
            return
        if node.stored and not node.deleted:
            await self.servers.sdk.responses.delete(node.id)
            node.deleted = True
        else:
            with pytest.raises(openai.NotFoundError):
                await self.servers.sdk.responses.delete(node.id)

    async def cancel(self, number: int) -> None:
        """Nothing that is over changes."""
        node = self.pick(number)
        if node is None:
            return
        try:
            found = await self.servers.sdk.responses.cancel(node.id)
        except openai.NotFoundError:
            assert node.deleted or not node.stored
        except openai.BadRequestError:
            assert not node.deleted
        else:
            assert found.background
            assert found.status == node.status

    async def resume(self, number: int, after: int) -> None:
        """A stream that is over is the same from anywhere."""
        node = self.pick(number)
        if node is None or not node.streamed or node.deleted:
            return
        responses = self.servers.sdk.responses
        whole = [e async for e in await responses.retrieve(node.id, stream=True)]
        numbers = [event.sequence_number for event in whole]
        assert numbers == list(range(len(whole)))
        rest = await responses.retrieve(node.id, stream=True, starting_after=after)
        if after < len(whole) - 1:
            assert [event async for event in rest] == whole[after + 1 :]
        await rest.close()

    async def retrieve(self, number: int) -> None:
        """As it was made, or not at all."""
        node = self.pick(number)
        if node is None:
            return
        if node.deleted or not node.stored:
            with pytest.raises(openai.NotFoundError):
                await self.servers.sdk.responses.retrieve(node.id)
            await self._refused_continuation(node.id, node.cell)
            return
        found = await self.servers.sdk.responses.retrieve(node.id)
        assert (found.status, found.output_text) == (node.status, node.answer)
        assert found.previous_response_id == (node.parent.id if node.parent else None)
        items = await self.servers.sdk.responses.input_items.list(node.id)
        assert [i.content[0].text for i in items.data] == [node.said]  # type: ignore[union-attr]

    # what they share

    def _continuable(self, node: Node) -> bool:
        return node.stored and not node.deleted

    async def _turn(
        self, parent: Node | None, cell: str, stream: bool, *, store: bool = True
    ) -> None:
        if parent is not None and not self._continuable(parent):
            await self._refused_continuation(parent.id, cell)
            return
        said, answer = self.says()
        heard = len(self.servers.heard)
        response = await ask(
            self.servers.client, cell, said, stream=stream, store=store,
            previous_response_id=parent.id if parent else None,
        )  # fmt: skip
        assert (response.status, response.output_text) == ("completed", answer)
        assert response.store is store
        self._compare(heard, parent, said)
        self.nodes.append(Node(response.id, said, answer, parent, cell, stored=store))

    async def _begin(self, parent: Node | None, cell: str, said: str, stream: bool) -> str:
        more: Any = {"previous_response_id": parent.id} if parent is not None else {}
        made: Any = await self.servers.sdk.responses.create(
            model=cell, input=said, background=True, stream=stream, **more
        )
        if not stream:
            assert made.status == "queued"
            return str(made.id)
        async for event in made:
            id = event.response.id
            break
        await made.close()
        return str(id)

    async def _refused_continuation(self, id: str, cell: str) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(self.servers.client, cell, "x", previous_response_id=id)
        assert caught.value.param == "previous_response_id"

    def _compare(self, mark: int, parent: Node | None, said: str) -> None:
        """What the provider was told is what the model says."""
        (heard,) = [
            each
            for each in self.servers.heard[mark:]
            if each.body and words(each)[-1][1].endswith(said)
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
    max_examples=25, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(st.lists(STEP, min_size=4, max_size=14))
@example([
    ("create", "chat", True), ("fork", 0, "openai", False), ("fork", 1, "openai", True),
    ("delete", 0), ("fork", 1, "messages", False), ("delete", 1), ("fork", 2, "gemini", True),
    ("run", 2, "openai", True), ("resume", 5, 3), ("siblings", 5, "bedrock", "responses"),
    ("fork", 0, "chat", False), ("delete", 5), ("resume", 5, 0), ("fork", 7, "azure", True),
])  # fmt: skip
def test_any_order_of_steps_does_what_the_model_says(steps: list[tuple[Any, ...]]) -> None:
    async def play() -> None:
        servers = await Servers.start()
        try:
            world = World(servers)
            for name, *arguments in steps:
                await getattr(world, name)(*arguments)
            for number in range(len(world.nodes)):
                await world.retrieve(number)
        finally:
            await servers.stop()

    asyncio.run(play())
