"""Who is calling: API keys.

A presented key is hashed and then MACed with a secret of this process before it is looked up, so
the table holds nothing a timing measurement could walk towards, and a malformed or enormous token
costs the same as a wrong one (reliability.md E8, CVE-2026-42208).
"""

import hashlib
import os
import re
from hmac import compare_digest
from typing import Any

from portico.config.settings import ApiKeySettings
from portico.errors import RateLimited, Unauthenticated
from portico.model.names import covers

MAX_KEY_BYTES = 4096


_HERE = re.compile(
    rb"https?://(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.IGNORECASE
)


def from_here(origin: bytes) -> bool:
    """Whether an `Origin` header names a page of this machine.

    A browser sends simple cross-site POSTs without asking first; on a keyless gateway any page the
    user visits could spend the operator's money.
    """
    return _HERE.fullmatch(origin) is not None


class Caller:
    """One key's owner. `in_flight` counts the requests being served now, in this worker.

    `tenant` tells whose data is whose: the key's `tenant` metadata, so that several keys can share
    it and one can replace another, else the key itself.
    """

    __slots__ = ("allowed_models", "in_flight", "metadata", "tenant")

    def __init__(
        self,
        metadata: dict[str, str] | None,
        allowed_models: tuple[str, ...] | None,
        tenant: bytes = b"",
    ) -> None:
        self.metadata = metadata
        self.tenant = tenant
        self.allowed_models = allowed_models
        self.in_flight = 0

    def may_use(self, model: str) -> bool:
        """Whether the key's `allowedModels` cover `model` (no list means all)."""
        allowed = self.allowed_models
        return allowed is None or any(covers(pattern, model) for pattern in allowed)

    def enter(self, limit: int) -> None:
        """Count a request in. Raises `RateLimited` over `limits.in_flight_per_key`."""
        if self.in_flight >= limit:
            raise RateLimited(
                f"This key has {limit} requests in flight, which is its limit.",
                code="too_many_requests_in_flight",
                limit="inFlightPerKey",
            )
        self.in_flight += 1

    def leave(self) -> None:
        """Count it out."""
        self.in_flight -= 1


class KeyTable:
    """The keys of one route. Lookup is by a fixed-length MAC only."""

    __slots__ = ("_callers", "_mode", "_pepper")

    def __init__(self, settings: ApiKeySettings) -> None:
        self._pepper = os.urandom(32)
        self._mode = settings.mode
        self._callers: dict[bytes, Caller] = {}
        for key in settings.keys:
            digest = bytes.fromhex(key.digest)
            named = key.metadata.get("tenant")
            tenant = b"tenant:" + named.encode() if named else b"key:" + digest
            self._callers[self._mac(digest)] = Caller(
                key.metadata or None, key.allowed_models, tenant
            )

    def identify(self, headers: dict[bytes, bytes], memory: dict[Any, Any]) -> Caller | None:
        """The caller, or None for a keyless call where the mode allows one.

        Reads `authorization: Bearer` first, then `x-api-key`. Raises `Unauthenticated`. A key
        that this table accepted on this connection (`memory`) before is compared in constant time
        instead of being hashed again.
        """
        value = headers.get(b"authorization")
        if value is not None and value[:7].lower() == b"bearer ":
            token = value[7:].strip()
        else:
            token = headers.get(b"x-api-key", b"")
        known: tuple[bytes, Caller] | None = memory.get(self)
        if known is not None and compare_digest(token, known[0]):
            return known[1]
        if token and len(token) <= MAX_KEY_BYTES:
            caller = self._callers.get(self._mac(hashlib.sha256(token).digest()))
            if caller is not None:
                memory.clear()
                memory[self] = (token, caller)
                return caller
        if self._mode == "permissive" or (self._mode == "optional" and not token):
            return None
        raise Unauthenticated(
            "Incorrect API key provided."
            if token
            else "No API key provided. Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
        )

    def _mac(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, key=self._pepper, digest_size=32).digest()
