"""What the admin listener answers, and to whom."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from portico.admin.app import create_admin
from portico.admin.port import AdminPort, Told
from portico.config.secret import Secret
from portico.model.targets import TargetView
from portico.observe.metrics import Metrics
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow

PAGES = (
    "/", "/metrics", "/healthz/live", "/healthz/ready", "/config_dump", "/api/targets",
    "/api/requests",
)  # fmt: skip
LOCAL = "http://127.0.0.1:15000"


class Port(AdminPort):
    """A gateway with two workers."""

    def __init__(self) -> None:
        self.healthy = True
        self.dump: dict[str, object] = {}
        self.told_targets: Told[list[TargetView]] = Told({0: [], 1: []})
        self.told_rows: Told[list[RequestRow]] = Told({0: [], 1: []})
        self.told_detail: Told[RequestDetail | None] = Told({0: None, 1: None})
        self.asked: list[RequestQuery | str] = []

    async def snapshots(self) -> list[bytes]:
        if not self.healthy:
            raise RuntimeError("sk-CANARY-0123456789")
        workers = [Metrics(), Metrics()]
        for worker in workers:
            worker.connections_opened()
        return [worker.snapshot() for worker in workers]

    async def targets(self) -> Told[list[TargetView]]:
        return self.told_targets

    async def requests(self, query: RequestQuery) -> Told[list[RequestRow]]:
        self.asked.append(query)
        return self.told_rows

    async def request(self, id: str) -> Told[RequestDetail | None]:
        self.asked.append(id)
        return self.told_detail

    def ready(self) -> tuple[bool, str]:
        return (True, "") if self.healthy else (False, "draining")

    def live(self) -> tuple[bool, str]:
        return (True, "") if self.healthy else (False, "loop lag 3 s")

    def config_dump(self) -> dict[str, object]:
        return self.dump


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def client(port: Port) -> Iterator[TestClient]:
    with TestClient(create_admin(port), base_url=LOCAL, raise_server_exceptions=True) as made:
        yield made


def test_metrics_are_the_sum_over_workers(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nportico_connections_total 2.0\n" in answer.text


def test_openmetrics_is_served_when_asked_for(client: TestClient) -> None:
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/healthz/live", "/health/live", "/healthz"])
def test_live_and_its_aliases(client: TestClient, port: Port, path: str) -> None:
    assert client.get(path).json() == {"status": "ok"}
    port.healthy = False
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": "loop lag 3 s"}


@pytest.mark.parametrize("path", ["/healthz/ready", "/health/ready", "/readyz"])
def test_ready_and_its_aliases(client: TestClient, port: Port, path: str) -> None:
    assert client.get(path).json() == {"status": "ok"}
    port.healthy = False
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": "draining"}


def test_config_dump_is_masked(client: TestClient, port: Port) -> None:
    port.dump = {
        "providers": [{"name": "acme", "apiKey": Secret("sk-0123456789abcdef9876"), "retries": 2}],
        "forgotten": {"apiKey": "plain-secret-1", "password": "plain-secret-2"},
        "keys": ["plain-secret-3", {"digest": "plain-secret-4"}],
        "maxTokens": 4096,
        "listeners": ({"host": "127.0.0.1"},),
        "path": Path("/etc"),
    }
    answer = client.get("/config_dump")
    assert answer.json() == {
        "providers": [{"name": "acme", "apiKey": "***9876", "retries": 2}],
        "forgotten": {"apiKey": "***", "password": "***"},
        "keys": ["***", {"digest": "***"}],
        "maxTokens": 4096,
        "listeners": [{"host": "127.0.0.1"}],
        "path": "<PosixPath>",
    }
    assert "plain-secret" not in answer.text


def test_the_index_lists_the_pages(client: TestClient) -> None:
    body = client.get("/").json()
    assert body["name"] == "portico"
    assert all(client.get(page).status_code == 200 for page in body["pages"])


@pytest.mark.parametrize("path", [*PAGES, "/nothing"])
def test_every_answer_is_uncached_and_unsniffed(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert answer.json()["error"]["status"] == 405


@pytest.mark.parametrize("path", PAGES)
def test_head_has_no_body(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "//metrics", "/healthz/live/x"])
def test_unknown_paths_are_json_404(client: TestClient, path: str) -> None:
    answer = client.get(LOCAL + path)
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == 404


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:15000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "[::2]",
    ],
)
def test_a_rebound_name_is_refused(client: TestClient, path: str, host: str) -> None:
    answer = client.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == 403
    assert "portico_" not in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:15000",
        "LOCALHOST",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:15000",
        "[::1]",
    ],
)
def test_names_of_this_machine_are_welcome(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


def test_a_configured_name_is_welcome(port: Port) -> None:
    with TestClient(create_admin(port, allowed_hosts=["ops.example"]), base_url=LOCAL) as client:
        assert client.get("/", headers={"host": "ops.example:8443"}).status_code == 200
        assert client.get("/", headers={"host": "ops.example.evil"}).status_code == 403


@pytest.mark.parametrize(
    ("server", "host", "status"),
    [
        (("10.0.0.7", 15000), b"scrape.example", 200),
        (("::1", 15000), b"evil.example", 403),
        (("::ffff:127.0.0.1", 15000), b"evil.example", 403),
        (("127.0.0.2", 15000), b"evil.example", 403),
        (("/run/portico.sock", None), b"anything", 200),
        (None, b"anything", 200),
        (("127.0.0.1", 15000), None, 200),
    ],
)
async def test_the_guard_looks_at_the_address_that_was_connected_to(
    port: Port, server: Any, host: bytes | None, status: int
) -> None:
    assert await get(port, server, [(b"host", host)] if host is not None else []) == status


async def test_two_host_headers_are_refused(port: Port) -> None:
    twice = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert await get(port, ("127.0.0.1", 1), twice) == 403


async def get(port: Port, server: Any, headers: list[tuple[bytes, bytes]]) -> int:
    """The status of GET / for a raw ASGI scope."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
        "headers": headers, "server": server, "client": None,
    }  # fmt: skip
    await create_admin(port)(scope, receive, send)
    status: int = sent[0]["status"]
    return status


def test_a_defect_is_a_500_that_says_nothing(
    client: TestClient, port: Port, caplog: pytest.LogCaptureFixture
) -> None:
    port.healthy = False
    with caplog.at_level(logging.ERROR, "portico.admin"):
        answer = client.get("/metrics")
    assert answer.status_code == 500
    assert answer.json() == {"error": {"message": "internal error", "status": 500}}
    assert answer.headers["cache-control"] == "no-store"
    assert "admin page failed" in caplog.text
