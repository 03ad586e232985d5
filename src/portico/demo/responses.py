"""OpenAI Responses, as the demo provider writes it: the grammar of the stream and its objects.

`sequence_number` counts from 0 without gaps, every item and part is announced and closed, the
terminal event carries the same object that `answer` gives. As OpenAI does, no `[DONE]`. Reasoning
is an item with `encrypted_content`: its summary when one was asked for, else its raw text.
The request side is in `responses_in.py`.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Raw, Struct

from portico.demo.faults import RefusedError, encode, openai_error
from portico.demo.script import Ask, Call, Pieces, Stamp, Turn, seal

__all__ = ["Responses"]

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Responses(Struct, frozen=True, kw_only=True):
    """One Responses request. `echo` are the effective parameters every snapshot repeats."""

    ask: Ask
    prompt: list[bytes]
    cache_key: str | None
    stream: bool
    stored: bool
    previous: str | None
    summary: bool
    echo: dict[str, Raw]

    path = b"/responses"
    marks_cache = False

    def answer(self, turn: Turn, stamp: Stamp) -> bytes:
        """The whole body of an unstreamed answer, and the object of the terminal event."""
        return encode(self._finished(turn, stamp))

    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]:
        """The frames of a streamed answer."""
        writer = _Writer()
        opening = {"response": Raw(encode(self._snapshot(stamp, "in_progress")))}
        yield writer.event("response.created", opening)
        yield writer.event("response.in_progress", opening)
        items = self._items(turn, stamp)
        for index, item in enumerate(items):
            added = {"output_index": index, "item": _shell(item)}
            yield writer.event("response.output_item.added", added)
            where = {"item_id": item["id"], "output_index": index}
            if item["type"] == "reasoning":
                yield from writer.reasoning(where, turn.reasoning, self.summary)
            elif item["type"] == "message":
                yield from writer.message(where, turn.text)
            else:
                call = turn.calls[index - len(items) + len(turn.calls)]
                yield from writer.call(where, call)
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
        items: list[dict[str, Any]] = []
        if turn.reasoning:
            thought = "".join(turn.reasoning)
            item: dict[str, Any] = {"id": f"rs_{stamp.uid}", "type": "reasoning"}
            if self.summary:
                item["summary"] = [{"type": "summary_text", "text": thought}]
            else:
                item["summary"] = []
                item["content"] = [{"type": "reasoning_text", "text": thought}]
            items.append({**item, "encrypted_content": seal(thought)})
        if turn.text:
            items.append(
                {
                    "id": f"msg_{stamp.uid}",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [_part("".join(turn.text))],
                }
            )
        for index, call in enumerate(turn.calls):
            items.append(_call_item(call, stamp, index))
        if turn.finish in _REASONS and items and "status" in items[-1]:
            items[-1]["status"] = "incomplete"
        return items


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _call_item(call: Call, stamp: Stamp, index: int) -> dict[str, Any]:
    arguments = "".join(call.arguments)
    if call.custom:
        head: dict[str, Any] = {"id": f"ctc_{stamp.uid}{index}", "type": "custom_tool_call"}
        tail = {"input": arguments}
    else:
        head = {"id": f"fc_{stamp.uid}{index}", "type": "function_call"}
        tail = {"arguments": arguments}
    call_id = f"call_{stamp.uid}{index}"
    return {**head, "status": "completed", "call_id": call_id, "name": call.name, **tail}


def _shell(item: dict[str, Any]) -> dict[str, Any]:
    """The item as `output_item.added` announces it: named, and empty."""
    empty: dict[str, Any] = {"content": [], "summary": [], "arguments": "", "input": ""}
    shell = {key: empty.get(key, value) for key, value in item.items()}
    if "status" in shell:
        shell["status"] = "in_progress"
    shell.pop("encrypted_content", None)
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

    def message(self, where: dict[str, Any], texts: Pieces) -> Iterator[bytes]:
        at = {**where, "content_index": 0}
        whole = "".join(texts)
        yield self.event("response.content_part.added", {**at, "part": _part("")})
        yield from self.deltas("response.output_text.delta", {**at, "logprobs": []}, texts)
        yield self.event("response.output_text.done", {**at, "text": whole, "logprobs": []})
        yield self.event("response.content_part.done", {**at, "part": _part(whole)})

    def call(self, where: dict[str, Any], call: Call) -> Iterator[bytes]:
        whole = "".join(call.arguments)
        if call.custom:
            stem, done = "response.custom_tool_call_input", {"input": whole}
        else:
            stem, done = "response.function_call_arguments", {"arguments": whole, "name": call.name}
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
