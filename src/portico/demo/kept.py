"""Responses that the demo provider keeps: read, listed, streamed once more, cancelled, deleted.

A background run is complete `first_delay` seconds after it was asked for, and in progress until
then; its events are all known from the start, so that a stream that was cut can be taken up again.
Source: https://platform.openai.com/docs/guides/background, OpenAI OpenAPI `getResponse`,
`cancelResponse`, `listInputItems` (2026-11-21).
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from portico.demo.arrival import JSON, SSE
from portico.demo.faults import RefusedError, encode
from portico.demo.memory import Lru, Stored
from portico.demo.openai_rules import invalid
from portico.demo.responses import Responses

__all__ = ["Kept", "Run"]

_MAX_LIMIT = 100
_ACTIONS = ((b"GET", ""), (b"DELETE", ""), (b"POST", "cancel"), (b"GET", "input_items"))


class Run(Struct, frozen=True):
    """A background run: complete at `ready` (seconds of the clock), `started` until then. `frames`
    are its events; none where it was not asked for as a stream."""

    ready: float
    started: bytes
    frames: tuple[bytes, ...] = ()


class Kept:
    """All of one provider. `clock` gives Unix seconds."""

    __slots__ = ("_clock", "_given", "_runs", "_stored")

    def __init__(self, clock: Callable[[], float], size: int = 512) -> None:
        self._clock = clock
        self._stored = Stored(size)
        self._runs: Lru[str, Run] = Lru(size)
        self._given: Lru[str, list[dict[str, Any]]] = Lru(size)

    def put(self, asked: Responses, body: bytes, run: Run | None = None) -> None:
        """Keep the finished response `body`, as that of `run` where it is one."""
        name: str = msgspec.json.decode(body)["id"]
        self._stored.put(body)
        self._given.put(name, asked.given)
        if run is not None:
            self._runs.put(name, run)

    def item(self, name: str) -> dict[str, Any] | None:
        """An item of any kept response."""
        return self._stored.item(name)

    def chain(self, name: str) -> frozenset[str] | None:
        """The ids of the calls a response left open; None when it is not there."""
        return self._stored.chain(name)

    def answer(self, method: bytes, path: str, query: str) -> tuple[bytes, bytes] | None:
        """Content type and body for what is below `responses/`; None where there is nothing of the
        kind. Raises `RefusedError`."""
        name, _, room = path.partition("/")
        action = (method, room)
        if action not in (
            (b"GET", ""),
            (b"DELETE", ""),
            (b"POST", "cancel"),
            (b"GET", "input_items"),
        ):
            return None
        if self._stored.get(name) is None:
            raise RefusedError(404, f"Response with id '{name}' not found.", param="id")
        asked = {key: values[-1] for key, values in parse_qs(query).items()}
        if action == (b"GET", "") and asked.get("stream") == "true":
            return SSE, self._replayed(name, int(asked.get("starting_after", -1)))
        if method == b"DELETE":
            self._stored.pop(name)
            self._runs.pop(name)
            return JSON, encode({"id": name, "object": "response.deleted", "deleted": True})
        if room == "cancel":
            self._cancel(name)
        elif room == "input_items":
            return JSON, encode(self._listed(name, asked))
        return JSON, self._now(name)

    def _now(self, name: str) -> bytes:
        run = self._runs.get(name)
        if run is not None and self._clock() < run.ready:
            return run.started
        return self._stored.get(name) or b""

    def _cancel(self, name: str) -> None:
        run = self._runs.get(name)
        if run is None:
            raise invalid("response_id", "Cannot cancel a synchronous response.", "invalid_value")
        if self._clock() < run.ready:
            body = {**msgspec.json.decode(run.started), "status": "cancelled"}
            self._stored.put(encode(body))
            self._runs.put(name, Run(0.0, b""))

    def _replayed(self, name: str, after: int) -> bytes:
        """The events behind number `after`. The run is over by then, for whoever waits."""
        run = self._runs.get(name)
        if run is None or not run.frames:
            message = "This response cannot be streamed: it was not created with 'stream'."
            raise invalid("stream", message, "invalid_value")
        return b"".join(run.frames[after + 1 :])

    def _listed(self, name: str, asked: dict[str, str]) -> dict[str, Any]:
        given = self._given.get(name) or []
        items = [
            {"id": f"msg_{name.removeprefix('resp_')}_i{index}", "type": "message", **item}
            for index, item in enumerate(given)
        ]
        if asked.get("order") != "asc":
            items.reverse()
        ids = [item["id"] for item in items]
        start = ids.index(asked["after"]) + 1 if asked.get("after") in ids else 0
        limit = min(int(asked.get("limit", 20)), _MAX_LIMIT)
        page = items[start : start + limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + limit < len(items),
        }
