"""The access log: one JSON line per request, made from the same record as the metrics.

Field names are in `docs/observability.md`. A field is absent when it is empty, zero or false.
"""

import time
from collections.abc import Callable

import msgspec
from msgspec import Struct, structs

from portico.limits import KIB
from portico.model.losses import Losses
from portico.model.outcome import Outcome, Verdict
from portico.observe.attempts import Tried, tried
from portico.observe.redact import Redactor, mapped
from portico.observe.times import first_called, overhead
from portico.observe.tokens import Tokens, tokens_of
from portico.observe.writer import LineWriter, Sink

_LEVELS: dict[Verdict, str] = {
    "ok": "info",
    "client_error": "info",
    "denied": "info",
    "client_cancelled": "info",
    "upstream_error": "warn",
    "truncated": "warn",
    "internal_error": "error",
}
_MILLIS = tuple(f".{ms:03d}Z" for ms in range(1000))
_LONGEST_VALUE = 128
_MOST_LOSSES = 8
_MOST_ATTEMPTS = 8
_MOST_ENTRIES = 8
"""Of tags and of the caller's metadata, in a line that is too long."""
_LONGEST_LINE = 4095
"""With its newline a line is one atomic write to a pipe (PIPE_BUF of Linux)."""
_MAX_CLEAN = 4096


class Line(Struct, frozen=True, omit_defaults=True, gc=False):
    """One line. Times in milliseconds, sizes in bytes; `ts` is when the request ended."""

    ts: str
    level: str
    msg: str
    request_id: str
    method: str
    endpoint: str = ""
    dialect: str = ""
    lane: str = ""
    stream: bool = False
    provider: str = ""
    model: str = ""
    request_model: str = ""
    upstream_model: str = ""
    response_model: str = ""
    status: int = 0
    verdict: str = ""
    error_code: str | None = None
    tokens: Tokens | None = None
    duration_ms: float | None = None
    ttft_ms: float | None = None
    upstream_ms: float | None = None
    overhead_ms: float | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    attempts: int = 0
    caller: dict[str, str] | None = None
    peer: str = ""
    upstream_request_id: str = ""
    losses: list[str] | None = None
    failed_attempts: list[Tried] | None = None
    tags: tuple[str, ...] = ()
    user: str = ""


class AccessLog:
    """Lines pile up in `write`, leave with `flush` (call it every 100 ms) and reach the sink in a
    thread. When the sink is blocked and the buffers are full, new lines are dropped and counted.

    A chunk of `chunk` bytes leaves without waiting for `flush` (larger ones cost page faults), and
    `chunks` of them may wait for the sink. Call from one thread. `offset` is wall clock minus the
    clock of the outcomes; each flush asks again, so a line needs no system call.

    Only some fields hold text that peers chose. Names that repeat are checked for credentials once
    and then remembered; upstream request ids, all different, are checked together by `flush`. What
    has a hit is masked as a whole.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        redactor: Redactor | None = None,
        chunk: int = 64 * KIB,
        chunks: int = 64,
        offset: Callable[[], float] = lambda: time.time() - time.monotonic(),
    ) -> None:
        self._redactor = redactor or Redactor()
        self._generation = self._redactor.generation
        self._writer = LineWriter(sink, chunks=chunks, name="portico-access-log")
        self._encode_into = msgspec.json.Encoder().encode_into
        self._buffer = bytearray()
        self._chunk = chunk
        self._lines = 0
        self._ids: list[str] = []
        self._clean: set[tuple[str, ...]] = set()
        self._measure = offset
        self._offset = offset()
        self._second = -1
        self._stamp = ""
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Lines lost so far, for `Metrics.watch_log`."""
        return self._dropped + self._writer.lost

    def write(self, outcome: Outcome, spent: float | None = None) -> None:
        """Adds a line. Costs about 2.5 us; never blocks, never raises on any outcome.

        `spent` is `times.overhead(outcome)`, if that is known already.
        """
        buffer = self._buffer
        start = len(buffer)
        if start >= self._chunk:
            self.flush()
            if buffer:
                self._dropped += 1
                return
            start = 0
        now = outcome.finished + self._offset
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        stamp = self._stamp + _MILLIS[int((now - second) * 1000)]
        line = _line(outcome, stamp, overhead(outcome) if spent is None else spent)
        unusual = outcome.failed or outcome.tags or outcome.user
        if unusual:
            line = _with_labels(line, outcome)
        try:
            self._encode_into(line, buffer, -1)
            if len(buffer) - start > _LONGEST_LINE:
                self._replace(start, mapped(line, self._shorten, _MOST_ENTRIES))
        except UnicodeEncodeError:  # a lone surrogate, which JSON bodies can carry
            self._replace(start, mapped(line, self._shorten, _MOST_ENTRIES))
        names = (
            outcome.request_model,
            outcome.upstream_model,
            outcome.response_model,
            outcome.error_code or "",
        )
        if names not in self._clean:
            self._inspect(names, start)
        if unusual:
            self._inspect_labels(outcome, start)
        buffer += b"\n"
        self._lines += 1
        if outcome.upstream_request_id:
            self._ids.append(outcome.upstream_request_id)
        if outcome.losses:  # their paths and reasons may quote a client
            self._ids.extend([f"{loss.path} {loss.reason}" for loss in outcome.losses])

    def flush(self) -> None:
        """Hands what has piled up to the thread. If the queue is full, it stays for next time."""
        self._offset = self._measure()
        if not self._lines or self._writer.full:
            return
        self._inspect_ids()
        if self._writer.offer(bytes(self._buffer), self._lines):
            self._buffer.clear()
            self._lines = 0

    def close(self, timeout: float = 2.0) -> bool:
        """Flushes and waits for the sink, at most `timeout` seconds; whether all was written."""
        self.flush()
        if self._lines and self._writer.drain(timeout / 2):
            self.flush()
        complete = self._writer.close(timeout / 2) and not self._lines
        self._dropped += self._lines
        self._buffer.clear()
        self._lines = 0
        return complete

    def _replace(self, start: int, line: Line) -> None:
        del self._buffer[start:]
        self._encode_into(line, self._buffer, -1)

    def _shorten(self, text: str) -> str:
        """Masked before it is cut, so that no half of a secret remains; made encodable."""
        masked = self._redactor.text(text[:_LONGEST_LINE])
        return masked[:_LONGEST_VALUE].encode("utf-8", "replace").decode()

    def _inspect(self, names: tuple[str, ...], start: int) -> None:
        """Remembers the names of the last line as clean, or masks the line."""
        texts = [text[:_LONGEST_LINE] for text in names]
        if any(self._redactor.text(text) != text for text in texts):
            self._buffer[start:] = self._masked(bytes(self._buffer[start:]))
            return
        if len(self._clean) > _MAX_CLEAN:
            self._clean = set()
        if all(len(text) <= _LONGEST_VALUE for text in names):
            self._clean.add(names)

    def _inspect_labels(self, outcome: Outcome, start: int) -> None:
        """What the caller and other providers added to the last line."""
        named = (outcome.user, *outcome.tags)
        if named not in self._clean:
            self._inspect(named, start)
        for attempt in outcome.failed or ():
            self._ids += (attempt.model, attempt.error, attempt.upstream_request_id)

    def _inspect_ids(self) -> None:
        """The same for ids that are all different, in one go."""
        redactor = self._redactor
        if self._generation != redactor.generation:
            self._generation = redactor.generation
            self._clean = set()
        ids = "\n".join(self._ids)
        self._ids.clear()
        if redactor.suspicious(ids):
            lines = bytes(self._buffer).splitlines()
            self._buffer[:] = b"".join([self._masked(line) + b"\n" for line in lines])

    def _masked(self, data: bytes) -> bytes:
        """Masks string by string: on encoded JSON a replacement could split an escape."""
        line = msgspec.json.decode(data, type=Line)
        return msgspec.json.encode(mapped(line, self._redactor.text))


def _line(outcome: Outcome, ts: str, spent: float) -> Line:
    """`x * 1e6 // 1.0 / 1e3` is milliseconds with three decimals, without a call."""
    started = outcome.started
    finished = outcome.finished
    called = outcome.upstream_started
    if outcome.failed:
        called = first_called(outcome)
    first_byte = outcome.first_byte
    verdict = outcome.verdict
    usage = outcome.usage
    return Line(
        ts,
        _LEVELS[verdict],
        "request",
        outcome.request_id,
        outcome.method,
        outcome.endpoint,
        outcome.dialect,
        outcome.lane,
        outcome.stream,
        outcome.provider,
        outcome.alias,
        outcome.request_model,
        outcome.upstream_model,
        outcome.response_model,
        outcome.status,
        verdict,
        outcome.error_code,
        tokens_of(usage) if usage is not None else None,
        (finished - started) * 1e6 // 1.0 / 1e3,
        (first_byte - started) * 1e6 // 1.0 / 1e3 if first_byte and outcome.stream else None,
        ((outcome.upstream_finished or finished) - called) * 1e6 // 1.0 / 1e3 if called else None,
        spent * 1e6 // 1.0 / 1e3,
        outcome.bytes_in,
        outcome.bytes_out,
        outcome.attempts,
        outcome.caller,
        outcome.peer,
        outcome.upstream_request_id,
        _losses(outcome.losses) if outcome.losses else None,
    )


def _losses(losses: Losses) -> list[str]:
    """`tools[2] dropped: this provider has no ...`, the first few."""
    return [f"{x.path[:128]} {x.how}: {x.reason[:256]}" for x in losses[:_MOST_LOSSES]]


def _with_labels(line: Line, outcome: Outcome) -> Line:
    """The line of a request with failed attempts or labels of its caller; most have neither."""
    failed = [tried(outcome, attempt) for attempt in (outcome.failed or ())[:_MOST_ATTEMPTS]]
    return structs.replace(
        line, failed_attempts=failed or None, tags=outcome.tags, user=outcome.user
    )
