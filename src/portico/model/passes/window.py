"""Fitting a conversation into a model's context window by leaving its beginning out.

What goes, goes in units that leave a conversation behind: first whole exchanges (a user's message
and everything up to the next one), oldest first; then, inside the last exchange, whole steps (what
the model said and called, and all results of it). A call therefore never loses its result, and
reasoning stays with what it led to. What stays, always: instructions and tools, system and
developer messages, the last compaction, the last user message, and the last step.

Sizes are estimates (`model.estimate`): tokenizers differ, so near the limit the provider has the
last word.
"""

from collections.abc import Sequence

from msgspec import Struct, structs

from portico.errors import BadRequest
from portico.model.estimate import frame_tokens, item_tokens
from portico.model.items import Compaction, Item, Message, ToolCall, ToolResult
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest
from portico.model.turns import side

GONE = Message("developer", ())
"""Stands where an item was, so that the others keep their numbers; the passes leave it out."""

_OUTPUT = 4096
_CAUTIOUS = 0.6
"""A share of the estimate that no known tokenizer goes below for long texts."""


class Cuts(Struct, frozen=True):
    """Where a conversation may begin, as positions of items in order.

    `exchanges` are those where a user's message begins one, 0 excluded; `last` is where the last
    exchange begins, and `steps` where the model begins to act in it.
    """

    exchanges: tuple[int, ...]
    last: int
    steps: tuple[int, ...]


def allowance(request: GenerateRequest, window: int) -> int:
    """Tokens to keep free for the answer."""
    if request.max_output_tokens is not None:
        return min(request.max_output_tokens, window // 2)
    return min(_OUTPUT, window // 4)


def shorten(request: GenerateRequest, window: int, losses: Losses) -> GenerateRequest:
    """`request` without as much of its beginning as does not fit into `window` tokens.

    Raises `BadRequest` (`context_length_exceeded`) if not even the last exchange fits.
    """
    items = request.items
    sizes = [item_tokens(item) for item in items]
    total = frame_tokens(request) + sum(sizes)
    limit = window - allowance(request, window)
    if total <= limit:
        return request
    found = cuts(items)
    pinned = _pinned(items)
    gone: list[int] = []
    left = total
    start = 0
    for cut in found.exchanges:
        left = _drop(range(start, cut), pinned, sizes, gone, left)
        start = cut
        if left <= limit:
            break
    if left > limit:
        for step, after in zip(found.steps, found.steps[1:], strict=False):
            left = _drop(range(step, after), pinned, sizes, gone, left)
            if left <= limit:
                break
    if left > window:  # over the limit only: the answer may be short
        raise too_long(request.dialect, round(left), window)
    if not gone:
        return request
    kept = list(items)
    for index in gone:
        kept[index] = GONE
    what = "the oldest item was" if len(gone) == 1 else f"the {len(gone)} oldest items were"
    losses.append(
        Loss(path(request.dialect, "items"), "dropped", f"{what} left out to fit the context")
    )
    return structs.replace(request, items=tuple(kept))


def check(request: GenerateRequest, window: int) -> None:
    """Raise `BadRequest` (`context_length_exceeded`) for what cannot fit by any count."""
    total = frame_tokens(request) + sum([item_tokens(item) for item in request.items])
    if total * _CAUTIOUS > window:
        raise too_long(request.dialect, round(total), window)


def too_long(dialect: str, tokens: int, window: int) -> BadRequest:
    """The error, in the words that clients of the dialect look for.

    https://platform.claude.com/docs/en/build-with-claude/context-windows,
    https://platform.openai.com/docs/guides/conversation-state (2026-11-21)
    """
    if dialect == "messages":
        message = f"prompt is too long: about {tokens} tokens > {window} maximum"
    elif dialect == "chat":
        message = (
            f"This model's maximum context length is {window} tokens. However, your messages "
            f"resulted in about {tokens} tokens. Please reduce the length of the messages."
        )
    else:
        message = (
            "Your input exceeds the context window of this model. Please adjust your input and "
            f"try again. It is about {tokens} tokens; the window is {window}."
        )
    return BadRequest(message, code="context_length_exceeded", param=path(dialect, "items"))


def cuts(items: Sequence[Item]) -> Cuts:
    """Where this conversation may be cut. Linear."""
    closed = _closed(items)
    exchanges: list[int] = []
    steps: list[int] = []
    last = open_until = 0
    before = ""
    for index, item in enumerate(items):
        who = _who(item)
        if who:
            legal = open_until < index
            if who == "user" and before != "user" and legal:
                last, steps = index, []
                if index:
                    exchanges.append(index)
            elif who == "assistant" and before != "assistant" and legal:
                steps.append(index)
            before = who
        if isinstance(item, ToolCall):
            open_until = max(open_until, closed.get(index, 0))
    return Cuts(tuple(exchanges), last, tuple(steps))


def _closed(items: Sequence[Item]) -> dict[int, int]:
    """Position of a call to that of its result. Some providers use an id again and again, so a
    call has the nearest result; what is left over belongs to the first call of that id."""
    out: dict[int, int] = {}
    waiting: dict[str, list[int]] = {}
    first: dict[str, int] = {}
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if isinstance(item, ToolResult):
            waiting.setdefault(item.call_id, []).append(index)
        elif isinstance(item, ToolCall):
            first[item.call_id] = index
            if waiting.get(item.call_id):
                out[index] = waiting[item.call_id].pop()
    for call_id, left in waiting.items():
        if left and call_id in first:
            at = first[call_id]
            out[at] = max(out.get(at, 0), left[0])
    return out


def _who(item: Item) -> str:
    """ "user", "assistant", "result", or "" for what is no part of the to and fro."""
    if isinstance(item, ToolResult):
        return "result"
    if isinstance(item, Compaction):
        return ""
    who = side(item)
    return "" if who == "system" else who


def _pinned(items: Sequence[Item]) -> frozenset[int]:
    """Items that are never left out."""
    out: set[int] = set()
    said = folded = -1
    for index, item in enumerate(items):
        if is_system(item):
            out.add(index)
        elif isinstance(item, Compaction):
            folded = index
        elif _who(item) == "user":
            said = index
    return frozenset(out | {said, folded})


def is_system(item: Item) -> bool:
    """A system or developer message."""
    return isinstance(item, Message) and item.role in ("system", "developer")


def _drop(
    span: range, pinned: frozenset[int], sizes: list[float], gone: list[int], left: float
) -> float:
    """Leave out what is in `span` and not pinned; what is left then."""
    for index in span:
        if index not in pinned:
            gone.append(index)
            left -= sizes[index]
    return left
