"""What the demo model says: a pure function from a dialect-neutral request to a `Turn`.

One token of output is one piece of text: leading blanks and up to twelve other characters. A piece
is also one stream delta, so `[[demo tokens=200]]` is 200 deltas and 200 output tokens. Input
tokens are bytes of prompt JSON divided by four (`memory.py`). Same request, same turn.
"""

import base64
import hashlib
import re
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct

from portico.demo.directives import Directives
from portico.demo.example import example
from portico.demo.faults import RefusedError, encode
from portico.demo.memory import Metered
from portico.demo.tales import STORIES, greeting

__all__ = ["Ask", "Call", "Stamp", "Tool", "Turn", "pieces", "play", "seal", "sealed"]

Finish = Literal["stop", "stop_sequence", "tool_calls", "length", "content_filter"]
Pieces = tuple[str, ...]

_PIECE = re.compile(r"\s*\S{1,12}|\s+")
_WORD = re.compile(r"[a-z]{3,}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SEVERAL = re.compile(r"\b(two|both|twice|parallel)\b", re.IGNORECASE)
_TOOLISH = re.compile(r"\b(tools?|functions?)\b", re.IGNORECASE)
_DULL = frozenset({"and", "call", "create", "fetch", "find", "for", "get", "list", "run", "set"})
_FILLER = (
    "the",
    "lantern",
    "at",
    "the",
    "gate",
    "was",
    "lit",
    "and",
    "the",
    "caravan",
    "went",
    "on",
)


class Tool(Struct, frozen=True):
    """One tool offered. `schema` is JSON schema; a custom tool takes free text."""

    name: str
    schema: Any = None
    custom: bool = False


class Ask(Struct, frozen=True, kw_only=True):
    """A request without its dialect. `text` is the last user text, directives removed.

    `results` are tool results that came after it; `thinks` None leaves it to the model's name;
    `schema` is the JSON schema the answer must fit; `must_call` is a forced tool choice.
    """

    model: str
    text: str = ""
    order: Directives = Directives()
    results: Pieces = ()
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    parallel: bool = True
    thinks: bool | None = None
    max_tokens: int | None = None
    schema: dict[str, Any] | None = None
    stop: Pieces = ()


class Call(Struct, frozen=True):
    """One tool call; `arguments` in pieces (JSON, or free text for a custom tool)."""

    name: str
    arguments: Pieces
    custom: bool = False


class Turn(Struct, frozen=True, kw_only=True):
    """What the model says, in pieces, and what it costs. `output` includes `thinking` tokens."""

    reasoning: Pieces = ()
    text: Pieces = ()
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"
    stop_sequence: str | None = None
    input: Metered
    thinking: int = 0
    output: int = 0


class Stamp(Struct, frozen=True):
    """What differs between two equal answers: `uid` goes into every id, `created` is Unix time."""

    uid: str
    created: int


def pieces(text: str) -> Pieces:
    """`text` cut into demo tokens; joined again they are `text`."""
    return _short_pieces(text) if len(text) <= 4096 else tuple(_PIECE.findall(text))


@lru_cache(maxsize=512)
def _short_pieces(text: str) -> Pieces:
    return tuple(_PIECE.findall(text))


@lru_cache(maxsize=4)
def _filler(count: int) -> Pieces:
    words = [f" {_FILLER[index % len(_FILLER)]}" for index in range(count)]
    words[0] = words[0].strip()
    return tuple(words)


def play(ask: Ask, metered: Metered, order: Directives | None = None) -> Turn:
    """Decide the turn. `order` replaces the request's own directives (used-up `times`)."""
    order = order or ask.order
    reasoning: Pieces = ()
    if ask.thinks if ask.thinks is not None else ask.model.startswith("demo-reasoner"):
        reasoning = pieces(_reasoning(ask))
    calls = _calls(ask, order)
    text: Pieces = ()
    stop_sequence = None
    if not calls:
        text, stop_sequence = _text(ask, order)
    finish: Finish = "tool_calls" if calls else "stop_sequence" if stop_sequence else "stop"
    if order.finish == "content_filter":
        finish = "content_filter"
    elif order.finish == "length":
        finish = "length"
    turn = Turn(
        reasoning=reasoning,
        text=text,
        calls=calls,
        finish=finish,
        stop_sequence=stop_sequence,
        input=metered,
        thinking=len(reasoning),
        output=len(reasoning) + len(text) + sum(len(call.arguments) for call in calls),
    )
    if ask.max_tokens is not None and turn.output > ask.max_tokens:
        return _truncated(turn, ask.max_tokens)
    return turn


def _truncated(turn: Turn, budget: int) -> Turn:
    """The first `budget` tokens of the turn, ended for length."""
    reasoning = turn.reasoning[:budget]
    left = budget - len(reasoning)
    text = turn.text[:left]
    left -= len(text)
    calls = []
    for call in turn.calls:
        if left <= 0:
            break
        calls.append(Call(call.name, call.arguments[:left], call.custom))
        left -= len(calls[-1].arguments)
    return Turn(
        reasoning=reasoning,
        text=text,
        calls=tuple(calls),
        finish="length",
        input=turn.input,
        thinking=len(reasoning),
        output=budget,
    )


def _reasoning(ask: Ask) -> str:
    if ask.results:
        return "The tool has answered. I will quote what it said and stop there."
    if ask.tools:
        return "Tools are on offer. If one of them fits the question I call it, otherwise I answer."
    quoted = _clip(ask.text, 60)
    return (
        f"The user says: “{quoted}”. I am a script: I pick the answer that fits and keep it short."
    )


def _text(ask: Ask, order: Directives) -> tuple[Pieces, str | None]:
    if order.tokens is not None:
        return _filler(order.tokens), None
    if order.text is not None:
        text = order.text
    elif ask.schema is not None:
        text = encode(example(ask.schema, ask.text)).decode()
    elif ask.results:
        quoted = " and ".join(f"“{_clip(each, 400)}”" for each in ask.results[:8])
        text = f"The tool answered {quoted}. That is all the demo model needed to know."
    elif "story" in (lowered := ask.text[:2000].lower()) or "tale" in lowered:
        text = STORIES[sum(ask.text.encode("utf-8", "replace")) % len(STORIES)]
    else:
        text = greeting(ask.model, _clip(ask.text, 80))
    for stop in ask.stop:
        if stop and (at := text.find(stop)) >= 0:
            return pieces(text[:at]), stop
    return pieces(text), None


def _calls(ask: Ask, order: Directives) -> tuple[Call, ...]:
    if not ask.tools or order.calls == 0:
        return ()
    if order.calls is not None:
        count = order.calls
        chosen = ask.tools
    else:
        if ask.results or order.text is not None or order.tokens is not None:
            return ()
        chosen = tuple(tool for tool in ask.tools if _suggested(tool, ask.text))
        if not chosen and (ask.must_call or _TOOLISH.search(ask.text[:2000])):
            chosen = ask.tools[:1]
        if not chosen:
            return ()
        count = 2 if ask.parallel and _SEVERAL.search(ask.text[:2000]) else 1
    calls = []
    for index in range(count):
        tool = chosen[index % len(chosen)]
        if tool.custom:
            arguments = _clip(ask.text, 200) or "demo input"
        else:
            schema = tool.schema or {"type": "object"}
            arguments = encode(example(schema, ask.text, index)).decode()
        calls.append(Call(tool.name, pieces(arguments), tool.custom))
    return tuple(calls)


def _suggested(tool: Tool, text: str) -> bool:
    """True when a telling word of the tool's name is in the text: `get_weather`, "weather"."""
    said = text[:2000].lower()
    words = _WORD.findall(_CAMEL.sub(" ", tool.name).lower())
    return any(word in said for word in words if word not in _DULL)


def choose(tools: tuple[Tool, ...], names: set[str]) -> tuple[Tool, ...]:
    """The tools a tool choice leaves. Raises `RefusedError` for an unknown name."""
    if unknown := names - {tool.name for tool in tools}:
        message = f"Tool choice '{min(unknown)}' not found in 'tools' parameter."
        raise RefusedError(400, message, param="tool_choice")
    return tuple(tool for tool in tools if tool.name in names)


def _clip(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1].rstrip()}…"


def seal(text: str) -> str:
    """Opaque continuation state for `text`: a checksum that `sealed` knows again."""
    inner = text.encode("utf-8", "replace")
    digest = hashlib.blake2b(inner, digest_size=18, person=b"portico-demo").digest()
    return base64.b64encode(b"demo" + digest + inner).decode()


def sealed(value: str, text: str | None = None) -> bool:
    """True when `value` came from `seal`, of `text` when given: a byte-equal replay."""
    try:
        raw = base64.b64decode(value, validate=True)
    except ValueError:
        return False
    inner = raw[22:].decode("utf-8", "replace")
    return value == seal(inner) and (text is None or text == inner)
