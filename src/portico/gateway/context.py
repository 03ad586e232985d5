"""Context management: what a conversation has to lose before it is sent.

Three things, in this order. A compaction, when the client asks for one (`context_management`, or a
`compaction_trigger`): the same target summarises what came before the last exchange, and the answer
begins with the `compaction` item. `truncation: auto`: the oldest exchanges go. Neither: what cannot
fit by any count is refused before anything is sent; in between the provider has the last word.
"""

from msgspec import Struct, structs

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.responses.context_in import (
    PARAMETER,
    TRIGGER,
    ContextAsk,
    read_context,
    triggered,
)
from portico.errors import UpstreamProtocol
from portico.gateway.call import Call
from portico.gateway.generate import Generated, Tools, generate
from portico.gateway.target import Target
from portico.gateway.windows import window_of
from portico.http.messages import Request
from portico.model.estimate import estimate
from portico.model.items import Compaction, Item, Message
from portico.model.losses import Losses, LossList
from portico.model.parts import Text
from portico.model.passes import compaction
from portico.model.passes.preface import Preface, WayBack
from portico.model.passes.window import check, shorten
from portico.model.request import GenerateRequest
from portico.model.sealed import PREFIX

LARGE = 64 * 1024
"""Bytes of a body from which on it is worth knowing how much the model can read."""
_FULL = 0.8
"""The share of the window over which to compact when the client does not say."""
_TRIGGER = TRIGGER.encode()
_PREFIX = PREFIX.encode()


class Managed(Struct, frozen=True):
    """What to send. `made` is the compaction before the answer and what it was made with; `alone`:
    it is the answer."""

    request: GenerateRequest
    made: tuple[Compaction, Generated] | None = None
    alone: bool = False

    def preface(self, inner: WayBack | None) -> Preface | None:
        """The way back that tells the compaction first."""
        if self.made is None:
            return None
        item, generated = self.made
        return Preface(item, generated.response.usage, inner)


async def manage(
    tools: Tools,
    call: Call,
    request: Request,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
    wanted: GenerateRequest,
    losses: Losses,
) -> Managed:
    """Make `wanted` fit. Raises `PorticoError`, also that of the provider that summarises."""
    asked: ContextAsk | None = None
    trigger = False
    if dialect.name == "responses":
        if PARAMETER in ask.fields:
            asked = read_context(ask.fields)
            extras = {name: raw for name, raw in wanted.extras.items() if name != PARAMETER}
            wanted = structs.replace(wanted, extras=extras)
        if _PREFIX in ask.body:
            wanted = compaction.unfold(wanted)
        trigger = _TRIGGER in ask.body and triggered(wanted)
    auto = wanted.truncation == "auto"
    if asked is None and not trigger and not auto and len(ask.body) < LARGE:
        return Managed(wanted)
    window = await window_of(target, call.outcome.upstream_model)
    made: tuple[Compaction, Generated] | None = None
    if trigger:
        wanted = structs.replace(wanted, items=wanted.items[:-1])
        made = await _compacted(tools, call, request, dialect, target, wanted, None, window)
        return Managed(structs.replace(wanted, items=(made[0],)), made, alone=True)
    if asked is not None:
        at = _cut(wanted, asked, window)
        if at:
            made = await _compacted(tools, call, request, dialect, target, wanted, at, window)
            summary = _summary(made[1])
            wanted = compaction.folded(wanted, at, summary)
    if window is None:
        return Managed(wanted, made)
    if auto:
        wanted = structs.replace(shorten(wanted, window, losses), truncation=None)
    else:
        check(wanted, window)
    return Managed(wanted, made)


async def summarise(
    tools: Tools,
    call: Call,
    request: Request,
    dialect: Dialect,
    target: Target,
    wanted: GenerateRequest,
    items: tuple[Item, ...],
    window: int | None,
) -> Generated:
    """Have the target write a summary of `items`. Raises `PorticoError`.

    What does not fit into `window` is left out from the beginning.
    """
    question = compaction.transcript(wanted, items)
    if window is not None:
        question = shorten(question, window, LossList())
    generated = await generate(tools, call, request, dialect, target, question)
    call.outcome.usage = generated.response.usage
    if not _summary(generated):
        raise UpstreamProtocol(
            "The model gave no summary to compact the conversation with.", code="empty_summary"
        )
    return generated


def _summary(generated: Generated) -> str:
    texts = [
        part.text
        for item in generated.response.items
        if isinstance(item, Message)
        for part in item.parts
        if isinstance(part, Text)
    ]
    return "\n".join(texts).strip()


def summary_of(generated: Generated) -> Compaction:
    """The summary as an item of the conversation."""
    return Compaction(_summary(generated))


async def _compacted(
    tools: Tools,
    call: Call,
    request: Request,
    dialect: Dialect,
    target: Target,
    wanted: GenerateRequest,
    at: int | None,
    window: int | None,
) -> tuple[Compaction, Generated]:
    """The compaction of the items before `at`, or of all. Made once, however many targets are then
    asked to answer: it would be billed each time."""
    items = wanted.items
    generated = call.summary
    if generated is None:
        generated = call.summary = await summarise(
            tools, call, request, dialect, target, wanted, items[:at], window
        )
    rest = items[at:] if at is not None else ()
    return compaction.complete(_summary(generated), rest), generated


def _cut(wanted: GenerateRequest, asked: ContextAsk, window: int | None) -> int:
    """Where to compact; 0 for nowhere."""
    threshold = asked.threshold
    if threshold is None:
        if window is None:
            return 0
        threshold = round(window * _FULL)
    if estimate(wanted) <= threshold:
        return 0
    return compaction.last_exchange(wanted.items)
