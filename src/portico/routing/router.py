"""From the model name a caller wrote to the entry that serves it. Pure.

Names in the configuration are exact, `prefix*`, `*suffix` or `*`. The most specific wins: an exact
name before any pattern, then the pattern with the longest literal part; between equals, the first
in the file.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

from portico.model.names import covers

T = TypeVar("T")


class Router(Generic[T]):
    """Immutable once built; look-ups do not allocate."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[str, T] = {}
        patterns: list[tuple[str, T]] = []
        for name, entry in entries:
            if "*" in name:
                patterns.append((name, entry))
            else:
                self._exact.setdefault(name, entry)
        patterns.sort(key=lambda item: -len(item[0]))
        self._patterns = tuple(patterns)

    def find(self, model: str) -> T | None:
        """The entry for `model`, or None."""
        entry = self._exact.get(model)
        if entry is not None:
            return entry
        for pattern, candidate in self._patterns:
            if covers(pattern, model):
                return candidate
        return None
