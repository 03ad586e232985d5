"""Content blocks of an answer become events: the one place for whole answers and for streams.

Neighbouring text blocks are parts of one message. A server tool's call and its result are one
hosted item, told when the result is there. Signatures are kept byte for byte.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from portico.dialects.counts import UNREADABLE
from portico.dialects.messages.lens import Counts
from portico.dialects.messages.maps import TIERS_SERVED
from portico.dialects.messages.raws import NULL
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Finish,
    FinishReason,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    UsageSeen,
)
from portico.model.items import Hit, Hosted, Status
from portico.model.parts import Citation
from portico.model.sealed import Sealed
from portico.model.usage import Usage

FINISHES: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
}
"""https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons (2026-11-21)"""

_SERVER_TOOLS = {
    "web_search": "web_search_call",
    "web_fetch": "web_search_call",
    "code_execution": "code_interpreter_call",
    "bash_code_execution": "code_interpreter_call",
    "text_editor_code_execution": "code_interpreter_call",
    "tool_search_tool_regex": "tool_search_call",
    "tool_search_tool_bm25": "tool_search_call",
}
_QUESTIONS = ("query", "url", "code", "command", "pattern")
_LONGEST_WORD = 200
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Block(Struct, gc=False):
    """A content block, as wide as the ones that are looked into. `raw` is set by the reader."""

    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: Raw = NULL
    tool_use_id: str | None = None
    server_name: str | None = None
    content: Raw = NULL
    is_error: bool | None = None
    citations: list[Raw] | None = None


decode_block = msgspec.json.Decoder(Block).decode


class Assembler:
    """Makes the events of one answer. `out` is taken by whoever feeds it."""

    __slots__ = ("_calls", "_characters", "_key", "_message", "_open", "_origin", "_pending",
                 "_silent", "_started", "out")  # fmt: skip

    def __init__(self, origin: str) -> None:
        self.out: list[Event] = []
        self._origin = origin
        self._key = -1
        self._message: int | None = None
        self._open = False
        self._characters = 0
        self._calls = False
        self._started = False
        self._silent = -1
        self._pending: dict[str, tuple[Block, bytes]] = {}

    def start(self, identifier: str, model: str, tier: str | None) -> None:
        """The answer begins; only the first beginning counts."""
        if not self._started:
            self._started = True
            self.out.append(
                Started(identifier, model, TIERS_SERVED.get(tier, tier) if tier else None)
            )

    def text(self, text: str) -> None:
        """More text of the open block."""
        if not text:
            return
        if self._message is None:
            self._message = self._next()
            self.out.append(MessageStart(self._message))
        self._open = True
        self._characters += len(text)
        self.out.append(TextDelta(self._message, text))

    def end_text(self, citations: list[Raw]) -> None:
        """The text block ends. Its citations come last: they are of all of its text, and before
        the first delta there is no part that could have them."""
        if self._message is None or not self._open:
            return
        for raw in citations:
            found = citation(raw)
            if found is not None:
                whole = structs.replace(found, start=0, end=self._characters)
                self.out.append(CitationAdded(self._message, whole))
        self.out.append(PartEnd(self._message))
        self._open = False
        self._characters = 0

    def think(self) -> int:
        """A thinking block begins. The key for `thought` and `end_thinking`. Nothing is told of it
        before it has text or proof."""
        self._silent = self._item()
        return self._silent

    def thought(self, key: int, text: str) -> None:
        """More thinking that may be shown."""
        if text:
            self._speak(key)
            self.out.append(SummaryDelta(key, text))

    def end_thinking(self, key: int, signature: str) -> None:
        """The block ends, with its proof."""
        if signature:
            self._speak(key)
            self.out.append(SealedSeen(key, Sealed(self._origin, "signature", signature)))
        if self._silent != key:
            self.out.append(ItemEnd(key))

    def redacted(self, data: str) -> None:
        """A thinking block without any text."""
        if not data:
            return
        key = self._item()
        self.out.append(ReasoningStart(key))
        self.out.append(SealedSeen(key, Sealed(self._origin, "redacted", data)))
        self.out.append(ItemEnd(key))

    def _speak(self, key: int) -> None:
        if self._silent == key:
            self._silent = -1
            self.out.append(ReasoningStart(key))

    def call(self, call_id: str, name: str) -> int:
        """A call of a client's tool begins."""
        key = self._item()
        self._calls = True
        self.out.append(CallStart(key, call_id, name))
        return key

    def arguments(self, key: int, text: str) -> None:
        """More of its arguments."""
        if text:
            self.out.append(ArgumentsDelta(key, text))

    def end_call(self, key: int) -> None:
        """The call is whole."""
        self.out.append(ItemEnd(key))

    def server_call(self, block: Block, raw: bytes) -> None:
        """A server tool was called: kept until its result comes."""
        self._pending[block.id or ""] = (block, raw)

    def server_result(self, block: Block, raw: bytes) -> None:
        """A result, with the call it answers."""
        call, native = self._pending.pop(block.tool_use_id or "", (None, b""))
        self.hosted(hosted(call, native, block, raw))

    def other(self, kind: str, raw: bytes) -> None:
        """A block of a type that no table knows, or that only this dialect has: kept as it is, so
        that whoever writes the answer can tell it or declare it."""
        self.hosted(Hosted(type=kind[:64], native=("messages", Raw(raw))))

    def hosted(self, item: Hosted) -> None:
        """A server-side item, whole."""
        self.out.append(HostedDone(self._item(), item))

    def usage(self, usage: Usage | None) -> None:
        """What has been counted so far."""
        if usage is not None:
            self.out.append(UsageSeen(usage))

    def finish(self, reason: str, sequence: str | None, details: Raw, tier: str | None) -> None:
        """The answer is whole. Calls without a result are told before: a paused turn has them."""
        paused = FINISHES.get(reason) == "pause"
        for call, raw in self._pending.values():
            self.hosted(hosted(call, raw, None, b"", "in_progress" if paused else "incomplete"))
        self._pending.clear()
        self._close()
        known = FINISHES.get(reason, "tool_calls" if self._calls else "stop")
        detail = sequence or "" if known == "stop_sequence" else ""
        if known == "refusal":
            detail = _explanation(details)
        word = reason[:_LONGEST_WORD]
        self.out.append(Finish(known, detail, word, TIERS_SERVED.get(tier, tier) if tier else None))

    def _close(self) -> None:
        if self._message is not None:
            if self._open:
                self.out.append(PartEnd(self._message))
                self._open = False
            self.out.append(ItemEnd(self._message))
            self._message = None
            self._characters = 0

    def _item(self) -> int:
        self._close()
        return self._next()

    def _next(self) -> int:
        self._key += 1
        return self._key


def count(counts: Counts, raw: Raw) -> str | None:
    """Take a `usage` object into `counts`; the service tier it names."""
    found = _object(raw)
    if found is None:
        return None
    counts.update(found)
    tier = found.get("service_tier")
    return tier[:64] if isinstance(tier, str) else None


def citation(raw: Raw) -> Citation | None:
    """One citation; None if it cannot be read. Places are in the cited document, not in the
    answer, so `start` and `end` stay empty; `native` has them."""
    found = _object(raw)
    if found is None:
        return None
    kind = found.get("type")
    cited = _text(found.get("cited_text"))
    native = ("messages", Raw(bytes(raw)))
    if kind == "web_search_result_location" or (
        kind == "search_result_location" and _text(found.get("source")).startswith("http")
    ):
        url = _text(found.get("url")) or _text(found.get("source"))
        return Citation(
            kind="url", url=url, title=_text(found.get("title")), cited_text=cited, native=native
        )
    index = found.get("document_index", found.get("search_result_index"))
    return Citation(
        kind="document",
        title=_text(found.get("document_title")) or _text(found.get("title")),
        cited_text=cited,
        file_id=_text(found.get("file_id")),
        index=index if isinstance(index, int) else 0,
        native=native,
    )


def hosted(
    call: Block | None,
    call_raw: bytes,
    result: Block | None,
    result_raw: bytes,
    status: Status = "completed",
) -> Hosted:
    """A server tool's call and result as one item; either may be missing."""
    name = (call.name if call is not None else "") or ""
    if not name and result is not None:
        name = result.type.removesuffix("_tool_result")
    asked = _object(call.input) if call is not None else None
    is_mcp = (call is not None and call.type == "mcp_tool_use") or name == "mcp"
    answer = _plain(result.content) if result is not None else None
    failed = result is not None and (result.is_error is True or _failed(answer))
    pieces = [raw for raw in (call_raw, result_raw) if raw]
    return Hosted(
        type="mcp_call" if is_mcp else _SERVER_TOOLS.get(name, f"{name[:64]}_call"),
        id=((call.id if call is not None else None) or (result.tool_use_id if result else ""))
        or "",
        status="failed" if failed else status,
        name=name,
        input=_question(asked, is_mcp),
        output=_output(answer),
        hits=_hits(answer),
        native=("messages", Raw(b"[" + b",".join(pieces) + b"]")),
    )


def compaction(block: Block, raw: bytes) -> Hosted:
    """The summary the provider made of an earlier part of the conversation."""
    summary = _plain(block.content)
    return Hosted(
        type="compaction",
        output=summary if isinstance(summary, str) else "",
        native=("messages", Raw(b"[" + raw + b"]")),
    )


def _question(asked: dict[str, Any] | None, whole: bool) -> str:
    if asked is None:
        return ""
    if not whole:
        for key in _QUESTIONS:
            value = asked.get(key)
            if isinstance(value, str):
                return value
    return _encode(asked).decode()


def _failed(answer: Any) -> bool:
    return isinstance(answer, dict) and str(answer.get("type", "")).endswith("_error")


def _output(answer: Any) -> str:
    """Readable: what ran printed, or what a tool said. Search results are hits instead."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, dict):
        printed = [answer[key] for key in ("stdout", "stderr") if isinstance(answer.get(key), str)]
        if printed:
            return "\n".join([text for text in printed if text])
        return _text(answer.get("error_code")) or _text(answer.get("content"))
    if isinstance(answer, list):
        return "\n".join(
            [
                _text(part.get("text"))
                for part in answer
                if isinstance(part, dict) and "text" in part
            ]
        )
    return ""


def _hits(answer: Any) -> tuple[Hit, ...]:
    if isinstance(answer, dict) and answer.get("type") == "web_fetch_result":
        answer = [answer]
    if not isinstance(answer, list):
        return ()
    return tuple(
        [
            Hit(_text(part.get("url")), _text(part.get("title")))
            for part in answer
            if isinstance(part, dict) and isinstance(part.get("url"), str)
        ]
    )


def _explanation(details: Raw) -> str:
    found = _object(details)
    if found is None:
        return ""
    return _text(found.get("explanation")) or _text(found.get("category"))


def _plain(raw: Raw) -> Any:
    try:
        return _decode(raw)
    except UNREADABLE:
        return None


def _object(raw: Raw) -> dict[str, Any] | None:
    found = _plain(raw)
    return found if isinstance(found, dict) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
