"""What the port promises of conversations, kept by every database."""

import asyncio

import pytest
from tests.support.stored import ALICE, BOB, NOW, conversation, items, stored
from tests.unit.store.conftest import Open

from portico.state.port import Order, StateStore, StoreUnavailable
from portico.state.records import Conversation, Entry


async def _ids(
    store: StateStore, after: str | None = None, limit: int | None = None, order: Order = "asc"
) -> list[str] | None:
    found = await store.entries(ALICE, "conv_1", after=after, limit=limit, order=order)
    return None if found is None else [entry.id for entry in found]


async def test_a_conversation_is_read_changed_and_deleted(store: StateStore) -> None:
    made = conversation(metadata=b'{"a":"b"}')
    await store.create_conversation(made, [])
    assert await store.conversation(ALICE, "conv_1") == made
    changed = await store.update_conversation(ALICE, "conv_1", b'{"c":"d"}')
    assert changed == conversation(metadata=b'{"c":"d"}')
    assert await store.conversation(ALICE, "conv_1") == changed
    assert await store.update_conversation(ALICE, "other", b"{}") is None
    assert await store.delete_conversation(ALICE, "conv_1")
    assert not await store.delete_conversation(ALICE, "conv_1")
    assert await store.conversation(ALICE, "conv_1") is None


async def test_an_id_of_a_conversation_is_taken_once_per_tenant(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1"))
    with pytest.raises(StoreUnavailable):
        await store.create_conversation(conversation(), items("i2"))
    await store.create_conversation(conversation(tenant=BOB), items("i3"))
    assert await _ids(store) == ["i1"]
    assert await store.entry_anywhere(ALICE, "i2") is None


async def test_items_come_by_pages_in_both_orders(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1", "i2"))
    assert await store.append(ALICE, "conv_1", items("i3", "i4", "i5"))
    assert await _ids(store) == ["i1", "i2", "i3", "i4", "i5"]
    assert await _ids(store, limit=2) == ["i1", "i2"]
    assert await _ids(store, "i2", 2) == ["i3", "i4"]
    assert await _ids(store, "i5") == []
    assert await _ids(store, order="desc") == ["i5", "i4", "i3", "i2", "i1"]
    assert await _ids(store, "i4", 2, "desc") == ["i3", "i2"]
    assert await _ids(store, "i1", 2, "desc") == []
    assert await _ids(store, "unknown") is None
    assert await _ids(store, limit=0) == []


async def test_an_item_of_another_conversation_is_no_place_to_begin(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1"))
    await store.create_conversation(conversation("conv_2"), items("j1"))
    assert await _ids(store, "j1") is None
    assert await store.entry(ALICE, "conv_1", "j1") is None
    assert not await store.delete_entry(ALICE, "conv_1", "j1")
    assert await store.entry_anywhere(ALICE, "j1") == items("j1")[0]


async def test_no_conversation_is_not_an_empty_one(store: StateStore) -> None:
    assert await _ids(store) is None
    assert not await store.append(ALICE, "conv_1", items("i1"))
    await store.create_conversation(conversation(), [])
    assert await _ids(store) == []
    assert await store.append(ALICE, "conv_1", [])


async def test_one_item_is_read_and_deleted(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1", "i2", "i3"))
    assert await store.entry(ALICE, "conv_1", "i2") == items("i2")[0]
    assert await store.delete_entry(ALICE, "conv_1", "i2")
    assert not await store.delete_entry(ALICE, "conv_1", "i2")
    assert await store.entry(ALICE, "conv_1", "i2") is None
    assert await _ids(store) == ["i1", "i3"]
    assert await _ids(store, "i2") is None


async def test_an_id_that_is_used_twice_loses_no_item_and_paging_ends(store: StateStore) -> None:
    again = Entry("i1", b'{"id":"i1","second":true}')
    await store.create_conversation(conversation(), [*items("i1", "i2"), again, *items("i3")])
    assert await _ids(store) == ["i1", "i2", "i1", "i3"]
    assert await store.entry(ALICE, "conv_1", "i1") == again
    assert await _ids(store, "i1") == ["i3"]
    assert await _ids(store, "i1", order="desc") == []


async def test_a_response_is_saved_with_the_items_of_its_conversation(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1"))
    first = stored("a", conversation="conv_1")
    assert await store.save(first, items("i2", "i3"))
    assert not await store.save(first, items("i4"))
    assert await _ids(store) == ["i1", "i2", "i3"]
    found = await store.get(ALICE, "a", NOW)
    assert found is not None
    assert found.conversation == "conv_1"


async def test_a_response_outlives_its_conversation(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1"))
    assert await store.save(stored("a", conversation="conv_1"), items("i2"))
    assert await store.delete_conversation(ALICE, "conv_1")
    assert await store.save(stored("b", conversation="conv_1"), items("i3"))
    assert await store.get(ALICE, "a", NOW) is not None
    assert await store.get(ALICE, "b", NOW) is not None
    for name in ("i1", "i2", "i3"):
        assert await store.entry_anywhere(ALICE, name) is None
    await store.create_conversation(conversation("conv_2"), [])
    found = await store.entries(ALICE, "conv_2", after=None, limit=None, order="asc")
    assert found == []


async def test_items_of_one_save_stay_together(opened: Open) -> None:
    stores = [await opened(), await opened()]
    await stores[0].create_conversation(conversation(), [])
    await stores[0].create_conversation(conversation("conv_2"), [])
    await asyncio.gather(
        *[
            stores[at % 2].save(
                stored(f"r{at}", conversation="conv_2" if at % 3 == 0 else "conv_1"),
                items(*[f"r{at}_{part}" for part in range(3)]),
            )
            for at in range(90)
        ]
    )
    for name, count in (("conv_1", 60), ("conv_2", 30)):
        found = await stores[1].entries(ALICE, name, after=None, limit=None, order="asc")
        assert found is not None
        ids = [entry.id for entry in found]
        assert len(ids) == count * 3
        for at in range(0, len(ids), 3):
            run = ids[at].partition("_")[0]
            assert ids[at : at + 3] == [f"{run}_{part}" for part in range(3)]


async def test_two_gateways_see_one_conversation(opened: Open) -> None:
    first, second = await opened(), await opened()
    await first.create_conversation(conversation(), items("i1"))
    assert await second.append(ALICE, "conv_1", items("i2"))
    assert await _ids(first) == ["i1", "i2"]
    assert await second.delete_conversation(ALICE, "conv_1")
    assert not await first.append(ALICE, "conv_1", items("i3"))
    assert isinstance(conversation(), Conversation)
