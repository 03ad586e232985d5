"""JSON at the edge of the splice lane: split one object into raw members, put it together again.

`shallow` decodes only the top level. Every value stays the exact bytes the client wrote
(`2.50` stays `2.50`, `\\u00e9` stays escaped, integers of any size keep every digit), so a request
can be relayed with one member replaced. Duplicate names collapse, the last one wins: what was read
for authorisation is what is forwarded. Source: RFC 8259; msgspec for the grammar.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from portico.errors import BadRequest

_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
encode = msgspec.json.Encoder().encode
"""`encode(value) -> bytes`: compact JSON, members in insertion order, `Raw` values exact."""

_POSITION = re.compile(r"^(?:JSON is malformed: )?(?P<reason>.*?) \(byte (?P<at>\d+)\)$")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(rb'"[^"]*"')
_RUNS = re.compile(rb"(\[+)(\]*)")
_MEMBER = re.compile(rb'[\s{,]*("(?:[^"\\]|\\.)*+")\s*:\s*')


def _all_but(kept: bytes) -> bytes:
    return bytes(byte for byte in range(256) if byte not in kept)


# What may follow a backslash, made one letter, so that an escape stays two bytes when the rest of
# the text is taken out.
_ESCAPES = bytes.maketrans(b"{}/bfrtu", b"[]nnnnnn")
_NOT_MARKS = _all_but(b'"[]{},')
_NOT_MARKS_OR_ESCAPES = _all_but(b'"[]{},\\/bfnrtu')
_LARGE = 16 * 1024  # from here on one `translate` is cheaper than counting bytes twice


def shallow(
    body: bytes,
    *,
    max_depth: int = 128,
    max_key: int = 1024,
    max_members: int = 10_000,
    max_values: int = 200_000,
) -> dict[str, Raw]:
    """Split one JSON object into its members.

    `max_depth` counts the object itself as 1. `max_key` bounds the names of the top level, in
    bytes; `max_members` how many there are. `max_values` bounds the values at all levels, because
    each costs more time to read than bytes to send. The body is checked as a whole: its grammar,
    its UTF-8 and its nesting. Raises `BadRequest` and nothing else.
    """
    if not body:
        raise BadRequest("The request body is empty. Send one JSON object.", code="invalid_json")
    if not body.isascii():
        check_utf8(body)
    large = len(body) > _LARGE or len(body) > 2 * max_values
    marks = _checked_structure(body, max_values) if large else b""
    try:
        fields = _decode_members(body)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError as error:
        raise _malformed(body, error) from None
    if not large and body.count(b"{") + body.count(b"[") > max_depth:
        marks = structure(body)
    if marks and depth(marks, max_depth) > max_depth:
        raise _too_deep(max_depth)
    if len(fields) > max_members:
        raise BadRequest(
            f"The request body has {len(fields)} members. The limit is {max_members}.",
            code="too_many_members",
            limit="jsonItems",
        )
    if len(body) > max_key:
        for name in fields:
            if len(name) > max_key or (not name.isascii() and len(name.encode()) > max_key):
                raise BadRequest(
                    f"A name in the request body is longer than {max_key} bytes.",
                    code="name_too_long",
                    limit="jsonKeyBytes",
                )
    return fields


def splice(fields: dict[str, Raw], replacements: Mapping[str, bytes]) -> bytes:
    """Write `fields` with some values replaced in place (or, for new names, added at the end).

    Replacement values are JSON text. Everything else keeps its bytes; white space between the
    members of the top level is not kept.
    """
    written = dict(fields)  # the request may have to be written for another provider yet
    for name, value in replacements.items():
        written[name] = Raw(value)
    return encode(written)


def quote(text: str) -> bytes:
    """`text` as a JSON string. Raises ValueError for a lone surrogate."""
    return encode(text)


def untouched(body: bytes, fields: Mapping[str, Raw]) -> bytes:
    """The bytes to forward when nothing changes: `body` itself, if it means the same to everyone.

    A body with duplicate names could mean another model to a parser in which the first one wins,
    so then it is written again from `fields`.
    """
    out = encode(fields)
    if len(out) == len(body) or _is_unique(body, fields):
        return body
    return out


def one_line(raw: bytes | Raw) -> bytes:
    """JSON text without line ends between its values, as a `data:` line needs it."""
    text = bytes(raw)
    if b"\n" in text or b"\r" in text:
        return msgspec.json.format(text, indent=-1)
    return text


def is_json(data: bytes) -> bool:
    """Whether `data` is one whole JSON value. Checks the grammar only, without building it."""
    try:
        _decode_raw(data)
    except (ValueError, RecursionError):
        return False
    return True


def check_utf8(body: bytes) -> None:
    """Raise `BadRequest` with the position of the first byte that is not UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"The request body is not valid UTF-8 (byte {error.start}).", code="invalid_json"
        ) from None


def structure(text: bytes) -> bytes:
    """Brackets and commas of valid JSON outside its strings, braces written as square brackets.

    `{"a": ["],"], "b": 1}` gives `[[],]`.
    """
    return _without_strings(_marks(text))


def depth(marks: bytes, enough: int = 1 << 30) -> int:
    """How deep the JSON nests whose `structure` is given; 0 for a bare value.

    Bare leaves (`[]`) are taken off level by level while they are many, which is one C call per
    level; then runs of brackets are walked. Both steps shrink the input, so the whole is linear.
    Stops counting soon after `enough`.
    """
    marks = marks.translate(None, b",")
    levels = 0
    while marks and levels <= enough:
        if marks.count(b"[]") * 16 <= len(marks):
            break
        marks = marks.replace(b"[]", b"")
        levels += 1
    level = deepest = 0
    for opening, closing in _RUNS.findall(marks):
        level += len(opening)
        deepest = max(deepest, level)
        level -= len(closing)
    return levels + deepest


def _marks(text: bytes) -> bytes:
    """Brackets and commas wherever they stand, and the quotes that delimit strings."""
    if b"\\" not in text:
        return text.translate(_ONE_KIND, _NOT_MARKS)
    text = text.translate(_ESCAPES, _NOT_MARKS_OR_ESCAPES)
    return text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, b"\\n")


def _without_strings(marks: bytes) -> bytes:
    """Take out strings. Two neighbouring quotes never change what is inside one: they go first."""
    marks = marks.replace(b'""', b"")
    return _STRING.sub(b"", marks) if b'"' in marks else marks


def _checked_structure(body: bytes, max_values: int) -> bytes:
    """`structure`, refusing what has too many values before anything is built from them."""
    marks = _marks(body)
    if marks.count(b'"') <= 4 * max_values:
        marks = _without_strings(marks)
        if marks.count(b",") <= max_values:
            return marks
    raise BadRequest(
        f"The request body holds more than {max_values} values.",
        code="too_many_values",
        limit="jsonValues",
    )


def _is_unique(body: bytes, fields: Mapping[str, Raw]) -> bool:
    """Whether valid JSON `body` holds exactly the members of `fields`, in that order."""
    at = 0
    for name, value in fields.items():
        member = _MEMBER.match(body, at)
        if member is None or _decode_text(member[1]) != name:
            return False
        raw = bytes(value)
        at = member.end()
        if not body.startswith(raw, at):
            return False
        at += len(raw)
    return body[at:].strip() == b"}"


def _too_deep(limit: int) -> BadRequest:
    return BadRequest(
        f"The request body nests deeper than {limit} levels.",
        code="nesting_too_deep",
        limit="jsonDepth",
    )


def _malformed(body: bytes, error: ValueError) -> BadRequest:
    """Say what is wrong and where, from a fixed vocabulary (never the body's own text)."""
    if isinstance(error, msgspec.ValidationError):
        return BadRequest("The request body must be one JSON object.", code="invalid_json")
    found = _POSITION.match(str(error))
    if found is not None:
        reason, at = found["reason"], found["at"]
    else:
        reason, at = "unexpected end", str(len(body))
    return BadRequest(
        f"The request body is not valid JSON: {reason} (byte {at}).", code="invalid_json"
    )
