"""Which route serves a host and a path; what an error's header block holds."""

import pytest
from tests.support.gateway import route, settings

from portico.dialects.registry import DIALECTS
from portico.errors import (
    BadRequest,
    MethodNotAllowed,
    PorticoError,
    RateLimited,
    Unauthenticated,
    UpstreamRejected,
)
from portico.gateway.answers import error_headers
from portico.gateway.snapshot import assemble
from portico.http.client import HttpClient
from portico.http.messages import Request


def request(path: str, host: str = "h") -> Request:
    return Request(b"GET", path.encode(), b"", {b"host": host.encode()}, "", 0.0)


@pytest.mark.parametrize(
    ("path", "host", "name"),
    [
        ("/a", "h", "a"),
        ("/a/v1/responses", "h", "a"),
        ("/ab", "h", "rest"),
        ("/b/only", "h", "exact"),
        ("/b/only/", "h", "rest"),
        ("/b/only/more", "h", "rest"),
        ("/c", "c.example.com", "host"),
        ("/c", "C.EXAMPLE.com:8080", "host"),
        ("/c", "example.com", "rest"),
        ("/c", "evilexample.com", "rest"),
        ("/c", "only.test", "host"),
        ("/c", "only.test.evil", "rest"),
        ("/", "", "rest"),
    ],
)
def test_the_first_route_that_fits_serves(path: str, host: str, name: str) -> None:
    config = settings(
        route([], name="a", path_prefix="/a"),
        route([], name="exact", path_prefix="/b/only", path_exact=True),
        route([], name="host", hostnames=("*.example.com", "only.test")),
        route([], name="rest"),
    )
    found = assemble(config, HttpClient()).fronts[0].route(request(path, host))
    assert found is not None
    assert found.name == name


def test_without_a_route_that_fits_there_is_none() -> None:
    front = assemble(settings(route([], path_prefix="/a")), HttpClient()).fronts[0]
    assert front.route(request("/b")) is None


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (BadRequest("x"), {"x-should-retry: false"}),
        (RateLimited("x"), set()),
        (RateLimited("x", retry_after="7"), {"retry-after: 7"}),
        (UpstreamRejected("x", status=503), set()),
        (UpstreamRejected("x", status=404), {"x-should-retry: false"}),
        (
            Unauthenticated("x"),
            {"x-should-retry: false", 'www-authenticate: Bearer realm="portico"'},
        ),
        (MethodNotAllowed("x"), {"x-should-retry: false"}),
    ],
)
def test_the_headers_of_an_error(error: PorticoError, lines: set[str]) -> None:
    base = {"content-type: application/json", "x-request-id: req_1"}
    for name, more in (("completions", set()), ("messages", {"request-id: req_1"})):
        found = error_headers(DIALECTS[name], error, "req_1").decode().split("\r\n")
        assert found.pop() == ""
        assert set(found) == base | more | lines
        assert len(found) == len(set(found))
