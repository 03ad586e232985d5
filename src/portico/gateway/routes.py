"""The route table: which paths exist, what they are, and who may ask.

One row per endpoint. A listener's configuration maps path suffixes to these rows; a test walks the
table and fails when a row lacks a metric label, a dialect or an authentication column.
"""

from typing import Literal

from msgspec import Struct

from portico.errors import ClientFault, MethodNotAllowed, NotFound
from portico.http.messages import Request


class Endpoint(Struct, frozen=True, kw_only=True):
    """One row. `label` names it in metrics and logs; `auth` is always `caller` on the data plane,
    and a new row has to say so."""

    route_type: str
    label: str
    kind: Literal["generate", "count", "models"]
    method: bytes
    dialect: str
    auth: Literal["caller"]


_ROWS = (
    Endpoint(
        route_type="completions", label="/v1/chat/completions", kind="generate", method=b"POST",
        dialect="chat", auth="caller",
    ),
    Endpoint(
        route_type="responses", label="/v1/responses", kind="generate", method=b"POST",
        dialect="responses", auth="caller",
    ),
    Endpoint(
        route_type="messages", label="/v1/messages", kind="generate", method=b"POST",
        dialect="messages", auth="caller",
    ),
    Endpoint(
        route_type="anthropicTokenCount", label="/v1/messages/count_tokens", kind="count",
        method=b"POST", dialect="messages", auth="caller",
    ),
    Endpoint(
        route_type="models", label="/v1/models", kind="models", method=b"GET",
        dialect="chat", auth="caller",
    ),
)  # fmt: skip

ENDPOINTS: dict[str, Endpoint] = {row.route_type: row for row in _ROWS}

_AMBIGUOUS = (b"//", b"..", b"%", b";", b"\\")


class PathTable:
    """Suffix -> endpoint; the longest suffix wins, at a segment boundary."""

    __slots__ = ("_known", "_suffixes")

    CACHE = 256
    """How many distinct paths are remembered; the rest are matched each time."""

    def __init__(self, apis: dict[str, str]) -> None:
        self._known: dict[bytes, Endpoint] = {}
        suffixes = [(path.encode("ascii"), ENDPOINTS[kind]) for path, kind in apis.items()]
        self._suffixes = tuple(sorted(suffixes, key=lambda item: -len(item[0])))

    def find(self, path: bytes) -> Endpoint | None:
        """The endpoint of a path as it came, or None.

        Paths that two readers could understand differently (encoded, doubled or dotted segments)
        match nothing.
        """
        endpoint = self._known.get(path)
        if endpoint is not None:
            return endpoint
        for suffix, candidate in self._suffixes:
            below = candidate.kind == "models" and suffix + b"/" in path
            if path.endswith(suffix) or below:
                if not below and any(mark in path for mark in _AMBIGUOUS):
                    return None
                if not below and len(self._known) < self.CACHE:
                    self._known[path] = candidate
                return candidate
        return None


def check_method(endpoint: Endpoint, request: Request) -> ClientFault | None:
    """405 for the wrong method; 426 for a WebSocket, so that clients which try it first fall back
    to HTTP (Codex does)."""
    if request.method == endpoint.method:
        return None
    if request.headers.get(b"upgrade", b"").lower() == b"websocket":
        fault = MethodNotAllowed("WebSocket is not served here, use HTTP.", code="upgrade_required")
        fault.http_status = 426
        return fault
    allowed = endpoint.method.decode("ascii")
    fault = MethodNotAllowed(f"This path takes {allowed}, not {request.method.decode('ascii')}.")
    fault.allowed = allowed
    return fault


def unknown_path(request: Request) -> NotFound:
    """404 that names the path the caller can see in their own code."""
    path = request.target[:200].decode("ascii", "replace")
    return NotFound(f"Unknown path: {request.method.decode('ascii', 'replace')} {path}")
