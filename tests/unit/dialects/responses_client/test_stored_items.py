"""Items are listed as resources, and put together again without a byte of them changed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.responses_client import scenes

from portico.dialects.responses import response_out
from portico.dialects.responses.stored_items import (
    Item,
    after_compaction,
    as_array,
    base_of,
    for_replay,
    has_compaction,
    hidden_base,
    input_items,
    join,
    output_items,
    owner_of,
    references,
    replace,
    response_of,
)
from portico.model.items import Message, Reasoning, ToolCall
from portico.model.parts import Text

BASE = scenes.BASE
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\[]{},:id', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "type", "role", "content", "a"]), inner)
    ),
    max_leaves=8,
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "reasoning", "compaction", "x"])
        | VALUES,
        "id": st.sampled_from(["a", "b", ""]) | VALUES,
        "role": st.sampled_from(["user", "assistant"]) | VALUES,
        "content": st.text(max_size=4) | VALUES,
        "status": st.sampled_from(["completed", "in_progress", "incomplete"]) | VALUES,
        "more": VALUES,
    },
)
ARRAYS = st.lists(ITEMS | VALUES, max_size=5)
INDENTS = st.sampled_from([None, 0, 2])


def dumped(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()


def listed(value: Any) -> list[dict[str, Any]]:
    items = input_items(dumped(value), BASE)
    bodies = [json.loads(item.body) for item in items]
    assert [body["id"] for body in bodies] == [item.id for item in items]
    return bodies


# ids


LONGER = "68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b"
"""The digits of an id as OpenAI makes them."""


def test_the_base_of_our_ids_is_read_and_that_of_others_is_derived() -> None:
    assert base_of(f"resp_{BASE}") == BASE
    for other in (f"resp_{LONGER}z", f"resp_{BASE}\n", "resp_" + "0" * 53, "", "é"):
        found = base_of(other)
        assert found == base_of(other) != BASE
        assert len(found) == 32
        assert set(found) <= set("0123456789abcdef")
        assert hidden_base(other) == found
    assert base_of("resp_a") != base_of("resp_b")


@pytest.mark.parametrize("digits", [BASE, BASE + "0", LONGER, "f" * 52])
def test_items_made_for_an_id_of_hex_digits_tell_that_id(digits: str) -> None:
    assert hidden_base(f"resp_{digits}") is None
    kinds = ("message", "function_call_output", "custom_tool_call_output", "reasoning")
    items = input_items(dumped([{"type": kind} for kind in kinds]), base_of(f"resp_{digits}"))
    assert [owner_of(item.id) for item in items] == [digits] * len(kinds)
    assert all(len(item.id) <= 64 for item in items)  # OpenAI takes no longer ones


def test_the_owner_of_every_item_this_gateway_writes_is_found() -> None:
    ask = scenes.asked()
    written = [
        response_out.item(Message("assistant", (Text("a"),)), 0, ask),
        response_out.item(ToolCall("c", "f", "{}", "function"), 1, ask),
        response_out.item(ToolCall("c", "f", "{}", "custom"), 2, ask),
        response_out.item(Reasoning(("a",), (), None), 3, ask),
    ]
    for body in written:
        assert owner_of(json.loads(body)["id"]) == BASE
    given = [{"role": "user", "content": "a"}] + [
        {"type": kind} for kind in ("function_call_output", "later", "compaction")
    ]
    for item in input_items(dumped(given), BASE):
        assert owner_of(item.id) == BASE


@pytest.mark.parametrize(
    "other",
    ["msg_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b", "", f"msg_{BASE}", f"{BASE}0000",
     f"msg_{BASE}000g", f"msg_{BASE.upper()}0000", f"msg_x{BASE}x0000",
     f"rs_ptco2_{BASE}0000", f"msg_{BASE}0000\n"],
)  # fmt: skip
def test_ids_of_others_have_no_owner(other: str) -> None:
    assert owner_of(other) is None


# items as resources


def test_a_string_is_one_message_of_the_user() -> None:
    assert listed('a "b"\n') == [
        {"type": "message", "id": f"msg_{BASE}8000", "status": "completed", "role": "user",
         "content": [{"type": "input_text", "text": 'a "b"\n'}]}
    ]  # fmt: skip


def test_messages_get_parts_a_status_and_a_type() -> None:
    said = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "phase": "commentary"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "c"}],
         "status": "incomplete", "id": "mine"},
        {"type": None, "id": None, "role": "developer", "content": "", "status": None},
    ]  # fmt: skip
    text = {"type": "output_text", "text": "b", "annotations": [], "logprobs": []}
    assert listed(said) == [
        {"type": "message", "id": f"msg_{BASE}8000", "role": "user", "status": "completed",
         "content": [{"type": "input_text", "text": "a"}]},
        {"type": "message", "id": f"msg_{BASE}8001", "role": "assistant", "status": "completed",
         "content": [text], "phase": "commentary"},
        said[2],
        {"type": "message", "id": f"msg_{BASE}8003", "role": "developer", "status": "completed",
         "content": [{"type": "input_text", "text": ""}]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [("function_call", "fc"), ("function_call_output", "fco"), ("custom_tool_call", "ctc"),
     ("custom_tool_call_output", "ctco"), ("reasoning", "rs"), ("compaction", "cmp"),
     ("web_search_call", "item"), ("", "msg")],
)  # fmt: skip
def test_ids_are_made_of_the_type_and_the_place(kind: str, prefix: str) -> None:
    first, second = listed([{"type": kind, "id": ""}, {"type": kind, "id": 7}])
    assert (first["id"], second["id"]) == (f"{prefix}_{BASE}8000", f"{prefix}_{BASE}8001")


def test_what_needs_no_change_keeps_its_bytes() -> None:
    call = b'{ "call_id":"c", "type":"function_call", "id" : "fc_1", "n": 1.50, "x":"\\u00e9" }'
    message = b'{"role":"user","content":[ 2.50 ],"type":"message","id":"m","status":"completed"}'
    found = input_items(b"[" + call + b" , " + message + b"]", BASE)
    assert found == [Item("fc_1", call), Item("m", message)]
    (changed,) = input_items(b'[{"n": 1.50, "type":"x", "e" : { "a" : "\\u00e9" } }]', BASE)
    assert changed.body == (
        b'{"type":"x","id":"item_%b8000","n":1.50,"e":{ "a" : "\\u00e9" }}' % BASE.encode()
    )


def test_an_entry_with_only_an_id_is_a_reference() -> None:
    assert listed([{"id": "msg_1"}]) == [{"type": "item_reference", "id": "msg_1"}]


def test_what_is_no_object_is_left_out_and_takes_its_place_along() -> None:
    (only,) = listed([1, "a", None, [], {"role": "user", "content": 5}])
    assert only["id"] == f"msg_{BASE}8004"
    assert only["content"] == 5


def test_items_of_an_output_keep_their_ids_and_get_those_they_lack() -> None:
    raw = b'[{"type":"message","id":"a","status":"completed","content":[]},{"type":"reasoning"}]'
    first, second = output_items(raw, BASE)
    assert first.id == "a"
    assert raw[1:].startswith(first.body)
    assert second == Item(
        f"rs_{BASE}0001", b'{"type":"reasoning","id":"rs_%b0001"}' % BASE.encode()
    )
    assert output_items(b"") == output_items(b"[]") == []


@given(ARRAYS, INDENTS)
def test_whatever_was_accepted_is_listed(value: Any, indent: int | None) -> None:
    raw = dumped(value, indent)
    objects = [entry for entry in value if isinstance(entry, dict)]
    for items in (input_items(raw, BASE), output_items(raw, BASE)):
        assert len(items) == len(objects)
        for item, entry in zip(items, objects, strict=True):
            body = json.loads(item.body)
            assert body["id"] == item.id != ""
            assert isinstance(body["type"], str)
            rest = body.keys() - {"id", "type", "status", "content"}
            assert {name: body[name] for name in rest} == {
                name: entry[name] for name in entry.keys() - {"id", "type", "status", "content"}
            }
    references(raw)
    for_replay(raw)
    has_compaction(raw)


# arrays


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b' [ {"a":1} ]', b' [ {"a":1} ]'),
        (b"[]", b"[]"),
        (b"null", b"[]"),
        (b"", b"[]"),
        (b' "a\\u00e9" ', b'[{"type":"message","role":"user","content":"a\\u00e9"}]'),
    ],
)
def test_every_input_is_an_array(raw: bytes, expected: bytes) -> None:
    assert as_array(raw) == expected


@given(st.lists(st.tuples(ARRAYS, INDENTS), max_size=5))
def test_arrays_are_joined_in_order(arrays: list[tuple[list[Any], int | None]]) -> None:
    texts = [b" " + dumped(array, indent) + b"\n" for array, indent in arrays]
    expected = [entry for array, _ in arrays for entry in array]
    assert json.loads(join(texts)) == expected


def test_empty_arrays_leave_no_trace() -> None:
    assert join([b"[]", b"[1]", b"[ \n ]", b"", b"[2 , 3]", b"[]"]) == b"[1,2 , 3]"
    assert join([]) == b"[]"


@given(ARRAYS, INDENTS, st.dictionaries(st.integers(0, 6), ITEMS))
def test_only_the_entries_meant_are_replaced(
    value: list[Any], indent: int | None, found: dict[int, Any]
) -> None:
    raw = dumped(value, indent)
    replaced = replace(raw, {index: dumped(item) for index, item in found.items()})
    expected = [found.get(index, entry) for index, entry in enumerate(value)]
    assert json.loads(replaced) == expected


def test_entries_that_stay_keep_their_bytes() -> None:
    raw = b'[ {"n": 1.50} , {"id":"a"} , "\\u00e9" ]'
    assert replace(raw, {1: b'{"b":2}'}) == b'[{"n": 1.50},{"b":2},"\\u00e9"]'
    assert replace(raw, {}) is raw


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (b'{"type":"item_reference","id":"a"}', "a"),
        (b'{"id":"a"}', "a"),
        (b'{"id":"a","type":null,"role":null,"content":null}', "a"),
        (b'{"\\u0069d":"\\u0061"}', "a"),
        (b'{"type":"item\\u005freference","id":"a"}', "a"),
        (b'{"id":"a","role":"user"}', None),
        (b'{"id":"a","content":"b"}', None),
        (b'{"id":"a","type":"message"}', None),
        (b'{"id":"a","type":5}', None),
        (b'{"id":""}', None),
        (b'{"id":7}', None),
        (b'{"type":"item_reference"}', None),
        (b'"item_reference"', None),
    ],
)
def test_references_are_found(entry: bytes, expected: str | None) -> None:
    found = references(b'[{"role":"user","content":"\\"id\\""}, ' + entry + b"]")
    assert found == ([] if expected is None else [(1, expected)])


def test_a_compaction_stands_for_what_was_before_it() -> None:
    one, two = b'{"type":"compaction","id":"1"}', b'{ "type" : "compaction" }'
    raw = b'[{"type":"message"}, ' + one + b' , "compaction",' + two + b', {"type":"x"}]'
    assert has_compaction(raw)
    assert after_compaction(raw) == b"[" + two + b',{"type":"x"}]'
    none = b'[{"type":"message","content":"compaction"}]'
    assert not has_compaction(none)
    assert after_compaction(none) is none
    assert has_compaction(b'[{"type":"compac\\u0074ion"}]')


# replay

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}",
        "status": "completed"}  # fmt: skip
TEXT = {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
MESSAGE = {"type": "message", "id": "m", "role": "assistant", "status": "completed",
           "content": [TEXT]}  # fmt: skip
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
EMPTY = {**TEXT, "text": ""}


@pytest.mark.parametrize(
    ("output", "kept"),
    [
        ([THOUGHT, MESSAGE, THOUGHT, CALL], 4),
        ([MESSAGE, {**CALL, "status": "incomplete"}], 1),
        ([MESSAGE, {**CALL, "status": "in_progress"}], 1),
        ([MESSAGE, {"type": "custom_tool_call", "status": "incomplete"}], 1),
        ([MESSAGE, {"type": "web_search_call", "status": "searching"}], 1),
        ([{"type": "web_search_call", "status": "failed"}], 1),
        ([{"type": "function_call", "call_id": "c"}], 1),
        ([CALL, {**MESSAGE, "content": []}], 1),
        ([CALL, {**MESSAGE, "content": [EMPTY]}], 1),
        ([CALL, {**MESSAGE, "content": ""}], 1),
        ([CALL, {**MESSAGE, "content": None}], 1),
        ([{**MESSAGE, "status": "incomplete"}], 1),
        ([{**MESSAGE, "content": [EMPTY, TEXT]}], 1),
        ([{**MESSAGE, "content": [{"type": "refusal", "refusal": ""}]}], 1),
        ([{**MESSAGE, "content": 5}, 5], 2),
        ([MESSAGE, THOUGHT], 1),
        ([MESSAGE, THOUGHT, {**CALL, "status": "incomplete"}], 1),
        ([THOUGHT, {**MESSAGE, "content": []}], 0),
        ([], 0),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_what_no_provider_takes_back_is_not_replayed(
    output: list[Any], kept: int, indent: int | None
) -> None:
    raw = dumped(output, indent)
    found = for_replay(raw)
    assert json.loads(found) == output[:kept]
    if kept == len(output):
        assert found is raw


def test_what_is_replayed_keeps_its_bytes() -> None:
    odd = b'{ "type":"message" , "content":[{"type":"output_text", "text":"\\u00e9"}], "n":1.50}'
    cut = b'{"type":"function_call","status":"in_progress"}'
    assert for_replay(b"[" + cut + b", " + odd + b"]") == b"[" + odd + b"]"


@pytest.mark.parametrize("digits", [16, 24])
def test_an_item_of_a_response_leads_back_to_it(digits: int) -> None:
    response_id = "resp_" + "a1" * digits
    (item,) = input_items(b'["x"]'[1:-1], base_of(response_id))
    assert response_of(owner_of(item.id) or "") == response_id
    assert hidden_base(response_id) is None
    assert response_of("msg_of-a-client") is None
