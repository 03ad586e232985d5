"""Bodies of the Conversations API, checked, and the objects it answers with.

Items are checked by the reader of requests: what a conversation accepts can be sent as input.
Source: OpenAI OpenAPI, `CreateConversationBody`, `UpdateConversationBody`, `ConversationResource`;
openai-python 3.54, `ConversationCreateParams`.
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks
from portico.dialects.responses import request_in
from portico.dialects.responses.wire import Object
from portico.errors import BadRequest
from portico.limits import Limits
from portico.wire.json import encode, one_line, quote, splice

MAX_ITEMS = 20
"""https://platform.openai.com/docs/api-reference/conversations/create-items, 2026-11-21"""
_KNOWN = frozenset(("metadata", "items"))
_NO_MODEL = {"model": b'"-"'}


class _Body(Struct, gc=False):
    metadata: Object | None = None
    items: list[Raw] | None = None


class _Bound(Struct, gc=False):
    id: str


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode
_decode_bound = msgspec.json.Decoder(str | _Bound).decode


def read_create(body: bytes, limits: Limits) -> tuple[bytes, bytes]:
    """Metadata (a JSON object) and first items (a JSON array, as sent). Both may be missing, and so
    may the body. Raises `BadRequest` naming the parameter."""
    if not body.strip():
        return b"{}", b"[]"
    fields, head = _read(body, limits)
    items = bytes(fields["items"]) if head.items else b"[]"
    return _metadata(fields, head), items


def read_update(body: bytes, limits: Limits) -> bytes:
    """The new metadata, a JSON object. Raises `BadRequest`."""
    fields, head = _read(body, limits)
    if "metadata" not in fields:
        raise checks.missing_parameter("metadata")
    return _metadata(fields, head)


def read_items(body: bytes, limits: Limits) -> bytes:
    """The items to add, a JSON array as sent, of 1 to 20. Raises `BadRequest`."""
    fields, head = _read(body, limits)
    if head.items is None:
        raise checks.missing_parameter("items")
    checks.check_items("items", head.items, MAX_ITEMS, required=True)
    return bytes(fields["items"])


def conversation_id(raw: Raw) -> str:
    """The id in a request's `conversation`, a string or an object with an id. Raises
    `BadRequest`."""
    try:
        found = _decode_bound(raw)
    except ValueError as error:
        text = str(error).replace(" - at `$.", " - at `$.conversation.")
        if "`$" not in text:
            text += " - at `$.conversation`"
        elif "missing required field" in text:
            raise checks.missing_parameter("conversation.id") from None
        raise checks.bad_field(ValueError(text)) from None
    identifier = found if isinstance(found, str) else found.id
    if not identifier:
        name = "conversation" if isinstance(found, str) else "conversation.id"
        raise BadRequest(
            f"Invalid '{name}': expected an id, but got an empty string.",
            code="invalid_value",
            param=name,
        )
    return identifier


def conversation_object(identifier: str, created_at: int, metadata: bytes) -> bytes:
    """A conversation. `created_at` is Unix seconds, `metadata` a JSON object."""
    return b'{"id":%b,"object":"conversation","created_at":%d,"metadata":%b}' % (
        quote(identifier),
        created_at,
        metadata,
    )


def deleted_object(identifier: str) -> bytes:
    """What deleting a conversation gives."""
    return b'{"id":%b,"object":"conversation.deleted","deleted":true}' % quote(identifier)


def deleted_response(identifier: str) -> bytes:
    """What deleting a response gives."""
    return b'{"id":%b,"object":"response","deleted":true}' % quote(identifier)


def _read(body: bytes, limits: Limits) -> tuple[dict[str, Raw], _Body]:
    fields = checks.members(body, limits)
    checks.check_spelling(fields, _KNOWN)
    head = checks.decode_head(_decode_body, body)
    if head.items is not None and len(head.items) > MAX_ITEMS:
        raise BadRequest(
            f"Invalid 'items': array too long. Expected an array with maximum length {MAX_ITEMS}, "
            f"but got an array with length {len(head.items)} instead.",
            code="array_above_max_length",
            param="items",
        )
    _check(fields, head, limits)
    return fields, head


def _check(fields: dict[str, Raw], head: _Body, limits: Limits) -> None:
    """Check both members as those of a request that has them."""
    asked = dict(_NO_MODEL, input=bytes(fields["items"]) if head.items else b'""')
    if head.metadata:
        asked["metadata"] = bytes(fields["metadata"])
    body = splice({}, asked)
    try:
        request_in.read(checks.members(body, limits), body, limits, lambda value: None)
    except BadRequest as error:
        raise _renamed(error) from None


def _renamed(error: BadRequest) -> BadRequest:
    param = error.param or ""
    if not param.startswith("input"):
        return error
    return BadRequest(
        error.message.replace("'input", "'items", 1),
        code=error.code,
        param="items" + param.removeprefix("input"),
        limit=error.limit,
    )


def _metadata(fields: dict[str, Raw], head: _Body) -> bytes:
    if not head.metadata:
        return b"{}"
    return one_line(encode(_decode_metadata(fields["metadata"])))
