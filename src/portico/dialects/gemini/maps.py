"""Tables of the Gemini dialect: model families, finish reasons, tools, capabilities."""

import re
from typing import Literal, TypeAlias

from msgspec import Struct, structs

from portico.model.capabilities import Capabilities, Content, Parameter
from portico.model.events import FinishReason
from portico.model.request import Effort

VERTEX = "vertex"
"""Quirk: the endpoint is Vertex AI. It knows no `id` on calls and results (400 'Unknown name "id"',
https://github.com/charmbracelet/fantasy/issues/265, 2026-11-21), takes `labels`, wants a media type
for every address, and resolutions per part outside of a preview API version."""
OPENAPI_SCHEMA = "openapi_schema"
"""Quirk: the endpoint takes only the OpenAPI 3.0 subset for schemas (`parameters`,
`responseSchema`), not `parametersJsonSchema` and `responseJsonSchema`."""

Level: TypeAlias = Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"]
LEVELS: tuple[Level, ...] = ("MINIMAL", "LOW", "MEDIUM", "HIGH")

LEVEL_OF_EFFORT: dict[Effort, Level] = {
    "none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH",
    "xhigh": "HIGH", "max": "HIGH",
}  # fmt: skip
# https://ai.google.dev/gemini-api/docs/openai#thinking (2026-11-21); the last two are the model's
# own maximum
BUDGET_OF_EFFORT: dict[Effort, int] = {
    "none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 1 << 30,
    "max": 1 << 30,
}  # fmt: skip
LEVEL_OF_BUDGET: tuple[tuple[int, Level], ...] = ((0, "MINIMAL"), (1024, "LOW"), (8192, "MEDIUM"))
"""Up to so many tokens; more is HIGH. The inverse of the table above."""


class Family(Struct, frozen=True, kw_only=True):
    """What models have in common. `pattern` is matched at the beginning of the bare model name.

    `levels` are the thinking levels it takes; `budget` the least and most thinking tokens, where
    it counts tokens instead; with neither, nothing about thinking is sent. `off`: thinking can be
    turned off. `signatures`: a call of the current turn without `thoughtSignature` is a 400.
    `mixes`: functions and hosted tools may be offered together, and structured output beside
    functions. `schemas`: takes JSON Schema as it is. `system`: takes a system instruction.
    `fetches`: reads https addresses. `sampling`, `penalties`: takes those parameters.
    """

    pattern: str
    levels: tuple[Level, ...] = ()
    budget: tuple[int, int] | None = None
    off: bool = False
    thoughts: bool = True
    signatures: bool = False
    mixes: bool = False
    schemas: bool = True
    system: bool = True
    fetches: bool = True
    sampling: bool = True
    penalties: bool = False
    rich_results: bool = False


def _three(pattern: str, levels: tuple[Level, ...] = LEVELS, *, sampling: bool = True) -> Family:
    return Family(
        pattern=pattern, levels=levels, signatures=True, mixes=True, sampling=sampling,
        rich_results=True,
    )  # fmt: skip


_THREE: tuple[Level, ...] = ("LOW", "MEDIUM", "HIGH")

# The first that matches. Thinking: https://ai.google.dev/gemini-api/docs/thinking and
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/thinking. Sampling of 3.5 Flash-Lite,
# 3.6 and later: https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/gemini/3-5-flash-lite.
# Signatures: https://ai.google.dev/gemini-api/docs/thought-signatures. Addresses:
# https://ai.google.dev/gemini-api/docs/file-input-methods. Penalties, "not enabled" from 3 on:
# https://ai.google.dev/gemini-api/docs/gemini-3. All 2026-11-21.
FAMILIES: tuple[Family, ...] = (
    Family(pattern=r"gemma-[123]", thoughts=False, schemas=False, system=False, fetches=False),
    Family(pattern=r"gemini-(1\.|2\.0)", thoughts=False, schemas=False, fetches=False,
           penalties=True),
    Family(pattern=r"gemini-2\.5-flash-image", thoughts=False),
    Family(pattern=r"gemini-2\.5-flash-lite", budget=(512, 24_576), off=True, penalties=True),
    Family(pattern=r"gemini-2\.5-flash", budget=(1, 24_576), off=True, penalties=True),
    Family(pattern=r"gemini-2\.5", budget=(128, 32_768), penalties=True),
    Family(pattern=r"gemini-[3-9].*-image", mixes=True, rich_results=True),
    _three(r"gemini-3-pro", ("LOW", "HIGH")),
    _three(r"gemini-3(\.1)?-pro", _THREE),
    _three(r"gemini-3\.5-flash-lite", sampling=False),
    _three(r"gemini-3(\.[0-5])?-"),
    _three(r"gemini-3\.6", sampling=False),
    _three(r"gemini-([3-9]|\d\d)", _THREE, sampling=False),
    # aliases of the newest models: gemini-flash-latest, gemini-pro-latest
    _three(r"gemini-(pro|flash)", _THREE, sampling=False),
)  # fmt: skip
OTHER = Family(pattern="", thoughts=False, penalties=True)
"""Models of other makers behind the same API."""
_COMPILED = tuple((re.compile(family.pattern).match, family) for family in FAMILIES)


def family(model: str) -> Family:
    """The row of a model id; resource names (`publishers/google/models/...`) are looked through."""
    name = model.rpartition("/")[2].lower()
    for matches, row in _COMPILED:
        if matches(name):
            return row
    return OTHER


SKIP_VALIDATION = "skip_thought_signature_validator"
"""Stands for a signature that is not there, in history that another model made. Documented in
https://ai.google.dev/gemini-api/docs/thought-signatures#faqs (2026-11-21)."""

FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    # it stopped at a limit of the request; what would continue it is not kept
    "CONTINUATION": "length",
    "SAFETY": "content_filter", "RECITATION": "content_filter", "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter", "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter", "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter", "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
}  # fmt: skip
"""`finishReason` of an answer that ended in order. A value in neither table is told as
`content_filter`: every value added since 2023 but STOP says that the answer is not whole."""

FAILURES: dict[str, str] = {
    "OTHER": "The model stopped for a reason that the provider does not name.",
    "MALFORMED_FUNCTION_CALL": "The model wrote a tool call that cannot be read.",
    "UNEXPECTED_TOOL_CALL": "The model called a tool that it was not offered.",
    "TOO_MANY_TOOL_CALLS": "The model made too many tool calls.",
    "MISSING_THOUGHT_SIGNATURE": "The provider misses a thought signature in the history.",
    "MALFORMED_RESPONSE": "The model's answer cannot be read.",
    "IMAGE_OTHER": "The provider could not make the image.",
    "NO_IMAGE": "The model made no image.",
}
"""`finishReason` of an answer that failed."""

HOSTED_TOOLS: dict[str, str] = {
    "web_search": "googleSearch",
    "code_interpreter": "codeExecution",
    "web_fetch": "urlContext",
    "file_search": "fileSearch",
}
"""Kind of a hosted tool to the member of `Tool`."""

HOSTED_ITEMS: dict[str, str] = {
    "GOOGLE_SEARCH_WEB": "web_search_call",
    "URL_CONTEXT": "web_fetch_call",
    "FILE_SEARCH": "file_search_call",
}
"""`toolType` of a server-side `toolCall` to the type of a hosted item; others are skipped."""

SERVICE_TIERS: dict[str, str | None] = {
    "auto": None, "default": "standard", "flex": "flex", "priority": "priority", "fast": "priority"
}  # fmt: skip

RESOLUTIONS: dict[str, str] = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_HIGH",
}
"""`detail` of images to `mediaResolution`; `auto` is to say nothing.
https://ai.google.dev/gemini-api/docs/media-resolution (2026-11-21)"""
PART_RESOLUTIONS = {**RESOLUTIONS, "original": "MEDIA_RESOLUTION_ULTRA_HIGH"}
"""The same for a part of its own, which has one level more."""

STATUS_OF: dict[str, int] = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404, "ABORTED": 409,
    "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "INTERNAL": 500,
    "UNKNOWN": 500, "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
"""google.rpc.Code to HTTP, for errors that come inside a 200.
https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto (2026-11-21)"""

_PARAMETERS: frozenset[Parameter] = frozenset((
    "stop", "seed", "logprobs", "service_tier", "max_output_tokens",
))  # fmt: skip
_SAMPLING: frozenset[Parameter] = frozenset(("temperature", "top_p", "top_k"))
_PENALTIES: frozenset[Parameter] = frozenset(("presence_penalty", "frequency_penalty"))
_THINKING: frozenset[Parameter] = frozenset(("effort", "budget", "summary"))
_CONTENT: frozenset[Content] = frozenset(("image", "file", "file_text", "audio", "video"))
_ADDRESSES: frozenset[Content] = frozenset(("image_url", "file_url", "video_url"))
_RESULTS: frozenset[Content] = frozenset(("image", "file", "file_text"))


def capabilities(model: str) -> Capabilities:
    """The row of a model at the Gemini API."""
    row = family(model)
    parameters = _PARAMETERS
    if row.sampling:
        parameters |= _SAMPLING
    if row.penalties:
        parameters |= _PENALTIES
    if row.levels or row.budget is not None:
        parameters |= _THINKING
    return Capabilities(
        parameters=parameters,
        content=_CONTENT | _ADDRESSES if row.fetches else _CONTENT,
        results=_RESULTS if row.rich_results else frozenset(),
        hosted=frozenset(HOSTED_TOOLS),
        allowed_tools=True,
        is_error=True,
        naming="gemini",
        name_characters=64,
        stop_most=5,
    )


def vertex_capabilities(model: str) -> Capabilities:
    """The row of a model at Vertex AI: labels, addresses for every model, no file search stores.

    https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, 2026-11-21
    """
    row = capabilities(model)
    return structs.replace(
        row,
        parameters=row.parameters | {"metadata"},
        content=row.content | _ADDRESSES | {"storage_url"},
        hosted=row.hosted - {"file_search"},
    )
