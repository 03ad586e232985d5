"""`$VAR` and friends: values that live outside the document.

| written | means |
|---|---|
| `$VAR`, `${VAR}` | that environment variable, anywhere in a string |
| `${VAR:-default}` | the same, or the text after `:-` when it is unset or empty |
| `$$` | one dollar sign |
| `env:VAR`, `os.environ/VAR` | that variable, as the whole string |
| `file:/run/secrets/x` | the contents of that file, at most 64 KiB, without its last line end |

An unset or empty variable is an error. What a reference yields is not expanded again.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from typing import TypeAlias

Env: TypeAlias = Mapping[str, str]
ReadFile: TypeAlias = Callable[[str], str]

MAX_FILE_BYTES = 64 * 1024

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_DOLLAR = re.compile(
    rf"\$(?:(?P<escape>\$)|(?P<bare>{_NAME})|\{{(?P<braced>{_NAME})(?::-(?P<default>[^}}]*))?\}})?",
    re.ASCII,
)
_WHOLE = re.compile(rf"(?:env:|os\.environ/)({_NAME})", re.ASCII)
_SAFE_TO_NAME = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


def is_reference(text: str) -> bool:
    """Whether `resolve` would look at anything outside `text`, or unescape it."""
    return "$" in text or text.startswith("file:") or _WHOLE.fullmatch(text) is not None


def resolve(text: str, env: Env, read: ReadFile | None = None) -> str:
    """`text` with its references replaced. Raises `ValueError` with a message for the operator.

    The message names a variable only where it was clearly meant as one: `pa$word` may be a
    password somebody forgot to escape.
    """
    if whole := _WHOLE.fullmatch(text):
        return _look_up(whole[1], env, named=True)
    if text.startswith("file:"):
        return (read or read_file)(_expand(text.removeprefix("file:"), env))
    return _expand(text, env) if "$" in text else text


def _expand(text: str, env: Env) -> str:
    out: list[str] = []
    position = 0
    for match in _DOLLAR.finditer(text):
        out.append(text[position : match.start()])
        out.append(_replacement(match, env, alone=match[0] == text))
        position = match.end()
    out.append(text[position:])
    return "".join(out)


def _replacement(match: re.Match[str], env: Env, *, alone: bool) -> str:
    if match["escape"]:
        return "$"
    if match["braced"]:
        if match["default"] is not None:
            return env.get(match["braced"]) or match["default"]
        return _look_up(match["braced"], env, named=True)
    if match["bare"]:
        named = alone and _SAFE_TO_NAME.fullmatch(match["bare"]) is not None
        return _look_up(match["bare"], env, named=named)
    raise ValueError("a $ that starts no reference; write $$ for a dollar sign")


def _look_up(name: str, env: Env, *, named: bool) -> str:
    value = env.get(name)
    if value:
        return value
    state = "not set" if value is None else "empty"
    if named:
        raise ValueError(f"the environment variable {name} is {state}")
    raise ValueError(f"an environment variable named here is {state}; write $$ for a dollar sign")


def _read_some(fd: int) -> bytes:
    data = b""
    while len(data) <= MAX_FILE_BYTES and (more := os.read(fd, MAX_FILE_BYTES + 1)):
        data += more
    return data


def read_file(path: str) -> str:
    """The text of a regular file of at most 64 KiB, without one trailing line end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "not a usable path"
        raise ValueError(f"the referenced file cannot be read: {why}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("the referenced file is not a regular file")
        data = _read_some(fd)
    except OSError:
        data = b""
    finally:
        os.close(fd)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"the referenced file is larger than {MAX_FILE_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("the referenced file is empty, unreadable or not UTF-8 text")
    return text
