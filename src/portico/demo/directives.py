"""Directives: how a test tells the demo model what to do.

They come from two places. In the model name, after `demo:` (or `demo-reasoner:` and the like),
separated by commas: `demo:status=429,retry_after=2`. In the last user message, separated by blanks:
`[[demo tokens=200 delay=0.01]]`; these win over the model name and are removed from the text.
Parsing is strict: an unknown key, a value out of range or an unclosed `[[demo` is a 400.

| key | value | effect |
| --- | --- | --- |
| `status` | 400..599 | answer with this error status, in the dialect's envelope |
| `code` | word | the error's `code` (OpenAI envelopes) |
| `retry_after` | seconds | the `retry-after` header of that error |
| `times` | 1..1000 | faults apply to the first N requests of this model and text only |
| `first_delay` | seconds | wait before the first byte |
| `delay` | seconds | wait before every later stream event |
| `cut` | N events | abort the connection after N stream events; unstreamed: half-way the body |
| `fin` | N events | end the body properly after N events, so without a terminal event |
| `hang` | N events | go silent after N events; unstreamed: never answer |
| `error` | N events | after N events send the dialect's error event and end |
| `tokens` | 1..200000 | answer with exactly this many tokens, one stream delta each |
| `calls` | 0..8 | make this many tool calls (tools must be offered) |
| `finish` | stop, length, content_filter | end for this reason |
| `text` | rest | answer with this text; must come last, runs to `]]` or the end of the name |

The faults are `status`, `cut`, `fin`, `hang` and `error`. Seconds are decimal, 0..600.
"""

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from portico.demo.faults import RefusedError

__all__ = ["Directives", "directives_of"]

_MODEL = re.compile(r"demo(?:-[a-z0-9]+)*:(.*)", re.DOTALL)
_OPEN = "[[demo"
_CLOSE = "]]"
_FINISHES = ("stop", "length", "content_filter")


class Directives(Struct, frozen=True, kw_only=True):
    """The parsed directives of one request. Times in seconds, counts in stream events."""

    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    times: int | None = None
    first_delay: float = 0.0
    delay: float = 0.0
    cut: int | None = None
    fin: int | None = None
    hang: int | None = None
    error: int | None = None
    tokens: int | None = None
    calls: int | None = None
    finish: str | None = None
    text: str | None = None

    def without_faults(self) -> "Directives":
        """The same, well behaved: what remains once `times` is used up."""
        return Directives(
            first_delay=self.first_delay,
            delay=self.delay,
            tokens=self.tokens,
            calls=self.calls,
            finish=self.finish,
            text=self.text,
        )


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit()) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def _seconds(value: str) -> float:
    if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", value, re.ASCII) or float(value) > 600:
        raise ValueError("decimal seconds from 0 to 600")
    return float(value)


def _word(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        raise ValueError("a word of up to 64 letters, digits, `_`, `.` or `-`")
    return value


def _finish(value: str) -> str:
    if value not in _FINISHES:
        raise ValueError("one of " + ", ".join(_FINISHES))
    return value


_EVENTS = _whole(0, 1_000_000)
_PARSERS: dict[str, Callable[[str], Any]] = {
    "status": _whole(400, 599),
    "code": _word,
    "retry_after": _seconds,
    "times": _whole(1, 1000),
    "first_delay": _seconds,
    "delay": _seconds,
    "cut": _EVENTS,
    "fin": _EVENTS,
    "hang": _EVENTS,
    "error": _EVENTS,
    "tokens": _whole(1, 200_000),
    "calls": _whole(0, 8),
    "finish": _finish,
    "text": str,
}
_NONE = Directives()


def directives_of(model: str, text: str) -> tuple[Directives, str]:
    """The directives in `model` and `text`, and the text without them. Raises `RefusedError`."""
    found: dict[str, Any] = {}
    if ":" in model and (named := _MODEL.fullmatch(model)):
        _read(named[1], ",", found)
    while (start := text.find(_OPEN)) >= 0:
        end = text.find(_CLOSE, start)
        if end < 0:
            raise _bad("`[[demo` is not closed by `]]`")
        inner = text[start + len(_OPEN) : end]
        if inner and not inner[0].isspace():
            raise _bad("`[[demo` must be followed by a blank")
        _read(inner, None, found)
        text = f"{text[:start].rstrip()} {text[end + len(_CLOSE) :].lstrip()}".strip()
    return (Directives(**found) if found else _NONE), text


def _read(source: str, separator: str | None, found: dict[str, Any]) -> None:
    rest = source.strip()
    while rest:
        if rest.startswith("text="):
            found["text"] = rest[len("text=") :]
            return
        word, *tail = rest.split(separator, 1)
        rest = tail[0].strip() if tail else ""
        key, equals, value = word.strip().partition("=")
        parser = _PARSERS.get(key)
        if parser is None or not equals:
            raise _bad(f"`{word[:80]}` is not one of {', '.join(_PARSERS)} with `=` and a value")
        try:
            found[key] = parser(value)
        except ValueError as error:
            raise _bad(f"`{key}` must be {error}") from None


def _bad(why: str) -> RefusedError:
    return RefusedError(
        400, f"Demo directive: {why}.", code="invalid_demo_directive", param="model"
    )
