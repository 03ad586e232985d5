"""What a caller may say about the routing of one request, in the body or in headers.

Three ways to say it, the first that mentions a control wins:

1. `providerOptions.gateway` (or `provider_options`), as in Vercel's AI Gateway:
   https://vercel.com/docs/ai-gateway/models-and-providers/provider-options (2026-11-21).
2. `models` and `provider` at the top level, as in OpenRouter:
   https://openrouter.ai/docs/features/provider-routing (2026-11-21).
3. Headers `x-portico-*`: `models`, `order`, `only`, `ignore` and `tags` are lists with commas;
   `sort` and `user` are single values; `timeout` is a number of milliseconds, or a list of
   `provider=milliseconds`.

What those gateways promise and this one cannot (data collection, quantization, a highest price) is
refused by name, unless its value asks for nothing. Names of providers are compared without regard
to case, and are casefolded here.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from portico.errors import BadRequest
from portico.wire.json import encode

Sort = Literal["cost", "ttft", "throughput"]
T = TypeVar("T")

CONTROL_FIELDS: Final = frozenset({"models", "provider", "providerOptions", "provider_options"})
"""Members of a body that may hold controls. `fields.keys().isdisjoint(CONTROL_FIELDS)` looks up
these four and not every member."""

_PREFIX = "x-portico-"
CONTROL_HEADERS: Final = frozenset(
    f"{_PREFIX}{name}".encode()
    for name in ("models", "order", "only", "ignore", "sort", "tags", "user", "timeout")
)
"""Headers that are controls; tested the same way."""

EVERY: Final = "*"
"""In `Controls.timeouts`: any provider that is not there by name."""

MOST_MODELS = 16
MOST_PROVIDERS = 32
MOST_TAGS = 32
_LONGEST_MODEL = 256
_LONGEST_NAME = 128
_LONGEST_USER = 256
_LONGEST_WAIT = 3_600_000  # milliseconds

_SORTS: dict[str, Sort] = {
    "cost": "cost", "price": "cost",
    "ttft": "ttft", "latency": "ttft",
    "throughput": "throughput", "tps": "throughput",
}  # fmt: skip
"""Our words, OpenRouter's and Vercel's."""

_ASKS_FOR_NOTHING = frozenset((b"null", b"false", b"[]", b"{}", b'""'))
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]").search
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII).fullmatch

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.Decoder().decode


class Controls(Struct, frozen=True, kw_only=True):
    """What a caller asked for. `models` are to be tried after the one asked for, in order, and are
    not authorised yet. `order`, `only` and `ignore` are providers, casefolded. `fallbacks` False:
    no provider beyond the first. `timeouts` are seconds to the first byte by provider, casefolded
    or `EVERY`. `consumed` are members of the body that must not go upstream; `rest` is the JSON to
    put in place of those of them that were ours in part."""

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    sort: Sort | None = None
    fallbacks: bool = True
    tags: tuple[str, ...] = ()
    user: str = ""
    timeouts: dict[str, float] = {}
    consumed: frozenset[str] = frozenset()
    rest: dict[str, bytes] = {}


def read_controls(fields: Mapping[str, Raw], headers: Mapping[bytes, bytes]) -> Controls | None:
    """The controls of a request, None without any. `fields` are raw members of the body; `headers`
    have lower-case names. Raises `BadRequest` and nothing else."""
    in_body = not fields.keys().isdisjoint(CONTROL_FIELDS)
    if not in_body and headers.keys().isdisjoint(CONTROL_HEADERS):
        return None
    reader = _Reader()
    if in_body:
        reader.read_body(fields)
    reader.read_headers(headers)
    return reader.controls()


class _Reader:
    """Collects what the sources say; what is there already stays."""

    __slots__ = (
        "consumed", "fallbacks", "found", "ignore", "models", "only", "order", "rest", "sort",
        "tags", "timeouts", "user",
    )  # fmt: skip

    def __init__(self) -> None:
        self.models: tuple[str, ...] | None = None
        self.order: tuple[str, ...] | None = None
        self.only: tuple[str, ...] | None = None
        self.ignore: tuple[str, ...] | None = None
        self.tags: tuple[str, ...] | None = None
        self.sort: Sort | None = None
        self.fallbacks = True
        self.user: str | None = None
        self.timeouts: dict[str, float] | None = None
        self.consumed: set[str] = set()
        self.rest: dict[str, bytes] = {}
        self.found = False

    def controls(self) -> Controls | None:
        """All of it; None if nothing in the request was ours."""
        if not self.found:
            return None
        return Controls(
            models=self.models or (),
            order=self.order or (),
            only=self.only or (),
            ignore=self.ignore or (),
            sort=self.sort,
            fallbacks=self.fallbacks,
            tags=self.tags or (),
            user=self.user or "",
            timeouts=self.timeouts or {},
            consumed=frozenset(self.consumed),
            rest=self.rest,
        )

    def read_body(self, fields: Mapping[str, Raw]) -> None:
        """`providerOptions.gateway`, then OpenRouter's members."""
        for name in ("providerOptions", "provider_options"):
            if name in fields:
                self._provider_options(name, fields[name])
        if "models" in fields:
            self._consume("models")
            self.models = _first(self.models, _list_in("models", fields["models"], *_MODELS))
        if "provider" in fields:
            self._consume("provider")
            self._openrouter(fields["provider"])

    def _consume(self, name: str) -> None:
        self.consumed.add(name)
        self.found = True

    def _provider_options(self, name: str, raw: Raw) -> None:
        members = _object_in(name, raw)
        gateway = members.pop("gateway", None)
        if gateway is None:
            return
        self._consume(name)
        if members:
            self.rest[name] = encode(members)
        self._vercel(f"{name}.gateway", _object_in(f"{name}.gateway", gateway))

    def _vercel(self, at: str, members: dict[str, Raw]) -> None:
        for name, raw in members.items():
            path = f"{at}.{name[:64]}"
            if name == "models":
                self.models = _first(self.models, _list_in(path, raw, *_MODELS))
            elif name == "tags":
                self.tags = _first(self.tags, _list_in(path, raw, *_TAGS))
            elif name == "user":
                self.user = _first(self.user, _text_in(path, raw, _LONGEST_USER))
            elif name == "providerTimeouts":
                self.timeouts = _first(self.timeouts, _timeouts_in(path, raw))
            elif not self._choice(name, path, raw):
                _refuse(path, raw)

    def _openrouter(self, raw: Raw) -> None:
        for name, value in _object_in("provider", raw).items():
            path = f"provider.{name[:64]}"
            if name == "allow_fallbacks":
                self.fallbacks = _flag_in(path, value, otherwise=True)
            elif name == "ignore":
                self.ignore = _first(self.ignore, _providers_in(path, value))
            elif name == "data_collection" and _compact(value) == b'"allow"':
                continue
            elif not self._choice(name, path, value):
                _refuse(path, value)

    def _choice(self, name: str, path: str, raw: Raw) -> bool:
        """What the two have in common; whether this was it."""
        if name == "order":
            self.order = _first(self.order, _providers_in(path, raw))
        elif name == "only":
            self.only = _first(self.only, _providers_in(path, raw))
        elif name == "sort":
            self.sort = _first(self.sort, _sort_in(path, raw))
        else:
            return False
        return True

    def read_headers(self, headers: Mapping[bytes, bytes]) -> None:
        """Each that is there, for what the body does not mention."""
        given = {
            name.decode()[len(_PREFIX) :]: _header(name.decode(), headers[name])
            for name in sorted(CONTROL_HEADERS & headers.keys())
        }
        if not given:
            return
        self.found = True
        self.models = _first(self.models, _listed("models", given, *_MODELS))
        self.tags = _first(self.tags, _listed("tags", given, *_TAGS))
        self.order = _first(self.order, _folded(_listed("order", given, *_PROVIDERS)))
        self.only = _first(self.only, _folded(_listed("only", given, *_PROVIDERS)))
        self.ignore = _first(self.ignore, _folded(_listed("ignore", given, *_PROVIDERS)))
        if given.get("sort"):
            self.sort = _first(self.sort, _sort(f"{_PREFIX}sort", given["sort"]))
        if given.get("user"):
            user = _text(f"{_PREFIX}user", given["user"], _LONGEST_USER)
            self.user = _first(self.user, user)
        if given.get("timeout"):
            self.timeouts = _first(self.timeouts, _timeouts(given["timeout"]))


_MODELS = (MOST_MODELS, _LONGEST_MODEL)
_PROVIDERS = (MOST_PROVIDERS, _LONGEST_NAME)
_TAGS = (MOST_TAGS, _LONGEST_NAME)


def _first(one: T | None, other: T | None) -> T | None:
    return other if one is None else one


def _bad(path: str, message: str, code: str = "invalid_value") -> BadRequest:
    return BadRequest(message, code=code, param=path)


def _wrong_type(path: str, expected: str) -> BadRequest:
    return _bad(path, f"Invalid type for '{path}': expected {expected}.", "invalid_type")


def _refuse(path: str, raw: Raw) -> None:
    if _compact(raw) not in _ASKS_FOR_NOTHING:
        message = f"Unsupported parameter: '{path}'. This gateway cannot promise what it asks for."
        raise _bad(path, message, "unsupported_parameter")


def _compact(raw: Raw) -> bytes:
    """Short JSON text without the space in it; longer text as its beginning."""
    return bytes(memoryview(raw)[:32]).translate(None, b" \t\r\n")


def _object_in(path: str, raw: Raw) -> dict[str, Raw]:
    """The members of an object; none of null."""
    if _compact(raw) == b"null":
        return {}
    try:
        return _members(raw)
    except (ValueError, RecursionError):
        raise _wrong_type(path, "an object") from None


def _value_in(path: str, raw: Raw, expected: str) -> object:
    try:
        return _decode(raw)
    except (ValueError, RecursionError):
        raise _wrong_type(path, expected) from None


def _flag_in(path: str, raw: Raw, *, otherwise: bool) -> bool:
    value = _value_in(path, raw, "a boolean")
    if value is None:
        return otherwise
    if not isinstance(value, bool):
        raise _wrong_type(path, "a boolean")
    return value


def _text_in(path: str, raw: Raw, longest: int) -> str | None:
    value = _value_in(path, raw, "a string")
    return None if value is None else _text(path, value, longest)


def _list_in(path: str, raw: Raw, most: int, longest: int) -> tuple[str, ...] | None:
    value = _value_in(path, raw, "an array of strings")
    if value is None:
        return None
    if not isinstance(value, list):
        raise _wrong_type(path, "an array of strings")
    return _list(path, value, most, longest)


def _providers_in(path: str, raw: Raw) -> tuple[str, ...] | None:
    return _folded(_list_in(path, raw, *_PROVIDERS))


def _sort_in(path: str, raw: Raw) -> Sort | None:
    """A word, or OpenRouter's `{by, partition}` within one model, which is all there is here."""
    value = _value_in(path, raw, "a string")
    if isinstance(value, dict):
        for name, inner in _object_in(path, raw).items():
            if name != "by" and not (name == "partition" and _compact(inner) == b'"model"'):
                _refuse(f"{path}.{name[:64]}", inner)
        path, value = f"{path}.by", value.get("by")
    return None if value is None else _sort(path, value)


def _timeouts_in(path: str, raw: Raw) -> dict[str, float] | None:
    """`{provider: ms}`, also inside `byok` and `system`, which are all the same here."""
    value = _value_in(path, raw, "an object")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _wrong_type(path, "an object")
    flat: list[tuple[str, str, object]] = []
    for name, wait in value.items():
        if name in ("byok", "system") and isinstance(wait, dict):
            flat += [(f"{path}.{name}", inner, each) for inner, each in wait.items()]
        else:
            flat.append((path, name, wait))
    if len(flat) > MOST_PROVIDERS:
        raise _bad(path, f"Invalid '{path}': more than {MOST_PROVIDERS} providers.")
    out: dict[str, float] = {}
    for where, name, wait in flat:
        at = f"{where}.{name[:64]}"
        if isinstance(wait, bool) or not isinstance(wait, (int, float)):
            raise _wrong_type(at, "a number of milliseconds")
        out[_text(where, name, _LONGEST_NAME).casefold()] = _seconds(at, wait)
    return out


def _header(name: str, value: bytes) -> str:
    try:
        return value.decode().strip(" \t")
    except UnicodeDecodeError:
        raise _bad(name, f"Invalid '{name}': not valid UTF-8.") from None


def _listed(name: str, given: dict[str, str], most: int, longest: int) -> tuple[str, ...] | None:
    """A header's list; None without that header. Empty elements do not count (RFC 9110 5.6.1)."""
    if name not in given:
        return None
    return _list(f"{_PREFIX}{name}", _elements(given[name]), most, longest)


def _elements(text: str) -> list[object]:
    return [element for part in text.split(",") if (element := part.strip(" \t"))]


def _timeouts(text: str) -> dict[str, float]:
    path = f"{_PREFIX}timeout"
    out: dict[str, float] = {}
    for element in _elements(text):
        name, _, wait = str(element).rpartition("=")
        if not _NUMBER(wait.strip(" \t")):
            raise _bad(path, f"Invalid '{path}': expected milliseconds, or provider=milliseconds.")
        key = _text(path, name.strip(" \t") or EVERY, _LONGEST_NAME).casefold()
        out[key] = _seconds(path, float(wait))
        if len(out) > MOST_PROVIDERS:
            raise _bad(path, f"Invalid '{path}': more than {MOST_PROVIDERS} providers.")
    return out


def _list(path: str, values: list[object], most: int, longest: int) -> tuple[str, ...]:
    if len(values) > most:
        raise _bad(
            path,
            f"Invalid '{path}': array too long. Expected an array with maximum length {most}, "
            f"but got an array with length {len(values)} instead.",
            "array_above_max_length",
        )
    texts = [_text(f"{path}[{at}]", value, longest) for at, value in enumerate(values)]
    return tuple(dict.fromkeys(texts))


def _folded(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(dict.fromkeys(name.casefold() for name in names))


def _text(path: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise _wrong_type(path, "a string")
    if not value:
        raise _bad(path, f"Invalid '{path}': expected a name, but got an empty string.")
    if len(value) > longest:
        message = f"Invalid '{path}': longer than {longest} characters."
        raise _bad(path, message, "string_above_max_length")
    if _CONTROL(value):
        raise _bad(path, f"Invalid '{path}': it holds a control character.")
    return value


def _sort(path: str, value: object) -> Sort:
    if not isinstance(value, str):
        raise _wrong_type(path, "a string")
    found = _SORTS.get(value)
    if found is None:
        supported = ", ".join(f"'{name}'" for name in _SORTS)
        raise _bad(path, f"Invalid value for '{path}'. Supported values are: {supported}.")
    return found


def _seconds(path: str, milliseconds: float) -> float:
    if not 1 <= milliseconds <= _LONGEST_WAIT:
        raise _bad(path, f"Invalid '{path}': expected 1 to {_LONGEST_WAIT} milliseconds.")
    return milliseconds / 1000
