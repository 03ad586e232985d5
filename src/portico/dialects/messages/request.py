"""Messages requests on the splice lane: checked at the top level, forwarded as they are."""

from portico.dialects import checks
from portico.dialects.base import SpliceRequest
from portico.dialects.messages.wire import PARAMETERS, decode_head
from portico.limits import Limits


def read(body: bytes, limits: Limits) -> SpliceRequest:
    """Check a body and say how it is forwarded. Raises `BadRequest`."""
    fields = checks.members(body, limits)
    if not fields.keys() <= PARAMETERS:
        checks.check_spelling(fields, PARAMETERS)
    head = checks.decode_head(decode_head, body)
    checks.check_model(head.model)
    checks.check_items("messages", head.messages, limits.json_items, required=True)
    checks.check_items("tools", head.tools, limits.json_items)
    if isinstance(head.system, list):
        checks.check_items("system", head.system, limits.json_items)
    return SpliceRequest(body, fields, head.model, head.stream or False)
