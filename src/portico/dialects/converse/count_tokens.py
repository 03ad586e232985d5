"""Counting input tokens: `POST /model/{id}/count-tokens`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
(2026-11-21).
"""

import msgspec
from msgspec import Struct

from portico.dialects.converse.request_out import body
from portico.dialects.counts import MOST, UNREADABLE
from portico.dialects.translate import Upstream
from portico.errors import UpstreamProtocol
from portico.model.losses import Losses
from portico.model.request import GenerateRequest

_MEMBERS = ("messages", "system", "toolConfig", "additionalModelRequestFields")


class _Counted(Struct, rename="camel", gc=False):
    input_tokens: int


_decode = msgspec.json.Decoder(_Counted).decode


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body: what of a Converse request counts. Raises what `request_out.write` does."""
    whole = body(request, upstream, losses)
    converse = {name: whole[name] for name in _MEMBERS if name in whole}
    return msgspec.json.encode({"input": {"converse": converse}})


def read(answer: bytes) -> int:
    """The number of input tokens. Raises `UpstreamProtocol`."""
    try:
        count = _decode(answer).input_tokens
    except UNREADABLE:
        count = -1
    if not 0 <= count <= MOST:
        raise UpstreamProtocol(
            "The provider sent a token count that cannot be read.", debug="converse count-tokens"
        )
    return count
