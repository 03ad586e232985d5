"""The body of `generateContent` and `streamGenerateContent`.

Model and streaming are in the address, not in the body.
"""

import re
from typing import Any

from portico.dialects.gemini.contents_out import Conversation, Json, conversation
from portico.dialects.gemini.maps import (
    BUDGET_OF_EFFORT,
    LEVEL_OF_BUDGET,
    LEVEL_OF_EFFORT,
    LEVELS,
    OPENAPI_SCHEMA,
    RESOLUTIONS,
    SERVICE_TIERS,
    VERTEX,
    Family,
    Level,
    family,
)
from portico.dialects.gemini.schema import openapi
from portico.dialects.gemini.tools_out import Offer, offer
from portico.dialects.translate import Upstream
from portico.errors import BadRequest
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest, ReasoningAsk
from portico.wire.json import encode

# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/add-labels-to-api-calls
# (2026-11-21): 64 labels, lower case, digits, dash and underscore
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_LABELS = 64


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body. Raises `BadRequest` for what the model cannot do and leaving out would change."""
    return encode(body(request, upstream, losses))


def body(request: GenerateRequest, upstream: Upstream, losses: Losses) -> Json:
    """The body before it is encoded; `Raw` where JSON of the client goes through as it is."""
    row = family(upstream.model)
    vertex = VERTEX in upstream.quirks
    native = row.schemas and OPENAPI_SCHEMA not in upstream.quirks
    said = conversation(request, row, losses, vertex=vertex)
    tools = offer(request, row, losses, vertex=vertex, native=native)
    out: Json = {"contents": said.contents}
    if said.system:
        out["systemInstruction"] = {"parts": said.system}
    if tools.tools:
        out["tools"] = tools.tools
    if tools.config:
        out["toolConfig"] = tools.config
    config = _generation(request, row, losses, vertex=vertex, said=said)
    _format(request, row, losses, config, tools, native=native)
    if config:
        out["generationConfig"] = config
    _bookkeeping(request, losses, out, vertex=vertex)
    return out


def _generation(
    request: GenerateRequest, row: Family, losses: Losses, *, vertex: bool, said: Conversation
) -> Json:
    config: Json = {}
    for name, value in (
        ("maxOutputTokens", request.max_output_tokens),
        ("temperature", request.temperature),
        ("topP", request.top_p),
        ("topK", request.top_k),
        ("presencePenalty", request.presence_penalty),
        ("frequencyPenalty", request.frequency_penalty),
        ("seed", _seed(request, losses)),
        ("stopSequences", list(request.stop) or None),
    ):
        if value is not None:
            config[name] = value
    if request.logprobs:
        config["responseLogprobs"] = True
        if request.top_logprobs:
            config["logprobs"] = request.top_logprobs
    thinking = _thinking(request, row, losses)
    if thinking:
        config["thinkingConfig"] = thinking
    if not (vertex and row.rich_results):
        _resolution(request, said.details, losses, config)
    return config


def _seed(request: GenerateRequest, losses: Losses) -> int | None:
    """An int32 there, an int64 at OpenAI. https://ai.google.dev/api/generate-content (2026-11)"""
    seed = request.seed
    if seed is None or -(1 << 31) <= seed < 1 << 31:
        return seed
    losses.append(Loss("seed", "adapted", "this provider's seeds have 32 bits"))
    return seed & 0x7FFF_FFFF


def _thinking(request: GenerateRequest, row: Family, losses: Losses) -> Json:
    ask = request.reasoning
    if ask is None or not (row.levels or row.budget):
        return {}
    out: Json = {}
    who = request.dialect
    if row.levels:
        level = _level(ask, row, who, losses)
        if level is not None:
            out["thinkingLevel"] = level
    else:
        budget = _budget(ask, row, who, losses)
        if budget is not None:
            out["thinkingBudget"] = budget
    if ask.summary is not None and ask.summary != "none" and out.get("thinkingBudget") != 0:
        out["includeThoughts"] = True
    return out


def _level(ask: ReasoningAsk, row: Family, who: str, losses: Losses) -> Level | None:
    """The level nearest to the effort, or to the budget where only that was given."""
    if ask.effort is not None:
        wanted = LEVEL_OF_EFFORT[ask.effort]
        where, exact = path(who, "effort"), ask.effort.upper()
        if ask.budget is not None:
            losses.append(Loss(path(who, "budget"), "adapted", "the effort says it"))
    elif ask.budget is not None:
        wanted = next((level for most, level in LEVEL_OF_BUDGET if ask.budget <= most), "HIGH")
        where, exact = path(who, "budget"), ""
    else:
        return None
    level = wanted
    if level not in row.levels:
        above = LEVELS[LEVELS.index(wanted) :]
        level = next((other for other in above if other in row.levels), row.levels[-1])
    if level != exact:
        losses.append(Loss(where, "adapted", f"sent as the thinking level {level}"))
    return level


def _budget(ask: ReasoningAsk, row: Family, who: str, losses: Losses) -> int | None:
    """Tokens within the range of the model; 0 only where thinking can be turned off."""
    if row.budget is None:
        return None
    least, most = row.budget
    if ask.budget is not None:
        wanted, where = ask.budget, path(who, "budget")
        if ask.effort is not None:
            losses.append(Loss(path(who, "effort"), "adapted", "the budget says it"))
    elif ask.effort is not None:
        wanted, where = BUDGET_OF_EFFORT[ask.effort], path(who, "effort")
    else:
        return None
    if wanted <= 0 and row.off:
        return 0
    budget = min(max(wanted, least), most)
    if budget != wanted and (ask.budget is not None or wanted <= 0):
        losses.append(Loss(where, "adapted", f"sent as {budget} thinking tokens"))
    return budget


def _resolution(
    request: GenerateRequest, details: list[str | None], losses: Losses, config: Json
) -> None:
    """One resolution for all media of the request, so only where all images agree."""
    asked = {detail for detail in details if detail not in (None, "auto")}
    if not asked:
        return
    levels = {RESOLUTIONS.get(detail or "") for detail in details}
    level = levels.pop() if len(levels) == 1 else None
    if level is not None:
        config["mediaResolution"] = level
        if "original" in asked:
            losses.append(Loss(_detail(request), "adapted", "sent as the high resolution"))
    else:
        losses.append(Loss(_detail(request), "dropped", "images can only have one detail together"))


def _detail(request: GenerateRequest) -> str:
    return f"{path(request.dialect, 'items')}.detail"


def _format(
    request: GenerateRequest, row: Family, losses: Losses, config: Json, tools: Offer, *,
    native: bool,
) -> None:  # fmt: skip
    """Structured output."""
    wanted = request.format
    if wanted is None:
        return
    where = path(request.dialect, "format")
    if tools.tools and not row.mixes:
        # 400 "Function calling with a response mime type: 'application/json' is unsupported":
        # https://ai.google.dev/gemini-api/docs/structured-output (2026-11-21)
        raise BadRequest(
            "This model cannot be given tools together with a format for its answer.",
            code="unsupported_parameter",
            param=where,
        )
    config["responseMimeType"] = "application/json"
    if wanted.schema is None:
        return
    if native:
        config["responseJsonSchema"] = wanted.schema
    else:
        config["responseSchema"] = openapi(wanted.schema, where, losses, ordered=True)
    if wanted.description:
        losses.append(
            Loss(path(request.dialect, "format.description"), "dropped", "there is no place for it")
        )


def _bookkeeping(request: GenerateRequest, losses: Losses, out: Json, *, vertex: bool) -> None:
    tier = request.service_tier
    if tier is not None:
        if tier not in SERVICE_TIERS:
            losses.append(Loss("service_tier", "dropped", "this provider has no such tier"))
        elif SERVICE_TIERS[tier] is not None:
            out["serviceTier"] = SERVICE_TIERS[tier]
    if vertex and request.metadata:
        labels: dict[str, Any] = {}
        for key, value in request.metadata.items():
            name, text = key.lower(), value.lower()
            if (
                len(labels) < _LABELS
                and _LABEL_KEY.fullmatch(name)
                and _LABEL_VALUE.fullmatch(text)
            ):
                labels[name] = text
                if name != key or text != value:
                    losses.append(Loss(f"metadata.{key[:64]}", "adapted", "labels are lower case"))
            else:
                losses.append(Loss(f"metadata.{key[:64]}", "dropped", "cannot be made a label"))
        if labels:
            out["labels"] = labels
