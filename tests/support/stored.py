"""Records for tests of what is stored."""

from typing import Any

from portico.state.records import Conversation, Entry, Logged, Record, tenant_key

ALICE = tenant_key(b"alice")
BOB = tenant_key(b"bob")
NOW = 1_000


def stored(id: str, parent: str | None = None, **changes: Any) -> Record:
    """A finished response of Alice's whose input and output name its id."""
    output = f'["out {id}"]'.encode(errors="replace")
    head = b'{"output":'
    given: dict[str, Any] = {
        "tenant": ALICE,
        "id": id,
        "created_at": NOW,
        "expires_at": NOW + 100,
        "status": "completed",
        "model": "fast",
        "input": f'["in {id}"]'.encode(errors="replace"),
        "response": head + output + b"}",
        "output_at": len(head),
        "output_size": len(output),
        "parent": parent,
    }
    return Record(**{**given, **changes})


def running(id: str, **changes: Any) -> Record:
    """A background run that has not ended."""
    given: dict[str, Any] = {"status": "queued", "background": True, "streamed": True}
    return stored(id, **{**given, **changes})


def conversation(id: str = "conv_1", **changes: Any) -> Conversation:
    """A conversation of Alice's."""
    given: dict[str, Any] = {"tenant": ALICE, "id": id, "created_at": NOW}
    return Conversation(**{**given, **changes})


def items(*ids: str) -> list[Entry]:
    """Items of a conversation."""
    return [Entry(one, f'{{"id":"{one}"}}'.encode()) for one in ids]


def logged(*numbers: int) -> list[Logged]:
    """Events of a run."""
    return [Logged(number, f'{{"n":{number}}}'.encode()) for number in numbers]
