"""The one record of a logical request: filled on the way, read once at the end.

Log line, metrics and (later) ledger and trace all come from this object, so they cannot disagree.
It is mutable and slotted because it lives for one request and is written from the hot path.
Times are `time.monotonic()` seconds; 0.0 means "did not happen".
"""

from typing import Literal

from portico.model.usage import Usage

Verdict = Literal["ok", "client_error", "denied", "upstream_error", "internal_error",
                  "client_cancelled", "truncated"]  # fmt: skip
"""How it ended. `truncated`: the upstream stream was cut; `client_cancelled`: the caller left."""


class Outcome:
    """One logical request, from its head to its last byte.

    `endpoint` is the route table's label (never a raw path); `dialect` the client's dialect or ``;
    `lane` is `splice`, `translate`, `opaque` or ``. `alias` is the configured model name that
    matched (bounded); `request_model` is what the caller wrote (not bounded, never a label alone).
    `upstream_model` is the id sent to the provider, `response_model` the id it answered with.
    `upstream_started` is when the first attempt began, `upstream_first_byte` and
    `upstream_finished` the first and last byte of the answer that was used.
    `caller` is the key's metadata. `status` is what the client got, 499 if it left before one.
    """

    __slots__ = (
        "alias",
        "attempts",
        "bytes_in",
        "bytes_out",
        "caller",
        "dialect",
        "endpoint",
        "error_code",
        "error_debug",
        "finished",
        "first_byte",
        "lane",
        "method",
        "operation",
        "peer",
        "provider",
        "request_id",
        "request_model",
        "response_model",
        "semconv_provider",
        "started",
        "status",
        "stream",
        "upstream_finished",
        "upstream_first_byte",
        "upstream_model",
        "upstream_request_id",
        "upstream_started",
        "usage",
        "verdict",
    )

    def __init__(self, request_id: str, method: str, peer: str, started: float) -> None:
        self.request_id = request_id
        self.method = method
        self.peer = peer
        self.started = started
        self.finished = 0.0
        self.first_byte = 0.0
        self.upstream_started = 0.0
        self.upstream_first_byte = 0.0
        self.upstream_finished = 0.0
        self.endpoint = ""
        self.operation = ""
        self.dialect = ""
        self.lane = ""
        self.provider = ""
        self.semconv_provider = ""
        self.alias = ""
        self.request_model = ""
        self.upstream_model = ""
        self.response_model = ""
        self.upstream_request_id = ""
        self.stream = False
        self.status = 0
        self.verdict: Verdict = "ok"
        self.error_code: str | None = None
        self.error_debug = ""
        self.caller: dict[str, str] | None = None
        self.usage: Usage | None = None
        self.attempts = 0
        self.bytes_in = 0
        self.bytes_out = 0
