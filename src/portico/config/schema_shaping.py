"""Blocks about what is changed on the way: bodies, headers, prompts. And what a token costs."""

from typing import Annotated, Literal

from portico.config.blocks import Amount, Block, Json, Prose, about
from portico.config.schema_routing import Resilience

_DEFAULTS = about("Members of the request body, where the caller wrote none.")
_OVERRIDES = about("Members of the request body, whatever the caller wrote.")


class HeaderChanges(Block, frozen=True):
    """Changes to header fields: `remove` first, then `set`, then `add`."""

    set: Annotated[dict[str, str] | None, about("In place of what is there.")] = None
    add: Annotated[dict[str, str] | None, about("Beside what is there.")] = None
    remove: Annotated[tuple[str, ...] | None, about("Names.")] = None


class PromptEntry(Block, frozen=True):
    """A message of yours."""

    role: Annotated[Literal["system", "user", "assistant"], about("Who says it.")]
    content: Annotated[Prose, about("What is said.")]


class Prompts(Block, frozen=True):
    """Messages around what the caller sent."""

    prepend: Annotated[tuple[PromptEntry, ...] | None, about("Before it.")] = None
    append: Annotated[tuple[PromptEntry, ...] | None, about("After it.")] = None


class BodyShape(Block, frozen=True):
    """Changes to request bodies."""

    defaults: Annotated[dict[str, Json] | None, _DEFAULTS] = None
    overrides: Annotated[dict[str, Json] | None, _OVERRIDES] = None
    prompts: Annotated[Prompts | None, about("Messages around what the caller sent.")] = None


class Rules(Resilience, frozen=True):
    """What to do about failures, and what to change on the way."""

    defaults: Annotated[dict[str, Json] | None, _DEFAULTS] = None
    overrides: Annotated[dict[str, Json] | None, _OVERRIDES] = None
    prompts: Annotated[Prompts | None, about("(Portico) Messages around what the caller sent.")] = (
        None
    )
    request_headers: Annotated[HeaderChanges | None, about("Towards the provider.")] = None
    response_headers: Annotated[HeaderChanges | None, about("Towards the caller.")] = None


class ProviderDefaults(Rules, frozen=True):
    """What models of a provider start from; what a model says itself wins, key by key."""


class Cost(Block, frozen=True):
    """US dollars for a million tokens."""

    input: Annotated[Amount, about("That it reads.")]
    output: Annotated[Amount, about("That it writes.")]
