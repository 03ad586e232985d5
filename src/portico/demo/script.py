"""What the demo model says: a pure function from a dialect-neutral request to a `Turn`.

One token of output is one piece of text: leading blanks and up to twelve other characters. A piece
is also one stream delta, so `[[demo tokens=200]]` is 200 deltas and 200 output tokens. Input
tokens are bytes of prompt JSON divided by four (`memory.py`). Same request, same turn.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct, structs

from portico.demo.directives import Directives
from portico.demo.example import example
from portico.demo.faults import RefusedError, encode
from portico.demo.memory import Metered
from portico.demo.tales import REFUSAL, SOURCES, STORIES, Source, found, greeting

__all__ = [
    "Ask",
    "Call",
    "Say",
    "Search",
    "Segment",
    "Stamp",
    "Thought",
    "Tool",
    "Turn",
    "choose",
    "pieces",
    "play",
]

Finish = Literal[
    "stop",
    "stop_sequence",
    "tool_calls",
    "length",
    "content_filter",
    "refusal",
    "blocked",
    "pause",
    "context",
    "malformed",
]
Pieces = tuple[str, ...]

_PIECE = re.compile(r"\s*\S{1,12}|\s+")
_WORD = re.compile(r"[a-z]{3,}")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SEVERAL = re.compile(r"\b(two|both|twice|parallel)\b", re.IGNORECASE)
_TOOLISH = re.compile(r"\b(tools?|functions?)\b", re.IGNORECASE)
_SEARCHING = re.compile(r"\bsearch", re.IGNORECASE)
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
    namespace: str | None = None


class Ask(Struct, frozen=True, kw_only=True):
    """A request without its dialect. `text` is the last user text, directives removed.

    `results` are tool results that came after it; `seen` describes the images, files and audio of
    the last turn; `thinks` None leaves it to the model's name; `schema` is the JSON schema the
    answer must fit; `must_call` is a forced tool choice; `searches` a hosted web search on offer.
    """

    model: str
    text: str = ""
    order: Directives = Directives()
    results: Pieces = ()
    seen: Pieces = ()
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    parallel: bool = True
    searches: bool = False
    thinks: bool | None = None
    max_tokens: int | None = None
    schema: dict[str, Any] | None = None
    stop: Pieces = ()
    echo: Callable[[str], str] | None = None


class Thought(Struct, frozen=True):
    """Reasoning. A hidden one costs tokens and is only seen as opaque state."""

    pieces: Pieces
    hidden: bool = False


class Say(Struct, frozen=True):
    """Text. `sources` are cited for the sentences of the text that quote them."""

    pieces: Pieces
    sources: tuple[Source, ...] = ()
    refusal: bool = False

    def cited(self) -> Iterator[tuple[int, int, Source]]:
        """Where the text quotes its sources: start and end in characters."""
        text = "".join(self.pieces)
        for source in self.sources:
            if (at := text.find(source.quote)) >= 0:
                yield at, at + len(source.quote), source


class Search(Struct, frozen=True):
    """A web search that the provider ran itself, and what it found."""

    query: str
    sources: tuple[Source, ...]
    pieces: Pieces = ()


class Call(Struct, frozen=True):
    """One tool call; `arguments` in pieces (JSON, or free text for a custom tool)."""

    name: str
    arguments: Pieces
    custom: bool = False
    namespace: str | None = None

    @property
    def pieces(self) -> Pieces:
        """The arguments."""
        return self.arguments

    @property
    def whole(self) -> str:
        """The arguments in one."""
        return "".join(self.arguments)


Segment = Thought | Say | Search | Call


class Turn(Struct, frozen=True, kw_only=True):
    """What the model says, part by part, and what it costs. `output` includes `thinking` tokens."""

    segments: tuple[Segment, ...] = ()
    finish: Finish = "stop"
    stop_sequence: str | None = None
    input: Metered
    thinking: int = 0
    output: int = 0

    @property
    def reasoning(self) -> Pieces:
        """All that may be seen of the reasoning."""
        seen = (s for s in self.segments if type(s) is Thought and not s.hidden)
        return tuple(piece for segment in seen for piece in segment.pieces)

    @property
    def text(self) -> Pieces:
        """All text that is not a refusal."""
        said = (s for s in self.segments if type(s) is Say and not s.refusal)
        return tuple(piece for segment in said for piece in segment.pieces)

    @property
    def calls(self) -> tuple[Call, ...]:
        """All tool calls."""
        return tuple(segment for segment in self.segments if type(segment) is Call)

    @property
    def refusal(self) -> str | None:
        """The refusal, if it is one."""
        for segment in self.segments:
            if type(segment) is Say and segment.refusal:
                return "".join(segment.pieces)
        return None

    def after(self, index: int) -> str:
        """What follows a part, as seals remember it: `call:get_weather`, `text`, ``."""
        if index + 1 >= len(self.segments):
            return ""
        following = self.segments[index + 1]
        if type(following) is Call:
            return f"call:{following.name}"
        return type(following).__name__.lower()


class Stamp(Struct, frozen=True):
    """What differs between two equal answers: `uid` goes into every id, `created` is Unix time.

    `turn` is a digest of prompt and answer that seals carry: equal for equal requests.
    """

    uid: str
    created: int
    turn: str = ""


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
    calls = _calls(ask, order)
    said = _Segments(ask, order, calls)
    segments = said.planned(order.plan or _plan(ask, order, calls))
    finish = _finish(order, segments, said.stop_sequence)
    if order.args == "cut" and calls:
        segments = _halved(segments)
    turn = _counted(segments, finish, said.stop_sequence, metered)
    if ask.max_tokens is not None and turn.output > ask.max_tokens:
        return _truncated(turn, ask.max_tokens)
    return turn


def _plan(ask: Ask, order: Directives, calls: tuple[Call, ...]) -> tuple[str, ...]:
    thinks = ask.thinks if ask.thinks is not None else ask.model.startswith("demo-reasoner")
    if order.think is not None:
        thinks = order.think
    first = ("think",) if thinks else ()
    if order.finish in ("refusal", "blocked"):
        return (*first, "refusal")
    if calls:
        return (*first, *("call" for _ in calls))
    plain = order.text is None and order.tokens is None and order.echo is None
    if ask.searches and plain and (_SEARCHING.search(ask.text[:2000]) or ask.must_call):
        return (*first, "search", "text")
    return (*first, "text")


class _Segments:
    """Makes the parts of a plan, one after the other."""

    __slots__ = ("_ask", "_calls", "_order", "stop_sequence")

    def __init__(self, ask: Ask, order: Directives, calls: tuple[Call, ...]) -> None:
        self._ask = ask
        self._order = order
        self._calls = calls
        self.stop_sequence: str | None = None

    def planned(self, plan: tuple[str, ...]) -> tuple[Segment, ...]:
        made: list[Segment] = []
        for index, word in enumerate(plan):
            if word in ("think", "hidden"):
                made.append(self._thought(plan[:index], word == "hidden"))
            elif word == "call":
                if self._ask.tools:
                    number = plan[:index].count("call")
                    made.append(self._call(number))
            elif word == "search":
                if self._ask.searches:
                    made.append(Search(_clip(self._ask.text, 120) or "demo", SOURCES))
            elif word == "refusal":
                made.append(Say(pieces(self._order.text or REFUSAL), refusal=True))
            else:
                made.append(self._say(plan, index, made))
        return tuple(part for part in made if type(part) is not Say or part.pieces)

    def _thought(self, before: tuple[str, ...], hidden: bool) -> Thought:
        text = _reasoning(self._ask)
        if number := before.count("think") + before.count("hidden"):
            text = f"Step {number + 1} of the plan: on with it, as the directive says."
        return Thought(pieces(text), hidden)

    def _call(self, number: int) -> Call:
        if number < len(self._calls):
            return self._calls[number]
        tools = self._ask.tools
        return _call(self._ask, self._order, tools[number % len(tools)], number)

    def _say(self, plan: tuple[str, ...], index: int, made: list[Segment]) -> Say:
        if "text" in plan[index + 1 :]:
            number = plan[: index + 1].count("text")
            return Say(pieces(f"Part {number} of the answer, more follows. "))
        if made and type(made[-1]) is Search and self._order.text is None:
            return Say(pieces(found(made[-1].sources)), made[-1].sources)
        text, self.stop_sequence = _text(self._ask, self._order)
        return Say(text)


def _finish(order: Directives, segments: tuple[Segment, ...], stop: str | None) -> Finish:
    if order.args == "cut" and any(type(segment) is Call for segment in segments):
        return "length"
    if order.finish not in (None, "stop"):
        return order.finish  # type: ignore[return-value]
    if segments and type(segments[-1]) is Call:
        return "tool_calls"
    if any(type(segment) is Call for segment in segments):
        return "tool_calls"
    if any(type(segment) is Say and segment.refusal for segment in segments):
        return "refusal"
    return "stop_sequence" if stop else "stop"


def _counted(
    segments: tuple[Segment, ...], finish: Finish, stop: str | None, metered: Metered
) -> Turn:
    return Turn(
        segments=segments,
        finish=finish,
        stop_sequence=stop if finish == "stop_sequence" else None,
        input=metered,
        thinking=sum(len(each.pieces) for each in segments if type(each) is Thought),
        output=sum(len(each.pieces) for each in segments),
    )


def _truncated(turn: Turn, budget: int) -> Turn:
    """The first `budget` tokens of the turn, ended for length."""
    left = budget
    kept: list[Segment] = []
    for segment in turn.segments:
        if left <= 0:
            break
        kept.append(_shortened(segment, left))
        left -= len(kept[-1].pieces)
    return _counted(tuple(kept), "length", None, turn.input)


def _shortened(segment: Segment, size: int) -> Segment:
    if type(segment) is Call:
        return structs.replace(segment, arguments=segment.arguments[:size])
    return structs.replace(segment, pieces=segment.pieces[:size])


def _halved(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Up to and with the last call, whose arguments stop half-way."""
    last = max(index for index, each in enumerate(segments) if type(each) is Call)
    call = segments[last]
    text = "".join(call.pieces)
    half = structs.replace(call, arguments=pieces(text[: max(1, len(text) // 2)]))
    return (*segments[:last], half)


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
    seen = f" I was sent: {'; '.join(ask.seen)}." if ask.seen else ""
    if order.echo is not None and ask.echo is not None:
        text = ask.echo(order.echo)
    elif order.text is not None:
        text = order.text
    elif ask.schema is not None:
        text = encode(example(ask.schema, ask.text)).decode()
    elif ask.results:
        quoted = " and ".join(f"“{_clip(each, 400)}”" for each in ask.results[:8])
        text = f"The tool answered {quoted}.{seen} That is all the demo model needed to know."
    elif "story" in (lowered := ask.text[:2000].lower()) or "tale" in lowered:
        text = STORIES[sum(ask.text.encode("utf-8", "replace")) % len(STORIES)]
    else:
        text = greeting(ask.model, _clip(ask.text, 80)) + seen
    for stop in ask.stop:
        if stop and order.echo is None and (at := text.find(stop)) >= 0:
            return pieces(text[:at]), stop
    return pieces(text), None


def _calls(ask: Ask, order: Directives) -> tuple[Call, ...]:
    """The calls of a turn without a plan."""
    if not ask.tools or order.calls == 0:
        return ()
    if order.plan is not None:
        return ()
    if order.calls is not None:
        count = order.calls
        chosen = ask.tools
    else:
        quiet = order.text is not None or order.tokens is not None or order.echo is not None
        if ask.results or quiet:
            return ()
        chosen = tuple(tool for tool in ask.tools if _suggested(tool, ask.text))
        if not chosen and (ask.must_call or order.args or _TOOLISH.search(ask.text[:2000])):
            chosen = ask.tools[:1]
        if not chosen:
            return ()
        count = 2 if ask.parallel and _SEVERAL.search(ask.text[:2000]) else 1
    return tuple(_call(ask, order, chosen[index % len(chosen)], index) for index in range(count))


def _call(ask: Ask, order: Directives, tool: Tool, index: int) -> Call:
    if tool.custom:
        arguments = _clip(ask.text, 200) or "demo input"
    elif order.args == "none":
        arguments = "{}"
    else:
        schema = tool.schema or {"type": "object"}
        arguments = encode(example(schema, ask.text, index)).decode()
    return Call(tool.name, pieces(arguments), tool.custom, tool.namespace)


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
