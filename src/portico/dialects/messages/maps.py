"""What each family of models behind the Messages API takes, as data.

Sources, as of 2026-11-21:
thinking types, defaults, what is rejected:
https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting
effort levels: https://platform.claude.com/docs/en/build-with-claude/effort
output limits: https://platform.claude.com/docs/en/models/overview
structured output: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
system messages in the conversation:
https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
Sampling parameters, prefill and forced tools are in the migration guide of each model, for example
https://platform.claude.com/docs/en/models/haiku-5-5/migration-guide
"""

from functools import lru_cache
from typing import Literal

from msgspec import Struct

from portico.model.capabilities import Capabilities, Content, Parameter
from portico.model.request import Effort

Thinking = Literal["adaptive", "both", "budget", "none"]
Off = Literal["disabled", "between_tools", "never"]

LEAST_BUDGET = 1024
"""https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-21)"""
MOST_CACHE_MARKS = 4
"""https://platform.claude.com/docs/en/build-with-claude/prompt-caching (2026-11-21)"""
MOST_STRICT_TOOLS = 20
"""https://platform.claude.com/docs/en/build-with-claude/structured-outputs (2026-11-21)"""
MOST_USER_ID = 256
"""Characters: https://platform.claude.com/docs/en/api/messages/create (2026-11-21)"""
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""https://platform.claude.com/docs/en/build-with-claude/vision (2026-11-21)"""
CALL_ID = "[a-zA-Z0-9_-]+"
"""What a `tool_use.id` may be; else 400: https://docs.anthropic.com/en/api/messages (2026-11-21)"""

_LOW: tuple[Effort, ...] = ("low", "medium", "high")
_MAX: tuple[Effort, ...] = ("low", "medium", "high", "max")
_ALL: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")


class Family(Struct, frozen=True, kw_only=True):
    """Models that behave alike.

    `names` are looked for in the model id, so ids of other platforms (`anthropic.claude-...-v1:0`,
    `claude-...@20250929`) are found too. `off` is how thinking is turned off; `on_by_default`: it
    thinks when nothing is said. `efforts` are the values of `output_config.effort`, empty when
    there is none. `sampling`: temperature, top_p and top_k exist; `either`: temperature and top_p
    not both. `forced`: a tool can be forced; `quiet_force`: only without explicit thinking.
    `system_turns`: system messages may stand in the conversation. `caps`: `max_tokens` above
    `max_tokens` is refused for sure.
    """

    names: tuple[str, ...]
    max_tokens: int
    thinking: Thinking
    off: Off = "disabled"
    on_by_default: bool = False
    efforts: tuple[Effort, ...] = ()
    sampling: bool = False
    either: bool = True
    forced: bool = True
    quiet_force: bool = True
    schema: bool = True
    prefill: bool = False
    system_turns: bool = False
    caps: bool = True


_ALWAYS = Family(
    names=("fable-5-2", "fable-5-1", "mythos-5-2", "mythos-5-1", "opus-5-5"), max_tokens=128_000,
    thinking="adaptive", off="never", on_by_default=True, efforts=_ALL, forced=False,
    system_turns=True,
)  # fmt: skip
_FAMILIES = (
    _ALWAYS,
    Family(
        names=("fable-5", "mythos-5"), max_tokens=128_000, thinking="adaptive", off="never",
        on_by_default=True, efforts=_ALL, quiet_force=False, system_turns=True,
    ),
    Family(
        names=("sonnet-5-5",), max_tokens=128_000, thinking="adaptive", off="between_tools",
        on_by_default=True, efforts=_ALL, forced=False, system_turns=True,
    ),
    Family(
        names=("haiku-5-5",), max_tokens=128_000, thinking="adaptive", on_by_default=True,
        efforts=_ALL, quiet_force=False,
    ),
    Family(
        names=("opus-5",), max_tokens=128_000, thinking="adaptive", on_by_default=True,
        efforts=_ALL, quiet_force=False, system_turns=True,
    ),
    Family(
        names=("sonnet-5",), max_tokens=128_000, thinking="adaptive", on_by_default=True,
        efforts=_ALL, quiet_force=False,
    ),
    Family(
        names=("opus-4-8",), max_tokens=128_000, thinking="adaptive", efforts=_ALL,
        system_turns=True,
    ),
    Family(names=("opus-4-7",), max_tokens=128_000, thinking="adaptive", efforts=_ALL),
    Family(
        names=("mythos-preview",), max_tokens=128_000, thinking="both", off="never",
        on_by_default=True, efforts=_MAX,
    ),
    Family(
        names=("opus-4-6", "sonnet-4-6"), max_tokens=128_000, thinking="both", efforts=_MAX,
        sampling=True,
    ),
    Family(
        names=("opus-4-5",), max_tokens=64_000, thinking="budget", efforts=_LOW, sampling=True,
        prefill=True,
    ),
    Family(
        names=("sonnet-4-5", "haiku-4-5"), max_tokens=64_000, thinking="budget", sampling=True,
        prefill=True,
    ),
    Family(
        names=("opus-4-1",), max_tokens=32_000, thinking="budget", sampling=True, prefill=True,
    ),
    Family(
        names=("opus-4", "4-opus"), max_tokens=32_000, thinking="budget", sampling=True,
        either=False, schema=False, prefill=True,
    ),
    Family(
        names=("sonnet-4", "4-sonnet", "3-7-sonnet"), max_tokens=64_000, thinking="budget",
        sampling=True, either=False, schema=False, prefill=True,
    ),
    Family(
        names=("3-5-",), max_tokens=8_192, thinking="none", sampling=True, either=False,
        schema=False, prefill=True,
    ),
    Family(
        names=("claude-3",), max_tokens=4_096, thinking="none", sampling=True, either=False,
        schema=False, prefill=True,
    ),
)  # fmt: skip
_NEWER = Family(
    names=("claude",), max_tokens=64_000, thinking="adaptive", off="never", on_by_default=True,
    efforts=_ALL, forced=False, caps=False,
)  # fmt: skip
"""A Claude that came after this table: what all of the newest families take."""
_OTHER = Family(
    names=(), max_tokens=8_192, thinking="budget", sampling=True, either=False, schema=False,
    prefill=True, caps=False,
)  # fmt: skip
"""Other vendors' models behind a compatible endpoint: the API as it was before 2026."""


@lru_cache(maxsize=512)
def family(model: str) -> Family:
    """The row for a model id, however the platform spells it."""
    plain = model.lower().replace(".", "-").replace("_", "-")
    for row in _FAMILIES:
        if any(name in plain for name in row.names):
            return row
    return _NEWER if "claude" in plain else _OTHER


BUDGETS: dict[Effort, int] = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 32_000,
}
"""Thinking tokens for an effort, where the model knows budgets only. Our own choice: Anthropic
recommends to start small and warns of time-outs above 32k, see
https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-21)."""

_PARAMETERS: frozenset[Parameter] = frozenset((
    "stop", "parallel_tool_calls", "user", "safety_identifier", "service_tier", "effort", "budget",
    "summary", "max_output_tokens", "max_tool_calls",
))  # fmt: skip
_SAMPLING: frozenset[Parameter] = frozenset(("temperature", "top_p", "top_k"))
_THINKING: frozenset[Parameter] = frozenset(("effort", "budget", "summary"))
_CONTENT: frozenset[Content] = frozenset(("image", "image_url", "file", "file_url", "file_text"))

HOSTED = {
    "web_search": "web_search_20250305",
    "code_interpreter": "code_execution_20250825",
    "web_fetch": "web_fetch_20250910",
}
"""Hosted tools of other dialects that there is one for, with the version that the most models take:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-reference (2026-11-21)."""
NATIVE_KINDS = {
    "web_search_": "web_search",
    "web_fetch_": "web_fetch",
    "code_execution_": "code_interpreter",
    "bash_": "bash",
    "text_editor_": "text_editor",
    "computer_": "computer",
    "browser_": "browser",
    "memory_": "memory",
    "tool_search_tool_": "tool_search",
    "advisor_": "advisor",
    "mcp_toolset": "mcp_toolset",
}
"""Prefix of a tool's `type` -> the hub's kind."""
_HOSTED = frozenset((*HOSTED, *NATIVE_KINDS.values(), "mcp"))


@lru_cache(maxsize=512)
def capabilities(model: str) -> Capabilities:
    """The dialect's row for a model id.

    JSON without a schema is asked for in the system prompt where no tool can be forced to stand for
    it. A file id is good at its own provider only, so there is no `file_id`.
    """
    row = family(model)
    parameters = _PARAMETERS | _SAMPLING if row.sampling else _PARAMETERS
    if row.thinking == "none":
        parameters -= _THINKING
    return Capabilities(
        parameters=parameters,
        content=_CONTENT,
        results=_CONTENT,
        hosted=_HOSTED,
        forced_tools=row.forced,
        json_schema=row.schema,
        json_object=not row.forced,
        is_error=True,
        name_characters=128,
        call_id=CALL_ID,
        temperature_max=1.0,
    )


SERVICE_TIERS = {
    "auto": "auto",
    "priority": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
}
"""OpenAI's words in a request -> Anthropic's:
https://platform.claude.com/docs/en/api/service-tiers (2026-11-21)"""
TIERS_IN = {"auto": "auto", "standard_only": "default"}
"""Anthropic's words in a request -> OpenAI's."""
TIERS_SERVED = {"standard": "default", "priority": "priority", "batch": "batch"}
"""Anthropic's words in an answer -> OpenAI's."""
TIERS_TOLD = {
    "default": "standard",
    "auto": "standard",
    "flex": "standard",
    "priority": "priority",
    "scale": "priority",
    "fast": "priority",
    "batch": "batch",
}
"""OpenAI's words in an answer -> Anthropic's."""
