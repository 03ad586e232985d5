"""The Responses API as clients speak it."""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.responses.request_in import read
from portico.dialects.responses.response_out import REASONING_ID, respond
from portico.dialects.responses.stored_calls import check_calls
from portico.dialects.responses.stream_out import stream
from portico.dialects.responses.wire import NULL
from portico.dialects.translate import ClientSide
from portico.limits import Limits
from portico.model.request import GenerateRequest
from portico.model.sealed import PREFIX, Unseal

_PREFIX = PREFIX.encode()
_decode_array = msgspec.json.Decoder(list[Raw]).decode


class _Carrier(Struct, gc=False):
    type: str = ""
    id: str | None = None
    encrypted_content: str | None = None


_decode_carrier = msgspec.json.Decoder(_Carrier).decode


def strip(fields: dict[str, Raw]) -> dict[str, bytes]:
    """`input` without the reasoning and compaction items that this gateway made.

    Their proof, if they have one, is another provider's, and one that is not asked through the hub
    cannot read it; without a proof OpenAI looks for the item's id among its own. The other items
    keep their bytes. Empty when there is nothing to take out.
    """
    raw = fields.get("input")
    if raw is None or _PREFIX not in bytes(raw):
        return {}
    try:
        items = _decode_array(raw)
    except ValueError:
        return {}
    kept = [bytes(item) for item in items if not _is_ours(item)]
    if len(kept) == len(items):
        return {}
    return {"input": b"[" + b",".join(kept) + b"]"}


def _is_ours(item: Raw) -> bool:
    try:
        found = _decode_carrier(item)
    except ValueError:
        return False
    if found.type not in ("reasoning", "compaction"):
        return False
    if found.encrypted_content:
        return found.encrypted_content.startswith(PREFIX)
    return found.id is not None and found.id.startswith(REASONING_ID)


def _read(fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal) -> GenerateRequest:
    """The request, in which every result of a tool belongs to a call. Raises `BadRequest`."""
    wanted = read(fields, body, limits, unseal)
    check_calls(b"[]", bytes(fields.get("input", NULL)))
    return wanted


CLIENT = ClientSide(name="responses", read=_read, respond=respond, stream=stream, strip=strip)
