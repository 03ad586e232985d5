"""What kind of event a frame is, for those who have to know before they read it.

The beginning of a stream says nothing that a client waits for. It is held back for so long, and a
provider that fails by then can be replaced by another.
"""

import re

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL, UNREADABLE, text
from portico.wire.sse import frame_data, frame_event

UNKNOWN = "?"
"""The kind of a frame with data that is no event."""

# How OpenAI and Anthropic write their events. A frame of another form is decoded.
_KIND = re.compile(rb'(?:event:[^\r\n]*\r?\n)?data: ?\{\s*"type"\s*:\s*"([a-z_.]{1,64})"')


class _Event(Struct, gc=False):
    type: Raw = NULL


_decode = msgspec.json.Decoder(_Event).decode


def kind_of(frame: bytes) -> str:
    """The `type` of the event in one frame, else its name; `""` for a comment, `UNKNOWN` for what
    cannot be read."""
    found = _KIND.match(frame)
    if found is not None:
        return found[1].decode("ascii")
    data = frame_data(frame)
    if not data:
        return ""
    try:
        kind = text(_decode(data).type)
    except UNREADABLE:
        return UNKNOWN
    return kind or frame_event(frame).decode(errors="replace") or UNKNOWN
