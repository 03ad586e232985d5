"""Opaque continuation state: what a provider wants back exactly as it gave it, and nobody else can
read. Replayed byte-equal to its origin, otherwise left out and declared.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct

PREFIX = "ptco1_"
"""Every wrapped value begins with it; what follows is URL-safe base64."""

SealedKind: TypeAlias = Literal[
    "encrypted",  # responses: `encrypted_content` of a reasoning or compaction item
    "signature",  # messages, converse: the signature of the thinking text beside it
    "redacted",  # messages, converse: a thinking block without any text
    "thought",  # gemini: `thoughtSignature` on a thought part
    "next",  # gemini: on the function call that follows
    "previous",  # gemini: on the text part before
    "empty",  # gemini: on an empty text part of its own
    "details",  # chat: one element of `reasoning_details`, JSON text
]


class Sealed(Struct, frozen=True, gc=False):
    """`origin` says who made it and may have it back: the `Target.origin` of the provider, or
    `native:<dialect>` when the client sent a value that this gateway has not wrapped. `data` is the
    provider's own string, never changed."""

    origin: str
    kind: SealedKind
    data: str


Seal: TypeAlias = Callable[[Sealed], str]
"""Wraps a value for the client to carry."""
Unseal: TypeAlias = Callable[[str], Sealed | None]
"""Reads a wrapped value; None if it is not one of ours, or not this tenant's."""


def native(dialect: str, kind: SealedKind, data: str) -> Sealed:
    """A value that the client brought and that this gateway has not wrapped."""
    return Sealed(f"native:{dialect}", kind, data)
