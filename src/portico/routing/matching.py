"""Whether a request meets a condition of the configuration. Pure.

A condition names values in three places:

- `headers`: text, by lower-case name.
- `caller`: text, the metadata of the caller's key.
- `request`: a dotted path into the body (`reasoning.effort`), of any JSON type. Elements of arrays
  have no path. These names stand for the same thing in every dialect, whatever the body calls it:

  ===================== =====================================================================
  `model`               the name the caller asked for
  `stream`              true or false, never absent
  `dialect`             `responses`, `chat` or `messages`
  `max_output_tokens`   `max_output_tokens`, `max_completion_tokens` or `max_tokens`
  `effort`              `reasoning.effort`, `reasoning_effort` or `output_config.effort`
  `body_bytes`          the size of the body
  `tools.count`         how many tools; 0 without any
  `messages.count`      how many elements `input` or `messages` has; 1 for an `input` of text
  ===================== =====================================================================

What JSON calls null is absent. An absent value meets `present: false` and nothing else. Values of
the body keep their types: `"12"` is not 12 and true is not 1, but 12 is 12.0. Headers and metadata
are text by nature, so there a number is compared with what the text says (`"12"` and `"12.0"` are
12), and true and false with the words. `contains` also finds an element in a list of texts. A value
of another type than a test is about does not match; nothing a caller sends raises.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from portico.config.settings import Condition, ValueTest

_decode = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_number_in = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII).fullmatch

_MAX_TOKENS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_EFFORTS = (("reasoning", "effort"), ("reasoning_effort",), ("output_config", "effort"))

Scalar = str | int | float | bool


class Facts(Struct, eq=False, kw_only=True):
    """What conditions may ask about one request. `headers`: lower-case names, raw values. `caller`:
    the metadata of the key. `fields`: the raw members of the body; each is decoded when it is
    asked for, once. `body_bytes`: size of the body. `seen` and `counts` remember what was found."""

    headers: Mapping[bytes, bytes]
    caller: Mapping[str, str]
    fields: Mapping[str, Raw]
    model: str
    stream: bool
    dialect: str
    body_bytes: int
    seen: dict[str, object] = {}
    counts: dict[str, int | None] = {}

    def member(self, name: str) -> object:
        """A member of the body, decoded; None if there is none that can be read."""
        seen = self.seen
        if name not in seen:
            raw = self.fields.get(name)
            try:
                seen[name] = _decode(raw) if raw is not None else None
            except (ValueError, RecursionError):  # too large a number, nested too deep
                seen[name] = None
        return seen[name]

    def at(self, path: tuple[str, ...]) -> object:
        """The value at a path into the body; None if there is none."""
        value = self.member(path[0])
        for name in path[1:]:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    def header(self, name: bytes) -> str | None:
        """The text of a header."""
        value = self.headers.get(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")

    def count(self, name: str) -> int | None:
        """How many elements an array of the body has; None if it is none."""
        counts = self.counts
        if name not in counts:
            raw = self.fields.get(name)
            try:
                counts[name] = len(_decode_list(raw)) if raw is not None else None
            except (ValueError, RecursionError):
                counts[name] = None
        return counts[name]


def _max_output_tokens(facts: Facts) -> object:
    for name in _MAX_TOKENS:
        value = facts.member(name)
        if value is not None:
            return value
    return None


def _effort(facts: Facts) -> object:
    for path in _EFFORTS:
        value = facts.at(path)
        if value is not None:
            return value
    return None


def _tools(facts: Facts) -> object:
    return facts.count("tools") if "tools" in facts.fields else 0


def _messages(facts: Facts) -> object:
    if "messages" in facts.fields:
        return facts.count("messages")
    raw = facts.fields.get("input")
    if raw is not None and bytes(memoryview(raw)[:1]) == b'"':
        return 1
    return facts.count("input")


def _model(facts: Facts) -> object:
    return facts.model


def _stream(facts: Facts) -> object:
    return facts.stream


def _dialect(facts: Facts) -> object:
    return facts.dialect


def _body_bytes(facts: Facts) -> object:
    return facts.body_bytes


DERIVED: Final[Mapping[str, Callable[[Facts], object]]] = {
    "model": _model,
    "stream": _stream,
    "dialect": _dialect,
    "max_output_tokens": _max_output_tokens,
    "effort": _effort,
    "body_bytes": _body_bytes,
    "tools.count": _tools,
    "messages.count": _messages,
}
"""Names under `request` that mean the same in all dialects."""


class _Test:
    """One `ValueTest`. `textual`: the value comes from a place that has nothing but text."""

    __slots__ = ("_among", "_bounds", "_contains", "_prefix", "_present", "_suffix", "_textual")

    def __init__(self, test: ValueTest, *, textual: bool) -> None:
        self._textual = textual
        self._present = test.present
        self._among: list[tuple[Scalar, ...]] = []
        if test.equals is not None:
            self._among.append((test.equals,))
        if test.one_of:
            self._among.append(test.one_of)
        self._prefix = test.prefix
        self._suffix = test.suffix
        self._contains = test.contains
        bounds = (test.gt, test.gte, test.lt, test.lte)
        self._bounds = bounds if any(bound is not None for bound in bounds) else None

    def holds(self, value: object) -> bool:
        """Whether a value, None for an absent one, meets all that is asked."""
        if value is None:
            return self._present is False and not self._asks_more()
        if self._present is False:
            return False
        for group in self._among:
            if not any(self._same(value, wanted) for wanted in group):
                return False
        return self._text_holds(value) and (self._bounds is None or self._within(value))

    def _asks_more(self) -> bool:
        return (
            bool(self._among)
            or self._bounds is not None
            or self._prefix is not None
            or self._suffix is not None
            or self._contains is not None
        )

    def _text_holds(self, value: object) -> bool:
        if self._contains is not None and (
            not isinstance(value, (str, list)) or self._contains not in value
        ):
            return False
        if self._prefix is None and self._suffix is None:
            return True
        return isinstance(value, str) and (
            value.startswith(self._prefix or "") and value.endswith(self._suffix or "")
        )

    def _within(self, value: object) -> bool:
        number = self._number(value)
        if number is None or self._bounds is None:
            return False
        gt, gte, lt, lte = self._bounds
        return (
            (gt is None or number > gt)
            and (gte is None or number >= gte)
            and (lt is None or number < lt)
            and (lte is None or number <= lte)
        )

    def _same(self, value: object, wanted: Scalar) -> bool:
        if isinstance(wanted, bool):
            if self._textual:
                return isinstance(value, str) and value.lower() == ("true" if wanted else "false")
            return value is wanted
        if not isinstance(wanted, str):
            number = self._number(value)
            return number is not None and number == wanted
        return value == wanted

    def _number(self, value: object) -> int | float | None:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            return value
        if self._textual and isinstance(value, str):
            found = _number_in(value)
            if found is not None:
                return float(value) if found[1] else int(value)
        return None


class Matcher:
    """A condition, ready to be asked."""

    __slots__ = ("_any", "_caller", "_derived", "_headers", "_none", "_paths")

    def __init__(self, condition: Condition) -> None:
        self._headers = [
            (name.lower().encode(), _Test(test, textual=True))
            for name, test in condition.headers.items()
        ]
        self._caller = [
            (name, _Test(test, textual=True)) for name, test in condition.caller.items()
        ]
        self._derived: list[tuple[Callable[[Facts], object], _Test]] = []
        self._paths: list[tuple[tuple[str, ...], _Test]] = []
        for name, test in condition.request.items():
            derived = DERIVED.get(name)
            if derived is not None:
                self._derived.append((derived, _Test(test, textual=False)))
            else:
                self._paths.append((tuple(name.split(".")), _Test(test, textual=False)))
        self._any = [Matcher(inner) for inner in condition.any]
        self._none = [Matcher(inner) for inner in condition.none]

    def matches(self, facts: Facts) -> bool:
        """Whether a request meets the condition. Never raises."""
        for header, test in self._headers:
            if not test.holds(facts.header(header)):
                return False
        for name, test in self._caller:
            if not test.holds(facts.caller.get(name)):
                return False
        for derived, test in self._derived:
            if not test.holds(derived(facts)):
                return False
        for path, test in self._paths:
            if not test.holds(facts.at(path)):
                return False
        if self._any and not any(inner.matches(facts) for inner in self._any):
            return False
        return not any(inner.matches(facts) for inner in self._none)


def compile_condition(condition: Condition) -> Matcher:
    """Make a condition ready to be asked, once, when the configuration is read."""
    return Matcher(condition)
