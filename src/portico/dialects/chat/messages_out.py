"""The history of the hub as chat messages.

The flat items become one assistant message per stretch of text and calls. Text that follows calls
begins a message of its own behind the results, so that order is kept; results stand right behind
the message with their calls, wherever they stood before.
"""

from base64 import b64encode
from collections import deque
from typing import Any

from msgspec import Raw, Struct

from portico.dialects.chat.maps import Quirks
from portico.dialects.media import data_url
from portico.errors import BadRequest
from portico.model.items import Compaction, Hosted, Item, Message, Reasoning, ToolCall, ToolResult
from portico.model.losses import Loss, Losses
from portico.model.parts import Audio, CacheMark, File, Image, Part, Refusal, Source, Text, Video
from portico.model.passes.paths import at
from portico.model.request import GenerateRequest

_EXTENSIONS = {"application/pdf": "pdf", "text/plain": "txt", "text/csv": "csv",
               "text/markdown": "md", "application/json": "json", "text/html": "html"}  # fmt: skip


def messages(request: GenerateRequest, quirks: Quirks, losses: Losses) -> list[dict[str, Any]]:
    """`messages`, instructions first. Raises `BadRequest` for parts there is no form for."""
    writer = _Writer(request, quirks, losses)
    if request.instructions:
        content = writer.text_content(request.instructions, "\n\n")
        writer.out.append({"role": "system", "content": content})
    for index, item in enumerate(request.items):
        writer.add(item, index)
    writer.flush()
    out = writer.out
    if request.caching and quirks.cache_control:
        _mark_prefix(out, CacheMark(request.caching_ttl))
    if quirks.alternates:
        out = _alternating(out)
    if quirks.replay == "reasoning_content":
        _in_loops(out, quirks)
    if quirks.prefix and out and out[-1]["role"] == "assistant" and "tool_calls" not in out[-1]:
        out[-1]["prefix"] = True  # https://docs.mistral.ai/api (2026-11-21)
    return out


class _Turn(Struct, eq=False, gc=False):
    """An assistant message that grows."""

    parts: list[Part] = []
    reasoning: list[Reasoning] = []
    calls: list[dict[str, Any]] = []
    results: list[ToolResult] = []
    signature: str | None = None


class _Writer:
    """Makes messages of items, in order."""

    def __init__(self, request: GenerateRequest, quirks: Quirks, losses: Losses) -> None:
        self.out: list[dict[str, Any]] = []
        self._quirks = quirks
        self._losses = losses
        self._dialect = request.dialect
        self._turn = _Turn()
        self._pending: list[Reasoning] = []
        self._results: dict[str, deque[ToolResult]] = {}
        self._placed: set[int] = set()
        for item in request.items:
            if isinstance(item, ToolResult):
                self._results.setdefault(item.call_id, deque()).append(item)

    def add(self, item: Item, index: int) -> None:
        """Take the next item."""
        if isinstance(item, Message):
            if item.role == "assistant":
                self._say(item, index)
            else:
                self.flush()
                self._message(item, index)
        elif isinstance(item, ToolCall):
            self._call(item)
        elif isinstance(item, ToolResult):
            self.flush()
            if id(item) not in self._placed:
                self._result(item, index)
        elif isinstance(item, Reasoning):
            self._reason(item, index)
        elif isinstance(item, Hosted):
            self._hosted(item, index)
        elif isinstance(item, Compaction):
            self._compaction(item, index)

    def flush(self) -> None:
        """Write the assistant message that is open, and the results of its calls."""
        turn = self._turn
        turn.reasoning.extend(self._pending)
        self._pending = []
        if turn.parts or turn.calls:
            self._write(turn)
        elif turn.reasoning:
            self._losses.append(
                Loss(at(self._dialect, 0), "dropped", "reasoning that led to nothing has no place")
            )
        for result in turn.results:
            self._result(result, -1)
        self._turn = _Turn()

    def text_content(self, parts: tuple[Text, ...], between: str) -> Any:
        """Texts as a string where that says the same, else as parts."""
        marks = self._quirks.cache_control and any(part.cache is not None for part in parts)
        if marks or (self._quirks.parts and len(parts) > 1):
            return [self._marked({"type": "text", "text": part.text}, part.cache) for part in parts]
        return between.join([part.text for part in parts])

    def _message(self, item: Message, index: int) -> None:
        role: str = item.role
        if role == "developer" and not self._quirks.developer:
            role = "system"
        message: dict[str, Any] = {"role": role}
        texts = tuple([part for part in item.parts if type(part) is Text])
        if len(texts) == len(item.parts):
            message["content"] = self.text_content(texts, "\n")
        else:
            content: list[dict[str, Any]] = []
            for position, part in enumerate(item.parts):
                where = f"{at(self._dialect, index)}.content[{position}]"
                if isinstance(part, File):
                    self._around(part, where, content)
                content.append(self._part(part, where))
            message["content"] = content
        if item.name:
            self._name(item.name, index, message)
        self.out.append(message)

    def _name(self, name: str, index: int, message: dict[str, Any]) -> None:
        if self._quirks.names:
            message["name"] = name
        else:
            where = f"{at(self._dialect, index)}.name"
            self._losses.append(Loss(where, "dropped", "this provider's messages have no names"))

    def _around(self, part: File, where: str, content: list[dict[str, Any]]) -> None:
        """What belongs to a file and has no place in it. Raises `BadRequest` for an id of another
        provider's store."""
        if part.source.kind == "file_id" and self._dialect == "messages":
            raise BadRequest(
                "This model cannot be given files that were uploaded to another provider.",
                code="unsupported_content",
                param=where,
            )
        if part.context:
            content.append({"type": "text", "text": part.context})
            self._losses.append(Loss(f"{where}.context", "adapted", "sent as text before the file"))
        if part.citations:
            self._losses.append(
                Loss(f"{where}.citations", "dropped", "this provider does not cite from files")
            )

    def _say(self, item: Message, index: int) -> None:
        if self._turn.calls:
            pending, self._pending = self._pending, []
            self.flush()
            self._pending = pending
        turn = self._turn
        turn.reasoning.extend(self._pending)
        self._pending = []
        if any(isinstance(part, Text) and part.citations for part in item.parts):
            where = at(self._dialect, index)
            self._losses.append(
                Loss(where, "dropped", "citations of an earlier answer have no form here")
            )
        for part in item.parts:
            if isinstance(part, Text | Refusal):
                turn.parts.append(part)
            else:
                where = f"{at(self._dialect, index)}.content"
                self._losses.append(
                    Loss(where, "dropped", "this API takes only text from the assistant")
                )

    def _call(self, item: ToolCall) -> None:
        turn = self._turn
        kind = "custom" if item.kind == "custom" else "function"
        inner = {"name": item.name, "input" if kind == "custom" else "arguments": item.arguments}
        call: dict[str, Any] = {"id": item.call_id, "type": kind, kind: inner}
        signature: str | None = None
        for reasoning in self._pending:
            sealed = reasoning.sealed
            if sealed is not None and sealed.kind == "next" and self._quirks.replay == "signature":
                signature = sealed.data
            else:
                turn.reasoning.append(reasoning)
        self._pending = []
        if signature is None and not turn.calls:
            signature = self._quirks.dummy_signature
        if signature is not None:
            call["extra_content"] = {"google": {"thought_signature": signature}}
        turn.calls.append(call)
        waiting = self._results.get(item.call_id)
        if waiting:
            result = waiting.popleft()
            self._placed.add(id(result))
            turn.results.append(result)

    def _reason(self, item: Reasoning, index: int) -> None:
        sealed, replay = item.sealed, self._quirks.replay
        if replay == "signature":
            if sealed is not None and sealed.kind == "previous":
                self._turn.signature = sealed.data
                return
            if sealed is not None and sealed.kind == "next":
                self._pending.append(item)
                return
        elif replay == "details":
            if item.content or item.summary or (sealed is not None and sealed.kind == "details"):
                self._pending.append(item)
                return
        elif replay and (item.content or item.summary):
            self._pending.append(item)
            return
        self._losses.append(
            Loss(at(self._dialect, index), "dropped", "this provider takes no reasoning back")
        )

    def _hosted(self, item: Hosted, index: int) -> None:
        """What the other provider's tool did, in words; chat has no item for it."""
        where = at(self._dialect, index)
        told = _told(item)
        if told:
            self._say(Message("assistant", (Text(told),)), index)
            self._losses.append(Loss(where, "adapted", f"{item.type[:40]} was restated as text"))
        else:
            self._losses.append(Loss(where, "dropped", f"{item.type[:40]} cannot be replayed"))

    def _compaction(self, item: Compaction, index: int) -> None:
        where = at(self._dialect, index)
        if item.text:
            self.flush()
            self.out.append({"role": "user", "content": item.text})
            self._losses.append(Loss(where, "adapted", "the summary was sent as a user message"))
        else:
            self._losses.append(
                Loss(where, "dropped", "a compaction of another provider cannot be read")
            )

    def _result(self, item: ToolResult, index: int) -> None:
        texts = tuple([part for part in item.output if type(part) is Text])
        if len(texts) < len(item.output):
            self._losses.append(
                Loss(at(self._dialect, index), "dropped", "tools give only text to this API")
            )
        content = self.text_content(texts, "\n")
        if item.is_error:
            where = f"{at(self._dialect, index)}.is_error"
            self._losses.append(
                Loss(where, "adapted", "the output was marked as an error in words")
            )
            if isinstance(content, str):
                content = f"Error: {content}" if content else "Error"
            else:
                content = [{"type": "text", "text": "Error:"}, *content]
        self.out.append({"role": "tool", "tool_call_id": item.call_id, "content": content})

    def _write(self, turn: _Turn) -> None:
        message: dict[str, Any] = {"role": "assistant"}
        refusals = [part.text for part in turn.parts if isinstance(part, Refusal)]
        separate = self._quirks.refusals and refusals
        text = "".join(
            [
                part.text  # type: ignore[union-attr]
                for part in turn.parts
                if type(part) is Text or not separate
            ]
        )
        message["content"] = text or None
        if separate:
            message["refusal"] = "".join(refusals)
        if turn.reasoning:
            self._replayed(turn.reasoning, text, message)
        if turn.calls:
            message["tool_calls"] = turn.calls
        elif message["content"] is None and not separate:
            message["content"] = ""
        if turn.signature is not None:
            message["extra_content"] = {"google": {"thought_signature": turn.signature}}
        self.out.append(message)

    def _replayed(self, blocks: list[Reasoning], text: str, message: dict[str, Any]) -> None:
        replay = self._quirks.replay
        if replay == "details":
            message["reasoning_details"] = [
                element for each in blocks for element in _details(each)
            ]
        elif replay == "thinking":
            content: list[dict[str, Any]] = [
                {"type": "thinking", "thinking": [{"type": "text", "text": _words(each)}]}
                for each in blocks
            ]
            if text:
                content.append({"type": "text", "text": text})
            message["content"] = content
        else:
            message["reasoning_content"] = "\n\n".join([_words(each) for each in blocks])

    def _marked(self, part: dict[str, Any], mark: CacheMark | None) -> dict[str, Any]:
        if mark is not None and self._quirks.cache_control:
            part["cache_control"] = _cache_control(mark)
        return part

    def _part(self, part: Part, where: str) -> dict[str, Any]:
        match part:
            case Text():
                return self._marked({"type": "text", "text": part.text}, part.cache)
            case Refusal():
                return {"type": "text", "text": part.text}
            case Image():
                return self._marked(_image(part, where), part.cache)
            case File():
                return self._marked(_file(part), part.cache)
            case Audio():
                inner = {"data": part.data, "format": part.format}
                return {"type": "input_audio", "input_audio": inner}
            case Video():
                url = part.source.value if part.source.kind == "url" else data_url(part.source)
                return {"type": "video_url", "video_url": {"url": url}}


def _image(part: Image, where: str) -> dict[str, Any]:
    if part.source.kind not in ("url", "base64"):
        raise BadRequest("This provider takes images by URL or as data.",
                         code="unsupported_content", param=where)  # fmt: skip
    url = part.source.value if part.source.kind == "url" else data_url(part.source)
    inner = {"url": url}
    if part.detail is not None:
        inner["detail"] = part.detail
    return {"type": "image_url", "image_url": inner}


def _file(part: File) -> dict[str, Any]:
    found = part.source
    if found.kind == "file_id":
        return {"type": "file", "file": {"file_id": found.value}}
    name = part.filename or f"file.{_EXTENSIONS.get(found.media_type, 'bin')}"
    if found.kind == "url":
        data = found.value
    elif found.kind == "text":
        data = _text_data_url(found)
    else:
        data = data_url(found)
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _text_data_url(found: Source) -> str:
    """Plain text as a base64 data URL."""
    kind = found.media_type or "text/plain"
    return f"data:{kind};base64,{b64encode(found.value.encode()).decode('ascii')}"


def _cache_control(mark: CacheMark) -> dict[str, str]:
    return {"type": "ephemeral", "ttl": mark.ttl} if mark.ttl else {"type": "ephemeral"}


def _words(item: Reasoning) -> str:
    return "\n\n".join((*item.content, *item.summary))


def _details(item: Reasoning) -> list[Any]:
    if item.sealed is not None and item.sealed.kind == "details":
        return [Raw(item.sealed.data.encode())]
    return [
        *[{"type": "reasoning.text", "text": text} for text in item.content],
        *[{"type": "reasoning.summary", "summary": text} for text in item.summary],
    ]


def _told(item: Hosted) -> str:
    lines = [f"[{item.type}]", item.input, item.output if "image" not in item.type else ""]
    lines += [f"{hit.title} {hit.url}\n{hit.text}".strip() for hit in item.hits]
    text = "\n".join([line for line in lines if line])
    return text if text != lines[0] else ""


def _mark_prefix(out: list[dict[str, Any]], mark: CacheMark) -> None:
    """A cache mark at the end of the static prefix: the last of the leading system messages."""
    last: dict[str, Any] | None = None
    for message in out:
        if message["role"] not in ("system", "developer"):
            break
        last = message
    if last is None:
        return
    content = last["content"]
    if isinstance(content, str):
        content = last["content"] = [{"type": "text", "text": content}]
    content[-1].setdefault("cache_control", _cache_control(mark))


def _alternating(out: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring messages of a user, or of the assistant, as one.

    https://docs.perplexity.ai/guides/chat-completions-guide (2026-11-21)
    """
    merged: list[dict[str, Any]] = []
    for message in out:
        before = merged[-1] if merged else None
        if before is not None and before["role"] == message["role"] != "tool":
            old, new = before["content"], message["content"]
            if isinstance(old, str) and isinstance(new, str):
                before["content"] = f"{old}\n\n{new}"
            else:
                before["content"] = [*_as_parts(old), *_as_parts(new)]
        else:
            merged.append(message)
    return merged


def _as_parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content or ""}]


def _in_loops(out: list[dict[str, Any]], quirks: Quirks) -> None:
    """Reasoning where the server wants it back; see `Quirks.loops_only` and `placeholder`."""
    start = 0
    for end in range(len(out) + 1):
        if end < len(out) and out[end]["role"] != "user":
            continue
        turn = [message for message in out[start:end] if message["role"] == "assistant"]
        if any("tool_calls" in message for message in turn):
            if quirks.placeholder is not None:
                for message in turn:
                    message.setdefault("reasoning_content", quirks.placeholder)
        elif quirks.loops_only:
            for message in turn:
                message.pop("reasoning_content", None)
        start = end + 1
