"""A plain tree against the Structs of `schema`: every problem, each with its path.

`check` returns the tree `msgspec.convert` takes, with references resolved and sizes and durations
as numbers. Where something is wrong it is left out, with whatever cannot stand without it, so that
the rest is still looked at.
"""

import difflib
import enum
import json
import math
import re
from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import Struct, inspect

from portico.config import known, values
from portico.config.errors import Path, Report
from portico.config.parse import Parsed, Tree
from portico.config.references import Env, ReadFile, is_reference, resolve
from portico.config.secret import Secret
from portico.limits import Deadlines, Limits

MAX_NUMBER = 2**50
MAX_SECONDS = 30 * 86400

LIMIT_COUNTS = frozenset(
    {
        "header_count",
        "json_depth",
        "gzip_ratio",
        "json_items",
        "json_values",
        "connections",
        "pipelined_requests",
        "websocket_queued_messages",
        "background_runs",
        "mirrored_requests",
        "in_flight_per_key",
        "recent_requests",
        "upstream_connections",
        "upstream_idle_connections",
    }
)
"""Limits that count things; the others are bytes and take `32MiB` too."""

MAY_BE_ZERO = frozenset(
    {
        "body_min_rate",
        "recent_requests",
        "upstream_idle_connections",
        "body_rate_grace",
        "keep_alive",
        "drain_delay",
        "drain",
        "drain_forced",
    }
)
"""Limits and deadlines for which 0 has a meaning: off, or at once."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNPRINTABLE_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_STATUS_CLASSES = ("4xx", "5xx")
_DIGITS = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_MAX_INTEGER = 2**63


class _Bad(enum.Enum):
    BAD = enum.auto()


BAD: Final = _Bad.BAD
Checked: TypeAlias = "Tree | _Bad"


class Form(Struct, frozen=True):
    """How one leaf is read. `choices`/`later` for enumerations, bounds for numbers."""

    kind: str
    low: float = -math.inf
    high: float = math.inf
    empty: bool = True
    choices: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


def check(parsed: Parsed, schema: type[Struct], env: Env, report: Report, read: ReadFile) -> Tree:
    """`parsed.tree` as `schema` wants it. Problems go to `report`; the rest is returned."""
    info = _type_info(schema)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - for the type checker
    if not isinstance(parsed.tree, dict):
        report.add((), "expected a mapping with llm or binds")
        return {}
    checked = _Walker(parsed, env, report, read).value(parsed.tree, info, ())
    return {} if isinstance(checked, _Bad) else checked


_type_info = lru_cache(maxsize=8)(inspect.type_info)
"""Looking through all the blocks takes milliseconds."""


def strip(info: inspect.Type) -> tuple[inspect.Type, dict[str, object]]:
    """A type without `Annotated` and `| None`, and what `Meta(extra=...)` said of it."""
    extra: dict[str, object] = {}
    while True:
        if isinstance(info, inspect.Metadata):
            extra = {**(info.extra or {}), **extra}
            info = info.type
            continue
        if isinstance(info, inspect.UnionType):
            rest = [t for t in info.types if not isinstance(t, inspect.NoneType)]
            if len(rest) == 1:
                info = rest[0]
                continue
        return info, extra


def leaf_form(info: inspect.Type, extra: dict[str, object], owner: type, name: str) -> Form | None:
    """How to read a scalar field, or None if the type is not scalar."""
    low = 0 if name in MAY_BE_ZERO else 1
    if owner is Limits:
        return Form("count" if name in LIMIT_COUNTS else "size", low, MAX_NUMBER)
    if owner is Deadlines:
        return Form("seconds", 0 if low == 0 else 0.001, MAX_SECONDS)
    if isinstance(info, inspect.LiteralType):
        later = extra.get("not_yet", ())
        assert isinstance(later, tuple)  # noqa: S101 - our own table
        return Form("choice", choices=tuple(str(v) for v in info.values), later=later)
    if isinstance(info, inspect.IntType):
        kind = str(extra.get("form", "count"))
        return Form(kind, info.ge or 0, MAX_NUMBER if info.le is None else info.le)
    if isinstance(info, inspect.FloatType):
        kind = str(extra.get("form", "seconds"))
        return Form(kind, info.ge or 0, MAX_SECONDS if info.le is None else info.le)
    if isinstance(info, inspect.BoolType):
        return Form("bool")
    if isinstance(info, inspect.StrType):
        return Form(str(extra.get("form", "text")), empty=not info.min_length)
    return None


class _Walker:
    def __init__(self, parsed: Parsed, env: Env, report: Report, read: ReadFile) -> None:
        self._words = parsed.words
        self._env = env
        self._read = read
        self._report = report

    def value(
        self, tree: Tree, kind: inspect.Type, path: Path, owner: type = object, name: str = ""
    ) -> Checked:
        if tree is None:
            return self._bad(path, "has no value; give it one or remove the key")
        info, extra = strip(kind)
        if isinstance(info, inspect.UnionType):
            info, extra = _member(info, tree)
        form = leaf_form(info, extra, owner, name)
        if form is not None:
            return self._leaf(tree, form, path)
        if isinstance(info, inspect.CustomType) and info.cls is Secret:
            return self._secret(tree, path, is_url=extra.get("form") == "url")
        if isinstance(info, inspect.StructType):
            return self._struct(tree, info, path)
        if isinstance(info, inspect.VarTupleType):
            return self._list(tree, info.item_type, path)
        if isinstance(info, inspect.DictType):
            return self._dict(tree, info, path)
        raise TypeError(f"the schema holds a type this walker does not know: {info}")

    def _bad(self, path: Path, message: str) -> _Bad:
        self._report.add(path, message)
        return BAD

    def _struct(self, tree: Tree, info: inspect.StructType, path: Path) -> Checked:
        if not isinstance(tree, dict):
            return self._bad(path, f"expected a mapping, got {_kind_of(tree)}")
        fields = {field.encode_name: field for field in info.fields}
        out: dict[str, Tree] = {}
        for key, child in tree.items():
            field = fields.get(key)
            if field is None:
                message = known.not_yet(info.cls, key) or unknown(key, fields)
                self._report.add((*path, key), message)
                continue
            checked = self.value(child, field.type, (*path, key), info.cls, field.name)
            if not isinstance(checked, _Bad):
                out[key] = checked
        whole = True
        for key, field in fields.items():
            if field.required and key not in out:
                whole = False
                if key not in tree:
                    self._report.add(path, f'the key "{key}" is missing')
        return out if whole else BAD

    def _list(self, tree: Tree, item: inspect.Type, path: Path) -> Checked:
        if not isinstance(tree, list):
            return self._bad(path, f"expected a list, got {_kind_of(tree)}")
        checked = [self.value(child, item, (*path, i)) for i, child in enumerate(tree)]
        good: list[Tree] = [child for child in checked if not isinstance(child, _Bad)]
        if len(good) < len(checked):
            self._report.kept[path] = [
                i for i, child in enumerate(checked) if not isinstance(child, _Bad)
            ]
        return good

    def _dict(self, tree: Tree, info: inspect.DictType, path: Path) -> Checked:
        if not isinstance(tree, dict):
            return self._bad(path, f"expected a mapping, got {_kind_of(tree)}")
        key_type, extra = strip(info.key_type)
        form = leaf_form(key_type, extra, object, "")
        out: dict[str, Tree] = {}
        whole = True
        for key, child in tree.items():
            where = (*path, key)
            if form is not None and form.kind == "choice" and key not in form.choices:
                self._report.add(where, _not_a_key(key, form))
                whole = False
                continue
            if _UNPRINTABLE.search(key) or not key:
                self._report.add(where, "a key must not be empty or hold control characters")
                whole = False
                continue
            checked = self.value(child, info.value_type, where)
            if isinstance(checked, _Bad):
                whole = False
            else:
                out[key] = checked
        return out if whole else BAD

    def _resolved(self, text: str, path: Path) -> str | _Bad:
        try:
            return resolve(text, self._env, self._read)
        except ValueError as error:
            return self._bad(path, str(error))

    def _secret(self, tree: Tree, path: Path, *, is_url: bool) -> Checked:
        if isinstance(tree, dict) and set(tree) == {"file"}:
            tree, path = tree["file"], (*path, "file")
            if not isinstance(tree, str):
                return self._bad(path, "expected the path of a file")
            tree = f"file:{tree}"
        if not isinstance(tree, str):
            return self._bad(path, self._not_text(tree, path))
        text = self._resolved(tree, path)
        if isinstance(text, _Bad):
            return text
        if not text:
            return self._bad(path, "must not be empty")
        if is_url:
            if _UNPRINTABLE.search(text):
                return self._bad(path, "must not hold line ends or control characters")
            return text
        try:
            return values.credential(text)
        except ValueError as error:
            return self._bad(path, str(error))

    def _leaf(self, tree: Tree, form: Form, path: Path) -> Checked:
        if form.kind == "json":
            return self._data(tree, path)
        referenced = isinstance(tree, str) and is_reference(tree)
        if isinstance(tree, str) and form.kind != "code":
            text = self._resolved(tree, path)
            if isinstance(text, _Bad):
                return text
            if form.kind != "prose" and _UNPRINTABLE.search(text):
                return self._bad(path, "must not hold line ends or control characters")
            tree = text
        if form.kind in ("text", "choice", "prose", "code"):
            return self._text(tree, form, path)
        if form.kind == "scalar":
            return self._scalar(tree, path)
        if form.kind == "status":
            return self._status(tree, path)
        if form.kind == "bool":
            if referenced and tree in ("true", "false"):
                return tree == "true"
            if isinstance(tree, bool):
                return tree
            return self._bad(path, f"expected true or false, got {_kind_of(tree)}")
        return self._number(tree, form, path, referenced=referenced)

    def _text(self, tree: Tree, form: Form, path: Path) -> Checked:
        if isinstance(tree, bool) and self._words.get(path) in form.choices:
            return self._words[path]  # a bare `off`, which YAML reads as false
        if not isinstance(tree, str):
            return self._bad(path, self._not_text(tree, path))
        if not tree and not form.empty:
            return self._bad(path, "must not be empty")
        if _UNPRINTABLE_LINES.search(tree):
            return self._bad(path, "must not hold control characters")
        if form.kind == "choice" and tree not in form.choices:
            if tree in form.later:
                return self._bad(path, f'"{tree}": {known.NOT_YET}')
            return self._bad(path, _expected(form, tree))
        return tree

    def _scalar(self, tree: Tree, path: Path) -> Checked:
        if isinstance(tree, list | dict):
            what = f"expected a string, a number or a boolean, got {_kind_of(tree)}"
            return self._bad(path, what)
        return self._data(tree, path)

    def _status(self, tree: Tree, path: Path) -> Checked:
        if isinstance(tree, str) and tree.lower() in _STATUS_CLASSES:
            return tree.lower()
        if isinstance(tree, str) and _DIGITS.fullmatch(tree):
            tree = int(tree)
        if isinstance(tree, int) and not isinstance(tree, bool) and 400 <= tree <= 599:
            return str(tree)
        return self._bad(path, 'expected a status from 400 to 599, "4xx" or "5xx"')

    def _data(self, tree: Tree, path: Path) -> Checked:
        """Any value as JSON text; what YAML would have made of it by surprise is asked about."""
        if not self._is_data(tree, path):
            return BAD
        return json.dumps(tree, ensure_ascii=False, separators=(",", ":"))

    def _is_data(self, tree: Tree, path: Path) -> bool:
        if isinstance(tree, dict):
            return all(
                self._is_data(key, path) and self._is_data(value, (*path, key))
                for key, value in tree.items()
            )
        if isinstance(tree, list):
            return all(self._is_data(item, (*path, i)) for i, item in enumerate(tree))
        if isinstance(tree, bool) and path in self._words:
            self._report.add(path, self._ambiguous(tree, path))
        elif isinstance(tree, float) and not math.isfinite(tree):
            self._report.add(path, "not a number that JSON has")
        elif isinstance(tree, int) and not -_MAX_INTEGER <= tree < _MAX_INTEGER:
            self._report.add(path, "the number is out of range")
        elif isinstance(tree, str) and _SURROGATE.search(tree):
            self._report.add(path, "not valid text")
        else:
            return True
        return False

    def _ambiguous(self, tree: bool, path: Path) -> str:
        word, meaning = self._words[path], "true" if tree else "false"
        return f'YAML reads a bare {word} as {meaning}; write {meaning}, or quote it: "{word}"'

    def _not_text(self, tree: Tree, path: Path) -> str:
        word = self._words.get(path)
        if isinstance(tree, bool) and word is not None:
            meaning = "true" if tree else "false"
            return (
                f'expected a string, and YAML reads a bare {word} as {meaning}; quote it: "{word}"'
            )
        quote = "" if isinstance(tree, list | dict) else "; quote it"
        return f"expected a string, got {_kind_of(tree)}{quote}"

    def _number(self, tree: Tree, form: Form, path: Path, *, referenced: bool) -> Checked:
        number: Tree = tree
        if isinstance(tree, str):
            try:
                if form.kind == "size":
                    number = values.size(tree)
                elif form.kind == "seconds":
                    number = values.duration(tree) if not _DIGITS.fullmatch(tree) else float(tree)
                elif referenced and form.kind == "number" and _DECIMAL.fullmatch(tree):
                    number = float(tree)
                elif referenced and _DIGITS.fullmatch(tree):
                    number = int(tree)
            except ValueError as error:
                return self._bad(path, str(error))
        wanted = int | float if form.kind in ("seconds", "number") else int
        if isinstance(number, bool) or not isinstance(number, wanted):
            what = _NUMBERS.get(form.kind, "an integer")
            return self._bad(path, f"expected {what}, got {_kind_of(tree)}")
        if not form.low <= number <= form.high:
            return self._bad(path, f"must be from {form.low:g} to {form.high:.15g}")
        return float(number) if form.kind in ("seconds", "number") else number


_NUMBERS = {
    "size": "bytes as an integer, or a size such as 32MiB",
    "seconds": "a number of seconds",
    "number": "a number",
}


def _member(info: inspect.UnionType, tree: Tree) -> tuple[inspect.Type, dict[str, object]]:
    """The member of a scalar-or-mapping union that `tree` was meant for."""
    members = [strip(m) for m in info.types if not isinstance(m, inspect.NoneType)]
    mapping = [m for m in members if isinstance(m[0], inspect.StructType)]
    scalar = [m for m in members if not isinstance(m[0], inspect.StructType)]
    return (mapping if isinstance(tree, dict) else scalar)[0]


def unknown(key: str, names: "dict[str, inspect.Field]") -> str:
    """What to say of a key nobody knows."""
    return f"unknown key{_did_you_mean(key, tuple(names))}"


def _not_a_key(key: str, form: Form) -> str:
    if key in form.later:
        return known.NOT_YET
    return _expected(form, key)


def _expected(form: Form, word: str) -> str:
    """The suggestion first: there may be many choices."""
    expected = "expected one of " + ", ".join(json.dumps(c) for c in form.choices)
    meant = _did_you_mean(word, form.choices).removeprefix(", ")
    return f"{meant} {expected}" if meant else expected


def _did_you_mean(word: str, names: tuple[str, ...]) -> str:
    folded = {_fold(name): name for name in names}
    close = difflib.get_close_matches(_fold(word[:64]), folded, n=1, cutoff=0.6)
    return f', did you mean "{folded[close[0]]}"?' if close else ""


def _fold(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _kind_of(tree: Tree) -> str:
    if isinstance(tree, bool):
        return "a boolean"
    if isinstance(tree, int | float):
        return "a number"
    if isinstance(tree, str):
        return "a string"
    return "a list" if isinstance(tree, list) else "a mapping" if tree is not None else "nothing"
