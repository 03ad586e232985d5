"""What the gateway knows about a provider: where it is, what it speaks, how it is paid.

A provider is a row of data. `formats` maps a route type (`completions`, `responses`, `messages`,
`generateContent`, `converse`) to the API of that type, with paths relative to the base URL, in the
official SDK's meaning of base URL.
"""

import re
from typing import Literal

from msgspec import Struct

Auth = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "none"]

PREFERRED = ("responses", "messages", "gemini", "converse", "chat")
"""Upstream dialects, the richest first: which one is used when the client's own is not spoken."""

DIALECT_NAMES = {
    "completions": "chat",
    "responses": "responses",
    "messages": "messages",
    "generateContent": "gemini",
    "converse": "converse",
}
"""Route type (a word of the configuration) to dialect name."""


class Api(Struct, frozen=True, kw_only=True):
    """One API of a provider.

    Paths may hold `{model}` (percent-encoded when it is filled in), `{project}`, `{region}` and
    `{version}`. `stream` is the path of streamed answers and `count` that of token counting; empty
    for the same path, and for none. `auth` is where this API looks for a key, if not where the
    others of the provider do. `extras` are members to add to a body, as JSON text; `drops_model`
    says that the body has no `model`. `from_root`: the paths start at the host, not at the base
    URL, and exist at the public host only. `keeps`: the provider keeps responses, so that
    `previous_response_id` works there.
    """

    path: str
    stream: str = ""
    count: str = ""
    auth: Auth | None = None
    extras: dict[str, bytes] = {}
    drops_model: bool = False
    from_root: bool = False
    keeps: bool = False


class Family(Struct, frozen=True, kw_only=True):
    """Models that a provider serves in other ways than the rest. `models` is a pattern for the
    whole upstream id; its group `id` is what the path gets."""

    models: re.Pattern[str]
    formats: dict[str, Api]


class Provider(Struct, frozen=True, kw_only=True):
    """One row. `semconv` is the `gen_ai.provider.name` value, empty to use the configured name;
    `docs` backs url and auth facts.

    `base_url` may hold `{region}`, and `hosts` has the regions that are elsewhere. `families` are
    looked at in order, `formats` are for models in none. `preferred` are dialect names. `quirks`
    are names of rows in the tables of the upstream dialects. `signer` makes credentials where no
    key is configured. `jwt_bearer`: a key that is a JWT is a token and travels as one. `id_prefix`
    is taken off a model id before it gets into a path.
    """

    kind: str
    semconv: str
    base_url: str
    auth: Auth
    formats: dict[str, Api]
    docs: str
    headers: tuple[tuple[str, str], ...] = ()
    """Sent unless the client sends its own."""
    models: str = "/models"
    """Path of the model list, relative to the base URL; empty when there is none."""
    models_auth: Auth | None = None
    families: tuple[Family, ...] = ()
    hosts: dict[str, str] = {}
    preferred: tuple[str, ...] = PREFERRED
    quirks: frozenset[str] = frozenset()
    signer: Literal["", "aws", "google"] = ""
    jwt_bearer: bool = False
    id_prefix: str = ""


_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
_HEADERS = {
    "bearer": "authorization: Bearer {}\r\n",
    "x-api-key": "x-api-key: {}\r\n",
    "api-key": "api-key: {}\r\n",
    "x-goog-api-key": "x-goog-api-key: {}\r\n",
}


def credential_header(auth: Auth, key: str | None, *, jwt_bearer: bool = False) -> bytes:
    """The header line that carries the operator's credential, or nothing."""
    if key is None or auth == "none":
        return b""
    if jwt_bearer and _JWT.fullmatch(key):
        auth = "bearer"
    return _HEADERS[auth].format(key).encode("latin-1")
