"""Counting input tokens at a provider, by its dialect. Chat Completions has no way to ask."""

from collections.abc import Callable

from msgspec import Struct

from portico.dialects.converse import count_tokens as converse
from portico.dialects.gemini import count_tokens as gemini
from portico.dialects.messages import count_tokens as messages
from portico.dialects.responses import count_tokens as responses
from portico.dialects.translate import Upstream
from portico.model.losses import Losses
from portico.model.request import GenerateRequest

read_request = messages.read_count_request
write_answer = messages.write_count_answer


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
