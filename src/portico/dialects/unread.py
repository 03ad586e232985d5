"""Members of a request that a table of wire shapes has no place for.

A dialect decodes with wide Structs, which ignore what they do not know. Whether there was anything
to ignore costs nothing to find out: a twin of the Structs that forbids unknown members decodes the
same body just as fast. Only when it refuses is the body read again, by the tolerant Structs, and
walked once, to say what will not be carried.
"""

import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import NODEFAULT, Raw, Struct

from portico.model.losses import Loss

REASON = "not known to other providers"
_SAYS_NOTHING = frozenset((b"null", b"false", b"[]", b"{}"))
_MOST = 64
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_array = msgspec.json.Decoder(list[Raw]).decode

Shape = TypeVar("Shape", bound=Struct)
Skip = Callable[[dict[str, Raw]], bool]


def strict(shape: type[Shape], *, top: bool = True, keep: tuple[type, ...] = ()) -> type[Shape]:
    """The twin of `shape`, and of the Structs inside it, that refuses members it does not know.

    `top`: `shape` itself does too; without, only what is inside. `keep` stay as they are.
    """
    return _twin(shape, {kind: kind for kind in keep}, forbid=top)


def _twin(shape: type[Any], made: dict[type, type], *, forbid: bool = True) -> type[Any]:
    if shape in made:
        return made[shape]
    hints = typing.get_type_hints(shape)
    fields: list[tuple[str, Any, Any]] = []
    made[shape] = shape  # a Struct inside itself is strict on its first level only
    for field in msgspec.structs.fields(shape):
        kind = _strict_type(hints[field.name], made)
        if field.default_factory is not NODEFAULT:
            default = msgspec.field(default_factory=field.default_factory)
        else:
            default = msgspec.field(default=field.default)
        fields.append((field.name, kind, default))
    made[shape] = msgspec.defstruct(
        f"Strict{shape.__name__}", fields, bases=(shape,), forbid_unknown_fields=forbid, gc=False
    )
    return made[shape]


def _strict_type(kind: Any, made: dict[type, type]) -> Any:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _twin(kind, made)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    inner = [_strict_type(arg, made) for arg in args]
    if origin in (types.UnionType, typing.Union):
        return typing.Union[tuple(inner)]  # noqa: UP007 - there is no other way to make one
    return list[inner[0]] if origin is list else kind  # type: ignore[valid-type]


class Walk:
    """Says what the tolerant Structs pass over in one request.

    `skip` are Structs of which some objects are kept whole, by what says so. The same member of the
    same Struct is told once, with the first place it has.
    """

    __slots__ = ("_skip", "_told", "losses")

    def __init__(self, skip: dict[type, Skip]) -> None:
        self.losses: list[Loss] = []
        self._skip = skip
        self._told: set[tuple[type, str]] = set()

    def object(self, raw: Raw | bytes, shape: type[Any], path: str, *, top: bool = True) -> None:
        """Look at one object. Without `top` its own members are of no interest."""
        try:
            members = _decode_members(raw)
        except (ValueError, RecursionError):
            return
        skip = self._skip.get(shape)
        if skip is not None and skip(members):
            return
        inner = _inner(shape)
        before = f"{path}." if path else ""
        for name, value in members.items():
            if name in inner:
                for kind in inner[name]:
                    self._value(value, kind, f"{before}{name}")
            elif top and bytes(value) not in _SAYS_NOTHING:
                self._tell(shape, name, before)

    def _value(self, raw: Raw, kind: tuple[bool, type], path: str) -> None:
        many, shape = kind
        first = memoryview(raw)[0]
        if not many and first == ord("{"):
            self.object(raw, shape, path)
        elif many and first == ord("["):
            try:
                found = _decode_array(raw)
            except (ValueError, RecursionError):
                return
            for index, one in enumerate(found):
                self.object(one, shape, f"{path}[{index}]")

    def _tell(self, shape: type, name: str, before: str) -> None:
        if (shape, name) in self._told or len(self.losses) >= _MOST:
            return
        self._told.add((shape, name))
        self.losses.append(Loss(f"{before}{name[:64]}", "dropped", REASON))


_INNER: dict[type, dict[str, list[tuple[bool, type]]]] = {}


def _inner(shape: type[Any]) -> dict[str, list[tuple[bool, type]]]:
    """Member -> the Structs in it, each with whether it stands in an array."""
    known = _INNER.get(shape)
    if known is None:
        hints = typing.get_type_hints(shape)
        known = _INNER[shape] = {
            field.encode_name: _structs(hints[field.name])
            for field in msgspec.structs.fields(shape)
        }
    return known


def _structs(kind: Any) -> list[tuple[bool, type]]:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return [(False, kind)]
    args = typing.get_args(kind)
    if typing.get_origin(kind) is list:
        return [(True, inner) for many, inner in _structs(args[0]) if not many]
    return [found for arg in args for found in _structs(arg)]
