"""What an operator changes about the requests for a model: overrides, defaults, prompts.

Applied to the request in its client's dialect, before either lane reads it. It comes after stored
state was put in: what is recorded as the client's own input is free of it. A request that may go to
several targets is shaped for each of them anew: a copy made before (`structs.replace(ask)`) is as
the request was, because no value is changed in place, and `undo` goes back to it.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from portico.config.settings import Shaping
from portico.dialects import checks
from portico.dialects.base import SpliceRequest
from portico.dialects.chat.prompts import ChatPrompts
from portico.dialects.chat.shaped import settle
from portico.dialects.members import COUNTED, Edits, changed, edits_for
from portico.dialects.messages.prompts import MessagesPrompts
from portico.dialects.prompts import Prompts
from portico.dialects.responses.prompts import ResponsesPrompts
from portico.model.losses import Loss
from portico.wire.json import encode

_NULL = Raw(b"null")
_PROMPTS: dict[str, type[ChatPrompts | MessagesPrompts | ResponsesPrompts]] = {
    "chat": ChatPrompts,
    "messages": MessagesPrompts,
    "responses": ResponsesPrompts,
}
_OURS = ("allowed_tools", "caching")
"""Parameters that gateways have and OpenAI has not: only the body holds them, for the reader of
the translate lane (see `responses.request`)."""
_CHAINED = ("previous_response_id", "conversation")
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


class _Plan(Struct, frozen=True):
    """What is done to one kind of request in one dialect."""

    edits: Edits
    prompts: Prompts | None
    losses: tuple[Loss, ...]


class Shaper:
    """The shaping of one target, compiled."""

    __slots__ = ("_plans",)

    def __init__(self, shaping: Shaping) -> None:
        self._plans: dict[tuple[str, str], _Plan] = {}
        before = [(prompt.role, prompt.content) for prompt in shaping.prepend]
        after = [(prompt.role, prompt.content) for prompt in shaping.append]
        for name, make in _PROMPTS.items():
            prompts = make(before, after) if before or after else None
            edits = edits_for(name, shaping.overrides, shaping.defaults)
            self._plans[name, "generate"] = _Plan(edits, prompts, edits.losses)
            # What is counted is what would be sent; a counter takes no other members.
            self._plans[name, "count"] = _Plan(edits.only(COUNTED[name]), prompts, ())
            # A summary is of the client's conversation: prompts come again with the next request.
            self._plans[name, "compact"] = _Plan(edits, None, edits.losses)

    def shape(
        self,
        ask: SpliceRequest,
        dialect: str,
        *,
        kind: str = "generate",
        native: bool = False,
    ) -> tuple[Loss, ...]:
        """Change `ask`, of this client dialect. `kind` is `Endpoint.kind`; `native`: the provider
        goes on from what it keeps.

        Returns what the dialect has no word for: the operator's concern, and no reason to refuse a
        request. Never raises: whoever reads the result says what is wrong with it.
        """
        plan = self._plans.get((dialect, kind))
        if plan is None:
            return ()
        written = ask.fields
        fields = dict(written)
        if ask.changes is not None and dialect == "responses":
            _reveal(ask.body, fields)
        revealed = dict(fields)
        plan.edits.apply(fields)
        if not ask.stream and "stream_options" in fields:
            _take_back(fields, written, "stream_options")  # refused where nothing is streamed
        edited = list(changed(revealed, fields))
        said = fields
        put: dict[str, bytes] = {}
        if plan.prompts is not None:
            put = plan.prompts.put(fields, begun=native or _is_chained(fields))
            fields = {**fields, **{name: Raw(value) for name, value in put.items()}}
        if edited or put:
            if dialect == "responses":
                ask.told = _told(ask, said, edited, put)
            _rewrite(ask, fields, edited, dialect)
        return plan.losses


def check_required(ask: SpliceRequest, dialect: str) -> None:
    """Raise `BadRequest` for a request to generate that lacks what its dialect requires and a
    default may give: after shaping, or without any."""
    if dialect == "messages" and ask.fields.get("max_tokens", _NULL) == _NULL:
        raise checks.missing_parameter("max_tokens")


def undo(ask: SpliceRequest, plain: SpliceRequest) -> None:
    """Make `ask` what it was when it was copied to `plain`."""
    ask.fields, ask.body, ask.changes, ask.told = (
        plain.fields,
        plain.body,
        plain.changes,
        plain.told,
    )
    ask.hides_usage, ask.choices = plain.hides_usage, plain.choices


def instructions_told(plain: SpliceRequest, shaped: SpliceRequest) -> dict[str, bytes]:
    """How a provider's response object is to be changed (`Turn.changes`) so that it repeats the
    client's instructions, `plain`, and not the operator's prompts."""
    own, sent = plain.fields.get("instructions"), shaped.fields.get("instructions")
    if own is sent:
        return {}
    return {"instructions": bytes(own) if own is not None else b"null"}


def _rewrite(ask: SpliceRequest, fields: dict[str, Raw], edited: list[str], dialect: str) -> None:
    """Put the members into the request, for both lanes."""
    ask.body = encode(fields)
    if dialect == "responses":
        fields = {name: raw for name, raw in fields.items() if name not in _OURS}
    ask.fields = fields
    if ask.changes is not None:
        # `store` stands there where nobody is to keep anything, which the operator said elsewhere.
        ask.changes = {
            name: raw for name, raw in ask.changes.items() if name == "store" or name not in edited
        }
    elif dialect == "responses" and "caching" in edited:
        ask.changes = {}  # the body says more than the provider is to get
    if dialect == "chat":
        settle(ask)


def _told(
    ask: SpliceRequest, said: dict[str, Raw], edited: list[str], put: Mapping[str, bytes]
) -> dict[str, Raw] | None:
    """The members to repeat in the answer: what was asked for in effect, without prompts. Whether
    it is stored is not the operator's word: `store` says what happens here."""
    if ask.told is None and not put and "store" not in edited:
        return None
    told = dict(ask.fields if ask.told is None else ask.told)
    for name in edited:
        if name == "store":
            continue
        if name in said:
            told[name] = said[name]
        else:
            told.pop(name, None)
    return told


def _reveal(body: bytes, fields: dict[str, Raw]) -> None:
    """Put in what only the body holds."""
    if b'"allowed_tools"' in body or b'"caching"' in body:
        members = _decode_members(body)
        for name in _OURS:
            if name in members:
                fields[name] = members[name]


def _take_back(fields: dict[str, Raw], written: Mapping[str, Raw], name: str) -> None:
    if name in written:
        fields[name] = written[name]
    else:
        del fields[name]


def _is_chained(fields: Mapping[str, Raw]) -> bool:
    """Whether the provider is asked to go on from what it keeps."""
    return any(fields.get(name, _NULL) != _NULL for name in _CHAINED)
