"""What of a `GenerateContentResponse` is read.

Two ways: typed, in one pass; and, for a chunk in which something has an unexpected type, member by
member, so that one odd value costs no more than itself. Members that are rare stay raw, and are
`NULL` where they are absent.
"""

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL, UNREADABLE, Count


class PartialArg(Struct, rename="camel", gc=False):
    """A piece of streamed arguments (Vertex AI). `json_path` is RFC 9535, like `$.a.b[0]`."""

    json_path: str = ""
    string_value: str | None = None
    number_value: float | int | None = None
    bool_value: bool | None = None
    null_value: Raw = NULL
    will_continue: bool | None = None


class FunctionCall(Struct, rename="camel", gc=False):
    """A call; whole in `args`, or begun and continued with `partial_args`."""

    name: str | None = None
    id: str | None = None
    args: Raw = NULL
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class ServerCall(Struct, rename="camel", gc=False):
    """`toolCall` or `toolResponse`: what the provider's own tool was asked and gave."""

    tool_type: str = ""
    id: str = ""
    args: Raw = NULL
    response: Raw = NULL


class ExecutableCode(Struct, gc=False):
    """Code the provider runs."""

    code: str = ""


class CodeResult(Struct, gc=False):
    """What the code printed. `outcome` is OUTCOME_OK, _FAILED or _DEADLINE_EXCEEDED."""

    outcome: str = ""
    output: str | None = None


class Blob(Struct, rename="camel", gc=False):
    """Inline media, base64."""

    data: str = ""
    mime_type: str = ""


class Part(Struct, rename="camel", gc=False):
    """One part of the content. One of the members besides `thought*` is set."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    executable_code: Raw = NULL
    code_execution_result: Raw = NULL
    inline_data: Raw = NULL
    tool_call: Raw = NULL
    tool_response: Raw = NULL
    file_data: Raw = NULL


class Content(Struct, gc=False):
    """What the model says in this chunk."""

    parts: list[Part] | None = None


class Candidate(Struct, rename="camel", gc=False):
    """One choice."""

    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None
    grounding_metadata: Raw = NULL
    citation_metadata: Raw = NULL
    logprobs_result: Raw = NULL


class PromptFeedback(Struct, rename="camel", gc=False):
    """Why the prompt was refused."""

    block_reason: str | None = None


class UsageMetadata(Struct, rename="camel", gc=False):
    """Counts of the answer so far. `promptTokenCount` includes cached tokens, not those of tool
    results; `candidatesTokenCount` excludes thoughts."""

    prompt_token_count: Count = None
    cached_content_token_count: Count = None
    candidates_token_count: Count = None
    thoughts_token_count: Count = None
    tool_use_prompt_token_count: Count = None
    total_token_count: Count = None


class Chunk(Struct, rename="camel", gc=False):
    """A whole answer, or a piece of a streamed one."""

    candidates: list[Candidate] | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: PromptFeedback | None = None
    error: Raw = NULL


class Segment(Struct, rename="camel", gc=False):
    """A stretch of text, in bytes of UTF-8."""

    start_index: Count = None
    end_index: Count = None
    text: str | None = None


class Support(Struct, rename="camel", gc=False):
    """What backs a stretch of text: indices into `grounding_chunks`."""

    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class Found(Struct, rename="camel", gc=False):
    """A web page, a place, or a retrieved document."""

    uri: str | None = None
    title: str | None = None
    text: str | None = None


class GroundingChunk(Struct, rename="camel", gc=False):
    """One source."""

    web: Found | None = None
    maps: Found | None = None
    retrieved_context: Found | None = None


class Grounding(Struct, rename="camel", gc=False):
    """What the search of the provider looked for and found."""

    web_search_queries: list[str] | None = None
    grounding_chunks: list[GroundingChunk] | None = None
    grounding_supports: list[Support] | None = None


class Quote(Struct, rename="camel", gc=False):
    """Text recited from somewhere, in bytes of UTF-8."""

    start_index: Count = None
    end_index: Count = None
    uri: str | None = None
    title: str | None = None


class CitationMetadata(Struct, rename="camel", gc=False):
    """`citationSources` at the Gemini API, `citations` at Vertex AI."""

    citation_sources: list[Quote] | None = None
    citations: list[Quote] | None = None


class Token(Struct, rename="camel", gc=False):
    """A token and its probability."""

    token: str = ""
    log_probability: float | None = None


class TopTokens(Struct, gc=False):
    """The likeliest tokens at one place."""

    candidates: list[Token] | None = None


class Logprobs(Struct, rename="camel", gc=False):
    """Both lists have one element per token."""

    chosen_candidates: list[Token] | None = None
    top_candidates: list[TopTokens] | None = None


class _LooseContent(Struct, gc=False):
    parts: Raw = NULL


_typed = msgspec.json.Decoder(Chunk).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_array = msgspec.json.Decoder(list[Raw]).decode

Kind = TypeVar("Kind")
Shape = TypeVar("Shape", bound=Struct)


def read_chunk(data: bytes) -> Chunk | None:
    """One chunk; None if `data` is not a JSON object."""
    try:
        return _typed(data)
    except UNREADABLE:
        return _loosely(data)


def read_array(data: bytes) -> list[Raw]:
    """The elements of a JSON array; none if it is not one."""
    try:
        return _array(data)
    except UNREADABLE:
        return []


def given(raw: Raw) -> bool:
    """Whether a raw member is there."""
    return raw is not NULL and raw != NULL


def read(raw: Raw | None, kind: type[Kind]) -> Kind | None:
    """A raw member as a `kind`; None if it is absent or of another shape."""
    if raw is None or raw is NULL:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE:
        return None


def _loosely(data: bytes) -> Chunk | None:
    try:
        members = _members(data)
    except UNREADABLE:
        return None
    chunk = Chunk(
        usage_metadata=_fields(members.get("usageMetadata"), UsageMetadata),
        model_version=read(members.get("modelVersion"), str),
        response_id=read(members.get("responseId"), str),
        prompt_feedback=_fields(members.get("promptFeedback"), PromptFeedback),
        error=members.get("error", NULL),
    )
    candidates = read(members.get("candidates"), list[Raw])
    if candidates:
        chunk.candidates = [_candidate(raw) for raw in candidates]
    return chunk


def _candidate(raw: Raw) -> Candidate:
    candidate = _fields(raw, Candidate, skip="content") or Candidate()
    members = read(raw, dict[str, Raw]) or {}
    content = _fields(members.get("content"), _LooseContent)
    parts = read(content.parts, list[Raw]) if content is not None else None
    if parts:
        read_parts = [_fields(part, Part) for part in parts]
        candidate.content = Content([part for part in read_parts if part is not None])
    return candidate


def _fields(raw: Raw | None, kind: type[Shape], skip: str = "") -> Shape | None:
    """A struct from those members that have the right type."""
    members = read(raw, dict[str, Raw])
    if members is None:
        return None
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        value = members.get(field.encode_name)
        if value is None or field.encode_name == skip:
            continue
        try:
            found[field.name] = msgspec.json.decode(value, type=field.type)
        except UNREADABLE:
            continue
    return kind(**found)
