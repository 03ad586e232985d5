"""What the port promises of background runs, kept by every database."""

import asyncio

from tests.support.stored import ALICE, NOW, conversation, items, logged, running, stored
from tests.unit.store.conftest import Open

from portico.state.port import StateStore


async def test_a_run_begins_goes_on_and_ends(store: StateStore) -> None:
    await store.save(stored("parent"))
    begun = running("r", parent="parent", names=("early",))
    assert await store.begin_run(begun, "me", NOW + 10)
    assert not await store.begin_run(begun, "other", NOW + 10)
    assert not await store.save(stored("r"))
    assert await store.progress_run(ALICE, "r", "in_progress", b'{"half":1}', logged(0, 1))
    half = await store.get(ALICE, "r", NOW)
    assert half is not None
    assert (half.status, half.response, half.input) == ("in_progress", b'{"half":1}', begun.input)
    ended = stored(
        "r",
        None,
        model="not this",
        input=b"nor this",
        created_at=5,
        expires_at=NOW + 500,
        origin="openai/a",
        kept=True,
        context=77,
        barrier=True,
        background=True,
        streamed=True,
        names=("late",),
    )
    assert await store.finish_run(ended, logged(2, 3))
    found = await store.get(ALICE, "r", NOW)
    assert found is not None
    kept = {"input": begun.input, "parent": "parent", "model": "fast", "created_at": NOW}
    for field in ended.__struct_fields__:
        if field != "names":
            assert getattr(found, field) == kept.get(field, getattr(ended, field)), field
    assert await store.by_name(ALICE, "early", NOW) is None
    late = await store.by_name(ALICE, "late", NOW)
    assert late is not None
    assert late.id == "r"
    assert await store.events(ALICE, "r", -1, 100) == logged(0, 1, 2, 3)


async def test_a_name_of_a_run_may_stay_when_it_ends(store: StateStore) -> None:
    await store.begin_run(running("r", names=("msg_1", "msg_2")), "me", NOW + 10)
    assert await store.finish_run(stored("r", names=("msg_2", "msg_3")), [])
    assert await store.by_name(ALICE, "msg_1", NOW) is None
    assert await store.by_name(ALICE, "msg_2", NOW) is not None
    assert await store.by_name(ALICE, "msg_3", NOW) is not None


async def test_what_has_ended_does_not_change_any_more(store: StateStore) -> None:
    await store.begin_run(running("r"), "me", NOW + 10)
    assert await store.finish_run(stored("r", status="cancelled"), logged(0))
    assert not await store.progress_run(ALICE, "r", "in_progress", b"{}", logged(1))
    assert not await store.finish_run(stored("r"), logged(1), items("i1"))
    found = await store.get(ALICE, "r", NOW)
    assert found is not None
    assert found.status == "cancelled"
    assert await store.events(ALICE, "r", -1, 10) == logged(0)
    assert not await store.finish_run(stored("never was"), logged(0))
    await store.save(stored("never a run"))
    assert not await store.finish_run(stored("never a run"), [])


async def test_of_an_end_and_a_cancellation_exactly_one_wins(opened: Open) -> None:
    first, second = await opened(), await opened()
    for at in range(40):
        await first.begin_run(running(f"r{at}"), "me", NOW + 10)
    ended, cancelled = (
        [store.finish_run(stored(f"r{at}", status=status), logged(number)) for at in range(40)]
        for store, status, number in ((first, "completed", 0), (second, "cancelled", 1))
    )
    mixed = await asyncio.gather(
        *[one for pair in zip(ended, cancelled, strict=True) for one in pair]
    )
    for at in range(40):
        done, stopped = mixed[2 * at], mixed[2 * at + 1]
        assert done != stopped
        found = await first.get(ALICE, f"r{at}", NOW)
        assert found is not None
        assert found.status == ("completed" if done else "cancelled")
        assert await second.events(ALICE, f"r{at}", -1, 9) == logged(0 if done else 1)


async def test_the_items_of_a_run_go_into_the_conversation_it_began_in(store: StateStore) -> None:
    await store.create_conversation(conversation(), items("i1"))
    await store.create_conversation(conversation("conv_2"), [])
    await store.begin_run(running("r", conversation="conv_1"), "me", NOW + 10)
    await store.begin_run(running("q"), "me", NOW + 10)
    assert await store.finish_run(stored("r", conversation="conv_2"), [], items("i2", "i3"))
    assert await store.finish_run(stored("q", conversation="conv_2"), [], items("i4"))
    found = await store.entries(ALICE, "conv_1", after=None, limit=None, order="asc")
    assert found == items("i1", "i2", "i3")
    assert await store.entries(ALICE, "conv_2", after=None, limit=None, order="asc") == []


async def test_a_run_ends_although_its_conversation_is_gone(store: StateStore) -> None:
    await store.create_conversation(conversation(), [])
    await store.begin_run(running("r", conversation="conv_1"), "me", NOW + 10)
    await store.delete_conversation(ALICE, "conv_1")
    assert await store.finish_run(stored("r"), [], items("i1"))
    assert await store.entry_anywhere(ALICE, "i1") is None


async def test_events_come_by_pages_in_order_and_once(store: StateStore) -> None:
    await store.begin_run(running("r"), "me", NOW + 10)
    await store.progress_run(ALICE, "r", "in_progress", b"{}", logged(*range(50)))
    await store.progress_run(ALICE, "r", "in_progress", b"{}", logged(*range(40, 130)))
    assert await store.events(ALICE, "r", -1, 1000) == logged(*range(130))
    assert await store.events(ALICE, "r", 99, 10) == logged(*range(100, 110))
    assert await store.events(ALICE, "r", 129, 10) == []
    assert await store.events(ALICE, "other", -1, 10) == []


async def test_a_lease_is_renewed_until_the_run_ends(store: StateStore) -> None:
    for name in ("r1", "r2", "r3"):
        await store.begin_run(running(name), "me", NOW + 10)
    await store.begin_run(running("theirs"), "them", NOW + 10)
    assert sorted(run.id for run in await store.renew("me", NOW + 20)) == ["r1", "r2", "r3"]
    assert [record.id for record in await store.abandoned(NOW + 15, 9)] == ["theirs"]
    await store.finish_run(stored("r1"), [])
    await store.delete(ALICE, "r2")
    held = await store.renew("me", NOW + 30)
    assert [(run.tenant, run.id) for run in held] == [(ALICE, "r3")]
    assert await store.renew("nobody", NOW + 30) == []


async def test_a_run_whose_lease_is_over_is_abandoned_until_somebody_ends_it(
    store: StateStore,
) -> None:
    for at in range(3):
        await store.begin_run(running(f"r{at}"), "me", NOW + at)
    assert await store.abandoned(NOW - 1, 9) == []
    assert [record.id for record in await store.abandoned(NOW + 1, 9)] == ["r0", "r1"]
    assert [record.id for record in await store.abandoned(NOW + 9, 1)] == ["r0"]
    (record,) = await store.abandoned(NOW, 9)
    assert record == running("r0")
    assert await store.finish_run(stored("r0", status="failed"), [])
    assert [record.id for record in await store.abandoned(NOW + 9, 9)] == ["r1", "r2"]
