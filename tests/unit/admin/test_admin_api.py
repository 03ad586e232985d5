"""`/api/...`: what the workers say, as one answer."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.unit.admin.test_admin_pages import LOCAL, Port
from tests.unit.observe.test_attempt_records import saved
from tests.unit.observe.test_recent_requests import recent
from tests.unit.observe.test_target_metrics import view

from portico.admin.app import create_admin
from portico.admin.port import Told
from portico.model.targets import CredentialView
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def client(port: Port) -> Iterator[TestClient]:
    with TestClient(create_admin(port), base_url=LOCAL) as made:
        yield made


def row(id: str, second: int) -> RequestRow:
    """A request that ended in that second."""
    return RequestRow(id=id, ended_at=f"2026-11-21T12:00:{second:02}.000Z", status=200)


def detail() -> RequestDetail:
    """A request whose first attempt failed."""
    found = recent(saved()).find("req_1")
    assert found is not None
    return found


def test_a_target_is_the_sum_of_its_workers_and_as_ill_as_the_worst(
    client: TestClient, port: Port
) -> None:
    keys = (CredentialView(number=1, cooling_for=0.5, cooled=2),)
    ill = view(state="open", open_for=12.5, failures=5, opened_total=1, last_error="http_503",
               failures_total=7, credentials=keys)  # fmt: skip
    port.told_targets = Told({0: [view(), view(name="other")], 3: [ill]})
    fast, other = client.get("/api/targets").json()["targets"]
    each = fast.pop("workers")
    assert fast == {
        "name": "fast", "provider": "acme", "model": "acme-1", "state": "open", "in_flight": 4,
        "calls": 20, "failures": 5, "successes_total": 20, "failures_total": 7, "opened_total": 1,
    }  # fmt: skip
    assert [(one["worker"], one["state"]) for one in each] == [(0, "closed"), (3, "open")]
    assert each[1] == {
        "worker": 3, "state": "open", "open_for_seconds": 12.5, "latency_seconds": 0.25,
        "tokens_per_second": 80.0, "in_flight": 2, "calls": 10, "failures": 5,
        "successes_total": 10, "failures_total": 7, "opened_total": 1, "last_error": "http_503",
        "credentials": [{"number": 1, "cooling_for_seconds": 0.5, "cooldowns_total": 2}],
    }  # fmt: skip
    assert (other["name"], other["state"], len(other["workers"])) == ("other", "closed", 1)


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (("closed", "half_open"), "half_open"),
        (("half_open", "open"), "open"),
        (("closed", "closed"), "closed"),
    ],
)
def test_half_open_is_worse_than_closed_and_better_than_open(
    client: TestClient, port: Port, states: tuple[Any, Any], worst: str
) -> None:
    port.told_targets = Told({n: [view(state=state)] for n, state in enumerate(states)})
    assert client.get("/api/targets").json()["targets"][0]["state"] == worst


def test_requests_of_all_workers_come_newest_first(client: TestClient, port: Port) -> None:
    port.told_rows = Told({0: [row("e", 5), row("b", 2)], 1: [row("d", 4), row("a", 1)]})
    body = client.get("/api/requests?limit=3").json()
    assert [(one["id"], one["worker"]) for one in body["requests"]] == [
        ("e", 0), ("d", 1), ("b", 0),
    ]  # fmt: skip
    assert body["requests"][0] == {
        "worker": 0, "id": "e", "ended_at": "2026-11-21T12:00:05.000Z", "status": 200,
    }  # fmt: skip


def test_filters_reach_the_workers(client: TestClient, port: Port) -> None:
    client.get("/api/requests")
    client.get("/api/requests?limit=7&status=5xx&provider=acme&model=gpt-*&verdict=truncated")
    assert port.asked == [
        RequestQuery(limit=100),
        RequestQuery(limit=7, status="5xx", provider="acme", model="gpt-*", verdict="truncated"),
    ]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=%D9%A1", "limit=99999999999",
     "status=abc", "status=6xx", "status=20", "status=2xxx", "provder=acme", "Limit=5"],
)  # fmt: skip
def test_a_question_without_a_meaning_is_a_400(client: TestClient, port: Port, query: str) -> None:
    answer = client.get(f"/api/requests?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == 400
    assert port.asked == []


def test_one_request_is_told_by_the_worker_that_knows_it(client: TestClient, port: Port) -> None:
    port.told_detail = Told({0: None, 2: detail()})
    told = client.get("/api/requests/req_1").json()
    assert port.asked == ["req_1"]
    assert (told["worker"], told["id"], told["status"]) == (2, "req_1", 200)
    assert [(one["provider"], one["result"]) for one in told["attempts"]] == [
        ("down", "connect"), ("acme", "success"),
    ]  # fmt: skip
    assert told["timings"]["total_ms"] == 1250.0


def test_an_unknown_request_is_a_json_404(client: TestClient) -> None:
    answer = client.get("/api/requests/req_none")
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == 404


def test_a_silent_worker_is_named_and_may_have_known(client: TestClient, port: Port) -> None:
    port.told_targets = Told({0: [view()]}, silent=(1,))
    port.told_rows = Told({0: [row("a", 1)]}, silent=(1,))
    port.told_detail = Told({0: None}, silent=(1,))
    assert client.get("/api/targets").json()["silent_workers"] == [1]
    assert client.get("/api/requests").json()["silent_workers"] == [1]
    assert client.get("/api/requests/req_1").status_code == 503
    port.told_detail = Told({0: detail()}, silent=(1,))
    assert client.get("/api/requests/req_1").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_is_read_only(client: TestClient, method: str) -> None:
    assert client.request(method, "/api/requests/req_1").status_code == 405


def test_a_rebound_name_sees_no_request(client: TestClient, port: Port) -> None:
    port.told_detail = Told({0: detail()})
    answer = client.get("/api/requests/req_1", headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert "req_1" not in answer.text
