"""Token usage in disjoint buckets, so that nothing is billed twice.

Providers disagree on what contains what: OpenAI counts cached tokens inside the input and reasoning
inside the output, Anthropic counts cache reads and writes beside the input. Here the buckets never
overlap and the totals are sums.
"""

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one answer. Every field is a count >= 0 and no token is in two fields."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output_text: int = 0
    reasoning: int = 0
    estimated: bool = False

    @property
    def input_total(self) -> int:
        """All input tokens, cached ones included (`gen_ai.usage.input_tokens`)."""
        return self.input_uncached + self.cache_read + self.cache_write

    @property
    def output_total(self) -> int:
        """All output tokens, reasoning included (`gen_ai.usage.output_tokens`)."""
        return self.output_text + self.reasoning

    @property
    def total(self) -> int:
        """Everything."""
        return self.input_total + self.output_total


def disjoint(
    *,
    input_including_cache: int,
    cache_read: int,
    cache_write: int,
    output_including_reasoning: int,
    reasoning: int,
) -> Usage:
    """Split OpenAI-style inclusive counts into disjoint buckets.

    Provider numbers are not trusted: negative counts become 0 and a part never exceeds its whole.
    """
    total_in = max(input_including_cache, 0)
    read = min(max(cache_read, 0), total_in)
    write = min(max(cache_write, 0), total_in - read)
    total_out = max(output_including_reasoning, 0)
    thought = min(max(reasoning, 0), total_out)
    return Usage(
        input_uncached=total_in - read - write,
        cache_read=read,
        cache_write=write,
        output_text=total_out - thought,
        reasoning=thought,
    )
