"""An operator's changes to header fields, compiled to bytes.

`remove` and `set` take fields out, `set` and `add` put lines in. Names are lower-case throughout,
as they are in every header block here. Fields that make up the framing of a message, and those by
which this gateway speaks of itself, are not the operator's: rules about them do nothing, and
`is_fixed_request` and `is_fixed_response` say which they are.
"""

from collections.abc import Callable
from typing import Protocol

from portico.wire.headers import has_control, is_token

_END = b"\r\n"
_FRAMING = frozenset((
    b"connection", b"content-encoding", b"content-length", b"content-type", b"expect",
    b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
))  # fmt: skip
_REQUEST = _FRAMING | {b"accept-encoding", b"host"}
"""The relay reads what it passes on, so answers come without a content coding."""
_RESPONSE = _FRAMING | {b"date", b"request-id", b"x-request-id"}
_OURS = b"x-portico-"


class Rules(Protocol):
    """`config.settings.HeaderRules`."""

    @property
    def set(self) -> tuple[tuple[str, str], ...]:
        """Name and value, in place of what is there."""

    @property
    def add(self) -> tuple[tuple[str, str], ...]:
        """Name and value, beside what is there."""

    @property
    def remove(self) -> tuple[str, ...]:
        """Names."""


def is_fixed_request(name: str) -> bool:
    """Whether rules cannot change this field of requests to providers."""
    return name.lower().encode("latin-1", "replace") in _REQUEST


def is_fixed_response(name: str) -> bool:
    """Whether rules cannot change this field of answers to clients."""
    field = name.lower().encode("latin-1", "replace")
    return field in _RESPONSE or field.startswith(_OURS)


class RequestRules:
    """Changes to the head that a provider gets. `names`: fields of the client, and defaults, that
    do not go through; `lines` are to be written besides."""

    __slots__ = ("lines", "names")

    def __init__(self, rules: Rules) -> None:
        self.names, self.lines = _compile(rules, is_fixed_request)

    def strip(self, block: bytes) -> bytes:
        """Header lines without those that do not go through."""
        return _without(block, self.names) if self.names and block else block

    def dress(self, common: bytes) -> bytes:
        """The lines that every head of a target has, with the rules in them: what is left to do per
        request is to keep `names` of the client back."""
        return self.strip(common) + self.lines


class ResponseRules:
    """Changes to the header block of an answer."""

    __slots__ = ("_lines", "_names")

    def __init__(self, rules: Rules) -> None:
        self._names, self._lines = _compile(rules, is_fixed_response)

    def apply(self, block: bytes) -> bytes:
        """`block`, whole lines with lower-case names, as the client gets it."""
        if self._names:
            block = _without(block, self._names)
        return block + self._lines


def _compile(rules: Rules, is_fixed: Callable[[str], bool]) -> tuple[frozenset[bytes], bytes]:
    """The names to take out and the lines to put in. Raises ValueError for what no header can hold;
    a configuration was checked for that."""
    taken = [*rules.remove, *[name for name, _ in rules.set]]
    lines = [_line(name, value) for name, value in (*rules.set, *rules.add) if not is_fixed(name)]
    return (
        frozenset([_name(name) for name in taken if not is_fixed(name)]),
        b"".join(lines),
    )


def _name(name: str) -> bytes:
    field = name.lower().encode("latin-1")
    if is_token(field) is None:
        raise ValueError(f"not the name of a header: {name!r}")
    return field


def _line(name: str, value: str) -> bytes:
    text = value.strip(" \t").encode("latin-1")
    if has_control(text):
        raise ValueError(f"a control character in the value of the header {name!r}")
    return b"%b: %b\r\n" % (_name(name), text)


def _without(block: bytes, names: frozenset[bytes]) -> bytes:
    kept = [line for line in block.split(_END) if line and line.partition(b":")[0] not in names]
    return b"".join([b"%b\r\n" % line for line in kept])
