"""Conditions in CEL, for configurations that come from agentgateway or outgrow the typed ones.

Variables, as agentgateway calls them (https://agentgateway.dev/docs/reference/cel/, 2026-11-21):

- `request.headers`, `headers`: text by name, in any case.
- `apiKey`: the metadata of the caller's key.
- `llmRequest`: the body. What JSON calls null is not there, so that `has` and `default` need no
  third case.
- `llm.requestModel`, `llm.streaming`: what the caller asked for.

CEL wants whole values, at 2 us each, and a prompt should not be decoded to look at `max_tokens`:
only those headers and members of the body are there that the expression names, and no member of
more than 1 MiB.

`default(path, value)` is the value where the path leads nowhere. CEL itself has no such function
and none of its functions may get what does not exist, so it is written out in terms of `has` first.
With anything but a path in front, it replaces null alone.

An expression that cannot be evaluated (a member is missing, a type is wrong) does not match, and so
does one whose result is not `true`.
"""

import re
from itertools import pairwise
from typing import Final

from portico.config.expressions import MAX_LENGTH, compile_expression
from portico.routing.matching import Facts

MOST_MEMBER: Final = 1 << 20
"""Bytes of a member of the body that an expression may see."""
_MOST_STEPS = 16

_TOKENS = re.compile(
    r"""//[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[A-Za-z_][A-Za-z0-9_]*|\s+|.""", re.DOTALL
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII).fullmatch
_TEXT = re.compile(r"""(["']).*\1""", re.DOTALL).fullmatch


class CelMatcher:
    """An expression, ready to be asked. Raises ValueError, with a message for the operator, for one
    that is too long, is not CEL, or where there is no CEL."""

    __slots__ = ("_evaluate", "_headers", "_names")

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"an expression has at most {MAX_LENGTH} characters")
        tokens = _TOKENS.findall(text)
        texts = {token[1:-1] for token in tokens if _TEXT(token)}
        self._names = frozenset(token for token in tokens if _NAME(token)) | texts
        self._headers = [(name, name.lower().encode()) for name in self._names]
        self._evaluate = compile_expression(write_defaults(text)).evaluate

    def matches(self, facts: Facts) -> bool:
        """Whether the expression is true of a request. Never raises."""
        try:
            return self._evaluate(self._variables(facts)) is True
        except ValueError:
            return False

    def _variables(self, facts: Facts) -> dict[str, object]:
        names = self._names
        out: dict[str, object] = {}
        if "headers" in names:
            given = facts.headers
            headers = {name: facts.header(key) for name, key in self._headers if key in given}
            out["headers"] = headers
            if "request" in names:
                out["request"] = {"headers": headers}
        if "apiKey" in names:
            out["apiKey"] = dict(facts.caller)
        if "llmRequest" in names:
            out["llmRequest"] = self._members(facts)
        if "llm" in names:
            out["llm"] = {"requestModel": facts.model, "streaming": facts.stream}
        if "default" in names:
            out["default"] = _default
        return out

    def _members(self, facts: Facts) -> dict[str, object]:
        fields = facts.fields
        out: dict[str, object] = {}
        for name in self._names:
            if name in fields and memoryview(fields[name]).nbytes <= MOST_MEMBER:
                value = facts.member(name)
                if value is not None:
                    out[name] = value
        return out


def write_defaults(text: str) -> str:
    """The expression with each `default(path, value)` written as a test for the path.

    `default(a.b, 1)` becomes `(type(a) == map && has(a.b) && a.b != null ? a.b : (1))`. What this
    cannot read stays as it is.
    """
    return "".join(_written([each for each in _TOKENS.findall(text) if not each.startswith("//")]))


def _default(value: object, otherwise: object) -> object:
    return otherwise if value is None else value


def _written(tokens: list[str]) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(tokens):
        call = _call(tokens, at) if tokens[at] == "default" else None
        if call is None or (out and out[-1] == "."):
            out.append(tokens[at])
            at += 1
            continue
        path, value, at = call
        value = _written(value)
        out += _choice(path, value) or ["default(", *_written(path), ",", *value, ")"]
    return out


def _call(tokens: list[str], at: int) -> tuple[list[str], list[str], int] | None:
    """The two arguments of the call that begins at a token, and where it ends; None if the token is
    not followed by two arguments in brackets."""
    if tokens[at + 1 : at + 2] != ["("]:
        return None
    depth = comma = 0
    for i in range(at + 1, len(tokens)):
        mark = tokens[i]
        if mark in ("(", "[", "{"):
            depth += 1
        elif mark in (")", "]", "}"):
            depth -= 1
            if not depth:
                return (tokens[at + 2 : comma], tokens[comma + 1 : i], i + 1) if comma else None
        elif mark == "," and depth == 1:
            if comma:
                return None
            comma = i
    return None


def _choice(path: list[str], value: list[str]) -> list[str] | None:
    """The conditional that stands for `default(path, value)`; None if it is not a path."""
    steps = _steps([token for token in path if not token.isspace()])
    if steps is None:
        return None
    tests: list[str] = []
    heads = ["".join(steps[: i + 1]) for i in range(len(steps))]
    for (before, whole), step in zip(pairwise(heads), steps[1:], strict=True):
        has = f"has({whole})" if step[0] == "." else f"{step[1:-1]} in {before}"
        tests.append(f"type({before}) == map && {has} && ")
    return ["(", *tests, f"{heads[-1]} != null ? {heads[-1]} : (", *value, "))"]


def _steps(path: list[str]) -> list[str] | None:
    """`a.b["c"]` as `a`, `.b`, `["c"]`; None for everything else."""
    if not path or not _NAME(path[0]):
        return None
    steps = [path[0]]
    at = 1
    while at < len(path):
        if path[at] == "." and _NAME("".join(path[at + 1 : at + 2])):
            steps.append(f".{path[at + 1]}")
            at += 2
        elif path[at] == "[" and path[at + 2 : at + 3] == ["]"] and _TEXT(path[at + 1]):
            steps.append(f"[{path[at + 1]}]")
            at += 3
        else:
            return None
    return steps if 1 < len(steps) <= _MOST_STEPS else None
