"""Background runs against databases that answer late, lose rows, or say no at the wrong moment."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from time import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs
from tests.support.stateful import until

from portico.config.settings import HealthSettings, RetrySettings
from portico.dialects.responses.stored_snapshot import cancelled, failed, queued
from portico.errors import Overloaded
from portico.gateway import background, runs
from portico.gateway.call import Call
from portico.gateway.run import Run
from portico.gateway.runs import Runs, ended_as
from portico.limits import Limits
from portico.model.outcome import Outcome
from portico.routing.attempts import Attempts
from portico.routing.budget import RetryBudget
from portico.routing.health import Cooldown, Health
from portico.routing.plan import Backend, Credential, One
from portico.state.port import StateStore, StoreUnavailable
from portico.state.recording import Turn, record_of
from portico.state.records import Logged, Record, tenant_key
from portico.store.opening import MEMORY, open_store

ME = "this worker"
TENANT = tenant_key(b"")


class Late:
    """A store that answers when it is let: a name in `gates` waits before its transaction, one in
    `faults` raises. `calls` are the names of what was asked."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.gates: dict[str, asyncio.Event] = {}
        self.faults: dict[str, Exception] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def asked(*args: Any) -> Any:
            self.calls.append(name)
            if name in self.gates:
                await self.gates[name].wait()
            if name in self.faults:
                raise self.faults[name]
            return await method(*args)

        return asked

    def hold(self, name: str) -> asyncio.Event:
        """Let calls of this name wait; the event lets them go."""
        self.gates[name] = asyncio.Event()
        return self.gates[name]


@pytest.fixture
async def store() -> AsyncIterator[Late]:
    inner = open_store(MEMORY)
    await inner.start()
    yield Late(inner)
    await inner.close()


def turn_of(**more: Any) -> Turn:
    given: dict[str, Any] = {"store": True, "model": "m", "retention": 1000.0, "input": b"[]"}
    return Turn(tenant=TENANT, **{**given, **more})


def record_for(turn: Turn, base: str = "0" * 32, *, streamed: bool = True) -> Record:
    first = record_of(turn, queued({}, base, int(time()), "m"))
    latest = background._latest(int(time()), 3600.0, turn.retention)
    return structs.replace(first, background=True, streamed=streamed, names=(), expires_at=latest)


async def begun(all_runs: Runs, base: str = "0" * 32, **more: Any) -> Run:
    turn = turn_of(**more)
    record = record_for(turn, base)
    events = background._first_events(record.response)
    return await all_runs.begin(record, turn, {}, events, Limits())


def frame(kind: str, number: int, more: str = "") -> bytes:
    data = f'{{"type":"{kind}","sequence_number":{number}{more}}}'
    return f"event: {kind}\ndata: {data}\n\n".encode()


def delta(number: int) -> bytes:
    return frame("response.output_text.delta", number, ',"delta":"x"')


def end(number: int, status: str = "completed") -> bytes:
    response = f'{{"id":"resp_up","created_at":1,"status":"{status}","output":[]}}'
    return frame("response.completed", number, f',"response":{response}')


async def status_of(store: Late, run: Run) -> str:
    record = await store.store.get(*run.place, time())
    assert record is not None
    return record.status


async def numbers_of(store: Late, run: Run) -> list[int]:
    return [event.number for event in await store.store.events(*run.place, -1, 1000)]


# events


async def test_no_event_is_lost_when_a_run_ends_while_events_are_being_committed(
    store: Late,
) -> None:
    all_runs = Runs(store, ME)
    run = await begun(all_runs)
    gate = store.hold("progress_run")
    calls = len(store.calls)
    for number in range(5):
        run.take(delta(number))
    await until(lambda: "progress_run" in store.calls[calls:])
    for number in range(5, 10):
        run.take(delta(number))
    run.take(end(10))
    ending = asyncio.ensure_future(all_runs.end(run))
    for _ in range(5):
        await asyncio.sleep(0)
    assert "finish_run" not in store.calls  # it must not overtake
    gate.set()
    await ending
    assert await numbers_of(store, run) == list(range(12))
    assert [event.number for event in run.events] == list(range(12))
    assert await status_of(store, run) == "completed"
    assert not all_runs.any


async def test_events_whose_commit_failed_come_with_the_end(store: Late) -> None:
    all_runs = Runs(store, ME)
    run = await begun(all_runs)
    gate = store.hold("progress_run")
    store.faults["progress_run"] = StoreUnavailable("gone")
    calls = len(store.calls)
    for number in range(5):
        run.take(delta(number))
    await until(lambda: "progress_run" in store.calls[calls:])
    run.take(delta(5))
    run.take(end(6))
    ending = asyncio.ensure_future(all_runs.end(run))
    await asyncio.sleep(0)
    gate.set()
    await ending
    assert await numbers_of(store, run) == list(range(8))
    assert [event.number for event in run.events] == list(range(8))


async def test_an_end_that_cannot_be_stored_is_stored_later_with_its_events(store: Late) -> None:
    all_runs = Runs(store, ME)
    run = await begun(all_runs)
    run.take(delta(0))
    run.take(end(1))
    store.faults["finish_run"] = StoreUnavailable("gone")
    await all_runs.end(run)
    assert (all_runs.any, run.ended) == (True, False)
    store.faults.clear()
    await all_runs.stop()
    assert await numbers_of(store, run) == [0, 1, 2]
    assert await status_of(store, run) == "completed"
    assert not all_runs.any


async def test_a_run_with_too_many_bytes_of_events_fails_and_frees_its_provider(
    store: Late,
) -> None:
    all_runs = Runs(store, ME)
    turn = turn_of()
    run = await all_runs.begin(record_for(turn), turn, {}, [], Limits(response_bytes=500))
    run.task = asyncio.ensure_future(asyncio.sleep(60))
    for number in range(50):
        run.take(delta(number))
    await asyncio.wait({run.task})
    assert run.task.cancelled()
    await all_runs.end(run)
    assert await status_of(store, run) == "failed"
    assert 0 < len(run.events) < 50


# runs of which the database and this worker think differently


@pytest.mark.parametrize("look", ["_renew", "_look"])
async def test_a_run_whose_row_is_not_there_yet_is_not_taken_for_lost(
    store: Late, look: str
) -> None:
    all_runs = Runs(store, ME)
    other = await begun(all_runs, "1" * 32)
    gate = store.hold("begin_run")
    beginning = asyncio.ensure_future(begun(all_runs))
    await until(lambda: store.calls.count("begin_run") == 2)
    await getattr(all_runs, look)()
    gate.set()
    run = await beginning
    assert (run.ended, other.ended) == (False, False)
    run.take(end(0))
    await all_runs.end(run)
    assert await status_of(store, run) == "completed"


@pytest.mark.parametrize("look", ["_renew", "_look"])
async def test_a_row_of_this_worker_that_no_run_belongs_to_is_ended(store: Late, look: str) -> None:
    all_runs = Runs(store, ME)
    other = await begun(all_runs, "1" * 32)  # while it has any, all its leases are extended
    record = record_for(turn_of())
    await store.store.begin_run(record, ME, time() + 30)
    theirs = record_for(turn_of(), "2" * 32)
    await store.store.begin_run(theirs, "another worker", time() + 30)
    await getattr(all_runs, look)()
    found = await store.store.get(TENANT, record.id, time())
    assert found is not None
    assert found.status == "failed"
    assert b"gateway" in found.response
    assert await status_of(store, other) == "queued"
    untouched = await store.store.get(TENANT, theirs.id, time())
    assert untouched is not None
    assert untouched.status == "queued"


@pytest.mark.parametrize("fault", [StoreUnavailable("gone"), asyncio.CancelledError()])
async def test_a_run_of_which_nobody_knows_whether_it_began_is_ended(
    store: Late, fault: BaseException
) -> None:
    all_runs = Runs(store, ME)
    store.faults["progress_run"] = fault  # type: ignore[assignment]
    with pytest.raises(type(fault)):
        await begun(all_runs)
    (run,) = all_runs._unsettled
    assert await status_of(store, run) == "queued"
    await all_runs.end(run)
    assert await status_of(store, run) == "failed"
    assert not all_runs.any
    assert not all_runs._unsettled


async def test_a_run_that_ended_elsewhere_is_given_up_here_and_stays_as_it_ended(
    store: Late,
) -> None:
    all_runs = Runs(store, ME)
    run = await begun(all_runs)
    run.task = asyncio.ensure_future(asyncio.sleep(60))
    await store.store.finish_run(ended_as(run.record, cancelled(run.record.response)), ())
    await all_runs._look()
    await asyncio.wait({run.task})
    run.fail(Overloaded("whatever the lane makes of it"))
    await all_runs.end(run)
    assert await status_of(store, run) == "cancelled"
    assert not all_runs.any


@pytest.mark.parametrize("how", ["cancelled", "abandoned"])
async def test_a_run_that_is_ended_elsewhere_expires_like_any_other(store: Late, how: str) -> None:
    record = record_for(turn_of())
    await store.store.begin_run(record, "somebody", time() - 1)
    elsewhere = Runs(store, ME)
    if how == "cancelled":
        gateway = _gateway(store, elsewhere)
        assert (await background.cancel(gateway, record)).status == "cancelled"
    else:
        assert await elsewhere.end_abandoned() == 1
    found = await store.store.get(TENANT, record.id, time())
    assert found is not None
    assert found.expires_at is not None
    assert 1000 < found.expires_at - time() <= 4600


async def test_looking_after_runs_survives_a_defect(
    store: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LOOK_SECONDS", 0.005)
    all_runs = Runs(store, ME)
    run = await begun(all_runs)
    store.faults["renew"] = RuntimeError("a defect")
    store.faults["held"] = RuntimeError("a defect")
    looking = asyncio.ensure_future(all_runs.look_after())
    await until(lambda: store.calls.count("held") > 2)
    store.faults.clear()
    await store.store.finish_run(ended_as(run.record, cancelled(run.record.response)), ())
    await until(lambda: run.ended)
    looking.cancel()


async def test_an_abandoned_run_without_a_response_object_is_ended_all_the_same(
    store: Late,
) -> None:
    record = structs.replace(record_for(turn_of()), response=b"{}")
    await store.store.begin_run(record, "dead", time() - 1)
    assert await Runs(store, ME).end_abandoned() == 1
    assert await store.store.abandoned(time(), 9) == []


async def test_more_runs_than_the_limit_are_refused_and_leave_nothing(store: Late) -> None:
    all_runs = Runs(store, ME)
    turn = turn_of()
    first = await all_runs.begin(record_for(turn), turn, {}, [], Limits(background_runs=1))
    with pytest.raises(Overloaded) as caught:
        await all_runs.begin(record_for(turn, "1" * 32), turn, {}, [], Limits(background_runs=1))
    assert caught.value.limit == "backgroundRuns"
    assert await store.store.get(TENANT, f"resp_{'1' * 32}", time()) is None
    first.take(end(0))
    await all_runs.end(first)
    assert not all_runs.any


# how runs end


@pytest.mark.parametrize("status", ["queued", "in_progress"])
@pytest.mark.parametrize("whole", [False, True], ids=["stream", "whole"])
async def test_an_end_that_says_it_is_none_does_not_keep_the_run_alive(
    store: Late, status: str, whole: bool
) -> None:
    all_runs = Runs(store, ME)
    run = await begun(all_runs)
    if whole:
        run.take_whole(b'{"id":"resp_up","status":"%b","output":[]}' % status.encode())
    else:
        run.take(end(0, status))
    await all_runs.end(run)
    assert await status_of(store, run) == "failed"
    assert await store.store.abandoned(time() + 1000, 9) == []


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("response.in_progress", ""),
        ("response.in_progress", ',"response":null'),
        ("response.in_progress", ',"response":{}'),
        ("response.in_progress", ',"response":[1]'),
        ("response.completed", ""),
        ("response.completed", ',"response":null'),
        ("response.completed", ',"response":{}'),
        ("response.completed", ',"response":[1]'),
    ],
)
async def test_events_without_a_response_object_leave_one_that_can_be_read(
    store: Late, kind: str, response: str
) -> None:
    all_runs = Runs(store, ME)
    run = await begun(all_runs)
    run.take(frame(kind, 0, response))
    if kind == "response.in_progress":
        await asyncio.sleep(0.05)
        run.cancel()
    await all_runs.end(run)
    found = await store.store.get(*run.place, time())
    assert found is not None
    assert found.status == ("cancelled" if kind == "response.in_progress" else "failed")
    assert record_of(turn_of(), found.response).id == run.record.id
    assert failed(found.response, "server_error", "x")


class _Recorder:
    """Counts what begins and ends."""

    def __init__(self) -> None:
        self.open = 0
        self.outcomes: list[Outcome] = []

    def begin(self) -> None:
        self.open += 1

    def finish(self, outcome: Outcome) -> None:
        self.open -= 1
        self.outcomes.append(outcome)

    def limit_hit(self, name: str) -> None:
        """Counted elsewhere."""


class _Caller:
    held = 1

    def leave(self) -> None:
        self.held -= 1


def _gateway(store: Late, all_runs: Runs) -> Any:
    state = SimpleNamespace(store=store, runs=all_runs)
    return SimpleNamespace(state=state, recorder=_Recorder(), now=time, inflated=0)


def _machine() -> Attempts:
    """A request that was about to be served by the one target there is."""
    target = SimpleNamespace(
        label="p",
        semconv="p",
        upstream_model=lambda name: name,
        meta=lambda model: b"",
        response_rules=None,
    )
    health = Health(HealthSettings())
    backend = Backend(
        "m", "m", "p", [Credential(target, ("o",), Cooldown())], health, lambda _: 0.0
    )
    machine = Attempts(
        One(backend).fixed or (), RetrySettings(), RetryBudget(0.2, 3.0, 0.0), 1e9, Random(1)
    )
    machine.begin(0.0)
    return machine


def _work(gateway: Any, run: Run, lane: Any) -> tuple["asyncio.Task[None]", _Caller]:
    caller = _Caller()
    call = Call(Outcome("r", "POST", "p", 0.0), cast(Any, None), caller=cast(Any, caller), name="m")
    nothing: Any = None
    run.task = asyncio.ensure_future(
        background._work(gateway, run, call, _machine(), nothing, nothing, nothing, lane)
    )
    return run.task, caller


async def test_cancels_while_the_end_is_being_committed_leave_no_slot_behind(store: Late) -> None:
    all_runs = Runs(store, ME)
    gateway = _gateway(store, all_runs)
    run = await begun(all_runs)

    async def lane(call: Any, request: Any, reply: Any, *_: Any) -> None:
        reply.start(200, b"", None)
        await asyncio.sleep(60)

    gate = store.hold("finish_run")
    task, caller = _work(gateway, run, lane)
    await asyncio.sleep(0)
    cancels = [asyncio.ensure_future(background.cancel(gateway, run.record)) for _ in range(6)]
    await until(lambda: "finish_run" in store.calls)
    cancels += [asyncio.ensure_future(background.cancel(gateway, run.record)) for _ in range(6)]
    await asyncio.sleep(0.01)
    assert not task.done()
    gate.set()
    assert {record.status for record in await asyncio.gather(*cancels)} == {"cancelled"}
    assert task.done()
    assert not task.cancelled()
    assert (caller.held, gateway.recorder.open, all_runs.any) == (0, 0, False)
    assert [outcome.verdict for outcome in gateway.recorder.outcomes] == ["client_cancelled"]
    assert store.calls.count("finish_run") == 1


@pytest.mark.parametrize("by", ["itself", "cancel", "drain"])
async def test_a_provider_that_lingers_after_its_end_holds_nothing_up(
    store: Late, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portico.gateway.run.LINGER_SECONDS", 0.02 if by == "itself" else 60.0)
    all_runs = Runs(store, ME)
    gateway = _gateway(store, all_runs)
    run = await begun(all_runs)

    async def lane(call: Any, request: Any, reply: Any, *_: Any) -> None:
        reply.start(200, b"", None)
        reply.write(end(0))
        await asyncio.sleep(60)
        reply.end()

    task, caller = _work(gateway, run, lane)
    await until(lambda: run.outcome is not None)
    async with asyncio.timeout(10):
        if by == "cancel":
            assert (await background.cancel(gateway, run.record)).status == "completed"
        elif by == "drain":
            await all_runs.drain(0.01)
        await asyncio.wait({task})
    assert await status_of(store, run) == "completed"
    assert (caller.held, gateway.recorder.open, all_runs.any) == (0, 0, False)
    assert [outcome.verdict for outcome in gateway.recorder.outcomes] == ["ok"]


async def test_a_drain_fails_what_still_works_and_says_why(store: Late) -> None:
    all_runs = Runs(store, ME)
    gateway = _gateway(store, all_runs)
    run = await begun(all_runs)

    async def lane(call: Any, request: Any, reply: Any, *_: Any) -> None:
        reply.start(200, b"", None)
        reply.write(delta(0))
        await asyncio.sleep(60)

    task, caller = _work(gateway, run, lane)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        await all_runs.drain(0.01)
    assert task.done()
    assert await status_of(store, run) == "failed"
    assert await numbers_of(store, run) == [0, 1, 2]
    assert caller.held == 0
    assert [outcome.verdict for outcome in gateway.recorder.outcomes] == ["truncated"]


# followers


async def _read_for(follower: background.Follower, seconds: float) -> list[Logged]:
    """What `follow` does between two looks at the client."""
    found: list[Logged] = []
    until_then = asyncio.get_running_loop().time() + seconds
    wait = 0.0
    while asyncio.get_running_loop().time() < until_then:
        events = await follower.more(wait)
        found += events
        wait = 0.0
        if not events:
            if await follower.end(time()) is not None:
                break
            wait = 1.0
    return found


async def test_followers_of_a_run_that_ended_elsewhere_do_not_spin(store: Late) -> None:
    all_runs = Runs(store, ME)
    gateway = _gateway(store, all_runs)
    run = await begun(all_runs)
    run.ended = True  # but it is not forgotten yet, and the row is still live
    calls = len(store.calls)
    await _read_for(background.Follower(gateway, run.record, -1), 0.6)
    asked = store.calls[calls:]
    assert 2 <= len(asked) < 16, asked
    await store.store.finish_run(ended_as(run.record, cancelled(run.record.response)), ())
    follower = background.Follower(gateway, run.record, -1)
    assert [event.number for event in await follower.more(0.0)] == [0, 1]
    last = await follower.end(time())
    assert last is not None
    assert b'"sequence_number":2' in last


async def test_followers_of_a_run_elsewhere_read_its_record_once(store: Late) -> None:
    gateway = _gateway(store, Runs(store, ME))
    record = record_for(turn_of(input=b'["%b"]' % (b"x" * 10_000)))
    await store.store.begin_run(record, "elsewhere", time() + 30)
    follower = background.Follower(gateway, record, -1)
    reading = asyncio.ensure_future(_read_for(follower, 5.0))
    await until(lambda: store.calls.count("standing") >= 3)
    assert "get" not in store.calls
    await store.store.finish_run(ended_as(record, cancelled(record.response)), ())
    await reading
    assert store.calls.count("get") == 1
