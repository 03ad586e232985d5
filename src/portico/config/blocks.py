"""What the Structs of the document's schema are made of: the mapping, and the kinds of leaves.

`walk` reads a leaf by its type and by the `form` that its `Meta` names; `jsonschema` writes the
same down for editors.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct


def about(text: str) -> Meta:
    """What an editor shows of a key."""
    return Meta(description=text)


class Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A mapping of the document."""


Text: TypeAlias = Annotated[str, Meta(min_length=1)]

Prose: TypeAlias = Annotated[str, Meta(min_length=1, extra={"form": "prose"})]
"""Text that may have several lines."""

Code: TypeAlias = Annotated[str, Meta(min_length=1, extra={"form": "code"})]
"""An expression: as it stands, since `$` has a meaning of its own there."""

Json: TypeAlias = Annotated[str, Meta(extra={"form": "json"})]
"""Any JSON value, as it stands. Read, it is JSON text."""

Scalar: TypeAlias = Annotated[str, Meta(extra={"form": "scalar"})]
"""A string, a number, true or false. Read, it is JSON text."""

Status: TypeAlias = Annotated[str, Meta(extra={"form": "status"})]
"""An HTTP status of an error, or `4xx` or `5xx` for all of them. Read, it is text."""

Seconds: TypeAlias = Annotated[float, Meta(ge=0.001)]
Number: TypeAlias = Annotated[float, Meta(ge=-(2.0**50), le=2.0**50, extra={"form": "number"})]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1, extra={"form": "number"})]
Amount: TypeAlias = Annotated[float, Meta(ge=0, le=1e6, extra={"form": "number"})]
