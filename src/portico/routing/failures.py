"""What kind of failure an error is: what to try next depends on it, and whose health."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from portico.dialects.upstream_error import TOO_LONG
from portico.errors import (
    Overloaded,
    PorticoError,
    UpstreamAuth,
    UpstreamFault,
    UpstreamProtocol,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from portico.limits import UPSTREAM_CONNECTIONS

Kind: TypeAlias = Literal[
    "connect",  # no connection: DNS, TCP, TLS
    "stale",  # a kept connection was closed by the other side just then
    "timeout",
    "late",  # silent until a deadline that was shorter than the target is allowed
    "truncated",
    "protocol",  # what came is not an answer
    "full",  # this gateway has too many connections to the place
    "status",  # an error status that is no other kind
    "limited",  # 429
    "auth",  # the provider refused the credential: another one may be good
    "context",  # the conversation is too long for the model
    "missing",  # the provider does not have the model
    "unfit",  # the request cannot be said without losses to this provider, which is not wanted
    "final",  # the caller's doing, or ours: the same everywhere
]


class Failure(Struct, frozen=True, gc=False):
    """One failure. `status` is the provider's, 0 where it gave none; `retry_after` in seconds."""

    kind: Kind
    status: int = 0
    retry_after: float | None = None
    code: str = ""


TARGETS_FAULT = frozenset(("connect", "timeout", "truncated", "protocol"))
"""Kinds that say that the target is not well, whatever its rules say of statuses."""
REPEATABLE = frozenset(("connect", "stale", "truncated", "full", "status", "limited"))
"""Kinds that may go well at the same place a moment later. A provider that was silent until the
deadline is not asked the same again, and one that does not speak HTTP will not learn it."""

_BY_TYPE: tuple[tuple[type[PorticoError], Kind], ...] = (
    (UpstreamUnreachable, "connect"),
    (UpstreamTimeout, "timeout"),
    (UpstreamProtocol, "protocol"),
    (Overloaded, "full"),
)
LOSSY = "lossy_translation"
"""The code of a request that a model with `onLoss: reject` does not take."""
EMPTY_SUMMARY = "empty_summary"
"""The code of an answer that should have been a summary and says nothing: what a caller may ask
for."""
_OUR_BOUNDS = frozenset(("responseBytes", "sseFrameBytes"))
"""Limits of this gateway that a good answer may be too large for."""
_MISSING = frozenset(("model_not_found", "not_found_error"))
_LONGEST_DELAY = 86_400.0


def failure_of(error: PorticoError, now: float) -> Failure:
    """What went wrong. `now` is Unix seconds, for delays that are dates."""
    code = error.code or ""
    if isinstance(error, UpstreamTimeout) and error.hurried:
        return Failure("late", code=code)
    if code == LOSSY:
        return Failure("unfit", code=code)
    if code == EMPTY_SUMMARY or (
        isinstance(error, UpstreamProtocol) and error.limit in _OUR_BOUNDS
    ):
        return Failure("final", error.http_status, code=code)
    if isinstance(error, UpstreamTruncated):
        return Failure("stale" if error.stale else "truncated", code=code)
    if code == TOO_LONG:
        asked = isinstance(error, UpstreamFault)  # or this gateway could count for itself
        return Failure("context", error.http_status if asked else 0, code=code)
    if isinstance(error, UpstreamAuth):
        if not error.upstream_status:  # it was not asked: this gateway has no credential just now
            return Failure("connect", code=code)
        # 403 is about what was asked for as often as about the key: a moderated text, a region.
        refused: Kind = "status" if error.upstream_status == 403 else "auth"
        return Failure(refused, error.upstream_status, code=code)
    if isinstance(error, Overloaded) and error.limit != UPSTREAM_CONNECTIONS:
        return Failure("final", error.http_status, code=code)
    if isinstance(error, UpstreamRejected):
        status = error.http_status
        delay = retry_after(error.retry_after, now)
        if status == 429:
            return Failure("limited", status, delay, code)
        if status == 404 and code in _MISSING:
            return Failure("missing", status, code=code)
        return Failure("status", status, delay, code)
    for kind, name in _BY_TYPE:
        if isinstance(error, kind):
            return Failure(name, error.upstream_status, code=code)
    return Failure("final", error.http_status, code=code)


def retry_after(text: str | None, now: float) -> float | None:
    """Seconds, of a number or a date (RFC 9110 section 10.2.3); None for neither."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
            # One of the three forms of a date does not say so, but it is always GMT.
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
        except (ValueError, OverflowError):
            return None
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), _LONGEST_DELAY)
