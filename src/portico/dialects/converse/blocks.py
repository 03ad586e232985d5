"""Content blocks as events: one place for whole answers and for streams.

Neighbouring text blocks are one message with a part each: Claude cuts a sentence into blocks where
citations begin and end. Text has no start event, and a citation comes before the text it is for
(recorded 2026-08), so it is held until its block ends, when the length of the text is known.
"""

import base64
import binascii
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Raw

from portico.dialects.converse.maps import FINISH, MALFORMED
from portico.dialects.converse.wire import Citation as WireCitation
from portico.dialects.converse.wire import ToolUse, decode_citation
from portico.dialects.counts import UNREADABLE, mapping, pick
from portico.errors import UpstreamProtocol
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
    PartEnd,
    ReasoningStart,
    SealedSeen,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
)
from portico.model.items import Hosted, Status
from portico.model.parts import Citation
from portico.model.sealed import Sealed
from portico.model.usage import Usage

_HOSTED = {"nova_grounding": "web_search_call", "nova_code_interpreter": "code_interpreter_call"}
_LONGEST_WORD = 64
_decode = msgspec.json.Decoder().decode


class _Text:
    __slots__ = ("citations", "key", "length")

    def __init__(self, key: int) -> None:
        self.key = key
        """-1 until there is text."""
        self.length = 0
        self.citations: list[Citation] = []


class _Thought:
    __slots__ = ("key", "redacted", "signature")

    def __init__(self, key: int) -> None:
        self.key = key
        self.signature: list[str] = []
        self.redacted: list[str] = []


class _Call:
    __slots__ = ("key", "told")

    def __init__(self, key: int) -> None:
        self.key = key
        self.told = False


class _Server:
    """A call that Bedrock carries out itself."""

    __slots__ = ("call_id", "name", "pieces")

    def __init__(self, call_id: str, name: str) -> None:
        self.call_id = call_id
        self.name = name
        self.pieces: list[str] = []


class _Result:
    """What came of such a call."""

    __slots__ = ("call_id", "failed", "pieces")

    def __init__(self, call_id: str, failed: bool) -> None:
        self.call_id = call_id
        self.failed = failed
        self.pieces: list[str] = []


class _Picture:
    __slots__ = ("pieces",)

    def __init__(self) -> None:
        self.pieces: list[str] = []


_Block: TypeAlias = _Text | _Thought | _Call | _Server | _Result | _Picture


class Blocks:
    """The blocks of one answer. Every method appends the events it makes to `out`; `at` is the
    index of the block. Never raises."""

    __slots__ = ("_calls", "_message", "_next", "_open", "_origin", "_servers", "_thought")

    def __init__(self, origin: str, raw_thoughts: bool) -> None:
        self._origin = origin
        self._thought: Callable[[int, str], Event] = ThoughtDelta if raw_thoughts else SummaryDelta
        self._next = 0
        self._message = -1
        self._open: dict[int, _Block] = {}
        self._servers: dict[str, _Server] = {}
        self._calls = False

    def text(self, out: list[Event], at: int, text: str) -> None:
        """More text."""
        if not text:
            return
        block = self._open.get(at)
        if type(block) is not _Text:
            if block is not None:
                self.stop(out, at)
            block = self._open[at] = _Text(-1)
        if block.key < 0:
            if self._message < 0:
                self._message = self._next
                self._next += 1
                out.append(MessageStart(self._message))
            block.key = self._message
        block.length += len(text)
        out.append(TextDelta(block.key, text))

    def citation(self, out: list[Event], at: int, raw: Raw) -> None:
        """A citation of the text of its block, which may still be to come."""
        try:
            found = decode_citation(raw)
        except UNREADABLE:
            return
        block = self._open.get(at)
        if type(block) is not _Text:
            if block is not None:
                self.stop(out, at)
            block = self._open[at] = _Text(-1)
        block.citations.append(_citation(found, Raw(bytes(raw))))

    def thought(self, out: list[Event], at: int, text: str) -> None:
        """More reasoning text."""
        if text:
            out.append(self._thought(self._reasoning(out, at).key, text))

    def signature(self, out: list[Event], at: int, text: str) -> None:
        """The proof of the reasoning text of its block."""
        if text:
            self._reasoning(out, at).signature.append(text)

    def redacted(self, out: list[Event], at: int, data: str) -> None:
        """Reasoning that only the provider can read; base64."""
        if data:
            self._reasoning(out, at).redacted.append(data)

    def call(self, out: list[Event], at: int, use: ToolUse) -> None:
        """A call begins."""
        if at in self._open:
            self.stop(out, at)
        if use.type == "server_tool_use":
            server = _Server(use.tool_use_id or "", use.name or "")
            self._open[at] = self._servers[server.call_id] = server
            return
        self._leave(out)
        key = self._next
        self._next += 1
        self._calls = True
        self._open[at] = _Call(key)
        out.append(CallStart(key, use.tool_use_id or f"tooluse_{key}", use.name or ""))

    def arguments(self, out: list[Event], at: int, text: str) -> None:
        """More of the arguments of a call."""
        block = self._open.get(at)
        if type(block) is _Call:
            if text:
                block.told = True
                out.append(ArgumentsDelta(block.key, text))
        elif type(block) is _Server:
            block.pieces.append(text)

    def result(self, out: list[Event], at: int, call_id: str, failed: bool) -> None:
        """What came of a call of Bedrock's own begins."""
        if at in self._open:
            self.stop(out, at)
        self._open[at] = _Result(call_id, failed)

    def result_content(self, at: int, raw: Raw) -> None:
        """More of it: an array of `{"text"}` and `{"json"}`."""
        block = self._open.get(at)
        if type(block) is not _Result:
            return
        try:
            parts = _decode(raw)
        except UNREADABLE:
            return
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                block.pieces.append(part["text"])
            elif isinstance(part, dict) and "json" in part:
                block.pieces.append(msgspec.json.encode(part["json"]).decode())

    def other(self, out: list[Event], at: int, kind: str, raw: Raw) -> None:
        """A block that has no form anywhere else, or that no table knows: kept as it is, so that
        whoever writes the answer can declare it."""
        self.stop(out, at)
        self._leave(out)
        item = Hosted(type=kind[:64], native=("converse", raw))
        out.append(HostedDone(self._next, item))
        self._next += 1

    def image(self, out: list[Event], at: int, data: str) -> None:
        """A picture, or more of one; base64."""
        block = self._open.get(at)
        if type(block) is not _Picture:
            if block is not None:
                self.stop(out, at)
            block = self._open[at] = _Picture()
        if data:
            block.pieces.append(data)

    def stop(self, out: list[Event], at: int, status: Status = "completed") -> None:
        """The block is whole."""
        block = self._open.pop(at, None)
        if type(block) is _Text:
            self._end_text(out, block)
        elif type(block) is _Call:
            if not block.told and status == "completed":
                out.append(ArgumentsDelta(block.key, "{}"))
            out.append(ItemEnd(block.key, status))
        elif type(block) is _Thought:
            sealed = self._sealed(block)
            if sealed is not None:
                out.append(SealedSeen(block.key, sealed))
            out.append(ItemEnd(block.key, status))
        elif type(block) is _Result:
            self._hosted(out, self._servers.pop(block.call_id, None), block)
        elif type(block) is _Picture:
            self._picture(out, block)

    def finish(self, out: list[Event], native: str, sequence: str) -> Finish | Failed:
        """The answer is whole: closes what is open, gives the last event."""
        reason = FINISH.get(native, "stop")
        status: Status = "incomplete" if reason in ("length", "content_filter") else "completed"
        for at in list(self._open):
            self.stop(out, at, status)
        self._leave(out)
        for server in list(self._servers.values()):
            self._hosted(out, server, None)
        self._servers.clear()
        if native in MALFORMED:
            fault = UpstreamProtocol(
                "The model gave an answer that cannot be read.",
                code=native,
                debug=f"stopReason {native}",
            )
            return Failed(fault)
        if reason == "stop" and self._calls:  # some models say end_turn with calls present
            reason = "tool_calls"
        return Finish(reason, detail=sequence, native=native[:_LONGEST_WORD])

    def _reasoning(self, out: list[Event], at: int) -> _Thought:
        block = self._open.get(at)
        if type(block) is _Thought:
            return block
        if block is not None:
            self.stop(out, at)
        self._leave(out)
        block = self._open[at] = _Thought(self._next)
        self._next += 1
        out.append(ReasoningStart(block.key))
        return block

    def _leave(self, out: list[Event]) -> None:
        """Something that is not text begins: the message is whole."""
        if self._message < 0:
            return
        for at in [at for at, block in self._open.items() if type(block) is _Text]:
            self.stop(out, at)
        out.append(ItemEnd(self._message))
        self._message = -1

    def _end_text(self, out: list[Event], block: _Text) -> None:
        if block.key < 0:
            return
        for found in block.citations:
            span = msgspec.structs.replace(found, start=0, end=block.length)
            out.append(CitationAdded(block.key, span))
        out.append(PartEnd(block.key))

    def _sealed(self, block: _Thought) -> Sealed | None:
        if block.signature:
            return Sealed(self._origin, "signature", "".join(block.signature))
        if block.redacted:
            return Sealed(self._origin, "redacted", _joined(block.redacted))
        return None

    def _hosted(self, out: list[Event], server: _Server | None, result: _Result | None) -> None:
        if server is None:
            return
        self._leave(out)
        failed = result is None or result.failed
        item = Hosted(
            type=_HOSTED.get(server.name, "mcp_call"),
            id=server.call_id,
            status="failed" if failed else "completed",
            name=server.name,
            input=_query("".join(server.pieces)),
            output="".join(result.pieces) if result is not None else "",
        )
        out.append(HostedDone(self._next, item))
        self._next += 1

    def _picture(self, out: list[Event], block: _Picture) -> None:
        if not block.pieces:
            return
        self._leave(out)
        item = Hosted(type="image_generation_call", output=_joined(block.pieces))
        out.append(HostedDone(self._next, item))
        self._next += 1


def usage(raw: Raw) -> Usage | None:
    """Token counts; None without any. Cached tokens are beside the input, not in it: the total is
    the sum of all four (18 of 18 recordings)."""
    counts = mapping(raw)
    if counts is None:
        return None
    into, out = pick(counts, "inputTokens"), pick(counts, "outputTokens")
    if into is None and out is None:
        return None
    return Usage(
        input_uncached=into or 0,
        cache_read=pick(counts, "cacheReadInputTokens") or 0,
        cache_write=pick(counts, "cacheWriteInputTokens") or 0,
        output_text=out or 0,
    )


def stop_sequence(raw: Raw) -> str:
    """The sequence that was hit, from `additionalModelResponseFields`; `""` if it does not say."""
    fields = mapping(raw) or {}
    delta = fields.get("delta")
    for place in (fields, delta if isinstance(delta, dict) else {}):
        found = place.get("stop_sequence")
        if isinstance(found, str):
            return found
    return ""


def input_text(raw: Raw) -> str:
    """The `input` of a whole call as text. Some models write the object as a string."""
    data = bytes(raw)
    if data[:1] == b'"':
        try:
            return str(_decode(data))
        except UNREADABLE:
            return ""
    return "" if data == b"null" else data.decode(errors="replace")


def _citation(found: WireCitation, native: Raw) -> Citation:
    """A citation that points into a document, a search result or a page."""
    cited = "".join([words.text or "" for words in found.source_content or ()])
    place = found.location
    web = place.web if place is not None else None
    if web is not None and web.url:
        return Citation(
            kind="url", url=web.url, title=found.title or "", cited_text=cited,
            native=("converse", native),
        )  # fmt: skip
    index = 0
    if place is not None:
        for spot in (place.document_char, place.document_page, place.document_chunk):
            index = (spot.document_index if spot is not None else None) or index
        hit = place.search_result_location
        index = (hit.search_result_index if hit is not None else None) or index
    source = found.source or ""
    return Citation(
        kind="url" if source.startswith(("http://", "https://")) else "document",
        url=source,
        title=found.title or "",
        cited_text=cited,
        index=index,
        native=("converse", native),
    )


def _joined(pieces: list[str]) -> str:
    """Pieces of base64 as one. Each may have its own padding."""
    if len(pieces) == 1 or all(len(piece) % 4 == 0 and piece[-1:] != "=" for piece in pieces[:-1]):
        return "".join(pieces)
    try:
        return base64.b64encode(b"".join([base64.b64decode(piece) for piece in pieces])).decode()
    except (binascii.Error, ValueError):
        return "".join(pieces)


def _query(text: str) -> str:
    """`{"query": "..."}` or `{"snippet": "..."}` as the text it holds; else `text` itself."""
    try:
        value = _decode(text)
    except UNREADABLE:
        return text
    if isinstance(value, dict):
        for name in ("query", "snippet", "code"):
            if isinstance(value.get(name), str):
                return str(value[name])
    return text
