"""Opaque continuation state: what the demo provider signs, and knows again.

Real providers sign thoughts and calls, and refuse a signature that sits on anything but what it
was issued for. A demo seal names its kind (`thinking`, `call`, ...), a digest of the content it
covers, a digest of the turn it belongs to, its place in that turn and what came after it. It needs
no memory, and the same request twice gets the same seals.
"""

import base64
import hashlib
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["Places", "Seal", "canonical", "digest", "seal", "unseal"]

_MARK = b"demo"
_SIZE = 18


class Seal(Struct, frozen=True, array_like=True):
    """What a seal says. `index` is the place in the turn, `after` what follows it there."""

    kind: str
    covers: str
    turn: str = ""
    index: int = 0
    after: str = ""

    def of(self, kind: str, content: str) -> bool:
        """True when it was issued for exactly that."""
        return self.kind == kind and self.covers == digest(content)


_decode = msgspec.json.Decoder(Seal).decode


def digest(content: str) -> str:
    """A short fingerprint of some text."""
    inner = content.encode("utf-8", "replace")
    return hashlib.blake2b(inner, digest_size=9, person=b"portico-demo").hexdigest()


def seal(kind: str, content: str, *, turn: str = "", index: int = 0, after: str = "") -> str:
    """Standard base64, with padding."""
    inner = msgspec.json.encode(Seal(kind, digest(content), turn, index, after))
    return base64.b64encode(_MARK + _mac(inner) + inner).decode()


def unseal(value: Any) -> Seal | None:
    """What `seal` gave, in either base64 alphabet; None for anything else."""
    if not isinstance(value, str) or not value.isascii():
        return None
    text = value.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        found = _decode(raw[len(_MARK) + _SIZE :])
    except (ValueError, RecursionError):
        return None
    # Decoding forgives spare bits in the last letter. A changed seal must not pass.
    if base64.b64encode(raw).decode().rstrip("=") != text:
        return None
    mac = raw[len(_MARK) : len(_MARK) + _SIZE]
    return found if raw.startswith(_MARK) and mac == _mac(msgspec.json.encode(found)) else None


def _mac(inner: bytes) -> bytes:
    return hashlib.blake2b(inner, digest_size=_SIZE, person=b"portico-seal").digest()


class Places:
    """Watches over one request that no seal is in two places, in another order or another turn."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def take(self, found: Seal, turn: int) -> bool:
        """Note a seal in the conversation's `turn`-th turn. False when it cannot be there."""
        where = self._seen.get(found.turn)
        if where is not None and (where[0] != turn or where[1] >= found.index):
            return False
        self._seen[found.turn] = (turn, found.index)
        return True


def canonical(value: Any) -> str:
    """JSON in one spelling: sorted members, `1.0` as `1`, as a protobuf struct compares."""
    return msgspec.json.encode(_plain(value), order="sorted").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    return value
