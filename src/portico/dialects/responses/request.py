"""Responses requests on the splice lane: checked at the top level, forwarded as they are."""

import msgspec
from msgspec import Raw

from portico.dialects import checks
from portico.dialects.base import SpliceRequest, StateAsk
from portico.dialects.responses.conversation_in import conversation_id
from portico.dialects.responses.stored_items import named
from portico.dialects.responses.wire import (
    PARAMETERS,
    Object,
    ResponsesHead,
    decode_head,
)
from portico.errors import BadRequest
from portico.limits import Limits
from portico.wire.json import encode

_OURS = frozenset(("allowed_tools", "caching"))
_NARROWED = {b"null": "auto", b'"auto"': "auto", b'"required"': "required"}
"""Choices that a subset narrows, and the mode it then has. A forced tool or none stays as it is."""
_decode_names = msgspec.json.Decoder(list[str] | None).decode
_SILENT = {store: StateAsk(store) for store in (None, True, False)}


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
    changes = _ours(fields) if not _OURS.isdisjoint(fields) else None
    return SpliceRequest(
        body, fields, head.model, head.stream or False, changes, state=_state(fields, head)
    )


def _state(fields: Object, head: ResponsesHead) -> StateAsk:
    """What the request says about stored state."""
    refers = False
    ids: tuple[str, ...] = ()
    if isinstance(head.input, list):
        refers, ids = named(bytes(fields["input"]))
    if (
        head.previous_response_id is None
        and head.conversation is None
        and not head.background
        and not refers
        and not ids
    ):
        return _SILENT[head.store]
    conversation = None
    if head.conversation is not None:
        conversation = conversation_id(fields["conversation"])
    return StateAsk(
        head.store,
        head.previous_response_id,
        conversation,
        head.background or False,
        refers,
        ids,
    )


def _ours(fields: dict[str, Raw]) -> dict[str, bytes] | None:
    """Take out the parameters that gateways have and OpenAI has not; what says the same instead.

    `caching: auto` asks for cache marks where a provider needs them: this dialect's cache by
    themselves.
    """
    fields.pop("caching", None)
    return _allowed_tools(fields) if "allowed_tools" in fields else {}


def _allowed_tools(fields: dict[str, Raw]) -> dict[str, bytes] | None:
    """Say with `tool_choice` what the top-level `allowed_tools`, a list of function names, says.

    The list is Vercel's (https://vercel.com/docs/ai-gateway/openai-responses, 2026-11-21); OpenAI
    has the choice only, which keeps the tools, and with them the prompt cache, as they are.
    """
    try:
        names = _decode_names(fields["allowed_tools"])
    except ValueError:
        raise BadRequest(
            "Invalid type for 'allowed_tools': expected an array of strings.",
            code="invalid_type",
            param="allowed_tools",
        ) from None
    del fields["allowed_tools"]
    choice = bytes(fields.get("tool_choice", b"null"))
    if names is None or choice not in _NARROWED:
        return {}
    tools = [{"type": "function", "name": name} for name in names]
    narrowed = {"type": "allowed_tools", "mode": _NARROWED[choice], "tools": tools}
    return {"tool_choice": encode(narrowed)}
