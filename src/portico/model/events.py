"""A model's answer as events: what every upstream decoder makes and every client encoder reads.

Grammar, after `model.sequence.Sequencer` (decoders may interleave items, encoders never see that):

    stream  := Started item* [UsageSeen] (Finish | Failed)
    item    := MessageStart (TextDelta | RefusalDelta | CitationAdded | PartEnd)* ItemEnd
             | ReasoningStart (SummaryDelta | ThoughtDelta | PartEnd | SealedSeen)* ItemEnd
             | CallStart ArgumentsDelta* ItemEnd
             | HostedDone | CompactionDone

`key` numbers the items of one answer; a decoder gives each new item the next number. Parts open by
themselves: the first delta of another kind, or the first after `PartEnd`, begins a part. Deltas are
never empty. A finished answer that is not streamed is the same list of events, all at once.
"""

from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from portico.errors import UpstreamFault
from portico.model.items import Compaction, Hosted, Status, ToolKind
from portico.model.parts import Citation
from portico.model.sealed import Sealed
from portico.model.usage import Usage

FinishReason: TypeAlias = Literal["stop", "stop_sequence", "tool_calls", "length",
                                  "content_filter", "refusal", "pause"]  # fmt: skip
"""`stop`: it was done. `length`: out of tokens. `refusal`: the model declined (Anthropic), with
its words in `Finish.detail`. `pause`: the provider wants the turn back to go on with it."""


class Started(Struct, gc=False):
    """The provider accepted the request. `id` and `model` are its own, "" if unknown."""

    id: str = ""
    model: str = ""
    service_tier: str | None = None


class MessageStart(Struct, gc=False):
    """Assistant text begins. Never sent before there is something to say."""

    key: int
    phase: str | None = None


class ReasoningStart(Struct, gc=False):
    """A block of reasoning begins."""

    key: int


class CallStart(Struct, gc=False):
    """A call of a client's tool begins; id and name are known and final."""

    key: int
    call_id: str
    name: str
    kind: ToolKind = "function"
    namespace: str | None = None


class HostedDone(Struct, gc=False):
    """A server-side item, whole."""

    key: int
    item: Hosted


class CompactionDone(Struct, gc=False):
    """An earlier part of the conversation was folded; what follows was said knowing only this."""

    key: int
    item: Compaction


class TextDelta(Struct, gc=False):
    """More text of a message. `logprobs` is an array of OpenAI token objects."""

    key: int
    text: str
    logprobs: Raw | None = None


class RefusalDelta(Struct, gc=False):
    """More of a refusal."""

    key: int
    text: str


class CitationAdded(Struct, gc=False):
    """An annotation of the text part that is open, or was last."""

    key: int
    citation: Citation


class PartEnd(Struct, gc=False):
    """The open part of the item is whole; another may begin."""

    key: int


class SummaryDelta(Struct, gc=False):
    """More reasoning text that may be shown."""

    key: int
    text: str


class ThoughtDelta(Struct, gc=False):
    """More raw reasoning text."""

    key: int
    text: str


class SealedSeen(Struct, gc=False):
    """The opaque state of a reasoning item; at most once per item, before its end."""

    key: int
    sealed: Sealed


class ArgumentsDelta(Struct, gc=False):
    """More of a call's arguments."""

    key: int
    text: str


class ItemEnd(Struct, gc=False):
    """The item is whole, or (`incomplete`) the answer ended inside it."""

    key: int
    status: Status = "completed"


class UsageSeen(Struct, gc=False):
    """Token counts of the whole answer; a later one replaces an earlier one."""

    usage: Usage


class Finish(Struct, gc=False):
    """The answer is whole. `detail` is the refusal's text or the stop sequence that was hit;
    `native` the provider's own word for the reason."""

    reason: FinishReason
    detail: str = ""
    native: str = ""
    service_tier: str | None = None


class Failed(Struct, gc=False):
    """The provider said that it failed, or its stream ended without an end."""

    fault: UpstreamFault


Event: TypeAlias = (
    Started | MessageStart | ReasoningStart | CallStart | HostedDone | CompactionDone | TextDelta
    | RefusalDelta | CitationAdded | PartEnd | SummaryDelta | ThoughtDelta | SealedSeen
    | ArgumentsDelta | ItemEnd | UsageSeen | Finish | Failed
)  # fmt: skip
