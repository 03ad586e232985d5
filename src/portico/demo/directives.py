"""Directives: how a test tells the demo model what to do.

They come from two places. In the model name, after `demo:` (or `demo-reasoner:` and the like),
separated by commas: `demo:status=429,retry_after=2`. In the last user message, separated by blanks:
`[[demo tokens=200 delay=0.01]]`; these win over the model name and are removed from the text.
Parsing is strict: an unknown key, a value out of range or an unclosed `[[demo` is a 400.

What goes wrong (the faults are `status`, `cut`, `fin`, `hang` and `error`):

| key | value | effect |
| --- | --- | --- |
| `status` | 400..599 | answer with this error status, in the dialect's envelope |
| `code` | word | the error's `code` (OpenAI), the reason of its `ErrorInfo` (Google) |
| `kind` | word | the error's vendor name, see below |
| `retry_after` | seconds | when to come back: `retry-after`, for Google a `RetryInfo` instead |
| `times` | 1..1000 | faults apply to the first N requests of this model and text only |
| `cut` | N events | abort the connection after N stream events; unstreamed: half-way the body |
| `fin` | N events | end the body properly after N events, so without a terminal event |
| `hang` | N events | go silent after N events; unstreamed: never answer |
| `error` | N events | after N events send the dialect's error event and end |

How it comes:

| key | value | effect |
| --- | --- | --- |
| `first_delay` | seconds | wait before the first byte |
| `delay` | seconds | wait before every later stream event |
| `split` | 1..65536 | write stream events in pieces of that many bytes |
| `metadata` | first, last | Bedrock: `metadata` before or after `messageStop` |
| `cached` | 0..1000000 | input tokens read from the cache, added to the prompt's |
| `written` | 0..1000000 | input tokens written to the cache, added to the prompt's |

What it says:

| key | value | effect |
| --- | --- | --- |
| `plan` | words with `+` | the parts of the answer in order, see below |
| `think` | on, off | reason or not, whatever was asked for |
| `tokens` | 1..200000 | answer with exactly this many tokens, one stream delta each |
| `calls` | 0..8 | make this many tool calls (tools must be offered) |
| `args` | none, cut | call without arguments (`{}`), or stop for length half-way the last call |
| `finish` | see below | end for this reason |
| `echo` | body, head | answer with the JSON of the request, see below |
| `text` | rest | answer with this text; must come last, runs to `]]` or the end of the name |

`kind` is Anthropic's and OpenAI's `type`, Google's `status`, Amazon's exception; it is also what a
stream fails with: `[[demo error=3 kind=ThrottlingException]]`, `[[demo error=0
kind=overloaded_error]]`.

`plan` is up to 32 of `think`, `hidden` (reasoning that is not shown, only its opaque state),
`text`, `call`, `search` and `refusal`: `plan=think+call+think+call` interleaves. Calls are left out
when no tools are offered, searches when no hosted search is.

`finish` is `stop`, `length`, `content_filter` (text, then the filter), `refusal` (nothing but a
refusal, in the dialect's own form), `blocked` (the prompt was not let in: OpenAI and Azure answer
400, Google without candidates, Bedrock's guardrail speaks), `pause` (Anthropic's `pause_turn`),
`context` (the window is full) or `malformed` (a call that went wrong: Google, Bedrock). A dialect
that has no such reason stops normally.

`echo=body` answers with the request body as it arrived, `echo=head` with `{method, path, query,
headers, body}`, credentials masked. Seconds are decimal, 0..600.

Without directives: a question that a tool's name appears in calls it, "search" with a hosted search
searches and cites, a JSON schema is answered with an instance of it, and the images, files and
audio of the last turn are described, `image/png, 70 bytes`, so that tests see what arrived.
"""

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from portico.demo.faults import RefusedError

__all__ = ["Directives", "directives_of"]

_MODEL = re.compile(r"demo(?:-[a-z0-9]+)*:(.*)", re.DOTALL)
_OPEN = "[[demo"
_CLOSE = "]]"
_FINISHES = (
    "stop",
    "length",
    "content_filter",
    "refusal",
    "blocked",
    "pause",
    "context",
    "malformed",
)
_PARTS = ("think", "hidden", "text", "call", "search", "refusal")


class Directives(Struct, frozen=True, kw_only=True):
    """The parsed directives of one request. Times in seconds, counts in stream events."""

    status: int | None = None
    code: str | None = None
    kind: str | None = None
    retry_after: float | None = None
    times: int | None = None
    first_delay: float = 0.0
    delay: float = 0.0
    cut: int | None = None
    fin: int | None = None
    hang: int | None = None
    error: int | None = None
    split: int | None = None
    metadata: str | None = None
    cached: int | None = None
    written: int | None = None
    plan: tuple[str, ...] | None = None
    think: bool | None = None
    tokens: int | None = None
    calls: int | None = None
    args: str | None = None
    finish: str | None = None
    echo: str | None = None
    text: str | None = None

    def without_faults(self) -> "Directives":
        """The same, well behaved: what remains once `times` is used up."""
        return structs.replace(
            self,
            status=None,
            code=None,
            kind=None,
            retry_after=None,
            times=None,
            cut=None,
            fin=None,
            hang=None,
            error=None,
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


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in values:
            raise ValueError("one of " + ", ".join(values))
        return value

    return parse


def _plan(value: str) -> tuple[str, ...]:
    words = tuple(value.split("+"))
    if len(words) > 32 or any(word not in _PARTS for word in words):
        raise ValueError("up to 32 of " + ", ".join(_PARTS) + " with `+` between them")
    return words


_EVENTS = _whole(0, 1_000_000)
_PARSERS: dict[str, Callable[[str], Any]] = {
    "status": _whole(400, 599),
    "code": _word,
    "kind": _word,
    "retry_after": _seconds,
    "times": _whole(1, 1000),
    "first_delay": _seconds,
    "delay": _seconds,
    "cut": _EVENTS,
    "fin": _EVENTS,
    "hang": _EVENTS,
    "error": _EVENTS,
    "split": _whole(1, 65_536),
    "metadata": _one_of("first", "last"),
    "cached": _whole(0, 1_000_000),
    "written": _whole(0, 1_000_000),
    "plan": _plan,
    "think": lambda value: _one_of("on", "off")(value) == "on",
    "tokens": _whole(1, 200_000),
    "calls": _whole(0, 8),
    "args": _one_of("none", "cut"),
    "finish": _one_of(*_FINISHES),
    "echo": _one_of("body", "head"),
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
