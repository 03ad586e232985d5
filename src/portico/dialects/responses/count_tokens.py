"""Counting input tokens: `POST /responses/input_tokens`, on both sides.

Source: https://platform.openai.com/docs/api-reference/responses/input-tokens (2026-11-21).
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks
from portico.dialects.base import SpliceRequest
from portico.dialects.counts import MOST
from portico.dialects.responses import request, request_in
from portico.dialects.responses.request_out import write as write_create
from portico.dialects.translate import Upstream
from portico.limits import Limits
from portico.model.losses import Losses
from portico.model.request import GenerateRequest
from portico.model.sealed import Unseal
from portico.wire.json import encode, splice

_KEPT = frozenset((
    "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "truncation",
    "parallel_tool_calls",
))  # fmt: skip
"""The members of a create request that this endpoint takes."""


_SHORT = 64


class _Answer(Struct):
    input_tokens: int


_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.Decoder(_Answer).decode


def write(wanted: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body that asks for the count of a request."""
    fields = _decode_members(write_create(wanted, upstream, losses))
    return encode({name: value for name, value in fields.items() if name in _KEPT})


def read_body(body: bytes, limits: Limits) -> SpliceRequest:
    """Like `request.read`, for a body that needs no `input`. Raises `BadRequest`."""
    fields = checks.members(body, limits)
    if not _is_silent(fields):
        return request.read(body, limits)
    ask = request.read(splice(fields, {"input": b"[]"}), limits)
    ask.body = body
    ask.fields.pop("input")
    return ask


def read_request(
    fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal
) -> GenerateRequest:
    """A client's body, whose `input` may be missing or empty. Raises `BadRequest`."""
    if not _is_silent(fields):
        return request_in.read(fields, body, limits, unseal)
    filled = splice(fields, {"input": b'""'})
    asked = request_in.read({**fields, "input": Raw(b'""')}, filled, limits, unseal)
    asked.items = ()
    return asked


def _is_silent(fields: dict[str, Raw]) -> bool:
    """Whether there is nothing in `input`."""
    raw = fields.get("input")
    if raw is None:
        return True
    return len(raw) < _SHORT and b"".join(bytes(raw).split()) in (b"null", b"[]", b'""')


def write_answer(tokens: int) -> bytes:
    """The answer for a client."""
    return encode({"object": "response.input_tokens", "input_tokens": tokens})


def read(body: bytes) -> int:
    """The count. Raises ValueError if there is none."""
    count = _decode(body).input_tokens
    if not 0 <= count <= MOST:
        raise ValueError("not a count")
    return count
