"""A whole Converse answer as events."""

import msgspec
from msgspec import Raw

from portico.dialects.converse.blocks import Blocks, input_text, stop_sequence, usage
from portico.dialects.converse.maps import TIER_IN, family
from portico.dialects.converse.wire import NULL, Block, decode_answer, decode_block
from portico.dialects.counts import UNREADABLE
from portico.dialects.translate import Upstream
from portico.errors import UpstreamProtocol
from portico.model.events import Event, Finish, Started, UsageSeen

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


def read(body: bytes, upstream: Upstream) -> list[Event]:
    """The events of an answer. Raises `UpstreamProtocol` for what is not one.

    Blocks of kinds that are not known are skipped. An answer of an operation that the address does
    not have comes with status 200 and without `output`: that is no answer either.
    """
    try:
        answer = decode_answer(body)
    except UNREADABLE as error:
        raise UpstreamProtocol(
            "The provider sent an answer that cannot be read.", debug=f"converse: {error}"[:300]
        ) from None
    blocks = Blocks(upstream.origin, family(upstream.model).raw_thoughts)
    out: list[Event] = [Started()]
    for at, raw in enumerate(answer.output.message.content):
        _block(out, blocks, at, raw)
    native = answer.stop_reason or ""
    last = blocks.finish(out, native, stop_sequence(answer.additional_model_response_fields))
    counts = usage(answer.usage)
    if counts is not None:
        out.append(UsageSeen(counts))
    if isinstance(last, Finish) and answer.service_tier is not None:
        last.service_tier = TIER_IN.get(answer.service_tier.type or "")
    out.append(last)
    return out


def _block(out: list[Event], blocks: Blocks, at: int, raw: Raw) -> None:
    try:
        block = decode_block(raw)
    except UNREADABLE:
        return
    if block.text is not None:
        blocks.text(out, at, block.text)
    elif block.tool_use is not None:
        blocks.call(out, at, block.tool_use)
        blocks.arguments(out, at, _plain_empty(input_text(block.tool_use.input)))
    elif block.reasoning_content is not None:
        _reasoning(out, blocks, at, block)
    elif block.citations_content is not None:
        for words in block.citations_content.content or ():
            blocks.text(out, at, words.text or "")
        for citation in block.citations_content.citations or ():
            blocks.citation(out, at, citation)
    elif block.image is not None:
        source = block.image.source
        blocks.image(out, at, (source.bytes if source is not None else None) or "")
    elif block.tool_result is not None:
        result = block.tool_result
        blocks.result(out, at, result.tool_use_id or "", result.status == "error")
        if result.content != NULL:
            blocks.result_content(at, result.content)
    else:
        _other(out, blocks, at, raw)
    blocks.stop(out, at)


def _other(out: list[Event], blocks: Blocks, at: int, raw: Raw) -> None:
    try:
        members = _decode_members(raw)
    except UNREADABLE:  # skipped so far, and not all of it is UTF-8
        return
    for name, value in members.items():
        if name == "cachePoint" or bytes(value) in (b"null", b"{}"):
            continue
        blocks.other(out, at, name, Raw(bytes(raw)))
        return


def _reasoning(out: list[Event], blocks: Blocks, at: int, block: Block) -> None:
    found = block.reasoning_content
    if found is None:
        return
    if found.reasoning_text is not None:
        blocks.thought(out, at, found.reasoning_text.text or "")
        blocks.signature(out, at, found.reasoning_text.signature or "")
    if found.redacted_content is not None:
        blocks.redacted(out, at, found.redacted_content)


def _plain_empty(text: str) -> str:
    """No arguments are told as `{}` once, when the call ends."""
    return "" if text == "{}" else text
