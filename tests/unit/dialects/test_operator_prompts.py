"""An operator's prompts stand around the conversation, whose bytes stay the client's."""

import json
from typing import Any

import pytest
from msgspec import Raw

from portico.dialects.chat.prompts import ChatPrompts
from portico.dialects.messages.prompts import MessagesPrompts
from portico.dialects.prompts import Line, array_around
from portico.dialects.responses.prompts import ResponsesPrompts

SYSTEM: Line = ("system", 'Say "é"\n☃')
USER: Line = ("user", "Who?")
ASSISTANT: Line = ("assistant", "Me.")
ODD = rb'{"role" : "user","content":"\u00e9\/" , "n":1e+2}'


def raws(**members: bytes) -> dict[str, Raw]:
    return {name: Raw(value) for name, value in members.items()}


def loaded(members: dict[str, bytes]) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in members.items()}


def said(line: Line) -> dict[str, str]:
    return {"role": line[0], "content": line[1]}


def item(line: Line) -> dict[str, str]:
    return {"type": "message", **said(line)}


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"[]", b"[A,Z]"),
        (b"[ \n ]", b"[A,Z]"),
        (b"[1]", b"[A,1,Z]"),
        (b"[ 1 ,[]\t]", b"[A, 1 ,[]\t,Z]"),
        (b"[[]]", b"[A,[],Z]"),
    ],
)
def test_elements_go_to_the_ends_of_an_array(raw: bytes, wanted: bytes) -> None:
    assert array_around(raw, b"A", b"Z") == wanted
    alone = b"[]" if wanted == b"[A,Z]" else raw
    assert array_around(raw, b"", b"") == alone
    assert json.loads(array_around(raw, b"0", b"")) == [0, *json.loads(raw)]
    assert json.loads(array_around(raw, b"", b"0")) == [*json.loads(raw), 0]


# chat


def test_chat_prompts_are_messages_in_the_order_they_were_written() -> None:
    prompts = ChatPrompts([SYSTEM, USER], [ASSISTANT, SYSTEM])
    put = prompts.put(raws(messages=b"[" + ODD + b" ]"), begun=False)
    assert loaded(put)["messages"] == [
        said(SYSTEM), said(USER), json.loads(ODD), said(ASSISTANT), said(SYSTEM)
    ]  # fmt: skip
    assert b"," + ODD + b" ," in put["messages"]


def test_chat_messages_that_are_no_array_are_left_alone() -> None:
    prompts = ChatPrompts([SYSTEM], [USER])
    for raw in (b'"hi"', b"null", b"7", b'{"a":[]}'):
        assert prompts.put(raws(messages=raw), begun=False) == {}
    assert prompts.put({}, begun=False) == {}


# messages


@pytest.mark.parametrize("missing", [{}, {"system": b"null"}])
def test_system_prompts_of_messages_are_system(missing: dict[str, bytes]) -> None:
    prompts = MessagesPrompts([SYSTEM], [("system", "End.")])
    put = prompts.put(raws(messages=b"[]", **missing), begun=False)
    assert loaded(put) == {"system": SYSTEM[1] + "\n\nEnd."}


def test_a_system_string_stays_a_string_with_its_own_bytes() -> None:
    prompts = MessagesPrompts([("system", "A"), ("system", "B")], [("system", "Z")])
    put = prompts.put(raws(system=rb'"\u00e9\/"'), begun=False)
    assert put == {"system": rb'"A\n\nB\n\n\u00e9\/\n\nZ"'}
    assert prompts.put(raws(system=b'""'), begun=False) == {"system": rb'"A\n\nB\n\nZ"'}


def test_system_blocks_stay_blocks_with_their_cache_marks() -> None:
    block = b'{ "type":"text","text":"own","cache_control":{"type":"ephemeral"}}'
    prompts = MessagesPrompts([SYSTEM], [("system", "Z"), ("system", "")])
    put = prompts.put(raws(system=b"[" + block + b"]"), begun=False)
    assert loaded(put)["system"] == [
        {"type": "text", "text": SYSTEM[1]}, json.loads(block), {"type": "text", "text": "Z"}
    ]  # fmt: skip
    assert block in put["system"]
    assert len(json.loads(prompts.put(raws(system=b"[]"), begun=False)["system"])) == 2


def test_other_prompts_of_messages_are_messages() -> None:
    prompts = MessagesPrompts([USER, ASSISTANT], [USER])
    put = prompts.put(raws(messages=b"[" + ODD + b"]"), begun=False)
    assert loaded(put) == {"messages": [said(USER), said(ASSISTANT), json.loads(ODD), said(USER)]}


def test_a_system_of_the_wrong_type_is_left_alone() -> None:
    prompts = MessagesPrompts([SYSTEM, USER], [])
    for raw in (b"7", b'{"text":"x"}', b"true"):
        assert prompts.put(raws(system=raw, messages=raw), begun=False) == {}


# responses


@pytest.mark.parametrize("missing", [{}, {"instructions": b"null"}])
def test_system_prompts_of_responses_are_instructions(missing: dict[str, bytes]) -> None:
    prompts = ResponsesPrompts([SYSTEM], [("system", "End.")])
    for begun in (False, True):
        put = prompts.put(raws(input=b'"hi"', **missing), begun=begun)
        assert loaded(put) == {"instructions": SYSTEM[1] + "\n\nEnd."}


def test_instructions_keep_their_bytes_between_the_operators() -> None:
    prompts = ResponsesPrompts([("system", "A")], [("system", "Z")])
    put = prompts.put(raws(instructions=rb'"\u00e9"'), begun=False)
    assert put == {"instructions": rb'"A\n\n\u00e9\n\nZ"'}


def test_a_string_for_input_becomes_an_item_among_the_prompts() -> None:
    prompts = ResponsesPrompts([USER, ASSISTANT], [USER])
    put = prompts.put(raws(input=rb'"\u00e9"'), begun=False)
    assert loaded(put)["input"] == [
        item(USER), item(ASSISTANT), item(("user", "é")), item(USER)
    ]  # fmt: skip
    assert rb'"content":"\u00e9"' in put["input"]


@pytest.mark.parametrize("given", [{}, {"input": b"null"}, {"input": b"[]"}])
def test_prompts_are_the_whole_input_where_there_is_none(given: dict[str, bytes]) -> None:
    put = ResponsesPrompts([USER], [ASSISTANT]).put(raws(**given), begun=False)
    assert loaded(put)["input"] == [item(USER), item(ASSISTANT)]


def test_a_chain_at_the_provider_has_the_first_prompts_already() -> None:
    prompts = ResponsesPrompts([SYSTEM, USER], [ASSISTANT])
    put = prompts.put(raws(input=b"[" + ODD + b"]"), begun=True)
    assert loaded(put)["input"] == [json.loads(ODD), item(ASSISTANT)]
    assert loaded(put)["instructions"] == SYSTEM[1]
    assert "input" not in ResponsesPrompts([USER], []).put(raws(input=b"[]"), begun=True)


def test_a_request_that_only_compacts_is_the_clients_own_conversation() -> None:
    prompts = ResponsesPrompts([USER], [ASSISTANT])
    trigger = b'{"type":"compaction_trigger"}'
    assert prompts.put(raws(input=b"[" + ODD + b"," + trigger + b"]"), begun=False) == {}
    mentioned = b'[{"role":"user","content":"compaction_trigger"}]'
    assert len(loaded(prompts.put(raws(input=mentioned), begun=False))["input"]) == 3


def test_input_and_instructions_of_the_wrong_type_are_left_alone() -> None:
    prompts = ResponsesPrompts([SYSTEM, USER], [USER])
    for raw in (b"7", b'{"a":"x"}', b"true"):
        assert prompts.put(raws(input=raw, instructions=raw), begun=False) == {}
