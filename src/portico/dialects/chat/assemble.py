"""Makes the events of one answer of messages and their fragments.

A whole answer is read as one big fragment, so that both ways give the same items. What servers do
differently, and is met here (as known on 2026-11-21):
- calls are told apart by `index`, else by `id`; Gemini's shim gives every call index 0; some send
  the id again with each fragment, the name late or as "", or several calls in one chunk
- reasoning is `reasoning_content` (DeepSeek, Moonshot, vLLM), `reasoning` (OpenRouter, Groq,
  Together, Cerebras, Ollama), `reasoning_details` (OpenRouter), parts of `content` (Mistral),
  `<think>` in the text, or text marked as thought (Gemini's shim)
- `citations` and `search_results` stand beside the choices (Perplexity)
"""

import hashlib

import msgspec
from msgspec import Raw, Struct

from portico.dialects.chat import chunks
from portico.dialects.chat.details import Details
from portico.dialects.chat.maps import Quirks
from portico.dialects.chat.reasons import FAILURES, FINISH_REASONS
from portico.dialects.chat.think import ThinkTags
from portico.dialects.counts import NULL, UNREADABLE, is_text
from portico.dialects.media import source
from portico.errors import UpstreamProtocol, UpstreamRejected
from portico.model.arguments import EMPTY, is_object
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    FinishReason,
    HostedDone,
    ItemEnd,
    MessageStart,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
)
from portico.model.items import Hosted, ToolKind
from portico.model.parts import Citation
from portico.model.sealed import Sealed, SealedKind
from portico.wire.json import encode

_read_part = chunks.reader(chunks.Part)
_read_annotation = chunks.reader(chunks.Annotation)
_read_extra = chunks.reader(chunks.Extra)
_read_picture = chunks.reader(chunks.Picture)
_read_sound = chunks.reader(chunks.Sound)
_read_result = chunks.reader(chunks.SearchResult)

_decode_text = msgspec.json.Decoder(str).decode
_CUT = ("length", "content_filter")
_LOOKS = 16
"""How often a call that something else interrupts is looked at: servers do that once, if at all."""


class _Call(Struct, eq=False, gc=False):
    """A call that grows. `key` is None until its name is known. `looks` is how often its arguments
    were looked at, for whether they are whole, `looked_at` how many pieces there were."""

    position: int
    kind: ToolKind
    call_id: str
    name: str = ""
    key: int | None = None
    pieces: list[str] = []
    ended: bool = False
    signature: str = ""
    looked_at: int = 0
    looks: int = 0


class Assembler:
    """One answer. Not reusable. Its events may interleave items; the `Sequencer` orders them."""

    __slots__ = (
        "_by_id", "_calls", "_citations", "_details", "_last", "_logprobs", "_message", "_next",
        "_origin", "_reasoning", "_seed", "_slots", "_tags", "_whole",
    )  # fmt: skip

    def __init__(self, origin: str, quirks: Quirks, *, whole: bool) -> None:
        self._origin = origin
        self._whole = whole
        self._next = 0
        self._message: int | None = None
        self._reasoning: int | None = None
        self._details = Details(origin, whole=whole)
        self._tags: ThinkTags | None = ThinkTags() if quirks.think_tags else None
        self._calls: list[_Call] = []
        self._slots: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._citations: dict[str, Citation] = {}
        self._logprobs: Raw | None = None
        self._seed = ""

    def seed(self, answer_id: str | None, created: float | None) -> None:
        """What makes invented call ids differ from those of other answers."""
        if not self._seed:
            self._seed = f"{answer_id}/{created}"

    def feed(self, delta: chunks.Delta, logprobs: chunks.Logprobs | None, out: list[Event]) -> None:
        """Add the events of one fragment, or of a whole message, to `out`."""
        if logprobs is not None and bytes(logprobs.content)[:1] == b"[":
            self._logprobs = logprobs.content if is_text(logprobs.content) else None
        content = delta.content
        if delta.reasoning_details:
            self._detailed(delta, out)
        elif delta.reasoning_content or delta.reasoning:
            self._thought(delta.reasoning_content or delta.reasoning or "", out)
        if content:
            if type(content) is str:
                self._content(content, delta, out)
            else:
                for part in content:
                    self._part(part, out)  # type: ignore[arg-type]
        if delta.refusal:
            self._write(RefusalDelta(0, delta.refusal), out)
        if delta.annotations:
            for annotation in delta.annotations:
                self._annotation(annotation, out)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._call(call, out)
        if delta.function_call is not None:
            self._call(chunks.Call(index=-1, function=delta.function_call), out)
        if delta.images or delta.audio is not NULL or delta.extra_content is not NULL:
            self._rare(delta, out)

    def cite(self, links: list[Raw] | None, results: list[Raw] | None) -> None:
        """Remember sources that stand beside the choices; the last list counts."""
        found: dict[str, Citation] = {}
        for raw in results or ():
            result = _read_result(raw)
            if result is not None and result.url:
                found[result.url] = Citation(kind="url", url=result.url, title=result.title or "")
        for raw in links or () if not found else ():
            link = _string(raw)
            if link:
                found[link] = Citation(kind="url", url=link)
        if found:
            self._citations = found

    def finish(self, native: str, tier: str | None, out: list[Event]) -> None:
        """Add what ends the answer. A reason that says it broke off is a failure."""
        status = FAILURES.get(native)
        if status is not None:
            fault = UpstreamRejected("The provider broke its answer off.", status=status,
                                     debug=f"finish_reason {native}")  # fmt: skip
            out.append(Failed(fault))
            return
        if self._tags is not None:
            thought, rest = self._tags.end()
            self._tags = None
            if thought:
                self._thought(thought, out)
            if rest:
                self._text(rest, out)
        self._close_reasoning(out)
        if self._citations and self._message is not None:
            for citation in self._citations.values():
                self._write(CitationAdded(0, citation), out)
        self._close_message(out)
        reason: FinishReason = FINISH_REASONS.get(native, "stop")
        if not self._close_calls(reason, out):
            return
        if self._calls and reason == "stop":
            reason = "tool_calls"
        elif reason == "tool_calls" and not self._calls:
            reason = "stop"
        out.append(Finish(reason, native=native[:64], service_tier=tier))

    # text

    def _content(self, text: str, delta: chunks.Delta, out: list[Event]) -> None:
        if delta.extra_content is not NULL:
            extra = _read_extra(delta.extra_content)
            if extra is not None and extra.google is not None and extra.google.thought:
                self._thought(_without_tags(text), out)
                return
        if self._tags is None:
            self._text(text, out)
            return
        thought, text = self._tags.feed(text)
        if self._tags.passed:
            self._tags = None
        if thought:
            self._thought(thought, out)
        if text:
            self._text(text, out)

    def _text(self, text: str, out: list[Event]) -> None:
        key = self._message
        if key is None:
            key = self._open_message(out)
        out.append(TextDelta(key, text, self._logprobs))
        self._logprobs = None

    def _write(self, event: RefusalDelta | CitationAdded, out: list[Event]) -> None:
        key = self._message
        event.key = key if key is not None else self._open_message(out)
        out.append(event)

    def _open_message(self, out: list[Event]) -> int:
        self._close_reasoning(out)
        self._close_whole_calls(out)
        key = self._message = self._take()
        out.append(MessageStart(key))
        return key

    def _close_message(self, out: list[Event]) -> None:
        if self._message is not None:
            out.append(ItemEnd(self._message))
            self._message = None

    def _part(self, raw: Raw, out: list[Event]) -> None:
        text = _string(raw)
        if text:
            self._text(text, out)
            return
        part = _read_part(raw)
        if part is None:
            return
        if part.thinking:
            if isinstance(part.thinking, str):
                self._thought(part.thinking, out)
            else:
                for inner in part.thinking:
                    piece = _read_part(inner)
                    if piece is not None and piece.text:
                        self._thought(piece.text, out)
        elif part.refusal:
            self._write(RefusalDelta(0, part.refusal), out)
        elif part.text:
            self._text(part.text, out)

    def _annotation(self, raw: Raw, out: list[Event]) -> None:
        annotation = _read_annotation(raw)
        if annotation is None or annotation.url_citation is None:
            return
        inner = annotation.url_citation
        citation = Citation(
            kind="url",
            url=inner.url,
            title=inner.title or "",
            start=inner.start_index,
            end=inner.end_index,
            cited_text=inner.content or "",
            native=("chat", Raw(bytes(raw))),
        )
        self._write(CitationAdded(0, citation), out)

    # reasoning

    def _open_reasoning(self, out: list[Event]) -> int:
        self._close_message(out)
        self._close_whole_calls(out)
        key = self._reasoning = self._take()
        out.append(ReasoningStart(key))
        return key

    def _thought(self, text: str, out: list[Event]) -> None:
        if not text:
            return
        key = self._reasoning
        out.append(ThoughtDelta(key if key is not None else self._open_reasoning(out), text))

    def _detailed(self, delta: chunks.Delta, out: list[Event]) -> None:
        for raw in delta.reasoning_details or ():
            step = self._details.feed(raw)
            if step is None:
                continue
            if step.begins:
                self._end_reasoning(step.before, out)
            key = self._reasoning
            if key is None:
                key = self._open_reasoning(out)
            if step.summary:
                out.append(SummaryDelta(key, step.summary))
            if step.text:
                out.append(ThoughtDelta(key, step.text))

    def _close_reasoning(self, out: list[Event]) -> None:
        if self._reasoning is not None:
            self._end_reasoning(self._details.end(), out)

    def _end_reasoning(self, sealed: Sealed | None, out: list[Event]) -> None:
        if self._reasoning is None:
            return
        if sealed is not None:
            out.append(SealedSeen(self._reasoning, sealed))
        out.append(ItemEnd(self._reasoning))
        self._reasoning = None

    def _signed(self, kind: SealedKind, signature: str, out: list[Event]) -> None:
        key = self._take()
        out.append(ReasoningStart(key))
        out.append(SealedSeen(key, Sealed(self._origin, kind, signature)))
        out.append(ItemEnd(key))

    # calls

    def _call(self, fragment: chunks.Call, out: list[Event]) -> None:
        inner = fragment.function or fragment.custom
        name = (inner.name if inner is not None else None) or ""
        call = self._slot(fragment, name)
        if call is None:
            call = self._new_call(fragment)
        self._last = call
        if fragment.id and call.key is None:
            call.call_id = call.call_id or fragment.id
        if fragment.extra_content is not NULL:
            extra = _read_extra(fragment.extra_content)
            if extra is not None and extra.google is not None and extra.google.thought_signature:
                call.signature = extra.google.thought_signature
        if name and call.key is None:
            call.name = name
            self._start_call(call, out)
        if inner is None:
            return
        arguments = inner.input if inner.input is not None else inner.arguments
        if isinstance(arguments, dict):
            arguments = encode(arguments).decode(errors="replace")
        if arguments:
            call.pieces.append(arguments)
            if call.key is not None and not call.ended:
                out.append(ArgumentsDelta(call.key, arguments))

    def _slot(self, fragment: chunks.Call, name: str) -> _Call | None:
        """The call that a fragment goes on with; None if it begins one."""
        if self._whole:
            return None
        identifier = fragment.id
        if fragment.index is None:
            if identifier:
                return self._by_id.get(identifier)
            return None if name and (self._last is None or self._last.name) else self._last
        call = self._slots.get(fragment.index)
        if call is not None and name and call.name and identifier and identifier != call.call_id:
            return self._by_id.get(identifier)
        return call

    def _new_call(self, fragment: chunks.Call) -> _Call:
        custom = fragment.custom is not None or fragment.type == "custom"
        call = _Call(len(self._calls), "custom" if custom else "function", "")
        self._calls.append(call)
        if fragment.index is not None:
            self._slots[fragment.index] = call
        if fragment.id and fragment.id not in self._by_id:
            call.call_id = fragment.id
            self._by_id[fragment.id] = call
        return call

    def _start_call(self, call: _Call, out: list[Event]) -> None:
        self._close_reasoning(out)
        self._close_message(out)
        self._close_whole_calls(out)
        if not call.call_id:
            call.call_id = self._invent(call)
        if call.signature:
            self._signed("next", call.signature, out)
        call.key = self._take()
        out.append(CallStart(call.key, call.call_id, call.name, call.kind))
        out.extend([ArgumentsDelta(call.key, piece) for piece in call.pieces])

    def _invent(self, call: _Call) -> str:
        """The same id whenever the same answer is read; another one in every other answer."""
        text = f"{self._seed}/{call.position}/{call.name}"
        return f"call_{call.position}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _close_whole_calls(self, out: list[Event]) -> None:
        """Something else begins: calls whose arguments are whole are over."""
        last = self._calls[-2:]
        for call in last:
            size = len(call.pieces)
            if call.key is None or call.ended or size == call.looked_at or call.looks > _LOOKS:
                continue
            call.looked_at = size
            call.looks += 1
            if is_object("".join(call.pieces)):
                call.ended = True
                out.append(ItemEnd(call.key))

    def _close_calls(self, reason: FinishReason, out: list[Event]) -> bool:
        for call in self._calls:
            if call.key is None:
                fault = UpstreamProtocol("The provider called a tool without naming it.")
                out.append(Failed(fault))
                return False
            if call.ended:
                continue
            if not call.pieces and call.kind == "function" and reason not in _CUT:
                out.append(ArgumentsDelta(call.key, EMPTY))
            call.ended = True
            out.append(ItemEnd(call.key))
        return True

    # the rest

    def _rare(self, delta: chunks.Delta, out: list[Event]) -> None:
        for raw in delta.images or ():
            picture = _read_picture(raw)
            if picture is None or picture.image_url is None or not picture.image_url.url:
                continue
            try:
                found = source(picture.image_url.url)
            except ValueError:
                continue
            self._close_reasoning(out)
            self._close_message(out)
            item = Hosted(
                type="image_generation_call",
                output=found.value,
                native=("chat", Raw(bytes(raw))),
            )
            out.append(HostedDone(self._take(), item))
        if delta.audio is not NULL:
            sound = _read_sound(delta.audio)
            if sound is not None and sound.transcript:
                self._text(sound.transcript, out)
        if delta.extra_content is not NULL:
            extra = _read_extra(delta.extra_content)
            if extra is not None and extra.google is not None and extra.google.thought_signature:
                self._close_reasoning(out)
                self._close_message(out)
                self._signed("previous", extra.google.thought_signature, out)

    def _take(self) -> int:
        key = self._next
        self._next += 1
        return key


def _string(raw: Raw) -> str:
    """The string that raw JSON text is; "" for anything else."""
    if bytes(raw)[:1] != b'"':
        return ""
    try:
        return _decode_text(raw)
    except UNREADABLE:
        return ""


def _without_tags(text: str) -> str:
    """Gemini's shim puts thoughts into `<thought>` as well as marking them."""
    return text.removeprefix("<thought>").removesuffix("</thought>")
