"""Messages requests on the splice lane: checked at the top level, forwarded as they are."""

from msgspec import Raw

from portico.dialects import checks
from portico.dialects.base import SpliceRequest
from portico.dialects.messages.wire import (
    PARAMETERS,
    CountHead,
    MessagesHead,
    decode_count,
    decode_head,
)
from portico.limits import Limits


def read(body: bytes, limits: Limits) -> SpliceRequest:
    """Check a body and say how it is forwarded. Raises `BadRequest`."""
    fields = checks.members(body, limits)
    head = checks.decode_head(decode_head, body)
    _check(fields, head, limits)
    return SpliceRequest(body, fields, head.model, head.stream or False)


def read_count(body: bytes, limits: Limits) -> SpliceRequest:
    """The same for a request that only counts tokens. Raises `BadRequest`."""
    fields = checks.members(body, limits)
    head = checks.decode_head(decode_count, body)
    _check(fields, head, limits)
    return SpliceRequest(body, fields, head.model, False)


def _check(fields: dict[str, Raw], head: MessagesHead | CountHead, limits: Limits) -> None:
    if not fields.keys() <= PARAMETERS:
        checks.check_spelling(fields, PARAMETERS)
    checks.check_model(head.model)
    checks.check_items("messages", head.messages, limits.json_items, required=True)
    checks.check_items("tools", head.tools, limits.json_items)
    if isinstance(head.system, list):
        checks.check_items("system", head.system, limits.json_items)
