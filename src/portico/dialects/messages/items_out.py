"""The history as Messages turns.

Results of tools stand first and together in the user turn after their calls; thinking stands
unchanged in front of what it led to. What the API would refuse is set right here, and said:
https://platform.claude.com/docs/en/api/messages/create (2026-11-21)
"""

from collections.abc import Iterable

from msgspec import Raw

from portico.dialects.messages.maps import Family
from portico.dialects.messages.parts_out import Block, Parts, cache_control, natives
from portico.errors import BadRequest
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
from portico.model.turns import side, turns

Turn = dict[str, object]

FIRST = "(The conversation begins with the assistant.)"
"""The first message has to be of the user; this stands there when it is not."""
CONTINUE = "Continue."
"""Stands for the user where a model does not go on from an assistant's message."""


class History:
    """Writes the items of one request. `turns` are the messages; `pending` says that the last
    answer waits for results of tools it called."""

    __slots__ = ("_dialect", "_losses", "_parts", "_row", "_where", "turns")

    def __init__(self, dialect: str, row: Family, losses: Losses) -> None:
        self.turns: list[tuple[str, list[Block | Raw]]] = []
        self._dialect = dialect
        self._row = row
        self._losses = losses
        self._parts = Parts(dialect, losses)
        self._where = path(dialect, "items")

    def system(self, texts: Iterable[Text], leading: Iterable[Message]) -> list[Block]:
        """The blocks of `system`: instructions first."""
        blocks = [self._parts.block(text) for text in texts]
        blocks += [self._parts.block(part) for message in leading for part in message.parts]
        return [block for block in blocks if block is not None]

    def write(self, items: tuple[Item, ...]) -> None:
        """Make the turns. Raises `BadRequest`."""
        for turn in turns(self._placed(items)):
            blocks: list[Block | Raw] = []
            for item in turn.items:
                self._item(item, blocks)
            if turn.role == "assistant":
                self._no_thinking_last(blocks)
            if blocks:
                self._add(turn.role, blocks)
        if not self.turns:
            raise BadRequest(
                "There has to be at least one message that is not empty and not a system message.",
                code="invalid_value",
                param=self._where,
            )
        if self.turns[0][0] != "user":
            self.turns.insert(0, ("user", [{"type": "text", "text": FIRST}]))
            self._lost("adapted", "the first message has to be of the user; one was put in front")

    def finish(self, *, prefill: bool) -> None:
        """See to the last turn. `prefill`: the model goes on from an assistant's text."""
        role, blocks = self.turns[-1]
        if role != "assistant" or isinstance(blocks[-1], Raw):
            return  # raw: a server tool's result, a turn that was paused and is to go on
        last = blocks[-1]
        if last["type"] != "text":
            return
        if not prefill:
            self.turns.append(("user", [{"type": "text", "text": CONTINUE}]))
            self._lost("adapted", "the model does not continue an assistant message; it was asked")
        elif last["text"] != last["text"].rstrip():
            last["text"] = last["text"].rstrip()
            self._lost("adapted", "white space at the end of the last message was taken off")

    def waits_without_thinking(self) -> bool:
        """Whether the model is to go on after results of tools, and its own turn before them does
        not begin with thinking. With manual thinking that is a 400:
        https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-21)"""
        if len(self.turns) < 2 or self.turns[-1][0] != "user":
            return False
        first = self.turns[-1][1][0]
        if isinstance(first, Raw) or first["type"] != "tool_result":
            return False
        begun = self.turns[-2][1][0]
        return isinstance(begun, Raw) or begun["type"] not in ("thinking", "redacted_thinking")

    def _placed(self, items: tuple[Item, ...]) -> list[Item]:
        """System messages that may not stand where they are become text of the user, and so do
        summaries."""
        out: list[Item] = []
        at = 0
        while at < len(items):
            item = items[at]
            if isinstance(item, Compaction):
                out.extend(self._compaction(item))
            elif isinstance(item, Message) and item.role in ("system", "developer"):
                end = at
                while end < len(items) and _is_system(items[end]):
                    end += 1
                self._system_turn(items, at, end, out)
                at = end
                continue
            else:
                out.append(item)
            at += 1
        return out

    def _system_turn(self, items: tuple[Item, ...], at: int, end: int, out: list[Item]) -> None:
        group = items[at:end]
        follows = bool(out) and side(out[-1]) == "user"
        leads = end == len(items) or side(items[end]) == "assistant"
        if self._row.system_turns and follows and leads:
            out.extend(group)
            return
        for item in group:
            assert isinstance(item, Message)  # noqa: S101 - said by _is_system
            texts = [part.text for part in item.parts if isinstance(part, Text)]
            out.append(Message("user", (Text(f"<system>\n{chr(10).join(texts)}\n</system>"),)))
        self._lost("adapted", "a system message in the conversation was sent as text of the user")

    def _compaction(self, item: Compaction) -> list[Item]:
        sealed = item.sealed
        if sealed is not None and sealed.origin == "native:messages":
            raw = Raw(sealed.data.encode())
            return [Hosted(type="compaction", native=("messages", raw))]
        if item.text:
            self._lost("adapted", "a folded part of the conversation was sent as its summary")
            text = f"Summary of the conversation so far:\n{item.text}"
            return [Message("user", (Text(text),))]
        self._lost("dropped", "a folded part of the conversation that only its maker can read")
        return []

    def _item(self, item: Item, blocks: list[Block | Raw]) -> None:
        kind = type(item)
        if kind is Message:
            self._message(item, blocks)  # type: ignore[arg-type]
        elif kind is ToolCall:
            blocks.append(_call(item))  # type: ignore[arg-type]
        elif kind is ToolResult:
            blocks.append(self._result(item))  # type: ignore[arg-type]
        elif kind is Reasoning:
            self._reasoning(item, blocks)  # type: ignore[arg-type]
        elif kind is Hosted:
            self._hosted(item, blocks)  # type: ignore[arg-type]

    def _message(self, item: Message, blocks: list[Block | Raw]) -> None:
        if item.name:
            self._lost("dropped", "names of participants")
        for part in item.parts:
            block = self._parts.block(part)
            if block is not None:
                blocks.append(block)

    def _result(self, item: ToolResult) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": item.call_id}
        content = self._contents(item.output)
        if content:
            only = content[0]
            plain = len(content) == 1 and only.keys() == {"type", "text"}
            block["content"] = only["text"] if plain else content
        if item.is_error:
            block["is_error"] = True
        mark = item.cache
        for part in item.output:  # what is inside a result cannot be marked itself
            mark = getattr(part, "cache", None) or mark
        if mark is not None:
            block["cache_control"] = cache_control(mark)
        return block

    def _contents(self, parts: tuple[Part, ...]) -> list[Block]:
        out: list[Block] = []
        for part in parts:
            block = self._parts.block(part)
            if block is not None:
                block.pop("cache_control", None)
                out.append(block)
        return out

    def _reasoning(self, item: Reasoning, blocks: list[Block | Raw]) -> None:
        sealed = item.sealed
        if sealed is not None and sealed.kind == "signature":
            # the signature is of exactly this text
            text = "".join(item.summary) or "".join(item.content)
            blocks.append({"type": "thinking", "thinking": text, "signature": sealed.data})
        elif sealed is not None and sealed.kind == "redacted":
            blocks.append({"type": "redacted_thinking", "data": sealed.data})
        else:
            self._lost("dropped", "reasoning without its provider's proof cannot be replayed")

    def _hosted(self, item: Hosted, blocks: list[Block | Raw]) -> None:
        native = item.native
        if item.name == "user" and not item.type.endswith("_call"):
            self._lost("dropped", f"a '{item.type[:40]}' block, which only splicing can carry")
        elif native is not None and native[0] == "messages":
            blocks.extend(natives(native[1]))
        elif told := _restated(item):
            blocks.append({"type": "text", "text": told})
            self._lost("adapted", f"an earlier {item.type[:40]} was told as text")
        else:
            self._lost("dropped", f"an earlier {item.type[:40]}")

    def _no_thinking_last(self, blocks: list[Block | Raw]) -> None:
        """An assistant message may not end with thinking."""
        cut = False
        while blocks:
            last = blocks[-1]
            if isinstance(last, Raw) or "thinking" not in last["type"]:
                break
            blocks.pop()
            cut = True
        if cut:
            self._lost("dropped", "reasoning that nothing follows")

    def _add(self, role: str, blocks: list[Block | Raw]) -> None:
        if self.turns and self.turns[-1][0] == role:
            self.turns[-1][1].extend(blocks)
        else:
            self.turns.append((role, blocks))

    def _lost(self, how: str, reason: str) -> None:
        loss = Loss(self._where, "adapted" if how == "adapted" else "dropped", reason)
        if loss not in self._losses:
            self._losses.append(loss)


def _is_system(item: Item) -> bool:
    return isinstance(item, Message) and item.role in ("system", "developer")


def _call(item: ToolCall) -> Block:
    block: Block = {
        "type": "tool_use",
        "id": item.call_id,
        "name": item.name,
        "input": as_object(item.arguments),
    }
    if item.cache is not None:
        block["cache_control"] = cache_control(item.cache)
    return block


def _restated(item: Hosted) -> str:
    """What was done, in words; a picture has none."""
    lines = [item.input, item.output if item.type != "image_generation_call" else ""]
    lines += [f"{hit.title} {hit.url} {hit.text}".strip() for hit in item.hits]
    text = "\n".join([line for line in lines if line.strip()])
    return f"[{item.type}]\n{text}" if text else ""
