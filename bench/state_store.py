"""What is measured of the store by itself, in a process of its own: a chain put together, a store
of many responses filled, responses found in it.

usage: python -m bench.state_store chain URL TURNS TIMES
       python -m bench.state_store fill PATH TENANT ROWS
       python -m bench.state_store get PATH TENANT ROWS TIMES
TENANT is a key of the database in hex. The answer is JSON on stdout; times are milliseconds.
"""

import asyncio
import hashlib
import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import uvloop

from bench import dialects, responses, wire
from bench.stats import percentile
from portico.dialects.responses.stored_calls import check_calls
from portico.dialects.responses.stored_items import for_replay, join
from portico.state.port import StateStore
from portico.state.recording import Turn, record_of
from portico.state.records import Record
from portico.store.opening import open_store
from portico.store.rows import COLUMNS, values

RETENTION = 30 * 86_400.0
AT_ONCE = 20_000
CACHE_KIB = 1024 * 1024

_FRESH = b'[{"role":"user","content":"And then?"}]'
_ARGUMENTS = json.dumps({"city": "Berlin", "days": 3})


def id_of(number: int) -> str:
    """The id of a row of a filled store: like the gateway's, whose ids grow with time."""
    return f"resp_{number:012x}{hashlib.sha256(b'%d' % number).hexdigest()[:20]}"


def turn(
    tenant: bytes, number: int, parent: str | None, before: int, base: str, *, calls: bool
) -> Record:
    """A stored response as the gateway makes one, of about 1.7 kB with its input. With `calls` it
    makes a call, and one with a parent answers its call; every second row has an item with an id
    that is the provider's."""
    message = {"role": "user", "content": [{"type": "input_text", "text": dialects.ASK}]}
    items: list[dict[str, object]] = [dict(message)]
    made = responses.answer(int(time.time())).replace(
        responses.DIGITS.encode(), base[-32:].encode()
    )
    if parent is not None:
        found = {"type": "function_call_output", "call_id": f"call_{number - 1:024d}"}
        items.insert(0, {**found, "output": '{"sky":"clear","high":21,"low":12}'})
    if calls:
        call = {
            "id": f"fc_{base}0001", "type": "function_call", "status": "completed",
            "call_id": f"call_{number:024d}", "name": "forecast", "arguments": _ARGUMENTS,
        }  # fmt: skip
        made = made.replace(b'"output":[', b'"output":[%b,' % wire.compact(call))
    asked = Turn(
        tenant=tenant, store=True, model=responses.MODEL, retention=RETENTION,
        input=wire.compact(items), context_bytes=before, parent=parent, origin="bench",
        native=number % 2 == 0,
    )  # fmt: skip
    whole = made.replace(b'"id":"resp_', b'"id":"%b","was":"' % id_of(number).encode(), 1)
    return record_of(asked, whole)


# chains


async def chain(url: str, turns: int, times: int) -> dict[str, float]:
    """Expand a chain as the gateway does for a request that goes on from it."""
    store = open_store(url)
    await store.start()
    tenant, parent, before = os.urandom(16), None, 0
    first = random.randrange(1 << 40)
    try:
        for number in range(first, first + turns):
            base = f"{number:032x}"
            record = turn(tenant, number, parent, before, base, calls=number < first + turns - 1)
            await store.save(record)
            parent, before = record.id, record.context
        size = 0

        async def once() -> None:
            nonlocal size
            size = await _expand(store, tenant, parent or "")

        return {**await _timed(once, times), "bytes": size}
    finally:
        await store.close()


async def _expand(store: StateStore, tenant: bytes, id: str) -> int:
    """The steps of `gateway.stateful`: its bounds, the links, what may be replayed, whether calls
    have their outputs, one array. Returns the size of the new input."""
    record = await store.get(tenant, id, time.time())
    links = await store.chain(tenant, id) if record is not None else None
    if links is None:
        raise RuntimeError("the chain is not whole")
    arrays: list[bytes] = []
    for link in links:
        arrays += (link.input, for_replay(link.output))
    check_calls(join(arrays), _FRESH)
    return len(join([*arrays, _FRESH]))


async def _timed(action: Callable[[], Awaitable[None]], times: int) -> dict[str, float]:
    taken = []
    for number in range(times + times // 10):
        begin = time.perf_counter()
        await action()
        if number >= times // 10:  # what came before filled caches
            taken.append((time.perf_counter() - begin) * 1000)
    return {"p50": percentile(taken, 0.5), "p99": percentile(taken, 0.99)}


# many responses


async def fill(path: str, tenant: bytes, rows: int) -> dict[str, float]:
    """Put rows in, past the store: one by one through it would take an hour."""
    begin = time.monotonic()
    store = open_store(f"sqlite:///{path}")
    await store.start()
    await store.close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    marks = ", ".join("?" * len(COLUMNS))
    for first in range(0, rows, AT_ONCE):
        records = list(_records(tenant, first, min(rows, first + AT_ONCE)))
        db.execute("BEGIN")
        db.executemany(
            f"INSERT INTO responses (seq, {', '.join(COLUMNS)}) VALUES (?, {marks})",
            [(seq, *values(one)) for seq, one in records],
        )
        db.executemany(
            "INSERT INTO names (tenant, name, response) VALUES (?, ?, ?)",
            [(tenant, name, seq) for seq, one in records for name in one.names],
        )
        db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return {"seconds": time.monotonic() - begin, "bytes": os.stat(path).st_size}  # noqa: PTH116


def _records(tenant: bytes, first: int, end: int) -> Iterator[tuple[int, Record]]:
    """Rows and their responses; the first is not 0, which would be another's."""
    for number in range(first, end):
        base = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
        yield number + 1_000_000, turn(tenant, number, None, 0, base, calls=False)


async def get(path: str, tenant: bytes, rows: int, times: int) -> dict[str, float]:
    """Find responses, anywhere in the store."""
    store = open_store(f"sqlite:///{path}")
    await store.start()

    async def once() -> None:
        if await store.get(tenant, id_of(random.randrange(rows)), time.time()) is None:
            raise RuntimeError("a response is not there")

    try:
        return await _timed(once, times)
    finally:
        await store.close()


def main() -> None:
    """Command line."""
    command, place, *rest = sys.argv[1:]
    if command == "chain":
        done = uvloop.run(chain(place, int(rest[0]), int(rest[1])))
    elif command == "fill":
        done = asyncio.run(fill(place, bytes.fromhex(rest[0]), int(rest[1])))
    else:
        done = uvloop.run(get(place, bytes.fromhex(rest[0]), int(rest[1]), int(rest[2])))
    print(json.dumps(done))


if __name__ == "__main__":
    main()
