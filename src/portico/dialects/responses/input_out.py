"""Hub items as the `input` of a Responses request that nothing is stored for.

With `store: false` the provider knows no item by its id, so every item is sent whole. Ids:

- Reasoning with a proof goes without an id unless the client brought both itself. The proof is tied
  to the id the provider gave ("Encrypted content item_id did not match the target item id"), and an
  item without one is accepted: https://github.com/BerriAI/litellm/pull/15782, 2026-11-21.
- Messages with typed parts and reasoning without a proof get an id from their place, because the
  schema wants one (vLLM checks it). Calls and results have none: `call_id` pairs them.
"""

import base64
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.media import data_url
from portico.dialects.responses import maps
from portico.dialects.translate import Upstream
from portico.errors import BadRequest
from portico.model.items import Compaction, Hosted, Item, Message, Reasoning, ToolCall, ToolResult
from portico.model.losses import Loss, Losses
from portico.model.parts import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Part,
    Refusal,
    Source,
    Text,
    Video,
)
from portico.model.passes.paths import at
from portico.model.turns import side

Wire = dict[str, Any] | Raw


class _Typed(Struct):
    type: str


_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_type = msgspec.json.Decoder(_Typed).decode
_NATIVE_ORIGIN = "native:responses"
_BREAKPOINT = {"mode": "explicit"}
_BRACKET = ord("[")


class InputWriter:
    """Writes one request's items. Of more cache breakpoints than may be set, the last are."""

    __slots__ = ("_dialect", "_losses", "_marks", "_skip", "_system_role", "_text_results",
                 "_upstream", "out")  # fmt: skip

    def __init__(self, dialect: str, upstream: Upstream, losses: Losses) -> None:
        self.out: list[Wire] = []
        self._dialect = dialect
        self._upstream = upstream
        self._losses = losses
        self._marks = maps.MOST_BREAKPOINTS if maps.family(upstream.model).breakpoints else 0
        self._skip = 0
        self._system_role = "system_role" in upstream.quirks
        self._text_results = "text_results" in upstream.quirks or not upstream.capabilities.results

    def write(self, items: tuple[Item, ...]) -> None:
        """Append these items."""
        if self._marks:
            self._skip = max(0, sum(map(_marks_of, items)) - self._marks)
        for index, item in enumerate(items):
            kind = type(item)
            if kind is Message:
                self._message(item, index)  # type: ignore[arg-type]
            elif kind is ToolCall:
                self.out.append(_call(item))  # type: ignore[arg-type]
            elif kind is ToolResult:
                self._result(item, index)  # type: ignore[arg-type]
            elif kind is Reasoning:
                self._reasoning(item, index, items)  # type: ignore[arg-type]
            elif kind is Hosted:
                self._hosted(item, index)  # type: ignore[arg-type]
            elif kind is Compaction:
                self._compaction(item, index)  # type: ignore[arg-type]

    def _lose(self, index: int, where: str, how: str, reason: str) -> None:
        path = f"{at(self._dialect, index)}{where}"
        self._losses.append(Loss(path, how, reason))  # type: ignore[arg-type]

    # messages

    def _message(self, item: Message, index: int) -> None:
        if item.name is not None:
            self._lose(index, ".name", "dropped", "messages have no names in this API")
        if item.role == "assistant":
            self._assistant(item, index)
            return
        role = "system" if item.role == "developer" and self._system_role else item.role
        content = self._content(item.parts, index, "content")
        if content:
            self.out.append({"type": "message", "role": role, "content": content})

    def _assistant(self, item: Message, index: int) -> None:
        """Text alone is the short form that every server reads; typed parts need the long one."""
        wire: dict[str, Any] = {"type": "message", "role": "assistant"}
        parts = item.parts
        if len(parts) == 1 and type(parts[0]) is Text and not parts[0].citations:
            wire["content"] = parts[0].text
        else:
            content = self._spoken(parts, index)
            if not content:
                return
            wire["id"] = f"msg_{len(self.out)}"
            wire["status"] = "incomplete" if item.status == "incomplete" else "completed"
            wire["content"] = content
        if item.phase is not None:
            wire["phase"] = item.phase
        self.out.append(wire)

    def _spoken(self, parts: tuple[Part, ...], index: int) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for position, part in enumerate(parts):
            if type(part) is Text:
                notes = [note for note in map(_annotation, part.citations) if note is not None]
                if len(notes) < len(part.citations):
                    self._lose(index, f".content[{position}].annotations", "dropped",
                               "citations of another provider's answer")  # fmt: skip
                out.append({"type": "output_text", "text": part.text, "annotations": notes})
            elif type(part) is Refusal:
                out.append({"type": "refusal", "refusal": part.text})
            else:
                self._lose(index, f".content[{position}]", "dropped",
                           "an assistant message can hold text only")  # fmt: skip
        return out

    # parts of users, and of what tools gave

    def _content(
        self, parts: tuple[Part, ...], index: int, member: str
    ) -> str | list[dict[str, Any]]:
        if len(parts) == 1 and type(parts[0]) is Text and (not parts[0].cache or not self._marks):
            return parts[0].text
        out: list[dict[str, Any]] = []
        for position, part in enumerate(parts):
            self._part(part, index, f".{member}[{position}]", out)
        return out

    def _check_id(self, source: Source, index: int, where: str) -> None:
        """A file id is good at its own provider only, and this one is Anthropic's."""
        if source.kind == "file_id" and self._dialect == "messages":
            raise BadRequest(
                "This model cannot be given files that were uploaded to another provider.",
                code="unsupported_content",
                param=f"{at(self._dialect, index)}{where}",
            )

    def _part(self, part: Part, index: int, where: str, out: list[dict[str, Any]]) -> None:
        if type(part) is Text:
            out.append(self._marked({"type": "input_text", "text": part.text}, part.cache))
        elif type(part) is Image:
            self._check_id(part.source, index, where)
            wire = {"type": "input_image", "detail": part.detail or "auto", **_image(part.source)}
            out.append(wire)  # breakpoints on images are refused
        elif type(part) is File:
            self._file(part, index, where, out)
        elif type(part) is Audio:
            sound = {"data": part.data, "format": part.format}
            out.append({"type": "input_audio", "input_audio": sound})
        elif type(part) is Video:
            out.append({"type": "input_video", "video_url": _address(part.source)})
        elif type(part) is Refusal:
            out.append({"type": "input_text", "text": part.text})

    def _file(self, part: File, index: int, where: str, out: list[dict[str, Any]]) -> None:
        source = part.source
        self._check_id(source, index, where)
        if part.citations:
            self._lose(index, f"{where}.citations", "dropped", "this API cites by itself")
        if part.context:
            self._lose(index, f"{where}.context", "adapted", "sent as text before the file")
            out.append({"type": "input_text", "text": part.context})
        if source.kind == "text":
            self._lose(index, where, "adapted", "the text file was sent as text")
            title = f"{part.filename}:\n" if part.filename else ""
            wire = {"type": "input_text", "text": f"{title}{source.value}"}
        elif source.kind == "url":
            wire = {"type": "input_file", "file_url": source.value}
        elif source.kind == "file_id":
            wire = {"type": "input_file", "file_id": source.value}
        else:
            name = part.filename or _FILENAMES.get(source.media_type, "file")
            wire = {"type": "input_file", "filename": name, "file_data": data_url(source)}
        out.append(self._marked(wire, part.cache))

    def _marked(self, wire: dict[str, Any], cache: CacheMark | None) -> dict[str, Any]:
        if cache is None or not self._marks:
            return wire
        if self._skip:
            self._skip -= 1
        else:
            wire["prompt_cache_breakpoint"] = _BREAKPOINT
            self._marks -= 1
        return wire

    # calls and results

    def _result(self, item: ToolResult, index: int) -> None:
        custom = item.kind == "custom"
        output = self._output(item, index)
        if item.is_error:
            self._lose(index, ".is_error", "adapted", "the output was marked as an error in words")
            output = _as_error(output)
        self.out.append(
            {
                "type": "custom_tool_call_output" if custom else "function_call_output",
                "call_id": item.call_id,
                "output": output,
            }
        )

    def _output(self, item: ToolResult, index: int) -> str | list[dict[str, Any]]:
        parts = item.output
        if not parts:
            return ""
        if self._text_results and len(parts) > 1:
            texts = [part.text for part in parts if isinstance(part, Text | Refusal)]
            if len(texts) < len(parts):
                self._lose(index, ".output", "dropped", "a tool can only give text here")
            return "\n".join(texts)
        content = self._content(parts, index, "output")
        if item.cache is not None and self._marks and content:
            if isinstance(content, str):
                content = [{"type": "input_text", "text": content}]
            if content[-1]["type"] != "input_image":
                self._marked(content[-1], item.cache)
        return content

    # reasoning, and what the provider did itself

    def _reasoning(self, item: Reasoning, index: int, items: tuple[Item, ...]) -> None:
        sealed = item.sealed
        if not _leads_to_something(items, index):
            # "Item 'rs_...' of type 'reasoning' was provided without its required following item"
            self._lose(index, "", "dropped", "reasoning that led to nothing cannot be replayed")
            return
        if sealed is not None and sealed.kind != "encrypted":
            self._lose(index, "", "dropped", "reasoning of another API cannot be replayed")
            return
        wire: dict[str, Any] = {"type": "reasoning"}
        if sealed is None:
            wire["id"] = f"rs_{len(self.out)}"
        elif sealed.origin == _NATIVE_ORIGIN and item.id:
            wire["id"] = item.id
        wire["summary"] = [{"type": "summary_text", "text": text} for text in item.summary]
        if sealed is not None:
            wire["encrypted_content"] = sealed.data
        elif item.content:
            wire["content"] = [{"type": "reasoning_text", "text": text} for text in item.content]
        self.out.append(wire)

    def _hosted(self, item: Hosted, index: int) -> None:
        if item.native is not None and item.native[0] == "responses":
            found = _native_items(item.native[1])
            if found is not None:
                self.out.extend(found)
                return
        told = _told(item)
        if not told:
            self._lose(index, "", "dropped", f"{item.type[:40]} is not known to this provider")
            return
        self._lose(index, "", "adapted", f"{item.type[:40]} was told in words")
        self.out.append({"type": "message", "role": "assistant", "content": told})

    def _compaction(self, item: Compaction, index: int) -> None:
        sealed = item.sealed
        if sealed is not None and sealed.kind == "encrypted" and (
            sealed.origin in (self._upstream.origin, _NATIVE_ORIGIN)
        ):  # fmt: skip
            wire = {"type": "compaction", "encrypted_content": sealed.data}
            if sealed.origin == _NATIVE_ORIGIN and item.id:
                wire["id"] = item.id
            self.out.append(wire)
        elif item.text:
            self._lose(index, "", "adapted", "the summary was sent as a message")
            text = f"Summary of the conversation so far:\n{item.text}"
            self.out.append({"type": "message", "role": "user", "content": text})
        else:
            self._lose(index, "", "dropped", "a compaction of another provider cannot be read")


_FILENAMES = {
    "application/pdf": "file.pdf", "text/plain": "file.txt", "text/markdown": "file.md",
    "text/csv": "file.csv", "text/html": "file.html", "application/json": "file.json",
}  # fmt: skip
"""`file_data` needs a name, and the type is read from it."""


def _call(item: ToolCall) -> dict[str, Any]:
    custom = item.kind == "custom"
    wire: dict[str, Any] = {
        "type": "custom_tool_call" if custom else "function_call",
        "call_id": item.call_id,
        "name": item.name,
        "input" if custom else "arguments": item.arguments,
    }
    if item.namespace is not None:
        wire["namespace"] = item.namespace
    return wire


def _as_error(output: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(output, str):
        return f"Error: {output}" if output else "Error"
    if output and output[0]["type"] == "input_text":
        return [{**output[0], "text": f"Error: {output[0]['text']}"}, *output[1:]]
    return [{"type": "input_text", "text": "Error"}, *output]


def _address(source: Source) -> str:
    if source.kind == "text":
        encoded = base64.b64encode(source.value.encode()).decode("ascii")
        return data_url(Source("base64", encoded, source.media_type))
    return data_url(source) if source.kind == "base64" else source.value


def _image(source: Source) -> dict[str, str]:
    if source.kind == "file_id":
        return {"file_id": source.value}
    return {"image_url": _address(source)}


def _annotation(citation: Citation) -> Any:
    """The annotation, None where its required members are not known."""
    if citation.native is not None and citation.native[0] == "responses":
        return citation.native[1]
    if citation.kind != "url" or citation.start is None or citation.end is None:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start,
        "end_index": citation.end,
    }


def _marks_of(item: Item) -> int:
    """How many places of an item ask for a breakpoint and can have one."""
    if isinstance(item, Message) and item.role != "assistant":
        return sum(isinstance(part, Text | File) and part.cache is not None for part in item.parts)
    if isinstance(item, ToolResult):
        inside = sum(isinstance(p, Text | File) and p.cache is not None for p in item.output)
        last = item.output[-1] if item.output else None
        return inside + (item.cache is not None and isinstance(last, Text | File))
    return 0


def _leads_to_something(items: tuple[Item, ...], index: int) -> bool:
    """Whether the turn goes on behind the reasoning at `index`."""
    for item in items[index + 1 :]:
        if type(item) is not Reasoning:
            return side(item) == "assistant"
    return False


def _native_items(raw: Raw) -> list[Raw] | None:
    """The items of one hosted call, if all of them may be sent without having been stored."""
    try:
        found = _decode_array(raw) if memoryview(raw)[0] == _BRACKET else [raw]
        kinds = [_decode_type(one).type for one in found]
    except (ValueError, RecursionError):
        return None
    return found if all(kind in maps.REPLAYED for kind in kinds) else None


def _told(item: Hosted) -> str:
    """What a hosted item of another dialect did, for the model to read."""
    lines = [f"{hit.title or hit.url}\n{hit.url}\n{hit.text}".strip() for hit in item.hits]
    if item.output and item.type != "image_generation_call":
        lines.append(item.output)
    if not (item.input or lines):
        return ""
    what = maps.HOSTED_WORDS.get(item.type, item.name or item.type)
    return "\n\n".join([f"[{what}: {item.input}]" if item.input else f"[{what}]", *lines])
