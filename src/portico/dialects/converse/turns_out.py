"""The history as Converse messages: user and assistant take turns, the user begins.

Rules (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html, 2026-11-21):
results of all calls of a turn are in the one user message behind it, before anything else; a
document needs text beside it; blank text is refused; pictures and documents come from users only.
"""

import base64
from typing import Any

from msgspec import Struct

from portico.dialects.checks import unsupported
from portico.dialects.converse.content_out import Block, Content
from portico.dialects.converse.maps import Family
from portico.dialects.converse.points import Points
from portico.model.arguments import as_object
from portico.model.items import (
    Compaction,
    Hosted,
    Item,
    Message,
    Reasoning,
    ToolCall,
    ToolResult,
)
from portico.model.losses import Loss, Losses
from portico.model.parts import Part, Text
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest
from portico.model.turns import leading_system, turns

BEGIN = "(The conversation goes on.)"
"""Stands before a history that begins with the assistant."""


class Written(Struct, frozen=True):
    """`tools` are the names of calls in the history, in order, each once."""

    system: list[Block]
    messages: list[dict[str, Any]]
    tools: tuple[str, ...]


class _Turn(Struct, gc=False):
    role: str
    results: list[Block]
    rest: list[Block]


class Writer:
    """Writes the history of one request. Not reusable."""

    __slots__ = ("_content", "_losses", "_points", "_row", "_tools", "_where")

    def __init__(
        self, request: GenerateRequest, row: Family, points: Points, losses: Losses
    ) -> None:
        self._row = row
        self._points = points
        self._losses = losses
        self._where = path(request.dialect, "items")
        self._content = Content(row, self._where, losses)
        self._tools: dict[str, None] = {}

    def write(self, request: GenerateRequest) -> Written:
        """System blocks and messages. Raises `BadRequest` for content that cannot be sent."""
        self._unsaid(request.items)
        lead, items = leading_system(request.items)
        system: list[Block] = []
        for part in (*request.instructions, *(part for item in lead for part in item.parts)):
            if not isinstance(part, Text):
                raise unsupported(
                    self._where,
                    "This provider takes text only in system and developer messages.",
                    code="unsupported_content",
                )
            self._put(system, part)
        self._points.end(system)
        grouped = self._grouped(items)
        if system and (not self._row.system or not grouped):
            # No place for it, or nothing else to say: it is what the user says.
            texts = [block for block in system if "text" in block]
            if not grouped or grouped[0].role != "user":
                grouped.insert(0, _Turn("user", [], []))
            grouped[0].rest[:0] = texts
            self._lose("adapted", "system text was sent as a user message")
            system = []
        if grouped and grouped[0].role != "user":
            grouped.insert(0, _Turn("user", [], [{"text": BEGIN}]))
            self._lose("adapted", "the history began with the assistant; a user message was added")
        self._finish(grouped)
        messages = [{"role": turn.role, "content": turn.results + turn.rest} for turn in grouped]
        return Written(system, messages, tuple(self._tools))

    def _unsaid(self, items: tuple[Item, ...]) -> None:
        """Declare what messages have no place for."""
        said = [item for item in items if isinstance(item, Message)]
        if any(item.name for item in said):
            self._lose("dropped", "names of participants")
        if any(isinstance(part, Text) and part.citations for item in said for part in item.parts):
            self._lose("dropped", "citations of another provider's answer")

    def _grouped(self, items: tuple[Item, ...]) -> list[_Turn]:
        grouped: list[_Turn] = []
        for turn in turns([self._spoken(item) for item in items]):
            made = _Turn(turn.role, [], [])
            for item in turn.items:
                self._item(item, made)
            if not made.results and not made.rest:
                continue
            if grouped and grouped[-1].role == made.role:
                grouped[-1].results += made.results
                grouped[-1].rest += made.rest
            else:
                grouped.append(made)
        return grouped

    def _spoken(self, item: Item) -> Item:
        """System text in the middle is said by the user: there is one place for it, the top."""
        if not isinstance(item, Message) or item.role in ("user", "assistant"):
            return item
        text = "\n\n".join([part.text for part in item.parts if isinstance(part, Text)])
        self._lose("adapted", "system text in the middle was sent as a user message")
        others = tuple([part for part in item.parts if not isinstance(part, Text)])
        return Message("user", (Text(f"<system>\n{text}\n</system>"), *others))

    def _finish(self, grouped: list[_Turn]) -> None:
        """What can only be said about whole turns."""
        for turn in grouped:
            has = {name for block in turn.rest for name in block}
            if "document" in has and "text" not in has:
                named = [b["document"]["name"] for b in turn.rest if "document" in b]
                turn.rest.append({"text": f"Attached: {', '.join(named)}"})
        for turn in reversed(grouped):
            if turn.role == "user":
                if self._points.automatic > 0:
                    self._points.end(turn.rest or turn.results)
                break
        last = grouped[-1] if grouped else None
        if last is not None and last.role == "assistant" and last.rest and "text" in last.rest[-1]:
            # A beginning for the model to go on with must not end in white space.
            last.rest[-1] = {"text": last.rest[-1]["text"].rstrip()}

    def _item(self, item: Item, turn: _Turn) -> None:
        if isinstance(item, Message):
            for part in item.parts:
                if item.role == "assistant" and not isinstance(part, Text):
                    text = getattr(part, "text", None)
                    if not isinstance(text, str):
                        self._lose("dropped", "the assistant's side holds text only")
                        continue
                self._put(turn.rest, part)
        elif isinstance(item, ToolCall):
            self._call(item, turn)
        elif isinstance(item, ToolResult):
            self._result(item, turn)
        elif isinstance(item, Reasoning):
            self._reasoning(item, turn)
        elif isinstance(item, Hosted):
            self._hosted(item, turn)
        elif isinstance(item, Compaction):
            if item.text.strip():
                turn.rest.append({"text": item.text})
            else:
                self._lose("dropped", "a compaction of another provider cannot be read")

    def _put(self, blocks: list[Block], part: Part) -> None:
        block = self._content.block(part)
        if block is None:
            return
        blocks.append(block)
        point = self._points.after(getattr(part, "cache", None))
        if point is not None:
            blocks.append(point)

    def _call(self, item: ToolCall, turn: _Turn) -> None:
        self._tools[item.name] = None
        use = {"toolUseId": item.call_id, "name": item.name, "input": as_object(item.arguments)}
        turn.rest.append({"toolUse": use})
        point = self._points.after(item.cache)
        if point is not None:
            turn.rest.append(point)

    def _result(self, item: ToolResult, turn: _Turn) -> None:
        content: list[Block] = []
        mark = item.cache
        for part in item.output:
            block = self._content.block(part)
            if block is not None:
                content.append(block)
            mark = mark or getattr(part, "cache", None)
        result: Block = {"toolUseId": item.call_id, "content": content}
        if item.is_error:
            if self._row.is_error:
                result["status"] = "error"
            else:
                content.insert(0, {"text": "Error:"})
                self._lose("adapted", "that a tool failed was said in words")
        if not content:
            content.append({"text": "(no output)"})
        turn.results.append({"toolResult": result})
        point = self._points.after(mark)
        if point is not None:
            turn.results.append(point)

    def _reasoning(self, item: Reasoning, turn: _Turn) -> None:
        sealed = item.sealed
        if sealed is None:
            self._lose("dropped", "reasoning without its provider's proof cannot be replayed")
        elif not self._row.replay:
            self._lose("dropped", "this model does not take reasoning back")
        elif sealed.kind == "signature":
            # The signature covers exactly this text.
            text = "".join(item.content or item.summary)
            said = {"text": text, "signature": sealed.data}
            turn.rest.append({"reasoningContent": {"reasoningText": said}})
        elif sealed.kind == "redacted":
            data = sealed.data
            if sealed.origin == "native:messages":
                # Anthropic's own string, which Bedrock carries as bytes (recorded 2026-10).
                data = base64.b64encode(data.encode()).decode("ascii")
            turn.rest.append({"reasoningContent": {"redactedContent": data}})
        else:
            self._lose("dropped", "reasoning of another dialect cannot be replayed")

    def _hosted(self, item: Hosted, turn: _Turn) -> None:
        """The provider's own doing, told as text."""
        lines = [item.input, item.output if item.type != "image_generation_call" else ""]
        lines += [f"{hit.title} {hit.url} {hit.text}".strip() for hit in item.hits]
        text = "\n".join([line for line in lines if line.strip()])
        if text:
            turn.rest.append({"text": f"[{item.type}]\n{text}"})
            self._lose("adapted", "a call of the provider's own was told as text")
        else:
            self._lose("dropped", "a call of the provider's own cannot be replayed")

    def _lose(self, how: Any, reason: str) -> None:
        loss = Loss(self._where, how, reason)
        if loss not in self._losses:
            self._losses.append(loss)
