"""What only this gateway understands is taken out before a body is spliced, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from tests.unit.dialects.messages_translate.common import seal

from portico.dialects.messages.client import CLIENT
from portico.dialects.messages.ours import SERVER_CALL
from portico.model.sealed import Sealed

OURS = seal(Sealed("gemini/google", "next", "x"))


def stripped(messages: bytes) -> bytes | None:
    changed = CLIENT.strip({"messages": Raw(messages), "model": Raw(b'"m"')})
    assert set(changed) <= {"messages"}
    return changed.get("messages")


def turn(*blocks: bytes, role: bytes = b"assistant") -> bytes:
    return b'{"role": "%b", "content":[%b]}' % (role, b", ".join(blocks))


TEXT = b'{"type": "text","text":"caf\\u00e9 1.50"}'
THEIRS = b'{"type":"thinking", "thinking":"t", "signature":"EqQB"}'
THINKING = b'{"type":"thinking","thinking":"t","signature":"%b"}' % OURS.encode()
REDACTED = b'{"type":"redacted_thinking","data":"%b"}' % OURS.encode()
UNPROVEN = b'{"type":"thinking","thinking":"t","signature":""}'
SEARCH = b'{"type":"server_tool_use","id":"%b_0","name":"web_search","input":{}}' % (
    SERVER_CALL.encode()
)
FOUND = b'{"type":"web_search_tool_result","tool_use_id":"%b_0","content":[]}' % (
    SERVER_CALL.encode()
)
QUESTION = b'{"role":"user","content":"  q "}'


@pytest.mark.parametrize(
    "messages",
    [
        b"[]",
        b"[%b]" % QUESTION,
        b"[%b, %b]" % (QUESTION, turn(THEIRS, TEXT)),
        b"[%b]" % turn(THINKING, role=b"user"),
        b'[{"role":"user","content":"%b"}]' % OURS.encode(),
        b"null",
        b'"%b"' % OURS.encode(),
    ],
)
def test_nothing_changes_where_there_is_nothing_of_ours(messages: bytes) -> None:
    assert stripped(messages) is None


@pytest.mark.parametrize("block", [THINKING, REDACTED, UNPROVEN, SEARCH, FOUND])
def test_our_blocks_go_and_the_rest_keeps_its_bytes(block: bytes) -> None:
    out = stripped(b"[%b, %b]" % (QUESTION, turn(THEIRS, block, TEXT)))
    assert out is not None
    assert out.startswith(b"[" + QUESTION)
    assert THEIRS in out
    assert TEXT in out
    assert json.loads(out)[1]["content"] == [json.loads(THEIRS), json.loads(TEXT)]


def test_a_message_with_nothing_left_goes_too() -> None:
    assert stripped(b"[%b,%b]" % (QUESTION, turn(THINKING, REDACTED))) == b"[%b]" % QUESTION


def test_citations_without_an_index_go_from_their_text() -> None:
    ours = b'{"type":"web_search_result_location","url":"https://x","encrypted_index":""}'
    theirs = b'{"type":"char_location", "cited_text":"c"}'
    one = b'{"type":"text","text":"a","citations":[%b,%b]}' % (ours, theirs)
    two = b'{"type":"text","text":"b","citations":[%b]}' % ours
    out = stripped(b"[%b]" % turn(one, two))
    assert out is not None
    assert json.loads(out)[0]["content"] == [
        {"type": "text", "text": "a", "citations": [json.loads(theirs)]},
        {"type": "text", "text": "b"},
    ]


VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from([OURS, "", "thinking", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "signature", "data", "citations", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(VALUES)
def test_it_never_raises_and_a_second_time_finds_nothing(messages: Any) -> None:
    once = stripped(json.dumps(messages).encode())
    if once is not None:
        assert stripped(once) is None


CALL = b'{"type":"tool_use","id":"c","name":"f","input":{}}'
RESULT = turn(b'{"type":"tool_result","tool_use_id":"c","content":"x"}', role=b"user")


@pytest.mark.parametrize(
    ("thinking", "blocks", "disabled"),
    [
        (b'{"type":"enabled","budget_tokens":1024}', (THINKING, CALL), True),
        (b'{"type":"enabled","budget_tokens":1024}', (THINKING, THEIRS, CALL), False),
        (b'{"type":"adaptive"}', (THINKING, CALL), False),
        (b"null", (THINKING, CALL), False),
        (b"5", (THINKING, CALL), False),
    ],
)
def test_a_budget_goes_with_the_thought_that_it_would_need(
    thinking: bytes, blocks: tuple[bytes, ...], disabled: bool
) -> None:
    """Anthropic refuses a budget where the turn that awaits results begins without a thought."""
    messages = b"[%b]" % b",".join((QUESTION, turn(*blocks), RESULT))
    changed = CLIENT.strip({"messages": Raw(messages), "thinking": Raw(thinking)})
    assert OURS.encode() not in changed["messages"]
    assert changed.get("thinking") == (b'{"type":"disabled"}' if disabled else None)


@given(st.sampled_from([THINKING, REDACTED, UNPROVEN, SEARCH]))
def test_what_is_taken_out_has_a_mark(block: bytes) -> None:
    messages = b"[%b]" % turn(block, TEXT)
    assert stripped(messages) is not None
    assert any(mark in messages for mark in CLIENT.marks)
