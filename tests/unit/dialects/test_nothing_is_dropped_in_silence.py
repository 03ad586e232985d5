"""What could not be carried over is declared: every field of the official SDKs' request types, set,
either makes a difference to what the provider gets, or is refused by name, or is a declared loss.

Three lists say what need not be told. They are kept honest: an entry that is not needed fails."""

import json
import re
from functools import cache
from typing import Any

import pytest
from tests.unit.dialects.silence_kit import Outcome, Pair, Target, at, judge, send
from tests.unit.dialects.silence_values import BASES, TARGETS, pairs_of

CLIENTS = ("responses", "chat", "messages", "beta")

DEFAULTS: dict[str, tuple[Any, ...]] = {
    "tool_choice": ("auto", {"type": "auto"}),
    "function_call": ("auto",),
    "parallel_tool_calls": (True,),
    "disable_parallel_tool_use": (False,),
    "service_tier": ("auto", "default", "standard_only"),
    "truncation": ("disabled",),
    "verbosity": ("medium",),
    "response_format": ({"type": "text"},),
    "format": ({"type": "text"},),
    "modalities": (["text"],),
    "detail": ("auto",),
    "type": ("message", "custom", "approximate"),
    "ttl": ("5m",),
    "enabled": (False,),
    "strict": (False,),
    "async": (False,),
    "defer_loading": (False,),
    "eager_input_streaming": (False,),
    "is_error": (False,),
    "logprobs": (False,),
    "store": (False,),
    "user_location": ({"type": "approximate"}, {"type": "approximate", "approximate": {}}),
}
"""Name of a field -> what asks for that which happens anyway. So does an empty object."""

NOT_TOLD: dict[str, str] = {
    # the gateway's own side
    r"model": "which model it is to be is decided by the gateway's routes",
    r"store": "what is stored is the gateway's to say, in the answer",
    r"stream_options(\..*)?": "how the stream is framed; the gateway frames it",
    # what does not reach a model from any client
    r"input.*\.(id|status)": "ids and states of items belong to who made them; call_id pairs them",
    r"input\[\d+\]\.(name|namespace)": "what an output says of its call; the call itself says it",
    r"input\[\d+\]\.content\[\d+\]\.logprobs.*": "how likely words of an earlier answer were",
    # hints about caches that keep themselves
    r".*\.?(cache_control|prompt_cache_breakpoint)": "caching is implicit there, and bills alike",
    r".*\.?cache_control\.ttl": "caching is implicit there, and bills alike",
    r"mcp_servers\[\d+\]\.tool_configuration\.enabled": "true, which a server is anyway",
    # said in another way
    r"(text\.format|response_format\.json_schema)\.name": "a name for the schema, no instruction",
    r"(text\.format|response_format\.json_schema)\.strict": "these hold to every schema",
    r"reasoning\.(generate_)?summary": "these models always show what there is, in one form",
    r"thinking\.display": "asks for less, or for what is shown anyway",
    r"thinking(\.type)?": "off, where there is nothing to turn off",
    r"reasoning(\.|_)effort": "none, where there is nothing to turn off",
    r"max_tool_calls": "counts calls of hosted tools, and there are none",
    r"(input\[\d+\]\.)?tools\[\d+\](\.tools\[\d+\])?\.type": "versions of one kind",
    r"(input|messages)\[\d+\]\.(call_id|(content|tool_calls)\[\d+\]\.id)":
        "paired by order at Vertex AI, which knows no ids of calls",
    # Anthropic takes them there and does nothing with them
    r"system\[\d+\]\.citations.*": "a system prompt has nothing it cites",
    r"messages\[\d+\]\.content\[\d+\](\.source)?(\.content\[\d+\])?.*\.citations.*":
        "text that is given to a model has nothing it cites; only an assistant's has",
}  # fmt: skip
"""Path of a field -> why nobody is told. Only what is neither carried nor told is looked up."""

INVALID = (
    r"blocks can only be in",  # the SDK's types allow all blocks on both sides
    r"MCP server '\w+' is not in `mcp_servers`",
    r"messages\[\d\]\.content: Field required",  # beta messages that have a change for content
    r"expected a string, but got null",  # an assistant message of nothing
    r"Set 'require_approval' to 'never'",
    r"uploaded to another provider|takes images by URL or as data",
    r"Missing required parameter: 'tools\[0\]\.vector_store_ids'",
    r"Tool choice 'file_search' not found",
)
"""Why a pair may have been refused without being looked at. Anything else is a pair that was made
wrong, and would prove nothing."""


@cache
def sent(client: str, request: str, target: Target) -> Outcome:
    return send("messages" if client == "beta" else client, request.encode(), target)


@cache
def outcome(client: str, index: int, side: str, target: Target) -> Outcome:
    return sent(client, json.dumps(getattr(pairs(client)[index], side)), target)


@cache
def pairs(client: str) -> tuple[Pair, ...]:
    found = tuple(pairs_of(client))
    if client != "beta":
        return found
    known = {pair.path for pair in pairs("messages")}
    return tuple([pair for pair in found if pair.path not in known])


def allowed(pair: Pair) -> str | None:
    """Why nothing has to be told of a field that was neither carried nor told."""
    name = re.findall(r"[^.\[\]]+", pair.path)[-1]
    value = at(pair.given, pair.path)
    if value in DEFAULTS.get(name, ()) or value == {}:
        return name
    return next((row for row in NOT_TOLD if re.fullmatch(row, pair.path)), None)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.dialect}-{t.kind}-{t.model}")
@pytest.mark.parametrize("client", CLIENTS)
def test_every_field_is_carried_refused_or_told(client: str, target: Target) -> None:
    silent, invalid = {}, {}
    for index, pair in enumerate(pairs(client)):
        found = judge(
            pair.path,
            outcome(client, index, "given", target),
            outcome(client, index, "other", target),
        )
        if found.how == "silent" and allowed(pair) is None:
            silent[pair.path] = (at(pair.given, pair.path), found.why)
        if found.how == "invalid" and not any(re.search(row, found.why) for row in INVALID):
            invalid[pair.path] = found.why
    assert not silent
    assert not invalid


@pytest.mark.parametrize(("client", "least"), [
    ("responses", 1500), ("chat", 200), ("messages", 1500), ("beta", 500),
])  # fmt: skip
def test_the_sdks_fields_are_found_and_most_of_them_make_a_difference(
    client: str, least: int
) -> None:
    """Else the other test would be one that cannot fail."""
    assert len(pairs(client)) > least
    capable = next(target for target in TARGETS if target.dialect == "messages")
    found = [
        judge(
            pair.path,
            outcome(client, index, "given", capable),
            outcome(client, index, "other", capable),
        ).how
        for index, pair in enumerate(pairs(client))
    ]
    assert found.count("carried") > len(found) // 8
    assert found.count("told") > 0


def test_every_exception_is_needed() -> None:
    needed = set()
    for client in CLIENTS:
        for target in TARGETS:
            for index, pair in enumerate(pairs(client)):
                found = judge(
                    pair.path,
                    outcome(client, index, "given", target),
                    outcome(client, index, "other", target),
                )
                if found.how == "silent":
                    needed.add(allowed(pair))
    names = {*DEFAULTS, *NOT_TOLD}
    assert names - needed == set()


UNKNOWN: list[tuple[str, dict[str, Any], str]] = [
    ("responses", {"input": [{"role": "user", "content": "hi", "zq": 1}]}, "input[0].zq"),
    ("responses", {"input": [{"role": "user", "content": [
        {"type": "input_text", "text": "hi", "zq": 1}]}]}, "input[0].content[0].zq"),
    ("responses", {"reasoning": {"effort": "low", "zq": 1}}, "reasoning.zq"),
    ("responses", {"text": {"format": {"type": "text", "zq": 1}}}, "text.format.zq"),
    ("responses", {"tools": [{"type": "function", "name": "f", "zq": 1}]}, "tools[0].zq"),
    ("chat", {"messages": [{"role": "user", "content": "hi", "zq": 1}]}, "messages[0].zq"),
    ("chat", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "hi", "zq": 1}]}]}, "messages[0].content[0].zq"),
    ("chat", {"tools": [{"type": "function", "function": {"name": "f", "zq": 1}}]},
     "tools[0].function.zq"),
    ("messages", {"messages": [{"role": "user", "content": "hi", "zq": 1}]}, "messages[0].zq"),
    ("messages", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "hi", "zq": 1}]}]}, "messages[0].content[0].zq"),
    ("messages", {"system": [{"type": "text", "text": "hi", "zq": 1}]}, "system[0].zq"),
    ("messages", {"thinking": {"type": "disabled", "zq": 1}}, "thinking.zq"),
    ("messages", {"tools": [{"name": "f", "input_schema": {"type": "object"}, "zq": 1}]},
     "tools[0].zq"),
]  # fmt: skip


@pytest.mark.parametrize(("client", "more", "path"), UNKNOWN, ids=lambda value: str(value)[:40])
def test_members_that_no_table_has_are_tolerated_and_declared(
    client: str, more: dict[str, Any], path: str
) -> None:
    base = {**BASES[client], **more}
    for target in TARGETS:
        found = send(client, json.dumps(base).encode(), target)
        assert found.refused is None
        assert [(loss.path, loss.how) for loss in found.losses if loss.path == path] == [
            (path, "dropped")
        ]


def test_what_says_nothing_is_not_declared() -> None:
    asking = {"model": "m", "input": [{"role": "user", "content": "hi", "zq": None, "zq2": []}]}
    assert send("responses", json.dumps(asking).encode(), TARGETS[0]).losses == ()


def test_items_that_are_kept_whole_are_not_walked() -> None:
    asking = {"model": "m", "input": [
        {"role": "user", "content": "hi"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "zq": 1,
         "action": {"type": "search", "query": "q"}},
        {"type": "reasoning", "id": "rs_1", "summary": [], "zq": 1},
    ]}  # fmt: skip
    paths = {
        loss.path for loss in send("responses", json.dumps(asking).encode(), TARGETS[0]).losses
    }
    assert "input[2].zq" in paths
    assert "input[1].zq" not in paths


def test_the_same_member_is_declared_once_with_its_first_place() -> None:
    asking = {"model": "m", "input": [{"role": "user", "content": "hi", "zq": 1}] * 50}
    found = send("responses", json.dumps(asking).encode(), TARGETS[0]).losses
    assert [loss.path for loss in found] == ["input[0].zq"]


def test_a_null_where_an_array_of_tools_could_stand_is_no_error() -> None:
    tools = [{"type": "function", "name": "f", "tools": None}]
    asking = {"model": "m", "input": "hi", "tools": tools}
    assert send("responses", json.dumps(asking).encode(), TARGETS[0]).refused is None
