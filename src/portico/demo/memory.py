"""What the demo provider remembers between requests: all of it bounded, none of it on disk."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

__all__ = ["BLOCK_BYTES", "Lru", "Metered", "PromptCache", "Stored"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

BLOCK_BYTES = 4096
"""A prompt is remembered in blocks of this many bytes, 1,024 demo tokens."""


class Metered(Struct, frozen=True):
    """Input tokens of one request; `cached` and `written` are parts of `total`."""

    total: int
    cached: int = 0
    written: int = 0


class Lru(Generic[Key, Value]):
    """A mapping that forgets its least recently used entry beyond `size` entries."""

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value, which becomes the most recently used, or None."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: Key, value: Value) -> None:
        """Remember `value`, forgetting the oldest entry when full."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def pop(self, key: Key) -> Value | None:
        """Forget and return the value, or None."""
        return self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


class PromptCache:
    """Counts input tokens (bytes / 4, rounded up) and how many of them it has seen before.

    With a cache key: the smaller of this prompt and the last one under the key, in whole sixteens.
    Without: the leading blocks of 1,024 tokens that an earlier prompt of the model began with.
    """

    __slots__ = ("_blocks", "_keyed")

    def __init__(self, size: int = 4096) -> None:
        self._keyed: Lru[tuple[str, str], int] = Lru(size)
        self._blocks: Lru[int, bool] = Lru(size)

    def meter(self, model: str, prompt: Iterable[bytes], key: str | None, mark: bool) -> Metered:
        """Count `prompt` and remember it. `mark` asks for cache writes to be reported."""
        whole = b"".join(prompt)
        total = max(1, (len(whole) + 3) // 4)
        if key is not None:
            before = self._keyed.get((model, key)) or 0
            self._keyed.put((model, key), total)
            return Metered(total, min(before, total) // 16 * 16)
        if len(whole) < BLOCK_BYTES:
            return Metered(total)
        chain = hash(model)
        cached = blocks = 0
        for start in range(0, len(whole) - BLOCK_BYTES + 1, BLOCK_BYTES):
            chain = hash((chain, whole[start : start + BLOCK_BYTES]))
            if cached == blocks and self._blocks.get(chain):
                cached += 1
            else:
                self._blocks.put(chain, True)
            blocks += 1
        tokens = BLOCK_BYTES // 4
        return Metered(total, cached * tokens, (blocks - cached) * tokens if mark else 0)


class Stored:
    """Responses that were kept, their items by id, and the calls each left open."""

    __slots__ = ("_calls", "_items", "_responses")

    def __init__(self, size: int = 512) -> None:
        self._responses: Lru[str, bytes] = Lru(size)
        self._calls: Lru[str, frozenset[str]] = Lru(size)
        self._items: Lru[str, dict[str, Any]] = Lru(8 * size)

    def put(self, body: bytes) -> None:
        """Keep an encoded response."""
        response = msgspec.json.decode(body)
        calls = set()
        for item in response["output"]:
            self._items.put(item["id"], item)
            if "call_id" in item:
                calls.add(item["call_id"])
        self._responses.put(response["id"], body)
        self._calls.put(response["id"], frozenset(calls))

    def get(self, name: str) -> bytes | None:
        """The response, as it was sent."""
        return self._responses.get(name)

    def item(self, name: str) -> dict[str, Any] | None:
        """An item of any kept response."""
        return self._items.get(name)

    def chain(self, name: str) -> frozenset[str] | None:
        """The ids of the calls a response left open; None when it is not there."""
        return self._calls.get(name) if self._responses.get(name) is not None else None

    def pop(self, name: str) -> bytes | None:
        """Forget a response and its items."""
        body = self._responses.pop(name)
        if body is not None:
            for item in msgspec.json.decode(body)["output"]:
                self._items.pop(item["id"])
        return body
