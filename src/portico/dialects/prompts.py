"""Putting an operator's messages around a client's conversation, without touching its bytes.

What is put in is written once, when the configuration is loaded; per request it is only joined with
the client's JSON text. A value that is not of the type its dialect has there stays as it is: the
dialect's reader, or the provider, says what is wrong with it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Raw

from portico.wire.json import encode, quote

Line = tuple[str, str]
"""Role (`system`, `user`, `assistant`) and text."""

BETWEEN = rb"\n\n"
"""A blank line, inside a JSON string."""
_BRACKET, _QUOTE = ord("["), ord('"')
_is_empty_array = re.compile(rb"\[[ \t\r\n]*\]").fullmatch


class Prompts(Protocol):
    """The prompts of one model in one dialect."""

    def put(self, fields: Mapping[str, Raw], *, begun: bool) -> dict[str, bytes]:
        """The members of a body that are different with the prompts in them, as JSON text.

        `begun`: the provider goes on from what it keeps, so that a turn put in front of the
        conversation is there already.
        """


def is_string(raw: Raw | bytes) -> bool:
    """Whether JSON text is a string."""
    return memoryview(raw)[0] == _QUOTE


def is_array(raw: Raw | bytes) -> bool:
    """Whether JSON text is an array."""
    return memoryview(raw)[0] == _BRACKET


def array_around(raw: Raw | bytes, before: bytes, after: bytes) -> bytes:
    """The array `raw` with elements (JSON text, commas between them, or nothing) at its ends."""
    text = memoryview(raw)
    parts: list[bytes | memoryview] = [b"["]
    if before:
        parts.append(before)
    if _is_empty_array(text) is None:
        if before:
            parts.append(b",")
        parts.append(text[1:-1])
        if after:
            parts.append(b",")
    elif before and after:
        parts.append(b",")
    parts += (after, b"]")
    return b"".join(parts)


def text_around(raw: Raw | bytes | None, before: bytes, after: bytes) -> bytes:
    """The string `raw` (None: nothing was said) with text (as in a JSON string) at its ends and
    blank lines between."""
    inner = memoryview(raw)[1:-1] if raw is not None else b""
    said = [part for part in (before, inner, after) if len(part)]
    return b'"%b"' % BETWEEN.join(said)


def joined_text(lines: Iterable[Line]) -> bytes:
    """The system prompts among `lines` as one text, as it stands in a JSON string."""
    return BETWEEN.join([quote(text)[1:-1] for role, text in lines if role == "system" and text])


def elements(values: Sequence[Mapping[str, object]]) -> bytes:
    """JSON objects with commas between them; empty for none."""
    return encode(values)[1:-1]
