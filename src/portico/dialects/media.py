"""Media types and `data:` URLs, without ever copying a large body twice."""

import base64
import binascii
import re

from portico.model.parts import Source

_BY_EXTENSION = {
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv",
    "html": "text/html", "htm": "text/html", "json": "application/json", "xml": "application/xml",
    "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "mp3": "audio/mpeg", "wav": "audio/wav", "mp4": "video/mp4",
    "mov": "video/quicktime", "webm": "video/webm", "mkv": "video/x-matroska",
}  # fmt: skip
_SAME = {"image/jpg": "image/jpeg", "application/x-pdf": "application/pdf",
         "audio/x-wav": "audio/wav", "audio/mp3": "audio/mpeg"}  # fmt: skip
_MAGIC = (
    (b"%PDF-", "application/pdf"), (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"),
    (b"ID3", "audio/mpeg"), (b"PK\x03\x04", "application/zip"),
)  # fmt: skip
UNKNOWN = "application/octet-stream"
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})").search


def source(text: str, media_type: str = "", filename: str = "") -> Source:
    """What a URL, a data URL or bare base64 stands for.

    The type comes from the data URL, else from `media_type`, the file name, the first bytes; ""
    when none of them tells. A data URL that is not base64 is decoded as text. Raises ValueError for
    a data URL that cannot be read.
    """
    if text[:5].lower() == "data:":
        return _data_url(text, media_type, filename)
    scheme, colon, rest = text[:16].partition(":")
    if colon and rest.startswith("//") and scheme.isalnum():
        return Source("url", text, canonical(media_type) or of_name(filename))
    return Source("base64", text, _type(media_type, filename, text))


def canonical(media_type: str) -> str:
    """Lower case, without parameters, the usual name where there are two."""
    plain = media_type.partition(";")[0].strip().lower()
    return _SAME.get(plain, plain)


def of_name(filename: str) -> str:
    """The type that a file name or URL path says by its extension; "" if none is known."""
    return _BY_EXTENSION.get(filename.rpartition(".")[2].lower(), "") if "." in filename else ""


def decoded_size(data: str) -> int:
    """How many bytes base64 text stands for."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def data_url(found: Source) -> str:
    """A base64 source as a data URL."""
    return f"data:{found.media_type or UNKNOWN};base64,{found.value}"


def text_of(found: Source) -> str | None:
    """The text that a `text` source, or a base64 one, holds; None if it is not UTF-8 text."""
    if found.kind == "text":
        return found.value
    if found.kind != "base64":
        return None
    try:
        return base64.b64decode(found.value).decode()
    except (binascii.Error, ValueError):
        return None


def _from_percent(text: str) -> bytes:
    """Percent-encoded bytes, in time and space that do not depend on how much is encoded: they are
    written as quoted-printable, which is the same but for the sign. Raises ValueError."""
    if _BARE_PERCENT(text) is not None:
        raise ValueError("a data URL has two hexadecimal digits behind each percent sign")
    quoted = text.replace("=", "%3D").replace("%", "=")
    return binascii.a2b_qp(quoted.encode("utf-8", "surrogatepass"))


def _data_url(text: str, media_type: str, filename: str) -> Source:
    comma = text.find(",", 5, 512)
    if comma < 0:
        raise ValueError("a data URL has a comma before its data")
    head = text[5:comma]
    kind = canonical(head)
    if head.lower().endswith(";base64"):
        data = text[comma + 1 :]
        if kind in ("", UNKNOWN):
            kind = _type(media_type, filename, data)
        return Source("base64", data, kind)
    # RFC 2397: percent-encoded; text/plain when no type is given
    from_percent = _from_percent(text[comma + 1 :])
    return Source("base64", base64.b64encode(from_percent).decode("ascii"), kind or "text/plain")


def _type(media_type: str, filename: str, data: str) -> str:
    given = canonical(media_type)
    if given and given != UNKNOWN:
        return given
    return of_name(filename) or _sniff(data)


def _sniff(data: str) -> str:
    try:
        first = base64.b64decode(data[:32])
    except (binascii.Error, ValueError):
        return ""
    if first[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(first[8:12], "")
    return next((kind for magic, kind in _MAGIC if first.startswith(magic)), "")
