"""Counting input tokens at a provider, by its dialect. Chat Completions has no way to ask."""

from collections.abc import Callable

from msgspec import Raw, Struct

from portico.dialects.converse import count_tokens as converse
from portico.dialects.gemini import count_tokens as gemini
from portico.dialects.messages import count_tokens as messages
from portico.dialects.responses import count_tokens as responses
from portico.dialects.translate import Upstream
from portico.limits import Limits
from portico.model.losses import Losses
from portico.model.request import GenerateRequest
from portico.model.sealed import Unseal


class CountSide(Struct, frozen=True):
    """A dialect in which clients ask for a count. `read` raises `BadRequest`."""

    read: Callable[[dict[str, Raw], bytes, Limits, Unseal], GenerateRequest]
    write: Callable[[int], bytes]


_SIDES = {
    "messages": CountSide(messages.read_count_request, messages.write_count_answer),
    "responses": CountSide(responses.read_request, responses.write_answer),
}


def count_side(dialect: str) -> CountSide:
    """How clients of a dialect ask. Chat Completions has no such question."""
    return _SIDES[dialect]


class Counter(Struct, frozen=True):
    """`write` makes the body that asks; `read` gives the count and raises ValueError, or an
    `UpstreamFault`, for anything else."""

    write: Callable[[GenerateRequest, Upstream, Losses], bytes]
    read: Callable[[bytes], int]


COUNTERS: dict[str, Counter] = {
    "messages": Counter(messages.write_count_request, messages.read_count_answer),
    "responses": Counter(responses.write, responses.read),
    "gemini": Counter(gemini.write, gemini.read),
    "converse": Counter(converse.write, converse.read),
}
