"""Counting the tokens of a request, on both sides.

https://platform.claude.com/docs/en/api/messages/count_tokens (2026-11-21)
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import UNREADABLE, count
from portico.dialects.messages import request_in, request_out
from portico.dialects.translate import Upstream
from portico.errors import UpstreamProtocol
from portico.limits import Limits
from portico.model.losses import Losses
from portico.model.request import GenerateRequest
from portico.model.sealed import Unseal
from portico.wire.json import encode

_COUNTED = (
    "model", "tools", "tool_choice", "mcp_servers", "system", "messages", "thinking",
    "output_config",
)  # fmt: skip
"""What the endpoint takes; anything else is a 400."""


class _Answer(Struct, gc=False):
    input_tokens: Raw


_decode = msgspec.json.Decoder(_Answer).decode


def read_count_request(
    fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal
) -> GenerateRequest:
    """A client's body; `max_tokens` is not needed. Raises `BadRequest`."""
    return request_in.read_counting(fields, body, limits, unseal)


def write_count_request(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body for a provider. Raises `BadRequest`."""
    members = request_out.members(request, upstream, losses)
    return encode({name: members[name] for name in _COUNTED if name in members})


def read_count_answer(body: bytes) -> int:
    """The input tokens a provider counted. Raises `UpstreamProtocol`."""
    try:
        tokens = count(msgspec.json.decode(_decode(body).input_tokens))
    except UNREADABLE:
        tokens = None
    if tokens is None:
        raise UpstreamProtocol(
            "The provider's count of tokens could not be read.", debug=f"{body[:80]!r}"
        )
    return tokens


def write_count_answer(tokens: int) -> bytes:
    """The answer for a client."""
    return encode({"input_tokens": tokens})
