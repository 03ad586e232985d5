"""The one record of a logical request: filled on the way, read once at the end.

Log line, metrics and (later) ledger and trace all come from this object, so they cannot disagree.
It is mutable because it lives for one request and is written from the hot path.
Times are `time.monotonic()` seconds; 0.0 means "did not happen".
"""

from typing import Literal

from msgspec import Struct

from portico.model.losses import Loss
from portico.model.usage import Usage

Verdict = Literal["ok", "client_error", "denied", "upstream_error", "internal_error",
                  "client_cancelled", "truncated"]  # fmt: skip
"""How it ended. `truncated`: the upstream stream was cut; `client_cancelled`: the caller left."""


class Attempt(Struct, eq=False, gc=False):
    """One try at a provider that was not the last of its request. `status` is 0 where there was no
    answer; `error` the code of the fault."""

    provider: str
    model: str
    started: float
    finished: float
    first_byte: float = 0.0
    status: int = 0
    error: str = ""
    upstream_request_id: str = ""


class Outcome(Struct, eq=False, gc=False):
    """One logical request, from its head to its last byte.

    `endpoint` is the route table's label (never a raw path); `dialect` the client's dialect or ``;
    `lane` is `splice`, `translate`, `opaque` or ``. `alias` is the configured model name that
    matched (bounded); `request_model` is what the caller wrote (not bounded, never a label alone).
    `upstream_model` is the id sent to the provider, `response_model` the id it answered with.
    `upstream_started` is when the last attempt began, `upstream_first_byte` and
    `upstream_finished` the first and last byte of its answer; `upstream_spoke` when a stream said
    something for the first time: what came before was held back.
    `losses` is what translation changed or left out. `caller` is the key's metadata.
    `status` is what the client got, 499 if it left before one. `attempts` counts the tries at
    providers, `failed` has all but the last; `tags` and `user` are the caller's own labels.
    """

    request_id: str
    method: str
    peer: str
    started: float
    finished: float = 0.0
    first_byte: float = 0.0
    upstream_started: float = 0.0
    upstream_first_byte: float = 0.0
    upstream_spoke: float = 0.0
    upstream_finished: float = 0.0
    endpoint: str = ""
    operation: str = ""
    dialect: str = ""
    lane: str = ""
    provider: str = ""
    semconv_provider: str = ""
    alias: str = ""
    request_model: str = ""
    upstream_model: str = ""
    response_model: str = ""
    upstream_request_id: str = ""
    stream: bool = False
    status: int = 0
    verdict: Verdict = "ok"
    error_code: str | None = None
    error_debug: str = ""
    caller: dict[str, str] | None = None
    usage: Usage | None = None
    attempts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    losses: list[Loss] | None = None
    failed: list[Attempt] | None = None
    tags: tuple[str, ...] = ()
    user: str = ""
