"""A whole answer as a `chat.completion`."""

from typing import Any

from msgspec import Raw

from portico.dialects.chat.details import AT_END, SEPARATOR, Block, Blocks, before_call, before_text
from portico.dialects.chat.request_in import is_legacy
from portico.dialects.chat.told import Said, annotation, finish_reason, picture, usage_object
from portico.dialects.translate import Asked
from portico.model.items import Hosted, Message, Reasoning, ToolCall
from portico.model.parts import Refusal, Text
from portico.model.response import GenerateResponse, join_arrays
from portico.wire.json import encode


def respond(response: GenerateResponse, asked: Asked) -> bytes:
    """The body. Messages are joined into one content, and stand before the calls."""
    writer = _Writer(asked)
    for item in response.items:
        if isinstance(item, Message):
            writer.message(item)
        elif isinstance(item, ToolCall):
            writer.call(item)
        elif isinstance(item, Reasoning):
            writer.reasoning(item)
        else:
            shown = picture(item, len(writer.images)) if isinstance(item, Hosted) else None
            if shown is not None:
                writer.images.append(shown)
            else:
                writer.said.item(item)
    reason, words = finish_reason(
        response.finish,
        calls=bool(writer.calls),
        refused=bool(writer.refusals),
        legacy=writer.legacy,
        losses=asked.losses,
    )
    if words:
        writer.refusals.append(words)
    logprobs = join_arrays(writer.logprobs)
    choice = {
        "index": 0,
        "message": writer.result(),
        "logprobs": {"content": logprobs, "refusal": None} if logprobs is not None else None,
        "finish_reason": reason,
    }
    return encode(
        {
            "id": f"chatcmpl-{asked.base}",
            "object": "chat.completion",
            "created": asked.created,
            "model": response.model or asked.model,
            "choices": [choice],
            "usage": usage_object(response.usage) if response.usage is not None else None,
            "service_tier": response.service_tier,
            "system_fingerprint": None,
        }
    )


class _Writer:
    """Collects the members of the message."""

    def __init__(self, asked: Asked) -> None:
        self.said = Said(asked.losses)
        self.legacy = is_legacy(asked.fields)
        self.calls: list[dict[str, Any]] = []
        self.refusals: list[str] = []
        self.images: list[dict[str, Any]] = []
        self.logprobs: list[Raw] = []
        self._content: list[str] = []
        self._length = 0
        self._annotations: list[dict[str, Any]] = []
        self._thoughts: list[str] = []
        self._blocks = Blocks(asked.seal)
        self._elements: list[bytes] = []

    def message(self, item: Message) -> None:
        separated = self._length > 0
        offset = self._length + len(SEPARATOR) if separated else 0
        self._elements.extend(self._blocks.place(before_text(offset)))
        for part in item.parts:
            if isinstance(part, Refusal):
                self.refusals.append(part.text)
            elif isinstance(part, Text):
                if self.calls and part.text:
                    self.said.text_after_call()
                if separated and part.text:
                    self._write(SEPARATOR)
                    separated = False
                self._text(part)

    def call(self, item: ToolCall) -> None:
        self._elements.extend(self._blocks.place(before_call(item.call_id)))
        if self.legacy and self.calls:
            self.said.more_calls()
            return
        if item.kind == "custom":
            call: dict[str, Any] = {"custom": {"name": item.name, "input": item.arguments}}
        else:
            call = {"function": {"name": item.name, "arguments": item.arguments}}
        self.calls.append({"id": item.call_id, "type": item.kind, **call})

    def reasoning(self, item: Reasoning) -> None:
        self._thoughts.extend((*item.summary, *item.content))
        self._blocks.hold(
            Block(SEPARATOR.join(item.content), SEPARATOR.join(item.summary), item.sealed)
        )

    def result(self) -> dict[str, Any]:
        """The message."""
        self._elements.extend(self._blocks.place(AT_END))
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._content) or None,
            "refusal": "".join(self.refusals) or None,
            "annotations": self._annotations,
        }
        if self._thoughts:
            message["reasoning_content"] = SEPARATOR.join(self._thoughts)
        if self._elements:
            message["reasoning_details"] = [Raw(element) for element in self._elements]
        if self.images:
            message["images"] = self.images
        if self.calls and self.legacy:
            message["function_call"] = self.calls[0].get("function")
        elif self.calls:
            message["tool_calls"] = self.calls
        return message

    def _text(self, part: Text) -> None:
        offset = self._length
        self._write(part.text)
        for citation in part.citations:
            told = annotation(citation, offset, self._length)
            if told is not None:
                self._annotations.append(told)
            else:
                self.said.citation()
        if part.logprobs is not None:
            self.logprobs.append(part.logprobs)

    def _write(self, text: str) -> None:
        self._content.append(text)
        self._length += len(text)
