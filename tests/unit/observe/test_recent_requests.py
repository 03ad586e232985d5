"""What a worker remembers of its last requests: bounded, without bodies, without secrets."""

import json
from typing import Any

import msgspec
import pytest
from tests.unit.observe.observed import failure, outcome
from tests.unit.observe.test_attempt_records import attempt, saved

from portico.config.secret import Secret
from portico.limits import Limits
from portico.model.losses import Loss
from portico.observe.metrics import Metrics
from portico.observe.recent import Recent, RequestQuery
from portico.observe.recorder import Recorder
from portico.observe.redact import Redactor

NOON = 1_764_072_000.0


def recent(*outcomes: Any, limit: int = 100, redactor: Redactor | None = None) -> Recent:
    """A memory of the outcomes; request 100.0 begins at noon."""
    made = Recent(limit, redactor or Redactor(), offset=lambda: NOON - 100.0)
    made.add(list(outcomes))
    return made


def ids(memory: Recent, **query: Any) -> list[str]:
    return [row.id for row in memory.rows(RequestQuery(**query))]


def test_the_newest_comes_first_and_the_oldest_is_forgotten() -> None:
    memory = recent(*[outcome(request_id=f"req_{n}") for n in range(10)], limit=3)
    assert ids(memory) == ["req_9", "req_8", "req_7"]
    assert ids(memory, limit=2) == ["req_9", "req_8"]
    assert memory.find("req_6") is None
    assert memory.find("req_7") is not None


def test_the_bound_can_change_and_be_nothing() -> None:
    memory = recent(*[outcome(request_id=f"req_{n}") for n in range(5)])
    memory.keep(2)
    assert ids(memory) == ["req_4", "req_3"]
    memory.keep(0)
    memory.add([outcome()])
    assert ids(memory) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "200"}, ["good", "saved"]),
        ({"status": "5xx"}, ["bad"]),
        ({"status": "502"}, ["bad"]),
        ({"verdict": "upstream_error"}, ["bad"]),
        ({"provider": "down"}, ["saved"]),
        ({"provider": "acme"}, ["good", "saved", "bad"]),
        ({"model": "m-1"}, ["saved"]),
        ({"model": "gpt-4o-mini"}, ["good", "saved", "bad"]),
        ({"model": "gpt-*", "status": "2xx"}, ["good", "saved"]),
        ({"provider": "nobody"}, []),
    ],
)
def test_filters_look_at_every_attempt(query: dict[str, str], found: list[str]) -> None:
    memory = recent(
        failure(request_id="bad"), saved(request_id="saved"), outcome(request_id="good")
    )
    assert ids(memory, **query) == found


def test_a_row_says_how_it_went() -> None:
    (row,) = recent(saved()).rows(RequestQuery())
    assert msgspec.to_builtins(row) == {
        "id": "req_1", "ended_at": "2025-11-25T12:00:01.250Z", "method": "POST",
        "endpoint": "chat_completions", "provider": "acme", "model": "gpt-*",
        "request_model": "gpt-4o-mini", "stream": True, "status": 200, "verdict": "ok",
        "attempt_count": 2, "duration_ms": 1250.0, "ttft_ms": 502.0,
        "tokens": {"input": 1205, "output": 350, "cache_read": 200, "cache_write": 5,
                   "reasoning": 50},
    }  # fmt: skip


def test_a_request_is_told_whole() -> None:
    one = saved(
        caller={"team": "blue"}, tags=("eu",), user="u-1", bytes_in=10, bytes_out=20,
        upstream_request_id="req_up", losses=[Loss("stop", "dropped", "none here")],
    )  # fmt: skip
    told = json.loads(msgspec.json.encode(recent(one).find("req_1")))
    assert told["started_at"] == "2025-11-25T12:00:00.000Z"
    assert told["timings"] == {
        "total_ms": 1250.0, "overhead_ms": 3.0, "before_ms": 1.0, "upstream_ms": 1248.0,
        "upstream_first_byte_ms": 500.0, "first_byte_ms": 502.0,
    }  # fmt: skip
    assert [each["result"] for each in told["attempts"]] == ["connect", "success"]
    assert told["losses"] == [{"path": "stop", "how": "dropped", "reason": "none here"}]
    assert told["caller"] == {"team": "blue"}
    assert (told["tags"], told["user"], told["bytes_out"]) == (["eu"], "u-1", 20)


def test_a_request_that_reached_nobody_has_no_attempts() -> None:
    refused = outcome(
        upstream_started=0.0, upstream_first_byte=0.0, upstream_finished=0.0, first_byte=0.0,
        usage=None, attempts=0, status=401, verdict="denied",
    )  # fmt: skip
    found = recent(refused).find("req_1")
    assert found is not None
    assert found.attempts == ()
    assert msgspec.to_builtins(found.timings) == {"total_ms": 1250.0, "overhead_ms": 1250.0}


def test_secrets_are_masked_wherever_they_are() -> None:
    redactor = Redactor([Secret("plain0secret")])
    text = "x plain0secret sk-proj-abcdefgh12345678"
    one = saved(
        request_model=text, upstream_model=text, response_model=text, error_code=text,
        error_debug=text, upstream_request_id=text, user=text, tags=(text,),
        caller={"k": text}, losses=[Loss(text, "dropped", text)],
        failed=[attempt(model=text, error=text, upstream_request_id=text)],
    )  # fmt: skip
    memory = recent(one, redactor=redactor)
    shown = msgspec.json.encode([memory.rows(RequestQuery()), memory.find("req_1")]).decode()
    assert "plain0secret" not in shown
    assert "sk-proj" not in shown
    assert shown.count("[redacted]") > 20


def test_what_peers_send_is_cut_before_it_is_kept() -> None:
    huge = "y" * 100_000
    one = saved(
        request_model=huge, upstream_model=huge, response_model=huge, error_code=huge, user=huge,
        error_debug=huge, tags=(huge,) * 100, losses=[Loss(huge, "dropped", huge)] * 500,
        failed=[attempt(model=huge, error=huge)] * 100, attempts=101,
    )  # fmt: skip
    memory = recent(one)
    assert one.request_model == huge, "the log's record is left alone"
    assert len(msgspec.json.encode(memory._kept[0])) < 100_000
    assert len(msgspec.json.encode(memory.find("req_1"))) < 100_000


def test_no_half_of_a_secret_remains_at_a_cut() -> None:
    secret = "Z" * 400
    redactor = Redactor([Secret(secret)])
    memory = recent(outcome(request_model="m" * 300 + secret * 3), redactor=redactor)
    (row,) = memory.rows(RequestQuery())
    assert "ZZ" not in row.request_model


def test_a_lone_surrogate_can_be_shown() -> None:
    (row,) = recent(outcome(request_model="gpt\ud800")).rows(RequestQuery())
    assert json.loads(msgspec.json.encode(row))["request_model"] == "gpt?"


def test_the_recorder_remembers_what_it_has_not_counted_yet() -> None:
    recorder = Recorder(Metrics(), None)
    recorder.begin()
    recorder.finish(outcome(request_id="just_now"))
    assert [row.id for row in recorder.requests(RequestQuery())] == ["just_now"]
    assert recorder.request("just_now") is not None
    assert recorder.request("other") is None


def test_the_default_bound_is_the_limits() -> None:
    recorder = Recorder(Metrics(), None)
    for number in range(Limits().recent_requests + 5):
        recorder.finish(outcome(request_id=f"req_{number}"))
    assert recorder.request("req_4") is None
    assert recorder.request("req_5") is not None
