"""Expressions in CEL, for the places where agentgateway has them: `when`, `unhealthyExpression`.

CEL (https://cel.dev) has no loops but those over a list, and ends always. Two things are refused
all the same: a text of more than `MAX_LENGTH` bytes, and a loop inside a loop, whose work
grows with the square of what a caller sends.

The library is `common-expression-language`, an extra: `pip install 'portico[cel]'`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cel import Program

MAX_LENGTH: Final = 4096
MISSING: Final = "CEL needs a package that is not installed: pip install 'portico[cel]'"

_TOKEN = re.compile(
    r"""//[^\n]*
    |[rRbB]{0,2}(?:'{3}.*?'{3}|"{3}.*?"{3}|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |\w+|[^\s\w]""",
    re.VERBOSE | re.DOTALL,
)
_LOOPS = frozenset(("all", "exists", "exists_one", "map", "filter"))


class Expression:
    """A compiled expression."""

    __slots__ = ("_program",)

    def __init__(self, program: "Program") -> None:
        self._program = program

    def evaluate(self, variables: Mapping[str, object]) -> object:
        """The value, as plain Python data. Raises `ValueError` where there is none: something that
        is not there, or values that do not go together."""
        try:
            return self._program.execute(dict(variables))
        except Exception:  # nearly every kind there is
            raise ValueError("the expression has no value here") from None


def compile_expression(text: str) -> Expression:
    """`text`, of any length, ready to be evaluated. Raises `ValueError` with a message for the
    operator."""
    if _loops(text) > 1:
        raise ValueError("a loop inside a loop")
    try:
        import cel
    except ImportError:
        raise ValueError(MISSING) from None
    try:
        return Expression(cel.compile(text))
    except Exception:  # its message repeats the text
        raise ValueError("not a valid expression in CEL") from None


def check(text: str) -> Expression:
    """An expression of the document, compiled. Raises `ValueError` as above."""
    if len(text.encode()) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} bytes")
    return compile_expression(text)


@lru_cache(maxsize=64)
def statuses(text: str) -> frozenset[int]:
    """The HTTP statuses for which an expression over `response.code` is true. Raises `ValueError`
    as above."""
    expression = check(text)
    if _loops(text):
        raise ValueError("no loops here; write response.code in [429, 503]")
    found: set[int] = set()
    for code in range(100, 600):
        try:
            value = expression.evaluate({"response": {"code": code}})
        except ValueError:
            raise ValueError("cannot be evaluated; it may refer to response.code only") from None
        if not isinstance(value, bool):
            raise ValueError("has to be true or false for every response.code")
        if value:
            found.add(code)
    return frozenset(found)


def _loops(text: str) -> int:
    """How deep loops (`.all(` and the like) lie inside each other."""
    words = _TOKEN.findall(text)
    brackets: list[bool] = []
    deepest = 0
    for i, word in enumerate(words):
        if word == "(":
            brackets.append(i > 1 and words[i - 1] in _LOOPS and words[i - 2] == ".")
            deepest = max(deepest, sum(brackets))
        elif word == ")" and brackets:
            brackets.pop()
    return deepest
