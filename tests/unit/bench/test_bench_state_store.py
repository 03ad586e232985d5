"""The benchmark's stored responses are such as the gateway stores."""

import json
from pathlib import Path

from bench import state, state_store
from bench.report_state import ROWS

from portico.store.opening import open_store

TENANT = b"t" * 16


async def test_a_filled_store_has_every_row_under_its_id(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    made = await state_store.fill(str(path), TENANT, 30)
    assert made["bytes"] == path.stat().st_size
    store = open_store(f"sqlite:///{path}")
    await store.start()
    try:
        for number in (0, 1, 29):
            record = await store.get(TENANT, state_store.id_of(number), 0)
            assert record is not None
            assert json.loads(record.response)["id"] == record.id
            assert json.loads(record.output)[0]["content"][0]["text"]
            (item,) = json.loads(record.output)
            found = await store.by_name(TENANT, item["id"], 0)
            assert found is not None
            assert found.id == record.id
            assert 1000 < len(record.input) + len(record.response) < 2500
        assert await store.get(TENANT, state_store.id_of(30), 0) is None
    finally:
        await store.close()


async def test_every_row_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    await state_store.fill(path, TENANT, 30)
    found = await state_store.get(path, TENANT, 30, 100)
    assert 0 < found["p50"] <= found["p99"]


async def test_a_chain_is_put_together_whole() -> None:
    one = await state_store.chain("sqlite::memory:", 3, 10)
    more = await state_store.chain("sqlite::memory:", 6, 10)
    assert 0 < one["p50"] <= one["p99"]
    assert 2 * one["bytes"] < more["bytes"] < 3 * one["bytes"]  # the last turn makes no call


def test_ids_grow_as_the_gateways_do() -> None:
    ids = [state_store.id_of(number) for number in (0, 9, 10, 255, 256, ROWS)]
    assert ids == sorted(ids)
    assert {len(id) for id in ids} == {len("resp_") + 32}


def test_a_database_is_deleted_with_its_log(tmp_path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"x.db{end}").touch()
    state.delete(tmp_path / "x.db")
    assert list(tmp_path.iterdir()) == []
