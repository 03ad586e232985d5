"""Hub events as a Responses event stream.

    stream := created in_progress item* (completed | incomplete | error failed) [DONE]

Items follow each other and are closed when they end; `sequence_number` counts from 0 without gaps;
the `event:` line is the `type`. A delta costs one template with the number and the text filled in.
A finished item is encoded once, for `output_item.done` and for the final response. `[DONE]` says
that the stream is whole (Open Responses asks for it, OpenAI sends none): it follows whatever the
provider itself declared, failures too, and never a cut.

Source: Open Responses 2026-04-24, https://www.openresponses.org/specification; openai-python 3.54,
`ResponseStreamEvent` (logprobs on every text delta).
"""

import re
from collections.abc import Callable
from typing import Any

from msgspec import Raw

from portico.dialects.openai_error import error_object
from portico.dialects.responses import response_out as out
from portico.dialects.responses.hosted_out import HostedItem, has_form
from portico.dialects.translate import Asked
from portico.errors import (
    PorticoError,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    CompactionDone,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
    UsageSeen,
)
from portico.model.items import Status, ToolCall
from portico.model.losses import Loss
from portico.model.response import join_arrays
from portico.model.sealed import Sealed
from portico.model.usage import Usage
from portico.wire.json import encode, quote

DONE = b"data: [DONE]\n\n"
_CUTS = (UpstreamTruncated, UpstreamTimeout, UpstreamUnreachable)
_pads = re.compile(rb'"include_obfuscation"\s*:\s*true').search
_PADDING = Loss("stream_options.include_obfuscation", "dropped", "events are not padded")

# kinds of parts
_TEXT, _REFUSAL, _SUMMARY, _THOUGHT, _ARGUMENTS = range(1, 6)
_DELTAS: dict[type[Any], int] = {
    TextDelta: _TEXT, RefusalDelta: _REFUSAL, SummaryDelta: _SUMMARY, ThoughtDelta: _THOUGHT,
    ArgumentsDelta: _ARGUMENTS,
}  # fmt: skip
_OF: dict[type[Any], tuple[int, ...]] = {
    MessageStart: (_TEXT, _REFUSAL), ReasoningStart: (_SUMMARY, _THOUGHT), CallStart: (_ARGUMENTS,)
}  # fmt: skip
_NAMES = {
    _TEXT: (b"response.output_text", b"content_index"),
    _REFUSAL: (b"response.refusal", b"content_index"),
    _SUMMARY: (b"response.reasoning_summary_text", b"summary_index"),
    _THOUGHT: (b"response.reasoning_text", b"content_index"),
}
_PARTS: dict[int, Callable[[bytes], bytes]] = {
    _TEXT: lambda text: out.text_part(text, [], None),
    _REFUSAL: out.refusal_part,
    _SUMMARY: out.summary_part,
    _THOUGHT: out.thought_part,
}
_EMPTY = {kind: part(b'""') for kind, part in _PARTS.items()}


class _Part:
    """A part that grows. `place` are the members that say where it is; `delta` is a template for
    one whole delta event: number, text."""

    __slots__ = ("annotations", "delta", "kind", "logprobs", "pieces", "place")

    def __init__(self, kind: int, place: bytes, delta: bytes) -> None:
        self.kind = kind
        self.place = place
        self.delta = delta
        self.pieces: list[str] = []
        self.annotations: list[bytes] = []
        self.logprobs: list[Raw] = []


class ResponsesStream:
    """One stream (see `dialects.translate.StreamOut`)."""

    __slots__ = ("_asked", "_base", "_begun", "_done", "_envelope", "_frames", "_id", "_item",
                 "_items", "_live", "_model", "_number", "_part", "_place", "_refused", "_sealed",
                 "_tier", "_usage", "_written")  # fmt: skip

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._base = asked.base
        self._envelope = out.Envelope(asked)
        self._begun = self._done = self._refused = False
        self._number = 0
        self._model = ""
        self._tier: str | None = None
        self._usage: Usage | None = None
        self._frames: list[bytes] = []
        self._items: list[bytes] = []
        self._item: MessageStart | ReasoningStart | CallStart | None = None
        self._id = ""
        self._place = b""
        self._sealed: Sealed | None = None
        self._written: tuple[list[bytes], list[bytes]] = ([], [])  # content, summary
        self._part: _Part | None = None
        self._live = 0  # the kind of the part that the next delta may continue

    def encode(self, events: list[Event]) -> bytes:
        """See `StreamOut.encode`."""
        frames = self._frames
        for event in events:
            kind = type(event)
            delta = _DELTAS.get(kind)
            if delta is None:
                handle = _OTHERS.get(kind)
                if handle is not None and not self._done:
                    handle(self, event)
                continue
            if delta != self._live and not self._open(delta):
                continue
            part = self._part
            text = event.text  # type: ignore[union-attr]
            part.pieces.append(text)  # type: ignore[union-attr]
            if delta == _TEXT and event.logprobs is not None:  # type: ignore[union-attr]
                self._with_logprobs(event)  # type: ignore[arg-type]
            else:
                frames.append(part.delta % (self._number, quote(text)))  # type: ignore[union-attr]
                self._number += 1
        return self._flush()

    def cut(self, fault: PorticoError) -> bytes:
        """See `StreamOut.cut`: what is open is closed as incomplete, then `error` and
        `response.failed`, without `[DONE]`."""
        if not self._done:
            self._fail(fault)
        return self._flush()

    def _flush(self) -> bytes:
        frames = self._frames
        written = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        return written

    def _emit(self, name: bytes, members: bytes) -> None:
        self._frames.append(
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n'
            % (name, name, self._number, members)
        )
        self._number += 1

    # the answer

    def _started(self, event: Started) -> None:
        self._model = event.model
        self._tier = event.service_tier
        self._begin()

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        response = b'"response":' + self._envelope.started(self._model, self._tier)
        self._emit(b"response.created", response)
        self._emit(b"response.in_progress", response)

    def _used(self, event: UsageSeen) -> None:
        self._usage = event.usage

    def _finish(self, event: Finish) -> None:
        self._begin()
        self._close("completed")
        if event.reason == "refusal" and not self._refused and event.detail:
            self._start(MessageStart(0))
            if self._open(_REFUSAL) and self._part is not None:
                self._part.pieces.append(event.detail)
                self._frames.append(self._part.delta % (self._number, quote(event.detail)))
                self._number += 1
            self._close("completed")
        response = self._envelope.finished(
            event,
            self._refused,
            model=self._model,
            tier=event.service_tier or self._tier,
            items=self._items,
            usage=self._usage,
        )
        status, _ = out.verdict(event, self._refused)
        self._emit(b"response." + status.encode(), b'"response":' + response)
        self._frames.append(DONE)
        self._done = True

    def _failed(self, event: Failed) -> None:
        self._fail(event.fault)
        if not isinstance(event.fault, _CUTS):
            self._frames.append(DONE)

    def _fail(self, fault: PorticoError) -> None:
        self._begin()
        self._close("incomplete")
        self._emit(b"error", b'"error":' + encode(error_object(fault)))
        response = self._envelope.failed(
            fault, model=self._model, tier=self._tier, items=self._items, usage=self._usage
        )
        self._emit(b"response.failed", b'"response":' + response)
        self._done = True

    # items

    def _start(self, event: MessageStart | ReasoningStart | CallStart) -> None:
        self._begin()
        self._close("incomplete")
        self._item = event
        self._written = ([], [])
        self._sealed = None
        index = len(self._items)
        if type(event) is MessageStart:
            self._id = f"msg_{self._base}{index:04x}"
            shell = (
                b'{"type":"message","id":"%b","status":"in_progress","role":"assistant",'
                b'"content":[]%b}'
            ) % (self._id.encode(), out.phase_member(event.phase))
        elif type(event) is CallStart:
            self._id = out.call_id(event.kind, self._base, index)
            head = out.call_head(_as_call(event, "", "completed"), self._id)
            shell = out.call_with(head, event.kind, b'""', b"in_progress")
        else:
            self._id = out.reasoning_id(self._base, index)
            shell = out.reasoning(self._id, "completed", [], [], None)
        self._place = b'"item_id":"%b","output_index":%d' % (self._id.encode(), index)
        self._emit(b"response.output_item.added", b'"output_index":%d,"item":%b' % (index, shell))
        if type(event) is CallStart:
            custom = event.kind == "custom"
            self._grow(
                _ARGUMENTS,
                b"response.custom_tool_call_input"
                if custom
                else b"response.function_call_arguments",
                self._place,
            )

    def _end(self, event: ItemEnd) -> None:
        self._close(event.status)

    def _close(self, status: Status) -> None:
        """End the open item, if there is one."""
        event = self._item
        if event is None:
            return
        content, summary = self._written
        if type(event) is CallStart:
            item = self._call_done(event, status)
        else:
            self._part_done()
            if type(event) is MessageStart:
                item = out.message(self._id, status, event.phase, content)
            else:
                sealed = out.seal(self._sealed, self._asked)
                item = out.reasoning(self._id, status, summary, content, sealed)
        self._item = self._part = None
        self._live = 0
        self._item_done(item)

    def _item_done(self, item: bytes) -> None:
        index = len(self._items)
        self._emit(b"response.output_item.done", b'"output_index":%d,"item":%b' % (index, item))
        self._items.append(item)

    def _call_done(self, event: CallStart, status: Status) -> bytes:
        part = self._part
        given = "".join(part.pieces) if part is not None else ""
        one = _as_call(event, given, status)
        arguments = out.arguments_of(one)
        text = quote(arguments)
        if arguments != given and part is not None:
            self._frames.append(part.delta % (self._number, text))
            self._number += 1
        if event.kind == "custom":
            members = b'%b,"input":%b' % (self._place, text)
            self._emit(b"response.custom_tool_call_input.done", members)
        else:
            members = b'%b,"name":%b,"arguments":%b' % (self._place, quote(event.name), text)
            self._emit(b"response.function_call_arguments.done", members)
        head = out.call_head(one, self._id)
        return out.call_with(head, event.kind, text, out.status_of(status))

    def _hosted(self, event: HostedDone) -> None:
        if not has_form(event.item, self._asked.losses):
            return
        self._begin()
        self._close("incomplete")
        index = len(self._items)
        item = HostedItem(event.item, self._base, index)
        shell = b'"output_index":%d,"item":%b' % (index, item.shell)
        self._emit(b"response.output_item.added", shell)
        place = b'"item_id":"%b","output_index":%d' % (item.id.encode(), index)
        for name, members in item.steps():
            self._emit(name, place + members)
        self._item_done(item.item)

    def _compacted(self, event: CompactionDone) -> None:
        self._begin()
        self._close("incomplete")
        index = len(self._items)
        item = out.compaction(event.item, index, self._asked)
        added = b'"output_index":%d,"item":%b' % (index, item)
        self._emit(b"response.output_item.added", added)
        self._item_done(item)

    # parts

    def _open(self, kind: int) -> bool:
        """Begin a part of this kind; False where none can be."""
        if self._item is None or kind not in _OF[type(self._item)] or self._done:
            return False
        self._part_done()
        if kind == _ARGUMENTS:  # a call has one part, and its start has begun it
            return self._part is not None
        name, index_name = _NAMES[kind]
        content, summary = self._written
        index = len(summary if kind == _SUMMARY else content)
        place = b'%b,"%b":%d' % (self._place, index_name, index)
        if kind == _SUMMARY:
            added = b"response.reasoning_summary_part.added"
        else:
            added = b"response.content_part.added"
        self._emit(added, b'%b,"part":%b' % (place, _EMPTY[kind]))
        self._grow(kind, name, place)
        if kind == _REFUSAL:
            self._refused = True
        return True

    def _grow(self, kind: int, name: bytes, place: bytes) -> None:
        last = b',"logprobs":[]' if kind == _TEXT else b""
        delta = b'event: %b.delta\ndata: {"type":"%b.delta","sequence_number":%%d,%b,' % (
            name,
            name,
            place,
        )
        self._part = _Part(kind, place, b'%b"delta":%%b%b}\n\n' % (delta, last))
        self._live = kind

    def _with_logprobs(self, event: TextDelta) -> None:
        part = self._part
        if part is None or event.logprobs is None:
            return
        part.logprobs.append(event.logprobs)
        members = b'%b,"delta":%b,"logprobs":%b' % (
            part.place,
            quote(event.text),
            out.logprobs_of(event.logprobs),
        )
        self._emit(b"response.output_text.delta", members)

    def _cite(self, event: CitationAdded) -> None:
        part = self._part
        if part is None and not self._open(_TEXT):
            return
        part = self._part
        if part is None or part.kind != _TEXT:
            return
        note = out.annotation(event.citation, self._asked.losses)
        members = b'%b,"annotation_index":%d,"annotation":%b' % (
            part.place,
            len(part.annotations),
            note,
        )
        part.annotations.append(note)
        self._emit(b"response.output_text.annotation.added", members)

    def _part_end(self, event: PartEnd) -> None:
        """What follows begins a part. This one stays open: citations may come after it."""
        if self._live != _ARGUMENTS:
            self._live = 0

    def _part_done(self) -> None:
        part = self._part
        if part is None or part.kind == _ARGUMENTS:
            return
        self._part = None
        self._live = 0
        kind = part.kind
        text = quote("".join(part.pieces))
        name, _ = _NAMES[kind]
        if kind == _TEXT:
            logprobs = join_arrays(part.logprobs)
            written = out.text_part(text, part.annotations, logprobs)
            told = b"[]" if logprobs is None else out.logprobs_of(logprobs)
            members = b'%b,"text":%b,"logprobs":%b' % (part.place, text, told)
        else:
            written = _PARTS[kind](text)
            label = b"refusal" if kind == _REFUSAL else b"text"
            members = b'%b,"%b":%b' % (part.place, label, text)
        self._emit(name + b".done", members)
        content, summary = self._written
        if kind == _SUMMARY:
            done = b"response.reasoning_summary_part.done"
            summary.append(written)
        else:
            done = b"response.content_part.done"
            content.append(written)
        self._emit(done, b'%b,"part":%b' % (part.place, written))

    def _sealed_seen(self, event: SealedSeen) -> None:
        self._sealed = event.sealed


_OTHERS: dict[type[Any], Callable[[ResponsesStream, Any], None]] = {
    Started: ResponsesStream._started,
    MessageStart: ResponsesStream._start,
    ReasoningStart: ResponsesStream._start,
    CallStart: ResponsesStream._start,
    HostedDone: ResponsesStream._hosted,
    CompactionDone: ResponsesStream._compacted,
    CitationAdded: ResponsesStream._cite,
    PartEnd: ResponsesStream._part_end,
    SealedSeen: ResponsesStream._sealed_seen,
    ItemEnd: ResponsesStream._end,
    UsageSeen: ResponsesStream._used,
    Finish: ResponsesStream._finish,
    Failed: ResponsesStream._failed,
}


def stream(asked: Asked) -> ResponsesStream:
    """A writer for one answer."""
    options = asked.fields.get("stream_options")
    if options is not None and _pads(bytes(options)) is not None:
        asked.losses.append(_PADDING)
    return ResponsesStream(asked)


def _as_call(event: CallStart, arguments: str, status: Status) -> ToolCall:
    return ToolCall(
        event.call_id, event.name, arguments, event.kind, event.namespace, status=status
    )
