"""Parameters the target lacks, or has in another range."""

from functools import lru_cache
from typing import Any

from portico.errors import BadRequest
from portico.model.capabilities import Capabilities, Parameter
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import path
from portico.model.request import EFFORTS, Effort, GenerateRequest, ReasoningAsk

_PLAIN: tuple[tuple[Parameter, Any], ...] = (
    ("temperature", None),
    ("top_p", None),
    ("top_k", None),
    ("presence_penalty", None),
    ("frequency_penalty", None),
    ("seed", None),
    ("logit_bias", None),
    ("parallel_tool_calls", None),
    ("verbosity", None),
    ("metadata", {}),
    ("user", None),
    ("safety_identifier", None),
    ("prompt_cache_key", None),
    ("service_tier", None),
    ("max_output_tokens", None),
)
"""Hub field and what it is when nobody asked for anything."""

_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "temperature": (1,),
    "top_p": (1,),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
    "seed": (),
}
"""Values that ask for what happens anyway: leaving them out loses nothing."""

_HINTS = frozenset(("prompt_cache_key", "user", "safety_identifier", "metadata"))
"""They do not change what the model does."""

_TOLERATED = frozenset((
    "client_metadata",  # Codex CLI sends it to every server
    "stream_options", "anthropic_version", "betas",
))  # fmt: skip
"""Extras that carry no meaning for another provider."""

_CACHE_EXTRAS = frozenset(("prompt_cache_retention", "prompt_cache_options"))
"""OpenAI's settings of its prompt cache, in both of its dialects."""


def parameters(request: GenerateRequest, can: Capabilities, losses: Losses) -> dict[str, Any]:
    """The fields to replace. Raises `BadRequest` for more choices than the target can make."""
    has = can.parameters
    who = request.dialect
    changes: dict[str, Any] = {}
    for name, nothing in _lacking(has):
        value = getattr(request, name)
        if value == nothing:
            continue
        changes[name] = nothing
        if value not in _DEFAULTS.get(name, ()):
            what = "has no effect on the answer and is" if name in _HINTS else "is"
            losses.append(Loss(path(who, name), "dropped", f"{what} not taken by this model"))
    _ranges(request, can, changes, losses)
    if request.choices > 1 and "choices" not in has:
        raise BadRequest(
            "This provider gives one choice per request.",
            code="unsupported_value",
            param=path(who, "choices"),
        )
    if (request.logprobs or request.top_logprobs) and "logprobs" not in has:
        changes["logprobs"] = False
        changes["top_logprobs"] = None
        losses.append(Loss(path(who, "logprobs"), "dropped", "this provider gives none"))
    if request.reasoning is not None:
        changes["reasoning"] = _reasoning(request.reasoning, who, can, losses)
    for extra in request.extras:
        if extra in _CACHE_EXTRAS:
            if "cache_extras" not in has:
                losses.append(Loss(extra, "dropped", "has no effect on the answer and is not known"
                                   " to this provider"))  # fmt: skip
        elif extra not in _TOLERATED:
            losses.append(Loss(extra, "dropped", "not a parameter that other providers know"))
    if request.store and who == "chat" and "store" not in has:
        losses.append(Loss("store", "dropped", "nothing is stored at the provider"))
    if request.truncation == "auto" and "truncation" not in has:
        losses.append(Loss("truncation", "dropped", "how much this model can read is not known"))
    return changes


@lru_cache(maxsize=64)
def _lacking(has: frozenset[Parameter]) -> tuple[tuple[Parameter, Any], ...]:
    return tuple([row for row in _PLAIN if row[0] not in has])


def _ranges(
    request: GenerateRequest, can: Capabilities, changes: dict[str, Any], losses: Losses
) -> None:
    heat = changes.get("temperature", request.temperature)
    if heat is not None and heat > can.temperature_max:
        changes["temperature"] = can.temperature_max
        losses.append(
            Loss("temperature", "adapted", f"this provider's maximum is {can.temperature_max}")
        )
    most = can.stop_most if "stop" in can.parameters else 0
    if most is not None and len(request.stop) > most:
        changes["stop"] = request.stop[:most]
        losses.append(
            Loss(path(request.dialect, "stop"), "adapted", "the answer is cut by the gateway")
        )


def _reasoning(
    ask: ReasoningAsk, who: str, can: Capabilities, losses: Losses
) -> ReasoningAsk | None:
    effort, budget, summary = ask.effort, ask.budget, ask.summary
    if effort is not None and "effort" not in can.parameters:
        if effort != "none":
            losses.append(Loss(path(who, "effort"), "dropped", "this model has no such setting"))
        effort = None
    elif effort is not None and can.efforts and effort not in can.efforts:
        near = nearest(effort, can.efforts)
        losses.append(Loss(path(who, "effort"), "adapted", f"sent as '{near}'"))
        effort = near
    if budget is not None and "budget" not in can.parameters and "effort" not in can.parameters:
        losses.append(Loss(path(who, "budget"), "dropped", "this model has no such setting"))
        budget = None
    if summary is not None and "summary" not in can.parameters:
        # Thoughts that are shown are the default of the Messages API, not something asked for.
        if summary != "none" and not (who == "messages" and summary == "auto"):
            losses.append(Loss(path(who, "summary"), "dropped", "this provider gives none"))
        summary = None
    if effort is None and budget is None and summary is None:
        return None
    return ReasoningAsk(effort=effort, budget=budget, summary=summary)


def nearest(effort: Effort, offered: tuple[str, ...]) -> Effort:
    """The offered effort closest to the one asked for, the lesser of two equally close ones."""
    wanted = EFFORTS.index(effort)
    known = [name for name in EFFORTS if name in offered]
    if effort != "none" and len(known) > 1 and known[0] == "none":
        known = known[1:]  # some thinking was asked for
    return min(known, key=lambda name: abs(EFFORTS.index(name) - wanted))
