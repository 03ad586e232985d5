"""Request checks that all dialects share, with messages that name the field.

The wording follows OpenAI's errors, which clients know how to read: "Invalid type for 'stream':
expected a boolean, but got a string instead." with `code` and `param`.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sized
from typing import TypeVar

from msgspec import Raw

from portico.errors import BadRequest
from portico.limits import Limits
from portico.wire.json import shallow

MODEL_CHARACTERS = 256

Head = TypeVar("Head")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_TYPE = re.compile(
    r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)` - at `\$\.?(?P<path>[^`]*)`"
)
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")
_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def members(body: bytes, limits: Limits) -> dict[str, Raw]:
    """The raw members of a body that keeps the limits on JSON. Raises `BadRequest`."""
    return shallow(
        body,
        max_depth=limits.json_depth,
        max_key=limits.json_key_bytes,
        max_members=limits.json_items,
        max_values=limits.json_values,
    )


def decode_head(decode: Callable[[bytes], Head], body: bytes) -> Head:
    """Decode the known parameters of a body that `members` has accepted."""
    try:
        return decode(body)
    except ValueError as error:
        raise bad_field(error) from None


def bad_field(error: ValueError) -> BadRequest:
    """Turn msgspec's verdict on a valid JSON object into the error for the caller."""
    text = str(error)
    missing = _MISSING.search(text)
    if missing is not None:
        path = missing["path"]
        return missing_parameter(f"{path}.{missing['name']}" if path else missing["name"])
    wrong = _TYPE.search(text)
    if wrong is not None:
        wanted = [_NAMES.get(kind, kind) for kind in wrong["wanted"].split(" | ")]
        wanted = [kind for kind in wanted if kind != "null"] or wanted
        expected = wanted[0] if len(wanted) == 1 else "one of " + " or ".join(wanted)
        got = "a number" if wrong["got"] == "float" else _NAMES.get(wrong["got"], wrong["got"])
        path = wrong["path"]
        return BadRequest(
            f"Invalid type for '{path}': expected {expected}, but got {got} instead.",
            code="invalid_type",
            param=path,
        )
    where = _PATH.search(text)
    if where is not None:
        path = where["path"]
        return BadRequest(
            f"Invalid value for '{path}': out of range.", code="invalid_value", param=path
        )
    return BadRequest("The request body could not be read.", code="invalid_json", debug=text)


def missing_parameter(name: str) -> BadRequest:
    """The error for a parameter that has to be there."""
    return BadRequest(
        f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
    )


def check_spelling(fields: dict[str, Raw], known: frozenset[str]) -> None:
    """Raise `BadRequest` for a name that differs from a parameter's only in case.

    Some JSON decoders match names without regard to case (Go's encoding/json does): `Model` would
    be a second model, which nobody authorised.
    """
    for name in fields:
        if name not in known and name.casefold() in known:
            raise BadRequest(
                f"Unknown parameter: '{name}'. Did you mean '{name.casefold()}'?",
                code="unknown_parameter",
                param=name,
            )


def check_model(model: str) -> None:
    """Raise `BadRequest` unless `model` is 1 to 256 characters, none of them a control."""
    if not model:
        raise BadRequest(
            "Invalid 'model': expected a name, but got an empty string.",
            code="invalid_value",
            param="model",
        )
    if len(model) > MODEL_CHARACTERS:
        raise BadRequest(
            f"Invalid 'model': longer than {MODEL_CHARACTERS} characters.",
            code="invalid_value",
            param="model",
        )
    if not model.isprintable() and _CONTROL(model):
        raise BadRequest(
            "Invalid 'model': it holds a control character.", code="invalid_value", param="model"
        )


def check_items(name: str, items: Sized | None, limit: int, *, required: bool = False) -> None:
    """Raise `BadRequest` if an array is over `limits.jsonItems`, or empty where it may not be."""
    if items is None:
        return
    count = len(items)
    if count > limit:
        raise BadRequest(
            f"Invalid '{name}': array too long. Expected an array with maximum length {limit}, "
            f"but got an array with length {count} instead.",
            code="array_above_max_length",
            param=name,
            limit="jsonItems",
        )
    if required and not count:
        raise BadRequest(
            f"Invalid '{name}': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            code="empty_array",
            param=name,
        )


def check_range(name: str, value: float | None, least: float, most: float | None) -> None:
    """Raise `BadRequest` naming the parameter unless `least <= value <= most` (None: no bound)."""
    if value is None:
        return
    if value < least:
        raise BadRequest(
            f"Invalid '{name}': expected a value >= {least}, but got {_plain(value)} instead.",
            code="integer_below_min_value" if isinstance(value, int) else "decimal_below_min_value",
            param=name,
        )
    if most is not None and value > most:
        raise BadRequest(
            f"Invalid '{name}': expected a value <= {most}, but got {_plain(value)} instead.",
            code="integer_above_max_value" if isinstance(value, int) else "decimal_above_max_value",
            param=name,
        )


def check_choice(name: str, value: str | None, allowed: Collection[str]) -> None:
    """Raise `BadRequest` naming the parameter unless `value` is one of `allowed`."""
    if value is not None and value not in allowed:
        supported = ", ".join(f"'{choice}'" for choice in allowed)
        raise BadRequest(
            f"Invalid value for '{name}'. Supported values are: {supported}.",
            code="invalid_value",
            param=name,
        )


def check_length(name: str, value: str | None, most: int) -> None:
    """Raise `BadRequest` naming the parameter if `value` has more than `most` characters."""
    if value is not None and len(value) > most:
        raise BadRequest(
            f"Invalid '{name}': string too long. Expected a string with maximum length {most}, "
            f"but got a string with length {len(value)} instead.",
            code="string_above_max_length",
            param=name,
        )


def check_metadata(name: str, value: Mapping[str, str] | None, *, most: int = 16) -> None:
    """Raise `BadRequest` unless there are at most 16 pairs, keys of 64 and values of 512
    characters (https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21)."""
    if value is None:
        return
    if len(value) > most:
        raise BadRequest(
            f"Invalid '{name}': too many properties. Expected an object with at most {most} "
            f"properties, but got an object with {len(value)} properties instead.",
            code="object_above_max_properties",
            param=name,
        )
    for key, text in value.items():
        check_length(f"{name} key", key, 64)
        check_length(f"{name}.{key[:64]}", text, 512)


def unsupported(name: str, message: str, *, code: str = "unsupported_value") -> BadRequest:
    """The error for what is valid and cannot be served on this target."""
    return BadRequest(message, code=code, param=name)


def _plain(value: float) -> str:
    return repr(value)[:40]
