"""Items of an answer as content blocks of a Messages answer."""

import re
from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.messages.ours import SERVER_CALL
from portico.dialects.translate import Asked
from portico.model.arguments import as_object, is_object
from portico.model.events import Finish
from portico.model.items import Hosted, ToolKind
from portico.model.losses import Loss
from portico.model.parts import Citation
from portico.model.usage import Usage

Block = dict[str, Any]

STOPS = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}
"""https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons (2026-11-21)"""
BREAK = "\n\n"
"""Between parts of one reasoning item: a thinking block has one text."""

_LEGAL = re.compile(r"[a-zA-Z0-9_-]+").fullmatch
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]").sub
_EXCEEDED = "model_context_window_exceeded"
_decode_raws = msgspec.json.Decoder(list[Raw]).decode


class CallIds:
    """Ids of calls as the client gets them: the provider's own, unless Anthropic's clients and
    servers would refuse it. The client sends back what it was given, so no way back is needed."""

    __slots__ = ("_asked", "_given")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._given: dict[str, int] = {}

    def __call__(self, call_id: str) -> str:
        """The id for the client, unique in this answer."""
        wanted = call_id
        if not wanted:
            wanted = f"toolu_{self._asked.base}{len(self._given)}"
        elif not _LEGAL(wanted):
            wanted = _FOREIGN("_", wanted)
            lose(self._asked, "adapted", "the id of a call was changed to what clients take")
        chosen, number = wanted, self._given.get(wanted, 1)  # the last number it was given
        while chosen in self._given:
            number += 1
            chosen = f"{wanted}_{number}"
        self._given[wanted] = number
        self._given.setdefault(chosen, 1)
        return chosen


def arguments(asked: Asked, text: str, kind: ToolKind) -> Raw:
    """The `input` of a call: an object, whatever the model wrote."""
    if kind == "custom":
        return Raw(msgspec.json.encode({"input": text}))
    if text and not text.isspace() and not is_object(text):
        lose(asked, "adapted", "arguments that are not a JSON object were wrapped in one")
    return as_object(text)


def citation(asked: Asked, found: Citation) -> Block | Raw | None:
    """One citation; None, and a declared loss, where there is no form for it."""
    if found.native is not None and found.native[0] == "messages":
        return found.native[1]
    if found.kind == "url":
        return {
            "type": "web_search_result_location",
            "url": found.url,
            "title": found.title or None,
            "cited_text": found.cited_text,
            "encrypted_index": "",
        }
    if found.kind in ("document", "file"):
        return {
            "type": "char_location",
            "cited_text": found.cited_text,
            "document_index": found.index,
            "document_title": found.title or found.filename or None,
            # the places that are known are in the answer, not in the document
            "start_char_index": 0,
            "end_char_index": 0,
            "file_id": found.file_id or None,
        }
    lose(asked, "dropped", f"a citation of the kind {found.kind}")
    return None


def hosted(asked: Asked, item: Hosted, number: int) -> list[Block | Raw]:
    """A server-side item: its own blocks, or what comes near; empty where nothing does."""
    if item.native is not None and item.native[0] == "messages":
        raw = item.native[1]
        return list(_decode_raws(raw)) if bytes(raw).startswith(b"[") else [raw]
    call = f"{SERVER_CALL}_{asked.base}{number}"
    if item.type == "web_search_call":
        hits = [
            {
                "type": "web_search_result",
                "url": hit.url,
                "title": hit.title,
                "encrypted_content": "",
                "page_age": None,
            }
            for hit in item.hits
        ]
        return [
            _server_call(call, "web_search", {"query": item.input}),
            {"type": "web_search_tool_result", "tool_use_id": call, "content": hits},
        ]
    if item.type == "code_interpreter_call":
        ran: Block = {
            "type": "code_execution_result",
            "stdout": item.output,
            "stderr": "",
            "return_code": 1 if item.status == "failed" else 0,
            "content": [],
        }
        return [
            _server_call(call, "code_execution", {"code": item.input}),
            {"type": "code_execution_tool_result", "tool_use_id": call, "content": ran},
        ]
    lose(asked, "dropped", f"a {item.type[:40]}, for which this dialect has no form")
    return []


def _server_call(call: str, name: str, given: Block) -> Block:
    return {"type": "server_tool_use", "id": call, "name": name, "input": given}


def usage(counted: Usage | None, tier: str | None) -> Block:
    """Anthropic's counts: cache reads and writes stand beside `input_tokens`."""
    out: Block = {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }
    if counted is not None:
        out["input_tokens"] = counted.input_uncached
        out["cache_creation_input_tokens"] = counted.cache_write
        out["cache_read_input_tokens"] = counted.cache_read
        out["output_tokens"] = counted.output_total
        if counted.reasoning:
            out["output_tokens_details"] = {"thinking_tokens": counted.reasoning}
    if tier is not None:
        out["service_tier"] = tier
    return out


def stop(asked: Asked, finish: Finish, called: bool, refused: str) -> Block:
    """`stop_reason`, `stop_sequence` and `stop_details`. `called`: there are calls of the client's
    tools; `refused`: the words of a refusal that came as text."""
    reason = finish.reason
    word = STOPS[reason]
    if reason == "length" and finish.native == _EXCEEDED:
        word = _EXCEEDED
    elif reason == "stop" and called:
        word = "tool_use"  # some servers say stop where they mean calls
    elif reason == "stop" and refused:
        word = "refusal"
    out: Block = {"stop_reason": word, "stop_sequence": None}
    if word == "stop_sequence":
        asked_for = asked.request.stop
        out["stop_sequence"] = finish.detail or (asked_for[0] if len(asked_for) == 1 else None)
    if word == "refusal":
        explanation = finish.detail or refused or None
        out["stop_details"] = {"type": "refusal", "category": None, "explanation": explanation}
    return out


def omits_thinking(asked: Asked) -> bool:
    """Whether the client wants proof of thinking only (`thinking.display` omitted)."""
    ask = asked.request.reasoning
    return ask is not None and ask.summary == "none"


def lose(asked: Asked, how: str, reason: str) -> None:
    """Say once what the answer could not carry."""
    loss = Loss("content", "adapted" if how == "adapted" else "dropped", reason)
    if loss not in asked.losses:
        asked.losses.append(loss)
