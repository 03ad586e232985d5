"""What the port promises of responses, kept by every database."""

import asyncio

import pytest
from tests.support.stored import ALICE, BOB, NOW, conversation, items, logged, running, stored

from portico.state.port import StateStore, StoreUnavailable
from portico.state.records import Link, Record
from portico.store.opening import open_store


def _link(name: str, origin: str = "") -> Link:
    return Link(f'["in {name}"]'.encode(), f'["out {name}"]'.encode(), origin)


async def test_a_response_is_read_as_it_was_saved(store: StateStore) -> None:
    record = stored(
        "resp_1",
        "resp_0",
        conversation="conv_1",
        origin="openai/a",
        kept=True,
        context=1 << 40,
        barrier=True,
        background=True,
        streamed=True,
        status="incomplete",
        model="größer/模型",
        input=b'["\xf0\x9f\x98\x80", "\x00", "\xff"]',
        created_at=1 << 33,
        expires_at=None,
    )
    assert await store.save(record)
    assert await store.get(ALICE, "resp_1", NOW) == record


async def test_an_id_is_taken_once_per_tenant(store: StateStore) -> None:
    assert await store.save(stored("resp_1"))
    assert not await store.save(stored("resp_1", model="other", names=("msg_1",)))
    assert await store.save(stored("resp_1", tenant=BOB, model="bobs"))
    first, bobs = await store.get(ALICE, "resp_1", NOW), await store.get(BOB, "resp_1", NOW)
    assert first is not None
    assert first.model == "fast"
    assert bobs is not None
    assert bobs.model == "bobs"
    assert await store.by_name(ALICE, "msg_1", NOW) is None


async def test_of_saves_of_one_id_at_the_same_time_the_first_is_kept(store: StateStore) -> None:
    saves = [
        store.save(stored("one", model="first", names=("n1",))),
        store.save(stored("two", names=("n2",))),
        store.save(stored("one", model="second", names=("n3",))),
        store.save(stored("three", names=("n4",))),
    ]
    assert await asyncio.gather(*saves) == [True, True, False, True]
    one = await store.by_name(ALICE, "n1", NOW)
    assert one is not None
    assert one.model == "first"
    assert await store.by_name(ALICE, "n3", NOW) is None
    for name, owner in (("n2", "two"), ("n4", "three")):
        found = await store.by_name(ALICE, name, NOW)
        assert found is not None
        assert found.id == owner


async def test_many_saves_at_once_are_all_there(store: StateStore) -> None:
    names = [f"resp_{at}" for at in range(500)]
    saved = await asyncio.gather(
        *[store.save(stored(name, names=(f"msg_{name}", f"fc_{name}"))) for name in names]
    )
    assert all(saved)
    for name in names:
        record = await store.get(ALICE, name, NOW)
        assert record is not None
        assert record.output == f'["out {name}"]'.encode()
        for prefix in ("msg", "fc"):
            by_name = await store.by_name(ALICE, f"{prefix}_{name}", NOW)
            assert by_name is not None
            assert by_name.id == name


async def test_a_name_finds_the_latest_response_that_has_not_expired(store: StateStore) -> None:
    await store.save(stored("old", names=("msg_1", "msg_1", "")))
    await store.save(stored("new", names=("msg_1",), expires_at=NOW + 10))
    early, late = (
        await store.by_name(ALICE, "msg_1", NOW),
        await store.by_name(ALICE, "msg_1", NOW + 50),
    )
    assert early is not None
    assert early.id == "new"
    assert late is not None
    assert late.id == "old"
    assert await store.by_name(BOB, "msg_1", NOW) is None
    await store.delete(ALICE, "new")
    again = await store.by_name(ALICE, "msg_1", NOW)
    assert again is not None
    assert again.id == "old"


async def test_an_expired_response_is_not_found_but_its_children_have_its_items(
    store: StateStore,
) -> None:
    await store.save(stored("a", expires_at=NOW + 1, origin="here"))
    await store.save(stored("b", "a"))
    assert await store.get(ALICE, "a", NOW + 0.5) is not None
    assert await store.get(ALICE, "a", NOW + 1) is None
    assert await store.prune(NOW + 2, 100) == 0
    assert await store.chain(ALICE, "b") == [_link("a", "here"), _link("b")]


async def test_branches_of_one_response_know_nothing_of_each_other(store: StateStore) -> None:
    for name, parent in (("root", None), ("left", "root"), ("right", "root"), ("leaf", "left")):
        await store.save(stored(name, parent))
    assert await store.chain(ALICE, "leaf") == [_link("root"), _link("left"), _link("leaf")]
    assert await store.chain(ALICE, "right") == [_link("root"), _link("right")]
    assert await store.chain(ALICE, "root") == [_link("root")]


async def test_a_chain_of_200_comes_in_order(store: StateStore) -> None:
    await asyncio.gather(
        *[store.save(stored(f"r{at}", f"r{at - 1}" if at else None)) for at in range(200)]
    )
    chain = await store.chain(ALICE, "r199")
    assert chain == [_link(f"r{at}") for at in range(200)]


async def test_what_was_continued_from_a_deleted_response_stays_whole(store: StateStore) -> None:
    for name, parent in (("a", None), ("b", "a"), ("c", "b")):
        await store.save(stored(name, parent, names=(f"item of {name}",)))
    assert await store.delete(ALICE, "a")
    assert await store.get(ALICE, "a", 0.0) is None
    assert await store.by_name(ALICE, "item of a", 0.0) is None
    assert not await store.delete(ALICE, "a")
    assert await store.chain(ALICE, "c") == [_link("a"), _link("b"), _link("c")]


async def test_a_deleted_response_is_erased_with_the_last_that_was_continued_from_it(
    store: StateStore,
) -> None:
    for name, parent in (("a", None), ("b", "a"), ("c", "a")):
        await store.save(stored(name, parent))
    await store.delete(ALICE, "a")
    await store.delete(ALICE, "b")
    assert await store.prune(1.0, 10) == 0
    assert await store.chain(ALICE, "c") is not None
    await store.delete(ALICE, "c")
    assert await store.prune(1.0, 10) == 1
    assert await store.save(stored("a"))


async def test_a_chain_that_misses_a_link_is_gone(store: StateStore) -> None:
    for name, parent in (("b", "a"), ("c", "b")):
        await store.save(stored(name, parent))
    assert await store.chain(ALICE, "c") is None
    assert await store.chain(ALICE, "nothing") is None


async def test_how_a_response_stands_is_told_without_reading_it(store: StateStore) -> None:
    assert await store.standing(ALICE, "r", 0.0) is None
    await store.save(stored("r"))
    assert await store.standing(ALICE, "r", 0.0) == ("completed", -1)
    assert await store.standing(BOB, "r", 0.0) is None


async def test_what_is_above_a_barrier_is_not_part_of_the_chain(store: StateStore) -> None:
    await store.save(stored("a"))
    await store.save(stored("b", "a", barrier=True))
    await store.save(stored("c", "b"))
    assert await store.chain(ALICE, "c") == [_link("b"), _link("c")]
    await store.delete(ALICE, "a")
    assert await store.chain(ALICE, "c") == [_link("b"), _link("c")]


@pytest.mark.parametrize("parents", [{"a": "a"}, {"a": "b", "b": "a"}])
async def test_a_circle_of_parents_ends(store: StateStore, parents: dict[str, str]) -> None:
    for name, parent in parents.items():
        await store.save(stored(name, parent))
    assert await store.chain(ALICE, "a") is None


async def test_a_chain_stays_inside_its_tenant(store: StateStore) -> None:
    await store.save(stored("a", tenant=BOB))
    await store.save(stored("b", "a"))
    assert await store.chain(ALICE, "b") is None
    assert await store.chain(BOB, "b") is None


async def test_deleting_takes_names_and_events_along(store: StateStore) -> None:
    await store.begin_run(running("r", names=("msg_1",)), "me", NOW + 10)
    await store.progress_run(ALICE, "r", "in_progress", b"{}", logged(0, 1))
    assert not await store.delete(BOB, "r")
    assert await store.delete(ALICE, "r")
    assert not await store.delete(ALICE, "r")
    assert await store.get(ALICE, "r", NOW) is None
    assert await store.by_name(ALICE, "msg_1", NOW) is None
    assert await store.events(ALICE, "r", -1, 10) == []
    await store.save(stored("next"))  # may take the same place in the table
    assert await store.events(ALICE, "next", -1, 10) == []
    assert await store.by_name(ALICE, "msg_1", NOW) is None


async def test_another_tenant_sees_nothing_and_changes_nothing(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1"))
    await store.save(stored("a", names=("msg_1",)))
    await store.begin_run(running("r"), "me", NOW + 10)
    assert await store.get(BOB, "a", NOW) is None
    assert await store.chain(BOB, "a") is None
    assert await store.by_name(BOB, "msg_1", NOW) is None
    assert not await store.delete(BOB, "a")
    assert await store.conversation(BOB, "conv_1") is None
    assert await store.update_conversation(BOB, "conv_1", b'{"x":1}') is None
    assert not await store.delete_conversation(BOB, "conv_1")
    assert not await store.append(BOB, "conv_1", items("i2"))
    assert await store.entries(BOB, "conv_1", after=None, limit=None, order="asc") is None
    assert await store.entry(BOB, "conv_1", "i1") is None
    assert await store.entry_anywhere(BOB, "i1") is None
    assert not await store.delete_entry(BOB, "conv_1", "i1")
    assert not await store.progress_run(BOB, "r", "in_progress", b"{}", logged(0))
    assert not await store.finish_run(stored("r", tenant=BOB), logged(0))
    assert await store.events(BOB, "r", -1, 10) == []
    assert await store.entry(ALICE, "conv_1", "i1") == items("i1")[0]
    assert [run.id for run in await store.renew("me", NOW + 20)] == ["r"]


async def test_pruning_takes_leaves_first_and_then_what_became_one(store: StateStore) -> None:
    for name, parent in (("a", None), ("b", "a"), ("c", "b")):
        await store.save(stored(name, parent, names=(f"msg_{name}",), expires_at=NOW))
    await store.save(stored("kept", "b", expires_at=None))
    await store.save(stored("alone", expires_at=NOW))
    await store.save(stored("later"))
    assert await store.prune(NOW - 1, 100) == 0
    assert await store.prune(NOW, 1) == 1
    assert await store.prune(NOW, 100) == 1
    assert await store.chain(ALICE, "kept") == [_link("a"), _link("b"), _link("kept")]
    assert await store.chain(ALICE, "c") is None
    assert await store.by_name(ALICE, "msg_c", 0) is None
    await store.delete(ALICE, "kept")
    assert await store.prune(NOW, 100) == 2
    assert await store.chain(ALICE, "a") is None
    assert await store.get(ALICE, "later", NOW) is not None


async def test_pruning_stops_at_its_limit_and_reaches_all_in_the_end(store: StateStore) -> None:
    chain = [stored(f"c{at}", f"c{at - 1}" if at else None, expires_at=NOW) for at in range(40)]
    alone = [stored(f"a{at}", expires_at=NOW) for at in range(600)]
    await asyncio.gather(*[store.save(record) for record in chain + alone])
    assert await store.prune(NOW, 10) == 10
    assert await store.prune(NOW, 1000) == 630
    assert await store.prune(NOW, 1000) == 0


@pytest.mark.parametrize("name", ["a\0b", "\udc80", "é" * 5000, ""])
async def test_ids_that_nobody_can_have_are_unknown(store: StateStore, name: str) -> None:
    await store.create_conversation(conversation(), items("i1"))
    assert await store.get(ALICE, name, NOW) is None
    assert await store.chain(ALICE, name) is None
    assert await store.by_name(ALICE, name, NOW) is None
    assert not await store.delete(ALICE, name)
    assert await store.conversation(ALICE, name) is None
    assert not await store.append(ALICE, name, items("i1"))
    assert await store.entries(ALICE, "conv_1", after=name, limit=5, order="asc") is None
    assert await store.entry(ALICE, "conv_1", name) is None
    assert await store.events(ALICE, name, -1, 5) == []


async def test_one_save_that_cannot_be_done_does_not_take_others_along(store: StateStore) -> None:
    names = ("msg_\0", "msg_\udc80", "x" * 10_000, "msg_good")
    results = await asyncio.gather(
        store.save(stored("before")),
        store.save(stored("\udc80")),
        store.save(stored("huge", created_at=1 << 70)),
        store.save(stored("after", names=names)),
        return_exceptions=True,
    )
    assert results[0] is True
    assert isinstance(results[1], StoreUnavailable)
    assert isinstance(results[2], StoreUnavailable)
    assert results[3] is True
    found = await store.by_name(ALICE, "msg_good", NOW)
    assert isinstance(found, Record)
    assert await store.get(ALICE, "before", NOW) is not None
    assert await store.get(ALICE, "huge", NOW) is None


async def test_a_write_goes_on_when_the_task_that_waits_is_cancelled(shared_url: str) -> None:
    store = open_store(shared_url)
    await store.start()
    others = [asyncio.create_task(store.save(stored(f"o{at}"))) for at in range(20)]
    tasks = [
        asyncio.create_task(store.save(stored("a"))),
        asyncio.create_task(store.create_conversation(conversation(), items("i1"))),
    ]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done)
    assert await asyncio.gather(*others) == [True] * 20
    await store.close()  # when all that was queued is done
    again = open_store(shared_url)
    await again.start()
    assert await again.get(ALICE, "a", NOW) is not None
    assert await again.entry_anywhere(ALICE, "i1") is not None
    await again.close()


async def test_closing_finishes_what_is_queued_and_refuses_what_comes_later(url: str) -> None:
    store = open_store(url)
    with pytest.raises(StoreUnavailable):
        await store.get(ALICE, "a", NOW)
    await store.start()
    saves = [asyncio.create_task(store.save(stored(f"r{at}"))) for at in range(100)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*saves) == [True] * 100
    with pytest.raises(StoreUnavailable):
        await store.save(stored("late"))
    with pytest.raises(StoreUnavailable):
        await store.get(ALICE, "r1", NOW)
    await store.close()


async def test_a_secret_is_what_the_first_made_it(store: StateStore) -> None:
    assert await store.secret("sealing", "first") == "first"
    assert await store.secret("sealing", "second") == "first"
    assert await store.secret("other", "third") == "third"
