"""The effective configuration as plain data, for people: no secret is in it."""

from msgspec import Struct

from portico.config import database
from portico.config.parse import Tree
from portico.config.secret import Secret
from portico.config.settings import CallerKey, DatabaseSettings, Settings


def effective(settings: Settings) -> dict[str, Tree]:
    """`settings` with camelCase keys, defaults filled in and secrets masked.

    A caller key is shown by the first 8 hex digits of its digest, a URL of a database without its
    password and parameters. What is None is left out, except
    `admin`, which is then `off`.
    """
    out = _block(settings)
    if settings.admin is None:
        out["admin"] = "off"
    return out


def _block(value: Struct) -> dict[str, Tree]:
    out: dict[str, Tree] = {}
    for name in value.__struct_fields__:
        item: object = getattr(value, name)
        if isinstance(value, CallerKey) and name == "digest":
            out["keyHash"] = f"sha256:{value.digest[:8]}…"
        elif isinstance(value, DatabaseSettings) and isinstance(item, Secret):
            out[camel(name)] = database.shown(item)
        elif item is not None:
            out[camel(name)] = _plain(item)
    return out


def _plain(value: object) -> Tree:
    if isinstance(value, Struct):
        return _block(value)
    if isinstance(value, Secret):
        return value.masked()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"settings hold a {type(value).__name__}")


def camel(name: str) -> str:
    """`base_url` -> `baseUrl`."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
