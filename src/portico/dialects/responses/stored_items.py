"""Items as they are stored and listed, and the arrays of items that make up a context.

A client's `input` and a response's `output` are stored as they came, as JSON text. Expanding a
chain puts such arrays together without decoding what is in them; only what may have to change is
looked at, and an item that does not change keeps its bytes. An item that is listed by itself is a
resource: it has an id and a type, and a message has parts and a status.

Source: OpenAI OpenAPI, `ItemResource`, `ItemReferenceParam`; openai-python 3.54,
`ResponseItemList`. Whatever is valid JSON can be read here: it was accepted before it was stored.
"""

import hashlib
import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks
from portico.dialects.responses.wire import NULL
from portico.errors import BadRequest
from portico.model.sealed import PREFIX
from portico.wire.json import encode, quote

FIRST_INPUT = 0x8000
"""Items of the input are numbered from here on, those of the output from 0: both have ids made of
the same base."""
_PREFIXES = {
    "message": "msg", "function_call": "fc", "function_call_output": "fco",
    "custom_tool_call": "ctc", "custom_tool_call_output": "ctco", "reasoning": "rs",
    "compaction": "cmp",
}  # fmt: skip
_BASE = re.compile(r"resp_([0-9a-f]{32,52})\Z").match
_OWNER = re.compile(
    rf"[a-z]{{1,8}}_(?:(?:{PREFIX})?([0-9a-f]{{32}})|x([0-9a-f]{{33,52}})x)[0-9a-f]{{4,5}}\Z"
).match
_OURS = b'"' + PREFIX.encode()
_WHOLE = frozenset((
    "message", "function_call", "function_call_output", "custom_tool_call",
    "custom_tool_call_output",
))  # fmt: skip
"""Items that say everything themselves, whoever made them."""
_UNFINISHED = frozenset((
    b'"in_progress"', b'"incomplete"', b'"searching"', b'"interpreting"', b'"generating"',
    b'"calling"',
))  # fmt: skip
"""Statuses of a call that never came to its end. openai-python 3.54, `ResponseOutputItem`"""
_LONG = 64 * 1024
"""Bytes from which decoding an array is faster than looking for words in it."""
_COMPLETED = Raw(b'"completed"')

_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Item(Struct, frozen=True, gc=False):
    """One item: its id, and the item as a JSON object with that id inside."""

    id: str
    body: bytes


class _Head(Struct, gc=False):
    """What tells items from each other. Nothing an object may hold makes it unreadable."""

    type: Raw = NULL
    id: Raw = NULL
    role: Raw = NULL
    content: Raw = NULL
    status: Raw = NULL
    encrypted_content: Raw = NULL
    approval_request_id: Raw = NULL


class _Part(Struct, gc=False):
    type: Raw = NULL
    text: Raw = NULL


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_heads = msgspec.json.Decoder(list[_Head]).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_NOTHING = _Head()


# ids


def base_of(response_id: str) -> str:
    """What ids of a response's items are made of. The 32 hex digits in an id of this gateway; more
    of them, as OpenAI's ids have, between two x, which no item of theirs has there; digits that
    follow from any other id."""
    found = _BASE(response_id)
    if found is None:
        return hashlib.sha256(response_id.encode(errors="replace")).hexdigest()[:32]
    digits = found[1]
    return digits if len(digits) == 32 else f"x{digits}x"


def hidden_base(response_id: str) -> str | None:
    """The base, if it does not tell the id: whoever has an item then has to look the id up."""
    return None if _BASE(response_id) is not None else base_of(response_id)


def response_of(owner: str) -> str | None:
    """The id of the response that an `owner_of` tells, if it tells one."""
    response_id = f"resp_{owner}"
    return response_id if _BASE(response_id) is not None else None


def owner_of(item_id: str) -> str | None:
    """What follows `resp_` in the id of the response whose item this is, or the base that follows
    from that id; None if the item's id does not have the form of this gateway's."""
    found = _OWNER(item_id)
    return None if found is None else found[1] or found[2]


# items as resources


def input_items(raw: bytes, base: str) -> list[Item]:
    """The entries of an `input`, array or string. An id that the client gave is kept, the first
    time it comes; others are made of `base` and the place in the array. What is no object is left
    out."""
    out: list[Item] = []
    seen: set[str] = set()
    for index, entry in enumerate(_elements(as_array(raw))):
        fields = _members(entry)
        if fields is None:
            continue
        item = _resource(entry, fields, base, FIRST_INPUT + index)
        if item.id in seen:
            fields["id"] = NULL
            item = _resource(Raw(encode(fields)), fields, base, FIRST_INPUT + index)
        seen.add(item.id)
        out.append(item)
    return out


def output_items(raw: bytes, base: str = "") -> list[Item]:
    """The entries of an `output` array. Items to which the provider gave no id get one made of
    `base` (that of the response: without it they would be the same for every response)."""
    return [
        _resource(entry, fields, base or base_of(""), index)
        for index, entry in enumerate(_elements(raw))
        if (fields := _members(entry)) is not None
    ]


def _resource(entry: Raw, fields: dict[str, Raw], base: str, number: int) -> Item:
    changes: dict[str, Raw] = {}
    kind = _text(fields.get("type"))
    identifier = _text(fields.get("id"))
    if not kind:
        kind = "item_reference" if identifier and _is_bare(fields) else "message"
        changes["type"] = Raw(quote(kind))
    if not identifier:
        identifier = f"{_PREFIXES.get(kind, 'item')}_{base}{number:04x}"
        changes["id"] = Raw(quote(identifier))
    if kind == "message":
        if _is_null(fields.get("status")):
            changes["status"] = _COMPLETED
        content = bytes(fields.get("content", NULL))
        if content[:1] == b'"':
            changes["content"] = Raw(_parts(content, _text(fields.get("role"))))
    if not changes:
        return Item(identifier, bytes(entry))
    first = {name: NULL for name in ("type", "id") if name in changes or name in fields}
    return Item(identifier, encode({**first, **fields, **changes}))


def _parts(text: bytes, role: str) -> bytes:
    if role == "assistant":
        return b'[{"type":"output_text","text":%b,"annotations":[],"logprobs":[]}]' % text
    return b'[{"type":"input_text","text":%b}]' % text


def _is_bare(fields: dict[str, Raw]) -> bool:
    return _is_null(fields.get("role")) and _is_null(fields.get("content"))


# arrays of items


def as_array(raw: bytes) -> bytes:
    """An `input` as an array: a string becomes one message of the user, null an empty array, and an
    array stays as it is."""
    first = raw.lstrip()[:1]
    if first == b'"':
        return b'[{"type":"message","role":"user","content":%b}]' % raw.strip()
    return raw if first == b"[" else b"[]"


def join(arrays: list[bytes]) -> bytes:
    """One array of the items of all arrays, in order. The items are not looked at."""
    inner = [found for array in arrays if (found := array.strip()[1:-1].strip())]
    return b"[%b]" % b",".join(inner)


def references(raw: bytes) -> list[tuple[int, str]]:
    """Place and id of the entries that stand for a stored item. One without `type`, `role` and
    `content` is a reference too."""
    if b'"id"' not in raw and not _has_escapes(raw):
        return []
    found: list[tuple[int, str]] = []
    for index, entry in enumerate(_elements(raw)):
        head = _head(entry)
        identifier = bytes(head.id)
        if identifier[:1] != b'"' or identifier == b'""':
            continue
        kind = bytes(head.type)
        if kind == b"null":
            is_reference = bytes(head.role) == bytes(head.content) == b"null"
        else:
            is_reference = _text(head.type) == "item_reference"
        if is_reference:
            found.append((index, _decode_text(identifier)))
    return found


def named(raw: bytes) -> tuple[bool, tuple[str, ...]]:
    """Whether an `input` array has references, and the ids that a provider which keeps items would
    look up in its own: those of items that do not hold what they stand for."""
    if (
        len(raw) < _LONG
        and b'"id"' not in raw
        and b"_id" not in raw
        and b"item_reference" not in raw
        and not _has_escapes(raw)
    ):
        return False, ()
    refers = False
    ids: list[str] = []
    held: set[str] = set()
    entries: list[Raw] | None = None
    for index, head in enumerate(_heads(raw)):
        kind = _text(head.type) or ""
        if not kind:
            refers |= _is_reference(head)
        elif kind == "item_reference":
            if not _text(head.id):
                raise checks.missing_parameter(f"input[{index}].id")
            refers = True
        elif kind not in _WHOLE and bytes(head.encrypted_content)[:1] != b'"':
            entries = entries or _elements(raw)
            if _holds(kind, _members(entries[index]) or {}):
                held.add(_text(head.id) or "")
                continue
            if bytes(entries[index]).count(b'"id"') > 1:  # two readers could mean two items
                raise BadRequest(
                    f"Invalid 'input[{index}]': it has more than one 'id'.",
                    code="invalid_value",
                    param=f"input[{index}].id",
                )
            ids += [text for text in (_text(head.id), _text(head.approval_request_id)) if text]
    return refers, tuple([item for item in ids if item not in held])


_SAY_NOTHING = frozenset(("type", "id", "status", "created_by"))
_HELD_BY = {"reasoning": "encrypted_content", "image_generation_call": "result"}
"""The member without which a provider looks the item up, whatever else it has."""


def _holds(kind: str, fields: dict[str, Raw]) -> bool:
    """Whether an item of the provider's side says itself what it was."""
    if kind == "mcp_approval_response":
        return False
    name = _HELD_BY.get(kind)
    if name is not None:
        return not _is_null(fields.get(name))
    return any(name not in _SAY_NOTHING and not _is_null(fields[name]) for name in fields)


def _is_reference(head: _Head) -> bool:
    return bytes(head.id)[:1] == b'"' and bytes(head.role) == bytes(head.content) == b"null"


def replace(raw: bytes, found: Mapping[int, bytes]) -> bytes:
    """The array with the entries at these places replaced. The others keep their bytes."""
    if not found:
        return raw
    return _array([
        found[index] if index in found else bytes(entry)
        for index, entry in enumerate(_elements(raw))
    ])  # fmt: skip


def has_compaction(raw: bytes, *, own: bool = False) -> bool:
    """Whether an output holds a compaction item, which stands for all that came before it. `own`:
    one that this gateway made, so that every provider can be told what it stands for."""
    return _last_compaction(raw, own=own) is not None


def after_compaction(raw: bytes) -> bytes:
    """The array from its last compaction item on; all of it when there is none."""
    last = _last_compaction(raw)
    return raw if last is None else _array([bytes(entry) for entry in _elements(raw)[last:]])


def _last_compaction(raw: bytes, *, own: bool = False) -> int | None:
    if b"compaction" not in raw and not _has_escapes(raw):
        return None
    entries = _elements(raw)
    for index in range(len(entries) - 1, -1, -1):
        head = _head(entries[index])
        if _text(head.type) == "compaction" and (
            not own or bytes(head.encrypted_content).startswith(_OURS)
        ):
            return index
    return None


def for_replay(output: bytes) -> bytes:
    """What of an output may be sent as input of the next turn.

    An answer that failed or was cut may end in what no provider takes back: a call whose arguments
    are not whole (no result can belong to it), a message without any text, reasoning that led to
    nothing ("provided without its required following item", OpenAI). Reasoning that this gateway
    sealed may come last in a whole answer, too: Gemini signs the end of it. All else keeps its
    bytes.
    """
    entries = _elements(output)
    kept = [entry for entry in entries if _is_whole(entry)]
    while kept and _led_nowhere(_head(kept[-1])):
        kept.pop()
    if len(kept) == len(entries):
        return output
    return _array([bytes(entry) for entry in kept])


def without_reasoning(items: bytes, *, sealed_too: bool = True) -> tuple[bytes, int]:
    """The array without the reasoning of the provider itself, and how many items that were: where
    it is sent to another account, nobody there can read it. What this gateway sealed stays, and
    without `sealed_too` so does what the provider sealed: it only is not looked up.

    What was written after it goes without its id then: a provider that knows the id (another key of
    the same account) refuses the item without the reasoning that led to it.
    """
    if b'"reasoning"' not in items:
        return items, 0
    entries = _elements(items)
    kept = [entry for entry in entries if not _is_native_reasoning(_head(entry), sealed_too)]
    if len(kept) == len(entries):
        return items, 0
    return _array([_nameless(entry) for entry in kept]), len(entries) - len(kept)


def reasoning_ids(items: bytes) -> list[str]:
    """The ids of reasoning that a provider sealed itself."""
    if b'"reasoning"' not in items:
        return []
    heads = [head for head in _heads(items) if _is_native_reasoning(head, True)]
    return [text for head in heads if (text := _text(head.id))]


def _nameless(entry: Raw) -> bytes:
    if _text(_head(entry).type) not in _WHOLE:
        return bytes(entry)
    fields = _members(entry) or {}
    fields.pop("id", None)
    return encode(fields)


def without(items: bytes, ids: frozenset[str]) -> bytes:
    """The array without the items that have one of these ids, or answer one."""
    entries = _elements(items)
    kept = [
        entry
        for entry in entries
        if _text((head := _head(entry)).id) not in ids
        and _text(head.approval_request_id) not in ids
    ]
    if len(kept) == len(entries):
        return items
    return _array([bytes(entry) for entry in kept])


def _is_native_reasoning(head: _Head, sealed_too: bool) -> bool:
    if bytes(head.type) != b'"reasoning"':
        return False
    sealed = bytes(head.encrypted_content)
    return not sealed.startswith(_OURS) if sealed_too else sealed[:1] != b'"'


def _led_nowhere(head: _Head) -> bool:
    return bytes(head.type) == b'"reasoning"' and (
        bytes(head.status) in _UNFINISHED or not bytes(head.encrypted_content).startswith(_OURS)
    )


def _is_whole(entry: Raw) -> bool:
    head = _head(entry)
    kind = bytes(head.type)
    if kind.endswith(b'_call"'):
        return bytes(head.status) not in _UNFINISHED
    if kind == b'"message"':
        return not _is_empty(bytes(head.content))
    return True


def _is_empty(content: bytes) -> bool:
    if content in (b"null", b"[]", b'""'):
        return True
    if content[:1] != b"[" or (b'""' not in content and content.strip(b"[] \t\r\n")):
        return False
    try:
        parts = _decode_parts(content)
    except ValueError:
        return False
    return all(bytes(part.type) == b'"output_text"' and bytes(part.text) == b'""' for part in parts)


# reading whatever it is


def _has_escapes(raw: bytes) -> bool:
    """Whether a name may be written with escapes. A single byte is looked for 90 times as fast as
    two, and images in data URLs, which are long, have no backslash."""
    return b"\\" in raw and b"\\u" in raw


def _array(entries: list[bytes]) -> bytes:
    return b"[%b]" % b",".join(entries)


def _elements(raw: bytes) -> list[Raw]:
    return _decode_array(raw) if raw else []


def _members(entry: Raw) -> dict[str, Raw] | None:
    try:
        return _decode_object(entry)
    except ValueError:
        return None


def _heads(raw: bytes) -> list[_Head]:
    try:
        return _decode_heads(raw)
    except ValueError:  # not all of them are objects
        return [_head(entry) for entry in _elements(raw)]


def _head(entry: Raw) -> _Head:
    try:
        return _decode_head(entry)
    except ValueError:
        return _NOTHING


def _is_null(raw: Raw | None) -> bool:
    return raw is None or bytes(raw) == b"null"


def _text(raw: Raw | None) -> str:
    """A JSON string; `""` for anything else."""
    if raw is None:
        return ""
    try:
        return _decode_text(raw)
    except ValueError:
        return ""
