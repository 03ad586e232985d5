"""What a Chat request is on the splice lane after its members were changed."""

import msgspec
from msgspec import Raw

from portico.dialects.base import SpliceRequest
from portico.dialects.chat.wire import StreamOptions, decode_options
from portico.wire.json import splice

_NULL = Raw(b"null")
_decode_stream_options = msgspec.json.Decoder(StreamOptions | None).decode
_decode_choices = msgspec.json.Decoder(int | None).decode
_MOST_CHOICES = 128
"""The maximum of `n`. https://platform.openai.com/docs/api-reference/chat/create (2026-11-21)"""


def settle(ask: SpliceRequest) -> None:
    """Make `choices`, `hides_usage` and `changes` those of the members, as `request.read` does. A
    stream reports its usage whatever the members say. Values that cannot be read change nothing.
    """
    fields = ask.fields
    try:
        choices = _decode_choices(fields.get("n", _NULL))
    except ValueError:
        choices = None
    ask.choices = choices if choices is not None and 1 < choices <= _MOST_CHOICES else 1
    if not ask.stream:
        return
    raw = fields.get("stream_options", _NULL)
    try:
        options = _decode_stream_options(raw)
    except ValueError:
        return
    changes = dict(ask.changes or {})
    ask.hides_usage = options is None or not options.include_usage
    if options is None:
        changes["stream_options"] = b'{"include_usage":true}'
    elif ask.hides_usage:
        changes["stream_options"] = splice(decode_options(raw), {"include_usage": b"true"})
    else:
        changes.pop("stream_options", None)
    ask.changes = changes or None
