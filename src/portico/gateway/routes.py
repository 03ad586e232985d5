"""The route table: which paths exist, what they are, and who may ask.

One row per endpoint. A listener's configuration maps path suffixes to these rows; a test walks the
table and fails when a row lacks a metric label, a dialect or an authentication column.
"""

import re
from typing import Literal

from msgspec import Struct

from portico.errors import ClientFault, MethodNotAllowed, NotFound
from portico.http.messages import Request


class Endpoint(Struct, frozen=True, kw_only=True):
    """One row. `label` names it in metrics and logs; `auth` is always `caller` on the data plane,
    and a new row has to say so. `methods` are all it takes, if that is more than `method`; `below`
    is what follows the configured path, with `{holes}` for ids; `websocket`: a GET may upgrade.
    """

    route_type: str
    label: str
    kind: Literal["generate", "count", "compact", "models", "stored", "conversations"]
    method: bytes
    dialect: str
    auth: Literal["caller"]
    methods: tuple[bytes, ...] = ()
    below: str = ""
    websocket: bool = False

    def takes(self, method: bytes) -> bool:
        """Whether this is a method of the endpoint."""
        return method == self.method or method in self.methods

    def ids(self, path: bytes) -> tuple[str, ...]:
        """The ids in a path that `PathTable` found to be of this endpoint."""
        pattern = self.below.split("/")
        given = path.decode("ascii").split("/")[-len(pattern) :]
        return tuple(
            text for hole, text in zip(pattern, given, strict=True) if hole.startswith("{")
        )


def _responses(
    below: str,
    kind: Literal["count", "compact", "stored"],
    method: bytes,
    methods: tuple[bytes, ...] = (),
    route_type: str = "responses",
) -> Endpoint:
    return Endpoint(
        route_type=route_type, label=f"/v1/responses{below}", kind=kind, method=method,
        dialect="responses", auth="caller", methods=methods, below=below,
    )  # fmt: skip


def _conversations(below: str, method: bytes, methods: tuple[bytes, ...] = ()) -> Endpoint:
    return Endpoint(
        route_type="responses", label=f"/v1/conversations{below}", kind="conversations",
        method=method, dialect="responses", auth="caller", methods=methods, below=below,
    )  # fmt: skip


RESPONSES = (
    _responses("/input_tokens", "count", b"POST", route_type="responsesInputTokens"),
    _responses("/compact", "compact", b"POST"),
    _responses("/{response_id}", "stored", b"GET", (b"GET", b"DELETE")),
    _responses("/{response_id}/cancel", "stored", b"POST"),
    _responses("/{response_id}/input_items", "stored", b"GET"),
)
"""What is below the path of the Responses API, wherever that is. The first that fits wins."""

CONVERSATIONS = (
    _conversations("", b"POST"),
    _conversations("/{conversation_id}", b"GET", (b"GET", b"POST", b"DELETE")),
    _conversations("/{conversation_id}/items", b"GET", (b"GET", b"POST")),
    _conversations("/{conversation_id}/items/{item_id}", b"GET", (b"GET", b"DELETE")),
)
"""What is beside it: where `/x/responses` is served, so is `/x/conversations`."""


_ROWS = (
    Endpoint(
        route_type="completions", label="/v1/chat/completions", kind="generate", method=b"POST",
        dialect="chat", auth="caller",
    ),
    Endpoint(
        route_type="responses", label="/v1/responses", kind="generate", method=b"POST",
        dialect="responses", auth="caller", websocket=True,
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
_ID = re.compile(rb"[A-Za-z0-9_~-][A-Za-z0-9_~=:.+-]{0,511}")
"""Some gateways put more than a name into the ids that they make."""
_DEEPEST = 3
"""Segments below a suffix that an endpoint may have."""


class PathTable:
    """Suffix -> endpoint; the longest suffix wins, at a segment boundary."""

    __slots__ = ("_known", "_parents", "_suffixes")

    CACHE = 256
    """How many distinct paths are remembered; the rest are matched each time."""

    def __init__(self, apis: dict[str, str]) -> None:
        self._known: dict[bytes, Endpoint] = {}
        suffixes = [(path.encode("ascii"), ENDPOINTS[kind]) for path, kind in apis.items()]
        self._suffixes = tuple(sorted(suffixes, key=lambda item: -len(item[0])))
        self._parents = _parents(self._suffixes)

    def find(self, path: bytes) -> Endpoint | None:
        """The endpoint of a path as it came, or None.

        Paths that two readers could understand differently (encoded, doubled or dotted segments)
        match nothing.
        """
        endpoint = self._known.get(path)
        if endpoint is not None:
            return endpoint
        if self._parents:
            endpoint = self._find_below(path)
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

    def _find_below(self, path: bytes) -> Endpoint | None:
        """An endpoint of the stored state. Ids are letters, digits, `_` and `-` only."""
        segments = path.split(b"/")
        for depth in range(min(_DEEPEST, len(segments) - 1) + 1):
            at = len(segments) - depth
            parent, tail = b"/".join(segments[:at]), segments[at:]
            for suffix, rows in self._parents:
                if parent.endswith(suffix):
                    for row in rows:
                        if _fits(row.below, tail):
                            return row
        return None


def _parents(
    suffixes: tuple[tuple[bytes, Endpoint], ...],
) -> tuple[tuple[bytes, tuple[Endpoint, ...]], ...]:
    """Which suffixes have endpoints below them, the longest first."""
    found: list[tuple[bytes, tuple[Endpoint, ...]]] = []
    for suffix, endpoint in suffixes:
        if endpoint.route_type != "responses":
            continue
        found.append((suffix, RESPONSES))
        if suffix.endswith(b"/responses"):
            found.append((suffix.removesuffix(b"responses") + b"conversations", CONVERSATIONS))
    return tuple(found)


def _fits(below: str, tail: list[bytes]) -> bool:
    pattern = below.encode().split(b"/")[1:]
    return len(pattern) == len(tail) and all(
        _ID.fullmatch(text) is not None if hole.startswith(b"{") else hole == text
        for hole, text in zip(pattern, tail, strict=True)
    )


def check_method(endpoint: Endpoint, request: Request) -> ClientFault | None:
    """405 for the wrong method. Where WebSocket is served, a GET that offers it is let through as
    an upgrade; elsewhere it is 426, so that clients which try it first fall back to HTTP."""
    if endpoint.takes(request.method):
        return None
    if request.headers.get(b"upgrade", b"").lower() == b"websocket":
        if endpoint.websocket and request.method == b"GET":
            request.upgrade = True
            return None
        fault = MethodNotAllowed("WebSocket is not served here, use HTTP.", code="upgrade_required")
        fault.http_status = 426
        return fault
    allowed = b", ".join(endpoint.methods or (endpoint.method,)).decode("ascii")
    fault = MethodNotAllowed(f"This path takes {allowed}, not {request.method.decode('ascii')}.")
    fault.allowed = allowed
    return fault


def unknown_path(request: Request) -> NotFound:
    """404 that names the path the caller can see in their own code."""
    path = request.target[:200].decode("ascii", "replace")
    return NotFound(f"Unknown path: {request.method.decode('ascii', 'replace')} {path}")
