"""What chat servers have in common and where each differs, as data.

Facts as known on 2026-11-21; the page that a row links is where to check them. A row is looked up
by the provider's kind (`providers.table`); rows of models refine it. Unknown providers get the row
of `custom`, which asks for nothing that only some servers know.
"""

import re
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from msgspec import Struct, structs

from portico.model.capabilities import Capabilities, Content, Parameter

Replay: TypeAlias = Literal["", "reasoning_content", "details", "thinking", "signature"]
"""How earlier reasoning is sent back: not at all; as `reasoning_content`; as OpenRouter's
`reasoning_details`; as Mistral's content parts; as Gemini's signatures on calls."""


class Quirks(Struct, frozen=True, kw_only=True):
    """Where one server's requests and answers differ.

    `max_tokens` and `seed` are the names of those parameters. `developer`: knows that role.
    `parts`: takes text as arrays of parts where one string would do. `refusals`: takes `refusal`
    on assistant messages. `names`: takes `name` on messages. `strict`: takes `strict` on functions.
    `schema_required`: functions need `parameters`. `stream_options`: takes `include_usage`; others
    report usage unasked. `stores`: takes `metadata`, but only together with `store`.
    `sampling_with`: takes sampling parameters only with effort `none`, and without one if the
    model's default is none. `loops_only`: reasoning goes back in turns with tool calls only, and
    `placeholder` where there is none. `effort` is where the effort goes; `effort_words` what the
    server calls them; `switch`: effort none is `thinking: {"type": "disabled"}`. `think_tags`: may
    begin its text with `<think>`. `cache_control`: takes Anthropic's marks on parts. `prefix`: a
    last assistant message needs `prefix`. `alternates`: neighbouring user messages become one.
    `dummy_signature` stands on calls that came without one. `search` is how searching is asked for.
    `cache_extras`: takes OpenAI's settings of the prompt cache.
    """

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: str = "seed"
    developer: bool = False
    parts: bool = False
    refusals: bool = False
    names: bool = False
    strict: bool = True
    schema_required: bool = True
    stream_options: bool = True
    stores: bool = False
    sampling_with: Literal["", "none", "unless_asked"] = ""
    replay: Replay = ""
    loops_only: bool = False
    placeholder: str | None = None
    dummy_signature: str | None = None
    effort: Literal["reasoning_effort", "reasoning"] = "reasoning_effort"
    effort_words: dict[str, str] = {}
    switch: bool = False
    think_tags: bool = False
    cache_control: bool = False
    prefix: bool = False
    alternates: bool = False
    search: Literal["", "web_search_options", "plugins"] = ""
    cache_extras: bool = False


class Row(Struct, frozen=True, kw_only=True):
    """One server, or some of its models: its capabilities, its quirks, and the page about them.

    `models` refine the row: the first pattern found in the model id applies. In a refinement,
    `lacks` are taken away from the parameters, `has` added, and `can` and `quirks` laid over.
    """

    docs: str
    can: Capabilities
    quirks: Quirks
    models: "tuple[Refined, ...]" = ()


class Refined(Struct, frozen=True, kw_only=True):
    """See `Row`."""

    pattern: re.Pattern[str]
    lacks: frozenset[Parameter] = frozenset()
    has: frozenset[Parameter] = frozenset()
    can: dict[str, Any] = {}
    quirks: dict[str, Any] = {}


def _only(*names: Parameter) -> frozenset[Parameter]:
    return frozenset(names)


def _content(*names: Content) -> frozenset[Content]:
    return frozenset(names)


_SAMPLING = _only("temperature", "top_p", "presence_penalty", "frequency_penalty")
_BASE = _SAMPLING | _only("stop", "seed", "max_output_tokens")
# `choices` is in no row: the hub has one answer per request, and the passes refuse more.
_OPEN = _BASE | _only("top_k", "logit_bias", "logprobs", "parallel_tool_calls", "user")
"""What servers of open models take (vLLM's list is the longest)."""
_OPENAI = _BASE | _only(
    "logit_bias", "logprobs", "parallel_tool_calls", "verbosity", "metadata", "user",
    "safety_identifier", "prompt_cache_key", "service_tier", "cache_extras", "store",
)  # fmt: skip
_PICTURES = _content("image", "image_url")
_LMH = ("low", "medium", "high")

_REASONS = Refined(  # https://platform.openai.com/docs/guides/reasoning
    pattern=re.compile(r"(^|/)o[134](-|$)"),
    lacks=_SAMPLING | _only("logprobs", "logit_bias", "stop", "verbosity", "parallel_tool_calls"),
    has=_only("effort"),
    can={"efforts": _LMH},
)
_SEARCHES = Refined(  # https://platform.openai.com/docs/guides/tools-web-search
    pattern=re.compile(r"search-(preview|api)"),
    lacks=_OPENAI - _only("max_output_tokens", "metadata", "user", "safety_identifier"),
    can={"hosted": frozenset(("web_search",)), "content": _content()},
    quirks={"search": "web_search_options"},
)
# https://platform.openai.com/docs/guides/latest-model
_OPENAI_MODELS = (
    _REASONS,
    _SEARCHES,
    Refined(
        pattern=re.compile(r"gpt-5(-mini|-nano)?(-\d{4}|$)"),
        lacks=_SAMPLING | _only("logprobs", "logit_bias", "stop"),
        has=_only("effort"),
        can={"efforts": ("minimal", *_LMH), "custom_tools": True, "allowed_tools": True},
    ),
    Refined(
        pattern=re.compile(r"gpt-5\.1"),
        lacks=_only("logit_bias", "stop"),
        has=_only("effort"),
        can={"efforts": ("none", *_LMH), "custom_tools": True, "allowed_tools": True},
        quirks={"sampling_with": "unless_asked"},
    ),
    Refined(
        pattern=re.compile(r"gpt-5\.[2-4]"),
        lacks=_only("logit_bias", "stop"),
        has=_only("effort"),
        can={"efforts": ("none", *_LMH, "xhigh"), "custom_tools": True, "allowed_tools": True},
        quirks={"sampling_with": "unless_asked"},
    ),
    Refined(
        pattern=re.compile(r"gpt-([6-9]|\d\d|5\.([5-9]|\d\d))"),
        lacks=_only("logit_bias", "stop"),
        has=_only("effort"),
        can={"efforts": ("none", *_LMH, "xhigh", "max"), "custom_tools": True,
             "allowed_tools": True},
        quirks={"sampling_with": "none"},
    ),
    Refined(
        pattern=re.compile(r"audio"),
        can={"content": _content("audio")},
    ),
)  # fmt: skip

_OPENAI_QUIRKS = Quirks(
    max_tokens="max_completion_tokens", developer=True, parts=True, refusals=True, names=True,
    schema_required=False, stores=True, cache_extras=True,
)  # fmt: skip
_GPT_OSS = re.compile(r"gpt-oss")

_ROWS: dict[str, Row] = {
    "openAI": Row(
        docs="https://platform.openai.com/docs/api-reference/chat/create",
        can=Capabilities(
            parameters=_OPENAI,
            content=_PICTURES | _content("file", "file_id"),
            stop_most=4,
        ),
        quirks=_OPENAI_QUIRKS,
        models=_OPENAI_MODELS,
    ),
    "azure": Row(
        docs="https://learn.microsoft.com/azure/ai-foundry/openai/reference",
        # Deployments have names of their own, so a model's row may not be found.
        can=Capabilities(
            parameters=_OPENAI - _only("service_tier") | _only("effort"),
            content=_PICTURES,
            stop_most=4,
        ),
        quirks=_OPENAI_QUIRKS,
        models=_OPENAI_MODELS,
    ),
    "mistral": Row(
        docs="https://docs.mistral.ai/api",
        can=Capabilities(
            parameters=_BASE | _only("parallel_tool_calls"),
            content=_PICTURES | _content("audio"),
            reasoning_text=True,
            temperature_max=1.5,
            # https://docs.mistral.ai/capabilities/function_calling
            call_id="[a-zA-Z0-9]{9}",
        ),
        quirks=Quirks(seed="random_seed", replay="thinking", stream_options=False, prefix=True),
        models=(  # https://docs.mistral.ai/capabilities/reasoning
            Refined(
                pattern=re.compile(r"large-4"),
                has=_only("effort"),
                can={"efforts": ("none", *_LMH)},
            ),
            Refined(
                pattern=re.compile(r"small-(latest|26)|medium-(latest|3-5)"),
                has=_only("effort"),
                can={"efforts": ("none", "high")},
            ),
        ),
    ),
    "groq": Row(
        docs="https://console.groq.com/docs/openai",  # 400 for logprobs, logit_bias, name, n > 1
        can=Capabilities(
            parameters=_BASE | _only("parallel_tool_calls", "user"),
            content=_PICTURES,
            stop_most=4,
        ),
        quirks=Quirks(max_tokens="max_completion_tokens", think_tags=True),
        models=(  # https://console.groq.com/docs/reasoning
            Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),
            Refined(
                pattern=re.compile(r"qwen"),
                has=_only("effort"),
                can={"efforts": ("none", "high")},
                quirks={"effort_words": {"high": "default"}},
            ),
        ),
    ),
    "deepseek": Row(
        docs="https://api-docs.deepseek.com/api/create-chat-completion",
        can=Capabilities(
            parameters=_BASE - _only("seed") | _only("logprobs", "effort"),
            content=_content(),
            reasoning_text=True,
            json_schema=False,
            # https://api-docs.deepseek.com/guides/thinking_mode
            efforts=("none", "low", "high", "max"),
        ),
        quirks=Quirks(
            replay="reasoning_content",
            loops_only=True,
            # Thinking models refuse a tool loop in which it is missing or empty:
            # https://github.com/NousResearch/hermes-agent/pull/17341
            placeholder=" ",
            switch=True,
            strict=False,
        ),
    ),
    "xai": Row(
        docs="https://docs.x.ai/docs/api-reference",
        can=Capabilities(
            parameters=_BASE | _only("logprobs", "parallel_tool_calls", "user"),
            content=_PICTURES,
            stop_most=4,
        ),
        quirks=Quirks(max_tokens="max_completion_tokens"),
        models=(  # https://docs.x.ai/docs/guides/reasoning
            Refined(
                pattern=re.compile(r"grok-3-mini"),
                lacks=_only("presence_penalty", "frequency_penalty", "stop"),
                has=_only("effort"),
                can={"efforts": ("low", "high")},
            ),
            Refined(
                pattern=re.compile(r"grok-4(-0709|-fast|-latest|-1-fast|$)|grok-code"),
                lacks=_only("presence_penalty", "frequency_penalty", "stop"),
            ),
            Refined(
                pattern=re.compile(r"grok-4\.6"),
                lacks=_only("presence_penalty", "frequency_penalty", "stop"),
                has=_only("effort"),
                can={"efforts": (*_LMH, "xhigh")},
            ),
            Refined(
                pattern=re.compile(r"grok-([5-9]|4\.)"),
                lacks=_only("presence_penalty", "frequency_penalty", "stop"),
                has=_only("effort"),
                can={"efforts": _LMH},
            ),
        ),
    ),
    "openrouter": Row(
        docs="https://openrouter.ai/docs/api-reference/parameters",
        can=Capabilities(
            parameters=_OPEN
            | _only("effort", "budget", "summary", "verbosity", "prompt_cache_key"),
            content=_PICTURES | _content("file", "file_url", "audio", "video", "video_url"),
            hosted=frozenset(("web_search",)),
            reasoning_text=True,
        ),
        quirks=Quirks(
            parts=True,
            names=True,
            # https://openrouter.ai/docs/use-cases/reasoning-tokens
            replay="details",
            effort="reasoning",
            # https://openrouter.ai/docs/features/prompt-caching
            cache_control=True,
            # https://openrouter.ai/docs/features/web-search
            search="plugins",
        ),
    ),
    "togetherai": Row(
        docs="https://docs.together.ai/reference/chat-completions",
        can=Capabilities(
            parameters=_OPEN - _only("parallel_tool_calls", "user", "logit_bias"),
            content=_PICTURES | _content("video", "video_url"),
        ),
        quirks=Quirks(think_tags=True, strict=False),
        models=(Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),),
    ),
    "fireworks": Row(
        docs="https://docs.fireworks.ai/api-reference/post-chatcompletions",
        can=Capabilities(
            parameters=_OPEN | _only("effort", "prompt_cache_key"),
            content=_PICTURES,
            efforts=("none", *_LMH),
        ),
        quirks=Quirks(think_tags=True, strict=False),
    ),
    "cerebras": Row(
        # 400 for the penalties, logit_bias, service_tier: https://inference-docs.cerebras.ai/resources/openai
        docs="https://inference-docs.cerebras.ai/api-reference/chat-completions",
        can=Capabilities(
            parameters=_only(
                "temperature", "top_p", "stop", "seed", "max_output_tokens", "logprobs", "user",
                "parallel_tool_calls",
            ),
            content=_content(),
            temperature_max=1.5,
        ),
        quirks=Quirks(max_tokens="max_completion_tokens", think_tags=True),
        models=(Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),),
    ),
    "deepinfra": Row(
        docs="https://deepinfra.com/docs/openai_api",
        can=Capabilities(
            parameters=_BASE | _only("top_k", "user", "effort"),
            content=_PICTURES,
            efforts=("none", *_LMH),
        ),
        quirks=Quirks(think_tags=True, strict=False),
    ),
    "perplexity": Row(
        docs="https://docs.perplexity.ai/api-reference/chat-completions-post",
        can=Capabilities(
            parameters=_SAMPLING | _only("max_output_tokens", "top_k"),
            content=_PICTURES,
            hosted=frozenset(("web_search",)),
            forced_tools=False,
            json_object=False,
        ),
        quirks=Quirks(
            think_tags=True, stream_options=False, alternates=True, search="web_search_options"
        ),
        models=(
            Refined(
                pattern=re.compile(r"deep-research"),
                has=_only("effort"),
                can={"efforts": _LMH},
            ),
        ),
    ),
    "moonshot": Row(
        docs="https://platform.moonshot.ai/docs/api/chat",
        can=Capabilities(
            parameters=_BASE - _only("seed") | _only("prompt_cache_key", "effort"),
            content=_content("image", "video"),
            reasoning_text=True,
            temperature_max=1.0,
            efforts=("none", "low", "high", "max"),
        ),
        quirks=Quirks(
            # https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model
            replay="reasoning_content",
            # https://github.com/HKUDS/nanobot/issues/946
            placeholder=" ",
            switch=True,
            strict=False,
        ),
        models=(
            Refined(
                pattern=re.compile(r"moonshot-v1"),
                lacks=_only("effort"),
                can={"efforts": (), "reasoning_text": False},
                quirks={"replay": "", "placeholder": None, "switch": False},
            ),
        ),
    ),
    "huggingface": Row(
        docs="https://huggingface.co/docs/inference-providers/tasks/chat-completion",
        can=Capabilities(
            parameters=_BASE | _only("logprobs"),
            content=_PICTURES,
        ),
        quirks=Quirks(think_tags=True, strict=False),
        models=(Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),),
    ),
    "nvidia": Row(
        docs="https://docs.api.nvidia.com/nim/reference/llm-apis",
        can=Capabilities(parameters=_BASE, content=_PICTURES),
        quirks=Quirks(think_tags=True, strict=False),
        models=(Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),),
    ),
    "ollama": Row(
        docs="https://docs.ollama.com/api/openai-compatibility",
        can=Capabilities(
            parameters=_BASE | _only("logprobs", "effort"),
            content=_content("image"),
            forced_tools=False,
            efforts=("none", *_LMH),
        ),
        quirks=Quirks(think_tags=True, strict=False),
    ),
    "vllm": Row(
        docs="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        can=Capabilities(
            parameters=_OPEN | _only("effort"),
            content=_PICTURES | _content("audio", "video", "video_url"),
            efforts=("none", *_LMH),
        ),
        quirks=Quirks(developer=True, names=True, think_tags=True),
    ),
    "lmstudio": Row(
        docs="https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        can=Capabilities(
            parameters=_BASE | _only("top_k", "logit_bias"),
            content=_content("image"),
            json_object=False,
        ),
        quirks=Quirks(think_tags=True, strict=False),
        models=(Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),),
    ),
    "gemini": Row(
        docs="https://ai.google.dev/gemini-api/docs/openai",
        can=Capabilities(
            parameters=_only(
                "temperature", "top_p", "stop", "max_output_tokens", "effort"
            ),
            content=_content("image", "audio"),
            naming="gemini",
            efforts=("none", "minimal", *_LMH),
        ),
        quirks=Quirks(strict=False, replay="signature"),
        models=(
            Refined(
                pattern=re.compile(r"gemini-([3-9]|\d\d)"),
                can={"efforts": ("minimal", *_LMH)},
                # https://ai.google.dev/gemini-api/docs/thought-signatures
                quirks={"dummy_signature": "skip_thought_signature_validator"},
            ),
        ),
    ),
    "vertex": Row(
        # Models of many makers: https://cloud.google.com/vertex-ai/generative-ai/docs/maas/call-open-model-apis
        docs="https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai",
        can=Capabilities(
            parameters=_BASE | _only("logprobs"),
            content=_content("image"),
        ),
        quirks=Quirks(think_tags=True, strict=False, replay="signature"),
        models=(
            Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),
            Refined(
                pattern=re.compile(r"gemini-([3-9]|\d\d)"),
                has=_only("effort"),
                can={"efforts": ("minimal", *_LMH)},
                quirks={"dummy_signature": "skip_thought_signature_validator"},
            ),
        ),
    ),
    "cohere": Row(
        docs="https://docs.cohere.com/docs/compatibility-api",
        can=Capabilities(
            parameters=_BASE | _only("effort"),
            content=_PICTURES,
            forced_tools=False,
            temperature_max=1.0,
            efforts=("none", "high"),
        ),
        quirks=Quirks(strict=False),
    ),
    "baseten": Row(
        docs="https://docs.baseten.co/reference/inference-api/chat-completions",
        can=Capabilities(
            parameters=_OPEN,
            content=_PICTURES,
        ),
        quirks=Quirks(think_tags=True, strict=False),
        models=(Refined(pattern=_GPT_OSS, has=_only("effort"), can={"efforts": _LMH}),),
    ),
    "custom": Row(
        docs="https://platform.openai.com/docs/api-reference/chat/create",
        can=Capabilities(
            parameters=_BASE | _only("effort"),
            content=_PICTURES,
            efforts=_LMH,
            stop_most=4,
        ),
        quirks=Quirks(think_tags=True),
    ),
}  # fmt: skip

NAMED: dict[str, dict[str, Any]] = {
    "max_completion_tokens": {"max_tokens": "max_completion_tokens"},
    "max_tokens": {"max_tokens": "max_tokens"},
    "developer_role": {"developer": True},
    "no_stream_options": {"stream_options": False},
    "no_strict": {"strict": False},
    "no_think_tags": {"think_tags": False},
    "think_tags": {"think_tags": True},
    "reasoning_content": {"replay": "reasoning_content"},
    "reasoning_details": {"replay": "details"},
    "cache_control": {"cache_control": True},
}
"""Quirks that a provider may be given by name (`Upstream.quirks`), laid over its row."""


@lru_cache(maxsize=512)
def capabilities_for(provider: str, model: str) -> Capabilities:
    """What a model at a provider of this kind can take."""
    row, found = _find(provider, model)
    if found is None:
        return row.can
    changes: dict[str, Any] = dict(found.can)
    changes["parameters"] = (row.can.parameters - found.lacks) | found.has
    return structs.replace(row.can, **changes)


@lru_cache(maxsize=512)
def quirks_for(provider: str, model: str, names: frozenset[str] = frozenset()) -> Quirks:
    """How requests and answers of this model differ. Unknown names say nothing here."""
    row, found = _find(provider, model)
    changes: dict[str, Any] = dict(found.quirks) if found is not None else {}
    for name in sorted(names):
        changes.update(NAMED.get(name, {}))
    return structs.replace(row.quirks, **changes) if changes else row.quirks


def providers() -> tuple[str, ...]:
    """The kinds that have a row."""
    return tuple(_ROWS)


def source(provider: str) -> str:
    """The page where the row of a provider can be checked."""
    return _ROWS[provider].docs


def _find(provider: str, model: str) -> tuple[Row, Refined | None]:
    row = _ROWS.get(provider, _ROWS["custom"])
    for refined in row.models:
        if refined.pattern.search(model) is not None:
            return row, refined
    return row, None
