"""One timer for all: what is due expires, what is not does not, and a defect stops nobody."""

import asyncio
import logging
from time import monotonic

import pytest

from portico.http.deadlines import NEVER, TICK, Sweeper


class _Timed:
    """Notes when it expired; raises if told to."""

    def __init__(self, deadline: float, *, fails: bool = False) -> None:
        self.deadline = deadline
        self.fails = fails
        self.expired: list[float] = []

    def expire(self, now: float) -> None:
        self.expired.append(now)
        if self.fails:
            raise RuntimeError("a defect")
        self.deadline = NEVER


def _sweeper(*members: _Timed) -> Sweeper:
    sweeper = Sweeper()
    sweeper.members.update(members)
    return sweeper


async def _ticks(sweeper: Sweeper, count: int) -> None:
    seen = asyncio.Semaphore(0)
    sweeper.on_tick(lambda now, lag: seen.release())
    for _ in range(count):
        await asyncio.wait_for(seen.acquire(), 5)


async def test_what_is_due_expires_once_and_never_early() -> None:
    due, later, never = _Timed(monotonic() + TICK / 2), _Timed(monotonic() + 60), _Timed(NEVER)
    wanted = due.deadline
    sweeper = _sweeper(due, later, never)
    sweeper.start()
    sweeper.start()
    await _ticks(sweeper, 4)
    sweeper.stop()
    assert len(due.expired) == 1
    assert due.expired[0] >= wanted
    assert (later.expired, never.expired) == ([], [])


async def test_a_member_that_sets_a_new_deadline_expires_again() -> None:
    class Again(_Timed):
        def expire(self, now: float) -> None:
            super().expire(now)
            self.deadline = now

    again = Again(monotonic())
    sweeper = _sweeper(again)
    sweeper.start()
    await _ticks(sweeper, 3)
    sweeper.stop()
    assert len(again.expired) >= 3


async def test_members_may_come_and_go_while_others_expire() -> None:
    sweeper = _sweeper()

    class Leaving(_Timed):
        def expire(self, now: float) -> None:
            super().expire(now)
            sweeper.members.discard(self)
            sweeper.members.add(_Timed(NEVER))

    sweeper.members.update(Leaving(0.0) for _ in range(10))
    sweeper.start()
    await _ticks(sweeper, 2)
    sweeper.stop()
    assert len(sweeper.members) == 10
    assert not [each for each in sweeper.members if isinstance(each, Leaving)]


async def test_one_defect_disarms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    broken, fine = _Timed(0.0, fails=True), [_Timed(0.0) for _ in range(20)]
    sweeper = _sweeper(broken, *fine)
    sweeper.start()
    with caplog.at_level(logging.ERROR):
        await _ticks(sweeper, 3)
    sweeper.stop()
    assert len(broken.expired) == 1
    assert [len(each.expired) for each in fine] == [1] * 20
    assert "a deadline could not be kept" in caplog.text


async def test_lateness_of_the_loop_is_measured() -> None:
    sweeper = Sweeper()
    lags: list[float] = []
    seen = asyncio.Event()

    def note(now: float, lag: float) -> None:
        lags.append(lag)
        seen.set()

    sweeper.on_tick(note)
    sweeper.start()
    until = monotonic() + 2 * TICK
    while monotonic() < until:
        pass  # the loop cannot run
    await asyncio.wait_for(seen.wait(), 5)
    sweeper.stop()
    assert 0.5 * TICK < lags[0] < 5.0


async def test_a_stopped_sweeper_is_silent_and_can_start_again() -> None:
    due = _Timed(0.0)
    sweeper = _sweeper(due)
    sweeper.start()
    sweeper.stop()
    sweeper.stop()
    await asyncio.sleep(2 * TICK)
    assert due.expired == []
    sweeper.start()
    await _ticks(sweeper, 1)
    sweeper.stop()
    assert len(due.expired) == 1
