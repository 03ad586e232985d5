"""Expressions in CEL, for the places where agentgateway has them: `when`, `unhealthyExpression`.

CEL (https://cel.dev) has no loops but those over a list, and ends always. Two things are refused
all the same: a text of more than `MAX_LENGTH` bytes, and a loop inside a loop, whose work
grows with the square of what a caller sends.

The library is `common-expression-language`, an extra: `pip install 'portico[cel]'`.
"""

import re
from collections.abc import Mapping, Set
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
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([a-z()][a-z() ]{0,80})")
_AT_THE_END = re.compile(r"mismatched input '<EOF>'")
OF_A_REQUEST: Final = frozenset(("request", "headers", "apiKey", "llmRequest", "llm"))
"""What a condition may speak of (`routing.expressions`)."""
_TYPES = frozenset((
    "bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string",
    "timestamp", "type", "uint", "dyn", "optional", "optional_type",
))  # fmt: skip
"""Names that CEL has itself: https://github.com/google/cel-spec/blob/master/doc/langdef.md
(2026-11-21)."""
_MOST_SHOWN = 64
_LOOPS = frozenset(("all", "exists", "exists_one", "map", "filter"))


class Expression:
    """A compiled expression."""

    __slots__ = ("_program",)

    def __init__(self, program: "Program") -> None:
        self._program = program

    @property
    def variables(self) -> frozenset[str]:
        """The names it begins a path with, those of its own loops included."""
        return frozenset(name.removeprefix(".") for name in self._program.variables())

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
    except Exception as error:
        raise ValueError(f"not a valid expression in CEL{_where(str(error))}") from None


def check(text: str, variables: Set[str] | None = None) -> Expression:
    """An expression of the document, compiled. `variables` are those that it may speak of; None
    for any. Raises `ValueError` as above."""
    if len(text.encode()) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} bytes")
    expression = compile_expression(text)
    if variables is not None:
        words = _words(text)
        bound = _bound(words)
        unknown = expression.variables - variables - _TYPES - bound
        if unknown:
            raise ValueError(
                f"speaks of {min(unknown)[:_MOST_SHOWN]}, which there is not; there are:"
                f" {', '.join(sorted(variables))}"
            )
        if "request" not in bound and not _headers_alone(words):
            raise ValueError("of request there is nothing but request.headers")
    return expression


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


def _where(message: str) -> str:
    """The place and the reason in the library's first complaint, without the text it quotes."""
    found = _ERROR.search(message)
    if found is None:
        return ""
    line, column, reason = found[1], found[2], found[3].strip()
    if _AT_THE_END.match(message, found.start(3)):
        reason = "it ends too early"
    return f": line {line}, column {column}: {reason.removesuffix(' at')}"


def _words(text: str) -> list[str]:
    return [word for word in _TOKEN.findall(text) if not word.startswith("//")]


def _bound(words: list[str]) -> set[str]:
    """The variables of loops: `x` in `.all(x, ...)`."""
    return {
        words[i + 3]
        for i in range(len(words) - 3)
        if words[i] == "." and words[i + 1] in _LOOPS and words[i + 2] == "("
    }


def _headers_alone(words: list[str]) -> bool:
    """Whether every path of `request` goes on to `headers`, in either way to write it."""
    for i, word in enumerate(words):
        if word != "request" or (i and words[i - 1] == "."):
            continue
        step, name = (*words[i + 1 : i + 3], "", "")[:2]
        if step == "." and name != "headers":
            return False
        if step == "[" and name not in ("'headers'", '"headers"'):
            return False
    return True


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
