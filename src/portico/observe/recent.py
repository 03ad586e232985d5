"""The last requests of a worker, for people who ask what became of one.

Records are kept as they are, without their bodies, and are read only when somebody asks: then every
string is cut and passes the redactor, like the lines of the access log.
"""

import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from msgspec import Struct, structs

from portico.model.losses import Loss
from portico.model.outcome import Outcome
from portico.observe.attempts import Tried, all_tried, millis
from portico.observe.redact import Redactor, mapped
from portico.observe.times import first_called, overhead, stamp
from portico.observe.tokens import Tokens, tokens_of

_LONG = 1024
"""Characters of two names of a record together; beyond this each is cut before it is kept."""
_LONGEST = 512
_READ = 8 * _LONGEST
"""Characters that are looked at for secrets before a text is cut."""
_MOST = 32
"""Entries kept of losses, attempts and tags."""
_MEMO = 1000


class RequestQuery(Struct, frozen=True, kw_only=True):
    """Which requests: all that is given has to hold. `status` is a code (`429`) or a class (`5xx`);
    `provider` and `model` count for every attempt, `model` by any of its names."""

    limit: int = 100
    status: str = ""
    provider: str = ""
    model: str = ""
    verdict: str = ""


class RequestRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request in a list. Times in milliseconds."""

    id: str
    ended_at: str
    method: str = ""
    endpoint: str = ""
    provider: str = ""
    model: str = ""
    request_model: str = ""
    stream: bool = False
    status: int = 0
    verdict: str = ""
    error_code: str = ""
    attempt_count: int = 0
    duration_ms: float = 0.0
    ttft_ms: float | None = None
    tokens: Tokens | None = None


class Timings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Milliseconds from the end of the request's head: `before_ms` to the first attempt,
    `upstream_first_byte_ms` to the provider's first byte, `first_byte_ms` to the first byte sent,
    `total_ms` to the end. `upstream_ms`: from the first attempt to the provider's last byte."""

    total_ms: float
    overhead_ms: float
    before_ms: float | None = None
    upstream_ms: float | None = None
    upstream_first_byte_ms: float | None = None
    first_byte_ms: float | None = None


class RequestDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is known of one request. `cause` is for the operator only."""

    id: str
    started_at: str
    ended_at: str
    timings: Timings
    method: str = ""
    endpoint: str = ""
    operation: str = ""
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
    error_code: str = ""
    cause: str = ""
    attempts: tuple[Tried, ...] = ()
    tokens: Tokens | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    losses: tuple[Loss, ...] = ()
    caller: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    user: str = ""
    peer: str = ""
    upstream_request_id: str = ""


class Recent:
    """The last `limit` records. `offset` is wall clock minus the clock of the records."""

    __slots__ = ("_kept", "_offset", "_redactor")

    def __init__(
        self,
        limit: int,
        redactor: Redactor,
        offset: Callable[[], float] = lambda: time.time() - time.monotonic(),
    ) -> None:
        self._kept: deque[Outcome] = deque(maxlen=limit)
        self._redactor = redactor
        self._offset = offset

    def keep(self, limit: int) -> None:
        """Remember so many from now on, the newest of those known included."""
        if limit != self._kept.maxlen:
            self._kept = deque(self._kept, maxlen=limit)

    def add(self, finished: list[Outcome]) -> None:
        """Requests that are over, oldest first."""
        kept = self._kept
        if not kept.maxlen:
            return
        for outcome in finished:
            # Of an answer that went well only two names are of any length: the upstream's name of
            # the model is the operator's, or follows from the caller's.
            long = (
                outcome.verdict != "ok"
                or outcome.losses
                or outcome.failed
                or outcome.user
                or outcome.tags
                or len(outcome.request_model) + len(outcome.response_model) > _LONG
            )
            kept.append(self._cut(outcome) if long else outcome)

    def rows(self, query: RequestQuery) -> list[RequestRow]:
        """Those that match, newest first."""
        offset, clean = self._offset(), self._cleaner()
        found = (outcome for outcome in reversed(self._kept) if _matches(outcome, query))
        rows = [_row(outcome, offset) for outcome in islice(found, query.limit)]
        return [mapped(row, clean) for row in rows]

    def find(self, id: str) -> RequestDetail | None:
        """The request of that id, if it is remembered."""
        for outcome in reversed(self._kept):
            if outcome.request_id == id:
                return mapped(_detail(outcome, self._offset()), self._cleaner())
        return None

    def _cut(self, outcome: Outcome) -> Outcome:
        """One that holds no more than it should, whatever the peers have sent."""
        short = self._short
        losses, failed = outcome.losses or (), outcome.failed or ()
        if not (losses or failed or outcome.tags) and _is_short(outcome):
            return outcome
        return structs.replace(
            outcome,
            request_model=short(outcome.request_model),
            upstream_model=short(outcome.upstream_model),
            response_model=short(outcome.response_model),
            error_code=outcome.error_code and short(outcome.error_code),
            error_debug=short(outcome.error_debug),
            user=short(outcome.user),
            tags=tuple([short(tag) for tag in outcome.tags[:_MOST]]),
            losses=[Loss(short(x.path), x.how, short(x.reason)) for x in losses[:_MOST]],
            failed=[
                structs.replace(x, model=short(x.model), error=short(x.error))
                for x in failed[:_MOST]
            ],
        )

    def _short(self, text: str) -> str:
        """Masked before it is cut, so that no half of a secret remains."""
        if len(text) <= _LONGEST:
            return text
        return self._redactor.text(text[:_READ])[:_LONGEST]

    def _cleaner(self) -> Callable[[str], str]:
        """Makes text fit to be shown; what repeats is looked at once."""
        known: dict[str, str] = {}
        redact = self._redactor.text

        def clean(text: str) -> str:
            found = known.get(text)
            if found is None:
                found = redact(text)[:_LONGEST].encode("utf-8", "replace").decode()
                if len(known) < _MEMO:
                    known[text] = found
            return found

        return clean


def _is_short(outcome: Outcome) -> bool:
    """Whether its texts together are of an ordinary length."""
    names = len(outcome.request_model) + len(outcome.upstream_model) + len(outcome.response_model)
    error = len(outcome.error_code or "") + len(outcome.error_debug)
    return names + error + len(outcome.user) <= _LONG


def _matches(outcome: Outcome, query: RequestQuery) -> bool:
    if query.status and query.status not in (str(outcome.status), f"{outcome.status // 100}xx"):
        return False
    if query.verdict and query.verdict != outcome.verdict:
        return False
    failed = outcome.failed or ()
    if query.provider and query.provider not in (outcome.provider, *[x.provider for x in failed]):
        return False
    if not query.model:
        return True
    names = (outcome.alias, outcome.request_model, outcome.upstream_model)
    return query.model in (*names, *[x.model for x in failed])


def _row(outcome: Outcome, offset: float) -> RequestRow:
    return RequestRow(
        id=outcome.request_id,
        ended_at=stamp(outcome.finished + offset),
        method=outcome.method,
        endpoint=outcome.endpoint,
        provider=outcome.provider,
        model=outcome.alias,
        request_model=outcome.request_model,
        stream=outcome.stream,
        status=outcome.status,
        verdict=outcome.verdict,
        error_code=outcome.error_code or "",
        attempt_count=outcome.attempts,
        duration_ms=millis(outcome.finished - outcome.started),
        ttft_ms=_since(outcome.started, outcome.first_byte) if outcome.stream else None,
        tokens=tokens_of(outcome.usage) if outcome.usage is not None else None,
    )


def _detail(outcome: Outcome, offset: float) -> RequestDetail:
    return RequestDetail(
        id=outcome.request_id,
        started_at=stamp(outcome.started + offset),
        ended_at=stamp(outcome.finished + offset),
        timings=_timings(outcome),
        method=outcome.method,
        endpoint=outcome.endpoint,
        operation=outcome.operation,
        dialect=outcome.dialect,
        lane=outcome.lane,
        stream=outcome.stream,
        provider=outcome.provider,
        model=outcome.alias,
        request_model=outcome.request_model,
        upstream_model=outcome.upstream_model,
        response_model=outcome.response_model,
        status=outcome.status,
        verdict=outcome.verdict,
        error_code=outcome.error_code or "",
        cause=outcome.error_debug,
        attempts=all_tried(outcome),
        tokens=tokens_of(outcome.usage) if outcome.usage is not None else None,
        bytes_in=outcome.bytes_in,
        bytes_out=outcome.bytes_out,
        losses=tuple(outcome.losses or ()),
        caller=outcome.caller or {},
        tags=outcome.tags,
        user=outcome.user,
        peer=outcome.peer,
        upstream_request_id=outcome.upstream_request_id,
    )


def _timings(outcome: Outcome) -> Timings:
    started, called = outcome.started, first_called(outcome)
    upstream_end = outcome.upstream_finished or outcome.finished
    return Timings(
        total_ms=millis(outcome.finished - started),
        overhead_ms=millis(overhead(outcome)),
        before_ms=_since(started, called),
        upstream_ms=_since(called, upstream_end) if called else None,
        upstream_first_byte_ms=_since(started, outcome.upstream_first_byte),
        first_byte_ms=_since(started, outcome.first_byte),
    )


def _since(start: float, moment: float) -> float | None:
    """Milliseconds to a moment; None for one that never was."""
    return millis(moment - start) if moment else None
