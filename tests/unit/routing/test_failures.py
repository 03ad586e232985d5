"""What kind of failure an error is."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.dialects.upstream_error import TOO_LONG, read_error
from portico.errors import (
    BadRequest,
    Forbidden,
    InternalError,
    NotFound,
    Overloaded,
    PorticoError,
    RateLimited,
    UpstreamAuth,
    UpstreamProtocol,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from portico.limits import UPSTREAM_CONNECTIONS
from portico.routing.failures import Kind, failure_of, retry_after

NOW = 1_795_000_000.0


def answered(error: PorticoError, status: int) -> PorticoError:
    error.upstream_status = status
    return error


def stale() -> UpstreamTruncated:
    error = UpstreamTruncated("m")
    error.stale = True
    return error


def hurried() -> UpstreamTimeout:
    error = UpstreamTimeout("m")
    error.hurried = True
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UpstreamUnreachable("m"), "connect"),
        (UpstreamTimeout("m"), "timeout"),
        (UpstreamProtocol("m"), "protocol"),
        (UpstreamTruncated("m"), "truncated"),
        (stale(), "stale"),
        (Overloaded("m", limit=UPSTREAM_CONNECTIONS), "full"),
        (Overloaded("m", limit="bufferedBodyBytes"), "final"),
        (Overloaded("m"), "final"),
        (answered(UpstreamAuth("m"), 401), "auth"),
        (answered(UpstreamAuth("m"), 400), "auth"),
        (answered(UpstreamAuth("m"), 403), "status"),
        (UpstreamProtocol("m", limit="responseBytes"), "final"),
        (UpstreamProtocol("m", limit="sseFrameBytes"), "final"),
        (UpstreamProtocol("m", limit="responseHeadBytes"), "protocol"),
        (UpstreamProtocol("m", code="empty_summary"), "final"),
        (hurried(), "late"),
        (UpstreamUnavailable("m"), "final"),
        (InternalError("m"), "final"),
        (BadRequest("m"), "final"),
        (NotFound("m", code="model_not_found"), "final"),
        (Forbidden("m"), "final"),
        (RateLimited("m"), "final"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{type(value).__name__}-{value.limit}",
)
def test_every_class_of_error_has_its_kind(error: PorticoError, kind: Kind) -> None:
    assert failure_of(error, NOW).kind == kind


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        *[(status, None, "status") for status in (400, 402, 404, 408, 409, 413, 422, 500, 502, 503,
                                                  504, 520, 524, 529, 599)],
        (429, None, "limited"),
        (429, "insufficient_quota", "limited"),
        (404, "model_not_found", "missing"),
        (404, "not_found_error", "missing"),
        (400, "model_not_found", "status"),
        (400, TOO_LONG, "context"),
        (413, TOO_LONG, "context"),
    ],
)  # fmt: skip
def test_every_status_has_its_kind(status: int, code: str | None, kind: Kind) -> None:
    found = failure_of(UpstreamRejected("m", status=status, code=code, retry_after="3"), NOW)
    assert (found.kind, found.status) == (kind, status)
    if kind in ("status", "limited"):
        assert found.retry_after == 3.0


def test_what_providers_really_write_has_its_kind() -> None:
    long = b'{"error":{"message":"This model\'s maximum context length is 8192 tokens."}}'
    gone = b'{"error":{"message":"no","code":"model_not_found"}}'
    full = b'{"error":{"message":"slow","type":"rate_limit_error"}}'
    assert failure_of(read_error(400, long), NOW).kind == "context"
    assert failure_of(read_error(404, gone), NOW).kind == "missing"
    for local in (b'{"error":{"message":"m","type":"not_found_error","param":null,"code":null}}',
                  b'{"object":"error","message":"m","type":"NotFoundError","code":404}',
                  b'{"error":"model \'m\' not found"}'):  # fmt: skip
        assert failure_of(read_error(404, local), NOW).kind == "missing"
    assert failure_of(read_error(429, full), NOW).kind == "limited"
    assert failure_of(answered(read_error(401, b"{}"), 401), NOW).kind == "auth"
    assert failure_of(read_error(529, b"<html>"), NOW).status == 529


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0), (" 7 ", 7.0), ("0", 0.0), ("1.5", 1.5), ("-3", 0.0), ("86400", 86_400.0),
        ("999999999", 86_400.0), ("1e400", 86_400.0), ("inf", 86_400.0), ("-inf", 0.0),
        ("", None), (None, None), ("nan", None), ("soon", None), ("7s", None), ("0x10", None),
        ("\x00", None), ("Wed, 99 Foo 2026 99:99:99 GMT", None), ("9" * 5000, 86_400.0),
        ("9" * 5000 + " Nov", None), ("Mon, 01 Jan 99999 00:00:00 GMT", None),
    ],
)  # fmt: skip
def test_a_delay_is_a_number_or_nothing(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


def test_a_delay_is_a_date_in_any_of_its_three_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # all of them are GMT, wherever this runs
    time.tzset()
    try:
        at = time.gmtime(NOW + 90.0)
        forms = (
            formatdate(NOW + 90.0, usegmt=True),
            time.strftime("%A, %d-%b-%y %H:%M:%S GMT", at),
            time.asctime(at),
            formatdate(NOW + 90.0),
        )
        assert [retry_after(form, NOW) for form in forms] == [90.0] * 4
        assert retry_after(formatdate(NOW - 90.0, usegmt=True), NOW) == 0.0
        assert retry_after(formatdate(NOW + 1e7, usegmt=True), NOW) == 86_400.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(
    st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,5} .{0,14}")
)
def test_garbage_is_never_more_than_garbage(text: str) -> None:
    found = retry_after(text, NOW)
    assert found is None or 0.0 <= found <= 86_400.0
