"""Response objects outside their stream are whole, and events get the numbers of their run."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.responses import Response
from tests.support.responses_grammar import KEYS
from tests.unit.dialects.responses_client import scenes

from portico.dialects.responses.response_out import Envelope
from portico.dialects.responses.stored_snapshot import (
    Restamp,
    cancelled,
    events_of,
    failed,
    frame,
    patched,
    queued,
    terminal,
)
from portico.model.events import Event, Finish, MessageStart, Started, TextDelta

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\[]{},:output', max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["output", 'a"output', "id", ""]), inner)
    ),
    max_leaves=8,
)
MEMBERS = st.dictionaries(st.sampled_from(["a", "b", "input", "text", "é\n"]), VALUES)
INDENTS = st.sampled_from([None, 0, 2])
TALK: list[Event] = [
    Started("up-1"),
    MessageStart(0),
    TextDelta(0, "Hel"),
    TextDelta(0, "lo"),
    Finish("stop"),
]


def dumped(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent).encode()


# whole responses


def test_a_queued_response_is_whole() -> None:
    body = {"metadata": {"a": "b"}, "store": True, "tools": [
        {"type": "mcp", "server_label": "s", "authorization": "SECRET"}]}  # fmt: skip
    ask = scenes.asked(body)
    raw = queued(ask.fields, scenes.BASE, 1_700_000_000, 'my "model"')
    assert b"\n" not in raw
    assert b"SECRET" not in raw
    told = json.loads(raw)
    assert told.keys() == KEYS
    Response.model_validate(told)
    assert list(told) == list(json.loads(Envelope(ask).started("m", None)))
    expected = {"id": f"resp_{scenes.BASE}", "status": "queued", "background": True, "output": [],
                "usage": None, "created_at": 1_700_000_000, "model": 'my "model"', "store": True,
                "metadata": {"a": "b"}, "completed_at": None}  # fmt: skip
    assert {name: told[name] for name in expected} == expected


@given(MEMBERS, INDENTS, MEMBERS)
def test_only_the_members_meant_are_changed(
    members: dict[str, Any], indent: int | None, changes: dict[str, Any]
) -> None:
    raw = patched(dumped(members, indent), {name: dumped(value) for name, value in changes.items()})
    assert json.loads(raw) == members | changes
    new = [name for name in changes if name not in members]
    assert list(json.loads(raw)) == [*members, *new]


def test_members_that_stay_keep_their_bytes() -> None:
    raw = b'{"n": 1.50, "s" : "\\u00e9","o":{ "x" : [ ] }}'
    assert patched(raw, {"s": b"null"}) == b'{"n":1.50,"s":null,"o":{ "x" : [ ] }}'
    with pytest.raises(ValueError, match="Expected"):
        patched(b"[]", {})
    with pytest.raises(ValueError, match="too deep"):
        patched(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", {})


def test_final_states_keep_what_was_made() -> None:
    live = {"id": "r", "status": "in_progress", "completed_at": None, "error": None,
            "incomplete_details": {"reason": "x"}, "output": [{"type": "message"}],
            "usage": {"input_tokens": 5}}  # fmt: skip
    told = json.loads(failed(dumped(live), "server_error", 'It "broke".'))
    assert told == {**live, "status": "failed", "incomplete_details": None,
                    "error": {"code": "server_error", "message": 'It "broke".'}}  # fmt: skip
    assert list(told) == list(live)
    told = json.loads(cancelled(dumped({**live, "completed_at": 5, "error": {"code": "x"}})))
    assert told == {**live, "status": "cancelled", "incomplete_details": None}


# events


def test_events_are_read_and_everything_else_is_skipped() -> None:
    raw = (
        b": comment\n\n"
        b'event: a\ndata: {"type":"a","n": 1.50}\n\n'
        b'event: b\r\ndata: {"n":1}\r\n\r\n'
        b"event: c\ndata: {broken\n\n"
        b"event: c\ndata: [1]\n\n"
        b'event: c\ndata: {"type":5}\n\n'
        b'event: c\ndata: {"type":"a\\nb"}\n\n'
        b'data: {"n":1}\n\n'
        b'event: \xff\ndata: {"n":1}\n\n'
        b"\n"
        b'data: {"type":"d",\ndata: "n":2}\n\n'
        b"event: e\ndata: " + b'{"a":' * 2000 + b"}" * 2000 + b"\n\n"
        b"data: [DONE]\n\n"
    )
    found = [
        (kind, {name: bytes(value) for name, value in members.items()})
        for kind, members in events_of(raw)
    ]
    assert found == [
        ("a", {"type": b'"a"', "n": b"1.50"}),
        ("b", {"n": b"1", "type": b'"b"'}),
        ("d", {"type": b'"d"', "n": b"2"}),
    ]
    assert events_of(b"") == []


def test_the_events_of_a_lane_become_those_of_the_run() -> None:
    ask = scenes.asked({"background": None})
    written = scenes.written(TALK, ask)
    run = Restamp("resp_run", 2, {"background": b"true", "previous_response_id": b'"resp_0"'})
    out = run.feed(written)
    numbers = [number for number, _, _ in out]
    assert numbers == list(range(2, 2 + len(out)))
    assert run.number == 2 + len(out)
    kinds = [kind for _, kind, _ in out]
    assert kinds[0] == "response.in_progress"
    assert kinds[-1] == "response.completed"
    assert "response.created" not in kinds
    before = scenes.payloads(written)[1:]
    for (number, kind, data), was in zip(out, before, strict=True):
        assert b"\n" not in data
        told = json.loads(data)
        expected = {**was, "sequence_number": number}
        if "response" in was:
            expected["response"] = {**was["response"], "id": "resp_run", "background": True,
                                    "previous_response_id": "resp_0"}  # fmt: skip
        assert told == expected
        assert told["type"] == kind
        assert frame(kind, data) == b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["response.created", "response.queued", "response.in_progress", "error",
                 "response.output_text.delta", "response.completed"]
            ),
            st.dictionaries(
                st.sampled_from(["sequence_number", "response", "item"]),
                VALUES | st.dictionaries(st.sampled_from(["id", "status"]), VALUES),
            ),
            INDENTS,
        ),
        max_size=8,
    ),
    st.integers(0, 50),
)  # fmt: skip
def test_numbers_go_on_without_a_gap_whatever_comes(
    events: list[tuple[str, dict[str, Any], int | None]], first: int
) -> None:
    run = Restamp("resp_run", first, {})
    out: list[tuple[int, str, bytes]] = []
    for kind, members, indent in events:
        text = dumped({"type": kind, **members}, indent)
        lines = b"\n".join(b"data: " + line for line in text.split(b"\n"))
        out += run.feed(b"event: x\n" + lines + b"\n\n")
    told = [kind for kind, _, _ in events if kind not in ("response.created", "response.queued")]
    assert [kind for _, kind, _ in out] == told
    assert [number for number, _, _ in out] == list(range(first, first + len(told)))
    for number, kind, data in out:
        found = json.loads(data)
        assert found["sequence_number"] == number
        assert found["type"] == kind
        if isinstance(found.get("response"), dict):
            assert found["response"]["id"] == "resp_run"


def test_runs_end_with_three_kinds_of_events() -> None:
    for kind in ("completed", "failed", "incomplete"):
        assert terminal(f"response.{kind}")
    for kind in ("response.in_progress", "error", "response.output_item.done", ""):
        assert not terminal(kind)


def test_changes_are_made_to_a_queued_response_as_to_any() -> None:
    raw = queued({"stream": Raw(b"true")}, scenes.BASE, 1, "m")
    assert json.loads(patched(raw, {"status": b'"in_progress"'}))["status"] == "in_progress"
