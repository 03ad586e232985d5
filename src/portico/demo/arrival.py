"""A request on its way in, and what every dialect makes of it."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from portico.demo.faults import RefusedError
from portico.demo.script import Ask, Stamp, Turn

__all__ = ["JSON", "SSE", "Arrival", "Exchange"]

JSON = b"content-type: application/json\r\n"
SSE = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
_SECRET = frozenset({b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key", b"cookie"})


def _nothing(name: str) -> None:
    return None


class Arrival(Struct, frozen=True, kw_only=True):
    """One request. `model` and `stream` are what the path says, None when it leaves it open.

    `vendor` is whose manners apply: openai, azure, anthropic, gemini, vertex or bedrock. `item`
    and `chain` look up what stored responses left behind: an item by its id, the ids of the calls
    of a response by that response's id.
    """

    body: bytes = b""
    model: str | None = None
    stream: bool | None = None
    vendor: str = "openai"
    method: str = "POST"
    path: str = ""
    query: str = ""
    headers: dict[bytes, bytes] = {}
    item: Callable[[str], dict[str, Any] | None] = _nothing
    chain: Callable[[str], frozenset[str] | None] = _nothing

    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)

    def argument(self, name: str) -> str | None:
        """The first value of a query argument."""
        return parse_qs(self.query).get(name, [None])[0]

    def echo(self, what: str) -> str:
        """The body as it came, or with `head` all of the request, credentials masked."""
        body = self.body.decode("utf-8", "replace")
        if what == "body":
            return body
        headers = {
            name.decode("latin-1"): "***" if name in _SECRET else value.decode("latin-1")
            for name, value in sorted(self.headers.items())
        }
        whole = {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": headers,
            "body": msgspec.Raw(self.body or b"null"),
        }
        return msgspec.json.encode(whole).decode("utf-8", "replace")


class Exchange(Protocol):
    """What the dialects' decoded requests have in common."""

    @property
    def ask(self) -> Ask: ...
    @property
    def prompt(self) -> list[bytes]: ...
    @property
    def cache_key(self) -> str | None: ...
    @property
    def marks_cache(self) -> bool: ...
    @property
    def stream(self) -> bool: ...
    @property
    def stream_headers(self) -> bytes: ...
    @property
    def stored(self) -> bool: ...
    @property
    def previous(self) -> str | None: ...
    def answer(self, turn: Turn, stamp: Stamp) -> bytes: ...
    def events(self, turn: Turn, stamp: Stamp) -> Iterator[bytes]: ...
    def failure(
        self, turn: Turn, stamp: Stamp, error: RefusedError, after: int
    ) -> Iterator[bytes]: ...
