"""Relaying one event stream: the provider's bytes to the client, whole frames at a time.

The tap reads along; nothing is rewritten, except that a usage chunk which only the gateway asked
for is left out. The answer's head is held back until a frame says something (`peek`): what dies
before it can be asked of another provider, or becomes a plain HTTP error. After that the rule is
promise 1: a cut stream never looks finished. It ends with the dialect's error frame, without the
terminal marker, and without the last chunk of the HTTP body.
"""

from time import monotonic
from typing import Protocol

from portico.dialects.base import Tap
from portico.errors import PorticoError, UpstreamProtocol, UpstreamTimeout, UpstreamTruncated
from portico.gateway.peek import Peek
from portico.gateway.translation import Translation
from portico.http.deadlines import NEVER
from portico.http.messages import Reply
from portico.http.upstream import UpstreamConnection
from portico.model.outcome import Outcome
from portico.state.recording import RecordingTap
from portico.wire.sse import KEEP_ALIVE, Frames

PROBE = b": \n\n"
LATE = "The provider did not begin to answer in time."


class Framer(Protocol):
    """Cuts a byte stream into whole frames."""

    @property
    def pending(self) -> bytes:
        """The unfinished frame at the end."""

    def feed(self, data: bytes) -> bytes:
        """The longest run of whole frames so far."""


class StreamRelay:
    """One stream's way through. `feed` is called from the socket; everything else from the task.

    Without `peek` the answer begins with the first whole frame. `first_token` is when it has to
    have begun (monotonic seconds). Without such a deadline a client is kept waiting for
    `keep_alive` seconds at most: then the answer begins with whatever is there.
    """

    __slots__ = (
        "_connection", "_first_token", "_frames", "_headers", "_keep_alive", "_outcome", "_peek",
        "_reply", "_tap", "deadline",
    )  # fmt: skip

    def __init__(
        self,
        connection: UpstreamConnection,
        reply: Reply,
        tap: Tap,
        outcome: Outcome,
        headers: bytes,
        frames: "Framer",
        keep_alive: float,
        peek: Peek | None = None,
        first_token: float = NEVER,
    ) -> None:
        self._connection = connection
        self._reply = reply
        self._tap = tap
        self._outcome = outcome
        self._headers = headers
        self._frames = frames
        self._keep_alive = keep_alive
        self._peek = peek
        self._first_token = self.deadline = first_token
        if peek is not None:
            self._wait()

    def feed(self, data: bytes) -> None:
        """Take bytes from the provider. Raises its fault if it failed before it said anything, and
        that will be retried."""
        block = self._frames.feed(data)
        if block:
            if self._outcome.first_byte == 0.0:
                peek = self._peek
                if peek is None:
                    self._open(block)
                elif not peek.holds(block):
                    self._open(peek.clean(block))
                return
            self._reply.write(self._tap.feed(block))

    def flush(self) -> None:
        """The provider ended its answer well, as far as HTTP goes: pass on what is left of it."""
        tail = self._frames.pending
        if not tail:
            return
        # A last frame without its blank line. Passed on as it is when it ends the stream;
        # otherwise it is half a frame, and the error frame must not be glued to it.
        whole = tail + b"\n\n"
        if self._outcome.first_byte != 0.0:
            if self._tap.feed(whole) and self._tap.finished:
                self._reply.write(tail)
            return
        peek = self._peek
        if peek is not None:
            if peek.holds(whole):
                return
            whole = peek.clean(whole)
        held = self._take()
        kept = self._tap.feed(whole)
        if self._tap.finished and kept:
            self._begin()
            self._reply.write(held + whole[:-2])
        elif isinstance(self._tap, RecordingTap) and self._tap.committing:
            self._begin()
            self._reply.write(held)

    def finish(self) -> None:
        """End the answer. Raises `UpstreamTruncated` if it did not come to its end."""
        if not self._tap.finished:
            raise UpstreamTruncated("The provider's stream ended without its terminal event.")
        self._reply.end()

    def cut(self, fault: PorticoError) -> None:
        """The stream cannot be completed. Nothing is sent when the client has it all already."""
        if self._tap.finished:
            self._reply.end()
            return
        self._reply.write(self._tap.truncation_frames(fault))
        self._reply.abort()

    def drop(self) -> None:
        """The answer did not begin: what was held of it is only read, for the record."""
        self._take()

    def expire(self, now: float) -> None:
        """`Sweeper`: tell a waiting client that the line is alive, if the provider is silent."""
        if self._outcome.first_byte == 0.0:
            if now >= self._first_token:
                self.deadline = NEVER
                self._connection.fail(UpstreamTimeout(LATE, limit="firstToken"))
                return
            self._open(b"")
        last = self._connection.last_read
        if now - last >= self._keep_alive and not self._tap.finished:
            self._reply.write(KEEP_ALIVE)
            last = now
        self.deadline = last + self._keep_alive

    def _wait(self) -> None:
        if self._first_token == NEVER and self._keep_alive:
            self.deadline = self._connection.last_read + self._keep_alive

    def _open(self, block: bytes) -> None:
        """Begin the answer with what was held, and `block`."""
        out = self._take()
        if block:
            out += self._tap.feed(block)
        self._begin()
        self._reply.write(out)

    def _take(self) -> bytes:
        """What the client gets of what was held, which the tap has read now."""
        held = self._peek.take() if self._peek is not None else b""
        return self._tap.feed(held) if held else b""

    def _begin(self) -> None:
        outcome = self._outcome
        outcome.upstream_spoke = self._connection.last_read
        outcome.first_byte = monotonic()
        outcome.status = 200
        self._reply.start(200, self._headers, None)
        self._reply.probe = PROBE
        keep_alive = self._keep_alive
        self.deadline = outcome.first_byte + keep_alive if keep_alive else NEVER


class TranslateRelay(StreamRelay):
    """The same for a tap that writes another dialect: what is held back comes at the end.

    `translation` is that tap, or inside it, and holds the beginning itself. `most` bounds the
    provider's bytes: the other dialect may need the whole answer once more at its end, and what
    belongs to later items is held until their turn comes.
    """

    __slots__ = ("_left", "_translation")

    def __init__(
        self,
        connection: UpstreamConnection,
        reply: Reply,
        tap: Tap,
        outcome: Outcome,
        headers: bytes,
        frames: "Framer",
        keep_alive: float,
        most: int,
        translation: Translation,
        first_token: float = NEVER,
    ) -> None:
        super().__init__(
            connection, reply, tap, outcome, headers, frames, keep_alive, None, first_token
        )
        self._left = most
        self._translation = translation
        self._wait()

    def feed(self, data: bytes) -> None:
        """Take bytes from the provider. The head waits until there is something to tell.

        Raises `UpstreamProtocol` over `limits.response_bytes`, and the provider's fault if it
        failed before that.
        """
        self._left -= len(data)
        if self._left < 0:
            raise too_large()
        block = self._frames.feed(data)
        if block:
            out = self._tap.feed(block)
            if out:
                if self._outcome.first_byte == 0.0:
                    self._begin()
                self._reply.write(out)

    def flush(self) -> None:
        """The provider ended its answer well, as far as HTTP goes: pass on what is left of it."""
        tail = unfinished(self._frames)
        if tail:
            self._pass(self._tap.feed(tail))
        self._pass(self._tap.end())

    def _open(self, block: bytes) -> None:
        self._translation.open()
        out = self._tap.feed(block)
        self._begin()
        self._reply.write(out)

    def _pass(self, out: bytes) -> None:
        if out:
            if self._outcome.first_byte == 0.0:
                self._begin()
            self._reply.write(out)


def unfinished(frames: Framer) -> bytes:
    """A last frame without its blank line, made whole. Half a binary message is none."""
    return frames.pending + b"\n\n" if isinstance(frames, Frames) and frames.pending else b""


def too_large() -> UpstreamProtocol:
    """The fault for an answer over `limits.response_bytes`."""
    return UpstreamProtocol(
        "The provider's answer is larger than this gateway passes on.", limit="responseBytes"
    )


class BodyRelay:
    """A body too large to hold: passed on as it comes, its last bytes kept for the usage."""

    __slots__ = ("_limit", "_reply", "_size", "_tail")

    TAIL = 64 * 1024

    def __init__(self, reply: Reply, limit: int) -> None:
        self._reply = reply
        self._limit = limit
        self._size = 0
        self._tail = b""

    @property
    def tail(self) -> bytes:
        """The last 64 KiB, or all of it."""
        return self._tail

    def feed(self, data: bytes) -> None:
        """Take bytes from the provider. Raises `UpstreamProtocol` over `limits.response_bytes`."""
        self._size += len(data)
        if self._size > self._limit:
            raise too_large()
        self._tail = (self._tail + data)[-self.TAIL :]
        self._reply.write(data)


class BodyGather:
    """Gathers a body that does not say how long it is, or is too large for one piece."""

    __slots__ = ("_limit", "_pieces", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take bytes from the provider. Raises `UpstreamProtocol` over `limits.response_bytes`."""
        self.count(data)
        self._pieces.append(data)

    def count(self, data: bytes) -> None:
        """Only count the bytes. Raises like `feed`."""
        self._size += len(data)
        if self._size > self._limit:
            raise too_large()

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)
