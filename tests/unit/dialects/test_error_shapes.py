"""Errors have the client's own shape, and a provider's errors are understood in any shape."""

import json
from typing import Any

import pytest

from portico.dialects.registry import CHAT, DIALECTS, MESSAGES
from portico.errors import (
    BadRequest,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PorticoError,
    RateLimited,
    RequestTimeout,
    TooLarge,
    Unauthenticated,
    UnsupportedEncoding,
    UpstreamAuth,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

FAULTS: list[tuple[PorticoError, str, str]] = [
    (BadRequest("m", param="p", code="c"), "invalid_request_error", "invalid_request_error"),
    (Unauthenticated("m"), "authentication_error", "authentication_error"),
    (UpstreamRejected("m", status=402), "invalid_request_error", "billing_error"),
    (Forbidden("m"), "permission_error", "permission_error"),
    (NotFound("m"), "invalid_request_error", "not_found_error"),
    (MethodNotAllowed("m"), "invalid_request_error", "invalid_request_error"),
    (RequestTimeout("m"), "invalid_request_error", "invalid_request_error"),
    (TooLarge("m"), "invalid_request_error", "request_too_large"),
    (UnsupportedEncoding("m"), "invalid_request_error", "invalid_request_error"),
    (UpstreamRejected("m", status=422), "invalid_request_error", "invalid_request_error"),
    (RateLimited("m"), "rate_limit_error", "rate_limit_error"),
    (InternalError("m"), "server_error", "api_error"),
    (UpstreamUnreachable("m"), "server_error", "api_error"),
    (Overloaded("m"), "server_error", "overloaded_error"),
    (UpstreamTimeout("m"), "server_error", "timeout_error"),
    (UpstreamRejected("m", status=529), "server_error", "overloaded_error"),
]


@pytest.mark.parametrize(("fault", "openai", "anthropic"), FAULTS)
def test_each_error_has_the_type_of_its_dialect(
    fault: PorticoError, openai: str, anthropic: str
) -> None:
    for route in ("completions", "responses"):
        assert json.loads(DIALECTS[route].encode_error(fault, "req_1")) == {
            "error": {"message": "m", "type": openai, "param": fault.param, "code": fault.code}
        }
    assert json.loads(MESSAGES.encode_error(fault, "req_1")) == {
        "type": "error",
        "error": {"type": anthropic, "message": f"p: {fault}" if fault.param else "m"},
        "request_id": "req_1",
    }


@pytest.mark.parametrize("route", sorted(DIALECTS))
def test_our_own_envelopes_are_envelopes(route: str) -> None:
    dialect = DIALECTS[route]
    for fault, _, _ in FAULTS:
        assert dialect.is_envelope(dialect.encode_error(fault, "req_1"))
        assert not dialect.is_envelope(dialect.encode_error(type(fault)("sk-CANARY123456"), "r")
                                       if not isinstance(fault, UpstreamRejected)
                                       else b"{}")  # fmt: skip


@pytest.mark.parametrize("route", sorted(DIALECTS))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"oops",
        b"[]",
        b"{}",
        b'{"error":null}',
        b'{"error":"x"}',
        b'{"error":{"message":"x"}}',
        b'{"error":{"message":"","type":"t","param":null,"code":null}}',
        b'{"type":"error","error":{"type":"t","message":7}}',
        b'[{"error":{"message":"x","type":"t","param":null,"code":null}}]',
        b'{"type":"error","error":{"type":"t","message":"see http://10.0.0.1/x"}}',
        b"[" * 5000,
    ],
)
def test_anything_else_is_not_relayed(route: str, body: bytes) -> None:
    assert not DIALECTS[route].is_envelope(body)


def rejected(status: int, body: Any) -> UpstreamRejected:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = CHAT.read_error(status, raw)
    assert isinstance(error, UpstreamRejected)
    return error


OPENAI = {"message": "Bad n.", "type": "invalid_request_error", "param": "n", "code": "invalid"}


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": OPENAI}, "Bad n.", "invalid"),
        ([{"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED"}}],
         "Quota.", "RESOURCE_EXHAUSTED"),
        ({"error": {"message": "No.", "code": 400}}, "No.", "400"),
        ({"error": "model not loaded"}, "model not loaded", "upstream_error"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
         "Overloaded", "upstream_error"),
        ({"detail": "Not here"}, "Not here", "upstream_error"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}, {"msg": "bad"}]},
         "field required; bad", "upstream_error"),
        ({"message": "Too long", "__type": "ValidationException"}, "Too long", "upstream_error"),
        ({"errors": [{"message": "one", "code": 7}]}, "one", "7"),
        (b"upstream connect error", "upstream connect error", "upstream_error"),
        (b'"just text"', "just text", "upstream_error"),
        (b"<html><title>502 Bad Gateway</title><hr>nginx</html>", "502 Bad Gateway nginx",
         "upstream_error"),
        (b"", "The provider answered with status 418.", "upstream_error"),
        (b"{}", "The provider answered with status 418.", "upstream_error"),
        (b"[" * 5000, "[" * 299 + "…", "upstream_error"),
        (b"\xff\xfe", "\ufffd\ufffd", "upstream_error"),
        ({"error": {"message": {"a": 1}, "code": True, "param": 3}},
         "The provider answered with status 418.", "upstream_error"),
    ],
)  # fmt: skip
def test_each_shape_of_error_is_understood(body: Any, message: str, code: str) -> None:
    error = rejected(418, body)
    assert (error.message, error.code, error.http_status) == (message, code, 418)


def test_param_and_googles_delay_are_kept() -> None:
    assert rejected(400, {"error": OPENAI}).param == "n"
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
    assert rejected(429, {"error": {"message": "x", "details": [{}, info]}}).retry_after == "35"
    info["retryDelay"] = "nans"
    assert rejected(429, {"error": {"message": "x", "details": [info]}}).retry_after is None


def test_secrets_and_hosts_do_not_reach_the_caller() -> None:
    text = "key sk-CANARY12345678 at http://10.0.0.7:8000 failed"
    for body in ({"error": {"message": text, "code": text}}, text.encode()):
        error = rejected(400, body)
        for said in (error.message, str(error.code), error.debug):
            assert "CANARY" not in said
            assert "10.0.0.7" not in said


def test_messages_have_a_bound() -> None:
    assert len(rejected(500, {"error": {"message": "word " * 9999}}).message) == 2000
    assert len(rejected(500, b"word " * 9999).message) == 300


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": "Incorrect API key provided: sk-CANARY12345678"}}),
        (403, {"error": OPENAI}),
        (
            400,
            {"error": {"message": "API key not valid", "details": [{"reason": "API_KEY_INVALID"}]}},
        ),
    ],
)
def test_a_refused_credential_is_the_operators_problem(status: int, body: Any) -> None:
    error = CHAT.read_error(status, json.dumps(body).encode())
    assert isinstance(error, UpstreamAuth)
    assert error.http_status == 502
    assert "CANARY" not in error.debug
    assert "Incorrect" not in error.message
