"""How a Messages stream begins, before it says anything.

https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11-21)
"""

from portico.dialects.base import Sight
from portico.dialects.opening import kind_of

_SIGHTS: dict[str, Sight] = {
    "": "nothing",
    "message_start": "nothing",
    "ping": "nothing",
    "error": "error",
}


def opening(frame: bytes) -> Sight:
    """What one frame at the beginning of a stream says."""
    return _SIGHTS.get(kind_of(frame), "content")
