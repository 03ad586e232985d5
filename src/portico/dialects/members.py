"""Members of a request body that an operator sets, said in whichever dialect a client speaks.

One `max_tokens` in the configuration is to hold for clients of all three dialects, so names that
mean the same are known here. What a dialect has under the name that was written is taken as it was
written; what only other dialects have is translated if that is clean, and left out if not; what no
dialect has is some vendor's own and passes as it is.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from portico.dialects.chat.body import READ
from portico.dialects.chat.wire import PARAMETERS as CHAT
from portico.dialects.messages.maps import SERVICE_TIERS
from portico.dialects.messages.request_in import PARAMETERS as MESSAGES_READ
from portico.dialects.messages.wire import PARAMETERS as MESSAGES
from portico.dialects.responses.wire import PARAMETERS as RESPONSES
from portico.model.losses import Loss
from portico.wire.json import encode, splice

Place = tuple[str, str]
"""A member, and one inside it or `""` for the member itself."""
Fields = dict[str, Raw]
Value = Raw | bytes


class Edit(Struct, frozen=True):
    """One member to set, as JSON text; null takes it out. `same` are other ways to say it, which a
    default leaves alone and an override replaces; with something at `unless` a default has no
    place. `wakes`: overrides what a client says against thinking."""

    place: Place
    value: bytes
    same: tuple[Place, ...] = ()
    unless: tuple[Place, ...] = ()
    wakes: bool = False


class Edits(Struct, frozen=True):
    """What to do for one dialect. `losses` is what that dialect cannot say."""

    overrides: tuple[Edit, ...]
    defaults: tuple[Edit, ...]
    losses: tuple[Loss, ...] = ()

    def only(self, names: frozenset[str]) -> "Edits":
        """Those of these members."""
        return Edits(
            tuple(edit for edit in self.overrides if edit.place[0] in names),
            tuple(edit for edit in self.defaults if edit.place[0] in names),
        )

    def apply(self, fields: Fields) -> None:
        """Change `fields`. Values that change are new objects, all others stay the same ones."""
        for edit in self.overrides:
            _put(fields, edit.place, edit.value)
            for place in edit.same:
                _put(fields, place, _NULL)
            if edit.wakes and edit.value != _NULL and _is_off(fields):
                del fields["thinking"]
        for edit in self.defaults:
            if not any(_said(fields, place) for place in (edit.place, *edit.same, *edit.unless)):
                _put(fields, edit.place, edit.value)


_NULL = b"null"
_NAMES: dict[str, frozenset[str]] = {
    "chat": CHAT | READ,
    "messages": MESSAGES | MESSAGES_READ,
    "responses": RESPONSES | {"caching"},
}
_ANY = frozenset().union(*_NAMES.values())

_CONCEPTS: tuple[dict[str, tuple[Place, ...]], ...] = (
    {
        "chat": (("max_completion_tokens", ""), ("max_tokens", "")),
        "messages": (("max_tokens", ""),),
        "responses": (("max_output_tokens", ""),),
    },
    {
        "chat": (("stop", ""),),
        "messages": (("stop_sequences", ""),),
    },
    {
        "chat": (("reasoning_effort", ""), ("reasoning", "effort")),
        "messages": (("output_config", "effort"),),
        "responses": (("reasoning", "effort"),),
    },
    {
        "chat": (("user", ""),),
        "messages": (("metadata", "user_id"),),
        "responses": (("user", ""),),
    },
    {
        "chat": (("verbosity", ""),),
        "responses": (("text", "verbosity"),),
    },
)
"""The same thing in each dialect that can say it; the first place is the one to translate to."""
_BY_PLACE = {
    place: concept
    for concept in _CONCEPTS
    for places in concept.values()
    for place in places
}  # fmt: skip
_UNLESS: dict[tuple[str, Place], tuple[Place, ...]] = {
    ("chat", ("reasoning_effort", "")): (("reasoning", ""),),
    ("messages", ("output_config", "effort")): (("thinking", ""),),
}
_SAME: dict[tuple[str, Place], tuple[Place, ...]] = {
    ("responses", ("tool_choice", "")): (("allowed_tools", ""),),
}
_OBJECTS: dict[str, frozenset[str]] = {
    "chat": frozenset(("output_config", "text", "thinking")),
    "messages": frozenset(("metadata", "reasoning", "text")),
    "responses": frozenset(("output_config", "thinking")),
}
"""Objects of another dialect, per dialect that has some of what is inside."""
_LEFT: dict[str, frozenset[str]] = {
    "chat": frozenset(("model", "stream", "messages")),
    "messages": frozenset(("model", "stream", "messages")),
    "responses": frozenset((
        "model", "stream", "input", "allowed_tools", "background", "conversation",
        "previous_response_id",
    )),
}  # fmt: skip
"""What is read before anything is changed, and so is the client's."""
_TIERS_OF_MESSAGES = frozenset((b'"auto"', b'"standard_only"'))
COUNTED: dict[str, frozenset[str]] = {
    "chat": frozenset(),
    "messages": frozenset((
        "tools", "tool_choice", "mcp_servers", "system", "thinking", "output_config",
    )),
    "responses": frozenset((
        "instructions", "tools", "tool_choice", "text", "reasoning", "truncation",
        "parallel_tool_calls",
    )),
}  # fmt: skip
"""Members that change a count, which are those that the endpoints for it take:
https://platform.claude.com/docs/en/api/messages/count_tokens,
https://platform.openai.com/docs/api-reference/responses/input-tokens (2026-11-21)"""

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


def edits_for(dialect: str, overrides: Mapping[str, bytes], defaults: Mapping[str, bytes]) -> Edits:
    """The edits in one dialect. Values are JSON text. What stands under the dialect's own names
    goes before what is translated."""
    losses: list[Loss] = []
    always, foreign = _compile(dialect, overrides, losses)
    missing, translated = _compile(dialect, defaults, losses)
    return Edits(
        (*foreign, *always),
        tuple(edit for edit in (*missing, *translated) if edit.value != _NULL),
        tuple(dict.fromkeys(losses)),
    )


def _compile(
    dialect: str, members: Mapping[str, bytes], losses: list[Loss]
) -> tuple[list[Edit], list[Edit]]:
    """The edits under the dialect's own names, and the translated ones."""
    own: list[Edit] = []
    translated: list[Edit] = []
    for name, value in members.items():
        text = bytes(value).strip()
        if name in _LEFT[dialect]:
            losses.append(Loss(name, "dropped", "a default or override cannot set this"))
        elif name == "service_tier":
            own += _service_tier(dialect, text, losses)
        elif name == "stream_options" and dialect == "responses":
            own += _stream_options(text)
        elif text == _NULL and name in _NAMES[dialect]:
            own.append(_edit(dialect, (name, ""), text))
        elif name in _OBJECTS[dialect] or (
            dialect == "chat" and name == "reasoning" and _inside(text).keys() == {"effort"}
        ):
            translated += _from_object(dialect, name, text, losses)
        elif name in _NAMES[dialect]:
            own.append(_edit(dialect, (name, ""), text))
        elif (name, "") in _BY_PLACE:
            translated += _translated(dialect, (name, ""), text, losses)
        elif name in _ANY:
            losses.append(_no_word(name))
        else:
            own.append(Edit((name, ""), text))
    return own, translated


def _no_word(path: str) -> Loss:
    return Loss(path, "dropped", "a default or override that this API has no word for")


def _edit(dialect: str, place: Place, value: bytes) -> Edit:
    same = _SAME.get((dialect, place)) or _BY_PLACE.get(place, {}).get(dialect, ())
    return Edit(
        place,
        value,
        tuple(other for other in same if other != place),
        _UNLESS.get((dialect, place), ()),
        wakes=dialect == "messages" and place == ("output_config", "effort"),
    )


def _translated(dialect: str, place: Place, value: bytes, losses: list[Loss]) -> list[Edit]:
    """What another dialect says at `place`."""
    places = _BY_PLACE[place].get(dialect)
    if places is None:
        losses.append(_no_word(".".join(filter(None, place))))
        return []
    there = places[0]
    if there == ("stop_sequences", "") and value[:1] == b'"':
        value = b"[%b]" % value
    elif there == ("output_config", "effort"):
        if value == b'"none"':
            return [Edit(("thinking", ""), b'{"type":"disabled"}', unless=(there,))]
        if value == b'"minimal"':
            value = b'"low"'  # the least there is
    return [_edit(dialect, there, value)]


def _from_object(dialect: str, name: str, text: bytes, losses: list[Loss]) -> list[Edit]:
    """What an object of another dialect says, member by member."""
    edits: list[Edit] = []
    inside = _inside(text)
    if name == "thinking":
        if bytes(inside.get("type", Raw(_NULL))) == b'"disabled"':
            return _translated(dialect, ("output_config", "effort"), b'"none"', losses)
        inside = {}
    for inner, raw in inside.items():
        place = (name, inner)
        if place in _BY_PLACE:
            edits += _translated(dialect, place, bytes(raw), losses)
        else:
            losses.append(_no_word(f"{name}.{inner}"))
    if not inside:
        losses.append(_no_word(name))
    return edits


def _service_tier(dialect: str, text: bytes, losses: list[Loss]) -> list[Edit]:
    """OpenAI's words for Anthropic's and the other way round, where one is not the other's too."""
    if dialect == "messages" and text not in _TIERS_OF_MESSAGES and text != _NULL:
        word = SERVICE_TIERS.get(text[1:-1].decode())
        if word is None:
            losses.append(_no_word("service_tier"))
            return []
        text = encode(word)
    elif dialect != "messages" and text == b'"standard_only"':
        text = b'"default"'
    return [Edit(("service_tier", ""), text)]


def _stream_options(text: bytes) -> list[Edit]:
    """Without `include_usage`, which is Chat's: usage is always told here."""
    inside = _inside(text)
    if inside.pop("include_usage", None) is not None:
        if not inside:
            return []
        text = encode(inside)
    return [Edit(("stream_options", ""), text)]


def _inside(raw: Value) -> Fields:
    """The members of an object; empty for what is none."""
    try:
        return _decode_members(raw)
    except ValueError:
        return {}


def _is_null(raw: Value | None) -> bool:
    return raw is None or (len(raw) == len(_NULL) and bytes(raw) == _NULL)


def _is_object(raw: Value) -> bool:
    return memoryview(raw)[0] == ord("{")


def _said(fields: Fields, place: Place) -> bool:
    """Whether there is something at `place`. Where an object should be and is not, too: that is
    for the reader to refuse."""
    name, inner = place
    raw = fields.get(name)
    if _is_null(raw) or raw is None:
        return False
    return not inner or not _is_object(raw) or not _is_null(_inside(raw).get(inner))


def _put(fields: Fields, place: Place, value: bytes) -> None:
    """Set what is at `place`, or with null take it out."""
    name, inner = place
    if not inner:
        if value == _NULL:
            fields.pop(name, None)
        else:
            fields[name] = Raw(value)
        return
    raw = fields.get(name)
    if raw is None or _is_null(raw):
        if value != _NULL:
            fields[name] = Raw(encode({inner: Raw(value)}))
    elif _is_object(raw):
        inside = _inside(raw)
        if value != _NULL:
            fields[name] = Raw(splice(inside, {inner: value}))
        elif inside.pop(inner, None) is not None:
            if inside:
                fields[name] = Raw(encode(inside))
            else:
                del fields[name]


def _is_off(fields: Mapping[str, Raw]) -> bool:
    """Whether a Messages client turns thinking off."""
    raw = fields.get("thinking")
    if raw is None or not _is_object(raw):
        return False
    return bytes(_inside(raw).get("type", Raw(_NULL))) in (b'"disabled"', b'"between_tools"')


def changed(before: Mapping[str, Raw], after: Mapping[str, Raw]) -> Iterable[str]:
    """The names whose values are not the same objects."""
    names = [name for name, raw in after.items() if before.get(name) is not raw]
    return [*names, *[name for name in before if name not in after]]
