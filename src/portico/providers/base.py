"""What the gateway knows about a provider: where it is, what it speaks, how it is paid.

A provider is a row of data. `formats` maps a route type (`completions`, `responses`, `messages`) to
the path of that API relative to the base URL, in the official SDK's meaning of base URL.
"""

from typing import Literal

from msgspec import Struct

Auth = Literal["bearer", "x-api-key", "none"]


class Provider(Struct, frozen=True, kw_only=True):
    """One row. `semconv` is the `gen_ai.provider.name` value, empty to use the configured name;
    `docs` backs url and auth facts."""

    kind: str
    semconv: str
    base_url: str
    auth: Auth
    formats: dict[str, str]
    docs: str
    headers: tuple[tuple[str, str], ...] = ()
    """Sent unless the client sends its own."""
    models: str = "/models"
    """Path of the model list, relative to the base URL; empty when there is none."""


def credential_header(auth: Auth, key: str | None) -> bytes:
    """The header line that carries the operator's credential, or nothing."""
    if key is None or auth == "none":
        return b""
    if auth == "x-api-key":
        return f"x-api-key: {key}\r\n".encode("latin-1")
    return f"authorization: Bearer {key}\r\n".encode("latin-1")
