"""A stream of Gemini as events.

Parts become items in the order they come. A `thoughtSignature` is kept in a reasoning item of its
own: `thought`, of the thought part it came with; `next`, before the call (or code, or picture) it
came with; `previous`, right behind the text it came with; `empty`, behind the text that an empty
part came after. The end is told once the stream has
ended, because a chunk with a finish reason is not always the last one.
"""

import re
import zlib

import msgspec
from msgspec import Raw

from portico.dialects.counts import NULL
from portico.dialects.gemini.errors import embedded
from portico.dialects.gemini.grounding import Sources
from portico.dialects.gemini.maps import FAILURES, FINISH, HOSTED_ITEMS
from portico.dialects.gemini.measures import logprobs, merge, usage
from portico.dialects.gemini.partial_args import Assembly
from portico.dialects.gemini.wire import (
    Blob,
    Candidate,
    Chunk,
    CodeResult,
    ExecutableCode,
    FunctionCall,
    Part,
    ServerCall,
    UsageMetadata,
    given,
    read,
    read_array,
    read_chunk,
)
from portico.dialects.translate import Upstream
from portico.errors import UpstreamFault, UpstreamRejected
from portico.model.arguments import EMPTY
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    ReasoningStart,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    UsageSeen,
)
from portico.model.items import Hosted
from portico.model.sealed import Sealed, SealedKind
from portico.model.usage import Usage
from portico.wire.sse import frame_data, iter_frames
from portico.wire.text import plain, scrub

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
_SILENT = "FINISH_REASON_UNSPECIFIED"
_PENDING = 64


class _PartialCall(msgspec.Struct):
    """A call whose arguments come in pieces."""

    name: str
    id: str
    assembly: Assembly
    signature: str | None = None
    whole: Raw = NULL


class _ServerCall(msgspec.Struct):
    """A call of the provider's own tool that waits for its response."""

    call: ServerCall
    raw: Raw
    signature: str | None


class Reader:
    """Reads one answer. Not reusable. See `translate.StreamIn`."""

    __slots__ = (
        "_calls", "_code", "_key", "_message", "_open", "_origin", "_partial",
        "_previous", "_reason", "_response", "_server", "_sources", "_started", "_text", "_told",
        "_usage", "ended",
    )  # fmt: skip

    def __init__(self, upstream: Upstream) -> None:
        self.ended = False
        """The end has been told."""
        self._origin = upstream.origin
        self._key = -1
        self._open: type[MessageStart] | type[ReasoningStart] | None = None
        self._previous: tuple[SealedKind, str] | None = None
        self._text: list[str] = []
        self._calls = 0
        self._partial: _PartialCall | None = None
        self._code: tuple[Raw, str] | None = None
        self._server: list[_ServerCall] = []
        self._sources: Sources | None = None
        self._told = False
        self._started = False
        self._response = ""
        self._reason = ""
        self._message = ""
        self._usage: UsageMetadata | None = None

    @property
    def held_usage(self) -> Usage | None:
        """See `StreamIn`: every chunk has counts."""
        return usage(self._usage) if self._usage is not None else None

    def feed(self, frames: bytes) -> list[Event]:
        """The events of whole frames."""
        out: list[Event] = []
        for frame in iter_frames(frames):
            data = frame_data(frame)
            if data and not self.ended:
                self.chunk(data, out)
        return out

    def end(self) -> list[Event]:
        """What was held back. Nothing if the answer has not said how it ended."""
        if self.ended or not self._reason:
            return []
        out: list[Event] = []
        self._flush(out)
        if self._open is MessageStart and self._sources is not None:
            for citation in self._sources.citations("".join(self._text)):
                out.append(CitationAdded(self._key, citation))  # noqa: PERF401
        self._close(out)
        search = self._sources.search(told=self._told) if self._sources is not None else None
        if search is not None:
            self._key += 1
            out.append(HostedDone(self._key, search))
        text = FAILURES.get(self._reason)
        if text is not None:
            detail = plain(scrub(self._message), 300)
            fault = UpstreamRejected(
                f"{text} {detail}".rstrip(), status=502, code=self._reason.lower()
            )
            return out + self.fail(fault)
        reason = FINISH.get(self._reason, "content_filter")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        self._tell_usage(out)
        out.append(Finish(reason, native=self._reason[:64]))
        self.ended = True
        return out

    def fail(self, fault: UpstreamFault) -> list[Event]:
        """The end of an answer that failed."""
        out: list[Event] = []
        self._tell_usage(out)
        out.append(Failed(fault))
        self.ended = True
        return out

    def chunk(self, data: bytes, out: list[Event]) -> bool:
        """Read one JSON text: a chunk, or an array of them. False if it is neither."""
        if data.lstrip(b" \t\r\n")[:1] == b"[":
            chunks = [read_chunk(bytes(raw)) for raw in read_array(data)]
        else:
            chunks = [read_chunk(data)]
        known = False
        for chunk in chunks:
            if chunk is not None and not self.ended:
                known = True
                self._chunk(chunk, out)
        return known

    def _chunk(self, chunk: Chunk, out: list[Event]) -> None:
        if chunk.usage_metadata is not None:
            self._usage = merge(self._usage, chunk.usage_metadata)
        if given(chunk.error):
            out += self.fail(embedded(bytes(chunk.error)))
            return
        if chunk.response_id:
            self._response = chunk.response_id
        if not self._started:
            self._started = True
            out.append(Started(self._response[:256], (chunk.model_version or "")[:256]))
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason and not self._reason:
            self._reason = f"PROMPT_{feedback.block_reason}"
        for candidate in chunk.candidates or ():
            if not candidate.index:
                self._candidate(candidate, out)

    def _candidate(self, candidate: Candidate, out: list[Event]) -> None:
        content = candidate.content
        if content is not None and content.parts:
            odds = logprobs(candidate.logprobs_result)
            for part in content.parts:
                text = part.text
                if text and not part.thought and part.thought_signature is None:
                    if self._open is not MessageStart:
                        self._begin_message(out)
                    self._text.append(text)
                    out.append(TextDelta(self._key, text, odds))
                    odds = None
                elif part.thought:
                    self._thought(part, out)
                elif text:
                    self._signed_text(text, part.thought_signature or "", odds, out)
                    odds = None
                else:
                    self._other(part, out)
        if given(candidate.grounding_metadata):
            self._found().ground(candidate.grounding_metadata)
        if given(candidate.citation_metadata):
            self._found().quote(candidate.citation_metadata)
        if candidate.finish_reason and candidate.finish_reason != _SILENT:
            self._reason = candidate.finish_reason
            self._message = candidate.finish_message or ""

    def _begin_message(self, out: list[Event]) -> None:
        self._flush(out)
        self._close(out)
        self._key += 1
        self._open = MessageStart
        self._text = []
        out.append(MessageStart(self._key))

    def _signed_text(self, text: str, signature: str, odds: Raw | None, out: list[Event]) -> None:
        """A second signature begins a second message: each stands behind the text it signs."""
        if self._open is not MessageStart or (self._previous is not None and signature):
            self._begin_message(out)
        self._text.append(text)
        out.append(TextDelta(self._key, text, odds))
        self._previous = ("previous", signature) if signature else self._previous

    def _thought(self, part: Part, out: list[Event]) -> None:
        """Pictures among the thoughts are drafts and left out."""
        if not part.text and not part.thought_signature:
            return
        if self._open is not ReasoningStart:
            self._flush(out)
            self._close(out)
            self._key += 1
            self._open = ReasoningStart
            out.append(ReasoningStart(self._key))
        if part.text:
            out.append(SummaryDelta(self._key, part.text))
        if part.thought_signature:
            sealed = Sealed(self._origin, "thought", part.thought_signature)
            out.append(SealedSeen(self._key, sealed))
            self._close(out)

    def _other(self, part: Part, out: list[Event]) -> None:
        signature = part.thought_signature or None
        if part.function_call is not None:
            self._function(part.function_call, signature, out)
        elif given(part.executable_code):
            self._flush(out)
            self._close(out)
            self._sign(signature, "next", out)
            code = read(part.executable_code, ExecutableCode) or ExecutableCode()
            self._code = (part.executable_code, code.code)
        elif given(part.code_execution_result):
            self._result(part.code_execution_result, signature, out)
        elif given(part.inline_data):
            self._picture(part.inline_data, signature, out)
        elif given(part.tool_call):
            call = read(part.tool_call, ServerCall)
            if call is not None and len(self._server) < _PENDING:
                self._server.append(_ServerCall(call, part.tool_call, signature))
        elif given(part.tool_response):
            self._answered(part.tool_response, signature, out)
        elif given(part.file_data):
            self._medium("fileData", part.file_data, signature, out)
        elif signature is not None:
            if self._open is MessageStart and self._previous is None:
                self._previous = ("empty", signature)
            else:
                self._flush(out)
                self._close(out)
                self._sign(signature, "empty", out)

    def _function(self, call: FunctionCall, signature: str | None, out: list[Event]) -> None:
        if call.name:
            self._flush(out)
            if not call.partial_args and not call.will_continue:
                self._call(call.name, call.id or "", _arguments(call.args), signature, out)
                return
            self._partial = _PartialCall(call.name, call.id or "", Assembly())
        partial = self._partial
        if partial is None:
            return
        partial.signature = partial.signature or signature
        partial.whole = call.args if given(call.args) else partial.whole
        partial.assembly.add(call.partial_args or [])
        if not call.will_continue:
            self._flush(out)

    def _call(
        self, name: str, call_id: str, arguments: str, signature: str | None, out: list[Event]
    ) -> None:
        self._close(out)
        self._sign(signature, "next", out)
        self._key += 1
        if not call_id:
            call_id = self._invented(name, arguments)
        self._calls += 1
        out.append(CallStart(self._key, call_id, name))
        out.append(ArgumentsDelta(self._key, arguments))
        out.append(ItemEnd(self._key))

    def _invented(self, name: str, arguments: str) -> str:
        """The same for the same answer however it is read, and not that of another answer."""
        base = _NOT_IN_IDS.sub("", self._response)[:40]
        if not base:
            base = f"{zlib.crc32(f'{name}{arguments}'.encode(errors='replace')):08x}"
        return f"call_{base}_{self._calls}"

    def _result(self, raw: Raw, signature: str | None, out: list[Event]) -> None:
        self._flush_call(out)
        self._close(out)
        result = read(raw, CodeResult) or CodeResult()
        code, self._code = self._code, None
        parts = [{"executableCode": code[0]}] if code is not None else []
        parts.append({"codeExecutionResult": raw})
        item = Hosted(
            type="code_interpreter_call",
            status="completed" if result.outcome == "OUTCOME_OK" else "failed",
            input=code[1] if code is not None else "",
            output=result.output or "",
            native=_native(parts),
        )
        self._hosted(item, out)
        self._sign(signature, "previous", out)

    def _picture(self, raw: Raw, signature: str | None, out: list[Event]) -> None:
        blob = read(raw, Blob)
        if blob is None or not blob.data:
            return
        if not blob.mime_type.startswith("image/"):
            self._medium("inlineData", raw, signature, out)
            return
        self._flush(out)
        self._close(out)
        self._sign(signature, "next", out)
        self._hosted(Hosted(type="image_generation_call", output=blob.data), out)

    def _medium(self, name: str, raw: Raw, signature: str | None, out: list[Event]) -> None:
        """Sound, video, an address: kept as it is, so that whoever writes the answer can declare
        it."""
        self._flush(out)
        self._close(out)
        self._sign(signature, "next", out)
        self._hosted(Hosted(type=name, native=_native([{name: raw}])), out)

    def _answered(self, raw: Raw, signature: str | None, out: list[Event]) -> None:
        answer = read(raw, ServerCall)
        if answer is None:
            return
        waiting = next((call for call in self._server if call.call.id == answer.id), None)
        if waiting is not None:
            self._server.remove(waiting)
            self._served(waiting, raw, out)
            self._sign(signature, "previous", out)

    def _served(self, waiting: _ServerCall, answer: Raw | None, out: list[Event]) -> None:
        kind = HOSTED_ITEMS.get(waiting.call.tool_type, waiting.call.tool_type[:64].lower())
        if not kind:
            return
        self._told = self._told or kind == "web_search_call"
        parts = [{"toolCall": waiting.raw}]
        if answer is not None:
            parts.append({"toolResponse": answer})
        self._close(out)
        self._sign(waiting.signature, "next", out)
        item = Hosted(
            type=kind,
            status="completed" if answer is not None else "incomplete",
            input=_asked(waiting.call.args),
            native=_native(parts),
        )
        self._hosted(item, out)

    def _flush(self, out: list[Event]) -> None:
        """Code without a result and a call without its last piece end where something follows."""
        if self._partial is not None:
            self._flush_call(out)
        code, self._code = self._code, None
        if code is not None:
            item = Hosted(
                type="code_interpreter_call", status="incomplete", input=code[1],
                native=_native([{"executableCode": code[0]}]),
            )  # fmt: skip
            self._hosted(item, out)
        if self._reason:
            for waiting in self._server:
                self._served(waiting, None, out)
            self._server = []

    def _flush_call(self, out: list[Event]) -> None:
        partial, self._partial = self._partial, None
        if partial is not None:
            whole = partial.whole
            text = _arguments(whole) if given(whole) else partial.assembly.text()
            self._call(partial.name, partial.id, text, partial.signature, out)

    def _close(self, out: list[Event]) -> None:
        if self._open is None:
            return
        self._open = None
        out.append(ItemEnd(self._key))
        previous, self._previous = self._previous, None
        if previous is not None:
            self._sign(previous[1], previous[0], out)

    def _sign(self, signature: str | None, kind: SealedKind, out: list[Event]) -> None:
        if signature:
            self._key += 1
            out.append(ReasoningStart(self._key))
            out.append(SealedSeen(self._key, Sealed(self._origin, kind, signature)))
            out.append(ItemEnd(self._key))

    def _hosted(self, item: Hosted, out: list[Event]) -> None:
        self._key += 1
        out.append(HostedDone(self._key, item))

    def _found(self) -> Sources:
        if self._sources is None:
            self._sources = Sources()
        return self._sources

    def _tell_usage(self, out: list[Event]) -> None:
        if self._usage is not None:
            out.append(UsageSeen(usage(self._usage)))
            self._usage = None


def _native(parts: list[dict[str, Raw]]) -> tuple[str, Raw]:
    """Parts as they came, without white space between their members."""
    return "gemini", Raw(msgspec.json.format(msgspec.json.encode(parts), indent=-1))


def _arguments(args: Raw) -> str:
    """Compact: a whole answer is indented, a streamed one is not."""
    if not given(args):
        return EMPTY
    return msgspec.json.format(bytes(args), indent=-1).decode(errors="replace")


def _asked(args: Raw) -> str:
    """The queries or addresses of a server-side call, one per line."""
    members = read(args, dict[str, Raw]) or {}
    for name in ("queries", "urls", "query", "url"):
        many = read(members.get(name), list[str])
        if many:
            return "\n".join(many)
        one = read(members.get(name), str)
        if one:
            return one
    return ""


def stream(upstream: Upstream) -> Reader:
    """The reader of a stream."""
    return Reader(upstream)
