"""Response objects and events outside the stream that made them: of background runs, and stored.

A background run has its own id, its own first events and one row of numbers, whatever lane and
however many attempts work on it; `Restamp` makes the events of a lane into the run's. A stored
response is changed member by member, and members that do not change keep their bytes.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from portico.dialects.responses.echo import echo
from portico.wire.json import encode, one_line, quote, splice
from portico.wire.sse import encode_event, frame_data, frame_event, iter_frames

TERMINAL = frozenset(("response.completed", "response.failed", "response.incomplete"))
_ANNOUNCED = frozenset(("response.created", "response.queued"))
_KIND = re.compile(r"[!-~]{1,256}\Z").match

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


# whole responses


def queued(fields: Mapping[str, Raw], base: str, created: int, model: str) -> bytes:
    """The response object of a background run that nothing has been done for yet, with the members
    and in the order of `response_out.Envelope`. `fields` is the request's body, `created` Unix
    seconds, and the id is made of `base`."""
    return (
        b'{"id":"resp_%b","object":"response","created_at":%d,"completed_at":null,'
        b'"status":"queued","error":null,"incomplete_details":null,"model":%b,"output":[],'
        b'"usage":null,"service_tier":"default",%b}'
    ) % (
        base.encode(),
        created,
        quote(model),
        echo({**fields, "background": Raw(b"true")}),
    )


def patched(response: bytes, changes: Mapping[str, bytes]) -> bytes:
    """A JSON object with members replaced by other JSON text; new ones are added at the end.
    Raises ValueError when it is no object."""
    return splice(_object(response), changes)


def failed(response: bytes, code: str, message: str) -> bytes:
    """The final state of a run that ended without an answer. Output and usage are kept."""
    return patched(response, {
        "status": b'"failed"', "completed_at": b"null", "incomplete_details": b"null",
        "error": encode({"code": code, "message": message}),
    })  # fmt: skip


def cancelled(response: bytes) -> bytes:
    """The final state of a run that its caller gave up. Output and usage are kept."""
    return patched(response, {
        "status": b'"cancelled"', "completed_at": b"null", "incomplete_details": b"null",
        "error": b"null",
    })  # fmt: skip


# events


def events_of(frames: bytes) -> list[tuple[str, dict[str, Raw]]]:
    """Type and members of the events in whole frames. What carries none, and what cannot be read,
    is skipped."""
    found: list[tuple[str, dict[str, Raw]]] = []
    for one in iter_frames(frames):
        data = frame_data(one)
        if not data or data == b"[DONE]":
            continue
        try:
            members = _object(data)
            kind = _kind(members, one)
        except ValueError:
            continue
        if _KIND(kind) is not None:
            found.append((kind, members))
    return found


def _kind(members: dict[str, Raw], one: bytes) -> str:
    if "type" in members:
        return _decode_text(members["type"])
    kind = frame_event(one).decode("ascii")
    members["type"] = Raw(quote(kind))
    return kind


def frame(kind: str, data: bytes) -> bytes:
    """One event as it is streamed. `data` is one line."""
    return encode_event(kind, data)


def terminal(kind: str) -> bool:
    """Whether no other event follows one of this type."""
    return kind in TERMINAL


class Restamp:
    """Makes the events of a lane's stream into those of a background run: numbered on from
    `number`, with the run's response id, and with `changes` (JSON text by member) in each response
    object. That the response is created and queued the run has told itself."""

    __slots__ = ("_changes", "number")

    def __init__(self, identifier: str, number: int, changes: Mapping[str, bytes]) -> None:
        self.number = number
        """The number of the next event."""
        self._changes = {**changes, "id": quote(identifier)}

    def feed(self, frames: bytes) -> list[tuple[int, str, bytes]]:
        """`(number, type, JSON on one line)` of the events in whole frames. Never raises on what
        a provider sends."""
        out: list[tuple[int, str, bytes]] = []
        for kind, members in events_of(frames):
            if kind in _ANNOUNCED:
                continue
            members["sequence_number"] = Raw(b"%d" % self.number)
            if "response" in members and bytes(members["response"])[:1] == b"{":
                members["response"] = Raw(patched(bytes(members["response"]), self._changes))
            out.append((self.number, kind, one_line(encode(members))))
            self.number += 1
        return out


def _object(text: bytes) -> dict[str, Raw]:
    """Raises ValueError, also for what nests deeper than can be read."""
    try:
        return _decode_object(text)
    except RecursionError:
        raise ValueError("nests too deep") from None
