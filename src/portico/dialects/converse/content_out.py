"""Content parts as Converse blocks."""

import base64
import re
from typing import Any

from portico.dialects import media
from portico.dialects.checks import unsupported
from portico.dialects.converse.maps import AUDIO, DOCUMENTS, IMAGES, VIDEOS, Family
from portico.model.losses import Loss, Losses
from portico.model.parts import Audio, File, Image, Part, Refusal, Source, Text, Video

_NOT_NAME = re.compile(r"[^A-Za-z0-9\-()\[\] ]+")
_SPACES = re.compile(r" {2,}")
_NAME_MOST = 180  # of 200: a number may follow
_KNOWN_FORMATS = frozenset(DOCUMENTS.values())

Block = dict[str, Any]


class Content:
    """Makes the blocks of one request. Remembers the document names, which must be unique.

    `where` is the client's name of the history, for errors and losses.
    """

    __slots__ = ("_losses", "_names", "_row", "where")

    def __init__(self, row: Family, where: str, losses: Losses) -> None:
        self._row = row
        self._losses = losses
        self._names: dict[str, int] = {}
        self.where = where

    def block(self, part: Part) -> Block | None:
        """The block of a part; None for blank text, which Bedrock refuses. Raises `BadRequest`."""
        if type(part) is Text or type(part) is Refusal:
            return {"text": part.text} if part.text and not part.text.isspace() else None
        if isinstance(part, Image):
            if part.detail not in (None, "auto"):
                where = f"{self.where}.detail"
                self._losses.append(Loss(where, "dropped", "this provider's images have no detail"))
            return {"image": _pictured(part.source, IMAGES, "image", self.where)}
        if isinstance(part, File):
            return {"document": self._document(part)}
        if isinstance(part, Video):
            return {"video": _pictured(part.source, VIDEOS, "video", self.where)}
        if isinstance(part, Audio):
            return {"audio": self._audio(part)}
        return None

    def _document(self, part: File) -> Block:
        found = part.source
        source: Block
        if found.kind == "text":
            # Every model takes bytes; only some take the `text` source.
            source = {"bytes": base64.b64encode(found.value.encode()).decode("ascii")}
        else:
            source = _source(found, self.where)
        out: Block = {
            "format": self._format(part),
            "name": self._name(part.filename),
            "source": source,
        }
        if part.context and self._row.claude:
            out["context"] = part.context
        if part.citations and self._row.claude:
            out["citations"] = {"enabled": True}
        elif part.citations or (part.context and not self._row.claude):
            self._losses.append(Loss(self.where, "dropped", "this model does not cite documents"))
        return out

    def _format(self, part: File) -> str:
        kind = media.canonical(part.source.media_type)
        extension = part.filename.rpartition(".")[2].lower() if "." in part.filename else ""
        found = DOCUMENTS.get(kind) or (extension if extension in _KNOWN_FORMATS else "")
        if not found and (part.source.kind == "text" or kind.startswith("text/")):
            found = "txt"
        if not found and part.source.kind == "url":
            found = DOCUMENTS.get(media.of_name(part.source.value), "")
        if not found:
            raise unsupported(
                self.where,
                f"This provider does not take documents of type '{kind[:64] or 'unknown'}'. It "
                "takes PDF, Word, Excel, CSV, HTML, Markdown and plain text.",
                code="unsupported_content",
            )
        return found

    def _name(self, filename: str) -> str:
        """Alphanumerics, single spaces, hyphens, parentheses and brackets; unique."""
        stem = filename.rpartition(".")[0] or filename
        plain = _SPACES.sub(" ", _NOT_NAME.sub(" ", stem)).strip()[:_NAME_MOST].strip()
        name = plain = plain or "document"
        count = self._names.get(plain, 1)  # the last number that was given to it
        while name in self._names:
            count += 1
            name = f"{plain} [{count}]"
        self._names[plain] = count
        self._names.setdefault(name, 1)
        return name

    def _audio(self, part: Audio) -> Block:
        if part.format not in AUDIO:
            raise unsupported(
                self.where,
                f"This provider does not take audio of format '{part.format[:32]}'.",
                code="unsupported_content",
            )
        return {"format": part.format, "source": {"bytes": part.data}}


def _pictured(found: Source, formats: dict[str, str], what: str, where: str) -> Block:
    kind = media.canonical(found.media_type)
    if not kind and found.kind == "url":
        kind = media.of_name(found.value)
    if kind not in formats:
        raise unsupported(
            where,
            f"This provider does not take {what} data of type '{kind[:64] or 'unknown'}'. "
            f"It takes {', '.join(sorted(formats))}.",
            code="unsupported_content",
        )
    return {"format": formats[kind], "source": _source(found, where)}


def _source(found: Source, where: str) -> Block:
    """Data, or an object in S3. Bedrock fetches nothing else."""
    if found.kind == "base64":
        return {"bytes": found.value}
    if found.kind == "url" and found.value.startswith("s3://"):
        return {"s3Location": {"uri": found.value}}
    raise unsupported(
        where,
        "This provider takes data and s3:// addresses, not files by URL or id.",
        code="unsupported_content",
    )
