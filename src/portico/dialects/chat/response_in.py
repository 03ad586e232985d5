"""A whole chat answer of a provider as events."""

from msgspec import Raw

from portico.dialects.chat import chunks
from portico.dialects.chat.assemble import Assembler
from portico.dialects.chat.lens import usage_from
from portico.dialects.chat.maps import quirks_for
from portico.dialects.chat.reasons import ERROR_STATUS
from portico.dialects.counts import mapping
from portico.dialects.translate import Upstream
from portico.dialects.upstream_error import read_error
from portico.errors import UpstreamFault, UpstreamProtocol
from portico.model.events import Event, Failed, Started, UsageSeen
from portico.model.usage import Usage
from portico.wire.json import encode

_read_answer = chunks.reader(chunks.Chunk)
_read_groq = chunks.reader(chunks.Groq)
_NOTHING = (b"null", b"false", b'""', b"{}", b"0", b"[]")


def read(body: bytes, upstream: Upstream) -> list[Event]:
    """The events of a whole answer. Raises `UpstreamProtocol` if it is none.

    Choices after the first are not looked at. An answer without a finish reason is whole: its
    length was known.
    """
    answer = _read_answer(body)
    if answer is None:
        raise UpstreamProtocol("The provider's answer is not a chat completion.")
    fault = fault_in(answer.error) or groq_fault(answer.x_groq)
    if fault is not None:
        return [Failed(fault)]
    choice = first_choice(answer)
    if choice is None:
        raise UpstreamProtocol("The provider's answer has no choices.")
    fault = fault_in(choice.error)
    if fault is not None:
        return [Failed(fault)]
    out: list[Event] = [Started(answer.id or "", answer.model or "", answer.service_tier)]
    quirks = quirks_for(upstream.provider, upstream.model, upstream.quirks)
    assembler = Assembler(upstream.origin, quirks, whole=True)
    assembler.seed(answer.id, answer.created)
    message = choice.message or choice.delta
    if message is not None:
        assembler.feed(message, choice.logprobs, out)
    assembler.cite(answer.citations, answer.search_results)
    ending: list[Event] = []
    assembler.finish(choice.finish_reason or "", answer.service_tier, ending)
    usage = usage_in(answer)
    if usage is not None:
        ending.insert(len(ending) - 1, UsageSeen(usage))
    return out + ending


def first_choice(answer: chunks.Chunk) -> chunks.Choice | None:
    """The choice with index 0, or without one."""
    for choice in answer.choices or ():
        if not choice.index:
            return choice
    return None


def usage_in(answer: chunks.Chunk) -> Usage | None:
    """Usage of an answer or a chunk, wherever the provider puts it."""
    usage = usage_from(answer.usage)
    if usage is None and bytes(answer.x_groq)[:1] == b"{":
        groq = _read_groq(answer.x_groq)
        if groq is not None:
            usage = usage_from(groq.usage)
    return usage


def groq_fault(x_groq: Raw) -> UpstreamFault | None:
    """The failure that Groq tells of beside the choices."""
    groq = _read_groq(x_groq) if bytes(x_groq)[:1] == b"{" else None
    if groq is None or not groq.error:
        return None
    return fault_in(Raw(encode({"message": groq.error, "code": groq.error})))


def fault_in(error: Raw) -> UpstreamFault | None:
    """The failure that an `error` member of an answer with status 200 speaks of."""
    text = bytes(error)
    if text in _NOTHING:
        return None
    return read_error(_status(mapping(error) or {}), b'{"error":%b}' % text)


def _status(error: dict[str, object]) -> int:
    """The status the error would have had: `code` may be one, or a name, as `type` may."""
    for name in ("status", "code", "status_code"):
        value = error.get(name)
        if isinstance(value, str) and len(value) == 3 and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    for name in ("code", "type"):
        value = error.get(name)
        if isinstance(value, str) and value in ERROR_STATUS:
            return ERROR_STATUS[value]
    return 502
