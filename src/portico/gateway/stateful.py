"""Making a response of the Responses API: what was stored comes in, what is made is stored.

In front of the lanes: earlier responses, conversations and items that the request only names are
put into its `input`, so that a lane sees a request which says everything itself. Behind them a
`Recording` waits. Where the provider that is asked made the parent and keeps it, its own
`previous_response_id` is used instead, and the bytes stay the client's.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Raw, Struct, structs

from portico.dialects.base import SpliceRequest, StateAsk
from portico.dialects.responses.stored_calls import check_calls
from portico.dialects.responses.stored_items import (
    after_compaction,
    as_array,
    for_replay,
    has_compaction,
    join,
    named,
    reasoning_ids,
    references,
    without,
    without_reasoning,
)
from portico.errors import BadRequest, NotFound
from portico.gateway.call import Call, tenant_of
from portico.gateway.fallback import Fallback
from portico.gateway.items import foreign, resolve, unknown_item
from portico.gateway.losses import refuse_losses
from portico.gateway.target import Target
from portico.limits import Limits
from portico.model.losses import Loss
from portico.state.pointers import NOTHING, Pointing
from portico.state.port import StateStore
from portico.state.recording import Recording, Turn
from portico.state.records import LIVE
from portico.state.session import Remembered
from portico.wire.json import encode, quote

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway

_TRUE, _FALSE = Raw(b"true"), Raw(b"false")
_EMPTY = b"[]"


class Parent(Struct, frozen=True, gc=False):
    """What a request goes on from. `arrays` is the context, oldest first, and `origins` says where
    each was made (inputs: nowhere); None while only the provider's own copy is needed. `size` is
    its bytes."""

    id: str
    size: int
    arrays: tuple[bytes, ...] | None
    origin: str = ""
    kept: bool = False
    stored: bool = True
    origins: tuple[str, ...] = ()


class Context(Struct, frozen=True, gc=False):
    """What comes before a request's own input, as far as the target can be given it, and that input
    with references replaced. `parent` has all of it."""

    arrays: tuple[bytes, ...]
    fresh: bytes
    parent: Parent = Parent("", 0, ())
    size: int = 0
    native: bool = False


async def prepare(
    gateway: "Gateway", call: Call, target: Target, ask: SpliceRequest, *, spliced: bool
) -> Turn | None:
    """Make `ask` say everything itself; the turn to record, None for none. Raises `PorticoError`.

    `spliced`: the provider is asked in the client's own dialect.
    """
    state = ask.state
    session = call.session
    if state is None:
        return None
    if target.state != "gateway":
        return await _without_gateway(gateway, call, target, ask, state, spliced=spliced)
    keeps = spliced and target.keeps(call.outcome.upstream_model)
    if state.ids and keeps:
        await _check_owner(gateway, call, target, None, state.ids)
    store = state.store is not False
    if state.silent:
        if not store and session is None:
            _tell(ask, store=False, spliced=spliced)
            return None
        context = Context((), as_array(bytes(ask.fields.get("input", _EMPTY))))
        if session is not None:
            check_calls(_EMPTY, context.fresh)
    else:
        context = await _context(gateway, call, target, ask, state, spliced=spliced)
        if keeps and context.arrays:
            context = await _own(gateway, call, target, context)
    _rewrite(ask, context, state, store=store, spliced=spliced)
    before = context.parent
    whole = () if context.native else (before.arrays or ())
    given, parent = context.fresh, state.previous
    if store and not before.stored:
        # What it goes on from is on this connection only: the record has to say it all.
        given, whole, parent = join([*whole, given]), (), None
    turn = Turn(
        tenant=tenant_of(call),
        store=store,
        model=ask.model,
        retention=gateway.state.retention,
        input=given,
        context=whole,
        origins=before.origins if whole else (),
        context_bytes=context.size if whole or context.native else 0,
        parent=parent,
        conversation=state.conversation,
        changes=_changes(state, context, store=store, keeps=keeps) if spliced else {},
        origin=target.origin,
        keeps=keeps,
        native=spliced,
        session=session,
    )
    if context.native and state.previous is not None:
        expand = partial(_expand, gateway, call, target, ask, state, context, turn)
        call.fallback = Fallback(state.previous, expand)
    return turn


def record(gateway: "Gateway", call: Call, turn: Turn | None, *, background: bool = False) -> None:
    """Have the lane record what it makes. `background`: it is not over when its stream is."""
    if turn is None:
        return
    store = gateway.state.store
    if turn.pointer:
        call.recording = Pointing(store, turn, early=background)
    else:
        call.recording = Recording(store, turn, gateway.state.failed)


# what came before


async def _context(
    gateway: "Gateway",
    call: Call,
    target: Target,
    ask: SpliceRequest,
    state: StateAsk,
    *,
    spliced: bool,
) -> Context:
    if state.previous is not None and state.conversation is not None:
        raise BadRequest(
            "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Send one "
            "of them.",
            code="mutually_exclusive_parameters",
            param="previous_response_id",
        )
    tenant = tenant_of(call)
    store = gateway.state.store
    limits = call.snapshot.limits
    given = bytes(ask.fields.get("input", _EMPTY))
    fresh = as_array(given if given != b"null" else _EMPTY)
    native = False
    parent = Parent("", 0, ())
    if state.previous is not None:
        parent = await _parent(gateway, call, tenant, state.previous)
        native = (
            spliced
            and parent.kept
            and parent.origin == target.origin
            and target.keeps(call.outcome.upstream_model)
            and _reaches(call, target)
            and (call.session is None or state.store is not False)
        )
        _check_size(parent.size, limits)
        if not native and parent.arrays is None:
            parent = await _expanded(store, call, tenant, parent, target if spliced else None)
    elif state.conversation is not None:
        parent = await _conversation(store, call, tenant, state.conversation)
        if spliced:
            parent = await _read_by(gateway, call, target, parent)
    if state.refers:
        fresh = await resolve(gateway, call, fresh)
    arrays = () if native else (parent.arrays or ())
    if spliced:
        arrays = _given_to(call, target, parent, arrays)
    if arrays or (call.session is not None and not native):
        check_calls(join(list(arrays)), fresh)
    if arrays:
        gateway.account(call, sum([len(array) for array in arrays]))
    return Context(arrays, fresh, parent, parent.size, native)


def _reaches(call: Call, target: Target) -> bool:
    """Whether the provider gets to see the request: what it cannot count is counted here."""
    if call.endpoint is None or call.endpoint.kind != "count":
        return True
    return target.count_head("responses", call.outcome.upstream_model) is not None


async def _parent(gateway: "Gateway", call: Call, tenant: bytes, id: str) -> Parent:
    session = call.session
    if session is not None:
        found = session.recall(id)
        if found is not None:
            return _remembered(found)
    record = await gateway.state.store.get(tenant, id, gateway.now())
    if record is None:
        raise _unknown_parent(id)
    if record.conversation is not None:
        raise BadRequest(
            f"The response '{id}' is part of the conversation '{record.conversation}'. Continue it "
            "with 'conversation'.",
            code="invalid_value",
            param="previous_response_id",
        )
    if record.status in LIVE:
        raise BadRequest(
            f"The response '{id}' is still in progress. Continue it when it has ended.",
            code="response_in_progress",
            param="previous_response_id",
        )
    return Parent(id, record.context, None, record.origin, record.kept)


def _remembered(found: Remembered) -> Parent:
    kept = found.kept and found.stored
    return Parent(
        found.id, found.size, found.arrays, found.origin, kept, found.stored, found.origins
    )


async def _expanded(
    store: StateStore, call: Call, tenant: bytes, parent: Parent, target: Target | None
) -> Parent:
    """The parent with its context. `target`: who gets it as it is, if anybody."""
    links = await store.chain(tenant, parent.id)
    if links is None:
        raise BadRequest(
            f"Previous response with id '{parent.id}' cannot be continued: a response before it "
            "was deleted.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    _check_count([array for link in links for array in (link.input, link.output)], call)
    arrays: list[bytes] = []
    origins: list[str] = []
    for link in links:
        if link.input == NOTHING and not link.output:
            raise BadRequest(
                f"Previous response with id '{parent.id}' cannot be continued here: what came "
                "before it is only at the provider that made it.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        output = for_replay(link.output)
        if b'"compaction"' in output and _stands(output, link.origin, target):
            arrays, origins = [after_compaction(output)], [link.origin]
        else:
            arrays += (link.input, output)
            origins += ("", link.origin)
    return structs.replace(parent, arrays=tuple(arrays), origins=tuple(origins))


def _stands(output: bytes, origin: str, target: Target | None) -> bool:
    """Whether the compaction in this output says for the target what came before it: one of ours
    does for everybody, a provider's own for itself."""
    if target is not None and origin == target.origin:
        return has_compaction(output)
    return has_compaction(output, own=True)


def _given_to(
    call: Call, target: Target, parent: Parent, arrays: tuple[bytes, ...], *, keeps: bool = True
) -> tuple[bytes, ...]:
    """The context as a provider of the client's dialect can be given it: without reasoning that
    only another account can read, or that it would look up and (not `keeps`) does not have."""
    out: list[bytes] = []
    lost = 0
    looked_up = keeps and parent.stored
    for place, array in enumerate(arrays):
        origin = parent.origins[place] if place < len(parent.origins) else ""
        kept, count = array, 0
        if origin and origin != target.origin:
            kept, count = without_reasoning(array)
        elif origin and not looked_up:
            kept, count = without_reasoning(array, sealed_too=False)
        out.append(kept)
        lost += count
    if lost:
        _declare(call, target, Loss("input", "dropped", "reasoning of another provider"))
    return tuple(out)


def _declare(call: Call, target: Target, loss: Loss) -> None:
    losses = call.outcome.losses = [*(call.outcome.losses or ()), loss]
    call.tell_losses = target.on_loss != "ignore"
    if target.on_loss == "reject":
        raise refuse_losses(losses)


async def _conversation(store: StateStore, call: Call, tenant: bytes, id: str) -> Parent:
    if await store.conversation(tenant, id) is None:
        raise NotFound(
            f"Conversation with id '{id}' not found.",
            code="conversation_not_found",
            param="conversation",
        )
    size = await store.weigh(tenant, id)
    _check_size(size, call.snapshot.limits)
    entries = await store.entries(tenant, id, after=None, limit=None, order="asc") or []
    items = b"[" + b",".join([entry.body for entry in entries]) + b"]"
    _check_count([items], call)
    return Parent("", size, (after_compaction(items) if has_compaction(items) else items,))


async def _own(gateway: "Gateway", call: Call, target: Target, context: Context) -> Context:
    """The context without items of elsewhere that the target would look up among its own."""
    ids = [item for array in context.arrays for item in named(array)[1]]
    others = await foreign(gateway, call, target, ids) if ids else frozenset()
    if not others:
        return context
    _declare(call, target, Loss("input", "dropped", "items that another provider keeps"))
    arrays = tuple(without(array, others) for array in context.arrays)
    return structs.replace(context, arrays=arrays)


async def _read_by(gateway: "Gateway", call: Call, target: Target, parent: Parent) -> Parent:
    """The items of a conversation without reasoning that the target did not seal."""
    ids = [item for array in parent.arrays or () for item in reasoning_ids(array)]
    others = await foreign(gateway, call, target, ids, kept=False) if ids else frozenset()
    if not others:
        return parent
    _declare(call, target, Loss("input", "dropped", "reasoning of another provider"))
    arrays = tuple(without(array, others) for array in parent.arrays or ())
    return structs.replace(parent, arrays=arrays)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.chain_bytes:
        raise BadRequest(
            f"What came before this request is {size} bytes, and this gateway continues up to "
            f"{limits.chain_bytes}. Compact it, or begin anew.",
            code="context_length_exceeded",
            param="input",
            limit="chainBytes",
        )


def _check_count(arrays: list[bytes], call: Call) -> None:
    """What is small in bytes may be large in items, each of which is looked at."""
    most = call.snapshot.limits.json_values
    if sum([array.count(b"{") for array in arrays]) > most:
        raise BadRequest(
            f"What came before this request has more than {most} items and parts. Compact it, or "
            "begin anew.",
            code="context_length_exceeded",
            param="input",
            limit="jsonValues",
        )


def _unknown_parent(id: str) -> BadRequest:
    return BadRequest(
        f"Previous response with id '{id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


# what the lane gets


def _rewrite(
    ask: SpliceRequest, context: Context, state: StateAsk, *, store: bool, spliced: bool
) -> None:
    """Put what was remembered into the request."""
    if state.silent:
        _tell(ask, store=store, spliced=spliced)
        return
    written = ask.fields
    fields = dict(written)
    fields.pop("conversation", None)
    fields.pop("background", None)
    if not context.native:
        fields.pop("previous_response_id", None)
    if context.arrays or state.refers:
        fields["input"] = Raw(join([*context.arrays, context.fresh]))
    elif "input" not in fields:
        fields["input"] = Raw(_EMPTY)
    ask.told = {**written, "store": _TRUE if store else _FALSE}
    ask.fields = fields
    ask.body = encode(fields)


def _tell(ask: SpliceRequest, *, store: bool, spliced: bool) -> None:
    """`store` as it is, for an answer that is written here."""
    if not spliced and ask.fields.get("store") != (_TRUE if store else _FALSE):
        ask.told = {**ask.fields, "store": _TRUE if store else _FALSE}


def _changes(state: StateAsk, context: Context, *, store: bool, keeps: bool) -> Mapping[str, bytes]:
    """What the provider's response object says otherwise, because it was asked something else."""
    changes: dict[str, bytes] = {}
    if state.previous is not None and not context.native:
        changes["previous_response_id"] = quote(state.previous)
    if state.conversation is not None:
        changes["conversation"] = b'{"id":%b}' % quote(state.conversation)
    if changes and store and not keeps:
        changes["store"] = b"true"
    return changes


async def _expand(
    gateway: "Gateway",
    call: Call,
    target: Target,
    ask: SpliceRequest,
    state: StateAsk,
    context: Context,
    turn: Turn,
) -> None:
    """The provider has the parent no more: put it into the request after all."""
    parent = await _parent(gateway, call, turn.tenant, state.previous or "")
    if parent.arrays is None:
        parent = await _expanded(gateway.state.store, call, turn.tenant, parent, target)
    arrays = _given_to(call, target, parent, parent.arrays or (), keeps=False)
    check_calls(join(list(arrays)), context.fresh)
    whole = Context(arrays, context.fresh, parent, context.size)
    told = ask.told
    _rewrite(ask, whole, state, store=turn.store, spliced=True)
    ask.told = told
    turn.context, turn.origins = parent.arrays or (), parent.origins
    turn.changes = _changes(state, whole, store=turn.store, keeps=turn.keeps)


# what is kept elsewhere, or nowhere


async def _without_gateway(
    gateway: "Gateway",
    call: Call,
    target: Target,
    ask: SpliceRequest,
    state: StateAsk,
    *,
    spliced: bool,
) -> Turn | None:
    """This gateway keeps nothing for the model: the provider does (`provider`), or nobody. Raises
    `PorticoError` for what would need it, and for what is another tenant's at the provider."""
    kept = target.state == "provider" and spliced
    given = bytes(ask.fields.get("input", _EMPTY))
    refers = references(as_array(given))
    for name, used in (
        ("conversation", state.conversation is not None),
        ("previous_response_id", state.previous is not None and not kept),
        ("background", state.background and not kept),
        ("input", bool(refers) and not kept),
    ):
        if used:
            raise _unsupported(name)
    if kept:
        items = (*[name for _, name in refers], *state.ids)
        await _check_owner(gateway, call, target, state.previous, items)
        return _pointer(gateway, call, target, ask) if state.store is not False else None
    if not spliced:
        _tell(ask, store=False, spliced=False)
    elif state.store is not False and call.endpoint is not None and call.endpoint.kind != "count":
        ask.changes = {**(ask.changes or {}), "store": b"false"}
    return None


def _unsupported(name: str) -> BadRequest:
    what = "an 'item_reference'" if name == "input" else f"'{name}'"
    return BadRequest(
        f"Unsupported parameter: {what} is not supported with this model: it needs stored state "
        "that this gateway does not keep for it. Send everything in 'input'.",
        code="unsupported_parameter",
        param=name,
    )


async def _check_owner(
    gateway: "Gateway", call: Call, target: Target, previous: str | None, items: tuple[str, ...]
) -> None:
    """What is named has to be the tenant's own: all tenants are one to the provider."""
    tenant, store = tenant_of(call), gateway.state.store
    if previous is not None:
        record = await store.get(tenant, previous, gateway.now())
        if record is None or not record.kept or record.origin != target.origin:
            raise _unknown_parent(previous)
    for item in await foreign(gateway, call, target, items):
        raise unknown_item(item)


def _pointer(gateway: "Gateway", call: Call, target: Target, ask: SpliceRequest) -> Turn:
    """The turn of a response that only the provider keeps."""
    return Turn(
        tenant=tenant_of(call),
        store=True,
        model=ask.model,
        retention=gateway.state.retention,
        input=NOTHING,
        origin=target.origin,
        keeps=True,
        native=True,
        pointer=True,
    )
