"""The plan of a request that leaves a choice: which targets, in which order.

What counts, the strongest first: what the caller asks for (controls in body or headers), where the
state is that the request goes on from, the rules of the configuration, health and speed.
"""

import re
from random import Random
from time import time
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, structs

from portico.dialects.base import Dialect, SpliceRequest
from portico.errors import BadRequest, InternalError, NotFound
from portico.gateway.call import Call, tenant_of
from portico.gateway.controls import Controls, read_controls
from portico.gateway.planning import Entry
from portico.gateway.snapshot import Route
from portico.http.messages import Request
from portico.model.sealed import PREFIX
from portico.routing.attempts import Attempts
from portico.routing.matching import Facts
from portico.routing.plan import NO_WISHES, Choice, NoChoiceError, Tiers, Wishes, best, narrowed

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway

RANDOM = Random()  # noqa: S311 - it spreads load, it keeps no secret
_decode_text = msgspec.json.Decoder(str).decode
_MOST_KEY = 512
"""Characters of a key that count."""
_PREFIX = PREFIX.encode()
_SEALED = re.compile(_PREFIX + rb"[A-Za-z0-9_-]{16,}")
_MOST_SEALED = 8
"""How many sealed values are looked at, from the end, for where they were made."""
CACHE_KEY = "prompt_cache_key"


def entry_of(
    route: Route, call: Call, written: str, param: str = "model"
) -> tuple[Entry, str, str]:
    """The entry for a model name; the name behind an alias or a `provider/`; that provider, or
    nothing. One 404 for what there is not and what the caller may not use."""
    alias = route.aliases.find(written) if route.aliases is not None else None
    name = alias or written
    provider = ""
    entry = route.models.find(name)
    if "/" in name and (entry is None or entry.name == "*"):  # nothing more specific has it
        label, _, model = name.partition("/")
        served = route.providers.get(label.casefold())
        found = served.find(model) if served is not None else None
        if found is not None:
            entry, name, provider = found, model, label.casefold()
    # What the operator wrote may be an internal name, what the caller writes may not.
    if entry is None or not (entry.public or alias) or (
        call.caller is not None and not call.caller.may_use(written)
    ):  # fmt: skip
        raise NotFound(
            f"The model '{written}' does not exist or you do not have access to it.",
            code="model_not_found",
            param=param,
        )
    return entry, name, provider


def goes_on(ask: SpliceRequest) -> bool:
    """Whether the request should go where others went before it."""
    state = ask.state
    return (
        CACHE_KEY in ask.fields or (state is not None and not state.silent) or _PREFIX in ask.body
    )


async def planned(
    gateway: "Gateway", call: Call, request: Request, dialect: Dialect, ask: SpliceRequest
) -> Attempts:
    """The attempt loop of the request. Raises `BadRequest`, `NotFound`."""
    entry = call.entry
    if entry is None:
        raise InternalError("Internal error.", debug="planned without an entry")
    controls = _controls(call, entry, request, ask)
    several = len(entry.backends) > 1 or len(entry.backends[0].credentials) > 1
    wishes = (
        await _wishes(gateway, call, ask, controls, entry)
        if several or controls is not None  # one target may be one that is not wanted
        else NO_WISHES
    )
    facts = _facts(call, request, dialect, ask)
    # One conversation draws the same lot every time; its pauses are as random as any.
    rng = Random(wishes.key) if wishes.key else RANDOM  # noqa: S311
    tiers = _tiers(entry, facts, rng, wishes)
    models: list[Tiers] = []
    if controls is not None:
        if not controls.fallbacks and tiers:
            now = call.outcome.started
            well = [c for c in tiers[0] if c.backend.health.available(now)]
            home = [c for tier in tiers for c in tier if _is_home(c, wishes.origin)]
            tiers = ((best(home or well or tiers[0], wishes, now, rng),),)
        if call.route is not None:
            for model in controls.models:
                if model == ask.model:  # some lists begin with what is asked for anyway
                    continue
                other, name, _ = entry_of(call.route, call, model, "models")
                try:
                    models.append(_tiers(other, facts, rng, wishes, name))
                except BadRequest:  # one that is not for requests like this is passed over
                    continue
    larger: Tiers = ()
    if controls is None or controls.fallbacks:
        larger = _larger(entry, facts, rng, wishes)
    return Attempts(
        tiers, entry.retry, entry.budget, call.deadline, RANDOM, wishes, tuple(models), larger
    )


def _is_home(choice: Choice, origin: str) -> bool:
    return origin != "" and any(origin in each.homes for each in choice.backend.credentials)


def _larger(entry: Entry, facts: Facts, rng: Random, wishes: Wishes) -> Tiers:
    """Where the request may go if it is too long. None where no condition holds for it: that is no
    reason not to ask the model itself."""
    if entry.on_context is None:
        return ()
    try:
        return narrowed(entry.on_context.tiers(facts, rng), wishes)
    except NoChoiceError:
        return ()


def tiers_of(
    entry: Entry, call: Call, request: Request, dialect: Dialect, ask: SpliceRequest
) -> Tiers:
    """The targets of another entry for this request. Raises `BadRequest`."""
    return _tiers(entry, _facts(call, request, dialect, ask), RANDOM, NO_WISHES)


def _facts(call: Call, request: Request, dialect: Dialect, ask: SpliceRequest) -> Facts:
    return Facts(
        headers=request.headers,
        caller=call.outcome.caller or {},
        fields=ask.fields,
        model=ask.model,
        stream=ask.stream,
        dialect=dialect.name,
        body_bytes=len(ask.body),
        seen={},
        counts={},
    )


def _controls(call: Call, entry: Entry, request: Request, ask: SpliceRequest) -> Controls | None:
    """What the caller asks for; taken out of the body where it is for this gateway."""
    # OpenRouter has the same controls, over more providers than this gateway sees.
    passes_on = all(
        backend.credentials[0].target.kind == "openrouter" for backend in entry.backends
    )
    controls = read_controls({} if passes_on else ask.fields, request.headers)
    if controls is None:
        return None
    if controls.consumed:
        fields = {name: raw for name, raw in ask.fields.items() if name not in controls.consumed}
        fields.update((name, Raw(text)) for name, text in controls.rest.items())
        ask.fields = fields
        ask.changes = ask.changes or {}
    outcome = call.outcome
    outcome.tags, outcome.user = controls.tags, controls.user
    if controls.timeouts:
        call.first_bytes = controls.timeouts
    return controls


def _tiers(entry: Entry, facts: Facts, rng: Random, wishes: Wishes, name: str = "") -> Tiers:
    try:
        tiers = entry.node.tiers(facts, rng)
    except NoChoiceError:
        raise BadRequest(
            f"No target of the model '{entry.name}' is for a request like this.",
            code="virtual_model_no_matching_target",
            param="model",
        ) from None
    if name:  # a further model is not asked for under the first one's name
        tiers = tuple(
            tuple(c if c.asked else structs.replace(c, asked=name) for c in tier) for tier in tiers
        )
    return narrowed(tiers, wishes)


async def _wishes(
    gateway: "Gateway", call: Call, ask: SpliceRequest, controls: Controls | None, entry: Entry
) -> Wishes:
    key = ""
    raw = ask.fields.get(CACHE_KEY)
    if raw is not None:
        try:
            key = _decode_text(raw)
        except ValueError:
            key = ""  # the provider says what is wrong with it
    if not key and ask.state is not None and ask.state.conversation is not None:
        key = ask.state.conversation
    if key:  # nobody is to choose the place that others' keys lead to
        key = f"{tenant_of(call).hex()}/{key[:_MOST_KEY]}"
    sort = entry.sort
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = (call.provider,) if call.provider else ()
    ignore: tuple[str, ...] = ()
    if controls is not None:
        sort = controls.sort or sort
        order, only, ignore = (
            tuple(name.casefold() for name in names)
            for names in (controls.order, controls.only or only, controls.ignore)
        )
    return Wishes(
        order=order,
        only=only,
        ignore=ignore,
        sort=sort,
        origin="" if order else await _origin(gateway, call, ask),
        key=key,
        asked=call.name,
    )


async def _origin(gateway: "Gateway", call: Call, ask: SpliceRequest) -> str:
    """The account that holds what the request goes on from: that of the response before, or that
    whose reasoning it carries. Empty for none."""
    state = ask.state
    if state is not None and state.previous is not None:
        if call.session is not None:
            found = call.session.recall(state.previous)
            if found is not None:
                return found.origin
        record = await gateway.state.store.get(tenant_of(call), state.previous, time())
        return record.origin if record is not None else ""
    body = ask.body
    unseal = gateway.sealer_of(call).unseal
    at = len(body)
    for _ in range(_MOST_SEALED):
        at = body.rfind(_PREFIX, 0, at)
        match = _SEALED.match(body, at) if at >= 0 else None
        if match is None:
            break
        sealed = unseal(match.group().decode("ascii"))
        if sealed is not None and not sealed.origin.startswith("native:"):
            return sealed.origin.partition("/")[2]  # before it: the dialect (see `translators`)
    return ""
