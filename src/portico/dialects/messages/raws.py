"""Raw members that may be absent. msgspec reads `Raw | None` as nothing but null, so a member that
may be missing defaults to `NULL`, and null means the same as missing."""

from msgspec import Raw

NULL = Raw(b"null")


def present(raw: Raw) -> Raw | None:
    """The value; None if it is missing or null."""
    return None if raw == NULL else raw
