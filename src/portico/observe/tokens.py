"""Token counts as the log and the admin pages show them."""

from msgspec import Struct

from portico.model.usage import Usage


class Tokens(Struct, frozen=True, omit_defaults=True, gc=False):
    """`input` and `output` are totals; the others are parts of them. `estimated`: not reported."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False


def tokens_of(usage: Usage) -> Tokens:
    """The totals and their parts. On the way of every line of the access log."""
    read = usage.cache_read
    written = usage.cache_write
    thought = usage.reasoning
    return Tokens(
        usage.input_uncached + read + written,
        usage.output_text + thought,
        read,
        written,
        thought,
        usage.estimated,
    )
