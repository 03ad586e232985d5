"""A whole answer of the hub becomes a Messages answer.

https://platform.claude.com/docs/en/api/messages/create (2026-11-21)
"""

from typing import Any

from msgspec import Raw

from portico.dialects.messages import blocks_out
from portico.dialects.messages.blocks_out import BREAK, Block
from portico.dialects.messages.maps import TIERS_TOLD
from portico.dialects.translate import Asked
from portico.model.items import Hosted, Message, Reasoning, ToolCall
from portico.model.parts import Refusal, Text
from portico.model.response import GenerateResponse
from portico.wire.json import encode


def respond(response: GenerateResponse, asked: Asked) -> bytes:
    """The body of the answer."""
    blocks: list[Block | Raw] = []
    identify = blocks_out.CallIds(asked)
    called, refused = False, ""
    for number, item in enumerate(response.items):
        if isinstance(item, Message):
            refused = _message(asked, item, blocks) or refused
        elif isinstance(item, ToolCall):
            called = True
            blocks.append(
                {
                    "type": "tool_use",
                    "id": identify(item.call_id),
                    "name": item.name,
                    "input": blocks_out.arguments(asked, item.arguments, item.kind),
                }
            )
        elif isinstance(item, Reasoning):
            block = _reasoning(asked, item)
            if block is not None:
                blocks.append(block)
        elif isinstance(item, Hosted):
            blocks.extend(blocks_out.hosted(asked, item, number))
        else:
            blocks_out.lose(asked, "dropped", "a folded part of the conversation")
    tier = response.service_tier
    body: dict[str, Any] = {
        "id": f"msg_{asked.base}",
        "type": "message",
        "role": "assistant",
        "model": response.model or asked.model,
        "content": blocks,
        **blocks_out.stop(asked, response.finish, called, refused),
        "usage": blocks_out.usage(response.usage, TIERS_TOLD.get(tier) if tier else None),
    }
    return encode(body)


def _message(asked: Asked, item: Message, blocks: list[Block | Raw]) -> str:
    """The text blocks of a message; returns the words of a refusal in it."""
    refused = ""
    for part in item.parts:
        if isinstance(part, Refusal):
            refused = refused or part.text
            if part.text:
                blocks.append({"type": "text", "text": part.text})
        elif isinstance(part, Text) and part.text:
            block: Block = {"type": "text", "text": part.text}
            found = [blocks_out.citation(asked, citation) for citation in part.citations]
            kept = [citation for citation in found if citation is not None]
            if kept:
                block["citations"] = kept
            blocks.append(block)
    return refused


def _reasoning(asked: Asked, item: Reasoning) -> Block | None:
    """A thinking block; its signature is empty where the provider gives no proof."""
    sealed = item.sealed
    if item.summary and item.content:
        blocks_out.lose(asked, "dropped", "raw thoughts beside their summary")
    text = "" if blocks_out.omits_thinking(asked) else BREAK.join(item.summary or item.content)
    if sealed is None:
        return {"type": "thinking", "thinking": text, "signature": ""} if text else None
    proof = asked.seal(sealed)
    if sealed.kind == "redacted" and not text:
        return {"type": "redacted_thinking", "data": proof}
    return {"type": "thinking", "thinking": text, "signature": proof}
