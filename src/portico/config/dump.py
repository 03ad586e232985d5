"""The effective configuration as plain data, for people: no secret is in it."""

import json
from collections.abc import Iterable

from msgspec import Struct

from portico.config import database
from portico.config.parse import Tree
from portico.config.secret import Secret
from portico.config.settings import (
    CallerKey,
    Condition,
    DatabaseSettings,
    HeaderRules,
    Settings,
    Shaping,
    ValueTest,
)

_SPARSE = (Condition, Shaping, ValueTest)


def effective(settings: Settings) -> dict[str, Tree]:
    """`settings` with camelCase keys, defaults filled in and secrets masked.

    A caller key is shown by the first 8 hex digits of its digest, a URL of a database without its
    password and parameters. The values of headers for providers, which may be tokens, are not
    shown. What is None is left out, except `admin`, which is then `off`; of conditions and changes
    to requests, also what is empty.
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
        elif isinstance(value, Shaping) and name in ("defaults", "overrides"):
            if item:
                out[name] = {key: json.loads(text) for key, text in getattr(value, name).items()}
        elif isinstance(item, HeaderRules):
            out[camel(name)] = _headers(item, masked=name == "request_headers")
        elif isinstance(value, _SPARSE) and item in ((), {}):
            continue
        elif item is not None:
            out[camel(name)] = _plain(item)
    return out


def _headers(rules: HeaderRules, *, masked: bool) -> dict[str, Tree]:
    out: dict[str, Tree] = {}
    for key in ("set", "add"):
        fields: tuple[tuple[str, str], ...] = getattr(rules, key)
        if fields:
            out[key] = [{name: "***" if masked else value} for name, value in fields]
    if rules.remove:
        out["remove"] = list(rules.remove)
    return out


def _statuses(statuses: Iterable[int]) -> Tree:
    """Statuses, with runs of them as `500-599`."""
    runs: list[tuple[int, int]] = []
    for status in sorted(statuses):
        if runs and status == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], status
        else:
            runs.append((status, status))
    return [low if low == high else f"{low}-{high}" for low, high in runs]


def _plain(value: object) -> Tree:
    if isinstance(value, Struct):
        return _block(value)
    if isinstance(value, Secret):
        return value.masked()
    if isinstance(value, frozenset):
        return _statuses(value)
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
