"""How a Responses stream begins, before it says anything.

Source: openai-python 3.54, `ResponseStreamEvent`. `keepalive` is in no document:
https://github.com/openai/openai-node/issues/1964 (2026-11-21)
"""

from portico.dialects.base import Sight
from portico.dialects.opening import UNKNOWN, kind_of

_SIGHTS: dict[str, Sight] = {
    "": "nothing",
    "response.created": "nothing",
    "response.queued": "nothing",
    "response.in_progress": "nothing",
    "keepalive": "nothing",
    "response.failed": "error",
    "error": "error",
}


def opening(frame: bytes) -> Sight:
    """What one frame at the beginning of a stream says."""
    kind = kind_of(frame)
    if kind == UNKNOWN and b'"error"' in frame:
        return "error"
    return _SIGHTS.get(kind, "content")
