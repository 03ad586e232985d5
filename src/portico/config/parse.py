"""Text -> a plain tree plus the line of every entry.

YAML is composed to nodes with PyYAML's safe loader and turned into values here, which is what
gives line numbers, refuses duplicate keys, custom tags and alias bombs, and lets `walk` explain
the YAML 1.1 traps (a bare `no` is a boolean, `1:30` a base-60 number). Bounds: 1 MiB of text,
50,000 nodes with aliases expanded, 64 levels.
"""

import json
import re
import tomllib
from datetime import date, time
from typing import Literal, NoReturn, TypeAlias

import yaml
from msgspec import Struct

from portico.config.errors import ConfigError, Path, Problem, Report, render

Tree: TypeAlias = "bool | int | float | str | list[Tree] | dict[str, Tree] | None"
Form: TypeAlias = Literal["yaml", "toml", "json"]

MAX_BYTES = 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 64

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset(_TAG + t for t in ("str", "timestamp", "value"))
_ECHO = re.compile(r"\b(alias|anchor|handle) .*", re.DOTALL)
"""Where PyYAML's messages repeat a word of the document."""

_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


class Parsed(Struct, frozen=True):
    """`lines`: path -> line, from 1 (YAML only). `words`: path -> the bare word read as a bool."""

    tree: Tree
    lines: dict[Path, int]
    words: dict[Path, str]


def form_of(name: str) -> Form:
    """The form a file name's extension stands for; YAML unless it is `.toml` or `.json`."""
    lowered = name.lower()
    if lowered.endswith(".toml"):
        return "toml"
    return "json" if lowered.endswith(".json") else "yaml"


def parse(text: str, *, name: str, form: Form = "yaml") -> Parsed:
    """The document's tree. Raises `ConfigError` for what is not a well-formed document."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = -1
    if size < 0:
        raise ConfigError([Problem("$", "the file is not UTF-8 text")], name)
    if size > MAX_BYTES:
        raise ConfigError([Problem("$", f"the file is larger than {MAX_BYTES} bytes")], name)
    text = text.removeprefix("\ufeff")
    return _yaml(text, name) if form == "yaml" else _other(text, name, form)


# The parsers' own exceptions hold the source text, which may hold secrets: nothing is raised
# inside an `except` block here, so that they cannot ride along as `__context__`.


def _yaml(text: str, name: str) -> Parsed:
    failure: Problem | None = None
    node: yaml.Node | None = None
    try:
        node = yaml.SafeLoader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = error.problem or error.context or "malformed"
        why = _ECHO.sub(r"\1", why)
        failure = Problem("$", f"not valid YAML: {why}", None if mark is None else mark.line + 1)
    except yaml.YAMLError:
        failure = Problem("$", "not valid YAML: it holds a control character")
    except RecursionError:
        failure = Problem("$", f"nested deeper than {MAX_DEPTH} levels")
    except (ValueError, OverflowError):
        failure = Problem("$", "not valid YAML: a number or escape is out of range")
    if failure is not None:
        raise ConfigError([failure], name)
    if node is None:
        raise ConfigError([Problem("$", "the document is empty")], name)
    builder = _Builder()
    tree = builder.value(node, ())
    if builder.report.problems:
        raise ConfigError(builder.report.problems, name)
    return Parsed(tree, builder.lines, builder.words)


class _Builder:
    """YAML nodes -> values. Recursion is bounded by `MAX_DEPTH`, work by `MAX_NODES`."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.words: dict[Path, str] = {}
        self.report = Report(self.lines)
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path) -> Tree:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            if self._nodes == MAX_NODES + 1:
                self.report.add((), f"more than {MAX_NODES} values, with aliases expanded")
            return None
        if len(path) > MAX_DEPTH:
            self.report.add((), f"nested deeper than {MAX_DEPTH} levels")
            self._nodes = MAX_NODES + 1
            return None
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self.report.add(path, "YAML tags are not allowed here")
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Tree:
        out: dict[str, Tree] = {}
        merged: dict[str, Tree] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.report.add(path, "a key must be a single word or a string")
                continue
            if key.tag == _TAG + "merge":
                merged = {**self._merge(child, path), **merged}
                continue
            where = (*path, str(key.value))
            line = key.start_mark.line + 1
            if key.value in out:
                first = self.lines[where]
                self.lines[where] = line
                self.report.add(where, f"duplicate key, the first is on line {first}")
                continue
            self.lines[where] = line
            out[key.value] = self.value(child, where)
        return {**merged, **out}

    def _merge(self, node: yaml.Node, path: Path) -> dict[str, Tree]:
        tree = self.value(node, path)
        parts = tree if isinstance(tree, list) else [tree]
        out: dict[str, Tree] = {}
        for part in reversed(parts):
            if not isinstance(part, dict):
                self.report.add(path, "`<<` takes a mapping or a list of mappings")
                return {}
            out.update(part)
        return out

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Tree:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if node.tag in _TEXT_TAGS or (kind in ("int", "float") and ":" in text):
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in _BOOLS:
            if text.lower() not in ("true", "false"):
                self.words[path] = text
            return _BOOLS[text.lower()]
        if kind in ("int", "float"):
            return _number(text, kind)
        self.report.add(path, "YAML tags are not allowed here")
        return None


_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _number(text: str, kind: str) -> Tree:
    """A YAML 1.1 number, but not in base 60; what is too long or tagged by hand stays text."""
    digits = text.replace("_", "")
    try:
        if kind == "float":
            return float(digits.lower().replace(".inf", "inf").replace(".nan", "nan"))
        bare = digits.lstrip("+-")
        octal = len(bare) > 1 and bare[0] == "0" and bare.isdigit()
        return int(digits, 8 if octal else 0)
    except ValueError:
        return text


def _other(text: str, name: str, form: Form) -> Parsed:
    failure: Problem | None = None
    plain: object = None
    try:
        if form == "toml":
            plain = tomllib.loads(text)
        else:
            plain = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        failure = Problem("$", "not valid TOML", int(at[1]) if at else None)
    except json.JSONDecodeError as error:
        failure = Problem("$", f"not valid JSON: {error.msg}", error.lineno)
    except _Duplicate as error:
        failure = Problem(render((error.key,)), "duplicate key in one object")
    except RecursionError:
        failure = Problem("$", f"nested deeper than {MAX_DEPTH} levels")
    except ValueError:
        failure = Problem("$", "a number is out of range")
    report = Report({})
    tree = _plain(plain, (), report) if failure is None else None
    problems = report.problems if failure is None else [failure]
    if problems:
        raise ConfigError(problems, name)
    return Parsed(tree, {}, {})


class _Duplicate(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    out: dict[str, object] = {}
    for key, value in pairs:
        if key in out:
            raise _Duplicate(key)
        out[key] = value
    return out


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _plain(value: object, path: Path, report: Report) -> Tree:
    if len(path) > MAX_DEPTH:
        report.add((), f"nested deeper than {MAX_DEPTH} levels")
        return None
    if isinstance(value, dict):
        return {str(key): _plain(child, (*path, str(key)), report) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child, (*path, i), report) for i, child in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    report.add(path, "a value of a kind this document cannot hold")
    return None
