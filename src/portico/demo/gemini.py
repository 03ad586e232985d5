"""Google's generateContent, as the demo provider writes it, on the Gemini API and on Vertex.

Shapes follow ai.google.dev/api/generate-content: candidates of parts, thoughts as parts of their
own, whole function calls, usage on every chunk, no mark at the end of a stream but the finish
reason. A turn that thought has its `thoughtSignature` on the first call after the thought, or on an
empty text part at the very end. Call ids are the Gemini API's own; Vertex has none. The request
side is in `gemini_in.py`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from portico.demo.arrival import JSON, SSE
from portico.demo.faults import RefusedError, encode, google_error
from portico.demo.script import Ask, Call, Say, Search, Stamp, Thought, Turn
from portico.demo.seals import canonical, seal

__all__ = ["Gemini", "covered", "signs_always"]

_FINISH = {
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "malformed": "MALFORMED_FUNCTION_CALL",
}
_UNSAFE = [
    {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True},
    {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
]
_SEARCH_TOKENS = 16
"""What a search adds to the prompt (`toolUsePromptTokenCount`)."""


def signs_always(model: str) -> bool:
    """Gemini 3 signs calls, and wants the signatures of the current turn back."""
    return "gemini-3" in model


def covered(name: str, args: Any) -> str:
    """What the signature of a function call is about."""
    return canonical([name, args or {}])


class Gemini(Struct, frozen=True, kw_only=True):
    """One generateContent request, decoded as far as the script needs it."""

    ask: Ask
    prompt: list[bytes]
    stream: bool
    vertex: bool
    sse: bool
    thoughts: bool
    choices: int = 1

    cache_key = None
    marks_cache = False
    stored = False
    previous = None

    @property
    def stream_headers(self) -> bytes:
        """Without `alt=sse` a stream is one JSON array."""
        return SSE if self.sse else JSON

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer."""
        if turn.finish == "blocked":
            return encode(self._blocked(turn, stamp))
        parts = [part for part, _ in self._parts(turn, stamp, whole=True)]
        body = self._head(stamp, self._usage(turn, turn.thinking, turn.output - turn.thinking))
        body["candidates"] = [_candidate(turn, parts, index, True) for index in range(self.choices)]
        return encode(body)

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer."""
        first = True
        for chunk in self._chunks(turn, stamp):
            yield self._framed(chunk, first)
            first = False
        if not self.sse:
            yield b"]"

    def failure(self, turn: Turn, stamp: Stamp, error: RefusedError, after: int) -> Iterator[bytes]:
        """What ends a stream that fails after `after` events."""
        yield self._framed(google_error(error), after == 0)
        if not self.sse:
            yield b"]"

    def _framed(self, chunk: dict[str, Any], first: bool) -> bytes:
        if self.sse:
            return b"data: %b\r\n\r\n" % encode(chunk)
        return (b"[" if first else b",\r\n") + encode(chunk)

    def _chunks(self, turn: Turn, stamp: Stamp) -> Iterator[dict[str, Any]]:
        if turn.finish == "blocked":
            yield self._blocked(turn, stamp)
            return
        thought = said = 0
        last: dict[str, Any] = {"text": ""}
        for part, tokens in self._parts(turn, stamp, whole=False):
            if part.get("text") == "" and "thoughtSignature" in part:
                last = part
                continue
            if part.get("thought"):
                thought += tokens
            else:
                said += tokens
            for index in range(self.choices):
                chunk = self._head(stamp, self._usage(turn, thought, said))
                content = {"parts": [part], "role": "model"}
                chunk["candidates"] = [{"content": content, "index": index}]
                yield chunk
        for index in range(self.choices):
            usage = self._usage(turn, turn.thinking, turn.output - turn.thinking)
            chunk = self._head(stamp, usage)
            chunk["candidates"] = [_candidate(turn, [last], index, last["text"] != "")]
            yield chunk

    def _parts(
        self, turn: Turn, stamp: Stamp, *, whole: bool
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """Parts, and the tokens each costs. In streams text comes token by token."""
        fresh = signs_always(self.ask.model)  # whether the next call is to be signed
        for index, segment in enumerate(turn.segments):
            if type(segment) is Thought:
                fresh = True
                if segment.hidden or not self.thoughts:
                    continue
                for piece in ("".join(segment.pieces),) if whole else segment.pieces:
                    yield {"text": piece, "thought": True}, 1
            elif type(segment) is Call:
                part = self._call(segment, f"{stamp.uid}_{index}")
                if part is None:
                    continue
                if fresh:
                    covers = covered(segment.name, part["functionCall"]["args"])
                    part["thoughtSignature"] = seal("call", covers, turn=stamp.turn, index=index)
                    fresh = False
                yield part, len(segment.pieces)
            elif type(segment) is Say and not segment.refusal:
                for piece in ("".join(segment.pieces),) if whole else segment.pieces:
                    yield {"text": piece}, 1
        ends_in_text = bool(turn.segments) and type(turn.segments[-1]) is Say
        if fresh and ends_in_text and not turn.refusal:
            last = seal("text", "", turn=stamp.turn, index=len(turn.segments))
            yield {"text": "", "thoughtSignature": last}, 0

    def _call(self, call: Call, name: str) -> dict[str, Any] | None:
        """Whole, or not at all: a call that was cut off is never seen."""
        try:
            args = msgspec.json.decode(call.whole)
        except msgspec.DecodeError:
            return None
        made = {"name": call.name, "args": args}
        return {"functionCall": made if self.vertex else {**made, "id": name}}

    def _blocked(self, turn: Turn, stamp: Stamp) -> dict[str, Any]:
        total = turn.input.total
        body = self._head(stamp, {"promptTokenCount": total, "totalTokenCount": total})
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **body}

    def _head(self, stamp: Stamp, usage: dict[str, Any]) -> dict[str, Any]:
        head = {"usageMetadata": usage, "modelVersion": self.ask.model, "responseId": stamp.uid}
        if self.vertex:
            made = datetime.fromtimestamp(stamp.created, UTC)
            head["createTime"] = made.strftime("%Y-%m-%dT%H:%M:%SZ")
        return head

    def _usage(self, turn: Turn, thought: int, said: int) -> dict[str, Any]:
        """Google counts cached tokens inside the prompt, and thoughts outside the candidates."""
        total = turn.input.total
        usage: dict[str, Any] = {
            "promptTokenCount": total,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}],
        }
        if turn.input.cached:
            usage["cachedContentTokenCount"] = turn.input.cached
            details = [{"modality": "TEXT", "tokenCount": turn.input.cached}]
            usage["cacheTokensDetails"] = details
        if said:
            usage["candidatesTokenCount"] = said * self.choices
        if thought:
            usage["thoughtsTokenCount"] = thought * self.choices
        searched = any(type(segment) is Search for segment in turn.segments)
        if searched:
            usage["toolUsePromptTokenCount"] = _SEARCH_TOKENS
        extra = _SEARCH_TOKENS if searched else 0
        usage["totalTokenCount"] = total + (said + thought) * self.choices + extra
        if self.vertex:
            usage["trafficType"] = "ON_DEMAND"
        return usage


def _candidate(turn: Turn, parts: list[Any], index: int, whole: bool) -> dict[str, Any]:
    """The candidate that ends: `whole` or the last chunk of a stream."""
    made: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    made["finishReason"] = _FINISH.get(turn.finish, "STOP")
    made["index"] = index
    if turn.refusal is not None or turn.finish == "malformed":
        del made["content"]
    if turn.finish in ("content_filter", "refusal"):
        made["safetyRatings"] = _UNSAFE
    if turn.finish == "malformed":
        made["finishMessage"] = "Malformed function call: a demo directive asked for it."
    if grounding := _grounding(turn):
        made["groundingMetadata"] = grounding
    return made


def _grounding(turn: Turn) -> dict[str, Any] | None:
    searches = [segment for segment in turn.segments if type(segment) is Search]
    if not searches:
        return None
    chunks = [
        {"web": {"uri": source.url, "title": source.title, "domain": source.url.split("/")[2]}}
        for source in searches[0].sources
    ]
    supports = []
    before = 0
    for segment in turn.segments:
        if type(segment) is not Say:
            continue
        text = "".join(segment.pieces)
        for start, end, source in segment.cited():
            where = {
                "startIndex": before + len(text[:start].encode()),
                "endIndex": before + len(text[:end].encode()),
                "text": text[start:end],
            }
            number = searches[0].sources.index(source)
            supports.append({"segment": where, "groundingChunkIndices": [number]})
        before += len(text.encode())
    return {
        "webSearchQueries": [search.query for search in searches],
        "searchEntryPoint": {"renderedContent": "<div>demo</div>"},
        "groundingChunks": chunks,
        "groundingSupports": supports,
    }
