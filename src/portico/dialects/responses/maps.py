"""What models behind the Responses API take, and the words that differ, as data.

Rows are looked up by model id, the first that matches wins. A model in no row may be anything: a
deployment with a name of its own, an open model on a server of one's own. For those only what the
whole family of servers shares is used as it is, and the passes adapt the rest.
"""

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Struct, structs

from portico.model.capabilities import Capabilities, Content, Parameter
from portico.model.request import Effort
from portico.model.tools import HostedTool

MIN_OUTPUT_TOKENS = 16
"""Fewer are refused: https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21"""

LONGEST_USER = 64
"""Characters of `user`; Claude Code's `metadata.user_id` is longer.
https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21"""
LONGEST_IDENTIFIER = 128
"""Characters of `safety_identifier`: openai-python 3.54, `ResponseCreateParams`, 2026-11-21."""

MOST_BREAKPOINTS = 4
"""https://platform.openai.com/docs/guides/prompt-caching, 2026-11-21"""

Quirk: TypeAlias = Literal[
    "no_instructions",  # `instructions` is refused: they go first in `input`, as a system message
    "no_include",  # `include` is refused (Groq). https://console.groq.com/docs/responses-api
    "no_store",  # `store` is not known and refused
    "system_role",  # chat templates without a developer role (vLLM, LM Studio)
    "text_results",  # the output of a tool has to be one string
]  # 2026-11-21
"""Names a provider's row may list in `quirks`."""

Sampling: TypeAlias = Literal["always", "never", "unless_reasoning"]


class Family(Struct, frozen=True, kw_only=True):
    """Models that take the same. `models` are patterns for ids without the vendor's prefix.

    `efforts` is empty when the model does not reason, None when that is not known. `sampling`:
    whether temperature, top_p and logprobs are taken. `default_effort` is what happens when none
    is asked for. `breakpoints`: parts may carry `prompt_cache_breakpoint`. `includes`: `include`
    takes more than the proof of reasoning.
    """

    models: tuple[str, ...]
    source: str
    efforts: tuple[Effort, ...] | None = ()
    sampling: Sampling = "always"
    default_effort: Effort = "medium"
    verbosity: bool = False
    custom_tools: bool = False
    namespaces: bool = False
    allowed_tools: bool = False
    json_schema: bool = True
    encrypted: bool = False
    breakpoints: bool = False
    reasoning_text: bool = False
    logprobs: bool = True
    includes: bool = True


_EFFORTS = "https://platform.openai.com/docs/guides/reasoning#reasoning-effort, 2026-11-21"
_LATEST = "https://platform.openai.com/docs/guides/latest-model, 2026-11-21"
_MODELS = "https://platform.openai.com/docs/models, 2026-11-21"


def _gpt5(
    *models: str,
    efforts: str,
    sampling: Sampling = "never",
    default: Effort = "medium",
    breakpoints: bool = False,
    source: str = _EFFORTS,
) -> Family:
    """Everything since gpt-5: verbosity, free-form tools, allowed tools, namespaces."""
    known: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    return Family(
        models=models,
        source=source,
        efforts=tuple([effort for effort in known if effort in efforts.split()]),
        sampling=sampling,
        default_effort=default,
        verbosity=True,
        custom_tools=True,
        namespaces=True,
        allowed_tools=True,
        encrypted=True,
        breakpoints=breakpoints,
    )


FAMILIES = (
    # gpt-5.x: sampling parameters only with effort none
    _gpt5("gpt-5*-chat*", efforts="medium", source=_MODELS),
    _gpt5("gpt-5-pro*", efforts="high", default="high"),
    _gpt5("gpt-5.[2-9]*-pro*", efforts="medium high xhigh"),
    _gpt5("gpt-5.1-codex-max*", efforts="low medium high xhigh"),
    _gpt5("gpt-5-codex*", "gpt-5.1-codex*", efforts="low medium high"),
    _gpt5("gpt-5.[2-9]*-codex*", efforts="low medium high xhigh"),
    _gpt5("gpt-5.1*", efforts="none low medium high", sampling="unless_reasoning", default="none"),
    _gpt5(
        "gpt-5.[2-4]*",
        efforts="none low medium high xhigh",
        sampling="unless_reasoning",
        default="none",
        source=_LATEST,
    ),
    _gpt5(
        "gpt-5.5*",
        efforts="none low medium high xhigh",
        sampling="unless_reasoning",
        source=_LATEST,
    ),
    _gpt5(
        "gpt-5.[6-9]*",
        "gpt-[6-9]*",
        efforts="none low medium high xhigh max",
        sampling="unless_reasoning",
        breakpoints=True,
        source=_LATEST,
    ),
    _gpt5("gpt-5*", efforts="minimal low medium high"),
    Family(
        models=("o3-deep-research*", "o4-mini-deep-research*", "computer-use*"),
        source=_MODELS,
        efforts=("medium",),
        sampling="never",
        encrypted=True,
    ),
    Family(
        models=("o1*", "o3*", "o4*", "codex-mini*"),
        source=_EFFORTS,
        efforts=("low", "medium", "high"),
        sampling="never",
        encrypted=True,
    ),
    Family(
        models=("gpt-4o*", "gpt-4.1*", "gpt-4.5*", "chatgpt-4o*"),
        source=_MODELS,
    ),
    Family(models=("gpt-4*", "gpt-3.5*"), source=_MODELS, json_schema=False),
    Family(
        models=("gpt-oss*", "openai.gpt-oss*"),
        # the thoughts of a turn with calls have to come back
        source="https://cookbook.openai.com/articles/gpt-oss/handle-raw-cot, 2026-11-21",
        efforts=("low", "medium", "high"),
        reasoning_text=True,
        includes=False,
    ),
    Family(
        models=("grok-*",),
        source="https://docs.x.ai/docs/api-reference#create-new-response, 2026-11-21",
        efforts=None,
        encrypted=True,
        logprobs=False,
        includes=False,
    ),
)
UNKNOWN = Family(
    models=("*",),
    source="https://www.openresponses.org/reference, 2026-11-21",
    efforts=None,
    verbosity=True,
    includes=False,
)

_PARAMETERS: frozenset[Parameter] = frozenset((
    "temperature", "top_p", "logprobs", "parallel_tool_calls", "verbosity", "metadata", "user",
    "safety_identifier", "prompt_cache_key", "service_tier", "cache_extras", "effort", "budget",
    "summary", "max_output_tokens", "truncation", "max_tool_calls",
))  # fmt: skip
_SAMPLING: frozenset[Parameter] = frozenset(("temperature", "top_p", "logprobs"))
_REASONING: frozenset[Parameter] = frozenset(("effort", "budget", "summary"))
_CONTENT: frozenset[Content] = frozenset(("image", "image_url", "file", "file_url", "file_id"))

HOSTED = frozenset((
    "web_search", "file_search", "code_interpreter", "image_generation", "mcp", "computer",
    "shell", "local_shell", "apply_patch", "tool_search", "programmatic_tool_calling",
))  # fmt: skip
"""Kinds with a tool of their own. https://platform.openai.com/docs/guides/tools, 2026-11-21"""

_BASE = Capabilities(
    parameters=_PARAMETERS,
    content=_CONTENT,
    results=_CONTENT,
    hosted=HOSTED,
    phases=True,
    call_id=r"[a-zA-Z0-9_-]{1,64}",
)


@lru_cache(maxsize=256)
def family(model: str) -> Family:
    """The row of a model id, with or without the vendor (`openai/gpt-5`) and `ft:`."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    for row in FAMILIES:
        if any(fnmatchcase(name, pattern) for pattern in row.models):
            return row
    return UNKNOWN


@lru_cache(maxsize=256)
def capabilities(model: str) -> Capabilities:
    """What a model takes. `temperature` and its kind are in it for models that take them without
    reasoning only: the encoder knows whether there will be any."""
    row = family(model)
    has = _PARAMETERS
    if row.sampling == "never":
        has -= _SAMPLING
    if not row.logprobs:
        has -= {"logprobs"}
    if not row.verbosity:
        has -= {"verbosity"}
    if row.efforts == ():
        has -= _REASONING
    return structs.replace(
        _BASE,
        parameters=has,
        custom_tools=row.custom_tools,
        namespaces=row.namespaces,
        allowed_tools=row.allowed_tools,
        json_schema=row.json_schema,
        efforts=row.efforts or (),
        reasoning_text=row.reasoning_text,
    )


BUDGETS: tuple[tuple[int, Effort], ...] = (
    (1, "none"),
    (1024, "minimal"),
    (4096, "low"),
    (16_384, "medium"),
    (32_768, "high"),
    (65_536, "xhigh"),
)
"""Thinking tokens below the first number are this effort; from the last number on it is max.

Between Anthropic's smallest budget (1,024) and what Claude Code asks for at most (31,999). No
provider gives a conversion: https://docs.claude.com/en/docs/build-with-claude/extended-thinking,
2026-11-21
"""


def effort_of(budget: int) -> Effort:
    """The effort nearest to a number of thinking tokens."""
    return next((effort for below, effort in BUDGETS if budget < below), "max")


INCOMPLETE: dict[str, Literal["length", "content_filter"]] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_prompt_tokens": "length",
    "length": "length",
    "content_filter": "content_filter",
}
"""`incomplete_details.reason` to finish reason; one that is not here means `length`: it was cut."""

FOUND = {
    "web_search": "web_search_call.action.sources",
    "file_search": "file_search_call.results",
    "code_interpreter": "code_interpreter_call.outputs",
}
"""Hosted tool to the `include` value that makes its items tell what was found.
https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21"""

FORCED_BY_TYPE = frozenset((
    "file_search", "computer", "image_generation", "code_interpreter", "apply_patch", "shell",
    "programmatic_tool_calling",
))  # fmt: skip
"""Hosted tools that `tool_choice` names by `{"type": kind}`; the rest is forced as the only one of
`allowed_tools`. https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21"""

REPLAYED = frozenset((
    "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call",
    "computer_call", "computer_call_output", "mcp_list_tools", "mcp_call", "mcp_approval_request",
    "mcp_approval_response", "local_shell_call", "local_shell_call_output", "shell_call",
    "shell_call_output", "apply_patch_call", "apply_patch_call_output", "tool_search_call",
    "tool_search_output", "program", "program_output", "additional_tools",
))  # fmt: skip
"""Item types that OpenAI's `input` takes whole, without having stored them (openai-python 3.54,
`ResponseInputItemParam`). What other servers invented is told in words."""

HOSTED_WORDS = {
    "web_search_call": "Web search",
    "web_fetch_call": "Page fetched",
    "file_search_call": "File search",
    "code_interpreter_call": "Code that was run",
    "image_generation_call": "Picture that was made",
    "mcp_call": "Remote tool call",
}
"""How a hosted item of another dialect is named when it is told in words."""


def is_native(tool: HostedTool) -> bool:
    """Whether the client wrote the tool in this dialect."""
    return tool.native[0] == "responses"
