"""Makes a configuration fit to be shown."""

import re

import msgspec

from portico.config.secret import Secret

_SECRETIVE = re.compile(
    r"(api[-_]?key|^key|keys?$|secret|passw(or)?d|passphrase|token|authorization|credential|digest)s?$",
    re.IGNORECASE,
)
_MASK = "***"


def masked(config: object) -> object:
    """JSON types only. A `Secret` shows its own mask; a string below a name that smells of a
    credential is hidden whatever its type, in case somebody forgot to wrap it."""
    return _walk(msgspec.to_builtins(config, enc_hook=_plain, str_keys=True), hide=False)


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return value.masked()
    return f"<{type(value).__name__}>"


def _walk(value: object, *, hide: bool) -> object:
    if isinstance(value, dict):
        return {k: _walk(v, hide=bool(_SECRETIVE.search(str(k)))) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_walk(item, hide=hide) for item in value]
    if hide and isinstance(value, str) and value and not value.startswith(_MASK):
        return _MASK
    return value
