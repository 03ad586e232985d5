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


@pytest.mark.parametrize("name", ["API_KEY_INVALID", "invalid_api_key"])
def test_a_refusal_that_quotes_the_request_says_nothing_about_the_key(name: str) -> None:
    """One caller could put every key of a provider to rest otherwise."""
    quoted = f'Invalid value: "{name}".'
    odd = [{"field": name}, name, {"reason": [name]}, {"reason": quoted, "metadata": {name: name}}]
    for error in (
        {"message": quoted, "type": "invalid_request_error", "param": name, "code": "invalid"},
        {"message": name, "code": 400, "status": "INVALID_ARGUMENT", "details": odd},
        {"message": name, "details": {"reason": name}, "code": [name], "type": {"a": name}},
        name,
    ):
        assert rejected(400, {"error": error}).http_status == 400
    assert rejected(400, f"<b>{name}</b>".encode()).http_status == 400
    assert rejected(500, {"error": {"code": name}}).http_status == 500


@pytest.mark.parametrize("where", ["code", "status", "type", "reason"])
@pytest.mark.parametrize("name", ["API_KEY_INVALID", "invalid_api_key"])
def test_a_refusal_that_names_the_key_is_about_the_key(name: str, where: str) -> None:
    said = {"details": [{}, {"reason": name}]} if where == "reason" else {where: name}
    error: Any = {"message": "m", **said}
    for body in ({"error": error}, [{"error": error}]):
        assert isinstance(CHAT.read_error(400, json.dumps(body).encode()), UpstreamAuth)


OLLAMA = {"message": 'model "m" not found, try pulling it first', "type": "not_found_error",
          "param": None, "code": None}  # fmt: skip
VLLM = {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError",
        "param": None, "code": 404}  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {"error": OLLAMA},
        VLLM,
        {"error": {**VLLM, "param": "model"}},
        {"error": {"message": "no", "type": "model_not_found", "code": "404"}},
        {"error": "model 'm' not found"},
        {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}},
    ],
)
def test_a_model_that_is_not_there_has_one_code(body: Any) -> None:
    error = rejected(404, body)
    assert (error.code, error.http_status) == ("model_not_found", 404)
    assert rejected(400, body).code != "model_not_found"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {**OLLAMA, "code": "response_not_found"}}, "response_not_found"),
        ({"error": {**OLLAMA, "param": "previous_response_id"}}, "upstream_error"),
        ({**VLLM, "type": "invalid_request_error"}, "404"),
        ({"error": {"message": "model 'm' not found", "type": "t"}}, "upstream_error"),
        ({"error": "file 'model 'm' not found' not found"}, "upstream_error"),
        ({"detail": "Not Found"}, "upstream_error"),
        (b"404 page not found", "upstream_error"),
    ],
)
def test_anything_else_that_is_not_there_is_not_the_model(body: Any, code: str) -> None:
    assert rejected(404, body).code == code
