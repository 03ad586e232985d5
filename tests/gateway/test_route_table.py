"""Each row of the route table is complete, and none answers without a key."""

import pytest
from tests.conftest import Launch
from tests.support.gateway import CALLER_KEY, caller, model, provider, route, settings
from tests.support.raw import RawClient

from portico.config.llm_form import DEFAULT_APIS
from portico.demo.server import RunningDemo
from portico.dialects.registry import DIALECTS
from portico.gateway.routes import ENDPOINTS, Endpoint, PathTable

ROWS = sorted(ENDPOINTS.values(), key=lambda row: row.route_type)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.route_type)
def test_a_row_says_everything(row: Endpoint) -> None:
    assert row.label.startswith("/")
    assert row.kind in ("generate", "count", "models")
    assert row.method in (b"GET", b"POST")
    assert row.dialect in {each.name for each in DIALECTS.values()}
    assert row.auth == "caller", "a row without authentication needs a test of its own"
    if row.kind != "models":
        assert DIALECTS[row.route_type].name == row.dialect


def test_labels_are_unique_and_every_default_path_is_a_row() -> None:
    assert len({row.label for row in ROWS}) == len(ROWS)
    assert set(DEFAULT_APIS.values()) == set(ENDPOINTS)
    for path, kind in DEFAULT_APIS.items():
        assert ENDPOINTS[kind].label.removeprefix("/v1") == path.removeprefix("/v1")


@pytest.mark.parametrize("path", sorted(DEFAULT_APIS))
@pytest.mark.parametrize("credential", [None, "gw-wrong", ""])
async def test_every_endpoint_refuses_without_a_key(
    path: str, credential: str | None, launch: Launch, demo: RunningDemo
) -> None:
    gate = await launch(settings(route([model("*", provider(demo.url))], [caller()])))
    headers = {} if credential is None else {"authorization": f"Bearer {credential}"}
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        async with await RawClient.connect(gate.port) as client:
            await client.request(method, path, None if method == "GET" else b"{}", headers)
            answer = await client.response(head_only=method == "HEAD")
            assert answer.status == 401, method
    assert demo.open_connections == 0
    assert all(outcome.verdict == "denied" for outcome in gate.outcomes)


@pytest.mark.parametrize("path", sorted(DEFAULT_APIS))
async def test_every_endpoint_exists_for_who_has_one(
    path: str, launch: Launch, demo: RunningDemo
) -> None:
    gate = await launch(settings(route([model("*", provider(demo.url))], [caller()])))
    row = ENDPOINTS[DEFAULT_APIS[path]]
    async with await RawClient.connect(gate.port) as client:
        body = b"{}" if row.method == b"POST" else None
        await client.request(
            row.method.decode(), path, body, {"authorization": f"Bearer {CALLER_KEY}"}
        )
        assert (await client.response()).status == (400 if body else 200)
    assert (await gate.last()).endpoint == row.label


def test_paths_that_two_readers_could_take_apart_match_nothing() -> None:
    table = PathTable(dict(DEFAULT_APIS))
    good = [b"/v1/responses", b"/responses", b"/tenant/v1/responses", b"/v1/models/a%2Fb"]
    bad = [
        b"/v1/responses/",
        b"/V1/RESPONSES",
        b"/xresponses",
        b"//responses",
        b"/a/../responses",
        b"/a;b/responses",
        b"/a\\responses",
        b"/%2e%2e/v1/responses",
        b"/v1%2fresponses",
        b"",
    ]
    assert all(table.find(path) is not None for path in good)
    assert all(table.find(path) is None for path in bad)


def test_the_memory_of_paths_is_bounded() -> None:
    table = PathTable(dict(DEFAULT_APIS))
    for n in range(5000):
        assert table.find(b"/%d/v1/responses".replace(b"%d", b"%d" % n)) is not None
    assert len(table._known) == PathTable.CACHE
