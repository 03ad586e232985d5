"""Errors about a Messages request, in the words of Anthropic's own: the path, then what is wrong.

`messages[0].content[1].source: Field required`
"""

from collections.abc import Callable, Collection
from typing import TypeVar

from portico.dialects import checks
from portico.errors import BadRequest

Value = TypeVar("Value")


def missing(path: str) -> BadRequest:
    """The field has to be there."""
    return BadRequest(f"{path}: Field required", code="missing_required_parameter", param=path)


def invalid(path: str, what: str) -> BadRequest:
    """The field has a value that is not allowed; `what` says what is."""
    return BadRequest(f"{path}: {what}", code="invalid_value", param=path)


def one_of(path: str, value: str, allowed: Collection[str]) -> BadRequest:
    """The field is none of the values it may have."""
    listed = ", ".join(f"'{name}'" for name in allowed)
    return invalid(path, f"Input should be one of {listed}, but is '{value[:64]}'")


def between(path: str, value: float | None, least: float, most: float | None) -> None:
    """Raise unless the number is in its range."""
    if value is None:
        return
    if value < least:
        raise invalid(path, f"Input should be greater than or equal to {least}")
    if most is not None and value > most:
        raise invalid(path, f"Input should be less than or equal to {most}")


def decode(read: Callable[[bytes], Value], raw: bytes, path: str) -> Value:
    """Decode the value at `path`; the error names the field inside it."""
    try:
        return read(raw)
    except RecursionError:
        raise invalid(path, "nested too deeply") from None
    except ValueError as error:
        fault = checks.bad_field(error)
    inner = fault.param or ""
    where = f"{path}{inner}" if inner.startswith("[") else f"{path}.{inner}" if inner else path
    if fault.code == "missing_required_parameter":
        raise missing(where)
    text = fault.message.partition("': ")[2] or fault.message
    raise BadRequest(f"{where}: {text}", code=fault.code, param=where)
