"""The beginning of a spliced stream, held back until it says something.

A 200 cannot be taken back, and the first frames of an answer are written before the provider knows
whether it can answer: what fails behind them can still be asked of somebody else as long as nobody
was told. The bytes are the provider's and stay as they are; only a frame that says it failed is
read, and only where that could change anything. Nor does such a frame quote the operator's key.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from portico.dialects.base import Dialect
from portico.dialects.counts import UNREADABLE
from portico.dialects.translators import UPSTREAMS, Uplink
from portico.errors import PorticoError, UpstreamFault
from portico.gateway.target import Patience, Target
from portico.model.outcome import Outcome
from portico.model.sequence import Sequencer
from portico.wire.sse import frame_data, iter_frames

REDACTED = b"[redacted]"
MOST_HELD = 256 * 1024
"""Bytes. An answer that says nothing for longer is passed on like any other."""
_UNTOLD = 502
"""The status of an error that cannot be read."""

Retry: TypeAlias = Callable[[PorticoError], bool]
"""Whether another attempt would follow this error."""


class Peek:
    """What was held of one stream. `retry` None: whatever happens, this attempt is the last."""

    __slots__ = ("_dialect", "_held", "_model", "_retry", "_size", "_target")

    def __init__(self, dialect: Dialect, target: Target, model: str, retry: Retry | None) -> None:
        self._dialect = dialect
        self._target = target
        self._model = model
        self._retry = retry
        self._held: list[bytes] = []
        self._size = 0

    def holds(self, block: bytes) -> bool:
        """Whether these frames say nothing yet; they are kept if so.

        Raises the provider's fault for a frame that says it failed, if that will be retried.
        """
        size = self._size + len(block)
        if size > MOST_HELD:
            return False
        opening = self._dialect.opening
        for frame in iter_frames(block):
            sight = opening(frame)
            if sight == "nothing":
                continue
            if sight == "error" and self._retry is not None:
                fault = self._fault(block, frame)
                if fault is not None and self._retry(fault):
                    raise fault
            return False
        self._held.append(block)
        self._size = size
        return True

    def clean(self, block: bytes) -> bytes:
        """The frames with which the answer begins, as the client may see them: where one of them
        says that the provider failed, the operator's key is not quoted."""
        secret = self._target.secret
        if secret and secret in block:
            opening = self._dialect.opening
            if any(opening(frame) == "error" for frame in iter_frames(block)):
                return block.replace(secret, REDACTED)
        return block

    def take(self) -> bytes:
        """What was held; it is forgotten here."""
        held = b"".join(self._held)
        self._held.clear()
        return held

    def _fault(self, block: bytes, frame: bytes) -> UpstreamFault | None:
        """What the provider says in `frame` of `block` went wrong; None where it only seemed to."""
        target, uplink = self._target, UPSTREAMS[self._dialect.name]
        upstream = uplink.upstream(target.kind, target.origin, target.quirks, self._model)
        frames = b"".join((*self._held, block))
        if target.secret:
            frames = frames.replace(target.secret, REDACTED)
            frame = frame.replace(target.secret, REDACTED)
        sequencer, reader = Sequencer(), uplink.side.stream(upstream)
        sequencer.feed(reader.feed(frames))
        sequencer.feed(reader.end())  # a reason to finish may be held until then
        if sequencer.fault is not None:
            return sequencer.fault
        return _unread(uplink, frame_data(frame))


def _unread(uplink: Uplink, data: bytes) -> UpstreamFault | None:
    """The fault of an error frame that nests too deep or is no text; None for one that is JSON."""
    try:
        msgspec.json.decode(data)
    except UNREADABLE:
        return uplink.side.read_error(_UNTOLD, {}, data)
    return None


def first_token_by(target: Target | Patience, outcome: Outcome) -> float:
    """When this attempt has to have said something (monotonic seconds)."""
    return outcome.upstream_started + target.first_token
