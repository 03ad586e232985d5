"""A hub answer as a Responses response object, and the pieces it shares with the stream.

Ids come from the request's base: `resp_<base>`, and for items a prefix, the base and the item's
place as four hex digits. A stream and a whole answer write the same bytes for the same item.

How an answer ended (`verdict`): out of tokens and filtered are `incomplete`. A refusal is
`completed` with its words in a refusal part; one without any words is `incomplete` with
`content_filter`, so that it does not pass for an empty answer. A turn that the provider paused is
`incomplete` with `pause_turn`: this API has no word for it, and `completed` would be untrue.
"""

from msgspec import Raw

from portico.dialects.responses.echo import echo
from portico.dialects.responses.hosted_out import HostedItem, has_form
from portico.dialects.responses.items_in import OWN_CONTEXT, OWN_SUMMARY
from portico.dialects.translate import Asked
from portico.errors import PorticoError
from portico.model.events import Finish
from portico.model.items import (
    Compaction,
    Hosted,
    Message,
    OutputItem,
    Reasoning,
    Status,
    ToolCall,
)
from portico.model.losses import Loss, Losses
from portico.model.parts import Citation, Part, Refusal, Text
from portico.model.response import GenerateResponse
from portico.model.sealed import PREFIX, Seal, Sealed
from portico.model.usage import Usage
from portico.wire.json import encode, one_line, quote

REASONING_ID = f"rs_{PREFIX}"
"""Ids of reasoning items begin with it: where such an item comes back without a proof, nothing else
would say that no provider has it."""

NO_USAGE = Usage()
_CITED = Loss("output.annotations", "adapted", "what was cited of a document is not told")
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter",
               "pause": "pause_turn"}  # fmt: skip
ERROR_CODES = frozenset((
    "server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch",
    "bio_policy", "vector_store_timeout", "insufficient_quota", "context_length_exceeded",
    "server_is_overloaded",
))  # fmt: skip
"""Codes of `response.error` that clients act on; others become one of the first two.
openai-python 3.54, `response_error.py`; the last three: Codex, `codex-api/src/sse`, 2026-11-21"""


def respond(response: GenerateResponse, asked: Asked) -> bytes:
    """The body of an answer that is not streamed."""
    finish = response.finish
    items = response.items
    refused = any(type(item) is Message and _refuses(item.parts) for item in items)
    if finish.reason == "refusal" and not refused and finish.detail:
        refused = True
        items = (*items, Message("assistant", (Refusal(finish.detail),)))
    told = [one for one in items if type(one) is not Hosted or has_form(one, asked.losses)]
    written = [item(one, index, asked) for index, one in enumerate(told)]
    return Envelope(asked).finished(
        finish,
        refused,
        model=response.model,
        tier=response.service_tier,
        items=written,
        usage=response.usage,
    )


class Envelope:
    """The response object around the output. What never changes is encoded once."""

    __slots__ = ("_asked", "_echo", "_head")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head = b'{"id":"resp_%b","object":"response","created_at":%d' % (
            asked.base.encode(),
            asked.created,
        )
        self._echo = echo(asked.fields)

    def started(self, model: str, tier: str | None) -> bytes:
        """A snapshot in which nothing has been said yet."""
        return self._render("in_progress", model, tier)

    def finished(
        self,
        finish: Finish,
        refused: bool,
        *,
        model: str,
        tier: str | None,
        items: list[bytes],
        usage: Usage | None,
    ) -> bytes:
        """The whole answer. `refused`: some part of it is a refusal."""
        status, reason = verdict(finish, refused)
        at = b"null"
        if status == "completed":
            at = b"%d" % max(self._asked.created, int(self._asked.clock()))
        return self._render(
            status,
            model,
            tier,
            items=items,
            usage=usage_object(usage),
            completed_at=at,
            incomplete=b'{"reason":"%b"}' % reason.encode() if reason else b"null",
        )

    def failed(
        self,
        fault: PorticoError,
        *,
        model: str,
        tier: str | None,
        items: list[bytes],
        usage: Usage | None,
    ) -> bytes:
        """The answer as far as it came."""
        error = encode({"code": error_code(fault), "message": fault.message})
        return self._render(
            "failed", model, tier, items=items, usage=usage_object(usage), error=error
        )

    def _render(
        self,
        status: str,
        model: str,
        tier: str | None,
        *,
        items: list[bytes] | None = None,
        usage: bytes = b"null",
        completed_at: bytes = b"null",
        incomplete: bytes = b"null",
        error: bytes = b"null",
    ) -> bytes:
        return (
            b'%b,"completed_at":%b,"status":"%b","error":%b,"incomplete_details":%b,"model":%b,'
            b'"output":[%b],"usage":%b,"service_tier":%b,%b}'
        ) % (
            self._head,
            completed_at,
            status.encode(),
            error,
            incomplete,
            quote(model or self._asked.model),
            b",".join(items) if items else b"",
            usage,
            quote(tier or "default"),
            self._echo,
        )


def verdict(finish: Finish, refused: bool) -> tuple[str, str]:
    """Status, and the reason of an incomplete answer; see the module docstring."""
    if finish.reason == "refusal" and not refused:
        return "incomplete", "content_filter"
    reason = _INCOMPLETE.get(finish.reason, "")
    return ("incomplete" if reason else "completed"), reason


def error_code(fault: PorticoError) -> str:
    """`error.code` of a failed response."""
    if fault.code in ERROR_CODES:
        return fault.code
    return "rate_limit_exceeded" if fault.http_status == 429 else "server_error"


def usage_object(usage: Usage | None) -> bytes:
    """Counts in which parts are inside their wholes; zeros when the provider gave none."""
    told = usage if usage is not None else NO_USAGE
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},'
        b'"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    ) % (
        told.input_total,
        told.cache_read,
        told.cache_write,
        told.output_total,
        told.reasoning,
        told.total,
    )


# items


def item(one: OutputItem, index: int, asked: Asked) -> bytes:
    """One item of `output`, on one line."""
    kind = type(one)
    if kind is Message:
        parts = [part(each, asked.losses) for each in one.parts]  # type: ignore[union-attr]
        return message(f"msg_{asked.base}{index:04x}", one.status, one.phase, parts)  # type: ignore[union-attr]
    if kind is ToolCall:
        return call(one, call_id(one.kind, asked.base, index))  # type: ignore[union-attr, arg-type]
    if kind is Reasoning:
        return reasoning(
            reasoning_id(asked.base, index),
            one.status,  # type: ignore[union-attr]
            [summary_part(quote(text)) for text in one.summary],  # type: ignore[union-attr]
            [thought_part(quote(text)) for text in one.content],  # type: ignore[union-attr]
            seal(one.sealed, asked),  # type: ignore[union-attr]
        )
    if isinstance(one, Hosted):
        return HostedItem(one, asked.base, index).item
    return compaction(one, index, asked)  # type: ignore[arg-type]


def status_of(status: Status) -> bytes:
    """Of messages, calls and reasoning: those that ended are complete or not."""
    return b"completed" if status == "completed" else b"incomplete"


def message(identifier: str, status: Status, phase: str | None, parts: list[bytes]) -> bytes:
    """A message of written parts."""
    return b'{"type":"message","id":"%b","status":"%b","role":"assistant","content":[%b]%b}' % (
        identifier.encode(),
        status_of(status),
        b",".join(parts),
        phase_member(phase),
    )


def phase_member(phase: str | None) -> bytes:
    """`,"phase":...`, or nothing."""
    return b"" if phase is None else b',"phase":' + quote(phase)


def call_id(kind: str, base: str, index: int) -> str:
    """The item id of a call (its `call_id` is the provider's)."""
    return f"{'ctc' if kind == 'custom' else 'fc'}_{base}{index:04x}"


def call_head(one: ToolCall, identifier: str) -> bytes:
    """All members of a call that are known when it begins, without the closing brace."""
    custom = one.kind == "custom"
    head = b'{"type":"%b","id":"%b","call_id":%b,"name":%b' % (
        b"custom_tool_call" if custom else b"function_call",
        identifier.encode(),
        quote(one.call_id),
        quote(one.name),
    )
    return head if one.namespace is None else head + b',"namespace":' + quote(one.namespace)


def arguments_of(one: ToolCall) -> str:
    """A function that was called without arguments got an empty object."""
    if not one.arguments and one.kind == "function" and one.status == "completed":
        return "{}"
    return one.arguments


def call(one: ToolCall, identifier: str) -> bytes:
    """A call of a function or of a custom tool."""
    return call_with(
        call_head(one, identifier), one.kind, quote(arguments_of(one)), status_of(one.status)
    )


def call_with(head: bytes, kind: str, arguments: bytes, status: bytes) -> bytes:
    """The whole call, from its `call_head`."""
    name = b"input" if kind == "custom" else b"arguments"
    return b'%b,"%b":%b,"status":"%b"}' % (head, name, arguments, status)


def reasoning_id(base: str, index: int) -> str:
    """The id of a reasoning item, which tells it from a provider's own."""
    return f"{REASONING_ID}{base}{index:04x}"


def reasoning(
    identifier: str,
    status: Status,
    summary: list[bytes],
    content: list[bytes],
    sealed: bytes | None,
) -> bytes:
    """A reasoning item of written parts. OpenAI's have no status; one is told when it was cut."""
    out = b'{"type":"reasoning","id":"%b","summary":[%b]' % (
        identifier.encode(),
        b",".join(summary),
    )
    if content:
        out += b',"content":[%b]' % b",".join(content)
    if sealed is not None:
        out += b',"encrypted_content":' + sealed
    if status != "completed":
        out += b',"status":"incomplete"'
    return out + b"}"


def seal(sealed: Sealed | None, asked: Asked) -> bytes | None:
    """The value of `encrypted_content`."""
    return None if sealed is None else quote(asked.seal(sealed))


def compaction(one: Compaction, index: int, asked: Asked) -> bytes:
    """A compaction of this answer."""
    return compaction_item(one, f"cmp_{asked.base}{index:04x}", asked.seal)


def compaction_item(one: Compaction, identifier: str, wrap: Seal) -> bytes:
    """A compaction. A summary in plain words is wrapped like a provider's own form."""
    origin = OWN_CONTEXT if one.complete else OWN_SUMMARY
    sealed = one.sealed or Sealed(origin, "encrypted", one.text)
    return b'{"type":"compaction","id":"%b","encrypted_content":%b}' % (
        identifier.encode(),
        quote(wrap(sealed)),
    )


# parts


def part(one: Part, losses: Losses) -> bytes:
    """A part of a message of the model: text or a refusal."""
    if type(one) is Text:
        notes = [annotation(citation, losses) for citation in one.citations]
        return text_part(quote(one.text), notes, one.logprobs)
    if type(one) is Refusal:
        return refusal_part(quote(one.text))
    losses.append(Loss("output.content", "dropped", "the answer holds what is no text"))
    return text_part(b'""', [], None)


def logprobs_of(raw: Raw) -> bytes:
    """Token objects. `bytes` is never null here, as it may be in Chat (openai-python 3.54,
    `ResponseOutputText.Logprob`, 2026-11-21)."""
    line = one_line(raw)
    if b"null" in line:
        return line.replace(b'"bytes":null', b'"bytes":[]').replace(b'"bytes": null', b'"bytes":[]')
    return line


def text_part(text: bytes, annotations: list[bytes], logprobs: Raw | None) -> bytes:
    """`output_text`. `text` is a JSON string, as in the functions below."""
    return b'{"type":"output_text","text":%b,"annotations":[%b],"logprobs":%b}' % (
        text,
        b",".join(annotations),
        b"[]" if logprobs is None else logprobs_of(logprobs),
    )


def refusal_part(text: bytes) -> bytes:
    """`refusal`."""
    return b'{"type":"refusal","refusal":%b}' % text


def summary_part(text: bytes) -> bytes:
    """`summary_text`."""
    return b'{"type":"summary_text","text":%b}' % text


def thought_part(text: bytes) -> bytes:
    """`reasoning_text`."""
    return b'{"type":"reasoning_text","text":%b}' % text


def annotation(citation: Citation, losses: Losses) -> bytes:
    """An annotation. Offsets that the provider did not give are 0."""
    if citation.native is not None and citation.native[0] == "responses":
        return one_line(citation.native[1])
    start, end = citation.start or 0, citation.end or 0
    if citation.cited_text and _CITED not in losses:
        losses.append(_CITED)
    if citation.kind == "url":
        return encode({"type": "url_citation", "url": citation.url, "title": citation.title,
                       "start_index": start, "end_index": end})  # fmt: skip
    if citation.kind == "container_file":
        return encode({"type": "container_file_citation", "container_id": citation.container_id,
                       "file_id": citation.file_id, "filename": citation.filename,
                       "start_index": start, "end_index": end})  # fmt: skip
    if citation.kind == "file_path":
        return encode({"type": "file_path", "file_id": citation.file_id, "index": citation.index})
    return encode({"type": "file_citation", "file_id": citation.file_id,
                   "filename": citation.filename or citation.title,
                   "index": citation.index})  # fmt: skip


def _refuses(parts: tuple[Part, ...]) -> bool:
    return any(type(each) is Refusal for each in parts)
