"""Content parts of messages, and of what tools gave, as hub parts.

Source: openai-python 3.54, `ResponseInputContentParam`, `ResponseOutputText`; Open Responses
2026-04-24 for `input_video` and `text`.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks, media
from portico.dialects.responses.wire import NULL
from portico.errors import BadRequest
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

IMAGE_URL_CHARACTERS = 20_971_520
"""https://www.openresponses.org/reference, `InputImageContentParam`, 2026-11-21"""
PARTS = ("input_text", "input_image", "input_file", "input_audio", "input_video", "output_text",
         "refusal", "text")  # fmt: skip
DETAILS = ("low", "high", "auto", "original")
_SCHEMES = ("http", "https", "gs", "s3")
_MARK = CacheMark()


class WireAudio(Struct, gc=False):
    """`input_audio` of a part."""

    data: str
    format: str


class WireMark(Struct, gc=False):
    """`prompt_cache_breakpoint`. How long it is to last (`ttl`) is not read: 30 minutes or 12 hours
    are no lifetimes that others have."""

    mode: str | None = None


class WirePart(Struct, gc=False):
    """Any content part."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: WireAudio | None = None
    video_url: str | None = None
    annotations: Raw = NULL
    logprobs: Raw = NULL
    prompt_cache_breakpoint: WireMark | None = None


class _Annotation(Struct, gc=False):
    type: str = ""
    url: str = ""
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None
    file_id: str = ""
    container_id: str = ""
    filename: str = ""
    index: int = 0


decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_annotation = msgspec.json.Decoder(_Annotation).decode


def read_parts(parts: list[WirePart], path: str, losses: Losses) -> tuple[Part, ...]:
    """Content parts of a message or of a tool's output."""
    return tuple([_part(part, path, index, losses) for index, part in enumerate(parts)])


def _part(part: WirePart, path: str, index: int, losses: Losses) -> Part:
    kind = part.type
    if kind == "input_text" or kind == "output_text" or kind == "text":
        text = part.text
        if text is None:
            raise checks.missing_parameter(f"{path}[{index}].text")
        cache = _MARK if part.prompt_cache_breakpoint is not None else None
        return Text(text, _citations(part.annotations), None, cache)
    reader = _PARTS.get(kind)
    where = f"{path}[{index}]"
    if reader is None:
        if not kind:
            raise checks.missing_parameter(f"{where}.type")
        checks.check_choice(f"{where}.type", kind, PARTS)
    if kind == "input_file" and part.detail not in (None, "auto"):
        losses.append(Loss(f"{where}.detail", "dropped", "files have no detail elsewhere"))
    return reader(part, where)  # type: ignore[misc]


def _refusal(part: WirePart, path: str) -> Refusal:
    if part.refusal is None:
        raise checks.missing_parameter(f"{path}.refusal")
    return Refusal(part.refusal)


def _image(part: WirePart, path: str) -> Image:
    checks.check_choice(f"{path}.detail", part.detail, DETAILS)
    cache = _MARK if part.prompt_cache_breakpoint is not None else None
    url = part.image_url
    if url is None:
        if not part.file_id:
            raise checks.missing_parameter(f"{path}.image_url")
        return Image(Source("file_id", part.file_id), part.detail, cache)
    checks.check_length(f"{path}.image_url", url, IMAGE_URL_CHARACTERS)
    source = _source(url, f"{path}.image_url")
    if source.kind == "base64" and not (source.value and source.media_type.startswith("image/")):
        raise _bad_image(f"{path}.image_url")
    return Image(source, part.detail, cache)


def _file(part: WirePart, path: str) -> File:
    cache = _MARK if part.prompt_cache_breakpoint is not None else None
    filename = part.filename or ""
    if part.file_data is not None:
        where = f"{path}.file_data"
        source = _source(part.file_data, where, filename)
        if source.kind == "url":
            raise _invalid(where, "expected base64 data or a data URL.")
    elif part.file_url is not None:
        where = f"{path}.file_url"
        source = _source(part.file_url, where, filename)
        if source.kind != "url" and part.file_url[:5].lower() != "data:":
            raise _invalid(where, "expected a URL.")
    elif part.file_id:
        source = Source("file_id", part.file_id, media.of_name(filename))
    else:
        raise checks.missing_parameter(f"{path}.file_data")
    return File(source, filename, cache)


def _audio(part: WirePart, path: str) -> Audio:
    audio = part.input_audio
    if audio is None:
        raise checks.missing_parameter(f"{path}.input_audio")
    return Audio(audio.data, audio.format)


def _video(part: WirePart, path: str) -> Video:
    if part.video_url is None:
        raise checks.missing_parameter(f"{path}.video_url")
    source = _source(part.video_url, f"{path}.video_url")
    if source.kind == "base64" and part.video_url[:5].lower() != "data:":
        raise _invalid(f"{path}.video_url", "expected a URL or a data URL.")
    return Video(source)


_PARTS: dict[str, Callable[[WirePart, str], Part]] = {
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "input_video": _video,
}


def read_texts(parts: list[WirePart] | None, path: str) -> tuple[str, ...]:
    if not parts:
        return ()
    for index, part in enumerate(parts):
        if part.text is None:
            raise checks.missing_parameter(f"{path}[{index}].text")
    return tuple([part.text for part in parts if part.text is not None])


def _source(text: str, path: str, filename: str = "") -> Source:
    try:
        source = media.source(text, "", filename)
    except ValueError:
        raise _invalid(path, "the data URL cannot be read.") from None
    if source.kind == "url" and text.partition(":")[0].lower() not in _SCHEMES:
        raise _invalid(path, f"expected an address with one of {', '.join(_SCHEMES)}.")
    return source


def _citations(raw: Raw) -> tuple[Citation, ...]:
    if not _given(raw):
        return ()
    try:
        found = decode_array(raw)
    except ValueError:
        return ()
    return tuple([_citation(Raw(bytes(one))) for one in found])


_CITATIONS = {
    "url_citation": "url", "file_citation": "file", "container_file_citation": "container_file",
    "file_path": "file_path",
}  # fmt: skip


def _citation(raw: Raw) -> Citation:
    try:
        wire = _decode_annotation(raw)
    except ValueError:
        return Citation(kind="document", native=("responses", raw))
    return Citation(
        kind=_CITATIONS.get(wire.type, "document"),  # type: ignore[arg-type]
        url=wire.url,
        title=wire.title,
        start=wire.start_index,
        end=wire.end_index,
        file_id=wire.file_id,
        container_id=wire.container_id,
        filename=wire.filename,
        index=wire.index,
        native=("responses", raw),
    )


def _given(raw: Raw) -> bool:
    """Whether a member is there and is neither null nor an empty array."""
    return raw is not NULL and bytes(raw) not in (b"null", b"[]")


def _invalid(path: str, why: str) -> BadRequest:
    return BadRequest(f"Invalid '{path}': {why}", code="invalid_value", param=path)


def _bad_image(path: str) -> BadRequest:
    return _invalid(
        path, "expected a URL, or a base64 data URL with an image type (data:image/png;base64,...)."
    )
