"""A rough count of input tokens, for providers that do not count.

Characters over a ratio per kind of text, plus what formats cost. Tokenizers differ, so it is always
declared to be an estimate. Also a rough count of output, for answers that stopped before theirs.
"""

import math

from msgspec import Struct, structs

from portico.model.events import (
    ArgumentsDelta,
    RefusalDelta,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
)
from portico.model.items import (
    Compaction,
    Hosted,
    Item,
    Message,
    Reasoning,
    ToolCall,
    ToolResult,
)
from portico.model.parts import Audio, File, Image, Part, Refusal, Text, Video
from portico.model.request import GenerateRequest
from portico.model.tools import HostedTool
from portico.model.usage import Usage

WRITTEN = frozenset((TextDelta, RefusalDelta, SummaryDelta, ThoughtDelta, ArgumentsDelta))
"""Events that carry what the model wrote, in `text`."""

_PER_TOKEN = 4.0
"""Characters of prose in one token; code and JSON are nearer to three."""
_DENSE = 3.0
_MESSAGE = 4
_TOOL = 12
# A picture of middling size: https://platform.openai.com/docs/guides/images-vision and
# https://platform.claude.com/docs/en/build-with-claude/vision (2026-11-21)
_IMAGE = 1000
_BYTES_PER_PAGE = 40_000
_PAGE = 1500


class _Sum(Struct):
    tokens: float = 0.0

    def text(self, text: str, per_token: float = _PER_TOKEN) -> None:
        # Scripts beyond Latin take about one token for every one or two characters.
        wide = 0 if text.isascii() else len(text.encode("utf-8", "replace")) - len(text)
        self.tokens += (len(text) + wide) / per_token


def estimate(request: GenerateRequest) -> int:
    """Input tokens of `request`, at least 1."""
    total = frame_tokens(request)
    for item in request.items:
        total += item_tokens(item)
    return max(1, round(total))


def item_tokens(item: Item) -> float:
    """Tokens of one item; 0 for a message without parts, which nobody is sent."""
    total = _Sum(_MESSAGE)
    match item:
        case Message():
            if not item.parts:
                return 0.0
            _parts(item.parts, total)
        case ToolResult():
            _parts(item.output, total)
        case ToolCall():
            total.text(item.name + item.arguments, _DENSE)
        case Reasoning():
            for text in (*item.content, *item.summary):
                total.text(text)
        case Hosted():
            total.text(item.input + item.output, _DENSE)
        case Compaction():
            total.text(item.text)
    return total.tokens


def frame_tokens(request: GenerateRequest) -> float:
    """Tokens of what stands around the items: instructions and tools."""
    total = _Sum()
    for part in request.instructions:
        total.text(part.text)
    for tool in request.tools:
        total.tokens += _TOOL
        if isinstance(tool, HostedTool):
            total.text(bytes(tool.native[1]).decode(errors="replace"), _DENSE)
            continue
        total.text(tool.name + tool.description)
        schema = getattr(tool, "parameters", None)
        if schema is not None:
            total.text(bytes(schema).decode(errors="replace"), _DENSE)
    return total.tokens


def _parts(parts: tuple[Part, ...], total: _Sum) -> None:
    for part in parts:
        match part:
            case Text() | Refusal():
                total.text(part.text)
            case Image() | Video():
                total.tokens += _IMAGE
            case File():
                if part.source.kind == "text":
                    total.text(part.source.value)
                else:
                    pages = max(len(part.source.value) * 3 // 4 / _BYTES_PER_PAGE, 1)
                    total.tokens += pages * _PAGE
            case Audio():
                total.tokens += len(part.data) / 1000


def partial(told: Usage | None, request: GenerateRequest, characters: int) -> Usage:
    """Usage of an answer that stopped after so many characters; `told` is what the provider had
    said by then, which stands where it is more."""
    written = math.ceil(characters / _PER_TOKEN)
    if told is None:
        return Usage(input_uncached=estimate(request), output_text=written, estimated=True)
    if told.output_total >= written:
        return told
    text = written - told.reasoning
    return structs.replace(told, output_text=text, estimated=True)
