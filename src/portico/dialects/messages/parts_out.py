"""Content parts of the hub as content blocks of a Messages request."""

from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects import media
from portico.dialects.messages.maps import IMAGE_TYPES
from portico.errors import BadRequest
from portico.model.losses import Loss, Losses
from portico.model.parts import CacheMark, File, Image, Part, Refusal, Source, Text
from portico.model.passes.paths import path

Block = dict[str, Any]

_decode_raws = msgspec.json.Decoder(list[Raw]).decode

_PDF = "application/pdf"
_PDF_START = "JVBERi0"  # base64 of "%PDF-"


class Parts:
    """Writes parts. Says once that citations of earlier answers were left out."""

    __slots__ = ("_dialect", "_losses", "_told")

    def __init__(self, dialect: str, losses: Losses) -> None:
        self._dialect = dialect
        self._losses = losses
        self._told = False

    def block(self, part: Part) -> Block | None:
        """One block; None for text of nothing but white space, which is refused with a 400
        (https://docs.anthropic.com/en/api/errors, 2026-11-21). Raises `BadRequest`."""
        if isinstance(part, Text):
            return self._text(part)
        if isinstance(part, Refusal):
            return {"type": "text", "text": part.text} if part.text.strip() else None
        if isinstance(part, Image):
            if part.detail not in (None, "auto"):
                where = f"{path(self._dialect, 'items')}.detail"
                self._losses.append(Loss(where, "dropped", "this provider's images have no detail"))
            return _marked({"type": "image", "source": self._image(part.source)}, part.cache)
        if isinstance(part, File):
            return self._document(part)
        raise self._refused("Messages models cannot be given audio or video.")

    def _text(self, part: Text) -> Block | None:
        if not part.text or part.text.isspace():
            return None
        block: Block = {"type": "text", "text": part.text}
        if part.citations:
            kept = [
                citation.native[1]
                for citation in part.citations
                if citation.native is not None
                and citation.native[0] == "messages"
                and b'"encrypted_index":""' not in bytes(citation.native[1])
            ]
            if kept:
                block["citations"] = kept
            if len(kept) < len(part.citations) and not self._told:
                self._told = True
                where = path(self._dialect, "items")
                self._losses.append(
                    Loss(where, "dropped", "citations of another provider's answer")
                )
        return _marked(block, part.cache)

    def _image(self, source: Source) -> Block:
        if source.kind == "url":
            return {"type": "url", "url": source.value}
        if source.kind == "file_id":
            return {"type": "file", "file_id": source.value}
        kind = source.media_type
        if kind not in IMAGE_TYPES:
            listed = ", ".join(IMAGE_TYPES)
            raise self._refused(
                f"This model takes images of the types {listed}, not '{kind[:64] or 'unknown'}'."
            )
        return {"type": "base64", "media_type": kind, "data": source.value}

    def _document(self, part: File) -> Block:
        block: Block = {"type": "document", "source": self._file(part.source)}
        if part.filename:
            block["title"] = part.filename
        if part.context:
            block["context"] = part.context
        if part.citations:
            block["citations"] = {"enabled": True}
        return _marked(block, part.cache)

    def _file(self, source: Source) -> Block:
        if source.kind == "url":
            return {"type": "url", "url": source.value}
        if source.kind == "file_id":
            return {"type": "file", "file_id": source.value}
        kind = source.media_type
        if source.kind == "base64" and (kind == _PDF or source.value.startswith(_PDF_START)):
            return {"type": "base64", "media_type": _PDF, "data": source.value}
        text = None
        if source.kind == "text" or kind == "" or kind.startswith("text/") or kind in _TEXTS:
            text = media.text_of(source)
        if text is None:
            raise self._refused(
                f"This model takes PDF and plain text files, not '{kind[:64] or 'unknown'}'."
            )
        return {"type": "text", "media_type": "text/plain", "data": text}

    def _refused(self, message: str) -> BadRequest:
        return BadRequest(message, code="unsupported_content", param=path(self._dialect, "items"))


_TEXTS = frozenset(("application/json", "application/xml", "application/x-yaml"))


def cache_control(mark: CacheMark) -> Block:
    """A cache mark as it is written."""
    if mark.ttl is None:
        return {"type": "ephemeral"}
    return {"type": "ephemeral", "ttl": mark.ttl}


def natives(raw: Raw) -> list[Raw]:
    """The blocks of a `native` value: an array of them, or one."""
    return _decode_raws(raw) if bytes(raw).startswith(b"[") else [raw]


def _marked(block: Block, mark: CacheMark | None) -> Block:
    if mark is not None:
        block["cache_control"] = cache_control(mark)
    return block
