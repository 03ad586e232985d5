"""Shapes of request bodies: small checks that are put together, and say where a body is wrong.

A `Check` takes a value and its path, and gives the value back, with optional nulls taken out and,
for Google, names in camel case. It raises `WrongError`, which every dialect words in its own way.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

__all__ = [
    "Check",
    "Path",
    "WrongError",
    "anything",
    "array",
    "camel",
    "either",
    "flag",
    "mapping",
    "numeric",
    "obj",
    "tagged",
    "text",
    "whole",
]

Path = tuple[str | int, ...]
Check = Callable[[Any, Path], Any]
Fault = Literal["missing", "unknown", "type", "enum", "low", "high", "pattern", "short", "long"]

_NAMES: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_SNAKE = re.compile(r"_([a-z0-9])")


class WrongError(Exception):
    """`fault` says what kind of mistake, `want` what would be right, `got` what was there."""

    def __init__(self, path: Path, fault: Fault, want: Any = None, got: Any = None) -> None:
        super().__init__(fault)
        self.path = path
        self.fault = fault
        self.want = want
        self.got = got

    @property
    def got_type(self) -> str:
        """The JSON name of the type that was there."""
        return _NAMES.get(type(self.got), "value")


def camel(name: str) -> str:
    """`inline_data` as `inlineData`."""
    return _SNAKE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def anything(value: Any, path: Path) -> Any:
    """No check at all."""
    return value


def flag(value: Any, path: Path) -> Any:
    """true or false."""
    if not isinstance(value, bool):
        raise WrongError(path, "type", "boolean", value)
    return value


def text(*values: str, pattern: str | None = None, low: int = 0, high: int | None = None) -> Check:
    """A string: one of `values`, matching `pattern` as a whole, of `low` to `high` characters."""
    matches = re.compile(pattern).fullmatch if pattern else None

    def check(value: Any, path: Path) -> Any:
        if not isinstance(value, str):
            raise WrongError(path, "type", "string", value)
        if values and value not in values:
            raise WrongError(path, "enum", values, value)
        if len(value) < low:
            raise WrongError(path, "short", low, value)
        if high is not None and len(value) > high:
            raise WrongError(path, "long", high, value)
        if matches is not None and not matches(value):
            raise WrongError(path, "pattern", pattern, value)
        return value

    return check


def numeric(low: float | None = None, high: float | None = None) -> Check:
    """A JSON number within bounds."""
    return _numeric(False, low, high)


def whole(low: float | None = None, high: float | None = None) -> Check:
    """An integer within bounds; `2.0` is one, as in protobuf's JSON and in Python validators."""
    return _numeric(True, low, high)


def _numeric(whole: bool, low: float | None, high: float | None) -> Check:
    want = "integer" if whole else "number"

    def check(value: Any, path: Path) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongError(path, "type", want, value)
        if whole and value != int(value):
            raise WrongError(path, "type", want, value)
        if low is not None and value < low:
            raise WrongError(path, "low", low, value)
        if high is not None and value > high:
            raise WrongError(path, "high", high, value)
        return int(value) if whole else value

    return check


def array(item: Check, low: int = 0, high: int | None = None) -> Check:
    """A list of `low` to `high` items."""

    def check(value: Any, path: Path) -> Any:
        if not isinstance(value, list):
            raise WrongError(path, "type", "array", value)
        if len(value) < low:
            raise WrongError(path, "short", low, value)
        if high is not None and len(value) > high:
            raise WrongError(path, "long", high, value)
        return [item(each, (*path, index)) for index, each in enumerate(value)]

    return check


def mapping(item: Check, high: int | None = None, key: Check = anything) -> Check:
    """An object with names of the caller's choice."""

    def check(value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            raise WrongError(path, "type", "object", value)
        if high is not None and len(value) > high:
            raise WrongError(path, "long", high, value)
        return {key(name, (*path, name)): item(each, (*path, name)) for name, each in value.items()}

    return check


def obj(
    required: Mapping[str, Check] | None = None,
    optional: Mapping[str, Check] | None = None,
    *,
    open_: bool = False,
    nulls: bool = False,
    camels: bool = False,
) -> Check:
    """An object with known members.

    `open_` lets unknown ones pass, `nulls` takes a null for an absent optional member, `camels`
    also reads snake case.
    """
    needed = dict(required or {})
    known = {**needed, **(optional or {})}

    def check(value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            raise WrongError(path, "type", "object", value)
        if camels:
            value = {name if name in known else camel(name): each for name, each in value.items()}
        for name in needed:
            if name not in value or (nulls and value[name] is None):
                raise WrongError((*path, name), "missing")
        out: dict[str, Any] = {}
        for name, each in value.items():
            inner = known.get(name)
            if inner is None:
                if not open_:
                    raise WrongError((*path, name), "unknown", None, each)
                out[name] = each
            elif each is not None or not nulls or name in needed:
                out[name] = inner(each, (*path, name))
        return out

    return check


def tagged(options: Mapping[str, Check], tag: str = "type", default: str | None = None) -> Check:
    """An object whose `tag` says which of `options` it is."""
    names = tuple(options)

    def check(value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            raise WrongError(path, "type", "object", value)
        kind = value.get(tag, default)
        if kind is None:
            if tag in value and default is not None:
                kind = default
            else:
                raise WrongError((*path, tag), "missing")
        if not isinstance(kind, str):
            raise WrongError((*path, tag), "type", "string", kind)
        if kind not in options:
            raise WrongError((*path, tag), "enum", names, kind)
        return options[kind](value, path)

    return check


def either(
    *, string: Check | None = None, array: Check | None = None, object_: Check | None = None
) -> Check:
    """One check or another, by the JSON type of the value."""
    by_type: dict[type, Check | None] = {str: string, list: array, dict: object_}
    wanted = " or ".join(_NAMES[kind] for kind, check in by_type.items() if check is not None)

    def check(value: Any, path: Path) -> Any:
        inner = by_type.get(type(value))
        if inner is None:
            raise WrongError(path, "type", wanted, value)
        return inner(value, path)

    return check
