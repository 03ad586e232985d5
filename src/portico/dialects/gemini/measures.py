"""Token counts and token probabilities of Gemini, in the words of the hub."""

import msgspec
from msgspec import Raw

from portico.dialects.gemini.wire import Logprobs, Token, UsageMetadata, read
from portico.model.usage import Usage


def usage(counts: UsageMetadata) -> Usage:
    """Disjoint buckets. Tokens of tool results are input that `promptTokenCount` leaves out."""
    prompt = counts.prompt_token_count or 0
    cached = min(counts.cached_content_token_count or 0, prompt)
    return Usage(
        input_uncached=prompt - cached + (counts.tool_use_prompt_token_count or 0),
        cache_read=cached,
        output_text=counts.candidates_token_count or 0,
        reasoning=counts.thoughts_token_count or 0,
    )


def merge(old: UsageMetadata | None, new: UsageMetadata) -> UsageMetadata:
    """Counts are of the whole answer so far: the later ones hold, absent ones stay."""
    if old is None:
        return new
    if new.prompt_token_count is None:
        new.prompt_token_count = old.prompt_token_count
    if new.cached_content_token_count is None:
        new.cached_content_token_count = old.cached_content_token_count
    if new.candidates_token_count is None:
        new.candidates_token_count = old.candidates_token_count
    if new.thoughts_token_count is None:
        new.thoughts_token_count = old.thoughts_token_count
    if new.tool_use_prompt_token_count is None:
        new.tool_use_prompt_token_count = old.tool_use_prompt_token_count
    return new


def logprobs(raw: Raw) -> Raw | None:
    """As OpenAI writes them: one object per token."""
    found = read(raw, Logprobs)
    if found is None or not found.chosen_candidates:
        return None
    tops = found.top_candidates or []
    out = []
    for index, chosen in enumerate(found.chosen_candidates):
        top = tops[index].candidates if index < len(tops) else None
        entry = _token(chosen)
        entry["top_logprobs"] = [_token(token) for token in top or ()]
        out.append(entry)
    return Raw(msgspec.json.encode(out))


def _token(token: Token) -> dict[str, object]:
    return {
        "token": token.token,
        # OpenAI's word for "very unlikely"
        "logprob": -9999.0 if token.log_probability is None else token.log_probability,
        "bytes": list(token.token.encode(errors="replace")),
    }
