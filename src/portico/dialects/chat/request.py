"""Chat requests on the splice lane: checked at the top level, forwarded as they are."""

from msgspec import Raw

from portico.dialects import checks
from portico.dialects.base import SpliceRequest
from portico.dialects.chat.wire import PARAMETERS, decode_head, decode_options
from portico.limits import Limits
from portico.wire.json import splice

_MOST_CHOICES = 128
"""The maximum of `n`. https://platform.openai.com/docs/api-reference/chat/create (2026-11-21)"""


def read(body: bytes, limits: Limits) -> SpliceRequest:
    """Check a body and say how it is forwarded. Raises `BadRequest`.

    A stream must report its usage. If the client did not ask for that, `include_usage` is set for
    it and `hides_usage` tells the tap to keep the extra chunk.
    """
    fields = checks.members(body, limits)
    if not fields.keys() <= PARAMETERS:
        checks.check_spelling(fields, PARAMETERS)
    head = checks.decode_head(decode_head, body)
    checks.check_model(head.model)
    if not 0 < len(head.messages) <= limits.json_items:
        checks.check_items("messages", head.messages, limits.json_items, required=True)
    if head.tools is not None:
        checks.check_items("tools", head.tools, limits.json_items)
    choices = head.n
    if choices is None or not 1 < choices <= _MOST_CHOICES:
        choices = 1
    options = head.stream_options
    if not head.stream or (options is not None and options.include_usage):
        return SpliceRequest(body, fields, head.model, head.stream or False, choices=choices)
    changes = {"stream_options": _with_usage(fields.get("stream_options"))}
    return SpliceRequest(body, fields, head.model, True, changes, True, choices)


def _with_usage(options: Raw | None) -> bytes:
    """The client's `stream_options` with `include_usage` true and all else as it was."""
    if options is None or bytes(options) == b"null":
        return b'{"include_usage":true}'
    return splice(decode_options(options), {"include_usage": b"true"})
