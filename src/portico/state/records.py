"""What is stored: responses, the items of conversations, the event logs of background runs.

A response points at its parent, never at a session: two children of one response are two branches
that know nothing of each other. Everything is kept as the JSON the Responses API speaks, byte for
byte as it was received and sent, so that what is replayed is what was said.
"""

import hashlib
from typing import Literal, TypeAlias

from msgspec import Struct

Status: TypeAlias = Literal[
    "queued", "in_progress", "completed", "failed", "incomplete", "cancelled"
]
"""`response.status`. The last four never change."""

LIVE: frozenset[str] = frozenset(("queued", "in_progress"))
"""States that something is still working on."""

TENANT_BYTES = 16


def tenant_key(tenant: bytes) -> bytes:
    """The form of a tenant in the database: 16 bytes from which the tenant cannot be had."""
    return hashlib.blake2b(tenant, digest_size=TENANT_BYTES, person=b"portico tenant").digest()


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """One stored response.

    `tenant` is a `tenant_key`; together with `id` it is the identity. Times are Unix seconds;
    `expires_at` is None for what is never pruned. `parent` is `previous_response_id`, and
    `conversation` the conversation it is part of. `model` is the name the caller asked for.

    `origin` is the place and account (`Target.origin`) that made it, and `kept` says that it keeps
    the response under the same id. `input` is this turn's own input, a JSON array as it was sent;
    `response` the response object, whose `output` array is the `output_size` bytes from
    `output_at` on.

    `context` is how many bytes of input and output the chain up to here has. `barrier`: the output
    holds a compaction item, so what came before this response is not part of the chain any more.
    `names` are ids of items by which this response can be found besides its own.
    `background` runs may be cancelled, and `streamed` ones have an event log.
    """

    tenant: bytes
    id: str
    created_at: int
    expires_at: int | None
    status: Status
    model: str
    input: bytes
    response: bytes
    output_at: int
    output_size: int
    parent: str | None = None
    conversation: str | None = None
    origin: str = ""
    kept: bool = False
    context: int = 0
    barrier: bool = False
    background: bool = False
    streamed: bool = False
    names: tuple[str, ...] = ()

    @property
    def output(self) -> bytes:
        """The `output` array as JSON text; of what still runs there is none."""
        if self.status in LIVE:
            return b"[]"
        return self.response[self.output_at : self.output_at + self.output_size]


class Link(Struct, frozen=True, gc=False):
    """What one response of a chain adds to the context: two JSON arrays, and where it was made."""

    input: bytes
    output: bytes
    origin: str = ""


class Conversation(Struct, frozen=True, kw_only=True, gc=False):
    """One conversation. `metadata` is a JSON object. Its items do not expire."""

    tenant: bytes
    id: str
    created_at: int
    metadata: bytes = b"{}"


class Entry(Struct, frozen=True, gc=False):
    """One item of a conversation: its id and the item as JSON with that id inside."""

    id: str
    body: bytes


class Logged(Struct, frozen=True, gc=False):
    """One event of a background run: its `sequence_number` and its JSON (no SSE framing)."""

    number: int
    data: bytes


class Run(Struct, frozen=True, gc=False):
    """A background run that somebody works on, or that nobody works on any more."""

    tenant: bytes
    id: str
