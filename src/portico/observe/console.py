"""The operator's log: the stdlib loggers `portico.*` on stderr, as JSON or for a human's eyes.

Everything written passes the redactor, tracebacks included, and goes through a `LineWriter`, so a
blocked stderr cannot block the event loop either. `PorticoError.debug` belongs here and never into
an answer to a client.
"""

import logging
import re
import time
from typing import Literal

import msgspec

from portico.model.outcome import Outcome
from portico.observe.redact import Redactor
from portico.observe.writer import LineWriter, Sink

Level = Literal["debug", "info", "warn", "error"]
Format = Literal["json", "console"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING}
_NAMES = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}
_GUESTS = ("asyncio", "uvicorn.error")
"""Libraries whose warnings and tracebacks must pass the redactor too."""

_LONGEST = 32_768
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

failures = logging.getLogger("portico.request")


def setup_logging(
    level: Level = "info",
    format: Format = "json",  # noqa: A002 - the configuration's own word
    *,
    redactor: Redactor | None = None,
    sink: Sink = 2,
) -> "OperatorLog":
    """Sends `portico.*`, and warnings of asyncio and uvicorn, to `sink`. Call it again to change.

    The handler it returns has `dropped`, for `Metrics.watch_log`.
    """
    handler = OperatorLog(sink, redactor or Redactor(), format)
    threshold = _LEVELS.get(level, logging.ERROR)
    for name in ("portico", *_GUESTS):
        logger = logging.getLogger(name)
        for old in [h for h in logger.handlers if isinstance(h, OperatorLog)]:
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
        logger.setLevel(max(threshold, logging.WARNING) if name in _GUESTS else threshold)
        logger.propagate = False
    return handler


def log_failure(outcome: Outcome) -> None:
    """Writes what the operator should know about a failed request and the client must not."""
    failures.warning(
        "%s %s: %s",
        outcome.status,
        outcome.error_code or outcome.verdict,
        outcome.error_debug,
        extra={"fields": {"request_id": outcome.request_id, "provider": outcome.provider}},
    )


class OperatorLog(logging.Handler):
    """Formats, redacts and hands over. Extra fields come as `extra={"fields": {...}}`."""

    def __init__(self, sink: Sink, redactor: Redactor, format: Format) -> None:  # noqa: A002
        super().__init__()
        self._redactor = redactor
        self._writer = LineWriter(sink, chunks=1024, name="portico-operator-log")
        self._json = format == "json"
        self._dropped = 0
        self.setFormatter(logging.Formatter())

    @property
    def dropped(self) -> int:
        """Records lost so far."""
        return self._dropped + self._writer.lost

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises and never blocks."""
        try:
            line = self._as_json(record) if self._json else self._as_text(record)
        except Exception:  # a record that cannot be formatted
            self._dropped += 1
            return
        if not self._writer.offer(line, 1):
            self._dropped += 1

    def flush(self) -> None:
        """Waits for the sink, at most a second."""
        self._writer.drain(1.0)

    def close(self) -> None:
        """Gives the sink another second, then drops the rest."""
        self._writer.close(1.0)
        super().close()

    def _parts(self, record: logging.LogRecord) -> tuple[str, str, dict[str, str]]:
        """Message, traceback and extra fields, all redacted and of bounded length."""
        clean = self._redactor.text
        trace = ""
        if record.exc_info and record.exc_info[0] is not None:
            trace = (self.formatter or logging.Formatter()).formatException(record.exc_info)
        fields = getattr(record, "fields", None) or {}
        return (
            clean(record.getMessage())[:_LONGEST],
            clean(trace)[-_LONGEST:],
            {str(k): clean(str(v))[:_LONGEST] for k, v in fields.items() if v not in (None, "")},
        )

    def _as_json(self, record: logging.LogRecord) -> bytes:
        message, trace, fields = self._parts(record)
        line = {
            "ts": _stamp(record),
            "level": _level(record),
            "logger": record.name,
            "msg": message,
            **fields,
        }
        if trace:
            line["exception"] = trace
        encodable = {k: v.encode("utf-8", "replace").decode() for k, v in line.items()}
        return msgspec.json.encode(encodable) + b"\n"

    def _as_text(self, record: logging.LogRecord) -> bytes:
        """One line, then the traceback indented, so that no message can pose as a record."""
        message, trace, fields = self._parts(record)
        extra = "".join([f" {name}={value}" for name, value in fields.items()])
        head = f"{message}{extra}".replace("\n", "\\n")
        text = f"{_stamp(record)} {_level(record):5} {record.name}: {head}\n"
        if trace:
            text += "".join([f"  {line}\n" for line in trace.split("\n")])
        return _CONTROL.sub(_escape, text).encode("utf-8", "replace")


def _escape(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, "error" if record.levelno > logging.WARNING else "debug")


def _stamp(record: logging.LogRecord) -> str:
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{second}.{int(record.created % 1 * 1000):03d}Z"
