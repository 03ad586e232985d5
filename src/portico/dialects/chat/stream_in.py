"""A chat stream of a provider as events."""

from msgspec import Raw

from portico.dialects.chat import chunks
from portico.dialects.chat.assemble import Assembler
from portico.dialects.chat.maps import quirks_for
from portico.dialects.chat.response_in import fault_in, first_choice, groq_fault, usage_in
from portico.dialects.counts import NULL, larger
from portico.dialects.translate import Upstream
from portico.errors import UpstreamFault
from portico.model.events import Event, Failed, Started, UsageSeen
from portico.model.usage import Usage
from portico.wire.sse import frame_data, iter_frames

_read_chunk = chunks.reader(chunks.Chunk)
_DONE = b"[DONE]"

_BRACE = ord("{")


class ChatStreamIn:
    """Reads one stream (see `dialects.translate.StreamIn`).

    The finish reason is held until usage, `[DONE]` or the end of the connection follows it, for
    usage comes after it. `[DONE]` also ends an answer that gave no reason; the end of the
    connection alone does not: that stream was cut.
    """

    __slots__ = ("_answer", "_done", "_finish", "_started", "_tier", "_usage")

    def __init__(self, upstream: Upstream) -> None:
        quirks = quirks_for(upstream.provider, upstream.model, upstream.quirks)
        self._answer = Assembler(upstream.origin, quirks, whole=False)
        self._started = False
        self._finish: str | None = None
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._done = False

    @property
    def held_usage(self) -> Usage | None:
        """See `StreamIn`: some servers count in every chunk."""
        return None if self._done else self._usage

    def feed(self, frames: bytes) -> list[Event]:
        """The events of these whole frames."""
        out: list[Event] = []
        for frame in iter_frames(frames):
            data = frame_data(frame)
            if not data or self._done:
                continue
            if data[:1] != b"{" and data.strip() == _DONE:
                if self._started and self._finish is None:
                    self._finish = ""
                self._close(out)
                continue
            chunk = _read_chunk(data)
            if chunk is None:
                continue
            if chunk.choices or (chunk.object != "error" and frame[:12] != b"event: error"):
                self._chunk(chunk, out)
            else:
                self._failed(fault_in(Raw(data) if chunk.error is NULL else chunk.error), out)
        return out

    def end(self) -> list[Event]:
        """The finish that was held back, if there is one."""
        out: list[Event] = []
        self._close(out)
        return out

    def _chunk(self, chunk: chunks.Chunk, out: list[Event]) -> None:
        told = chunk.error is not NULL or chunk.x_groq is not NULL
        if told and self._failed(fault_in(chunk.error) or groq_fault(chunk.x_groq), out):
            return
        choices = chunk.choices
        if not self._started and (choices or chunk.model):
            self._started = True
            out.append(Started(chunk.id or "", chunk.model or "", chunk.service_tier))
            self._answer.seed(chunk.id, chunk.created)
        if chunk.service_tier:
            self._tier = chunk.service_tier
        if choices:
            choice = first_choice(chunk)
            if choice is not None and self._choice(choice, out):
                return
        if chunk.citations or chunk.search_results:
            self._answer.cite(chunk.citations, chunk.search_results)
        # Most servers write `"usage":null` into every chunk but one.
        if memoryview(chunk.usage)[0] == _BRACE or chunk.x_groq is not NULL:
            usage = usage_in(chunk)
            if usage is not None:
                self._usage = larger(self._usage, usage)
                if self._finish is not None:
                    self._close(out)

    def _choice(self, choice: chunks.Choice, out: list[Event]) -> bool:
        """Whether it says that the answer failed."""
        if choice.error is not NULL and self._failed(fault_in(choice.error), out):
            return True
        delta = choice.delta or choice.message
        if delta is not None:
            self._answer.feed(delta, choice.logprobs, out)
        if choice.finish_reason:
            self._finish = choice.finish_reason
        return False

    def _failed(self, fault: UpstreamFault | None, out: list[Event]) -> bool:
        if fault is None:
            return False
        self._done = True
        out.append(Failed(fault))
        return True

    def _close(self, out: list[Event]) -> None:
        if self._finish is None or self._done:
            return
        self._done = True
        ending: list[Event] = []
        self._answer.finish(self._finish, self._tier, ending)
        if self._usage is not None:
            ending.insert(len(ending) - 1, UsageSeen(self._usage))
        out.extend(ending)
