"""Errors of Bedrock keep their class, and never tell a caller about the operator's credential."""

import pytest

from portico.dialects.converse.errors import read_error
from portico.errors import UpstreamAuth, UpstreamRejected


def headers(name: str) -> dict[bytes, bytes]:
    return {b"x-amzn-errortype": name.encode(), b"x-amzn-requestid": b"1"}


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (429, "ThrottlingException", 429),
        (400, "ServiceQuotaExceededException", 429),
        (429, "ModelNotReadyException", 429),
        (503, "ServiceUnavailableException", 503),
        (500, "InternalServerException", 500),
        (424, "ModelErrorException", 424),
        (408, "ModelTimeoutException", 408),
        (400, "ValidationException", 400),
        (404, "ResourceNotFoundException", 404),
        (418, "SomethingNewException", 418),
    ],
)
def test_the_name_decides_the_status(status: int, name: str, expected: int) -> None:
    for place in (headers(name), headers(f"{name}:http://internal.amazon.com/coral/x/")):
        fault = read_error(status, place, b'{"message":"No."}')
        assert isinstance(fault, UpstreamRejected)
        assert (fault.http_status, fault.message, fault.code) == (expected, "No.", name)


@pytest.mark.parametrize(
    "name",
    ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException",
     "InvalidSignatureException", "MissingAuthenticationTokenException", "OptInRequired"],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 403])
def test_a_refused_credential_is_the_operators_matter(name: str, status: int) -> None:
    body = b'{"message":"User arn:aws:iam::123456789012:user/x is not authorized"}'
    fault = read_error(status, headers(name), body)
    assert isinstance(fault, UpstreamAuth)
    assert "123456789012" not in fault.message
    assert name in fault.debug


def test_the_name_may_be_in_the_body() -> None:
    body = b'{"__type":"com.amazon.coral.service#ThrottlingException","Message":"Slow down."}'
    fault = read_error(400, {}, body)
    assert isinstance(fault, UpstreamRejected)
    assert (fault.http_status, fault.message) == (429, "Slow down.")
    nested = b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"}}'
    assert read_error(400, {}, nested).http_status == 404


def test_a_prompt_that_is_too_long_has_the_code_clients_know() -> None:
    body = b'{"message":"The model returned the following errors: Input is too long for model."}'
    fault = read_error(400, headers("ValidationException"), body)
    assert fault.code == "context_length_exceeded"


def test_a_bad_model_id_stays_a_400() -> None:
    body = b'{"message":"The provided model identifier is invalid."}'
    assert read_error(400, headers("ValidationException"), body).http_status == 400


def test_a_failure_of_the_model_may_be_tried_again() -> None:
    assert read_error(424, headers("ModelErrorException"), b"{}").retryable is True
    assert read_error(400, headers("ValidationException"), b"{}").retryable is False
    assert read_error(429, headers("ThrottlingException"), b"{}").retryable is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_403_without_a_name_is_about_the_credential(status: int) -> None:
    assert isinstance(read_error(status, {}, b'{"message":"no"}'), UpstreamAuth)


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b"\xff", b"[" * 5000, b'{"message":{}}', b"5"]
)
@pytest.mark.parametrize("given", [{}, headers("ValidationException"), headers("\xe9: x")])
def test_any_body_gives_a_typed_error(body: bytes, given: dict[bytes, bytes]) -> None:
    assert read_error(400, given, body).message
