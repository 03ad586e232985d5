"""Keeps credentials out of everything that is written.

Two nets: the values of registered secrets, in every spelling a log may give them, and the shapes
of credentials (`wire.text.CREDENTIALS`) for those nobody registered: a caller's own key in a model
name, a key in a URL that a provider echoes.
"""

from collections.abc import Callable, Iterable
from json import dumps
from typing import Any, TypeVar
from urllib.parse import quote

from msgspec import Struct, structs

from portico.config.secret import Secret
from portico.wire.text import MASK, mask

_SHORTEST = 6
"""Shorter values are not replaced: they would punch holes into ordinary words."""

_MAX_SECRETS = 10_000

T = TypeVar("T", bound=Struct)

_TELLTALES = ("sk-", "AIza", "AKIA", "ya29.", "eyJ", " ", "%", "=", ":", ",")


class Redactor:
    """Knows the secrets of this process. Thread-safe: `add` replaces the table at once.

    `generation` changes with every `add`, for those who remember what they found clean.
    """

    __slots__ = ("_values", "generation")

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._values: tuple[str, ...] = ()
        self.generation = 0
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        """Registers a secret. Old ones stay: a reload does not make them public."""
        value = secret.reveal()
        if len(value) < _SHORTEST:
            return
        spellings = {value, dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe="")}
        if spellings.issubset(self._values):
            return
        # longest first, so that a secret inside another does not leave the rest standing
        known = sorted({*self._values, *spellings}, key=len, reverse=True)
        self._values = tuple(known[:_MAX_SECRETS])
        self.generation += 1

    def text(self, text: str) -> str:
        """`text` without credentials. Tens of microseconds per kilobyte: not for the hot path."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        return mask(text)

    def suspicious(self, ids: str) -> bool:
        """Whether machine-made ids deserve `text`. Cheap, and never false for a registered secret
        or for what cannot be part of an id; the rarer key shapes pass."""
        for value in self._values:
            if value in ids:
                return True
        return any(telltale in ids for telltale in _TELLTALES)


def mapped(value: T, change: Callable[[str], str], most: int | None = None) -> T:
    """The same struct with `change` applied to every string in it, at any depth; of lists, tuples
    and dicts the first `most` entries, or all."""
    fields = structs.asdict(value)
    return structs.replace(value, **{name: _walk(x, change, most) for name, x in fields.items()})


def _walk(value: Any, change: Callable[[str], str], most: int | None) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_walk(each, change, most) for each in value[:most]])
    if isinstance(value, dict):
        return {change(k): _walk(v, change, most) for k, v in list(value.items())[:most]}
    return mapped(value, change, most) if isinstance(value, Struct) else value
