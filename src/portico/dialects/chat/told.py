"""What whole and streamed answers to chat clients have in common."""

from typing import Any

from portico.dialects.chat.reasons import TOLD_REASONS
from portico.dialects.media import UNKNOWN, source
from portico.model.events import Finish
from portico.model.items import Compaction, Hosted
from portico.model.losses import Loss, Losses
from portico.model.parts import Citation
from portico.model.usage import Usage

_CONTENT = "choices[0].message.content"
_CALLS = frozenset(("stop", "stop_sequence", "tool_calls"))


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage`: OpenAI counts cached tokens inside the input and reasoning inside the output."""
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def finish_reason(
    finish: Finish, *, calls: bool, refused: bool, legacy: bool, losses: Losses
) -> tuple[str, str]:
    """`finish_reason`, and the words of a refusal that have not been told yet.

    A refusal is told as OpenAI tells its own: its words in `refusal`, and the reason `stop`. One
    without words is `content_filter`, or it would look like an ordinary answer.
    """
    if finish.reason in _CALLS:
        if calls:
            return "function_call" if legacy else "tool_calls", ""
        return "stop", ""
    if finish.reason == "refusal":
        if refused:
            return "stop", ""
        return ("stop", finish.detail) if finish.detail else ("content_filter", "")
    if finish.reason == "pause":
        losses.append(
            Loss("choices[0].finish_reason", "adapted", "the provider paused; told as 'length'")
        )
    return TOLD_REASONS[finish.reason], ""


def annotation(citation: Citation, offset: int, here: int) -> dict[str, Any] | None:
    """A `url_citation`. `offset` is where the text part begins in the content, `here` where the
    content ends by now; a citation without a place of its own stands there."""
    if not citation.url:
        return None
    start = here if citation.start is None else offset + citation.start
    end = start if citation.end is None else offset + citation.end
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": start,
            "end_index": end,
            "title": citation.title,
            "url": citation.url,
        },
    }


def picture(item: Hosted, index: int) -> dict[str, Any] | None:
    """A picture the model made; https://openrouter.ai/docs/features/multimodal/image-generation"""
    if item.type != "image_generation_call" or not item.output:
        return None
    try:
        found = source(item.output)
    except ValueError:  # it begins like a data URL and is none
        return None
    url = f"data:{found.media_type or UNKNOWN};base64,{found.value}"
    return {"type": "image_url", "index": index, "image_url": {"url": url}}


class Said:
    """Declares losses, each kind once."""

    __slots__ = ("_known", "_losses")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._known: set[str] = set()

    def text_after_call(self) -> None:
        """Chat has the content before the calls."""
        self._once(_CONTENT, "adapted", "text that followed a tool call stands before it")

    def citation(self) -> None:
        """Only addresses can be cited."""
        self._once("choices[0].message.annotations", "dropped",
                   "a citation without an address has no form here")  # fmt: skip

    def item(self, item: Hosted | Compaction) -> None:
        """What the provider's side did has no place in a chat answer."""
        name = item.type[:40] if isinstance(item, Hosted) else "compaction"
        self._once("choices[0].message", "dropped", f"{name} has no form here")

    def more_calls(self) -> None:
        """The older `function_call` is one call."""
        self._once("choices[0].message.function_call", "dropped", "only one call has a form here")

    def _once(self, path: str, how: Any, reason: str) -> None:
        if reason not in self._known:
            self._known.add(reason)
            self._losses.append(Loss(path, how, reason))
