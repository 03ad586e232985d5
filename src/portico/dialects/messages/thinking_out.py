"""How much a model is to think, and what that forbids."""

from typing import Any

from msgspec import Struct

from portico.dialects.messages.maps import BUDGETS, LEAST_BUDGET, Family
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import path
from portico.model.request import EFFORTS, Effort, GenerateRequest, ReasoningAsk


class Thinking(Struct):
    """`config` is the `thinking` member, `effort` that of `output_config`. `on`: it was asked for;
    `manual`: with a budget, which has rules of its own."""

    config: dict[str, Any] | None = None
    effort: Effort | None = None
    on: bool = False
    manual: bool = False


def think(
    request: GenerateRequest, row: Family, max_tokens: int, bare: bool, losses: Losses
) -> Thinking:
    """What to ask for. `bare`: the turn that is to go on has no thinking to begin with."""
    ask = request.reasoning
    if ask is None or row.thinking == "none":
        return Thinking()
    if ask.effort == "none":
        return _off(request, row, losses)
    if request.tool_choice.mode in ("required", "tool") and row.forced and row.quiet_force:
        # "Thinking may not be enabled when tool_choice forces tool use."
        # https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-21)
        what = path(request.dialect, "effort" if ask.budget is None else "budget")
        losses.append(Loss(what, "dropped", "no thinking where a tool is forced"))
        return Thinking({"type": "disabled"} if row.off == "disabled" else None)
    if row.thinking == "budget" or (row.thinking == "both" and ask.budget is not None):
        return _manual(request, ask, row, max_tokens, bare, losses)
    return _adaptive(request, ask, row, losses)


def _off(request: GenerateRequest, row: Family, losses: Losses) -> Thinking:
    if row.off == "never":
        losses.append(
            Loss(path(request.dialect, "effort"), "adapted", "this model always thinks: sent 'low'")
        )
        return Thinking(effort="low")
    return Thinking({"type": row.off})


def _adaptive(request: GenerateRequest, ask: ReasoningAsk, row: Family, losses: Losses) -> Thinking:
    effort = ask.effort
    if effort is None and ask.budget is not None:
        effort = _effort_for(ask.budget)
        losses.append(
            Loss(
                path(request.dialect, "budget"),
                "adapted",
                f"this model takes no budget: sent effort '{effort}'",
            )
        )
    config: dict[str, Any] = {"type": "adaptive"}
    if ask.summary is not None:
        config["display"] = "omitted" if ask.summary == "none" else "summarized"
    return Thinking(config, _offered(request, effort, row, losses), on=True)


def _manual(
    request: GenerateRequest,
    ask: ReasoningAsk,
    row: Family,
    max_tokens: int,
    bare: bool,
    losses: Losses,
) -> Thinking:
    if ask.effort is None and ask.budget is None:
        return Thinking()  # only a summary was asked for: nothing turns thinking on
    what = path(request.dialect, "effort" if ask.budget is None else "budget")
    if bare:
        losses.append(
            Loss(what, "dropped", "the turn to go on with holds no thinking of this model")
        )
        return Thinking({"type": "disabled"})
    if ask.budget is not None:
        budget = min(ask.budget, max_tokens - 1)
    else:
        # what was asked for covers thinking and answer: at most half of it is for thinking
        budget = min(BUDGETS[ask.effort or "medium"], max(max_tokens // 2, LEAST_BUDGET))
    if max_tokens <= LEAST_BUDGET:
        losses.append(
            Loss(what, "dropped", f"thinking takes more than {LEAST_BUDGET} output tokens")
        )
        return Thinking({"type": "disabled"})
    config: dict[str, Any] = {"type": "enabled", "budget_tokens": max(budget, LEAST_BUDGET)}
    if ask.summary == "none" and row.names:  # summaries are what these models give by default
        config["display"] = "omitted"
    effort = _offered(request, ask.effort, row, losses) if row.efforts else None
    return Thinking(config, effort, on=True, manual=True)


def _offered(
    request: GenerateRequest, effort: Effort | None, row: Family, losses: Losses
) -> Effort | None:
    """The level itself, else the next higher one there is, else the highest."""
    if effort is None or effort in row.efforts:
        return effort
    level = EFFORTS.index(effort)
    near = next((name for name in row.efforts if EFFORTS.index(name) > level), row.efforts[-1])
    losses.append(Loss(path(request.dialect, "effort"), "adapted", f"sent as '{near}'"))
    return near


def _effort_for(budget: int) -> Effort:
    for effort, tokens in BUDGETS.items():
        if effort != "minimal" and tokens >= budget:
            return effort
    return "max"
