"""A request of the hub becomes the body of a Messages request.

The order of members is always the same, and nothing in it depends on time or chance: prompt caches
stay warm. https://platform.claude.com/docs/en/api/messages/create (2026-11-21)
"""

import hashlib
from typing import Any

from msgspec import Raw

from portico.dialects.messages.items_out import History
from portico.dialects.messages.maps import (
    MOST_CACHE_MARKS,
    MOST_USER_ID,
    SERVICE_TIERS,
    Family,
    family,
)
from portico.dialects.messages.parts_out import Block
from portico.dialects.messages.schemas import closed
from portico.dialects.messages.thinking_out import Thinking, think
from portico.dialects.messages.tools_out import Tools, write_tools
from portico.dialects.translate import Upstream
from portico.errors import BadRequest
from portico.model.losses import Loss, Losses
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest
from portico.model.turns import leading_system
from portico.wire.json import encode

_JSON_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence."
_NOT_MARKABLE = ("thinking", "redacted_thinking")


def write(request: GenerateRequest, upstream: Upstream, losses: Losses) -> bytes:
    """The body. Raises `BadRequest` for what only this dialect knows it cannot carry."""
    body = members(request, upstream, losses)
    if request.stream:
        body["stream"] = True
    return encode(body)


def members(request: GenerateRequest, upstream: Upstream, losses: Losses) -> dict[str, Any]:
    """The members of the body, without `stream`."""
    row = family(upstream.model)
    tools = write_tools(request, row, losses)
    history = History(request.dialect, row, losses)
    lead, rest = leading_system(request.items)
    system = history.system(request.instructions, lead)
    if request.format is not None and request.format.kind == "json_object":
        system.append({"type": "text", "text": _JSON_ONLY})
        losses.append(
            Loss(path(request.dialect, "format"), "adapted", "JSON was asked for in the prompt")
        )
    history.write(rest)
    most = _max_tokens(request, row, losses)
    thinking = think(request, row, most, history.waits_without_thinking(), losses)
    history.finish(prefill=row.prefill and not thinking.on)
    messages = [{"role": role, "content": blocks} for role, blocks in history.turns]
    _cache(request, tools, system, messages, losses)
    body: dict[str, Any] = {"model": upstream.model, "max_tokens": most}
    if tools.tools:
        body["tools"] = tools.tools
    if tools.choice is not None:
        body["tool_choice"] = tools.choice
    if tools.servers:
        body["mcp_servers"] = tools.servers
    if system:
        body["system"] = system
    body["messages"] = messages
    _settings(request, row, thinking, body, losses)
    return body


def _max_tokens(request: GenerateRequest, row: Family, losses: Losses) -> int:
    """What was asked for, within what the model can; the model's maximum where nothing was."""
    asked = request.max_output_tokens
    if asked is None:
        return row.max_tokens
    if row.caps and asked > row.max_tokens:
        where = path(request.dialect, "max_output_tokens")
        losses.append(Loss(where, "adapted", f"this model's maximum is {row.max_tokens}"))
        return row.max_tokens
    return asked


def _settings(
    request: GenerateRequest,
    row: Family,
    thinking: Thinking,
    body: dict[str, Any],
    losses: Losses,
) -> None:
    _sampling(request, row, thinking, body, losses)
    stops = [stop for stop in request.stop if stop and not stop.isspace()]
    if len(stops) < len(request.stop):
        where = path(request.dialect, "stop")
        losses.append(Loss(where, "dropped", "stop sequences of white space only are not taken"))
    if stops:
        body["stop_sequences"] = stops
    if thinking.config is not None:
        body["thinking"] = thinking.config
    config: dict[str, Any] = {}
    if thinking.effort is not None:
        config["effort"] = thinking.effort
    if request.format is not None and request.format.kind == "json_schema":
        config["format"] = _format(request, losses)
    if config:
        body["output_config"] = config
    user = request.safety_identifier or request.user
    if user:
        body["metadata"] = {"user_id": _user_id(user, request, losses)}
        if request.user and request.user != user:
            losses.append(Loss("user", "dropped", "the safety identifier stands for the user"))
    if request.service_tier is not None:
        tier = SERVICE_TIERS.get(request.service_tier)
        if tier is not None:
            body["service_tier"] = tier
        else:
            losses.append(Loss("service_tier", "dropped", "this provider has no such tier"))


def _sampling(
    request: GenerateRequest,
    row: Family,
    thinking: Thinking,
    body: dict[str, Any],
    losses: Losses,
) -> None:
    """Thinking goes with none of the three; since 4.1 temperature and top_p exclude each other:
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-21)"""
    given = {
        name: value
        for name in ("temperature", "top_p", "top_k")
        if (value := getattr(request, name)) is not None
    }
    if not row.sampling:
        return
    if thinking.on:
        for name, value in given.items():
            if value != 1 or name == "top_k":
                losses.append(Loss(name, "dropped", "not together with thinking"))
        return
    if row.either and "temperature" in given:
        lesser = given.pop("top_p", None)
        if lesser is not None and lesser != 1:
            losses.append(Loss("top_p", "dropped", "this model takes temperature or top_p"))
    body.update(given)


def _format(request: GenerateRequest, losses: Losses) -> Block:
    wanted = request.format
    where = path(request.dialect, "format")
    if wanted is None or wanted.schema is None:
        raise BadRequest("A schema is required.", code="invalid_value", param=where)
    try:
        schema, lost = closed(wanted.schema)
    except (ValueError, RecursionError):
        raise BadRequest(
            "The schema has to be a JSON Schema object.", code="invalid_value", param=where
        ) from None
    if lost:
        names = ", ".join(lost)
        losses.append(Loss(where, "adapted", f"not enforced by this provider: {names}"))
    if wanted.description:
        told = path(request.dialect, "format.description")
        losses.append(Loss(told, "dropped", "there is no place for it"))
    return {"type": "json_schema", "schema": schema}


def _user_id(user: str, request: GenerateRequest, losses: Losses) -> str:
    """The id itself; a longer one than is taken as the hash of it, so that it stays the same."""
    if len(user) <= MOST_USER_ID:
        return user
    losses.append(Loss(path(request.dialect, "user"), "adapted", "too long: its hash was sent"))
    return hashlib.sha256(user.encode()).hexdigest()


def _cache(
    request: GenerateRequest,
    tools: Tools,
    system: list[Block],
    messages: list[dict[str, Any]],
    losses: Losses,
) -> None:
    """Put the marks that `caching` asks for, and take away what is more than four.

    Of too many, the last of the tools and of `system` stay, and the latest of the messages: they
    are what the next request can read from.
    """
    sections: list[list[Any]] = [
        tools.tools,
        system,
        [block for message in messages for block in message["content"]],
    ]
    if request.caching:
        ttl = request.caching_ttl
        if ttl == "1h" and _short(sections):
            ttl = None  # a mark of an hour may not come after one of five minutes
            where = path(request.dialect, "caching")
            losses.append(Loss(f"{where}.ttl", "adapted", "other marks are of five minutes"))
        for at, section in enumerate(sections):
            mark = _mark_before(sections[at + 1 :], ttl)
            for block in reversed(section):
                if isinstance(block, dict) and block.get("type") not in _NOT_MARKABLE:
                    block.setdefault("cache_control", mark)
                    break
    if not _fits(sections):
        where = path(request.dialect, "caching") if request.caching else "cache_control"
        losses.append(Loss(where, "adapted", f"at most {MOST_CACHE_MARKS} marks in one request"))


def _short(sections: list[list[Any]]) -> bool:
    """Whether any mark is there already that does not last an hour."""
    return any(
        isinstance(block, dict) and block.get("cache_control", {"ttl": "1h"}).get("ttl") != "1h"
        for section in sections
        for block in section
    )


def _mark_before(later: list[list[Any]], ttl: str | None) -> Block:
    """A mark of an hour may not come after one of five minutes: https://platform.claude.com/docs/
    en/build-with-claude/prompt-caching (2026-11-21)"""
    long = any(
        block.get("cache_control", {}).get("ttl") == "1h"
        for section in later
        for block in section
        if isinstance(block, dict)
    )
    if long or ttl is not None:
        return {"type": "ephemeral", "ttl": "1h" if long else ttl}
    return {"type": "ephemeral"}


def _fits(sections: list[list[Any]]) -> bool:
    """Take marks away until they are four; whether they were that few before."""
    marked = [
        [block for block in section if isinstance(block, dict) and "cache_control" in block]
        for section in sections
    ]
    fixed = sum(
        b'"cache_control"' in bytes(block)
        for section in sections
        for block in section
        if isinstance(block, Raw)
    )
    if sum(map(len, marked)) + fixed <= MOST_CACHE_MARKS:
        return True
    for section in marked[:2]:
        for block in section[:-1]:
            del block["cache_control"]
    left = max(MOST_CACHE_MARKS - fixed - bool(marked[0]) - bool(marked[1]), 0)
    for block in marked[2][: max(len(marked[2]) - left, 0)]:
        del block["cache_control"]
    return False
