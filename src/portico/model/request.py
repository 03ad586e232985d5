"""What a client asks for, whichever dialect it asked in.

None means "the client did not say": nothing is filled in on the way, so that a provider's own
default applies. Ranges were checked by the client's dialect.
"""

from typing import Literal, TypeAlias

from msgspec import Raw, Struct

from portico.model.items import Item
from portico.model.losses import Loss
from portico.model.parts import Text
from portico.model.tools import AUTO, Tool, ToolChoice

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From least to most."""


class OutputFormat(Struct, frozen=True, kw_only=True, gc=False):
    """Structured output. `schema` is JSON Schema text, present with `json_schema`."""

    kind: Literal["json_object", "json_schema"]
    name: str = ""
    schema: Raw | None = None
    strict: bool | None = None
    description: str = ""


class ReasoningAsk(Struct, frozen=True, kw_only=True, gc=False):
    """How much to think, and what of it to show. `budget` is in tokens (Anthropic's
    `budget_tokens`, Gemini's `thinkingBudget`). `summary` is OpenAI's auto, concise, detailed;
    `none` asks for the thoughts to be left out of the answer."""

    effort: Effort | None = None
    budget: int | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None


class GenerateRequest(Struct, kw_only=True):
    """One request in hub terms. Passes make a changed copy with `msgspec.structs.replace`.

    `dialect` is the client's; `extras` are members of its body that the hub has no name for, for
    upstreams of the same family. `service_tier` is in OpenAI's words. `caching` asks for cache
    marks at the end of the static prefix, for `caching_ttl` ("5m", "1h"). `include_usage` is Chat's
    stream option; `include` the Responses list. `namespaces` holds the descriptions of tool
    namespaces. `losses` are things inside the request that the hub has no place for.
    """

    model: str
    dialect: str
    stream: bool = False
    instructions: tuple[Text, ...] = ()
    items: tuple[Item, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = AUTO
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    namespaces: dict[str, str] = {}
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    choices: int = 1
    logit_bias: Raw | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    reasoning: ReasoningAsk | None = None
    format: OutputFormat | None = None
    verbosity: str | None = None
    metadata: dict[str, str] = {}
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    caching: bool = False
    service_tier: str | None = None
    truncation: str | None = None
    store: bool | None = None
    include: frozenset[str] = frozenset()
    include_usage: bool = False
    extras: dict[str, Raw] = {}
    losses: tuple[Loss, ...] = ()
    caching_ttl: str | None = None
