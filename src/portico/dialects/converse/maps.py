"""What models behind the Converse API take, and the words that differ, as data.

A row is found by what a model id contains: ids come bare (`anthropic.claude-...`), with a region in
front (`us.`, `global.`) and inside ARNs. The first row that matches wins. The ARN of an application
profile says nothing about the model behind it: such ids get `UNKNOWN`, which takes what most do.
Facts as of 2026-11-21, from the page in `source` unless another is named.
"""

from functools import lru_cache
from typing import Literal, TypeAlias

from msgspec import Struct

from portico.model.capabilities import Capabilities, Content, Parameter
from portico.model.events import FinishReason
from portico.model.request import Effort

Thinking: TypeAlias = Literal["none", "budget", "adaptive", "nova", "effort"]
"""How reasoning is asked for. `budget`: Claude's `thinking` with `budget_tokens`; `adaptive`: its
successor with `outputConfig.effort`; `nova`: `reasoningConfig`; `effort`: `reasoning_effort`."""
Forced: TypeAlias = Literal["none", "any", "tool"]
"""The strongest `toolChoice` a model takes."""

_FEATURES = "https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html"
_ADAPTIVE = (
    "https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html"
)
_BUDGET = (
    "https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html"
)
_NOVA = "https://docs.aws.amazon.com/nova/latest/nova2-userguide/request-response-schema.html"
_OPEN = "https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html"
_OPENAI = "https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html"
_CACHING = "https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html"
_TOOL_CHOICE = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html"


class Family(Struct, frozen=True, kw_only=True):
    """Models that take the same.

    `off` says what stands for effort `none` where thinking cannot simply be disabled. `efforts`
    are the words of an adaptive model. `top_k` is the place of that parameter in
    `additionalModelRequestFields`. `pair`: temperature and top_p may come together. `cache`:
    `cachePoint` blocks are taken, `cache_tools` also among tools, `cache_ttl` with "1h". `strict`:
    tools may be strict. `replay`: `reasoningContent` may be sent back. `raw_thoughts`: reasoning
    text is the raw one. `max_tokens` is the most output, which has to be said where thinking has
    a budget: unsaid, the limit is about 4,096 (https://github.com/danny-avila/LibreChat/pull/14058,
    2026-11-21). `hosted` are the system tools for kinds of hosted tools.
    """

    models: tuple[str, ...]
    source: str
    content: frozenset[Content] = frozenset()
    results: frozenset[Content] = frozenset()
    forced: Forced = "none"
    thinking: Thinking = "none"
    off: Literal["disabled", "omit", "low"] = "omit"
    efforts: tuple[str, ...] = ()
    sampling: bool = True
    pair: bool = True
    stop: bool = True
    top_k: tuple[str, ...] = ()
    parallel: bool = False
    system: bool = True
    json_schema: bool = False
    strict: bool = False
    cache: bool = False
    cache_tools: bool = False
    cache_ttl: bool = False
    is_error: bool = False
    replay: bool = False
    raw_thoughts: bool = True
    claude: bool = False
    max_tokens: int = 0
    call_id: str = "[a-zA-Z0-9_.:-]{1,64}"
    hosted: tuple[tuple[str, str], ...] = ()


_DOCUMENTS: frozenset[Content] = frozenset(("file", "file_text", "storage_url"))
_PICTURES: frozenset[Content] = frozenset(("image", "storage_url"))
_BOTH = _DOCUMENTS | _PICTURES
_VIDEO = _BOTH | frozenset[Content](("video",))
_ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_MISTRAL_ID = "[a-zA-Z0-9]{9}"  # https://docs.mistral.ai/capabilities/function_calling, 2026-11-21


def _claude(
    *models: str,
    source: str = _BUDGET,
    thinking: Thinking = "budget",
    off: Literal["disabled", "omit", "low"] = "omit",
    efforts: tuple[str, ...] = (),
    forced: Forced = "tool",
    sampling: bool = True,
    pair: bool = True,
    structured: bool = False,
    cache: bool = True,
    cache_ttl: bool = False,
    max_tokens: int = 64_000,
) -> Family:
    """What every Claude since version 3 takes; the rest is said per row."""
    return Family(
        models=models,
        source=source,
        content=_BOTH,
        results=_BOTH,
        forced=forced,
        thinking=thinking,
        off=off,
        efforts=efforts,
        sampling=sampling,
        pair=pair,
        top_k=("top_k",) if sampling else (),
        parallel=True,
        json_schema=structured,
        strict=structured,
        cache=cache,
        cache_tools=cache,
        cache_ttl=cache_ttl,
        is_error=True,
        replay=thinking != "none",
        raw_thoughts=False,
        claude=True,
        max_tokens=max_tokens,
        # Anthropic's own pattern is narrower than Bedrock's:
        # https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview, 2026-11-21
        call_id="[a-zA-Z0-9_-]{1,64}",
    )


def _open(
    *models: str,
    source: str = _OPEN,
    content: frozenset[Content] = frozenset(),
    thinking: Thinking = "none",
    replay: bool = False,
    call_id: str = "[a-zA-Z0-9_.:-]{1,64}",
    forced: Forced = "none",
) -> Family:
    """Open-weight models of the newer generation: structured output is native."""
    return Family(
        models=models,
        source=source,
        content=content,
        json_schema=True,
        thinking=thinking,
        replay=replay,
        call_id=call_id,
        forced=forced,
    )


FAMILIES = (
    # "tool_choice: type "tool" and "any" are not supported for this model", answered 2026-10
    _claude(
        "claude-opus-5-5", source=_ADAPTIVE, thinking="adaptive", off="low", efforts=_ALL_EFFORTS,
        forced="none", sampling=False, cache_ttl=True,
    ),
    # "`temperature` is deprecated for this model", answered by Opus 5, 2026-10
    _claude(
        "claude-opus-5", "claude-sonnet-5", "claude-haiku-5", "claude-fable", "claude-mythos",
        source=_ADAPTIVE, thinking="adaptive", off="low", efforts=_ALL_EFFORTS, sampling=False,
        cache_ttl=True,
    ),
    _claude(
        "claude-opus-4-7", "claude-opus-4-8", source=_ADAPTIVE, thinking="adaptive", off="omit",
        efforts=_ALL_EFFORTS, sampling=False, cache_ttl=True,
    ),
    _claude(
        "claude-opus-4-6", source=_ADAPTIVE, thinking="adaptive", off="disabled",
        efforts=("low", "medium", "high", "max"), pair=False, structured=True, cache_ttl=True,
    ),
    _claude(
        "claude-sonnet-4-6", source=_ADAPTIVE, thinking="adaptive", off="disabled",
        efforts=("low", "medium", "high", "max"), pair=False, cache_ttl=True,
    ),
    _claude(
        "claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5", pair=False, structured=True,
        cache_ttl=True,
    ),
    _claude("claude-opus-4-1", pair=False, max_tokens=32_000),
    _claude("claude-opus-4", max_tokens=32_000),
    _claude("claude-sonnet-4", "claude-3-7"),
    _claude("claude-3-5-haiku", source=_CACHING, thinking="none"),
    _claude("claude-3", source=_FEATURES, thinking="none", cache=False),
    Family(models=("claude-v2", "claude-2", "claude-instant"), source=_FEATURES,
           content=_DOCUMENTS, top_k=("top_k",)),
    _claude(  # newer than this table: as the newest
        "claude", source=_ADAPTIVE, thinking="adaptive", off="low", efforts=_ALL_EFFORTS,
        sampling=False, cache_ttl=True,
    ),
    Family(
        models=("nova-2",),
        source=_NOVA,
        content=_VIDEO | frozenset[Content](("audio",)),
        results=_PICTURES,
        forced="tool",
        thinking="nova",
        off="disabled",
        top_k=("inferenceConfig", "topK"),
        cache=True,
        is_error=True,
        replay=True,
        hosted=(("web_search", "nova_grounding"), ("code_interpreter", "nova_code_interpreter")),
    ),
    Family(
        models=("nova-micro",), source=_FEATURES, forced="tool", is_error=True, cache=True,
        top_k=("inferenceConfig", "topK"),
    ),
    Family(
        models=("nova-",), source=_FEATURES, content=_VIDEO, results=_PICTURES, forced="tool",
        is_error=True, cache=True, top_k=("inferenceConfig", "topK"),
    ),
    Family(models=("llama4", "llama3-2-11b", "llama3-2-90b"), source=_FEATURES, content=_BOTH),
    Family(models=("llama",), source=_FEATURES, content=_DOCUMENTS),
    Family(models=("pixtral",), source=_FEATURES, content=_PICTURES, forced="any",
           call_id=_MISTRAL_ID),
    Family(models=("mistral-7b", "mixtral-8x7b"), source=_FEATURES, content=_DOCUMENTS,
           system=False, top_k=("top_k",), call_id=_MISTRAL_ID),
    _open("mistral-large-3", "ministral", "magistral", "voxtral", content=_PICTURES,
          call_id=_MISTRAL_ID, forced="any"),
    Family(models=("mistral-small",), source=_FEATURES, forced="any", call_id=_MISTRAL_ID),
    Family(models=("mistral",), source=_TOOL_CHOICE, content=_DOCUMENTS, forced="any",
           call_id=_MISTRAL_ID),
    _open("gpt-oss", source=_OPENAI, thinking="effort", replay=True),
    # "This model doesn't support the stopSequences field", likewise topP, answered 2026-10;
    # `reasoning_effort` and `reasoningConfig` are unknown parameters to them, answered 2026-09
    Family(models=("openai.gpt-",), source=_OPENAI, content=_BOTH, sampling=False, stop=False,
           replay=True),
    Family(models=("deepseek.r1",), source=_FEATURES, content=_DOCUMENTS),
    _open("deepseek"),
    _open("qwen3-vl", "gemma", "nemotron", content=_PICTURES),
    _open("qwen", "minimax", "glm"),
    _open("kimi", "moonshot", replay=True),
    Family(models=("cohere.command-r", "jamba", "palmyra"), source=_FEATURES, content=_DOCUMENTS),
    Family(models=("titan", "cohere.command"), source=_FEATURES, content=_DOCUMENTS, system=False),
)  # fmt: skip

UNKNOWN = Family(
    models=("",), source=_FEATURES, content=_VIDEO, results=_BOTH, forced="tool", replay=True
)
"""A model that its id does not tell: what the API itself takes."""


@lru_cache(maxsize=512)
def family(model: str) -> Family:
    """The row of a model id."""
    lower = model.lower()
    if "application-inference-profile/" in lower:
        return UNKNOWN
    for row in FAMILIES:
        if any(part in lower for part in row.models):
            return row
    return UNKNOWN


@lru_cache(maxsize=512)
def capabilities(model: str) -> Capabilities:
    """What the passes have to know of a model.

    Addresses are never fetched by Bedrock. Metadata becomes `requestMetadata`. `json_object` has no
    counterpart. Reasoning without its signature must not be sent back.
    """
    row = family(model)
    parameters: set[Parameter] = {"max_output_tokens", "metadata", "service_tier"}
    if row.sampling:
        parameters |= {"temperature", "top_p"}
    if row.stop:
        parameters.add("stop")
    if row.top_k:
        parameters.add("top_k")
    if row.parallel:
        parameters.add("parallel_tool_calls")
    if row.thinking != "none":
        parameters |= {"effort", "budget", "summary"}
    return Capabilities(
        parameters=frozenset(parameters),
        content=row.content,
        results=row.results & row.content,
        hosted=frozenset([kind for kind, _ in row.hosted]),
        forced_tools=row.forced != "none",
        json_schema=row.json_schema,
        json_object=False,
        is_error=row.is_error,
        call_id=row.call_id,
        temperature_max=1.0,
    )


BUDGETS: dict[Effort, int] = {
    "minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000,
}  # fmt: skip
"""Effort as `budget_tokens`. At least 1024 and below `maxTokens`; above 32,000 Anthropic advises
batches: https://platform.claude.com/docs/en/build-with-claude/extended-thinking, 2026-11-21."""
LEAST_BUDGET = 1024

NOVA_EFFORTS: dict[Effort, str] = {
    "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high",
    "max": "high",
}  # fmt: skip
"""https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html, 2026-11-21"""

ADAPTIVE_EFFORTS: dict[Effort, tuple[str, ...]] = {
    "minimal": ("low",), "low": ("low",), "medium": ("medium",), "high": ("high",),
    "xhigh": ("xhigh", "max"), "max": ("max",),
}  # fmt: skip
"""The first word that the model has. Bedrock Runtime model of 2026-11, `OutputConfig.effort`."""

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
"""`stopReason`. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
2026-11-21; the last two are Anthropic's own words."""
MALFORMED = frozenset(("malformed_model_output", "malformed_tool_use"))
"""Reasons that mean that the answer failed."""

TIER_OUT = {"default": "default", "flex": "flex", "priority": "priority", "fast": "priority",
            "scale": "reserved"}  # fmt: skip
"""OpenAI's service tiers in Bedrock's words; auto is not sent.
https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html, 2026-11-21"""
TIER_IN = {"default": "default", "flex": "flex", "priority": "priority", "reserved": "scale"}

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html", "text/plain": "txt", "text/markdown": "md", "application/json": "txt",
    "application/xml": "txt",
}  # fmt: skip
VIDEOS = {
    "video/mp4": "mp4", "video/quicktime": "mov", "video/x-matroska": "mkv", "video/webm": "webm",
    "video/x-flv": "flv", "video/mpeg": "mpeg", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
}  # fmt: skip
AUDIO = frozenset((
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga",
    "pcm", "webm",
))  # fmt: skip
"""Formats: enums `ImageFormat`, `DocumentFormat`, `VideoFormat`, `AudioFormat` of the API."""
