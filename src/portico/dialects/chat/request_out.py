"""A request of the hub as the body of a chat completion."""

from typing import Any

from portico.dialects.chat.maps import Quirks, quirks_for
from portico.dialects.chat.messages_out import messages
from portico.dialects.chat.tools_out import response_format, tool_members
from portico.dialects.translate import Upstream
from portico.model.losses import Loss, Losses
from portico.model.passes.params import nearest
from portico.model.passes.paths import path
from portico.model.request import Effort, GenerateRequest, ReasoningAsk
from portico.wire.json import encode

_SAME = (
    "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logit_bias",
    "verbosity", "user", "safety_identifier", "prompt_cache_key", "service_tier",
)  # fmt: skip
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_CACHE_EXTRAS = ("prompt_cache_retention", "prompt_cache_options")
"""Members of a Responses body that mean the same here."""

_EFFORT_OF_BUDGET: tuple[tuple[int, Effort], ...] = (
    (0, "none"), (1024, "minimal"), (4096, "low"), (16384, "medium"),
)  # fmt: skip
"""The most tokens that an effort stands for; more is `high`."""


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body for a server. Raises `BadRequest` for content it has no form for."""
    quirks = quirks_for(upstream.provider, upstream.model, upstream.quirks)
    body: dict[str, Any] = {"model": upstream.model}
    body["messages"] = messages(request, quirks, losses)
    if request.stream:
        body["stream"] = True
        if quirks.stream_options:
            body["stream_options"] = {"include_usage": True}
    if request.max_output_tokens is not None:
        body[quirks.max_tokens] = request.max_output_tokens
    for name in _SAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop"] = request.stop
    if request.seed is not None:
        body[quirks.seed] = request.seed
    if request.logprobs:
        body["logprobs"] = True
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs
    if request.format is not None:
        body["response_format"] = response_format(request.format)
    tool_members(request, quirks, body, losses)
    if request.reasoning is not None:
        _reasoning(request, request.reasoning, upstream, quirks, body, losses)
    if quirks.sampling_with:
        _without_sampling(request, quirks, body, losses)
    _kept(request, quirks, body, losses)
    return encode(body)


def _reasoning(
    request: GenerateRequest,
    ask: ReasoningAsk,
    upstream: Upstream,
    quirks: Quirks,
    body: dict[str, Any],
    losses: Losses,
) -> None:
    if quirks.effort == "reasoning":
        # https://openrouter.ai/docs/use-cases/reasoning-tokens (2026-11-21)
        inner: dict[str, Any] = {}
        if ask.budget is not None:
            inner["max_tokens"] = ask.budget
            if ask.effort is not None:
                told = Loss(path(request.dialect, "effort"), "adapted", "the budget says it")
                losses.append(told)
        elif ask.effort is not None:
            inner["effort"] = ask.effort
        else:
            inner["enabled"] = True
        if ask.budget == 0:
            inner = {"enabled": False}
        if ask.summary == "none":
            inner["exclude"] = True
        body["reasoning"] = inner
        return
    effort = ask.effort
    if effort is None and ask.budget is not None:
        effort = _effort_of(ask.budget)
        if upstream.capabilities.efforts:
            effort = nearest(effort, upstream.capabilities.efforts)
        losses.append(Loss(path(request.dialect, "budget"), "adapted", f"sent as '{effort}'"))
    elif ask.budget is not None:
        losses.append(Loss(path(request.dialect, "budget"), "adapted", "the effort says it"))
    if effort is None:
        return
    if effort == "none" and quirks.switch:
        body["thinking"] = {"type": "disabled"}
    else:
        body["reasoning_effort"] = quirks.effort_words.get(effort, effort)


def _effort_of(budget: int) -> Effort:
    for most, effort in _EFFORT_OF_BUDGET:
        if budget <= most:
            return effort
    return "high"


def _without_sampling(
    request: GenerateRequest, quirks: Quirks, body: dict[str, Any], losses: Losses
) -> None:
    """Models that think refuse sampling parameters; some of them by default do not think.

    https://platform.openai.com/docs/guides/latest-model (2026-11-21)
    """
    effort = body.get("reasoning_effort")
    if effort == "none" or (effort is None and quirks.sampling_with == "unless_asked"):
        return
    for name in (*_SAMPLING, "logprobs"):
        if name not in body:
            continue
        value = body.pop(name)
        if name == "logprobs":
            body.pop("top_logprobs", None)
        if value != (0 if name.endswith("penalty") else 1) or name == "logprobs":
            why = "this model takes it with reasoning effort 'none' only"
            losses.append(Loss(path(request.dialect, name), "dropped", why))


def _kept(request: GenerateRequest, quirks: Quirks, body: dict[str, Any], losses: Losses) -> None:
    """What is about keeping: metadata of stored completions, and how long a prompt is cached."""
    if quirks.stores and request.dialect == "chat" and request.store:
        body["store"] = True
    if request.metadata:
        if "store" in body:
            body["metadata"] = request.metadata
        else:
            losses.append(
                Loss("metadata", "dropped", "the provider keeps it with stored completions only")
            )
    if quirks.cache_extras:
        for name in _CACHE_EXTRAS:
            if name in request.extras:
                body[name] = request.extras[name]
