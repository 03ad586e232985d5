"""Every attempt is told, in metrics and log alike."""

import json
from typing import Any

import pytest
from tests.unit.observe.observed import failure, outcome, recorded, scrape, value

from portico.config.secret import Secret
from portico.model.outcome import Attempt
from portico.observe.attempts import all_tried, failed_as
from portico.observe.logs import AccessLog
from portico.observe.redact import Redactor
from portico.observe.times import overhead

ATTEMPTS = "portico_upstream_attempts_total"


def attempt(**changes: Any) -> Attempt:
    """A refused connection, 1 ms after the request's head."""
    values = {"provider": "down", "model": "m-1", "started": 100.001, "finished": 100.003}
    return Attempt(**{**values, "error": "upstream_unreachable", **changes})


def saved(**changes: Any) -> Any:
    """A request whose first attempt failed and whose second was answered."""
    failed = [attempt()]
    return outcome(**{"failed": failed, "attempts": 2, "upstream_started": 100.01, **changes})


def line(*outcomes: Any, redactor: Redactor | None = None) -> Any:
    """The last line that the access log writes."""
    written: list[bytes] = []
    log = AccessLog(written.append, redactor=redactor)
    for one in outcomes:
        log.write(one)
    assert log.close()
    return json.loads(b"".join(written).splitlines()[-1])


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        ("upstream_unreachable", 0, "connect"),
        ("upstream_timeout", 0, "timeout"),
        ("upstream_truncated", 0, "truncated"),
        ("upstream_protocol_error", 200, "protocol"),
        ("upstream_auth", 401, "auth"),
        ("overloaded", 0, "full"),
        ("overloaded", 529, "5xx"),
        ("rate_limit_exceeded", 429, "429"),
        ("http_503", 503, "5xx"),
        ("model_not_found", 404, "4xx"),
        ("overloaded_error", 200, "event"),
        ("whatever a provider says", 0, "other"),
    ],
)
def test_a_failed_attempt_has_one_of_a_few_results(error: str, status: int, shown: str) -> None:
    assert failed_as(error, status) == shown


def test_attempts_are_counted_by_provider_and_result() -> None:
    limited = attempt(provider="busy", status=429, error="rate_limit_exceeded")
    both = saved(failed=[attempt(), limited], attempts=3)
    samples = scrape(recorded(both, outcome(), failure()).snapshot())
    assert value(samples, ATTEMPTS, provider="down", model="gpt-*", result="connect") == 1
    assert value(samples, ATTEMPTS, provider="busy", model="gpt-*", result="429") == 1
    assert value(samples, ATTEMPTS, provider="acme", model="gpt-*", result="success") == 2
    assert value(samples, ATTEMPTS, provider="acme", model="gpt-*", result="connect") == 1
    assert value(samples, ATTEMPTS) == value(samples, "portico_attempts_total") == 5
    assert value(samples, "portico_attempts_total", outcome="retried") == 2


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"status": 200, "verdict": "truncated"}, "truncated"),
        ({"status": 499, "verdict": "client_cancelled"}, "cancelled"),
        ({"status": 429, "verdict": "upstream_error", "error_code": "slow_down"}, "429"),
        ({"status": 500, "verdict": "internal_error", "error_code": "internal_error"}, "internal"),
        ({"status": 502, "verdict": "upstream_error", "error_code": "upstream_auth"}, "auth"),
    ],
)
def test_the_last_attempt_ended_as_its_request_did(changes: dict[str, Any], result: str) -> None:
    samples = scrape(recorded(outcome(**changes)).snapshot())
    assert value(samples, ATTEMPTS, result=result) == value(samples, ATTEMPTS) == 1


def test_a_client_that_leaves_between_two_attempts_has_had_one() -> None:
    left = saved(
        upstream_started=0.0, upstream_first_byte=0.0, upstream_finished=0.0, first_byte=0.0,
        attempts=1, status=499, verdict="client_cancelled", error_code="client_cancelled",
    )  # fmt: skip
    samples = scrape(recorded(left).snapshot())
    assert value(samples, ATTEMPTS, result="connect") == value(samples, ATTEMPTS) == 1
    assert value(samples, "portico_attempts_total", outcome="retried") == 1
    assert [each.result for each in all_tried(left)] == ["connect"]


def test_attempts_of_several_workers_add_up() -> None:
    samples = scrape(recorded(saved()).snapshot(), recorded(saved(), saved()).snapshot())
    assert value(samples, ATTEMPTS, result="connect") == 3
    assert value(samples, ATTEMPTS, result="success") == 3


def test_waiting_for_a_retry_is_no_overhead() -> None:
    late = saved(upstream_started=100.4, upstream_first_byte=100.5, first_byte=100.502)
    assert overhead(late) == pytest.approx(0.003)
    assert line(late)["upstream_ms"] == pytest.approx(1248, abs=0.01)


def test_mirrored_requests_count_under_their_own_label_and_in_their_own_family() -> None:
    copy = {"endpoint": "chat_completions (mirror)"}
    samples = scrape(recorded(outcome(), outcome(**copy), failure(**copy)).snapshot())
    assert value(samples, "portico_requests_total", **copy) == 2
    assert value(samples, "portico_mirrored_total", result="ok") == 1
    assert value(samples, "portico_mirrored_total", result="error") == 1
    assert value(samples, "portico_mirrored_total") == 2


def test_refused_retries_are_counted_by_model() -> None:
    metrics = recorded()
    metrics.retry_refused("fast")
    metrics.retry_refused("fast")
    samples = scrape(metrics.snapshot())
    assert value(samples, "portico_retry_budget_refused_total", model="fast") == 2


def test_every_attempt_is_told_with_its_times() -> None:
    started = attempt(started=100.1, finished=100.4, first_byte=100.3, status=503, error="busy",
                      upstream_request_id="req_a")  # fmt: skip
    first, last = all_tried(saved(failed=[started], upstream_started=100.45,
                                  upstream_request_id="req_b"))  # fmt: skip
    assert (first.provider, first.model, first.result, first.status, first.error) == (
        "down", "m-1", "5xx", 503, "busy",
    )  # fmt: skip
    assert (first.started_ms, first.duration_ms, first.first_byte_ms) == (100.0, 300.0, 300.0)
    assert (last.provider, last.model, last.result, last.status, last.error) == (
        "acme", "gpt-4o-mini", "success", 200, "",
    )  # fmt: skip
    assert (last.started_ms, last.duration_ms, last.first_byte_ms) == (450.0, 799.0, 500.0)
    assert (first.upstream_request_id, last.upstream_request_id) == ("req_a", "req_b")


def test_an_attempt_that_was_not_answered_has_no_status() -> None:
    assert [each.status for each in all_tried(failure())] == [0]
    assert all_tried(outcome(status=499, verdict="client_cancelled"))[0].status == 0
    assert all_tried(outcome(verdict="truncated"))[0].status == 200


def test_the_log_tells_of_failed_attempts_and_of_the_callers_labels() -> None:
    told = line(saved(tags=("beta", "eu"), user="u-17"))
    assert told["attempts"] == 2
    assert told["failed_attempts"] == [
        {
            "provider": "down", "model": "m-1", "result": "connect",
            "error": "upstream_unreachable", "started_ms": 1.0, "duration_ms": 2.0,
        }
    ]  # fmt: skip
    assert (told["tags"], told["user"]) == (["beta", "eu"], "u-17")
    assert not {"failed_attempts", "tags", "user"} & line(outcome()).keys()


@pytest.mark.parametrize("field", ["tags", "user", "model", "error", "upstream_request_id"])
def test_secrets_stay_out_of_labels_and_attempts(field: str) -> None:
    redactor = Redactor([Secret("plain0secret")])
    for secret in ("sk-proj-abcdefgh12345678", "plain0secret"):
        if field in ("tags", "user"):
            one = outcome(**{field: (secret,) if field == "tags" else secret})
        else:
            one = saved(failed=[attempt(**{field: f"x {secret}"})])
        told = line(outcome(), one, redactor=redactor)
        assert secret not in json.dumps(told)
        assert "[redacted]" in json.dumps(told)


def test_a_line_with_long_attempts_and_labels_is_cut_whole() -> None:
    failed = [attempt(model="m" * 3000, error="e" * 3000) for _ in range(20)]
    told = line(saved(failed=failed, attempts=21, user="u\ud800" * 3000, tags=("t" * 3000,)))
    assert len(told["failed_attempts"]) == 8
    assert {len(each["model"]) for each in told["failed_attempts"]} == {128}
    assert told["user"] == ("u?" * 64)
    assert told["tags"] == ["t" * 128]
