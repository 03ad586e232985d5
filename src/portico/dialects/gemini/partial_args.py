"""Arguments that Vertex AI streams in pieces, each with the JSON Path of where it belongs.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
(2026-11-21). Only the paths such streams use are understood: names, quoted names, indices.
"""

import re
from itertools import pairwise
from typing import Any

import msgspec

from portico.dialects.gemini.wire import PartialArg, given

_STEP = re.compile(
    r"""\.([^.\[\]'"]+)|\[(\d{1,6})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]"""
)
_ESCAPED = re.compile(r"\\(.)")
_DEEPEST = 64

_Steps = list[str | int]


class _Text(list[str]):
    """A string that grows."""

    __slots__ = ()


class Assembly:
    """One call's arguments in the making. What does not fit together is left out."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, pieces: list[PartialArg]) -> None:
        """Put pieces where they belong; strings at the same place are joined."""
        for piece in pieces:
            steps = _steps(piece.json_path)
            if steps:
                self._put(steps, piece)

    def text(self) -> str:
        """The arguments so far, as JSON text of an object."""
        return msgspec.json.encode(_plain(self._root)).decode()

    def _put(self, steps: _Steps, piece: PartialArg) -> None:
        place: Any = self._root
        for step, following in pairwise(steps):
            inner = _get(place, step)
            if inner is None:
                inner = [] if isinstance(following, int) else {}
                if not _set(place, step, inner):
                    return
            place = inner
        if piece.string_value is not None:
            grown = _get(place, steps[-1])
            if type(grown) is _Text:
                grown.append(piece.string_value)
            else:
                _set(place, steps[-1], _Text([piece.string_value]))
        elif piece.number_value is not None:
            _set(place, steps[-1], piece.number_value)
        elif piece.bool_value is not None:
            _set(place, steps[-1], piece.bool_value)
        elif given(piece.null_value):
            _set(place, steps[-1], None)


def _steps(path: str) -> _Steps:
    """The names and indices of a path; none if it is not understood."""
    if not path.startswith("$"):
        return []
    steps: _Steps = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) >= _DEEPEST:
            return []
        name, index, single, double = found.groups()
        if index is not None:
            steps.append(int(index))
        elif name is not None:
            steps.append(name)
        else:
            steps.append(_ESCAPED.sub(r"\1", single if single is not None else double))
        at = found.end()
    return steps


def _get(place: Any, step: str | int) -> Any:
    if isinstance(step, int):
        plain = type(place) is list and step < len(place)
        return place[step] if plain else None
    return place.get(step) if type(place) is dict else None


def _set(place: Any, step: str | int, value: Any) -> bool:
    """Whether it could be set. A list only grows by one element at a time."""
    if isinstance(step, int):
        if type(place) is not list or step > len(place):
            return False
        if step == len(place):
            place.append(value)
        else:
            place[step] = value
        return True
    if type(place) is not dict:
        return False
    place[step] = value
    return True


def _plain(value: Any) -> Any:
    if type(value) is _Text:
        return "".join(value)
    if type(value) is dict:
        return {name: _plain(inner) for name, inner in value.items()}
    if type(value) is list:
        return [_plain(inner) for inner in value]
    return value
