"""How much to think, in the words of each family of models."""

from typing import Any

from portico.dialects.converse.maps import (
    ADAPTIVE_EFFORTS,
    BUDGETS,
    LEAST_BUDGET,
    NOVA_EFFORTS,
    Family,
)
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import path
from portico.model.request import Effort, GenerateRequest, ReasoningAsk

Fields = dict[str, Any]


class Plan:
    """What reasoning does to a request: additional fields, `outputConfig.effort`, whether sampling
    parameters must stay away, and `maxTokens` where the client named none."""

    __slots__ = ("effort", "fields", "max_tokens", "no_sampling")

    def __init__(self) -> None:
        self.fields: Fields = {}
        self.effort = ""
        self.max_tokens: int | None = None
        self.no_sampling = False


def plan(
    request: GenerateRequest,
    row: Family,
    messages: list[dict[str, Any]],
    forced: bool,
    losses: Losses,
) -> Plan:
    """`forced`: the model has to call a tool, which Claude does not do while it thinks."""
    made = Plan()
    ask = request.reasoning
    if ask is None or row.thinking == "none":
        return made
    who = request.dialect
    effort = ask.effort
    if effort is None and ask.budget is not None:
        effort = _effort_of(ask.budget)
    if row.thinking == "adaptive":
        _adaptive(made, ask, effort, row, who, forced, losses)
    elif row.thinking == "budget":
        _budget(made, ask, effort, request, row, messages, forced, losses)
    elif row.thinking == "nova":
        _nova(made, effort, request, losses)
    elif effort is not None:
        _plain(made, effort, who, losses)
    return made


def _adaptive(
    made: Plan,
    ask: ReasoningAsk,
    effort: Effort | None,
    row: Family,
    who: str,
    forced: bool,
    losses: Losses,
) -> None:
    if effort == "none":
        if row.off == "disabled":
            made.fields["thinking"] = {"type": "disabled"}
        elif row.off == "low":
            made.effort = "low"
            losses.append(
                Loss(path(who, "effort"), "adapted", "sent as 'low': this model always thinks")
            )
        return
    words = ADAPTIVE_EFFORTS[effort] if effort is not None else ()
    made.effort = next((word for word in words if word in row.efforts), "")
    if ask.budget is not None:
        losses.append(Loss(path(who, "budget"), "adapted", f"sent as effort '{made.effort}'"))
    if forced:
        if row.off == "disabled":
            made.fields["thinking"] = {"type": "disabled"}
        if made.effort in ("xhigh", "max"):
            made.effort = "high"  # the most there is without thinking
        losses.append(_no_thinking(who))
        return
    if effort is None and ask.summary is None:
        return
    thinking: Fields = {"type": "adaptive"}
    if ask.summary is not None:
        thinking["display"] = "omitted" if ask.summary == "none" else "summarized"
    made.fields["thinking"] = thinking
    made.no_sampling = True


def _budget(
    made: Plan,
    ask: ReasoningAsk,
    effort: Effort | None,
    request: GenerateRequest,
    row: Family,
    messages: list[dict[str, Any]],
    forced: bool,
    losses: Losses,
) -> None:
    who = request.dialect
    if effort is None or effort == "none":
        return  # these models think only when told to
    if forced:
        losses.append(_no_thinking(who))
        return
    if _broken_off(messages):
        losses.append(
            Loss(
                path(who, "effort"),
                "dropped",
                "the calls in the last turn were made without this model's reasoning",
            )
        )
        return
    wanted = ask.budget if ask.budget is not None else BUDGETS[effort]
    most = request.max_output_tokens
    if most is None:  # the service's own limit may be below the budget
        most = made.max_tokens = row.max_tokens or None
    if most is not None and most <= LEAST_BUDGET:
        losses.append(Loss(path(who, "effort"), "dropped", "too few output tokens to think with"))
        return
    budget = wanted
    if most is not None and wanted >= most:
        budget = most - 1 if ask.budget is not None else most // 2  # the answer needs some too
    budget = max(budget, LEAST_BUDGET)
    if budget != wanted:
        field = "effort" if ask.budget is None else "budget"
        losses.append(Loss(path(who, field), "adapted", f"sent as a budget of {budget} tokens"))
    made.fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
    made.no_sampling = True
    if ask.budget is not None and ask.effort is not None:
        losses.append(Loss(path(who, "effort"), "adapted", "the budget says it"))
    if ask.summary == "none":
        losses.append(Loss(path(who, "summary"), "dropped", "this model always shows its thoughts"))


def _nova(made: Plan, effort: Effort | None, request: GenerateRequest, losses: Losses) -> None:
    """With high effort `maxTokens`, `temperature` and `topP` must be unset (answered 2026-10). A
    limit on tokens is kept for the sake of the bill, and the effort lowered."""
    if effort is None:
        return
    if effort == "none":
        made.fields["reasoningConfig"] = {"type": "disabled"}
        return
    word = NOVA_EFFORTS[effort]
    where = path(request.dialect, "effort")
    if word == "high" and request.max_output_tokens is not None:
        word = "medium"
        reason = "sent as 'medium': 'high' goes without a limit on output tokens"
        losses.append(Loss(where, "adapted", reason))
    elif word == "high":
        made.no_sampling = True
    made.fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": word}
    if request.reasoning is not None and request.reasoning.budget is not None:
        told = Loss(path(request.dialect, "budget"), "adapted", f"sent as effort '{word}'")
        losses.append(told)


def _plain(made: Plan, effort: Effort, who: str, losses: Losses) -> None:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html,
    2026-11-21: low, medium, high."""
    word = "low" if effort == "none" else NOVA_EFFORTS[effort]
    if word != effort:
        losses.append(Loss(path(who, "effort"), "adapted", f"sent as '{word}'"))
    made.fields["reasoning_effort"] = word


def _broken_off(messages: list[dict[str, Any]]) -> bool:
    """Whether results follow calls that were made without reasoning: with `thinking` enabled
    the turn of the calls has to begin with it
    (https://platform.claude.com/docs/en/build-with-claude/extended-thinking, 2026-11-21)."""
    if len(messages) < 2 or not any("toolResult" in block for block in messages[-1]["content"]):
        return False
    return "reasoningContent" not in messages[-2]["content"][0]


def _effort_of(budget: int) -> Effort:
    """The least effort whose budget is as large."""
    if budget <= 0:
        return "none"
    return next((effort for effort, most in BUDGETS.items() if budget <= most), "max")


def _no_thinking(who: str) -> Loss:
    return Loss(path(who, "effort"), "dropped", "a call is forced, which excludes thinking")
