"""A database that goes away, is full, cannot be written, or belongs to another version."""

import asyncio
import resource
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support import replicas as support
from tests.support.databases import Cluster
from tests.support.replicas import LANES, LEASE, LIVE, RENEW, TRANSLATE, Replica, Replicas, each
from tests.unit.store.test_redis_tail import Server as Redis

replicas = support.replicas
redis = support.redis

QUICK = 10.0
"""Seconds for an answer that should come at once, on a machine that does many things."""
SOON = 30.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of our own, to be stopped."""
    support.require_postgres()
    made = Cluster.create()
    yield made
    made.destroy()


async def _not_stored(replica: Replica) -> None:
    """Without a database there is everything that needs none, and a clear word about the rest."""
    # The first that cannot be stored finds out, after it was generated.
    events = await (await replica.stream(LANES[0], "hi")).events(QUICK)
    error, last = events[-2:]
    assert (error["type"], last["type"]) == ("error", "response.failed")
    assert error["error"]["code"] == "state_unavailable"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"]["code"] == "server_error"
    assert "response.completed" not in [event["type"] for event in events]
    assert support.numbers(events) == list(range(len(events)))
    for lane in LANES:
        made = await replica.create(lane, "[[demo text=free]] hi", store=False)
        assert made["output"][0]["content"][0]["text"] == "free"
        events = await (await replica.stream(lane, "hi", store=False)).events()
        assert events[-1]["type"] == "response.completed"
        for more in ({}, {"background": True}, {"stream": True}):
            start = time.monotonic()
            body: dict[str, Any] = {"model": lane, "input": "hi", **more}
            _is_unavailable(*await replica.json("POST", "/v1/responses", body))
            assert time.monotonic() - start < QUICK


def _is_unavailable(status: int, told: dict[str, Any]) -> None:
    assert (status, told["error"]["code"]) == (503, "state_unavailable")
    assert told["error"]["message"] == "The store of responses is not available right now."


async def _works(replica: Replica) -> None:
    """Once the database is back everything is as before."""
    body = {"model": TRANSLATE, "input": "hi"}
    async with asyncio.timeout(SOON):
        while True:
            status, _ = await replica.json("POST", "/v1/responses", body)
            if status == 200:
                break
            await asyncio.sleep(0.1)
    for lane in LANES:
        made = await replica.create(lane, "hi")
        assert await replica.get(made["id"]) == made
        events = await (await replica.stream(lane, "on", previous_response_id=made["id"])).events()
        assert events[-1]["type"] == "response.completed"
        run = await replica.create(lane, "hi", background=True)
        assert (await replica.ended(run["id"]))["status"] == "completed"


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_postgres_goes_away_and_comes_back_under_a_running_gateway(
    replicas: Replicas, cluster: Cluster, how: str
) -> None:
    replica = await replicas.serve(cluster.url, lease=(LEASE, RENEW))
    kept = await replica.create(TRANSLATE, "before")
    await asyncio.to_thread(cluster.kill if how == "kill" else cluster.stop)
    await _not_stored(replica)
    for method, path in (
        ("GET", f"/v1/responses/{kept['id']}"),
        ("DELETE", f"/v1/responses/{kept['id']}"),
        ("GET", "/v1/conversations/conv_1"),
        ("GET", "/v1/responses/resp_1/input_items"),
    ):
        start = time.monotonic()
        _is_unavailable(*await replica.json(method, path))
        assert time.monotonic() - start < QUICK
    body = {"model": TRANSLATE, "input": "on", "previous_response_id": kept["id"]}
    _is_unavailable(*await replica.json("POST", "/v1/responses", body))
    await asyncio.to_thread(cluster.start)
    await _works(replica)
    assert await replica.get(kept["id"]) == kept


async def test_responses_under_way_when_postgres_goes_are_stored_or_refused(
    replicas: Replicas, cluster: Cluster
) -> None:
    """None is told as complete and lost, however the commit ended."""
    replica = await replicas.serve(cluster.url)
    stop = asyncio.ensure_future(asyncio.to_thread(_stop_soon, cluster))
    told: list[dict[str, Any]] = []
    refused: list[int] = []

    async def keep_asking(number: int) -> None:
        while not stop.done() or not refused:
            body = {"model": LANES[number % 2], "input": "hi"}
            status, answer = await replica.json("POST", "/v1/responses", body)
            if status == 200:
                told.append(answer)
            else:
                _is_unavailable(status, answer)
                refused.append(number)

    await each(range(16), keep_asking)
    await stop
    await asyncio.to_thread(cluster.start)
    await _works(replica)
    assert told
    for answer in told:
        assert await replica.get(answer["id"]) == answer


def _stop_soon(cluster: Cluster) -> None:
    time.sleep(0.5)
    cluster.kill()


async def test_a_run_that_ends_while_the_database_is_away_is_not_live_for_ever(
    replicas: Replicas, cluster: Cluster
) -> None:
    """Its worker goes on to renew leases, of other runs."""
    replica = await replicas.serve(cluster.url, lease=(LEASE, RENEW))
    other = await replica.create(TRANSLATE, "[[demo tokens=2000 delay=0.1]]", background=True)
    ending = [
        await replica.create(lane, f"[[demo first_delay=2 text=done]] {lane}", background=True)
        for lane in LANES
    ]
    watched = await replica.stream(TRANSLATE, "[[demo tokens=40 delay=0.05]]", background=True)
    (first,) = await watched.some(1)
    heard = [await replicas.call(f"]] {lane}") for lane in LANES]
    await asyncio.to_thread(cluster.stop)
    for call in heard:
        await asyncio.wait_for(call.over.wait(), SOON)
    await asyncio.sleep(1)
    await asyncio.to_thread(cluster.start)
    await _works(replica)
    for run in ending:
        found = await replica.ended(run["id"])
        assert found["status"] in ("completed", "failed")
    seen = [first, *await watched.events()]
    assert support.numbers(seen) == list(range(len(seen)))
    assert seen[-1]["type"] in ("response.completed", "response.failed")
    assert await (await replica.follow(first["response"]["id"])).events() == seen
    await replica.json("POST", f"/v1/responses/{other['id']}/cancel")
    assert (await replica.get(other["id"]))["status"] not in LIVE


async def test_redis_goes_away_and_nobody_notices(
    replicas: Replicas, cluster: Cluster, redis: Redis
) -> None:
    here, there = [await replicas.serve(cluster.url, redis=redis.url) for _ in range(2)]
    own = await here.stream(TRANSLATE, "[[demo tokens=40 delay=0.1]]", background=True)
    (first,) = await own.some(1)
    abroad = await there.follow(first["response"]["id"])
    seen = await abroad.some(8)
    await redis.stop()
    seen += await abroad.events()
    assert seen == [first, *await own.events()]
    assert seen[-1]["type"] == "response.completed"


# a SQLite file


async def test_a_full_disk_refuses_what_it_cannot_keep_until_there_is_room(
    replicas: Replicas, tmp_path: Path
) -> None:
    replica = await replicas.serve(f"sqlite:///{tmp_path}/state.db")
    pid = replica.pids[0]
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2 << 20, limits[1]))
    kept = []
    body: dict[str, Any] = {"model": TRANSLATE, "input": "x" * 100_000}
    for _ in range(100):
        status, answer = await replica.json("POST", "/v1/responses", body)
        if status != 200:
            break
        kept.append(answer)
    else:
        raise AssertionError("it was never full")
    _is_unavailable(status, answer)
    made = await replica.create(TRANSLATE, "hi", store=False)
    assert made["status"] == "completed"
    events = await (await replica.stream(TRANSLATE, body["input"])).events()
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    for answer in kept:
        assert await replica.get(answer["id"]) == answer
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    await _works(replica)
    await replica.kill()
    replica = await replicas.serve(f"sqlite:///{tmp_path}/state.db")
    for answer in kept:
        assert await replica.get(answer["id"]) == answer


async def test_a_database_that_others_keep_locked_refuses_and_comes_back(
    replicas: Replicas, tmp_path: Path
) -> None:
    file = tmp_path / "state.db"
    replica = await replicas.serve(f"sqlite:///{file}")
    kept = await replica.create(TRANSLATE, "before")
    blocker = sqlite3.connect(file, isolation_level=None)
    try:
        blocker.execute("BEGIN IMMEDIATE")
        body = {"model": TRANSLATE, "input": "hi"}
        _is_unavailable(*await replica.json("POST", "/v1/responses", body, 60))
        assert await replica.get(kept["id"]) == kept, "reading goes on"
        made = await replica.create(TRANSLATE, "hi", store=False)
        assert made["status"] == "completed"
        blocker.execute("ROLLBACK")
    finally:
        blocker.close()
    await _works(replica)


async def test_missing_directories_are_made_for_this_user_only(
    replicas: Replicas, tmp_path: Path
) -> None:
    file = tmp_path / "not" / "yet" / "state.db"
    for workers in (1, 2):
        replica = await replicas.serve(f"sqlite:///{file}", workers=workers)
        made = await replica.create(TRANSLATE, "hi")
        assert await replica.get(made["id"]) == made
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            assert stat.S_IMODE((file.parent / name).stat().st_mode) == 0o600
        await replica.kill()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_database_of_a_newer_version_is_left_alone(
    replicas: Replicas, tmp_path: Path, workers: int
) -> None:
    file = tmp_path / "state.db"
    replica = await replicas.serve(f"sqlite:///{file}")
    await replica.terminate()
    with sqlite3.connect(file) as db:
        db.execute("INSERT INTO portico_schema (number, applied_at) VALUES (9999, 1)")
    db.close()
    before = file.read_bytes()
    portico = await replicas.launch(f"sqlite:///{file}", workers=workers)
    assert await portico.exit(60) == 3
    (line,) = portico.err
    assert "9999" in line
    assert "newer version" in line
    assert file.read_bytes() == before


async def test_a_newer_database_on_postgres_is_left_alone(
    replicas: Replicas, cluster: Cluster
) -> None:
    replica = await replicas.serve(cluster.url)
    await replica.terminate()
    connection = await asyncpg.connect(cluster.url)
    await connection.execute("INSERT INTO portico_schema (number, applied_at) VALUES (9999, 1)")
    await connection.close()
    portico = await replicas.launch(cluster.url)
    assert await portico.exit(60) == 3
    (line,) = portico.err
    assert "newer version" in line


async def test_no_database_at_the_start_is_one_line(replicas: Replicas, cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.stop)
    for workers in (1, 2):
        portico = await replicas.launch(cluster.url, workers=workers)
        assert await portico.exit(60) == 3
        (line,) = portico.err
        assert line.startswith("portico: the database cannot be used: ")
