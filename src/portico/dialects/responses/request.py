"""Responses requests on the splice lane: checked at the top level, forwarded as they are."""

from portico.dialects import checks
from portico.dialects.base import SpliceRequest
from portico.dialects.responses.wire import PARAMETERS, decode_head
from portico.limits import Limits


def read(body: bytes, limits: Limits) -> SpliceRequest:
    """Check a body and say how it is forwarded. Raises `BadRequest`.

    `input` may be missing when a prompt, a conversation or an earlier response stands in for it.
    """
    fields = checks.members(body, limits)
    if not fields.keys() <= PARAMETERS:
        checks.check_spelling(fields, PARAMETERS)
    head = checks.decode_head(decode_head, body)
    checks.check_model(head.model)
    if head.input is None:
        if head.prompt is None and head.conversation is None and head.previous_response_id is None:
            raise checks.missing_parameter("input")
    elif not isinstance(head.input, str):
        checks.check_items("input", head.input, limits.json_items)
    checks.check_items("tools", head.tools, limits.json_items)
    return SpliceRequest(body, fields, head.model, head.stream or False)
