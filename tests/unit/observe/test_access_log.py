"""One JSON line per request; a blocked sink blocks nobody; secrets stay out."""

import json
import os
import time
from typing import Any

import pytest
from tests.unit.observe.observed import failure, outcome

from portico.config.secret import Secret
from portico.model.usage import Usage
from portico.observe.logs import AccessLog
from portico.observe.redact import Redactor


def lines(*outcomes: Any, redactor: Redactor | None = None, wall: float = 1_764_000_000.0) -> Any:
    """What the log writes for the outcomes, decoded."""
    written: list[bytes] = []
    log = AccessLog(written.append, redactor=redactor, offset=lambda: wall - 101.25)
    for one in outcomes:
        log.write(one)
    assert log.close()
    assert log.dropped == 0
    data = b"".join(written)
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def test_a_line_is_json_with_every_field() -> None:
    one = outcome(
        caller={"team": "blue"}, bytes_in=10, bytes_out=20, upstream_request_id="req_up", attempts=2
    )
    assert lines(one) == [
        {
            "ts": "2025-11-24T16:00:00.000Z",
            "level": "info",
            "msg": "request",
            "request_id": "req_1",
            "method": "POST",
            "endpoint": "chat_completions",
            "dialect": "chat",
            "lane": "splice",
            "stream": True,
            "provider": "acme",
            "model": "gpt-*",
            "request_model": "gpt-4o-mini",
            "upstream_model": "gpt-4o-mini",
            "response_model": "gpt-4o-mini-2024-07-18",
            "status": 200,
            "verdict": "ok",
            "tokens": {
                "input": 1205,
                "output": 350,
                "cache_read": 200,
                "cache_write": 5,
                "reasoning": 50,
            },
            "duration_ms": 1250.0,
            "ttft_ms": pytest.approx(502, abs=0.001),
            "upstream_ms": pytest.approx(1248, abs=0.001),
            "overhead_ms": pytest.approx(3, abs=0.001),
            "bytes_in": 10,
            "bytes_out": 20,
            "attempts": 2,
            "caller": {"team": "blue"},
            "peer": "10.1.2.3:5000",
            "upstream_request_id": "req_up",
        }
    ]


def test_what_is_empty_is_absent() -> None:
    refused = outcome(
        upstream_started=0.0, upstream_finished=0.0, first_byte=0.0, usage=None, stream=False,
        provider="", alias="", request_model="", upstream_model="", response_model="", attempts=0,
        status=401, verdict="denied", error_code="invalid_api_key", lane="",
    )  # fmt: skip
    (line,) = lines(refused)
    assert set(line) == {
        "ts", "level", "msg", "request_id", "method", "endpoint", "dialect", "status", "verdict",
        "error_code", "duration_ms", "overhead_ms", "peer",
    }  # fmt: skip


def test_estimated_tokens_say_so() -> None:
    (line,) = lines(outcome(usage=Usage(input_uncached=3, output_text=4, estimated=True)))
    assert line["tokens"] == {"input": 3, "output": 4, "estimated": True}


@pytest.mark.parametrize(
    ("verdict", "level"),
    [("ok", "info"), ("denied", "info"), ("truncated", "warn"), ("internal_error", "error")],
)
def test_level_follows_the_verdict(verdict: str, level: str) -> None:
    assert lines(outcome(verdict=verdict))[0]["level"] == level


def test_time_stamps_are_utc_with_milliseconds_across_seconds() -> None:
    ends = [outcome(finished=101.25 + step) for step in (0.0, 0.9994, 1.0, 61.5)]
    stamps = [line["ts"] for line in lines(*ends, wall=0.0)]
    assert stamps == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:01:01.500Z",
    ]


def test_the_default_clock_is_the_wall_clock() -> None:
    written: list[bytes] = []
    log = AccessLog(written.append)
    log.write(outcome(finished=time.monotonic()))
    log.close()
    year = time.strftime("%Y-%m-%dT%H:", time.gmtime())
    assert json.loads(written[0])["ts"].startswith(year)


def test_hostile_names_stay_inside_one_json_string() -> None:
    evil = '"}\n{"level":"error"}\u2028\x00'
    (line,) = lines(outcome(request_model=evil))
    assert line["request_model"] == evil


def test_a_lone_surrogate_does_not_break_the_log() -> None:
    broken, fine = lines(outcome(request_model="gpt\ud800"), outcome())
    assert broken["request_model"] == "gpt?"
    assert fine["request_model"] == "gpt-4o-mini"


def test_a_huge_name_is_cut_and_a_line_stays_atomic_for_pipes() -> None:
    written: list[bytes] = []
    log = AccessLog(written.append)
    log.write(outcome(request_model="m" * 1_000_000))
    log.write(outcome(request_model="\x00" * 5000, response_model="\x01" * 5000))
    log.close()
    first, second = b"".join(written).splitlines(keepends=True)
    assert json.loads(first)["request_model"] == "m" * 128
    assert max(len(first), len(second)) <= 4096


FIELDS = ("request_model", "upstream_model", "response_model", "error_code", "upstream_request_id")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abcdefgh12345678", "AIzaSyA1234567890abcdefghij", "Bearer eyJhbGciOi.abc.def"],
)
def test_credential_shapes_in_peer_chosen_fields_are_masked(field: str, secret: str) -> None:
    made = lines(outcome(), failure(**{field: f"x {secret}"}), outcome())
    assert len(made) == 3
    assert secret.removeprefix("Bearer ") not in json.dumps(made)
    assert "[redacted]" in made[1][field]
    assert "[redacted]" not in json.dumps([made[0], made[2]])


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["plain0secret", 'quo"te\\secret', "nsecretwithn", "ключ-секрет"])
def test_registered_secrets_are_masked_whatever_they_look_like(field: str, value: str) -> None:
    redactor = Redactor([Secret(value)])
    made = lines(failure(**{field: f"a\n{value}b"}), redactor=redactor)
    assert made[0][field] == "a\n[redacted]b"


def test_a_secret_registered_later_is_masked_from_the_next_flush() -> None:
    written: list[bytes] = []
    redactor = Redactor()
    log = AccessLog(written.append, redactor=redactor)
    log.write(outcome(request_model="rotated-secret"))
    log.flush()
    redactor.add(Secret("rotated-secret"))
    log.flush()
    log.write(outcome())
    log.flush()
    log.write(outcome(request_model="rotated-secret"))
    log.close()
    assert b"rotated-secret" not in b"".join(written).splitlines()[-1]


def test_remembered_names_are_bounded() -> None:
    log = AccessLog(lambda _: None)
    for i in range(10_000):
        log.write(outcome(request_model=f"m{i}"))
    assert len(log._clean) <= 4100
    log.close()


def test_a_full_pipe_blocks_nobody_and_drops_are_counted() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing, chunks=2)
    one = outcome()
    started = time.monotonic()
    for _ in range(2000):  # far more than a pipe and the buffers hold
        log.write(one)
        log.flush()
    assert time.monotonic() - started < 2.0
    dropped = log.dropped
    assert 0 < dropped < 2000
    started = time.monotonic()
    assert log.close(timeout=0.2) is False
    assert time.monotonic() - started < 1.0
    assert log.dropped > dropped
    os.close(reading)
    os.close(writing)


def test_no_line_is_torn_or_lost_when_the_reader_is_slow() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)  # as an event loop may leave it
    log = AccessLog(writing)
    for i in range(500):
        log.write(outcome(request_id=f"req_{i}"))
    log.flush()
    time.sleep(0.05)
    received = b""
    while received.count(b"\n") < 500:
        received += os.read(reading, 65536)
    assert [json.loads(line)["request_id"] for line in received.splitlines()] == [
        f"req_{i}" for i in range(500)
    ]
    assert log.close()
    assert log.dropped == 0
    os.close(reading)
    os.close(writing)


def test_a_closed_sink_is_counted_and_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(writing)
    log.write(outcome())
    log.close()
    assert log.dropped == 1
    os.close(writing)


def test_memory_is_bounded_while_the_sink_is_blocked() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing, chunk=8192, chunks=2)
    for _ in range(5000):
        log.write(outcome())
    assert len(log._buffer) < 2 * 8192
    assert len(log._ids) < 100
    log.close(timeout=0.05)
    os.close(reading)
    os.close(writing)


def test_the_log_works_in_a_forked_worker() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing)
    log.write(outcome())
    assert log.close() is True  # the parent's thread has run
    inherited = AccessLog(writing)
    inherited.write(outcome(request_id="parent"))
    inherited.flush()
    pid = os.fork()
    if pid == 0:
        inherited.write(outcome(request_id="child"))
        os._exit(0 if inherited.close() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    inherited.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ids = [json.loads(line)["request_id"] for line in pipe]
    assert ids == ["req_1", "parent", "child"]
