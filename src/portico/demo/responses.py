"""OpenAI Responses, as the demo provider writes it: the grammar of the stream and its objects.

`sequence_number` counts from 0 without gaps, every item and part is announced and closed, the
terminal event carries the same object that `answer` gives. As OpenAI does, no `[DONE]`. Reasoning
is an item with `encrypted_content`: its summary when one was asked for, else its raw text. A call
that came after reasoning has an `id` with an `r`, so that it is refused without it on its return.
The request side is in `responses_in.py`.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Raw, Struct

from portico.demo.arrival import SSE
from portico.demo.faults import RefusedError, encode, openai_error
from portico.demo.script import Ask, Call, Pieces, Say, Search, Segment, Stamp, Thought, Turn
from portico.demo.seals import seal

__all__ = ["Responses"]

_REASONS = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "content_filter": "content_filter",
}


class Responses(Struct, frozen=True, kw_only=True):
    """One Responses request. `echo` are the effective parameters every snapshot repeats, `given`
    the items of the input."""

    ask: Ask
    prompt: list[bytes]
    cache_key: str | None
    stream: bool
    stored: bool
    previous: str | None
    summary: bool
    echo: dict[str, Raw]
    sources: bool = False
    background: bool = False
    given: list[dict[str, Any]] = []

    marks_cache = False
    stream_headers = SSE

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer, and the object of the terminal event."""
        return encode(self._finished(turn, stamp))

    def started(self, stamp: Stamp, status: str) -> bytes:
        """The object of a response that is not complete yet."""
        return encode(self._snapshot(stamp, status))

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer."""
        writer = _Writer()
        opening = {"response": Raw(encode(self._snapshot(stamp, "in_progress")))}
        yield writer.event("response.created", opening)
        yield writer.event("response.in_progress", opening)
        items = self._items(turn, stamp)
        for index, (segment, item) in enumerate(zip(turn.segments, items, strict=True)):
            added = {"output_index": index, "item": _shell(item)}
            yield writer.event("response.output_item.added", added)
            where = {"item_id": item["id"], "output_index": index}
            if type(segment) is Thought:
                if not segment.hidden:
                    yield from writer.reasoning(where, segment.pieces, self.summary)
            elif type(segment) is Say:
                yield from writer.message(where, segment, item["content"][0])
            elif type(segment) is Search:
                for step in ("in_progress", "searching", "completed"):
                    yield writer.event(f"response.web_search_call.{step}", where)
            elif type(segment) is Call:
                yield from writer.call(where, segment)
            yield writer.event("response.output_item.done", {"output_index": index, "item": item})
        final = self._finished(turn, stamp)
        yield writer.event(f"response.{final['status']}", {"response": final})

    def failure(self, turn: Turn, stamp: Stamp, error: RefusedError, after: int) -> Iterator[bytes]:
        """What ends a stream that fails after `after` events: `error`, then `response.failed`."""
        writer = _Writer(after)
        inner = openai_error(error)
        yield writer.event("error", {"error": inner})
        failed = self._snapshot(stamp, "failed")
        failed["error"] = {"code": inner["code"] or inner["type"], "message": inner["message"]}
        yield writer.event("response.failed", {"response": failed})

    def _snapshot(self, stamp: Stamp, status: str) -> dict[str, Any]:
        return {
            "id": f"resp_{stamp.uid}",
            "object": "response",
            "created_at": stamp.created,
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.ask.model,
            "output": [],
            "usage": None,
            **self.echo,
        }

    def _finished(self, turn: Turn, stamp: Stamp) -> dict[str, Any]:
        reason = _REASONS.get(turn.finish)
        body = self._snapshot(stamp, "incomplete" if reason else "completed")
        if reason:
            body["incomplete_details"] = {"reason": reason}
        else:
            body["completed_at"] = stamp.created
        body["output"] = self._items(turn, stamp)
        body["usage"] = {
            "input_tokens": turn.input.total,
            "input_tokens_details": {
                "cached_tokens": turn.input.cached,
                "cache_write_tokens": turn.input.written,
            },
            "output_tokens": turn.output,
            "output_tokens_details": {"reasoning_tokens": turn.thinking},
            "total_tokens": turn.input.total + turn.output,
        }
        return body

    def _items(self, turn: Turn, stamp: Stamp) -> list[dict[str, Any]]:
        items = []
        thought = False
        for index, segment in enumerate(turn.segments):
            if type(segment) is Thought:
                thought = True
                items.append(self._reasoning(turn, stamp, index))
            else:
                items.append(self._item(segment, f"{stamp.uid}{'r' if thought else '_'}{index}"))
        if turn.finish in _REASONS and items and "status" in items[-1]:
            items[-1]["status"] = "incomplete"
        return items

    def _reasoning(self, turn: Turn, stamp: Stamp, index: int) -> dict[str, Any]:
        segment = turn.segments[index]
        thought = "".join(segment.pieces)
        item: dict[str, Any] = {"id": f"rs_{stamp.uid}_{index}", "type": "reasoning", "summary": []}
        if type(segment) is Thought and not segment.hidden:
            if self.summary:
                item["summary"] = [{"type": "summary_text", "text": thought}]
            else:
                item["content"] = [{"type": "reasoning_text", "text": thought}]
        state = seal("reasoning", "", turn=stamp.turn, index=index, after=turn.after(index))
        return {**item, "encrypted_content": state}

    def _item(self, segment: Segment, key: str) -> dict[str, Any]:
        if type(segment) is Call:
            return _call_item(segment, key)
        if type(segment) is Search:
            action: dict[str, Any] = {"type": "search", "query": segment.query}
            action["queries"] = [segment.query]
            if self.sources:
                action["sources"] = [{"type": "url", "url": each.url} for each in segment.sources]
            head = {"id": f"ws_{key}", "type": "web_search_call"}
            return {**head, "status": "completed", "action": action}
        part = _refusal if type(segment) is Say and segment.refusal else _part
        return {
            "id": f"msg_{key}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [part(segment)],
        }


def _part(segment: Segment) -> dict[str, Any]:
    annotations = [
        {
            "type": "url_citation",
            "start_index": start,
            "end_index": end,
            "url": source.url,
            "title": source.title,
        }
        for start, end, source in (segment.cited() if type(segment) is Say else ())
    ]
    return _output_text("".join(segment.pieces), annotations)


def _output_text(text: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "annotations": annotations, "logprobs": [], "text": text}


def _refusal(segment: Segment) -> dict[str, Any]:
    return {"type": "refusal", "refusal": "".join(segment.pieces)}


def _call_item(call: Call, key: str) -> dict[str, Any]:
    if call.custom:
        head: dict[str, Any] = {"id": f"ctc_{key}", "type": "custom_tool_call"}
        tail = {"input": call.whole}
    else:
        head = {"id": f"fc_{key}", "type": "function_call"}
        tail = {"arguments": call.whole}
    more = {} if call.namespace is None else {"namespace": call.namespace}
    call_id = f"call_{key}"
    return {**head, "status": "completed", "call_id": call_id, "name": call.name, **more, **tail}


def _shell(item: dict[str, Any]) -> dict[str, Any]:
    """The item as `output_item.added` announces it: named, and empty."""
    empty: dict[str, Any] = {"content": [], "summary": [], "arguments": "", "input": ""}
    shell = {key: empty.get(key, value) for key, value in item.items()}
    if "status" in shell:
        shell["status"] = "in_progress"
    shell.pop("encrypted_content", None)
    shell.pop("action", None)
    return shell


class _Writer:
    """Numbers and frames events."""

    __slots__ = ("_next",)

    def __init__(self, start: int = 0) -> None:
        self._next = start

    def event(self, kind: str, data: dict[str, Any]) -> bytes:
        body = encode({"type": kind, "sequence_number": self._next, **data})
        self._next += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)

    def deltas(self, kind: str, data: dict[str, Any], texts: Pieces) -> Iterator[bytes]:
        constant = encode({"type": kind, **data})[:-1]
        head = b"event: %b\ndata: %b," % (kind.encode(), constant)
        for text in texts:
            yield b'%b"delta":%b,"sequence_number":%d}\n\n' % (head, encode(text), self._next)
            self._next += 1

    def message(self, where: dict[str, Any], said: Say, part: dict[str, Any]) -> Iterator[bytes]:
        at = {**where, "content_index": 0}
        whole = "".join(said.pieces)
        if said.refusal:
            empty: dict[str, Any] = {"type": "refusal", "refusal": ""}
            yield self.event("response.content_part.added", {**at, "part": empty})
            yield from self.deltas("response.refusal.delta", at, said.pieces)
            yield self.event("response.refusal.done", {**at, "refusal": whole})
        else:
            empty = _output_text("", [])
            yield self.event("response.content_part.added", {**at, "part": empty})
            yield from self.deltas(
                "response.output_text.delta", {**at, "logprobs": []}, said.pieces
            )
            for index, each in enumerate(part["annotations"]):
                more = {"annotation_index": index, "annotation": each}
                yield self.event("response.output_text.annotation.added", {**at, **more})
            yield self.event("response.output_text.done", {**at, "text": whole, "logprobs": []})
        yield self.event("response.content_part.done", {**at, "part": part})

    def call(self, where: dict[str, Any], call: Call) -> Iterator[bytes]:
        done = {"input": call.whole}
        stem = "response.custom_tool_call_input"
        if not call.custom:
            stem = "response.function_call_arguments"
            done = {"arguments": call.whole, "name": call.name}
        yield from self.deltas(f"{stem}.delta", where, call.arguments)
        yield self.event(f"{stem}.done", {**where, **done})

    def reasoning(self, where: dict[str, Any], texts: Pieces, summary: bool) -> Iterator[bytes]:
        whole = "".join(texts)
        index = "summary_index" if summary else "content_index"
        kind = "summary_text" if summary else "reasoning_text"
        part = "response.reasoning_summary_part" if summary else "response.content_part"
        text = f"response.reasoning_{'summary_' if summary else ''}text"
        at = {**where, index: 0}
        yield self.event(f"{part}.added", {**at, "part": {"type": kind, "text": ""}})
        yield from self.deltas(f"{text}.delta", at, texts)
        yield self.event(f"{text}.done", {**at, "text": whole})
        yield self.event(f"{part}.done", {**at, "part": {"type": kind, "text": whole}})
