"""The port behind which databases are. `store.sqlite` and `store.postgres` implement it.

Every method is one transaction. Writes that come at the same time are committed together; a write
method returns when its commit is durable. Ids are always looked up together with the tenant: what
belongs to another one is as unknown as what never was. Times are Unix seconds, from the caller.

All methods raise `StoreUnavailable` when the database cannot be reached or cannot write, and
nothing else that a database may raise.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from portico.errors import Internal
from portico.state.records import Conversation, Entry, Link, Logged, Record, Run, Status

Order: TypeAlias = Literal["asc", "desc"]


class StoreUnavailable(Internal):
    """503: the database cannot be reached, or cannot write."""

    status = 503
    default_code = "state_unavailable"


class StateStore(Protocol):
    """See the module docstring."""

    async def start(self) -> None:
        """Connect, migrate under a lock. Raises `StoreUnavailable` with a reason in `debug`."""

    async def close(self) -> None:
        """Finish what is queued, disconnect."""

    # responses

    async def save(self, record: Record, entries: Sequence[Entry] = ()) -> bool:
        """Insert a finished response and its names, and append `entries` to its conversation, all
        or nothing. False, and nothing is written, when the tenant has a response of this id.
        Entries for a conversation that was deleted meanwhile are not written; the response is."""

    async def get(self, tenant: bytes, id: str, now: float) -> Record | None:
        """The response, if it has not expired. Without its `names`."""

    async def by_name(self, tenant: bytes, name: str, now: float) -> Record | None:
        """The latest response that has this name."""

    async def chain(self, tenant: bytes, id: str) -> list[Link] | None:
        """The links from the root (or the nearest barrier) to this response, this one included.
        Expiry of ancestors does not matter; None when one of them is gone."""

    async def delete(self, tenant: bytes, id: str) -> bool:
        """Make a response unknown, with its names and its event log. False when there was none. It
        is erased at once, or, where others were continued from it, with the last of them: until
        then it is part of their `chain`."""

    # conversations

    async def create_conversation(
        self, conversation: Conversation, entries: Sequence[Entry]
    ) -> None:
        """Insert one with its first items."""

    async def conversation(self, tenant: bytes, id: str) -> Conversation | None:
        """Read one."""

    async def update_conversation(
        self, tenant: bytes, id: str, metadata: bytes
    ) -> Conversation | None:
        """Replace its metadata."""

    async def delete_conversation(self, tenant: bytes, id: str) -> bool:
        """Delete it and its items. Responses that were part of it stay."""

    async def append(self, tenant: bytes, id: str, entries: Sequence[Entry]) -> bool:
        """Append items, in order. False when there is no such conversation."""

    async def entries(
        self, tenant: bytes, id: str, *, after: str | None, limit: int | None, order: Order
    ) -> list[Entry] | None:
        """Items in order of position, beginning behind the item `after` (in that order). None when
        `after` names no item of it. `limit` None: all of them."""

    async def weigh(self, tenant: bytes, id: str) -> int:
        """How many bytes its items have, all together; 0 when there is no such conversation."""

    async def entry(self, tenant: bytes, id: str, item: str) -> Entry | None:
        """One item."""

    async def entry_anywhere(self, tenant: bytes, item: str) -> Entry | None:
        """The item of this id in any conversation of the tenant."""

    async def delete_entry(self, tenant: bytes, id: str, item: str) -> bool:
        """Delete one item."""

    # background runs

    async def begin_run(self, record: Record, owner: str, lease_until: float) -> bool:
        """Like `save`, for a run that `owner` works on. Every such run has one lease."""

    async def progress_run(
        self, tenant: bytes, id: str, status: Status, response: bytes, events: Sequence[Logged]
    ) -> bool:
        """Store a snapshot (of which `output` is not read) and more events of a live run. False,
        and nothing is written, when the run is not live any more."""

    async def finish_run(
        self, record: Record, events: Sequence[Logged], entries: Sequence[Entry] = ()
    ) -> bool:
        """End a live run: everything of `record` replaces what was stored, but `input`, `parent`,
        `conversation`, `model` and `created_at`; the lease ends. False, and nothing is written,
        when the run is not live any more (cancelled, or given up on), or is gone."""

    async def events(self, tenant: bytes, id: str, after: int, limit: int) -> list[Logged]:
        """Logged events with a number above `after`, in order."""

    async def standing(self, tenant: bytes, id: str, now: float) -> tuple[Status, int] | None:
        """The status of a response and the highest number logged for it, -1 without any: what a
        follower asks all the time. None when there is no such response."""

    async def renew(self, owner: str, lease_until: float) -> list[Run]:
        """Extend all leases of `owner`; the runs it still holds (those that were cancelled or
        given up on, or deleted, are not among them)."""

    async def held(self, owner: str) -> list[Run]:
        """The runs that `renew` would give, without extending anything."""

    async def abandoned(self, now: float, limit: int) -> list[Record]:
        """Live runs whose lease is over."""

    # house-keeping

    async def secret(self, name: str, fresh: str) -> str:
        """The secret of this name that all gateways on the database share: `fresh`, for the first
        that asks."""

    async def prune(self, now: float, limit: int) -> int:
        """Delete up to `limit` expired responses that have no child, with their names and events.
        How many were. An expired response with children is kept for their sake until they expire;
        `get` does not find it."""
