"""Realistic input made wrong: a few changes to a seed, chosen by numbers Hypothesis can shrink.

A change works on the JSON inside (of a body, of one frame, of one binary message) or on the bytes.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Literal, NamedTuple

from hypothesis import strategies as st

from portico.wire.eventstream import decode, encode
from portico.wire.sse import iter_frames

Kind = Literal["json", "sse", "aws", "bytes"]
Change = tuple[int, int, int]

_DEEP: Any = []
for _ in range(300):
    _DEEP = [_DEEP]
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**40, -(2**70), 0.5, 1e308, -0.0,
    "", " ", "0", "null", "\x00", "\ud800", "\u2028", "\r\n", "\r\nx-injected: 1", "../../../x",
    "x" * 5000, "€🙂" * 200, "data:", "data:,", "data:x", "data:image/png;base64,",
    "data:;base64,!",
    "data:" + "a" * 600, "http://[", "https://[::1]:x/", "gs://", "s3://b/k", "https://a/b.pdf",
    "<think>", "</think>", "[DONE]", "{", "}", "{}", "[]", '{"input":"', '{"input":"\\ud83d',
    "ptco1_", "ptco1_AAAA", "ptco1_" + "A" * 80, "#", "#/", "#/$defs/a", "$.a[0]['b']", "$[9]",
    "stop", "length", "error", "tool_calls", "function", "custom", "text", "message", "reasoning",
    "thinking", "auto", "none", "assistant", "user", "system", "developer", "tool", "url",
    [], {}, [None], [[]], [{}], {"": None}, [1, "a", None, {}], {"type": None}, {"type": "x"},
    {"type": "text", "text": "t"}, {"type": "object"}, {"$ref": "#"}, {"error": None},
    {"error": {"message": 1}}, {"message": []}, _DEEP, [0] * 400, {str(n): n for n in range(400)},
)  # fmt: skip
"""What stands in the place of something."""

TOKENS = (
    b"\n", b"\n\n", b"\r\n\r\n", b"\r", b"\x00", b"\xff", b"\xef\xbb\xbf", b"data: ", b"data:",
    b"event: error\n", b"data: [DONE]\n\n", b": comment\n\n", b"data: {}\n\n", b"data: null\n\n",
    b'data: {"error":{"message":"m","code":"c"}}\n\n', b'data: {"type":"error"}\n\n', b"[" * 2000,
    b'{"a":' * 2000, b'"', b"\\", b"{", b"}", b",", b"\xed\xa0\x80", b"\x00\x00\x00\x10", b"1e999",
)  # fmt: skip
"""What is put between bytes."""


class Seed(NamedTuple):
    """Something real, and what it is made of."""

    data: bytes
    kind: Kind


def changes() -> st.SearchStrategy[list[Change]]:
    """Numbers for `mutated`: what to do, where, and with what."""
    one = st.tuples(st.integers(0, len(_OPS) - 1), st.integers(0, 4095), st.integers(0, 4095))
    return st.lists(one, min_size=0, max_size=6)


def drawn(chance: Random, most: int) -> list[Change]:
    """Such numbers without Hypothesis: up to `most` changes."""
    return [
        (chance.randrange(len(_OPS)), chance.randrange(4096), chance.randrange(4096))
        for _ in range(chance.randint(1, most))
    ]


def mutated(seed: Seed, todo: list[Change]) -> bytes:
    """The seed with these changes. The same numbers give the same bytes."""
    data = seed.data
    for op, where, what in todo:
        data = _OPS[op](data, seed.kind, where, what)
    return data


def _replace(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    return _in_json(data, kind, where, lambda holder, key: _set(holder, key, JUNK[what % _JUNK]))


def _remove(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    return _in_json(data, kind, where, lambda holder, key: holder.pop(key))


def _copy(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    """A member of an array again, up to forty times; a member of an object under another name."""

    def change(holder: Any, key: Any) -> None:
        if isinstance(holder, list):
            holder[key:key] = [holder[key]] * (what % 40)
        else:
            holder[str(JUNK[what % _JUNK])[:40]] = holder[key]

    return _in_json(data, kind, where, change)


def _swap(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    """A value where another of the same text is."""
    values: list[Any] = []
    for text in _texts(data, kind):
        values += [holder[key] for holder, key in _places(text)]
    if not values:
        return data
    chosen = values[what % len(values)]
    return _in_json(data, kind, where, lambda holder, key: _set(holder, key, chosen))


def _wrap(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    def change(holder: Any, key: Any) -> None:
        holder[key] = [holder[key]] if what % 2 else {"type": holder[key]}

    return _in_json(data, kind, where, change)


def _frame(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    """A frame again, elsewhere, or not at all."""
    frames = _frames(data, kind)
    if len(frames) < 2:
        return data
    at, to = where % len(frames), what // 4 % len(frames)
    if what % 4 == 0:
        del frames[at]
    elif what % 4 == 1:
        frames.insert(to, frames[at])
    elif what % 4 == 2:
        frames.insert(to, frames.pop(at))
    else:
        frames[at:at] = [frames[at]] * (to % 20)
    return b"".join(frames)


def _flip(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    if not data:
        return data
    at = where * 7919 % len(data)
    return data[:at] + bytes((data[at] ^ (1 << what % 8),)) + data[at + 1 :]


def _cut(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    at = where * 7919 % (len(data) + 1)
    return data[:at] if what % 2 else data[:at] + data[at + what % 50 :]


def _insert(data: bytes, kind: Kind, where: int, what: int) -> bytes:
    at = where * 7919 % (len(data) + 1)
    return data[:at] + TOKENS[what % len(TOKENS)] + data[at:]


_OPS: tuple[Callable[[bytes, Kind, int, int], bytes], ...] = (
    _replace, _replace, _replace, _remove, _copy, _swap, _wrap, _frame, _flip, _cut, _insert,
)  # fmt: skip
_JUNK = len(JUNK)


def _set(holder: Any, key: Any, value: Any) -> None:
    holder[key] = value


def _in_json(data: bytes, kind: Kind, where: int, change: Callable[[Any, Any], Any]) -> bytes:
    """`data` after `change(holder, key)` at place `where` of the JSON in it."""
    frames = _frames(data, kind)
    at = where % len(frames) if frames else 0
    inner = _text(frames[at], kind) if frames else b""
    try:
        value = [json.loads(inner)]
    except (ValueError, RecursionError):
        return data
    places = _places(value)
    change(*places[where // max(len(frames), 1) % len(places)])
    if not value:
        return data
    text = json.dumps(value[0]).encode()
    frames[at] = _put(frames[at], text, kind)
    return b"".join(frames)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) in a list that holds the root."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo and len(found) < 4000:
        holder = todo.pop()
        keys: Any = range(len(holder)) if isinstance(holder, list) else list(holder)
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                todo.append(holder[key])
    return found


def _frames(data: bytes, kind: Kind) -> list[bytes]:
    if kind == "sse":
        return iter_frames(data)
    if kind == "aws":
        out, at = [], 0
        while at + 16 <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            if not 16 <= size <= len(data) - at:
                break
            out.append(data[at : at + size])
            at += size
        return [*out, data[at:]] if at < len(data) else out
    return [data]


def _texts(data: bytes, kind: Kind) -> list[Any]:
    out = []
    for frame in _frames(data, kind):
        try:
            out.append([json.loads(_text(frame, kind))])
        except (ValueError, RecursionError):
            continue
    return out


def _text(frame: bytes, kind: Kind) -> bytes:
    if kind == "sse":
        return frame.partition(b"data:")[2].strip()
    if kind == "aws":
        try:
            return decode(frame)[0].payload
        except Exception:
            return b""
    return frame


def _put(frame: bytes, text: bytes, kind: Kind) -> bytes:
    if kind == "sse":
        return frame.partition(b"data:")[0] + b"data: " + text + b"\n\n"
    if kind == "aws":
        return encode(decode(frame)[0].headers, text)
    return text
