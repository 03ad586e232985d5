"""`countTokens`: how many tokens a request is.

https://ai.google.dev/api/tokens, https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens
(2026-11-21). At the Gemini API only `generateContentRequest` counts instructions and tools.
"""

import msgspec

from portico.dialects.counts import UNREADABLE, Count
from portico.dialects.gemini.contents_out import Json
from portico.dialects.gemini.maps import VERTEX
from portico.dialects.gemini.request_out import body
from portico.dialects.translate import Upstream
from portico.errors import UpstreamProtocol
from portico.model.losses import Losses
from portico.model.request import GenerateRequest
from portico.wire.json import encode


class _Answer(msgspec.Struct, rename="camel"):
    total_tokens: Count = None


_decode = msgspec.json.Decoder(_Answer).decode
_COUNTED = ("contents", "systemInstruction", "tools", "generationConfig")


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body. Raises `BadRequest` as the request itself would."""
    whole = body(request, upstream, losses)
    if VERTEX in upstream.quirks:
        counted: Json = {name: whole[name] for name in _COUNTED if name in whole}
        return encode(counted)
    model = upstream.model if "/" in upstream.model else f"models/{upstream.model}"
    return encode({"generateContentRequest": {"model": model, **whole}})


def read(answer: bytes) -> int:
    """The count. Raises `UpstreamProtocol` if the answer has none."""
    try:
        total = _decode(answer).total_tokens
    except UNREADABLE:
        total = None
    if total is None:
        raise UpstreamProtocol("The provider's token count could not be read.")
    return total
