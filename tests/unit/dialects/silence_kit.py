"""Every field of a typed dict, nested ones too, as a pair of values that differ in that field only.

A field that is carried makes the two requests different on the other side; one that is not has to
be told. The pairs are made from the type hints of the official SDKs, so a field that a new version
brings is looked at without anyone writing it down here.
"""

import collections.abc
import re
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import typing_extensions
from msgspec import Raw

from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.losses import Loss
from portico.model.passes.fit import fit

Json = Any
DEEPEST = 12
_decode = msgspec.json.Decoder(dict[str, Raw]).decode


def at(value: Json, path: str) -> Json:
    """What stands at a path; None for nothing."""
    for step in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


class Pair(NamedTuple):
    """Two values of one type that differ at `path` only; `kind` says what they hold there."""

    path: str
    given: Json
    other: Json
    kind: str


class Values:
    """What a field may be set to. `rows` overrule what the type says: "Type.field" or "field"
    to a list of values, of which the first is used where any will do; an empty list leaves the
    field alone. `before` are the elements that stand in a list before the one that is looked at.
    `needs` are members that an object of a type has to have, although it says otherwise; `groups`
    are members of which there may only be one."""

    def __init__(
        self,
        rows: dict[str, list[Json]],
        before: dict[str, list[Json]],
        needs: dict[str, tuple[str, ...]],
        groups: dict[str, tuple[str, ...]],
    ) -> None:
        self.rows = rows
        self.before = before
        self.needs = needs
        self.groups = groups

    def row(self, owner: str, field: str) -> list[Json] | None:
        return self.rows.get(f"{owner}.{field}", self.rows.get(field))


def plain(kind: Any) -> Any:
    """A type without Required, Annotated and the like."""
    while typing.get_origin(kind) in (typing.Required, typing.NotRequired, typing.Annotated):
        kind = typing.get_args(kind)[0]
    return kind


def members(kind: Any) -> list[Any]:
    """The members of a union without None, else the type itself."""
    kind = plain(kind)
    if typing.get_origin(kind) is typing.Union or type(kind).__name__ == "UnionType":
        out: list[Any] = []
        for arg in typing.get_args(kind):
            if arg is not type(None):
                out.extend(members(arg))
        return out
    return [kind]


def fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Name -> (type, required) of a typed dict."""
    out: dict[str, tuple[Any, bool]] = {}
    for base in reversed(_bases(kind)):
        own = vars(base).get("__annotations__", {})
        hints = typing.get_type_hints(base, include_extras=True)
        for name in own:
            asked = typing.get_origin(hints[name])
            required = base.__total__ if asked not in _REQUIRED else asked is typing.Required
            out.setdefault(name, (plain(hints[name]), required))
    return out


_REQUIRED = (typing.Required, typing.NotRequired)


def _bases(kind: Any) -> list[Any]:
    """A typed dict and those it extends. The class itself forgets them, and its annotations hold
    theirs."""
    out = [kind]
    for base in getattr(kind, "__orig_bases__", ()):
        if typing_extensions.is_typeddict(base):
            out.extend(_bases(base))
    return out


def element(kind: Any) -> Any:
    """What an array holds; None for what is no array."""
    origin = typing.get_origin(kind)
    if origin in (list, collections.abc.Iterable, collections.abc.Sequence):
        return typing.get_args(kind)[0]
    return None


class Walk:
    """Makes the pairs of one request type."""

    def __init__(self, values: Values) -> None:
        self.values = values

    def least(self, kind: Any, owner: str = "", name: str = "", seen: int = 0) -> list[Json]:
        """One minimal value for each form that a value of this type can have."""
        row = self.values.row(owner, name)
        if row is not None:
            return row[:1]
        out: list[Json] = []
        for member in members(kind):
            inner = element(member)
            if inner is not None:
                before = self.values.before.get(name, [])
                found = self.least(inner, owner, f"{name}[]", seen + 1)
                out.extend([*before, value] for value in found)
            elif typing_extensions.is_typeddict(member):
                out.extend(self._dict(member, seen))
            else:
                out.extend(_leaves(member)[:1])
        return out

    def _dict(self, kind: Any, seen: int) -> list[Json]:
        if seen > DEEPEST:
            return []
        made: dict[str, Json] = {}
        for name, (hint, required) in fields(kind).items():
            if required or name in self.values.needs.get(kind.__name__, ()):
                found = self.least(hint, kind.__name__, name, seen + 1)
                if not found:
                    return []
                made[name] = found[0]
        return [made]

    def pairs(self, kind: Any, owner: str, name: str, stack: tuple[Any, ...]) -> Iterator[Pair]:
        """Values of this type that differ in one place."""
        row = self.values.row(owner, name)
        if row is not None:
            for value in row[1:]:
                yield Pair("", row[0], value, "value")
            return
        for member in members(kind):
            inner = element(member)
            if inner is not None:
                yield from self._list(inner, owner, name, stack)
            elif typing_extensions.is_typeddict(member):
                if member not in stack and len(stack) < DEEPEST:
                    yield from self._members(member, (*stack, member))
            else:
                found = _leaves(member)
                for value in found[1:]:
                    yield Pair("", value, found[0], "value")

    def _list(self, inner: Any, owner: str, name: str, stack: tuple[Any, ...]) -> Iterator[Pair]:
        before = self.values.before.get(name, [])
        at = f"[{len(before)}]"
        if before:
            for value in self.least(inner, owner, f"{name}[]"):
                yield Pair(at, [*before, value], before, "element")
        for pair in self.pairs(inner, owner, f"{name}[]", stack):
            given, other = [*before, pair.given], [*before, pair.other]
            yield Pair(at + pair.path, given, other, pair.kind)

    def _members(self, kind: Any, stack: tuple[Any, ...]) -> Iterator[Pair]:
        owner = kind.__name__
        for least in self._dict(kind, 0):
            for name, (hint, required) in fields(kind).items():
                if self.values.row(owner, name) == []:
                    continue
                base = least
                needed = required or name in self.values.needs.get(owner, ())
                group = self.values.groups.get(owner, ())
                if name in group:
                    base = {key: base[key] for key in base if key not in group}
                    needed = True
                if not needed:
                    for value in self._each(hint, owner, name):
                        yield Pair(f".{name}", {**base, name: value}, base, "presence")
                for pair in self.pairs(hint, owner, name, stack):
                    if not needed and not pair.path and _is_choice(pair.given):
                        continue
                    given, other = {**base, name: pair.given}, {**base, name: pair.other}
                    yield Pair(f".{name}{pair.path}", given, other, pair.kind)

    def _each(self, hint: Any, owner: str, name: str) -> list[Json]:
        """Every value a choice has; one of everything else."""
        row = self.values.row(owner, name)
        if row is not None:
            return row
        out: list[Json] = []
        for member in members(hint):
            if typing.get_origin(member) is typing.Literal or member is bool:
                out.extend(_leaves(member))
            else:
                out.extend(self.least(member, owner, name))
        return out


def _is_choice(value: Json) -> bool:
    """Whether a value is one of a few, each of which is looked at when it is there and not."""
    return not isinstance(value, str | int | float) or isinstance(value, bool) or (
        isinstance(value, str) and "zq" not in value
    )  # fmt: skip


def _leaves(kind: Any) -> list[Json]:
    if kind is str:
        return ["zqone", "zqtwo"]
    if kind is bool:
        return [True, False]
    if kind is bytes:
        return ["AAAA", "AAAB"]
    if kind is int:
        return [37, 41]
    if kind is float:
        return [0.37, 0.41]
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return list(typing.get_args(kind))
    if origin in (dict, collections.abc.Mapping):
        inner = _leaves(typing.get_args(kind)[1]) or ["zqone"]
        return [{"zqkey": inner[0]}, {"zqkey": inner[-1]}]
    if kind is object or kind is Any:
        return [{"zqone": "zqone"}, {"zqtwo": "zqtwo"}]
    return []


class Outcome(NamedTuple):
    """What came of a request: the body for the provider and the losses, or the refusal."""

    body: bytes
    losses: tuple[Loss, ...]
    refused: BadRequest | None


class Target(NamedTuple):
    """A provider: its dialect, its kind, a model, and its quirks."""

    dialect: str
    kind: str
    model: str
    quirks: frozenset[str] = frozenset()


def send(client: str, body: bytes, target: Target) -> Outcome:
    """Read, fit and write one request."""
    uplink = UPSTREAMS[target.dialect]
    upstream = uplink.upstream(target.kind, "p", target.quirks, target.model)
    losses: list[Loss] = []
    try:
        asked = CLIENTS[client].read(_decode(body), body, Limits(), lambda value: None)
        fitted = fit(asked, upstream.capabilities, uplink.origins(upstream), losses)
        wire = uplink.side.write(fitted.request, upstream, losses)
        return Outcome(wire + uplink.headers(fitted.request), tuple(losses), None)
    except BadRequest as refused:
        return Outcome(b"", tuple(losses), refused)


def steps(path: str) -> list[str]:
    """A path without its indexes."""
    return [step.partition("[")[0] for step in path.split(".")]


_MARKS = ("caching", "cache_control")
_MARKS_TOLD = {"cache_control": _MARKS, "prompt_cache_breakpoint": _MARKS}
"""Cache marks are told once for the whole request."""


ALSO = {
    "reasoning.generate_summary": ("reasoning.summary",),
    "thinking": ("output_config.effort",),
    "thinking.type": ("output_config.effort",),
    "metadata": ("metadata.user_id",),
    "function_call": ("tool_choice",),
}
"""Where a loss may be told besides: under the newer name of a parameter, or what it amounts to."""


def about(told: str, field: str) -> bool:
    """Whether `told` names `field`, or what it stands in, or what is in it. Places inside the
    history may be told without their index."""
    if field.startswith("input[") and ".tools[" in field and told.startswith("tools"):
        field = field[field.index("tools[") :]  # they join the others, and are told with them
    a, b = steps(told), steps(field)
    if a == b[: len(a)] or b == a[: len(b)]:
        return True
    if any(a[0] in _MARKS_TOLD.get(step, ()) for step in b) or told in ALSO.get(".".join(b), ()):
        return True
    rest = iter(b)
    return a[0] == b[0] and all(step in rest for step in a)


class Verdict(NamedTuple):
    """`how`: carried, told, refused, invalid (the pair itself is at fault), silent."""

    how: str
    why: str


INVALID = ("invalid_value", "invalid_type", "missing_required_parameter")


def judge(field: str, given: Outcome, other: Outcome) -> Verdict:
    """What became of the field in which the two requests differ."""
    if given.refused is not None:
        param = given.refused.param or ""
        if given.refused.code in INVALID or (given.refused.code or "").endswith("_length"):
            return Verdict("invalid", f"{given.refused.code} {param}: {given.refused.message}")
        if about(param, field):
            return Verdict("refused", given.refused.message)
        return Verdict("invalid", f"{given.refused.code} {param}: {given.refused.message}")
    if other.refused is not None:
        return Verdict("invalid", f"other: {other.refused.param}: {other.refused.message}")
    if given.body != other.body:
        return Verdict("carried", "")
    for loss in given.losses:
        if about(loss.path, field):
            return Verdict("told", f"{loss.path}: {loss.reason}")
    if set(given.losses) != set(other.losses):
        new = [loss for loss in given.losses if loss not in other.losses]
        return Verdict("silent", f"told of {[loss.path for loss in new]} only")
    return Verdict("silent", "")
