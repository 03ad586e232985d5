"""The conversation as `systemInstruction` and `contents`."""

from base64 import b64encode
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import UNREADABLE
from portico.dialects.gemini.maps import PART_RESOLUTIONS, SKIP_VALIDATION, Family
from portico.dialects.media import of_name, source
from portico.errors import BadRequest
from portico.model.arguments import as_object, is_object
from portico.model.items import Compaction, Hosted, Item, Message, Reasoning, ToolCall, ToolResult
from portico.model.losses import Loss, Losses
from portico.model.parts import Audio, File, Image, Part, Refusal, Source, Text, Video
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest
from portico.model.turns import Turn, leading_system, turns

Json = dict[str, Any]

# Codec names of OpenAI's `input_audio` that are not the media type's own
_AUDIO = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm16": "audio/pcm", "m4a": "audio/m4a"}
# Text of any kind is read as plain text; only these say more to the model.
# https://ai.google.dev/gemini-api/docs/document-processing (2026-11-21)
_TEXTS = frozenset(("text/plain", "text/html", "text/css", "text/csv", "text/xml", "text/markdown"))
_TEXT_LIKE = ("+json", "+xml", "/json", "/xml", "/yaml", "/x-yaml", "/javascript", "/toml")
_IN_OUR_WORDS = "what another provider did was told in this API's words"
_GUESS = {Image: "image/jpeg", File: "application/pdf", Video: "video/mp4"}


class Conversation(Struct):
    """What the request body takes from the items. `details` are those the images ask for, one
    each, None where they do not."""

    contents: list[Json]
    system: list[Json]
    details: list[str | None]


def conversation(
    request: GenerateRequest, row: Family, losses: Losses, *, vertex: bool
) -> Conversation:
    """Read the items. Raises `BadRequest` if there are none, for a result without its call, and
    for data of no known type."""
    return _Writer(request, row, losses, vertex).write()


class _Writer:
    """One pass over the items."""

    __slots__ = ("_details", "_losses", "_names", "_request", "_row", "_vertex")

    def __init__(self, request: GenerateRequest, row: Family, losses: Losses, vertex: bool) -> None:
        self._request = request
        self._row = row
        self._losses = losses
        self._vertex = vertex
        self._details: list[str | None] = []
        self._names = {
            item.call_id: item.name for item in request.items if isinstance(item, ToolCall)
        }

    def write(self) -> Conversation:
        request = self._request
        self._unsaid(request.items)
        lead, rest = leading_system(request.items)
        system = [{"text": text.text} for text in request.instructions]
        for message in lead:
            system += self._texts(message)
        contents: list[Json] = []
        previous: Turn | None = None
        for turn in turns([self._settled(item) for item in rest]):
            contents += self._user(turn, previous) if turn.role == "user" else self._model(turn)
            previous = turn
        if system and not (self._row.system and contents):
            contents = self._without_system(system, contents)
            system = []
        if not contents:
            name = path(request.dialect, "items")
            raise BadRequest(
                f"Invalid '{name}': there is nothing in it that the model could answer.",
                code="invalid_value",
                param=name,
            )
        if self._row.signatures:
            _fill_signatures(contents)
        return Conversation(contents, system, self._details)

    def _unsaid(self, items: tuple[Item, ...]) -> None:
        """Declare, once, what messages have no place for."""
        where = path(self._request.dialect, "items")
        said = [item for item in items if isinstance(item, Message)]
        if any(item.name for item in said):
            self._lost(f"{where}.name", "dropped", "messages have no names in this API")
        if any(isinstance(part, Text) and part.citations for item in said for part in item.parts):
            self._lost(where, "dropped", "citations of an earlier answer have no form here")

    def _settled(self, item: Item) -> Item:
        """System messages in the middle, and summaries, become messages of the user."""
        where = path(self._request.dialect, "items")
        if isinstance(item, Message) and item.role in ("system", "developer"):
            self._lost(where, "adapted", "a later system message was sent as text of the user")
            text = "\n\n".join([part["text"] for part in self._texts(item)])
            return Message("user", (Text(f"<system>\n{text}\n</system>"),))
        if isinstance(item, Compaction):
            if not item.text:
                self._lost(where, "dropped", "a compaction of another provider cannot be read")
                return Message("user", ())
            return Message("user", (Text(f"<summary>\n{item.text}\n</summary>"),))
        return item

    def _texts(self, message: Message) -> list[Json]:
        """A system message: text only."""
        out: list[Json] = []
        for part in message.parts:
            if isinstance(part, Text | Refusal):
                out.append({"text": part.text})
            else:
                where = path(self._request.dialect, "items")
                self._lost(where, "dropped", "system messages hold only text")
        return out

    def _without_system(self, system: list[Json], contents: list[Json]) -> list[Json]:
        """For models without system instructions, and requests that hold nothing else."""
        where = path(self._request.dialect, "instructions" if contents else "items")
        self._lost(where, "adapted", "instructions were sent as text of the user")
        first = contents[0] if contents else None
        if first is None or first["role"] != "user" or _is_results(first):
            return [{"role": "user", "parts": system}, *contents]
        return [{"role": "user", "parts": [*system, *first["parts"]]}, *contents[1:]]

    def _user(self, turn: Turn, previous: Turn | None) -> list[Json]:
        """Results stand alone, in the order of their calls, before what the user says."""
        results = [item for item in turn.items if isinstance(item, ToolResult)]
        order: dict[str, int] = {}
        for item in previous.items if previous is not None else ():
            if isinstance(item, ToolCall):
                order.setdefault(item.call_id, len(order))
        results.sort(key=lambda result: order.get(result.call_id, len(order)))
        said: list[Json] = []
        for item in turn.items:
            if isinstance(item, Message):
                for part in item.parts:
                    said += self._part(part)
        out = []
        if results:
            out.append({"role": "user", "parts": [self._result(result) for result in results]})
        if said:
            out.append({"role": "user", "parts": said})
        return out

    def _result(self, result: ToolResult) -> Json:
        name = self._names.get(result.call_id)
        if name is None:
            raise BadRequest(
                f"No tool call found for the tool output with call id '{result.call_id[:64]}'.",
                code="invalid_value",
                param=path(self._request.dialect, "items"),
            )
        media: list[Json] = []
        texts: list[str] = []
        for part in result.output:
            if isinstance(part, Text | Refusal):
                texts.append(part.text)
            else:
                if isinstance(part, File) and part.context:
                    texts.append(part.context)
                media += self._part(part, in_result=True)
        text = "\n".join(texts)
        response: Raw | Json
        if result.is_error:
            response = {"error": text}
        elif is_object(text):
            response = Raw(text.encode())
        else:
            response = {"output": text}
        out: Json = {"name": name, "response": response}
        if not self._vertex:
            out["id"] = result.call_id
        if media:
            out["parts"] = media
        return {"functionResponse": out}

    def _model(self, turn: Turn) -> list[Json]:
        parts: list[Json] = []
        waiting: str | None = None
        for item in turn.items:
            if isinstance(item, Reasoning):
                waiting = self._reasoning(item, parts, waiting)
            elif isinstance(item, ToolCall):
                call: Json = {"name": item.name, "args": as_object(item.arguments)}
                if not self._vertex:
                    call["id"] = item.call_id
                parts.append(_signed({"functionCall": call}, waiting))
                waiting = None
            elif isinstance(item, Hosted):
                written = self._hosted(item)
                if written:
                    _signed(written[0], waiting)
                elif waiting is not None:
                    self._unplaced()
                waiting = None
                parts += written
            elif isinstance(item, Message):
                for part in item.parts:
                    parts += self._part(part)
        if waiting is not None:
            self._unplaced()
        return [{"role": "model", "parts": parts}] if parts else []

    def _reasoning(self, item: Reasoning, parts: list[Json], waiting: str | None) -> str | None:
        """Puts a signature where it came from; returns one that waits for the part behind it."""
        sealed = item.sealed
        text = "\n\n".join(item.summary or item.content)
        if sealed is None:
            if text:
                parts.append({"text": text, "thought": True})
            return waiting
        if sealed.kind == "next":
            if waiting is not None:
                self._unplaced()
            return sealed.data
        if sealed.kind == "empty":  # parts with and without signature must not be merged
            parts.append({"text": "", "thoughtSignature": sealed.data})
        elif sealed.kind == "previous":
            last = parts[-1] if parts else None
            if last is None or "thoughtSignature" in last or "functionCall" in last or (
                "thought" in last
            ):  # fmt: skip
                parts.append({"text": "", "thoughtSignature": sealed.data})
            else:
                last["thoughtSignature"] = sealed.data
        elif sealed.kind == "thought":
            parts.append({"text": text, "thought": True, "thoughtSignature": sealed.data})
        else:
            where = path(self._request.dialect, "items")
            self._lost(where, "dropped", "reasoning of another provider cannot be replayed")
        return waiting

    def _unplaced(self) -> None:
        where = path(self._request.dialect, "items")
        self._lost(where, "dropped", "the call that a thought signature belongs to is gone")

    def _hosted(self, item: Hosted) -> list[Json]:
        """What the provider did itself: as it was, or what of it can be said again."""
        native = item.native
        if native is not None and native[0] == "gemini":
            try:
                return msgspec.json.decode(native[1], type=list[dict[str, Raw]])
            except UNREADABLE:
                return []
        if item.type == "code_interpreter_call" and item.input:
            ran: Json = {"executableCode": {"language": "PYTHON", "code": item.input}}
            self._lost(path(self._request.dialect, "items"), "adapted", _IN_OUR_WORDS)
            outcome = "OUTCOME_FAILED" if item.status == "failed" else "OUTCOME_OK"
            return [ran, {"codeExecutionResult": {"outcome": outcome, "output": item.output}}]
        if item.type == "image_generation_call" and item.output:
            self._lost(path(self._request.dialect, "items"), "adapted", _IN_OUR_WORDS)
            return [self._inline(source(item.output), "image/png")]
        where = path(self._request.dialect, "items")
        self._lost(where, "dropped", f"a {item.type[:40]} cannot be replayed")
        return []

    def _part(self, part: Part, *, in_result: bool = False) -> list[Json]:
        if isinstance(part, Text | Refusal):
            return [{"text": part.text}]
        if isinstance(part, Audio):
            kind = _AUDIO.get(part.format, f"audio/{part.format}")
            return [{"inlineData": {"mimeType": kind, "data": part.data}}]
        out: list[Json] = []
        if isinstance(part, File):
            where = path(self._request.dialect, "items")
            if part.context and not in_result:
                out.append({"text": part.context})
            if part.filename:
                name = path(self._request.dialect, "filename")
                self._lost(f"{where}.{name}", "dropped", "files have no names in this API")
            if part.citations:
                self._lost(where, "dropped", "this provider does not cite from given documents")
        found = part.source
        if found.kind in ("url", "file_id"):
            media = self._address(found, part)
        else:
            media = self._inline(found, _GUESS[type(part)] if isinstance(part, Image) else "")
        if isinstance(part, Image) and not in_result:
            self._details.append(part.detail)
            level = PART_RESOLUTIONS.get(part.detail or "")
            if level is not None and self._vertex and self._row.rich_results:
                media["mediaResolution"] = {"level": level}
        return [*out, media]

    def _address(self, found: Source, part: Part) -> Json:
        data: Json = {"fileUri": found.value}
        # no parsing: an address nobody can read is for the provider to refuse
        kind = found.media_type or of_name(found.value.partition("#")[0].partition("?")[0])
        if not kind and self._vertex:
            kind = _GUESS[type(part)]
        if kind:
            data["mimeType"] = kind
        return {"fileData": data}

    def _inline(self, found: Source, guess: str) -> Json:
        kind = found.media_type or guess
        if found.kind == "text":
            data = b64encode(found.value.encode(errors="replace")).decode("ascii")
            return {"inlineData": {"mimeType": _text_type(kind or "text/plain"), "data": data}}
        if not kind:
            name = path(self._request.dialect, "items")
            raise BadRequest(
                f"Invalid '{name}': a file has no known type. Give it a file name, or send it as "
                "a data URL with its media type.",
                code="invalid_value",
                param=name,
            )
        return {"inlineData": {"mimeType": _text_type(kind), "data": found.value}}

    def _lost(self, where: str, how: Any, reason: str) -> None:
        self._losses.append(Loss(where, how, reason))


def _text_type(kind: str) -> str:
    if kind in _TEXTS or not (kind.startswith("text/") or kind.endswith(_TEXT_LIKE)):
        return kind
    return "text/plain"


def _signed(part: Json, signature: str | None) -> Json:
    if signature is not None:
        part["thoughtSignature"] = signature
    return part


def _fill_signatures(contents: list[Json]) -> None:
    """Calls of the current turn need a signature: the first of each step, and only since the user
    last said something of their own. Where there is none, because another model made the history,
    Google's own stand-in is put there."""
    for index in range(len(contents) - 1, -1, -1):
        parts = contents[index]["parts"]
        if contents[index]["role"] == "user":
            beside_results = index > 0 and _is_results(contents[index - 1])
            if not _is_results(contents[index]) and not beside_results:
                return
            continue
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            first["thoughtSignature"] = SKIP_VALIDATION


def _is_results(content: Json) -> bool:
    return "functionResponse" in content["parts"][0]
