"""`apiKey` policies and model names: what both forms say the same way."""

import hashlib
import re
from collections.abc import Callable

from portico.config import values
from portico.config.errors import Path, Report
from portico.config.schema import ApiKeyPolicy, CallerKeyEntry
from portico.config.settings import ApiKeySettings, CallerKey

_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)


def api_key(policy: ApiKeyPolicy | None, path: Path, report: Report) -> ApiKeySettings | None:
    """The policy with every key as its SHA-256."""
    if policy is None:
        return None
    if policy.mode == "strict" and not policy.keys:
        report.add((*path, "keys"), "strict mode without keys would refuse every call")
    seen: set[str] = set()
    keys: list[CallerKey] = []
    for i, entry in enumerate(policy.keys):
        where = (*path, "keys", i)
        digest = _digest(entry, where, report)
        if digest is None:
            continue
        if digest in seen:
            report.add(where, "another entry has this key")
        seen.add(digest)
        keys.append(
            CallerKey(
                digest=digest,
                metadata=entry.metadata,
                allowed_models=_allowed(entry, (*where, "allowedModels"), report),
            )
        )
    return ApiKeySettings(mode=policy.mode, keys=tuple(keys))


def _digest(entry: CallerKeyEntry, path: Path, report: Report) -> str | None:
    if (entry.key is None) == (entry.key_hash is None):
        report.add(path, "exactly one of key and keyHash is needed")
        return None
    if entry.key is not None:
        return hashlib.sha256(entry.key.reveal().encode()).hexdigest()
    match = _DIGEST.fullmatch(entry.key_hash or "")
    if match is None:
        report.add((*path, "keyHash"), 'expected "sha256:" and 64 hex digits')
        return None
    return match[1].lower()


def _allowed(entry: CallerKeyEntry, path: Path, report: Report) -> tuple[str, ...] | None:
    if entry.allowed_models is None:
        return None
    if not entry.allowed_models:
        report.add(path, "lists no model; remove the key to allow all of them")
    for i, name in enumerate(entry.allowed_models):
        checked(values.model_pattern, name, (*path, i), report)
    return entry.allowed_models


def checked(rule: Callable[[str], str], text: str, path: Path, report: Report) -> str:
    """`rule(text)`; its complaint, if any, goes to `report` and `text` is returned."""
    try:
        return rule(text)
    except ValueError as error:
        report.add(path, str(error))
        return text
