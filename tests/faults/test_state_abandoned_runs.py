"""Background runs whose gateway was killed end as failed, and say so to everybody who asks."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support import replicas as support
from tests.support.replicas import (
    LANES,
    LEASE,
    LIVE,
    RENEW,
    TRANSLATE,
    Client,
    Replica,
    Replicas,
    numbers,
)

replicas = support.replicas
postgres = support.postgres
postgres_url = support.postgres_url
database = support.database

TIMES = (LEASE, RENEW)
SLOW = "[[demo tokens=2000 delay=0.05]]"


async def _some(replica: Replica, lane: str, most: int, **more: Any) -> list[dict[str, Any]]:
    """The first events of a background response."""
    client = await replica.stream(lane, f"{SLOW} on", background=True, **more)
    return await client.some(most)


def _is_given_up(response: dict[str, Any]) -> None:
    assert response["status"] == "failed"
    assert response["error"]["code"] == "server_error"
    assert "stopped before it was complete" in response["error"]["message"]


async def _told_everywhere(replica: Replica, seen: list[dict[str, Any]]) -> None:
    """A stream that was cut by the crash is taken up behind every event that was seen."""
    id = seen[0]["response"]["id"]
    response = await replica.get(id)
    _is_given_up(response)
    whole = await (await replica.follow(id)).events()
    assert numbers(whole) == list(range(len(whole)))
    assert whole[: len(seen)] == seen, "what was shown stays as it was"
    terminal = [event for event in whole if event.get("response", {}).get("status") not in
                (None, *LIVE)]  # fmt: skip
    assert terminal == whole[-1:]
    assert (whole[-1]["type"], whole[-1]["response"]) == ("response.failed", response)
    for after in (0, len(seen) // 2, len(seen) - 1, len(whole) - 2):
        client = await replica.follow(id, after)
        assert await client.events() == whole[after + 1 :]
        assert client.done
    status, cancelled = await replica.json("POST", f"/v1/responses/{id}/cancel")
    assert (status, cancelled) == (200, response), "too late, and no error"


async def test_after_a_restart_the_run_has_failed(replicas: Replicas, database: str) -> None:
    first = await replicas.serve(database, lease=TIMES)

    async def begun(lane: str) -> tuple[list[dict[str, Any]], str, str]:
        seen = await _some(first, lane, 12)
        polled = await first.create(lane, f"{SLOW} unseen", background=True)
        queued = await first.create(lane, "[[demo first_delay=60]]", background=True)
        return seen, polled["id"], queued["id"]

    async def failed(seen: list[dict[str, Any]], polled: str, queued: str) -> None:
        for id in (seen[0]["response"]["id"], polled, queued):
            _is_given_up(await second.ended(id))
        assert time.monotonic() - start < 60
        await _told_everywhere(second, seen)
        await asyncio.sleep(2 * RENEW)
        _is_given_up(await second.get(polled))

    runs = await asyncio.gather(*map(begun, LANES))
    await first.kill()
    second = await replicas.serve(database, lease=TIMES)
    start = time.monotonic()
    await asyncio.gather(*[failed(*run) for run in runs])


async def test_a_replica_that_stayed_up_ends_it_for_those_who_watch_and_those_who_poll(
    replicas: Replicas, database: str
) -> None:
    dying, staying = [await replicas.serve(database, lease=TIMES) for _ in range(2)]

    async def begun(lane: str) -> tuple[str, list[dict[str, Any]], Client]:
        own = await staying.create(lane, f"{SLOW} own", background=True)
        seen = await _some(dying, lane, 6)
        watcher = await staying.follow(seen[0]["response"]["id"])
        assert await watcher.some(1) == seen[:1]
        return own["id"], seen, watcher

    async def ended(own: str, seen: list[dict[str, Any]], watcher: Client) -> None:
        polling = asyncio.ensure_future(staying.ended(seen[0]["response"]["id"]))
        rest = [seen[0], *await watcher.events()]
        assert time.monotonic() - start < 60
        assert watcher.done
        assert numbers(rest) == list(range(len(rest)))
        assert rest[-1]["type"] == "response.failed"
        assert rest[-1]["response"] == await polling
        await _told_everywhere(staying, seen)
        assert (await staying.get(own))["status"] in LIVE, "only the dead one's runs are ended"
        await staying.json("POST", f"/v1/responses/{own}/cancel")

    runs = await asyncio.gather(*map(begun, LANES))
    ends = [asyncio.ensure_future(ended(*run)) for run in runs]
    await asyncio.sleep(0)  # they watch and poll
    start = time.monotonic()
    await dying.kill()
    await asyncio.gather(*ends)


async def test_runs_of_a_gateway_that_stopped_answering_end_once(
    replicas: Replicas, postgres_url: str
) -> None:
    """It was only asleep: it finds its runs ended, and changes nothing any more."""
    asleep, awake = [await replicas.serve(postgres_url, lease=TIMES) for _ in range(2)]
    words = "asleep"
    client = await asleep.stream(TRANSLATE, f"[[demo tokens=300 delay=0.02]] {words}",
                                 background=True)  # fmt: skip
    (first,) = await client.some(1)
    id = first["response"]["id"]
    asleep.portico.signal(signal.SIGSTOP)
    _is_given_up(await awake.ended(id))
    whole = await (await awake.follow(id)).events()
    asleep.portico.signal(signal.SIGCONT)
    seen = [first, *await client.events()]
    assert seen == whole, "who watched it there sees the same end"
    _is_given_up(await asleep.get(id))
    heard = await replicas.call(words)
    async with asyncio.timeout(30):
        await heard.over.wait()
    assert await (await asleep.follow(id)).events() == whole


@pytest.mark.abuse
async def test_with_the_real_times_of_a_lease_it_takes_less_than_a_minute(
    replicas: Replicas, database: str
) -> None:
    dying, staying = [await replicas.serve(database) for _ in range(2)]
    seen = await _some(dying, TRANSLATE, 6)
    await dying.kill()
    start = time.monotonic()
    _is_given_up(await staying.ended(seen[0]["response"]["id"], 90))
    assert time.monotonic() - start < 60
    await _told_everywhere(staying, seen)


@pytest.mark.abuse
async def test_the_runs_of_a_killed_worker_end_and_those_of_its_sibling_go_on(
    replicas: Replicas, tmp_path: Path
) -> None:
    """Its supervisor starts another one, which nobody mistakes for it."""
    gate = await replicas.serve(f"sqlite:///{tmp_path}/state.db", workers=2)
    dying, staying = gate.workers
    seen = await _some(dying, TRANSLATE, 6)
    own = await staying.create(TRANSLATE, f"{SLOW} own", background=True)
    start = time.monotonic()
    os.kill(dying.pid or 0, signal.SIGKILL)
    _is_given_up(await staying.ended(seen[0]["response"]["id"], 90))
    assert time.monotonic() - start < 60
    await _told_everywhere(gate, seen)
    assert (await gate.get(own["id"]))["status"] in LIVE
