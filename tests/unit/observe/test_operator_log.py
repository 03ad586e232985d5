"""The operator's log: readable, redacted, non-blocking."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from tests.unit.observe.observed import failure, scrape, value

from portico.config.secret import Secret
from portico.observe.console import Format, Level, OperatorLog, setup_logging
from portico.observe.metrics import Metrics
from portico.observe.recorder import Recorder
from portico.observe.redact import Redactor

CANARY = "sk-CANARY-0123456789abcdef"
Setup = Callable[..., tuple[OperatorLog, list[bytes]]]


@pytest.fixture
def setup() -> Iterator[Setup]:
    made: list[OperatorLog] = []

    def install(
        level: Level = "info", form: Format = "json", redactor: Redactor | None = None
    ) -> tuple[OperatorLog, list[bytes]]:
        written: list[bytes] = []
        made.append(setup_logging(level, form, redactor=redactor, sink=written.append))
        return made[-1], written

    yield install
    for handler in made:
        for name in ("portico", "asyncio", "uvicorn.error"):
            logger = logging.getLogger(name)
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True
        handler.close()


def test_json_records_have_time_level_logger_and_message(setup: Setup) -> None:
    handler, written = setup()
    logging.getLogger("portico.http").warning("slow %s", "peer", extra={"fields": {"peer": "::1"}})
    handler.flush()
    line = json.loads(b"".join(written))
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "warn", "logger": "portico.http", "msg": "slow peer", "peer": "::1"}


def test_level_is_obeyed_and_guests_only_warn(setup: Setup) -> None:
    handler, written = setup("debug")
    logging.getLogger("portico").debug("one")
    logging.getLogger("uvicorn.error").info("two")
    logging.getLogger("uvicorn.error").error("three")
    handler.flush()
    assert [json.loads(line)["msg"] for line in b"".join(written).splitlines()] == ["one", "three"]


def test_setting_up_twice_writes_once(setup: Setup) -> None:
    setup()
    handler, written = setup()
    logging.getLogger("portico").info("once")
    handler.flush()
    assert b"".join(written).count(b"once") == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked_in_messages_fields_and_tracebacks(setup: Setup, form: Format) -> None:
    handler, written = setup(form=form, redactor=Redactor([Secret("registered-secret")]))
    try:
        raise ValueError(f"Authorization: Bearer {CANARY} registered-secret")
    except ValueError:
        logging.getLogger("portico").exception(
            "key=%s x-api-key: %s", CANARY, "abcdefgh", extra={"fields": {"url": f"/?key={CANARY}"}}
        )
    handler.flush()
    text = b"".join(written).decode()
    assert "Traceback" in text
    for secret in ("CANARY-0123", "registered-secret", "abcdefgh"):
        assert secret not in text


def test_no_message_can_pose_as_another_record(setup: Setup) -> None:
    handler, written = setup(form="console")
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z error portico: fake\x1b[2J")
    except ValueError:
        logging.getLogger("portico").exception("a\nb\r\x1b[31m\u2028c")
    handler.flush()
    text = b"".join(written).decode()
    first, *rest = text.splitlines()
    assert first.endswith("portico: a\\nb\\r\\x1b[31m\\u2028c")
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in text


def test_a_record_that_cannot_be_formatted_is_dropped_and_counted(setup: Setup) -> None:
    handler, written = setup()
    logging.getLogger("portico").info("%d", "no number")
    handler.flush()
    assert written == []
    assert handler.dropped == 1


def test_what_the_client_must_not_see_reaches_the_operator(setup: Setup) -> None:
    handler, written = setup()
    recorder = Recorder(Metrics(), None)
    recorder.begin()
    recorder.finish(failure(error_debug="connect to 10.0.0.7:443 refused"))
    handler.flush()
    line = json.loads(b"".join(written))
    assert line["msg"] == "502 upstream_unreachable: connect to 10.0.0.7:443 refused"
    assert line["request_id"] == "req_1"
    assert value(scrape(recorder.metrics.snapshot()), "portico_in_flight") == 0


def test_a_blocked_stderr_blocks_nobody() -> None:
    reading, writing = os.pipe()
    handler = OperatorLog(writing, Redactor(), "json")
    record = logging.LogRecord("portico", logging.ERROR, __file__, 1, "x" * 1000, (), None)
    started = time.monotonic()
    for _ in range(3000):
        handler.emit(record)
    assert time.monotonic() - started < 3.0
    assert handler.dropped > 0
    os.read(reading, 1_000_000)
    os.close(reading)
    handler.close()
    os.close(writing)


def test_the_last_words_of_a_process_are_written() -> None:
    script = (
        "import logging; from portico.observe.console import setup_logging; "
        "setup_logging('info', 'console'); logging.getLogger('portico').error('last words')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stderr.endswith(b"error portico: last words\n")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("sk-ant-api03-abcdefgh_ijkl-mnop rest", "[redacted] rest"),
        ("AUTHORIZATION: BEARER abcdefghij==", "AUTHORIZATION: BEARER [redacted]"),
        ("authorization=Basic dXNlcjpwYXNz", "authorization=Basic [redacted]"),
        ("(b'x-api-key', b'0123456789')", "(b'x-api-key', b'[redacted]')"),
        ('{"api_key": "0123456789"}', '{"api_key": "[redacted]"}'),
        ("x-goog-api-key: 0123456789", "x-goog-api-key: [redacted]"),
        ("GET /v1?key=0123456789&alt=sse", "GET /v1?key=[redacted]&alt=sse"),
        ("AIzaSyA1234567890abcdefghij", "[redacted]"),
        ("gsk_0123456789abcdef0123", "[redacted]"),
        ("task-scheduling of risk-assessment-models is fine", None),
        ("the bearer of good news", None),
        ("monkey: banana", None),
    ],
)
def test_credential_shapes(text: str, clean: str | None) -> None:
    assert Redactor().text(text) == (text if clean is None else clean)


def test_every_spelling_of_a_registered_secret_is_masked() -> None:
    redactor = Redactor([Secret('p"a\\s ü/s')])
    for spelling in ('p"a\\s ü/s', 'p\\"a\\\\s \\u00fc/s', "p%22a%5Cs%20%C3%BC%2Fs"):
        assert redactor.text(f"<{spelling}>") == "<[redacted]>"


def test_a_secret_inside_another_leaves_nothing_standing() -> None:
    redactor = Redactor([Secret("abcdef"), Secret("abcdefghi")])
    assert redactor.text("abcdefghi") == "[redacted]"


def test_short_secrets_do_not_punch_holes_into_words() -> None:
    assert Redactor([Secret("a")]).text("banana") == "banana"


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "sk-" * 30_000, "api-key" * 14_000, "bearer " * 14_000]
)
def test_patterns_are_linear(text: str) -> None:
    started = time.process_time()
    Redactor().text(text)
    assert time.process_time() - started < 0.5


def test_importing_the_hot_path_is_light() -> None:
    script = (
        "import sys, portico.observe.recorder, portico.observe.exposition, portico.admin.server; "
        "print([m for m in ('prometheus_client', 'starlette', 'uvicorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
