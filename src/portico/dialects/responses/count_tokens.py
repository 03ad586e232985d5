"""Counting input tokens: `POST /responses/input_tokens`.

Source: https://platform.openai.com/docs/api-reference/responses/input-tokens (2026-11-21).
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import MOST
from portico.dialects.responses.request_out import write as write_create
from portico.dialects.translate import Upstream
from portico.model.losses import Losses
from portico.model.request import GenerateRequest
from portico.wire.json import encode

_KEPT = frozenset((
    "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "truncation",
    "parallel_tool_calls",
))  # fmt: skip
"""The members of a create request that this endpoint takes."""


class _Answer(Struct):
    input_tokens: int


_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.Decoder(_Answer).decode


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body that asks for the count of a request."""
    fields = _decode_members(write_create(request, upstream, losses))
    return encode({name: value for name, value in fields.items() if name in _KEPT})


def read(body: bytes) -> int:
    """The count. Raises ValueError if there is none."""
    count = _decode(body).input_tokens
    if not 0 <= count <= MOST:
        raise ValueError("not a count")
    return count
