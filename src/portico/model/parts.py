"""Content parts: what a message, and the output of a tool, is made of.

Shaped like the parts of the Responses API and wide enough for the other four dialects. Text is kept
exactly: nothing is trimmed or normalised on its way through the hub.
"""

from typing import Literal, TypeAlias

from msgspec import Raw, Struct


class CacheMark(Struct, frozen=True, gc=False):
    """A prompt-cache breakpoint after the part or tool that carries it (Anthropic `cache_control`,
    Bedrock `cachePoint`, OpenAI `prompt_cache_breakpoint`). `ttl` is "5m", "1h" or None."""

    ttl: str | None = None


class Source(Struct, frozen=True, gc=False):
    """Where the bytes of an image or a file are.

    `url`: http(s), gs or s3 address. `base64`: standard base64 text, without the `data:` prefix.
    `file_id`: an id of the provider's own file store. `text`: plain text, not encoded.
    `media_type` is an IANA type in lower case, "" when the client did not say.
    """

    kind: Literal["url", "base64", "file_id", "text"]
    value: str
    media_type: str = ""


class Citation(Struct, frozen=True, kw_only=True, gc=False):
    """An annotation of a text part. `start` and `end` are character offsets into the part, None
    where the provider gives none. `native` is (dialect, its own object)."""

    kind: Literal["url", "file", "container_file", "file_path", "document"]
    url: str = ""
    title: str = ""
    start: int | None = None
    end: int | None = None
    cited_text: str = ""
    file_id: str = ""
    container_id: str = ""
    filename: str = ""
    index: int = 0
    native: tuple[str, Raw] | None = None


class Text(Struct, frozen=True, gc=False):
    """Plain text. `logprobs` is OpenAI's array of token objects, as it came."""

    text: str
    citations: tuple[Citation, ...] = ()
    logprobs: Raw | None = None
    cache: CacheMark | None = None


class Refusal(Struct, frozen=True, gc=False):
    """The model said no, in these words."""

    text: str


class Image(Struct, frozen=True, gc=False):
    """A picture. `detail` is OpenAI's low, high, auto or original; None when not given."""

    source: Source
    detail: str | None = None
    cache: CacheMark | None = None


class File(Struct, frozen=True, gc=False):
    """A document: PDF, text, spreadsheet."""

    source: Source
    filename: str = ""
    cache: CacheMark | None = None
    context: str = ""
    citations: bool = False


class Audio(Struct, frozen=True, gc=False):
    """Sound. `data` is base64, `format` the codec name: wav, mp3, ..."""

    data: str
    format: str


class Video(Struct, frozen=True, gc=False):
    """A moving picture."""

    source: Source


Part: TypeAlias = Text | Refusal | Image | File | Audio | Video
