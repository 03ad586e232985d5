"""What is wrong with a configuration, all of it at once.

Messages name paths, keys of the schema and environment variables; they never hold a value from the
document, since any value may be a secret.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

Path: TypeAlias = tuple[str | int, ...]
"""Where in the document: keys and list positions from the top. `()` is the document."""

MAX_PROBLEMS = 100

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


class Problem(Struct, frozen=True):
    """One thing to fix. `path` is rendered (`$.llm.port`); `line` counts from 1."""

    path: str
    message: str
    line: int | None = None


class ConfigError(ValueError):
    """A configuration that cannot be used. `problems` is never empty; `name` is the file's."""

    def __init__(self, problems: Iterable[Problem], name: str = "config") -> None:
        self.problems = tuple(problems)
        self.name = name
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """`name:line: $.path: message`, one per problem, without the line where unknown."""
        return [
            f"{self.name}{'' if p.line is None else f':{p.line}'}: {p.path}: {p.message}"
            for p in self.problems
        ]


def render(path: Path) -> str:
    """`("llm", "models", 0)` -> `$.llm.models[0]`; a key that is not a plain word is quoted."""
    out = ["$"]
    for step in path:
        if isinstance(step, int):
            out.append(f"[{step}]")
        elif len(step) <= 64 and _PLAIN_KEY.fullmatch(step):
            out.append(f".{step}")
        else:
            out.append(f"[{json.dumps(step[:64])}]")
    return "".join(out)


class Report:
    """Collects problems. `lines` maps paths to lines; a path without one takes its parent's.

    With `after`, a problem is left out when that earlier report has one in the same list element
    or block: it would most likely be a consequence (a misspelt `params` is not a missing key too).
    `kept` maps the path of a list the earlier stage left elements out of to the positions, in the
    document, of those that remain; paths given to `add` count the remaining ones.
    """

    def __init__(self, lines: Mapping[Path, int], after: "Report | None" = None) -> None:
        self._lines = lines
        self._after = after
        self._paths: list[Path] = []
        self.kept: dict[Path, list[int]] = {}
        self.problems: list[Problem] = []

    def add(self, path: Path, message: str) -> None:
        """Note that `message` holds at `path`."""
        path = self._written(path)
        if not self.sound(_group(path)):
            return
        if len(self.problems) < MAX_PROBLEMS:
            self._paths.append(path)
            self.problems.append(Problem(render(path), message, self._line(path)))

    def sound(self, group: Path) -> bool:
        """Whether the earlier report found nothing inside or around `group`."""
        return self._after is None or not self._after.touches(group)

    def touches(self, group: Path) -> bool:
        """Whether a problem lies inside `group`, or around it."""
        return any(p[: len(group)] == group or group[: len(p)] == p for p in self._paths)

    def _written(self, path: Path) -> Path:
        """`path` with the list positions of the document."""
        if self._after is None or not self._after.kept:
            return path
        out: Path = ()
        for step in path:
            kept = self._after.kept.get(out) if isinstance(step, int) else None
            out = (*out, kept[step] if kept is not None and isinstance(step, int) else step)
        return out

    def _line(self, path: Path) -> int | None:
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)


def _group(path: Path) -> Path:
    positions = [i for i, step in enumerate(path) if isinstance(step, int)]
    return path[: positions[-1] + 1] if positions else path[:2]
