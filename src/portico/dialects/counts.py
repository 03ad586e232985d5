"""Reading token counts that may be missing, null, negative, huge or of a wrong type."""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from portico.dialects.base import Answer
from portico.model.usage import Usage, disjoint
from portico.wire.json import structure

MOST = 1_000_000_000
"""No count of one answer is larger. What a provider says beyond it is an error of its own, and must
not blind the counters: they are floats, to which single tokens are nothing beside such numbers."""
Count = Annotated[int, Meta(ge=0, le=MOST)] | None
"""A count as it should be, for the typed and fast way to read an answer."""
LONGEST = 64 * 1024
"""Bytes of a usage object that is looked at."""

UNREADABLE = (ValueError, RecursionError)
"""What decoding a provider's bytes may raise."""

NULL = Raw(b"null")

Numbers = TypeVar("Numbers")


class Whole(Struct, Generic[Numbers], gc=False):
    """A whole answer as it should be; others are read as a `Loose`."""

    model: str | None = None
    usage: Numbers | None = None


class Loose(Struct, gc=False):
    """An answer. Raw members: nothing a provider sends fails to decode."""

    model: Raw = NULL
    usage: Raw = NULL


_decode = msgspec.json.Decoder().decode
decode_loose = msgspec.json.Decoder(Loose).decode
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_scan = json.JSONDecoder().raw_decode
_TRIES = 8


def count(value: object) -> int | None:
    """A token count between 0 and `MOST`, or None if `value` is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= MOST:
        return MOST if value > MOST else 0
    return int(value)


def pick(mapping: object, *path: str) -> int | None:
    """The count at `path` in nested dicts, None if there is none."""
    for name in path:
        if not isinstance(mapping, dict):
            return None
        mapping = mapping.get(name)
    return count(mapping)


def text(raw: Raw) -> str:
    """The first 512 characters of a raw string, `""` for anything else."""
    try:
        value = _decode(raw)
    except UNREADABLE:
        return ""
    return value[:512] if isinstance(value, str) else ""


def is_text(raw: Raw) -> bool:
    """Whether raw JSON is UTF-8. Decoding did not look into it, and a client's parser will."""
    try:
        bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True


def mapping(raw: Raw) -> dict[str, Any] | None:
    """A raw object as a dict; None for anything else, and for one that is absurdly long."""
    view = memoryview(raw)
    if view[0] != 0x7B or len(view) > LONGEST:
        return None
    try:
        value = _decode(raw)
    except UNREADABLE:
        return None
    return value if isinstance(value, dict) else None


def read_whole(
    body: bytes,
    decode: Callable[[bytes], Whole[Numbers]],
    typed: Callable[[Numbers], Usage | None],
    loosely: Callable[[bytes], Answer],
) -> Answer:
    """Model and usage of a whole answer, the fast way; `loosely` if it is not as it should be."""
    try:
        answer = decode(body)
    except UNREADABLE:
        answer = None
    if answer is None or answer.usage is None:
        try:
            return loosely(body)
        except UNREADABLE:
            return Answer()
    return Answer((answer.model or "")[:512], typed(answer.usage))


def inclusive(
    *,
    input_total: int | None,
    cache_read: int | None,
    cache_write: int | None,
    output_total: int | None,
    reasoning: int | None,
    total: int | None,
) -> Usage | None:
    """Usage from OpenAI-style counts, in which parts are inside their wholes; None if all absent.

    One provider counts reasoning beside the output. It shows: the parts then add up to the total
    only with it, or reasoning is larger than the output it should be part of.
    """
    if input_total is None and output_total is None:
        return None
    if (
        not (cache_read or cache_write or reasoning)  # nothing to take apart
        and 0 <= (input_total or 0) <= MOST
        and 0 <= (output_total or 0) <= MOST
    ):
        return Usage(input_uncached=input_total or 0, output_text=output_total or 0)
    into, out, thought = input_total or 0, output_total or 0, reasoning or 0
    # xAI chat: 12 + 2 + 340 = 354. https://docs.x.ai/docs/guides/reasoning (2026-11)
    if thought and (thought > out or total == into + out + thought):
        out = min(out + thought, MOST)
    read, write = cache_read or 0, cache_write or 0
    if read + write <= into and thought <= out:
        return Usage(
            input_uncached=into - read - write,
            cache_read=read,
            cache_write=write,
            output_text=out - thought,
            reasoning=thought,
        )
    return disjoint(
        input_including_cache=into,
        cache_read=read,
        cache_write=write,
        output_including_reasoning=out,
        reasoning=thought,
    )


def larger(old: Usage | None, new: Usage | None) -> Usage | None:
    """The later of two cumulative counts, unless it says less."""
    if new is None or (old is not None and old.total > new.total):
        return old
    return new


def last_usage(tail: bytes) -> dict[str, Any] | None:
    """The `usage` object of a JSON answer of which only the end was kept. Best effort.

    Only an object that closes one level below the end is taken: that is a member of the answer
    itself and not of something inside it. Text cannot fake one, its quotes are escaped.
    """
    places = [found.end() for found in _USAGE.finditer(tail)]
    for start in reversed(places[-_TRIES:]):
        piece = tail[start : start + LONGEST].decode(errors="replace")
        try:
            value, end = _scan(piece)
        except UNREADABLE:
            continue
        rest = structure(tail[start + len(piece[:end].encode()) :])
        if isinstance(value, dict) and rest.count(b"]") - rest.count(b"[") == 1:
            return value
    return None
