"""Wraps a provider's opaque state for the client to carry, so that nobody else can use it.

The envelope is AES-256-GCM under a key derived from the operator's (`config.sealingKey`); what it
is bound to, besides the key, is the tenant: another tenant's envelope does not open. The origin is
inside. A value that does not open is not an error here: whoever reads it says what was lost.
"""

import base64
import binascii
import hashlib
import hmac
import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from portico.model.sealed import PREFIX, Sealed, SealedKind

_PURPOSE = b"portico reasoning state, version 1"
_NONCE_BYTES = 12
LONGEST = 8 * 1024 * 1024
"""Characters of an envelope that is looked at."""


class _Inside(Struct, array_like=True, gc=False):
    origin: str
    kind: SealedKind
    data: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Inside).decode


class Sealer:
    """One key's envelopes. `secret` is any text; None makes a key that lives as long as the
    process, for which state does not survive a restart."""

    __slots__ = ("_cipher",)

    def __init__(self, secret: str | None) -> None:
        material = secret.encode() if secret is not None else os.urandom(32)
        self._cipher = AESGCM(hmac.digest(material, _PURPOSE, hashlib.sha256))

    def tenant(self, identity: bytes) -> "TenantSealer":
        """The envelopes of one tenant."""
        return TenantSealer(self._cipher, identity)


class TenantSealer:
    """Makes and opens one tenant's envelopes."""

    __slots__ = ("_cipher", "_tenant")

    def __init__(self, cipher: AESGCM, tenant: bytes) -> None:
        self._cipher = cipher
        self._tenant = tenant

    def seal(self, sealed: Sealed) -> str:
        """Wrap."""
        nonce = os.urandom(_NONCE_BYTES)
        inside = _encode(_Inside(sealed.origin, sealed.kind, sealed.data))
        box = nonce + self._cipher.encrypt(nonce, inside, self._tenant)
        return PREFIX + base64.urlsafe_b64encode(box).rstrip(b"=").decode("ascii")

    def unseal(self, text: str) -> Sealed | None:
        """Unwrap; None for what is not an envelope, and for one that is not this tenant's."""
        if not text.startswith(PREFIX) or len(text) > LONGEST:
            return None
        body = text[len(PREFIX) :]
        try:
            box = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            inside = _decode(self._cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:],
                                                  self._tenant))  # fmt: skip
        except (binascii.Error, ValueError, InvalidTag):
            return None
        return Sealed(inside.origin, inside.kind, inside.data)
